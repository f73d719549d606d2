//! Names in FROM that are not registered tables: `'file.parquet'`, workspace tables that could not be opened, and managed tables that
//! were made since.

use std::any::Any;
use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};

use async_trait::async_trait;
use datafusion::catalog::{TableProvider, UrlTableFactory};
use datafusion::common::config::ConfigOptions;
use datafusion::error::Result;
use datafusion::execution::SessionState;
use parking_lot::RwLock;

use super::last_result::{LAST_RESULT, LastResult};
use crate::config::TableEntry;
use crate::files::followed::Followed;
use crate::store::{managed, table};

/// Opens files that stand in FROM, where the session may.
#[derive(Debug)]
pub struct LocalFiles {
    /// Set once the session exists; the session holds this, so the way back must not keep it alive.
    pub session: RwLock<Option<Weak<RwLock<SessionState>>>>,
    /// Whether unregistered files may be read.
    pub allowed: bool,
    /// The workspace's folder, whose managed tables are found by name: one may be made while the session is open.
    pub workspace: Option<PathBuf>,
    /// Workspace tables that could not be opened, with the reason, which is the error of whoever uses one.
    pub broken: RwLock<BTreeMap<String, String>>,
    /// Files that stood in FROM before: only where they have changed are they looked at again.
    pub opened: RwLock<HashMap<String, Followed>>,
    /// What `_` stands for.
    pub last_result: RwLock<Option<Arc<LastResult>>>,
}

/// Names that are remembered in `opened`.
const OPENED: usize = 200;

impl LocalFiles {
    /// The session's state, while it is open.
    pub fn state(&self) -> Option<SessionState> {
        Some(self.session.read().as_ref()?.upgrade()?.read().clone())
    }
}

#[async_trait]
impl UrlTableFactory for LocalFiles {
    async fn try_new(&self, name: &str) -> Result<Option<Arc<dyn TableProvider>>> {
        if name == LAST_RESULT
            && let Some(last) = self.last_result.read().as_ref()
        {
            return Ok(Some(last.kept()?.table()));
        }
        if let Some(reason) = self.broken.read().get(name) {
            return Err(crate::error::Error::data(reason.as_str()).into());
        }
        let new = self.workspace.as_ref().filter(|folder| managed::below(folder).iter().any(|found| found == name));
        if new.is_none() && (!self.allowed || !table::looks_like_file(name)) {
            return Ok(None);
        }
        let managed = managed::is_managed(&crate::files::location::expanded(name));
        if let Some(known) = self.opened.read().get(name).filter(|_| !managed && new.is_none()) {
            return Ok(Some(Arc::new(known.clone())));
        }
        let Some(state) = self.state() else { return Ok(None) };
        let entry = TableEntry { location: name.to_string(), ..TableEntry::default() };
        let base = new.map_or(Path::new(""), PathBuf::as_path);
        let table = table::open(&state, name, &entry, base).await?;
        if let Some(followed) = (table.as_ref() as &dyn Any).downcast_ref::<Followed>() {
            let mut opened = self.opened.write();
            if opened.len() >= OPENED {
                opened.clear();
            }
            opened.insert(name.to_string(), followed.clone());
        }
        Ok(Some(table))
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
