//! `single_row(value, rows)`: the value of a subquery in the place of a value, which must give one row at most.

use arrow::array::AsArray;
use arrow::compute::max;
use arrow::datatypes::{DataType, Int64Type};
use datafusion::error::Result;
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility};

use crate::error::Error;

/// The function.
pub fn single_row() -> ScalarUDF {
    SingleRow { signature: Signature::any(2, Volatility::Immutable) }.into()
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct SingleRow {
    signature: Signature,
}

impl ScalarUDFImpl for SingleRow {
    fn name(&self) -> &str {
        "single_row"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        Ok(types[0].clone())
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let rows = args.args[1].to_array(args.number_rows)?;
        match max(rows.as_primitive::<Int64Type>()) {
            Some(rows @ 2..) => Err(Error::user(format!(
                "a subquery in the place of a value gives {rows} rows for one row of the outer query; it must give one"
            ))
            .hint("(SELECT max(x) FROM ..), or (SELECT x FROM .. ORDER BY ts DESC LIMIT 1) for the latest")
            .into()),
            _ => Ok(args.args[0].clone()),
        }
    }
}
