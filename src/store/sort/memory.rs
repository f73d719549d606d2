//! Sorted rows in memory as an input of a merge.
//!
//! Deals with: gathering rows in order, piece by piece. Does not deal with: finding the order (`order`).

use super::columns::{Columns, Rows};
use super::order::Order;
use super::source::{Fence, Reader, Source, UserRange};
use crate::error::Result;
use crate::store::user_id::{UserRef, Users};

/// Rows between two fences.
const FENCE: usize = 1 << 14;

/// Chunks of rows and their order.
pub(super) struct SortedRows {
    chunks: Vec<Rows>,
    users: Vec<Users>,
    order: Order,
    /// Rows given out at once.
    piece: usize,
}

impl SortedRows {
    pub fn new(chunks: Vec<Rows>, columns: &Columns, piece: usize, threads: usize) -> Result<Self> {
        let order = Order::new(&chunks, columns, threads)?;
        let users = chunks.iter().map(|c| columns.users(c)).collect::<Result<_>>()?;
        Ok(Self { chunks, users, order, piece: piece.max(1) })
    }

    pub fn len(&self) -> usize {
        self.order.len()
    }

    /// The user of the row in this position.
    pub fn user(&self, position: usize) -> UserRef<'_> {
        let (chunk, row) = self.order.place(position);
        self.users[chunk].at(row)
    }

    /// The position at or after `position` where a user begins.
    pub fn user_begin(&self, position: usize) -> usize {
        if position == 0 || position >= self.len() {
            return position.min(self.len());
        }
        let before = self.user(position - 1);
        if self.user(position) != before {
            return position;
        }
        // The first user that is greater: of those equal to `before`, the bound is behind the last.
        let (mut low, mut high) = (position, self.len());
        while low < high {
            let middle = low.midpoint(high);
            if self.user(middle) <= before { low = middle + 1 } else { high = middle }
        }
        low
    }

    /// The rows in these positions, in order.
    pub fn pieces(&self, from: usize, to: usize) -> Pieces<'_> {
        Pieces { rows: self, at: from, to, places: Vec::new() }
    }
}

impl Source for SortedRows {
    fn fences(&self) -> Result<Vec<Fence>> {
        let starts = (0..self.len()).step_by(FENCE);
        Ok(starts.map(|at| (self.user(at).to_owned(), FENCE.min(self.len() - at) as u64)).collect())
    }

    fn piece(&self) -> usize {
        self.piece
    }

    fn read<'a>(&'a self, range: &UserRange) -> Result<Box<dyn Reader + 'a>> {
        let bound = |user: &crate::store::user_id::UserId| self.order.lower_bound(user.as_ref(), &self.users);
        let from = range.from.as_ref().map_or(0, bound);
        let to = range.to.as_ref().map_or(self.len(), bound);
        Ok(Box::new(self.pieces(from, to.max(from))))
    }
}

/// Reads positions one piece after the other.
pub(super) struct Pieces<'a> {
    rows: &'a SortedRows,
    at: usize,
    to: usize,
    places: Vec<(usize, usize)>,
}

impl Reader for Pieces<'_> {
    fn next(&mut self, columns: &mut Columns) -> Result<Option<Rows>> {
        if self.at >= self.to {
            return Ok(None);
        }
        let end = self.to.min(self.at + self.rows.piece);
        self.places.clear();
        self.places.extend((self.at..end).map(|position| self.rows.order.place(position)));
        self.at = end;
        columns.pick(&self.rows.chunks, &self.places).map(Some)
    }
}
