//! `users_merge(state) OVER (ORDER BY day RANGE ..)`: the users of a window that slides over stored days.
//!
//! Each state goes in and comes out once. A set cannot forget a state, since another one may hold the same users; so the states of a
//! window are two stacks, of which every entry is known together with all that came after it, or before it:
//!
//! ```text
//! oldest ── leaving: each with those after it ──┬── arrived: one union of all ── newest
//!                 the answer is the union of the top of one and of the other
//! ```
//!
//! Where the one on the left is empty, those that arrived are turned over to it. That makes three unions a state, however long the
//! window is. Does not deal with: sets that only grow (`users`).
//!
//! Memory: a set for each state of the window at the most.

use arrow::array::{Array, ArrayRef, AsArray};
use datafusion::common::ScalarValue;
use datafusion::error::Result;
use datafusion::logical_expr::Accumulator;
use roaring::RoaringTreemap;

use super::arguments::refused;
use super::users::treemap_bytes;
use crate::algo::states::users::{Algebra, Users};
use crate::error::Error;

/// A set on its own.
#[derive(Debug, Clone)]
enum Set {
    Nobody,
    Ids(RoaringTreemap),
    /// As it is stored: texts are merged in order, which asks for no other form.
    Texts(Vec<u8>),
}

impl Set {
    fn read(name: &str, state: &[u8]) -> Result<Self, Error> {
        Ok(match Users::read(state).map_err(|fault| refused(name, &fault))? {
            Users::Nobody => Self::Nobody,
            Users::Ids(ids) => Self::Ids(ids),
            Users::Texts(_) => Self::Texts(state.to_vec()),
        })
    }

    fn add(&mut self, name: &str, other: &Self) -> Result<(), Error> {
        match (&mut *self, other) {
            (_, Self::Nobody) => {}
            (Self::Nobody, other) => *self = other.clone(),
            (Self::Ids(ids), Self::Ids(more)) => *ids |= more,
            (Self::Texts(texts), Self::Texts(more)) => {
                let read = |state| Users::read(state).map_err(|fault| refused(name, &fault));
                let both = read(texts)?.with(read(more)?, Algebra::Or);
                let both = both.map_err(|_| Error::internal(format!("{name}: texts of two kinds")))?.write();
                *texts = both;
            }
            _ => return Err(super::users::mixed(name)),
        }
        Ok(())
    }

    fn write(self) -> Vec<u8> {
        match self {
            Self::Nobody => Users::Nobody.write(),
            Self::Ids(ids) => Users::Ids(ids).write(),
            Self::Texts(state) => state,
        }
    }

    fn bytes(&self) -> usize {
        match self {
            Self::Nobody => 0,
            Self::Ids(ids) => treemap_bytes(ids),
            Self::Texts(state) => state.capacity(),
        }
    }
}

/// A set and the bytes that it holds.
#[derive(Debug)]
struct Held {
    set: Set,
    bytes: usize,
}

impl Held {
    fn new(set: Set) -> Self {
        let bytes = set.bytes();
        Self { set, bytes }
    }
}

/// The accumulator.
#[derive(Debug)]
pub struct Window {
    name: &'static str,
    /// Those that leave next at the end, each together with those before it here; none of a NULL with none.
    leaving: Vec<Option<Held>>,
    /// Those that came since, and NULLs.
    arrived: Vec<Option<Held>>,
    /// All that arrived together.
    union: Option<Set>,
}

impl Window {
    /// Without a state.
    pub fn new(name: &'static str) -> Self {
        Self { name, leaving: Vec::new(), arrived: Vec::new(), union: None }
    }

    fn arrive(&mut self, state: Option<&[u8]>) -> Result<(), Error> {
        let set = state.map(|state| Set::read(self.name, state)).transpose()?;
        if let Some(set) = &set {
            self.union.get_or_insert(Set::Nobody).add(self.name, set)?;
        }
        self.arrived.push(set.map(Held::new));
        Ok(())
    }

