//! Attribution: what each user's paths add up to, and the report over users.
//!
//! Both aggregates are pieces of the plan of `FROM attribution(..)`. The first gives each user's sums as a list of rows
//! (`items`), the second adds the rows of all users up, runs the models that need all paths, and rounds.

pub mod credits;
mod items;
pub mod models;
mod report;
pub mod user;

use datafusion::logical_expr::AggregateUDF;

use super::grouped::aggregate;

/// `user_attribution`: what a user's touches and conversions add up to.
pub fn user_attribution() -> AggregateUDF {
    aggregate(user::UserAttribution)
}

/// `attribution_credits`: credit by model and channel.
pub fn attribution_credits() -> AggregateUDF {
    aggregate(credits::AttributionCredits)
}
