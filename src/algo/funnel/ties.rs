//! Events at one instant under all rules: which steps they can serve together, and what they forbid to chains.
//!
//! Deals with: one group of tied events. Does not deal with: the way between groups (`gaps`). Steps count from 0 here.

use super::spec::{Between, Order, Spec};
use crate::algo::event::Event;
use crate::algo::tied_steps::TiedSteps;

/// What a spec says about steps, in bits.
#[derive(Debug, Clone)]
pub struct Rules {
    /// Number of steps.
    pub steps: usize,
    /// The steps that may be served.
    pub bits: u64,
    /// All steps.
    pub all: u64,
    /// Steps that may not be skipped.
    pub required: u64,
    /// `follows[p]`: the steps that may come right after `p`: all between are optional.
    pub follows: Vec<u64>,
    /// `precedes[s]`: the steps that may come right before `s`.
    pub precedes: Vec<u64>,
    /// The steps that may come right after a step that may be skipped, or may be skipped themselves.
    runs: u64,
    /// `levels[s]`: the level of a chain whose last step is `s`.
    pub levels: Vec<usize>,
    /// Bit `s`: steps `s` and `s + 1` may be served at one instant.
    together: u64,
    reuse: bool,
    between: Between,
    /// Steps that an exclusion comes after and before: the gap after each step `after..before` is closed by its events.
    exclusions: Vec<(usize, usize)>,
}

/// The bits `from..to`.
fn span(from: usize, to: usize) -> u64 {
    if from >= to { 0 } else { (u64::MAX >> (64 - (to - from))) << from }
}

/// The positions of the bits of a word, ascending.
pub fn bits(mut word: u64) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        let bit = (word != 0).then(|| word.trailing_zeros() as usize);
        word &= word.wrapping_sub(1);
        bit
    })
}

impl Rules {
    /// Of a spec.
    pub fn of(spec: &Spec) -> Self {
        let apart = spec.step_after.iter().enumerate().filter(|(_, after)| **after > 0);
        let rules = Self {
            steps: spec.steps,
            bits: spec.step_bits(),
            all: spec.step_bits(),
            required: 0,
            follows: Vec::new(),
            precedes: Vec::new(),
            runs: 0,
            levels: Vec::new(),
            together: match spec.order {
                Order::Increase => 0,
                _ => apart.fold(u64::MAX, |word, (s, _)| word & !(1 << s)),
            },
            reuse: spec.reuse,
            between: spec.between,
            exclusions: spec.exclusions.iter().map(|e| (e.after - 1, e.before - 1)).collect(),
        };
        rules.with(spec.required(), 0)
    }

    /// The same with other steps that may not be skipped, and some that always are.
    pub fn with(&self, required: u64, skipped: u64) -> Self {
        let steps = self.steps;
        let follows: Vec<u64> = (0..steps)
            .map(|p| {
                let next = (p + 1..steps).find(|s| required >> s & 1 == 1).unwrap_or(steps - 1);
                span(p + 1, next + 1)
            })
            .collect();
        let before = |s: usize| (0..s).filter(|p| follows[*p] >> s & 1 == 1).fold(0, |word, p| word | 1 << p);
        let optional = self.all & !required;
        Self {
            bits: self.all & !skipped,
            required,
            precedes: (0..steps).map(before).collect(),
            follows,
            runs: optional | optional << 1,
            levels: (0..steps).map(|s| (required & span(0, s + 1)).count_ones() as usize).collect(),
            exclusions: self.exclusions.clone(),
            ..*self
        }
    }

    /// Whether a step may come after several others, some between being optional.
    pub fn in_run(&self, step: usize) -> bool {
        self.runs >> step & 1 == 1
    }

    /// The exclusions hit by events with these conditions.
    fn hits(&self, conditions: u64) -> impl Iterator<Item = (usize, usize)> + '_ {
        let hit = if self.exclusions.is_empty() { 0 } else { conditions >> self.steps };
        bits(hit).filter_map(|x| self.exclusions.get(x).copied())
    }

    /// The gaps that events with these conditions close, if they lie within them: bit `p` is the gap after step `p`.
    pub fn closed(&self, conditions: u64) -> u64 {
        let steps = conditions & self.all;
        let between = match self.between {
            Between::Anything => 0,
            Between::Strict => u64::MAX,
            Between::StrictSteps if steps != 0 => u64::MAX,
            Between::StrictSteps => 0,
            // The gap after step `p` is closed by the conditions reached, up to `p`: the lowest of them decides.
            Between::DedupFirst => lowest_and_above(steps),
            Between::Dedup => lowest_and_above(steps & !1),
        };
        self.hits(conditions).fold(between, |word, (after, before)| word | span(after, before))
    }

    /// From which first steps at an instant with these conditions a chain may go on to later instants after step `last`:
    /// an exclusion there lies within a chain that was past `after` before this instant and is not yet at `before`.
    pub fn may_leave(&self, conditions: u64, last: usize) -> u64 {
        let inside = self.hits(conditions).filter(|(after, before)| *after < last && last < *before);
        inside.fold(u64::MAX, |word, (after, _)| word & span(0, after + 1))
    }

    /// Whether two steps, with those between them skipped, may be served at one instant.
    fn may_tie(&self, step: usize, next: usize) -> bool {
        self.together & span(step, next) == span(step, next)
    }
}

