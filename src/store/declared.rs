//! The declaration of a table over files, from which it is opened, and opened again when its files change.
//!
//! Deals with: locations, formats, options, columns, order and roles, wherever they are said: CREATE EXTERNAL TABLE, tenure.toml,
//! `read_csv(..)`, a name in FROM. Does not deal with: which files a location names and how they are read (`files`).

use std::path::PathBuf;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::logical_expr::{Expr, SortExpr};

use super::table::declare_roles;
use crate::config::TableEntry;
use crate::error::{Error, Result};
use crate::files::followed::Opening;
use crate::files::location::{self, DataFile};
use crate::files::mixed::{MixedTable, is_parquet};
use crate::files::options::ReadOptions;
use crate::files::parquet::{self, Declared, ParquetOptions};
use crate::files::source::{SourceFormat, ending};
use crate::files::text_table::TextTable;

/// What is declared.
#[derive(Debug, Default)]
pub struct DeclaredFiles {
    /// How messages call the table; empty where the file in FROM is its name.
    pub subject: String,
    /// Its name.
    pub name: String,
    /// What the locations are relative to.
    pub base: PathBuf,
    /// Where the files are.
    pub locations: Vec<String>,
    /// How text is read; the format, where names do not say it.
    pub read: ReadOptions,
    /// How Parquet is read.
    pub parquet: ParquetOptions,
    /// Columns by which each file is sorted.
    pub order: Vec<Vec<SortExpr>>,
    /// The columns, where they are declared.
    pub columns: Option<SchemaRef>,
    /// Roles.
    pub entry: TableEntry,
    /// The statement that declared it.
    pub definition: Option<String>,
}

#[async_trait]
impl Opening for DeclaredFiles {
    fn find(&self) -> Result<Vec<DataFile>> {
        let mut files: Vec<DataFile> = Vec::new();
        for location in &self.locations {
            for file in location::find(location, &self.base).map_err(|e| e.within(&self.subject))? {
                if !files.iter().any(|known| known.path == file.path) {
                    files.push(file);
                }
            }
        }
        match self.read.said.format {
            // Of a folder with files of several kinds, those of the kind that was asked for.
            Some(format) if files.len() > 1 && files.iter().any(|f| is(f, format)) => {
                files.retain(|file| is(file, format));
            }
            _ => {}
        }
        Ok(files)
    }

    async fn open(&self, state: &dyn Session, files: Vec<DataFile>) -> Result<Arc<dyn TableProvider>> {
        let opened = self.opened(state, files).await;
        // What is declared of a column names the table itself.
        opened.map_err(|e| if e.message().starts_with(&self.subject) { e } else { e.within(&self.subject) })
    }

    fn definition(&self) -> Option<&str> {
        self.definition.as_deref()
    }
}

fn is(file: &DataFile, format: SourceFormat) -> bool {
    ending(&file.path).is_some_and(|(_, known)| known == format)
}

impl DeclaredFiles {
    async fn opened(&self, state: &dyn Session, files: Vec<DataFile>) -> Result<Arc<dyn TableProvider>> {
        let roles = |schema: &SchemaRef| -> Result<SchemaRef> {
            Ok(declare_roles(&self.name, schema, &self.entry)?.unwrap_or_else(|| Arc::clone(schema)))
        };
        let declared = Declared { order: self.order.clone(), columns: self.columns.clone(), roles: Some(&roles) };
        let stored = match self.read.said.format {
            Some(SourceFormat::Parquet) => files.len(),
            Some(_) => 0,
            None => files.iter().filter(|file| is_parquet(file)).count(),
        };
        if stored > 0 && stored == files.len() {
            return parquet::open(state, files, &self.parquet, declared).await;
        }
        if stored > 0 {
            let user = self.entry.user.as_deref();
            let table = MixedTable::open(state, files, (&self.read, &self.parquet), user, declared).await?;
            return Ok(Arc::new(table));
        }
        let order = self.order.first().map(|order| plain(order)).transpose()?.unwrap_or_default();
        let (read, user, columns) = (self.read.clone(), self.entry.user.clone(), self.columns.clone());
        let open = move || TextTable::open(files, &read, user.as_deref(), &order, columns.as_ref());
        // Looking at samples takes its time, and a runtime need not wait for it.
        let table = tokio::task::spawn_blocking(open).await;
        let table = table.map_err(|e| Error::internal(format!("files could not be looked at: {e}")))??;
        let schema = roles(&table.schema())?;
        Ok(Arc::new(table.with_schema(schema)))
    }
}

/// The columns of an order, ascending, as text files may be declared to be sorted.
fn plain(order: &[SortExpr]) -> Result<Vec<String>> {
    let name = |sort: &SortExpr| match &sort.expr {
        Expr::Column(column) if sort.asc => Ok(column.name.clone()),
        _ => Err(Error::user(format!("WITH ORDER: text files are sorted by ascending columns, not by {sort}"))),
    };
    order.iter().map(name).collect()
}
