//! Pure algorithms on slices: what each behaviour question means, computed for one user at a time.
//!
//! Deals with: funnels, patterns, intervals, sessions, paths, attribution, retention, lifecycles, activity, the calendar, states
//! that last, and the log that groups events by user.
//! Does not deal with: Arrow arrays, SQL, threads, input/output. Both the hash path (`functions`) and the ordered path
//! (`exec`) call these, so that they cannot disagree.

pub mod activity;
pub mod apportion;
pub mod attribution;
pub mod calendar;
pub mod clickhouse_funnel;
pub mod cohort_value;
pub mod engagement;
pub mod event;
pub mod event_log;
pub mod exact_sum;
pub mod flow;
pub mod funnel;
pub mod interval;
pub mod lifecycle;
pub mod moments;
pub mod path;
pub mod pattern;
pub mod retention;
pub mod session;
pub mod states;
pub mod tied_steps;
pub mod value_runs;
