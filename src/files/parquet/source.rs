//! DataFusion's Parquet scan with two things of ours in it: footers of which only what can be believed is left, and errors that name
//! the file.
//!
//! Deals with: what a scan is made of, passing everything else on to the scan within. Does not deal with: which files it reads (`table`,
//! and `store` for managed tables).

use std::fmt;
use std::future::poll_fn;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::task::Poll;

use arrow::array::RecordBatch;
use bytes::Bytes;
use datafusion::catalog::Session;
use datafusion::common::config::{ConfigOptions, TableParquetOptions};
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::object_store::ObjectStoreUrl;
use datafusion::datasource::physical_plan::parquet::DefaultParquetFileReaderFactory;
use datafusion::datasource::physical_plan::{
    FileOpener, FileScanConfig, FileSource, ParquetFileReaderFactory, ParquetSource,
};
use datafusion::datasource::source::DataSourceExec;
use datafusion::datasource::table_schema::TableSchema;
use datafusion::error::{DataFusionError, Result};
use datafusion::physical_expr::projection::ProjectionExprs;
use datafusion::physical_expr::{EquivalenceProperties, LexOrdering, PhysicalSortExpr};
use datafusion::physical_plan::filter_pushdown::FilterPushdownPropagation;
use datafusion::physical_plan::metrics::ExecutionPlanMetricsSet;
use datafusion::physical_plan::{DisplayFormatType, PhysicalExpr, SortOrderPushdownResult};
use datafusion_datasource::morsel::{Morsel, MorselPlan, MorselPlanner, Morselizer};
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use futures::{FutureExt, StreamExt};
use object_store::{ObjectMeta, ObjectStore};
use parquet::arrow::arrow_reader::ArrowReaderOptions;
use parquet::arrow::async_reader::AsyncFileReader;
use parquet::errors::ParquetError;
use parquet::file::metadata::{PageIndexPolicy, ParquetMetaData};
use parquet::schema::types::Type;

use super::footers::{self, Footers};
use super::texts::{as_strings, is_untyped};
use crate::error::{Error, Kind, is_stale};
use crate::files::checksums::read::CheckedFile;
use crate::files::checksums::{FooterSum, gone, sum_of, whole};

/// Where a file of a scan is, as messages name it. Put on a [`PartitionedFile`] as an extension.
#[derive(Debug, Clone)]
pub struct FilePath(pub PathBuf);

/// A Parquet scan whose errors name the file.
pub struct Named {
    scan: Arc<dyn FileSource>,
}

/// The scan of local Parquet files with these columns.
pub fn scan(state: &dyn Session, columns: TableSchema, footers: &Footers) -> Result<Arc<dyn FileSource>> {
    let store = state.runtime_env().object_store(ObjectStoreUrl::local_filesystem())?;
    let texts = columns.file_schema().fields().iter().filter(|field| field.data_type().is_string());
    let texts = texts.map(|field| field.name().clone()).collect();
    let readers = Readers { bytes: DefaultParquetFileReaderFactory::new(store), footers: footers.clone(), texts };
    let options = state.default_table_options().parquet;
    let options = TableParquetOptions {
        global: datafusion::common::config::ParquetOptions {
            // INT96 counts nanoseconds, but means years beyond what 64 bits of them can hold.
            coerce_int96: Some("us".to_string()),
            coerce_int96_tz: None,
            ..options.global
        },
        ..options
    };
    let scan = ParquetSource::new(columns)
        .with_table_parquet_options(options)
        .with_parquet_file_reader_factory(Arc::new(readers));
    Ok(Arc::new(Named { scan: Arc::new(scan) }))
}

/// The files that a plan scans, if it is a scan of Parquet.
pub fn parquet_scan(exec: &DataSourceExec) -> Option<&FileScanConfig> {
    let own = exec.downcast_to_file_source::<Named>().map(|(config, _)| config);
    own.or_else(|| exec.downcast_to_file_source::<ParquetSource>().map(|(config, _)| config))
}

fn named(scan: Arc<dyn FileSource>) -> Arc<dyn FileSource> {
    Arc::new(Named { scan })
}

impl FileSource for Named {
    fn create_file_opener(
        &self,
        store: Arc<dyn ObjectStore>,
        config: &FileScanConfig,
        partition: usize,
    ) -> Result<Arc<dyn FileOpener>> {
        self.scan.create_file_opener(store, config, partition)
    }

