//! Paths: one user's events cut into walks, and the edges that a walk contributes to a table of transitions or paths.
//!
//! Deals with: sessions by a gap or by a name, collapsing repeats, transitions, paths from and to an anchor.
//! Does not deal with: counting edges over many users (`flow`), or what nodes are called.
//!
//! A *walk* is a session's (or user's) events in order. With `collapse`, neighbours of the same node are one stop, which
//! stands at the time of its first event. Every walk begins at [`START`] and ends at [`END`], so that what goes into a
//! node always equals what comes out of it.

/// Before the first stop of a walk.
pub const START: u32 = 0;
/// After the last stop of a walk.
pub const END: u32 = 1;
/// The nodes that lost their names.
pub const OTHER: u32 = 2;
/// Numbers below this one are marks, those from here on are nodes.
pub const FIRST_NODE: u32 = 3;

/// One event of a user, or several in a row that count once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Visit {
    /// When, in the column's own ticks.
    pub time: i64,
    /// Where: from [`FIRST_NODE`] on.
    pub node: u32,
    /// The session's number, where sessions have names.
    pub session: u32,
    /// The number of the breakdown value.
    pub group: u32,
    /// Whether the anchor's condition holds.
    pub anchor: bool,
}

/// What parts one walk from the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cut {
    /// Nothing: all events of a user are one walk.
    Never,
    /// A time of more than so many ticks between two events.
    Gap(i64),
    /// Another session's name. Sessions may overlap in time.
    Session,
}

/// How a user's events become walks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Walks {
    /// What parts them.
    pub cut: Cut,
    /// Whether neighbours of the same node are one stop. Walks are cut before that.
    pub collapse: bool,
}

impl Walks {
    /// Hands over every walk of a user whose visits are in order. The visits are used up.
    pub fn each(&self, visits: &mut [Visit], mut walk: impl FnMut(&[Visit])) {
        if self.cut == Cut::Session && !visits.is_sorted_by_key(|v| v.session) {
            // Stable: within a session the order stays.
            visits.sort_by_key(|v| v.session);
        }
        let mut from = 0;
        while from < visits.len() {
            let mut previous = visits[from];
            let (mut last, mut next) = (from, from + 1);
            while next < visits.len() && !self.parts(&previous, &visits[next]) {
                previous = visits[next];
                if self.collapse && previous.node == visits[last].node {
                    visits[last].anchor |= previous.anchor;
                } else {
                    last += 1;
                    visits[last] = previous;
                }
                next += 1;
            }
            walk(&visits[from..=last]);
            from = next;
        }
    }

    fn parts(&self, previous: &Visit, next: &Visit) -> bool {
        match self.cut {
            Cut::Never => false,
            Cut::Gap(ticks) => next.time.saturating_sub(previous.time) > ticks,
            Cut::Session => next.session != previous.session,
        }
    }
}

/// Every transition of a walk: source, target, and the ticks between them, `None` where one of them is a mark.
pub fn transitions(walk: &[Visit], mut edge: impl FnMut(u32, u32, Option<i64>)) {
    let (Some(first), Some(last)) = (walk.first(), walk.last()) else { return };
    edge(START, first.node, None);
    for pair in walk.windows(2) {
        edge(pair[0].node, pair[1].node, Some(pair[1].time.saturating_sub(pair[0].time)));
    }
    edge(last.node, END, None);
}

/// Where paths begin and in which direction they go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// From the start of the walk on.
    Start,
    /// From an anchor on.
    From,
    /// From an anchor back.
    To,
}

/// Paths of limited depth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Paths {
    /// Their beginning and direction.
    pub way: Way,
    /// The most edges of a path.
    pub depth: u32,
    /// Whether every anchor of a walk begins a path, or only the first.
    pub every: bool,
}

