//! `length(value)`: characters of a text, elements of a list. DataFusion's counts the characters of a list's text.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array};
use arrow::compute::{cast, kernels::length};
use arrow::datatypes::DataType;
use datafusion::error::Result;
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDF};

use crate::error::Error;
use crate::functions::row_function::{RowFunction, row_function};

/// The function.
pub fn length() -> ScalarUDF {
    row_function(Length)
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Length;

impl RowFunction for Length {
    fn name(&self) -> &'static str {
        "length"
    }

    fn coerce(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        let [only] = types else {
            return Err(Error::user(format!("length takes one argument, a text or a list, got {}", types.len())).into());
        };
        let value = match only {
            DataType::Dictionary(_, values) => values.as_ref(),
            other => other,
        };
        Ok(vec![match value {
            DataType::List(_) | DataType::LargeList(_) | DataType::FixedSizeList(..) => value.clone(),
            DataType::Map(..) | DataType::Struct(_) => {
                return Err(Error::user("length takes a text or a list")
                    .hint("cardinality(map) counts the entries of a map")
                    .into());
            }
            _ => DataType::Utf8View,
        }])
    }

    fn answer_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Int64)
    }

    fn call(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let scalar = matches!(args.args[0], ColumnarValue::Scalar(_));
        let values = args.args[0].to_array(if scalar { 1 } else { args.number_rows })?;
        let lengths: ArrayRef = match values.as_string_view_opt() {
            Some(texts) => Arc::new(characters(texts.iter())),
            None => cast(&length::length(values.as_ref())?, &DataType::Int64)?,
        };
        debug_assert_eq!(lengths.len(), values.len());
        if scalar {
            return Ok(ColumnarValue::Scalar(datafusion::common::ScalarValue::try_from_array(&lengths, 0)?));
        }
        Ok(ColumnarValue::Array(lengths))
    }
}

fn characters<'a>(texts: impl Iterator<Item = Option<&'a str>>) -> Int64Array {
    texts.map(|text| text.map(|text| text.chars().count() as i64)).collect()
}
