//! What the one-pass aggregation asks of each row: its arguments, and the filter below it where it can decide that itself.
//!
//! ```text
//! UserAggregateExec: aggr=[chain]                        UserAggregateExec: aggr=[chain], where=by_value(event = ..)
//!   FilterExec: by_value(event = ..)              →        DataSourceExec
//!     DataSourceExec
//! ```
//!
//! A filter copies the rows that pass, of every column; the aggregation only has to look away from the others.
//! Deals with: when that is allowed, and expressions over the filter's output as expressions over its input.
//! Does not deal with: evaluating them (`exec`).
//!
//! **When.** Arguments are then evaluated for rows that the filter would have dropped, so each of them must be something
//! that cannot fail on any row: a column, a constant, a comparison, a test for NULL, their AND, OR and NOT, a choice
//! (CASE) or a struct of such.

use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::error::Result;
use datafusion::functions::core::named_struct::NamedStructFunc;
use datafusion::logical_expr::Operator;
use datafusion::physical_expr::expressions::{
    BinaryExpr, CaseExpr, Column, InListExpr, IsNotNullExpr, IsNullExpr, LikeExpr, Literal, NotExpr,
};
use datafusion::physical_expr::{ScalarFunctionExpr, split_conjunction};
use datafusion::physical_plan::aggregates::AggregateExec;
use datafusion::physical_plan::filter::FilterExec;
use datafusion::physical_plan::{ExecutionPlan, PhysicalExpr};

use crate::exec::by_value::{ByValue, by_value};

/// Expressions over `input`.
pub struct AskedOfRows {
    pub input: Arc<dyn ExecutionPlan>,
    pub key: Arc<dyn PhysicalExpr>,
    /// The filter that was below: all of these have to hold.
    pub rows: Vec<Arc<dyn PhysicalExpr>>,
    pub arguments: Vec<Vec<Arc<dyn PhysicalExpr>>>,
    pub filters: Vec<Option<Arc<dyn PhysicalExpr>>>,
}

/// What `aggregate` asks of the rows of `input`.
pub fn asked_of_rows(
    aggregate: &AggregateExec,
    key: &Arc<dyn PhysicalExpr>,
    input: &Arc<dyn ExecutionPlan>,
) -> Result<AskedOfRows> {
    let arguments: Vec<Vec<_>> = aggregate.aggr_expr().iter().map(|a| a.expressions()).collect();
    let filters = aggregate.filter_expr().to_vec();
    let filter = input.downcast_ref::<FilterExec>().filter(|f| f.fetch().is_none());
    let never_fail = || arguments.iter().flatten().chain(filters.iter().flatten()).all(never_fails);
    let absorbed = filter.filter(|_| never_fail());
    let (input, columns) = match absorbed {
        Some(filter) => (Arc::clone(filter.input()), filter.projection().as_deref()),
        None => (Arc::clone(input), None),
    };
    let schema = input.schema();
    let below = |expression: Arc<dyn PhysicalExpr>| by_value(moved(expression, columns)?, &schema);
    let each = |list: Vec<Arc<dyn PhysicalExpr>>| list.into_iter().map(below).collect::<Result<Vec<_>>>();
    Ok(AskedOfRows {
        key: moved(Arc::clone(key), columns)?,
        rows: absorbed.map(|filter| parts(filter.predicate())).unwrap_or_default(),
        arguments: arguments.into_iter().map(each).collect::<Result<_>>()?,
        filters: filters.into_iter().map(|f| f.map(below).transpose()).collect::<Result<_>>()?,
        input,
    })
}

/// What AND joins. Each part is evaluated for all rows: where one of them can fail, AND keeps it from the rows that another drops.
fn parts(predicate: &Arc<dyn PhysicalExpr>) -> Vec<Arc<dyn PhysicalExpr>> {
    let parts: Vec<_> = split_conjunction(predicate).into_iter().map(Arc::clone).collect();
    if parts.iter().all(never_fails) { parts } else { vec![Arc::clone(predicate)] }
}

/// An expression over some columns of a schema, as one over the schema.
fn moved(expression: Arc<dyn PhysicalExpr>, columns: Option<&[usize]>) -> Result<Arc<dyn PhysicalExpr>> {
    let Some(columns) = columns else { return Ok(expression) };
    expression
        .transform(|part| {
            let column = part.downcast_ref::<Column>();
            let place = column.and_then(|column| Some((column.name(), *columns.get(column.index())?)));
            Ok(match place {
                Some((name, index)) => Transformed::yes(Arc::new(Column::new(name, index)) as Arc<dyn PhysicalExpr>),
                None => Transformed::no(part),
            })
        })
        .data()
}

/// Whether no row can make it fail.
fn never_fails(expression: &Arc<dyn PhysicalExpr>) -> bool {
    if let Some(by_value) = expression.downcast_ref::<ByValue>() {
        return never_fails(by_value.condition());
    }
    let harmless = expression.is::<Column>()
        || expression.is::<Literal>()
        || expression.is::<NotExpr>()
        || expression.is::<IsNullExpr>()
        || expression.is::<IsNotNullExpr>()
        || expression.is::<InListExpr>()
        || expression.is::<LikeExpr>()
        || expression.is::<CaseExpr>()
        || ScalarFunctionExpr::try_downcast_func::<NamedStructFunc>(expression.as_ref()).is_some()
        || expression.downcast_ref::<BinaryExpr>().is_some_and(|b| {
            use Operator::{And, Eq, Gt, GtEq, IsDistinctFrom, IsNotDistinctFrom, Lt, LtEq, NotEq, Or};
            matches!(b.op(), And | Or | Eq | NotEq | Lt | LtEq | Gt | GtEq | IsDistinctFrom | IsNotDistinctFrom)
        });
    harmless && expression.children().into_iter().all(never_fails)
}
