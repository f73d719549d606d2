//! Values of one column, read from text into an Arrow array, a row at a time.
//!
//! Deals with: numbers, truth values, dates, times, decimals, texts and dictionaries of texts; taking the last rows back when a
//! later column of the row is at fault. Does not deal with: splitting rows (`csv`, `ndjson`).
//!
//! Where a sample told the type, a value is read only if it would have told the same type (`infer` and this module agree): `+5` or
//! ` 5` among whole numbers would have made a column of texts, so behind the sample it is no number either. Where somebody said the
//! type, whatever can be read as it is.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, Date32Array, Decimal128Array, DictionaryArray, Float32Array, Float64Array, Int8Array,
    Int16Array, Int32Array, Int64Array, StringArray, TimestampMicrosecondArray, TimestampNanosecondArray,
};
use arrow::buffer::{Buffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow::datatypes::{DataType, TimeUnit};
use hashbrown::HashTable;
use twox_hash::XxHash64;

use super::reject::Fault;
use super::stored_types::is_text;
use super::times::{TimeReader, parse_date};
use crate::error::{Error, Result};

pub const NO_INTEGER: Fault = Fault("is not a whole number");
const LEADING_ZERO: Fault = Fault("has leading zeros, which a number would lose");
/// A whole number beyond 2^53.
pub const TOO_LONG: Fault = Fault("is a whole number that a DOUBLE cannot hold exactly");
const NO_NUMBER: Fault = Fault("is not a number");
pub const OUT_OF_RANGE: Fault = Fault("is out of range");
const NO_BOOLEAN: Fault = Fault("is not true or false");
const ALTERED: Fault = Fault("is written as an identifier is, and would come back as another text");
const NO_DATE: Fault = Fault("is not a date (YYYY-MM-DD)");
pub const TOO_PRECISE: Fault = Fault("has more decimal places than the column");

/// 2^53: beyond it a DOUBLE skips whole numbers.
const WHOLE: f64 = 9_007_199_254_740_992.0;

/// Digits of an identifier that may be a number.
pub const IDENTIFIER_DIGITS: usize = 18;

/// How much a text may differ from the way in which its value is printed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Reading {
    /// Somebody said the type: signs, blanks and other words for true and false are fine.
    #[default]
    AsSaid,
    /// A sample told it: only what would have told the same.
    AsSampled,
    /// The same, of identifiers: no signs, and at most eighteen digits.
    AsIdentifier,
}

/// Rows of one column.
pub struct Cells {
    values: Values,
    reading: Reading,
    valid: Vec<bool>,
    nulls: usize,
}

enum Values {
    Integers { values: Vec<i64>, least: i64, most: i64, data_type: DataType },
    Floats { values: Vec<f64>, single: bool },
    Booleans(Vec<bool>),
    Dates(Vec<i32>),
    Times { values: Vec<i64>, reader: Box<TimeReader>, nanos: bool, data_type: DataType },
    Decimals { values: Vec<i128>, precision: u8, scale: i8 },
    Texts(Texts),
    Names { keys: Vec<i32>, names: Names },
}

impl Cells {
    /// Cells of a type that text can be read as; `None` for others.
    pub fn new(data_type: &DataType, time: Option<&TimeReader>) -> Option<Self> {
        let integers =
            |least: i64, most: i64| Values::Integers { values: Vec::new(), least, most, data_type: data_type.clone() };
        let values = match data_type {
            DataType::Int8 => integers(i8::MIN.into(), i8::MAX.into()),
            DataType::Int16 => integers(i16::MIN.into(), i16::MAX.into()),
            DataType::Int32 => integers(i32::MIN.into(), i32::MAX.into()),
            DataType::Int64 => integers(i64::MIN, i64::MAX),
            DataType::Float32 | DataType::Float64 => {
                Values::Floats { values: Vec::new(), single: *data_type == DataType::Float32 }
            }
            DataType::Boolean => Values::Booleans(Vec::new()),
            DataType::Date32 => Values::Dates(Vec::new()),
            DataType::Timestamp(_, _) => {
                let nanos = matches!(data_type, DataType::Timestamp(TimeUnit::Nanosecond, _));
                Values::Times {
                    values: Vec::new(),
                    reader: Box::new(time?.clone()),
                    nanos,
                    data_type: data_type.clone(),
                }
            }
            DataType::Decimal128(precision, scale) => {
                Values::Decimals { values: Vec::new(), precision: *precision, scale: *scale }
            }
            DataType::Utf8 => Values::Texts(Texts::new()),
            DataType::Dictionary(_, _) if is_text(data_type) => Values::Names { keys: Vec::new(), names: Names::new() },
            _ => return None,
        };
        Some(Self { values, reading: Reading::AsSaid, valid: Vec::new(), nulls: 0 })
    }

