//! Types by example: what a sample's values could be, and which type fits nearly all of them.
//!
//! Deals with: counting kinds of values, in nested objects too; the type they suggest; dictionaries; units of epochs.
//! Does not deal with: reading the sample (`csv`, `ndjson`, `parquet`), or what is asked for instead (`columns`).
//!
//! A type is suggested where all values are of it: one text makes a column text, since what looks like a wrong number may be an
//! identifier, and dropping its row or bending it would be another answer. Texts that mean NULL can be said.

use std::collections::HashSet;

use arrow::datatypes::{DataType, Field};

use super::reject::shortened;
use super::stored_types::{self, fits};
use super::times::{EpochUnit, KNOWN_PATTERNS, TimeFormat, TimeReader, parse_iso};
use super::types::{dictionary, timestamp};

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
    /// Whole numbers beyond 2^53, which a DOUBLE does not hold.
    big: u64,
    /// Whole numbers that would not come back as they were written: with a sign, or more than 18 digits.
    altered: u64,
    dates: u64,
    times: u64,
    /// Times that name their zone.
    zoned: u64,
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
                self.altered += u64::from(text.starts_with('-') || text.len() > 18);
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
            Class::Int(_) | Class::Code | Class::Float | Class::Exponent => {
                self.note(text);
                self.texts += 1;
            }
        }
    }

    /// A value that is text, whatever it looks like.
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
                if whole { self.codes += 1 } else { self.float(text) }
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

    /// The field of this name of an object inside a row; `None` where there are too many: objects whose keys are data, such as
    /// identifiers, are kept as text.
    pub fn inner_field(&mut self, name: &str) -> Option<&mut Seen> {
        self.crowded |= self.fields.len() >= CROWD && !self.fields.iter().any(|(known, _)| known == name);
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
        // What stands behind the point tells no unit.
        self.magnitude(text.parse::<f64>().map_or(0, |value| value as i64));
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
            Some(iso) if iso.date_only => self.dates += 1,
            Some(iso) => {
                self.times += 1;
                self.zoned += u64::from(iso.offset.is_some());
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

    /// How many of the values a column of this type takes.
    pub fn fitting(&self, target: &DataType) -> u64 {
        match target {
            DataType::Boolean => self.bools,
            DataType::Date32 => self.dates,
            target if target.is_integer() => self.ints,
            target if target.is_numeric() => self.ints + self.floats + self.exponents,
            _ => 0,
        }
    }

    /// Whether a column of this type takes what was seen, single values aside: fields and items that never have one fit any.
    pub fn suits(&self, target: &DataType) -> bool {
        let found = self.data_type();
        match (&found, target) {
            _ if self.values() == 0 => true,
            (DataType::Null, _) => true,
            (DataType::Struct(_), DataType::Struct(fields)) => {
                self.fields.iter().all(|(name, seen)| match fields.iter().find(|field| field.name() == name) {
                    Some(field) => seen.suits(field.data_type()),
                    None => seen.values() == 0 || seen.data_type() == DataType::Null,
                })
            }
            (DataType::List(_), DataType::List(item)) => {
                self.element.as_ref().is_none_or(|element| element.suits(item.data_type()))
            }
            _ => fits(&found, target),
        }
    }

    /// How many texts of the sample a reader of times takes, and of how many.
    pub fn readable_times(&self, reader: &TimeReader) -> (u64, u64) {
        let mut reader = reader.clone();
        let texts: Vec<&str> = match self.distinct.is_empty() {
            true => self.example.iter().map(String::as_str).collect(),
            false => self.distinct.iter().map(String::as_str).take(1000).collect(),
        };
        let read = texts.iter().filter(|text| reader.read(text.as_bytes()).is_ok()).count();
        (read as u64, texts.len() as u64)
    }

    /// Whether there are times that name their zone.
    pub fn any_zone(&self) -> bool {
        self.zoned > 0
    }

    /// The type of a column of identifiers: a number only where each comes back as it was written.
    pub fn identifier_type(&self) -> DataType {
        if self.ints > 0 && self.ints == self.values() && self.altered == 0 { DataType::Int64 } else { DataType::Utf8 }
    }

    /// How many of the values keep the column from being one of numbers, where hardly any do; with the number of all.
    pub fn few_words(&self) -> Option<(u64, u64)> {
        let all = self.values();
        let numbers = self.ints + self.floats;
        (numbers > 0 && numbers < all && (all - numbers) * 100 <= all).then_some((all - numbers, all))
    }

    /// The type that every value fits; text where there is no other.
    pub fn data_type(&self) -> DataType {
        self.type_at(0)
    }

    fn type_at(&self, depth: usize) -> DataType {
        let all = self.values();
        let fits = |count: u64| count > 0 && count == all;
        if self.objects + self.lists > 0 && (self.crowded || depth == DEEPEST) {
            return DataType::Utf8;
        }
        if self.objects > 0 && (fits(self.objects) || self.objects >= all - self.objects) {
            return self.struct_type(depth).unwrap_or(DataType::Null);
        }
        if self.lists > 0 && (fits(self.lists) || self.lists >= all - self.lists) {
            let item = self.element.as_ref().map_or(DataType::Utf8, |element| nested(&element.type_at(depth + 1)));
            return DataType::List(Field::new_list_field(item, true).into());
        }
        match () {
            () if fits(self.bools) => DataType::Boolean,
            () if fits(self.ints) => DataType::Int64,
            // Decimal places tell a number; without any, an exponent may be part of an identifier.
            () if fits(self.ints + self.floats + self.exponents) && self.floats > 0 && self.big == 0 => {
                DataType::Float64
            }
            () if fits(self.dates) => DataType::Date32,
            () if fits(self.dates + self.times) => timestamp(),
            () if self.repeats() => dictionary(),
            () => DataType::Utf8,
        }
    }

    /// Objects as a struct of the fields that were seen; `None` where none was: no file can hold an empty one.
    fn struct_type(&self, depth: usize) -> Option<DataType> {
        let fields: Vec<Field> = self
            .fields
            .iter()
            .filter(|(name, _)| !name.is_empty())
            .map(|(name, seen)| (name, seen.type_at(depth + 1)))
            .filter(|(_, data_type)| *data_type != DataType::Null)
            .map(|(name, data_type)| Field::new(name, nested(&data_type), true))
            .collect();
        (!fields.is_empty()).then(|| DataType::Struct(fields.into()))
    }

    /// Whether the texts are few enough to be worth a dictionary: each at least four times, or a small sample that cannot tell.
    pub fn repeats(&self) -> bool {
        let distinct = self.distinct.len() as u64;
        !self.many && distinct > 0 && (distinct * 4 <= self.scalars() || (distinct <= 16 && self.scalars() < 64))
    }

    /// How times are written here, or a sentence that says why that cannot be told.
    pub fn time_format(&self) -> Result<TimeFormat, String> {
        let all = self.scalars();
        if all == 0 {
            return Ok(TimeFormat::Iso);
        }
        let (iso, numbers) = (self.dates + self.times, self.ints + self.floats + self.exponents);
        let pattern = (0..self.patterns.len()).max_by_key(|at| self.patterns[*at]).unwrap_or(0);
        let best = iso.max(numbers).max(self.patterns[pattern]);
        // What is written otherwise is put aside row by row; but a format that hardly a row has is not the column's.
        if best * 4 < all {
            let example = self.example.as_deref().unwrap_or_default();
            return Err(format!(
                "how '{example}' tells a time is unclear; say it with --time-format (strptime, as in '%d.%m.%Y %H:%M:%S')"
            ));
        }
        match best {
            _ if best == iso => Ok(TimeFormat::Iso),
            _ if best == numbers => self.unit().map(TimeFormat::Epoch),
            _ => Ok(TimeFormat::Pattern(KNOWN_PATTERNS[pattern].into())),
        }
    }

    /// The unit in which nearly all numbers are times.
    pub fn unit(&self) -> Result<EpochUnit, String> {
        let known = [EpochUnit::Seconds, EpochUnit::Millis, EpochUnit::Micros, EpochUnit::Nanos];
        let guessed: u64 = self.units.iter().sum();
        let found = (1..5).find(|at| self.units[*at] * 20 >= guessed * 19 && guessed > 0);
        match found {
            Some(at) => Ok(known[at - 1]),
            None => {
                let example = self.example.as_deref().unwrap_or_default();
                Err(format!(
                    "the unit of numbers such as {example} is unclear; say it with --time-unit (s, ms, us or ns)"
                ))
            }
        }
    }
}

/// Inside structs and lists there are no dictionaries and no times made of text.
fn nested(data_type: &DataType) -> DataType {
    match data_type {
        DataType::Dictionary(_, _) | DataType::Date32 | DataType::Timestamp(_, _) | DataType::Null => DataType::Utf8,
        other => other.clone(),
    }
}

enum Class {
    Bool,
    Int(i64),
    Code,
    Float,
    Exponent,
    Other,
}

fn classify(text: &str) -> Class {
    let bytes = text.as_bytes();
    if matches!(text, "true" | "false" | "True" | "False" | "TRUE" | "FALSE") {
        return Class::Bool;
    }
    let digits = bytes.strip_prefix(b"-").unwrap_or(bytes);
    if digits.first().is_none_or(|b| !b.is_ascii_digit() && *b != b'.') {
        return Class::Other;
    }
    if digits.iter().all(u8::is_ascii_digit) {
        return match text.parse() {
            Ok(value) if digits.len() == 1 || digits[0] != b'0' => Class::Int(value),
            _ => Class::Code,
        };
    }
    match text.parse::<f64>() {
        Ok(value) if value.is_finite() && bytes.contains(&b'.') => Class::Float,
        Ok(value) if value.is_finite() => Class::Exponent,
        _ => Class::Other,
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
    fn types_by_example() {
        let of = |texts: &[&str]| seen(texts).data_type();
        assert_eq!(of(&["1", "-2", "0"]), DataType::Int64);
        assert_eq!(of(&["1", "2.5", "1e3"]), DataType::Float64);
        assert_eq!(of(&["true", "FALSE"]), DataType::Boolean);
        assert_eq!(of(&["2024-01-31"]), DataType::Date32);
        assert_eq!(of(&["2024-01-31", "2024-01-31T12:00:00Z"]), timestamp());
        // Identifiers with leading zeros or too many digits are no numbers.
        assert_eq!(of(&["007", "12"]), dictionary());
        assert_eq!(of(&["123456789012345678901"]), dictionary());
        assert_eq!(of(&["1", "x"]), dictionary());
        assert_eq!(of(&["nan", "inf"]), dictionary());
        let names: Vec<String> = (0..200).map(|n| format!("name {n}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        assert_eq!(of(&names), DataType::Utf8);
    }

    #[test]
    fn one_text_makes_a_column_text() {
        let mut numbers = vec!["1.5"; 1999];
        numbers.push("abc");
        assert_eq!((seen(&numbers).data_type(), seen(&numbers).few_words()), (dictionary(), Some((1, 2000))));
        numbers.pop();
        assert_eq!((seen(&numbers).data_type(), seen(&numbers).few_words()), (DataType::Float64, None));
    }

    #[test]
    fn identifiers_are_numbers_only_where_they_come_back_as_they_were() {
        let of = |texts: &[&str]| seen(texts).identifier_type();
        assert_eq!(of(&["1", "20", "123456789012345678"]), DataType::Int64);
        for odd in ["007", "-5", "12e3", "1.0", "1234567890123456789", "x", "+5", "2024-01-31", "true"] {
            assert_eq!(of(&["1", odd]), DataType::Utf8, "{odd}");
        }
        // Elsewhere a sign is a number's, and an exponent where there are decimal places.
        assert_eq!(seen(&["1", "-5"]).data_type(), DataType::Int64);
        assert_eq!(seen(&["1", "12e3"]).data_type(), dictionary());
        assert_eq!(seen(&["1.5", "12e3"]).data_type(), DataType::Float64);
        // A DOUBLE would make another number of it.
        assert_eq!(seen(&["1.5", "9007199254740993"]).data_type(), dictionary());
    }

    #[test]
    fn time_formats_are_told_or_asked_for() {
        let of = |texts: &[&str]| seen(texts).time_format();
        assert_eq!(of(&["2024-01-31 12:00", "2024-01-31", "x"]), Ok(TimeFormat::Iso));
        assert_eq!(of(&["1706702400", "1706702401"]), Ok(TimeFormat::Epoch(EpochUnit::Seconds)));
        assert_eq!(of(&["1706702400.25", "1706702401.5"]), Ok(TimeFormat::Epoch(EpochUnit::Seconds)));
        assert_eq!(of(&["1706702400123"]), Ok(TimeFormat::Epoch(EpochUnit::Millis)));
        assert_eq!(of(&["1706702400123.0", "1706702400123"]), Ok(TimeFormat::Epoch(EpochUnit::Millis)));
        assert!(of(&["0.5"]).unwrap_err().contains("--time-unit"));
        assert!(of(&["1706702400", "1706702400123"]).unwrap_err().contains("--time-unit"));
        assert!(of(&["1", "2"]).unwrap_err().contains("--time-unit"));
        assert!(of(&["01/02/2024 10:00"]).unwrap_err().contains("--time-format"));
        assert_eq!(of(&["31/Jan/2024:14:00:00 +0200"]), Ok(TimeFormat::Pattern(KNOWN_PATTERNS[0].into())));
    }

    #[test]
    fn objects_become_structs() {
        let mut all = Seen::default();
        for text in [
            r#"{"id": 1, "p": {"price": 1, "tags": ["a"], "e": {}}, "x": null}"#,
            r#"{"id": 18446744073709551615, "p": {"price": 2.5, "at": "2024-01-01"}, "t": "5"}"#,
        ] {
            assert!(super::super::ndjson::look(text.as_bytes(), &[], &mut all));
        }
        let of = |name: &str| all.clone().field(name).data_type();
        assert_eq!(of("id"), dictionary());
        assert_eq!(of("t"), dictionary());
        assert_eq!(of("x"), DataType::Utf8);
        let DataType::Struct(fields) = of("p") else { panic!() };
        let named: Vec<(&str, &DataType)> = fields.iter().map(|f| (f.name().as_str(), f.data_type())).collect();
        let list = DataType::List(Field::new_list_field(DataType::Utf8, true).into());
        assert_eq!(named, [("price", &DataType::Float64), ("tags", &list), ("at", &DataType::Utf8)]);
    }

    #[test]
    fn objects_whose_keys_are_data_stay_text() {
        let mut all = Seen::default();
        for n in 0..=CROWD {
            let line = format!("{{\"few\": {{\"x\": {n}}}, \"many\": {{\"id{n}\": 1}}}}");
            assert!(super::super::ndjson::look(line.as_bytes(), &[], &mut all));
        }
        assert_eq!(all.field("many").data_type(), DataType::Utf8);
        assert!(matches!(all.field("few").data_type(), DataType::Struct(_)));
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
                assert!(super::super::ndjson::look(line.as_bytes(), &[], &mut all));
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
