//! The options of the funnel aggregates: how they are written, read, and which of them go together.
//!
//! In SQL they are one constant: mode words, `'increase'`, or a STRUCT that names what differs from the default,
//! `{'mode': 'dedup', 'window_end': 'exclusive', 'step_within': [INTERVAL '1 hour', NULL]}`. Relations build
//! [`FunnelOptions`], check them with [`FunnelOptions::spec`] and pass [`FunnelOptions::literal`]. Every refusal is here.
//! Does not deal with: what an option means for a chain (`algo::funnel`).

use arrow::datatypes::DataType;
use datafusion::common::ScalarValue;

use super::arguments::WINDOW;
use super::modes::Mode;
use crate::algo::calendar::{Calendar, Clock, Unit, WEEKDAYS, weekday};
use crate::algo::funnel::{Between, By, Entry, Exclusion, MAX_STEPS, Order, Pick, Spec, Window};
use crate::error::{Error, Result, suggest};
use crate::functions::columns::{self, check_step_count};

/// How a window ends, as written in SQL.
pub const WINDOW_ENDS: [&str; 3] = ["inclusive", "exclusive", "calendar"];
/// Which chains are asked for, as written in SQL.
pub const ENTRIES: [&str; 3] = ["best", "first", "all"];
/// Which chain is canonical, as written in SQL.
pub const CHAINS: [&str; 2] = ["canonical", "earliest_start"];
/// What an exclusion does, as written in SQL.
pub const EXCLUDE_POLICIES: [&str; 2] = ["truncate", "drop"];

/// Which values of the events that start chains count, as written in SQL.
pub const BY_ENTRIES: [&str; 2] = ["each", "first"];

/// How a window ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum WindowEnd {
    /// `t(em) - t(e1) <= window`.
    #[default]
    Inclusive,
    /// `t(em) - t(e1) < window`.
    Exclusive,
    /// With the n-th local day (or month) counted from that of the first event, which is the first.
    Calendar,
}

/// Between which steps an exclusion holds; `None` is the first and the last step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Exclude {
    /// Step number from 1.
    pub after: Option<i64>,
    /// Step number from 1.
    pub before: Option<i64>,
}

/// Everything that can be asked of a funnel beyond its window and conditions.
#[derive(Debug, Clone, PartialEq)]
pub struct FunnelOptions {
    /// What the mode words say.
    pub mode: Mode,
    /// How the window ends.
    pub window_end: WindowEnd,
    /// Largest times between a step and the next: an INTERVAL, or NULL for no limit, for each step but the last; may be
    /// shorter.
    pub step_within: Vec<ScalarValue>,
    /// Smallest times, likewise.
    pub step_after: Vec<ScalarValue>,
    /// One for each condition after the steps' own: those conditions are exclusions.
    pub exclude: Vec<Exclude>,
    /// `exclude_policy => 'drop'`.
    pub drop_excluded: bool,
    /// Numbers (from 1) of the steps that may be skipped.
    pub optional: Vec<i64>,
    /// Names of the kept fields of which all events of a chain must have the same value, none of them NULL.
    pub hold: Vec<String>,
    /// Numbers (from 1) of the steps of mode `any_order` that keep their place.
    pub anchors: Vec<i64>,
    /// Which chains are asked for.
    pub entry: Entry,
    /// Which chain is canonical.
    pub chain: Pick,
    /// Chains are asked for each of these calendar periods.
    pub period: Option<Unit>,
    /// Zone of calendar windows and periods, an IANA name.
    pub tz: String,
    /// First day of weekly periods.
    pub week_start: String,
    /// Names of the kept fields that distinguish chains.
    pub by: Vec<String>,
    /// Number (from 1) of the step whose events have the value; without it, those that start a chain.
    pub by_step: Option<i64>,
    /// `by_entry => 'first'`.
    pub by_first_entry: bool,
    /// Only events that satisfy the last condition, which is one more, can start a chain.
    pub mature: bool,
    /// Whether the answer lists the kept values of all events of a chain.
    pub kept: bool,
}

