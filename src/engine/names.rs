//! Names of columns and tables without regard to case, where only one fits.
//!
//! The planner makes names without quotes lower case and then wants them exact: a column `userId` would need quotes wherever it is used. Here
//! planning is tried with the names as they are; where one is not found and only one that differs in case fits, that one is put in its
//! place and planning starts again. A spelling that fits exactly comes first, whatever else differs in case only.
//!
//! Does not deal with: arguments of relations, whose columns are those of their table (`relations`).

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use datafusion::common::{SchemaError, TableReference};
use datafusion::error::DataFusionError;
use datafusion::execution::SessionState;
use datafusion::logical_expr::LogicalPlan;
use datafusion::sql::parser::Statement;
use datafusion::sql::sqlparser::ast::{Expr, Ident, ObjectName, ObjectNamePart, VisitorMut};

use super::statement::change;
use super::twins;
use crate::error::{Error, Result};
use crate::plan::check_stop;

/// Names put right in one statement.
const MOST: usize = 200;

/// Plans a statement.
pub async fn plan(state: &SessionState, mut statement: Statement) -> Result<LogicalPlan> {
    exact_spellings(state, &mut statement).await;
    // Names that are said twice, and then those that a wildcard says too.
    let mut apart = 2;
    for _ in 0..MOST {
        check_stop()?;
        let error = match state.statement_to_plan(statement.clone()).await {
            Ok(plan) => return Ok(plan),
            Err(error) => error,
        };
        if apart > 0 && twins::refused(&error.to_string()) {
            apart -= 1;
            if twins::told_apart(&mut statement) {
                continue;
            }
        }
        let Some((wanted, fitting)) = missing(state, &error).await else { return Err(error.into()) };
        match fitting.as_slice() {
            [only] if respell(&mut statement, &wanted, only) => {}
            [] | [_] => return Err(error.into()),
            several => {
                return Err(Error::user(format!("'{wanted}' may be {}", several.join(" or ")))
                    .hint("put the one that is meant in double quotes"));
            }
        }
    }
    Ok(state.statement_to_plan(statement).await?)
}

/// The name that was not found, and those that differ from it in case only.
async fn missing(state: &SessionState, error: &DataFusionError) -> Option<(String, Vec<String>)> {
    let unlike = |wanted: &str, known: &mut dyn Iterator<Item = String>| -> Vec<String> {
        let fitting: BTreeSet<String> =
            known.filter(|name| name.eq_ignore_ascii_case(wanted) && name != wanted).collect();
        fitting.into_iter().collect()
    };
    match error.find_root() {
        DataFusionError::SchemaError(inner, _) => {
            let SchemaError::FieldNotFound { field, valid_fields } = inner.as_ref() else { return None };
            let fitting = unlike(&field.name, &mut valid_fields.iter().map(|column| column.name.clone()));
            if !fitting.is_empty() {
                return Some((field.name.clone(), fitting));
            }
            // A table's alias may be what is not found.
            let TableReference::Bare { table } = field.relation.as_ref()? else { return None };
            let aliases =
                valid_fields.iter().filter_map(|column| column.relation.as_ref()).map(|r| r.table().to_string());
            Some((table.to_string(), unlike(table, &mut aliases.into_iter())))
        }
        DataFusionError::Plan(message) => {
            let name = message.split("table '").nth(1)?.split('\'').next()?;
            let wanted = name.rsplit('.').next()?.to_string();
            let defaults = &state.config_options().catalog;
            let schema = state.catalog_list().catalog(&defaults.default_catalog)?.schema(&defaults.default_schema)?;
            let fitting = unlike(&wanted, &mut schema.table_names().into_iter());
            Some((wanted, fitting))
        }
        _ => None,
    }
}

/// Puts one spelling in the place of all that differ from it in case and are not quoted.
fn respell(statement: &mut Statement, wanted: &str, spelling: &str) -> bool {
    let mut speller = Speller { wanted, spelling, changed: false };
    change(statement, &mut speller).is_ok() && speller.changed
}

struct Speller<'a> {
    wanted: &'a str,
    spelling: &'a str,
    changed: bool,
}

impl Speller<'_> {
    fn put(&mut self, name: &mut Ident) {
        if name.quote_style.is_none() && name.value.eq_ignore_ascii_case(self.wanted) {
            *name = Ident { value: self.spelling.to_string(), quote_style: Some('"'), span: name.span };
            self.changed = true;
        }
    }
}

impl VisitorMut for Speller<'_> {
    type Break = Error;

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<Error> {
        match expr {
            Expr::Identifier(name) => self.put(name),
            Expr::CompoundIdentifier(names) => names.iter_mut().for_each(|name| self.put(name)),
            _ => {}
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_relation(&mut self, relation: &mut ObjectName) -> ControlFlow<Error> {
        for part in &mut relation.0 {
            if let ObjectNamePart::Identifier(name) = part {
                self.put(name);
            }
        }
        ControlFlow::Continue(())
    }
}

/// Quotes the names that some table of the statement has exactly as they are written, with capitals.
async fn exact_spellings(state: &SessionState, statement: &mut Statement) {
    let mut capitals = Capitals::default();
    let _ = change(statement, &mut capitals);
    if capitals.names.is_empty() {
        return;
    }
    let Ok(tables) = state.resolve_table_references(statement) else { return };
    let mut columns = BTreeSet::new();
    for table in tables {
        let resolved = table
            .resolve(&state.config_options().catalog.default_catalog, &state.config_options().catalog.default_schema);
        let schema =
            state.catalog_list().catalog(&resolved.catalog).and_then(|catalog| catalog.schema(&resolved.schema));
        // Only tables that have a name, in whatever case: opening a file to look at its columns is the planner's work.
        let Some(schema) = schema else { continue };
        let names = schema.table_names();
        let exact = names.iter().find(|name| **name == *resolved.table);
        let Some(name) = exact.or_else(|| names.iter().find(|name| name.eq_ignore_ascii_case(&resolved.table))) else {
            continue;
        };
        if let Ok(Some(table)) = schema.table(name).await {
            columns.extend(table.schema().fields().iter().map(|field| field.name().clone()));
        }
    }
    for name in capitals.names.iter().filter(|name| columns.contains(*name)) {
        let mut exact = Exact { name };
        let _ = change(statement, &mut exact);
    }
}

/// Names with capitals and without quotes.
#[derive(Default)]
struct Capitals {
    names: BTreeSet<String>,
}

impl VisitorMut for Capitals {
    type Break = Error;

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<Error> {
        let names = match expr {
            Expr::Identifier(name) => std::slice::from_ref(name),
            Expr::CompoundIdentifier(names) => names.as_slice(),
            _ => &[],
        };
        let unquoted = names.iter().filter(|name| name.quote_style.is_none());
        self.names
            .extend(unquoted.map(|name| &name.value).filter(|name| name.chars().any(char::is_uppercase)).cloned());
        ControlFlow::Continue(())
    }
}

struct Exact<'a> {
    name: &'a str,
}

impl VisitorMut for Exact<'_> {
    type Break = Error;

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<Error> {
        let names = match expr {
            Expr::Identifier(name) => std::slice::from_mut(name),
            Expr::CompoundIdentifier(names) => names.as_mut_slice(),
            _ => &mut [],
        };
        for name in names.iter_mut().filter(|name| name.quote_style.is_none() && name.value == self.name) {
            name.quote_style = Some('"');
        }
        ControlFlow::Continue(())
    }
}
