//! `user_amounts`: what each group was worth in every period, as value retention adds it up.
//!
//! Memory: 16 bytes a group, and 32 for each return event with an amount (48 where amounts are no doubles); with births in every
//! period as many for each period with a start. Partial states are exact.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Int64Array, StructArray};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{DataType, Field, FieldRef, Int64Type};
use datafusion::error::Result;
use datafusion::logical_expr::function::AccumulatorArgs;
use datafusion::logical_expr::{AggregateUDF, GroupsAccumulator};

use super::amounts::{ColumnAmount, coerce_amount, list_item, list_of_structs, too_large, worth_fields};
use super::arguments::Counting;
use crate::algo::calendar::Clock;
use crate::algo::cohort_value::{Paid, Worth, by_period, since_birth};
use crate::algo::event_log::Grouped;
use crate::error::{Error, suggest};
use crate::functions::columns::{Times, clock_of, coerce_condition, coerce_time, list_of, literal_text, masks};
use crate::functions::grouped::{GroupedFunction, aggregate, argument_types};
use crate::functions::period::numbers::PeriodNumbers;
use crate::functions::user_logs::{Taken, UserFold, UserLogs, Users};

const NAME: &str = "user_amounts";
/// Position of the amounts.
const AMOUNT: usize = 3;
/// Position of the first of unit, tz, week_start and index.
const WORDS: usize = 4;
const BIRTH: usize = 8;
const ARGUMENTS: usize = 9;

/// Which start events are births.
const BIRTHS: [&str; 2] = ["first", "recurring"];

/// The function.
pub fn user_amounts() -> AggregateUDF {
    aggregate(UserAmounts)
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct UserAmounts;

impl GroupedFunction for UserAmounts {
    fn name(&self) -> &'static str {
        NAME
    }

    fn coerce(&self, types: &[DataType]) -> Result<Vec<DataType>, Error> {
        if types.len() != ARGUMENTS {
            return Err(Error::user(format!(
                "{NAME}: needs (time, start, return, amount, unit, time zone, week_start, index, birth), got {} arguments",
                types.len()
            )));
        }
        let mut coerced = vec![
            coerce_time(NAME, 1, &types[0])?,
            coerce_condition(NAME, 2, &types[1])?,
            coerce_condition(NAME, 3, &types[2])?,
            coerce_amount(NAME, &types[AMOUNT])?,
        ];
        coerced.resize(ARGUMENTS, DataType::Utf8);
        Ok(coerced)
    }

    fn answer_type(&self, types: &[DataType]) -> Result<DataType, Error> {
        Ok(DataType::List(list_item(worth_fields(&types[AMOUNT]))))
    }

    fn groups(&self, args: &AccumulatorArgs) -> Result<Box<dyn GroupsAccumulator>> {
        let types = argument_types(args);
        let clock = clock_of(&types[0]).unwrap_or(Clock::Dates);
        let counting = Counting::of_literals(NAME, args.exprs, WORDS, clock)?;
        let birth = literal_text(NAME, "birth", args.exprs, BIRTH)?;
        if !BIRTHS.contains(&birth.as_str()) {
            return Err(Error::user(format!("{NAME}: unknown birth '{birth}'; {}", suggest(&birth, BIRTHS))).into());
        }
        let amount = types[AMOUNT].clone();
        let recurring = birth == BIRTHS[1];
        if recurring && counting.rolling.is_some() {
            return Err(Error::user(format!("{NAME}: birth 'recurring' needs the index 'calendar'")).into());
        }
        Ok(match amount {
            DataType::Float64 => Box::new(UserLogs::new(Amounts::<f64>::new(amount, counting, recurring), None)),
            _ => Box::new(UserLogs::new(Amounts::<i128>::new(amount, counting, recurring), None)),
        })
    }

    fn state_fields(&self, name: &str, types: &[DataType]) -> Result<Vec<FieldRef>, Error> {
        let list = |part: &str, item| {
            Arc::new(Field::new_list(format!("{name}[{part}]"), Field::new_list_field(item, true), false))
        };
        let birth = Arc::new(Field::new(format!("{name}[birth]"), DataType::Int64, true));
        Ok(vec![
            birth,
            list("starts", DataType::Int64),
            list("times", DataType::Int64),
            list("amounts", types[AMOUNT].clone()),
        ])
    }
}