impl Default for FunnelOptions {
    fn default() -> Self {
        Self {
            mode: Mode::default(),
            window_end: WindowEnd::default(),
            step_within: Vec::new(),
            step_after: Vec::new(),
            exclude: Vec::new(),
            drop_excluded: false,
            optional: Vec::new(),
            hold: Vec::new(),
            anchors: Vec::new(),
            entry: Entry::default(),
            chain: Pick::default(),
            period: None,
            tz: "UTC".to_string(),
            week_start: WEEKDAYS[0].to_string(),
            by: Vec::new(),
            by_step: None,
            by_first_entry: false,
            mature: false,
            kept: true,
        }
    }
}

impl FunnelOptions {
    /// What the kernel needs, checked: `conditions` counts steps and exclusions, `time` is the time column's type.
    pub fn spec(&self, function: &str, window: &ScalarValue, time: &DataType, conditions: usize) -> Result<Spec> {
        let refuse = |text: String| Err(Error::user(format!("{function}: {text}")));
        let clock = columns::clock_of(time).unwrap_or(Clock::Dates);
        let exclusions = self.exclude.len();
        let steps = conditions.saturating_sub(exclusions + usize::from(self.mature));
        check_step_count(function, steps)?;
        if conditions > MAX_STEPS {
            let room = MAX_STEPS - usize::from(self.mature);
            return refuse(format!(
                "{steps} steps and {exclusions} exclusions given, together at most {room} are allowed"
            ));
        }
        let optional = self.step_bits(function, "optional", &self.optional, steps)?;
        let anchors = self.step_bits(function, "anchors", &self.anchors, steps)?;
        let spec = Spec {
            steps,
            window: self.window(function, window, clock)?,
            order: self.mode.order,
            reuse: self.mode.reuse,
            between: self.mode.between,
            step_within: limits(function, "step_within", &self.step_within, steps, clock, false)?,
            step_after: limits(function, "step_after", &self.step_after, steps, clock, true)?,
            exclusions: self.exclusions(function, steps)?,
            drop_excluded: self.drop_excluded,
            optional,
            anchors,
            entry: self.entry,
            pick: self.chain,
            period: self.period.map(|unit| self.calendar(function, unit, clock)).transpose()?,
            by: self.by(function, steps)?,
            mature: self.mature,
        };
        self.check_together(function, &spec)?;
        Ok(spec)
    }

    /// Refuses what cannot be asked together.
    fn check_together(&self, function: &str, spec: &Spec) -> Result<()> {
        let refuse = |text: String| Err(Error::user(format!("{function}: {text}")));
        let any_order = spec.order == Order::AnyOrder;
        if spec.anchors != 0 && !any_order {
            return refuse("'anchors' needs mode 'any_order'; in every other mode all steps keep their place".into());
        }
        if any_order {
            for (name, given) in [
                ("step_within", !self.step_within.is_empty()),
                ("step_after", !self.step_after.is_empty()),
                ("optional", spec.optional != 0),
            ] {
                if given {
                    return refuse(format!(
                        "'{name}' cannot go with mode 'any_order', where no step comes before another"
                    ));
                }
            }
            if let Some(at) = self.exclude.iter().position(|e| e.after.is_some() || e.before.is_some()) {
                return refuse(format!(
                    "exclusion {} cannot have 'after' or 'before' in mode 'any_order': it holds over the whole chain",
                    at + 1
                ));
            }
        }
        if spec.optional & 1 != 0 {
            return refuse("step 1 cannot be optional: a chain starts with it".into());
        }
        if spec.optional != 0 && matches!(spec.between, Between::Dedup | Between::DedupFirst) {
            return refuse(format!("'optional' cannot go with mode '{}'", self.mode.words()));
        }
        for (name, limits, none) in [("step_within", &spec.step_within, i64::MAX), ("step_after", &spec.step_after, 0)]
        {
            for (at, _) in limits.iter().enumerate().filter(|(_, limit)| **limit != none) {
                if spec.optional >> at & 3 != 0 {
                    return refuse(format!(
                        "'{name}' {} limits the time from step {} to step {}, of which one is optional",
                        at + 1,
                        at + 1,
                        at + 2
                    ));
                }
            }
        }
        for (at, (within, after)) in spec.step_within.iter().zip(&spec.step_after).enumerate() {
            if within < after {
                return refuse(format!("no time is both 'step_within' {0} and 'step_after' {0}", at + 1));
            }
        }
        if spec.drop_excluded && spec.exclusions.is_empty() {
            return refuse("'exclude_policy' needs 'exclude'".into());
        }
        if spec.drop_excluded && spec.entry == Entry::All {
            return refuse("'exclude_policy' 'drop' cannot go with 'entry' 'all': a user has several chains".into());
        }
        for (at, e) in spec.exclusions.iter().enumerate() {
            for (name, step) in [("after", e.after), ("before", e.before)] {
                // The last step may be optional where the exclusion names none: it ends with the chain then.
                if spec.optional >> (step - 1) & 1 != 0 && (name == "after" || self.exclude[at].before.is_some()) {
                    return refuse(format!("exclusion {}: '{name}' is step {step}, which is optional", at + 1));
                }
            }
        }
        Ok(())
    }

