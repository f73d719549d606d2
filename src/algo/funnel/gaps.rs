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
//! **Chain.** Start and completion being known, a pass backwards marks at each instant the steps from which the chain can
//! still be completed; a pass forwards takes the earliest marked event for each step. O(n k), with 24 bytes an event between
//! start and completion.
//!
//! **Steps that may be skipped.** They do not count for the level, so that the first pass says when the chain completes. Each
//! of them (all at once, and if that fails one by one) is then required in one more pass up to that completion:
//! O(n k) for each that is there and cannot be met.
//!
//! Memory of the queues: O(n k) at worst where `step_after` holds entries back, else as many as starts increase.

use std::collections::VecDeque;

use super::spec::Spec;
use super::ties::{Rules, Ties, bits, can_serve, choose};
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
    rules: Rules,
    /// Limits after each step.
    within: Vec<i64>,
    after: Vec<i64>,
    /// Chains that end with a step after which none may be skipped.
    ends: Vec<Ends>,
    ties: Ties,
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
        }
    }

    /// The best chain that starts at one of `starts`, of a level of at most `cap`.
    pub fn best(&mut self, events: &[Event], deadlines: &mut Deadlines, starts: Starts, cap: usize) -> Found {
        let horizon = if starts.last == i64::MAX { i64::MAX } else { deadlines.of(starts.last) };
        let Self { rules, within, after, ends, ties } = self;
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
        let mut way = Way { gaps: self, events, last, completed: found.completed, groups: Vec::new(), places };
        way.mark(from, until);
        way.walk(deadline);
        self.rules = base;
    }
}

/// An instant on the way.
struct Group {
    from: usize,
    to: usize,
    time: i64,
    conditions: u64,
    /// Gaps that this instant closes.
    closed: u64,
    /// Steps after which a chain can go on from here and be completed.
    goes_on: u64,
    /// Steps that a chain may take first here and be completed.
    enters: u64,
}

/// The way of one chain from its start to its completion.
struct Way<'a> {
    gaps: &'a mut Gaps,
    events: &'a [Event],
    /// The last step that is not optional.
    last: usize,
    completed: Option<i64>,
    groups: Vec<Group>,
    places: &'a mut Vec<Place>,
}

