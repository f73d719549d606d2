//! Columns of types that neither a table nor SQL has much use for, as plain ones.
//!
//! Deals with: what Parquet files of other writers may hold and a managed table may not: maps, times of day, lengths of time,
//! intervals, UUIDs. Does not deal with: the types of the table (`stored_types`).
//!
//! | type | becomes |
//! |---|---|
//! | MAP | a list of structs of `key` and `value` |
//! | TIME | text, `10:00:01.5` |
//! | a length of time | DECIMAL(19, n) seconds, to its last digit |
//! | INTERVAL | text |
//! | UUID | text in lower case with hyphens |

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, Decimal128Array, Int64Array, ListArray, RecordBatch, StringArray, StringBuilder,
    StructArray,
};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, FieldRef, Fields, Int64Type, Schema, TimeUnit};
use arrow::util::display::{ArrayFormatter, FormatOptions};

use crate::error::Result;

/// Digits of a length of time: those of 64 bits.
const DIGITS: u8 = 19;

/// The plain type of a column of this type; `uuid` says that bytes of its own are UUIDs.
pub fn plain_type(data_type: &DataType, uuid: bool) -> DataType {
    use DataType as T;
    match data_type {
        T::FixedSizeBinary(16) if uuid => T::Utf8,
        T::Time32(_) | T::Time64(_) | T::Interval(_) => T::Utf8,
        T::Duration(unit) => T::Decimal128(DIGITS, places(*unit)),
        T::Map(entries, _) => match entries.data_type() {
            T::Struct(pair) if pair.len() == 2 => {
                T::List(Arc::new(Field::new_list_field(T::Struct(entry(pair)), true)))
            }
            other => other.clone(),
        },
        T::Struct(fields) => T::Struct(fields.iter().map(field).collect()),
        T::List(item) => T::List(field(item)),
        T::LargeList(item) => T::LargeList(field(item)),
        other => other.clone(),
    }
}

fn field(of: &FieldRef) -> FieldRef {
    let plain = plain_type(of.data_type(), false);
    if plain == *of.data_type() { Arc::clone(of) } else { Arc::new(of.as_ref().clone().with_data_type(plain)) }
}

/// A key and its value under the names that they have in SQL.
fn entry(pair: &Fields) -> Fields {
    let named = |at: usize, name: &str| field(&pair[at]).as_ref().clone().with_name(name).with_nullable(true);
    vec![named(0, "key"), named(1, "value")].into()
}

fn places(unit: TimeUnit) -> i8 {
    match unit {
        TimeUnit::Second => 0,
        TimeUnit::Millisecond => 3,
        TimeUnit::Microsecond => 6,
        TimeUnit::Nanosecond => 9,
    }
}

/// The rows with plain columns; `uuids` are the columns whose bytes are UUIDs.
pub fn plain_rows(rows: RecordBatch, uuids: &[String]) -> Result<RecordBatch> {
    let is_uuid = |field: &Field| uuids.iter().any(|name| name == field.name());
    let schema = rows.schema();
    if schema.fields().iter().all(|f| plain_type(f.data_type(), is_uuid(f)) == *f.data_type()) {
        return Ok(rows);
    }
    let (mut fields, mut columns) = (Vec::new(), Vec::new());
    for (field, column) in schema.fields().iter().zip(rows.columns()) {
        let to = plain_type(field.data_type(), is_uuid(field));
        columns.push(plain(column, &to)?);
        fields.push(field.as_ref().clone().with_data_type(to));
    }
    Ok(RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)?)
}

/// Values of the plain type.
fn plain(array: &ArrayRef, to: &DataType) -> Result<ArrayRef> {
    use DataType as T;
    Ok(match (array.data_type(), to) {
        (from, to) if from == to => Arc::clone(array),
        (T::FixedSizeBinary(_), T::Utf8) => {
            let texts = array.as_fixed_size_binary().iter();
            let texts = texts.map(|value| Some(uuid::Uuid::from_slice(value?).ok()?.hyphenated().to_string()));
            Arc::new(texts.collect::<StringArray>())
        }
        (T::Time32(_) | T::Time64(_) | T::Interval(_), T::Utf8) => shown(array)?,
        (T::Duration(_), T::Decimal128(digits, places)) => {
            let ticks = cast(array, &T::Int64)?;
            let ticks: &Int64Array = ticks.as_primitive::<Int64Type>();
            let values: Decimal128Array = ticks.unary(i128::from);
            Arc::new(values.with_precision_and_scale(*digits, *places)?)
        }
        (T::Map(_, _), T::List(item)) => {
            let from = array.as_map();
            let T::Struct(fields) = item.data_type() else { return Ok(Arc::clone(array)) };
            let columns = from.entries().columns().iter().zip(fields).map(|(c, f)| plain(c, f.data_type()));
            let pairs = StructArray::try_new(fields.clone(), columns.collect::<Result<_>>()?, None)?;
            let (offsets, nulls) = (from.offsets().clone(), from.nulls().cloned());
            Arc::new(ListArray::try_new(Arc::clone(item), offsets, Arc::new(pairs), nulls)?)
        }
        (T::Struct(_), T::Struct(fields)) => {
            let from = array.as_struct();
            let columns = from.columns().iter().zip(fields).map(|(c, f)| plain(c, f.data_type()));
            let (columns, nulls) = (columns.collect::<Result<_>>()?, from.nulls().cloned());
            Arc::new(StructArray::try_new_with_length(fields.clone(), columns, nulls, from.len())?)
        }
        (T::List(_), T::List(item)) => {
            let from = array.as_list::<i32>();
            let values = plain(from.values(), item.data_type())?;
            let (offsets, nulls) = (from.offsets().clone(), from.nulls().cloned());
            Arc::new(ListArray::try_new(Arc::clone(item), offsets, values, nulls)?)
        }
        (T::LargeList(_), T::LargeList(item)) => {
            let from = array.as_list::<i64>();
            let values = plain(from.values(), item.data_type())?;
            let (offsets, nulls) = (from.offsets().clone(), from.nulls().cloned());
            Arc::new(arrow::array::LargeListArray::try_new(Arc::clone(item), offsets, values, nulls)?)
        }
        (_, to) => cast(array, to)?,
    })
}

