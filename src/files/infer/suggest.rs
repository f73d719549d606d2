//! The type that the values of a sample suggest, how their times are written, and whether a type that is there suits them.
//!
//! Deals with: counts of kinds, as [`Seen`] has them. Does not deal with: counting.

use arrow::datatypes::{DataType, Field, TimeUnit};

use super::classify::{Class, classify};
use super::{DEEPEST, Seen};
use crate::files::stored_types::fits;
use crate::files::times::{EpochUnit, KNOWN_PATTERNS, TimeFormat, TimeReader};
use crate::files::types::{dictionary, timestamp};

impl Seen {
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

    /// The unit that holds the times to their last digit; `None` where none does.
    pub fn unit_of_times(&self) -> Option<TimeUnit> {
        match (self.nanos, self.not_nanos) {
            (0, _) => Some(TimeUnit::Microsecond),
            (_, 0) => Some(TimeUnit::Nanosecond),
            _ => None,
        }
    }

    /// The type of a column of identifiers: a number only where each comes back as it was written.
    pub fn identifier_type(&self) -> DataType {
        if self.ints > 0 && self.ints == self.values() && self.altered == 0 { DataType::Int64 } else { DataType::Utf8 }
    }

    /// How many of the values keep the column from being one of numbers, where hardly any do, or only the first one does (a second
    /// row of a header); with the number of all.
    pub fn few_words(&self) -> Option<(u64, u64)> {
        let all = self.values();
        let numbers = self.ints + self.floats;
        let odd = all.saturating_sub(numbers);
        let first = || self.example.as_deref().is_some_and(|first| matches!(classify(first), Class::Other));
        let few = odd * 100 <= all || (odd == 1 && numbers >= 3 && first());
        (odd > 0 && numbers > 0 && few).then_some((odd, all))
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

#[cfg(test)]
mod tests {
    use super::super::CROWD;
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
        assert_eq!(seen(&["EUR", "1", "2.5", "3"]).few_words(), Some((1, 4)));
        assert_eq!(seen(&["1", "EUR", "2.5", "3"]).few_words(), None);
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
        for long in ["9007199254740993", "9007199254740993.0", "123456789012345678901"] {
            assert_eq!(seen(&["1.5", long]).data_type(), dictionary(), "{long}");
        }
        assert_eq!(seen(&["1.5", "007.5"]).data_type(), dictionary());
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
            assert!(crate::files::ndjson::look(text.as_bytes(), &[], &mut all));
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
            assert!(crate::files::ndjson::look(line.as_bytes(), &[], &mut all));
        }
        assert_eq!(all.field("many").data_type(), DataType::Utf8);
        assert!(matches!(all.field("few").data_type(), DataType::Struct(_)));
    }
}
