//! `FROM stickiness(...)`: users by the number of days on which they were active; `FROM streaks(...)`: runs of active days.

use arrow::datatypes::DataType;
use datafusion::functions::core::expr_ext::FieldAccessor;
use datafusion::functions_nested::expr_fn::{array_element, array_length, make_array};
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, cast, col, lit};

use super::Relation;
use super::active::{ACTIVE, ActivePeriods, BY_EVENTS, DAY_UNIT, PERIODS};
use super::argument::{Argument, Kind, docs};
use super::call::Call;
use super::expressions::{column, count_rows, unkeyed};
use super::shared::{AS_OF, BY, TZ, WEEK_START, with_roles};
use crate::error::{Error, Result};
use crate::functions::period::{active_streaks, periods_within};
use crate::functions::retention::retention_cells;
use crate::functions::{FunctionDoc, FunctionKind};

/// Users by active periods.
#[derive(Debug)]
pub struct Stickiness;

/// The runs of each user.
#[derive(Debug)]
pub struct Streaks;

/// The most periods that are looked back over.
const MAX_PERIODS: i64 = 1_000;

const LOOKED_AT: Argument = Argument::with_default(
    "periods",
    Kind::Whole(1, MAX_PERIODS),
    "30",
    "How many periods are looked at: the last ones up to `as_of`.",
);
const CUMULATIVE: Argument = Argument::with_default(
    "cumulative",
    Kind::Switch,
    "false",
    "Whether a row counts the users active in at least so many periods, in place of exactly so many.",
);

const STICKINESS: [&str; 8] = ["active_periods", "users", "rate", "within", "cells", "size", "as_of", "reached"];
const STREAKS: [&str; 9] =
    ["current", "longest", "longest_from", "active_periods", "last_active", "as_of", "reached", "streaks", "row"];

impl Relation for Stickiness {
    fn arguments(&self) -> Vec<Argument> {
        with_roles(&[ACTIVE, DAY_UNIT, LOOKED_AT, CUMULATIVE, BY.meaning(BY_EVENTS), AS_OF, TZ, WEEK_START])
    }

    fn doc(&self) -> FunctionDoc {
        FunctionDoc {
            name: "stickiness",
            kind: FunctionKind::Relation,
            summary: "Users by the number of days, weeks or months on which they were active",
            syntax: "stickiness(table [, active => ..], unit => 'day', periods => 30 [, cumulative => true] [, by => ..])",
            arguments: docs(&self.arguments()),
            returns: vec![
                ("by ..", "The breakdown columns, under their own names."),
                ("active_periods BIGINT", "1 to `periods`."),
                ("users BIGINT", "Users active in exactly (at least) so many of the periods."),
                ("rate DOUBLE", "users / the users active in any of the periods."),
            ],
            text: STICKINESS_TEXT,
            example: "SELECT active_periods, users, round(rate, 3) AS rate\nFROM stickiness(events, unit => 'week', periods => 4, cumulative => true)",
        }
    }

    fn plan(&self, call: &mut Call) -> Result<LogicalPlan> {
        let question = ActivePeriods::read(call, None, true, &STICKINESS)?;
        let periods = call.whole(&LOOKED_AT)?;
        let kind = if call.switch(&CUMULATIVE)? { "on_or_after" } else { "on" };
        stickiness(call, &question, periods, kind).map_err(Error::from)
    }
}

impl Relation for Streaks {
    fn arguments(&self) -> Vec<Argument> {
        with_roles(&[ACTIVE, DAY_UNIT, AS_OF, TZ, WEEK_START])
    }

