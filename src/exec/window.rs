//! `WindowExec`: window functions in the memory of one partition (`PARTITION BY`), in place of all rows.
//!
//! ```text
//! DataFusion's WindowAggExec    reads all rows of its input, then evaluates, and asks the memory pool for nothing
//! PARTITION BY user             the input is in the order of users: evaluated when the next user begins
//! sum(x) OVER ()                the rows wait in a file while the aggregate is made, then pass by with its value
//! any other OVER (..)           needs all rows at once: they are held, and accounted for
//! ```
//!
//! Deals with: when rows can be evaluated, where they wait, memory. Does not deal with: what a window function answers: its
//! expressions are DataFusion's, and see the same rows as before.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, make_comparator};
use arrow::compute::{SortOptions, concat, concat_batches, partition};
use arrow::datatypes::SchemaRef;
use datafusion::common::ScalarValue;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryReservation};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::{Accumulator, WindowFrameBound, WindowFrameUnits};
use datafusion::physical_expr::window::{PlainAggregateWindowExpr, WindowExpr};
use datafusion::physical_expr_common::sort_expr::OrderingRequirements;
use datafusion::physical_plan::metrics::{BaselineMetrics, ExecutionPlanMetricsSet, MetricsSet, SpillMetrics};
use datafusion::physical_plan::spill::get_record_batch_memory_size;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::windows::WindowAggExec;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, InputDistributionRequirements, PhysicalExpr, PlanProperties,
    SpillManager,
};
use futures::{StreamExt, TryStreamExt};

use crate::error::Error;

/// Rows that wait for an aggregate over all of them are held in memory up to so many bytes, the rest in a file.
const WAITING: usize = 64 << 20;

/// The operator.
pub struct WindowExec {
    /// What is asked; it tells its properties too.
    window: Arc<WindowAggExec>,
    metrics: ExecutionPlanMetricsSet,
}

impl WindowExec {
    /// In place of DataFusion's.
    pub fn new(window: Arc<WindowAggExec>) -> Self {
        Self { window, metrics: ExecutionPlanMetricsSet::new() }
    }
}

impl fmt::Debug for WindowExec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WindowExec").field("window", &self.window).finish_non_exhaustive()
    }
}

impl DisplayAs for WindowExec {
    fn fmt_as(&self, kind: DisplayFormatType, f: &mut fmt::Formatter) -> fmt::Result {
        self.window.fmt_as(kind, f)
    }
}

impl ExecutionPlan for WindowExec {
    fn name(&self) -> &'static str {
        "WindowAggExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        self.window.properties()
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        self.window.children()
    }

    fn maintains_input_order(&self) -> Vec<bool> {
        self.window.maintains_input_order()
    }

    fn required_input_ordering(&self) -> Vec<Option<OrderingRequirements>> {
        self.window.required_input_ordering()
    }

    fn input_distribution_requirements(&self) -> InputDistributionRequirements {
        self.window.input_distribution_requirements()
    }

    fn apply_expressions(
        &self,
        f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        self.window.apply_expressions(f)
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        let [input] = <[_; 1]>::try_from(children)
            .map_err(|c| Error::internal(format!("WindowAggExec has one input, got {}", c.len())))?;
        let by_partition = !self.window.partition_keys().is_empty();
        let window = WindowAggExec::try_new(self.window.window_expr().to_vec(), input, by_partition)?;
        Ok(Arc::new(Self::new(Arc::new(window))))
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let input = self.window.input().execute(partition, Arc::clone(&context))?;
        let (schema, expressions) = (self.window.schema(), self.window.window_expr().to_vec());
        let metrics = BaselineMetrics::new(&self.metrics, partition);
        let name = format!("WindowAggExec[{partition}]");
        let consumer = || MemoryConsumer::new(name.clone());
        if let Some(aggregates) = over_all(&expressions) {
            let waiting = Waiting {
                rows: consumer().with_can_spill(true).register(context.memory_pool()),
                states: consumer().register(context.memory_pool()),
                spill: SpillManager::new(
                    context.runtime_env(),
                    SpillMetrics::new(&self.metrics, partition),
                    input.schema(),
                )
                .with_compression_type(context.session_config().spill_compression()),
                schema: Arc::clone(&schema),
                metrics,
            };
            let answers = futures::stream::once(waiting.run(input, aggregates)).try_flatten();
            return Ok(Box::pin(RecordBatchStreamAdapter::new(schema, answers)));
        }
        let keys = self.window.partition_by_sort_keys()?.into_iter().map(|key| key.expr).collect();
        let held = Held {
            reservation: consumer().register(context.memory_pool()),
            input: Some(input),
            schema: Arc::clone(&schema),
            expressions,
            keys,
            open: Vec::new(),
            bytes: 0,
            last: Vec::new(),
            ready: VecDeque::new(),
            rows_at_once: context.session_config().batch_size(),
            metrics,
        };
        let answers =
            futures::stream::try_unfold(
                held,
                |mut held| async move { Ok(held.next().await?.map(|batch| (batch, held))) },
            );
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, answers)))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }
}

