//! Arrow IPC in the file format (Feather version 2), with plain types that older readers know.

use std::io::Write;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use arrow::ipc::writer::FileWriter;

use super::portable::{Portable, Target};
use super::{Sink, write_failed};
use crate::error::Result;

pub(super) struct ArrowFile<W: Write> {
    portable: Portable,
    writer: FileWriter<W>,
}

impl<W: Write> ArrowFile<W> {
    pub fn new(schema: &SchemaRef, writer: W) -> Result<Self> {
        let portable = Portable::new(schema, Target::Arrow);
        let writer = FileWriter::try_new(writer, &portable.schema).map_err(write_failed)?;
        Ok(Self { portable, writer })
    }
}

impl<W: Write + Send> Sink for ArrowFile<W> {
    fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        self.writer.write(&self.portable.convert(batch)?).map_err(write_failed)
    }

    fn finish(mut self: Box<Self>) -> Result<()> {
        self.writer.finish().map_err(write_failed)?;
        self.writer.flush().map_err(write_failed)
    }
}
