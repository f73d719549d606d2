//! The funnel of one query: a user's level and chains, for each held value on its own where one is held.
//!
//! Deals with: splitting a user's events by class, the best chain over classes, users that exclusions drop.
//! Does not deal with: how chains of one sequence are found (`method`).

use std::cmp::Reverse;

use super::apart::{Apart, Values};
use super::method::{Method, Span};
use super::spec::{By, Entry, Order, Pick, Spec};
use super::window::Starts;
use super::{Chain, Chains, Found, Place, Reached};
use crate::algo::event::{Event, NO_CLASS};

/// The funnel of one query, with what it needs to hold between users.
#[derive(Debug, Clone)]
pub struct Funnel {
    pub(super) method: Method,
    /// The same without exclusions, where a user whose level they lower leaves the funnel.
    pub(super) unrestricted: Option<Method>,
    entry: Entry,
    any_order: bool,
    earliest_start: bool,
    by_period: bool,
    step_bits: u64,
    every_event: bool,
    mature: u64,
    pub(super) by: By,
    spans: Vec<Span>,
    pub(super) apart: Apart,
}

/// The events of one class.
#[derive(Debug)]
struct Sequence {
    events: Vec<Event>,
    /// Their positions among the user's events.
    positions: Vec<u32>,
}

/// Level, completion, optional steps met, start, times, and the events by position and by step.
type Key = (Reverse<usize>, i64, Reverse<u64>, i64, Vec<(bool, i64)>, Vec<u32>, Vec<u32>);

/// What the chains of several classes are compared by, the least being the best; and the chain's events, by their positions
/// among the user's.
#[derive(Debug)]
struct Ranked {
    key: Key,
    places: Vec<Place>,
}

impl Funnel {
    /// A funnel.
    pub fn new(spec: Spec) -> Self {
        let unrestricted = spec
            .drop_excluded
            .then(|| Method::new(Spec { exclusions: Vec::new(), drop_excluded: false, ..spec.clone() }));
        Self {
            unrestricted,
            entry: spec.entry,
            any_order: spec.order == Order::AnyOrder,
            earliest_start: spec.pick == Pick::EarliestStart,
            by_period: spec.period.is_some(),
            step_bits: spec.step_bits(),
            every_event: spec.every_event(),
            mature: spec.mature_bit(),
            by: spec.by,
            apart: Apart::default(),
            method: Method::new(spec),
            spans: Vec::new(),
        }
    }

    /// How far a user came, over all periods if there are some, whatever the values by which chains are told apart. `held`
    /// gives the class of each tag, where all events of a chain must be of one class. `events` are sorted by time.
    pub fn level(&mut self, events: &[Event], held: Option<&[u32]>) -> Reached {
        let simple = held.is_none()
            && self.unrestricted.is_none()
            && self.entry == Entry::Best
            && !self.by_period
            && self.mature == 0;
        if simple {
            self.method.prepare(events);
            let level = self.method.best(events, Starts::ANY, self.method.most).level;
            return Reached { level, dropped: false };
        }
        let mut chains = Chains::default();
        self.whole(events, held, &mut chains);
        let best = chains.chains.iter().map(|c| c.reached).max_by_key(|r| (r.level, r.dropped));
        best.unwrap_or_default()
    }

    /// Appends the chains asked for, without those of level 0 (but with those that were dropped). `events` are sorted by
    /// time; among tied events those that stand first are taken. `values` tells the values of tags, where chains are told
    /// apart by them.
    pub fn chains(&mut self, events: &[Event], held: Option<&[u32]>, values: Option<&dyn Values>, chains: &mut Chains) {
        match values {
            Some(values) if self.by != By::Nothing => self.by_value(events, held, values, chains),
            _ => self.whole(events, held, chains),
        }
    }

