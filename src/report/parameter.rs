//! Parameters of a report: their declaration, and from a text to a value of the declared type.
//!
//! Deals with: types, defaults, dates relative to today. Does not deal with: several values (`ranges`), or how a value gets into a
//! statement (`engine`).

use jiff::Span;
use jiff::civil::{Date, DateTime};

use crate::engine::Param;
use crate::error::{Error, Result, suggest};

/// A declared parameter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parameter {
    /// Its name, as in `$name`.
    pub name: String,
    /// Its type.
    pub data_type: Type,
    /// The default as it is written; without one it must be given.
    pub default: Option<String>,
    /// What it is for.
    pub note: Option<String>,
    /// The line of its declaration.
    pub line: u64,
}

/// The type of a parameter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Type {
    /// `2025-03-03`, `today`, `today - 7 days`.
    Date,
    /// `2025-03-03 12:00:00`, without a zone.
    Timestamp,
    /// A whole number of 64 bits.
    Int,
    /// A finite number.
    Double,
    /// Any text.
    Text,
    /// `true` or `false`.
    Bool,
}

/// A value with what it was said as.
#[derive(Debug, Clone, PartialEq)]
pub struct Value {
    /// The value.
    pub param: Param,
    /// As it was written, where that is not the value itself: `today - 7 days`.
    pub said: Option<String>,
}

impl Type {
    const ALL: [(&'static str, Type); 6] = [
        ("date", Type::Date),
        ("timestamp", Type::Timestamp),
        ("int", Type::Int),
        ("double", Type::Double),
        ("text", Type::Text),
        ("bool", Type::Bool),
    ];

    /// The name, as in a declaration.
    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(_, t)| *t == self).map_or("text", |(name, _)| name)
    }

    fn example(self) -> &'static str {
        match self {
            Type::Date => "2025-03-03, today or 'today - 7 days'",
            Type::Timestamp => "'2025-03-03 12:00:00'",
            Type::Int => "5",
            Type::Double => "0.05",
            Type::Text => "any text",
            Type::Bool => "true or false",
        }
    }
}

impl Parameter {
    /// Reads `NAME TYPE [= DEFAULT] [-- NOTE]`.
    pub(super) fn declared(text: &str, line: u64) -> Result<Parameter> {
        let wrong = || {
            Error::user(format!("'param: {text}' is not NAME TYPE [= DEFAULT] [-- NOTE]"))
                .hint("for example: -- param: start date = 2025-03-03 -- the first day")
        };
        let (name, rest) = text.split_once(char::is_whitespace).ok_or_else(wrong)?;
        let begins = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
        if !begins || !name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') {
            return Err(Error::user(format!("'{name}' is not a name of a parameter: letters, digits and _ are")));
        }
        let rest = rest.trim_start();
        let end = rest.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(rest.len());
        let (type_name, mut rest) = (&rest[..end], rest[end..].trim_start());
        let known = Type::ALL.map(|(name, _)| name);
        let found = Type::ALL.iter().find(|(name, _)| *name == type_name);
        let data_type = found.map(|(_, t)| *t).ok_or_else(|| {
            Error::user(format!("parameter '{name}' has the unknown type '{type_name}': {}", suggest(type_name, known)))
        })?;
        let mut default = None;
        if let Some(after) = rest.strip_prefix('=') {
            let (value, after) = default_of(after.trim_start()).ok_or_else(wrong)?;
            default = Some(value);
            rest = after.trim_start();
        }
        let note = match rest.strip_prefix("--") {
            Some(note) => Some(note.trim().to_string()).filter(|note| !note.is_empty()),
            None if rest.is_empty() => None,
            None => return Err(wrong()),
        };
        let parameter = Parameter { name: name.to_string(), data_type, default, note, line };
        if let Some(default) = &parameter.default {
            // Whatever today is.
            parameter.read(default, Date::constant(2000, 1, 1))?;
        }
        Ok(parameter)
    }

    /// The value that a text says.
    pub(super) fn read(&self, text: &str, today: Date) -> Result<Value> {
        let wrong = |why: &str| {
            let (name, kind, example) = (&self.name, self.data_type.name(), self.data_type.example());
            Error::user(format!("parameter '{name}' is '{text}'{why}: a {kind} is {example}"))
        };
        let plain = |param: Param| Ok(Value { param, said: None });
        match self.data_type {
            Type::Text => plain(Param::Text(text.to_string())),
            Type::Int => plain(Param::Integer(text.trim().parse().map_err(|_| wrong(""))?)),
            Type::Double => match text.trim().parse::<f64>() {
                Ok(double) if double.is_finite() => plain(Param::Double(double)),
                _ => Err(wrong("")),
            },
            Type::Bool if text.trim().eq_ignore_ascii_case("true") => plain(Param::Boolean(true)),
            Type::Bool if text.trim().eq_ignore_ascii_case("false") => plain(Param::Boolean(false)),
            Type::Bool => Err(wrong("")),
            Type::Timestamp => plain(Param::Timestamp(moment(text.trim()).ok_or_else(|| wrong(""))?)),
            Type::Date => match relative(text.trim(), today) {
                Some(Some(date)) => Ok(Value { param: Param::Date(date), said: Some(text.trim().to_string()) }),
                Some(None) => Err(wrong(", beyond the calendar")),
                None => plain(Param::Date(date(text.trim()).ok_or_else(|| wrong(""))?)),
            },
        }
    }
}

