//! `retention(c1, c2, ..)`: which conditions a group met, given that it met the first.
//!
//! ClickHouse's function of the same name: element 1 is whether any row satisfies c1; element i is whether some row
//! satisfies c1 and some row satisfies ci. State: one 64-bit mask a group.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, BooleanArray, BooleanBufferBuilder, ListArray, UInt64Array};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{DataType, Field, FieldRef, UInt64Type};
use datafusion::error::Result;
use datafusion::logical_expr::function::AccumulatorArgs;
use datafusion::logical_expr::{AggregateUDF, EmitTo, GroupsAccumulator};

use crate::error::Error;
use crate::functions::columns::{check_step_count, coerce_condition, masks_at_any_time};
use crate::functions::grouped::{GroupedFunction, aggregate};
use crate::functions::single_group::states_of_rows;

const NAME: &str = "retention";

/// The function.
pub fn retention() -> AggregateUDF {
    aggregate(Retention)
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Retention;

impl GroupedFunction for Retention {
    fn name(&self) -> &'static str {
        NAME
    }

    fn coerce(&self, types: &[DataType]) -> Result<Vec<DataType>, Error> {
        check_step_count(NAME, types.len())?;
        types.iter().enumerate().map(|(at, t)| coerce_condition(NAME, at + 1, t)).collect()
    }

    fn answer_type(&self, _types: &[DataType]) -> Result<DataType, Error> {
        Ok(DataType::new_list(DataType::Boolean, true))
    }

    fn groups(&self, args: &AccumulatorArgs) -> Result<Box<dyn GroupsAccumulator>> {
        Ok(Box::new(Masks { conditions: args.expr_fields.len(), met: Vec::new(), row_masks: Vec::new() }))
    }

    fn state_fields(&self, name: &str, _types: &[DataType]) -> Result<Vec<FieldRef>, Error> {
        Ok(vec![Arc::new(Field::new(format!("{name}[met]"), DataType::UInt64, false))])
    }
}

struct Masks {
    conditions: usize,
    met: Vec<u64>,
    /// Of the rows of the current batch.
    row_masks: Vec<u64>,
}

impl GroupsAccumulator for Masks {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        opt_filter: Option<&BooleanArray>,
        total_num_groups: usize,
    ) -> Result<()> {
        self.met.resize(total_num_groups, 0);
        masks_at_any_time(values, group_indices.len(), opt_filter, &mut self.row_masks);
        for (mask, group) in self.row_masks.iter().zip(group_indices) {
            // Rows that satisfy nothing are the most, and need not touch their group.
            if *mask != 0 {
                self.met[*group] |= mask;
            }
        }
        Ok(())
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        let met = emit_to.take_needed(&mut self.met);
        let mut bits = BooleanBufferBuilder::new(met.len() * self.conditions);
        for mask in &met {
            let born = mask & 1 != 0;
            (0..self.conditions).for_each(|c| bits.append(born && mask >> c & 1 != 0));
        }
        let values = Arc::new(BooleanArray::new(bits.finish(), None));
        let offsets = OffsetBuffer::from_repeated_length(self.conditions, met.len());
        Ok(Arc::new(ListArray::new(Arc::new(Field::new_list_field(DataType::Boolean, true)), offsets, values, None)))
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        Ok(vec![Arc::new(UInt64Array::from(emit_to.take_needed(&mut self.met)))])
    }

    fn merge_batch(&mut self, values: &[ArrayRef], group_indices: &[usize], total_num_groups: usize) -> Result<()> {
        self.met.resize(total_num_groups, 0);
        for (mask, group) in values[0].as_primitive::<UInt64Type>().values().iter().zip(group_indices) {
            self.met[*group] |= mask;
        }
        Ok(())
    }

    fn convert_to_state(&self, values: &[ArrayRef], opt_filter: Option<&BooleanArray>) -> Result<Vec<ArrayRef>> {
        let single = Masks { conditions: self.conditions, met: Vec::new(), row_masks: Vec::new() };
        states_of_rows(single, values, opt_filter)
    }

    fn size(&self) -> usize {
        size_of_val(self) + (self.met.capacity() + self.row_masks.capacity()) * size_of::<u64>()
    }
}
