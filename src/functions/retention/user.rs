//! `user_retention`: the birth of each group and the periods in which it came back.
//!
//! Memory: 48 bytes a group, 20 for each further period with a return (and instant, while partial states are merged), and each
//! distinct kept value once (until its users are answered, where input is ordered). Partial states are exact: the earliest birth, and the last return of each period.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Date32Array, Int64Array, StructArray, UInt8Array};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{DataType, Field, FieldRef, Fields, Int64Type, UInt8Type};
use datafusion::error::Result;
use datafusion::logical_expr::function::AccumulatorArgs;
use datafusion::logical_expr::{AggregateUDF, EmitTo, GroupsAccumulator};

use super::arguments::Counting;
use crate::algo::calendar::Clock;
use crate::algo::event_log::{ByGroup, EventLog, Grouped};
use crate::algo::retention::{Periods, Return, Tied, periods};
use crate::error::Error;
use crate::functions::columns::{Times, clock_of, coerce_condition, coerce_time, list_of, times_array};
use crate::functions::grouped::{GroupedFunction, aggregate, argument_types};
use crate::functions::kept_values::{KeptValues, MANY_VALUES, kept_fields};
use crate::functions::single_group::states_of_rows;

const NAME: &str = "user_retention";
/// Position of the first of unit, tz, week_start and index.
const WORDS: usize = 3;
const KEPT: usize = 7;

/// The function.
pub fn user_retention() -> AggregateUDF {
    aggregate(UserRetention)
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct UserRetention;

fn kept_of(types: &[DataType]) -> Option<&Fields> {
    match types.get(KEPT) {
        Some(DataType::Struct(fields)) => Some(fields),
        _ => None,
    }
}

fn answer_fields(time: &DataType, kept: Option<&Fields>) -> Fields {
    let mut fields = vec![
        Field::new("birth", time.clone(), true),
        Field::new("cohort", DataType::Date32, true),
        Field::new("periods", DataType::new_list(DataType::Int64, true), false),
    ];
    if let Some(kept) = kept {
        fields.push(Field::new("kept", DataType::Struct(kept_fields(kept)), true));
    }
    fields.into()
}

impl GroupedFunction for UserRetention {
    fn name(&self) -> &'static str {
        NAME
    }

    fn coerce(&self, types: &[DataType]) -> Result<Vec<DataType>, Error> {
        let kept = kept_of(types).is_some();
        if types.len() != KEPT + usize::from(kept) {
            return Err(Error::user(format!(
                "{NAME}: needs (time, start, return, unit, time zone, week_start, index [, kept STRUCT]), got {} arguments",
                types.len()
            )));
        }
        let mut coerced = types.to_vec();
        coerced[0] = coerce_time(NAME, 1, &types[0])?;
        coerced[1] = coerce_condition(NAME, 2, &types[1])?;
        coerced[2] = coerce_condition(NAME, 3, &types[2])?;
        coerced[WORDS..KEPT].fill(DataType::Utf8);
        Ok(coerced)
    }

    fn answer_type(&self, types: &[DataType]) -> Result<DataType, Error> {
        Ok(DataType::Struct(answer_fields(&types[0], kept_of(types))))
    }

    fn groups(&self, args: &AccumulatorArgs) -> Result<Box<dyn GroupsAccumulator>> {
        let types = argument_types(args);
        let clock = clock_of(&types[0]).unwrap_or(Clock::Dates);
        let counting = Counting::of_literals(NAME, args.exprs, WORDS, clock)?;
        let kept = kept_of(&types).map(KeptValues::new).transpose()?;
        Ok(Box::new(UserGroups::new(types[0].clone(), counting, kept)))
    }

    fn state_fields(&self, name: &str, types: &[DataType]) -> Result<Vec<FieldRef>, Error> {
        let field =
            |part: &str, data_type, nullable| Arc::new(Field::new(format!("{name}[{part}]"), data_type, nullable));
        let mut fields = vec![
            field("birth", DataType::Int64, true),
            field("starts", DataType::UInt8, false),
            field("returns", DataType::new_list(DataType::Int64, true), false),
            field("tied", DataType::new_list(DataType::UInt8, true), false),
        ];
        if let Some(kept) = kept_of(types) {
            fields.push(field("kept", DataType::Struct(kept_fields(kept)), true));
        }
        Ok(fields)
    }
}