/// The default, and what follows it.
fn default_of(text: &str) -> Option<(String, &str)> {
    let Some(quoted) = text.strip_prefix('\'') else {
        let end = text.find(" --").unwrap_or(text.len());
        let value = text[..end].trim();
        return (!value.is_empty()).then(|| (value.to_string(), &text[end..]));
    };
    let mut value = String::new();
    let mut chars = quoted.char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        if c != '\'' {
            value.push(c);
        } else if chars.next_if(|(_, next)| *next == '\'').is_some() {
            value.push('\'');
        } else {
            return Some((value, &quoted[at + 1..]));
        }
    }
    None
}

/// `2025-03-03` and nothing else.
fn date(text: &str) -> Option<Date> {
    let shaped = text.len() == 10
        && text.bytes().enumerate().all(|(at, b)| if at == 4 || at == 7 { b == b'-' } else { b.is_ascii_digit() });
    if shaped { text.parse().ok() } else { None }
}

fn moment(text: &str) -> Option<DateTime> {
    let day = date(text.get(..10)?)?;
    let clock = text.get(10..)?;
    if clock.is_empty() {
        return Some(day.to_datetime(jiff::civil::Time::midnight()));
    }
    let clock = clock.strip_prefix([' ', 'T'])?;
    if !clock.bytes().all(|b| b.is_ascii_digit() || b == b':' || b == b'.') {
        return None;
    }
    Some(day.to_datetime(clock.parse().ok()?))
}

/// `today`, with spans added and taken off; `None` where the text is something else, and within that where the calendar ends.
fn relative(text: &str, today: Date) -> Option<Option<Date>> {
    let mut rest = text.strip_prefix("today")?.trim_start();
    let mut date = Some(today);
    while !rest.is_empty() {
        let back = rest.starts_with('-');
        rest = rest.strip_prefix(['-', '+'])?.trim_start();
        let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        let count: i64 = rest[..digits].parse().ok()?;
        rest = rest[digits..].trim_start();
        let word = rest.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(rest.len());
        let unit = Unit::from_name(&rest[..word])?;
        rest = rest[word..].trim_start();
        date = date.and_then(|date| unit.after(date, if back { -count } else { count }));
    }
    // The years that can be written with four digits.
    Some(date.filter(|date| (1..=9999).contains(&date.year())))
}

/// A step of the calendar.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unit {
    Day,
    Week,
    Month,
    Quarter,
    Year,
}

