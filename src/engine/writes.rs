//! Statements that write managed tables: `INSERT INTO name ..`, `CREATE TABLE name STORED AS DELTA LOCATION '..' AS ..`.
//!
//! Deals with: parsing the second, which the parser does not know; which column of the query goes where; the plan. Does not deal with:
//! types and values (`store::write`), or INSERT into other tables, which is DataFusion's.
//!
//! The library plans an INSERT by casting every column to its target, which cuts 1.7 to 1 and reads VALUES anywhere in the statement
//! as rows of the table. So the query is planned by itself here, and `store::write` decides what may go into a column.

use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema};
use datafusion::catalog::TableProvider;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, DFSchema, DFSchemaRef, ScalarValue, TableReference};
use datafusion::datasource::provider_as_source;
use datafusion::execution::SessionState;
use datafusion::logical_expr::dml::InsertOp;
use datafusion::logical_expr::logical_plan::ExplainOption;
use datafusion::logical_expr::{DmlStatement, Expr, ExprSchemable, LogicalPlan, LogicalPlanBuilder, WriteOp};
use datafusion::sql::parser::{ExplainStatement, Statement};
use datafusion::sql::planner::object_name_to_table_reference;
use datafusion::sql::sqlparser::ast::{
    Expr as SqlExpr, Ident, Insert, ObjectName, Query, SelectItem, SetExpr, Statement as Sql, TableObject,
};
use datafusion::sql::sqlparser::dialect::{Dialect, GenericDialect};
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::parser::{Parser, ParserError};
use datafusion::sql::sqlparser::tokenizer::{Token, Tokenizer};

use super::names;
use crate::config::TenureOptions;
use crate::error::{Error, Result, suggest};
use crate::files::stored_types::{fits, is_text, stored};
use crate::functions::plain_sql::local_midnight;
use crate::relations::missing_table;
use crate::store::managed::provider::ManagedTable;
use crate::store::write::{Destination, Ground, InsertTarget, clear_up, defined, ground};

/// The head of a `CREATE TABLE .. AS`.
#[derive(Debug, Clone)]
pub struct Create {
    /// The table.
    pub name: TableReference,
    /// Whether a table of this name is left as it is.
    pub if_not_exists: bool,
    /// The folder.
    pub folder: PathBuf,
    options: BTreeMap<String, String>,
}

/// Parses `CREATE [EXTERNAL] TABLE [IF NOT EXISTS] name STORED AS DELTA LOCATION 'folder' [OPTIONS (..)] AS query`; `None` where a
/// statement is none. Its clauses may come in any order.
pub fn parse(state: &SessionState, statement: &str, dialect: &dyn Dialect) -> Result<Option<(Create, Box<Query>)>> {
    if !is_create_as(statement) {
        return Ok(None);
    }
    let limit = state.config_options().sql_parser.recursion_limit.get();
    let mut parser = Parser::new(dialect).with_recursion_limit(limit).try_with_sql(statement).map_err(unparsed)?;
    head_and_query(&mut parser).map(Some)
}

fn unparsed(error: ParserError) -> Error {
    Error::user(format!("CREATE TABLE: {}", error.to_string().trim_start_matches("sql parser error: ")))
}

