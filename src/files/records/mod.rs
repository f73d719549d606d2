//! Records of other systems as rows: nested values to columns, lists to rows, several events of one record.
//!
//! Deals with: blocks of CSV and NDJSON in, rows as NDJSON out and from there through `ndjson`, with lines and texts of the
//! records in what is put aside. Does not deal with: how rules are written down (`ingest::preset`), types (`infer`, `cells`).
//!
//! ```text
//!  block ─▶ records ─▶ Rules: columns, kinds of rows ─▶ lines of flat JSON ─▶ ndjson::decode ─▶ rows
//!                └─ unknown shape ─▶ rejects        rejects, told with the record's own line ◀─┘
//! ```
//!
//! A record with rules that say so makes several rows, or none (a member of a mailing list who did nothing). One that is put aside by the rules makes
//! none; where one of its rows has a value that its column does not take, that row is put aside and the others stay.

mod looked;
pub mod path;
pub mod rules;
mod tree;

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::ops::Range;
use std::sync::Arc;

use memchr::memchr;

pub use self::looked::Looked;
use self::path::{Record, Scope};
use self::rules::{Aside, Reading, Rules, unnamed};
use self::tree::Tree;
use super::columns::Columns;
use super::csv::{CsvShape, Numbers, each_record};
use super::decoded::Decoded;
use super::ndjson::{self, Paths};
use super::reject::{NOT_UTF8, Reject, kept};
use crate::error::{Error, Result};

/// Rules for the records of one source.
#[derive(Debug, Clone)]
pub struct Shaper {
    rules: Arc<Rules>,
    nulls: Vec<String>,
    numbers: Option<Numbers>,
    named: HashSet<String>,
    /// Places of the fields of CSV.
    places: HashMap<String, usize>,
    names: Vec<String>,
}

/// The rows of a block, and what was put aside of it.
#[derive(Debug, Default)]
pub struct Shaped {
    /// The rows, an object a line.
    pub text: Vec<u8>,
    /// The record of each row: its line, and where it stands in the block.
    from: Vec<(u64, Range<usize>)>,
    /// Records that were put aside.
    pub rejects: Vec<Reject>,
    /// Records.
    pub records: usize,
}

impl Shaper {
    /// For a source that is written so; the error says what it lacks.
    pub fn new(rules: &Arc<Rules>, nulls: &[String], source: &str, csv: Option<&CsvShape>) -> Result<Self> {
        let names = csv.map(|csv| csv.names.clone()).unwrap_or_default();
        let places: HashMap<String, usize> = names.iter().cloned().enumerate().map(|(at, name)| (name, at)).collect();
        let shaper = Self {
            rules: Arc::clone(rules),
            nulls: nulls.to_vec(),
            numbers: csv.and_then(|csv| csv.numbers),
            named: unnamed(rules),
            places,
            names,
        };
        if csv.is_some() {
            shaper.check_header(source)?;
        }
        Ok(shaper)
    }

    /// A CSV source has all that records need in its header.
    fn check_header(&self, source: &str) -> Result<()> {
        let fields = self.names.iter().map(|name| (Cow::Borrowed(name.as_str()), Tree::Null)).collect();
        let record = Record { fields, places: Some(&self.places) };
        let scope = Scope { record: &record, item: None, name: None };
        let missing = self.rules.needs.iter().find(|ways| !ways.iter().any(|way| way.find(scope).is_some()));
        let Some(ways) = missing else { return Ok(()) };
        let names: Vec<String> = ways.iter().map(|way| format!("'{}'", way.text)).collect();
        Err(self.rules.other_file(source, &format!("it has no column {}", names.join(" or "))))
    }

    /// The rows of whole records, the first of which is in line `first`.
    pub fn shape(&self, text: &[u8], first: u64, csv: Option<&CsvShape>) -> Shaped {
        let mut shaped = Shaped::default();
        match csv {
            Some(csv) => each_record(text, first, csv, |found| {
                let place = found.raw.as_ptr() as usize - text.as_ptr() as usize;
                let range = place..place + found.raw.len();
                let value =
                    |field: Option<Cow<'_, str>>| field.map_or(Tree::Null, |text| Tree::Text(text.into_owned().into()));
                let names = self.names.iter().map(|name| Cow::Borrowed(name.as_str()));
                let fields = names.zip(found.fields.into_iter().map(value)).collect();
                let record = Record { fields, places: Some(&self.places) };
                let wrong = found.wrong.map(|(what, value)| Aside { column: None, what, value });
                self.take(&mut shaped, &record, wrong, found.line, found.raw, range);
            }),
            None => self.lines(text, first, &mut shaped),
        }
        shaped
    }

