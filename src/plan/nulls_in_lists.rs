//! Analyzer rule: `x IN (1, NULL)` as `x IN (1) OR NULL`, `x NOT IN (1, NULL)` as `x NOT IN (1) AND NULL`.
//!
//! These mean the same. DataFusion makes one list of `x IN (1, 2) AND x NOT IN (1, NULL)` as if NULL were a value like any other, and answers
//! `x IN (2)`, where no row is right.

use datafusion::common::ScalarValue;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::error::Result;
use datafusion::logical_expr::expr::InList;
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::{Expr, LogicalPlan, lit};
use datafusion::optimizer::AnalyzerRule;

/// The rule.
#[derive(Debug)]
pub struct NullsInLists;

impl AnalyzerRule for NullsInLists {
    fn name(&self) -> &str {
        "nulls_in_lists"
    }

    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> Result<LogicalPlan> {
        let done = plan.transform_up_with_subqueries(|plan| {
            let names = NamePreserver::new(&plan);
            plan.map_expressions(|expr| {
                let name = names.save(&expr);
                expr.transform_up(of_expr)?.map_data(|expr| Ok(name.restore(expr)))
            })
        })?;
        Ok(done.data)
    }
}

fn of_expr(expr: Expr) -> Result<Transformed<Expr>> {
    let Expr::InList(InList { expr, list, negated }) = expr else { return Ok(Transformed::no(expr)) };
    let is_null = |item: &Expr| match item {
        Expr::Literal(value, _) => value.is_null(),
        Expr::Cast(cast) => matches!(cast.expr.as_ref(), Expr::Literal(value, _) if value.is_null()),
        _ => false,
    };
    if !list.iter().any(is_null) {
        return Ok(Transformed::no(Expr::InList(InList { expr, list, negated })));
    }
    let unknown = lit(ScalarValue::Boolean(None));
    let list: Vec<Expr> = list.into_iter().filter(|item| !is_null(item)).collect();
    if list.is_empty() {
        return Ok(Transformed::yes(unknown));
    }
    let known = Expr::InList(InList { expr, list, negated });
    Ok(Transformed::yes(if negated { known.and(unknown) } else { known.or(unknown) }))
}
