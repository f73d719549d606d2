//! What a Parquet file says of itself: columns, rows, bounds, order.
//!
//! Deals with: a footer in the terms of Arrow, kept while a session lives, since planning asks for it time and again. Does not deal
//! with: whether statistics can be believed (`believed`), or what several files make together (`schema`, `statistics`).

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::timezone::Tz;
use arrow::array::{Array, ArrayRef, BooleanArray};
use arrow::compute::SortOptions;
use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef, TimeUnit};
use datafusion::common::ScalarValue;
use datafusion::common::stats::Precision;
use datafusion::datasource::physical_plan::parquet::Int96Coercer;
use parquet::arrow::arrow_reader::statistics::StatisticsConverter;
use parquet::arrow::{ARROW_SCHEMA_META_KEY, parquet_to_arrow_schema};
use parquet::basic::{ConvertedType, LogicalType, Type};
use parquet::file::metadata::{ParquetMetaData, RowGroupMetaData};
use parquet::schema::types::Type as SchemaType;

/// Key of a field's metadata: what the file says of its bytes beyond Arrow's type.
pub const BYTES_ARE: &str = "tenure.bytes";
/// The bytes are a UUID.
pub const UUID: &str = "uuid";
/// The file does not say whether the bytes are text: old writers, Impala.
const UNTOLD: &str = "untold";

/// What is known of a file.
#[derive(Debug)]
pub struct Facts {
    /// Its columns, as they are read: INT96 is a time in microseconds.
    pub schema: SchemaRef,
    /// Rows.
    pub rows: usize,
    /// In the order of the columns.
    pub columns: Vec<ColumnFacts>,
    /// The columns by which the file says that its rows are sorted.
    pub order: Vec<(String, SortOptions)>,
}

/// What is known of a column of a file.
#[derive(Debug, Clone, Default)]
pub struct ColumnFacts {
    /// No value is smaller.
    pub low: Option<ScalarValue>,
    /// No value is larger.
    pub high: Option<ScalarValue>,
    /// Whether both are values of the column themselves.
    pub exact: bool,
    /// NULLs.
    pub nulls: Option<usize>,
    /// Bytes in memory.
    pub bytes: Precision<usize>,
}

impl Facts {
    /// Reads them off a footer of which only what can be believed is left.
    pub fn of(footer: &ParquetMetaData) -> Result<Self, String> {
        let schema = columns(footer)?;
        let mut rows = 0usize;
        for group in footer.row_groups() {
            let more = usize::try_from(group.num_rows()).map_err(|_| "it counts a negative number of rows")?;
            rows = rows.checked_add(more).ok_or("it counts more rows than there can be")?;
        }
        let columns = schema.fields().iter().map(|field| column(footer, &schema, field, rows)).collect();
        Ok(Self { schema: Arc::new(schema), rows, columns, order: order(footer) })
    }
}

/// The schema with its INT96 columns as times in microseconds.
pub fn in_microseconds(footer: &ParquetMetaData, schema: Schema) -> Schema {
    let parquet = footer.file_metadata().schema_descr();
    Int96Coercer::new(parquet, &schema, &TimeUnit::Microsecond).coerce().unwrap_or(schema)
}

