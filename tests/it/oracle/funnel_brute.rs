//! Funnels with every option, by trying every chain.
//!
//! Shares nothing with the engine but the description of a funnel ([`Spec`]).

use std::cmp::Reverse;

use tenure::algo::event::{Event, NO_CLASS};
use tenure::algo::funnel::{Between, By, Entry, Order, Pick, Spec};

/// What the brute force looks at.
#[derive(Debug, Clone)]
pub struct Case {
    pub events: Vec<Event>,
    /// Class of each tag; the tag of an event is its position.
    pub classes: Option<Vec<u32>>,
    /// The value of each event by which chains may be told apart.
    pub values: Vec<u32>,
    /// The last instant whose window has ended.
    pub mature_until: Option<i64>,
    pub spec: Spec,
    /// Length of the window, or the number of weeks of a calendar window.
    pub window: Result<i64, i64>,
    pub by_week: bool,
}

/// One chain: the event of each step, and what is said of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Passage {
    pub period: Option<i64>,
    /// The latest entry of the period, where there is one.
    pub last_entry: Option<i64>,
    pub value: Option<u32>,
    pub level: usize,
    pub dropped: bool,
    /// (step, event), by step.
    pub places: Vec<(u32, u32)>,
}

/// Weeks begin on Mondays; day 0 is a Thursday.
fn week(day: i64) -> i64 {
    (day + 3).div_euclid(7)
}

type Key = (Reverse<usize>, i64, Vec<bool>, i64, Vec<(bool, i64)>, Vec<u32>, Vec<(u32, u32)>);

/// Every chain of some of a user's events.
struct Search<'a> {
    case: &'a Case,
    /// Positions of the events that take part.
    members: Vec<usize>,
    exclusions: bool,
    starts: (i64, i64),
    /// The instants at which chains may start, where not at all.
    entries: Option<Vec<i64>>,
    best: Option<(Key, Vec<(u32, u32)>)>,
}

