//! Patterns over one user's events: does one occur, how often, and when first.
//!
//! A pattern is a row of *elements*, `(?N)` or `.`, each of which takes one event. Between two elements stand a *gap*
//! (nothing: the events are neighbours; `.*`; `[^N M]*`) and *time limits*, which measure from the event before to the
//! event after; a limit without a gap implies `.*`. A *match* gives each element an event of its own, in order, such that
//! every limit holds and all events between two neighbours are such as their gap admits. Tied events are unordered: a match
//! exists if it exists in some order of them.
//!
//! Deals with: the pattern as data. [`parse`] reads it from text, [`search`] finds matches, `tied` seats the events of
//! one instant. Does not deal with: Arrow, SQL, or the values of events.

pub mod next_event;
pub mod parse;
pub mod search;
mod tied;

/// The most elements a pattern may have: they are bits of one word.
pub const MAX_ELEMENTS: usize = 64;

/// The most `!=` limits in one pattern: each doubles the work.
pub const MAX_UNEQUAL: usize = 4;

/// What may lie between two events of a match.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Gap {
    /// Nothing: they are neighbours.
    Nothing,
    /// Any events.
    Any,
    /// Events that satisfy none of these conditions.
    Without(u64),
}

impl Gap {
    /// Whether an event with these conditions may lie in the gap.
    #[inline]
    pub fn admits(self, mask: u64) -> bool {
        match self {
            Gap::Nothing => false,
            Gap::Any => true,
            Gap::Without(conditions) => mask & conditions == 0,
        }
    }
}

/// How the times of two neighbours of a match must compare.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Comparison {
    /// `<`
    Less,
    /// `<=`
    AtMost,
    /// `==`
    Equal,
    /// `!=`
    Unequal,
    /// `>=`
    AtLeast,
    /// `>`
    More,
}

/// A limit on the time since the element before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Limit {
    /// How the time compares.
    pub comparison: Comparison,
    /// With what, in nanoseconds.
    pub nanos: u128,
}

/// One element of a pattern, and what stands between it and the element before.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Element {
    /// The condition that its event satisfies (0-based); `None` takes any event.
    pub condition: Option<usize>,
    /// What may lie between the element before and this one; of no meaning on the first.
    pub gap: Gap,
    /// Limits on the time since the element before.
    pub limits: Vec<Limit>,
}

/// A pattern as it was written.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Pattern {
    /// 1 to [`MAX_ELEMENTS`] elements.
    pub elements: Vec<Element>,
}
