//! `recurring_cells(periods, n, type [, brackets])`: the cohort of every period, and how many of it came back in each period since.
//!
//! Memory: 8 bytes for each cell of each cohort, and 56 for the cohort.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Date32Array, Int32Array, Int64Array, ListArray, StructArray,
};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{DataType, Date32Type, Field, FieldRef, Fields, Int32Type, Int64Type};
use datafusion::error::Result;
use datafusion::logical_expr::function::AccumulatorArgs;
use datafusion::logical_expr::{AggregateUDF, EmitTo, GroupsAccumulator};

use super::cells::{coerced, retained};
use super::user_recurring::time_of;
use crate::algo::retention::Retained;
use crate::error::Error;
use crate::functions::columns::{Times, list_of, passes, times_array};
use crate::functions::grouped::{GroupedFunction, aggregate, argument_types};
use crate::functions::single_group::states_of_rows;

const NAME: &str = "recurring_cells";

/// The function.
pub fn recurring_cells() -> AggregateUDF {
    aggregate(RecurringCells)
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct RecurringCells;

/// One cohort of the answer.
fn cohort_fields(time: &DataType) -> Fields {
    vec![
        Field::new("period", DataType::Int32, false),
        Field::new("cohort", DataType::Date32, false),
        Field::new("size", DataType::Int64, false),
        Field::new("latest", time.clone(), false),
        Field::new("cells", DataType::new_list(DataType::Int64, true), false),
    ]
    .into()
}

fn cohort_item(time: &DataType) -> FieldRef {
    Arc::new(Field::new_list_field(DataType::Struct(cohort_fields(time)), true))
}

impl GroupedFunction for RecurringCells {
    fn name(&self) -> &'static str {
        NAME
    }

    fn coerce(&self, types: &[DataType]) -> Result<Vec<DataType>, Error> {
        let periods = types.first().filter(|periods| time_of(periods).is_some());
        periods.and_then(|periods| coerced(periods.clone(), types)).ok_or_else(|| {
            let needs = "(periods as from user_recurring, number of periods, type [, brackets])";
            Error::user(format!("{NAME}: needs {needs}"))
        })
    }

    fn answer_type(&self, types: &[DataType]) -> Result<DataType, Error> {
        let time = types.first().and_then(time_of).unwrap_or(&DataType::Null);
        Ok(DataType::List(cohort_item(time)))
    }

    fn groups(&self, args: &AccumulatorArgs) -> Result<Box<dyn GroupsAccumulator>> {
        let types = argument_types(args);
        let (retained, cells) = retained(NAME, args.exprs, 1)?;
        let time = time_of(&types[0]).cloned().unwrap_or(DataType::Null);
        Ok(Box::new(Cohorts { time, retained, cells, groups: Vec::new(), held: 0, own: Vec::new() }))
    }

    fn state_fields(&self, name: &str, types: &[DataType]) -> Result<Vec<FieldRef>, Error> {
        Ok(vec![Arc::new(Field::new(format!("{name}[cohorts]"), self.answer_type(types)?, false))])
    }
}

/// Users of one cohort.
struct Cohort {
    date: i32,
    size: i64,
    latest: i64,
    cells: Box<[i64]>,
}

/// Bytes of an entry of the map, beside the cells: the map is at least half full.
const ENTRY: usize = 2 * (size_of::<Cohort>() + size_of::<i32>());

/// The cohort of a period that begins on this date, perhaps a new one.
fn cohort<'a>(
    cohorts: &'a mut BTreeMap<i32, Cohort>,
    (period, date): (i32, i32),
    cells: usize,
    held: &mut usize,
) -> &'a mut Cohort {
    cohorts.entry(period).or_insert_with(|| {
        *held += 1;
        Cohort { date, size: 0, latest: i64::MIN, cells: vec![0; cells].into() }
    })
}

struct Cohorts {
    time: DataType,
    retained: Retained,
    cells: usize,
    /// Of each group the cohorts, by the number of their period.
    groups: Vec<BTreeMap<i32, Cohort>>,
    /// Cohorts of all groups.
    held: usize,
    /// The periods in which one user came back.
    own: Vec<i64>,
}

impl Cohorts {
    fn grow(&mut self, groups: usize) {
        if groups > self.groups.len() {
            self.groups.resize_with(groups, BTreeMap::new);
        }
    }

