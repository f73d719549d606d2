//! Times and dates that the library for calendars does not know, as texts: `+290000-05-01T10:00:00`, and times of no day: `-03:51:39`.
//!
//! Deals with: 64 bits of microseconds, which reach the year 294,247 where the library ends at 262,142; in structs and lists too.
//! Does not deal with: all other times, whose columns stay as they are.
//!
//! Such a time is written as other times of its format are. One with a zone is told in UTC.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, GenericListArray, Int64Array, OffsetSizeTrait, RecordBatch, RecordBatchOptions,
    StringArray, StructArray,
};
use arrow::compute::{cast, max, min};
use arrow::datatypes::{DataType, Field, Fields, Int64Type, Schema, TimeUnit};

use super::write_failed;
use crate::error::Result;

/// Days since 1970 between which all is known, with a year to spare for zones.
const KNOWN: std::ops::Range<i64> = -96_000_000..95_000_000;
const SECONDS_OF_DAY: i64 = 86_400;

/// The rows with far times as texts, `between` standing between date and time of day.
pub(super) fn legible_rows(batch: RecordBatch, between: char) -> Result<RecordBatch> {
    let columns: Vec<ArrayRef> = batch.columns().iter().map(|c| legible(c, between)).collect::<Result<_>>()?;
    let same = |(one, other): (&ArrayRef, &ArrayRef)| one.data_type() == other.data_type();
    if columns.iter().zip(batch.columns()).all(same) {
        return Ok(batch);
    }
    let schema = batch.schema();
    let fields = schema.fields().iter().zip(&columns);
    let fields: Fields = fields.map(|(f, c)| f.as_ref().clone().with_data_type(c.data_type().clone())).collect();
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    let schema = Arc::new(Schema::new_with_metadata(fields, schema.metadata().clone()));
    RecordBatch::try_new_with_options(schema, columns, &options).map_err(write_failed)
}

/// The column, or texts in its place where it has far times.
pub(super) fn legible(column: &ArrayRef, between: char) -> Result<ArrayRef> {
    Ok(match column.data_type() {
        DataType::Timestamp(unit, zone) => {
            let ticks = cast(column, &DataType::Int64).map_err(write_failed)?;
            let ticks: &Int64Array = ticks.as_primitive::<Int64Type>();
            let per_second = ticks_of(*unit);
            if all_known(ticks, per_second * SECONDS_OF_DAY) {
                return Ok(Arc::clone(column));
            }
            let end = match (zone, between) {
                (None, _) => "",
                (Some(_), ' ') => "+00:00",
                (Some(_), _) => "Z",
            };
            texts(ticks, |tick| {
                let seconds = tick.div_euclid(per_second);
                let (day, rest) = (seconds.div_euclid(SECONDS_OF_DAY), seconds.rem_euclid(SECONDS_OF_DAY));
                let clock = of_day(rest, tick.rem_euclid(per_second), per_second);
                format!("{}{between}{clock}{end}", date(day))
            })
        }
        DataType::Date32 | DataType::Date64 => {
            let is_days = *column.data_type() == DataType::Date32;
            let whole = if is_days { cast(column, &DataType::Int32) } else { Ok(Arc::clone(column)) };
            let ticks = whole.and_then(|whole| cast(&whole, &DataType::Int64)).map_err(write_failed)?;
            let ticks: &Int64Array = ticks.as_primitive::<Int64Type>();
            let per_day = if is_days { 1 } else { SECONDS_OF_DAY * 1000 };
            if all_known(ticks, per_day) {
                return Ok(Arc::clone(column));
            }
            texts(ticks, |tick| date(tick.div_euclid(per_day)))
        }
        DataType::Time32(unit) | DataType::Time64(unit) => {
            let is_short = matches!(column.data_type(), DataType::Time32(_));
            let whole = if is_short { cast(column, &DataType::Int32) } else { Ok(Arc::clone(column)) };
            let ticks = whole.and_then(|whole| cast(&whole, &DataType::Int64)).map_err(write_failed)?;
            let ticks: &Int64Array = ticks.as_primitive::<Int64Type>();
            let per_second = ticks_of(*unit);
            let within = |tick: Option<i64>| tick.is_none_or(|tick| (0..per_second * SECONDS_OF_DAY).contains(&tick));
            if within(min(ticks)) && within(max(ticks)) {
                return Ok(Arc::clone(column));
            }
            texts(ticks, |tick| {
                let (sign, ticks) = (if tick < 0 { "-" } else { "" }, tick.unsigned_abs().cast_signed());
                format!("{sign}{}", of_day(ticks / per_second, ticks % per_second, per_second))
            })
        }
        DataType::Struct(fields) => {
            let from = column.as_struct();
            let columns: Vec<ArrayRef> = from.columns().iter().map(|c| legible(c, between)).collect::<Result<_>>()?;
            let fields = fields.iter().zip(&columns);
            let fields: Fields =
                fields.map(|(f, c)| f.as_ref().clone().with_data_type(c.data_type().clone())).collect();
            let made = StructArray::try_new_with_length(fields, columns, from.nulls().cloned(), from.len());
            Arc::new(made.map_err(write_failed)?)
        }
        DataType::List(_) => list::<i32>(column.as_list(), between)?,
        DataType::LargeList(_) => list::<i64>(column.as_list(), between)?,
        _ => Arc::clone(column),
    })
}

