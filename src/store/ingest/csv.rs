//! Delimited text: records, and the columns in them.
//!
//! Deals with: quotes, line ends, delimiters, headers, cutting a stream between records, reading a block of records.
//! Does not deal with: opening files (`source`), or types (`cells`).
//!
//! Fields are as RFC 4180 has them: a field that begins with a quote ends with one, holds delimiters and line ends, and doubles
//! its quotes; elsewhere a quote is a character. A record whose quotes make no sense (one never closed, text after a closing
//! one) is put aside up to the end of its first line, so that a stray quote costs a row and not the rest of the file.

use std::collections::HashMap;

use arrow::array::ArrayRef;
use memchr::{memchr, memchr_iter, memrchr};

use super::cells::Cells;
use super::columns::{Layout, Origin};
use super::decoded::{Decoded, IS_NULL, batch, same_everywhere};
use super::drafts::position;
use super::rejects::{Fault, Reject, kept, shortened};
use super::stored_types::is_text;
use super::unseen::OfBlock;
use crate::error::{Error, Result};

/// A record longer than this is one whose quote is never closed.
pub const LONGEST_RECORD: usize = 8 << 20;

/// How a CSV source is written.
#[derive(Debug, Clone)]
pub struct CsvShape {
    /// Between fields.
    pub delimiter: u8,
    /// Names of the columns.
    pub names: Vec<String>,
    /// Where the first record begins.
    pub body: u64,
    /// In which line.
    pub body_line: u64,
}

/// A field of the current record.
#[derive(Debug, Clone, Copy)]
struct Field {
    from: usize,
    until: usize,
    quoted: bool,
    /// Whether quotes are doubled in it.
    doubled: bool,
}

