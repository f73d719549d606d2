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
//! | `date_bin(INTERVAL '1 day', ts)` | bins of local days; of an hour or less within the local hour; between them it is refused |
//!
//! In every session, a timestamp without a zone is UTC where it meets one with a zone, in a comparison, in CASE, coalesce, UNION, IN or as a key of a
//! join; by itself DataFusion would read it as a time of that other zone.
//! A text or TIMESTAMP literal without a zone beside a column without one is UTC, as the column is shown.
//!
//! Does not deal with: `now()` and `current_date`, which follow an option that `engine` keeps in step.

use std::sync::Arc;

use arrow::datatypes::{DataType, IntervalUnit, TimeUnit};
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{DFSchema, ScalarValue};
use datafusion::error::Result;
use datafusion::functions::datetime::to_local_time;
use datafusion::logical_expr::expr::{Between, BinaryExpr, Case, Cast, InList, InSubquery, ScalarFunction, TryCast};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::utils::merge_schema;
use datafusion::logical_expr::{
    Expr, ExprSchemable, LogicalPlan, LogicalPlanBuilder, Operator, ScalarUDF, Subquery, Union, cast,
};
use datafusion::optimizer::AnalyzerRule;

use crate::config::TenureOptions;
use crate::error::Error;
use crate::functions::plain_sql::{INTERVAL_TIMES, local_midnight};

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
    let plan = match plan {
        LogicalPlan::Union(union) => return of_union(union, zone),
        LogicalPlan::Join(mut join) => {
            for (left, right) in &mut join.on {
                if let Some(both) = paired((left, join.left.schema()), (right, join.right.schema()), zone) {
                    (*left, *right) = both;
                }
            }
            LogicalPlan::Join(join)
        }
        other => other,
    };
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
        (Expr::ScalarFunction(ScalarFunction { func, args }), zone) if mixes(&args, func.name(), schema, zone) => {
            let args = at_one_zone(args, schema, zone);
            of_expr(Expr::ScalarFunction(ScalarFunction { func, args }), schema, zone)
                .map(|done| Transformed::yes(done.data))
        }
        (Expr::Case(case), zone) => of_case(case, schema, zone),
        (Expr::InList(InList { expr, list, negated }), zone) => {
            let all: Vec<Expr> = std::iter::once(*expr.clone()).chain(list.iter().cloned()).collect();
            if !is_mixed(&all, schema, zone) {
                return Ok(Transformed::no(Expr::InList(InList { expr, list, negated })));
            }
            let mut all = at_one_zone(all, schema, zone);
            let list = all.split_off(1);
            let expr = all.pop().map_or(expr, Box::new);
            Ok(Transformed::yes(Expr::InList(InList { expr, list, negated })))
        }
        (Expr::InSubquery(InSubquery { expr, subquery, negated }), zone) => {
            let items = subquery.subquery.schema();
            let item = items.columns().into_iter().next().map(Expr::Column);
            let Some((asked, item)) = item.and_then(|item| paired((&expr, schema), (&item, items), zone)) else {
                return Ok(Transformed::no(Expr::InSubquery(InSubquery { expr, subquery, negated })));
            };
            let plan =
                LogicalPlanBuilder::from(Arc::unwrap_or_clone(subquery.subquery.clone())).project([item])?.build()?;
            let subquery = Subquery { subquery: Arc::new(plan), ..subquery };
            Ok(Transformed::yes(Expr::InSubquery(InSubquery { expr: Box::new(asked), subquery, negated })))
        }
        (Expr::WindowFunction(mut window), zone) if is_mixed(&window.params.args, schema, zone) => {
            window.params.args = at_one_zone(std::mem::take(&mut window.params.args), schema, zone);
            Ok(Transformed::yes(Expr::WindowFunction(window)))
        }
        (Expr::ScalarFunction(ScalarFunction { func, args }), Some(zone)) if func.name() == "date_bin" => {
            date_bin(&func, args, schema, zone).map(Transformed::yes)
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
        (Expr::Cast(Cast { expr, field }), Some(zone)) if is_of_a_day(field.data_type()) => {
            match local(&expr, schema, zone) {
                Some(local) => Ok(Transformed::yes(Expr::Cast(Cast { expr: Box::new(local), field }))),
                None => Ok(Transformed::no(Expr::Cast(Cast { expr, field }))),
            }
        }
        (Expr::TryCast(TryCast { expr, field }), Some(zone)) if is_of_a_day(field.data_type()) => {
            match local(&expr, schema, zone) {
                Some(local) => Ok(Transformed::yes(Expr::TryCast(TryCast { expr: Box::new(local), field }))),
                None => Ok(Transformed::no(Expr::TryCast(TryCast { expr, field }))),
            }
        }
        (other, _) => Ok(Transformed::no(other)),
    }
}

