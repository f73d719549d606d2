//! Scans whose declared order is relied upon check it while they read.
//!
//! ```text
//! SELECT * FROM events ORDER BY user_id      -- events ordered by (user_id, ts): the sort is left out
//!
//! before: SortPreservingMergeExec            after: SortPreservingMergeExec
//!           DataSourceExec                            OrderCheckExec
//!                                                       DataSourceExec
//! ```
//!
//! Deals with: which scans. Does not deal with: the one-pass aggregation, which checks for itself.

use std::sync::Arc;

use datafusion::common::config::ConfigOptions;
use datafusion::datasource::physical_plan::FileScanConfig;
use datafusion::datasource::source::DataSourceExec;
use datafusion::error::Result;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::execution_plan::replace_children_if_necessary;
use datafusion::physical_plan::{ExecutionPlan, ExecutionPlanProperties};

use super::ordered_scan::named_files;
use super::relied_on::{NOTHING, ReliedOn};
use crate::exec::order_check::OrderCheckExec;

/// The rule.
#[derive(Debug)]
pub struct OrderCheck;

impl PhysicalOptimizerRule for OrderCheck {
    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, _config: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        check(plan, NOTHING)
    }

    fn name(&self) -> &str {
        "order_check"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

fn check(plan: Arc<dyn ExecutionPlan>, relied_on: ReliedOn) -> Result<Arc<dyn ExecutionPlan>> {
    if let Some(exec) = plan.downcast_ref::<DataSourceExec>() {
        let scan = exec.data_source().downcast_ref::<FileScanConfig>();
        return Ok(match (scan, plan.output_ordering()) {
            (Some(scan), Some(order)) if relied_on.order => {
                let files = named_files(scan, scan.file_groups.iter().flat_map(|group| group.iter()), order);
                let order = order.clone();
                Arc::new(OrderCheckExec::new(plan, order, files))
            }
            _ => plan,
        });
    }
    let children = (plan.children().into_iter().enumerate())
        .map(|(at, child)| check(Arc::clone(child), relied_on.below(plan.as_ref(), at)))
        .collect::<Result<Vec<_>>>()?;
    replace_children_if_necessary(plan, children)
}
