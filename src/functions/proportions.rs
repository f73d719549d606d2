//! `proportions_p_value(a, n, b, m)`: how likely two shares as different as these are, if nothing but chance tells them apart;
//! `newcombe_low(a, n, b, m)` and `newcombe_high(..)`: the 95 % interval of their difference.

use std::sync::Arc;

use arrow::array::{Array, AsArray, Float64Array};
use arrow::datatypes::{DataType, Int64Type};
use datafusion::error::Result;
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDF, Signature, Volatility};

use super::row_function::{RowFunction, row_function};
use super::{ArgumentDoc, FunctionDoc, FunctionKind};
use crate::model::proportions::{newcombe, z_test};

const P_VALUE: &str = "proportions_p_value";
const LOW: &str = "newcombe_low";
const HIGH: &str = "newcombe_high";

/// The p-value.
pub fn proportions_p_value() -> ScalarUDF {
    row_function(OfTwoShares { name: P_VALUE })
}

/// The lower bound.
pub fn newcombe_low() -> ScalarUDF {
    row_function(OfTwoShares { name: LOW })
}

/// The upper bound.
pub fn newcombe_high() -> ScalarUDF {
    row_function(OfTwoShares { name: HIGH })
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct OfTwoShares {
    name: &'static str,
}

impl OfTwoShares {
    fn of(&self, a: u64, n: u64, b: u64, m: u64) -> Option<f64> {
        match self.name {
            P_VALUE => z_test(a, n, b, m).map(|(_, p)| p),
            LOW => newcombe(a, n, b, m).map(|(low, _)| low),
            _ => newcombe(a, n, b, m).map(|(_, high)| high),
        }
    }
}

impl RowFunction for OfTwoShares {
    fn name(&self) -> &'static str {
        self.name
    }

    fn signature(&self) -> Signature {
        Signature::exact(vec![DataType::Int64; 4], Volatility::Immutable)
    }

    fn answer_type(&self, _types: &[DataType]) -> Result<DataType> {
        Ok(DataType::Float64)
    }

    fn call(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let columns = ColumnarValue::values_to_arrays(&args.args)?;
        let answers = (0..args.number_rows).map(|row| {
            let count = |at: usize| {
                let column = columns[at].as_primitive::<Int64Type>();
                column.is_valid(row).then(|| u64::try_from(column.value(row)).ok()).flatten()
            };
            self.of(count(0)?, count(1)?, count(2)?, count(3)?)
        });
        Ok(ColumnarValue::Array(Arc::new(answers.collect::<Float64Array>())))
    }
}

/// What the manual says of them.
pub fn docs() -> Vec<FunctionDoc> {
    let count = |name, text| ArgumentDoc { name, kind: "BIGINT", default: None, text };
    let entry = |name, summary, syntax, returns, text, example| FunctionDoc {
        name,
        kind: FunctionKind::Scalar,
        summary,
        syntax,
        arguments: vec![
            count("a", "Successes of the first group."),
            count("n", "Its trials."),
            count("b", "Successes of the second group."),
            count("m", "Its trials."),
        ],
        returns: vec![("DOUBLE", returns)],
        text,
        example,
    };
    const BOUND: &str = "The bound, -1 to 1; NULL where a group has no trials or more successes than trials.";
    const NEWCOMBE: &str = "The two-sided 95 % interval of Newcombe (1998, method 10), from the Wilson intervals of both shares. The groups are \
                            independent: nobody is in both.";
    vec![
        entry(
            P_VALUE,
            "Whether two shares differ: the two-sided p-value of the z-test of two proportions",
            "proportions_p_value(a, n, b, m)",
            "0 to 1, small where the shares differ by more than chance; NULL where a group has no trials or fewer than successes, or all trials of both are alike.",
            "With a pooled variance and without a continuity correction: z squared is Pearson's chi-square of the 2 x 2 table. \
             An approximation, good from some five expected successes and failures in each group.",
            "SELECT round(proportions_p_value(50, 100, 36, 100), 4) AS p",
        ),
        entry(
            LOW,
            "Lower end of the 95 % interval of the difference of two shares, a / n - b / m",
            "newcombe_low(a, n, b, m)",
            BOUND,
            NEWCOMBE,
            "SELECT newcombe_low(56, 70, 48, 80) AS low, newcombe_high(56, 70, 48, 80) AS high",
        ),
        entry(
            HIGH,
            "Upper end of the 95 % interval of the difference of two shares, a / n - b / m",
            "newcombe_high(a, n, b, m)",
            BOUND,
            NEWCOMBE,
            "SELECT newcombe_high(5, 56, 0, 29) AS high",
        ),
    ]
}
