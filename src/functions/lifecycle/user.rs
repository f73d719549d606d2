//! `user_lifecycle`: the period of birth of each group, and the periods in which it was active.
//!
//! Memory: 24 bytes a group, 8 for each further active period (and for each change of period where times come unordered),
//! and the kept values. Partial states are exact: the periods, the earliest birth and the first activity.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Int32Array, Int64Array, StructArray};
use arrow::datatypes::{DataType, Field, FieldRef, Fields, Int32Type, Int64Type};
use datafusion::error::Result;
use datafusion::logical_expr::function::AccumulatorArgs;
use datafusion::logical_expr::{AggregateUDF, GroupsAccumulator};

use crate::algo::calendar::{Calendar, Clock};
use crate::algo::event_log::Grouped;
use crate::error::Error;
use crate::functions::columns::{Times, clock_of, coerce_time, list_of, passes, struct_fields};
use crate::functions::grouped::{GroupedFunction, aggregate, argument_types};
use crate::functions::kept_values::{KeptValues, kept_fields};
use crate::functions::period::numbers::PeriodNumbers;
use crate::functions::user_logs::{NO_VALUE, Taken, UserFold, UserLogs, Users};

const NAME: &str = "user_lifecycle";
/// Position of the first of unit, tz and week_start.
const WORDS: usize = 2;
const KEPT: usize = 5;

