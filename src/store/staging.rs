//! Folders for what a long work puts aside, below the table that it works on.
//!
//! Deals with: making one, putting finished files from it in place, removing it at the end, and clearing up after owners that were
//! killed. Does not deal with: what lies in them.
//!
//! A name begins with `_`, so that readers of the table and `vacuum` pass over it. Its owner holds a lock on a file in it, which
//! the system takes away when the process ends in whatever way: a folder whose lock can be had belongs to nobody.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::layout::{discard, sync_folder};
use super::managed::{StoredFile, versions};
use crate::error::{Error, Result};

const LOCK: &str = "lock";

/// Names of files that were put in place, a line each.
const PLACED: &str = "placed";

/// Folder of files that are to be put in place.
pub(super) const FILES: &str = "files";

/// A folder without a lock that is not empty may just be being made; after this time it is not.
const MAKING: Duration = Duration::from_secs(600);

/// How often a folder is made that others clear away before it is locked.
const ATTEMPTS: usize = 20;

/// What folders are made for.
const PURPOSES: [&str; 4] = ["compact", "erase", "retype", "write"];

/// A folder that is removed in the end.
#[derive(Debug)]
pub struct Staging {
    path: PathBuf,
    _lock: File,
}

impl Staging {
    /// Makes a folder below `table` that only its owner may look into.
    pub fn make(table: &Path, purpose: &str) -> Result<Self> {
        let mut failed = None;
        for _ in 0..ATTEMPTS {
            let path = table.join(format!("_{purpose}-{}", uuid::Uuid::new_v4()));
            private_folder(&path).map_err(|e| Error::io("create", &path, &e))?;
            match locked(&path) {
                Ok(lock) => return Ok(Self { path, _lock: lock }),
                // Another's clean-up took it for that of a writer that was killed at this point.
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                    failed = Some(Error::io("create", &path, &error));
                }
                Err(error) => {
                    let _ = std::fs::remove_dir_all(&path);
                    return Err(Error::io("create", &path, &error));
                }
            }
        }
        Err(failed.unwrap_or_else(|| Error::internal("no attempt at a staging folder")))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Where files are written that are to be put in place.
    pub fn files(&self) -> PathBuf {
        self.path.join(FILES)
    }

    /// A place in it for a part of the work, made by whoever needs it.
    pub fn part(&self) -> Part {
        Part(self.path.join(uuid::Uuid::new_v4().to_string()))
    }
}

/// The lock of a new folder, which then holds a place for files. `NotFound` where the folder is gone by then.
fn locked(path: &Path) -> std::io::Result<File> {
    let lock = path.join(LOCK);
    let file = File::create_new(&lock)?;
    file.lock()?;
    // Before it was locked it could be taken for nobody's.
    std::fs::metadata(&lock)?;
    std::fs::create_dir(path.join(FILES))?;
    Ok(file)
}

/// Makes a folder that its owner alone may look into: there are rows in it.
pub(crate) fn private_folder(path: &Path) -> std::io::Result<()> {
    let mut builder = std::fs::DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)
}

/// Moves durable files from a writer's folder to the table's, where a commit is to follow at once.
///
/// Until then nobody who looks at the table's folder finds rows that are not committed. `notes` is where the writer's own folder
/// keeps the names: should it be killed before its commit, [`sweep`] removes the files by them. After an error none is in place.
pub fn place(notes: &Path, from: &Path, table: &Path, files: &[StoredFile]) -> Result<()> {
    if files.is_empty() {
        return Ok(());
    }
    let list = notes.join(PLACED);
    let names: String = files.iter().map(|file| format!("{}\n", file.path)).collect();
    let noted = OpenOptions::new().create(true).append(true).open(&list).and_then(|mut list| {
        list.write_all(names.as_bytes())?;
        list.sync_all()
    });
    noted.map_err(|e| Error::io("write", &list, &e))?;
    sync_folder(notes)?;
    let moved = files.iter().try_for_each(|file| {
        let to = table.join(&file.path);
        std::fs::rename(from.join(&file.path), &to).map_err(|e| Error::io("write", &to, &e))
    });
    let placed = moved.and_then(|()| sync_folder(table));
    if placed.is_err() {
        discard(table, files);
    }
    placed
}

/// Clears away what writers that were killed left below a table's folder: their staging folders and the files that they put in
/// place and did not commit. Folders whose owner lives stay, and so do those of ingests, which may be resumed.
pub fn sweep(table: &Path) {
    for entry in std::fs::read_dir(table).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let ours = name.to_str().is_some_and(|name| PURPOSES.iter().any(|purpose| is_for(name, purpose)));
        if !ours {
            continue;
        }
        let folder = entry.path();
        let lock = File::open(folder.join(LOCK));
        let left = match &lock {
            Ok(lock) => lock.try_lock().is_ok(),
            Err(_) => {
                // Killed before it was locked; a writer that lives makes another.
                let _ = std::fs::remove_dir(&folder);
                let made = std::fs::metadata(&folder).and_then(|m| m.modified());
                made.is_ok_and(|made| made.elapsed().is_ok_and(|age| age > MAKING))
            }
        };
        // What cannot be removed is found again.
        if left && take_back(&folder, table) {
            remove(&folder);
        }
    }
}