fn head_and_query(parser: &mut Parser<'_>) -> Result<(Create, Box<Query>)> {
    parser.expect_keyword(Keyword::CREATE).map_err(unparsed)?;
    if parser.parse_keywords(&[Keyword::OR, Keyword::REPLACE]) {
        return Err(Error::user(
            "CREATE OR REPLACE TABLE .. STORED AS DELTA is not supported: it would drop the rows there are",
        )
        .hint("choose another LOCATION"));
    }
    let _ = parser.parse_keyword(Keyword::EXTERNAL);
    parser.expect_keyword(Keyword::TABLE).map_err(unparsed)?;
    let if_not_exists = parser.parse_keywords(&[Keyword::IF, Keyword::NOT, Keyword::EXISTS]);
    let name = parser.parse_object_name(true).map_err(unparsed)?;
    let name = object_name_to_table_reference(name, true)?;
    let (mut format, mut location, mut options) = (None, None, BTreeMap::new());
    let refuse = |what: &str| Error::user(format!("CREATE TABLE {name} STORED AS DELTA .. AS: leave out {what}"));
    while !parser.parse_keyword(Keyword::AS) {
        if parser.parse_keywords(&[Keyword::STORED, Keyword::AS]) {
            format = Some(parser.parse_identifier().map_err(unparsed)?.value);
        } else if parser.parse_keyword(Keyword::LOCATION) {
            location = Some(parser.parse_literal_string().map_err(unparsed)?);
        } else if parser.parse_keyword(Keyword::OPTIONS) {
            options.extend(pairs(parser).map_err(unparsed)?);
        } else if parser.peek_token().token == Token::LParen {
            return Err(refuse("the columns: the query says them"));
        } else if parser.parse_keyword(Keyword::PARTITIONED) {
            return Err(
                refuse("PARTITIONED BY").hint("OPTIONS ('tenure.period' 'month') gives each month files of its own")
            );
        } else if parser.parse_keyword(Keyword::WITH) {
            return Err(refuse("WITH ..").hint("rows are ordered by user and time where there are both"));
        } else {
            let found = parser.peek_token();
            return Err(Error::user(format!(
                "CREATE TABLE {name}: expected STORED AS, LOCATION, OPTIONS or AS, found {found}"
            )));
        }
    }
    if let Some(other) = format.filter(|format| !format.eq_ignore_ascii_case("delta")) {
        return Err(Error::user(format!(
            "CREATE TABLE {name} .. AS: STORED AS is DELTA, not {}",
            other.to_uppercase()
        ))
        .hint("COPY (SELECT ..) TO 'file.parquet' writes files"));
    }
    let Some(location) = location else {
        return Err(Error::user(format!("CREATE TABLE {name} STORED AS DELTA: LOCATION 'folder' is missing")));
    };
    let folder = PathBuf::from(location.strip_prefix("file://").unwrap_or(&location));
    let query = parser.parse_query().map_err(unparsed)?;
    let _ = parser.consume_token(&Token::SemiColon);
    match parser.peek_token().token {
        Token::EOF => Ok((Create { name, if_not_exists, folder, options }, query)),
        other => Err(Error::user(format!("CREATE TABLE {name}: unexpected {other} after the query"))),
    }
}

/// `('key' 'value', ..)`.
fn pairs(parser: &mut Parser<'_>) -> std::result::Result<Vec<(String, String)>, ParserError> {
    parser.expect_token(&Token::LParen)?;
    let mut pairs = Vec::new();
    loop {
        let key = match parser.peek_token().token {
            Token::SingleQuotedString(_) => parser.parse_literal_string()?,
            _ => parser.parse_object_name(false)?.to_string(),
        };
        let _ = parser.consume_token(&Token::Eq);
        pairs.push((key.to_lowercase(), parser.parse_literal_string()?));
        if !parser.consume_token(&Token::Comma) {
            parser.expect_token(&Token::RParen)?;
            return Ok(pairs);
        }
    }
}

/// Whether a statement begins with `CREATE .. TABLE`, says `STORED AS`, and has `AS` and a query after it.
fn is_create_as(statement: &str) -> bool {
    let Ok(tokens) = Tokenizer::new(&GenericDialect {}, statement).tokenize() else { return false };
    let tokens: Vec<&Token> = tokens.iter().filter(|token| !matches!(token, Token::Whitespace(_))).collect();
    let word = |at: usize| match tokens.get(at) {
        Some(Token::Word(word)) if word.quote_style.is_none() => word.keyword,
        _ => Keyword::NoKeyword,
    };
    let head = (1..5)
        .take_while(|at| matches!(word(*at), Keyword::OR | Keyword::REPLACE | Keyword::EXTERNAL | Keyword::TABLE));
    if word(0) != Keyword::CREATE || !head.map(word).any(|keyword| keyword == Keyword::TABLE) {
        return false;
    }
    let stored = (0..tokens.len()).any(|at| word(at) == Keyword::STORED && word(at + 1) == Keyword::AS);
    let query = (1..tokens.len()).any(|at| {
        let begins = matches!(word(at + 1), Keyword::SELECT | Keyword::WITH | Keyword::VALUES | Keyword::FROM)
            || tokens.get(at + 1) == Some(&&Token::LParen);
        word(at) == Keyword::AS && word(at - 1) != Keyword::STORED && begins
    });
    stored && query
}

