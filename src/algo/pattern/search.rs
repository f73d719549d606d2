//! Finding matches of a pattern in one user's events, without backtracking.
//!
//! **Method.** Every condition on a match (order, gaps, limits of the form low..=high, the whole span, seats at one
//! instant) survives taking, element by element, the earlier of the instants of two matches. So there is one *earliest
//! match*: each of its elements is at the earliest instant at which any match has it. It is found by raising: all elements
//! stand on the first instant; as long as a condition is broken, there is one element that no match can have where it
//! stands, and it moves on to the next instant. What remains when nothing is broken is the earliest match.
//! Elements only move forward, so all matches of a user together cost at most n moves for each of m elements; what an
//! element may not jump over is remembered as it moves. O(n m) time, O(m) memory.
//!
//! **Ties** are groups: an element stands on an instant, and `tied` tells whether the group's events can serve the
//! elements that stand on it. An event that may lie neither before, between nor after these elements must serve one of
//! them; if it cannot, the element before must come up to this instant. A group costs its size for each such question, of
//! which there are O(m) for each element that passes.
//!
//! **`!=`** is not a range: it makes the pattern two patterns, below and above. Each is searched on its own, and the match that
//! ends first is taken (of several the one whose last but one element is earliest, and so on).
//!
//! **Counting.** The next match begins among what the one before left: later instants, and events at its last instant that
//! it does not need. Taking the match that ends first leaves the most, so the count is the greatest number of matches that
//! do not overlap, in the best order of tied events.

use super::parse::Bounds;
use super::tied::{Seats, all_seated, fits};
use super::{Element, Gap, Pattern};
use crate::algo::event::{Event, tie_end};

/// An element with its limits in ticks.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Step {
    /// Bit of the condition; 0 takes any event.
    condition: u64,
    /// What may lie before it.
    gap: Gap,
    /// Least and greatest time since the element before.
    low: u64,
    high: u64,
}

impl Step {
    /// Whether an event with these conditions serves the element.
    #[inline]
    pub fn takes(&self, mask: u64) -> bool {
        self.condition == 0 || mask & self.condition != 0
    }
}

/// A pattern ready to be searched for in times of one unit.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Plan {
    /// The pattern, once for each way to take its `!=` limits; none where a limit cannot be met in whole ticks.
    ways: Vec<Vec<Step>>,
    /// Greatest time from the first to the last element.
    within: u64,
}

impl Plan {
    /// `within` bounds the time from a match's first to its last event, in nanoseconds.
    pub fn new(pattern: &Pattern, within: Option<u128>, nanos_per_tick: u128) -> Self {
        let ticks = |nanos: u128| u64::try_from(nanos / nanos_per_tick).unwrap_or(u64::MAX);
        let mut ways: Vec<Vec<Step>> = vec![Vec::new()];
        for element in &pattern.elements {
            let steps = steps(element, nanos_per_tick);
            let longer =
                |way: Vec<Step>| steps.iter().map(move |step| [way.as_slice(), std::slice::from_ref(step)].concat());
            ways = ways.into_iter().flat_map(longer).collect();
        }
        Self { ways, within: within.map_or(u64::MAX, ticks) }
    }
}

#[cfg(test)]
impl Plan {
    pub(super) fn ways(&self) -> &[Vec<Step>] {
        &self.ways
    }
}

