//! `wilson_low(successes, trials)` and `wilson_high(..)`: the 95 % interval of a share.

use std::sync::Arc;

use arrow::array::{AsArray, Float64Array};
use arrow::datatypes::{DataType, Int64Type};
use datafusion::error::Result;
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDF, Signature, Volatility};

use super::{ArgumentDoc, FunctionDoc, FunctionKind};
use crate::functions::row_function::{RowFunction, row_function};
use crate::model::wilson::{Z_95, wilson};

/// The lower bound.
pub fn wilson_low() -> ScalarUDF {
    row_function(Wilson { name: "wilson_low" })
}

/// The upper bound.
pub fn wilson_high() -> ScalarUDF {
    row_function(Wilson { name: "wilson_high" })
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Wilson {
    name: &'static str,
}

impl RowFunction for Wilson {
    fn name(&self) -> &'static str {
        self.name
    }

    fn signature(&self) -> Signature {
        Signature::exact(vec![DataType::Int64, DataType::Int64], Volatility::Immutable)
    }

    fn answer_type(&self, _types: &[DataType]) -> Result<DataType> {
        Ok(DataType::Float64)
    }

    fn call(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let columns = ColumnarValue::values_to_arrays(&args.args)?;
        let (successes, trials) = (columns[0].as_primitive::<Int64Type>(), columns[1].as_primitive::<Int64Type>());
        let bounds = successes.iter().zip(trials).map(|(successes, trials)| {
            let (low, high) = wilson(u64::try_from(successes?).ok()?, u64::try_from(trials?).ok()?, Z_95)?;
            Some(if self.name == "wilson_low" { low } else { high })
        });
        Ok(ColumnarValue::Array(Arc::new(bounds.collect::<Float64Array>())))
    }
}

/// What the manual says of this family.
pub fn docs() -> Vec<FunctionDoc> {
    let entry = |name, summary, syntax, example| FunctionDoc {
        name,
        kind: FunctionKind::Scalar,
        summary,
        syntax,
        arguments: vec![
            ArgumentDoc { name: "successes", kind: "BIGINT", default: None, text: "How many of the trials succeeded." },
            ArgumentDoc { name: "trials", kind: "BIGINT", default: None, text: "How many trials there were." },
        ],
        returns: vec![("DOUBLE", "The bound, 0 to 1; NULL without trials or with more successes than trials.")],
        text: "The two-sided 95 % score interval of Wilson (1927). Unlike the textbook interval it stays inside 0 to 1 and \
               is never empty.",
        example,
    };
    vec![
        entry(
            "wilson_low",
            "Lower end of the 95 % interval of a share",
            "wilson_low(successes, trials)",
            "SELECT wilson_low(81, 263) AS low, wilson_high(81, 263) AS high",
        ),
        entry(
            "wilson_high",
            "Upper end of the 95 % interval of a share",
            "wilson_high(successes, trials)",
            "SELECT wilson_high(0, 20) AS high",
        ),
    ]
}
