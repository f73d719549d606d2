//! `breakdown(x)`: x itself, as a computed column.
//!
//! After `GROUP BY country` the planner of DataFusion 55 knows that `country` determines every column, and keeps saying so
//! when the groups are spread over several rows by a join: `GROUP BY country, step ORDER BY country, step` above a relation
//! then loses `step` from its order. A computed column carries no such claim. It costs nothing: the array is passed on.

use arrow::datatypes::DataType;
use datafusion::error::Result;
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDF, Signature, Volatility};

use crate::functions::row_function::{RowFunction, row_function};

/// The function.
pub fn breakdown() -> ScalarUDF {
    row_function(Breakdown)
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Breakdown;

impl RowFunction for Breakdown {
    fn name(&self) -> &'static str {
        "breakdown"
    }

    fn signature(&self) -> Signature {
        Signature::any(1, Volatility::Immutable)
    }

    fn answer_type(&self, types: &[DataType]) -> Result<DataType> {
        Ok(types[0].clone())
    }

    fn call(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        Ok(args.args[0].clone())
    }
}
