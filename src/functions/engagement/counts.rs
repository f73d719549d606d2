//! `engagement_counts(days, week, month)`: how many groups were active on each day, and in the days before it.
//!
//! Memory: 24 bytes for each day between a group's first and last, of which there are at most 10,000, and those of the longer
//! stretch after it.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Int32Array, Int64Array, ListArray, StructArray};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::datatypes::{DataType, Field, FieldRef, Fields, Int32Type, Int64Type};
use datafusion::error::Result;
use datafusion::logical_expr::function::AccumulatorArgs;
use datafusion::logical_expr::{AggregateUDF, EmitTo, GroupsAccumulator};

use crate::algo::engagement::{Change, Counts, MAX_DAYS, Trailing};
use crate::algo::lifecycle::TooLong;
use crate::error::Error;
use crate::functions::columns::{list_of, literal_integer, passes};
use crate::functions::grouped::{GroupedFunction, aggregate};
use crate::functions::period::dates::too_long;
use crate::functions::single_group::states_of_rows;

const NAME: &str = "engagement_counts";

/// The function.
pub fn engagement_counts() -> AggregateUDF {
    aggregate(EngagementCounts)
}

/// The counts of one day.
const COUNTS: [&str; 4] = ["dau", "wau", "mau", "month_days"];

fn day_fields() -> Fields {
    let count = |name: &&str| Field::new(*name, DataType::Int64, false);
    std::iter::once(Field::new("period", DataType::Int32, false)).chain(COUNTS.iter().map(count)).collect()
}

fn day_item() -> FieldRef {
    Arc::new(Field::new_list_field(DataType::Struct(day_fields()), true))
}

fn answer_fields() -> Fields {
    vec![
        Field::new("first", DataType::Int32, true),
        Field::new("last", DataType::Int32, true),
        Field::new("days", DataType::List(day_item()), false),
    ]
    .into()
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct EngagementCounts;

impl GroupedFunction for EngagementCounts {
    fn name(&self) -> &'static str {
        NAME
    }

    fn coerce(&self, types: &[DataType]) -> Result<Vec<DataType>, Error> {
        match types {
            [DataType::List(item), _, _] if item.data_type().is_integer() => {
                Ok(vec![DataType::new_list(DataType::Int32, true), DataType::Int64, DataType::Int64])
            }
            _ => Err(Error::user(format!("{NAME}: needs (list of active days, days of a week, days of a month)"))),
        }
    }

    fn answer_type(&self, _types: &[DataType]) -> Result<DataType, Error> {
        Ok(DataType::Struct(answer_fields()))
    }

    fn groups(&self, args: &AccumulatorArgs) -> Result<Box<dyn GroupsAccumulator>> {
        let days = |what, at| {
            let days = literal_integer(NAME, what, args.exprs, at)?;
            match (1..=MAX_DAYS).contains(&days) {
                true => Ok(days),
                false => Err(Error::user(format!("{NAME}: {what} must be 1 to {MAX_DAYS}, got {days}"))),
            }
        };
        let nobody = Trailing::new(days("days of a week", 1)?, days("days of a month", 2)?);
        Ok(Box::new(CountGroups { nobody, groups: Vec::new(), held: 0 }))
    }

    fn state_fields(&self, name: &str, _types: &[DataType]) -> Result<Vec<FieldRef>, Error> {
        let field = |part: &str, data_type| Arc::new(Field::new(format!("{name}[{part}]"), data_type, false));
        Ok(vec![field("first", DataType::Int64), field("changes", DataType::new_list(DataType::Int64, true))])
    }
}

struct CountGroups {
    nobody: Trailing,
    groups: Vec<Trailing>,
    /// Bytes that the groups hold, kept up to date: there may be many of them, and the size is asked for at each batch.
    held: usize,
}

impl CountGroups {
    fn grow(&mut self, groups: usize) {
        if groups > self.groups.len() {
            self.groups.resize(groups, self.nobody.clone());
        }
    }

    fn change(
        &mut self,
        group: usize,
        change: impl FnOnce(&mut Trailing) -> std::result::Result<(), TooLong>,
    ) -> Result<()> {
        let trailing = &mut self.groups[group];
        let before = trailing.size();
        let changed = change(trailing);
        self.held = self.held + trailing.size() - before;
        Ok(changed.map_err(too_long)?)
    }

    fn take(&mut self, emit_to: EmitTo) -> Vec<Trailing> {
        let taken = emit_to.take_needed(&mut self.groups);
        self.held -= taken.iter().map(Trailing::size).sum::<usize>();
        taken
    }
}

