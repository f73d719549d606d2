//! Small expressions that the plans of several relations are made of.

use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::common::Column;
use datafusion::logical_expr::expr::{WindowFunction, WindowFunctionParams};
use datafusion::logical_expr::{AggregateUDF, Expr, WindowFrame, WindowFunctionDefinition, cast, lit};

use crate::algo::calendar::Clock;
use crate::functions::breakdown::breakdown;
use crate::functions::columns::clock_of;

/// A column by its exact name, whatever letters it has.
pub fn column(name: &str) -> Expr {
    Expr::Column(Column::from_name(name))
}

/// A breakdown column of an aggregation in the answer, freed of the claim that it determines the other columns.
pub fn unkeyed(name: &str) -> Expr {
    breakdown().call(vec![column(name)]).alias(name)
}

/// `count(*)`.
pub fn count_rows() -> Expr {
    datafusion::functions_aggregate::expr_fn::count(lit(1i64))
}

/// Ticks of a time column, or of lengths between its times, as seconds; between dates a day has 86,400.
pub fn seconds(ticks: Expr, time: &DataType) -> Expr {
    let ticks = cast(ticks, DataType::Float64);
    match clock_of(time) {
        Some(Clock::Instants(per_second)) => ticks / lit(per_second as f64),
        _ => ticks * lit(86_400f64),
    }
}

/// An aggregate over all rows, beside each of them.
pub fn over_all(function: Arc<AggregateUDF>, args: Vec<Expr>) -> Expr {
    Expr::from(WindowFunction {
        fun: WindowFunctionDefinition::AggregateUDF(function),
        params: WindowFunctionParams {
            args,
            partition_by: vec![],
            order_by: vec![],
            window_frame: WindowFrame::new(None),
            filter: None,
            null_treatment: None,
            distinct: false,
        },
    })
}
