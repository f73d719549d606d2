//! The retention kernel: when a user was born, and in which periods since then they came back.
//!
//! **Birth** is the user's first start event. A **return** is a *different* return event at the same or a later time.
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
    fn origin(&mut self, birth: i64) -> Option<i64> {
        match self {
            Self::Calendar(calendar) => calendar.bucket(birth),
            Self::Rolling(_) => Some(birth),
        }
    }

    /// Period of a return at the birth or later, 0 or more. `None` beyond the calendar.
    fn index(&mut self, origin: i64, time: i64) -> Option<i64> {
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
pub fn periods(birth: i64, starts: Tied, returns: &mut [Return], counting: &mut Periods, found: &mut Vec<i64>) {
    returns.sort_unstable_by_key(|r| r.time);
    let first = found.len();
    let mut at = returns.partition_point(|r| r.time < birth);
    // Ties with the birth count only where a different row can be the return.
    let mut tied = Tied::default();
    while at < returns.len() && returns[at].time == birth {
        tied = tied.and(returns[at].tied);
        at += 1;
    }
    let different_row =
        tied.has_one_role() || tied.both_roles() >= 2 || (tied.both_roles() == 1 && starts.has_one_role());
    if different_row {
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
        periods(birth, starts, &mut returns, &mut counting, &mut found);
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
    fn folding_ties_saturates() {
        let many = (0..300).fold(Tied::default(), |t, _| t.and(Tied::BOTH_ROLES));
        assert_eq!((many.both_roles(), many.has_one_role()), (2, false));
    }
}
