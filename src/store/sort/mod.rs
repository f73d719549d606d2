//! Sorting events by (user, time) in bounded memory, and writing them as ordered files.
//!
//! Deals with: rows in any order in, ordered files out; runs on disk where memory does not hold all rows; resuming after a
//! kill; repeated events. Does not deal with: where rows come from, or committing the files.
//!
//! ```text
//!  push ─▶ columns ─▶ buffer ──full──▶ order ─▶ run ─┐
//!          words       chunks          keys    files  ├─▶ merge ─▶ unique ─▶ layout::OrderedWriter
//!                        └───────all in memory────────┘   one thread for each range of users
//! ```
//!
//! Users are cut into ranges of about equal rows; each is merged and written by a thread of its own. Texts of dictionary columns
//! are numbered once when they come in (`words`) and are numbers from then on. The merge takes anything that gives
//! ordered rows for a range of users (`source`): runs, rows in memory, ordered files of a table (`stored`).
//!
//! Measured: 100 million generated events of ten columns in the order of time, with a budget of 1 GiB: six runs, 75 seconds of
//! one core (10 of them reading the Parquet file they came from), 1.33 GB at the most.

mod buffer;
mod chain;
mod columns;
mod memory;
mod merge;
mod order;
mod run;
mod source;
mod stored;
mod unique;
mod words;
mod write;

use std::path::{Path, PathBuf};

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;

pub(super) use chain::divide;
pub use run::Run;
pub(super) use run::run_holds;
pub use source::UserRange;
pub(super) use stored::StoredSource;
pub use unique::can_be_key;
pub use write::{Counts, Progress, Target};

use crate::error::{Error, Result};
use crate::store::layout::sync_folder;
use crate::store::managed::{Roles, StoredFile};
use buffer::Buffer;
use chain::Chain;
use columns::Columns;
use memory::SortedRows;
use merge::Merge;
use run::RunSource;
use source::{Source, cut};

/// Bytes of the pieces in which rows are gathered, written to runs and read from them.
const PIECE_BYTES: usize = 1 << 20;

/// Sorts rows by (user, time), then by arrival.
///
/// Rows come as batches of the table's schema: users Int64 or Utf8, times microseconds, neither ever NULL; columns of type
/// `Dictionary(Int32, Utf8)` may come as any kind of text. While all rows fit into memory nothing is written to the staging
/// folder. Runs are never removed by the sorter: they belong to whoever made the folder.
pub struct Sorter {
    staging: PathBuf,
    columns: Columns,
    roles: Roles,
    memory: usize,
    threads: usize,
    buffer: Buffer,
    runs: Vec<Run>,
    /// Words of each coded column that lie in files.
    saved: Vec<usize>,
}

impl Sorter {
    /// A sorter that holds at most about `memory` bytes of rows, keys and words. `staging` is made when it is needed.
    ///
    /// Errors: a schema without the roles' columns, or with other types for them.
    pub fn new(staging: &Path, schema: SchemaRef, roles: &Roles, memory: usize) -> Result<Self> {
        Ok(Self::over(staging, Columns::new(schema, roles, memory / 8)?, roles, memory))
    }

    fn over(staging: &Path, columns: Columns, roles: &Roles, memory: usize) -> Self {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let saved = vec![0; columns.coded().count()];
        let (staging, roles, runs) = (staging.to_path_buf(), roles.clone(), Vec::new());
        Self { staging, columns, roles, memory, threads, buffer: Buffer::new(), runs, saved }
    }

    /// Resumes from the runs that a journal lists, as [`runs`](Self::runs) gave them out. Other runs in the folder, of which the
    /// journal does not know, are removed: their rows are to be pushed again.
    ///
    /// Errors: a run that is not there or not whole.
    pub fn resume(staging: &Path, schema: SchemaRef, roles: &Roles, memory: usize, runs: Vec<Run>) -> Result<Self> {
        let mut sorter = Self::new(staging, schema, roles, memory)?;
        for run in &runs {
            if let Some(words) = &run.words {
                run::read_words(staging, words, &mut sorter.columns)?;
            }
            for text in RunSource::texts(staging, run)? {
                if let Some(coded) = sorter.columns.coded_mut(text) {
                    coded.give_up();
                }
            }
        }
        sorter.saved = sorter.columns.coded().map(|(_, coded)| coded.words().len()).collect();
        sorter.runs = runs;
        sorter.remove_strangers()?;
        Ok(sorter)
    }

    /// With a number of threads for sorting and writing; by default as many as there are cores.
    #[must_use]
    pub fn with_threads(mut self, threads: usize) -> Self {
        self.threads = threads.max(1);
        self
    }

