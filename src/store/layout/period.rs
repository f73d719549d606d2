//! Time slices of a table: no file holds rows of two of them.
//!
//! Deals with: which period of UTC an instant is in. Does not deal with: other zones; the slices are for dropping files, and
//! whatever calendar a question uses, its bounds only have to be found in few files.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result, suggest};

const DAY: i64 = 86_400_000_000;

/// The length of a time slice, in UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Period {
    /// Midnight to midnight.
    Day,
    /// Monday to Sunday.
    Week,
    /// A month of the calendar.
    Month,
}

impl Period {
    /// Their names.
    pub const NAMES: [&str; 3] = ["day", "week", "month"];

    /// The number of the period that microseconds since 1970 lie in; later periods have larger numbers. Never overflows.
    pub fn number(self, micros: i64) -> i64 {
        let day = micros.div_euclid(DAY);
        match self {
            Self::Day => day,
            // 1970-01-01 was a Thursday: three days after a Monday.
            Self::Week => (day + 3).div_euclid(7),
            Self::Month => month(day),
        }
    }
}

/// Months since January 1970 of a day since 1970-01-01, in the Gregorian calendar carried on in both directions.
fn month(day: i64) -> i64 {
    // Years begin in March here, so that the leap day is a year's last and months follow a fixed pattern of 153 days in five.
    let shifted = day + 719_468;
    let (era, of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * of_year + 2) / 153;
    (era * 400 + year_of_era) * 12 + from_march + 2 - 1970 * 12
}

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Day => "day",
            Self::Week => "week",
            Self::Month => "month",
        })
    }
}

impl FromStr for Period {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text.to_lowercase().as_str() {
            "day" => Ok(Self::Day),
            "week" => Ok(Self::Week),
            "month" => Ok(Self::Month),
            _ => Err(Error::user(format!("unknown period '{text}'; {}", suggest(text, Self::NAMES)))),
        }
    }
}

#[cfg(test)]
mod tests {
    use jiff::civil::{Date, date};
    use jiff::{ToSpan, Unit};

    use super::*;

    fn micros(of: Date) -> i64 {
        let days = of.since((Unit::Day, date(1970, 1, 1))).unwrap().get_days();
        i64::from(days) * DAY
    }

    #[test]
    fn periods_begin_where_the_calendar_says() {
        let mut day = date(1895, 12, 30);
        while day < date(2105, 3, 2) {
            let at = micros(day);
            let (first, last) = (at, at + DAY - 1);
            assert_eq!(Period::Day.number(first), at / DAY);
            for instant in [first, last] {
                let expected = (i64::from(day.year()) - 1970) * 12 + i64::from(day.month()) - 1;
                assert_eq!(Period::Month.number(instant), expected, "{day}");
            }
            let next_week = Period::Week.number(last + 1) - Period::Week.number(last);
            let sunday = day.weekday() == jiff::civil::Weekday::Sunday;
            assert_eq!(next_week, i64::from(sunday), "{day}");
            day = day.checked_add(1.day()).unwrap();
        }
    }

    #[test]
    fn extreme_instants_have_a_period() {
        for period in [Period::Day, Period::Week, Period::Month] {
            assert!(period.number(i64::MIN) < period.number(-1) && period.number(0) < period.number(i64::MAX));
            assert_eq!(period.to_string().parse::<Period>().unwrap(), period);
        }
        let error = "weeks".parse::<Period>().unwrap_err();
        assert_eq!(error.message(), "unknown period 'weeks'; did you mean 'week'?");
    }
}
