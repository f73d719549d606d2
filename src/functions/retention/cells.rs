//! `retention_cells(periods, n, type)`: how many groups came back in each period, 0 to n.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Int64Array, ListArray};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{DataType, Field, FieldRef, Int64Type};
use datafusion::error::Result;
use datafusion::logical_expr::function::AccumulatorArgs;
use datafusion::logical_expr::{AggregateUDF, EmitTo, GroupsAccumulator};

use crate::error::{Error, suggest};
use crate::functions::columns::{literal_integer, literal_text, passes};
use crate::functions::grouped::{GroupedFunction, aggregate};
use crate::functions::single_group::states_of_rows;

const NAME: &str = "retention_cells";

/// What counts as retained in period n.
pub const TYPES: [&str; 2] = ["on", "on_or_after"];
/// The most periods a table may have: beyond it a mistake is likelier than a wish.
pub const MAX_PERIODS: i64 = 10_000;

/// The function.
pub fn retention_cells() -> AggregateUDF {
    aggregate(RetentionCells)
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct RetentionCells;

impl GroupedFunction for RetentionCells {
    fn name(&self) -> &'static str {
        NAME
    }

    fn coerce(&self, types: &[DataType]) -> Result<Vec<DataType>, Error> {
        match types {
            [DataType::List(item), _, _] if item.data_type().is_integer() => {
                Ok(vec![DataType::new_list(DataType::Int64, true), DataType::Int64, DataType::Utf8])
            }
            _ => Err(Error::user(format!("{NAME}: needs (list of periods, number of periods, type)"))),
        }
    }

    fn answer_type(&self, _types: &[DataType]) -> Result<DataType, Error> {
        Ok(DataType::new_list(DataType::Int64, true))
    }

    fn groups(&self, args: &AccumulatorArgs) -> Result<Box<dyn GroupsAccumulator>> {
        let periods = literal_integer(NAME, "the number of periods", args.exprs, 1)?;
        if !(0..=MAX_PERIODS).contains(&periods) {
            return Err(Error::user(format!("{NAME}: {periods} periods; 0 to {MAX_PERIODS} are allowed")).into());
        }
        let kind = literal_text(NAME, "the type", args.exprs, 2)?;
        if !TYPES.contains(&kind.as_str()) {
            return Err(Error::user(format!("{NAME}: unknown type '{kind}'; {}", suggest(&kind, TYPES))).into());
        }
        Ok(Box::new(CellGroups { cells: periods as usize + 1, or_after: kind == "on_or_after", counts: Vec::new() }))
    }

    fn state_fields(&self, name: &str, _types: &[DataType]) -> Result<Vec<FieldRef>, Error> {
        Ok(vec![Arc::new(Field::new(format!("{name}[counts]"), DataType::new_list(DataType::Int64, true), false))])
    }
}

struct CellGroups {
    cells: usize,
    or_after: bool,
    /// `counts[group * cells + period]`.
    counts: Vec<i64>,
}

impl CellGroups {
    fn take(&mut self, emit_to: EmitTo) -> ArrayRef {
        let groups = match emit_to {
            EmitTo::All => self.counts.len() / self.cells,
            EmitTo::First(n) => n,
        };
        let rest = self.counts.split_off(groups * self.cells);
        let counts = Int64Array::from(std::mem::replace(&mut self.counts, rest));
        let offsets = OffsetBuffer::from_repeated_length(self.cells, groups);
        Arc::new(ListArray::new(
            Arc::new(Field::new_list_field(DataType::Int64, true)),
            offsets,
            Arc::new(counts),
            None,
        ))
    }
}

impl GroupsAccumulator for CellGroups {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        opt_filter: Option<&BooleanArray>,
        total_num_groups: usize,
    ) -> Result<()> {
        self.counts.resize(total_num_groups * self.cells, 0);
        let lists = values[0].as_list::<i32>();
        let elements = lists.values().as_primitive::<Int64Type>();
        for (row, group) in group_indices.iter().enumerate() {
            if lists.is_null(row) || !passes(opt_filter, row) {
                continue;
            }
            let counts = &mut self.counts[group * self.cells..(group + 1) * self.cells];
            let came = lists.value_offsets()[row] as usize..lists.value_offsets()[row + 1] as usize;
            let valid =
                came.filter(|at| elements.is_valid(*at)).filter_map(|at| usize::try_from(elements.value(at)).ok());
            if self.or_after {
                if let Some(last) = valid.max() {
                    counts.iter_mut().take(last.saturating_add(1)).for_each(|c| *c += 1);
                }
            } else {
                valid.filter(|p| *p < self.cells).for_each(|p| counts[p] += 1);
            }
        }
        Ok(())
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        Ok(self.take(emit_to))
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        Ok(vec![self.take(emit_to)])
    }

    fn merge_batch(&mut self, values: &[ArrayRef], group_indices: &[usize], total_num_groups: usize) -> Result<()> {
        self.counts.resize(total_num_groups * self.cells, 0);
        let lists = values[0].as_list::<i32>();
        let counts = lists.values().as_primitive::<Int64Type>().values();
        for (row, group) in group_indices.iter().enumerate() {
            let from = lists.value_offsets()[row] as usize;
            for cell in 0..self.cells {
                self.counts[group * self.cells + cell] += counts[from + cell];
            }
        }
        Ok(())
    }

    fn convert_to_state(&self, values: &[ArrayRef], opt_filter: Option<&BooleanArray>) -> Result<Vec<ArrayRef>> {
        let single = CellGroups { cells: self.cells, or_after: self.or_after, counts: Vec::new() };
        states_of_rows(single, values, opt_filter)
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.counts.capacity() * size_of::<i64>()
    }
}
