//! When somebody was born and came back, from which `algo::retention` answers however it was split.
//!
//! Deals with: the earliest start, the last return of each period, their bytes, and which states go together.
//! Does not deal with: in which periods somebody came back (`algo::retention`).

use super::activity;
use super::frame::{Kind, Read, close, content, damaged, open, push_signed};
use super::funnel_events::Ticks;
use crate::algo::retention::{Periods, Return, Tied};
use crate::algo::value_runs::push_varint;

/// The most that [`Tied`] can hold.
const MOST_TIED: u8 = 5;

/// How returns are counted. Two states go together where these are equal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// What the times are.
    pub ticks: Ticks,
    /// Whether periods are rolling spans from the birth, not those of the calendar.
    pub rolling: bool,
    /// The calendar.
    pub periods: activity::Periods,
}

impl Asked {
    /// For messages.
    pub fn told(&self) -> String {
        let index = if self.rolling { "rolling" } else { "calendar" };
        format!("{}, index '{index}', times in {}", self.periods.told(), self.ticks.told())
    }
}

/// A birth and returns.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Returns {
    /// Time of the earliest start event; of no meaning where `starts` is none.
    pub birth: i64,
    /// The start events at that time.
    pub starts: Tied,
    /// Returns, of each period the last one at the least.
    pub returns: Vec<Return>,
}

impl Returns {
    /// Notes a start.
    pub fn start(&mut self, time: i64, tied: Tied) {
        if self.starts == Tied(0) || time < self.birth {
            (self.birth, self.starts) = (time, tied);
        } else if time == self.birth {
            self.starts = self.starts.and(tied);
        }
    }

    /// Notes a return; `fold` is a stretch of time around it of one period.
    #[inline]
    pub fn come_back(&mut self, time: i64, tied: Tied, fold: (i64, i64)) {
        match self.returns.last_mut() {
            Some(last) if fold.0 <= last.time && last.time < fold.1 => join(last, Return { time, tied }),
            _ => self.returns.push(Return { time, tied }),
        }
    }

    /// Takes in another part; false where a time is beyond the calendar.
    #[must_use]
    pub fn merge(&mut self, other: &Self, periods: &mut Periods) -> bool {
        if other.starts != Tied(0) {
            self.start(other.birth, other.starts);
        }
        for each in &other.returns {
            let Some(fold) = periods.fold(each.time) else { return false };
            self.come_back(each.time, each.tied, fold);
        }
        true
    }

    /// Puts returns in order, one a period; false where a time is beyond the calendar.
    #[must_use]
    pub fn tidy(&mut self, periods: &mut Periods) -> bool {
        self.returns.sort_unstable_by_key(|r| r.time);
        let mut within = true;
        self.returns.dedup_by(|next, last| {
            let Some((from, until)) = periods.fold(next.time) else {
                within = false;
                return false;
            };
            let same = from <= last.time && last.time < until;
            if same {
                join(last, *next);
            }
            same
        });
        within
    }

    /// Bytes held.
    pub fn size(&self) -> usize {
        self.returns.capacity() * size_of::<Return>()
    }

    /// The state; of what was tidied.
    pub fn write(&self, asked: &Asked) -> Vec<u8> {
        let mut bytes = open(Kind::Retention);
        asked.ticks.write(&mut bytes);
        bytes.push(u8::from(asked.rolling));
        asked.periods.write(&mut bytes);
        bytes.push(self.starts.0);
        if self.starts != Tied(0) {
            push_signed(&mut bytes, self.birth);
        }
        push_varint(&mut bytes, self.returns.len() as u64);
        let mut before = None;
        for each in &self.returns {
            match before {
                None => push_signed(&mut bytes, each.time),
                Some(before) => push_varint(&mut bytes, each.time.wrapping_sub(before) as u64),
            }
            bytes.push(each.tied.0);
            before = Some(each.time);
        }
        close(bytes)
    }

