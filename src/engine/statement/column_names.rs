//! Columns without `AS` are called as they were written: `count(*)`, `sum(price)`, `1`.
//!
//! The planner would call them by its own expressions, `sum(t.price)` and `Int64(1)`. Here each gets its text as an alias, before the other
//! rewrites change the text. A column goes on being called by its own name. What `unnest` makes is left alone: of a struct it is several columns.
//!
//! Within FROM and WITH, somebody may refer to the planner's name ([`Depth`]). Not named: the list of an INSERT, where columns go by
//! position, and subqueries in the place of a value.

use std::ops::ControlFlow;

use datafusion::sql::parser::{CopyToSource, Statement};
use datafusion::sql::sqlparser::ast::{
    Expr, ExprWithAlias, Ident, PipeOperator, Query, Select, SelectItem, SetExpr, SetQuantifier, Statement as Sql,
    TableFactor, TableWithJoins, VisitMut, VisitorMut, With,
};

use crate::error::Error;

/// How far names are given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Depth {
    /// To the columns of the result, and to those of subqueries in FROM and WITH.
    Everywhere,
    /// To the columns of the result alone: within, the planner's names are referred to.
    Outermost,
}

/// Names the columns of a statement; tells whether any within FROM or WITH were.
pub fn give(statement: &mut Statement, depth: Depth) -> bool {
    match statement {
        Statement::Statement(inner) => of_sql(inner, depth),
        Statement::Explain(explain) => give(&mut explain.statement, depth),
        Statement::CopyTo(copy) => match &mut copy.source {
            CopyToSource::Query(query) => of_query(query, depth),
            CopyToSource::Relation(_) => false,
        },
        Statement::CreateExternalTable(_) | Statement::Reset(_) => false,
    }
}

fn of_sql(statement: &mut Sql, depth: Depth) -> bool {
    match statement {
        Sql::Query(query) => of_query(query, depth),
        Sql::CreateView(view) => of_query(&mut view.query, depth),
        Sql::CreateTable(table) => table.query.as_mut().is_some_and(|query| of_query(query, depth)),
        Sql::Explain { statement, .. } | Sql::Prepare { statement, .. } => of_sql(statement, depth),
        Sql::Insert(insert) => insert.source.as_mut().is_some_and(|source| within(source, depth)),
        _ => false,
    }
}

fn of_query(query: &mut Query, depth: Depth) -> bool {
    let named = within(query, depth);
    name_query(query, true);
    named
}

fn within(query: &mut Query, depth: Depth) -> bool {
    let mut inner = Inner { named: false };
    if depth == Depth::Everywhere {
        let _ = VisitMut::visit(query, &mut inner);
    }
    inner.named
}

/// Names what a query returns; tells whether anything got a name.
fn name_query(query: &mut Query, outermost: bool) -> bool {
    let mut named = name_body(&mut query.body, outermost);
    for operator in &mut query.pipe_operators {
        match operator {
            PipeOperator::Select { exprs } | PipeOperator::Extend { exprs } => {
                for item in exprs {
                    named |= name_item(item);
                }
            }
            PipeOperator::Aggregate { full_table_exprs, group_by_expr } => {
                for one in full_table_exprs.iter_mut().chain(group_by_expr) {
                    let ExprWithAlias { expr, alias } = &mut one.expr;
                    if alias.is_none()
                        && let Some(name) = name_of(expr)
                    {
                        *alias = Some(name);
                        named = true;
                    }
                }
            }
            _ => {}
        }
    }
    named
}

fn name_body(body: &mut SetExpr, outermost: bool) -> bool {
    match body {
        SetExpr::Select(select) => name_select(select, outermost),
        SetExpr::Query(query) => name_query(query, outermost),
        // The first one's names are those of all, unless columns go BY NAME: the others may call two columns the same.
        SetExpr::SetOperation { left, right, set_quantifier, .. } => {
            let by_name = matches!(
                set_quantifier,
                SetQuantifier::ByName | SetQuantifier::AllByName | SetQuantifier::DistinctByName
            );
            name_body(left, outermost) | (by_name && name_body(right, outermost))
        }
        _ => false,
    }
}

