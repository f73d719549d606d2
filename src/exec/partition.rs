//! One partition of `UserAggregateExec` under way: from rows that come in to batches of answers.
//!
//! Deals with: when finished users are answered, edge users, memory, when enough is answered. Does not deal with: where users
//! begin (`user_runs`), merging inputs (`merge`).

use std::collections::VecDeque;
use std::sync::Arc;

use arrow::array::RecordBatch;
use datafusion::error::Result;
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryPool, MemoryReservation};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_plan::metrics::{BaselineMetrics, ExecutionPlanMetricsSet};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use futures::StreamExt;

use super::edges::{self, EdgeUser, Edges};
use super::merge::Merge;
use super::user_runs::{UserQuestion, UserRuns};

/// Users answered at once: enough to keep the operators above busy, few enough to stay in the cache.
const USERS_AT_ONCE: usize = 1_024;
/// Bytes of state at which finished users are answered even if they are few.
const BYTES_AT_ONCE: usize = 2 << 20;

/// Where the rows come from.
pub enum Source {
    /// One input.
    Single {
        /// Its rows.
        rows: SendableRecordBatchStream,
        /// The users met.
        runs: UserRuns,
    },
    /// Several.
    Merged(Merge),
}

impl Source {
    fn runs(&mut self) -> &mut UserRuns {
        match self {
            Self::Single { runs, .. } => runs,
            Self::Merged(merge) => merge.runs(),
        }
    }

    fn size(&self) -> usize {
        match self {
            Self::Single { runs, .. } => runs.size(),
            Self::Merged(merge) => merge.size(),
        }
    }
}

/// One partition being evaluated.
pub struct Running {
    /// `None` once it has ended or enough is answered.
    source: Option<Source>,
    question: Arc<UserQuestion>,
    partition: usize,
    /// Where edge users go; `None` where there are none.
    edges: Option<Arc<Edges>>,
    edge_users: Vec<EdgeUser>,
    /// Answers still wanted; `None` is all.
    wanted: Option<usize>,
    /// Answers not yet given out.
    ready: VecDeque<RecordBatch>,
    reservation: MemoryReservation,
    pool: Arc<dyn MemoryPool>,
    metrics: BaselineMetrics,
}

impl Running {
    /// Nothing read yet.
    pub fn new(
        source: Source,
        edges: Option<Arc<Edges>>,
        partition: usize,
        question: Arc<UserQuestion>,
        wanted: Option<usize>,
        metrics: &ExecutionPlanMetricsSet,
        context: &TaskContext,
    ) -> Self {
        let pool = Arc::clone(context.memory_pool());
        Self {
            source: Some(source).filter(|_| wanted != Some(0)),
            reservation: MemoryConsumer::new(format!("UserAggregateExec[{partition}]")).register(&pool),
            pool,
            metrics: BaselineMetrics::new(metrics, partition),
            edges,
            edge_users: Vec::new(),
            partition,
            question,
            wanted,
            ready: VecDeque::new(),
        }
    }

    /// The answers as they become known.
    pub fn stream(self) -> SendableRecordBatchStream {
        let schema = Arc::clone(&self.question.schema);
        let stream = futures::stream::try_unfold(self, |mut running| async move {
            loop {
                if let Some(batch) = running.ready.pop_front() {
                    return Ok(Some((batch, running)));
                }
                let Some(source) = running.source.take() else { return Ok(None) };
                running.advance(source).await?;
            }
        });
        Box::pin(RecordBatchStreamAdapter::new(schema, stream))
    }

    /// Reads on and answers the users that are finished by it.
    async fn advance(&mut self, mut source: Source) -> Result<()> {
        let timed = self.metrics.elapsed_compute().clone();
        let ended = match &mut source {
            Source::Single { rows, runs } => match rows.next().await.transpose()? {
                Some(batch) => {
                    let _timer = timed.timer();
                    runs.push(&batch)?;
                    false
                }
                None => true,
            },
            Source::Merged(merge) => {
                let came = merge.next().await?;
                let _timer = timed.timer();
                for (at, batch) in came {
                    merge.hold(at, &batch)?;
                }
                if !merge.wants_more() {
                    merge.take()?;
                }
                merge.ended()
            }
        };
        let _timer = timed.timer();
        match ended {
            true => self.end(&mut source),
            false => {
                self.answer_finished(&mut source)?;
                // Dropping the source ends the scan.
                self.source = Some(source).filter(|_| self.wanted != Some(0));
                Ok(())
            }
        }
    }

    fn answer_finished(&mut self, source: &mut Source) -> Result<()> {
        if self.edges.is_some() && self.edge_users.is_empty() && source.runs().finished() > 0 {
            self.take_edge(source)?;
        }
        let size = source.size();
        self.reservation.try_resize(size)?;
        let finished = source.runs().finished();
        let enough = self.wanted.is_some_and(|wanted| finished >= wanted);
        if finished >= USERS_AT_ONCE || (finished > 0 && (size >= BYTES_AT_ONCE || enough)) {
            self.answer(source, finished)?;
        }
        Ok(())
    }

    fn end(&mut self, source: &mut Source) -> Result<()> {
        let groups = source.runs().groups();
        let Some(edges) = self.edges.take() else {
            return self.answer(source, groups);
        };
        let finished = source.runs().finished();
        self.answer(source, finished)?;
        if source.runs().groups() > 0 {
            self.take_edge(source)?;
        }
        self.reservation.free();
        let Some(all) = edges.end(self.partition, std::mem::take(&mut self.edge_users)) else { return Ok(()) };
        if let Some(batch) = edges::answer(all, &self.question)? {
            self.give(batch);
        }
        Ok(())
    }

    fn answer(&mut self, source: &mut Source, count: usize) -> Result<()> {
        if count > 0 {
            let batch = source.runs().answer(count)?;
            self.give(batch);
        }
        Ok(())
    }

    fn give(&mut self, batch: RecordBatch) {
        self.metrics.record_output(batch.num_rows());
        self.wanted = self.wanted.map(|wanted| wanted.saturating_sub(batch.num_rows()));
        self.ready.push_back(batch);
    }

    fn take_edge(&mut self, source: &mut Source) -> Result<()> {
        let held = MemoryConsumer::new("UserAggregateExec").register(&self.pool);
        self.edge_users.push(source.runs().take_edge(held)?);
        Ok(())
    }
}
