//! Catalogues whose tables are looked up as they are now: managed tables at their newest version, folders with the files that there are.
//!
//! Deals with: following the log and the folder whenever a statement looks a table up, in views too. Does not deal with: what is new
//! (`store`, `files`).
//!
//! A statement keeps what it begins with ([`in_one_statement`]): however often it names a table, and whatever is committed or
//! written while it is planned, each is one version, or one list of files.

use std::any::Any;
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::catalog::{CatalogProvider, CatalogProviderList, SchemaProvider, TableProvider};
use datafusion::common::tree_node::{Transformed, TreeNodeRecursion};
use datafusion::datasource::{ViewTable, provider_as_source, source_as_provider};
use datafusion::error::Result;
use datafusion::logical_expr::{LogicalPlan, TableScanBuilder};
use datafusion::prelude::SessionContext;
use parking_lot::Mutex;

use super::files::LocalFiles;
use crate::files::followed::Followed;
use crate::store::managed::provider::ManagedTable;

tokio::task_local! {
    /// The tables of the statement that is being planned.
    static OF_STATEMENT: OfStatement;
}

struct OfStatement {
    managed: Vec<ManagedTable>,
    /// Those that it has named so far: looking at a folder takes as long as it has files.
    followed: Mutex<Vec<Followed>>,
}

/// Plans a statement over the versions that are newest now.
pub async fn in_one_statement<T>(context: &SessionContext, planning: impl Future<Output = T>) -> T {
    let defaults = context.copied_config().options().catalog.clone();
    let schema = context.catalog(&defaults.default_catalog).and_then(|c| c.schema(&defaults.default_schema));
    let mut tables = Vec::new();
    for (schema, name) in schema.iter().flat_map(|s| s.table_names().into_iter().map(move |name| (s, name))) {
        // One that cannot be read is an error when it is used.
        if let Ok(Some(table)) = schema.table(&name).await {
            tables.extend(managed(&table).cloned());
        }
    }
    OF_STATEMENT.scope(OfStatement { managed: tables, followed: Mutex::default() }, planning).await
}

/// A table over the files that the statement has begun with, or over those that there are.
async fn as_it_is(old: &Followed, files: &LocalFiles) -> Result<Followed> {
    let begun = OF_STATEMENT.try_with(|tables| {
        let followed = tables.followed.lock();
        followed.iter().find(|table| table.follows_the_same(old)).cloned()
    });
    if let Some(table) = begun.ok().flatten() {
        return Ok(table);
    }
    let table = match (old.unchanged()?, files.state()) {
        (Some(table), _) => table,
        (None, Some(state)) => old.reopened(&state).await?,
        (None, None) => old.clone(),
    };
    let _ = OF_STATEMENT.try_with(|tables| tables.followed.lock().push(table.clone()));
    Ok(table)
}

/// A table at the version that the statement has begun with, or at the newest.
async fn current(old: &ManagedTable) -> Result<ManagedTable> {
    let begun = OF_STATEMENT.try_with(|tables| tables.managed.iter().find(|t| t.follows_the_same(old)).cloned());
    match begun.ok().flatten() {
        Some(table) => Ok(table),
        None => Ok(old.newest().await?),
    }
}

/// The list.
#[derive(Debug)]
pub struct NewestCatalogs(pub Arc<dyn CatalogProviderList>, pub Arc<LocalFiles>);

#[derive(Debug)]
struct NewestCatalog(Arc<dyn CatalogProvider>, Arc<LocalFiles>);

#[derive(Debug)]
struct NewestSchema(Arc<dyn SchemaProvider>, Arc<LocalFiles>);

impl CatalogProviderList for NewestCatalogs {
    fn register_catalog(&self, name: String, catalog: Arc<dyn CatalogProvider>) -> Option<Arc<dyn CatalogProvider>> {
        self.0.register_catalog(name, catalog)
    }

    fn catalog_names(&self) -> Vec<String> {
        self.0.catalog_names()
    }

    fn catalog(&self, name: &str) -> Option<Arc<dyn CatalogProvider>> {
        Some(Arc::new(NewestCatalog(self.0.catalog(name)?, Arc::clone(&self.1))))
    }
}

impl CatalogProvider for NewestCatalog {
    fn schema_names(&self) -> Vec<String> {
        self.0.schema_names()
    }

    fn schema(&self, name: &str) -> Option<Arc<dyn SchemaProvider>> {
        Some(Arc::new(NewestSchema(self.0.schema(name)?, Arc::clone(&self.1))))
    }

