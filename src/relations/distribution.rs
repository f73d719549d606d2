//! `FROM distribution(...)`: users by how often they did something, or by how much it was worth, in buckets.

use arrow::datatypes::DataType;
use datafusion::common::ScalarValue;
use datafusion::functions_aggregate::expr_fn::sum;
use datafusion::functions_aggregate::sum::sum_udaf;
use datafusion::logical_expr::expr::WindowFunction;
use datafusion::logical_expr::{
    Expr, ExprFunctionExt, LogicalPlan, LogicalPlanBuilder, WindowFrame, cast, col, lit, when,
};

use super::Relation;
use super::active::{ACTIVE, ActivePeriods, BY_EVENTS};
use super::argument::{Argument, Kind, docs};
use super::call::Call;
use super::expressions::{column, count_rows, unkeyed};
use super::measure::Measure;
use super::shared::{AS_OF, BY, TZ, with_roles};
use crate::error::{Error, Result};
use crate::functions::{FunctionDoc, FunctionKind};

/// The relation.
#[derive(Debug)]
pub struct Distribution;

/// The most buckets.
const MOST: usize = 200;

const VALUE: Argument =
    Argument::optional("value", Kind::NumberColumn, "events are counted", "What is added up for each user.");
const BUCKETS: Argument = Argument::optional(
    "buckets",
    Kind::UpToNumbers(MOST),
    "[1, 2, 3, 5, 10, 20, 50, 100] for events",
    "Where buckets begin, ascending, 1 to 200 numbers; what is below the first has a bucket of its own.",
);
const OF_EVENTS: [f64; 8] = [1.0, 2.0, 3.0, 5.0, 10.0, 20.0, 50.0, 100.0];

const TAKEN: [&str; 9] =
    ["at_least", "below", "users", "rate", "cumulative_rate", "bucket", "measured", "of_bucket", "size"];

impl Relation for Distribution {
    fn arguments(&self) -> Vec<Argument> {
        with_roles(&[ACTIVE, VALUE, BUCKETS, BY.meaning(BY_EVENTS), AS_OF, TZ])
    }

    fn doc(&self) -> FunctionDoc {
        FunctionDoc {
            name: "distribution",
            kind: FunctionKind::Relation,
            summary: "Users by the number of their events, or by the sum of a measure, in buckets",
            syntax: "distribution(table [, active => ..] [, value => .., buckets => [0, 10, 100]] [, by => ..])",
            arguments: docs(&self.arguments()),
            returns: vec![
                ("by ..", "The breakdown columns, under their own names."),
                ("at_least DOUBLE", "Where the bucket begins; NULL for the one below the first."),
                ("below DOUBLE", "Where the next one begins; NULL for the last."),
                ("users BIGINT", "Users whose count or sum lies in it."),
                ("rate DOUBLE", "users / all users with such an event."),
                ("cumulative_rate DOUBLE", "The share of users in this bucket or a higher one."),
            ],
            text: TEXT,
            example: "SELECT at_least, below, users, round(rate, 3) AS rate\nFROM distribution(events, active => 'purchase', value => price, buckets => [0, 50, 100, 500])",
        }
    }

    fn plan(&self, call: &mut Call) -> Result<LogicalPlan> {
        let question = ActivePeriods::read(call, Some("day"), true, &TAKEN)?;
        let measure = Measure::read(call, &VALUE)?;
        let buckets = match (call.number_list(&BUCKETS)?, &measure) {
            (Some(buckets), _) => buckets,
            (None, None) => OF_EVENTS.to_vec(),
            (None, Some(_)) => return Err(call.error("'value' needs 'buckets', such as [0, 10, 100]")),
        };
        if let Some(pair) = buckets.windows(2).find(|pair| pair[0] >= pair[1]) {
            return Err(call.error(format!("argument 'buckets' must rise, got {} before {}", pair[0], pair[1])));
        }
        compose(call, &question, measure, &buckets).map_err(Error::from)
    }
}

