//! `windowFunnel` as ClickHouse answers it, in all its modes.
//!
//! The function reads a row that satisfies several conditions as several entries, and goes through the entries by time,
//! then by condition (rows without any come first, where the mode looks at them). It keeps for each step the start of the
//! latest chain that reached it. Deals with: those rules, one user at a time. Does not deal with: rows in which a
//! condition is NULL, which the caller drops, and the funnel of tenure's own meaning ([`super::funnel`]).
//!
//! Two things differ on purpose. In `increase` ClickHouse lets a later chain overwrite the one that an event of the same
//! instant needs, and so loses steps; here chains that ended before the instant are kept until it is over. In `once` with
//! `dedup` its answer depends on the order in which tied rows arrive; here a tied row repeats a step only if it could have
//! served that step itself.
//!
//! Cost: O(n k) and O(k) memory. `once` follows chains of different rows: ClickHouse lists every one of them, but rows of
//! different instants never compete, so the latest start and a matching within the instant tell the same
//! ([`super::tied_steps`]): O(k^3) for an instant with several rows, O(k^5) with `dedup`.

use super::event::{Event, MAX_CONDITIONS, tie_end};
use super::tied_steps::TiedSteps;

/// ClickHouse's mode words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Modes {
    /// `strict_order`: an event out of turn, or one that satisfies nothing, ends the search.
    pub order: bool,
    /// `allow_reentry`: with `order`, events of steps that are not due yet are passed over.
    pub reentry: bool,
    /// `strict_deduplication`: a step that repeats ends the search.
    pub dedup: bool,
    /// `strict_increase`: times of a chain increase.
    pub increase: bool,
    /// `strict_once`: a row serves one step of a chain.
    pub once: bool,
}

/// The level of one user. `events` are sorted by time, ties in any order; with `order` those that satisfy nothing are
/// among them. `window` is inclusive.
pub fn level(events: &[Event], steps: usize, window: i64, modes: Modes) -> usize {
    debug_assert!(events.is_sorted_by_key(|e| e.time));
    let mut funnel = Funnel { steps, window: window.max(0) as u64, modes, starts: [None; MAX_CONDITIONS] };
    let mut from = 0;
    while from < events.len() {
        let to = tie_end(events, from);
        match funnel.advance(&events[from..to]) {
            Some(level) => return level,
            None => from = to,
        }
    }
    funnel.reached()
}

struct Funnel {
    steps: usize,
    window: u64,
    modes: Modes,
    /// For each step, the latest start of a chain that reached it.
    starts: [Option<i64>; MAX_CONDITIONS],
}

impl Funnel {
    /// The last step that was ever reached.
    fn reached(&self) -> usize {
        (0..self.steps).rev().find(|step| self.starts[*step].is_some()).map_or(0, |step| step + 1)
    }

    fn is_alive(&self, start: i64, time: i64) -> bool {
        time.wrapping_sub(start) as u64 <= self.window
    }

    /// Takes the rows of one instant; the final level where they end the search.
    fn advance(&mut self, rows: &[Event]) -> Option<usize> {
        let time = rows[0].time;
        if self.modes.order && self.starts[0].is_some() && rows.iter().any(|row| row.mask == 0) {
            return Some(self.reached());
        }
        let mut masks = few_of_each_step(rows, self.steps);
        let mut bits = rows.iter().fold(0, |bits, row| bits | row.mask);
        let before = self.starts;
        let tied = (self.modes.once && rows.len() > 1).then(|| TiedSteps::new(&masks, self.steps).shortest_prefixes());
        while bits != 0 {
            let step = bits.trailing_zeros() as usize;
            bits &= bits - 1;
            if step == 0 {
                self.starts[0] = Some(time);
                if self.steps == 1 {
                    return Some(1);
                }
                continue;
            }
            if self.modes.dedup && self.starts[step].is_some() {
                return Some(self.reached());
            }
            if self.modes.order && self.starts[0].is_some() && self.starts[step - 1].is_none() {
                if self.modes.reentry { continue } else { return self.starts.iter().position(Option::is_none) }
            }
            let served = match (self.modes.increase, self.modes.once, &tied) {
                (true, ..) => self.serve_alone(step, before[step - 1], time),
                (false, false, _) => self.serve_alone(step, self.starts[step - 1], time),
                // One row, which cannot have served the step before as well.
                (false, true, None) => self.serve_alone(step, before[step - 1], time),
                (false, true, Some(prefixes)) => self.serve_together(step, &before, prefixes[step + 1], time),
            };
            let Some((start, first_tied)) = served else { continue };
            self.starts[step] = Some(start);
            if step + 1 == self.steps {
                return Some(self.steps);
            }
            if self.modes.dedup && self.repeats(step, first_tied, &mut masks) {
                return Some(self.reached());
            }
        }
        None
    }

    /// A step served after a chain that starts at `start`: the new chain's start, and the first step served at this instant.
    fn serve_alone(&self, step: usize, start: Option<i64>, time: i64) -> Option<(i64, usize)> {
        start.filter(|start| self.is_alive(*start, time)).map(|start| (start, step))
    }