impl Paths {
    /// Every edge of every path of a walk: breakdown group of the path, step, source, target.
    ///
    /// The anchor stands at position 0; the edge of step `s` leads from position `s - 1` to position `s`. So the steps are
    /// `1..=depth`, and for paths back `1 - depth..=0`. A path that leaves its walk ends at the mark.
    pub fn each(&self, walk: &[Visit], mut edge: impl FnMut(u32, i32, u32, u32)) {
        let node = |at: usize| walk.get(at).map_or(END, |v| v.node);
        if self.way == Way::Start {
            let Some(first) = walk.first() else { return };
            let mut source = START;
            for step in 0..(self.depth as usize).min(walk.len() + 1) {
                edge(first.group, step as i32 + 1, source, node(step));
                source = node(step);
            }
            return;
        }
        let anchors = walk.iter().enumerate().filter(|(_, v)| v.anchor);
        for (at, anchor) in anchors.take(if self.every { usize::MAX } else { 1 }) {
            for away in 0..self.depth as usize {
                let (step, source, target) = match self.way {
                    Way::To => {
                        let source = (at - away).checked_sub(1).map_or(START, |before| walk[before].node);
                        (-(away as i32), source, walk[at - away].node)
                    }
                    _ => (away as i32 + 1, walk[at + away].node, node(at + away + 1)),
                };
                edge(anchor.group, step, source, target);
                if source == START || target == END {
                    break;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn visits(events: &[(i64, u32)]) -> Vec<Visit> {
        events
            .iter()
            .map(|(time, node)| Visit { time: *time, node: *node, session: 0, group: 0, anchor: false })
            .collect()
    }

    fn walks(cut: Cut, collapse: bool, mut visits: Vec<Visit>) -> Vec<Vec<(i64, u32)>> {
        let mut found = Vec::new();
        Walks { cut, collapse }.each(&mut visits, |w| found.push(w.iter().map(|v| (v.time, v.node)).collect()));
        found
    }

    const A: u32 = FIRST_NODE;
    const B: u32 = FIRST_NODE + 1;
    const C: u32 = FIRST_NODE + 2;

    #[test]
    fn a_gap_cuts_only_where_it_is_exceeded() {
        let events = visits(&[(0, A), (10, B), (21, C), (31, A)]);
        assert_eq!(walks(Cut::Gap(10), false, events.clone()), [vec![(0, A), (10, B)], vec![(21, C), (31, A)]]);
        assert_eq!(walks(Cut::Never, false, events).len(), 1);
        assert_eq!(walks(Cut::Gap(10), false, vec![]).len(), 0);
        // The ends of time are further apart than a number can tell.
        let ends = visits(&[(i64::MIN, A), (i64::MAX, B)]);
        assert_eq!(walks(Cut::Gap(i64::MAX - 1), false, ends.clone()).len(), 2);
        assert_eq!(walks(Cut::Never, false, ends).len(), 1);
    }

    #[test]
    fn repeats_collapse_within_a_walk_and_gaps_are_measured_before() {
        let events = visits(&[(0, A), (8, A), (16, A), (24, B), (40, B), (41, A)]);
        let want = [vec![(0, A), (24, B)], vec![(40, B), (41, A)]];
        assert_eq!(walks(Cut::Gap(10), true, events.clone()), want);
        assert_eq!(walks(Cut::Never, true, events), [vec![(0, A), (24, B), (41, A)]]);
    }

    #[test]
    fn named_sessions_may_overlap() {
        let mut events = visits(&[(0, A), (1, B), (2, C), (3, A)]);
        [7, 3, 7, 3].iter().zip(&mut events).for_each(|(session, visit)| visit.session = *session);
        assert_eq!(walks(Cut::Session, false, events), [vec![(1, B), (3, A)], vec![(0, A), (2, C)]]);
    }

    #[test]
    fn a_run_is_an_anchor_where_one_of_its_events_is() {
        let mut events = visits(&[(0, A), (1, A), (2, B)]);
        events[1].anchor = true;
        let mut anchors = Vec::new();
        Walks { cut: Cut::Never, collapse: true }.each(&mut events, |w| anchors.extend(w.iter().map(|v| v.anchor)));
        assert_eq!(anchors, [true, false]);
    }

    #[test]
    fn transitions_begin_and_end_with_marks() {
        let mut found = Vec::new();
        transitions(&visits(&[(5, A), (7, B), (7, B)]), |source, target, ticks| found.push((source, target, ticks)));
        assert_eq!(found, [(START, A, None), (A, B, Some(2)), (B, B, Some(0)), (B, END, None)]);
        transitions(&[], |_, _, _| panic!("no walk, no transition"));
    }

    fn edges(paths: Paths, walk: &[Visit]) -> Vec<(i32, u32, u32)> {
        let mut found = Vec::new();
        paths.each(walk, |_, step, source, target| found.push((step, source, target)));
        found
    }

    #[test]
    fn paths_stop_at_the_end_of_the_walk_or_at_their_depth() {
        let mut walk = visits(&[(0, A), (1, B), (2, C), (3, B)]);
        walk[1].anchor = true;
        walk[3].anchor = true;
        let paths = |way, depth, every| Paths { way, depth, every };
        assert_eq!(edges(paths(Way::Start, 2, false), &walk), [(1, START, A), (2, A, B)]);
        let all = [(1, START, A), (2, A, B), (3, B, C), (4, C, B), (5, B, END)];
        assert_eq!(edges(paths(Way::Start, 9, false), &walk), all);
        assert_eq!(edges(paths(Way::Start, 5, false), &walk), all);
        assert_eq!(edges(paths(Way::From, 2, false), &walk), [(1, B, C), (2, C, B)]);
        assert_eq!(edges(paths(Way::From, 3, false), &walk), [(1, B, C), (2, C, B), (3, B, END)]);
        assert_eq!(edges(paths(Way::From, 3, true), &walk), [(1, B, C), (2, C, B), (3, B, END), (1, B, END)]);
        assert_eq!(edges(paths(Way::To, 5, false), &walk), [(0, A, B), (-1, START, A)]);
        assert_eq!(edges(paths(Way::To, 1, true), &walk), [(0, A, B), (0, C, B)]);
        assert_eq!(edges(paths(Way::From, 1, true), &visits(&[(0, A)])), []);
    }
}
