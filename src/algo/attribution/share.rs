//! How one conversion is shared out among the channels of the touches it claims.
//!
//! Deals with: each rule, in whole parts of [`UNIT`]: together they are exactly one conversion (`participation` apart).
//! Does not deal with: which touches are claimed (`Window`), or adding conversions up.

use super::decayed::DecayedWeights;
use super::window::Window;
use super::{Rule, Spec, Touch, UNIT};

/// Fills `parts` for the touches in the window: `parts[a * rules + r]` is what rule `r` gives to the channel at place `a`.
pub fn share(spec: &Spec, window: &Window, decayed: &mut DecayedWeights, touches: &[Touch], parts: &mut Vec<i64>) {
    let rules = spec.rules.len();
    let path = &touches[window.range.clone()];
    parts.clear();
    parts.resize(window.active.len().max(1) * rules, 0);
    let ([first, ..], [.., last]) = (path, path) else {
        // No touch: every rule gives all to the channel that stands for it.
        parts.fill(UNIT);
        return;
    };
    let slot = |channel: u32| window.place[channel as usize] as usize * rules;
    for (at, rule) in spec.rules.iter().enumerate() {
        match rule {
            Rule::First => parts[slot(first.channel) + at] = UNIT,
            Rule::Last => parts[slot(last.channel) + at] = UNIT,
            Rule::LastNonDirect => {
                let told = window.last_not_direct.filter(|at| window.range.contains(at));
                parts[slot(told.map_or(last.channel, |at| touches[at].channel)) + at] = UNIT;
            }
            Rule::Participation => (0..window.active.len()).for_each(|a| parts[a * rules + at] = UNIT),
            Rule::Linear => {
                let mut left = UNIT;
                for (a, channel) in window.active.iter().enumerate() {
                    let part = part_of(UNIT, window.counts[*channel as usize], path.len());
                    parts[a * rules + at] = part;
                    left -= part;
                }
                // Beyond 40 touches division may leave a few parts over.
                parts[slot(last.channel) + at] += left;
            }
            Rule::Position => {
                let [of_first, between, of_last] = position_parts(spec.weights, path.len());
                let mut left = between;
                if path.len() > 2 {
                    for (a, channel) in window.active.iter().enumerate() {
                        let outer = u32::from(*channel == first.channel) + u32::from(*channel == last.channel);
                        let part = part_of(between, window.counts[*channel as usize] - outer, path.len() - 2);
                        parts[a * rules + at] = part;
                        left -= part;
                    }
                    parts[slot(path[path.len() - 2].channel) + at] += left;
                }
                parts[slot(first.channel) + at] += of_first;
                parts[slot(last.channel) + at] += of_last;
            }
            Rule::TimeDecay => {
                decayed.slide(touches, window.range.clone());
                let weights = window.active.iter().map(|channel| decayed.weight(*channel));
                let sum: f64 = weights.clone().sum();
                let (mut left, mut largest) = (UNIT, (0, 0.0));
                for (a, weight) in weights.enumerate() {
                    // The cast cuts to a whole number and saturates; rounding may leave `left` below zero by a hair.
                    let part = ((weight / sum) * UNIT as f64) as i64;
                    parts[a * rules + at] = part;
                    left -= part;
                    if weight > largest.1 {
                        largest = (a, weight);
                    }
                }
                parts[largest.0 * rules + at] += left;
            }
        }
    }
}

/// `whole * count / of`, cut to a whole number.
fn part_of(whole: i64, count: u32, of: usize) -> i64 {
    (i128::from(whole) * i128::from(count) / of as i128) as i64
}

/// Parts of the first touch, of all between, and of the last touch of a path of `n`.
pub fn position_parts([first, middle, last]: [f64; 3], n: usize) -> [i64; 3] {
    let of = |share: f64| ((share * UNIT as f64) as i64).clamp(0, UNIT);
    match n {
        1 => [UNIT, 0, 0],
        2 => {
            let first = if first + last > 0.0 { of(first / (first + last)) } else { UNIT / 2 };
            [first, 0, UNIT - first]
        }
        _ => {
            let (first, middle) = (of(first), of(middle));
            let first = first.min(UNIT - middle);
            match last > 0.0 {
                true => [first, middle, UNIT - first - middle],
                // What rounding leaves over must not go to a touch of no weight.
                false if middle > 0 => [first, UNIT - first, 0],
                false => [UNIT, 0, 0],
            }
        }
    }
}
