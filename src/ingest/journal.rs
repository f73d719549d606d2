//! What an ingest has done so far, on disk: so that the same command goes on after a kill.
//!
//! Deals with: the staging folder, its lock and its journal. Does not deal with: the sorted runs in it (`sort`).
//!
//! The folder is `TABLE/_ingest/<key>`, the key being of the sources' paths and the options. `journal.ndjson` holds an object a
//! line: first what is ingested, then, after each sorted run, how far the sources are in the runs. A line counts when it is
//! whole; each is synced before the next one is begun.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::files::read::Place;
use crate::files::reject::Counted;
use crate::files::source::Identity;
use crate::files::unseen::Unseen;
use crate::store::layout::sync_folder;
use crate::store::sort::Run;
use crate::store::staging::{private_folder, take_back, taken_back};

/// Folder of ingests that run, below the table's.
pub const FOLDER: &str = "_ingest";

const JOURNAL: &str = "journal.ndjson";
const LOCK: &str = "lock";

/// Folder of the files that are to be put in place, in the staging folder.
pub const FILES: &str = "files";

/// In the names of folders that are being removed.
const GONE: &str = ".gone-";

/// What is ingested: the journal's first line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Begin {
    /// The sources.
    pub sources: Vec<Identity>,
    /// The columns, as text: runs of other columns cannot be gone on with.
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

/// A staging folder that is ours while this lives.
#[derive(Debug)]
pub struct Journal {
    folder: PathBuf,
    file: File,
    /// Whether there is a beginning in it.
    begun: bool,
    /// Whether its own commit is in the log.
    landed: bool,
    /// Held until the end of the process, however it ends.
    _lock: File,
}

impl Journal {
    /// Opens the staging folder of `key` below the table's folder, and gives what its journal says.
    ///
    /// Errors: another process is at it.
    pub fn open(table: &Path, key: &str) -> Result<(Self, Option<(Begin, Done)>)> {
        let folder = table.join(FOLDER).join(key);
        let lock = lock(&folder)?;
        // What was put in place by one that was killed before its commit.
        let landed = taken_back(&folder, table) == Some(true);
        let path = folder.join(JOURNAL);
        let open = OpenOptions::new().create(true).truncate(false).read(true).write(true).open(&path);
        let mut file = open.map_err(|e| Error::io("write", &path, &e))?;
        let text = std::fs::read(&path).map_err(|e| Error::io("read", &path, &e))?;
        let (begin, done, whole) = parse(&text);
        file.set_len(whole).map_err(|e| Error::io("write", &path, &e))?;
        file.seek(SeekFrom::Start(whole)).map_err(|e| Error::io("write", &path, &e))?;
        let state = begin.map(|begin| (begin, done.unwrap_or_default()));
        Ok((Self { folder, file, begun: state.is_some(), landed, _lock: lock }, state))
    }

    /// The staging folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Whether this very ingest was committed, and stopped before it could clear up.
    pub fn has_landed(&self) -> bool {
        self.landed
    }

    /// Begins anew.
    pub fn restart(&mut self, begin: &Begin) -> Result<()> {
        self.clear()?;
        self.begun = true;
        self.write(&Line::Begin(begin.clone()))?;
        sync_folder(&self.folder)
    }

    /// Forgets everything that was done, the files too.
    pub fn clear(&mut self) -> Result<()> {
        self.file.set_len(0).map_err(|e| Error::io("write", &self.folder, &e))?;
        self.file.seek(SeekFrom::Start(0)).map_err(|e| Error::io("write", &self.folder, &e))?;
        self.file.sync_all().map_err(|e| Error::io("write", &self.folder, &e))?;
        let entries = std::fs::read_dir(&self.folder).map_err(|e| Error::io("list", &self.folder, &e))?;
        for entry in entries.flatten() {
            if entry.file_name() != JOURNAL && entry.file_name() != LOCK {
                remove_all(&entry.path())?;
            }
        }
        (self.begun, self.landed) = (false, false);
        sync_folder(&self.folder)
    }

    /// Notes how far it is. What it names must be durable.
    pub fn done(&mut self, done: &Done) -> Result<()> {
        self.write(&Line::Done(done.clone()))
    }

    fn write(&mut self, line: &Line) -> Result<()> {
        let mut text = serde_json::to_vec(line).map_err(|e| Error::internal(format!("the journal as JSON: {e}")))?;
        text.push(b'\n');
        let written = self.file.write_all(&text).and_then(|()| self.file.sync_data());
        written.map_err(|e| Error::io("write", &self.folder.join(JOURNAL), &e))
    }

    /// Whether there are sorted runs to go on with.
    pub fn worth_keeping(&self) -> bool {
        let run = |name: std::ffi::OsString| name.to_string_lossy().starts_with("run-");
        self.begun
            && std::fs::read_dir(&self.folder).is_ok_and(|mut all| all.any(|e| e.is_ok_and(|e| run(e.file_name()))))
    }

