//! Physical rule: no operator is believed to have rows told apart by a column that does not.
//!
//! A group's key is there once, and DataFusion remembers that by the positions of its columns, to save sorts: rows in the order of a key
//! are in the order of the key and anything behind it. A projection that puts the columns into another order carries the claim over by
//! the positions *before* it (`EquivalenceProperties::projected_constraints` looks the positions of the output up among those of the
//! input), so that it means other columns: `SELECT rank() OVER (ORDER BY n) AS r, u FROM (SELECT u, count(*) AS n .. GROUP BY u) ORDER BY r, u`
//! came in no order among equal ranks, and with a LIMIT other rows. Grouping sets are claimed to be told apart by the columns alone,
//! though a NULL of the data and one of a total stand beside each other.
//!
//! Between such an operator and its input stands an operator that claims nothing ([`KeysUnclaimedExec`]). It costs nothing while rows
//! pass, but other rules do not see through it, so it is only put where an order could be taken for another.

use std::sync::Arc;

use datafusion::common::Constraint;
use datafusion::common::config::ConfigOptions;
use datafusion::error::Result;
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_optimizer::output_requirements::OutputRequirementExec;
use datafusion::physical_plan::aggregates::AggregateExec;
use datafusion::physical_plan::execution_plan::replace_children_if_necessary;
use datafusion::physical_plan::filter::FilterExec;
use datafusion::physical_plan::joins::SortMergeJoinExec;
use datafusion::physical_plan::projection::ProjectionExec;
use datafusion::physical_plan::sorts::sort::SortExec;
use datafusion::physical_plan::windows::{BoundedWindowAggExec, WindowAggExec};
use datafusion::physical_plan::{ExecutionPlan, ExecutionPlanProperties};

use crate::exec::keys_unclaimed::KeysUnclaimedExec;

/// The rule.
#[derive(Debug)]
pub struct KeysByPosition;

impl KeysByPosition {
    /// The rule of DataFusion's that it comes before.
    pub const BEFORE: &'static str = "EnsureRequirements";
}

impl PhysicalOptimizerRule for KeysByPosition {
    fn name(&self) -> &str {
        "keys_by_position"
    }

    fn schema_check(&self) -> bool {
        true
    }

    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, _: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        of_node(plan, 0)
    }
}

/// A plan below so many operators that make or need an order.
fn of_node(plan: Arc<dyn ExecutionPlan>, orders_above: usize) -> Result<Arc<dyn ExecutionPlan>> {
    let below = orders_above + usize::from(makes_or_needs_order(plan.as_ref()));
    let children = plan.children().into_iter().map(|child| of_node(Arc::clone(child), below));
    let children = children.collect::<Result<Vec<_>>>()?;
    let plan = replace_children_if_necessary(plan, children)?;
    // One order is made, and another found in it.
    let orders = orders_above + usize::from(plan.output_ordering().is_some());
    if orders < 2 || is_right(plan.as_ref()) {
        return Ok(plan);
    }
    if plan.downcast_ref::<AggregateExec>().is_some_and(|aggregate| aggregate.group_expr().has_grouping_set()) {
        return Ok(Arc::new(KeysUnclaimedExec::new(plan)));
    }
    let children = plan.children().into_iter().map(|child| Arc::new(KeysUnclaimedExec::new(Arc::clone(child))) as _);
    let children = children.collect();
    replace_children_if_necessary(plan, children)
}

fn makes_or_needs_order(plan: &dyn ExecutionPlan) -> bool {
    // The order of the whole answer is that of a sort below, as long as no rule has looked at it.
    if plan.is::<OutputRequirementExec>() {
        return false;
    }
    plan.is::<SortExec>()
        || plan.is::<WindowAggExec>()
        || plan.is::<BoundedWindowAggExec>()
        || plan.is::<SortMergeJoinExec>()
        || plan.required_input_ordering().iter().any(Option::is_some)
}

