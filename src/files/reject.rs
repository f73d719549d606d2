//! Values and rows that cannot be read as what their columns are: why, from where, and the row itself.
//!
//! Deals with: what is wrong, in words that name the value. Does not deal with: finding them (`csv`, `ndjson`, `convert`), or what
//! becomes of them: an error in a query, a row put aside by an ingest.

use serde::{Deserialize, Serialize};

/// Bytes of a rejected row that are kept.
pub const LONGEST: usize = 64 << 10;

/// What is wrong with a value: the rest of a sentence that begins with the value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fault(pub &'static str);

/// A row that was put aside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reject {
    /// Line, or number of the row, from 1.
    pub line: u64,
    /// The column at fault, where it is one.
    pub column: Option<String>,
    /// What is wrong: with a column, the rest of a sentence about the value; else a sentence.
    pub what: &'static str,
    /// The value at fault.
    pub value: Option<String>,
    /// The row's user, where it could be read.
    pub user: Option<String>,
    /// The row as it came.
    pub row: String,
}

impl Reject {
    /// `price: 'abc' is not a number`.
    pub fn reason(&self) -> String {
        match (&self.column, &self.value) {
            (Some(column), Some(value)) => format!("{column}: '{}' {}", shortened(value, 80), self.what),
            (Some(column), None) => format!("{column} {}", self.what),
            (None, Some(value)) => format!("{}: {}", self.what, shortened(value, 80)),
            (None, None) => self.what.to_string(),
        }
    }

    /// Where it is, and the value at fault: `a.csv:3 ('abc')`.
    pub fn place(&self, source: &str) -> String {
        match &self.value {
            Some(value) => format!("{source}:{} ('{}')", self.line, shortened(value, 80)),
            None => format!("{source}:{}", self.line),
        }
    }

    /// The same for every value at fault: what is counted.
    pub fn kind(&self) -> String {
        match &self.column {
            Some(column) => format!("{column} {}", self.what),
            None => self.what.to_string(),
        }
    }
}

/// At most `most` bytes of a text, cut at a character.
pub fn shortened(text: &str, most: usize) -> String {
    if text.len() <= most {
        return text.to_string();
    }
    let mut end = most;
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}…", &text[..end])
}

/// A row of bytes as text that can be kept.
pub fn kept(row: &[u8]) -> String {
    let row = row.strip_suffix(b"\n").unwrap_or(row);
    let row = row.strip_suffix(b"\r").unwrap_or(row);
    String::from_utf8_lossy(&row[..row.len().min(LONGEST)]).into_owned()
}

/// Rejected rows of one reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counted {
    /// How many.
    pub rows: u64,
    /// The first one: its place, and the value at fault.
    pub first: String,
}