/// Plans a statement: one that writes a managed table here, every other by the library.
pub async fn plan(state: &SessionState, statement: Statement) -> Result<LogicalPlan> {
    match statement {
        Statement::Statement(inner) => match *inner {
            Sql::Insert(insert) => match target(state, &insert).await? {
                Some((name, table)) => plan_insert(state, insert, name, &table).await,
                None => {
                    let plan = names::plan(state, Statement::Statement(Box::new(Sql::Insert(insert)))).await?;
                    check_casts(&plan)?;
                    Ok(plan)
                }
            },
            other => names::plan(state, Statement::Statement(Box::new(other))).await,
        },
        Statement::Explain(explain) => match explained(&explain) {
            Some(insert) => match target(state, insert).await? {
                Some((name, table)) => explain_insert(state, &explain, insert.clone(), name, &table).await,
                None => names::plan(state, Statement::Explain(explain)).await,
            },
            None => names::plan(state, Statement::Explain(explain)).await,
        },
        other => names::plan(state, other).await,
    }
}

fn explained(explain: &ExplainStatement) -> Option<&Insert> {
    match explain.statement.as_ref() {
        Statement::Statement(inner) => match inner.as_ref() {
            Sql::Insert(insert) => Some(insert),
            _ => None,
        },
        _ => None,
    }
}

async fn explain_insert(
    state: &SessionState,
    explain: &ExplainStatement,
    insert: Insert,
    name: TableReference,
    table: &ManagedTable,
) -> Result<LogicalPlan> {
    let options = &explain.options;
    if options.analyze {
        return Err(Error::user("EXPLAIN ANALYZE of an INSERT would write the rows")
            .hint("EXPLAIN INSERT .., or EXPLAIN ANALYZE of the query alone"));
    }
    let plan = plan_insert(state, insert, name, table).await?;
    let mut shown = ExplainOption { verbose: options.verbose, ..ExplainOption::default() };
    shown.show_statistics = options.show_statistics;
    shown.format = match &options.format {
        Some(format) => format.clone(),
        None if options.verbose => shown.format,
        None => state.config_options().explain.format.clone(),
    };
    Ok(LogicalPlanBuilder::from(plan).explain_option_format(shown)?.build()?)
}

/// The managed table that an INSERT is into; `None` where it is another table, or none that has a name.
async fn target(state: &SessionState, insert: &Insert) -> Result<Option<(TableReference, ManagedTable)>> {
    let TableObject::TableName(name) = &insert.table else { return Ok(None) };
    let reference = object_name_to_table_reference(name.clone(), true)?;
    let defaults = &state.config_options().catalog;
    let resolved = reference.clone().resolve(&defaults.default_catalog, &defaults.default_schema);
    let schema = state.catalog_list().catalog(&resolved.catalog).and_then(|catalog| catalog.schema(&resolved.schema));
    let Some(schema) = schema else { return Ok(None) };
    let mut found = schema.table(&resolved.table).await?;
    let known = schema.table_names();
    if found.is_none() {
        let alike: Vec<&String> = known.iter().filter(|name| name.eq_ignore_ascii_case(&resolved.table)).collect();
        found = match alike.as_slice() {
            [only] => schema.table(only).await?,
            _ => return Err(missing_table("", &resolved.table, &known)),
        };
    }
    let Some(found) = found else { return Ok(None) };
    let managed = (found.as_ref() as &dyn std::any::Any).downcast_ref::<ManagedTable>().cloned();
    Ok(managed.map(|table| (reference, table)))
}