/// Whether every claim of an operator follows from those of its input.
fn is_right(plan: &dyn ExecutionPlan) -> bool {
    // The column of the input at each position of the output, where there is one.
    let (sources, own): (Vec<Option<usize>>, _) = if let Some(projection) = plan.downcast_ref::<ProjectionExec>() {
        let source = |expr: &Arc<dyn datafusion::physical_plan::PhysicalExpr>| expr.downcast_ref().map(Column::index);
        (projection.expr().iter().map(|item| source(&item.expr)).collect(), None)
    } else if let Some(filter) = plan.downcast_ref::<FilterExec>() {
        let Some(projection) = filter.projection() else { return true };
        (projection.iter().map(|at| Some(*at)).collect(), None)
    } else if let Some(aggregate) = plan.downcast_ref::<AggregateExec>() {
        let keys = aggregate.group_expr();
        let sources = keys.expr().iter().map(|(expr, _)| expr.downcast_ref().map(Column::index)).collect();
        (sources, (!keys.has_grouping_set()).then(|| keys.expr().len()))
    } else {
        return true;
    };
    let children = plan.children();
    let Some(input) = children.first() else { return true };
    let known: Vec<&[usize]> = input.equivalence_properties().constraints().iter().map(columns).collect();
    plan.equivalence_properties().constraints().iter().map(columns).all(|claimed| {
        let of_input: Vec<usize> = claimed.iter().filter_map(|at| sources.get(*at).copied().flatten()).collect();
        own.is_some_and(|keys| (0..keys).all(|key| claimed.contains(&key)))
            || known.iter().any(|known| known.iter().all(|column| of_input.contains(column)))
    })
}

/// The columns of which a claim says that together they tell rows apart.
fn columns(claim: &Constraint) -> &[usize] {
    match claim {
        Constraint::PrimaryKey(columns) | Constraint::Unique(columns) => columns,
    }
}

#[cfg(test)]
mod tests {
    use arrow::datatypes::{DataType, Field, Schema};
    use datafusion::physical_expr::aggregate::AggregateFunctionExpr;
    use datafusion::physical_plan::PhysicalExpr;
    use datafusion::physical_plan::aggregates::{AggregateMode, PhysicalGroupBy};
    use datafusion::physical_plan::empty::EmptyExec;

    use super::*;

    fn column(at: usize) -> (Arc<dyn PhysicalExpr>, String) {
        (Arc::new(Column::new(["a", "b", "c"][at], at)), ["a", "b", "c"][at].to_string())
    }

    fn grouped(keys: &[usize]) -> Arc<dyn ExecutionPlan> {
        let fields: Vec<Field> = ["a", "b", "c"].iter().map(|name| Field::new(*name, DataType::Int64, false)).collect();
        let schema = Arc::new(Schema::new(fields));
        let input = Arc::new(EmptyExec::new(Arc::clone(&schema)));
        let keys = PhysicalGroupBy::new_single(keys.iter().map(|at| column(*at)).collect());
        let none: Vec<Arc<AggregateFunctionExpr>> = Vec::new();
        Arc::new(AggregateExec::try_new(AggregateMode::Single, keys, none, vec![], input, schema).unwrap())
    }

    fn projected(input: &Arc<dyn ExecutionPlan>, columns: &[usize]) -> Arc<dyn ExecutionPlan> {
        let items = columns.iter().enumerate().map(|(at, from)| {
            let expr: Arc<dyn PhysicalExpr> = Arc::new(Column::new(input.schema().field(*from).name(), *from));
            (expr, format!("c{at}"))
        });
        Arc::new(ProjectionExec::try_new(items.collect::<Vec<_>>(), Arc::clone(input)).unwrap())
    }

    #[test]
    fn claims_of_other_columns_are_found() {
        let two = grouped(&[0, 1]);
        assert!(is_right(two.as_ref()));
        assert!(is_right(projected(&two, &[0, 1]).as_ref()));
        // Both columns together are still the key, in whatever order; one of them is none.
        assert!(is_right(projected(&two, &[1, 0]).as_ref()));
        let one = grouped(&[0, 1, 2]);
        assert!(is_right(projected(&one, &[2, 0, 1]).as_ref()));
        let keyed = grouped(&[1]);
        // DataFusion's fault, as long as it is there: the claim about the first column goes to whatever comes first.
        let constant: Arc<dyn PhysicalExpr> =
            Arc::new(datafusion::physical_expr::expressions::Literal::new(1i64.into()));
        let items = vec![(constant, "one".to_string()), (Arc::new(Column::new("b", 0)) as _, "b".to_string())];
        let moved: Arc<dyn ExecutionPlan> = Arc::new(ProjectionExec::try_new(items, keyed).unwrap());
        assert!(!is_right(moved.as_ref()), "{:?}", moved.equivalence_properties().constraints());
    }
}
