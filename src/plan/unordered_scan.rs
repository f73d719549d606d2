//! With `tenure.ordered_execution` switched off, no declared order of files is believed.
//!
//! DataFusion takes a declared order on trust: it leaves sorts out and closes a group when its key changes, so that over files
//! that are not in that order a user is counted several times. The one-pass path verifies the order while it reads;
//! whoever turns it off, perhaps because the order does not hold, must get plans that do not depend on it.
//!
//! Deals with: taking the order off scans, before any other rule has relied on it. Does not deal with: orders that arise
//! within a plan.

use std::sync::Arc;

use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::datasource::physical_plan::{FileScanConfig, FileScanConfigBuilder};
use datafusion::datasource::source::DataSourceExec;
use datafusion::error::Result;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::ExecutionPlan;

use crate::config::TenureOptions;

/// The rule.
#[derive(Debug)]
pub struct UnorderedScan;

impl PhysicalOptimizerRule for UnorderedScan {
    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, config: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        if config.extensions.get::<TenureOptions>().is_none_or(|o| o.ordered_execution) {
            return Ok(plan);
        }
        plan.transform_up(|plan| {
            Ok(match plan.downcast_ref::<DataSourceExec>().and_then(without_order) {
                Some(scan) => Transformed::yes(scan),
                None => Transformed::no(plan),
            })
        })
        .data()
    }

    fn name(&self) -> &str {
        "unordered_scan"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

fn without_order(scan: &DataSourceExec) -> Option<Arc<dyn ExecutionPlan>> {
    let files = scan.data_source().downcast_ref::<FileScanConfig>()?;
    if files.output_ordering.is_empty() {
        return None;
    }
    let files = FileScanConfigBuilder::from(files.clone()).with_output_ordering(Vec::new()).build();
    Some(DataSourceExec::from_data_source(files))
}