    /// Reads a state.
    pub fn read(bytes: &[u8]) -> Read<(Asked, Self)> {
        let mut from = content(bytes, Kind::Retention)?;
        let ticks = Ticks::read(from.byte()?)?;
        let rolling = match from.byte()? {
            0 => false,
            1 => true,
            _ => return Err(damaged("its index is none")),
        };
        let asked = Asked { ticks, rolling, periods: activity::Periods::read(&mut from)? };
        let tied = |code: u8| {
            if code <= MOST_TIED { Ok(Tied(code)) } else { Err(damaged("its ties make no sense")) }
        };
        let starts = tied(from.byte()?)?;
        let birth = if starts == Tied(0) { 0 } else { from.signed()? };
        let mut returns: Vec<Return> = Vec::new();
        for _ in 0..from.count(2)? {
            let time = match returns.last() {
                None => from.signed()?,
                Some(last) => {
                    let later = from.number()?;
                    let time = last.time.checked_add_unsigned(later).filter(|_| later > 0);
                    time.ok_or_else(|| damaged("its returns do not ascend"))?
                }
            };
            let tied = tied(from.byte()?)?;
            if tied == Tied(0) {
                return Err(damaged("its ties make no sense"));
            }
            returns.push(Return { time, tied });
        }
        from.end()?;
        Ok((asked, Self { birth, starts, returns }))
    }
}

/// Adds a return of the same period.
fn join(last: &mut Return, other: Return) {
    match other.time.cmp(&last.time) {
        std::cmp::Ordering::Greater => *last = other,
        std::cmp::Ordering::Equal => last.tied = last.tied.and(other.tied),
        std::cmp::Ordering::Less => {}
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::algo::calendar::{Calendar, Clock, Unit};
    use crate::algo::retention::periods;

    fn asked() -> Asked {
        let periods = activity::Periods { unit: Unit::Day, zone: "UTC".into(), week_start: 0 };
        Asked { ticks: Ticks::PerSecond(1), rolling: false, periods }
    }

    fn days() -> Periods {
        Periods::Calendar(Calendar::new(Unit::Day, "UTC", 0, Clock::Instants(1)).unwrap())
    }

    fn of(events: &[(i64, u8)], periods: &mut Periods) -> Returns {
        let mut all = Returns::default();
        for (time, roles) in events {
            let tied = if *roles == 3 { Tied::BOTH_ROLES } else { Tied::ONE_ROLE };
            if roles & 1 != 0 {
                all.start(*time, tied);
            }
            if roles & 2 != 0 {
                all.come_back(*time, tied, periods.fold(*time).unwrap());
            }
        }
        all
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]

        /// Through parts and bytes comes what the kernel answers over every single event.
        #[test]
        fn parts_answer_as_the_whole(
            parts in proptest::collection::vec(proptest::collection::vec((-6..12i64, 1..4u8), 0..8), 1..4),
            rolling in any::<bool>(),
        ) {
            let mut counting = if rolling { Periods::Rolling(86_400) } else { days() };
            let spread = |(time, roles): &(i64, u8)| (time * 21_600, *roles);
            let mut whole = Returns::default();
            for part in &parts {
                let part: Vec<_> = part.iter().map(spread).collect();
                let mut one = of(&part, &mut counting);
                prop_assert!(one.tidy(&mut counting));
                let (read, back) = Returns::read(&one.write(&asked())).unwrap();
                prop_assert_eq!(read, asked());
                prop_assert_eq!(&back, &one);
                prop_assert!(whole.merge(&back, &mut counting));
            }
            prop_assert!(whole.tidy(&mut counting));
            let events: Vec<_> = parts.iter().flatten().map(spread).collect();
            let starts: Vec<_> = events.iter().filter(|(_, roles)| roles & 1 != 0).collect();
            let tied = |roles| if roles == 3 { Tied::BOTH_ROLES } else { Tied::ONE_ROLE };
            if let Some(birth) = starts.iter().map(|(time, _)| *time).min() {
                let at_birth = starts.iter().filter(|(time, _)| *time == birth);
                let starts = at_birth.fold(Tied(0), |all, (_, roles)| all.and(tied(*roles)));
                let mut every: Vec<Return> = events.iter().filter(|(_, roles)| roles & 2 != 0)
                    .map(|(time, roles)| Return { time: *time, tied: tied(*roles) }).collect();
                let (mut wanted, mut got) = (Vec::new(), Vec::new());
                periods(birth, starts, &mut every, &mut counting, 1, &mut wanted);
                periods(whole.birth, whole.starts, &mut whole.returns.clone(), &mut counting, 1, &mut got);
                prop_assert_eq!(got, wanted);
            }
            // The same bytes from all events at once, in another order.
            let mut backwards: Vec<_> = events.clone();
            backwards.reverse();
            let mut again = of(&backwards, &mut counting);
            prop_assert!(again.tidy(&mut counting));
            prop_assert_eq!(again.write(&asked()), whole.write(&asked()));
        }
    }
}
