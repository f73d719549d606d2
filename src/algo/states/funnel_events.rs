//! The events of a user that a funnel can use, from which its answer follows however they were split.
//!
//! Deals with: their bytes, and which states go together. Does not deal with: what a funnel makes of them (`algo::funnel`).
//!
//! No event may be left out, not even one of two alike: another state may bring events that come between them.

use super::frame::{Kind, Read, close, content, damaged, open, push_signed, push_text};
use crate::algo::event::{Event, MAX_CONDITIONS};
use crate::algo::value_runs::push_varint;

/// What a time is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ticks {
    /// A local date, in days.
    Dates,
    /// An instant, in so many parts of a second.
    PerSecond(i64),
}

impl Ticks {
    const ALL: [Self; 5] = [
        Self::Dates,
        Self::PerSecond(1),
        Self::PerSecond(1_000),
        Self::PerSecond(1_000_000),
        Self::PerSecond(1_000_000_000),
    ];

    /// Appends it.
    pub fn write(self, to: &mut Vec<u8>) {
        to.push(Self::ALL.iter().position(|ticks| *ticks == self).unwrap_or_default() as u8);
    }

    /// Reads it back.
    pub fn read(code: u8) -> Read<Self> {
        Self::ALL.get(usize::from(code)).copied().ok_or_else(|| damaged("its unit of time is none"))
    }

    /// For messages.
    pub fn told(self) -> &'static str {
        match self {
            Self::Dates => "dates",
            Self::PerSecond(1) => "seconds",
            Self::PerSecond(1_000) => "milliseconds",
            Self::PerSecond(1_000_000) => "microseconds",
            Self::PerSecond(_) => "nanoseconds",
        }
    }
}

/// Which funnel the events are for. Two states go together where these are equal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// What the times are.
    pub ticks: Ticks,
    /// How many steps.
    pub steps: u8,
    /// The window, inclusive, in ticks.
    pub window: i64,
    /// Mode words, in the order of the alphabet.
    pub modes: String,
}

impl Asked {
    /// For messages.
    pub fn told(&self) -> String {
        let modes = if self.modes.is_empty() { "ordered" } else { &self.modes };
        let window = match self.ticks {
            Ticks::Dates => format!("{} days", self.window),
            Ticks::PerSecond(per_second) => match (self.window / per_second, self.window % per_second) {
                (seconds, 0) if seconds % 86_400 == 0 => format!("{} days", seconds / 86_400),
                (seconds, 0) => format!("{seconds} seconds"),
                _ => format!("{} {}", self.window, self.ticks.told()),
            },
        };
        format!("{} steps, a window of {window}, mode '{modes}', times in {}", self.steps, self.ticks.told())
    }
}

/// The state of these events, which are sorted here.
pub fn write(asked: &Asked, events: &mut [Event]) -> Vec<u8> {
    events.sort_unstable_by_key(|event| (event.time, event.mask));
    let mut bytes = open(Kind::Funnel);
    asked.ticks.write(&mut bytes);
    bytes.push(asked.steps);
    push_varint(&mut bytes, asked.window as u64);
    push_text(&mut bytes, &asked.modes);
    push_varint(&mut bytes, events.len() as u64);
    let Some(first) = events.first() else { return close(bytes) };
    // Clocks are seldom as fine as the unit of the column.
    let mut scale = (0u8, 1i64);
    while scale.0 < 9 && events.iter().all(|event| event.time % (scale.1 * 1_000) == 0) {
        scale = (scale.0 + 3, scale.1 * 1_000);
    }
    bytes.push(scale.0);
    push_signed(&mut bytes, first.time / scale.1);
    let mut before = first.time;
    for event in events {
        // As they are sorted and 64 bits wide, the difference fits.
        push_varint(&mut bytes, event.time.wrapping_sub(before) as u64 / scale.1 as u64);
        push_varint(&mut bytes, event.mask);
        before = event.time;
    }
    close(bytes)
}

