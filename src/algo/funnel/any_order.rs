//! Funnels whose steps come in any order, apart from anchored ones.
//!
//! Anchors divide the steps into blocks: each anchor is a block of its own, each run of other steps between is one. Blocks
//! follow each other, the steps of a block come in any order, and each step has an event of its own.
//!
//! **From one start.** Take events in order of time and keep a matching of steps to events that only grows: an event is
//! taken if it helps, that is if it satisfies a step from which an alternating path leads to a step still without event. A
//! block that is complete makes way for the next at the same instant, whose events may still change places between the two.
//! To complete a block as early as possible is always best: its events could be put in place of any later ones. Events that
//! do not help are never looked at, since the next one that satisfies a helpful step is found by search: O(k (k^2 + k log n)).
//!
//! **Over all starts.** A later start never completes earlier, so the first start that reaches the best level also completes
//! earliest, and the latest start with that completion is found by bisection. A start is passed over where its window does
//! not hold more different steps than the best level so far. O(n k^2 (k + log n)) at worst; in practice O(n k).

use super::exchange::Exchange;
use super::spec::Spec;
use super::ties::bits;
use super::window::{Deadline, Deadlines, Starts};
use super::{Found, Place};
use crate::algo::event::Event;

const FREE: u32 = u32::MAX;

/// The method, with what it needs to hold between users.
#[derive(Debug, Clone)]
pub struct AnyOrder {
    steps: usize,
    blocks: Vec<u64>,
    block_of: Vec<usize>,
    /// Conditions that no event between the first and the last of a chain may satisfy.
    excluded: u64,
    /// Positions of the events that satisfy each step.
    positions: Vec<Vec<u32>>,
    /// The first event, whatever it is, of each instant at which a chain can start.
    starts: Vec<u32>,
    /// Times of the excluded events.
    exclusions: Vec<i64>,
    /// For each step, an index into its positions that the start at hand is not before.
    cursors: Vec<usize>,
}

/// Blocks of steps: runs between anchors, and the anchors.
pub fn blocks(steps: usize, anchors: u64) -> Vec<u64> {
    let mut blocks: Vec<u64> = Vec::new();
    for step in 0..steps {
        let apart = anchors >> step & 1 == 1 || (step > 0 && anchors >> (step - 1) & 1 == 1);
        match blocks.last_mut() {
            Some(block) if !apart => *block |= 1 << step,
            _ => blocks.push(1 << step),
        }
    }
    blocks
}

/// A matching that grows along the events of one chain.
struct Growth {
    event_of_step: [u32; 64],
    /// For each step that has an event, the steps that this event could serve.
    allowed: [u64; 64],
    matched: u64,
    size: usize,
    completed: i64,
    block: usize,
    /// First and last instant of each block so far.
    ranges: Vec<(i64, i64)>,
    /// Events taken, in the order in which they were, and the last of them.
    taken: Vec<u32>,
    furthest: u32,
}

impl Growth {
    /// The steps that an event may serve: those of the blocks whose instants hold its time.
    fn allowed(&self, event: &Event, blocks: &[u64]) -> u64 {
        let mut steps = 0;
        for (block, (from, last)) in blocks.iter().zip(&self.ranges).take(self.block + 1).rev() {
            if event.time > *last {
                break;
            }
            if event.time >= *from {
                steps |= block;
            }
        }
        event.mask & steps
    }

    /// Whether an event serves a step already.
    fn has_taken(&self, event: u32) -> bool {
        event <= self.furthest && self.taken.contains(&event)
    }

    /// Steps for which a new event would give the block one step more.
    fn helpful(&self, blocks: &[u64]) -> u64 {
        let mut helpful = blocks[self.block] & !self.matched;
        loop {
            let more = bits(self.matched & !helpful).filter(|s| self.allowed[*s] & helpful != 0);
            let more = more.fold(0u64, |word, s| word | 1 << s);
            if more == 0 {
                return helpful;
            }
            helpful |= more;
        }
    }

    /// Takes an event along an alternating path; `steps` are those it may serve.
    fn take(&mut self, event: u32, steps: u64, helpful: u64, open: u64, visited: &mut u64) -> bool {
        if let Some(step) = bits(steps & open & !self.matched).next() {
            self.put(step, event, steps);
            self.matched |= 1 << step;
            return true;
        }
        for step in bits(steps & helpful & self.matched) {
            if *visited >> step & 1 == 1 {
                continue;
            }
            *visited |= 1 << step;
            let (moved, its_steps) = (self.event_of_step[step], self.allowed[step]);
            if self.take(moved, its_steps, helpful, open, visited) {
                self.put(step, event, steps);
                return true;
            }
        }
        false
    }

