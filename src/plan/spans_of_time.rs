//! Analyzer rule: lengths of time compare as lengths, frames over times are lengths of time, and far times compare with any column.
//!
//! | written | DataFusion 55 | planned |
//! |---|---|---|
//! | `ts - before > INTERVAL '90 days'` | compares months, then days, then nanoseconds: never true | a duration of 90 days |
//! | `INTERVAL '1 day' = INTERVAL '24 hours'` | false | lengths in nanoseconds, a month being 30 days, a day 24 hours |
//! | `ORDER BY ts RANGE 6 PRECEDING` | six months | an error that asks for INTERVAL |
//! | `ts < '9999-12-31'` with nanoseconds | an error | both sides in microseconds |
//!
//! Comes before the coercion of types, which would make one interval of a duration and another.

use arrow::datatypes::{DataType, IntervalUnit, TimeUnit};
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{DFSchema, ScalarValue};
use datafusion::error::Result;
use datafusion::logical_expr::expr::{Between, BinaryExpr, InList, WindowFunction};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::utils::merge_schema;
use datafusion::logical_expr::{Expr, ExprSchemable, LogicalPlan, WindowFrameBound, WindowFrameUnits, cast, lit};
use datafusion::optimizer::AnalyzerRule;

use crate::error::Error;
use crate::functions::plain_sql::{nanoseconds, time_length};

/// The rule.
#[derive(Debug)]
pub struct SpansOfTime;

impl AnalyzerRule for SpansOfTime {
    fn name(&self) -> &str {
        "spans_of_time"
    }

    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> Result<LogicalPlan> {
        Ok(plan.transform_up_with_subqueries(of_node)?.data)
    }
}

fn of_node(plan: LogicalPlan) -> Result<Transformed<LogicalPlan>> {
    let schema = merge_schema(&plan.inputs());
    let names = NamePreserver::new(&plan);
    let done = plan.map_expressions(|expr| {
        let name = names.save(&expr);
        expr.transform_up(|expr| of_expr(expr, &schema))?.map_data(|expr| Ok(name.restore(expr)))
    })?;
    if done.transformed { done.map_data(LogicalPlan::recompute_schema) } else { Ok(done) }
}

