//! `a FULL JOIN b USING (k)`: `k` without a table is the one that is there, `coalesce(a.k, b.k)`; in a RIGHT JOIN it is `b.k`.
//!
//! The planner takes `a.k`, which is NULL in the rows that `b` has alone. So the join is written with ON, and each `k` without a table as what it means.
//! `SELECT *` has the columns of USING first and once, as ever. What this does not reach (NATURAL, several joins, tables without a name) is refused.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    BinaryOperator, Expr, GroupByExpr, Ident, JoinConstraint, JoinOperator, ObjectName, Query, Select, SelectItem,
    SelectItemQualifiedWildcardKind, TableFactor, VisitMut, VisitorMut, WildcardAdditionalOptions,
};

use super::rewrite::plain_call;
use crate::error::{Error, Result};

/// Rewrites the join of a SELECT.
pub fn resolve(select: &mut Select) -> Result<()> {
    let several = select.from.iter().map(|from| from.joins.len()).sum::<usize>() > 1 || select.from.len() > 1;
    let projection_is_all = select.projection.iter().any(|item| matches!(item, SelectItem::Wildcard(_)));
    for from in &mut select.from {
        for join in &mut from.joins {
            let (on, right_only) = match &mut join.join_operator {
                JoinOperator::FullOuter(on) => (on, false),
                JoinOperator::Right(on) | JoinOperator::RightOuter(on) => (on, true),
                _ => continue,
            };
            let columns = match on {
                JoinConstraint::Using(columns) => columns.clone(),
                JoinConstraint::Natural => return Err(refused("NATURAL")),
                JoinConstraint::On(_) | JoinConstraint::None => continue,
            };
            let columns: Option<Vec<Ident>> = columns.iter().map(only).collect();
            let (Some(left), Some(right), Some(columns), false) =
                (name_of(&from.relation), name_of(&join.relation), columns, several)
            else {
                return Err(refused("USING"));
            };
            let of = |table: &Ident, column: &Ident| Expr::CompoundIdentifier(vec![table.clone(), column.clone()]);
            let equal = columns.iter().map(|column| Expr::BinaryOp {
                left: Box::new(of(&left, column)),
                op: BinaryOperator::Eq,
                right: Box::new(of(&right, column)),
            });
            let Some(condition) =
                equal.reduce(|a, b| Expr::BinaryOp { left: Box::new(a), op: BinaryOperator::And, right: Box::new(b) })
            else {
                continue;
            };
            *on = JoinConstraint::On(condition);
            let meant = columns.iter().map(|column| {
                let (a, b) = (of(&left, column), of(&right, column));
                let value = if right_only { b } else { Expr::Function(plain_call("coalesce", vec![a, b])) };
                (column.clone(), value)
            });
            let mut merged = Merged { columns: meant.collect(), depth: 0 };
            if projection_is_all {
                merged.expand(&mut select.projection, &[left, right])?;
            }
            return merged.put(select);
        }
    }
    Ok(())
}

fn refused(kind: &str) -> Error {
    Error::user(format!(
        "FULL JOIN and RIGHT JOIN with {kind}, beside other joins or of tables without a name, are not supported"
    ))
    .hint("write the condition: a FULL JOIN b ON a.k = b.k, and SELECT coalesce(a.k, b.k) AS k")
}

fn only(name: &ObjectName) -> Option<Ident> {
    match name.0.as_slice() {
        [part] => part.as_ident().cloned(),
        _ => None,
    }
}

fn name_of(table: &TableFactor) -> Option<Ident> {
    match table {
        TableFactor::Table { alias: Some(alias), .. } | TableFactor::Derived { alias: Some(alias), .. } => {
            alias.columns.is_empty().then(|| alias.name.clone())
        }
        TableFactor::Table { name, alias: None, args: None, .. } => name.0.last()?.as_ident().cloned(),
        _ => None,
    }
}

struct Merged {
    columns: Vec<(Ident, Expr)>,
    depth: usize,
}

impl Merged {
    fn meant(&self, name: &Ident) -> Option<&Expr> {
        let same = |known: &Ident| {
            let exact = known.quote_style.is_some() || name.quote_style.is_some();
            if exact { known.value == name.value } else { known.value.eq_ignore_ascii_case(&name.value) }
        };
        self.columns.iter().find(|(known, _)| same(known)).map(|(_, value)| value)
    }

    /// `*` as the merged columns and the others of each table.
    fn expand(&self, projection: &mut Vec<SelectItem>, tables: &[Ident]) -> Result<()> {
        let mut all = Vec::new();
        for item in std::mem::take(projection) {
            match item {
                SelectItem::Wildcard(options)
                    if options == WildcardAdditionalOptions::default() || is_bare(&options) =>
                {
                    for (name, value) in &self.columns {
                        all.push(SelectItem::ExprWithAlias { expr: value.clone(), alias: name.clone() });
                    }
                    let names: Vec<ObjectName> =
                        self.columns.iter().map(|(name, _)| ObjectName::from(vec![name.clone()])).collect();
                    for table in tables {
                        let excluded = WildcardAdditionalOptions {
                            opt_exclude: Some(datafusion::sql::sqlparser::ast::ExcludeSelectItem::Multiple(
                                names.clone(),
                            )),
                            ..WildcardAdditionalOptions::default()
                        };
                        let kind = SelectItemQualifiedWildcardKind::ObjectName(ObjectName::from(vec![table.clone()]));
                        all.push(SelectItem::QualifiedWildcard(kind, excluded));
                    }
                }
                SelectItem::Wildcard(_) => {
                    return Err(Error::user(
                        "* with options over a FULL JOIN or RIGHT JOIN with USING is not supported",
                    )
                    .hint("name the columns"));
                }
                other => all.push(other),
            }
        }
        *projection = all;
        Ok(())
    }

    fn put(&mut self, select: &mut Select) -> Result<()> {
        for item in &mut select.projection {
            if let SelectItem::UnnamedExpr(Expr::Identifier(name)) = item
                && let Some(value) = self.meant(name)
            {
                *item = SelectItem::ExprWithAlias { expr: value.clone(), alias: name.clone() };
                continue;
            }
            if let SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. } = item {
                let _ = VisitMut::visit(expr, self);
            }
        }
        let _ = VisitMut::visit(&mut select.selection, self);
        if let GroupByExpr::Expressions(keys, _) = &mut select.group_by {
            let _ = VisitMut::visit(keys, self);
        }
        let _ = VisitMut::visit(&mut select.having, self);
        let _ = VisitMut::visit(&mut select.qualify, self);
        Ok(())
    }
}

fn is_bare(options: &WildcardAdditionalOptions) -> bool {
    options.opt_exclude.is_none()
        && options.opt_except.is_none()
        && options.opt_replace.is_none()
        && options.opt_rename.is_none()
        && options.opt_ilike.is_none()
        && options.opt_alias.is_none()
}

impl VisitorMut for Merged {
    type Break = Error;

    // Inside, a name without a table is first one of the query's own.
    fn pre_visit_query(&mut self, _: &mut Query) -> ControlFlow<Error> {
        self.depth += 1;
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _: &mut Query) -> ControlFlow<Error> {
        self.depth -= 1;
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<Error> {
        if let Expr::Identifier(name) = expr
            && self.depth == 0
            && let Some(value) = self.meant(name)
        {
            *expr = value.clone();
        }
        ControlFlow::Continue(())
    }
}
