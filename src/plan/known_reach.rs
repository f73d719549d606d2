//! Optimizer rule: where the largest time of a table is known before its rows are read, `recent(time, ..)` is a comparison with a constant.
//!
//! `stickiness` looks at the last n days of the data, and where they end only the data say. Of Parquet files and managed tables the
//! footers and the log do; so files, pages and rows from before those days are left out, and a second pass that finds the end is over
//! few of them. Asked anew whenever a plan is optimized, since a view outlives the data that it was made over.
//!
//! Only what is exact counts, and only over a table as it is: below a filter or a limit the largest time may not be among the rows.

use datafusion::common::stats::Precision;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Column, ScalarValue};
use datafusion::datasource::source_as_provider;
use datafusion::error::Result;
use datafusion::logical_expr::{Expr, Filter, LogicalPlan, lit};
use datafusion::optimizer::{ApplyOrder, OptimizerConfig, OptimizerRule};

use crate::functions::period::Recent;

/// The rule.
#[derive(Debug)]
pub struct KnownReach;

impl OptimizerRule for KnownReach {
    fn name(&self) -> &str {
        "known_reach"
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        Some(ApplyOrder::TopDown)
    }

    fn rewrite(&self, plan: LogicalPlan, _: &dyn OptimizerConfig) -> Result<Transformed<LogicalPlan>> {
        let LogicalPlan::Filter(Filter { predicate, input, .. }) = plan else { return Ok(Transformed::no(plan)) };
        let done = predicate.transform_down(|expr| {
            let Some((time, asked)) = Recent::of_call(&expr) else { return Ok(Transformed::no(expr)) };
            let largest = time.try_as_col().and_then(|column| largest(&input, column));
            let bound = largest.and_then(|largest| asked.earliest(&largest));
            Ok(Transformed::yes(match bound {
                Some(bound) => time.clone().gt_eq(lit(bound)),
                None => lit(true),
            }))
        })?;
        let changed = done.transformed;
        let plan = LogicalPlan::Filter(Filter::try_new(done.data, input)?);
        Ok(if changed { Transformed::yes(plan) } else { Transformed::no(plan) })
    }
}

/// The largest value of a column, where it is known and among the rows.
fn largest(plan: &LogicalPlan, column: &Column) -> Option<ScalarValue> {
    match plan {
        LogicalPlan::SubqueryAlias(alias) => {
            let at = alias.schema.maybe_index_of_column(column)?;
            let (relation, field) = alias.input.schema().qualified_field(at);
            largest(&alias.input, &Column::new(relation.cloned(), field.name()))
        }
        LogicalPlan::Projection(projection) => {
            let at = projection.schema.maybe_index_of_column(column)?;
            largest(&projection.input, unaliased(projection.expr.get(at)?)?)
        }
        LogicalPlan::TableScan(scan) if scan.filters.is_empty() && scan.fetch.is_none() => {
            let table = source_as_provider(&scan.source).ok()?;
            let at = table.schema().index_of(&column.name).ok()?;
            // A file may hold the times in another unit than the table has.
            let of_table = table.schema().field(at).data_type().clone();
            match table.statistics()?.column_statistics.get(at)?.max_value.clone() {
                Precision::Exact(value) if !value.is_null() && value.data_type() == of_table => Some(value),
                _ => None,
            }
        }
        _ => None,
    }
}

fn unaliased(expr: &Expr) -> Option<&Column> {
    match expr {
        Expr::Alias(alias) => unaliased(&alias.expr),
        other => other.try_as_col(),
    }
}
