//! What of a footer's statistics is believed.
//!
//! Deals with: taking out of a footer, once and for every reader of it, the bounds that do not bound: then no rule of the query
//! engine (files, row groups and pages left out, constants, MIN and MAX without a scan, LIMIT) can rely on them. Does not
//! deal with: reading the footer (`footers`), or what is made of what is left (`facts`).
//!
//! Kept are the bounds of columns whose order has one meaning. Taken out are
//! - floating-point numbers, Float16 too: no writer counts NaN, which compares greater (or less, by its sign) than every bound;
//! - INT96, INTERVAL, geometries and whatever else has no order;
//! - the deprecated `min` and `max` of texts, bytes and unsigned numbers, which were compared as signed bytes; and the same
//!   columns where the footer does not say that their order is the one of their type;
//! - bounds that stand the wrong way round, and all of a column chunk that does not count its NULLs: a missing count is read
//!   as 0 by one part of the engine and as unknown by another;
//! - nested columns, of which nobody asks.
//!
//! The rows of a row group are those that its columns hold: some writers leave 0 in the row group or the whole file. Counts that
//! contradict one another are damage.

use std::cmp::Ordering;

use parquet::basic::{ColumnOrder, ConvertedType, LogicalType, Type};
use parquet::errors::ParquetError;
use parquet::file::metadata::{
    ColumnChunkMetaData, FileMetaData, ParquetMetaData, ParquetMetaDataBuilder, RowGroupMetaData,
};
use parquet::file::statistics::{Statistics, ValueStatistics};
use parquet::schema::types::ColumnDescriptor;

/// How the values of a column are ordered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Order {
    Signed,
    Unsigned,
    Bytes,
    /// Two's complement, the most significant byte first.
    SignedBytes,
    /// In a way that bounds do not tell.
    Unknown,
}

/// Programs whose bounds are known to be wrong: Parquet.Net wrote those of times in the time zone of the machine.
const DOUBTED: [&str; 2] = ["Parquet.Net version 3.", "Parquet.Net version 4."];

/// The footer without the statistics that say nothing. The error is a sentence on what does not hold together.
pub fn believed(footer: ParquetMetaData) -> Result<ParquetMetaData, String> {
    let orders: Vec<bool> = match footer.file_metadata().column_orders() {
        Some(orders) => orders.iter().map(|order| matches!(order, ColumnOrder::TYPE_DEFINED_ORDER(_))).collect(),
        None => Vec::new(),
    };
    let counted = footer.file_metadata().num_rows();
    let writer = footer.file_metadata().created_by().unwrap_or_default();
    let doubted = DOUBTED.iter().any(|doubted| writer.starts_with(doubted));
    let mut builder = footer.into_builder();
    let mut groups = Vec::with_capacity(builder.row_groups().len());
    let mut total = 0i64;
    for (nth, group) in builder.take_row_groups().into_iter().enumerate() {
        let rows = rows_of(&group).map_err(|why| format!("row group {nth}: {why}"))?;
        total = total.checked_add(rows).ok_or("it counts more rows than a file can have")?;
        let mut group = group.into_builder().set_num_rows(rows);
        let columns = group.take_columns().into_iter().enumerate();
        let order = |at: usize| (orders.get(at).copied().unwrap_or(false), doubted);
        let columns = columns.map(|(at, column)| chunk(column, order(at), rows));
        let columns =
            columns.collect::<Result<Vec<_>, _>>().map_err(|e| e.to_string().replace("Parquet error: ", ""))?;
        groups.push(group.set_column_metadata(columns).build().map_err(|e| e.to_string())?);
    }
    if counted != 0 && counted != total {
        return Err(format!("the footer counts {counted} rows, its row groups hold {total}"));
    }
    let footer = builder.set_row_groups(groups).build();
    if counted == total {
        return Ok(footer);
    }
    // Readers stop at the number of rows of the file, whatever its row groups hold.
    let file = footer.file_metadata();
    let file = FileMetaData::new(
        file.version(),
        total,
        file.created_by().map(str::to_string),
        file.key_value_metadata().cloned(),
        file.schema_descr_ptr(),
        file.column_orders().cloned(),
    );
    Ok(ParquetMetaDataBuilder::new(file).set_row_groups(footer.row_groups().to_vec()).build())
}

