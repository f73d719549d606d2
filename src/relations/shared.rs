//! Arguments that several relations take, and how they are read.
//!
//! Where one means something of its own in a relation, that says so in its help: `BY.meaning("..")`.

use super::argument::{Absent, Argument, Kind};
use super::call::Call;
use crate::algo::calendar::{Unit, WEEKDAYS};
use crate::error::{Result, suggest};
use crate::store::table::TIME_UNITS;

/// The input.
pub const TABLE: Argument = Argument::needed("table", Kind::Table, "The events.");

/// A breakdown of the answer.
pub const BY: Argument = Argument::optional("by", Kind::Columns, "nothing", "Breaks the answer down by these values.");

/// Periods of the calendar.
pub const UNIT: Argument =
    Argument::with_default("unit", Kind::Word(&Unit::NAMES), "'week'", "`day`, `week`, `month`, `quarter` or `year`.");

/// An answer for each period.
pub const PERIOD: Argument =
    Argument::optional("period", Kind::Word(&Unit::NAMES), "none", "`day`, `week`, `month`, `quarter` or `year`.");

/// How far the data reach.
pub const AS_OF: Argument = Argument::optional(
    "as_of",
    Kind::Moment,
    "the largest time",
    "How far the data reach; what comes later is not looked at. A DATE is the midnight in `tz` with which it begins: everything before that day.",
);

/// The time zone of the calendar.
pub const TZ: Argument = Argument {
    name: "tz",
    kind: Kind::Text,
    absent: Absent::Session("'UTC'"),
    help: "IANA time zone of the calendar.",
};

/// The first day of weeks.
pub const WEEK_START: Argument = Argument {
    name: "week_start",
    kind: Kind::Word(&WEEKDAYS),
    absent: Absent::Session("'monday'"),
    help: "The day on which weeks start.",
};

/// What breaks ties.
pub const ORDER_KEY: Argument =
    Argument::optional("order_key", Kind::Column, "nothing", "Orders events of the same time.");

/// The longest time without an event within a session.
pub const GAP: Argument = Argument::with_default(
    "gap",
    Kind::Span,
    "INTERVAL '30 minutes'",
    "The longest time without an event within a session.",
);

const BY_ROLE: &str = "by role";

/// Who.
pub const USER: Argument = Argument::optional(
    "user",
    Kind::Column,
    BY_ROLE,
    "The column that tells users apart, where it is not `user_id` or declared.",
);

/// When.
pub const TIME: Argument = Argument::optional(
    "time",
    Kind::Column,
    BY_ROLE,
    "The time column, where it is not `ts`, `time`, `timestamp` or declared.",
);

/// What.
pub const EVENT: Argument =
    Argument::optional("event", Kind::Column, BY_ROLE, "The event column, where it is not `event` or declared.");

/// The unit of times that are numbers.
pub const TIME_UNIT: Argument = Argument::optional(
    "time_unit",
    Kind::Word(&TIME_UNITS),
    BY_ROLE,
    "The unit of an integer time column (epoch): `s`, `ms`, `us` or `ns`.",
);

/// The columns of a behaviour relation, after its own arguments.
pub const ROLES: [Argument; 4] = [USER, TIME, EVENT, TIME_UNIT];

/// The input, a relation's own arguments, and the roles.
pub fn with_roles(own: &[Argument]) -> Vec<Argument> {
    let table = [TABLE];
    [&table[..], own, &ROLES].concat()
}

/// The time zone: the call's, else the session's.
pub fn zone(call: &mut Call) -> Result<String> {
    Ok(call.text(&TZ)?.unwrap_or(call.options().time_zone))
}

/// The day on which weeks start: the call's, else the session's.
pub fn week_start(call: &mut Call) -> Result<&'static str> {
    if let Some(day) = call.chosen(&WEEK_START)? {
        return Ok(day);
    }
    let day = call.options().week_start.to_lowercase();
    match WEEKDAYS.iter().find(|known| **known == day) {
        Some(day) => Ok(day),
        None => {
            let help = suggest(&day, WEEKDAYS);
            Err(call.error(format!("argument '{}' cannot be '{day}'; {help}", WEEK_START.name)))
        }
    }
}
