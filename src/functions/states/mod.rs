//! States that last: aggregates that answer bytes which a daily job stores, aggregates that merge them, and functions that read them.
//!
//! Deals with: exact sets of users (`users`), sketches of distinct values (`distinct`), active periods (`activity`), funnels
//! (`funnel`) and retention (`retention`). Does not deal with: what the bytes are (`algo::states`, `model::sketches`).
//!
//! The partial state of these aggregates is the state itself, so that merging partitions of a query and merging stored days is one
//! thing; `funnel_state` logs events as `window_funnel` does, and they become bytes when it answers.
//!
//! `.._state` over nothing answers the state of nothing, `.._merge` over no state answers NULL.

mod activity;
mod activity_readers;
mod arguments;
mod distinct;
mod distinct_readers;
mod funnel;
mod groups;
mod manual;
mod retention;
mod user_texts;
mod users;
mod users_algebra;
mod users_window;

use datafusion::logical_expr::{AggregateUDF, ScalarUDF};

pub use manual::docs;

/// The aggregates of this family.
pub fn aggregates() -> Vec<AggregateUDF> {
    vec![
        users::users_state(),
        users::users_merge(),
        distinct::distinct_hll_state(),
        distinct::distinct_hll_merge(),
        distinct::distinct_theta_state(),
        distinct::distinct_theta_merge(),
        activity::activity_state(),
        activity::activity_merge(),
        funnel::funnel_state(),
        funnel::funnel_merge(),
        retention::retention_state(),
        retention::retention_merge(),
    ]
}

/// The functions of a row.
pub fn scalars() -> Vec<ScalarUDF> {
    let mut all = vec![
        users_algebra::users_count(),
        users_algebra::users_and(),
        users_algebra::users_or(),
        users_algebra::users_and_not(),
        users_algebra::users_contains(),
        distinct_readers::distinct_theta_and(),
        distinct_readers::distinct_theta_and_not(),
        activity_readers::activity_count(),
        activity_readers::activity_periods(),
        funnel::funnel_level(),
        retention::retention_periods(),
    ];
    all.extend(distinct_readers::readers());
    all
}
