//! The arguments of the session aggregates: which is which, and what the kernel gets of them.
//!
//! Shape: `(time, rules TEXT, view, conversion, key, start, end [, kept STRUCT])`.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::datatypes::{DataType, Fields};
use datafusion::physical_plan::PhysicalExpr;

use super::parts::Parts;
use super::rules::Constants;
use crate::algo::calendar::{Calendar, Clock};
use crate::algo::event::Event;
use crate::algo::session::{BeyondCalendar, Bounce, Rules, Session, first_known, last_known, role, sessions};
use crate::error::{Error, Result};
use crate::functions::columns::{clock_of, coerce_condition, coerce_time, literal_text};
use crate::functions::event_groups::EventArguments;
use crate::functions::kept_values::KeptValues;

/// Position of the rules.
pub const RULES: usize = 1;
const CONDITIONS: std::ops::Range<usize> = 2..2 + role::COUNT;
const KEPT: usize = CONDITIONS.end;

/// Where the events stand.
pub fn layout(function: &str, types: &[DataType]) -> Result<EventArguments> {
    let kept = matches!(types.get(KEPT), Some(DataType::Struct(_))).then_some(KEPT);
    if types.len() != KEPT + usize::from(kept.is_some()) {
        return Err(Error::user(format!(
            "{function}: needs (time, rules, view, conversion, key event, start, end [, kept STRUCT]), got {} arguments",
            types.len()
        )));
    }
    Ok(EventArguments { time: 0, conditions: CONDITIONS, kept, every_event: true })
}

/// The types the arguments are coerced to.
pub fn coerce(function: &str, types: &[DataType]) -> Result<Vec<DataType>> {
    layout(function, types)?;
    let mut coerced = types.to_vec();
    coerced[0] = coerce_time(function, 1, &types[0])?;
    coerced[RULES] = DataType::Utf8;
    for at in CONDITIONS {
        coerced[at] = coerce_condition(function, at + 1, &types[at])?;
    }
    Ok(coerced)
}

/// The fields of the kept struct.
pub fn kept_of(types: &[DataType]) -> Option<&Fields> {
    match types.get(KEPT) {
        Some(DataType::Struct(fields)) => Some(fields),
        _ => None,
    }
}

/// Cuts the events of one user after another, by the rules of one call.
pub struct Visits {
    function: &'static str,
    rules: Rules,
    bounce: Bounce,
    /// The calendar of the period that sessions are counted in.
    period: Option<Calendar>,
    /// The parts of the kept values.
    pub parts: Parts,
    /// The sessions of the user looked at.
    pub found: Vec<Session>,
    /// For each value that the first or last event with one tells, a tag of it for each of these sessions.
    pub known: Vec<Vec<Option<u32>>>,
    /// Tells sessions of the same properties from others; empty where they have none.
    pub properties: Vec<u32>,
}

impl Visits {
    /// For planned arguments.
    pub fn of(function: &'static str, expressions: &[Arc<dyn PhysicalExpr>], time: &DataType) -> Result<Self> {
        let text = literal_text(function, "the rules", expressions, RULES)?;
        let constants = Constants::parse(function, &text)?;
        let clock = clock_of(time).unwrap_or(Clock::Dates);
        Ok(Self {
            function,
            rules: constants.rules(function, clock)?,
            bounce: constants.bounce(clock),
            period: constants.period.map(|unit| constants.calendar(function, unit, clock)).transpose()?,
            parts: Parts::default(),
            found: Vec::new(),
            known: Vec::new(),
            properties: Vec::new(),
        })
    }

    /// Finds the sessions of a user.
    pub fn cut(&mut self, events: &[Event], kept: Option<&KeptValues>) -> datafusion::error::Result<()> {
        self.parts.refresh(kept)?;
        self.found.clear();
        sessions(events, &mut self.rules, self.bounce, &self.parts.ranks(), &mut self.found)
            .map_err(|BeyondCalendar(time)| beyond_calendar(self.function, time))?;
        let ranks = self.parts.ranks();
        self.known.resize(self.parts.known().len(), Vec::new());
        for (tags, known) in self.known.iter_mut().zip(self.parts.known()) {
            tags.clear();
            let find = if known.last { last_known } else { first_known };
            tags.extend(self.found.iter().map(|s| find(&events[s.from..s.to], &ranks, &known.ranks)));
        }
        self.tell_properties();
        Ok(())
    }

    fn tell_properties(&mut self) {
        let (parts, known) = (&self.parts, &self.known);
        let by = parts.ranks().by;
        self.properties.clear();
        if by.is_empty() && known.is_empty() {
            return;
        }
        let rank = |ranks: &[u32], tag: u32| ranks.get(tag as usize).copied().unwrap_or(0);
        if known.is_empty() {
            self.properties.extend(self.found.iter().map(|session| rank(by, session.by)));
            return;
        }
        let all = |at: usize| -> Vec<u32> {
            let known = known.iter().zip(parts.known()).map(|(tags, k)| tags[at].map_or(0, |tag| rank(&k.ranks, tag)));
            std::iter::once(rank(by, self.found[at].by)).chain(known).collect()
        };
        let mut classes: HashMap<Vec<u32>, u32> = HashMap::new();
        for at in 0..self.found.len() {
            let next = classes.len() as u32;
            self.properties.push(*classes.entry(all(at)).or_insert(next));
        }
    }

    /// Whether sessions are counted in periods.
    pub fn has_period(&self) -> bool {
        self.period.is_some()
    }

    /// First local date of the period of a time.
    pub fn period(&mut self, time: i64) -> Result<i32> {
        let Some(calendar) = &mut self.period else { return Ok(0) };
        // Weeks are counted without a calendar: they reach days that nobody can print.
        let first = calendar.bucket(time).and_then(|bucket| calendar.first_day(bucket)).filter(|d| DAYS.contains(d));
        first.and_then(|day| i32::try_from(day).ok()).ok_or_else(|| beyond_calendar(self.function, time))
    }
}

/// Days of the years -9999 to 9999, since 1970-01-01.
const DAYS: std::ops::RangeInclusive<i64> = -4_371_587..=2_932_896;

/// The error of a time that no calendar reaches.
pub fn beyond_calendar(function: &str, time: i64) -> Error {
    Error::data(format!(
        "{function}: time {time} (in the column's own unit) is beyond the calendar, years -9999 to 9999"
    ))
}
