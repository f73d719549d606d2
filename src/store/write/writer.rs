//! Batches to finished files, and their commit.
//!
//! Deals with: which writer a table's rows need, files that are in place exactly when they are committed. Does not deal with: types
//! of columns (`rows`), or when to try again.

use std::path::{Path, PathBuf};

use arrow::array::RecordBatch;

use super::Destination;
use crate::error::{Error, Result};
use crate::store::layout::{FILE_BYTES, PlainWriter, discard};
use crate::store::managed::StoredFile;
use crate::store::managed::commit::{Change, Operation, Refused};
use crate::store::managed::log::TableLog;
use crate::store::sort::{Counts, Progress, Run, Sorter, Target};
use crate::store::staging::{FILES, place};
use crate::store::unfinished::remove_all;

/// What a writer may use.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Bytes of memory for rows, about.
    pub memory: usize,
    /// Threads for sorting and writing.
    pub threads: usize,
}

/// Rows on their way into a version. Blocks its thread.
///
/// Batches have the destination's columns; where it has roles, no user and no time is NULL. What does not fit into memory goes to
/// the staging folder, which is the caller's.
pub struct Writer {
    to: Destination,
    staging: PathBuf,
    rows: Rows,
}

enum Rows {
    Ordered(Box<Sorter>),
    Plain(Box<PlainWriter>, u64),
}

impl Writer {
    /// Nothing is written before memory is full. Errors: columns that cannot play their roles.
    pub fn new(to: Destination, staging: &Path, limits: Limits) -> Result<Self> {
        let rows = match to.roles() {
            Some(roles) => {
                let sorter = Sorter::new(staging, to.schema().clone(), roles, limits.memory)?;
                Rows::Ordered(Box::new(sorter.with_threads(limits.threads)))
            }
            None => {
                let writer = PlainWriter::new(&files_folder(staging)?, to.schema().clone(), FILE_BYTES);
                Rows::Plain(Box::new(writer), 0)
            }
        };
        Ok(Self { to, staging: staging.to_path_buf(), rows })
    }

    /// Resumes from the runs that [`runs`](Self::runs) gave out. Errors: a run that is not there or not whole.
    pub fn resume(to: Destination, staging: &Path, limits: Limits, runs: Vec<Run>) -> Result<Self> {
        let Some(roles) = to.roles() else { return Err(Error::internal("rows without an order are not resumed")) };
        let sorter = Sorter::resume(staging, to.schema().clone(), roles, limits.memory, runs)?;
        let rows = Rows::Ordered(Box::new(sorter.with_threads(limits.threads)));
        Ok(Self { to, staging: staging.to_path_buf(), rows })
    }

    /// Takes rows. True when everything pushed so far, these rows included, is durable in [`runs`](Self::runs).
    pub fn push(&mut self, batch: &RecordBatch) -> Result<bool> {
        match &mut self.rows {
            Rows::Ordered(sorter) => sorter.push(batch),
            Rows::Plain(writer, rows) => {
                *rows += batch.num_rows() as u64;
                writer.write(batch)?;
                Ok(false)
            }
        }
    }

    /// Makes everything pushed so far durable, where rows have an order.
    pub fn flush(&mut self) -> Result<()> {
        match &mut self.rows {
            Rows::Ordered(sorter) => sorter.flush().map(|_| ()),
            Rows::Plain(..) => Ok(()),
        }
    }

    /// The sorted runs: what is durable.
    pub fn runs(&self) -> &[Run] {
        match &self.rows {
            Rows::Ordered(sorter) => sorter.runs(),
            Rows::Plain(..) => &[],
        }
    }

    /// Bytes of rows in memory.
    pub fn held(&self) -> usize {
        match &self.rows {
            Rows::Ordered(sorter) => sorter.held(),
            Rows::Plain(writer, _) => writer.memory(),
        }
    }

    /// Where the rows go.
    pub fn to(&self) -> &Destination {
        &self.to
    }

    /// Rows pushed so far.
    pub fn rows(&self) -> u64 {
        match &self.rows {
            Rows::Ordered(sorter) => sorter.rows(),
            Rows::Plain(_, rows) => *rows,
        }
    }

    /// Writes the files, durably, in the staging folder. `progress` hears rows written and rows in all, from any thread; its error
    /// stops the work, and no file is left, as with every other error.
    pub fn finish(self, progress: Progress<'_>) -> Result<Written> {
        let (files, counts) = match self.rows {
            Rows::Ordered(sorter) => {
                let into = files_folder(&self.staging)?;
                let layout = self.to.layout()?;
                let mut target = Target::new(&into).with_table(self.to.folder()).with_period(layout.period);
                if let Some(key) = self.to.dedup_key() {
                    let existing = self.to.log.as_ref().map_or(&[][..], TableLog::files);
                    target = target.with_dedup(key, existing);
                }
                sorter.finish(&target, progress)?
            }
            Rows::Plain(writer, rows) => (writer.finish()?, Counts { rows, duplicates: 0 }),
        };
        Ok(Written { to: self.to, staging: self.staging, files, counts })
    }
}

/// An empty folder for finished files.
fn files_folder(staging: &Path) -> Result<PathBuf> {
    let into = staging.join(FILES);
    remove_all(&into)?;
    std::fs::create_dir(&into).map_err(|e| Error::io("create", &into, &e))?;
    Ok(into)
}

/// Finished files in the staging folder.
pub struct Written {
    to: Destination,
    staging: PathBuf,
    files: Vec<StoredFile>,
    counts: Counts,
}

/// Rows that are part of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Landed {
    /// The version that has them.
    pub version: u64,
    /// Files.
    pub files: usize,
    /// Their bytes.
    pub bytes: u64,
}

impl Written {
    /// Rows in the files, and rows left out.
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// Puts the files in place and commits them, with the number of the application's commit where it has one.
    ///
    /// Refused as a commit is; then none of the files stays in place, unless it is not known whether they are committed.
    pub async fn commit(self, operation: Operation, transaction: Option<(String, i64)>) -> Result<Landed, Refused> {
        let folder = self.to.folder();
        // At the last moment: until then nobody who looks at the table's folder finds rows that are not committed.
        place(&self.staging, &self.staging.join(FILES), folder, &self.files)?;
        let mut change = Change::new(operation);
        change.add = self.files;
        change.transaction = transaction;
        let (files, bytes) = (change.add.len(), change.add.iter().map(|f| f.size).sum());
        let done = match &self.to.log {
            None => TableLog::create(folder, &self.to.definition, &change).await.map(|log| log.version()),
            Some(log) => {
                change.new_columns = self.to.new_columns(log);
                change.new_settings = self.to.new_settings(log);
                // Rows were compared with those of this version.
                change.unless_data_since = self.to.dedup_key().map(|_| log.version());
                log.clone().commit(&change).await
            }
        };
        match done {
            Ok(version) => Ok(Landed { version, files, bytes }),
            Err(refused) => {
                if !matches!(refused, Refused::Failed(_)) {
                    discard(folder, &change.add);
                }
                Err(refused)
            }
        }
    }
}
