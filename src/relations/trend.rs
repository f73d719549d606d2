//! `FROM trend(...)`: events, users and sums of every period, with growth and moving averages.

use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::common::{Column, NullHandling, UnnestOptions};
use datafusion::functions::core::expr_ext::FieldAccessor;
use datafusion::functions::core::expr_fn::named_struct;
use datafusion::functions_aggregate::expr_fn::{array_agg, count, max, min, sum};
use datafusion::functions_aggregate::min_max::{max_udaf, min_udaf};
use datafusion::functions_window::lead_lag::lag_udwf;
use datafusion::logical_expr::expr::{WindowFunction, WindowFunctionParams};
use datafusion::logical_expr::{
    Expr, LogicalPlan, LogicalPlanBuilder, WindowFrame, WindowFunctionDefinition, cast, col, lit, when,
};

use super::Relation;
use super::active::{ACTIVE, ActivePeriods, BY_EVENTS, DAY_UNIT};
use super::argument::{Argument, Kind, docs};
use super::call::Call;
use super::expressions::{column, count_rows, over_all, unkeyed};
use super::measure::Measure;
use super::shared::{AS_OF, BY, TZ, WEEK_START, with_roles};
use crate::error::{Error, Result};
use crate::functions::moving_mean::{MOST, moving_mean};
use crate::functions::period::{period_number, period_rows};
use crate::functions::{FunctionDoc, FunctionKind};

/// The relation.
#[derive(Debug)]
pub struct Trend;

const VALUE: Argument = Argument::optional("value", Kind::NumberColumn, "nothing", "What is added up, as `total`.");
const MOVING: Argument =
    Argument::optional("moving", Kind::Whole(2, MOST), "nothing", "Periods of the moving averages, 2 to 1000.");

/// Names of columns in the answer and on the way.
const TAKEN: [&str; 19] = [
    "period",
    "events",
    "users",
    "total",
    "events_growth",
    "users_growth",
    "total_growth",
    "events_year_growth",
    "users_year_growth",
    "total_year_growth",
    "events_average",
    "users_average",
    "total_average",
    "complete",
    "known",
    "first",
    "last",
    "row",
    "as_of",
];

impl Relation for Trend {
    fn arguments(&self) -> Vec<Argument> {
        let active = ACTIVE.meaning("Which events are counted.");
        with_roles(&[active, DAY_UNIT, VALUE, MOVING, BY.meaning(BY_EVENTS), AS_OF, TZ, WEEK_START])
    }

    fn doc(&self) -> FunctionDoc {
        FunctionDoc {
            name: "trend",
            kind: FunctionKind::Relation,
            summary: "Events, users and sums of every period, with growth and moving averages",
            syntax: "trend(table [, active => ..], unit => 'day' [, value => ..] [, moving => 7] [, by => ..])",
            arguments: docs(&self.arguments()),
            returns: vec![
                ("by ..", "The breakdown columns, under their own names."),
                ("period DATE", "First local date of the period."),
                ("events BIGINT", "Events in it."),
                ("users BIGINT", "Distinct users with one."),
                (
                    "total",
                    "The sum of `value`: BIGINT, DECIMAL or DOUBLE as the column is; NULL without a value. Only with `value`.",
                ),
                (
                    "events_growth, users_growth, total_growth DOUBLE",
                    "Change against the period before, as a share of it; NULL where that is 0, NULL, or before the data.",
                ),
                (
                    "events_year_growth, users_year_growth, total_year_growth DOUBLE",
                    "The same against the period a year ago: 52 weeks for days and weeks, so that weekdays meet.",
                ),
                (
                    "events_average, users_average, total_average DOUBLE",
                    "Means of the last `moving` periods, this one included; NULL where they reach back before the data. Only with `moving`.",
                ),
                ("complete BOOLEAN", "Whether the period has ended at `as_of`."),
            ],
            text: TEXT,
            example: "SELECT period, events, users, total, round(total_growth, 3) AS growth, complete\nFROM trend(events, active => 'purchase', unit => 'month', value => price) LIMIT 3",
        }
    }

    fn plan(&self, call: &mut Call) -> Result<LogicalPlan> {
        let question = ActivePeriods::read(call, None, true, &TAKEN)?;
        let value = Measure::read(call, &VALUE)?;
        let moving = call.integer(&MOVING)?;
        compose(call, &question, value.as_ref(), moving).map_err(Error::from)
    }
}

