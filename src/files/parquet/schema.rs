//! The columns of several files together: by name, each of a type that holds the values of all.
//!
//! Deals with: which type two types widen to, structs that gain fields, columns that some files lack, contradictions.
//! Does not deal with: turning values into the wider type (`convert`), and finding those that it cannot hold.
//!
//! | types | become |
//! |---|---|
//! | whole numbers of several widths | the widest; with BIGINT UNSIGNED, DECIMAL(20, 0) |
//! | whole and floating-point numbers, FLOAT and DOUBLE | DOUBLE; a whole number or decimal that DOUBLE cannot hold to its last digit is an error |
//! | decimals, with whole numbers too | a decimal of enough digits before and after the point |
//! | times of several units | the finest unit, so that no digit is lost; a time outside 1677-2262 beside nanoseconds is an error |
//! | times with and without a zone | with the zone, where all that have one agree, else UTC; a time without one is UTC |
//! | dates and times | times, a date is its midnight (UTC) |
//! | texts, dictionaries of texts | text |
//! | structs, lists, maps | of the fields of both, a field that a file lacks is NULL |
//! | a column of NULLs without a type | the other type |
//!
//! Whatever else differs is a contradiction.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use arrow::datatypes::{
    DECIMAL128_MAX_PRECISION, DECIMAL256_MAX_PRECISION, DataType, Field, FieldRef, Fields, SchemaRef, TimeUnit,
};

use super::facts::{BYTES_ARE, UUID, is_untold};
use crate::error::{Error, Result};

/// Two types that nothing holds, and where in the column.
#[derive(Debug, PartialEq)]
pub struct Contradiction {
    /// Below the column: `.field`, `[]`.
    pub place: String,
    /// One type.
    pub one: DataType,
    /// The other.
    pub other: DataType,
}

/// A column of the table.
#[derive(Debug, Clone)]
pub struct Merged {
    /// Name and type.
    pub field: Field,
    /// The first file that has it.
    pub file: usize,
    /// Whether each file has it.
    pub everywhere: bool,
}

/// The columns of files, each given with its path and schema, in the order in which they first come. `text` says whether a file's
/// bytes of untold kind are text, by column.
pub fn merged(files: &[(&Path, &SchemaRef)], views: bool, text: &dyn Fn(&str) -> bool) -> Result<Vec<Merged>> {
    let mut merged: Vec<Merged> = Vec::new();
    let mut places: HashMap<String, usize> = HashMap::new();
    let mut seen: Vec<&SchemaRef> = Vec::new();
    for (at, (path, schema)) in files.iter().enumerate() {
        // Most files have the very columns of the one before.
        if seen.iter().any(|known| Arc::ptr_eq(known, schema)) {
            continue;
        }
        for field in schema.fields() {
            let field = as_read(field, views, text);
            let Some(place) = places.get(field.name()) else {
                places.insert(field.name().clone(), merged.len());
                merged.push(Merged { field, file: at, everywhere: true });
                continue;
            };
            let known = &mut merged[*place];
            let nullable = known.field.is_nullable() || field.is_nullable();
            let data_type = widen(known.field.data_type(), field.data_type()).map_err(|wrong| {
                Error::data(format!(
                    "column '{}{}' is {} in '{}' but {} in '{}'; files of one table must agree",
                    field.name(),
                    wrong.place,
                    wrong.one,
                    files[known.file].0.display(),
                    wrong.other,
                    path.display()
                ))
            })?;
            known.field = Field::new(field.name(), data_type, nullable);
        }
        seen.push(schema);
    }
    for column in &mut merged {
        column.everywhere = seen.iter().all(|schema| schema.field_with_name(column.field.name()).is_ok());
        if !column.everywhere {
            column.field.set_nullable(true);
        }
    }
    Ok(merged)
}

/// A column of a file as queries see it.
fn as_read(field: &Field, views: bool, text: &dyn Fn(&str) -> bool) -> Field {
    let is_text = match field.metadata().get(BYTES_ARE).map(String::as_str) {
        Some(UUID) => true,
        _ => is_untold(field) && text(field.name()),
    };
    let data_type = match field.data_type() {
        _ if is_text => DataType::Utf8,
        other => other.clone(),
    };
    let data_type = match data_type {
        DataType::Utf8 | DataType::LargeUtf8 if views => DataType::Utf8View,
        DataType::Binary | DataType::LargeBinary if views => DataType::BinaryView,
        other => other,
    };
    Field::new(field.name(), data_type, field.is_nullable())
}

