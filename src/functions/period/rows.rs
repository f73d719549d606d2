//! `period_rows(counts, first, last, as_of, unit, tz, week_start)`: a row for every period, with its date.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Date32Array, Int64Array, ListArray, StructArray, UInt32Array,
};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::compute::{cast, take};
use arrow::datatypes::{DataType, Field, FieldRef, Fields, Int32Type, Int64Type};
use datafusion::error::Result;
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDF};

use super::dates::Dates;
use super::{calendar_words, constants};
use crate::algo::calendar::Clock;
use crate::error::Error;
use crate::functions::columns::{Times, clock_of, coerce_time};
use crate::functions::row_function::{RowFunction, row_function};

const NAME: &str = "period_rows";

/// The function.
pub fn period_rows() -> ScalarUDF {
    row_function(PeriodRows)
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct PeriodRows;

/// The fields beside the period, where the type is a list of periods with what is known of each.
fn known_of(counts: &DataType) -> Option<&[FieldRef]> {
    let DataType::List(item) = counts else { return None };
    let DataType::Struct(fields) = item.data_type() else { return None };
    let (period, known) = fields.split_first()?;
    (*period.data_type() == DataType::Int32).then_some(known)
}

/// Counts are 0 where there is nothing, other values NULL.
fn row_fields(known: &[FieldRef]) -> Fields {
    let mut fields = vec![Field::new("period", DataType::Date32, false)];
    fields.extend(known.iter().map(|f| Field::new(f.name(), f.data_type().clone(), *f.data_type() != DataType::Int64)));
    fields.push(Field::new("complete", DataType::Boolean, false));
    fields.into()
}

fn row_item(known: &[FieldRef]) -> FieldRef {
    Arc::new(Field::new_list_field(DataType::Struct(row_fields(known)), true))
}

impl RowFunction for PeriodRows {
    fn name(&self) -> &'static str {
        NAME
    }

    fn coerce(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        let needs = || {
            Error::user(format!(
                "{NAME}: needs (list of periods with their counts, first period, last period, as_of, unit, time zone, week_start)"
            ))
        };
        let [counts, _, _, as_of, _, _, _] = types else { return Err(needs().into()) };
        known_of(counts).ok_or_else(needs)?;
        let mut coerced = vec![counts.clone(), DataType::Int32, DataType::Int32, coerce_time(NAME, 4, as_of)?];
        coerced.extend(vec![DataType::Utf8; 3]);
        Ok(coerced)
    }

    fn answer_type(&self, types: &[DataType]) -> Result<DataType> {
        Ok(DataType::List(row_item(known_of(&types[0]).unwrap_or_default())))
    }

    fn call(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let words = constants(NAME, &args.args, 4)?;
        let array = |at: usize| args.args[at].to_array(args.number_rows);
        let (lists, as_of) = (array(0)?, array(3)?);
        let bounds = [cast(&array(1)?, &DataType::Int32)?, cast(&array(2)?, &DataType::Int32)?];
        let [first, last] = [0, 1].map(|at: usize| bounds[at].as_primitive::<Int32Type>());
        let clock = clock_of(as_of.data_type()).unwrap_or(Clock::Dates);
        let mut dates = Dates::new(NAME, calendar_words(NAME, &words, clock)?, clock);
        let times = Times::read(&as_of)?;
        let lists = lists.as_list::<i32>();
        let periods = lists.values().as_struct().column(0).as_primitive::<Int32Type>().values();
        let mut rows = Rows { offsets: vec![0], ..Rows::default() };
        for row in 0..args.number_rows {
            let known = first.is_valid(row) && last.is_valid(row) && !times.is_null(row) && lists.is_valid(row);
            if known {
                let (first, last) = (i64::from(first.value(row)), i64::from(last.value(row)));
                dates.find(first, last, times.values()[row])?;
                let counted = lists.value_offsets()[row] as usize..lists.value_offsets()[row + 1] as usize;
                rows.push(first, dates.found(), periods, counted);
            }
            rows.end(known)?;
        }
        Ok(ColumnarValue::Array(rows.finish(lists)?))
    }
}

/// The answer as it grows.
#[derive(Default)]
struct Rows {
    dates: Vec<i32>,
    complete: Vec<bool>,
    /// Of each row, the element of the argument that counts it.
    counted: Vec<Option<u32>>,
    offsets: Vec<i32>,
    known: Vec<bool>,
}

impl Rows {
    /// A row for each of the dates.
    fn push(&mut self, first: i64, dates: &[(i32, bool)], periods: &[i32], counted: Range<usize>) {
        let begin = self.dates.len();
        self.dates.extend(dates.iter().map(|d| d.0));
        self.complete.extend(dates.iter().map(|d| d.1));
        self.counted.resize(self.dates.len(), None);
        for from in counted {
            let at = i64::from(periods[from]).checked_sub(first).and_then(|at| usize::try_from(at).ok());
            // What is counted in a period that has not begun, such as who is dormant in it, is not reported.
            if let Some(at) = at.filter(|at| *at < dates.len()) {
                self.counted[begin + at] = Some(from as u32);
            }
        }
    }

    fn end(&mut self, known: bool) -> Result<()> {
        let end = i32::try_from(self.dates.len())
            .map_err(|_| Error::resources(format!("{NAME}: more than 2 billion rows in one answer")))?;
        self.offsets.push(end);
        self.known.push(known);
        Ok(())
    }

    fn finish(self, lists: &ListArray) -> Result<ArrayRef> {
        let fields = known_of(lists.data_type()).unwrap_or_default();
        let at = UInt32Array::from(self.counted);
        let mut columns: Vec<ArrayRef> = vec![Arc::new(Date32Array::from(self.dates))];
        for column in &lists.values().as_struct().columns()[1..] {
            let taken = take(column, &at, None)?;
            columns.push(match taken.as_primitive_opt::<Int64Type>() {
                Some(counts) => Arc::new(counts.iter().map(|n| n.unwrap_or(0)).collect::<Int64Array>()),
                None => taken,
            });
        }
        columns.push(Arc::new(BooleanArray::from(self.complete)));
        let structs = StructArray::try_new(row_fields(fields), columns, None)?;
        let (offsets, nulls) = (OffsetBuffer::new(self.offsets.into()), NullBuffer::from(self.known));
        Ok(Arc::new(ListArray::try_new(row_item(fields), offsets, Arc::new(structs), Some(nulls))?))
    }
}
