//! Which files a location names: one file, what a folder holds, what a pattern matches.
//!
//! Deals with: names before patterns, `{a,b}`, `*` and `**`, `~`, hidden files, `key=value` folders, managed tables on the way, and
//! clear words where there is nothing to read. Does not deal with: how a file is written (`source`), or what is in it.
//!
//! - A name that is there is that file or folder, whatever characters it has: `export [1].csv` is a file before it is a pattern.
//! - In a pattern `?`, `*` and `[..]` stay within one folder, `**` crosses folders, `{a,b}` is either. A backslash is a character.
//! - Files and folders whose names begin with `.` or `_` are not data, unless they are named as they are. Neither is what lies in a
//!   managed table below the folder, which has files that are no longer part of it.
//! - `key=value` in the folders below the one that is named, or anywhere in a pattern, are columns of the files in them.

use std::path::{Component, Path, PathBuf};
use std::time::SystemTime;

use glob::{MatchOptions, Pattern};

use super::source::{self, ENDINGS};
use crate::error::{Error, Result};

/// The folder of a managed table's log.
pub const LOG_FOLDER: &str = "_delta_log";

/// The folder of ingests that are not committed, in that of their table.
pub const UNCOMMITTED: &str = "_ingest";

/// What Hive writes in a folder's name for NULL.
const HIVE_NULL: &str = "__HIVE_DEFAULT_PARTITION__";

/// A file of rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DataFile {
    /// Where it is.
    pub path: PathBuf,
    /// Bytes.
    pub size: u64,
    /// When it was written last.
    pub modified: SystemTime,
    /// `key=value` folders above it, the outermost first; `None` is NULL.
    pub partitions: Vec<(String, Option<String>)>,
}

/// Whether a name may be read as a location where no table is called so: it is there, or looks like a file or a pattern.
pub fn looks_like_one(name: &str) -> bool {
    name.contains(['/', '*'])
        || name.starts_with('~')
        || source::ending(Path::new(name)).is_some()
        || expanded(name).exists()
        || matches!(Path::new(name).extension().and_then(|e| e.to_str()), Some(e) if OTHER_KINDS.iter().any(|(k, _)| e.eq_ignore_ascii_case(k)))
}

/// Files that people try, and what they are.
pub const OTHER_KINDS: [(&str, &str); 9] = [
    ("xlsx", "an Excel workbook"),
    ("xls", "an Excel workbook"),
    ("zip", "a zip archive"),
    ("orc", "an ORC file"),
    ("avro", "an Avro file"),
    ("arrow", "an Arrow file"),
    ("feather", "an Arrow file"),
    ("db", "a database file"),
    ("duckdb", "a database file"),
];

/// The location with `~` replaced by the home folder, and `file://` taken away.
pub fn expanded(location: &str) -> PathBuf {
    if let Some(path) = location.strip_prefix("file://") {
        return url::Url::parse(location).ok().and_then(|url| url.to_file_path().ok()).unwrap_or_else(|| path.into());
    }
    let rest = location.strip_prefix('~').filter(|rest| rest.is_empty() || rest.starts_with('/'));
    // A file may be called so.
    match rest.filter(|_| !Path::new(location).exists()).zip(etcetera::home_dir().ok()) {
        Some((rest, home)) => home.join(rest.trim_start_matches('/')),
        None => location.into(),
    }
}

/// Refuses what is not on this machine.
fn local(location: &str) -> Result<()> {
    match location.split_once("://") {
        Some((scheme, _))
            if scheme != "file"
                && !scheme.is_empty()
                && scheme.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b))
                && !Path::new(location).exists() =>
        {
            Err(Error::user(format!(
                "'{location}': remote locations ({scheme}://) are not supported, only local files"
            ))
            .hint("download it first, or mount it, and name the local path"))
        }
        _ => Ok(()),
    }
}

