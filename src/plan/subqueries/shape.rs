//! Which subqueries DataFusion makes the right joins of, and what a subquery's shape tells.

use std::sync::Arc;

use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::error::Result;
use datafusion::functions_aggregate::expr_fn::first_value;
use datafusion::logical_expr::expr::BinaryExpr;
use datafusion::logical_expr::utils::split_conjunction;
use datafusion::logical_expr::{
    Aggregate, Distinct, Expr, FetchType, Limit, LogicalPlan, Operator, Projection, SkipType, Sort,
};

/// Where a subquery stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// In the place of a value, where DataFusion takes one.
    Value,
    /// In the place of a value elsewhere: in ORDER BY, in a window.
    Elsewhere,
    /// In EXISTS.
    Exists,
    /// In IN.
    In,
    /// In FROM.
    Lateral,
}

impl Place {
    /// Of the values of a node.
    pub fn of(plan: &LogicalPlan) -> Self {
        match plan {
            LogicalPlan::Projection(_) | LogicalPlan::Filter(_) => Self::Value,
            _ => Self::Elsewhere,
        }
    }
}

/// Whether DataFusion joins this subquery right: correlated in WHERE alone, below at most one aggregate of all rows and then by equal keys.
pub fn is_plain(plan: &LogicalPlan, place: Place) -> bool {
    let mut node = plan;
    let mut aggregated = false;
    loop {
        match node {
            LogicalPlan::Filter(filter) => {
                if !aggregated && place == Place::Value {
                    return false;
                }
                let conditions = split_conjunction(&filter.predicate);
                let mut correlated = conditions.into_iter().filter(|condition| condition.contains_outer());
                if aggregated && !correlated.all(is_equal_key) {
                    return false;
                }
                node = &filter.input;
            }
            other if other.contains_outer_reference() => return false,
            LogicalPlan::Projection(projection) => node = &projection.input,
            LogicalPlan::SubqueryAlias(alias) => node = &alias.input,
            LogicalPlan::Distinct(Distinct::All(input)) if matches!(place, Place::Exists | Place::In) => node = input,
            LogicalPlan::Aggregate(aggregate)
                if matches!(place, Place::Value | Place::Lateral)
                    && !aggregated
                    && aggregate.group_expr.is_empty()
                    && !aggregate.aggr_expr.is_empty() =>
            {
                aggregated = true;
                node = &aggregate.input;
            }
            other => return !is_correlated(other),
        }
    }
}

fn is_equal_key(condition: &Expr) -> bool {
    match condition {
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::Eq, right }) => {
            let of_one = |expr: &Expr| !(expr.contains_outer() && expr.any_column_refs());
            left.contains_outer() != right.contains_outer() && of_one(left) && of_one(right)
        }
        _ => false,
    }
}

/// Whether a column of an outer query is named anywhere in a plan.
pub fn is_correlated(plan: &LogicalPlan) -> bool {
    let mut found = false;
    let _ = plan.apply_with_subqueries(|node| {
        found |= node.contains_outer_reference();
        Ok(if found { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    });
    found
}

/// Whether a subquery gives one row at most, whatever the data.
pub fn at_most_one_row(plan: &LogicalPlan) -> bool {
    match plan {
        LogicalPlan::Projection(Projection { input, .. }) | LogicalPlan::Sort(Sort { input, .. }) => {
            at_most_one_row(input)
        }
        LogicalPlan::SubqueryAlias(alias) => at_most_one_row(&alias.input),
        LogicalPlan::Filter(filter) => at_most_one_row(&filter.input),
        LogicalPlan::Distinct(Distinct::All(input)) => at_most_one_row(input),
        LogicalPlan::Aggregate(aggregate) if aggregate.group_expr.is_empty() => true,
        LogicalPlan::Limit(limit) => matches!(limit.get_fetch_type(), Ok(FetchType::Literal(Some(0 | 1)))),
        other => other.max_rows().is_some_and(|rows| rows <= 1),
    }
}

/// `SELECT x .. ORDER BY y LIMIT 1` as `SELECT first_value(x ORDER BY y) ..`: no row, and NULL, are one for a value.
pub fn first_of_limit(plan: &LogicalPlan) -> Result<Option<LogicalPlan>> {
    let LogicalPlan::Limit(limit) = plan else { return Ok(None) };
    let one = matches!(limit.get_fetch_type(), Ok(FetchType::Literal(Some(1))))
        && matches!(limit.get_skip_type(), Ok(SkipType::Literal(0)));
    if !one {
        return Ok(None);
    }
    let name = plan.schema().field(0).name().clone();
    let whole = |input: &LogicalPlan| input.schema().columns().into_iter().map(Expr::Column).next();
    let (value, order, input) = match limit.input.as_ref() {
        LogicalPlan::Sort(sort) => (whole(&sort.input), sort.expr.clone(), &sort.input),
        LogicalPlan::Projection(projection) => match (projection.input.as_ref(), projection.expr.as_slice()) {
            (LogicalPlan::Sort(sort), [value]) => (Some(value.clone().unalias()), sort.expr.clone(), &sort.input),
            _ => (whole(&limit.input), Vec::new(), &limit.input),
        },
        _ => (whole(&limit.input), Vec::new(), &limit.input),
    };
    let Some(value) = value else { return Ok(None) };
    if value.contains_outer() || order.iter().any(|one| one.expr.contains_outer()) {
        return Ok(None);
    }
    let first = Aggregate::try_new(Arc::clone(input), Vec::new(), vec![first_value(value, order)])?;
    let columns = first.schema.columns().into_iter().map(|column| Expr::Column(column).alias(name.clone())).collect();
    Ok(Some(LogicalPlan::Projection(Projection::try_new(columns, Arc::new(LogicalPlan::Aggregate(first)))?)))
}

/// A subquery without the LIMIT (of one row or more) and the order that EXISTS does not care for.
pub fn without_limit(plan: &LogicalPlan, counts: bool) -> LogicalPlan {
    match plan {
        LogicalPlan::Limit(limit) if !counts && takes_first(limit) => without_limit(&limit.input, counts),
        LogicalPlan::Sort(sort) => without_limit(&sort.input, counts),
        other => other.clone(),
    }
}

fn takes_first(limit: &Limit) -> bool {
    matches!(limit.get_fetch_type(), Ok(FetchType::Literal(fetch)) if fetch != Some(0))
        && matches!(limit.get_skip_type(), Ok(SkipType::Literal(0)))
}

/// Whether a plan gives the same rows when it is read again.
pub fn is_repeatable(plan: &LogicalPlan) -> bool {
    let mut same = true;
    let _ = plan.apply_with_subqueries(|node| {
        if let LogicalPlan::Limit(limit) = node {
            let mut below = limit.input.as_ref();
            while let LogicalPlan::Projection(Projection { input, .. }) = below {
                below = input;
            }
            same &= matches!(below, LogicalPlan::Sort(_)) || at_most_one_row(below);
        }
        node.apply_expressions(|expr| {
            same &= !expr.is_volatile();
            Ok(TreeNodeRecursion::Continue)
        })?;
        Ok(if same { TreeNodeRecursion::Continue } else { TreeNodeRecursion::Stop })
    });
    same
}
