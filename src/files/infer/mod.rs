//! Types by example: what a sample's values could be, and which type fits nearly all of them.
//!
//! Deals with: counting kinds of values, in nested objects too; below it what a single text is (`classify`) and the types, units and
//! dictionaries that the counts suggest (`suggest`).
//! Does not deal with: reading the sample (`csv`, `ndjson`, `parquet`), or what is asked for instead (`columns`).
//!
//! A type is suggested where all values are of it: one text makes a column text, since what looks like a wrong number may be an
//! identifier, and dropping its row or bending it would be another answer. Texts that mean NULL can be said.

mod classify;
mod suggest;

use std::collections::HashSet;

use arrow::datatypes::DataType;
use classify::{Class, classify};

use super::cells::{IDENTIFIER_DIGITS, is_rounded};
use super::reject::shortened;
use super::stored_types;
use super::times::{EpochUnit, KNOWN_PATTERNS, TimeFormat, TimeReader, parse_iso};

/// Distinct texts that are remembered.
const DISTINCT: usize = 4096;

/// Fields of a struct.
const CROWD: usize = 500;

/// Levels of objects and lists that are columns of their own; what lies deeper is text, since readers of tables count levels, too.
pub const DEEPEST: usize = 16;

/// Fields of rows.
pub const MOST_FIELDS: usize = 10_000;

/// Texts longer than this are no names, and no dictionary is made of them.
const LONG: usize = 200;

/// What was seen of a column.
#[derive(Debug, Default, Clone)]
pub struct Seen {
    bools: u64,
    /// Whole numbers that fit a BIGINT.
    ints: u64,
    /// Whole numbers that do not, and numbers that begin with a zero: identifiers.
    codes: u64,
    /// Numbers with a decimal point.
    floats: u64,
    /// Whole numbers with an exponent: among other whole ones, identifiers such as 12e3.
    exponents: u64,
    /// Numbers whose digits before the point a DOUBLE does not hold: beyond 2^53.
    big: u64,
    /// Whole numbers that would not come back as they were written: with a sign, or more than 18 digits.
    altered: u64,
    dates: u64,
    times: u64,
    /// Times that name their zone.
    zoned: u64,
    /// Times finer than a microsecond.
    nanos: u64,
    /// Times and dates that no number of nanoseconds tells: finer still, or far away.
    not_nanos: u64,
    texts: u64,
    objects: u64,
    lists: u64,
    nulls: u64,
    patterns: [u64; KNOWN_PATTERNS.len()],
    /// Numbers by the unit in which they would be times: unknown, s, ms, us, ns.
    units: [u64; 5],
    /// Texts, up to [`DISTINCT`]; none where there are more.
    distinct: HashSet<String>,
    many: bool,
    /// The first value.
    pub example: Option<String>,
    /// Fields of objects, in the order in which they came.
    pub fields: Vec<(String, Seen)>,
    /// The field that came last.
    last: usize,
    element: Option<Box<Seen>>,
    /// Whether objects have more fields than a struct should.
    crowded: bool,
    /// The type that a Parquet file says, and where.
    pub declared: Option<(DataType, String)>,
}

impl Seen {
    /// A value of text, as it stands in a CSV file; also numbers and truth values are texts there.
    pub fn plain(&mut self, text: &str) {
        self.note(text);
        match classify(text) {
            Class::Bool => self.bools += 1,
            Class::Int(value) => {
                self.altered += u64::from(text.starts_with('-') || text.len() > IDENTIFIER_DIGITS);
                self.int(value);
            }
            Class::Code => self.codes += 1,
            Class::Float => self.float(text),
            Class::Exponent => {
                self.exponents += 1;
                self.magnitude(0);
            }
            Class::Other => self.other(text),
        }
    }

    /// A value of text that is no number, whatever it looks like: numbers are written in another way.
    pub fn no_number(&mut self, text: &str) {
        match classify(text) {
            Class::Bool | Class::Other => self.plain(text),
            Class::Int(_) | Class::Code | Class::Float | Class::Exponent => self.opaque(text),
        }
    }

