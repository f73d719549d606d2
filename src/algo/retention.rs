//! The retention kernel: when a user was born, in which periods since then they came back, and in which cells that counts.
//!
//! **Birth** is the user's first start event, or the first of every period ([`memberships`]). A **return** is a *different* return event at the same or a later time.
//! The period of a return is counted from the birth, in calendar periods or in rolling spans of fixed length.
//! Deals with: one user. Does not deal with: cohorts and shares (`functions`, `relations`).
//!
//! State is compact because only two things matter: the earliest start, and in each period the *last* return event. That
//! is enough for period 0 too: a return exists after the birth exactly when the last one in the birth's period is later
//! than the birth, or is tied with it and a different row.

use super::calendar::Calendar;

/// Tied start or return events at one instant, as far as the answer can depend on them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tied(pub u8);

impl Tied {
    /// An event that is only a start, or only a return.
    pub const ONE_ROLE: Self = Self(1);
    /// An event that is both start and return.
    pub const BOTH_ROLES: Self = Self(2);

    /// Adds another event at the same instant. Two events of both roles are as good as any number.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        let both = ((self.0 >> 1) + (other.0 >> 1)).min(2);
        Self((self.0 | other.0) & 1 | both << 1)
    }

    fn has_one_role(self) -> bool {
        self.0 & 1 != 0
    }

    fn both_roles(self) -> u8 {
        self.0 >> 1
    }
}

/// How returns are counted from the birth.
#[derive(Debug, Clone)]
pub enum Periods {
    /// Calendar periods: bucket of the return minus bucket of the birth.
    Calendar(Calendar),
    /// Spans of this many ticks: `floor((return - birth) / span)`.
    Rolling(i64),
}

impl Periods {
    /// A stretch `from..until` around `time`: a return in it may be folded into a later one in it before the birth is known,
    /// since both are of one period whatever the birth. `None` beyond the calendar.
    #[inline]
    pub fn fold(&mut self, time: i64) -> Option<(i64, i64)> {
        match self {
            Self::Calendar(calendar) => calendar.stretch(time),
            Self::Rolling(_) => Some((time, time.saturating_add(1))),
        }
    }

    /// What the periods of a user are counted from: the birth's bucket, or the birth. `None` beyond the calendar.
    ///
    /// Asked once a user: asking again with each return would take turns with it in the calendar's caches, so that none
    /// is ever hit.
    pub(super) fn origin(&mut self, birth: i64) -> Option<i64> {
        match self {
            Self::Calendar(calendar) => calendar.bucket(birth),
            Self::Rolling(_) => Some(birth),
        }
    }

    /// Period of a return at the birth or later, 0 or more. `None` beyond the calendar.
    pub(super) fn index(&mut self, origin: i64, time: i64) -> Option<i64> {
        match self {
            Self::Calendar(calendar) => Some(calendar.bucket(time)? - origin),
            Self::Rolling(span) => {
                Some(i64::try_from((i128::from(time) - i128::from(origin)) / i128::from(*span)).ok()?)
            }
        }
    }
}

/// The last return of one period; several of one period and instant may be given, in any order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Return {
    /// Time in ticks.
    pub time: i64,
    /// The return events at that time.
    pub tied: Tied,
}

/// Appends the distinct periods with a return, ascending. `returns` is sorted in place.
///
/// With `least` above 1 a period needs so many returns, and each element of `returns` must be one event.
pub fn periods(
    birth: i64,
    starts: Tied,
    returns: &mut [Return],
    counting: &mut Periods,
    least: u32,
    found: &mut Vec<i64>,
) {
    returns.sort_unstable_by_key(|r| r.time);
    let mut at = returns.partition_point(|r| r.time < birth);
    if least > 1 {
        // The birth is no return of its own; a tied event that is a start alone is the birth in its place.
        let own = returns[at..].iter().take_while(|r| r.time == birth).position(|r| r.tied.both_roles() > 0);
        if let Some(own) = own.filter(|_| !starts.has_one_role()) {
            returns.swap(at, at + own);
            at += 1;
        }
        enough(birth, &returns[at..], counting, least, found);
        return;
    }
    let first = found.len();
    // Ties with the birth count only where a different row can be the return.
    let mut tied = Tied::default();
    while at < returns.len() && returns[at].time == birth {
        tied = tied.and(returns[at].tied);
        at += 1;
    }
    if another(starts, tied) {
        found.push(0);
    }
    let Some(origin) = counting.origin(birth) else { return };
    for r in &returns[at..] {
        let Some(index) = counting.index(origin, r.time) else { continue };
        if found.len() == first || found.last() != Some(&index) {
            found.push(index);
        }
    }
}

/// Appends the periods that have `least` of these returns, which are in order.
fn enough(birth: i64, returns: &[Return], counting: &mut Periods, least: u32, found: &mut Vec<i64>) {
    let Some(origin) = counting.origin(birth) else { return };
    let (mut period, mut seen) = (-1, 0);
    for r in returns {
        let Some(index) = counting.index(origin, r.time) else { continue };
        if index != period {
            (period, seen) = (index, 0);
        }
        seen += 1;
        if seen == least {
            found.push(period);
        }
    }
}

