//! Opening files as a table: one file, a folder, a glob, hive partitions, a managed table; roles and order declared with it.
//!
//! Deals with: what a location is, clear errors for missing, empty, damaged and differing files, role metadata.
//! Does not deal with: where the declaration comes from (`config`, `engine`), the commit log (`managed`), or reading rows
//! (DataFusion).

use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::catalog::{Session, TableProvider, TableProviderFactory};
use datafusion::common::{DFSchema, TableReference};
use datafusion::datasource::listing::{ListingTable, ListingTableConfig, ListingTableUrl};
use datafusion::datasource::listing_table_factory::ListingTableFactory;
use datafusion::logical_expr::{CreateExternalTable, SortExpr, col};
use futures::FutureExt;

use super::checksums::read::footer;
use super::managed::provider::ManagedTable;
use super::managed::{LOG_FOLDER, is_managed};
use crate::config::TableEntry;
use crate::error::{Error, Result, suggest};

/// Key of the column metadata that says which role a column has.
pub const ROLE_KEY: &str = "tenure.role";
/// Key of the column metadata that says the unit of an integer time column.
pub const TIME_UNIT_KEY: &str = "tenure.time_unit";

/// The column names that are taken for a role where nothing else says it.
pub const CONVENTIONS: [(&str, &[&str]); 3] =
    [("user", &["user_id"]), ("time", &["ts", "time", "timestamp"]), ("event", &["event"])];

/// Units of an integer time column.
pub const TIME_UNITS: [&str; 4] = ["s", "ms", "us", "ns"];

/// File formats by the extension that names them.
const FORMATS: [(&str, &str); 6] =
    [("parquet", "PARQUET"), ("csv", "CSV"), ("tsv", "CSV"), ("json", "JSON"), ("ndjson", "JSON"), ("jsonl", "JSON")];

/// Whether a name in FROM looks like a file or a managed table's folder rather than a table.
pub fn looks_like_file(name: &str) -> bool {
    name.contains('/') || name.contains('*') || format_of(Path::new(name)).is_some() || is_managed(Path::new(name))
}

/// Folder of ingests that run or were stopped, below a table's.
const UNCOMMITTED: &str = "_ingest";

/// The word for managed tables in `STORED AS` and in the workspace file's `format`.
const MANAGED_FORMAT: &str = "delta";

fn format_of(path: &Path) -> Option<(&'static str, &'static str)> {
    let name = path.file_name()?.to_str()?.to_lowercase();
    let name = name.strip_suffix(".gz").or_else(|| name.strip_suffix(".zst")).unwrap_or(&name);
    FORMATS.iter().find(|(extension, _)| name.ends_with(&format!(".{extension}"))).copied()
}

/// How messages call a table: by its name, or not at all where the file in FROM is its name.
fn subject(name: &str, location: &str) -> String {
    if name == location { String::new() } else { format!("table '{name}': ") }
}

