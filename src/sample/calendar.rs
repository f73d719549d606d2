//! When people are awake: the hours of the week, weighted.
//!
//! Deals with: turning calendar time into *busy time* and back. Equal stretches of busy time see equally many visits,
//! so whatever is spread evenly over busy time has the rhythm of days and weeks. Integers only: exact everywhere.
//! Does not deal with: time zones; the shop lives in UTC.

/// Microseconds of an hour and of a day.
pub const HOUR: i64 = 3_600_000_000;
pub const DAY: i64 = 24 * HOUR;

const WEEK: i64 = 7 * DAY;
/// 1969-12-29, the Monday before the epoch.
const MONDAY: i64 = -3 * DAY;

/// How busy an hour of the day is: least at 3, most at 20 o'clock.
const HOURS: [i64; 24] = [5, 3, 2, 1, 1, 2, 4, 7, 9, 10, 10, 11, 12, 12, 11, 11, 12, 13, 15, 17, 18, 16, 12, 8];
/// How busy a day of the week is, from Monday.
const WEEKDAYS: [i64; 7] = [10, 9, 9, 10, 11, 13, 12];

/// The running sum of the weights over the 168 hours of a week.
#[derive(Debug)]
pub struct Calendar {
    before: [i64; 169],
}

impl Calendar {
    pub fn new() -> Self {
        let mut before = [0; 169];
        for hour in 0..168 {
            before[hour + 1] = before[hour] + weight(hour);
        }
        Self { before }
    }

    /// The busy time that has passed at `micros` since the epoch.
    pub fn busy(&self, micros: i64) -> i64 {
        let since = micros - MONDAY;
        let (week, rest) = (since.div_euclid(WEEK), since.rem_euclid(WEEK));
        let hour = (rest / HOUR) as usize;
        (week * self.before[168] + self.before[hour]) * HOUR + weight(hour) * (rest % HOUR)
    }

    /// The first instant, in microseconds since the epoch, at which that busy time has passed.
    pub fn instant(&self, busy: i64) -> i64 {
        let whole = self.before[168] * HOUR;
        let (week, rest) = (busy.div_euclid(whole), busy.rem_euclid(whole));
        let hour = self.before.partition_point(|before| before * HOUR <= rest) - 1;
        let into = rest - self.before[hour] * HOUR;
        let weight = weight(hour);
        MONDAY + week * WEEK + hour as i64 * HOUR + (into + weight - 1) / weight
    }
}

fn weight(hour: usize) -> i64 {
    HOURS[hour % 24] * WEEKDAYS[hour / 24]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_and_back() {
        let calendar = Calendar::new();
        let mut last = i64::MIN;
        for step in -2_000..2_000 {
            let micros = step * 12_345_678_901;
            let busy = calendar.busy(micros);
            assert!(busy > last);
            last = busy;
            assert_eq!(calendar.instant(busy), micros);
        }
    }

    #[test]
    fn weeks_are_alike_and_hours_are_not() {
        let calendar = Calendar::new();
        let monday = 1_735_516_800_000_000; // 2024-12-30
        let share = |from: i64, to: i64| calendar.busy(monday + to) - calendar.busy(monday + from);
        assert_eq!(share(0, WEEK), share(WEEK, 2 * WEEK));
        assert_eq!(share(20 * HOUR, 21 * HOUR), 18 * share(3 * HOUR, 4 * HOUR));
        assert_eq!(share(5 * DAY, 6 * DAY) * 10, 13 * share(0, DAY));
    }
}