fn compose(
    call: &Call,
    question: &ActivePeriods,
    value: Option<&Measure>,
    moving: Option<i64>,
) -> datafusion::error::Result<LogicalPlan> {
    let by = || question.keys();
    let roles = &question.roles;
    let mut number = vec![roles.time.clone()];
    number.extend(question.words());

    // Each user once a period, then the periods, then the periods of each value as one list.
    let keys = [roles.user.clone().alias("(user key)"), period_number().call(number).alias("period")];
    let keys = keys.into_iter().chain(question.by.iter().map(|b| b.value.clone().alias(b.name.as_str())));
    let mut per_user = vec![count_rows().alias("events")];
    let mut per_period = vec![sum(col("events")).alias("events"), count(lit(1i64)).alias("users")];
    let mut measures = vec!["events", "users"];
    if let Some(value) = value {
        per_user.push(value.part().alias("total"));
        per_period.push(value.merged(col("total")).alias("total"));
        measures.push("total");
    }
    let fields = std::iter::once("period").chain(measures.iter().copied());
    let known = named_struct(fields.flat_map(|name| [lit(name), col(name)]).collect());
    let listed = LogicalPlanBuilder::from(call.input().clone())
        .filter(question.takes_part())?
        .aggregate(keys, per_user)?
        .aggregate(by().chain([col("period")]), per_period)?
        .aggregate(
            by(),
            [
                array_agg(known).alias("known"),
                min(col("period")).alias("first_here"),
                max(col("period")).alias("last_here"),
            ],
        )?
        // Without rows there is no list either.
        .filter(col("first_here").is_not_null())?
        .window([
            over_all(min_udaf(), vec![col("first_here")]).alias("first"),
            over_all(max_udaf(), vec![col("last_here")]).alias("last"),
        ])?
        .cross_join(question.reach.row(call, roles)?)?;

    let mut rows = vec![col("known"), col("first"), col("last"), col("as_of")];
    rows.extend(question.words());
    let row = |name: &str| col("row").field(name);
    let mut columns: Vec<Expr> = question.by.iter().map(|b| unkeyed(&b.name)).collect();
    columns.push(row("period").alias("period"));
    columns.extend(measures.iter().map(|name| row(name).alias(*name)));
    columns.push(row("complete").alias("complete"));
    let dense = listed
        .project(by().chain([period_rows().call(rows).alias("row")]))?
        .unnest_column_with_options(
            Column::from_name("row"),
            UnnestOptions::new().with_null_handling(NullHandling::Drop),
        )?
        .project(columns)?;

    let before = |name: &str, periods: i64| over_periods(question, lagged(), vec![col(name), lit(periods)]);
    let year = question.periods_of_a_year();
    let mut windows = Vec::new();
    for name in &measures {
        windows.push(before(name, 1).alias(format!("{name} before")));
        // Of years it is the same one.
        if year > 1 {
            windows.push(before(name, year).alias(format!("{name} a year ago")));
        }
        if let Some(moving) = moving {
            let mean = WindowFunctionDefinition::WindowUDF(Arc::new(moving_mean()));
            windows.push(over_periods(question, mean, vec![col(*name), lit(moving)]).alias(format!("{name}_average")));
        }
    }
    let number = |e: Expr| cast(e, DataType::Float64);
    let growth = |name: &str, before: &str| {
        let before = number(column(&format!("{name} {before}")));
        when(before.clone().gt(lit(0f64)), (number(col(name)) - before.clone()) / before).end()
    };
    let mut output: Vec<Expr> = by().collect();
    output.push(col("period"));
    output.extend(measures.iter().map(|name| col(*name)));
    for name in &measures {
        output.push(growth(name, "before")?.alias(format!("{name}_growth")));
    }
    for name in &measures {
        output.push(growth(name, if year > 1 { "a year ago" } else { "before" })?.alias(format!("{name}_year_growth")));
    }
    if moving.is_some() {
        output.extend(measures.iter().map(|name| col(format!("{name}_average"))));
    }
    output.push(col("complete"));
    let order: Vec<_> = by().chain([col("period")]).map(|c| c.sort(true, true)).collect();
    dense.window(windows)?.project(output)?.sort(order)?.build()
}

fn lagged() -> WindowFunctionDefinition {
    WindowFunctionDefinition::WindowUDF(lag_udwf())
}

/// A window over the periods of each value in their order.
fn over_periods(question: &ActivePeriods, fun: WindowFunctionDefinition, args: Vec<Expr>) -> Expr {
    Expr::from(WindowFunction {
        fun,
        params: WindowFunctionParams {
            args,
            partition_by: question.keys().collect(),
            order_by: vec![col("period").sort(true, true)],
            window_frame: WindowFrame::new(Some(true)),
            filter: None,
            null_treatment: None,
            distinct: false,
        },
    })
}

const TEXT: &str = "\
Every period from the first with an event to the one that `as_of` lies in has a row, zeros included, and all `by` values have the \
same periods. A user counts once a period, exactly; the users of periods do not add up to those of a longer one.

Growth is NULL where the period compared with has nothing, or less than nothing: a share of that has no meaning. The last period has \
usually not ended: it has `complete = false`, and its growth is that of what there is so far. With `by` a \
user counts under each value of their events. Rows whose user or time is NULL take no part. Sums of doubles are rounded once, so \
that no order of rows shows in them. At most 10,000 periods are reported.";
