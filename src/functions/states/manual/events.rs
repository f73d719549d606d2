//! What the manual says of funnels and retention in parts.

use super::{argument, state, words};
use crate::functions::{FunctionDoc, FunctionKind};

pub fn docs() -> Vec<FunctionDoc> {
    let mut retention = vec![
        argument("time", "TIMESTAMP or DATE", None, "When the event happened."),
        argument("start", "BOOLEAN", None, "Which events can be the birth; the earliest is."),
        argument("return", "BOOLEAN", None, "Which events are returns."),
    ];
    retention.extend(words());
    retention.push(argument(
        "index",
        "TEXT",
        None,
        "`calendar`: bucket of the return minus bucket of the birth. `rolling`: spans of 24 hours, 7 or 30 days from the birth. A constant.",
    ));
    vec![
        FunctionDoc {
            name: "funnel_state",
            kind: FunctionKind::Aggregate,
            summary: "A user's events of a funnel, to be stored and merged later",
            syntax: "funnel_state(window [, modes], time, condition, ..)",
            arguments: vec![
                argument(
                    "window",
                    "INTERVAL",
                    None,
                    "As for `window_funnel`: the longest time from the first to the last event of a chain, inclusive.",
                ),
                argument(
                    "modes",
                    "TEXT",
                    Some("'ordered'"),
                    "Mode words of `window_funnel`, not those of ClickHouse; a constant.",
                ),
                argument("time", "TIMESTAMP or DATE", None, "When the event happened."),
                argument("condition", "BOOLEAN, 1 to 64 of them", None, "The steps, in order; NULL is false."),
            ],
            returns: vec![(
                "BINARY",
                "The events that satisfy a condition (with the mode `strict` all of them); none without any.",
            )],
            text: "Grouped by user and day, a daily job stores it; `funnel_merge` of a user's days and `funnel_level` answer what \
                   `window_funnel` answers over the events, chains across midnight included. That takes the events themselves: one that looks \
                   useless today may be what a state from elsewhere needs. They take 2 to 5 bytes each, and 25 of header and checksum; \
                   a user's day without any event of the funnel need not be stored. Window, modes, number of steps and the unit of the \
                   times are part of the state; what the conditions are is not.",
            example: "SELECT count(*) AS user_days, max(length(encode(s, 'hex'))) / 2 AS most_bytes, round(avg(length(encode(s, 'hex'))) / 2) AS bytes\nFROM (SELECT user_id, date_trunc('day', ts) AS day, funnel_state(INTERVAL '7 days', ts, event = 'view_item', event = 'add_to_cart', event = 'purchase') AS s\n      FROM events WHERE event IN ('view_item', 'add_to_cart', 'purchase') GROUP BY user_id, day)",
        },
        FunctionDoc {
            name: "funnel_merge",
            kind: FunctionKind::Aggregate,
            summary: "Stored events of a funnel as one",
            syntax: "funnel_merge(state)",
            arguments: vec![state("From `funnel_state` or `funnel_merge`; NULLs are left out.")],
            returns: vec![("BINARY", "The events of all of them; NULL without a state.")],
            text: "An event in two states counts twice: merge each day once. States of different windows, modes, numbers of steps or units of \
                   time in one group are an error.\n\nMemory: 16 bytes an event.",
            example: "SELECT level, count(*) AS users\nFROM (SELECT funnel_level(funnel_merge(s)) AS level\n      FROM (SELECT user_id, date_trunc('day', ts) AS day, funnel_state(INTERVAL '7 days', ts, event = 'view_item', event = 'add_to_cart', event = 'purchase') AS s\n            FROM events GROUP BY user_id, day)\n      GROUP BY user_id)\nGROUP BY level ORDER BY level",
        },
        FunctionDoc {
            name: "funnel_level",
            kind: FunctionKind::Scalar,
            summary: "How many steps of a funnel the stored events complete",
            syntax: "funnel_level(state)",
            arguments: vec![state("Events of a funnel.")],
            returns: vec![("INTEGER", "What `window_funnel` answers over the events; NULL where the state is.")],
            text: "",
            example: "SELECT count(*) AS bought FROM (SELECT funnel_state(INTERVAL '1 day', ts, event = 'view_item', event = 'purchase') AS s FROM events GROUP BY user_id) WHERE funnel_level(s) = 2",
        },
        FunctionDoc {
            name: "retention_state",
            kind: FunctionKind::Aggregate,
            summary: "A user's birth and returns, to be stored and merged later",
            syntax: "retention_state(time, start, return, unit, tz, week_start, index)",
            arguments: retention,
            returns: vec![(
                "BINARY",
                "The earliest start and the last return of each period; nothing of the kind without any.",
            )],
            text: "Grouped by user and day, a daily job stores it; `retention_merge` of a user's days and `retention_periods` answer what the relation `retention` counts with \
                   `birth => 'first'`. The state is small: of each period the last return is enough, with `rolling` each return. Unit, time zone, week \
                   start, index and the unit of the times are part of the state; what starts and returns are is not.",
            example: "SELECT r.cohort, count(*) AS users, count(*) FILTER (WHERE array_has(r.periods, 1)) AS next_month\nFROM (SELECT retention_periods(retention_state(ts, event = 'signup', true, 'month', 'UTC', 'monday', 'calendar')) AS r FROM events GROUP BY user_id)\nWHERE r.cohort IS NOT NULL GROUP BY r.cohort ORDER BY r.cohort",
        },
        FunctionDoc {
            name: "retention_merge",
            kind: FunctionKind::Aggregate,
            summary: "Stored births and returns as one",
            syntax: "retention_merge(state)",
            arguments: vec![state("From `retention_state` or `retention_merge`; NULLs are left out.")],
            returns: vec![("BINARY", "The earliest birth and all returns; NULL without a state.")],
            text: "States of different options in one group are an error. A state merged twice looks like two events at once, which matters where these \
                   are the birth: merge each day once.",
            example: "SELECT count(*) AS users, count(*) FILTER (WHERE array_has(r.periods, 1)) AS next_week\nFROM (SELECT retention_periods(retention_merge(s)) AS r\n      FROM (SELECT user_id, date_trunc('day', ts) AS day, retention_state(ts, true, true, 'week', 'UTC', 'monday', 'calendar') AS s FROM events GROUP BY user_id, day)\n      GROUP BY user_id)",
        },
        FunctionDoc {
            name: "retention_periods",
            kind: FunctionKind::Scalar,
            summary: "In which periods since their birth somebody came back, from a stored state",
            syntax: "retention_periods(state)",
            arguments: vec![state("A birth and returns.")],
            returns: vec![
                ("cohort DATE", "First local date of the period of the birth; NULL without a birth."),
                ("periods LIST of BIGINT", "The periods with a return, ascending; 0 is the period of the birth."),
            ],
            text: "A STRUCT, NULL where the state is.",
            example: "SELECT retention_periods(retention_state(ts, true, true, 'month', 'UTC', 'monday', 'calendar')) AS all_users_as_one FROM events",
        },
    ]
}
