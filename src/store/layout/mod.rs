//! Ordered files: rows in the order of (user, time) written as Parquet, cut between users.
//!
//! Deals with: where files and row groups end, their names, durability, and what is said of them in the commit log.
//! Does not deal with: bringing rows into order (`sort`), or the commit log (`managed`).
//!
//! # Where a file ends
//! At the first new user after [`FILE_BYTES`]. A user whose own rows reach that size is the exception: the file ends
//! inside the user, and the next one continues with later (or equal) times, so that reading the files one after the other still
//! gives the order. Row groups end between users too, as soon as they hold [`ROW_GROUP_ROWS`] rows, with the same exception.
//! With time slices each period has files of its own.

mod encoding;
mod file;
mod period;
mod plain;
mod statistics;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use arrow::array::{Array, AsArray, RecordBatch, UInt32Array};
use arrow::compute::take_record_batch;
use arrow::datatypes::{SchemaRef, TimestampMicrosecondType};

pub use encoding::ORDERED_KEY;
pub use period::Period;
pub(super) use plain::{PlainWriter, write_plain};

use crate::error::{Error, Result};
use crate::store::managed::{Roles, StoredFile};
use crate::store::user_id::{UserId, Users};
use file::{Columns, OpenFile};

/// Bytes of a file as it lies on disk.
///
/// 20 million events of ten columns are some 142 MB and cost 5 seconds of a core to write: one erased user costs no more than that
/// for each file that holds rows of the user, and 100 million events are few files.
pub const FILE_BYTES: usize = 128 << 20;

/// Rows of a row group: the unit that readers are given to share the work, and that they skip by its users and times.
pub const ROW_GROUP_ROWS: usize = 1 << 20;

/// Bytes of a row group before it is written out: bounds the memory where rows are wide.
const ROW_GROUP_BYTES: usize = 64 << 20;

/// Rows given to the Parquet writer at once: cuts are placed no finer than this.
const STEP: usize = 1 << 14;

/// Time slices open at the same time. Each costs the memory of a Parquet writer, some 100 KB with ten columns.
const MAX_PERIODS: usize = 4_096;

/// How files are laid out; [`Layout::new`] is right outside of tests.
#[derive(Debug, Clone)]
pub struct Layout {
    /// See [`FILE_BYTES`].
    pub file_bytes: usize,
    /// See [`ROW_GROUP_ROWS`].
    pub row_group_rows: usize,
    /// Rows below which a range of users is not worth a file, and with it a thread, of its own.
    pub part_rows: u64,
    /// Time slices: no file holds rows of two.
    pub period: Option<Period>,
    /// The column that tells events apart, which gets a bloom filter.
    pub dedup: Option<String>,
    /// Bytes of memory for rows that are not yet written out, over all time slices.
    pub memory: usize,
}

impl Layout {
    /// Sizes by measurement, no time slices.
    pub fn new() -> Self {
        let (period, dedup) = Default::default();
        Self {
            file_bytes: FILE_BYTES,
            row_group_rows: ROW_GROUP_ROWS,
            part_rows: ROW_GROUP_ROWS as u64 / 2,
            period,
            dedup,
            memory: 256 << 20,
        }
    }
}

impl Default for Layout {
    fn default() -> Self {
        Self::new()
    }
}

/// Writes ordered rows as files.
///
/// Batches come by (user, time), without NULL in either; they have the table's schema, dictionary columns as
/// `Dictionary(Int32, Utf8)`, users Int64 or Utf8, times microseconds. Rows out of order are an error, not a wrong file.
/// [`finish`](Self::finish) makes the files durable and gives them out; dropped without it, or after an error, the writer removes
/// what it wrote.
pub struct OrderedWriter {
    folder: PathBuf,
    layout: Layout,
    columns: Columns,
    /// By period; number 0 alone where there are no time slices.
    open: BTreeMap<i64, OpenFile>,
    done: Vec<StoredFile>,
    last: Option<(UserId, i64)>,
}

impl OrderedWriter {
    /// Nothing is written before the first row. The folder has to exist.
    pub fn new(folder: &Path, schema: SchemaRef, roles: &Roles, layout: Layout) -> Result<Self> {
        let columns = Columns::new(schema, roles, layout.dedup.as_deref())?;
        let (open, done, last) = Default::default();
        Ok(Self { folder: folder.to_path_buf(), layout, columns, open, done, last })
    }

