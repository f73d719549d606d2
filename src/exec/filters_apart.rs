//! `FiltersApart`: a stand-in for an operator that would hand the filters of those above to the wrong column.
//!
//! Stands in a plan only while filters are pushed down (`plan/filters_by_position.rs`): the operator hands its own filters to its
//! children as it would, and those from above stay above. Does not deal with: which operators need it.

use std::fmt;
use std::sync::Arc;

use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::error::Result;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_plan::execution_plan::replace_children_if_necessary;
use datafusion::physical_plan::filter_pushdown::{
    ChildFilterDescription, ChildPushdownResult, FilterDescription, FilterPushdownPhase, FilterPushdownPropagation,
    PushedDown,
};
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, PhysicalExpr, PlanProperties};

use crate::error::Error;

/// The stand-in.
#[derive(Debug)]
pub struct FiltersApart {
    operator: Arc<dyn ExecutionPlan>,
}

impl FiltersApart {
    /// Stands in for this operator.
    pub fn new(operator: Arc<dyn ExecutionPlan>) -> Self {
        Self { operator }
    }

    /// The operator.
    pub fn operator(&self) -> &Arc<dyn ExecutionPlan> {
        &self.operator
    }
}

impl DisplayAs for FiltersApart {
    fn fmt_as(&self, kind: DisplayFormatType, f: &mut fmt::Formatter) -> fmt::Result {
        self.operator.fmt_as(kind, f)
    }
}

impl ExecutionPlan for FiltersApart {
    fn name(&self) -> &'static str {
        "FiltersApart"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        self.operator.properties()
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        self.operator.children()
    }

    fn apply_expressions(
        &self,
        f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        self.operator.apply_expressions(f)
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(Arc::new(Self::new(replace_children_if_necessary(Arc::clone(&self.operator), children)?)))
    }

    fn gather_filters_for_pushdown(
        &self,
        phase: FilterPushdownPhase,
        parent_filters: Vec<Arc<dyn PhysicalExpr>>,
        config: &ConfigOptions,
    ) -> Result<FilterDescription> {
        let own = self.operator.gather_filters_for_pushdown(phase, Vec::new(), config)?;
        let children = own.self_filters().into_iter();
        Ok(children.fold(FilterDescription::new(), |all, own| {
            all.with_child(ChildFilterDescription::all_unsupported(&parent_filters).with_self_filters(own))
        }))
    }

    fn handle_child_pushdown_result(
        &self,
        phase: FilterPushdownPhase,
        result: ChildPushdownResult,
        config: &ConfigOptions,
    ) -> Result<FilterPushdownPropagation<Arc<dyn ExecutionPlan>>> {
        let from_above = result.parent_filters.len();
        let own = ChildPushdownResult { parent_filters: Vec::new(), self_filters: result.self_filters };
        let done = self.operator.handle_child_pushdown_result(phase, own, config)?;
        Ok(FilterPushdownPropagation { filters: vec![PushedDown::No; from_above], updated_node: done.updated_node })
    }

    fn execute(&self, _partition: usize, _context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        Err(Error::internal("FiltersApart stands in a plan only while filters are pushed down").into())
    }
}
