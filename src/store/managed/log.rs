//! One version of a managed table: its columns, roles, settings and live files, read from the commit log alone.
//!
//! Deals with: opening a table as it is or was, what tables we cannot read and why. Does not deal with: changing it
//! (`commit`), rows (`provider`).

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use datafusion::common::ScalarValue;
use deltalake_core::kernel::{Metadata, Protocol};
use deltalake_core::{DeltaTable, DeltaTableBuilder, DeltaTableError};
use url::Url;

use super::statistics::{self, Facts, Writer};
use super::versions::{self, Signature};
use super::{LOG_FOLDER, Roles, StoredFile, checksum, deletions, schema};
use crate::error::{Error, Result};
use crate::files::parquet::Renamed;

/// Tag of a file that says by which columns its rows are ordered; only tenure writes it.
pub(super) const ORDER_TAG: &str = "tenure.order";
/// Tag of a file that says where its footer begins and what its CRC32 is; only tenure writes it.
pub(super) const FOOTER_TAG: &str = "tenure.footer";
/// Setting that says by which columns a table's rows are ordered; only tenure writes it.
pub const ORDER: &str = "order";
/// The order of a table without users and times.
pub(super) const UNORDERED: &str = "none";
/// Prefix of our keys in a table's configuration.
pub(super) const OURS: &str = "tenure.";

/// Features of the format that a reader must know, and that we do: files with narrower types are widened as any others are.
const READER_FEATURES: [&str; 6] =
    ["timestampNtz", "deletionVectors", "v2Checkpoint", "vacuumProtocolCheck", "typeWidening", "typeWidening-preview"];

/// Features that a table may name without using them: only a column of the type variant does.
const VARIANTS: [&str; 3] = ["variantType", "variantType-preview", "variantShredding-preview"];

/// Which version of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum At {
    /// The newest.
    Latest,
    /// This one.
    Version(u64),
    /// The last one that was committed at or before this moment (microseconds since 1970).
    Time(i64),
}

/// One version of a table.
#[derive(Clone)]
pub struct TableLog {
    pub(super) folder: PathBuf,
    pub(super) table: DeltaTable,
    version: u64,
    signature: Option<Signature>,
    schema: SchemaRef,
    roles: Option<Roles>,
    settings: BTreeMap<String, String>,
    partitioned_by: Vec<String>,
    renamed: Option<Arc<Renamed>>,
    files: Vec<StoredFile>,
    pub(super) details: Vec<Details>,
}

/// What a scan needs of a file beside [`StoredFile`].
#[derive(Debug, Clone)]
pub(super) struct Details {
    /// In the order of the table's columns.
    pub facts: Facts,
    /// Values of the columns that the table is partitioned by.
    pub partition: HashMap<String, Option<String>>,
    /// Its rows that are deleted, in ascending order.
    pub deleted: Vec<u64>,
}

impl std::fmt::Debug for TableLog {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "TableLog('{}' version {}, {} files)", self.folder.display(), self.version, self.files.len())
    }
}

impl TableLog {
    /// Whether `folder` holds a managed table.
    pub fn exists(folder: &Path) -> bool {
        super::is_managed(folder)
    }

    /// Reads the log of a table. Fails where there is none, where it is damaged (the message names the log entry), where the
    /// version is not there (the message says which are), and where the table uses parts of the format we do not know.
    pub async fn open(folder: &Path, at: At) -> Result<Self> {
        let wanted = match at {
            At::Latest => None,
            At::Version(version) => Some(version),
            At::Time(micros) => Some(versions::at(folder, micros)?),
        };
        if let Some(version) = wanted
            && versions::newest(folder)?.is_some_and(|newest| version > newest)
        {
            return Err(versions::unknown(folder, version));
        }
        let mut listed = 1;
        let table = loop {
            let mut table = connect(folder)?;
            let loaded = match wanted {
                None => table.load().await,
                Some(version) => table.load_version(version).await,
            };
            match loaded {
                Ok(()) => break table,
                Err(error) if listed < LISTINGS && fell_into_a_commit(&error) => listed += 1,
                Err(error) => return Err(explain(folder, wanted, &error)),
            }
        };
        let version = table.version().unwrap_or_default();
        checksum::compare(folder, version, None, wanted.is_none())?;
        Self::read(folder.to_path_buf(), table)
    }

    /// The newest version, starting from this one: cheaper than opening the table anew.
    pub async fn newest(&self) -> Result<Self> {
        // Where this version's entry is not the one that was read, the log is another: the table was removed and made again.
        if self.signature.is_none() || versions::signature(&self.folder, self.version) != self.signature {
            return Self::open(&self.folder, At::Latest).await;
        }
        let mut table = self.table.clone();
        if table.update_incremental(None).await.is_err() {
            return Self::open(&self.folder, At::Latest).await;
        }
        checksum::compare(&self.folder, table.version().unwrap_or_default(), Some(self.version), true)?;
        Self::read(self.folder.clone(), table)
    }

