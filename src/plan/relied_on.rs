//! What the operators above rely on in an operator's output.

use datafusion::physical_plan::coalesce_partitions::CoalescePartitionsExec;
use datafusion::physical_plan::repartition::RepartitionExec;
use datafusion::physical_plan::sorts::sort_preserving_merge::SortPreservingMergeExec;
use datafusion::physical_plan::union::InterleaveExec;
use datafusion::physical_plan::{Distribution, ExecutionPlan};

/// Known on the way down a plan.
#[derive(Debug, Clone, Copy)]
pub struct ReliedOn {
    /// That equal keys are in one partition.
    pub hash: bool,
    /// The order of rows.
    pub order: bool,
}

impl ReliedOn {
    /// What `parent` makes its child `at` answer for.
    pub fn below(self, parent: &dyn ExecutionPlan, at: usize) -> Self {
        let redistributes = parent.is::<RepartitionExec>()
            || parent.is::<CoalescePartitionsExec>()
            || parent.is::<SortPreservingMergeExec>();
        let asks_hash = matches!(
            parent.input_distribution_requirements().child_distribution(at),
            Some(Distribution::KeyPartitioned(_))
        );
        let asks_order = parent.required_input_ordering().get(at).is_some_and(Option::is_some);
        let keeps_order = parent.maintains_input_order().get(at).copied().unwrap_or(true);
        Self {
            hash: asks_hash || parent.is::<InterleaveExec>() || (self.hash && !redistributes),
            order: asks_order || (self.order && keeps_order),
        }
    }
}
