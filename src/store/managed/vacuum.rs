//! Removing data files that no longer are needed.
//!
//! Deals with: which files go and which stay. Does not deal with: taking rows out of the newest version (`commit`).
//!
//! A file of the newest version stays. A file that a commit took out goes once that is long enough ago; until then old versions can
//! be read. A file that the log does not name was left behind by a writer that was stopped, or belongs to one that runs and has yet
//! to commit: it goes by its own age, and never before [`UNCOMMITTED`]. Whatever is hidden, or is no Parquet file, is not ours:
//! what ingests put aside is theirs to tell about.
//!
//! The log itself keeps every entry, for the history, until rows of users were erased: see [`vacuum`].

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::log::{At, TableLog};
use super::{LOG_FOLDER, is_managed, versions};
use crate::error::{Error, Result};
use crate::store::layout::sync_folder;
use crate::store::staging;

/// How long a writer may take from its first file to its commit.
pub const UNCOMMITTED: Duration = Duration::from_secs(24 * 60 * 60);

/// How long old versions can be read, where nothing else is said.
pub const KEEP: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// How long an entry of the log may take to be written.
const WRITING: Duration = Duration::from_secs(600);

/// What a vacuum found.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Vacuumed {
    /// Files that went (or would go), relative to the table's folder, with their bytes.
    pub files: Vec<(String, u64)>,
    /// Files of the log that went (or would go), since an erasure left them no use, with their bytes.
    pub log: Vec<(String, u64)>,
    /// Files that old versions still need.
    pub kept: usize,
}

impl Vacuumed {
    /// Bytes of all files that went.
    pub fn bytes(&self) -> u64 {
        self.files.iter().map(|(_, bytes)| bytes).sum()
    }
}

/// Removes the files that only versions need that were superseded before `keep` ago; with `dry_run`, only tells which.
pub async fn vacuum(folder: &Path, keep: Duration, dry_run: bool) -> Result<Vacuumed> {
    if !dry_run {
        staging::sweep(folder);
    }
    let log = TableLog::open(folder, At::Latest).await?;
    let live: HashSet<&str> = log.files().iter().map(|f| f.path.as_str()).collect();
    let taken_out: HashMap<String, i64> = versions::taken_out(folder)?;
    let now = SystemTime::now();
    let since_1970 = |age: Duration| {
        let moment = now.checked_sub(age).and_then(|t| t.duration_since(SystemTime::UNIX_EPOCH).ok());
        i64::try_from(moment.unwrap_or_default().as_millis()).unwrap_or(i64::MAX)
    };
    let mut found = Vec::new();
    data_files(folder, &mut found)?;
    let mut done = Vacuumed::default();
    for path in found {
        let Some(name) = path.strip_prefix(folder).ok().and_then(Path::to_str) else { continue };
        if live.contains(name) {
            continue;
        }
        let metadata = match std::fs::metadata(&path) {
            Ok(metadata) => metadata,
            // Another vacuum was faster.
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => continue,
            Err(e) => return Err(Error::io("look at", &path, &e)),
        };
        let old = match taken_out.get(name) {
            Some(millis) => *millis <= since_1970(keep),
            None => {
                let age = metadata.modified().ok().and_then(|modified| now.duration_since(modified).ok());
                age.is_some_and(|age| age >= keep.max(UNCOMMITTED))
            }
        };
        if !old {
            done.kept += 1;
            continue;
        }
        if !dry_run {
            match std::fs::remove_file(&path) {
                Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(Error::io("remove", &path, &e)),
                _ => {}
            }
        }
        done.files.push((name.to_string(), metadata.len()));
    }
    done.log = forget(folder, &done.files, dry_run).await?;
    Ok(done)
}

/// Removes the entries, checkpoints and checksums from before the last erasure, once no version before it can be read: what
/// they tell of the files that are gone (the smallest and largest value of each column) may name who was erased. The
/// erasure's own version is summed up in a checkpoint first. With `dry_run` only tells which would go; `gone` are data files
/// that went.
async fn forget(folder: &Path, gone: &[(String, u64)], dry_run: bool) -> Result<Vec<(String, u64)>> {
    let Some((version, removed)) = versions::last_erasure(folder)? else { return Ok(Vec::new()) };
    let going: HashSet<&str> = gone.iter().map(|(name, _)| name.as_str()).collect();
    let stays = |path: &String| !(dry_run && going.contains(path.as_str())) && folder.join(path).exists();
    if removed.iter().any(stays) {
        return Ok(Vec::new());
    }
    let old = older(folder, version)?;
    if old.is_empty() || dry_run {
        return Ok(old);
    }
    TableLog::open(folder, At::Version(version)).await?.checkpoint().await?;
    // The oldest first: whoever is stopped midway leaves no gap.
    for (name, _) in &old {
        let path = folder.join(name);
        match std::fs::remove_file(&path) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(Error::io("remove", &path, &e)),
            _ => {}
        }
    }
    sync_folder(&folder.join(LOG_FOLDER))?;
    Ok(old)
}

/// Files of the log that belong to versions before this one, and what writers that were killed left there, by name.
fn older(folder: &Path, version: u64) -> Result<Vec<(String, u64)>> {
    let log = folder.join(LOG_FOLDER);
    let fail = |e: std::io::Error| Error::io("list", &log, &e);
    let mut found = Vec::new();
    for entry in std::fs::read_dir(&log).map_err(fail)? {
        let entry = entry.map_err(fail)?;
        let Ok(name) = entry.file_name().into_string() else { continue };
        let Ok(metadata) = entry.metadata() else { continue };
        let of =
            name.split_once('.').filter(|(digits, _)| digits.len() == 20).and_then(|(digits, _)| digits.parse().ok());
        // An entry that is being written has a name of its own until it is whole.
        let unfinished = name.contains('#') || name.starts_with("_commit_") || name.starts_with(".crc-");
        let dead = || metadata.modified().ok().and_then(|at| at.elapsed().ok()).is_some_and(|age| age > WRITING);
        if metadata.is_file() && (of.is_some_and(|of: u64| of < version) || (unfinished && dead())) {
            found.push((format!("{LOG_FOLDER}/{name}"), metadata.len()));
        }
    }
    found.sort();
    Ok(found)
}

/// Parquet files below a folder, also half-written ones, in the order of their names.
fn data_files(folder: &Path, found: &mut Vec<PathBuf>) -> Result<()> {
    let fail = |e: std::io::Error| Error::io("list", folder, &e);
    let mut entries = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(fail)? {
        let entry = entry.map_err(fail)?;
        entries.push((entry.path(), entry.file_type().map_err(fail)?));
    }
    entries.sort_by(|a, b| a.0.cmp(&b.0));
    for (path, kind) in entries {
        let name = path.file_name().and_then(|n| n.to_str()).unwrap_or_default();
        // A managed table below this one has a log of its own, which alone knows its files.
        if kind.is_dir() && !name.starts_with(['.', '_']) && !is_managed(&path) {
            data_files(&path, found)?;
        } else if kind.is_file() && name.contains(".parquet") {
            found.push(path);
        }
    }
    Ok(())
}
