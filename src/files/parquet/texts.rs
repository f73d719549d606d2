//! Whether bytes of which a file does not say what they are are text.
//!
//! Deals with: columns of BINARY without a logical type, as Impala, Hive and other old writers leave their texts. Does not deal
//! with: bytes that a writer with Arrow's schema calls bytes, which they are.
//!
//! They are text where the first rows of the files hold nothing but UTF-8 without control characters. A later value that
//! is not UTF-8 is then an error that names its file.

use std::fs::File;
use std::path::Path;

use arrow::array::{ArrayRef, AsArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, SchemaRef};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use super::facts::{BYTES_ARE, UNTOLD};

/// Rows of a file that are looked at.
const ROWS: usize = 1_000;

/// Files that are looked at: the first ones with such columns.
const FILES: usize = 8;

/// The columns of untold bytes that are text.
pub fn texts(files: &[(&Path, &SchemaRef)]) -> Vec<String> {
    let untold = |schema: &SchemaRef| -> Vec<String> {
        let fields = schema.fields().iter();
        let untold = fields.filter(|field| field.metadata().get(BYTES_ARE).is_some_and(|bytes| bytes == UNTOLD));
        untold.map(|field| field.name().clone()).collect()
    };
    let (mut seen, mut other): (Vec<String>, Vec<String>) = Default::default();
    let with_some = files.iter().map(|(path, schema)| (path, untold(schema))).filter(|(_, names)| !names.is_empty());
    for (path, names) in with_some.take(FILES) {
        for (name, column) in first_rows(path, &names).unwrap_or_default() {
            match verdict(&column) {
                Some(true) => seen.push(name),
                Some(false) => other.push(name),
                None => {}
            }
        }
    }
    seen.retain(|name| !other.contains(name));
    seen
}

/// The first rows of these columns; `None` where they cannot be read, which whoever reads the file will tell.
fn first_rows(path: &Path, names: &[String]) -> Option<Vec<(String, ArrayRef)>> {
    let builder = ParquetRecordBatchReaderBuilder::try_new(File::open(path).ok()?).ok()?;
    let mask = ProjectionMask::columns(builder.parquet_schema(), names.iter().map(String::as_str));
    let mut reader = builder.with_projection(mask).with_batch_size(ROWS).with_limit(ROWS).build().ok()?;
    let batch = reader.next()?.ok()?;
    let columns = names.iter().filter_map(|name| Some((name.clone(), batch.column_by_name(name)?.clone())));
    Some(columns.collect())
}

/// Whether values are text; `None` where there are none.
fn verdict(column: &ArrayRef) -> Option<bool> {
    let bytes = cast(column, &DataType::Binary).ok()?;
    let mut some = false;
    for value in bytes.as_binary::<i32>().iter().flatten() {
        let control = |byte: &u8| byte.is_ascii_control() && !byte.is_ascii_whitespace();
        if std::str::from_utf8(value).is_err() || value.iter().any(control) {
            return Some(false);
        }
        some |= !value.is_empty();
    }
    some.then_some(true)
}
