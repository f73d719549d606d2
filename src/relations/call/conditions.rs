//! Arguments over the input's columns: columns, breakdowns, conditions, steps.
//!
//! Deals with: planning them, names of columns and events as text. Does not deal with: which event names there are (`roles`).

use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::common::Column;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::logical_expr::{Expr, ExprSchemable, lit};
use datafusion::sql::sqlparser::ast::Expr as SqlExpr;

use super::{Call, string_literal};
use crate::error::{Error, Result, suggest};
use crate::relations::argument::Argument;
use crate::relations::names;

/// A column to break an answer down by.
#[derive(Debug, Clone)]
pub struct Breakdown {
    /// Its name in the output.
    pub name: String,
    /// Its value, over the input's columns.
    pub value: Expr,
}

/// A step or other named condition.
#[derive(Debug, Clone)]
pub struct NamedCondition {
    /// How the answer calls it.
    pub name: String,
    /// When it holds, over the input's columns.
    pub condition: Condition,
}

/// What a condition argument was given as.
#[derive(Debug, Clone)]
pub enum Condition {
    /// The name of an event.
    Event(String),
    /// A boolean expression.
    Expression(Expr),
}

impl Call<'_> {
    /// An expression over the input's columns.
    pub(super) fn plan_expression(&mut self, key: &str, written: SqlExpr) -> Result<Expr> {
        let name = self.name();
        let schema = Arc::clone(self.input.schema());
        let planned = self.context.sql_to_expr(names::fitted(written.clone(), &schema), &schema).map_err(|e| {
            let inner = Error::from(e);
            Error::user(format!("{name}: argument '{key}' ({written}): {}", inner.message()))
        })?;
        match beyond_its_row(&planned) {
            None => Ok(planned),
            Some(what) => Err(self
                .error(format!("argument '{key}' ({written}) is computed for each row alone, but has {what} in it"))
                .hint(format!("make it a column first: {name}((SELECT *, .. AS x FROM ..), ..)"))),
        }
    }

    /// An expression over the input: a column, a string naming one, or anything computed from columns.
    pub fn column(&mut self, argument: &Argument) -> Result<Option<Expr>> {
        let Some(written) = self.take(argument) else { return Ok(None) };
        if let Some(name) = string_literal(&written) {
            return self.column_named(argument.name, &name).map(Some);
        }
        self.plan_expression(argument.name, written).map(Some)
    }

    /// The input's column of this name.
    pub fn column_named(&self, key: &str, name: &str) -> Result<Expr> {
        let found: Vec<Column> = self
            .schema()
            .iter()
            .filter(|(_, f)| f.name() == name)
            .map(|(q, f)| Column::new(q.cloned(), f.name()))
            .collect();
        match found.as_slice() {
            [only] => Ok(Expr::Column(only.clone())),
            [] => {
                let known: Vec<&str> = self.schema().fields().iter().map(|f| f.name().as_str()).collect();
                Err(self.error(format!("{key} column '{name}' does not exist; {}", suggest(name, known))))
            }
            _ => Err(self.error(format!("{key} column '{name}' exists more than once in the input"))),
        }
    }

    /// Columns to break down by: one, or a list.
    pub fn breakdowns(&mut self, argument: &Argument) -> Result<Vec<Breakdown>> {
        let Some(written) = self.take(argument) else { return Ok(Vec::new()) };
        let key = argument.name;
        let elements = match written {
            SqlExpr::Array(array) => array.elem,
            SqlExpr::Tuple(elements) => elements,
            one => vec![one],
        };
        let mut columns: Vec<Breakdown> = Vec::new();
        for element in elements {
            let value = match string_literal(&element) {
                Some(name) => self.column_named(key, &name)?,
                None => self.plan_expression(key, element)?,
            };
            let name = match &value {
                Expr::Column(column) => column.name.clone(),
                other => other.schema_name().to_string(),
            };
            if columns.iter().any(|c| c.name == name) {
                return Err(self.error(format!("argument '{key}' names '{name}' twice")));
            }
            columns.push(Breakdown { name, value });
        }
        Ok(columns)
    }

    /// Refuses an answer in which a `by` column has the name of another.
    pub fn refuse_names(&self, by: &[Breakdown], taken: &[&str]) -> Result<()> {
        match by.iter().find(|b| taken.contains(&b.name.as_str())) {
            Some(b) => Err(self.error(format!(
                "by column '{}' has the name of a result column; give it another in (SELECT ..)",
                b.name
            ))),
            None => Ok(()),
        }
    }

    /// A condition: a string is the name of an event, anything else must be boolean.
    pub fn condition(&mut self, argument: &Argument) -> Result<Option<Condition>> {
        let Some(written) = self.take(argument) else { return Ok(None) };
        self.read_condition(argument.name, written).map(Some)
    }

    pub(super) fn read_condition(&mut self, key: &str, written: SqlExpr) -> Result<Condition> {
        if let Some(name) = string_literal(&written) {
            return Ok(Condition::Event(name));
        }
        let planned = self.plan_expression(key, written.clone())?;
        match planned.get_type(self.schema()) {
            Ok(DataType::Boolean) => Ok(Condition::Expression(planned)),
            Ok(other) => Err(self.error(format!(
                "argument '{key}': '{written}' must be an event name or a condition (BOOLEAN), got {other}"
            ))),
            Err(e) => Err(self.error(format!("argument '{key}' ({written}): {}", Error::from(e).message()))),
        }
    }

    /// Steps: a list of event names and conditions, or `{'name': condition, ..}`.
    pub fn steps(&mut self, argument: &Argument) -> Result<Vec<NamedCondition>> {
        let Some(written) = self.take(argument) else { return Err(self.required(argument)) };
        let key = argument.name;
        let mut steps = Vec::new();
        match written {
            SqlExpr::Array(array) => {
                for element in array.elem {
                    let name = string_literal(&element).unwrap_or_else(|| element.to_string());
                    steps.push(NamedCondition { name, condition: self.read_condition(key, element)? });
                }
            }
            SqlExpr::Dictionary(fields) => {
                for field in fields {
                    let condition = self.read_condition(key, *field.value)?;
                    steps.push(NamedCondition { name: field.key.value, condition });
                }
            }
            other => {
                return Err(self.error(format!(
                    "argument '{key}' must be a list such as ['view', 'cart', price > 10] or {{'Seen': event = 'view'}}, got {other}"
                )));
            }
        }
        Ok(steps)
    }
}

/// Why an expression cannot be computed for each row alone, where it cannot.
pub(super) fn beyond_its_row(expr: &Expr) -> Option<&'static str> {
    let mut found = None;
    let visited = expr.apply(|part| {
        found = match part {
            Expr::AggregateFunction(_) => Some("an aggregate"),
            Expr::WindowFunction(_) => Some("a window function"),
            Expr::InSubquery(_) | Expr::Exists(_) | Expr::SetComparison(_) => Some("a subquery"),
            _ => return Ok(TreeNodeRecursion::Continue),
        };
        Ok(TreeNodeRecursion::Stop)
    });
    visited.ok().and(found)
}

/// `condition` as an expression, given what an event name is compared with.
pub fn condition_expr(condition: &Condition, event: Option<&Expr>, missing: impl Fn() -> Error) -> Result<Expr> {
    match condition {
        Condition::Expression(expr) => Ok(expr.clone()),
        Condition::Event(name) => match event {
            Some(event) => Ok(event.clone().eq(lit(name.as_str()))),
            None => Err(missing()),
        },
    }
}
