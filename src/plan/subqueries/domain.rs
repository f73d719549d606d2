//! A correlated subquery's rows for every combination of outer values at once: joined to the distinct outer values, it names no outer column any more.
//!
//! ```text
//! Filter: e.u = outer(o.u) AND e.ts < outer(o.ts)        Filter: e.u = __outer_1_0 AND e.ts < __outer_1_1
//!   TableScan: e                                   ─▶      CrossJoin
//!                                                            Distinct: o.u AS __outer_1_0, o.ts AS __outer_1_1
//!                                                            TableScan: e
//! ```
//!
//! Above it each operator works within one combination: an aggregate groups by it, a window partitions by it, LIMIT counts within it. An aggregate of
//! all rows has a row for each combination, also for one that meets no row: the combinations are joined from outside, and the rows
//! that exist are marked. What is not listed here (outer columns in an outer join's far side, grouping sets, further queries
//! inside that are correlated themselves) is left to the planner, which refuses it.

use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, DFSchema, JoinConstraint, JoinType, NullEquality};
use datafusion::error::{DataFusionError, Result};
use datafusion::functions_window::expr_fn::row_number;
use datafusion::logical_expr::expr::{Alias, Sort as SortExpr};
use datafusion::logical_expr::{
    Aggregate, Distinct, EmptyRelation, Expr, ExprFunctionExt, FetchType, Filter, Join, Limit, LogicalPlan,
    LogicalPlanBuilder, Projection, SkipType, SubqueryAlias, Union, Window, lit,
};

use super::shape::is_correlated;

/// The distinct values of the outer columns that a subquery names.
pub struct Domain {
    plan: LogicalPlan,
    columns: Vec<(Column, String)>,
    number: usize,
}

/// The column of this name, whatever its table is called here.
pub fn column(schema: &DFSchema, name: &str) -> Result<Column> {
    let mut found = schema.iter().filter(|(_, field)| field.name() == name).map(Column::from);
    match (found.next(), found.next()) {
        (Some(only), None) => Ok(only),
        _ => Err(left("a column of the outer query")),
    }
}

/// What is left to the planner.
fn left(what: &str) -> DataFusionError {
    DataFusionError::NotImplemented(format!("{what} in a correlated subquery"))
}

impl Domain {
    /// The outer values in `source` that `plan` asks for; `None` where it asks for others.
    pub fn of(plan: &LogicalPlan, source: &LogicalPlan, number: usize) -> Result<Option<Self>> {
        let mut columns: Vec<(Column, String)> = Vec::new();
        let mut known = true;
        plan.apply(|node| {
            known &= !matches!(node, LogicalPlan::Subquery(_));
            node.apply_expressions(|expr| {
                expr.apply(|expr| {
                    match expr {
                        Expr::OuterReferenceColumn(_, column) => {
                            known &= source.schema().has_column(column);
                            if !columns.iter().any(|(other, _)| other == column) {
                                columns.push((column.clone(), format!("__outer_{number}_{}", columns.len())));
                            }
                        }
                        Expr::ScalarSubquery(inner) => known &= inner.outer_ref_columns.is_empty(),
                        Expr::Exists(inner) => known &= inner.subquery.outer_ref_columns.is_empty(),
                        Expr::InSubquery(inner) => known &= inner.subquery.outer_ref_columns.is_empty(),
                        Expr::SetComparison(inner) => known &= inner.subquery.outer_ref_columns.is_empty(),
                        _ => {}
                    }
                    Ok(TreeNodeRecursion::Continue)
                })
            })
        })?;
        if !known || columns.is_empty() {
            return Ok(None);
        }
        let values = columns.iter().map(|(column, name)| Expr::Column(column.clone()).alias(name.clone()));
        let plan = LogicalPlanBuilder::from(source.clone()).project(values)?.distinct()?.build()?;
        Ok(Some(Self { plan, columns, number }))
    }

    /// The outer values as columns of a plan that was joined to them.
    pub fn own(&self, schema: &DFSchema) -> Result<Vec<Column>> {
        self.columns.iter().map(|(_, name)| column(schema, name)).collect()
    }

