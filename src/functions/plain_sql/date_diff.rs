//! `date_diff(unit, from, to)`: boundaries of a unit between two times.

use arrow::array::{Array, Int64Array};
use arrow::datatypes::DataType;
use datafusion::common::ScalarValue;
use datafusion::error::Result;
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDF};

use crate::algo::calendar::{Calendar, Clock, Unit};
use crate::config::TenureOptions;
use crate::error::{Error, suggest};
use crate::functions::columns::{Times, clock_of, coerce_time};
use crate::functions::row_function::{RowFunction, row_function};

const NAME: &str = "date_diff";

const UNITS: [&str; 10] =
    ["year", "quarter", "month", "week", "day", "hour", "minute", "second", "millisecond", "microsecond"];

/// The function.
pub fn date_diff() -> ScalarUDF {
    row_function(DateDiff)
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct DateDiff;

impl RowFunction for DateDiff {
    fn name(&self) -> &'static str {
        NAME
    }

    fn aliases(&self) -> Vec<String> {
        vec!["datediff".into()]
    }

    fn coerce(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        let [_, from, to] = types else {
            return Err(Error::user(format!("{NAME}: needs (unit, from, to), got {} arguments", types.len())).into());
        };
        Ok(vec![DataType::Utf8, coerced(2, from)?, coerced(3, to)?])
    }

    fn answer_type(&self, _types: &[DataType]) -> Result<DataType> {
        Ok(DataType::Int64)
    }

    fn call(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let unit = match &args.args[0] {
            ColumnarValue::Scalar(ScalarValue::Utf8(Some(unit))) => unit.to_lowercase(),
            _ => return Err(Error::user(format!("{NAME}: the unit must be a constant text, such as 'day'")).into()),
        };
        let zone = args.config_options.extensions.get::<TenureOptions>().map_or("UTC", |o| o.time_zone.as_str());
        let sides = [&args.args[1], &args.args[2]].map(|side| Side::read(side, args.number_rows, &unit, zone));
        let [from, to] = sides;
        let (mut from, mut to) = (from?, to?);
        let counted: Int64Array = (0..args.number_rows)
            .map(|row| match (from.at(row)?, to.at(row)?) {
                (Some(from), Some(to)) => Ok(Some(to - from)),
                _ => Ok(None),
            })
            .collect::<Result<_, Error>>()?;
        Ok(ColumnarValue::Array(std::sync::Arc::new(counted)))
    }
}

/// Texts are read as times, as they are in a comparison.
fn coerced(position: usize, time: &DataType) -> Result<DataType, Error> {
    match time {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => {
            Ok(DataType::Timestamp(arrow::datatypes::TimeUnit::Microsecond, None))
        }
        other => coerce_time(NAME, position, other),
    }
}

/// One of the two times, as numbers of units.
struct Side {
    times: Times,
    units: Units,
}

enum Units {
    Calendar(Box<Calendar>),
    /// Ticks in a unit of a fixed length, and units in a tick where the tick is the longer one.
    Fixed {
        ticks: i64,
        of_tick: i64,
    },
}

impl Side {
    fn read(side: &ColumnarValue, rows: usize, unit: &str, zone: &str) -> Result<Self, Error> {
        let array = side.to_array(rows)?;
        let clock = clock_of(array.data_type()).unwrap_or(Clock::Dates);
        let unit = unit.strip_suffix('s').filter(|short| UNITS.contains(short)).unwrap_or(unit);
        let per_second = match unit {
            "hour" => Err(3600),
            "minute" => Err(60),
            "second" => Err(1),
            "millisecond" => Ok(1_000),
            "microsecond" => Ok(1_000_000),
            other => {
                let Some(unit) = Unit::parse(other) else {
                    return Err(Error::user(format!("{NAME}: unknown unit '{other}'; {}", suggest(other, UNITS))));
                };
                let Some(calendar) = Calendar::new(unit, zone, 0, clock) else {
                    return Err(Error::user(format!("{NAME}: unknown time zone '{zone}'")));
                };
                return Ok(Self { times: Times::read(&array)?, units: Units::Calendar(Box::new(calendar)) });
            }
        };
        let units = match (clock, per_second) {
            (Clock::Dates, Err(seconds)) => Units::Fixed { ticks: 1, of_tick: 86_400 / seconds },
            (Clock::Dates, Ok(parts)) => Units::Fixed { ticks: 1, of_tick: 86_400 * parts },
            (Clock::Instants(ticks), Err(seconds)) => Units::Fixed { ticks: ticks * seconds, of_tick: 1 },
            (Clock::Instants(ticks), Ok(parts)) => {
                Units::Fixed { ticks: (ticks / parts).max(1), of_tick: (parts / ticks).max(1) }
            }
        };
        Ok(Self { times: Times::read(&array)?, units })
    }

    fn at(&mut self, row: usize) -> Result<Option<i64>, Error> {
        if self.times.is_null(row) {
            return Ok(None);
        }
        let time = self.times.values()[row];
        let number = match &mut self.units {
            Units::Calendar(calendar) => calendar.bucket(time),
            Units::Fixed { ticks, of_tick } => time.div_euclid(*ticks).checked_mul(*of_tick),
        };
        number.map(Some).ok_or_else(|| Error::data(format!("{NAME}: a time lies beyond the calendar")))
    }
}
