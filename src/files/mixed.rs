//! Parquet and text files as one table of a query.
//!
//! ```text
//!  Parquet files ─▶ ParquetTable ─▶ its columns as those of the table ─┐
//!                                                                      ├─▶ union
//!  text files ────▶ TextTable ────▶ its columns as those of the table ─┘
//! ```
//!
//! Deals with: columns by name, the type that holds the values of both kinds, columns that one kind lacks (NULL). Does not deal with:
//! the files of one kind among themselves (`parquet`, `text_table`).
//!
//! Types widen as they do among Parquet files; what the text files show as texts makes a column of texts, as among text files. The text
//! files are read as the common type from the start, so that no text is made a number and a text again.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef, TimeUnit};
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::ScalarValue;
use datafusion::error::Result as PlanResult;
use datafusion::logical_expr::dml::InsertOp;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown, TableType};
use datafusion::physical_expr::expressions::{Column, Literal};
use datafusion::physical_plan::projection::ProjectionExec;
use datafusion::physical_plan::union::UnionExec;
use datafusion::physical_plan::{ExecutionPlan, PhysicalExpr};

use super::location::DataFile;
use super::options::ReadOptions;
use super::parquet::{self, Declared, ParquetOptions, as_field, widen};
use super::source::{SourceFormat, ending};
use super::stored_types::{is_scalar, is_text, readable};
use super::text_table::{TextTable, not_written};
use super::types::{timestamp, type_name};
use crate::error::{Error, Result, suggest};

/// Whether a file's name says that it is Parquet.
pub fn is_parquet(file: &DataFile) -> bool {
    matches!(ending(&file.path), Some((_, SourceFormat::Parquet)))
}

/// Files of both kinds.
#[derive(Debug)]
pub struct MixedTable {
    schema: SchemaRef,
    /// One for each kind, in the order of their first files.
    parts: Vec<Arc<dyn TableProvider>>,
}

impl MixedTable {
    /// Opens the files. `user` is the column that is declared to hold users.
    pub async fn open(
        state: &dyn Session,
        files: Vec<DataFile>,
        (read, parquet): (&ReadOptions, &ParquetOptions),
        user: Option<&str>,
        declared: Declared<'_>,
    ) -> Result<Self> {
        if !declared.order.is_empty() {
            return Err(Error::user("Parquet and text files of one table cannot be declared to be sorted")
                .hint("declare a table for each kind, and UNION ALL both"));
        }
        let text_first = files.first().is_some_and(|file| !is_parquet(file));
        let (stored, text): (Vec<DataFile>, Vec<DataFile>) = files.into_iter().partition(is_parquet);
        let names = [&stored, &text].map(|files| files[0].path.display().to_string());
        let opened = parquet::open(state, stored.clone(), parquet, Declared::default()).await?;
        let shown = text_table(text.clone(), read.clone(), user).await?;
        let columns = match &declared.columns {
            Some(columns) => as_declared(columns, &opened.schema(), &shown.schema())?,
            None => columns(&opened.schema(), &shown, text_first, &names)?,
        };
        let stored_columns = columns.iter().filter(|field| opened.schema().index_of(field.name()).is_ok());
        let as_columns = Schema::new(stored_columns.cloned().collect::<Vec<FieldRef>>());
        let narrowed = Declared { columns: Some(Arc::new(as_columns)), ..Declared::default() };
        let opened = parquet::open(state, stored, parquet, narrowed).await?;
        let mut options = read.clone();
        let mut changed = false;
        for field in &columns {
            let Some((known, _)) = shown.column(field.name()) else { continue };
            let wanted = read_as(field.data_type());
            if *known != wanted && (readable(&wanted) || (wanted.is_nested() && known.is_nested())) {
                options.types.insert(field.name().clone(), wanted);
                changed = true;
            }
        }
        let shown = if changed { text_table(text, options, user).await? } else { shown };
        let mut schema = Arc::new(Schema::new(columns));
        if let Some(roles) = declared.roles {
            schema = roles(&schema)?;
        }
        let mut parts: Vec<Arc<dyn TableProvider>> = vec![opened, Arc::new(shown)];
        if text_first {
            parts.reverse();
        }
        Ok(Self { schema, parts })
    }
}