/// The rows of a row group, by itself and by its columns that have one value for each row.
fn rows_of(group: &RowGroupMetaData) -> Result<i64, String> {
    let rows = group.num_rows();
    if rows < 0 {
        return Err(format!("it counts {rows} rows"));
    }
    let mut flat = group.columns().iter().filter(|column| column.column_descr().max_rep_level() == 0);
    let Some(first) = flat.next() else { return Ok(rows) };
    let values = first.num_values();
    if let Some(other) = flat.find(|column| column.num_values() != values) {
        let (one, two) = (first.column_path().string(), other.column_path().string());
        return Err(format!("column '{one}' has {values} values, column '{two}' {}", other.num_values()));
    }
    match (rows, values) {
        (0, values) if values > 0 => Ok(values),
        (rows, values) if rows == values => Ok(rows),
        (rows, values) => {
            Err(format!("it counts {rows} rows, column '{}' has {values} values", first.column_path().string()))
        }
    }
}

fn chunk(
    column: ColumnChunkMetaData,
    (ordered_by_type, doubted): (bool, bool),
    rows: i64,
) -> parquet::errors::Result<ColumnChunkMetaData> {
    let places = [Some(column.data_page_offset()), column.dictionary_page_offset(), Some(column.compressed_size())];
    if places.into_iter().flatten().any(|place| place < 0) {
        return Err(ParquetError::General("it is damaged: a column begins or ends before the file".to_string()));
    }
    let descriptor = column.column_descr_ptr();
    let order = match order_of(&descriptor) {
        _ if doubted => Order::Unknown,
        _ if descriptor.path().parts().len() > 1 || descriptor.max_rep_level() > 0 => Order::Unknown,
        // Of these orders there is one; the others were compared differently before the footer could say how.
        order @ Order::Signed => order,
        order if ordered_by_type => order,
        _ => Order::Unknown,
    };
    let required = descriptor.max_def_level() == 0;
    let kept = column.statistics().and_then(|statistics| kept(statistics, order, required, rows));
    let mut builder = column.into_builder();
    if order == Order::Unknown {
        // The bounds of its pages are no better.
        builder = builder.set_column_index_offset(None).set_column_index_length(None);
    }
    match kept {
        Some(statistics) => builder.set_statistics(statistics).build(),
        None => builder.clear_statistics().build(),
    }
}

fn order_of(column: &ColumnDescriptor) -> Order {
    let decimal = matches!(column.logical_type_ref(), Some(LogicalType::Decimal(_)))
        || column.converted_type() == ConvertedType::DECIMAL;
    let unsigned = match column.logical_type_ref() {
        Some(LogicalType::Integer(integer)) => !integer.is_signed,
        _ => matches!(
            column.converted_type(),
            ConvertedType::UINT_8 | ConvertedType::UINT_16 | ConvertedType::UINT_32 | ConvertedType::UINT_64
        ),
    };
    match (column.physical_type(), column.logical_type_ref()) {
        (Type::BOOLEAN, _) => Order::Signed,
        (Type::INT32 | Type::INT64, _) if unsigned => Order::Unsigned,
        (Type::INT32 | Type::INT64, _) => Order::Signed,
        (Type::BYTE_ARRAY | Type::FIXED_LEN_BYTE_ARRAY, _) if decimal => Order::SignedBytes,
        (_, _) if column.converted_type() == ConvertedType::INTERVAL => Order::Unknown,
        (
            Type::BYTE_ARRAY | Type::FIXED_LEN_BYTE_ARRAY,
            None
            | Some(LogicalType::String | LogicalType::Enum | LogicalType::Json | LogicalType::Bson | LogicalType::Uuid),
        ) => Order::Bytes,
        _ => Order::Unknown,
    }
}

