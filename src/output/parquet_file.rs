//! Parquet, zstd-compressed, with types that DuckDB and pandas read as what they are.

use std::io::Write;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;

use super::portable::{Portable, Target};
use super::{Sink, write_failed};
use crate::error::Result;

/// A row group is closed at this many encoded bytes, or at the writer's own limit of rows, so wide results stay in memory bounds.
const ROW_GROUP_BYTES: usize = 64 << 20;

pub(super) struct ParquetFile<W: Write + Send> {
    portable: Portable,
    writer: ArrowWriter<W>,
}

impl<W: Write + Send> ParquetFile<W> {
    pub fn new(schema: &SchemaRef, writer: W) -> Result<Self> {
        let portable = Portable::new(schema, Target::Parquet);
        let properties = WriterProperties::builder()
            .set_compression(Compression::ZSTD(ZstdLevel::default()))
            .set_created_by(concat!("tenure ", env!("CARGO_PKG_VERSION")).to_string())
            .build();
        let writer =
            ArrowWriter::try_new(writer, Arc::clone(&portable.schema), Some(properties)).map_err(write_failed)?;
        Ok(Self { portable, writer })
    }
}

impl<W: Write + Send> Sink for ParquetFile<W> {
    fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        self.writer.write(&self.portable.convert(batch)?).map_err(write_failed)?;
        if self.writer.in_progress_size() > ROW_GROUP_BYTES {
            self.writer.flush().map_err(write_failed)?;
        }
        Ok(())
    }

    fn finish(self: Box<Self>) -> Result<()> {
        let mut writer = self.writer.into_inner().map_err(write_failed)?;
        writer.flush().map_err(write_failed)
    }
}
