//! Merging the files of a managed table that overlap, are not in order, or are too small.
//!
//! Deals with: reading them by user, writing well-cut files, one commit that takes the old ones out and the new ones in.
//! Does not deal with: which rows there are: a compaction changes none, so readers and snapshots do not notice it.

mod plan;

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arrow::datatypes::SchemaRef;
use futures::StreamExt;

use super::layout::{FILE_BYTES, Layout, discard};
use super::managed::commit::{Change, Operation, Refused};
use super::managed::log::{At, ORDER, TableLog};
use super::managed::{Roles, StoredFile};
use super::sort::{self, Sorter, StoredSource, Target};
use super::staging::{Staging, place, sweep};
use crate::error::{Error, Result};
use plan::Group;

/// Bytes of files that are rewritten before a commit: what a kill loses, and the disk that is needed beside the table.
const COMMIT_BYTES: u64 = 2 << 30;

/// Compactions that meet another writer's change this often in a row give up.
const ATTEMPTS: usize = 10;

/// Told bytes done and bytes in all, from any thread; an error stops the work.
pub type Progress = Arc<dyn Fn(u64, u64) -> Result<()> + Send + Sync>;

/// What a compaction did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Compacted {
    /// Files taken out.
    pub before: usize,
    /// Files put in.
    pub after: usize,
    /// Rows in them.
    pub rows: u64,
    /// Bytes of the files taken out.
    pub bytes_before: u64,
    /// Bytes of the files put in.
    pub bytes_after: u64,
    /// Files of the table now.
    pub files: usize,
    /// The version of the last commit; `None` where nothing had to be done.
    pub version: Option<u64>,
}

/// How to compact.
#[derive(Debug, Clone)]
pub struct CompactOptions {
    /// Bytes of memory for rows, about.
    pub memory: usize,
    /// Bytes of a file.
    pub file_bytes: usize,
    /// Threads; by default as many as there are cores.
    pub threads: Option<usize>,
}

impl CompactOptions {
    /// 1 GiB of memory, files of the usual size.
    pub fn new() -> Self {
        Self { memory: 1 << 30, file_bytes: FILE_BYTES, threads: None }
    }
}

impl Default for CompactOptions {
    fn default() -> Self {
        Self::new()
    }
}

/// Compacts a table. Files that need nothing stay as they are, so that a second compaction finds nothing to do.
///
/// A commit of another that takes one of the files away makes it start over. After an error or a kill the table holds the
/// same rows; files that were written for nothing are left to `tenure vacuum`.
pub async fn compact(folder: &Path, options: &CompactOptions, progress: Progress) -> Result<Compacted> {
    let mut done = Compacted::default();
    let mut log = TableLog::open(folder, At::Latest).await?;
    sweep(folder);
    let staging = Arc::new(Staging::make(folder, "compact")?);
    let (mut misses, mut made) = (0, HashSet::new());
    loop {
        let table = writable(&log)?;
        let mut groups = plan::groups(log.files(), table.layout.period, options.file_bytes as u64);
        // Whatever a plan thinks of files made just now, they are not made again: so this comes to an end.
        groups.retain(|group| group.files.iter().any(|file| !made.contains(&log.files()[*file].path)));
        let size = |group: &Group| group.files.iter().map(|file| log.files()[*file].size).sum::<u64>();
        let total: u64 = groups.iter().map(size).sum();
        let (mut part, mut bytes, mut next) = (Vec::new(), 0, groups.iter());
        while bytes < COMMIT_BYTES
            && let Some(group) = next.next()
        {
            bytes += size(group);
            part.push(group.files.iter().map(|file| log.files()[*file].clone()).collect::<Vec<StoredFile>>());
        }
        let mut change = Change::new(Operation::Compact);
        change.remove = part.iter().flatten().map(|f| f.path.clone()).collect();
        let rewrite = Rewrite {
            folder: folder.to_path_buf(),
            staging: Arc::clone(&staging),
            schema: log.schema().clone(),
            table,
            options: options.clone(),
            done: AtomicU64::new(0),
            total,
            progress: Arc::clone(&progress),
        };
        change.add = match rewrite.all(part).await {
            // Another took a file out meanwhile, and a vacuum removed it.
            Err(error) if error.is_stale() && misses < ATTEMPTS => {
                misses += 1;
                log = newer(&log, error).await?;
                continue;
            }
            written => written?,
        };
        if change.remove.is_empty() {
            done.files = log.files().len();
            return Ok(done);
        }
        let last = next.next().is_none();
        place(staging.path(), &staging.files(), folder, &change.add)?;
        match log.commit(&change).await {
            Ok(version) => {
                misses = 0;
                done.version = Some(version);
                done.before += change.remove.len();
                done.after += change.add.len();
                done.rows += change.add.iter().map(|f| f.rows).sum::<u64>();
                done.bytes_before += bytes;
                done.bytes_after += change.add.iter().map(|f| f.size).sum::<u64>();
                made.extend(change.add.into_iter().map(|f| f.path));
                if last {
                    done.files = log.files().len();
                    return Ok(done);
                }
            }
            Err(Refused::Conflict(_)) if misses < ATTEMPTS => {
                discard(folder, &change.add);
                misses += 1;
                log = log.newest().await?;
            }
            // Whether such a commit is visible may be unknown: its files stay.
            Err(Refused::Failed(error)) => return Err(error),
            Err(refused) => {
                discard(folder, &change.add);
                return Err(refused.into());
            }
        }
    }
}

