//! A flow: how often and by how many users each edge between two nodes was taken.
//!
//! Deals with: counting edges user by user, merging partial counts, folding all but the most frequent nodes into one.
//! Does not deal with: how edges come about (`path`), how long they took (`value_runs`), or what nodes are called: names are
//! asked for where they break ties.
//!
//! Folding must not count a user twice who took several edges that become one: where edges fold, who takes the table counts
//! the users of its rows again, from each user's distinct edges. The table of edges is sparse: it never holds more than were
//! taken.

use std::cmp::Ordering;
use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use super::path::{FIRST_NODE, OTHER};

/// What tells one edge from another: step, source, target.
pub type EdgeKey = (i32, u32, u32);

/// One edge and how often it was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Edge {
    /// Step, source and target.
    pub key: EdgeKey,
    /// How often it was taken.
    pub events: u64,
    /// Users who took it.
    pub users: u64,
    /// The user who took it last.
    seen: u32,
}

/// The edges of many users.
#[derive(Debug, Clone, Default)]
pub struct Flow {
    edges: Vec<Edge>,
    index: EdgeIndex,
    users: u32,
}

/// One row of the table.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Row {
    /// Step, source and target; [`OTHER`] stands for the nodes that lost their names.
    pub key: EdgeKey,
    /// How often it was taken.
    pub events: u64,
    /// Users who took it; where edges fold, a user of several of them is in here several times.
    pub users: u64,
    /// Events as a share of all that leave the source (at the same step), 0 to 1.
    pub share: f64,
}

/// The rows, and which of them each edge went into.
#[derive(Debug, Default)]
pub struct Table {
    /// The rows.
    pub rows: Vec<Row>,
    /// The row of each edge.
    pub row_of: Vec<u32>,
}

impl Table {
    /// Whether some row stands for several edges.
    pub fn folds(&self) -> bool {
        self.rows.len() < self.row_of.len()
    }
}

/// There are more distinct edges than can be numbered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooManyEdges;

const MOST_EDGES: u32 = 1 << 31;

impl Flow {
    /// What follows was done by another user.
    pub fn next_user(&mut self) {
        self.users = self.users.wrapping_add(1);
    }

    /// The user took an edge `events` times: its number, and whether it is the first time for this user.
    pub fn add(&mut self, key: EdgeKey, events: u64) -> Result<(u32, bool), TooManyEdges> {
        let number = self.edge(key, events)?;
        let edge = &mut self.edges[number as usize];
        let first = edge.seen != self.users;
        edge.seen = self.users;
        edge.users += u64::from(first);
        Ok((number, first))
    }

    /// What another flow has counted of other users: the edge's number here.
    pub fn merge(&mut self, key: EdgeKey, events: u64, users: u64) -> Result<u32, TooManyEdges> {
        let number = self.edge(key, events)?;
        let edge = &mut self.edges[number as usize];
        edge.users = edge.users.saturating_add(users);
        Ok(number)
    }

    /// Number of an edge, which is taken `events` times more.
    fn edge(&mut self, key: EdgeKey, events: u64) -> Result<u32, TooManyEdges> {
        let number = *self.index.entry(key).or_insert(self.edges.len() as u32);
        if number as usize == self.edges.len() {
            if number >= MOST_EDGES {
                return Err(TooManyEdges);
            }
            // The user before any.
            self.edges.push(Edge { key, events: 0, users: 0, seen: self.users.wrapping_sub(1) });
        }
        let edge = &mut self.edges[number as usize];
        edge.events = edge.events.saturating_add(events);
        Ok(number)
    }

    /// The edges so far, in the order of their numbers.
    pub fn edges(&self) -> &[Edge] {
        &self.edges
    }

