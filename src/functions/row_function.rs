//! A function of one row: what every one of tenure says to DataFusion in the same way.
//!
//! Deals with: the signature, the manual. Does not deal with: any one function's arguments or answer.

use std::fmt::Debug;
use std::hash::Hash;

use arrow::datatypes::{DataType, FieldRef};
use datafusion::error::Result;
use datafusion::logical_expr::simplify::{ExprSimplifyResult, SimplifyContext};
use datafusion::logical_expr::{
    ColumnarValue, Documentation, Expr, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
    Volatility,
};

use super::documentation::documentation;
use crate::error::Error;

/// What one function adds to the common part.
pub trait RowFunction: Debug + PartialEq + Eq + Hash + Send + Sync + 'static {
    /// Name in SQL.
    fn name(&self) -> &'static str;
    /// The types that the arguments are coerced to. Not asked where [`signature`](Self::signature) says them.
    fn coerce(&self, _types: &[DataType]) -> Result<Vec<DataType>> {
        Err(Error::internal(format!("{}: coerced by its signature", self.name())).into())
    }
    /// The answer's type, given coerced arguments.
    fn answer_type(&self, types: &[DataType]) -> Result<DataType>;
    /// The answers for some rows.
    fn call(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue>;

    /// Which arguments it takes, and whether its answers depend on them alone.
    fn signature(&self) -> Signature {
        Signature::user_defined(Volatility::Immutable)
    }
    /// Other names.
    fn aliases(&self) -> Vec<String> {
        Vec::new()
    }
    /// The answer's field, where its type and that it may be NULL are not all there is to say.
    fn answer_field(&self, _args: &ReturnFieldArgs) -> Option<Result<FieldRef>> {
        None
    }
    /// What a column is called that this computes, where that is not the call as it was written.
    fn column_name(&self, _args: &[Expr]) -> Option<String> {
        None
    }
    /// How EXPLAIN shows a call.
    fn shown(&self, _args: &[Expr]) -> Option<String> {
        None
    }
    /// A simpler expression.
    fn simplify(&self, args: Vec<Expr>, _info: &SimplifyContext) -> Result<ExprSimplifyResult> {
        Ok(ExprSimplifyResult::Original(args))
    }
}

/// The function as DataFusion takes it.
pub fn row_function(function: impl RowFunction) -> ScalarUDF {
    let (signature, aliases) = (function.signature(), function.aliases());
    Shell { function, signature, aliases }.into()
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Shell<F> {
    function: F,
    signature: Signature,
    aliases: Vec<String>,
}

impl<F: RowFunction> ScalarUDFImpl for Shell<F> {
    fn name(&self) -> &str {
        self.function.name()
    }

    fn aliases(&self) -> &[String] {
        &self.aliases
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        self.function.coerce(types)
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        self.function.answer_type(types)
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        if let Some(field) = self.function.answer_field(&args) {
            return field;
        }
        let types: Vec<DataType> = args.arg_fields.iter().map(|field| field.data_type().clone()).collect();
        let answer = self.function.answer_type(&types)?;
        Ok(arrow::datatypes::Field::new(self.function.name(), answer, true).into())
    }

    fn schema_name(&self, args: &[Expr]) -> Result<String> {
        match self.function.column_name(args) {
            Some(name) => Ok(name),
            None => {
                let names: Vec<String> = args.iter().map(|arg| arg.schema_name().to_string()).collect();
                Ok(format!("{}({})", self.name(), names.join(",")))
            }
        }
    }

    fn display_name(&self, args: &[Expr]) -> Result<String> {
        match self.function.shown(args) {
            Some(text) => Ok(text),
            None => {
                let shown: Vec<String> = args.iter().map(ToString::to_string).collect();
                Ok(format!("{}({})", self.name(), shown.join(", ")))
            }
        }
    }

    fn simplify(&self, args: Vec<Expr>, info: &SimplifyContext) -> Result<ExprSimplifyResult> {
        self.function.simplify(args, info)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        self.function.call(args)
    }

    fn documentation(&self) -> Option<&Documentation> {
        Some(documentation(self.function.name()))
    }
}