    /// The same, where a text must be written in a certain way.
    #[must_use]
    pub fn with_reading(mut self, reading: Reading) -> Self {
        self.reading = reading;
        self
    }

    /// Whether values are numbers.
    pub fn is_numeric(&self) -> bool {
        matches!(self.values, Values::Integers { .. } | Values::Floats { .. } | Values::Decimals { .. })
    }

    /// Rows.
    pub(super) fn len(&self) -> usize {
        self.valid.len()
    }

    /// Whether a row is NULL or an empty text.
    pub fn is_blank(&self, row: usize) -> bool {
        !self.valid.get(row).copied().unwrap_or(false)
            || match &self.values {
                Values::Texts(texts) => texts.get(row).is_empty(),
                Values::Names { keys, names } => names.texts.get(keys[row] as usize).is_empty(),
                _ => false,
            }
    }

    /// Adds a value.
    #[inline]
    pub fn push(&mut self, text: &[u8]) -> Result<(), Fault> {
        match &mut self.values {
            Values::Integers { values, least, most, .. } => {
                let value = match self.reading {
                    Reading::AsSaid => integer(text.trim_ascii())?,
                    reading => as_written(text, reading)?,
                };
                if value < *least || value > *most {
                    return Err(OUT_OF_RANGE);
                }
                values.push(value);
            }
            Values::Floats { values, single } => {
                let value = match self.reading {
                    Reading::AsSaid => float(text.trim_ascii())?,
                    _ if text.first() == Some(&b'+') => return Err(ALTERED),
                    _ => float(text)?,
                };
                if *single && value.abs() > f64::from(f32::MAX) {
                    return Err(OUT_OF_RANGE);
                }
                values.push(value);
            }
            Values::Booleans(values) => values.push(match text.trim_ascii() {
                b"true" | b"True" | b"TRUE" => true,
                b"false" | b"False" | b"FALSE" => false,
                b"t" | b"1" if self.reading == Reading::AsSaid => true,
                b"f" | b"0" if self.reading == Reading::AsSaid => false,
                _ => return Err(NO_BOOLEAN),
            }),
            Values::Dates(values) => values.push(parse_date(text.trim_ascii()).ok_or(NO_DATE)?),
            Values::Times { values, reader, nanos: false, .. } => values.push(reader.read(text)?),
            Values::Times { values, reader, .. } => values.push(reader.read_nanos(text)?),
            Values::Decimals { values, precision, scale } => {
                values.push(decimal(text.trim_ascii(), *precision, *scale)?);
            }
            Values::Texts(texts) => texts.push(text),
            Values::Names { keys, names } => keys.push(names.key(text)),
        }
        self.valid.push(true);
        Ok(())
    }

    /// Adds a NULL.
    #[inline]
    pub fn push_null(&mut self) {
        match &mut self.values {
            Values::Integers { values, .. } | Values::Times { values, .. } => values.push(0),
            Values::Floats { values, .. } => values.push(0.0),
            Values::Booleans(values) => values.push(false),
            Values::Dates(values) => values.push(0),
            Values::Decimals { values, .. } => values.push(0),
            Values::Texts(texts) => texts.push(b""),
            Values::Names { keys, .. } => keys.push(0),
        }
        self.valid.push(false);
        self.nulls += 1;
    }

    /// Takes all rows from `length` on back.
    pub fn truncate(&mut self, length: usize) {
        self.nulls -= self.valid.iter().skip(length).filter(|valid| !**valid).count();
        self.valid.truncate(length);
        match &mut self.values {
            Values::Integers { values, .. } | Values::Times { values, .. } => values.truncate(length),
            Values::Floats { values, .. } => values.truncate(length),
            Values::Booleans(values) => values.truncate(length),
            Values::Dates(values) => values.truncate(length),
            Values::Decimals { values, .. } => values.truncate(length),
            Values::Texts(texts) => texts.truncate(length),
            // A name that nobody has stays in the dictionary, which is no harm.
            Values::Names { keys, .. } => keys.truncate(length),
        }
    }

