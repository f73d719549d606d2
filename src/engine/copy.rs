//! `COPY ... TO`: the file appears whole or not at all.
//!
//! DataFusion writes to a neighbour of the target, which is renamed when the last byte is on disk and removed where
//! anything failed or the query was stopped. Parquet gets its checksums before that.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use datafusion::logical_expr::LogicalPlan;
use datafusion::logical_expr::dml::CopyTo;
use parquet::errors::ParquetError;

use crate::error::{Error, Result};
use crate::files::checksums::seal::Seal;

/// A target being written.
pub struct Pending {
    /// A folder of our own, in which what is written gets the target's name.
    folder: tempfile::TempDir,
    temporary: PathBuf,
    target: PathBuf,
    parquet: bool,
}

/// Redirects a COPY to a temporary neighbour; plans that are no COPY to a local path come back as they are.
pub fn redirect(plan: LogicalPlan) -> Result<(LogicalPlan, Option<Pending>)> {
    let LogicalPlan::Copy(copy) = plan else { return Ok((plan, None)) };
    if copy.output_url.contains("://") {
        return Ok((LogicalPlan::Copy(copy), None));
    }
    let folder = copy.output_url.ends_with('/') || !copy.partition_by.is_empty();
    let target = PathBuf::from(copy.output_url.trim_end_matches('/'));
    let parent = match target.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_path_buf(),
        _ => PathBuf::from("."),
    };
    if !parent.is_dir() {
        return Err(Error::data(format!("COPY: folder '{}' does not exist", parent.display())));
    }
    let Some(name) = target.file_name().and_then(|n| n.to_str()).map(str::to_string) else {
        return Err(Error::user(format!("COPY: '{}' is not a file name", copy.output_url)));
    };
    if folder && target.exists() {
        return Err(Error::data(format!("COPY: folder '{}' exists already; remove it first", target.display())));
    }
    if !folder && target.is_dir() {
        return Err(Error::data(format!(
            "COPY: '{}' is a folder; end it with / to write several files",
            target.display()
        )));
    }
    let target = match std::fs::symlink_metadata(&target) {
        // A rename would replace the link, not what it points to.
        Ok(found) if found.is_symlink() => target.canonicalize().map_err(|e| Error::io("write", &target, &e))?,
        Ok(found) if !found.is_file() && !found.is_dir() => {
            return Err(Error::user(format!("COPY: '{}' is a device or pipe, not a file", target.display()))
                .hint("the command line's -o writes to those"));
        }
        _ => target,
    };
    let parent = target.parent().filter(|p| !p.as_os_str().is_empty()).map_or(parent, Path::to_path_buf);
    // A new folder for us alone, so that nobody can have put a link there; hidden, so that a reader of the folder never takes it
    // for data.
    let own = tempfile::Builder::new().prefix(&format!(".{name}.")).suffix(".part").tempdir_in(&parent);
    // Its own name means nothing to a reader.
    let own = own.map_err(|e| Error::io("write", &target, &e.kind().into()))?;
    let temporary = own.path().join(&name);
    let mut url = temporary.to_string_lossy().into_owned();
    if folder {
        url.push('/');
    }
    let parquet = copy.file_type.get_ext() == "parquet";
    let pending = Pending { folder: own, temporary, target, parquet };
    Ok((LogicalPlan::Copy(CopyTo { output_url: url, input: Arc::clone(&copy.input), ..copy }), Some(pending)))
}

impl Pending {
    /// What becomes of the file when the query has ended: it appears where that went well.
    pub async fn end(self, written: Result<()>) -> Result<()> {
        match written {
            Ok(()) => self.commit().await,
            Err(error) => Err(self.explain(error)),
        }
    }

    /// Puts the finished file in its place. Whoever stops waiting for it stops it.
    async fn commit(self) -> Result<()> {
        if !self.temporary.exists() {
            // A query without rows may write no file at all.
            return Err(Error::data(format!("COPY: nothing was written to '{}'", self.target.display())));
        }
        if self.parquet {
            let mut files = Vec::new();
            parquet_files(&self.temporary, &mut files).map_err(|e| Error::io("write", &self.target, &e))?;
            for file in files {
                seal(&file).await.map_err(|e| unsealed(&self.target, e))?;
            }
        }
        let failed = |e: std::io::Error| Error::io("write", &self.target, &e);
        sync(&self.temporary).map_err(failed)?;
        std::fs::rename(&self.temporary, &self.target).map_err(failed)?;
        self.folder.close().map_err(failed)
    }

    /// The error of a failed write, with the target's name.
    fn explain(&self, error: Error) -> Error {
        let message = error.message().replace(&*self.temporary.to_string_lossy(), &self.target.to_string_lossy());
        match error.kind() {
            crate::error::Kind::Resources if !message.contains(&*self.target.to_string_lossy()) => {
                Error::resources(format!("cannot write '{}': {message}", self.target.display()))
            }
            crate::error::Kind::Resources => Error::resources(message),
            _ if message.contains("No space left on device") => {
                Error::resources(format!("COPY: cannot write '{}': no space left on device", self.target.display()))
            }
            _ if message.contains("File too large") => {
                Error::resources(format!("COPY: cannot write '{}': file too large", self.target.display()))
            }
            // The writer folds the cause away; what is left of the file goes with `self`.
            _ if message.contains("finalizing writes") => Error::resources(format!(
                "COPY: cannot finish '{}': the write failed, as on a full disk; nothing is left behind",
                self.target.display()
            )),
            _ => error,
        }
    }
}

/// A file, or the files of a folder.
fn parquet_files(path: &Path, found: &mut Vec<PathBuf>) -> std::io::Result<()> {
    if path.is_dir() {
        return std::fs::read_dir(path)?.try_for_each(|entry| parquet_files(&entry?.path(), found));
    }
    found.push(path.to_path_buf());
    Ok(())
}

/// Gives the pages of a file their checksums.
async fn seal(path: &Path) -> Result<(), ParquetError> {
    let mut sealed = path.to_path_buf().into_os_string();
    sealed.push(".sealed");
    let from = std::fs::File::open(path)?;
    let to = std::fs::File::create_new(&sealed)?;
    let Some(mut seal) = Seal::new(from, to)? else { return Ok(std::fs::remove_file(&sealed)?) };
    while seal.step()? {
        // A statement that is stopped ends here.
        tokio::task::yield_now().await;
    }
    seal.finish()?;
    Ok(std::fs::rename(&sealed, path)?)
}

/// The error of a copy with checksums, which for want of room may be the disk's.
fn unsealed(target: &Path, error: ParquetError) -> Error {
    match error {
        ParquetError::External(cause) => match cause.downcast::<std::io::Error>() {
            Ok(cause) => Error::io("write", target, &cause),
            Err(cause) => Error::data(format!("cannot write '{}': {cause}", target.display())),
        },
        error => Error::data(format!("cannot write '{}': {error}", target.display())),
    }
}

/// Makes a file, or all files of a folder, durable.
fn sync(path: &Path) -> std::io::Result<()> {
    if path.is_dir() {
        for entry in std::fs::read_dir(path)? {
            sync(&entry?.path())?;
        }
    }
    if path.is_file() || cfg!(unix) { std::fs::File::open(path)?.sync_all() } else { Ok(()) }
}