/// The data files of a location, which is relative to `base`, in the order of their names.
pub fn find(location: &str, base: &Path) -> Result<Vec<DataFile>> {
    local(location)?;
    let whole = base.join(expanded(location));
    let text = text_of(&whole)?;
    match std::fs::metadata(&whole) {
        Ok(found) if found.is_dir() => {
            plain(&whole)?;
            return in_folder(&whole, location);
        }
        Ok(found) => return Ok(vec![file(&whole, &found, Vec::new())?]),
        Err(e) if !is_absent(&e) => return Err(Error::io("open", &whole, &e)),
        Err(_) => {}
    }
    if !text.contains(['*', '?', '[', '{']) {
        return Err(Error::data(format!("'{text}' does not exist")));
    }
    let mut files = Vec::new();
    for alternative in alternatives(&text) {
        let whole = Path::new(&alternative);
        match std::fs::metadata(whole) {
            Ok(found) if found.is_dir() => {
                plain(whole)?;
                files.extend(in_folder(whole, &alternative)?);
            }
            Ok(found) => files.push(file(whole, &found, Vec::new())?),
            Err(_) => files.extend(matching(&alternative)?),
        }
    }
    files.sort_by(|a, b| a.path.cmp(&b.path));
    files.dedup_by(|a, b| a.path == b.path);
    if files.is_empty() { Err(Error::data(format!("no file matches '{text}'"))) } else { Ok(files) }
}

/// Whether a folder is that of a managed table, or of one that is being made.
fn is_managed(folder: &Path) -> bool {
    folder.join(LOG_FOLDER).is_dir() || folder.join(UNCOMMITTED).is_dir()
}

/// Refuses the folder of a managed table, in which there are files that are no part of it: replaced, erased, not committed yet. Whoever
/// reads the table itself does not ask for a list of its files.
fn plain(folder: &Path) -> Result<()> {
    if folder.join(LOG_FOLDER).is_dir() {
        let entries = || std::fs::read_dir(folder.join(LOG_FOLDER)).into_iter().flatten().flatten().map(|e| e.path());
        let has = |ends: &str| entries().any(|path| path.extension().is_some_and(|e| e == ends));
        // A checksum of a later version, without the entries.
        let number = |path: PathBuf| path.file_stem()?.to_str()?.parse::<u64>().ok();
        let had_more = || entries().filter_map(number).any(|version| version > 0);
        let name = folder.display();
        return Err(if has("json") {
            Error::data(format!("'{name}' is a managed table, whose folder may hold rows that are no longer in it"))
                .hint(format!("read the table: FROM '{name}'"))
        } else if has("parquet") || had_more() {
            Error::data(format!("'{name}' is a managed table, and its log ('{LOG_FOLDER}') has no entry"))
                .hint("take the log from a backup; without it nobody knows which of the files are the table")
        } else {
            // A first load that is stopped in the moment of its commit leaves the same as somebody who clears the log.
            Error::data(format!("'{name}' is not a table: its first load has not been committed, or its log was lost"))
                .hint("run the first load again; where there have been rows before, take the log ('_delta_log') from a backup")
        });
    }
    if folder.join(UNCOMMITTED).is_dir() {
        let message = format!("'{}' is not a table yet: its first ingest has not been committed", folder.display());
        return Err(Error::data(message).hint("the same tenure ingest goes on where that was stopped"));
    }
    Ok(())
}

fn is_absent(error: &std::io::Error) -> bool {
    use std::io::ErrorKind as Kind;
    matches!(error.kind(), Kind::NotFound | Kind::NotADirectory | Kind::InvalidFilename)
}

fn file(path: &Path, found: &std::fs::Metadata, partitions: Vec<(String, Option<String>)>) -> Result<DataFile> {
    let modified = found.modified().map_err(|e| Error::io("open", path, &e))?;
    Ok(DataFile { path: path.to_path_buf(), size: found.len(), modified, partitions })
}

