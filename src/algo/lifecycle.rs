//! The lifecycle kernel: in each period, how many users are new, returning, resurrected or dormant.
//!
//! A user is **active** in a period with an activity. In a period p, somebody active is **new** where p is the period of the
//! birth, **returning** where also active in p - 1, and **resurrected** otherwise; somebody active in p - 1 and not in p is
//! **dormant**, counted in p. So active(p) = active(p - 1) + new + resurrected - dormant, and active = new + returning +
//! resurrected.
//!
//! Deals with: adding one user after the other to the counts of a group of users.
//! Does not deal with: which period a time belongs to (`calendar`), nor with which periods are reported.

/// The most periods that are counted: beyond it a wrong time is likelier than a long history.
pub const MAX_PERIODS: i64 = 10_000;

/// Users of one period.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Born in it.
    pub new: i64,
    /// Active in the period before too.
    pub returning: i64,
    /// Born earlier, and not active in the period before.
    pub resurrected: i64,
    /// Active in the period before, and not in this one.
    pub dormant: i64,
}

impl Counts {
    /// Users with an activity in it.
    pub fn active(self) -> i64 {
        self.new + self.returning + self.resurrected
    }

    fn add(&mut self, other: Self) {
        self.new += other.new;
        self.returning += other.returning;
        self.resurrected += other.resurrected;
        self.dormant += other.dormant;
    }
}

/// Why a user cannot be counted: the periods from `first` to `last` are more than [`MAX_PERIODS`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooLong {
    /// The first active period.
    pub first: i64,
    /// The last one.
    pub last: i64,
}

/// When somebody is dormant, in days.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Inactivity {
    /// Days without an activity, at least 1.
    pub inactive_after: i64,
    /// The last day that is over.
    pub ended: i64,
}

/// Why a user's days cannot be counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OutOfTime {
    /// They are too many periods.
    TooLong(TooLong),
    /// The calendar does not have this day.
    Beyond(i64),
}

/// The counts of consecutive periods, from the first activity of any user to the period after the last one.
///
/// Dense, since a user touches a few neighbours and a group of users soon touches nearly all.
#[derive(Debug, Clone, Default)]
pub struct Timeline {
    first: i64,
    counts: Vec<Counts>,
}

impl Timeline {
    /// Counts that were taken from another timeline, which began at `first`.
    pub fn new(first: i64, counts: Vec<Counts>) -> Self {
        Self { first, counts }
    }

    /// The period of the first of [`Timeline::counts`].
    pub fn first(&self) -> i64 {
        self.first
    }

    /// Counts of consecutive periods; empty before any user was added. In the last one nobody is active.
    pub fn counts(&self) -> &[Counts] {
        &self.counts
    }

    /// The last period in which anybody was active.
    pub fn last_active(&self) -> Option<i64> {
        Some(self.first + self.counts.len().checked_sub(2)? as i64)
    }

    /// Bytes held beside the timeline itself.
    pub fn size(&self) -> usize {
        self.counts.capacity() * size_of::<Counts>()
    }

    /// Adds a user born in period `born` or, without one, in the first of the active `periods`, which ascend.
    pub fn add(&mut self, born: Option<i64>, periods: impl Iterator<Item = i64> + Clone) -> Result<(), TooLong> {
        let Some((first, last)) = periods.clone().fold(None, |range: Option<(i64, i64)>, p| {
            Some(range.map_or((p, p), |(first, last)| (first.min(p), last.max(p))))
        }) else {
            return Ok(());
        };
        self.cover(first, last)?;
        let mut before: Option<i64> = None;
        for period in periods {
            let Some(since) = before.map(|b| period - b) else {
                match born {
                    Some(born) if born < period => self.at(period).resurrected += 1,
                    _ => self.at(period).new += 1,
                }
                before = Some(period);
                continue;
            };
            match since {
                // Named twice, or out of order: counted once.
                ..=0 => continue,
                1 => self.at(period).returning += 1,
                _ => {
                    self.at(period - since + 1).dormant += 1;
                    self.at(period).resurrected += 1;
                }
            }
            before = Some(period);
        }
        if let Some(last) = before {
            self.at(last + 1).dormant += 1;
        }
        Ok(())
    }

