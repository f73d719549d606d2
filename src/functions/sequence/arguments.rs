//! The arguments of the sequence aggregates: which is which, the option words, patterns with a caret under the fault.
//!
//! Shape: `(pattern TEXT [, options TEXT], time, condition 1, .., condition k)`.

use arrow::datatypes::{DataType, TimeUnit};

use crate::algo::calendar::Clock;
use crate::algo::pattern::Pattern;
use crate::algo::pattern::parse::{self, ParseError};
use crate::algo::pattern::search::Plan;
use crate::error::{Error, Result, suggest};
use crate::functions::columns;
use crate::functions::event_groups::EventArguments;

/// Where each argument stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    /// Position of the option words.
    pub options: Option<usize>,
    /// Positions of time and conditions.
    pub events: EventArguments,
}

/// Whether an argument is text: in second place, the options.
fn is_text(argument: Option<&DataType>) -> bool {
    matches!(argument, Some(DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View))
}

impl Layout {
    /// Reads the layout off the argument types.
    pub fn of(function: &str, types: &[DataType]) -> Result<Self> {
        let options = is_text(types.get(1)).then_some(1);
        let time = 1 + usize::from(options.is_some());
        if types.len() <= time + 1 {
            return Err(Error::user(format!(
                "{function}: needs (pattern, [options,] time, condition, ..), got {} arguments",
                types.len()
            )));
        }
        columns::coerce_time(function, time + 1, &types[time])?;
        let conditions = time + 1..types.len();
        check_condition_count(function, conditions.len())?;
        Ok(Self { options, events: EventArguments { time, conditions, kept: None, every_event: false } })
    }

    /// The types the arguments are coerced to.
    pub fn coerce(&self, function: &str, types: &[DataType]) -> Result<Vec<DataType>> {
        let mut coerced = types.to_vec();
        if !is_text(types.first()) {
            return Err(Error::user(format!(
                "{function}: argument 1 (pattern) must be a string, such as '(?1).*(?2)'; got {}",
                types[0]
            )));
        }
        coerced[0] = DataType::Utf8;
        if let Some(options) = self.options {
            coerced[options] = DataType::Utf8;
        }
        let time = self.events.time;
        coerced[time] = columns::coerce_time(function, time + 1, &types[time])?;
        for at in self.events.conditions.clone() {
            coerced[at] = columns::coerce_condition(function, at + 1, &types[at])?;
        }
        Ok(coerced)
    }
}

/// `1..=64` conditions.
pub fn check_condition_count(function: &str, conditions: usize) -> Result<()> {
    match conditions {
        0 => Err(Error::user(format!("{function}: at least one condition is needed"))),
        1..=64 => Ok(()),
        n => Err(Error::user(format!("{function}: {n} conditions given, at most 64 are allowed"))),
    }
}

/// What the option words ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Options {
    /// Greatest time from the first to the last event of a match, in nanoseconds.
    pub within: Option<u128>,
    /// Events that satisfy no condition take part too.
    pub keep_all: bool,
}

impl Options {
    /// Reads words separated by commas, as in `'within 7 days, keep_all'`.
    pub fn parse(function: &str, text: &str) -> Result<Self> {
        let mut options = Self::default();
        for word in text.split(',').map(str::trim).filter(|w| !w.is_empty()) {
            let (name, value) = word.split_once(char::is_whitespace).unwrap_or((word, ""));
            match name {
                "keep_all" if value.is_empty() => options.keep_all = true,
                "within" if options.within.is_some() => {
                    return Err(Error::user(format!("{function}: option 'within' is given twice")));
                }
                "within" => {
                    let value = value.trim();
                    let wrong = |why: &str| {
                        Error::user(format!(
                            "{function}: option 'within' needs a time above zero, such as 'within 7 days'; got '{word}'{why}"
                        ))
                    };
                    match parse::duration(value) {
                        Ok(0) => return Err(wrong("")),
                        Ok(nanos) => options.within = Some(nanos),
                        Err(_) if value.is_empty() => return Err(wrong("")),
                        Err(error) => return Err(wrong(&format!(" ({})", error.message))),
                    }
                }
                _ => {
                    return Err(Error::user(format!(
                        "{function}: unknown option '{word}'; {}",
                        suggest(name, ["within", "keep_all"])
                    )));
                }
            }
        }
        Ok(options)
    }
}

/// Reads a pattern; the error points at the fault.
pub fn pattern(function: &str, text: &str, conditions: usize) -> Result<Pattern> {
    parse::pattern(text, conditions).map_err(|error| pointed(function, text, &error))
}

/// The message on one line, and the pattern with a caret under the place as hints.
fn pointed(function: &str, text: &str, error: &ParseError) -> Error {
    // A pattern may be long or hold line breaks: a piece of one line around the place is shown.
    const BEFORE: usize = 40;
    let skipped = error.at.saturating_sub(BEFORE);
    let piece: String = text.chars().skip(skipped).take(2 * BEFORE).collect();
    let piece: String = piece.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    Error::user(format!("{function}: pattern, {error}"))
        .hint(piece)
        .hint(format!("{}^", " ".repeat(error.at - skipped)))
}

/// The search in the ticks of a time column.
pub fn plan(pattern: &Pattern, within: Option<u128>, time: &DataType) -> Plan {
    let nanos_per_tick = match columns::clock_of(time).unwrap_or(Clock::Dates) {
        Clock::Instants(per_second) => 1_000_000_000 / u128::from(per_second.unsigned_abs()),
        Clock::Dates => 86_400_000_000_000,
    };
    Plan::new(pattern, within, nanos_per_tick)
}

/// The type that an untyped NULL is read as where a value is kept.
pub fn value_type(value: &DataType) -> DataType {
    match value {
        DataType::Null => DataType::Utf8,
        // A date of milliseconds is a timestamp, as it is for times.
        DataType::Date64 => DataType::Timestamp(TimeUnit::Millisecond, None),
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_words() {
        let day = 86_400_000_000_000;
        for (text, want) in [
            ("", Options::default()),
            ("keep_all", Options { within: None, keep_all: true }),
            ("within 7 days", Options { within: Some(7 * day), keep_all: false }),
            (" within  1 day 12 hours ,keep_all", Options { within: Some(day * 3 / 2), keep_all: true }),
            ("within 60", Options { within: Some(60_000_000_000), keep_all: false }),
        ] {
            assert_eq!(Options::parse("f", text).unwrap(), want, "{text}");
        }
        for (text, says) in [
            ("keepall", "unknown option 'keepall'; did you mean 'keep_all'?"),
            ("within", "such as 'within 7 days'; got 'within'"),
            ("within 0 days", "above zero"),
            ("within a day", "expected a number, found 'a'"),
            ("within 1 month", "no fixed length"),
            ("within 1 day, within 2 days", "given twice"),
            ("keep_all yes", "unknown option 'keep_all yes'"),
        ] {
            let message = Options::parse("f", text).unwrap_err().message().to_string();
            assert!(message.contains(says), "{message}");
        }
    }

    #[test]
    fn a_caret_points_at_the_fault() {
        let error = pattern("f", "(?1).*(?7)", 2).unwrap_err();
        assert_eq!(error.message(), "f: pattern, position 9: there is no condition 7: 2 are given, counted from 1");
        assert_eq!(error.hints(), ["(?1).*(?7)", "        ^"]);
        let long = format!("{}(?7)", "(?1).*".repeat(20));
        let error = pattern("f", &long, 2).unwrap_err();
        let at = error.hints()[1].len() - 1;
        assert_eq!(&error.hints()[0][at..at + 1], "7");
        assert!(error.hints()[0].len() <= 80);
    }
}
