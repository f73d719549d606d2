//! Opening files as a table: one file, a folder, a glob, hive partitions, a managed table; roles and order declared with it.
//!
//! Deals with: whether a location is a managed table or files, the words of declarations, role metadata.
//! Does not deal with: where the declaration comes from (`config`, `engine`), the commit log (`managed`), or files (`files`).

use std::path::Path;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::catalog::{Session, TableProvider};
use datafusion::logical_expr::{CreateExternalTable, SortExpr, col};

use super::declared::DeclaredFiles;
use super::managed::is_managed;
use super::managed::provider::ManagedTable;
use crate::config::TableEntry;
use crate::error::{Error, Result, suggest};
use crate::files::followed::Followed;
use crate::files::location;
use crate::files::options::{Given, ReadOptions};
use crate::files::parquet::ParquetOptions;
use crate::files::source::SourceFormat;

/// Key of the column metadata that says which role a column has.
pub const ROLE_KEY: &str = "tenure.role";
/// Key of the column metadata that says the unit of an integer time column.
pub const TIME_UNIT_KEY: &str = "tenure.time_unit";

/// The column names that are taken for a role where nothing else says it.
pub const CONVENTIONS: [(&str, &[&str]); 3] =
    [("user", &["user_id"]), ("time", &["ts", "time", "timestamp"]), ("event", &["event"])];

/// Units of an integer time column.
pub const TIME_UNITS: [&str; 4] = ["s", "ms", "us", "ns"];

/// Whether a name in FROM looks like a file or a managed table's folder rather than a table.
pub fn looks_like_file(name: &str) -> bool {
    location::looks_like_one(name) || is_managed(&location::expanded(name))
}

/// The word for managed tables in `STORED AS` and in the workspace file's `format`.
const MANAGED_FORMAT: &str = "delta";

/// Words for formats.
const FORMATS: [(&str, SourceFormat); 6] = [
    ("parquet", SourceFormat::Parquet),
    ("csv", SourceFormat::Csv),
    ("tsv", SourceFormat::Csv),
    ("json", SourceFormat::Ndjson),
    ("ndjson", SourceFormat::Ndjson),
    ("jsonl", SourceFormat::Ndjson),
];

/// How messages call a table: by its name, or not at all where the file in FROM is its name.
fn subject(name: &str, location: &str) -> String {
    if name == location { String::new() } else { format!("table '{name}': ") }
}

fn format_named(format: &str) -> Option<SourceFormat> {
    FORMATS.iter().find(|(name, _)| name.eq_ignore_ascii_case(format)).map(|(_, format)| *format)
}

/// Opens a table as an entry of the workspace declares it; `base` is what its location is relative to.
pub async fn open(state: &dyn Session, name: &str, entry: &TableEntry, base: &Path) -> Result<Arc<dyn TableProvider>> {
    let folder = base.join(location::expanded(&entry.location));
    let subject = subject(name, &entry.location);
    let wants_log = entry.format.as_ref().is_some_and(|format| format.eq_ignore_ascii_case(MANAGED_FORMAT));
    if wants_log || is_managed(&folder) {
        if let Some(format) = entry.format.as_ref().filter(|f| !wants_log && !f.eq_ignore_ascii_case("parquet")) {
            let message = format!("{subject}'{}' is a managed table, its format is not '{format}'", folder.display());
            return Err(Error::user(message));
        }
        if !entry.read.is_empty() {
            let message =
                format!("{subject}'{}' is a managed table, there is no way to read it otherwise", folder.display());
            return Err(Error::user(message).hint("leave out read"));
        }
        return Ok(Arc::new(ManagedTable::open(&folder, entry).await.map_err(|e| e.within(&subject))?));
    }
    let mut read = ReadOptions::default();
    if let Some(format) = &entry.format {
        let Some(known) = format_named(format) else {
            let known: Vec<&str> = FORMATS.iter().map(|(name, _)| *name).chain([MANAGED_FORMAT]).collect();
            return Err(Error::user(format!("{subject}unknown format '{format}'; {}", suggest(format, known))));
        };
        read.said.format = Some(known);
        if format.eq_ignore_ascii_case("tsv") {
            read.csv.delimiter = Some(b'\t');
        }
    }
    let mut parquet = ParquetOptions::default();
    for (key, value) in &entry.read {
        option(&mut read, &mut parquet, key, given(value)).map_err(|e| e.within(&subject))?;
    }
    let order: Vec<SortExpr> = entry.order.iter().map(|c| col(format!("\"{c}\"")).sort(true, false)).collect();
    let declared = DeclaredFiles {
        subject,
        name: name.to_string(),
        base: base.to_path_buf(),
        locations: vec![entry.location.clone()],
        read,
        parquet,
        order: if order.is_empty() { vec![] } else { vec![order] },
        entry: entry.clone(),
        ..DeclaredFiles::default()
    };
    Ok(Arc::new(Followed::open(state, Arc::new(declared)).await?))
}

