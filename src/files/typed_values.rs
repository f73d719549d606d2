//! Values that have a type already as values of the table's type.
//!
//! Deals with: widening, texts, decimals, times of all units and zones, texts that mean NULL, and values that do not fit.
//! Does not deal with: structs and lists (`nested`), or what becomes of a row (`convert`).
//!
//! A row is put aside where a reader of text would put it aside: nothing is rounded, cut or made NULL but what a FLOAT or
//! DOUBLE cannot hold exactly.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Float64Array, Int64Array, StringArray, TimestampMicrosecondArray,
};
use arrow::compute::kernels::cmp::distinct;
use arrow::compute::{CastOptions, cast_with_options, nullif};
use arrow::datatypes::{DataType, Float32Type, Float64Type, Int64Type, TimeUnit};

use super::cells::{Cells, OUT_OF_RANGE, TOO_LONG, TOO_PRECISE};
use super::nested::lost;
use super::reject::Fault;
use super::stored_types::is_text;
use super::times::{EpochUnit, TimeFormat, TimeReader};
use crate::error::{Error, Result};

const DOES_NOT_FIT: Fault = Fault("does not fit the column's type");

/// What is wrong with values, by row.
pub type Faults = Vec<(usize, Fault)>;

/// Values that are neither structs nor lists, texts among `nulls` as NULL.
pub fn single(
    array: &ArrayRef,
    target: &DataType,
    time: Option<&TimeReader>,
    nulls: &[String],
) -> Result<(ArrayRef, Faults)> {
    let array = &match array.data_type() {
        DataType::Dictionary(_, value) if !is_text(value) => cast(array, value)?,
        _ => with_nulls(array, nulls)?,
    };
    if let (DataType::Timestamp(_, _), Some(reader)) = (target, time) {
        return times(array, target, reader.clone());
    }
    let from = array.data_type();
    if from == target {
        return Ok((array.clone(), Faults::new()));
    }
    if is_text(from) && !is_text(target) {
        let plain = cast(array, &DataType::Utf8)?;
        return read(plain.as_string(), target, time);
    }
    if from.is_floating() && target.is_decimal() {
        // The digits that stand for the number are those that count, as in a text.
        let digits: StringArray = match from {
            DataType::Float64 => array.as_primitive::<Float64Type>().iter().map(|v| Some(v?.to_string())).collect(),
            _ => {
                let floats = cast(array, &DataType::Float32)?;
                floats.as_primitive::<Float32Type>().iter().map(|v| Some(v?.to_string())).collect()
            }
        };
        return read(&digits, target, time);
    }
    let converted = cast(array, target)?;
    let wrong = if target.is_numeric() { OUT_OF_RANGE } else { DOES_NOT_FIT };
    let mut faults: Faults = lost(array, &converted).into_iter().map(|row| (row, wrong)).collect();
    if let (Some(places), Some(kept)) = (places(from), places(target))
        && places > kept
    {
        let back = cast(&converted, from)?;
        let changed = distinct(array, &back)?;
        let rounded = |row: &usize| changed.value(*row) && converted.is_valid(*row);
        faults.extend((0..array.len()).filter(rounded).map(|row| (row, TOO_PRECISE)));
    }
    if from.is_integer() && target.is_floating() {
        let changed = distinct(array, &cast(&converted, from)?)?;
        let rounded = |row: &usize| changed.value(*row) && converted.is_valid(*row);
        faults.extend((0..array.len()).filter(rounded).map(|row| (row, TOO_LONG)));
    }
    if *from == DataType::Float64 && *target == DataType::Float32 {
        let (doubles, floats) = (array.as_primitive::<Float64Type>(), converted.as_primitive::<Float32Type>());
        let overflows = |row: &usize| doubles.value(*row).is_finite() && floats.value(*row).is_infinite();
        faults.extend((0..array.len()).filter(overflows).map(|row| (row, OUT_OF_RANGE)));
    }
    Ok((converted, faults))
}

/// Decimal places.
fn places(decimal: &DataType) -> Option<i8> {
    use DataType as T;
    match decimal {
        T::Decimal32(_, s) | T::Decimal64(_, s) | T::Decimal128(_, s) | T::Decimal256(_, s) => Some(*s),
        _ => None,
    }
}

/// Texts with NULL in place of those that mean it.
fn with_nulls(array: &ArrayRef, nulls: &[String]) -> Result<ArrayRef> {
    if nulls.is_empty() || !is_text(array.data_type()) {
        return Ok(array.clone());
    }
    let plain = cast(array, &DataType::Utf8)?;
    let texts = plain.as_string::<i32>();
    let meant: BooleanArray =
        texts.iter().map(|text| Some(text.is_some_and(|t| nulls.iter().any(|n| n == t)))).collect();
    match meant.true_count() {
        0 => Ok(array.clone()),
        _ => Ok(nullif(array, &meant)?),
    }
}

/// Values of another type, NULL where they have none there.
pub fn cast(array: &ArrayRef, target: &DataType) -> Result<ArrayRef> {
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
    let reader = reader.of_any_size();
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
