//! `moving_mean(x, n) OVER (.. ORDER BY ..)`: the mean of the last n rows, each computed for itself.
//!
//! `avg(x) OVER (ROWS n - 1 PRECEDING)` adds a row and takes one away again, so that one huge value leaves its rounding in all
//! later means. Here the sum of each n rows is exact and rounded once.
//! Does not deal with: rows that are missing; a mean of dates needs a row for each.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Float64Array};
use arrow::datatypes::{DataType, Field, FieldRef, Float64Type};
use datafusion::common::ScalarValue;
use datafusion::error::Result;
use datafusion::logical_expr::function::{PartitionEvaluatorArgs, WindowFunctionSimplification, WindowUDFFieldArgs};
use datafusion::logical_expr::{
    Documentation, Expr, PartitionEvaluator, Signature, Volatility, WindowUDF, WindowUDFImpl,
};

use super::columns::literal_integer;
use super::documentation::documentation;
use super::{ArgumentDoc, FunctionDoc, FunctionKind};
use crate::algo::exact_sum::ExactSum;
use crate::error::Error;

const NAME: &str = "moving_mean";
/// The most rows of one mean.
pub const MOST: i64 = 1_000;

/// The function.
pub fn moving_mean() -> WindowUDF {
    MovingMean { signature: Signature::user_defined(Volatility::Immutable) }.into()
}

/// What the manual says of it.
pub fn docs() -> Vec<FunctionDoc> {
    let argument = |name, kind, text| ArgumentDoc { name, kind, default: None, text };
    vec![FunctionDoc {
        name: NAME,
        kind: FunctionKind::Window,
        summary: "The mean of the last n rows",
        syntax: "moving_mean(x, n) OVER ([PARTITION BY ..] ORDER BY ..)",
        arguments: vec![
            argument("x", "DOUBLE", "The numbers; NULL counts as 0."),
            argument("n", "BIGINT", "Rows of each mean, this one included, 1 to 1000; a constant."),
        ],
        returns: vec![("DOUBLE", "NULL in the first n - 1 rows of a partition.")],
        text: "The sum of each n rows is rounded once: one huge value leaves nothing behind in the means after it, as \
               `avg(x) OVER (ROWS 6 PRECEDING)` does. A frame is not looked at. Cost: O(rows x n).",
        example: "SELECT d, moving_mean(x, 3) OVER (ORDER BY d) AS mean\nFROM (VALUES (1, 3.0), (2, 6.0), (3, 9.0), (4, 0.0)) AS t(d, x) ORDER BY d",
    }]
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct MovingMean {
    signature: Signature,
}

fn check(n: i64) -> Result<usize, Error> {
    match (1..=MOST).contains(&n) {
        true => Ok(n as usize),
        false => Err(Error::user(format!("{NAME}: n must be 1 to {MOST}, got {n}"))),
    }
}

impl WindowUDFImpl for MovingMean {
    fn name(&self) -> &str {
        NAME
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        match types {
            [number, n] if (number.is_numeric() || number.is_null()) && n.is_integer() => {
                Ok(vec![DataType::Float64, DataType::Int64])
            }
            _ => Err(Error::user(format!("{NAME}: needs (number, number of rows)")).into()),
        }
    }

    fn field(&self, args: WindowUDFFieldArgs) -> Result<FieldRef> {
        Ok(Arc::new(Field::new(args.name(), DataType::Float64, true)))
    }

    fn simplify(&self) -> Option<WindowFunctionSimplification> {
        Some(Box::new(|call, _| {
            if let Some(Expr::Literal(ScalarValue::Int64(Some(n)), _)) = call.params.args.get(1) {
                check(*n)?;
            }
            Ok(Expr::from(call))
        }))
    }

    fn documentation(&self) -> Option<&Documentation> {
        Some(documentation(NAME))
    }

    fn partition_evaluator(&self, args: PartitionEvaluatorArgs) -> Result<Box<dyn PartitionEvaluator>> {
        let rows = check(literal_integer(NAME, "n", args.input_exprs(), 1)?)?;
        Ok(Box::new(Means { rows }))
    }
}

#[derive(Debug)]
struct Means {
    rows: usize,
}

impl PartitionEvaluator for Means {
    fn evaluate_all(&mut self, values: &[ArrayRef], num_rows: usize) -> Result<ArrayRef> {
        let numbers = values[0].as_primitive::<Float64Type>();
        let number = |at: usize| if numbers.is_valid(at) { numbers.value(at) } else { 0.0 };
        let means = (0..num_rows).map(|row| {
            let from = (row + 1).checked_sub(self.rows)?;
            let mut sum = ExactSum::default();
            let mut odd = 0.0;
            for at in from..=row {
                // What cannot be added exactly is added as it is.
                if number(at).abs() < 1e280 { sum.add(number(at)) } else { odd += number(at) }
            }
            Some((if odd == 0.0 { sum.value() } else { odd + sum.value() }) / self.rows as f64)
        });
        Ok(Arc::new(means.collect::<Float64Array>()))
    }

    fn supports_bounded_execution(&self) -> bool {
        false
    }

    fn uses_window_frame(&self) -> bool {
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_huge_value_leaves_nothing_behind() {
        let numbers: ArrayRef = Arc::new(Float64Array::from(vec![Some(1e17), Some(1.0), None, Some(2.0)]));
        let means = Means { rows: 2 }.evaluate_all(&[numbers], 4).unwrap();
        let means: Vec<Option<f64>> = means.as_primitive::<Float64Type>().iter().collect();
        assert_eq!(means, [None, Some((1e17 + 1.0) / 2.0), Some(0.5), Some(1.0)]);
    }
}
