//! The length of a span of time, so that spans of different kinds compare: a month is 30 days, a day 24 hours, as in Postgres and DuckDB.
//!
//! Without it `ts - before > INTERVAL '90 days'` compares the fields of two intervals, months first, and is false for every row.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Decimal128Array};
use arrow::compute::cast;
use arrow::datatypes::{
    DataType, DurationMicrosecondType, DurationMillisecondType, DurationNanosecondType, DurationSecondType,
    IntervalMonthDayNano, IntervalMonthDayNanoType, IntervalUnit, TimeUnit,
};
use datafusion::error::Result;
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDF, Signature, Volatility};

use crate::error::Error;
use crate::functions::row_function::{RowFunction, row_function};

/// Nanoseconds: 38 digits hold every interval.
const LENGTH: DataType = DataType::Decimal128(38, 0);

/// The function.
pub fn time_length() -> ScalarUDF {
    row_function(TimeLength)
}

/// Nanoseconds of an interval.
pub fn nanoseconds(interval: IntervalMonthDayNano) -> i128 {
    const DAY: i128 = 86_400_000_000_000;
    (i128::from(interval.months) * 30 + i128::from(interval.days)) * DAY + i128::from(interval.nanoseconds)
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct TimeLength;

impl RowFunction for TimeLength {
    fn name(&self) -> &'static str {
        "time_length"
    }

    fn shown(&self, args: &[datafusion::logical_expr::Expr]) -> Option<String> {
        Some(format!("length of {}", args[0]))
    }

    fn signature(&self) -> Signature {
        Signature::any(1, Volatility::Immutable)
    }

    fn answer_type(&self, types: &[DataType]) -> Result<DataType> {
        match &types[0] {
            DataType::Duration(_) | DataType::Interval(_) | DataType::Null => Ok(LENGTH),
            other => Err(Error::internal(format!("the length of {other} was asked for")).into()),
        }
    }

    fn call(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let is_scalar = matches!(args.args[0], ColumnarValue::Scalar(_));
        let spans = args.args[0].to_array(if is_scalar { 1 } else { args.number_rows })?;
        let lengths: ArrayRef = Arc::new(lengths(&spans)?.with_data_type(LENGTH));
        if is_scalar {
            return Ok(ColumnarValue::Scalar(datafusion::common::ScalarValue::try_from_array(&lengths, 0)?));
        }
        Ok(ColumnarValue::Array(lengths))
    }
}

fn lengths(spans: &ArrayRef) -> Result<Decimal128Array> {
    let ticks = |values: &mut dyn Iterator<Item = Option<i64>>, factor: i128| -> Decimal128Array {
        values.map(|value| value.map(|value| i128::from(value) * factor)).collect()
    };
    Ok(match spans.data_type() {
        DataType::Duration(TimeUnit::Second) => {
            ticks(&mut spans.as_primitive::<DurationSecondType>().iter(), 1_000_000_000)
        }
        DataType::Duration(TimeUnit::Millisecond) => {
            ticks(&mut spans.as_primitive::<DurationMillisecondType>().iter(), 1_000_000)
        }
        DataType::Duration(TimeUnit::Microsecond) => {
            ticks(&mut spans.as_primitive::<DurationMicrosecondType>().iter(), 1_000)
        }
        DataType::Duration(TimeUnit::Nanosecond) => {
            ticks(&mut spans.as_primitive::<DurationNanosecondType>().iter(), 1)
        }
        DataType::Null => Decimal128Array::new_null(spans.len()),
        _ => {
            let spans = cast(spans, &DataType::Interval(IntervalUnit::MonthDayNano))?;
            spans.as_primitive::<IntervalMonthDayNanoType>().iter().map(|span| span.map(nanoseconds)).collect()
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn months_days_and_hours_have_one_measure() {
        let of =
            |months, days, hours: i64| nanoseconds(IntervalMonthDayNano::new(months, days, hours * 3_600_000_000_000));
        assert_eq!(of(1, 0, 0), of(0, 30, 0));
        assert_eq!(of(0, 1, 0), of(0, 0, 24));
        assert!(of(0, 90, 0) < of(0, 0, 90 * 24 + 1) && of(0, -1, 0) < 0);
    }
}
