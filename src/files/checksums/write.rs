//! A Parquet writer that puts checksums into its files.
//!
//! Deals with: record batches in, row groups out, a CRC32 in each page header, the list of the headers' own. Does not deal with:
//! encodings, and when a row group ends.
//!
//! The library writes pages without checksums, but gives them to a store of ours until their row group ends. There each header gets
//! its checksum, by which it grows, so that places and sizes in the metadata of the column are told anew.

use std::io::{Read, Write};
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use bytes::Bytes;
use parking_lot::Mutex;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_writer::{
    ArrowColumnWriter, ArrowRowGroupWriterFactory, PageKey, PageStore, PageStoreArgs, PageStoreFactory, compute_leaves,
};
use parquet::column::writer::ColumnCloseResult;
use parquet::errors::{ParquetError, Result};
use parquet::file::metadata::{KeyValue, ParquetMetaData};
use parquet::file::properties::WriterProperties;
use parquet::file::reader::{ChunkReader, Length};
use parquet::file::writer::SerializedFileWriter;

use super::{FooterSum, HEADERS_KEY, expected, header};

/// Writes batches of one schema as a file. Row groups end where [`flush`](Self::flush) says.
pub struct Writer<W: Write + Send> {
    file: SerializedFileWriter<W>,
    factory: ArrowRowGroupWriterFactory,
    stores: Arc<Stores>,
    schema: SchemaRef,
    columns: Vec<ArrowColumnWriter>,
    rows: usize,
    /// Checksums of headers and bloom filters, in the order of row groups and columns.
    sums: Vec<u32>,
    /// Whether they are listed in the footer.
    listed: bool,
}

impl<W: Write + Send> Writer<W> {
    /// Begins a file.
    pub fn new(sink: W, schema: SchemaRef, properties: WriterProperties) -> Result<Self> {
        let writer = ArrowWriter::try_new(sink, Arc::clone(&schema), Some(properties))?;
        let (file, factory) = writer.into_serialized_writer()?;
        let stores = Arc::new(Stores::default());
        let factory = factory.with_page_store_factory(Arc::clone(&stores) as _);
        Ok(Self { file, factory, stores, schema, columns: Vec::new(), rows: 0, sums: Vec::new(), listed: true })
    }

    /// Begins a file that no log tells of: it has the checksums that the format knows, those of pages, alone.
    pub fn plain(sink: W, schema: SchemaRef, properties: WriterProperties) -> Result<Self> {
        Ok(Self { listed: false, ..Self::new(sink, schema, properties)? })
    }

    /// Takes the next rows.
    pub fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        if batch.num_rows() == 0 {
            return Ok(());
        }
        if self.columns.is_empty() {
            self.stores.0.lock().clear();
            self.columns = self.factory.create_column_writers(self.file.flushed_row_groups().len())?;
        }
        self.rows += batch.num_rows();
        let mut columns = self.columns.iter_mut();
        for (field, values) in self.schema.fields().iter().zip(batch.columns()) {
            for leaf in compute_leaves(field, values)? {
                let column = columns.next().ok_or_else(|| ParquetError::General("more columns than planned".into()))?;
                column.write(&leaf)?;
            }
        }
        Ok(())
    }

    /// Ends the row group.
    pub fn flush(&mut self) -> Result<()> {
        if self.columns.is_empty() {
            return Ok(());
        }
        let stores = std::mem::take(&mut *self.stores.0.lock());
        let mut group = self.file.next_row_group()?;
        for (column, pages) in std::mem::take(&mut self.columns).into_iter().zip(stores) {
            let close = column.close()?.close().clone();
            let (chunk, close) = checked(std::mem::take(&mut pages.lock().blobs), close, &mut self.sums)?;
            group.append_column(&chunk, close)?;
        }
        self.rows = 0;
        group.close()?;
        Ok(())
    }

    /// Ends the file. Its bytes are with the sink then, which [`sync`](Self::sync) may have to be told.
    pub fn finish(&mut self) -> Result<ParquetMetaData> {
        self.flush()?;
        let listed = expected::listed(&std::mem::take(&mut self.sums));
        if self.listed {
            self.file.append_key_value_metadata(KeyValue::new(HEADERS_KEY.to_string(), listed));
        }
        self.file.finish()
    }

    /// Hands what is buffered to the sink.
    pub fn sync(&mut self) -> std::io::Result<()> {
        self.file.flush()
    }

    /// Where the bytes go.
    pub fn inner(&self) -> &W {
        self.file.inner()
    }

    /// Bytes of the row groups that have ended.
    pub fn bytes_written(&self) -> usize {
        self.file.bytes_written()
    }

    /// Bytes that the open row group will have, about.
    pub fn in_progress_size(&self) -> usize {
        self.columns.iter().map(ArrowColumnWriter::get_estimated_total_bytes).sum()
    }

    /// Rows of the open row group.
    pub fn in_progress_rows(&self) -> usize {
        self.rows
    }

    /// Bytes of memory that the open row group takes.
    pub fn memory_size(&self) -> usize {
        self.columns.iter().map(ArrowColumnWriter::memory_size).sum()
    }
}

