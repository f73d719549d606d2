//! The dates of consecutive periods up to a moment, and which of them have ended by then.

use crate::algo::calendar::{Calendar, Clock};
use crate::algo::lifecycle::{MAX_PERIODS, TooLong};
use crate::error::{Error, Result};

/// The dates of the periods of the last row; those of the next row are the same where all rows are of one answer.
pub struct Dates {
    calendar: Calendar,
    clock: Clock,
    /// First and last active period and the reach of the data.
    ends: Option<(i64, i64, i64)>,
    /// The first date of each period, and whether it is over.
    dates: Vec<(i32, bool)>,
    /// For messages.
    function: &'static str,
}

impl Dates {
    /// No periods yet; `function` is for messages.
    pub fn new(function: &'static str, calendar: Calendar, clock: Clock) -> Self {
        Self { calendar, clock, ends: None, dates: Vec::new(), function }
    }

    /// The first date of each period that was found, and whether it has ended.
    pub fn found(&self) -> &[(i32, bool)] {
        &self.dates
    }

    /// Finds the periods from `first` to `last`, or to the one that holds `as_of`.
    pub fn find(&mut self, first: i64, last: i64, as_of: i64) -> Result<()> {
        if self.ends == Some((first, last, as_of)) {
            return Ok(());
        }
        let function = self.function;
        let beyond = || {
            Error::data(format!(
                "{function}: as_of {as_of} (in its own unit) is beyond the calendar, years -9999 to 9999"
            ))
        };
        let (reached, over) = self.reached(as_of).ok_or_else(beyond)?;
        let last = last.max(reached);
        if last.saturating_sub(first) >= MAX_PERIODS {
            return Err(too_long(TooLong { first, last }));
        }
        self.dates.clear();
        for period in first..=last {
            let day = self.calendar.first_day(period).and_then(|day| i32::try_from(day).ok());
            self.dates.push((day.ok_or_else(beyond)?, period <= over));
        }
        self.ends = Some((first, last, as_of));
        Ok(())
    }

    /// The last period that the data reach into, and the last that is over.
    ///
    /// A date stands for its whole day, so a period of dates is over with its last date. An instant that is the very
    /// beginning of a period ends the one before and reaches into none.
    pub fn reached(&mut self, as_of: i64) -> Option<(i64, i64)> {
        let bucket = self.calendar.bucket(as_of)?;
        Some(match self.clock {
            Clock::Dates if self.calendar.bucket(as_of.checked_add(1)?)? > bucket => (bucket, bucket),
            Clock::Instants(_) if self.calendar.starts_at(bucket) == Some(as_of) => (bucket - 1, bucket - 1),
            _ => (bucket, bucket - 1),
        })
    }
}

/// The error of a history that is too long.
pub fn too_long(TooLong { first, last }: TooLong) -> Error {
    Error::data(format!(
        "the data span {} periods, and at most {MAX_PERIODS} are allowed",
        last.saturating_sub(first).saturating_add(1)
    ))
    .hint("end the data before wrong times with as_of => DATE '..', leave those out (WHERE ts >= ..), or choose a longer unit")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::functions::lifecycle::calendar;

    fn dates(unit: &str, clock: Clock) -> Dates {
        let calendar = calendar("f", unit, "UTC", "monday", clock).unwrap();
        Dates::new("f", calendar, clock)
    }

    #[test]
    fn an_instant_ends_the_period_before_it() {
        let mut days = dates("day", Clock::Instants(1_000));
        let day = 86_400_000;
        assert_eq!(days.reached(5 * day), Some((4, 4)));
        assert_eq!(days.reached(5 * day + 1), Some((5, 4)));
        assert_eq!(days.reached(5 * day - 1), Some((4, 3)));
        days.find(2, 2, 5 * day).unwrap();
        assert_eq!(days.dates, [(2, true), (3, true), (4, true)]);
        days.find(2, 5, 5 * day).unwrap();
        assert_eq!(days.dates, [(2, true), (3, true), (4, true), (5, false)]);
    }

    #[test]
    fn a_date_stands_for_its_whole_day() {
        let mut weeks = dates("week", Clock::Dates);
        // 1970-01-05 is a Monday.
        assert_eq!(weeks.reached(4), Some((1, 0)));
        assert_eq!(weeks.reached(10), Some((1, 1)));
        assert_eq!(weeks.reached(11), Some((2, 1)));
    }

    #[test]
    fn extreme_moments_are_errors() {
        for unit in ["day", "week", "month", "quarter", "year"] {
            for clock in [Clock::Dates, Clock::Instants(1), Clock::Instants(1_000_000_000)] {
                let ends = match clock {
                    Clock::Dates => [i64::from(i32::MIN), i64::from(i32::MAX)],
                    Clock::Instants(_) => [i64::MIN, i64::MAX],
                };
                for as_of in ends {
                    let mut found = dates(unit, clock);
                    let refused = found.find(0, 0, as_of).is_err();
                    assert!(refused || found.dates.len() as i64 <= MAX_PERIODS, "{unit} {clock:?} {as_of}");
                }
            }
        }
    }
}