async fn text_table(files: Vec<DataFile>, read: ReadOptions, user: Option<&str>) -> Result<TextTable> {
    let user = user.map(str::to_string);
    // Looking at samples takes its time, and a runtime need not wait for it.
    let open = move || TextTable::open(files, &read, user.as_deref(), &[], None);
    let opened = tokio::task::spawn_blocking(open).await;
    opened.map_err(|e| Error::internal(format!("files could not be looked at: {e}")))?
}

/// The columns of both kinds, those of the kind of the first file first.
fn columns(stored: &SchemaRef, text: &TextTable, text_first: bool, names: &[String; 2]) -> Result<Vec<FieldRef>> {
    let shown = text.schema();
    let (first, second) = if text_first { (&shown, stored) } else { (stored, &shown) };
    let more = second.fields().iter().filter(|field| first.index_of(field.name()).is_err());
    let mut columns = Vec::new();
    for field in first.fields().iter().chain(more) {
        let name = field.name();
        let data_type = match (stored.field_with_name(name), text.column(name)) {
            (Ok(stored), Some((shown, true))) => both(stored.data_type(), shown).ok_or_else(|| {
                let (one, other) = (type_name(stored.data_type()), type_name(shown));
                Error::data(format!(
                    "column '{name}' is {one} in '{}' but {other} in '{}'; files of one table must agree",
                    names[0], names[1]
                ))
            })?,
            // A column without a value fits any type.
            (Ok(stored), _) => stored.data_type().clone(),
            (Err(_), _) => field.data_type().clone(),
        };
        columns.push(Arc::new(Field::new(name, data_type, true)));
    }
    Ok(columns)
}

/// The declared columns, each of which one of the kinds has.
fn as_declared(declared: &SchemaRef, stored: &SchemaRef, text: &SchemaRef) -> Result<Vec<FieldRef>> {
    let known = || stored.fields().iter().chain(text.fields()).map(|field| field.name().as_str());
    let column = |field: &FieldRef| match known().any(|name| name == field.name()) {
        true => Ok(Arc::new(Field::new(field.name(), field.data_type().clone(), true))),
        false => {
            let message =
                format!("column '{}' is in none of the files; {}", field.name(), suggest(field.name(), known()));
            Err(Error::user(message))
        }
    };
    declared.fields().iter().map(column).collect()
}

/// The type that holds what Parquet files say and what text files show.
fn both(stored: &DataType, shown: &DataType) -> Option<DataType> {
    use DataType as T;
    match (stored, shown) {
        (T::Struct(a), T::Struct(b)) => {
            let mut fields: Vec<Field> = Vec::with_capacity(a.len());
            for field in a {
                let data_type = match b.iter().find(|other| other.name() == field.name()) {
                    Some(other) => both(field.data_type(), other.data_type())?,
                    None => field.data_type().clone(),
                };
                fields.push(Field::new(field.name(), data_type, true));
            }
            let known = |name: &str| a.iter().any(|field| field.name() == name);
            fields.extend(b.iter().filter(|field| !known(field.name())).map(|field| field.as_ref().clone()));
            Some(T::Struct(fields.into()))
        }
        (T::List(a) | T::LargeList(a), T::List(b)) => {
            Some(T::List(Field::new_list_field(both(a.data_type(), b.data_type())?, true).into()))
        }
        (a, b) if is_text(a) != is_text(b) && is_scalar(a) && is_scalar(b) => Some(T::Utf8),
        (a, b) => widen(a, b).ok(),
    }
}

