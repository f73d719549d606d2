//! `funnel_window_end(time, window, options)`: when the window of a chain that starts at `time` has ended.
//!
//! Of timestamps it is an instant; of dates the window's last date, since a date stands for its whole day. In both cases the
//! window has ended once the data reach that value. What the window is, `options` say as for `window_funnel`.

use arrow::datatypes::DataType;
use datafusion::error::Result;
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDF};

use super::options::{FunnelOptions, WindowEnd};
use crate::algo::calendar::Clock;
use crate::algo::funnel::{Deadline, Deadlines};
use crate::error::Error;
use crate::functions::columns::{Times, clock_of, coerce_time, interval_type, times_array};
use crate::functions::row_function::{RowFunction, row_function};

const NAME: &str = "funnel_window_end";

/// The function.
pub fn funnel_window_end() -> ScalarUDF {
    row_function(FunnelWindowEnd)
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct FunnelWindowEnd;

impl RowFunction for FunnelWindowEnd {
    fn name(&self) -> &'static str {
        NAME
    }

    fn coerce(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        match types {
            [time, DataType::Interval(_), options] => {
                Ok(vec![coerce_time(NAME, 1, time)?, interval_type(), options.clone()])
            }
            _ => Err(Error::user(format!("{NAME}: needs (time, window INTERVAL, options)")).into()),
        }
    }

    fn answer_type(&self, types: &[DataType]) -> Result<DataType> {
        Ok(types[0].clone())
    }

    fn call(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let [times, ColumnarValue::Scalar(window), ColumnarValue::Scalar(options)] = args.args.as_slice() else {
            return Err(Error::user(format!("{NAME}: arguments 2 and 3 must be constants")).into());
        };
        let times = times.to_array(args.number_rows)?;
        let time_type = times.data_type().clone();
        let clock = clock_of(&time_type).unwrap_or(Clock::Dates);
        let options = FunnelOptions::read(NAME, options)?;
        let mut deadlines = Deadlines::new(options.window(NAME, window, clock)?);
        // The last tick of an inclusive window is its end; after that of another one comes the end.
        let after = i64::from(clock != Clock::Dates && options.window_end != WindowEnd::Inclusive);
        let most = if clock == Clock::Dates { i64::from(i32::MAX) } else { i64::MAX };
        let ticks = Times::read(&times)?;
        let ends = ticks.values().iter().map(|time| deadlines.of(*time).saturating_add(after).min(most)).collect();
        Ok(ColumnarValue::Array(times_array(ends, times.logical_nulls(), &time_type)?))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, AsArray, Date32Array, TimestampSecondArray};
    use arrow::datatypes::{Date32Type, Field, IntervalMonthDayNanoType, TimestampSecondType};
    use datafusion::common::ScalarValue;
    use datafusion::config::ConfigOptions;

    use super::*;

    fn ends(times: ArrayRef, window: (i32, i32, i64), end: WindowEnd) -> ArrayRef {
        let options = FunnelOptions { window_end: end, tz: "Europe/Berlin".into(), ..FunnelOptions::default() };
        let (months, days, nanos) = window;
        let window = IntervalMonthDayNanoType::make_value(months, days, nanos);
        let time = Arc::new(Field::new("t", times.data_type().clone(), true));
        let args = ScalarFunctionArgs {
            number_rows: times.len(),
            args: vec![
                ColumnarValue::Array(times),
                ColumnarValue::Scalar(ScalarValue::IntervalMonthDayNano(Some(window))),
                ColumnarValue::Scalar(options.literal().unwrap()),
            ],
            arg_fields: vec![],
            return_field: time,
            config_options: Arc::new(ConfigOptions::new()),
        };
        funnel_window_end().invoke_with_args(args).unwrap().to_array(1).unwrap()
    }

    #[test]
    fn windows_end_once_the_data_reach_them() {
        let seconds = |end| {
            let times = Arc::new(TimestampSecondArray::from(vec![Some(1_000), None, Some(i64::MAX)]));
            let ends = ends(times, (0, 0, 10_000_000_000), end);
            ends.as_primitive::<TimestampSecondType>().iter().collect::<Vec<_>>()
        };
        assert_eq!(seconds(WindowEnd::Inclusive), [Some(1_010), None, Some(i64::MAX)]);
        assert_eq!(seconds(WindowEnd::Exclusive), [Some(1_010), None, Some(i64::MAX)]);
        // Two days in Berlin from the first of January 1970, 01:16:40 there: until the third begins, at 23:00 of the second.
        let calendar = ends(Arc::new(TimestampSecondArray::from(vec![1_000])), (0, 2, 0), WindowEnd::Calendar);
        assert_eq!(calendar.as_primitive::<TimestampSecondType>().value(0), 2 * 86_400 - 3_600);
        // Of dates it is the last one in the window.
        for (window, end, last) in [
            ((0, 2, 0), WindowEnd::Inclusive, 12),
            ((0, 2, 0), WindowEnd::Exclusive, 11),
            ((0, 2, 0), WindowEnd::Calendar, 11),
            ((1, 0, 0), WindowEnd::Calendar, 30),
        ] {
            let dates = ends(Arc::new(Date32Array::from(vec![10])), window, end);
            assert_eq!(dates.as_primitive::<Date32Type>().value(0), last, "{window:?} {end:?}");
        }
    }
}
