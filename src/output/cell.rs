//! How a value looks to a reader: text without control characters, doubles without noise, times without a `T`.
//!
//! Deals with: one cell of a table, an expanded record or a Markdown table. Does not deal with: widths and frames.

use std::borrow::Cow;
use std::fmt::Write;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{DataType, Float16Type, Float32Type, Float64Type};
use arrow::util::display::{ArrayFormatter, DurationFormat, FormatOptions};
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use super::far_times::legible;
use super::write_failed;
use crate::error::Result;

/// What a NULL looks like; a text that reads the same is shown in quotes.
pub(super) const NULL: &str = "NULL";

/// One cell, ready to print.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Cell {
    /// Text without control characters.
    pub text: String,
    /// Columns that it takes on a terminal.
    pub width: usize,
    /// Whether the value is NULL.
    pub null: bool,
}

/// How exact doubles are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Doubles {
    /// To six decimals, for a table that people read.
    Rounded,
    /// With every digit that it takes to read the same double back.
    Exact,
}

const OPTIONS: FormatOptions<'static> = FormatOptions::new()
    .with_display_error(true)
    .with_null(NULL)
    .with_duration_format(DurationFormat::Pretty)
    .with_timestamp_format(Some("%Y-%m-%d %H:%M:%S%.f"))
    .with_timestamp_tz_format(Some("%Y-%m-%d %H:%M:%S%.f%:z"))
    .with_datetime_format(Some("%Y-%m-%d %H:%M:%S%.f"));

/// The cells of one column of a batch.
pub(super) fn cells(column: &ArrayRef, doubles: Doubles) -> Result<Vec<Cell>> {
    let column = legible(&plain(column)?, ' ')?;
    let texts = matches!(column.data_type(), DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View);
    let formatter = ArrayFormatter::try_new(column.as_ref(), &OPTIONS).map_err(write_failed)?;
    let logical_nulls = column.logical_nulls();
    let mut buffer = String::new();
    let mut cells = Vec::with_capacity(column.len());
    for row in 0..column.len() {
        if logical_nulls.as_ref().is_some_and(|nulls| nulls.is_null(row)) {
            cells.push(Cell { text: NULL.into(), width: NULL.len(), null: true });
            continue;
        }
        buffer.clear();
        match double(&column, row).filter(|_| doubles == Doubles::Rounded) {
            Some(value) => buffer.push_str(&rounded(value)),
            None => write!(buffer, "{}", formatter.value(row)).map_err(write_failed)?,
        }
        let text = if texts && buffer == NULL { "'NULL'".to_string() } else { escape(&buffer).into_owned() };
        cells.push(Cell { width: text.width(), text, null: false });
    }
    Ok(cells)
}

/// The column with far times as texts, so that a [`formatter`] shows every value in full.
pub(super) fn exact(column: &ArrayRef) -> Result<ArrayRef> {
    legible(column, ' ')
}

/// What each value reads, every character as it is.
pub(super) fn formatter(column: &ArrayRef) -> Result<ArrayFormatter<'_>> {
    ArrayFormatter::try_new(column.as_ref(), &OPTIONS).map_err(write_failed)
}

/// Whether values of this type are set flush right.
pub(super) fn is_number(data_type: &DataType) -> bool {
    match data_type {
        DataType::Dictionary(_, value) => is_number(value),
        DataType::RunEndEncoded(_, value) => is_number(value.data_type()),
        other => other.is_numeric(),
    }
}

/// The column without dictionary or run-length encoding, which the formatter shows but [`double`] does not see through.
fn plain(column: &ArrayRef) -> Result<ArrayRef> {
    match column.data_type() {
        DataType::Dictionary(_, value) if value.is_floating() => {
            arrow::compute::cast(column, value).map_err(write_failed)
        }
        _ => Ok(ArrayRef::clone(column)),
    }
}

