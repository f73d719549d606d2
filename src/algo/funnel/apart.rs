//! The funnel of one query for each value that the events which start its chains carry.
//!
//! The chains of a value are those of the funnel whose first step (or the step that tells the value) also asks for this
//! value: so an event of that step with another value is none of it any more, for whatever rule. Whether a user converts
//! never decides under which value they stand, and a user whose entries carry several values counts under each.
//!
//! Most users have one value, and nothing is done twice for them. Where nothing is asked of what lies between steps, all values
//! of a user cost one pass together (`plain_apart`). Else each value costs one over the events that its chains can meet, which are few:
//! entries of other values are none of them, and
//!
//! * in `strict` and `strict_steps` the events of a chain follow each other, so that it ends within as many instants as it has steps;
//! * else a value whose chain is complete early is not looked for any further: the first 64 events are asked, then twice as many.
//!
//! What is left is a value for each entry and chains that are never complete: those cost a pass each, over their windows.
//! Does not deal with: what a value is (the caller's tags), or how chains are found (`held`, `method`).

use std::cmp::Ordering;

use super::held::Funnel;
use super::plain_apart::{self, PlainApart};
use super::spec::{Between, By, Entry, Order, Pick};
use super::{Chain, Chains};
use crate::algo::event::{Event, NO_CLASS};

/// The values of tags.
pub trait Values {
    /// The class of a tag's value: tags of equal values are of one class.
    fn class(&self, tag: u32) -> u32;
    /// The order of the values of two tags.
    fn compare(&self, a: u32, b: u32) -> Ordering;
}

/// What is held between users.
#[derive(Debug, Clone, Default)]
pub(super) struct Apart {
    /// The events of the step that tells the value: class, a tag of it, position.
    entries: Vec<(u32, u32, u32)>,
    /// The events of one value, and their positions among the user's.
    events: Vec<Event>,
    positions: Vec<u32>,
    /// The events that satisfy more than the step that tells the value.
    rest: Vec<u32>,
    whole: Chains,
    /// The value of each event that can start a chain, and a tag of each value.
    value_of: Vec<u32>,
    tags: Vec<u32>,
    plain: PlainApart,
}

/// A value: events with another one do not satisfy `steps`.
#[derive(Debug, Clone, Copy)]
struct Own {
    steps: u64,
    class: u32,
    /// A tag of it.
    tag: u32,
}

impl Funnel {
    /// The chains of each value, in the order of values, those without a value first.
    pub(super) fn by_value(
        &mut self,
        events: &[Event],
        held: Option<&[u32]>,
        values: &dyn Values,
        chains: &mut Chains,
    ) {
        match self.by {
            By::Nothing => self.whole(events, held, chains),
            By::FirstEntry => {
                let from = chains.chains.len();
                self.whole(events, held, chains);
                let value = self.first_value(events, held, values);
                chains.chains[from..].iter_mut().for_each(|chain| chain.value = value);
            }
            By::Entry => self.by_entry(events, held, values, chains),
            By::Step(step) => self.by_step(events, held, values, step, chains),
        }
    }

    /// The least value of the first events that can start a chain.
    fn first_value(&self, events: &[Event], held: Option<&[u32]>, values: &dyn Values) -> Option<u32> {
        let takes_part =
            |e: &&Event| held.is_none_or(|h| h.get(e.tag as usize).is_some_and(|class| *class != NO_CLASS));
        let mut opens = events.iter().filter(|e| e.mask & self.method.openings != 0).filter(takes_part);
        let first = opens.next()?;
        let tied = opens.take_while(|e| e.time == first.time).map(|e| e.tag);
        Some(tied.fold(first.tag, |least, tag| if values.compare(tag, least).is_lt() { tag } else { least }))
    }

    /// Lists the events of these steps by value; true where there are several values.
    fn read_entries(&mut self, events: &[Event], steps: u64, values: &dyn Values) -> bool {
        let entries = &mut self.apart.entries;
        entries.clear();
        let told = events.iter().zip(0..).filter(|(e, _)| e.mask & steps != 0);
        entries.extend(told.map(|(e, at)| (values.class(e.tag), e.tag, at)));
        if entries.iter().all(|(class, ..)| *class == entries[0].0) {
            return false;
        }
        entries.sort_unstable_by(|a, b| values.compare(a.1, b.1).then(a.2.cmp(&b.2)));
        true
    }

