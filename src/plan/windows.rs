//! Window functions that hold no more rows than they must: [`WindowExec`] in place of DataFusion's `WindowAggExec`.
//!
//! Deals with: finding them; every one is replaced. `BoundedWindowAggExec` gives its answers while it reads, and stays.

use std::sync::Arc;

use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::error::Result;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::windows::WindowAggExec;

use crate::exec::window::WindowExec;

/// The rule.
#[derive(Debug)]
pub struct Windows;

impl PhysicalOptimizerRule for Windows {
    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, _config: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        plan.transform_up(|plan| {
            Ok(match plan.downcast_ref::<WindowAggExec>() {
                Some(window) => Transformed::yes(Arc::new(WindowExec::new(Arc::new(window.clone()))) as _),
                None => Transformed::no(plan),
            })
        })
        .data()
    }

    fn name(&self) -> &str {
        "windows"
    }

    fn schema_check(&self) -> bool {
        true
    }
}