    /// Removes the staging folder: everything is committed, or nobody will go on.
    pub fn remove(self) -> Result<()> {
        let removed = remove_under_lock(&self.folder);
        if let Some(parent) = self.folder.parent() {
            // Others may have theirs in it.
            let _ = std::fs::remove_dir(parent);
        }
        removed.map_err(|e| Error::io("remove", &self.folder, &e))
    }
}

/// How long to wait for a lock that somebody holds who only looks whether the folder is of use.
const LOOKING: Duration = Duration::from_millis(300);

/// How long to wait for the end of a process that was killed: it holds its lock until the system has taken its memory away.
const DYING: Duration = Duration::from_secs(20);

/// Makes a staging folder, where it is not there, and locks it.
fn lock(folder: &Path) -> Result<File> {
    let path = folder.join(LOCK);
    let since = Instant::now();
    loop {
        let made = private(folder.parent().unwrap_or(folder)).and_then(|()| private(folder));
        let open =
            made.and_then(|()| OpenOptions::new().create(true).truncate(false).read(true).write(true).open(&path));
        let mut lock = match open {
            Ok(lock) => lock,
            // Another ingest is just removing the folder around it.
            Err(e) if e.kind() == std::io::ErrorKind::NotFound && since.elapsed() < LOOKING => {
                std::thread::sleep(Duration::from_millis(5));
                continue;
            }
            Err(e) => return Err(Error::io("create", &path, &e)),
        };
        match lock.try_lock() {
            Ok(()) if is_at(&lock, &path) => {
                let noted = lock.set_len(0).and_then(|()| write!(lock, "{}", std::process::id()));
                noted.map_err(|e| Error::io("write", &path, &e))?;
                return Ok(lock);
            }
            // It was the lock of a folder that is gone.
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let patience = if holder_lives(&path) { LOOKING } else { DYING };
                if since.elapsed() > patience {
                    return Err(Error::data("another ingest of the same sources into this table is running")
                        .hint("what it loads will be there when it has ended"));
                }
                std::thread::sleep(Duration::from_millis(10));
            }
            Err(TryLockError::Error(e)) => return Err(Error::io("lock", &path, &e)),
        }
    }
}

/// Makes a folder that its owner alone may look into, unless it is there.
fn private(folder: &Path) -> std::io::Result<()> {
    match private_folder(folder) {
        Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
        made => made,
    }
}

/// Whether an open file is the one that has this name now.
#[cfg(unix)]
fn is_at(file: &File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    let (Ok(open), Ok(named)) = (file.metadata(), std::fs::metadata(path)) else { return false };
    (open.dev(), open.ino()) == (named.dev(), named.ino())
}

#[cfg(not(unix))]
fn is_at(_: &File, path: &Path) -> bool {
    path.exists()
}

/// Whether the process that a lock names is alive, as far as this system tells.
fn holder_lives(path: &Path) -> bool {
    let Some(process) = std::fs::read_to_string(path).ok().and_then(|text| text.trim().parse::<u32>().ok()) else {
        return true;
    };
    if !Path::new("/proc/self/stat").exists() {
        return true;
    }
    // The state follows the name, which is in parentheses.
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    let state = stat.rsplit_once(") ").and_then(|(_, rest)| rest.chars().next());
    state.is_some_and(|state| !matches!(state, 'Z' | 'X'))
}

/// Removes a file or a folder with all that is in it, where it is there.
pub fn remove_all(path: &Path) -> Result<()> {
    let removed = match path.is_dir() {
        true => std::fs::remove_dir_all(path),
        false => std::fs::remove_file(path),
    };
    match removed {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(Error::io("remove", path, &e)),
        _ => Ok(()),
    }
}

/// A staging folder that nobody is at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Left {
    /// Its path below the table's folder.
    pub name: String,
    /// Bytes of its files.
    pub bytes: u64,
}

/// Staging folders that nobody is at and that were last written `age` ago or earlier, by name. With `remove` they go.
///
/// They belong to ingests that were stopped and never gone on with; an ingest that runs holds its folder's lock.
pub fn left(table: &Path, age: Duration, remove: bool) -> Vec<Left> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(table.join(FOLDER)).into_iter().flatten().flatten() {
        let (folder, name) = (entry.path(), entry.file_name().to_string_lossy().into_owned());
        let Some((bytes, since)) = measure(&folder).filter(|(_, since)| *since >= age) else { continue };
        // Whoever makes a folder locks it at once: one that is old and has no lock is nobody's.
        let lock = OpenOptions::new().write(true).open(folder.join(LOCK)).ok();
        if lock.as_ref().is_some_and(|lock| lock.try_lock().is_err()) {
            continue;
        }
        // Somebody may have gone on with it meanwhile.
        let again = measure(&folder).is_some_and(|(_, now)| now >= since);
        if remove && (!again || !take_back(&folder, table) || remove_under_lock(&folder).is_err()) {
            continue;
        }
        found.push(Left { name: format!("{FOLDER}/{name}"), bytes });
    }
    if remove {
        // Only where it is empty.
        let _ = std::fs::remove_dir(table.join(FOLDER));
    }
    found.sort_by(|a, b| a.name.cmp(&b.name));
    found
}