    /// Takes the next rows.
    pub fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        if batch.num_rows() == 0 {
            return Ok(());
        }
        self.check_order(batch)?;
        let Some(period) = self.layout.period else { return self.write_period(0, batch) };
        let times = batch.column(self.columns.time).as_primitive::<TimestampMicrosecondType>();
        let periods: Vec<i64> = times.values().iter().map(|time| period.number(*time)).collect();
        if periods.iter().all(|p| *p == periods[0]) {
            return self.write_period(periods[0], batch);
        }
        let mut rows: Vec<u32> = (0..batch.num_rows() as u32).collect();
        // A stable sort: within a period the order stays.
        rows.sort_by_key(|row| periods[*row as usize]);
        let rows = UInt32Array::from(rows);
        let batch = take_record_batch(batch, &rows)?;
        let mut from = 0;
        while from < batch.num_rows() {
            let period = periods[rows.value(from) as usize];
            let same = rows.values()[from..].partition_point(|row| periods[*row as usize] == period);
            self.write_period(period, &batch.slice(from, same))?;
            from += same;
        }
        self.bound_memory()
    }

    /// Ends the files, makes them durable and gives them out, in the order in which they were ended.
    pub fn finish(mut self) -> Result<Vec<StoredFile>> {
        while let Some((_, file)) = self.open.pop_first() {
            self.done.push(file.close(&self.folder, &self.columns)?);
        }
        sync_folder(&self.folder)?;
        Ok(std::mem::take(&mut self.done))
    }

    fn write_period(&mut self, period: i64, batch: &RecordBatch) -> Result<()> {
        let mut from = 0;
        while from < batch.num_rows() {
            let step = batch.slice(from, STEP.min(batch.num_rows() - from));
            from += step.num_rows();
            self.write_step(period, step)?;
        }
        Ok(())
    }

    fn write_step(&mut self, period: i64, mut step: RecordBatch) -> Result<()> {
        if let Some(file) = self.open.get_mut(&period) {
            let (file_bytes, rows) = (self.layout.file_bytes, self.layout.row_group_rows);
            let (full, group_full) = (file.size() >= file_bytes, file.group_full(rows, ROW_GROUP_BYTES));
            if full || group_full {
                let users = Users::new(step.column(self.columns.user))?;
                let old = if file.ends_with(users.at(0)) { users.run_end(0) } else { 0 };
                let inside = if full {
                    file.size_of_last_user() >= file_bytes
                } else {
                    file.group_full(2 * rows, 2 * ROW_GROUP_BYTES)
                };
                let at = if inside { 0 } else { old };
                if at > 0 {
                    file.write(&step.slice(0, at), &self.columns)?;
                    step = step.slice(at, step.num_rows() - at);
                }
                if step.num_rows() == 0 {
                    return Ok(());
                }
                if full {
                    if let Some(file) = self.open.remove(&period) {
                        self.done.push(file.close(&self.folder, &self.columns)?);
                    }
                } else {
                    file.end_group()?;
                }
            }
        }
        let file = match self.open.entry(period) {
            std::collections::btree_map::Entry::Occupied(there) => there.into_mut(),
            std::collections::btree_map::Entry::Vacant(free) => {
                free.insert(OpenFile::create(&self.folder, &self.columns)?)
            }
        };
        file.write(&step, &self.columns)?;
        if let Some(period) = self.layout.period.filter(|_| self.open.len() > MAX_PERIODS) {
            return Err(Error::user(format!(
                "the rows lie in more than {MAX_PERIODS} time slices of a {period}; choose a longer period or none"
            )));
        }
        Ok(())
    }

    /// Ends row groups early where many time slices are open at once.
    fn bound_memory(&mut self) -> Result<()> {
        let mut held: usize = self.open.values().map(OpenFile::memory).sum();
        while held > self.layout.memory {
            let Some(largest) = self.open.values_mut().max_by_key(|file| file.buffered()) else { break };
            if largest.buffered() == 0 {
                break;
            }
            let before = largest.memory();
            largest.end_group()?;
            held = held.saturating_sub(before.saturating_sub(largest.memory()).max(1));
        }
        Ok(())
    }

    fn check_order(&mut self, batch: &RecordBatch) -> Result<()> {
        if batch.schema_ref().fields() != self.columns.schema.fields() {
            return Err(Error::internal("ordered writer: a batch of another schema"));
        }
        let users = Users::new(batch.column(self.columns.user))?;
        let times = batch.column(self.columns.time).as_primitive::<TimestampMicrosecondType>();
        if times.null_count() > 0 {
            return Err(Error::internal("ordered writer: a NULL time"));
        }
        let times = times.values();
        let rises = match &users {
            Users::Numbers(numbers) => numbers.iter().zip(times.iter()).is_sorted(),
            Users::Text(text) => {
                (1..text.len()).all(|row| (text.value(row - 1), times[row - 1]) <= (text.value(row), times[row]))
            }
        };
        let follows = self.last.as_ref().is_none_or(|(user, time)| (user.as_ref(), *time) <= (users.at(0), times[0]));
        if !rises || !follows {
            return Err(Error::internal("ordered writer: rows are not in the order of user and time"));
        }
        let last = batch.num_rows() - 1;
        self.last = Some((users.at(last).to_owned(), times[last]));
        Ok(())
    }
}

impl Drop for OrderedWriter {
    fn drop(&mut self) {
        discard(&self.folder, &self.done);
    }
}

/// Removes files that will not be committed. What cannot be removed is left to `tenure vacuum`.
pub fn discard(folder: &Path, files: &[StoredFile]) {
    for file in files {
        let _ = std::fs::remove_file(folder.join(&file.path));
    }
}

/// Makes the names in a folder durable.
pub(crate) fn sync_folder(folder: &Path) -> Result<()> {
    // Only Unix can open a folder and sync it; elsewhere names are durable without.
    if cfg!(unix) {
        let synced = std::fs::File::open(folder).and_then(|folder| folder.sync_all());
        synced.map_err(|e| Error::io("write", folder, &e))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