/// The data files below a folder.
fn in_folder(folder: &Path, named: &str) -> Result<Vec<DataFile>> {
    let mut below = Below::default();
    walk(folder, &mut below)?;
    let (mut files, mut other) = (Vec::new(), None);
    for (path, found) in below.files {
        match source::ending(&path) {
            // A folder's notes are no data, though a text that is named may be.
            Some((ending, _)) if ending != "txt" => {
                let partitions = partitions(path.strip_prefix(folder).unwrap_or(&path), true);
                files.push(file(&path, &found, partitions)?);
            }
            Some(_) | None => other = other.or(Some(path)),
        }
    }
    if !files.is_empty() {
        return Ok(files);
    }
    let endings: Vec<&str> = ENDINGS.iter().map(|(ending, _)| *ending).filter(|ending| *ending != "txt").collect();
    let endings = endings.join(", ");
    let none = format!("folder '{named}' holds no data file ({endings})");
    Err(match (below.tables.first(), other) {
        (Some(table), _) => {
            Error::data(format!("{none}; '{}' is a managed table", table.display())).hint("name that folder itself")
        }
        (None, Some(other)) => Error::data(none).hint(format!("it holds '{}': name that file itself", other.display())),
        (None, None) => Error::data(none),
    })
}

#[derive(Default)]
struct Below {
    files: Vec<(PathBuf, std::fs::Metadata)>,
    /// Managed tables, which are not looked into.
    tables: Vec<PathBuf>,
}

/// Files below a folder in the order of their names; hidden and `_` ones are not data.
fn walk(folder: &Path, below: &mut Below) -> Result<()> {
    for path in entries(folder)? {
        if is_hidden(&path) {
            continue;
        }
        // What a link points to may be gone; so may a file that was there a moment ago.
        let found = match std::fs::metadata(&path) {
            Ok(found) => found,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound && path.symlink_metadata().is_err() => continue,
            Err(e) => return Err(Error::io("open", &path, &e)),
        };
        match found.is_dir() {
            true if is_managed(&path) => below.tables.push(path),
            true => walk(&path, below)?,
            false => below.files.push((path, found)),
        }
    }
    Ok(())
}

fn entries(folder: &Path) -> Result<Vec<PathBuf>> {
    let read = std::fs::read_dir(folder).map_err(|e| Error::io("list", folder, &e))?;
    let entries: std::io::Result<Vec<PathBuf>> = read.map(|entry| entry.map(|entry| entry.path())).collect();
    let mut entries = entries.map_err(|e| Error::io("list", folder, &e))?;
    entries.sort();
    Ok(entries)
}

fn is_hidden(path: &Path) -> bool {
    path.file_name().is_none_or(|name| matches!(name.as_encoded_bytes().first(), Some(b'.' | b'_')))
}

/// The files that a pattern without alternatives matches.
fn matching(pattern: &str) -> Result<Vec<DataFile>> {
    let path = Path::new(pattern);
    let steps: Vec<&str> = path
        .components()
        .map(|step| match step {
            Component::RootDir => "/",
            step => step.as_os_str().to_str().unwrap_or_default(),
        })
        .collect();
    let mut found = Vec::new();
    descend(PathBuf::new(), &steps, pattern, &mut found)?;
    found
        .into_iter()
        .filter(|path| path.is_file())
        .map(|path| {
            let metadata = std::fs::metadata(&path).map_err(|e| Error::io("open", &path, &e))?;
            let partitions = partitions(&path, true);
            file(&path, &metadata, partitions)
        })
        .collect()
}

/// Goes on from a folder with the steps that are left.
fn descend(from: PathBuf, steps: &[&str], pattern: &str, found: &mut Vec<PathBuf>) -> Result<()> {
    let Some((step, rest)) = steps.split_first() else {
        found.push(from);
        return Ok(());
    };
    let here = if from.as_os_str().is_empty() { Path::new(".") } else { &from };
    if *step == "**" {
        plain(here)?;
        descend(from.clone(), rest, pattern, found)?;
        for entry in entries(here)?.into_iter().filter(|entry| !is_hidden(entry) && entry.is_dir()) {
            if !is_managed(&entry) {
                descend(named(&from, &entry), steps, pattern, found)?;
            }
        }
        return Ok(());
    }
    // Names first here, too.
    let as_it_is = from.join(step);
    if !step.contains(['*', '?', '[']) || as_it_is.exists() {
        if as_it_is.exists() {
            descend(as_it_is, rest, pattern, found)?;
        }
        return Ok(());
    }
    let matches = Pattern::new(step).map_err(|e| {
        Error::user(format!("'{pattern}' is neither a file nor a valid pattern: {} in '{step}'", e.msg))
    })?;
    if !here.is_dir() {
        return Ok(());
    }
    plain(here)?;
    let hidden = step.starts_with(['.', '_']);
    for entry in entries(here)?.into_iter().filter(|entry| hidden || !is_hidden(entry)) {
        let name = entry.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let options = MatchOptions { case_sensitive: true, ..MatchOptions::default() };
        if matches.matches_with(name, options) && (rest.is_empty() || entry.is_dir()) {
            descend(named(&from, &entry), rest, pattern, found)?;
        }
    }
    Ok(())
}