/// Where each list ends among all elements.
fn offsets(lengths: impl Iterator<Item = usize>) -> Result<Vec<i32>> {
    let mut offsets = vec![0i32];
    let mut end = 0usize;
    for length in lengths {
        end += length;
        let end = i32::try_from(end)
            .map_err(|_| Error::resources(format!("{NAME}: more than 2 billion days in one answer")))?;
        offsets.push(end);
    }
    Ok(offsets)
}

impl GroupsAccumulator for CountGroups {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        opt_filter: Option<&BooleanArray>,
        total_num_groups: usize,
    ) -> Result<()> {
        self.grow(total_num_groups);
        let lists = values[0].as_list::<i32>();
        let elements = lists.values().as_primitive::<Int32Type>();
        let days = elements.values();
        for (row, group) in group_indices.iter().enumerate() {
            if lists.is_null(row) || !passes(opt_filter, row) {
                continue;
            }
            let range = lists.value_offsets()[row] as usize..lists.value_offsets()[row + 1] as usize;
            match elements.null_count() {
                0 => self.change(*group, |t| t.add(days[range].iter().map(|day| i64::from(*day))))?,
                _ => {
                    let known = range.filter(|at| elements.is_valid(*at)).map(|at| i64::from(days[at]));
                    self.change(*group, |t| t.add(known))?;
                }
            }
        }
        Ok(())
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        let groups = self.take(emit_to);
        let offsets = offsets(groups.iter().map(|t| t.counts().count()))?;
        let counts: Vec<Counts> = groups.iter().flat_map(Trailing::counts).collect();
        let column = |of: fn(&Counts) -> i64| Arc::new(counts.iter().map(of).collect::<Int64Array>()) as ArrayRef;
        let days = groups.iter().flat_map(|t| (t.first()..).zip(t.counts()).map(|(day, _)| day as i32));
        let columns: Vec<ArrayRef> = vec![
            Arc::new(Int32Array::from_iter_values(days)),
            column(|c| c.day),
            column(|c| c.week),
            column(|c| c.month),
            column(|c| c.month_days),
        ];
        let structs = StructArray::try_new(day_fields(), columns, None)?;
        let lists = ListArray::try_new(day_item(), OffsetBuffer::new(offsets.into()), Arc::new(structs), None)?;
        let ends = |of: fn(&Trailing) -> Option<i64>| -> ArrayRef {
            Arc::new(groups.iter().map(|t| of(t).map(|day| day as i32)).collect::<Int32Array>())
        };
        let first = ends(|t| t.last_active().map(|_| t.first()));
        let columns: Vec<ArrayRef> = vec![first, ends(Trailing::last_active), Arc::new(lists)];
        Ok(Arc::new(StructArray::try_new(answer_fields(), columns, None::<NullBuffer>)?))
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        let groups = self.take(emit_to);
        let offsets = offsets(groups.iter().map(|t| 3 * t.changes().len()))?;
        let firsts = Int64Array::from_iter_values(groups.iter().map(Trailing::first));
        let flat = groups.iter().flat_map(|t| t.changes()).flat_map(|c| [c.day, c.week, c.month]);
        Ok(vec![Arc::new(firsts), list_of(Arc::new(Int64Array::from_iter_values(flat)), offsets)])
    }

    fn merge_batch(&mut self, values: &[ArrayRef], group_indices: &[usize], total_num_groups: usize) -> Result<()> {
        self.grow(total_num_groups);
        let firsts = values[0].as_primitive::<Int64Type>().values();
        let lists = values[1].as_list::<i32>();
        let flat = lists.values().as_primitive::<Int64Type>().values();
        let mut changes: Vec<Change> = Vec::new();
        for (row, group) in group_indices.iter().enumerate() {
            let range = lists.value_offsets()[row] as usize..lists.value_offsets()[row + 1] as usize;
            changes.clear();
            changes.extend(flat[range].chunks_exact(3).map(|c| Change { day: c[0], week: c[1], month: c[2] }));
            self.change(*group, |trailing| trailing.merge(firsts[row], &changes))?;
        }
        Ok(())
    }

    fn convert_to_state(&self, values: &[ArrayRef], opt_filter: Option<&BooleanArray>) -> Result<Vec<ArrayRef>> {
        let single = Self { nobody: self.nobody.clone(), groups: Vec::new(), held: 0 };
        states_of_rows(single, values, opt_filter)
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.groups.capacity() * size_of::<Trailing>() + self.held
    }
}