    fn by(&self, function: &str, steps: usize) -> Result<By> {
        let refuse = |text: &str| Err(Error::user(format!("{function}: {text}")));
        match (self.by.is_empty(), self.by_step, self.by_first_entry) {
            (true, None, false) => Ok(By::Nothing),
            (true, ..) => refuse("'by_step' and 'by_entry' need 'by'"),
            (_, Some(_), true) => refuse("'by_step' and 'by_entry' 'first' exclude each other"),
            (_, _, true) => Ok(By::FirstEntry),
            (_, None, _) => Ok(By::Entry),
            (_, Some(step), _) => {
                let step = step_number(function, "'by_step'", step, steps)?;
                // A chain in order starts with step 1.
                let entry = step == 1 && self.mode.order != Order::AnyOrder;
                Ok(if entry { By::Entry } else { By::Step(step - 1) })
            }
        }
    }

    fn step_bits(&self, function: &str, name: &str, numbers: &[i64], steps: usize) -> Result<u64> {
        numbers.iter().try_fold(0u64, |bits, number| {
            let step = step_number(function, &format!("'{name}'"), *number, steps)?;
            Ok(bits | 1 << (step - 1))
        })
    }

    fn exclusions(&self, function: &str, steps: usize) -> Result<Vec<Exclusion>> {
        let one = |(at, e): (usize, &Exclude)| {
            if steps < 2 {
                return Err(Error::user(format!("{function}: 'exclude' needs two steps between which events can lie")));
            }
            let number = |name: &str, given: Option<i64>, default: usize| match given {
                Some(n) => step_number(function, &format!("exclusion {}: '{name}'", at + 1), n, steps),
                None => Ok(default),
            };
            let (after, before) = (number("after", e.after, 1)?, number("before", e.before, steps)?);
            if after >= before {
                return Err(Error::user(format!(
                    "{function}: exclusion {}: 'after' (step {after}) must be before 'before' (step {before})",
                    at + 1
                )));
            }
            Ok(Exclusion { after, before })
        };
        self.exclude.iter().enumerate().map(one).collect()
    }

    fn calendar(&self, function: &str, unit: Unit, clock: Clock) -> Result<Calendar> {
        let Some(start) = weekday(&self.week_start) else {
            return Err(Error::user(format!(
                "{function}: unknown week_start '{}'; {}",
                self.week_start,
                suggest(&self.week_start, WEEKDAYS)
            )));
        };
        Calendar::new(unit, &self.tz, start, clock).ok_or_else(|| {
            Error::user(format!(
                "{function}: unknown time zone '{}'; an IANA name such as 'Europe/Berlin' is needed",
                self.tz
            ))
        })
    }

