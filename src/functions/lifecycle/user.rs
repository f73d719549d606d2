//! `user_lifecycle`: the period of birth of each group, and the periods in which it was active.
//!
//! Memory: 24 bytes a group, 8 for each further active period (and for each change of period where times come unordered),
//! and each distinct kept value once. Partial states are exact: the periods, the earliest birth and the first activity.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Int32Array, Int64Array, StructArray};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{DataType, Field, FieldRef, Fields, Int32Type, Int64Type};
use datafusion::error::Result;
use datafusion::logical_expr::function::AccumulatorArgs;
use datafusion::logical_expr::{AggregateUDF, EmitTo, GroupsAccumulator};

use crate::algo::calendar::{Calendar, Clock};
use crate::algo::event_log::{ByGroup, EventLog, Grouped};
use crate::error::Error;
use crate::functions::columns::{Times, clock_of, coerce_time, list_of, passes};
use crate::functions::grouped::{GroupedFunction, aggregate, argument_types};
use crate::functions::kept_values::{KeptValues, MANY_VALUES, kept_fields};
use crate::functions::single_group::states_of_rows;

const NAME: &str = "user_lifecycle";
/// Position of the first of unit, tz and week_start.
const WORDS: usize = 2;
const KEPT: usize = 5;
/// Days from 1970 to the first date of the calendar: no number of a period is farther from zero.
const FARTHEST: i64 = 4_371_587;

/// The function.
pub fn user_lifecycle() -> AggregateUDF {
    aggregate(UserLifecycle)
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct UserLifecycle;

fn kept_of(types: &[DataType]) -> Option<&Fields> {
    match types.get(KEPT) {
        Some(DataType::Struct(fields)) => Some(fields),
        _ => None,
    }
}

fn answer_fields(kept: Option<&Fields>) -> Fields {
    let mut fields = vec![
        Field::new("born", DataType::Int32, true),
        Field::new("periods", DataType::new_list(DataType::Int32, true), false),
    ];
    if let Some(kept) = kept {
        fields.push(Field::new("kept", DataType::Struct(kept_fields(kept)), true));
    }
    fields.into()
}

impl GroupedFunction for UserLifecycle {
    fn name(&self) -> &'static str {
        NAME
    }

    fn coerce(&self, types: &[DataType]) -> Result<Vec<DataType>, Error> {
        let kept = kept_of(types).is_some();
        if types.len() != KEPT + usize::from(kept) {
            return Err(Error::user(format!(
                "{NAME}: needs (time, birth, unit, time zone, week_start [, kept STRUCT]), got {} arguments",
                types.len()
            )));
        }
        let mut coerced = types.to_vec();
        coerced[0] = coerce_time(NAME, 1, &types[0])?;
        coerced[1] = coerce_time(NAME, 2, &types[1])?;
        coerced[WORDS..KEPT].fill(DataType::Utf8);
        Ok(coerced)
    }

    fn answer_type(&self, types: &[DataType]) -> Result<DataType, Error> {
        Ok(DataType::Struct(answer_fields(kept_of(types))))
    }

    fn groups(&self, args: &AccumulatorArgs) -> Result<Box<dyn GroupsAccumulator>> {
        let types = argument_types(args);
        let calendar = |time: &DataType| {
            let clock = clock_of(time).unwrap_or(Clock::Dates);
            super::calendar_of_literals(NAME, args.exprs, WORDS, clock)
        };
        let kept = kept_of(&types).map(KeptValues::new).transpose()?;
        Ok(Box::new(UserGroups::new(calendar(&types[0])?, calendar(&types[1])?, kept)))
    }

    fn state_fields(&self, name: &str, types: &[DataType]) -> Result<Vec<FieldRef>, Error> {
        let field =
            |part: &str, data_type, nullable| Arc::new(Field::new(format!("{name}[{part}]"), data_type, nullable));
        let mut fields = vec![
            field("born", DataType::Int32, true),
            field("periods", DataType::new_list(DataType::Int32, true), false),
        ];
        if let Some(kept) = kept_of(types) {
            fields.push(field("first", DataType::Int64, true));
            fields.push(field("kept", DataType::Struct(kept_fields(kept)), true));
        }
        Ok(fields)
    }
}

