//! `FROM t PIVOT (max(rate) FOR period IN (0, 1))`: values become columns.
//!
//! Planned as `SELECT rest.., max(rate) FILTER (WHERE period = 0) AS "0", .. GROUP BY rest..`, where `rest` is every column that neither
//! the aggregates nor FOR name. A column is called as its value, by the value's alias, or with the aggregate's alias behind it.
//!
//! Does not deal with: values that are not listed (refused in `clauses`): the columns of a query are known before it runs.

use std::collections::BTreeSet;
use std::sync::Arc;

use datafusion::common::Column;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::error::Result;
use datafusion::logical_expr::planner::{PlannedRelation, RelationPlanner, RelationPlannerContext, RelationPlanning};
use datafusion::logical_expr::{Expr, LogicalPlanBuilder};
use datafusion::sql::sqlparser::ast::{
    BinaryOperator, Expr as SqlExpr, ExprWithAlias, PivotValueSource, TableFactor, Value, ValueWithSpan,
};

use crate::error::Error;

/// Plans PIVOT; everything else is left to the next planner.
#[derive(Debug)]
pub struct Pivots;

impl RelationPlanner for Pivots {
    fn plan_relation(
        &self,
        relation: TableFactor,
        context: &mut dyn RelationPlannerContext,
    ) -> Result<RelationPlanning> {
        let TableFactor::Pivot { table, aggregate_functions, value_column, value_source, default_on_null: None, alias } =
            relation
        else {
            return Ok(RelationPlanning::Original(Box::new(relation)));
        };
        let PivotValueSource::List(values) = value_source else {
            return Err(Error::user("PIVOT needs a list of values").into());
        };
        let [by] = value_column.as_slice() else {
            return Err(Error::user("PIVOT: FOR takes one column")
                .hint("make it one: FOR a || '-' || b needs (SELECT *, .. AS c)")
                .into());
        };
        let input = context.plan(*table)?;
        let schema = Arc::clone(input.schema());
        let mut used: BTreeSet<Column> = columns(&context.sql_to_expr(by.clone(), &schema)?)?;
        let mut aggregates = Vec::new();
        for ExprWithAlias { expr, alias: named } in &aggregate_functions {
            let SqlExpr::Function(function) = expr else {
                return Err(Error::user(format!("PIVOT: {expr} is not an aggregate"))
                    .hint("as in PIVOT (sum(amount) FOR ..)")
                    .into());
            };
            used.extend(columns(&context.sql_to_expr(expr.clone(), &schema)?)?);
            aggregates.push((function, named));
        }
        let mut made = Vec::new();
        for ExprWithAlias { expr: value, alias: value_alias } in &values {
            let value_name = value_alias.as_ref().map_or_else(|| shown(value), |alias| alias.value.clone());
            for (function, named) in &aggregates {
                let equal = SqlExpr::BinaryOp {
                    left: Box::new(by.clone()),
                    op: if is_null(value) { BinaryOperator::Spaceship } else { BinaryOperator::Eq },
                    right: Box::new(value.clone()),
                };
                let equal = if is_null(value) { SqlExpr::IsNull(Box::new(by.clone())) } else { equal };
                let mut filtered = (*function).clone();
                filtered.filter = Some(Box::new(match filtered.filter.take() {
                    None => equal,
                    Some(other) => SqlExpr::BinaryOp {
                        left: Box::new(SqlExpr::Nested(other)),
                        op: BinaryOperator::And,
                        right: Box::new(equal),
                    },
                }));
                let name = match (named, aggregates.len()) {
                    (Some(named), _) => format!("{value_name}_{}", named.value),
                    (None, 1) => value_name.clone(),
                    (None, _) => format!("{value_name}_{function}"),
                };
                made.push((context.sql_to_expr(SqlExpr::Function(filtered), &schema)?, name));
            }
        }
        let rest: Vec<Expr> = schema.columns().into_iter().filter(|c| !used.contains(c)).map(Expr::Column).collect();
        let mut names = BTreeSet::new();
        for name in rest.iter().map(|e| e.schema_name().to_string()).chain(made.iter().map(|(_, name)| name.clone())) {
            if !names.insert(name.clone()) {
                return Err(Error::user(format!("PIVOT makes two columns '{name}'"))
                    .hint("name them: IN (0 AS zero, ..)")
                    .into());
            }
        }
        let mut shown: Vec<Expr> = rest.clone();
        let plan = LogicalPlanBuilder::from(input)
            .aggregate(rest, made.iter().map(|(expr, name)| expr.clone().unalias_nested().data.alias(name)))?
            .build()?;
        shown.extend(made.iter().map(|(_, name)| Expr::Column(Column::new_unqualified(name))));
        let plan = LogicalPlanBuilder::from(plan).project(shown)?.build()?;
        Ok(RelationPlanning::Planned(Box::new(PlannedRelation::new(plan, alias))))
    }
}

fn columns(expr: &Expr) -> Result<BTreeSet<Column>> {
    let mut found = BTreeSet::new();
    expr.apply(|node| {
        if let Expr::Column(column) = node {
            found.insert(column.clone());
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(found)
}

fn is_null(value: &SqlExpr) -> bool {
    matches!(value, SqlExpr::Value(ValueWithSpan { value: Value::Null, .. }))
}

/// A text without its quotes, anything else as it was written.
fn shown(value: &SqlExpr) -> String {
    match value {
        SqlExpr::Value(ValueWithSpan { value: Value::SingleQuotedString(text), .. }) => text.clone(),
        other => other.to_string(),
    }
}

/// For the session's list of planners.
pub fn planner() -> Arc<dyn RelationPlanner> {
    Arc::new(Pivots)
}
