//! A sample of records that become rows.
//!
//! Deals with: what their columns show, records that are not what the rules are for. Does not deal with: how much is looked at (`heads`).

use super::{Shaped, Shaper};
use crate::error::Result;
use crate::files::columns::Shape;
use crate::files::csv::CsvShape;
use crate::files::infer::Seen;
use crate::files::ndjson;
use crate::files::reject::Reject;

/// A sample of records that become rows.
pub struct Looked<'a> {
    shaper: Shaper,
    nulls: &'a [String],
    seen: Seen,
    records: usize,
    rows: usize,
    /// What is wrong with the first record that makes no row.
    first: Option<String>,
}

impl<'a> Looked<'a> {
    /// Nothing looked at yet.
    pub fn new(shaper: Shaper, nulls: &'a [String]) -> Self {
        let mut seen = Seen::default();
        for column in shaper.columns() {
            // What no record shows is a column all the same.
            let _ = seen.row_field(column);
        }
        Self { shaper, nulls, seen, records: 0, rows: 0, first: None }
    }

    /// Looks at whole records, and says how many there are.
    pub fn at(&mut self, text: &[u8], line: u64, csv: Option<&CsvShape>) -> usize {
        let Shaped { text, rejects, records, .. } = self.shaper.shape(text, line, csv);
        for row in text.split_inclusive(|b| *b == b'\n') {
            self.rows += usize::from(ndjson::look(row, self.nulls, &mut self.seen));
        }
        self.records += records;
        self.first = self.first.take().or_else(|| rejects.first().map(Reject::reason));
        records
    }

    /// The columns; an error where not one record is what the rules are for.
    pub fn finish(self, source: &str, cut: bool) -> Result<(Shaper, Shape)> {
        if let Some(first) = self.first.filter(|_| self.rows == 0) {
            return Err(self.shaper.nothing_known(source, self.records, &first));
        }
        let shape = Shape { source: source.to_string(), columns: self.seen.fields, by_position: false, whole: !cut };
        Ok((self.shaper, shape))
    }
}
