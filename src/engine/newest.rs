//! Catalogues whose managed tables are looked up at their newest version.
//!
//! Deals with: following the log whenever a statement looks a table up, in views too. Does not deal with: what is new (`store`).
//!
//! A statement keeps the versions that it begins with ([`in_one_statement`]): however often it names a table, and whatever is
//! committed while it is planned, each is one version.

use std::any::Any;
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::catalog::{CatalogProvider, CatalogProviderList, SchemaProvider, TableProvider};
use datafusion::common::tree_node::{Transformed, TreeNodeRecursion};
use datafusion::datasource::{ViewTable, provider_as_source, source_as_provider};
use datafusion::error::Result;
use datafusion::logical_expr::{LogicalPlan, TableScanBuilder};
use datafusion::prelude::SessionContext;

use crate::store::managed::provider::ManagedTable;

tokio::task_local! {
    /// The tables of the statement that is being planned.
    static OF_STATEMENT: Vec<ManagedTable>;
}

/// Plans a statement over the versions that are newest now.
pub async fn in_one_statement<T>(context: &SessionContext, planning: impl Future<Output = T>) -> T {
    let defaults = context.copied_config().options().catalog.clone();
    let schema = context.catalog(&defaults.default_catalog).and_then(|c| c.schema(&defaults.default_schema));
    let mut tables = Vec::new();
    for (schema, name) in schema.iter().flat_map(|s| s.table_names().into_iter().map(move |name| (s, name))) {
        // One that cannot be read is told when it is used.
        if let Ok(Some(table)) = schema.table(&name).await {
            tables.extend(managed(&table).cloned());
        }
    }
    OF_STATEMENT.scope(tables, planning).await
}

/// A table at the version that the statement has begun with, or at the newest.
async fn current(old: &ManagedTable) -> Result<ManagedTable> {
    let begun = OF_STATEMENT.try_with(|tables| tables.iter().find(|t| t.follows_the_same(old)).cloned());
    match begun.ok().flatten() {
        Some(table) => Ok(table),
        None => Ok(old.newest().await?),
    }
}

/// The list.
#[derive(Debug)]
pub struct NewestCatalogs(pub Arc<dyn CatalogProviderList>);

#[derive(Debug)]
struct NewestCatalog(Arc<dyn CatalogProvider>);

#[derive(Debug)]
struct NewestSchema(Arc<dyn SchemaProvider>);

impl CatalogProviderList for NewestCatalogs {
    fn register_catalog(&self, name: String, catalog: Arc<dyn CatalogProvider>) -> Option<Arc<dyn CatalogProvider>> {
        self.0.register_catalog(name, catalog)
    }

    fn catalog_names(&self) -> Vec<String> {
        self.0.catalog_names()
    }

    fn catalog(&self, name: &str) -> Option<Arc<dyn CatalogProvider>> {
        Some(Arc::new(NewestCatalog(self.0.catalog(name)?)))
    }
}

impl CatalogProvider for NewestCatalog {
    fn schema_names(&self) -> Vec<String> {
        self.0.schema_names()
    }

    fn schema(&self, name: &str) -> Option<Arc<dyn SchemaProvider>> {
        Some(Arc::new(NewestSchema(self.0.schema(name)?)))
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
            Some(table) => Ok(Some(newest(table).await?)),
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

async fn newest(table: Arc<dyn TableProvider>) -> Result<Arc<dyn TableProvider>> {
    if let Some(old) = managed(&table) {
        return Ok(Arc::new(current(old).await?));
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
    if moved.is_empty() {
        return Ok(table);
    }
    let plan = view.logical_plan().clone().transform_up_with_subqueries(|node| {
        let LogicalPlan::TableScan(scan) = node else { return Ok(Transformed::yes(node.recompute_schema()?)) };
        let provider = source_as_provider(&scan.source)?;
        let found = managed(&provider).and_then(|old| moved.iter().find(|table| table.follows_the_same(old)));
        let Some(newest) = found else { return Ok(Transformed::no(LogicalPlan::TableScan(scan))) };
        let scan = TableScanBuilder::new(scan.table_name, provider_as_source(Arc::new(newest.clone())))
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
