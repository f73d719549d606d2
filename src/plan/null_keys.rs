//! Optimizer rule: where a join's keys are equal also as NULLs, a further `a = b` does not become one of its keys.
//!
//! `a JOIN b ON a.k IS NOT DISTINCT FROM b.k WHERE a.u = b.u`: DataFusion makes keys of the first condition, says of the join that NULL
//! equals NULL, and in its next pass adds `a.u = b.u` to the keys, so that rows meet whose `u` are both NULL. As `(a.u = b.u) IS TRUE` it
//! stays a condition. Comes first in each pass. The rule that puts inner joins in another order mixes keys of both kinds as well, and leaves
//! alone the plans that have such a join ([`Unmixed`]).

use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{JoinType, NullEquality};
use datafusion::error::Result;
use datafusion::logical_expr::expr::BinaryExpr;
use datafusion::logical_expr::utils::{conjunction, split_conjunction_owned};
use datafusion::logical_expr::{Expr, Join, LogicalPlan, Operator};
use datafusion::optimizer::{ApplyOrder, OptimizerConfig, OptimizerRule};

/// The rule.
#[derive(Debug)]
pub struct NullKeys;

impl OptimizerRule for NullKeys {
    fn name(&self) -> &str {
        "null_keys"
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        Some(ApplyOrder::TopDown)
    }

    fn rewrite(&self, plan: LogicalPlan, _: &dyn OptimizerConfig) -> Result<Transformed<LogicalPlan>> {
        match plan {
            LogicalPlan::Join(join) if join.null_equality == NullEquality::NullEqualsNull => Ok(of_join(join)),
            other => Ok(Transformed::no(other)),
        }
    }
}

/// A rule that forgets of which join a key is.
#[derive(Debug)]
pub struct Unmixed(pub Arc<dyn OptimizerRule + Send + Sync>);

impl Unmixed {
    /// The name of the rule.
    pub const WRAPS: &'static str = "eliminate_cross_join";
}

impl OptimizerRule for Unmixed {
    fn name(&self) -> &str {
        self.0.name()
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        self.0.apply_order()
    }

    fn rewrite(&self, plan: LogicalPlan, config: &dyn OptimizerConfig) -> Result<Transformed<LogicalPlan>> {
        let by_nulls =
            |join: &Join| join.join_type == JoinType::Inner && join.null_equality == NullEquality::NullEqualsNull;
        if plan.exists(|node| Ok(matches!(node, LogicalPlan::Join(join) if by_nulls(join))))? {
            return Ok(Transformed::no(plan));
        }
        self.0.rewrite(plan, config)
    }
}

fn of_join(mut join: Join) -> Transformed<LogicalPlan> {
    let Some(filter) = join.filter.take() else { return Transformed::no(LogicalPlan::Join(join)) };
    let mut changed = false;
    let conditions = split_conjunction_owned(filter).into_iter().map(|condition| match condition {
        Expr::BinaryExpr(BinaryExpr { op: Operator::Eq, .. }) => {
            changed = true;
            Expr::IsTrue(Box::new(condition))
        }
        other => other,
    });
    join.filter = conjunction(conditions.collect::<Vec<_>>());
    let plan = LogicalPlan::Join(join);
    if changed { Transformed::yes(plan) } else { Transformed::no(plan) }
}
