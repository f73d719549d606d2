//! The grouped state of every question about one user's sequence of events: a log of the events that take part.
//!
//! Deals with: logging, partial states, merging, handing each user's events to the question in order, memory.
//! Does not deal with: what the question asks ([`Question`]) or what its arguments are.
//!
//! Memory: 16 bytes an event (24 with more than 32 conditions or kept values) and 4 for reading it back, 24 more for those of
//! the one user that is being answered; events that
//! satisfy no condition cost nothing where the question does not ask for them. Partial states are the same events as lists:
//! exact, whatever their order or how they are split. A user's events share few kept values, and each
//! one read from a state must be hashed, so a distinct value travels once for each user.

mod entry;
mod groups;
mod state;

use std::ops::Range;
use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::datatypes::{DataType, Field, FieldRef, Fields};
use datafusion::error::Result;
use datafusion::logical_expr::GroupsAccumulator;

use self::entry::{Narrow, Wide};
use self::groups::EventGroups;
use self::state::mask_type;
use super::kept_values::{KeptValues, kept_fields};
use crate::algo::event::Event;

/// What an aggregate makes of one user's events: the events go in user by user, a column comes out.
pub trait Question: Send {
    /// How the events of a user must be sorted.
    fn order(&self) -> EventOrder;
    /// Answers for the next user, whose events (perhaps none) are sorted as asked, by appending to what
    /// [`Question::finish`] gives. An event's `tag` is the number of its kept value, 0 where nothing is kept.
    fn answer(&mut self, events: &[Event], kept: Option<&KeptValues>) -> Result<()>;
    /// The answers since the last call, one row a user.
    fn finish(&mut self, kept: Option<&KeptValues>) -> Result<ArrayRef>;
    /// Kept values get new numbers: what was remembered by the old ones must go.
    fn forget_numbers(&mut self) -> Result<()> {
        Ok(())
    }
    /// Bytes of the answer for each event at the most, where answers grow with events.
    fn bytes_an_event(&self) -> usize {
        0
    }
}

/// The order of a user's events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventOrder {
    /// By time; ties as they come, for questions that treat them as unordered.
    Time,
    /// By time, then by the kept value (NULL first), then by conditions: nothing of arrival is left.
    TimeAndValue,
}

/// Where the arguments of an aggregate over events stand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventArguments {
    /// Position of the time column.
    pub time: usize,
    /// Positions of the conditions, at most 64.
    pub conditions: Range<usize>,
    /// Position of what is kept with each event: a STRUCT of values, or one value, which is then the only field of one.
    pub kept: Option<usize>,
    /// Whether events that satisfy no condition take part too.
    pub every_event: bool,
}

impl EventArguments {
    /// Fields of what is kept.
    pub fn kept_fields(&self, types: &[DataType]) -> Option<Fields> {
        self.kept.map(|at| match &types[at] {
            DataType::Struct(fields) => fields.clone(),
            other => Fields::from(vec![Field::new("value", other.clone(), true)]),
        })
    }

    /// The fields of a partial state: times and masks, one list element an event. Where values are kept: which of the
    /// group's distinct values each event has, and these values.
    pub fn state_fields(&self, name: &str, types: &[DataType]) -> Vec<FieldRef> {
        let list = |part: &str, item: DataType| {
            Arc::new(Field::new(format!("{name}[{part}]"), DataType::new_list(item, true), false))
        };
        let mut fields = vec![list("times", DataType::Int64), list("masks", mask_type(self.conditions.len()))];
        if let Some(kept) = self.kept_fields(types) {
            fields.push(list("places", DataType::UInt32));
            fields.push(list("kept", DataType::Struct(kept_fields(&kept))));
        }
        fields
    }
}

/// Whether a partial state of these fields is a log of events, as long as what was aggregated.
pub fn is_log(state: &[FieldRef]) -> bool {
    state.first().is_some_and(|f| f.name().ends_with("[times]"))
}

/// A grouped accumulator with the smallest entries that hold the query. `name` is the function's, for messages.
pub fn event_groups(
    name: &'static str,
    arguments: EventArguments,
    types: &[DataType],
    question: Box<dyn Question>,
) -> Result<Box<dyn GroupsAccumulator>> {
    groups_of(name, arguments, types, question, false)
}

/// The same where a row takes no part if any of its conditions is NULL.
pub fn known_event_groups(
    name: &'static str,
    arguments: EventArguments,
    types: &[DataType],
    question: Box<dyn Question>,
) -> Result<Box<dyn GroupsAccumulator>> {
    groups_of(name, arguments, types, question, true)
}

fn groups_of(
    name: &'static str,
    arguments: EventArguments,
    types: &[DataType],
    question: Box<dyn Question>,
    known: bool,
) -> Result<Box<dyn GroupsAccumulator>> {
    let kept = arguments.kept_fields(types).as_ref().map(KeptValues::new).transpose()?;
    if kept.is_none() && arguments.conditions.len() <= 32 {
        return Ok(Box::new(EventGroups::<Narrow>::new(name, arguments, known, kept, question)));
    }
    Ok(Box::new(EventGroups::<Wide>::new(name, arguments, known, kept, question)))
}
