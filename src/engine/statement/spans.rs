//! `n * INTERVAL '1 day'` and `INTERVAL '1 day' * n`, which DataFusion has no type for.

use arrow::datatypes::DataType;
use datafusion::common::DFSchema;
use datafusion::error::Result;
use datafusion::logical_expr::planner::{ExprPlanner, PlannerResult, RawBinaryExpr};
use datafusion::logical_expr::{Expr, ExprSchemable};
use datafusion::sql::sqlparser::ast::BinaryOperator;

use crate::error::Error;
use crate::functions::plain_sql::interval_times;

/// Puts `interval_times` in place of the product.
#[derive(Debug)]
pub struct Spans;

impl ExprPlanner for Spans {
    fn plan_binary_op(&self, call: RawBinaryExpr, schema: &DFSchema) -> Result<PlannerResult<RawBinaryExpr>> {
        let is_span = |side: &Expr| matches!(side.get_type(schema), Ok(DataType::Interval(_)));
        if call.op == BinaryOperator::Divide && is_span(&call.left) {
            return Err(Error::user("an interval cannot be divided")
                .hint("write the smaller one, as INTERVAL '12 hours' for half a day; the difference of two times divides by extract(epoch FROM ..)")
                .into());
        }
        if call.op != BinaryOperator::Multiply {
            return Ok(PlannerResult::Original(call));
        }
        Ok(match (is_span(&call.left), is_span(&call.right)) {
            (true, _) => PlannerResult::Planned(interval_times().call(vec![call.left, call.right])),
            (false, true) => PlannerResult::Planned(interval_times().call(vec![call.right, call.left])),
            _ => PlannerResult::Original(call),
        })
    }
}
