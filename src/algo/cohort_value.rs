//! The kernel of value retention: what a user was worth in each period since the birth.
//!
//! Deals with: one user's amounts by period ([`since_birth`], [`by_period`]), and their place in the cells of a cohort ([`Cells`]).
//! Births and periods are those of [`super::retention`]; but an amount of the birth event counts, where that is a return event
//! too: a first payment is what the later ones are compared with. Does not deal with: shares (`relations`).
//!
//! Sums lose nothing: of whole numbers and decimals they are whole numbers, of doubles exact ones, rounded once for each user and
//! period and once for each cell.

use std::cmp::Ordering;

use super::exact_sum::DoubleSum;
use super::retention::{Periods, Retained};

/// A number that is added up.
pub trait Amount: Copy + Default + Send + Sync + 'static {
    /// The sum of many.
    type Sum: Clone + Default + Send;
    /// Adds one.
    fn add_to(self, sum: &mut Self::Sum);
    /// What a sum comes to; `None` where it is too large.
    fn total(sum: &Self::Sum) -> Option<Self>;
    /// Bytes that a sum holds outside.
    fn held(_sum: &Self::Sum) -> usize {
        0
    }
    /// A total order: sums of infinities must not depend on the order of rows.
    fn order(&self, other: &Self) -> Ordering;
    /// The lesser; NaN where either is.
    fn lesser(self, other: Self) -> Self;
}

impl Amount for f64 {
    type Sum = DoubleSum;

    fn add_to(self, sum: &mut DoubleSum) {
        sum.terms += 1;
        sum.add(self);
    }

    fn total(sum: &DoubleSum) -> Option<Self> {
        Some(sum.value().unwrap_or(0.0))
    }

    fn held(sum: &DoubleSum) -> usize {
        sum.exact.size()
    }

    fn order(&self, other: &Self) -> Ordering {
        self.total_cmp(other)
    }

    fn lesser(self, other: Self) -> Self {
        if self.is_nan() || other.is_nan() { Self::NAN } else { self.min(other) }
    }
}

/// The largest sum of whole numbers or decimals: 38 digits.
const LARGEST: i128 = 10i128.pow(38) - 1;

impl Amount for i128 {
    /// `None` once it was too large.
    type Sum = Whole;

    fn add_to(self, sum: &mut Whole) {
        sum.0 = sum.0.and_then(|sum| sum.checked_add(self));
    }

    fn total(sum: &Whole) -> Option<Self> {
        sum.0.filter(|sum| sum.abs() <= LARGEST)
    }

    fn order(&self, other: &Self) -> Ordering {
        self.cmp(other)
    }

    fn lesser(self, other: Self) -> Self {
        self.min(other)
    }
}

/// A sum of whole numbers.
#[derive(Debug, Clone, Copy)]
pub struct Whole(Option<i128>);

impl Default for Whole {
    fn default() -> Self {
        Self(Some(0))
    }
}

/// A return event and its amount.
#[derive(Debug, Clone, Copy)]
pub struct Paid<V> {
    /// Time in ticks.
    pub time: i64,
    /// Number of its period; looked at only by [`by_period`].
    pub period: i32,
    /// The amount.
    pub amount: V,
}

/// What a user was worth in one period.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Worth<V> {
    /// Number of the period.
    pub period: i64,
    /// All of it.
    pub amount: V,
    /// What came at the birth in this period or after it; `None` where it has none.
    pub since: Option<V>,
}

/// A sum is too large.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooLarge;

fn total<V: Amount>(sum: &V::Sum) -> Result<V, TooLarge> {
    V::total(sum).ok_or(TooLarge)
}

fn sort<V: Amount>(paid: &mut [Paid<V>]) {
    paid.sort_unstable_by(|a, b| a.time.cmp(&b.time).then_with(|| a.amount.order(&b.amount)));
}

/// Appends the periods with amounts at the birth or later, counted from it, ascending; period 0, which is there in any case, has the
/// birth. `paid` is sorted in place.
pub fn since_birth<V: Amount>(
    birth: i64,
    paid: &mut [Paid<V>],
    counting: &mut Periods,
    found: &mut Vec<Worth<V>>,
) -> Result<(), TooLarge> {
    sort(paid);
    let Some(origin) = counting.origin(birth) else { return Ok(()) };
    let (mut period, mut sum) = (0, V::Sum::default());
    let mut end = |period: i64, sum: &V::Sum| {
        let amount = total::<V>(sum)?;
        found.push(Worth { period, amount, since: (period == 0).then_some(amount) });
        Ok(())
    };
    for event in &paid[paid.partition_point(|event| event.time < birth)..] {
        let Some(index) = counting.index(origin, event.time) else { continue };
        if index != period {
            end(period, &sum)?;
            (period, sum) = (index, V::Sum::default());
        }
        event.amount.add_to(&mut sum);
    }
    end(period, &sum)
}

