//! How a CSV source is written, told by its first lines: delimiter, header, names of the columns.
//!
//! Deals with: what options say and what the lines tell, names that are missing or there twice, samples of records.
//! Does not deal with: lines before the header (`preamble`), or types.

use std::collections::HashSet;

use super::preamble::{self, Begin};
use super::{Dialect, Record, lines, record, survey, unquoted};
use crate::error::{Error, Result};

/// Columns of a source, at the most: each costs memory for every row, and a header of more is a file of another kind.
pub const MOST_COLUMNS: usize = 10_000;

/// What is said of CSV sources.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CsvOptions {
    /// Between fields; told by the first lines where it is not given.
    pub delimiter: Option<u8>,
    /// Around fields; `None` is nothing.
    pub quote: Option<u8>,
    /// Before a character that is meant as it is.
    pub escape: Option<u8>,
    /// At the beginning of lines that are no records.
    pub comment: Option<u8>,
    /// Whether sources begin with the names of their columns.
    pub header: bool,
    /// Lines before the header that are passed over.
    pub skip: u64,
    /// How numbers are written, where not as `1234.5`.
    pub numbers: Option<Numbers>,
}

impl Default for CsvOptions {
    fn default() -> Self {
        let (delimiter, escape, comment, numbers) = (None, None, None, None);
        Self { delimiter, quote: Some(b'"'), escape, comment, header: true, skip: 0, numbers }
    }
}

/// How numbers are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Numbers {
    /// Before the decimal places.
    pub decimal: u8,
    /// Between groups of three digits; they may also be written without it.
    pub thousands: Option<u8>,
}

impl Numbers {
    /// Writes a number as `1234.5` into `plain`; false where the text is no number that is written so.
    pub fn plain(self, text: &[u8], plain: &mut Vec<u8>) -> bool {
        plain.clear();
        let text = text.trim_ascii();
        let (sign, digits) = match text {
            [sign @ (b'-' | b'+'), rest @ ..] => (Some(*sign), rest),
            rest => (None, rest),
        };
        plain.extend(sign.filter(|sign| *sign == b'-'));
        let whole =
            digits.iter().position(|b| *b == self.decimal || b.eq_ignore_ascii_case(&b'e')).unwrap_or(digits.len());
        let (whole, rest) = digits.split_at(whole);
        let grouped = self.thousands.is_some_and(|separator| whole.contains(&separator));
        if grouped {
            let mut groups = whole.split(|b| Some(*b) == self.thousands);
            let first = groups.next().unwrap_or_default();
            if first.is_empty() || first.len() > 3 || !first.iter().all(u8::is_ascii_digit) {
                return false;
            }
            plain.extend_from_slice(first);
            for group in groups {
                if group.len() != 3 || !group.iter().all(u8::is_ascii_digit) {
                    return false;
                }
                plain.extend_from_slice(group);
            }
        } else if whole.iter().all(u8::is_ascii_digit) {
            plain.extend_from_slice(whole);
        } else {
            return false;
        }
        let (places, exponent) = match rest.iter().position(|b| b.eq_ignore_ascii_case(&b'e')) {
            Some(at) => rest.split_at(at),
            None => (rest, &[][..]),
        };
        if let Some(places) = places.strip_prefix(&[self.decimal]) {
            if !places.iter().all(u8::is_ascii_digit) || (whole.is_empty() && places.is_empty()) {
                return false;
            }
            plain.push(b'.');
            plain.extend_from_slice(places);
        } else if whole.is_empty() {
            return false;
        }
        plain.extend_from_slice(exponent);
        true
    }
}

/// How a CSV source is written.
#[derive(Debug, Clone)]
pub struct CsvShape {
    /// Which characters have a meaning.
    pub dialect: Dialect,
    /// How numbers are written, where not as `1234.5`.
    pub numbers: Option<Numbers>,
    /// At the beginning of lines that are no records.
    pub comment: Option<u8>,
    /// Names of the columns.
    pub names: Vec<String>,
    /// Where the first record begins.
    pub body: u64,
    /// In which line.
    pub body_line: u64,
}

