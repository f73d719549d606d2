//! `FROM read_csv('x.csv', delimiter => ';')`, `read_json(..)`, `read_parquet(..)`: files read as options say.
//!
//! Deals with: recognising a call, its location and options. Does not deal with: what options mean (`files::options`).

use std::fmt;
use std::sync::Arc;

use datafusion::common::TableReference;
use datafusion::error::Result;
use datafusion::logical_expr::planner::{PlannedRelation, RelationPlanner, RelationPlannerContext, RelationPlanning};
use datafusion::sql::sqlparser::ast::{Expr, FunctionArg, FunctionArgExpr, TableFactor, UnaryOperator, Value};

use super::files::LocalFiles;
use crate::error::Error;
use crate::files::options::{Given, OPTIONS};
use crate::files::source::SourceFormat;
use crate::functions::{ArgumentDoc, FunctionDoc, FunctionKind};
use crate::relations::{scan, wait_for};
use crate::store::table;

/// The functions, with the format of the files.
const FUNCTIONS: [(&str, SourceFormat); 3] =
    [("read_csv", SourceFormat::Csv), ("read_json", SourceFormat::Ndjson), ("read_parquet", SourceFormat::Parquet)];

/// Options that say something of each format.
const OF_JSON: [&str; 6] = ["encoding", "null", "sample", "types", "time_format", "tz"];
const OF_PARQUET: [&str; 1] = ["binary_as_text"];

/// Plans calls of the functions.
pub struct ReadFiles(pub Arc<LocalFiles>);

impl fmt::Debug for ReadFiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ReadFiles")
    }
}

impl RelationPlanner for ReadFiles {
    fn plan_relation(
        &self,
        relation: TableFactor,
        _context: &mut dyn RelationPlannerContext,
    ) -> Result<RelationPlanning> {
        let known = |name: &str| FUNCTIONS.iter().find(|(known, _)| name.eq_ignore_ascii_case(known)).copied();
        let (function, arguments, alias) = match &relation {
            TableFactor::Table { name, args: Some(args), alias, .. } => (known(&name.to_string()), &args.args, alias),
            TableFactor::Function { name, args, alias, .. } => (known(&name.to_string()), args, alias),
            _ => return Ok(RelationPlanning::Original(Box::new(relation))),
        };
        let Some((function, format)) = function else {
            return Ok(RelationPlanning::Original(Box::new(relation)));
        };
        if !self.0.allowed {
            return Err(Error::user(format!("{function}: this session reads registered tables only")).into());
        }
        let (location, options) = call(function, arguments)?;
        let applies = |key: &str| match format {
            SourceFormat::Csv => OPTIONS.iter().any(|(known, _)| *known == key),
            SourceFormat::Ndjson => OF_JSON.contains(&key),
            SourceFormat::Parquet => OF_PARQUET.contains(&key),
        };
        if let Some((key, _)) = options.iter().find(|(key, _)| !applies(key)) {
            let all: Vec<&str> =
                OPTIONS.iter().map(|(key, _)| *key).chain(OF_PARQUET).filter(|key| applies(key)).collect();
            let help = crate::error::suggest(key, all);
            return Err(Error::user(format!("{function}: unknown option '{key}'; {help}")).into());
        }
        let Some(state) = self.0.state() else {
            return Err(Error::internal("a session that is gone plans a statement").into());
        };
        let table = wait_for(async { Ok(table::read(&state, function, &location, format, options).await?) })?;
        let plan = scan(TableReference::bare(location), table)?;
        Ok(RelationPlanning::Planned(Box::new(PlannedRelation::new(plan, alias.clone()))))
    }
}

/// The location and the options of a call.
fn call(function: &str, arguments: &[FunctionArg]) -> Result<(String, Vec<(String, Given)>), Error> {
    let mut arguments = arguments.iter();
    let location = match arguments.next() {
        Some(FunctionArg::Unnamed(FunctionArgExpr::Expr(Expr::Value(value)))) => match &value.value {
            Value::SingleQuotedString(location) => Some(location.clone()),
            _ => None,
        },
        _ => None,
    };
    let Some(location) = location else {
        return Err(Error::user(format!("{function}: the first argument is a file, a folder or a pattern in quotes"))
            .hint(format!("as in {function}('events.csv', sample => 'all')")));
    };
    let mut options: Vec<(String, Given)> = Vec::new();
    for argument in arguments {
        let (key, value) = match argument {
            FunctionArg::Named { name, arg: FunctionArgExpr::Expr(value), .. } => (name.value.to_lowercase(), value),
            FunctionArg::ExprNamed { name: Expr::Identifier(name), arg: FunctionArgExpr::Expr(value), .. } => {
                (name.value.to_lowercase(), value)
            }
            other => {
                return Err(Error::user(format!(
                    "{function}: options are named, as in delimiter => ';'; got '{other}'"
                )));
            }
        };
        if options.iter().any(|(known, _)| *known == key) {
            return Err(Error::user(format!("{function}: option '{key}' is given twice")));
        }
        let Some(value) = given(value) else {
            return Err(Error::user(format!("{function}: option '{key}' must be a constant, got {value}")));
        };
        options.push((key, value));
    }
    Ok((location, options))
}

