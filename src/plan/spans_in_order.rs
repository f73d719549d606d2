//! Analyzer rule: intervals are put in order by their length, and are not grouped by their fields.
//!
//! DataFusion orders and groups an INTERVAL by months, then days, then nanoseconds, so that 31 days come before 1 month and `INTERVAL '30 days'` and
//! `INTERVAL '1 month'` are two groups, though they compare as equal here (`spans_of_time`).
//!
//! | written | planned |
//! |---|---|
//! | `ORDER BY i`, in a query, an aggregate, a window | by length |
//! | `min(i)`, `max(i)` | `first_value(i ORDER BY length)` |
//! | `a JOIN b USING (i)`, INTERSECT, EXCEPT | equal lengths |
//! | `CASE i WHEN ..`, `nullif(i, j)` | equal lengths |
//! | `GROUP BY i`, DISTINCT, PARTITION BY, greatest, least | refused, with the length as the way out |
//!
//! Differences of timestamps are durations, which are numbers, and are left alone.

use arrow::datatypes::DataType;
use datafusion::common::DFSchema;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::error::{DataFusionError, Result};
use datafusion::functions_aggregate::first_last::first_value_udaf;
use datafusion::logical_expr::expr::{AggregateFunction, Case, ScalarFunction, Sort as SortExpr, WindowFunction};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::utils::merge_schema;
use datafusion::logical_expr::{Distinct, Expr, ExprSchemable, LogicalPlan, WindowFrameBound, WindowFrameUnits, lit};
use datafusion::optimizer::AnalyzerRule;

use crate::error::Error;
use crate::functions::plain_sql::time_length;

/// The rule.
#[derive(Debug)]
pub struct SpansInOrder;

impl AnalyzerRule for SpansInOrder {
    fn name(&self) -> &str {
        "spans_in_order"
    }

    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> Result<LogicalPlan> {
        Ok(plan.transform_up_with_subqueries(of_node)?.data)
    }
}

fn of_node(plan: LogicalPlan) -> Result<Transformed<LogicalPlan>> {
    let schema = merge_schema(&plan.inputs());
    match &plan {
        LogicalPlan::Aggregate(aggregate) => {
            for key in &aggregate.group_expr {
                let keys = match key {
                    Expr::GroupingSet(sets) => sets.distinct_expr(),
                    other => vec![other],
                };
                check(keys, "GROUP BY", &schema)?;
            }
        }
        LogicalPlan::Distinct(Distinct::On(on)) => check(&on.on_expr, "DISTINCT ON", &schema)?,
        LogicalPlan::Distinct(Distinct::All(input)) => {
            if let Some(field) = input.schema().fields().iter().find(|field| is_interval(field.data_type())) {
                return Err(refused("DISTINCT or UNION", field.name()));
            }
        }
        _ => {}
    }
    let names = NamePreserver::new(&plan);
    let done = plan.map_expressions(|expr| {
        let name = names.save(&expr);
        expr.transform_up(|expr| of_expr(expr, &schema))?.map_data(|expr| Ok(name.restore(expr)))
    })?;
    let done = if done.transformed { done.map_data(LogicalPlan::recompute_schema)? } else { done };
    match done.data {
        LogicalPlan::Sort(mut sort) => {
            let changed = by_length(&mut sort.expr, sort.input.schema()) || done.transformed;
            let plan = LogicalPlan::Sort(sort);
            Ok(if changed { Transformed::yes(plan) } else { Transformed::no(plan) })
        }
        LogicalPlan::Join(mut join) => {
            let mut changed = done.transformed;
            for (left, right) in &mut join.on {
                if is_span(left, join.left.schema()) || is_span(right, join.right.schema()) {
                    changed = true;
                    (*left, *right) = (length(left.clone()), length(right.clone()));
                }
            }
            let plan = LogicalPlan::Join(join);
            Ok(if changed { Transformed::yes(plan) } else { Transformed::no(plan) })
        }
        plan => Ok(if done.transformed { Transformed::yes(plan) } else { Transformed::no(plan) }),
    }
}