/// The type that holds the values of both.
pub fn widen(one: &DataType, other: &DataType) -> Result<DataType, Contradiction> {
    use DataType as T;
    if one == other {
        return Ok(one.clone());
    }
    let contradiction = || Contradiction { place: String::new(), one: one.clone(), other: other.clone() };
    Ok(match (one, other) {
        (T::Null, known) | (known, T::Null) => known.clone(),
        (a, b) if a.is_integer() && b.is_integer() => integers(a, b),
        (a, b) if (a.is_integer() && b.is_floating()) || (a.is_floating() && b.is_integer()) => T::Float64,
        (a, b) if a.is_floating() && b.is_floating() => match (a, b) {
            (T::Float64, _) | (_, T::Float64) => T::Float64,
            _ => T::Float32,
        },
        (a, b) if (a.is_decimal() && b.is_floating()) || (a.is_floating() && b.is_decimal()) => T::Float64,
        (a, b) if number(a).is_some() && number(b).is_some() => decimal(a, b).ok_or_else(contradiction)?,
        (T::Timestamp(a, zone), T::Timestamp(b, other)) => {
            let zone = match (zone, other) {
                (None, None) => None,
                (Some(zone), None) | (None, Some(zone)) => Some(Arc::clone(zone)),
                (Some(a), Some(b)) if a == b => Some(Arc::clone(a)),
                _ => Some("UTC".into()),
            };
            T::Timestamp(*a.max(b), zone)
        }
        (T::Date32 | T::Date64, T::Timestamp(unit, zone)) | (T::Timestamp(unit, zone), T::Date32 | T::Date64) => {
            T::Timestamp(*unit, zone.clone())
        }
        (T::Date32, T::Date64) | (T::Date64, T::Date32) => T::Date64,
        (T::Time32(a) | T::Time64(a), T::Time32(b) | T::Time64(b)) => match a.max(b) {
            unit @ (TimeUnit::Second | TimeUnit::Millisecond) => T::Time32(*unit),
            unit => T::Time64(*unit),
        },
        (T::Duration(a), T::Duration(b)) => T::Duration(*a.max(b)),
        (T::Dictionary(_, a), T::Dictionary(_, b)) => T::Dictionary(Box::new(T::Int32), Box::new(widen(a, b)?)),
        (T::Dictionary(_, value), plain) | (plain, T::Dictionary(_, value)) => match (value.as_ref(), plain) {
            // Views are read straight from the pages.
            (T::Utf8 | T::LargeUtf8 | T::Utf8View, T::Utf8View) => T::Utf8View,
            (value, plain) => widen(value, plain)?,
        },
        (a, b) if a.is_string() && b.is_string() => match (a, b) {
            (T::Utf8View, _) | (_, T::Utf8View) => T::Utf8View,
            _ => T::LargeUtf8,
        },
        (a, b) if is_bytes(a) && is_bytes(b) => match (a, b) {
            (T::BinaryView, _) | (_, T::BinaryView) => T::BinaryView,
            (T::LargeBinary, _) | (_, T::LargeBinary) => T::LargeBinary,
            _ => T::Binary,
        },
        (T::Struct(a), T::Struct(b)) => T::Struct(fields(a, b)?),
        (
            T::List(a) | T::LargeList(a) | T::FixedSizeList(a, _),
            T::List(b) | T::LargeList(b) | T::FixedSizeList(b, _),
        ) => {
            let item = Arc::new(below("[]", a, b)?);
            match (one, other) {
                (T::LargeList(_), _) | (_, T::LargeList(_)) => T::LargeList(item),
                (T::FixedSizeList(_, a), T::FixedSizeList(_, b)) if a == b => T::FixedSizeList(item, *a),
                _ => T::List(item),
            }
        }
        (T::Map(a, sorted), T::Map(b, also_sorted)) => match (a.data_type(), b.data_type()) {
            // Keys and values by their places: writers call them differently.
            (T::Struct(ours), T::Struct(theirs)) if ours.len() == 2 && theirs.len() == 2 => {
                let entry = [(".key", 0), (".value", 1)].map(|(place, at)| below(place, &ours[at], &theirs[at]));
                let entry: Fields = entry.into_iter().collect::<Result<Vec<Field>, _>>()?.into();
                let entries = Field::new(a.name(), T::Struct(entry), a.is_nullable());
                T::Map(Arc::new(entries), *sorted && *also_sorted)
            }
            _ => return Err(contradiction()),
        },
        _ => return Err(contradiction()),
    })
}

