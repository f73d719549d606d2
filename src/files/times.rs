//! Times as people write them, read to microseconds since 1970 in UTC.
//!
//! Deals with: ISO 8601 and RFC 3339 text with or without a zone, epochs of four units, strptime patterns, local times of a
//! zone, times finer than a microsecond. Does not deal with: which column is a time (`columns`), or guessing (`infer`).
//!
//! Local times follow the usual rule where a clock is changed: one that exists twice is the earlier instant, one that does not
//! exist is as far after the change as it claims to be.

use jiff::civil::DateTime;
use jiff::fmt::strtime::BrokenDownTime;
use jiff::tz::{Offset, TimeZone};

use super::reject::Fault;

/// Unit of times that are numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EpochUnit {
    /// Seconds.
    Seconds,
    /// Milliseconds.
    Millis,
    /// Microseconds.
    Micros,
    /// Nanoseconds.
    Nanos,
}

impl EpochUnit {
    /// The unit with this name, as in `--time-unit ms`.
    pub fn parse(name: &str) -> Option<Self> {
        match name {
            "s" => Some(Self::Seconds),
            "ms" => Some(Self::Millis),
            "us" => Some(Self::Micros),
            "ns" => Some(Self::Nanos),
            _ => None,
        }
    }

    /// The name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Seconds => "s",
            Self::Millis => "ms",
            Self::Micros => "us",
            Self::Nanos => "ns",
        }
    }

    /// The unit in which a number is a time between 1973 and 5138; below that nothing can be told.
    pub fn guess(value: i64) -> Option<Self> {
        match value.unsigned_abs() {
            0..100_000_000 => None,
            100_000_000..100_000_000_000 => Some(Self::Seconds),
            100_000_000_000..100_000_000_000_000 => Some(Self::Millis),
            100_000_000_000_000..100_000_000_000_000_000 => Some(Self::Micros),
            _ => Some(Self::Nanos),
        }
    }

    /// Decimal places to shift a number of this unit so that it counts microseconds.
    fn places(self) -> i32 {
        match self {
            Self::Seconds => 6,
            Self::Millis => 3,
            Self::Micros => 0,
            Self::Nanos => -3,
        }
    }
}

/// How a column's times are written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TimeFormat {
    /// `2024-01-31`, `2024-01-31 12:00[:00[.123456]]` with `T` or a blank, and `Z`, `UTC`, `+02:00` or nothing after it.
    Iso,
    /// A number since 1970, also with decimals.
    Epoch(EpochUnit),
    /// A strptime pattern.
    Pattern(String),
}

impl TimeFormat {
    /// As it is shown to people.
    pub fn describe(&self) -> String {
        match self {
            Self::Iso => "ISO 8601".into(),
            Self::Epoch(unit) => format!("epoch in {}", unit.name()),
            Self::Pattern(pattern) => pattern.clone(),
        }
    }
}

/// Patterns that are tried where nothing is said: such that can be read in one way only.
pub const KNOWN_PATTERNS: [&str; 4] =
    ["%d/%b/%Y:%H:%M:%S %z", "%a, %d %b %Y %H:%M:%S %z", "%Y/%m/%d %H:%M:%S", "%Y/%m/%d %H:%M:%S%.f"];

const NO_TIME: Fault = Fault("is not a time of the column's format");
const TOO_FINE: Fault = Fault("is finer than a microsecond (--floor-time cuts it)");
const OTHER_UNIT: Fault = Fault("is not in the unit of the column's other times (--time-unit says the unit)");
const FINER_THAN_NANOS: Fault = Fault("is finer than a nanosecond");
const FAR_FOR_NANOS: Fault = Fault("is beyond 1677 to 2262, the years of times with nanoseconds");
const FAR: Fault = Fault("is beyond the years 1 to 9999");

const SECOND: i64 = 1_000_000;
const DAY: i64 = 86_400 * SECOND;
/// 0001-01-01 and the end of 9999, in microseconds.
const RANGE: std::ops::Range<i64> = -62_135_596_800 * SECOND..253_402_300_800 * SECOND;

