//! One line for each value: for results with more columns than a terminal has room for.

use std::io::Write;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use unicode_width::UnicodeWidthStr;

use super::cell::{Doubles, cells, escape};
use super::table::{DIM, PLAIN, row_count};
use super::{Sink, Style, thousands, write_failed};
use crate::error::Result;

pub(super) struct Expanded<W: Write> {
    writer: W,
    style: Style,
    names: Vec<String>,
    label: usize,
    rows: u64,
}

impl<W: Write> Expanded<W> {
    pub fn new(schema: &SchemaRef, style: Style, writer: W) -> Self {
        let names: Vec<String> = schema.fields().iter().map(|f| escape(f.name()).into_owned()).collect();
        let label = names.iter().map(|n| n.width()).max().unwrap_or(0);
        Self { writer, style, names, label, rows: 0 }
    }

    fn record(&mut self, values: &[(&str, bool)]) -> std::io::Result<()> {
        let (dim, plain) = if self.style.color { (DIM, PLAIN) } else { ("", "") };
        let title = format!("─[ {} ]", thousands(self.rows));
        let line = "─".repeat((self.label + 30).saturating_sub(title.width()));
        writeln!(self.writer, "{dim}{title}{line}{plain}")?;
        for (name, (value, null)) in self.names.iter().zip(values) {
            let pad = " ".repeat(self.label - name.width());
            if *null {
                writeln!(self.writer, "{name}{pad} {dim}│ {value}{plain}")?
            } else {
                writeln!(self.writer, "{name}{pad} {dim}│{plain} {value}")?
            }
        }
        Ok(())
    }
}

impl<W: Write + Send> Sink for Expanded<W> {
    fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        let room = self.style.max_rows.map_or(u64::MAX, |max| (max as u64).saturating_sub(self.rows));
        let shown = room.min(batch.num_rows() as u64) as usize;
        let part = batch.slice(0, shown);
        let columns = part.columns().iter().map(|c| cells(c, Doubles::Rounded)).collect::<Result<Vec<_>>>()?;
        for row in 0..shown {
            self.rows += 1;
            let values: Vec<(&str, bool)> = columns.iter().map(|c| (c[row].text.as_str(), c[row].null)).collect();
            self.record(&values).map_err(write_failed)?;
        }
        self.rows += (batch.num_rows() - shown) as u64;
        self.writer.flush().map_err(write_failed)
    }

    fn finish(mut self: Box<Self>) -> Result<()> {
        if self.style.footer {
            let (dim, plain) = if self.style.color { (DIM, PLAIN) } else { ("", "") };
            writeln!(self.writer, "{dim}{}{plain}", row_count(self.rows, &self.style)).map_err(write_failed)?;
        }
        self.writer.flush().map_err(write_failed)
    }
}
