//! One user's chains, by the method that the spec needs.
//!
//! Deals with: choosing the method; the canonical chain among the longest; the starts that `entry` and `period` allow.
//! Does not deal with: held values (`held`).

use super::any_order::AnyOrder;
use super::gaps::Gaps;
use super::spec::{Between, Entry, Order, Pick, Spec};
use super::window::{Deadline, Deadlines, Starts};
use super::{Found, Place, plain};
use crate::algo::event::Event;

/// How chains are found.
#[derive(Debug, Clone)]
enum How {
    Plain,
    Gaps(Box<Gaps>),
    AnyOrder(Box<AnyOrder>),
}

/// The method of a spec.
#[derive(Debug, Clone)]
pub struct Method {
    spec: Spec,
    how: How,
    deadlines: Deadlines,
    /// The most steps that count.
    pub most: usize,
    /// The steps with which a chain can start.
    pub openings: u64,
    /// The instants, ascending, at which a chain may start, where these steps do not tell it alone.
    pub entries: Option<Vec<i64>>,
}

/// A calendar period, or all of time, and the starts in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// Number of the period.
    pub period: Option<i64>,
    /// The starts allowed.
    pub starts: Starts,
}

impl Method {
    /// For a spec.
    pub fn new(spec: Spec) -> Self {
        let plain = spec.between == Between::Anything
            && spec.optional == 0
            && spec.exclusions.is_empty()
            && spec.step_within.iter().all(|limit| *limit == i64::MAX)
            && spec.step_after.iter().all(|limit| *limit == 0);
        let (how, openings) = match spec.order {
            Order::AnyOrder => {
                let any_order = AnyOrder::new(&spec);
                let openings = any_order.openings();
                (How::AnyOrder(Box::new(any_order)), openings)
            }
            _ if plain => (How::Plain, 1),
            _ => (How::Gaps(Box::new(Gaps::new(&spec))), 1),
        };
        let most = spec.required().count_ones() as usize;
        Self { deadlines: Deadlines::new(spec.window.clone()), spec, how, most, openings, entries: None }
    }

    /// Whether a chain may start with an event, as far as itself tells.
    #[inline]
    fn opens(&self, event: &Event) -> bool {
        event.mask & self.openings != 0
            && self.entries.as_ref().is_none_or(|times| times.binary_search(&event.time).is_ok())
    }

    /// Whether nothing is asked of what lies between steps.
    pub fn is_plain(&self) -> bool {
        matches!(self.how, How::Plain)
    }

    /// What is asked.
    pub fn spec(&self) -> &Spec {
        &self.spec
    }

    /// What is asked, and when windows end.
    pub fn parts(&mut self) -> (&Spec, &mut Deadlines) {
        (&self.spec, &mut self.deadlines)
    }

    /// The last instant of a chain that starts then.
    pub fn deadline(&mut self, start: i64) -> i64 {
        self.deadlines.of(start)
    }

    /// Makes ready for the questions about a user.
    pub fn prepare(&mut self, events: &[Event]) {
        debug_assert!(events.is_sorted_by_key(|e| e.time));
        match &mut self.how {
            How::Plain => {}
            How::Gaps(gaps) => gaps.prepare(events),
            How::AnyOrder(any_order) => any_order.prepare(events, self.entries.as_deref()),
        }
    }

    /// The longest chain that starts at one of `starts` (no longer than `cap`); of those the one that completes earliest,
    /// and of those the one that starts latest, whatever steps are skipped.
    #[inline]
    pub fn best(&mut self, events: &[Event], starts: Starts, cap: usize) -> Found {
        let Self { spec, how, deadlines, .. } = self;
        match how {
            How::Plain => match deadlines.ticks() {
                Some(mut ticks) => plain::best(events, spec, &mut ticks, starts, cap),
                None => plain::best(events, spec, deadlines, starts, cap),
            },
            How::Gaps(gaps) => gaps.best(events, deadlines, starts, cap),
            How::AnyOrder(any_order) => any_order.best(events, deadlines, starts, cap),
        }
    }