/// The newest version, where a file of this one is gone; the error itself where there is none that is newer.
pub(super) async fn newer(log: &TableLog, error: Error) -> Result<TableLog> {
    let newest = log.newest().await?;
    if newest.version() > log.version() { Ok(newest) } else { Err(error) }
}

/// What a table says of how it is to be written.
#[derive(Debug, Clone)]
pub(super) struct Writable {
    pub roles: Roles,
    /// Time slices, and the column that tells events apart.
    pub layout: Layout,
}

/// How a table is to be written, if this program may.
pub(super) fn writable(log: &TableLog) -> Result<Writable> {
    let Some(roles) = log.roles() else {
        if log.setting(ORDER).is_some() {
            return Err(Error::data(format!(
                "'{}' has no user and time columns: its rows are in no order, and of no user",
                log.folder().display()
            )));
        }
        return Err(Error::data(format!(
            "'{}' was not made by tenure: it does not say which column is the user and which is the time",
            log.folder().display()
        ))
        .hint("tenure ingest makes a table of its files"));
    };
    if let Some(why) = log.only_read() {
        return Err(Error::data(format!(
            "'{}' {why}: tenure reads such tables but does not write them",
            log.folder().display()
        )));
    }
    let period = log.setting("period").map(str::parse).transpose()?;
    let dedup = log.setting("dedup_key").map(str::to_string);
    Ok(Writable { roles: roles.clone(), layout: Layout { period, dedup, ..Layout::new() } })
}

/// The answer of a blocking task.
pub(super) fn finished<T>(joined: std::result::Result<Result<T>, tokio::task::JoinError>) -> Result<T> {
    joined.unwrap_or_else(|e| Err(Error::internal(format!("the work stopped: {e}"))))
}

/// What rewriting groups of files needs.
struct Rewrite {
    folder: PathBuf,
    staging: Arc<Staging>,
    schema: SchemaRef,
    table: Writable,
    options: CompactOptions,
    /// Bytes done, and in all.
    done: AtomicU64,
    total: u64,
    progress: Progress,
}

impl Rewrite {
    /// Rewrites groups, several at the same time: a small one keeps no more than one thread busy. After an error nothing is left.
    async fn all(mut self, groups: Vec<Vec<StoredFile>>) -> Result<Vec<StoredFile>> {
        let threads = self.options.threads.or(std::thread::available_parallelism().ok().map(usize::from)).unwrap_or(1);
        let at_once = threads.min(groups.len()).max(1);
        self.options.memory /= at_once;
        self.options.threads = Some(threads / at_once);
        let work = Arc::new(self);
        let tasks = groups.into_iter().map(|files| {
            let work = Arc::clone(&work);
            async move { finished(tokio::task::spawn_blocking(move || work.group(&files)).await) }
        });
        let ended: Vec<Result<Vec<StoredFile>>> = futures::stream::iter(tasks).buffered(at_once).collect().await;
        let (mut written, mut failed) = (Vec::new(), None);
        for end in ended {
            match end {
                Ok(files) => written.extend(files),
                Err(error) => failed = failed.or(Some(error)),
            }
        }
        match failed {
            None => Ok(written),
            Some(error) => {
                discard(&work.staging.files(), &written);
                Err(error)
            }
        }
    }

    fn group(&self, files: &[StoredFile]) -> Result<Vec<StoredFile>> {
        let size: u64 = files.iter().map(|f| f.size).sum();
        let told = AtomicU64::new(0);
        self.run(files, &|rows, all| {
            let now = (u128::from(size) * u128::from(rows) / u128::from(all.max(1))) as u64;
            // Threads tell their rows in any order.
            let more = now.saturating_sub(told.fetch_max(now, Ordering::Relaxed));
            (self.progress)(self.done.fetch_add(more, Ordering::Relaxed) + more, self.total)
        })
    }

    fn run(&self, group: &[StoredFile], progress: sort::Progress<'_>) -> Result<Vec<StoredFile>> {
        let options = &self.options;
        // What is put aside for a group goes with it: all groups together may be larger than the disk.
        let staging = self.staging.part();
        let mut sorter = Sorter::new(staging.path(), self.schema.clone(), &self.table.roles, options.memory)?;
        if let Some(threads) = options.threads {
            sorter = sorter.with_threads(threads);
        }
        let divided = sort::divide(group);
        for file in &divided.loose {
            let source = StoredSource::open(&self.folder, file, &self.schema, &self.table.roles)?;
            for batch in source.batches_of_all()? {
                let batch = batch?;
                source.check_complete(&batch, &self.table.roles)?;
                sorter.push(&batch)?;
            }
        }
        let bytes: u64 = group.iter().map(|f| f.size).sum();
        let rows: u64 = group.iter().map(|f| f.rows).sum();
        let full = (bytes / options.file_bytes.max(1) as u64).max(1);
        let files = self.staging.files();
        let mut target = Target::new(&files).with_table(&self.folder);
        target.layout = Layout {
            file_bytes: options.file_bytes,
            // Ranges that fill a file each: with smaller ones the next compaction would find something to do.
            part_rows: target.layout.part_rows.max(rows / full),
            ..self.table.layout.clone()
        };
        let (written, counts) = sorter.merge_with(&divided.chains, &target, progress)?;
        // A file whose log entry tells no rows is counted by what was read.
        let known = group.iter().all(|f| f.rows > 0);
        if known && counts.rows != rows {
            discard(&files, &written);
            return Err(Error::internal(format!("compact: {rows} rows were read as {}", counts.rows)));
        }
        Ok(written)
    }
}