    /// The same whatever the values.
    pub(super) fn whole(&mut self, events: &[Event], held: Option<&[u32]>, chains: &mut Chains) {
        let mut spans = std::mem::take(&mut self.spans);
        // Spans are made of the entries that are mature; nothing else looks at that condition.
        let bare: Vec<Event>;
        let stripped = if self.mature == 0 {
            events
        } else {
            bare = events.iter().map(|e| Event { mask: e.mask & !self.mature, ..*e }).collect();
            &bare
        };
        match held {
            None => {
                self.method.spans(events, &mut spans);
                match self.entry {
                    Entry::All => self.all(stripped, &spans, chains),
                    Entry::Best | Entry::First => self.one(stripped, &spans, chains),
                }
            }
            Some(classes) => {
                let class = |e: &Event| classes.get(e.tag as usize).copied().unwrap_or(NO_CLASS);
                let some: Vec<Event> = events.iter().copied().filter(|e| class(e) != NO_CLASS).collect();
                self.method.spans(&some, &mut spans);
                let sequences = split(stripped, class);
                match self.entry {
                    Entry::All => self.all_by_class(&sequences, &spans, chains),
                    Entry::Best | Entry::First => self.one_by_class(&sequences, &spans, chains),
                }
            }
        }
        self.spans = spans;
    }

    /// One chain for each span.
    fn one(&mut self, events: &[Event], spans: &[Span], chains: &mut Chains) {
        self.method.prepare(events);
        let cap = self.method.cap(events, spans.len());
        let free = self.without_exclusions(events);
        let free_cap = self.unrestricted.as_mut().map_or(0, |method| method.cap(&free, spans.len()));
        for span in spans {
            let found = self.method.canonical(events, span.starts, cap);
            let dropped = self.level_without_exclusions(&free, span, free_cap) > found.level;
            if found.level > 0 && !dropped {
                self.method.chain(events, &found, &mut chains.places);
            }
            push(chains, span, found.level, dropped);
        }
    }

    fn all(&mut self, events: &[Event], spans: &[Span], chains: &mut Chains) {
        self.method.prepare(events);
        let Chains { chains, places } = chains;
        for span in spans {
            self.method.all(events, span.starts, places, |found, _, places| {
                chains.push(of_span(span, Reached { level: found.level, dropped: false }, places.len()));
            });
        }
    }

    /// The best chain over all classes for each span.
    fn one_by_class(&mut self, sequences: &[Sequence], spans: &[Span], chains: &mut Chains) {
        let mut best: Vec<Option<Ranked>> = spans.iter().map(|_| None).collect();
        let mut without = vec![0; spans.len()];
        for sequence in sequences {
            let events = &sequence.events;
            self.method.prepare(events);
            let cap = self.method.cap(events, spans.len());
            let free = self.without_exclusions(events);
            let free_cap = self.unrestricted.as_mut().map_or(0, |method| method.cap(&free, spans.len()));
            for (at, span) in overlapping(spans, events) {
                without[at] = self.level_without_exclusions(&free, span, free_cap).max(without[at]);
                let found = self.method.canonical(events, span.starts, cap);
                if found.level == 0 || best[at].as_ref().is_some_and(|b| b.key.0.0 > found.level) {
                    continue;
                }
                let mut places = Vec::new();
                self.method.chain(events, &found, &mut places);
                let ranked = self.ranked(&found, places, sequence);
                if best[at].as_ref().is_none_or(|b| ranked.key < b.key) {
                    best[at] = Some(ranked);
                }
            }
        }
        for ((span, best), without) in spans.iter().zip(best).zip(without) {
            let level = best.as_ref().map_or(0, |b| b.key.0.0);
            let dropped = without > level;
            if let Some(best) = best.filter(|_| !dropped) {
                chains.places.extend(best.places);
            }
            push(chains, span, level, dropped);
        }
    }

    /// The chains of all classes, by span and start.
    fn all_by_class(&mut self, sequences: &[Sequence], spans: &[Span], chains: &mut Chains) {
        let mut several = Vec::new();
        for (class, sequence) in sequences.iter().enumerate() {
            self.method.prepare(&sequence.events);
            for (at, span) in overlapping(spans, &sequence.events) {
                let mut places = Vec::new();
                self.method.all(&sequence.events, span.starts, &mut places, |found, from, places| {
                    several.push(((at, found.start, class), found.level, moved(&places[from..], sequence)));
                });
            }
        }
        several.sort_unstable_by_key(|(key, ..)| *key);
        for ((at, ..), level, places) in several {
            chains.places.extend(places);
            push(chains, &spans[at], level, false);
        }
    }

