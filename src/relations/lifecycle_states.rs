//! `FROM lifecycle_states(...)`: how many users are new, active, at risk and churned at one moment.
//!
//! Does not deal with: how they came there period by period (`lifecycle`).

use arrow::datatypes::DataType;
use datafusion::functions::core::expr_ext::FieldAccessor;
use datafusion::functions_aggregate::expr_fn::sum;
use datafusion::functions_nested::expr_fn::array_element;
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, cast, col, lit, when};

use super::Relation;
use super::active::{ACTIVE, ActivePeriods, BY_EVENTS, PERIODS};
use super::argument::{Argument, Kind, docs};
use super::call::Call;
use super::expressions::{column, count_rows, unkeyed};
use super::shared::{AS_OF, BY, TZ, UNIT, WEEK_START, with_roles};
use crate::error::{Error, Result};
use crate::functions::{FunctionDoc, FunctionKind};

/// The relation.
#[derive(Debug)]
pub struct LifecycleStates;

/// When a user is lost.
pub(super) const CHURNED_AFTER: Argument = Argument::with_default(
    "churned_after",
    Kind::Whole(1, 10_000),
    "4",
    "How many periods without an activity make a user churned; with fewer, but one at least, a user is at risk.",
);

/// The states, in the order of the answer.
pub(super) const STATES: [&str; 4] = ["new", "active", "at_risk", "churned"];
const TAKEN: [&str; 7] = ["state", "users", "share", "reached", "as_of", "size", "place"];

impl Relation for LifecycleStates {
    fn arguments(&self) -> Vec<Argument> {
        with_roles(&[ACTIVE, UNIT, CHURNED_AFTER, BY.meaning(BY_EVENTS), AS_OF, TZ, WEEK_START])
    }

    fn doc(&self) -> FunctionDoc {
        FunctionDoc {
            name: "lifecycle_states",
            kind: FunctionKind::Relation,
            summary: "How many users are new, active, at risk and churned at one moment",
            syntax: "lifecycle_states(table [, active => ..], unit => 'week', churned_after => 4 [, as_of => ..] [, by => ..])",
            arguments: docs(&self.arguments()),
            returns: vec![
                ("by ..", "The breakdown columns, under their own names."),
                ("state TEXT", "`new`, `active`, `at_risk`, `churned`, in this order."),
                ("users BIGINT", "Users in it."),
                ("share DOUBLE", "users / all users with an activity so far."),
            ],
            text: TEXT,
            example: "SELECT state, users, round(share, 3) AS share\nFROM lifecycle_states(events, unit => 'week', churned_after => 4)",
        }
    }

    fn plan(&self, call: &mut Call) -> Result<LogicalPlan> {
        let question = ActivePeriods::read(call, None, true, &TAKEN)?;
        let churned_after = call.whole(&CHURNED_AFTER)?;
        states(call, &question, churned_after).map_err(Error::from)
    }
}

fn states(call: &Call, question: &ActivePeriods, churned_after: i64) -> datafusion::error::Result<LogicalPlan> {
    let by = || question.keys();
    let period = |at: i64| cast(array_element(column(PERIODS), lit(at)), DataType::Int64);
    let now = || cast(col("reached").field("reached"), DataType::Int64);
    let place = when(period(1).gt_eq(now()), lit(0i64))
        .when(period(-1).gt_eq(now()), lit(1i64))
        .when((now() - period(-1)).lt(lit(churned_after)), lit(2i64))
        .otherwise(lit(3i64))?;
    let counts = (0i64..4)
        .map(|at| {
            let one = when(col("place").eq(lit(at)), lit(1i64)).otherwise(lit(0i64))?;
            Ok(sum(one).alias(format!("place {at}")))
        })
        .collect::<datafusion::error::Result<Vec<_>>>()?;
    let rows = (0i64..).zip(STATES).map(|(at, state)| vec![lit(at), lit(state)]).collect::<Vec<_>>();
    let names = LogicalPlanBuilder::values(rows)?
        .project([col("column1").alias("place"), col("column2").alias("state")])?
        .build()?;
    let users = (0i64..3).rev().try_fold(column("place 3"), |other, at| {
        when(col("place").eq(lit(at)), column(&format!("place {at}"))).otherwise(other)
    })?;
    let share = cast(users.clone(), DataType::Float64) / cast(col("size"), DataType::Float64);
    let mut output: Vec<Expr> = question.by.iter().map(|b| unkeyed(&b.name)).collect();
    output.extend([col("state"), users.alias("users"), share.alias("share"), col("place")]);
    let mut shown: Vec<Expr> = by().collect();
    shown.extend([col("state"), col("users"), col("share")]);
    let order: Vec<_> = by().chain([col("place")]).map(|c| c.sort(true, true)).collect();
    question
        .users_and_reach(call, false, None)?
        .project(by().chain([place.alias("place")]))?
        .aggregate(by(), counts.into_iter().chain([count_rows().alias("size")]))?
        .filter(col("size").gt(lit(0i64)))?
        .cross_join(names)?
        .project(output)?
        .sort(order)?
        .project(shown)?
        .build()
}

const TEXT: &str = "\
The moment is `as_of`, or the largest time in the data; what counts is the period that it lies in (exactly at the beginning of a period: the \
one before, unless there is an activity at that very instant). `new`: the first activity of all is in that period. `active`: an activity in it, and an earlier one before. `at_risk`: the last \
activity is 1 to `churned_after` - 1 periods before it. `churned`: it is longer ago. Every state has a row, zeros included, and the users \
of the four are everybody with an activity so far. While the period has not ended, some who are still to come are at risk.

With `by` a user counts under each value of their events. Rows whose user or time is NULL take no part; without any activity there are no \
rows.";
