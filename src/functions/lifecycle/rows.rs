//! `lifecycle_rows(periods, first, last, as_of, unit, tz, week_start)`: a row for every period, with its date.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Date32Array, Int64Array, ListArray, StructArray};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, FieldRef, Fields, Int32Type, Int64Type};
use datafusion::common::ScalarValue;
use datafusion::error::Result;
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDF};

use super::counts::{period_fields, too_long};
use crate::algo::calendar::{Calendar, Clock};
use crate::algo::lifecycle::{Counts, MAX_PERIODS, TooLong};
use crate::error::Error;
use crate::functions::columns::{Times, clock_of, coerce_time};
use crate::functions::row_function::{RowFunction, row_function};

const NAME: &str = "lifecycle_rows";

/// The function.
pub fn lifecycle_rows() -> ScalarUDF {
    row_function(LifecycleRows)
}

/// The counts of a row, in their order.
const COUNTS: [&str; 5] = ["active", "new", "returning", "resurrected", "dormant"];

fn row_fields() -> Fields {
    let mut fields = vec![Field::new("period", DataType::Date32, false)];
    fields.extend(COUNTS.iter().map(|name| Field::new(*name, DataType::Int64, false)));
    fields.push(Field::new("complete", DataType::Boolean, false));
    fields.into()
}

fn row_item() -> FieldRef {
    Arc::new(Field::new_list_field(DataType::Struct(row_fields()), true))
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct LifecycleRows;

impl RowFunction for LifecycleRows {
    fn name(&self) -> &'static str {
        NAME
    }

    fn coerce(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        let needs = || {
            Error::user(format!(
                "{NAME}: needs (periods of lifecycle_counts, first period, last period, as_of, unit, time zone, week_start)"
            ))
        };
        let [DataType::List(item), _, _, as_of, ..] = types else { return Err(needs().into()) };
        if types.len() != 7 || *item.data_type() != DataType::Struct(period_fields()) {
            return Err(needs().into());
        }
        let mut coerced = vec![types[0].clone(), DataType::Int32, DataType::Int32, coerce_time(NAME, 4, as_of)?];
        coerced.extend(vec![DataType::Utf8; 3]);
        Ok(coerced)
    }

    fn answer_type(&self, _types: &[DataType]) -> Result<DataType> {
        Ok(DataType::List(row_item()))
    }

    fn call(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let words: Vec<&ScalarValue> = args.args[4..7]
            .iter()
            .map(|a| match a {
                ColumnarValue::Scalar(value) => Ok(value),
                ColumnarValue::Array(_) => Err(Error::user(format!("{NAME}: arguments 5 to 7 must be constants"))),
            })
            .collect::<Result<_, _>>()?;
        let array = |at: usize| args.args[at].to_array(args.number_rows);
        let (lists, as_of) = (array(0)?, array(3)?);
        let bounds = [cast(&array(1)?, &DataType::Int32)?, cast(&array(2)?, &DataType::Int32)?];
        let [first, last] = [0, 1].map(|at: usize| bounds[at].as_primitive::<Int32Type>());
        let clock = clock_of(as_of.data_type()).unwrap_or(Clock::Dates);
        let calendar = super::calendar_of_scalars(NAME, &words, clock)?;
        let mut dates = Dates { calendar, clock, ends: None, dates: Vec::new() };
        let times = Times::read(&as_of)?;
        let counts = PeriodCounts::of(&lists);
        let mut rows = Rows::default();
        for row in 0..args.number_rows {
            let known = first.is_valid(row) && last.is_valid(row) && !times.is_null(row) && lists.is_valid(row);
            if known {
                let (first, last) = (i64::from(first.value(row)), i64::from(last.value(row)));
                dates.find(first, last, times.values()[row])?;
                rows.push(first, &dates, counts.of_row(row));
            }
            rows.end(known)?;
        }
        Ok(ColumnarValue::Array(rows.finish()?))
    }
}

/// The dates of the periods of the last row; those of the next row are the same where all rows are of one answer.
struct Dates {
    calendar: Calendar,
    clock: Clock,
    /// First and last active period and the reach of the data.
    ends: Option<(i64, i64, i64)>,
    /// The first date of each period, and whether it is over.
    dates: Vec<(i32, bool)>,
}

impl Dates {
    fn find(&mut self, first: i64, last: i64, as_of: i64) -> Result<()> {
        if self.ends == Some((first, last, as_of)) {
            return Ok(());
        }
        let beyond = || {
            Error::data(format!("{NAME}: as_of {as_of} (in its own unit) is beyond the calendar, years -9999 to 9999"))
        };
        let (reached, over) = self.reached(as_of).ok_or_else(beyond)?;
        let last = last.max(reached);
        if last.saturating_sub(first) >= MAX_PERIODS {
            return Err(too_long(TooLong { first, last }).into());
        }
        self.dates.clear();
        for period in first..=last {
            let day = self.calendar.first_day(period).and_then(|day| i32::try_from(day).ok());
            self.dates.push((day.ok_or_else(beyond)?, period <= over));
        }
        self.ends = Some((first, last, as_of));
        Ok(())
    }

    /// The last period that the data reach into, and the last that is over.
    ///
    /// A date stands for its whole day, so a period of dates is over with its last date. An instant that is the very
    /// beginning of a period ends the one before and reaches into none.
    fn reached(&mut self, as_of: i64) -> Option<(i64, i64)> {
        let bucket = self.calendar.bucket(as_of)?;
        Some(match self.clock {
            Clock::Dates if self.calendar.bucket(as_of.checked_add(1)?)? > bucket => (bucket, bucket),
            Clock::Instants(_) if self.calendar.starts_at(bucket) == Some(as_of) => (bucket - 1, bucket - 1),
            _ => (bucket, bucket - 1),
        })
    }
}

