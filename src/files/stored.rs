//! Parquet sources: what they hold, and their rows from a given one on.
//!
//! Deals with: opening, samples, which columns are read and how. Does not deal with: types of the table (`convert`).

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef, UInt64Type};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder,
};
use parquet::file::metadata::ParquetMetaData;

use super::blocks::BLOCK;
use super::checksums::read::decoded;
use super::columns::{Columns, Origin, Shape};
use super::infer::Seen;
use super::parquet::{Alone, alone, undecoded};
use super::plain::{plain_rows, plain_type};
use super::stored_types::is_text;
use super::types::dictionary;
use crate::error::{Error, Result};

/// Rows of a batch, where they are narrow.
const BATCH_ROWS: usize = 1 << 16;

/// Bytes of a value of any type in memory, at the least.
const VALUE_BYTES: i64 = 8;

/// What cannot be read of a file.
fn unread(path: &Path, error: impl std::fmt::Display) -> Error {
    undecoded(path, &error)
}

/// A file to be read as these types.
fn open(path: &Path, file: &Alone, schema: SchemaRef) -> Result<ParquetRecordBatchReaderBuilder<File>> {
    let options = ArrowReaderOptions::new().with_schema(schema);
    let metadata = ArrowReaderMetadata::try_new(Arc::clone(&file.footer), options).map_err(|e| unread(path, e))?;
    let opened = File::open(path).map_err(|e| Error::io("open", path, &e))?;
    Ok(ParquetRecordBatchReaderBuilder::new_with_metadata(opened, metadata))
}

/// Rows of a file, with plain columns.
pub struct Rows {
    reader: ParquetRecordBatchReader,
    uuids: Vec<String>,
}

/// Rows of a batch of about so many bytes of the columns of a mask, by the widest rows of the file.
fn batch_rows(file: &ParquetMetaData, mask: &ProjectionMask, bytes: usize) -> usize {
    let widest = file.row_groups().iter().map(|group| {
        let columns = group.columns().iter().enumerate().filter(|(leaf, _)| mask.leaf_included(*leaf));
        // Encoded, values that repeat take next to nothing; in memory each takes its place.
        let size = columns.map(|(_, column)| {
            let texts = column.unencoded_byte_array_data_bytes().unwrap_or(0);
            column.uncompressed_size().max(texts.saturating_add(column.num_values().saturating_mul(VALUE_BYTES)))
        });
        size.fold(0, i64::saturating_add) / group.num_rows().max(1)
    });
    let each = usize::try_from(widest.max().unwrap_or(1)).unwrap_or(1).max(1);
    (bytes / each).clamp(1, BATCH_ROWS)
}

/// The columns of a file, with what its first rows show (texts among `nulls` are NULL), and how many rows it has.
pub fn shape(path: &Path, name: &str, rows: usize, nulls: &[String]) -> Result<(Shape, u64)> {
    decoded(path, || seen(path, name, rows, nulls))?
}

fn seen(path: &Path, name: &str, rows: usize, nulls: &[String]) -> Result<(Shape, u64)> {
    let file = alone(path)?;
    let builder = open(path, &file, Arc::clone(&file.schema))?;
    let all = u64::try_from(builder.metadata().file_metadata().num_rows()).unwrap_or(0);
    let schema = builder.schema().clone();
    let mut columns: Vec<(String, Seen)> = schema
        .fields()
        .iter()
        .map(|f| {
            let mut seen = Seen::default();
            let uuid = file.uuids.contains(f.name());
            seen.declared = Some((plain_type(f.data_type(), uuid), name.to_string()));
            (f.name().clone(), seen)
        })
        .collect();
    let batch = batch_rows(builder.metadata(), &ProjectionMask::all(), BLOCK).min(rows.max(1));
    let reader = builder.with_limit(rows).with_batch_size(batch).build().map_err(|e| unread(path, e))?;
    let mut reader = Rows { reader, uuids: file.uuids };
    while let Some(batch) = next(&mut reader, path)? {
        for (array, (_, seen)) in batch.columns().iter().zip(&mut columns) {
            look(array, nulls, seen);
        }
    }
    Ok((Shape { source: name.to_string(), columns, by_position: false, whole: true }, all))
}

fn look(array: &Arc<dyn Array>, nulls: &[String], seen: &mut Seen) {
    let options = FormatOptions::default();
    let Ok(shown) = ArrayFormatter::try_new(array.as_ref(), &options) else { return };
    let text = is_text(array.data_type());
    let integers = array.data_type().is_integer();
    let cast = |to: &DataType| arrow::compute::cast(array, to).ok();
    let big = if *array.data_type() == DataType::UInt64 { cast(&DataType::UInt64) } else { None };
    let small = if integers { cast(&DataType::Int64) } else { None };
    for row in 0..array.len() {
        if array.is_null(row) {
            seen.null();
            continue;
        }
        match (&big, &small) {
            (Some(big), _) => seen.big_number(big.as_primitive::<UInt64Type>().value(row)),
            (None, Some(small)) => seen.number(small.as_primitive::<Int64Type>().value(row)),
            (None, None) if text => {
                let text = shown.value(row).to_string();
                if nulls.contains(&text) { seen.null() } else { seen.text(&text) }
            }
            (None, None) if array.data_type().is_floating() => seen.decimal(&shown.value(row).to_string()),
            (None, None) => {
                seen.typed(&shown.value(row).to_string());
                // One value tells all that can be told.
                break;
            }
        }
    }
}

