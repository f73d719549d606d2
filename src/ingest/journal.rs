//! What an ingest has done so far, on disk: so that the same command can resume it after a kill.
//!
//! Deals with: the journal in the staging folder. Does not deal with: the folder itself (`store::unfinished`), or the sorted runs
//! in it (`sort`).
//!
//! The folder's key is of the sources' paths and the options. `journal.ndjson` holds an object a line: first what is ingested, then,
//! after each sorted run, how far the sources are in the runs. A line counts when it is whole; each is synced before the next one
//! is begun.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{Seek, SeekFrom, Write};
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::files::read::Place;
use crate::files::reject::Counted;
use crate::files::source::Identity;
use crate::files::unseen::Unseen;
use crate::store::layout::sync_folder;
use crate::store::sort::Run;
use crate::store::unfinished::{self, Unfinished};

const JOURNAL: &str = "journal.ndjson";

/// What is ingested: the journal's first line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Begin {
    /// The sources.
    pub sources: Vec<Identity>,
    /// The columns, as text: runs of other columns cannot be resumed.
    pub columns: String,
    /// What the commit log calls this load.
    pub load: String,
    /// How often these sources are loaded into the table, this time included.
    pub attempt: i64,
}

/// How far it is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Done {
    /// Where reading goes on.
    pub place: Place,
    /// Rows read, rejected ones included.
    pub rows: u64,
    /// The sorted runs.
    pub runs: Vec<Run>,
    /// Bytes of rejected rows.
    pub reject_bytes: u64,
    /// Counts of rejected rows.
    pub rejects: BTreeMap<String, Counted>,
    /// Values that were left out.
    #[serde(default)]
    pub unseen: Unseen,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Line {
    Begin(Begin),
    Done(Done),
}

/// A staging folder that is ours while this lives, and its journal.
#[derive(Debug)]
pub struct Journal {
    staging: Unfinished,
    file: File,
    /// Whether there is a beginning in it.
    begun: bool,
}

impl Journal {
    /// Opens the staging folder of `key` below the table's folder, and gives what its journal says.
    ///
    /// Errors: another process is at it.
    pub fn open(table: &Path, key: &str) -> Result<(Self, Option<(Begin, Done)>)> {
        let staging = Unfinished::open(table, key, || {
            Error::data("another ingest of the same sources into this table is running")
                .hint("what it loads will be there when it has ended")
        })?;
        let path = staging.folder().join(JOURNAL);
        let open = OpenOptions::new().create(true).truncate(false).read(true).write(true).open(&path);
        let mut file = open.map_err(|e| Error::io("write", &path, &e))?;
        let text = std::fs::read(&path).map_err(|e| Error::io("read", &path, &e))?;
        let (begin, done, whole) = parse(&text);
        file.set_len(whole).map_err(|e| Error::io("write", &path, &e))?;
        file.seek(SeekFrom::Start(whole)).map_err(|e| Error::io("write", &path, &e))?;
        let state = begin.map(|begin| (begin, done.unwrap_or_default()));
        Ok((Self { staging, file, begun: state.is_some() }, state))
    }

    /// The staging folder.
    pub fn folder(&self) -> &Path {
        self.staging.folder()
    }

    /// Whether this very ingest was committed, and stopped before it could clear up.
    pub fn has_landed(&self) -> bool {
        self.staging.has_landed()
    }

    /// Starts from the beginning.
    pub fn restart(&mut self, begin: &Begin) -> Result<()> {
        self.clear()?;
        self.begun = true;
        self.write(&Line::Begin(begin.clone()))?;
        sync_folder(self.staging.folder())
    }

    /// Forgets everything that was done, the files too.
    pub fn clear(&mut self) -> Result<()> {
        let failed = |e: std::io::Error| Error::io("write", self.staging.folder(), &e);
        self.file.set_len(0).map_err(failed)?;
        self.file.seek(SeekFrom::Start(0)).map_err(failed)?;
        self.file.sync_all().map_err(failed)?;
        self.staging.clear_but(JOURNAL)?;
        self.begun = false;
        sync_folder(self.staging.folder())
    }

    /// Notes how far it is. What it names must be durable.
    pub fn done(&mut self, done: &Done) -> Result<()> {
        self.write(&Line::Done(done.clone()))
    }

    fn write(&mut self, line: &Line) -> Result<()> {
        let mut text = serde_json::to_vec(line).map_err(|e| Error::internal(format!("the journal as JSON: {e}")))?;
        text.push(b'\n');
        let written = self.file.write_all(&text).and_then(|()| self.file.sync_data());
        written.map_err(|e| Error::io("write", &self.folder().join(JOURNAL), &e))
    }