/// Reads the times of one column. Holds a small cache, so each thread has its own.
#[derive(Debug, Clone)]
pub struct TimeReader {
    format: TimeFormat,
    /// `None` is UTC.
    zone: Option<TimeZone>,
    floor: bool,
    /// Whether the unit of numbers was told by their size: then a number of another size is none of them.
    guessed: bool,
    /// A local minute and what to subtract from it.
    cached: Option<(i64, i64)>,
}

impl TimeReader {
    /// Times of `format`; those without a zone are of `zone` (`None`: UTC). With `floor`, what is finer than a microsecond is
    /// cut instead of refused.
    pub fn new(format: TimeFormat, zone: Option<TimeZone>, floor: bool) -> Self {
        Self { format, zone, floor, guessed: false, cached: None }
    }

    /// The same for numbers whose unit was told by their size: one of another size is in another unit, and would be a wrong time.
    #[must_use]
    pub fn guessed(mut self) -> Self {
        self.guessed = true;
        self
    }

    /// The same for values that say their unit themselves.
    #[must_use]
    pub fn of_any_size(mut self) -> Self {
        self.guessed = false;
        self
    }

    fn check_size(&self, value: i64, unit: EpochUnit) -> Result<(), Fault> {
        if self.guessed && EpochUnit::guess(value) != Some(unit) { Err(OTHER_UNIT) } else { Ok(()) }
    }

    /// How the times are written.
    pub fn format(&self) -> &TimeFormat {
        &self.format
    }

    /// Whether times without a zone are of another zone than UTC.
    pub fn zone_name(&self) -> Option<&str> {
        self.zone.as_ref().and_then(|zone| zone.iana_name())
    }

    /// Reads a time.
    pub fn read(&mut self, text: &[u8]) -> Result<i64, Fault> {
        let text = text.trim_ascii();
        match &self.format {
            TimeFormat::Iso => {
                let iso = parse_iso(text).ok_or(NO_TIME)?;
                if iso.finer() && !self.floor {
                    return Err(TOO_FINE);
                }
                self.instant(&iso)
            }
            TimeFormat::Epoch(unit) => {
                if self.guessed {
                    let whole = text.split(|b| *b == b'.').next().unwrap_or_default();
                    let whole = std::str::from_utf8(whole).ok().and_then(|whole| whole.parse().ok());
                    self.check_size(whole.ok_or(NO_TIME)?, *unit)?;
                }
                epoch(text, *unit, self.floor)
            }
            TimeFormat::Pattern(pattern) => {
                let broken = BrokenDownTime::parse(pattern, text).map_err(|_| NO_TIME)?;
                let nanos = if broken.offset().is_some() || broken.timestamp().is_some() {
                    broken.to_timestamp().map_err(|_| NO_TIME)?.as_nanosecond()
                } else {
                    let local = match broken.to_datetime() {
                        Ok(local) => local,
                        Err(_) => broken.to_date().map_err(|_| NO_TIME)?.to_datetime(jiff::civil::Time::midnight()),
                    };
                    let nanos = Offset::UTC.to_timestamp(local).map_err(|_| FAR)?.as_nanosecond();
                    let micros = self.micros(nanos)?;
                    return self.local(micros);
                };
                in_range(self.micros(nanos)?)
            }
        }
    }

    fn instant(&mut self, iso: &Iso) -> Result<i64, Fault> {
        match iso.offset {
            Some(seconds) => in_range(iso.local - seconds * SECOND),
            None => self.local(iso.local),
        }
    }

    /// Reads a time in nanoseconds since 1970.
    pub fn read_nanos(&mut self, text: &[u8]) -> Result<i64, Fault> {
        let (micros, nanos) = match &self.format {
            TimeFormat::Iso => {
                let iso = parse_iso(text.trim_ascii()).ok_or(NO_TIME)?;
                if iso.finer_than_nanos {
                    return Err(FINER_THAN_NANOS);
                }
                (self.instant(&iso)?, iso.nanos)
            }
            TimeFormat::Epoch(_) | TimeFormat::Pattern(_) => (self.read(text)?, 0),
        };
        micros.checked_mul(1000).and_then(|whole| whole.checked_add(nanos)).ok_or(FAR_FOR_NANOS)
    }