    /// Takes rows. True when everything pushed so far, these rows included, is durable in [`runs`](Self::runs).
    ///
    /// Errors: a batch of another schema, a full disk.
    pub fn push(&mut self, batch: &RecordBatch) -> Result<bool> {
        if batch.num_rows() == 0 {
            return Ok(false);
        }
        let texts = |columns: &Columns| columns.coded().filter(|(_, coded)| coded.given_up()).count();
        let before = texts(&self.columns);
        let rows = self.columns.take_in(batch)?;
        self.buffer.push(rows, &mut self.columns)?;
        if texts(&self.columns) > before {
            self.buffer.settle(&mut self.columns)?;
        }
        if self.buffer.size() + self.columns.size() < self.memory_for_rows() && !self.buffer.full() {
            return Ok(false);
        }
        self.flush()?;
        Ok(true)
    }

    /// Makes everything pushed so far durable. Gives out all runs.
    pub fn flush(&mut self) -> Result<&[Run]> {
        if self.buffer.rows() == 0 {
            return Ok(&self.runs);
        }
        std::fs::create_dir_all(&self.staging).map_err(|e| Error::io("create", &self.staging, &e))?;
        let times = self.buffer.times();
        let piece = self.buffer.rows_of(PIECE_BYTES);
        let chunks = self.buffer.take(&mut self.columns)?;
        let sorted = SortedRows::new(chunks, &self.columns, piece, self.threads)?;
        let words = run::write_words(&self.staging, &self.columns, &self.saved)?;
        let run = self.write_run(&sorted, words, times)?;
        sync_folder(&self.staging)?;
        self.saved = self.columns.coded().map(|(_, coded)| coded.words().len()).collect();
        self.runs.push(run);
        Ok(&self.runs)
    }

    /// The runs: what is durable.
    pub fn runs(&self) -> &[Run] {
        &self.runs
    }

    /// Rows pushed so far, those of resumed runs included.
    pub fn rows(&self) -> u64 {
        self.runs.iter().map(|r| r.rows).sum::<u64>() + self.buffer.rows() as u64
    }

    /// Bytes of rows, keys and words in memory.
    pub fn held(&self) -> usize {
        self.buffer.size() + self.columns.size()
    }

    /// Writes all rows as ordered files below the target's folder. `progress` hears rows written and rows in all, from any
    /// thread; its error stops the work, and nothing is left in the folder, as with every other error.
    ///
    /// The files are durable. They are the caller's: what is not committed is to be given to [`discard`](super::layout::discard).
    pub fn finish(self, target: &Target<'_>, progress: Progress<'_>) -> Result<(Vec<StoredFile>, Counts)> {
        self.merge_with(&[], target, progress)
    }

    /// As [`finish`](Self::finish), with the rows of ordered files below the target's folder among those that were pushed: chains
    /// of files whose users follow each other. Of equal rows the files' come first.
    pub(super) fn merge_with(
        mut self,
        chains: &[Vec<StoredFile>],
        target: &Target<'_>,
        progress: Progress<'_>,
    ) -> Result<(Vec<StoredFile>, Counts)> {
        let open = |files: &Vec<StoredFile>| Chain::open(target.table, files, &self.columns.schema, &self.roles);
        let stored = chains.iter().map(open).collect::<Result<Vec<_>>>()?;
        let files = || chains.iter().flatten();
        let (mut in_memory, mut in_runs) = (None, Vec::new());
        let mut times = self.buffer.times();
        let rows = self.rows() + files().map(|f| f.rows).sum::<u64>();
        if self.runs.is_empty() {
            let piece = self.buffer.rows_of(PIECE_BYTES);
            let chunks = self.buffer.take(&mut self.columns)?;
            in_memory = Some(SortedRows::new(chunks, &self.columns, piece, self.threads)?);
        } else {
            self.flush()?;
            self.merge_runs()?;
            in_runs = self.runs.iter().map(|run| RunSource::open(&self.staging, run)).collect::<Result<_>>()?;
        }
        let others = self.runs.iter().map(|r| r.times).chain(files().filter_map(|f| f.times));
        times = others.fold(times, |(low, high), (from, to)| (low.min(from), high.max(to)));
        let sources = stored.iter().map(|s| s as &dyn Source);
        let sources = sources.chain(in_runs.iter().map(|s| s as &dyn Source));
        let sources: Vec<&dyn Source> = sources.chain(in_memory.iter().map(|s| s as &dyn Source)).collect();
        let work = write::Work {
            sources: &sources,
            columns: &self.columns,
            roles: &self.roles,
            staging: &self.staging,
            rows,
            times,
            memory: self.memory,
            threads: self.threads,
        };
        write::write(&work, target, progress)
    }

