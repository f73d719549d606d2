//! A sink that draws a result once it is complete.

use std::io::Write;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;

use super::shape::Shape;
use super::{Chart, read};
use crate::error::{Error, Result};
use crate::output::{Sink, thousands, write_failed};

/// What a picture may be made of; it is held in memory, as the rows of a table are that is drawn.
const MOST_ROWS: usize = 100_000;
const MOST_BYTES: usize = 64 << 20;

/// How to draw.
#[derive(Debug, Clone, Copy)]
pub(in crate::output) enum Pen {
    Text { width: usize, color: bool },
    Svg,
}

pub(in crate::output) struct Drawing<W: Write> {
    writer: W,
    pen: Pen,
    schema: SchemaRef,
    shape: Shape,
    batches: Vec<RecordBatch>,
    rows: usize,
    bytes: usize,
}

impl<W: Write> Drawing<W> {
    /// Fails before any row is read where the columns do not fit.
    pub fn new(schema: &SchemaRef, chart: Chart, pen: Pen, writer: W) -> Result<Self> {
        let shape = Shape::of(schema, chart)?;
        Ok(Self { writer, pen, schema: schema.clone(), shape, batches: Vec::new(), rows: 0, bytes: 0 })
    }
}

impl<W: Write + Send> Sink for Drawing<W> {
    fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        self.rows += batch.num_rows();
        self.bytes += batch.get_array_memory_size();
        if self.rows > MOST_ROWS || self.bytes > MOST_BYTES {
            let most = format!("{} rows and {} MiB", thousands(MOST_ROWS as u64), MOST_BYTES >> 20);
            return Err(Error::user(format!("a chart is made of {most} at most, and this result has more"))
                .hint("aggregate the rows or add a LIMIT"));
        }
        self.batches.push(batch.clone());
        Ok(())
    }

    fn finish(mut self: Box<Self>) -> Result<()> {
        let figure = read::figure(&self.shape, &self.schema, &self.batches)?;
        let drawn = match self.pen {
            Pen::Text { width, color } => figure.text(width, color),
            Pen::Svg => figure.svg("figure"),
        };
        self.writer.write_all(drawn.as_bytes()).map_err(write_failed)?;
        self.writer.flush().map_err(write_failed)
    }
}
