//! Merged rows to ordered files, one thread for each range of users.
//!
//! Deals with: how many threads, progress, stopping all when one fails. Does not deal with: the files (`layout`).

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use arrow::datatypes::{DataType, Schema};
use parking_lot::Mutex;

use super::chain::{Chain, divide};
use super::columns::Columns;
use super::merge::Merge;
use super::run::RunSource;
use super::source::{Source, UserRange, cut};
use super::stored::{StoredSource, with_user_and_time};
use super::unique::{Seeds, Unique};
use super::{Sorter, can_be_key, in_parallel};
use crate::error::{Error, Result};
use crate::store::layout::{Layout, OrderedWriter, Period, discard};
use crate::store::managed::{Roles, StoredFile};

/// Told rows written and rows in all; an error stops the work.
pub type Progress<'a> = &'a (dyn Fn(u64, u64) -> Result<()> + Sync);

/// Where sorted rows go.
#[derive(Debug, Clone)]
pub struct Target<'a> {
    /// Where files are written; it has to exist.
    pub folder: &'a Path,
    /// The table's folder.
    pub table: &'a Path,
    /// Sizes of files, time slices.
    pub layout: Layout,
    /// The column by which repeated events are known: of rows of one user with the same value the earliest stays, and of
    /// those with the same time the first that came. NULLs are all different.
    pub dedup: Option<&'a str>,
    /// Files of the table that stay as they are: rows that repeat an event of theirs are left out, whatever their time.
    /// Only looked at with `dedup`.
    pub existing: &'a [StoredFile],
}

impl<'a> Target<'a> {
    /// Files of the usual sizes below `folder`.
    pub fn new(folder: &'a Path) -> Self {
        Self { folder, table: folder, layout: Layout::new(), dedup: None, existing: &[] }
    }

    /// Files of a table in another folder.
    #[must_use]
    pub fn with_table(mut self, table: &'a Path) -> Self {
        self.table = table;
        self
    }

    /// With time slices.
    #[must_use]
    pub fn with_period(mut self, period: Option<Period>) -> Self {
        self.layout.period = period;
        self
    }

    /// Without repeated events, `existing` files of the table included.
    #[must_use]
    pub fn with_dedup(mut self, column: &'a str, existing: &'a [StoredFile]) -> Self {
        self.layout.dedup = Some(column.to_string());
        (self.dedup, self.existing) = (Some(column), existing);
        self
    }
}

/// What was written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Rows in the files.
    pub rows: u64,
    /// Rows that were left out because they repeat an event.
    pub duplicates: u64,
}

/// What is to be written.
pub(super) struct Work<'a> {
    /// In the order of arrival.
    pub sources: &'a [&'a dyn Source],
    pub columns: &'a Columns,
    pub roles: &'a Roles,
    /// For what has to be put in order first.
    pub staging: &'a Path,
    pub rows: u64,
    /// Earliest and latest time.
    pub times: (i64, i64),
    pub memory: usize,
    pub threads: usize,
}

impl Work<'_> {
    /// Ranges of users: as many as threads, unless files would become too small.
    fn parts(&self, layout: &Layout) -> usize {
        let slices = match layout.period {
            Some(period) if self.rows > 0 => period.number(self.times.1).abs_diff(period.number(self.times.0)) + 1,
            _ => 1,
        };
        let small = layout.part_rows.max(1);
        (self.rows / slices / small).clamp(1, self.threads as u64) as usize
    }
}