    /// What the buffer may hold: beside it pieces are gathered and written while it is sorted out.
    fn memory_for_rows(&self) -> usize {
        self.memory.saturating_sub(4 * PIECE_BYTES * self.threads).max(self.memory / 2)
    }

    /// Writes rows that are in order as a run, its pieces in parallel.
    fn write_run(&self, sorted: &SortedRows, words: Option<String>, times: (i64, i64)) -> Result<Run> {
        let parts = self.threads.min(sorted.len() / (1 << 16) + 1);
        let mut bounds: Vec<usize> = (1..parts).map(|part| sorted.user_begin(sorted.len() / parts * part)).collect();
        bounds.insert(0, 0);
        bounds.push(sorted.len());
        let pieces: Vec<_> = bounds.windows(2).map(|w| sorted.pieces(w[0], w[1].max(w[0]))).collect();
        let written = in_parallel(pieces, |mut piece| {
            let mut columns = self.columns.clone();
            run::write_piece(&self.staging, |columns| source::Reader::next(&mut piece, columns), &mut columns)
        })?;
        let pieces: Vec<(String, u64)> = written.into_iter().flatten().collect();
        let rows = pieces.iter().map(|(_, rows)| rows).sum();
        Ok(Run { pieces: pieces.into_iter().map(|(name, _)| name).collect(), words, rows, times })
    }

    /// Merges runs to fewer, larger ones until the rest can be merged at once in the memory there is.
    fn merge_runs(&mut self) -> Result<()> {
        let most = self.most_inputs();
        while self.runs.len() > most {
            let mut fewer = Vec::new();
            for group in self.runs.chunks(most) {
                // Consecutive ones: rows that are equal stay in the order in which they came.
                fewer.push(if group.len() == 1 { group[0].clone() } else { self.merge_group(group)? });
            }
            self.runs = fewer;
        }
        Ok(())
    }

    fn merge_group(&self, group: &[Run]) -> Result<Run> {
        let sources = group.iter().map(|run| RunSource::open(&self.staging, run)).collect::<Result<Vec<_>>>()?;
        let sources: Vec<&dyn Source> = sources.iter().map(|s| s as &dyn Source).collect();
        let piece = write::piece_of(&sources);
        let written = in_parallel(cut(&sources, self.threads)?, |range| {
            let mut columns = self.columns.clone();
            let mut merge = Merge::new(&sources, &range, &mut columns, piece, None)?;
            run::write_piece(&self.staging, |columns| merge.next(columns), &mut columns)
        })?;
        let pieces: Vec<(String, u64)> = written.into_iter().flatten().collect();
        let rows = pieces.iter().map(|(_, rows)| rows).sum();
        let times = group.iter().fold((i64::MAX, i64::MIN), |(low, high), r| (low.min(r.times.0), high.max(r.times.1)));
        // The words are known by now; nobody resumes from here.
        Ok(Run { pieces: pieces.into_iter().map(|(name, _)| name).collect(), words: None, rows, times })
    }

    /// Inputs of a merge: each has a piece in memory, and one more waiting, on every thread.
    fn most_inputs(&self) -> usize {
        (self.memory / 2 / self.threads / (2 * PIECE_BYTES)).clamp(4, 64)
    }

    /// Removes files of runs that are not known.
    fn remove_strangers(&self) -> Result<()> {
        let known: Vec<&str> = self.runs.iter().flat_map(Run::files).collect();
        let Ok(entries) = std::fs::read_dir(&self.staging) else { return Ok(()) };
        for entry in entries.flatten() {
            let name = entry.file_name();
            let Some(name) = name.to_str() else { continue };
            let run = (name.starts_with("run-") || name.starts_with("words-")) && name.ends_with(".arrow");
            if run && !known.contains(&name) {
                std::fs::remove_file(entry.path()).map_err(|e| Error::io("remove", &entry.path(), &e))?;
            }
        }
        Ok(())
    }
}

/// Runs `work` for each input on a thread of its own; the first error of all, by position.
fn in_parallel<I: Send, O: Send>(inputs: Vec<I>, work: impl Fn(I) -> Result<O> + Sync) -> Result<Vec<O>> {
    let work = &work;
    if inputs.len() == 1 {
        return inputs.into_iter().map(work).collect();
    }
    std::thread::scope(|scope| {
        let threads: Vec<_> = inputs.into_iter().map(|input| scope.spawn(move || work(input))).collect();
        let ended = threads.into_iter().map(|thread| thread.join());
        // All are waited for before one error is given out.
        let ended: Vec<_> = ended.collect();
        ended
            .into_iter()
            .map(|end| end.unwrap_or_else(|_| Err(Error::internal("a thread of the sort panicked"))))
            .collect()
    })
}

#[cfg(test)]
mod tests;
