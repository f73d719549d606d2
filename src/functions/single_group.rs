//! A row accumulator that is a grouped one with a single group, so that the two can never disagree.

use std::fmt;
use std::sync::{Mutex, PoisonError};

use arrow::array::{ArrayRef, BooleanArray, new_empty_array};
use arrow::datatypes::FieldRef;
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::{Accumulator, EmitTo, GroupsAccumulator};

/// Runs a [`GroupsAccumulator`] over one group: for queries without GROUP BY and for windows.
pub struct SingleGroup {
    /// A grouped accumulator need not be `Sync`, a row accumulator must be; no two threads share one, so the lock never waits.
    groups: Mutex<Box<dyn GroupsAccumulator>>,
    /// A batch of no rows: it makes the group exist where no row ever came.
    nothing: Vec<ArrayRef>,
    zeros: Vec<usize>,
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
        Self { groups: Mutex::new(groups), nothing, zeros: Vec::new() }
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

    fn let_group_exist(&mut self) -> Result<()> {
        let nothing = std::mem::take(&mut self.nothing);
        let done = self.groups().update_batch(&nothing, &[], None, 1);
        self.nothing = nothing;
        done
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
        let rows = self.grow_zeros(values);
        let groups = self.groups.get_mut().unwrap_or_else(PoisonError::into_inner);
        groups.update_batch(values, &self.zeros[..rows], None, 1)
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
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
        ScalarValue::try_from_array(&self.groups().evaluate(EmitTo::All)?, 0)
    }

    fn size(&self) -> usize {
        let held = self.groups.lock().unwrap_or_else(PoisonError::into_inner).size();
        size_of_val(self) + held + self.zeros.capacity() * size_of::<usize>()
    }
}