#[derive(Clone, Copy)]
struct Logged {
    time: i64,
    group: u32,
    tied: Tied,
}

impl Grouped for Logged {
    fn group(&self) -> u32 {
        self.group
    }
    fn with_group(self, group: u32) -> Self {
        Self { group, ..self }
    }
}

const NONE: u32 = u32::MAX;

/// What is known of one group beside its log: 24 bytes, since the one touch an event makes is likely a cache miss.
#[derive(Clone, Copy)]
struct Known {
    birth: i64,
    /// The newest return, not yet in the log: events of one period usually follow each other and are folded here.
    last: i64,
    /// Number of the value kept at the birth.
    kept: u32,
    /// Start events at the birth; none before any was seen.
    starts: Tied,
    /// The return events at `last`; none before any was seen.
    last_tied: Tied,
}

const UNKNOWN: Known = Known { birth: i64::MAX, last: 0, kept: NONE, starts: Tied(0), last_tied: Tied(0) };

struct UserGroups {
    time_type: DataType,
    counting: Counting,
    fold: Periods,
    /// Times known to be of one period.
    stretch: (i64, i64),
    known: Vec<Known>,
    log: EventLog<Logged>,
    kept: Option<KeptValues>,
}

impl UserGroups {
    fn new(time_type: DataType, counting: Counting, kept: Option<KeptValues>) -> Self {
        let fold = counting.periods();
        Self { time_type, counting, fold, stretch: (0, 0), known: Vec::new(), log: EventLog::default(), kept }
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

    /// Notes a start; true where it is at the group's birth as known so far.
    #[inline]
    fn note_start(&mut self, group: usize, time: i64, tied: Tied) -> bool {
        let known = &mut self.known[group];
        let seen = known.starts != Tied(0);
        if seen && time > known.birth {
            return false;
        }
        if seen && time == known.birth {
            known.starts = known.starts.and(tied);
        } else {
            (known.birth, known.starts, known.kept) = (time, tied, NONE);
        }
        true
    }

    #[inline]
    fn note_return(&mut self, group: usize, time: i64, tied: Tied) -> Result<()> {
        // The stretch of the row before usually holds this one too.
        let (from, until) = match self.stretch {
            (from, until) if from <= time && time < until => (from, until),
            _ => {
                let Some(stretch) = self.fold.fold(time) else { return Err(beyond_calendar(time).into()) };
                self.stretch = stretch;
                stretch
            }
        };
        let known = &mut self.known[group];
        if known.last_tied != Tied(0) {
            if from <= known.last && known.last < until {
                match time.cmp(&known.last) {
                    std::cmp::Ordering::Greater => (known.last, known.last_tied) = (time, tied),
                    std::cmp::Ordering::Equal => known.last_tied = known.last_tied.and(tied),
                    std::cmp::Ordering::Less => {}
                }
                return Ok(());
            }
            self.log.push(Logged { time: known.last, group: group as u32, tied: known.last_tied });
        }
        (known.last, known.last_tied) = (time, tied);
        Ok(())
    }

    /// Keeps the least value among the starts at each group's birth.
    fn note_kept(&mut self, column: &ArrayRef, rows: &[u32], groups: impl Iterator<Item = usize>) -> Result<()> {
        let Some(kept) = &mut self.kept else { return Ok(()) };
        let mut numbers = Vec::with_capacity(rows.len());
        kept.number(column, rows, &mut numbers)?;
        for (number, group) in numbers.into_iter().zip(groups) {
            let known = &mut self.known[group];
            if known.kept == NONE || kept.compare(number, known.kept).is_lt() {
                known.kept = number;
            }
        }
        Ok(())
    }

    fn emit(&mut self, emit_to: EmitTo) -> Result<(Vec<Known>, EventLog<Logged>, ByGroup)> {
        let known = emit_to.take_needed(&mut self.known);
        let mut entries = self.log.take(match emit_to {
            EmitTo::All => None,
            EmitTo::First(n) => Some(n as u32),
        });
        for (group, k) in known.iter().enumerate().filter(|(_, k)| k.last_tied != Tied(0)) {
            entries.push(Logged { time: k.last, group: group as u32, tied: k.last_tied });
        }
        let too_many = || Error::resources(format!("{NAME}: more than 2 billion returns in one partition"));
        i32::try_from(entries.len()).map_err(|_| too_many())?;
        let by_group = ByGroup::new(&entries, known.len()).ok_or_else(too_many)?;
        Ok((known, entries, by_group))
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

    fn kept_column(&self, known: &[Known]) -> Result<Option<ArrayRef>> {
        let Some(kept) = &self.kept else { return Ok(None) };
        let valid: NullBuffer = known.iter().map(|k| k.kept != NONE).collect::<Vec<_>>().into();
        let numbers = known.iter().map(|k| if k.kept == NONE { 0 } else { k.kept }).collect();
        let values = kept.values(numbers)?;
        let values = values.as_struct();
        let columns = values.columns().to_vec();
        Ok(Some(Arc::new(StructArray::try_new(kept.fields().clone(), columns, Some(valid))?)))
    }
}

fn beyond_calendar(time: i64) -> Error {
    Error::data(format!("{NAME}: time {time} (in the column's own unit) is beyond the calendar, years -9999 to 9999"))
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
        let mut masks = Vec::new();
        crate::functions::columns::masks(&values[1..WORDS], &times, opt_filter, &mut masks);
        // Reads every group of the batch once: these loads do not wait for each other, so the misses overlap, and the loop
        // below finds its lines in the cache.
        let touched = group_indices.iter().fold(0i64, |sum, group| sum.wrapping_add(self.known[*group].birth));
        std::hint::black_box(touched);
        let mut at_birth: Vec<u32> = Vec::new();
        for (row, mask) in masks.iter().enumerate() {
            if *mask == 0 {
                continue;
            }
            let (group, time) = (group_indices[row], times.values()[row]);
            let tied = if *mask == 3 { Tied::BOTH_ROLES } else { Tied::ONE_ROLE };
            if mask & 1 != 0 && self.note_start(group, time, tied) && self.kept.is_some() {
                at_birth.push(row as u32);
            }
            if mask & 2 != 0 {
                self.note_return(group, time, tied)?;
            }
        }
        if self.kept.is_some() {
            // Only rows at the birth as it stands after the batch still matter.
            at_birth.retain(|row| {
                let row = *row as usize;
                times.values()[row] == self.known[group_indices[row]].birth
            });
            let groups: Vec<usize> = at_birth.iter().map(|row| group_indices[*row as usize]).collect();
            self.note_kept(&values[KEPT], &at_birth, groups.into_iter())?;
        }
        Ok(())
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        let (known, entries, by_group) = self.emit(emit_to)?;
        let mut counting = self.counting.periods();
        let (mut found, mut offsets): (Vec<i64>, Vec<i32>) = (Vec::new(), vec![0]);
        let mut cohorts = Vec::with_capacity(known.len());
        let mut returns: Vec<Return> = Vec::new();
        for (group, k) in known.iter().enumerate() {
            if k.starts == Tied(0) {
                cohorts.push(None);
            } else {
                let calendar = &mut self.counting.calendar;
                let first_day = calendar.bucket(k.birth).and_then(|bucket| calendar.first_day(bucket));
                let cohort = first_day.and_then(|day| i32::try_from(day).ok());
                cohorts.push(Some(cohort.ok_or_else(|| beyond_calendar(k.birth))?));
                returns.clear();
                let logged = by_group.group(group).iter().map(|at| entries.get(*at));
                returns.extend(logged.map(|e| Return { time: e.time, tied: e.tied }));
                periods(k.birth, k.starts, &mut returns, &mut counting, &mut found);
            }
            offsets
                .push(i32::try_from(found.len()).map_err(|_| Error::resources(format!("{NAME}: too many periods")))?);
        }
        let valid: NullBuffer = cohorts.iter().map(Option::is_some).collect::<Vec<_>>().into();
        let births = known.iter().map(|k| if k.starts == Tied(0) { 0 } else { k.birth }).collect();
        let mut columns: Vec<ArrayRef> = vec![
            times_array(births, Some(valid), &self.time_type)?,
            Arc::new(Date32Array::from(cohorts)),
            list_of(Arc::new(Int64Array::from(found)), offsets),
        ];
        columns.extend(self.kept_column(&known)?);
        let fields = answer_fields(&self.time_type, self.kept.as_ref().map(KeptValues::fields));
        if let EmitTo::First(_) = emit_to {
            self.forget_values()?;
        }
        Ok(Arc::new(StructArray::try_new(fields, columns, None)?))
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        let (known, entries, by_group) = self.emit(emit_to)?;
        let mut offsets = vec![0i32];
        let (mut times, mut tied) = (Vec::with_capacity(entries.len()), Vec::with_capacity(entries.len()));
        for group in 0..known.len() {
            for at in by_group.group(group) {
                times.push(entries.get(*at).time);
                tied.push(entries.get(*at).tied.0);
            }
            offsets.push(times.len() as i32);
        }
        let births: Int64Array = known.iter().map(|k| (k.starts != Tied(0)).then_some(k.birth)).collect();
        let starts: UInt8Array = known.iter().map(|k| k.starts.0).collect::<Vec<_>>().into();
        let mut state: Vec<ArrayRef> = vec![
            Arc::new(births),
            Arc::new(starts),
            list_of(Arc::new(Int64Array::from(times)), offsets.clone()),
            list_of(Arc::new(UInt8Array::from(tied)), offsets),
        ];
        state.extend(self.kept_column(&known)?);
        Ok(state)
    }

    fn merge_batch(&mut self, values: &[ArrayRef], group_indices: &[usize], total_num_groups: usize) -> Result<()> {
        self.grow(total_num_groups)?;
        let births = values[0].as_primitive::<Int64Type>();
        let starts = values[1].as_primitive::<UInt8Type>().values();
        let (returns, tied) = (values[2].as_list::<i32>(), values[3].as_list::<i32>());
        let ticks = returns.values().as_primitive::<Int64Type>().values();
        let flags = tied.values().as_primitive::<UInt8Type>().values();
        let mut at_birth: Vec<u32> = Vec::new();
        for (row, group) in group_indices.iter().enumerate() {
            if births.is_valid(row) && self.note_start(*group, births.value(row), Tied(starts[row])) {
                at_birth.push(row as u32);
            }
            let first_flag = tied.value_offsets()[row] as usize;
            let (from, to) = (returns.value_offsets()[row] as usize, returns.value_offsets()[row + 1] as usize);
            for (nth, time) in ticks[from..to].iter().enumerate() {
                self.note_return(*group, *time, Tied(flags[first_flag + nth]))?;
            }
        }
        if self.kept.is_some() {
            at_birth.retain(|row| births.value(*row as usize) == self.known[group_indices[*row as usize]].birth);
            let groups: Vec<usize> = at_birth.iter().map(|row| group_indices[*row as usize]).collect();
            self.note_kept(&values[4], &at_birth, groups.into_iter())?;
        }
        Ok(())
    }

    fn convert_to_state(&self, values: &[ArrayRef], opt_filter: Option<&BooleanArray>) -> Result<Vec<ArrayRef>> {
        let kept = self.kept.as_ref().map(|k| KeptValues::new(k.fields())).transpose()?;
        let single = UserGroups::new(self.time_type.clone(), self.counting.clone(), kept);
        states_of_rows(single, values, opt_filter)
    }

    fn size(&self) -> usize {
        size_of_val(self)
            + self.known.capacity() * size_of::<Known>()
            // Emission appends one entry a group to the log and sorts it by group.
            + self.known.len() * (size_of::<Logged>() + 2 * size_of::<u32>())
            + self.log.size()
            + self.kept.as_ref().map_or(0, KeptValues::size)
    }
}