    /// A text that is nothing else, whatever it looks like.
    pub fn opaque(&mut self, text: &str) {
        self.note(text);
        self.texts += 1;
    }

    /// A value of text as it stands between quotes: it may tell a time, and no number.
    pub fn text(&mut self, text: &str) {
        self.note(text);
        self.other(text);
    }

    /// A whole number.
    pub fn number(&mut self, value: i64) {
        self.int_shown(value, &value.to_string());
    }

    fn int_shown(&mut self, value: i64, shown: &str) {
        self.note(shown);
        self.int(value);
    }

    /// A value that has a type of its own already.
    pub fn typed(&mut self, shown: &str) {
        if self.example.is_none() {
            self.example = Some(shortened(shown, 60));
        }
    }

    /// No value.
    pub fn null(&mut self) {
        self.nulls += 1;
    }

    /// A truth value.
    pub fn boolean(&mut self, shown: &str) {
        self.note(shown);
        self.bools += 1;
    }

    /// A number as JSON writes it.
    pub fn json_number(&mut self, text: &str) {
        match text.parse::<i64>() {
            Ok(value) => self.int_shown(value, text),
            Err(_) => {
                self.note(text);
                let whole = text.bytes().all(|b| b.is_ascii_digit() || b == b'-');
                match text.parse::<f64>() {
                    _ if whole => self.codes += 1,
                    Ok(value) if value.is_finite() => self.float(text),
                    // 1e400: more than a DOUBLE holds.
                    _ => self.texts += 1,
                }
            }
        }
    }

    /// An object; its fields are told one by one.
    pub fn an_object(&mut self, shown: &str) {
        self.typed(shown);
        self.objects += 1;
    }

    /// A list; its items are told to [`element`](Self::element).
    pub fn a_list(&mut self, shown: &str) {
        self.typed(shown);
        self.lists += 1;
    }

    /// What was seen of the items of lists.
    pub fn element(&mut self) -> &mut Seen {
        self.element.get_or_insert_default()
    }

    /// The field of this name of an object inside a row; `None` where there are too many, or one without a name: objects whose keys
    /// are data, such as identifiers, are kept as text.
    pub fn inner_field(&mut self, name: &str) -> Option<&mut Seen> {
        let too_many = || self.fields.len() >= CROWD && !self.fields.iter().any(|(known, _)| known == name);
        // No column can hold a field without a name.
        self.crowded |= name.is_empty() || too_many();
        if self.crowded { None } else { Some(self.field(name)) }
    }

    /// The field of this name.
    pub fn field(&mut self, name: &str) -> &mut Seen {
        // Fields mostly come in the same order.
        let next = self.last + 1;
        let found = match self.fields.get(next) {
            Some((known, _)) if known == name => Some(next),
            _ => self.fields.iter().position(|(known, _)| known == name),
        };
        let at = match found {
            Some(at) => at,
            None => {
                self.fields.push((name.to_string(), Seen::default()));
                self.fields.len() - 1
            }
        };
        self.last = at;
        &mut self.fields[at].1
    }

    /// The field of this name of a row; `None` where there are more than [`MOST_FIELDS`].
    pub fn row_field(&mut self, name: &str) -> Option<&mut Seen> {
        self.crowded |= self.fields.len() >= MOST_FIELDS && !self.fields.iter().any(|(known, _)| known == name);
        if self.crowded { None } else { Some(self.field(name)) }
    }

    /// Whether there were more fields than are looked at.
    pub fn is_crowded(&self) -> bool {
        self.crowded
    }

    /// Whether there are whole numbers that no BIGINT holds.
    pub fn beyond_bigint(&self) -> bool {
        self.codes > 0
    }

    /// A whole number of any size.
    pub fn big_number(&mut self, value: u64) {
        match i64::try_from(value) {
            Ok(value) => self.number(value),
            Err(_) => {
                self.note(&value.to_string());
                self.codes += 1;
            }
        }
    }

    /// A number with decimals.
    pub fn decimal(&mut self, shown: &str) {
        self.note(shown);
        self.float(shown);
    }

