//! The engagement kernel: on each day, how many users were active on it, and in the trailing days up to it.
//!
//! A user is in the trailing `n` days of a day `t` with an activity on one of `t - n + 1 ..= t`: an active day `d` puts the user
//! into the counts of `d ..= d + n - 1`, and neighbouring stretches are one. So each user costs two additions for each stretch
//! without a gap, whatever `n` is.
//!
//! Deals with: adding one user after the other to the counts of a group of users.
//! Does not deal with: which day a time belongs to (`calendar`), nor with which days are reported.

use super::lifecycle::{MAX_PERIODS, TooLong};

/// The longest trailing stretch.
pub const MAX_DAYS: i64 = 366;

/// Users of one day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Active on it.
    pub day: i64,
    /// Active in the shorter stretch that ends with it.
    pub week: i64,
    /// Active in the longer one.
    pub month: i64,
    /// The sum of `day` over the longer stretch.
    pub month_days: i64,
}

/// What a day changes: users active on it, and by how many the trailing counts rise or fall.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Change {
    /// Users active on the day.
    pub day: i64,
    /// Change of the shorter trailing count.
    pub week: i64,
    /// Change of the longer one.
    pub month: i64,
}

/// The counts of consecutive days, from the first activity of any user to the day on which no trailing stretch has one.
#[derive(Debug, Clone)]
pub struct Trailing {
    week: i64,
    month: i64,
    first: i64,
    changes: Vec<Change>,
}

impl Trailing {
    /// Nobody yet; the lengths of both stretches in days, each from 1 to [`MAX_DAYS`].
    pub fn new(week: i64, month: i64) -> Self {
        Self { week, month, first: 0, changes: Vec::new() }
    }

    /// The day of the first of [`Trailing::changes`].
    pub fn first(&self) -> i64 {
        self.first
    }

    /// The changes of consecutive days; empty before any user was added.
    pub fn changes(&self) -> &[Change] {
        &self.changes
    }

    /// The last day on which anybody was active.
    pub fn last_active(&self) -> Option<i64> {
        Some(self.first + (self.changes.len() as i64 - 1).checked_sub(self.longest()).filter(|last| *last >= 0)?)
    }

    /// Bytes held beside the value itself.
    pub fn size(&self) -> usize {
        self.changes.capacity() * size_of::<Change>()
    }

    /// The counts of consecutive days, from [`Trailing::first`] to the last with a trailing activity.
    pub fn counts(&self) -> impl Iterator<Item = Counts> {
        let (mut week, mut month, mut month_days) = (0, 0, 0);
        let days = self.changes.len().saturating_sub(1);
        self.changes[..days].iter().enumerate().map(move |(at, change)| {
            week += change.week;
            month += change.month;
            month_days += change.day;
            if let Some(left) = at.checked_sub(self.month as usize) {
                month_days -= self.changes[left].day;
            }
            Counts { day: change.day, week, month, month_days }
        })
    }

    /// Adds a user with these active days, which ascend; one that does not is left out.
    pub fn add(&mut self, days: impl Iterator<Item = i64> + Clone) -> Result<(), TooLong> {
        let Some((first, last)) = days.clone().fold(None, |range: Option<(i64, i64)>, day| {
            Some(range.map_or((day, day), |(first, last)| (first.min(day), last.max(day))))
        }) else {
            return Ok(());
        };
        self.cover(first, last)?;
        let (week, month) = (self.week, self.month);
        let mut before: Option<i64> = None;
        for day in days {
            match before {
                Some(last) if day <= last => continue,
                Some(last) => {
                    if day - last >= week {
                        self.at(last + week).week -= 1;
                        self.at(day).week += 1;
                    }
                    if day - last >= month {
                        self.at(last + month).month -= 1;
                        self.at(day).month += 1;
                    }
                }
                None => {
                    self.at(day).week += 1;
                    self.at(day).month += 1;
                }
            }
            self.at(day).day += 1;
            before = Some(day);
        }
        if let Some(last) = before {
            self.at(last + week).week -= 1;
            self.at(last + month).month -= 1;
        }
        Ok(())
    }

    /// Adds the users of another group, whose days begin with `first`.
    pub fn merge(&mut self, first: i64, changes: &[Change]) -> Result<(), TooLong> {
        let last = changes.len() as i64 - 1 - self.longest();
        if last < 0 {
            return Ok(());
        }
        self.cover(first, first + last)?;
        let from = (first - self.first) as usize;
        for (mine, theirs) in self.changes[from..].iter_mut().zip(changes) {
            mine.day += theirs.day;
            mine.week += theirs.week;
            mine.month += theirs.month;
        }
        Ok(())
    }

