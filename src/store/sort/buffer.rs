//! Rows in memory before they are sorted.
//!
//! Deals with: holding them in few compact chunks, and knowing to the byte what that costs. Does not deal with: limits.

use super::columns::{Columns, Rows};
use super::order::{KEY_BYTES, RANK_BYTES, needs_ranks};
use crate::error::Result;
use crate::store::user_id::Users;

/// Rows of a chunk, about: large enough that a sort of millions of rows looks at few arrays.
const CHUNK: usize = 1 << 16;
/// Bytes of a chunk, about, where rows are wide.
const CHUNK_BYTES: usize = 16 << 20;
/// Chunks: with [`CHUNK`] rows each, their rows have numbers of 32 bits.
const MOST_CHUNKS: usize = 1 << 15;

/// Rows as they came.
pub(super) struct Buffer {
    chunks: Vec<Rows>,
    /// Rows for the next chunk, as they came.
    waiting: Vec<Rows>,
    waiting_rows: usize,
    waiting_bytes: usize,
    rows: usize,
    bytes: usize,
    users: (i64, i64),
    text_users: bool,
    times: (i64, i64),
}

impl Buffer {
    pub fn new() -> Self {
        let (chunks, waiting) = Default::default();
        Self {
            chunks,
            waiting,
            waiting_rows: 0,
            waiting_bytes: 0,
            rows: 0,
            bytes: 0,
            users: (i64::MAX, i64::MIN),
            text_users: false,
            times: (i64::MAX, i64::MIN),
        }
    }

    pub fn push(&mut self, rows: Rows, columns: &mut Columns) -> Result<()> {
        let mut from = 0;
        while from < rows.len {
            let len = (CHUNK - self.waiting_rows).min(rows.len - from);
            let piece = rows.slice(from, len);
            from += len;
            self.measure(&piece, columns)?;
            if self.waiting_rows >= CHUNK || self.waiting_bytes >= CHUNK_BYTES {
                self.close_chunk(columns)?;
            }
        }
        Ok(())
    }

    fn measure(&mut self, piece: &Rows, columns: &Columns) -> Result<()> {
        let bytes = piece.bytes();
        match columns.users(piece)? {
            Users::Numbers(numbers) => {
                self.users = numbers.iter().fold(self.users, |(low, high), n| (low.min(*n), high.max(*n)));
            }
            Users::Text(_) => self.text_users = true,
        }
        self.times = columns.times(piece)?.iter().fold(self.times, |(low, high), t| (low.min(*t), high.max(*t)));
        self.waiting.push(piece.clone());
        self.waiting_rows += piece.len;
        self.waiting_bytes += bytes;
        self.rows += piece.len;
        self.bytes += bytes;
        Ok(())
    }

    fn close_chunk(&mut self, columns: &mut Columns) -> Result<()> {
        if self.waiting_rows > 0 {
            let chunk = columns.compact(&self.waiting)?;
            self.bytes = self.bytes - self.waiting_bytes + chunk.bytes();
            self.chunks.push(chunk);
        }
        self.waiting.clear();
        (self.waiting_rows, self.waiting_bytes) = (0, 0);
        Ok(())
    }

    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Earliest and latest time.
    pub fn times(&self) -> (i64, i64) {
        self.times
    }

    /// Whether no further chunk can be numbered.
    pub fn full(&self) -> bool {
        self.chunks.len() >= MOST_CHUNKS
    }

    /// Bytes of the rows, and of what sorting them needs beside.
    pub fn size(&self) -> usize {
        let ranked = self.rows > 0 && (self.text_users || needs_ranks(self.users, self.times));
        self.bytes + self.rows * if ranked { KEY_BYTES + RANK_BYTES } else { KEY_BYTES }
    }

    /// Rows of a piece of about so many bytes.
    pub fn rows_of(&self, bytes: usize) -> usize {
        rows_of(bytes, self.bytes, self.rows)
    }

    /// The chunks, all columns in one form each.
    pub fn take(&mut self, columns: &mut Columns) -> Result<Vec<Rows>> {
        self.close_chunk(columns)?;
        let mut chunks = std::mem::take(&mut self.chunks);
        *self = Self::new();
        for chunk in &mut chunks {
            columns.settle(chunk)?;
        }
        Ok(chunks)
    }

    /// Brings columns whose words have become too many to text, so that their size is known.
    pub fn settle(&mut self, columns: &mut Columns) -> Result<()> {
        self.close_chunk(columns)?;
        self.bytes = 0;
        for chunk in &mut self.chunks {
            columns.settle(chunk)?;
            self.bytes += chunk.bytes();
        }
        Ok(())
    }
}

/// Rows of a piece of about so many bytes, where `rows` rows have `all` bytes.
pub(super) fn rows_of(bytes: usize, all: usize, rows: usize) -> usize {
    let each = (all / rows.max(1)).max(1);
    (bytes / each).clamp(1, 1 << 15)
}
