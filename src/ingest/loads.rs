//! Which files were ingested into a table before.
//!
//! Deals with: the record of each load, and whether it came to be. Does not deal with: loads that are not finished (`journal`).
//!
//! `TABLE/_loads/<load>-<attempt>.json` is written before the commit and names the sources. It counts once the commit log has a
//! transaction of the load with that number: so a load is known exactly when its rows are visible.

use std::collections::{BTreeSet, HashMap};
use std::io::Write;
use std::path::Path;

use serde::{Deserialize, Serialize};
use twox_hash::XxHash64;

use crate::error::{Error, Result};
use crate::files::source::{Identity, Source};
use crate::store::layout::sync_folder;
use crate::store::managed::log::TableLog;

/// Folder of the records, below the table's.
pub const FOLDER: &str = "_loads";

/// What was loaded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Load {
    /// What the commit log calls it.
    pub load: String,
    /// How often these sources were loaded, this time included.
    pub attempt: i64,
    /// The sources.
    pub sources: Vec<Identity>,
    /// Rows read.
    pub rows: u64,
    /// Rows put aside.
    pub rejected: u64,
}

/// 128 bits of texts, as hexadecimal digits.
pub fn fingerprint<'a>(texts: impl IntoIterator<Item = &'a str>) -> String {
    let mut bytes = Vec::new();
    for text in texts {
        // Lengths keep ("a", "bc") and ("ab", "c") apart.
        bytes.extend_from_slice(&(text.len() as u64).to_le_bytes());
        bytes.extend_from_slice(text.as_bytes());
    }
    format!("{:016x}{:016x}", XxHash64::oneshot(1, &bytes), XxHash64::oneshot(2, &bytes))
}

/// What the commit log calls a load of these sources, as they are now. Standard input is new each time.
pub fn name(sources: &[Source]) -> String {
    if sources.iter().any(|source| source.file.is_none()) {
        return format!("tenure-ingest-{}", uuid::Uuid::new_v4().simple());
    }
    let mut told: Vec<String> = identities(sources)
        .into_iter()
        .map(|identity| format!("{}\n{}\n{}", identity.path, identity.size, identity.modified))
        .collect();
    told.sort();
    format!("tenure-ingest-{}", fingerprint(told.iter().map(String::as_str)))
}

/// What tells the sources that are files.
pub fn identities(sources: &[Source]) -> Vec<Identity> {
    sources.iter().filter_map(|source| source.file.as_ref().map(|(_, identity)| identity.clone())).collect()
}

/// The files whose rows are in the table.
pub async fn loaded(table: &Path, log: &TableLog) -> Result<BTreeSet<Identity>> {
    let folder = table.join(FOLDER);
    let entries = match std::fs::read_dir(&folder) {
        Ok(entries) => entries,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(BTreeSet::new()),
        Err(e) => return Err(Error::io("list", &folder, &e)),
    };
    let mut loaded = BTreeSet::new();
    let mut committed: HashMap<String, i64> = HashMap::new();
    for entry in entries {
        let path = entry.map_err(|e| Error::io("list", &folder, &e))?.path();
        if path.extension().is_none_or(|e| e != "json") {
            continue;
        }
        let text = std::fs::read(&path).map_err(|e| Error::io("read", &path, &e))?;
        let load: Load =
            serde_json::from_slice(&text).map_err(|e| Error::data(format!("'{}' is damaged: {e}", path.display())))?;
        let number = match committed.get(&load.load) {
            Some(number) => *number,
            None => {
                let number = log.transaction_version(&load.load).await?.unwrap_or(0);
                committed.insert(load.load.clone(), number);
                number
            }
        };
        if number >= load.attempt {
            loaded.extend(load.sources);
        }
    }
    Ok(loaded)
}

/// Refuses sources that were loaded with other content.
pub fn check_unchanged<'a>(sources: impl Iterator<Item = &'a Source>, loaded: &BTreeSet<Identity>) -> Result<()> {
    for source in sources {
        let Some((_, identity)) = &source.file else { continue };
        if let Some(then) = loaded.iter().find(|then| then.path == identity.path) {
            return Err(Error::data(format!(
                "'{}' was loaded into this table before with other content ({} bytes then, {} now)",
                source.name,
                then.size,
                source.size()
            ))
            .hint("put new rows into a file of their own; --again loads all of it once more, and a --dedup-key drops what repeats"));
        }
    }
    Ok(())
}

impl Load {
    /// Writes the record durably.
    pub fn write(&self, table: &Path) -> Result<()> {
        let folder = table.join(FOLDER);
        std::fs::create_dir_all(&folder).map_err(|e| Error::io("create", &folder, &e))?;
        let path = folder.join(format!("{}-{}.json", self.load, self.attempt));
        let text = serde_json::to_vec(self).map_err(|e| Error::internal(format!("a load as JSON: {e}")))?;
        // Another ingest of the same sources may be writing the same record: each has a file of its own until it is whole.
        let failed = |e: std::io::Error| Error::io("write", &path, &e);
        let mut aside = tempfile::Builder::new().prefix(".load-").tempfile_in(&folder).map_err(failed)?;
        aside.write_all(&text).map_err(failed)?;
        aside.as_file().sync_all().map_err(failed)?;
        aside.persist(&path).map_err(|e| failed(e.error))?;
        sync_folder(&folder)
    }
}
