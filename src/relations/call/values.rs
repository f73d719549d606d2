//! Arguments that are constants: words, numbers, spans, moments.
//!
//! Deals with: computing them while the call is planned, defaults, what a kind of argument allows. Does not deal with: lists of them
//! (`lists`).

use std::sync::Arc;

use arrow::datatypes::{DataType, TimeUnit};
use datafusion::common::{DFSchema, ScalarValue};
use datafusion::error::DataFusionError;
use datafusion::logical_expr::Expr;
use datafusion::logical_expr::planner::RelationPlannerContext;
use datafusion::logical_expr::simplify::SimplifyContext;
use datafusion::optimizer::simplify_expressions::ExprSimplifier;
use datafusion::sql::sqlparser::ast::Expr as SqlExpr;
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::parser::Parser;

use super::Call;
use crate::algo::calendar::Clock;
use crate::error::{Error, Result, suggest};
use crate::functions::columns::window_ticks;
use crate::relations::argument::{Absent, Argument, Kind};

/// A constant moment.
#[derive(Debug, Clone, PartialEq)]
pub enum Moment {
    /// A local date, as days since 1970: the midnight at which it begins.
    Date(i32),
    /// A timestamp.
    Instant(ScalarValue),
}

impl Call<'_> {
    /// What was given, or the default as one would write it.
    pub(super) fn given_or_default(&mut self, argument: &Argument) -> Result<Option<SqlExpr>> {
        match (self.take(argument), argument.absent) {
            (Some(written), _) => Ok(Some(written)),
            (None, Absent::Sql(default)) => default_value(argument, default).map(Some),
            (None, _) => Ok(None),
        }
    }

    /// A constant, computed now: literals, casts and arithmetic over them.
    fn constant(&mut self, argument: &Argument) -> Result<Option<ScalarValue>> {
        self.given_or_default(argument)?.map(|written| self.folded(argument.name, written)).transpose()
    }

    /// The value of a constant expression.
    pub(super) fn folded(&mut self, key: &str, written: SqlExpr) -> Result<ScalarValue> {
        let not_constant =
            |name: &str| Error::user(format!("{name}: argument '{key}' must be a constant, got {written}"));
        let name = self.name();
        let folded = fold(self.context, written.clone()).map_err(|e| match e.find_root() {
            // A column that is not there, since no column is: the argument depends on rows.
            DataFusionError::SchemaError(..) => not_constant(name),
            _ => Error::user(format!("{name}: argument '{key}' ({written}): {}", Error::from(e).message())),
        })?;
        match folded {
            Expr::Literal(value, _) => Ok(value),
            Expr::Placeholder(p) => {
                Err(Error::user(format!("{name}: argument '{key}': parameter {} has no value", p.id))
                    .hint("give it with -p name=value"))
            }
            _ => Err(not_constant(name)),
        }
    }

    /// A constant of any type.
    pub fn value(&mut self, argument: &Argument) -> Result<Option<ScalarValue>> {
        self.constant(argument)
    }

    /// A string.
    pub fn text(&mut self, argument: &Argument) -> Result<Option<String>> {
        match self.constant(argument)? {
            None => Ok(None),
            Some(value) => match value.try_as_str() {
                Some(Some(text)) => Ok(Some(text.to_string())),
                _ => Err(self.wrong(argument, "must be a string", &value)),
            },
        }
    }

    /// One of the argument's words, in lower case.
    pub fn chosen(&mut self, argument: &Argument) -> Result<Option<&'static str>> {
        let Some(given) = self.text(argument)? else { return Ok(None) };
        let lower = given.to_lowercase();
        let words = argument.takes().words;
        match words.iter().find(|word| **word == lower) {
            Some(found) => Ok(Some(found)),
            None => {
                let help = suggest(&lower, words.iter().copied());
                Err(self.error(format!("argument '{}' cannot be '{given}'; {help}", argument.name)))
            }
        }
    }

    /// The same of an argument that has a default or must be given.
    pub fn choice(&mut self, argument: &Argument) -> Result<&'static str> {
        self.chosen(argument)?.ok_or_else(|| self.required(argument))
    }

    /// `true` or `false`.
    pub fn switch(&mut self, argument: &Argument) -> Result<bool> {
        match self.constant(argument)? {
            None => Err(self.required(argument)),
            Some(ScalarValue::Boolean(Some(value))) => Ok(value),
            Some(other) => Err(self.error(format!("argument '{}' must be true or false, got {other}", argument.name))),
        }
    }

    /// A whole number within the argument's range.
    pub fn integer(&mut self, argument: &Argument) -> Result<Option<i64>> {
        let Kind::Whole(low, high) = argument.kind else { return Err(misread(argument)) };
        self.within(argument, low, high)
    }

    /// The same of an argument that has a default or must be given.
    pub fn whole(&mut self, argument: &Argument) -> Result<i64> {
        self.integer(argument)?.ok_or_else(|| self.required(argument))
    }

    /// The number of a step, of which there are so many.
    pub fn step(&mut self, argument: &Argument, steps: usize) -> Result<usize> {
        let step = self.within(argument, 1, steps.max(1) as i64)?;
        step.map(|step| step as usize).ok_or_else(|| self.required(argument))
    }

    fn within(&mut self, argument: &Argument, low: i64, high: i64) -> Result<Option<i64>> {
        let Some(value) = self.constant(argument)? else { return Ok(None) };
        match value.cast_to(&DataType::Int64) {
            Ok(ScalarValue::Int64(Some(n))) if (low..=high).contains(&n) && value.data_type().is_integer() => {
                Ok(Some(n))
            }
            _ => Err(self.wrong(argument, &format!("must be a whole number from {low} to {high}"), &value)),
        }
    }

    /// A number within the argument's range.
    pub fn number(&mut self, argument: &Argument) -> Result<f64> {
        let Kind::Number(low, high) = argument.kind else { return Err(misread(argument)) };
        let Some(value) = self.constant(argument)? else { return Err(self.required(argument)) };
        match value.cast_to(&DataType::Float64) {
            Ok(ScalarValue::Float64(Some(n))) if (low..=high).contains(&n) && value.data_type().is_numeric() => Ok(n),
            _ => Err(self.wrong(argument, &format!("must be a number from {low} to {high}"), &value)),
        }
    }

    /// An interval; `None` where there is none.
    pub fn interval(&mut self, argument: &Argument) -> Result<Option<ScalarValue>> {
        let Some(value) = self.constant(argument)? else { return Ok(None) };
        match value.data_type() {
            DataType::Interval(_) => Ok(Some(value)),
            _ => Err(self.error(format!(
                "argument '{}' must be an INTERVAL, such as INTERVAL '7 days'; got {value}",
                argument.name
            ))),
        }
    }

    /// The same of an argument that has a default or must be given.
    pub fn span(&mut self, argument: &Argument) -> Result<ScalarValue> {
        self.interval(argument)?.ok_or_else(|| self.required(argument))
    }

    /// An interval of whole days, at most so many; `None` where there is none.
    pub fn days(&mut self, argument: &Argument, most: i64) -> Result<Option<i64>> {
        let Some(interval) = self.interval(argument)? else { return Ok(None) };
        let name = argument.name;
        let seconds = window_ticks(self.name(), &format!("argument '{name}'"), &interval, Clock::Instants(1))?;
        if seconds % 86_400 != 0 || seconds / 86_400 > most {
            return Err(
                self.error(format!("argument '{name}' must be whole days, at most {most}, got {seconds} seconds"))
            );
        }
        Ok(Some(seconds / 86_400))
    }

    /// A constant moment. Text is a date or a timestamp, which without a zone of its own is UTC.
    pub fn moment(&mut self, argument: &Argument) -> Result<Option<Moment>> {
        let Some(value) = self.constant(argument)? else { return Ok(None) };
        moment(&value).map(Some).ok_or_else(|| {
            let what = "must be a moment such as TIMESTAMP '2025-06-30 00:00:00' or DATE '2025-06-30'";
            self.wrong(argument, what, &value)
        })
    }

    fn wrong(&self, argument: &Argument, what: &str, value: &ScalarValue) -> Error {
        self.error(format!("argument '{}' {what}, got {}", argument.name, shown(value)))
    }
}

