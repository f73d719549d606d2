//! The argument of `sum` and `avg`: a condition counts as 1 or 0, everything else is what it is.
//!
//! The planner puts it around the argument of a call, whose type it does not know yet; it is gone, or a cast, once the plan is simplified.

use arrow::compute::cast;
use arrow::datatypes::DataType;
use datafusion::error::Result;
use datafusion::logical_expr::simplify::{ExprSimplifyResult, SimplifyContext};
use datafusion::logical_expr::{
    ColumnarValue, Expr, ScalarFunctionArgs, ScalarUDF, Signature, Volatility, cast as cast_expr,
};

use crate::functions::row_function::{RowFunction, row_function};

/// The function.
pub fn as_number() -> ScalarUDF {
    row_function(AsNumber)
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct AsNumber;

impl RowFunction for AsNumber {
    fn name(&self) -> &'static str {
        "as_number"
    }

    /// The column goes on being called `sum(x)`.
    fn column_name(&self, args: &[Expr]) -> Option<String> {
        Some(args[0].schema_name().to_string())
    }

    fn shown(&self, args: &[Expr]) -> Option<String> {
        Some(args[0].to_string())
    }

    fn signature(&self) -> Signature {
        Signature::any(1, Volatility::Immutable)
    }

    fn answer_type(&self, types: &[DataType]) -> Result<DataType> {
        Ok(if types[0] == DataType::Boolean { DataType::Int64 } else { types[0].clone() })
    }

    fn simplify(&self, mut args: Vec<Expr>, info: &SimplifyContext) -> Result<ExprSimplifyResult> {
        let Some(argument) = args.pop() else { return Ok(ExprSimplifyResult::Original(args)) };
        let is_condition = info.get_data_type(&argument)? == DataType::Boolean;
        Ok(ExprSimplifyResult::Simplified(if is_condition { cast_expr(argument, DataType::Int64) } else { argument }))
    }

    fn call(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        match &args.args[0] {
            value if value.data_type() != DataType::Boolean => Ok(value.clone()),
            value => Ok(ColumnarValue::Array(cast(&value.to_array(args.number_rows)?, &DataType::Int64)?)),
        }
    }
}