    /// The rows as an array.
    pub fn finish(self) -> Result<ArrayRef> {
        let nulls = (self.nulls > 0).then(|| NullBuffer::from(self.valid));
        Ok(match self.values {
            Values::Integers { values, data_type, .. } => match data_type {
                DataType::Int8 => Arc::new(Int8Array::new(values.iter().map(|v| *v as i8).collect(), nulls)),
                DataType::Int16 => Arc::new(Int16Array::new(values.iter().map(|v| *v as i16).collect(), nulls)),
                DataType::Int32 => Arc::new(Int32Array::new(values.iter().map(|v| *v as i32).collect(), nulls)),
                _ => Arc::new(Int64Array::new(values.into(), nulls)),
            },
            Values::Floats { values, single: true } => {
                Arc::new(Float32Array::new(values.iter().map(|v| *v as f32).collect(), nulls))
            }
            Values::Floats { values, .. } => Arc::new(Float64Array::new(values.into(), nulls)),
            Values::Booleans(values) => Arc::new(BooleanArray::new(values.into(), nulls)),
            Values::Dates(values) => Arc::new(Date32Array::new(values.into(), nulls)),
            Values::Times { values, nanos: true, data_type, .. } => {
                Arc::new(TimestampNanosecondArray::new(values.into(), nulls).with_data_type(data_type))
            }
            Values::Times { values, data_type, .. } => {
                Arc::new(TimestampMicrosecondArray::new(values.into(), nulls).with_data_type(data_type))
            }
            Values::Decimals { values, precision, scale } => {
                Arc::new(Decimal128Array::new(values.into(), nulls).with_precision_and_scale(precision, scale)?)
            }
            Values::Texts(texts) => Arc::new(texts.finish(nulls)?),
            Values::Names { mut keys, names } => {
                if names.texts.len() == 0 {
                    keys.fill(0);
                }
                let keys = Int32Array::new(keys.into(), nulls);
                Arc::new(DictionaryArray::try_new(keys, Arc::new(names.texts.finish(None)?))?)
            }
        })
    }
}

/// Texts behind each other.
struct Texts {
    ends: Vec<i32>,
    bytes: Vec<u8>,
}

impl Texts {
    fn new() -> Self {
        Self { ends: vec![0], bytes: Vec::new() }
    }

    fn len(&self) -> usize {
        self.ends.len() - 1
    }

    /// A block of input is far below the 2 GiB that an array of texts can hold.
    #[inline]
    fn push(&mut self, text: &[u8]) {
        self.bytes.extend_from_slice(text);
        self.ends.push(i32::try_from(self.bytes.len()).unwrap_or(i32::MAX));
    }

    fn get(&self, at: usize) -> &[u8] {
        &self.bytes[self.ends[at] as usize..self.ends[at + 1] as usize]
    }

    fn truncate(&mut self, length: usize) {
        self.ends.truncate(length + 1);
        self.bytes.truncate(self.ends[self.ends.len() - 1] as usize);
    }

    fn finish(self, nulls: Option<NullBuffer>) -> Result<StringArray> {
        let ends = OffsetBuffer::new(ScalarBuffer::from(self.ends));
        StringArray::try_new(ends, Buffer::from_vec(self.bytes), nulls).map_err(Error::from)
    }
}

/// Distinct texts, numbered as they come.
struct Names {
    texts: Texts,
    found: HashTable<i32>,
    last: i32,
}

impl Names {
    fn new() -> Self {
        Self { texts: Texts::new(), found: HashTable::new(), last: -1 }
    }

    #[inline]
    fn key(&mut self, text: &[u8]) -> i32 {
        if let Ok(last) = usize::try_from(self.last)
            && self.texts.get(last) == text
        {
            return self.last;
        }
        let hash = |text: &[u8]| XxHash64::oneshot(0, text);
        let texts = &self.texts;
        let found = self.found.find(hash(text), |key| texts.get(*key as usize) == text);
        self.last = match found {
            Some(key) => *key,
            None => {
                let key = i32::try_from(self.texts.len()).unwrap_or(i32::MAX);
                self.texts.push(text);
                let texts = &self.texts;
                self.found.insert_unique(hash(text), key, |key| hash(texts.get(*key as usize)));
                key
            }
        };
        self.last
    }
}

/// A whole number that is printed as it is written.
fn as_written(text: &[u8], reading: Reading) -> Result<i64, Fault> {
    let value = integer(text)?;
    let signed = text[0] == b'+' || (text[0] == b'-' && reading == Reading::AsIdentifier);
    let long = reading == Reading::AsIdentifier && text.len() > IDENTIFIER_DIGITS;
    if signed || long { Err(ALTERED) } else { Ok(value) }
}