    fn put(&mut self, step: usize, event: u32, steps: u64) {
        self.event_of_step[step] = event;
        self.allowed[step] = steps;
    }
}

/// The first index from `from` on whose position is at least `position`: near ones are found in few steps.
fn seek(positions: &[u32], from: usize, position: u32) -> usize {
    let (mut low, mut stride) = (from, 1);
    while low + stride < positions.len() && positions[low + stride] < position {
        low += stride;
        stride *= 2;
    }
    let high = (low + stride + 1).min(positions.len());
    low.min(positions.len()) + positions[low.min(positions.len())..high].partition_point(|p| *p < position)
}

impl AnyOrder {
    /// For a spec.
    pub fn new(spec: &Spec) -> Self {
        let blocks = blocks(spec.steps, spec.anchors);
        let block_of = (0..spec.steps).map(|s| blocks.iter().position(|b| b >> s & 1 == 1).unwrap_or(0)).collect();
        let excluded = if spec.exclusions.is_empty() { 0 } else { !spec.step_bits() };
        Self {
            steps: spec.steps,
            block_of,
            blocks,
            excluded,
            positions: vec![Vec::new(); spec.steps],
            starts: Vec::new(),
            exclusions: Vec::new(),
            cursors: vec![0; spec.steps],
        }
    }

    /// The steps that can come first.
    pub fn openings(&self) -> u64 {
        self.blocks[0]
    }

    /// Reads a user's events; `entries` are the instants, ascending, at which a chain may start, where not at all.
    pub fn prepare(&mut self, events: &[Event], entries: Option<&[i64]>) {
        self.positions.iter_mut().for_each(Vec::clear);
        self.starts.clear();
        self.exclusions.clear();
        self.cursors.fill(0);
        let all = u64::MAX >> (64 - self.steps);
        let mut instant = 0;
        for (at, event) in events.iter().enumerate() {
            if event.time > events[instant].time {
                instant = at;
            }
            for step in bits(event.mask & all) {
                self.positions[step].push(at as u32);
            }
            let enters = event.mask & self.blocks[0] != 0
                && entries.is_none_or(|times| times.binary_search(&event.time).is_ok());
            if enters && self.starts.last().is_none_or(|last| (*last as usize) < instant) {
                self.starts.push(instant as u32);
            }
            if event.mask & self.excluded != 0 {
                self.exclusions.push(event.time);
            }
        }
    }

    /// The last instant that a chain may reach from a start: the window's, or that of the next exclusion.
    fn until(&self, start: i64, deadlines: &mut Deadlines) -> i64 {
        let next = self.exclusions.partition_point(|time| *time <= start);
        self.exclusions.get(next).copied().unwrap_or(i64::MAX).min(deadlines.of(start))
    }

    /// Different steps from a position to an instant: no more can be matched.
    fn at_most(&mut self, events: &[Event], from: u32, until: i64) -> usize {
        let mut steps = 0;
        for (positions, cursor) in self.positions.iter().zip(&mut self.cursors) {
            if *cursor > 0 && positions[*cursor - 1] >= from {
                *cursor = 0;
            }
            *cursor = seek(positions, *cursor, from);
            steps += usize::from(positions.get(*cursor).is_some_and(|at| events[*at as usize].time <= until));
        }
        steps
    }

    /// Grows a chain from a position, up to an instant and a number of steps.
    fn grow(&self, events: &[Event], from: u32, until: i64, cap: usize) -> Growth {
        let start = events[from as usize].time;
        let mut growth = Growth {
            event_of_step: [FREE; 64],
            allowed: [0; 64],
            matched: 0,
            size: 0,
            completed: start,
            block: 0,
            ranges: vec![(start, i64::MAX)],
            taken: Vec::new(),
            furthest: 0,
        };
        let mut from = from;
        while growth.size < cap {
            let helpful = growth.helpful(&self.blocks);
            let Some(at) = self.next(events, helpful, from, &growth) else { break };
            let event = &events[at as usize];
            if event.time > until {
                break;
            }
            let (steps, open) = (growth.allowed(event, &self.blocks), self.blocks[growth.block]);
            if !growth.take(at, steps, helpful, open, &mut 0) {
                debug_assert!(false, "a helpful event helps");
                break;
            }
            growth.size += 1;
            growth.completed = event.time;
            growth.taken.push(at);
            growth.furthest = growth.furthest.max(at);
            from = at + 1;
            if open & !growth.matched == 0 {
                if growth.block + 1 == self.blocks.len() {
                    break;
                }
                growth.ranges[growth.block].1 = event.time;
                growth.block += 1;
                growth.ranges.push((event.time, i64::MAX));
                // Events of this instant may serve the next block too.
                from = events.partition_point(|e| e.time < event.time) as u32;
                for step in bits(growth.matched) {
                    growth.allowed[step] = growth.allowed(&events[growth.event_of_step[step] as usize], &self.blocks);
                }
            }
        }
        growth
    }

