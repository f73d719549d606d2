//! What columns of a row are made of, and which rows a record makes.
//!
//! Deals with: the rules as they are once read, and a record's values by them. Does not deal with: how they are written down
//! (`ingest::preset`), or blocks of records (`records`).

use std::collections::{BTreeMap, HashSet};

use jiff::Timestamp;

use super::path::{Path, Record, Scope};
use super::tree::Tree;
use crate::files::csv::Numbers;
use crate::files::source::SourceFormat;
use crate::files::times::EpochUnit;

/// How the records of some system become rows.
#[derive(Debug, Clone)]
pub struct Rules {
    /// What it is called.
    pub name: String,
    /// What it is for, in a few words.
    pub title: String,
    /// What it reads.
    pub reads: String,
    /// How records are written.
    pub format: SourceFormat,
    /// Names of the fields where CSV has no header.
    pub names: Option<Vec<String>>,
    /// Fields that each record has, though they may be empty; of those in one list, one is enough.
    pub needs: Vec<Vec<Path>>,
    /// Columns, in the order of the table.
    pub columns: Vec<ColumnRule>,
    /// Rows that a record makes; one where there are none.
    pub kinds: Vec<Kind>,
    /// Fields of which no row is made, beside those that columns name.
    pub ignore: HashSet<String>,
    /// Where the user is among the columns.
    pub user: Option<usize>,
}

/// A column.
#[derive(Debug, Clone)]
pub struct ColumnRule {
    /// Its name.
    pub name: String,
    /// Whether it holds text.
    pub text: bool,
    /// Whether it holds numbers.
    pub number: bool,
    /// Where its values come from.
    pub make: Make,
    /// What is written in place of some texts; others stay as they are.
    pub words: BTreeMap<String, String>,
    /// What stands for a missing value.
    pub default: Option<String>,
    /// Whether a number counts from 1970 on a local clock, and in which unit.
    pub clock: Option<EpochUnit>,
}

/// Where values come from.
#[derive(Debug, Clone)]
pub enum Make {
    /// The first of these that has a value.
    First(Vec<Path>),
    /// All of these, one after the other; nothing where one is missing.
    Join(Vec<Part>),
    /// A list of objects with a key and a value each, as one JSON object.
    Pairs { list: Path, key: String, values: Vec<Path> },
    /// The fields that no column names, as one JSON object.
    Others,
    /// The same text in all rows.
    Constant(String),
}

/// A part of a joined text.
#[derive(Debug, Clone)]
pub enum Part {
    /// A value of the record.
    Path(Path),
    /// A text.
    Text(String),
}

/// Rows of one kind.
#[derive(Debug, Clone)]
pub struct Kind {
    /// When a record makes them.
    pub when: Vec<(Path, Wanted)>,
    /// How many.
    pub each: Each,
    /// Columns that differ from those of all rows, by their place.
    pub columns: Vec<(usize, ColumnRule)>,
}

/// What a field must be.
#[derive(Debug, Clone)]
pub enum Wanted {
    /// One of these texts.
    Is(Vec<String>),
    /// Whether it has a value.
    Present(bool),
}

/// Rows of a kind that a record makes.
#[derive(Debug, Clone)]
pub enum Each {
    /// One.
    Once,
    /// One for each field that has a value and that neither a column nor `ignore` names.
    Field,
    /// One for each item of a list.
    Item(Path),
}

/// Why a record is put aside: the field, what is wrong with it, its value.
#[derive(Debug, PartialEq, Eq)]
pub struct Aside {
    /// The field or column.
    pub column: Option<String>,
    /// The rest of a sentence about it.
    pub what: &'static str,
    /// The value at fault.
    pub value: Option<String>,
}

impl Aside {
    fn of(column: &str, what: &'static str, value: Option<&str>) -> Self {
        Self { column: Some(column.into()), what, value: value.map(Into::into) }
    }
}

/// How values are written in a source.
#[derive(Debug, Clone, Copy)]
pub struct Reading<'a> {
    /// Texts that mean NULL, beside the empty one.
    pub nulls: &'a [String],
    /// How numbers are written, where not as `1234.5`.
    pub numbers: Option<Numbers>,
}