    /// The window, checked.
    pub fn window(&self, function: &str, window: &ScalarValue, clock: Clock) -> Result<Window> {
        if self.window_end == WindowEnd::Calendar {
            let wrong = || {
                Error::user(format!(
                    "{function}: with window_end 'calendar' the window must be whole days or whole months above zero, \
                     such as INTERVAL '3 days'; got {window}"
                ))
            };
            let (months, days, nanos) = interval_parts(window).ok_or_else(wrong)?;
            let (unit, count) = match (months, days, nanos) {
                (1.., 0, 0) => (Unit::Month, months),
                (0, 1.., 0) => (Unit::Day, days),
                _ => return Err(wrong()),
            };
            return Ok(Window::Calendar(self.calendar(function, unit, clock)?, i64::from(count)));
        }
        let inclusive = columns::window_ticks(function, WINDOW, window, clock)?;
        Ok(Window::Ticks(match (self.window_end, interval_parts(window)) {
            (WindowEnd::Exclusive, Some((_, days, nanos))) => ticks(days, nanos, clock).1 - 1,
            _ => inclusive,
        }))
    }
}

fn step_number(function: &str, what: &str, number: i64, steps: usize) -> Result<usize> {
    match usize::try_from(number) {
        Ok(step) if (1..=steps).contains(&step) => Ok(step),
        _ => Err(Error::user(format!("{function}: {what} must be a step's number, 1 to {steps}; got {number}"))),
    }
}

/// Months, days and nanoseconds of an interval.
fn interval_parts(value: &ScalarValue) -> Option<(i32, i32, i64)> {
    match value {
        ScalarValue::IntervalMonthDayNano(Some(v)) => Some((v.months, v.days, v.nanoseconds)),
        ScalarValue::IntervalDayTime(Some(v)) => Some((0, v.days, i64::from(v.milliseconds) * 1_000_000)),
        ScalarValue::IntervalYearMonth(Some(months)) => Some((*months, 0, 0)),
        _ => None,
    }
}

/// An interval without months in ticks: floored and ceiled.
fn ticks(days: i32, nanos: i64, clock: Clock) -> (i64, i64) {
    const DAY: i128 = 86_400_000_000_000;
    let nanos = i128::from(days) * DAY + i128::from(nanos);
    let tick = match clock {
        Clock::Instants(per_second) => 1_000_000_000 / i128::from(per_second),
        Clock::Dates => DAY,
    };
    let saturated = |ticks: i128| i64::try_from(ticks).unwrap_or(if ticks < 0 { i64::MIN } else { i64::MAX });
    (saturated(nanos.div_euclid(tick)), saturated(-(-nanos).div_euclid(tick)))
}