/// The checksum of a finished file's end. `file` is read back from where that end begins.
pub fn footer_sum(metadata: &ParquetMetaData, file: &std::fs::File) -> std::io::Result<FooterSum> {
    let size = file.metadata()?.len();
    let start = expected::end_of_pages(metadata).min(size);
    let end = file.get_bytes(start, (size - start) as usize).map_err(std::io::Error::other)?;
    Ok(FooterSum { start, crc: crc32fast::hash(&end) })
}

/// The pages of one column chunk in the order they came, each a header and its bytes; a dictionary may come last.
#[derive(Debug, Default)]
struct Pages {
    blobs: Vec<Bytes>,
    bytes: usize,
}

/// The stores of the open row group, by column.
#[derive(Debug, Default)]
struct Stores(Mutex<Vec<Arc<Mutex<Pages>>>>);

struct Store(Arc<Mutex<Pages>>);

impl PageStoreFactory for Stores {
    fn create(&self, _: &PageStoreArgs<'_>) -> Result<Box<dyn PageStore>> {
        let pages = Arc::<Mutex<Pages>>::default();
        self.0.lock().push(Arc::clone(&pages));
        Ok(Box::new(Store(pages)))
    }
}

impl PageStore for Store {
    fn put(&mut self, blob: Bytes) -> Result<PageKey> {
        let mut pages = self.0.lock();
        pages.bytes += blob.len();
        pages.blobs.push(blob);
        Ok(PageKey::new(pages.blobs.len() as u64 - 1))
    }

    fn take(&mut self, key: PageKey) -> Result<Bytes> {
        let pages = self.0.lock();
        let blob = usize::try_from(key.get()).ok().and_then(|at| pages.blobs.get(at).cloned());
        blob.ok_or_else(|| ParquetError::General("a page that was not stored".into()))
    }

    fn memory_size(&self) -> usize {
        self.0.lock().bytes
    }
}

/// A column chunk with checksums, and its metadata as they are then.
fn checked(blobs: Vec<Bytes>, mut close: ColumnCloseResult, sums: &mut Vec<u32>) -> Result<(Chunk, ColumnCloseResult)> {
    let odd = || ParquetError::General("a page header of an unknown form".into());
    let (mut dictionary, mut data) = (None, Vec::new());
    let mut grown = 0;
    for page in blobs.chunks(2) {
        let [before, body] = page else { return Err(odd()) };
        let is_dictionary = header::begin(before).ok_or_else(odd)?.dictionary;
        let with = header::with_crc(before, crc32fast::hash(body)).ok_or_else(odd)?;
        grown += with.len() - before.len();
        match is_dictionary {
            true => dictionary = Some((Bytes::from(with), body.clone())),
            false => data.push((Bytes::from(with), body.clone())),
        }
    }
    let size = |(header, body): &(Bytes, Bytes)| header.len() + body.len();
    let first = dictionary.as_ref().map_or(0, size);
    let mut place = first;
    if let Some(index) = &mut close.offset_index {
        if index.page_locations.len() != data.len() {
            return Err(ParquetError::General("an index of other pages than there are".into()));
        }
        for (location, page) in index.page_locations.iter_mut().zip(&data) {
            location.offset = place as i64;
            location.compressed_page_size = i32::try_from(size(page))?;
            place += size(page);
        }
    }
    let total = first + data.iter().map(size).sum::<usize>();
    let metadata = close.metadata.clone().into_builder();
    close.metadata = metadata
        .set_dictionary_page_offset(dictionary.is_some().then_some(0))
        .set_data_page_offset(first as i64)
        .set_total_compressed_size(total as i64)
        .set_total_uncompressed_size(close.metadata.uncompressed_size() + grown as i64)
        .build()?;
    close.bytes_written = total as u64;
    let mut parts = Vec::with_capacity(blobs.len());
    for (header, body) in dictionary.into_iter().chain(data) {
        sums.push(crc32fast::hash(&header));
        parts.extend([header, body]);
    }
    if let Some(filter) = &close.bloom_filter {
        let mut bytes = Vec::new();
        filter.write(&mut bytes)?;
        sums.push(crc32fast::hash(&bytes));
    }
    Ok((Chunk { parts, length: total as u64 }, close))
}

/// The bytes of a column chunk, to be copied from their beginning.
struct Chunk {
    parts: Vec<Bytes>,
    length: u64,
}

impl Length for Chunk {
    fn len(&self) -> u64 {
        self.length
    }
}

impl ChunkReader for Chunk {
    type T = Parts;

    fn get_read(&self, start: u64) -> Result<Parts> {
        let mut parts = Parts { parts: self.parts.clone().into_iter(), now: Bytes::new() };
        std::io::copy(&mut (&mut parts).take(start), &mut std::io::sink())?;
        Ok(parts)
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes> {
        let mut bytes = Vec::with_capacity(length);
        self.get_read(start)?.take(length as u64).read_to_end(&mut bytes)?;
        Ok(bytes.into())
    }
}

/// Reads parts one after the other.
struct Parts {
    parts: std::vec::IntoIter<Bytes>,
    now: Bytes,
}

impl Read for Parts {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        while self.now.is_empty() {
            let Some(next) = self.parts.next() else { return Ok(0) };
            self.now = next;
        }
        let read = self.now.split_to(buffer.len().min(self.now.len()));
        buffer[..read.len()].copy_from_slice(&read);
        Ok(read.len())
    }
}
