//! Bytes that are text, though their type does not say so, or not in the words that the decoder checks.
//!
//! Deals with: columns of BINARY without a logical type, as Impala, Hive and other old writers leave their texts; JSON and ENUM. Does
//! not deal with: bytes that a writer with Arrow's schema calls bytes, which they are.
//!
//! Bytes without a type are text where the first rows of the files hold nothing but UTF-8 without control characters. A later value
//! that is not UTF-8 is then an error that names its file. The decoder makes sure of UTF-8 only where the file's own type is
//! STRING, and takes anything else for granted: so what is read as text is a STRING in the footer that it is given.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, SchemaRef};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::basic::{ConvertedType, LogicalType, Type as Physical};
use parquet::file::metadata::{FileMetaData, ParquetMetaData, ParquetMetaDataBuilder};
use parquet::schema::types::{SchemaDescriptor, Type, TypePtr};

use super::facts::is_untold;
use crate::files::checksums::read::decoded;

/// Rows of a file that are looked at.
const ROWS: usize = 1_000;

/// Files that are looked at: the first ones with such columns.
const FILES: usize = 8;

/// The columns of untold bytes that are text.
pub fn texts(files: &[(&Path, &SchemaRef)]) -> Vec<String> {
    let untold = |schema: &SchemaRef| -> Vec<String> {
        let fields = schema.fields().iter();
        fields.filter(|field| is_untold(field)).map(|field| field.name().clone()).collect()
    };
    let (mut seen, mut other): (Vec<String>, Vec<String>) = Default::default();
    let with_some = files.iter().map(|(path, schema)| (path, untold(schema))).filter(|(_, names)| !names.is_empty());
    for (path, names) in with_some.take(FILES) {
        for (name, column) in decoded(path, || first_rows(path, &names)).ok().flatten().unwrap_or_default() {
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

/// Whether the type of a column is another word for text.
pub fn is_said_to_be_text(column: &Type, _: usize) -> bool {
    let info = column.get_basic_info();
    match info.logical_type_ref() {
        Some(logical) => matches!(logical, LogicalType::Json | LogicalType::Enum),
        None => matches!(info.converted_type(), ConvertedType::JSON | ConvertedType::ENUM),
    }
}

/// Whether a column of bytes has no other type.
pub fn is_untyped(column: &Type) -> bool {
    let info = column.get_basic_info();
    info.logical_type_ref().is_none() && info.converted_type() == ConvertedType::NONE
}

/// The footer with STRING for the type of these columns of bytes, which are told with their depth (1 is a column of the file);
/// `None` where there are none.
pub fn as_strings(
    footer: &ParquetMetaData,
    is_text: &dyn Fn(&Type, usize) -> bool,
) -> parquet::errors::Result<Option<ParquetMetaData>> {
    let file = footer.file_metadata();
    let root = file.schema_descr().root_schema_ptr();
    let Some(root) = retyped(&root, 0, is_text)? else { return Ok(None) };
    let schema = Arc::new(SchemaDescriptor::new(root));
    let file = FileMetaData::new(
        file.version(),
        file.num_rows(),
        file.created_by().map(str::to_string),
        file.key_value_metadata().cloned(),
        schema,
        file.column_orders().cloned(),
    );
    let builder = ParquetMetaDataBuilder::new(file)
        .set_row_groups(footer.row_groups().to_vec())
        .set_column_index(footer.column_index().cloned())
        .set_offset_index(footer.offset_index().cloned());
    Ok(Some(builder.build()))
}

/// The type with STRING in place of what is text; `None` where nothing is.
fn retyped(
    of: &TypePtr,
    depth: usize,
    is_text: &dyn Fn(&Type, usize) -> bool,
) -> parquet::errors::Result<Option<TypePtr>> {
    let info = of.get_basic_info();
    let id = info.has_id().then(|| info.id());
    if of.is_primitive() {
        if of.get_physical_type() != Physical::BYTE_ARRAY || !is_text(of, depth) {
            return Ok(None);
        }
        let string = Type::primitive_type_builder(of.name(), Physical::BYTE_ARRAY)
            .with_repetition(info.repetition())
            .with_logical_type(Some(LogicalType::String))
            .with_converted_type(ConvertedType::UTF8)
            .with_id(id);
        return Ok(Some(Arc::new(string.build()?)));
    }
    let below = of.get_fields().iter().map(|field| retyped(field, depth + 1, is_text));
    let below = below.collect::<parquet::errors::Result<Vec<_>>>()?;
    if below.iter().all(Option::is_none) {
        return Ok(None);
    }
    let fields = of.get_fields().iter().zip(below).map(|(old, new)| new.unwrap_or_else(|| Arc::clone(old)));
    let group = Type::group_type_builder(of.name())
        .with_fields(fields.collect())
        .with_logical_type(info.logical_type_ref().cloned())
        .with_converted_type(info.converted_type())
        .with_id(id);
    let group = if info.has_repetition() { group.with_repetition(info.repetition()) } else { group };
    Ok(Some(Arc::new(group.build()?)))
}