/// Reads a state, and appends its events.
pub fn read(bytes: &[u8], events: &mut Vec<Event>) -> Read<Asked> {
    let mut from = content(bytes, Kind::Funnel)?;
    let ticks = Ticks::read(from.byte()?)?;
    let steps = from.byte()?;
    if !(1..=MAX_CONDITIONS).contains(&usize::from(steps)) {
        return Err(damaged(&format!("it has {steps} steps")));
    }
    let window = i64::try_from(from.number()?).map_err(|_| damaged("its window is too long"))?;
    let asked = Asked { ticks, steps, window, modes: from.text()?.to_string() };
    let count = from.count(2)?;
    if count == 0 {
        from.end()?;
        return Ok(asked);
    }
    let scale = match from.byte()? {
        exponent @ (0 | 3 | 6 | 9) => 10i64.pow(u32::from(exponent)),
        _ => return Err(damaged("its times have no unit")),
    };
    let far = || damaged("a time is too far");
    let mut time = from.signed()?.checked_mul(scale).ok_or_else(far)?;
    let mut last = None;
    let known = u64::MAX >> (MAX_CONDITIONS - usize::from(steps));
    for nth in 0..count {
        let later = from.number()?.checked_mul(scale as u64).ok_or_else(far)?;
        if nth == 0 && later != 0 {
            return Err(far());
        }
        time = time.checked_add_unsigned(later).ok_or_else(far)?;
        let mask = from.number()?;
        if mask & !known != 0 || last > Some((time, mask)) {
            return Err(damaged("its events make no sense"));
        }
        last = Some((time, mask));
        events.push(Event { time, mask, tag: 0 });
    }
    from.end()?;
    Ok(asked)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn asked() -> Asked {
        Asked { ticks: Ticks::PerSecond(1_000_000), steps: 64, window: 86_400_000_000, modes: "increase".into() }
    }

    fn event(time: i64, mask: u64) -> Event {
        Event { time, mask, tag: 0 }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]

        #[test]
        fn events_come_back(
            events in proptest::collection::vec((prop_oneof![any::<i64>(), -9..9i64, -9..9i64], any::<u64>()), 0..40),
            scale in prop_oneof![Just(1i64), Just(1_000), Just(1_000_000)],
        ) {
            let mut events: Vec<Event> =
                events.iter().map(|(time, mask)| event(time.checked_mul(scale).unwrap_or(*time), *mask)).collect();
            let bytes = write(&asked(), &mut events.clone());
            let mut read_back = Vec::new();
            prop_assert_eq!(read(&bytes, &mut read_back).unwrap(), asked());
            events.sort_unstable_by_key(|e| (e.time, e.mask));
            prop_assert_eq!(&read_back, &events);
            events.reverse();
            prop_assert_eq!(write(&asked(), &mut events), bytes);
        }
    }

    #[test]
    fn a_day_of_a_user_is_small() {
        let minute = 60_000_000;
        let mut events: Vec<Event> = (0..10).map(|n| event(1_704_067_200_000_000 + n * minute, 1 << (n % 3))).collect();
        let bytes = write(&asked(), &mut events);
        assert!(bytes.len() < 70, "{} bytes", bytes.len());
        assert!(write(&asked(), &mut []).len() < 32);
    }

    #[test]
    fn events_that_make_no_sense_are_refused() {
        let framed = |steps: u8, window: u64, rest: &[u8]| {
            let mut bytes = open(Kind::Funnel);
            bytes.extend([3, steps]);
            push_varint(&mut bytes, window);
            push_text(&mut bytes, "");
            bytes.extend(rest);
            close(bytes)
        };
        let fault = |bytes: Vec<u8>| read(&bytes, &mut Vec::new()).unwrap_err();
        read(&framed(3, 9, &[2, 0, 2, 0, 1, 1, 4]), &mut Vec::new()).unwrap();
        for (bytes, says) in [
            (framed(0, 9, &[0]), "has 0 steps"),
            (framed(65, 9, &[0]), "has 65 steps"),
            (framed(3, u64::MAX, &[0]), "window"),
            (framed(3, 9, &[2, 0, 2, 0, 1, 0, 0]), "no sense"),
            (framed(3, 9, &[2, 0, 2, 0, 1, 1, 8]), "no sense"),
            (framed(3, 9, &[1, 1, 2, 0, 1]), "no unit"),
            (framed(3, 9, &[1, 0, 2, 1, 1]), "too far"),
            (framed(3, 9, &[200, 1, 0, 2, 0, 1]), "ends early"),
            (framed(3, 9, &[0, 0]), "more bytes"),
        ] {
            let told = fault(bytes);
            assert!(told.contains(says), "{told} lacks {says}");
        }
    }
}
