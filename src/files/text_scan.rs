//! `TextScanExec`: reads CSV and NDJSON files block by block.
//!
//! ```text
//!  files ─▶ one reader at a time cuts the next block ─▶ each partition decodes the blocks it took ─▶ batches
//! ```
//!
//! Deals with: sharing blocks among partitions, so that a quoted line end or a compressed file is no hindrance and no partition is
//! left with the long end; rows that cannot be read, which end the query with file, line, column and value.
//! Does not deal with: cutting (`blocks`) and decoding (`csv`, `ndjson`).
//!
//! Where the files are said to be sorted, a partition reads whole files, each in its order.
//! Memory: two blocks of 4 MiB a partition and the batches made of them.

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use arrow::array::{RecordBatch, RecordBatchOptions};
use arrow::datatypes::SchemaRef;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{Result, Statistics, stats::Precision};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::{EquivalenceProperties, LexOrdering, Partitioning};
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType};
use datafusion::physical_plan::metrics::{BaselineMetrics, ExecutionPlanMetricsSet, MetricsSet};
use datafusion::physical_plan::statistics::{ChildStats, StatisticsArgs};
use datafusion::physical_plan::stream::RecordBatchReceiverStreamBuilder;
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, PhysicalExpr, PlanProperties};
use parking_lot::Mutex;

use super::blocks::{BLOCK, Block};
use super::columns::Columns;
use super::heads::Head;
use super::read::{Text, Way};
use super::reject::{NOT_UTF8, Reject};
use super::source::Source;
use super::text_table::TextTable;
use crate::error::Error;

/// Files of less than this in all are read by one partition: a second would be idle, and rows come in the order of the files.
const WORTH_SHARING: u64 = 8 << 20;

/// The operator.
#[derive(Debug)]
pub struct TextScanExec {
    files: Arc<Files>,
    columns: Arc<Columns>,
    schema: SchemaRef,
    ordering: Option<LexOrdering>,
    /// Files of each partition; a single list is shared by all.
    groups: Vec<Arc<Group>>,
    limit: Option<usize>,
    shared: Mutex<Shared>,
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
}

/// The reader of one run, and which partitions of it have begun.
#[derive(Debug, Default)]
struct Shared {
    reader: Option<Arc<Mutex<Reader>>>,
    begun: HashSet<usize>,
}

#[derive(Debug)]
struct Files {
    sources: Vec<Source>,
    heads: Vec<Head>,
}

/// Files that are read one after the other.
#[derive(Debug)]
struct Group {
    files: Vec<usize>,
}

impl TextScanExec {
    /// Reads `columns` of a table's files.
    pub fn new(
        table: &TextTable,
        columns: Columns,
        schema: SchemaRef,
        ordering: Option<LexOrdering>,
        partitions: usize,
        limit: Option<usize>,
    ) -> Self {
        let files = Files { sources: table.sources.clone(), heads: table.heads.clone() };
        let bytes: u64 = files.sources.iter().map(Source::size).sum();
        let count = files.sources.len();
        let (groups, partitions) = match &ordering {
            Some(_) => ((0..count).map(|file| Arc::new(Group { files: vec![file] })).collect(), count),
            None => {
                let partitions = if bytes < WORTH_SHARING || limit.is_some() { 1 } else { partitions.max(1) };
                (vec![Arc::new(Group { files: (0..count).collect() })], partitions)
            }
        };
        let mut equivalence = EquivalenceProperties::new(Arc::clone(&schema));
        equivalence.add_orderings(ordering.clone());
        let properties = PlanProperties::new(
            equivalence,
            Partitioning::UnknownPartitioning(partitions),
            EmissionType::Incremental,
            Boundedness::Bounded,
        );
        Self {
            files: Arc::new(files),
            columns: Arc::new(columns),
            schema,
            ordering,
            groups,
            limit,
            shared: Mutex::default(),
            properties: Arc::new(properties),
            metrics: ExecutionPlanMetricsSet::new(),
        }
    }