    fn longest(&self) -> i64 {
        self.week.max(self.month)
    }

    fn at(&mut self, day: i64) -> &mut Change {
        &mut self.changes[(day - self.first) as usize]
    }

    /// Makes room for activity from day `first` to `last`.
    fn cover(&mut self, first: i64, last: i64) -> Result<(), TooLong> {
        let (from, to) = match self.last_active() {
            Some(mine) => (first.min(self.first), last.max(mine)),
            None => (first, last),
        };
        if to.saturating_sub(from) >= MAX_PERIODS {
            return Err(TooLong { first: from, last: to });
        }
        if self.changes.is_empty() {
            self.first = from;
        }
        let in_front = (self.first - from) as usize;
        if in_front > 0 {
            self.changes.splice(..0, std::iter::repeat_n(Change::default(), in_front));
            self.first = from;
        }
        let days = (to - from + self.longest() + 1) as usize;
        if days > self.changes.len() {
            self.changes.resize(days, Change::default());
        }
        Ok(())
    }
}

/// The runs of consecutive periods of one user.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Streaks {
    /// Periods of the run that ends with the last active period.
    pub last: i64,
    /// Periods of the longest run.
    pub longest: i64,
    /// The first period of the longest run; of equally long ones the latest.
    pub longest_from: i64,
}

/// The runs among active periods, which ascend; `None` without any.
pub fn streaks(periods: impl Iterator<Item = i64>) -> Option<Streaks> {
    let mut found: Option<(Streaks, i64)> = None;
    for period in periods {
        let (so_far, last) = match found {
            Some((so_far, before)) if period <= before => (so_far, before),
            Some((so_far, before)) => {
                let run = if period == before + 1 { so_far.last + 1 } else { 1 };
                (longer(so_far, run, period), period)
            }
            None => (longer(Streaks::default(), 1, period), period),
        };
        found = Some((so_far, last));
    }
    found.map(|(streaks, _)| streaks)
}

fn longer(so_far: Streaks, run: i64, period: i64) -> Streaks {
    match run >= so_far.longest {
        true => Streaks { last: run, longest: run, longest_from: period - run + 1 },
        false => Streaks { last: run, ..so_far },
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn users() -> impl Strategy<Value = Vec<BTreeSet<i64>>> {
        prop::collection::vec(prop::collection::btree_set(-40i64..60, 0..12), 0..12)
    }

    proptest! {
        #[test]
        fn counts_are_those_of_sets(users in users(), week in 1i64..12, month in 1i64..40, split in 0usize..12) {
            let (left, right) = users.split_at(split.min(users.len()));
            let mut sum = Trailing::new(week, month);
            for days in left {
                sum.add(days.iter().copied()).unwrap();
            }
            let mut other = Trailing::new(week, month);
            for days in right {
                other.add(days.iter().copied()).unwrap();
            }
            sum.merge(other.first(), other.changes()).unwrap();
            let within = |days: &BTreeSet<i64>, day: i64, n: i64| days.range(day - n + 1..=day).count() as i64;
            let first = users.iter().flatten().min().copied();
            prop_assert_eq!(sum.last_active(), users.iter().flatten().max().copied());
            if let Some(first) = first {
                prop_assert_eq!(sum.first(), first);
            }
            for (day, got) in (sum.first()..).zip(sum.counts()) {
                let users_of = |n: i64| users.iter().filter(|days| within(days, day, n) > 0).count() as i64;
                let want = Counts {
                    day: users_of(1),
                    week: users_of(week),
                    month: users_of(month),
                    month_days: users.iter().map(|days| within(days, day, month)).sum(),
                };
                prop_assert_eq!(got, want);
            }
        }

        #[test]
        fn runs_are_those_found_by_counting_back(periods in prop::collection::btree_set(0i64..30, 0..20)) {
            let run = |from: i64| (0..).take_while(|back| periods.contains(&(from - back))).count() as i64;
            let want = periods.last().map(|last| {
                let longest = periods.iter().map(|p| run(*p)).max().unwrap();
                let end = *periods.iter().rev().find(|p| run(**p) == longest).unwrap();
                Streaks { last: run(*last), longest, longest_from: end - longest + 1 }
            });
            prop_assert_eq!(streaks(periods.iter().copied()), want);
        }
    }

    #[test]
    fn a_long_history_is_an_error() {
        let mut trailing = Trailing::new(7, 30);
        trailing.add([0].into_iter()).unwrap();
        assert_eq!(trailing.add([MAX_PERIODS].into_iter()), Err(TooLong { first: 0, last: MAX_PERIODS }));
        assert_eq!(trailing.last_active(), Some(0));
    }
}
