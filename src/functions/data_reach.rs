//! `data_reach(largest time, relation, time zone)`: the largest time itself, and a word where it lies in the future.
//!
//! The default `as_of` of a relation is the largest time of its data. One device whose clock is wrong then makes every young
//! cohort look complete and every user look lost; the answer cannot tell, so that a note beside it does.

use arrow::array::Array;
use arrow::datatypes::DataType;
use datafusion::common::ScalarValue;
use datafusion::error::Result;
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDF, Signature, Volatility};

use crate::algo::calendar::Clock;
use crate::config::notes::Notes;
use crate::error::Error;
use crate::functions::columns::{Times, clock_of, coerce_time};
use crate::functions::row_function::{RowFunction, row_function};

const NAME: &str = "data_reach";

/// The function.
pub fn data_reach() -> ScalarUDF {
    row_function(DataReach)
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct DataReach;

impl RowFunction for DataReach {
    fn name(&self) -> &'static str {
        NAME
    }

    fn coerce(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        match types {
            [time, _, _] => Ok(vec![coerce_time(NAME, 1, time)?, DataType::Utf8, DataType::Utf8]),
            _ => Err(Error::user(format!("{NAME}: needs (largest time, relation, time zone)")).into()),
        }
    }

    fn signature(&self) -> Signature {
        // What it says depends on the clock.
        Signature::user_defined(Volatility::Volatile)
    }

    fn answer_type(&self, types: &[DataType]) -> Result<DataType> {
        Ok(types[0].clone())
    }

    fn call(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let [time, ColumnarValue::Scalar(relation), ColumnarValue::Scalar(zone)] = args.args.as_slice() else {
            return Err(Error::user(format!("{NAME}: arguments 2 and 3 must be constants")).into());
        };
        let times = time.to_array(args.number_rows)?;
        let (ticks, clock) = (Times::read(&times)?, clock_of(times.data_type()).unwrap_or(Clock::Dates));
        let zone = zone.try_as_str().flatten().unwrap_or("UTC");
        let latest = (0..times.len()).filter(|row| !times.is_null(*row)).max_by_key(|row| ticks.values()[*row]);
        if let Some(row) = latest.filter(|row| is_future(ticks.values()[*row], clock, zone)) {
            let shown = ScalarValue::try_from_array(&times, row)?;
            let shown = shown.cast_to(&DataType::Utf8).unwrap_or(shown);
            let relation = relation.try_as_str().flatten().unwrap_or_default();
            Notes::of(&args.config_options).say(format!(
                "{relation}: the data end at {shown}, which is in the future: periods count as over up to then; \
                 give as_of => .. for the day on which they should end"
            ));
        }
        Ok(time.clone())
    }
}

fn is_future(time: i64, clock: Clock, zone: &str) -> bool {
    let now = jiff::Timestamp::now();
    match clock {
        Clock::Instants(per_second) => {
            i128::from(time) * (1_000_000_000 / i128::from(per_second)) > now.as_nanosecond()
        }
        Clock::Dates => {
            let zone = jiff::tz::TimeZone::get(zone).unwrap_or(jiff::tz::TimeZone::UTC);
            let today = jiff::civil::date(1970, 1, 1).until((jiff::Unit::Day, now.to_zoned(zone).date()));
            today.is_ok_and(|days| time > i64::from(days.get_days()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_future_begins_after_now() {
        let now = jiff::Timestamp::now().as_second();
        assert!(is_future(now + 3_600, Clock::Instants(1), "UTC"));
        assert!(!is_future(now - 3_600, Clock::Instants(1), "UTC"));
        assert!(is_future((now + 3_600) * 1_000, Clock::Instants(1_000), "UTC"));
        assert!(is_future(i64::MAX, Clock::Instants(1), "UTC") && !is_future(i64::MIN, Clock::Instants(1), "UTC"));
        let today = now / 86_400;
        assert!(is_future(today + 3, Clock::Dates, "UTC") && !is_future(today - 3, Clock::Dates, "UTC"));
    }
}
