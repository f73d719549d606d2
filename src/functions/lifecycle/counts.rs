//! `lifecycle_counts(born, periods)`: how many groups are new, returning, resurrected or dormant in each period;
//! `inactivity_counts(born, days, ended, inactive_after, unit, tz, week_start)`: the same where so many days without an activity count.
//!
//! Memory: 32 bytes for each period between a group's first and last, of which there are at most 10,000.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Int32Array, Int64Array, ListArray, StructArray};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::datatypes::{DataType, Field, FieldRef, Fields, Int32Type, Int64Type};
use datafusion::error::Result;
use datafusion::logical_expr::function::AccumulatorArgs;
use datafusion::logical_expr::{AggregateUDF, EmitTo, GroupsAccumulator};

use crate::algo::calendar::{Calendar, Clock};
use crate::algo::lifecycle::{Counts, Inactivity, OutOfTime, Timeline};
use crate::error::Error;
use crate::functions::columns::{list_of, literal_integer, passes};
use crate::functions::grouped::{GroupedFunction, aggregate};
use crate::functions::period::dates::too_long;
use crate::functions::single_group::states_of_rows;

const NAME: &str = "lifecycle_counts";

/// The function.
pub fn lifecycle_counts() -> AggregateUDF {
    aggregate(LifecycleCounts)
}

/// The function that counts days.
pub fn inactivity_counts() -> AggregateUDF {
    aggregate(InactivityCounts)
}

/// The counts of one period.
const COUNTS: [&str; 4] = ["new", "returning", "resurrected", "dormant"];

/// Fields of one period.
pub fn period_fields() -> Fields {
    let count = |name: &&str| Field::new(*name, DataType::Int64, false);
    std::iter::once(Field::new("period", DataType::Int32, false)).chain(COUNTS.iter().map(count)).collect()
}

fn period_item() -> FieldRef {
    Arc::new(Field::new_list_field(DataType::Struct(period_fields()), true))
}

/// Fields of the answer.
pub fn counts_fields() -> Fields {
    vec![
        Field::new("first", DataType::Int32, true),
        Field::new("last", DataType::Int32, true),
        Field::new("periods", DataType::List(period_item()), false),
    ]
    .into()
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct LifecycleCounts;

impl GroupedFunction for LifecycleCounts {
    fn name(&self) -> &'static str {
        NAME
    }

    fn coerce(&self, types: &[DataType]) -> Result<Vec<DataType>, Error> {
        match types {
            [born, DataType::List(item)]
                if (born.is_integer() || born.is_null()) && (item.data_type().is_integer()) =>
            {
                Ok(vec![DataType::Int32, DataType::new_list(DataType::Int32, true)])
            }
            _ => {
                Err(Error::user(format!("{NAME}: needs (period of birth, list of active periods), both whole numbers")))
            }
        }
    }

    fn answer_type(&self, _types: &[DataType]) -> Result<DataType, Error> {
        Ok(DataType::Struct(counts_fields()))
    }

    fn groups(&self, _args: &AccumulatorArgs) -> Result<Box<dyn GroupsAccumulator>> {
        Ok(Box::new(CountGroups::default()))
    }

    fn state_fields(&self, name: &str, _types: &[DataType]) -> Result<Vec<FieldRef>, Error> {
        Ok(state_fields(name))
    }
}

fn state_fields(name: &str) -> Vec<FieldRef> {
    let field = |part: &str, data_type| Arc::new(Field::new(format!("{name}[{part}]"), data_type, false));
    vec![field("first", DataType::Int64), field("counts", DataType::new_list(DataType::Int64, true))]
}

const BY_DAYS: &str = "inactivity_counts";
/// The most days of inactivity that can be asked for.
pub const MAX_INACTIVE: i64 = 10_000;

#[derive(Debug, Clone, PartialEq, Eq)]
struct InactivityCounts;