fn compose(
    call: &Call,
    question: &ActivePeriods,
    measure: Option<Measure>,
    buckets: &[f64],
) -> datafusion::error::Result<LogicalPlan> {
    let by = || question.keys();
    let counts = measure.is_none();
    let measured = measure.map_or_else(count_rows, |measure| measure.total());
    let user = question.roles.user.clone().alias("(user key)");
    let values = question.by.iter().map(|b| b.value.clone().alias(b.name.as_str()));
    let measured_as_double = || cast(col("measured"), DataType::Float64);
    // The bucket is as far up as the measure comes.
    let place = (1i64..).zip(buckets).try_fold(lit(0i64), |below, (at, begins)| {
        when(measured_as_double().gt_eq(lit(*begins)), lit(at)).otherwise(below)
    })?;
    // Nobody has fewer events than one, so below it there is no bucket.
    let first = i64::from(counts && buckets[0] <= 1.0);
    let of_bucket = |at: i64| {
        let one = when(col("bucket").eq(lit(at)), lit(1i64)).otherwise(lit(0i64))?;
        Ok::<_, datafusion::error::DataFusionError>(sum(one).alias(format!("users of {at}")))
    };
    let places = first..=buckets.len() as i64;
    let sums = places.clone().map(of_bucket).collect::<datafusion::error::Result<Vec<_>>>()?;
    let end = |at: i64| ScalarValue::Float64(usize::try_from(at).ok().and_then(|at| buckets.get(at)).copied());
    let rows = places.clone().map(|at| vec![lit(at), lit(end(at - 1)), lit(end(at))]).collect::<Vec<_>>();
    let numbers = LogicalPlanBuilder::values(rows)?
        .project([col("column1").alias("bucket"), col("column2").alias("at_least"), col("column3").alias("below")])?
        .build()?;
    let users = places.clone().try_fold(lit(0i64), |other, at| {
        when(col("bucket").eq(lit(at)), column(&format!("users of {at}"))).otherwise(other)
    })?;
    let share = |of: Expr| cast(of, DataType::Float64) / cast(col("size"), DataType::Float64);
    let from_here = Expr::from(WindowFunction::new(sum_udaf(), vec![col("users")]))
        .partition_by(by().collect())
        .order_by(vec![col("bucket").sort(false, false)])
        .window_frame(WindowFrame::new(Some(true)))
        .build()?;
    let kept = || by().chain(["bucket", "at_least", "below", "size"].map(col));
    let mut output: Vec<Expr> = question.by.iter().map(|b| unkeyed(&b.name)).collect();
    output.extend([
        col("at_least"),
        col("below"),
        col("users"),
        share(col("users")).alias("rate"),
        share(col("of_bucket")).alias("cumulative_rate"),
    ]);
    let order: Vec<_> = by().chain([col("bucket")]).map(|c| c.sort(true, true)).collect();
    LogicalPlanBuilder::from(call.input().clone())
        .filter(question.takes_part())?
        .aggregate(std::iter::once(user).chain(values), [measured.alias("measured")])?
        .filter(col("measured").is_not_null())?
        .project(by().chain([place.alias("bucket")]))?
        .aggregate(by(), sums.into_iter().chain([count_rows().alias("size")]))?
        .filter(col("size").gt(lit(0i64)))?
        .cross_join(numbers)?
        .project(kept().chain([users.alias("users")]))?
        .window([from_here.alias("of_bucket")])?
        .sort(order)?
        .project(output)?
        .build()
}

const TEXT: &str = "\
A bucket holds the users whose number of events (or sum of `value`) is at least its begin and below that of the next one; every bucket has a \
row, zeros included. Sums of DOUBLE are rounded once, whatever the order of rows; a NaN is above every number. The rates add up to 1. Rows whose user or time is NULL take no part, nor do \
users whose every `value` is NULL. With `by` a user counts under each value of their events. Without such an event there are no rows.";