fn lowest_and_above(word: u64) -> u64 {
    if word == 0 { 0 } else { u64::MAX << word.trailing_zeros() }
}

/// How the events of one instant can serve steps.
#[derive(Debug, Clone)]
pub struct Ties {
    /// Every condition that one of them satisfies.
    pub conditions: u64,
    /// The steps among them.
    pub steps: u64,
    /// `stretches[s]`, for each step `s` of `steps`: the steps from which the events can serve a chain up to `s`, that
    /// one, `s` and every step between that may not be skipped.
    pub stretches: [u64; 64],
}

impl Default for Ties {
    fn default() -> Self {
        Self { conditions: 0, steps: 0, stretches: [0; 64] }
    }
}

impl Ties {
    /// Reads a group.
    pub fn read(&mut self, group: &[Event], rules: &Rules) {
        self.conditions = group.iter().fold(0, |word, e| word | e.mask);
        self.steps = self.conditions & rules.bits;
        if self.steps == 0 {
            return;
        }
        if (group.len() == 1 && !rules.reuse) || rules.together == 0 {
            for s in bits(self.steps) {
                self.stretches[s] = 1 << s;
            }
        } else if rules.reuse || group.iter().all(|e| (e.mask & rules.bits).count_ones() <= 1) {
            self.in_turn(rules);
        } else if rules.required == rules.all {
            let masks: Vec<u64> = group.iter().map(|e| e.mask).collect();
            let prefixes = TiedSteps::new(&masks, rules.steps).shortest_prefixes();
            let mut apart = 0;
            for s in bits(self.steps) {
                // The last pair of neighbours up to `s` that may not share an instant.
                if let Some(pair) = (apart..s).rev().find(|p| !rules.may_tie(*p, p + 1)) {
                    apart = pair + 1;
                }
                self.stretches[s] = span(prefixes[s + 1].max(apart), s + 1);
            }
        } else {
            self.matched_with_optional(group, rules);
        }
    }

    /// No two steps compete for an event: all that is asked is that each has one.
    fn in_turn(&mut self, rules: &Rules) {
        // First steps from which everything before `s` that may not be skipped is served.
        let mut open = 0u64;
        for s in 0..rules.steps {
            if s > 0 && !rules.may_tie(s - 1, s) {
                open = 0;
            }
            if self.steps >> s & 1 == 1 {
                open |= 1 << s;
                self.stretches[s] = open;
            } else if rules.required >> s & 1 == 1 {
                open = 0;
            }
        }
    }

    /// The same for every pair of steps, each with a matching: O(k^2) of them.
    fn matched_with_optional(&mut self, group: &[Event], rules: &Rules) {
        let masks: Vec<u64> = group.iter().map(|e| e.mask).collect();
        let tied = TiedSteps::new(&masks, rules.steps);
        for s in bits(self.steps) {
            let mut stretch = 1u64 << s;
            for first in bits(self.steps & span(0, s)).collect::<Vec<_>>().into_iter().rev() {
                let inner = rules.required & span(first + 1, s);
                let too_many = inner.count_ones() as usize + 2 > group.len();
                if inner & !self.steps != 0 || too_many || !rules.may_tie(first, s) {
                    break;
                }
                let stretched = 1 << first | inner | 1 << s;
                // Steps with as many choices as there are steps never get in each other's way.
                let plenty = bits(stretched).all(|step| tied.choices(step) >= stretched.count_ones() as usize);
                if plenty || tied.servable(bits(stretched)) {
                    stretch |= 1 << first;
                }
            }
            self.stretches[s] = stretch;
        }
    }
}

/// Whether the events of a group can serve all of these steps.
pub fn can_serve(group: &[Event], steps: u64, rules: &Rules) -> bool {
    let mut list = bits(steps);
    let (mut before, mut ties) = (list.next(), true);
    for step in list {
        ties &= before.is_none_or(|p| rules.may_tie(p, step));
        before = Some(step);
    }
    if !ties || (!rules.reuse && steps.count_ones() as usize > group.len()) {
        return false;
    }
    if rules.reuse || steps.count_ones() == 1 {
        return steps & !group.iter().fold(0, |word, e| word | e.mask) == 0;
    }
    let masks: Vec<u64> = group.iter().map(|e| e.mask).collect();
    TiedSteps::new(&masks, rules.steps).servable(bits(steps))
}

/// Positions in the group of events for these steps, which the group can serve: the first step gets the earliest it can.
pub fn choose(group: &[Event], steps: u64, rules: &Rules) -> Vec<u32> {
    if rules.reuse || steps.count_ones() == 1 {
        let first_with = |step: usize| group.iter().position(|e| e.mask >> step & 1 == 1).unwrap_or(0);
        return bits(steps).map(|step| first_with(step) as u32).collect();
    }
    let masks: Vec<u64> = group.iter().map(|e| e.mask).collect();
    TiedSteps::new(&masks, rules.steps).choose(&bits(steps).collect::<Vec<_>>())
}