/// Opens a table as an entry of the workspace declares it; `base` is what its location is relative to.
pub async fn open(state: &dyn Session, name: &str, entry: &TableEntry, base: &Path) -> Result<Arc<dyn TableProvider>> {
    let location = base.join(&entry.location);
    let subject = subject(name, &entry.location);
    let wants_log = entry.format.as_ref().is_some_and(|format| format.eq_ignore_ascii_case(MANAGED_FORMAT));
    if wants_log || is_managed(&location) {
        if let Some(format) = entry.format.as_ref().filter(|f| !wants_log && !f.eq_ignore_ascii_case("parquet")) {
            let message = format!("{subject}'{}' is a managed table, its format is not '{format}'", location.display());
            return Err(Error::user(message));
        }
        return Ok(Arc::new(ManagedTable::open(&location, entry).await.map_err(|e| e.within(&subject))?));
    }
    if location.join(UNCOMMITTED).is_dir() {
        let message =
            format!("{subject}'{}' is not a table yet: its first ingest has not been committed", location.display());
        return Err(Error::data(message).hint("the same tenure ingest goes on where that was stopped"));
    }
    let files = files_at(&location).map_err(|e| e.within(&subject))?;
    let format = match &entry.format {
        Some(format) => match FORMATS.iter().find(|(extension, _)| *extension == format.to_lowercase()) {
            Some(found) => *found,
            None => {
                let known: Vec<&str> =
                    FORMATS.iter().map(|(extension, _)| *extension).chain([MANAGED_FORMAT]).collect();
                return Err(Error::user(format!(
                    "table '{name}': unknown format '{format}'; {}",
                    suggest(format, known)
                )));
            }
        },
        None => {
            let mut formats: Vec<_> = files.iter().filter_map(|f| format_of(f)).collect();
            formats.sort_unstable();
            formats.dedup();
            match formats.as_slice() {
                [only] => *only,
                [] => {
                    let message = format!("{subject}'{}' holds no parquet, csv or json file", location.display());
                    return Err(Error::data(message));
                }
                [first, .., last] => {
                    return Err(Error::data(format!(
                        "{subject}'{}' holds both {} and {} files; name one kind, as in '{}/*.{}'",
                        location.display(),
                        first.0,
                        last.0,
                        location.display().to_string().trim_end_matches('/'),
                        first.0
                    )));
                }
            }
        }
    };
    let compression = ["gz", "zst"].into_iter().find(|c| files.iter().any(|f| f.extension().is_some_and(|e| e == *c)));
    let mut options = HashMap::new();
    if format.0 == "tsv" {
        options.insert("format.delimiter".to_string(), "\t".to_string());
    }
    if format.1 == "CSV" {
        options.insert("format.has_header".to_string(), "true".to_string());
    }
    if let Some(compression) = compression {
        let name = if compression == "gz" { "gzip" } else { "zstd" };
        options.insert("format.compression".to_string(), name.to_string());
    }
    let path = path_text(&location)?;
    let folder = path.trim_end_matches('/');
    // DataFusion looks for the ending that is named like the format; others have to be spelled out.
    let path = match location.is_dir() {
        false => path,
        true if format.0.eq_ignore_ascii_case(format.1) => format!("{folder}/"),
        true => format!("{folder}/**/*.{}{}", format.0, compression.map(|c| format!(".{c}")).unwrap_or_default()),
    };
    let order: Vec<SortExpr> = entry.order.iter().map(|c| col(format!("\"{c}\"")).sort(true, false)).collect();
    let command = CreateExternalTable {
        schema: Arc::new(DFSchema::empty()),
        name: TableReference::bare(name),
        locations: vec![path],
        file_type: format.1.to_string(),
        table_partition_cols: vec![],
        if_not_exists: false,
        or_replace: false,
        temporary: false,
        definition: None,
        order_exprs: if order.is_empty() { vec![] } else { vec![order] },
        unbounded: false,
        options,
        constraints: Default::default(),
        column_defaults: HashMap::new(),
    };
    create(state, &command, entry).await
}

/// Creates the table of a `CREATE EXTERNAL TABLE`, with the roles that `entry` declares.
pub async fn create(
    state: &dyn Session,
    command: &CreateExternalTable,
    entry: &TableEntry,
) -> Result<Arc<dyn TableProvider>> {
    let subject = subject(command.name.table(), &entry.location);
    if let Some(folder) = managed_folder(command)? {
        return Ok(Arc::new(ManagedTable::open(folder, entry).await.map_err(|e| e.within(&subject))?));
    }
    let mut files = Vec::new();
    for location in &command.locations {
        if !location.contains("://") {
            files.extend(files_at(Path::new(location)).map_err(|e| e.within(&subject))?);
        }
    }
    if command.file_type.eq_ignore_ascii_case("PARQUET") {
        // DataFusion passes over files without a byte; a Parquet file has at least its footer, so one is damaged.
        let empty = files.iter().find(|f| std::fs::metadata(f).is_ok_and(|m| m.len() == 0));
        if let Some(file) = empty {
            return Err(Error::data(format!("{subject}cannot read '{}': the file is empty (0 bytes)", file.display())));
        }
    }
    // Some nonsense in a Parquet footer makes the library panic.
    let opened =
        AssertUnwindSafe(async { ListingTableFactory::new().create(state, command).await }).catch_unwind().await;
    let table = match opened {
        Ok(Ok(table)) => table,
        Ok(Err(error)) => return Err(explain(state, command, &subject, &files, error.into()).await),
        Err(panic) => {
            let no_sense = |file: &PathBuf| std::fs::File::open(file).ok().and_then(|f| footer(file, &f, None).err());
            match files.iter().find_map(no_sense) {
                Some(error) => return Err(error.within(&subject)),
                None => std::panic::resume_unwind(panic),
            }
        }
    };
    let Some(listing) = (table.as_ref() as &dyn std::any::Any).downcast_ref::<ListingTable>() else {
        return Ok(table);
    };
    let declared = declare_roles(&command.name.to_string(), &table.schema(), entry)?;
    let Some(schema) = declared else { return Ok(table) };
    let partitions: Vec<&String> = listing.options().table_partition_cols.iter().map(|(name, _)| name).collect();
    let in_files: Vec<_> = schema.fields().iter().filter(|f| !partitions.contains(&f.name())).cloned().collect();
    let config = ListingTableConfig::new_with_multi_paths(listing.table_paths().clone())
        .with_listing_options(listing.options().clone())
        .with_schema(Arc::new(Schema::new_with_metadata(in_files, schema.metadata().clone())));
    let roled = ListingTable::try_new(config)?
        .with_cache(state.runtime_env().cache_manager.get_file_statistic_cache())
        .with_definition(command.definition.clone())
        .with_constraints(command.constraints.clone());
    Ok(Arc::new(roled))
}

