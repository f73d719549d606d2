//! The aggregate behind `FROM intervals(..)`: each user's times between two kinds of events.
//!
//! Deals with: SQL arguments in, `algo::interval` out. Does not deal with: what the relation accepts (`relations`), nor with their
//! spread (`middle`). The function shows in EXPLAIN; nobody types it.

mod user;

pub use user::user_intervals;
