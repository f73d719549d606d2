//! `period_end(birth, period, unit, tz, week_start, index, whole_cohort)`: when a period has ended for a cohort.

use arrow::array::{Array, AsArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type};
use datafusion::common::ScalarValue;
use datafusion::error::Result;
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDF};

use super::arguments::Counting;
use crate::algo::calendar::Clock;
use crate::error::Error;
use crate::functions::columns::{Times, clock_of, coerce_time, times_array};
use crate::functions::row_function::{RowFunction, row_function};

const NAME: &str = "period_end";

/// The function.
pub fn period_end() -> ScalarUDF {
    row_function(PeriodEnd)
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct PeriodEnd;

impl RowFunction for PeriodEnd {
    fn name(&self) -> &'static str {
        NAME
    }

    fn coerce(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        if types.len() != 7 {
            return Err(Error::user(format!(
                "{NAME}: needs (birth, period, unit, time zone, week_start, index, whole_cohort), got {} arguments",
                types.len()
            ))
            .into());
        }
        let mut coerced = vec![coerce_time(NAME, 1, &types[0])?, DataType::Int64];
        coerced.extend(vec![DataType::Utf8; 4]);
        coerced.push(DataType::Boolean);
        Ok(coerced)
    }

    fn answer_type(&self, types: &[DataType]) -> Result<DataType> {
        Ok(types[0].clone())
    }

    fn call(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let words: Vec<&ScalarValue> = args.args[2..7]
            .iter()
            .map(|a| match a {
                ColumnarValue::Scalar(value) => Ok(value),
                ColumnarValue::Array(_) => Err(Error::user(format!("{NAME}: arguments 3 to 7 must be constants"))),
            })
            .collect::<Result<_, _>>()?;
        let births = args.args[0].to_array(args.number_rows)?;
        let numbers = cast(&args.args[1].to_array(args.number_rows)?, &DataType::Int64)?;
        let numbers = numbers.as_primitive::<Int64Type>();
        let time_type = births.data_type().clone();
        let clock = clock_of(&time_type).unwrap_or(Clock::Dates);
        let mut counting = Counting::of_scalars(NAME, &words[..4], clock)?;
        let whole_cohort = matches!(words[4], ScalarValue::Boolean(Some(true)));
        let times = Times::read(&births)?;
        let ends: Vec<Option<i64>> = (0..args.number_rows)
            .map(|row| {
                if times.is_null(row) || numbers.is_null(row) {
                    return None;
                }
                end_of(&mut counting, clock, times.values()[row], numbers.value(row), whole_cohort)
            })
            .collect();
        let valid: Vec<bool> = ends.iter().map(Option::is_some).collect();
        let ticks = ends.into_iter().map(Option::unwrap_or_default).collect();
        Ok(ColumnarValue::Array(times_array(ticks, Some(valid.into()), &time_type)?))
    }
}

/// The end of a period for somebody born at `birth`, or for the last possible birth of the same calendar cohort.
///
/// Of timestamps it is the first instant after the period; of dates, the period's last date, since a date stands for the
/// whole day: in both cases the period is over once the data reach that value.
fn end_of(counting: &mut Counting, clock: Clock, birth: i64, period: i64, whole_cohort: bool) -> Option<i64> {
    let calendar = &mut counting.calendar;
    let bucket = calendar.bucket(birth)?;
    let end = match counting.rolling {
        None => calendar.starts_at(bucket.checked_add(period)?.checked_add(1)?)?,
        Some(span) => {
            let latest = if whole_cohort { calendar.starts_at(bucket + 1)? - 1 } else { birth };
            latest.checked_add(span.checked_mul(period.checked_add(1)?)?)?
        }
    };
    Some(if clock == Clock::Dates { end - 1 } else { end })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_of_calendar_and_rolling_periods() {
        let day = 86_400;
        let clock = Clock::Instants(1);
        let mut weeks = Counting::parse("f", "week", "UTC", "monday", "calendar", clock).unwrap();
        // 1970-01-07 is a Wednesday; its week ends as the 12th begins.
        assert_eq!(end_of(&mut weeks, clock, 6 * day + 5, 0, true), Some(11 * day));
        assert_eq!(end_of(&mut weeks, clock, 6 * day + 5, 2, true), Some(25 * day));
        let mut rolling = Counting::parse("f", "week", "UTC", "monday", "rolling", clock).unwrap();
        assert_eq!(end_of(&mut rolling, clock, 6 * day + 5, 0, false), Some(13 * day + 5));
        assert_eq!(end_of(&mut rolling, clock, 6 * day + 5, 0, true), Some(18 * day - 1));
        let mut dates = Counting::parse("f", "month", "UTC", "monday", "calendar", Clock::Dates).unwrap();
        assert_eq!(end_of(&mut dates, Clock::Dates, 3, 0, true), Some(30));
    }
}