    fn ranked(&self, found: &Found, places: Vec<Place>, sequence: &Sequence) -> Ranked {
        let time = |place: &Place| sequence.events[place.at as usize].time;
        let mut times: Vec<(bool, i64)> = Vec::with_capacity(places.len());
        for place in &places {
            if !self.any_order {
                // A step met comes before a step skipped.
                times.resize(place.step as usize, (true, 0));
            }
            times.push((false, time(place)));
        }
        if !self.any_order {
            times.resize(self.step_bits.count_ones() as usize, (true, 0));
        }
        let places = moved(&places, sequence);
        let mut by_position: Vec<u32> = places.iter().map(|p| p.at).collect();
        let mut steps = places.clone();
        steps.sort_unstable_by_key(|p| p.step);
        if self.any_order {
            by_position.sort_unstable();
        }
        let by_step = steps.iter().flat_map(|p| [p.step, p.at]).collect();
        let start = if self.earliest_start { found.start } else { !found.start };
        let met = Reverse(found.met.reverse_bits());
        let key = (Reverse(found.level), found.completed.unwrap_or(0), met, start, times, by_position, by_step);
        Ranked { key, places }
    }

    /// A user's events without their exclusions, where it is asked whether these lower the level.
    fn without_exclusions(&mut self, events: &[Event]) -> Vec<Event> {
        let Some(method) = &mut self.unrestricted else { return Vec::new() };
        let bare = events.iter().map(|e| Event { mask: e.mask & self.step_bits, ..*e });
        let bare: Vec<Event> = bare.filter(|e| self.every_event || e.mask != 0).collect();
        method.prepare(&bare);
        bare
    }

    fn level_without_exclusions(&mut self, bare: &[Event], span: &Span, cap: usize) -> usize {
        self.unrestricted.as_mut().map_or(0, |method| method.best(bare, span.starts, cap).level)
    }
}

fn push(chains: &mut Chains, span: &Span, level: usize, dropped: bool) {
    if level > 0 || dropped {
        let reached = Reached { level: if dropped { 0 } else { level }, dropped };
        chains.chains.push(of_span(span, reached, chains.places.len()));
    }
}

fn of_span(span: &Span, reached: Reached, end: usize) -> Chain {
    Chain { period: span.period, last_entry: span.starts.last, value: None, reached, end }
}

/// The events of each class, in the order of classes.
fn split(events: &[Event], class: impl Fn(&Event) -> u32) -> Vec<Sequence> {
    let mut order: Vec<(u32, u32)> =
        events.iter().zip(0..).map(|(e, at)| (class(e), at)).filter(|(class, _)| *class != NO_CLASS).collect();
    order.sort_unstable();
    let one = |same: &[(u32, u32)]| Sequence {
        events: same.iter().map(|(_, at)| events[*at as usize]).collect(),
        positions: same.iter().map(|(_, at)| *at).collect(),
    };
    order.chunk_by(|a, b| a.0 == b.0).map(one).collect()
}

/// The spans in which a chain of these events can start.
fn overlapping<'a>(spans: &'a [Span], events: &[Event]) -> impl Iterator<Item = (usize, &'a Span)> + use<'a> {
    let (first, last) = (events.first().map_or(0, |e| e.time), events.last().map_or(0, |e| e.time));
    let from = spans.partition_point(|span| span.starts.last < first);
    spans.iter().enumerate().skip(from).take_while(move |(_, span)| span.starts.from <= last)
}

/// Places among the events of a class as places among the user's.
fn moved(places: &[Place], sequence: &Sequence) -> Vec<Place> {
    places.iter().map(|p| Place { at: sequence.positions[p.at as usize], ..*p }).collect()
}
