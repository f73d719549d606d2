//! `n * INTERVAL '1 day'`: a span of time so many times over, as in Postgres and DuckDB.
//!
//! Does not deal with: where the planner puts it (`engine`), nor with parts of spans: a month has no half.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, IntervalMonthDayNanoArray};
use arrow::datatypes::{DataType, Int64Type, IntervalMonthDayNano, IntervalMonthDayNanoType, IntervalUnit};
use datafusion::error::Result;
use datafusion::logical_expr::{ColumnarValue, Expr, ScalarFunctionArgs, ScalarUDF};

use crate::error::Error;
use crate::functions::row_function::{RowFunction, row_function};

/// Its name.
pub const INTERVAL_TIMES: &str = "interval_times";

const SPAN: DataType = DataType::Interval(IntervalUnit::MonthDayNano);

/// The function of a span and a whole number.
pub fn interval_times() -> ScalarUDF {
    row_function(IntervalTimes)
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct IntervalTimes;

impl RowFunction for IntervalTimes {
    fn name(&self) -> &'static str {
        INTERVAL_TIMES
    }

    fn shown(&self, args: &[Expr]) -> Option<String> {
        Some(format!("{} * {}", args[0], args[1]))
    }

    fn coerce(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        match types {
            [DataType::Interval(_), n] if n.is_integer() || n.is_null() => Ok(vec![SPAN, DataType::Int64]),
            [DataType::Interval(_), DataType::Interval(_)] => {
                Err(Error::user("an interval times an interval: only a whole number of times is defined").into())
            }
            [DataType::Interval(_), other] => Err(Error::user(format!(
                "an interval times {other}: only a whole number of times is defined; write it in a smaller unit, as 36 * INTERVAL '1 hour' for a day and a half"
            ))
            .into()),
            _ => Err(Error::internal(format!("interval_times: {types:?}")).into()),
        }
    }

    fn answer_type(&self, _types: &[DataType]) -> Result<DataType> {
        Ok(SPAN)
    }

    fn call(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let spans = args.args[0].to_array(args.number_rows)?;
        let numbers = args.args[1].to_array(args.number_rows)?;
        let (spans, numbers) = (spans.as_primitive::<IntervalMonthDayNanoType>(), numbers.as_primitive::<Int64Type>());
        let times = |(span, n): (Option<IntervalMonthDayNano>, Option<i64>)| {
            let (Some(span), Some(n)) = (span, n) else { return Ok(None) };
            let few = |part: i32| i32::try_from(i64::from(part).checked_mul(n)?).ok();
            let product = few(span.months).zip(few(span.days)).zip(span.nanoseconds.checked_mul(n));
            let ((months, days), nanoseconds) = product.ok_or_else(|| {
                Error::data(format!(
                    "an interval times {n} is longer than an interval can be (2^31 months or days, 292 years in hours)"
                ))
            })?;
            Ok(Some(IntervalMonthDayNano::new(months, days, nanoseconds)))
        };
        let products = spans.iter().zip(numbers.iter()).map(times).collect::<Result<Vec<_>, Error>>()?;
        let products: ArrayRef = Arc::new(IntervalMonthDayNanoArray::from(products));
        Ok(ColumnarValue::Array(products))
    }
}
