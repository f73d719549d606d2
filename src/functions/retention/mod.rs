//! Retention: `retention(c1, ..)` as in ClickHouse, and the pieces of the `retention` relations.

mod amount_cells;
mod amounts;
pub mod arguments;
pub mod cells;
mod conditions;
mod period_end;
mod recurring_cells;
mod user;
mod user_amounts;
mod user_recurring;

pub use amount_cells::amount_cells;
pub use cells::retention_cells;
pub use conditions::retention;
pub use period_end::period_end;
pub use recurring_cells::recurring_cells;
pub use user::user_retention;
pub use user_amounts::user_amounts;
pub use user_recurring::user_recurring;

use super::{ArgumentDoc, FunctionDoc, FunctionKind};

/// What the manual says of this family.
pub fn docs() -> Vec<FunctionDoc> {
    let argument = |name, kind, default, text| ArgumentDoc { name, kind, default, text };
    let types = || {
        argument(
            "type",
            "TEXT",
            None,
            "`on`: in that period; `on_or_after`: in that period or later; `on_or_before`: in one of the periods 1 to n; `streak`: in each \
             of them; `bracket`: in one of the periods of a bracket. Period 0 is counted alone in all of them but the last.",
        )
    };
    let brackets = || {
        argument(
            "brackets",
            "LIST of BIGINT",
            Some("none"),
            "Pairs of periods, ascending: `[1, 3, 4, 7]` are 1 to 3 and 4 to 7.",
        )
    };
    vec![
        FunctionDoc {
            name: "retention",
            kind: FunctionKind::Aggregate,
            summary: "Which conditions each group met, given that it met the first",
            syntax: "retention(condition, ..)",
            arguments: vec![argument(
                "condition",
                "BOOLEAN, 1 to 64 of them",
                None,
                "The first is the start, the others are returns; NULL is false.",
            )],
            returns: vec![(
                "LIST of BOOLEAN",
                "Element 1: some row satisfies condition 1. Element i: that, and some row satisfies condition i.",
            )],
            text: "The function of the same name in ClickHouse, with booleans for its 0 and 1. Order in time plays no part: \
                   put it into the conditions, or use the relation `retention`. ClickHouse drops a row in which any condition \
                   is NULL, which can hide conditions that the row does satisfy: with (true, NULL) as the only row its \
                   element 1 is 0, and true here. State: 8 bytes a group.",
            example: "SELECT sum(CAST(r[1] AS INT)) AS january, sum(CAST(r[2] AS INT)) AS also_february\nFROM (\n  SELECT retention(month = 1, month = 2) AS r\n  FROM (SELECT user_id, date_part('month', ts) AS month FROM events)\n  GROUP BY user_id\n)",
        },
        FunctionDoc {
            name: "user_retention",
            kind: FunctionKind::Aggregate,
            summary: "The birth of each group, and the periods in which it came back",
            syntax: "user_retention(time, start, return, unit, tz, week_start, index [, min_count] [, kept])",
            arguments: vec![
                argument("time", "TIMESTAMP or DATE", None, "When the event happened."),
                argument("start", "BOOLEAN", None, "Which events can be the birth; the earliest is."),
                argument("return", "BOOLEAN", None, "Which events are returns."),
                argument("unit", "TEXT", None, "`hour`, `day`, `week`, `month`, `quarter` or `year`."),
                argument("tz", "TEXT", None, "IANA time zone of the calendar."),
                argument("week_start", "TEXT", None, "The day on which weeks start."),
                argument(
                    "index",
                    "TEXT",
                    None,
                    "`calendar`: bucket of the return minus bucket of the birth. `rolling`: spans of an hour, 24 hours, 7 or 30 days from the birth.",
                ),
                argument("min_count", "BIGINT", Some("1"), "How many returns a period needs, the birth not counted."),
                argument(
                    "kept",
                    "STRUCT",
                    Some("nothing"),
                    "Values to carry along from the birth event; the least of tied ones.",
                ),
            ],
            returns: vec![
                ("birth", "Time of the earliest start event; NULL without any."),
                ("cohort DATE", "First local date of the period of the birth."),
                ("periods LIST of BIGINT", "The periods with a return, ascending; 0 is the period of the birth."),
                ("kept STRUCT", "The kept values at the birth; only where the argument was given."),
            ],
            text: "A return is a different event than the birth, at the same or a later time. Two rows at the same time are \
                   different events, so a tied row counts. Rows whose time is NULL take no part.\n\nMemory: 48 bytes a group \
                   and 20 for each further period with a return; for each return, where `min_count` is above 1.",
            example: "SELECT r.cohort, count(*) AS users\nFROM (\n  SELECT user_retention(ts, true, true, 'month', 'UTC', 'monday', 'calendar') AS r\n  FROM events GROUP BY user_id\n)\nGROUP BY r.cohort ORDER BY r.cohort",
        },
        FunctionDoc {
            name: "retention_cells",
            kind: FunctionKind::Aggregate,
            summary: "How many groups came back in each period",
            syntax: "retention_cells(periods, n, type [, brackets])",
            arguments: vec![
                argument("periods", "LIST of BIGINT", None, "The periods of one user, as from `user_retention`."),
                argument("n", "BIGINT", None, "The last period to count."),
                types(),
                brackets(),
            ],
            returns: vec![(
                "LIST of BIGINT",
                "n + 1 counts: element 1 is period 0. With type `bracket` a count for each bracket.",
            )],
            text: "NULL lists and elements count for nothing. State: 8 bytes for each cell of each group.",
            example: "SELECT retention_cells(r.periods, 3, 'on') AS cells\nFROM (\n  SELECT user_retention(ts, true, true, 'week', 'UTC', 'monday', 'calendar') AS r\n  FROM events GROUP BY user_id\n)",
        },
        FunctionDoc {
            name: "user_recurring",
            kind: FunctionKind::Aggregate,
            summary: "In which periods each group had a start event, and in which it came back",
            syntax: "user_recurring(time, start, return, unit, tz, week_start, min_count [, kept])",
            arguments: vec![
                argument("time", "TIMESTAMP or DATE", None, "When the event happened."),
                argument("start", "BOOLEAN", None, "Which events can be a birth; the earliest of each period is."),
                argument("return", "BOOLEAN", None, "Which events are returns."),
                argument("unit", "TEXT", None, "`hour`, `day`, `week`, `month`, `quarter` or `year`."),
                argument("tz", "TEXT", None, "IANA time zone of the calendar."),
                argument("week_start", "TEXT", None, "The day on which weeks start."),
                argument("min_count", "BIGINT", None, "How many returns a period needs."),
                argument(
                    "kept",
                    "STRUCT",
                    Some("nothing"),
                    "Values to carry along from the first start event; the least of tied ones.",
                ),
            ],
            returns: vec![
                (
                    "periods LIST of STRUCT",
                    "The periods with a start or a return, ascending: `period` INT (its number), `cohort` DATE (its first local date), \
                     `birth` (time of its first start event, NULL without one), `returned` BOOLEAN (whether it has `min_count` returns), \
                     `again` BOOLEAN (whether it has so many that are other events than the birth, at its time or later).",
                ),
                ("kept STRUCT", "The kept values; only where the argument was given."),
            ],
            text: "Rows whose time is NULL take no part.\n\nMemory: 48 bytes a group and 36 for each further period; for each event, \
                   where `min_count` is above 1.",
            example: "SELECT u.periods[1]['cohort'] AS first_month, count(*) AS users\nFROM (\n  SELECT user_recurring(ts, true, true, 'month', 'UTC', 'monday', 1) AS u\n  FROM events GROUP BY user_id\n)\nGROUP BY 1 ORDER BY 1",
        },
        FunctionDoc {
            name: "recurring_cells",
            kind: FunctionKind::Aggregate,
            summary: "The cohort of every period, and how many of it came back in each period since",
            syntax: "recurring_cells(periods, n, type [, brackets])",
            arguments: vec![
                argument("periods", "LIST of STRUCT", None, "The periods of one user, as from `user_recurring`."),
                argument("n", "BIGINT", None, "The last period to count."),
                types(),
                brackets(),
            ],
            returns: vec![(
                "LIST of STRUCT",
                "`period` INT (its number), `cohort` DATE, `size` BIGINT (users with a start event in the period), `latest` (the latest of their births), `cells` \
                 LIST of BIGINT (as `retention_cells` counts).",
            )],
            text: "Memory: 8 bytes for each cell of each cohort and group.",
            example: "SELECT c.cohort, c.size, c.cells\nFROM (\n  SELECT unnest(recurring_cells(u.periods, 2, 'on')) AS c\n  FROM (SELECT user_recurring(ts, true, true, 'month', 'UTC', 'monday', 1) AS u FROM events GROUP BY user_id)\n)\nORDER BY c.cohort LIMIT 3",
        },
        FunctionDoc {
            name: "user_amounts",
            kind: FunctionKind::Aggregate,
            summary: "What each group was worth in every period, from the birth on",
            syntax: "user_amounts(time, start, return, amount, unit, tz, week_start, index, birth)",
            arguments: vec![
                argument("time", "TIMESTAMP or DATE", None, "When the event happened."),
                argument("start", "BOOLEAN", None, "Which events can be a birth."),
                argument("return", "BOOLEAN", None, "Which events' amounts are added up."),
                argument("amount", "number", None, "What an event was worth; NULL adds nothing."),
                argument("unit", "TEXT", None, "As for `user_retention`, and so are tz, week_start and index."),
                argument("tz", "TEXT", None, "IANA time zone of the calendar."),
                argument("week_start", "TEXT", None, "The day on which weeks start."),
                argument("index", "TEXT", None, "`calendar` or `rolling`."),
                argument(
                    "birth",
                    "TEXT",
                    None,
                    "`first`: the earliest start event. `recurring`: the first of every period.",
                ),
            ],
            returns: vec![(
                "LIST of STRUCT",
                "Periods, ascending: `period` BIGINT (since the birth; with `recurring` its number in the calendar), `amount` (of all its \
                 return events, with `first` of those at the birth or later) and `since_birth` (in the period of a birth, of those at \
                 the birth or later, itself included; NULL in others). DOUBLE, or DECIMAL(38, n) of whole numbers and decimals.",
            )],
            text: "Sums are exact; of doubles they are rounded once. Rows whose time is NULL take no part. A group without a birth has \
                   no periods, with `recurring` those of its amounts.\n\nMemory: 16 bytes a group, 32 for each return event with an \
                   amount (48 where amounts are not DOUBLE).",
            example: "SELECT a[1]['amount'] AS in_the_first_week, count(*) AS users\nFROM (\n  SELECT user_amounts(ts, true, true, price, 'week', 'UTC', 'monday', 'calendar', 'first') AS a\n  FROM events GROUP BY user_id\n)\nGROUP BY 1 ORDER BY 2 DESC, 1 LIMIT 2",
        },
        FunctionDoc {
            name: "amount_cells",
            kind: FunctionKind::Aggregate,
            summary: "What the cohort of every birth was worth in each period since",
            syntax: "amount_cells(amounts, n, type [, brackets])",
            arguments: vec![
                argument("amounts", "LIST of STRUCT", None, "The periods of one user, as from `user_amounts`."),
                argument("n", "BIGINT", None, "The last period to add up."),
                argument(
                    "type",
                    "TEXT",
                    None,
                    "`on`: in that period; `on_or_before`: in the periods from 0 to n; `bracket`: in those of a bracket.",
                ),
                brackets(),
            ],
            returns: vec![(
                "LIST of STRUCT",
                "`period` BIGINT (of the birth) and `cells` LIST of STRUCT: `amount`, the sum over users, and with type `on` `capped`, the \
                 sum of the lesser of a user's amount and that of period 0.",
            )],
            text: "A period without return events has the amount 0. Memory: 80 bytes for each cell of each cohort and group (32 where \
                   amounts are not DOUBLE).",
            example: "SELECT c[1]['cells'][1]['amount'] AS in_week_0, c[1]['cells'][2]['amount'] AS in_week_1\nFROM (\n  SELECT amount_cells(a, 1, 'on') AS c\n  FROM (SELECT user_amounts(ts, true, true, price, 'week', 'UTC', 'monday', 'calendar', 'first') AS a FROM events GROUP BY user_id)\n)",
        },
        FunctionDoc {
            name: "period_end",
            kind: FunctionKind::Scalar,
            summary: "When a retention period has ended",
            syntax: "period_end(birth, period, unit, tz, week_start, index, whole_cohort)",
            arguments: vec![
                argument("birth", "TIMESTAMP or DATE", None, "Time of the birth."),
                argument("period", "BIGINT", None, "Number of the period, from 0."),
                argument("unit", "TEXT", None, "As for `user_retention`, and so are tz, week_start and index."),
                argument("tz", "TEXT", None, "IANA time zone."),
                argument("week_start", "TEXT", None, "The day on which weeks start."),
                argument("index", "TEXT", None, "`calendar` or `rolling`."),
                argument(
                    "whole_cohort",
                    "BOOLEAN",
                    None,
                    "Whether the last possible birth of the calendar cohort is meant, not this one.",
                ),
            ],
            returns: vec![("type of birth", "The first instant after the period; of dates, its last date.")],
            text: "A cell of a retention table is complete once the data reach this value. NULL where the calendar ends.",
            example: "SELECT period_end(TIMESTAMP '2024-01-31 10:00:00', 1, 'month', 'UTC', 'monday', 'calendar', true) AS ends",
        },
    ]
}
