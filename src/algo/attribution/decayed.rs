//! Sums of weights that halve with age, by channel, over a sliding window of touches.
//!
//! Deals with: adding at one end and forgetting at the other without ever subtracting, which would leave rounding errors of
//! what is forgotten behind. The window is held in two parts: the older with the sum of each channel from each touch on, the
//! newer as one sum a channel. When the older part is used up, the newer becomes the older. Each touch moves once.
//! Does not deal with: what a weight is for. Weights are relative to a moment that moves along: only ratios mean anything.

use std::ops::Range;

use super::Touch;

/// How many half-lives the newest touch may be past the reference before it moves; doubles go to 2^1023.
const AHEAD: f64 = 512.0;
/// Half-lives before the newest touch after which a weight is zero in doubles.
const GONE: f64 = 1_100.0;

/// The weights of one window.
#[derive(Debug)]
pub struct DecayedWeights {
    half_life: f64,
    reference: i64,
    /// Sums of the older and the newer part, by channel.
    older: Vec<f64>,
    newer: Vec<f64>,
    /// For each touch of the older part, from `left` on: the sum of its channel without it and what is before it.
    without: Vec<f64>,
    /// First touch of the older part, where it ends, where the newer part ends.
    left: usize,
    boundary: usize,
    right: usize,
    /// First touch that `without` was filled for.
    base: usize,
    /// Channels that may have a sum.
    used: Vec<u32>,
}

impl DecayedWeights {
    /// Nothing yet. The half-life is in the unit of the times.
    pub fn new(half_life: f64) -> Self {
        let (older, newer, without, used) = Default::default();
        Self { half_life, reference: 0, older, newer, without, left: 0, boundary: 0, right: 0, base: 0, used }
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.forget_sums();
        (self.left, self.boundary, self.right, self.base) = (0, 0, 0, 0);
        self.without.clear();
    }

    /// The weight of a channel within the window, relative to the other channels.
    pub fn weight(&self, channel: u32) -> f64 {
        let of = |sums: &[f64]| sums.get(channel as usize).copied().unwrap_or(0.0);
        of(&self.older) + of(&self.newer)
    }

    /// Moves the window: neither end ever goes back. The window is not empty.
    pub fn slide(&mut self, touches: &[Touch], window: Range<usize>) {
        let newest = touches[window.end - 1].time;
        if window.start >= self.boundary || self.age(newest, self.reference) > AHEAD {
            self.rebuild(touches, &window, newest);
            return;
        }
        while self.left < window.start {
            self.older[touches[self.left].channel as usize] = self.without[self.left - self.base];
            self.left += 1;
        }
        for touch in &touches[self.right..window.end] {
            let weight = self.age(touch.time, self.reference).exp2();
            self.reach(touch.channel);
            self.newer[touch.channel as usize] += weight;
        }
        self.right = window.end;
    }

    /// Makes the whole window the older part.
    fn rebuild(&mut self, touches: &[Touch], window: &Range<usize>, newest: i64) {
        self.forget_sums();
        self.reference = newest;
        let path = &touches[window.clone()];
        // Looked for from the newest: what is gone stays outside, so that it is not walked again and again.
        let kept = path.iter().rev().take_while(|t| self.age(newest, t.time) <= GONE).count();
        self.base = window.end - kept;
        (self.left, self.boundary, self.right) = (self.base, window.end, window.end);
        self.without.clear();
        self.without.resize(kept, 0.0);
        for at in (self.base..window.end).rev() {
            let touch = touches[at];
            self.reach(touch.channel);
            let weight = (-self.age(newest, touch.time)).exp2();
            let sum = &mut self.older[touch.channel as usize];
            self.without[at - self.base] = *sum;
            *sum += weight;
        }
    }

    fn reach(&mut self, channel: u32) {
        let at = channel as usize;
        if at >= self.older.len() {
            self.older.resize(at + 1, 0.0);
            self.newer.resize(at + 1, 0.0);
        }
        if self.older[at] == 0.0 && self.newer[at] == 0.0 {
            self.used.push(channel);
        }
    }

    fn forget_sums(&mut self) {
        for channel in self.used.drain(..) {
            self.older[channel as usize] = 0.0;
            self.newer[channel as usize] = 0.0;
        }
    }

    /// Half-lives from one time to a later one.
    fn age(&self, later: i64, earlier: i64) -> f64 {
        (i128::from(later) - i128::from(earlier)) as f64 / self.half_life
    }
}