/// The rows of a file from number `from` on, with the columns that the layout needs, in batches of about `bytes` bytes.
pub fn rows(path: &Path, layout: &Columns, from: u64, bytes: usize) -> Result<Rows> {
    decoded(path, || reader(path, layout, from, bytes))?
}

fn reader(path: &Path, layout: &Columns, from: u64, bytes: usize) -> Result<Rows> {
    let file = alone(path)?;
    let plain = open(path, &file, Arc::clone(&file.schema))?;
    let wanted = |name: &str| {
        layout.columns.iter().any(|c| match &c.origin {
            Origin::Source(from) => from == name || from.strip_prefix(name).is_some_and(|rest| rest.starts_with('.')),
            Origin::Constant(_) | Origin::Missing => false,
        })
    };
    let named = |name: &str| layout.columns.iter().find(|c| c.origin == Origin::Source(name.to_string()));
    // Texts that become a dictionary are read as the one that the file has.
    let fields: Vec<Field> = plain
        .schema()
        .fields()
        .iter()
        .map(|f| match named(f.name()) {
            Some(column)
                if is_text(f.data_type()) && is_text(&column.data_type) && column.data_type != DataType::Utf8 =>
            {
                f.as_ref().clone().with_data_type(dictionary())
            }
            _ => f.as_ref().clone(),
        })
        .collect();
    let schema = Arc::new(Schema::new_with_metadata(fields, plain.schema().metadata().clone()));
    let builder = match schema == *plain.schema() {
        true => plain,
        false => open(path, &file, schema).unwrap_or(plain),
    };
    let roots: Vec<usize> =
        builder.schema().fields().iter().enumerate().filter(|(_, f)| wanted(f.name())).map(|(at, _)| at).collect();
    let mask = ProjectionMask::roots(builder.parquet_schema(), roots);
    let from = usize::try_from(from).unwrap_or(usize::MAX);
    let batch = batch_rows(builder.metadata(), &mask, bytes);
    let builder = builder.with_projection(mask).with_batch_size(batch);
    let builder = if from > 0 { builder.with_offset(from) } else { builder };
    let reader = builder.build().map_err(|e| unread(path, e))?;
    Ok(Rows { reader, uuids: file.uuids })
}

/// The next batch.
pub fn next(rows: &mut Rows, path: &Path) -> Result<Option<RecordBatch>> {
    let batch = decoded(path, || rows.reader.next())?.transpose().map_err(|e| unread(path, e))?;
    batch.map(|batch| plain_rows(batch, &rows.uuids)).transpose()
}

/// Rows of a file.
pub fn count(path: &Path) -> Result<u64> {
    Ok(u64::try_from(alone(path)?.footer.file_metadata().num_rows()).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use arrow::array::{ArrayRef, Int64Array, StringArray};
    use parquet::arrow::ArrowWriter;

    use super::*;
    use crate::ingest::mapping::Mapping;
    use crate::ingest::{Layout, Wishes};

    #[test]
    fn batches_are_of_a_size_in_bytes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.parquet");
        // Texts that a dictionary makes small in the file and that are large in memory, and texts that are large in both.
        let rows = 2_000;
        let numbers = || Int64Array::from_iter_values(0..rows);
        let text = |n: i64| format!("{n}").repeat(10_000 / format!("{n}").len());
        let few: StringArray = (0..rows).map(|n| Some(text(n % 3))).collect();
        let many: StringArray = (0..rows).map(|n| Some(text(n))).collect();
        let columns: [(&str, ArrayRef); 4] = [
            ("user_id", Arc::new(numbers())),
            ("ts", Arc::new(numbers())),
            ("few", Arc::new(few)),
            ("many", Arc::new(many)),
        ];
        let batch = RecordBatch::try_from_iter(columns).unwrap();
        let mut writer = ArrowWriter::try_new(File::create(&path).unwrap(), batch.schema(), None).unwrap();
        writer.write(&batch).unwrap();
        writer.close().unwrap();
        let (shape, all) = shape(&path, "a", 100, &[]).unwrap();
        assert_eq!(all, 2_000);
        let wishes = Wishes { time_unit: Some("s".into()), ..Wishes::default() };
        let largest = |mapping: &str| {
            let layout = Layout::of(std::slice::from_ref(&shape), &Mapping::parse(mapping).unwrap(), &wishes, None);
            let mut read = super::rows(&path, &layout.unwrap().read, 0, 1 << 20).unwrap();
            let batches = std::iter::from_fn(|| super::next(&mut read, &path).unwrap());
            let rows: Vec<usize> = batches.map(|batch| batch.num_rows()).collect();
            assert_eq!(rows.iter().sum::<usize>(), 2_000);
            rows[0]
        };
        let wide = largest("");
        assert!((20..=200).contains(&wide), "{wide}");
        let repeated = largest("drop = ['many']\n[columns]\nfew = { from = 'few', type = 'text' }");
        assert!((20..=200).contains(&repeated), "{repeated}");
        assert_eq!(largest("drop = ['few', 'many']"), 2_000);
    }
}
