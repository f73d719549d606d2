//! What the operators above rely on in an operator's output.

use datafusion::physical_plan::coalesce_partitions::CoalescePartitionsExec;
use datafusion::physical_plan::limit::{GlobalLimitExec, LocalLimitExec};
use datafusion::physical_plan::projection::ProjectionExec;
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
    /// So many rows of each partition, the first ones in that order, and no more.
    pub first: Option<usize>,
}

/// Neither is relied upon.
pub const NOTHING: ReliedOn = ReliedOn { hash: false, order: false, first: None };

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
            first: self.first_below(parent),
        }
    }

    fn first_below(self, parent: &dyn ExecutionPlan) -> Option<usize> {
        let least = |fetch: Option<usize>| fetch.into_iter().chain(self.first).min();
        if let Some(limit) = parent.downcast_ref::<GlobalLimitExec>() {
            return least(limit.fetch()).map(|rows| rows.saturating_add(limit.skip()));
        }
        if let Some(limit) = parent.downcast_ref::<LocalLimitExec>() {
            return least(Some(limit.fetch()));
        }
        // What is enough of all partitions together is enough of each.
        let merges = parent.is::<CoalescePartitionsExec>() || parent.is::<SortPreservingMergeExec>();
        (merges || parent.is::<ProjectionExec>()).then(|| least(parent.fetch())).flatten()
    }
}
