//! Analyzer rule: days and hours of plain SQL are those of `tenure.time_zone`, as they are in the relations.
//!
//! A timestamp without a zone is an instant in UTC, here as everywhere in tenure. Where the session's zone is another one:
//!
//! | written | planned |
//! |---|---|
//! | `date_trunc('day', ts)` | in the zone; the result carries it, so that midnight shows as midnight |
//! | `extract(hour FROM ts)`, `date_part(..)`, `to_char(ts, ..)` | of the time in the zone |
//! | `CAST(ts AS DATE)` | the local date |
//! | `ts >= DATE '2026-01-01'` | from local midnight on |
//! | `DATE '2026-01-01' + INTERVAL '1 hour'` | a time of that day; whole days and months leave a date |
//!
//! In every session, a timestamp without a zone is UTC where it meets one with a zone; by itself DataFusion would read it as a time of that other zone.
//! A text or TIMESTAMP literal without a zone beside a column without one is UTC, as the column is shown.
//!
//! Does not deal with: `now()` and `current_date`, which follow an option that `engine` keeps in step.

use std::sync::Arc;

use arrow::datatypes::{DataType, TimeUnit};
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{DFSchema, ScalarValue};
use datafusion::error::Result;
use datafusion::logical_expr::expr::{Between, BinaryExpr, Cast, ScalarFunction};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::utils::merge_schema;
use datafusion::logical_expr::{Expr, ExprSchemable, LogicalPlan, Operator, cast};
use datafusion::optimizer::AnalyzerRule;

use crate::config::TenureOptions;

/// The rule.
#[derive(Debug)]
pub struct LocalCalendar;

impl AnalyzerRule for LocalCalendar {
    fn name(&self) -> &str {
        "local_calendar"
    }

    fn analyze(&self, plan: LogicalPlan, options: &ConfigOptions) -> Result<LogicalPlan> {
        let zone = options.extensions.get::<TenureOptions>().map(|options| options.time_zone.clone());
        let zone = zone.filter(|zone| !is_utc(zone)).map(Arc::from);
        Ok(plan.transform_up_with_subqueries(|node| of_node(node, zone.as_ref()))?.data)
    }
}

fn is_utc(zone: &str) -> bool {
    ["UTC", "Z", "Etc/UTC", "+00:00"].iter().any(|name| zone.eq_ignore_ascii_case(name))
}

fn of_node(plan: LogicalPlan, zone: Option<&Arc<str>>) -> Result<Transformed<LogicalPlan>> {
    let schema = merge_schema(&plan.inputs());
    let names = NamePreserver::new(&plan);
    let done = plan.map_expressions(|expr| {
        let name = names.save(&expr);
        expr.transform_up(|expr| of_expr(expr, &schema, zone))?.map_data(|expr| Ok(name.restore(expr)))
    })?;
    if done.transformed { done.map_data(LogicalPlan::recompute_schema) } else { Ok(done) }
}

fn of_expr(expr: Expr, schema: &DFSchema, zone: Option<&Arc<str>>) -> Result<Transformed<Expr>> {
    match (expr, zone) {
        (Expr::BinaryExpr(BinaryExpr { left, op, right }), _) if is_moved_within_a_day(&left, op, &right, schema) => {
            let begun = |side: Box<Expr>| match side.get_type(schema) {
                Ok(DataType::Date32) => midnight(*side, zone),
                _ => *side,
            };
            let (left, right) = (Box::new(begun(left)), Box::new(begun(right)));
            Ok(Transformed::yes(Expr::BinaryExpr(BinaryExpr { left, op, right })))
        }
        (Expr::BinaryExpr(BinaryExpr { left, op, right }), _) if op.supports_propagation() || op == Operator::Minus => {
            let (left, right, changed) = met(*left, *right, schema, zone);
            let expr = Expr::BinaryExpr(BinaryExpr::new(Box::new(left), op, Box::new(right)));
            Ok(if changed { Transformed::yes(expr) } else { Transformed::no(expr) })
        }
        (Expr::Between(Between { expr, negated, low, high }), _) => {
            let (low_of, new_low, low_changed) = met(*expr.clone(), *low.clone(), schema, zone);
            let (high_of, new_high, high_changed) = met(*expr.clone(), *high.clone(), schema, zone);
            if !low_changed && !high_changed {
                return Ok(Transformed::no(Expr::Between(Between { expr, negated, low, high })));
            }
            let inside = low_of.gt_eq(new_low).and(high_of.lt_eq(new_high));
            Ok(Transformed::yes(if negated { Expr::Not(Box::new(inside)) } else { inside }))
        }
        (Expr::ScalarFunction(ScalarFunction { func, mut args }), Some(zone)) => {
            let at = match func.name() {
                "date_trunc" | "date_part" => 1,
                "to_char" | "to_date" => 0,
                _ => return Ok(Transformed::no(Expr::ScalarFunction(ScalarFunction { func, args }))),
            };
            let local = args.get(at).and_then(|time| local(time, schema, zone));
            let changed = local.is_some();
            if let (Some(local), Some(time)) = (local, args.get_mut(at)) {
                *time = local;
            }
            let expr = Expr::ScalarFunction(ScalarFunction { func, args });
            Ok(if changed { Transformed::yes(expr) } else { Transformed::no(expr) })
        }
        (Expr::Cast(Cast { expr, field }), Some(zone)) if *field.data_type() == DataType::Date32 => {
            match local(&expr, schema, zone) {
                Some(local) => Ok(Transformed::yes(Expr::Cast(Cast { expr: Box::new(local), field }))),
                None => Ok(Transformed::no(Expr::Cast(Cast { expr, field }))),
            }
        }
        (other, _) => Ok(Transformed::no(other)),
    }
}

