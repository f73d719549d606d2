//! The versions of a table: which there are, when they were committed and by what.
//!
//! Deals with: the entries of the commit log as files, a line of each. Does not deal with: what a version holds (`log`).
//!
//! A version's time is the one its writer recorded; the times of files change when a folder is copied. Clocks of several writers
//! may disagree: then a version counts as committed no earlier than the one before it.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use chrono::{DateTime, SecondsFormat};
use serde_json::Value;

use super::{LOG_FOLDER, checksum};
use crate::error::{Error, Result};

/// One commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Commit {
    /// The version it made.
    pub version: u64,
    /// When, in microseconds since 1970.
    pub time: i64,
    /// What was done: `ingest`, `compact`, `erase`, or the word of another writer in lower case.
    pub operation: String,
    /// Files added.
    pub added: u64,
    /// Files taken out.
    pub removed: u64,
    /// Rows in the files added, where their statistics tell.
    pub rows_added: Option<u64>,
    /// Rows in the files taken out, where the commit tells.
    pub rows_removed: Option<u64>,
}

/// What tells one entry from another of the same name.
pub(super) type Signature = (u64, Option<SystemTime>);

pub(super) fn entry(folder: &Path, version: u64) -> PathBuf {
    folder.join(LOG_FOLDER).join(format!("{version:020}.json"))
}

pub(super) fn signature(folder: &Path, version: u64) -> Option<Signature> {
    let metadata = std::fs::metadata(entry(folder, version)).ok()?;
    Some((metadata.len(), metadata.modified().ok()))
}

/// The versions that have an entry, in order.
fn list(folder: &Path) -> Result<Vec<u64>> {
    let log = folder.join(LOG_FOLDER);
    let mut versions = Vec::new();
    for found in std::fs::read_dir(&log).map_err(|e| Error::io("list", &log, &e))? {
        let name = found.map_err(|e| Error::io("list", &log, &e))?.file_name();
        let digits = name.to_str().and_then(|n| n.strip_suffix(".json")).filter(|d| d.len() == 20);
        versions.extend(digits.and_then(|d| d.parse::<u64>().ok()));
    }
    versions.sort_unstable();
    Ok(versions)
}

/// The newest version; `None` where the log has no entry.
pub fn newest(folder: &Path) -> Result<Option<u64>> {
    Ok(list(folder)?.last().copied())
}

/// Every commit that the log still has, oldest first.
pub fn history(folder: &Path) -> Result<Vec<Commit>> {
    let mut commits: Vec<Commit> = Vec::new();
    for version in list(folder)? {
        let mut commit = read(folder, version)?;
        commit.time = commit.time.max(commits.last().map_or(i64::MIN, |before| before.time));
        commits.push(commit);
    }
    Ok(commits)
}

/// The last version that was committed at or before a moment.
pub(super) fn at(folder: &Path, micros: i64) -> Result<u64> {
    let mut found = None;
    let mut first = None;
    let mut time = i64::MIN;
    for version in list(folder)? {
        time = time.max(committed(folder, version)?);
        first.get_or_insert((version, time));
        if time <= micros {
            found = Some(version);
        }
    }
    match (found, first) {
        (Some(version), _) => Ok(version),
        (None, Some((version, time))) => Err(Error::data(format!(
            "'{}' has no version as old as {}; the first, version {version}, is of {}",
            folder.display(),
            shown(micros),
            shown(time)
        ))),
        (None, None) => Err(Error::data(format!("'{}' has no version", folder.display()))),
    }
}

/// A moment as messages show it.
pub fn shown(micros: i64) -> String {
    match DateTime::from_timestamp_micros(micros) {
        Some(time) => time.to_rfc3339_opts(SecondsFormat::AutoSi, true),
        None => format!("{micros} microseconds since 1970"),
    }
}

/// The time of a commit; its entry begins with it.
fn committed(folder: &Path, version: u64) -> Result<i64> {
    let mut time = None;
    lines(folder, version, |action| {
        time = action.get("commitInfo").and_then(commit_time);
        time.is_none()
    })?;
    time.map_or_else(|| file_time(folder, version), Ok)
}

fn commit_time(info: &Value) -> Option<i64> {
    let millis = info.get("inCommitTimestamp").or_else(|| info.get("timestamp"))?.as_i64()?;
    Some(millis.saturating_mul(1000))
}

/// For a writer that records no time.
fn file_time(folder: &Path, version: u64) -> Result<i64> {
    let path = entry(folder, version);
    let modified = std::fs::metadata(&path).and_then(|m| m.modified()).map_err(|e| Error::io("read", &path, &e))?;
    let micros = modified.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_micros();
    Ok(i64::try_from(micros).unwrap_or(i64::MAX))
}

