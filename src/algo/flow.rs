//! A flow: how often and by how many users each edge between two nodes was taken, and how long it took.
//!
//! Deals with: counting edges user by user, merging partial counts, folding all but the most frequent nodes into one.
//! Does not deal with: how edges come about (`path`), or what nodes are called: names are asked for where they break ties.
//!
//! Folding must not count a user twice who took several edges that become one. So each user's distinct edges are logged (4
//! bytes each) and counted when the table is made. The table of edges is sparse: it never holds more than were taken.

use std::cmp::Ordering;
use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use super::event_log::{EventLog, Grouped};
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
    /// The user who took it last.
    seen: u32,
}

/// One passage of an edge.
#[derive(Debug, Clone, Copy)]
struct Timed {
    ticks: i64,
    edge: u32,
}

impl Grouped for Timed {
    fn group(&self) -> u32 {
        self.edge
    }
    fn with_group(self, edge: u32) -> Self {
        Self { edge, ..self }
    }
}

/// That a user took an edge; the highest bit is set at the first edge of each user.
#[derive(Debug, Clone, Copy)]
struct Use(u32);

/// Marks the first edge of a user among [`Flow::uses`].
pub const FIRST_OF_USER: u32 = 1 << 31;

impl Grouped for Use {
    fn group(&self) -> u32 {
        self.0 & !FIRST_OF_USER
    }
    fn with_group(self, edge: u32) -> Self {
        Self(self.0 & FIRST_OF_USER | edge)
    }
}

/// The edges of many users.
#[derive(Debug, Clone, Default)]
pub struct Flow {
    edges: Vec<Edge>,
    index: EdgeIndex,
    times: EventLog<Timed>,
    uses: EventLog<Use>,
    users: u32,
    user_is_new: bool,
}

/// One row of the table.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Row {
    /// Step, source and target; [`OTHER`] stands for the nodes that lost their names.
    pub key: EdgeKey,
    /// How often it was taken.
    pub events: u64,
    /// Users who took it.
    pub users: u64,
    /// Events as a share of all that leave the source (at the same step), 0 to 1.
    pub share: f64,
    /// Median of the ticks from source to target; `None` where none is known.
    pub median: Option<f64>,
    /// Their mean.
    pub mean: Option<f64>,
}

/// There are more distinct edges than can be numbered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooManyEdges;

impl Flow {
    /// What follows was done by another user.
    pub fn next_user(&mut self) {
        self.users = self.users.wrapping_add(1);
        self.user_is_new = true;
    }

    /// The user took an edge `events` times, once in so many ticks where that is known.
    pub fn add(&mut self, key: EdgeKey, events: u64, ticks: Option<i64>) -> Result<(), TooManyEdges> {
        let edge = self.edge(key, events)?;
        if self.edges[edge as usize].seen != self.users {
            self.edges[edge as usize].seen = self.users;
            let first = if std::mem::take(&mut self.user_is_new) { FIRST_OF_USER } else { 0 };
            self.uses.push(Use(first | edge));
        }
        if let Some(ticks) = ticks {
            self.times.push(Timed { ticks, edge });
        }
        Ok(())
    }

    /// Number of an edge, which is taken `events` times more.
    fn edge(&mut self, key: EdgeKey, events: u64) -> Result<u32, TooManyEdges> {
        let number = *self.index.entry(key).or_insert(self.edges.len() as u32);
        if number as usize == self.edges.len() {
            if number >= FIRST_OF_USER {
                return Err(TooManyEdges);
            }
            self.edges.push(Edge { key, events: 0, seen: 0 });
        }
        let edge = &mut self.edges[number as usize];
        edge.events = edge.events.saturating_add(events);
        Ok(number)
    }

    /// The edges so far, in the order of their numbers.
    pub fn edges(&self) -> &[Edge] {
        &self.edges
    }

    /// Edge number and ticks of every timed passage.
    pub fn times(&self) -> impl Iterator<Item = (u32, i64)> {
        self.times.iter().map(|t| (t.edge, t.ticks))
    }

    /// Edge numbers of every user, one user after the other, each beginning with [`FIRST_OF_USER`].
    pub fn uses(&self) -> impl Iterator<Item = u32> {
        self.uses.iter().map(|u| u.0)
    }

