//! `periods_within(periods, last, n)` and `active_streaks(periods, ended)`: what one user's active periods say.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int32Array, Int64Array, StructArray};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{DataType, Field, Fields, Int32Type, Int64Type};
use datafusion::error::Result;
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDF};

use crate::algo::engagement::streaks;
use crate::error::Error;
use crate::functions::row_function::{RowFunction, row_function};

const WITHIN: &str = "periods_within";
const STREAKS: &str = "active_streaks";

/// The function.
pub fn periods_within() -> ScalarUDF {
    row_function(PeriodsWithin)
}

/// The function.
pub fn active_streaks() -> ScalarUDF {
    row_function(ActiveStreaks)
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct PeriodsWithin;

#[derive(Debug, PartialEq, Eq, Hash)]
struct ActiveStreaks;

fn is_periods(data_type: &DataType) -> bool {
    matches!(data_type, DataType::List(item) if item.data_type().is_integer() || item.data_type().is_null())
}

/// The periods of each row, those that are not NULL.
struct Lists<'a> {
    offsets: &'a [i32],
    periods: &'a Int32Array,
}

impl<'a> Lists<'a> {
    fn of(lists: &'a ArrayRef) -> Self {
        let lists = lists.as_list::<i32>();
        Self { offsets: lists.value_offsets(), periods: lists.values().as_primitive::<Int32Type>() }
    }

    fn row(&self, row: usize) -> impl Iterator<Item = i64> {
        let range = self.offsets[row] as usize..self.offsets[row + 1] as usize;
        range.filter(|at| self.periods.is_valid(*at)).map(|at| i64::from(self.periods.value(at)))
    }
}

impl RowFunction for PeriodsWithin {
    fn name(&self) -> &'static str {
        WITHIN
    }

    fn coerce(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        match types {
            [periods, _, _] if is_periods(periods) => {
                Ok(vec![DataType::new_list(DataType::Int32, true), DataType::Int32, DataType::Int64])
            }
            _ => Err(Error::user(format!("{WITHIN}: needs (list of periods, last period, number of periods)")).into()),
        }
    }

    fn answer_type(&self, _types: &[DataType]) -> Result<DataType> {
        Ok(DataType::Int64)
    }

    fn call(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let arrays = ColumnarValue::values_to_arrays(&args.args)?;
        let lists = Lists::of(&arrays[0]);
        let (last, n) = (arrays[1].as_primitive::<Int32Type>(), arrays[2].as_primitive::<Int64Type>());
        let counts = (0..arrays[0].len()).map(|row| {
            if arrays.iter().any(|a| a.is_null(row)) {
                return None;
            }
            let last = i64::from(last.value(row));
            let after = last.saturating_sub(n.value(row).max(0));
            Some(lists.row(row).filter(|p| after < *p && *p <= last).count() as i64)
        });
        Ok(ColumnarValue::Array(Arc::new(counts.collect::<Int64Array>())))
    }
}

fn streak_fields() -> Fields {
    vec![
        Field::new("current", DataType::Int64, true),
        Field::new("longest", DataType::Int64, true),
        Field::new("longest_from", DataType::Int32, true),
        Field::new("last", DataType::Int32, true),
    ]
    .into()
}

impl RowFunction for ActiveStreaks {
    fn name(&self) -> &'static str {
        STREAKS
    }

    fn coerce(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        match types {
            [periods, _] if is_periods(periods) => Ok(vec![DataType::new_list(DataType::Int32, true), DataType::Int32]),
            _ => Err(Error::user(format!("{STREAKS}: needs (list of periods, last period that has ended)")).into()),
        }
    }

    fn answer_type(&self, _types: &[DataType]) -> Result<DataType> {
        Ok(DataType::Struct(streak_fields()))
    }

    fn call(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let arrays = ColumnarValue::values_to_arrays(&args.args)?;
        let lists = Lists::of(&arrays[0]);
        let ended = arrays[1].as_primitive::<Int32Type>();
        let found: Vec<Option<(i64, i64, i32, i32)>> = (0..arrays[0].len())
            .map(|row| {
                if arrays.iter().any(|a| a.is_null(row)) {
                    return None;
                }
                let (runs, last) = (streaks(lists.row(row))?, lists.row(row).max()?);
                let current = if last >= i64::from(ended.value(row)) { runs.last } else { 0 };
                Some((current, runs.longest, runs.longest_from as i32, last as i32))
            })
            .collect();
        let valid: NullBuffer = found.iter().map(Option::is_some).collect::<Vec<_>>().into();
        let columns: Vec<ArrayRef> = vec![
            Arc::new(found.iter().map(|f| f.map(|f| f.0)).collect::<Int64Array>()),
            Arc::new(found.iter().map(|f| f.map(|f| f.1)).collect::<Int64Array>()),
            Arc::new(found.iter().map(|f| f.map(|f| f.2)).collect::<Int32Array>()),
            Arc::new(found.iter().map(|f| f.map(|f| f.3)).collect::<Int32Array>()),
        ];
        Ok(ColumnarValue::Array(Arc::new(StructArray::try_new(streak_fields(), columns, Some(valid))?)))
    }
}
