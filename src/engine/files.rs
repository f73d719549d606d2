//! Names in FROM that are no registered table: `'file.parquet'`, and workspace tables that could not be opened.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Weak};

use async_trait::async_trait;
use datafusion::catalog::{TableProvider, UrlTableFactory};
use datafusion::common::config::ConfigOptions;
use datafusion::error::Result;
use datafusion::execution::SessionState;
use parking_lot::RwLock;

use crate::config::TableEntry;
use crate::store::table;

/// Opens files that stand in FROM, where the session may.
#[derive(Debug)]
pub struct LocalFiles {
    /// Set once the session exists; the session holds this, so the way back must not keep it alive.
    pub session: RwLock<Option<Weak<RwLock<SessionState>>>>,
    /// Whether unregistered files may be read.
    pub allowed: bool,
    /// Workspace tables that could not be opened, with the reason: it is told when one is used.
    pub broken: RwLock<BTreeMap<String, String>>,
}

#[async_trait]
impl UrlTableFactory for LocalFiles {
    async fn try_new(&self, name: &str) -> Result<Option<Arc<dyn TableProvider>>> {
        if let Some(reason) = self.broken.read().get(name) {
            return Err(crate::error::Error::data(reason.as_str()).into());
        }
        if !self.allowed || !table::looks_like_file(name) {
            return Ok(None);
        }
        let Some(state) = self.session.read().as_ref().and_then(Weak::upgrade).map(|s| s.read().clone()) else {
            return Ok(None);
        };
        let entry = TableEntry { location: name.to_string(), ..TableEntry::default() };
        Ok(Some(table::open(&state, name, &entry, Path::new("")).await?))
    }
}

/// The options a session starts with, beside the user's own.
pub fn defaults(options: &mut ConfigOptions) {
    // Relations sort their answer; without this DataFusion drops a sort below the outermost SELECT.
    options.sql_parser.enable_subquery_sort_elimination = false;
    // Files in plain subfolders of a table's folder belong to it, and a glob may name several levels.
    options.execution.listing_table_ignore_subdirectory = false;
    options.catalog.information_schema = true;
    options.execution.listing_table_factory_infer_partitions = true;
}
