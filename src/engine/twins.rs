//! Columns of a statement's answer that are called the same: `SELECT count(*), count(*)`, `SELECT *, price`.
//!
//! The planner refuses them. A second `a` is called `a_1` here, as every writer of results calls it, where the list is that of the statement
//! itself; within a subquery, where somebody may refer to the name, it stays an error.

use std::collections::HashSet;

use datafusion::sql::parser::Statement;
use datafusion::sql::sqlparser::ast::{Expr, Ident, SelectItem, SetExpr, Statement as Sql};

/// Whether the planner's message says that names are taken.
pub fn refused(message: &str) -> bool {
    message.contains("require unique expression names")
}

/// Gives columns of the statement's list names of their own; false where it has none that could be changed.
pub fn told_apart(statement: &mut Statement) -> bool {
    let Statement::Statement(inner) = statement else { return false };
    let Sql::Query(query) = inner.as_mut() else { return false };
    let SetExpr::Select(select) = query.body.as_mut() else { return false };
    let mut taken = HashSet::new();
    let mut changed = false;
    for item in &mut select.projection {
        let Some(name) = name_of(item) else { continue };
        if taken.insert(name.clone()) {
            continue;
        }
        changed |= rename(item, &mut taken, &name);
    }
    if !changed {
        // Then they are among those of a wildcard.
        for item in &mut select.projection {
            if let Some(name) = name_of(item) {
                changed |= rename(item, &mut taken, &name);
            }
        }
    }
    changed
}

/// The name of a column; `None` of a wildcard.
fn name_of(item: &SelectItem) -> Option<String> {
    match item {
        SelectItem::ExprWithAlias { alias, .. } => Some(alias.value.clone()),
        SelectItem::UnnamedExpr(expr) => Some(match bare(expr) {
            Expr::Identifier(name) => name.value.clone(),
            Expr::CompoundIdentifier(names) => names.last()?.value.clone(),
            // It is called like its own column.
            Expr::Subquery(query) => match query.body.as_ref() {
                SetExpr::Select(select) => name_of(select.projection.first()?)?,
                _ => return None,
            },
            _ => expr.to_string(),
        }),
        _ => None,
    }
}

/// An expression without the brackets around it, which give it no other name.
fn bare(mut expr: &Expr) -> &Expr {
    while let Expr::Nested(inner) = expr {
        expr = inner;
    }
    expr
}

fn rename(item: &mut SelectItem, taken: &mut HashSet<String>, name: &str) -> bool {
    let (SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. }) = item else { return false };
    let mut numbered = (1..).map(|n| format!("{name}_{n}"));
    let Some(own) = numbered.find(|own| taken.insert(own.clone())) else { return false };
    *item = SelectItem::ExprWithAlias { expr: expr.clone(), alias: Ident::with_quote('"', own) };
    true
}
