//! One call of a relation: its input table and its named arguments, read with the same words for every relation.
//!
//! Deals with: which argument is what, what must be given, error messages. Values are read in [`values`], lists in [`lists`], what is
//! over the input's columns in [`conditions`]. Does not deal with: column roles (`roles`), or what a relation does with its arguments.

mod conditions;
mod lists;
mod over_answer;
mod people;
mod tables;
mod values;

use std::sync::Arc;

use datafusion::catalog::CatalogProviderList;
use datafusion::common::DFSchema;
use datafusion::execution::runtime_env::RuntimeEnv;
use datafusion::logical_expr::planner::RelationPlannerContext;
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder};
use datafusion::sql::sqlparser::ast::{Expr as SqlExpr, FunctionArg, FunctionArgExpr, Value};

pub use self::conditions::{Breakdown, Condition, condition_expr};
pub use self::people::{Measured, Segment};
use self::tables::plan_input;
pub use self::tables::{missing_table, plan_table, scan, wait_for};
pub use self::values::{Moment, as_instant, fold, shown};
use super::Relation;
use super::argument::Argument;
use crate::config::TenureOptions;
use crate::error::{Error, Result, suggest};
use crate::functions::FunctionDoc;
use crate::functions::room::Room;

/// One call being planned.
pub struct Call<'a> {
    doc: FunctionDoc,
    context: &'a mut dyn RelationPlannerContext,
    /// The input's plan.
    input: LogicalPlan,
    arguments: Vec<(String, SqlExpr)>,
    runtime: Option<Arc<RuntimeEnv>>,
}

impl<'a> Call<'a> {
    /// Reads the argument list and plans the input.
    pub fn new(
        relation: &dyn Relation,
        arguments: Vec<FunctionArg>,
        context: &'a mut dyn RelationPlannerContext,
        catalogs: &dyn CatalogProviderList,
        runtime: Option<Arc<RuntimeEnv>>,
    ) -> Result<Self> {
        let doc = relation.doc();
        let name = doc.name;
        let mut rest = arguments.into_iter();
        let Some(FunctionArg::Unnamed(FunctionArgExpr::Expr(table))) = rest.next() else {
            return Err(Error::user(format!("{name}: the first argument must be a table or (SELECT ...)"))
                .hint(format!("called as {}", doc.syntax)));
        };
        let mut named: Vec<(String, SqlExpr)> = Vec::new();
        for argument in rest {
            let (key, value) = match argument {
                FunctionArg::Named { name, arg: FunctionArgExpr::Expr(value), .. } => (name.value, value),
                FunctionArg::ExprNamed {
                    name: SqlExpr::Identifier(name), arg: FunctionArgExpr::Expr(value), ..
                } => (name.value, value),
                other => {
                    return Err(Error::user(format!(
                        "{name}: after the table every argument is named, as in {} => ...; got '{other}'",
                        doc.arguments.get(1).map_or("name", |a| a.name)
                    )));
                }
            };
            let key = key.to_lowercase();
            let known: Vec<&str> = doc.arguments.iter().skip(1).map(|a| a.name).collect();
            if !known.contains(&key.as_str()) {
                return Err(Error::user(format!("{name}: unknown argument '{key}'; {}", suggest(&key, known))));
            }
            if named.iter().any(|(k, _)| *k == key) {
                return Err(Error::user(format!("{name}: argument '{key}' is given twice")));
            }
            named.push((key, value));
        }
        let input = plan_input(name, table, context, catalogs)?;
        Ok(Self { doc, context, input, arguments: named, runtime })
    }

    /// The relation's name, for messages.
    pub fn name(&self) -> &'static str {
        self.doc.name
    }

    /// Room for what the aggregate of this name keeps.
    pub fn room(&self, aggregate: &'static str) -> Room {
        Room::new(aggregate, self.runtime.clone())
    }

    /// The input's plan.
    pub fn input(&self) -> &LogicalPlan {
        &self.input
    }

    /// Leaves only those rows of the input for which this holds.
    pub fn keep_rows(&mut self, condition: Expr) -> Result<()> {
        self.input = LogicalPlanBuilder::from(self.input.clone()).filter(condition)?.build()?;
        Ok(())
    }

    /// The input's columns.
    pub fn schema(&self) -> &DFSchema {
        self.input.schema()
    }

    /// tenure's session options.
    pub fn options(&self) -> TenureOptions {
        self.context.context_provider().options().extensions.get::<TenureOptions>().cloned().unwrap_or_default()
    }

    /// An error of this relation.
    pub fn error(&self, message: impl std::fmt::Display) -> Error {
        Error::user(format!("{}: {message}", self.name()))
    }

    /// Whether an argument was written.
    pub fn given(&self, argument: &Argument) -> bool {
        self.arguments.iter().any(|(key, _)| key == argument.name)
    }

    /// Takes an argument as it was written.
    fn take(&mut self, argument: &Argument) -> Option<SqlExpr> {
        debug_assert!(
            self.doc.arguments.iter().any(|known| known.name == argument.name),
            "{} is not in the manual",
            argument.name
        );
        let at = self.arguments.iter().position(|(key, _)| key == argument.name)?;
        Some(self.arguments.swap_remove(at).1)
    }

    /// The error of an argument that must be given and is not.
    pub fn required(&self, argument: &Argument) -> Error {
        self.error(format!("argument '{}' is missing. {}", argument.name, argument.help))
            .hint(format!("called as {}", self.doc.syntax))
    }

    /// Every argument in the manual must have been read: a defect of the relation otherwise.
    pub fn finish(self) -> Result<()> {
        match self.arguments.first() {
            Some((key, _)) => Err(Error::internal(format!("{}: argument '{key}' was not used", self.doc.name))),
            None => Ok(()),
        }
    }
}

fn string_literal(written: &SqlExpr) -> Option<String> {
    match written {
        SqlExpr::Value(value) => match &value.value {
            Value::SingleQuotedString(text) => Some(text.clone()),
            _ => None,
        },
        _ => None,
    }
}
