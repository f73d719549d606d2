//! The table over Parquet files.
//!
//! Deals with: opening the files, which of them a scan reads and in which groups, the orders that it declares. Does not deal with: what is
//! told of a file (`facts`), or following a folder that changes (`followed`).
//!
//! The groups of files are those that DataFusion makes of a folder: files by name, as many groups as partitions are wanted; it cuts
//! them into ranges of bytes later on.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::datatypes::{FieldRef, Schema, SchemaRef};
use async_trait::async_trait;
use chrono::{DateTime, Utc};
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::{ScalarValue, Statistics};
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::listing::helpers::expr_applicable_for_cols;
use datafusion::datasource::object_store::ObjectStoreUrl;
use datafusion::datasource::physical_plan::{FileGroup, FileScanConfig, FileScanConfigBuilder};
use datafusion::datasource::source::DataSourceExec;
use datafusion::datasource::table_schema::TableSchemaBuilder;
use datafusion::error::Result;
use datafusion::logical_expr::dml::InsertOp;
use datafusion::logical_expr::{Expr, SortExpr, TableProviderFilterPushDown, TableType};
use datafusion::physical_expr::{LexOrdering, create_lex_ordering};
use datafusion::physical_plan::empty::EmptyExec;
use datafusion::physical_plan::{ExecutionPlan, project_schema};
use datafusion_datasource::compute_all_files_statistics;
use object_store::ObjectMeta;
use object_store::path::Path as ObjectPath;

use super::adapt::ByName;
use super::facts::Facts;
use super::footers::Footers;
use super::source::{FilePath, scan};
use super::{Declared, ParquetOptions, order, partitions, schema, statistics, texts};
use crate::error::{Error, suggest};
use crate::files::location::DataFile;

/// Parquet files as one table.
pub struct ParquetTable {
    /// The columns: those in files, then those in paths.
    schema: SchemaRef,
    in_files: SchemaRef,
    in_path: Vec<FieldRef>,
    files: Vec<PartitionedFile>,
    declared: Vec<Vec<SortExpr>>,
    footers: Arc<Footers>,
}

impl fmt::Debug for ParquetTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ParquetTable").field("files", &self.files.len()).finish()
    }
}

impl ParquetTable {
    /// Opens the files: their footers, side by side, and nothing else of them.
    pub async fn open(
        state: &dyn Session,
        files: Vec<DataFile>,
        options: &ParquetOptions,
        declared: Declared<'_>,
    ) -> Result<Self, Error> {
        let footers = Footers::of_session(state);
        let execution = &state.config_options().execution;
        let opened: Vec<(ObjectMeta, PathBuf)> =
            files.iter().map(|file| Ok((meta(file)?, file.path.clone()))).collect::<Result<_, Error>>()?;
        let facts = footers.all_facts(&opened, execution.meta_fetch_concurrency.get()).await?;
        let schemas: Vec<(&Path, &SchemaRef)> =
            opened.iter().zip(&facts).map(|((_, path), facts)| (path.as_path(), &facts.schema)).collect();
        let text = match options.binary_as_text.or(execution.parquet.binary_as_string.then_some(true)) {
            Some(_) => Vec::new(),
            None => texts::texts(&schemas),
        };
        let is_text = |name: &str| match options.binary_as_text.or(execution.parquet.binary_as_string.then_some(true)) {
            Some(all) => all,
            None => text.iter().any(|text| text == name),
        };
        let merged = schema::merged(&schemas, execution.parquet.schema_force_view_types, &is_text)?;
        let in_path = partitions::columns(&files, &merged)?;
        let in_files: Vec<FieldRef> = merged.into_iter().map(|column| Arc::new(column.field)).collect();
        let all: Vec<FieldRef> = in_files.iter().chain(&in_path).cloned().collect();
        let mut whole = Arc::new(Schema::new(all));
        if let Some(columns) = &declared.columns {
            whole = as_declared(&whole, columns)?;
        }
        if let Some(roles) = declared.roles {
            whole = roles(&whole)?;
        }
        let is_in_path = |field: &&FieldRef| in_path.iter().any(|column| column.name() == field.name());
        let in_path: Vec<FieldRef> = whole.fields().iter().filter(is_in_path).cloned().collect();
        let in_files: Vec<FieldRef> = whole.fields().iter().filter(|field| !is_in_path(field)).cloned().collect();
        let in_files = Arc::new(Schema::new(in_files));
        let whole = Arc::new(Schema::new(in_files.fields().iter().chain(&in_path).cloned().collect::<Vec<_>>()));
        let mut scanned = Vec::with_capacity(files.len());
        for ((file, (meta, _)), facts) in files.iter().zip(opened).zip(facts) {
            scanned.push(scanned_file(file, meta, &facts, &in_files, &in_path)?);
        }
        // Their order is that of plans, whatever the order of the list.
        scanned.sort_by(|a, b| a.object_meta.location.cmp(&b.object_meta.location));
        Ok(Self { schema: whole, in_files, in_path, files: scanned, declared: declared.order, footers })
    }

