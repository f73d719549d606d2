//! Analyzer rule: makes joins of the subqueries that DataFusion 55 refuses, or reads wrongly.
//!
//! | written | DataFusion 55 | here |
//! |---|---|---|
//! | `(SELECT x FROM e WHERE e.u = o.u ORDER BY ts DESC LIMIT 1)` | refused | `first_value(x ORDER BY ts DESC)` |
//! | `(SELECT max(ts) FROM e WHERE e.u = o.u AND e.ts < o.ts)` | refused | joined, [`domain`] |
//! | `(SELECT name FROM u WHERE u.id = o.id)` | refused | the same; a second row is an error |
//! | `LATERAL (SELECT .. WHERE e.u = o.u ORDER BY .. LIMIT 3)` | refused | the same, by `row_number()` |
//! | `EXISTS (..)` and `x IN (..)` in the SELECT list, in CASE | refused | counted; joined; NULL where it is not known |
//! | `x NOT IN (SELECT .. WHERE i.k = o.k)` | NULLs of other rows count | an anti join that knows its rows |
//! | `x IN (SELECT count(*) .. WHERE i.k = o.k)` | false where there is none | 0 is one of the values |
//!
//! What DataFusion joins well (equal keys below one aggregate, filters below EXISTS) stays with it: see [`is_plain`]. Comes after the coercion of
//! types and before [`super::correlated`], which prepares what stays.

mod domain;
mod shape;

use std::sync::Arc;

use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::common::{Column, NullEquality, ScalarValue};
use datafusion::error::Result;
use datafusion::functions_aggregate::expr_fn::{bool_or, count, first_value};
use datafusion::logical_expr::expr::{BinaryExpr, Exists, InSubquery};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::utils::{conjunction, split_conjunction_owned};
use datafusion::logical_expr::{
    Aggregate, Expr, Join, JoinConstraint, JoinType, LogicalPlan, LogicalPlanBuilder, Operator, Projection, Subquery,
    SubqueryAlias, lit, when,
};
use datafusion::optimizer::AnalyzerRule;

use self::domain::Domain;
use self::shape::{Place, at_most_one_row, first_of_limit, is_plain, is_repeatable, without_limit};
use crate::error::Error;
use crate::functions::plain_sql::single_row;

/// The rule.
#[derive(Debug)]
pub struct Subqueries;

impl AnalyzerRule for Subqueries {
    fn name(&self) -> &str {
        "subqueries"
    }

    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> Result<LogicalPlan> {
        let mut made = 0;
        plan.transform_up_with_subqueries(|plan| of_node(plan, &mut made)).data()
    }
}

fn of_node(plan: LogicalPlan, made: &mut usize) -> Result<Transformed<LogicalPlan>> {
    if let LogicalPlan::Join(join) = plan {
        return lateral(join, made);
    }
    if matches!(plan, LogicalPlan::Extension(_) | LogicalPlan::Subquery(_)) || !has_subquery(&plan)? {
        return Ok(Transformed::no(plan));
    }
    let [input] = plan.inputs()[..] else { return Ok(Transformed::no(plan)) };
    let mut beside = Beside { plan: input.clone(), source: input.clone(), at: Place::of(&plan), made };
    let names = NamePreserver::new(&plan);
    let mut changed = false;
    let exprs = match &plan {
        LogicalPlan::Filter(filter) => {
            let kept = beside.conditions(filter.predicate.clone(), &mut changed)?;
            vec![conjunction(kept).unwrap_or_else(|| lit(true))]
        }
        other => {
            let replaced = other.expressions().into_iter().map(|expr| {
                let name = names.save(&expr);
                let expr = beside.values(expr)?;
                changed |= expr.transformed;
                Ok(name.restore(expr.data))
            });
            replaced.collect::<Result<Vec<_>>>()?
        }
    };
    if !changed {
        return Ok(Transformed::no(plan));
    }
    let before = Arc::clone(plan.schema());
    let after = plan.with_new_exprs(exprs, vec![beside.plan])?;
    if after.schema().fields().len() == before.fields().len() {
        return Ok(Transformed::yes(after));
    }
    Ok(Transformed::yes(LogicalPlanBuilder::from(after).project(before.iter().map(Expr::from))?.build()?))
}