/// A literal as an option's value.
fn given(value: &Expr) -> Option<Given> {
    let text = |value: &Expr| match given(value)? {
        Given::Text(text) => Some(text),
        Given::Number(number) => Some(number.to_string()),
        Given::Bool(truth) => Some(truth.to_string()),
        Given::List(_) | Given::Map(_) => None,
    };
    Some(match value {
        Expr::Value(value) => match &value.value {
            Value::SingleQuotedString(text) | Value::EscapedStringLiteral(text) => Given::Text(text.clone()),
            Value::Boolean(truth) => Given::Bool(*truth),
            Value::Number(number, _) => Given::Number(number.parse().ok()?),
            _ => return None,
        },
        Expr::UnaryOp { op: UnaryOperator::Minus, expr } => match given(expr)? {
            Given::Number(number) => Given::Number(number.checked_neg()?),
            _ => return None,
        },
        Expr::Array(items) => Given::List(items.elem.iter().map(text).collect::<Option<_>>()?),
        Expr::Dictionary(fields) => {
            let field = |field: &datafusion::sql::sqlparser::ast::DictionaryField| {
                Some((field.key.value.clone(), text(&field.value)?))
            };
            Given::Map(fields.iter().map(field).collect::<Option<_>>()?)
        }
        Expr::Nested(inner) => return given(inner),
        _ => return None,
    })
}

const TEXT: &str = "\
A name in FROM is read as its ending and its first bytes say, and by the types of a sample; these functions say what they do not. \
The same options stand in `OPTIONS (..)` of CREATE EXTERNAL TABLE, in `[tables.x.read]` of tenure.toml, and in `[read]` of a mapping of \
`tenure ingest`.

Types are those that every value of the sample fits: whole numbers BIGINT, with decimals DOUBLE, ISO dates DATE, ISO times TIMESTAMP (with \
a zone where one names one), `true` and `false` BOOLEAN, all else TEXT. Identifiers stay text where a number would change them: leading zeros, \
more digits than a BIGINT, exponents without decimals, and in the column `user_id` signs too. A value behind the sample that does not fit is an error with \
file, line, column and value. An empty CSV field is NULL, `\"\"` is an empty text. Columns are found by name in every file, Parquet among them; one that a file lacks is NULL there.

Lines of `#`, a title above a blank line and `sep=;` before a header are passed over, and the second row of SurveyMonkey's headers becomes part of the names. Columns without a name are `column_3`, repeated names get a \
number (`value_1`). JSON is an object a line, an array of objects, or objects one after the other. gzip, zstd, bzip2 and xz are told by their first bytes.

Cost: the sample is read twice; memory is two blocks of 4 MiB a thread.";

/// What the manual says of them.
pub fn docs() -> Vec<FunctionDoc> {
    let location = ArgumentDoc {
        name: "location",
        kind: "TEXT",
        default: None,
        text: "A file, a folder with all below it, or a pattern: `*` stays within a folder, `**` crosses, `{a,b}` is either. A name that is there is no pattern.",
    };
    let option = |(name, text): (&'static str, &'static str)| {
        let (kind, default) = match name {
            "header" => ("BOOLEAN", Some("true")),
            "skip" => ("BIGINT", Some("0")),
            "sample" => ("BIGINT or 'all'", Some("50000")),
            "null" => ("TEXT or list", Some("none")),
            "types" => ("STRUCT", Some("by example")),
            "quote" => ("TEXT", Some("'\"'")),
            "decimal" => ("TEXT", Some("'.'")),
            "encoding" => ("TEXT", Some("'utf-8'")),
            "tz" => ("TEXT", Some("'UTC'")),
            _ => ("TEXT", Some("none")),
        };
        ArgumentDoc { name, kind, default, text }
    };
    let of = |wanted: &dyn Fn(&str) -> bool| {
        let options = OPTIONS.iter().copied().filter(|(name, _)| wanted(name)).map(option);
        std::iter::once(location.clone()).chain(options).collect::<Vec<_>>()
    };
    let binary = ArgumentDoc {
        name: "binary_as_text",
        kind: "BOOLEAN",
        default: Some("by example"),
        text: "Whether bytes of which the files do not say what they are are text.",
    };
    let returns = vec![("the columns of the files", "And of `key=value` folders, behind them.")];
    let doc = |name, summary, syntax, arguments, example| FunctionDoc {
        name,
        kind: FunctionKind::Relation,
        summary,
        syntax,
        arguments,
        returns: returns.clone(),
        text: TEXT,
        example,
    };
    vec![
        doc(
            "read_csv",
            "Rows of CSV files, read as options say",
            "read_csv(location [, delimiter => ';'] [, ..])",
            of(&|_| true),
            "SELECT count(*) AS orders FROM read_csv('testdata/exports/shopify_orders.csv', types => {'Billing Zip': 'text'})",
        ),
        doc(
            "read_json",
            "Rows of JSON files, read as options say",
            "read_json(location [, sample => 'all'] [, ..])",
            of(&|name| OF_JSON.contains(&name)),
            "SELECT count(*) AS events FROM read_json('testdata/exports/mixpanel.ndjson')",
        ),
        doc(
            "read_parquet",
            "Rows of Parquet files, read as options say",
            "read_parquet(location [, binary_as_text => true])",
            [vec![location.clone()], vec![binary]].concat(),
            "SELECT count(*) AS events FROM read_parquet('testdata/shop/events.parquet')",
        ),
    ]
}