/// An active period of a group.
#[derive(Clone, Copy)]
struct Active {
    group: u32,
    period: i32,
}

impl Grouped for Active {
    fn group(&self) -> u32 {
        self.group
    }
    fn with_group(self, group: u32) -> Self {
        Self { group, ..self }
    }
}

/// Number of no value, and the period that is none.
const NONE: u32 = u32::MAX;
const NEVER: i32 = i32::MIN;

/// What is known of one group beside its log.
#[derive(Clone, Copy)]
struct Known {
    /// Time of the first activity; looked at only where values are kept.
    first: i64,
    /// The newest active period, not yet in the log: events of one period usually follow each other and are folded here.
    last: i32,
    /// The earliest given birth.
    born: i32,
    /// Number of the value kept at the first activity.
    kept: u32,
}

const UNKNOWN: Known = Known { first: i64::MAX, last: NEVER, born: NEVER, kept: NONE };

/// The periods of times, one column's.
struct Periods {
    calendar: Calendar,
    /// Times `from..until` known to be of this period: those of the row before, which usually hold the next one too.
    stretch: (i64, i64),
    period: i32,
}

impl Periods {
    #[inline]
    fn of(&mut self, time: i64) -> Result<i32> {
        if self.stretch.0 <= time && time < self.stretch.1 {
            return Ok(self.period);
        }
        self.find(time)
    }

    fn find(&mut self, time: i64) -> Result<i32> {
        let beyond = || {
            Error::data(format!(
                "{NAME}: time {time} (in the column's own unit) is beyond the calendar, years -9999 to 9999"
            ))
        };
        let bucket = self.calendar.bucket(time).filter(|b| b.abs() <= FARTHEST).ok_or_else(beyond)?;
        self.stretch = self.calendar.stretch(time).ok_or_else(beyond)?;
        self.period = bucket as i32;
        Ok(self.period)
    }
}

struct UserGroups {
    times: Periods,
    births: Periods,
    known: Vec<Known>,
    log: EventLog<Active>,
    kept: Option<KeptValues>,
    /// Rows of a batch that may be the first activity of their group.
    first_rows: Vec<u32>,
}

impl UserGroups {
    fn new(times: Calendar, births: Calendar, kept: Option<KeptValues>) -> Self {
        let periods = |calendar| Periods { calendar, stretch: (0, 0), period: NEVER };
        let (known, log, first_rows) = Default::default();
        Self { times: periods(times), births: periods(births), known, log, kept, first_rows }
    }

    fn grow(&mut self, groups: usize) -> Result<()> {
        if groups > NONE as usize {
            return Err(Error::resources(format!("{NAME}: more than 4 billion groups in one partition")).into());
        }
        if groups > self.known.len() {
            self.known.resize(groups, UNKNOWN);
        }
        Ok(())
    }

    #[inline]
    fn note_active(&mut self, group: usize, period: i32) {
        let known = &mut self.known[group];
        if known.last != period {
            if known.last != NEVER {
                self.log.push(Active { group: group as u32, period: known.last });
            }
            known.last = period;
        }
    }

    fn note_born(&mut self, group: usize, period: i32) {
        let known = &mut self.known[group];
        if known.born == NEVER || period < known.born {
            known.born = period;
        }
    }

    /// Notes the time of an activity; true where it is the first of its group as known so far.
    #[inline]
    fn note_first(&mut self, group: usize, time: i64) -> bool {
        let known = &mut self.known[group];
        if time < known.first {
            (known.first, known.kept) = (time, NONE);
        }
        time == known.first
    }