/// A date, or a time of day.
fn is_of_a_day(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Date32 | DataType::Time32(_) | DataType::Time64(_))
}

/// Whether timestamps with and without a zone meet here; in a session with a zone of its own, also dates and timestamps.
fn is_mixed(exprs: &[Expr], schema: &DFSchema, zone: Option<&Arc<str>>) -> bool {
    let (mut zoned, mut plain, mut dates) = (false, false, false);
    for expr in exprs {
        match expr.get_type(schema) {
            Ok(DataType::Timestamp(_, Some(_))) => zoned = true,
            Ok(DataType::Timestamp(_, None)) => plain = true,
            Ok(DataType::Date32) => dates = true,
            _ => {}
        }
    }
    (zoned && plain) || (zone.is_some() && dates && (zoned || plain))
}

/// Functions whose arguments become one type.
const OF_ONE_TYPE: [&str; 8] = ["coalesce", "nullif", "greatest", "least", "nvl", "ifnull", "nvl2", "make_array"];

fn mixes(args: &[Expr], function: &str, schema: &DFSchema, zone: Option<&Arc<str>>) -> bool {
    is_mixed(args, schema, zone.filter(|_| OF_ONE_TYPE.contains(&function)))
}

/// Instants in one zone: the first that one of them has, else that of the session.
fn at_one_zone(exprs: Vec<Expr>, schema: &DFSchema, zone: Option<&Arc<str>>) -> Vec<Expr> {
    let zones = exprs.iter().find_map(|expr| zone_of(expr, schema));
    let Some(common) = zones.or_else(|| zone.cloned()) else { return exprs };
    exprs.into_iter().map(|expr| moved(expr, schema, zone, &common)).collect()
}

fn zone_of(expr: &Expr, schema: &DFSchema) -> Option<Arc<str>> {
    match expr.get_type(schema) {
        Ok(DataType::Timestamp(_, zone)) => zone,
        _ => None,
    }
}

/// An instant in a zone.
fn moved(expr: Expr, schema: &DFSchema, zone: Option<&Arc<str>>, common: &Arc<str>) -> Expr {
    let at = |unit: TimeUnit| DataType::Timestamp(unit, Some(Arc::clone(common)));
    match expr.get_type(schema) {
        Ok(DataType::Timestamp(_, Some(has))) if has == *common => expr,
        Ok(DataType::Timestamp(unit, Some(_))) => cast(expr, at(unit)),
        Ok(DataType::Timestamp(unit, None)) => cast(utc(expr, unit), at(unit)),
        Ok(DataType::Date32) if zone.is_some() => cast(midnight(expr, zone), at(TimeUnit::Microsecond)),
        _ => expr,
    }
}

/// Two expressions over inputs of their own, as [`at_one_zone`]; `None` where they are of one kind.
fn paired(
    (left, left_schema): (&Expr, &DFSchema),
    (right, right_schema): (&Expr, &DFSchema),
    zone: Option<&Arc<str>>,
) -> Option<(Expr, Expr)> {
    let plain = |expr: &Expr, schema: &DFSchema| matches!(expr.get_type(schema), Ok(DataType::Timestamp(_, None)));
    let date = |expr: &Expr, schema: &DFSchema| matches!(expr.get_type(schema), Ok(DataType::Date32));
    let (left_zone, right_zone) = (zone_of(left, left_schema), zone_of(right, right_schema));
    let (left_plain, right_plain) = (plain(left, left_schema), plain(right, right_schema));
    let mixed = (left_zone.is_some() && right_plain) || (left_plain && right_zone.is_some());
    let time = |zone: &Option<Arc<str>>, plain: bool| zone.is_some() || plain;
    let dated = (date(left, left_schema) && time(&right_zone, right_plain))
        || (date(right, right_schema) && time(&left_zone, left_plain));
    if !(mixed || dated && zone.is_some()) {
        return None;
    }
    let common = left_zone.or(right_zone).or_else(|| zone.cloned())?;
    Some((moved(left.clone(), left_schema, zone, &common), moved(right.clone(), right_schema, zone, &common)))
}