fn integer(text: &[u8]) -> Result<i64, Fault> {
    let (negative, digits) = match text {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        rest => (false, rest),
    };
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return Err(NO_INTEGER);
    }
    if has_leading_zero(digits) {
        return Err(LEADING_ZERO);
    }
    // Eighteen digits cannot overflow.
    let mut value: i64 = 0;
    if digits.len() <= 18 {
        for digit in digits {
            value = value * 10 + i64::from(digit - b'0');
        }
        return Ok(if negative { -value } else { value });
    }
    for digit in digits {
        let digit = i64::from(digit - b'0');
        let next =
            value.checked_mul(10).and_then(|v| if negative { v.checked_sub(digit) } else { v.checked_add(digit) });
        value = next.ok_or(OUT_OF_RANGE)?;
    }
    Ok(value)
}

/// Whether something would be lost if the digits were a number: 007 is another identifier than 7.
fn has_leading_zero(digits: &[u8]) -> bool {
    matches!(digits, [b'0', next, ..] if next.is_ascii_digit())
}

fn float(text: &[u8]) -> Result<f64, Fault> {
    // The words of the standard library (`inf`, `nan`) are no numbers here.
    let begins = text.first().is_some_and(|b| b.is_ascii_digit() || matches!(b, b'-' | b'+' | b'.'));
    if has_leading_zero(text.strip_prefix(b"-").or(text.strip_prefix(b"+")).unwrap_or(text)) {
        return Err(LEADING_ZERO);
    }
    let text = std::str::from_utf8(text).ok().filter(|_| begins).ok_or(NO_NUMBER)?;
    match text.parse::<f64>() {
        Ok(value) if is_rounded(text, value) => Err(TOO_LONG),
        Ok(value) if value.is_finite() => Ok(value),
        Ok(_) if text.ends_with(|c: char| c.is_ascii_digit()) => Err(OUT_OF_RANGE),
        _ => Err(NO_NUMBER),
    }
}

/// Whether the digits before the point are those of another number than the DOUBLE nearest to it. With an exponent it is a
/// floating-point number already.
pub fn is_rounded(text: &str, value: f64) -> bool {
    if value.abs() < WHOLE || !value.is_finite() {
        return false;
    }
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    let whole = digits.split('.').next().unwrap_or_default();
    whole.bytes().all(|b| b.is_ascii_digit())
        && digits.bytes().all(|b| b.is_ascii_digit() || b == b'.')
        && format!("{:.0}", value.abs()) != whole
}

fn decimal(text: &[u8], precision: u8, scale: i8) -> Result<i128, Fault> {
    let (negative, digits) = match text {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        rest => (false, rest),
    };
    let point = digits.iter().position(|b| *b == b'.').unwrap_or(digits.len());
    let (whole, fraction) = (&digits[..point], digits.get(point + 1..).unwrap_or_default());
    if whole.len() + fraction.len() == 0 || !whole.iter().chain(fraction).all(u8::is_ascii_digit) {
        return Err(NO_NUMBER);
    }
    let places = usize::try_from(scale).unwrap_or(0);
    if fraction.iter().skip(places).any(|b| *b != b'0') {
        return Err(TOO_PRECISE);
    }
    let mut value: i128 = 0;
    let kept = (0..places).map(|place| fraction.get(place).map_or(0, |b| b - b'0'));
    for digit in whole.iter().map(|b| b - b'0').chain(kept) {
        value = value.checked_mul(10).and_then(|v| v.checked_add(i128::from(digit))).ok_or(OUT_OF_RANGE)?;
    }
    if value >= 10_i128.pow(u32::from(precision.min(38))) {
        return Err(OUT_OF_RANGE);
    }
    Ok(if negative { -value } else { value })
}

#[cfg(test)]
mod tests {
    use arrow::array::{Array, AsArray};
    use arrow::datatypes::{Int32Type, Int64Type};

    use super::super::times::TimeFormat;
    use super::super::types::{dictionary, timestamp};
    use super::*;

