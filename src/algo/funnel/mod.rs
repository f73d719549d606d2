//! The funnel kernel: how far one user came, and by which events.
//!
//! A *chain of length m* is a sequence of distinct events `e1..em` where `ei` satisfies condition `i`, times do not
//! decrease, and `t(em) - t(e1)` is within the window; the options of [`Spec`] narrow that down. The *level* is the length
//! of the longest chain, steps that may be skipped not counted.
//! Deals with: one user's events, sorted by time, and which method finds their chains. Does not deal with: grouping, Arrow,
//! the report over users.
//!
//! Events at one instant are unordered: they may serve steps in any order, and none of them lies between the others.

pub mod plain;
pub mod spec;

use super::event::Event;
pub use plain::{chain, level};
pub use spec::{Between, Entry, Exclusion, MAX_STEPS, Order, Pick, Spec, Window};

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

/// The funnel of one query, with what it needs to hold between users.
#[derive(Debug, Clone)]
pub struct Funnel {
    spec: Spec,
    chain: Vec<u32>,
}

impl Funnel {
    /// A funnel.
    pub fn new(spec: Spec) -> Self {
        Self { spec, chain: Vec::new() }
    }

    /// How far a user came. `held` gives the class of each tag, where all events of a chain must be of one class.
    pub fn level(&mut self, events: &[Event], _held: Option<&[u32]>) -> Reached {
        Reached { level: level(events, &self.spec), dropped: false }
    }

    /// Appends the chains asked for, without those of level 0 (but with those that were dropped).
    pub fn chains(&mut self, events: &[Event], _held: Option<&[u32]>, chains: &mut Chains) {
        self.chain.clear();
        let level = chain(events, &self.spec, &mut self.chain);
        if level > 0 {
            let places = self.chain.iter().zip(0..).map(|(at, step)| Place { step, at: *at });
            chains.places.extend(places);
            let reached = Reached { level, dropped: false };
            chains.chains.push(Chain { period: None, reached, end: chains.places.len() });
        }
    }
}