impl Reading<'_> {
    /// The value, unless it is nothing.
    fn value<'t>(&self, found: Option<&'t Tree<'t>>) -> Option<&'t Tree<'t>> {
        found.filter(|value| match value {
            Tree::Null => false,
            Tree::Text(text) => !text.is_empty() && !self.nulls.iter().any(|null| *null == **text),
            Tree::Plain(_) | Tree::Object(_, _) | Tree::List(_, _) => true,
        })
    }
}

/// Fields of rows that columns do not name.
pub fn unnamed(rules: &Rules) -> HashSet<String> {
    let mut named = rules.ignore.clone();
    let all = rules.columns.iter().chain(rules.kinds.iter().flat_map(|kind| kind.columns.iter().map(|(_, c)| c)));
    let mut take = |path: &Path| {
        named.insert(path.text.clone());
        named.extend(path.first().map(str::to_string));
    };
    for column in all {
        match &column.make {
            Make::First(paths) => paths.iter().for_each(&mut take),
            Make::Join(parts) => parts.iter().for_each(|part| {
                if let Part::Path(path) = part {
                    take(path);
                }
            }),
            Make::Pairs { list, .. } => take(list),
            Make::Others | Make::Constant(_) => {}
        }
    }
    rules.kinds.iter().flat_map(|kind| &kind.when).for_each(|(path, _)| take(path));
    named
}

impl Rules {
    /// Writes the rows of a record to `text`, an object a line; says how many. Nothing is written of a record that is put aside.
    pub fn rows(
        &self,
        record: &Record<'_>,
        named: &HashSet<String>,
        reading: Reading<'_>,
        text: &mut Vec<u8>,
    ) -> Result<usize, Aside> {
        let scope = Scope { record, item: None, name: None };
        for ways in &self.needs {
            if !ways.iter().any(|way| way.find(scope).is_some()) {
                let names: Vec<&str> = ways.iter().map(|way| way.text.as_str()).collect();
                return Err(Aside::of(&names.join(" or "), "is not there, and the preset needs it", None));
            }
        }
        let begin = text.len();
        let made = self.kinds_of(scope, named, reading, text);
        if made.is_err() {
            text.truncate(begin);
        }
        made
    }

    fn kinds_of(
        &self,
        scope: Scope<'_>,
        named: &HashSet<String>,
        reading: Reading<'_>,
        text: &mut Vec<u8>,
    ) -> Result<usize, Aside> {
        if self.kinds.is_empty() {
            self.row(scope, None, named, reading, text)?;
            return Ok(1);
        }
        let (mut rows, mut any) = (0, false);
        for kind in self.kinds.iter().filter(|kind| kind.is_met(scope, reading)) {
            any = true;
            match &kind.each {
                Each::Once => {
                    self.row(scope, Some(kind), named, reading, text)?;
                    rows += 1;
                }
                Each::Field => {
                    for (name, value) in &scope.record.fields {
                        if named.contains(name.as_ref()) || reading.value(Some(value)).is_none() {
                            continue;
                        }
                        let name = Tree::Text(name.as_ref().into());
                        let scope = Scope { record: scope.record, item: Some(value), name: Some(&name) };
                        self.row(scope, Some(kind), named, reading, text)?;
                        rows += 1;
                    }
                }
                Each::Item(path) => match path.find(scope) {
                    None | Some(Tree::Null) => {}
                    Some(Tree::List(_, items)) => {
                        for item in items {
                            let scope = Scope { record: scope.record, item: Some(item), name: None };
                            self.row(scope, Some(kind), named, reading, text)?;
                            rows += 1;
                        }
                    }
                    Some(other) => return Err(Aside::of(&path.text, "is no list", other.shown())),
                },
            }
        }
        if !any {
            let Some((path, _)) = self.kinds.iter().find_map(|kind| kind.when.first()) else { return Ok(0) };
            let value = path.find(scope).and_then(Tree::shown);
            return Err(Aside::of(&path.text, "is no kind of record that the preset knows", value));
        }
        Ok(rows)
    }