/// Appends the periods that have a start or an amount, ascending. `starts` are periods with the time of a start, `paid` the amounts;
/// both are sorted in place.
pub fn by_period<V: Amount>(
    starts: &mut Vec<(i32, i64)>,
    paid: &mut [Paid<V>],
    found: &mut Vec<Worth<V>>,
) -> Result<(), TooLarge> {
    starts.sort_unstable();
    starts.dedup_by_key(|start| start.0);
    sort(paid);
    let mut starts = starts.iter().copied().peekable();
    let alone =
        |(period, _): (i32, i64)| Worth { period: i64::from(period), amount: V::default(), since: Some(V::default()) };
    for same in paid.chunk_by(|a, b| a.period == b.period) {
        let period = same[0].period;
        while let Some(start) = starts.next_if(|start| start.0 < period) {
            found.push(alone(start));
        }
        let birth = starts.next_if(|start| start.0 == period).map(|start| start.1);
        let sum_from = |from: i64| {
            let mut sum = V::Sum::default();
            same.iter().filter(|event| event.time >= from).for_each(|event| event.amount.add_to(&mut sum));
            total::<V>(&sum)
        };
        let (amount, since) = (sum_from(i64::MIN)?, birth.map(sum_from).transpose()?);
        found.push(Worth { period: i64::from(period), amount, since });
    }
    found.extend(starts.map(alone));
    Ok(())
}

/// The amounts of a cohort, in each period since the birth.
pub struct Cells<V: Amount> {
    /// The sums of the users' amounts.
    pub amounts: Box<[V::Sum]>,
    /// The sums of the lesser of a user's amount and that of period 0; of nothing but with type `on`.
    pub capped: Box<[V::Sum]>,
    /// Bytes that the sums hold outside.
    pub held: usize,
}

impl<V: Amount> Cells<V> {
    /// So many cells of nothing.
    pub fn new(cells: usize) -> Self {
        let sums = || vec![V::Sum::default(); cells].into_boxed_slice();
        Self { amounts: sums(), capped: sums(), held: 0 }
    }

