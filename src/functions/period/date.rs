//! `period_date` and `period_number` `(time, unit, tz, week_start)`: the period that a time lies in, as its first local date and
//! as the number that other functions give it.

use std::sync::Arc;

use arrow::array::{Array, Date32Array, Int32Array};
use arrow::datatypes::DataType;
use datafusion::error::Result;
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDF};

use super::{calendar_words, constants};
use crate::algo::calendar::Clock;
use crate::error::Error;
use crate::functions::columns::{Times, clock_of, coerce_time};
use crate::functions::row_function::{RowFunction, row_function};

const DATE: &str = "period_date";
const NUMBER: &str = "period_number";

/// The function.
pub fn period_date() -> ScalarUDF {
    row_function(Period { name: DATE })
}

/// The function.
pub fn period_number() -> ScalarUDF {
    row_function(Period { name: NUMBER })
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Period {
    name: &'static str,
}

impl RowFunction for Period {
    fn name(&self) -> &'static str {
        self.name
    }

    fn coerce(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        let [time, _, _, _] = types else {
            return Err(Error::user(format!("{}: needs (time, unit, time zone, week_start)", self.name)).into());
        };
        Ok(vec![coerce_time(self.name, 1, time)?, DataType::Utf8, DataType::Utf8, DataType::Utf8])
    }

    fn answer_type(&self, _types: &[DataType]) -> Result<DataType> {
        Ok(if self.name == DATE { DataType::Date32 } else { DataType::Int32 })
    }

    fn call(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let words = constants(self.name, &args.args, 1)?;
        let column = args.args[0].to_array(args.number_rows)?;
        let clock = clock_of(column.data_type()).unwrap_or(Clock::Dates);
        let mut calendar = calendar_words(self.name, &words, clock)?;
        let times = Times::read(&column)?;
        // Neighbouring rows are usually of one period.
        let (mut stretch, mut period) = ((0i64, 0i64), 0i32);
        let mut periods = Vec::with_capacity(column.len());
        for (row, time) in times.values().iter().enumerate() {
            if times.is_null(row) {
                periods.push(0);
                continue;
            }
            if !(stretch.0 <= *time && *time < stretch.1) {
                let bucket = calendar.bucket(*time);
                let number = if self.name == DATE { bucket.and_then(|b| calendar.first_day(b)) } else { bucket };
                let number = number.and_then(|number| i32::try_from(number).ok());
                (stretch, period) = calendar.stretch(*time).zip(number).ok_or_else(|| {
                    let name = self.name;
                    Error::data(format!(
                        "{name}: time {time} (in the column's own unit) is beyond the calendar, years -9999 to 9999"
                    ))
                })?;
            }
            periods.push(period);
        }
        let nulls = column.nulls().cloned();
        Ok(ColumnarValue::Array(match self.name {
            DATE => Arc::new(Date32Array::new(periods.into(), nulls)),
            _ => Arc::new(Int32Array::new(periods.into(), nulls)),
        }))
    }
}