    /// Where its files are.
    pub fn paths(&self) -> impl Iterator<Item = PathBuf> + '_ {
        self.files.iter().map(super::source::path_of)
    }

    fn is_of_path(&self, filter: &Expr) -> bool {
        let names: Vec<&str> = self.in_path.iter().map(|column| column.name().as_str()).collect();
        !names.is_empty() && expr_applicable_for_cols(&names, filter)
    }

    /// The files that the filters leave, and whether rows were left out that only a limit leaves out.
    fn needed(
        &self,
        state: &dyn Session,
        of_path: &[Expr],
        limit: Option<usize>,
    ) -> Result<(Vec<PartitionedFile>, bool)> {
        let values = self.files.iter().map(|file| file.partition_values.as_slice());
        let kept = partitions::kept(state, &self.in_path, values, of_path)?;
        let mut kept = self.files.iter().zip(kept).filter(|(_, kept)| *kept).map(|(file, _)| file);
        let Some(limit) = limit else { return Ok((kept.cloned().collect(), false)) };
        let (mut files, mut rows) = (Vec::new(), 0usize);
        for file in kept.by_ref() {
            files.push(file.clone());
            rows = rows.saturating_add(rows_of(file));
            if rows > limit {
                break;
            }
        }
        Ok((files, kept.next().is_some()))
    }

    fn orders(&self, state: &dyn Session, groups: &[FileGroup]) -> Result<Vec<LexOrdering>> {
        if !self.declared.is_empty() {
            return create_lex_ordering(&self.schema, &self.declared, state.execution_props());
        }
        Ok(order::common(groups.iter().flat_map(FileGroup::iter)).into_iter().collect())
    }
}

fn rows_of(file: &PartitionedFile) -> usize {
    file.statistics.as_ref().and_then(|s| s.num_rows.get_value().copied()).unwrap_or(0)
}

/// The columns of the table as they are declared, each by its name.
fn as_declared(found: &SchemaRef, declared: &SchemaRef) -> Result<SchemaRef, Error> {
    let fields = declared.fields().iter().map(|field| {
        if found.field_with_name(field.name()).is_err() {
            let known: Vec<&str> = found.fields().iter().map(|f| f.name().as_str()).collect();
            let message =
                format!("column '{}' is in none of the files; {}", field.name(), suggest(field.name(), known));
            return Err(Error::user(message));
        }
        Ok(Arc::clone(field))
    });
    Ok(Arc::new(Schema::new(fields.collect::<Result<Vec<FieldRef>, Error>>()?)))
}

/// A file as the object store knows it.
fn meta(file: &DataFile) -> Result<ObjectMeta, Error> {
    let last_modified = DateTime::<Utc>::from(file.modified);
    Ok(ObjectMeta { location: location(&file.path)?, last_modified, size: file.size, e_tag: None, version: None })
}

