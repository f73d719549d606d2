//! Patterns and durations from text, with the position of whatever is wrong.
//!
//! Deals with: the grammar below, limits that contradict each other. Does not deal with: how an error is shown.
//!
//! ```text
//! pattern  := item+                 spaces between items mean nothing
//! item     := '(?' N ')' | '.' | '.*' | '[^' N (' ' N)* ']*' | '(?t' compare duration ')'
//! compare  := '<=' | '<' | '>=' | '>' | '==' | '!='
//! duration := seconds | (number unit)+            as in 3600, 1 day, 1 hour 30 minutes
//! ```

use std::fmt;

use super::{Comparison, Element, Gap, Limit, MAX_ELEMENTS, MAX_UNEQUAL, Pattern};

/// What is wrong with a text, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParseError {
    /// Characters before the place.
    pub at: usize,
    /// What was expected, or what is wrong.
    pub message: String,
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "position {}: {}", self.at + 1, self.message)
    }
}

impl std::error::Error for ParseError {}

/// Reads a pattern over `conditions` conditions.
pub fn pattern(text: &str, conditions: usize) -> Result<Pattern, ParseError> {
    let mut reader = Reader::new(text);
    let mut elements: Vec<Element> = Vec::new();
    let mut between = Between::default();
    let mut unequal = 0;
    loop {
        reader.skip_spaces();
        let at = reader.at;
        if reader.is_at_end() {
            break;
        }
        if reader.take("(?t") {
            if elements.is_empty() {
                return Err(reader.wrong(at, "a time limit needs an event before it, such as (?1)"));
            }
            let limit = reader.limit()?;
            unequal += usize::from(limit.comparison == Comparison::Unequal);
            if unequal > MAX_UNEQUAL {
                return Err(reader.wrong(at, format!("at most {MAX_UNEQUAL} limits with != are allowed")));
            }
            between.limits.push(limit);
            if Bounds::of(&between.limits).is_empty() {
                return Err(reader.wrong(at, "no time satisfies the limits between these two events"));
            }
            between.first_limit.get_or_insert(at);
        } else if reader.take(".*") {
            between.gap(Gap::Any).map_err(|e| reader.wrong(at, e))?;
        } else if reader.take("[") {
            let gap = reader.restricted_gap(conditions)?;
            between.gap(gap).map_err(|e| reader.wrong(at, e))?;
        } else {
            let condition = reader.element(conditions)?;
            if elements.len() == MAX_ELEMENTS {
                return Err(reader.wrong(at, format!("at most {MAX_ELEMENTS} events are allowed in a pattern")));
            }
            let Between { gap, limits, .. } = std::mem::take(&mut between);
            let implied = if limits.is_empty() { Gap::Nothing } else { Gap::Any };
            elements.push(Element { condition, gap: gap.unwrap_or(implied), limits });
        }
    }
    match between.first_limit {
        Some(at) => Err(reader.wrong(at, "a time limit needs an event after it, such as (?1) or .")),
        None if elements.is_empty() => Err(reader.wrong(reader.at, "expected at least one event, such as (?1) or .")),
        None => Ok(Pattern { elements }),
    }
}

/// Reads a duration in nanoseconds: a number of seconds, or numbers with units. Nothing may follow it.
pub fn duration(text: &str) -> Result<u128, ParseError> {
    let mut reader = Reader::new(text);
    let nanos = reader.duration()?;
    if !reader.is_at_end() {
        return Err(reader.expected("a unit of time, such as 'days'"));
    }
    Ok(nanos)
}

/// What was read since the last element.
#[derive(Default)]
struct Between {
    gap: Option<Gap>,
    limits: Vec<Limit>,
    first_limit: Option<usize>,
}

impl Between {
    fn gap(&mut self, gap: Gap) -> Result<(), &'static str> {
        match self.gap {
            Some(before) if before != gap => Err("only one gap may stand between two events; write it as one"),
            _ => {
                self.gap = Some(gap);
                Ok(())
            }
        }
    }
}

/// The times that a row of limits allows, apart from `!=`.
pub(super) struct Bounds {
    pub(super) low: u128,
    pub(super) high: u128,
    pub(super) unequal: Vec<u128>,
    /// A limit that nothing satisfies, such as `< 0`.
    never: bool,
}

