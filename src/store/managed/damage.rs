//! What is damaged in a managed table.
//!
//! Deals with: the whole log, and the files of the newest version, on request to their last byte. Does not deal with: mending.

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;

use super::checksum;
use super::log::{At, TableLog};
use crate::error::{Error, Result};
use crate::files::checksums::whole;

/// Something that is not as it was written.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Found {
    /// The file, relative to the table's folder; empty where the message names it.
    pub file: String,
    /// The column, where it is known.
    pub column: Option<String>,
    /// What it is, in words.
    pub what: String,
}

/// What an examination found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Examined {
    /// The newest version; `None` where the log cannot be read.
    pub version: Option<u64>,
    /// Its files.
    pub files: usize,
    /// Their rows.
    pub rows: u64,
    /// Their bytes.
    pub bytes: u64,
    /// How many of them were written without checksums: what is wrong with their values stays unseen.
    pub unchecked: usize,
    /// The damage, by file.
    pub damage: Vec<Found>,
}

/// Looks at every entry, checkpoint and checksum of the log, and whether the files of the newest version are there; with `verify`
/// reads these to the last byte, on all cores. `progress` is told files done and in all.
pub async fn examine(
    folder: &Path,
    verify: bool,
    progress: &(dyn Fn(usize, usize) -> Result<()> + Sync),
) -> Result<Examined> {
    let told = |error: Error| Found { file: String::new(), column: None, what: error.message().to_string() };
    let mut examined =
        Examined { damage: checksum::damage(folder).into_iter().map(told).collect(), ..Examined::default() };
    let log = match TableLog::open(folder, At::Latest).await {
        Ok(log) => log,
        Err(error) => {
            let known = examined.damage.iter().any(|found| found.what == error.message());
            examined.damage.extend((!known).then(|| told(error)));
            return Ok(examined);
        }
    };
    let files = log.files();
    examined.version = Some(log.version());
    examined.files = files.len();
    examined.rows = files.iter().map(|f| f.rows).sum();
    examined.bytes = files.iter().map(|f| f.size).sum();
    examined.unchecked = files.iter().filter(|f| f.checksum.is_none()).count();
    let (next, done) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let (found, failed) = (Mutex::new(Vec::new()), Mutex::new(None));
    let one = || {
        while failed.lock().is_none() {
            let Some(file) = files.get(next.fetch_add(1, Ordering::Relaxed)) else { return };
            let path = folder.join(&file.path);
            let note = |column, what| found.lock().push(Found { file: file.path.clone(), column, what });
            match std::fs::metadata(&path) {
                Err(error) => note(None, error.to_string()),
                Ok(on_disk) if on_disk.len() != file.size => {
                    note(None, format!("it has {} bytes, the log says {}", on_disk.len(), file.size));
                }
                Ok(_) if verify => {
                    whole::damage(&path, file.checksum).into_iter().for_each(|damage| note(damage.column, damage.what));
                }
                Ok(_) => {}
            }
            if let Err(error) = progress(done.fetch_add(1, Ordering::Relaxed) + 1, files.len()) {
                failed.lock().get_or_insert(error);
            }
        }
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(files.len().max(1));
    std::thread::scope(|scope| (0..threads).for_each(|_| _ = scope.spawn(one)));
    if let Some(error) = failed.into_inner() {
        return Err(error);
    }
    let mut found = found.into_inner();
    found.sort();
    examined.damage.extend(found);
    Ok(examined)
}