fn has_subquery(plan: &LogicalPlan) -> Result<bool> {
    let mut found = false;
    plan.apply_expressions(|expr| {
        found |= expr.exists(|node| Ok(is_subquery(node)))?;
        Ok(datafusion::common::tree_node::TreeNodeRecursion::Continue)
    })?;
    Ok(found)
}

fn is_subquery(expr: &Expr) -> bool {
    matches!(expr, Expr::ScalarSubquery(_) | Expr::Exists(_) | Expr::InSubquery(_))
}

/// The input of a node, and what is joined to it.
struct Beside<'a> {
    plan: LogicalPlan,
    /// The input by itself: what subqueries are asked for.
    source: LogicalPlan,
    at: Place,
    made: &'a mut usize,
}

impl Beside<'_> {
    /// The conditions of a WHERE that stay, after those that became semi and anti joins.
    fn conditions(&mut self, predicate: Expr, changed: &mut bool) -> Result<Vec<Expr>> {
        let mut kept = Vec::new();
        for condition in split_conjunction_owned(predicate) {
            let (whole, not) = match condition {
                Expr::Not(inner) if is_subquery(&inner) => (*inner, true),
                other => (other, false),
            };
            let joined = match &whole {
                Expr::Exists(Exists { subquery, negated }) if is_correlated(subquery) => {
                    let negated = *negated != not;
                    !is_plain(&subquery.subquery, Place::Exists) && self.semi_join(subquery, None, negated)?
                }
                Expr::InSubquery(InSubquery { expr, subquery, negated }) if is_correlated(subquery) => {
                    let negated = *negated != not;
                    (negated || !is_plain(&subquery.subquery, Place::In))
                        && self.semi_join(subquery, Some(expr), negated)?
                }
                _ => false,
            };
            if joined {
                *changed = true;
                continue;
            }
            let condition = match whole {
                stays @ (Expr::Exists(_) | Expr::InSubquery(_)) => stays,
                other => {
                    let done = self.below_or(other, false)?;
                    *changed |= done.transformed;
                    done.data
                }
            };
            kept.push(if not { Expr::Not(Box::new(condition)) } else { condition });
        }
        Ok(kept)
    }

    /// A condition in which AND, OR and NOT lead to the subqueries: to a WHERE, not found and not known are the same there, unless NOT turns them.
    fn below_or(&mut self, condition: Expr, turned: bool) -> Result<Transformed<Expr>> {
        match condition {
            Expr::BinaryExpr(BinaryExpr { left, op: op @ (Operator::And | Operator::Or), right }) => {
                let (left, right) = (self.below_or(*left, turned)?, self.below_or(*right, turned)?);
                let changed = left.transformed || right.transformed;
                let expr = Expr::BinaryExpr(BinaryExpr::new(Box::new(left.data), op, Box::new(right.data)));
                Ok(if changed { Transformed::yes(expr) } else { Transformed::no(expr) })
            }
            Expr::Not(inner) => Ok(self.below_or(*inner, !turned)?.update_data(|expr| Expr::Not(Box::new(expr)))),
            Expr::Exists(exists) if is_plain(&exists.subquery.subquery, Place::Exists) => {
                Ok(Transformed::no(Expr::Exists(exists)))
            }
            Expr::InSubquery(found)
                if !turned
                    && !found.negated
                    && (!is_correlated(&found.subquery) || is_plain(&found.subquery.subquery, Place::In)) =>
            {
                Ok(Transformed::no(Expr::InSubquery(found)))
            }
            other => self.values(other),
        }
    }

    /// Puts columns of joined subqueries in the place of the subqueries of an expression.
    fn values(&mut self, expr: Expr) -> Result<Transformed<Expr>> {
        expr.transform_up(|expr| match expr {
            Expr::ScalarSubquery(subquery) => self.scalar(subquery),
            Expr::Exists(Exists { subquery, negated }) => {
                let found = self.scalar(exists(&subquery)?)?.data;
                Ok(Transformed::yes(if negated { Expr::Not(Box::new(found)) } else { found }))
            }
            Expr::InSubquery(found) => {
                let negated = found.negated;
                let done = if is_correlated(&found.subquery) { self.among(&found)? } else { self.listed(&found)? };
                Ok(Transformed::yes(if negated { Expr::Not(Box::new(done)) } else { done }))
            }
            other => Ok(Transformed::no(other)),
        })
    }

    /// A subquery in the place of a value.
    fn scalar(&mut self, subquery: Subquery) -> Result<Transformed<Expr>> {
        if !is_correlated(&subquery) || subquery.subquery.schema().fields().len() != 1 {
            return Ok(Transformed::no(Expr::ScalarSubquery(subquery)));
        }
        let first = first_of_limit(&subquery.subquery)?;
        let changed = first.is_some();
        let plan = first.map_or_else(|| Arc::clone(&subquery.subquery), Arc::new);
        if self.at == Place::Value && is_plain(&plan, Place::Value) {
            let expr = Expr::ScalarSubquery(Subquery { subquery: plan, ..subquery });
            return Ok(if changed { Transformed::yes(expr) } else { Transformed::no(expr) });
        }
        let plan = if at_most_one_row(&plan) { plan } else { Arc::new(checked(&plan)?) };
        match self.joined_value(&plan)? {
            Some(column) => Ok(Transformed::yes(column)),
            None => Ok(Transformed::no(Expr::ScalarSubquery(subquery))),
        }
    }

    /// Joins the one value of a subquery to each row.
    fn joined_value(&mut self, plan: &LogicalPlan) -> Result<Option<Expr>> {
        let Some((inner, domain)) = self.unnested(plan)? else { return Ok(None) };
        let value = inner_columns(&inner, &domain)?;
        let [value] = value.as_slice() else { return Ok(None) };
        let value = value.clone().alias("__value");
        let columns = [domain.columns_of(inner.schema())?, vec![value]].concat();
        let sub = self.named(LogicalPlan::Projection(Projection::try_new(columns, Arc::new(inner))?))?;
        let value = domain::column(sub.schema(), "__value")?;
        let on = domain.keys(sub.schema())?;
        let left = Arc::new(std::mem::take(&mut self.plan));
        self.plan = LogicalPlan::Join(join(left, Arc::new(sub), on, None, JoinType::Left)?);
        Ok(Some(Expr::Column(value)))
    }

    /// Keeps the rows for which a subquery gives a row (that is equal to a value), or none.
    fn semi_join(&mut self, subquery: &Subquery, value: Option<&Expr>, negated: bool) -> Result<bool> {
        let plan = without_limit(&subquery.subquery, value.is_some());
        let Some((inner, domain)) = self.unnested(&plan)? else { return Ok(false) };
        let columns = inner_columns(&inner, &domain)?;
        let item = match (value, columns.as_slice()) {
            (Some(_), [item]) => vec![item.clone().alias("__item")],
            (Some(_), _) => return Ok(false),
            (None, _) => Vec::new(),
        };
        let columns = [domain.columns_of(inner.schema())?, item].concat();
        let sub = self.named(LogicalPlan::Projection(Projection::try_new(columns, Arc::new(inner))?))?;
        let filter = match value {
            None => None,
            Some(value) => {
                let same = value.clone().eq(Expr::Column(domain::column(sub.schema(), "__item")?));
                // NOT IN keeps a row only where no value is equal and none may be.
                Some(if negated { Expr::IsNotFalse(Box::new(same)) } else { Expr::IsTrue(Box::new(same)) })
            }
        };
        let on = domain.keys(sub.schema())?;
        let kind = if negated { JoinType::LeftAnti } else { JoinType::LeftSemi };
        let left = Arc::new(std::mem::take(&mut self.plan));
        self.plan = LogicalPlan::Join(join(left, Arc::new(sub), on, filter, kind)?);
        Ok(true)
    }

    /// `x IN (SELECT ..)` as a value, of a subquery that is the same for every row.
    fn listed(&mut self, found: &InSubquery) -> Result<Expr> {
        let plan = &found.subquery.subquery;
        if !is_repeatable(plan) {
            return Err(unrepeatable("the subquery of IN"));
        }
        let [item] = plan.schema().columns().try_into().map_err(|_| one_column())?;
        let item = Expr::Column(item);
        let items = LogicalPlanBuilder::from(plan.as_ref().clone())
            .project([item.clone().alias("__item")])?
            .distinct()?
            .build()?;
        let named = [domain::column(items.schema(), "__item").map(Expr::Column)?, lit(true).alias("__in")];
        let items = self.named(LogicalPlanBuilder::from(items).project(named)?.build()?)?;
        let all = count(lit(1_i64));
        let known = count(item);
        let counts = Aggregate::try_new(Arc::clone(plan), Vec::new(), vec![all.clone(), known.clone()])?;
        let made: Vec<Expr> = counts.schema.columns().into_iter().map(Expr::Column).collect();
        let [all, known] = made.try_into().map_err(|_| one_column())?;
        let counts = LogicalPlanBuilder::from(LogicalPlan::Aggregate(counts))
            .project([all.alias("__all"), known.alias("__known")])?
            .build()?;
        let counts = self.named(counts)?;
        let of = |plan: &LogicalPlan, name: &str| domain::column(plan.schema(), name).map(Expr::Column);
        let (item, inside) = (of(&items, "__item")?, of(&items, "__in")?);
        let (all, known) = (of(&counts, "__all")?, of(&counts, "__known")?);
        let value = found.expr.as_ref().clone();
        let input = std::mem::take(&mut self.plan);
        self.plan = LogicalPlanBuilder::from(input)
            .join_on(items, JoinType::Left, [value.clone().eq(item)])?
            .cross_join(counts)?
            .build()?;
        when(inside.is_true(), lit(true))
            .when(all.clone().eq(lit(0_i64)), lit(false))
            .when(value.is_null().or(known.lt(all)), lit(ScalarValue::Boolean(None)))
            .otherwise(lit(false))
    }

    /// `x IN (SELECT ..)` as a value, of a subquery that each row asks for itself.
    fn among(&mut self, found: &InSubquery) -> Result<Expr> {
        let plan = &found.subquery.subquery;
        let [item] = plan.schema().columns().try_into().map_err(|_| one_column())?;
        let source = Arc::clone(self.source.schema());
        let outer = found.expr.as_ref().clone().transform_up(|expr| match expr {
            Expr::Column(column) => {
                let field = Arc::clone(source.qualified_field_from_column(&column)?.1);
                Ok(Transformed::yes(Expr::OuterReferenceColumn(field, column)))
            }
            other => Ok(Transformed::no(other)),
        })?;
        let same = outer.data.eq(Expr::Column(item)).alias("__same");
        let compared = LogicalPlan::Projection(Projection::try_new(vec![same], Arc::clone(plan))?);
        let same = Expr::Column(domain::column(compared.schema(), "__same")?);
        let made = vec![bool_or(same.clone()), count(lit(1_i64)), count(same)];
        let counts = Aggregate::try_new(Arc::new(compared), Vec::new(), made)?;
        let made: Vec<Expr> = counts.schema.columns().into_iter().map(Expr::Column).collect();
        let [any, all, known] = made.try_into().map_err(|_| one_column())?;
        let answer = when(any.is_true(), lit(true))
            .when(known.lt(all), lit(ScalarValue::Boolean(None)))
            .otherwise(lit(false))?;
        let answer = Projection::try_new(vec![answer.alias("__found")], Arc::new(LogicalPlan::Aggregate(counts)))?;
        self.joined_value(&LogicalPlan::Projection(answer))?.ok_or_else(|| {
            Error::user(
                "IN (SELECT ..) in this place, of a subquery that names columns of the outer query, is not supported",
            )
            .hint("write EXISTS (SELECT 1 FROM .. WHERE .. AND inner.x = outer.x)")
            .into()
        })
    }

    fn unnested(&mut self, plan: &LogicalPlan) -> Result<Option<(LogicalPlan, Domain)>> {
        *self.made += 1;
        unnested(plan, &self.source, *self.made)
    }

    /// A plan under a name that nobody else has.
    fn named(&mut self, plan: LogicalPlan) -> Result<LogicalPlan> {
        *self.made += 1;
        Ok(LogicalPlan::SubqueryAlias(SubqueryAlias::try_new(Arc::new(plan), format!("__subquery_{}", self.made))?))
    }
}