fn of_expr(expr: Expr, schema: &DFSchema) -> Result<Transformed<Expr>> {
    match expr {
        Expr::BinaryExpr(BinaryExpr { left, op, right }) if op.supports_propagation() => {
            let (left, right, changed) = compared(*left, *right, schema)?;
            let expr = Expr::BinaryExpr(BinaryExpr::new(Box::new(left), op, Box::new(right)));
            Ok(if changed { Transformed::yes(expr) } else { Transformed::no(expr) })
        }
        Expr::Between(Between { expr, negated, low, high }) if kind(&expr, schema) != Kind::Other => {
            // Each bound is compared on its own, since one may be a literal and the other a column.
            let (low_of, low, _) = compared(expr.as_ref().clone(), *low, schema)?;
            let (high_of, high, _) = compared(*expr, *high, schema)?;
            let inside = low_of.gt_eq(low).and(high_of.lt_eq(high));
            Ok(Transformed::yes(if negated { Expr::Not(Box::new(inside)) } else { inside }))
        }
        Expr::InList(InList { expr, list, negated }) if kind(&expr, schema) == Kind::Span => {
            let length = |expr: Expr| time_length().call(vec![expr]);
            let list = list.into_iter().map(length).collect();
            Ok(Transformed::yes(Expr::InList(InList::new(Box::new(length(*expr)), list, negated))))
        }
        Expr::WindowFunction(window) => {
            check_frame(&window, schema)?;
            Ok(Transformed::no(Expr::WindowFunction(window)))
        }
        other => Ok(Transformed::no(other)),
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Kind {
    /// A duration or an interval.
    Span,
    /// A timestamp of nanoseconds.
    Nanoseconds,
    Other,
}

fn kind(expr: &Expr, schema: &DFSchema) -> Kind {
    match expr.get_type(schema) {
        Ok(DataType::Duration(_) | DataType::Interval(_)) => Kind::Span,
        Ok(DataType::Timestamp(TimeUnit::Nanosecond, _)) => Kind::Nanoseconds,
        _ => Kind::Other,
    }
}

/// The two sides of a comparison in one measure, and whether they have changed.
fn compared(left: Expr, right: Expr, schema: &DFSchema) -> Result<(Expr, Expr, bool)> {
    match (left.get_type(schema), right.get_type(schema)) {
        (Ok(DataType::Duration(a)), Ok(DataType::Duration(b))) if a == b => Ok((left, right, false)),
        (Ok(DataType::Duration(unit)), Ok(DataType::Interval(_))) if as_duration(&right, unit).is_some() => {
            let literal = as_duration(&right, unit).unwrap_or(right);
            Ok((left, literal, true))
        }
        (Ok(DataType::Interval(_)), Ok(DataType::Duration(unit))) if as_duration(&left, unit).is_some() => {
            let literal = as_duration(&left, unit).unwrap_or(left);
            Ok((literal, right, true))
        }
        (Ok(DataType::Duration(_) | DataType::Interval(_)), Ok(DataType::Duration(_) | DataType::Interval(_))) => {
            Ok((time_length().call(vec![left]), time_length().call(vec![right]), true))
        }
        (Ok(DataType::Timestamp(TimeUnit::Nanosecond, zone)), Ok(other)) if is_far(&right, &other) => {
            let common = DataType::Timestamp(TimeUnit::Microsecond, zone);
            Ok((cast(left, common.clone()), cast(right, common), true))
        }
        (Ok(other), Ok(DataType::Timestamp(TimeUnit::Nanosecond, zone))) if is_far(&left, &other) => {
            let common = DataType::Timestamp(TimeUnit::Microsecond, zone);
            Ok((cast(left, common.clone()), cast(right, common), true))
        }
        _ => Ok((left, right, false)),
    }
}

/// An interval literal as a duration, where the unit holds it exactly.
fn as_duration(expr: &Expr, unit: TimeUnit) -> Option<Expr> {
    let length = match expr {
        Expr::Literal(value, _) => match value.cast_to(&DataType::Interval(IntervalUnit::MonthDayNano)).ok()? {
            ScalarValue::IntervalMonthDayNano(Some(span)) => nanoseconds(span),
            _ => return None,
        },
        _ => return None,
    };
    let tick: i128 = match unit {
        TimeUnit::Second => 1_000_000_000,
        TimeUnit::Millisecond => 1_000_000,
        TimeUnit::Microsecond => 1_000,
        TimeUnit::Nanosecond => 1,
    };
    let ticks = (length % tick == 0).then(|| i64::try_from(length / tick).ok())??;
    Some(lit(match unit {
        TimeUnit::Second => ScalarValue::DurationSecond(Some(ticks)),
        TimeUnit::Millisecond => ScalarValue::DurationMillisecond(Some(ticks)),
        TimeUnit::Microsecond => ScalarValue::DurationMicrosecond(Some(ticks)),
        TimeUnit::Nanosecond => ScalarValue::DurationNanosecond(Some(ticks)),
    }))
}

/// Whether a constant lies beyond what nanoseconds since 1970 reach.
fn is_far(expr: &Expr, data_type: &DataType) -> bool {
    let constant = match expr {
        Expr::Literal(value, _) => Some(value.clone()),
        Expr::Cast(inner) => match inner.expr.as_ref() {
            Expr::Literal(value, _) => value.cast_to(data_type).ok(),
            _ => None,
        },
        _ => None,
    };
    let wide = DataType::Timestamp(TimeUnit::Microsecond, None);
    match constant.and_then(|value| value.cast_to(&wide).ok()) {
        Some(ScalarValue::TimestampMicrosecond(Some(micros), _)) => micros.checked_mul(1_000).is_none(),
        _ => false,
    }
}

/// A bare number before PRECEDING or FOLLOWING would be months where rows are ordered by a time.
fn check_frame(window: &WindowFunction, schema: &DFSchema) -> Result<(), Error> {
    let frame = &window.params.window_frame;
    let Some(first) = window.params.order_by.first() else { return Ok(()) };
    if frame.units != WindowFrameUnits::Range || !first.expr.get_type(schema).is_ok_and(|of| of.is_temporal()) {
        return Ok(());
    }
    for (bound, word) in [(&frame.start_bound, "PRECEDING"), (&frame.end_bound, "FOLLOWING")] {
        let (WindowFrameBound::Preceding(value) | WindowFrameBound::Following(value)) = bound else { continue };
        let number = match value {
            ScalarValue::Utf8(Some(text)) | ScalarValue::LargeUtf8(Some(text)) | ScalarValue::Utf8View(Some(text)) => {
                text.trim().parse::<f64>().is_ok().then(|| text.clone())
            }
            other if other.data_type().is_numeric() && !other.is_null() => Some(other.to_string()),
            _ => None,
        };
        if let Some(number) = number {
            let word = if matches!(bound, WindowFrameBound::Preceding(_)) { "PRECEDING" } else { word };
            return Err(Error::user(format!(
                "RANGE {number} {word}: the rows are ordered by {}, a time, so the range needs a unit",
                first.expr
            ))
            .hint(format!(
                "as in RANGE BETWEEN INTERVAL '{number} days' PRECEDING AND CURRENT ROW; ROWS counts rows"
            )));
        }
    }
    Ok(())
}