fn read(folder: &Path, version: u64) -> Result<Commit> {
    let mut commit = Commit {
        version,
        time: i64::MIN,
        operation: String::new(),
        added: 0,
        removed: 0,
        rows_added: Some(0),
        rows_removed: None,
    };
    let mut time = None;
    lines(folder, version, |action| {
        if let Some(info) = action.get("commitInfo") {
            time = commit_time(info);
            let ours = info.get("tenureOperation").and_then(Value::as_str);
            let theirs = || info.get("operation").and_then(Value::as_str).unwrap_or_default().to_lowercase();
            commit.operation = ours.map_or_else(theirs, str::to_string);
            commit.rows_removed = info.get("tenureRowsRemoved").and_then(Value::as_u64);
        } else if let Some(add) = action.get("add") {
            commit.added += 1;
            let statistics = add.get("stats").and_then(Value::as_str);
            let rows = statistics.and_then(|s| serde_json::from_str::<Value>(s).ok()?.get("numRecords")?.as_u64());
            commit.rows_added = commit.rows_added.zip(rows).map(|(sum, rows)| sum.saturating_add(rows));
        } else if action.get("remove").is_some() {
            commit.removed += 1;
        }
        true
    })?;
    if commit.removed == 0 {
        commit.rows_removed = Some(0);
    }
    commit.time = time.map_or_else(|| file_time(folder, version), Ok)?;
    Ok(commit)
}

/// Calls `each` for the actions of an entry until it says `false`.
fn lines(folder: &Path, version: u64, mut each: impl FnMut(&Value) -> bool) -> Result<()> {
    let path = entry(folder, version);
    let text = std::fs::read(&path).map_err(|e| Error::io("read", &path, &e))?;
    checksum::compare_entry(folder, version, &text)?;
    for (at, line) in text.split(|byte| *byte == b'\n').enumerate() {
        let damaged =
            |why: String| Error::data(format!("log entry '{}' is damaged: line {}: {why}", path.display(), at + 1));
        if line.trim_ascii().is_empty() {
            continue;
        }
        let action: Value = serde_json::from_slice(line).map_err(|e| damaged(e.to_string()))?;
        if !action.is_object() {
            return Err(damaged("it is no JSON object".into()));
        }
        if !each(&action) {
            break;
        }
    }
    Ok(())
}

/// Whether an entry that has no checksum (yet) is all there: it is not empty, and one of ours has as many files as it says. A power cut may
/// leave a part of the newest one.
pub(super) fn whole(folder: &Path, version: u64, bytes: &[u8]) -> Result<()> {
    let cut = |what: String| {
        let path = entry(folder, version);
        Err(Error::data(format!("log entry '{}' is damaged: {what}", path.display()))
            .hint("take the entry from a backup; where it is the newest, and was never confirmed, remove it: the table is as it was before"))
    };
    if bytes.trim_ascii().is_empty() {
        return cut("it is empty".to_string());
    }
    let (mut told, mut files) = (None, [0_u64; 2]);
    for line in bytes.split(|byte| *byte == b'\n').filter(|line| !line.trim_ascii().is_empty()) {
        // What cannot be read is told by whoever reads it.
        let Ok(action) = serde_json::from_slice::<Value>(line) else { return Ok(()) };
        let metrics = action.get("commitInfo").filter(|info| info.get("tenureOperation").is_some());
        let metrics = metrics.and_then(|info| info.get("operationMetrics"));
        let number = |name: &str| metrics?.get(name)?.as_str()?.parse::<u64>().ok();
        told = told.or_else(|| Some([number("numFiles")?, number("numRemovedFiles")?]));
        files[0] += u64::from(action.get("add").is_some());
        files[1] += u64::from(action.get("remove").is_some());
    }
    match told.filter(|told| *told != files) {
        Some([added, removed]) => cut(format!(
            "it has {} files that came in and {} that went, and says {added} and {removed}",
            files[0], files[1]
        )),
        None => Ok(()),
    }
}

/// Whether an entry can be read and matches its checksum.
pub(super) fn readable(folder: &Path, version: u64) -> Result<()> {
    lines(folder, version, |_| true)
}

/// Whether a commit changed rows: added or took out others than it moved. One whose entry was cleared away may have.
pub(super) fn changed_data(folder: &Path, version: u64) -> Result<bool> {
    if !entry(folder, version).exists() {
        return Ok(true);
    }
    let mut changed = false;
    lines(folder, version, |action| {
        let part = action.get("add").or_else(|| action.get("remove"));
        changed |= part.is_some_and(|p| p.get("dataChange").and_then(Value::as_bool) != Some(false));
        !changed
    })?;
    Ok(changed)
}

