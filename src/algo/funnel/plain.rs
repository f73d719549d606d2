//! The funnel kernel: how far one user came, and by which events.
//!
//! A *chain of length m* is a sequence of distinct events `e1..em` where `ei` satisfies condition `i`, times do not
//! decrease, and `t(em) - t(e1)` is within the window. The *level* is the length of the longest chain.
//! Deals with: one user's events, sorted by time. Does not deal with: grouping, Arrow, the report over users.
//!
//! **Method.** Keep, for each length `i`, the latest start of any chain of that length. A chain of length `i + 1` is also
//! one of length `i` with the same start, so these starts never increase with `i`, and the latest start is always the
//! best to extend. Events at one instant are one group, committed together: this is what makes `increase` exact (a tied
//! event cannot follow its twin) and lets tied events serve steps in any order. O(n k) bit operations, O(k) memory.
//!
//! **Canonical chain** (for times and breakdowns): longest, then earliest completion, then latest start, then earliest
//! middle events. The first pass finds level, completion and start; a second, greedy pass from that start finds the
//! middle: reaching more steps earlier can never hurt.

use super::spec::{MAX_STEPS, Order, Spec, Window};
use crate::algo::event::{Event, tie_end};
use crate::algo::tied_steps::TiedSteps;

/// The state of the first pass.
struct Pass {
    /// `starts[m]`: latest start of a chain of length `m`; meaningful for `1..=level`.
    starts: [i64; MAX_STEPS + 1],
    level: usize,
    /// Start and completion of the canonical chain of length `level`.
    start: i64,
    completed: i64,
}

impl Pass {
    fn over(events: &[Event], spec: &Spec) -> Self {
        debug_assert!(events.is_sorted_by_key(|e| e.time));
        let mut pass = Self { starts: [0; MAX_STEPS + 1], level: 0, start: 0, completed: 0 };
        let mut from = 0;
        // Once every step is reached nothing can improve: the completion is the earliest already.
        while from < events.len() && pass.level < spec.steps {
            let to = tie_end(events, from);
            pass.advance(&events[from..to], spec);
            from = to;
        }
        pass
    }

    /// Commits one group of tied events.
    #[inline]
    fn advance(&mut self, group: &[Event], spec: &Spec) {
        let time = group[0].time;
        match serve(group, spec) {
            Serve::EachOnce(mask) => {
                let mut bits = mask;
                while bits != 0 {
                    let step = 63 - bits.leading_zeros() as usize;
                    bits &= !(1 << step);
                    self.extend(step, step + 1, time, spec);
                }
            }
            Serve::InTurn(mask) => {
                let mut bits = mask;
                while bits != 0 {
                    let step = bits.trailing_zeros() as usize;
                    bits &= bits - 1;
                    self.extend(step, step + 1, time, spec);
                }
            }
            Serve::Matched(masks) => {
                let before = (self.starts, self.level);
                for (length, prefix) in TiedSteps::new(&masks, spec.steps).shortest_prefixes().into_iter().enumerate() {
                    // Only chains from before the group may be extended: the stretch is the whole use of this group.
                    if prefix < length && prefix <= before.1 {
                        self.extend_from(before.0[prefix], prefix, length, time, spec);
                    }
                }
            }
        }
    }

    #[inline]
    fn extend(&mut self, from: usize, to: usize, time: i64, spec: &Spec) {
        if from <= self.level {
            self.extend_from(self.starts[from], from, to, time, spec);
        }
    }