impl Search<'_> {
    fn event(&self, at: u32) -> &Event {
        &self.case.events[at as usize]
    }

    fn optional(&self, step: u32) -> bool {
        self.case.spec.optional >> step & 1 == 1
    }

    /// Whether `step` may come after the steps of `chain`.
    fn follows(&self, chain: &[(u32, u32)], step: u32) -> bool {
        let spec = &self.case.spec;
        if chain.iter().any(|(s, _)| *s == step) {
            return false;
        }
        if spec.order != Order::AnyOrder {
            let from = chain.last().map_or(0, |(s, _)| s + 1);
            return step >= from && (from..step).all(|s| self.optional(s));
        }
        // All steps before the last anchor before this step must be met, and none after the first anchor from here on.
        let anchor = |s: u32| spec.anchors >> s & 1 == 1;
        let met = |s: u32| chain.iter().any(|(m, _)| *m == s);
        let steps = 0..spec.steps as u32;
        let before: Vec<u32> = match anchor(step) {
            true => (0..step).collect(),
            false => match (0..step).rev().find(|s| anchor(*s)) {
                Some(a) => (0..=a).collect(),
                None => Vec::new(),
            },
        };
        let after: Vec<u32> = match anchor(step) {
            true => steps.clone().filter(|s| *s > step).collect(),
            false => match steps.clone().find(|s| *s > step && anchor(*s)) {
                Some(a) => steps.clone().filter(|s| *s >= a).collect(),
                None => Vec::new(),
            },
        };
        before.into_iter().all(met) && !after.into_iter().any(met)
    }

    /// Whether this sequence is a chain.
    fn is_chain(&self, chain: &[(u32, u32)]) -> bool {
        let spec = &self.case.spec;
        let time = |place: &(u32, u32)| self.event(place.1).time;
        let (first, last) = (time(&chain[0]), time(&chain[chain.len() - 1]));
        let enters = self.entries.as_ref().is_none_or(|times| times.contains(&first));
        let matures = self.case.mature_until.is_none_or(|until| first <= until);
        if first < self.starts.0 || first > self.starts.1 || !enters || !matures {
            return false;
        }
        let in_window = match self.case.window {
            Ok(length) => last - first <= length,
            Err(weeks) => week(last) < week(first) + weeks,
        };
        if !in_window || (spec.order != Order::AnyOrder && chain[0].0 != 0) {
            return false;
        }
        let others = || self.members.iter().map(|m| *m as u32).filter(|m| !chain.iter().any(|(_, at)| at == m));
        for (i, pair) in chain.windows(2).enumerate() {
            let (from, to) = (time(&pair[0]), time(&pair[1]));
            if from > to || (spec.order == Order::Increase && from == to) {
                return false;
            }
            if !spec.reuse && chain[..=i].iter().any(|(_, at)| *at == pair[1].1) {
                return false;
            }
            let forbidden = match spec.between {
                Between::Anything => None,
                Between::Strict => Some(None),
                Between::StrictSteps => Some(Some((0..spec.steps as u32).collect::<Vec<_>>())),
                Between::DedupFirst => Some(Some(chain[..=i].iter().map(|p| p.0).collect())),
                Between::Dedup => Some(Some(chain[..=i].iter().map(|p| p.0).filter(|s| *s > 0).collect())),
            };
            if let Some(forbidden) = forbidden {
                let hit = |m: u32| match &forbidden {
                    None => true,
                    Some(steps) => steps.iter().any(|s| self.event(m).mask >> s & 1 == 1),
                };
                if others().any(|m| from < self.event(m).time && self.event(m).time < to && hit(m)) {
                    return false;
                }
            }
            if spec.order != Order::AnyOrder && pair[1].0 == pair[0].0 + 1 {
                let gap = pair[0].0 as usize;
                if spec.step_within.get(gap).is_some_and(|limit| to - from > *limit)
                    || spec.step_after.get(gap).is_some_and(|limit| to - from < *limit)
                {
                    return false;
                }
            }
        }
        for (number, e) in spec.exclusions.iter().enumerate().filter(|_| self.exclusions) {
            let at_step = |step: usize| chain.iter().find(|(s, _)| *s as usize + 1 == step).map(time);
            let (from, to) = match spec.order {
                Order::AnyOrder => (first, last),
                _ => match at_step(e.after) {
                    Some(from) => (from, at_step(e.before).unwrap_or(last)),
                    None => continue,
                },
            };
            let excluded = |e: &Event| e.mask >> (spec.steps + number) & 1 == 1;
            if self.members.iter().any(|m| {
                let event = &self.case.events[*m];
                from < event.time && event.time < to && excluded(event)
            }) {
                return false;
            }
        }
        true
    }

    fn key(&self, chain: &[(u32, u32)]) -> Key {
        let spec = &self.case.spec;
        let time = |place: &(u32, u32)| self.event(place.1).time;
        let counted: Vec<&(u32, u32)> = chain.iter().filter(|(s, _)| !self.optional(*s)).collect();
        let (start, completed) = (time(&chain[0]), time(counted[counted.len() - 1]));
        let mut by_step = chain.to_vec();
        by_step.sort_unstable();
        let (times, positions) = match spec.order {
            Order::AnyOrder => {
                let mut positions: Vec<u32> = chain.iter().map(|p| p.1).collect();
                positions.sort_unstable();
                (chain.iter().map(|p| (false, time(p))).collect(), positions)
            }
            _ => {
                let of = |s: u32| chain.iter().find(|p| p.0 == s);
                let times = (0..spec.steps as u32).map(|s| of(s).map_or((true, 0), |p| (false, time(p)))).collect();
                (times, chain.iter().map(|p| p.1).collect())
            }
        };
        // Steps skipped before the last one that counts.
        let last = counted[counted.len() - 1].0;
        let skipped = (0..last).map(|s| !chain.iter().any(|p| p.0 == s)).collect();
        let (completed, skipped, start) = match (spec.pick, spec.order) {
            (Pick::EarliestStart, _) => (0, Vec::new(), start),
            (_, Order::AnyOrder) => (completed, Vec::new(), -start),
            _ => (completed, skipped, -start),
        };
        (Reverse(counted.len()), completed, skipped, start, times, positions, by_step)
    }

    fn extend(&mut self, chain: &mut Vec<(u32, u32)>) {
        if !chain.is_empty() {
            let key = self.key(chain);
            if self.best.as_ref().is_none_or(|(best, _)| key < *best) {
                self.best = Some((key, chain.clone()));
            }
        }
        for step in 0..self.case.spec.steps as u32 {
            if !self.follows(chain, step) {
                continue;
            }
            for at in 0..self.members.len() {
                let at = self.members[at] as u32;
                if self.event(at).mask >> step & 1 == 0 {
                    continue;
                }
                chain.push((step, at));
                if self.is_chain(chain) {
                    self.extend(chain);
                }
                chain.pop();
            }
        }
    }
}

