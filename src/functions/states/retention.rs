//! `retention_state(time, start, return, unit, tz, week_start, index)`, `retention_merge(state)` and `retention_periods(state)`: when
//! somebody was born and came back, from parts such as a day at a time.
//!
//! Deals with: the options of a state, rows and states into one. Does not deal with: bytes (`algo::states::returns`), what a return
//! is (`algo::retention`). Memory: 40 bytes a group and 16 for each further period with a return.

use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, Date32Array, Int64Array, StructArray};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{DataType, Field, FieldRef, Fields};
use datafusion::common::ScalarValue;
use datafusion::error::Result;
use datafusion::logical_expr::function::AccumulatorArgs;
use datafusion::logical_expr::{AggregateUDF, ColumnarValue, Expr, GroupsAccumulator, ScalarFunctionArgs, ScalarUDF};

use super::activity::{periods_of, sorted};
use super::arguments::{apart, coerce_state, refused, state_rows};
use super::funnel::ticks_of;
use super::groups::{Fold, Groups, Held, StateGroups, merging, state_field};
use crate::algo::calendar::{Clock, WEEKDAYS};
use crate::algo::retention::{Periods, Tied, periods};
use crate::algo::states::funnel_events::Ticks;
use crate::algo::states::returns::{Asked, Returns};
use crate::error::Error;
use crate::functions::columns::{Times, clock_of, coerce_condition, coerce_time, list_of, masks};
use crate::functions::grouped::{GroupedFunction, aggregate};
use crate::functions::lifecycle::calendar;
use crate::functions::retention::arguments::Counting;
use crate::functions::row_function::{RowFunction, row_function};

const STATE: &str = "retention_state";
const MERGE: &str = "retention_merge";
const PERIODS: &str = "retention_periods";
/// Position of the first of unit, tz, week_start and index.
const WORDS: usize = 3;
const ARGUMENTS: usize = 7;

/// The function.
pub fn retention_state() -> AggregateUDF {
    aggregate(MakeState)
}

/// The function.
pub fn retention_merge() -> AggregateUDF {
    merging(MERGE, STATE, || Births { name: MERGE, makes: false, last: None, stretch: (0, 0) })
}

/// The function.
pub fn retention_periods() -> ScalarUDF {
    row_function(Spelled)
}

/// How a state's options count.
fn counting(function: &str, asked: &Asked) -> Result<Counting, Error> {
    let clock = match asked.ticks {
        Ticks::Dates => Clock::Dates,
        Ticks::PerSecond(ticks) => Clock::Instants(ticks),
    };
    let of = &asked.periods;
    let index = if asked.rolling { "rolling" } else { "calendar" };
    let week_start = WEEKDAYS[usize::from(of.week_start)];
    Counting::parse(function, of.unit.name(), &of.zone, week_start, index, clock)
}

