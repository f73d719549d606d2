//! Analyzer rule: a correlated subquery answers for each outer row alone.
//!
//! DataFusion 55 makes a join of a correlated subquery: it takes the correlated conditions out of the subquery's WHERE and adds the *columns* of
//! their inner side to its GROUP BY. Where the inner side is an expression that gives several rows one value, groups are torn apart:
//!
//! ```sql
//! SELECT day, (SELECT count(*) FROM e WHERE CAST(ts AS DATE) = day) FROM d   -- a row for each ts, with n = 1
//! ```
//!
//! Here the expression becomes a column first, below the WHERE, so that the grouping is by its value:
//!
//! ```text
//! Aggregate: count(*)                        Aggregate: count(*)
//!   Filter: CAST(ts AS DATE) = outer(day)      Filter: __correlated_1 = outer(day)
//!     TableScan: e                               Projection: e.*, CAST(ts AS DATE) AS __correlated_1
//!                                                  TableScan: e
//! ```
//!
//! A condition that is taken out from below a window function would change the rows that the window sees: that is an error with the way out.
//! (Below a LIMIT, or above an aggregation where it is no equality, DataFusion refuses it itself.) Comes after the coercion of types, whose casts
//! are expressions too.

use std::sync::Arc;

use datafusion::common::Column;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::error::Result;
use datafusion::logical_expr::expr::{BinaryExpr, Exists, InSubquery};
use datafusion::logical_expr::utils::{conjunction, split_conjunction, split_conjunction_owned};
use datafusion::logical_expr::{Expr, Filter, LogicalPlan, LogicalPlanBuilder, Operator, Projection, Subquery};
use datafusion::optimizer::AnalyzerRule;

use crate::error::Error;

/// The rule.
#[derive(Debug)]
pub struct Correlated;

impl AnalyzerRule for Correlated {
    fn name(&self) -> &str {
        "correlated_expressions"
    }

    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> Result<LogicalPlan> {
        let mut made = 0;
        Ok(plan.transform_up_with_subqueries(|plan| of_node(plan, &mut made))?.data)
    }
}

fn of_node(plan: LogicalPlan, made: &mut usize) -> Result<Transformed<LogicalPlan>> {
    if let LogicalPlan::Subquery(subquery) = plan {
        // LATERAL.
        let changed = within(subquery, made)?;
        return Ok(changed.update_data(LogicalPlan::Subquery));
    }
    if let LogicalPlan::Filter(filter) = &plan {
        check_not_in(&filter.predicate)?;
    }
    plan.map_expressions(|expr| {
        expr.transform_up(|expr| match expr {
            Expr::ScalarSubquery(subquery) => Ok(within(subquery, made)?.update_data(Expr::ScalarSubquery)),
            Expr::Exists(Exists { subquery, negated }) => {
                Ok(within(subquery, made)?.update_data(|subquery| Expr::Exists(Exists { subquery, negated })))
            }
            Expr::InSubquery(InSubquery { expr, subquery, negated }) => Ok(within(subquery, made)?
                .update_data(|subquery| Expr::InSubquery(InSubquery { expr, subquery, negated }))),
            other => Ok(Transformed::no(other)),
        })
    })
}

/// Gives the correlated conditions of one subquery plain columns on their inner side.
fn within(subquery: Subquery, made: &mut usize) -> Result<Transformed<Subquery>> {
    if subquery.outer_ref_columns.is_empty() {
        return Ok(Transformed::no(subquery));
    }
    check_windows(&subquery.subquery)?;
    let plan = Arc::unwrap_or_clone(subquery.subquery);
    let done = plan.transform_up(|node| match node {
        LogicalPlan::Filter(filter) if filter.predicate.contains_outer() => of_filter(filter, made),
        other => Ok(Transformed::no(other)),
    })?;
    // Schemas above know nothing of the new columns, nor need they.
    Ok(done.update_data(|plan| Subquery { subquery: Arc::new(plan), ..subquery }))
}