    fn take(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        let taken = emit_to.take_needed(&mut self.groups);
        let count: usize = taken.iter().map(BTreeMap::len).sum();
        self.held -= count;
        let too_many = || Error::resources(format!("{NAME}: more than 2 billion cells in one answer"));
        i32::try_from(count.saturating_mul(self.cells)).map_err(|_| too_many())?;
        let offsets = OffsetBuffer::from_lengths(taken.iter().map(BTreeMap::len));
        let cohorts = || taken.iter().flatten();
        let cells: Vec<i64> = cohorts().flat_map(|(_, cohort)| cohort.cells.iter().copied()).collect();
        let ends = (0..=count).map(|n| (n * self.cells) as i32).collect();
        let columns: Vec<ArrayRef> = vec![
            Arc::new(Int32Array::from_iter_values(cohorts().map(|(period, _)| *period))),
            Arc::new(Date32Array::from_iter_values(cohorts().map(|(_, cohort)| cohort.date))),
            Arc::new(Int64Array::from_iter_values(cohorts().map(|(_, cohort)| cohort.size))),
            times_array(cohorts().map(|(_, cohort)| cohort.latest).collect(), None, &self.time)?,
            list_of(Arc::new(Int64Array::from(cells)), ends),
        ];
        let structs = StructArray::try_new(cohort_fields(&self.time), columns, None)?;
        Ok(Arc::new(ListArray::try_new(cohort_item(&self.time), offsets, Arc::new(structs), None)?))
    }
}

impl GroupsAccumulator for Cohorts {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        opt_filter: Option<&BooleanArray>,
        total_num_groups: usize,
    ) -> Result<()> {
        self.grow(total_num_groups);
        let lists = values[0].as_list::<i32>();
        let entries = lists.values().as_struct();
        let numbers = entries.column(0).as_primitive::<Int32Type>().values();
        let dates = entries.column(1).as_primitive::<Date32Type>().values();
        let births = Times::read(entries.column(2))?;
        let (returned, again) = (entries.column(3).as_boolean(), entries.column(4).as_boolean());
        let last = self.retained.last_period(self.cells);
        for (row, group) in group_indices.iter().enumerate() {
            if lists.is_null(row) || !passes(opt_filter, row) {
                continue;
            }
            let range = lists.value_offsets()[row] as usize..lists.value_offsets()[row + 1] as usize;
            let newest = range.clone().rev().find(|at| returned.value(*at));
            for at in range.clone().filter(|at| !births.is_null(*at)) {
                let since = |later: usize| i64::from(numbers[later]) - i64::from(numbers[at]);
                self.own.clear();
                self.own.extend(again.value(at).then_some(0));
                if self.retained == Retained::OnOrAfter {
                    self.own.extend(newest.filter(|newest| *newest > at).map(since));
                } else {
                    let later = (at + 1..range.end).take_while(|later| since(*later) <= last);
                    self.own.extend(later.filter(|later| returned.value(*later)).map(since));
                }
                let cohort = cohort(&mut self.groups[*group], (numbers[at], dates[at]), self.cells, &mut self.held);
                cohort.size += 1;
                cohort.latest = cohort.latest.max(births.values()[at]);
                self.retained.count(&self.own, &mut cohort.cells);
            }
        }
        Ok(())
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        self.take(emit_to)
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        Ok(vec![self.take(emit_to)?])
    }

    fn merge_batch(&mut self, values: &[ArrayRef], group_indices: &[usize], total_num_groups: usize) -> Result<()> {
        self.grow(total_num_groups);
        let lists = values[0].as_list::<i32>();
        let cohorts = lists.values().as_struct();
        let numbers = cohorts.column(0).as_primitive::<Int32Type>().values();
        let dates = cohorts.column(1).as_primitive::<Date32Type>().values();
        let sizes = cohorts.column(2).as_primitive::<Int64Type>().values();
        let latest = Times::read(cohorts.column(3))?;
        let cells = cohorts.column(4).as_list::<i32>();
        let counts = cells.values().as_primitive::<Int64Type>().values();
        for (row, group) in group_indices.iter().enumerate() {
            for at in lists.value_offsets()[row] as usize..lists.value_offsets()[row + 1] as usize {
                let cohort = cohort(&mut self.groups[*group], (numbers[at], dates[at]), self.cells, &mut self.held);
                cohort.size += sizes[at];
                cohort.latest = cohort.latest.max(latest.values()[at]);
                let from = cells.value_offsets()[at] as usize;
                cohort.cells.iter_mut().zip(&counts[from..]).for_each(|(sum, count)| *sum += count);
            }
        }
        Ok(())
    }

    fn convert_to_state(&self, values: &[ArrayRef], opt_filter: Option<&BooleanArray>) -> Result<Vec<ArrayRef>> {
        let (time, retained) = (self.time.clone(), self.retained.clone());
        let single = Self { time, retained, cells: self.cells, groups: Vec::new(), held: 0, own: Vec::new() };
        states_of_rows(single, values, opt_filter)
    }

    fn size(&self) -> usize {
        size_of_val(self)
            + self.groups.capacity() * size_of::<BTreeMap<i32, Cohort>>()
            + self.held * (ENTRY + self.cells * size_of::<i64>())
            + self.own.capacity() * size_of::<i64>()
    }
}
