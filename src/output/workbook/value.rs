//! What a value becomes in a cell of Excel.
//!
//! Numbers that a double holds exactly are numbers; ids, whole numbers beyond 2^53 and decimals of more than 15 digits are texts. Dates and
//! times from 1900 on are Excel's, earlier ones texts; so are times of a zone other than UTC. Texts never become formulas.

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type, Int64Type, Schema, TimeUnit, TimestampMicrosecondType};
use rust_xlsxwriter::{Format, Worksheet, XlsxError};

use crate::error::Result;
use crate::output::cell::{exact, formatter};
use crate::output::figure::is_share;
use crate::output::shown::names_something;
use crate::output::write_failed;

/// Characters in a cell.
const LONGEST_TEXT: usize = 32_767;

/// Whole numbers up to here are exact as doubles.
const LARGEST: u64 = 1 << 53;

/// Days from 1900-01-01 to 1970-01-01, as Excel counts with its 29 February 1900.
const DAYS_TO_1970: i64 = 25_569;
/// 1900-01-01 and 9999-12-31.
const KNOWN_DAYS: std::ops::RangeInclusive<i64> = -25_567..=2_932_896;
const MICROS_OF_DAY: i64 = 86_400_000_000;

/// How a column is written.
pub(super) struct Column {
    kind: Kind,
    format: Option<Format>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Text,
    Boolean,
    Whole,
    Double,
    Decimal,
    Date,
    Time,
}

/// A cell.
pub(super) enum Value {
    Empty,
    Number(f64),
    Boolean(bool),
    Text(Fitting),
}

/// A text that a cell holds.
pub(super) struct Fitting {
    pub text: String,
    pub cut: bool,
}

/// The text, with an end that does not fit cut off and `…` in its place. U+FFFE and U+FFFF are no characters of XML.
pub(super) fn fitting(text: &str) -> Fitting {
    let plain = || text.replace(['\u{fffe}', '\u{ffff}'], "\u{fffd}");
    if text.len() <= LONGEST_TEXT || text.encode_utf16().count() <= LONGEST_TEXT {
        return Fitting { text: plain(), cut: false };
    }
    let mut units = 0;
    let fits = |c: &char| {
        units += c.len_utf16();
        units < LONGEST_TEXT
    };
    let mut text: String = plain().chars().take_while(fits).collect();
    text.push('…');
    Fitting { text, cut: true }
}

impl Column {
    pub fn of(schema: &Schema, at: usize) -> Self {
        let field = schema.field(at);
        let logical = match field.data_type() {
            DataType::Dictionary(_, value) => value.as_ref(),
            other => other,
        };
        let kind = match logical {
            DataType::Boolean => Kind::Boolean,
            _ if names_something(field.name()) => Kind::Text,
            t if t.is_integer() => Kind::Whole,
            t if t.is_floating() => Kind::Double,
            DataType::Decimal32(..) | DataType::Decimal64(..) | DataType::Decimal128(..) | DataType::Decimal256(..) => {
                Kind::Decimal
            }
            DataType::Date32 | DataType::Date64 => Kind::Date,
            DataType::Timestamp(_, None) => Kind::Time,
            DataType::Timestamp(_, Some(zone)) if ["UTC", "Z", "+00:00"].contains(&zone.as_ref()) => Kind::Time,
            _ => Kind::Text,
        };
        let pattern = match kind {
            Kind::Double if is_share(at, schema) => Some("0.00%"),
            Kind::Date => Some("yyyy-mm-dd"),
            Kind::Time => Some("yyyy-mm-dd hh:mm:ss"),
            _ => None,
        };
        Self { kind, format: pattern.map(|pattern| Format::new().set_num_format(pattern)) }
    }