impl Case {
    fn best(
        &self,
        members: &[usize],
        starts: (i64, i64),
        exclusions: bool,
        entries: &Option<Vec<i64>>,
    ) -> Option<(Key, Vec<(u32, u32)>)> {
        let (members, entries) = (members.to_vec(), entries.clone());
        let mut search = Search { case: self, members, exclusions, starts, entries, best: None };
        search.extend(&mut Vec::new());
        search.best
    }

    fn window_end(&self, start: i64) -> i64 {
        match self.window {
            Ok(length) => start + length,
            // The Sunday of the last week.
            Err(weeks) => (week(start) + weeks) * 7 - 4,
        }
    }

    /// Whether a chain may start with an event, as far as its steps tell.
    fn opens(&self, event: usize) -> bool {
        let (members, entries) = (Vec::new(), None);
        let all = Search { case: self, members, exclusions: false, starts: (0, 0), entries, best: None };
        (0..self.spec.steps as u32).any(|s| self.events[event].mask >> s & 1 == 1 && all.follows(&[], s))
    }

    fn takes_part(&self, event: usize) -> bool {
        self.classes.as_ref().is_none_or(|classes| classes[event] != NO_CLASS)
    }

    /// The same case in which only events with a value satisfy a step.
    fn only(&self, step: usize, value: u32) -> Self {
        let mut case = self.clone();
        for (event, own) in case.events.iter_mut().zip(&self.values) {
            if *own != value {
                event.mask &= !(1 << step);
            }
        }
        case
    }

    /// The chains asked for, by value where they are told apart by one.
    pub fn passages(&self) -> Vec<Passage> {
        let valued = |passages: Vec<Passage>, value: Option<u32>| -> Vec<Passage> {
            passages.into_iter().map(|p| Passage { value, ..p }).collect()
        };
        let meets = |p: &Passage, step: usize| p.places.iter().any(|(s, _)| *s as usize == step);
        let values_of = |is: &dyn Fn(usize) -> bool| -> Vec<u32> {
            let mut values: Vec<u32> = (0..self.events.len()).filter(|e| is(*e)).map(|e| self.values[e]).collect();
            values.sort_unstable();
            values.dedup();
            values
        };
        match self.spec.by {
            By::Nothing => self.whole(&None),
            By::FirstEntry => {
                let opening: Vec<usize> =
                    (0..self.events.len()).filter(|e| self.opens(*e) && self.takes_part(*e)).collect();
                let first = opening.iter().map(|e| (self.events[*e].time, self.values[*e])).min();
                valued(self.whole(&None), first.map(|f| f.1))
            }
            By::Entry => {
                // The first step has a place of its own where it is anchored, or the second is.
                let one_step = self.spec.order != Order::AnyOrder || self.spec.anchors & 3 != 0 || self.spec.steps == 1;
                let of = |value: u32| {
                    if one_step {
                        return self.only(0, value).whole(&None);
                    }
                    let own = (0..self.events.len()).filter(|e| self.opens(*e) && self.values[*e] == value);
                    self.whole(&Some(own.map(|e| self.events[e].time).collect()))
                };
                values_of(&|e| self.opens(e)).into_iter().flat_map(|value| valued(of(value), Some(value))).collect()
            }
            By::Step(step) => {
                let mut passages = self.whole(&None);
                passages.retain(|p| !meets(p, step));
                for value in values_of(&|e| self.events[e].mask >> step & 1 == 1) {
                    let own = valued(self.only(step, value).whole(&None), Some(value));
                    passages.extend(own.into_iter().filter(|p| meets(p, step)));
                }
                passages
            }
        }
    }