impl Bounds {
    /// In the unit of the limits.
    pub(super) fn of(limits: &[Limit]) -> Self {
        let mut bounds = Self { low: 0, high: u128::MAX, unequal: Vec::new(), never: false };
        for limit in limits {
            let value = limit.nanos;
            match limit.comparison {
                Comparison::AtLeast => bounds.low = bounds.low.max(value),
                Comparison::More => bounds.low = bounds.low.max(value.saturating_add(1)),
                Comparison::AtMost => bounds.high = bounds.high.min(value),
                Comparison::Less => match value.checked_sub(1) {
                    Some(value) => bounds.high = bounds.high.min(value),
                    None => bounds.never = true,
                },
                Comparison::Equal => (bounds.low, bounds.high) = (bounds.low.max(value), bounds.high.min(value)),
                Comparison::Unequal => bounds.unequal.push(value),
            }
        }
        bounds
    }

    pub(super) fn is_empty(&self) -> bool {
        let only = self.low == self.high && self.unequal.contains(&self.low);
        self.never || self.low > self.high || only
    }
}

/// Names of units and their nanoseconds.
const UNITS: [(&[&str], u128); 7] = [
    (&["week", "weeks", "w"], 604_800_000_000_000),
    (&["day", "days", "d"], 86_400_000_000_000),
    (&["hour", "hours", "h"], 3_600_000_000_000),
    (&["minute", "minutes", "min"], 60_000_000_000),
    (&["second", "seconds", "sec", "s"], 1_000_000_000),
    (&["millisecond", "milliseconds", "ms"], 1_000_000),
    (&["microsecond", "microseconds", "us"], 1_000),
];

struct Reader {
    text: Vec<char>,
    at: usize,
}

impl Reader {
    fn new(text: &str) -> Self {
        Self { text: text.chars().collect(), at: 0 }
    }

    fn is_at_end(&self) -> bool {
        self.at == self.text.len()
    }

    fn peek(&self) -> Option<char> {
        self.text.get(self.at).copied()
    }

    fn skip_spaces(&mut self) {
        while self.peek().is_some_and(char::is_whitespace) {
            self.at += 1;
        }
    }

    fn take(&mut self, wanted: &str) -> bool {
        let found = wanted.chars().enumerate().all(|(i, c)| self.text.get(self.at + i) == Some(&c));
        if found {
            self.at += wanted.chars().count();
        }
        found
    }

    fn wrong(&self, at: usize, message: impl Into<String>) -> ParseError {
        ParseError { at, message: message.into() }
    }

    /// The error that something else stands here.
    fn expected(&self, what: &str) -> ParseError {
        let found = self.peek().map_or("the end".to_string(), |c| format!("'{c}'"));
        self.wrong(self.at, format!("expected {what}, found {found}"))
    }

    /// `(?N)` or `.`
    fn element(&mut self, conditions: usize) -> Result<Option<usize>, ParseError> {
        if self.take(".") {
            return Ok(None);
        }
        if self.take("*") {
            return Err(self.wrong(self.at - 1, "'*' goes with '.' or '[^N]' before it, as in .*"));
        }
        if !self.take("(") {
            return Err(self.expected("(?N), (?t<=..), '.', '.*' or '[^N]*'"));
        }
        if !self.take("?") {
            return Err(self.expected("'?', as in (?1)"));
        }
        let condition = self.condition(conditions)?;
        if !self.take(")") {
            return Err(self.expected("')'"));
        }
        Ok(Some(condition))
    }

    /// The rest of `[^N M]*`.
    fn restricted_gap(&mut self, conditions: usize) -> Result<Gap, ParseError> {
        if !self.take("^") {
            return Err(self.expected("'^', as in [^1]*"));
        }
        let mut mask = 0u64;
        loop {
            while self.peek().is_some_and(|c| c.is_whitespace() || c == ',') {
                self.at += 1;
            }
            if mask != 0 && self.take("]") {
                break;
            }
            mask |= 1 << self.condition(conditions)?;
        }
        if !self.take("*") {
            return Err(self.expected("'*', as in [^1]*"));
        }
        Ok(Gap::Without(mask))
    }

    /// The number of a condition from 1, as its bit.
    fn condition(&mut self, conditions: usize) -> Result<usize, ParseError> {
        let at = self.at;
        while self.peek().is_some_and(|c| c.is_ascii_digit()) {
            self.at += 1;
        }
        if self.at == at {
            return Err(self.expected("the number of a condition"));
        }
        let digits: String = self.text[at..self.at].iter().collect();
        match digits.parse::<usize>() {
            Ok(number) if (1..=conditions).contains(&number) => Ok(number - 1),
            _ => Err(self.wrong(
                at,
                format!(
                    "there is no condition {digits}: {conditions} {} given, counted from 1",
                    if conditions == 1 { "is" } else { "are" }
                ),
            )),
        }
    }

