//! Which event of a chain in any order serves which step.
//!
//! Deals with: changing a matching step by step towards the one that is wanted. Does not deal with: which events are taken
//! (`any_order`). Each change is a few alternating paths over at most 64 steps and events.

use super::ties::bits;

/// A matching in which each event has a step, and each step of the blocks before the last has an event.
#[derive(Clone, Copy)]
pub struct Exchange {
    /// Steps that each event could serve, and the one that it does.
    pub serves: [u64; 64],
    pub step_of: [usize; 64],
    /// Steps that have an event.
    pub matched: u64,
    /// The steps that may do without an event.
    pub may_drop: u64,
    /// Steps that keep their events.
    pub fixed: u64,
}

impl Exchange {
    /// Gives an event to a step, if what is not fixed can be matched still; else changes nothing.
    pub fn give(&mut self, step: usize, event: usize) -> bool {
        let holder = self.step_of[event];
        if holder == step {
            return true;
        }
        let before = *self;
        let had = (self.matched >> step & 1 == 1).then(|| self.event_of(step));
        self.step_of[event] = step;
        self.matched = (self.matched | 1 << step) & !(1 << holder);
        self.fixed |= 1 << step;
        // What `step` had needs another step, and `holder` another event unless it may do without.
        let settled = had.is_none_or(|had| self.place(had, &mut 0))
            && ((self.matched | self.may_drop) >> holder & 1 == 1 || self.replace(holder, &mut 0));
        if !settled {
            *self = before;
        }
        self.fixed = before.fixed;
        settled
    }

    fn event_of(&self, step: usize) -> usize {
        (0..64).find(|at| self.step_of[*at] == step && self.serves[*at] != 0).unwrap_or(0)
    }

    /// Finds a step for an event by a path that ends with a step that has none.
    fn place(&mut self, event: usize, visited: &mut u64) -> bool {
        let open = self.serves[event] & !self.fixed & !*visited;
        if let Some(step) = bits(open & !self.matched).next() {
            self.step_of[event] = step;
            self.matched |= 1 << step;
            return true;
        }
        for step in bits(open) {
            if *visited >> step & 1 == 0 {
                *visited |= 1 << step;
                let moved = self.event_of(step);
                if self.place(moved, visited) {
                    self.step_of[event] = step;
                    return true;
                }
            }
        }
        false
    }

    /// Finds an event for a step by a path that ends with a step that may do without.
    fn replace(&mut self, step: usize, visited: &mut u64) -> bool {
        *visited |= 1 << step;
        for event in 0..64 {
            let holder = self.step_of[event];
            if self.serves[event] >> step & 1 == 0 || (*visited | self.fixed) >> holder & 1 == 1 {
                continue;
            }
            if self.may_drop >> holder & 1 == 1 {
                self.matched &= !(1 << holder);
            } else if !self.replace(holder, visited) {
                continue;
            }
            self.step_of[event] = step;
            self.matched |= 1 << step;
            return true;
        }
        false
    }
}
