//! Funnels with rules on what lies between steps: time limits, `strict`, `strict_steps`, `dedup`, `dedup_first`,
//! exclusions, and steps that may be skipped.
//!
//! **Level.** For each step `p` and each instant, the latest start of the chains that end there with `p`. A later start is
//! the better one for every way to go on: the rules look at the last event and the instants after it alone. A chain goes on
//! from `p` to an event at `t` from an instant within the time limits, and not before the last instant before `t` that
//! closes the gap after `p`. Both ends of that range only move forward, so its best entry is the front of a queue from
//! which older entries with earlier starts were taken: O(n k) for single events, and for groups of ties what their
//! matching costs (`tied_steps`). An exclusion tied with an event of a chain lies inside the chain exactly when the chain
//! both came to that instant past the exclusion's first step and goes on: [`Rules::may_leave`] tells the two apart.
//!
//! **Steps that may be skipped.** They do not count for the level, so that the first pass says when the chain completes. Each
//! of them (all at once, and if that fails one by one) is then required in one more pass up to that completion:
//! O(n k) for each that is there and cannot be met.
//!
//! Memory of the queues: O(n k) at worst where `step_after` holds entries back, else as many as starts increase.

use std::collections::VecDeque;

use super::spec::Spec;
use super::ties::{Rules, Ties, bits};
use super::way::Way;
use super::window::{Deadline, Deadlines, Starts};
use super::{Found, Place};
use crate::algo::event::{Event, tie_end};

/// Chains that end with one step: where they end and start.
#[derive(Debug, Clone, Default)]
struct Ends {
    /// Not yet old enough to go on.
    pending: VecDeque<(i64, i64)>,
    /// By time; starts decrease strictly.
    best: VecDeque<(i64, i64)>,
}

impl Ends {
    fn add(&mut self, time: i64, start: i64) {
        while self.best.back().is_some_and(|(_, s)| *s <= start) {
            self.best.pop_back();
        }
        self.best.push_back((time, start));
    }

    /// The latest start of a chain that ends in `from..=until`; neither end ever decreases.
    fn latest_start(&mut self, from: i64, until: i64) -> Option<i64> {
        while let Some((time, start)) = self.pending.front().copied()
            && time <= until
        {
            self.pending.pop_front();
            self.add(time, start);
        }
        while self.best.front().is_some_and(|(time, _)| *time < from) {
            self.best.pop_front();
        }
        self.best.front().map(|(_, start)| *start)
    }
}

/// The method, with what it needs to hold between users.
#[derive(Debug, Clone)]
pub struct Gaps {
    pub(super) rules: Rules,
    /// Limits after each step.
    pub(super) within: Vec<i64>,
    pub(super) after: Vec<i64>,
    /// Chains that end with a step after which none may be skipped.
    ends: Vec<Ends>,
    pub(super) ties: Ties,
    optional: u64,
    /// Positions of the events that satisfy each step that may be skipped.
    occurrences: Vec<Vec<u32>>,
}

/// The latest starts of chains that can go on with a step that may come after several others, since those between may be
/// skipped. Such steps have no time limits, and what closes the gap after one of the others closes it after all of them.
struct Ready {
    /// For each step, the latest start of the chains that end with a step before it: never decreases within such a run.
    starts: [i64; 64],
    /// The steps for which there is one.
    some: u64,
}

impl Ready {
    /// Adds a chain that ends with a step before those of `follows`.
    fn add(&mut self, follows: u64, start: i64) {
        for step in bits(follows) {
            if self.some >> step & 1 == 1 && self.starts[step] >= start {
                break;
            }
            self.some |= 1 << step;
            self.starts[step] = start;
        }
    }
}

impl Gaps {
    /// For a spec.
    pub fn new(spec: &Spec) -> Self {
        let limit =
            |limits: &[i64], none: i64| (0..spec.steps).map(|s| limits.get(s).copied().unwrap_or(none)).collect();
        Self {
            rules: Rules::of(spec),
            within: limit(&spec.step_within, i64::MAX),
            after: limit(&spec.step_after, 0),
            ends: vec![Ends::default(); spec.steps],
            ties: Ties::default(),
            optional: spec.optional,
            occurrences: vec![Vec::new(); spec.steps],
        }
    }

    /// Reads a user's events.
    pub fn prepare(&mut self, events: &[Event]) {
        if self.optional == 0 {
            return;
        }
        self.occurrences.iter_mut().for_each(Vec::clear);
        for (at, event) in (0u32..).zip(events) {
            bits(event.mask & self.optional).for_each(|step| self.occurrences[step].push(at));
        }
    }

    /// When a step that may be skipped is satisfied next, from a position on.
    pub(super) fn next_of(&self, events: &[Event], step: usize, from: usize) -> Option<i64> {
        let positions = &self.occurrences[step];
        let next = positions.partition_point(|at| (*at as usize) < from);
        positions.get(next).map(|at| events[*at as usize].time)
    }