/// The function.
pub fn user_lifecycle() -> AggregateUDF {
    aggregate(UserLifecycle)
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct UserLifecycle;

fn kept_of(types: &[DataType]) -> Option<&Fields> {
    types.get(KEPT).and_then(struct_fields)
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
        Ok(Box::new(UserLogs::new(Activity::new(calendar(&types[0])?, calendar(&types[1])?), kept)))
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

/// The period that is none.
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

const NOTHING: Known = Known { first: i64::MAX, last: NEVER, born: NEVER, kept: NO_VALUE };

/// Births and active periods.
struct Activity {
    times: PeriodNumbers,
    births: PeriodNumbers,
}

impl Activity {
    fn new(times: Calendar, births: Calendar) -> Self {
        let periods = |calendar| PeriodNumbers::new(NAME, calendar);
        Self { times: periods(times), births: periods(births) }
    }
}

#[inline]
fn note_active(users: &mut Users<Activity>, group: usize, period: i32) {
    let known = &mut users.known[group];
    if known.last != period {
        if known.last != NEVER {
            users.log.push(Active { group: group as u32, period: known.last });
        }
        known.last = period;
    }
}

fn note_born(known: &mut Known, period: i32) {
    if known.born == NEVER || period < known.born {
        known.born = period;
    }
}

/// Notes the time of an activity; true where it is the first of its group as known so far.
#[inline]
fn note_first(known: &mut Known, time: i64) -> bool {
    if time < known.first {
        (known.first, known.kept) = (time, NO_VALUE);
    }
    time == known.first
}

/// The active periods of each user, ascending, as a list.
fn periods_of(taken: &Taken<Activity>) -> Result<ArrayRef> {
    let (mut periods, mut offsets) = (Vec::with_capacity(taken.most_entries()), vec![0i32]);
    taken.each(|_, logged| {
        let begin = periods.len();
        periods.extend(logged.iter().map(|active| active.period));
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
        Ok(())
    })?;
    Ok(list_of(Arc::new(Int32Array::from(periods)), offsets))
}

impl UserFold for Activity {
    const NAME: &'static str = NAME;
    const ENTRIES: &'static str = "active periods";
    type Known = Known;
    type Logged = Active;
    const UNKNOWN: Known = NOTHING;

    fn kept(known: &Known) -> u32 {
        known.kept
    }

    fn set_kept(known: &mut Known, number: u32) {
        known.kept = number;
    }

    fn pending(known: &Known, group: u32) -> Option<Active> {
        (known.last != NEVER).then_some(Active { group, period: known.last })
    }

    fn fresh(&self) -> Self {
        Self::new(self.times.calendar().clone(), self.births.calendar().clone())
    }

    fn update(
        &mut self,
        users: &mut Users<Self>,
        values: &[ArrayRef],
        groups: &[usize],
        filter: Option<&BooleanArray>,
    ) -> Result<()> {
        let times = Times::read(&values[0])?;
        let births = &values[1];
        let births = (births.null_count() < births.len()).then(|| Times::read(births)).transpose()?;
        let (every_row, keeps) = (filter.is_none() && !times.has_nulls(), users.keeps());
        for (row, (time, group)) in times.values().iter().zip(groups).enumerate() {
            if !every_row && (times.is_null(row) || !passes(filter, row)) {
                continue;
            }
            let period = self.times.of(*time)?;
            note_active(users, *group, period);
            if keeps && note_first(&mut users.known[*group], *time) {
                users.note_candidate(row);
            }
            if let Some(births) = births.as_ref().filter(|births| !births.is_null(row)) {
                let period = self.births.of(births.values()[row])?;
                note_born(&mut users.known[*group], period);
            }
        }
        if keeps {
            users.keep(&values[KEPT], groups, |row, known| times.values()[row] == known.first)?;
        }
        Ok(())
    }

    fn merge(&mut self, users: &mut Users<Self>, values: &[ArrayRef], groups: &[usize]) -> Result<()> {
        let born = values[0].as_primitive::<Int32Type>();
        let lists = values[1].as_list::<i32>();
        let active = lists.values().as_primitive::<Int32Type>().values();
        for (row, group) in groups.iter().enumerate() {
            for at in lists.value_offsets()[row] as usize..lists.value_offsets()[row + 1] as usize {
                note_active(users, *group, active[at]);
            }
            if born.is_valid(row) {
                note_born(&mut users.known[*group], born.value(row));
            }
        }
        if users.keeps() {
            let firsts = values[2].as_primitive::<Int64Type>();
            for (row, group) in groups.iter().enumerate() {
                if firsts.is_valid(row) && note_first(&mut users.known[*group], firsts.value(row)) {
                    users.note_candidate(row);
                }
            }
            users.keep(&values[3], groups, |row, known| firsts.value(row) == known.first)?;
        }
        Ok(())
    }

    fn evaluate(&mut self, taken: &Taken<Self>, kept: Option<ArrayRef>) -> Result<ArrayRef> {
        let periods = periods_of(taken)?;
        let list = periods.as_list::<i32>();
        let active = list.values().as_primitive::<Int32Type>().values();
        let born: Int32Array = (taken.known().iter().zip(list.value_offsets()))
            .map(|(k, begin)| {
                // Nobody is active before being born.
                (k.last != NEVER).then(|| match (k.born, active[*begin as usize]) {
                    (NEVER, first) => first,
                    (born, first) => born.min(first),
                })
            })
            .collect();
        let fields = answer_fields(kept.as_ref().and_then(|kept| struct_fields(kept.data_type())));
        let mut columns: Vec<ArrayRef> = vec![Arc::new(born), Arc::clone(&periods)];
        columns.extend(kept);
        Ok(Arc::new(StructArray::try_new(fields, columns, None)?))
    }

    fn state(&mut self, taken: &Taken<Self>, kept: Option<ArrayRef>) -> Result<Vec<ArrayRef>> {
        let known = taken.known();
        let born: Int32Array = known.iter().map(|k| (k.born != NEVER).then_some(k.born)).collect();
        let mut state: Vec<ArrayRef> = vec![Arc::new(born), periods_of(taken)?];
        if let Some(kept) = kept {
            let first: Int64Array = known.iter().map(|k| (k.last != NEVER).then_some(k.first)).collect();
            state.extend([Arc::new(first) as ArrayRef, kept]);
        }
        Ok(state)
    }

    /// Emission writes the periods of all groups into one column, after sorting the log by group.
    fn bytes_at_the_end() -> (usize, usize) {
        (3 * size_of::<i32>(), size_of::<i32>())
    }
}
