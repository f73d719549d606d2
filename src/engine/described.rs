//! Statements that tell of tables and columns: `DESCRIBE`, `SHOW COLUMNS`, `SHOW TABLES`, `SUMMARIZE`.
//!
//! Deals with: what of them is a query, the columns of an answer as they arrive. Does not deal with: the figures of a column
//! (`exec::summary`), names of types (`functions`).

use std::borrow::Cow;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, StringArray};
use arrow::datatypes::SchemaRef;
use datafusion::execution::SessionState;
use datafusion::logical_expr::LogicalPlan;
use datafusion::prelude::SessionContext;
use datafusion::sql::parser::Statement;
use datafusion::sql::sqlparser::ast::{DescribeAlias, ShowStatementIn, ShowStatementOptions, Statement as Sql};
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::tokenizer::{Token, Tokenizer};

use super::{Answer, dialect, writes};
use crate::error::{Error, Result};
use crate::exec::summary;
use crate::functions::plain_sql::sql_type;

/// What a statement wants of its plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    /// Its rows, or what it does.
    Answer,
    /// The names and types of its columns.
    Columns,
    /// What is in each of its columns.
    Summary,
}

const TABLES: &str = "SELECT table_catalog, table_schema, table_name, table_type FROM information_schema.tables \
                      WHERE table_schema <> 'information_schema' ORDER BY table_catalog, table_schema, table_name";

/// Parses exactly one statement: what is to be planned, and what is wanted of the plan.
pub fn parse(state: &SessionState, statement: &str) -> Result<(Statement, Wanted)> {
    let summarised = summarised(statement);
    let wanted = if summarised.is_some() { Wanted::Summary } else { Wanted::Answer };
    let text = summarised.map_or(Cow::Borrowed(statement), Cow::Owned);
    let inner = match dialect::parse(state, &text)? {
        Statement::Statement(inner) => *inner,
        other => return Ok((other, wanted)),
    };
    let (inner, wanted) = match inner {
        Sql::Query(_) => (inner, wanted),
        _ if wanted == Wanted::Summary => {
            return Err(Error::user("SUMMARIZE takes a table or a query").hint("SUMMARIZE events, SUMMARIZE SELECT .."));
        }
        Sql::Explain { describe_alias: DescribeAlias::Describe | DescribeAlias::Desc, statement, .. }
            if matches!(*statement, Sql::Query(_)) =>
        {
            (*statement, Wanted::Columns)
        }
        Sql::ExplainTable { describe_alias: DescribeAlias::Describe | DescribeAlias::Desc, .. } => {
            (inner, Wanted::Columns)
        }
        Sql::ShowColumns { extended: false, full: false, show_options } if only_in(&show_options) => {
            let table_name = show_options.show_in.and_then(|shown| shown.parent_name);
            let Some(table_name) = table_name else {
                return Err(Error::user("SHOW COLUMNS: of which table?").hint("SHOW COLUMNS FROM events"));
            };
            let described = Sql::ExplainTable {
                describe_alias: DescribeAlias::Describe,
                hive_format: None,
                has_table_keyword: false,
                table_name,
            };
            (described, Wanted::Columns)
        }
        Sql::ShowTables {
            terse: false,
            history: false,
            extended: false,
            full: false,
            external: false,
            show_options,
        } if only_in(&show_options) && show_options.show_in.is_none() => {
            return Ok((dialect::parse(state, TABLES)?, Wanted::Answer));
        }
        other => (other, wanted),
    };
    Ok((Statement::Statement(Box::new(inner)), wanted))
}

fn only_in(options: &ShowStatementOptions) -> bool {
    let ShowStatementOptions { show_in, starts_with, limit, limit_from, filter_position } = options;
    let plain = show_in.as_ref().is_none_or(|ShowStatementIn { parent_type, .. }| parent_type.is_none());
    plain && starts_with.is_none() && limit.is_none() && limit_from.is_none() && filter_position.is_none()
}