    fn create_morselizer(
        &self,
        store: Arc<dyn ObjectStore>,
        config: &FileScanConfig,
        partition: usize,
    ) -> Result<Box<dyn Morselizer>> {
        Ok(Box::new(NamedMorselizer(self.scan.create_morselizer(store, config, partition)?)))
    }

    fn table_schema(&self) -> &TableSchema {
        self.scan.table_schema()
    }

    fn with_batch_size(&self, batch_size: usize) -> Arc<dyn FileSource> {
        named(self.scan.with_batch_size(batch_size))
    }

    fn filter(&self) -> Option<Arc<dyn PhysicalExpr>> {
        self.scan.filter()
    }

    fn projection(&self) -> Option<&ProjectionExprs> {
        self.scan.projection()
    }

    fn metrics(&self) -> &ExecutionPlanMetricsSet {
        self.scan.metrics()
    }

    fn file_type(&self) -> &str {
        self.scan.file_type()
    }

    fn fmt_extra(&self, t: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.scan.fmt_extra(t, f)
    }

    fn supports_repartitioning(&self) -> bool {
        self.scan.supports_repartitioning()
    }

    fn repartitioned(
        &self,
        target_partitions: usize,
        min_size: usize,
        order: Option<LexOrdering>,
        config: &FileScanConfig,
    ) -> Result<Option<FileScanConfig>> {
        // It rebuilds the configuration that it is given, in which this is the source.
        self.scan.repartitioned(target_partitions, min_size, order, config)
    }

    fn try_pushdown_filters(
        &self,
        filters: Vec<Arc<dyn PhysicalExpr>>,
        config: &ConfigOptions,
    ) -> Result<FilterPushdownPropagation<Arc<dyn FileSource>>> {
        let mut pushed = self.scan.try_pushdown_filters(filters, config)?;
        pushed.updated_node = pushed.updated_node.map(named);
        Ok(pushed)
    }

    fn try_pushdown_sort(
        &self,
        order: &[PhysicalSortExpr],
        properties: &EquivalenceProperties,
    ) -> Result<SortOrderPushdownResult<Arc<dyn FileSource>>> {
        Ok(match self.scan.try_pushdown_sort(order, properties)? {
            SortOrderPushdownResult::Exact { inner } => SortOrderPushdownResult::Exact { inner: named(inner) },
            SortOrderPushdownResult::Inexact { inner } => SortOrderPushdownResult::Inexact { inner: named(inner) },
            SortOrderPushdownResult::Unsupported => SortOrderPushdownResult::Unsupported,
        })
    }

    fn reorder_files(&self, files: Vec<PartitionedFile>) -> Vec<PartitionedFile> {
        self.scan.reorder_files(files)
    }

    fn try_pushdown_projection(&self, projection: &ProjectionExprs) -> Result<Option<Arc<dyn FileSource>>> {
        Ok(self.scan.try_pushdown_projection(projection)?.map(named))
    }

    fn apply_expressions(
        &self,
        f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        self.scan.apply_expressions(f)
    }
}

/// Where a file of a scan is.
pub fn path_of(file: &PartitionedFile) -> PathBuf {
    match file.extension::<FilePath>() {
        Some(FilePath(path)) => path.clone(),
        None => Path::new("/").join(file.object_meta.location.as_ref()),
    }
}

/// A file of a scan, as its errors tell of it.
#[derive(Debug)]
struct Place {
    path: PathBuf,
    sum: Option<FooterSum>,
}

/// The error of a file with its name in front, unless it has it already or is not the file's.
fn of_file(error: DataFusionError, Place { path, sum }: &Place) -> DataFusionError {
    // It is not damaged but gone, and says so.
    if is_stale(&error) {
        return error;
    }
    let decoding = matches!(
        error.find_root(),
        DataFusionError::ParquetError(_) | DataFusionError::ArrowError(_, _) | DataFusionError::IoError(_)
    );
    let error = match error {
        DataFusionError::ParquetError(inner) => match *inner {
            ParquetError::External(inner) => DataFusionError::External(inner),
            other => DataFusionError::ParquetError(Box::new(other)),
        },
        other => other,
    };
    // The library that decodes pages does not know whose they are.
    if decoding
        && let Some(sum) = sum
        && let Some(damage) = whole::first(path, Some(*sum))
    {
        return damage.into();
    }
    let error = Error::from(error);
    let shown = path.display().to_string();
    if error.kind() == Kind::Resources || error.message().contains(&shown) {
        return error.into();
    }
    match decoding {
        true => footers::undecoded(path, &error.message()).into(),
        false => error.within(&format!("file '{shown}': ")).into(),
    }
}