    /// Adds a user by the days of activity, who is alive as long as the last of them is less than `rule.inactive_after` days ago.
    ///
    /// In a period p, somebody active is **new** where p is the period of the birth, **returning** where alive at the end of p - 1,
    /// and **resurrected** otherwise; somebody alive at the end of p - 1 or active in p, and no longer alive at the end of p, is
    /// **dormant**. The period that has not ended is looked at on its last day that is over.
    pub fn add_by_days(
        &mut self,
        born: Option<i64>,
        days: &[i64],
        rule: Inactivity,
        mut period_of: impl FnMut(i64) -> Option<i64>,
    ) -> Result<(), OutOfTime> {
        let (Some(first), Some(last)) = (days.first(), days.last()) else { return Ok(()) };
        let mut period = |day: i64| period_of(day).ok_or(OutOfTime::Beyond(day));
        let lapses = |day: i64| day.saturating_add(rule.inactive_after);
        let end = if lapses(*last) <= rule.ended { lapses(*last) } else { *last };
        self.cover(period(*first)?, period(*last)?.max(period(end)?)).map_err(OutOfTime::TooLong)?;
        let mut at = 0;
        let mut alive = false;
        while at < days.len() {
            let here = period(days[at])?;
            let next = at + days[at..].iter().take_while(|day| period(**day) == Ok(here)).count();
            let counts = self.at(here);
            if at == 0 && born.is_none_or(|born| born >= *first || period(born) == Ok(here)) {
                counts.new += 1;
            } else if alive {
                counts.returning += 1;
            } else {
                counts.resurrected += 1;
            }
            // Gone at the end of the period in which that day lies, unless active again by then.
            let gone = lapses(days[next - 1]);
            let comes_back = days.get(next).map(|day| period(*day)).transpose()?;
            let dormant = match comes_back {
                Some(back) => Some(period(gone)?).filter(|gone| *gone < back),
                None if gone <= rule.ended => Some(period(gone)?),
                None => None,
            };
            if let Some(dormant) = dormant {
                self.at(dormant).dormant += 1;
            }
            alive = dormant.is_none();
            at = next;
        }
        Ok(())
    }

    /// Adds the users of another timeline.
    pub fn merge(&mut self, other: &Self) -> Result<(), TooLong> {
        let Some(last) = other.last_active() else { return Ok(()) };
        self.cover(other.first, last)?;
        let from = (other.first - self.first) as usize;
        self.counts[from..].iter_mut().zip(&other.counts).for_each(|(mine, theirs)| mine.add(*theirs));
        Ok(())
    }

    fn at(&mut self, period: i64) -> &mut Counts {
        &mut self.counts[(period - self.first) as usize]
    }

