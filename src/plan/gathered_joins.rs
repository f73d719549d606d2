//! Physical rule: under a memory limit, the build side of a join comes to it as one batch ([`OneBatchExec`]), so that it is there once.
//!
//! Nested loop joins spill where their build side does not fit, and have their own way of reading it: they are charged for the copy
//! (`exec/memory_pool`).

use std::sync::Arc;

use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::error::Result;
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::execution_plan::replace_children_if_necessary;
use datafusion::physical_plan::joins::{CrossJoinExec, HashJoinExec};

use crate::exec::one_batch::{BYTES_OF_ROW, OneBatchExec};

/// What a computed key without a fixed width is believed to take.
const TEXT: usize = 32;

/// The rule.
#[derive(Debug)]
pub struct GatheredJoins;

impl PhysicalOptimizerRule for GatheredJoins {
    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, _config: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        plan.transform_up(|node| {
            if !node.is::<HashJoinExec>() && !node.is::<CrossJoinExec>() {
                return Ok(Transformed::no(node));
            }
            let mut inputs: Vec<Arc<dyn ExecutionPlan>> = node.children().into_iter().map(Arc::clone).collect();
            let Some(build) = inputs.first_mut() else { return Ok(Transformed::no(node)) };
            if build.is::<OneBatchExec>() {
                return Ok(Transformed::no(node));
            }
            *build = Arc::new(OneBatchExec::new(
                Arc::clone(build),
                node.downcast_ref::<HashJoinExec>().map_or(0, bytes_of_row),
            ));
            Ok(Transformed::yes(replace_children_if_necessary(node, inputs)?))
        })
        .data()
    }

    fn name(&self) -> &str {
        "gathered_joins"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

/// What a hash join holds for each row of its build side without accounting for it; keys that are not columns are computed for all rows.
fn bytes_of_row(join: &HashJoinExec) -> usize {
    let schema = join.left().schema();
    let computed = join.on().iter().filter(|(key, _)| !key.is::<Column>());
    let widths = computed.map(|(key, _)| key.data_type(&schema).ok().and_then(|t| t.primitive_width()).unwrap_or(TEXT));
    BYTES_OF_ROW + widths.sum::<usize>()
}
