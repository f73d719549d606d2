//! Filters over dictionaries are answered once for each value.
//!
//! ```text
//! FilterExec: event = 'view' OR event = 'buy'      →      FilterExec: by_value(event = 'view' OR event = 'buy')
//! ```
//!
//! DataFusion compares the dictionary, too, but spreads each comparison over the rows and joins the outcomes. Over 20 million
//! unordered events that took a tenth of a funnel's time.
//! Deals with: filters wherever they stand. Does not deal with: which conditions those are (`exec::by_value`).

use std::sync::Arc;

use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::error::Result;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::filter::{FilterExec, FilterExecBuilder};

use crate::exec::by_value::by_value;

/// The rule.
#[derive(Debug)]
pub struct FiltersByValue;

impl PhysicalOptimizerRule for FiltersByValue {
    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, _config: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        plan.transform_up(|plan| {
            let Some(filter) = plan.downcast_ref::<FilterExec>() else { return Ok(Transformed::no(plan)) };
            let condition = by_value(Arc::clone(filter.predicate()), &filter.input().schema())?;
            if Arc::ptr_eq(&condition, filter.predicate()) {
                return Ok(Transformed::no(plan));
            }
            let filter = FilterExecBuilder::from(filter).with_predicate(condition).build()?;
            Ok(Transformed::yes(Arc::new(filter) as Arc<dyn ExecutionPlan>))
        })
        .data()
    }

    fn name(&self) -> &str {
        "filters_by_value"
    }

    fn schema_check(&self) -> bool {
        true
    }
}