    /// The same as expressions, under the names that they have here.
    pub fn columns_of(&self, schema: &DFSchema) -> Result<Vec<Expr>> {
        let own = self.own(schema)?;
        Ok(own.into_iter().map(Expr::Column).collect())
    }

    /// Pairs of an outer column and its value beside a subquery's row.
    pub fn keys(&self, schema: &DFSchema) -> Result<Vec<(Expr, Expr)>> {
        let own = self.own(schema)?;
        Ok(self
            .columns
            .iter()
            .zip(own)
            .map(|((outer, _), own)| (Expr::Column(outer.clone()), Expr::Column(own)))
            .collect())
    }

    /// A subquery's rows beside the outer values that they belong to.
    pub fn unnest(&self, plan: &LogicalPlan) -> Result<LogicalPlan> {
        if !is_correlated(plan) {
            return match plan {
                LogicalPlan::EmptyRelation(EmptyRelation { produce_one_row: true, .. }) => Ok(self.plan.clone()),
                other => LogicalPlanBuilder::from(self.plan.clone()).cross_join(other.clone())?.build(),
            };
        }
        match plan {
            LogicalPlan::Projection(projection) => {
                let input = self.unnest(&projection.input)?;
                let own = self.columns_of(input.schema())?;
                let exprs = projection.expr.iter().zip(projection.schema.iter()).map(|(expr, (table, field))| {
                    let done = self.named(expr.clone(), input.schema())?;
                    let (done_table, done_name) = done.qualified_name();
                    let same = done_table.as_ref() == table && done_name == *field.name();
                    Ok(if same { done } else { done.alias_qualified(table.cloned(), field.name()) })
                });
                let exprs = [own, exprs.collect::<Result<Vec<_>>>()?].concat();
                Ok(LogicalPlan::Projection(Projection::try_new(exprs, Arc::new(input))?))
            }
            LogicalPlan::Filter(filter) => {
                let input = self.unnest(&filter.input)?;
                let predicate = self.inner(filter.predicate.clone(), input.schema())?;
                Ok(LogicalPlan::Filter(Filter::try_new(predicate, Arc::new(input))?))
            }
            LogicalPlan::SubqueryAlias(alias) => {
                let input = self.unnest(&alias.input)?;
                Ok(LogicalPlan::SubqueryAlias(SubqueryAlias::try_new(Arc::new(input), alias.alias.clone())?))
            }
            // An order that no LIMIT looks at.
            LogicalPlan::Sort(sort) if sort.fetch.is_none() => self.unnest(&sort.input),
            LogicalPlan::Limit(limit) => self.limit(limit),
            LogicalPlan::Distinct(Distinct::All(input)) => {
                Ok(LogicalPlan::Distinct(Distinct::All(Arc::new(self.unnest(input)?))))
            }
            LogicalPlan::Aggregate(aggregate) => self.aggregate(aggregate),
            LogicalPlan::Window(window) => self.window(window),
            LogicalPlan::Union(union) => self.union(union),
            LogicalPlan::Join(join) => self.join(join),
            other => Err(left(&other.display().to_string())),
        }
    }

    /// An expression with the outer columns as columns of its input.
    fn inner(&self, expr: Expr, schema: &DFSchema) -> Result<Expr> {
        expr.transform_up(|expr| match expr {
            Expr::OuterReferenceColumn(_, outer) => {
                let own = self.columns.iter().find(|(known, _)| *known == outer);
                let name = own.map(|(_, name)| name).ok_or_else(|| left("a column of a further query"))?;
                Ok(Transformed::yes(Expr::Column(column(schema, name)?)))
            }
            other => Ok(Transformed::no(other)),
        })
        .data()
    }

    /// The same under its own name.
    fn named(&self, expr: Expr, schema: &DFSchema) -> Result<Expr> {
        if !expr.contains_outer() {
            return Ok(expr);
        }
        let (table, name) = expr.qualified_name();
        Ok(self.inner(expr, schema)?.unalias().alias_qualified(table, name))
    }

    fn sorts(&self, order: &[SortExpr], schema: &DFSchema) -> Result<Vec<SortExpr>> {
        let sort = |one: &SortExpr| Ok(SortExpr { expr: self.inner(one.expr.clone(), schema)?, ..one.clone() });
        order.iter().map(sort).collect()
    }

