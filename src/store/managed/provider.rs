//! A managed table in SQL: one version of it, scanned by DataFusion's Parquet source.
//!
//! Deals with: which files a scan reads and what is known of them, the order that holds, following the newest version.
//! Does not deal with: reading the log (`log`), or the one-pass path (`plan`), which finds what is declared here.
//!
//! Planning opens no file: rows, bounds and order come from the log. A query sees the version that was newest when its tables were
//! looked up, whatever is committed while it runs.

use std::path::Path;
use std::sync::Arc;

use ::parquet::arrow::arrow_reader::{RowSelection, RowSelector};
use arrow::array::{ArrayRef, BooleanArray, UInt64Array};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use async_trait::async_trait;
use chrono::DateTime;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::pruning::PruningStatistics;
use datafusion::common::stats::Precision;
use datafusion::common::{Column, DFSchema, ScalarValue, Statistics};
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::object_store::ObjectStoreUrl;
use datafusion::datasource::physical_plan::parquet::ParquetRowSelection;
use datafusion::datasource::physical_plan::{FileGroup, FileScanConfig, FileScanConfigBuilder};
use datafusion::datasource::source::DataSourceExec;
use datafusion::datasource::table_schema::TableSchemaBuilder;
use datafusion::error::Result;
use datafusion::logical_expr::dml::InsertOp;
use datafusion::logical_expr::utils::conjunction;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown, TableType};
use datafusion::physical_expr::expressions::Column as PhysicalColumn;
use datafusion::physical_expr::{LexOrdering, PhysicalSortExpr};
use datafusion::physical_optimizer::pruning::PruningPredicateBuilder;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::empty::EmptyExec;
use object_store::ObjectMeta;
use parking_lot::Mutex;

use super::log::{At, TableLog};
use super::{StoredFile, statistics, versions};
use crate::config::TableEntry;
use crate::error::{Error, suggest};
use crate::files::checksums::entity_tag;
use crate::files::parquet;
use crate::store::table::ROLE_KEY;

/// One version of a managed table, as a table of a session.
#[derive(Clone)]
pub struct ManagedTable {
    followed: Arc<Followed>,
    snapshot: Arc<Snapshot>,
    /// Whether it stays at this version.
    pinned: bool,
}

/// What all versions of one table in one session share.
struct Followed {
    /// Roles that the session's own declaration gives.
    declared: Vec<(&'static str, String)>,
    /// The newest version that anybody has seen.
    newest: Mutex<Arc<Snapshot>>,
}

/// A version, ready to be scanned.
struct Snapshot {
    log: TableLog,
    /// As queries see it: what is partitioned by comes last, as the scan gives it.
    schema: SchemaRef,
    /// The columns that are in files.
    in_files: SchemaRef,
    partition_fields: Vec<Arc<Field>>,
    files: Vec<ScannedFile>,
}

struct ScannedFile {
    file: PartitionedFile,
    statistics: Arc<Statistics>,
}

impl std::fmt::Debug for ManagedTable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("ManagedTable").field(&self.snapshot.log).finish()
    }
}

impl ManagedTable {
    /// Opens a table; `entry` may declare roles of its columns, and nothing of how its files are read.
    pub async fn open(folder: &Path, entry: &TableEntry) -> Result<Self, Error> {
        let log = TableLog::open(folder, At::Latest).await?;
        let declared = declared(&log, entry)?;
        let snapshot = Arc::new(Snapshot::new(log, &declared)?);
        let followed = Followed { declared, newest: Mutex::new(Arc::clone(&snapshot)) };
        Ok(Self { followed: Arc::new(followed), snapshot, pinned: false })
    }

    /// This table at its newest version. Looks for one file of the log; reads it only where there is news.
    pub async fn newest(&self) -> Result<Self, Error> {
        if self.pinned {
            return Ok(self.of(Arc::clone(&self.snapshot), true));
        }
        let known = Arc::clone(&*self.followed.newest.lock());
        if known.log.is_newest() {
            return Ok(self.of(known, false));
        }
        let log = known.log.newest().await?;
        let snapshot = Arc::new(Snapshot::new(log, &self.followed.declared)?);
        *self.followed.newest.lock() = Arc::clone(&snapshot);
        Ok(self.of(snapshot, false))
    }

    /// This table at another version, where it stays. Files that are gone by now are an error that says so.
    pub async fn at(&self, at: At) -> Result<Self, Error> {
        let log = TableLog::open(self.snapshot.log.folder(), at).await?;
        if let Some(gone) = log.files().iter().find(|f| !log.folder().join(&f.path).exists()) {
            let folder = log.folder().display();
            let oldest = versions::oldest_whole(log.folder()).await;
            let help = oldest.map_or_else(String::new, |v| format!("; the oldest that is whole is version {v}"));
            return Err(Error::data(format!(
                "version {} of '{folder}' can no longer be read: its file '{}' was removed{help}",
                log.version(),
                gone.path
            )));
        }
        Ok(self.of(Arc::new(Snapshot::new(log, &self.followed.declared)?), true))
    }