/// An entry below a folder as the pattern would write it: without a `./` that nobody wrote.
fn named(folder: &Path, entry: &Path) -> PathBuf {
    entry.file_name().map_or_else(|| entry.to_path_buf(), |name| folder.join(name))
}

/// The patterns that one with `{a,b}` stands for; braces without a comma or an end are characters.
fn alternatives(pattern: &str) -> Vec<String> {
    let mut open = Vec::new();
    for (at, byte) in pattern.bytes().enumerate() {
        match byte {
            b'{' => open.push(at),
            b'}' => {
                let Some(begin) = open.pop() else { continue };
                let inside = &pattern[begin + 1..at];
                // The innermost first: what it holds has no braces of its own with a meaning.
                if inside.contains(',') {
                    let (before, after) = (&pattern[..begin], &pattern[at + 1..]);
                    let each = inside.split(',').map(|one| format!("{before}{one}{after}"));
                    return each.flat_map(|one| alternatives(&one)).collect();
                }
            }
            _ => {}
        }
    }
    vec![pattern.to_string()]
}

/// The `key=value` folders of a path whose last part is a file.
fn partitions(path: &Path, hive: bool) -> Vec<(String, Option<String>)> {
    let mut found: Vec<(String, Option<String>)> = Vec::new();
    for step in path.parent().into_iter().flat_map(Path::components).filter(|_| hive) {
        let Some((key, value)) = step.as_os_str().to_str().and_then(|step| step.split_once('=')) else { continue };
        let plain = |text: &str| percent_encoding::percent_decode_str(text).decode_utf8_lossy().into_owned();
        let key = plain(key);
        if key.is_empty() || found.iter().any(|(known, _)| *known == key) {
            continue;
        }
        found.push((key, (value != HIVE_NULL).then(|| plain(value))));
    }
    found
}

