//! `distinct_hll_estimate`, `distinct_theta_estimate`, their bounds, `distinct_theta_and` and `distinct_theta_and_not`: functions of
//! stored sketches.

use std::sync::Arc;

use arrow::array::{BinaryBuilder, Float64Array};
use arrow::datatypes::DataType;
use datafusion::error::Result;
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDF};

use super::arguments::{coerce_state, refused, state_rows};
use super::distinct::Sketch;
use super::groups::append;
use crate::error::Error;
use crate::functions::row_function::{RowFunction, row_function};
use crate::model::sketches::{Estimate, hll, theta};

/// The functions of one stored sketch.
pub fn readers() -> Vec<ScalarUDF> {
    use Number::{Estimated, High, Low};
    [
        ("distinct_hll_estimate", Sketch::Hll, Estimated),
        ("distinct_hll_low", Sketch::Hll, Low),
        ("distinct_hll_high", Sketch::Hll, High),
        ("distinct_theta_estimate", Sketch::Theta, Estimated),
        ("distinct_theta_low", Sketch::Theta, Low),
        ("distinct_theta_high", Sketch::Theta, High),
    ]
    .map(|(name, sketch, number)| row_function(Reader { name, sketch, number }))
    .into()
}

/// The function.
pub fn distinct_theta_and() -> ScalarUDF {
    row_function(Both { name: "distinct_theta_and", without: false })
}

/// The function.
pub fn distinct_theta_and_not() -> ScalarUDF {
    row_function(Both { name: "distinct_theta_and_not", without: true })
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Number {
    Estimated,
    Low,
    High,
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Reader {
    name: &'static str,
    sketch: Sketch,
    number: Number,
}

impl RowFunction for Reader {
    fn name(&self) -> &'static str {
        self.name
    }

    fn coerce(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        match types {
            [state] => Ok(vec![coerce_state(self.name, 1, state, self.sketch.maker())?]),
            _ => Err(Error::user(format!("{}: needs (state), got {} arguments", self.name, types.len())).into()),
        }
    }

    fn answer_type(&self, _types: &[DataType]) -> Result<DataType> {
        Ok(DataType::Float64)
    }

    fn call(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let states = state_rows(&args.args[0], args.number_rows)?;
        let number = |state: &[u8]| {
            let told = match self.sketch {
                Sketch::Hll => hll::estimate(state),
                Sketch::Theta => theta::estimate(state),
            };
            let Estimate { estimate, low, high } = told.map_err(|fault| refused(self.name, &fault))?;
            Ok(match self.number {
                Number::Estimated => estimate,
                Number::Low => low,
                Number::High => high,
            })
        };
        let numbers = states.iter().map(|state| state.map(number).transpose());
        Ok(ColumnarValue::Array(Arc::new(numbers.collect::<Result<Float64Array, Error>>()?)))
    }
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Both {
    name: &'static str,
    without: bool,
}

impl RowFunction for Both {
    fn name(&self) -> &'static str {
        self.name
    }

    fn coerce(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        let (name, maker) = (self.name, Sketch::Theta.maker());
        match types {
            [a, b] => Ok(vec![coerce_state(name, 1, a, maker)?, coerce_state(name, 2, b, maker)?]),
            _ => Err(Error::user(format!("{name}: needs (state, state), got {} arguments", types.len())).into()),
        }
    }

    fn answer_type(&self, _types: &[DataType]) -> Result<DataType> {
        Ok(DataType::Binary)
    }

    fn call(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let (a, b) = (state_rows(&args.args[0], args.number_rows)?, state_rows(&args.args[1], args.number_rows)?);
        let both = if self.without { theta::and_not } else { theta::and };
        let mut answers = BinaryBuilder::with_capacity(args.number_rows, 0);
        for (a, b) in a.iter().zip(&b) {
            let answer = match (a, b) {
                (Some(a), Some(b)) => Some(both(a, b).map_err(|fault| refused(self.name, &fault))?),
                _ => None,
            };
            append(&mut answers, self.name, answer.as_deref())?;
        }
        Ok(ColumnarValue::Array(Arc::new(answers.finish())))
    }
}