/// A subquery's rows for every combination of outer values; `None` where this is not known how to do.
fn unnested(plan: &LogicalPlan, source: &LogicalPlan, number: usize) -> Result<Option<(LogicalPlan, Domain)>> {
    let Ok(Some(domain)) = Domain::of(plan, source, number) else { return Ok(None) };
    let Ok(inner) = domain.unnest(plan) else { return Ok(None) };
    // The outer rows are read twice, and must be the same.
    if !is_repeatable(source) {
        return Err(unrepeatable("the outer query of a correlated subquery"));
    }
    Ok(Some((inner, domain)))
}

fn unrepeatable(what: &str) -> datafusion::error::DataFusionError {
    Error::user(format!(
        "{what} is read twice, and a LIMIT without ORDER BY, a sample or random() may give other rows then"
    ))
    .hint("put its rows into a table first: CREATE TABLE name AS SELECT ..")
    .into()
}

fn one_column() -> datafusion::error::DataFusionError {
    Error::user("the subquery of IN must have one column").into()
}

fn is_correlated(subquery: &Subquery) -> bool {
    !subquery.outer_ref_columns.is_empty()
}

/// What a subquery gives, without the outer values beside it.
fn inner_columns(inner: &LogicalPlan, domain: &Domain) -> Result<Vec<Expr>> {
    let keys: Vec<Column> = domain.own(inner.schema())?;
    Ok(inner.schema().columns().into_iter().filter(|column| !keys.contains(column)).map(Expr::Column).collect())
}

