//! `FROM funnel(...)`: how many users reach each step within a window, and how long it takes them.

use datafusion::functions::core::expr_ext::FieldAccessor;
use datafusion::functions::core::expr_fn::named_struct;
use datafusion::functions_nested::expr_fn::array_element;
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, SortExpr, col, lit};

use super::Relation;
use super::call::{Breakdown, Call, unkeyed};
use super::roles::{Roles, with_roles};
use crate::error::{Error, Result};
use crate::functions::funnel::modes::Mode;
use crate::functions::funnel::options::FunnelOptions;
use crate::functions::funnel::{funnel_chain, funnel_steps};
use crate::functions::{ArgumentDoc, FunctionDoc, FunctionKind};

/// The relation.
#[derive(Debug)]
pub struct Funnel;

impl Relation for Funnel {
    fn doc(&self) -> FunctionDoc {
        with_roles(FunctionDoc {
            name: "funnel",
            kind: FunctionKind::Relation,
            summary: "How many users reach each step within a window, and how long it takes them",
            syntax: "funnel(table, steps => [..], within => INTERVAL '..' [, by => ..] [, mode => '..'])",
            arguments: vec![
                ArgumentDoc { name: "table", kind: "table or (SELECT ..)", default: None, text: "The events." },
                ArgumentDoc {
                    name: "steps",
                    kind: "list",
                    default: None,
                    text: "Event names and conditions, `['view', 'cart', event = 'buy' AND price > 10]`, or named ones, \
                           `{'Saw it': event = 'view', 'Bought': event = 'buy'}`; 1 to 64.",
                },
                ArgumentDoc {
                    name: "within",
                    kind: "INTERVAL",
                    default: None,
                    text: "The longest time from the first to the last step, inclusive.",
                },
                ArgumentDoc {
                    name: "by",
                    kind: "column or list",
                    default: Some("nothing"),
                    text: "Breaks the funnel down by the value at step 1.",
                },
                ArgumentDoc {
                    name: "mode",
                    kind: "TEXT",
                    default: Some("'ordered'"),
                    text: "`ordered`, `increase`, `reuse`: as for `window_funnel`.",
                },
            ],
            returns: vec![
                ("by ..", "The breakdown columns, under their own names."),
                ("step INTEGER", "1 to k."),
                ("name TEXT", "The step's name: the event, the condition as written, or the name given."),
                ("users BIGINT", "Users whose longest chain reaches the step."),
                ("conversion DOUBLE", "Share of step 1, 0 to 1; NULL where nobody is in step 1."),
                ("step_conversion DOUBLE", "Share of the step before."),
                ("dropped BIGINT", "Users of the step before who did not reach this one."),
                ("median_seconds, mean_seconds, p90_seconds DOUBLE", "Time from step 1, over canonical chains."),
                ("step_median_seconds DOUBLE", "Time from the step before."),
            ],
            text: TEXT,
            example: "SELECT * FROM funnel(events, steps => ['view_item', 'add_to_cart', 'purchase'],\n  within => INTERVAL '7 days', by => country)\nORDER BY country, step LIMIT 6",
        })
    }

    fn plan(&self, call: &mut Call) -> Result<LogicalPlan> {
        let roles = Roles::of(call)?;
        let steps = call.steps("steps")?;
        let by = call.breakdowns("by")?;
        let mode = call.text("mode")?.unwrap_or_default();
        let Some(within) = call.interval("within")? else {
            return Err(call
                .error("argument 'within' is missing: the longest time from the first to the last step")
                .hint("as in within => INTERVAL '7 days'"));
        };
        // Every constant is checked here, where the argument has a name.
        let options = FunnelOptions { mode: Mode::parse(call.name(), &mode)?, ..FunnelOptions::default() };
        options.spec(call.name(), &within, &roles.time_type, steps.len())?;
        let reserved = OUTPUT.iter().find(|name| by.iter().any(|b| b.name == **name));
        if let Some(name) = reserved {
            return Err(call
                .error(format!("by column '{name}' has the name of a result column; give it another in (SELECT ..)")));
        }

        let conditions = steps.iter().map(|s| roles.condition(call, &s.condition)).collect::<Result<Vec<_>>>()?;
        let Some(any_step) = conditions.iter().cloned().reduce(Expr::or) else {
            return Err(call.error("at least one step is needed"));
        };
        let mut arguments = vec![lit(within), lit(if mode.is_empty() { "ordered" } else { &mode }), roles.time.clone()];
        arguments.extend(conditions);
        if !by.is_empty() {
            arguments.push(named_struct(by.iter().flat_map(|b| [lit(b.name.as_str()), b.value.clone()]).collect()));
        }
        let names: Vec<String> = steps.into_iter().map(|s| s.name).collect();
        report(call.input().clone(), &roles, arguments, any_step, &by, &names).map_err(Error::from)
    }
}

const OUTPUT: [&str; 10] = [
    "step",
    "name",
    "users",
    "conversion",
    "step_conversion",
    "dropped",
    "median_seconds",
    "mean_seconds",
    "p90_seconds",
    "step_median_seconds",
];

/// Chains of each user, then the report over them.
fn report(
    input: LogicalPlan,
    roles: &Roles,
    chain_arguments: Vec<Expr>,
    any_step: Expr,
    by: &[Breakdown],
    names: &[String],
) -> datafusion::error::Result<LogicalPlan> {
    let mut kept: Vec<Expr> = vec![col("chain")];
    for b in by {
        let at_start = array_element(col("chain").field("kept"), lit(1i64)).field(b.name.as_str());
        kept.push(at_start.alias(b.name.as_str()));
    }
    let by_columns = || by.iter().map(|b| Expr::Column(datafusion::common::Column::from_name(&b.name)));
    let mut output: Vec<Expr> = by.iter().map(|b| unkeyed(&b.name)).collect();
    for name in OUTPUT {
        output.push(match name {
            "step" | "name" => col(name),
            other => array_element(col("report"), col("step")).field(other).alias(other),
        });
    }
    // The report is a list with an element a step, spread by a join with the steps.
    let rows = names.iter().enumerate().map(|(at, name)| vec![lit(at as i32 + 1), lit(name.as_str())]).collect();
    let steps =
        LogicalPlanBuilder::values(rows)?.project([col("column1").alias("step"), col("column2").alias("name")])?;
    let order: Vec<SortExpr> = by_columns().map(|c| c.sort(true, true)).chain([col("step").sort(true, true)]).collect();
    LogicalPlanBuilder::from(input)
        .filter(roles.known().and(any_step))?
        .aggregate([roles.user.clone()], [funnel_chain().call(chain_arguments).alias("chain")])?
        .filter(col("chain").field("level").gt_eq(lit(1i32)))?
        .project(kept)?
        .aggregate(by_columns(), [funnel_steps().call(vec![col("chain"), lit(names.len() as i64)]).alias("report")])?
        .cross_join(steps.build()?)?
        .project(output)?
        .sort(order)?
        .build()
}

const TEXT: &str = "\
Counts each user once, by the longest chain (see `window_funnel`): the counts never increase along the steps. With `by`, \
a user belongs to the value at step 1 of the canonical chain (see `funnel_chain`). Rows whose user or time is NULL take \
no part. Percentiles are continuous (linear between ranks).

Without `by` there is always a row for every step; with `by`, for every value that some user has at step 1.";
