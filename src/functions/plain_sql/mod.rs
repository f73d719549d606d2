//! Small functions that plain SQL needs and DataFusion lacks: differences of times in units, samples of users.
//!
//! Deals with: functions of one row whose meaning is everyone's. Does not deal with: behaviour (the other folders), or where the planner
//! puts the ones without a manual entry (`time_length`, `as_number`, `interval_times`: `plan` and `engine` do).

mod age;
mod as_number;
mod checked;
mod date_diff;
mod in_sample;
mod interval_times;
mod length;
mod local_midnight;
mod percentile;
mod single_row;
mod sum;
mod time_length;
mod type_name;

pub use age::age;
pub use as_number::as_number;
pub use checked::{checked, is_checked};
pub use date_diff::date_diff;
pub use in_sample::in_sample;
pub use interval_times::{INTERVAL_TIMES, interval_times};
pub use length::length;
pub use local_midnight::local_midnight;
pub use percentile::percentile_cont;
pub use single_row::single_row;
pub use sum::sum;
pub use time_length::{nanoseconds, time_length};
pub use type_name::{sql_type, type_of};

use super::{ArgumentDoc, FunctionDoc, FunctionKind};

const fn argument(
    name: &'static str,
    kind: &'static str,
    default: Option<&'static str>,
    text: &'static str,
) -> ArgumentDoc {
    ArgumentDoc { name, kind, default, text }
}

/// Their entries in the manual.
pub fn docs() -> Vec<FunctionDoc> {
    vec![
        FunctionDoc {
            name: "date_diff",
            kind: FunctionKind::Scalar,
            summary: "How many units lie between two times",
            syntax: "date_diff(unit, from, to)",
            arguments: vec![
                argument(
                    "unit",
                    "text",
                    None,
                    "`second`, `minute`, `hour`, `day`, `week`, `month`, `quarter`, `year`, or `millisecond`, `microsecond`.",
                ),
                argument("from", "TIMESTAMP or DATE", None, "The earlier time."),
                argument(
                    "to",
                    "TIMESTAMP or DATE",
                    None,
                    "The later time; where it is earlier the answer is negative.",
                ),
            ],
            returns: vec![("BIGINT", "Boundaries of the unit between the two; NULL where one of them is NULL.")],
            text: "\
Boundaries that are crossed are counted, as DuckDB and ClickHouse do it, not whole units: from 23:59 to 00:01 is one day. Days and longer \
units are those of `tenure.time_zone`; weeks begin on Monday. `datediff(day, from, to)` is the same, `datediff(to, from)` counts days.",
            example: "SELECT date_diff('day', TIMESTAMP '2026-01-31 23:59:00', TIMESTAMP '2026-02-01 00:01:00') AS days, date_diff('month', DATE '2026-01-31', DATE '2026-02-01') AS months",
        },
        FunctionDoc {
            name: "age",
            kind: FunctionKind::Scalar,
            summary: "The time between two times in years, months and days",
            syntax: "age(to [, from])",
            arguments: vec![
                argument("to", "TIMESTAMP or DATE", None, "The later time."),
                argument(
                    "from",
                    "TIMESTAMP or DATE",
                    Some("see below"),
                    "The earlier time. With one argument the answer is the age today, `age(current_date, to)`.",
                ),
            ],
            returns: vec![("INTERVAL", "Whole months, then days, then the rest; NULL where one of the two is NULL.")],
            text: "As in Postgres and DuckDB. To compare lengths, subtract: `to - from > INTERVAL '90 days'`.",
            example: "SELECT age(TIMESTAMP '2026-03-15 12:00:00', TIMESTAMP '2026-01-31 00:00:00') AS age",
        },
        FunctionDoc {
            name: "in_sample",
            kind: FunctionKind::Scalar,
            summary: "Whether a user is in a sample of users",
            syntax: "in_sample(user, share [, seed])",
            arguments: vec![
                argument("user", "integer or text", None, "The user. The number 7 and the text '7' are one."),
                argument("share", "DOUBLE, constant", None, "The share of users that are in, 0 to 1."),
                argument("seed", "BIGINT, constant", Some("0"), "Another seed, other users."),
            ],
            returns: vec![("BOOLEAN", "Whether the user is in; false where the user is NULL.")],
            text: "\
`FROM events TABLESAMPLE (10 PERCENT)` and `FROM events SAMPLE 0.1` are this condition on the table's user column, with the seed of \
`REPEATABLE (7)`. Users stay whole, and the same ones are in for every table and every run, whatever the number of files and threads: \
funnels and retention over a sample are those of its users. A larger share holds every user of a smaller one. \
The number of users is near the share, not equal to it; counts are to be divided by the share. Hash: xxHash64 of the user's text.",
            example: "SELECT count(DISTINCT user_id) AS users FROM events WHERE in_sample(user_id, 0.25)",
        },
        FunctionDoc {
            name: "length",
            kind: FunctionKind::Scalar,
            summary: "Characters of a text, or elements of a list",
            syntax: "length(value)",
            arguments: vec![argument(
                "value",
                "text or list",
                None,
                "Anything else is taken as the text it is shown as.",
            )],
            returns: vec![("BIGINT", "The number; NULL where the value is NULL.")],
            text: "`octet_length(text)` counts bytes.",
            example: "SELECT length('Größe') AS characters, length([3, 5, 8]) AS elements",
        },
        FunctionDoc {
            name: "typeof",
            kind: FunctionKind::Scalar,
            summary: "The SQL type of a value",
            syntax: "typeof(value)",
            arguments: vec![argument("value", "any", None, "The value; only its type matters.")],
            returns: vec![("VARCHAR", "The name that `DESCRIBE` shows, never NULL.")],
            text: "Texts are VARCHAR however they are stored. `arrow_typeof(value)` tells how.",
            example: "SELECT typeof(1) AS number, typeof(['a']) AS list",
        },
    ]
}