/// A join by values that are the same, NULL being one of them.
fn join(
    left: Arc<LogicalPlan>,
    right: Arc<LogicalPlan>,
    on: Vec<(Expr, Expr)>,
    filter: Option<Expr>,
    kind: JoinType,
) -> Result<Join> {
    Join::try_new(left, right, on, filter, kind, JoinConstraint::On, NullEquality::NullEqualsNull, false)
}

/// `EXISTS (..)` as a subquery in the place of a value.
fn exists(subquery: &Subquery) -> Result<Subquery> {
    let rows = count(lit(1_i64));
    let counted = Aggregate::try_new(Arc::new(without_limit(&subquery.subquery, false)), Vec::new(), vec![rows])?;
    let rows: Vec<Expr> = counted.schema.columns().into_iter().map(Expr::Column).collect();
    let found = rows.into_iter().map(|rows| rows.gt(lit(0_i64)).alias("__exists")).collect();
    let plan = LogicalPlan::Projection(Projection::try_new(found, Arc::new(LogicalPlan::Aggregate(counted)))?);
    Ok(Subquery { subquery: Arc::new(plan), ..subquery.clone() })
}

/// A subquery that may give several rows: a second one is an error when it comes.
fn checked(plan: &Arc<LogicalPlan>) -> Result<LogicalPlan> {
    let columns: Vec<Expr> = plan.schema().columns().into_iter().map(Expr::Column).collect();
    let name = plan.schema().field(0).name().clone();
    let made = columns.into_iter().map(|column| first_value(column, Vec::new())).chain([count(lit(1_i64))]).collect();
    let only = Aggregate::try_new(Arc::clone(plan), Vec::new(), made)?;
    let both = only.schema.columns().into_iter().map(Expr::Column).collect();
    let value = single_row().call(both).alias(name);
    Ok(LogicalPlan::Projection(Projection::try_new(vec![value], Arc::new(LogicalPlan::Aggregate(only)))?))
}

