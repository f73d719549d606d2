//! The declaration of a table over Parquet files, from which it is opened, and opened again when its files change.
//!
//! Deals with: what `CREATE EXTERNAL TABLE .. STORED AS PARQUET` says, roles. Does not deal with: the files themselves (`files`).

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::logical_expr::{CreateExternalTable, SortExpr};

use super::managed::versions::percent_decoded;
use super::table::{declare_roles, files_at};
use crate::config::TableEntry;
use crate::error::{Error, Result, suggest};
use crate::files::followed::Opening;
use crate::files::location::DataFile;
use crate::files::parquet::{self, Declared, ParquetOptions};

/// What is declared.
#[derive(Debug)]
pub struct ParquetFiles {
    name: String,
    locations: Vec<PathBuf>,
    order: Vec<Vec<SortExpr>>,
    columns: Option<SchemaRef>,
    options: ParquetOptions,
    entry: TableEntry,
    definition: Option<String>,
}

impl ParquetFiles {
    /// Takes it off a statement.
    pub fn new(command: &CreateExternalTable, entry: &TableEntry) -> Result<Self> {
        let mut locations = Vec::new();
        for location in &command.locations {
            let local = location.strip_prefix("file://").unwrap_or(location);
            if local.contains("://") {
                let message = format!("'{location}': remote locations are not supported, only local files");
                return Err(Error::user(message));
            }
            locations.push(PathBuf::from(local));
        }
        let mut options = ParquetOptions::default();
        for (key, value) in &command.options {
            let key = key.to_lowercase();
            match key.strip_prefix("format.").unwrap_or(&key) {
                "binary_as_text" | "binary_as_string" => {
                    let wanted = value.parse().map_err(|_| {
                        Error::user(format!(
                            "CREATE EXTERNAL TABLE {}: {key} is true or false, not '{value}'",
                            command.name
                        ))
                    })?;
                    options.binary_as_text = Some(wanted);
                }
                other => {
                    let message = format!("CREATE EXTERNAL TABLE {}: unknown option '{other}'", command.name);
                    return Err(Error::user(format!("{message}; {}", suggest(other, ["binary_as_text"]))));
                }
            }
        }
        let columns = (!command.schema.fields().is_empty()).then(|| Arc::new(command.schema.as_arrow().clone()));
        Ok(Self {
            name: command.name.to_string(),
            locations,
            order: command.order_exprs.clone(),
            columns,
            options,
            entry: entry.clone(),
            definition: command.definition.clone(),
        })
    }
}

#[async_trait]
impl Opening for ParquetFiles {
    fn find(&self) -> Result<Vec<DataFile>> {
        let mut files = Vec::new();
        for location in &self.locations {
            let alone = location.is_file();
            for path in files_at(location)? {
                let parquet = path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("parquet"));
                if alone || parquet {
                    files.push(data_file(location, path)?);
                }
            }
        }
        match files.is_empty() {
            true => Err(Error::data(format!("'{}' holds no Parquet file", self.locations[0].display()))),
            false => Ok(files),
        }
    }

    async fn open(&self, state: &dyn Session, files: Vec<DataFile>) -> Result<Arc<dyn TableProvider>> {
        let roles = |schema: &SchemaRef| -> Result<SchemaRef> {
            Ok(declare_roles(&self.name, schema, &self.entry)?.unwrap_or_else(|| Arc::clone(schema)))
        };
        let declared = Declared { order: self.order.clone(), columns: self.columns.clone(), roles: Some(&roles) };
        parquet::open(state, files, &self.options, declared).await
    }

    fn definition(&self) -> Option<&str> {
        self.definition.as_deref()
    }
}

fn data_file(location: &Path, path: PathBuf) -> Result<DataFile> {
    let found = std::fs::metadata(&path).map_err(|e| Error::io("open", &path, &e))?;
    let modified = found.modified().map_err(|e| Error::io("open", &path, &e))?;
    let below = if location.is_dir() { path.strip_prefix(location).unwrap_or(&path) } else { &path };
    let mut partitions = Vec::new();
    for step in below.parent().into_iter().flat_map(Path::components).filter(|_| !location.is_file()) {
        if let Some((key, value)) = step.as_os_str().to_str().and_then(|step| step.split_once('=')) {
            let value = (value != "__HIVE_DEFAULT_PARTITION__").then(|| percent_decoded(value));
            partitions.push((percent_decoded(key), value));
        }
    }
    Ok(DataFile { size: found.len(), modified, partitions, path })
}