/// A default, as it would have been written.
pub(super) fn default_value(argument: &Argument, default: &str) -> Result<SqlExpr> {
    let parsed = Parser::new(&GenericDialect {}).try_with_sql(default).and_then(|mut parser| parser.parse_expr());
    parsed.map_err(|e| Error::internal(format!("the default of '{}' is not SQL: {e}", argument.name)))
}

/// A relation that reads an argument as another kind than it declares.
fn misread(argument: &Argument) -> Error {
    Error::internal(format!("argument '{}' is not of this kind", argument.name))
}

/// An expression over nothing, computed now as far as it can be: a literal, where it is a constant.
pub fn fold(context: &mut dyn RelationPlannerContext, written: SqlExpr) -> Result<Expr, DataFusionError> {
    let empty = DFSchema::empty();
    let planned = context.sql_to_expr(written, &empty)?;
    if let Expr::Placeholder(_) = &planned {
        return Ok(planned);
    }
    let context = SimplifyContext::builder().with_schema(Arc::new(empty.clone())).with_current_time().build();
    let simplifier = ExprSimplifier::new(context);
    simplifier.coerce(planned, &empty).and_then(|e| simplifier.simplify(e))
}

/// A constant as messages show it.
pub fn shown(value: &ScalarValue) -> String {
    match value.data_type() {
        DataType::Interval(_) => value.cast_to(&DataType::Utf8).unwrap_or_else(|_| value.clone()).to_string(),
        _ => value.to_string(),
    }
}

