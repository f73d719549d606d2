//! Files without an order: rows stay as they come.
//!
//! Deals with: tables without users and times, and files of other writers that are rewritten, some of whose rows may have no user.
//! Does not deal with: ordered files.

use std::fs::{File, OpenOptions};
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;

use super::discard;
use super::file::{holds_nan, unwritten};
use super::statistics::statistics;
use crate::error::{Error, Result};
use crate::files::checksums::write::{Writer, footer_sum};
use crate::store::managed::StoredFile;

/// Writes batches as one file, durably; without a row there is none. After an error nothing is left.
pub(in crate::store) fn write_plain(
    folder: &Path,
    schema: &SchemaRef,
    batches: impl Iterator<Item = Result<RecordBatch>>,
) -> Result<Option<StoredFile>> {
    let mut writer = PlainWriter::new(folder, schema.clone(), usize::MAX);
    for batch in batches {
        writer.write(&batch?)?;
    }
    Ok(writer.finish()?.pop())
}

/// Writes rows as files in the order in which they come.
///
/// [`finish`](Self::finish) makes the files durable and gives them out; dropped without it, or after an error, the writer removes
/// what it wrote.
pub(in crate::store) struct PlainWriter {
    folder: PathBuf,
    schema: SchemaRef,
    file_bytes: usize,
    open: Option<OpenFile>,
    done: Vec<StoredFile>,
}

impl PlainWriter {
    /// Files end once they have `file_bytes`. Nothing is written before the first row. The folder has to exist.
    pub fn new(folder: &Path, schema: SchemaRef, file_bytes: usize) -> Self {
        Self { folder: folder.to_path_buf(), schema, file_bytes, open: None, done: Vec::new() }
    }

    /// Takes the next rows.
    pub fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        if batch.num_rows() == 0 {
            return Ok(());
        }
        let file = match &mut self.open {
            Some(file) => file,
            none => none.insert(OpenFile::create(&self.folder, &self.schema)?),
        };
        file.write(batch)?;
        if file.writer.bytes_written() >= self.file_bytes {
            self.end_file()?;
        }
        Ok(())
    }

    /// Bytes of rows that are not yet written out.
    pub fn memory(&self) -> usize {
        self.open.as_ref().map_or(0, |file| file.writer.memory_size())
    }

    /// Ends the files, makes them durable and gives them out.
    pub fn finish(mut self) -> Result<Vec<StoredFile>> {
        self.end_file()?;
        Ok(std::mem::take(&mut self.done))
    }

    fn end_file(&mut self) -> Result<()> {
        if let Some(file) = self.open.take() {
            self.done.push(file.close(&self.folder, &self.schema)?);
        }
        Ok(())
    }
}

impl Drop for PlainWriter {
    fn drop(&mut self) {
        discard(&self.folder, &self.done);
    }
}

/// A file being written; dropped before its end, it is removed.
struct OpenFile {
    name: String,
    path: PathBuf,
    writer: Writer<File>,
    with_nan: Vec<bool>,
    whole: bool,
}

impl OpenFile {
    fn create(folder: &Path, schema: &SchemaRef) -> Result<Self> {
        let name = format!("part-{}.parquet", uuid::Uuid::new_v4());
        let path = folder.join(&name);
        let file = File::create_new(&path).map_err(|e| Error::io("create", &path, &e))?;
        let properties = WriterProperties::builder().set_compression(Compression::ZSTD(ZstdLevel::default())).build();
        let writer = Writer::new(file, schema.clone(), properties).map_err(|e| {
            let _ = std::fs::remove_file(&path);
            unwritten(&path, e)
        })?;
        Ok(Self { name, path, writer, with_nan: vec![false; schema.fields().len()], whole: false })
    }

    fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        for (column, with_nan) in batch.columns().iter().zip(&mut self.with_nan) {
            *with_nan = *with_nan || holds_nan(column);
        }
        let failed = |e| unwritten(&self.path, e);
        self.writer.write(batch).map_err(failed)?;
        let (rows, bytes) = (self.writer.in_progress_rows(), self.writer.in_progress_size());
        if rows >= super::ROW_GROUP_ROWS || bytes >= super::ROW_GROUP_BYTES {
            self.writer.flush().map_err(failed)?;
        }
        Ok(())
    }

    fn close(mut self, folder: &Path, schema: &SchemaRef) -> Result<StoredFile> {
        let path = self.path.clone();
        let metadata = self.writer.finish().map_err(|e| unwritten(&path, e))?;
        self.writer.sync().map_err(|e| Error::io("write", &path, &e))?;
        let file = OpenOptions::new().read(true).append(true).open(&path).map_err(|e| Error::io("open", &path, &e))?;
        file.sync_all().map_err(|e| Error::io("write", &path, &e))?;
        super::sync_folder(folder)?;
        let on_disk = file.metadata().map_err(|e| Error::io("open", &path, &e))?;
        let checksum = footer_sum(&metadata, &file).map_err(|e| Error::io("read", &path, &e))?;
        let modified = on_disk.modified().ok().and_then(|at| at.duration_since(UNIX_EPOCH).ok());
        let stored = StoredFile {
            path: self.name.clone(),
            size: on_disk.len(),
            modified: modified.map_or(0, |since| since.as_millis() as i64),
            rows: metadata.file_metadata().num_rows() as u64,
            ordered: false,
            users: None,
            times: None,
            checksum: Some(checksum),
            statistics: statistics(schema, &metadata, None, &self.with_nan)?,
        };
        self.whole = true;
        Ok(stored)
    }
}

impl Drop for OpenFile {
    fn drop(&mut self) {
        if !self.whole {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}
