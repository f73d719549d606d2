//! The records of a block with their fields as texts.
//!
//! Deals with: lines and raw texts of records, what is wrong with one. Does not deal with: columns and types (`decode`).

use std::borrow::Cow;

use memchr::memchr;

use super::shape::CsvShape;
use super::{Record, lines, record, unquoted};
use crate::files::reject::NOT_UTF8;

/// A record of a block.
#[derive(Debug)]
pub struct TextRecord<'a> {
    /// Its first line.
    pub line: u64,
    /// As it stands there.
    pub raw: &'a [u8],
    /// Its fields; `None` is an empty one without quotes.
    pub fields: Vec<Option<Cow<'a, str>>>,
    /// What is wrong with it, and the value at fault; its fields are then those that could be told.
    pub wrong: Option<(&'static str, Option<String>)>,
}

/// Gives the records of whole lines, the first of which has the number `first_line`.
pub fn each_record<'a>(text: &'a [u8], first_line: u64, shape: &CsvShape, mut each: impl FnMut(TextRecord<'a>)) {
    let dialect = shape.dialect;
    let line_end = dialect.line_end;
    let (mut at, mut line) = (0, first_line);
    let mut fields = Vec::with_capacity(shape.names.len());
    while at < text.len() {
        let line_after = || memchr(line_end, &text[at..]).map_or(text.len(), |found| at + found + 1);
        if shape.comment.is_some() && text.get(at).copied() == shape.comment {
            (at, line) = (line_after(), line + 1);
            continue;
        }
        let (next, mut wrong) = match record(text, at, dialect, &mut fields) {
            Record::Whole(next) => (next.max(at + 1), None),
            Record::Broken(why, next) => (next, Some((why, None))),
            Record::Open => (line_after(), Some(("a quote is never closed", None))),
        };
        let raw = &text[at..next];
        let blank = fields.len() == 1 && !fields[0].quoted && fields[0].from == fields[0].until;
        if wrong.is_some() || !blank {
            if wrong.is_none() && fields.len() != shape.names.len() {
                let what = if fields.len() < shape.names.len() { "too few fields" } else { "too many fields" };
                wrong = Some((what, Some(format!("{} in place of {}", fields.len(), shape.names.len()))));
            }
            if wrong.is_none() && std::str::from_utf8(raw).is_err() {
                wrong = Some((NOT_UTF8, None));
            }
            let mut scratch = Vec::new();
            let values = fields.iter().map(|field| {
                if field.from == field.until && !field.quoted {
                    return None;
                }
                Some(match field.marked {
                    true => {
                        Cow::Owned(String::from_utf8_lossy(unquoted(text, *field, dialect, &mut scratch)).into_owned())
                    }
                    false => String::from_utf8_lossy(&text[field.from..field.until]),
                })
            });
            each(TextRecord { line, raw, fields: values.collect(), wrong });
        }
        line += lines(raw, line_end);
        at = next;
    }
}

#[cfg(test)]
mod tests {
    use super::super::{CsvOptions, shape};
    use super::*;

    #[test]
    fn records_have_lines_and_faults() {
        let text = b"a,b\n1,\"x\n\"\"y\"\"\"\n\n2,\"\"\n3\n4,\xff\n5,\"z\n6,7";
        let found = shape(text, &CsvOptions::default()).unwrap().unwrap();
        let mut seen = Vec::new();
        each_record(&text[4..], 2, &found, |record| {
            let fields: Vec<String> =
                record.fields.iter().map(|f| f.as_deref().map_or("NULL".into(), str::to_string)).collect();
            seen.push((record.line, fields.join("|"), record.wrong.map(|(what, _)| what)));
        });
        let expected = [
            (2, "1|x\n\"y\"", None),
            (5, "2|", None),
            (6, "3", Some("too few fields")),
            (7, "4|\u{fffd}", Some(NOT_UTF8)),
            (8, "5", Some("a quote is never closed")),
            (9, "6|7", None),
        ];
        assert_eq!(seen, expected.map(|(line, fields, wrong)| (line, fields.to_string(), wrong)));
    }
}
