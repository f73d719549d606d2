//! Analyzer rule: `+`, `-` and `*` of whole numbers fail where the answer is too large; by themselves they wrap around without a word.
//!
//! Comes after the coercion of types, which tells what is added. Arithmetic of constants is left to be folded, if it does not overflow.

use arrow::datatypes::DataType;
use datafusion::common::DFSchema;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::error::Result;
use datafusion::logical_expr::expr::BinaryExpr;
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::utils::merge_schema;
use datafusion::logical_expr::{Expr, ExprSchemable, LogicalPlan};
use datafusion::optimizer::AnalyzerRule;

use crate::functions::plain_sql::{checked, is_checked};

/// The rule.
#[derive(Debug)]
pub struct CheckedArithmetic;

impl AnalyzerRule for CheckedArithmetic {
    fn name(&self) -> &str {
        "checked_arithmetic"
    }

    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> Result<LogicalPlan> {
        Ok(plan.transform_up_with_subqueries(of_node)?.data)
    }
}

fn of_node(plan: LogicalPlan) -> Result<Transformed<LogicalPlan>> {
    // LIMIT reads its numbers before anything is folded.
    if matches!(plan, LogicalPlan::Limit(_)) {
        return Ok(Transformed::no(plan));
    }
    let schema = merge_schema(&plan.inputs());
    let names = NamePreserver::new(&plan);
    let done = plan.map_expressions(|expr| {
        let name = names.save(&expr);
        expr.transform_up(|expr| of_expr(expr, &schema))?.map_data(|expr| Ok(name.restore(expr)))
    })?;
    if done.transformed { done.map_data(LogicalPlan::recompute_schema) } else { Ok(done) }
}

/// A term of the same type, without a look at all of a long chain.
fn last_term(mut side: &Expr) -> &Expr {
    while let Expr::ScalarFunction(call) = side
        && is_checked(&call.func)
        && let Some(last) = call.args.last()
    {
        side = last;
    }
    side
}

fn of_expr(expr: Expr, schema: &DFSchema) -> Result<Transformed<Expr>> {
    let Expr::BinaryExpr(BinaryExpr { left, op, right }) = &expr else { return Ok(Transformed::no(expr)) };
    let Some(function) = checked(*op) else { return Ok(Transformed::no(expr)) };
    let whole = |side: &Expr| last_term(side).get_type(schema).ok().filter(DataType::is_integer);
    match (whole(left), whole(right)) {
        (Some(a), Some(b)) if a == b => Ok(Transformed::yes(function.call(vec![*left.clone(), *right.clone()]))),
        _ => Ok(Transformed::no(expr)),
    }
}
