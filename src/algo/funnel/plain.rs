//! Funnels without rules on what lies between steps: modes `ordered`, `increase` and `reuse`.
//!
//! **Method.** Keep, for each length `i`, the latest start of any chain of that length. A chain of length `i + 1` is also
//! one of length `i` with the same start, so these starts never increase with `i`, and the latest start is always the
//! best to extend. Events at one instant are one group, committed together: this is what makes `increase` exact (a tied
//! event cannot follow its twin) and lets tied events serve steps in any order. O(n k) bit operations, O(k) memory.
//!
//! **Chain.** The first pass finds level, completion and start; a second, greedy pass from that start finds the events:
//! reaching more steps earlier can never hurt.

use super::Found;
use super::Place;
use super::spec::{MAX_STEPS, Order, Spec};
use super::window::{Deadline, Starts};
use crate::algo::event::{Event, tie_end};
use crate::algo::tied_steps::TiedSteps;

/// The state of the first pass.
struct Pass<'a, D> {
    spec: &'a Spec,
    allowed: Starts,
    deadline: &'a mut D,
    /// `starts[m]`: latest start of a chain of length `m`; meaningful for `1..=level`.
    starts: [i64; MAX_STEPS + 1],
    level: usize,
    /// Start and completion of the canonical chain of length `level`.
    start: i64,
    completed: i64,
}

/// The best chain that starts at one of `starts`, of at most `cap` steps. `events` are sorted by time.
pub fn best<D: Deadline>(events: &[Event], spec: &Spec, deadline: &mut D, starts: Starts, cap: usize) -> Found {
    debug_assert!(events.is_sorted_by_key(|e| e.time));
    let horizon = if starts.last == i64::MAX { i64::MAX } else { deadline.of(starts.last) };
    let mut from = if starts.from == i64::MIN { 0 } else { events.partition_point(|e| e.time < starts.from) };
    let (level, start, completed) = (0, 0, 0);
    let mut pass = Pass { spec, allowed: starts, deadline, starts: [0; MAX_STEPS + 1], level, start, completed };
    // Once the most steps are reached nothing can improve: the completion is the earliest already.
    while from < events.len() && pass.level < cap && events[from].time <= horizon {
        let to = tie_end(events, from);
        pass.advance(&events[from..to]);
        from = to;
    }
    Found { level: pass.level, start: pass.start, completed: Some(pass.completed), met: 0 }
}

impl<D: Deadline> Pass<'_, D> {
    /// Commits one group of tied events.
    #[inline]
    fn advance(&mut self, group: &[Event]) {
        let time = group[0].time;
        match serve(group, self.spec) {
            Serve::EachOnce(mask) => {
                let mut bits = mask;
                while bits != 0 {
                    let step = 63 - bits.leading_zeros() as usize;
                    bits &= !(1 << step);
                    self.extend(step, step + 1, time);
                }
            }
            Serve::InTurn(mask) => {
                let mut bits = mask;
                while bits != 0 {
                    let step = bits.trailing_zeros() as usize;
                    bits &= bits - 1;
                    self.extend(step, step + 1, time);
                }
            }
            Serve::Matched(masks) => {
                let before = (self.starts, self.level);
                let prefixes = TiedSteps::new(&masks, self.spec.steps).shortest_prefixes();
                // Where no chain may start here, the next shortest prefix is that of one step.
                let shortest = usize::from(!self.allowed.contain(time));
                for (length, prefix) in prefixes.into_iter().enumerate() {
                    let prefix = prefix.max(shortest);
                    // Only chains from before the group may be extended: the stretch is the whole use of this group.
                    if prefix < length && prefix <= before.1 {
                        self.extend_from(before.0[prefix], prefix, length, time);
                    }
                }
            }
        }
    }

    #[inline]
    fn extend(&mut self, from: usize, to: usize, time: i64) {
        if from <= self.level {
            self.extend_from(self.starts[from], from, to, time);
        }
    }

    #[inline]
    fn extend_from(&mut self, start: i64, from: usize, to: usize, time: i64) {
        let start = if from == 0 { time } else { start };
        if self.deadline.of(start) < time || (from == 0 && !self.allowed.contain(time)) {
            return;
        }
        if to > self.level {
            (self.level, self.start, self.completed) = (to, start, time);
            self.starts[to] = start;
        } else {
            self.starts[to] = self.starts[to].max(start);
        }
    }
}

/// How a group of tied events can serve steps.
enum Serve {
    /// At most one step of a chain: steps are extended from the last to the first.
    EachOnce(u64),
    /// As many consecutive steps as there are bits: steps are extended from the first to the last.
    InTurn(u64),
    /// Some events satisfy several steps and each serves one: a matching decides.
    Matched(Vec<u64>),
}

#[inline]
fn serve(group: &[Event], spec: &Spec) -> Serve {
    if let [only] = group {
        return if spec.reuse { Serve::InTurn(only.mask) } else { Serve::EachOnce(only.mask) };
    }
    let all = group.iter().fold(0, |mask, e| mask | e.mask);
    if spec.order == Order::Increase {
        return Serve::EachOnce(all);
    }
    // Events that satisfy one step each never compete for a step's place in the chain.
    if spec.reuse || group.iter().all(|e| e.mask & e.mask.wrapping_sub(1) == 0) {
        return Serve::InTurn(all);
    }
    Serve::Matched(group.iter().map(|e| e.mask).collect())
}

/// The events of the chain that was found, appended to `places`.
///
/// Among tied events that could serve a step, the one that stands first in `events` is taken, so a caller that wants an
/// answer independent of arrival sorts ties by something of its own.
pub fn chain(events: &[Event], spec: &Spec, found: &Found, places: &mut Vec<Place>) {
    let mut reached = 0;
    let mut from = events.partition_point(|e| e.time < found.start);
    let mut place = |step: usize, at: usize| places.push(Place { step: step as u32, at: at as u32 });
    while reached < found.level && from < events.len() {
        let to = tie_end(events, from);
        let group = &events[from..to];
        let first_with = |step: usize| group.iter().position(|e| e.mask & (1 << step) != 0);
        match serve(group, spec) {
            Serve::EachOnce(_) => {
                if let Some(at) = first_with(reached) {
                    place(reached, from + at);
                    reached += 1;
                }
            }
            Serve::InTurn(_) => {
                while reached < found.level
                    && let Some(at) = first_with(reached)
                {
                    place(reached, from + at);
                    reached += 1;
                }
            }
            Serve::Matched(masks) => {
                let tied = TiedSteps::new(&masks, found.level);
                let steps: Vec<usize> = (reached..tied.reach(reached)).collect();
                for (step, at) in steps.iter().zip(tied.choose(&steps)) {
                    place(*step, from + at as usize);
                }
                reached += steps.len();
            }
        }
        from = to;
    }
    debug_assert_eq!(reached, found.level);
}
