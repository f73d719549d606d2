//! Values of a file's column as values of the table's wider type, each the same value.
//!
//! Deals with: every pair of types that `schema` widens, nested ones by their fields' names; a value that the other type cannot hold
//! is an error, never another value or NULL. Does not deal with: which type that is (`schema`).
//!
//! Where a conversion can lose something (a whole number or decimal as DOUBLE, a time as nanoseconds, whatever a declared type
//! asks for), each value is taken there and back: what does not come back as it was does not fit.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, ArrowPrimitiveType, AsArray, GenericListArray, ListArray, MapArray, OffsetSizeTrait,
    PrimitiveArray, StringViewBuilder, StructArray, new_null_array,
};
use arrow::compute::kernels::cmp::not_distinct;
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{
    DataType, Date32Type, FieldRef, Fields, Int64Type, TimeUnit, TimestampMicrosecondType, TimestampMillisecondType,
    TimestampNanosecondType, TimestampSecondType,
};
use arrow::error::ArrowError;
use arrow::util::display::array_value_to_string;
use datafusion::common::ScalarValue;

/// Why an array cannot be of another type.
#[derive(Debug, PartialEq)]
pub enum Misfit {
    /// A value does not fit, printed.
    Value(String),
    /// There is no way from one type to the other.
    Types(String),
}

const STRICT: CastOptions<'static> =
    CastOptions { safe: false, format_options: arrow::util::display::FormatOptions::new() };
const LENIENT: CastOptions<'static> =
    CastOptions { safe: true, format_options: arrow::util::display::FormatOptions::new() };

/// The array as one of this type.
pub fn convert(array: &ArrayRef, to: &DataType) -> Result<ArrayRef, Misfit> {
    use DataType as T;
    let from = array.data_type();
    if from == to {
        return Ok(Arc::clone(array));
    }
    match (from, to) {
        // NULL is a value of every type.
        (_, to) if array.null_count() == array.len() => Ok(new_null_array(to, array.len())),
        (T::Null, to) => Ok(new_null_array(to, array.len())),
        (T::Struct(_), T::Struct(fields)) => structs(array.as_struct(), fields),
        (T::List(_), T::List(item)) => lists::<i32>(array.as_list(), item),
        (T::LargeList(_), T::LargeList(item)) => lists::<i64>(array.as_list(), item),
        (T::List(item), T::LargeList(_)) => convert(&simple(array, &T::LargeList(Arc::clone(item)))?, to),
        (T::FixedSizeList(item, _), T::List(_)) => convert(&simple(array, &T::List(Arc::clone(item)))?, to),
        (T::FixedSizeList(item, _), T::LargeList(_)) => convert(&simple(array, &T::LargeList(Arc::clone(item)))?, to),
        (T::FixedSizeList(_, _), T::FixedSizeList(item, size)) => {
            let lists = array.as_fixed_size_list();
            let values = convert(lists.values(), item.data_type())?;
            let lists =
                arrow::array::FixedSizeListArray::try_new(Arc::clone(item), *size, values, lists.nulls().cloned());
            Ok(Arc::new(lists.map_err(types)?))
        }
        (T::Map(_, _), T::Map(entries, sorted)) => maps(array.as_map(), entries, *sorted),
        (T::Dictionary(_, _), T::Dictionary(_, value)) => {
            let own = array.as_any_dictionary();
            let values = convert(own.values(), value)?;
            simple(&own.with_values(values), to)
        }
        (T::Dictionary(_, value), to) if value.as_ref() != to && !to.is_nested() => {
            let plain = simple(array, value)?;
            convert(&plain, to)
        }
        (T::FixedSizeBinary(16), T::Utf8View | T::Utf8 | T::LargeUtf8) => simple(&uuids(array), to),
        (T::Timestamp(unit, _), T::Timestamp(wanted, zone)) => times(&ticks(array)?, *unit, *wanted, zone, array),
        (T::Date32, T::Timestamp(unit, zone)) => {
            let days = array.as_primitive::<Date32Type>();
            let seconds: PrimitiveArray<Int64Type> = days.unary(|days| i64::from(days) * 86_400);
            times(&seconds, TimeUnit::Second, *unit, zone, array)
        }
        (T::Date64, T::Timestamp(unit, zone)) => {
            let millis = simple(array, &T::Int64)?;
            times(millis.as_primitive(), TimeUnit::Millisecond, *unit, zone, array)
        }
        (from, to) if always(from, to) => simple(array, to),
        _ => there_and_back(array, to),
    }
}

/// A value as one of this type; `None` where it does not fit.
pub fn scalar(value: &ScalarValue, to: &DataType) -> Option<ScalarValue> {
    let array = convert(&value.to_array().ok()?, to).ok()?;
    ScalarValue::try_from_array(&array, 0).ok().filter(|value| !value.is_null())
}