/// The columns of a file, with what is to be known of their bytes.
pub fn columns(footer: &ParquetMetaData) -> Result<Schema, String> {
    let file = footer.file_metadata();
    let parquet = file.schema_descr();
    if let Some(name) = parquet.root_schema().get_fields().iter().find_map(|root| without_fields(root)) {
        return Err(format!("its column '{name}' is a group without fields, which cannot be read"));
    }
    let schema = parquet_to_arrow_schema(parquet, file.key_value_metadata()).map_err(|e| e.to_string())?;
    let schema = in_microseconds(footer, schema);
    let mut first: HashMap<&str, usize> = HashMap::new();
    for (at, field) in schema.fields().iter().enumerate() {
        if let Some(other) = first.insert(field.name(), at) {
            return Err(format!(
                "it has two columns called '{}' (numbers {} and {}); names must differ",
                field.name(),
                other + 1,
                at + 1
            ));
        }
    }
    // A writer that keeps Arrow's own schema means bytes where it says so.
    let arrow = file.key_value_metadata().is_some_and(|pairs| pairs.iter().any(|p| p.key == ARROW_SCHEMA_META_KEY));
    let roots = parquet.root_schema().get_fields();
    let fields = schema.fields().iter().zip(roots).map(|(field, root)| {
        let info = root.get_basic_info();
        let bytes = match (info.logical_type_ref(), root.is_primitive().then(|| root.get_physical_type())) {
            (Some(LogicalType::Uuid), Some(Type::FIXED_LEN_BYTE_ARRAY)) => Some(UUID),
            (None, Some(Type::BYTE_ARRAY)) if !arrow && info.converted_type() == ConvertedType::NONE => Some(UNTOLD),
            _ => None,
        };
        let metadata = bytes.map(|bytes| (BYTES_ARE.to_string(), bytes.to_string())).into_iter().collect();
        Field::new(field.name(), with_known_zones(field.data_type()), field.is_nullable()).with_metadata(metadata)
    });
    Ok(Schema::new(fields.collect::<Vec<_>>()))
}

/// The type with UTC in place of zones that nobody knows here (`Eastern Standard Time`, `Mars/Phobos`): a zone says how instants are shown,
/// and which they are does not depend on it.
pub fn with_known_zones(data_type: &DataType) -> DataType {
    let inner = |field: &FieldRef| Arc::new(field.as_ref().clone().with_data_type(with_known_zones(field.data_type())));
    match data_type {
        DataType::Timestamp(unit, Some(zone)) if zone.parse::<Tz>().is_err() => {
            DataType::Timestamp(*unit, Some("UTC".into()))
        }
        DataType::List(item) => DataType::List(inner(item)),
        DataType::LargeList(item) => DataType::LargeList(inner(item)),
        DataType::FixedSizeList(item, length) => DataType::FixedSizeList(inner(item), *length),
        DataType::Struct(fields) => DataType::Struct(fields.iter().map(inner).collect()),
        DataType::Map(entries, sorted) => DataType::Map(inner(entries), *sorted),
        other => other.clone(),
    }
}

/// A group without fields, which the decoder passes over as if the column were not there.
fn without_fields(column: &SchemaType) -> Option<&str> {
    if column.is_primitive() {
        return None;
    }
    let fields = column.get_fields();
    if fields.is_empty() { Some(column.name()) } else { fields.iter().find_map(|field| without_fields(field)) }
}

