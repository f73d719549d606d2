//! What the manual says of active periods.

use super::{argument, state, words};
use crate::functions::{FunctionDoc, FunctionKind};

pub fn docs() -> Vec<FunctionDoc> {
    let mut made = vec![argument("time", "TIMESTAMP or DATE", None, "When; NULLs are left out.")];
    made.extend(words());
    vec![
        FunctionDoc {
            name: "activity_state",
            kind: FunctionKind::Aggregate,
            summary: "In which periods each group was active, to be stored and merged later",
            syntax: "activity_state(time, unit, tz, week_start)",
            arguments: made,
            returns: vec![("BINARY", "The active periods; none where no row has a time.")],
            text: "Runs of consecutive periods, 2 to 3 bytes each, and 20 bytes of header: a user who came every day of a year has one run. \
                   Unit, time zone and (of weeks) their start are part of the state.",
            example: "SELECT activity_count(s) AS days, count(*) AS users\nFROM (SELECT activity_state(ts, 'day', 'UTC', 'monday') AS s FROM events GROUP BY user_id)\nGROUP BY days ORDER BY days LIMIT 5",
        },
        FunctionDoc {
            name: "activity_merge",
            kind: FunctionKind::Aggregate,
            summary: "Stored active periods as one",
            syntax: "activity_merge(state)",
            arguments: vec![state("From `activity_state` or `activity_merge`; NULLs are left out.")],
            returns: vec![("BINARY", "The periods of any of them; NULL without a state.")],
            text: "States of different units, time zones or week starts in one group are an error.",
            example: "SELECT activity_count(activity_merge(s)) AS months\nFROM (SELECT activity_state(ts, 'month', 'UTC', 'monday') AS s FROM events GROUP BY user_id)",
        },
        FunctionDoc {
            name: "activity_count",
            kind: FunctionKind::Scalar,
            summary: "How many active periods are stored",
            syntax: "activity_count(state [, first, last])",
            arguments: vec![
                state("Active periods."),
                argument("first", "DATE", Some("all of them"), "A local date of the first period that counts."),
                argument("last", "DATE", Some("all of them"), "A local date of the last period that counts."),
            ],
            returns: vec![("BIGINT", "Active periods; NULL where an argument is.")],
            text: "Both periods count; none do where `last` is before `first`.",
            example: "SELECT count(*) AS came_in_march\nFROM (SELECT activity_state(ts, 'day', 'UTC', 'monday') AS s FROM events GROUP BY user_id)\nWHERE activity_count(s, DATE '2025-03-01', DATE '2025-03-31') > 0",
        },
        FunctionDoc {
            name: "activity_periods",
            kind: FunctionKind::Scalar,
            summary: "Which active periods are stored",
            syntax: "activity_periods(state)",
            arguments: vec![state("Active periods.")],
            returns: vec![("LIST of DATE", "The first local date of each, ascending; NULL where the state is.")],
            text: "More than 10,000 periods are an error.",
            example: "SELECT activity_periods(activity_state(ts, 'month', 'UTC', 'monday')) AS months FROM events WHERE event = 'purchase'",
        },
    ]
}