    /// Changes sums.
    pub fn change<'a>(
        sums: impl IntoIterator<Item = &'a mut V::Sum>,
        held: &mut usize,
        mut change: impl FnMut(&mut V::Sum),
    ) {
        for sum in sums {
            let before = V::held(sum);
            change(sum);
            *held = *held + V::held(sum) - before;
        }
    }

    /// Adds a user: the period of the birth comes first, then later ones, ascending.
    pub fn count(&mut self, kind: &Retained, worth: &[Worth<V>]) {
        let Some(first) = worth.first() else { return };
        let base = first.since.unwrap_or_default();
        let since_birth = || {
            let later = worth[1..].iter().map(|later| (later.period - first.period, later.amount));
            std::iter::once((0, base)).chain(later)
        };
        let Self { amounts, capped, held } = self;
        let cells = amounts.len();
        let mut add = |sums: &mut [V::Sum], amount: V| Self::change(sums, held, |sum| amount.add_to(sum));
        let within = || since_birth().take_while(|(period, _)| (*period as usize) < cells);
        match kind {
            Retained::Bracket(ranges) => {
                for (cell, (from, to)) in ranges.iter().enumerate().take(cells) {
                    let of_bracket = since_birth().filter(|(period, _)| from <= period && period <= to);
                    of_bracket.for_each(|(_, amount)| add(&mut amounts[cell..=cell], amount));
                }
            }
            Retained::OnOrBefore => {
                within().for_each(|(period, amount)| add(&mut amounts[period as usize..], amount));
            }
            _ => {
                // A period without return events is one of amount 0.
                let absent = base.lesser(V::default());
                let lacks = absent.order(&V::default()).is_ne();
                let mut next = 0;
                for (period, amount) in within() {
                    let period = period as usize;
                    add(&mut amounts[period..=period], amount);
                    if lacks {
                        add(&mut capped[next..period], absent);
                    }
                    add(&mut capped[period..=period], amount.lesser(base));
                    next = period + 1;
                }
                if lacks {
                    add(&mut capped[next..], absent);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::algo::calendar::{Calendar, Clock, Unit};

    const DAY: i64 = 86_400;

    fn days() -> Periods {
        Periods::Calendar(Calendar::new(Unit::Day, "UTC", 0, Clock::Instants(1)).unwrap())
    }

    fn paid(events: &[(i64, i128)]) -> Vec<Paid<i128>> {
        events.iter().map(|(time, amount)| Paid { time: *time, period: (time / DAY) as i32, amount: *amount }).collect()
    }

    fn worth(period: i64, amount: i128, since: Option<i128>) -> Worth<i128> {
        Worth { period, amount, since }
    }

    #[test]
    fn amounts_before_the_birth_do_not_count_and_those_at_it_do() {
        let mut found = Vec::new();
        let mut events = paid(&[(2 * DAY + 5, 7), (10, 1), (100, 2), (50, 4), (DAY - 1, 8)]);
        since_birth(50, &mut events, &mut days(), &mut found).unwrap();
        assert_eq!(found, [worth(0, 14, Some(14)), worth(2, 7, None)]);
        found.clear();
        since_birth(50, &mut paid(&[(10, 1), (DAY, 3)]), &mut days(), &mut found).unwrap();
        assert_eq!(found, [worth(0, 0, Some(0)), worth(1, 3, None)]);
    }

    #[test]
    fn every_period_with_a_start_has_a_birth() {
        let mut found = Vec::new();
        let mut starts = vec![(3, 3 * DAY), (0, 60), (0, 50), (1, DAY)];
        by_period(&mut starts, &mut paid(&[(2 * DAY, 9), (55, 2), (10, 1), (60, 4)]), &mut found).unwrap();
        assert_eq!(found, [worth(0, 7, Some(6)), worth(1, 0, Some(0)), worth(2, 9, None), worth(3, 0, Some(0))]);
    }

    #[test]
    fn too_large_a_sum_is_said() {
        let mut events = paid(&[(50, i128::MAX), (51, 1)]);
        assert_eq!(since_birth(50, &mut events, &mut days(), &mut Vec::new()), Err(TooLarge));
        let mut events = paid(&[(50, LARGEST), (51, 1)]);
        assert_eq!(since_birth(50, &mut events, &mut days(), &mut Vec::new()), Err(TooLarge));
    }

    fn cells(kind: &Retained, users: &[&[Worth<i128>]]) -> (Vec<i128>, Vec<i128>) {
        let mut cells = Cells::<i128>::new(4);
        users.iter().for_each(|user| cells.count(kind, user));
        let totals = |sums: &[Whole]| sums.iter().map(|sum| i128::total(sum).unwrap()).collect();
        (totals(&cells.amounts), totals(&cells.capped))
    }

    #[test]
    fn amounts_are_capped_by_that_of_period_0_user_by_user() {
        let users: [&[Worth<i128>]; 3] = [
            &[worth(0, 10, Some(10)), worth(1, 25, None), worth(3, 4, None)],
            &[worth(5, 99, Some(6)), worth(7, 6, None), worth(9, 1, None)],
            &[worth(2, 0, Some(0)), worth(3, 8, None)],
        ];
        assert_eq!(cells(&Retained::On, &users), (vec![16, 33, 6, 4], vec![16, 10, 6, 4]));
        assert_eq!(cells(&Retained::OnOrBefore, &users).0, [16, 49, 55, 59]);
        let brackets = Retained::Bracket(vec![(0, 0), (1, 2), (3, 9)]);
        assert_eq!(cells(&brackets, &users).0[..3], [16, 39, 5]);
    }

    #[test]
    fn a_refund_in_period_0_caps_what_comes_later() {
        let users: [&[Worth<i128>]; 1] = [&[worth(0, -5, Some(-5)), worth(2, 8, None)]];
        assert_eq!(cells(&Retained::On, &users), (vec![-5, 0, 8, 0], vec![-5; 4]));
    }

    #[test]
    fn doubles_are_added_without_loss() {
        let mut cells = Cells::<f64>::new(1);
        (0..10).for_each(|_| cells.count(&Retained::On, &[Worth { period: 0, amount: 0.1, since: Some(0.1) }]));
        assert_eq!(f64::total(&cells.amounts[0]), Some(1.0));
        cells.count(&Retained::On, &[Worth { period: 0, amount: f64::NAN, since: Some(f64::NAN) }]);
        assert!(f64::total(&cells.amounts[0]).unwrap().is_nan());
    }
}