impl Unit {
    /// `day` or `days`.
    pub fn from_name(name: &str) -> Option<Unit> {
        Some(match name.strip_suffix('s').unwrap_or(name) {
            "day" => Unit::Day,
            "week" => Unit::Week,
            "month" => Unit::Month,
            "quarter" => Unit::Quarter,
            "year" => Unit::Year,
            _ => return None,
        })
    }

    /// So many steps after a date; the last day of a month where it has fewer days.
    pub fn after(self, date: Date, steps: i64) -> Option<Date> {
        // More would not be a span of the library.
        if steps.unsigned_abs() > 7_000_000 {
            return None;
        }
        let span = match self {
            Unit::Day => Span::new().try_days(steps),
            Unit::Week => Span::new().try_weeks(steps),
            Unit::Month => Span::new().try_months(steps),
            Unit::Quarter => Span::new().try_months(steps * 3),
            Unit::Year => Span::new().try_years(steps),
        };
        date.checked_add(span.ok()?).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(declaration: &str, text: &str) -> Result<Param> {
        let today = "2025-03-31".parse().unwrap();
        Ok(Parameter::declared(declaration, 1)?.read(text, today)?.param)
    }

    #[test]
    fn declarations() {
        let parameter = Parameter::declared("start date = today - 7 days -- the first -- day", 3).unwrap();
        assert_eq!((parameter.name.as_str(), parameter.data_type, parameter.line), ("start", Type::Date, 3));
        assert_eq!(parameter.default.as_deref(), Some("today - 7 days"));
        assert_eq!(parameter.note.as_deref(), Some("the first -- day"));
        let quoted = Parameter::declared("who text = 'it''s -- me'", 1).unwrap();
        assert_eq!((quoted.default.as_deref(), quoted.note), (Some("it's -- me"), None));
        assert_eq!(Parameter::declared("who text", 1).unwrap().default, None);
        for wrong in [
            "x",
            "x dat",
            "1x int",
            "x int 5",
            "x int = ",
            "x int = five",
            "x text = 'open",
            "x-y int",
            "d date = 2025-02-30",
        ] {
            assert!(Parameter::declared(wrong, 1).is_err(), "{wrong}");
        }
    }

    #[test]
    fn values_of_each_type() {
        let date = |text: &str| Param::Date(text.parse().unwrap());
        assert_eq!(value("d date", "2025-03-03").unwrap(), date("2025-03-03"));
        assert_eq!(value("d date", "today").unwrap(), date("2025-03-31"));
        assert_eq!(value("d date", "today - 1 month").unwrap(), date("2025-02-28"));
        assert_eq!(value("d date", "today-1 year + 2 weeks - 1 day").unwrap(), date("2024-04-13"));
        assert_eq!(
            value("t timestamp", "2025-03-03 10:30").unwrap(),
            Param::Timestamp("2025-03-03T10:30".parse().unwrap())
        );
        assert_eq!(value("t timestamp", "2025-03-03").unwrap(), Param::Timestamp("2025-03-03T00:00".parse().unwrap()));
        assert_eq!(value("n int", "-5").unwrap(), Param::Integer(-5));
        assert_eq!(value("x double", "1e-3").unwrap(), Param::Double(0.001));
        assert_eq!(value("b bool", "TRUE").unwrap(), Param::Boolean(true));
        assert_eq!(value("s text", "'; DROP TABLE x").unwrap(), Param::Text("'; DROP TABLE x".into()));
        for (declaration, wrong) in [
            ("d date", "3.3.2025"),
            ("d date", "2025-3-3"),
            ("d date", "2025-02-30"),
            ("d date", "today 7"),
            ("d date", "today - 99999999999999999999 days"),
            ("d date", "today - 9999 years"),
            ("n int", "5.0"),
            ("n int", "9223372036854775808"),
            ("x double", "nan"),
            ("x double", "inf"),
            ("b bool", "yes"),
            ("t timestamp", "2025-03-03 10:30Z"),
            ("t timestamp", "2025-03-03 25:00"),
        ] {
            let error = value(declaration, wrong).unwrap_err();
            assert!(error.message().contains(wrong), "{}", error.message());
        }
    }
}
