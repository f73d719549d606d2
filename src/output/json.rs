//! JSON: an array of objects, or one object a line. NULL, NaN and infinities are `null`, times are ISO 8601 texts, integers
//! and decimals keep every digit.

use std::io::Write;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;
use arrow::json::writer::{JsonFormat, Writer, WriterBuilder};

use super::portable::{Portable, Target};
use super::{Sink, write_failed};
use crate::error::Result;

/// One array, a row on each line.
#[derive(Debug, Default)]
pub(super) struct Rows;

impl JsonFormat for Rows {
    fn start_stream<W: Write>(&self, writer: &mut W) -> Result<(), ArrowError> {
        Ok(writer.write_all(b"[")?)
    }

    fn start_row<W: Write>(&self, writer: &mut W, is_first_row: bool) -> Result<(), ArrowError> {
        Ok(writer.write_all(if is_first_row { b"\n" } else { b",\n" })?)
    }

    fn end_stream<W: Write>(&self, writer: &mut W) -> Result<(), ArrowError> {
        Ok(writer.write_all(b"\n]\n")?)
    }
}

/// One object a line.
#[derive(Debug, Default)]
pub(super) struct Lines;

impl JsonFormat for Lines {
    fn end_row<W: Write>(&self, writer: &mut W) -> Result<(), ArrowError> {
        Ok(writer.write_all(b"\n")?)
    }
}

pub(super) struct Json<W: Write, F: JsonFormat> {
    portable: Portable,
    writer: Writer<W, F>,
}

impl<W: Write, F: JsonFormat> Json<W, F> {
    pub fn new(schema: &SchemaRef, _format: F, writer: W) -> Self {
        let writer = WriterBuilder::new().with_explicit_nulls(true).build(writer);
        Self { portable: Portable::new(schema, Target::Text), writer }
    }
}

impl<W: Write + Send, F: JsonFormat + Send> Sink for Json<W, F> {
    fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        self.writer.write(&self.portable.convert(batch)?).map_err(write_failed)?;
        self.writer.get_mut().flush().map_err(write_failed)
    }

    fn finish(mut self: Box<Self>) -> Result<()> {
        self.writer.finish().map_err(write_failed)?;
        self.writer.get_mut().flush().map_err(write_failed)
    }
}