    /// What the log entries that were loaded say.
    pub(super) fn read(folder: PathBuf, table: DeltaTable) -> Result<Self> {
        let fail = |e: DeltaTableError| failed("read the log of", &folder, &e);
        let state = table.snapshot().map_err(fail)?;
        let version = state.version();
        let metadata = state.metadata();
        let settings: BTreeMap<String, String> =
            metadata.configuration().iter().map(|(k, v)| (k.clone(), v.clone())).collect();
        // The library tells of no type by name but in the words of the log.
        let columns = serde_json::to_value(state.schema().as_ref()).unwrap_or_default();
        check_readable(&folder, state.protocol(), &settings, any_variant(&columns))?;
        let roles = roles(&settings);
        let schema = schema::from_delta(state.schema().as_ref(), roles.as_ref())
            .map_err(|e| e.within(&format!("'{}': ", folder.display())))?;
        let renamed = schema::renamed(state.schema().as_ref(), &settings)
            .map_err(|e| e.within(&format!("'{}': ", folder.display())))?
            .map(Arc::new);
        // Statistics call columns as files do.
        let in_files = match &renamed {
            Some(renamed) => schema::as_in_files(&schema, renamed),
            None => Arc::clone(&schema),
        };
        let order = roles.as_ref().map(order_of);
        let mut files = Vec::new();
        for view in state.log_data() {
            // The view itself does not tell the tags of a file.
            #[expect(deprecated, reason = "the only access to a file's tags")]
            let add = view.add_action();
            if add.path.contains("://") || Path::new(&add.path).is_absolute() {
                let message = format!("'{}': file '{}' lies outside the table's folder", folder.display(), add.path);
                return Err(Error::data(message));
            }
            let tag = add.tags.as_ref().and_then(|tags| tags.get(ORDER_TAG)?.as_deref());
            let ordered = tag.is_some() && tag == order.as_deref();
            let deleted = match &add.deletion_vector {
                Some(vector) => deletions::deleted(&folder, &add.path, vector)?,
                None => Vec::new(),
            };
            let (stored, facts) = file(&add, ordered, &in_files, roles.as_ref());
            files.push((stored, Details { facts, partition: add.partition_values, deleted }));
        }
        // In the order of users, so that plans do not depend on how the log was read.
        files.sort_by(|(a, _), (b, _)| {
            let low = |file: &StoredFile| file.users.as_ref().map(|u| u.0.clone());
            low(a).partial_cmp(&low(b)).unwrap_or(std::cmp::Ordering::Equal).then_with(|| a.path.cmp(&b.path))
        });
        let (files, details): (Vec<StoredFile>, Vec<Details>) = files.into_iter().unzip();
        checksum::compare_totals(&folder, version, files.len() as u64, files.iter().map(|f| f.size).sum())?;
        let partitioned_by = metadata.partition_columns().to_vec();
        let signature = versions::signature(&folder, version);
        Ok(Self { folder, version, signature, schema, roles, settings, partitioned_by, renamed, files, details, table })
    }

    /// The table's folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// This version.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// The columns: text columns that are read as dictionaries are `Dictionary(Int32, Utf8)`, columns with a role carry it in
    /// their metadata.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// Which columns are user, time and event; `None` for a table that tenure did not make.
    pub fn roles(&self) -> Option<&Roles> {
        self.roles.as_ref()
    }

    /// What was recorded when the table was made, by name (without the prefix `tenure.`).
    pub fn setting(&self, name: &str) -> Option<&str> {
        self.settings.get(&format!("{OURS}{name}")).map(String::as_str)
    }

    /// Columns that another writer partitioned the table by. Such tables are read, not written.
    pub fn partitioned_by(&self) -> &[String] {
        &self.partitioned_by
    }

    /// What the files call columns, where that is otherwise.
    pub(super) fn renamed(&self) -> Option<Arc<Renamed>> {
        self.renamed.clone()
    }

    /// What files, and the log where it tells of files, call a column.
    pub(super) fn name_in_files<'a>(&'a self, column: &'a str) -> &'a str {
        let renamed = self.renamed.as_ref().and_then(|renamed| renamed.get(column));
        renamed.map_or(column, |(in_files, _)| in_files.as_str())
    }

    /// Why the table is read and not written: the part of the format that another writer made use of. `None` where nothing forbids it.
    pub fn only_read(&self) -> Option<String> {
        if !self.partitioned_by.is_empty() {
            return Some(format!("is partitioned by {}", self.partitioned_by.join(", ")));
        }
        if self.renamed.is_some() {
            return Some("maps its columns to other names".to_string());
        }
        let deleted = self.details.iter().any(|details| !details.deleted.is_empty());
        deleted.then(|| "has deletion vectors".to_string())
    }