    fn row(
        &self,
        scope: Scope<'_>,
        kind: Option<&Kind>,
        named: &HashSet<String>,
        reading: Reading<'_>,
        text: &mut Vec<u8>,
    ) -> Result<(), Aside> {
        text.push(b'{');
        for (at, column) in self.columns.iter().enumerate() {
            let own = kind.and_then(|kind| kind.columns.iter().find(|(place, _)| *place == at));
            let column = own.map_or(column, |(_, column)| column);
            let before = text.len();
            if text.last() != Some(&b'{') {
                text.push(b',');
            }
            push_text(&column.name, text);
            text.push(b':');
            // What is not there is NULL, and most columns of most rows are.
            if !column.write(scope, named, reading, text)? {
                text.truncate(before);
            }
        }
        text.extend_from_slice(b"}\n");
        Ok(())
    }

    /// The user of a record, where it can be told.
    pub fn user_of(&self, record: &Record<'_>, reading: Reading<'_>) -> Option<String> {
        let scope = Scope { record, item: None, name: None };
        let Make::First(paths) = &self.columns.get(self.user?)?.make else { return None };
        let found = paths.iter().find_map(|path| reading.value(path.find(scope)))?;
        found.shown().map(str::to_string)
    }
}

impl Kind {
    fn is_met(&self, scope: Scope<'_>, reading: Reading<'_>) -> bool {
        self.when.iter().all(|(path, wanted)| {
            let value = reading.value(path.find(scope));
            match wanted {
                Wanted::Present(present) => value.is_some() == *present,
                Wanted::Is(texts) => {
                    value.and_then(Tree::shown).is_some_and(|value| texts.iter().any(|text| text == value))
                }
            }
        })
    }
}

impl ColumnRule {
    /// Writes the value as JSON; false where there is none.
    fn write(
        &self,
        scope: Scope<'_>,
        named: &HashSet<String>,
        reading: Reading<'_>,
        text: &mut Vec<u8>,
    ) -> Result<bool, Aside> {
        let written = match &self.make {
            Make::Constant(constant) => {
                self.said(constant, text);
                true
            }
            Make::First(paths) => match paths.iter().find_map(|path| reading.value(path.find(scope))) {
                Some(value) => {
                    self.one(value, reading, text)?;
                    true
                }
                None => false,
            },
            Make::Join(parts) => {
                let shown: Option<String> = parts
                    .iter()
                    .map(|part| match part {
                        Part::Text(text) => Some(text.as_str()),
                        Part::Path(path) => reading.value(path.find(scope)).and_then(Tree::shown),
                    })
                    .collect();
                match shown {
                    Some(shown) => {
                        push_text(&shown, text);
                        true
                    }
                    None => false,
                }
            }
            Make::Pairs { list, key, values } => match list.find(scope) {
                None | Some(Tree::Null) => false,
                Some(Tree::List(_, items)) => {
                    push_text(&pairs(&list.text, items, key, values)?, text);
                    true
                }
                Some(other) => return Err(Aside::of(&list.text, "is no list of keys and values", other.shown())),
            },
            Make::Others => {
                let others = scope
                    .record
                    .fields
                    .iter()
                    .filter(|(name, value)| !named.contains(name.as_ref()) && reading.value(Some(value)).is_some());
                let mut object = Vec::new();
                push_object(others.map(|(name, value)| (name.as_ref(), value)), &mut object);
                if object == b"{}" {
                    false
                } else {
                    push_text(&String::from_utf8_lossy(&object), text);
                    true
                }
            }
        };
        match &self.default {
            Some(default) if !written => {
                self.said(default, text);
                Ok(true)
            }
            _ => Ok(written),
        }
    }

    /// Writes what the rules say themselves.
    fn said(&self, value: &str, text: &mut Vec<u8>) {
        // Texts among numbers would make the sample one of texts.
        if self.number && is_number(value) { text.extend_from_slice(value.as_bytes()) } else { push_text(value, text) }
    }

