//! Aggregates that keep every event: rows are partitioned by the key first, then aggregated once.
//!
//! ```text
//! before: AggregateExec: mode=FinalPartitioned           after: AggregateExec: mode=SinglePartitioned
//!           RepartitionExec: Hash([user_id])                      RepartitionExec: Hash([user_id])
//!             AggregateExec: mode=Partial                           FilterExec
//!               FilterExec
//! ```
//!
//! A partial aggregation pays where it makes many rows few. The state of `funnel_chain` and its like is the events
//! themselves, as lists: grouping them twice, and moving lists in place of rows, only costs. Over 20 million unordered events
//! a funnel took 7 % less processor time and 25 % less memory this way, transitions a quarter less time.
//! Deals with: finding such aggregations. Does not deal with: ordered input (`ordered_aggregation` comes first).

use std::sync::Arc;

use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::error::Result;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::aggregates::{AggregateExec, AggregateMode};
use datafusion::physical_plan::repartition::RepartitionExec;
use datafusion::physical_plan::{ExecutionPlan, InputOrderMode, Partitioning};

use crate::functions::event_groups;

/// The rule.
#[derive(Debug)]
pub struct PartitionFirst;

impl PhysicalOptimizerRule for PartitionFirst {
    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, _config: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        plan.transform_up(|plan| {
            Ok(match plan.downcast_ref::<AggregateExec>().map(partition_first).transpose()?.flatten() {
                Some(replaced) => Transformed::yes(replaced),
                None => Transformed::no(plan),
            })
        })
        .data()
    }

    fn name(&self) -> &str {
        "partition_first"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

fn partition_first(last: &AggregateExec) -> Result<Option<Arc<dyn ExecutionPlan>>> {
    if *last.mode() != AggregateMode::FinalPartitioned {
        return Ok(None);
    }
    let Some(repartition) = last.input().downcast_ref::<RepartitionExec>() else { return Ok(None) };
    let Some(first) = repartition.input().downcast_ref::<AggregateExec>() else { return Ok(None) };
    let Partitioning::Hash(_, partitions) = repartition.partitioning() else { return Ok(None) };
    let by = first.group_expr();
    let plain = *first.mode() == AggregateMode::Partial
        && *first.input_order_mode() == InputOrderMode::Linear
        && by.is_single()
        // Aggregates that want their rows in an order have it from a sort below, which a repartition would undo.
        && first.aggr_expr().iter().all(|a| a.order_bys().is_empty())
        && [last, first].iter().all(|a| a.limit_options().is_none() && a.dynamic_expressions_produced().is_empty());
    if !plain || !keep_events(first)? {
        return Ok(None);
    }
    let keys = by.expr().iter().map(|(key, _)| Arc::clone(key)).collect();
    let rows = RepartitionExec::try_new(Arc::clone(first.input()), Partitioning::Hash(keys, *partitions))?;
    let single = AggregateExec::try_new(
        AggregateMode::SinglePartitioned,
        by.clone(),
        first.aggr_expr().to_vec(),
        first.filter_expr().to_vec(),
        Arc::new(rows),
        first.input_schema(),
    )?;
    Ok(Some(Arc::new(single)))
}

/// Whether some aggregate's state is the events themselves.
fn keep_events(aggregate: &AggregateExec) -> Result<bool> {
    for expression in aggregate.aggr_expr() {
        if event_groups::is_log(&expression.state_fields()?) {
            return Ok(true);
        }
    }
    Ok(false)
}