    /// Reads a time that is a whole number of a unit.
    pub fn number(&self, value: i64, unit: EpochUnit) -> Result<i64, Fault> {
        self.check_size(value, unit)?;
        let micros = match unit.places() {
            6 => value.checked_mul(SECOND),
            3 => value.checked_mul(1000),
            0 => Some(value),
            _ if value % 1000 != 0 && !self.floor => return Err(TOO_FINE),
            _ => Some(value.div_euclid(1000)),
        };
        in_range(micros.ok_or(FAR)?)
    }

    /// The instant of a local time, both in microseconds.
    pub fn local(&mut self, local: i64) -> Result<i64, Fault> {
        let Some(zone) = &self.zone else { return in_range(local) };
        let minute = local.div_euclid(60 * SECOND);
        if let Some((known, offset)) = self.cached
            && known == minute
        {
            return in_range(local - offset);
        }
        let whole = local.div_euclid(SECOND);
        let stamp = jiff::Timestamp::from_second(whole).map_err(|_| FAR)?;
        let civil: DateTime = Offset::UTC.to_datetime(stamp);
        let instant = zone.to_ambiguous_timestamp(civil).compatible().map_err(|_| FAR)?;
        let offset = (whole - instant.as_second()) * SECOND;
        // Before 1972 clocks were changed by odd seconds within a minute.
        if whole > 63_072_000 {
            self.cached = Some((minute, offset));
        }
        in_range(local - offset)
    }

    fn micros(&self, nanos: i128) -> Result<i64, Fault> {
        if nanos % 1000 != 0 && !self.floor {
            return Err(TOO_FINE);
        }
        i64::try_from(nanos.div_euclid(1000)).map_err(|_| FAR)
    }
}

fn in_range(micros: i64) -> Result<i64, Fault> {
    if RANGE.contains(&micros) { Ok(micros) } else { Err(FAR) }
}

/// A time as text, taken apart.
pub struct Iso {
    /// Microseconds since 1970 on the clock that the text shows.
    pub local: i64,
    /// Seconds east of UTC, where the text says it.
    pub offset: Option<i64>,
    /// Nanoseconds behind them, below 1,000.
    pub nanos: i64,
    /// Whether there is a part finer than these, too.
    pub finer_than_nanos: bool,
    /// Whether it is a date alone.
    pub date_only: bool,
}

impl Iso {
    /// Whether there is a part finer than a microsecond.
    pub fn finer(&self) -> bool {
        self.nanos != 0 || self.finer_than_nanos
    }

    /// Whether a number of nanoseconds since 1970 tells it, give or take a day of its zone.
    pub fn fits_nanos(&self) -> bool {
        const FARTHEST: i64 = i64::MAX / 1000 - DAY;
        !self.finer_than_nanos && self.local.abs() < FARTHEST
    }
}