impl GroupedFunction for InactivityCounts {
    fn name(&self) -> &'static str {
        BY_DAYS
    }

    fn coerce(&self, types: &[DataType]) -> Result<Vec<DataType>, Error> {
        match types {
            [born, DataType::List(item), ended, _, _, _, _]
                if [born, ended].iter().all(|t| t.is_integer() || t.is_null()) && item.data_type().is_integer() =>
            {
                let mut coerced = vec![DataType::Int32, DataType::new_list(DataType::Int32, true), DataType::Int32];
                coerced.extend([DataType::Int64, DataType::Utf8, DataType::Utf8, DataType::Utf8]);
                Ok(coerced)
            }
            _ => Err(Error::user(format!(
                "{BY_DAYS}: needs (day of birth, list of active days, last day that is over, days, unit, time zone, week_start)"
            ))),
        }
    }

    fn answer_type(&self, _types: &[DataType]) -> Result<DataType, Error> {
        Ok(DataType::Struct(counts_fields()))
    }

    fn groups(&self, args: &AccumulatorArgs) -> Result<Box<dyn GroupsAccumulator>> {
        let inactive_after = literal_integer(BY_DAYS, "the days of inactivity", args.exprs, 3)?;
        if !(1..=MAX_INACTIVE).contains(&inactive_after) {
            return Err(
                Error::user(format!("{BY_DAYS}: {inactive_after} days; 1 to {MAX_INACTIVE} are allowed")).into()
            );
        }
        let calendar = super::calendar_of_literals(BY_DAYS, args.exprs, 4, Clock::Dates)?;
        let by_days = Some(ByDays { inactive_after, calendar, days: Vec::new() });
        Ok(Box::new(CountGroups { by_days, ..CountGroups::default() }))
    }

    fn state_fields(&self, name: &str, _types: &[DataType]) -> Result<Vec<FieldRef>, Error> {
        Ok(state_fields(name))
    }
}

/// Where periods follow from days.
#[derive(Clone)]
struct ByDays {
    inactive_after: i64,
    /// The periods that days lie in.
    calendar: Calendar,
    /// Those of one user.
    days: Vec<i64>,
}

#[derive(Default)]
struct CountGroups {
    by_days: Option<ByDays>,
    timelines: Vec<Timeline>,
    /// Bytes that the timelines hold, kept up to date: there may be many of them, and the size is asked for at each batch.
    held: usize,
}

impl CountGroups {
    fn grow(&mut self, groups: usize) {
        if groups > self.timelines.len() {
            self.timelines.resize_with(groups, Timeline::default);
        }
    }

    /// Changes one timeline.
    fn change(
        &mut self,
        group: usize,
        change: impl FnOnce(&mut Timeline) -> std::result::Result<(), OutOfTime>,
    ) -> Result<()> {
        let timeline = &mut self.timelines[group];
        let before = timeline.size();
        let changed = change(timeline);
        self.held = self.held + timeline.size() - before;
        Ok(changed.map_err(|why| match why {
            OutOfTime::TooLong(long) => too_long(long),
            OutOfTime::Beyond(day) => {
                Error::data(format!("{BY_DAYS}: day {day} is beyond the calendar, years -9999 to 9999"))
            }
        })?)
    }

    fn take(&mut self, emit_to: EmitTo) -> Vec<Timeline> {
        let taken = emit_to.take_needed(&mut self.timelines);
        self.held -= taken.iter().map(Timeline::size).sum::<usize>();
        taken
    }
}

fn too_many() -> Error {
    Error::resources(format!("{NAME}: more than 2 billion periods in one answer"))
}

