//! Version checksums: the files `N.crc` of the commit log.
//!
//! Deals with: writing one with each commit, and holding the log against them when it is read. Does not deal with: data files
//! (`store::checksums`).
//!
//! The format has a place for what a version amounts to (files, their bytes, metadata, protocol), and other programs read it; to
//! that are added, under a name of ours, the CRC32 of the log entry, that of the checkpoint of the version (where this program made
//! one), the version, and the CRC32 of the checksum file itself. So each byte that a version is read from is compared: its checkpoint, the entries
//! after that. A commit of another writer has no such checksum, or one without ours, and is read as ever.
//!
//! The checksum file comes after its entry. Whoever is stopped between the two leaves an entry without one; a checksum without its
//! entry is a loss.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use deltalake_core::kernel::{Metadata, Protocol};
use serde::Deserialize;

use super::{LOG_FOLDER, versions};
use crate::error::{Error, Result};
use crate::files::checksums::whole;
use crate::store::layout::sync_folder;

/// Before the file's own checksum, which comes last.
const OWN: &str = ",\"self\":\"";

/// How many bytes of what CRC32.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub(super) struct Sum {
    pub bytes: u64,
    pub crc: u32,
}

impl Sum {
    pub fn of(bytes: &[u8]) -> Self {
        Self { bytes: bytes.len() as u64, crc: crc32fast::hash(bytes) }
    }

    fn json(self) -> String {
        format!("{{\"bytes\":{},\"crc\":{}}}", self.bytes, self.crc)
    }
}

/// What a version amounts to.
#[derive(Debug, Clone)]
pub(super) struct VersionSum {
    pub files: i64,
    pub bytes: i64,
    pub metadata: Metadata,
    pub protocol: Protocol,
    pub entry: Sum,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Read {
    table_size_bytes: i64,
    num_files: i64,
    #[serde(default)]
    tenure: Option<Ours>,
}

#[derive(Debug, Clone, Copy, Deserialize)]
struct Ours {
    /// The version that it is of; not in those of before.
    #[serde(default)]
    version: Option<u64>,
    entry: Sum,
    #[serde(default)]
    checkpoint: Option<Sum>,
}

fn path(folder: &Path, version: u64) -> PathBuf {
    folder.join(LOG_FOLDER).join(format!("{version:020}.crc"))
}

fn checkpoint_path(folder: &Path, version: u64) -> PathBuf {
    folder.join(LOG_FOLDER).join(format!("{version:020}.checkpoint.parquet"))
}

impl VersionSum {
    /// Writes the file of a version, durably; one that is there is replaced. With `checkpointed` the version's checkpoint counts.
    pub fn write(&self, folder: &Path, version: u64, checkpointed: bool) -> Result<()> {
        let json = |what, value: serde_json::Result<String>| {
            value.map_err(|e| Error::internal(format!("cannot describe the {what}: {e}")))
        };
        let checkpoint = match checkpointed {
            true => {
                let path = checkpoint_path(folder, version);
                let bytes = std::fs::read(&path).map_err(|e| Error::io("read", &path, &e))?;
                format!(",\"checkpoint\":{}", Sum::of(&bytes).json())
            }
            false => String::new(),
        };
        let text = format!(
            "{{\"tableSizeBytes\":{},\"numFiles\":{},\"numMetadata\":1,\"numProtocol\":1,\"metadata\":{},\"protocol\":{},\
             \"tenure\":{{\"version\":{version},\"entry\":{}{checkpoint}",
            self.bytes,
            self.files,
            json("metadata", serde_json::to_string(&self.metadata))?,
            json("protocol", serde_json::to_string(&self.protocol))?,
            self.entry.json(),
        );
        let text = format!("{text}{OWN}{:08x}\"}}}}\n", crc32fast::hash(text.as_bytes()));
        let (log, path) = (folder.join(LOG_FOLDER), path(folder, version));
        // Whole or not at all, also after a power cut: half a checksum would condemn a log that is right.
        let failed = |e: std::io::Error| Error::io("write", &path, &e);
        let mut aside = tempfile::Builder::new().prefix(".crc-").tempfile_in(&log).map_err(failed)?;
        aside.write_all(text.as_bytes()).map_err(failed)?;
        aside.as_file().sync_all().map_err(failed)?;
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let like = std::fs::metadata(versions::entry(folder, version)).map_err(failed)?;
            let mode = std::fs::Permissions::from_mode(like.permissions().mode());
            aside.as_file().set_permissions(mode).map_err(failed)?;
        }
        aside.persist(&path).map_err(|e| failed(e.error))?;
        sync_folder(&log)
    }
}

