//! The views of pages within a user's sessions.
//!
//! Deals with: their order, dwell, which are entries and exits, which are the first of their page.
//! Does not deal with: the cuts between sessions.
//!
//! Cost: O(v) for v views of a user; O(v log v) where sessions have properties.

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

/// Finds the views of one user after another, with what it keeps between users to save allocations.
#[derive(Debug, Default)]
pub struct Views {
    /// For each page, by rank: the user and the session that viewed it last.
    met: Vec<Met>,
    /// Which user that is, counted from 1.
    user: u32,
}

#[derive(Debug, Clone, Copy, Default)]
struct Met {
    user: u32,
    session: u32,
}

impl Views {
    /// Appends the views of a user's sessions in the order of time; tied ones by their order key, then by page.
    /// `properties` tells sessions of one property from others; empty where they have none.
    pub fn of_user(
        &mut self,
        events: &[Event],
        sessions: &[Session],
        properties: &[u32],
        ranks: &Ranks,
        found: &mut Vec<View>,
    ) {
        let first = found.len();
        let mut order: Vec<&Event> = Vec::new();
        for (number, session) in (0u32..).zip(sessions) {
            order.clear();
            order.extend(events[session.from..session.to].iter().filter(|event| event.mask & role::VIEW != 0));
            // They come in the order of time: only tied ones need more.
            if !order.is_sorted_by(|a, b| a.time < b.time) {
                order.sort_by_key(|event| (event.time, rank(ranks.order, event), rank(ranks.page, event)));
            }
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
        if properties.is_empty() {
            self.mark_firsts(ranks, &mut found[first..]);
        } else {
            mark_firsts_by(properties, ranks, &mut found[first..]);
        }
    }

    /// Marks the first views of each page, of views in their order.
    fn mark_firsts(&mut self, ranks: &Ranks, views: &mut [View]) {
        self.user = self.user.wrapping_add(1);
        if self.user == 0 {
            // Nobody met so long ago is to be taken for this user.
            self.met.clear();
            self.user = 1;
        }
        for view in views {
            let page = of(ranks.page, view.tag) as usize;
            if page >= self.met.len() {
                self.met.resize(page + 1, Met::default());
            }
            let last = std::mem::replace(&mut self.met[page], Met { user: self.user, session: view.session });
            view.first_of_user = last.user != self.user;
            view.first_of_session = view.first_of_user || last.session != view.session;
        }
    }
}

fn of(ranks: &[u32], tag: u32) -> u32 {
    ranks.get(tag as usize).copied().unwrap_or(0)
}

/// The same where views count once for each property of their session: brings the views of a page together, in their order.
fn mark_firsts_by(properties: &[u32], ranks: &Ranks, views: &mut [View]) {
    let mut of_page: Vec<(u32, u32, u32)> = (0u32..)
        .zip(views.iter())
        .map(|(at, view)| (of(ranks.page, view.tag), properties[view.session as usize], at))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_met_long_ago_is_taken_for_the_next_user() {
        let event = |time| Event { time, mask: role::VIEW, tag: 0 };
        let session = |from: usize, to: usize| Session {
            from,
            to,
            start: 0,
            end: 9,
            views: to - from,
            bounce: false,
            converted: false,
            entry: None,
            exit: None,
            by: 0,
        };
        // The next user is the first one again, and the page still bears the mark of the one before it.
        let mut views = Views { met: vec![Met { user: 1, session: 0 }], user: u32::MAX };
        for _ in 0..3 {
            let mut found = Vec::new();
            views.of_user(&[event(0), event(1)], &[session(0, 2)], &[], &Ranks::default(), &mut found);
            let firsts: Vec<_> = found.iter().map(|v| (v.first_of_user, v.first_of_session)).collect();
            assert_eq!(firsts, [(true, true), (false, false)]);
        }
    }
}
