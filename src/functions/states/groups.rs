//! The grouped state of aggregates whose answer is a state that lasts: bytes in, bytes out, so that a partial state of a query and
//! a stored one are the same thing.
//!
//! Deals with: a state for each group, the aggregates that merge, giving groups out in part, memory. Does not deal with: what the bytes are
//! ([`Fold`]).

use std::fmt;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BinaryBuilder, BooleanArray};
use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::error::Result;
use datafusion::logical_expr::function::AccumulatorArgs;
use datafusion::logical_expr::{AggregateUDF, EmitTo, GroupsAccumulator};

use super::arguments::coerce_state;
use crate::error::Error;
use crate::functions::columns::passes;
use crate::functions::grouped::{GroupedFunction, aggregate};
use crate::functions::single_group::states_of_rows;

/// What is known of a group.
pub trait Held: Send + 'static {
    /// Bytes held outside of itself.
    fn bytes(&self) -> usize;
}

/// One kind of state: how rows and states go into a group, and how it becomes bytes.
pub trait Fold: Send + Sized + 'static {
    /// What is known of a group.
    type State: Held;

    /// The aggregate's name, for messages.
    fn name(&self) -> &'static str;
    /// The same kind without anything that came.
    fn twin(&self) -> Self;
    /// A group of which nothing has come.
    fn fresh(&self) -> Self::State;
    /// Takes rows in. Not asked of aggregates that merge.
    fn update(
        &mut self,
        groups: &mut Groups<Self>,
        values: &[ArrayRef],
        group_indices: &[usize],
        filter: Option<&BooleanArray>,
    ) -> Result<()>;
    /// Takes a state in.
    fn merge(&mut self, state: &mut Self::State, bytes: &[u8]) -> Result<()>;
    /// The bytes of a group.
    fn write(&mut self, state: Self::State) -> Result<Vec<u8>>;
    /// Groups were given out, and these are left.
    fn gave_out(&mut self, _left: &mut [Option<Self::State>]) -> Result<()> {
        Ok(())
    }
    /// Bytes held beside the groups.
    fn bytes(&self) -> usize {
        0
    }
}

/// What is known of each group.
pub struct Groups<F: Fold> {
    all: Vec<Option<F::State>>,
    held: usize,
}

impl<F: Fold> Groups<F> {
    /// Changes what is known of a group; `fresh` makes what is known of one without anything.
    #[inline]
    pub fn change<R>(
        &mut self,
        group: usize,
        fresh: impl FnOnce() -> F::State,
        change: impl FnOnce(&mut F::State) -> R,
    ) -> R {
        let state = &mut self.all[group];
        let before = state.as_ref().map_or(0, Held::bytes);
        let state = state.get_or_insert_with(fresh);
        let done = change(state);
        self.held = self.held + state.bytes() - before;
        done
    }
}

/// The accumulator.
pub struct StateGroups<F: Fold> {
    fold: F,
    groups: Groups<F>,
    /// Whether its rows are states, and a group without any answers NULL.
    merges: bool,
}

impl<F: Fold> StateGroups<F> {
    /// No group yet. `merges`: rows are states.
    pub fn new(fold: F, merges: bool) -> Self {
        Self { fold, groups: Groups { all: Vec::new(), held: 0 }, merges }
    }

    fn grow(&mut self, groups: usize) {
        if groups > self.groups.all.len() {
            self.groups.all.resize_with(groups, || None);
        }
    }

    fn take_in(&mut self, states: &ArrayRef, group_indices: &[usize], filter: Option<&BooleanArray>) -> Result<()> {
        let states = states.as_binary::<i32>();
        let Self { fold, groups, .. } = self;
        for (row, group) in group_indices.iter().enumerate() {
            if states.is_valid(row) && passes(filter, row) {
                let fresh = fold.fresh();
                groups.change(*group, || fresh, |state| fold.merge(state, states.value(row)))?;
            }
        }
        Ok(())
    }

