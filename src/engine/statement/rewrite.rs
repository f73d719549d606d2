//! What the planner does not know, in words that it knows.
//!
//! | written | planned |
//! |---|---|
//! | `FROM t` | `SELECT * FROM t` |
//! | `PREWHERE a WHERE b` | `WHERE a AND b` |
//! | `GROUP BY a, b WITH ROLLUP` (`CUBE`) | `GROUP BY ROLLUP (a, b)`; positions in them are resolved |
//! | `ORDER BY x LIMIT 2 BY a` | `QUALIFY row_number() OVER (PARTITION BY a ORDER BY x) <= 2 ORDER BY x` |
//! | `FETCH FIRST 3 ROWS ONLY` | `LIMIT 3` |
//! | `a MINUS b` | `a EXCEPT b` |
//! | `a SEMI JOIN b` (`ANTI`) | `a LEFT SEMI JOIN b` |
//! | `f(..) OVER w .. WINDOW w AS (..)` | `f(..) OVER (..)` |
//! | `if(c, a, b)` | `CASE WHEN c THEN a ELSE b END` |
//! | `datediff(day, a, b)` | `date_diff('day', a, b)` |
//! | `mod(a, b)`, `sign(a)` | `a % b`, `signum(a)` |
//! | `a LIKE 'x$%' ESCAPE '$'` | `a LIKE 'x\\%'` |
//! | `a FULL JOIN b USING (k)` | ON, and `k` as `coalesce(a.k, b.k)` ([`merged`]) |
//! | `age(a)` | `age(current_date(), a)` |
//! | `a[1].b` | `a[1]['b']` |
//! | `a IS DISTINCT FROM b AND c` | `(a IS DISTINCT FROM b) AND c` ([`precedence`]) |
//! | `a AND b AND c AND ..`, hundreds of them | `(.. AND ..) AND (.. AND ..)`: as deep as their logarithm |
//! | `TIMESTAMP '9999-12-31'` | `TIMESTAMP(6) '9999-12-31'`, which nanoseconds do not reach |
//! | `to_char(t, 'YYYY-MM')` | `to_char(t, '%Y-%m')` |
//! | `countIf(c)`, `year(t)`, .. | what they mean in their own system ([`foreign`]) |
//! | `ORDER BY ALL` | `ORDER BY 1, 2, ..` |
//!
//! What has a form here that this does not reach (DISTINCT with `LIMIT BY`, ..) is left as it is, for [`super::clauses`] to refuse.

use std::mem;
use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::helpers::attached_token::AttachedToken;
use datafusion::sql::sqlparser::ast::{
    AccessExpr, BinaryOperator, CaseWhen, DataType, Expr, Fetch, Function, FunctionArg, FunctionArgExpr,
    FunctionArgumentList, FunctionArguments, GroupByExpr, GroupByWithModifier, Ident, JoinOperator, LimitClause,
    ObjectName, Offset, OrderBy, OrderByExpr, OrderByKind, Query, Select, SelectFlavor, SelectItem, SetExpr,
    SetOperator, Subscript, TableFactor, TableWithJoins, TypedString, Value, ValueWithSpan, VisitMut, VisitorMut,
    WildcardAdditionalOptions, WindowSpec, WindowType,
};

use super::{foreign, merged, order_all, patterns, precedence, windows};
use crate::error::Error;

/// The pass.
pub struct Rewriter;

type Flow = ControlFlow<Error>;

const GO_ON: Flow = ControlFlow::Continue(());

impl VisitorMut for Rewriter {
    type Break = Error;

    fn pre_visit_query(&mut self, query: &mut Query) -> Flow {
        minus_to_except(&mut query.body);
        fetch_to_limit(query);
        if let Err(error) = order_all::expand(query) {
            return ControlFlow::Break(error);
        }
        if let SetExpr::Select(select) = query.body.as_mut() {
            if let Err(error) = windows::resolve(select, query.order_by.as_mut()) {
                return ControlFlow::Break(error);
            }
            limit_by_to_qualify(select, query.order_by.as_ref(), &mut query.limit_clause);
        }
        GO_ON
    }