    /// The canonical chain, as far as its events are not needed. Level 0 where there is none.
    pub fn canonical(&mut self, events: &[Event], starts: Starts, cap: usize) -> Found {
        let found = self.best(events, starts, cap);
        if found.level == 0 {
            return found;
        }
        if self.spec.pick == Pick::EarliestCompletion {
            return match &mut self.how {
                How::Gaps(gaps) if self.spec.optional != 0 => {
                    gaps.with_optional(events, &mut self.deadlines, starts, found)
                }
                _ => found,
            };
        }
        // To allow more starts never makes chains shorter: the earliest start is found by bisection.
        let from = events.partition_point(|e| e.time < starts.from);
        let until = events.partition_point(|e| e.time <= found.start);
        let mut candidates: Vec<i64> = events[from..until].iter().filter(|e| self.opens(e)).map(|e| e.time).collect();
        candidates.dedup();
        let earliest = candidates.partition_point(|last| {
            let starts = Starts { last: *last, ..starts };
            self.best(events, starts, found.level).level < found.level
        });
        Found { start: candidates.get(earliest).copied().unwrap_or(found.start), completed: None, ..found }
    }

    /// The most steps that a chain of one of so many spans can have. Where there are several, one pass over all of time
    /// spares each of them the way to the end of its window, if the last steps are never reached.
    pub fn cap(&mut self, events: &[Event], spans: usize) -> usize {
        if spans > 1 { self.best(events, Starts::ANY, self.most).level } else { self.most }
    }

    /// The events of a chain that was found, appended to `places`.
    pub fn chain(&mut self, events: &[Event], found: &Found, places: &mut Vec<Place>) {
        let Self { spec, how, deadlines, .. } = self;
        match how {
            How::Plain => plain::chain(events, spec, found, places),
            How::Gaps(gaps) => gaps.chain(events, deadlines, found, places),
            How::AnyOrder(any_order) => any_order.chain(events, deadlines, found, places),
        }
    }

    /// One chain after the other, in order of time, of those that start at one of `starts`: `each` gets them with the number
    /// of events that `places` had before.
    ///
    /// Of the chains that start in the window of the next event left, the canonical one is taken. A search looks at two
    /// windows at most, and goes no further than the chain where that is complete, so that no event is looked at more than a
    /// few times: linear, if the chain to take is the one that completes earliest.
    pub fn all(
        &mut self,
        events: &[Event],
        starts: Starts,
        places: &mut Vec<Place>,
        mut each: impl FnMut(&Found, usize, &[Place]),
    ) {
        // No chain is longer than the longest of all: one pass spares each search the way to the end of its windows.
        let cap = self.best(events, starts, self.most).level;
        let mut from = starts.from;
        let mut next = events.partition_point(|e| e.time < from);
        loop {
            while next < events.len() && (events[next].time < from || !self.opens(&events[next])) {
                next += 1;
            }
            let Some(first) = events.get(next).map(|e| e.time).filter(|time| *time <= starts.last) else { return };
            let window = self.deadlines.of(first);
            let found = self.canonical(events, Starts { from: first, last: window.min(starts.last) }, cap);
            let before = places.len();
            if found.level > 0 {
                self.chain(events, &found, places);
                each(&found, before, places);
            }
            let end = if found.level == self.most {
                places[before..].iter().map(|p| events[p.at as usize].time).max().unwrap_or(first)
            } else {
                window
            };
            match end.checked_add(1) {
                Some(after) => from = after,
                None => return,
            }
        }
    }

    /// The spans of time whose chains are asked for, from all events at which one of them may start.
    pub fn spans(&mut self, events: &[Event], spans: &mut Vec<Span>) {
        spans.clear();
        let first_only = self.spec.entry == Entry::First;
        let (openings, mature) = (self.openings, self.spec.mature_bit());
        if !first_only && mature == 0 && self.spec.period.is_none() {
            spans.push(Span { period: None, starts: Starts::ANY });
            return;
        }
        let entries = self.entries.as_deref();
        let opens = events.iter().filter(|e| {
            e.mask & openings != 0
                && e.mask & mature == mature
                && entries.is_none_or(|times| times.binary_search(&e.time).is_ok())
        });
        for time in opens.map(|e| e.time) {
            let period = match &mut self.spec.period {
                None => None,
                // A time beyond the calendar is in no period.
                Some(calendar) => match calendar.bucket(time) {
                    Some(period) => Some(period),
                    None => continue,
                },
            };
            match spans.last_mut() {
                Some(span) if span.period == period => {
                    if first_only && period.is_none() {
                        break;
                    }
                    if !first_only {
                        span.starts.last = time;
                    }
                }
                _ => spans.push(Span { period, starts: Starts { from: time, last: time } }),
            }
        }
    }
}
