//! One ordered file being written.
//!
//! Deals with: the Parquet writer, what it knows of its rows, the file's end. Does not deal with: when to end it.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::UNIX_EPOCH;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::{DataType, Float32Type, Float64Type, SchemaRef, TimeUnit, TimestampMicrosecondType};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;

use super::{encoding, statistics};
use crate::error::{Error, Result};
use crate::files::checksums::write::{Writer, footer_sum};
use crate::store::managed::{Roles, StoredFile};
use crate::store::user_id::{UserId, UserRef, Users};

/// What all files of a writer share.
pub(super) struct Columns {
    pub schema: SchemaRef,
    pub user: usize,
    pub time: usize,
    properties: WriterProperties,
}

impl Columns {
    pub fn new(schema: SchemaRef, roles: &Roles, dedup: Option<&str>) -> Result<Self> {
        let position = |name: &str| {
            schema.index_of(name).map_err(|_| Error::internal(format!("ordered writer: there is no column '{name}'")))
        };
        let (user, time) = (position(&roles.user)?, position(&roles.time)?);
        let users = schema.field(user).data_type();
        if !matches!(users, DataType::Int64 | DataType::Utf8) {
            return Err(Error::internal(format!("ordered writer: users of type {users}")));
        }
        let times = schema.field(time).data_type();
        if !matches!(times, DataType::Timestamp(TimeUnit::Microsecond, _)) {
            return Err(Error::internal(format!("ordered writer: times of type {times}")));
        }
        let properties = encoding::properties(&schema, roles, dedup);
        Ok(Self { schema, user, time, properties })
    }
}

/// Whether a column holds a NaN, perhaps below a NULL.
pub(super) fn holds_nan(column: &ArrayRef) -> bool {
    match column.data_type() {
        DataType::Float32 => column.as_primitive::<Float32Type>().values().iter().any(|v| v.is_nan()),
        DataType::Float64 => column.as_primitive::<Float64Type>().values().iter().any(|v| v.is_nan()),
        _ => false,
    }
}

/// A file being written; dropped before its end, it is removed.
pub(super) struct OpenFile {
    path: PathBuf,
    name: String,
    /// `None` only when it has been closed.
    writer: Option<Writer<Appending>>,
    first: Option<UserId>,
    last: Option<UserId>,
    /// The size of the file where the last user began.
    before_last: usize,
    times: (i64, i64),
    with_nan: Vec<bool>,
    whole: bool,
}

impl OpenFile {
    pub fn create(folder: &Path, columns: &Columns) -> Result<Self> {
        let name = format!("tenure-{}.parquet", uuid::Uuid::new_v4());
        let path = folder.join(&name);
        File::create_new(&path).map_err(|e| Error::io("create", &path, &e))?;
        let sink = Appending { path: path.clone(), bytes: Vec::new() };
        let mut file = Self {
            path,
            name,
            writer: None,
            first: None,
            last: None,
            before_last: 0,
            times: (i64::MAX, i64::MIN),
            with_nan: vec![false; columns.schema.fields().len()],
            whole: false,
        };
        let writer = Writer::new(sink, Arc::clone(&columns.schema), columns.properties.clone());
        file.writer = Some(writer.map_err(|e| unwritten(&file.path, e))?);
        Ok(file)
    }

    fn writer(&mut self) -> Result<&mut Writer<Appending>> {
        self.writer.as_mut().ok_or_else(|| Error::internal("an ordered file that has ended"))
    }

    /// Takes rows that follow those before.
    pub fn write(&mut self, batch: &RecordBatch, columns: &Columns) -> Result<()> {
        let rows = batch.num_rows();
        if rows == 0 {
            return Ok(());
        }
        let users = Users::new(batch.column(columns.user))?;
        let (first, last) = (users.at(0), users.at(rows - 1));
        let goes_on = first == last && self.ends_with(first);
        if !goes_on {
            self.before_last = self.size();
            self.last = Some(last.to_owned());
        }
        if self.first.is_none() {
            self.first = Some(first.to_owned());
        }
        let times = batch.column(columns.time).as_primitive::<TimestampMicrosecondType>().values();
        for time in times {
            self.times = (self.times.0.min(*time), self.times.1.max(*time));
        }
        for (column, with_nan) in batch.columns().iter().zip(&mut self.with_nan) {
            *with_nan = *with_nan || holds_nan(column);
        }
        let path = self.path.clone();
        self.writer()?.write(batch).map_err(|e| unwritten(&path, e))
    }