fn of_case(case: Case, schema: &DFSchema, zone: Option<&Arc<str>>) -> Result<Transformed<Expr>> {
    let Case { expr, when_then_expr, else_expr } = case;
    let (whens, thens): (Vec<Expr>, Vec<Expr>) = when_then_expr.into_iter().map(|(when, then)| (*when, *then)).unzip();
    let mut changed = false;
    let mut one_zone = |last: Option<Box<Expr>>, exprs: Vec<Expr>| {
        let count = exprs.len();
        let mut all: Vec<Expr> = exprs.into_iter().chain(last.map(|last| *last)).collect();
        if is_mixed(&all, schema, zone) {
            changed = true;
            all = at_one_zone(all, schema, zone);
        }
        let last = all.split_off(count).pop().map(Box::new);
        (last, all)
    };
    let (expr, whens) = match expr {
        None => (None, whens),
        some => one_zone(some, whens),
    };
    let (else_expr, thens) = one_zone(else_expr, thens);
    let when_then_expr = whens.into_iter().zip(thens).map(|(when, then)| (Box::new(when), Box::new(then))).collect();
    let case = Expr::Case(Case { expr, when_then_expr, else_expr });
    Ok(if changed { Transformed::yes(case) } else { Transformed::no(case) })
}

/// Columns of a UNION that are timestamps of both kinds.
fn of_union(union: Union, zone: Option<&Arc<str>>) -> Result<Transformed<LogicalPlan>> {
    let rows: Vec<Vec<Expr>> =
        union.inputs.iter().map(|input| input.schema().columns().into_iter().map(Expr::Column).collect()).collect();
    let width = rows.iter().map(Vec::len).min().unwrap_or(0);
    let typed = |row: &Vec<Expr>, input: &LogicalPlan, at: usize| row[at].get_type(input.schema()).ok();
    let mixed: Vec<usize> = (0..width)
        .filter(|at| {
            let types: Vec<DataType> =
                rows.iter().zip(&union.inputs).filter_map(|(row, input)| typed(row, input, *at)).collect();
            let any = |wanted: fn(&DataType) -> bool| types.iter().any(wanted);
            let zoned = any(|of| matches!(of, DataType::Timestamp(_, Some(_))));
            let plain = any(|of| matches!(of, DataType::Timestamp(_, None)));
            (zoned && plain) || (zone.is_some() && any(|of| *of == DataType::Date32) && (zoned || plain))
        })
        .collect();
    if mixed.is_empty() {
        return Ok(Transformed::no(LogicalPlan::Union(union)));
    }
    let common = |at: usize| {
        let zones = rows.iter().zip(&union.inputs).find_map(|(row, input)| match typed(row, input, at) {
            Some(DataType::Timestamp(_, Some(zone))) => Some(zone),
            _ => None,
        });
        zones.or_else(|| zone.cloned())
    };
    let mut inputs = Vec::with_capacity(union.inputs.len());
    for (row, input) in rows.iter().zip(&union.inputs) {
        let schema = input.schema();
        let shown = row.iter().enumerate().map(|(at, expr)| match common(at).filter(|_| mixed.contains(&at)) {
            None => expr.clone(),
            Some(common) => {
                let names = NamePreserver::new_for_projection();
                let name = names.save(expr);
                name.restore(moved(expr.clone(), schema, zone, &common))
            }
        });
        let shown: Vec<Expr> = shown.collect();
        inputs.push(Arc::new(LogicalPlanBuilder::from(input.as_ref().clone()).project(shown)?.build()?));
    }
    Ok(Transformed::yes(LogicalPlan::Union(Union::try_new_with_loose_types(inputs)?)))
}

