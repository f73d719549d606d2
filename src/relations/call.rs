//! One call of a relation: its input table and its named arguments, read with the same words for every relation.
//!
//! Deals with: which argument is what, constants, conditions over the input's columns, error messages.
//! Does not deal with: column roles (`roles`), or what a relation does with its arguments.

mod lists;
mod over_answer;
mod tables;

use std::ops::RangeInclusive;
use std::sync::Arc;

use arrow::datatypes::{DataType, TimeUnit};
use datafusion::catalog::CatalogProviderList;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, DFSchema, ScalarValue};
use datafusion::error::DataFusionError;
use datafusion::execution::runtime_env::RuntimeEnv;
use datafusion::logical_expr::expr::{WindowFunction, WindowFunctionParams};
use datafusion::logical_expr::planner::RelationPlannerContext;
use datafusion::logical_expr::simplify::SimplifyContext;
use datafusion::logical_expr::{
    AggregateUDF, Expr, ExprSchemable, LogicalPlan, WindowFrame, WindowFunctionDefinition, lit,
};
use datafusion::optimizer::simplify_expressions::ExprSimplifier;
use datafusion::sql::sqlparser::ast::{Expr as SqlExpr, FunctionArg, FunctionArgExpr, Value};

use self::tables::plan_input;
pub use self::tables::{missing_table, plan_table, scan, wait_for};
use super::names;
use crate::config::TenureOptions;
use crate::error::{Error, Result, suggest};
use crate::functions::FunctionDoc;
use crate::functions::breakdown::breakdown;
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

/// A constant moment.
#[derive(Debug, Clone, PartialEq)]
pub enum Moment {
    /// A local date, as days since 1970: the midnight at which it begins.
    Date(i32),
    /// A timestamp.
    Instant(ScalarValue),
}

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