/// Whether a folder's name says that it was made for this purpose.
fn is_for(name: &str, purpose: &str) -> bool {
    name.strip_prefix('_').and_then(|name| name.strip_prefix(purpose)).is_some_and(|rest| rest.starts_with('-'))
}

/// Removes the files that a dead writer put in place and that no log entry names. False where the log does not tell.
pub fn take_back(notes: &Path, table: &Path) -> bool {
    taken_back(notes, table).is_some()
}

/// The same, and whether the log names one of them: the writer's commit has landed. `None` where the log does not tell.
pub fn taken_back(notes: &Path, table: &Path) -> Option<bool> {
    let list = notes.join(PLACED);
    let Ok(names) = std::fs::read_to_string(&list) else { return Some(false) };
    let named = versions::named(table).ok()?;
    let mut landed = false;
    for name in names.lines().filter(|name| !name.contains('/')) {
        match named.contains(name) {
            true => landed = true,
            false => _ = std::fs::remove_file(table.join(name)),
        }
    }
    // Until whoever finds it has made use of it, a commit that has landed is told again.
    if !landed {
        std::fs::remove_file(&list).ok()?;
    }
    Some(landed)
}

/// A folder in a staging folder, removed with all that is in it when the part of the work is done.
#[derive(Debug)]
pub struct Part(PathBuf);

impl Part {
    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        // What cannot be removed goes with the whole.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        // What cannot be removed is found by the next sweep.
        remove(&self.path);
    }
}

/// Removes a folder, its lock last: one that was killed meanwhile still belongs to nobody, which the lock tells.
fn remove(folder: &Path) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        let _ = match path.is_dir() {
            true => std::fs::remove_dir_all(&path),
            false if entry.file_name() == LOCK => continue,
            false => std::fs::remove_file(&path),
        };
    }
    let _ = std::fs::remove_dir_all(folder);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_of_the_living_stay_and_those_of_the_dead_go() {
        let table = tempfile::tempdir().unwrap();
        let living = Staging::make(table.path(), "compact").unwrap();
        let dead = table.path().join("_erase-dead");
        std::fs::create_dir(&dead).unwrap();
        std::fs::write(dead.join(LOCK), "").unwrap();
        std::fs::write(dead.join("run"), "rows").unwrap();
        let new = table.path().join("_compact-new");
        std::fs::create_dir(&new).unwrap();
        std::fs::write(new.join("files"), "").unwrap();
        let killed = table.path().join("_compact-killed");
        std::fs::create_dir(&killed).unwrap();
        let other = table.path().join("_loads");
        std::fs::create_dir(&other).unwrap();
        sweep(table.path());
        assert!(living.path().is_dir() && new.is_dir() && other.is_dir() && !dead.exists() && !killed.exists());
        let part = living.part();
        std::fs::create_dir(part.path()).unwrap();
        std::fs::write(part.path().join("run"), "rows").unwrap();
        let path = part.path().to_path_buf();
        drop(part);
        assert!(!path.exists() && living.path().is_dir());
        let path = living.path().to_path_buf();
        drop(living);
        assert!(!path.exists());
    }

    fn stored(name: &str) -> StoredFile {
        StoredFile {
            path: name.into(),
            size: 1,
            modified: 0,
            rows: 1,
            ordered: false,
            users: None,
            times: None,
            checksum: None,
            statistics: String::new(),
        }
    }

    /// Of files that a dead writer put in place those stay which the log names.
    #[test]
    fn files_without_a_commit_are_taken_back() {
        let table = tempfile::tempdir().unwrap();
        let log = table.path().join("_delta_log");
        std::fs::create_dir(&log).unwrap();
        let staging = Staging::make(table.path(), "compact").unwrap();
        let files = [stored("a.parquet"), stored("b.parquet")];
        for file in &files {
            std::fs::write(staging.files().join(&file.path), "rows").unwrap();
        }
        place(staging.path(), &staging.files(), table.path(), &files).unwrap();
        assert!(table.path().join("a.parquet").exists() && !staging.files().join("a.parquet").exists());
        std::fs::write(log.join(format!("{:020}.json", 0)), "{\"add\":{\"path\":\"a.parquet\"}}\n").unwrap();
        sweep(table.path());
        assert!(table.path().join("b.parquet").exists());
        // As after a kill: the folder is there and nobody holds its lock.
        let path = staging.path().to_path_buf();
        let Staging { _lock, .. } = &staging;
        _lock.unlock().unwrap();
        sweep(table.path());
        assert!(table.path().join("a.parquet").exists() && !table.path().join("b.parquet").exists() && !path.exists());
        let missing = place(table.path(), table.path(), &log, &[stored("c.parquet")]).unwrap_err();
        assert!(missing.message().contains("c.parquet"), "{missing}");
    }
}
