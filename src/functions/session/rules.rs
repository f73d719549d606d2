//! The constants of the session functions: how they are written in a plan, read and checked.
//!
//! Deals with: the one text that carries every rule (a plan repeats each constant for every row, so there is only one),
//! gaps and lengths as ticks.
//! Does not deal with: conditions and values of rows, or what the rules mean (`algo::session`).

use std::fmt;

use arrow::datatypes::IntervalMonthDayNanoType;
use datafusion::common::ScalarValue;

use crate::algo::calendar::{Calendar, Clock, Unit, WEEKDAYS, weekday};
use crate::algo::session::{Bounce, Rules};
use crate::error::{Error, Result, suggest};

/// How a gap of exactly the limit is read.
pub const BOUNDARIES: [&str; 2] = ["exclusive", "inclusive"];
/// What a bounce is.
pub const BOUNCES: [&str; 2] = ["depth", "engaged"];
/// A session up to this long can be a bounce where engagement decides.
const ENGAGED_SECONDS: i64 = 10;

/// Every constant of a question about sessions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Constants {
    /// The longest gap within a session, in ticks.
    pub gap: u64,
    /// The longest session, in ticks.
    pub max_length: Option<u64>,
    /// Whether a session ends with the local date.
    pub midnight: bool,
    /// IANA zone of the calendar.
    pub zone: String,
    /// Whether engagement decides about a bounce.
    pub engaged: bool,
    /// The period that a session is counted in.
    pub period: Option<Unit>,
    /// Number of the weekday on which weeks start.
    pub week_start: u8,
}

impl Constants {
    /// Nothing but a gap.
    pub fn of_gap(gap: u64) -> Self {
        Self {
            gap,
            max_length: None,
            midnight: false,
            zone: "UTC".to_string(),
            engaged: false,
            period: None,
            week_start: 0,
        }
    }

    /// Reads what [`fmt::Display`] writes.
    pub fn parse(function: &str, text: &str) -> Result<Self> {
        let wrong = |what: &str| Error::user(format!("{function}: cannot read '{what}' in the rules '{text}'"));
        let ticks = |word: &str, part: &str| word.parse::<u64>().map_err(|_| wrong(part));
        let mut read = Self::of_gap(0);
        let mut gap = None;
        for part in text.split(", ") {
            match part.split_once(' ').unwrap_or((part, "")) {
                ("gap", word) => gap = Some(ticks(word, part)?),
                ("length", word) => read.max_length = Some(ticks(word, part)?),
                ("midnight", "") => read.midnight = true,
                ("zone", zone) => read.zone = zone.to_string(),
                ("bounce", "engaged") => read.engaged = true,
                ("period", unit) => read.period = Some(Unit::parse(unit).ok_or_else(|| wrong(part))?),
                ("week", day) => read.week_start = weekday(day).ok_or_else(|| wrong(part))?,
                _ => return Err(wrong(part)),
            }
        }
        read.gap = gap.ok_or_else(|| wrong("gap"))?;
        Ok(read)
    }

    /// The calendar of a unit, or an error about the zone.
    pub fn calendar(&self, function: &str, unit: Unit, clock: Clock) -> Result<Calendar> {
        Calendar::new(unit, &self.zone, self.week_start, clock).ok_or_else(|| {
            Error::user(format!(
                "{function}: unknown time zone '{}'; an IANA name such as 'Europe/Berlin' is needed",
                self.zone
            ))
        })
    }

    /// The rules for the kernel.
    pub fn rules(&self, function: &str, clock: Clock) -> Result<Rules> {
        let midnight = self.midnight.then(|| self.calendar(function, Unit::Day, clock)).transpose()?;
        Ok(Rules { gap: self.gap, max_length: self.max_length, midnight })
    }

    /// What makes a session a bounce.
    pub fn bounce(&self, clock: Clock) -> Bounce {
        match (self.engaged, clock) {
            (false, _) => Bounce::Depth,
            (true, Clock::Instants(per_second)) => {
                Bounce::Engaged(ENGAGED_SECONDS.unsigned_abs() * per_second.unsigned_abs())
            }
            (true, Clock::Dates) => Bounce::Engaged(0),
        }
    }
}

impl fmt::Display for Constants {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "gap {}", self.gap)?;
        if let Some(length) = self.max_length {
            write!(f, ", length {length}")?;
        }
        if self.midnight {
            write!(f, ", midnight")?;
        }
        if self.midnight || self.period.is_some() {
            write!(f, ", zone {}", self.zone)?;
        }
        if self.engaged {
            write!(f, ", bounce engaged")?;
        }
        if let Some(unit) = self.period {
            write!(f, ", period {}, week {}", unit.name(), WEEKDAYS[usize::from(self.week_start) % 7])?;
        }
        Ok(())
    }
}

