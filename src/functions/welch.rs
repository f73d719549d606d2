//! `welch_test(n, mean, variance, m, mean, variance)`: whether two means differ, and by how much.
//!
//! Does not deal with: the test itself (`model::welch`).

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Float64Array, StructArray};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{DataType, Field, Fields, Float64Type, Int64Type};
use datafusion::error::Result;
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDF, Signature, Volatility};

use super::row_function::{RowFunction, row_function};
use super::{ArgumentDoc, FunctionDoc, FunctionKind};
use crate::model::welch::{Sample, Test, welch};

const NAME: &str = "welch_test";

/// The function.
pub fn welch_test() -> ScalarUDF {
    row_function(Welch)
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Welch;

const FIELDS: [&str; 5] = ["t", "df", "p_value", "low", "high"];

fn fields() -> Fields {
    FIELDS.map(|name| Arc::new(Field::new(name, DataType::Float64, true))).into()
}

impl RowFunction for Welch {
    fn name(&self) -> &'static str {
        NAME
    }

    fn signature(&self) -> Signature {
        let sample = [DataType::Int64, DataType::Float64, DataType::Float64];
        Signature::exact([&sample[..], &sample].concat(), Volatility::Immutable)
    }

    fn answer_type(&self, _types: &[DataType]) -> Result<DataType> {
        Ok(DataType::Struct(fields()))
    }

    fn call(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let columns = ColumnarValue::values_to_arrays(&args.args)?;
        let sample = |from: usize, row: usize| {
            let number = |column: &ArrayRef| {
                let column = column.as_primitive::<Float64Type>();
                column.is_valid(row).then(|| column.value(row))
            };
            let counts = columns[from].as_primitive::<Int64Type>();
            let n = counts.is_valid(row).then(|| u64::try_from(counts.value(row)).ok()).flatten()?;
            Some(Sample { n, mean: number(&columns[from + 1])?, variance: number(&columns[from + 2])? })
        };
        let tests: Vec<Option<Test>> =
            (0..args.number_rows).map(|row| welch(sample(0, row)?, sample(3, row)?)).collect();
        // NULL in the fields as well: who takes a field looks no further.
        let column = |of: fn(&Test) -> f64| -> ArrayRef {
            Arc::new(tests.iter().map(|test| test.as_ref().map(of)).collect::<Float64Array>())
        };
        let answers = [|x: &Test| x.t, |x: &Test| x.df, |x: &Test| x.p_value, |x: &Test| x.low, |x: &Test| x.high];
        let known: NullBuffer = tests.iter().map(Option::is_some).collect();
        let columns = answers.map(column).to_vec();
        Ok(ColumnarValue::Array(Arc::new(StructArray::try_new(fields(), columns, Some(known))?)))
    }
}

/// What the manual says of it.
pub fn docs() -> Vec<FunctionDoc> {
    let argument = |name, kind, text| ArgumentDoc { name, kind, default: None, text };
    vec![FunctionDoc {
        name: NAME,
        kind: FunctionKind::Scalar,
        summary: "Whether two means differ, and by how much: Welch's t-test and the 95 % interval of the difference",
        syntax: "welch_test(n, mean_n, variance_n, m, mean_m, variance_m)",
        arguments: vec![
            argument("n", "BIGINT", "Values of the first sample."),
            argument("mean_n", "DOUBLE", "Their mean."),
            argument("variance_n", "DOUBLE", "Their sample variance, as from `var_samp`."),
            argument("m", "BIGINT", "Values of the second sample."),
            argument("mean_m", "DOUBLE", "Their mean."),
            argument("variance_m", "DOUBLE", "Their sample variance."),
        ],
        returns: vec![
            ("t DOUBLE", "The difference of the means over its standard error."),
            ("df DOUBLE", "Degrees of freedom, of Welch and Satterthwaite."),
            ("p_value DOUBLE", "Two-sided, 0 to 1: small where the means differ by more than chance."),
            ("low, high DOUBLE", "The 95 % interval of mean_n - mean_m."),
        ],
        text: "The samples are independent and need not vary alike. NULL where an argument is, where a sample has fewer than two values, \
               where neither varies, or where a number is not finite.\n\nSource: B. L. Welch, Biometrika 34 (1947).",
        example: "SELECT t.p_value, t.low, t.high FROM (SELECT welch_test(10, 0.75, 3.2006, 10, 2.33, 4.0090) AS t)",
    }]
}
