//! Arrays of a Parquet file as columns of the table.
//!
//! Deals with: widening, texts, times of all units and zones, and rows whose value does not fit. Does not deal with: reading
//! the file (`parquet`).

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Float64Array, Int64Array, RecordBatch, StringArray, StructArray,
    TimestampMicrosecondArray,
};
use arrow::compute::{CastOptions, cast_with_options, filter_record_batch};
use arrow::datatypes::{DataType, Float64Type, Int64Type, TimeUnit};
use arrow::util::display::{ArrayFormatter, FormatOptions};

use super::cells::Cells;
use super::columns::{Column, Layout, Origin};
use super::decoded::{Decoded, IS_NULL, batch, same_everywhere};
use super::rejects::{Fault, LONGEST, Reject, shortened};
use super::stored_types::is_text;
use super::times::{EpochUnit, TimeFormat, TimeReader};
use super::unseen::OfBlock;
use crate::error::{Error, Result};

const DOES_NOT_FIT: Fault = Fault("does not fit the column's type");

/// What is wrong with a column, by row.
type Faults = Vec<(usize, Fault)>;

/// The rows of a batch, whose first one has the number `first_row` in its source.
pub fn convert(source: &RecordBatch, first_row: u64, layout: &Layout) -> Result<Decoded> {
    let rows = source.num_rows();
    let mut columns: Vec<ArrayRef> = Vec::with_capacity(layout.columns.len());
    let mut faults: Vec<Vec<(usize, Fault)>> = Vec::with_capacity(layout.columns.len());
    for column in &layout.columns {
        let found = match &column.origin {
            Origin::Source(from) => find(source, from),
            Origin::Constant(_) | Origin::Missing => None,
        };
        let (array, wrong) = match (&found, &column.origin) {
            (Some(array), _) => one(array, column).map_err(|e| e.within(&format!("column '{}': ", column.name)))?,
            (None, _) => (same_everywhere(column, rows)?, Faults::new()),
        };
        columns.push(array);
        faults.push(wrong);
    }
    // A row is put aside for its first fault.
    let mut first: Vec<Option<(usize, Fault)>> = Vec::new();
    for (at, wrong) in faults.iter().enumerate() {
        for (row, fault) in wrong {
            if first.is_empty() {
                first.resize(rows, None);
            }
            first[*row].get_or_insert((at, *fault));
        }
    }
    for at in [layout.user, layout.time] {
        if columns[at].null_count() > 0 {
            first.resize(rows, None);
            for (row, fault) in first.iter_mut().enumerate() {
                if columns[at].is_null(row) {
                    fault.get_or_insert((at, IS_NULL));
                }
            }
        }
    }
    let whole = batch(layout, columns)?;
    if first.iter().all(Option::is_none) {
        return Ok(Decoded { batch: whole, rejects: Vec::new(), unseen: OfBlock::new(), rows: rows as u64 });
    }
    let rejects = rejects(source, first_row, layout, &first)?;
    let keep: BooleanArray = first.iter().map(|fault| Some(fault.is_none())).collect();
    Ok(Decoded { batch: filter_record_batch(&whole, &keep)?, rejects, unseen: OfBlock::new(), rows: rows as u64 })
}

fn rejects(
    source: &RecordBatch,
    first_row: u64,
    layout: &Layout,
    first: &[Option<(usize, Fault)>],
) -> Result<Vec<Reject>> {
    let aside: BooleanArray = first.iter().map(|fault| Some(fault.is_some())).collect();
    let lines = json_lines(&filter_record_batch(source, &aside)?);
    let text = |column: &Column, row: usize| -> Option<String> {
        let Origin::Source(from) = &column.origin else { return None };
        let array = find(source, from)?;
        if array.is_null(row) {
            return None;
        }
        let options = FormatOptions::default();
        let shown = ArrayFormatter::try_new(array.as_ref(), &options).ok()?.value(row).to_string();
        Some(shortened(&shown, 1000))
    };
    let mut rejects = Vec::new();
    for (row, fault) in first.iter().enumerate() {
        let Some((at, fault)) = fault else { continue };
        let column = &layout.columns[*at];
        rejects.push(Reject {
            line: first_row + row as u64,
            column: Some(column.name.clone()),
            what: fault.0,
            value: text(column, row).filter(|_| *fault != IS_NULL),
            user: text(&layout.columns[layout.user], row),
            row: lines.get(rejects.len()).map(|line| shortened(line, LONGEST)).unwrap_or_default(),
        });
    }
    Ok(rejects)
}