/// One of [`BOUNDARIES`]: whether a gap of exactly the limit opens a session.
pub fn parse_boundary(function: &str, given: &str) -> Result<bool> {
    match given.to_lowercase().as_str() {
        "exclusive" => Ok(false),
        "inclusive" => Ok(true),
        other => Err(Error::user(format!(
            "{function}: argument 'boundary' cannot be '{given}'; {}",
            suggest(other, BOUNDARIES)
        ))),
    }
}

/// The largest difference in ticks that does not exceed an interval; with `inclusive`, that is below it.
///
/// Days are 24 hours. Months have no length, and an interval of zero or below separates everything: both are refused.
pub fn limit_ticks(
    function: &str,
    argument: &str,
    interval: &ScalarValue,
    clock: Clock,
    inclusive: bool,
) -> Result<u64> {
    let value = match interval {
        ScalarValue::IntervalMonthDayNano(Some(value)) => *value,
        ScalarValue::IntervalDayTime(Some(v)) => {
            IntervalMonthDayNanoType::make_value(0, v.days, i64::from(v.milliseconds) * 1_000_000)
        }
        ScalarValue::IntervalYearMonth(Some(months)) => IntervalMonthDayNanoType::make_value(*months, 0, 0),
        other => {
            return Err(Error::user(format!(
                "{function}: argument '{argument}' must be an INTERVAL above zero, such as INTERVAL '7 days'; got {other}"
            )));
        }
    };
    if value.months != 0 {
        return Err(Error::user(format!(
            "{function}: argument '{argument}': months have no fixed length ({} months given); say it in days",
            value.months
        )));
    }
    let nanos = i128::from(value.days) * 86_400_000_000_000 + i128::from(value.nanoseconds);
    if nanos <= 0 {
        return Err(Error::user(format!(
            "{function}: argument '{argument}' must be an INTERVAL above zero, such as INTERVAL '7 days'; got {} days {} seconds",
            value.days,
            value.nanoseconds as f64 / 1e9
        )));
    }
    let tick = match clock {
        Clock::Instants(per_second) => 1_000_000_000 / i128::from(per_second),
        Clock::Dates => 86_400_000_000_000,
    };
    // d >= x is d > x - 1 ns, whatever the tick.
    Ok(u64::try_from((nanos - i128::from(inclusive)) / tick).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_read_what_they_write() {
        let plain = Constants::of_gap(7);
        let all = Constants {
            max_length: Some(9),
            midnight: true,
            zone: "America/New_York".to_string(),
            engaged: true,
            period: Some(Unit::Week),
            week_start: 6,
            ..plain.clone()
        };
        for constants in [plain, all] {
            assert_eq!(Constants::parse("f", &constants.to_string()).unwrap(), constants);
        }
        for text in ["", "gap", "gap -1", "gap 1, midnight x", "gap 1, length", "gap 1, period fortnight", "midnight"] {
            assert!(Constants::parse("f", text).is_err(), "{text}");
        }
    }

    #[test]
    fn limits_are_exact_in_every_unit() {
        let interval =
            |days, nanos| ScalarValue::IntervalMonthDayNano(Some(IntervalMonthDayNanoType::make_value(0, days, nanos)));
        let limit = |value: &ScalarValue, clock, inclusive| limit_ticks("f", "gap", value, clock, inclusive).unwrap();
        let half_past = interval(0, 1_500_000_000);
        // A difference of 2 s is above 1.5 s and at least 1.5 s; one of 1 s is neither.
        assert_eq!(limit(&half_past, Clock::Instants(1), false), 1);
        assert_eq!(limit(&half_past, Clock::Instants(1), true), 1);
        assert_eq!(limit(&interval(0, 2_000_000_000), Clock::Instants(1), false), 2);
        assert_eq!(limit(&interval(0, 2_000_000_000), Clock::Instants(1), true), 1);
        assert_eq!(limit(&half_past, Clock::Instants(1000), true), 1499);
        assert_eq!(limit(&interval(1, 0), Clock::Dates, false), 1);
        assert_eq!(limit(&interval(1, 0), Clock::Dates, true), 0);
        assert_eq!(limit(&interval(0, 1), Clock::Instants(1_000_000_000), true), 0);
        assert!(limit_ticks("f", "gap", &interval(0, 0), Clock::Dates, true).is_err());
        assert!(limit_ticks("f", "gap", &ScalarValue::IntervalYearMonth(Some(1)), Clock::Dates, true).is_err());
    }
}
