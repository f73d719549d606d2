//! What a file says of its columns in the commit log, in Delta's words.
//!
//! Deals with: JSON of `numRecords`, `minValues`, `maxValues`, `nullCount` from a written file's metadata.
//! Does not deal with: nested columns and types without an order that all readers agree on; they get no bounds.

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::compute::{max, max_string, min, min_string};
use arrow::datatypes::{
    DataType, Date32Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, SchemaRef, TimeUnit,
    TimestampMicrosecondType,
};
use chrono::{DateTime, Datelike, Days, NaiveDate};
use parquet::arrow::arrow_reader::statistics::StatisticsConverter;
use parquet::file::metadata::ParquetMetaData;
use serde_json::{Map, Value, json};

use crate::error::Result;
use crate::store::user_id::UserId;

/// Texts beyond this are cut, as bounds may be; users never are.
const LONGEST: usize = 64;

/// The statistics of a file. `users` are the position of the users and the first and last one, where that is known; `with_nan` the positions of columns that hold a NaN:
/// readers disagree on where NaN stands in the order, so those get no bounds.
pub(super) fn statistics(
    schema: &SchemaRef,
    metadata: &ParquetMetaData,
    users: Option<(usize, &UserId, &UserId)>,
    with_nan: &[bool],
) -> Result<String> {
    let (mut low, mut high, mut nulls) = (Map::new(), Map::new(), Map::new());
    let groups = metadata.row_groups();
    for (at, field) in schema.fields().iter().enumerate() {
        let name = field.name().clone();
        if field.data_type().is_nested() {
            continue;
        }
        let converter = StatisticsConverter::try_new(&name, schema, metadata.file_metadata().schema_descr());
        let converter = converter.map_err(unread)?;
        let counts = converter.row_group_null_counts(groups.iter()).map_err(unread)?;
        if counts.null_count() == 0 {
            nulls.insert(name.clone(), json!(counts.values().iter().sum::<u64>()));
        }
        if let Some((_, first, last)) = users.filter(|(user, ..)| *user == at) {
            low.insert(name.clone(), user_value(first));
            high.insert(name, user_value(last));
            continue;
        }
        if with_nan[at] {
            continue;
        }
        let lows = converter.row_group_mins(groups.iter()).map_err(unread)?;
        let highs = converter.row_group_maxes(groups.iter()).map_err(unread)?;
        // A row group without bounds, unless it has no value at all, leaves the column without.
        let empty = |group: usize| counts.is_valid(group) && counts.value(group) as i64 == groups[group].num_rows();
        let unknown = |bounds: &ArrayRef| (0..groups.len()).any(|group| bounds.is_null(group) && !empty(group));
        if unknown(&lows) || unknown(&highs) {
            continue;
        }
        if let (Some(least), Some(most)) = (bound(&lows, Side::Low), bound(&highs, Side::High)) {
            low.insert(name.clone(), least);
            high.insert(name, most);
        }
    }
    let rows = metadata.file_metadata().num_rows();
    Ok(json!({ "numRecords": rows, "minValues": low, "maxValues": high, "nullCount": nulls }).to_string())
}

fn unread(error: parquet::errors::ParquetError) -> crate::error::Error {
    crate::error::Error::internal(format!("statistics of a written file: {error}"))
}

fn user_value(user: &UserId) -> Value {
    match user {
        UserId::Number(number) => json!(number),
        UserId::Text(text) => json!(text),
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Side {
    Low,
    High,
}

/// The least or largest of the row groups' bounds; `None` where there is none that Delta can write.
fn bound(bounds: &ArrayRef, side: Side) -> Option<Value> {
    let low = side == Side::Low;
    macro_rules! extreme {
        ($type:ty) => {{
            let array = bounds.as_primitive::<$type>();
            if low { min(array) } else { max(array) }
        }};
    }
    match bounds.data_type() {
        DataType::Int8 => extreme!(Int8Type).map(|v| json!(v)),
        DataType::Int16 => extreme!(Int16Type).map(|v| json!(v)),
        DataType::Int32 => extreme!(Int32Type).map(|v| json!(v)),
        DataType::Int64 => extreme!(Int64Type).map(|v| json!(v)),
        DataType::Float32 => extreme!(Float32Type).filter(|v| v.is_finite()).map(|v| json!(v)),
        DataType::Float64 => extreme!(Float64Type).filter(|v| v.is_finite()).map(|v| json!(v)),
        DataType::Date32 => extreme!(Date32Type).and_then(date).map(Value::from),
        DataType::Timestamp(TimeUnit::Microsecond, _) => {
            extreme!(TimestampMicrosecondType).and_then(instant).map(Value::from)
        }
        DataType::Utf8 => {
            let array = bounds.as_string::<i32>();
            let text = if low { min_string(array) } else { max_string(array) }?;
            match (text.len() <= LONGEST, side) {
                (true, _) => Some(json!(text)),
                // The beginning of a text is not above it; something not below it is not always found.
                (false, Side::Low) => Some(json!(&text[..text.floor_char_boundary(LONGEST)])),
                (false, Side::High) => None,
            }
        }
        DataType::Dictionary(_, values) if **values == DataType::Utf8 => {
            bound(&arrow::compute::cast(bounds, &DataType::Utf8).ok()?, side)
        }
        _ => None,
    }
}

/// `2024-01-31`; `None` outside of the years that all readers can read.
fn date(days: i32) -> Option<String> {
    let epoch = NaiveDate::from_ymd_opt(1970, 1, 1)?;
    let distance = Days::new(u64::from(days.unsigned_abs()));
    let date = if days < 0 { epoch.checked_sub_days(distance) } else { epoch.checked_add_days(distance) }?;
    (1..=9999).contains(&date.year()).then(|| date.format("%Y-%m-%d").to_string())
}

/// `2024-01-31T23:59:59.123456Z`; `None` outside of the years that all readers can read.
pub(super) fn instant(micros: i64) -> Option<String> {
    let instant = DateTime::from_timestamp_micros(micros)?;
    (1..=9999).contains(&instant.year()).then(|| instant.format("%Y-%m-%dT%H:%M:%S%.6fZ").to_string())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{Int64Array, StringArray};

    use super::*;

    #[test]
    fn instants_as_delta_writes_them() {
        assert_eq!(instant(1_704_067_200_123_456).as_deref(), Some("2024-01-01T00:00:00.123456Z"));
        assert_eq!(instant(-1).as_deref(), Some("1969-12-31T23:59:59.999999Z"));
        assert_eq!((instant(i64::MAX), instant(i64::MIN), date(i32::MIN), date(i32::MAX)), (None, None, None, None));
        assert_eq!(date(-1).as_deref(), Some("1969-12-31"));
    }

    #[test]
    fn bounds_of_long_texts_still_hold() {
        let long = "ü".repeat(40);
        let texts: ArrayRef = Arc::new(StringArray::from(vec![Some(long.as_str()), None]));
        let low = bound(&texts, Side::Low).unwrap();
        assert!(low.as_str().unwrap() <= long.as_str() && low.as_str().unwrap().len() <= LONGEST);
        assert_eq!(bound(&texts, Side::High), None);
        let numbers: ArrayRef = Arc::new(Int64Array::from(vec![Some(4), None, Some(-2)]));
        assert_eq!((bound(&numbers, Side::Low), bound(&numbers, Side::High)), (Some(json!(-2)), Some(json!(4))));
    }
}