    /// The live files.
    pub fn files(&self) -> &[StoredFile] {
        &self.files
    }

    /// The version of the last commit of this application (see [`super::commit::Change::transaction`]).
    pub async fn transaction_version(&self, application: &str) -> Result<Option<i64>> {
        let fail = |e: DeltaTableError| failed("read the log of", &self.folder, &e);
        let state = self.table.snapshot().map_err(fail)?;
        let log = self.table.log_store();
        state.transaction_version(log.as_ref(), application).await.map_err(fail)
    }

    pub(super) fn metadata(&self) -> Result<Metadata> {
        let state = self.table.snapshot().map_err(|e| failed("read the log of", &self.folder, &e))?;
        Ok(state.metadata().clone())
    }

    /// Whether no commit has come since this was read: looks for one file, reads none.
    pub fn is_newest(&self) -> bool {
        self.signature.is_some()
            && versions::signature(&self.folder, self.version) == self.signature
            && versions::signature(&self.folder, self.version + 1).is_none()
    }

    /// What tells this table from another that is made in the same folder.
    pub(super) fn identity(&self) -> Result<String> {
        let state = self.table.snapshot().map_err(|e| failed("read the log of", &self.folder, &e))?;
        Ok(state.metadata().id().to_string())
    }

    pub(super) fn protocol(&self) -> Result<&Protocol> {
        let state = self.table.snapshot().map_err(|e| failed("read the log of", &self.folder, &e))?;
        Ok(state.protocol())
    }
}

/// The name of an order, as files and tables record it.
pub(super) fn order_of(roles: &Roles) -> String {
    format!("{},{}", roles.user, roles.time)
}

fn roles(settings: &BTreeMap<String, String>) -> Option<Roles> {
    let role = |name: &str| settings.get(&format!("{OURS}{name}")).cloned();
    Some(Roles { user: role("user")?, time: role("time")?, event: role("event") })
}

fn file(
    add: &deltalake_core::kernel::Add,
    ordered: bool,
    schema: &SchemaRef,
    roles: Option<&Roles>,
) -> (StoredFile, Facts) {
    let writer = match roles {
        Some(roles) if ordered => Writer::Tenure(&roles.user),
        _ => Writer::Other,
    };
    let facts = statistics::read(add.stats.as_deref(), schema, writer);
    let bounds = |column: &str| {
        let bounds = facts.columns.get(schema.index_of(column).ok()?)?;
        bounds.low.clone().zip(bounds.high.clone())
    };
    let users = roles.and_then(|r| bounds(&r.user));
    let times = roles.and_then(|r| bounds(&r.time)).and_then(|(low, high)| match (low, high) {
        (ScalarValue::TimestampMicrosecond(Some(low), _), ScalarValue::TimestampMicrosecond(Some(high), _)) => {
            Some((low, high))
        }
        _ => None,
    });
    let checksum = add.tags.as_ref().and_then(|tags| tags.get(FOOTER_TAG)?.as_deref()?.parse().ok());
    let stored = StoredFile {
        path: add.path.clone(),
        size: add.size.max(0) as u64,
        modified: add.modification_time,
        rows: facts.rows.unwrap_or(0),
        ordered,
        users,
        times,
        checksum,
        statistics: add.stats.clone().unwrap_or_default(),
    };
    (stored, facts)
}

/// A table object for a folder, nothing read yet.
pub(super) fn connect(folder: &Path) -> Result<DeltaTable> {
    if !super::is_managed(folder) {
        let what = match folder.exists() {
            true => format!("is not a managed table: it has no commit log ({LOG_FOLDER})"),
            false => "does not exist".to_string(),
        };
        return Err(Error::data(format!("'{}' {what}", folder.display())));
    }
    connect_new(folder)
}

pub(super) fn connect_new(folder: &Path) -> Result<DeltaTable> {
    let path = std::fs::canonicalize(folder).map_err(|e| Error::io("open", folder, &e))?;
    let url = Url::from_directory_path(&path)
        .map_err(|()| Error::data(format!("'{}' is not a path that a table can have", folder.display())))?;
    // The library decodes what it takes for the code of a character in the path of a table, and looks elsewhere.
    let text = path.to_string_lossy();
    let code = |place: &str| place.get(..2).is_some_and(|hex| hex.bytes().all(|byte| byte.is_ascii_hexdigit()));
    if text.split('%').skip(1).any(code) {
        let message =
            format!("'{}' cannot be opened as a managed table: its path has a '%' and two digits", path.display());
        return Err(Error::data(message).hint("give the folder another name"));
    }
    let table = DeltaTableBuilder::from_url(url).and_then(DeltaTableBuilder::build);
    table.map_err(|e| failed("open", folder, &e))
}