    /// Forgets a field that becomes a column of its own or is left out.
    pub fn take_out(&mut self, path: &str) {
        if let Some(element) = &mut self.element {
            element.take_out(path);
        }
        match path.split_once('.') {
            Some((first, rest)) if self.fields.iter().any(|(name, _)| name == first) => {
                self.field(first).take_out(rest)
            }
            _ => self.fields.retain(|(name, _)| name != path),
        }
    }

    /// The paths of all fields that were seen, behind the name of the column.
    pub fn paths(&self, name: &str, all: &mut Vec<String>) {
        if let Some((declared, _)) = &self.declared {
            stored_types::paths(name, declared, all);
        }
        for (field, seen) in &self.fields {
            let path = format!("{name}.{field}");
            seen.paths(&path, all);
            all.push(path);
        }
        if let Some(element) = &self.element {
            element.paths(name, all);
        }
    }

    /// Whether there are objects or lists, which a text column keeps as they are written.
    pub fn any_nested(&self) -> bool {
        self.objects + self.lists > 0
    }

    fn note(&mut self, text: &str) {
        if self.example.is_none() {
            self.example = Some(shortened(text, 60));
        }
        self.remember(text);
    }

    fn remember(&mut self, text: &str) {
        if self.many || self.distinct.contains(text) {
            return;
        }
        if self.distinct.len() == DISTINCT || text.len() > LONG {
            self.forget_texts();
        } else {
            self.distinct.insert(text.to_string());
        }
    }

    /// Of too many texts nothing is asked but that they are too many.
    fn forget_texts(&mut self) {
        self.many = true;
        self.distinct = HashSet::new();
    }

    /// Leaves the texts that are remembered to what was seen of the same column in another source, where a merge of both finds
    /// them: so they are in memory once, however many sources have them.
    pub fn leave_texts(&mut self, other: &mut Seen) {
        if self.many {
            other.forget_texts();
        }
        for text in std::mem::take(&mut self.distinct) {
            other.remember(&text);
        }
        other.crowded |= self.crowded;
        for (name, seen) in &mut self.fields {
            // Objects whose keys are data are text as a whole.
            if other.crowded { seen.forget_texts() } else { seen.leave_texts(other.field(name)) }
        }
        if let Some(element) = &mut self.element {
            element.leave_texts(other.element());
        }
    }

    /// Texts that are remembered.
    #[cfg(test)]
    pub fn texts(&self) -> usize {
        self.distinct.len()
    }

    fn int(&mut self, value: i64) {
        self.ints += 1;
        self.big += u64::from(value.unsigned_abs() > 1 << 53);
        self.magnitude(value);
    }

    fn float(&mut self, text: &str) {
        self.floats += 1;
        let value = text.parse::<f64>().unwrap_or_default();
        self.big += u64::from(is_rounded(text, value));
        // What stands behind the point tells no unit.
        self.magnitude(value as i64);
    }

    fn magnitude(&mut self, value: i64) {
        let at = match EpochUnit::guess(value) {
            None => 0,
            Some(EpochUnit::Seconds) => 1,
            Some(EpochUnit::Millis) => 2,
            Some(EpochUnit::Micros) => 3,
            Some(EpochUnit::Nanos) => 4,
        };
        self.units[at] += 1;
    }

    fn other(&mut self, text: &str) {
        match parse_iso(text.trim().as_bytes()) {
            Some(iso) => {
                self.dates += u64::from(iso.date_only);
                self.times += u64::from(!iso.date_only);
                self.zoned += u64::from(iso.offset.is_some());
                self.nanos += u64::from(iso.finer());
                self.not_nanos += u64::from(!iso.fits_nanos());
            }
            None => {
                self.texts += 1;
                // A few tell whether it is worth the effort.
                let tried = self.texts <= 200 || self.patterns.iter().any(|hits| *hits > 0);
                if tried && text.len() >= 10 && text.bytes().any(|b| b.is_ascii_digit()) {
                    for (hits, pattern) in self.patterns.iter_mut().zip(KNOWN_PATTERNS) {
                        let mut reader = TimeReader::new(TimeFormat::Pattern(pattern.into()), None, true);
                        *hits += u64::from(reader.read(text.as_bytes()).is_ok());
                    }
                }
            }
        }
    }

