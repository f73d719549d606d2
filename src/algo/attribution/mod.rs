//! Attribution: which touches before a conversion get the credit for it.
//!
//! Deals with: one user's touches and conversions in order; which touches a conversion claims, how each rule shares it out
//! among their channels, and what the models over all paths need to know (moves, coalitions).
//! Does not deal with: those models (`model::markov`, `model::shapley`), or adding users up.
//!
//! A conversion at `t` claims the touches in `[t - lookback, t]`; with `reset` only those after the last instant before `t`
//! that had a conversion. Conversions at one instant claim the same touches. A conversion that claims none is credited to
//! one channel that stands for "no touch", and is not a path of the chain.
//!
//! Credit is counted in whole parts, [`UNIT`] to a conversion, so that sums over users are exact and in no order. Values are
//! summed as [`ExactSum`]s of value times parts.
//!
//! Cost: a window slides over the touches and keeps the number of each channel in it, so a user costs
//! O(touches + conversions x channels in the window), and with moves also the distinct moves in it, however much windows
//! overlap.

mod decayed;
mod share;
mod window;

use std::ops::Range;

use hashbrown::HashMap;

use self::decayed::DecayedWeights;
use self::share::share;
use self::window::Window;
use super::exact_sum::ExactSum;

/// Parts of one conversion: the least number that everything up to 40 divides (and so are 40 % and 20 %), times 2^9.
pub const UNIT: i64 = 5_342_931_457_063_200 << 9;

/// How a rule shares a conversion out among the touches it claims.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rule {
    /// All to the first touch.
    First,
    /// All to the last touch.
    Last,
    /// All to the last touch that is not direct; where all are direct, to the last.
    LastNonDirect,
    /// Equal parts to all touches.
    Linear,
    /// A whole conversion to each channel that took part: does not add up to conversions.
    Participation,
    /// Fixed parts to the first and the last touch, and one shared by those between.
    Position,
    /// Half as much for each half-life that lies between touch and conversion.
    TimeDecay,
}

/// What is asked of every user.
#[derive(Debug, Clone, PartialEq)]
pub struct Spec {
    /// How far back a conversion reaches, inclusive, in ticks; at least 0.
    pub lookback: i64,
    /// Whether a conversion ends the path of those after it.
    pub reset: bool,
    /// The rules to apply.
    pub rules: Vec<Rule>,
    /// Parts of first, middle and last touch for [`Rule::Position`]: none negative, 1 together.
    pub weights: [f64; 3],
    /// Half-life in ticks for [`Rule::TimeDecay`], above 0.
    pub half_life: f64,
    /// Whether moves between channels are wanted, of paths that convert and of those that do not.
    pub moves: bool,
    /// Whether sets of channels that convert together are wanted.
    pub coalitions: bool,
}

/// A touch of a user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Touch {
    /// When.
    pub time: i64,
    /// Number of its channel.
    pub channel: u32,
    /// Whether [`Rule::LastNonDirect`] passes it over.
    pub direct: bool,
    /// The segment of a path without conversion that ends here.
    pub segment: u32,
}

/// A conversion of a user.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Conversion {
    /// When.
    pub time: i64,
    /// What it is worth: finite, below 1e280.
    pub value: f64,
    /// The segment it counts in.
    pub segment: u32,
}

/// A step in the chain of channels that a path is, neighbours of one channel taken as one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Move {
    /// A path begins with this channel.
    Start(u32),
    /// From one channel to another.
    To(u32, u32),
    /// A path ends with this channel and a conversion.
    Converted(u32),
    /// A path that does not convert begins with this channel.
    LostStart(u32),
    /// From one channel to another on such a path.
    LostTo(u32, u32),
    /// It ends with this channel.
    Lost(u32),
}

/// How often a step is taken, and what the conversions at the end of those paths are worth.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Flow {
    /// How often.
    pub times: i64,
    /// Values above zero, once for each time.
    pub gained: ExactSum,
    /// Values below zero, without the sign.
    pub taken: ExactSum,
}

impl Flow {
    fn add(&mut self, times: i64, value: f64) {
        self.times += times;
        if value > 0.0 {
            self.gained.add_product(value, times);
        } else if value < 0.0 {
            self.taken.add_product(-value, times);
        }
    }
}