/// The first damaged or missing entry of the log.
pub(super) fn damage(folder: &Path) -> Option<Error> {
    let versions = match list(folder) {
        Ok(versions) => versions,
        Err(error) => return Some(error),
    };
    if versions.is_empty() {
        return Some(Error::data(format!("the log of '{}' has no entry", folder.display())));
    }
    if let Some(gap) = versions.windows(2).find(|w| w[1] != w[0] + 1) {
        let missing = entry(folder, gap[0] + 1);
        return Some(Error::data(format!("log entry '{}' is missing: later ones are there", missing.display())));
    }
    checksum::damage(folder).into_iter().next()
}

/// The error of a version that was never made.
pub(super) fn unknown(folder: &Path, version: u64) -> Error {
    Error::data(format!("'{}' has no version {version}; {}", folder.display(), there_is(folder)))
}

/// The error of a version whose entries are gone.
pub(super) fn unreadable(folder: &Path, version: u64, why: &str) -> Error {
    let first = list(folder).ok().and_then(|v| v.first().copied()).unwrap_or(0);
    match version < first {
        true => Error::data(format!(
            "version {version} of '{}' is no longer in its log; {}",
            folder.display(),
            there_is(folder)
        )),
        false => Error::data(format!("cannot read version {version} of '{}': {why}", folder.display())),
    }
}

fn there_is(folder: &Path) -> String {
    match list(folder).unwrap_or_default().as_slice() {
        [] => "there is none".to_string(),
        [only] => format!("there is version {only} alone"),
        [first, .., last] => format!("there are versions {first} to {last}"),
    }
}

/// The oldest version whose files are all still there; of interest once one is found that is not.
pub async fn oldest_whole(folder: &Path) -> Option<u64> {
    let versions = list(folder).ok()?;
    // Files are removed of old versions first, so that those which are whole come last.
    let (mut low, mut high) = (0, versions.len());
    while low < high {
        let middle = (low + high) / 2;
        let opened = super::log::TableLog::open(folder, super::log::At::Version(versions[middle])).await;
        let whole = opened.is_ok_and(|log| log.files().iter().all(|f| folder.join(&f.path).exists()));
        if whole {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    versions.get(low).copied()
}

/// Every file that an entry of the log adds or takes out; none where there is no log.
pub(in crate::store) fn named(folder: &Path) -> Result<std::collections::HashSet<String>> {
    let mut names = std::collections::HashSet::new();
    if !folder.join(LOG_FOLDER).is_dir() {
        return Ok(names);
    }
    for version in list(folder)? {
        lines(folder, version, |action| {
            let path = action.get("add").or_else(|| action.get("remove")).and_then(|part| part.get("path")?.as_str());
            names.extend(path.map(percent_decoded));
            true
        })?;
    }
    Ok(names)
}

/// The newest commit that erased rows of users, and the files that it took out.
pub(super) fn last_erasure(folder: &Path) -> Result<Option<(u64, Vec<String>)>> {
    for version in list(folder)?.into_iter().rev() {
        let (mut erasure, mut files) = (false, Vec::new());
        lines(folder, version, |action| {
            if let Some(info) = action.get("commitInfo") {
                erasure |= info.get("tenureOperation").and_then(Value::as_str) == Some("erase");
            }
            let removed = action.get("remove").and_then(|remove| remove.get("path")).and_then(Value::as_str);
            files.extend(removed.map(percent_decoded));
            true
        })?;
        if erasure {
            return Ok(Some((version, files)));
        }
    }
    Ok(None)
}

/// The files that commits took out, with the moment of the last time (milliseconds since 1970).
pub(super) fn taken_out(folder: &Path) -> Result<std::collections::HashMap<String, i64>> {
    let mut files = std::collections::HashMap::new();
    for version in list(folder)? {
        lines(folder, version, |action| {
            let Some(remove) = action.get("remove") else { return true };
            if let Some(path) = remove.get("path").and_then(Value::as_str) {
                let moment = remove.get("deletionTimestamp").and_then(Value::as_i64).unwrap_or(i64::MAX);
                let path = percent_decoded(path);
                files.entry(path).and_modify(|last: &mut i64| *last = moment.max(*last)).or_insert(moment);
            }
            true
        })?;
    }
    Ok(files)
}

/// Paths stand in the log as in a URL.
pub(in crate::store) fn percent_decoded(path: &str) -> String {
    let bytes = path.as_bytes();
    let mut plain = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let code =
            path.get(at + 1..at + 3).filter(|_| bytes[at] == b'%').and_then(|hex| u8::from_str_radix(hex, 16).ok());
        match code {
            Some(byte) => {
                plain.push(byte);
                at += 3;
            }
            None => {
                plain.push(bytes[at]);
                at += 1;
            }
        }
    }
    String::from_utf8(plain).unwrap_or_else(|_| path.to_string())
}