    fn leave(&mut self) -> Result<(), Error> {
        if self.leaving.is_empty() {
            let mut after: Option<Set> = None;
            for held in std::mem::take(&mut self.arrived).into_iter().rev() {
                if let Some(Held { mut set, .. }) = held {
                    if let Some(after) = &after {
                        set.add(self.name, after)?;
                    }
                    after = Some(set);
                }
                self.leaving.push(after.clone().map(Held::new));
            }
            self.union = None;
        }
        match self.leaving.pop() {
            Some(_) => Ok(()),
            None => Err(Error::internal(format!("{}: a state left that had not come", self.name))),
        }
    }
}

impl Accumulator for Window {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let states = values[0].as_binary::<i32>();
        Ok(states.iter().try_for_each(|state| self.arrive(state))?)
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        Ok((0..values[0].len()).try_for_each(|_| self.leave())?)
    }

    fn supports_retract_batch(&self) -> bool {
        true
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        let left = self.leaving.last().and_then(Option::as_ref).map(|held| &held.set);
        let both = match (left, &self.union) {
            (Some(left), Some(union)) => {
                let mut both = union.clone();
                both.add(self.name, left)?;
                Some(both)
            }
            (one, other) => one.or(other.as_ref()).cloned(),
        };
        Ok(ScalarValue::Binary(both.map(Set::write)))
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        Ok(vec![self.evaluate()?])
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        self.update_batch(states)
    }

    fn size(&self) -> usize {
        let held = |sets: &[Option<Held>]| sets.iter().flatten().map(|held| held.bytes).sum::<usize>();
        let entries = self.leaving.capacity() + self.arrived.capacity();
        size_of_val(self)
            + entries * size_of::<Option<Held>>()
            + held(&self.leaving)
            + held(&self.arrived)
            + self.union.as_ref().map_or(0, Set::bytes)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::sync::Arc;

    use arrow::array::BinaryArray;

    use super::*;

    fn column(state: Option<&Vec<u8>>) -> Vec<ArrayRef> {
        vec![Arc::new(BinaryArray::from_iter([state]))]
    }

    /// Windows of every length over days with and without states, ids and texts, against sets put together anew.
    #[test]
    fn a_window_has_the_users_of_its_days() {
        let sets: Vec<Option<BTreeSet<u64>>> = (0..40u64)
            .map(|day| (day % 7 != 3).then(|| (0..day * 5 % 23).map(|n| n * n * 31 % 97).collect()))
            .collect();
        let texts = |set: &BTreeSet<u64>| -> BTreeSet<String> { set.iter().map(|n| format!("u{n}")).collect() };
        let of_texts = |set: &BTreeSet<String>| Users::Texts(set.iter().map(String::as_str).collect()).write();
        for by_text in [false, true] {
            let write = |set: &BTreeSet<u64>| match by_text {
                true => of_texts(&texts(set)),
                false => Users::Ids(set.iter().copied().collect()).write(),
            };
            let states: Vec<Option<Vec<u8>>> = sets.iter().map(|set| set.as_ref().map(write)).collect();
            for length in [1, 2, 5, 30] {
                let mut window = Window::new("users_merge");
                for day in 0..states.len() {
                    window.update_batch(&column(states[day].as_ref())).unwrap();
                    if day >= length {
                        window.retract_batch(&column(states[day - length].as_ref())).unwrap();
                    }
                    let days = &sets[(day + 1).saturating_sub(length)..=day];
                    let wanted = days.iter().flatten().fold(None, |all: Option<BTreeSet<u64>>, set| {
                        Some(all.unwrap_or_default().union(set).copied().collect())
                    });
                    let got = window.evaluate().unwrap();
                    assert_eq!(got, ScalarValue::Binary(wanted.as_ref().map(write)), "{by_text} {length} {day}");
                }
            }
        }
    }
}