/// Values as they are printed.
fn shown(array: &ArrayRef) -> Result<ArrayRef> {
    let options = FormatOptions::default();
    let formatter = ArrayFormatter::try_new(array.as_ref(), &options)?;
    let mut texts = StringBuilder::with_capacity(array.len(), array.len() * 16);
    for row in 0..array.len() {
        match array.is_valid(row) {
            true => match formatter.value(row).try_to_string() {
                Ok(text) => texts.append_value(text),
                Err(error) => texts.append_value(no_time_of_day(array, row).ok_or(error)?),
            },
            false => texts.append_null(),
        }
    }
    Ok(Arc::new(texts.finish()))
}

/// A number of a time of day's type that is none, such as `-03:51:39` or `25:00:00`.
fn no_time_of_day(array: &ArrayRef, row: usize) -> Option<String> {
    let (whole, unit) = match array.data_type() {
        DataType::Time32(unit) => (cast(array, &DataType::Int32).ok()?, unit),
        DataType::Time64(unit) => (Arc::clone(array), unit),
        _ => return None,
    };
    let ticks = cast(&whole, &DataType::Int64).ok()?;
    let tick = ticks.as_primitive::<Int64Type>().value(row);
    let digits = usize::try_from(places(*unit)).ok()?;
    let per_second = 10u64.pow(u32::try_from(digits).ok()?);
    let (seconds, part) = (tick.unsigned_abs() / per_second, tick.unsigned_abs() % per_second);
    let (sign, hour) = (if tick < 0 { "-" } else { "" }, seconds / 3600);
    let part = if part == 0 { String::new() } else { format!(".{part:0digits$}") };
    Some(format!("{sign}{hour:02}:{:02}:{:02}{part}", seconds / 60 % 60, seconds % 60))
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{
        DurationMicrosecondArray, FixedSizeBinaryArray, IntervalDayTimeArray, MapBuilder, Time64MicrosecondArray,
    };
    use arrow::datatypes::IntervalDayTime;

    fn texts(array: &ArrayRef) -> Vec<String> {
        let options = FormatOptions::default().with_null("NULL");
        let formatter = ArrayFormatter::try_new(array.as_ref(), &options).unwrap();
        (0..array.len()).map(|row| formatter.value(row).to_string()).collect()
    }

    #[test]
    fn every_value_is_kept() {
        let mut map = MapBuilder::new(None, StringBuilder::new(), arrow::array::DurationSecondBuilder::new());
        map.keys().append_value("a");
        map.values().append_value(5);
        map.append(true).unwrap();
        map.append(false).unwrap();
        let id: [u8; 16] = std::array::from_fn(|at| at as u8 * 17);
        let columns: Vec<(&str, ArrayRef)> = vec![
            ("map", Arc::new(map.finish())),
            ("time", Arc::new(Time64MicrosecondArray::from(vec![Some(36_001_500_000), None]))),
            ("none", Arc::new(Time64MicrosecondArray::from(vec![Some(-13_899_000_000), Some(90_000_000_001)]))),
            ("length", Arc::new(DurationMicrosecondArray::from(vec![Some(-5_000_001), Some(i64::MAX)]))),
            ("interval", Arc::new(IntervalDayTimeArray::from(vec![Some(IntervalDayTime::new(2, 500)), None]))),
            (
                "id",
                Arc::new(
                    FixedSizeBinaryArray::try_from_sparse_iter_with_size([Some(id.as_slice()), None].into_iter(), 16)
                        .unwrap(),
                ),
            ),
            ("n", Arc::new(Int64Array::from(vec![1, 2]))),
        ];
        let rows = RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(n, c)| (n, c, true))).unwrap();
        let plain = plain_rows(rows, &["id".to_string()]).unwrap();
        let shown: Vec<Vec<String>> = plain.columns().iter().map(texts).collect();
        assert_eq!(shown[0], ["[{key: a, value: 5}]", "NULL"]);
        assert_eq!(shown[1], ["10:00:01.500", "NULL"]);
        assert_eq!(shown[2], ["-03:51:39", "25:00:00.000001"]);
        assert_eq!(shown[3], ["-5.000001", "9223372036854.775807"]);
        assert_eq!(shown[5], ["00112233-4455-6677-8899-aabbccddeeff", "NULL"]);
        assert_eq!(shown[6], ["1", "2"]);
        assert!(shown[4][0].contains('2') && shown[4][1] == "NULL", "{:?}", shown[4]);
    }
}