    fn by_entry(&mut self, events: &[Event], held: Option<&[u32]>, values: &dyn Values, chains: &mut Chains) {
        let openings = self.method.openings;
        let several = self.read_entries(events, openings, values);
        let entries = std::mem::take(&mut self.apart.entries);
        if !several {
            let from = chains.chains.len();
            self.whole(events, held, chains);
            chains.chains[from..].iter_mut().for_each(|chain| chain.value = entries.first().map(|(_, tag, _)| *tag));
        } else if held.is_some() || !self.in_one_pass(events, &entries, chains) {
            self.read_rest(events, openings);
            for same in entries.chunk_by(|a, b| a.0 == b.0) {
                let (class, tag, first) = same[0];
                if openings.is_power_of_two() {
                    self.near(events, same, held, values, Own { steps: openings, class, tag }, chains);
                } else {
                    let first = events[first as usize].time;
                    let last = events[same[same.len() - 1].2 as usize].time;
                    let deadline = self.method.deadline(last);
                    let from = events.partition_point(|e| e.time < first);
                    let until = events.partition_point(|e| e.time <= deadline);
                    // In any order whatever comes later may be of any value.
                    let mut times: Vec<i64> = same.iter().map(|(.., at)| events[*at as usize].time).collect();
                    times.dedup();
                    self.set_entries(Some(times));
                    self.with_value(&events[from..until], held, values, Own { steps: 0, class, tag }, from, chains);
                    self.set_entries(None);
                }
            }
        }
        self.apart.entries = entries;
    }

    /// Lists the events that are there for every value.
    fn read_rest(&mut self, events: &[Event], openings: u64) {
        let spec = self.method.spec();
        let (all, others) = (spec.every_event(), !(openings | spec.mature_bit()));
        let told = events.iter().zip(0..).filter(|(e, _)| all || e.mask & others != 0);
        self.apart.rest.clear();
        self.apart.rest.extend(told.map(|(_, at)| at));
    }

    /// Appends the chains of one value, whose entries are `same`, from the events that they can meet.
    fn near(
        &mut self,
        events: &[Event],
        same: &[(u32, u32, u32)],
        held: Option<&[u32]>,
        values: &dyn Values,
        own: Own,
        chains: &mut Chains,
    ) {
        let time = |at: u32| events[at as usize].time;
        let (first, last) = (time(same[0].2), time(same[same.len() - 1].2));
        let deadline = self.method.deadline(last);
        let rest = std::mem::take(&mut self.apart.rest);
        let mut positions = std::mem::take(&mut self.apart.positions);
        let spec = self.method.spec();
        let adjacent = matches!(spec.between, Between::Strict | Between::StrictSteps)
            && spec.order != Order::AnyOrder
            && spec.exclusions.is_empty()
            && held.is_none();
        positions.clear();
        if adjacent {
            let steps = spec.steps;
            for at in same.iter().map(|(.., at)| *at) {
                positions.push(at);
                let from = rest.partition_point(|p| time(*p) < time(at));
                let (mut instants, mut instant) = (0, time(at));
                for p in &rest[from..] {
                    instants += usize::from(time(*p) > instant);
                    instant = time(*p);
                    if instants > steps || instant > deadline {
                        break;
                    }
                    positions.push(*p);
                }
            }
            positions.sort_unstable();
            positions.dedup();
            self.of_positions(events, &positions, held, values, own, chains);
        } else {
            let from = rest.partition_point(|p| time(*p) < first);
            let until = rest.partition_point(|p| time(*p) <= deadline);
            // The chain that completes earliest lies within the events up to its end, whatever follows.
            let settles = spec.pick == Pick::EarliestCompletion
                && spec.entry == Entry::Best
                && spec.period.is_none()
                && spec.optional == 0
                && !spec.mature
                && !spec.drop_excluded
                && held.is_none();
            let whole = until - from + same.len();
            let mut most = if settles { 64 } else { whole };
            loop {
                merge(same, &rest[from..until], most, time, &mut positions);
                let (chains_before, places_before) = (chains.chains.len(), chains.places.len());
                self.of_positions(events, &positions, held, values, own, chains);
                let complete = chains.chains[chains_before..].iter().any(|c| c.reached.level == self.method.most);
                if complete || most >= whole {
                    break;
                }
                chains.chains.truncate(chains_before);
                chains.places.truncate(places_before);
                most = most.saturating_mul(2);
            }
        }
        (self.apart.rest, self.apart.positions) = (rest, positions);
    }

    /// Appends the chains of one value from the events at these positions.
    fn of_positions(
        &mut self,
        events: &[Event],
        positions: &[u32],
        held: Option<&[u32]>,
        values: &dyn Values,
        Own { steps, class, tag }: Own,
        chains: &mut Chains,
    ) {
        let mut own = std::mem::take(&mut self.apart.events);
        own.clear();
        own.extend(positions.iter().map(|at| {
            let e = events[*at as usize];
            let other = e.mask & steps != 0 && values.class(e.tag) != class;
            if other { Event { mask: e.mask & !steps, ..e } } else { e }
        }));
        let (chains_before, places_before) = (chains.chains.len(), chains.places.len());
        self.whole(&own, held, chains);
        chains.chains[chains_before..].iter_mut().for_each(|chain| chain.value = Some(tag));
        chains.places[places_before..].iter_mut().for_each(|place| place.at = positions[place.at as usize]);
        self.apart.events = own;
    }