/// The aggregates, where each of them has one value for all rows there are; `None` for other window functions.
fn over_all(expressions: &[Arc<dyn WindowExpr>]) -> Option<Vec<Arc<dyn WindowExpr>>> {
    let all = |expression: &Arc<dyn WindowExpr>| {
        let frame = expression.get_window_frame();
        let unordered = frame.units == WindowFrameUnits::Range && expression.order_by().is_empty();
        let whole = |bound: &WindowFrameBound| {
            bound.is_unbounded() || (unordered && matches!(bound, WindowFrameBound::CurrentRow))
        };
        expression.partition_by().is_empty()
            && whole(&frame.start_bound)
            && whole(&frame.end_bound)
            && expression.as_any().is::<PlainAggregateWindowExpr>()
            // What FILTER says is told nowhere else. Another wording of a later version holds the rows, as below.
            && format!("{expression:?}").ends_with("filter: None }")
    };
    expressions.iter().all(all).then(|| expressions.to_vec())
}

/// Rows that wait for aggregates over all of them.
struct Waiting {
    rows: MemoryReservation,
    states: MemoryReservation,
    spill: SpillManager,
    schema: SchemaRef,
    metrics: BaselineMetrics,
}

impl Waiting {
    async fn run(
        self,
        mut input: SendableRecordBatchStream,
        expressions: Vec<Arc<dyn WindowExpr>>,
    ) -> Result<impl futures::Stream<Item = Result<RecordBatch>>> {
        let mut states: Vec<Box<dyn Accumulator>> = Vec::new();
        for expression in &expressions {
            let Some(aggregate) = expression.as_any().downcast_ref::<PlainAggregateWindowExpr>() else {
                return Err(Error::internal("an aggregate over all rows is none").into());
            };
            states.push(aggregate.get_aggregate_expr().create_accumulator()?);
        }
        let mut held = Vec::new();
        let mut file = None;
        while let Some(batch) = input.next().await.transpose()? {
            let _timer = self.metrics.elapsed_compute().timer();
            for (state, expression) in states.iter_mut().zip(&expressions) {
                state.update_batch(&expression.evaluate_args(&batch)?)?;
            }
            self.states.try_resize(states.iter().map(|state| state.size()).sum())?;
            let bytes = get_record_batch_memory_size(&batch);
            let fits = file.is_none() && self.rows.size() + bytes <= WAITING;
            if fits && self.rows.try_grow(bytes).is_ok() {
                held.push((batch, bytes));
            } else {
                let file = match &mut file {
                    Some(file) => file,
                    none => none.insert(self.spill.create_in_progress_file("WindowAggExec")?),
                };
                file.append_batch(&batch)?;
            }
        }
        drop(input);
        let values = states.iter_mut().map(|state| state.evaluate()).collect::<Result<Vec<ScalarValue>>>()?;
        drop(states);
        self.states.free();
        let spilled = match file.map(|mut file| file.finish()).transpose()?.flatten() {
            Some(file) => self.spill.read_spill_as_stream(file, None)?.boxed(),
            None => futures::stream::empty().boxed(),
        };
        let Self { rows, schema, metrics, .. } = self;
        let answers = futures::stream::iter(held)
            .map(move |(batch, bytes)| {
                rows.shrink(bytes);
                Ok(batch)
            })
            .chain(spilled);
        Ok(answers.map(move |batch: Result<RecordBatch>| {
            let batch = batch?;
            let mut columns = batch.columns().to_vec();
            for value in &values {
                columns.push(value.to_array_of_size(batch.num_rows())?);
            }
            metrics.record_output(batch.num_rows());
            Ok(RecordBatch::try_new(Arc::clone(&schema), columns)?)
        }))
    }
}

