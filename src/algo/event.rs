//! One user's event as the kernels see it: a time, the conditions it satisfies, and the caller's mark.
//!
//! Deals with: the packed event and the bounds of ties. Does not deal with: what a sequence of events means.

/// The most conditions a question may have: they are bits of one word.
pub const MAX_CONDITIONS: usize = 64;

/// The class of an event that belongs to none, where events are distinguished by a value they hold.
pub const NO_CLASS: u32 = u32::MAX;

/// One event of a user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Event {
    /// Time in the column's own ticks.
    pub time: i64,
    /// Bit `c` is set where the event satisfies condition `c` (0-based).
    pub mask: u64,
    /// The caller's mark, such as the number of a value kept with the event.
    pub tag: u32,
}

/// Where the group of events at the instant of `events[from]` ends. `events` are sorted by time.
#[inline]
pub fn tie_end(events: &[Event], from: usize) -> usize {
    let time = events[from].time;
    let mut to = from + 1;
    while to < events.len() && events[to].time == time {
        to += 1;
    }
    to
}