    /// Adds what another flow has told of itself; its edge numbers count from 0 within `edges`. `None` where a number is not
    /// among them.
    pub fn merge(
        &mut self,
        edges: impl Iterator<Item = (EdgeKey, u64)>,
        times: impl Iterator<Item = (u32, i64)>,
        uses: impl Iterator<Item = u32>,
    ) -> Result<Option<()>, TooManyEdges> {
        let numbers = edges.map(|(key, events)| self.edge(key, events)).collect::<Result<Vec<u32>, _>>()?;
        for (edge, ticks) in times {
            let Some(edge) = numbers.get(edge as usize) else { return Ok(None) };
            self.times.push(Timed { ticks, edge: *edge });
        }
        for one in uses {
            let one = Use(one);
            let Some(edge) = numbers.get(one.group() as usize) else { return Ok(None) };
            self.uses.push(one.with_group(*edge));
        }
        Ok(Some(()))
    }

    /// The table: a row for each edge. With `top`, only the `top` most frequent nodes of each position keep their names,
    /// equals in the order of `names`; what goes through the others goes through [`OTHER`].
    ///
    /// `layered`: the edge of a step leads from position `step - 1` to position `step`. Otherwise there is one position.
    pub fn table(&self, top: Option<usize>, layered: bool, names: impl Fn(u32, u32) -> Ordering) -> Vec<Row> {
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
                rows.push(Row { key, events: 0, users: 0, share: 0.0, median: None, mean: None });
            }
            let (passed, left) = (&mut rows[row as usize].events, leaving.entry((step, key.1)).or_default());
            *passed = passed.saturating_add(edge.events);
            *left = left.saturating_add(edge.events);
            row_of.push(row);
        }
        self.count_users(&row_of, &mut rows);
        self.measure(&row_of, &mut rows);
        for row in &mut rows {
            row.share = row.events as f64 / leaving[&(row.key.0, row.key.1)].max(1) as f64;
        }
        rows
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

    fn count_users(&self, row_of: &[u32], rows: &mut [Row]) {
        let mut seen = vec![0u64; rows.len()];
        let mut user = 0u64;
        for one in self.uses.iter() {
            user += u64::from(one.0 & FIRST_OF_USER != 0);
            let row = row_of[one.group() as usize] as usize;
            if std::mem::replace(&mut seen[row], user) != user {
                rows[row].users += 1;
            }
        }
    }

    /// Median and mean of each row: a counting sort of all times by row, then the middle of each.
    fn measure(&self, row_of: &[u32], rows: &mut [Row]) {
        let mut ends = vec![0usize; rows.len() + 1];
        for timed in self.times.iter() {
            ends[row_of[timed.edge as usize] as usize + 1] += 1;
        }
        for row in 0..rows.len() {
            ends[row + 1] += ends[row];
        }
        let starts = ends.clone();
        let mut sorted = vec![0i64; self.times.len()];
        for timed in self.times.iter() {
            let end = &mut ends[row_of[timed.edge as usize] as usize];
            sorted[*end] = timed.ticks;
            *end += 1;
        }
        for (at, row) in rows.iter_mut().enumerate() {
            let times = &mut sorted[starts[at]..starts[at + 1]];
            if !times.is_empty() {
                let sum: i128 = times.iter().map(|t| i128::from(*t)).sum();
                row.mean = Some(sum as f64 / times.len() as f64);
                row.median = Some(median(times));
            }
        }
    }

    /// Bytes held now, and those that [`Flow::table`] will need for the times.
    pub fn size(&self) -> usize {
        let entry = size_of::<(EdgeKey, u32)>() + 1;
        size_of_val(self)
            + self.edges.capacity() * size_of::<Edge>()
            + self.index.capacity() * entry
            + self.times.size()
            + self.times.len() * size_of::<i64>()
            + self.uses.size()
    }
}

/// Positions of an edge's source and target.
fn positions(step: i32, layered: bool) -> [i32; 2] {
    if layered { [step - 1, step] } else { [0, 0] }
}

