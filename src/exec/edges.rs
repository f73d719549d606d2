//! Users at the edges of partitions: the first and the last user of each may go on in its neighbour.
//!
//! ```text
//! partition 0          partition 1        partition 2
//! a a a b b c c c  |  c c c c c c c c  |  c d d d e e
//! └─┬─┘     └─┬─┘     └──────┬──────┘     ┬       └┬┘     states of edge users, merged once all partitions are done:
//!   a         c              c            c        e      a, c, e; b and d were answered on the way
//! ```
//!
//! Deals with: collecting the partial states, merging those of one user, answering for them when the last partition ends.
//! Nobody waits for anybody: the partition that happens to end last answers.
//! Does not deal with: users inside a partition (`user_runs`).

use std::cmp::Ordering;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, UInt32Array, make_comparator};
use arrow::compute::{concat, take};
use datafusion::error::Result;
use datafusion::execution::memory_pool::MemoryReservation;
use datafusion::logical_expr::EmitTo;
use parking_lot::Mutex;

use super::user_runs::{UserQuestion, fresh_groups};

/// A user's state at the edge of a partition.
pub struct EdgeUser {
    /// The user: an array of one row.
    pub user: ArrayRef,
    /// For each aggregate, the columns of its partial state, one row each.
    pub states: Vec<Vec<ArrayRef>>,
    /// Accounts for the state until it is merged.
    pub _held: MemoryReservation,
}

/// The edges of one execution.
pub struct Edges {
    collected: Mutex<Collected>,
}

struct Collected {
    /// By partition, in order within it; `None` until the partition has ended.
    partitions: Vec<Option<Vec<EdgeUser>>>,
    started: Vec<bool>,
}

impl Edges {
    /// For so many partitions.
    pub fn new(partitions: usize) -> Arc<Self> {
        let collected =
            Collected { partitions: (0..partitions).map(|_| None).collect(), started: vec![false; partitions] };
        Arc::new(Self { collected: Mutex::new(collected) })
    }

    /// Whether this partition had not started yet; it has now.
    pub fn start(&self, partition: usize) -> bool {
        !std::mem::replace(&mut self.collected.lock().started[partition], true)
    }

    /// Hands in a partition's edge users when it ends. The partition that ends last gets those of all, in order.
    pub fn end(&self, partition: usize, users: Vec<EdgeUser>) -> Option<Vec<EdgeUser>> {
        let mut collected = self.collected.lock();
        collected.partitions[partition] = Some(users);
        if collected.partitions.iter().any(Option::is_none) {
            return None;
        }
        Some(collected.partitions.iter_mut().flat_map(|p| p.take().unwrap_or_default()).collect())
    }
}

/// The answers for edge users in the order of their partitions, one row a distinct user; `None` where there are none.
pub fn answer(edges: Vec<EdgeUser>, question: &UserQuestion) -> Result<Option<RecordBatch>> {
    if edges.is_empty() {
        return Ok(None);
    }
    let users = concat(&edges.iter().map(|e| e.user.as_ref()).collect::<Vec<_>>())?;
    let compare = make_comparator(&users, &users, question.order)?;
    let mut groups = vec![0usize];
    let mut firsts = vec![0u32];
    for at in 1..edges.len() {
        match compare(at - 1, at) {
            Ordering::Equal => {}
            Ordering::Less => firsts.push(at as u32),
            Ordering::Greater => return Err(question.out_of_order(&users, at - 1, at).into()),
        }
        groups.push(firsts.len() - 1);
    }
    let mut columns = vec![take(&users, &UInt32Array::from(firsts.clone()), None)?];
    for (at, aggregate) in question.aggregates.iter().enumerate() {
        let mut merged = fresh_groups(aggregate)?;
        let state = (0..edges[0].states[at].len())
            .map(|c| concat(&edges.iter().map(|e| e.states[at][c].as_ref()).collect::<Vec<_>>()))
            .collect::<Result<Vec<_>, _>>()?;
        merged.merge_batch(&state, &groups, firsts.len())?;
        columns.push(merged.evaluate(EmitTo::All)?);
    }
    question.batch(columns).map(Some)
}