    /// Whether there are sorted runs to resume from.
    pub fn worth_keeping(&self) -> bool {
        let run = |name: std::ffi::OsString| name.to_string_lossy().starts_with("run-");
        self.begun
            && std::fs::read_dir(self.folder()).is_ok_and(|mut all| all.any(|e| e.is_ok_and(|e| run(e.file_name()))))
    }

    /// Removes the staging folder: everything is committed, or nobody will resume it.
    pub fn remove(self) -> Result<()> {
        self.staging.remove()
    }
}

/// Removes the staging folders, other than that of `own`, that nobody works in and nobody will resume: `useless` decides by what
/// was begun.
pub fn sweep(table: &Path, own: &str, useless: impl Fn(&Begin) -> bool) {
    unfinished::sweep(table, own, |folder| {
        let Ok(text) = std::fs::read(folder.join(JOURNAL)) else { return false };
        parse(&text).0.is_some_and(|begin| useless(&begin))
    });
}

/// What a journal says, and how many of its bytes are whole lines.
fn parse(text: &[u8]) -> (Option<Begin>, Option<Done>, u64) {
    let (mut begin, mut done, mut whole) = (None, None, 0);
    for line in text.split_inclusive(|b| *b == b'\n') {
        match serde_json::from_slice(line) {
            Ok(Line::Begin(found)) if line.ends_with(b"\n") => begin = Some(found),
            Ok(Line::Done(found)) if line.ends_with(b"\n") && begin.is_some() => done = Some(found),
            // Cut off by a kill.
            _ => break,
        }
        whole += line.len() as u64;
    }
    (begin, done, whole)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn begin() -> Begin {
        let identity = Identity { path: "/a.csv".into(), size: 7, modified: -3 };
        Begin { sources: vec![identity], columns: "c".into(), load: "l".into(), attempt: 1 }
    }

    fn done(rows: u64) -> Done {
        Done { place: Place { source: 0, offset: rows * 10, line: rows }, rows, ..Done::default() }
    }

    #[test]
    fn a_cut_off_line_does_not_count() {
        let table = tempfile::tempdir().unwrap();
        let (mut journal, state) = Journal::open(table.path(), "k").unwrap();
        assert_eq!(state, None);
        journal.restart(&begin()).unwrap();
        journal.done(&done(1)).unwrap();
        journal.done(&done(2)).unwrap();
        let path = journal.folder().join(JOURNAL);
        assert!(Journal::open(table.path(), "k").unwrap_err().message().contains("is running"));
        drop(journal);
        let whole = std::fs::read(&path).unwrap();
        for cut in 0..=whole.len() {
            std::fs::write(&path, &whole[..cut]).unwrap();
            let (mut journal, state) = Journal::open(table.path(), "k").unwrap();
            let lines = whole[..cut].iter().filter(|b| **b == b'\n').count() as u64;
            assert_eq!(
                state,
                (lines > 0).then(|| (begin(), if lines > 1 { done(lines - 1) } else { Done::default() }))
            );
            if lines > 0 {
                journal.done(&done(9)).unwrap();
                drop(journal);
                assert_eq!(Journal::open(table.path(), "k").unwrap().1.unwrap().1, done(9));
            }
        }
    }

    #[test]
    fn nothing_is_left() {
        let table = tempfile::tempdir().unwrap();
        let (mut journal, _) = Journal::open(table.path(), "k").unwrap();
        std::fs::write(journal.folder().join("run-1.arrow"), "x").unwrap();
        journal.restart(&begin()).unwrap();
        assert!(!journal.folder().join("run-1.arrow").exists());
        journal.remove().unwrap();
        assert_eq!(std::fs::read_dir(table.path()).unwrap().count(), 0);
        // A removal that was cut short, and what nobody needs; another's is left alone.
        std::fs::create_dir_all(table.path().join(unfinished::FOLDER).join("old.gone-7/x")).unwrap();
        let mut other = Journal::open(table.path(), "other").unwrap().0;
        other.restart(&begin()).unwrap();
        sweep(table.path(), "own", |_| true);
        assert!(other.folder().exists() && !table.path().join(unfinished::FOLDER).join("old.gone-7").exists());
        let path = other.folder().to_path_buf();
        drop(other);
        sweep(table.path(), "own", |_| false);
        assert!(path.exists());
        sweep(table.path(), "own", |_| true);
        assert!(!path.exists());
    }
}