/// `FROM o, LATERAL (SELECT .. WHERE .. = o.x ..)`.
fn lateral(join_: Join, made: &mut usize) -> Result<Transformed<LogicalPlan>> {
    let (subquery, alias) = match join_.right.as_ref() {
        LogicalPlan::Subquery(subquery) => (subquery, None),
        LogicalPlan::SubqueryAlias(SubqueryAlias { input, alias, .. }) => match input.as_ref() {
            LogicalPlan::Subquery(subquery) => (subquery, Some(alias)),
            _ => return Ok(Transformed::no(LogicalPlan::Join(join_))),
        },
        _ => return Ok(Transformed::no(LogicalPlan::Join(join_))),
    };
    let known = matches!(join_.join_type, JoinType::Inner | JoinType::Left) && join_.on.is_empty();
    if !known || is_plain(&subquery.subquery, Place::Lateral) {
        return Ok(Transformed::no(LogicalPlan::Join(join_)));
    }
    *made += 1;
    let Some((inner, domain)) = unnested(&subquery.subquery, &join_.left, *made)? else {
        return Ok(Transformed::no(LogicalPlan::Join(join_)));
    };
    let right = match alias {
        Some(alias) => LogicalPlan::SubqueryAlias(SubqueryAlias::try_new(Arc::new(inner), alias.clone())?),
        None => inner,
    };
    let on = domain.keys(right.schema())?;
    let filter = join_.filter.clone().map(|filter| Expr::IsTrue(Box::new(filter)));
    let joined = join(Arc::clone(&join_.left), Arc::new(right), on, filter, join_.join_type)?;
    let columns = join_.schema.iter().map(Expr::from);
    Ok(Transformed::yes(LogicalPlanBuilder::from(LogicalPlan::Join(joined)).project(columns)?.build()?))
}
