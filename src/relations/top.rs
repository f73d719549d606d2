//! `FROM top(...)`: the values of a property by their users, with shares.

use arrow::datatypes::DataType;
use datafusion::common::{JoinType, NullEquality};
use datafusion::functions_aggregate::expr_fn::{count, sum};
use datafusion::functions_window::row_number::row_number_udwf;
use datafusion::logical_expr::expr::{WindowFunction, WindowFunctionParams};
use datafusion::logical_expr::{
    Expr, LogicalPlan, LogicalPlanBuilder, WindowFrame, WindowFunctionDefinition, cast, col, lit,
};

use super::Relation;
use super::active::{ACTIVE, ActivePeriods, BY_EVENTS};
use super::argument::{Argument, Kind, docs};
use super::call::Call;
use super::expressions::{column, count_rows, unkeyed};
use super::shared::{AS_OF, BY, TZ, with_roles};
use crate::error::{Error, Result};
use crate::functions::{FunctionDoc, FunctionKind};

/// The relation.
#[derive(Debug)]
pub struct Top;

const PROPERTY: Argument = Argument::needed("property", Kind::Column, "Whose values are counted; NULL is a value.");
const N: Argument =
    Argument::with_default("n", Kind::Whole(1, 100_000), "10", "How many values, 1 to 100000; with `by`, of each.");

/// Names of columns in the answer and on the way.
const TAKEN: [&str; 8] = ["rank", "users", "rate", "events", "events_rate", "all_users", "all_events", "n"];

impl Relation for Top {
    fn arguments(&self) -> Vec<Argument> {
        let active = ACTIVE.meaning("Which events are counted.");
        with_roles(&[PROPERTY, N, active, BY.meaning(BY_EVENTS), AS_OF, TZ])
    }

    fn doc(&self) -> FunctionDoc {
        FunctionDoc {
            name: "top",
            kind: FunctionKind::Relation,
            summary: "The values of a property that most users have, with their shares",
            syntax: "top(table, property => country [, n => 10] [, active => ..] [, by => ..])",
            arguments: docs(&self.arguments()),
            returns: vec![
                ("by ..", "The breakdown columns, under their own names."),
                (
                    "rank BIGINT",
                    "1 for the value with the most users; of equally many the one with more events, then the lesser value.",
                ),
                ("the property", "Under its own name."),
                ("users BIGINT", "Distinct users with an event of the value."),
                (
                    "rate DOUBLE",
                    "Of all users; a user has as many values as their events, so that the rates may add up to more than 1.",
                ),
                ("events BIGINT", "Events of the value."),
                ("events_rate DOUBLE", "Of all events, those of the values that are not shown included."),
            ],
            text: "Rows whose user or time is NULL take no part. Cost: two scans.",
            example: "SELECT rank, country, users, round(rate, 3) AS rate, events\nFROM top(events, property => country, n => 3)",
        }
    }

    fn plan(&self, call: &mut Call) -> Result<LogicalPlan> {
        let question = ActivePeriods::read(call, Some("day"), true, &TAKEN)?;
        let properties = call.breakdowns(&PROPERTY)?;
        let property = match properties.as_slice() {
            [property] => property,
            [] => return Err(call.required(&PROPERTY)),
            _ => return Err(call.error("argument 'property' must be one column")),
        };
        call.refuse_names(&properties, &TAKEN)?;
        if question.by.iter().any(|b| b.name == property.name) {
            return Err(call.error(format!("'{}' is both 'property' and 'by'", property.name)));
        }
        let n = call.whole(&N)?;
        compose(call, &question, &property.name, property.value.clone(), n).map_err(Error::from)
    }
}

fn compose(
    call: &Call,
    question: &ActivePeriods,
    name: &str,
    property: Expr,
    n: i64,
) -> datafusion::error::Result<LogicalPlan> {
    let by = || question.keys();
    let rows = || LogicalPlanBuilder::from(call.input().clone()).filter(question.takes_part());
    let user = question.roles.user.clone().alias("(user key)");
    let values = || question.by.iter().map(|b| b.value.clone().alias(b.name.as_str()));
    let keys = || std::iter::once(user.clone()).chain(values());

    let counted = rows()?
        .aggregate(keys().chain([property.alias(name)]), [count_rows().alias("events")])?
        .aggregate(by().chain([column(name)]), [count(lit(1i64)).alias("users"), sum(col("events")).alias("events")])?;
    let rank = Expr::from(WindowFunction {
        fun: WindowFunctionDefinition::WindowUDF(row_number_udwf()),
        params: WindowFunctionParams {
            args: vec![],
            partition_by: by().collect(),
            order_by: vec![
                col("users").sort(false, false),
                col("events").sort(false, false),
                column(name).sort(true, true),
            ],
            window_frame: WindowFrame::new(Some(true)),
            filter: None,
            null_treatment: None,
            distinct: false,
        },
    });
    let ranked = counted.window([rank.alias("n")])?.filter(col("n").lt_eq(lit(n as u64)))?;

    // All users of each `by` value: one with several property values is one.
    let of_all = |name: &str| format!("{name} of all");
    let renamed = question.by.iter().map(|b| column(&b.name).alias(of_all(&b.name)));
    let totals = rows()?
        .aggregate(keys(), [count_rows().alias("all_events")])?
        .aggregate(by(), [count(lit(1i64)).alias("all_users"), sum(col("all_events")).alias("all_events")])?
        .project(renamed.chain([col("all_users"), col("all_events")]))?
        .build()?;
    let joined = match question.by.is_empty() {
        true => ranked.cross_join(totals)?,
        false => {
            let here: Vec<String> = question.by.iter().map(|b| b.name.clone()).collect();
            let there: Vec<String> = here.iter().map(|name| of_all(name)).collect();
            let [here, there] = [here, there]
                .map(|names| names.into_iter().map(datafusion::common::Column::from_name).collect::<Vec<_>>());
            ranked.join_detailed(totals, JoinType::Inner, (here, there), None, NullEquality::NullEqualsNull)?
        }
    };
    let share = |part: &str, all: &str| cast(col(part), DataType::Float64) / cast(col(all), DataType::Float64);
    let mut output: Vec<Expr> = question.by.iter().map(|b| unkeyed(&b.name)).collect();
    output.extend([
        cast(col("n"), DataType::Int64).alias("rank"),
        unkeyed(name),
        col("users"),
        share("users", "all_users").alias("rate"),
        col("events"),
        share("events", "all_events").alias("events_rate"),
    ]);
    let order: Vec<_> = by().chain([col("rank")]).map(|c| c.sort(true, true)).collect();
    joined.project(output)?.sort(order)?.build()
}
