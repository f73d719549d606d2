//! `FROM events TABLESAMPLE (10 PERCENT)`: a sample of users.
//!
//! A sample of rows tears users apart, and every funnel and retention over it is wrong. So a sample here keeps users whole: those whose
//! hash falls under the share (`in_sample`), the same ones in every table and every run; `REPEATABLE (n)` takes others.
//!
//! `TABLESAMPLE (10 PERCENT)`, `TABLESAMPLE BERNOULLI (10)` and `SYSTEM (10)` are percents, `SAMPLE 0.1` a share, as elsewhere.
//!
//! Does not deal with: the hash (`functions`).

use std::sync::Arc;

use datafusion::error::Result;
use datafusion::logical_expr::planner::{PlannedRelation, RelationPlanner, RelationPlannerContext, RelationPlanning};
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, lit};
use datafusion::sql::sqlparser::ast::{
    Expr as SqlExpr, TableFactor, TableSample, TableSampleKind, TableSampleMethod, TableSampleQuantity,
    TableSampleUnit, Value, ValueWithSpan,
};

use crate::config::TenureOptions;
use crate::error::Error;
use crate::functions::plain_sql::in_sample;
use crate::store::table::{CONVENTIONS, ROLE_KEY};

/// Plans samples; everything else is left to the next planner.
#[derive(Debug)]
pub struct Samples;

impl RelationPlanner for Samples {
    fn plan_relation(
        &self,
        mut relation: TableFactor,
        context: &mut dyn RelationPlannerContext,
    ) -> Result<RelationPlanning> {
        let sample = match &mut relation {
            TableFactor::Table { sample, .. } | TableFactor::Derived { sample, .. } => sample.take(),
            _ => None,
        };
        let Some(TableSampleKind::BeforeTableAlias(sample) | TableSampleKind::AfterTableAlias(sample)) = sample else {
            return Ok(RelationPlanning::Original(Box::new(relation)));
        };
        let (share, seed) = wanted(&sample)?;
        let input = context.plan(relation)?;
        let options = context.context_provider().options().extensions.get::<TenureOptions>().cloned();
        let user = user_column(&input, &options.unwrap_or_default())?;
        let kept = in_sample().call(vec![user, lit(share), lit(seed)]);
        let plan = LogicalPlanBuilder::from(input).filter(kept)?.build()?;
        // The alias is on the input already.
        Ok(RelationPlanning::Planned(Box::new(PlannedRelation::new(plan, None))))
    }
}

/// The share of users, and the seed.
fn wanted(sample: &TableSample) -> Result<(f64, i64), Error> {
    let TableSample { modifier: _, name, quantity, seed, bucket, offset } = sample;
    let fault = |what: &str| {
        Error::user(format!("TABLESAMPLE: {what}"))
            .hint("TABLESAMPLE (10 PERCENT) [REPEATABLE (seed)] is a sample of users; LIMIT n takes rows")
    };
    match name {
        None
        | Some(
            TableSampleMethod::Bernoulli
            | TableSampleMethod::System
            | TableSampleMethod::Row
            | TableSampleMethod::Block,
        ) => {}
    }
    if bucket.is_some() {
        return Err(fault("BUCKET is not supported"));
    }
    if offset.is_some() {
        return Err(fault("OFFSET is not supported"));
    }
    let Some(TableSampleQuantity { parenthesized, value, unit }) = quantity else {
        return Err(fault("a share is missing"));
    };
    let number = match value {
        SqlExpr::Value(ValueWithSpan { value: Value::Number(digits, _), .. }) => digits.parse::<f64>().ok(),
        _ => None,
    };
    let Some(number) = number else { return Err(fault(&format!("the share must be a number, got {value}"))) };
    let percent = match unit {
        Some(TableSampleUnit::Rows) => return Err(fault("a number of ROWS is not supported")),
        Some(TableSampleUnit::Percent) => true,
        None => *parenthesized,
    };
    let share = if percent { number / 100.0 } else { number };
    if !(0.0..=1.0).contains(&share) {
        return Err(fault(&format!("{} of the users is not a share between none and all", value)));
    }
    let seed = match seed {
        None => 0,
        Some(seed) => match &seed.value.value {
            Value::Number(digits, _) => digits.parse().map_err(|_| fault("the seed must be a whole number"))?,
            _ => return Err(fault("the seed must be a whole number")),
        },
    };
    Ok((share, seed))
}

/// The user column: declared by the table, set in the session, or called by convention.
fn user_column(input: &LogicalPlan, options: &TenureOptions) -> Result<Expr, Error> {
    let schema = input.schema();
    let named = |keep: &dyn Fn(&arrow::datatypes::Field) -> bool| -> Vec<Expr> {
        schema.iter().filter(|(_, field)| keep(field)).map(Expr::from).collect()
    };
    let declared = named(&|field| field.metadata().get(ROLE_KEY).is_some_and(|role| role == "user"));
    let set = named(&|field| *field.name() == options.user_column);
    let conventional = CONVENTIONS.iter().find(|(role, _)| *role == "user").map_or(&[][..], |(_, names)| names);
    let usual = named(&|field| conventional.contains(&field.name().as_str()));
    match [declared, set, usual].into_iter().find(|columns| !columns.is_empty()).as_deref() {
        Some([only]) => Ok(only.clone()),
        Some(several) => {
            let names: Vec<String> = several.iter().map(|column| column.schema_name().to_string()).collect();
            Err(Error::user(format!("TABLESAMPLE: more than one user column ({})", names.join(", ")))
                .hint("select one: FROM (SELECT user_id, .. FROM t) TABLESAMPLE (10 PERCENT)"))
        }
        None => Err(Error::user(format!(
            "TABLESAMPLE is a sample of users, and no user column was found (looked for {})",
            conventional.join(", ")
        ))
        .hint("SET tenure.user_column = 'name'; or WHERE in_sample(column, 0.1)")),
    }
}

/// For the session's list of planners.
pub fn planner() -> Arc<dyn RelationPlanner> {
    Arc::new(Samples)
}