/// The folder of the managed table that a `CREATE EXTERNAL TABLE` names: `STORED AS DELTA`, or `PARQUET` where there is a log.
fn managed_folder(command: &CreateExternalTable) -> Result<Option<&Path>> {
    let wants_log = command.file_type.eq_ignore_ascii_case(MANAGED_FORMAT);
    let folder = match command.locations.as_slice() {
        [only] => Path::new(only.strip_prefix("file://").unwrap_or(only)),
        _ if wants_log => {
            return Err(Error::user("CREATE EXTERNAL TABLE: STORED AS DELTA takes one LOCATION, a folder"));
        }
        _ => return Ok(None),
    };
    let has_log = command.file_type.eq_ignore_ascii_case("PARQUET") && is_managed(folder);
    if !wants_log && !has_log {
        return Ok(None);
    }
    let table = &command.name;
    let surplus = [
        (!command.schema.fields().is_empty(), "columns"),
        (!command.order_exprs.is_empty(), "WITH ORDER"),
        (!command.table_partition_cols.is_empty(), "PARTITIONED BY"),
        (!command.options.is_empty(), "OPTIONS other than tenure.user, tenure.time and tenure.event"),
    ];
    match surplus.iter().find(|(given, _)| *given) {
        Some((_, what)) => Err(Error::user(format!(
            "CREATE EXTERNAL TABLE {table}: a managed table's log says how it is read; leave out {what}"
        ))),
        None => Ok(Some(folder)),
    }
}

/// The schema with role metadata, or `None` where the entry declares nothing.
fn declare_roles(table: &str, schema: &SchemaRef, entry: &TableEntry) -> Result<Option<SchemaRef>> {
    let roles = [("user", &entry.user), ("time", &entry.time), ("event", &entry.event)];
    if roles.iter().all(|(_, column)| column.is_none()) {
        return Ok(None);
    }
    let mut fields: Vec<Field> = schema.fields().iter().map(|f| f.as_ref().clone()).collect();
    for (role, column) in roles {
        let Some(column) = column else { continue };
        let known: Vec<&str> = schema.fields().iter().map(|f| f.name().as_str()).collect();
        let Ok(at) = schema.index_of(column) else {
            return Err(Error::user(format!(
                "table '{table}': the {role} column '{column}' does not exist; {}",
                suggest(column, known)
            )));
        };
        let mut metadata = fields[at].metadata().clone();
        metadata.insert(ROLE_KEY.to_string(), role.to_string());
        if role == "time" {
            if let Some(unit) = entry.time_unit.as_deref().filter(|unit| !TIME_UNITS.contains(unit)) {
                return Err(Error::user(format!(
                    "table '{table}': unknown time_unit '{unit}'; {}",
                    suggest(unit, TIME_UNITS)
                )));
            }
            match (fields[at].data_type(), &entry.time_unit) {
                (DataType::Timestamp(_, _) | DataType::Date32 | DataType::Date64, _) => {}
                (integer, Some(unit)) if integer.is_integer() => {
                    metadata.insert(TIME_UNIT_KEY.to_string(), unit.clone());
                }
                (integer, None) if integer.is_integer() => {
                    return Err(Error::user(format!(
                        "table '{table}': the time column '{column}' holds integers; say their unit with time_unit = \"ms\" (s, ms, us or ns)"
                    )));
                }
                (other, _) => {
                    return Err(Error::user(format!(
                        "table '{table}': the time column '{column}' must be a TIMESTAMP, a DATE or an integer with time_unit, got {other}"
                    )));
                }
            }
        }
        fields[at] = fields[at].clone().with_metadata(metadata);
    }
    Ok(Some(Arc::new(Schema::new_with_metadata(fields, schema.metadata().clone()))))
}