/// Rows as JSON; where a column has no JSON, as the text of its values.
fn json_lines(rows: &RecordBatch) -> Vec<String> {
    let mut writer = arrow::json::LineDelimitedWriter::new(Vec::new());
    let written = writer.write(rows).and_then(|()| writer.finish());
    if written.is_ok() {
        let text = String::from_utf8_lossy(&writer.into_inner()).into_owned();
        return text.lines().map(str::to_string).collect();
    }
    let options = FormatOptions::default().with_null("null");
    let formatters: Vec<_> =
        rows.columns().iter().filter_map(|c| ArrayFormatter::try_new(c.as_ref(), &options).ok()).collect();
    let line = |row| formatters.iter().map(|f| f.value(row).to_string()).collect::<Vec<_>>().join(", ");
    (0..rows.num_rows()).map(line).collect()
}

/// A column by name or path; a path's nulls are those of the objects around it, too.
fn find(source: &RecordBatch, from: &str) -> Option<ArrayRef> {
    if let Some(array) = source.column_by_name(from) {
        return Some(array.clone());
    }
    let mut steps = from.split('.');
    let mut array = source.column_by_name(steps.next()?)?.clone();
    for step in steps {
        let outer: &StructArray = array.as_struct_opt()?;
        let inner = outer.column_by_name(step)?;
        array = match outer.nulls() {
            None => inner.clone(),
            Some(nulls) => arrow::compute::nullif(inner, &BooleanArray::new(!nulls.inner(), None)).ok()?,
        };
    }
    Some(array)
}

/// A column as its type in the table.
fn one(array: &ArrayRef, column: &Column) -> Result<(ArrayRef, Faults)> {
    let target = &column.data_type;
    if let (DataType::Timestamp(_, _), Some(reader)) = (target, &column.time) {
        return times(array, target, reader.clone());
    }
    if array.data_type() == target {
        return Ok((array.clone(), Faults::new()));
    }
    let scalar_text = is_text(array.data_type()) && !is_text(target);
    if scalar_text {
        let plain = cast(array, &DataType::Utf8)?;
        return read(plain.as_string(), target, column.time.as_ref());
    }
    let converted = cast(array, target)?;
    let mut faults = Faults::new();
    if converted.null_count() > array.logical_null_count() {
        let before = array.logical_nulls();
        let was_null = |row: usize| before.as_ref().is_some_and(|nulls| nulls.is_null(row));
        faults.extend(
            (0..array.len()).filter(|row| converted.is_null(*row) && !was_null(*row)).map(|row| (row, DOES_NOT_FIT)),
        );
    }
    Ok((converted, faults))
}

fn cast(array: &ArrayRef, target: &DataType) -> Result<ArrayRef> {
    let options = CastOptions { safe: true, ..CastOptions::default() };
    let plain = match array.data_type() {
        // Straight from one dictionary to another only the values are looked at.
        DataType::Dictionary(_, value) if !is_text(target) || !is_text(value) => {
            cast_with_options(array, value, &options)?
        }
        _ => array.clone(),
    };
    cast_with_options(&plain, target, &options).map_err(Error::from)
}