/// An element as the ranges that its limits leave, in ticks: one, and one more for each `!=`.
fn steps(element: &Element, nanos_per_tick: u128) -> Vec<Step> {
    let bounds = Bounds::of(&element.limits);
    let mut holes: Vec<u128> = bounds.unequal.iter().filter(|x| **x % nanos_per_tick == 0).copied().collect();
    holes.sort_unstable();
    holes.dedup();
    let condition = element.condition.map_or(0, |c| 1 << c);
    let (mut low, high) = (bounds.low.div_ceil(nanos_per_tick), bounds.high / nanos_per_tick);
    let mut steps = Vec::new();
    let mut range = |low: u128, high: u128| {
        if let (true, Ok(low)) = (low <= high, u64::try_from(low)) {
            let high = u64::try_from(high).unwrap_or(u64::MAX);
            steps.push(Step { condition, gap: element.gap, low, high });
        }
    };
    for hole in holes.into_iter().map(|nanos| nanos / nanos_per_tick) {
        if let Some(below) = hole.checked_sub(1) {
            range(low, high.min(below));
        }
        low = low.max(hole + 1);
    }
    range(low, high);
    steps
}

/// A search that keeps its buffers from user to user.
#[derive(Debug, Clone)]
pub struct Search {
    plan: Plan,
    ways: Vec<Way>,
}

/// The elements of one way to take the pattern, on their way through the events.
#[derive(Debug, Clone, Default)]
struct Way {
    places: Vec<Place>,
    /// Nothing more is to be found.
    exhausted: bool,
}

/// Where an element stands.
#[derive(Debug, Clone, Copy)]
struct Place {
    /// The group of tied events: `from..to`.
    from: usize,
    to: usize,
    /// Whether some event of the group serves the element, once that was looked up.
    served: Option<bool>,
    /// The last group before this one that may not lie in the gap before the element.
    barred: Option<usize>,
}

/// No place is left for an element.
struct Exhausted;

impl Search {
    /// For any number of users.
    pub fn new(plan: Plan) -> Self {
        let ways = vec![Way::default(); plan.ways.len()];
        Self { plan, ways }
    }

    /// Whether the pattern occurs. `events` are sorted by time; ties may come in any order.
    pub fn occurs(&mut self, events: &[Event]) -> bool {
        self.begin(events);
        self.next(events, 0, &mut None).is_some()
    }

    /// The times of the match that ends first, one for each element, appended to `times`; whether there is one.
    pub fn first(&mut self, events: &[Event], times: &mut Vec<i64>) -> bool {
        self.begin(events);
        let Some(way) = self.next(events, 0, &mut None) else { return false };
        times.extend(self.ways[way].places.iter().map(|place| events[place.from].time));
        true
    }

    /// The greatest number of matches that do not overlap.
    pub fn count(&mut self, events: &[Event]) -> u64 {
        self.begin(events);
        let (mut count, mut start) = (0, 0);
        // The events at the instant `start` that earlier matches use, where they use some of them.
        let mut seats: Option<Seats> = None;
        while let Some(way) = self.next(events, start, &mut seats) {
            count += 1;
            let (places, steps) = (&self.ways[way].places, &self.plan.ways[way]);
            let last = places[places.len() - 1];
            if last.to - last.from == 1 {
                (start, seats) = (last.to, None);
                continue;
            }
            // A match that lies in `start` as a whole has taken its seats while it was found.
            if seats.is_none() || last.from != start {
                let mut taken = Seats::new(&events[last.from..last.to], steps);
                let first = places.partition_point(|place| place.from < last.from);
                (first..places.len()).for_each(|element| _ = taken.add(element));
                seats = Some(taken);
            }
            start = last.from;
            if seats.as_ref().is_some_and(Seats::is_full) {
                (start, seats) = (last.to, None);
            }
        }
        count
    }

    fn begin(&mut self, events: &[Event]) {
        debug_assert!(events.is_sorted_by_key(|e| e.time));
        for (way, steps) in self.ways.iter_mut().zip(&self.plan.ways) {
            way.exhausted = events.is_empty();
            way.places.clear();
            if let Some(to) = (!events.is_empty()).then(|| tie_end(events, 0)) {
                way.places.resize(steps.len(), Place { from: 0, to, served: None, barred: None });
            }
        }
    }