/// The statistics of a column chunk with what can be believed of them; `None` where that is nothing.
fn kept(found: &Statistics, order: Order, required: bool, rows: i64) -> Option<Statistics> {
    let nulls = match found.null_count_opt() {
        _ if required => 0,
        Some(nulls) if i64::try_from(nulls).is_ok_and(|nulls| nulls <= rows) => nulls,
        _ => return None,
    };
    let believed = order != Order::Unknown
        && (order == Order::Signed || !found.is_min_max_deprecated())
        && i64::try_from(nulls).is_ok_and(|nulls| nulls < rows)
        && !upside_down(found, order);
    let counted = Some(nulls);
    let old = found.is_min_max_deprecated();
    macro_rules! fixed {
        ($values:expr, $make:path) => {
            match believed {
                true => $make($values.min_opt().copied(), $values.max_opt().copied(), None, counted, old),
                false => $make(None, None, None, counted, false),
            }
        };
    }
    Some(match found {
        Statistics::Boolean(values) => fixed!(values, Statistics::boolean),
        Statistics::Int32(values) => fixed!(values, Statistics::int32),
        Statistics::Int64(values) => fixed!(values, Statistics::int64),
        Statistics::Int96(_) => Statistics::int96(None, None, None, counted, false),
        Statistics::Float(_) => Statistics::float(None, None, None, counted, false),
        Statistics::Double(_) => Statistics::double(None, None, None, counted, false),
        Statistics::ByteArray(_) if !believed => Statistics::byte_array(None, None, None, counted, false),
        Statistics::FixedLenByteArray(_) if !believed => {
            Statistics::fixed_len_byte_array(None, None, None, counted, false)
        }
        Statistics::ByteArray(values) => Statistics::ByteArray(
            ValueStatistics::new(values.min_opt().cloned(), values.max_opt().cloned(), None, counted, old)
                .with_min_is_exact(values.min_is_exact())
                .with_max_is_exact(values.max_is_exact()),
        ),
        Statistics::FixedLenByteArray(values) => Statistics::FixedLenByteArray(
            ValueStatistics::new(values.min_opt().cloned(), values.max_opt().cloned(), None, counted, old)
                .with_min_is_exact(values.min_is_exact())
                .with_max_is_exact(values.max_is_exact()),
        ),
    })
}

fn upside_down(found: &Statistics, order: Order) -> bool {
    match (found, order) {
        (Statistics::Boolean(v), _) => v.min_opt() > v.max_opt() && v.max_opt().is_some(),
        (Statistics::Int32(v), Order::Unsigned) => {
            matches!((v.min_opt(), v.max_opt()), (Some(min), Some(max)) if *min as u32 > *max as u32)
        }
        (Statistics::Int64(v), Order::Unsigned) => {
            matches!((v.min_opt(), v.max_opt()), (Some(min), Some(max)) if *min as u64 > *max as u64)
        }
        (Statistics::Int32(v), _) => matches!((v.min_opt(), v.max_opt()), (Some(min), Some(max)) if min > max),
        (Statistics::Int64(v), _) => matches!((v.min_opt(), v.max_opt()), (Some(min), Some(max)) if min > max),
        (bytes, order) => match (bytes.min_bytes_opt(), bytes.max_bytes_opt()) {
            (Some(min), Some(max)) if order == Order::SignedBytes => signed_order(min, max) == Ordering::Greater,
            (Some(min), Some(max)) => min > max,
            _ => false,
        },
    }
}

/// How two numbers in two's complement compare, which may be of different lengths.
fn signed_order(a: &[u8], b: &[u8]) -> Ordering {
    let negative = |bytes: &[u8]| bytes.first().is_some_and(|byte| byte & 0x80 != 0);
    match (negative(a), negative(b)) {
        (true, false) => return Ordering::Less,
        (false, true) => return Ordering::Greater,
        _ => {}
    }
    let fill = if negative(a) { 0xff } else { 0 };
    let length = a.len().max(b.len());
    let widened = |bytes: &[u8]| [vec![fill; length - bytes.len()], bytes.to_vec()].concat();
    widened(a).cmp(&widened(b))
}
