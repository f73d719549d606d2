//! Parquet files as one table.
//!
//! ```text
//!  files ─▶ footers ─▶ believed ─▶ facts ─┬─▶ schema        the columns of all files, each of a type that holds all values
//!                                         ├─▶ partitions    the columns that folders name
//!                                         └─▶ statistics    what is known of each file in these terms
//!
//!  table ─▶ DataFusion's scan: source (believed footers, errors that name the file), adapt ─▶ convert (values of the wider type)
//! ```
//!
//! Deals with: everything between a list of files and a [`TableProvider`] over them. Does not deal with: which files a location names
//! (`location`), decoding (DataFusion's and parquet's), managed tables (`store`), which use the same scan.

mod adapt;
mod alone;
mod believed;
mod convert;
mod encryption;
mod facts;
mod footers;
mod order;
mod partitions;
mod schema;
mod source;
mod statistics;
mod table;
mod texts;

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use datafusion::catalog::{Session, TableProvider};
use datafusion::logical_expr::SortExpr;

pub use adapt::{ByName, Renamed, as_field};
pub use alone::{Alone, alone};
pub use footers::{Footers, undecoded};
pub use partitions::has_type;
pub use schema::widen;
pub use source::{FilePath, parquet_scan, path_of, scan};
pub use statistics::constant;
pub use table::{ParquetTable, location};

use super::location::DataFile;
use crate::error::Result;

/// How files are read.
#[derive(Debug, Clone, Copy, Default)]
pub struct ParquetOptions {
    /// Whether bytes of which the files do not say what they are are text: by default where their first rows look so.
    pub binary_as_text: Option<bool>,
}

/// What is declared of a table beside its files.
#[derive(Default)]
pub struct Declared<'a> {
    /// Orders that hold, each by columns of the table.
    pub order: Vec<Vec<SortExpr>>,
    /// Its columns, where they are not those of the files: the columns are converted to these types, or an error is told.
    pub columns: Option<SchemaRef>,
    /// Changes what columns say of themselves (their roles), not their names and types.
    pub roles: Option<&'a Roles<'a>>,
}

/// What gives columns their roles.
pub type Roles<'a> = dyn Fn(&SchemaRef) -> Result<SchemaRef> + Send + Sync + 'a;

/// Opens files as a table. Fails where one cannot be read, and where they contradict one another.
pub async fn open(
    state: &dyn Session,
    files: Vec<DataFile>,
    options: &ParquetOptions,
    declared: Declared<'_>,
) -> Result<Arc<dyn TableProvider>> {
    Ok(Arc::new(ParquetTable::open(state, files, options, declared).await?))
}
