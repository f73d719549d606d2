//! Between parsing and planning: SQL means what it says, or is refused.
//!
//! DataFusion's planner does not look at every clause that the parser accepts; a clause that it does not look at would be dropped in
//! silence, and the answer would be another question's. So each statement goes through these passes:
//!
//! 0. [`column_names`] calls columns without `AS` as they were written.
//! 1. [`rewrite`] puts what the planner does not know into words that it knows: `FROM t`, `WITH ROLLUP`, `PREWHERE`, `LIMIT n BY`,
//!    `FETCH FIRST`, `if(..)`, named windows, Postgres patterns in `to_char`.
//! 2. [`clauses`] and [`commands`] refuse by name, with the way out, whatever is left that the planner ignores. They take the parser's types
//!    apart without `..`: a parser with a new field does not compile here, and somebody must decide what becomes of it. What was
//!    decided for each field is listed in [`fields`], whose tests drive a statement for each.
//!
//! `PIVOT` and `TABLESAMPLE` need the columns of their table and are planned in [`pivot`] and [`sample`].
//!
//! Does not deal with: what a relation's arguments mean (`relations`), types of expressions (`plan`).

mod clauses;
pub mod column_names;
mod commands;
pub mod counted;
#[cfg(test)]
mod fields;
mod foreign;
mod merged;
mod order_all;
mod patterns;
mod pipes;
pub mod pivot;
mod precedence;
mod rewrite;
pub mod sample;
pub mod spans;
mod windows;

use std::ops::ControlFlow;

use datafusion::execution::SessionState;
use datafusion::sql::parser::{CopyToSource, Statement};
use datafusion::sql::sqlparser::ast::{Visit, VisitMut, Visitor, VisitorMut};

use crate::error::{Error, Result};

/// Rewrites a statement for the planner, or says what of it would be ignored.
pub fn prepare(statement: &mut Statement, state: &SessionState) -> Result<()> {
    change(statement, &mut rewrite::Rewriter)?;
    look(statement, &mut clauses::Clauses { state })
}

/// A clause that is accepted by the parser and means nothing to the planner.
fn refused(clause: &str, way_out: &str) -> Error {
    Error::user(format!("{clause} is not supported, and would be ignored")).hint(way_out)
}

/// Leads a visitor through a statement's query.
pub fn change<V: VisitorMut<Break = Error>>(statement: &mut Statement, visitor: &mut V) -> Result<()> {
    let flow = match statement {
        Statement::Statement(inner) => VisitMut::visit(inner.as_mut(), visitor),
        Statement::Explain(explain) => return change(&mut explain.statement, visitor),
        Statement::CopyTo(copy) => match &mut copy.source {
            CopyToSource::Query(query) => VisitMut::visit(query.as_mut(), visitor),
            CopyToSource::Relation(_) => ControlFlow::Continue(()),
        },
        Statement::CreateExternalTable(_) | Statement::Reset(_) => ControlFlow::Continue(()),
    };
    flow.break_value().map_or(Ok(()), Err)
}

fn look<V: Visitor<Break = Error>>(statement: &Statement, visitor: &mut V) -> Result<()> {
    let flow = match statement {
        Statement::Statement(inner) => Visit::visit(inner.as_ref(), visitor),
        Statement::Explain(explain) => return look(&explain.statement, visitor),
        Statement::CopyTo(copy) => match &copy.source {
            CopyToSource::Query(query) => Visit::visit(query.as_ref(), visitor),
            CopyToSource::Relation(_) => ControlFlow::Continue(()),
        },
        Statement::CreateExternalTable(_) | Statement::Reset(_) => ControlFlow::Continue(()),
    };
    flow.break_value().map_or(Ok(()), Err)
}
