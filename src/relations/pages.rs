//! `FROM pages(...)`: how each page is viewed: by how many, for how long, and whether visits begin or end there.
//!
//! Deals with: counting over the views of all sessions. Does not deal with: what a session or a view is.

use arrow::datatypes::DataType;
use datafusion::functions::core::expr_ext::FieldAccessor;
use datafusion::functions_aggregate::expr_fn::{count, sum};
use datafusion::logical_expr::{Expr, ExprFunctionExt, LogicalPlan, LogicalPlanBuilder, cast, col, lit, when};

use super::Relation;
use super::argument::{Argument, docs};
use super::call::Call;
use super::expressions::{column, count_rows, unkeyed};
use super::session_call::{SessionCall, Wanted, arguments, item};
use crate::error::Result;
use crate::functions::middle::middle;
use crate::functions::session::user_views;
use crate::functions::{FunctionDoc, FunctionKind};

/// The relation.
#[derive(Debug)]
pub struct Pages;

const OUTPUT: [&str; 10] = [
    "page",
    "views",
    "users",
    "sessions",
    "mean_dwell_seconds",
    "median_dwell_seconds",
    "entries",
    "exits",
    "exit_rate",
    "bounces",
];

impl Relation for Pages {
    fn arguments(&self) -> Vec<Argument> {
        arguments(&[])
    }

    fn doc(&self) -> FunctionDoc {
        FunctionDoc {
            name: "pages",
            kind: FunctionKind::Relation,
            summary: "How each page is viewed: by how many, for how long, and whether visits begin or end there",
            syntax: "pages(table, page => .., gap => INTERVAL '30 minutes' [, views => ..] [, by => ..])",
            arguments: docs(&self.arguments()),
            returns: vec![
                ("by .., first .., last ..", "The breakdown columns, under their own names."),
                ("page", "The page."),
                ("views BIGINT", "Its views."),
                ("users BIGINT", "Users who viewed it."),
                ("sessions BIGINT", "Sessions in which it was viewed."),
                (
                    "mean_dwell_seconds, median_dwell_seconds DOUBLE",
                    "Time to the next view of the session, over the views that have one; NULL where none has.",
                ),
                ("entries, exits BIGINT", "Sessions whose first and whose last view it is."),
                ("exit_rate DOUBLE", "exits / views."),
                ("bounces BIGINT", "Bounces that began with it."),
            ],
            text: TEXT,
            example: "SELECT page, views, users, sessions, median_dwell_seconds, entries, exits, round(exit_rate, 3) AS exit_rate, bounces\nFROM pages(events, page => event, gap => INTERVAL '30 minutes')\nORDER BY views DESC",
        }
    }

    fn plan(&self, call: &mut Call) -> Result<LogicalPlan> {
        let question = SessionCall::read(call, &OUTPUT, Wanted { pages: true, conversion: false, period: false })?;
        if !question.has_page {
            return Err(call
                .error("no page column found: there is no event column either")
                .hint("name it with page => column"));
        }
        Ok(compose(call, &question)?)
    }
}

/// Sums are of whole numbers, so that no order of additions shows in them.
fn compose(call: &Call, question: &SessionCall) -> datafusion::error::Result<LogicalPlan> {
    let view = |name: &str| item().field(name);
    let mut columns = question.by_columns();
    let mut keys: Vec<Expr> = question.by.iter().map(|b| column(&b.name)).collect();
    keys.push(col("page"));
    columns.extend([
        question.page("page").alias("page"),
        view("first_of_user").alias("(users)"),
        view("first_of_session").alias("(sessions)"),
        cast(view("ticks"), DataType::Decimal128(20, 0)).alias("(ticks)"),
        view("ticks").alias("(middle)"),
        view("entry").alias("(entries)"),
        view("exit").alias("(exits)"),
        view("bounce").alias("(bounces)"),
    ]);
    let count_of =
        |name: &str| -> datafusion::error::Result<Expr> { Ok(count_rows().filter(column(name)).build()?.alias(name)) };
    let counts = vec![
        count_rows().alias("views"),
        count_of("(users)")?,
        count_of("(sessions)")?,
        count_of("(entries)")?,
        count_of("(exits)")?,
        count_of("(bounces)")?,
        count(column("(ticks)")).alias("(dwells)"),
        sum(column("(ticks)")).alias("(ticks)"),
        middle(call.room("middle")).call(vec![column("(middle)")]).alias("(middle)"),
    ];
    let number = |expr: Expr| cast(expr, DataType::Float64);
    let mean = when(column("(dwells)").gt(lit(0i64)), question.seconds(column("(ticks)")) / number(column("(dwells)")))
        .end()?;
    let mut output: Vec<Expr> = question.by.iter().map(|b| unkeyed(&b.name)).collect();
    output.extend([
        unkeyed("page"),
        col("views"),
        column("(users)").alias("users"),
        column("(sessions)").alias("sessions"),
        mean.alias("mean_dwell_seconds"),
        question.median_seconds(column("(middle)")).alias("median_dwell_seconds"),
        column("(entries)").alias("entries"),
        column("(exits)").alias("exits"),
        (number(column("(exits)")) / number(col("views"))).alias("exit_rate"),
        column("(bounces)").alias("bounces"),
    ]);
    let mut order: Vec<_> = question.by.iter().map(|b| column(&b.name).sort(true, true)).collect();
    order.extend([col("views").sort(false, true), col("page").sort(true, true)]);
    LogicalPlanBuilder::from(question.rows(call, user_views())?)
        .project(columns)?
        .aggregate(keys, counts)?
        .project(output)?
        .sort(order)?
        .build()
}

const TEXT: &str = "\
Sessions and views are those of `sessions` for the same arguments, so entries and exits each sum to the sessions that have \
a view. A view lasts until the next view of its session, whatever page that is of; how long the last one lasts is not \
known, and other events do not tell. Of views at the same time all but the last last 0 seconds. With `by`, the value at \
the session's first event, a user counts once for each value.

Memory: that of `sessions`, 24 bytes for each view of the user looked at, and some 4 bytes for each dwell, \
which go to a temporary file beyond 128 MB or an eighth of the memory limit.";
