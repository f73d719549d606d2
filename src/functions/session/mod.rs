//! Sessions: the number of each event's session, stable ids, and the pieces of the relations about sessions.

mod arguments;
pub mod parts;
pub mod rules;
mod session_id;
mod sessionize;
mod user_sessions;

pub use session_id::{check_user, session_id};
pub use sessionize::sessionize;
pub use user_sessions::{user_sessions, user_views};

use super::{ArgumentDoc, FunctionDoc, FunctionKind};

/// What the manual says of this family.
pub fn docs() -> Vec<FunctionDoc> {
    let argument = |name, kind, default, text| ArgumentDoc { name, kind, default, text };
    vec![
        FunctionDoc {
            name: "sessionize",
            kind: FunctionKind::Window,
            summary: "The number of the session that each event belongs to",
            syntax: "sessionize(time, gap [, options]) OVER (PARTITION BY user ORDER BY time)",
            arguments: vec![
                argument("time", "TIMESTAMP or DATE", None, "When the event happened."),
                argument("gap", "INTERVAL", None, "The longest time without an event within a session."),
                argument(
                    "options",
                    "STRUCT",
                    Some("nothing"),
                    "Any of `boundary`, `cut_midnight`, `tz`, `cut_campaign`, `start_when`, `end_when`, `max_length`, `exclude`, \
                     `order_key`, as in `{'start_when': event = 'login', 'cut_midnight': true}`; they mean what they mean in `sessions`.",
                ),
            ],
            returns: vec![(
                "BIGINT",
                "1, 2, .. for each user; NULL for an event without a time, and for an excluded one.",
            )],
            text: SESSIONIZE_TEXT,
            example: "SELECT user_id, ts, event, sessionize(ts, INTERVAL '30 minutes') OVER (PARTITION BY user_id ORDER BY ts) AS session\nFROM events ORDER BY user_id, ts LIMIT 5",
        },
        FunctionDoc {
            name: "session_id",
            kind: FunctionKind::Scalar,
            summary: "The stable identifier of a session",
            syntax: "session_id(user, started_at)",
            arguments: vec![
                argument("user", "integer or TEXT", None, "Who."),
                argument("started_at", "TIMESTAMP or DATE", None, "Time of the session's first event."),
            ],
            returns: vec![("BIGINT", "64 bits; NULL where an argument is.")],
            text: "xxHash64 with seed 0 of the UTF-8 text `user|nanoseconds`, where nanoseconds since 1970-01-01 UTC are a decimal \
                   number and a DATE is its midnight; the bits are read as a signed number. It is the same in every run, on every \
                   platform, in every unit of the time column, for the integer 7 and the text '7', and other tools can compute it: \
                   in ClickHouse `reinterpretAsInt64(xxHash64(concat(toString(user_id), '|', toString(toUnixTimestamp64Nano(started_at)))))`.\n\n\
                   The sessions of one user begin at different times, so two sessions share an id only by chance, which for n sessions is \
                   n^2 / 2^65: one in 37 million for a million of them.",
            example: "SELECT session_id(7, TIMESTAMP '2025-01-01 12:00:00') AS id, session_id('7', TIMESTAMP '2025-01-01 12:00:00') AS same",
        },
    ]
}

const SESSIONIZE_TEXT: &str = "\
What opens a session is told at `sessions`; `sessions` for the same rules has the sessions with these numbers. The answer \
depends only on the events of the partition and their times, not on ORDER BY: events at the same time are in one session. \
`tz` is UTC where it is not given, whatever the session's time zone is.

Numbered events are how steps are kept within one session. With `GROUP BY user_id, session` every aggregate sees one \
session: `SELECT user_id, session, window_funnel(INTERVAL '1 day', ts, event = 'view_item', event = 'purchase') FROM (SELECT *, \
sessionize(ts, INTERVAL '30 minutes') OVER (PARTITION BY user_id ORDER BY ts) AS session FROM events) GROUP BY user_id, session`. \
A relation over sessions in place of users takes the session's id for the user: with `session_id(user_id, min(ts) OVER \
(PARTITION BY user_id, session)) AS visit` in such a subquery, `funnel((SELECT ..), user => visit, ..)` counts visits.

Cost: one sort of each partition where it does not come in order of time. The rows of one partition are held in memory \
until the last of them has come.";