    /// The cells of some rows.
    pub fn values(&self, column: &ArrayRef) -> Result<Vec<Value>> {
        let nulls = column.logical_nulls();
        let readable = exact(column)?;
        let formatter = formatter(&readable)?;
        let text = |row: usize| formatter.value(row).to_string();
        let as_type = |data_type: &DataType| cast(column, data_type).map_err(write_failed);
        let value: Box<dyn Fn(usize) -> Option<Value>> = match self.kind {
            Kind::Text => Box::new(|_| None),
            Kind::Boolean => {
                let truth = as_type(&DataType::Boolean)?;
                Box::new(move |row| Some(Value::Boolean(truth.as_boolean().value(row))))
            }
            Kind::Whole => Box::new(|row| {
                let number: i128 = text(row).parse().ok()?;
                (number.unsigned_abs() <= u128::from(LARGEST)).then_some(Value::Number(number as f64))
            }),
            Kind::Double => {
                // Through its text: 0.1f32 is 0.10000000149011612 as a double.
                let doubles = match column.data_type() {
                    DataType::Float64 => Some(ArrayRef::clone(column)),
                    _ => None,
                };
                let text = &text;
                Box::new(move |row| {
                    let double = match &doubles {
                        Some(doubles) => doubles.as_primitive::<Float64Type>().value(row),
                        None => text(row).parse().ok()?,
                    };
                    double.is_finite().then_some(Value::Number(double))
                })
            }
            Kind::Decimal => Box::new(|row| {
                let text = text(row);
                let digits = text.trim_start_matches(['-', '0', '.']).bytes().filter(u8::is_ascii_digit).count();
                (digits <= 15).then(|| text.parse().ok().map(Value::Number)).flatten()
            }),
            Kind::Date => {
                let days = as_type(&DataType::Date32)?;
                let days = cast(&days, &DataType::Int32).map_err(write_failed)?;
                let days = cast(&days, &DataType::Int64).map_err(write_failed)?;
                Box::new(move |row| serial(days.as_primitive::<Int64Type>().value(row), 0))
            }
            Kind::Time => {
                let zone = match column.data_type() {
                    DataType::Timestamp(_, zone) => zone.clone(),
                    _ => None,
                };
                match as_type(&DataType::Timestamp(TimeUnit::Microsecond, zone)) {
                    Ok(micros) => Box::new(move |row| {
                        let micros = micros.as_primitive::<TimestampMicrosecondType>();
                        // Seconds that a microsecond cannot hold are NULL after the cast.
                        let at = micros.is_valid(row).then(|| micros.value(row))?;
                        serial(at.div_euclid(MICROS_OF_DAY), at.rem_euclid(MICROS_OF_DAY))
                    }),
                    Err(_) => Box::new(|_| None),
                }
            }
        };
        let cell = |row: usize| {
            if nulls.as_ref().is_some_and(|nulls| nulls.is_null(row)) {
                return Value::Empty;
            }
            value(row).unwrap_or_else(|| Value::Text(fitting(&text(row))))
        };
        Ok((0..column.len()).map(cell).collect())
    }
}

/// Excel's number of a moment; `None` where it has none.
fn serial(days: i64, micros: i64) -> Option<Value> {
    // Excel believes that 1900 had a 29 February: up to the 28th its count is one day behind.
    let leap = if days < -25_508 { 1 } else { 0 };
    let whole = KNOWN_DAYS.contains(&days).then_some(days + DAYS_TO_1970 - leap)?;
    Some(Value::Number(whole as f64 + micros as f64 / MICROS_OF_DAY as f64))
}

impl Value {
    pub fn write(&self, sheet: &mut Worksheet, row: u32, at: u16, column: &Column) -> Result<(), XlsxError> {
        match (self, &column.format) {
            (Self::Empty, _) => {}
            (Self::Number(number), None) => drop(sheet.write_number(row, at, *number)?),
            (Self::Number(number), Some(format)) => drop(sheet.write_number_with_format(row, at, *number, format)?),
            (Self::Boolean(truth), _) => drop(sheet.write_boolean(row, at, *truth)?),
            (Self::Text(text), _) => drop(sheet.write_string(row, at, text.text.as_str())?),
        }
        Ok(())
    }

    pub fn is_cut(&self) -> bool {
        matches!(self, Self::Text(Fitting { cut: true, .. }))
    }

    pub fn width(&self) -> usize {
        match self {
            Self::Empty => 0,
            Self::Boolean(_) => 5,
            Self::Number(_) => 11,
            Self::Text(text) => super::width(&text.text),
        }
    }
}