/// The place of a local file in the terms of the object store, which knows no `..`.
pub fn location(path: &Path) -> Result<ObjectPath, Error> {
    let plain = !path.components().any(|part| matches!(part, std::path::Component::ParentDir));
    let whole = if plain { std::path::absolute(path) } else { std::fs::canonicalize(path) };
    let whole = whole.map_err(|e| Error::io("open", path, &e))?;
    ObjectPath::from_absolute_path(&whole)
        .map_err(|e| Error::data(format!("file '{}' has a name that cannot be used: {e}", path.display())))
}

fn scanned_file(
    file: &DataFile,
    meta: ObjectMeta,
    facts: &Facts,
    in_files: &Schema,
    in_path: &[FieldRef],
) -> Result<PartitionedFile, Error> {
    let values: Vec<ScalarValue> = partitions::values(file, in_path)?;
    let known = statistics::of_file(facts, in_files, &values);
    let mut scanned = PartitionedFile::new_from_meta(meta)
        .with_partition_values(values)
        .with_ordering(order::of_file(facts, in_files))
        .with_extension(FilePath(file.path.clone()));
    // Not by the builder, which counts no NULL in columns of paths.
    scanned.statistics = Some(Arc::new(known));
    Ok(scanned)
}

#[async_trait]
impl TableProvider for ParquetTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> Result<Vec<TableProviderFilterPushDown>> {
        let pushed = filters.iter().map(|filter| match self.is_of_path(filter) {
            true => TableProviderFilterPushDown::Exact,
            // Row groups and pages are left out by their bounds; rows are still to be filtered.
            false => TableProviderFilterPushDown::Inexact,
        });
        Ok(pushed.collect())
    }

    fn statistics(&self) -> Option<Statistics> {
        let files = self.files.iter().filter_map(|file| file.statistics.as_deref());
        Statistics::try_merge_iter(files, &self.schema).ok()
    }

    async fn insert_into(
        &self,
        _state: &dyn Session,
        _input: Arc<dyn ExecutionPlan>,
        _op: InsertOp,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let refused = Error::user("INSERT: a table over Parquet files is read, not written");
        Err(refused.hint("COPY (SELECT ..) TO 'folder/new.parquet' adds a file to a folder").into())
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let (of_path, other): (Vec<Expr>, Vec<Expr>) = filters.iter().cloned().partition(|f| self.is_of_path(f));
        let (files, cut_short) = self.needed(state, &of_path, limit.filter(|_| other.is_empty()))?;
        if files.is_empty() {
            return Ok(Arc::new(EmptyExec::new(project_schema(&self.schema, projection)?)));
        }
        let partitions = state.config().target_partitions();
        let mut groups = FileGroup::new(files).split_files(partitions.max(1));
        let orders = self.orders(state, &groups)?;
        if state.config_options().execution.split_file_groups_by_statistics
            && let Some(order) = orders.first()
        {
            let split = FileScanConfig::split_groups_by_statistics_with_target_partitions(
                &self.schema,
                &groups,
                order,
                partitions,
            );
            groups = split.ok().filter(|split| split.len() <= partitions).unwrap_or(groups);
        }
        let (groups, total) = compute_all_files_statistics(groups, Arc::clone(&self.schema), true, cut_short)?;
        let columns = TableSchemaBuilder::from(&self.in_files).with_table_partition_cols(self.in_path.clone()).build();
        let source = scan(state, columns, &self.footers)?;
        let config = FileScanConfigBuilder::new(ObjectStoreUrl::local_filesystem(), source)
            .with_file_groups(groups)
            .with_statistics(total)
            .with_projection_indices(projection.cloned())?
            .with_limit(limit)
            .with_output_ordering(orders)
            .with_expr_adapter(Some(Arc::new(ByName::default())))
            .build();
        Ok(DataSourceExec::from_data_source(config))
    }
}
