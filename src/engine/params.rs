//! Query parameters: `$name` in a statement becomes a literal of the parsed text, never of the written one.
//!
//! A value whose type is known becomes a literal of that type. One that was only typed and reads as a whole number, a decimal number or
//! true/false becomes that literal, everything else a string. Binding happens before planning, so parameters also work where a
//! constant is needed: in a relation's arguments, in LIMIT, in an INTERVAL comparison. Positional parameters (`$1`, of PREPARE)
//! are left alone.

use std::ops::ControlFlow;

use datafusion::sql::parser::{CopyToSource, Statement};
use datafusion::sql::sqlparser::ast::{
    DataType, Expr, Statement as SqlStatement, TimezoneInfo, TypedString, UnaryOperator, Value, ValueWithSpan,
    VisitMut, VisitorMut,
};
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::tokenizer::{Token, Tokenizer};
use jiff::civil::{Date, DateTime};

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

/// Replaces every `$name` of an expression.
pub fn bind_expr(expr: &mut Expr, params: &Params) -> Result<()> {
    match expr.visit(&mut Binder { params }) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(error) => Err(error),
    }
}

/// The named parameters of a statement with their lines, counted from 1; none of a text that does not split into tokens.
pub fn placeholders(statement: &str) -> Vec<(String, u64)> {
    let tokens = Tokenizer::new(&GenericDialect {}, statement).tokenize_with_location().unwrap_or_default();
    let named = tokens.into_iter().filter_map(|token| match &token.token {
        Token::Placeholder(text) => name_of(text).map(|name| (name.to_string(), token.span.start.line)),
        _ => None,
    });
    named.collect()
}

/// The name in `$name`; positions have none.
fn name_of(placeholder: &str) -> Option<&str> {
    let name = placeholder.trim_start_matches(['$', ':', '@']);
    (!name.is_empty() && !name.bytes().all(|b| b.is_ascii_digit())).then_some(name)
}

/// The value of a query parameter.
#[derive(Debug, Clone, PartialEq)]
pub enum Param {
    /// As somebody typed it: a number or a truth value where it reads as one, else text.
    Typed(String),
    /// Text, whatever it reads as.
    Text(String),
    /// A whole number.
    Integer(i64),
    /// A finite double.
    Double(f64),
    /// True or false.
    Boolean(bool),
    /// A date.
    Date(Date),
    /// A moment without a zone.
    Timestamp(DateTime),
}

impl From<String> for Param {
    fn from(typed: String) -> Self {
        Self::Typed(typed)
    }
}

/// As it was typed, or would be.
impl std::fmt::Display for Param {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Typed(text) | Self::Text(text) => f.write_str(text),
            Self::Integer(n) => write!(f, "{n}"),
            Self::Double(d) => write!(f, "{d:?}"),
            Self::Boolean(truth) => write!(f, "{truth}"),
            Self::Date(date) => write!(f, "{date}"),
            Self::Timestamp(moment) => f.write_str(&moment.to_string().replace('T', " ")),
        }
    }
}

impl Param {
    fn expr(&self) -> Expr {
        // A negative number is not a literal in the grammar: it gets the sign as an operator.
        let number = |negative: bool, digits: String| {
            let positive = Expr::value(Value::Number(digits, false));
            if negative { Expr::UnaryOp { op: UnaryOperator::Minus, expr: Box::new(positive) } } else { positive }
        };
        let typed = |data_type: DataType, text: String| {
            let value = Value::SingleQuotedString(text).into();
            Expr::TypedString(TypedString { data_type, value, uses_odbc_syntax: false })
        };
        match self {
            Self::Typed(text) => match text.strip_prefix('-').filter(|positive| is_number(positive)) {
                Some(positive) => number(true, positive.to_string()),
                None => Expr::value(literal(text)),
            },
            Self::Integer(n) => number(*n < 0, n.unsigned_abs().to_string()),
            // With a point or an exponent always, so that it stays a double.
            Self::Double(d) => number(d.is_sign_negative(), format!("{:?}", d.abs())),
            Self::Text(_) | Self::Boolean(_) => Expr::value(self.value()),
            Self::Date(date) => typed(DataType::Date, date.to_string()),
            Self::Timestamp(moment) => typed(DataType::Timestamp(None, TimezoneInfo::None), moment.to_string()),
        }
    }

    /// The nearest literal, for places of the grammar that take no expression.
    fn value(&self) -> Value {
        match self {
            Self::Typed(text) => literal(text),
            Self::Integer(n) => Value::Number(n.to_string(), false),
            Self::Double(d) => Value::Number(format!("{d:?}"), false),
            Self::Boolean(truth) => Value::Boolean(*truth),
            other => Value::SingleQuotedString(other.to_string()),
        }
    }
}

struct Binder<'a> {
    params: &'a Params,
}

impl VisitorMut for Binder<'_> {
    type Break = Error;

    fn pre_visit_value(&mut self, value: &mut ValueWithSpan) -> ControlFlow<Error> {
        let Value::Placeholder(placeholder) = &value.value else { return ControlFlow::Continue(()) };
        let Some(name) = name_of(placeholder) else { return ControlFlow::Continue(()) };
        match self.params.get(name) {
            Some(given) => {
                value.value = given.value();
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
        if let Expr::Value(value) = expr
            && let Value::Placeholder(placeholder) = &value.value
            && let Some(given) = name_of(placeholder).and_then(|name| self.params.get(name))
        {
            *expr = given.expr();
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
        let params = params.iter().map(|(k, v)| (k.to_string(), Param::from(v.to_string()))).collect();
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

    #[test]
    fn declared_types_decide_the_literal() {
        let params: Params = [
            ("code", Param::Text("007".into())),
            ("number", Param::Text("5".into())),
            ("evil", Param::Text("'; DROP TABLE t; --".into())),
            ("least", Param::Integer(i64::MIN)),
            ("two", Param::Double(2.0)),
            ("tiny", Param::Double(-1e-300)),
            ("yes", Param::Boolean(true)),
            ("day", Param::Date("2025-03-03".parse().unwrap())),
            ("at", Param::Timestamp("2025-03-03T01:02:03.5".parse().unwrap())),
        ]
        .map(|(name, value)| (name.to_string(), value))
        .into();
        let bound = |sql: &str| {
            let mut statement = DFParser::parse_sql(sql).unwrap().pop_front().unwrap();
            bind(&mut statement, &params).unwrap();
            statement.to_string()
        };
        assert_eq!(
            bound("SELECT $code, $number, $evil, $least, $two, $tiny, $yes, $day, $at"),
            "SELECT '007', '5', '''; DROP TABLE t; --', -9223372036854775808, 2.0, -1e-300, true, DATE '2025-03-03', \
             TIMESTAMP '2025-03-03T01:02:03.5'"
        );
        // In a relation's arguments, named ones and lists.
        assert_eq!(
            bound("SELECT * FROM r(t, steps => [$evil, 'b'], as_of => $day)"),
            "SELECT * FROM r(t, steps => ['''; DROP TABLE t; --', 'b'], as_of => DATE '2025-03-03')"
        );
    }

    #[test]
    fn placeholders_are_found_outside_texts_and_comments() {
        let found = placeholders("SELECT $a, '$b', -- $c\n $d, $1, \"$e\"");
        assert_eq!(found, [("a".to_string(), 1), ("d".to_string(), 2)]);
    }
}
