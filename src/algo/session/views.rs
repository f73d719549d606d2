//! The views of pages within a user's sessions.
//!
//! Deals with: their order, dwell, which are entries and exits, which are the first of their page.
//! Does not deal with: the cuts between sessions.
//!
//! Cost: O(v log v) for v views of a user.

use super::{Ranks, Session, rank, role};
use crate::algo::event::Event;

/// One view: 24 bytes, since a user may have millions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct View {
    /// Ticks to the next view of the session; 0 for the last, which has none.
    ticks: u64,
    /// Tag of its event.
    pub tag: u32,
    /// Position of its session.
    pub session: u32,
    /// Whether it is the first view of its session.
    pub entry: bool,
    /// Whether it is the last view of its session.
    pub exit: bool,
    /// Whether it is the first view of its page in its session.
    pub first_of_session: bool,
    /// Whether it is the user's first view of its page in sessions with the same property.
    pub first_of_user: bool,
}

impl View {
    /// Ticks to the next view of the session; not known for the last.
    pub fn dwell(&self) -> Option<u64> {
        (!self.exit).then_some(self.ticks)
    }
}

/// Appends the views of a user's sessions in the order of time; tied ones by their order key, then by page.
pub fn views(events: &[Event], sessions: &[Session], ranks: &Ranks, found: &mut Vec<View>) {
    let first = found.len();
    let mut order: Vec<&Event> = Vec::new();
    for (number, session) in (0u32..).zip(sessions) {
        order.clear();
        order.extend(events[session.from..session.to].iter().filter(|event| event.mask & role::VIEW != 0));
        let place = |event: &&Event| (event.time, rank(ranks.order, event), rank(ranks.page, event));
        order.sort_by_key(place);
        for (at, event) in order.iter().enumerate() {
            let next = order.get(at + 1);
            found.push(View {
                ticks: next.map_or(0, |next| next.time.abs_diff(event.time)),
                tag: event.tag,
                session: number,
                entry: at == 0,
                exit: next.is_none(),
                first_of_session: false,
                first_of_user: false,
            });
        }
    }
    mark_firsts(sessions, ranks, &mut found[first..]);
}

/// Brings the views of a page together, in their order, and marks the first ones.
fn mark_firsts(sessions: &[Session], ranks: &Ranks, views: &mut [View]) {
    let of = |ranks: &[u32], tag: u32| ranks.get(tag as usize).copied().unwrap_or(0);
    let mut of_page: Vec<(u32, u32, u32)> = (0u32..)
        .zip(views.iter())
        .map(|(at, view)| (of(ranks.page, view.tag), of(ranks.by, sessions[view.session as usize].by), at))
        .collect();
    of_page.sort_unstable();
    let mut before = None;
    for (page, by, at) in of_page {
        let view = &mut views[at as usize];
        view.first_of_user = before.is_none_or(|(p, b, _)| (p, b) != (page, by));
        view.first_of_session = before != Some((page, by, view.session));
        before = Some((page, by, view.session));
    }
}
