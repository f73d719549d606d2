//! The numbers of the periods that a column's times lie in, one time after the other.

use datafusion::error::Result;

use crate::algo::calendar::Calendar;
use crate::error::Error;

/// Hours from 1970 to the first date of the calendar: no number of a period is farther from zero.
const FARTHEST: i64 = 4_371_587 * 24;

/// A calendar that remembers the period of the time before, which usually holds the next time too.
pub struct PeriodNumbers {
    function: &'static str,
    calendar: Calendar,
    /// Times `from..until` known to be of this period.
    stretch: (i64, i64),
    period: i32,
}

impl PeriodNumbers {
    /// `function` is what messages name.
    pub fn new(function: &'static str, calendar: Calendar) -> Self {
        Self { function, calendar, stretch: (0, 0), period: 0 }
    }

    /// The calendar.
    pub fn calendar(&self) -> &Calendar {
        &self.calendar
    }

    /// The first local date of a period; `None` beyond the calendar.
    pub fn date(&mut self, period: i32) -> Option<i32> {
        i32::try_from(self.calendar.first_day_again(i64::from(period))?).ok()
    }

    /// The number of the period of a time. A time beyond the calendar is an error.
    #[inline]
    pub fn of(&mut self, time: i64) -> Result<i32> {
        if self.stretch.0 <= time && time < self.stretch.1 {
            return Ok(self.period);
        }
        self.find(time)
    }

    fn find(&mut self, time: i64) -> Result<i32> {
        let beyond = || {
            Error::data(format!(
                "{}: time {time} (in the column's own unit) is beyond the calendar, years -9999 to 9999",
                self.function
            ))
        };
        let bucket = self.calendar.bucket(time).filter(|b| b.abs() <= FARTHEST).ok_or_else(beyond)?;
        let beyond = || Error::internal(format!("{}: no period around {time}", self.function));
        self.stretch = self.calendar.stretch(time).ok_or_else(beyond)?;
        self.period = bucket as i32;
        Ok(self.period)
    }
}