/// Whether every value of one type is one of the other, in the same order, so that the engine may reason through the cast.
pub fn always(from: &DataType, to: &DataType) -> bool {
    use DataType as T;
    let digits = |data_type: &DataType| match data_type {
        T::Decimal32(p, s) | T::Decimal64(p, s) | T::Decimal128(p, s) | T::Decimal256(p, s) => {
            Some((i16::from(*p) - i16::from(*s), i16::from(*s)))
        }
        _ => None,
    };
    let width = |data_type: &DataType| data_type.primitive_width().unwrap_or(0);
    match (from, to) {
        (a, b) if a.is_integer() && b.is_integer() => match (a.is_signed_integer(), b.is_signed_integer()) {
            (true, true) | (false, false) => width(a) <= width(b),
            (false, true) => width(a) < width(b),
            (true, false) => false,
        },
        (T::Float16, T::Float32 | T::Float64) | (T::Float32, T::Float64) => true,
        (T::Int8 | T::UInt8 | T::Int16 | T::UInt16 | T::Int32 | T::UInt32, T::Float64) => true,
        (a, b) if a.is_decimal() && b.is_decimal() => {
            matches!((digits(a), digits(b)), (Some((before, after)), Some((b, a))) if before <= b && after <= a)
        }
        (a, b) => a.is_string() && b.is_string() || is_bytes(a) && is_bytes(b),
    }
}

fn is_bytes(data_type: &DataType) -> bool {
    use DataType as T;
    matches!(data_type, T::Binary | T::LargeBinary | T::BinaryView)
}

fn simple(array: &ArrayRef, to: &DataType) -> Result<ArrayRef, Misfit> {
    cast_with_options(array, to, &STRICT).map_err(types)
}

fn types(error: ArrowError) -> Misfit {
    Misfit::Types(error.to_string())
}

fn misfit(array: &dyn Array, at: usize) -> Misfit {
    Misfit::Value(array_value_to_string(array, at).unwrap_or_default())
}

fn there_and_back(array: &ArrayRef, to: &DataType) -> Result<ArrayRef, Misfit> {
    let there = cast_with_options(array, to, &LENIENT).map_err(types)?;
    let back = cast_with_options(&there, array.data_type(), &LENIENT).map_err(types)?;
    let same = not_distinct(array, &back).map_err(types)?;
    match (0..same.len()).find(|at| !same.value(*at)) {
        Some(at) => Err(misfit(array.as_ref(), at)),
        None => Ok(there),
    }
}

/// The numbers behind times, whatever their zone.
fn ticks(array: &ArrayRef) -> Result<PrimitiveArray<Int64Type>, Misfit> {
    fn plain<T: ArrowPrimitiveType<Native = i64>>(array: &ArrayRef) -> PrimitiveArray<Int64Type> {
        array.as_primitive::<T>().reinterpret_cast()
    }
    Ok(match array.data_type() {
        DataType::Timestamp(TimeUnit::Second, _) => plain::<TimestampSecondType>(array),
        DataType::Timestamp(TimeUnit::Millisecond, _) => plain::<TimestampMillisecondType>(array),
        DataType::Timestamp(TimeUnit::Microsecond, _) => plain::<TimestampMicrosecondType>(array),
        DataType::Timestamp(TimeUnit::Nanosecond, _) => plain::<TimestampNanosecondType>(array),
        other => return Err(Misfit::Types(format!("{other} is not a time"))),
    })
}

fn per_second(unit: TimeUnit) -> i64 {
    match unit {
        TimeUnit::Second => 1,
        TimeUnit::Millisecond => 1_000,
        TimeUnit::Microsecond => 1_000_000,
        TimeUnit::Nanosecond => 1_000_000_000,
    }
}

/// Instants in another unit. A time without a zone is UTC, so a zone changes how it is shown, not which instant it is.
fn times(
    ticks: &PrimitiveArray<Int64Type>,
    from: TimeUnit,
    to: TimeUnit,
    zone: &Option<Arc<str>>,
    shown: &ArrayRef,
) -> Result<ArrayRef, Misfit> {
    let (from, wanted) = (per_second(from), per_second(to));
    let scaled = match wanted >= from {
        true => ticks.unary_opt::<_, Int64Type>(|tick| tick.checked_mul(wanted / from)),
        false => ticks.unary_opt(|tick| (tick % (from / wanted) == 0).then(|| tick / (from / wanted))),
    };
    if scaled.null_count() != ticks.null_count() {
        let wrong = (0..ticks.len()).find(|at| ticks.is_valid(*at) && scaled.is_null(*at));
        return Err(misfit(shown.as_ref(), wrong.unwrap_or_default()));
    }
    let zone = zone.clone();
    Ok(match to {
        TimeUnit::Second => {
            Arc::new(scaled.reinterpret_cast::<TimestampSecondType>().with_timezone_opt(zone)) as ArrayRef
        }
        TimeUnit::Millisecond => {
            Arc::new(scaled.reinterpret_cast::<TimestampMillisecondType>().with_timezone_opt(zone))
        }
        TimeUnit::Microsecond => {
            Arc::new(scaled.reinterpret_cast::<TimestampMicrosecondType>().with_timezone_opt(zone))
        }
        TimeUnit::Nanosecond => Arc::new(scaled.reinterpret_cast::<TimestampNanosecondType>().with_timezone_opt(zone)),
    })
}

