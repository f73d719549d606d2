//! Merging inputs that are in order.
//!
//! Deals with: rows of several inputs in the order of (user, time, input), in constant memory however large a user is and
//! however many rows repeat one event.
//! Does not deal with: duplicates (`unique`), or where the rows go.
//!
//! Rows move in slices: from the input that is first, all rows up to the first one of the input that is second. Where a user's
//! events lie in one input after the other, as when they came in the order of time, that is the user's whole part of an
//! input; where no other input has the user, it is many users at once.

use arrow::buffer::ScalarBuffer;

use super::columns::{Columns, Rows, Slice};
use super::source::{Reader, Source, UserRange};
use super::unique::{Fingerprints, Unique};
use crate::error::Result;
use crate::store::user_id::{UserRef, Users};

/// Pieces of rows that are looked at, at most, before some are given out: whoever takes them tells progress and is stopped there.
const PIECES_AT_ONCE: usize = 2;

type Key<'a> = (UserRef<'a>, i64);

/// An input, at a row.
struct Cursor<'a> {
    reader: Box<dyn Reader + 'a>,
    rows: Rows,
    users: Users,
    times: ScalarBuffer<i64>,
    keys: Fingerprints,
    at: usize,
    /// Its number among the rows that slices are waiting of.
    held: Option<u32>,
}

impl Cursor<'_> {
    #[inline]
    fn key(&self, row: usize) -> Key<'_> {
        (self.users.at(row), self.times[row])
    }

    /// Reads the next rows; false at the end.
    fn advance(&mut self, columns: &mut Columns, unique: Option<&Unique<'_>>) -> Result<bool> {
        let Some(rows) = self.reader.next(columns)? else { return Ok(false) };
        self.users = columns.users(&rows)?;
        self.times = columns.times(&rows)?;
        if let Some(unique) = unique {
            self.keys = unique.fingerprints(columns, &rows)?;
        }
        (self.rows, self.at, self.held) = (rows, 0, None);
        Ok(true)
    }

    /// Where rows end that come before `other`'s; `ties` says whether equal ones do.
    fn end(&self, other: Key<'_>, ties: bool) -> usize {
        let before = |row: usize| if ties { self.key(row) <= other } else { self.key(row) < other };
        let (mut low, mut step) = (self.at, 1);
        while low + step < self.rows.len && before(low + step) {
            low += step;
            step *= 2;
        }
        // The row `low` comes before.
        let (mut low, mut high) = (low + 1, (low + step).min(self.rows.len));
        while low < high {
            let middle = low.midpoint(high);
            if before(middle) { low = middle + 1 } else { high = middle }
        }
        low
    }
}

/// Inputs being merged; of equal rows, those of inputs named earlier come first.
pub(super) struct Merge<'a> {
    cursors: Vec<Cursor<'a>>,
    /// Numbers of the inputs that have rows, by their next row.
    order: Vec<usize>,
    held: Vec<Rows>,
    slices: Vec<Slice>,
    waiting: usize,
    /// Rows given out at once, about.
    piece: usize,
    unique: Option<Unique<'a>>,
}

impl<'a> Merge<'a> {
    /// Merges a range of users. With `unique`, rows that repeat an event are left out.
    pub fn new(
        sources: &'a [&'a dyn Source],
        range: &UserRange,
        columns: &mut Columns,
        piece: usize,
        unique: Option<Unique<'a>>,
    ) -> Result<Self> {
        let (order, held, slices) = Default::default();
        let mut merge =
            Self { cursors: Vec::with_capacity(sources.len()), order, held, slices, waiting: 0, piece, unique };
        for source in sources {
            let none = columns.none();
            let mut cursor = Cursor {
                reader: source.read(range)?,
                users: columns.users(&none)?,
                times: ScalarBuffer::from(Vec::new()),
                keys: Fingerprints::default(),
                rows: none,
                at: 0,
                held: None,
            };
            if cursor.advance(columns, merge.unique.as_ref())? {
                merge.cursors.push(cursor);
                merge.enter(merge.cursors.len() - 1);
            }
        }
        Ok(merge)
    }

    /// The next rows, none of them where all that was looked at repeats events; `None` at the end.
    pub fn next(&mut self, columns: &mut Columns) -> Result<Option<Rows>> {
        let mut looked_at = 0;
        while self.waiting < self.piece && looked_at < PIECES_AT_ONCE * self.piece {
            let Some(&first) = self.order.first() else { break };
            let cursor = &self.cursors[first];
            let end = match self.order.get(1) {
                Some(&second) => {
                    let other = &self.cursors[second];
                    cursor.end(other.key(other.at), first < second)
                }
                None => cursor.rows.len,
            };
            // Pieces stay small where an input goes on alone.
            let end = end.min(cursor.at + self.piece);
            looked_at += end - cursor.at;
            self.take(first, end)?;
            self.order.remove(0);
            let cursor = &mut self.cursors[first];
            if end < cursor.rows.len {
                cursor.at = end;
                self.enter(first);
            } else if cursor.advance(columns, self.unique.as_ref())? {
                self.enter(first);
            } else {
                // Nothing of it is asked for again; slices hold what they need.
                cursor.rows = columns.none();
            }
        }
        if self.waiting == 0 {
            return Ok((looked_at > 0).then(|| columns.none()));
        }
        let rows = columns.gather(&self.held, &self.slices)?;
        self.held.clear();
        self.slices.clear();
        self.waiting = 0;
        self.cursors.iter_mut().for_each(|cursor| cursor.held = None);
        Ok(Some(rows))
    }

    /// Rows that were left out as repetitions.
    pub fn duplicates(&self) -> u64 {
        self.unique.as_ref().map_or(0, Unique::dropped)
    }

    /// Puts an input in its place among the others.
    fn enter(&mut self, number: usize) {
        let cursor = &self.cursors[number];
        let key = cursor.key(cursor.at);
        let place = self.order.partition_point(|other| {
            let cursor = &self.cursors[*other];
            (cursor.key(cursor.at), *other) < (key, number)
        });
        self.order.insert(place, number);
    }

    /// Lets the rows of an input up to `end` wait.
    fn take(&mut self, number: usize, end: usize) -> Result<()> {
        let cursor = &mut self.cursors[number];
        let (held, slices, waiting) = (&mut self.held, &mut self.slices, &mut self.waiting);
        let mut keep = |from: usize, to: usize| {
            if from < to {
                // Rows of which none is kept are not held.
                let rows = *cursor.held.get_or_insert_with(|| {
                    held.push(cursor.rows.clone());
                    held.len() as u32 - 1
                });
                slices.push(Slice { rows, from: from as u32, len: (to - from) as u32 });
                *waiting += to - from;
            }
        };
        match &mut self.unique {
            Some(unique) => unique.keep(&cursor.users, &cursor.keys, cursor.at, end, keep),
            None => {
                keep(cursor.at, end);
                Ok(())
            }
        }
    }
}
