//! The constants that say how periods are counted, shared by `user_retention` and `period_end`.

use std::sync::Arc;

use datafusion::common::ScalarValue;
use datafusion::physical_plan::PhysicalExpr;

use crate::algo::calendar::{Calendar, Clock, Unit, WEEKDAYS, weekday};
use crate::algo::retention::Periods;
use crate::error::{Error, Result, suggest};
use crate::functions::columns::literal_text;

/// How periods are counted from a birth.
pub const INDEXES: [&str; 2] = ["calendar", "rolling"];

/// The units of periods.
pub const UNITS: [&str; 6] = ["hour", "day", "week", "month", "quarter", "year"];

/// Unit, zone, week start and index, as given.
#[derive(Debug, Clone)]
pub struct Counting {
    /// Calendar of the cohorts.
    pub calendar: Calendar,
    /// Ticks of a rolling period; `None` where periods are those of the calendar.
    pub rolling: Option<i64>,
}

impl Counting {
    /// Checks the four words.
    pub fn parse(function: &str, unit: &str, zone: &str, week_start: &str, index: &str, clock: Clock) -> Result<Self> {
        let wrong = |what: &str, given: &str, help: String| {
            Error::user(format!("{function}: unknown {what} '{given}'; {help}"))
        };
        let unit_read = if unit.eq_ignore_ascii_case("hour") { Some(Unit::Hour) } else { Unit::parse(unit) };
        let Some(unit_read) = unit_read else {
            return Err(wrong("unit", unit, suggest(unit, UNITS)));
        };
        if unit_read == Unit::Hour && clock == Clock::Dates {
            return Err(Error::user(format!("{function}: unit 'hour' needs a TIMESTAMP, and the time is a DATE")));
        }
        let Some(start) = weekday(week_start) else {
            return Err(wrong("week_start", week_start, suggest(week_start, WEEKDAYS)));
        };
        let Some(calendar) = Calendar::new(unit_read, zone, start, clock) else {
            let help = "an IANA name such as 'Europe/Berlin' is needed";
            return Err(wrong("time zone", zone, help.to_string()));
        };
        let span = match unit_read {
            Unit::Hour => clock.ticks_per_day() / 24,
            Unit::Week => clock.ticks_per_day() * 7,
            Unit::Month => clock.ticks_per_day() * 30,
            _ => clock.ticks_per_day(),
        };
        let rolling = match index {
            "calendar" => None,
            "rolling" if matches!(unit_read, Unit::Quarter | Unit::Year) => {
                return Err(Error::user(format!(
                    "{function}: rolling periods are an hour, a day (24 hours), a week (7 days) or a month (30 days), not a {unit}"
                )));
            }
            "rolling" => Some(span),
            other => return Err(wrong("index", other, suggest(other, INDEXES))),
        };
        Ok(Self { calendar, rolling })
    }

    /// The same from four consecutive constant arguments.
    pub fn of_literals(
        function: &str,
        expressions: &[Arc<dyn PhysicalExpr>],
        from: usize,
        clock: Clock,
    ) -> Result<Self> {
        let text = |name, at| literal_text(function, name, expressions, at);
        let (unit, zone) = (text("the unit", from)?, text("the time zone", from + 1)?);
        let (week_start, index) = (text("week_start", from + 2)?, text("index", from + 3)?);
        Self::parse(function, &unit, &zone, &week_start, &index, clock)
    }

    /// The same from four scalars.
    pub fn of_scalars(function: &str, words: &[&ScalarValue], clock: Clock) -> Result<Self> {
        let text = |at: usize| match words[at].try_as_str() {
            Some(Some(text)) => Ok(text),
            _ => Err(Error::user(format!("{function}: unit, time zone, week_start and index must be strings"))),
        };
        Self::parse(function, text(0)?, text(1)?, text(2)?, text(3)?, clock)
    }

    /// How the kernel counts.
    pub fn periods(&self) -> Periods {
        match self.rolling {
            Some(span) => Periods::Rolling(span),
            None => Periods::Calendar(self.calendar.clone()),
        }
    }
}
