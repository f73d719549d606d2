//! The way into a managed table: a stream of batches in, one committed version out.
//!
//! Deals with: the order of the rows, where files end, bounded memory, putting files in place, the commit. Does not deal with: where
//! rows come from (`ingest`, statements in `engine`), or rows that are there already (`compact`, `erase`, `retype`).
//!
//! ```text
//!  batches ─▶ Rows ─▶ Writer ─┬─ users and times ─▶ sort ─▶ layout ─┐
//!             types           └─ neither ─▶ files as they come ─────┴─▶ Written ─▶ commit ─▶ version n
//! ```
//!
//! Nothing of the table changes before the commit, which adds all files at once. Until then everything lies in a staging folder of
//! the caller's: one that goes with its process (`staging`) or one that the same command resumes (`unfinished`). A table whose
//! definition names a user and a time column keeps its rows in that order; other tables keep rows as they come.

mod insert;
mod rows;
mod writer;

use std::path::{Path, PathBuf};

use arrow::datatypes::{Field, SchemaRef};

pub use insert::InsertTarget;
pub use rows::defined;
pub use writer::{Landed, Limits, Writer, Written};

use super::compact::writable;
use super::layout::Layout;
use super::managed::commit::Definition;
use super::managed::log::{At, ORDER, TableLog};
use super::managed::{Roles, is_managed, versions};
use super::unfinished;
use crate::error::{Error, Result};

/// Setting of a table: the period of its time slices.
pub const PERIOD: &str = "period";
/// Setting of a table: the column that tells repeated events.
pub const DEDUP_KEY: &str = "dedup_key";

/// Setting of a table whose rows have no order: the column that says whom a row is of, so that it can be erased.
pub const USER: &str = "user";

/// What a folder is to a writer.
#[derive(Debug)]
pub enum Ground {
    /// A table can be made here.
    Free,
    /// A managed table, at its newest version.
    Table(Box<TableLog>),
    /// It lies within a managed table, whose folder this is; none can be made here.
    Within(PathBuf),
    /// It holds files that are not a table's.
    Foreign,
}

/// Removes what statements and other writers that were killed left in a table's folder.
pub fn clear_up(folder: &Path) {
    super::staging::sweep(folder);
}

/// Looks at the folder that rows are meant for.
pub async fn ground(folder: &Path) -> Result<Ground> {
    if let Some(outer) = folder.ancestors().skip(1).find(|outer| is_managed(outer)) {
        return Ok(Ground::Within(outer.to_path_buf()));
    }
    if TableLog::exists(folder) && versions::newest(folder)?.is_some() {
        return TableLog::open(folder, At::Latest).await.map(|log| Ground::Table(Box::new(log)));
    }
    let foreign = std::fs::read_dir(folder).is_ok_and(|mut entries| {
        entries.any(|e| e.is_ok_and(|e| !e.file_name().to_string_lossy().starts_with(['_', '.'])))
    });
    // Files that a writer put in place just before it was killed do not count as foreign.
    let ours = folder.join(unfinished::FOLDER).is_dir() || TableLog::exists(folder);
    Ok(if foreign && !ours { Ground::Foreign } else { Ground::Free })
}

/// The table that rows go to: one that is there, at a version, or one that the first commit makes.
#[derive(Debug, Clone)]
pub struct Destination {
    folder: PathBuf,
    log: Option<TableLog>,
    definition: Definition,
}

impl Destination {
    /// `definition` is what the table shall be. Where it is there (`log`), columns and settings that it lacks are added by the commit.
    pub fn new(folder: &Path, log: Option<TableLog>, definition: Definition) -> Self {
        Self { folder: folder.to_path_buf(), log, definition }
    }

    /// A table that is there, as it is. Errors: one that tenure did not make, or may not write.
    pub fn existing(log: TableLog) -> Result<Self> {
        let roles = match log.roles() {
            None if log.setting(ORDER).is_some() => {
                unordered(&log)?;
                None
            }
            // It says what is missing.
            _ => Some(writable(&log)?.roles),
        };
        let setting = |name: &str| log.setting(name).map(|value| (name.to_string(), value.to_string()));
        let settings = [PERIOD, DEDUP_KEY, USER].into_iter().filter_map(setting).collect();
        let definition = Definition { schema: log.schema().clone(), roles, settings };
        let folder = log.folder().to_path_buf();
        Ok(Self::new(&folder, Some(log), definition))
    }

    /// The same table at its newest version. Errors: its columns are other ones by now.
    pub async fn newest(&self) -> Result<Self> {
        let Some(log) = &self.log else { return Ok(self.clone()) };
        let newest = Self::existing(log.newest().await?)?;
        if newest.definition.schema != self.definition.schema {
            return Err(Error::data(format!("the columns of '{}' changed meanwhile", self.folder.display()))
                .hint("run the statement again"));
        }
        Ok(newest)
    }

    /// The table's folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The columns of the rows, in the order of the table.
    pub fn schema(&self) -> &SchemaRef {
        &self.definition.schema
    }

    /// Which columns order the rows, where any do.
    pub fn roles(&self) -> Option<&Roles> {
        self.definition.roles.as_ref()
    }

    /// The column that tells repeated events.
    pub fn dedup_key(&self) -> Option<&str> {
        self.setting(DEDUP_KEY)
    }

    fn setting(&self, name: &str) -> Option<&str> {
        self.definition.settings.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    fn layout(&self) -> Result<Layout> {
        let period = self.setting(PERIOD).map(str::parse).transpose()?;
        Ok(Layout { period, dedup: self.dedup_key().map(str::to_string), ..Layout::new() })
    }

    /// Columns that the table lacks.
    fn new_columns(&self, log: &TableLog) -> Vec<Field> {
        let fields = self.definition.schema.fields().iter();
        let new = fields.filter(|field| log.schema().index_of(field.name()).is_err());
        new.map(|field| Field::new(field.name(), field.data_type().clone(), true)).collect()
    }

    /// Settings that the table lacks.
    fn new_settings(&self, log: &TableLog) -> Vec<(String, String)> {
        self.definition.settings.iter().filter(|(name, _)| log.setting(name).is_none()).cloned().collect()
    }
}

/// Checks that a table whose rows have no order may be written.
pub(super) fn unordered(log: &TableLog) -> Result<()> {
    match log.only_read() {
        Some(why) => Err(Error::data(format!(
            "'{}' {why}: tenure reads such tables but does not write them",
            log.folder().display()
        ))),
        None => Ok(()),
    }
}
