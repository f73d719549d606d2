//! What stands before the header of a CSV file: blank lines, comments, a title, Excel's `sep=;`.
//!
//! Deals with: where the header begins. Does not deal with: what it says (`shape`).
//!
//! Exports of Google Analytics begin with lines of `#`, spreadsheets with a title and a blank line, Excel's with `sep=;`. A line is
//! passed over only where it cannot be the header: a `#` line that splits into as many fields as the line behind it is one.

use memchr::memchr;

use super::shape::likely_delimiter;
use super::{CsvOptions, Dialect, Record, record};

/// Where the header begins.
pub struct Begin {
    /// Its first byte.
    pub start: usize,
    /// Its line, from 1.
    pub line: u64,
    /// The delimiter, where it was said.
    pub delimiter: Option<u8>,
}

/// Finds the header; `None` where nothing follows the preamble.
pub fn passed_over(text: &[u8], dialect: Dialect, options: &CsvOptions) -> Option<Begin> {
    let mut begin = Begin { start: 0, line: 1, delimiter: options.delimiter };
    if text.starts_with(b"\xef\xbb\xbf") {
        begin.start = 3;
    }
    for _ in 0..options.skip {
        begin.pass(text, dialect);
    }
    // An empty field in quotes may be a header, blank lines are not.
    while begin.start < text.len() {
        let line = line_at(text, begin.start, dialect);
        let is_blank = line.trim_ascii().is_empty();
        let comment = options.comment.is_some() && line.first().copied() == options.comment;
        let said = separator(line);
        if let Some(said) = said.filter(|_| begin.delimiter.is_none()) {
            begin.delimiter = Some(said);
        }
        let hash = options.comment.is_none() && options.header && line.first() == Some(&b'#');
        let passed = is_blank
            || comment
            || said.is_some()
            || (hash && is_preamble(text, begin.start, dialect, begin.delimiter))
            || (options.header && is_title(text, begin.start, dialect, begin.delimiter));
        if !passed {
            return Some(begin);
        }
        begin.pass(text, dialect);
    }
    None
}

impl Begin {
    fn pass(&mut self, text: &[u8], dialect: Dialect) {
        self.start = next_line(text, self.start, dialect);
        self.line += 1;
    }
}

fn next_line(text: &[u8], from: usize, dialect: Dialect) -> usize {
    memchr(dialect.line_end, text.get(from..).unwrap_or_default()).map_or(text.len(), |at| from + at + 1)
}

fn line_at(text: &[u8], from: usize, dialect: Dialect) -> &[u8] {
    let line = &text[from..next_line(text, from, dialect)];
    let line = line.strip_suffix(&[dialect.line_end]).unwrap_or(line);
    line.strip_suffix(b"\r").unwrap_or(line)
}

/// What `sep=;` says.
fn separator(line: &[u8]) -> Option<u8> {
    let line = line.strip_prefix(b"\"").and_then(|rest| rest.strip_suffix(b"\"")).unwrap_or(line);
    match line {
        [s, e, p, b'=', separator] if [*s, *e, *p].eq_ignore_ascii_case(b"sep") => Some(*separator),
        _ => None,
    }
}

/// Whether a line that begins with `#` is followed by others, the first of which has another number of fields.
fn is_preamble(text: &[u8], from: usize, dialect: Dialect, delimiter: Option<u8>) -> bool {
    let mut rest = next_line(text, from, dialect);
    while rest < text.len() && line_at(text, rest, dialect).trim_ascii().is_empty() {
        rest = next_line(text, rest, dialect);
    }
    if rest >= text.len() {
        return false;
    }
    if text[rest] == b'#' {
        return true;
    }
    let dialect =
        Dialect { delimiter: delimiter.unwrap_or_else(|| likely_delimiter(&text[rest..], dialect)), ..dialect };
    fields(text, from, dialect) != fields(text, rest, dialect)
}

/// Whether a line is one text, with a blank line and then several fields behind it.
fn is_title(text: &[u8], from: usize, dialect: Dialect, delimiter: Option<u8>) -> bool {
    let mut table = next_line(text, from, dialect);
    if table >= text.len() || !line_at(text, table, dialect).trim_ascii().is_empty() {
        return false;
    }
    let passed = |line: &[u8]| line.trim_ascii().is_empty() || line[0] == b'#';
    while table < text.len() && passed(line_at(text, table, dialect)) {
        table = next_line(text, table, dialect);
    }
    if table >= text.len() {
        return false;
    }
    let dialect =
        Dialect { delimiter: delimiter.unwrap_or_else(|| likely_delimiter(&text[table..], dialect)), ..dialect };
    fields(text, from, dialect) == Some(1) && fields(text, table, dialect).is_some_and(|n| n > 1)
}

fn fields(text: &[u8], from: usize, dialect: Dialect) -> Option<usize> {
    let mut fields = Vec::new();
    matches!(record(text, from, dialect, &mut fields), Record::Whole(_)).then_some(fields.len())
}

#[cfg(test)]
mod tests {
    use super::super::shape;
    use super::*;

    fn header(text: &str) -> (String, u64) {
        let found = shape(text.as_bytes(), &CsvOptions::default()).unwrap().unwrap();
        (found.names.join("/"), found.body_line)
    }

    #[test]
    fn what_is_no_header_is_passed_over() {
        let table = "user_id,ts,event\n1,2024-05-01,view\n";
        for (preamble, line) in [
            ("# ----\n# All data, whole\n# 20240501-20240507\n# ----\n\n", 7),
            ("sep=,\n", 3),
            ("\"sep=,\"\r\n", 3),
            ("Weekly report\n\n", 4),
            ("Weekly report\n\n# made by hand\n\n", 6),
            ("\u{feff}\n", 3),
            ("", 2),
        ] {
            assert_eq!(header(&format!("{preamble}{table}")), ("user_id/ts/event".to_string(), line), "{preamble}");
        }
        assert_eq!(header("sep=;\na;b\n1;2,5\n").0, "a/b");
    }

    #[test]
    fn what_may_be_the_header_is_kept() {
        assert_eq!(header("#id,name\n1,x\n").0, "#id/name");
        assert_eq!(header("# id\n1\n2\n").0, "# id");
        assert_eq!(header("# about\n#id,name\n1,x\n").0, "#id/name");
        assert_eq!(header("id\n\n1\n\n2\n").0, "id");
        assert_eq!(header("#only\n").0, "#only");
        let comment = CsvOptions { comment: Some(b'%'), skip: 1, ..CsvOptions::default() };
        let found = shape(b"first\n% c\na,b\n% c\n1,2\n", &comment).unwrap().unwrap();
        assert_eq!((found.names, found.body_line), (vec!["a".to_string(), "b".into()], 4));
    }
}
