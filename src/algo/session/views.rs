//! The views of pages within a user's sessions.
//!
//! Deals with: their order, dwell, which are entries and exits, which are the first of their page.
//! Does not deal with: the cuts between sessions.
//!
//! Cost: O(v log v) for v views of a user.

use super::{Ranks, Session, rank, role};
use crate::algo::event::Event;

/// One view.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct View {
    /// Tag of its event.
    pub tag: u32,
    /// Position of its session.
    pub session: usize,
    /// Ticks to the next view of the session; none for the last.
    pub dwell: Option<u64>,
    /// Whether it is the first view of its session.
    pub entry: bool,
    /// Whether it is the first view of its page in its session.
    pub first_of_session: bool,
    /// Whether it is the user's first view of its page in sessions with the same property.
    pub first_of_user: bool,
}

impl View {
    /// Whether it is the last view of its session.
    pub fn exit(&self) -> bool {
        self.dwell.is_none()
    }
}

/// Appends the views of a user's sessions in the order of time; tied ones by their order key, then by page.
pub fn views(events: &[Event], sessions: &[Session], ranks: &Ranks, found: &mut Vec<View>) {
    let first = found.len();
    let mut order: Vec<&Event> = Vec::new();
    for (number, session) in sessions.iter().enumerate() {
        order.clear();
        order.extend(events[session.from..session.to].iter().filter(|event| event.mask & role::VIEW != 0));
        let place = |event: &&Event| (event.time, rank(ranks.order, event), rank(ranks.page, event));
        order.sort_by_key(place);
        for (at, event) in order.iter().enumerate() {
            found.push(View {
                tag: event.tag,
                session: number,
                dwell: order.get(at + 1).map(|next| next.time.abs_diff(event.time)),
                entry: at == 0,
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
    let mut of_page: Vec<(u32, u32, usize)> = views
        .iter()
        .enumerate()
        .map(|(at, view)| (of(ranks.page, view.tag), of(ranks.by, sessions[view.session].by), at))
        .collect();
    of_page.sort_unstable();
    let mut before = None;
    for (page, by, at) in of_page {
        let session = views[at].session;
        views[at].first_of_user = before.is_none_or(|(p, b, _)| (p, b) != (page, by));
        views[at].first_of_session = before != Some((page, by, session));
        before = Some((page, by, session));
    }
}
