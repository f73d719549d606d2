//! GitHub tables: numbers flush right, text that cannot end a cell or start an HTML tag.

use std::io::Write;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;

use super::cell::{Doubles, cells, escape, is_number};
use super::{Sink, write_failed};
use crate::error::Result;

pub(super) struct Markdown<W: Write> {
    writer: W,
}

impl<W: Write> Markdown<W> {
    pub fn new(schema: &SchemaRef, mut writer: W) -> Result<Self> {
        let names: Vec<String> = schema.fields().iter().map(|f| safe(&escape(f.name()))).collect();
        let marks: Vec<&str> =
            schema.fields().iter().map(|f| if is_number(f.data_type()) { "---:" } else { "---" }).collect();
        write!(writer, "| {} |\n| {} |\n", names.join(" | "), marks.join(" | ")).map_err(write_failed)?;
        Ok(Self { writer })
    }
}

impl<W: Write + Send> Sink for Markdown<W> {
    fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        let columns = batch.columns().iter().map(|c| cells(c, Doubles::Exact)).collect::<Result<Vec<_>>>()?;
        for row in 0..batch.num_rows() {
            let line: Vec<String> = columns.iter().map(|column| safe(&column[row].text)).collect();
            writeln!(self.writer, "| {} |", line.join(" | ")).map_err(write_failed)?;
        }
        self.writer.flush().map_err(write_failed)
    }

    fn finish(mut self: Box<Self>) -> Result<()> {
        self.writer.flush().map_err(write_failed)
    }
}

/// Text without a meaning of its own inside a cell.
fn safe(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '|' | '\\' | '`' => safe.extend(['\\', c]),
            '<' => safe.push_str("&lt;"),
            '&' => safe.push_str("&amp;"),
            c => safe.push(c),
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::safe;

    #[test]
    fn cells_cannot_break_the_table() {
        assert_eq!(safe("a|b \\ <img> `x` & page_view"), "a\\|b \\\\ &lt;img> \\`x\\` &amp; page_view");
    }
}
