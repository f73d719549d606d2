//! Pipe operators (`FROM t |> WHERE ..`) and what they share with set operations.

use datafusion::sql::sqlparser::ast::{
    ExprWithAliasAndOrderBy, OrderByOptions, PipeOperator, SetOperator, SetQuantifier,
};

use super::clauses::{Flow, GO_ON, join, refuse_if, select_item, unknown};

/// The planner keeps or drops all rows that are alike, whatever their number on the other side.
pub(super) fn counted(op: SetOperator, quantifier: SetQuantifier) -> Flow {
    refuse_if(
        quantifier == SetQuantifier::All && op != SetOperator::Union,
        &format!("ALL after {op}"),
        "number the rows that are alike on both sides, row_number() OVER (PARTITION BY a, b), and use EXCEPT or INTERSECT",
    )
}

/// Checks one `|>`.
pub(super) fn pipe(operator: &PipeOperator) -> Flow {
    match operator {
        PipeOperator::Limit { expr: _, offset: _ }
        | PipeOperator::Where { expr: _ }
        | PipeOperator::OrderBy { exprs: _ }
        | PipeOperator::As { alias: _ }
        | PipeOperator::Union { set_quantifier: _, queries: _ } => GO_ON,
        PipeOperator::Intersect { set_quantifier, queries: _ } => counted(SetOperator::Intersect, *set_quantifier),
        PipeOperator::Except { set_quantifier, queries: _ } => counted(SetOperator::Except, *set_quantifier),
        PipeOperator::Select { exprs } | PipeOperator::Extend { exprs } => exprs.iter().try_for_each(select_item),
        PipeOperator::Aggregate { full_table_exprs, group_by_expr } => {
            for ExprWithAliasAndOrderBy { expr: _, order_by } in full_table_exprs.iter().chain(group_by_expr) {
                let OrderByOptions { asc, nulls_first } = order_by;
                refuse_if(asc.is_some() || nulls_first.is_some(), "an order in AGGREGATE", "|> ORDER BY column")?;
            }
            GO_ON
        }
        PipeOperator::Join(one) => join(one),
        PipeOperator::Set { .. }
        | PipeOperator::Drop { .. }
        | PipeOperator::TableSample { .. }
        | PipeOperator::Rename { .. }
        | PipeOperator::Call { .. }
        | PipeOperator::Pivot { .. }
        | PipeOperator::Unpivot { .. } => {
            let text = operator.to_string();
            let word = text.split(' ').next().unwrap_or_default();
            unknown(&format!("|> {word}"), "|> SELECT, EXTEND, WHERE, AGGREGATE, ORDER BY, LIMIT, JOIN, UNION, AS")
        }
    }
}
