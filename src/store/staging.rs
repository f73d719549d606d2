//! Folders for what a long work puts aside, below the table that it works on.
//!
//! Deals with: making one, removing it at the end, and removing those whose owner was killed. Does not deal with: what lies in them.
//!
//! A name begins with `_`, so that readers of the table and `vacuum` pass over it. Its owner holds a lock on a file in it, which
//! the system takes away when the process ends in whatever way: a folder whose lock can be had belongs to nobody.

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::error::{Error, Result};

const LOCK: &str = "lock";

/// A folder without a lock may just be being made; after this time it is not.
const MAKING: Duration = Duration::from_secs(600);

/// A folder that is removed in the end.
#[derive(Debug)]
pub struct Staging {
    path: PathBuf,
    _lock: File,
}

impl Staging {
    /// Makes a folder below `table`, and removes those of the same `purpose` that were left by a kill.
    pub fn make(table: &Path, purpose: &str) -> Result<Self> {
        remove_left(table, purpose);
        let path = table.join(format!("_{purpose}-{}", uuid::Uuid::new_v4()));
        std::fs::create_dir(&path).map_err(|e| Error::io("create", &path, &e))?;
        let lock = path.join(LOCK);
        let lock = File::create_new(&lock).and_then(|file| file.lock().map(|()| file));
        match lock {
            Ok(lock) => Ok(Self { path, _lock: lock }),
            Err(error) => {
                let _ = std::fs::remove_dir_all(&path);
                Err(Error::io("create", &path, &error))
            }
        }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A place in it for a part of the work, made by whoever needs it.
    pub fn part(&self) -> Part {
        Part(self.path.join(uuid::Uuid::new_v4().to_string()))
    }
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
        // What cannot be removed is found by the next one of the same purpose.
        let _ = std::fs::remove_dir_all(&self.path);
    }
}

fn remove_left(table: &Path, purpose: &str) {
    let prefix = format!("_{purpose}-");
    for entry in std::fs::read_dir(table).into_iter().flatten().flatten() {
        let ours = entry.file_name().to_str().is_some_and(|name| name.starts_with(&prefix));
        if ours && is_left(&entry.path()) {
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
}

fn is_left(folder: &Path) -> bool {
    match File::open(folder.join(LOCK)) {
        Ok(lock) => match lock.try_lock() {
            Ok(()) => true,
            Err(TryLockError::WouldBlock | TryLockError::Error(_)) => false,
        },
        Err(_) => {
            let made = std::fs::metadata(folder).and_then(|m| m.modified());
            made.is_ok_and(|made| made.elapsed().is_ok_and(|age| age > MAKING))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_of_the_living_stay_and_those_of_the_dead_go() {
        let table = tempfile::tempdir().unwrap();
        let living = Staging::make(table.path(), "compact").unwrap();
        let dead = table.path().join("_compact-dead");
        std::fs::create_dir(&dead).unwrap();
        std::fs::write(dead.join(LOCK), "").unwrap();
        std::fs::write(dead.join("run"), "rows").unwrap();
        let new = table.path().join("_compact-new");
        std::fs::create_dir(&new).unwrap();
        let other = table.path().join("_erase-dead");
        std::fs::create_dir(&other).unwrap();
        std::fs::write(other.join(LOCK), "").unwrap();
        let second = Staging::make(table.path(), "compact").unwrap();
        assert!(living.path().is_dir() && second.path().is_dir() && new.is_dir() && other.is_dir() && !dead.exists());
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
}