/// Reads ISO 8601 text; `None` where it is something else.
pub fn parse_iso(text: &[u8]) -> Option<Iso> {
    let days = i64::from(parse_date(text.get(..10)?)?);
    let rest = &text[10..];
    if rest.is_empty() {
        return Some(Iso { local: days * DAY, offset: None, nanos: 0, finer_than_nanos: false, date_only: true });
    }
    if !matches!(rest[0], b'T' | b't' | b' ') || rest.len() < 6 || rest[3] != b':' {
        return None;
    }
    let (hour, minute) = (two(&rest[1..3])?, two(&rest[4..6])?);
    let mut rest = &rest[6..];
    let (mut second, mut micros, mut nanos, mut finer_than_nanos) = (0, 0, 0, false);
    if let [b':', digits @ ..] = rest {
        second = two(digits.get(..2)?)?;
        rest = &digits[2..];
        if let [b'.' | b',', digits @ ..] = rest {
            let length = digits.iter().take_while(|b| b.is_ascii_digit()).count();
            if length == 0 {
                return None;
            }
            for place in 0..6 {
                micros = micros * 10 + digits[..length].get(place).map_or(0, |b| i64::from(b - b'0'));
            }
            if length > 6 {
                for place in 6..9 {
                    nanos = nanos * 10 + digits[..length].get(place).map_or(0, |b| i64::from(b - b'0'));
                }
                finer_than_nanos = digits[..length].iter().skip(9).any(|b| *b != b'0');
            }
            rest = &digits[length..];
        }
    }
    // A leap second ends a quarter of an hour on any clock. It has no place of its own in Unix time.
    if hour > 23 || minute > 59 || second > 60 || (second == 60 && minute % 15 != 14) {
        return None;
    }
    let second = second.min(59);
    let local = days * DAY + ((hour * 60 + minute) * 60 + second) * SECOND + micros;
    Some(Iso { local, offset: zone(rest)?, nanos, finer_than_nanos, date_only: false })
}

/// Days since 1970 of `YYYY-MM-DD`.
pub fn parse_date(text: &[u8]) -> Option<i32> {
    let [y1, y2, y3, y4, b'-', m1, m2, b'-', d1, d2] = *text else { return None };
    let year = two(&[y1, y2])? * 100 + two(&[y3, y4])?;
    let (month, day) = (two(&[m1, m2])?, two(&[d1, d2])?);
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let length = match month {
        4 | 6 | 9 | 11 => 30,
        2 if leap => 29,
        2 => 28,
        1..=12 => 31,
        _ => return None,
    };
    if year == 0 || day == 0 || day > length {
        return None;
    }
    // Years that begin in March put the leap day at their end.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = year * 365 + year / 4 - year / 100 + year / 400 + (month * 153 + 2) / 5 + day - 1;
    i32::try_from(days - 719_468).ok()
}

fn two(digits: &[u8]) -> Option<i64> {
    match digits {
        [a @ b'0'..=b'9', b @ b'0'..=b'9'] => Some(i64::from((a - b'0') * 10 + (b - b'0'))),
        _ => None,
    }
}

/// `Some(None)` is a text without a zone, `None` is no zone.
#[allow(clippy::option_option)]
fn zone(text: &[u8]) -> Option<Option<i64>> {
    let text = text.trim_ascii_start();
    let (sign, digits) = match text {
        [] => return Some(None),
        b"Z" | b"z" | b"UTC" | b"GMT" => return Some(Some(0)),
        [b'+', digits @ ..] => (1, digits),
        [b'-', digits @ ..] => (-1, digits),
        _ => return None,
    };
    let (hours, minutes) = match digits {
        [_, _] => (two(digits)?, 0),
        [hours @ .., b':', a, b] if hours.len() == 2 => (two(hours)?, two(&[*a, *b])?),
        [a, b, c, d] => (two(&[*a, *b])?, two(&[*c, *d])?),
        _ => return None,
    };
    (hours <= 23 && minutes <= 59).then_some(Some(sign * (hours * 60 + minutes) * 60))
}

