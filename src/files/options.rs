//! How files are read, where they do not say it themselves: one list of options for every way of saying them.
//!
//! `read_csv(..)`, `read_json(..)` and `read_parquet(..)` in FROM, `OPTIONS (..)` of CREATE EXTERNAL TABLE, `[tables.x.read]` in
//! tenure.toml and `[read]` in a mapping of ingest all end here. Deals with: names, values, messages. Does not deal with: reading.

use std::collections::BTreeMap;

use arrow::datatypes::DataType;
use jiff::tz::TimeZone;

use super::csv::{CsvOptions, Numbers};
use super::heads::Sample;
use super::source::{Said, SourceFormat, encoding};
use super::types::type_named;
use crate::error::{Error, Result, suggest};

/// The value of an option as it was said.
#[derive(Debug, Clone, PartialEq)]
pub enum Given {
    /// A text, or anything else as it is written.
    Text(String),
    /// `true` or `false`.
    Bool(bool),
    /// A whole number.
    Number(i64),
    /// Several texts.
    List(Vec<String>),
    /// Texts by name.
    Map(Vec<(String, String)>),
}

/// The options, each with what it is for.
pub const OPTIONS: [(&str, &str); 14] = [
    ("delimiter", "between CSV fields, one character; told by the first lines where absent"),
    ("header", "whether CSV begins with the names of the columns (true); else they are column_1, column_2, .."),
    ("quote", "around CSV fields that hold delimiters or line ends ('\"'); '' is none"),
    ("escape", "before a character of CSV that is meant as it is, such as '\\'; none where absent"),
    ("comment", "at the beginning of lines of CSV that are no rows; a block of # before the header needs no word"),
    ("skip", "lines before the header of CSV that are passed over (0)"),
    ("decimal", "before the decimal places of numbers in CSV ('.')"),
    ("thousands", "between groups of three digits in CSV; none where absent"),
    ("encoding", "of text that is not UTF-8, such as gbk, latin1, windows-1252; UTF-16 is told by its byte order mark"),
    ("null", "a text or list of texts that mean NULL, beside the empty field of CSV"),
    ("sample", "rows of each file that decide the types (50000), or 'all'"),
    ("types", "types by column, as in {'price': 'decimal(12,2)', 'zip': 'text'}"),
    (
        "time_format",
        "how the columns that are said to be timestamps are written: a strptime pattern, or the unit s, ms, us, ns of numbers",
    ),
    ("tz", "time zone of texts that name none (UTC)"),
];

/// How files are read.
#[derive(Debug, Clone)]
pub struct ReadOptions {
    /// Format and encoding.
    pub said: Said,
    /// CSV.
    pub csv: CsvOptions,
    /// Texts that mean NULL.
    pub nulls: Vec<String>,
    /// How much decides the types.
    pub sample: Sample,
    /// Types of columns.
    pub types: BTreeMap<String, DataType>,
    /// How times are written: a pattern or a unit.
    pub time_format: Option<String>,
    /// Zone of times that name none; `None` is UTC.
    pub zone: Option<TimeZone>,
}

impl Default for ReadOptions {
    fn default() -> Self {
        Self {
            said: Said::default(),
            csv: CsvOptions::default(),
            nulls: Vec::new(),
            sample: Sample::Rows(Self::SAMPLE),
            types: BTreeMap::new(),
            time_format: None,
            zone: None,
        }
    }
}

impl ReadOptions {
    /// Rows of a source that decide the types where nothing else is said.
    pub const SAMPLE: usize = 50_000;

