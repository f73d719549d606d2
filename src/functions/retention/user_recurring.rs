//! `user_recurring`: in which periods each group had a start, and in which a return.
//!
//! Memory: 48 bytes a group, 36 for each further period with a start or a return (for each such event, where a period needs several
//! returns; and for each change of period where times come unordered), and the kept values. Partial states are exact.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Date32Array, Int32Array, Int64Array, StructArray, UInt8Array,
};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{DataType, Field, FieldRef, Fields, Int32Type, Int64Type, UInt8Type};
use datafusion::error::Result;
use datafusion::logical_expr::function::AccumulatorArgs;
use datafusion::logical_expr::{AggregateUDF, GroupsAccumulator};

use super::arguments::Counting;
use super::user::least_returns;
use crate::algo::calendar::Clock;
use crate::algo::event_log::Grouped;
use crate::algo::retention::{Membership, Tied, Visit, memberships};
use crate::error::Error;
use crate::functions::columns::{
    Times, clock_of, coerce_condition, coerce_time, list_of, literal_text, masks, struct_fields, times_array,
};
use crate::functions::grouped::{GroupedFunction, aggregate, argument_types};
use crate::functions::kept_values::{KeptValues, kept_fields};
use crate::functions::period::numbers::PeriodNumbers;
use crate::functions::user_logs::{NO_VALUE, Taken, UserFold, UserLogs, Users};

const NAME: &str = "user_recurring";
/// Position of the first of unit, tz and week_start.
const WORDS: usize = 3;
const LEAST: usize = 6;
const KEPT: usize = 7;

/// The function.
pub fn user_recurring() -> AggregateUDF {
    aggregate(UserRecurring)
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct UserRecurring;

/// What is said of one period.
pub fn membership_fields(time: &DataType) -> Fields {
    vec![
        Field::new("period", DataType::Int32, false),
        Field::new("cohort", DataType::Date32, false),
        Field::new("birth", time.clone(), true),
        Field::new("returned", DataType::Boolean, false),
        Field::new("again", DataType::Boolean, false),
    ]
    .into()
}

/// The type of the times in a list of periods as this function answers it; `None` for any other type.
pub fn time_of(periods: &DataType) -> Option<&DataType> {
    let DataType::List(item) = periods else { return None };
    let DataType::Struct(fields) = item.data_type() else { return None };
    let time = fields.get(2)?.data_type();
    (*fields == membership_fields(time)).then_some(time)
}

fn kept_of(types: &[DataType]) -> Option<&Fields> {
    types.get(KEPT).and_then(struct_fields)
}

fn list_field(time: &DataType) -> Field {
    Field::new("periods", DataType::new_list(DataType::Struct(membership_fields(time)), true), false)
}

fn answer_fields(time: &DataType, kept: Option<&Fields>) -> Fields {
    let mut fields = vec![list_field(time)];
    if let Some(kept) = kept {
        fields.push(Field::new("kept", DataType::Struct(kept_fields(kept)), true));
    }
    fields.into()
}

impl GroupedFunction for UserRecurring {
    fn name(&self) -> &'static str {
        NAME
    }

    fn coerce(&self, types: &[DataType]) -> Result<Vec<DataType>, Error> {
        let kept = kept_of(types).is_some();
        if types.len() != KEPT + usize::from(kept) {
            return Err(Error::user(format!(
                "{NAME}: needs (time, start, return, unit, time zone, week_start, min_count [, kept STRUCT]), got {} arguments",
                types.len()
            )));
        }
        let mut coerced = types.to_vec();
        coerced[0] = coerce_time(NAME, 1, &types[0])?;
        coerced[1] = coerce_condition(NAME, 2, &types[1])?;
        coerced[2] = coerce_condition(NAME, 3, &types[2])?;
        coerced[WORDS..LEAST].fill(DataType::Utf8);
        coerced[LEAST] = DataType::Int64;
        Ok(coerced)
    }

    fn answer_type(&self, types: &[DataType]) -> Result<DataType, Error> {
        Ok(DataType::Struct(answer_fields(&types[0], kept_of(types))))
    }

    fn groups(&self, args: &AccumulatorArgs) -> Result<Box<dyn GroupsAccumulator>> {
        let types = argument_types(args);
        let clock = clock_of(&types[0]).unwrap_or(Clock::Dates);
        let text = |name, at| literal_text(NAME, name, args.exprs, at);
        let (unit, zone) = (text("the unit", WORDS)?, text("the time zone", WORDS + 1)?);
        let week_start = text("week_start", WORDS + 2)?;
        let counting = Counting::parse(NAME, &unit, &zone, &week_start, "calendar", clock)?;
        let numbers = PeriodNumbers::new(NAME, counting.calendar);
        let least = least_returns(NAME, args.exprs, LEAST)?;
        let kept = kept_of(&types).map(KeptValues::new).transpose()?;
        Ok(Box::new(UserLogs::new(Visits { time_type: types[0].clone(), numbers, least }, kept)))
    }

    fn state_fields(&self, name: &str, types: &[DataType]) -> Result<Vec<FieldRef>, Error> {
        let list = |part: &str, item| {
            Arc::new(Field::new_list(format!("{name}[{part}]"), Field::new_list_field(item, true), false))
        };
        let mut fields = vec![
            list("periods", DataType::Int32),
            list("starts", DataType::Int64),
            list("tied_starts", DataType::UInt8),
            list("returns", DataType::Int64),
            list("tied_returns", DataType::UInt8),
        ];
        if let Some(kept) = kept_of(types) {
            fields.push(Arc::new(Field::new(format!("{name}[first]"), DataType::Int64, true)));
            fields.push(Arc::new(Field::new(format!("{name}[kept]"), DataType::Struct(kept_fields(kept)), true)));
        }
        Ok(fields)
    }
}

