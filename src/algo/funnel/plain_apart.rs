//! Funnels without rules on what lies between steps, for each value of the entries, in one pass over all of them.
//!
//! As in `plain` a value keeps the latest start of its chains of each length. An event that satisfies step `i + 1` only
//! changes the values whose latest start of length `i` is later than that of length `i + 1`: these wait in a list for each
//! length. An entry puts one value into the first list, each step moves it on by one, so that a user costs O(n k + n log n),
//! however many values there are. The events of a chain are found by search among those of each step.
//!
//! Deals with: the longest chain of each value. Does not deal with: tied events that compete for steps, whose matching
//! differs from value to value, with periods, or with other chains than the canonical one (`apart`).

use super::spec::{Entry, MAX_STEPS, Order, Pick, Spec};
use super::window::{Deadline, Deadlines};
use super::{Chain, Chains, Place, Reached};
use crate::algo::event::{Event, tie_end};

/// What is held between users.
#[derive(Debug, Clone, Default)]
pub(super) struct PlainApart {
    /// `starts[value * (steps + 1) + length]`: latest start of a chain of that length.
    starts: Vec<i64>,
    values: Vec<Value>,
    /// For each length, the values whose latest start of it is later than that of one more.
    waiting: Vec<Vec<u32>>,
    /// Positions of the events that satisfy each step.
    positions: Vec<Vec<u32>>,
}

/// The longest chain of a value so far.
#[derive(Debug, Clone, Copy, Default)]
struct Value {
    level: usize,
    start: i64,
    /// Lengths in whose lists it waits, as bits.
    waits: u64,
}

/// Whether the chains of a spec can be found so.
pub(super) fn fits(spec: &Spec) -> bool {
    spec.order != Order::AnyOrder
        && spec.entry == Entry::Best
        && spec.pick == Pick::EarliestCompletion
        && spec.period.is_none()
        && spec.exclusions.is_empty()
        && spec.steps < MAX_STEPS
}

impl PlainApart {
    /// Appends the chain of each value, in their order. `value_of` gives the value of each event that can start a chain, by
    /// position, and a tag of each value stands in `tags`. False, and nothing is appended, where tied events compete.
    pub fn chains(
        &mut self,
        events: &[Event],
        spec: &Spec,
        deadlines: &mut Deadlines,
        value_of: &[u32],
        tags: &[u32],
        chains: &mut Chains,
    ) -> bool {
        let width = spec.steps + 1;
        self.starts.clear();
        self.starts.resize(tags.len() * width, i64::MIN);
        self.values.clear();
        self.values.resize(tags.len(), Value::default());
        self.waiting.iter_mut().chain(&mut self.positions).for_each(Vec::clear);
        self.waiting.resize(width, Vec::new());
        self.positions.resize(spec.steps, Vec::new());
        let mut from = 0;
        while from < events.len() {
            let to = tie_end(events, from);
            if !self.group(events, from..to, spec, deadlines, value_of) {
                return false;
            }
            from = to;
        }
        for (value, tag) in tags.iter().enumerate() {
            let Value { level, start, .. } = self.values[value];
            if level > 0 {
                self.places(events, spec, (value as u32, start, level), value_of, &mut chains.places);
                let reached = Reached { level, dropped: false };
                let end = chains.places.len();
                chains.chains.push(Chain { period: None, last_entry: i64::MAX, value: Some(*tag), reached, end });
            }
        }
        true
    }

    /// Commits the events of one instant.
    fn group(
        &mut self,
        events: &[Event],
        range: std::ops::Range<usize>,
        spec: &Spec,
        deadlines: &mut Deadlines,
        value_of: &[u32],
    ) -> bool {
        let group = &events[range.clone()];
        let steps = spec.step_bits();
        let all = group.iter().fold(0, |mask, e| mask | e.mask) & steps;
        let single = |e: &Event| (e.mask & steps).count_ones() <= 1;
        let in_turn = spec.reuse || (group.len() > 1 && spec.order != Order::Increase);
        if in_turn && !spec.reuse && !group.iter().all(single) {
            return false;
        }
        let time = group[0].time;
        let mut bits = all;
        while bits != 0 {
            // One event after the other may serve steps in turn; else none may follow what serves the step before it here.
            let step = if in_turn { bits.trailing_zeros() } else { 63 - bits.leading_zeros() } as usize;
            bits &= !(1 << step);
            if step == 0 {
                let mature = spec.mature_bit();
                let entries =
                    group.iter().zip(range.clone()).filter(|(e, _)| e.mask & 1 == 1 && e.mask & mature == mature);
                for (_, at) in entries {
                    self.reach(value_of[at], 1, time, spec.steps);
                }
                continue;
            }
            let mut waiting = std::mem::take(&mut self.waiting[step]);
            for value in waiting.drain(..) {
                self.values[value as usize].waits &= !(1 << step);
                let start = self.starts[value as usize * (spec.steps + 1) + step];
                // Whose window is over waits again once it has a later start.
                if deadlines.of(start) >= time {
                    self.reach(value, step + 1, start, spec.steps);
                }
            }
            self.waiting[step] = waiting;
        }
        for (e, at) in group.iter().zip(range) {
            let mut bits = e.mask & steps;
            while bits != 0 {
                self.positions[bits.trailing_zeros() as usize].push(at as u32);
                bits &= bits - 1;
            }
        }
        true
    }

    /// A chain of that length and start: its value waits for the next step.
    fn reach(&mut self, value: u32, length: usize, start: i64, steps: usize) {
        let latest = &mut self.starts[value as usize * (steps + 1) + length];
        let own = &mut self.values[value as usize];
        if length > own.level {
            (own.level, own.start) = (length, start);
        } else if start <= *latest {
            return;
        }
        *latest = start;
        if length < steps && own.waits >> length & 1 == 0 {
            own.waits |= 1 << length;
            self.waiting[length].push(value);
        }
    }

    /// The events of a chain, each the earliest that can be.
    fn places(
        &self,
        events: &[Event],
        spec: &Spec,
        (value, start, level): (u32, i64, usize),
        value_of: &[u32],
        places: &mut Vec<Place>,
    ) {
        let entries = &self.positions[0];
        let from = entries.partition_point(|at| events[*at as usize].time < start);
        let first = entries[from..].iter().find(|at| value_of[**at as usize] == value);
        let Some(mut at) = first.copied() else {
            debug_assert!(false, "a chain starts with an entry of its value");
            return;
        };
        places.push(Place { step: 0, at });
        for step in 1..level {
            let time = events[at as usize].time;
            let positions = &self.positions[step];
            let begin = events.partition_point(|e| e.time < time);
            let alone = !spec.reuse && tie_end(events, begin) == begin + 1;
            let from = if alone || spec.order == Order::Increase {
                positions.partition_point(|p| events[*p as usize].time <= time)
            } else {
                positions.partition_point(|p| (*p as usize) < begin)
            };
            let Some(next) = positions.get(from) else {
                debug_assert!(false, "a chain that was found has all its steps");
                return;
            };
            at = *next;
            places.push(Place { step: step as u32, at });
        }
    }
}