/// What stands at a place.
#[derive(Debug, PartialEq, Eq)]
enum Record {
    /// A record, up to where the next one begins.
    Whole(usize),
    /// Quotes make no sense; what follows the line is the next record.
    Broken(&'static str, usize),
    /// The text ends before the record does.
    Open,
}

/// Splits a record into `fields`.
fn record(text: &[u8], from: usize, delimiter: u8, fields: &mut Vec<Field>) -> Record {
    fields.clear();
    let after_line = || memchr(b'\n', &text[from..]).map_or(text.len(), |at| from + at + 1);
    let mut at = from;
    loop {
        if text.get(at) == Some(&b'"') {
            // A quoted field.
            let begin = at + 1;
            let mut doubled = false;
            at = begin;
            let end = loop {
                match memchr(b'"', &text[at..]) {
                    None => return Record::Open,
                    Some(found) if text.get(at + found + 1) == Some(&b'"') => {
                        doubled = true;
                        at += found + 2;
                    }
                    Some(found) => break at + found,
                }
            };
            fields.push(Field { from: begin, until: end, quoted: true, doubled });
            match &text[end + 1..] {
                [] => return Record::Whole(end + 1),
                [b'\n', ..] => return Record::Whole(end + 2),
                [b'\r', b'\n', ..] => return Record::Whole(end + 3),
                [b'\r'] => return Record::Whole(end + 2),
                [next, ..] if *next == delimiter => at = end + 2,
                _ => return Record::Broken("text after a closing quote", after_line()),
            }
            continue;
        }
        let begin = at;
        while at < text.len() && text[at] != delimiter && text[at] != b'\n' {
            at += 1;
        }
        let ended = text.get(at).copied();
        let until = match ended {
            // A line end of two characters.
            Some(b'\n') | None if at > begin && text[at - 1] == b'\r' => at - 1,
            _ => at,
        };
        fields.push(Field { from: begin, until, quoted: false, doubled: false });
        match ended {
            None => return Record::Whole(at),
            Some(b'\n') => return Record::Whole(at + 1),
            Some(_) => at += 1,
        }
    }
}

/// How much of `text` consists of whole records; with `last`, nothing follows and all of it does. 0 asks for more text.
pub fn whole_records(text: &[u8], delimiter: u8, last: bool) -> usize {
    if last {
        return text.len();
    }
    if memchr(b'"', text).is_none() {
        return memrchr(b'\n', text).map_or(0, |at| at + 1);
    }
    let mut fields = Vec::new();
    let mut whole = 0;
    while whole < text.len() {
        match record(text, whole, delimiter, &mut fields) {
            // Without a line end more of it may follow.
            Record::Whole(next) if next < text.len() || text[next - 1] == b'\n' => whole = next,
            Record::Broken(_, next) if next < text.len() || text[next - 1] == b'\n' => whole = next,
            Record::Open if text.len() - whole > LONGEST_RECORD => match memchr(b'\n', &text[whole..]) {
                Some(at) => whole += at + 1,
                None => break,
            },
            _ => break,
        }
    }
    whole
}

/// Line ends in a text.
pub fn lines(text: &[u8]) -> u64 {
    memchr_iter(b'\n', text).count() as u64
}

/// A field's text, its doubled quotes made single in `scratch`.
fn unquoted<'a>(text: &'a [u8], field: Field, scratch: &'a mut Vec<u8>) -> &'a [u8] {
    let raw = &text[field.from..field.until];
    if !field.doubled {
        return raw;
    }
    scratch.clear();
    let mut quote = false;
    for &byte in raw {
        quote = byte == b'"' && !quote;
        if !quote {
            scratch.push(byte);
        }
    }
    scratch
}

/// Reads the header and, where it is not given, the delimiter. `None` where `text` holds no whole record.
///
/// Without a header, columns are called `column_1`, `column_2`, ..
pub fn shape(text: &[u8], delimiter: Option<u8>, header: bool) -> Result<Option<CsvShape>, Error> {
    let bom = if text.starts_with(b"\xef\xbb\xbf") { 3 } else { 0 };
    let mut start = bom;
    let mut line = 1;
    // Blank lines before the header.
    while let Some(rest) = text.get(start..) {
        match rest {
            [b'\n', ..] => (start, line) = (start + 1, line + 1),
            [b'\r', b'\n', ..] => (start, line) = (start + 2, line + 1),
            _ => break,
        }
    }
    if start >= text.len() {
        return Ok(None);
    }
    let delimiter = delimiter.unwrap_or_else(|| likely_delimiter(&text[start..]));
    let mut fields = Vec::new();
    let end = match record(text, start, delimiter, &mut fields) {
        Record::Whole(end) => end,
        Record::Broken(why, _) => return Err(Error::data(format!("line {line}: {why} in the header"))),
        Record::Open => return Err(Error::data(format!("line {line}: a quote in the header is never closed"))),
    };
    let mut scratch = Vec::new();
    let mut names = Vec::with_capacity(fields.len());
    for (at, field) in fields.iter().enumerate() {
        names.push(match header {
            false => format!("column_{}", at + 1),
            true => match std::str::from_utf8(unquoted(text, *field, &mut scratch)) {
                Ok(name) => name.trim().to_string(),
                Err(_) => return Err(Error::data(format!("line {line}: the header is not UTF-8 text"))),
            },
        });
    }
    let (body, body_line) = match header {
        true => (end, line + lines(&text[start..end])),
        false => (start, line),
    };
    Ok(Some(CsvShape { delimiter, names, body: body as u64, body_line }))
}

/// The delimiter that splits the first lines into the same number of fields, the most of them.
fn likely_delimiter(text: &[u8]) -> u8 {
    let mut fields = Vec::new();
    let mut best = (1, b',');
    for delimiter in [b',', b'\t', b';', b'|'] {
        let (mut at, mut counts) = (0, Vec::new());
        while counts.len() < 5 && at < text.len() {
            match record(text, at, delimiter, &mut fields) {
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
    while at < text.len() && rows < most {
        let next = match record(text, at, shape.delimiter, &mut fields) {
            Record::Whole(next) => next,
            Record::Broken(_, next) => {
                at = next;
                continue;
            }
            Record::Open => break,
        };
        at = next;
        if fields.len() != shape.names.len() {
            continue;
        }
        let mut scratches = vec![Vec::new(); fields.len()];
        let values: Option<Vec<Option<&str>>> = fields
            .iter()
            .zip(&mut scratches)
            .map(|(field, scratch)| {
                let value = std::str::from_utf8(unquoted(text, *field, scratch)).ok()?;
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

/// Where each column of the table is in the records of one source.
#[derive(Debug, Clone)]
pub struct Places {
    delimiter: u8,
    fields: usize,
    /// Field of each column; `None` for constants and what the source lacks.
    places: Vec<Option<usize>>,
}

impl Places {
    /// Finds the columns of the layout in a source.
    pub fn of(layout: &Layout, shape: &CsvShape) -> Self {
        let mut by_name: HashMap<&str, usize> = HashMap::new();
        for (at, name) in shape.names.iter().enumerate() {
            by_name.entry(name).or_insert(at);
        }
        let place = |origin: &Origin| match origin {
            Origin::Source(from) => match position(from) {
                Some(place) => Some(place).filter(|place| *place < shape.names.len()),
                None => by_name.get(from.as_str()).copied(),
            },
            Origin::Constant(_) | Origin::Missing => None,
        };
        Self {
            delimiter: shape.delimiter,
            fields: shape.names.len(),
            places: layout.columns.iter().map(|c| place(&c.origin)).collect(),
        }
    }
}

/// Reads a block of whole records, the first of which is in line `first_line`.
pub fn decode(text: &[u8], first_line: u64, places: &Places, layout: &Layout) -> Result<Decoded> {
    let mut cells: Vec<Option<(usize, Cells)>> = Vec::with_capacity(layout.columns.len());
    for (column, place) in layout.columns.iter().zip(&places.places) {
        cells.push(match place {
            Some(place) => Some((
                *place,
                Cells::new(&column.data_type, column.time.as_ref())
                    .ok_or_else(|| Error::data(format!("column '{}' cannot be read from CSV", column.name)))?,
            )),
            None => None,
        });
    }
    // One check for all is much cheaper than one for each field.
    let clean = std::str::from_utf8(text).is_ok();
    let mut reader = Reader { text, places, layout, cells, clean, scratch: Vec::new(), rows: 0 };
    let mut rejects = Vec::new();
    let mut fields = Vec::with_capacity(places.fields);
    let (mut at, mut line, mut read) = (0, first_line, 0);
    while at < text.len() {
        let (next, outcome) = match record(text, at, places.delimiter, &mut fields) {
            Record::Whole(next) => {
                let blank = fields.len() == 1 && !fields[0].quoted && fields[0].from == fields[0].until;
                if blank { (next.max(at + 1), None) } else { (next, Some(reader.row(&fields, at..next))) }
            }
            Record::Broken(why, next) => (next, Some(Err(Problem::of_row(why)))),
            Record::Open => {
                let next = memchr(b'\n', &text[at..]).map_or(text.len(), |found| at + found + 1);
                (next, Some(Err(Problem::of_row("a quote is never closed"))))
            }
        };
        let raw = &text[at..next];
        if let Some(outcome) = outcome {
            read += 1;
            if let Err(problem) = outcome {
                rejects.push(Reject {
                    line,
                    column: problem.column.map(|at| layout.columns[at].name.clone()),
                    what: problem.what,
                    value: problem.value,
                    user: problem.user,
                    row: kept(raw),
                });
            }
        }
        // A record that is one line is the usual case.
        line += if raw.last() == Some(&b'\n') && fields.iter().all(|f| !f.quoted) { 1 } else { lines(raw) };
        at = next;
    }
    let rows = reader.rows;
    let mut columns: Vec<ArrayRef> = Vec::with_capacity(layout.columns.len());
    for (column, cells) in layout.columns.iter().zip(reader.cells) {
        columns.push(match cells {
            Some((_, cells)) => cells.finish()?,
            None => same_everywhere(column, rows)?,
        });
    }
    Ok(Decoded { batch: batch(layout, columns)?, rejects, unseen: OfBlock::new(), rows: read })
}

struct Problem {
    what: &'static str,
    column: Option<usize>,
    value: Option<String>,
    user: Option<String>,
}

impl Problem {
    fn of_row(what: &'static str) -> Self {
        Self { what, column: None, value: None, user: None }
    }
}

struct Reader<'a> {
    text: &'a [u8],
    places: &'a Places,
    layout: &'a Layout,
    cells: Vec<Option<(usize, Cells)>>,
    /// Whether the whole block is UTF-8.
    clean: bool,
    scratch: Vec<u8>,
    rows: usize,
}

impl Reader<'_> {
    /// Takes a row in, or none of it.
    fn row(&mut self, fields: &[Field], raw: std::ops::Range<usize>) -> Result<(), Problem> {
        if fields.len() != self.places.fields {
            let what = if fields.len() < self.places.fields { "too few fields" } else { "too many fields" };
            let value = format!("{} in place of {}", fields.len(), self.places.fields);
            return Err(Problem { value: Some(value), ..Problem::of_row(what) });
        }
        if !self.clean && std::str::from_utf8(&self.text[raw]).is_err() {
            return Err(Problem { user: self.user(fields), ..Problem::of_row("not UTF-8 text") });
        }
        for at in 0..self.cells.len() {
            let Some((place, cells)) = &mut self.cells[at] else { continue };
            let field = fields[*place];
            let value = unquoted(self.text, field, &mut self.scratch);
            let null = match value.is_empty() {
                // A text may be empty where the source says so with quotes; nobody is called like that, though.
                true => !field.quoted || at == self.layout.user || !is_text(&self.layout.columns[at].data_type),
                false => !self.layout.nulls.is_empty() && self.layout.nulls.iter().any(|n| n.as_bytes() == value),
            };
            let fault: Fault = match null {
                true if at == self.layout.user || at == self.layout.time => IS_NULL,
                true => {
                    cells.push_null();
                    continue;
                }
                false => match cells.push(value) {
                    Ok(()) => continue,
                    Err(fault) => fault,
                },
            };
            let value = (!null).then(|| shortened(&String::from_utf8_lossy(value), 1000));
            for cells in self.cells[..at].iter_mut().flatten() {
                cells.1.truncate(self.rows);
            }
            return Err(Problem { what: fault.0, column: Some(at), value, user: self.user(fields) });
        }
        self.rows += 1;
        Ok(())
    }

    /// The row's user as it stands there.
    fn user(&mut self, fields: &[Field]) -> Option<String> {
        let field = fields.get(self.places.places[self.layout.user]?)?;
        let value = unquoted(self.text, *field, &mut self.scratch);
        (!value.is_empty()).then(|| String::from_utf8_lossy(value).trim().to_string())
    }
}

/// The records of a text as they stand there, broken ones cut after their first line.
#[cfg(test)]
pub fn raw_records(text: &[u8], delimiter: u8) -> Vec<&[u8]> {
    let mut fields = Vec::new();
    let mut found = Vec::new();
    let mut at = 0;
    while at < text.len() {
        let next = match record(text, at, delimiter, &mut fields) {
            Record::Whole(next) | Record::Broken(_, next) => next,
            Record::Open => memchr(b'\n', &text[at..]).map_or(text.len(), |found| at + found + 1),
        };
        found.push(&text[at..next]);
        at = next;
    }
    found
}

#[cfg(test)]
mod tests {
    use arrow::util::display::{ArrayFormatter, FormatOptions};
    use proptest::prelude::*;

    use super::super::columns::{Shape, Wishes};
    use super::super::infer::Seen;
    use super::super::mapping::Mapping;
    use super::*;

    fn layout(text: &str, mapping: &str) -> (Layout, CsvShape) {
        let found = shape(text.as_bytes(), None, true).unwrap().unwrap();
        let mut columns: Vec<(String, Seen)> = found.names.iter().map(|n| (n.clone(), Seen::default())).collect();
        sample(text.as_bytes(), &found, 100, |values| {
            for ((_, seen), value) in columns.iter_mut().zip(values) {
                match value {
                    Some(value) => seen.plain(value),
                    None => seen.null(),
                }
            }
        });
        let shapes = [Shape { source: "a.csv".into(), columns, by_position: true, whole: true }];
        (Layout::of(&shapes, &Mapping::parse(mapping).unwrap(), &Wishes::default(), None).unwrap(), found)
    }

    fn decoded(sample: &str, mapping: &str, text: &[u8]) -> Decoded {
        let (layout, shape) = layout(sample, mapping);
        decode(text, 10, &Places::of(&layout, &shape), &layout).unwrap()
    }

    fn shown(decoded: &Decoded) -> Vec<String> {
        let options = FormatOptions::default().with_null("NULL");
        let formatters: Vec<_> =
            decoded.batch.columns().iter().map(|c| ArrayFormatter::try_new(c.as_ref(), &options).unwrap()).collect();
        let row = |row| formatters.iter().map(|f| f.value(row).to_string()).collect::<Vec<_>>().join("|");
        (0..decoded.batch.num_rows()).map(row).collect()
    }

    const SAMPLE: &str = "user_id,ts,event,price\n1,2024-01-31 12:00:00,view,2.5\n2,2024-01-31 12:00:00,buy,3\n";

    #[test]
    fn rows_and_what_is_wrong_with_them() {
        let text = b"1,2024-01-31,view,1\r\n\
            2,2024-01-31,\"a \"\"b\"\"\n,c\",\r\n\
            \n\
            x,2024-01-31,view,1\n\
            3,soon,view,1\n\
            4,2024-01-31,view,much\n\
            ,2024-01-31,view,1\n\
            5,2024-01-31,view\n\
            6,2024-01-31,view,1,2\n\
            7,2024-01-31,\"vi\"ew,1\n\
            8,2024-01-31,vi\xffew,1\n\
            9,2024-01-31,\"view,1\n\
            10,2024-01-31,view,1";
        let decoded = decoded(SAMPLE, "", text);
        assert_eq!(
            shown(&decoded),
            [
                "1|2024-01-31T00:00:00Z|view|1.0",
                "2|2024-01-31T00:00:00Z|a \"b\"\n,c|NULL",
                "10|2024-01-31T00:00:00Z|view|1.0"
            ]
        );
        let faults: Vec<(u64, String)> = decoded.rejects.iter().map(|r| (r.line, r.reason())).collect();
        let expected = [
            (14, "user_id: 'x' is not a whole number"),
            (15, "ts: 'soon' is not a time of the column's format"),
            (16, "price: 'much' is not a number"),
            (17, "user_id is NULL"),
            (18, "too few fields: 3 in place of 4"),
            (19, "too many fields: 5 in place of 4"),
            (20, "text after a closing quote"),
            (21, "not UTF-8 text"),
            (22, "a quote is never closed"),
        ];
        assert_eq!(faults, expected.map(|(line, reason)| (line, reason.to_string())));
        assert_eq!(decoded.rejects[2].user.as_deref(), Some("4"));
        assert_eq!(decoded.rejects[2].row, "4,2024-01-31,view,much");
        assert_eq!(decoded.rows, 12);
    }

    #[test]
    fn headers_and_delimiters() {
        let of = |text: &str| shape(text.as_bytes(), None, true).unwrap().unwrap();
        let bom = of("\u{feff}a;b;c\n1;2,5;3\n");
        assert_eq!((bom.delimiter, bom.names, bom.body), (b';', vec!["a".to_string(), "b".into(), "c".into()], 9));
        assert_eq!(of("\n\na\tb\n1\t2\n").delimiter, b'\t');
        assert_eq!(of("\n\na\tb\n1\t2\n").body_line, 4);
        assert_eq!(of("only\n1\n").delimiter, b',');
        assert_eq!(of("\"a,b\"|c\n\"1,2\"|3\n").names, ["a,b", "c"]);
        assert!(shape(b"", None, true).unwrap().is_none());
        let bare = shape(b"1,2\n3,4\n", None, false).unwrap().unwrap();
        assert_eq!((bare.names, bare.body), (vec!["column_1".to_string(), "column_2".into()], 0));
        assert!(shape(b"a,\"b\n1,2\n", Some(b','), true).is_err());
    }

    #[test]
    fn columns_are_mapped_and_nulls_are_told() {
        let mapping = "null = ['-']\ndrop = ['#4']\n[columns]\nplace = '#3'\nos = { constant = 'ios' }\nevent = { constant = 'visit' }";
        let sample = "user_id,ts,x,x\n1,2024-01-31,home,1\n";
        let decoded = decoded(sample, mapping, b"1,2024-01-31,home,9\n2,2024-01-31,-,9\n3,2024-01-31,\"\",9\n");
        assert_eq!(
            shown(&decoded),
            [
                "1|2024-01-31T00:00:00Z|home|visit|ios",
                "2|2024-01-31T00:00:00Z|NULL|visit|ios",
                "3|2024-01-31T00:00:00Z||visit|ios"
            ]
        );
    }

    proptest! {
        /// Another reader of CSV sees the same fields.
        #[test]
        fn fields_are_those_of_another_reader(rows in proptest::collection::vec(proptest::collection::vec("[a,\"\r\n é]{0,6}", 3), 1..8)) {
            let mut writer = ::csv::WriterBuilder::new().from_writer(Vec::new());
            for row in &rows {
                writer.write_record(row).unwrap();
            }
            let text = writer.into_inner().unwrap();
            let found = CsvShape { delimiter: b',', names: vec!["x".into(); 3], body: 0, body_line: 1 };
            let mut seen: Vec<Vec<String>> = Vec::new();
            sample(&text, &found, usize::MAX, |values| {
                seen.push(values.iter().map(|v| v.unwrap_or_default().to_string()).collect());
            });
            let mut reader = ::csv::ReaderBuilder::new().has_headers(false).from_reader(text.as_slice());
            let theirs: Vec<Vec<String>> =
                reader.records().map(|r| r.unwrap().iter().map(str::to_string).collect()).collect();
            prop_assert_eq!(&seen, &theirs);
            prop_assert_eq!(seen, rows);
        }
    }
}
