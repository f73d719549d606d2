//! `UserAggregateExec`: GROUP BY user over input in which each partition is ordered by user and goes on where the one
//! before it ends.
//!
//! No hash, no repartitioning, no sort. A user's answer is given when the next user begins; a user that lies on the cut
//! between partitions is answered by whichever partition ends last, from the partial states of all (`edges`).
//! So a partition may begin and end anywhere, even in the middle of one huge user.
//!
//! Memory: the state of the users of about one batch, whatever their number; a user with very many events is held alone.
//! It is accounted for in the pool; what does not fit is an error that names this operator, since one user cannot spill.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;

use arrow::array::RecordBatch;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{Constraint, Constraints};
use datafusion::error::Result;
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryPool, MemoryReservation};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_expr::{EquivalenceProperties, PhysicalSortExpr};
use datafusion::physical_plan::execution_plan::EmissionType;
use datafusion::physical_plan::metrics::{BaselineMetrics, ExecutionPlanMetricsSet, MetricsSet};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties, Partitioning, PhysicalExpr, PlanProperties,
};
use futures::StreamExt;
use parking_lot::Mutex;

use super::edges::{self, EdgeUser, Edges};
use super::user_runs::{UserQuestion, UserRuns};
use crate::error::Error;

/// Users answered at once: enough to keep the operators above busy, few enough to stay in the cache.
const USERS_AT_ONCE: usize = 2_048;
/// Bytes of state at which finished users are answered even if they are few.
const BYTES_AT_ONCE: usize = 2 << 20;

/// The operator.
pub struct UserAggregateExec {
    input: Arc<dyn ExecutionPlan>,
    question: Arc<UserQuestion>,
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
    /// One for each execution under way: a plan may be run again.
    edges: Mutex<Vec<Arc<Edges>>>,
}

impl fmt::Debug for UserAggregateExec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UserAggregateExec").field("input", &self.input).finish_non_exhaustive()
    }
}

impl UserAggregateExec {
    /// Over an input whose partitions are consecutive ranges of rows in the order of the user.
    pub fn new(input: Arc<dyn ExecutionPlan>, question: UserQuestion) -> Self {
        Self::over(input, Arc::new(question))
    }

    fn over(input: Arc<dyn ExecutionPlan>, question: Arc<UserQuestion>) -> Self {
        let partitions = input.output_partitioning().partition_count();
        let mut known = EquivalenceProperties::new(Arc::clone(&question.schema))
            .with_constraints(Constraints::new_unverified(vec![Constraint::Unique(vec![0])]));
        if partitions == 1 {
            // With edges, the users on them come last.
            let user = Arc::new(Column::new(question.schema.field(0).name(), 0));
            known.add_ordering([PhysicalSortExpr::new(user, question.order)]);
        }
        let properties = PlanProperties::new(
            known,
            Partitioning::UnknownPartitioning(partitions),
            EmissionType::Incremental,
            input.boundedness(),
        );
        let (metrics, edges) = Default::default();
        Self { input, question, properties: Arc::new(properties), metrics, edges }
    }

    /// The edges of the execution that this partition belongs to: the first one in which it has not started.
    fn edges(&self, partition: usize) -> Arc<Edges> {
        let mut executions = self.edges.lock();
        if let Some(under_way) = executions.iter().find(|e| e.start(partition)) {
            return Arc::clone(under_way);
        }
        let edges = Edges::new(self.input.output_partitioning().partition_count());
        edges.start(partition);
        executions.push(Arc::clone(&edges));
        edges
    }
}

impl DisplayAs for UserAggregateExec {
    fn fmt_as(&self, kind: DisplayFormatType, f: &mut fmt::Formatter) -> fmt::Result {
        let aggregates: Vec<&str> = self.question.aggregates.iter().map(|a| a.name()).collect();
        match kind {
            DisplayFormatType::TreeRender => write!(f, "user={}", self.question.key),
            _ => {
                write!(f, "UserAggregateExec: user={}, aggr=[{}]", self.question.key, aggregates.join(", "))?;
                match &self.question.rows {
                    Some(rows) => write!(f, ", where={rows}"),
                    None => Ok(()),
                }
            }
        }
    }
}

