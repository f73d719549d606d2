//! The event that follows a run of neighbours.
//!
//! Deals with: events in one fixed order (the caller breaks ties). Does not deal with: gaps and limits ([`super::search`]).

use crate::algo::event::Event;

/// Where the run begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Base {
    /// The first event.
    Head,
    /// The last event.
    Tail,
    /// The first event that satisfies the first condition.
    FirstMatch,
    /// The last event that satisfies the first condition.
    LastMatch,
}

/// Which way the run goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Direction {
    /// From earlier to later events.
    Forward,
    /// From later to earlier events.
    Backward,
}

/// The position of the event after a run of `conditions` neighbours from the base, of which the i-th satisfies condition i;
/// `None` where the run breaks off or nothing follows it.
pub fn next_event(events: &[Event], base: Base, direction: Direction, conditions: usize) -> Option<usize> {
    let starts = |event: &Event| event.mask & 1 == 1;
    let base = match base {
        Base::Head => 0,
        Base::Tail => events.len().checked_sub(1)?,
        Base::FirstMatch => events.iter().position(starts)?,
        Base::LastMatch => events.iter().rposition(starts)?,
    };
    let place = |i: usize| match direction {
        Direction::Forward => base.checked_add(i),
        Direction::Backward => base.checked_sub(i),
    };
    let holds = |i: usize| place(i).and_then(|at| events.get(at)).is_some_and(|event| event.mask >> i & 1 == 1);
    if !(0..conditions).all(holds) {
        return None;
    }
    place(conditions).filter(|at| *at < events.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_go_both_ways_from_every_base() {
        use Base::{FirstMatch, Head, LastMatch, Tail};
        use Direction::{Backward, Forward};
        // A B X A B A
        let events: Vec<Event> = [1, 2, 0, 1, 2, 1]
            .into_iter()
            .enumerate()
            .map(|(at, mask)| Event { time: at as i64, mask, tag: 0 })
            .collect();
        for (base, direction, conditions, want) in [
            (Head, Forward, 1, Some(1)),
            (Head, Forward, 2, Some(2)),
            (Head, Backward, 1, None),
            (Tail, Forward, 1, None),
            (Tail, Backward, 1, Some(4)),
            (Tail, Backward, 2, Some(3)),
            (FirstMatch, Forward, 2, Some(2)),
            (FirstMatch, Backward, 1, None),
            (LastMatch, Forward, 2, None),
            (LastMatch, Backward, 2, Some(3)),
        ] {
            assert_eq!(next_event(&events, base, direction, conditions), want, "{base:?} {direction:?} {conditions}");
        }
        for base in [Head, Tail, FirstMatch, LastMatch] {
            assert_eq!(next_event(&[], base, Forward, 1), None);
        }
        assert_eq!(next_event(&events[1..], Head, Forward, 1), None);
    }
}