/// An amount, or a start.
#[derive(Clone, Copy)]
struct Logged<V> {
    time: i64,
    amount: V,
    group: u32,
    starts: bool,
}

impl<V: ColumnAmount> Grouped for Logged<V> {
    fn group(&self) -> u32 {
        self.group
    }
    fn with_group(self, group: u32) -> Self {
        Self { group, ..self }
    }
}

/// What is known of one group beside its log.
#[derive(Clone, Copy)]
struct Known {
    /// The first start event; where births recur, that of the newest period with one, not yet in the log.
    start: i64,
    /// That period.
    period: i32,
}

/// No period of births that recur: those before any was seen, and births that do not recur.
const NO_PERIOD: i32 = i32::MIN;

/// Births and amounts.
struct Amounts<V> {
    amount: DataType,
    counting: Counting,
    /// Whether every period has a birth.
    recurring: bool,
    numbers: PeriodNumbers,
    none: std::marker::PhantomData<V>,
}

impl<V: ColumnAmount> Amounts<V> {
    fn new(amount: DataType, counting: Counting, recurring: bool) -> Self {
        let numbers = PeriodNumbers::new(NAME, counting.calendar.clone());
        Self { amount, counting, recurring, numbers, none: std::marker::PhantomData }
    }

    #[inline]
    fn note_start(&mut self, users: &mut Users<Self>, group: usize, time: i64) -> Result<()> {
        let known = &mut users.known[group];
        if !self.recurring {
            known.start = known.start.min(time);
            return Ok(());
        }
        let period = self.numbers.of(time)?;
        if known.period == period {
            known.start = known.start.min(time);
            return Ok(());
        }
        let before = std::mem::replace(known, Known { start: time, period });
        if before.period != NO_PERIOD {
            users.log.push(start(before, group as u32));
        }
        Ok(())
    }
}

fn start<V: ColumnAmount>(known: Known, group: u32) -> Logged<V> {
    Logged { time: known.start, amount: V::default(), group, starts: true }
}

impl<V: ColumnAmount> UserFold for Amounts<V> {
    const NAME: &'static str = NAME;
    const ENTRIES: &'static str = "amounts";
    type Known = Known;
    type Logged = Logged<V>;
    const UNKNOWN: Known = Known { start: i64::MAX, period: NO_PERIOD };

    fn pending(known: &Known, group: u32) -> Option<Logged<V>> {
        (known.period != NO_PERIOD).then(|| start(*known, group))
    }

    fn fresh(&self) -> Self {
        Self::new(self.amount.clone(), self.counting.clone(), self.recurring)
    }

    fn update(
        &mut self,
        users: &mut Users<Self>,
        values: &[ArrayRef],
        groups: &[usize],
        filter: Option<&BooleanArray>,
    ) -> Result<()> {
        let times = Times::read(&values[0])?;
        let mut roles = Vec::new();
        masks(&values[1..AMOUNT], &times, filter, &mut roles);
        let amounts = V::read(&values[AMOUNT]);
        for (row, mask) in roles.iter().enumerate() {
            let (group, time) = (groups[row], times.values()[row]);
            if mask & 1 != 0 {
                self.note_start(users, group, time)?;
            }
            if mask & 2 != 0 && values[AMOUNT].is_valid(row) {
                users.log.push(Logged { time, amount: amounts[row], group: group as u32, starts: false });
            }
        }
        Ok(())
    }

