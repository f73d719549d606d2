//! Footers of Parquet files, each read once.
//!
//! Deals with: reading a footer, leaving what cannot be believed out of it, keeping it while the file stays what it was, many at once.
//! Does not deal with: what it says (`facts`).
//!
//! Whole footers are in DataFusion's cache, which has a limit; the little that planning needs ([`Facts`]) is kept of every file, so
//! that a statement over ten thousand files opens none that it has seen.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use chrono::{DateTime, Utc};
use datafusion::catalog::Session;
use datafusion::datasource::physical_plan::parquet::metadata::CachedParquetMetaData;
use datafusion::execution::cache::cache_manager::{CachedFileMetadataEntry, FileMetadataCache};
use object_store::ObjectMeta;
use object_store::path::Path as ObjectPath;
use parking_lot::Mutex;
use parquet::errors::ParquetError;
use parquet::file::metadata::{PageIndexPolicy, ParquetMetaData, ParquetMetaDataReader};

use super::believed::believed;
use super::encryption;
use super::facts::Facts;
use super::texts::{as_strings, is_said_to_be_text};
use crate::error::{Error, Result};
use crate::files::checksums::read::{CheckedFile, parsed};
use crate::files::checksums::{self, FooterSum};

/// Files of which facts are kept, at most: some hundred bytes for each column of each.
const KEPT: usize = 200_000;

/// Files whose checksums are kept, at most.
const OPEN: usize = 64;

/// The footers of a session's files.
#[derive(Clone)]
pub struct Footers {
    whole: Arc<FileMetadataCache>,
    facts: Arc<Mutex<HashMap<ObjectPath, Known>>>,
    /// Checksums of the files of managed tables that were read lately.
    checked: Arc<Mutex<HashMap<(ObjectPath, String), CheckedFile>>>,
    /// Files of one table mostly have the same columns: these are kept once.
    schemas: Arc<Mutex<HashSet<SchemaRef>>>,
}

#[derive(Clone)]
struct Known {
    size: u64,
    modified: DateTime<Utc>,
    facts: Arc<Facts>,
}

impl fmt::Debug for Footers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Footers").field("whole", &self.whole.len()).finish()
    }
}

impl Footers {
    /// Over a cache of whole footers.
    pub fn new(whole: Arc<FileMetadataCache>) -> Self {
        Self { whole, facts: Arc::default(), checked: Arc::default(), schemas: Arc::default() }
    }

    /// Those of a session: its own where it has been given some, else new ones.
    pub fn of_session(state: &dyn Session) -> Arc<Self> {
        let given = state.config().get_extension::<Self>();
        given.unwrap_or_else(|| Arc::new(Self::new(state.runtime_env().cache_manager.get_file_metadata_cache())))
    }

    /// The footer of a local file: the one that is cached, else read. With `index` its page index is read, too, if it has one.
    pub fn whole(&self, file: &ObjectMeta, path: &Path, index: bool) -> Result<Arc<ParquetMetaData>> {
        if let Some(known) = self.cached(file, index) {
            return Ok(known);
        }
        let footer = Arc::new(read(path, file.size, index, checksums::sum_of(file))?);
        let entry = CachedParquetMetaData::new(Arc::clone(&footer));
        self.whole.put(&file.location, CachedFileMetadataEntry::new(file.clone(), Arc::new(entry)));
        Ok(footer)
    }

    /// What the pages of a file are to be compared with; `None` for one that goes without a checksum.
    pub fn checked(&self, file: &ObjectMeta, path: &Path) -> Result<Option<CheckedFile>> {
        let (Some(sum), Some(tag)) = (checksums::sum_of(file), &file.e_tag) else { return Ok(None) };
        let key = (file.location.clone(), tag.clone());
        if let Some(known) = self.checked.lock().get(&key) {
            return Ok(Some(known.clone()));
        }
        let opened = CheckedFile::open(path, Some(sum))?;
        let mut checked = self.checked.lock();
        // Each is an open file.
        if checked.len() >= OPEN {
            checked.clear();
        }
        checked.insert(key, opened.clone());
        Ok(Some(opened))
    }