/// Opens a managed table by its folder.
pub async fn open_managed(folder: &Path) -> Result<Arc<dyn TableProvider>> {
    Ok(Arc::new(ManagedTable::open(folder, &TableEntry::default()).await?))
}

/// Opens files as `read_csv(..)` and its like say it.
pub async fn read(
    state: &dyn Session,
    function: &str,
    location: &str,
    format: SourceFormat,
    options: Vec<(String, Given)>,
) -> Result<Arc<dyn TableProvider>> {
    let mut read = ReadOptions::default().of_format(Some(format));
    let mut parquet = ParquetOptions::default();
    let subject = format!("{function}: ");
    for (key, value) in options {
        option(&mut read, &mut parquet, &key, value).map_err(|e| e.within(&subject))?;
    }
    if is_managed(&location::expanded(location)) {
        return Err(Error::user(format!("{subject}'{location}' is a managed table"))
            .hint(format!("SELECT .. FROM '{location}'")));
    }
    let (locations, name) = (vec![location.to_string()], location.to_string());
    let declared = DeclaredFiles { subject, name, locations, read, parquet, ..DeclaredFiles::default() };
    Ok(Arc::new(Followed::open(state, Arc::new(declared)).await?))
}

/// Takes an option of a declaration in.
fn option(read: &mut ReadOptions, parquet: &mut ParquetOptions, key: &str, value: Given) -> Result<()> {
    const BINARY: [&str; 2] = ["binary_as_text", "binary_as_string"];
    if !BINARY.contains(&key) {
        return read.set(key, value);
    }
    parquet.binary_as_text = Some(match value {
        Given::Bool(truth) => truth,
        Given::Text(text) if text.parse::<bool>().is_ok() => text == "true",
        _ => return Err(Error::user(format!("option '{key}' must be true or false"))),
    });
    Ok(())
}

/// A value of the workspace file as an option.
pub fn given(value: &toml::Value) -> Given {
    let text = |value: &toml::Value| value.as_str().map_or_else(|| value.to_string(), str::to_string);
    match value {
        toml::Value::Boolean(truth) => Given::Bool(*truth),
        toml::Value::Integer(number) => Given::Number(*number),
        toml::Value::Array(items) => Given::List(items.iter().map(text).collect()),
        toml::Value::Table(items) => Given::Map(items.iter().map(|(key, value)| (key.clone(), text(value))).collect()),
        other => Given::Text(text(other)),
    }
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
    let Some(format) = format_named(&command.file_type) else {
        let known = FORMATS.map(|(name, _)| name.to_uppercase());
        let known = known.iter().map(String::as_str).chain(["DELTA"]);
        let help = suggest(&command.file_type.to_uppercase(), known);
        return Err(Error::user(format!(
            "CREATE EXTERNAL TABLE {}: unknown format '{}'; {help}",
            command.name, command.file_type
        )));
    };
    let within = format!("CREATE EXTERNAL TABLE {}: ", command.name);
    let mut read = ReadOptions::default().of_format(Some(format));
    let mut parquet = ParquetOptions::default();
    if command.file_type.eq_ignore_ascii_case("tsv") {
        read.csv.delimiter = Some(b'\t');
    }
    let mut options: Vec<(&String, &String)> = command.options.iter().collect();
    options.sort();
    for (key, value) in options {
        let key = key.to_lowercase();
        let key = match key.strip_prefix("format.").unwrap_or(&key) {
            "has_header" => "header",
            "null_value" => "null",
            // Files say it themselves.
            "compression" => continue,
            key => key,
        };
        let value = match value.to_lowercase().parse() {
            Ok(truth) => Given::Bool(truth),
            Err(_) => Given::Text(value.clone()),
        };
        option(&mut read, &mut parquet, key, value).map_err(|e| e.within(&within))?;
    }
    // The folders say it themselves; what is said must be true.
    let partitioned = command.table_partition_cols.clone();
    let columns = (!command.schema.fields().is_empty()).then(|| Arc::new(command.schema.as_arrow().clone()));
    let declared = DeclaredFiles {
        subject,
        name: command.name.to_string(),
        locations: command.locations.clone(),
        read,
        parquet,
        order: command.order_exprs.clone(),
        columns,
        entry: entry.clone(),
        definition: command.definition.clone(),
        ..DeclaredFiles::default()
    };
    let table = Followed::open(state, Arc::new(declared)).await?;
    if let Some(missing) = partitioned.iter().find(|name| table.schema().index_of(name).is_err()) {
        return Err(Error::user(format!("{within}PARTITIONED BY: there are no folders '{missing}=..'")));
    }
    Ok(Arc::new(table))
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
pub(super) fn declare_roles(table: &str, schema: &SchemaRef, entry: &TableEntry) -> Result<Option<SchemaRef>> {
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
