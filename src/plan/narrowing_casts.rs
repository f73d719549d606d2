//! Optimizer rule: a comparison of two columns of which one is narrowed first is hidden from DataFusion's estimates.
//!
//! `WHERE d = CAST(ts AS DATE)`: to guess how many rows are left, DataFusion takes the bounds of `d` for those of `ts`, where they are wider
//! by up to a day, so that more than all rows are left; and refuses the statement ("Selectivity is out of limit"). As
//! `(d = CAST(ts AS DATE)) IS TRUE`, which means the same in a filter, it is not analysed. Comes last in each pass, when conditions have become
//! keys of joins and bounds of scans. A comparison with a constant is left as it is: by it files and pages are left out.

use arrow::datatypes::DataType;
use datafusion::common::DFSchema;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::error::Result;
use datafusion::logical_expr::expr::BinaryExpr;
use datafusion::logical_expr::utils::{conjunction, split_conjunction_owned};
use datafusion::logical_expr::{Cast, Expr, ExprSchemable, Filter, LogicalPlan, Operator, lit};
use datafusion::optimizer::{ApplyOrder, OptimizerConfig, OptimizerRule};

/// The rule.
#[derive(Debug)]
pub struct NarrowingCasts;

impl OptimizerRule for NarrowingCasts {
    fn name(&self) -> &str {
        "narrowing_casts"
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        Some(ApplyOrder::TopDown)
    }

    fn rewrite(&self, plan: LogicalPlan, _: &dyn OptimizerConfig) -> Result<Transformed<LogicalPlan>> {
        let LogicalPlan::Filter(Filter { predicate, input, .. }) = plan else { return Ok(Transformed::no(plan)) };
        let mut changed = false;
        let conditions = split_conjunction_owned(predicate).into_iter().map(|condition| {
            let hide = compares_narrowed(&condition, input.schema());
            changed |= hide;
            if hide { Expr::IsTrue(Box::new(condition)) } else { condition }
        });
        let predicate = conjunction(conditions.collect::<Vec<_>>()).unwrap_or_else(|| lit(true));
        let plan = LogicalPlan::Filter(Filter::try_new(predicate, input)?);
        Ok(if changed { Transformed::yes(plan) } else { Transformed::no(plan) })
    }
}

fn compares_narrowed(condition: &Expr, schema: &DFSchema) -> bool {
    let Expr::BinaryExpr(BinaryExpr { left, op, right }) = condition else { return false };
    let has_column = |side: &Expr| !side.column_refs().is_empty();
    let narrows = |side: &Expr| side.exists(|part| Ok(narrows(part, schema))).unwrap_or(true);
    let compares = matches!(op, Operator::Eq | Operator::Lt | Operator::LtEq | Operator::Gt | Operator::GtEq);
    compares && has_column(left) && has_column(right) && (narrows(left) || narrows(right))
}

/// Whether different values become one.
fn narrows(expr: &Expr, schema: &DFSchema) -> bool {
    let Expr::Cast(Cast { expr, field }) = expr else { return false };
    match (expr.get_type(schema), field.data_type()) {
        (Ok(from), to) if from == *to => false,
        (Ok(DataType::Timestamp(..) | DataType::Date64), to) => to.is_temporal() || to.is_integer(),
        (Ok(from), to) => (from.is_floating() || from.is_decimal()) && (to.is_integer() || *to == DataType::Float32),
        (Err(_), _) => true,
    }
}
