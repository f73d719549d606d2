//! The files of one run, which appear together at its end or not at all.
//!
//! They are written into a hidden folder beside their places, and put into their places by renaming once all of them are whole and on
//! the disk. Where one cannot be put there, those that were are taken back. Other files of the folder stay as they are.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use tempfile::{Builder, TempDir};

use crate::error::{Error, Result};

/// Files being written. Dropped without [`Staging::commit`], it leaves nothing behind and older files as they were.
#[derive(Debug)]
pub struct Staging {
    folder: PathBuf,
    hidden: TempDir,
    names: Vec<String>,
}

impl Staging {
    /// Begins to write into `folder`, which is made where it is missing.
    pub fn create(folder: &Path, stem: &str) -> Result<Self> {
        let failed = |e: io::Error| Error::io("write into the folder", folder, &io::Error::from(e.kind()));
        std::fs::create_dir_all(folder).map_err(failed)?;
        let hidden = Builder::new().prefix(&format!(".{stem}.")).suffix(".part").tempdir_in(folder).map_err(failed)?;
        Ok(Self { folder: folder.to_path_buf(), hidden, names: Vec::new() })
    }

    /// The folder that goes away.
    pub fn hidden(&self) -> &Path {
        self.hidden.path()
    }

    /// Opens a file that will have this name.
    pub fn open(&mut self, name: &str) -> Result<File> {
        let target = self.folder.join(name);
        if target.is_dir() {
            return Err(Error::data(format!("cannot write '{}': it is a folder", target.display())));
        }
        let file = File::create(self.hidden.path().join(name)).map_err(|e| Error::io("write", &target, &e))?;
        self.names.push(name.to_string());
        Ok(file)
    }

    /// Puts the files into their places, the last one opened last, and gives their paths.
    pub fn commit(self) -> Result<Vec<PathBuf>> {
        for name in &self.names {
            let whole = File::open(self.hidden.path().join(name)).and_then(|file| file.sync_all());
            whole.map_err(|e| Error::io("write", &self.folder.join(name), &e))?;
        }
        let older = self.hidden.path().join("older");
        std::fs::create_dir(&older).map_err(|e| Error::io("write into the folder", &self.folder, &e))?;
        let mut placed: Vec<(PathBuf, Option<PathBuf>)> = Vec::new();
        for name in &self.names {
            let target = self.folder.join(name);
            let put = kept(&target, &older.join(name)).and_then(|kept| {
                std::fs::rename(self.hidden.path().join(name), &target)?;
                Ok(kept)
            });
            match put {
                Ok(kept) => placed.push((target, kept)),
                Err(e) => {
                    take_back(&placed);
                    return Err(Error::io("write", &target, &e));
                }
            }
        }
        // The names are on the disk, too, where the file system can say so.
        let _ = File::open(&self.folder).and_then(|folder| folder.sync_all());
        Ok(placed.into_iter().map(|(target, _)| target).collect())
    }
}

/// Keeps an older file under another name, so that it can be put back.
fn kept(target: &Path, aside: &Path) -> io::Result<Option<PathBuf>> {
    match std::fs::symlink_metadata(target) {
        Err(_) => return Ok(None),
        // Put aside it would go with what was put aside.
        Ok(there) if there.is_dir() => return Err(io::ErrorKind::IsADirectory.into()),
        Ok(_) => {}
    }
    // Where files can have two names, the target is there all the time.
    if std::fs::hard_link(target, aside).is_err() {
        std::fs::rename(target, aside)?;
    }
    Ok(Some(aside.to_path_buf()))
}

fn take_back(placed: &[(PathBuf, Option<PathBuf>)]) {
    for (target, older) in placed {
        // What cannot be put back is told by the error that led here.
        let _ = match older {
            Some(older) => std::fs::rename(older, target),
            None => std::fs::remove_file(target),
        };
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn read(folder: &Path, name: &str) -> Option<String> {
        std::fs::read_to_string(folder.join(name)).ok()
    }

    fn staged(folder: &Path, names: &[&str]) -> Staging {
        let mut staging = Staging::create(folder, "r").unwrap();
        names.iter().for_each(|name| staging.open(name).unwrap().write_all(b"new").unwrap());
        staging
    }

    #[test]
    fn files_appear_together_or_not_at_all() {
        let place = tempfile::tempdir().unwrap();
        let folder = place.path().join("a/b");
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("x"), "old").unwrap();
        std::fs::write(folder.join("other"), "old").unwrap();
        drop(staged(&folder, &["x", "y"]));
        assert_eq!((read(&folder, "x").as_deref(), read(&folder, "y")), (Some("old"), None));
        let paths = staged(&folder, &["x", "y"]).commit().unwrap();
        assert_eq!(paths, [folder.join("x"), folder.join("y")]);
        assert_eq!(read(&folder, "x").as_deref(), Some("new"));
        assert_eq!(read(&folder, "other").as_deref(), Some("old"));
        assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 3, "nothing hidden stays");
    }

    #[test]
    fn a_file_that_cannot_be_placed_takes_the_others_back() {
        let place = tempfile::tempdir().unwrap();
        std::fs::write(place.path().join("x"), "old").unwrap();
        let staging = staged(place.path(), &["x", "y", "z"]);
        // Somebody makes a folder of that name meanwhile.
        std::fs::create_dir_all(place.path().join("z/full")).unwrap();
        assert!(staging.commit().unwrap_err().message().contains("/z'"));
        assert_eq!((read(place.path(), "x").as_deref(), read(place.path(), "y")), (Some("old"), None));
    }

    #[test]
    fn a_folder_that_cannot_be_is_named() {
        let place = tempfile::tempdir().unwrap();
        std::fs::write(place.path().join("file"), "").unwrap();
        let error = Staging::create(&place.path().join("file/out"), "r").unwrap_err();
        assert!(error.message().contains("file/out'"), "{}", error.message());
    }
}