    fn pre_visit_select(&mut self, select: &mut Select) -> Flow {
        if select.projection.is_empty() && select.flavor == SelectFlavor::FromFirstNoSelect {
            select.projection = vec![SelectItem::Wildcard(WildcardAdditionalOptions::default())];
            select.flavor = SelectFlavor::Standard;
        }
        if let Some(first) = select.prewhere.take() {
            select.selection = Some(match select.selection.take() {
                Some(then) => binary(Expr::Nested(Box::new(first)), BinaryOperator::And, Expr::Nested(Box::new(then))),
                None => first,
            });
        }
        // A set operation's branches are no queries of their own.
        if let Err(error) = windows::resolve(select, None) {
            return ControlFlow::Break(error);
        }
        group_by(select);
        if let Err(error) = merged::resolve(select) {
            return ControlFlow::Break(error);
        }
        for from in &mut select.from {
            sided_joins(from);
        }
        for item in &mut select.projection {
            keep_name(item)?;
        }
        GO_ON
    }

    fn pre_visit_table_factor(&mut self, factor: &mut TableFactor) -> Flow {
        if let TableFactor::NestedJoin { table_with_joins, .. } = factor {
            sided_joins(table_with_joins);
        }
        GO_ON
    }

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> Flow {
        precedence::put_right(expr);
        balance(expr);
        far_time(expr);
        escape(expr);
        field_of_element(expr);
        call(expr).map_or(GO_ON, ControlFlow::Break)
    }
}

/// `a[1].b` and `t.a[1].b` as `a[1]['b']`.
fn field_of_element(expr: &mut Expr) {
    let Expr::CompoundFieldAccess { access_chain, .. } = expr else { return };
    // Names before the first element are those of a table and a column.
    for access in access_chain.iter_mut().skip_while(|access| !matches!(access, AccessExpr::Subscript(_))) {
        if let AccessExpr::Dot(Expr::Identifier(field)) = access {
            let index = Expr::Value(ValueWithSpan {
                value: Value::SingleQuotedString(mem::take(&mut field.value)),
                span: field.span,
            });
            *access = AccessExpr::Subscript(Subscript::Index { index });
        }
    }
}

fn binary(left: Expr, op: BinaryOperator, right: Expr) -> Expr {
    Expr::BinaryOp { left: Box::new(left), op, right: Box::new(right) }
}

fn minus_to_except(body: &mut SetExpr) {
    let mut rest = vec![body];
    while let Some(body) = rest.pop() {
        if let SetExpr::SetOperation { op, left, right, .. } = body {
            if *op == SetOperator::Minus {
                *op = SetOperator::Except;
            }
            rest.extend([left.as_mut(), right.as_mut()]);
        }
    }
}

fn fetch_to_limit(query: &mut Query) {
    let Some(Fetch { with_ties: false, percent: false, quantity }) = &query.fetch else { return };
    let limit = Some(quantity.clone().unwrap_or_else(|| number("1")));
    let offset: Option<Offset> = match &query.limit_clause {
        None => None,
        Some(LimitClause::LimitOffset { limit: None, offset, limit_by }) if limit_by.is_empty() => offset.clone(),
        Some(_) => return,
    };
    query.limit_clause = Some(LimitClause::LimitOffset { limit, offset, limit_by: Vec::new() });
    query.fetch = None;
}