/// The argument's columns.
struct PeriodCounts<'a> {
    offsets: &'a [i32],
    periods: &'a [i32],
    counts: [&'a [i64]; 4],
}

impl<'a> PeriodCounts<'a> {
    fn of(lists: &'a ArrayRef) -> Self {
        let lists = lists.as_list::<i32>();
        let structs = lists.values().as_struct();
        let counts = [1, 2, 3, 4].map(|at| structs.column(at).as_primitive::<Int64Type>().values().as_ref());
        let periods = structs.column(0).as_primitive::<Int32Type>().values();
        Self { offsets: lists.value_offsets(), periods, counts }
    }

    fn of_row(&self, row: usize) -> impl Iterator<Item = (i64, Counts)> {
        (self.offsets[row] as usize..self.offsets[row + 1] as usize).map(|at| {
            let [new, returning, resurrected, dormant] = self.counts.map(|column| column[at]);
            (i64::from(self.periods[at]), Counts { new, returning, resurrected, dormant })
        })
    }
}

/// The answer as it grows.
struct Rows {
    dates: Vec<i32>,
    complete: Vec<bool>,
    counts: [Vec<i64>; 5],
    offsets: Vec<i32>,
    known: Vec<bool>,
}

impl Default for Rows {
    fn default() -> Self {
        let (dates, complete, counts, known) = Default::default();
        Self { dates, complete, counts, offsets: vec![0], known }
    }
}

impl Rows {
    /// A row for each of the dates; periods without counts have zeros.
    fn push(&mut self, first: i64, dates: &Dates, counts: impl Iterator<Item = (i64, Counts)>) {
        let begin = self.dates.len();
        self.dates.extend(dates.dates.iter().map(|d| d.0));
        self.complete.extend(dates.dates.iter().map(|d| d.1));
        self.counts.iter_mut().for_each(|column| column.resize(self.dates.len(), 0));
        for (period, c) in counts {
            let at = period.checked_sub(first).and_then(|at| usize::try_from(at).ok());
            // Who was last active in the last period is dormant in one that has not begun.
            let Some(at) = at.filter(|at| *at < dates.dates.len()) else { continue };
            let values = [c.active(), c.new, c.returning, c.resurrected, c.dormant];
            self.counts.iter_mut().zip(values).for_each(|(column, value)| column[begin + at] = value);
        }
    }

    fn end(&mut self, known: bool) -> Result<()> {
        let end = i32::try_from(self.dates.len())
            .map_err(|_| Error::resources(format!("{NAME}: more than 2 billion rows in one answer")))?;
        self.offsets.push(end);
        self.known.push(known);
        Ok(())
    }

    fn finish(self) -> Result<ArrayRef> {
        let mut columns: Vec<ArrayRef> = vec![Arc::new(Date32Array::from(self.dates))];
        columns.extend(self.counts.into_iter().map(|column| Arc::new(Int64Array::from(column)) as ArrayRef));
        columns.push(Arc::new(BooleanArray::from(self.complete)));
        let structs = StructArray::try_new(row_fields(), columns, None)?;
        let (offsets, nulls) = (OffsetBuffer::new(self.offsets.into()), NullBuffer::from(self.known));
        Ok(Arc::new(ListArray::try_new(row_item(), offsets, Arc::new(structs), Some(nulls))?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dates(unit: &str, clock: Clock) -> Dates {
        let calendar = super::super::calendar(NAME, unit, "UTC", "monday", clock).unwrap();
        Dates { calendar, clock, ends: None, dates: Vec::new() }
    }

    #[test]
    fn an_instant_ends_the_period_before_it() {
        let mut days = dates("day", Clock::Instants(1_000));
        let day = 86_400_000;
        assert_eq!(days.reached(5 * day), Some((4, 4)));
        assert_eq!(days.reached(5 * day + 1), Some((5, 4)));
        assert_eq!(days.reached(5 * day - 1), Some((4, 3)));
        days.find(2, 2, 5 * day).unwrap();
        assert_eq!(days.dates, [(2, true), (3, true), (4, true)]);
        days.find(2, 5, 5 * day).unwrap();
        assert_eq!(days.dates, [(2, true), (3, true), (4, true), (5, false)]);
    }

    #[test]
    fn a_date_stands_for_its_whole_day() {
        let mut weeks = dates("week", Clock::Dates);
        // 1970-01-05 is a Monday.
        assert_eq!(weeks.reached(4), Some((1, 0)));
        assert_eq!(weeks.reached(10), Some((1, 1)));
        assert_eq!(weeks.reached(11), Some((2, 1)));
    }

    #[test]
    fn extreme_moments_are_errors() {
        for unit in ["day", "week", "month", "quarter", "year"] {
            for clock in [Clock::Dates, Clock::Instants(1), Clock::Instants(1_000_000_000)] {
                let ends = match clock {
                    Clock::Dates => [i64::from(i32::MIN), i64::from(i32::MAX)],
                    Clock::Instants(_) => [i64::MIN, i64::MAX],
                };
                for as_of in ends {
                    let mut found = dates(unit, clock);
                    let refused = found.find(0, 0, as_of).is_err();
                    assert!(refused || found.dates.len() as i64 <= MAX_PERIODS, "{unit} {clock:?} {as_of}");
                }
            }
        }
    }
}
