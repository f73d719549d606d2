//! `OrderCheckExec`: lets rows through that stand in the declared order, and ends the query at the first that does not.
//!
//! A file can say that it is sorted and not be; whoever relies on it (a sort left out, a merge, an aggregation of runs) would
//! answer wrongly without a word. The rule that places this operator does so only above scans whose order is relied upon.
//! Cost: a comparison a row. Memory: one row.

use std::cmp::Ordering;
use std::fmt;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, make_comparator};
use arrow::util::display::array_value_to_string;
use datafusion::common::Statistics;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::error::Result;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::LexOrdering;
use datafusion::physical_plan::statistics::{ChildStats, StatisticsArgs};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, PhysicalExpr, PlanProperties};
use futures::StreamExt;

use super::files::Files;
use super::user_runs::DISBELIEVE;
use crate::error::Error;

/// The operator.
#[derive(Debug)]
pub struct OrderCheckExec {
    input: Arc<dyn ExecutionPlan>,
    order: LexOrdering,
    /// The files read, for messages.
    files: Files,
}

impl OrderCheckExec {
    /// Checks each partition of `input`.
    pub fn new(input: Arc<dyn ExecutionPlan>, order: LexOrdering, files: Files) -> Self {
        Self { input, order, files }
    }

    /// What is checked.
    pub fn input(&self) -> &Arc<dyn ExecutionPlan> {
        &self.input
    }
}

impl DisplayAs for OrderCheckExec {
    fn fmt_as(&self, kind: DisplayFormatType, f: &mut fmt::Formatter) -> fmt::Result {
        match kind {
            DisplayFormatType::TreeRender => write!(f, "{}", self.order),
            _ => write!(f, "OrderCheckExec: [{}]", self.order),
        }
    }
}

impl ExecutionPlan for OrderCheckExec {
    fn name(&self) -> &'static str {
        "OrderCheckExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        self.input.properties()
    }

    fn maintains_input_order(&self) -> Vec<bool> {
        vec![true]
    }

    fn benefits_from_input_partitioning(&self) -> Vec<bool> {
        vec![false]
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn apply_expressions(
        &self,
        f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        for sort in &self.order {
            if f(&sort.expr)? == TreeNodeRecursion::Stop {
                return Ok(TreeNodeRecursion::Stop);
            }
        }
        Ok(TreeNodeRecursion::Continue)
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        let [input] = <[_; 1]>::try_from(children)
            .map_err(|c| Error::internal(format!("OrderCheckExec has one input, got {}", c.len())))?;
        Ok(Arc::new(Self::new(input, self.order.clone(), self.files.clone())))
    }

    fn child_stats_requests(&self, partition: Option<usize>) -> Vec<ChildStats> {
        vec![ChildStats::At(partition)]
    }

    fn statistics_from_inputs(&self, input: &[Arc<Statistics>], _args: &StatisticsArgs) -> Result<Arc<Statistics>> {
        match input {
            [input] => Ok(Arc::clone(input)),
            _ => Ok(Arc::new(Statistics::new_unknown(&self.schema()))),
        }
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let mut check = Check { order: self.order.clone(), files: self.files.clone(), last: None };
        let input = self.input.execute(partition, context)?;
        let checked = input.map(move |batch| {
            let batch = batch?;
            check.next(&batch)?;
            Ok(batch)
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema(), checked)))
    }
}

struct Check {
    order: LexOrdering,
    files: Files,
    /// The sort columns of the last row before.
    last: Option<Vec<ArrayRef>>,
}

impl Check {
    fn next(&mut self, batch: &RecordBatch) -> Result<()> {
        let rows = batch.num_rows();
        if rows == 0 {
            return Ok(());
        }
        let columns =
            self.order.iter().map(|s| s.expr.evaluate(batch)?.into_array(rows)).collect::<Result<Vec<_>>>()?;
        if let Some(last) = &self.last {
            self.compare(last, &columns, [(0, 0)].into_iter())?;
        }
        self.compare(&columns, &columns, (1..rows).map(|row| (row - 1, row)))?;
        self.last = Some(columns.iter().map(|c| c.slice(rows - 1, 1)).collect());
        Ok(())
    }

    fn compare(
        &self,
        left: &[ArrayRef],
        right: &[ArrayRef],
        pairs: impl Iterator<Item = (usize, usize)>,
    ) -> Result<()> {
        let comparators = (left.iter().zip(right).zip(&self.order))
            .map(|((left, right), sort)| make_comparator(left, right, sort.options))
            .collect::<Result<Vec<_>, _>>()?;
        for (before, after) in pairs {
            let order = comparators.iter().map(|c| c(before, after)).find(|o| o.is_ne()).unwrap_or(Ordering::Equal);
            if order.is_gt() {
                let show = |columns: &[ArrayRef], row| {
                    let values = columns.iter().map(|c| array_value_to_string(c, row).unwrap_or_default());
                    format!("({})", values.collect::<Vec<_>>().join(", "))
                };
                return Err(Error::data(format!(
                    "{}: declared to be ordered by {}, but {} comes after {}",
                    self.files.wrong_row(),
                    self.order.iter().map(|s| s.expr.to_string()).collect::<Vec<_>>().join(", "),
                    show(right, after),
                    show(left, before)
                ))
                .hint(DISBELIEVE)
                .into());
            }
        }
        Ok(())
    }
}
