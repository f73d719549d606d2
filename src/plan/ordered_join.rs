//! A join of the events with a smaller side, as of users: it keeps the order of the events.
//!
//! ```text
//! SELECT e.user_id, count(*) FROM events e JOIN users u USING (user_id) WHERE u.country = 'de' GROUP BY e.user_id
//!
//! HashJoinExec: mode=CollectLeft           the users are collected once, each partition of the events looks its rows up as
//!   FilterExec: country = de               they come; so does a join that was partitioned by hash, which would have moved
//!     DataSourceExec: users                every event
//!   DataSourceExec: events, ranges of rows
//! ```
//!
//! Deals with: which joins those are, and which column of the events a column of the join is.
//! Does not deal with: the scan below (`ordered_scan`).

use std::sync::Arc;

use datafusion::common::JoinType;
use datafusion::error::Result;
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_plan::coalesce_partitions::CoalescePartitionsExec;
use datafusion::physical_plan::joins::{HashJoinExec, PartitionMode};
use datafusion::physical_plan::repartition::RepartitionExec;
use datafusion::physical_plan::statistics::{StatisticsArgs, StatisticsContext};
use datafusion::physical_plan::{ExecutionPlan, ExecutionPlanProperties, Partitioning};

use super::ordered_scan::{Known, OrderedInput, ordered_input};

/// The join over ordered events, if it can be and `column` is a column of the events.
pub fn ordered_join(join: &HashJoinExec, column: usize, known: Known) -> Result<Option<OrderedInput>> {
    let keeps_order = join.maintains_input_order().get(1).copied().unwrap_or(false);
    if !keeps_order || join.fetch().is_some() {
        return Ok(None);
    }
    let Some(column) = probed_column(join, column) else { return Ok(None) };
    let (small, events) = match join.partition_mode() {
        PartitionMode::CollectLeft => (Arc::clone(join.left()), join.right()),
        PartitionMode::Partitioned => match before_hash(join.right()) {
            Some(events) if is_smaller(join.left(), events) => (Arc::clone(join.left()), events),
            _ => return Ok(None),
        },
        PartitionMode::Auto => return Ok(None),
    };
    let Some(below) = ordered_input(events, column, known)? else { return Ok(None) };
    let small = (known.beside)(Arc::clone(before_hash(&small).unwrap_or(&small)))?;
    let small = match small.output_partitioning().partition_count() {
        1 => small,
        _ => Arc::new(CoalescePartitionsExec::new(small)),
    };
    let plan = join
        .builder()
        .with_partition_mode(PartitionMode::CollectLeft)
        .recompute_properties()
        .with_new_children(vec![small, Arc::clone(&below.plan)])?
        .build_exec()?;
    Ok(Some(OrderedInput { plan, ..below }))
}

/// The column of the probed side that a column of the join is, or equals.
fn probed_column(join: &HashJoinExec, column: usize) -> Option<usize> {
    let column = join.projection.as_ref().map_or(Some(column), |p| p.get(column).copied())?;
    let (left, right) = (join.left().schema(), join.right().schema());
    match join.join_type() {
        JoinType::RightSemi | JoinType::RightAnti | JoinType::RightMark => {
            (column < right.fields().len()).then_some(column)
        }
        JoinType::Inner | JoinType::Right if column >= left.fields().len() => Some(column - left.fields().len()),
        JoinType::Inner => join.on().iter().find_map(|(a, b)| {
            let (a, b) = (a.downcast_ref::<Column>()?, b.downcast_ref::<Column>()?);
            let same_type = left.field(a.index()).data_type() == right.field(b.index()).data_type();
            (a.index() == column && same_type).then_some(b.index())
        }),
        _ => None,
    }
}

/// What was repartitioned by hash for the join.
fn before_hash(side: &Arc<dyn ExecutionPlan>) -> Option<&Arc<dyn ExecutionPlan>> {
    let repartition = side.downcast_ref::<RepartitionExec>()?;
    matches!(repartition.partitioning(), Partitioning::Hash(..)).then(|| repartition.input())
}

fn is_smaller(small: &Arc<dyn ExecutionPlan>, large: &Arc<dyn ExecutionPlan>) -> bool {
    let rows = |plan: &Arc<dyn ExecutionPlan>| {
        let statistics = StatisticsContext::new().compute(plan.as_ref(), &StatisticsArgs::new()).ok()?;
        statistics.num_rows.get_value().copied()
    };
    rows(small).zip(rows(large)).is_some_and(|(small, large)| small <= large)
}