#[derive(Clone, Copy)]
struct Logged {
    visit: Visit,
    group: u32,
}

impl Grouped for Logged {
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
    /// The newest period, not yet in the log: events of one period usually follow each other and are folded here.
    newest: Visit,
    /// Time of the first start; looked at only where values are kept.
    first: i64,
    /// Number of the value kept there.
    kept: u32,
}

const NO_VISIT: Visit = Visit { period: i32::MIN, start: 0, starts: Tied(0), last: 0, returns: Tied(0) };

/// Starts and returns by period.
struct Visits {
    time_type: DataType,
    numbers: PeriodNumbers,
    /// How many returns a period needs. Above one every event is logged.
    least: u32,
}

impl Visits {
    #[inline]
    fn note(&self, users: &mut Users<Self>, group: usize, visit: Visit) {
        let newest = &mut users.known[group].newest;
        if newest.period == visit.period && self.least == 1 {
            newest.and(&visit);
            return;
        }
        let before = std::mem::replace(newest, visit);
        if before != NO_VISIT {
            users.log.push(Logged { visit: before, group: group as u32 });
        }
    }
}

/// Notes the time of a start; true where it is the first of its group as known so far.
#[inline]
fn note_first(known: &mut Known, time: i64) -> bool {
    if time < known.first {
        (known.first, known.kept) = (time, NO_VALUE);
    }
    time == known.first
}

impl UserFold for Visits {
    const NAME: &'static str = NAME;
    const ENTRIES: &'static str = "periods";
    type Known = Known;
    type Logged = Logged;
    const UNKNOWN: Known = Known { newest: NO_VISIT, first: i64::MAX, kept: NO_VALUE };

    fn kept(known: &Known) -> u32 {
        known.kept
    }

    fn set_kept(known: &mut Known, number: u32) {
        known.kept = number;
    }

    fn pending(known: &Known, group: u32) -> Option<Logged> {
        (known.newest != NO_VISIT).then_some(Logged { visit: known.newest, group })
    }

    fn fresh(&self) -> Self {
        let numbers = PeriodNumbers::new(NAME, self.numbers.calendar().clone());
        Self { time_type: self.time_type.clone(), numbers, least: self.least }
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
        masks(&values[1..WORDS], &times, filter, &mut roles);
        let keeps = users.keeps();
        // Rows of one user in one period usually follow each other: their visit stays at hand until another one comes.
        let (mut at_hand, mut visit) = (usize::MAX, NO_VISIT);
        for (row, mask) in roles.iter().enumerate() {
            if *mask == 0 {
                continue;
            }
            let (group, time) = (groups[row], times.values()[row]);
            let tied = if *mask == 3 { Tied::BOTH_ROLES } else { Tied::ONE_ROLE };
            let role = |bit: u64| if mask & bit != 0 { tied } else { Tied(0) };
            let (period, starts, returns) = (self.numbers.of(time)?, role(1), role(2));
            let own = Visit { period, start: time, starts, last: time, returns };
            if group == at_hand && period == visit.period && self.least == 1 {
                visit.and(&own);
            } else {
                if at_hand != usize::MAX {
                    users.known[at_hand].newest = visit;
                }
                self.note(users, group, own);
                (at_hand, visit) = (group, users.known[group].newest);
            }
            if keeps && mask & 1 != 0 && note_first(&mut users.known[group], time) {
                users.note_candidate(row);
            }
        }
        if at_hand != usize::MAX {
            users.known[at_hand].newest = visit;
        }
        if keeps {
            users.keep(&values[KEPT], groups, |row, known| times.values()[row] == known.first)?;
        }
        Ok(())
    }