    /// The reader of the run that a partition takes part in: a partition that has begun already begins another run.
    fn shared(&self, partition: usize, group: &Group) -> Arc<Mutex<Reader>> {
        let mut shared = self.shared.lock();
        if !shared.begun.insert(partition) {
            *shared = Shared { reader: None, begun: HashSet::from([partition]) };
        }
        let new = || Arc::new(Mutex::new(Reader::new(Arc::clone(&self.files), group.files.clone())));
        Arc::clone(shared.reader.get_or_insert_with(new))
    }
}

impl DisplayAs for TextScanExec {
    fn fmt_as(&self, kind: DisplayFormatType, f: &mut fmt::Formatter) -> fmt::Result {
        const NAMED: usize = 5;
        let names: Vec<&str> = self.files.sources.iter().map(|s| s.name.as_str()).take(NAMED).collect();
        let more = self.files.sources.len().saturating_sub(NAMED);
        let more = if more > 0 { format!(", .. ({more} more)") } else { String::new() };
        let columns: Vec<&str> = self.schema.fields().iter().map(|f| f.name().as_str()).collect();
        let (files, columns) = (names.join(", "), columns.join(", "));
        match kind {
            DisplayFormatType::TreeRender => writeln!(f, "{files}{more}"),
            _ => {
                write!(f, "TextScanExec: files=[{files}{more}], columns=[{columns}]")?;
                if let Some(ordering) = &self.ordering {
                    write!(f, ", order=[{ordering}]")?;
                }
                if let Some(limit) = self.limit {
                    write!(f, ", limit={limit}")?;
                }
                Ok(())
            }
        }
    }
}

impl ExecutionPlan for TextScanExec {
    fn name(&self) -> &'static str {
        "TextScanExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        Vec::new()
    }

    fn apply_expressions(
        &self,
        _f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn with_new_children(self: Arc<Self>, _children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(self)
    }

    /// A plan that runs again, as in a recursive query, reads everything again.
    fn reset_state(self: Arc<Self>) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(self)
    }

    fn child_stats_requests(&self, _partition: Option<usize>) -> Vec<ChildStats> {
        Vec::new()
    }

    fn statistics_from_inputs(&self, _input: &[Arc<Statistics>], _args: &StatisticsArgs) -> Result<Arc<Statistics>> {
        let bytes: u64 = self.files.sources.iter().map(Source::size).sum();
        let mut unknown = Statistics::new_unknown(&self.schema);
        unknown.total_byte_size = Precision::Inexact(usize::try_from(bytes).unwrap_or(usize::MAX));
        Ok(Arc::new(unknown))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }

    fn execute(&self, partition: usize, _context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let group = self.groups.get(partition).or(self.groups.first());
        let group = group.ok_or_else(|| Error::internal("TextScanExec without files"))?;
        let reader = match self.ordering {
            Some(_) => Arc::new(Mutex::new(Reader::new(Arc::clone(&self.files), group.files.clone()))),
            None => self.shared(partition, group),
        };
        let mut builder = RecordBatchReceiverStreamBuilder::new(Arc::clone(&self.schema), 2);
        let sender = builder.tx();
        let (files, columns, schema) = (Arc::clone(&self.files), Arc::clone(&self.columns), Arc::clone(&self.schema));
        let metrics = BaselineMetrics::new(&self.metrics, partition);
        let limit = self.limit.unwrap_or(usize::MAX);
        builder.spawn_blocking(move || {
            let mut left = limit;
            let mut way: Option<(usize, Way)> = None;
            while left > 0 {
                let Some((file, block)) = reader.lock().next()? else { break };
                if way.as_ref().is_none_or(|(of, _)| *of != file) {
                    way = Some((file, Way::of(&columns, &files.heads[file])));
                }
                let Some((_, way)) = &way else { break };
                let batch = decoded(&files.sources[file], &files.heads[file], way, &block, &schema)?;
                let batch = batch.slice(0, batch.num_rows().min(left));
                left -= batch.num_rows();
                metrics.record_output(batch.num_rows());
                if batch.num_rows() > 0 && sender.blocking_send(Ok(batch)).is_err() {
                    break;
                }
            }
            Ok(())
        });
        Ok(builder.build())
    }
}

