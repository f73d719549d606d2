//! The funnel kernel: how far one user came, and by which events.
//!
//! A *chain of length m* is a sequence of distinct events `e1..em` where `ei` satisfies condition `i`, times do not
//! decrease, and `t(em) - t(e1)` is within the window; the options of [`Spec`] narrow that down. The *level* is the length
//! of the longest chain, steps that may be skipped not counted.
//! Deals with: one user's events, sorted by time, and which method finds their chains. Does not deal with: grouping, Arrow,
//! the report over users.
//!
//! - `spec`: what counts as a chain. `window`: when it must be over.
//! - `plain`, `gaps`, `any_order`: one method each; `way`, `exchange`: the events of the chains that the last two
//!   find; `ties`: what events at one instant can serve.
//! - `method`: one user's chains, whichever method finds them; `held`: the same where all events of a chain share a value;
//!   `apart`, `plain_apart`: the same for each value of the events that start a chain.
//!
//! Events at one instant are unordered: they may serve steps in any order, and none of them lies between the others.

mod any_order;
mod apart;
mod exchange;
mod gaps;
mod held;
mod method;
mod plain;
mod plain_apart;
mod spec;
mod ties;
mod way;
mod window;

pub use apart::Values;
pub use held::Funnel;
pub use spec::{Between, By, Entry, Exclusion, MAX_STEPS, Order, Pick, Spec, Window};
pub use window::{Deadline, Deadlines};

/// How far a user came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Reached {
    /// Steps of the longest chain, those that may be skipped not counted.
    pub level: usize,
    /// An exclusion took steps from the user, who therefore leaves the funnel; the level is 0 then.
    pub dropped: bool,
}

/// An event of a chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// The step that it serves, from 0.
    pub step: u32,
    /// Its position among the user's events.
    pub at: u32,
}

/// A chain; its events stand in [`Chains::places`], in order of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Chain {
    /// Number of the period in which it starts, where the funnel asks for chains by period.
    pub period: Option<i64>,
    /// The latest event of that period that can start a chain; of no meaning without one.
    pub last_entry: i64,
    /// A tag with the chain's value, where chains are told apart by one and it has one.
    pub value: Option<u32>,
    /// How far it comes.
    pub reached: Reached,
    /// Where its events end in [`Chains::places`]; they begin where those of the chain before end.
    pub end: usize,
}

/// Chains of one or several users, one after the other.
#[derive(Debug, Clone, Default)]
pub struct Chains {
    /// The chains.
    pub chains: Vec<Chain>,
    /// The events of all chains.
    pub places: Vec<Place>,
}

/// A chain as the first pass knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Found {
    /// Its level; the rest has no meaning where that is 0.
    level: usize,
    /// When it starts.
    start: i64,
    /// When it reaches its last step that counts; `None` where that is as early as it can be.
    completed: Option<i64>,
    /// Steps before its last one that may be skipped but were found to be met; others of them are not.
    met: u64,
}

#[cfg(test)]
mod tests;
