//! `sum(event = 'buy')` and `avg(event = 'buy')`: a condition counts as 1 or 0.

use datafusion::error::Result;
use datafusion::logical_expr::planner::{ExprPlanner, PlannerResult, RawAggregateExpr, RawWindowExpr};
use datafusion::logical_expr::{Expr, WindowFunctionDefinition};

use crate::functions::plain_sql::as_number;

/// Puts `as_number` around the argument, whose type is not known yet.
#[derive(Debug)]
pub struct Counted;

impl ExprPlanner for Counted {
    fn plan_aggregate(&self, mut call: RawAggregateExpr) -> Result<PlannerResult<RawAggregateExpr>> {
        if counts(call.func.name()) {
            number(&mut call.args);
        }
        Ok(PlannerResult::Original(call))
    }

    fn plan_window(&self, mut call: RawWindowExpr) -> Result<PlannerResult<RawWindowExpr>> {
        if let WindowFunctionDefinition::AggregateUDF(function) = &call.func_def
            && counts(function.name())
        {
            number(&mut call.args);
        }
        Ok(PlannerResult::Original(call))
    }
}

fn counts(function: &str) -> bool {
    matches!(function, "sum" | "avg")
}

fn number(arguments: &mut [Expr]) {
    if let [only] = arguments
        && may_be_condition(only)
    {
        *only = as_number().call(vec![std::mem::take(only)]);
    }
}

/// Arithmetic and constants are numbers for certain.
fn may_be_condition(expr: &Expr) -> bool {
    match expr {
        Expr::Literal(value, _) => value.data_type() == arrow::datatypes::DataType::Boolean,
        Expr::BinaryExpr(binary) => !binary.op.is_numerical_operators(),
        Expr::Cast(cast) => *cast.field.data_type() == arrow::datatypes::DataType::Boolean,
        Expr::Negative(_) => false,
        _ => true,
    }
}