/// UUIDs as the text that everybody writes.
fn uuids(array: &ArrayRef) -> ArrayRef {
    let bytes = array.as_fixed_size_binary();
    let mut texts = StringViewBuilder::with_capacity(bytes.len());
    let mut text = [0; uuid::fmt::Hyphenated::LENGTH];
    for value in bytes {
        match value.and_then(|value| uuid::Uuid::from_slice(value).ok()) {
            Some(value) => texts.append_value(value.hyphenated().encode_lower(&mut text)),
            None => texts.append_null(),
        }
    }
    Arc::new(texts.finish())
}

fn structs(from: &StructArray, fields: &Fields) -> Result<ArrayRef, Misfit> {
    let columns = fields.iter().map(|field| match from.column_by_name(field.name()) {
        Some(column) => convert(column, field.data_type()),
        None => Ok(new_null_array(field.data_type(), from.len())),
    });
    let columns = columns.collect::<Result<Vec<_>, _>>()?;
    let nulls = from.nulls().cloned();
    let made = StructArray::try_new_with_length(fields.clone(), columns, nulls, from.len());
    Ok(Arc::new(made.map_err(types)?))
}

fn lists<O: OffsetSizeTrait>(from: &GenericListArray<O>, item: &FieldRef) -> Result<ArrayRef, Misfit> {
    let values = convert(from.values(), item.data_type())?;
    let made = GenericListArray::<O>::try_new(Arc::clone(item), from.offsets().clone(), values, from.nulls().cloned());
    Ok(Arc::new(made.map_err(types)?))
}

fn maps(from: &MapArray, entries: &FieldRef, sorted: bool) -> Result<ArrayRef, Misfit> {
    let DataType::Struct(fields) = entries.data_type() else {
        return Err(Misfit::Types(format!("{} is no map", entries.data_type())));
    };
    let columns = from.entries().columns().iter().zip(fields).map(|(column, field)| convert(column, field.data_type()));
    let columns = columns.collect::<Result<Vec<_>, _>>()?;
    let made = StructArray::try_new(fields.clone(), columns, from.entries().nulls().cloned()).and_then(|pairs| {
        MapArray::try_new(Arc::clone(entries), from.offsets().clone(), pairs, from.nulls().cloned(), sorted)
    });
    Ok(Arc::new(made.map_err(types)?))
}

/// The array as one of a type of the same shape that calls its fields otherwise.
pub fn relabelled(array: &ArrayRef, to: &DataType) -> Result<ArrayRef, Misfit> {
    use DataType as T;
    match (array.data_type(), to) {
        (from, to) if from == to => Ok(Arc::clone(array)),
        (T::Struct(_), T::Struct(fields)) => {
            let from = array.as_struct();
            let columns =
                from.columns().iter().zip(fields).map(|(column, field)| relabelled(column, field.data_type()));
            let columns = columns.collect::<Result<Vec<_>, _>>()?;
            let nulls = from.nulls().cloned();
            let made = StructArray::try_new_with_length(fields.clone(), columns, nulls, from.len());
            Ok(Arc::new(made.map_err(types)?))
        }
        (T::List(_), T::List(item)) => {
            let from = array.as_list::<i32>();
            let values = relabelled(from.values(), item.data_type())?;
            let made = ListArray::try_new(Arc::clone(item), from.offsets().clone(), values, from.nulls().cloned());
            Ok(Arc::new(made.map_err(types)?))
        }
        (T::Map(_, _), T::Map(entries, sorted)) => {
            let from = array.as_map();
            let pairs: ArrayRef = Arc::new(from.entries().clone());
            let pairs = relabelled(&pairs, entries.data_type())?.as_struct().clone();
            let (offsets, nulls) = (from.offsets().clone(), from.nulls().cloned());
            let made = MapArray::try_new(Arc::clone(entries), offsets, pairs, nulls, *sorted);
            Ok(Arc::new(made.map_err(types)?))
        }
        _ => convert(array, to),
    }
}