/// Rows are numbered within each combination of the BY expressions in the query's own order. Only where nothing stands between the rows
/// that are numbered and those that are returned.
fn limit_by_to_qualify(select: &mut Select, order_by: Option<&OrderBy>, limit_clause: &mut Option<LimitClause>) {
    let Some(LimitClause::LimitOffset { limit: Some(limit), offset, limit_by }) = limit_clause else { return };
    if limit_by.is_empty() || select.qualify.is_some() || select.distinct.is_some() || as_number(limit).is_none() {
        return;
    }
    let skipped = match offset {
        None => 0,
        Some(offset) => match as_number(&offset.value) {
            Some(skipped) => skipped,
            None => return,
        },
    };
    let Some(last) = as_number(limit).and_then(|limit| limit.checked_add(skipped)) else { return };
    let order_by = match order_by {
        None => Vec::new(),
        Some(OrderBy { kind: OrderByKind::Expressions(all), .. }) => all.clone(),
        Some(_) => return,
    };
    let in_place = |expr: &Expr| at_position(expr, &select.projection).unwrap_or_else(|| expr.clone());
    let spec = WindowSpec {
        window_name: None,
        partition_by: limit_by.iter().map(in_place).collect(),
        order_by: order_by.iter().map(|one| OrderByExpr { expr: in_place(&one.expr), ..one.clone() }).collect(),
        window_frame: None,
    };
    let mut row = plain_call("row_number", Vec::new());
    row.over = Some(WindowType::WindowSpec(spec));
    let row = Expr::Function(row);
    let up_to = binary(row.clone(), BinaryOperator::LtEq, number(&last.to_string()));
    select.qualify = Some(match skipped {
        0 => up_to,
        _ => binary(up_to, BinaryOperator::And, binary(row, BinaryOperator::Gt, number(&skipped.to_string()))),
    });
    *limit_clause = None;
}

fn as_number(expr: &Expr) -> Option<u64> {
    match expr {
        Expr::Value(ValueWithSpan { value: Value::Number(digits, false), .. }) => digits.parse().ok(),
        _ => None,
    }
}

/// The expression of the SELECT list that a number names.
fn at_position(expr: &Expr, projection: &[SelectItem]) -> Option<Expr> {
    let place = usize::try_from(as_number(expr)?).ok()?.checked_sub(1)?;
    match projection.get(place)? {
        SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. } => Some(expr.clone()),
        _ => None,
    }
}

fn group_by(select: &mut Select) {
    let projection = &select.projection;
    let GroupByExpr::Expressions(keys, modifiers) = &mut select.group_by else { return };
    // `Nested`, since a list of lists would read `(a, b)` as one key.
    let single = |keys: &mut Vec<Expr>| mem::take(keys).into_iter().map(|key| vec![key]).collect();
    match modifiers.as_slice() {
        [GroupByWithModifier::Rollup] => *keys = vec![Expr::Rollup(single(keys))],
        [GroupByWithModifier::Cube] => *keys = vec![Expr::Cube(single(keys))],
        _ => {}
    }
    if let [Expr::Rollup(_) | Expr::Cube(_)] = keys.as_slice() {
        modifiers.retain(|m| !matches!(m, GroupByWithModifier::Rollup | GroupByWithModifier::Cube));
    }
    // The planner resolves positions at the top alone: inside, a number would be a constant key.
    for key in keys {
        if let Expr::Rollup(sets) | Expr::Cube(sets) | Expr::GroupingSets(sets) = key {
            for key in sets.iter_mut().flatten() {
                if let Some(named) = at_position(key, projection) {
                    *key = named;
                }
            }
        }
    }
}

fn sided_joins(from: &mut TableWithJoins) {
    for join in &mut from.joins {
        let operator = mem::replace(&mut join.join_operator, JoinOperator::CrossApply);
        join.join_operator = match operator {
            JoinOperator::Semi(on) => JoinOperator::LeftSemi(on),
            JoinOperator::Anti(on) => JoinOperator::LeftAnti(on),
            JoinOperator::StraightJoin(on) => JoinOperator::Inner(on),
            other => other,
        };
    }
}