    fn doc(&self) -> FunctionDoc {
        FunctionDoc {
            name: "streaks",
            kind: FunctionKind::Relation,
            summary: "Of each user, how many days in a row they have been active",
            syntax: "streaks(table [, active => ..], unit => 'day')",
            arguments: docs(&self.arguments()),
            returns: vec![
                ("the user column", "Under its own name."),
                (
                    "current BIGINT",
                    "Active periods in a row up to now: a run that ends with the period of `as_of` or, while that has not ended, the one before; 0 without.",
                ),
                ("longest BIGINT", "Periods of the longest run."),
                ("active_periods BIGINT", "Active periods in all."),
            ],
            text: STREAKS_TEXT,
            example: "SELECT user_id, current, longest, active_periods\nFROM streaks(events)\nORDER BY longest DESC, user_id LIMIT 3",
        }
    }

    fn plan(&self, call: &mut Call) -> Result<LogicalPlan> {
        let question = ActivePeriods::read(call, None, false, &[])?;
        if STREAKS.contains(&question.roles.user_name.as_str()) {
            return Err(call.error(format!(
                "the user column '{}' has the name of a result column; give it another in (SELECT ..)",
                question.roles.user_name
            )));
        }
        streaks(call, &question).map_err(Error::from)
    }
}

fn stickiness(
    call: &Call,
    question: &ActivePeriods,
    periods: i64,
    kind: &str,
) -> datafusion::error::Result<LogicalPlan> {
    let by = || question.keys();
    let within = periods_within().call(vec![column(PERIODS), col("reached").field("reached"), lit(periods)]);
    let cells = retention_cells().call(vec![make_array(vec![col("within")]), lit(periods), lit(kind)]);
    let rows: Vec<Vec<Expr>> = (1..=periods).map(|n| vec![lit(n)]).collect();
    let numbers = LogicalPlanBuilder::values(rows)?.project([col("column1").alias("active_periods")])?.build()?;
    let users = array_element(col("cells"), col("active_periods") + lit(1i64));
    let rate = cast(users.clone(), DataType::Float64) / cast(col("size"), DataType::Float64);
    let mut output: Vec<Expr> = question.by.iter().map(|b| unkeyed(&b.name)).collect();
    output.extend([col("active_periods"), users.alias("users"), rate.alias("rate")]);
    let order: Vec<_> = by().chain([col("active_periods")]).map(|c| c.sort(true, true)).collect();
    question
        .users_and_reach(call, false, Some(periods))?
        .project(by().chain([within.alias("within")]))?
        .filter(col("within").gt(lit(0i64)))?
        .aggregate(by(), [count_rows().alias("size"), cells.alias("cells")])?
        .filter(col("size").gt(lit(0i64)))?
        .cross_join(numbers)?
        .project(output)?
        .sort(order)?
        .build()
}

fn streaks(call: &Call, question: &ActivePeriods) -> datafusion::error::Result<LogicalPlan> {
    let user = || column(&question.roles.user_name);
    let runs = active_streaks().call(vec![column(PERIODS), col("reached").field("ended")]);
    let part = |name: &str| col("streaks").field(name).alias(name);
    question
        .users_and_reach(call, true, None)?
        .project([
            user(),
            runs.alias("streaks"),
            cast(array_length(column(PERIODS)), DataType::Int64).alias("active_periods"),
        ])?
        .project([user(), part("current"), part("longest"), col("active_periods")])?
        .build()
}

const STICKINESS_TEXT: &str = "\
The last `periods` periods end with the one that `as_of` lies in; an `as_of` that is exactly the beginning of a period ends with the one \
before, unless there is an activity at that very instant. Every number from 1 to `periods` has a row, zeros included. The rates of exact counts add up to 1; cumulative, the first is 1 \
and they never rise. With `by` a user counts under each value of their events.

Rows whose user or time is NULL take no part. Without any activity in the periods there are no rows.";

const STREAKS_TEXT: &str = "\
A row for each user with an activity. A run is broken by a whole period without one: while the period of `as_of` has not ended, a \
run that ends with the period before it is still current.

Rows whose user or time is NULL take no part. The rows come in no order. Over rows that are ordered by user the memory does \
not grow with the users.";