    fn of(&self, snapshot: Arc<Snapshot>, pinned: bool) -> Self {
        Self { followed: Arc::clone(&self.followed), snapshot, pinned }
    }

    /// Whether both are the same table of a session, and neither stays at a version of its own.
    pub fn follows_the_same(&self, other: &Self) -> bool {
        !self.pinned && !other.pinned && Arc::ptr_eq(&self.followed, &other.followed)
    }

    /// What the log says of this version.
    pub fn log(&self) -> &TableLog {
        &self.snapshot.log
    }
}

/// The roles that a declaration gives, checked against the columns.
fn declared(log: &TableLog, entry: &TableEntry) -> Result<Vec<(&'static str, String)>, Error> {
    let refuse = |what: &str| {
        let message = format!("'{}' is a managed table: {what}", log.folder().display());
        Err(Error::user(message).hint("remove it from the declaration"))
    };
    if !entry.order.is_empty() {
        return refuse("its log says how its files are ordered, an order cannot be declared");
    }
    if entry.time_unit.is_some() {
        return refuse("its time column is a timestamp, a time_unit cannot be declared");
    }
    let roles = [("user", &entry.user), ("time", &entry.time), ("event", &entry.event)];
    let given = roles.into_iter().filter_map(|(role, column)| Some((role, column.clone()?)));
    let given: Vec<(&'static str, String)> = given.collect();
    for (role, column) in &given {
        if log.schema().index_of(column).is_err() {
            let known: Vec<&str> = log.schema().fields().iter().map(|f| f.name().as_str()).collect();
            let message = format!("the {role} column '{column}' does not exist; {}", suggest(column, known));
            return Err(Error::user(format!("'{}': {message}", log.folder().display())));
        }
    }
    Ok(given)
}

impl Snapshot {
    fn new(log: TableLog, declared: &[(&'static str, String)]) -> Result<Self, Error> {
        let partitions = log.partitioned_by();
        let mut in_files = Vec::new();
        let mut partition_fields = Vec::new();
        for field in log.schema().fields() {
            let field = as_scanned(field, declared);
            match partitions.contains(field.name()) {
                true => partition_fields.push(Arc::new(field)),
                false => in_files.push(field),
            }
        }
        let all = in_files.iter().cloned().chain(partition_fields.iter().map(|f| f.as_ref().clone()));
        let schema = Arc::new(Schema::new(all.collect::<Vec<_>>()));
        let in_files = Arc::new(Schema::new(in_files));
        let order = order(&log, &schema);
        let mut files = Vec::with_capacity(log.files().len());
        for (stored, details) in log.files().iter().zip(&log.details) {
            let facts = log.schema().fields().iter().zip(&details.facts.columns);
            let facts = facts.filter(|(f, _)| !partitions.contains(f.name())).map(|(_, bounds)| bounds.clone());
            let facts = statistics::Facts { rows: details.facts.rows, columns: facts.collect() };
            let whole = facts.rows;
            let facts = facts.without(details.deleted.len() as u64);
            let mut known = facts.statistics(stored.size, in_files.fields().iter().map(|f| f.data_type()));
            let values = partition_fields.iter().map(|field| {
                let text = details.partition.get(log.name_in_files(field.name())).and_then(Option::as_ref);
                match text.filter(|text| !text.is_empty()) {
                    Some(text) => ScalarValue::try_from_string(text.clone(), field.data_type()),
                    None => ScalarValue::try_from(field.data_type()),
                }
            });
            let values = values.collect::<Result<Vec<_>>>()?;
            let path = log.folder().join(&stored.path);
            let meta = ObjectMeta {
                location: parquet::location(&path)?,
                last_modified: DateTime::from_timestamp_millis(stored.modified).unwrap_or_default(),
                size: stored.size,
                e_tag: stored.checksum.map(entity_tag),
                version: None,
            };
            let in_path = values.iter().map(|value| parquet::constant(value, known.num_rows));
            known.column_statistics.extend(in_path.collect::<Vec<_>>());
            let statistics = Arc::new(known);
            let mut file = PartitionedFile::new_from_meta(meta)
                .with_partition_values(values)
                .with_ordering(order.clone().filter(|_| stored.ordered))
                .with_extension(parquet::FilePath(path));
            if let Some(left) = left(&log, stored, whole, &details.deleted)? {
                file = file.with_extension(left);
            }
            // Not by the builder, which counts no NULL in columns of paths.
            file.statistics = Some(Arc::clone(&statistics));
            files.push(ScannedFile { file, statistics });
        }
        Ok(Self { log, schema, in_files, partition_fields, files })
    }

    /// The files that may hold rows for which all filters are true.
    fn needed(&self, state: &dyn Session, filters: &[Expr]) -> Result<Vec<&ScannedFile>> {
        let all: Vec<&ScannedFile> = self.files.iter().collect();
        let Some(filter) = conjunction(filters.iter().cloned()) else { return Ok(all) };
        let columns = DFSchema::try_from(Arc::clone(&self.schema))?;
        let filter = state.create_physical_expr(filter, &columns)?;
        let predicate = PruningPredicateBuilder::new().with_file_schema(Arc::clone(&self.schema)).build(filter);
        let Some(predicate) = predicate else { return Ok(all) };
        let known = Known { files: &all, schema: &self.schema };
        let keep = predicate.prune(&known)?;
        Ok(all.into_iter().zip(keep).filter_map(|(file, keep)| keep.then_some(file)).collect())
    }
}

/// The rows of a file that are not deleted; `None` where that is all.
fn left(
    log: &TableLog,
    stored: &StoredFile,
    rows: Option<u64>,
    deleted: &[u64],
) -> Result<Option<ParquetRowSelection>, Error> {
    let Some(last) = deleted.last() else { return Ok(None) };
    let Some(rows) = rows.filter(|rows| last < rows) else {
        let message = "rows are deleted by a deletion vector, and the log does not count the rows of the file";
        return Err(Error::data(format!("'{}': in '{}' {message}", log.folder().display(), stored.path)));
    };
    let mut selectors: Vec<RowSelector> = Vec::new();
    let mut add = |rows: u64, skip: bool| {
        let rows = usize::try_from(rows).unwrap_or(usize::MAX);
        if let Some(last) = selectors.last_mut().filter(|last| last.skip == skip) {
            last.row_count += rows;
        } else if rows > 0 {
            selectors.push(if skip { RowSelector::skip(rows) } else { RowSelector::select(rows) });
        }
    };
    let mut from = 0;
    for row in deleted {
        add(row - from, false);
        add(1, true);
        from = row + 1;
    }
    add(rows - from, false);
    Ok(Some(ParquetRowSelection::new(RowSelection::from(selectors))))
}

/// A column as scans give it: text that is no dictionary comes in views, which is what the Parquet reader is fastest at.
fn as_scanned(field: &Field, declared: &[(&'static str, String)]) -> Field {
    let data_type = match field.data_type() {
        DataType::Utf8 => DataType::Utf8View,
        DataType::Binary => DataType::BinaryView,
        other => other.clone(),
    };
    let mut metadata = field.metadata().clone();
    // A role that is declared anew is taken from the column that had it.
    if declared.iter().any(|(role, _)| metadata.get(ROLE_KEY).is_some_and(|r| r == role)) {
        metadata.remove(ROLE_KEY);
    }
    if let Some((role, _)) = declared.iter().find(|(_, column)| column == field.name()) {
        metadata.insert(ROLE_KEY.to_string(), role.to_string());
    }
    Field::new(field.name(), data_type, field.is_nullable()).with_metadata(metadata)
}

/// The order of our files: user, then time. The table holds no NULL in either, so where these stand does not matter.
fn order(log: &TableLog, schema: &Schema) -> Option<LexOrdering> {
    let roles = log.roles()?;
    let by = |name: &str| {
        let column = PhysicalColumn::new(name, schema.index_of(name).ok()?);
        Some(PhysicalSortExpr::new(
            Arc::new(column),
            arrow::compute::SortOptions { descending: false, nulls_first: false },
        ))
    };
    LexOrdering::new([by(&roles.user)?, by(&roles.time)?])
}

/// What the log knows of files, for leaving files out. Bounds serve that purpose, exact or not.
struct Known<'a> {
    files: &'a [&'a ScannedFile],
    schema: &'a Schema,
}

impl Known<'_> {
    fn bounds(
        &self,
        column: &Column,
        side: impl Fn(&datafusion::common::ColumnStatistics) -> &Precision<ScalarValue>,
    ) -> Option<ArrayRef> {
        let at = self.schema.index_of(column.name()).ok()?;
        let unknown = ScalarValue::try_from(self.schema.field(at).data_type()).ok()?;
        let mut any = false;
        let values = self.files.iter().map(|f| match f.statistics.column_statistics.get(at).map(&side) {
            Some(Precision::Exact(value) | Precision::Inexact(value)) => {
                any = true;
                value.clone()
            }
            _ => unknown.clone(),
        });
        let array = ScalarValue::iter_to_array(values.collect::<Vec<_>>()).ok()?;
        any.then_some(array)
    }
}

impl PruningStatistics for Known<'_> {
    fn min_values(&self, column: &Column) -> Option<ArrayRef> {
        self.bounds(column, |c| &c.min_value)
    }

    fn max_values(&self, column: &Column) -> Option<ArrayRef> {
        self.bounds(column, |c| &c.max_value)
    }

    fn num_containers(&self) -> usize {
        self.files.len()
    }

    fn null_counts(&self, column: &Column) -> Option<ArrayRef> {
        let at = self.schema.index_of(column.name()).ok()?;
        let count =
            |f: &&ScannedFile| f.statistics.column_statistics.get(at)?.null_count.get_value().map(|n| *n as u64);
        Some(Arc::new(self.files.iter().map(count).collect::<UInt64Array>()))
    }

    fn row_counts(&self) -> Option<ArrayRef> {
        let count = |f: &&ScannedFile| f.statistics.num_rows.get_value().map(|n| *n as u64);
        Some(Arc::new(self.files.iter().map(count).collect::<UInt64Array>()))
    }

    fn contained(&self, _: &Column, _: &std::collections::HashSet<ScalarValue>) -> Option<BooleanArray> {
        None
    }
}

#[async_trait]
impl TableProvider for ManagedTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.snapshot.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> Result<Vec<TableProviderFilterPushDown>> {
        // Files, row groups and pages are left out by their bounds; rows are still to be filtered.
        Ok(vec![TableProviderFilterPushDown::Inexact; filters.len()])
    }

    fn statistics(&self) -> Option<Statistics> {
        let files = self.snapshot.files.iter().map(|f| f.statistics.as_ref());
        Some(statistics::total(files, self.snapshot.schema.fields().len()))
    }

    async fn insert_into(
        &self,
        _state: &dyn Session,
        _input: Arc<dyn ExecutionPlan>,
        _op: InsertOp,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let folder = self.snapshot.log.folder().display();
        // The planner has cast the columns by now, whatever that cut off.
        let refused =
            Error::user(format!("INSERT into the managed table '{folder}' is planned by tenure's own statements"));
        Err(refused.hint("run it with tenure -c, or Engine::run").into())
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let snapshot = &self.snapshot;
        let needed = snapshot.needed(state, filters)?;
        if needed.is_empty() {
            let schema = datafusion::physical_plan::project_schema(&snapshot.schema, projection)?;
            return Ok(Arc::new(EmptyExec::new(schema)));
        }
        let total = statistics::total(needed.iter().map(|f| f.statistics.as_ref()), snapshot.schema.fields().len());
        let files: Vec<PartitionedFile> = needed.iter().map(|f| f.file.clone()).collect();
        let order = files.iter().all(|f| f.ordering.is_some()).then(|| files[0].ordering.clone()).flatten();
        let partitions = state.config().target_partitions();
        let groups = groups(files, order.as_ref(), &snapshot.schema, partitions);
        let columns = TableSchemaBuilder::from(&snapshot.in_files)
            .with_table_partition_cols(snapshot.partition_fields.clone())
            .build();
        let source = parquet::scan(state, columns, &parquet::Footers::of_session(state))?;
        let scan = FileScanConfigBuilder::new(ObjectStoreUrl::local_filesystem(), source)
            .with_file_groups(groups)
            .with_statistics(total)
            .with_projection_indices(projection.cloned())?
            .with_limit(limit)
            .with_output_ordering(order.into_iter().collect())
            .with_expr_adapter(Some(Arc::new(parquet::ByName { renamed: snapshot.log.renamed() })))
            .build();
        Ok(DataSourceExec::from_data_source(scan))
    }
}

/// The files in at most `count` groups of about equal size. Where files are ordered, no group goes back, if that can be had: then
/// each is ordered as a whole.
fn groups(
    files: Vec<PartitionedFile>,
    order: Option<&LexOrdering>,
    schema: &SchemaRef,
    count: usize,
) -> Vec<FileGroup> {
    let count = count.clamp(1, files.len());
    if let Some(order) = order {
        let one = [FileGroup::new(files.clone())];
        let split = FileScanConfig::split_groups_by_statistics_with_target_partitions(schema, &one, order, count);
        if let Ok(split) = split
            && split.len() <= count
        {
            return split;
        }
    }
    let mut groups: Vec<(u64, Vec<PartitionedFile>)> = vec![(0, Vec::new()); count];
    let mut by_size = files;
    by_size.sort_by_key(|f| std::cmp::Reverse(f.object_meta.size));
    for file in by_size {
        if let Some(least) = groups.iter_mut().min_by_key(|(size, _)| *size) {
            least.0 += file.object_meta.size.max(1);
            least.1.push(file);
        }
    }
    groups.into_iter().filter(|(_, files)| !files.is_empty()).map(|(_, files)| FileGroup::new(files)).collect()
}