/// Refuses an INSERT into a table in memory of values that would be cut: the library casts every column to its target's type, and would
/// make 1 of 1.7. What fits its type can still be out of range, which is an error while rows come.
fn check_casts(plan: &LogicalPlan) -> Result<()> {
    let LogicalPlan::Dml(insert) = plan else { return Ok(()) };
    if let LogicalPlan::Projection(projection) = insert.input.as_ref() {
        for expr in &projection.expr {
            check_cast(expr, projection.input.schema(), &insert.table_name)?;
        }
    }
    // VALUES are read with the table's types wherever in the statement they stand.
    insert.input.apply(|below| {
        if let LogicalPlan::Values(values) = below {
            for expr in values.values.iter().flatten() {
                check_cast(expr, &values.schema, &insert.table_name)?;
            }
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(())
}

fn check_cast(expr: &Expr, schema: &DFSchema, table: &TableReference) -> Result<()> {
    let (name, cast) = match expr {
        Expr::Alias(alias) => (alias.name.as_str(), alias.expr.as_ref()),
        other => ("", other),
    };
    let Expr::Cast(cast) = cast else { return Ok(()) };
    let from = cast.expr.get_type(schema)?;
    let to = cast.field.data_type();
    let read = is_text(&from) || from.is_null();
    if read || stored(&from).zip(stored(to)).is_none_or(|(from, to)| fits(&from, &to)) {
        return Ok(());
    }
    if let Expr::Literal(value, _) = cast.expr.as_ref()
        && value.cast_to(to).and_then(|there| there.cast_to(&from)).is_ok_and(|back| back == *value)
    {
        return Ok(());
    }
    let column = if name.is_empty() { "a column ".to_string() } else { format!("column '{name}' ") };
    Err(Error::user(format!(
        "INSERT INTO {table}: {column}holds {to}, and what comes for it is {from} ({})",
        cast.expr
    ))
    .hint("convert it in the query: CAST(.. AS ..) cuts, round(..) rounds"))
}

async fn plan_insert(
    state: &SessionState,
    insert: Insert,
    name: TableReference,
    table: &ManagedTable,
) -> Result<LogicalPlan> {
    let (columns, mut source) = plain(insert, &name)?;
    name_expressions(&mut source);
    let plan = names::plan(state, Statement::Statement(Box::new(Sql::Query(source)))).await?;
    let to = Destination::existing(table.log().clone())?;
    let columns = columns.iter().map(|column| named(column, to.schema(), &name)).collect::<Result<Vec<_>>>()?;
    let places = places(&plan, to.schema(), columns, &name)?;
    let within = format!("INSERT INTO {name}: ");
    into_table(state, plan, places, to, name).map_err(|e| e.within(&within))
}

/// Gives each expression of a query's list a name of its own: two columns may well be `1`, and nobody sees what they are called.
fn name_expressions(query: &mut Query) {
    let SetExpr::Select(select) = query.body.as_mut() else { return };
    for (at, item) in select.projection.iter_mut().enumerate() {
        if let SelectItem::UnnamedExpr(expr) = item
            && !matches!(expr, SqlExpr::Identifier(_) | SqlExpr::CompoundIdentifier(_))
        {
            let alias = Ident::with_quote('"', format!("expression {}", at + 1));
            *item = SelectItem::ExprWithAlias { expr: expr.clone(), alias };
        }
    }
}

/// The columns and the query of an INSERT without anything else.
fn plain(insert: Insert, name: &TableReference) -> Result<(Vec<ObjectName>, Box<Query>)> {
    let Insert {
        insert_token: _,
        optimizer_hints: _,
        or,
        ignore,
        into: _,
        table: _,
        table_alias,
        columns,
        overwrite,
        source,
        assignments,
        partitioned,
        after_columns,
        has_table_keyword: _,
        on,
        returning,
        output,
        replace_into,
        priority,
        insert_alias,
        settings,
        format_clause,
        multi_table_insert_type,
        multi_table_into_clauses,
        multi_table_when_clauses,
        multi_table_else_clause,
    } = insert;
    let several = multi_table_insert_type.is_some()
        || !multi_table_into_clauses.is_empty()
        || !multi_table_when_clauses.is_empty()
        || multi_table_else_clause.is_some();
    for (given, what) in [
        (
            overwrite || replace_into || or.is_some(),
            "OVERWRITE and REPLACE: rows are added to a managed table, or erased by user",
        ),
        (ignore || on.is_some(), "ON CONFLICT and IGNORE: the table's dedup_key tells repeated events"),
        (!assignments.is_empty(), "SET: name the columns, then VALUES (..)"),
        (partitioned.is_some() || !after_columns.is_empty(), "PARTITION"),
        (returning.is_some() || output.is_some(), "RETURNING and OUTPUT"),
        (table_alias.is_some() || insert_alias.is_some(), "an alias of the table"),
        (priority.is_some() || settings.is_some() || format_clause.is_some(), "settings and formats"),
        (several, "several tables at once"),
    ] {
        if given {
            return Err(Error::user(format!("INSERT INTO {name} cannot have {what}"))
                .hint("INSERT INTO name (column, ..) SELECT .., or VALUES (..)"));
        }
    }
    match source {
        Some(source) => Ok((columns, source)),
        None => Err(Error::user(format!("INSERT INTO {name}: no rows are given; SELECT .. or VALUES (..)"))),
    }
}

/// A column of the table by its name in the statement.
fn named(column: &ObjectName, table: &Schema, name: &TableReference) -> Result<usize> {
    let known = || table.fields().iter().map(|field| field.name().as_str()).collect::<Vec<_>>();
    let part = match column.0.as_slice() {
        [only] => only.as_ident(),
        _ => None,
    };
    let Some(part) = part else {
        return Err(Error::user(format!("INSERT INTO {name}: '{column}' is not a column's name")));
    };
    if let Ok(at) = table.index_of(&part.value) {
        return Ok(at);
    }
    let alike = |at: &usize| part.quote_style.is_none() && table.field(*at).name().eq_ignore_ascii_case(&part.value);
    match (0..table.fields().len()).filter(alike).collect::<Vec<_>>().as_slice() {
        [only] => Ok(*only),
        _ => Err(Error::user(format!(
            "INSERT INTO {name}: the table has no column '{}'; {}",
            part.value,
            suggest(&part.value, known())
        ))),
    }
}

/// For each column of the query its place in the table: as the statement lists them, else in the table's order.
fn places(plan: &LogicalPlan, table: &Schema, listed: Vec<usize>, name: &TableReference) -> Result<Vec<usize>> {
    let from: Vec<&str> = plan.schema().fields().iter().map(|field| field.name().as_str()).collect();
    let all = listed.is_empty();
    let listed = if all { (0..table.fields().len()).collect() } else { listed };
    if let Some(twice) = listed.iter().enumerate().find(|(at, place)| listed[..*at].contains(place)) {
        let column = table.field(*twice.1).name();
        return Err(Error::user(format!("INSERT INTO {name}: column '{column}' is listed twice")));
    }
    if from.len() != listed.len() {
        let wanted: Vec<&str> = listed.iter().map(|at| table.field(*at).name().as_str()).collect();
        let what = if all { "the table has" } else { "the list names" };
        return Err(Error::user(format!(
            "INSERT INTO {name}: {} columns come, and {what} {} ({})",
            from.len(),
            wanted.len(),
            wanted.join(", ")
        ))
        .hint("columns that are not listed are NULL: INSERT INTO name (column, ..) .."));
    }
    // A column that is called like another one of the table is most likely meant for it.
    if all && !matches!(plan, LogicalPlan::Values(_)) {
        for (at, column) in from.iter().enumerate() {
            let own = table.field(at).name();
            if !own.eq_ignore_ascii_case(column)
                && let Some(other) = table.fields().iter().position(|field| field.name() == column)
            {
                return Err(Error::user(format!(
                    "INSERT INTO {name}: column {} of the query is '{column}', which is column {} of the table; columns go by position, and column {} is '{own}'",
                    at + 1,
                    other + 1,
                    at + 1
                ))
                .hint(format!("INSERT INTO {name} ({}) ..", from.join(", "))));
            }
        }
    }
    Ok(listed)
}

/// The plan of a query whose columns go to these places of a table. A date that becomes a time is the midnight of the session's zone.
fn into_table(
    state: &SessionState,
    plan: LogicalPlan,
    places: Vec<usize>,
    to: Destination,
    name: TableReference,
) -> Result<LogicalPlan> {
    let zone = state.config_options().extensions.get::<TenureOptions>().map(|options| options.time_zone.clone());
    let zone: Option<Arc<str>> = zone.filter(|zone| !zone.eq_ignore_ascii_case("utc")).map(Arc::from);
    let constants = constants(&plan);
    let table = Arc::clone(to.schema());
    let source = analyzed(state, &plan)?;
    let mut columns = Vec::new();
    let mut arriving: Vec<Field> = Vec::new();
    let mut texts = HashSet::new();
    for (at, place) in places.iter().enumerate() {
        let column = table.field(*place).name();
        let mut field = source.field(at).as_ref().clone().with_name(column);
        let mut value = Expr::Column(Column::from(source.qualified_field(at)));
        let date = matches!(field.data_type(), DataType::Date32 | DataType::Date64);
        if let (true, DataType::Timestamp(..), Some(zone)) = (date, table.field(*place).data_type(), &zone) {
            value = local_midnight(zone).call(vec![value]);
            field = field.with_data_type(value.get_type(source.as_ref())?);
        }
        columns.push(value.alias(column));
        arriving.push(field);
        if constants.contains(&at) {
            texts.insert(column.clone());
        }
    }
    let plan = LogicalPlanBuilder::from(plan).project(columns)?.build()?;
    let target: Arc<dyn TableProvider> = Arc::new(InsertTarget::new(to, &Schema::new(arriving), texts)?);
    let op = WriteOp::Insert(InsertOp::Append);
    Ok(LogicalPlan::Dml(DmlStatement::new(name, provider_as_source(target), op, Arc::new(plan))))
}

/// What the columns of a plan are when the analyzer rules have been over it: a DATE moved by hours is a timestamp.
pub(super) fn analyzed(state: &SessionState, plan: &LogicalPlan) -> Result<DFSchemaRef> {
    let plan = state.analyzer().execute_and_check(plan.clone(), state.config_options(), |_, _| {})?;
    Ok(Arc::clone(plan.schema()))
}

/// Columns of a plan that are texts written in the statement: these are read as what their column holds, like texts in a comparison.
fn constants(plan: &LogicalPlan) -> HashSet<usize> {
    match plan {
        LogicalPlan::Values(values) => (0..values.schema.fields().len()).collect(),
        LogicalPlan::Projection(projection) => {
            let is_text = |expr: &Expr| matches!(expr.clone().unalias(), Expr::Literal(value, _) if is_utf8(&value));
            projection.expr.iter().enumerate().filter(|(_, expr)| is_text(expr)).map(|(at, _)| at).collect()
        }
        LogicalPlan::SubqueryAlias(alias) => constants(&alias.input),
        LogicalPlan::Sort(sort) => constants(&sort.input),
        _ => HashSet::new(),
    }
}

fn is_utf8(value: &ScalarValue) -> bool {
    matches!(value, ScalarValue::Utf8(_) | ScalarValue::LargeUtf8(_) | ScalarValue::Utf8View(_))
}

/// Plans a `CREATE TABLE .. AS`: the query whose rows become the first version of the table.
pub async fn plan_create(state: &SessionState, create: &Create, query: Statement) -> Result<LogicalPlan> {
    let within = format!("CREATE TABLE {}: ", create.name);
    let plan = names::plan(state, query).await?;
    let done = async {
        let folder = free(&create.folder).await?;
        let definition = defined(folder, analyzed(state, &plan)?.as_arrow(), &create.options)?;
        let places = (0..plan.schema().fields().len()).collect();
        into_table(state, plan, places, Destination::new(folder, None, definition), create.name.clone())
    };
    done.await.map_err(|e: Error| e.within(&within))
}

/// A folder in which a table can be made.
async fn free(folder: &Path) -> Result<&Path> {
    let shown = folder.display();
    // What a statement that was killed left there does not count.
    clear_up(folder);
    match ground(folder).await? {
        Ground::Free => Ok(folder),
        Ground::Table(_) => Err(Error::data(format!("'{shown}' is a managed table already")).hint(format!(
            "CREATE EXTERNAL TABLE name STORED AS DELTA LOCATION '{shown}' opens it, INSERT INTO name adds rows"
        ))),
        Ground::Within(outer) => {
            Err(Error::data(format!("'{}' is a managed table; none can lie within it", outer.display())))
        }
        Ground::Foreign => {
            Err(Error::data(format!("'{shown}' holds files and is not a managed table"))
                .hint("choose another LOCATION"))
        }
    }
}