#[derive(Debug)]
struct NamedMorselizer(Box<dyn Morselizer>);

impl Morselizer for NamedMorselizer {
    fn plan_file(&self, file: PartitionedFile) -> Result<Box<dyn MorselPlanner>> {
        let path = Arc::new(Place { path: path_of(&file), sum: sum_of(&file.object_meta) });
        let planner = self.0.plan_file(file).map_err(|error| of_file(error, &path))?;
        Ok(Box::new(NamedPlanner { planner, path }))
    }
}

#[derive(Debug)]
struct NamedPlanner {
    planner: Box<dyn MorselPlanner>,
    path: Arc<Place>,
}

/// Work on a file's bytes: some nonsense in them makes decoders panic, which is an error of the file.
fn guarded<T>(place: &Place, work: impl FnOnce() -> T) -> Result<T> {
    crate::error::quietly(|| catch_unwind(AssertUnwindSafe(work))).map_err(|_| {
        let found = place.sum.and_then(|sum| whole::first(&place.path, Some(sum)));
        let error = || footers::unreadable(&place.path, "it is damaged: its contents make no sense");
        found.unwrap_or_else(error).into()
    })
}

impl MorselPlanner for NamedPlanner {
    fn plan(self: Box<Self>) -> Result<Option<MorselPlan>> {
        let Self { planner, path } = *self;
        let plan = guarded(&path, || planner.plan())?.map_err(|error| of_file(error, &path))?;
        let Some(mut plan) = plan else { return Ok(None) };
        let planner = |planner| Box::new(NamedPlanner { planner, path: Arc::clone(&path) }) as Box<dyn MorselPlanner>;
        let morsel = |morsel| Box::new(NamedMorsel { morsel, path: Arc::clone(&path) }) as Box<dyn Morsel>;
        let mut named = MorselPlan::new()
            .with_morsels(plan.take_morsels().into_iter().map(morsel).collect())
            .with_planners(plan.take_ready_planners().into_iter().map(planner).collect());
        if let Some(pending) = plan.take_pending_planner() {
            let path = Arc::clone(&path);
            named.set_pending_planner(async move {
                let mut planned = Box::pin(pending.into_future());
                let planned = poll_fn(|context| match guarded(&path, || planned.as_mut().poll(context)) {
                    Ok(polled) => polled,
                    Err(error) => Poll::Ready(Err(error)),
                });
                let planner = planned.await.map_err(|error| of_file(error, &path))?;
                Ok(Box::new(NamedPlanner { planner, path }) as Box<dyn MorselPlanner>)
            });
        }
        Ok(Some(named))
    }
}

#[derive(Debug)]
struct NamedMorsel {
    morsel: Box<dyn Morsel>,
    path: Arc<Place>,
}

impl Morsel for NamedMorsel {
    fn into_stream(self: Box<Self>) -> BoxStream<'static, Result<RecordBatch>> {
        let Self { morsel, path } = *self;
        let mut batches = Some(morsel.into_stream());
        let named = futures::stream::poll_fn(move |context| {
            let Some(stream) = &mut batches else { return Poll::Ready(None) };
            match guarded(&path, || stream.poll_next_unpin(context)) {
                Ok(polled) => polled.map(|batch| batch.map(|batch| batch.map_err(|error| of_file(error, &path)))),
                // What is left in the midst of a step is not asked again.
                Err(error) => {
                    batches = None;
                    Poll::Ready(Some(Err(error)))
                }
            }
        });
        named.boxed()
    }
}

/// Makes readers whose footers are ours.
#[derive(Debug)]
struct Readers {
    bytes: DefaultParquetFileReaderFactory,
    footers: Footers,
    /// The columns that the table has as text.
    texts: Arc<[String]>,
}