    fn lines(&self, text: &[u8], first: u64, shaped: &mut Shaped) {
        let (mut at, mut line) = (0, first);
        while at < text.len() {
            let next = memchr(b'\n', &text[at..]).map_or(text.len(), |found| at + found + 1);
            let raw = &text[at..next];
            if !raw.trim_ascii().is_empty() {
                let aside = |what| Some(Aside { column: None, what, value: None });
                let (fields, wrong) = match std::str::from_utf8(raw).map(Tree::parse) {
                    Err(_) => (Vec::new(), aside(NOT_UTF8)),
                    Ok(Err(broken)) => (Vec::new(), aside(broken)),
                    Ok(Ok(Tree::Object(_, fields))) => (fields, None),
                    Ok(Ok(_)) => (Vec::new(), aside("the line is no JSON object")),
                };
                let record = Record { fields, places: None };
                self.take(shaped, &record, wrong, line, raw, at..next);
            }
            (at, line) = (next, line + 1);
        }
    }

    fn take(
        &self,
        shaped: &mut Shaped,
        record: &Record<'_>,
        wrong: Option<Aside>,
        line: u64,
        raw: &[u8],
        range: Range<usize>,
    ) {
        shaped.records += 1;
        let reading = Reading { nulls: &self.nulls, numbers: self.numbers };
        let made = match wrong {
            Some(wrong) => Err(wrong),
            None => self.rules.rows(record, &self.named, reading, &mut shaped.text),
        };
        match made {
            Ok(rows) => shaped.from.extend(std::iter::repeat_n((line, range), rows)),
            Err(Aside { column, what, value }) => {
                let user = self.rules.user_of(record, reading);
                shaped.rejects.push(Reject { line, column, what, value, user, row: kept(raw) });
            }
        }
    }

    /// The rows of a block as the columns of the table.
    pub fn decode(&self, text: &[u8], first: u64, csv: Option<&CsvShape>, layout: &Columns) -> Result<Decoded> {
        let Shaped { text: rows, from, mut rejects, .. } = self.shape(text, first, csv);
        let put_aside = rejects.len() as u64;
        let mut decoded = ndjson::decode(&rows, 1, &self.paths(), layout)?;
        for mut reject in std::mem::take(&mut decoded.rejects) {
            let at = usize::try_from(reject.line).unwrap_or(usize::MAX).wrapping_sub(1);
            let (line, range) = from.get(at).ok_or_else(|| Error::internal("ingest: a row without a record"))?;
            reject.line = *line;
            reject.row = kept(&text[range.clone()]);
            rejects.push(reject);
        }
        rejects.sort_by_key(|reject| reject.line);
        decoded.rejects = rejects;
        decoded.rows += put_aside;
        Ok(decoded)
    }

    /// Names of the columns: none of them is a path.
    pub fn paths(&self) -> Paths {
        Paths::new(self.columns().map(str::to_string).collect())
    }

    /// Names of the columns.
    pub fn columns(&self) -> impl Iterator<Item = &str> {
        self.rules.columns.iter().map(|column| column.name.as_str())
    }

    /// Records of which not one is what the rules are for.
    pub fn nothing_known(&self, source: &str, records: usize, first: &str) -> Error {
        let of = if records == 1 { "its only record is" } else { &format!("none of the first {records} records is") };
        self.rules.other_file(source, &format!("{of}: {first}"))
    }
}

impl Rules {
    /// A file that these rules are not for.
    pub fn other_file(&self, source: &str, why: &str) -> Error {
        Error::data(format!(
            "'{source}' is not what the preset '{}' reads: {why}; it expects {} ({}: {})",
            self.name,
            self.title,
            self.format.name(),
            self.reads
        ))
        .hint("tenure presets lists the presets; with a name it shows what that one reads")
    }
}
