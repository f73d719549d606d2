//! `period_reached(as_of, unit, tz, week_start)`: the last period that the data reach into, and the last that has ended.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int32Array, StructArray};
use arrow::datatypes::{DataType, Field, Fields};
use datafusion::error::Result;
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDF};

use super::dates::Dates;
use super::{calendar_words, constants};
use crate::algo::calendar::Clock;
use crate::error::Error;
use crate::functions::columns::{Times, clock_of, coerce_time};
use crate::functions::row_function::{RowFunction, row_function};

const NAME: &str = "period_reached";

/// The function.
pub fn period_reached() -> ScalarUDF {
    row_function(PeriodReached)
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct PeriodReached;

fn fields() -> Fields {
    vec![Field::new("reached", DataType::Int32, true), Field::new("ended", DataType::Int32, true)].into()
}

impl RowFunction for PeriodReached {
    fn name(&self) -> &'static str {
        NAME
    }

    fn coerce(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        let [as_of, _, _, _] = types else {
            return Err(Error::user(format!("{NAME}: needs (as_of, unit, time zone, week_start)")).into());
        };
        Ok(vec![coerce_time(NAME, 1, as_of)?, DataType::Utf8, DataType::Utf8, DataType::Utf8])
    }

    fn answer_type(&self, _types: &[DataType]) -> Result<DataType> {
        Ok(DataType::Struct(fields()))
    }

    fn call(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let words = constants(NAME, &args.args, 1)?;
        let as_of = args.args[0].to_array(args.number_rows)?;
        let clock = clock_of(as_of.data_type()).unwrap_or(Clock::Dates);
        let mut dates = Dates::new(NAME, calendar_words(NAME, &words, clock)?, clock);
        let times = Times::read(&as_of)?;
        let mut known: Option<(i64, (i32, i32))> = None;
        let (mut reached, mut ended) = (Vec::with_capacity(args.number_rows), Vec::with_capacity(args.number_rows));
        for row in 0..args.number_rows {
            let time = (!times.is_null(row)).then(|| times.values()[row]);
            let found = match (time, known) {
                (None, _) => None,
                (Some(time), Some((same, found))) if time == same => Some(found),
                (Some(time), _) => {
                    let found =
                        dates.reached(time).and_then(|(a, b)| Some((i32::try_from(a).ok()?, i32::try_from(b).ok()?)));
                    let found = found.ok_or_else(|| {
                        Error::data(format!(
                            "{NAME}: {time} (in its own unit) is beyond the calendar, years -9999 to 9999"
                        ))
                    })?;
                    known = Some((time, found));
                    Some(found)
                }
            };
            reached.push(found.map(|f| f.0));
            ended.push(found.map(|f| f.1));
        }
        let columns: Vec<ArrayRef> = vec![Arc::new(Int32Array::from(reached)), Arc::new(Int32Array::from(ended))];
        Ok(ColumnarValue::Array(Arc::new(StructArray::try_new(fields(), columns, None)?)))
    }
}
