//! Query parameters: `$name` in a statement becomes a literal of the parsed text, never of the written one.
//!
//! A value that reads as a whole number, a decimal number or true/false becomes that literal; everything else is a
//! string. Binding happens before planning, so parameters also work where a constant is needed: in a relation's
//! arguments, in LIMIT, in an INTERVAL comparison. Positional parameters (`$1`, of PREPARE) are left alone.

use std::ops::ControlFlow;

use datafusion::sql::parser::{CopyToSource, Statement};
use datafusion::sql::sqlparser::ast::{Expr, Statement as SqlStatement, Value, ValueWithSpan, VisitMut, VisitorMut};

use super::Params;
use crate::error::{Error, Result, suggest};

/// Replaces every `$name` of a statement.
pub fn bind(statement: &mut Statement, params: &Params) -> Result<()> {
    let mut binder = Binder { params };
    let flow = match statement {
        Statement::Statement(inner) => match inner.as_ref() {
            SqlStatement::Prepare { .. } => return Ok(()),
            _ => inner.visit(&mut binder),
        },
        Statement::Explain(explain) => return bind(&mut explain.statement, params),
        Statement::CopyTo(copy) => match &mut copy.source {
            CopyToSource::Query(query) => query.visit(&mut binder),
            CopyToSource::Relation(_) => return Ok(()),
        },
        _ => return Ok(()),
    };
    match flow {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(error) => Err(error),
    }
}

struct Binder<'a> {
    params: &'a Params,
}

impl VisitorMut for Binder<'_> {
    type Break = Error;

    fn pre_visit_value(&mut self, value: &mut ValueWithSpan) -> ControlFlow<Error> {
        let Value::Placeholder(placeholder) = &value.value else { return ControlFlow::Continue(()) };
        let name = placeholder.trim_start_matches(['$', ':', '@']);
        if name.is_empty() || name.bytes().all(|b| b.is_ascii_digit()) {
            return ControlFlow::Continue(());
        }
        match self.params.get(name) {
            Some(given) => {
                value.value = literal(given);
                ControlFlow::Continue(())
            }
            None => {
                let known: Vec<&str> = self.params.keys().map(String::as_str).collect();
                let error = Error::user(format!("parameter ${name} has no value"));
                ControlFlow::Break(if known.is_empty() {
                    error.hint(format!("give it with -p {name}=value"))
                } else {
                    error.hint(format!("give it with -p {name}=value ({})", suggest(name, known)))
                })
            }
        }
    }

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<Error> {
        // A negative number is not a literal in the grammar: give it the sign as an operator.
        if let Expr::Value(value) = expr
            && let Value::Placeholder(placeholder) = &value.value
            && let Some(given) = self.params.get(placeholder.trim_start_matches(['$', ':', '@']))
            && let Some(positive) = given.strip_prefix('-')
            && is_number(positive)
        {
            *expr = Expr::UnaryOp {
                op: datafusion::sql::sqlparser::ast::UnaryOperator::Minus,
                expr: Box::new(Expr::value(Value::Number(positive.to_string(), false))),
            };
        }
        ControlFlow::Continue(())
    }
}

fn literal(given: &str) -> Value {
    match given {
        "true" | "TRUE" => Value::Boolean(true),
        "false" | "FALSE" => Value::Boolean(false),
        number if is_number(number) => Value::Number(number.to_string(), false),
        text => Value::SingleQuotedString(text.to_string()),
    }
}

/// Digits with at most one point and no leading zero: `007` and `1e5` are names or codes, not numbers.
fn is_number(text: &str) -> bool {
    let (whole, fraction) = text.split_once('.').map_or((text, None), |(w, f)| (w, Some(f)));
    let digits = |s: &str| !s.is_empty() && s.bytes().all(|b| b.is_ascii_digit());
    digits(whole) && (whole == "0" || !whole.starts_with('0')) && fraction.is_none_or(digits)
}

#[cfg(test)]
mod tests {
    use super::*;
    use datafusion::sql::parser::DFParser;

    fn bound(sql: &str, params: &[(&str, &str)]) -> Result<String> {
        let params = params.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect();
        let mut statement = DFParser::parse_sql(sql).unwrap().pop_front().unwrap();
        bind(&mut statement, &params)?;
        Ok(statement.to_string())
    }

    #[test]
    fn values_become_literals_of_their_kind() {
        let params = [("a", "5"), ("b", "-2.5"), ("c", "x' OR '1'='1"), ("d", "true"), ("e", "007")];
        assert_eq!(
            bound("SELECT $a, $b, $c, $d, $e FROM t LIMIT $a", &params).unwrap(),
            "SELECT 5, -2.5, 'x'' OR ''1''=''1', true, '007' FROM t LIMIT 5"
        );
    }

    #[test]
    fn a_missing_value_is_an_error_and_positions_stay() {
        assert!(bound("SELECT $nme", &[("name", "x")]).unwrap_err().hints()[0].contains("'name'"));
        assert_eq!(bound("PREPARE p AS SELECT $1", &[]).unwrap(), "PREPARE p AS SELECT $1");
        assert_eq!(bound("COPY (SELECT $n) TO 'x.csv'", &[("n", "1")]).unwrap(), "COPY (SELECT 1) TO x.csv");
        assert!(bound("EXPLAIN SELECT $n", &[]).is_err());
    }
}