impl ExecutionPlan for UserAggregateExec {
    fn name(&self) -> &'static str {
        "UserAggregateExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn benefits_from_input_partitioning(&self) -> Vec<bool> {
        vec![false]
    }

    fn apply_expressions(
        &self,
        f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        let UserQuestion { key, rows, arguments, filters, .. } = self.question.as_ref();
        let conditions = rows.iter().chain(filters.iter().flatten());
        for expression in std::iter::once(key).chain(arguments.iter().flatten()).chain(conditions) {
            if f(expression)? == TreeNodeRecursion::Stop {
                return Ok(TreeNodeRecursion::Stop);
            }
        }
        Ok(TreeNodeRecursion::Continue)
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        let [input] = <[_; 1]>::try_from(children)
            .map_err(|c| Error::internal(format!("UserAggregateExec has one input, got {}", c.len())))?;
        Ok(Arc::new(Self::over(input, Arc::clone(&self.question))))
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let question = Arc::clone(&self.question);
        let runs = UserRuns::new(Arc::clone(&question))?;
        let partitions = self.input.output_partitioning().partition_count();
        let pool = Arc::clone(context.memory_pool());
        let running = Running {
            reservation: MemoryConsumer::new(format!("UserAggregateExec[{partition}]")).register(&pool),
            pool,
            metrics: BaselineMetrics::new(&self.metrics, partition),
            edges: (partitions > 1).then(|| self.edges(partition)),
            edge_users: Vec::new(),
            partition,
            runs,
            question,
            input: Some(self.input.execute(partition, context)?),
            ready: VecDeque::new(),
        };
        let schema = Arc::clone(&self.question.schema);
        let stream = futures::stream::try_unfold(running, |mut running| async move {
            loop {
                if let Some(batch) = running.ready.pop_front() {
                    return Ok(Some((batch, running)));
                }
                let Some(input) = &mut running.input else { return Ok(None) };
                match input.next().await {
                    Some(batch) => running.take(&batch?)?,
                    None => {
                        running.input = None;
                        running.end()?;
                    }
                }
            }
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, stream)))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }
}

/// One partition being evaluated.
struct Running {
    input: Option<SendableRecordBatchStream>,
    runs: UserRuns,
    question: Arc<UserQuestion>,
    partition: usize,
    /// Where edge users go; `None` where there is one partition, which has no edges.
    edges: Option<Arc<Edges>>,
    edge_users: Vec<EdgeUser>,
    /// Answers not yet given out.
    ready: VecDeque<RecordBatch>,
    reservation: MemoryReservation,
    pool: Arc<dyn MemoryPool>,
    metrics: BaselineMetrics,
}

impl Running {
    fn take(&mut self, batch: &RecordBatch) -> Result<()> {
        let timed = self.metrics.elapsed_compute().clone();
        let _timer = timed.timer();
        self.runs.push(batch)?;
        if self.edges.is_some() && self.edge_users.is_empty() && self.runs.finished() > 0 {
            self.take_edge()?;
        }
        let size = self.runs.size();
        self.reservation.try_resize(size)?;
        let finished = self.runs.finished();
        if finished >= USERS_AT_ONCE || (finished > 0 && size >= BYTES_AT_ONCE) {
            self.answer(finished)?;
        }
        Ok(())
    }

    fn end(&mut self) -> Result<()> {
        let timed = self.metrics.elapsed_compute().clone();
        let _timer = timed.timer();
        let Some(edges) = self.edges.take() else {
            return self.answer(self.runs.groups());
        };
        if self.runs.finished() > 0 {
            self.answer(self.runs.finished())?;
        }
        if self.runs.groups() > 0 {
            self.take_edge()?;
        }
        self.reservation.free();
        let Some(all) = edges.end(self.partition, std::mem::take(&mut self.edge_users)) else { return Ok(()) };
        if let Some(batch) = edges::answer(all, &self.question)? {
            self.give(batch);
        }
        Ok(())
    }

    fn answer(&mut self, count: usize) -> Result<()> {
        if count > 0 {
            let batch = self.runs.answer(count)?;
            self.give(batch);
        }
        Ok(())
    }

    fn give(&mut self, batch: RecordBatch) {
        self.metrics.record_output(batch.num_rows());
        self.ready.push_back(batch);
    }

    fn take_edge(&mut self) -> Result<()> {
        let held = MemoryConsumer::new("UserAggregateExec").register(&self.pool);
        self.edge_users.push(self.runs.take_edge(held)?);
        Ok(())
    }
}
