//! The answer of EXPLAIN: a plan is a text of many lines, shown as such.
//!
//! Deals with: recognising such an answer and writing its lines. Does not deal with: what stands in a plan.

use std::io::Write;

use arrow::array::{ArrayRef, AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Schema};

use super::table::{BOLD, PLAIN};
use super::{Sink, Style, escape, write_failed};
use crate::error::Result;

/// Whether a result of this schema comes from EXPLAIN.
pub(super) fn is_plan(schema: &Schema) -> bool {
    let names: Vec<&str> = schema.fields().iter().map(|f| f.name().as_str()).collect();
    names == ["plan_type", "plan"] && schema.fields().iter().all(|f| f.data_type().is_string())
}

pub(super) struct Plan<W: Write> {
    writer: W,
    style: Style,
}

impl<W: Write> Plan<W> {
    pub fn new(style: Style, writer: W) -> Self {
        Self { writer, style }
    }

    fn plan(&mut self, kind: &str, text: &str) -> std::io::Result<()> {
        let (bold, plain) = if self.style.color { (BOLD, PLAIN) } else { ("", "") };
        writeln!(self.writer, "{bold}{}{plain}", escape(kind))?;
        text.lines().try_for_each(|line| writeln!(self.writer, "  {}", escape(line)))
    }
}

impl<W: Write + Send> Sink for Plan<W> {
    fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        let text = |column: &ArrayRef| cast(column, &DataType::Utf8);
        let (kinds, plans) = (text(batch.column(0))?, text(batch.column(1))?);
        for (kind, plan) in kinds.as_string::<i32>().iter().zip(plans.as_string::<i32>()) {
            self.plan(kind.unwrap_or_default(), plan.unwrap_or_default()).map_err(write_failed)?;
        }
        Ok(())
    }

    fn finish(mut self: Box<Self>) -> Result<()> {
        self.writer.flush().map_err(write_failed)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use arrow::array::StringArray;

    use super::*;
    use crate::output::{Format, sink};

    #[derive(Clone, Default)]
    struct Shared(Arc<Mutex<Vec<u8>>>);

    impl Write for Shared {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_plan_keeps_its_lines_and_what_data_smuggle_in_is_written_out() {
        let column = |text: &str| Arc::new(StringArray::from(vec![text])) as ArrayRef;
        let columns = [("plan_type", column("physical_plan")), ("plan", column("A\n  B = \x1b[2J"))];
        let batch = RecordBatch::try_from_iter(columns).unwrap();
        let out = Shared::default();
        let mut plan = sink(Format::Table, &batch.schema(), Style::default(), out.clone()).unwrap();
        plan.write(&batch).unwrap();
        plan.finish().unwrap();
        assert_eq!(String::from_utf8(out.0.lock().unwrap().clone()).unwrap(), "physical_plan\n  A\n    B = \\x1b[2J\n");
    }
}