/// The checksum file of a version; `None` where there is none.
fn read(folder: &Path, version: u64) -> Result<Option<Read>> {
    let path = path(folder, version);
    let text = match std::fs::read(&path) {
        Ok(text) => text,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(Error::io("read", &path, &e)),
    };
    let damaged = |why: &str| {
        Error::data(format!("log checksum '{}' is damaged: {why}", path.display()))
            .hint("where the log entry of that version is right, remove the checksum: the version is read without")
    };
    let text = String::from_utf8_lossy(&text);
    let parsed: Result<Read, _> = serde_json::from_str(&text);
    let parsed = match text.rfind(OWN).map(|at| (&text[..at], &text[at + OWN.len()..])) {
        Some((before, after)) if after == format!("{:08x}\"}}}}\n", crc32fast::hash(before.as_bytes())) => {
            parsed.map(Some).map_err(|e| damaged(&e.to_string()))
        }
        // Another program's, which says what it likes in a form of its own.
        None if !text.contains("\"tenure\"") => Ok(parsed.ok()),
        _ => Err(damaged("it does not match its own checksum")),
    }?;
    let told = parsed.as_ref().and_then(|read| read.tenure?.version).filter(|told| *told != version);
    match told {
        Some(told) => Err(damaged(&format!("it is of version {told}"))),
        None => Ok(parsed),
    }
}

/// Compares an entry that was read with its checksum; where it has none, with what it says of itself.
pub(super) fn compare_entry(folder: &Path, version: u64, bytes: &[u8]) -> Result<()> {
    let Some(Read { tenure: Some(ours), .. }) = read(folder, version)? else {
        return versions::whole(folder, version, bytes);
    };
    if ours.entry == Sum::of(bytes) {
        return Ok(());
    }
    let path = versions::entry(folder, version);
    Err(Error::data(format!("log entry '{}' is damaged: it does not match its checksum", path.display()))
        .hint("take the entry from a backup; tenure doctor DIR --verify lists everything that is damaged"))
}

/// Compares the checkpoint of a version with its checksum, where this program made both; of another's is only known that it can be
/// decoded.
fn compare_checkpoint(folder: &Path, version: u64) -> Result<()> {
    let path = checkpoint_path(folder, version);
    let bytes = match std::fs::read(&path) {
        Ok(bytes) => bytes,
        // It has another name, or was cleared away.
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(e) => return Err(Error::io("read", &path, &e)),
    };
    let hint = "where all entries of the log are there, remove the checkpoint and '_last_checkpoint': it is made anew";
    let damaged = |why: &str| Error::data(format!("checkpoint '{}' is damaged: {why}", path.display())).hint(hint);
    let sum = match read(folder, version)? {
        Some(Read { tenure: Some(Ours { checkpoint: Some(sum), .. }), .. }) => Some(sum),
        _ => None,
    };
    // Another program may have made the checkpoint anew, which then has another size; damage mostly leaves the size.
    match sum.filter(|sum| sum.bytes == bytes.len() as u64) {
        Some(sum) if Sum::of(&bytes) == sum => Ok(()),
        Some(_) => Err(damaged("it does not match its checksum")),
        None => match whole::damage(&path, None).is_empty() {
            true => Ok(()),
            false => Err(damaged("it is not a whole Parquet file")),
        },
    }
}

/// What a log folder holds, by version.
#[derive(Debug, Default)]
pub(super) struct Listed {
    pub entries: Vec<u64>,
    pub checkpoints: Vec<u64>,
    pub checksums: Vec<u64>,
}

/// Lists a log folder.
pub(super) fn listed(folder: &Path) -> Result<Listed> {
    let log = folder.join(LOG_FOLDER);
    let mut listed = Listed::default();
    for found in std::fs::read_dir(&log).map_err(|e| Error::io("list", &log, &e))? {
        let name = found.map_err(|e| Error::io("list", &log, &e))?.file_name();
        let Some((digits, rest)) = name.to_str().and_then(|name| name.split_once('.')) else { continue };
        let Some(version) = Some(digits).filter(|d| d.len() == 20).and_then(|d| d.parse().ok()) else { continue };
        match rest {
            "json" => listed.entries.push(version),
            "crc" => listed.checksums.push(version),
            _ if rest.starts_with("checkpoint.") => listed.checkpoints.push(version),
            _ => {}
        }
    }
    for versions in [&mut listed.entries, &mut listed.checkpoints, &mut listed.checksums] {
        versions.sort_unstable();
        versions.dedup();
    }
    Ok(listed)
}

/// Holds what a version is read from against its checksums: the last checkpoint before it, unless `known` (a version that was
/// compared before) is newer, and the entries from there on; with `newest` that nothing tells of a later version than there is.
pub(super) fn compare(folder: &Path, version: u64, known: Option<u64>, newest: bool) -> Result<()> {
    let listed = listed(folder)?;
    let last = listed.entries.last().copied().unwrap_or(0);
    if newest {
        complete(folder, &listed, last)?;
    }
    let checkpoint = listed.checkpoints.iter().copied().rfind(|checkpoint| *checkpoint <= version);
    let first = match (checkpoint, known) {
        (_, Some(known)) if checkpoint.is_none_or(|checkpoint| known >= checkpoint) => known + 1,
        (Some(checkpoint), _) => {
            compare_checkpoint(folder, checkpoint)?;
            checkpoint + 1
        }
        (None, _) => 0,
    };
    for entry in listed.entries.iter().filter(|entry| (first..=version).contains(*entry)) {
        let path = versions::entry(folder, *entry);
        match std::fs::read(&path) {
            Ok(bytes) => compare_entry(folder, *entry, &bytes)?,
            // Cleared away by another program, which made a checkpoint first.
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
            Err(e) => return Err(Error::io("read", &path, &e)),
        }
    }
    Ok(())
}

