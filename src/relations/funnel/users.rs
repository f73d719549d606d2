//! `FROM funnel_users(...)`: the users at a step of a funnel, or lost after it: the chains of `funnel`, one by one.

use datafusion::functions::core::expr_ext::FieldAccessor;
use datafusion::functions_nested::expr_fn::array_element;
use datafusion::logical_expr::{Expr, LogicalPlan, SortExpr, lit};

use super::arguments::{self, AT_STEP, COLUMNS, DROPPED_AFTER};
use super::call::{ChainColumns, FunnelCall};
use super::manual;
use crate::error::{Error, Result};
use crate::functions::FunctionDoc;
use crate::relations::Relation;
use crate::relations::argument::Argument;
use crate::relations::call::{Breakdown, Call};
use crate::relations::expressions::{column, unkeyed};
use crate::relations::roles::declared;

/// The relation.
#[derive(Debug)]
pub struct FunnelUsers;

/// Which users are listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Which {
    /// All who meet a step.
    All,
    /// Those who reach this step.
    At(usize),
    /// Those who reach the first of these steps and not the second.
    Between(usize, usize),
}

impl Relation for FunnelUsers {
    fn arguments(&self) -> Vec<Argument> {
        arguments::funnel_users()
    }

    fn doc(&self) -> FunctionDoc {
        manual::funnel_users()
    }

    fn plan(&self, call: &mut Call) -> Result<LogicalPlan> {
        let question = FunnelCall::read(call)?;
        let which = which(call, &question)?;
        let columns = call.breakdowns(&COLUMNS)?;
        let mut reserved = vec!["level".to_string()];
        reserved.extend((1..=question.steps()).map(step_column));
        reserved.extend(question.by_period().then(|| "period".to_string()));
        reserved.push(question.roles.user_name.clone());
        question.check_names(call, &reserved.iter().map(String::as_str).collect::<Vec<_>>())?;
        reserved.extend(question.by.iter().map(|b| b.name.clone()));
        if let Some(c) = columns.iter().find(|c| reserved.contains(&c.name)) {
            return Err(call.error(format!(
                "argument 'columns': '{}' has the name of a result column; give it another in (SELECT ..)",
                c.name
            )));
        }
        list(call, &question, which, &columns).map_err(Error::from)
    }
}

fn step_column(step: usize) -> String {
    format!("step_{step}_at")
}

fn which(call: &mut Call, question: &FunnelCall) -> Result<Which> {
    let steps = question.steps();
    let (at, after) = (call.given(&AT_STEP), call.given(&DROPPED_AFTER));
    if at && after {
        return Err(call.error("arguments 'at_step' and 'dropped_after' exclude each other"));
    }
    if at {
        return Ok(Which::At(call.step(&AT_STEP, steps)?));
    }
    if !after {
        return Ok(Which::All);
    }
    let step = call.step(&DROPPED_AFTER, steps)?;
    if question.is_optional(step) {
        return Err(
            call.error(format!("argument 'dropped_after': step {step} is optional, so nobody is lost after it"))
        );
    }
    match (step + 1..=question.steps()).find(|next| !question.is_optional(*next)) {
        Some(next) => Ok(Which::Between(step, next)),
        None => Err(call.error(format!(
            "argument 'dropped_after': nobody is lost after step {step}, which no step that must be met follows"
        ))),
    }
}

/// Whether a chain reaches a step, as `funnel` counts it.
fn reaches(question: &FunnelCall, chain: &str, step: usize) -> Expr {
    let chain = column(chain);
    match question.optional_bits() {
        0 => chain.field("level").gt_eq(lit(step as i32)),
        _ => array_element(chain.field("times"), lit(step as i64)).is_not_null(),
    }
}

fn list(
    call: &Call,
    question: &FunnelCall,
    which: Which,
    columns: &[Breakdown],
) -> datafusion::error::Result<LogicalPlan> {
    let user = question.roles.user_name.as_str();
    let (mut chains, names) = question.chains(call, Some(user), columns)?;
    match which {
        Which::All => {}
        Which::At(step) => chains = chains.filter(reaches(question, &names.chain, step))?,
        Which::Between(step, next) => {
            let lost = reaches(question, &names.chain, next).is_not_true();
            chains = chains.filter(reaches(question, &names.chain, step).and(lost))?;
        }
    }
    let chain = || column(names.chain.as_str());
    let mut shown = question.by_values(&names);
    shown.push(match question.several() {
        true => unkeyed(user).alias_with_metadata(user, declared("user")),
        // It has the role from where the chains are found.
        false => column(user),
    });
    shown.push(chain().field("level").alias("level"));
    for step in 1..=question.steps() {
        let at = array_element(chain().field("times"), question.place_of_step(&names.chain, step));
        // Where every chain has a first step, that tells when the row was.
        let dates = step == 1 && !question.any_order();
        shown.push(at.alias_with_metadata(step_column(step), dates.then(|| declared("time")).flatten()));
    }
    shown.extend(event_values(&names, which, columns));
    let by = question.by_names();
    let mut order: Vec<String> = by.into_iter().chain([user.to_string()]).collect();
    if question.every_passage() {
        order.extend((1..=question.steps()).map(step_column));
    }
    let order: Vec<SortExpr> = order.iter().map(|name| column(name).sort(true, true)).collect();
    chains.project(shown)?.sort(order)?.build()
}

/// The columns asked for, of the event at the step asked for, or else of the chain's last one.
fn event_values<'a>(
    names: &'a ChainColumns,
    which: Which,
    columns: &'a [Breakdown],
) -> impl Iterator<Item = Expr> + 'a {
    let place = match which {
        Which::All => -1i64,
        Which::At(step) | Which::Between(step, _) => step as i64,
    };
    columns.iter().zip(&names.kept).map(move |(wanted, kept)| {
        let event = array_element(column(names.chain.as_str()).field("kept"), lit(place));
        event.field(kept.as_str()).alias(wanted.name.as_str())
    })
}
