//! `FROM funnel(...)`: how many users reach each step within a window, and how long it takes them; `FROM
//! funnel_users(...)`: who they are.

mod arguments;
mod call;
mod manual;
mod users;

use datafusion::functions::core::expr_ext::FieldAccessor;
use datafusion::functions::core::expr_fn::coalesce;
use datafusion::functions_aggregate::expr_fn::max;
use datafusion::functions_nested::expr_fn::array_element;
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, SortExpr, col, lit};

use self::call::{FunnelCall, free_name};
use super::Relation;
use super::argument::Argument;
use super::call::Call;
use super::expressions::{column, unkeyed};
use super::reach::AS_OF;
use crate::error::{Error, Result};
use crate::functions::FunctionDoc;
use crate::functions::funnel::funnel_steps;

pub use self::users::FunnelUsers;

/// The relation.
#[derive(Debug)]
pub struct Funnel;

impl Relation for Funnel {
    fn arguments(&self) -> Vec<Argument> {
        arguments::funnel()
    }

    fn doc(&self) -> FunctionDoc {
        manual::funnel()
    }

    fn plan(&self, call: &mut Call) -> Result<LogicalPlan> {
        let question = FunnelCall::read(call)?;
        let output = output(&question);
        let mut reserved = output.to_vec();
        if question.by_period() {
            reserved.extend(["period", "complete", AS_OF]);
        }
        question.check_names(call, &reserved)?;
        report(call, &question, &output).map_err(Error::from)
    }
}

/// The columns after the `by` columns and the period.
fn output(question: &FunnelCall) -> [&'static str; 10] {
    [
        "step",
        "name",
        if question.every_passage() { "completions" } else { "users" },
        "conversion",
        "step_conversion",
        "dropped",
        "median_seconds",
        "mean_seconds",
        "p90_seconds",
        "step_median_seconds",
    ]
}

/// The chains, then the report over them.
fn report(call: &Call, question: &FunnelCall, output: &[&str]) -> datafusion::error::Result<LogicalPlan> {
    let (chains, names) = question.chains(call, None, &[])?;
    let groups = question.by_names();
    let group_columns = || groups.iter().map(|name| column(name));
    let chain = || column(names.chain.as_str());
    let reported = free_name("report", |name| groups.iter().any(|g| g == name));
    let mut kept: Vec<Expr> = vec![chain()];
    kept.extend(question.by_values(&names));

    let mut shown: Vec<Expr> = groups.iter().map(|name| unkeyed(name)).collect();
    let element = || array_element(column(reported.as_str()), col("step"));
    shown.extend(output.iter().map(|name| match *name {
        "step" | "name" => col(*name),
        "completions" => element().field("users").alias(*name),
        other => element().field(other).alias(other),
    }));
    if question.by_period() {
        let complete = coalesce(vec![question.has_ended(column(LAST_ENTRY), col(AS_OF))?, lit(false)]);
        shown.push(complete.alias("complete"));
        kept.push(question.last_entry(&names).alias(LAST_ENTRY));
    }
    let mut arguments = vec![chain(), lit(question.steps() as i64)];
    if question.optional_bits() != 0 {
        arguments.push(lit(question.optional_bits()));
    }
    // The report is a list with an element a step, spread by a join with the steps.
    let rows = step_names(question).into_iter().zip(1i32..).map(|(name, step)| vec![lit(step), lit(name)]).collect();
    let steps =
        LogicalPlanBuilder::values(rows)?.project([col("column1").alias("step"), col("column2").alias("name")])?;
    let order: Vec<SortExpr> =
        group_columns().map(|c| c.sort(true, true)).chain([col("step").sort(true, true)]).collect();
    let mut reports = vec![funnel_steps().call(arguments).alias(reported.as_str())];
    if question.by_period() {
        reports.push(max(column(LAST_ENTRY)).alias(LAST_ENTRY));
    }
    let mut rows = chains.project(kept)?.aggregate(group_columns(), reports)?.cross_join(steps.build()?)?;
    if question.by_period() {
        rows = rows.cross_join(question.reach(call)?)?;
    }
    rows.project(shown)?.sort(order)?.build()
}

/// A name that no column of the input has: when the latest entry of a period was.
const LAST_ENTRY: &str = "(last entry)";

/// What the rows are called. Where steps come in any order, a row is about how many of them were met.
fn step_names(question: &FunnelCall) -> Vec<String> {
    let count = question.steps();
    if !question.any_order() {
        return question.names.clone();
    }
    let anchored = |step: usize| question.anchors().contains(&(step as i64));
    (1..=count)
        .map(|step| {
            // Steps between two anchors change places among themselves alone.
            let first = (1..step).rev().take_while(|s| !anchored(*s)).last().unwrap_or(step);
            let last = (step + 1..=count).take_while(|s| !anchored(*s)).last().unwrap_or(step);
            if anchored(step) || first == last {
                question.names[step - 1].clone()
            } else {
                format!("{} of steps {first} to {last}", step - first + 1)
            }
        })
        .collect()
}
