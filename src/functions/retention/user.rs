//! `user_retention`: the birth of each group and the periods in which it came back.
//!
//! Memory: 48 bytes a group, 20 for each further period with a return (for each return, where a period needs several of them; and
//! for each instant, while partial states are merged), and the kept values. Partial states are exact: the earliest birth, and the last return of each period.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Date32Array, Int64Array, StructArray, UInt8Array};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{DataType, Field, FieldRef, Fields, Int64Type, UInt8Type};
use datafusion::error::Result;
use datafusion::logical_expr::function::AccumulatorArgs;
use datafusion::logical_expr::{AggregateUDF, GroupsAccumulator};
use datafusion::physical_plan::PhysicalExpr;

use super::arguments::Counting;
use crate::algo::calendar::Clock;
use crate::algo::event_log::Grouped;
use crate::algo::retention::{Periods, Return, Tied, periods};
use crate::error::Error;
use crate::functions::columns::{
    Times, clock_of, coerce_condition, coerce_time, list_of, literal_integer, struct_fields, times_array,
};
use crate::functions::grouped::{GroupedFunction, aggregate, argument_types};
use crate::functions::kept_values::{KeptValues, kept_fields};
use crate::functions::user_logs::{NO_VALUE, Taken, UserFold, UserLogs, Users};

const NAME: &str = "user_retention";
/// Position of the first of unit, tz, week_start and index.
const WORDS: usize = 3;
const LEAST: usize = 7;

