//! Analyzer rule: `x IS TRUE` as `x IS NOT DISTINCT FROM TRUE`, and so are its relatives.
//!
//! These mean the same, and the second is how DataFusion carries the first out. But it says of the first that it is never NULL and of
//! the second that it may be, so that a plan that counts or groups by `x IS TRUE` contradicts itself and is refused.

use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::error::Result;
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::{BinaryExpr, Expr, LogicalPlan, Operator, lit};
use datafusion::optimizer::AnalyzerRule;

/// The rule.
#[derive(Debug)]
pub struct TruthValues;

impl AnalyzerRule for TruthValues {
    fn name(&self) -> &str {
        "truth_values"
    }

    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> Result<LogicalPlan> {
        let asked = |plan: &LogicalPlan| {
            let mut found = false;
            plan.apply_with_subqueries(|plan| {
                plan.apply_expressions(|expr| {
                    found |= expr.exists(|expr| Ok(restated(expr).is_some()))?;
                    Ok(if found { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
                })
            })?;
            Ok::<_, datafusion::error::DataFusionError>(found)
        };
        if !asked(&plan)? {
            return Ok(plan);
        }
        let done = plan.transform_up_with_subqueries(|plan| {
            let names = NamePreserver::new(&plan);
            let done = plan.map_expressions(|expr| {
                let name = names.save(&expr);
                Ok(expr.transform_up(of_expr)?.update_data(|expr| name.restore(expr)))
            })?;
            // What a node says of its columns follows from its expressions and from the nodes below.
            done.map_data(LogicalPlan::recompute_schema)
        })?;
        Ok(done.data)
    }
}

/// The operator and the constant that mean the same.
fn restated(expr: &Expr) -> Option<(Operator, bool)> {
    match expr {
        Expr::IsTrue(_) => Some((Operator::IsNotDistinctFrom, true)),
        Expr::IsNotTrue(_) => Some((Operator::IsDistinctFrom, true)),
        Expr::IsFalse(_) => Some((Operator::IsNotDistinctFrom, false)),
        Expr::IsNotFalse(_) => Some((Operator::IsDistinctFrom, false)),
        _ => None,
    }
}

fn of_expr(expr: Expr) -> Result<Transformed<Expr>> {
    match (restated(&expr), expr) {
        (
            Some((operator, value)),
            Expr::IsTrue(of) | Expr::IsNotTrue(of) | Expr::IsFalse(of) | Expr::IsNotFalse(of),
        ) => Ok(Transformed::yes(Expr::BinaryExpr(BinaryExpr::new(of, operator, Box::new(lit(value)))))),
        (_, other) => Ok(Transformed::no(other)),
    }
}