/// `date_bin` over the clock of the zone. By itself it would begin days at midnight in UTC.
fn date_bin(func: &Arc<ScalarUDF>, args: Vec<Expr>, schema: &DFSchema, zone: &Arc<str>) -> Result<Expr> {
    let refused = |what: &str| {
        Err(Error::user(format!("date_bin of {what} is not supported where tenure.time_zone is '{zone}'"))
            .hint("date_trunc('day', ts), or another unit, follows the time zone; so do bins of whole days or months, and of an hour or less")
            .into())
    };
    let [stride, time, rest @ ..] = args.as_slice() else {
        return Ok(Expr::ScalarFunction(ScalarFunction { func: Arc::clone(func), args }));
    };
    let unit = match time.get_type(schema) {
        Ok(DataType::Timestamp(unit, _)) => unit,
        _ => return Ok(Expr::ScalarFunction(ScalarFunction { func: Arc::clone(func), args })),
    };
    const HOUR: i64 = 3_600_000_000_000;
    let span = match stride {
        Expr::Literal(value, _) => match value.cast_to(&DataType::Interval(IntervalUnit::MonthDayNano)) {
            Ok(ScalarValue::IntervalMonthDayNano(Some(span))) => span,
            _ => return refused("a computed stride"),
        },
        _ => return refused("a computed stride"),
    };
    let within_an_hour = span.months == 0 && span.days == 0 && span.nanoseconds <= HOUR;
    let days = 24 * HOUR;
    if !within_an_hour && span.nanoseconds % days != 0 {
        return refused("hours that are no day");
    }
    let wall = |time: &Expr| {
        let zoned = local(time, schema, zone).unwrap_or_else(|| time.clone());
        to_local_time().call(vec![zoned])
    };
    // An origin without a zone is a time on that clock, as a DATE is.
    let rest = rest.iter().map(|origin| match origin.get_type(schema) {
        Ok(DataType::Timestamp(_, Some(_))) => wall(origin),
        _ => origin.clone(),
    });
    let shown = wall(time);
    let binned = func.call(std::iter::once(stride.clone()).chain([shown.clone()]).chain(rest).collect());
    let zoned = DataType::Timestamp(unit, Some(Arc::clone(zone)));
    if within_an_hour {
        // Two hours of autumn show the same on the wall, and are told apart by the instant.
        let instant = local(time, schema, zone).unwrap_or_else(|| time.clone());
        return Ok(cast(instant - (shown - binned), zoned));
    }
    Ok(cast(binned, zoned))
}

/// Whether a date is moved by an interval that may be no whole days. By itself DataFusion leaves the hours out without a word.
fn is_moved_within_a_day(left: &Expr, op: Operator, right: &Expr, schema: &DFSchema) -> bool {
    let interval = |side: &Expr| matches!(side.get_type(schema), Ok(DataType::Interval(_))) && !is_whole(side);
    let date = |side: &Expr| matches!(side.get_type(schema), Ok(DataType::Date32));
    match op {
        Operator::Plus => (date(left) && interval(right)) || (interval(left) && date(right)),
        Operator::Minus => date(left) && interval(right),
        _ => false,
    }
}

/// Whether a span is known to be whole days and months.
fn is_whole(span: &Expr) -> bool {
    match span {
        Expr::Literal(ScalarValue::IntervalMonthDayNano(Some(span)), _) => span.nanoseconds == 0,
        Expr::Literal(ScalarValue::IntervalDayTime(Some(span)), _) => span.milliseconds == 0,
        Expr::Literal(ScalarValue::IntervalYearMonth(_), _) => true,
        Expr::ScalarFunction(product) if product.func.name() == INTERVAL_TIMES => {
            product.args.first().is_some_and(is_whole)
        }
        _ => false,
    }
}

/// The instant at which a day begins.
fn midnight(date: Expr, zone: Option<&Arc<str>>) -> Expr {
    match zone {
        Some(zone) => local_midnight(zone).call(vec![date]),
        None => cast(date, DataType::Timestamp(TimeUnit::Microsecond, None)),
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
        cast(midnight(date, Some(zone)), DataType::Timestamp(unit, Some(Arc::clone(zone))))
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