    /// The table: a row for each edge. With `top`, only the `top` most frequent nodes of each position keep their names,
    /// equals in the order of `names`; what goes through the others goes through [`OTHER`].
    ///
    /// `layered`: the edge of a step leads from position `step - 1` to position `step`. Otherwise there is one position.
    pub fn table(&self, top: Option<usize>, layered: bool, names: impl Fn(u32, u32) -> Ordering) -> Table {
        let folded = top.map(|top| self.folded(top, layered, names)).unwrap_or_default();
        let shown = |position: i32, node: u32| if folded.contains_key(&(position, node)) { OTHER } else { node };
        let mut index = EdgeIndex::default();
        let mut rows: Vec<Row> = Vec::new();
        let mut row_of = Vec::with_capacity(self.edges.len());
        let mut leaving: HashMap<(i32, u32), u64, BuildHasherDefault<Mix>> = HashMap::default();
        for edge in &self.edges {
            let (step, source, target) = edge.key;
            let [from, to] = positions(step, layered);
            let key = (step, shown(from, source), shown(to, target));
            let row = *index.entry(key).or_insert(rows.len() as u32);
            if row as usize == rows.len() {
                rows.push(Row { key, events: 0, users: 0, share: 0.0 });
            }
            let (passed, left) = (&mut rows[row as usize], leaving.entry((step, key.1)).or_default());
            passed.events = passed.events.saturating_add(edge.events);
            passed.users = passed.users.saturating_add(edge.users);
            *left = left.saturating_add(edge.events);
            row_of.push(row);
        }
        for row in &mut rows {
            row.share = row.events as f64 / leaving[&(row.key.0, row.key.1)].max(1) as f64;
        }
        Table { rows, row_of }
    }

    /// Nodes that lose their names, by position.
    fn folded(
        &self,
        top: usize,
        layered: bool,
        names: impl Fn(u32, u32) -> Ordering,
    ) -> HashMap<(i32, u32), (), BuildHasherDefault<Mix>> {
        // What goes in and what comes out are equal, except at the first and last position, where one of them is nothing.
        let mut passing: HashMap<(i32, u32), [u64; 2], BuildHasherDefault<Mix>> = HashMap::default();
        for edge in &self.edges {
            let (step, source, target) = edge.key;
            let [from, to] = positions(step, layered);
            for (direction, place) in [(from, source), (to, target)].into_iter().enumerate() {
                if place.1 >= FIRST_NODE {
                    let passed = &mut passing.entry(place).or_default()[direction];
                    *passed = passed.saturating_add(edge.events);
                }
            }
        }
        let mut ranking: Vec<(i32, u64, u32)> =
            passing.into_iter().map(|((position, node), [out, into])| (position, out.max(into), node)).collect();
        ranking.sort_unstable_by(|a, b| (a.0.cmp(&b.0)).then(b.1.cmp(&a.1)).then_with(|| names(a.2, b.2)));
        ranking.chunk_by(|a, b| a.0 == b.0).flat_map(|p| p.iter().skip(top)).map(|r| ((r.0, r.2), ())).collect()
    }

    /// Bytes held.
    pub fn size(&self) -> usize {
        let entry = size_of::<(EdgeKey, u32)>() + 1;
        size_of_val(self) + self.edges.capacity() * size_of::<Edge>() + self.index.capacity() * entry
    }
}

/// Positions of an edge's source and target.
fn positions(step: i32, layered: bool) -> [i32; 2] {
    if layered { [step - 1, step] } else { [0, 0] }
}

type EdgeIndex = HashMap<EdgeKey, u32, BuildHasherDefault<Mix>>;

/// Mixes a few small numbers: the keys here are positions and numbers given in order of arrival, which nobody chooses.
#[derive(Default)]
struct Mix(u64);

