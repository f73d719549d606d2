//! Arguments about users: which are a segment, and what is measured of each.
//!
//! Deals with: segments as conditions or queries, measures as conditions or aggregates. Does not deal with: what a relation makes of them.

use arrow::datatypes::DataType;
use datafusion::common::Column;
use datafusion::functions_aggregate::count::count_udaf;
use datafusion::logical_expr::expr::AggregateFunction;
use datafusion::logical_expr::{Expr, ExprFunctionExt, ExprSchemable, LogicalPlan, LogicalPlanBuilder};
use datafusion::sql::sqlparser::ast::{Expr as SqlExpr, Query, TableFactor};

use super::conditions::beyond_its_row;
use super::{Call, Condition, string_literal};
use crate::error::{Error, Result};
use crate::functions::exact_sum::exact_sum;
use crate::functions::plain_sql;
use crate::relations::argument::Argument;
use crate::relations::names;

/// Which users are meant.
#[derive(Debug, Clone)]
pub enum Segment {
    /// Those with a row for which this holds.
    Rows(Expr),
    /// Those that a query answers, in its one column.
    Query(LogicalPlan),
}

/// What is measured of each user.
#[derive(Debug, Clone)]
pub enum Measured {
    /// Whether a row of the user satisfies it.
    Condition(Condition),
    /// An aggregate over the user's rows that is a number; NULL is 0.
    Aggregate(Expr),
}