/// The query whose columns `SUMMARIZE` tells of, every word at its place.
fn summarised(statement: &str) -> Option<String> {
    const VERB: &str = "SUMMARIZE";
    // Most statements have no such word, and some are long.
    if !statement.to_ascii_uppercase().contains(VERB) {
        return None;
    }
    let tokens = Tokenizer::new(&GenericDialect {}, statement).tokenize_with_location().ok()?;
    let mut words = tokens.iter().filter(|token| !matches!(token.token, Token::Whitespace(_)));
    let is = |token: &Token, names: &[&str]| match token {
        Token::Word(word) if word.quote_style.is_none() => names.iter().any(|n| word.value.eq_ignore_ascii_case(n)),
        Token::LParen => names.contains(&"("),
        _ => false,
    };
    let verb_at = words.next().filter(|word| is(&word.token, &[VERB]))?.span.start;
    let begins = words.next().is_some_and(|word| is(&word.token, &["SELECT", "WITH", "FROM", "VALUES", "("]));
    let verb = if begins { "" } else { "FROM" };
    // Where the word stands, not where its letters do: a comment before it may have them as well.
    let line_at: usize =
        statement.split_inclusive('\n').take(verb_at.line.checked_sub(1)? as usize).map(str::len).sum();
    let before = statement[line_at..].chars().take(verb_at.column.checked_sub(1)? as usize);
    let at = line_at + before.map(char::len_utf8).sum::<usize>();
    let (before, after) = (&statement[..at], &statement[at + VERB.len()..]);
    Some(format!("{before}{verb:<width$}{after}", width = VERB.len()))
}

/// A plan of the names and types of what a plan answers.
pub fn columns(context: &SessionContext, plan: &LogicalPlan) -> Result<LogicalPlan> {
    let schema: SchemaRef = match plan {
        LogicalPlan::DescribeTable(described) => Arc::clone(&described.schema),
        // Not what is planned first: a DATE moved by hours is a TIMESTAMP.
        plan => Arc::clone(writes::analyzed(&context.state(), plan)?.inner()),
    };
    let text = |texts: Vec<String>| Arc::new(StringArray::from(texts)) as ArrayRef;
    let fields = || schema.fields().iter();
    let batch = RecordBatch::try_from_iter([
        ("column_name", text(fields().map(|field| field.name().clone()).collect())),
        ("data_type", text(fields().map(|field| sql_type(field.data_type())).collect())),
        ("is_nullable", text(fields().map(|f| if f.is_nullable() { "YES" } else { "NO" }.to_string()).collect())),
    ])?;
    Ok(context.read_batch(batch)?.into_unoptimized_plan())
}

/// Runs a query and tells what is in its columns.
pub async fn summary(context: &SessionContext, plan: LogicalPlan) -> Result<Answer> {
    let frame = context.execute_logical_plan(plan).await?;
    let task = Arc::new(frame.task_ctx());
    let plan = frame.create_physical_plan().await?;
    let types = plan.schema().fields().iter().map(|field| sql_type(field.data_type())).collect();
    let stream = summary::summarised(&plan, types, &task)?;
    Ok(Answer { schema: summary::schema(), stream, plan, repeatable: true })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_summary_is_of_a_table_or_of_a_query() {
        let of = |statement| summarised(statement);
        assert_eq!(of("SUMMARIZE t").as_deref(), Some("FROM      t"));
        assert_eq!(of("-- all\n summarize 'a b.csv'").as_deref(), Some("-- all\n FROM      'a b.csv'"));
        assert_eq!(of("-- Summarize\n/* 漢 */ SUMMARIZE t").as_deref(), Some("-- Summarize\n/* 漢 */ FROM      t"));
        assert_eq!(of("SUMMARIZE (SELECT 1)").as_deref(), Some("          (SELECT 1)"));
        assert_eq!(
            of("summarize with a AS (SELECT 1) FROM a").as_deref(),
            Some("          with a AS (SELECT 1) FROM a")
        );
        assert_eq!(of("SELECT summarize FROM t"), None);
        assert_eq!(of("\"summarize\" t"), None);
    }
}