/// Whether a column or a part of one is of the type variant, which is not whether one is called so.
fn any_variant(schema: &serde_json::Value) -> bool {
    const TYPES: [&str; 4] = ["type", "elementType", "keyType", "valueType"];
    match schema {
        serde_json::Value::Object(parts) => parts.iter().any(|(key, part)| {
            (TYPES.contains(&key.as_str()) && part == "variant") || (key != "metadata" && any_variant(part))
        }),
        serde_json::Value::Array(parts) => parts.iter().any(any_variant),
        _ => false,
    }
}

/// Refuses tables whose rows we would not read right.
fn check_readable(
    folder: &Path,
    protocol: &Protocol,
    settings: &BTreeMap<String, String>,
    has_variants: bool,
) -> Result<()> {
    let refuse = |what: String| {
        Err(Error::data(format!("'{}' cannot be read: the table {what}", folder.display()))
            .hint("the program that wrote it can write a table without that"))
    };
    if let Some(mode) = settings.get(schema::MAPPING_MODE).filter(|mode| !["none", "name"].contains(&mode.as_str())) {
        return refuse(format!("maps its columns to other names (delta.columnMapping.mode = {mode})"));
    }
    if has_variants {
        return refuse("has a column of the type variant".to_string());
    }
    let known = |feature: &str| READER_FEATURES.contains(&feature) || VARIANTS.contains(&feature);
    let needed = protocol.reader_features().unwrap_or_default().iter().map(ToString::to_string);
    let unknown: Vec<String> = needed.filter(|f| !known(f) && f != "columnMapping").collect();
    if !unknown.is_empty() {
        return refuse(format!("needs features that tenure does not know: {}", unknown.join(", ")));
    }
    Ok(())
}

/// How often a log is listed whose listing falls into a commit.
const LISTINGS: usize = 10;

/// Whether a listing shows the checksums of a version and not its entry, which was written before them but listed before it was there.
fn fell_into_a_commit(error: &DeltaTableError) -> bool {
    let text = error.to_string();
    text.contains("CRC file version") && text.contains("is newer than log segment version")
}

/// Why a log could not be read: the damaged entry, the missing version, or what the library says.
fn explain(folder: &Path, wanted: Option<u64>, error: &DeltaTableError) -> Error {
    if let Some(damage) = versions::damage(folder) {
        return damage;
    }
    let text = error.to_string();
    if text.contains("_last_checkpoint") {
        let note = folder.join(LOG_FOLDER).join("_last_checkpoint");
        return Error::data(format!("'{}' tells of a checkpoint that is not there", note.display())).hint(
            "take the checkpoint from a backup; where all entries of the log are there, remove the note: it is made anew",
        );
    }
    match wanted {
        Some(version) => versions::unreadable(folder, version, &text),
        None => failed("read the log of", folder, error),
    }
}

/// An error of the library as ours.
pub(super) fn failed(doing: &str, folder: &Path, error: &DeltaTableError) -> Error {
    let text = error.to_string();
    let message = format!("cannot {doing} '{}': {text}", folder.display());
    match text.contains("No space left on device") || text.contains("Disk quota exceeded") {
        true => Error::resources(message),
        false => Error::data(message),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The library's words for it, which a new version of it may choose otherwise.
    #[tokio::test]
    async fn checksums_without_their_entry_are_a_listing_that_fell_into_a_commit() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join(LOG_FOLDER);
        std::fs::create_dir(&log).unwrap();
        let entry = |version: u64| log.join(format!("{version:020}.json"));
        let schema = r#"{\"type\":\"struct\",\"fields\":[{\"name\":\"n\",\"type\":\"long\",\"nullable\":true,\"metadata\":{}}]}"#;
        let first = format!(
            "{}\n{{\"metaData\":{{\"id\":\"5fba94ed-9794-4965-ba6e-6ee3c0d22af9\",\"format\":{{\"provider\":\"parquet\",\"options\":{{}}}},\"schemaString\":\"{schema}\",\"partitionColumns\":[],\"configuration\":{{}},\"createdTime\":0}}}}\n",
            r#"{"protocol":{"minReaderVersion":1,"minWriterVersion":2}}"#
        );
        std::fs::write(entry(0), first).unwrap();
        assert_eq!(TableLog::open(folder.path(), At::Latest).await.unwrap().version, 0);
        std::fs::write(entry(1).with_extension("crc"), "{}").unwrap();
        let error = connect(folder.path()).unwrap().load().await.unwrap_err();
        assert!(fell_into_a_commit(&error), "{error}");
    }
}