/// Texts read as values.
fn read(texts: &StringArray, target: &DataType, time: Option<&TimeReader>) -> Result<(ArrayRef, Faults)> {
    let mut cells =
        Cells::new(target, time).ok_or_else(|| Error::data(format!("{target} cannot be read from text")))?;
    let mut faults = Faults::new();
    for row in 0..texts.len() {
        if texts.is_null(row) {
            cells.push_null();
        } else if let Err(fault) = cells.push(texts.value(row).as_bytes()) {
            faults.push((row, fault));
            cells.push_null();
        }
    }
    Ok((cells.finish()?, faults))
}

/// Times of any type as microseconds of UTC.
fn times(array: &ArrayRef, target: &DataType, mut reader: TimeReader) -> Result<(ArrayRef, Faults)> {
    let zoned = match array.data_type() {
        DataType::Timestamp(TimeUnit::Microsecond, Some(_)) => {
            let values = array.as_primitive::<arrow::datatypes::TimestampMicrosecondType>().clone();
            return Ok((Arc::new(values.with_data_type(target.clone())), Faults::new()));
        }
        DataType::Timestamp(_, zone) => zone.is_some(),
        _ => false,
    };
    let unit = match array.data_type() {
        DataType::Timestamp(TimeUnit::Second, _) => EpochUnit::Seconds,
        DataType::Timestamp(TimeUnit::Millisecond, _) => EpochUnit::Millis,
        DataType::Timestamp(TimeUnit::Microsecond, _) => EpochUnit::Micros,
        DataType::Timestamp(TimeUnit::Nanosecond, _) => EpochUnit::Nanos,
        DataType::Date32 | DataType::Date64 => {
            let days = cast(array, &DataType::Date32)?;
            let seconds = cast(&cast(&days, &DataType::Int32)?, &DataType::Int64)?;
            let midnight = |day: i64| day.checked_mul(86_400_000_000).map_or(Ok(i64::MAX), Ok);
            return instants(seconds.as_primitive::<Int64Type>(), target, |day| reader.local(midnight(day)?));
        }
        text if is_text(text) => {
            let plain = cast(array, &DataType::Utf8)?;
            return read(plain.as_string(), target, Some(&reader));
        }
        number => {
            let TimeFormat::Epoch(unit) = *reader.format() else {
                return Err(Error::data(format!("{number} is no time")));
            };
            if !number.is_integer() {
                let numbers = cast(array, &DataType::Float64)?;
                return decimals(numbers.as_primitive::<Float64Type>(), target, &mut reader);
            }
            let numbers = cast(array, &DataType::Int64)?;
            return instants(numbers.as_primitive::<Int64Type>(), target, |value| reader.number(value, unit));
        }
    };
    let numbers = cast(array, &DataType::Int64)?;
    let numbers = numbers.as_primitive::<Int64Type>();
    match zoned || reader.zone_name().is_none() {
        true => instants(numbers, target, |value| reader.number(value, unit)),
        false => {
            let mut zone = reader.clone();
            instants(numbers, target, |value| zone.local(reader.number(value, unit)?))
        }
    }
}

fn instants(
    numbers: &Int64Array,
    target: &DataType,
    mut instant: impl FnMut(i64) -> Result<i64, Fault>,
) -> Result<(ArrayRef, Faults)> {
    let mut faults = Faults::new();
    let values: TimestampMicrosecondArray = (0..numbers.len())
        .map(|row| {
            let value = numbers.is_valid(row).then(|| numbers.value(row))?;
            match instant(value) {
                Ok(micros) => Some(micros),
                Err(fault) => {
                    faults.push((row, fault));
                    None
                }
            }
        })
        .collect();
    Ok((Arc::new(values.with_data_type(target.clone())), faults))
}