    /// Keeps the least value among the first activities of each group; `rows` are those of [`UserGroups::first_rows`].
    fn note_kept(&mut self, column: &ArrayRef, firsts: &[i64], group_indices: &[usize]) -> Result<()> {
        let Some(kept) = &mut self.kept else { return Ok(()) };
        let mut rows = std::mem::take(&mut self.first_rows);
        rows.retain(|row| firsts[*row as usize] == self.known[group_indices[*row as usize]].first);
        let mut numbers = Vec::with_capacity(rows.len());
        kept.number(column, &rows, &mut numbers)?;
        for (number, row) in numbers.into_iter().zip(&rows) {
            let known = &mut self.known[group_indices[*row as usize]];
            if known.kept == NONE || kept.compare(number, known.kept).is_lt() {
                known.kept = number;
            }
        }
        rows.clear();
        self.first_rows = rows;
        Ok(())
    }

    /// Drops kept values that no group has any more.
    fn forget_values(&mut self) -> Result<()> {
        let Some(kept) = &mut self.kept else { return Ok(()) };
        if kept.count() < MANY_VALUES || kept.count() < 4 * self.known.len() {
            return Ok(());
        }
        let having = || self.known.iter().filter(|known| known.kept != NONE);
        let numbers = kept.keep(having().map(|known| known.kept).collect())?;
        let having = self.known.iter_mut().filter(|known| known.kept != NONE);
        having.zip(numbers).for_each(|(known, number)| known.kept = number);
        Ok(())
    }

    /// Takes groups out: what is known of them, and the active periods of each, ascending, as a list.
    fn take(&mut self, emit_to: EmitTo) -> Result<(Vec<Known>, ArrayRef)> {
        let known = emit_to.take_needed(&mut self.known);
        let entries = self.log.take(match emit_to {
            EmitTo::All => None,
            EmitTo::First(n) => Some(n as u32),
        });
        let too_many = || Error::resources(format!("{NAME}: more than 2 billion active periods in one partition"));
        i32::try_from(entries.len() + known.len()).map_err(|_| too_many())?;
        let (mut periods, mut offsets) = (Vec::with_capacity(entries.len() + known.len()), vec![0i32]);
        let mut end_group = |periods: &mut Vec<i32>, known: &Known| {
            let begin = offsets[offsets.len() - 1] as usize;
            if known.last != NEVER {
                periods.push(known.last);
            }
            // In order of time they ascend already.
            if !periods[begin..].is_sorted_by(|a, b| a < b) {
                periods[begin..].sort_unstable();
                let mut end = begin + 1;
                for at in begin + 1..periods.len() {
                    if periods[at] != periods[end - 1] {
                        periods[end] = periods[at];
                        end += 1;
                    }
                }
                periods.truncate(end);
            }
            offsets.push(periods.len() as i32);
        };
        if entries.in_order() {
            let mut logged = entries.iter().peekable();
            for (group, known) in known.iter().enumerate() {
                while let Some(entry) = logged.next_if(|e| e.group as usize == group) {
                    periods.push(entry.period);
                }
                end_group(&mut periods, known);
            }
        } else {
            let by_group = ByGroup::new(&entries, known.len()).ok_or_else(too_many)?;
            for (group, known) in known.iter().enumerate() {
                periods.extend(by_group.group(group).iter().map(|at| entries.get(*at).period));
                end_group(&mut periods, known);
            }
        }
        if let EmitTo::First(_) = emit_to {
            self.log.recycle(entries);
        }
        Ok((known, list_of(Arc::new(Int32Array::from(periods)), offsets)))
    }

    fn kept_column(&self, known: &[Known]) -> Result<Option<ArrayRef>> {
        let Some(kept) = &self.kept else { return Ok(None) };
        let valid: NullBuffer = known.iter().map(|k| k.kept != NONE).collect::<Vec<_>>().into();
        let numbers = known.iter().map(|k| if k.kept == NONE { 0 } else { k.kept }).collect();
        let values = kept.values(numbers)?;
        let columns = values.as_struct().columns().to_vec();
        Ok(Some(Arc::new(StructArray::try_new(kept.fields().clone(), columns, Some(valid))?)))
    }
}