/// A decimal number of a unit, exactly.
fn epoch(text: &[u8], unit: EpochUnit, floor: bool) -> Result<i64, Fault> {
    let (negative, digits) = match text {
        [b'-', rest @ ..] => (true, rest),
        rest => (false, rest),
    };
    let point = digits.iter().position(|b| *b == b'.').unwrap_or(digits.len());
    let (whole, fraction) = (&digits[..point], digits.get(point + 1..).unwrap_or_default());
    if whole.is_empty() || !whole.iter().chain(fraction).all(u8::is_ascii_digit) {
        return Err(NO_TIME);
    }
    let mut value: i128 = 0;
    let mut finer = false;
    let places = unit.places();
    let kept = usize::try_from(places.max(0)).unwrap_or(0);
    for digit in whole {
        value = value * 10 + i128::from(digit - b'0');
        if value > i128::from(i64::MAX) * 1000 {
            return Err(FAR);
        }
    }
    for place in 0..kept {
        value = value * 10 + fraction.get(place).map_or(0, |b| i128::from(b - b'0'));
    }
    finer |= fraction.iter().skip(kept).any(|b| *b != b'0');
    let mut value = if negative { -value } else { value };
    if places < 0 {
        finer |= value % 1000 != 0;
        // What was cut after the point makes a negative number smaller still.
        let below = negative && value % 1000 == 0 && fraction.iter().any(|b| *b != b'0');
        value = value.div_euclid(1000) - i128::from(below);
    } else if negative && finer {
        value -= 1;
    }
    if finer && !floor {
        return Err(TOO_FINE);
    }
    in_range(i64::try_from(value).map_err(|_| FAR)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn iso(text: &str) -> Result<i64, Fault> {
        TimeReader::new(TimeFormat::Iso, None, false).read(text.as_bytes())
    }

    const NOON: i64 = 1_706_702_400_000_000;

    #[test]
    fn iso_times_with_and_without_zone() {
        for text in [
            "2024-01-31 12:00:00",
            "2024-01-31T12:00:00Z",
            "2024-01-31T12:00",
            "2024-01-31 12:00:00 UTC",
            "2024-01-31T14:00:00+02:00",
            "2024-01-31T14:00:00.000+0200",
            "2024-01-31 04:00:00-08",
            " 2024-01-31T12:00:00.000000000z ",
        ] {
            assert_eq!(iso(text), Ok(NOON), "{text}");
        }
        assert_eq!(iso("2024-01-31T12:00:00,5Z"), Ok(NOON + 500_000));
        assert_eq!(iso("2024-01-31"), Ok(NOON - DAY / 2));
        assert_eq!(iso("1969-12-31 23:59:59.999999"), Ok(-1));
        assert_eq!(iso("2024-01-31T12:00:00.0000001"), Err(TOO_FINE));
        assert_eq!(iso("2016-12-31T23:59:60Z"), iso("2016-12-31T23:59:59Z"));
        let nanos = |text: &str| TimeReader::new(TimeFormat::Iso, None, false).read_nanos(text.as_bytes());
        assert_eq!(nanos("2024-01-31T12:00:00.123456789Z"), Ok(NOON * 1000 + 123_456_789));
        assert_eq!(nanos("1969-12-31T23:59:59.999999999"), Ok(-1));
        assert_eq!(nanos("2024-01-31T12:00:00.1234567891"), Err(FINER_THAN_NANOS));
        assert_eq!(nanos("2300-01-01"), Err(FAR_FOR_NANOS));
        for wrong in [
            "",
            "2024-02-30",
            "2023-02-29",
            "2024-13-01",
            "24-01-01",
            "2024-01-31T25:00",
            "2024-01-31T12:00:00.",
            "2024-01-31T12:00:00 CET",
            "2024-01-31x",
            "2024-01-31T12:00:60Z",
            "0000-00-00",
            "0000-00-00 00:00:00",
        ] {
            assert_eq!(iso(wrong), Err(NO_TIME), "{wrong}");
        }
    }

    #[test]
    fn dates_agree_with_a_calendar() {
        let mut date = jiff::civil::date(1890, 1, 1);
        for days in -29_219..50_000 {
            assert_eq!(parse_date(date.to_string().as_bytes()), Some(days), "{date}");
            date = date.tomorrow().unwrap();
        }
    }

    #[test]
    fn epochs_are_exact() {
        let read = |text: &str, unit, floor| epoch(text.as_bytes(), unit, floor);
        assert_eq!(read("1706702400", EpochUnit::Seconds, false), Ok(NOON));
        assert_eq!(read("1706702400.123456", EpochUnit::Seconds, false), Ok(NOON + 123_456));
        assert_eq!(read("1706702400.1234567", EpochUnit::Seconds, false), Err(TOO_FINE));
        assert_eq!(read("1706702400.1234567", EpochUnit::Seconds, true), Ok(NOON + 123_456));
        assert_eq!(read("1706702400000.5", EpochUnit::Millis, false), Ok(NOON + 500));
        assert_eq!(read("1706702400000000999", EpochUnit::Nanos, true), Ok(NOON));
        assert_eq!(read("-1", EpochUnit::Nanos, true), Ok(-1));
        assert_eq!(read("-0.0000001", EpochUnit::Seconds, true), Ok(-1));
        assert_eq!(read("-1000.5", EpochUnit::Nanos, true), Ok(-2));
        assert_eq!(read("99999999999999999999999999999999999999999", EpochUnit::Nanos, true), Err(FAR));
        assert_eq!(read("1706702400000", EpochUnit::Seconds, true), Err(FAR));
        assert_eq!(read("12a", EpochUnit::Seconds, true), Err(NO_TIME));
        let reader = TimeReader::new(TimeFormat::Iso, None, false);
        assert_eq!(reader.number(1_706_702_400_000, EpochUnit::Millis), Ok(NOON));
        assert_eq!(reader.number(i64::MAX, EpochUnit::Seconds), Err(FAR));
        let mut guessed = TimeReader::new(TimeFormat::Epoch(EpochUnit::Millis), None, false).guessed();
        assert_eq!(guessed.read(b"1706702400000"), Ok(NOON));
        assert_eq!(guessed.read(b"1706702400"), Err(OTHER_UNIT));
        assert_eq!(guessed.read(b"0"), Err(OTHER_UNIT));
        assert_eq!(guessed.number(1_706_702_400, EpochUnit::Millis), Err(OTHER_UNIT));
        assert_eq!(reader.number(1, EpochUnit::Nanos), Err(TOO_FINE));
    }

    #[test]
    fn units_are_told_by_magnitude() {
        let now = 1_706_702_400_i64;
        let guessed = [now, now * 1000, now * 1_000_000, now * 1_000_000_000].map(EpochUnit::guess);
        assert_eq!(guessed.map(|u| u.map(EpochUnit::name)), [Some("s"), Some("ms"), Some("us"), Some("ns")]);
        assert_eq!(EpochUnit::guess(12_345), None);
        assert!(EpochUnit::guess(i64::MIN).is_some());
    }

    #[test]
    fn local_times_follow_their_zone() {
        let berlin = jiff::tz::TimeZone::get("Europe/Berlin").unwrap();
        let mut reader = TimeReader::new(TimeFormat::Iso, Some(berlin), false);
        let mut read = |text: &str| reader.read(text.as_bytes()).unwrap();
        assert_eq!(read("2024-01-31 13:00:00"), NOON);
        assert_eq!(read("2024-01-31 13:00:00.5"), NOON + 500_000);
        assert_eq!(read("2024-01-31T12:00:00Z"), NOON);
        // 02:30 does not exist on that day, and is read as an hour later.
        assert_eq!(read("2024-03-31 02:30:00"), read("2024-03-31T03:30:00+02:00"));
        // 02:30 exists twice; the first one counts.
        assert_eq!(read("2024-10-27 02:30:00"), read("2024-10-27T02:30:00+02:00"));
    }

    #[test]
    fn patterns() {
        let mut log = TimeReader::new(TimeFormat::Pattern(KNOWN_PATTERNS[0].into()), None, false);
        assert_eq!(log.read(b"31/Jan/2024:14:00:00 +0200"), Ok(NOON));
        assert_eq!(log.read(b"2024-01-31"), Err(NO_TIME));
        let mut day = TimeReader::new(TimeFormat::Pattern("%d.%m.%Y".into()), None, false);
        assert_eq!(day.read(b"31.01.2024"), Ok(NOON - DAY / 2));
        let rome = jiff::tz::TimeZone::get("Europe/Rome").unwrap();
        let mut local = TimeReader::new(TimeFormat::Pattern("%d.%m.%Y %H:%M".into()), Some(rome), false);
        assert_eq!(local.read(b"31.01.2024 13:00"), Ok(NOON));
    }
}
