//! `activity_days(time, transaction, tz)`: the local dates on which each group was active.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Date32Array, Int64Array, ListArray, StructArray};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{DataType, Date32Type, Field, FieldRef, Fields, Int64Type};
use datafusion::error::Result;
use datafusion::logical_expr::function::AccumulatorArgs;
use datafusion::logical_expr::{AggregateUDF, GroupsAccumulator};

use crate::algo::calendar::{Calendar, Clock, Unit};
use crate::algo::event_log::Grouped;
use crate::error::Error;
use crate::functions::columns::{Times, clock_of, coerce_condition, coerce_time, literal_text, passes};
use crate::functions::grouped::{GroupedFunction, aggregate};
use crate::functions::user_logs::{Taken, UserFold, UserLogs, Users};

const NAME: &str = "activity_days";

/// The function.
pub fn activity_days() -> AggregateUDF {
    aggregate(ActivityDays)
}

/// Fields of one active day.
pub fn day_fields() -> Fields {
    vec![
        Field::new("day", DataType::Date32, false),
        Field::new("events", DataType::Int64, false),
        Field::new("transactions", DataType::Int64, false),
    ]
    .into()
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct ActivityDays;

impl GroupedFunction for ActivityDays {
    fn name(&self) -> &'static str {
        NAME
    }

    fn coerce(&self, types: &[DataType]) -> Result<Vec<DataType>, Error> {
        let [time, transaction, _] = types else {
            return Err(Error::user(format!(
                "{NAME}: needs (time, transaction, time zone), got {} arguments",
                types.len()
            )));
        };
        Ok(vec![coerce_time(NAME, 1, time)?, coerce_condition(NAME, 2, transaction)?, DataType::Utf8])
    }

    fn answer_type(&self, _types: &[DataType]) -> Result<DataType, Error> {
        Ok(DataType::new_list(DataType::Struct(day_fields()), true))
    }

    fn groups(&self, args: &AccumulatorArgs) -> Result<Box<dyn GroupsAccumulator>> {
        let zone = literal_text(NAME, "the time zone", args.exprs, 2)?;
        let clock = clock_of(args.expr_fields[0].data_type()).unwrap_or(Clock::Dates);
        let calendar = Calendar::new(Unit::Day, &zone, 0, clock).ok_or_else(|| {
            Error::user(format!("{NAME}: unknown time zone '{zone}'; an IANA name such as 'Europe/Berlin' is needed"))
        })?;
        Ok(Box::new(UserLogs::new(Days { calendar }, None)))
    }

    fn state_fields(&self, name: &str, _types: &[DataType]) -> Result<Vec<FieldRef>, Error> {
        let item = DataType::Struct(day_fields());
        Ok(vec![Arc::new(Field::new(format!("{name}[days]"), DataType::new_list(item, true), false))])
    }
}

#[derive(Clone, Copy)]
struct DayEntry {
    day: i32,
    group: u32,
    events: u32,
    transactions: u32,
}

impl Grouped for DayEntry {
    fn group(&self) -> u32 {
        self.group
    }
    fn with_group(self, group: u32) -> Self {
        Self { group, ..self }
    }
}

/// No day yet: a real one has at least one event.
const NONE: DayEntry = DayEntry { day: 0, group: 0, events: 0, transactions: 0 };

/// Active days. Of each group the newest day is known and not yet in the log: events of one day usually follow each other.
struct Days {
    calendar: Calendar,
}

#[inline]
fn note(users: &mut Users<Days>, group: usize, day: i32, events: u32, transactions: u32) {
    let last = &mut users.known[group];
    if last.events > 0 && last.day == day {
        last.events = last.events.saturating_add(events);
        last.transactions = last.transactions.saturating_add(transactions);
        return;
    }
    if last.events > 0 {
        users.log.push(DayEntry { group: group as u32, ..*last });
    }
    *last = DayEntry { day, group: 0, events, transactions };
}

