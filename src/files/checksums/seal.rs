//! Page checksums put into a Parquet file that is finished.
//!
//! Deals with: files that DataFusion has written for COPY, whose writer has no place for checksums. Does not deal with: files that are
//! written here (`write`).
//!
//! The file is copied page by page: each header grows by its checksum, so that the places and sizes in the footer and in the index of
//! pages are told anew; all else in the footer stays as it is.

use std::fs::File;
use std::io::Write;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;
use parquet::errors::{ParquetError, Result};
use parquet::file::metadata::{
    ColumnChunkMetaData, PageIndexPolicy, ParquetMetaData, ParquetMetaDataOptions, ParquetMetaDataReader,
    ParquetMetaDataWriter, RowGroupMetaData,
};
use parquet::file::page_index::offset_index::OffsetIndexMetaData;
use parquet::file::reader::ChunkReader;
use parquet::file::writer::TrackedWrite;

use super::header;

/// A file that is being copied. Memory: a page, and the footer.
pub struct Seal {
    from: File,
    to: TrackedWrite<Noted>,
    fault: Fault,
    metadata: ParquetMetaData,
    index: Vec<Vec<OffsetIndexMetaData>>,
    groups: Vec<RowGroupMetaData>,
    /// Columns of the row group that is being copied.
    columns: Vec<ColumnChunkMetaData>,
}

/// The error of a write that nobody hears of: that of the last bytes, which go out when the buffer is dropped.
type Fault = Arc<Mutex<Option<std::io::Error>>>;

struct Noted {
    file: File,
    fault: Fault,
}

impl Write for Noted {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.file.write(bytes).inspect_err(|error| {
            let copy = error.raw_os_error().map_or_else(|| error.kind().into(), std::io::Error::from_raw_os_error);
            self.fault.lock().get_or_insert(copy);
        })
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.file.flush()
    }
}

impl Seal {
    /// Begins a copy; `None` for a file that does not tell where its pages are.
    pub fn new(from: File, to: File) -> Result<Option<Self>> {
        // The encodings page by page, which a reader that has dictionaries in mind looks for, are kept only where asked for.
        let all = ParquetMetaDataOptions::new().with_encoding_stats_as_mask(false);
        let reader = ParquetMetaDataReader::new()
            .with_metadata_options(Some(all))
            .with_page_index_policy(PageIndexPolicy::Optional);
        let metadata = reader.parse_and_finish(&from)?;
        let Some(index) = metadata.offset_index().cloned() else { return Ok(None) };
        let fault = Fault::default();
        let mut to = TrackedWrite::new(Noted { file: to, fault: Arc::clone(&fault) });
        to.write_all(b"PAR1")?;
        Ok(Some(Self { from, to, fault, metadata, index, groups: Vec::new(), columns: Vec::new() }))
    }

    /// Copies the next column of a row group; false once there is none.
    pub fn step(&mut self) -> Result<bool> {
        let at = self.groups.len();
        let Some(group) = self.metadata.row_groups().get(at) else { return Ok(false) };
        let Some(chunk) = group.columns().get(self.columns.len()).cloned() else {
            self.end_group(at)?;
            return Ok(true);
        };
        let sealed = self.chunk(chunk, at)?;
        self.columns.push(sealed);
        Ok(true)
    }

    /// Writes the footer.
    pub fn finish(self) -> Result<()> {
        let Self { to, fault, metadata, index, groups, .. } = self;
        let metadata = metadata.into_builder().set_row_groups(groups).set_offset_index(Some(index)).build();
        ParquetMetaDataWriter::new_with_tracked(to, &metadata).finish()?;
        match fault.lock().take() {
            Some(error) => Err(error.into()),
            None => Ok(()),
        }
    }

    fn chunk(&mut self, chunk: ColumnChunkMetaData, group: usize) -> Result<ColumnChunkMetaData> {
        let (start, _) = chunk.byte_range();
        let first = unsigned(chunk.data_page_offset())?;
        let begun = self.to.bytes_written();
        if first > start {
            self.page(start, (first - start) as usize)?;
        }
        let data = self.to.bytes_written();
        let mut index = self.index[group][self.columns.len()].clone();
        for location in &mut index.page_locations {
            let place = self.to.bytes_written();
            let length =
                self.page(unsigned(location.offset)?, unsigned(location.compressed_page_size.into())? as usize)?;
            location.offset = place as i64;
            location.compressed_page_size = i32::try_from(length)?;
        }
        self.index[group][self.columns.len()] = index;
        let written = (self.to.bytes_written() - begun) as i64;
        let grown = written - chunk.compressed_size();
        let uncompressed = chunk.uncompressed_size() + grown;
        let builder = chunk
            .into_builder()
            .set_dictionary_page_offset((first > start).then_some(begun as i64))
            .set_data_page_offset(data as i64)
            .set_total_compressed_size(written)
            .set_total_uncompressed_size(uncompressed);
        builder.build()
    }

    /// Copies a page, and tells how long it is now.
    fn page(&mut self, start: u64, length: usize) -> Result<usize> {
        let odd = || ParquetError::General("a page header of an unknown form".into());
        let page = self.from.get_bytes(start, length)?;
        let begin = header::begin(&page).ok_or_else(odd)?;
        let split = length.checked_sub(begin.compressed as usize).ok_or_else(odd)?;
        let (before, body) = (page.slice(..split), page.slice(split..));
        let header = match begin.crc {
            Some(_) => before,
            None => Bytes::from(header::with_crc(&before, crc32fast::hash(&body)).ok_or_else(odd)?),
        };
        self.to.write_all(&header)?;
        self.to.write_all(&body)?;
        Ok(header.len() + body.len())
    }

    /// Copies the bloom filters of a row group, and tells of the group anew.
    fn end_group(&mut self, at: usize) -> Result<()> {
        let group = self.metadata.row_group(at).clone();
        let mut columns = std::mem::take(&mut self.columns);
        for column in &mut columns {
            let Some(offset) = column.bloom_filter_offset() else { continue };
            let Some(length) = column.bloom_filter_length() else {
                return Err(ParquetError::General("a bloom filter of unknown length".into()));
            };
            let place = self.to.bytes_written() as i64;
            let filter = self.from.get_bytes(unsigned(offset)?, unsigned(length.into())? as usize)?;
            self.to.write_all(&filter)?;
            *column = column.clone().into_builder().set_bloom_filter_offset(Some(place)).build()?;
        }
        let size = columns.iter().map(ColumnChunkMetaData::uncompressed_size).sum();
        let first = columns.first().map_or(0, |column| column.byte_range().0);
        let group = group.into_builder().set_total_byte_size(size).set_file_offset(first as i64);
        self.groups.push(group.set_column_metadata(columns).build()?);
        Ok(())
    }
}

fn unsigned(number: i64) -> Result<u64> {
    u64::try_from(number).map_err(|_| ParquetError::General("a footer with a negative place".into()))
}
