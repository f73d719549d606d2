//! What counts as a chain, and which of a user's chains are asked for.
//!
//! Deals with: the options of a funnel as plain data. Does not deal with: their names in SQL, whether they go together, or
//! how chains are found.

use crate::algo::calendar::Calendar;
use crate::algo::event::MAX_CONDITIONS;

/// The most conditions a funnel may have, steps and exclusions together.
pub const MAX_STEPS: usize = MAX_CONDITIONS;

/// How the events of a chain follow each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Order {
    /// In the order of the steps, `t(ei) <= t(ei+1)`.
    #[default]
    Ordered,
    /// In the order of the steps, `t(ei) < t(ei+1)`.
    Increase,
    /// In any order, apart from the anchored steps.
    AnyOrder,
}

/// Which events may not lie between two successive events of a chain, that is strictly between their times.
///
/// Each variant after the first forbids a part of what the one before it forbids.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Between {
    /// Anything may.
    #[default]
    Anything,
    /// No event at all.
    Strict,
    /// No event that satisfies a step.
    StrictSteps,
    /// No event that satisfies a step already reached.
    DedupFirst,
    /// No event that satisfies a step already reached, step 1 apart.
    Dedup,
}

/// How long after its first event a chain may go on.
#[derive(Debug, Clone)]
pub enum Window {
    /// This many ticks, inclusive.
    Ticks(i64),
    /// To the end of the calendar period (the first is that of the first event) with this number.
    Calendar(Calendar, i64),
}

/// Events that end a chain: those that satisfy the exclusion's condition, strictly between the times of two steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Exclusion {
    /// The step (from 1) after which they are forbidden.
    pub after: usize,
    /// The step before which they are forbidden; while it is not reached, up to the chain's last event.
    pub before: usize,
}

/// Which chains of a user are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Entry {
    /// The best one.
    #[default]
    Best,
    /// The best one that starts at the first event that can start a chain.
    First,
    /// One after the other, in order of time: of the chains that start in the window of the next event left that can start
    /// one, the best; what comes next starts later than its last event if it is complete, else later than that window.
    All,
}

/// Whether chains are told apart by a value that events carry, and by which event's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum By {
    /// They are not.
    #[default]
    Nothing,
    /// Each value of the events that can start a chain on its own: as if only events with this value could.
    Entry,
    /// Each value of the events of this step (from 0) on its own: as if only events with this value satisfied it. What does
    /// not come that far, whatever the value, is a chain without a value.
    Step(usize),
    /// One value a user: that of the first event that can start a chain.
    FirstEntry,
}

/// Which of the longest chains is the canonical one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Pick {
    /// The one that completes earliest (with its last step that is not optional); of those one that meets optional steps
    /// before that, lower ones first; then the one that starts latest; then earliest steps.
    #[default]
    EarliestCompletion,
    /// The one that starts earliest; then earliest steps.
    EarliestStart,
}

/// A funnel. Conditions of events are bits of their masks: first the steps, then the exclusions, then `mature`'s.
#[derive(Debug, Clone)]
pub struct Spec {
    /// Number of steps, at least 1; with the exclusions at most [`MAX_STEPS`].
    pub steps: usize,
    /// How long a chain may last.
    pub window: Window,
    /// Order of times.
    pub order: Order,
    /// One event may serve several steps. Events at one instant may take turns: only times are compared.
    pub reuse: bool,
    /// What may not lie between events of a chain.
    pub between: Between,
    /// `step_within[i]`: the largest `t(e(i+2)) - t(e(i+1))`, in ticks; none where it is `i64::MAX` or missing.
    pub step_within: Vec<i64>,
    /// `step_after[i]`: the smallest such difference; none where it is 0 or missing.
    pub step_after: Vec<i64>,
    /// Exclusions, in the order of their conditions.
    pub exclusions: Vec<Exclusion>,
    /// A user whose level the exclusions lower leaves the funnel.
    pub drop_excluded: bool,
    /// Steps that may be skipped: bit `s` is step `s + 1`.
    pub optional: u64,
    /// Steps of [`Order::AnyOrder`] that keep their place; the same bits.
    pub anchors: u64,
    /// Which chains are asked for.
    pub entry: Entry,
    /// Which chain is canonical.
    pub pick: Pick,
    /// Chains are asked for each period of this calendar in which one can start, each period on its own.
    pub period: Option<Calendar>,
    /// By which values they are told apart.
    pub by: By,
    /// Only events that satisfy one condition more, the last of all, can start a chain: it tells that their window has ended,
    /// so that no event after one that does not satisfy it does.
    pub mature: bool,
}

impl Spec {
    /// A funnel without options.
    pub fn plain(steps: usize, window: i64) -> Self {
        Self {
            steps,
            window: Window::Ticks(window),
            order: Order::default(),
            reuse: false,
            between: Between::default(),
            step_within: Vec::new(),
            step_after: Vec::new(),
            exclusions: Vec::new(),
            drop_excluded: false,
            optional: 0,
            anchors: 0,
            entry: Entry::default(),
            pick: Pick::default(),
            period: None,
            by: By::default(),
            mature: false,
        }
    }

    /// Bits of all steps.
    pub fn step_bits(&self) -> u64 {
        u64::MAX >> (64 - self.steps)
    }

    /// Bits of the steps that a complete chain must have.
    pub fn required(&self) -> u64 {
        self.step_bits() & !self.optional
    }

    /// The bit of the condition that tells whose window has ended; 0 where none does.
    pub fn mature_bit(&self) -> u64 {
        if self.mature { 1 << (self.steps + self.exclusions.len()) } else { 0 }
    }

    /// Whether events that satisfy no condition take part.
    pub fn every_event(&self) -> bool {
        self.between == Between::Strict
    }
}
