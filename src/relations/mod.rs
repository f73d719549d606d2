//! `FROM funnel(...)`, `retention(...)`, ...: questions that return rows.
//!
//! Deals with: recognising a call, its named arguments and column roles, and composing an ordinary logical plan from
//! `functions`, so that EXPLAIN is readable, filters push down and the optimiser sees through.
//! Does not deal with: computing anything.
//!
//! **Adding a relation** is one file that implements [`Relation`] and one line in [`RELATIONS`]. Each of its arguments is a constant of
//! its own (`argument`), or one of those that several relations share (`shared`).

mod active;
mod argument;
mod as_of;
mod attribution;
mod call;
mod churn_scores;
mod compare;
mod distribution;
mod engagement;
mod expressions;
mod funnel;
mod history;
mod intervals;
mod lifecycle;
mod lifecycle_states;
mod measure;
mod names;
mod pages;
mod pareto;
mod paths;
mod portrait;
mod profile;
mod reach;
mod retention;
mod rfm;
mod roles;
mod sample_users;
mod session_call;
mod session_summary;
mod sessions;
mod shared;
mod stickiness;
mod top;
mod transitions;
mod trend;
mod walks;

use std::fmt;
use std::sync::Arc;

use datafusion::catalog::CatalogProviderList;
use datafusion::error::Result;
use datafusion::execution::runtime_env::RuntimeEnv;
use datafusion::logical_expr::LogicalPlan;
use datafusion::logical_expr::planner::{PlannedRelation, RelationPlanner, RelationPlannerContext, RelationPlanning};
use datafusion::sql::sqlparser::ast::{FunctionArg, TableFactor};

use self::argument::Argument;
pub use self::argument::Takes;
use self::call::Call;
pub use self::call::{missing_table, scan, wait_for};
use crate::error::{Error, suggest};
use crate::functions::FunctionDoc;

/// A question that stands in FROM.
pub trait Relation: fmt::Debug + Send + Sync {
    /// The arguments that are accepted, the input first.
    fn arguments(&self) -> Vec<Argument>;
    /// Its manual entry: name, arguments, columns.
    fn doc(&self) -> FunctionDoc;
    /// Composes the plan of one call.
    fn plan(&self, call: &mut Call) -> Result<LogicalPlan, Error>;
}

/// Every relation, in the order of the manual.
pub const RELATIONS: &[&dyn Relation] = &[
    &funnel::Funnel,
    &funnel::FunnelUsers,
    &retention::Retention,
    &retention::RetentionTriangle,
    &retention::RetentionCurve,
    &lifecycle::Lifecycle,
    &lifecycle_states::LifecycleStates,
    &engagement::Engagement,
    &stickiness::Stickiness,
    &stickiness::Streaks,
    &trend::Trend,
    &top::Top,
    &distribution::Distribution,
    &intervals::Intervals,
    &sessions::Sessions,
    &session_summary::SessionSummary,
    &pages::Pages,
    &transitions::Transitions,
    &paths::Paths,
    &attribution::Attribution,
    &churn_scores::ChurnScores,
    &rfm::Rfm,
    &pareto::Pareto,
    &portrait::Portrait,
    &compare::Compare,
    &profile::Profile,
    &sample_users::SampleUsers,
    &history::History,
];

/// Plans calls of [`RELATIONS`] and tables `AS OF` a version; everything else is left to the next planner.
pub struct BehaviourRelations {
    catalogs: Arc<dyn CatalogProviderList>,
    runtime: Runtime,
}

/// Finds the session's memory pool and place of temporary files, which a statement may have changed; nothing where the
/// session has ended.
pub type Runtime = Arc<dyn Fn() -> Option<Arc<RuntimeEnv>> + Send + Sync>;

impl fmt::Debug for BehaviourRelations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BehaviourRelations").finish_non_exhaustive()
    }
}

impl BehaviourRelations {
    /// `catalogs` finds the tables that stand as bare names inside arguments: the session resolves only those that
    /// stand in FROM itself.
    pub fn new(catalogs: Arc<dyn CatalogProviderList>, runtime: Runtime) -> Self {
        Self { catalogs, runtime }
    }
}

impl RelationPlanner for BehaviourRelations {
    fn plan_relation(
        &self,
        relation: TableFactor,
        context: &mut dyn RelationPlannerContext,
    ) -> Result<RelationPlanning> {
        let (name, arguments, alias) = match relation {
            TableFactor::Table { name, args: None, alias, version: Some(version), .. } => {
                let planned = as_of::plan(name, version, alias, context, self.catalogs.as_ref())?;
                return Ok(RelationPlanning::Planned(Box::new(planned)));
            }
            TableFactor::Table { name, args: Some(_), version: Some(_), .. } => {
                let message = format!(
                    "{name}(..) has no versions; AS OF goes with its table, as in {name}((SELECT * FROM t VERSION AS OF 3), ..)"
                );
                return Err(Error::user(message).into());
            }
            TableFactor::Table { name, args: Some(args), alias, .. } if find(&name.to_string()).is_some() => {
                (name, args.args, alias)
            }
            TableFactor::Function { name, args, alias, .. } if find(&name.to_string()).is_some() => (name, args, alias),
            other => {
                refuse_misspelt(&other)?;
                return Ok(RelationPlanning::Original(Box::new(other)));
            }
        };
        let Some(relation) = find(&name.to_string()) else {
            return Err(Error::internal(format!("relation {name} vanished")).into());
        };
        let mut call = Call::new(relation, arguments, context, self.catalogs.as_ref(), (self.runtime)())?;
        let plan = relation.plan(&mut call)?;
        call.finish()?;
        Ok(RelationPlanning::Planned(Box::new(PlannedRelation::new(plan, alias))))
    }
}

/// Only relations take named arguments in FROM, so a call with some and another name is a slip of the pen.
fn refuse_misspelt(factor: &TableFactor) -> Result<(), Error> {
    let (name, arguments) = match factor {
        TableFactor::Table { name, args: Some(args), .. } => (name, &args.args),
        TableFactor::Function { name, args, .. } => (name, args),
        _ => return Ok(()),
    };
    if !arguments.iter().any(|a| matches!(a, FunctionArg::Named { .. } | FunctionArg::ExprNamed { .. })) {
        return Ok(());
    }
    let name = name.to_string();
    let help = suggest(&name, RELATIONS.iter().map(|r| r.doc().name));
    Err(Error::user(format!("no relation is called '{name}'; {help}")))
}

fn find(name: &str) -> Option<&'static dyn Relation> {
    RELATIONS.iter().find(|r| r.doc().name.eq_ignore_ascii_case(name)).copied()
}

/// What may stand in an argument of a relation, for completion; nothing where there is no such argument.
pub fn takes(relation: &str, argument: &str) -> Takes {
    let arguments = find(relation).map(|relation| relation.arguments()).unwrap_or_default();
    let known = arguments.iter().find(|known| known.name.eq_ignore_ascii_case(argument));
    known.map(Argument::takes).unwrap_or_default()
}

/// The names of a relation's arguments, without that of its input.
pub fn argument_names(relation: &str) -> Vec<&'static str> {
    let arguments = find(relation).map(|relation| relation.arguments()).unwrap_or_default();
    arguments.iter().skip(1).map(|argument| argument.name).collect()
}

/// What the manual says of the relations.
pub fn docs() -> Vec<FunctionDoc> {
    RELATIONS.iter().map(|r| r.doc()).collect()
}