fn of_expr(expr: Expr, schema: &DFSchema) -> Result<Transformed<Expr>> {
    match expr {
        Expr::AggregateFunction(call) => of_aggregate(call, schema),
        Expr::WindowFunction(call) => of_window(*call, schema),
        Expr::Case(Case { expr: Some(of), when_then_expr, else_expr }) if is_span(&of, schema) => {
            let when_then_expr = when_then_expr
                .into_iter()
                .map(|(when, then)| (Box::new(length(*of.clone()).eq(length(*when))), then))
                .collect();
            Ok(Transformed::yes(Expr::Case(Case { expr: None, when_then_expr, else_expr })))
        }
        Expr::ScalarFunction(ScalarFunction { func, args }) if args.iter().any(|arg| is_span(arg, schema)) => {
            match (func.name(), args.as_slice()) {
                ("greatest" | "least", [first, ..]) => Err(refused(func.name(), &first.to_string())),
                ("nullif", [value, other]) => {
                    let same = length(value.clone()).eq(length(other.clone()));
                    let mut made = datafusion::logical_expr::when(same, lit(datafusion::common::ScalarValue::Null));
                    Ok(Transformed::yes(made.otherwise(value.clone())?))
                }
                _ => Ok(Transformed::no(Expr::ScalarFunction(ScalarFunction { func, args }))),
            }
        }
        other => Ok(Transformed::no(other)),
    }
}

fn of_aggregate(mut call: AggregateFunction, schema: &DFSchema) -> Result<Transformed<Expr>> {
    let first = call.params.args.first().filter(|first| is_span(first, schema)).cloned();
    let mut changed = by_length(&mut call.params.order_by, schema);
    if let Some(first) = first {
        match call.func.name() {
            name @ ("min" | "max") => {
                call.params.order_by = vec![SortExpr::new(length(first), name == "min", false)];
                call.params.distinct = false;
                call.func = first_value_udaf();
                changed = true;
            }
            name if call.params.distinct => {
                return Err(refused(&format!("{name}(DISTINCT ..)"), &first.to_string()));
            }
            _ => {}
        }
    }
    let expr = Expr::AggregateFunction(call);
    Ok(if changed { Transformed::yes(expr) } else { Transformed::no(expr) })
}

fn of_window(mut call: WindowFunction, schema: &DFSchema) -> Result<Transformed<Expr>> {
    check(&call.params.partition_by, "PARTITION BY", schema)?;
    let name = call.fun.name().to_string();
    if let Some(first) = call.params.args.first().filter(|first| is_span(first, schema))
        && matches!(name.as_str(), "min" | "max")
    {
        return Err(refused(&format!("{name}(..) OVER"), &first.to_string()));
    }
    let frame = &call.params.window_frame;
    let counted = |bound: &WindowFrameBound| !bound.is_unbounded() && !matches!(bound, WindowFrameBound::CurrentRow);
    if frame.units == WindowFrameUnits::Range
        && (counted(&frame.start_bound) || counted(&frame.end_bound))
        && let Some(one) = call.params.order_by.iter().find(|one| is_span(&one.expr, schema))
    {
        return Err(refused("a RANGE of values", &one.expr.to_string()));
    }
    let changed = by_length(&mut call.params.order_by, schema);
    let expr = Expr::WindowFunction(Box::new(call));
    Ok(if changed { Transformed::yes(expr) } else { Transformed::no(expr) })
}

fn by_length(order: &mut [SortExpr], schema: &DFSchema) -> bool {
    let mut changed = false;
    for one in order.iter_mut().filter(|one| is_span(&one.expr, schema)) {
        one.expr = length(one.expr.clone());
        changed = true;
    }
    changed
}

fn length(expr: Expr) -> Expr {
    time_length().call(vec![expr])
}

fn is_interval(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Interval(_))
}

fn is_span(expr: &Expr, schema: &DFSchema) -> bool {
    expr.get_type(schema).is_ok_and(|of| is_interval(&of))
}

fn check<'a>(exprs: impl IntoIterator<Item = &'a Expr>, place: &str, schema: &DFSchema) -> Result<()> {
    match exprs.into_iter().find(|expr| is_span(expr, schema)) {
        Some(expr) => Err(refused(place, &expr.to_string())),
        None => Ok(()),
    }
}

fn refused(place: &str, expr: &str) -> DataFusionError {
    Error::user(format!(
        "{place} an INTERVAL ({expr}) is not supported: 30 days and 1 month are one length and would be two values"
    ))
    .hint(format!(
        "use its length in seconds: extract(epoch FROM {expr}); the difference of two timestamps needs none of this"
    ))
    .into()
}
