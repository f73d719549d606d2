//! A row accumulator that is a grouped one with a single group, so that the two can never disagree.

use std::fmt;
use std::sync::{Mutex, PoisonError};

use arrow::array::{Array, ArrayRef, BooleanArray, new_empty_array};
use arrow::datatypes::FieldRef;
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::{Accumulator, EmitTo, GroupsAccumulator};

use crate::error::Error;

/// Runs a [`GroupsAccumulator`] over one group: for queries without GROUP BY and for windows.
pub struct SingleGroup {
    /// A grouped accumulator need not be `Sync`, a row accumulator must be; no two threads share one, so the lock never waits.
    groups: Mutex<Box<dyn GroupsAccumulator>>,
    /// A batch of no rows: it makes the group exist where no row ever came.
    nothing: Vec<ArrayRef>,
    zeros: Vec<usize>,
    /// The state as it was before an answer consumed it: a window that grows asks for an answer at every row.
    answered: Vec<ArrayRef>,
    answers: Answers,
}

/// How many answers are asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Answers {
    /// Any number, with more input between them.
    Many,
    /// One, so that the state need not be copied for another.
    One,
    /// One, which was given.
    Given,
}

impl fmt::Debug for SingleGroup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SingleGroup").finish_non_exhaustive()
    }
}

impl SingleGroup {
    /// Wraps a fresh grouped accumulator whose arguments have these fields.
    pub fn new(groups: Box<dyn GroupsAccumulator>, arguments: &[FieldRef]) -> Self {
        let nothing = arguments.iter().map(|f| new_empty_array(f.data_type())).collect();
        Self { groups: Mutex::new(groups), nothing, zeros: Vec::new(), answered: Vec::new(), answers: Answers::Many }
    }

    /// For a piece of a plan that is never used as a window: answers once, without a copy of the state.
    pub fn answering_once(self) -> Self {
        Self { answers: Answers::One, ..self }
    }

    fn groups(&mut self) -> &mut dyn GroupsAccumulator {
        self.groups.get_mut().unwrap_or_else(PoisonError::into_inner).as_mut()
    }

    fn grow_zeros(&mut self, batch: &[ArrayRef]) -> usize {
        let rows = batch.first().map_or(0, |v| v.len());
        if self.zeros.len() < rows {
            self.zeros.resize(rows, 0);
        }
        rows
    }

    /// Makes the group hold everything that came, and exist where nothing did.
    fn let_group_exist(&mut self) -> Result<()> {
        self.take_back()?;
        let nothing = std::mem::take(&mut self.nothing);
        let done = self.groups().update_batch(&nothing, &[], None, 1);
        self.nothing = nothing;
        done
    }

    fn take_back(&mut self) -> Result<()> {
        if self.answers == Answers::Given {
            return Err(Error::internal("an aggregate that answers once was asked again").into());
        }
        match std::mem::take(&mut self.answered) {
            state if state.is_empty() => Ok(()),
            state => self.groups().merge_batch(&state, &[0], 1),
        }
    }
}

/// Each row as the partial state of a group of its own: `convert_to_state` by way of a fresh accumulator.
pub fn states_of_rows(
    mut fresh: impl GroupsAccumulator,
    values: &[ArrayRef],
    filter: Option<&BooleanArray>,
) -> Result<Vec<ArrayRef>> {
    let groups: Vec<usize> = (0..values.first().map_or(0, |v| v.len())).collect();
    fresh.update_batch(values, &groups, filter, groups.len())?;
    fresh.state(EmitTo::All)
}

impl Accumulator for SingleGroup {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.take_back()?;
        let rows = self.grow_zeros(values);
        let groups = self.groups.get_mut().unwrap_or_else(PoisonError::into_inner);
        groups.update_batch(values, &self.zeros[..rows], None, 1)
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        self.take_back()?;
        let rows = self.grow_zeros(states);
        let groups = self.groups.get_mut().unwrap_or_else(PoisonError::into_inner);
        groups.merge_batch(states, &self.zeros[..rows], 1)
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        self.let_group_exist()?;
        self.groups().state(EmitTo::All)?.iter().map(|a| ScalarValue::try_from_array(a, 0)).collect()
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        self.let_group_exist()?;
        if self.answers == Answers::One {
            self.answers = Answers::Given;
            return ScalarValue::try_from_array(&self.groups().evaluate(EmitTo::All)?, 0);
        }
        // The grouped answer consumes the state, and this one must not.
        let state = self.groups().state(EmitTo::All)?;
        self.groups().merge_batch(&state, &[0], 1)?;
        let answer = self.groups().evaluate(EmitTo::All)?;
        self.answered = state;
        ScalarValue::try_from_array(&answer, 0)
    }

    fn size(&self) -> usize {
        let held = self.groups.lock().unwrap_or_else(PoisonError::into_inner).size();
        let answered: usize = self.answered.iter().map(|array| array.get_array_memory_size()).sum();
        size_of_val(self) + held + answered + self.zeros.capacity() * size_of::<usize>()
    }
}
