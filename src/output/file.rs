//! Files that are there whole or not at all, and the memory of what went wrong while writing.
//!
//! Deals with: a temporary file beside the target, its permissions, fsync and rename; the first input/output error of a
//! writer, which the format writers fold into texts. Does not deal with: formats.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use tempfile::{Builder, NamedTempFile};

use crate::error::{Error, Result};

/// A file being written. Dropped without [`NewFile::commit`], it leaves nothing behind and an older file as it was.
#[derive(Debug)]
pub struct NewFile {
    /// The path as the user typed it.
    path: PathBuf,
    place: Place,
}

#[derive(Debug)]
enum Place {
    /// Beside the target, which a rename replaces.
    Beside { temporary: NamedTempFile, target: PathBuf },
    /// A pipe or device: written as it comes.
    Direct(File),
}

impl NewFile {
    /// Starts to write `path`. Its folder must be there; an older file keeps its permissions, a link keeps pointing where it
    /// does, and what is not a regular file (a pipe, `/dev/stdout`) is written directly.
    pub fn create(path: &Path) -> Result<Self> {
        let failed = |e: io::Error| Error::io("write", path, &e);
        let older = match std::fs::metadata(path) {
            Ok(older) => Some(older),
            Err(e) if e.kind() == io::ErrorKind::NotFound => None,
            Err(e) => return Err(failed(e)),
        };
        if older.as_ref().is_some_and(|m| m.is_dir()) {
            return Err(Error::data(format!("cannot write '{}': it is a folder", path.display())));
        }
        let place = match &older {
            Some(older) if !older.is_file() => {
                Place::Direct(OpenOptions::new().write(true).open(path).map_err(failed)?)
            }
            _ => {
                let target = match older {
                    Some(_) => path.canonicalize().map_err(failed)?,
                    None => path.to_path_buf(),
                };
                let folder = target.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
                if !folder.is_dir() {
                    let (path, folder) = (path.display(), folder.display());
                    return Err(Error::data(format!("cannot write '{path}': there is no folder '{folder}'")));
                }
                let mut builder = Builder::new();
                let prefix = format!(".{}.", target.file_name().unwrap_or_default().to_string_lossy());
                builder.prefix(&prefix).suffix(".part");
                let permissions = older.as_ref().map(std::fs::Metadata::permissions);
                #[cfg(unix)]
                let permissions = {
                    use std::os::unix::fs::PermissionsExt;
                    // What `File::create` asks for; the umask takes its share, as it does there.
                    permissions.or_else(|| Some(std::fs::Permissions::from_mode(0o666)))
                };
                if let Some(permissions) = permissions.clone() {
                    builder.permissions(permissions);
                }
                let temporary = builder.tempfile_in(folder).map_err(|e| failed(bare(&e)))?;
                if let (Some(_), Some(permissions)) = (&older, permissions) {
                    temporary.as_file().set_permissions(permissions).map_err(failed)?;
                }
                Place::Beside { temporary, target }
            }
        };
        Ok(Self { path: path.to_path_buf(), place })
    }

    /// The path as it was given.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A handle to write with. Several may follow each other; each goes on where the last one ended.
    pub fn writer(&self) -> Result<File> {
        let file = match &self.place {
            Place::Beside { temporary, .. } => temporary.as_file(),
            Place::Direct(file) => file,
        };
        file.try_clone().map_err(|e| Error::io("write", &self.path, &e))
    }

    /// Makes the file appear: its bytes are on the disk before its name is.
    pub fn commit(self) -> Result<()> {
        let Self { path, place } = self;
        let failed = |e: io::Error| Error::io("write", &path, &e);
        match place {
            Place::Beside { temporary, target } => {
                temporary.as_file().sync_all().map_err(failed)?;
                temporary.persist(&target).map_err(|e| failed(e.error))?;
                Ok(())
            }
            Place::Direct(mut file) => file.flush().map_err(failed),
        }
    }
}

/// The error without the temporary file's name, which means nothing to a reader.
fn bare(error: &io::Error) -> io::Error {
    error.kind().into()
}

/// The first input/output error that a [`Watched`] writer met.
#[derive(Debug, Clone, Default)]
pub struct Faults(Arc<Mutex<Option<io::Error>>>);

impl Faults {
    /// Takes the error out.
    pub fn take(&self) -> Option<io::Error> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn note(&self, error: &io::Error) {
        let copy = match error.raw_os_error() {
            Some(code) => io::Error::from_raw_os_error(code),
            None => io::Error::new(error.kind(), error.to_string()),
        };
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(copy);
    }
}

/// A writer that remembers its first error, because the format writers turn errors into texts.
#[derive(Debug)]
pub struct Watched<W> {
    inner: W,
    faults: Faults,
}

impl<W: Write> Watched<W> {
    /// Watches `inner`.
    pub fn new(inner: W, faults: &Faults) -> Self {
        Self { inner, faults: faults.clone() }
    }
}

impl<W: Write> Write for Watched<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.inner.write(bytes).inspect_err(|e| {
            if e.kind() != io::ErrorKind::Interrupted {
                self.faults.note(e);
            }
        })
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush().inspect_err(|e| self.faults.note(e))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<String> =
            std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn a_file_appears_on_commit_only() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.csv");
        std::fs::write(&path, "old").unwrap();
        let new = NewFile::create(&path).unwrap();
        new.writer().unwrap().write_all(b"ne").unwrap();
        new.writer().unwrap().write_all(b"w").unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "old");
        new.commit().unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "new");
        drop(NewFile::create(&path).unwrap());
        assert_eq!(names(folder.path()), ["x.csv"]);
    }

    #[cfg(unix)]
    #[test]
    fn permissions_and_links_stay() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x");
        std::fs::write(&path, "old").unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o604)).unwrap();
        let link = folder.path().join("link");
        std::os::unix::fs::symlink(&path, &link).unwrap();
        let new = NewFile::create(&link).unwrap();
        new.writer().unwrap().write_all(b"new").unwrap();
        new.commit().unwrap();
        assert!(std::fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "new");
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o604);
    }

    #[test]
    fn a_missing_folder_and_a_folder_are_clear_errors() {
        let folder = tempfile::tempdir().unwrap();
        let error = NewFile::create(&folder.path().join("none/x.csv")).unwrap_err();
        let folder_name = folder.path().display();
        assert_eq!(
            error.message(),
            format!("cannot write '{folder_name}/none/x.csv': there is no folder '{folder_name}/none'")
        );
        assert!(NewFile::create(folder.path()).unwrap_err().message().ends_with("it is a folder"));
    }
}