fn of_filter(filter: Filter, made: &mut usize) -> Result<Transformed<LogicalPlan>> {
    let schema = Arc::clone(filter.input.schema());
    let mut added: Vec<Expr> = Vec::new();
    let mut column = |expr: Expr| -> Expr {
        *made += 1;
        let name = format!("__correlated_{made}");
        added.push(expr.alias(name.clone()));
        Expr::Column(Column::new_unqualified(name))
    };
    let conditions: Vec<Expr> = split_conjunction_owned(filter.predicate)
        .into_iter()
        .map(|condition| match condition {
            Expr::BinaryExpr(BinaryExpr { left, op, right }) if left.contains_outer() != right.contains_outer() => {
                let (left, right) = match (left.contains_outer(), is_plain(&left), is_plain(&right)) {
                    (true, _, false) if right.any_column_refs() && !is_subquery(&right) => (*left, column(*right)),
                    (false, false, _) if left.any_column_refs() && !is_subquery(&left) => (column(*left), *right),
                    _ => (*left, *right),
                };
                Expr::BinaryExpr(BinaryExpr::new(Box::new(left), op, Box::new(right)))
            }
            other => other,
        })
        .collect();
    let Some(predicate) = conjunction(conditions) else {
        return Ok(Transformed::no(LogicalPlan::Filter(filter_of(Expr::Literal(true.into(), None), filter.input)?)));
    };
    if added.is_empty() {
        return Ok(Transformed::no(LogicalPlan::Filter(filter_of(predicate, filter.input)?)));
    }
    let all = schema.iter().map(Expr::from).collect::<Vec<_>>();
    let input = LogicalPlan::Projection(Projection::try_new([all.clone(), added].concat(), filter.input)?);
    let filtered = LogicalPlan::Filter(filter_of(predicate, Arc::new(input))?);
    // The columns above are those that were there: the optimizer takes this projection out again.
    Ok(Transformed::yes(LogicalPlanBuilder::from(filtered).project(all)?.build()?))
}

fn filter_of(predicate: Expr, input: Arc<LogicalPlan>) -> Result<Filter> {
    Filter::try_new(predicate, input)
}

fn is_plain(expr: &Expr) -> bool {
    matches!(expr, Expr::Column(_))
}

fn is_subquery(expr: &Expr) -> bool {
    expr.exists(|node| Ok(matches!(node, Expr::ScalarSubquery(_) | Expr::Exists(_) | Expr::InSubquery(_))))
        .unwrap_or(true)
}

/// Refuses `x NOT IN (SELECT ..)` below an OR. DataFusion marks the rows that are found there and knows no third answer: where x or one of the
/// values is NULL, the row would be taken for one that is not in the list.
fn check_not_in(predicate: &Expr) -> Result<()> {
    for condition in split_conjunction(predicate) {
        let (whole, not) = match condition {
            Expr::Not(inner) => (inner.as_ref(), true),
            other => (other, false),
        };
        // DataFusion asks for NULLs among all rows of the subquery, not among those that belong to the outer row.
        if let Expr::InSubquery(InSubquery { subquery, negated, .. }) = whole
            && *negated != not
            && !subquery.outer_ref_columns.is_empty()
        {
            return Err(Error::user(
                "NOT IN (SELECT ..) whose subquery names columns of the outer query is not supported",
            )
            .hint("write NOT EXISTS (SELECT .. WHERE .. AND inner.x = outer.x)")
            .into());
        }
        if !matches!(whole, Expr::InSubquery(_)) {
            only_found(condition)?;
        }
    }
    Ok(())
}

/// Below AND and OR a row that is not found and one of which it is not known are the same to a WHERE.
fn only_found(condition: &Expr) -> Result<()> {
    match condition {
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::And | Operator::Or, right }) => {
            only_found(left)?;
            only_found(right)
        }
        Expr::InSubquery(InSubquery { negated: false, .. }) => Ok(()),
        other if other.exists(|node| Ok(matches!(node, Expr::InSubquery(_))))? => Err(Error::user(
            "NOT IN (SELECT ..) beside OR, or IN inside another expression, is not supported: NULLs would count as not in the list",
        )
        .hint("NOT EXISTS (SELECT 1 FROM .. WHERE key = x), or NOT IN alone with WHERE .. IS NOT NULL in the subquery")
        .into()),
        _ => Ok(()),
    }
}

/// Refuses a window over rows that a correlated condition chooses.
fn check_windows(plan: &LogicalPlan) -> Result<()> {
    plan.apply(|node| {
        if let LogicalPlan::Window(window) = node
            && has_correlated_filter(&window.input)?
        {
            return Err(Error::user(
                "a window function in a correlated subquery is not supported: its rows would be those of all outer rows",
            )
            .hint("compute the window first, WITH w AS (SELECT .., row_number() OVER (PARTITION BY user_id ORDER BY ts) AS n FROM ..), then join w")
            .into());
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(())
}

fn has_correlated_filter(plan: &LogicalPlan) -> Result<bool> {
    let mut found = false;
    plan.apply(|node| {
        if let LogicalPlan::Filter(filter) = node {
            found |= filter.predicate.contains_outer();
        }
        Ok(if found { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    })?;
    Ok(found)
}