    /// Moves every way to its next match from the instant at `start`; the one whose match ends first.
    fn next(&mut self, events: &[Event], start: usize, seats: &mut Option<Seats>) -> Option<usize> {
        let within = self.plan.within;
        if let ([way], [steps]) = (self.ways.as_mut_slice(), self.plan.ways.as_slice()) {
            return way.next(events, steps, within, start, seats.as_mut()).then_some(0);
        }
        let mut best: Option<(usize, Option<Seats>)> = None;
        for at in 0..self.ways.len() {
            let mut taken = seats.clone();
            let found = self.ways[at].next(events, &self.plan.ways[at], within, start, taken.as_mut());
            let backwards = |way: usize| self.ways[way].places.iter().rev().map(|place| place.from);
            if found && best.as_ref().is_none_or(|(best, _)| backwards(at).lt(backwards(*best))) {
                best = Some((at, taken));
            }
        }
        let (way, taken) = best?;
        *seats = taken;
        Some(way)
    }
}

impl Way {
    /// Raises the elements to the earliest match that begins at `start` or later; `seats` are what is left there.
    fn next(&mut self, events: &[Event], steps: &[Step], within: u64, start: usize, seats: Option<&mut Seats>) -> bool {
        self.exhausted = self.exhausted || self.raise(events, steps, within, start, seats).is_err();
        !self.exhausted
    }

    fn raise(
        &mut self,
        events: &[Event],
        steps: &[Step],
        within: u64,
        start: usize,
        mut seats: Option<&mut Seats>,
    ) -> Result<(), Exhausted> {
        // How many elements, from the first, have seats at `start` beside those of earlier matches.
        let mut seated = 0;
        let mut k = 0;
        loop {
            if k == steps.len() {
                if self.distance(events, 0, k - 1) <= within {
                    return Ok(());
                }
                while self.distance(events, 0, k - 1) > within {
                    self.step(events, steps, 0)?;
                }
                k = 0;
            }
            let floor = if k == 0 { start } else { self.places[k - 1].from };
            while self.places[k].from < floor
                || (k > 0 && self.distance(events, k - 1, k) < steps[k].low)
                || !self.is_served(events, steps, k)
            {
                self.step(events, steps, k)?;
            }
            if k > 0 {
                let before = self.places[k - 1].from;
                while self.distance(events, k - 1, k) > steps[k].high
                    || self.places[k].barred.is_some_and(|barred| self.places[k - 1].from < barred)
                {
                    self.step(events, steps, k - 1)?;
                }
                if self.places[k - 1].from != before {
                    k -= 1;
                    continue;
                }
            }
            let place = self.places[k];
            let first = self.places[..k].partition_point(|p| p.from < place.from);
            let has_seat = match &mut seats {
                Some(seats) if place.from == start => {
                    // Elements come to `start` in their order, and none comes back to it.
                    let has_seat = k < seated || seats.add(k);
                    seated = seated.max(k + usize::from(has_seat));
                    has_seat
                }
                _ => first == k || fits(&events[place.from..place.to], &steps[first..=k]),
            };
            if !has_seat {
                self.step(events, steps, k)?;
                continue;
            }
            // The instant that the element before stands on is complete now.
            if first == k && k > 0 {
                let closed = self.places[k - 1];
                let first = self.places[..k].partition_point(|p| p.from < closed.from);
                if first > 0 && !self.leftovers_may_lie(events, steps, first, k) {
                    while self.places[first - 1].from < closed.from {
                        self.step(events, steps, first - 1)?;
                    }
                    k = first - 1;
                    continue;
                }
            }
            k += 1;
        }
    }

    /// Whether each event at the instant of elements `first..next` serves one of them or may lie in a gap beside them.
    fn leftovers_may_lie(&self, events: &[Event], steps: &[Step], first: usize, next: usize) -> bool {
        let place = self.places[first];
        // A lone event serves the element that stands on it.
        if place.to - place.from == 1 {
            return true;
        }
        let gaps = &steps[first..=next];
        let must = |mask: u64| !gaps.iter().any(|step| step.gap.admits(mask));
        all_seated(&events[place.from..place.to], &steps[first..next], must)
    }

