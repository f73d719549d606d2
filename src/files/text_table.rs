//! CSV and NDJSON files as a table of a query.
//!
//! Deals with: what is known of the files once they were looked at, what of them a scan needs. Does not deal with: reading them
//! (`text_scan`), or whether they have changed (`store::table`).

use std::sync::Arc;

use arrow::datatypes::{DataType, Schema, SchemaRef};
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::error::Result as PlanResult;
use datafusion::logical_expr::dml::InsertOp;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown, TableType};
use datafusion::physical_expr::{LexOrdering, PhysicalSortExpr, expressions};
use datafusion::physical_plan::ExecutionPlan;

use super::columns::{Column, Columns, Shape};
use super::heads::{self, Head, HeadOptions, Heads};
use super::location::DataFile;
use super::options::ReadOptions;
use super::source::Source;
use super::text_columns::decide;
use super::text_scan::{TextScanExec, first_fault};
use crate::error::{Error, Result};

/// Text files, and how each is read.
#[derive(Debug)]
pub struct TextTable {
    pub(super) sources: Vec<Source>,
    pub(super) heads: Vec<Head>,
    columns: Columns,
    schema: SchemaRef,
    /// Columns by which each file is said to be sorted.
    order: Vec<String>,
}

impl TextTable {
    /// Looks at the beginnings of files. `user` is the column that is declared to hold users, `order` what each file is said to be
    /// sorted by, `declared` are the columns that are wanted, with their types. Reads up to 64 MiB.
    pub fn open(
        files: Vec<DataFile>,
        options: &ReadOptions,
        user: Option<&str>,
        order: &[String],
        declared: Option<&SchemaRef>,
    ) -> Result<Self> {
        let sources = files.into_iter().map(|file| Source::at(file, options.said)).collect::<Result<Vec<_>>>()?;
        let told =
            HeadOptions { csv: options.csv.clone(), sample: options.sample, nulls: options.nulls.clone(), rules: None };
        let Heads { mut heads, mut shapes, .. } = heads::read(&sources, &told)?;
        if let Some(declared) = declared.filter(|_| !options.csv.header) {
            name_by_place(declared, &mut heads, &mut shapes)?;
        }
        let columns = decide(&shapes, options, user, declared)?;
        if columns.columns.is_empty() {
            if let Some(fault) = sources.iter().zip(&heads).find_map(|(s, head)| first_fault(s, head, &columns)) {
                return Err(fault);
            }
            let names: Vec<&str> = sources.iter().map(|s| s.name.as_str()).take(3).collect();
            return Err(Error::data(format!("'{}' has no columns: it is empty", names.join("', '"))));
        }
        for shape in &shapes {
            missing_header(shape, &shapes)?;
        }
        let schema = Arc::clone(&columns.schema);
        if let Some(unknown) = order.iter().find(|name| schema.index_of(name).is_err()) {
            return Err(Error::user(format!("order: the files have no column '{unknown}'")));
        }
        Ok(Self { sources, heads, columns, schema, order: order.to_vec() })
    }

    /// The type of a column, and whether the sample has a value of it.
    pub fn column(&self, name: &str) -> Option<(&DataType, bool)> {
        let column = self.columns.columns.iter().find(|column| column.name == name)?;
        Some((&column.data_type, column.example.is_some()))
    }

    /// The same files with another schema of the same columns: with metadata.
    #[must_use]
    pub fn with_schema(mut self, schema: SchemaRef) -> Self {
        self.schema = schema;
        self
    }

    /// The columns that a scan reads.
    fn projected(&self, projection: Option<&Vec<usize>>) -> (Columns, SchemaRef) {
        let all: Vec<usize> = (0..self.columns.columns.len()).collect();
        let wanted = projection.unwrap_or(&all);
        let columns: Vec<Column> = wanted.iter().map(|at| self.columns.columns[*at].clone()).collect();
        let fields: Vec<_> = wanted.iter().map(|at| Arc::clone(&self.schema.fields()[*at])).collect();
        let schema = Arc::new(Schema::new_with_metadata(fields, self.schema.metadata().clone()));
        let part = wanted.len() < all.len();
        (Columns { columns, schema: Arc::clone(&schema), part, ..self.columns.clone() }, schema)
    }

    fn ordering(&self, schema: &Schema) -> Option<LexOrdering> {
        let sorted = self.order.iter().map_while(|name| {
            let column = expressions::col(name, schema).ok()?;
            let options = arrow::compute::SortOptions { descending: false, nulls_first: false };
            Some(PhysicalSortExpr::new(column, options))
        });
        LexOrdering::new(sorted)
    }
}

/// Refuses INSERT.
pub fn not_written(what: &str) -> Error {
    Error::user(format!("INSERT: a table over {what} is read, not written"))
        .hint("COPY (SELECT ..) TO 'folder/new.csv' adds a file to a folder")
}

/// Calls the columns of files without a header as they are declared.
fn name_by_place(declared: &SchemaRef, heads: &mut [Head], shapes: &mut [Shape]) -> Result<()> {
    for (head, shape) in heads.iter_mut().zip(shapes) {
        let Some(csv) = &mut head.csv else { continue };
        if csv.names.len() != declared.fields().len() {
            let (found, wanted) = (csv.names.len(), declared.fields().len());
            return Err(Error::data(format!(
                "'{}' has {found} columns in place of the {wanted} that are declared",
                shape.source
            )));
        }
        for (at, field) in declared.fields().iter().enumerate() {
            csv.names[at].clone_from(field.name());
            shape.columns[at].0.clone_from(field.name());
        }
    }
    Ok(())
}

/// A CSV file among others with a header all of whose names no other has is one without a header: its first row would be lost.
fn missing_header(shape: &Shape, all: &[Shape]) -> Result<()> {
    let others: Vec<_> = all.iter().filter(|other| other.by_position && other.source != shape.source).collect();
    if !shape.by_position || others.is_empty() || shape.columns.is_empty() {
        return Ok(());
    }
    let known = |name: &str| others.iter().any(|other| other.columns.iter().any(|(theirs, _)| theirs == name));
    if shape.columns.iter().any(|(name, _)| known(name)) {
        return Ok(());
    }
    let names: Vec<&str> = shape.columns.iter().map(|(name, _)| name.as_str()).take(5).collect();
    Err(Error::data(format!(
        "'{}' has none of the columns of '{}'; its first line is '{}'",
        shape.source,
        others[0].source,
        names.join(",")
    ))
    .hint("files of one table have a header each (or none: header => false); read others apart"))
}

#[async_trait]
impl TableProvider for TextTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> PlanResult<Vec<TableProviderFilterPushDown>> {
        Ok(vec![TableProviderFilterPushDown::Unsupported; filters.len()])
    }

    async fn insert_into(
        &self,
        _state: &dyn Session,
        _input: Arc<dyn ExecutionPlan>,
        _op: InsertOp,
    ) -> PlanResult<Arc<dyn ExecutionPlan>> {
        Err(not_written("text files").into())
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        _filters: &[Expr],
        limit: Option<usize>,
    ) -> PlanResult<Arc<dyn ExecutionPlan>> {
        let (columns, schema) = self.projected(projection);
        let ordering = self.ordering(&schema);
        let partitions = state.config().target_partitions();
        Ok(Arc::new(TextScanExec::new(self, columns, schema, ordering, partitions, limit)))
    }
}
