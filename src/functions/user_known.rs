//! `user_known(relation, user, events)`: true, where the one user that a relation is about has events; an error otherwise.
//!
//! A piece of relations' plans: an empty answer would look like a user who did nothing.

use arrow::array::{Array, AsArray};
use arrow::datatypes::{DataType, Int64Type};
use datafusion::common::ScalarValue;
use datafusion::error::Result;
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDF, Signature, Volatility};

use super::row_function::{RowFunction, row_function};
use crate::error::Error;

const NAME: &str = "user_known";

/// The function.
pub fn user_known() -> ScalarUDF {
    row_function(UserKnown)
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct UserKnown;

impl RowFunction for UserKnown {
    fn name(&self) -> &'static str {
        NAME
    }

    fn signature(&self) -> Signature {
        Signature::exact(vec![DataType::Utf8, DataType::Utf8, DataType::Int64], Volatility::Volatile)
    }

    fn answer_type(&self, _types: &[DataType]) -> Result<DataType> {
        Ok(DataType::Boolean)
    }

    fn call(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let columns = ColumnarValue::values_to_arrays(&args.args)?;
        let (relations, users) = (columns[0].as_string::<i32>(), columns[1].as_string::<i32>());
        let events = columns[2].as_primitive::<Int64Type>();
        if let Some(row) = (0..args.number_rows).find(|row| events.is_null(*row) || events.value(*row) == 0) {
            let (relation, user) = (relations.value(row), users.value(row));
            return Err(Error::user(format!("{relation}: the table has no event of a user {user}"))
                .hint("an id is compared exactly: letters, blanks and leading zeros count; with 'as_of', only events up to then")
                .into());
        }
        Ok(ColumnarValue::Scalar(ScalarValue::Boolean(Some(true))))
    }
}
