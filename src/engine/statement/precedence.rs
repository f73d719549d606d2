//! `a IS DISTINCT FROM b AND c` means `(a IS DISTINCT FROM b) AND c`.
//!
//! The parser reads everything that follows as the right side: `a IS DISTINCT FROM (b AND c)`, another condition wherever `b` is a boolean. Brackets are
//! nodes of their own, so that an AND or OR directly below is always that mistake: the whole condition is taken apart into its terms and put together
//! again, AND before OR.

use std::mem;

use datafusion::sql::sqlparser::ast::{BinaryOperator, Expr, UnaryOperator, Value};

/// Puts a condition right whose last term swallowed what follows it.
pub fn put_right(expr: &mut Expr) {
    if !swallows(expr) {
        return;
    }
    let mut terms = Vec::new();
    let mut operators = Vec::new();
    flatten(mem::replace(expr, Expr::Value(Value::Null.into())), &mut terms, &mut operators);
    // AND first, then OR, both from the left.
    let mut sums: Vec<Expr> = Vec::new();
    let mut terms = terms.into_iter();
    sums.extend(terms.next());
    for (operator, term) in operators.into_iter().zip(terms) {
        match (operator, sums.pop()) {
            (BinaryOperator::And, Some(last)) => sums.push(binary(last, BinaryOperator::And, term)),
            (_, last) => {
                sums.extend(last);
                sums.push(term);
            }
        }
    }
    if let Some(whole) = sums.into_iter().reduce(|left, right| binary(left, BinaryOperator::Or, right)) {
        *expr = whole;
    }
}

fn binary(left: Expr, op: BinaryOperator, right: Expr) -> Expr {
    Expr::BinaryOp { left: Box::new(left), op, right: Box::new(right) }
}

fn joins(expr: &Expr) -> bool {
    matches!(expr, Expr::BinaryOp { op: BinaryOperator::And | BinaryOperator::Or, .. })
}

/// Whether the last term of a condition is such a comparison.
fn swallows(expr: &Expr) -> bool {
    let mut node = expr;
    loop {
        match node {
            Expr::BinaryOp { op: BinaryOperator::And | BinaryOperator::Or, right, .. } => node = right,
            Expr::UnaryOp { op: UnaryOperator::Not, expr } => node = expr,
            Expr::IsDistinctFrom(_, right) | Expr::IsNotDistinctFrom(_, right) => {
                if joins(right) {
                    return true;
                }
                node = right;
            }
            _ => return false,
        }
    }
}

/// The terms of a condition and the operators between them, in the order of the text.
fn flatten(expr: Expr, terms: &mut Vec<Expr>, operators: &mut Vec<BinaryOperator>) {
    let first = terms.len();
    match expr {
        Expr::BinaryOp { left, op: op @ (BinaryOperator::And | BinaryOperator::Or), right } => {
            flatten(*left, terms, operators);
            operators.push(op);
            flatten(*right, terms, operators);
        }
        Expr::UnaryOp { op: UnaryOperator::Not, expr } => {
            flatten(*expr, terms, operators);
            wrap(&mut terms[first], |term| Expr::UnaryOp { op: UnaryOperator::Not, expr: term });
        }
        Expr::IsDistinctFrom(left, right) => {
            flatten(*right, terms, operators);
            wrap(&mut terms[first], |term| Expr::IsDistinctFrom(left, term));
        }
        Expr::IsNotDistinctFrom(left, right) => {
            flatten(*right, terms, operators);
            wrap(&mut terms[first], |term| Expr::IsNotDistinctFrom(left, term));
        }
        other => terms.push(other),
    }
}

fn wrap(term: &mut Expr, by: impl FnOnce(Box<Expr>) -> Expr) {
    let inner = mem::replace(term, Expr::Value(Value::Null.into()));
    *term = by(Box::new(inner));
}

#[cfg(test)]
mod tests {
    use super::*;
    use datafusion::sql::sqlparser::dialect::GenericDialect;
    use datafusion::sql::sqlparser::parser::Parser;

    fn parsed(text: &str) -> Expr {
        Parser::new(&GenericDialect {}).try_with_sql(text).unwrap().parse_expr().unwrap()
    }

    #[test]
    fn comparisons_end_where_and_and_or_begin() {
        for (written, meant) in [
            ("a IS DISTINCT FROM b AND c", "((a IS DISTINCT FROM b) AND c)"),
            ("p AND a IS DISTINCT FROM b OR q", "((p AND (a IS DISTINCT FROM b)) OR q)"),
            ("p OR a IS NOT DISTINCT FROM b AND q", "(p OR ((a IS NOT DISTINCT FROM b) AND q))"),
            ("NOT a IS DISTINCT FROM b AND c", "((NOT (a IS DISTINCT FROM b)) AND c)"),
            (
                "a IS DISTINCT FROM b AND c IS DISTINCT FROM d OR e",
                "(((a IS DISTINCT FROM b) AND (c IS DISTINCT FROM d)) OR e)",
            ),
            ("a IS DISTINCT FROM (b AND c)", "(a IS DISTINCT FROM (b AND c))"),
            ("a AND b OR c AND d", "((a AND b) OR (c AND d))"),
        ] {
            let mut expr = parsed(written);
            put_right(&mut expr);
            assert_eq!(shown(&expr), meant, "{written}");
        }
    }

    /// Every operator in brackets of its own.
    fn shown(expr: &Expr) -> String {
        match expr {
            Expr::BinaryOp { left, op, right } => format!("({} {op} {})", shown(left), shown(right)),
            Expr::UnaryOp { op, expr } => format!("({op} {})", shown(expr)),
            Expr::IsDistinctFrom(left, right) => format!("({} IS DISTINCT FROM {})", shown(left), shown(right)),
            Expr::IsNotDistinctFrom(left, right) => format!("({} IS NOT DISTINCT FROM {})", shown(left), shown(right)),
            Expr::Nested(inner) => shown(inner),
            other => other.to_string(),
        }
    }
}
