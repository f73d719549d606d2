//! Taking some users out of a managed table: their rows, and whatever else beside the table holds them.
//!
//! Deals with: finding the files that hold them, by what the log and the files' statistics say, rewriting those files, one commit;
//! rows that were put aside; what writers that were stopped left. Does not deal with: older versions of the table, which hold the
//! rows until `tenure vacuum` removes their files.

use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, RecordBatch};
use arrow::compute::filter_record_batch;
use arrow::datatypes::{DataType, Int64Type, Schema, SchemaRef};
use parking_lot::Mutex;

use super::aside;
use super::compact::{Writable, finished, newer, writable};
use super::layout::{Layout, OrderedWriter, discard, write_plain};
use super::loads;
use super::managed::commit::{Change, Operation, Refused};
use super::managed::log::{At, TableLog};
use super::managed::{Roles, StoredFile};
use super::sort::StoredSource;
use super::staging::{Staging, place, sweep};
use super::unfinished::{self, Held};
use super::user_id::UserId;
use super::write::{USER, unordered};
use crate::error::{Error, Result};

/// Erasures that meet new rows or another's change this often in a row give up.
const ATTEMPTS: usize = 20;

/// Told files done and files in all, from any thread; an error stops the work.
pub type Progress = Arc<dyn Fn(usize, usize) -> Result<()> + Send + Sync>;

/// Rows of the users in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The file, relative to the table's folder.
    pub path: String,
    /// Rows of the users.
    pub rows: u64,
    /// Rows of others.
    pub others: u64,
}

/// What an erasure took out, or would.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Erased {
    /// Rows of each user that was asked for, those without any included.
    pub users: BTreeMap<UserId, u64>,
    /// The files that held them.
    pub files: Vec<Found>,
    /// The version that is without them; `None` where none was found, or nothing was to be changed.
    pub version: Option<u64>,
    /// Rows that had been put aside and are of them.
    pub aside: u64,
    /// Names of sources that mention them.
    pub named: u64,
    /// Work on the table that is not finished.
    pub unfinished: Held,
}

impl Erased {
    /// Rows in all.
    pub fn rows(&self) -> u64 {
        self.users.values().sum()
    }
}

/// Takes the users out of the table; with `dry_run` only says where they are.
///
/// The version that this commits holds no row of theirs, also none that another writer appended meanwhile: then it starts over.
/// Rows of theirs that were put aside go, and so does what stopped writers left, where it holds some. After an error or a kill the
/// table is as it was or the rows are gone from its newest version; running it again does the rest. Errors: a name that cannot be
/// a user of the table, such as a text where users are integers; a file that is not there or damaged; a full disk.
pub async fn erase(folder: &Path, users: &[String], dry_run: bool, progress: Progress) -> Result<Erased> {
    if !dry_run {
        sweep(folder);
    }
    let (mut erased, column) = from_table(folder, users, dry_run, progress).await?;
    let (beside, users) = (folder.to_path_buf(), erased.users.keys().cloned().collect::<Vec<UserId>>());
    let work = move || {
        let (aside, named) = (aside::forget(&beside, &users, dry_run)?, loads::forget(&beside, &users, dry_run)?);
        Ok((aside, named, unfinished::forget(&beside, &column, &users, dry_run)?))
    };
    (erased.aside, erased.named, erased.unfinished) = finished(tokio::task::spawn_blocking(work).await)?;
    Ok(erased)
}

