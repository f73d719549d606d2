//! The result of a query as rows of a table: the end of a plan.
//!
//! Deals with: taking the stream of a query in on a thread of its own, memory, trying again where other rows came first. Does not
//! deal with: planning the query (`engine`).

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arrow::array::RecordBatch;
use arrow::datatypes::{Schema, SchemaRef};
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::datasource::sink::{DataSink, DataSinkExec};
use datafusion::error::{DataFusionError, Result as DataFusionResult};
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryLimit, MemoryReservation};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::dml::InsertOp;
use datafusion::logical_expr::{Expr, TableType};
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan};
use futures::StreamExt;
use tokio::sync::mpsc;

use super::rows::Arrival;
use super::{Destination, Limits, Writer, Written};
use crate::config::notes::Notes;
use crate::error::{Error, Result};
use crate::store::compact::finished;
use crate::store::managed::commit::{Operation, Refused};
use crate::store::sort::{Counts, Run};
use crate::store::staging::{Staging, sweep};

/// Bytes of rows in memory, where a session has no limit.
const MEMORY: usize = 1 << 30;

/// The least that a session with a limit gives to a sort.
const LEAST: usize = 8 << 20;

/// Batches that wait for the thread that takes them in.
const WAITING: usize = 2;

/// Statements that meet another's rows this often in a row give up.
const ATTEMPTS: usize = 20;

/// A table as the target of a statement's rows: planned as `INSERT`, it takes them in. It cannot be read.
///
/// Rows are committed as one version, or none where there are no rows and the table is there. Errors come before anything is
/// visible: types and values that do not fit (named with their column), a full disk, columns that another changed meanwhile.
#[derive(Debug)]
pub struct InsertTarget {
    to: Arc<Destination>,
    /// Columns whose texts are constants of the statement.
    constants: Arc<HashSet<String>>,
}

impl InsertTarget {
    /// Rows come with these columns, by the names of the table's.
    pub fn new(to: Destination, arriving: &Schema, constants: HashSet<String>) -> Result<Self> {
        Arrival::new(&to, arriving, &constants)?;
        Ok(Self { to: Arc::new(to), constants: Arc::new(constants) })
    }
}

#[async_trait]
impl TableProvider for InsertTarget {
    fn schema(&self) -> SchemaRef {
        Arc::clone(self.to.schema())
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    async fn scan(
        &self,
        _: &dyn Session,
        _: Option<&Vec<usize>>,
        _: &[Expr],
        _: Option<usize>,
    ) -> DataFusionResult<Arc<dyn ExecutionPlan>> {
        Err(Error::internal("the target of an INSERT is not read").into())
    }

    async fn insert_into(
        &self,
        _: &dyn Session,
        input: Arc<dyn ExecutionPlan>,
        op: InsertOp,
    ) -> DataFusionResult<Arc<dyn ExecutionPlan>> {
        if op != InsertOp::Append {
            return Err(Error::user("INSERT: rows of a managed table are not replaced").into());
        }
        let sink = Sink { to: Arc::clone(&self.to), constants: Arc::clone(&self.constants), schema: input.schema() };
        Ok(Arc::new(DataSinkExec::new(input, Arc::new(sink), None)))
    }
}

#[derive(Debug)]
struct Sink {
    to: Arc<Destination>,
    constants: Arc<HashSet<String>>,
    schema: SchemaRef,
}

impl DisplayAs for Sink {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ManagedTable({})", self.to.folder().display())?;
        match self.to.roles() {
            Some(roles) => write!(f, ", order=[{}, {}]", roles.user, roles.time),
            None => Ok(()),
        }
    }
}

#[async_trait]
impl DataSink for Sink {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    async fn write_all(&self, data: SendableRecordBatchStream, context: &Arc<TaskContext>) -> DataFusionResult<u64> {
        let folder = self.to.folder();
        let made = self.to.log.is_none() && !folder.exists();
        std::fs::create_dir_all(folder).map_err(|e| Error::io("create", folder, &e))?;
        let written = self.write(data, context).await;
        if written.is_err() && made {
            // Only where it is empty.
            let _ = std::fs::remove_dir(folder);
        }
        written
    }
}

/// Stops the thread of a statement that ends early.
struct StopOnDrop(Arc<AtomicBool>);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// What comes to the thread: rows, and then an end that tells that they are all.
enum Next {
    Rows(RecordBatch),
    End,
}