/// Limits between steps in ticks: a largest time is floored to whole ticks, a smallest one ceiled.
fn limits(
    function: &str,
    name: &str,
    given: &[ScalarValue],
    steps: usize,
    clock: Clock,
    smallest: bool,
) -> Result<Vec<i64>> {
    if given.len() >= steps && !given.is_empty() {
        return Err(Error::user(format!(
            "{function}: '{name}' has {} limits, but {steps} steps have only {} between them",
            given.len(),
            steps - 1
        )));
    }
    let limit = |(at, value): (usize, &ScalarValue)| {
        if value.is_null() {
            return Ok(if smallest { 0 } else { i64::MAX });
        }
        match interval_parts(value) {
            Some((0, days, nanos)) => match ticks(days, nanos, clock) {
                (..0, _) => Err(Error::user(format!("{function}: '{name}' {} is below zero", at + 1))),
                (floored, ceiled) => Ok(if smallest { ceiled } else { floored }),
            },
            Some(_) => Err(Error::user(format!(
                "{function}: '{name}' {} has months, which have no fixed length; say it in days",
                at + 1
            ))),
            None => {
                Err(Error::user(format!("{function}: '{name}' {} must be an INTERVAL or NULL, got {value}", at + 1)))
            }
        }
    };
    given.iter().enumerate().map(limit).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::datatypes::{IntervalMonthDayNanoType, TimeUnit};

    fn interval(days: i32, nanos: i64) -> ScalarValue {
        ScalarValue::IntervalMonthDayNano(Some(IntervalMonthDayNanoType::make_value(0, days, nanos)))
    }

    const HOUR: i64 = 3_600_000_000_000;

    fn spec(options: &FunnelOptions, conditions: usize) -> Result<Spec, String> {
        let time = DataType::Timestamp(TimeUnit::Second, None);
        options.spec("f", &interval(1, 0), &time, conditions).map_err(|e| e.message().to_string())
    }

    #[test]
    fn what_is_written_is_read_back() {
        let default = FunnelOptions::default();
        let written = FunnelOptions {
            mode: Mode::parse("f", "strict, reuse").unwrap(),
            window_end: WindowEnd::Calendar,
            step_within: vec![interval(0, HOUR), ScalarValue::IntervalMonthDayNano(None)],
            step_after: vec![interval(0, 5)],
            exclude: vec![Exclude { after: Some(1), before: None }, Exclude::default()],
            drop_excluded: true,
            optional: vec![2],
            hold: vec!["item".into(), "shop".into()],
            anchors: vec![1, 3],
            entry: Entry::First,
            chain: Pick::EarliestStart,
            period: Some(Unit::Week),
            tz: "Europe/Berlin".into(),
            week_start: "sunday".into(),
            by: vec!["country".into()],
            by_step: Some(2),
            by_first_entry: true,
            mature: true,
            kept: false,
        };
        for options in [default, written] {
            assert_eq!(FunnelOptions::read("f", &options.literal().unwrap()).unwrap(), options);
        }
        let words = FunnelOptions::read("f", &ScalarValue::from("dedup")).unwrap();
        assert_eq!(words.mode.between, Between::Dedup);
    }

    #[test]
    fn windows_and_limits_become_ticks() {
        let time = DataType::Timestamp(TimeUnit::Second, None);
        let ticks = |end, window| {
            let options = FunnelOptions { window_end: end, ..FunnelOptions::default() };
            match options.spec("f", &window, &time, 1).unwrap().window {
                Window::Ticks(ticks) => ticks,
                Window::Calendar(..) => unreachable!(),
            }
        };
        assert_eq!(ticks(WindowEnd::Inclusive, interval(0, 10_000_000_000)), 10);
        assert_eq!(ticks(WindowEnd::Exclusive, interval(0, 10_000_000_000)), 9);
        // 10.5 seconds hold ten whole ones, whether the end is in or not.
        assert_eq!(ticks(WindowEnd::Inclusive, interval(0, 10_500_000_000)), 10);
        assert_eq!(ticks(WindowEnd::Exclusive, interval(0, 10_500_000_000)), 10);
        let limits = FunnelOptions {
            step_within: vec![interval(0, 10_500_000_000)],
            step_after: vec![interval(0, 9_500_000_000)],
            ..FunnelOptions::default()
        };
        let spec = spec(&limits, 2).unwrap();
        assert_eq!((spec.step_within, spec.step_after), (vec![10], vec![10]));
        let extreme = FunnelOptions { step_within: vec![interval(i32::MAX, i64::MAX)], ..FunnelOptions::default() };
        assert!(super::tests::spec(&extreme, 2).is_ok());
        let extreme = FunnelOptions { step_after: vec![interval(i32::MIN, i64::MIN)], ..FunnelOptions::default() };
        assert!(super::tests::spec(&extreme, 2).unwrap_err().contains("below zero"));
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        let default = FunnelOptions::default;
        let mode = |words: &str| Mode::parse("f", words).unwrap();
        let exclude = |after, before| Exclude { after, before };
        let month = ScalarValue::IntervalYearMonth(Some(1));
        for (options, conditions, says) in [
            (FunnelOptions { anchors: vec![1], ..default() }, 2, "needs mode 'any_order'"),
            (FunnelOptions { anchors: vec![3], mode: mode("any_order"), ..default() }, 2, "1 to 2; got 3"),
            (FunnelOptions { optional: vec![1], ..default() }, 2, "step 1 cannot be optional"),
            (FunnelOptions { optional: vec![0], ..default() }, 2, "1 to 2; got 0"),
            (FunnelOptions { optional: vec![2], mode: mode("dedup"), ..default() }, 2, "cannot go with mode 'dedup'"),
            (FunnelOptions { optional: vec![2], mode: mode("any_order"), ..default() }, 2, "'any_order'"),
            (
                FunnelOptions { optional: vec![2], step_within: vec![interval(1, 0)], ..default() },
                3,
                "of which one is optional",
            ),
            (FunnelOptions { step_within: vec![interval(1, 0); 2], ..default() }, 2, "have only 1 between them"),
            (FunnelOptions { step_within: vec![interval(-1, 0)], ..default() }, 2, "below zero"),
            (FunnelOptions { step_within: vec![month], ..default() }, 2, "say it in days"),
            (
                FunnelOptions { step_after: vec![ScalarValue::from(3i64)], ..default() },
                2,
                "must be an INTERVAL or NULL",
            ),
            (
                FunnelOptions { step_within: vec![interval(1, 0)], step_after: vec![interval(2, 0)], ..default() },
                2,
                "no time is both",
            ),
            (
                FunnelOptions { step_after: vec![interval(2, 0)], mode: mode("any_order"), ..default() },
                2,
                "no step comes before another",
            ),
            (FunnelOptions { exclude: vec![exclude(Some(2), Some(2))], ..default() }, 4, "must be before"),
            (FunnelOptions { exclude: vec![exclude(None, Some(5))], ..default() }, 4, "1 to 3; got 5"),
            (FunnelOptions { exclude: vec![exclude(None, None)], ..default() }, 2, "needs two steps"),
            (FunnelOptions { exclude: vec![exclude(None, None)], ..default() }, 1, "at least one step"),
            (
                FunnelOptions { exclude: vec![exclude(Some(2), None)], optional: vec![2], ..default() },
                4,
                "which is optional",
            ),
            (
                FunnelOptions { exclude: vec![exclude(Some(1), None)], mode: mode("any_order"), ..default() },
                3,
                "over the whole chain",
            ),
            (FunnelOptions { drop_excluded: true, ..default() }, 3, "needs 'exclude'"),
            (FunnelOptions { by_first_entry: true, ..default() }, 2, "need 'by'"),
            (FunnelOptions { by: vec!["x".into()], by_step: Some(3), ..default() }, 2, "1 to 2; got 3"),
            (
                FunnelOptions { by: vec!["x".into()], by_step: Some(2), by_first_entry: true, ..default() },
                2,
                "exclude each other",
            ),
            (FunnelOptions { mature: true, ..default() }, 1, "at least one step"),
            (FunnelOptions { mature: true, ..default() }, 65, "together at most 63"),
            (
                FunnelOptions {
                    drop_excluded: true,
                    exclude: vec![exclude(None, None)],
                    entry: Entry::All,
                    ..default()
                },
                3,
                "several chains",
            ),
            (FunnelOptions { exclude: vec![exclude(None, None); 2], ..default() }, 66, "together at most 64"),
            (
                FunnelOptions { window_end: WindowEnd::Calendar, tz: "Mars/Olympus".into(), ..default() },
                1,
                "unknown time zone",
            ),
            (
                FunnelOptions { period: Some(Unit::Week), week_start: "mony".into(), ..default() },
                1,
                "did you mean 'monday'",
            ),
        ] {
            let message = spec(&options, conditions).unwrap_err();
            assert!(message.contains(says), "{message}");
        }
        let half_days = FunnelOptions { window_end: WindowEnd::Calendar, ..default() };
        let time = DataType::Timestamp(TimeUnit::Second, None);
        let message = half_days.spec("f", &interval(1, HOUR), &time, 1).unwrap_err().message().to_string();
        assert!(message.contains("whole days or whole months"), "{message}");
    }
}