    /// Steps `prefix..=step` can be served by different rows of this instant: the latest start of a chain that does so, and
    /// the first step that must be served at this instant.
    fn serve_together(
        &self,
        step: usize,
        before: &[Option<i64>; MAX_CONDITIONS],
        prefix: usize,
        time: i64,
    ) -> Option<(i64, usize)> {
        let start = |length: usize| if length == 0 { Some(time) } else { before[length - 1] };
        // Longer chains start earlier, so the ones that are still inside the window are the shorter ones.
        let alive = |length: &usize| start(*length).is_some_and(|start| self.is_alive(start, time));
        let longest = (0..=step).rev().find(alive)?;
        if prefix > longest {
            return None;
        }
        start(prefix).map(|start| (start, longest))
    }

    /// Whether a second row of this instant could have served the step too, after `first..step` by others.
    fn repeats(&self, step: usize, first: usize, masks: &mut [u64]) -> bool {
        let holds = |mask: u64| mask >> step & 1 == 1;
        if first == step || !self.modes.once {
            return masks.iter().filter(|mask| holds(**mask)).count() > 1;
        }
        let mut able = 0;
        for at in 0..masks.len() {
            if holds(masks[at]) {
                let mask = std::mem::take(&mut masks[at]);
                able += usize::from(TiedSteps::new(masks, self.steps).reach(first) >= step);
                masks[at] = mask;
            }
            if able > 1 {
                return true;
            }
        }
        false
    }
}

/// Conditions of the rows of an instant: of each step enough rows that no more could change an answer.
fn few_of_each_step(rows: &[Event], steps: usize) -> Vec<u64> {
    let mut counts = [0usize; MAX_CONDITIONS];
    let mut few = Vec::new();
    for row in rows {
        let mut bits = row.mask;
        let mut wanted = false;
        while bits != 0 {
            let step = bits.trailing_zeros() as usize;
            bits &= bits - 1;
            counts[step] += 1;
            wanted |= counts[step] <= steps + 2;
        }
        if wanted {
            few.push(row.mask);
        }
    }
    few
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: u64 = 1;
    const B: u64 = 2;
    const C: u64 = 4;

    fn run(user: &[(i64, u64)], modes: Modes) -> usize {
        let events: Vec<Event> = user.iter().map(|(time, mask)| Event { time: *time, mask: *mask, tag: 0 }).collect();
        level(&events, 3, 100, modes)
    }

    const PLAIN: Modes = Modes { order: false, reentry: false, dedup: false, increase: false, once: false };
    const ORDER: Modes = Modes { order: true, ..PLAIN };
    const DEDUP: Modes = Modes { dedup: true, ..PLAIN };
    const INCREASE: Modes = Modes { increase: true, ..PLAIN };
    const ONCE: Modes = Modes { once: true, ..PLAIN };

    #[test]
    fn one_row_serves_all_its_steps_unless_once() {
        assert_eq!(run(&[(0, A | B | C)], PLAIN), 3);
        assert_eq!(run(&[(0, A | B | C)], ONCE), 1);
        assert_eq!(run(&[(0, A | B), (0, B | C), (0, A)], ONCE), 3);
        assert_eq!(run(&[(0, A | B), (1, B | C)], ONCE), 2);
        assert_eq!(run(&[(0, A), (101, B)], PLAIN), 1);
    }

    #[test]
    fn order_ends_at_anything_out_of_turn() {
        assert_eq!(run(&[(0, A), (1, 0), (2, B)], ORDER), 1);
        assert_eq!(run(&[(0, 0), (1, A), (2, B), (3, C)], ORDER), 3);
        assert_eq!(run(&[(0, A), (1, C), (2, B), (3, C)], ORDER), 1);
        assert_eq!(run(&[(0, A), (1, C), (2, B), (3, C)], Modes { reentry: true, ..ORDER }), 3);
        // Of tied rows the one that satisfies nothing comes first.
        assert_eq!(run(&[(0, A), (1, B), (1, 0)], ORDER), 1);
    }

    #[test]
    fn dedup_ends_at_a_repetition() {
        assert_eq!(run(&[(0, A), (1, B), (2, B), (3, C)], DEDUP), 2);
        assert_eq!(run(&[(0, A), (1, A), (2, B), (3, C)], DEDUP), 3);
        // A tied row that could not have served the step does not repeat it.
        let once = Modes { once: true, ..DEDUP };
        assert_eq!(run(&[(0, A | B), (0, B | C), (0, C)], once), 3);
        assert_eq!(run(&[(0, A), (0, B), (0, B), (0, C)], once), 2);
    }

    #[test]
    fn increase_keeps_the_chains_from_before_the_instant() {
        assert_eq!(run(&[(0, A), (5, A), (5, B)], INCREASE), 2);
        assert_eq!(run(&[(0, A), (5, A | B), (6, C)], INCREASE), 3);
        assert_eq!(run(&[(0, A | B | C)], INCREASE), 1);
    }

    #[test]
    fn many_ties_and_extreme_times_are_no_trouble() {
        let tied: Vec<Event> =
            (0..2_000).map(|at| Event { time: 0, mask: 1 << (at % 11) | 2 << (at % 11), tag: 0 }).collect();
        for once in [false, true] {
            for dedup in [false, true] {
                let want = if dedup { 2 } else { 12 };
                assert_eq!(level(&tied, 12, 0, Modes { once, dedup, ..PLAIN }), want, "{once} {dedup}");
            }
        }
        assert_eq!(run(&[(i64::MIN, A), (i64::MAX, B)], PLAIN), 1);
        assert_eq!(level(&[Event { time: 0, mask: 1, tag: 0 }], 1, 0, PLAIN), 1);
        assert_eq!(level(&[], 3, 0, ORDER), 0);
    }
}
