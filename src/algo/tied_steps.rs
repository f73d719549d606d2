//! Events at one instant: which consecutive steps of a funnel they can serve together.
//!
//! Tied events are unordered, and a chain uses distinct events, so a group of ties can take a chain from length `i` to
//! length `j` exactly when steps `i+1..=j` can be matched to distinct events of the group (a bipartite matching).
//! Deals with: that matching. Does not deal with: time, windows, or whole chains (`funnel`).
//!
//! Cost: for each step only its first `k` candidates matter (the other `k - 1` steps cannot take more than `k - 1` of
//! them), so a group of any size costs one pass plus O(k^3); there is no exponential case.

/// Candidates of each step within one group of tied events.
pub struct TiedSteps<'a> {
    masks: &'a [u64],
    /// For each step, the first `k` positions whose mask has the step's bit, ascending.
    candidates: Vec<Vec<u32>>,
}

const FREE: u32 = u32::MAX;

/// A partial matching: who holds what.
struct Matching {
    event_of_step: Vec<u32>,
    step_of_event: Vec<u32>,
}

impl<'a> TiedSteps<'a> {
    /// The group's condition masks, one for each event; bit `s` is step `s` (0-based).
    pub fn new(masks: &'a [u64], steps: usize) -> Self {
        let mut candidates = vec![Vec::new(); steps];
        // Steps that have not got enough candidates yet.
        let mut open = if steps == 0 { 0 } else { u64::MAX >> (64 - steps) };
        let mut events = 0;
        for (at, mask) in masks.iter().enumerate() {
            let mut bits = *mask & open;
            if bits != 0 {
                events = at + 1;
            }
            while bits != 0 {
                let step = bits.trailing_zeros() as usize;
                bits &= bits - 1;
                candidates[step].push(at as u32);
                if candidates[step].len() == steps {
                    open &= !(1 << step);
                }
            }
            if open == 0 {
                break;
            }
        }
        Self { masks: &masks[..events], candidates }
    }

    fn unmatched(&self) -> Matching {
        Matching { event_of_step: vec![FREE; self.candidates.len()], step_of_event: vec![FREE; self.masks.len()] }
    }

    /// How many events can serve a step (0-based), as far as it matters: at most `k`.
    pub fn choices(&self, step: usize) -> usize {
        self.candidates[step].len()
    }

    /// For each length `j` in `1..=k`, the smallest `i` such that steps `i+1..=j` (1-based) can be served together;
    /// `j` itself where step `j` has no event. Entry 0 is unused.
    ///
    /// A stretch inside a servable stretch is servable, so `i` never decreases and two pointers suffice.
    pub fn shortest_prefixes(&self) -> Vec<usize> {
        let steps = self.candidates.len();
        let mut matching = self.unmatched();
        let mut low = 0;
        let mut prefixes = vec![0; steps + 1];
        for (j, prefix) in prefixes.iter_mut().enumerate().skip(1) {
            while low < j && !self.augment(j - 1, &mut matching) {
                let held = matching.event_of_step[low];
                if held != FREE {
                    matching.step_of_event[held as usize] = FREE;
                    matching.event_of_step[low] = FREE;
                }
                low += 1;
            }
            *prefix = low;
        }
        prefixes
    }

    /// The largest `j` such that steps `i+1..=j` can be served together (`i` where not even step `i+1` can).
    pub fn reach(&self, i: usize) -> usize {
        let mut matching = self.unmatched();
        (i..self.candidates.len()).take_while(|step| self.augment(*step, &mut matching)).count() + i
    }

    /// Whether these steps (0-based) can be served together.
    pub fn servable(&self, steps: impl IntoIterator<Item = usize>) -> bool {
        let mut matching = self.unmatched();
        steps.into_iter().all(|step| self.augment(step, &mut matching))
    }

    /// Events for these steps (0-based, ascending): the first gets the earliest position it can, then the second, and so on.
    /// The caller must know that they can be served.
    ///
    /// One matching of the steps is kept and changed by one path for each candidate: matching again for each took
    /// 40 ms for 64 events that have a single assignment.
    pub fn choose(&self, steps: &[usize]) -> Vec<u32> {
        let mut matching = self.unmatched();
        for step in steps {
            self.augment(*step, &mut matching);
        }
        let mut chosen = Vec::with_capacity(steps.len());
        for step in steps {
            let mut failed: Vec<u64> = Vec::new();
            for &event in &self.candidates[*step] {
                let mask = self.masks[event as usize];
                // An event that leaves the rest unservable speaks for all events with the same mask.
                if chosen.contains(&event) || failed.contains(&mask) {
                    continue;
                }
                if self.give(*step, event, &mut matching) {
                    chosen.push(event);
                    break;
                }
                failed.push(mask);
            }
        }
        chosen
    }