/// The first row that cannot be read in the first block of a file, if there is one.
pub fn first_fault(source: &Source, head: &Head, columns: &Columns) -> Option<Error> {
    let mut text = Text::begin(source, head, BLOCK, &Arc::default()).ok()??;
    let block = text.next(source).ok()??;
    let decoded = Way::of(columns, head).decode(head, &block.text, block.line).ok()?;
    decoded.rejects.first().map(|reject| unread_row(source, reject, &columns.schema))
}

/// What is wrong with a row, where it is, and the way out.
fn unread_row(source: &Source, reject: &Reject, schema: &SchemaRef) -> Error {
    let place = format!("'{}' {} {}", source.name, source.unit(), reject.line);
    // What is an option of ingest is none of a query.
    let what = reject.what.split(" (--").next().unwrap_or(reject.what);
    let error = Error::data(format!("{place}: {}", Reject { what, ..reject.clone() }.reason()));
    let is_value = reject.value.is_some();
    match (reject.what, reject.column.as_deref().filter(|_| is_value)) {
        (NOT_UTF8, _) => {
            error.hint("say how it is written: read_csv('..', encoding => 'latin1'), or gbk, windows-1252, ..")
        }
        (_, Some(path)) => {
            // Of a field inside an object, the column is said as a whole.
            let inside =
                |name: &str| path.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'));
            let names = schema.fields().iter().map(|field| field.name().as_str()).filter(|name| inside(name));
            error.hint(format!(
                "the first {} rows of a file decide the types: read_{kind}('..', sample => 'all') looks at every row, types => {{'{}': 'text'}} says it",
                super::options::ReadOptions::SAMPLE,
                names.max_by_key(|name| name.len()).unwrap_or(path),
                kind = if source.format == super::source::SourceFormat::Csv { "csv" } else { "json" },
            ))
        }
        _ => error.hint("tenure ingest puts such rows aside and takes in the others"),
    }
}

/// A block's rows; the first that cannot be read is an error that says where it is.
fn decoded(source: &Source, head: &Head, way: &Way, block: &Block, schema: &SchemaRef) -> Result<RecordBatch> {
    let decoded = way.decode(head, &block.text, block.line).map_err(|e| e.within(&format!("'{}': ", source.name)))?;
    if let Some(reject) = decoded.rejects.first() {
        return Err(unread_row(source, reject, schema).into());
    }
    if let Some((path, (_, line))) = decoded.unseen.first_key_value() {
        let place = format!("'{}' {} {line}", source.name, source.unit());
        return Err(Error::data(format!("{place}: the field '{path}' is not among those that the first rows have"))
            .hint("read_json('..', sample => 'all') looks at every row")
            .into());
    }
    let rows = decoded.batch.num_rows();
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    Ok(RecordBatch::try_new_with_options(Arc::clone(schema), decoded.batch.columns().to_vec(), &options)?)
}

/// What several partitions take blocks from.
#[derive(Debug)]
struct Reader {
    files: Arc<Files>,
    /// Those still to be begun, the next one last.
    left: Vec<usize>,
    now: Option<(usize, Text)>,
    /// Nothing follows an error.
    failed: bool,
}

impl Reader {
    fn new(files: Arc<Files>, mut left: Vec<usize>) -> Self {
        left.reverse();
        Self { files, left, now: None, failed: false }
    }

    fn next(&mut self) -> crate::error::Result<Option<(usize, Block)>> {
        if self.failed {
            return Ok(None);
        }
        let next = self.take();
        self.failed = next.is_err();
        next
    }

    fn take(&mut self) -> crate::error::Result<Option<(usize, Block)>> {
        loop {
            if self.now.is_none() {
                let Some(file) = self.left.pop() else { return Ok(None) };
                let (source, head) = (&self.files.sources[file], &self.files.heads[file]);
                let ignored = Arc::new(AtomicU64::new(0));
                self.now = Text::begin(source, head, BLOCK, &ignored)?.map(|text| (file, text));
                continue;
            }
            let Some((file, text)) = &mut self.now else { continue };
            match text.next(&self.files.sources[*file])? {
                Some(block) => return Ok(Some((*file, block))),
                None => self.now = None,
            }
        }
    }
}