impl Sink {
    async fn write(&self, mut data: SendableRecordBatchStream, context: &Arc<TaskContext>) -> DataFusionResult<u64> {
        let pool = Arc::clone(context.memory_pool());
        let memory = match pool.memory_limit() {
            MemoryLimit::Finite(bytes) => (bytes / 4).clamp(LEAST, MEMORY),
            MemoryLimit::Infinite | MemoryLimit::Unknown => MEMORY,
        };
        let limits = Limits { memory, threads: context.session_config().target_partitions().max(1) };
        let name = format!("INSERT INTO '{}'", self.to.folder().display());
        let held = MemoryConsumer::new(name).with_can_spill(true).register(&pool);
        sweep(self.to.folder());
        let staging = Arc::new(Staging::make(self.to.folder(), "write")?);
        let stopped = Arc::new(AtomicBool::new(false));
        let _stop = StopOnDrop(Arc::clone(&stopped));
        let (sender, receiver) = mpsc::channel(WAITING);
        let taking = Taking {
            arrival: Arrival::new(&self.to, &self.schema, &self.constants)?,
            writer: Writer::new(self.to.as_ref().clone(), staging.path(), limits)?,
            held,
            staging: Arc::clone(&staging),
            stopped: Arc::clone(&stopped),
        };
        let thread = tokio::task::spawn_blocking(move || taking.all(receiver));
        let mut failed: Option<DataFusionError> = None;
        while let Some(batch) = data.next().await {
            match batch {
                Ok(batch) => {
                    // A thread that ended early has an error to tell.
                    if sender.send(Next::Rows(batch)).await.is_err() {
                        break;
                    }
                }
                Err(error) => {
                    failed = Some(error);
                    break;
                }
            }
        }
        if failed.is_none() {
            let _ = sender.send(Next::End).await;
        }
        drop((sender, data));
        let taken = finished(thread.await);
        if let Some(error) = failed {
            return Err(error);
        }
        let (written, runs) = taken?;
        let rows = self.commit(written, runs, limits, &staging, &stopped).await?;
        if rows.duplicates > 0 {
            let message =
                format!("'{}': {} rows repeat events and were left out", self.to.folder().display(), rows.duplicates);
            Notes::of(context.session_config().options()).say(message);
        }
        Ok(rows.rows)
    }

    /// Commits, and starts over from the sorted rows where other rows came first.
    async fn commit(
        &self,
        mut written: Written,
        runs: Vec<Run>,
        limits: Limits,
        staging: &Arc<Staging>,
        stopped: &Arc<AtomicBool>,
    ) -> Result<Counts> {
        let mut to = self.to.as_ref().clone();
        for _ in 0..ATTEMPTS {
            let counts = written.counts();
            if counts.rows == 0 && to.log.is_some() {
                return Ok(counts);
            }
            match written.commit(Operation::Insert, None).await {
                Ok(_) => return Ok(counts),
                Err(Refused::Conflict(_)) if to.dedup_key().is_some() && to.log.is_some() => {}
                Err(refused) => return Err(refused.into()),
            }
            to = to.newest().await?;
            let (to, staging, stopped, runs) = (to.clone(), Arc::clone(staging), Arc::clone(stopped), runs.clone());
            let again = move || {
                let writer = Writer::resume(to, staging.path(), limits, runs)?;
                writer.finish(&|_, _| check_running(&stopped))
            };
            written = finished(tokio::task::spawn_blocking(again).await)?;
        }
        Err(Error::data(format!("'{}' changed {ATTEMPTS} times meanwhile", to.folder().display()))
            .hint("run it again when fewer programs write to the table"))
    }
}

/// The thread that takes rows in.
struct Taking {
    arrival: Arrival,
    writer: Writer,
    held: MemoryReservation,
    staging: Arc<Staging>,
    stopped: Arc<AtomicBool>,
}

impl Taking {
    /// Takes all rows in and finishes the files. Also gives the sorted runs, where the rows may be needed again.
    fn all(mut self, mut rows: mpsc::Receiver<Next>) -> Result<(Written, Vec<Run>)> {
        loop {
            match rows.blocking_recv() {
                Some(Next::Rows(batch)) => {
                    self.writer.push(&self.arrival.rows(&batch)?)?;
                    self.account()?;
                    check_running(&self.stopped)?;
                }
                Some(Next::End) => break,
                None => return Err(stopped_early()),
            }
        }
        let mut runs = Vec::new();
        if self.writer.to().dedup_key().is_some() && self.writer.rows() > 0 {
            // They are compared with the rows there are, and once more if others come first.
            self.writer.flush()?;
            runs = self.writer.runs().to_vec();
        }
        let stopped = self.stopped;
        let written = self.writer.finish(&|_, _| check_running(&stopped))?;
        drop(self.staging);
        Ok((written, runs))
    }

    /// Tells the session's pool what is held; where it gives no more, rows go to the disk.
    fn account(&mut self) -> Result<()> {
        if self.held.try_resize(self.writer.held()).is_ok() {
            return Ok(());
        }
        self.writer.flush()?;
        Ok(self.held.try_resize(self.writer.held())?)
    }
}

fn stopped_early() -> Error {
    Error::resources("the statement was stopped; nothing was written")
}

fn check_running(stopped: &AtomicBool) -> Result<()> {
    if stopped.load(Ordering::Relaxed) { Err(stopped_early()) } else { Ok(()) }
}
