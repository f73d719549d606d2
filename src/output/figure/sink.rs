//! A sink that draws a result once it is complete.

use std::io::Write;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;

use super::shape::Shape;
use super::{Chart, read};
use crate::error::{Error, Result};
use crate::output::{Sink, write_failed};

/// Rows that a picture may be made of; they are held in memory.
const MOST_ROWS: usize = 100_000;

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
}

impl<W: Write> Drawing<W> {
    /// Fails before any row is read where the columns do not fit.
    pub fn new(schema: &SchemaRef, chart: Chart, pen: Pen, writer: W) -> Result<Self> {
        let shape = Shape::of(schema, chart)?;
        Ok(Self { writer, pen, schema: schema.clone(), shape, batches: Vec::new(), rows: 0 })
    }
}

impl<W: Write + Send> Sink for Drawing<W> {
    fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        self.rows += batch.num_rows();
        if self.rows > MOST_ROWS {
            return Err(Error::user(format!("a chart is made of {MOST_ROWS} rows at most, and this result has more"))
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