    fn limit(&self, limit: &Limit) -> Result<LogicalPlan> {
        let (Ok(SkipType::Literal(skip)), Ok(FetchType::Literal(fetch))) =
            (limit.get_skip_type(), limit.get_fetch_type())
        else {
            return Err(left("a computed LIMIT"));
        };
        let (shown, order, base) = match limit.input.as_ref() {
            LogicalPlan::Sort(sort) => (None, sort.expr.as_slice(), &sort.input),
            LogicalPlan::Projection(projection) => match projection.input.as_ref() {
                LogicalPlan::Sort(sort) => (Some(projection), sort.expr.as_slice(), &sort.input),
                _ => (None, [].as_slice(), &limit.input),
            },
            _ => (None, [].as_slice(), &limit.input),
        };
        // What is ordered by may have the name of what is shown: both are told by what they are made of.
        let (shown, order, base) = match base.as_ref() {
            LogicalPlan::Projection(made) => {
                let order =
                    order.iter().map(|one| Ok(SortExpr { expr: made_of(one.expr.clone(), made)?, ..one.clone() }));
                let names = shown.unwrap_or(made).schema.iter();
                let exprs: Vec<Expr> = match shown {
                    Some(shown) => shown.expr.iter().map(|expr| made_of(expr.clone(), made)).collect::<Result<_>>()?,
                    None => made.expr.clone(),
                };
                let exprs = exprs
                    .into_iter()
                    .zip(names)
                    .map(|(expr, (table, field))| expr.unalias().alias_qualified(table.cloned(), field.name()));
                (Some(exprs.collect::<Vec<_>>()), order.collect::<Result<Vec<_>>>()?, &made.input)
            }
            _ => (shown.map(|shown| shown.expr.clone()), order.to_vec(), base),
        };
        let input = self.unnest(base)?;
        let own = self.columns_of(input.schema())?;
        let order = self.sorts(&order, input.schema())?;
        let row = row_number().partition_by(own).order_by(order).build()?;
        let all: Vec<Expr> = input.schema().columns().into_iter().map(Expr::Column).collect();
        let number = Column::new_unqualified(row.schema_name().to_string());
        let mut numbered = LogicalPlanBuilder::from(input).window(vec![row])?;
        if skip > 0 {
            numbered = numbered.filter(Expr::Column(number.clone()).gt(lit(skip as u64)))?;
        }
        if let Some(fetch) = fetch {
            numbered = numbered.filter(Expr::Column(number).lt_eq(lit(skip.saturating_add(fetch) as u64)))?;
        }
        let limited = numbered.project(all)?.build()?;
        let Some(shown) = shown else { return Ok(limited) };
        let own = self.columns_of(limited.schema())?;
        let exprs = shown.into_iter().map(|expr| self.named(expr, limited.schema()));
        let exprs = [own, exprs.collect::<Result<Vec<_>>>()?].concat();
        Ok(LogicalPlan::Projection(Projection::try_new(exprs, Arc::new(limited))?))
    }

    fn aggregate(&self, aggregate: &Aggregate) -> Result<LogicalPlan> {
        if aggregate.group_expr.iter().any(|expr| matches!(expr, Expr::GroupingSet(_))) {
            return Err(left("grouping sets"));
        }
        if !aggregate.group_expr.is_empty() {
            let input = self.unnest(&aggregate.input)?;
            let own = self.columns_of(input.schema())?;
            let named = |exprs: &[Expr]| exprs.iter().map(|expr| self.named(expr.clone(), input.schema())).collect();
            let (keys, made): (Result<Vec<_>>, Result<Vec<_>>) =
                (named(&aggregate.group_expr), named(&aggregate.aggr_expr));
            let keys = [own, keys?].concat();
            let made = made?;
            return Ok(LogicalPlan::Aggregate(Aggregate::try_new(Arc::new(input), keys, made)?));
        }
        let joined = self.every_combination(&aggregate.input)?;
        let schema = Arc::clone(joined.schema());
        let exists = Expr::Column(column(&schema, &self.mark())?);
        let made = aggregate.aggr_expr.iter().map(|expr| {
            let (table, name) = expr.qualified_name();
            let inner = self.inner(expr.clone(), &schema)?;
            let marked = inner.transform_up(|expr| match expr {
                Expr::AggregateFunction(mut call) => {
                    let filter = call.params.filter.take();
                    let filter = filter.map_or(exists.clone(), |filter| exists.clone().and(*filter));
                    call.params.filter = Some(Box::new(filter));
                    Ok(Transformed::yes(Expr::AggregateFunction(call)))
                }
                other => Ok(Transformed::no(other)),
            });
            Ok(marked.data()?.unalias().alias_qualified(table, name))
        });
        let made = made.collect::<Result<Vec<_>>>()?;
        let own = self.columns_of(&schema)?;
        Ok(LogicalPlan::Aggregate(Aggregate::try_new(Arc::new(joined), own, made)?))
    }