    /// The rest of `(?t<=3600)`.
    fn limit(&mut self) -> Result<Limit, ParseError> {
        self.skip_spaces();
        let known = [
            ("<=", Comparison::AtMost),
            ("<", Comparison::Less),
            (">=", Comparison::AtLeast),
            (">", Comparison::More),
            ("==", Comparison::Equal),
            ("!=", Comparison::Unequal),
        ];
        let Some((_, comparison)) = known.into_iter().find(|(sign, _)| self.take(sign)) else {
            return Err(self.expected("one of <=, <, >=, >, ==, !="));
        };
        let nanos = self.duration()?;
        if !self.take(")") {
            return Err(self.expected("')' or a unit of time"));
        }
        Ok(Limit { comparison, nanos })
    }

    fn duration(&mut self) -> Result<u128, ParseError> {
        let mut total: u128 = 0;
        let mut first = true;
        loop {
            self.skip_spaces();
            if !first && !self.peek().is_some_and(|c| c.is_ascii_digit()) {
                return Ok(total);
            }
            let at = self.at;
            let number = self.decimal()?;
            self.skip_spaces();
            let word = self.at;
            while self.peek().is_some_and(char::is_alphabetic) {
                self.at += 1;
            }
            let unit: String = self.text[word..self.at].iter().collect::<String>().to_lowercase();
            let nanos = match unit.as_str() {
                "" if first && !self.peek().is_some_and(|c| c.is_ascii_digit()) => 1_000_000_000,
                "" => return Err(self.expected("a unit of time, such as 'days'")),
                "month" | "months" | "year" | "years" => {
                    return Err(self.wrong(word, "months and years have no fixed length; say it in days"));
                }
                _ => match UNITS.iter().find(|(names, _)| names.contains(&unit.as_str())) {
                    Some((_, nanos)) => *nanos,
                    None => {
                        let names: Vec<&str> = UNITS.iter().map(|(names, _)| names[1]).collect();
                        return Err(self.wrong(word, format!("unknown unit '{unit}'; allowed: {}", names.join(", "))));
                    }
                },
            };
            let part = number.times(nanos).ok_or_else(|| self.wrong(at, "the time is too long"))?;
            total = total.checked_add(part).ok_or_else(|| self.wrong(at, "the time is too long"))?;
            first = false;
            if unit.is_empty() {
                return Ok(total);
            }
        }
    }

    fn decimal(&mut self) -> Result<Decimal, ParseError> {
        let at = self.at;
        let mut number = Decimal { digits: 0, scale: 1 };
        let mut point = false;
        while let Some(c) = self.peek() {
            match c.to_digit(10) {
                Some(digit) => {
                    // Nanoseconds are the finest unit: nine digits after the point say all.
                    if number.scale < 1_000_000_000 {
                        let digits = number.digits.checked_mul(10).and_then(|d| d.checked_add(u128::from(digit)));
                        number.digits = digits.ok_or_else(|| self.wrong(at, "the time is too long"))?;
                        number.scale *= if point { 10 } else { 1 };
                    }
                }
                None if c == '.' && !point && self.at > at => point = true,
                None => break,
            }
            self.at += 1;
        }
        if self.at == at {
            return Err(self.expected("a number"));
        }
        Ok(number)
    }
}

/// `digits / scale`.
struct Decimal {
    digits: u128,
    scale: u128,
}