    /// Gives `event` to `step` in a matching of the stretch, if the steps after it can still be served; the steps before
    /// it keep what they have.
    fn give(&self, step: usize, event: u32, matching: &mut Matching) -> bool {
        let (before, holder) = (matching.event_of_step[step], matching.step_of_event[event as usize]);
        if before == event {
            return true;
        }
        matching.step_of_event[before as usize] = FREE;
        matching.take(step, event);
        if holder == FREE {
            return true;
        }
        let mut visited = u64::MAX >> (63 - step);
        if self.try_step(holder as usize, matching, &mut visited) {
            return true;
        }
        matching.take(holder as usize, event);
        matching.take(step, before);
        false
    }

    /// Kuhn's augmenting path: gives `step` an event, moving other steps where needed.
    fn augment(&self, step: usize, matching: &mut Matching) -> bool {
        let mut visited = 0u64;
        self.try_step(step, matching, &mut visited)
    }

    /// `visited` holds the steps already on the path: each is tried once, so depth and work are bounded by `k`.
    fn try_step(&self, step: usize, matching: &mut Matching, visited: &mut u64) -> bool {
        *visited |= 1 << step;
        for &event in &self.candidates[step] {
            if matching.step_of_event[event as usize] == FREE {
                matching.take(step, event);
                return true;
            }
        }
        for &event in &self.candidates[step] {
            let holder = matching.step_of_event[event as usize] as usize;
            if *visited & (1 << holder) == 0 && self.try_step(holder, matching, visited) {
                matching.take(step, event);
                return true;
            }
        }
        false
    }
}

impl Matching {
    fn take(&mut self, step: usize, event: u32) {
        self.event_of_step[step] = event;
        self.step_of_event[event as usize] = step as u32;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All assignments by hand: can steps `i..j` get distinct events?
    fn brute(masks: &[u64], i: usize, j: usize, used: &mut Vec<bool>) -> bool {
        i == j
            || (0..masks.len()).any(|e| {
                if used[e] || masks[e] & (1 << i) == 0 {
                    return false;
                }
                used[e] = true;
                let found = brute(masks, i + 1, j, used);
                used[e] = false;
                found
            })
    }

    #[test]
    fn agrees_with_trying_every_assignment() {
        let mut seed = 7u64;
        for _ in 0..20_000 {
            let mut next = || {
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                seed >> 33
            };
            let steps = (next() % 5 + 1) as usize;
            let masks: Vec<u64> = (0..next() % 6).map(|_| next() % (1 << steps)).collect();
            let tied = TiedSteps::new(&masks, steps);
            let servable = |i, j| brute(&masks, i, j, &mut vec![false; masks.len()]);
            let prefixes = tied.shortest_prefixes();
            for (j, prefix) in prefixes.iter().enumerate().skip(1) {
                let want = (0..j).find(|i| servable(*i, j)).unwrap_or(j);
                assert_eq!(*prefix, want, "{masks:?} j={j}");
            }
            for i in 0..steps {
                let want = (i..=steps).rev().find(|j| servable(i, *j)).unwrap();
                assert_eq!(tied.reach(i), want, "{masks:?} i={i}");
                let steps: Vec<usize> = (i..want).collect();
                assert!(tied.servable(steps.iter().copied()));
                let chosen = tied.choose(&steps);
                let mut used = vec![false; masks.len()];
                for (step, event) in (i..want).zip(&chosen) {
                    let earliest = (0..masks.len()).find(|e| {
                        let fits = !used[*e] && masks[*e] & (1 << step) != 0;
                        used[*e] |= fits;
                        let found = fits && brute(&masks, step + 1, want, &mut used);
                        used[*e] &= found || !fits;
                        found
                    });
                    assert_eq!(earliest, Some(*event as usize), "{masks:?} i={i} step={step}");
                }
                assert_eq!(chosen.len(), want - i);
                let mut distinct = chosen.clone();
                distinct.sort_unstable();
                distinct.dedup();
                assert_eq!(distinct.len(), chosen.len(), "{masks:?}");
                assert!(chosen.iter().enumerate().all(|(s, e)| masks[*e as usize] & (1 << (i + s)) != 0));
            }
        }
    }

    #[test]
    fn a_hundred_thousand_ties_are_no_trouble() {
        let masks: Vec<u64> = (0..100_000u64).map(|i| u64::MAX ^ (1 << (i % 64))).collect();
        let tied = TiedSteps::new(&masks, 64);
        assert_eq!(tied.shortest_prefixes()[64], 0);
        assert_eq!(tied.choose(&(0..64).collect::<Vec<_>>()).len(), 64);
    }
}