/// The type as which text is read for a column of this type.
fn read_as(data_type: &DataType) -> DataType {
    use DataType as T;
    match data_type {
        text if is_text(text) => T::Utf8,
        T::UInt8 => T::Int16,
        T::UInt16 => T::Int32,
        T::UInt32 | T::UInt64 => T::Int64,
        T::Float16 => T::Float32,
        T::Date64 => T::Date32,
        T::Timestamp(_, None) => T::Timestamp(TimeUnit::Microsecond, None),
        T::Timestamp(_, Some(_)) => timestamp(),
        T::Decimal32(p, s) | T::Decimal64(p, s) | T::Decimal256(p, s) if *p <= 38 => T::Decimal128(*p, *s),
        T::Struct(fields) => {
            T::Struct(fields.iter().map(|field| Field::new(field.name(), read_as(field.data_type()), true)).collect())
        }
        T::List(item) | T::LargeList(item) | T::FixedSizeList(item, _) => {
            T::List(Field::new_list_field(read_as(item.data_type()), true).into())
        }
        other => other.clone(),
    }
}

#[async_trait]
impl TableProvider for MixedTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> PlanResult<Vec<TableProviderFilterPushDown>> {
        Ok(vec![TableProviderFilterPushDown::Inexact; filters.len()])
    }

    async fn insert_into(
        &self,
        _state: &dyn Session,
        _input: Arc<dyn ExecutionPlan>,
        _op: InsertOp,
    ) -> PlanResult<Arc<dyn ExecutionPlan>> {
        Err(not_written("Parquet and text files").into())
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> PlanResult<Arc<dyn ExecutionPlan>> {
        let all: Vec<usize> = (0..self.schema.fields().len()).collect();
        let wanted: Vec<FieldRef> =
            projection.unwrap_or(&all).iter().map(|at| Arc::clone(&self.schema.fields()[*at])).collect();
        // Rows that a filter takes away may not count for a limit.
        let limit = limit.filter(|_| filters.is_empty());
        let mut plans: Vec<Arc<dyn ExecutionPlan>> = Vec::with_capacity(self.parts.len());
        for part in &self.parts {
            let schema = part.schema();
            let places: Vec<usize> = wanted.iter().filter_map(|field| schema.index_of(field.name()).ok()).collect();
            let known = |filter: &&Expr| filter.column_refs().iter().all(|c| schema.index_of(&c.name).is_ok());
            let filters: Vec<Expr> = filters.iter().filter(known).cloned().collect();
            let scan = part.scan(state, Some(&places), &filters, limit).await?;
            let here = scan.schema();
            let exprs = wanted.iter().map(|field| {
                let column: Arc<dyn PhysicalExpr> = match here.index_of(field.name()) {
                    Ok(at) => Arc::new(Column::new(field.name(), at)),
                    Err(_) => Arc::new(Literal::new(ScalarValue::Null)),
                };
                let same = here.field_with_name(field.name()).is_ok_and(|found| found == field.as_ref());
                let column = if same { column } else { as_field(column, Arc::clone(field)) };
                (column, field.name().clone())
            });
            plans.push(Arc::new(ProjectionExec::try_new(exprs.collect::<Vec<_>>(), scan)?));
        }
        UnionExec::try_new(plans)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_type_of_both_holds_the_values_of_each() {
        use DataType as T;
        let list = |item: T| T::List(Field::new_list_field(item, true).into());
        let one = |name: &str, data_type: T| T::Struct(vec![Field::new(name, data_type, true)].into());
        for (stored, shown, expected) in [
            (T::Int32, T::Int64, Some(T::Int64)),
            (T::Int64, T::Float64, Some(T::Float64)),
            (T::Utf8View, T::Int64, Some(T::Utf8)),
            (T::Int64, T::Utf8, Some(T::Utf8)),
            (T::Date32, T::Timestamp(TimeUnit::Microsecond, None), Some(T::Timestamp(TimeUnit::Microsecond, None))),
            (T::Boolean, T::Int64, None),
            (list(T::Int32), list(T::Utf8), Some(list(T::Utf8))),
            (one("a", T::Int64), T::Int64, None),
        ] {
            assert_eq!(both(&stored, &shown), expected, "{stored} {shown}");
        }
        let T::Struct(fields) = both(&one("a", T::Int64), &one("b", T::Utf8)).unwrap() else { unreachable!() };
        assert_eq!(fields.iter().map(|field| field.name().as_str()).collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!(read_as(&list(T::Utf8View)), list(T::Utf8));
    }
}