    #[test]
    fn values_and_what_is_wrong_with_them() {
        let mut small = Cells::new(&DataType::Int8, None).unwrap();
        assert_eq!(small.push(b" 127 "), Ok(()));
        assert_eq!(small.push(b"128"), Err(OUT_OF_RANGE));
        assert_eq!(small.push(b"1.0"), Err(NO_INTEGER));
        small.push_null();
        small.push(b"-5").unwrap();
        small.truncate(2);
        let array = small.finish().unwrap();
        assert_eq!((array.len(), array.null_count()), (2, 1));
        assert_eq!(integer(b"9223372036854775807"), Ok(i64::MAX));
        assert_eq!(integer(b"-9223372036854775808"), Ok(i64::MIN));
        assert_eq!(integer(b"9223372036854775808"), Err(OUT_OF_RANGE));
        assert_eq!(integer(b"-"), Err(NO_INTEGER));
        assert_eq!(float(b"1e400"), Err(OUT_OF_RANGE));
        assert_eq!(float(b"inf"), Err(NO_NUMBER));
        assert_eq!(float(b"-.5"), Ok(-0.5));
        assert_eq!(float(b"-inf"), Err(NO_NUMBER));
        assert_eq!(decimal(b"-12.3", 5, 2), Ok(-1230));
        assert_eq!(decimal(b"12.345", 5, 2), Err(TOO_PRECISE));
        assert_eq!(decimal(b"12.340", 5, 2), Ok(1234));
        assert_eq!(decimal(b"1234", 5, 2), Err(OUT_OF_RANGE));
        assert_eq!(decimal(b".", 5, 2), Err(NO_NUMBER));
        for long in ["9007199254740993", "123456789012345678901", "9007199254740993.0", "-9007199254740993.5"] {
            assert_eq!(float(long.as_bytes()), Err(TOO_LONG), "{long}");
        }
        assert_eq!(float(b"9007199254740994"), Ok(9_007_199_254_740_994.0));
        assert_eq!(float(b"1e300"), Ok(1e300));
    }

    /// What a sample would have taken for something else is something else behind the sample, too.
    #[test]
    fn guessed_types_take_what_they_are_guessed_from() {
        let takes = |data_type: &DataType, reading: Reading, text: &str| {
            Cells::new(data_type, None).unwrap().with_reading(reading).push(text.as_bytes()).is_ok()
        };
        for (data_type, same, other) in [
            (DataType::Int64, vec!["5", "-5", "-0", "9223372036854775807"], vec!["+5", " 5", "5 "]),
            (DataType::Float64, vec!["5", "-.5", "1e3", "-0.0"], vec!["+5.0", " 5", "5\t", "00.5", "01e3"]),
            (DataType::Boolean, vec!["true", "FALSE"], vec!["t", "1", "0"]),
        ] {
            for text in same.iter().chain(&other) {
                assert_eq!(takes(&data_type, Reading::AsSampled, text), same.contains(text), "{text}");
                let mut seen = crate::files::infer::Seen::default();
                seen.plain(if data_type == DataType::Float64 { "0.5" } else { same[0] });
                seen.plain(text);
                assert_eq!(seen.data_type() == data_type, same.contains(text), "{text}");
            }
        }
        for text in ["-5", "+5", "1234567890123456789", "-0", " 7"] {
            assert!(!takes(&DataType::Int64, Reading::AsIdentifier, text), "{text}");
        }
        assert!(takes(&DataType::Int64, Reading::AsIdentifier, "123456789012345678"));
    }

    #[test]
    fn names_are_numbered_once() {
        let mut names = Cells::new(&dictionary(), None).unwrap();
        for name in ["a", "b", "a", "a", "c"] {
            names.push(name.as_bytes()).unwrap();
        }
        names.push_null();
        names.push(b"b").unwrap();
        names.truncate(6);
        let array = names.finish().unwrap();
        let dictionary = array.as_dictionary::<Int32Type>();
        assert_eq!(dictionary.keys().values().to_vec(), [0, 1, 0, 0, 2, 0]);
        assert_eq!((dictionary.values().len(), array.null_count()), (3, 1));
        let mut none = Cells::new(&super::super::types::dictionary(), None).unwrap();
        none.push_null();
        assert_eq!(none.finish().unwrap().null_count(), 1);
    }

    #[test]
    fn times_and_texts() {
        let reader = TimeReader::new(TimeFormat::Iso, None, false);
        let mut times = Cells::new(&timestamp(), Some(&reader)).unwrap();
        times.push(b"1970-01-01T00:00:01Z").unwrap();
        assert!(times.push(b"yesterday").is_err());
        let array = times.finish().unwrap();
        assert_eq!((array.data_type(), array.len()), (&timestamp(), 1));
        let mut texts = Cells::new(&DataType::Utf8, None).unwrap();
        texts.push("ä".as_bytes()).unwrap();
        texts.push(b"xyz").unwrap();
        texts.truncate(1);
        texts.push(b"").unwrap();
        let array = texts.finish().unwrap();
        assert_eq!((array.as_string::<i32>().value(0), array.as_string::<i32>().value(1)), ("ä", ""));
        assert!(Cells::new(&DataType::Binary, None).is_none());
        let mut integers = Cells::new(&DataType::Int64, None).unwrap();
        integers.push(b"7").unwrap();
        assert_eq!(integers.finish().unwrap().as_primitive::<Int64Type>().value(0), 7);
    }
}