    fn merge(&mut self, users: &mut Users<Self>, values: &[ArrayRef], groups: &[usize]) -> Result<()> {
        let lists: Vec<_> = values[..5].iter().map(|list| list.as_list::<i32>()).collect();
        let ends: Vec<_> = lists.iter().map(|list| list.value_offsets()).collect();
        let periods = lists[0].values().as_primitive::<Int32Type>().values();
        let [starts, returns] = [1, 3].map(|at: usize| lists[at].values().as_primitive::<Int64Type>().values());
        let [tied_starts, tied_returns] =
            [2, 4].map(|at: usize| lists[at].values().as_primitive::<UInt8Type>().values());
        for (row, group) in groups.iter().enumerate() {
            let begin: Vec<usize> = ends.iter().map(|ends| ends[row] as usize).collect();
            for nth in 0..(ends[0][row + 1] - ends[0][row]) as usize {
                let visit = Visit {
                    period: periods[begin[0] + nth],
                    start: starts[begin[1] + nth],
                    starts: Tied(tied_starts[begin[2] + nth]),
                    last: returns[begin[3] + nth],
                    returns: Tied(tied_returns[begin[4] + nth]),
                };
                self.note(users, *group, visit);
            }
        }
        if users.keeps() {
            let firsts = values[5].as_primitive::<Int64Type>();
            for (row, group) in groups.iter().enumerate() {
                if firsts.is_valid(row) && note_first(&mut users.known[*group], firsts.value(row)) {
                    users.note_candidate(row);
                }
            }
            users.keep(&values[6], groups, |row, known| firsts.value(row) == known.first)?;
        }
        Ok(())
    }

    fn evaluate(&mut self, taken: &Taken<Self>, kept: Option<ArrayRef>) -> Result<ArrayRef> {
        let (mut visits, mut found): (Vec<Visit>, Vec<Membership>) = (Vec::new(), Vec::new());
        let mut offsets = vec![0i32];
        taken.each(|_, logged| {
            visits.clear();
            visits.extend(logged.iter().map(|entry| entry.visit));
            memberships(&mut visits, self.least, &mut found);
            offsets.push(found.len() as i32);
            Ok(())
        })?;
        let date = |m: &Membership| {
            let day = self.numbers.date(m.period);
            day.ok_or_else(|| Error::internal(format!("{NAME}: period {} has no date", m.period)))
        };
        let dates = found.iter().map(date).collect::<Result<Vec<i32>, Error>>()?;
        let valid: NullBuffer = found.iter().map(|m| m.start.is_some()).collect::<Vec<_>>().into();
        let births = found.iter().map(|m| m.start.unwrap_or(0)).collect();
        let columns: Vec<ArrayRef> = vec![
            Arc::new(Int32Array::from_iter_values(found.iter().map(|m| m.period))),
            Arc::new(Date32Array::from(dates)),
            times_array(births, Some(valid), &self.time_type)?,
            Arc::new(found.iter().map(|m| Some(m.returned)).collect::<BooleanArray>()),
            Arc::new(found.iter().map(|m| Some(m.again)).collect::<BooleanArray>()),
        ];
        let structs = StructArray::try_new(membership_fields(&self.time_type), columns, None)?;
        let mut columns = vec![list_of(Arc::new(structs), offsets)];
        let fields = answer_fields(&self.time_type, kept.as_ref().and_then(|kept| struct_fields(kept.data_type())));
        columns.extend(kept);
        Ok(Arc::new(StructArray::try_new(fields, columns, None)?))
    }

    fn state(&mut self, taken: &Taken<Self>, kept: Option<ArrayRef>) -> Result<Vec<ArrayRef>> {
        let mut offsets = vec![0i32];
        let mut visits: Vec<Visit> = Vec::with_capacity(taken.most_entries());
        taken.each(|_, logged| {
            visits.extend(logged.iter().map(|entry| entry.visit));
            offsets.push(visits.len() as i32);
            Ok(())
        })?;
        let times = |of: fn(&Visit) -> i64| Arc::new(Int64Array::from_iter_values(visits.iter().map(of))) as ArrayRef;
        let tied = |of: fn(&Visit) -> u8| Arc::new(UInt8Array::from_iter_values(visits.iter().map(of))) as ArrayRef;
        let columns = [
            Arc::new(Int32Array::from_iter_values(visits.iter().map(|v| v.period))) as ArrayRef,
            times(|v| v.start),
            tied(|v| v.starts.0),
            times(|v| v.last),
            tied(|v| v.returns.0),
        ];
        let mut state: Vec<ArrayRef> = columns.into_iter().map(|values| list_of(values, offsets.clone())).collect();
        if let Some(kept) = kept {
            let first = |k: &Known| (k.first != i64::MAX).then_some(k.first);
            state.extend([Arc::new(taken.known().iter().map(first).collect::<Int64Array>()) as ArrayRef, kept]);
        }
        Ok(state)
    }

    /// Emission sorts the log by group, and writes what was found into columns.
    fn bytes_at_the_end() -> (usize, usize) {
        (size_of::<Membership>(), 2 * size_of::<Membership>())
    }
}