/// Reads the header and, where it is not given, the delimiter. `None` where `text` holds no whole record.
///
/// Columns without a name are called by their place, `column_3`; all are where there is no header. A name that is there already gets
/// a number: `value`, `value_1`.
pub fn shape(text: &[u8], options: &CsvOptions) -> Result<Option<CsvShape>> {
    let mac = memchr::memchr(b'\n', text).is_none() && memchr::memchr(b'\r', text).is_some();
    let line_end = if mac { b'\r' } else { b'\n' };
    let mut dialect = Dialect { quote: options.quote, escape: options.escape, line_end, ..Dialect::default() };
    let Some(Begin { start, line, delimiter }) = preamble::passed_over(text, dialect, options) else { return Ok(None) };
    dialect.delimiter = delimiter.unwrap_or_else(|| likely_delimiter(&text[start..], dialect));
    let mut fields = Vec::new();
    let end = match record(text, start, dialect, &mut fields) {
        Record::Whole(end) => end,
        Record::Broken(why, _) => return Err(Error::data(format!("line {line}: {why} in the header"))),
        Record::Open => return Err(Error::data(format!("line {line}: a quote in the header is never closed"))),
    };
    if fields.len() > MOST_COLUMNS {
        return Err(Error::data(format!("line {line}: {} columns; at most {MOST_COLUMNS} are read", fields.len())));
    }
    let mut scratch = Vec::new();
    let mut names = Vec::with_capacity(fields.len());
    for field in &fields {
        names.push(match std::str::from_utf8(unquoted(text, *field, dialect, &mut scratch)) {
            _ if !options.header => String::new(),
            Ok(name) => name.trim().to_string(),
            Err(_) => {
                let hint = "if the file is in another encoding, say which: latin1, windows-1252, gbk, ..";
                return Err(Error::data(format!("line {line}: the header is not UTF-8 text")).hint(hint));
            }
        });
    }
    let (names, end) = match survey::below_header(text, end, dialect, &names).filter(|_| options.header) {
        Some(whole) => whole,
        None => (names, end),
    };
    let (body, body_line) = match options.header {
        true => (end, line + lines(&text[start..end], line_end)),
        false => (start, line),
    };
    let (numbers, comment) = (options.numbers, options.comment);
    Ok(Some(CsvShape { dialect, numbers, comment, names: distinct(names), body: body as u64, body_line }))
}

/// Names for all columns, no two the same.
fn distinct(names: Vec<String>) -> Vec<String> {
    let mut taken: HashSet<String> = names.iter().filter(|name| !name.is_empty()).cloned().collect();
    let mut met = HashSet::new();
    let mut free = |first: String, base: &str| {
        let others = (1..).map(|n: usize| format!("{base}_{n}"));
        let name = std::iter::once(first).chain(others).find(|name| !taken.contains(name)).unwrap_or_default();
        taken.insert(name.clone());
        name
    };
    let mut given = Vec::with_capacity(names.len());
    for (at, name) in names.into_iter().enumerate() {
        given.push(match name.is_empty() {
            true => free(format!("column_{}", at + 1), &format!("column_{}", at + 1)),
            false if met.insert(name.clone()) => name,
            false => free(format!("{name}_1"), &name),
        });
    }
    given
}

/// The delimiter that splits the first lines into the same number of fields, the most of them.
pub(super) fn likely_delimiter(text: &[u8], dialect: Dialect) -> u8 {
    let mut fields = Vec::new();
    let mut best = (1, b',');
    for delimiter in [b',', b'\t', b';', b'|'] {
        let dialect = Dialect { delimiter, ..dialect };
        let (mut at, mut counts) = (0, Vec::new());
        while counts.len() < 5 && at < text.len() {
            match record(text, at, dialect, &mut fields) {
                Record::Whole(next) if next < text.len() || counts.is_empty() => {
                    counts.push(fields.len());
                    at = next;
                }
                _ => break,
            }
        }
        let same = counts.first().copied().filter(|first| counts.iter().all(|c| c == first));
        if let Some(count) = same.filter(|count| *count > best.0) {
            best = (count, delimiter);
        }
    }
    best.1
}

