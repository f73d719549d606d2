//! One Parquet file by itself, for whoever reads it from front to back.
//!
//! Deals with: the same footer, and the same types, as a table over the file has. Does not deal with: reading its rows.

use std::path::Path;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use parquet::arrow::parquet_to_arrow_schema;
use parquet::file::metadata::ParquetMetaData;
use parquet::schema::types::Type;

use super::facts::{BYTES_ARE, UUID, columns, is_untold, with_known_zones};
use super::footers::{read, unreadable};
use super::texts::{as_strings, is_untyped, texts};
use crate::error::{Error, Result};

/// A file's footer, and what it holds.
pub struct Alone {
    /// The footer, of which only what can be believed is left.
    pub footer: Arc<ParquetMetaData>,
    /// The types to read its columns as.
    pub schema: SchemaRef,
    /// Columns whose bytes are UUIDs.
    pub uuids: Vec<String>,
}

/// Opens a file. Fails, with its name, where it is no Parquet file, is damaged or encrypted.
pub fn alone(path: &Path) -> Result<Alone> {
    let size = std::fs::metadata(path).map_err(|e| Error::io("open", path, &e))?.len();
    let footer = read(path, size, false, None)?;
    let fail = |why: String| unreadable(path, why);
    let told = Arc::new(columns(&footer).map_err(fail)?);
    let text = match told.fields().iter().any(|field| is_untold(field)) {
        true => texts(&[(path, &told)]),
        false => Vec::new(),
    };
    let is_text =
        |column: &Type, depth: usize| depth == 1 && is_untyped(column) && text.iter().any(|name| name == column.name());
    let strings = as_strings(&footer, &is_text).map_err(|e| fail(e.to_string()))?;
    let footer = strings.unwrap_or(footer);
    let file = footer.file_metadata();
    let schema = parquet_to_arrow_schema(file.schema_descr(), file.key_value_metadata());
    let schema = super::facts::in_microseconds(&footer, schema.map_err(|e| fail(e.to_string()))?);
    let known = |field: &Arc<arrow::datatypes::Field>| {
        Arc::new(field.as_ref().clone().with_data_type(with_known_zones(field.data_type())))
    };
    let fields: arrow::datatypes::Fields = schema.fields().iter().map(known).collect();
    let schema = arrow::datatypes::Schema::new_with_metadata(fields, schema.metadata().clone());
    let is_uuid = |field: &&Arc<arrow::datatypes::Field>| field.metadata().get(BYTES_ARE).is_some_and(|b| b == UUID);
    let uuids = told.fields().iter().filter(is_uuid).map(|field| field.name().clone()).collect();
    Ok(Alone { schema: Arc::new(schema), uuids, footer: Arc::new(footer) })
}
