//! Physical rule around DataFusion's `FilterPushdown`: a filter goes only where its columns can be found.
//!
//! DataFusion hands a filter down an operator by looking up the *name* of each of its columns among those of the input, and takes the
//! first. Where two tables of a join both have an `id`, or the branches of a union call their columns otherwise, that is another column.
//! The filters are those that joins, sorts with a limit and aggregates make of what they see while the query runs, and by them whole
//! parts of files are left out: `a JOIN b ON .. JOIN c ON c.u = b.u` lost rows by the bounds of `a.u`. Conditions above an outer join
//! went to the wrong table in the same way.
//!
//! While the rule runs, a stand-in takes the place of each operator that would take one column for another ([`FiltersApart`]): what
//! comes from above stays above, its own filters go down.

use std::collections::HashSet;
use std::sync::Arc;

use arrow::datatypes::Schema;
use datafusion::common::JoinType;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::error::Result;
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::aggregates::AggregateExec;
use datafusion::physical_plan::joins::HashJoinExec;
use datafusion::physical_plan::union::{InterleaveExec, UnionExec};
use datafusion::physical_plan::{ExecutionPlan, PhysicalExpr};

use crate::exec::filters_apart::FiltersApart;

/// The rule.
#[derive(Debug)]
pub struct FiltersByPosition(pub Arc<dyn PhysicalOptimizerRule + Send + Sync>);

impl FiltersByPosition {
    /// What the names of the rules around which it goes begin with.
    pub const WRAPS: &'static str = "FilterPushdown";
}

impl PhysicalOptimizerRule for FiltersByPosition {
    fn name(&self) -> &str {
        self.0.name()
    }

    fn schema_check(&self) -> bool {
        self.0.schema_check()
    }

    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, config: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        let parted = plan.transform_up(|node| {
            Ok(match takes_one_for_another(node.as_ref()) {
                true => Transformed::yes(Arc::new(FiltersApart::new(node)) as _),
                false => Transformed::no(node),
            })
        })?;
        if !parted.transformed {
            return self.0.optimize(parted.data, config);
        }
        let done = self.0.optimize(parted.data, config)?.transform_up(|node| {
            Ok(match node.downcast_ref::<FiltersApart>() {
                Some(stand_in) => Transformed::yes(Arc::clone(stand_in.operator())),
                None => Transformed::no(node),
            })
        })?;
        Ok(done.data)
    }
}

/// Whether a filter from above could go to a column that it does not mean.
fn takes_one_for_another(node: &dyn ExecutionPlan) -> bool {
    let children = node.children();
    if children.iter().any(|child| has_a_name_twice(&child.schema())) {
        return true;
    }
    let at = |child: usize, name: &str| children[child].schema().index_of(name).ok();
    let is = |expr: &Arc<dyn PhysicalExpr>, place: usize| {
        expr.downcast_ref::<Column>().is_some_and(|column| column.index() == place)
    };
    if let Some(join) = node.downcast_ref::<HashJoinExec>() {
        // The sides are told apart by position. A filter on the key of one side goes to the other one too where rows of that have it.
        let (from, to) = match join.join_type() {
            JoinType::LeftSemi => (0, 1),
            JoinType::RightSemi => (1, 0),
            _ => return false,
        };
        return join.on().iter().any(|(left, right)| {
            let keys = [left, right];
            let name = keys[from].downcast_ref::<Column>().map(Column::name);
            name.and_then(|name| at(to, name)).is_some_and(|place| !is(keys[to], place))
        });
    }
    if !children.is_empty() && has_a_name_twice(&node.schema()) {
        return true;
    }
    if let Some(aggregate) = node.downcast_ref::<AggregateExec>() {
        let keys = aggregate.group_expr().expr();
        return keys.iter().any(|(expr, name)| at(0, name).is_some_and(|place| !is(expr, place)));
    }
    if node.is::<UnionExec>() || node.is::<InterleaveExec>() {
        let own = node.schema();
        let differs = |schema: &Schema| own.fields().iter().zip(schema.fields()).any(|(a, b)| a.name() != b.name());
        return children.iter().any(|child| differs(&child.schema()));
    }
    false
}

fn has_a_name_twice(schema: &Schema) -> bool {
    let mut seen = HashSet::with_capacity(schema.fields().len());
    !schema.fields().iter().all(|field| seen.insert(field.name()))
}
