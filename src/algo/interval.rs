//! The times between two kinds of events of one user: each *target* event with the *source* event before it.
//!
//! Deals with: which events make a pair, ties included. Does not deal with: what the events are, or what is made of the times.
//!
//! Of a user's events only those that are a source or a target count, in the order of time. A target that has a source straight
//! before it ends an interval ([`Anchor::Last`]); with [`Anchor::First`] the interval begins at the first of the sources since the
//! target before. An event that is both ends one interval and begins the next.
//!
//! ```text
//! s1 s2 t1 t2 s3 t3     last: s2-t1, s3-t3      first: s1-t1, s3-t3
//! ```
//!
//! Events of the same time are unordered: of the orders in which they can stand, that counts in which most intervals end there; of those one
//! with the shortest, and then one that leaves a source over.

use super::event::{Event, tie_end};

/// Bit of a source.
pub const SOURCE: u64 = 1;
/// Bit of a target.
pub const TARGET: u64 = 2;

/// Which of several sources before a target begins the interval.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Anchor {
    /// The last one.
    Last,
    /// The first one since the target before.
    First,
}

/// Hands over the intervals of a user in the order of their ends: the mark of the source and the ticks. `events` are sorted by time,
/// those of the same time by mark where marks matter: of several sources of a time the lesser marks begin intervals first.
pub fn each_interval(events: &[Event], anchor: Anchor, mut interval: impl FnMut(u32, u64)) {
    // The source that waits for a target: its time and mark.
    let mut open: Option<(i64, u32)> = None;
    let mut from = 0;
    while from < events.len() {
        let to = tie_end(events, from);
        let tied = &events[from..to];
        from = to;
        let time = tied[0].time;
        if let [one] = tied {
            if one.mask & TARGET != 0
                && let Some((begin, mark)) = open.take()
            {
                interval(mark, time.wrapping_sub(begin) as u64);
            }
            if one.mask & SOURCE != 0 && (open.is_none() || anchor == Anchor::Last) {
                open = Some((time, one.tag));
            }
            continue;
        }
        let sources = tied.iter().filter(|e| e.mask & SOURCE != 0).count();
        let targets = tied.iter().filter(|e| e.mask & TARGET != 0).count();
        let both = tied.iter().filter(|e| e.mask & (SOURCE | TARGET) == SOURCE | TARGET).count();
        let mut marks = tied.iter().filter(|e| e.mask & SOURCE != 0).map(|e| e.tag);
        if targets == 0 {
            match anchor {
                Anchor::Last => open = marks.next_back().map(|mark| (time, mark)).or(open),
                Anchor::First => open = open.or(marks.next().map(|mark| (time, mark))),
            }
            continue;
        }
        // Events that are all both: the first of them follows none of this time.
        let alone = usize::from(both == sources && both == targets);
        let within = sources.min(targets).saturating_sub(alone);
        let (begun_here, from_before) = match (open.take(), anchor) {
            (None, _) => (within, None),
            (Some(open), Anchor::First) => ((sources + 1).min(targets) - 1, Some(open)),
            (Some(open), Anchor::Last) => {
                let most = (sources + 1).min(targets);
                (within, (most > within).then_some(open))
            }
        };
        if let Some((begin, mark)) = from_before {
            interval(mark, time.wrapping_sub(begin) as u64);
        }
        for mark in marks.by_ref().take(begun_here) {
            interval(mark, 0);
        }
        open = match anchor {
            Anchor::Last => marks.next_back(),
            Anchor::First => marks.next(),
        }
        .map(|mark| (time, mark));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn found(events: &[(i64, u64)], anchor: Anchor) -> Vec<u64> {
        let events: Vec<Event> = events.iter().map(|(time, mask)| Event { time: *time, mask: *mask, tag: 0 }).collect();
        let mut found = Vec::new();
        each_interval(&events, anchor, |_, ticks| found.push(ticks));
        found
    }

    #[test]
    fn a_target_ends_what_the_source_before_it_began() {
        let events = [(1, 1), (4, 1), (9, 2), (11, 2), (20, 1), (21, 2)];
        assert_eq!(found(&events, Anchor::Last), [5, 1]);
        assert_eq!(found(&events, Anchor::First), [8, 1]);
        // The same event again and again.
        assert_eq!(found(&[(1, 3), (4, 3), (4, 3), (9, 3)], Anchor::Last), [3, 0, 5]);
        // As far apart as times can be.
        assert_eq!(found(&[(i64::MIN, 1), (i64::MAX, 2)], Anchor::Last), [u64::MAX]);
    }

    /// What tied events in exactly this order end, and what they leave, where these sources waited.
    fn in_order(tied: &[(i64, u64)], waiting: &[i64], anchor: Anchor) -> (Vec<u64>, Vec<i64>) {
        let (mut waiting, mut found) = (waiting.to_vec(), Vec::new());
        for (time, mask) in tied {
            if mask & TARGET != 0 {
                let begun = if anchor == Anchor::First { waiting.first() } else { waiting.last() };
                found.extend(begun.map(|begin| (time - begin) as u64));
                waiting.clear();
            }
            if mask & SOURCE != 0 {
                waiting.push(*time);
            }
        }
        (found, waiting)
    }

    fn orders(tied: &[(i64, u64)]) -> Vec<Vec<(i64, u64)>> {
        if tied.is_empty() {
            return vec![Vec::new()];
        }
        let mut all = Vec::new();
        for at in 0..tied.len() {
            let mut rest = tied.to_vec();
            let one = rest.remove(at);
            all.extend(orders(&rest).into_iter().map(|order| [&[one][..], &order].concat()));
        }
        all
    }

    proptest! {
        /// At each time: the most intervals, then the shortest, then a source that is left over.
        #[test]
        fn intervals_are_those_of_the_best_order(
            mut events in prop::collection::vec((0i64..4, 1u64..4), 0..9),
            first in any::<bool>(),
        ) {
            let anchor = if first { Anchor::First } else { Anchor::Last };
            events.sort_by_key(|e| e.0);
            let (mut wanted, mut waiting) = (Vec::new(), Vec::new());
            for tied in events.chunk_by(|a, b| a.0 == b.0) {
                let all = orders(tied).into_iter().map(|order| in_order(&order, &waiting, anchor));
                let rank = |(ended, left): &(Vec<u64>, Vec<i64>)| {
                    (ended.len(), std::cmp::Reverse(ended.iter().sum::<u64>()), !left.is_empty())
                };
                let (ended, left) = all.max_by_key(rank).unwrap();
                wanted.extend(ended);
                waiting = left;
            }
            let mut answer = found(&events, anchor);
            answer.sort_unstable();
            wanted.sort_unstable();
            prop_assert_eq!(answer, wanted);
        }

        /// The order in which tied events come changes nothing, nor do times that are shifted.
        #[test]
        fn ties_are_unordered(events in prop::collection::vec((0i64..4, 1u64..4), 0..12), shift in -5i64..5) {
            let mut sorted = events.clone();
            sorted.sort_by_key(|e| e.0);
            let mut other: Vec<_> = events.iter().rev().map(|(time, mask)| (time + shift, *mask)).collect();
            other.sort_by_key(|e| e.0);
            for anchor in [Anchor::Last, Anchor::First] {
                prop_assert_eq!(found(&sorted, anchor), found(&other, anchor));
            }
        }
    }
}
