//! The touches that one conversion claims, kept up to date while conversions go by.
//!
//! Deals with: counting touches by channel and moves between neighbours, as touches enter and leave.
//! Does not deal with: which touches those are, or what they are credited with.

use std::ops::Range;

use hashbrown::HashMap;

use super::{Touch, empty, is_oversized};

/// The touches that the conversion at hand claims, counted by channel.
#[derive(Debug, Default)]
pub struct Window {
    /// Positions of the touches.
    pub range: Range<usize>,
    /// Touches of each channel.
    pub counts: Vec<u32>,
    /// Channels with touches, and where each stands among them.
    pub active: Vec<u32>,
    pub place: Vec<u32>,
    /// The last touch so far that is not direct; perhaps no longer in the window.
    pub last_not_direct: Option<usize>,
    /// Neighbours of different channels, where they are wanted.
    pub moves: HashMap<(u32, u32), u32>,
    wants_moves: bool,
}

impl Window {
    /// Begins another user.
    pub fn clear(&mut self, wants_moves: bool) {
        for channel in self.active.drain(..) {
            self.counts[channel as usize] = 0;
        }
        empty(&mut self.moves);
        self.range = 0..0;
        self.last_not_direct = None;
        self.wants_moves = wants_moves;
    }

    /// Takes the next touch in.
    pub fn enter(&mut self, touches: &[Touch], channel: u32, direct: bool) {
        let at = channel as usize;
        if at >= self.counts.len() {
            self.counts.resize(at + 1, 0);
            self.place.resize(at + 1, 0);
        }
        if self.counts[at] == 0 {
            self.place[at] = self.active.len() as u32;
            self.active.push(channel);
        }
        self.counts[at] += 1;
        if !direct {
            self.last_not_direct = Some(self.range.end);
        }
        if self.wants_moves && !self.range.is_empty() {
            let before = touches[self.range.end - 1].channel;
            if before != channel {
                *self.moves.entry((before, channel)).or_default() += 1;
            }
        }
        self.range.end += 1;
    }

    /// Lets the first touch go.
    pub fn leave(&mut self, touches: &[Touch]) {
        let channel = touches[self.range.start].channel;
        self.range.start += 1;
        let at = channel as usize;
        self.counts[at] -= 1;
        if self.counts[at] == 0 {
            let place = self.place[at] as usize;
            self.active.swap_remove(place);
            if let Some(moved) = self.active.get(place) {
                self.place[*moved as usize] = place as u32;
            }
        }
        if self.wants_moves && !self.range.is_empty() {
            let step = (channel, touches[self.range.start].channel);
            if let Some(times) = self.moves.get_mut(&step) {
                *times -= 1;
                if *times == 0 {
                    self.moves.remove(&step);
                    if is_oversized(&self.moves) {
                        self.moves.shrink_to(2 * self.moves.len());
                    }
                }
            }
        }
    }
}