fn beyond(function: &str) -> Error {
    Error::data(format!("{function}: a time is beyond the calendar, years -9999 to 9999"))
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct MakeState;

impl GroupedFunction for MakeState {
    fn name(&self) -> &'static str {
        STATE
    }

    fn coerce(&self, types: &[DataType]) -> Result<Vec<DataType>, Error> {
        if types.len() != ARGUMENTS {
            return Err(Error::user(format!(
                "{STATE}: needs (time, start, return, unit, time zone, week_start, index), got {} arguments",
                types.len()
            )));
        }
        let mut coerced = vec![DataType::Utf8; ARGUMENTS];
        coerced[0] = coerce_time(STATE, 1, &types[0])?;
        coerced[1] = coerce_condition(STATE, 2, &types[1])?;
        coerced[2] = coerce_condition(STATE, 3, &types[2])?;
        Ok(coerced)
    }

    fn answer_type(&self, _types: &[DataType]) -> Result<DataType, Error> {
        Ok(DataType::Binary)
    }

    fn groups(&self, args: &AccumulatorArgs) -> Result<Box<dyn GroupsAccumulator>> {
        let time = args.expr_fields[0].data_type();
        let clock = clock_of(time).unwrap_or(Clock::Dates);
        // A state keeps no hours.
        let (_, periods) = periods_of(STATE, args.exprs, WORDS, clock)?;
        let counting = Counting::of_literals(STATE, args.exprs, WORDS, clock)?;
        let asked = Arc::new(Asked { ticks: ticks_of(time), rolling: counting.rolling.is_some(), periods });
        let last = Some((asked, counting.periods()));
        Ok(Box::new(StateGroups::new(Births { name: STATE, makes: true, last, stretch: (0, 0) }, false)))
    }

    fn state_fields(&self, name: &str, _types: &[DataType]) -> Result<Vec<FieldRef>, Error> {
        Ok(state_field(name))
    }

    fn check(&self, arguments: &[Expr]) -> Result<(), Error> {
        let word = |at: usize| match arguments.get(WORDS + at) {
            Some(Expr::Literal(value, _)) => ScalarValue::try_as_str(value).flatten(),
            _ => None,
        };
        match (word(0), word(1), word(2), word(3)) {
            (Some(unit), Some(zone), Some(week_start), Some(index)) => {
                calendar(STATE, unit, zone, week_start, Clock::Dates)?;
                Counting::parse(STATE, unit, zone, week_start, index, Clock::Dates).map(drop)
            }
            _ => Ok(()),
        }
    }
}

/// What is known of a group.
#[derive(Default)]
struct Born {
    /// Options of its states; none before any came.
    asked: Option<Arc<Asked>>,
    returns: Returns,
}

impl Held for Born {
    fn bytes(&self) -> usize {
        self.returns.size()
    }
}

struct Births {
    name: &'static str,
    /// Whether rows are events.
    makes: bool,
    /// The options asked for, or those of the state that came last, and how they count.
    last: Option<(Arc<Asked>, Periods)>,
    /// Times known to be of one period.
    stretch: (i64, i64),
}

impl Births {
    /// How the options of a state count.
    fn counting(&mut self, asked: Asked) -> Result<(Arc<Asked>, &mut Periods), Error> {
        if self.last.as_ref().is_none_or(|(known, _)| **known != asked) {
            if self.makes {
                return Err(Error::internal(format!("{}: a partial state of other options", self.name)));
            }
            let periods = counting(self.name, &asked)?.periods();
            self.last = Some((Arc::new(asked), periods));
        }
        match &mut self.last {
            Some((asked, periods)) => Ok((Arc::clone(asked), periods)),
            None => Err(Error::internal(format!("{}: no options", self.name))),
        }
    }
}

impl Fold for Births {
    type State = Born;