    fn give_out(&mut self, emit_to: EmitTo, answers: bool) -> Result<ArrayRef> {
        let taken = emit_to.take_needed(&mut self.groups.all);
        self.groups.held -= taken.iter().flatten().map(Held::bytes).sum::<usize>();
        let mut column = BinaryBuilder::with_capacity(taken.len(), 0);
        for state in taken {
            let state = match state {
                None if answers && !self.merges => Some(self.fold.fresh()),
                state => state,
            };
            let bytes = state.map(|state| self.fold.write(state)).transpose()?;
            append(&mut column, self.fold.name(), bytes.as_deref())?;
        }
        self.fold.gave_out(&mut self.groups.all)?;
        Ok(Arc::new(column.finish()))
    }
}

/// Appends a state, or an error where a column of states cannot hold it.
pub fn append(column: &mut BinaryBuilder, name: &str, bytes: Option<&[u8]>) -> Result<()> {
    let Some(bytes) = bytes else {
        column.append_null();
        return Ok(());
    };
    if column.values_slice().len() + bytes.len() > i32::MAX as usize {
        return Err(Error::resources(format!(
            "{name}: states of more than 2 GiB in one batch; use more groups, or a smaller datafusion.execution.batch_size"
        ))
        .into());
    }
    column.append_value(bytes);
    Ok(())
}

/// The aggregate of this name that merges the states which `of` makes; `fold` is one of nothing.
pub fn merging<F: Fold>(name: &'static str, of: &'static str, fold: fn() -> F) -> AggregateUDF {
    aggregate(Merging { name, of, fold })
}

struct Merging<F> {
    name: &'static str,
    of: &'static str,
    fold: fn() -> F,
}

impl<F> Clone for Merging<F> {
    fn clone(&self) -> Self {
        Self { ..*self }
    }
}

impl<F> fmt::Debug for Merging<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Merging({})", self.name)
    }
}

impl<F> PartialEq for Merging<F> {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl<F> Eq for Merging<F> {}

impl<F: Fold> GroupedFunction for Merging<F> {
    fn name(&self) -> &'static str {
        self.name
    }

    fn coerce(&self, types: &[DataType]) -> Result<Vec<DataType>, Error> {
        match types {
            [state] => Ok(vec![coerce_state(self.name, 1, state, self.of)?]),
            _ => Err(Error::user(format!("{}: needs (state), got {} arguments", self.name, types.len()))),
        }
    }

    fn answer_type(&self, _types: &[DataType]) -> Result<DataType, Error> {
        Ok(DataType::Binary)
    }

    fn answer_is_nullable(&self) -> bool {
        true
    }

    fn groups(&self, _args: &AccumulatorArgs) -> Result<Box<dyn GroupsAccumulator>> {
        Ok(Box::new(StateGroups::new((self.fold)(), true)))
    }

    fn state_fields(&self, name: &str, _types: &[DataType]) -> Result<Vec<FieldRef>, Error> {
        Ok(state_field(name))
    }
}

/// The field of a partial state.
pub fn state_field(name: &str) -> Vec<FieldRef> {
    vec![Arc::new(Field::new(format!("{name}[state]"), DataType::Binary, true))]
}

impl<F: Fold> GroupsAccumulator for StateGroups<F> {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        opt_filter: Option<&BooleanArray>,
        total_num_groups: usize,
    ) -> Result<()> {
        self.grow(total_num_groups);
        if self.merges {
            return self.take_in(&values[0], group_indices, opt_filter);
        }
        self.fold.update(&mut self.groups, values, group_indices, opt_filter)
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        self.give_out(emit_to, true)
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        Ok(vec![self.give_out(emit_to, false)?])
    }

    fn merge_batch(&mut self, values: &[ArrayRef], group_indices: &[usize], total_num_groups: usize) -> Result<()> {
        self.grow(total_num_groups);
        self.take_in(&values[0], group_indices, None)
    }

    fn convert_to_state(&self, values: &[ArrayRef], opt_filter: Option<&BooleanArray>) -> Result<Vec<ArrayRef>> {
        states_of_rows(Self::new(self.fold.twin(), self.merges), values, opt_filter)
    }

    fn size(&self) -> usize {
        size_of_val(self)
            + self.groups.all.capacity() * size_of::<Option<F::State>>()
            + self.groups.held
            + self.fold.bytes()
    }
}
