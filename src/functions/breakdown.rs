//! `breakdown(x)`: x itself, as a computed column.
//!
//! After `GROUP BY country` the planner of DataFusion 55 knows that `country` determines every column, and keeps saying so
//! when the groups are spread over several rows by a join: `GROUP BY country, step ORDER BY country, step` above a relation
//! then loses `step` from its order. A computed column carries no such claim. It costs nothing: the array is passed on.

use arrow::datatypes::DataType;
use datafusion::error::Result;
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility};

/// The function.
pub fn breakdown() -> ScalarUDF {
    Breakdown { signature: Signature::any(1, Volatility::Immutable) }.into()
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Breakdown {
    signature: Signature,
}

impl ScalarUDFImpl for Breakdown {
    fn name(&self) -> &str {
        "breakdown"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        Ok(types[0].clone())
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        Ok(args.args[0].clone())
    }
}