/// Rewrites the calls of a column without a name, which goes on being called as it was written.
fn keep_name(item: &mut SelectItem) -> Flow {
    let SelectItem::UnnamedExpr(expr) = item else { return GO_ON };
    let mut finder = Finder { found: false };
    let _ = VisitMut::visit(expr, &mut finder);
    if !finder.found {
        return GO_ON;
    }
    let name = expr.to_string();
    VisitMut::visit(expr, &mut Rewriter)?;
    let expr = mem::replace(expr, Expr::Value(Value::Null.into()));
    *item = SelectItem::ExprWithAlias { expr, alias: Ident::with_quote('"', name) };
    GO_ON
}

/// Chains that people do not write by hand.
const LONG_CHAIN: usize = 200;

/// A long chain of one operator as a balanced tree. The parser makes a chain as deep as it is long, and planning takes time with the square
/// of its depth.
///
/// AND, OR and `||` may be regrouped at will; of `+`, whole numbers and decimals give the same sum, and doubles one that is rounded elsewhere (less, in
/// fact). Times and intervals do not: a month and a month more is not always two months.
fn balance(expr: &mut Expr) {
    let Expr::BinaryOp { op, .. } = expr else { return };
    let wanted = op.clone();
    if !matches!(wanted, BinaryOperator::And | BinaryOperator::Or | BinaryOperator::Plus | BinaryOperator::StringConcat)
    {
        return;
    }
    let same = |expr: &Expr| matches!(expr, Expr::BinaryOp { op, .. } if *op == wanted);
    let mut length = 0;
    let mut node = &*expr;
    while let Expr::BinaryOp { left, op, right } = node
        && *op == wanted
    {
        if wanted == BinaryOperator::Plus && is_span(right) {
            return;
        }
        length += 1;
        node = left;
    }
    if length < LONG_CHAIN || (wanted == BinaryOperator::Plus && is_span(node)) {
        return;
    }
    let nothing = || Expr::Value(Value::Null.into());
    let mut terms = Vec::with_capacity(length + 1);
    let mut rest = mem::replace(expr, nothing());
    while same(&rest) {
        let Expr::BinaryOp { left, right, .. } = rest else { break };
        terms.push(*right);
        rest = *left;
    }
    terms.push(rest);
    terms.reverse();
    if wanted == BinaryOperator::And {
        terms = unequal_to_list(terms);
    }
    while terms.len() > 1 {
        let mut halved = Vec::with_capacity(terms.len().div_ceil(2));
        let mut pairs = terms.into_iter();
        while let Some(left) = pairs.next() {
            halved.push(match pairs.next() {
                Some(right) => binary(left, wanted.clone(), right),
                None => left,
            });
        }
        terms = halved;
    }
    *expr = terms.pop().unwrap_or_else(nothing);
}

/// `x <> 1 AND x <> 2 AND ..` as `x NOT IN (1, 2, ..)`, which is the same for NULL too: the optimiser makes the like of OR, and not of AND.
fn unequal_to_list(terms: Vec<Expr>) -> Vec<Expr> {
    let mut lists: Vec<(Expr, Vec<Expr>)> = Vec::new();
    let mut others = Vec::new();
    for term in terms {
        match term {
            Expr::BinaryOp { left, op: BinaryOperator::NotEq, right }
                if matches!(*left, Expr::Identifier(_)) && matches!(*right, Expr::Value(_)) =>
            {
                match lists.iter_mut().find(|(of, _)| *of == *left) {
                    Some((_, list)) => list.push(*right),
                    None => lists.push((*left, vec![*right])),
                }
            }
            other => others.push(other),
        }
    }
    let lists = lists.into_iter().map(|(of, list)| Expr::InList { expr: Box::new(of), list, negated: true });
    lists.chain(others).collect()
}

fn is_span(expr: &Expr) -> bool {
    matches!(expr, Expr::Interval(_) | Expr::TypedString(_) | Expr::Cast { .. } | Expr::Function(_))
}