    /// The footer that is cached.
    fn cached(&self, file: &ObjectMeta, index: bool) -> Option<Arc<ParquetMetaData>> {
        let cached = self.whole.get(&file.location).filter(|entry| entry.is_valid_for(file))?;
        let cached = cached.file_metadata.as_any().downcast_ref::<CachedParquetMetaData>()?.parquet_metadata();
        let has_index = |footer: &ParquetMetaData| {
            let columns = footer.row_groups().iter().flat_map(|group| group.columns());
            let mut of_columns = columns.filter(|column| column.column_index_offset().is_some());
            footer.offset_index().is_some() || of_columns.next().is_none()
        };
        (!index || has_index(cached)).then(|| Arc::clone(cached))
    }

    /// What a file says of itself.
    pub fn facts(&self, file: &ObjectMeta, path: &Path) -> Result<Arc<Facts>> {
        if let Some(known) = self.known(file) {
            return Ok(known);
        }
        let footer = self.whole(file, path, false)?;
        let mut facts = parsed(path, || Facts::of(&footer))?.map_err(|why| unreadable(path, why))?;
        {
            let mut schemas = self.schemas.lock();
            match schemas.get(&facts.schema) {
                Some(known) => facts.schema = Arc::clone(known),
                None => {
                    schemas.insert(Arc::clone(&facts.schema));
                }
            }
        }
        let facts = Arc::new(facts);
        let mut all = self.facts.lock();
        if all.len() >= KEPT {
            all.clear();
            self.schemas.lock().clear();
        }
        let known = Known { size: file.size, modified: file.last_modified, facts: Arc::clone(&facts) };
        all.insert(file.location.clone(), known);
        Ok(facts)
    }

    fn known(&self, file: &ObjectMeta) -> Option<Arc<Facts>> {
        let facts = self.facts.lock();
        let known = facts.get(&file.location)?;
        (known.size == file.size && known.modified == file.last_modified).then(|| Arc::clone(&known.facts))
    }

    /// The same for many files, of which those that are new are opened side by side.
    pub async fn all_facts(&self, files: &[(ObjectMeta, PathBuf)], at_once: usize) -> Result<Vec<Arc<Facts>>> {
        let new: Vec<usize> = (0..files.len()).filter(|at| self.known(&files[*at].0).is_none()).collect();
        let share = new.len().div_ceil(at_once.max(1)).max(1);
        let tasks: Vec<_> = new
            .chunks(share)
            .map(|share| {
                let share: Vec<(ObjectMeta, PathBuf)> = share.iter().map(|at| files[*at].clone()).collect();
                let footers = self.clone();
                tokio::task::spawn_blocking(move || {
                    share.iter().map(|(file, path)| footers.facts(file, path)).collect::<Result<Vec<_>>>()
                })
            })
            .collect();
        let mut opened = Vec::with_capacity(new.len());
        for task in tasks {
            let facts = task.await.map_err(|e| Error::internal(format!("reading a footer stopped: {e}")))?;
            opened.extend(facts?);
        }
        let mut opened = new.into_iter().zip(opened).peekable();
        let mut all = Vec::with_capacity(files.len());
        for (at, (file, path)) in files.iter().enumerate() {
            match opened.next_if(|(new, _)| *new == at) {
                Some((_, facts)) => all.push(facts),
                None => all.push(self.facts(file, path)?),
            }
        }
        Ok(all)
    }
}

