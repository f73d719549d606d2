//! What is asked of an ingest, what it tells while it runs, and what it has done.
//!
//! Deals with: the words between `tenure ingest` and the work. Does not deal with: the work (`run`).

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::columns::{Layout, Wishes};
use crate::error::Result;
use crate::files::heads::Sample;
use crate::files::reject::Counted;
use crate::files::source::SourceFormat;
use crate::files::unseen::Unseen;

/// How many rejected rows are too many.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum MaxRejects {
    /// Any number is fine, unless it is all of them.
    Any,
    /// More than this many.
    Rows(u64),
    /// More than this share of all rows, in percent.
    Percent(f64),
}

/// What to ingest, into what, and how.
#[derive(Debug, Clone)]
pub struct Options {
    /// Files, folders, globs, `-`.
    pub sources: Vec<String>,
    /// The table's folder.
    pub table: PathBuf,
    /// The format of all sources, where their names do not say it or say it wrong.
    pub format: Option<SourceFormat>,
    /// Between CSV fields.
    pub delimiter: Option<u8>,
    /// Whether CSV sources have a header.
    pub header: bool,
    /// The mapping file.
    pub mapping: Option<PathBuf>,
    /// A preset's name, or its file.
    pub preset: Option<String>,
    /// Zone of times that name none.
    pub tz: Option<String>,
    /// Roles, time format, deduplication.
    pub wishes: Wishes,
    /// Time slices: `day`, `week` or `month`.
    pub period: Option<String>,
    /// Bytes of memory.
    pub memory: usize,
    /// Threads.
    pub threads: usize,
    /// How much is looked at before types are decided.
    pub sample: Sample,
    /// When to give up.
    pub max_rejects: MaxRejects,
    /// Whether sources may be loaded that were loaded before.
    pub again: bool,
    /// Whether sources that were loaded before are left out.
    pub only_new: bool,
    /// Whether to forget what an unfinished ingest of these sources has done.
    pub restart: bool,
    /// Whether to stop before anything is written.
    pub dry_run: bool,
}

/// What will be done.
#[derive(Debug, Clone)]
pub struct Plan<'a> {
    /// The table's columns.
    pub layout: &'a Layout,
    /// Sources.
    pub sources: usize,
    /// Their bytes, as they lie there.
    pub bytes: u64,
    /// Whether the table is new.
    pub new_table: bool,
    /// Rows that an earlier run of the same ingest has read.
    pub resumed: u64,
}

/// What an ingest is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Reading, and sorting what memory does not hold; counted in bytes of the sources.
    Reading,
    /// Sorting the rest; not counted.
    Sorting,
    /// Writing files; counted in rows.
    Writing,
}

/// How far it is.
#[derive(Debug, Clone, Copy)]
pub struct Progress {
    /// What it is doing.
    pub phase: Phase,
    /// How much of `all` is done.
    pub done: u64,
    /// Bytes or rows; 0 where that is not known.
    pub all: u64,
    /// Rows read so far.
    pub rows: u64,
}

/// Who looks on.
pub trait Watch: Sync {
    /// Before anything is written.
    fn planned(&self, plan: &Plan<'_>) -> Result<()>;
    /// Now and then.
    fn progress(&self, progress: Progress);
    /// Something worth telling.
    fn note(&self, text: &str);
    /// Something that must be said, even to those who want to hear little.
    fn warn(&self, text: &str);
    /// Whether to stop at the next chance.
    fn stopped(&self) -> bool;
}

/// What was done.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Outcome {
    /// The version of the table that has the rows; `None` where nothing was written.
    pub version: Option<u64>,
    /// Rows read.
    pub rows: u64,
    /// Rows in the files.
    pub written: u64,
    /// Rows left out because they repeat an event.
    pub duplicates: u64,
    /// Rejected rows by reason.
    pub rejects: BTreeMap<String, Counted>,
    /// Where they are.
    pub rejected_to: Option<PathBuf>,
    /// Values that the sample did not show, left out of their rows.
    pub unseen: Unseen,
    /// Files.
    pub files: usize,
    /// Their bytes.
    pub bytes: u64,
}