/// How often, and for how much.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Credit {
    /// Parts of conversions ([`UNIT`]), or conversions.
    pub parts: i128,
    /// Value times parts ([`UNIT`] is 1), scaled by 2^-61 so that nothing overflows; or value.
    pub value: ExactSum,
}

/// Value times parts is held at this scale.
pub const VALUE_SCALE: f64 = 1.0 / (1u64 << 61) as f64;

/// What a user adds to one channel of one segment.
#[derive(Debug, Clone, PartialEq)]
pub struct ChannelCredit {
    /// Segment of the conversions.
    pub segment: u32,
    /// The channel.
    pub channel: u32,
    /// Its touches that conversions claim, once for each claim.
    pub touches: i64,
    /// Credit by rule, in the order asked.
    pub credits: Vec<Credit>,
}

/// What a user adds to one segment.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct SegmentTotal {
    /// Conversions.
    pub conversions: i64,
    /// Sum of their values.
    pub value: ExactSum,
    /// Sum of their values without the signs.
    pub magnitude: ExactSum,
    /// Those of them that claim no touch.
    pub untouched: i64,
    /// Sum of the values of these.
    pub untouched_value: ExactSum,
    /// Sum of the values above zero of those that claim one.
    pub gained: ExactSum,
    /// Sum of the values below zero of these, without the sign.
    pub taken: ExactSum,
}

/// What a user adds up to.
#[derive(Debug, Default)]
pub struct UserCredits {
    /// By segment and channel.
    pub channels: Vec<ChannelCredit>,
    /// By segment.
    pub totals: HashMap<u32, SegmentTotal>,
    /// By segment and move.
    pub moves: HashMap<(u32, Move), Flow>,
    /// By segment and set of channels (their numbers in order).
    pub coalitions: HashMap<(u32, Box<[u32]>), Credit>,
    slots: HashMap<(u32, u32), usize>,
}

impl UserCredits {
    /// Forgets everything.
    pub fn clear(&mut self) {
        self.channels.clear();
        empty(&mut self.totals);
        empty(&mut self.moves);
        empty(&mut self.coalitions);
        empty(&mut self.slots);
    }

    fn channel(&mut self, segment: u32, channel: u32, rules: usize) -> &mut ChannelCredit {
        let channels = &mut self.channels;
        let slot = *self.slots.entry((segment, channel)).or_insert_with(|| {
            channels.push(ChannelCredit { segment, channel, touches: 0, credits: vec![Credit::default(); rules] });
            channels.len() - 1
        });
        &mut channels[slot]
    }
}

/// Clears a map. One that has grown far beyond its use is let go: clearing and walking cost what it could hold.
fn empty<K, V>(map: &mut HashMap<K, V>) {
    if is_oversized(map) { *map = HashMap::new() } else { map.clear() }
}

fn is_oversized<K, V>(map: &HashMap<K, V>) -> bool {
    map.capacity() > 32 * (map.len() + 8)
}

/// The kernel, with what it keeps between users to save allocations.
#[derive(Debug)]
pub struct Attribution {
    spec: Spec,
    /// Stands for "no touch".
    untouched: u32,
    window: Window,
    decayed: DecayedWeights,
    /// `parts[a * rules + r]`: what rule `r` gives to the channel at place `a` of the window.
    parts: Vec<i64>,
}

impl Attribution {
    /// `untouched` is the channel that conversions without touches are credited to.
    pub fn new(spec: Spec, untouched: u32) -> Self {
        let decayed = DecayedWeights::new(spec.half_life);
        Self { spec, untouched, window: Window::default(), decayed, parts: Vec::new() }
    }