/// A constant as a moment, if it is one.
fn moment(value: &ScalarValue) -> Option<Moment> {
    let date = |value: &ScalarValue| match value.cast_to(&DataType::Date32) {
        Ok(ScalarValue::Date32(Some(day))) => Some(Moment::Date(day)),
        _ => None,
    };
    match value.data_type() {
        _ if value.is_null() => None,
        DataType::Timestamp(_, _) => Some(Moment::Instant(value.clone())),
        DataType::Date32 | DataType::Date64 => date(value),
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => {
            let text = value.try_as_str().flatten()?.trim();
            if text.parse::<jiff::civil::Date>().is_ok() && !text.contains(['T', ' ', ':']) {
                return date(&ScalarValue::from(text));
            }
            let nanos = DataType::Timestamp(TimeUnit::Nanosecond, Some("UTC".into()));
            ScalarValue::from(text).cast_to(&nanos).ok().filter(|v| !v.is_null()).map(Moment::Instant)
        }
        _ => None,
    }
}

/// A constant as a moment of this type.
pub fn as_instant(value: &ScalarValue, time: &DataType) -> datafusion::error::Result<ScalarValue> {
    let DataType::Timestamp(unit, Some(_)) = time else { return value.cast_to(time) };
    let utc = DataType::Timestamp(*unit, Some("UTC".into()));
    match value.data_type() {
        // Text may bring a zone; otherwise it is read in the target's.
        DataType::Utf8 => value.cast_to(&utc)?.cast_to(time),
        DataType::Timestamp(_, Some(_)) => value.cast_to(time),
        // A cast from no zone to a zone keeps the digits and moves the instant: go through the ticks.
        _ => value.cast_to(&DataType::Timestamp(*unit, None))?.cast_to(&DataType::Int64)?.cast_to(time),
    }
}
