//! `FROM session_summary(...)`: how many visits there were, how long and how deep, by property and by period.
//!
//! Deals with: counting over the rows of `sessions`. Does not deal with: what a session is.

use arrow::datatypes::DataType;
use datafusion::functions::core::expr_ext::FieldAccessor;
use datafusion::functions_aggregate::expr_fn::sum;
use datafusion::logical_expr::{Expr, ExprFunctionExt, LogicalPlan, LogicalPlanBuilder, cast, col, lit, when};

use super::Relation;
use super::argument::{Absent, Argument, docs};
use super::call::Call;
use super::expressions::{column, count_rows, unkeyed};
use super::session_call::{CONVERSION, SessionCall, Wanted, arguments, item};
use super::shared::{PERIOD, WEEK_START};
use crate::error::Result;
use crate::functions::middle::middle;
use crate::functions::session::user_sessions;
use crate::functions::{FunctionDoc, FunctionKind};

/// The relation.
#[derive(Debug)]
pub struct SessionSummary;

const OUTPUT: [&str; 9] = [
    "period",
    "sessions",
    "users",
    "bounce_rate",
    "mean_seconds",
    "median_seconds",
    "events_per_session",
    "views_per_session",
    "conversion",
];

impl Relation for SessionSummary {
    fn arguments(&self) -> Vec<Argument> {
        let period = Argument {
            absent: Absent::Words("all time"),
            ..PERIOD.meaning("`day`, `week`, `month`, `quarter` or `year` of the session's start.")
        };
        arguments(&[CONVERSION, period, WEEK_START])
    }

    fn doc(&self) -> FunctionDoc {
        FunctionDoc {
            name: "session_summary",
            kind: FunctionKind::Relation,
            summary: "How many visits there were, how long, how deep and how successful, by property and by period",
            syntax: "session_summary(table, gap => INTERVAL '30 minutes' [, by => ..] [, period => 'week'] [, conversion => ..])",
            arguments: docs(&self.arguments()),
            returns: vec![
                ("by .., first .., last ..", "The breakdown columns, under their own names."),
                ("period DATE", "First local date of the period; only where `period` is given."),
                ("sessions BIGINT", "Sessions that began in it."),
                ("users BIGINT", "Users with such a session."),
                ("bounce_rate DOUBLE", "Share of bounces, 0 to 1."),
                ("mean_seconds, median_seconds DOUBLE", "Duration, from the first to the last event."),
                ("events_per_session, views_per_session DOUBLE", "Means."),
                ("conversion DOUBLE", "Share of sessions with a conversion; NULL where `conversion` is not given."),
            ],
            text: TEXT,
            example: "SELECT channel, sessions, users, round(bounce_rate, 3) AS bounce_rate, median_seconds, round(conversion, 3) AS conversion\nFROM session_summary(events, gap => INTERVAL '30 minutes', conversion => 'purchase', by => channel)\nORDER BY channel",
        }
    }

    fn plan(&self, call: &mut Call) -> Result<LogicalPlan> {
        let question = SessionCall::read(call, &OUTPUT, Wanted { pages: false, conversion: true, period: true })?;
        Ok(compose(call, &question)?)
    }
}

/// Sums are of whole numbers, so that no order of additions shows in them.
fn compose(call: &Call, question: &SessionCall) -> datafusion::error::Result<LogicalPlan> {
    let session = |name: &str| item().field(name);
    let mut columns = question.by_columns();
    let mut keys: Vec<Expr> = question.by.iter().map(|b| column(&b.name)).collect();
    if question.period.is_some() {
        columns.push(session("period").alias("period"));
        keys.push(col("period"));
    }
    columns.extend([
        session("first").alias("(first)"),
        session("bounce").alias("(bounce)"),
        session("converted").alias("(converted)"),
        cast(session("ticks"), DataType::Decimal128(20, 0)).alias("(ticks)"),
        session("ticks").alias("(middle)"),
        session("events").alias("(events)"),
        session("views").alias("(views)"),
    ]);
    let count_of = |name: &str| {
        Ok::<_, datafusion::error::DataFusionError>(count_rows().filter(column(name)).build()?.alias(name))
    };
    let counts = vec![
        count_rows().alias("sessions"),
        count_of("(first)")?,
        count_of("(bounce)")?,
        count_of("(converted)")?,
        sum(column("(ticks)")).alias("(ticks)"),
        middle(call.room("middle")).call(vec![column("(middle)")]).alias("(middle)"),
        sum(column("(events)")).alias("(events)"),
        sum(column("(views)")).alias("(views)"),
    ];
    let sessions = || cast(col("sessions"), DataType::Float64);
    let known = || col("sessions").gt(lit(0i64));
    let mean = |total: Expr| when(known(), cast(total, DataType::Float64) / sessions()).end();
    let mut output: Vec<Expr> = question.by.iter().map(|b| unkeyed(&b.name)).collect();
    if question.period.is_some() {
        output.push(unkeyed("period"));
    }
    output.extend([
        col("sessions"),
        column("(first)").alias("users"),
        mean(column("(bounce)"))?.alias("bounce_rate"),
        when(known(), question.seconds(column("(ticks)")) / sessions()).end()?.alias("mean_seconds"),
        question.median_seconds(column("(middle)")).alias("median_seconds"),
        mean(column("(events)"))?.alias("events_per_session"),
        mean(column("(views)"))?.alias("views_per_session"),
        if question.has_conversion {
            mean(column("(converted)"))?
        } else {
            cast(lit(datafusion::common::ScalarValue::Null), DataType::Float64)
        }
        .alias("conversion"),
    ]);
    let order: Vec<_> = keys.iter().map(|key| key.clone().sort(true, true)).collect();
    let mut plan = LogicalPlanBuilder::from(question.rows(call, user_sessions())?)
        .project(columns)?
        .aggregate(keys, counts)?
        .project(output)?;
    if !order.is_empty() {
        plan = plan.sort(order)?;
    }
    plan.build()
}

const TEXT: &str = "\
Sessions are those of `sessions` for the same arguments, counted in the period in which they began, whichever their end. \
A user counts once in each row. `by` is the value at the session's first event. The median is continuous (the mean of the \
two middle durations where their number is even).

Without `by` and `period` there is always one row; with them, one for each value that some session has. Memory: that of \
`sessions`, and some 4 bytes for each session of a row, which go to a temporary file beyond 128 MB or an eighth of the memory limit.";