impl Call<'_> {
    /// Users, as a condition over the input's columns or `(SELECT user_id FROM ..)`; `None` where it was not given.
    ///
    /// `user` is the input's user column, and `name` what it is called.
    pub fn segment(&mut self, argument: &Argument, user: &Expr, name: &str) -> Result<Option<Segment>> {
        let Some(written) = self.take(argument) else { return Ok(None) };
        let key = argument.name;
        match written {
            SqlExpr::Subquery(query) => self.queried(key, query, user, name).map(|plan| Some(Segment::Query(plan))),
            other => match self.read_condition(key, other)? {
                Condition::Expression(condition) => Ok(Some(Segment::Rows(condition))),
                Condition::Event(text) => Err(self.error(format!(
                    "argument '{key}' must be a condition over the users, such as plan = '{text}', or (SELECT {name} FROM ..)"
                ))),
            },
        }
    }

    /// The users of a query: its only column, or the one that is called as the input's user column.
    fn queried(&mut self, key: &str, query: Box<Query>, user: &Expr, name: &str) -> Result<LogicalPlan> {
        let relation = self.name();
        let factor = TableFactor::Derived { lateral: false, subquery: query, alias: None, sample: None };
        let plan = self.context.plan(factor).map_err(|e| {
            let inner = Error::from(e);
            let message = format!("{relation}: argument '{key}': {}", inner.message());
            inner.hints().iter().fold(Error::user(message), |error, hint| error.hint(hint.to_string()))
        })?;
        let columns: Vec<Column> = plan.schema().columns();
        let mut named = columns.iter().filter(|column| column.name == name);
        let found = match (columns.as_slice(), named.next(), named.next()) {
            ([only], _, _) => only.clone(),
            (_, Some(found), None) => found.clone(),
            (_, Some(_), Some(_)) => {
                return Err(self.error(format!("argument '{key}': the query has more than one column '{name}'")));
            }
            _ => {
                let known: Vec<&str> = columns.iter().map(|column| column.name.as_str()).collect();
                return Err(self.error(format!(
                    "argument '{key}': none of the query's columns {} is the user column '{name}'",
                    known.join(", ")
                )));
            }
        };
        let found = Expr::Column(found);
        let (asked, wanted) = (found.get_type(plan.schema())?, user.get_type(self.schema())?);
        if kind_of(&asked) != kind_of(&wanted) {
            return Err(self
                .error(format!(
                    "argument '{key}': the query's users are of type {asked}, those of the table of {wanted}"
                ))
                .hint("cast one of them: users that only look alike are not the same"));
        }
        Ok(LogicalPlanBuilder::from(plan).project([found])?.build()?)
    }

    /// `{'name': condition or aggregate, ..}` or a list of them, each with its name.
    pub fn measures(&mut self, argument: &Argument) -> Result<Vec<(String, Measured)>> {
        let Some(written) = self.take(argument) else { return Err(self.required(argument)) };
        let key = argument.name;
        let named: Vec<(String, SqlExpr)> = match written {
            SqlExpr::Array(array) => array
                .elem
                .into_iter()
                .map(|element| (string_literal(&element).unwrap_or_else(|| element.to_string()), element))
                .collect(),
            SqlExpr::Dictionary(fields) => fields.into_iter().map(|field| (field.key.value, *field.value)).collect(),
            other => {
                return Err(self.error(format!(
                    "argument '{key}' must be measures such as {{'bought': event = 'purchase', 'revenue': sum(price)}}, got {other}"
                )));
            }
        };
        if named.is_empty() {
            return Err(self.error(format!("argument '{key}' names no measure")));
        }
        let mut measures: Vec<(String, Measured)> = Vec::with_capacity(named.len());
        for (name, written) in named {
            if measures.iter().any(|(known, _)| *known == name) {
                return Err(self.error(format!("argument '{key}' names '{name}' twice")));
            }
            measures.push((name, self.measured(key, written)?));
        }
        Ok(measures)
    }

    fn measured(&mut self, key: &str, written: SqlExpr) -> Result<Measured> {
        if string_literal(&written).is_none() {
            let schema = self.input.schema().clone();
            let planned = self.context.sql_to_expr(names::fitted(written.clone(), &schema), &schema);
            if let Ok(Expr::AggregateFunction(aggregate)) = planned.map(Expr::unalias) {
                return self.of_each_user(key, &written, aggregate).map(Measured::Aggregate);
            }
            let planned = self.plan_expression(key, written.clone())?;
            let data_type = planned.get_type(self.schema())?;
            if data_type.is_numeric() {
                return Err(self
                    .error(format!(
                        "argument '{key}': '{written}' must be an event name, a condition, count(..) or sum(..), got {data_type}"
                    ))
                    .hint(format!("sum({written}) adds it up for each user")));
            }
        }
        self.read_condition(key, written).map(Measured::Condition)
    }

    /// A count or sum over the rows of a user, exact whatever their order.
    fn of_each_user(&self, key: &str, written: &SqlExpr, aggregate: AggregateFunction) -> Result<Expr> {
        let wrong = |why: &str| self.error(format!("argument '{key}' ({written}): {why}"));
        let params = aggregate.params;
        for part in params.args.iter().chain(params.filter.as_deref()) {
            if let Some(what) = beyond_its_row(part) {
                return Err(wrong(&format!("its rows are looked at one by one, but it has {what} in it")));
            }
        }
        if !params.order_by.is_empty() || params.null_treatment.is_some() {
            return Err(wrong("ORDER BY and IGNORE NULLS have no use in a count or sum"));
        }
        let measured = match (aggregate.func.name(), params.args.as_slice()) {
            ("count", [_, ..]) if params.distinct => count_udaf().call(params.args).distinct().build()?,
            ("count", _) => count_udaf().call(params.args),
            ("sum", [number]) => {
                if params.distinct {
                    return Err(wrong("a sum of distinct values is not a measure of a user"));
                }
                match number.get_type(self.schema())? {
                    DataType::Float16 | DataType::Float32 | DataType::Float64 => exact_sum().call(params.args),
                    whole if whole.is_numeric() => plain_sql::sum().call(params.args),
                    other => return Err(wrong(&format!("a sum is of numbers, got {other}"))),
                }
            }
            (other, _) => {
                return Err(wrong(&format!("a measure is a condition, count(..) or sum(..), not {other}(..)")));
            }
        };
        Ok(match params.filter {
            Some(filter) => measured.filter(*filter).build()?,
            None => measured,
        })
    }
}

/// Types whose equal values mean the same user.
fn kind_of(data_type: &DataType) -> DataType {
    match data_type {
        DataType::Dictionary(_, value) => kind_of(value),
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => DataType::Utf8,
        whole if whole.is_integer() => DataType::Int64,
        other => other.clone(),
    }
}
