//! Reading a file of a table from the disk, held against its checksums.
//!
//! Deals with: the footer, pages, for the library's synchronous reader and for whoever has the bytes. Does not deal with: scans.

use std::fs::File;
use std::io::BufReader;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use parquet::errors::ParquetError;
use parquet::file::metadata::{PageIndexPolicy, ParquetMetaData, ParquetMetaDataReader};
use parquet::file::reader::{ChunkReader, Length};

use super::expected::Expected;
use super::{FooterSum, damaged};
use crate::error::{Error, Result};

/// An open file with its footer.
#[derive(Clone)]
pub struct CheckedFile {
    file: Arc<File>,
    path: Arc<PathBuf>,
    metadata: Arc<ParquetMetaData>,
    expected: Arc<Option<Expected>>,
}

impl CheckedFile {
    /// Opens a file and reads its footer, with `sum` compared. Damage is an error that names the file.
    pub fn open(path: &Path, sum: Option<FooterSum>) -> Result<Self> {
        let file = File::open(path).map_err(|e| match e.kind() {
            std::io::ErrorKind::NotFound if sum.is_some() => super::gone(path),
            _ => Error::io("open", path, &e),
        })?;
        let metadata = Arc::new(footer(path, &file, sum)?);
        let expected = expected(path, &metadata, sum)?;
        Ok(Self { file: Arc::new(file), path: Arc::new(path.to_path_buf()), metadata, expected: Arc::new(expected) })
    }

    /// The footer, with the page indexes where it has them.
    pub fn metadata(&self) -> &Arc<ParquetMetaData> {
        &self.metadata
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn expected(&self) -> Option<&Expected> {
        self.expected.as_ref().as_ref()
    }

    /// Compares bytes that begin at a place of the file with the checksums of the headers and bloom filters in them.
    pub fn compare(&self, start: u64, bytes: &[u8]) -> Result<(), ParquetError> {
        let Some(expected) = self.expected() else { return Ok(()) };
        expected
            .check(start, bytes)
            .map_err(|column| ParquetError::External(Box::new(damaged(&self.path, &in_column(&self.metadata, column)))))
    }
}

/// Where damage was found, as messages say it.
fn in_column(metadata: &ParquetMetaData, column: usize) -> String {
    let columns = metadata.file_metadata().schema_descr();
    let name = if column < columns.num_columns() { columns.column(column).path().string() } else { "?".to_string() };
    format!("a page of column '{name}' does not match its checksum")
}

/// The checksums of pages; only what a compared footer says of them is believed.
fn expected(path: &Path, metadata: &ParquetMetaData, sum: Option<FooterSum>) -> Result<Option<Expected>> {
    match sum {
        Some(_) => Expected::of(metadata).map_err(|why| damaged(path, &why)),
        None => Ok(None),
    }
}

/// The end of an open file, once it is compared with its checksum: the footer and the page indexes are in it.
pub fn end(path: &Path, file: &File, sum: FooterSum) -> Result<Bytes> {
    let size = file.metadata().map_err(|e| Error::io("open", path, &e))?.len();
    let length = size.checked_sub(sum.start).and_then(|length| usize::try_from(length).ok());
    let Some(length) = length.filter(|length| *length >= 12) else {
        return Err(damaged(path, "it is shorter than when it was written"));
    };
    let end = file.get_bytes(sum.start, length);
    let end = end.map_err(|e| Error::data(format!("cannot read '{}': {e}", path.display())))?;
    match crc32fast::hash(&end) == sum.crc {
        true => Ok(end),
        false => Err(damaged(path, "its footer does not match its checksum in the commit log")),
    }
}

/// A file's footer with its page indexes. Of a file with a checksum it is the bytes that were compared that are parsed.
fn footer(path: &Path, file: &File, sum: Option<FooterSum>) -> Result<ParquetMetaData> {
    let unread = |e: ParquetError| Error::data(format!("cannot read '{}': {e}", path.display()));
    let mut reader = ParquetMetaDataReader::new().with_page_index_policy(PageIndexPolicy::Optional);
    let Some(sum) = sum else {
        return parsed(path, || reader.parse_and_finish(file))?.map_err(unread);
    };
    let end = end(path, file, sum)?;
    let size = sum.start + end.len() as u64;
    let read = parsed(path, move || {
        reader.try_parse_sized(&end, size)?;
        reader.finish()
    })?;
    read.map_err(unread)
}

/// Some nonsense in a footer makes the library panic; that is an error of the file, not of the program.
pub fn parsed<T>(path: &Path, parse: impl FnOnce() -> T) -> Result<T> {
    crate::error::quietly(|| catch_unwind(AssertUnwindSafe(parse))).map_err(|_| {
        Error::data(format!("'{}' is not a readable Parquet file: its footer makes no sense", path.display()))
    })
}

/// The same for what stands behind the footer, such as pages.
pub fn decoded<T>(path: &Path, decode: impl FnOnce() -> T) -> Result<T> {
    crate::error::quietly(|| catch_unwind(AssertUnwindSafe(decode))).map_err(|_| {
        Error::data(format!("cannot read '{}': it is damaged: its contents make no sense", path.display()))
    })
}

impl Length for CheckedFile {
    fn len(&self) -> u64 {
        Length::len(self.file.as_ref())
    }
}

impl ChunkReader for CheckedFile {
    type T = BufReader<File>;

    fn get_read(&self, start: u64) -> Result<Self::T, ParquetError> {
        if let Some(page) = self.expected().and_then(|expected| expected.page_at(start)) {
            self.compare(start, &self.file.get_bytes(start, page.beginning())?)?;
        }
        self.file.get_read(start)
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes, ParquetError> {
        let bytes = self.file.get_bytes(start, length)?;
        self.compare(start, &bytes)?;
        Ok(bytes)
    }
}