/// Whether the newest entry is there: a checksum, a checkpoint or the note of the last checkpoint may tell of a later one.
fn complete(folder: &Path, listed: &Listed, last: u64) -> Result<()> {
    let missing = |version: u64, told: String| {
        let entry = versions::entry(folder, version);
        // It may have come while the folder was listed.
        if entry.exists() {
            return Ok(());
        }
        Err(Error::data(format!("log entry '{}' is missing: {told} is there", entry.display()))
            .hint("without it the table would silently be an older one; take the entry from a backup"))
    };
    if let Some(later) = listed.checksums.last().filter(|later| **later > last) {
        return missing(*later, "its checksum".to_string());
    }
    if let Some(later) = listed.checkpoints.last().filter(|later| **later > last) {
        return missing(*later, "a checkpoint of it".to_string());
    }
    let note = folder.join(LOG_FOLDER).join("_last_checkpoint");
    let told = match std::fs::read(&note) {
        Ok(text) => {
            serde_json::from_slice::<serde_json::Value>(&text).ok().and_then(|note| note.get("version")?.as_u64())
        }
        Err(_) => None,
    };
    match told.filter(|told| *told > last) {
        Some(told) => missing(told, format!("a note of its checkpoint ('{}')", note.display())),
        None => Ok(()),
    }
}

/// What is wrong with the note of the last checkpoint, which only saves readers a look at the folder.
fn wrong_note(folder: &Path, listed: &Listed) -> Option<Error> {
    let note = folder.join(LOG_FOLDER).join("_last_checkpoint");
    let text = std::fs::read(&note).ok()?;
    let told = serde_json::from_slice::<serde_json::Value>(&text).ok().and_then(|note| note.get("version")?.as_u64());
    let why = match told {
        Some(version) if listed.checkpoints.binary_search(&version).is_ok() => return None,
        Some(version) => format!("tells of a checkpoint of version {version}, which is not there"),
        None => "names no version".to_string(),
    };
    Some(Error::data(format!("'{}' {why}; where all entries are there, remove it: it is made anew", note.display())))
}

/// Compares what was read of a version with what its checksum file, whoever wrote it, says it amounts to.
pub(super) fn compare_totals(folder: &Path, version: u64, files: u64, bytes: u64) -> Result<()> {
    let Some(read) = read(folder, version)? else { return Ok(()) };
    let told = (u64::try_from(read.num_files), u64::try_from(read.table_size_bytes));
    if told == (Ok(files), Ok(bytes)) {
        return Ok(());
    }
    Err(Error::data(format!(
        "the log of '{}' is damaged: version {version} has {files} files of {bytes} bytes, its checksum '{}' tells of {} of {}",
        folder.display(),
        path(folder, version).display(),
        read.num_files,
        read.table_size_bytes
    )))
}

/// Every entry, checkpoint and checksum of a log that does not hold, oldest first.
pub(super) fn damage(folder: &Path) -> Vec<Error> {
    let listed = match listed(folder) {
        Ok(listed) => listed,
        Err(error) => return vec![error],
    };
    let mut found = Vec::new();
    let complete = complete(folder, &listed, listed.entries.last().copied().unwrap_or(0));
    let note = wrong_note(folder, &listed).filter(|_| complete.is_ok());
    found.extend(complete.err());
    for version in &listed.entries {
        found.extend(versions::readable(folder, *version).err());
    }
    for version in &listed.checksums {
        let of_entry = listed.entries.binary_search(version).is_ok();
        // An entry's damaged checksum was told with the entry.
        found.extend(read(folder, *version).err().filter(|_| !of_entry));
    }
    for version in &listed.checkpoints {
        found.extend(compare_checkpoint(folder, *version).err().filter(|_| read(folder, *version).is_ok()));
    }
    found.extend(note);
    found
}

/// Makes a checkpoint and the note of it durable.
pub(super) fn sync_checkpoint(folder: &Path, version: u64) -> Result<()> {
    let log = folder.join(LOG_FOLDER);
    for path in [checkpoint_path(folder, version), log.join("_last_checkpoint")] {
        let synced = File::open(&path).and_then(|file| file.sync_all());
        synced.map_err(|e| Error::io("write", &path, &e))?;
    }
    sync_folder(&log)
}

/// The checksum of a version that is there, to be written with its checkpoint; `None` where ours is not there.
pub(super) fn existing(
    folder: &Path,
    version: u64,
    metadata: Metadata,
    protocol: Protocol,
) -> Result<Option<VersionSum>> {
    let Some(Read { tenure: Some(ours), num_files, table_size_bytes }) = read(folder, version)? else {
        return Ok(None);
    };
    Ok(Some(VersionSum { files: num_files, bytes: table_size_bytes, metadata, protocol, entry: ours.entry }))
}