    #[inline]
    fn extend_from(&mut self, start: i64, from: usize, to: usize, time: i64, spec: &Spec) {
        let start = if from == 0 { time } else { start };
        let Window::Ticks(window) = spec.window else { return };
        if time.saturating_sub(start) > window {
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
    if spec.reuse || group.iter().all(|e| e.mask.is_power_of_two()) {
        return Serve::InTurn(all);
    }
    Serve::Matched(group.iter().map(|e| e.mask).collect())
}

/// Length of the longest chain; 0 if no event satisfies step 1.
///
/// `events` are sorted by time; ties may come in any order.
pub fn level(events: &[Event], spec: &Spec) -> usize {
    Pass::over(events, spec).level
}

/// Level, and the positions in `events` of the canonical chain's events, appended to `chain`.
///
/// Among tied events that could serve a step, the one that stands first in `events` is taken, so a caller that wants an
/// answer independent of arrival sorts ties by something of its own.
pub fn chain(events: &[Event], spec: &Spec, chain: &mut Vec<u32>) -> usize {
    let pass = Pass::over(events, spec);
    let mut reached = 0;
    let mut from = events.partition_point(|e| e.time < pass.start);
    while reached < pass.level && from < events.len() {
        let to = tie_end(events, from);
        let group = &events[from..to];
        let first_with = |step: usize| group.iter().position(|e| e.mask & (1 << step) != 0);
        match serve(group, spec) {
            Serve::EachOnce(_) => {
                if let Some(at) = first_with(reached) {
                    chain.push((from + at) as u32);
                    reached += 1;
                }
            }
            Serve::InTurn(_) => {
                while reached < pass.level
                    && let Some(at) = first_with(reached)
                {
                    chain.push((from + at) as u32);
                    reached += 1;
                }
            }
            Serve::Matched(masks) => {
                let tied = TiedSteps::new(&masks, pass.level);
                let reach = tied.reach(reached);
                let mut chosen = Vec::new();
                tied.choose(reached, reach, &mut chosen);
                chain.extend(chosen.into_iter().map(|at| from as u32 + at));
                reached = reach;
            }
        }
        from = to;
    }
    debug_assert!(pass.level == 0 || events[*chain.last().unwrap_or(&0) as usize].time == pass.completed);
    pass.level
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: u64 = 1;
    const B: u64 = 2;
    const C: u64 = 4;

    fn run(events: &[(i64, u64)], spec: Spec) -> (usize, Vec<i64>) {
        let events: Vec<Event> = events.iter().map(|(time, mask)| Event { time: *time, mask: *mask, tag: 0 }).collect();
        let mut positions = Vec::new();
        let level = chain(&events, &spec, &mut positions);
        assert_eq!(level, super::level(&events, &spec));
        (level, positions.iter().map(|p| events[*p as usize].time).collect())
    }

    fn ordered(steps: usize, window: i64) -> Spec {
        Spec::plain(steps, window)
    }

    #[test]
    fn one_row_serves_one_step_unless_reused() {
        assert_eq!(run(&[(0, A | B)], ordered(2, 10)).0, 1);
        assert_eq!(run(&[(0, A | B)], Spec { reuse: true, ..ordered(2, 10) }).0, 2);
    }

    #[test]
    fn the_window_is_inclusive() {
        assert_eq!(run(&[(0, A), (10, B)], ordered(2, 10)).0, 2);
        assert_eq!(run(&[(0, A), (10, B)], ordered(2, 9)).0, 1);
    }

    #[test]
    fn a_later_start_may_be_needed() {
        // 13:00 A, 13:30 A, 13:45 B, 14:15 C within one hour.
        let (level, times) = run(&[(0, A), (30, A), (45, B), (75, C)], ordered(3, 60));
        assert_eq!((level, times), (3, vec![30, 45, 75]));
    }

    #[test]
    fn increase_keeps_the_earlier_start_when_the_later_one_is_tied() {
        // The case that a single "last start" loses: A@0 A@5 B@5.
        let increase = Spec { order: Order::Increase, ..ordered(2, 100) };
        assert_eq!(run(&[(0, A), (5, A), (5, B)], increase), (2, vec![0, 5]));
        assert_eq!(run(&[(5, A), (5, B)], increase).0, 1);
        assert_eq!(run(&[(5, B), (5, A)], ordered(2, 100)).0, 2);
    }

    #[test]
    fn tied_rows_with_several_conditions_are_matched() {
        // Two rows that both satisfy A, B and C serve only two steps; with a third that satisfies B all three.
        assert_eq!(run(&[(0, A | B | C), (0, A | B | C)], ordered(3, 10)).0, 2);
        assert_eq!(run(&[(0, A | B | C), (0, A | B | C), (0, B)], ordered(3, 10)).0, 3);
        assert_eq!(run(&[(0, A), (1, B | C), (1, B)], ordered(3, 10)), (3, vec![0, 1, 1]));
    }

    #[test]
    fn the_canonical_chain_completes_early_and_starts_late() {
        let (level, times) = run(&[(0, A), (1, A), (2, B), (3, B), (4, C), (5, A), (6, B), (7, C)], ordered(3, 100));
        assert_eq!((level, times), (3, vec![1, 2, 4]));
    }

    #[test]
    fn extreme_times_do_not_overflow() {
        assert_eq!(run(&[(i64::MIN, A), (i64::MAX, B)], ordered(2, 1_000)).0, 1);
        assert_eq!(run(&[(i64::MIN, A), (i64::MIN, B)], ordered(2, 0)).0, 2);
    }

    #[test]
    fn sixty_four_steps() {
        let events: Vec<(i64, u64)> = (0..64).map(|s| (s, 1u64 << s)).collect();
        assert_eq!(run(&events, ordered(64, 63)).0, 64);
        assert_eq!(run(&events, ordered(64, 62)).0, 63);
    }
}