fn name_select(select: &mut Select, outermost: bool) -> bool {
    let mut names = Vec::new();
    select.from.iter().for_each(|from| add_names(from, &mut names));
    let mut named = false;
    for item in &mut select.projection {
        if matches!(item, SelectItem::UnnamedExpr(Expr::CompoundIdentifier(_))) && outermost {
            named |= name_field(item, &names);
            continue;
        }
        named |= name_item(item);
    }
    named
}

fn name_item(item: &mut SelectItem) -> bool {
    let SelectItem::UnnamedExpr(expr) = item else { return false };
    let Some(alias) = name_of(expr) else { return false };
    *item = SelectItem::ExprWithAlias { expr: expr.clone(), alias };
    true
}

/// `s.x`, a field of the struct `s`, is called `x`, as a column is.
fn name_field(item: &mut SelectItem, tables: &[Vec<String>]) -> bool {
    let SelectItem::UnnamedExpr(Expr::CompoundIdentifier(parts)) = item else { return false };
    let [table @ .., last] = parts.as_slice() else { return false };
    let table: Vec<String> = table.iter().map(|part| part.value.to_lowercase()).collect();
    if tables.is_empty() || tables.iter().any(|name| name.ends_with(&table)) {
        return false;
    }
    *item = SelectItem::ExprWithAlias { alias: last.clone(), expr: Expr::CompoundIdentifier(parts.clone()) };
    true
}

/// The names of tables, in small letters: their alias, or each part of their name.
fn add_names(from: &TableWithJoins, names: &mut Vec<Vec<String>>) {
    for factor in std::iter::once(&from.relation).chain(from.joins.iter().map(|join| &join.relation)) {
        match factor {
            TableFactor::NestedJoin { table_with_joins, alias: None } => add_names(table_with_joins, names),
            TableFactor::Table { alias: None, name, .. } => {
                let parts = name.0.iter().filter_map(|part| part.as_ident());
                names.push(parts.map(|part| part.value.to_lowercase()).collect());
            }
            TableFactor::Table { alias: Some(alias), .. }
            | TableFactor::Derived { alias: Some(alias), .. }
            | TableFactor::Function { alias: Some(alias), .. }
            | TableFactor::UNNEST { alias: Some(alias), .. }
            | TableFactor::Pivot { alias: Some(alias), .. }
            | TableFactor::NestedJoin { alias: Some(alias), .. } => names.push(vec![alias.name.value.to_lowercase()]),
            _ => {}
        }
    }
}

/// The text of an expression that has no name of its own.
fn name_of(expr: &Expr) -> Option<Ident> {
    let mut inner = expr;
    while let Expr::Nested(within) = inner {
        inner = within;
    }
    match inner {
        Expr::Identifier(_) | Expr::CompoundIdentifier(_) => None,
        Expr::Function(function) if function.name.to_string().eq_ignore_ascii_case("unnest") => None,
        // The planner calls it so by itself.
        Expr::Function(_) if expr.to_string() == "count(*)" => None,
        _ => Some(Ident::with_quote('"', expr.to_string())),
    }
}

/// Names the columns of subqueries in FROM and of WITH queries, unless their alias does.
struct Inner {
    named: bool,
}

impl VisitorMut for Inner {
    type Break = Error;

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<Error> {
        if let Some(With { cte_tables, .. }) = &mut query.with {
            for table in cte_tables.iter_mut().filter(|table| table.alias.columns.is_empty()) {
                self.named |= name_query(&mut table.query, false);
            }
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<Error> {
        if let TableFactor::Derived { subquery, alias, .. } = factor
            && alias.as_ref().is_none_or(|alias| alias.columns.is_empty())
        {
            self.named |= name_query(subquery, false);
        }
        ControlFlow::Continue(())
    }
}