    fn register_schema(&self, name: &str, schema: Arc<dyn SchemaProvider>) -> Result<Option<Arc<dyn SchemaProvider>>> {
        self.0.register_schema(name, schema)
    }

    fn deregister_schema(&self, name: &str, cascade: bool) -> Result<Option<Arc<dyn SchemaProvider>>> {
        self.0.deregister_schema(name, cascade)
    }
}

#[async_trait]
impl SchemaProvider for NewestSchema {
    fn owner_name(&self) -> Option<&str> {
        self.0.owner_name()
    }

    fn table_names(&self) -> Vec<String> {
        self.0.table_names()
    }

    async fn table(&self, name: &str) -> Result<Option<Arc<dyn TableProvider>>> {
        match self.0.table(name).await? {
            Some(table) => Ok(Some(newest(table, &self.1).await?)),
            None => Ok(None),
        }
    }

    fn register_table(&self, name: String, table: Arc<dyn TableProvider>) -> Result<Option<Arc<dyn TableProvider>>> {
        self.0.register_table(name, table)
    }

    fn deregister_table(&self, name: &str) -> Result<Option<Arc<dyn TableProvider>>> {
        self.0.deregister_table(name)
    }

    fn table_exist(&self, name: &str) -> bool {
        self.0.table_exist(name)
    }
}

async fn newest(table: Arc<dyn TableProvider>, files: &LocalFiles) -> Result<Arc<dyn TableProvider>> {
    if let Some(old) = managed(&table) {
        return Ok(Arc::new(current(old).await?));
    }
    if let Some(old) = followed(&table) {
        return Ok(Arc::new(as_it_is(old, files).await?));
    }
    let Some(view) = (table.as_ref() as &dyn Any).downcast_ref::<ViewTable>() else { return Ok(table) };
    let mut named: Vec<Arc<dyn TableProvider>> = Vec::new();
    view.logical_plan().apply_with_subqueries(|node| {
        if let LogicalPlan::TableScan(scan) = node {
            named.extend(source_as_provider(&scan.source).ok());
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    // A view may name a table several times: one lookup, one version.
    let mut moved: Vec<ManagedTable> = Vec::new();
    for old in named.iter().filter_map(managed) {
        if !moved.iter().any(|table| table.follows_the_same(old)) {
            let newest = current(old).await?;
            if newest.log().version() != old.log().version() {
                moved.push(newest);
            }
        }
    }
    let mut changed: Vec<Followed> = Vec::new();
    for old in named.iter().filter_map(followed) {
        if !changed.iter().any(|table| table.follows_the_same(old)) {
            let now = as_it_is(old, files).await?;
            if !now.has_seen_the_same(old) {
                changed.push(now);
            }
        }
    }
    if moved.is_empty() && changed.is_empty() {
        return Ok(table);
    }
    let plan = view.logical_plan().clone().transform_up_with_subqueries(|node| {
        let LogicalPlan::TableScan(scan) = node else { return Ok(Transformed::yes(node.recompute_schema()?)) };
        let provider = source_as_provider(&scan.source)?;
        let at = |table: &ManagedTable| Arc::new(table.clone()) as Arc<dyn TableProvider>;
        let over = |table: &Followed| Arc::new(table.clone()) as Arc<dyn TableProvider>;
        let found = managed(&provider).and_then(|old| moved.iter().find(|table| table.follows_the_same(old)).map(at));
        let found = found.or_else(|| {
            let old = followed(&provider)?;
            changed.iter().find(|table| table.follows_the_same(old)).map(over)
        });
        let Some(newest) = found else { return Ok(Transformed::no(LogicalPlan::TableScan(scan))) };
        let scan = TableScanBuilder::new(scan.table_name, provider_as_source(newest))
            .with_projection(scan.projection)
            .with_filters(scan.filters)
            .with_fetch(scan.fetch)
            .build()?;
        Ok(Transformed::yes(LogicalPlan::TableScan(scan)))
    })?;
    Ok(Arc::new(ViewTable::new(plan.data, view.definition().cloned())))
}

fn managed(provider: &Arc<dyn TableProvider>) -> Option<&ManagedTable> {
    (provider.as_ref() as &dyn Any).downcast_ref::<ManagedTable>()
}

fn followed(provider: &Arc<dyn TableProvider>) -> Option<&Followed> {
    (provider.as_ref() as &dyn Any).downcast_ref::<Followed>()
}