/// The records of a sample, each with its fields as text; `None` is an empty field without quotes. Broken ones are passed over.
pub fn sample(text: &[u8], shape: &CsvShape, most: usize, mut row: impl FnMut(&[Option<&str>])) -> usize {
    let mut fields = Vec::new();
    let mut at = usize::try_from(shape.body).unwrap_or(usize::MAX).min(text.len());
    let mut rows = 0;
    let mut scratches = vec![Vec::new(); shape.names.len()];
    while at < text.len() && rows < most {
        let comment = shape.comment.is_some() && text.get(at).copied() == shape.comment;
        let next = match record(text, at, shape.dialect, &mut fields) {
            Record::Whole(next) if !comment => next,
            Record::Whole(_) | Record::Open if comment => {
                at = memchr::memchr(shape.dialect.line_end, &text[at..]).map_or(text.len(), |found| at + found + 1);
                continue;
            }
            Record::Whole(next) | Record::Broken(_, next) => {
                at = next;
                continue;
            }
            Record::Open => break,
        };
        at = next;
        if fields.len() != shape.names.len() {
            continue;
        }
        let values: Option<Vec<Option<&str>>> = fields
            .iter()
            .zip(&mut scratches)
            .map(|(field, scratch)| {
                let value = std::str::from_utf8(unquoted(text, *field, shape.dialect, scratch)).ok()?;
                Some((!value.is_empty() || field.quoted).then_some(value))
            })
            .collect();
        if let Some(values) = values {
            row(&values);
            rows += 1;
        }
    }
    rows
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(text: &str) -> CsvShape {
        shape(text.as_bytes(), &CsvOptions::default()).unwrap().unwrap()
    }

    #[test]
    fn headers_and_delimiters() {
        let bom = of("\u{feff}a;b;c\n1;2,5;3\n");
        assert_eq!(
            (bom.dialect.delimiter, bom.names, bom.body),
            (b';', vec!["a".to_string(), "b".into(), "c".into()], 9)
        );
        assert_eq!(of("\n\na\tb\n1\t2\n").dialect.delimiter, b'\t');
        assert_eq!(of("\n\na\tb\n1\t2\n").body_line, 4);
        assert_eq!(of("only\n1\n").dialect.delimiter, b',');
        assert_eq!(of("\"a,b\"|c\n\"1,2\"|3\n").names, ["a,b", "c"]);
        assert!(shape(b"", &CsvOptions::default()).unwrap().is_none());
        let bare = shape(b"1,2\n3,4\n", &CsvOptions { header: false, ..CsvOptions::default() }).unwrap().unwrap();
        assert_eq!((bare.names, bare.body), (vec!["column_1".to_string(), "column_2".into()], 0));
        let asked = CsvOptions { delimiter: Some(b','), ..CsvOptions::default() };
        assert!(shape(b"a,\"b\n1,2\n", &asked).is_err());
        let mac = of("a,b\r1,2\r");
        assert_eq!((mac.dialect.line_end, mac.names.len(), mac.body), (b'\r', 2, 4));
        let wide = ["c"; MOST_COLUMNS + 1].join(",");
        assert!(shape(wide.as_bytes(), &CsvOptions::default()).unwrap_err().message().contains("10001 columns"));
    }

    #[test]
    fn names_are_made_distinct() {
        assert_eq!(
            of("value,value,,value_1,value,\n").names,
            ["value", "value_2", "column_3", "value_1", "value_3", "column_6"]
        );
        assert_eq!(of("column_2,\n").names, ["column_2", "column_2_1"]);
    }

    #[test]
    fn numbers_of_other_countries() {
        let read = |numbers: Numbers, text: &str| {
            let mut plain = Vec::new();
            numbers.plain(text.as_bytes(), &mut plain).then(|| String::from_utf8(plain).unwrap())
        };
        let german = Numbers { decimal: b',', thousands: Some(b'.') };
        let told = |text: &str| read(german, text).unwrap_or_else(|| "no".into());
        let texts = [
            "1,5",
            "-1.234.567,25",
            "1234,5",
            "12",
            "1.5",
            "1.2345",
            "1,5,2",
            "1,5e3",
            ",5",
            ",",
            "",
            "01.02.2024",
            "x",
        ];
        let numbers = ["1.5", "-1234567.25", "1234.5", "12", "no", "no", "no", "1.5e3", ".5", "no", "no", "no", "no"];
        assert_eq!(texts.map(told), numbers.map(String::from));
        let english = Numbers { decimal: b'.', thousands: Some(b',') };
        assert_eq!(read(english, "1,234.5").as_deref(), Some("1234.5"));
        assert_eq!(read(english, "1,5"), None);
    }

    proptest! {
        /// Another reader of CSV sees the same fields.
        #[test]
        fn fields_are_those_of_another_reader(
            rows in proptest::collection::vec(proptest::collection::vec("[a,\\\\\"\r\n é]{0,6}", 3), 1..8),
            escaped: bool,
        ) {
            let mut writer = ::csv::WriterBuilder::new();
            writer.double_quote(!escaped).escape(b'\\');
            if escaped {
                writer.quote_style(::csv::QuoteStyle::Always);
            }
            let mut writer = writer.from_writer(Vec::new());
            // The writer escapes only quotes, so that its backslashes are not told from ours.
            let rows: Vec<Vec<String>> = if escaped {
                rows.iter().map(|row| row.iter().map(|f| f.replace('\\', "")).collect()).collect()
            } else {
                rows
            };
            for row in &rows {
                writer.write_record(row).unwrap();
            }
            let text = writer.into_inner().unwrap();
            let dialect = Dialect { escape: escaped.then_some(b'\\'), ..Dialect::default() };
            let names = vec!["x".into(); 3];
            let found = CsvShape { dialect, numbers: None, comment: None, names, body: 0, body_line: 1 };
            let mut seen: Vec<Vec<String>> = Vec::new();
            sample(&text, &found, usize::MAX, |values| {
                seen.push(values.iter().map(|v| v.unwrap_or_default().to_string()).collect());
            });
            let mut reader = ::csv::ReaderBuilder::new();
            reader.has_headers(false).double_quote(!escaped).escape(escaped.then_some(b'\\'));
            let theirs: Vec<Vec<String>> =
                reader.from_reader(text.as_slice()).records().map(|r| r.unwrap().iter().map(str::to_string).collect()).collect();
            prop_assert_eq!(&seen, &theirs);
            prop_assert_eq!(seen, rows);
        }
    }
}