/// Where each timeline ends among all counts.
fn offsets_of(timelines: &[Timeline]) -> Result<Vec<i32>> {
    let ends = timelines.iter().scan(0usize, |end, timeline| {
        *end += timeline.counts().len();
        Some(i32::try_from(*end))
    });
    let offsets: std::result::Result<Vec<i32>, _> = std::iter::once(Ok(0)).chain(ends).collect();
    Ok(offsets.map_err(|_| too_many())?)
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
        let born = values[0].as_primitive::<Int32Type>();
        let lists = values[1].as_list::<i32>();
        let elements = lists.values().as_primitive::<Int32Type>();
        let active = elements.values();
        for (row, group) in group_indices.iter().enumerate() {
            if lists.is_null(row) || !passes(opt_filter, row) {
                continue;
            }
            let born = born.is_valid(row).then(|| i64::from(born.value(row)));
            let range = lists.value_offsets()[row] as usize..lists.value_offsets()[row + 1] as usize;
            if let Some(mut by_days) = self.by_days.take() {
                let ended = values[2].as_primitive::<Int32Type>();
                if ended.is_valid(row) {
                    by_days.days.clear();
                    by_days.days.extend(range.filter(|at| elements.is_valid(*at)).map(|at| i64::from(active[at])));
                    if !by_days.days.is_sorted() {
                        by_days.days.sort_unstable();
                    }
                    let rule =
                        Inactivity { inactive_after: by_days.inactive_after, ended: i64::from(ended.value(row)) };
                    let ByDays { calendar, days, .. } = &mut by_days;
                    self.change(*group, |t| t.add_by_days(born, days, rule, |day| calendar.bucket_of_day(day)))?;
                }
                self.by_days = Some(by_days);
                continue;
            }
            match elements.null_count() {
                0 => self.change(*group, |t| {
                    t.add(born, active[range].iter().map(|p| i64::from(*p))).map_err(OutOfTime::TooLong)
                })?,
                _ => {
                    let known = range.filter(|at| elements.is_valid(*at)).map(|at| i64::from(active[at]));
                    self.change(*group, |t| t.add(born, known).map_err(OutOfTime::TooLong))?;
                }
            }
        }
        Ok(())
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        let timelines = self.take(emit_to);
        let offsets = offsets_of(&timelines)?;
        let counts = || timelines.iter().flat_map(|t| t.counts());
        let column = |of: fn(&Counts) -> i64| Arc::new(counts().map(of).collect::<Int64Array>()) as ArrayRef;
        let periods = timelines.iter().flat_map(|t| (t.first()..).zip(t.counts()).map(|(period, _)| period as i32));
        let columns: Vec<ArrayRef> = vec![
            Arc::new(Int32Array::from_iter_values(periods)),
            column(|c| c.new),
            column(|c| c.returning),
            column(|c| c.resurrected),
            column(|c| c.dormant),
        ];
        let structs = StructArray::try_new(period_fields(), columns, None)?;
        let lists = ListArray::try_new(period_item(), OffsetBuffer::new(offsets.into()), Arc::new(structs), None)?;
        let ends = |of: fn(&Timeline) -> Option<i64>| -> ArrayRef {
            Arc::new(timelines.iter().map(|t| of(t).map(|period| period as i32)).collect::<Int32Array>())
        };
        let first = ends(|t| t.last_active().map(|_| t.first()));
        let columns: Vec<ArrayRef> = vec![first, ends(Timeline::last_active), Arc::new(lists)];
        Ok(Arc::new(StructArray::try_new(counts_fields(), columns, None::<NullBuffer>)?))
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        let timelines = self.take(emit_to);
        let offsets = offsets_of(&timelines)?;
        let four = |end: &i32| end.checked_mul(4).ok_or_else(too_many);
        let offsets = offsets.iter().map(four).collect::<std::result::Result<Vec<i32>, Error>>()?;
        let firsts = Int64Array::from_iter_values(timelines.iter().map(Timeline::first));
        let counts = timelines.iter().flat_map(|t| t.counts());
        let flat = counts.flat_map(|c| [c.new, c.returning, c.resurrected, c.dormant]);
        Ok(vec![Arc::new(firsts), list_of(Arc::new(Int64Array::from_iter_values(flat)), offsets)])
    }

    fn merge_batch(&mut self, values: &[ArrayRef], group_indices: &[usize], total_num_groups: usize) -> Result<()> {
        self.grow(total_num_groups);
        let firsts = values[0].as_primitive::<Int64Type>().values();
        let lists = values[1].as_list::<i32>();
        let flat = lists.values().as_primitive::<Int64Type>().values();
        for (row, group) in group_indices.iter().enumerate() {
            let range = lists.value_offsets()[row] as usize..lists.value_offsets()[row + 1] as usize;
            let counts = flat[range].chunks_exact(4).map(|c| Counts {
                new: c[0],
                returning: c[1],
                resurrected: c[2],
                dormant: c[3],
            });
            let part = Timeline::new(firsts[row], counts.collect());
            self.change(*group, |timeline| timeline.merge(&part).map_err(OutOfTime::TooLong))?;
        }
        Ok(())
    }

    fn convert_to_state(&self, values: &[ArrayRef], opt_filter: Option<&BooleanArray>) -> Result<Vec<ArrayRef>> {
        states_of_rows(Self { by_days: self.by_days.clone(), ..Self::default() }, values, opt_filter)
    }

    fn size(&self) -> usize {
        let days = self.by_days.as_ref().map_or(0, |by_days| by_days.days.capacity() * size_of::<i64>());
        size_of_val(self) + days + self.timelines.capacity() * size_of::<Timeline>() + self.held
    }
}