/// What is known of one period of a user, or a part of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Visit {
    /// Number of the period.
    pub period: i32,
    /// The first start event and those tied with it; none where `starts` is none.
    pub start: i64,
    /// The start events at `start`.
    pub starts: Tied,
    /// The last return event and those tied with it; none where `returns` is none.
    pub last: i64,
    /// The return events at `last`.
    pub returns: Tied,
}

impl Visit {
    /// Adds another part of the same period.
    pub fn and(&mut self, other: &Self) {
        if other.starts != Tied(0) {
            if self.starts == Tied(0) || other.start < self.start {
                (self.start, self.starts) = (other.start, other.starts);
            } else if other.start == self.start {
                self.starts = self.starts.and(other.starts);
            }
        }
        if other.returns != Tied(0) {
            if self.returns == Tied(0) || other.last > self.last {
                (self.last, self.returns) = (other.last, other.returns);
            } else if other.last == self.last {
                self.returns = self.returns.and(other.returns);
            }
        }
    }
}

/// What a user did in a period.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Membership {
    /// Number of the period.
    pub period: i32,
    /// The first start event, by which the user is of the period's cohort.
    pub start: Option<i64>,
    /// Whether there are enough return events, as those of earlier cohorts need.
    pub returned: bool,
    /// Whether enough of them are other events than the start, at its time or later.
    pub again: bool,
}

/// Appends what a user did in each period, in order. `visits` is sorted in place.
///
/// With `least` above 1 a period needs so many returns, and each element of `visits` must be one event.
pub fn memberships(visits: &mut [Visit], least: u32, found: &mut Vec<Membership>) {
    visits.sort_unstable_by_key(|v| v.period);
    for same in visits.chunk_by(|a, b| a.period == b.period) {
        let mut whole = same[0];
        same[1..].iter().for_each(|part| whole.and(part));
        let start = (whole.starts != Tied(0)).then_some(whole.start);
        let (returned, again) = match start {
            _ if least > 1 => {
                let returns = || same.iter().filter(|v| v.returns != Tied(0));
                let later = start.map_or(0, |start| {
                    let later = returns().filter(|v| v.last >= start).count();
                    // The birth is no return of its own; a tied event that is a start alone is the birth in its place.
                    let own = !whole.starts.has_one_role()
                        && returns().any(|v| v.last == start && v.returns.both_roles() > 0);
                    later - usize::from(own)
                });
                (returns().count() >= least as usize, later >= least as usize)
            }
            None => (whole.returns != Tied(0), false),
            Some(start) => (
                whole.returns != Tied(0),
                whole.returns != Tied(0)
                    && (whole.last > start || (whole.last == start && another(whole.starts, whole.returns))),
            ),
        };
        found.push(Membership { period: whole.period, start, returned, again });
    }
}

/// Whether of these tied events one is a return and another one the start.
fn another(starts: Tied, returns: Tied) -> bool {
    returns.has_one_role() || returns.both_roles() >= 2 || (returns.both_roles() == 1 && starts.has_one_role())
}

/// What counts as retained in a cell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Retained {
    /// Came back in period n.
    On,
    /// In period n or later.
    OnOrAfter,
    /// In one of the periods 1 to n.
    OnOrBefore,
    /// In each of the periods 1 to n.
    Streak,
    /// In a period of the n-th range.
    Bracket(Vec<(i64, i64)>),
}

impl Retained {
    /// The last period that matters, where only `cells` are counted.
    pub fn last_period(&self, cells: usize) -> i64 {
        match self {
            Self::OnOrAfter => i64::MAX,
            Self::Bracket(ranges) => ranges.iter().map(|range| range.1).max().unwrap_or(0),
            _ => cells as i64 - 1,
        }
    }

