//! `segments_apart(relation, both, example, absent)`: true, where nobody is in both of two segments; an error otherwise.
//!
//! A piece of relations' plans: two segments that share users are no independent samples, and every test of them would be wrong.
//! Users that a query names and the table does not have are told in a note.

use arrow::array::{Array, AsArray};
use arrow::datatypes::{DataType, Int64Type};
use datafusion::common::ScalarValue;
use datafusion::error::Result;
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDF, Signature, Volatility};

use super::row_function::{RowFunction, row_function};
use crate::config::notes::Notes;
use crate::error::Error;

const NAME: &str = "segments_apart";

/// The function.
pub fn segments_apart() -> ScalarUDF {
    row_function(SegmentsApart)
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct SegmentsApart;

impl RowFunction for SegmentsApart {
    fn name(&self) -> &'static str {
        NAME
    }

    fn signature(&self) -> Signature {
        // It speaks.
        let types = vec![DataType::Utf8, DataType::Int64, DataType::Utf8, DataType::Int64];
        Signature::exact(types, Volatility::Volatile)
    }

    fn answer_type(&self, _types: &[DataType]) -> Result<DataType> {
        Ok(DataType::Boolean)
    }

    fn call(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let columns = ColumnarValue::values_to_arrays(&args.args)?;
        let (names, examples) = (columns[0].as_string::<i32>(), columns[2].as_string::<i32>());
        let [both, absent] = [1, 3].map(|at| columns[at].as_primitive::<Int64Type>());
        for row in 0..args.number_rows {
            let relation = names.value(row);
            let count = both.value(row);
            if both.is_valid(row) && count > 0 {
                let example = if examples.is_valid(row) { examples.value(row) } else { "" };
                let users = if count == 1 { "1 user is" } else { &format!("{count} users are") };
                return Err(Error::user(format!(
                    "{relation}: {users} in both segments, such as '{example}': a test needs segments that share nobody"
                ))
                .hint("without 'with' the segment is compared with everybody else; of two queries, one may be (SELECT .. EXCEPT SELECT ..)")
                .into());
            }
            let count = absent.value(row);
            if absent.is_valid(row) && count > 0 {
                let (users, take) = if count == 1 { ("1 user", "takes") } else { (&*format!("{count} users"), "take") };
                Notes::of(&args.config_options).say(format!(
                    "{relation}: the segments' queries name {users} without a row in the table, who {take} no part; \
                     a LEFT JOIN of the events to the users makes them count"
                ));
            }
        }
        Ok(ColumnarValue::Scalar(ScalarValue::Boolean(Some(true))))
    }
}