fn text_of(path: &Path) -> Result<String> {
    path.to_str().map(str::to_string).ok_or_else(|| Error::user(format!("path '{}' is not UTF-8", path.display())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(names: &[&str]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for name in names {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "a\n1\n").unwrap();
        }
        folder
    }

    fn found(folder: &tempfile::TempDir, location: &str) -> Vec<String> {
        let base = folder.path();
        let files = find(location, base).unwrap();
        files.iter().map(|f| f.path.strip_prefix(base).unwrap().display().to_string()).collect()
    }

    #[test]
    fn names_come_before_patterns() {
        let folder = folder(&[
            "export [1].csv",
            "export 1.csv",
            "a?.csv",
            "ab.csv",
            "{x,y}.csv",
            "x.csv",
            "50%25.csv",
            "c:d.csv",
        ]);
        assert_eq!(found(&folder, "export [1].csv"), ["export [1].csv"]);
        assert_eq!(found(&folder, "export [12].csv"), ["export 1.csv"]);
        assert_eq!(found(&folder, "a?.csv"), ["a?.csv"]);
        assert_eq!(found(&folder, "?b.csv"), ["ab.csv"]);
        assert_eq!(found(&folder, "{x,y}.csv"), ["{x,y}.csv"]);
        assert_eq!(found(&folder, "{x,ab}.csv"), ["ab.csv", "x.csv"]);
        assert_eq!(found(&folder, "50%25.csv"), ["50%25.csv"]);
        assert_eq!(found(&folder, "c:d.csv"), ["c:d.csv"]);
    }

    #[test]
    fn a_star_stays_within_its_folder() {
        let folder = folder(&["a.csv", "d/b.csv", "d/e/c.csv", "d/_tmp/x.csv", "d/.h/x.csv", ".a.csv", "_a.csv"]);
        assert_eq!(found(&folder, "*.csv"), ["a.csv"]);
        assert_eq!(found(&folder, "*/*.csv"), ["d/b.csv"]);
        assert_eq!(found(&folder, "**/*.csv"), ["a.csv", "d/b.csv", "d/e/c.csv"]);
        assert_eq!(found(&folder, "d/**/c.csv"), ["d/e/c.csv"]);
        assert_eq!(found(&folder, "{a,d/b}.csv"), ["a.csv", "d/b.csv"]);
        assert_eq!(found(&folder, "{a,{d/b,d/e/c}}.csv"), ["a.csv", "d/b.csv", "d/e/c.csv"]);
        assert_eq!(found(&folder, "_a.csv"), ["_a.csv"]);
        assert_eq!(found(&folder, "d"), ["d/b.csv", "d/e/c.csv"]);
        assert!(find("z*.csv", folder.path()).unwrap_err().message().contains("no file matches"));
        assert!(find("[.csv", folder.path()).unwrap_err().message().contains("neither a file nor a valid pattern"));
    }

    #[test]
    fn half_made_tables_are_no_folders_of_files() {
        let folder =
            folder(&["new/_ingest/key/lock", "new/x.parquet", "lost/_delta_log/3.crc", "lost/x.parquet", "a.csv"]);
        assert_eq!(found(&folder, "."), ["a.csv"]);
        let message = |location| find(location, folder.path()).unwrap_err().message().to_string();
        for pattern in ["new", "new/*"] {
            assert!(message(pattern).contains("its first ingest has not been committed"), "{}", message(pattern));
        }
        for pattern in ["lost", "lost/*.parquet", "{lost,a.csv}"] {
            assert!(message(pattern).contains("lost' is a managed table, and its log"), "{}", message(pattern));
        }
    }

    #[test]
    fn a_managed_table_below_is_not_part_of_a_folder() {
        let folder =
            folder(&["d/a.CSV", "d/t/_delta_log/0.json", "d/t/x.parquet", "d/README.md", "only/t/_delta_log/0.json"]);
        assert_eq!(found(&folder, "d"), ["d/a.CSV"]);
        assert_eq!(found(&folder, "d/**/*.{CSV,parquet}"), ["d/a.CSV"]);
        // Its files are named one by one, or not at all.
        assert_eq!(found(&folder, "d/t/x.parquet"), ["d/t/x.parquet"]);
        for pattern in ["d/t", "d/t/*.parquet", "d/t/**/*.parquet", "d/*/*.parquet"] {
            let message = find(pattern, folder.path()).unwrap_err().message().to_string();
            assert!(message.contains("d/t' is a managed table, whose folder"), "{message}");
        }
        let error = find("only", folder.path()).unwrap_err();
        assert!(error.message().contains("holds no data file"), "{}", error.message());
    }

    #[test]
    fn key_value_folders_are_columns() {
        let folder =
            folder(&["d/country=New%20York/day=2024-05-01/p.csv", "d/country=__HIVE_DEFAULT_PARTITION__/day=/p.csv"]);
        let text = |value: &str| Some(value.to_string());
        let of = |location: &str| {
            find(location, folder.path()).unwrap().into_iter().map(|f| f.partitions).collect::<Vec<_>>()
        };
        let (country, day) = ("country".to_string(), "day".to_string());
        assert_eq!(of("d")[0], [(country.clone(), text("New York")), (day.clone(), text("2024-05-01"))]);
        assert_eq!(of("d")[1], [(country.clone(), None), (day.clone(), text(""))]);
        assert_eq!(
            of("d/country=New*/*/p.csv"),
            [vec![(country, text("New York")), (day.clone(), text("2024-05-01"))]]
        );
        assert_eq!(of("d/country=New%20York"), [vec![(day, text("2024-05-01"))]]);
        assert_eq!(of("d/country=New%20York/day=2024-05-01/p.csv"), [vec![]]);
    }

    #[test]
    fn other_places_are_named() {
        let here = Path::new("");
        for location in ["s3://bucket/x.parquet", "https://example.com/x.csv", "gs://b/x"] {
            assert!(find(location, here).unwrap_err().message().contains("remote locations"), "{location}");
        }
        assert!(find("no such.csv", here).unwrap_err().message().contains("does not exist"));
    }
}