impl Decimal {
    fn times(&self, unit: u128) -> Option<u128> {
        Some(self.digits.checked_mul(unit)? / self.scale)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u128 = 1_000_000_000;

    fn element(condition: Option<usize>, gap: Gap, limits: &[(Comparison, u128)]) -> Element {
        let limits =
            limits.iter().map(|(comparison, nanos)| Limit { comparison: *comparison, nanos: *nanos }).collect();
        Element { condition, gap, limits }
    }

    #[test]
    fn every_item_is_read() {
        let read = pattern("(?1).*(?2) . (?t<=1 hour 30 minutes)(?t!=0)[^1, 3]*(?3)(?t>2.5)(?1)", 3).unwrap();
        let without = Gap::Without(0b101);
        assert_eq!(
            read.elements,
            [
                element(Some(0), Gap::Nothing, &[]),
                element(Some(1), Gap::Any, &[]),
                element(None, Gap::Nothing, &[]),
                element(Some(2), without, &[(Comparison::AtMost, 5_400 * SECOND), (Comparison::Unequal, 0)]),
                element(Some(0), Gap::Any, &[(Comparison::More, 5 * SECOND / 2)]),
            ]
        );
        // Gaps at the ends may be empty, and say nothing.
        assert_eq!(pattern(".*.*(?1).*", 1).unwrap().elements, [element(Some(0), Gap::Any, &[])]);
    }

    #[test]
    fn durations_have_units() {
        for (text, nanos) in [
            ("3600", 3_600 * SECOND),
            ("0", 0),
            ("0.5", SECOND / 2),
            ("1 day", 86_400 * SECOND),
            ("2d 3 h", 183_600 * SECOND),
            ("1.5 hours", 5_400 * SECOND),
            ("250ms", SECOND / 4),
            ("0.0000000019", 1),
        ] {
            assert_eq!(duration(text), Ok(nanos), "{text}");
        }
        for (text, at, says) in [
            ("", 0, "expected a number, found the end"),
            ("1 fortnight", 2, "unknown unit 'fortnight'"),
            ("1 month", 2, "no fixed length"),
            ("5 3 hours", 2, "expected a unit of time"),
            ("1 day -2", 6, "expected a unit of time"),
            ("999999999999999999999999999999999999999999", 0, "too long"),
            ("99999999999999999999999999999999999999 weeks", 0, "too long"),
        ] {
            let error = duration(text).unwrap_err();
            assert_eq!(error.at, at, "{text}: {error}");
            assert!(error.message.contains(says), "{text}: {error}");
        }
    }

    #[test]
    fn errors_tell_where_and_what() {
        for (text, at, says) in [
            ("", 0, "at least one event"),
            (".*", 2, "at least one event"),
            ("(?1", 3, "expected ')', found the end"),
            ("(?x)", 2, "expected the number of a condition, found 'x'"),
            ("(?1)(?4)", 6, "there is no condition 4: 3 are given"),
            ("(?0)", 2, "there is no condition 0"),
            ("(?99999999999999999999999)", 2, "there is no condition 999"),
            ("(1)", 1, "expected '?'"),
            ("?1", 0, "expected (?N)"),
            ("(?1)*", 4, "'*' goes with"),
            ("(?1)[^2](?3)", 8, "expected '*'"),
            ("(?1)[2]*(?3)", 5, "expected '^'"),
            ("(?1)[^]*(?3)", 6, "expected the number of a condition, found ']'"),
            ("(?1)[^5]*(?3)", 6, "there is no condition 5"),
            ("(?1)[^2]*.*(?3)", 9, "only one gap"),
            ("(?1).*(?t<=1)[^2]*(?3)", 13, "only one gap"),
            ("(?t<=1)(?1)", 0, "an event before it"),
            (".*(?t<=1)(?1)", 2, "an event before it"),
            ("(?1)(?t<=1)", 4, "an event after it"),
            ("(?1)(?t<=1).*", 4, "an event after it"),
            ("(?1)(?t=1)(?2)", 7, "expected one of <=, <"),
            ("(?1)(?t<=)(?2)", 9, "expected a number, found ')'"),
            ("(?1)(?t<=-1)(?2)", 9, "expected a number, found '-'"),
            ("(?1)(?t<=1 parsec)(?2)", 11, "unknown unit 'parsec'"),
            ("(?1)(?t<=1 day", 14, "expected ')' or a unit"),
            ("(?1)(?t<0)(?2)", 4, "no time satisfies"),
            ("(?1)(?t>5)(?t<5)(?2)", 10, "no time satisfies"),
            ("(?1)(?t==5)(?t!=5)(?2)", 11, "no time satisfies"),
            ("né(?1)", 0, "expected (?N)"),
            ("(?1)é", 4, "found 'é'"),
        ] {
            let error = pattern(text, 3).unwrap_err();
            assert_eq!(error.at, at, "{text}: {error}");
            assert!(error.message.contains(says), "{text}: {error}");
        }
        let many = "(?1)".repeat(MAX_ELEMENTS);
        assert_eq!(pattern(&many, 1).unwrap().elements.len(), MAX_ELEMENTS);
        assert!(pattern(&format!("{many}."), 1).unwrap_err().message.contains("at most 64"));
        let unequal = "(?1)(?t!=1)".repeat(MAX_UNEQUAL + 1) + "(?1)";
        assert!(pattern(&unequal, 1).unwrap_err().message.contains("at most 4 limits"));
    }
}
