//! Column types and names that other tools read as what they are.
//!
//! Deals with: what a result's columns become in a Parquet or Arrow file, and names that occur twice.
//! Does not deal with: writing the file.

use std::collections::HashSet;
use std::sync::Arc;

use arrow::array::{RecordBatch, RecordBatchOptions};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, FieldRef, Fields, Schema, SchemaRef, TimeUnit};

use super::far_times::legible_rows;
use super::write_failed;
use crate::error::Result;

/// The file format that the types are for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Target {
    /// Text formats: only names change.
    Text,
    /// Arrow IPC.
    Arrow,
    /// Parquet.
    Parquet,
}

/// The schema of the file, and the way of a batch into it.
pub(super) struct Portable {
    pub schema: SchemaRef,
    target: Target,
}

impl Portable {
    pub fn new(schema: &Schema, target: Target) -> Self {
        let names = unique_names(schema);
        let fields: Fields = schema
            .fields()
            .iter()
            .zip(names)
            .map(|(field, name)| {
                let data_type = match target {
                    Target::Text => with_text_keys(field.data_type()),
                    _ => portable(field.data_type(), target),
                };
                // A plan may call a column NOT NULL that is not: what is promised in a file must hold.
                Field::new(name, data_type, true).with_metadata(field.metadata().clone())
            })
            .collect();
        Self { schema: Arc::new(Schema::new_with_metadata(fields, schema.metadata().clone())), target }
    }

    pub fn convert(&self, batch: &RecordBatch) -> Result<RecordBatch> {
        let columns = batch
            .columns()
            .iter()
            .zip(self.schema.fields())
            .map(|(column, field)| {
                if column.data_type() == field.data_type() {
                    Ok(Arc::clone(column))
                } else {
                    cast(column, field.data_type()).map_err(write_failed)
                }
            })
            .collect::<Result<Vec<_>>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        let batch =
            RecordBatch::try_new_with_options(Arc::clone(&self.schema), columns, &options).map_err(write_failed)?;
        if self.target == Target::Text { legible_rows(batch, 'T') } else { Ok(batch) }
    }
}

/// `id, id, x` becomes `id, id_1, x`: JSON objects and data frames hold one of each name.
fn unique_names(schema: &Schema) -> Vec<String> {
    let mut taken: HashSet<String> = schema.fields().iter().map(|f| f.name().clone()).collect();
    let mut used = HashSet::new();
    let mut names = Vec::with_capacity(schema.fields().len());
    for field in schema.fields() {
        let mut name = field.name().clone();
        if used.contains(&name) {
            name = (1..).map(|n| format!("{name}_{n}")).find(|n| !taken.contains(n)).unwrap_or(name);
            taken.insert(name.clone());
        }
        used.insert(name.clone());
        names.push(name);
    }
    names
}

/// The same with maps whose keys are texts, as those of JSON are.
fn with_text_keys(data_type: &DataType) -> DataType {
    let inner = |field: &FieldRef| -> FieldRef {
        Arc::new(field.as_ref().clone().with_data_type(with_text_keys(field.data_type())))
    };
    match data_type {
        DataType::Map(entries, sorted) => match entries.data_type() {
            DataType::Struct(pair) if pair.len() == 2 => {
                let key: FieldRef = match pair[0].data_type() {
                    DataType::Utf8 | DataType::LargeUtf8 => Arc::clone(&pair[0]),
                    _ => Arc::new(pair[0].as_ref().clone().with_data_type(DataType::Utf8)),
                };
                let pair = DataType::Struct(vec![key, inner(&pair[1])].into());
                DataType::Map(Arc::new(entries.as_ref().clone().with_data_type(pair)), *sorted)
            }
            _ => data_type.clone(),
        },
        DataType::List(field) => DataType::List(inner(field)),
        DataType::LargeList(field) => DataType::LargeList(inner(field)),
        DataType::Struct(fields) => DataType::Struct(fields.iter().map(inner).collect()),
        other => other.clone(),
    }
}

/// The type that a file holds for values of this type.
fn portable(data_type: &DataType, target: Target) -> DataType {
    let inner = |field: &FieldRef| -> FieldRef {
        Arc::new(field.as_ref().clone().with_data_type(portable(field.data_type(), target)).with_nullable(true))
    };
    match data_type {
        // Both formats have their own way to store few distinct values; a dictionary column would become a pandas category,
        // and an Arrow file cannot change a dictionary between batches.
        DataType::Dictionary(_, value) => portable(value, target),
        DataType::RunEndEncoded(_, value) => portable(value.data_type(), target),
        // Views are newer than many readers.
        DataType::Utf8View => DataType::Utf8,
        DataType::BinaryView => DataType::Binary,
        DataType::List(field) | DataType::ListView(field) => DataType::List(inner(field)),
        DataType::LargeList(field) | DataType::LargeListView(field) => DataType::LargeList(inner(field)),
        DataType::FixedSizeList(field, size) => DataType::FixedSizeList(inner(field), *size),
        DataType::Struct(fields) => DataType::Struct(fields.iter().map(inner).collect()),
        // Parquet has no seconds: without this cast the column is a bare integer to other readers.
        DataType::Timestamp(TimeUnit::Second, zone) if target == Target::Parquet => {
            DataType::Timestamp(TimeUnit::Millisecond, zone.clone())
        }
        DataType::Time32(TimeUnit::Second) if target == Target::Parquet => DataType::Time32(TimeUnit::Millisecond),
        DataType::Date64 if target == Target::Parquet => DataType::Date32,
        // The writer has no months-days-nanoseconds, and few readers know any of the three.
        DataType::Interval(_) if target == Target::Parquet => DataType::Utf8,
        // What DuckDB makes of `SELECT NULL`.
        DataType::Null if target == Target::Parquet => DataType::Int32,
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_unique_without_taking_another_columns_name() {
        let schema =
            Schema::new(["id", "id_1", "id", "id"].map(|name| Field::new(name, DataType::Int64, true)).to_vec());
        assert_eq!(unique_names(&schema), ["id", "id_1", "id_2", "id_3"]);
    }
}