    fn mark(&self) -> String {
        format!("__exists_{}", self.number)
    }

    /// Every combination of outer values beside the rows that it meets, which are marked, or beside NULLs.
    fn every_combination(&self, input: &LogicalPlan) -> Result<LogicalPlan> {
        let all = |plan: &LogicalPlan| plan.schema().columns().into_iter().map(Expr::Column).collect::<Vec<_>>();
        let mark = || lit(true).alias(self.mark());
        if let LogicalPlan::Filter(filter) = input
            && !is_correlated(&filter.input)
        {
            let rows = [all(&filter.input), vec![mark()]].concat();
            let rows = LogicalPlanBuilder::from(filter.input.as_ref().clone()).project(rows)?.build()?;
            let schema = self.plan.schema().join(rows.schema())?;
            let condition = self.inner(filter.predicate.clone(), &schema)?;
            return LogicalPlanBuilder::from(self.plan.clone()).join_on(rows, JoinType::Left, [condition])?.build();
        }
        let rows = self.unnest(input)?;
        let rows = self.apart(rows, vec![mark()])?;
        let on = self.paired(self.plan.schema(), rows.schema())?;
        let (kind, nulls) = (JoinType::Left, NullEquality::NullEqualsNull);
        let join = Join::try_new(
            Arc::new(self.plan.clone()),
            Arc::new(rows),
            on,
            None,
            kind,
            JoinConstraint::On,
            nulls,
            false,
        )?;
        let shown: Vec<Expr> = all(&LogicalPlan::Join(join.clone()))
            .into_iter()
            .filter(|expr| !matches!(expr, Expr::Column(column) if self.is_apart(&column.name)))
            .collect();
        LogicalPlanBuilder::from(LogicalPlan::Join(join)).project(shown)?.build()
    }

    /// The outer values of a plan under other names, so that it can be joined to another that has them.
    fn apart(&self, rows: LogicalPlan, more: Vec<Expr>) -> Result<LogicalPlan> {
        let own = self.own(rows.schema())?;
        let renamed = rows.schema().columns().into_iter().map(|column| {
            if own.contains(&column) {
                let name = format!("{}_apart", column.name);
                Expr::Column(column).alias(name)
            } else {
                Expr::Column(column)
            }
        });
        let exprs: Vec<Expr> = renamed.chain(more).collect();
        LogicalPlanBuilder::from(rows).project(exprs)?.build()
    }

    fn is_apart(&self, name: &str) -> bool {
        self.columns.iter().any(|(_, own)| name.strip_suffix("_apart") == Some(own))
    }

    fn paired(&self, left: &DFSchema, right: &DFSchema) -> Result<Vec<(Expr, Expr)>> {
        let pair = |(_, name): &(Column, String)| {
            Ok((Expr::Column(column(left, name)?), Expr::Column(column(right, &format!("{name}_apart"))?)))
        };
        self.columns.iter().map(pair).collect()
    }

    fn window(&self, window: &Window) -> Result<LogicalPlan> {
        let input = self.unnest(&window.input)?;
        let own = self.columns_of(input.schema())?;
        let mut shown: Vec<Expr> = input.schema().columns().into_iter().map(Expr::Column).collect();
        let mut made = Vec::new();
        for expr in &window.window_expr {
            let (table, name) = expr.qualified_name();
            let inner = match self.inner(expr.clone(), input.schema())? {
                Expr::Alias(Alias { expr, .. }) => *expr,
                other => other,
            };
            let Expr::WindowFunction(mut call) = inner else { return Err(left("a computed window")) };
            call.params.partition_by.extend(own.clone());
            let call = Expr::WindowFunction(call);
            let here = Expr::Column(Column::new_unqualified(call.schema_name().to_string()));
            shown.push(here.alias_qualified(table, name));
            made.push(call);
        }
        LogicalPlanBuilder::from(input).window(made)?.project(shown)?.build()
    }