/// Takes their rows out of the newest version. Also gives the name of the user column.
async fn from_table(folder: &Path, users: &[String], dry_run: bool, progress: Progress) -> Result<(Erased, String)> {
    let mut log = TableLog::open(folder, At::Latest).await?;
    for _ in 0..ATTEMPTS {
        let table = erasable(&log)?;
        let column = table.roles.user.clone();
        let wanted = Wanted::new(users, log.schema(), &table.roles, folder)?;
        let search = Arc::new(Search {
            folder: folder.to_path_buf(),
            schema: log.schema().clone(),
            table,
            wanted,
            files: log.files().to_vec(),
        });
        let searching = Arc::clone(&search);
        let (found, mut erased) = match finished(tokio::task::spawn_blocking(move || searching.find()).await) {
            // Another took a file out meanwhile, and a vacuum removed it.
            Err(error) if error.is_stale() => {
                log = newer(&log, error).await?;
                continue;
            }
            found => found?,
        };
        if found.is_empty() || dry_run {
            return Ok((erased, column));
        }
        let staging = Arc::new(Staging::make(folder, "erase")?);
        let (rewriting, told, into) = (Arc::clone(&search), Arc::clone(&progress), staging.files());
        let of: Vec<usize> = found.clone();
        let written = match finished(tokio::task::spawn_blocking(move || rewriting.rewrite(&of, &into, &told)).await) {
            Err(error) if error.is_stale() => {
                log = newer(&log, error).await?;
                continue;
            }
            written => written?,
        };
        let mut change = Change::new(Operation::Erase);
        change.add = written;
        change.remove = found.iter().map(|file| search.files[*file].path.clone()).collect();
        change.unless_data_since = Some(log.version());
        place(staging.path(), &staging.files(), folder, &change.add)?;
        match log.commit(&change).await {
            Ok(version) => {
                erased.version = Some(version);
                return Ok((erased, column));
            }
            Err(Refused::Conflict(_)) => {
                discard(folder, &change.add);
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
    Err(Error::data(format!("'{}' changed {ATTEMPTS} times while rows were erased from it", folder.display()))
        .hint("run it again when fewer programs write to the table"))
}

/// How files are rewritten; a table whose rows have no order need only say which column is the user.
fn erasable(log: &TableLog) -> Result<Writable> {
    match log.setting(USER).filter(|_| log.roles().is_none()) {
        Some(user) => {
            unordered(log)?;
            let roles = Roles { user: user.to_string(), time: user.to_string(), event: None };
            Ok(Writable { roles, layout: Layout::new() })
        }
        None => writable(log),
    }
}

/// The users to be erased.
struct Wanted {
    sorted: Vec<UserId>,
    numbers: HashSet<i64>,
    texts: HashSet<String>,
}

impl Wanted {
    fn new(users: &[String], schema: &SchemaRef, roles: &Roles, folder: &Path) -> Result<Self> {
        let column = schema.field_with_name(&roles.user)?;
        let (mut numbers, mut texts) = (HashSet::new(), HashSet::new());
        for user in users {
            match column.data_type() {
                DataType::Int64 => match user.trim().parse() {
                    Ok(number) => _ = numbers.insert(number),
                    Err(_) => {
                        return Err(Error::user(format!(
                            "erase: '{user}' cannot be a user of '{}': its column '{}' holds whole numbers",
                            folder.display(),
                            roles.user
                        )));
                    }
                },
                _ => _ = texts.insert(user.clone()),
            }
        }
        let all = numbers.iter().map(|n| UserId::Number(*n)).chain(texts.iter().cloned().map(UserId::Text));
        let mut sorted: Vec<UserId> = all.collect();
        sorted.sort();
        Ok(Self { sorted, numbers, texts })
    }

    /// For each row whether it belongs to one of the users. A row without a user belongs to none.
    fn rows(&self, column: &ArrayRef) -> Vec<bool> {
        let mut rows = Vec::with_capacity(column.len());
        match column.data_type() {
            DataType::Int64 => {
                let mut last = None;
                for user in column.as_primitive::<Int64Type>() {
                    let found = match (user, last) {
                        (None, _) => false,
                        (Some(user), Some((before, found))) if user == before => found,
                        (Some(user), _) => self.numbers.contains(&user),
                    };
                    last = user.map(|user| (user, found));
                    rows.push(found);
                }
            }
            _ => rows.extend(column.as_string::<i32>().iter().map(|user| user.is_some_and(|u| self.texts.contains(u)))),
        }
        rows
    }
}

struct Search {
    folder: PathBuf,
    schema: SchemaRef,
    table: Writable,
    wanted: Wanted,
    files: Vec<StoredFile>,
}

impl Search {
    /// Positions of the files that hold rows of the users, and what they hold.
    fn find(&self) -> Result<(Vec<usize>, Erased)> {
        let schema = Arc::new(Schema::new(vec![self.schema.field_with_name(&self.table.roles.user)?.clone()]));
        let each = self.each(self.files.len(), |at| {
            let file = &self.files[at];
            let mut users: BTreeMap<UserId, u64> = BTreeMap::new();
            if !self.may_hold(file) {
                return Ok((0, users));
            }
            let source = StoredSource::open(&self.folder, file, &schema, &self.table.roles)?;
            for batch in source.batches(source.groups_with(&self.wanted.sorted))? {
                let batch = batch?;
                let column = batch.column(0);
                for (row, _) in self.wanted.rows(column).into_iter().enumerate().filter(|(_, found)| *found) {
                    let user = match column.data_type() {
                        DataType::Int64 => UserId::Number(column.as_primitive::<Int64Type>().value(row)),
                        _ => UserId::Text(column.as_string::<i32>().value(row).to_string()),
                    };
                    *users.entry(user).or_default() += 1;
                }
            }
            Ok((source.rows(), users))
        })?;
        let mut erased = Erased::default();
        erased.users.extend(self.wanted.sorted.iter().map(|user| (user.clone(), 0)));
        let mut found = Vec::new();
        for (at, (all, users)) in each.into_iter().enumerate() {
            let rows: u64 = users.values().sum();
            if rows == 0 {
                continue;
            }
            found.push(at);
            erased.files.push(Found { path: self.files[at].path.clone(), rows, others: all.saturating_sub(rows) });
            for (user, rows) in users {
                *erased.users.entry(user).or_default() += rows;
            }
        }
        Ok((found, erased))
    }

    /// What the log says; only the bounds of ordered files are exact, those of others are believed to enclose their users.
    fn may_hold(&self, file: &StoredFile) -> bool {
        let bounds =
            file.users.as_ref().and_then(|(low, high)| Some((UserId::from_scalar(low)?, UserId::from_scalar(high)?)));
        let Some((low, high)) = bounds else { return true };
        let users = &self.wanted.sorted;
        users.get(users.partition_point(|user| *user < low)).is_some_and(|user| *user <= high)
    }

    /// Rewrites files without the users; of one that holds nobody else nothing is left.
    fn rewrite(&self, files: &[usize], into: &Path, progress: &Progress) -> Result<Vec<StoredFile>> {
        let done = AtomicUsize::new(0);
        let written = Mutex::new(Vec::new());
        let ended = self.each(files.len(), |at| {
            let file = &self.files[files[at]];
            let source = StoredSource::open(&self.folder, file, &self.schema, &self.table.roles)?;
            let rest = source.batches_of_all()?.map(|batch| self.without(&batch?));
            let more = if file.ordered {
                self.write_ordered(into, rest)?
            } else {
                write_plain(into, &self.schema, rest)?.into_iter().collect()
            };
            written.lock().push((at, more));
            progress(done.fetch_add(1, Ordering::Relaxed) + 1, files.len())
        });
        let mut written = written.into_inner();
        written.sort_by_key(|(at, _)| *at);
        let written: Vec<StoredFile> = written.into_iter().flat_map(|(_, files)| files).collect();
        if let Err(error) = ended {
            discard(into, &written);
            return Err(error);
        }
        Ok(written)
    }

    fn write_ordered(
        &self,
        into: &Path,
        batches: impl Iterator<Item = Result<RecordBatch>>,
    ) -> Result<Vec<StoredFile>> {
        let layout = self.table.layout.clone();
        let mut writer = OrderedWriter::new(into, self.schema.clone(), &self.table.roles, layout)?;
        for batch in batches {
            writer.write(&batch?)?;
        }
        writer.finish()
    }

    fn without(&self, batch: &RecordBatch) -> Result<RecordBatch> {
        let users = batch.column(batch.schema_ref().index_of(&self.table.roles.user)?);
        let stay: BooleanArray = self.wanted.rows(users).into_iter().map(|found| Some(!found)).collect();
        Ok(filter_record_batch(batch, &stay)?)
    }

    /// `work` for each number below `count`, on as many threads as there are cores; the first error stops the others.
    fn each<T: Send>(&self, count: usize, work: impl Fn(usize) -> Result<T> + Sync) -> Result<Vec<T>> {
        let threads = std::thread::available_parallelism().map_or(1, usize::from).min(count.max(1));
        let (next, ended) = (AtomicUsize::new(0), Mutex::new(Vec::with_capacity(count)));
        let failed = Mutex::new(None);
        let one = || {
            loop {
                let at = next.fetch_add(1, Ordering::Relaxed);
                if at >= count || failed.lock().is_some() {
                    return;
                }
                match work(at) {
                    Ok(answer) => ended.lock().push((at, answer)),
                    Err(error) => _ = failed.lock().get_or_insert(error),
                }
            }
        };
        let whole = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..threads).map(|_| scope.spawn(one)).collect();
            threads.into_iter().map(|thread| thread.join()).all(|end| end.is_ok())
        });
        if let Some(error) = failed.into_inner() {
            return Err(error);
        }
        if !whole {
            return Err(Error::internal("erase: a thread panicked"));
        }
        let mut ended = ended.into_inner();
        ended.sort_by_key(|(at, _)| *at);
        Ok(ended.into_iter().map(|(_, answer)| answer).collect())
    }
}