    /// Adds a user who came back in these periods, distinct and ascending. Cell 0 is that of period 0, except with brackets.
    pub fn count(&self, periods: &[i64], counts: &mut [i64]) {
        let last = counts.len() as i64 - 1;
        let within = |period: &i64| (0..=last).contains(period);
        match self {
            Self::On => periods.iter().copied().filter(within).for_each(|p| counts[p as usize] += 1),
            Self::OnOrAfter => {
                if let Some(end) = periods.last().filter(|end| **end >= 0) {
                    counts[..=last.min(*end) as usize].iter_mut().for_each(|c| *c += 1);
                }
            }
            Self::OnOrBefore | Self::Streak => {
                if periods.contains(&0) {
                    counts[0] += 1;
                }
                let later = &periods[periods.partition_point(|p| *p < 1)..];
                let run = later.iter().zip(1..).take_while(|(period, n)| *period == n).count();
                match (self, later.first()) {
                    (Self::OnOrBefore, Some(first)) if *first <= last => {
                        counts[*first as usize..].iter_mut().for_each(|c| *c += 1);
                    }
                    (Self::Streak, _) => counts[1..].iter_mut().take(run).for_each(|c| *c += 1),
                    _ => {}
                }
            }
            Self::Bracket(ranges) => {
                for (count, (from, to)) in counts.iter_mut().zip(ranges) {
                    let first = periods.partition_point(|p| p < from);
                    *count += i64::from(periods.get(first).is_some_and(|p| p <= to));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::algo::calendar::{Clock, Unit};

    fn day() -> Periods {
        Periods::Calendar(Calendar::new(Unit::Day, "UTC", 0, Clock::Instants(1)).unwrap())
    }

    fn found(birth: i64, starts: Tied, returns: &[(i64, Tied)], mut counting: Periods) -> Vec<i64> {
        let mut returns: Vec<Return> = returns.iter().map(|(time, tied)| Return { time: *time, tied: *tied }).collect();
        let mut found = Vec::new();
        periods(birth, starts, &mut returns, &mut counting, 1, &mut found);
        found
    }

    #[test]
    fn the_birth_itself_is_no_return() {
        assert!(found(100, Tied::BOTH_ROLES, &[(100, Tied::BOTH_ROLES)], day()).is_empty());
        // The same instant twice is a return, and so is a tied row of the other role.
        let twice = Tied::BOTH_ROLES.and(Tied::BOTH_ROLES);
        assert_eq!(found(100, twice, &[(100, twice)], day()), [0]);
        assert_eq!(found(100, Tied::ONE_ROLE, &[(100, Tied::ONE_ROLE)], day()), [0]);
        assert_eq!(found(100, Tied::ONE_ROLE.and(Tied::BOTH_ROLES), &[(100, Tied::BOTH_ROLES)], day()), [0]);
    }

    #[test]
    fn calendar_and_rolling_periods_differ() {
        let returns = [(86_400, Tied::ONE_ROLE), (50, Tied::ONE_ROLE), (90_000 + 86_400, Tied::ONE_ROLE)];
        assert_eq!(found(86_000, Tied::ONE_ROLE, &returns, day()), [1, 2]);
        assert_eq!(found(86_000, Tied::ONE_ROLE, &returns, Periods::Rolling(86_400)), [0, 1]);
    }

    #[test]
    fn several_returns_are_counted_without_the_birth() {
        let (one, both) = (Tied::ONE_ROLE, Tied::BOTH_ROLES);
        let twice = |starts: Tied, returns: &[(i64, Tied)]| {
            let mut returns: Vec<Return> =
                returns.iter().map(|(time, tied)| Return { time: *time, tied: *tied }).collect();
            let mut found = Vec::new();
            periods(100, starts, &mut returns, &mut day(), 2, &mut found);
            found
        };
        assert!(twice(both, &[(100, both), (101, one)]).is_empty());
        assert_eq!(twice(both, &[(102, one), (100, both), (101, one)]), [0]);
        assert_eq!(twice(one, &[(100, one), (101, one)]), [0]);
        assert_eq!(twice(one.and(both), &[(100, both), (101, one)]), [0]);
        // The birth stands behind a tied return.
        assert!(twice(both, &[(100, one), (100, both)]).is_empty());
        assert_eq!(
            twice(both, &[(100, one), (100, both), (100, both), (86_400, one), (172_800, one), (172_801, one)]),
            [0, 2]
        );
    }

    #[test]
    fn cells_of_each_type() {
        let cells = |kind: Retained, periods: &[i64]| {
            let mut counts = vec![0; 5];
            kind.count(periods, &mut counts);
            counts
        };
        assert_eq!(cells(Retained::On, &[0, 2, 7]), [1, 0, 1, 0, 0]);
        assert_eq!(cells(Retained::OnOrAfter, &[0, 2]), [1, 1, 1, 0, 0]);
        assert_eq!(cells(Retained::OnOrAfter, &[9]), [1; 5]);
        assert_eq!(cells(Retained::OnOrBefore, &[2, 7]), [0, 0, 1, 1, 1]);
        assert_eq!(cells(Retained::OnOrBefore, &[0, 7]), [1, 0, 0, 0, 0]);
        assert_eq!(cells(Retained::Streak, &[1, 2, 4]), [0, 1, 1, 0, 0]);
        assert_eq!(cells(Retained::Streak, &[0, 2, 3]), [1, 0, 0, 0, 0]);
        assert_eq!(cells(Retained::Streak, &[0, 1, 2, 3, 4, 5, 6]), [1; 5]);
        assert_eq!(cells(Retained::Bracket(vec![(1, 3), (4, 7), (8, 8)]), &[0, 3, 8]), [1, 0, 1, 0, 0]);
        for kind in [Retained::On, Retained::OnOrAfter, Retained::OnOrBefore, Retained::Streak] {
            assert_eq!(cells(kind, &[]), [0; 5]);
        }
    }

    #[test]
    fn folding_ties_saturates() {
        let many = (0..300).fold(Tied::default(), |t, _| t.and(Tied::BOTH_ROLES));
        assert_eq!((many.both_roles(), many.has_one_role()), (2, false));
    }
}
