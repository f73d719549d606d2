//! Periods by the civil calendar, counted on by whole dates: what the oracles of calendar questions share.

use std::sync::Arc;

use arrow::array::{ArrayRef, Date32Array};
use arrow::array::{
    TimestampMicrosecondArray, TimestampMillisecondArray, TimestampNanosecondArray, TimestampSecondArray,
};
use jiff::civil::{Date, Weekday};
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp};

/// How times are stored: ticks in a second (0: dates), and the column.
pub type Clock = (i64, fn(Vec<Option<i64>>) -> ArrayRef);

pub const CLOCKS: [Clock; 5] = [
    (1, |t| Arc::new(TimestampSecondArray::from(t))),
    (1_000, |t| Arc::new(TimestampMillisecondArray::from(t).with_timezone("Asia/Tokyo"))),
    (1_000_000, |t| Arc::new(TimestampMicrosecondArray::from(t))),
    (1_000_000_000, |t| Arc::new(TimestampNanosecondArray::from(t).with_timezone("UTC"))),
    (0, |t| Arc::new(Date32Array::from_iter(t.into_iter().map(|t| t.map(|t| t as i32))))),
];

/// Clocks change in these around the dates used: at 2:00, at midnight (a day without a 0:00), by half an hour, never.
pub const ZONES: [&str; 6] =
    ["UTC", "America/New_York", "Europe/Berlin", "Africa/Cairo", "Australia/Lord_Howe", "Asia/Kolkata"];
pub const UNITS: [&str; 5] = ["day", "week", "month", "quarter", "year"];
pub const DAYS: [&str; 7] = ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"];

/// How times are stored and which periods they are of.
#[derive(Clone)]
pub struct Civil {
    pub clock: Clock,
    pub zone: &'static str,
    pub unit: &'static str,
    /// 0 is Monday.
    pub week_start: usize,
}

/// How far a relation is told to look.
#[derive(Debug, Clone, Copy)]
pub struct AsOf {
    /// An instant, or the local midnight of a date.
    pub time: i64,
    /// Whether it is a date.
    pub date: bool,
}

impl Civil {
    /// An instant, or half of the time the midnight before it. Of dates all are dates.
    pub fn as_of(&self, time: i64, date: bool) -> AsOf {
        let date = date || self.clock.0 == 0;
        AsOf { time: if date { self.begins(self.date(time)) } else { time }, date }
    }

    /// Whether a row is looked at: what a date begins is after everything before it.
    pub fn looks_at(&self, as_of: Option<AsOf>, time: i64) -> bool {
        as_of.is_none_or(|as_of| if as_of.date { time < as_of.time } else { time <= as_of.time })
    }

    /// The time that data reach which end so; of dates the last one that is over.
    pub fn reach(&self, as_of: AsOf) -> i64 {
        as_of.time - i64::from(self.clock.0 == 0)
    }

    /// It in SQL.
    pub fn as_of_literal(&self, as_of: AsOf) -> String {
        if as_of.date { format!("DATE '{}'", self.date(as_of.time)) } else { self.literal(as_of.time) }
    }

    /// Whole seconds as ticks; for dates the day.
    pub fn ticks(&self, second: i64) -> i64 {
        if self.clock.0 == 0 { second.div_euclid(86_400) } else { second * self.clock.0 }
    }

    pub fn date(&self, time: i64) -> Date {
        let epoch = jiff::civil::date(1970, 1, 1);
        if self.clock.0 == 0 {
            return epoch.checked_add(Span::new().days(time)).unwrap();
        }
        let at = Timestamp::from_second(time.div_euclid(self.clock.0)).unwrap();
        at.to_zoned(TimeZone::get(self.zone).unwrap()).date()
    }

    /// First date of the calendar period of a date.
    pub fn first(&self, date: Date) -> Date {
        match self.unit {
            "day" => date,
            "week" => {
                let mut first = date;
                while first.weekday() != weekday(self.week_start) {
                    first = first.yesterday().unwrap();
                }
                first
            }
            "month" => date.first_of_month(),
            "quarter" => Date::new(date.year(), (date.month() - 1) / 3 * 3 + 1, 1).unwrap(),
            _ => Date::new(date.year(), 1, 1).unwrap(),
        }
    }

    /// First date of the period `n` after the one that begins on `first`.
    pub fn later(&self, first: Date, n: i64) -> Date {
        let span = match self.unit {
            "day" => Span::new().days(n),
            "week" => Span::new().days(7 * n),
            "month" => Span::new().months(n),
            "quarter" => Span::new().months(3 * n),
            _ => Span::new().years(n),
        };
        first.checked_add(span).unwrap()
    }

    /// The first tick of a local date.
    pub fn begins(&self, date: Date) -> i64 {
        if self.clock.0 == 0 {
            return i64::from(jiff::civil::date(1970, 1, 1).until((jiff::Unit::Day, date)).unwrap().get_days());
        }
        TimeZone::get(self.zone).unwrap().to_zoned(date.into()).unwrap().timestamp().as_second() * self.clock.0
    }

    /// The time in SQL.
    pub fn literal(&self, time: i64) -> String {
        match self.clock.0 {
            0 => format!("DATE '{}'", self.date(time)),
            // With its offset: without one it would be local to a column that has a zone.
            ticks => format!(
                "'{}'",
                Timestamp::from_nanosecond(i128::from(time) * i128::from(1_000_000_000 / ticks)).unwrap()
            ),
        }
    }
}

fn weekday(number: usize) -> Weekday {
    Weekday::from_monday_zero_offset(number as i8).unwrap()
}