    /// The chains asked for whatever the values.
    fn whole(&self, entries: &Option<Vec<i64>>) -> Vec<Passage> {
        let spec = &self.spec;
        let sequences: Vec<Vec<usize>> = match &self.classes {
            None => vec![(0..self.events.len()).collect()],
            Some(classes) => {
                let mut known: Vec<u32> = classes.iter().copied().filter(|c| *c != NO_CLASS).collect();
                known.sort_unstable();
                known.dedup();
                known.iter().map(|c| (0..self.events.len()).filter(|e| classes[*e] == *c).collect()).collect()
            }
        };
        let openings_of = |members: &[usize]| -> Vec<i64> {
            let opens = members.iter().filter(|e| self.opens(**e)).map(|e| self.events[*e].time);
            let mut times: Vec<i64> = opens
                .filter(|t| self.mature_until.is_none_or(|until| *t <= until))
                .filter(|t| entries.as_ref().is_none_or(|times| times.contains(t)))
                .collect();
            times.sort_unstable();
            times
        };
        let openings = openings_of(&sequences.concat());
        let spans: Vec<(Option<i64>, (i64, i64))> = match self.by_week {
            false => vec![(None, (i64::MIN, i64::MAX))],
            true => {
                let mut weeks: Vec<i64> = openings.iter().map(|t| week(*t)).collect();
                weeks.dedup();
                weeks.into_iter().map(|w| (Some(w), (w * 7 - 3, w * 7 + 3))).collect()
            }
        };
        let mut passages = Vec::new();
        for (period, mut starts) in spans {
            if spec.entry == Entry::First {
                match openings.iter().find(|t| starts.0 <= **t && **t <= starts.1) {
                    Some(t) => starts = (*t, *t),
                    None => continue,
                }
            }
            let last_entry = openings.iter().copied().filter(|t| starts.0 <= *t && *t <= starts.1).max();
            let passage = |level, dropped, mut places: Vec<(u32, u32)>| {
                places.sort_unstable();
                Passage { period, last_entry: period.and(last_entry), value: None, level, dropped, places }
            };
            if spec.entry == Entry::All {
                let mut several = Vec::new();
                for (class, members) in sequences.iter().enumerate() {
                    let mut from = starts.0;
                    let openings = openings_of(members);
                    while let Some(next) = openings.iter().copied().find(|t| from <= *t && *t <= starts.1) {
                        let window = self.window_end(next);
                        let best = self.best(members, (next, window.min(starts.1)), true, entries);
                        let (key, chain) = best.expect("an opening is a chain of its own");
                        let level = key.0.0;
                        let begins = chain.iter().map(|p| self.events[p.1 as usize].time).min().unwrap();
                        let ends = chain.iter().map(|p| self.events[p.1 as usize].time).max().unwrap();
                        let complete = level == spec.steps - spec.optional.count_ones() as usize;
                        from = if complete { ends } else { window } + 1;
                        several.push((begins, class, passage(level, false, chain)));
                    }
                }
                several.sort_by_key(|(begins, class, _)| (*begins, *class));
                passages.extend(several.into_iter().map(|(.., p)| p));
                continue;
            }
            let best = sequences.iter().filter_map(|m| self.best(m, starts, true, entries)).min();
            let level = best.as_ref().map_or(0, |(key, _)| key.0.0);
            let without = sequences.iter().filter_map(|m| self.best(m, starts, false, entries));
            let without = without.map(|(key, _)| key.0.0).max();
            if spec.drop_excluded && without.unwrap_or(0) > level {
                passages.push(passage(0, true, Vec::new()));
            } else if let Some((_, chain)) = best {
                passages.push(passage(level, false, chain));
            }
        }
        passages
    }
}