/// Epochs with decimals: a double has no microseconds to be exact about, so the nearest one is taken.
fn decimals(numbers: &Float64Array, target: &DataType, reader: &mut TimeReader) -> Result<(ArrayRef, Faults)> {
    let mut faults = Faults::new();
    let values: TimestampMicrosecondArray = (0..numbers.len())
        .map(|row| {
            let value = numbers.is_valid(row).then(|| numbers.value(row))?;
            match reader.read(format!("{value:.6}").as_bytes()) {
                Ok(micros) => Some(micros),
                Err(fault) => {
                    faults.push((row, fault));
                    None
                }
            }
        })
        .collect();
    Ok((Arc::new(values.with_data_type(target.clone())), faults))
}

#[cfg(test)]
mod tests {
    use arrow::array::{
        BinaryArray, Date32Array, DictionaryArray, Int32Array, LargeStringArray, StringViewArray,
        TimestampNanosecondArray, TimestampSecondArray, UInt8Array, UInt64Array,
    };
    use arrow::datatypes::{Field, Fields, Int8Type, TimestampMicrosecondType};

    use super::super::columns::{Shape, Wishes};
    use super::super::infer::Seen;
    use super::super::mapping::{Mapping, dictionary, timestamp};
    use super::*;

    fn layout(source: &RecordBatch, mapping: &str, wishes: &Wishes) -> Result<Layout> {
        let columns = source
            .schema()
            .fields()
            .iter()
            .map(|f| {
                let mut seen = Seen::default();
                seen.declared = Some((f.data_type().clone(), "a.parquet".into()));
                (f.name().clone(), seen)
            })
            .collect();
        let shape = Shape { source: "a.parquet".into(), columns, by_position: false };
        Layout::of(&[shape], &Mapping::parse(mapping).unwrap(), wishes, None)
    }

    fn times(decoded: &Decoded) -> Vec<i64> {
        decoded.batch.column_by_name("ts").unwrap().as_primitive::<TimestampMicrosecondType>().values().to_vec()
    }

    fn with_times(times: ArrayRef) -> RecordBatch {
        let users = Int32Array::from_iter_values(0..times.len() as i32);
        RecordBatch::try_from_iter([("user_id", Arc::new(users) as ArrayRef), ("ts", times)]).unwrap()
    }

    #[test]
    fn times_of_every_unit_become_microseconds_of_utc() {
        let none = Wishes::default();
        let source = with_times(Arc::new(TimestampSecondArray::from(vec![1, -1])));
        let decoded = convert(&source, 1, &layout(&source, "", &none).unwrap()).unwrap();
        assert_eq!(times(&decoded), [1_000_000, -1_000_000]);
        let source = with_times(Arc::new(TimestampSecondArray::from(vec![i64::MAX, 1])));
        let decoded = convert(&source, 1, &layout(&source, "", &none).unwrap()).unwrap();
        assert_eq!(decoded.rejects[0].what, "is beyond the years 1 to 9999");
        let nanos = || Arc::new(TimestampNanosecondArray::from(vec![1_000, 1_001, -1]));
        let source = with_times(nanos());
        let decoded = convert(&source, 11, &layout(&source, "", &none).unwrap()).unwrap();
        assert_eq!((times(&decoded), decoded.rows), (vec![1], 3));
        let lines: Vec<u64> = decoded.rejects.iter().map(|r| r.line).collect();
        assert_eq!(lines, [12, 13]);
        assert_eq!(decoded.rejects[0].user.as_deref(), Some("1"));
        let floor = Wishes { floor_time: true, ..Wishes::default() };
        assert_eq!(times(&convert(&source, 1, &layout(&source, "", &floor).unwrap()).unwrap()), [1, 1, -1]);
        let source = with_times(Arc::new(Date32Array::from(vec![1])));
        assert_eq!(times(&convert(&source, 1, &layout(&source, "", &none).unwrap()).unwrap()), [86_400_000_000]);
        // Local times of a zone; those that say their zone are not touched.
        let berlin = "tz = 'Europe/Berlin'";
        assert_eq!(times(&convert(&source, 1, &layout(&source, berlin, &none).unwrap()).unwrap()), [82_800_000_000]);
        let source = with_times(Arc::new(TimestampSecondArray::from(vec![7_200])));
        assert_eq!(times(&convert(&source, 1, &layout(&source, berlin, &none).unwrap()).unwrap()), [3_600_000_000]);
        let source = with_times(Arc::new(TimestampSecondArray::from(vec![7_200]).with_timezone("Asia/Tokyo")));
        assert_eq!(times(&convert(&source, 1, &layout(&source, berlin, &none).unwrap()).unwrap()), [7_200_000_000]);
        let unit = Wishes { time_unit: Some("ms".into()), ..Wishes::default() };
        let source = with_times(Arc::new(Int64Array::from(vec![Some(5), None])));
        let decoded = convert(&source, 1, &layout(&source, "", &unit).unwrap()).unwrap();
        assert_eq!((times(&decoded), decoded.rejects[0].reason()), (vec![5_000], "ts is NULL".to_string()));
    }

