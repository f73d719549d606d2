//! `ORDER BY ALL` as `ORDER BY 1, 2, ..`. Does not deal with `*`, whose columns are not known before planning.

use datafusion::sql::sqlparser::ast::{Expr, Ident, OrderBy, OrderByExpr, OrderByKind, Query, SelectItem, SetExpr};

use super::rewrite::number;
use crate::error::Error;

/// `ORDER BY ALL`: by every column of the list, from the left. A column that is called so needs quotes, as in DuckDB.
pub(super) fn expand(query: &mut Query) -> Result<(), Error> {
    let Some(OrderBy { kind: OrderByKind::Expressions(by), .. }) = &mut query.order_by else { return Ok(()) };
    let [OrderByExpr { expr: Expr::Identifier(Ident { value, quote_style: None, .. }), options, .. }] = by.as_slice()
    else {
        return Ok(());
    };
    if !value.eq_ignore_ascii_case("all") {
        return Ok(());
    }
    let mut first = query.body.as_ref();
    while let SetExpr::SetOperation { left, .. } = first {
        first = left;
    }
    let columns = match first {
        SetExpr::Select(select) => {
            let counted =
                |item: &SelectItem| matches!(item, SelectItem::UnnamedExpr(_) | SelectItem::ExprWithAlias { .. });
            select.projection.iter().all(counted).then_some(select.projection.len())
        }
        SetExpr::Values(values) => values.rows.first().map(|row| row.content.len()),
        _ => None,
    };
    let Some(columns) = columns.filter(|columns| *columns > 0) else {
        return Err(Error::user("ORDER BY ALL of * is not supported").hint("name the columns, or ORDER BY 1, 2, 3"));
    };
    let options = *options;
    let column = |at: usize| OrderByExpr { expr: number(&at.to_string()), options, with_fill: None };
    *by = (1..=columns).map(column).collect();
    Ok(())
}