    /// Takes an option in.
    pub fn set(&mut self, key: &str, value: Given) -> Result<()> {
        let wrong =
            |wanted: &str, value: &Given| Error::user(format!("option '{key}' must be {wanted}, got {}", shown(value)));
        let one = |value: &Given| -> Result<Option<u8>> {
            match value {
                Given::Text(text) if text.is_empty() => Ok(None),
                Given::Text(text) if text == "\\t" => Ok(Some(b'\t')),
                Given::Text(text) if text.len() == 1 => Ok(text.bytes().next()),
                Given::Number(digit @ 0..=9) => Ok(Some(b'0' + *digit as u8)),
                other => Err(wrong("one character (ASCII)", other)),
            }
        };
        match key {
            "delimiter" => match one(&value)? {
                Some(b'\n' | b'\r' | b'"') | None => {
                    return Err(wrong("one character that is no line end or quote", &value));
                }
                delimiter => self.csv.delimiter = delimiter,
            },
            "header" => match truth(&value) {
                Some(header) => self.csv.header = header,
                None => return Err(wrong("true or false", &value)),
            },
            "quote" => self.csv.quote = one(&value)?,
            "escape" => self.csv.escape = one(&value)?,
            "comment" => self.csv.comment = one(&value)?,
            "skip" => match number(&value).and_then(|n| u64::try_from(n).ok()) {
                Some(skip) => self.csv.skip = skip,
                None => return Err(wrong("a whole number of lines", &value)),
            },
            "decimal" | "thousands" => {
                let separator = one(&value)?;
                let mut numbers = self.csv.numbers.unwrap_or(Numbers { decimal: b'.', thousands: None });
                match (key, separator) {
                    ("decimal", Some(separator @ (b'.' | b','))) => numbers.decimal = separator,
                    ("thousands", None | Some(b'.' | b',' | b' ' | b'\'' | b'_')) => numbers.thousands = separator,
                    ("decimal", _) => return Err(wrong("'.' or ','", &value)),
                    _ => return Err(wrong("one of . , _ ' or a blank", &value)),
                }
                self.csv.numbers = Some(numbers);
            }
            "encoding" => match &value {
                Given::Text(name) => self.said.encoding = Some(encoding(name)?),
                other => return Err(wrong("a name such as 'gbk'", other)),
            },
            "null" => match value {
                Given::Text(text) => self.nulls = vec![text],
                Given::List(texts) => self.nulls = texts,
                Given::Number(number) => self.nulls = vec![number.to_string()],
                other => return Err(wrong("a text or a list of texts", &other)),
            },
            "sample" => match &value {
                Given::Text(text) if text.eq_ignore_ascii_case("all") => self.sample = Sample::All,
                value => match number(value).and_then(|n| usize::try_from(n).ok()).filter(|rows| *rows > 0) {
                    Some(rows) => self.sample = Sample::Rows(rows),
                    None => return Err(wrong("a number of rows or 'all'", value)),
                },
            },
            "types" => match value {
                Given::Map(types) => {
                    for (column, name) in types {
                        let named = type_named(&name).map_err(|e| e.within(&format!("column '{column}': ")))?;
                        self.types.insert(column, named);
                    }
                }
                other => return Err(wrong("types by column, as in {'price': 'double'}", &other)),
            },
            "time_format" => match value {
                Given::Text(format) if !format.is_empty() => self.time_format = Some(format),
                other => return Err(wrong("a strptime pattern, or s, ms, us or ns", &other)),
            },
            "tz" => match &value {
                Given::Text(name) => {
                    let zone = TimeZone::get(name).map_err(|_| Error::user(format!("unknown time zone '{name}'")))?;
                    self.zone = (name != "UTC").then_some(zone);
                }
                other => return Err(wrong("the name of a time zone", other)),
            },
            unknown => {
                let known = OPTIONS.map(|(name, _)| name);
                return Err(Error::user(format!("unknown option '{unknown}'; {}", suggest(unknown, known))));
            }
        }
        let CsvOptions { delimiter, quote, numbers, .. } = &self.csv;
        if delimiter.is_some() && delimiter == quote {
            return Err(Error::user("options 'delimiter' and 'quote' are the same character"));
        }
        if numbers.is_some_and(|n| n.thousands == Some(n.decimal)) {
            return Err(Error::user("options 'decimal' and 'thousands' are the same character"));
        }
        Ok(())
    }

    /// With the format of all files.
    #[must_use]
    pub fn of_format(mut self, format: Option<SourceFormat>) -> Self {
        self.said.format = format;
        self
    }
}

fn truth(value: &Given) -> Option<bool> {
    match value {
        Given::Bool(truth) => Some(*truth),
        Given::Text(text) => text.to_lowercase().parse().ok(),
        _ => None,
    }
}

fn number(value: &Given) -> Option<i64> {
    match value {
        Given::Number(number) => Some(*number),
        Given::Text(text) => text.parse().ok(),
        _ => None,
    }
}

fn shown(value: &Given) -> String {
    match value {
        Given::Text(text) => format!("'{text}'"),
        Given::Bool(truth) => truth.to_string(),
        Given::Number(number) => number.to_string(),
        Given::List(_) => "a list".to_string(),
        Given::Map(_) => "a struct".to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Given {
        Given::Text(text.to_string())
    }

    #[test]
    fn every_option_of_the_list_can_be_said() {
        let types = Given::Map(vec![("a".into(), "double".into())]);
        let nulls = Given::List(vec!["NA".into(), "-".into()]);
        let values = [
            text("\\t"),
            Given::Bool(false),
            text(""),
            text("\\"),
            text("%"),
            Given::Number(2),
            text(","),
            text("."),
            text("gbk"),
            nulls,
            text("all"),
            types,
            text("%d.%m.%Y"),
            text("Europe/Berlin"),
        ];
        let mut options = ReadOptions::default();
        // Both separators at once are only known at the end.
        for ((key, _), value) in OPTIONS.iter().zip(values) {
            options.set(key, value).unwrap_or_else(|e| panic!("{key}: {}", e.message()));
        }
        assert_eq!((options.csv.delimiter, options.csv.header, options.csv.quote), (Some(b'\t'), false, None));
        assert_eq!(options.csv.numbers, Some(Numbers { decimal: b',', thousands: Some(b'.') }));
        assert_eq!(
            (options.nulls.len(), options.sample, options.types["a"].clone()),
            (2, Sample::All, DataType::Float64)
        );
        assert!(options.zone.is_some() && options.said.encoding == Some(encoding_rs::GBK));
    }

    #[test]
    fn mistakes_are_named() {
        let fails = |key: &str, value: Given| ReadOptions::default().set(key, value).unwrap_err().message().to_string();
        assert_eq!(fails("delimeter", text(",")), "unknown option 'delimeter'; did you mean 'delimiter'?");
        assert!(fails("delimiter", text(";;")).contains("one character"));
        assert!(fails("delimiter", text("\"")).contains("no line end or quote"));
        assert!(fails("thousands", text(".")).contains("same character"));
        assert!(fails("header", text("maybe")).contains("true or false, got 'maybe'"));
        assert!(fails("encoding", text("klingon")).contains("unknown encoding 'klingon'"));
        assert!(fails("types", Given::Map(vec![("a".into(), "txt".into())])).contains("column 'a'"));
        assert!(fails("sample", Given::Number(0)).contains("'all'"));
        assert!(fails("tz", text("Mars/Base")).contains("unknown time zone"));
    }
}
