//! Staging folders that outlive their process, so that the same command can resume the work.
//!
//! Deals with: making, locking, clearing and removing them; those that nobody works in; users who are erased. Does not deal with:
//! what a writer notes in its folder (`ingest::journal`), or folders that go with their process (`staging`).
//!
//! A folder is `TABLE/_ingest/<key>`, with a lock in it that the system takes away when the process ends in whatever way.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::aside;
use super::sort::run_holds;
use super::staging::{private_folder, take_back, taken_back};
use super::user_id::UserId;
use crate::error::{Error, Result};

/// Folder of work that is not finished, below the table's.
pub const FOLDER: &str = "_ingest";

const LOCK: &str = "lock";

/// In the names of folders that are being removed.
const GONE: &str = ".gone-";

/// A staging folder that is ours while this lives.
#[derive(Debug)]
pub struct Unfinished {
    folder: PathBuf,
    /// Whether what was put in place from it is committed.
    landed: bool,
    /// Held until the end of the process, however it ends.
    _lock: File,
}

impl Unfinished {
    /// Opens the folder of `key` below the table's folder, and makes it where it is not there.
    ///
    /// Errors: `busy` where another process works in it.
    pub fn open(table: &Path, key: &str, busy: impl Fn() -> Error) -> Result<Self> {
        let folder = table.join(FOLDER).join(key);
        let lock = lock(&folder, busy)?;
        // What was put in place by one that was killed before its commit.
        let landed = taken_back(&folder, table) == Some(true);
        Ok(Self { folder, landed, _lock: lock })
    }

    /// Where it is.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Whether the work in it was committed before it was stopped.
    pub fn has_landed(&self) -> bool {
        self.landed
    }

    /// Removes what is in it but this file: the work starts from the beginning.
    pub fn clear_but(&mut self, keep: &str) -> Result<()> {
        self.landed = false;
        let entries = std::fs::read_dir(&self.folder).map_err(|e| Error::io("list", &self.folder, &e))?;
        for entry in entries.flatten() {
            if entry.file_name() != keep && entry.file_name() != LOCK {
                remove_all(&entry.path())?;
            }
        }
        Ok(())
    }

    /// Removes it: the work is committed, or nobody will resume it.
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
fn lock(folder: &Path, busy: impl Fn() -> Error) -> Result<File> {
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
                    return Err(busy());
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
    let removed = if path.is_dir() { std::fs::remove_dir_all(path) } else { std::fs::remove_file(path) };
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
/// They belong to writers that were stopped and never resumed; one that runs holds its folder's lock.
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
        // Somebody may have resumed it meanwhile.
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

/// Removes folders, other than that of `own`, that nobody works in and nobody will resume, as `useless` decides.
pub fn sweep(table: &Path, own: &str, useless: impl Fn(&Path) -> bool) {
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
        // Whoever just begins must not find its own folder locked, so the lock comes last.
        if !useless(&folder) {
            continue;
        }
        let Ok(lock) = OpenOptions::new().write(true).open(folder.join(LOCK)) else { continue };
        // What cannot be removed is found again.
        if lock.try_lock().is_ok() && take_back(&folder, table) {
            let _ = remove_under_lock(&folder);
        }
    }
}

/// What an erasure found in work that is not finished.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Held {
    /// Folders that hold rows of the users: removed, unless it was a trial.
    pub removed: usize,
    /// Folders in which a process works: what they bring comes in after the erasure.
    pub running: usize,
}

/// Removes the folders of stopped work that hold rows of these users or name them: the same command then reads its sources from the
/// start. With `dry_run` they are counted only. An error where a folder cannot be removed. Cost: the user column of all their sorted
/// rows is read.
pub fn forget(table: &Path, column: &str, users: &[UserId], dry_run: bool) -> Result<Held> {
    let mut held = Held::default();
    let all = table.join(FOLDER);
    let entries = match std::fs::read_dir(&all) {
        Ok(entries) => entries,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(held),
        Err(e) => return Err(Error::io("list", &all, &e)),
    };
    for entry in entries {
        let folder = entry.map_err(|e| Error::io("list", &all, &e))?.path();
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
            held.running += 1;
            continue;
        }
        if !holds(&folder, column, users)? {
            continue;
        }
        held.removed += 1;
        if !dry_run && lock.is_some_and(|lock| is_at(&lock, &path)) {
            take_back(&folder, table);
            remove_under_lock(&folder).map_err(|e| Error::io("remove", &folder, &e))?;
        }
    }
    if !dry_run {
        // Only where it is empty.
        let _ = std::fs::remove_dir(&all);
    }
    Ok(held)
}