    fn one(&self, value: &Tree<'_>, reading: Reading<'_>, text: &mut Vec<u8>) -> Result<(), Aside> {
        if self.text {
            let shown = value.shown().unwrap_or_default();
            push_text(self.words.get(shown).map_or(shown, String::as_str), text);
            return Ok(());
        }
        let aside = |what| Err(Aside::of(&self.name, what, value.shown()));
        match value {
            Tree::Object(_, _) | Tree::List(_, _) => return aside("is not one value"),
            Tree::Text(_) | Tree::Plain(_) if self.clock.is_some() => {
                match self.clock.and_then(|unit| on_the_clock(value.shown()?, unit)) {
                    Some(shown) => push_text(&shown, text),
                    None => return aside("is no whole number of the clock's unit"),
                }
            }
            Tree::Null => {}
            Tree::Plain(plain) => text.extend_from_slice(plain.as_bytes()),
            Tree::Text(shown) => match reading.numbers.filter(|_| self.number) {
                None => self.said(shown, text),
                Some(numbers) => {
                    let mut plain = Vec::new();
                    if !numbers.plain(shown.as_bytes(), &mut plain) {
                        return aside("is not a number");
                    }
                    self.said(&String::from_utf8_lossy(&plain), text);
                }
            },
        }
        Ok(())
    }
}

/// A list of keys and values as a JSON object.
fn pairs(list: &str, items: &[Tree<'_>], key: &str, values: &[Path]) -> Result<String, Aside> {
    let mut met = HashSet::new();
    let mut found: Vec<(&str, &Tree<'_>)> = Vec::with_capacity(items.len());
    for item in items {
        let Some(name) = item.field(key).and_then(Tree::shown) else {
            return Err(Aside::of(list, "has no key", item.shown()));
        };
        if !met.insert(name) {
            return Err(Aside::of(list, "is a key that is there twice", Some(name)));
        }
        let value = values.iter().find_map(|way| way.within(item).filter(|value| **value != Tree::Null));
        found.push((name, value.unwrap_or(&Tree::Null)));
    }
    let mut object = Vec::new();
    push_object(found.into_iter(), &mut object);
    Ok(String::from_utf8_lossy(&object).into_owned())
}

fn push_object<'a>(fields: impl Iterator<Item = (&'a str, &'a Tree<'a>)>, out: &mut Vec<u8>) {
    out.push(b'{');
    for (at, (name, value)) in fields.enumerate() {
        if at > 0 {
            out.push(b',');
        }
        push_text(name, out);
        out.push(b':');
        match value {
            Tree::Text(text) => push_text(text, out),
            other => out.extend_from_slice(other.shown().unwrap_or("null").as_bytes()),
        }
    }
    out.push(b'}');
}

/// Whether a text is a number as JSON writes it.
fn is_number(text: &str) -> bool {
    text.starts_with(|c: char| c == '-' || c.is_ascii_digit())
        && matches!(Tree::parse(text), Ok(Tree::Plain(plain)) if plain == text)
}

/// A text as JSON.
fn push_text(text: &str, out: &mut Vec<u8>) {
    // Writing to memory does not fail.
    let _ = serde_json::to_writer(out, text);
}

/// Seconds and milliseconds since 1970 beyond the year 5138 are in another unit.
const FAR: i64 = 100_000_000_000;

/// What a local clock showed so long after it showed the beginning of 1970: a time without a zone.
fn on_the_clock(text: &str, unit: EpochUnit) -> Option<String> {
    let number: i64 = text.parse().ok()?;
    let (micros, per_second) = match unit {
        EpochUnit::Seconds => (number.checked_mul(1_000_000)?, 1),
        EpochUnit::Millis => (number.checked_mul(1_000)?, 1_000),
        EpochUnit::Micros => (number, 1_000_000),
        EpochUnit::Nanos => return None,
    };
    if (number / per_second).abs() >= FAR {
        return None;
    }
    let shown = Timestamp::from_microsecond(micros).ok()?.to_string();
    Some(shown.trim_end_matches('Z').to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clocks_show_times_without_a_zone() {
        let shown = |text: &str, unit| on_the_clock(text, unit).unwrap_or_else(|| "no".into());
        assert_eq!(shown("1714557600", EpochUnit::Seconds), "2024-05-01T10:00:00");
        assert_eq!(shown("1714557600123", EpochUnit::Millis), "2024-05-01T10:00:00.123");
        assert_eq!(shown("-1", EpochUnit::Seconds), "1969-12-31T23:59:59");
        assert_eq!(["1714557600123", "1.5", "x", ""].map(|text| shown(text, EpochUnit::Seconds)), ["no"; 4]);
    }
}