fn is_bytes(data_type: &DataType) -> bool {
    use DataType as T;
    matches!(data_type, T::Binary | T::LargeBinary | T::BinaryView | T::FixedSizeBinary(_))
}

fn integers(a: &DataType, b: &DataType) -> DataType {
    use DataType as T;
    let signed = a.is_signed_integer() || b.is_signed_integer();
    // The bits that a signed number needs for the values of either.
    let bits = |data_type: &DataType| {
        let bits = data_type.primitive_width().unwrap_or(8) * 8;
        if signed && data_type.is_unsigned_integer() { bits + 1 } else { bits }
    };
    match (signed, bits(a).max(bits(b))) {
        (true, ..=8) => T::Int8,
        (true, ..=16) => T::Int16,
        (true, ..=32) => T::Int32,
        (true, ..=64) => T::Int64,
        (true, _) => T::Decimal128(20, 0),
        (false, ..=8) => T::UInt8,
        (false, ..=16) => T::UInt16,
        (false, ..=32) => T::UInt32,
        (false, _) => T::UInt64,
    }
}

/// Digits before and after the point that a number type has.
fn number(data_type: &DataType) -> Option<(i16, i16)> {
    use DataType as T;
    Some(match data_type {
        T::Decimal32(precision, scale)
        | T::Decimal64(precision, scale)
        | T::Decimal128(precision, scale)
        | T::Decimal256(precision, scale) => (i16::from(*precision) - i16::from(*scale), i16::from(*scale)),
        T::Int8 | T::UInt8 => (3, 0),
        T::Int16 | T::UInt16 => (5, 0),
        T::Int32 | T::UInt32 => (10, 0),
        T::Int64 => (19, 0),
        T::UInt64 => (20, 0),
        _ => return None,
    })
}

fn decimal(a: &DataType, b: &DataType) -> Option<DataType> {
    let ((before, after), (also_before, also_after)) = (number(a)?, number(b)?);
    let scale = after.max(also_after);
    let precision = u8::try_from(before.max(also_before) + scale).ok()?.max(1);
    let scale = i8::try_from(scale).ok()?;
    match precision {
        ..=DECIMAL128_MAX_PRECISION => Some(DataType::Decimal128(precision, scale)),
        ..=DECIMAL256_MAX_PRECISION => Some(DataType::Decimal256(precision, scale)),
        _ => None,
    }
}

fn below(place: &str, a: &FieldRef, b: &FieldRef) -> Result<Field, Contradiction> {
    let inner = widen(a.data_type(), b.data_type());
    let data_type = inner.map_err(|wrong| Contradiction { place: format!("{place}{}", wrong.place), ..wrong })?;
    Ok(Field::new(a.name(), data_type, a.is_nullable() || b.is_nullable()))
}

/// The fields of both structs, those of the first first.
fn fields(a: &Fields, b: &Fields) -> Result<Fields, Contradiction> {
    let mut all: Vec<Field> = Vec::with_capacity(a.len());
    for ours in a {
        match b.iter().find(|theirs| theirs.name() == ours.name()) {
            Some(theirs) => all.push(below(&format!(".{}", ours.name()), ours, theirs)?),
            None => all.push(ours.as_ref().clone().with_nullable(true)),
        }
    }
    let new = b.iter().filter(|theirs| !a.iter().any(|ours| ours.name() == theirs.name()));
    all.extend(new.map(|field| field.as_ref().clone().with_nullable(true)));
    Ok(all.into())
}
