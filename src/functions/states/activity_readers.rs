//! `activity_count(state [, first, last])` and `activity_periods(state)`: what stored active periods say.

use std::sync::Arc;

use arrow::array::{Array, AsArray, Date32Array, Int64Array, ListArray};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{DataType, Date32Type, Field};
use datafusion::error::Result;
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDF};

use super::activity::STATE;
use super::arguments::{coerce_state, refused, state_rows};
use crate::algo::calendar::{Calendar, Clock};
use crate::algo::states::activity::{Active, Periods};
use crate::error::Error;
use crate::functions::row_function::{RowFunction, row_function};

const COUNT: &str = "activity_count";
const PERIODS: &str = "activity_periods";
/// The most periods that a state is spelled out to: 27 years of days are fewer, and a few bytes can stand for millions.
const MOST: i64 = 10_000;

/// The function.
pub fn activity_count() -> ScalarUDF {
    row_function(Count)
}

/// The function.
pub fn activity_periods() -> ScalarUDF {
    row_function(Spelled)
}

/// The calendar of local dates.
fn calendar(function: &str, periods: &Periods) -> Result<Calendar, Error> {
    Calendar::new(periods.unit, "UTC", periods.week_start, Clock::Dates)
        .ok_or_else(|| Error::internal(format!("{function}: no calendar of {}", periods.told())))
}

fn read(function: &str, state: &[u8]) -> Result<(Periods, Active), Error> {
    Active::read(state).map_err(|fault| refused(function, &fault))
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Count;

#[derive(Debug, PartialEq, Eq, Hash)]
struct Spelled;

impl RowFunction for Count {
    fn name(&self) -> &'static str {
        COUNT
    }

    fn coerce(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        let date = |at: usize, given: &DataType| match given {
            DataType::Date32 | DataType::Null => Ok(DataType::Date32),
            other => Err(Error::user(format!("{COUNT}: argument {at} must be a DATE, got {other}"))),
        };
        match types {
            [state] => Ok(vec![coerce_state(COUNT, 1, state, STATE)?]),
            [state, first, last] => Ok(vec![coerce_state(COUNT, 1, state, STATE)?, date(2, first)?, date(3, last)?]),
            _ => {
                Err(Error::user(format!("{COUNT}: needs (state [, first, last]), got {} arguments", types.len()))
                    .into())
            }
        }
    }

    fn answer_type(&self, _types: &[DataType]) -> Result<DataType> {
        Ok(DataType::Int64)
    }

    fn call(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let states = state_rows(&args.args[0], args.number_rows)?;
        let bounds = args.args[1..].iter().map(|bound| bound.to_array(args.number_rows)).collect::<Result<Vec<_>>>()?;
        let count = |row: usize| {
            if states.is_null(row) || bounds.iter().any(|bound| bound.is_null(row)) {
                return Ok(None);
            }
            let (periods, mut active) = read(COUNT, states.value(row))?;
            if bounds.is_empty() {
                return Ok(Some(active.count(i64::MIN / 2, i64::MAX / 2)));
            }
            let mut calendar = calendar(COUNT, &periods)?;
            let mut bucket = |bound: usize| {
                let day = i64::from(bounds[bound].as_primitive::<Date32Type>().value(row));
                let beyond = || Error::data(format!("{COUNT}: date {day} (days since 1970) is beyond the calendar"));
                calendar.bucket_of_day(day).ok_or_else(beyond)
            };
            let (first, last) = (bucket(0)?, bucket(1)?);
            Ok(Some(active.count(first, last)))
        };
        let counts = (0..args.number_rows).map(count).collect::<Result<Int64Array, Error>>()?;
        Ok(ColumnarValue::Array(Arc::new(counts)))
    }
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
        Ok(DataType::new_list(DataType::Date32, true))
    }

    fn call(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let states = state_rows(&args.args[0], args.number_rows)?;
        let (mut days, mut offsets) = (Vec::new(), vec![0i32]);
        for state in &states {
            if let Some(state) = state {
                let (periods, mut active) = read(PERIODS, state)?;
                let many = active.count(i64::MIN / 2, i64::MAX / 2);
                if many > MOST {
                    let text = format!("{PERIODS}: a state has {many} active periods, at most {MOST} are listed");
                    return Err(Error::data(text).hint("activity_count counts any number of them").into());
                }
                let calendar = calendar(PERIODS, &periods)?;
                for period in active.runs().iter().flat_map(|(first, last)| *first..=*last) {
                    let day = calendar.first_day(i64::from(period)).and_then(|day| i32::try_from(day).ok());
                    let day = day.ok_or_else(|| refused(PERIODS, "is damaged: a period is beyond the calendar"))?;
                    days.push(day);
                }
            }
            let end = i32::try_from(days.len());
            offsets
                .push(end.map_err(|_| Error::resources(format!("{PERIODS}: more than 2 billion periods in a batch")))?);
        }
        let field = Arc::new(Field::new_list_field(DataType::Date32, true));
        let valid = states.nulls().cloned();
        let lists =
            ListArray::try_new(field, OffsetBuffer::new(offsets.into()), Arc::new(Date32Array::from(days)), valid)?;
        Ok(ColumnarValue::Array(Arc::new(lists)))
    }
}