    /// Bytes so far, with an estimate of those not yet written.
    pub fn size(&self) -> usize {
        self.writer.as_ref().map_or(0, |w| w.bytes_written() + w.in_progress_size())
    }

    /// Bytes of the user who came last, as far as that is known: from the batch on in which that user began.
    pub fn size_of_last_user(&self) -> usize {
        self.size().saturating_sub(self.before_last)
    }

    /// Whether the last row so far is of this user.
    pub fn ends_with(&self, user: UserRef<'_>) -> bool {
        self.last.as_ref().is_some_and(|last| last.as_ref() == user)
    }

    /// Whether the row group being filled holds enough.
    pub fn group_full(&self, rows: usize, bytes: usize) -> bool {
        self.writer.as_ref().is_some_and(|w| w.in_progress_rows() >= rows || w.in_progress_size() >= bytes)
    }

    /// Rows not yet written out.
    pub fn buffered(&self) -> usize {
        self.writer.as_ref().map_or(0, Writer::in_progress_rows)
    }

    /// Bytes of memory.
    pub fn memory(&self) -> usize {
        self.writer.as_ref().map_or(0, |w| w.memory_size() + w.inner().bytes.capacity())
    }

    /// Ends the row group.
    pub fn end_group(&mut self) -> Result<()> {
        let path = self.path.clone();
        self.writer()?.flush().map_err(|e| unwritten(&path, e))
    }

    /// Ends the file and makes it durable.
    pub fn close(mut self, folder: &Path, columns: &Columns) -> Result<StoredFile> {
        let Some(mut writer) = self.writer.take() else {
            return Err(Error::internal("an ordered file that has ended"));
        };
        let metadata = writer.finish().map_err(|e| unwritten(&self.path, e))?;
        writer.sync().map_err(|e| Error::io("write", &self.path, &e))?;
        drop(writer);
        let path = folder.join(&self.name);
        let file = OpenOptions::new().read(true).append(true).open(&path).map_err(|e| Error::io("open", &path, &e))?;
        file.sync_all().map_err(|e| Error::io("write", &path, &e))?;
        let on_disk = file.metadata().map_err(|e| Error::io("open", &path, &e))?;
        let checksum = footer_sum(&metadata, &file).map_err(|e| Error::io("read", &path, &e))?;
        let modified = on_disk.modified().ok().and_then(|at| at.duration_since(UNIX_EPOCH).ok());
        let (Some(first), Some(last)) = (self.first.take(), self.last.take()) else {
            return Err(Error::internal("an ordered file without rows"));
        };
        let statistics =
            statistics::statistics(&columns.schema, &metadata, Some((columns.user, &first, &last)), &self.with_nan)?;
        self.whole = true;
        Ok(StoredFile {
            path: std::mem::take(&mut self.name),
            size: on_disk.len(),
            modified: modified.map_or(0, |since| since.as_millis() as i64),
            rows: metadata.file_metadata().num_rows() as u64,
            ordered: true,
            users: Some((first.scalar(), last.scalar())),
            times: Some(self.times),
            checksum: Some(checksum),
            statistics,
        })
    }
}

impl Drop for OpenFile {
    fn drop(&mut self) {
        if !self.whole {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// An error of the Parquet writer on a named file; the cause may be a full disk.
pub(super) fn unwritten(path: &Path, error: ParquetError) -> Error {
    if let ParquetError::External(cause) = &error
        && let Some(cause) = cause.downcast_ref::<std::io::Error>()
    {
        return Error::io("write", path, cause);
    }
    Error::data(format!("cannot write '{}': {error}", path.display()))
}

/// Appends to a file that is open only meanwhile: hundreds of time slices may be written at once, and a process has few handles.
struct Appending {
    path: PathBuf,
    bytes: Vec<u8>,
}

impl Appending {
    const ROOM: usize = 1 << 16;

    fn append(&mut self, more: &[u8]) -> std::io::Result<()> {
        let mut file = OpenOptions::new().append(true).open(&self.path)?;
        file.write_all(&self.bytes)?;
        self.bytes.clear();
        file.write_all(more)
    }
}

impl Write for Appending {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        if self.bytes.len() + bytes.len() > Self::ROOM {
            self.append(bytes)?
        } else {
            self.bytes.extend_from_slice(bytes)
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        if self.bytes.is_empty() { Ok(()) } else { self.append(&[]) }
    }
}