    /// The next event from a position on that may serve one of these steps and was not taken.
    fn next(&self, events: &[Event], helpful: u64, from: u32, growth: &Growth) -> Option<u32> {
        // Where most events help it is the next one, and the search would cost more than all else.
        let near = events.get(from as usize)?;
        if growth.allowed(near, &self.blocks) & helpful != 0 && !growth.has_taken(from) {
            return Some(from);
        }
        let first = |step: usize| {
            let positions = &self.positions[step];
            let cursor = self.cursors[step];
            let cursor = if cursor > 0 && positions[cursor - 1] >= from { 0 } else { cursor };
            let (_, last) = growth.ranges[self.block_of[step]];
            let at = *positions[seek(positions, cursor, from)..].iter().find(|at| !growth.has_taken(**at))?;
            (events[at as usize].time <= last).then_some(at)
        };
        bits(helpful).filter_map(first).min()
    }

    /// The best chain that starts at one of `starts`, of at most `cap` steps.
    pub fn best(&mut self, events: &[Event], deadlines: &mut Deadlines, starts: Starts, cap: usize) -> Found {
        let mut found = Found { level: 0, start: 0, completed: Some(0), met: 0 };
        let mut first = 0;
        let low = self.starts.partition_point(|at| events[*at as usize].time < starts.from);
        for place in low..self.starts.len() {
            let at = self.starts[place];
            let time = events[at as usize].time;
            if time > starts.last || found.level >= cap {
                break;
            }
            let until = self.until(time, deadlines);
            if self.at_most(events, at, until) > found.level {
                let growth = self.grow(events, at, until, cap);
                if growth.size > found.level {
                    found = Found { level: growth.size, start: time, completed: Some(growth.completed), met: 0 };
                    first = place;
                }
            }
        }
        let Some(completed) = found.completed.filter(|_| found.level > 0) else { return found };
        let still = |at: &u32| {
            let time = events[*at as usize].time;
            time <= completed.min(starts.last) && self.grow(events, *at, completed, found.level).size == found.level
        };
        let latest = first + self.starts[first..].partition_point(still) - 1;
        found.start = events[self.starts[latest] as usize].time;
        found
    }

    /// The events of the chain that was found, appended to `places`.
    pub fn chain(&self, events: &[Event], deadlines: &mut Deadlines, found: &Found, places: &mut Vec<Place>) {
        let until = found.completed.unwrap_or_else(|| self.until(found.start, deadlines));
        let from = events.partition_point(|e| e.time < found.start) as u32;
        let mut growth = self.grow(events, from, until, found.level);
        growth.taken.sort_unstable();
        let mut chain = self.assign(&growth);
        chain.sort_unstable_by_key(|(step, at)| (events[*at as usize].time, self.block_of[*step as usize], *at));
        places.extend(chain.into_iter().map(|(step, at)| Place { step, at }));
    }

    /// Which event serves which step: the lowest step gets the earliest it can, then the next one.
    fn assign(&self, growth: &Growth) -> Vec<(u32, u32)> {
        let taken = &growth.taken;
        let mut serves = [0u64; 64];
        let mut step_of = [0usize; 64];
        for step in bits(growth.matched) {
            let at = taken.partition_point(|t| *t < growth.event_of_step[step]);
            (step_of[at], serves[at]) = (step, growth.allowed[step]);
        }
        let may_drop = self.blocks[growth.block];
        let mut exchange = Exchange { serves, step_of, matched: growth.matched, may_drop, fixed: 0 };
        let mut chain = Vec::with_capacity(taken.len());
        for step in 0..self.steps {
            let free =
                |at: &usize| exchange.serves[*at] >> step & 1 == 1 && exchange.fixed & 1 << exchange.step_of[*at] == 0;
            let candidates: Vec<usize> = (0..taken.len()).filter(free).collect();
            if let Some(at) = candidates.into_iter().find(|at| exchange.give(step, *at)) {
                exchange.fixed |= 1 << step;
                chain.push((step as u32, taken[at]));
            }
        }
        chain
    }
}