    /// Time between two elements, exact over the whole range of ticks.
    #[inline]
    fn distance(&self, events: &[Event], a: usize, b: usize) -> u64 {
        let (a, b) = (events[self.places[a].from].time, events[self.places[b].from].time);
        if b < a { 0 } else { b.wrapping_sub(a) as u64 }
    }

    #[inline]
    fn is_served(&mut self, events: &[Event], steps: &[Step], k: usize) -> bool {
        let place = &mut self.places[k];
        let group = &events[place.from..place.to];
        *place.served.get_or_insert_with(|| group.iter().any(|event| steps[k].takes(event.mask)))
    }

    /// Moves an element to the next instant.
    #[inline]
    fn step(&mut self, events: &[Event], steps: &[Step], k: usize) -> Result<(), Exhausted> {
        let Place { from, to, barred, .. } = self.places[k];
        if to == events.len() {
            return Err(Exhausted);
        }
        let gap = steps[k].gap;
        let passes = gap == Gap::Any || events[from..to].iter().all(|event| gap.admits(event.mask));
        let barred = if passes { barred } else { Some(from) };
        self.places[k] = Place { from: to, to: tie_end(events, to), served: None, barred };
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::parse;
    use super::*;

    const A: u64 = 1;
    const B: u64 = 2;
    const C: u64 = 4;

    fn search(text: &str, within: Option<u128>) -> Search {
        Search::new(Plan::new(&parse::pattern(text, 3).unwrap(), within, 1_000_000_000))
    }

    fn events(events: &[(i64, u64)]) -> Vec<Event> {
        events.iter().map(|(time, mask)| Event { time: *time, mask: *mask, tag: 0 }).collect()
    }

    /// Times of the first match, and the count.
    fn find(text: &str, user: &[(i64, u64)]) -> (Vec<i64>, u64) {
        let (mut search, events, mut times) = (search(text, None), events(user), Vec::new());
        assert_eq!(search.first(&events, &mut times), search.occurs(&events));
        (times, search.count(&events))
    }

    #[test]
    fn each_event_of_the_first_match_is_the_earliest_there_is() {
        let user = [(0, A), (3, B), (10, A), (12, B), (13, C), (30, A), (31, B), (32, C)];
        assert_eq!(find("(?1).*(?2).*(?3)", &user), (vec![0, 3, 13], 2));
        assert_eq!(find("(?1)(?t<=2)(?2).*(?3)", &user), (vec![10, 12, 13], 2));
        assert_eq!(find("(?1)[^1]*(?3)", &user), (vec![10, 13], 2));
        assert_eq!(find("(?3).*(?t>=18)(?1)", &user), (vec![], 0));
        assert_eq!(find("(?3).*(?t>=17)(?1)", &user), (vec![13, 30], 1));
        assert_eq!(find("(?2)(?t==28)(?2)", &user), (vec![3, 31], 1));
    }

    #[test]
    fn unequal_times_are_two_ranges() {
        // The earliest start has its partner at 20 only; the later one at 5, which ends first.
        let user = [(0, A), (1, A), (5, B), (20, B)];
        assert_eq!(find("(?1)(?t!=5)(?2)", &user), (vec![1, 5], 1));
        assert_eq!(find("(?1)(?t!=0)(?1)(?t!=0)(?2)", &user), (vec![0, 1, 5], 1));
        assert_eq!(find("(?1)(?t!=4)(?t!=5)(?2)", &user), (vec![0, 20], 1));
    }

    #[test]
    fn the_span_bounds_the_whole_match() {
        let user = events(&[(0, A), (4, B), (8, C), (9, A), (10, B), (14, C)]);
        for (within, want) in [(4, vec![]), (5, vec![9, 10, 14]), (8, vec![0, 4, 8])] {
            let mut times = Vec::new();
            search("(?1).*(?2).*(?3)", Some(within * 1_000_000_000)).first(&user, &mut times);
            assert_eq!(times, want, "{within}");
        }
    }

    #[test]
    fn tied_events_take_the_order_that_suits() {
        let tied = [(5, A), (5, B), (5, B), (5, C)];
        for pattern in ["(?1)(?2)(?2)(?3)", "(?3)(?2)(?1)(?2)", "(?2)(?2)", "(?1)[^2]*(?3)"] {
            assert_eq!(find(pattern, &tied).1, 1, "{pattern}");
        }
        assert_eq!(find("(?2)", &tied).1, 2);
        assert_eq!(find(".", &tied).1, 4);
        assert_eq!(find("(?1)(?t>0)(?2)", &tied).1, 0);
        // What is left at an instant in the middle must lie somewhere: C not between A and B where nothing may, nor in [^3]*.
        let middle = [(0, A), (5, B), (5, C), (9, A)];
        assert_eq!(find("(?1)(?2)(?1)", &middle).1, 0);
        assert_eq!(find("(?1)[^3]*(?2)[^3]*(?1)", &middle).1, 0);
        assert_eq!(find("(?1)[^3]*(?2)[^2]*(?1)", &middle).1, 1);
        assert_eq!(find("(?1)(?3)(?2)(?1)", &middle).1, 1);
        // The first element must come up to the instant at 5, where A would be left over otherwise.
        assert_eq!(find("(?1)(?2)(?3)", &[(0, A), (5, A), (5, B), (9, C)]), (vec![5, 5, 9], 1));
    }

    #[test]
    fn matches_share_an_instant_but_no_event() {
        assert_eq!(find("(?1).*(?2)", &[(0, A), (1, B), (1, A), (1, B), (1, A), (1, B)]).1, 3);
        assert_eq!(find("(?1).*(?2)", &[(0, A | B), (0, A | B), (0, A), (1, B)]).1, 2);
        assert_eq!(find("(?1)(?2)", &[(0, A), (1, A | B), (1, A), (2, B)]).1, 2);
    }

    #[test]
    fn extreme_times_do_not_overflow() {
        let user = [(i64::MIN, A), (i64::MAX, B)];
        assert_eq!(find("(?1)(?t>1000000000 weeks)(?2)", &user).1, 1);
        assert_eq!(find("(?1)(?t<=1000000000 weeks)(?2)", &user).1, 0);
        assert_eq!(find("(?1)(?t<=9999999999999999999999 weeks)(?2)", &user).1, 1);
        assert_eq!(find("(?1)(?t>9999999999999999999999 weeks)(?2)", &user).1, 0);
    }

    #[test]
    fn no_pattern_is_too_hard() {
        let user: Vec<Event> = (0..20_000).map(|time| Event { time, mask: A, tag: 0 }).collect();
        for (pattern, count) in [
            (format!("{}(?2)", "(?1).*(?t>10)".repeat(63)), 0),
            (format!("{}(?2)", "(?1)(?t<=10)".repeat(63)), 0),
            (format!("{}(?1)", "(?1)[^2]*(?t==5)".repeat(63)), 20_000 / 316),
            ("(?1)(?t!=3)(?1)(?t!=1)(?1)(?t!=2)(?1)(?t!=0)(?2)".to_string(), 0),
        ] {
            assert_eq!(search(&pattern, None).count(&user), count, "{pattern}");
        }
        let tied: Vec<Event> =
            user.iter().map(|event| Event { time: 0, mask: 1 + event.time as u64 % 7, tag: 0 }).collect();
        // Of seven events in a row, four satisfy each condition, and together they serve two matches and a third of one.
        assert_eq!(search("(?1)(?2)(?3)", None).count(&tied), 20_000 / 3);
    }
}
