//! `age(to, from)`: whole months, days and the rest between two times. `age(from)` is `age(current_date, from)`, as the statement is rewritten.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, IntervalMonthDayNanoArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, IntervalMonthDayNano, IntervalUnit, TimeUnit, TimestampMicrosecondType};
use chrono::{DateTime, Datelike, Months, NaiveDateTime};
use datafusion::error::Result;
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDF};

use crate::error::Error;
use crate::functions::row_function::{RowFunction, row_function};

const NAME: &str = "age";

/// The function.
pub fn age() -> ScalarUDF {
    row_function(Age)
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Age;

impl RowFunction for Age {
    fn name(&self) -> &'static str {
        NAME
    }

    fn coerce(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        if types.len() != 2 {
            return Err(Error::user(format!("{NAME}: needs (to [, from]), got {} arguments", types.len())).into());
        }
        let coerced = types.iter().map(|time| match time {
            DataType::Timestamp(_, _)
            | DataType::Date32
            | DataType::Date64
            | DataType::Null
            | DataType::Utf8
            | DataType::LargeUtf8
            | DataType::Utf8View => Ok(DataType::Timestamp(TimeUnit::Microsecond, None)),
            other => Err(Error::user(format!("{NAME}: needs a TIMESTAMP or DATE, got {other}")).into()),
        });
        coerced.collect()
    }

    fn answer_type(&self, _types: &[DataType]) -> Result<DataType> {
        Ok(DataType::Interval(IntervalUnit::MonthDayNano))
    }

    fn call(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let read = |side: &ColumnarValue| -> Result<ArrayRef> {
            Ok(cast(&side.to_array(args.number_rows)?, &DataType::Timestamp(TimeUnit::Microsecond, None))?)
        };
        let (to, from) = (read(&args.args[0])?, read(&args.args[1])?);
        let (to, from) =
            (to.as_primitive::<TimestampMicrosecondType>(), from.as_primitive::<TimestampMicrosecondType>());
        let ages: IntervalMonthDayNanoArray = (0..args.number_rows)
            .map(|row| {
                if to.is_null(row) || from.is_null(row) {
                    return Ok(None);
                }
                let (to, from) =
                    (DateTime::from_timestamp_micros(to.value(row)), DateTime::from_timestamp_micros(from.value(row)));
                let both = to.zip(from).and_then(|(to, from)| between(to.naive_utc(), from.naive_utc()));
                both.map(Some).ok_or_else(|| Error::data(format!("{NAME}: a time lies beyond the calendar")))
            })
            .collect::<Result<_, Error>>()?;
        Ok(ColumnarValue::Array(Arc::new(ages)))
    }
}

/// Whole months from the earlier time on, then whole days, then what is left; all of one sign.
fn between(to: NaiveDateTime, from: NaiveDateTime) -> Option<IntervalMonthDayNano> {
    if to < from {
        let IntervalMonthDayNano { months, days, nanoseconds } = between(from, to)?;
        return Some(IntervalMonthDayNano::new(-months, -days, -nanoseconds));
    }
    let mut months =
        (to.year() - from.year()) * 12 + i32::try_from(to.month()).ok()? - i32::try_from(from.month()).ok()?;
    let moved = |months: i32| from.checked_add_months(Months::new(u32::try_from(months).ok()?));
    if moved(months)? > to {
        months -= 1;
    }
    let rest = to - moved(months)?;
    let days = rest.num_days();
    let nanoseconds = (rest - chrono::TimeDelta::days(days)).num_nanoseconds()?;
    Some(IntervalMonthDayNano::new(months, i32::try_from(days).ok()?, nanoseconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn age(to: &str, from: &str) -> (i32, i32, i64) {
        let read = |text: &str| NaiveDateTime::parse_from_str(text, "%Y-%m-%d %H:%M").unwrap();
        let IntervalMonthDayNano { months, days, nanoseconds } = between(read(to), read(from)).unwrap();
        (months, days, nanoseconds / 60_000_000_000)
    }

    #[test]
    fn months_first_then_days_then_minutes() {
        assert_eq!(age("2001-04-10 00:00", "1957-06-13 00:00"), (43 * 12 + 9, 28, 0));
        assert_eq!(age("2026-03-15 12:00", "2026-01-31 00:00"), (1, 15, 720));
        assert_eq!(age("2026-01-31 00:00", "2026-03-15 12:00"), (-1, -15, -720));
        assert_eq!(age("2024-02-29 00:10", "2024-02-29 00:10"), (0, 0, 0));
    }
}
