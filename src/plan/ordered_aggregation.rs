//! GROUP BY user over files ordered by user: one pass in place of hashing.
//!
//! ```text
//! SELECT user_id, window_funnel(..) FROM events GROUP BY user_id        -- events ordered by (user_id, ts)
//!
//! before: AggregateExec: mode=FinalPartitioned           after: UserAggregateExec: user=user_id
//!           RepartitionExec: Hash([user_id])                      FilterExec
//!             AggregateExec: mode=Partial                           DataSourceExec: consecutive ranges of rows
//!               FilterExec
//!                 DataSourceExec
//! ```
//!
//! Deals with: finding such aggregations, and giving the operators above them what they rely on.
//! Does not deal with: when a scan is in order (`ordered_scan`), other keys than one column.
//!
//! The hash aggregation hands its groups on partitioned by user, perhaps sorted; this one does not. Where an operator above
//! relies on that, the answers (a row a user, far fewer than events) are repartitioned or sorted.

use std::sync::Arc;

use datafusion::common::config::ConfigOptions;
use datafusion::error::Result;
use datafusion::physical_expr::LexOrdering;
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::aggregates::{AggregateExec, AggregateMode};
use datafusion::physical_plan::coalesce_partitions::CoalescePartitionsExec;
use datafusion::physical_plan::execution_plan::replace_children_if_necessary;
use datafusion::physical_plan::repartition::RepartitionExec;
use datafusion::physical_plan::sorts::sort::SortExec;
use datafusion::physical_plan::sorts::sort_preserving_merge::SortPreservingMergeExec;
use datafusion::physical_plan::{ExecutionPlan, ExecutionPlanProperties, Partitioning};

use super::ordered_scan::{Known, ordered_input};
use super::relied_on::{NOTHING, ReliedOn};
use super::rows_asked::asked_of_rows;
use crate::config::TenureOptions;
use crate::exec::user_aggregate::UserAggregateExec;
use crate::exec::user_runs::UserQuestion;
use crate::store::footers::Footers;

/// The rule.
#[derive(Debug)]
pub struct OrderedAggregation(pub Footers);

impl PhysicalOptimizerRule for OrderedAggregation {
    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, config: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        let wanted = config.extensions.get::<TenureOptions>().is_none_or(|o| o.ordered_execution);
        if !wanted {
            return Ok(plan);
        }
        // Of several partitions nobody sees an order: where one was asked for, they are merged.
        let order = plan.output_ordering().is_some() && plan.output_partitioning().partition_count() == 1;
        let relied_on = ReliedOn { hash: false, order, first: None };
        rewrite(plan, relied_on, config, &self.0)
    }

    fn name(&self) -> &str {
        "ordered_aggregation"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

fn rewrite(
    plan: Arc<dyn ExecutionPlan>,
    relied_on: ReliedOn,
    config: &ConfigOptions,
    footers: &Footers,
) -> Result<Arc<dyn ExecutionPlan>> {
    let beside = |plan| rewrite(plan, NOTHING, config, footers);
    let known = Known { config, footers, beside: &beside };
    if let Some(aggregate) = plan.downcast_ref::<AggregateExec>()
        && let Some(replaced) = replace(aggregate, relied_on, known)?
    {
        return Ok(replaced);
    }
    let children = (plan.children().into_iter().enumerate())
        .map(|(at, child)| rewrite(Arc::clone(child), relied_on.below(plan.as_ref(), at), config, footers))
        .collect::<Result<Vec<_>>>()?;
    replace_children_if_necessary(plan, children)
}

/// The aggregation that reads raw rows: the last of the stages below a final one.
fn first_stage(aggregate: &AggregateExec) -> Option<&AggregateExec> {
    match aggregate.mode() {
        AggregateMode::Single | AggregateMode::SinglePartitioned => Some(aggregate),
        AggregateMode::Final | AggregateMode::FinalPartitioned => {
            let mut below = aggregate.input();
            loop {
                if let Some(partial) = below.downcast_ref::<AggregateExec>() {
                    return (*partial.mode() == AggregateMode::Partial).then_some(partial);
                }
                let moves = below.is::<RepartitionExec>()
                    || below.is::<CoalescePartitionsExec>()
                    || below.is::<SortPreservingMergeExec>();
                below = match below.children().as_slice() {
                    [only] if moves => only,
                    _ => return None,
                };
            }
        }
        _ => None,
    }
}

fn replace(aggregate: &AggregateExec, relied_on: ReliedOn, known: Known) -> Result<Option<Arc<dyn ExecutionPlan>>> {
    let Some(raw) = first_stage(aggregate) else { return Ok(None) };
    let by = raw.group_expr();
    let [(key, _)] = by.expr() else { return Ok(None) };
    // DISTINCT with a LIMIT says itself how many groups are enough; other limits choose groups by what they aggregate.
    let limits = || [aggregate, raw].into_iter().filter_map(AggregateExec::limit_options);
    let plain = by.is_single()
        && limits().all(|limit| limit.descending().is_none() && raw.aggr_expr().is_empty())
        && [aggregate, raw].iter().all(|a| a.dynamic_expressions_produced().is_empty())
        && raw.aggr_expr().iter().all(|a| a.order_bys().is_empty());
    let Some(column) = key.downcast_ref::<Column>().filter(|_| plain) else { return Ok(None) };
    let Some(input) = ordered_input(raw.input(), column.index(), known)? else { return Ok(None) };
    let schema = aggregate.schema();
    let asked = asked_of_rows(raw, key, &input.plan)?;
    let question = UserQuestion {
        key: asked.key,
        order: input.order,
        rows: asked.rows,
        aggregates: raw.aggr_expr().to_vec(),
        arguments: asked.arguments,
        filters: asked.filters,
        schema: Arc::clone(&schema),
        files: input.files,
    };
    let first = limits().map(|limit| limit.limit()).chain(relied_on.first).min();
    let exec = UserAggregateExec::new(asked.input, question, input.cut);

    // What the hash aggregation gave and somebody relies on.
    let before = aggregate.cache().output_partitioning();
    let spread = relied_on.hash && before.partition_count() > 1;
    let order = aggregate.cache().output_ordering().filter(|_| relied_on.order);
    let in_order = match order {
        Some(order) => exec.properties().equivalence_properties().ordering_satisfy(order.iter().cloned())?,
        None => true,
    };
    // Where answers are moved or sorted first, the first of them are not those that are wanted first.
    let mut plan: Arc<dyn ExecutionPlan> = match first {
        Some(first) if in_order && !spread => Arc::new(exec.with_first(first)),
        _ => Arc::new(exec),
    };
    if spread {
        let user = Arc::new(Column::new(schema.field(0).name(), 0));
        let hash = Partitioning::Hash(vec![user], before.partition_count());
        plan = Arc::new(RepartitionExec::try_new(plan, hash)?);
    }
    if let Some(order) = order
        && !plan.equivalence_properties().ordering_satisfy(order.iter().cloned())?
    {
        let one = plan.output_partitioning().partition_count() == 1;
        plan = Arc::new(SortExec::new(LexOrdering::clone(order), plan).with_preserve_partitioning(!one));
    }
    if before.partition_count() == 1 && plan.output_partitioning().partition_count() > 1 {
        plan = match order {
            Some(order) => Arc::new(SortPreservingMergeExec::new(LexOrdering::clone(order), plan)),
            None => Arc::new(CoalescePartitionsExec::new(plan)),
        };
    }
    Ok(Some(plan))
}