/// Whether sorted rows in a folder are of these users, or what is noted and put aside there mentions them. What cannot be read may.
fn holds(folder: &Path, column: &str, users: &[UserId]) -> Result<bool> {
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(false),
        Err(e) => return Err(Error::io("list", folder, &e)),
    };
    for entry in entries {
        let path = entry.map_err(|e| Error::io("list", folder, &e))?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let found = match path.extension().and_then(|extension| extension.to_str()) {
            // Finished files that wait for their commit, and whatever a writer of a later build may leave.
            _ if path.is_dir() => std::fs::read_dir(&path).is_ok_and(|mut files| files.next().is_some()),
            Some("arrow") if name.starts_with("run-") => run_holds(&path, column, users),
            Some("ndjson" | "placed") => mentioned(&path, users)?,
            _ => false,
        };
        if found {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Whether a text file mentions one of the users.
fn mentioned(path: &Path, users: &[UserId]) -> Result<bool> {
    let text = std::fs::read(path).map_err(|e| Error::io("read", path, &e))?;
    let text = String::from_utf8_lossy(&text);
    Ok(users.iter().any(|user| text.lines().any(|line| aside::mentions(line, user))))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(table: &Path, key: &str) -> Unfinished {
        Unfinished::open(table, key, || Error::data("busy")).unwrap()
    }

    #[test]
    fn what_holds_an_erased_user_goes_unless_somebody_works_in_it() {
        let table = tempfile::tempdir().unwrap();
        let users = [UserId::Text("u7".into())];
        let erase = |dry_run| forget(table.path(), "user_id", &users, dry_run).unwrap();
        assert_eq!(erase(false), Held::default());
        let begun = |key: &str, journal: &str| {
            let folder = open(table.path(), key);
            std::fs::write(folder.folder().join("journal.ndjson"), journal).unwrap();
            folder
        };
        let running = begun("running", "{}");
        let (named, other) =
            (begun("named", "{\"path\":\"/in/u7.csv\"}"), begun("other", "{\"path\":\"/in/u77.csv\"}"));
        // A run that cannot be read may hold anybody.
        let unread = begun("unread", "{}");
        std::fs::write(unread.folder().join("run-1.arrow"), "rows").unwrap();
        let left = table.path().join(FOLDER).join("old.gone-7");
        std::fs::create_dir(&left).unwrap();
        let at = |folder: &Unfinished| folder.folder().to_path_buf();
        let (named_at, other_at, unread_at) = (at(&named), at(&other), at(&unread));
        drop((named, other, unread));
        assert_eq!(erase(true), Held { removed: 2, running: 1 });
        assert!(named_at.exists() && unread_at.exists() && left.exists());
        assert_eq!(erase(false), Held { removed: 2, running: 1 });
        assert!(!named_at.exists() && !unread_at.exists() && !left.exists() && other_at.exists());
        drop(running);
        assert_eq!(erase(false), Held::default());
    }

    #[test]
    fn folders_that_nobody_resumes_are_found_and_removed() {
        let table = tempfile::tempdir().unwrap();
        assert_eq!(left(table.path(), Duration::ZERO, true), []);
        let begun = |key: &str| {
            let folder = open(table.path(), key);
            std::fs::write(folder.folder().join("run-1.arrow"), [0; 1001]).unwrap();
            folder
        };
        let (running, new) = (begun("running"), begun("new"));
        let (old, unlocked) = (begun("old"), begun("unlocked"));
        let day = Duration::from_secs(86_400);
        let age = |journal: &Unfinished| {
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
            let waiting = scope.spawn(|| open(table.path(), "new"));
            std::thread::sleep(Duration::from_millis(50));
            remove_under_lock(&table.path().join(FOLDER).join("new")).unwrap();
            drop(lock);
            waiting.join().unwrap()
        });
        assert!(waiting.folder().join(LOCK).exists() && !waiting.folder().join("run-1.arrow").exists());
    }
}
