//! SQL functions: arguments in, `algo` out. Adapters only.
//!
//! Deals with: one file for each function family, the list of them, what `FUNCTIONS.md` and `\df` show.
//! Does not deal with: the algorithms (`algo`, `model`) or what `FROM name(...)` plans (`relations`).

use std::sync::Arc;

use datafusion::error::Result;
use datafusion::execution::{FunctionRegistry, SessionState};
use datafusion::logical_expr::{AggregateUDF, ScalarUDF, WindowUDF};

pub mod attribution;
pub mod bg_nbd;
pub mod breakdown;
pub mod churn;
pub mod columns;
pub mod data_reach;
pub mod documentation;
pub mod engagement;
pub mod event_groups;
pub mod exact_sum;
pub mod funnel;
pub mod grouped;
pub mod interval;
pub mod kept_values;
pub mod lifecycle;
pub mod local_time;
pub mod middle;
pub mod moments;
pub mod moving_mean;
pub mod path;
pub mod period;
pub mod plain_sql;
pub mod proportions;
pub mod retention;
pub mod room;
pub mod row_function;
pub mod segments_apart;
pub mod sequence;
pub mod session;
mod single_group;
pub mod states;
mod stores;
pub mod user_known;
pub mod user_logs;
pub mod welch;
pub mod wilson;

/// What kind of thing an entry of the catalogue is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum FunctionKind {
    /// Used in FROM.
    Relation,
    /// Used with GROUP BY.
    Aggregate,
    /// Used on each row.
    Scalar,
    /// Used with OVER.
    Window,
}

/// One argument of a function, for help and for error messages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArgumentDoc {
    /// Name, as in `name => value`; positional arguments have one too.
    pub name: &'static str,
    /// Type as a user would say it.
    pub kind: &'static str,
    /// Default as SQL, `None` where it must be given.
    pub default: Option<&'static str>,
    /// One sentence.
    pub text: &'static str,
}

/// One function or relation: what `FUNCTIONS.md`, `tenure functions` and `\df` show.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FunctionDoc {
    /// Name in SQL.
    pub name: &'static str,
    /// Where it is used.
    pub kind: FunctionKind,
    /// One line.
    pub summary: &'static str,
    /// How it is called.
    pub syntax: &'static str,
    /// Arguments in order.
    pub arguments: Vec<ArgumentDoc>,
    /// What comes back: column or type, and its meaning.
    pub returns: Vec<(&'static str, &'static str)>,
    /// Longer text: semantics, NULLs, cost, source. Markdown.
    pub text: &'static str,
    /// SQL that runs on the sample data as it is; that of `history`, on a managed table `events`.
    pub example: &'static str,
}

/// Every function of tenure, in the order of the manual; the relations have a list of their own.
pub fn docs() -> Vec<FunctionDoc> {
    [
        funnel::docs(),
        sequence::docs(),
        session::docs(),
        retention::docs(),
        lifecycle::docs(),
        engagement::docs(),
        period::docs(),
        churn::docs(),
        bg_nbd::docs(),
        wilson::docs(),
        states::docs(),
        exact_sum::docs(),
        moving_mean::docs(),
        proportions::docs(),
        welch::docs(),
        plain_sql::docs(),
    ]
    .concat()
}

/// Every aggregate.
fn aggregates() -> Vec<AggregateUDF> {
    let mut all = vec![
        funnel::window_funnel(),
        funnel::funnel_chain(),
        funnel::funnel_chains(),
        funnel::funnel_steps(),
        sequence::sequence_match(),
        sequence::sequence_count(),
        sequence::sequence_match_events(),
        sequence::sequence_next_event(),
        retention::retention(),
        retention::user_retention(),
        retention::retention_cells(),
        retention::user_recurring(),
        retention::recurring_cells(),
        retention::user_amounts(),
        retention::amount_cells(),
        lifecycle::user_lifecycle(),
        lifecycle::inactivity_counts(),
        lifecycle::lifecycle_counts(),
        engagement::engagement_counts(),
        interval::user_intervals(),
        session::user_sessions(),
        session::user_views(),
        path::user_transitions(),
        path::user_paths(),
        path::flow_table(room::Room::new("flow_table", None)),
        churn::activity_days(),
        attribution::user_attribution(),
        attribution::attribution_credits(),
        bg_nbd::bg_nbd_fit(),
        exact_sum::exact_sum(),
        exact_sum::exact_sum_state(),
        exact_sum::exact_sum_merge(),
        plain_sql::sum(),
        plain_sql::percentile_cont(),
    ];
    all.extend(states::aggregates());
    all
}

/// Every scalar function.
fn scalars() -> Vec<ScalarUDF> {
    let mut all = vec![
        breakdown::breakdown(),
        data_reach::data_reach(),
        funnel::funnel_touches(),
        funnel::funnel_window_end(),
        retention::period_end(),
        period::period_date(),
        period::period_number(),
        period::period_rows(),
        period::period_reached(),
        period::periods_within(),
        period::active_streaks(),
        session::session_id(),
        churn::churn_features(),
        churn::churn_score(),
        bg_nbd::p_alive(),
        bg_nbd::expected_purchases(),
        wilson::wilson_low(),
        wilson::wilson_high(),
        proportions::proportions_p_value(),
        proportions::newcombe_low(),
        proportions::newcombe_high(),
        welch::welch_test(),
        plain_sql::date_diff(),
        plain_sql::age(),
        plain_sql::in_sample(),
        plain_sql::length(),
        plain_sql::type_of(),
        plain_sql::time_length(),
        plain_sql::as_number(),
    ];
    all.extend(states::scalars());
    all
}

/// Every window function.
fn windows() -> Vec<WindowUDF> {
    vec![session::sessionize(), moving_mean::moving_mean()]
}

/// Registers every function with a session.
pub fn register_all(state: &mut SessionState) -> Result<()> {
    for function in aggregates() {
        state.register_udaf(Arc::new(function))?;
    }
    for function in scalars() {
        state.register_udf(Arc::new(function))?;
    }
    for function in windows() {
        state.register_udwf(Arc::new(function))?;
    }
    Ok(())
}
