//! Planning that ends when it is asked to: between two rules, and within a rule between two nodes.
//!
//! Planning never waits for anything, so that a task which is aborted in it goes on to its end: hundreds of joins would keep a thread for
//! minutes after Ctrl-C. Each rule asks first.
//!
//! Deals with: asking. Does not deal with: running queries, which end where they wait (`cooperative_joins`).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::Transformed;
use datafusion::error::Result;
use datafusion::logical_expr::LogicalPlan;
use datafusion::logical_expr::planner::{RelationPlanner, RelationPlannerContext, RelationPlanning};
use datafusion::optimizer::{AnalyzerRule, ApplyOrder, OptimizerConfig, OptimizerRule};
use datafusion::physical_optimizer::{PhysicalOptimizerContext, PhysicalOptimizerRule};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::sql::sqlparser::ast::TableFactor;

use crate::error::Error;

/// Tells one statement's planning to end.
#[derive(Debug, Clone, Default)]
pub struct Stop(Arc<AtomicBool>);

tokio::task_local! {
    static STOP: Stop;
}

impl Stop {
    /// From now on the planning of this statement fails at its next step.
    pub fn ask(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Plans a statement that this may stop.
    pub async fn heard_by<F: Future>(&self, planning: F) -> F::Output {
        STOP.scope(self.clone(), planning).await
    }
}

/// Fails where the statement that this task plans was asked to end.
pub fn check() -> Result<()> {
    let asked = STOP.try_with(|stop| stop.0.load(Ordering::Relaxed)).unwrap_or(false);
    if asked { Err(Error::resources("stopped").into()) } else { Ok(()) }
}

/// A rule, or a planner of tables, that asks first.
#[derive(Debug)]
pub struct Stoppable<T: ?Sized>(pub Arc<T>);

impl AnalyzerRule for Stoppable<dyn AnalyzerRule + Send + Sync> {
    fn analyze(&self, plan: LogicalPlan, config: &ConfigOptions) -> Result<LogicalPlan> {
        check()?;
        self.0.analyze(plan, config)
    }

    fn name(&self) -> &str {
        self.0.name()
    }
}

impl OptimizerRule for Stoppable<dyn OptimizerRule + Send + Sync> {
    fn name(&self) -> &str {
        self.0.name()
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        self.0.apply_order()
    }

    fn rewrite(&self, plan: LogicalPlan, config: &dyn OptimizerConfig) -> Result<Transformed<LogicalPlan>> {
        check()?;
        self.0.rewrite(plan, config)
    }
}

impl PhysicalOptimizerRule for Stoppable<dyn PhysicalOptimizerRule + Send + Sync> {
    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, config: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        check()?;
        self.0.optimize(plan, config)
    }

    fn optimize_with_context(
        &self,
        plan: Arc<dyn ExecutionPlan>,
        context: &dyn PhysicalOptimizerContext,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        check()?;
        self.0.optimize_with_context(plan, context)
    }

    fn name(&self) -> &str {
        self.0.name()
    }

    fn schema_check(&self) -> bool {
        self.0.schema_check()
    }
}

/// Asks at each table that a statement names.
#[derive(Debug)]
pub struct AtEachTable;

impl RelationPlanner for AtEachTable {
    fn plan_relation(&self, relation: TableFactor, _: &mut dyn RelationPlannerContext) -> Result<RelationPlanning> {
        check()?;
        Ok(RelationPlanning::Original(Box::new(relation)))
    }
}
