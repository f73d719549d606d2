//! The events of one chain, its start and completion being known, under rules on what lies between steps.
//!
//! A pass backwards marks at each instant the steps from which the chain can still be completed; a pass forwards takes the
//! earliest marked event for each step. O(n k), with 64 bytes an instant between start and completion.
//! Does not deal with: finding start and completion (`gaps`).

use super::Place;
use super::gaps::Gaps;
use super::ties::{bits, can_serve, choose};
use crate::algo::event::{Event, tie_end};

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
pub struct Way<'a> {
    gaps: &'a mut Gaps,
    events: &'a [Event],
    /// The last step that is not optional.
    last: usize,
    completed: Option<i64>,
    groups: Vec<Group>,
    places: &'a mut Vec<Place>,
}

impl<'a> Way<'a> {
    /// A chain whose last step that is not optional is `last`, completed then, or as early as it can be.
    pub fn new(
        gaps: &'a mut Gaps,
        events: &'a [Event],
        last: usize,
        completed: Option<i64>,
        places: &'a mut Vec<Place>,
    ) -> Self {
        Self { gaps, events, last, completed, groups: Vec::new(), places }
    }

    /// Appends the places of the chain that starts at the instant of the event `from`, completes by `until` and may take
    /// optional steps until `deadline`.
    pub fn go(&mut self, from: usize, until: i64, deadline: i64) {
        self.mark(from, until);
        self.walk(deadline);
    }

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
        // A look ahead, so that a step that never comes is not looked for to the end of every window.
        if self.gaps.next_of(self.events, next, self.groups[at].to).is_none_or(|time| time > deadline) {
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