impl Hasher for Mix {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|b| self.write_u32(u32::from(*b)));
    }
    fn write_u32(&mut self, value: u32) {
        // The two halves of a wide product: each bit of the input reaches both ends of the word.
        let wide = u128::from(self.0 ^ u64::from(value) ^ 0x9e37_79b9_7f4a_7c15) * 0xd6e8_feb8_6659_fd93_u128;
        self.0 = (wide as u64) ^ (wide >> 64) as u64;
    }
    fn write_i32(&mut self, value: i32) {
        self.write_u32(value as u32);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: u32 = FIRST_NODE;
    const B: u32 = FIRST_NODE + 1;
    const C: u32 = FIRST_NODE + 2;

    fn flow(users: &[&[(EdgeKey, u64)]]) -> Flow {
        let mut flow = Flow::default();
        for user in users {
            flow.next_user();
            user.iter().for_each(|(key, events)| {
                flow.add(*key, *events).unwrap();
            });
        }
        flow
    }

    fn rows(flow: &Flow, top: Option<usize>, layered: bool) -> Vec<(EdgeKey, u64, u64)> {
        let table = flow.table(top, layered, |a, b| a.cmp(&b));
        let mut rows: Vec<_> = table.rows.iter().map(|r| (r.key, r.events, r.users)).collect();
        rows.sort_unstable();
        rows
    }

    fn example() -> Flow {
        flow(&[&[((0, A, B), 1), ((0, A, C), 1), ((0, A, B), 1)], &[], &[((0, A, C), 1), ((0, C, B), 1)]])
    }

    #[test]
    fn events_and_users_are_counted_apart() {
        let want = [((0, A, B), 2, 1), ((0, A, C), 2, 2), ((0, C, B), 1, 1)];
        assert_eq!(rows(&example(), None, false), want);
        let table = example().table(None, false, |a, b| a.cmp(&b));
        assert!(!table.folds());
        assert_eq!(table.rows.iter().find(|r| r.key == (0, A, B)).unwrap().share, 0.5);
        let mut flow = Flow::default();
        // Users before the first one is announced count as one.
        assert_eq!((flow.add((0, A, B), 1), flow.add((0, A, B), 1)), (Ok((0, true)), Ok((0, false))));
    }

    #[test]
    fn edges_between_the_same_places_are_one_row() {
        // A is passed 4 times, B 3 times, C twice.
        let found = example().table(Some(1), false, |a, b| a.cmp(&b));
        assert!(found.folds());
        let row = |edge: usize| found.rows[found.row_of[edge] as usize];
        assert_eq!((row(0).key, row(0).events, row(1).key), ((0, A, OTHER), 4, (0, A, OTHER)));
        assert_eq!((row(2).key, row(2).events), ((0, OTHER, OTHER), 1));
        let want = [((0, OTHER, B), 1, 1), ((0, A, OTHER), 2, 2), ((0, A, B), 2, 1)];
        assert_eq!(rows(&example(), Some(2), false), want);
    }

    #[test]
    fn each_position_has_its_own_ranking() {
        let flow = flow(&[&[((1, A, B), 3), ((2, B, A), 1), ((2, B, C), 2)], &[((1, A, C), 1), ((2, C, A), 1)]]);
        // Position 1: B; position 2: A and C are equal, and A comes first.
        let want =
            [((1, A, OTHER), 1, 1), ((1, A, B), 3, 1), ((2, OTHER, A), 1, 1), ((2, B, OTHER), 2, 1), ((2, B, A), 1, 1)];
        assert_eq!(rows(&flow, Some(1), true), want);
    }

    #[test]
    fn merged_parts_are_the_whole() {
        let whole = example();
        let mut merged = Flow::default();
        for part in
            [flow(&[&[((0, A, C), 1), ((0, C, B), 1)]]), flow(&[&[((0, A, B), 1), ((0, A, C), 1), ((0, A, B), 1)]])]
        {
            part.edges().iter().for_each(|e| {
                merged.merge(e.key, e.events, e.users).unwrap();
            });
        }
        for top in [None, Some(1), Some(2)] {
            assert_eq!(rows(&merged, top, false), rows(&whole, top, false));
        }
    }
}