    /// The best chain that starts at one of `starts`, of a level of at most `cap`.
    pub fn best(&mut self, events: &[Event], deadlines: &mut Deadlines, starts: Starts, cap: usize) -> Found {
        let horizon = if starts.last == i64::MAX { i64::MAX } else { deadlines.of(starts.last) };
        let Self { rules, within, after, ends, ties, .. } = self;
        ends.iter_mut().for_each(|e| {
            e.pending.clear();
            e.best.clear();
        });
        let mut closed_at = [i64::MIN; 64];
        let mut ready = Ready { starts: [0; 64], some: 0 };
        let mut found = Found { level: 0, start: 0, completed: Some(0), met: 0 };
        let mut from = events.partition_point(|e| e.time < starts.from);
        while from < events.len() && found.level < cap && events[from].time <= horizon {
            let to = tie_end(events, from);
            let time = events[from].time;
            ties.read(&events[from..to], rules);
            from = to;

            // Latest starts of chains whose first step at this instant is `s`.
            let mut arrived = 0u64;
            let mut arrivals = [0i64; 64];
            for s in bits(ties.steps) {
                let start = if s == 0 {
                    starts.contain(time).then_some(time)
                } else if rules.in_run(s) {
                    (ready.some >> s & 1 == 1).then_some(ready.starts[s])
                } else {
                    let p = s - 1;
                    let oldest = match within[p] {
                        i64::MAX => closed_at[p],
                        limit => closed_at[p].max(time.saturating_sub(limit)),
                    };
                    ends[p].latest_start(oldest, time.saturating_sub(after[p]))
                };
                if let Some(start) = start.filter(|start| deadlines.of(*start) >= time) {
                    arrived |= 1 << s;
                    arrivals[s] = start;
                }
            }
            let closed = rules.closed(ties.conditions) & rules.all;
            for p in bits(closed) {
                closed_at[p] = time;
            }
            ready.some &= !(closed << 1);
            if arrived == 0 {
                continue;
            }
            // What arrived came from earlier instants, so that chains can be committed now. The latest start over the stretch
            // to a step is that over the stretch to the step before, where it is longer by this step alone.
            let mut stretch = (0u64, None);
            let mut latest_over = |firsts: u64, last: usize| {
                let (known, latest): (u64, Option<i64>) = stretch;
                let own = (arrived >> last & 1 == 1).then_some(arrivals[last]);
                let latest = match known != 0 && firsts == known | 1 << last {
                    true => latest.max(own),
                    false => bits(firsts & arrived).map(|s| arrivals[s]).max(),
                };
                stretch = (firsts, latest);
                latest
            };
            let mut commits = [0i64; 64];
            let mut committed = 0u64;
            for last in bits(ties.steps) {
                let firsts = ties.stretches[last];
                let Some(start) = latest_over(firsts, last) else { continue };
                if rules.required >> last & 1 == 1 && rules.levels[last] > found.level {
                    found = Found { level: rules.levels[last], start, completed: Some(time), met: 0 };
                }
                let leaving = rules.may_leave(ties.conditions, last);
                let start = match firsts & !leaving {
                    0 => Some(start),
                    _ => bits(firsts & leaving & arrived).map(|s| arrivals[s]).max(),
                };
                if let Some(start) = start {
                    committed |= 1 << last;
                    commits[last] = start;
                }
            }
            // The last step first: its start is the latest of a run, and the others then change few entries.
            while let Some(last) = committed.checked_ilog2() {
                let last = last as usize;
                committed &= !(1 << last);
                if rules.follows[last] != 0 && rules.in_run(last + 1) {
                    ready.add(rules.follows[last], commits[last]);
                } else if after[last] > 0 {
                    ends[last].pending.push_back((time, commits[last]));
                } else {
                    ends[last].add(time, commits[last]);
                }
            }
        }
        found
    }

    /// The last step that is not optional of chains of a level.
    fn last_step(&self, level: usize) -> Option<usize> {
        (0..self.rules.steps).find(|s| self.rules.required >> s & 1 == 1 && self.rules.levels[*s] == level)
    }

    /// The same chain with as many steps that may be skipped as it can have, lower ones first, if it is to be complete then;
    /// of those chains the one that starts latest. One more pass, up to the completion, for each such step.
    pub fn with_optional(
        &mut self,
        events: &[Event],
        deadlines: &mut Deadlines,
        starts: Starts,
        mut found: Found,
    ) -> Found {
        let (Some(last), Some(completed)) = (self.last_step(found.level), found.completed) else { return found };
        let below = u64::MAX >> (63 - last);
        let from = events.partition_point(|e| e.time < starts.from);
        let until = events.partition_point(|e| e.time <= completed);
        let events = &events[from..until];
        let seen = events.iter().fold(0, |word, e| word | e.mask);
        let base = self.rules.clone();
        let mut open = base.bits & !base.required & below;
        let mut skipped = open & !seen;
        open &= seen;
        // Most often all of them can be met, or this one and the others are looked at one by one.
        let mut attempt = open;
        while open != 0 {
            let required = base.required | found.met | attempt;
            self.rules = base.with(required, skipped);
            let level = (required & below).count_ones() as usize;
            let better = self.best(events, deadlines, starts, level);
            if better.level == level {
                found.met |= attempt;
                found.start = better.start;
                open &= !attempt;
            } else if attempt.count_ones() == 1 {
                skipped |= attempt;
                open &= !attempt;
            }
            attempt = open & open.wrapping_neg();
        }
        self.rules = base;
        found
    }

    /// The events of the chain that was found, appended to `places`.
    pub fn chain(&mut self, events: &[Event], deadlines: &mut Deadlines, found: &Found, places: &mut Vec<Place>) {
        let Some(last) = self.last_step(found.level) else { return };
        let base = self.rules.clone();
        if found.completed.is_some() {
            let below = u64::MAX >> (63 - last);
            let skipped = base.bits & !base.required & below & !found.met;
            self.rules = base.with(base.required | found.met, skipped);
        }
        let deadline = deadlines.of(found.start);
        let from = events.partition_point(|e| e.time < found.start);
        let until = found.completed.unwrap_or(deadline);
        Way::new(self, events, last, found.completed, places).go(from, until, deadline);
        self.rules = base;
    }
}