/// Reads the footer of a file that has this many bytes, with its page index where that is wanted. It is compared with the checksum
/// that the file goes with, if it does.
pub fn read(path: &Path, size: u64, index: bool, sum: Option<FooterSum>) -> Result<ParquetMetaData> {
    let file = File::open(path).map_err(|e| match e.kind() {
        std::io::ErrorKind::NotFound if sum.is_some() => checksums::gone(path),
        _ => Error::io("open", path, &e),
    })?;
    let found = file.metadata().map_err(|e| Error::io("open", path, &e))?;
    if found.len() == 0 && sum.is_none() {
        return Err(unreadable(path, "the file is empty (0 bytes)"));
    }
    if found.len() != size {
        return Err(other_size(path, size, sum, found.len()));
    }
    let end = sum.map(|sum| checksums::read::end(path, &file, sum)).transpose()?;
    let mut reader = ParquetMetaDataReader::new().with_page_index_policy(PageIndexPolicy::Skip);
    let footer = parsed(path, || {
        match &end {
            Some(end) => reader.try_parse_sized(end, size)?,
            None => reader.try_parse(&file)?,
        }
        reader.finish()
    })?;
    let footer = footer.map_err(|error| damaged(path, &file, &error))?;
    let footer = believed(footer).map_err(|why| unreadable(path, why))?;
    let strings = as_strings(&footer, &is_said_to_be_text).map_err(|why| unreadable(path, why))?;
    let footer = strings.unwrap_or(footer);
    if !index {
        return Ok(footer);
    }
    // After what cannot be believed is gone: the index of such a column is not read.
    let mut reader = ParquetMetaDataReader::new_with_metadata(footer.clone());
    reader = reader.with_page_index_policy(PageIndexPolicy::Optional);
    let read = parsed(path, || {
        match &end {
            Some(end) => reader.read_page_indexes_sized(end, size)?,
            None => reader.read_page_indexes(&file)?,
        }
        reader.finish()
    });
    match read {
        Ok(Ok(footer)) => Ok(footer),
        // It only helps to leave pages out.
        Ok(Err(_)) | Err(_) => Ok(footer),
    }
}

fn damaged(path: &Path, file: &File, error: &ParquetError) -> Error {
    use std::os::unix::fs::FileExt;
    let size = file.metadata().map_or(0, |found| found.len());
    let four = |at: Option<u64>| {
        let mut magic = [0; 4];
        at.filter(|at| at + 4 <= size && file.read_exact_at(&mut magic, *at).is_ok()).map(|_| magic)
    };
    match (four(Some(0)).as_ref(), four(size.checked_sub(4)).as_ref()) {
        (_, Some(b"PARE")) => encrypted(path),
        (_, Some(b"PAR1")) => {
            let why = error.to_string();
            unreadable(path, format!("its footer is damaged: {}", why.trim_start_matches("Parquet error: ")))
        }
        (Some(b"PAR1"), _) => {
            unreadable(path, "it was cut off: a Parquet file ends with its footer, and this one does not")
        }
        _ => {
            unreadable(path, "it is no Parquet file").hint("if it is text, read_csv('..') or read_json('..') reads it")
        }
    }
}

/// A file whose pages make no sense to the library that decodes them, which says so in words of its own.
pub fn undecoded(path: &Path, error: &dyn fmt::Display) -> Error {
    if encryption::names_an_algorithm(path) {
        return encrypted(path);
    }
    let (mut why, mut before) = (error.to_string(), usize::MAX);
    while why.len() < before {
        before = why.len();
        for prefix in ["Parquet argument error: ", "Parquet error: ", "Arrow: ", "External: ", "External error: "] {
            why = why.strip_prefix(prefix).map_or(why.clone(), str::to_string);
        }
    }
    match why.strip_prefix("NYI: ") {
        Some(what) => unreadable(path, format!("this is not supported: {what}")),
        None => unreadable(path, format!("it is damaged, or written in a way that is not supported ({why})")),
    }
}

/// A file that is encrypted.
pub fn encrypted(path: &Path) -> Error {
    unreadable(path, "the file is encrypted, and tenure has no keys")
        .hint("write it without encryption, or decrypt it first")
}

/// A file that cannot be read, and why.
pub fn unreadable(path: &Path, why: impl fmt::Display) -> Error {
    Error::data(format!("cannot read '{}': {why}", path.display()))
}

/// A file that has another size than it was listed with: a log's list is right.
pub fn of_another_size(path: &Path, file: &ObjectMeta, found: u64) -> Error {
    other_size(path, file.size, checksums::sum_of(file), found)
}

fn other_size(path: &Path, size: u64, sum: Option<FooterSum>, found: u64) -> Error {
    match sum {
        Some(_) => checksums::damaged(path, &format!("it has {found} bytes, the log says {size}")),
        None => changed(path),
    }
}

/// A file that is another one than when the statement began.
fn changed(path: &Path) -> Error {
    Error::data(format!("file '{}' changed while it was read", path.display())).hint("run the statement again").stale()
}