/// Whether a date is moved by an interval that may be no whole days. By itself DataFusion leaves the hours out without a word.
fn is_moved_within_a_day(left: &Expr, op: Operator, right: &Expr, schema: &DFSchema) -> bool {
    let whole = |interval: &Expr| match interval {
        Expr::Literal(ScalarValue::IntervalMonthDayNano(Some(span)), _) => span.nanoseconds == 0,
        Expr::Literal(ScalarValue::IntervalDayTime(Some(span)), _) => span.milliseconds == 0,
        Expr::Literal(ScalarValue::IntervalYearMonth(_), _) => true,
        _ => false,
    };
    let interval = |side: &Expr| matches!(side.get_type(schema), Ok(DataType::Interval(_))) && !whole(side);
    let date = |side: &Expr| matches!(side.get_type(schema), Ok(DataType::Date32));
    match op {
        Operator::Plus => (date(left) && interval(right)) || (interval(left) && date(right)),
        Operator::Minus => date(left) && interval(right),
        _ => false,
    }
}

/// The instant at which a day begins.
fn midnight(date: Expr, zone: Option<&Arc<str>>) -> Expr {
    let plain = cast(date, DataType::Timestamp(TimeUnit::Microsecond, None));
    match zone {
        Some(zone) => cast(plain, DataType::Timestamp(TimeUnit::Microsecond, Some(Arc::clone(zone)))),
        None => plain,
    }
}

/// An instant as a time in the zone; `None` where it is none, or is one already.
fn local(time: &Expr, schema: &DFSchema, zone: &Arc<str>) -> Option<Expr> {
    let DataType::Timestamp(unit, has) = time.get_type(schema).ok()? else { return None };
    let instant = match has {
        Some(same) if same == *zone => return None,
        Some(_) => time.clone(),
        None => utc(time.clone(), unit),
    };
    Some(cast(instant, DataType::Timestamp(unit, Some(Arc::clone(zone)))))
}

fn utc(time: Expr, unit: TimeUnit) -> Expr {
    cast(time, DataType::Timestamp(unit, Some("UTC".into())))
}

/// Two sides of a comparison or difference as instants.
fn met(left: Expr, right: Expr, schema: &DFSchema, zone: Option<&Arc<str>>) -> (Expr, Expr, bool) {
    let midnight = |date: Expr, unit: TimeUnit, zone: &Arc<str>| {
        cast(cast(date, DataType::Timestamp(unit, None)), DataType::Timestamp(unit, Some(Arc::clone(zone))))
    };
    let instant =
        |time: Expr, unit: TimeUnit, has: &Option<Arc<str>>| if has.is_none() { utc(time, unit) } else { time };
    match (left.get_type(schema), right.get_type(schema), zone) {
        (Ok(DataType::Timestamp(unit, None)), Ok(DataType::Timestamp(_, Some(_))), _) => (utc(left, unit), right, true),
        (Ok(DataType::Timestamp(_, Some(_))), Ok(DataType::Timestamp(unit, None)), _) => (left, utc(right, unit), true),
        (Ok(DataType::Timestamp(unit, has)), Ok(DataType::Date32), Some(zone)) => {
            (instant(left, unit, &has), midnight(right, unit, zone), true)
        }
        (Ok(DataType::Date32), Ok(DataType::Timestamp(unit, has)), Some(zone)) => {
            (midnight(left, unit, zone), instant(right, unit, &has), true)
        }
        _ => (left, right, false),
    }
}