impl ParquetFileReaderFactory for Readers {
    fn create_reader(
        &self,
        partition: usize,
        file: PartitionedFile,
        size_hint: Option<usize>,
        metrics: &ExecutionPlanMetricsSet,
    ) -> Result<Box<dyn AsyncFileReader + Send>> {
        let (meta, path) = (file.object_meta.clone(), path_of(&file));
        let bytes = self.bytes.create_reader(partition, file, size_hint, metrics)?;
        let (footers, texts) = (self.footers.clone(), Arc::clone(&self.texts));
        Ok(Box::new(Reader { bytes, footers, meta, path, texts, checked: None }))
    }
}

struct Reader {
    bytes: Box<dyn AsyncFileReader + Send>,
    footers: Footers,
    meta: ObjectMeta,
    path: PathBuf,
    texts: Arc<[String]>,
    /// What the bytes are compared with. Known once the footer has been asked for, which comes before any page.
    checked: Option<CheckedFile>,
}

/// An error of the store, which knows the file by another name.
fn of_store(error: ParquetError, path: &Path) -> ParquetError {
    let found = match &error {
        ParquetError::External(cause) => cause.downcast_ref(),
        _ => None,
    };
    match found {
        Some(object_store::Error::NotFound { .. }) => ParquetError::External(Box::new(gone(path))),
        _ => error,
    }
}

impl AsyncFileReader for Reader {
    fn get_bytes(&mut self, range: Range<u64>) -> BoxFuture<'_, parquet::errors::Result<Bytes>> {
        let start = range.start;
        let Self { bytes, path, checked, .. } = self;
        async move {
            let read = bytes.get_bytes(range).await.map_err(|error| of_store(error, path))?;
            checked.as_ref().map_or(Ok(()), |checked| checked.compare(start, &read))?;
            Ok(read)
        }
        .boxed()
    }

    fn get_byte_ranges(&mut self, ranges: Vec<Range<u64>>) -> BoxFuture<'_, parquet::errors::Result<Vec<Bytes>>> {
        if ranges.iter().any(|range| range.start > range.end || range.end > self.meta.size) {
            let error = footers::unreadable(&self.path, "it is damaged: its footer points beyond its end");
            return async move { Err(ParquetError::External(Box::new(error))) }.boxed();
        }
        let Self { bytes, path, checked, .. } = self;
        async move {
            let all = bytes.get_byte_ranges(ranges.clone()).await.map_err(|error| of_store(error, path))?;
            if let Some(checked) = checked {
                ranges.iter().zip(&all).try_for_each(|(range, read)| checked.compare(range.start, read))?;
            }
            Ok(all)
        }
        .boxed()
    }

    fn get_metadata<'a>(
        &'a mut self,
        options: Option<&'a ArrowReaderOptions>,
    ) -> BoxFuture<'a, parquet::errors::Result<Arc<ParquetMetaData>>> {
        let index = options.is_some_and(|options| options.column_index_policy() != PageIndexPolicy::Skip);
        let (footers, meta, path, texts) =
            (self.footers.clone(), self.meta.clone(), self.path.clone(), Arc::clone(&self.texts));
        let read = tokio::task::spawn_blocking(move || {
            // Its bytes are read by the footer that is known: of another file they would be nonsense.
            let found = std::fs::metadata(&path).map_err(|e| match e.kind() {
                std::io::ErrorKind::NotFound => gone(&path),
                _ => Error::io("open", &path, &e),
            })?;
            if found.len() != meta.size {
                return Err(footers::of_another_size(&path, &meta, found.len()));
            }
            let footer = footers.whole(&meta, &path, index)?;
            let is_text = |column: &Type, depth: usize| {
                depth == 1 && is_untyped(column) && texts.iter().any(|text| text == column.name())
            };
            let strings = as_strings(&footer, &is_text).map_err(|why| footers::unreadable(&path, why))?;
            Ok((strings.map_or(footer, Arc::new), footers.checked(&meta, &path)?))
        });
        async move {
            match read.await {
                Ok(read) => {
                    let (footer, checked) = read.map_err(|error| ParquetError::External(Box::new(error)))?;
                    self.checked = checked;
                    Ok(footer)
                }
                Err(stopped) => Err(ParquetError::General(format!("reading the footer stopped: {stopped}"))),
            }
        }
        .boxed()
    }
}