    #[test]
    fn types_are_widened_and_texts_are_texts() {
        let words = DictionaryArray::<Int8Type>::from_iter(["a", "b"]);
        let inner = Fields::from(vec![Field::new("n", DataType::UInt8, true)]);
        let nested = StructArray::new(inner, vec![Arc::new(UInt8Array::from(vec![1, 255]))], None);
        let source = RecordBatch::try_from_iter([
            ("user_id", Arc::new(UInt64Array::from(vec![1, u64::MAX])) as ArrayRef),
            ("ts", Arc::new(StringViewArray::from(vec!["2024-01-31", "1970-01-01 00:00:01Z"])) as ArrayRef),
            ("event", Arc::new(words) as ArrayRef),
            ("large", Arc::new(LargeStringArray::from(vec!["x", "y"])) as ArrayRef),
            ("bytes", Arc::new(BinaryArray::from(vec![&b"x"[..], b"y"])) as ArrayRef),
            ("o", Arc::new(nested) as ArrayRef),
        ])
        .unwrap();
        let layout = layout(&source, "", &Wishes::default()).unwrap();
        let types: Vec<&DataType> = layout.columns.iter().map(|c| &c.data_type).collect();
        let inner = DataType::Struct(vec![Field::new("n", DataType::Int16, true)].into());
        assert_eq!(types, [&DataType::Int64, &timestamp(), &dictionary(), &DataType::Utf8, &DataType::Binary, &inner]);
        let decoded = convert(&source, 1, &layout).unwrap();
        assert_eq!(decoded.batch.num_rows(), 1);
        assert_eq!(decoded.rejects[0].reason(), format!("user_id: '{}' does not fit the column's type", u64::MAX));
        assert!(decoded.rejects[0].row.contains("\"event\":\"b\""), "{}", decoded.rejects[0].row);
        assert_eq!(
            decoded.batch.column(5).as_struct().column(0).as_primitive::<arrow::datatypes::Int16Type>().value(0),
            1
        );
    }

    #[test]
    fn fields_of_structs_become_columns() {
        let inner = Fields::from(vec![Field::new("n", DataType::Int64, true)]);
        let values: ArrayRef = Arc::new(Int64Array::from(vec![1, 2]));
        let nested = StructArray::new(inner, vec![values], Some(vec![true, false].into()));
        let source = RecordBatch::try_from_iter([
            ("user_id", Arc::new(Int64Array::from(vec![1, 2])) as ArrayRef),
            ("ts", Arc::new(TimestampSecondArray::from(vec![1, 2])) as ArrayRef),
            ("o", Arc::new(nested) as ArrayRef),
        ])
        .unwrap();
        let layout = layout(&source, "[columns]\nn = 'o.n'", &Wishes::default()).unwrap();
        let decoded = convert(&source, 1, &layout).unwrap();
        let column = decoded.batch.column_by_name("n").unwrap().as_primitive::<Int64Type>();
        assert_eq!((column.value(0), column.is_null(1)), (1, true));
    }
}