    fn union(&self, union: &Union) -> Result<LogicalPlan> {
        let mut inputs = Vec::new();
        for input in &union.inputs {
            let rows = self.unnest(input)?;
            let own = self.columns_of(rows.schema())?.into_iter().zip(&self.columns);
            let own = own.map(|(expr, (_, name))| expr.unalias().alias(name.clone()));
            let shown: Vec<Expr> = own.chain(input.schema().columns().into_iter().map(Expr::Column)).collect();
            inputs.push(Arc::new(LogicalPlanBuilder::from(rows).project(shown)?.build()?));
        }
        let made = Union::try_new(inputs)?;
        let columns = made.schema.columns();
        let (own, rest) = columns.split_at(self.columns.len());
        let own = own.iter().cloned().map(Expr::Column);
        let rest = rest
            .iter()
            .zip(union.schema.iter())
            .map(|(column, (table, field))| Expr::Column(column.clone()).alias_qualified(table.cloned(), field.name()));
        let shown: Vec<Expr> = own.chain(rest).collect();
        LogicalPlanBuilder::from(LogicalPlan::Union(made)).project(shown)?.build()
    }

    fn join(&self, join: &Join) -> Result<LogicalPlan> {
        let right_too = is_correlated(&join.right);
        let left_too = is_correlated(&join.left) || !right_too || join.join_type != JoinType::Inner;
        let allowed = match join.join_type {
            JoinType::Inner | JoinType::Left | JoinType::LeftSemi | JoinType::LeftAnti => !join.null_aware,
            _ => false,
        };
        if !allowed {
            return Err(left("an outer join"));
        }
        let left_side = if left_too { self.unnest(&join.left)? } else { join.left.as_ref().clone() };
        let mut right_side = if right_too { self.unnest(&join.right)? } else { join.right.as_ref().clone() };
        let mut same = None;
        if left_too && right_too {
            right_side = self.apart(right_side, Vec::new())?;
            let pairs = self.paired(left_side.schema(), right_side.schema())?;
            same = pairs.into_iter().map(|(left, right)| is_not_distinct(left, right)).reduce(Expr::and);
        }
        let both = left_side.schema().join(right_side.schema())?;
        let on = join.on.iter().map(|(left, right)| {
            Ok((self.inner(left.clone(), left_side.schema())?, self.inner(right.clone(), right_side.schema())?))
        });
        let on = on.collect::<Result<Vec<_>>>()?;
        let filter = join.filter.clone().map(|filter| self.inner(filter, &both)).transpose()?;
        let filter = [same, filter].into_iter().flatten().reduce(Expr::and);
        let made = LogicalPlan::Join(Join::try_new(
            Arc::new(left_side),
            Arc::new(right_side),
            on,
            filter,
            join.join_type,
            join.join_constraint,
            join.null_equality,
            false,
        )?);
        let shown: Vec<Expr> = made
            .schema()
            .columns()
            .into_iter()
            .filter(|column| !self.is_apart(&column.name))
            .map(Expr::Column)
            .collect();
        LogicalPlanBuilder::from(made).project(shown)?.build()
    }
}

/// An expression over a projection as one over its input.
fn made_of(expr: Expr, projection: &Projection) -> Result<Expr> {
    expr.transform_up(|expr| match expr {
        Expr::Column(column) => {
            let at = projection.schema.index_of_column(&column)?;
            Ok(Transformed::yes(projection.expr[at].clone().unalias()))
        }
        other => Ok(Transformed::no(other)),
    })
    .data()
}

fn is_not_distinct(left: Expr, right: Expr) -> Expr {
    datafusion::logical_expr::binary_expr(left, datafusion::logical_expr::Operator::IsNotDistinctFrom, right)
}