    /// Values that are not NULL.
    pub fn values(&self) -> u64 {
        self.scalars() + self.objects + self.lists
    }

    fn scalars(&self) -> u64 {
        self.bools + self.ints + self.codes + self.floats + self.exponents + self.dates + self.times + self.texts
    }

    /// Takes over what was seen of the same column elsewhere.
    pub fn merge(&mut self, other: &Seen) {
        for (mine, theirs) in [
            (&mut self.bools, other.bools),
            (&mut self.ints, other.ints),
            (&mut self.codes, other.codes),
            (&mut self.floats, other.floats),
            (&mut self.exponents, other.exponents),
            (&mut self.big, other.big),
            (&mut self.altered, other.altered),
            (&mut self.zoned, other.zoned),
            (&mut self.dates, other.dates),
            (&mut self.times, other.times),
            (&mut self.nanos, other.nanos),
            (&mut self.not_nanos, other.not_nanos),
            (&mut self.texts, other.texts),
            (&mut self.objects, other.objects),
            (&mut self.lists, other.lists),
            (&mut self.nulls, other.nulls),
        ] {
            *mine += theirs;
        }
        self.patterns.iter_mut().zip(other.patterns).for_each(|(mine, theirs)| *mine += theirs);
        self.units.iter_mut().zip(other.units).for_each(|(mine, theirs)| *mine += theirs);
        self.crowded |= other.crowded;
        if other.many {
            self.forget_texts();
        }
        other.distinct.iter().for_each(|text| self.remember(text));
        if self.example.is_none() {
            self.example.clone_from(&other.example);
        }
        for (name, seen) in &other.fields {
            self.field(name).merge(seen);
        }
        match (&mut self.element, &other.element) {
            (Some(mine), Some(theirs)) => mine.merge(theirs),
            (mine @ None, theirs) => mine.clone_from(theirs),
            (Some(_), None) => {}
        }
        if self.declared.is_none() {
            self.declared.clone_from(&other.declared);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(texts: &[&str]) -> Seen {
        let mut seen = Seen::default();
        texts.iter().for_each(|t| seen.plain(t));
        seen
    }

    #[test]
    fn two_samples_are_as_one() {
        let mut one = seen(&["1", "2"]);
        one.merge(&seen(&["2.5"]));
        assert_eq!((one.data_type(), one.values()), (DataType::Float64, 3));
    }

    #[test]
    fn texts_are_remembered_once_and_not_beyond_their_number() {
        let line = |from: usize, n: usize| {
            let mut all = Seen::default();
            for n in (from..from + n).chain(from..from + n).chain(from..from + n).chain(from..from + n) {
                let line = format!(r#"{{"a": "t{n}", "p": {{"q{from}": ["{n}"]}}}}"#);
                assert!(crate::files::ndjson::look(line.as_bytes(), &[], &mut all));
            }
            all
        };
        let merged = |parts: &[Seen]| {
            let mut all = Seen::default();
            parts.iter().for_each(|part| all.merge(part));
            (all.fields.iter().map(|(_, f)| (f.data_type(), f.repeats())).collect::<Vec<_>>(), all.fields[0].1.many)
        };
        for (first, second) in
            [((0, 100), (50, 100)), ((0, 3000), (2000, 3000)), ((0, 5000), (0, 1)), ((0, 1), (0, 5000))]
        {
            let (mut first, mut second) = (line(first.0, first.1), line(second.0, second.1));
            let before = merged(&[first.clone(), second.clone()]);
            second.leave_texts(&mut first);
            assert_eq!(merged(&[first.clone(), second.clone()]), before);
            let texts = |seen: &Seen| seen.fields[0].1.distinct.len();
            assert_eq!(texts(&second), 0);
            assert_eq!(texts(&first), if before.1 { 0 } else { 150 });
        }
    }
}