/// The planner knows the backslash alone as the escape of a pattern.
fn escape(expr: &mut Expr) {
    let (Expr::Like { pattern, escape_char, .. } | Expr::ILike { pattern, escape_char, .. }) = expr else { return };
    let Some(mark) = escape_char.as_ref().and_then(|value| as_string(value)).and_then(|text| {
        let mut marks = text.chars();
        marks.next().filter(|mark| marks.next().is_none() && *mark != '\\')
    }) else {
        return;
    };
    let Some(written) = as_text(pattern) else { return };
    let mut meant = String::with_capacity(written.len());
    let mut chars = written.chars();
    while let Some(c) = chars.next() {
        match c {
            _ if c == mark => meant.extend(['\\'].into_iter().chain(chars.next())),
            '\\' => meant.push_str("\\\\"),
            _ => meant.push(c),
        }
    }
    **pattern = text(&meant);
    *escape_char = None;
}

/// A time that nanoseconds since 1970 do not reach is one of microseconds.
fn far_time(expr: &mut Expr) {
    let (kind, text) = match expr {
        Expr::TypedString(TypedString { data_type, value, .. }) => (data_type, as_string(value)),
        Expr::Cast { expr, data_type, .. } => (data_type, as_text(expr)),
        _ => return,
    };
    if let DataType::Timestamp(precision @ None, _) = kind
        && text.is_some_and(is_far)
    {
        *precision = Some(6);
    }
}

/// Whether a text begins with a year that nanoseconds do not reach.
fn is_far(text: &str) -> bool {
    let year = text.trim_start().split('-').next().and_then(|year| year.parse::<i32>().ok());
    year.is_some_and(|year| !(1678..=2261).contains(&year))
}

/// Tells whether a call that [`call`] rewrites is in an expression.
struct Finder {
    found: bool,
}

impl VisitorMut for Finder {
    type Break = ();

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        if let Expr::Function(function) = expr
            && is_rewritten(&name_of(&function.name))
        {
            self.found = true;
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    }
}

/// Calls that mean something else to the planner, or nothing.
const REWRITTEN: &[&str] = &[
    "if",
    "iff",
    "age",
    "datediff",
    "date_diff",
    "mod",
    "sign",
    "to_char",
    "date_format",
    "to_timestamp",
    "to_date",
    "to_timestamp_seconds",
    "to_timestamp_millis",
    "to_timestamp_micros",
    "to_timestamp_nanos",
];

fn is_rewritten(name: &str) -> bool {
    REWRITTEN.contains(&name) || foreign::is_foreign(name)
}

fn name_of(name: &ObjectName) -> String {
    name.to_string().to_lowercase()
}