fn list<O: OffsetSizeTrait>(from: &GenericListArray<O>, between: char) -> Result<ArrayRef> {
    let items = legible(from.values(), between)?;
    if items.data_type() == from.values().data_type() {
        return Ok(Arc::new(from.clone()));
    }
    let field = Arc::new(Field::new_list_field(items.data_type().clone(), true));
    let made = GenericListArray::<O>::try_new(field, from.offsets().clone(), items, from.nulls().cloned());
    Ok(Arc::new(made.map_err(write_failed)?))
}

fn ticks_of(unit: TimeUnit) -> i64 {
    match unit {
        TimeUnit::Second => 1,
        TimeUnit::Millisecond => 1_000,
        TimeUnit::Microsecond => 1_000_000,
        TimeUnit::Nanosecond => 1_000_000_000,
    }
}

/// A time of day, or of more than one.
fn of_day(seconds: i64, ticks: i64, per_second: i64) -> String {
    let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    format!("{hour:02}:{minute:02}:{second:02}{}", part_of_second(ticks * (1_000_000_000 / per_second)))
}

fn all_known(ticks: &Int64Array, per_day: i64) -> bool {
    let known = |tick: Option<i64>| tick.is_none_or(|tick| KNOWN.contains(&tick.div_euclid(per_day)));
    known(min(ticks)) && known(max(ticks))
}

fn texts(ticks: &Int64Array, text: impl Fn(i64) -> String) -> ArrayRef {
    Arc::new(ticks.iter().map(|tick| tick.map(&text)).collect::<StringArray>())
}

/// Three, six or nine digits, as many as there are.
fn part_of_second(nanos: i64) -> String {
    match nanos {
        0 => String::new(),
        nanos if nanos % 1_000_000 == 0 => format!(".{:03}", nanos / 1_000_000),
        nanos if nanos % 1_000 == 0 => format!(".{:06}", nanos / 1_000),
        nanos => format!(".{nanos:09}"),
    }
}

/// A day since 1970 in the calendar that has no year of Gregory's reform; years beyond four digits have a sign.
fn date(day: i64) -> String {
    // Years that begin in March put the leap day at their end; 400 of them have 146,097 days.
    let day = i128::from(day) + 719_468;
    let (era, of_era) = (day.div_euclid(146_097), day.rem_euclid(146_097));
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * of_year + 2) / 153;
    let (day, month) = (of_year - (153 * shifted + 2) / 5 + 1, if shifted < 10 { shifted + 3 } else { shifted - 9 });
    let year = year_of_era + era * 400 + i128::from(month <= 2);
    let sign = if (0..=9999).contains(&year) { "" } else { "+" };
    if year < 0 { format!("-{:04}-{month:02}-{day:02}", -year) } else { format!("{sign}{year:04}-{month:02}-{day:02}") }
}

#[cfg(test)]
mod tests {
    use arrow::array::{Date32Array, Time32MillisecondArray, TimestampMicrosecondArray, TimestampSecondArray};

    use super::*;

    fn shown(column: ArrayRef) -> Vec<String> {
        let texts = legible(&column, 'T').unwrap();
        texts.as_string::<i32>().iter().map(|text| text.unwrap_or("NULL").to_string()).collect()
    }

    #[test]
    fn dates_are_those_of_a_calendar() {
        for day in (-719_162..2_932_896).step_by(97) {
            let known = jiff::civil::date(1970, 1, 1).checked_add(jiff::Span::new().days(day)).unwrap();
            assert_eq!(date(day), known.to_string());
        }
        assert_eq!(date(-719_529), "-0001-12-31");
        assert_eq!(date(2_932_897), "+10000-01-01");
    }

    #[test]
    fn far_times_are_texts_and_others_are_left_alone() {
        let near: ArrayRef = Arc::new(TimestampMicrosecondArray::from(vec![Some(0), None]));
        assert_eq!(legible(&near, 'T').unwrap().data_type(), near.data_type());
        // As numpy has them: np.datetime64(i64::MAX, 'us').
        let far = TimestampMicrosecondArray::from(vec![Some(i64::MAX), None, Some(0), Some(i64::MIN)]);
        assert_eq!(
            shown(Arc::new(far.clone())),
            ["+294247-01-10T04:00:54.775807", "NULL", "1970-01-01T00:00:00", "-290308-12-21T19:59:05.224192"]
        );
        assert_eq!(shown(Arc::new(far.with_timezone("UTC")))[0], "+294247-01-10T04:00:54.775807Z");
        assert_eq!(shown(Arc::new(Date32Array::from(vec![i32::MAX])))[0], "+5881580-07-11");
        assert_eq!(shown(Arc::new(TimestampSecondArray::from(vec![i64::MAX])))[0], "+292277026596-12-04T15:30:07");
        let odd = Time32MillisecondArray::from(vec![Some(-13_899_000), Some(90_000_001), None]);
        assert_eq!(shown(Arc::new(odd)), ["-03:51:39", "25:00:00.001", "NULL"]);
        let inner: ArrayRef = Arc::new(TimestampMicrosecondArray::from(vec![i64::MAX]));
        let field = Arc::new(Field::new("t", inner.data_type().clone(), true));
        let whole: ArrayRef = Arc::new(StructArray::from(vec![(field, inner)]));
        let texts = legible(&whole, 'T').unwrap();
        assert_eq!(texts.as_struct().column(0).as_string::<i32>().value(0), "+294247-01-10T04:00:54.775807");
    }
}