    /// Appends the chains of all values, where one pass finds them.
    fn in_one_pass(&mut self, events: &[Event], entries: &[(u32, u32, u32)], chains: &mut Chains) -> bool {
        if !self.method.is_plain() || !plain_apart::fits(self.method.spec()) {
            return false;
        }
        let Apart { value_of, tags, plain, .. } = &mut self.apart;
        value_of.clear();
        value_of.resize(events.len(), 0);
        tags.clear();
        for same in entries.chunk_by(|a, b| a.0 == b.0) {
            same.iter().for_each(|(.., at)| value_of[*at as usize] = tags.len() as u32);
            tags.push(same[0].1);
        }
        let (spec, deadlines) = self.method.parts();
        plain.chains(events, spec, deadlines, value_of, tags, chains)
    }

    fn set_entries(&mut self, times: Option<Vec<i64>>) {
        if let Some(method) = &mut self.unrestricted {
            method.entries.clone_from(&times);
        }
        self.method.entries = times;
    }

    fn by_step(
        &mut self,
        events: &[Event],
        held: Option<&[u32]>,
        values: &dyn Values,
        step: usize,
        chains: &mut Chains,
    ) {
        let several = self.read_entries(events, 1 << step, values);
        let entries = std::mem::take(&mut self.apart.entries);
        let mut whole = std::mem::take(&mut self.apart.whole);
        whole.chains.clear();
        whole.places.clear();
        self.whole(events, held, &mut whole);
        take(&whole, step, chains, |meets| (!meets).then_some(None));
        if !several {
            // What comes to the step has the one value that there is.
            take(&whole, step, chains, |meets| meets.then_some(entries.first().map(|(_, tag, _)| *tag)));
        } else {
            for same in entries.chunk_by(|a, b| a.0 == b.0) {
                whole.chains.clear();
                whole.places.clear();
                let (class, tag, _) = same[0];
                self.with_value(events, held, values, Own { steps: 1 << step, class, tag }, 0, &mut whole);
                take(&whole, step, chains, |meets| meets.then_some(Some(tag)));
            }
        }
        (self.apart.entries, self.apart.whole) = (entries, whole);
    }

    /// Appends the chains of one value, of a user's events from the position `from` on.
    fn with_value(
        &mut self,
        events: &[Event],
        held: Option<&[u32]>,
        values: &dyn Values,
        Own { steps, class, tag }: Own,
        from: usize,
        chains: &mut Chains,
    ) {
        let mut own = std::mem::take(&mut self.apart.events);
        own.clear();
        own.extend(events.iter().map(|e| match e.mask & steps != 0 && values.class(e.tag) != class {
            true => Event { mask: e.mask & !steps, ..*e },
            false => *e,
        }));
        let (chains_before, places_before) = (chains.chains.len(), chains.places.len());
        self.whole(&own, held, chains);
        chains.chains[chains_before..].iter_mut().for_each(|chain| chain.value = Some(tag));
        chains.places[places_before..].iter_mut().for_each(|place| place.at += from as u32);
        self.apart.events = own;
    }
}

/// The first `most` positions of the entries and the rest together, and those tied with the last.
fn merge(entries: &[(u32, u32, u32)], rest: &[u32], most: usize, time: impl Fn(u32) -> i64, positions: &mut Vec<u32>) {
    positions.clear();
    let (mut entries, mut rest) = (entries.iter().map(|(.., at)| *at).peekable(), rest.iter().copied().peekable());
    loop {
        let next = match (entries.peek(), rest.peek()) {
            (Some(a), Some(b)) => *a.min(b),
            (Some(only), None) | (None, Some(only)) => *only,
            (None, None) => return,
        };
        if positions.len() >= most && positions.last().is_some_and(|last| time(*last) < time(next)) {
            return;
        }
        entries.next_if_eq(&next);
        rest.next_if_eq(&next);
        positions.push(next);
    }
}

/// Appends those chains that `value` keeps, told whether they meet a step, with the value that it gives them.
fn take(from: &Chains, step: usize, to: &mut Chains, value: impl Fn(bool) -> Option<Option<u32>>) {
    let mut begin = 0;
    for chain in &from.chains {
        let places = &from.places[begin..chain.end];
        begin = chain.end;
        if let Some(value) = value(places.iter().any(|place| place.step as usize == step)) {
            to.places.extend_from_slice(places);
            to.chains.push(Chain { value, end: to.places.len(), ..*chain });
        }
    }
}
