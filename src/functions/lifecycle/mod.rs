//! Lifecycle: the pieces of the `lifecycle` relation.
//!
//! Deals with: the periods of each user (`user`), users counted by period (`counts`).
//! Does not deal with: what new, returning, resurrected and dormant mean (`algo::lifecycle`), periods as rows with dates (`period`).

mod counts;
mod user;

use std::sync::Arc;

use datafusion::physical_plan::PhysicalExpr;

pub use counts::{MAX_INACTIVE, inactivity_counts, lifecycle_counts};
pub use user::user_lifecycle;

use super::columns::literal_text;
use super::retention::arguments::Counting;
use super::{ArgumentDoc, FunctionDoc, FunctionKind};
use crate::algo::calendar::{Calendar, Clock, Unit};
use crate::error::{Error, Result, suggest};

/// The calendar of three words, checked.
pub fn calendar(function: &str, unit: &str, zone: &str, week_start: &str, clock: Clock) -> Result<Calendar> {
    // Hours are units of retention alone: everything else has dates.
    if Unit::parse(unit).is_none() {
        return Err(Error::user(format!("{function}: unknown unit '{unit}'; {}", suggest(unit, Unit::NAMES))));
    }
    Ok(Counting::parse(function, unit, zone, week_start, "calendar", clock)?.calendar)
}

/// The same from three consecutive constant arguments.
pub fn calendar_of_literals(
    function: &str,
    expressions: &[Arc<dyn PhysicalExpr>],
    from: usize,
    clock: Clock,
) -> Result<Calendar> {
    let text = |name, at| literal_text(function, name, expressions, at);
    let (unit, zone, week_start) =
        (text("the unit", from)?, text("the time zone", from + 1)?, text("week_start", from + 2)?);
    calendar(function, &unit, &zone, &week_start, clock)
}

/// What the manual says of this family.
pub fn docs() -> Vec<FunctionDoc> {
    let argument = |name, kind, default, text| ArgumentDoc { name, kind, default, text };
    let words = || {
        [
            argument("unit", "TEXT", None, "`day`, `week`, `month`, `quarter` or `year`."),
            argument("tz", "TEXT", None, "IANA time zone of the calendar."),
            argument("week_start", "TEXT", None, "The day on which weeks start."),
        ]
    };
    let mut user = vec![
        argument("time", "TIMESTAMP or DATE", None, "When the event happened; every row is an activity."),
        argument("birth", "TIMESTAMP, DATE or NULL", None, "When the user was born, where that is known otherwise."),
    ];
    user.extend(words());
    user.push(argument(
        "kept",
        "STRUCT",
        Some("nothing"),
        "Values to carry along from the first activity; the least of tied ones.",
    ));
    vec![
        FunctionDoc {
            name: "user_lifecycle",
            kind: FunctionKind::Aggregate,
            summary: "The period of birth of each group, and the periods in which it was active",
            syntax: "user_lifecycle(time, birth, unit, tz, week_start [, kept])",
            arguments: user,
            returns: vec![
                (
                    "born INT",
                    "The period of the birth: that of the earliest `birth`, or of the first activity if that is earlier or `birth` is NULL.",
                ),
                ("periods LIST of INT", "The periods with an activity, ascending."),
                ("kept STRUCT", "The kept values at the first activity; only where the argument was given."),
            ],
            text: "Periods are numbers: consecutive periods have consecutive ones, day 0 is 1970-01-01. A `birth` of type DATE \
                   is a local date, one of type TIMESTAMP an instant. Rows whose time is NULL take no part.\n\nMemory: 24 \
                   bytes a group and 8 for each further active period.",
            example: "SELECT array_length(u.periods) AS weeks, count(*) AS users\nFROM (\n  SELECT user_lifecycle(ts, NULL, 'week', 'UTC', 'monday') AS u\n  FROM events GROUP BY user_id\n)\nGROUP BY weeks ORDER BY weeks LIMIT 5",
        },
        FunctionDoc {
            name: "lifecycle_counts",
            kind: FunctionKind::Aggregate,
            summary: "How many users are new, returning, resurrected and dormant in each period",
            syntax: "lifecycle_counts(born, periods)",
            arguments: vec![
                argument("born", "INT", None, "The period of a user's birth; NULL is the first active one."),
                argument(
                    "periods",
                    "LIST of INT",
                    None,
                    "The user's active periods, ascending, as from `user_lifecycle`.",
                ),
            ],
            returns: vec![
                ("first, last INT", "The first and the last period with an active user; NULL without users."),
                (
                    "periods LIST of STRUCT",
                    "`period`, `new`, `returning`, `resurrected`, `dormant` for every period from the first to the one after the last.",
                ),
            ],
            text: "The states are those of the relation `lifecycle`. At most 10,000 periods. State: 32 bytes for each period \
                   of each group.",
            example: "SELECT p.period, p.new, p.returning, p.resurrected, p.dormant\nFROM (\n  SELECT unnest(lifecycle_counts(u.born, u.periods)['periods']) AS p\n  FROM (SELECT user_lifecycle(ts, NULL, 'month', 'UTC', 'monday') AS u FROM events GROUP BY user_id)\n)\nORDER BY p.period LIMIT 4",
        },
        FunctionDoc {
            name: "inactivity_counts",
            kind: FunctionKind::Aggregate,
            summary: "How many users are new, returning, resurrected and dormant in each period, dormant after so many days",
            syntax: "inactivity_counts(born, days, ended, inactive_after, unit, tz, week_start)",
            arguments: {
                let mut arguments = vec![
                    argument("born", "INT", None, "The day of a user's birth; NULL is the first active one."),
                    argument(
                        "days",
                        "LIST of INT",
                        None,
                        "The user's active days, as from `user_lifecycle` with the unit `day`.",
                    ),
                    argument(
                        "ended",
                        "INT",
                        None,
                        "The last day that is over, as from `period_reached`; rows where it is NULL take no part.",
                    ),
                    argument("inactive_after", "BIGINT", None, "Days without an activity, 1 to 10,000."),
                ];
                arguments.extend(words());
                arguments
            },
            returns: vec![
                ("first, last INT", "The first and the last period in which anything is counted; NULL without users."),
                ("periods LIST of STRUCT", "As from `lifecycle_counts`."),
            ],
            text: "The states are those of the relation `lifecycle` with `inactive_after`. At most 10,000 periods. State: 32 bytes for \
                   each period of each group.",
            example: "SELECT p.period, p.new, p.returning, p.resurrected, p.dormant\nFROM (\n  SELECT unnest(inactivity_counts(u.born, u.periods, 20269, 30, 'month', 'UTC', 'monday')['periods']) AS p\n  FROM (SELECT user_lifecycle(ts, NULL, 'day', 'UTC', 'monday') AS u FROM events GROUP BY user_id)\n)\nORDER BY p.period LIMIT 4",
        },
    ]
}