    /// Makes room for activity from period `first` to `last`.
    fn cover(&mut self, first: i64, last: i64) -> Result<(), TooLong> {
        let (from, to) = match self.last_active() {
            Some(mine) => (first.min(self.first), last.max(mine)),
            None => (first, last),
        };
        if to.saturating_sub(from) >= MAX_PERIODS {
            return Err(TooLong { first: from, last: to });
        }
        if self.counts.is_empty() {
            self.first = from;
        }
        if from < self.first {
            let more = (self.first - from) as usize;
            self.counts.splice(0..0, std::iter::repeat_n(Counts::default(), more));
            self.first = from;
        }
        let length = (to - from) as usize + 2;
        if length > self.counts.len() {
            self.counts.resize(length, Counts::default());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn rows(timeline: &Timeline) -> Vec<(i64, [i64; 5])> {
        (timeline.first()..)
            .zip(timeline.counts())
            .map(|(period, c)| (period, [c.active(), c.new, c.returning, c.resurrected, c.dormant]))
            .collect()
    }

    fn of(users: &[(Option<i64>, &[i64])]) -> Timeline {
        let mut timeline = Timeline::default();
        users.iter().for_each(|(born, periods)| timeline.add(*born, periods.iter().copied()).unwrap());
        timeline
    }

    #[test]
    fn each_state_has_its_period() {
        let one = of(&[(None, &[3, 4, 7])]);
        let expected = [
            (3, [1, 1, 0, 0, 0]),
            (4, [1, 0, 1, 0, 0]),
            (5, [0, 0, 0, 0, 1]),
            (6, [0, 0, 0, 0, 0]),
            (7, [1, 0, 0, 1, 0]),
            (8, [0, 0, 0, 0, 1]),
        ];
        assert_eq!(rows(&one), expected);
        assert_eq!(one.last_active(), Some(7));
    }

    #[test]
    fn who_was_born_before_the_first_activity_is_resurrected_by_it() {
        assert_eq!(rows(&of(&[(Some(1), &[3])])), [(3, [1, 0, 0, 1, 0]), (4, [0, 0, 0, 0, 1])]);
        // Nobody is active before being born.
        assert_eq!(rows(&of(&[(Some(9), &[3])])), [(3, [1, 1, 0, 0, 0]), (4, [0, 0, 0, 0, 1])]);
    }

    #[test]
    fn without_users_there_is_no_period() {
        let mut nobody = of(&[(None, &[])]);
        assert_eq!((nobody.counts().len(), nobody.last_active()), (0, None));
        nobody.merge(&Timeline::default()).unwrap();
        nobody.merge(&of(&[(None, &[-2])])).unwrap();
        assert_eq!(rows(&nobody), [(-2, [1, 1, 0, 0, 0]), (-1, [0, 0, 0, 0, 1])]);
    }

    #[test]
    fn periods_that_do_not_ascend_are_counted_once() {
        assert_eq!(
            rows(&of(&[(None, &[5, 5, 3, 6])])),
            rows(&{
                let mut plain = of(&[(None, &[5, 6])]);
                plain.cover(3, 3).unwrap();
                plain
            })
        );
    }

    #[test]
    fn too_many_periods_are_refused_at_either_end() {
        let mut timeline = of(&[(None, &[0])]);
        assert_eq!(timeline.add(None, [MAX_PERIODS].into_iter()), Err(TooLong { first: 0, last: MAX_PERIODS }));
        timeline.add(None, [MAX_PERIODS - 1].into_iter()).unwrap();
        assert_eq!(timeline.add(None, [-1].into_iter()), Err(TooLong { first: -1, last: MAX_PERIODS - 1 }));
        assert!(timeline.add(None, [i64::MIN, i64::MAX].into_iter()).is_err());
        assert_eq!(timeline.counts().len() as i64, MAX_PERIODS + 1);
    }

    /// Every split of the users, merged in either order, is the whole; the identities hold; sets of users say the same.
    #[test]
    fn merged_parts_are_the_whole_and_sets_agree() {
        let users: Vec<(Option<i64>, Vec<i64>)> = (0..64i64)
            .map(|bits| {
                let born = (bits % 3 == 0).then_some(bits % 7 - 2);
                (born, (0..6).filter(|p| bits >> p & 1 != 0).map(|p| p + bits % 5).collect())
            })
            .collect();
        let part = |keep: &dyn Fn(usize) -> bool| {
            let mut timeline = Timeline::default();
            for (_, (born, periods)) in users.iter().enumerate().filter(|(at, _)| keep(*at)) {
                timeline.add(*born, periods.iter().copied()).unwrap();
            }
            timeline
        };
        let whole = part(&|_| true);
        let active = |p: i64| -> BTreeSet<usize> { (0..64).filter(|u| users[*u].1.contains(&p)).collect() };
        let mut before = 0;
        for (period, c) in (whole.first()..).zip(whole.counts()) {
            let (now, last) = (active(period), active(period - 1));
            assert_eq!(c.active(), now.len() as i64);
            assert_eq!(c.active(), before + c.new + c.resurrected - c.dormant);
            assert_eq!(c.returning, now.intersection(&last).count() as i64);
            assert_eq!(c.dormant, last.difference(&now).count() as i64);
            before = c.active();
        }
        for parts in 2..5 {
            for rotate in 0..parts {
                let mut merged = Timeline::default();
                (0..parts).for_each(|p| merged.merge(&part(&|at| at % parts == (p + rotate) % parts)).unwrap());
                assert_eq!(rows(&merged), rows(&whole));
            }
        }
    }
}
