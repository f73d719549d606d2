//! Engagement: the pieces of the `engagement` relation.
//!
//! Deals with: users of each day and of the days before it, counted (`counts`).
//! Does not deal with: how they are counted (`algo::engagement`), the days of each user (`lifecycle`), days as rows (`period`).

mod counts;

pub use counts::engagement_counts;

use super::{ArgumentDoc, FunctionDoc, FunctionKind};

/// What the manual says of this family.
pub fn docs() -> Vec<FunctionDoc> {
    let argument = |name, kind, default, text| ArgumentDoc { name, kind, default, text };
    vec![FunctionDoc {
        name: "engagement_counts",
        kind: FunctionKind::Aggregate,
        summary: "How many users were active on each day, and in the week and the month that end with it",
        syntax: "engagement_counts(days, week, month)",
        arguments: vec![
            argument(
                "days",
                "LIST of INT",
                None,
                "A user's active days, ascending, as from `user_lifecycle` with the unit `day`.",
            ),
            argument("week", "BIGINT", None, "Days of the shorter trailing stretch, 1 to 366."),
            argument("month", "BIGINT", None, "Days of the longer one."),
        ],
        returns: vec![
            ("first, last INT", "The first and the last day with an active user; NULL without users."),
            (
                "days LIST of STRUCT",
                "`period` (INT), `dau`, `wau`, `mau`, and `month_days` (the sum of `dau` over the longer stretch), for every day from the first to the last with an activity in the stretch that ends with it.",
            ),
        ],
        text: "Distinct users, exactly. At most 10,000 days. State: 24 bytes for each day of each group.",
        example: "SELECT d.period, d.dau, d.wau, d.mau\nFROM (\n  SELECT unnest(engagement_counts(u.periods, 7, 30)['days']) AS d\n  FROM (SELECT user_lifecycle(ts, NULL, 'day', 'UTC', 'monday') AS u FROM events GROUP BY user_id)\n)\nORDER BY d.period LIMIT 3",
    }]
}
