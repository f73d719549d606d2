//! `local_hour(time, tz)` and `local_text(time, tz)`: the hour that clocks show somewhere, and a time as people there write it.
//!
//! Pieces of relations' plans. Does not deal with: periods of the calendar (`period`).

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, StringArray};
use arrow::datatypes::DataType;
use datafusion::error::Result;
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDF};
use jiff::tz::TimeZone;

use super::columns::{Times, clock_of, coerce_time};
use super::row_function::{RowFunction, row_function};
use crate::algo::calendar::{Calendar, Clock, Unit};
use crate::error::Error;

const HOUR: &str = "local_hour";
const TEXT: &str = "local_text";

/// The hour, 0 to 23; NULL of dates.
pub fn local_hour() -> ScalarUDF {
    row_function(LocalTime { name: HOUR })
}

/// As ISO 8601 with the zone's offset; a date as a date.
pub fn local_text() -> ScalarUDF {
    row_function(LocalTime { name: TEXT })
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct LocalTime {
    name: &'static str,
}

impl RowFunction for LocalTime {
    fn name(&self) -> &'static str {
        self.name
    }

    fn coerce(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        match types {
            [time, _] => Ok(vec![coerce_time(self.name, 1, time)?, DataType::Utf8]),
            _ => Err(Error::user(format!("{}: needs (time, time zone)", self.name)).into()),
        }
    }

    fn answer_type(&self, _types: &[DataType]) -> Result<DataType> {
        Ok(if self.name == HOUR { DataType::Int64 } else { DataType::Utf8 })
    }

    fn call(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let name = self.name;
        let [time, ColumnarValue::Scalar(zone)] = args.args.as_slice() else {
            return Err(Error::user(format!("{name}: the time zone must be a constant")).into());
        };
        let zone = zone.try_as_str().flatten().unwrap_or("UTC");
        let column = time.to_array(args.number_rows)?;
        let times = Times::read(&column)?;
        let clock = clock_of(column.data_type()).unwrap_or(Clock::Dates);
        let unknown = || Error::user(format!("{name}: unknown time zone '{zone}'"));
        let beyond = |time: i64| {
            Error::data(format!(
                "{name}: time {time} (in the column's own unit) is beyond the calendar, years -9999 to 9999"
            ))
        };
        let known = (0..args.number_rows).map(|row| (!times.is_null(row)).then(|| times.values()[row]));
        let answers: ArrayRef = if name == HOUR {
            let mut calendar = Calendar::new(Unit::Day, zone, 0, clock).ok_or_else(unknown)?;
            let hour = |time: Option<i64>| match (time, clock) {
                (None, _) | (_, Clock::Dates) => Ok(None),
                (Some(time), _) => calendar.hour_of_day(time).map(Some).ok_or_else(|| beyond(time)),
            };
            Arc::new(known.map(hour).collect::<Result<Int64Array, Error>>()?)
        } else {
            let rules = TimeZone::get(zone).map_err(|_| unknown())?;
            let text = |time: Option<i64>| {
                time.map(|time| written(time, clock, &rules).ok_or_else(|| beyond(time))).transpose()
            };
            Arc::new(known.map(text).collect::<Result<StringArray, Error>>()?)
        };
        Ok(ColumnarValue::Array(answers))
    }
}

fn written(time: i64, clock: Clock, zone: &TimeZone) -> Option<String> {
    match clock {
        Clock::Dates => {
            let span = jiff::Span::new().try_days(time).ok()?;
            Some(jiff::civil::date(1970, 1, 1).checked_add(span).ok()?.to_string())
        }
        Clock::Instants(per_second) => {
            let nanos = i128::from(time) * (1_000_000_000 / i128::from(per_second));
            let there = jiff::Timestamp::from_nanosecond(nanos).ok()?.to_zoned(zone.clone());
            // Offsets are whole minutes but of times before railways.
            Some(format!("{}{}", there.datetime(), there.strftime("%:z")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_with_their_offset() {
        let zone = |name| TimeZone::get(name).unwrap();
        let of = |time, name| written(time, Clock::Instants(1_000_000), &zone(name)).unwrap();
        assert_eq!(of(1_743_295_800_123_000, "UTC"), "2025-03-30T00:50:00.123+00:00");
        // The hour that is left out in spring, and the one that comes twice in autumn.
        assert_eq!(of(1_743_296_400_000_000, "Europe/Berlin"), "2025-03-30T03:00:00+02:00");
        assert_eq!(of(1_761_438_600_000_000, "Europe/Berlin"), "2025-10-26T02:30:00+02:00");
        assert_eq!(of(1_761_442_200_000_000, "Europe/Berlin"), "2025-10-26T02:30:00+01:00");
        assert_eq!(written(-1, Clock::Dates, &zone("UTC")).unwrap(), "1969-12-31");
        assert_eq!(written(i64::MAX, Clock::Instants(1), &zone("UTC")), None);
        assert_eq!(written(i64::MAX, Clock::Dates, &zone("UTC")), None);
    }
}