/// Writes everything. See [`Sorter::finish`](super::Sorter::finish).
pub(super) fn write(work: &Work<'_>, target: &Target<'_>, progress: Progress<'_>) -> Result<(Vec<StoredFile>, Counts)> {
    let parts = work.parts(&target.layout);
    let ranges = cut(work.sources, parts)?;
    let memory = work.memory / 4 / ranges.len();
    let existing = match target.dedup {
        Some(column) => Some(Kept::open(work, target, column)?),
        None => None,
    };
    let kept: Vec<&dyn Source> = existing.iter().flat_map(|kept| &kept.files).map(|file| file.as_ref()).collect();
    let piece = piece_of(work.sources);
    let (done, stop) = (AtomicU64::new(0), AtomicBool::new(false));
    let part = |range: UserRange| {
        let unique = match &existing {
            Some(of_kept) => Some(of_kept.unique(&kept, memory, &range)?),
            None => None,
        };
        let mut columns = work.columns.clone();
        let mut layout = target.layout.clone();
        layout.memory = layout.memory.min(memory);
        let mut merge = Merge::new(work.sources, &range, &mut columns, piece, unique)?;
        let mut writer = OrderedWriter::new(target.folder, columns.schema.clone(), work.roles, layout)?;
        let (mut rows, mut told) = (0, 0);
        while let Some(next) = merge.next(&mut columns)? {
            if next.len > 0 {
                writer.write(&columns.give_out(&next)?)?;
            }
            rows += next.len as u64;
            // Rows that were left out are done as well.
            let more = rows + merge.duplicates() - told;
            told += more;
            progress(done.fetch_add(more, Ordering::Relaxed) + more, work.rows)?;
            if stop.load(Ordering::Relaxed) {
                return Err(Error::resources("stopped because another part failed"));
            }
        }
        Ok((writer.finish()?, Counts { rows, duplicates: merge.duplicates() }))
    };
    let (written, failed) = (Mutex::new(Vec::new()), Mutex::new(None));
    let ended = in_parallel(ranges.into_iter().enumerate().collect(), |(number, range)| {
        match part(range) {
            Ok((files, counts)) => written.lock().push((number, files, counts)),
            Err(error) => {
                stop.store(true, Ordering::Relaxed);
                // The others only say that they were stopped.
                failed.lock().get_or_insert(error);
            }
        }
        Ok(())
    });
    let mut written = written.into_inner();
    written.sort_by_key(|(number, ..)| *number);
    let mut files = Vec::new();
    let mut counts = Counts::default();
    for (_, more, of_part) in written {
        files.extend(more);
        counts.rows += of_part.rows;
        counts.duplicates += of_part.duplicates;
    }
    if let Some(error) = failed.into_inner().or(ended.err()) {
        discard(target.folder, &files);
        return Err(error);
    }
    Ok((files, counts))
}

/// Rows given out by a merge at once: as its inputs have found right.
pub(super) fn piece_of(sources: &[&dyn Source]) -> usize {
    sources.iter().map(|source| source.piece()).max().unwrap_or(1).max(1)
}

/// Files that stay, of which only users and keys are read.
struct Kept {
    columns: Columns,
    column: usize,
    key: usize,
    files: Vec<Box<dyn Source>>,
    seeds: Seeds,
}

impl Kept {
    fn open(work: &Work<'_>, target: &Target<'_>, column: &str) -> Result<Self> {
        let schema = &work.columns.schema;
        let at = schema.index_of(column).map_err(|_| {
            Error::user(format!("the column '{column}', by which repeated events are known, does not exist"))
        })?;
        let data_type = schema.field(at).data_type();
        if !can_be_key(data_type) {
            return Err(Error::user(format!(
                "the column '{column}', by which repeated events are known, must be text or an integer, not {data_type}"
            )));
        }
        let mut wanted = vec![work.columns.user, work.columns.time, at];
        wanted.sort_unstable();
        wanted.dedup();
        // Keys are read once: giving their texts numbers would be no use.
        let fields = wanted.into_iter().map(|at| match schema.field(at) {
            text if matches!(text.data_type(), DataType::Dictionary(..)) => text.clone().with_data_type(DataType::Utf8),
            other => other.clone(),
        });
        let narrow = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
        let columns = Columns::new(narrow.clone(), work.roles, 0)?;
        let divided = divide(target.existing);
        let mut files: Vec<Box<dyn Source>> = Vec::new();
        for chain in &divided.chains {
            files.push(Box::new(Chain::open(target.table, chain, &narrow, work.roles)?));
        }
        let mut sorter = Sorter::new(work.staging, narrow.clone(), work.roles, work.memory / 4)?;
        for file in &divided.loose {
            for batch in StoredSource::open(target.table, file, &narrow, work.roles)?.batches_of_all()? {
                sorter.push(&with_user_and_time(&batch?, work.roles)?)?;
            }
        }
        // Some memory is needed for the rows that are to be written: these are put aside.
        for run in sorter.flush()? {
            files.push(Box::new(RunSource::open(work.staging, run)?));
        }
        Ok(Self { key: narrow.index_of(column)?, columns, column: at, files, seeds: Seeds::draw() })
    }

    fn unique<'a>(&'a self, sources: &'a [&'a dyn Source], memory: usize, range: &UserRange) -> Result<Unique<'a>> {
        Unique::new(self.column, self.seeds, memory, sources, &self.columns, self.key, range)
    }
}