fn double(column: &ArrayRef, row: usize) -> Option<f64> {
    match column.data_type() {
        DataType::Float64 => Some(column.as_primitive::<Float64Type>().value(row)),
        // Through its text: 0.1f32 is 0.10000000149011612 as a double.
        DataType::Float32 => column.as_primitive::<Float32Type>().value(row).to_string().parse().ok(),
        DataType::Float16 => Some(column.as_primitive::<Float16Type>().value(row).to_f64()),
        _ => None,
    }
}

/// A double for reading: at most six decimals, six significant digits below 0.001; very large and small ones with an exponent.
fn rounded(value: f64) -> String {
    let magnitude = value.abs();
    if !value.is_finite() {
        return value.to_string();
    }
    if value == 0.0 {
        return "0.0".into();
    }
    if !(1e-5..1e15).contains(&magnitude) {
        let text = format!("{value:.5e}");
        let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
        return format!("{}e{exponent}", trimmed(mantissa));
    }
    // 0.000123457 has three zeros before its first digit, so it takes nine decimals to show six digits.
    let zeros = if magnitude < 1e-3 { (-magnitude.log10()).ceil() as usize - 1 } else { 0 };
    trimmed(&format!("{value:.*}", 6 + zeros)).to_string()
}

/// Without closing zeros, but with one digit after the point: a whole double still reads as a double.
fn trimmed(text: &str) -> &str {
    let short = text.trim_end_matches('0');
    if short.ends_with('.') { &text[..short.len() + 1] } else { short }
}

/// Text with control characters, line breaks and direction marks written out (`\n`, `\x1b`, `\u{202e}`), so that data can
/// neither break a frame nor drive the terminal.
pub fn escape(text: &str) -> Cow<'_, str> {
    if !text.chars().any(is_unsafe) {
        return Cow::Borrowed(text);
    }
    let mut safe = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        match c {
            '\n' => safe.push_str("\\n"),
            '\r' => safe.push_str("\\r"),
            '\t' => safe.push_str("\\t"),
            c if is_unsafe(c) && (c as u32) < 0x100 => {
                let _ = write!(safe, "\\x{:02x}", c as u32);
            }
            c if is_unsafe(c) => {
                let _ = write!(safe, "\\u{{{:x}}}", c as u32);
            }
            c => safe.push(c),
        }
    }
    Cow::Owned(safe)
}

/// C0, C1, DEL, and the marks that reorder or break the text around them.
fn is_unsafe(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

/// The text cut to `width` columns, the last one being `…` where something is missing.
pub(super) fn fitted(text: &str, width: usize) -> Cow<'_, str> {
    if text.width() <= width {
        return Cow::Borrowed(text);
    }
    let mut used = 0;
    let mut end = 0;
    for (at, c) in text.char_indices() {
        used += c.width().unwrap_or(0);
        if used + 1 > width {
            break;
        }
        end = at + c.len_utf8();
    }
    Cow::Owned(format!("{}…", &text[..end]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_read_without_noise() {
        let shown =
            [0.1 + 0.2, 1.0, 0.25, 123_456.789, -2.5, 1.0 / 3.0, 0.000_123_456_78, 1e20, -1.5e-9, 0.1, 0.999_999_99];
        let texts = shown.map(rounded);
        let expected =
            ["0.3", "1.0", "0.25", "123456.789", "-2.5", "0.333333", "0.000123457", "1.0e20", "-1.5e-9", "0.1", "1.0"];
        assert_eq!(texts, expected);
        assert_eq!([f64::NAN, f64::INFINITY, -0.0].map(rounded), ["NaN", "inf", "0.0"]);
    }

    #[test]
    fn data_cannot_drive_the_terminal() {
        assert_eq!(escape("a\x1b[31mb\nc\u{202e}\u{9b}\u{7f}"), "a\\x1b[31mb\\nc\\u{202e}\\x9b\\x7f");
        assert!(matches!(escape("naïve 日本 👩‍👩‍👧"), Cow::Borrowed(_)));
    }

    #[test]
    fn cutting_counts_columns_not_bytes() {
        assert_eq!(fitted("日本語", 6), "日本語");
        assert_eq!(fitted("日本語", 5), "日本…");
        assert_eq!(fitted("日本語", 4), "日…");
        assert_eq!(fitted("abc", 1), "…");
    }
}