    fn merge(&mut self, users: &mut Users<Self>, values: &[ArrayRef], groups: &[usize]) -> Result<()> {
        let births = values[0].as_primitive::<Int64Type>();
        let (starts, times) = (values[1].as_list::<i32>(), values[2].as_list::<i32>());
        let amounts = values[3].as_list::<i32>();
        let range = |list: &arrow::array::ListArray, row: usize| {
            list.value_offsets()[row] as usize..list.value_offsets()[row + 1] as usize
        };
        let ticks = |list: &arrow::array::ListArray| list.values().as_primitive::<Int64Type>().values().clone();
        let (start_ticks, paid_ticks) = (ticks(starts), ticks(times));
        let paid = V::read(amounts.values());
        for (row, group) in groups.iter().enumerate() {
            if births.is_valid(row) {
                self.note_start(users, *group, births.value(row))?;
            }
            for time in &start_ticks[range(starts, row)] {
                self.note_start(users, *group, *time)?;
            }
            for (time, amount) in paid_ticks[range(times, row)].iter().zip(&paid[range(amounts, row)]) {
                users.log.push(Logged { time: *time, amount: *amount, group: *group as u32, starts: false });
            }
        }
        Ok(())
    }

    fn evaluate(&mut self, taken: &Taken<Self>, _kept: Option<ArrayRef>) -> Result<ArrayRef> {
        let mut counting = self.counting.periods();
        let (mut found, mut offsets): (Vec<Worth<V>>, Vec<i32>) = (Vec::new(), vec![0]);
        let (mut starts, mut paid) = (Vec::new(), Vec::new());
        taken.each(|known, logged| {
            starts.clear();
            paid.clear();
            for entry in logged.iter() {
                let period = if self.recurring { self.numbers.of(entry.time)? } else { 0 };
                if entry.starts {
                    starts.push((period, entry.time));
                } else {
                    paid.push(Paid { time: entry.time, period, amount: entry.amount });
                }
            }
            if self.recurring {
                by_period(&mut starts, &mut paid, &mut found).map_err(|_| too_large(NAME))?;
            } else if known.start != i64::MAX {
                since_birth(known.start, &mut paid, &mut counting, &mut found).map_err(|_| too_large(NAME))?;
            }
            let end = i32::try_from(found.len());
            offsets.push(end.map_err(|_| Error::resources(format!("{NAME}: too many periods")))?);
            Ok(())
        })?;
        let have_birth: NullBuffer = found.iter().map(|w| w.since.is_some()).collect::<Vec<_>>().into();
        let since = found.iter().map(|w| w.since.unwrap_or_default()).collect();
        let columns: Vec<ArrayRef> = vec![
            Arc::new(Int64Array::from_iter_values(found.iter().map(|w| w.period))),
            V::column(found.iter().map(|w| w.amount).collect(), None, &self.amount)?,
            V::column(since, Some(have_birth), &self.amount)?,
        ];
        list_of_structs(StructArray::try_new(worth_fields(&self.amount), columns, None)?, offsets)
    }

    fn state(&mut self, taken: &Taken<Self>, _kept: Option<ArrayRef>) -> Result<Vec<ArrayRef>> {
        let (mut starts, mut start_ends) = (Vec::new(), vec![0i32]);
        let (mut times, mut amounts, mut paid_ends) = (Vec::new(), Vec::new(), vec![0i32]);
        taken.each(|_, logged| {
            for entry in logged.iter() {
                if entry.starts {
                    starts.push(entry.time);
                } else {
                    times.push(entry.time);
                    amounts.push(entry.amount);
                }
            }
            start_ends.push(starts.len() as i32);
            paid_ends.push(times.len() as i32);
            Ok(())
        })?;
        let birth = |known: &Known| (!self.recurring && known.start != i64::MAX).then_some(known.start);
        Ok(vec![
            Arc::new(taken.known().iter().map(birth).collect::<Int64Array>()),
            list_of(Arc::new(Int64Array::from(starts)), start_ends),
            list_of(Arc::new(Int64Array::from(times)), paid_ends.clone()),
            list_of(V::column(amounts, None, &self.amount)?, paid_ends),
        ])
    }

    /// Emission sorts the log by group.
    fn bytes_at_the_end() -> (usize, usize) {
        (size_of::<Worth<V>>(), size_of::<Logged<V>>() + size_of::<u32>())
    }
}
