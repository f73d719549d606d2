//! Physical rule: under a memory limit, a hash join whose build side will not fit becomes a join of sorted inputs, which spill.
//!
//! ```text
//! SELECT .. FROM events a JOIN events b ON a.user_id = b.user_id AND a.ts = b.ts      -- 20 million rows, in 256 MB
//!
//! before: HashJoinExec: mode=Partitioned          after: SortMergeJoinExec
//!           DataSourceExec (all rows in memory)             DataSourceExec (sorted by the rules that follow)
//!           DataSourceExec                                  DataSourceExec
//! ```
//!
//! Stands behind the rule that chooses the build side, and before those that place repartitions and sorts.
//! Deals with: which joins those are. Does not deal with: joins without an equality, a build side that statistics know too little of or that turns
//! out larger than they say (an error, which names the join), or where the two kinds of join could differ: keys of floats, conditions beside the keys.

use std::sync::Arc;

use arrow::compute::SortOptions;
use arrow::datatypes::{DataType, Schema};
use datafusion::common::JoinType;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::error::Result;
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::aggregates::AggregateExec;
use datafusion::physical_plan::joins::{HashJoinExec, PartitionMode, SortMergeJoinExec};
use datafusion::physical_plan::projection::ProjectionExec;
use datafusion::physical_plan::statistics::{StatisticsArgs, StatisticsContext};
use datafusion::physical_plan::union::UnionExec;
use datafusion::physical_plan::unnest::UnnestExec;

use crate::exec::one_batch::BYTES_OF_ROW;

/// The part of the limit that a build side may fill: statistics may be wrong, and it is not alone.
const SHARE: (usize, usize) = (2, 3);

/// An entry of the hash table, with its byte of control.
const BUCKET: usize = size_of::<(u64, u32)>() + 1;

/// What a value without a fixed width is believed to take.
const TEXT: usize = 32;

/// The rule, for so many bytes.
#[derive(Debug)]
pub struct SortedJoins(pub usize);

impl PhysicalOptimizerRule for SortedJoins {
    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, config: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        let most = self.0 / SHARE.1 * SHARE.0;
        plan.transform_up(|node| {
            let Some(join) = node.downcast_ref::<HashJoinExec>().filter(|join| means_the_same(join)) else {
                return Ok(Transformed::no(node));
            };
            let bytes = bytes_to_build(join, config.execution.target_partitions);
            if bytes.is_none_or(|bytes| bytes <= most) {
                return Ok(Transformed::no(node));
            }
            Ok(Transformed::yes(sorted(join)?))
        })
        .data()
    }

    fn name(&self) -> &str {
        "sorted_joins"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

/// Whether the join of sorted inputs has the same rows.
fn means_the_same(join: &HashJoinExec) -> bool {
    // Some kinds compare keys of fewer types.
    let of_some_types = match join.join_type() {
        JoinType::Inner | JoinType::Left | JoinType::Right | JoinType::Full => false,
        JoinType::LeftSemi | JoinType::RightSemi | JoinType::LeftAnti | JoinType::RightAnti => true,
        JoinType::LeftMark | JoinType::RightMark => return false,
    };
    let (left, right) = (join.left().schema(), join.right().schema());
    let keys_compare = join.on().iter().all(|(a, b)| match (a.data_type(&left), b.data_type(&right)) {
        (Ok(a), Ok(b)) => a == b && compares(&a, of_some_types),
        _ => false,
    });
    // The other join takes the columns of a condition in the order of its sides, and not in theirs.
    join.filter().is_none() && !join.null_aware && join.fetch().is_none() && keys_compare
}

fn compares(key: &DataType, of_some_types: bool) -> bool {
    match key {
        DataType::Timestamp(_, zone) => zone.is_none() || !of_some_types,
        DataType::Boolean
        | DataType::Date32
        | DataType::Date64
        | DataType::Decimal128(..)
        | DataType::Utf8
        | DataType::LargeUtf8
        | DataType::Utf8View => true,
        other => other.is_integer(),
    }
}

/// The memory of the build side: its rows, the hash table, and what the join holds for each row beside them.
fn bytes_to_build(join: &HashJoinExec, partitions: usize) -> Option<usize> {
    let build = join.left();
    if build.exists(|below| Ok(is_guessed(below.as_ref()))).unwrap_or(true) {
        return None;
    }
    let statistics = StatisticsContext::new().compute(build.as_ref(), &StatisticsArgs::new()).ok()?;
    let rows = *statistics.num_rows.get_value()?;
    let partitions = if *join.partition_mode() == PartitionMode::CollectLeft { 1 } else { partitions.max(1) };
    let buckets = (rows / partitions).saturating_mul(8).saturating_div(7).checked_next_power_of_two()?;
    let table = buckets.saturating_mul(partitions).saturating_mul(BUCKET);
    Some(rows.saturating_mul(width(&build.schema()) + BYTES_OF_ROW).saturating_add(table))
}

/// Whether statistics only tell how many rows there are at the most, often far too many: a group for every row, a match for every pair.
fn is_guessed(plan: &dyn ExecutionPlan) -> bool {
    plan.is::<AggregateExec>() || plan.is::<UnnestExec>() || plan.children().len() > 1 && !plan.is::<UnionExec>()
}

fn width(schema: &Schema) -> usize {
    let of_type = |data_type: &DataType| match data_type {
        DataType::Boolean => 1,
        DataType::Dictionary(key, _) => key.primitive_width().unwrap_or(TEXT),
        other => other.primitive_width().unwrap_or(TEXT),
    };
    schema.fields().iter().map(|field| of_type(field.data_type())).sum()
}

fn sorted(join: &HashJoinExec) -> Result<Arc<dyn ExecutionPlan>> {
    let keys = join.on().to_vec();
    let order = vec![SortOptions::default(); keys.len()];
    let (left, right) = (Arc::clone(join.left()), Arc::clone(join.right()));
    let merge = SortMergeJoinExec::try_new(left, right, keys, None, *join.join_type(), order, join.null_equality())?;
    let Some(columns) = &join.projection else { return Ok(Arc::new(merge)) };
    let schema = merge.schema();
    let columns = columns.iter().map(|&at| {
        let name = schema.field(at).name();
        (Arc::new(Column::new(name, at)) as _, name.clone())
    });
    let columns: Vec<_> = columns.collect();
    Ok(Arc::new(ProjectionExec::try_new(columns, Arc::new(merge))?))
}