/// The value in the middle, or between the two there.
fn median(times: &mut [i64]) -> f64 {
    let (middle, even) = (times.len() / 2, times.len().is_multiple_of(2));
    let (below, upper, _) = times.select_nth_unstable(middle);
    let upper = *upper as f64;
    match below.iter().max() {
        Some(lower) if even => {
            let lower = *lower as f64;
            lower + (upper - lower) / 2.0
        }
        _ => upper,
    }
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

    fn flow(users: &[&[(EdgeKey, u64, Option<i64>)]]) -> Flow {
        let mut flow = Flow::default();
        for user in users {
            flow.next_user();
            user.iter().for_each(|(key, events, ticks)| flow.add(*key, *events, *ticks).unwrap());
        }
        flow
    }

    fn rows(flow: &Flow, top: Option<usize>, layered: bool) -> Vec<(EdgeKey, u64, u64)> {
        let mut rows: Vec<_> =
            flow.table(top, layered, |a, b| a.cmp(&b)).iter().map(|r| (r.key, r.events, r.users)).collect();
        rows.sort_unstable();
        rows
    }

    fn example() -> Flow {
        flow(&[
            &[((0, A, B), 1, Some(4)), ((0, A, C), 1, Some(6)), ((0, A, B), 1, Some(1))],
            &[],
            &[((0, A, C), 1, Some(9)), ((0, C, B), 1, None)],
        ])
    }

    #[test]
    fn events_and_users_are_counted_apart() {
        let want = [((0, A, B), 2, 1), ((0, A, C), 2, 2), ((0, C, B), 1, 1)];
        assert_eq!(rows(&example(), None, false), want);
        let table = example().table(None, false, |a, b| a.cmp(&b));
        let ab = table.iter().find(|r| r.key == (0, A, B)).unwrap();
        assert_eq!((ab.share, ab.median, ab.mean), (0.5, Some(2.5), Some(2.5)));
        assert_eq!(table.iter().find(|r| r.key == (0, C, B)).unwrap().median, None);
    }

    #[test]
    fn a_user_of_two_folded_edges_counts_once() {
        // A is passed 4 times, B 3 times, C twice.
        let want = [((0, OTHER, B), 1, 1), ((0, A, OTHER), 2, 2), ((0, A, B), 2, 1)];
        assert_eq!(rows(&example(), Some(2), false), want);
        let want = [((0, OTHER, OTHER), 1, 1), ((0, A, OTHER), 4, 2)];
        assert_eq!(rows(&example(), Some(1), false), want);
        let table = example().table(Some(1), false, |a, b| a.cmp(&b));
        let other = table.iter().find(|r| r.key == (0, A, OTHER)).unwrap();
        assert_eq!((other.median, other.mean), (Some(5.0), Some(5.0)));
    }

    #[test]
    fn each_position_has_its_own_ranking() {
        let flow = flow(&[
            &[((1, A, B), 3, None), ((2, B, A), 1, None), ((2, B, C), 2, None)],
            &[((1, A, C), 1, None), ((2, C, A), 1, None)],
        ]);
        // Position 1: B; position 2: A and C are equal, and A comes first.
        let want =
            [((1, A, OTHER), 1, 1), ((1, A, B), 3, 1), ((2, OTHER, A), 1, 1), ((2, B, OTHER), 2, 1), ((2, B, A), 1, 1)];
        assert_eq!(rows(&flow, Some(1), true), want);
    }

    #[test]
    fn merged_parts_are_the_whole() {
        let whole = example();
        let mut merged = Flow::default();
        for part in [flow(&[&[((0, A, C), 1, Some(9)), ((0, C, B), 1, None)]]), {
            flow(&[&[((0, A, B), 1, Some(4)), ((0, A, C), 1, Some(6)), ((0, A, B), 1, Some(1))]])
        }] {
            let edges = part.edges().iter().map(|e| (e.key, e.events));
            assert_eq!(merged.merge(edges, part.times(), part.uses()), Ok(Some(())));
        }
        for top in [None, Some(1), Some(2)] {
            assert_eq!(rows(&merged, top, false), rows(&whole, top, false));
        }
        assert_eq!(merged.merge(std::iter::empty(), [(0, 1)].into_iter(), std::iter::empty()), Ok(None));
    }

    #[test]
    fn medians_of_even_and_odd_counts() {
        assert_eq!(median(&mut [3]), 3.0);
        assert_eq!(median(&mut [9, 1, 4, 2]), 3.0);
        assert_eq!(median(&mut [9, 1, 4]), 4.0);
        assert_eq!(median(&mut [i64::MAX, 0]), i64::MAX as f64 / 2.0);
    }
}
