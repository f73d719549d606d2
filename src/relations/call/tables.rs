//! The table that a relation asks about: a name, a file, a function of files, a query.
//!
//! Deals with: finding it where the session does not look by itself, waiting for a file to be opened, names that nothing has.
//! Does not deal with: the other arguments (`call`).

use std::sync::Arc;

use datafusion::catalog::{CatalogProviderList, TableProvider};
use datafusion::common::TableReference;
use datafusion::common::utils::quote_identifier;
use datafusion::datasource::provider_as_source;
use datafusion::error::DataFusionError;
use datafusion::logical_expr::planner::RelationPlannerContext;
use datafusion::logical_expr::{LogicalPlan, LogicalPlanBuilder};
use datafusion::sql::sqlparser::ast::{
    Expr as SqlExpr, FunctionArguments, Ident, ObjectName, TableAlias, TableFactor, Value,
};
use futures::FutureExt;

use crate::error::{Error, Result, nearest};

/// The input: a table name, `'file.parquet'`, `(SELECT ...)`, or another relation's call.
pub fn plan_input(
    relation: &str,
    written: SqlExpr,
    context: &mut dyn RelationPlannerContext,
    catalogs: &dyn CatalogProviderList,
) -> Result<LogicalPlan> {
    let name = match written {
        SqlExpr::Subquery(query) => {
            let factor = TableFactor::Derived { lateral: false, subquery: query, alias: None, sample: None };
            return context.plan(factor).map_err(Error::from);
        }
        // Of files, as in read_csv('x.csv', delimiter => ';').
        SqlExpr::Function(call) => {
            let FunctionArguments::List(list) = call.args else {
                return Err(Error::user(format!("{relation}: the first argument must be a table or (SELECT ...)")));
            };
            let (name, args) = (call.name, list.args);
            let factor =
                TableFactor::Function { lateral: false, name, args, with_ordinality: false, alias: None::<TableAlias> };
            return context.plan(factor).map_err(Error::from);
        }
        SqlExpr::Identifier(ident) => ObjectName::from(vec![ident]),
        SqlExpr::CompoundIdentifier(idents) => ObjectName::from(idents),
        SqlExpr::Value(value) => match value.value {
            Value::SingleQuotedString(path) => ObjectName::from(vec![Ident::with_quote('"', path)]),
            other => return Err(Error::user(format!("{relation}: the first argument must be a table, got {other}"))),
        },
        other => {
            return Err(Error::user(format!(
                "{relation}: the first argument must be a table or (SELECT ...), got {other}"
            )));
        }
    };
    plan_table(relation, name, context, catalogs)
}

/// The scan of a table by its name, wherever the name stands: the session itself resolves only those in FROM.
pub fn plan_table(
    relation: &str,
    name: ObjectName,
    context: &mut dyn RelationPlannerContext,
    catalogs: &dyn CatalogProviderList,
) -> Result<LogicalPlan> {
    let reference = context.object_name_to_table_reference(name.clone())?;
    match context.plan(bare_table(name)) {
        Ok(plan) => Ok(plan),
        Err(_) => {
            let defaults = context.context_provider().options().catalog.clone();
            let resolved = reference.clone().resolve(&defaults.default_catalog, &defaults.default_schema);
            let schema = catalogs.catalog(&resolved.catalog).and_then(|c| c.schema(&resolved.schema));
            let Some(schema) = schema else {
                return Err(Error::user(format!("{relation}: schema '{}' not found", resolved.schema)));
            };
            let table = wait_for(async { schema.table(&resolved.table).await })?;
            match table {
                Some(table) => scan(reference, table),
                None => Err(missing_table(&format!("{relation}: "), &resolved.table, &schema.table_names())),
            }
        }
    }
}

/// The error of a table that does not exist, with the nearest or all tables there are.
pub fn missing_table(subject: &str, table: &str, known: &[String]) -> Error {
    let error = Error::user(format!("{subject}table '{table}' not found"));
    match nearest(table, known.iter().map(String::as_str)).as_slice() {
        [] if known.is_empty() => error.hint("no tables are registered; register one with -t name=path"),
        [] => error.hint(format!("tables: {}", known.join(", "))),
        near => error.hint(format!(
            "did you mean {}?",
            near.iter().map(|name| quote_identifier(name).into_owned()).collect::<Vec<_>>().join(" or ")
        )),
    }
}

fn bare_table(name: ObjectName) -> TableFactor {
    TableFactor::Table {
        name,
        alias: None::<TableAlias>,
        args: None,
        with_hints: vec![],
        version: None,
        with_ordinality: false,
        partitions: vec![],
        json_path: None,
        sample: None,
        index_hints: vec![],
    }
}

/// The scan of a table that is at hand.
pub fn scan(reference: TableReference, table: Arc<dyn TableProvider>) -> Result<LogicalPlan> {
    Ok(LogicalPlanBuilder::scan(reference, provider_as_source(table), None)?.build()?)
}

/// Planning is synchronous, looking a table up is not. Registered tables answer at once; a file has to be opened, on a
/// thread with a runtime of its own, so that it works whatever runtime the caller is on.
pub fn wait_for<T: Send>(lookup: impl Future<Output = Result<T, DataFusionError>> + Send) -> Result<T> {
    let mut lookup = Box::pin(lookup);
    if let Some(ready) = lookup.as_mut().now_or_never() {
        return ready.map_err(Error::from);
    }
    std::thread::scope(|scope| {
        let opened = scope.spawn(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime
                .map_err(|e| Error::resources(format!("cannot start a runtime: {e}")))?
                .block_on(lookup)
                .map_err(Error::from)
        });
        opened.join().unwrap_or_else(|_| Err(Error::internal("looking a table up panicked")))
    })
}