impl GroupsAccumulator for UserGroups {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        opt_filter: Option<&BooleanArray>,
        total_num_groups: usize,
    ) -> Result<()> {
        self.grow(total_num_groups)?;
        let times = Times::read(&values[0])?;
        let births = &values[1];
        let births = (births.null_count() < births.len()).then(|| Times::read(births)).transpose()?;
        let (every_row, keeps) = (opt_filter.is_none() && !times.has_nulls(), self.kept.is_some());
        for (row, (time, group)) in times.values().iter().zip(group_indices).enumerate() {
            if !every_row && (times.is_null(row) || !passes(opt_filter, row)) {
                continue;
            }
            let period = self.times.of(*time)?;
            self.note_active(*group, period);
            if keeps && self.note_first(*group, *time) {
                self.first_rows.push(row as u32);
            }
            if let Some(births) = births.as_ref().filter(|births| !births.is_null(row)) {
                let period = self.births.of(births.values()[row])?;
                self.note_born(*group, period);
            }
        }
        if keeps {
            self.note_kept(&values[KEPT], times.values(), group_indices)?;
        }
        Ok(())
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        let (known, periods) = self.take(emit_to)?;
        let list = periods.as_list::<i32>();
        let active = list.values().as_primitive::<Int32Type>().values();
        let born: Int32Array = (known.iter().zip(list.value_offsets()))
            .map(|(k, begin)| {
                // Nobody is active before being born.
                (k.last != NEVER).then(|| match (k.born, active[*begin as usize]) {
                    (NEVER, first) => first,
                    (born, first) => born.min(first),
                })
            })
            .collect();
        let mut columns: Vec<ArrayRef> = vec![Arc::new(born), Arc::clone(&periods)];
        columns.extend(self.kept_column(&known)?);
        let answers = StructArray::try_new(answer_fields(self.kept.as_ref().map(KeptValues::fields)), columns, None)?;
        if let EmitTo::First(_) = emit_to {
            self.forget_values()?;
        }
        Ok(Arc::new(answers))
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        let (known, periods) = self.take(emit_to)?;
        let born: Int32Array = known.iter().map(|k| (k.born != NEVER).then_some(k.born)).collect();
        let mut state: Vec<ArrayRef> = vec![Arc::new(born), periods];
        if let Some(kept) = self.kept_column(&known)? {
            let first: Int64Array = known.iter().map(|k| (k.last != NEVER).then_some(k.first)).collect();
            state.extend([Arc::new(first) as ArrayRef, kept]);
        }
        Ok(state)
    }

    fn merge_batch(&mut self, values: &[ArrayRef], group_indices: &[usize], total_num_groups: usize) -> Result<()> {
        self.grow(total_num_groups)?;
        let born = values[0].as_primitive::<Int32Type>();
        let lists = values[1].as_list::<i32>();
        let active = lists.values().as_primitive::<Int32Type>().values();
        for (row, group) in group_indices.iter().enumerate() {
            for at in lists.value_offsets()[row] as usize..lists.value_offsets()[row + 1] as usize {
                self.note_active(*group, active[at]);
            }
            if born.is_valid(row) {
                self.note_born(*group, born.value(row));
            }
        }
        if self.kept.is_some() {
            let firsts = values[2].as_primitive::<Int64Type>();
            for (row, group) in group_indices.iter().enumerate() {
                if firsts.is_valid(row) && self.note_first(*group, firsts.value(row)) {
                    self.first_rows.push(row as u32);
                }
            }
            self.note_kept(&values[3], firsts.values(), group_indices)?;
        }
        Ok(())
    }

    fn convert_to_state(&self, values: &[ArrayRef], opt_filter: Option<&BooleanArray>) -> Result<Vec<ArrayRef>> {
        let kept = self.kept.as_ref().map(|k| KeptValues::new(k.fields())).transpose()?;
        let single = Self::new(self.times.calendar.clone(), self.births.calendar.clone(), kept);
        states_of_rows(single, values, opt_filter)
    }

    fn size(&self) -> usize {
        size_of_val(self)
            + self.known.capacity() * size_of::<Known>()
            // Emission writes the periods of all groups into one column, after sorting the log by group.
            + (self.known.len() * 3 + self.log.len()) * size_of::<i32>()
            + self.log.size()
            + self.first_rows.capacity() * size_of::<u32>()
            + self.kept.as_ref().map_or(0, KeptValues::size)
    }
}
