//! Which files a table's rows came from.
//!
//! Deals with: the record of each load, and whether it came to be; sources that are called after an erased user. Does not deal with:
//! loads that are not finished (`ingest::journal`).
//!
//! `TABLE/_loads/<load>-<attempt>.json` is written before the commit and names the sources. It counts once the commit log has a
//! transaction of the load with that number: so a load is known exactly when its rows are visible.

use std::collections::{BTreeSet, HashMap};
use std::io::Write;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use twox_hash::XxHash64;

use super::aside::mentions;
use super::layout::sync_folder;
use super::managed::log::TableLog;
use super::user_id::UserId;
use crate::error::{Error, Result};
use crate::files::source::{Identity, Source};

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

/// Files whose rows are in a table.
#[derive(Debug, Clone, Default)]
pub struct Loaded(BTreeSet<Identity>);

impl Loaded {
    /// Whether a file, as it is, was loaded.
    pub fn contains(&self, file: &Identity) -> bool {
        self.0.contains(file) || self.0.contains(&Identity { path: veiled(&file.path), ..file.clone() })
    }

    /// What was loaded under the name of a file.
    pub fn called(&self, file: &Identity) -> Option<&Identity> {
        let veiled = veiled(&file.path);
        self.0.iter().find(|then| then.path == file.path || then.path == veiled)
    }
}

/// Stands before the fingerprint of a name that was erased.
const VEIL: &str = "erased-name:";

/// What tells a source from others without its name.
fn veiled(path: &str) -> String {
    format!("{VEIL}{}", fingerprint([path]))
}

/// Takes the names of sources that are called after one of these users out of the records, and says how many there were. Their
/// fingerprints stay, so that the same file is still known. With `dry_run` only counts them.
pub fn forget(table: &Path, users: &[UserId], dry_run: bool) -> Result<u64> {
    let mut named = 0;
    for path in records(table)? {
        let mut load = read(&path)?;
        let theirs = |source: &&mut Identity| {
            !source.path.starts_with(VEIL) && users.iter().any(|user| mentions(&source.path, user))
        };
        let mut here = 0;
        for source in load.sources.iter_mut().filter(theirs) {
            source.path = veiled(&source.path);
            here += 1;
        }
        if here > 0 && !dry_run {
            load.write(table)?;
        }
        named += here;
    }
    Ok(named)
}

/// The paths of all records.
fn records(table: &Path) -> Result<Vec<PathBuf>> {
    let folder = table.join(FOLDER);
    let failed = |e: std::io::Error| Error::io("list", &folder, &e);
    let entries = match std::fs::read_dir(&folder) {
        Ok(entries) => entries,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(failed(e)),
    };
    let paths: std::io::Result<Vec<PathBuf>> = entries.map(|entry| entry.map(|entry| entry.path())).collect();
    let mut paths = paths.map_err(failed)?;
    paths.retain(|path| path.extension().is_some_and(|e| e == "json"));
    paths.sort();
    Ok(paths)
}

fn read(path: &Path) -> Result<Load> {
    let text = std::fs::read(path).map_err(|e| Error::io("read", path, &e))?;
    serde_json::from_slice(&text).map_err(|e| Error::data(format!("'{}' is damaged: {e}", path.display())))
}

/// The files whose rows are in the table.
pub async fn loaded(table: &Path, log: &TableLog) -> Result<Loaded> {
    let mut loaded = BTreeSet::new();
    let mut committed: HashMap<String, i64> = HashMap::new();
    for path in records(table)? {
        let load = read(&path)?;
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
    Ok(Loaded(loaded))
}

/// Records that cannot be read, by their paths below the table's folder, with the reason: without them a file could come in twice.
pub fn damaged(table: &Path) -> Vec<(String, String)> {
    let records = records(table).unwrap_or_default();
    let why = |path: PathBuf| {
        let error = read(&path).err()?;
        Some((format!("{FOLDER}/{}", path.file_name()?.to_string_lossy()), error.message().to_string()))
    };
    records.into_iter().filter_map(why).collect()
}

/// Refuses sources that were loaded with other content.
pub fn check_unchanged<'a>(sources: impl Iterator<Item = &'a Source>, loaded: &Loaded) -> Result<()> {
    for source in sources {
        let Some((_, identity)) = &source.file else { continue };
        if let Some(then) = loaded.called(identity) {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_sources_are_forgotten_and_the_sources_are_not() {
        let table = tempfile::tempdir().unwrap();
        let identity = |path: &str| Identity { path: path.into(), size: 5, modified: 7 };
        let sources = vec![identity("/in/user=u7/a.csv"), identity("/in/u77.csv")];
        let load = Load { load: "l".into(), attempt: 1, sources: sources.clone(), rows: 3, rejected: 0 };
        load.write(table.path()).unwrap();
        let users = [UserId::Text("u7".into())];
        assert_eq!((forget(table.path(), &users, true).unwrap(), forget(table.path(), &users, false).unwrap()), (1, 1));
        assert_eq!(forget(table.path(), &users, false).unwrap(), 0);
        let kept = read(&records(table.path()).unwrap()[0]).unwrap();
        assert!(kept.sources[0].path.starts_with(VEIL) && kept.sources[1] == sources[1] && kept.rows == 3);
        let loaded = Loaded(kept.sources.into_iter().collect());
        assert!(sources.iter().all(|source| loaded.contains(source)) && !loaded.contains(&identity("/in/b.csv")));
        let longer = Identity { size: 6, ..sources[0].clone() };
        assert!(!loaded.contains(&longer) && loaded.called(&longer).is_some_and(|then| then.size == 5));
        assert_eq!(damaged(table.path()), []);
        std::fs::write(table.path().join(FOLDER).join("m-1.json"), "{").unwrap();
        assert_eq!(damaged(table.path())[0].0, "_loads/m-1.json");
        assert!(forget(table.path(), &users, true).unwrap_err().message().contains("m-1.json' is damaged"));
    }
}
