//! Periods of a calendar as rows and numbers: the pieces that `lifecycle`, `engagement`, `stickiness` and `streaks` share.
//!
//! Deals with: the dates of numbered periods (`dates`, `rows`), how far a moment reaches (`reached`), which rows may be of the last
//! periods (`recent`), what one user's active
//! periods say (`active`), the period of a time (`date`).
//! Does not deal with: which period a time belongs to (`algo::calendar`), nor with counting users (`lifecycle`, `engagement`).

mod active;
mod date;
pub mod dates;
pub mod numbers;
mod reached;
mod recent;
mod rows;

use datafusion::common::ScalarValue;
use datafusion::logical_expr::ColumnarValue;

pub use active::{active_streaks, periods_within};
pub use date::{period_date, period_number};
pub use reached::period_reached;
pub use recent::{Recent, recent};
pub use rows::period_rows;

use super::{ArgumentDoc, FunctionDoc, FunctionKind};
use crate::algo::calendar::{Calendar, Clock};
use crate::error::{Error, Result};

/// The constants from position `from` on.
fn constants<'a>(function: &str, arguments: &'a [ColumnarValue], from: usize) -> Result<Vec<&'a ScalarValue>> {
    let constant = |(at, argument): (usize, &'a ColumnarValue)| match argument {
        ColumnarValue::Scalar(value) => Ok(value),
        ColumnarValue::Array(_) => {
            Err(Error::user(format!("{function}: argument {} must be a constant", from + at + 1)))
        }
    };
    arguments[from..].iter().enumerate().map(constant).collect()
}

/// The calendar of the three constants unit, time zone and week start.
fn calendar_words(function: &str, words: &[&ScalarValue], clock: Clock) -> Result<Calendar> {
    let text = |at: usize| match words[at].try_as_str() {
        Some(Some(text)) => Ok(text),
        _ => Err(Error::user(format!("{function}: unit, time zone and week_start must be strings"))),
    };
    super::lifecycle::calendar(function, text(0)?, text(1)?, text(2)?, clock)
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
    let mut rows = vec![
        argument(
            "counts",
            "LIST of STRUCT",
            None,
            "A period (INT) and what is known of it, as `lifecycle_counts` and `engagement_counts` answer.",
        ),
        argument("first", "INT", None, "The first period to report."),
        argument("last", "INT", None, "The last period with an activity."),
        argument("as_of", "TIMESTAMP or DATE", None, "How far the data reach."),
    ];
    rows.extend(words());
    let mut reached = vec![argument("as_of", "TIMESTAMP or DATE", None, "How far the data reach.")];
    reached.extend(words());
    let mut date = vec![argument("time", "TIMESTAMP or DATE", None, "The time; an instant, or a local date.")];
    date.extend(words());
    let number = date.clone();
    vec![
        FunctionDoc {
            name: "period_date",
            kind: FunctionKind::Scalar,
            summary: "The first local date of the period that a time lies in",
            syntax: "period_date(time, unit, tz, week_start)",
            arguments: date,
            returns: vec![("DATE", "Of the unit `day`, the local date itself. NULL where the time is.")],
            text: "`unit`, `tz` and `week_start` are constants.",
            example: "SELECT period_date(TIMESTAMP '2025-03-30 23:30:00', 'week', 'Europe/Berlin', 'monday') AS week",
        },
        FunctionDoc {
            name: "period_number",
            kind: FunctionKind::Scalar,
            summary: "The number of the period that a time lies in",
            syntax: "period_number(time, unit, tz, week_start)",
            arguments: number,
            returns: vec![(
                "INT",
                "Consecutive periods have consecutive numbers; day 0 is 1970-01-01. NULL where the time is.",
            )],
            text: "The numbers that `user_lifecycle`, `period_reached` and `period_rows` use. `unit`, `tz` and `week_start` are constants.",
            example: "SELECT period_number(DATE '2025-03-01', 'month', 'UTC', 'monday') - period_number(DATE '2024-12-31', 'month', 'UTC', 'monday') AS months",
        },
        FunctionDoc {
            name: "period_rows",
            kind: FunctionKind::Scalar,
            summary: "Counted periods as rows: every period with its date, zeros included",
            syntax: "period_rows(counts, first, last, as_of, unit, tz, week_start)",
            arguments: rows,
            returns: vec![(
                "LIST of STRUCT",
                "`period` (DATE, the first of the period), what is known of it (without an element: 0 of a BIGINT, else NULL), `complete` (whether the period has ended at `as_of`).",
            )],
            text: "From `first` to the period that holds `as_of`, or to `last` where that is later. NULL where an argument is. \
                   At most 10,000 periods.",
            example: "SELECT r.period, r.new, r.dormant, r.complete\nFROM (\n  SELECT unnest(period_rows(c.periods, c.first, c.last, DATE '2025-06-30', 'month', 'UTC', 'monday')) AS r\n  FROM (SELECT lifecycle_counts(u.born, u.periods) AS c\n        FROM (SELECT user_lifecycle(ts, NULL, 'month', 'UTC', 'monday') AS u FROM events GROUP BY user_id))\n)\nORDER BY r.period LIMIT 4",
        },
        FunctionDoc {
            name: "period_reached",
            kind: FunctionKind::Scalar,
            summary: "The number of the last period that the data reach into, and of the last that has ended",
            syntax: "period_reached(as_of, unit, tz, week_start)",
            arguments: reached,
            returns: vec![
                ("reached INT", "The last period that has begun before `as_of` (a DATE: on or before it)."),
                ("ended INT", "The last period that has ended at `as_of`: the same one, or the one before."),
            ],
            text: "Periods have the numbers that `user_lifecycle` gives them. An instant that is the very beginning of a period \
                   ends the one before and reaches into none. NULL where `as_of` is.",
            example: "SELECT period_reached(TIMESTAMP '2025-03-01 00:00:00', 'day', 'UTC', 'monday') AS days",
        },
        FunctionDoc {
            name: "periods_within",
            kind: FunctionKind::Scalar,
            summary: "How many of a user's active periods lie among the last n",
            syntax: "periods_within(periods, last, n)",
            arguments: vec![
                argument("periods", "LIST of INT", None, "Active periods, ascending, as from `user_lifecycle`."),
                argument("last", "INT", None, "The last period that counts."),
                argument("n", "BIGINT", None, "How many periods count, that one included."),
            ],
            returns: vec![("BIGINT", "Active periods from `last` - n + 1 to `last`.")],
            text: "NULL where an argument is.",
            example: "SELECT periods_within([3, 4, 8, 9], 8, 5) AS of_five",
        },
        FunctionDoc {
            name: "active_streaks",
            kind: FunctionKind::Scalar,
            summary: "The current and the longest run of consecutive active periods",
            syntax: "active_streaks(periods, ended)",
            arguments: vec![
                argument("periods", "LIST of INT", None, "Active periods, ascending, as from `user_lifecycle`."),
                argument("ended", "INT", None, "The last period that has ended, as from `period_reached`."),
            ],
            returns: vec![
                (
                    "current BIGINT",
                    "Periods of the run that ends with the last active period, if that is `ended` or later; else 0.",
                ),
                ("longest BIGINT", "Periods of the longest run."),
                ("longest_from INT", "The first period of the longest run; of equally long ones the latest."),
                ("last INT", "The last active period."),
            ],
            text: "A run is not over while the period that follows it has not ended. NULL where an argument is NULL or the list empty.",
            example: "SELECT active_streaks([1, 2, 3, 7, 8], 8) AS s",
        },
    ]
}