/// What became of the staging folders of a table from which rows were erased.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct GivenUp {
    /// Folders of ingests that were stopped: gone, or would go.
    pub stopped: usize,
    /// Folders that a running ingest is at.
    pub running: usize,
}

/// Gives up what ingests have put aside that were stopped: nobody knows whose rows are in it. They begin anew from their sources. With
/// `dry_run` only counts them. An error where a folder cannot be removed.
pub fn give_up(table: &Path, dry_run: bool) -> Result<GivenUp> {
    let mut given_up = GivenUp::default();
    let all = table.join(FOLDER);
    let entries = match std::fs::read_dir(&all) {
        Ok(entries) => entries,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(given_up),
        Err(e) => return Err(Error::io("list", &all, &e)),
    };
    for entry in entries {
        let folder = entry.map_err(|e| Error::io("list", &all, &e))?.path();
        let failed = |e: std::io::Error| Error::io("remove", &folder, &e);
        if folder.to_string_lossy().contains(GONE) {
            if !dry_run {
                take_back(&folder, table);
                remove_all(&folder)?;
            }
            continue;
        }
        let path = folder.join(LOCK);
        let lock = match OpenOptions::new().create(!dry_run).truncate(false).write(true).open(&path) {
            Ok(lock) => Some(lock),
            // It ended meanwhile, or was killed before it put anything aside.
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => None,
            Err(e) => return Err(Error::io("open", &path, &e)),
        };
        let since = Instant::now();
        let mut free = lock.as_ref().is_none_or(|lock| lock.try_lock().is_ok());
        while !free && since.elapsed() < if holder_lives(&path) { LOOKING } else { DYING } {
            std::thread::sleep(Duration::from_millis(10));
            free = lock.as_ref().is_none_or(|lock| lock.try_lock().is_ok());
        }
        if !free {
            given_up.running += 1;
            continue;
        }
        given_up.stopped += usize::from(folder.join(JOURNAL).exists());
        if !dry_run && lock.is_some_and(|lock| is_at(&lock, &path)) {
            take_back(&folder, table);
            remove_under_lock(&folder).map_err(failed)?;
        }
    }
    if !dry_run {
        // Only where it is empty.
        let _ = std::fs::remove_dir(&all);
    }
    Ok(given_up)
}

/// Bytes of the files of a staging folder, and how long ago one of them was written.
fn measure(folder: &Path) -> Option<(u64, Duration)> {
    let own = std::fs::metadata(folder).ok().filter(std::fs::Metadata::is_dir)?;
    let (mut bytes, mut newest) = (0, own.modified().ok()?);
    for entry in std::fs::read_dir(folder).ok()?.flatten() {
        let metadata = entry.metadata().ok()?;
        bytes += metadata.len();
        newest = newest.max(metadata.modified().ok()?);
    }
    // A time to come is that of a clock that was set back: it is new.
    Some((bytes, newest.elapsed().unwrap_or_default()))
}

/// Removes a folder whose lock is held, under another name first: then it is rubbish at once, which a later ingest clears away
/// if this process is killed meanwhile, and who waits for the lock finds another folder.
fn remove_under_lock(folder: &Path) -> std::io::Result<()> {
    let mut gone = folder.to_path_buf().into_os_string();
    gone.push(format!("{GONE}{}", std::process::id()));
    std::fs::rename(folder, &gone)?;
    std::fs::remove_dir_all(&gone)
}

