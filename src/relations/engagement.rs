//! `FROM engagement(...)`: daily, weekly and monthly active users of every date, and how often they come.

use arrow::datatypes::DataType;
use datafusion::common::{Column, NullHandling, UnnestOptions};
use datafusion::functions::core::expr_ext::FieldAccessor;
use datafusion::functions_aggregate::min_max::{max_udaf, min_udaf};
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, cast, col, lit, when};

use super::Relation;
use super::active::{ACTIVE, ActivePeriods, BY_EVENTS, PERIODS};
use super::argument::{Argument, Kind, docs};
use super::call::Call;
use super::expressions::{column, over_all, unkeyed};
use super::shared::{AS_OF, BY, TZ, with_roles};
use crate::algo::engagement::MAX_DAYS;
use crate::error::{Error, Result};
use crate::functions::engagement::engagement_counts;
use crate::functions::period::period_rows;
use crate::functions::{FunctionDoc, FunctionKind};

/// The relation.
#[derive(Debug)]
pub struct Engagement;

const WEEK_DAYS: Argument =
    Argument::with_default("week_days", Kind::Whole(1, MAX_DAYS), "7", "Local dates of the trailing week, 1 to 366.");
const MONTH_DAYS: Argument = Argument::with_default(
    "month_days",
    Kind::Whole(1, MAX_DAYS),
    "30",
    "Local dates of the trailing month, 1 to 366; not below `week_days`.",
);

/// The columns of the answer and those on the way, which `by` columns must not be called like.
const TAKEN: [&str; 13] = [
    "date",
    "dau",
    "wau",
    "mau",
    "stickiness",
    "complete",
    "counts",
    "first",
    "last",
    "first_here",
    "last_here",
    "as_of",
    "row",
];

impl Relation for Engagement {
    fn arguments(&self) -> Vec<Argument> {
        with_roles(&[ACTIVE, WEEK_DAYS, MONTH_DAYS, BY.meaning(BY_EVENTS), AS_OF, TZ])
    }

    fn doc(&self) -> FunctionDoc {
        FunctionDoc {
            name: "engagement",
            kind: FunctionKind::Relation,
            summary: "Daily, weekly and monthly active users of every date",
            syntax: "engagement(table [, active => ..] [, by => ..] [, week_days => 7] [, month_days => 30])",
            arguments: docs(&self.arguments()),
            returns: vec![
                ("by ..", "The breakdown columns, under their own names."),
                ("date DATE", "The local date."),
                ("dau BIGINT", "Distinct users active on it."),
                ("wau BIGINT", "Distinct users active on the last `week_days` dates, this one included."),
                ("mau BIGINT", "Distinct users active on the last `month_days` dates, this one included."),
                (
                    "stickiness DOUBLE",
                    "Mean `dau` of the last `month_days` dates / `mau`: the share of days on which a monthly user comes. NULL \
                     where the month reaches back before the data, or has nobody.",
                ),
                ("complete BOOLEAN", "Whether the date has ended at `as_of`."),
            ],
            text: TEXT,
            example: "SELECT date, dau, wau, mau, round(stickiness, 3) AS stickiness\nFROM engagement(events)\nWHERE date BETWEEN DATE '2025-03-01' AND DATE '2025-03-03'",
        }
    }

    fn plan(&self, call: &mut Call) -> Result<LogicalPlan> {
        let question = ActivePeriods::read(call, Some("day"), true, &TAKEN)?;
        let week = call.whole(&WEEK_DAYS)?;
        let month = call.whole(&MONTH_DAYS)?;
        if week > month {
            return Err(call.error(format!("'week_days' ({week}) must not be above 'month_days' ({month})")));
        }
        compose(call, &question, week, month).map_err(Error::from)
    }
}

fn compose(call: &Call, question: &ActivePeriods, week: i64, month: i64) -> datafusion::error::Result<LogicalPlan> {
    let by = || question.keys();
    let part = |name: &str| col("counts").field(name);
    let counts = engagement_counts().call(vec![column(PERIODS), lit(week), lit(month)]);
    let counted =
        LogicalPlanBuilder::from(question.per_user(call, false)?).aggregate(by(), [counts.alias("counts")])?;
    // All breakdowns have the same dates: from the first activity of any to the reach of the data.
    let ends = counted.project(by().chain([
        col("counts"),
        part("first").alias("first_here"),
        part("last").alias("last_here"),
    ]))?;
    let ends = ends.window([
        over_all(min_udaf(), vec![col("first_here")]).alias("first"),
        over_all(max_udaf(), vec![col("last_here")]).alias("last"),
    ])?;
    let dated = ends.cross_join(question.reach.row(call, &question.roles)?)?;
    let mut rows = vec![part("days"), col("first"), col("last"), col("as_of")];
    rows.extend(question.words());
    let row = |name: &str| col("row").field(name);
    let number = |e: Expr| cast(e, DataType::Float64);
    let whole_month = (cast(row("period"), DataType::Int32) - col("first")).gt_eq(lit((month - 1) as i32));
    let stickiness = number(row("month_days")) / (number(row("mau")) * lit(month as f64));
    let stickiness = when(whole_month.and(row("mau").gt(lit(0i64))), stickiness).end()?;
    let mut output: Vec<Expr> = question.by.iter().map(|b| unkeyed(&b.name)).collect();
    output.push(row("period").alias("date"));
    output.extend(["dau", "wau", "mau"].map(|name| row(name).alias(name)));
    output.extend([stickiness.alias("stickiness"), row("complete").alias("complete")]);
    let order: Vec<_> = by().chain([col("date")]).map(|c| c.sort(true, true)).collect();
    dated
        .project(by().chain([col("first"), period_rows().call(rows).alias("row")]))?
        .unnest_column_with_options(
            Column::from_name("row"),
            UnnestOptions::new().with_null_handling(NullHandling::Drop),
        )?
        .project(output)?
        .sort(order)?
        .build()
}

const TEXT: &str = "\
Every date from the first with an activity to the one that `as_of` lies in has a row, zeros included, and all `by` values have \
the same dates. Users are counted once, exactly. `dau` never exceeds `wau`, nor `wau` `mau`; with `week_days => 1` `wau` is `dau`. \
In the first days of the data the week and the month reach back before them and hold what there is.

With `by` a user counts under each value of their events, so the counts of the values can add up to more than the users.

The last date has usually not ended: `complete` is false there. Rows whose user or time is NULL take no part; at most 10,000 \
dates are reported. Google Analytics counts 28 days in a month: `month_days => 28`.

Memory: 24 bytes a user and value, 8 for each further active day of users that are not yet done (all, where the rows are not \
ordered by user), 24 for each date of each value.";