/// The function.
pub fn user_retention() -> AggregateUDF {
    aggregate(UserRetention)
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct UserRetention;

fn kept_of(types: &[DataType]) -> Option<&Fields> {
    types.get(LEAST..).and_then(<[DataType]>::last).and_then(struct_fields)
}

/// How many returns a period needs, from the constant at this position.
pub fn least_returns(function: &str, expressions: &[Arc<dyn PhysicalExpr>], position: usize) -> Result<u32, Error> {
    let given = literal_integer(function, "min_count", expressions, position)?;
    u32::try_from(given)
        .ok()
        .filter(|least| *least > 0)
        .ok_or_else(|| Error::user(format!("{function}: min_count must be from 1 to {}, got {given}", u32::MAX)))
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
        let kept = usize::from(kept_of(types).is_some());
        let others = types.len() - kept;
        if others != LEAST && (others != LEAST + 1 || !types[LEAST].is_integer()) {
            return Err(Error::user(format!(
                "{NAME}: needs (time, start, return, unit, time zone, week_start, index [, min_count] [, kept STRUCT]), got {} arguments",
                types.len()
            )));
        }
        let mut coerced = types.to_vec();
        coerced[0] = coerce_time(NAME, 1, &types[0])?;
        coerced[1] = coerce_condition(NAME, 2, &types[1])?;
        coerced[2] = coerce_condition(NAME, 3, &types[2])?;
        coerced[WORDS..LEAST].fill(DataType::Utf8);
        coerced[LEAST..others].fill(DataType::Int64);
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
        let least = match types.get(LEAST) {
            Some(DataType::Int64) => least_returns(NAME, args.exprs, LEAST)?,
            _ => 1,
        };
        let kept_at = types.len() - 1;
        Ok(Box::new(UserLogs::new(Returns::new(types[0].clone(), counting, least, kept_at), kept)))
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

const NOTHING: Known = Known { birth: i64::MAX, last: 0, kept: NO_VALUE, starts: Tied(0), last_tied: Tied(0) };

/// Births and returns.
struct Returns {
    time_type: DataType,
    counting: Counting,
    /// How many returns a period needs. Above one every return is logged.
    least: u32,
    /// Position of the values to keep.
    kept_at: usize,
    fold: Periods,
    /// Times known to be of one period.
    stretch: (i64, i64),
}

impl Returns {
    fn new(time_type: DataType, counting: Counting, least: u32, kept_at: usize) -> Self {
        let fold = counting.periods();
        Self { time_type, counting, least, kept_at, fold, stretch: (0, 0) }
    }

    #[inline]
    fn note_return(&mut self, users: &mut Users<Self>, group: usize, time: i64, tied: Tied) -> Result<()> {
        // The stretch of the row before usually holds this one too.
        let (from, until) = match self.stretch {
            (from, until) if from <= time && time < until => (from, until),
            _ => {
                let Some(stretch) = self.fold.fold(time) else { return Err(beyond_calendar(time).into()) };
                self.stretch = stretch;
                stretch
            }
        };
        let known = &mut users.known[group];
        if known.last_tied != Tied(0) {
            if self.least == 1 && from <= known.last && known.last < until {
                match time.cmp(&known.last) {
                    std::cmp::Ordering::Greater => (known.last, known.last_tied) = (time, tied),
                    std::cmp::Ordering::Equal => known.last_tied = known.last_tied.and(tied),
                    std::cmp::Ordering::Less => {}
                }
                return Ok(());
            }
            users.log.push(Logged { time: known.last, group: group as u32, tied: known.last_tied });
        }
        (known.last, known.last_tied) = (time, tied);
        Ok(())
    }
}

/// Notes a start; true where it is at the group's birth as known so far.
#[inline]
fn note_start(known: &mut Known, time: i64, tied: Tied) -> bool {
    let seen = known.starts != Tied(0);
    if seen && time > known.birth {
        return false;
    }
    if seen && time == known.birth {
        known.starts = known.starts.and(tied);
    } else {
        (known.birth, known.starts, known.kept) = (time, tied, NO_VALUE);
    }
    true
}

fn beyond_calendar(time: i64) -> Error {
    Error::data(format!("{NAME}: time {time} (in the column's own unit) is beyond the calendar, years -9999 to 9999"))
}

impl UserFold for Returns {
    const NAME: &'static str = NAME;
    const ENTRIES: &'static str = "returns";
    type Known = Known;
    type Logged = Logged;
    const UNKNOWN: Known = NOTHING;

    fn kept(known: &Known) -> u32 {
        known.kept
    }

    fn set_kept(known: &mut Known, number: u32) {
        known.kept = number;
    }

    fn pending(known: &Known, group: u32) -> Option<Logged> {
        (known.last_tied != Tied(0)).then_some(Logged { time: known.last, group, tied: known.last_tied })
    }

    fn fresh(&self) -> Self {
        Self::new(self.time_type.clone(), self.counting.clone(), self.least, self.kept_at)
    }

    fn update(
        &mut self,
        users: &mut Users<Self>,
        values: &[ArrayRef],
        groups: &[usize],
        filter: Option<&BooleanArray>,
    ) -> Result<()> {
        let times = Times::read(&values[0])?;
        let mut masks = Vec::new();
        crate::functions::columns::masks(&values[1..WORDS], &times, filter, &mut masks);
        // Reads every group of the batch once: these loads do not wait for each other, so the misses overlap, and the loop
        // below finds its lines in the cache.
        let touched = groups.iter().fold(0i64, |sum, group| sum.wrapping_add(users.known[*group].birth));
        std::hint::black_box(touched);
        let keeps = users.keeps();
        for (row, mask) in masks.iter().enumerate() {
            if *mask == 0 {
                continue;
            }
            let (group, time) = (groups[row], times.values()[row]);
            let tied = if *mask == 3 { Tied::BOTH_ROLES } else { Tied::ONE_ROLE };
            if mask & 1 != 0 && note_start(&mut users.known[group], time, tied) && keeps {
                users.note_candidate(row);
            }
            if mask & 2 != 0 {
                self.note_return(users, group, time, tied)?;
            }
        }
        if keeps {
            users.keep(&values[self.kept_at], groups, |row, known| times.values()[row] == known.birth)?;
        }
        Ok(())
    }

    fn merge(&mut self, users: &mut Users<Self>, values: &[ArrayRef], groups: &[usize]) -> Result<()> {
        let births = values[0].as_primitive::<Int64Type>();
        let starts = values[1].as_primitive::<UInt8Type>().values();
        let (returns, tied) = (values[2].as_list::<i32>(), values[3].as_list::<i32>());
        let ticks = returns.values().as_primitive::<Int64Type>().values();
        let flags = tied.values().as_primitive::<UInt8Type>().values();
        let keeps = users.keeps();
        for (row, group) in groups.iter().enumerate() {
            let born = births.is_valid(row);
            if born && note_start(&mut users.known[*group], births.value(row), Tied(starts[row])) && keeps {
                users.note_candidate(row);
            }
            let first_flag = tied.value_offsets()[row] as usize;
            let (from, to) = (returns.value_offsets()[row] as usize, returns.value_offsets()[row + 1] as usize);
            for (nth, time) in ticks[from..to].iter().enumerate() {
                self.note_return(users, *group, *time, Tied(flags[first_flag + nth]))?;
            }
        }
        if keeps {
            users.keep(&values[4], groups, |row, known| births.value(row) == known.birth)?;
        }
        Ok(())
    }

    fn evaluate(&mut self, taken: &Taken<Self>, kept: Option<ArrayRef>) -> Result<ArrayRef> {
        let mut counting = self.counting.periods();
        let calendar = &mut self.counting.calendar;
        let (mut found, mut offsets): (Vec<i64>, Vec<i32>) = (Vec::new(), vec![0]);
        let mut cohorts = Vec::with_capacity(taken.known().len());
        let mut returns: Vec<Return> = Vec::new();
        taken.each(|known, logged| {
            if known.starts == Tied(0) {
                cohorts.push(None);
            } else {
                let first_day = calendar.bucket(known.birth).and_then(|bucket| calendar.first_day_again(bucket));
                let cohort = first_day.and_then(|day| i32::try_from(day).ok());
                cohorts.push(Some(cohort.ok_or_else(|| beyond_calendar(known.birth))?));
                returns.clear();
                returns.extend(logged.iter().map(|entry| Return { time: entry.time, tied: entry.tied }));
                periods(known.birth, known.starts, &mut returns, &mut counting, self.least, &mut found);
            }
            let end = i32::try_from(found.len());
            offsets.push(end.map_err(|_| Error::resources(format!("{NAME}: too many periods")))?);
            Ok(())
        })?;
        let valid: NullBuffer = cohorts.iter().map(Option::is_some).collect::<Vec<_>>().into();
        let births = taken.known().iter().map(|k| if k.starts == Tied(0) { 0 } else { k.birth }).collect();
        let mut columns: Vec<ArrayRef> = vec![
            times_array(births, Some(valid), &self.time_type)?,
            Arc::new(Date32Array::from(cohorts)),
            list_of(Arc::new(Int64Array::from(found)), offsets),
        ];
        let fields = answer_fields(&self.time_type, kept.as_ref().and_then(|kept| struct_fields(kept.data_type())));
        columns.extend(kept);
        Ok(Arc::new(StructArray::try_new(fields, columns, None)?))
    }

    fn state(&mut self, taken: &Taken<Self>, kept: Option<ArrayRef>) -> Result<Vec<ArrayRef>> {
        let mut offsets = vec![0i32];
        let most = taken.most_entries();
        let (mut times, mut tied) = (Vec::with_capacity(most), Vec::with_capacity(most));
        taken.each(|_, logged| {
            times.extend(logged.iter().map(|entry| entry.time));
            tied.extend(logged.iter().map(|entry| entry.tied.0));
            offsets.push(times.len() as i32);
            Ok(())
        })?;
        let known = taken.known();
        let births: Int64Array = known.iter().map(|k| (k.starts != Tied(0)).then_some(k.birth)).collect();
        let starts: UInt8Array = known.iter().map(|k| k.starts.0).collect::<Vec<_>>().into();
        let mut state: Vec<ArrayRef> = vec![
            Arc::new(births),
            Arc::new(starts),
            list_of(Arc::new(Int64Array::from(times)), offsets.clone()),
            list_of(Arc::new(UInt8Array::from(tied)), offsets),
        ];
        state.extend(kept);
        Ok(state)
    }

    /// Emission sorts the log by group.
    fn bytes_at_the_end() -> (usize, usize) {
        (size_of::<Logged>() + 2 * size_of::<u32>(), 0)
    }
}