/// Rewrites one call. An error is a pattern that cannot be understood.
fn call(expr: &mut Expr) -> Option<Error> {
    let Expr::Function(function) = expr else { return None };
    let name = name_of(&function.name);
    if foreign::is_foreign(&name) {
        match foreign::meant(function)? {
            Ok(meant) => *expr = meant,
            Err(error) => return Some(error),
        }
        return None;
    }
    if !REWRITTEN.contains(&name.as_str()) {
        return None;
    }
    let arguments = plain_arguments(function)?;
    match (name.as_str(), arguments.as_slice()) {
        ("if" | "iff", [condition, then, otherwise]) => {
            *expr = Expr::Case {
                case_token: AttachedToken::empty(),
                end_token: AttachedToken::empty(),
                operand: None,
                conditions: vec![CaseWhen { condition: condition.clone(), result: then.clone() }],
                else_result: Some(Box::new(otherwise.clone())),
            };
        }
        ("if" | "iff", all) => {
            return Some(
                Error::user(format!("{name} takes three arguments, got {}", all.len()))
                    .hint("if(condition, then, otherwise)"),
            );
        }
        ("mod", [number, by]) => {
            let nested = |side: &Expr| Expr::Nested(Box::new(side.clone()));
            *expr = Expr::Nested(Box::new(binary(nested(number), BinaryOperator::Modulo, nested(by))));
        }
        ("sign", [number]) => *expr = Expr::Function(plain_call("signum", vec![number.clone()])),
        ("age", [from]) => {
            *expr = Expr::Function(plain_call(
                "age",
                vec![Expr::Function(plain_call("current_date", Vec::new())), from.clone()],
            ));
        }
        ("datediff" | "date_diff", [unit, from, to]) => {
            let unit = match unit {
                Expr::Identifier(word) if word.quote_style.is_none() => text(&word.value.to_lowercase()),
                other => other.clone(),
            };
            *expr = Expr::Function(plain_call("date_diff", vec![unit, from.clone(), to.clone()]));
        }
        // Days of two dates, the later one first, as in MySQL and Spark.
        ("datediff", [to, from]) => {
            *expr = Expr::Function(plain_call("date_diff", vec![text("day"), from.clone(), to.clone()]));
        }
        ("to_char" | "date_format", [value, format]) => {
            let written = as_text(format)?;
            match patterns::strftime(&name, written) {
                Ok(None) => {}
                Ok(Some(pattern)) => {
                    let (value, pattern) = (value.clone(), text(&pattern));
                    *expr = Expr::Function(plain_call("to_char", vec![value, pattern]));
                }
                Err(error) => return Some(error),
            }
        }
        (_, [value, formats @ ..]) if name.starts_with("to_") => {
            let mut read = Vec::with_capacity(formats.len());
            for format in formats {
                read.push(match as_text(format).map(|written| patterns::strftime(&name, written)) {
                    None | Some(Ok(None)) => format.clone(),
                    Some(Ok(Some(pattern))) => text(&pattern),
                    Some(Err(error)) => return Some(error),
                });
            }
            if read != formats {
                let mut all = vec![value.clone()];
                all.extend(read);
                *expr = Expr::Function(plain_call(&name, all));
            }
        }
        _ => {}
    }
    None
}

/// The arguments of a call that has nothing but arguments.
fn plain_arguments(function: &Function) -> Option<Vec<Expr>> {
    let FunctionArguments::List(FunctionArgumentList { duplicate_treatment: None, args, clauses }) = &function.args
    else {
        return None;
    };
    if !clauses.is_empty() || function.over.is_some() || function.filter.is_some() {
        return None;
    }
    args.iter()
        .map(|argument| match argument {
            FunctionArg::Unnamed(FunctionArgExpr::Expr(value)) => Some(value.clone()),
            _ => None,
        })
        .collect()
}

/// `name(arguments)`.
pub fn plain_call(name: &str, arguments: Vec<Expr>) -> Function {
    let args = arguments.into_iter().map(|value| FunctionArg::Unnamed(FunctionArgExpr::Expr(value))).collect();
    Function {
        name: ObjectName::from(vec![Ident::new(name)]),
        uses_odbc_syntax: false,
        parameters: FunctionArguments::None,
        args: FunctionArguments::List(FunctionArgumentList { duplicate_treatment: None, args, clauses: Vec::new() }),
        filter: None,
        null_treatment: None,
        over: None,
        within_group: Vec::new(),
    }
}

pub(super) fn number(digits: &str) -> Expr {
    Expr::Value(Value::Number(digits.to_string(), false).into())
}

pub(super) fn text(value: &str) -> Expr {
    Expr::Value(Value::SingleQuotedString(value.to_string()).into())
}

pub(super) fn as_text(expr: &Expr) -> Option<&str> {
    match expr {
        Expr::Value(value) => as_string(value),
        _ => None,
    }
}

fn as_string(value: &ValueWithSpan) -> Option<&str> {
    match &value.value {
        Value::SingleQuotedString(text) => Some(text),
        _ => None,
    }
}
