//! States that last: what is kept of a question so that it can be answered later, as bytes that may lie in files for years.
//!
//! Deals with: the frame of every state of our own ([`frame`]), sets of users ([`users`]), active periods ([`activity`]), a
//! user's funnel events ([`funnel_events`]) and returns ([`returns`]): bytes in, values out, and back. The same value has
//! the same bytes, whatever the order in which it was put together.
//! Does not deal with: SQL, or sketches, whose bytes are those of Apache DataSketches.
//!
//! Bytes come from files that anybody may have written. Reading them takes room in proportion to their length, and what is not
//! a state as this module writes it is refused in one sentence, which goes on after "the state".

pub mod activity;
pub mod frame;
pub mod funnel_events;
pub mod returns;
pub mod users;