/// Rows of partitions that are not over.
struct Held {
    /// `None` once it has ended.
    input: Option<SendableRecordBatchStream>,
    schema: SchemaRef,
    expressions: Vec<Arc<dyn WindowExpr>>,
    /// What the input is partitioned by, in the order in which it comes.
    keys: Vec<Arc<dyn PhysicalExpr>>,
    /// The rows of the partition that goes on.
    open: Vec<RecordBatch>,
    bytes: usize,
    /// Its keys, an array of one row each.
    last: Vec<ArrayRef>,
    ready: VecDeque<RecordBatch>,
    rows_at_once: usize,
    reservation: MemoryReservation,
    metrics: BaselineMetrics,
}

impl Held {
    async fn next(&mut self) -> Result<Option<RecordBatch>> {
        loop {
            if let Some(batch) = self.ready.pop_front() {
                self.metrics.record_output(batch.num_rows());
                return Ok(Some(batch));
            }
            let Some(input) = &mut self.input else { return Ok(None) };
            let batch = input.next().await.transpose()?;
            let timed = self.metrics.elapsed_compute().clone();
            let _timer = timed.timer();
            match batch {
                Some(batch) if batch.num_rows() == 0 => {}
                Some(batch) => self.take(batch)?,
                None => {
                    // What it holds is free before the last rows are evaluated.
                    self.input = None;
                    let rest = std::mem::take(&mut self.open);
                    self.evaluate(rest)?;
                }
            }
        }
    }

    fn take(&mut self, batch: RecordBatch) -> Result<()> {
        if self.keys.is_empty() {
            return self.hold(batch);
        }
        let evaluated = self.keys.iter().map(|key| key.evaluate(&batch)?.into_array(batch.num_rows()));
        let keys = evaluated.collect::<Result<Vec<ArrayRef>>>()?;
        let last_start = partition(&keys)?.ranges().last().map_or(0, |range| range.start);
        let mut goes_on = last_start == 0;
        for (last, key) in self.last.iter().zip(&keys) {
            goes_on = goes_on && make_comparator(last, key, SortOptions::default())?(0, 0).is_eq();
        }
        self.last = keys.iter().map(|key| key.slice(batch.num_rows() - 1, 1)).collect();
        if goes_on {
            return self.hold(batch);
        }
        let mut over = std::mem::take(&mut self.open);
        if last_start > 0 {
            over.push(batch.slice(0, last_start));
        }
        self.evaluate(over)?;
        self.hold(batch.slice(last_start, batch.num_rows() - last_start))
    }

    /// Rows of the partition that goes on. When it is over they are copied together.
    fn hold(&mut self, batch: RecordBatch) -> Result<()> {
        self.bytes += get_record_batch_memory_size(&batch);
        self.reservation.try_resize(2 * self.bytes)?;
        self.open.push(batch);
        Ok(())
    }

    /// Evaluates whole partitions.
    fn evaluate(&mut self, over: Vec<RecordBatch>) -> Result<()> {
        let Some(first) = over.first() else { return Ok(()) };
        let batch = match over.len() {
            1 => first.clone(),
            _ => concat_batches(&first.schema(), &over)?,
        };
        drop(over);
        let ranges = match self.keys.is_empty() {
            true => std::iter::once(0..batch.num_rows()).collect(),
            false => {
                let keys = self.keys.iter().map(|key| key.evaluate(&batch)?.into_array(batch.num_rows()));
                partition(&keys.collect::<Result<Vec<ArrayRef>>>()?)?.ranges()
            }
        };
        let mut columns = batch.columns().to_vec();
        for expression in &self.expressions {
            let of_partitions = ranges.iter().map(|range| expression.evaluate(&batch.slice(range.start, range.len())));
            let of_partitions = of_partitions.collect::<Result<Vec<ArrayRef>>>()?;
            columns.push(match of_partitions.as_slice() {
                [only] => Arc::clone(only),
                many => concat(&many.iter().map(|values| values.as_ref()).collect::<Vec<_>>())?,
            });
        }
        let answers = RecordBatch::try_new(Arc::clone(&self.schema), columns)?;
        for from in (0..answers.num_rows()).step_by(self.rows_at_once.max(1)) {
            self.ready.push_back(answers.slice(from, self.rows_at_once.min(answers.num_rows() - from)));
        }
        self.bytes = 0;
        self.reservation.try_resize(0).map_err(DataFusionError::from)
    }
}
