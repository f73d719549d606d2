//! Delimited text: records, and the columns in them.
//!
//! Deals with: quotes, escapes, line ends, delimiters, cutting a stream between records; below it what comes before the rows (`preamble`,
//! `shape`, `survey`) and reading a block of records (`decode`).
//! Does not deal with: opening files (`source`), or types (`cells`).
//!
//! Fields are as RFC 4180 has them: a field that begins with a quote ends with one, holds delimiters and line ends, and doubles
//! its quotes; elsewhere a quote is a character. A record whose quotes make no sense (one never closed, text after a closing
//! one) is put aside up to the end of its first line, so that a stray quote costs a row and not the rest of the file.

mod decode;
mod preamble;
mod records;
mod shape;
mod survey;

use memchr::{memchr, memchr_iter, memrchr};

pub use decode::{Places, decode};
pub use records::each_record;
pub use shape::{CsvOptions, CsvShape, Numbers, sample, shape};

/// Which characters have a meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dialect {
    /// Between fields.
    pub delimiter: u8,
    /// Around fields that hold delimiters or line ends.
    pub quote: Option<u8>,
    /// Before a character that has no meaning then.
    pub escape: Option<u8>,
    /// After records: a line feed, or the carriage return of old Macs.
    pub line_end: u8,
}

impl Default for Dialect {
    fn default() -> Self {
        Self { delimiter: b',', quote: Some(b'"'), escape: None, line_end: b'\n' }
    }
}

/// A record longer than this is one whose quote is never closed.
pub const LONGEST_RECORD: usize = 32 << 20;

/// A field of the current record.
#[derive(Debug, Clone, Copy)]
struct Field {
    from: usize,
    until: usize,
    quoted: bool,
    /// Whether its text is not what stands there: it has doubled quotes or escapes.
    marked: bool,
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
fn record(text: &[u8], from: usize, dialect: Dialect, fields: &mut Vec<Field>) -> Record {
    fields.clear();
    let Dialect { delimiter, quote, escape, line_end } = dialect;
    let after_line = || memchr(line_end, &text[from..]).map_or(text.len(), |at| from + at + 1);
    let mut at = from;
    loop {
        if quote.is_some() && text.get(at).copied() == quote {
            let begin = at + 1;
            let (end, marked) = match closing(text, begin, dialect) {
                Some(found) => found,
                None => return Record::Open,
            };
            fields.push(Field { from: begin, until: end, quoted: true, marked });
            match &text[end + 1..] {
                [] => return Record::Whole(end + 1),
                [next, ..] if *next == line_end => return Record::Whole(end + 2),
                [b'\r', b'\n', ..] => return Record::Whole(end + 3),
                [b'\r'] => return Record::Whole(end + 2),
                [next, ..] if *next == delimiter => at = end + 2,
                _ => return Record::Broken("text after a closing quote", after_line()),
            }
            continue;
        }
        let begin = at;
        let mut marked = false;
        while at < text.len() && text[at] != delimiter && text[at] != line_end {
            if escape.is_some() && Some(text[at]) == escape {
                marked = true;
                at += 1;
            }
            at += 1;
        }
        at = at.min(text.len());
        let ended = text.get(at).copied();
        let until = match ended {
            // A line end of two characters.
            _ if ended.is_some_and(|e| e == delimiter) => at,
            _ if at > begin && text[at - 1] == b'\r' => at - 1,
            _ => at,
        };
        fields.push(Field { from: begin, until, quoted: false, marked });
        match ended {
            None => return Record::Whole(at),
            Some(byte) if byte == line_end => return Record::Whole(at + 1),
            Some(_) => at += 1,
        }
    }
}

/// Where the quote stands that closes a field, and whether there are doubled or escaped characters before it.
fn closing(text: &[u8], begin: usize, dialect: Dialect) -> Option<(usize, bool)> {
    let quote = dialect.quote?;
    let (mut at, mut marked) = (begin, false);
    loop {
        let found = match dialect.escape {
            None => at + memchr(quote, text.get(at..)?)?,
            Some(escape) => at + memchr::memchr2(quote, escape, text.get(at..)?)?,
        };
        if text[found] != quote {
            // Escaped, whatever it is.
            (at, marked) = (found + 2, true);
        } else if text.get(found + 1) == Some(&quote) {
            (at, marked) = (found + 2, true);
        } else {
            return Some((found, marked));
        }
    }
}

/// How much of `text` consists of whole records; with `last`, nothing follows and all of it does. 0 asks for more text.
pub fn whole_records(text: &[u8], dialect: Dialect, last: bool) -> usize {
    if last {
        return text.len();
    }
    let end = dialect.line_end;
    if dialect.escape.is_none() && dialect.quote.is_none_or(|quote| memchr(quote, text).is_none()) {
        return memrchr(end, text).map_or(0, |at| at + 1);
    }
    let mut fields = Vec::new();
    let mut whole = 0;
    while whole < text.len() {
        match record(text, whole, dialect, &mut fields) {
            // Without a line end more of it may follow.
            Record::Whole(next) if next < text.len() || text[next - 1] == end => whole = next,
            Record::Broken(_, next) if next < text.len() || text[next - 1] == end => whole = next,
            Record::Open if text.len() - whole > LONGEST_RECORD => match memchr(end, &text[whole..]) {
                Some(at) => whole += at + 1,
                None => break,
            },
            _ => break,
        }
    }
    whole
}

/// Line ends in a text.
pub fn lines(text: &[u8], line_end: u8) -> u64 {
    memchr_iter(line_end, text).count() as u64
}

/// A field's text, its doubled and escaped characters made single in `scratch`.
fn unquoted<'a>(text: &'a [u8], field: Field, dialect: Dialect, scratch: &'a mut Vec<u8>) -> &'a [u8] {
    let raw = &text[field.from..field.until];
    if !field.marked {
        return raw;
    }
    scratch.clear();
    let mut held = false;
    for &byte in raw {
        let marks = Some(byte) == dialect.escape || (field.quoted && Some(byte) == dialect.quote);
        held = marks && !held;
        if !held {
            scratch.push(byte);
        }
    }
    scratch
}

/// The records of a text as they stand there, broken ones cut after their first line.
#[cfg(test)]
pub fn raw_records(text: &[u8], dialect: Dialect) -> Vec<&[u8]> {
    let mut fields = Vec::new();
    let mut found = Vec::new();
    let mut at = 0;
    while at < text.len() {
        let next = match record(text, at, dialect, &mut fields) {
            Record::Whole(next) | Record::Broken(_, next) => next,
            Record::Open => memchr(dialect.line_end, &text[at..]).map_or(text.len(), |found| at + found + 1),
        };
        found.push(&text[at..next]);
        at = next;
    }
    found
}