fn column(footer: &ParquetMetaData, schema: &Schema, field: &Field, rows: usize) -> ColumnFacts {
    let parquet = footer.file_metadata().schema_descr();
    let Ok(converter) = StatisticsConverter::try_new(field.name(), schema, parquet) else {
        return ColumnFacts::default();
    };
    let Some(leaf) = converter.parquet_column_index() else { return ColumnFacts::default() };
    let groups: Vec<&RowGroupMetaData> = footer.row_groups().iter().filter(|group| group.num_rows() > 0).collect();
    let bytes = match field.data_type().primitive_width() {
        Some(width) => Precision::Exact(width.saturating_mul(rows)),
        None => {
            let sizes = groups.iter().filter_map(|group| group.columns().get(leaf)).map(|c| c.uncompressed_size());
            Precision::Inexact(usize::try_from(sizes.sum::<i64>()).unwrap_or(usize::MAX))
        }
    };
    let unknown = ColumnFacts { bytes, ..ColumnFacts::default() };
    let converter = converter.with_missing_null_counts_as_zero(false);
    let each = || groups.iter().copied();
    let Ok(nulls) = converter.row_group_null_counts(each()) else { return unknown };
    let total = (nulls.null_count() == 0).then(|| nulls.values().iter().sum::<u64>());
    let total = total.and_then(|total| usize::try_from(total).ok()).filter(|total| *total <= rows);
    let counted = ColumnFacts { nulls: total, ..unknown };
    let (Ok(lows), Ok(highs)) = (converter.row_group_mins(each()), converter.row_group_maxes(each())) else {
        return counted;
    };
    let exact = match (converter.row_group_is_min_value_exact(each()), converter.row_group_is_max_value_exact(each())) {
        (Ok(low), Ok(high)) => both(&low, &high),
        _ => return counted,
    };
    let holds_values = |at: usize| nulls.is_null(at) || nulls.value(at) < groups[at].num_rows().unsigned_abs();
    let told: Vec<usize> = (0..groups.len()).filter(|at| holds_values(*at)).collect();
    let bound = |values: &ArrayRef, keep: std::cmp::Ordering| extreme(values, &told, keep);
    let (low, high) = (bound(&lows, std::cmp::Ordering::Less), bound(&highs, std::cmp::Ordering::Greater));
    match (low, high) {
        (Some(low), Some(high)) => {
            let exact = told.iter().all(|at| exact.is_valid(*at) && exact.value(*at));
            ColumnFacts { low: Some(low), high: Some(high), exact, ..counted }
        }
        _ => counted,
    }
}

fn both(low: &BooleanArray, high: &BooleanArray) -> BooleanArray {
    low.iter().zip(high.iter()).map(|(low, high)| Some(low == Some(true) && high == Some(true))).collect()
}

/// The least or greatest of the values at these places; `None` where one of them is not told.
fn extreme(values: &ArrayRef, at: &[usize], keep: std::cmp::Ordering) -> Option<ScalarValue> {
    let mut found: Option<ScalarValue> = None;
    for at in at {
        let value = ScalarValue::try_from_array(values, *at).ok().filter(|value| !value.is_null())?;
        let better = found.as_ref().is_none_or(|found| value.partial_cmp(found) == Some(keep));
        found = if better { Some(value) } else { found };
    }
    found
}

/// The sorting columns that all row groups name, up to the first that is nested.
fn order(footer: &ParquetMetaData) -> Vec<(String, SortOptions)> {
    let parquet = footer.file_metadata().schema_descr();
    let mut groups = footer.row_groups().iter().map(|group| {
        let sorted = group.sorting_columns().into_iter().flatten();
        let columns = sorted.map_while(|by| {
            let column = usize::try_from(by.column_idx).ok().filter(|at| *at < parquet.num_columns())?;
            let path = parquet.column(column);
            let [name] = path.path().parts() else { return None };
            Some((name.clone(), SortOptions { descending: by.descending, nulls_first: by.nulls_first }))
        });
        columns.collect::<Vec<_>>()
    });
    let first = groups.next().unwrap_or_default();
    groups
        .fold(first, |common, next| common.into_iter().zip(next).take_while(|(a, b)| a == b).map(|(a, _)| a).collect())
}

/// Whether the file does not say if the bytes of a column are text.
pub fn is_untold(field: &Field) -> bool {
    field.metadata().get(BYTES_ARE).is_some_and(|bytes| bytes == UNTOLD)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_without_fields_are_found_at_any_depth() {
        let primitive = || Arc::new(SchemaType::primitive_type_builder("x", Type::INT32).build().unwrap());
        let group = |name: &str, fields: Vec<Arc<SchemaType>>| {
            Arc::new(SchemaType::group_type_builder(name).with_fields(fields).build().unwrap())
        };
        assert_eq!(without_fields(&primitive()), None);
        assert_eq!(without_fields(&group("g", vec![primitive()])), None);
        assert_eq!(without_fields(&group("g", vec![])), Some("g"));
        assert_eq!(without_fields(&group("g", vec![primitive(), group("h", vec![])])), Some("h"));
    }
}
