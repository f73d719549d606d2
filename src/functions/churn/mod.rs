//! Churn: a user's active days, the features at a date, and the points score over them.

mod activity_days;
mod score;

pub use activity_days::activity_days;
pub use score::{churn_features, churn_points, churn_score, feature_fields};

use super::{ArgumentDoc, FunctionDoc, FunctionKind};

/// What the manual says of this family.
pub fn docs() -> Vec<FunctionDoc> {
    let argument = |name, kind, default, text| ArgumentDoc { name, kind, default, text };
    vec![
        FunctionDoc {
            name: "activity_days",
            kind: FunctionKind::Aggregate,
            summary: "The local dates on which each group was active",
            syntax: "activity_days(time, transaction, tz)",
            arguments: vec![
                argument("time", "TIMESTAMP or DATE", None, "When the event happened."),
                argument("transaction", "BOOLEAN", None, "Which events are transactions; NULL is false."),
                argument("tz", "TEXT", None, "IANA time zone of the dates."),
            ],
            returns: vec![(
                "LIST of STRUCT(day DATE, events BIGINT, transactions BIGINT)",
                "One element for each active date, ascending.",
            )],
            text: "Rows whose time is NULL take no part. Memory: 40 bytes for each group, 20 for each further active date.",
            example: "SELECT user_id, array_length(activity_days(ts, event = 'purchase', 'UTC')) AS active_days\nFROM events GROUP BY user_id ORDER BY active_days DESC, user_id LIMIT 3",
        },
        FunctionDoc {
            name: "churn_features",
            kind: FunctionKind::Scalar,
            summary: "What a user's active days say at a date",
            syntax: "churn_features(days, as_of, horizon)",
            arguments: vec![
                argument("days", "LIST of STRUCT", None, "Active days, as from `activity_days`."),
                argument("as_of", "DATE", None, "The date from which one looks back."),
                argument("horizon", "BIGINT", None, "Days in the period that is compared with the one before."),
            ],
            returns: vec![
                ("recency_days, tenure_days BIGINT", "Whole days since the last and the first active date."),
                (
                    "active_days, active_days_before BIGINT",
                    "Active dates in the last `horizon` days, and in the `horizon` days before those.",
                ),
                ("events, events_before BIGINT", "Events in the same two periods."),
                ("repeats BIGINT", "Distinct dates with a transaction minus 1; -1 without any."),
                (
                    "transaction_span, transaction_age BIGINT",
                    "Days from the first transaction to the last one, and to `as_of`.",
                ),
            ],
            text: "Only dates up to `as_of` are looked at. NULL where there are none, or an argument is NULL.",
            example: "SELECT user_id, f.recency_days, f.active_days\nFROM (\n  SELECT user_id, churn_features(activity_days(ts, event = 'purchase', 'UTC'), DATE '2025-03-01', 30) AS f\n  FROM events GROUP BY user_id\n)\nORDER BY user_id LIMIT 3",
        },
        FunctionDoc {
            name: "churn_score",
            kind: FunctionKind::Scalar,
            summary: "A transparent score of how likely a user is to leave, with reasons",
            syntax: "churn_score(features, horizon [, thresholds])",
            arguments: vec![
                argument("features", "STRUCT", None, "As from `churn_features`."),
                argument("horizon", "BIGINT", None, "The horizon of the features."),
                argument(
                    "thresholds",
                    "LIST of 8 DOUBLE",
                    Some("by horizon"),
                    "Four for recency (days), two for frequency (active days), two for trend (share).",
                ),
            ],
            returns: vec![
                ("score DOUBLE", "0 to 1: points divided by 100."),
                ("reasons LIST of TEXT", "A sentence for each part that gave points, the heaviest first."),
            ],
            text: SCORE_TEXT,
            example: "SELECT s.score, s.reasons\nFROM (\n  SELECT churn_score(churn_features(activity_days(ts, false, 'UTC'), DATE '2025-06-30', 30), 30) AS s\n  FROM events GROUP BY user_id ORDER BY user_id LIMIT 1\n)",
        },
    ]
}

/// How the score comes about, for `churn_score` and the relation.
pub const SCORE_TEXT: &str = "\
Points, at most 100. **Recency**, up to 60: 15 for each threshold that the days since the last activity have reached; by \
default a quarter and a half of the horizon (rounded down), once and twice the horizon. **Frequency**, up to 20: 10 for fewer than 4 active days in the last \
horizon, 20 for fewer than 2. **Trend**, up to 20: 10 where events fell by 30 % against the horizon before, 20 by 60 % or \
where there are none in both; a user whose first events lie in the last horizon has no trend.";