    /// Adds up one user, whose touches and conversions are sorted by time; the order of tied touches is that given.
    pub fn user(&mut self, touches: &[Touch], conversions: &[Conversion], sums: &mut UserCredits) {
        sums.clear();
        self.window.clear(self.spec.moves);
        self.decayed.clear();
        let (mut from, mut claimed) = (0, 0);
        let mut rest = conversions;
        while let Some(first) = rest.first() {
            let tied = rest.iter().take_while(|c| c.time == first.time).count();
            while let Some(touch) = touches.get(self.window.range.end).filter(|t| t.time <= first.time) {
                self.window.enter(touches, touch.channel, touch.direct);
            }
            let oldest = first.time.saturating_sub(self.spec.lookback);
            while self.window.range.start < self.window.range.end
                && (self.window.range.start < from || touches[self.window.range.start].time < oldest)
            {
                self.window.leave(touches);
            }
            let range = self.window.range.clone();
            if claimed < range.start {
                self.lost(touches, claimed..range.start, sums);
            }
            claimed = range.end;
            share(&self.spec, &self.window, &mut self.decayed, touches, &mut self.parts);
            self.credit(touches, &rest[..tied], sums);
            if self.spec.reset {
                from = range.end;
            }
            rest = &rest[tied..];
        }
        self.lost(touches, claimed..touches.len(), sums);
    }

    /// The paths among touches that no conversion claims: each ends where the next touch is more than a lookback away.
    fn lost(&self, touches: &[Touch], unclaimed: Range<usize>, sums: &mut UserCredits) {
        if !self.spec.moves {
            return;
        }
        let mut rest = &touches[unclaimed];
        while let Some(first) = rest.first() {
            let apart = |pair: &[Touch]| pair[1].time.abs_diff(pair[0].time) > self.spec.lookback as u64;
            let length = rest.windows(2).take_while(|pair| !apart(pair)).count() + 1;
            let (path, after) = rest.split_at(length);
            let last = path[length - 1];
            let mut count = |step| sums.moves.entry((last.segment, step)).or_default().add(1, 0.0);
            count(Move::LostStart(first.channel));
            path.windows(2)
                .filter(|pair| pair[0].channel != pair[1].channel)
                .for_each(|pair| count(Move::LostTo(pair[0].channel, pair[1].channel)));
            count(Move::Lost(last.channel));
            rest = after;
        }
    }

    /// Adds conversions that claim the window.
    fn credit(&self, touches: &[Touch], conversions: &[Conversion], sums: &mut UserCredits) {
        let rules = self.spec.rules.len();
        let window = &self.window;
        let untouched = [self.untouched];
        let channels = if window.active.is_empty() { &untouched[..] } else { &window.active[..] };
        let mut coalition: Box<[u32]> = if self.spec.coalitions { channels.into() } else { Box::default() };
        coalition.sort_unstable();
        for conversion in conversions {
            let Conversion { value, segment, .. } = *conversion;
            let total = sums.totals.entry(segment).or_default();
            total.conversions += 1;
            total.value.add(value);
            total.magnitude.add(value.abs());
            if window.active.is_empty() {
                total.untouched += 1;
                total.untouched_value.add(value);
            } else if self.spec.moves {
                let side = if value < 0.0 { &mut total.taken } else { &mut total.gained };
                side.add(value.abs());
            }
            for (a, channel) in channels.iter().enumerate() {
                let sum = sums.channel(segment, *channel, rules);
                sum.touches += window.active.get(a).map_or(0, |c| i64::from(window.counts[*c as usize]));
                for (credit, part) in sum.credits.iter_mut().zip(&self.parts[a * rules..]) {
                    if *part > 0 {
                        credit.parts += i128::from(*part);
                        credit.value.add_product(value * VALUE_SCALE, *part);
                    }
                }
            }
            if self.spec.coalitions {
                let sum = sums.coalitions.entry((segment, coalition.clone())).or_default();
                sum.parts += 1;
                sum.value.add(value);
            }
            // A conversion that claims no touch is not a path.
            let path = &touches[window.range.clone()];
            if let ([first, ..], [.., last], true) = (path, path, self.spec.moves) {
                let mut count = |step, times| sums.moves.entry((segment, step)).or_default().add(times, value);
                count(Move::Start(first.channel), 1);
                window.moves.iter().for_each(|((a, b), times)| count(Move::To(*a, *b), i64::from(*times)));
                count(Move::Converted(last.channel), 1);
            }
        }
    }
}

#[cfg(test)]
mod tests;
