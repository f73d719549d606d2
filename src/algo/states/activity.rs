//! The periods in which somebody was active, as runs of consecutive ones.
//!
//! Deals with: collecting them in any order, their bytes. Does not deal with: which period a time lies in (`algo::calendar`).

use super::frame::{Content, Kind, Read, close, content, damaged, open, push_signed, push_text};
use crate::algo::calendar::{Unit, WEEKDAYS};
use crate::algo::value_runs::push_varint;

/// No period has a number farther from zero: days from 1970 to the first date of the calendar.
const FARTHEST: i64 = 4_371_587;

/// Which calendar the periods are of. Two states go together where these are equal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Periods {
    /// Unit of the periods.
    pub unit: Unit,
    /// IANA name of the time zone.
    pub zone: String,
    /// The day on which weeks start, from Monday; 0 where the unit is another.
    pub week_start: u8,
}

impl Periods {
    /// Appends them.
    pub fn write(&self, to: &mut Vec<u8>) {
        to.push(match self.unit {
            Unit::Day => 0,
            Unit::Week => 1,
            Unit::Month => 2,
            Unit::Quarter => 3,
            Unit::Year => 4,
            // Nobody reads it back: the functions refuse it.
            Unit::Hour => u8::MAX,
        });
        to.push(self.week_start);
        push_text(to, &self.zone);
    }

    /// Reads them back.
    pub fn read(from: &mut Content) -> Read<Self> {
        let unit = from.byte()?;
        let unit = Unit::NAMES.get(usize::from(unit)).and_then(|name| Unit::parse(name));
        let unit = unit.ok_or_else(|| damaged("its unit is none"))?;
        let week_start = from.byte()?;
        if usize::from(week_start) >= WEEKDAYS.len() || (week_start > 0 && unit != Unit::Week) {
            return Err(damaged("its weeks start on no day"));
        }
        Ok(Self { unit, week_start, zone: from.text()?.to_string() })
    }

    /// For messages.
    pub fn told(&self) -> String {
        match self.unit {
            Unit::Week => {
                let start = WEEKDAYS[usize::from(self.week_start)];
                format!("unit 'week' from {start}, time zone '{}'", self.zone)
            }
            unit => format!("unit '{}', time zone '{}'", unit.name(), self.zone),
        }
    }
}

/// Active periods, collected in any order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Active {
    /// First and last period of each run. All but the last few are in order and apart.
    runs: Vec<(i32, i32)>,
}

impl Active {
    /// Adds a run of periods.
    #[inline]
    pub fn add(&mut self, first: i32, last: i32) {
        if let Some(run) = self.runs.last_mut() {
            // Times usually come in order, or nearly so.
            if run.0 <= first && i64::from(first) <= i64::from(run.1) + 1 {
                run.1 = run.1.max(last);
                return;
            }
        }
        if self.runs.len() == self.runs.capacity() {
            self.tidy();
        }
        self.runs.push((first, last));
    }

    /// Puts the runs in order, each period into one.
    fn tidy(&mut self) {
        self.runs.sort_unstable();
        self.runs.dedup_by(|next, run| {
            let touches = i64::from(next.0) <= i64::from(run.1) + 1;
            if touches {
                run.1 = run.1.max(next.1);
            }
            touches
        });
    }

    /// The runs in order, none next to another.
    pub fn runs(&mut self) -> &[(i32, i32)] {
        self.tidy();
        &self.runs
    }

    /// How many periods of `from..=to` are active.
    pub fn count(&mut self, from: i64, to: i64) -> i64 {
        let within = |run: &(i32, i32)| (i64::from(run.1).min(to) - i64::from(run.0).max(from) + 1).max(0);
        self.runs().iter().map(within).sum()
    }

    /// Adds those of another.
    pub fn merge(&mut self, other: &Self) {
        other.runs.iter().for_each(|(first, last)| self.add(*first, *last));
    }

    /// Bytes held.
    pub fn size(&self) -> usize {
        self.runs.capacity() * size_of::<(i32, i32)>()
    }