impl<'a> Call<'a> {
    /// Reads the argument list and plans the input.
    pub fn new(
        doc: FunctionDoc,
        arguments: Vec<FunctionArg>,
        context: &'a mut dyn RelationPlannerContext,
        catalogs: &dyn CatalogProviderList,
        runtime: Option<Arc<RuntimeEnv>>,
    ) -> Result<Self> {
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

    /// Takes an argument as it was written.
    fn take(&mut self, key: &str) -> Option<SqlExpr> {
        debug_assert!(self.doc.arguments.iter().any(|a| a.name == key), "{key} is not in the manual");
        let at = self.arguments.iter().position(|(k, _)| k == key)?;
        Some(self.arguments.swap_remove(at).1)
    }

    /// The error of an argument that must be given and is not.
    pub fn required(&self, key: &str) -> Error {
        let text = self.doc.arguments.iter().find(|a| a.name == key).map_or("", |a| a.text);
        self.error(format!("argument '{key}' is missing. {text}")).hint(format!("called as {}", self.doc.syntax))
    }

    /// Every argument in the manual must have been read: a defect of the relation otherwise.
    pub fn finish(self) -> Result<()> {
        match self.arguments.first() {
            Some((key, _)) => Err(Error::internal(format!("{}: argument '{key}' was not used", self.doc.name))),
            None => Ok(()),
        }
    }

    /// An expression over the input's columns.
    fn plan_expression(&mut self, key: &str, written: SqlExpr) -> Result<Expr> {
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

    /// A constant, computed now: literals, casts and arithmetic over them.
    pub fn constant(&mut self, key: &str) -> Result<Option<ScalarValue>> {
        self.take(key).map(|written| self.folded(key, written)).transpose()
    }

    /// The value of a constant expression.
    fn folded(&mut self, key: &str, written: SqlExpr) -> Result<ScalarValue> {
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

    /// A string.
    pub fn text(&mut self, key: &str) -> Result<Option<String>> {
        match self.constant(key)? {
            None => Ok(None),
            Some(value) => match value.try_as_str() {
                Some(Some(text)) => Ok(Some(text.to_string())),
                _ => Err(self.error(format!("argument '{key}' must be a string, got {}", shown(&value)))),
            },
        }
    }

    /// One of `allowed`, in lower case.
    pub fn choice(&mut self, key: &str, allowed: &[&'static str], default: &'static str) -> Result<&'static str> {
        let Some(given) = self.text(key)? else { return Ok(default) };
        let lower = given.to_lowercase();
        match allowed.iter().find(|a| **a == lower) {
            Some(found) => Ok(found),
            None => Err(self
                .error(format!("argument '{key}' cannot be '{given}'; {}", suggest(&lower, allowed.iter().copied())))),
        }
    }

    /// A whole number within a range.
    pub fn integer(&mut self, key: &str, range: RangeInclusive<i64>, default: i64) -> Result<i64> {
        let Some(value) = self.constant(key)? else { return Ok(default) };
        match value.cast_to(&DataType::Int64) {
            Ok(ScalarValue::Int64(Some(n))) if range.contains(&n) && value.data_type().is_integer() => Ok(n),
            _ => Err(self.error(format!(
                "argument '{key}' must be a whole number from {} to {}, got {}",
                range.start(),
                range.end(),
                shown(&value)
            ))),
        }
    }

    /// A number within a range.
    pub fn number(&mut self, key: &str, range: RangeInclusive<f64>, default: f64) -> Result<f64> {
        let Some(value) = self.constant(key)? else { return Ok(default) };
        match value.cast_to(&DataType::Float64) {
            Ok(ScalarValue::Float64(Some(n))) if range.contains(&n) && value.data_type().is_numeric() => Ok(n),
            _ => Err(self.error(format!(
                "argument '{key}' must be a number from {} to {}, got {}",
                range.start(),
                range.end(),
                shown(&value)
            ))),
        }
    }

    /// An interval; `None` where it was not given.
    pub fn interval(&mut self, key: &str) -> Result<Option<ScalarValue>> {
        let Some(value) = self.constant(key)? else { return Ok(None) };
        match value.data_type() {
            DataType::Interval(_) => Ok(Some(value)),
            _ => {
                Err(self.error(format!("argument '{key}' must be an INTERVAL, such as INTERVAL '7 days'; got {value}")))
            }
        }
    }

    /// A constant moment. Text is a date or a timestamp, which without a zone of its own is UTC.
    pub fn moment(&mut self, key: &str) -> Result<Option<Moment>> {
        let Some(value) = self.constant(key)? else { return Ok(None) };
        moment(&value).map(Some).ok_or_else(|| {
            self.error(format!(
                "argument '{key}' must be a moment such as TIMESTAMP '2025-06-30 00:00:00' or DATE '2025-06-30', got {}",
                shown(&value)
            ))
        })
    }

    /// A list of constants; `None` where it was not given.
    pub fn numbers(&mut self, key: &str, count: usize) -> Result<Option<Vec<f64>>> {
        let Some(written) = self.take(key) else { return Ok(None) };
        let wrong = self.error(format!("argument '{key}' must be a list of {count} numbers, got {written}"));
        let SqlExpr::Array(array) = &written else { return Err(wrong) };
        let mut numbers = Vec::with_capacity(array.elem.len());
        for element in &array.elem {
            let number = match self.context.sql_to_expr(element.clone(), &DFSchema::empty()) {
                Ok(Expr::Literal(value, _)) => match value.cast_to(&DataType::Float64) {
                    Ok(ScalarValue::Float64(Some(number))) if value.data_type().is_numeric() => Some(number),
                    _ => None,
                },
                _ => None,
            };
            match number {
                Some(number) => numbers.push(number),
                None => return Err(wrong),
            }
        }
        if numbers.len() == count { Ok(Some(numbers)) } else { Err(wrong) }
    }

    /// One string or a list of strings; `None` where it was not given.
    pub fn texts(&mut self, key: &str) -> Result<Option<Vec<String>>> {
        let Some(written) = self.take(key) else { return Ok(None) };
        let elements = match &written {
            SqlExpr::Array(array) => array.elem.as_slice(),
            one => std::slice::from_ref(one),
        };
        match elements.iter().map(string_literal).collect::<Option<Vec<String>>>() {
            Some(texts) if !texts.is_empty() => Ok(Some(texts)),
            _ => Err(self.error(format!("argument '{key}' must be a string or a list of strings, got {written}"))),
        }
    }

    /// An expression over the input: a column, a string naming one, or anything computed from columns.
    pub fn column(&mut self, key: &str) -> Result<Option<Expr>> {
        let Some(written) = self.take(key) else { return Ok(None) };
        if let Some(name) = string_literal(&written) {
            return self.column_named(key, &name).map(Some);
        }
        self.plan_expression(key, written).map(Some)
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
    pub fn breakdowns(&mut self, key: &str) -> Result<Vec<Breakdown>> {
        let Some(written) = self.take(key) else { return Ok(Vec::new()) };
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
    pub fn condition(&mut self, key: &str) -> Result<Option<Condition>> {
        let Some(written) = self.take(key) else { return Ok(None) };
        self.read_condition(key, written).map(Some)
    }

    fn read_condition(&mut self, key: &str, written: SqlExpr) -> Result<Condition> {
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
    pub fn steps(&mut self, key: &str) -> Result<Vec<NamedCondition>> {
        let Some(written) = self.take(key) else { return Err(self.required(key)) };
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

/// Why an expression cannot be computed for each row alone, where it cannot.
fn beyond_its_row(expr: &Expr) -> Option<&'static str> {
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

fn string_literal(written: &SqlExpr) -> Option<String> {
    match written {
        SqlExpr::Value(value) => match &value.value {
            Value::SingleQuotedString(text) => Some(text.clone()),
            _ => None,
        },
        _ => None,
    }
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

/// A column by its exact name, whatever letters it has.
pub fn column(name: &str) -> Expr {
    Expr::Column(Column::from_name(name))
}

/// A breakdown column of an aggregation in the answer, freed of the claim that it determines the other columns.
pub fn unkeyed(name: &str) -> Expr {
    breakdown().call(vec![column(name)]).alias(name)
}

/// `count(*)`.
pub fn count_rows() -> Expr {
    datafusion::functions_aggregate::expr_fn::count(lit(1i64))
}

/// An aggregate over all rows, beside each of them.
pub fn over_all(function: Arc<AggregateUDF>, args: Vec<Expr>) -> Expr {
    Expr::from(WindowFunction {
        fun: WindowFunctionDefinition::AggregateUDF(function),
        params: WindowFunctionParams {
            args,
            partition_by: vec![],
            order_by: vec![],
            window_frame: WindowFrame::new(None),
            filter: None,
            null_treatment: None,
            distinct: false,
        },
    })
}