impl UserFold for Days {
    const NAME: &'static str = NAME;
    const ENTRIES: &'static str = "active days";
    type Known = DayEntry;
    type Logged = DayEntry;
    const UNKNOWN: DayEntry = NONE;

    fn pending(known: &DayEntry, group: u32) -> Option<DayEntry> {
        (known.events > 0).then_some(DayEntry { group, ..*known })
    }

    fn fresh(&self) -> Self {
        Self { calendar: self.calendar.clone() }
    }

    fn update(
        &mut self,
        users: &mut Users<Self>,
        values: &[ArrayRef],
        groups: &[usize],
        filter: Option<&BooleanArray>,
    ) -> Result<()> {
        let times = Times::read(&values[0])?;
        let transactions = values[1].as_boolean();
        for (row, group) in groups.iter().enumerate() {
            if times.is_null(row) || !passes(filter, row) {
                continue;
            }
            let time = times.values()[row];
            let day = self.calendar.day(time).and_then(|d| i32::try_from(d).ok()).ok_or_else(|| {
                Error::data(format!("{NAME}: time {time} (in the column's own unit) is beyond the calendar"))
            })?;
            let bought = transactions.is_valid(row) && transactions.value(row);
            note(users, *group, day, 1, u32::from(bought));
        }
        Ok(())
    }

    fn merge(&mut self, users: &mut Users<Self>, values: &[ArrayRef], groups: &[usize]) -> Result<()> {
        let lists = values[0].as_list::<i32>();
        let structs = lists.values().as_struct();
        let days = structs.column(0).as_primitive::<Date32Type>().values();
        let events = structs.column(1).as_primitive::<Int64Type>().values();
        let transactions = structs.column(2).as_primitive::<Int64Type>().values();
        let count = |n: i64| u32::try_from(n).unwrap_or(u32::MAX);
        for (row, group) in groups.iter().enumerate() {
            for at in lists.value_offsets()[row] as usize..lists.value_offsets()[row + 1] as usize {
                note(users, *group, days[at], count(events[at]), count(transactions[at]));
            }
        }
        Ok(())
    }

    /// Each group's days, ascending and each once.
    fn evaluate(&mut self, taken: &Taken<Self>, _kept: Option<ArrayRef>) -> Result<ArrayRef> {
        let (mut dates, mut events, mut transactions) = (Vec::new(), Vec::new(), Vec::new());
        let mut offsets = vec![0i32];
        taken.each(|_, days| {
            days.sort_unstable_by_key(|d| d.day);
            let begin = dates.len();
            for d in days.iter() {
                if dates.len() > begin && dates.last() == Some(&d.day) {
                    let at = dates.len() - 1;
                    events[at] += i64::from(d.events);
                    transactions[at] += i64::from(d.transactions);
                } else {
                    dates.push(d.day);
                    events.push(i64::from(d.events));
                    transactions.push(i64::from(d.transactions));
                }
            }
            offsets.push(dates.len() as i32);
            Ok(())
        })?;
        let columns: Vec<ArrayRef> = vec![
            Arc::new(Date32Array::from(dates)),
            Arc::new(Int64Array::from(events)),
            Arc::new(Int64Array::from(transactions)),
        ];
        let structs = StructArray::try_new(day_fields(), columns, None)?;
        let item = Arc::new(Field::new_list_field(DataType::Struct(day_fields()), true));
        Ok(Arc::new(ListArray::try_new(item, OffsetBuffer::new(offsets.into()), Arc::new(structs), None)?))
    }

    fn state(&mut self, taken: &Taken<Self>, kept: Option<ArrayRef>) -> Result<Vec<ArrayRef>> {
        Ok(vec![self.evaluate(taken, kept)?])
    }

    /// Emission sorts the log by group.
    fn bytes_at_the_end() -> (usize, usize) {
        (size_of::<DayEntry>() + 2 * size_of::<u32>(), 0)
    }
}