impl Way<'_> {
    fn group(&self, from: usize) -> Group {
        let to = tie_end(self.events, from);
        let conditions = self.events[from..to].iter().fold(0, |word, e| word | e.mask);
        let closed = self.gaps.rules.closed(conditions);
        Group { from, to, time: self.events[from].time, conditions, closed, goes_on: 0, enters: 0 }
    }

    fn is_completion(&self, time: i64) -> bool {
        self.completed.is_none_or(|completed| completed == time)
    }

    /// Lists the instants up to `until` and marks, backwards, the steps from which the chain can be completed.
    fn mark(&mut self, mut from: usize, until: i64) {
        while from < self.events.len() && self.events[from].time <= until {
            let group = self.group(from);
            from = group.to;
            self.groups.push(group);
        }
        let steps = self.gaps.rules.steps;
        // The next instant that closes the gap after a step, and the next one that a chain may enter from it.
        let (mut closes, mut entered) = (vec![i64::MAX; steps], vec![None::<i64>; steps]);
        // The same for steps that must wait: the earliest such instant that is far enough, and how far it was looked for.
        let mut far = vec![(None::<i64>, self.groups.len()); steps];
        for at in (0..self.groups.len()).rev() {
            let Group { from, to, time, conditions, closed, .. } = self.groups[at];
            let Gaps { rules, within, after, ties, .. } = &mut *self.gaps;
            ties.read(&self.events[from..to], rules);
            let mut goes_on = 0u64;
            for p in bits(ties.steps).take_while(|p| *p < self.last) {
                let latest = closes[p].min(time.saturating_add(within[p]));
                let reachable = |next: Option<i64>| next.is_some_and(|next| next <= latest);
                let reaches = match after[p] > 0 {
                    true => {
                        let earliest = time.saturating_add(after[p]);
                        let (found, looked) = &mut far[p];
                        while *looked > at + 1 && self.groups[*looked - 1].time >= earliest {
                            *looked -= 1;
                            if self.groups[*looked].enters >> (p + 1) & 1 == 1 {
                                *found = Some(self.groups[*looked].time);
                            }
                        }
                        reachable(*found)
                    }
                    false => reachable(entered[p]),
                };
                goes_on |= u64::from(reaches) << p;
            }
            let ends_here = self.completed.is_none_or(|completed| completed == time);
            let mut entry = 0u64;
            for q in bits(ties.steps).take_while(|q| *q <= self.last) {
                if q == self.last {
                    if ends_here {
                        entry |= ties.stretches[q];
                    }
                } else if goes_on >> q & 1 == 1 {
                    entry |= ties.stretches[q] & rules.may_leave(conditions, q);
                }
            }
            (self.groups[at].goes_on, self.groups[at].enters) = (goes_on, entry);
            for p in bits(bits(entry).fold(0, |before, s| before | rules.precedes[s])) {
                entered[p] = Some(time);
            }
            for p in bits(closed & rules.all) {
                closes[p] = time;
            }
        }
    }

    /// Takes the earliest marked event for each step.
    fn walk(&mut self, deadline: i64) {
        // Where the chain is, the step it came there with, and the steps it has served there.
        let (mut at, mut first, mut served, mut latest) = (0, 0, 1u64, 0);
        for next in 1..=self.last {
            if self.gaps.rules.bits >> next & 1 == 0 {
                continue;
            }
            if self.stays(at, first, served, next) {
                served |= 1 << next;
            } else if let Some(later) = self.later(at, first, latest, next) {
                self.serve(at, served);
                (at, first, served) = (later, next, 1 << next);
            } else {
                debug_assert!(self.gaps.rules.required >> next & 1 == 0, "step {next} of a chain that was found");
                continue;
            }
            latest = next;
        }
        // Optional steps after the last one that counts.
        for next in self.last + 1..self.gaps.rules.steps {
            if self.gaps.rules.required >> next & 1 == 1 {
                break;
            }
            let group = &self.groups[at];
            if can_serve(&self.events[group.from..group.to], served | 1 << next, &self.gaps.rules) {
                served |= 1 << next;
            } else if let Some(later) = self.trailing(at, first, latest, next, deadline) {
                self.serve(at, served);
                (at, first, served) = (later, next, 1 << next);
            } else {
                continue;
            }
            latest = next;
        }
        self.serve(at, served);
    }

    /// Whether a chain that has served `served` at this instant, `first` first, can serve `next` there too and be completed.
    fn stays(&self, at: usize, first: usize, served: u64, next: usize) -> bool {
        let (group, rules) = (&self.groups[at], &self.gaps.rules);
        let events = &self.events[group.from..group.to];
        let mut inner = 0u64;
        for last in next..=self.last {
            if group.conditions >> last & 1 == 1 {
                let ends = match last == self.last {
                    true => self.is_completion(group.time),
                    false => {
                        group.goes_on >> last & 1 == 1 && rules.may_leave(group.conditions, last) >> first & 1 == 1
                    }
                };
                if ends && can_serve(events, served | 1 << next | inner | 1 << last, rules) {
                    return true;
                }
            }
            if rules.required >> last & 1 == 1 {
                inner |= 1 << last;
            }
            if inner & !group.conditions != 0 {
                return false;
            }
        }
        false
    }

    /// The earliest later instant at which the chain can take `next` after `latest` and be completed.
    fn later(&self, at: usize, first: usize, latest: usize, next: usize) -> Option<usize> {
        let (group, gaps) = (&self.groups[at], &*self.gaps);
        if gaps.rules.may_leave(group.conditions, latest) >> first & 1 == 0 {
            return None;
        }
        let earliest = group.time.saturating_add(gaps.after[latest]);
        let end = group.time.saturating_add(gaps.within[latest]);
        for (place, later) in self.groups.iter().enumerate().skip(at + 1) {
            if later.time > end {
                return None;
            }
            if later.time >= earliest && later.enters >> next & 1 == 1 {
                return Some(place);
            }
            if later.closed >> latest & 1 == 1 {
                return None;
            }
        }
        None
    }

    /// The earliest later instant within the window at which the optional step `next` can be taken after `latest`.
    fn trailing(&mut self, at: usize, first: usize, latest: usize, next: usize, deadline: i64) -> Option<usize> {
        let rules = &self.gaps.rules;
        if rules.may_leave(self.groups[at].conditions, latest) >> first & 1 == 0 {
            return None;
        }
        let mut place = at + 1;
        loop {
            if place == self.groups.len() {
                let from = self.groups[place - 1].to;
                if from == self.events.len() || self.events[from].time > deadline {
                    return None;
                }
                self.groups.push(self.group(from));
            }
            let later = &self.groups[place];
            if later.conditions >> next & 1 == 1 {
                return Some(place);
            }
            if later.closed >> latest & 1 == 1 {
                return None;
            }
            place += 1;
        }
    }

    fn serve(&mut self, at: usize, served: u64) {
        let group = &self.groups[at];
        let chosen = choose(&self.events[group.from..group.to], served, &self.gaps.rules);
        for (step, event) in bits(served).zip(chosen) {
            self.places.push(Place { step: step as u32, at: group.from as u32 + event });
        }
    }
}
