//! Parquet, zstd-compressed, with a checksum in each page, and types that DuckDB and pandas read as what they are.

use std::io::Write;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;

use super::portable::{Portable, Target};
use super::{Sink, write_failed};
use crate::error::Result;
use crate::files::checksums::write::Writer;

/// A row group is closed at this many encoded bytes, so wide results stay in memory bounds.
const ROW_GROUP_BYTES: usize = 64 << 20;

/// And at this many rows.
const ROW_GROUP_ROWS: usize = 1 << 20;

pub(super) struct ParquetFile<W: Write + Send> {
    portable: Portable,
    writer: Writer<W>,
}

impl<W: Write + Send> ParquetFile<W> {
    pub fn new(schema: &SchemaRef, writer: W) -> Result<Self> {
        let portable = Portable::new(schema, Target::Parquet);
        let properties = WriterProperties::builder()
            .set_compression(Compression::ZSTD(ZstdLevel::default()))
            .set_created_by(concat!("tenure ", env!("CARGO_PKG_VERSION")).to_string())
            .build();
        let writer = Writer::plain(writer, Arc::clone(&portable.schema), properties).map_err(write_failed)?;
        Ok(Self { portable, writer })
    }
}

impl<W: Write + Send> Sink for ParquetFile<W> {
    fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        self.writer.write(&self.portable.convert(batch)?).map_err(write_failed)?;
        if self.writer.in_progress_size() > ROW_GROUP_BYTES || self.writer.in_progress_rows() >= ROW_GROUP_ROWS {
            self.writer.flush().map_err(write_failed)?;
        }
        Ok(())
    }

    fn finish(mut self: Box<Self>) -> Result<()> {
        self.writer.finish().map_err(write_failed)?;
        self.writer.sync().map_err(write_failed)
    }
}
