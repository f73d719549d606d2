//! `proportions_p_value(a, n, b, m)`: how likely two shares as different as these are, if nothing but chance tells them apart.

use std::sync::Arc;

use arrow::array::{Array, AsArray, Float64Array};
use arrow::datatypes::{DataType, Int64Type};
use datafusion::error::Result;
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDF, Signature, Volatility};

use super::row_function::{RowFunction, row_function};
use super::{ArgumentDoc, FunctionDoc, FunctionKind};
use crate::model::proportions::z_test;

const NAME: &str = "proportions_p_value";

/// The function.
pub fn proportions_p_value() -> ScalarUDF {
    row_function(PValue)
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct PValue;

impl RowFunction for PValue {
    fn name(&self) -> &'static str {
        NAME
    }

    fn signature(&self) -> Signature {
        Signature::exact(vec![DataType::Int64; 4], Volatility::Immutable)
    }

    fn answer_type(&self, _types: &[DataType]) -> Result<DataType> {
        Ok(DataType::Float64)
    }

    fn call(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let columns = ColumnarValue::values_to_arrays(&args.args)?;
        let p_values = (0..args.number_rows).map(|row| {
            let count = |at: usize| {
                let column = columns[at].as_primitive::<Int64Type>();
                column.is_valid(row).then(|| u64::try_from(column.value(row)).ok()).flatten()
            };
            Some(z_test(count(0)?, count(1)?, count(2)?, count(3)?)?.1)
        });
        Ok(ColumnarValue::Array(Arc::new(p_values.collect::<Float64Array>())))
    }
}

/// What the manual says of it.
pub fn docs() -> Vec<FunctionDoc> {
    let count = |name, text| ArgumentDoc { name, kind: "BIGINT", default: None, text };
    vec![FunctionDoc {
        name: NAME,
        kind: FunctionKind::Scalar,
        summary: "Whether two shares differ: the two-sided p-value of the z-test of two proportions",
        syntax: "proportions_p_value(a, n, b, m)",
        arguments: vec![
            count("a", "Successes of the first group."),
            count("n", "Its trials."),
            count("b", "Successes of the second group."),
            count("m", "Its trials."),
        ],
        returns: vec![(
            "DOUBLE",
            "0 to 1, small where the shares differ by more than chance; NULL where a group has no trials or fewer than successes, or all trials of both are alike.",
        )],
        text: "With a pooled variance and without a continuity correction: z squared is Pearson's chi-square of the 2 x 2 table. \
               An approximation, good from some five expected successes and failures in each group.",
        example: "SELECT round(proportions_p_value(50, 100, 36, 100), 4) AS p",
    }]
}