    fn name(&self) -> &'static str {
        self.name
    }

    fn twin(&self) -> Self {
        Self { name: self.name, makes: self.makes, last: self.last.clone(), stretch: (0, 0) }
    }

    fn fresh(&self) -> Born {
        let asked = self.last.as_ref().filter(|_| self.makes).map(|(asked, _)| Arc::clone(asked));
        Born { asked, returns: Returns::default() }
    }

    fn update(
        &mut self,
        groups: &mut Groups<Self>,
        values: &[ArrayRef],
        group_indices: &[usize],
        filter: Option<&BooleanArray>,
    ) -> Result<()> {
        let name = self.name;
        let Some((asked, counting)) = &mut self.last else {
            return Err(Error::internal(format!("{name}: no options")).into());
        };
        let times = Times::read(&values[0])?;
        let mut roles = Vec::new();
        masks(&values[1..WORDS], &times, filter, &mut roles);
        for (row, mask) in roles.iter().enumerate().filter(|(_, mask)| **mask != 0) {
            let time = times.values()[row];
            let tied = if *mask == 3 { Tied::BOTH_ROLES } else { Tied::ONE_ROLE };
            // The stretch of the row before usually holds this one too.
            if !(self.stretch.0 <= time && time < self.stretch.1) {
                self.stretch = counting.fold(time).ok_or_else(|| beyond(name))?;
            }
            let fresh = || Born { asked: Some(Arc::clone(asked)), returns: Returns::default() };
            groups.change(group_indices[row], fresh, |born| {
                if mask & 1 != 0 {
                    born.returns.start(time, tied);
                }
                if mask & 2 != 0 {
                    born.returns.come_back(time, tied, self.stretch);
                }
            });
        }
        Ok(())
    }

    fn merge(&mut self, born: &mut Born, bytes: &[u8]) -> Result<()> {
        let (asked, returns) = Returns::read(bytes).map_err(|fault| refused(self.name, &fault))?;
        if let Some(known) = born.asked.as_ref().filter(|known| ***known != asked) {
            let [one, other] = sorted(known.told(), asked.told());
            return Err(apart(self.name, &one, &other).into());
        }
        let name = self.name;
        let (asked, periods) = self.counting(asked)?;
        born.asked.get_or_insert(asked);
        if born.returns.merge(&returns, periods) { Ok(()) } else { Err(beyond(name).into()) }
    }

    fn write(&mut self, mut born: Born) -> Result<Vec<u8>> {
        let name = self.name;
        let Some(asked) = born.asked else {
            return Err(Error::internal(format!("{name}: a state without options")).into());
        };
        let (asked, periods) = self.counting(Asked::clone(&asked))?;
        if !born.returns.tidy(periods) {
            return Err(beyond(name).into());
        }
        Ok(born.returns.write(&asked))
    }
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Spelled;

fn answer_fields() -> Fields {
    vec![
        Field::new("cohort", DataType::Date32, true),
        Field::new("periods", DataType::new_list(DataType::Int64, true), true),
    ]
    .into()
}

impl RowFunction for Spelled {
    fn name(&self) -> &'static str {
        PERIODS
    }

    fn coerce(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        match types {
            [state] => Ok(vec![coerce_state(PERIODS, 1, state, STATE)?]),
            _ => Err(Error::user(format!("{PERIODS}: needs (state), got {} arguments", types.len())).into()),
        }
    }

    fn answer_type(&self, _types: &[DataType]) -> Result<DataType> {
        Ok(DataType::Struct(answer_fields()))
    }

    fn call(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let states = state_rows(&args.args[0], args.number_rows)?;
        let (mut cohorts, mut found, mut offsets) = (Vec::new(), Vec::new(), vec![0i32]);
        let mut last: Option<(Asked, Counting)> = None;
        for state in &states {
            let mut cohort = None;
            if let Some(state) = state {
                let (asked, mut returns) = Returns::read(state).map_err(|fault| refused(PERIODS, &fault))?;
                let counting = match &mut last {
                    Some((known, counting)) if *known == asked => counting,
                    other => {
                        let counting = counting(PERIODS, &asked)?;
                        &mut other.insert((asked, counting)).1
                    }
                };
                if returns.starts != Tied(0) {
                    let calendar = &mut counting.calendar;
                    let day = calendar.bucket(returns.birth).and_then(|bucket| calendar.first_day(bucket));
                    let day = day.and_then(|day| i32::try_from(day).ok()).ok_or_else(|| beyond(PERIODS))?;
                    cohort = Some(day);
                    let mut periods_of = counting.periods();
                    periods(returns.birth, returns.starts, &mut returns.returns, &mut periods_of, 1, &mut found);
                }
            }
            cohorts.push(cohort);
            let end = i32::try_from(found.len());
            offsets
                .push(end.map_err(|_| Error::resources(format!("{PERIODS}: more than 2 billion periods in a batch")))?);
        }
        let valid: Option<NullBuffer> = arrow::array::Array::nulls(&states).cloned();
        let columns: Vec<ArrayRef> =
            vec![Arc::new(Date32Array::from(cohorts)), list_of(Arc::new(Int64Array::from(found)), offsets)];
        Ok(ColumnarValue::Array(Arc::new(StructArray::try_new(answer_fields(), columns, valid)?)))
    }
}