/// Removes staging folders, other than that of `own`, that nobody is at and nobody will go on with: `useless` decides by what
/// was begun.
pub fn sweep(table: &Path, own: &str, useless: impl Fn(&Begin) -> bool) {
    for entry in std::fs::read_dir(table.join(FOLDER)).into_iter().flatten().flatten() {
        let folder = entry.path();
        if folder.ends_with(own) {
            continue;
        }
        if entry.file_name().to_string_lossy().contains(GONE) {
            if take_back(&folder, table) {
                let _ = std::fs::remove_dir_all(&folder);
            }
            continue;
        }
        // The journal is looked at first: whoever just begins must not find its own folder locked.
        let Ok(text) = std::fs::read(folder.join(JOURNAL)) else { continue };
        if !parse(&text).0.is_some_and(|begin| useless(&begin)) {
            continue;
        }
        let Ok(lock) = OpenOptions::new().write(true).open(folder.join(LOCK)) else { continue };
        // What cannot be removed is found again.
        if lock.try_lock().is_ok() && take_back(&folder, table) {
            let _ = remove_under_lock(&folder);
        }
    }
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
        std::fs::create_dir_all(table.path().join(FOLDER).join("old.gone-7/x")).unwrap();
        let mut other = Journal::open(table.path(), "other").unwrap().0;
        other.restart(&begin()).unwrap();
        sweep(table.path(), "own", |_| true);
        assert!(other.folder().exists() && !table.path().join(FOLDER).join("old.gone-7").exists());
        let path = other.folder().to_path_buf();
        drop(other);
        sweep(table.path(), "own", |_| false);
        assert!(path.exists());
        sweep(table.path(), "own", |_| true);
        assert!(!path.exists());
    }

    #[test]
    fn what_was_put_aside_is_given_up_unless_somebody_is_at_it() {
        let table = tempfile::tempdir().unwrap();
        assert_eq!(give_up(table.path(), false).unwrap(), GivenUp::default());
        let open = |key: &str| {
            let mut journal = Journal::open(table.path(), key).unwrap().0;
            journal.restart(&begin()).unwrap();
            std::fs::write(journal.folder().join("run-1.arrow"), "rows").unwrap();
            journal
        };
        let (running, stopped) = (open("running"), open("stopped"));
        let left = table.path().join(FOLDER).join("old.gone-7");
        std::fs::create_dir(&left).unwrap();
        let stopped_at = stopped.folder().to_path_buf();
        drop(stopped);
        let both = GivenUp { stopped: 1, running: 1 };
        assert_eq!(give_up(table.path(), true).unwrap(), both);
        assert!(stopped_at.join("run-1.arrow").exists() && left.exists());
        assert_eq!(give_up(table.path(), false).unwrap(), both);
        assert!(!stopped_at.exists() && !left.exists() && running.folder().join("run-1.arrow").exists());
        drop(running);
        assert_eq!(give_up(table.path(), false).unwrap(), GivenUp { stopped: 1, running: 0 });
        assert!(!table.path().join(FOLDER).exists());
    }

    #[test]
    fn folders_that_nobody_goes_on_with_are_found_and_removed() {
        let table = tempfile::tempdir().unwrap();
        assert_eq!(left(table.path(), Duration::ZERO, true), []);
        let open = |key: &str| {
            let mut journal = Journal::open(table.path(), key).unwrap().0;
            journal.restart(&begin()).unwrap();
            std::fs::write(journal.folder().join("run-1.arrow"), [0; 1000]).unwrap();
            journal
        };
        let (running, new) = (open("running"), open("new"));
        let (old, unlocked) = (open("old"), open("unlocked"));
        let day = Duration::from_secs(86_400);
        let age = |journal: &Journal| {
            for entry in std::fs::read_dir(journal.folder()).unwrap() {
                let file = File::options().write(true).open(entry.unwrap().path()).unwrap();
                file.set_modified(std::time::SystemTime::now() - 2 * day).unwrap();
            }
            let folder = File::open(journal.folder()).unwrap();
            folder.set_modified(std::time::SystemTime::now() - 2 * day).unwrap();
        };
        std::fs::remove_file(unlocked.folder().join(LOCK)).unwrap();
        [&running, &old, &unlocked].into_iter().for_each(age);
        drop((new, old, unlocked));
        for remove in [false, true] {
            let found = left(table.path(), day, remove);
            let names: Vec<&str> = found.iter().map(|l| l.name.as_str()).collect();
            assert_eq!(names, ["_ingest/old", "_ingest/unlocked"]);
            assert!(found.iter().all(|l| l.bytes > 1000));
        }
        assert_eq!(left(table.path(), day, true), []);
        let mut there: Vec<_> =
            std::fs::read_dir(table.path().join(FOLDER)).unwrap().map(|e| e.unwrap().file_name()).collect();
        there.sort();
        assert_eq!(there, ["new", "running"]);
        drop(running);
        assert_eq!(left(table.path(), day, true).len(), 1);
        // Whoever waits for the lock of a folder that goes gets another one.
        let waiting = std::thread::scope(|scope| {
            let lock = OpenOptions::new().write(true).open(table.path().join(FOLDER).join("new").join(LOCK)).unwrap();
            lock.lock().unwrap();
            let waiting = scope.spawn(|| Journal::open(table.path(), "new").unwrap());
            std::thread::sleep(Duration::from_millis(50));
            remove_under_lock(&table.path().join(FOLDER).join("new")).unwrap();
            drop(lock);
            waiting.join().unwrap()
        });
        assert!(waiting.1.is_none() && waiting.0.folder().join(JOURNAL).exists());
    }
}
