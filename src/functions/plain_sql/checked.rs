//! `a + b`, `a - b`, `a * b` of whole numbers that say where the answer is too large, in place of one that wraps around.

use arrow::compute::kernels::numeric::{add, mul, sub};
use arrow::datatypes::{DataType, Field, FieldRef};
use arrow::error::ArrowError;
use datafusion::error::Result;
use datafusion::logical_expr::{
    ColumnarValue, Expr, Operator, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, Signature, Volatility,
};
use datafusion::physical_expr_common::datum::apply;

use crate::error::Error;
use crate::functions::row_function::{RowFunction, row_function};

/// The function of an operator; `None` for one that cannot overflow.
pub fn checked(op: Operator) -> Option<ScalarUDF> {
    let known = matches!(op, Operator::Plus | Operator::Minus | Operator::Multiply);
    known.then(|| row_function(Checked { op }))
}

/// Whether a function is one of them.
pub fn is_checked(function: &ScalarUDF) -> bool {
    NAMES.contains(&function.name())
}

const NAMES: [&str; 3] = ["checked_add", "checked_subtract", "checked_multiply"];

#[derive(Debug, PartialEq, Eq, Hash)]
struct Checked {
    op: Operator,
}

impl Checked {
    fn written(&self, of: impl Fn(&Expr) -> String, args: &[Expr]) -> String {
        let shown: Vec<String> = args.iter().map(of).collect();
        shown.join(&format!(" {} ", self.op))
    }
}

impl RowFunction for Checked {
    fn name(&self) -> &'static str {
        match self.op {
            Operator::Plus => NAMES[0],
            Operator::Minus => NAMES[1],
            _ => NAMES[2],
        }
    }

    fn shown(&self, args: &[Expr]) -> Option<String> {
        Some(self.written(ToString::to_string, args))
    }

    fn column_name(&self, args: &[Expr]) -> Option<String> {
        Some(self.written(|arg| arg.schema_name().to_string(), args))
    }

    fn signature(&self) -> Signature {
        Signature::any(2, Volatility::Immutable)
    }

    fn answer_type(&self, types: &[DataType]) -> Result<DataType> {
        Ok(types[0].clone())
    }

    // As the operator has it: a plan above whose schema was made before would else expect another one.
    fn answer_field(&self, args: &ReturnFieldArgs) -> Option<Result<FieldRef>> {
        let nullable = args.arg_fields.iter().any(|field| field.is_nullable());
        let data_type = args.arg_fields[0].data_type().clone();
        Some(Ok(Field::new(self.name(), data_type, nullable).into()))
    }

    fn call(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let kernel = match self.op {
            Operator::Plus => add,
            Operator::Minus => sub,
            _ => mul,
        };
        apply(&args.args[0], &args.args[1], kernel).map_err(|error| match error.find_root() {
            datafusion::error::DataFusionError::ArrowError(inner, _)
                if matches!(inner.as_ref(), ArrowError::ArithmeticOverflow(_)) =>
            {
                let ArrowError::ArithmeticOverflow(said) = inner.as_ref() else { return error };
                let operation = said.strip_prefix("Overflow happened on: ").unwrap_or(said);
                Error::data(format!("{operation} is too large for {}", type_name(args.return_field.data_type())))
                    .hint("CAST one side AS DOUBLE, which is rounded, or AS DECIMAL(38, 0)")
                    .into()
            }
            _ => error,
        })
    }
}

fn type_name(data_type: &DataType) -> String {
    match data_type {
        DataType::Int64 => "a BIGINT".into(),
        DataType::Int32 => "an INTEGER".into(),
        DataType::Int16 => "a SMALLINT".into(),
        DataType::Int8 => "a TINYINT".into(),
        other => format!("the type {other}"),
    }
}
