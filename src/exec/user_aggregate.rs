//! `UserAggregateExec`: GROUP BY user over input ordered by user.
//!
//! No hash, no repartitioning, no sort. A user's answer is given when the next user begins. There are two ways to cut the
//! users into partitions:
//! - **Consecutive ranges of rows.** Each partition of the input goes on where the one before it ends. A user that lies on
//!   the cut is answered by whichever partition ends last, from the partial states of all (`edges`), so a partition may
//!   begin and end anywhere, even in the middle of one huge user.
//! - **Ranges of users.** Where files overlap, each partition merges what several inputs hold of its users (`merge`), and
//!   no other partition has any of them.
//!
//! Memory: the state of the users of about one batch, whatever their number, and where inputs are merged a batch of each; a
//! user with very many events is held alone. It is accounted for in the pool; what does not fit is an error that names this
//! operator, since one user cannot spill.
//! LIMIT: rows stop being read once enough users are answered.

use std::fmt;
use std::sync::Arc;

use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{Constraint, Constraints};
use datafusion::error::Result;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_expr::{EquivalenceProperties, PhysicalSortExpr};
use datafusion::physical_plan::execution_plan::EmissionType;
use datafusion::physical_plan::metrics::{ExecutionPlanMetricsSet, MetricsSet};
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties, Partitioning, PhysicalExpr, PlanProperties,
};
use parking_lot::Mutex;

use super::edges::Edges;
use super::merge::{Keys, Merge, Share};
use super::partition::{Running, Source};
use super::user_runs::{UserQuestion, UserRuns};
use crate::error::Error;

/// How the input's partitions hold the users.
#[derive(Debug, Clone)]
pub enum Cut {
    /// Consecutive ranges of rows in the order of the user; a user may lie in several.
    Rows,
    /// Several partitions of the input, ordered by user each, hold the users of one partition of the output.
    Users {
        /// One for each partition of the output.
        shares: Arc<[Share]>,
        /// How many files that are, for EXPLAIN.
        files: usize,
    },
}

/// The operator.
pub struct UserAggregateExec {
    input: Arc<dyn ExecutionPlan>,
    question: Arc<UserQuestion>,
    cut: Cut,
    /// Answers of which a partition need not give more.
    first: Option<usize>,
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
    /// Over an input whose partitions hold the users as `cut` says.
    pub fn new(input: Arc<dyn ExecutionPlan>, question: UserQuestion, cut: Cut) -> Self {
        Self::over(input, Arc::new(question), cut, None)
    }

    /// The same where so many answers of each partition are enough.
    pub fn with_first(self, answers: usize) -> Self {
        Self { first: Some(answers), ..self }
    }

    fn over(input: Arc<dyn ExecutionPlan>, question: Arc<UserQuestion>, cut: Cut, first: Option<usize>) -> Self {
        let partitions = match &cut {
            Cut::Rows => input.output_partitioning().partition_count(),
            Cut::Users { shares, .. } => shares.len(),
        };
        let mut known = EquivalenceProperties::new(Arc::clone(&question.schema))
            .with_constraints(Constraints::new_unverified(vec![Constraint::Unique(vec![0])]));
        if partitions == 1 || matches!(cut, Cut::Users { .. }) {
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
        Self { input, question, cut, first, properties: Arc::new(properties), metrics, edges }
    }

    fn partitions(&self) -> usize {
        self.properties.partitioning.partition_count()
    }

    /// The edges of the execution that this partition belongs to: the first one in which it has not started.
    fn edges(&self, partition: usize) -> Arc<Edges> {
        let mut executions = self.edges.lock();
        if let Some(under_way) = executions.iter().find(|e| e.start(partition)) {
            return Arc::clone(under_way);
        }
        let edges = Edges::new(self.partitions());
        edges.start(partition);
        executions.push(Arc::clone(&edges));
        edges
    }
}

impl DisplayAs for UserAggregateExec {
    fn fmt_as(&self, kind: DisplayFormatType, f: &mut fmt::Formatter) -> fmt::Result {
        let aggregates: Vec<&str> = self.question.aggregates.iter().map(|a| a.name()).collect();
        if kind == DisplayFormatType::TreeRender {
            return write!(f, "user={}", self.question.key);
        }
        write!(f, "UserAggregateExec: user={}, aggr=[{}]", self.question.key, aggregates.join(", "))?;
        for (at, rows) in self.question.rows.iter().enumerate() {
            write!(f, "{}{rows}", if at == 0 { ", where=" } else { " AND " })?;
        }
        if let Cut::Users { files, .. } = self.cut {
            write!(f, ", merging {files} files")?;
        }
        match self.first {
            Some(first) => write!(f, ", first={first}"),
            None => Ok(()),
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
        Ok(Arc::new(Self::over(input, Arc::clone(&self.question), self.cut.clone(), self.first)))
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let question = Arc::clone(&self.question);
        let (source, edges) = match &self.cut {
            Cut::Rows => {
                let edges = (self.partitions() > 1).then(|| self.edges(partition));
                let rows = self.input.execute(partition, Arc::clone(&context))?;
                (Source::Single { rows, runs: UserRuns::new(Arc::clone(&question))? }, edges)
            }
            Cut::Users { shares, .. } => {
                let share = &shares[partition];
                let user = question.key.data_type(&self.input.schema())?;
                let keys = Keys::new(&user, question.order)?
                    .ok_or_else(|| Error::internal(format!("users of type {user} have no keys")))?;
                let inputs = share.inputs.clone().map(|at| self.input.execute(at, Arc::clone(&context)));
                let inputs = inputs.collect::<Result<Vec<_>>>()?;
                (Source::Merged(Merge::new(Arc::clone(&question), keys, share, inputs)?), None)
            }
        };
        Ok(Running::new(source, edges, partition, question, self.first, &self.metrics, &context).stream())
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }
}