    /// The state.
    pub fn write(&mut self, periods: &Periods) -> Vec<u8> {
        let mut bytes = open(Kind::Activity);
        periods.write(&mut bytes);
        let runs = self.runs();
        push_varint(&mut bytes, runs.len() as u64);
        // After the first, a run is the gap before it and its length, both without what is always there.
        let mut end = None;
        for (first, last) in runs {
            match end {
                None => push_signed(&mut bytes, i64::from(*first)),
                Some(end) => push_varint(&mut bytes, (i64::from(*first) - end - 2) as u64),
            }
            push_varint(&mut bytes, (i64::from(*last) - i64::from(*first)) as u64);
            end = Some(i64::from(*last));
        }
        close(bytes)
    }

    /// Reads a state.
    pub fn read(bytes: &[u8]) -> Read<(Periods, Self)> {
        let mut from = content(bytes, Kind::Activity)?;
        let periods = Periods::read(&mut from)?;
        let mut runs = Vec::new();
        let mut end = None;
        for _ in 0..from.count(2)? {
            let near = |number: u64| {
                i64::try_from(number).ok().filter(|n| *n <= 2 * FARTHEST).ok_or_else(|| damaged("a period is too far"))
            };
            let first = match end {
                None => from.signed()?,
                Some(end) => near(from.number()?)? + end + 2,
            };
            if !(-FARTHEST..=FARTHEST).contains(&first) {
                return Err(damaged("a period is too far"));
            }
            let last = first + near(from.number()?)?;
            if last > FARTHEST {
                return Err(damaged("a period is too far"));
            }
            runs.push((first as i32, last as i32));
            end = Some(last);
        }
        from.end()?;
        Ok((periods, Self { runs }))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn weeks() -> Periods {
        Periods { unit: Unit::Week, zone: "Europe/Berlin".into(), week_start: 6 }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]

        #[test]
        fn periods_are_those_of_a_set(
            parts in proptest::collection::vec(proptest::collection::vec(-30..30i32, 0..30), 1..5),
            from in -40..40i64, length in 0..50i64,
        ) {
            let mut whole = Active::default();
            for part in &parts {
                let mut active = Active::default();
                part.iter().for_each(|period| active.add(*period, *period));
                let (periods, read) = Active::read(&active.write(&weeks())).unwrap();
                prop_assert_eq!(periods, weeks());
                prop_assert_eq!(&read, &active);
                whole.merge(&read);
            }
            let wanted: BTreeSet<i32> = parts.iter().flatten().copied().collect();
            let got: Vec<i32> = whole.runs().iter().flat_map(|(first, last)| *first..=*last).collect();
            prop_assert_eq!(got, wanted.iter().copied().collect::<Vec<_>>());
            let within = wanted.iter().filter(|p| (from..=from + length).contains(&i64::from(**p))).count();
            prop_assert_eq!(whole.count(from, from + length), within as i64);
            let mut again = Active::default();
            wanted.iter().rev().for_each(|period| again.add(*period, *period));
            prop_assert_eq!(again.write(&weeks()), whole.write(&weeks()));
        }
    }

    #[test]
    fn a_year_of_every_day_is_a_run() {
        let mut active = Active::default();
        (20_000..20_365).for_each(|day| active.add(day, day));
        let bytes = active.write(&Periods { unit: Unit::Day, zone: "UTC".into(), week_start: 0 });
        assert!(bytes.len() < 24, "{}", bytes.len());
    }

    #[test]
    fn periods_beyond_the_calendar_are_refused() {
        let framed = |rest: &[i64]| {
            let mut bytes = open(Kind::Activity);
            weeks().write(&mut bytes);
            push_varint(&mut bytes, 1);
            push_signed(&mut bytes, rest[0]);
            push_varint(&mut bytes, rest[1] as u64);
            close(bytes)
        };
        Active::read(&framed(&[FARTHEST, 0])).unwrap();
        for wrong in [[FARTHEST, 1], [FARTHEST + 1, 0], [i64::MIN, 0], [0, -1]] {
            assert!(Active::read(&framed(&wrong)).unwrap_err().contains("too far"), "{wrong:?}");
        }
    }
}