/// The data files of a location: a file itself, those below a folder, those that a glob matches.
pub(super) fn files_at(location: &Path) -> Result<Vec<PathBuf>> {
    let text = path_text(location)?;
    if text.contains(['*', '?', '[']) && !location.exists() {
        // What the glob matches is looked up below its last fixed folder.
        let fixed: PathBuf =
            location.components().take_while(|c| !c.as_os_str().to_string_lossy().contains(['*', '?', '['])).collect();
        let fixed = if fixed.as_os_str().is_empty() { PathBuf::from(".") } else { fixed };
        let pattern = glob_pattern(&text)?;
        let mut files = Vec::new();
        if fixed.is_dir() {
            walk(&fixed, &mut files)?;
        }
        files.retain(|f| f.to_str().is_some_and(|f| pattern.matches(f.trim_start_matches("./"))));
        return match files.is_empty() {
            true => Err(Error::data(format!("no file matches '{text}'"))),
            false => Ok(files),
        };
    }
    match std::fs::metadata(location) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Err(Error::data(format!("'{text}' does not exist"))),
        Err(e) => Err(Error::io("open", location, &e)),
        Ok(found) if found.is_file() => Ok(vec![location.to_path_buf()]),
        Ok(_) => {
            let mut files = Vec::new();
            walk(location, &mut files)?;
            files.retain(|f| format_of(f).is_some());
            match files.is_empty() {
                true => Err(Error::data(format!("folder '{text}' holds no parquet, csv or json file"))),
                false => Ok(files),
            }
        }
    }
}

fn glob_pattern(text: &str) -> Result<glob::Pattern> {
    glob::Pattern::new(text.trim_start_matches("./"))
        .map_err(|e| Error::user(format!("'{text}' is not a valid pattern: {e}")))
}

/// Files below a folder in the order of their names; hidden and `_` ones are not data.
pub(super) fn walk(folder: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    let read = std::fs::read_dir(folder).map_err(|e| Error::io("list", folder, &e))?;
    let mut entries: Vec<PathBuf> = Vec::new();
    for entry in read {
        entries.push(entry.map_err(|e| Error::io("list", folder, &e))?.path());
    }
    entries.sort();
    for path in entries {
        let hidden = path.file_name().and_then(|n| n.to_str()).is_none_or(|n| n.starts_with(['.', '_']));
        if hidden {
            continue;
        }
        if path.is_dir() {
            // Its folder also holds files that no longer are part of it.
            if is_managed(&path) {
                let message = format!("folder '{}' is a managed table (it has a {LOG_FOLDER})", path.display());
                return Err(Error::data(message).hint("name that folder itself"));
            }
            walk(&path, files)?;
        } else {
            files.push(path);
        }
    }
    Ok(())
}

fn path_text(path: &Path) -> Result<String> {
    path.to_str().map(str::to_string).ok_or_else(|| Error::user(format!("path '{}' is not UTF-8", path.display())))
}

/// Finds the file behind a failure to open a table: the library's message does not name it.
async fn explain(
    state: &dyn Session,
    command: &CreateExternalTable,
    subject: &str,
    files: &[PathBuf],
    error: Error,
) -> Error {
    let Some(format) = state
        .as_any()
        .downcast_ref::<datafusion::execution::SessionState>()
        .and_then(|s| s.get_file_format_factory(&command.file_type)?.create(s, &command.options).ok())
    else {
        return error;
    };
    let mut seen: HashMap<String, (DataType, &PathBuf)> = HashMap::new();
    for file in files {
        let Ok(url) = ListingTableUrl::parse(file.to_string_lossy()) else { continue };
        let options = datafusion::datasource::listing::ListingOptions::new(Arc::clone(&format)).with_file_extension("");
        let schema = match options.infer_schema(state, &url).await {
            Ok(schema) => schema,
            Err(e) => {
                let e = Error::from(e);
                return Error::data(format!("{subject}cannot read '{}': {}", file.display(), e.message()));
            }
        };
        for field in schema.fields() {
            match seen.get(field.name()) {
                Some((before, other)) if before != field.data_type() => {
                    return Error::data(format!(
                        "{subject}column '{}' is {before} in '{}' but {} in '{}'; files of one table must agree",
                        field.name(),
                        other.display(),
                        field.data_type(),
                        file.display()
                    ));
                }
                Some(_) => {}
                None => {
                    seen.insert(field.name().clone(), (field.data_type().clone(), file));
                }
            }
        }
    }
    error.within(subject)
}
