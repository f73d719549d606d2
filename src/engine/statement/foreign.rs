//! Functions by the names that they have in DuckDB, Postgres, MySQL and ClickHouse.
//!
//! Deals with: a call by such a name as the expression that means the same here ([`KNOWN`]); one that means different things in different
//! systems, or nothing here, says what there is in its place ([`REFUSED`]). Does not deal with: names that the engine's own functions
//! have as aliases (`ifnull`, `list_contains`, `quantile_cont`).

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    BinaryOperator, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments, Value, ValueWithSpan, VisitMut,
    VisitorMut,
};
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::parser::Parser;

use super::rewrite::{as_text, plain_call, text};
use crate::error::Error;

/// Name, number of arguments, and what it means. FILTER, OVER, DISTINCT and ORDER BY of the call go to the first call in the meaning.
const KNOWN: &[(&str, usize, &str)] = &[
    // DuckDB, MySQL
    ("year", 1, "date_part('year', $1)"),
    ("quarter", 1, "date_part('quarter', $1)"),
    ("month", 1, "date_part('month', $1)"),
    ("week", 1, "date_part('week', $1)"),
    ("day", 1, "date_part('day', $1)"),
    ("dayofmonth", 1, "date_part('day', $1)"),
    ("dayofyear", 1, "date_part('doy', $1)"),
    ("hour", 1, "date_part('hour', $1)"),
    ("minute", 1, "date_part('minute', $1)"),
    ("second", 1, "date_part('second', $1)"),
    ("isodow", 1, "date_part('isodow', $1)"),
    ("epoch", 1, "date_part('epoch', $1)"),
    ("monthname", 1, "to_char($1, '%B')"),
    ("dayname", 1, "to_char($1, '%A')"),
    ("last_day", 1, "CAST(date_trunc('month', $1) + INTERVAL '1 month' - INTERVAL '1 day' AS DATE)"),
    ("date", 1, "CAST($1 AS DATE)"),
    ("len", 1, "length($1)"),
    ("ucase", 1, "upper($1)"),
    ("lcase", 1, "lower($1)"),
    ("list", 1, "array_agg($1)"),
    ("first", 1, "first_value($1)"),
    ("last", 1, "last_value($1)"),
    // The greatest of those that belong to the same greatest value, so that the answer does not depend on the order of rows.
    ("arg_max", 2, "last_value($1 ORDER BY $2, $1) FILTER (WHERE $1 IS NOT NULL AND $2 IS NOT NULL)"),
    ("max_by", 2, "last_value($1 ORDER BY $2, $1) FILTER (WHERE $1 IS NOT NULL AND $2 IS NOT NULL)"),
    ("arg_min", 2, "first_value($1 ORDER BY $2, $1) FILTER (WHERE $1 IS NOT NULL AND $2 IS NOT NULL)"),
    ("min_by", 2, "first_value($1 ORDER BY $2, $1) FILTER (WHERE $1 IS NOT NULL AND $2 IS NOT NULL)"),
    ("count_if", 1, "count(*) FILTER (WHERE $1)"),
    ("approx_count_distinct", 1, "approx_distinct($1)"),
    ("group_concat", 1, "string_agg($1, ',')"),
    ("group_concat", 2, "string_agg($1, $2)"),
    ("listagg", 2, "string_agg($1, $2)"),
    ("iif", 3, "CASE WHEN $1 THEN $2 ELSE $3 END"),
    // ClickHouse
    ("countif", 1, "count(*) FILTER (WHERE $1)"),
    ("sumif", 2, "sum($1) FILTER (WHERE $2)"),
    ("avgif", 2, "avg($1) FILTER (WHERE $2)"),
    ("minif", 2, "min($1) FILTER (WHERE $2)"),
    ("maxif", 2, "max($1) FILTER (WHERE $2)"),
    ("uniqif", 2, "count(DISTINCT $1) FILTER (WHERE $2)"),
    ("uniq", 1, "count(DISTINCT $1)"),
    ("uniqexact", 1, "count(DISTINCT $1)"),
    ("uniqcombined", 1, "approx_distinct($1)"),
    ("uniqhll12", 1, "approx_distinct($1)"),
    ("argmax", 2, "last_value($1 ORDER BY $2, $1) FILTER (WHERE $1 IS NOT NULL AND $2 IS NOT NULL)"),
    ("argmin", 2, "first_value($1 ORDER BY $2, $1) FILTER (WHERE $1 IS NOT NULL AND $2 IS NOT NULL)"),
    ("grouparray", 1, "array_agg($1) FILTER (WHERE $1 IS NOT NULL)"),
    ("groupuniqarray", 1, "array_agg(DISTINCT $1) FILTER (WHERE $1 IS NOT NULL)"),
    ("tostartofyear", 1, "CAST(date_trunc('year', $1) AS DATE)"),
    ("tostartofquarter", 1, "CAST(date_trunc('quarter', $1) AS DATE)"),
    ("tostartofmonth", 1, "CAST(date_trunc('month', $1) AS DATE)"),
    ("tomonday", 1, "CAST(date_trunc('week', $1) AS DATE)"),
    // Sunday, unless a mode says otherwise.
    ("tostartofweek", 1, "CAST(date_trunc('week', $1 + INTERVAL '1 day') - INTERVAL '1 day' AS DATE)"),
    ("tostartofday", 1, "date_trunc('day', $1)"),
    ("tostartofhour", 1, "date_trunc('hour', $1)"),
    ("tostartofminute", 1, "date_trunc('minute', $1)"),
    ("tostartofsecond", 1, "date_trunc('second', $1)"),
    ("toyear", 1, "date_part('year', $1)"),
    ("toquarter", 1, "date_part('quarter', $1)"),
    ("tomonth", 1, "date_part('month', $1)"),
    ("toisoweek", 1, "date_part('week', $1)"),
    ("todayofmonth", 1, "date_part('day', $1)"),
    ("todayofyear", 1, "date_part('doy', $1)"),
    ("todayofweek", 1, "date_part('isodow', $1)"),
    ("tohour", 1, "date_part('hour', $1)"),
    ("tominute", 1, "date_part('minute', $1)"),
    ("tosecond", 1, "date_part('second', $1)"),
    ("toyyyymm", 1, "CAST(to_char($1, '%Y%m') AS INTEGER)"),
    ("toyyyymmdd", 1, "CAST(to_char($1, '%Y%m%d') AS INTEGER)"),
    ("tounixtimestamp", 1, "CAST(floor(date_part('epoch', $1)) AS BIGINT)"),
    ("tostring", 1, "CAST($1 AS VARCHAR)"),
    ("toint32", 1, "CAST($1 AS INTEGER)"),
    ("toint64", 1, "CAST($1 AS BIGINT)"),
    ("tofloat64", 1, "CAST($1 AS DOUBLE)"),
    ("isnull", 1, "$1 IS NULL"),
    ("isnotnull", 1, "$1 IS NOT NULL"),
    ("startswith", 2, "starts_with($1, $2)"),
    ("endswith", 2, "ends_with($1, $2)"),
];

/// Name, and what is said of it: what it means elsewhere, what is there.
const REFUSED: &[(&str, &str)] = &[
    (
        "quantile",
        "quantile_cont(x, 0.5) interpolates between two values; quantile(x, 0.5) is one of the values in DuckDB",
    ),
    ("quantile_disc", "quantile_cont(x, 0.5) interpolates between two values"),
    ("percentile_disc", "percentile_cont(0.5) WITHIN GROUP (ORDER BY x) interpolates between two values"),
    (
        "approx_quantile",
        "quantile_cont(x, 0.5) is exact, approx_percentile_cont(0.5) WITHIN GROUP (ORDER BY x) an estimate",
    ),
    ("mode", "SELECT x FROM .. GROUP BY x ORDER BY count(*) DESC, x LIMIT 1"),
    ("any", "any_value(x)"),
    (
        "dayofweek",
        "Sunday is 0 in DuckDB and 1 in MySQL: extract(dow FROM ts) has Sunday as 0, extract(isodow FROM ts) as 7",
    ),
    (
        "weekday",
        "Sunday is 0 in DuckDB, Monday in MySQL: extract(dow FROM ts) has Sunday as 0, extract(isodow FROM ts) as 7",
    ),
    (
        "regexp_matches",
        "a test in DuckDB, groups in Postgres: regexp_like(text, 'pattern') tests, regexp_match(text, 'pattern') gives groups",
    ),
    (
        "regexp_extract",
        "regexp_match(text, 'pattern')[1] is the first group, or the whole match of a pattern without groups",
    ),
    ("epoch_ms", "to_timestamp_millis(n) makes a time, CAST(epoch(ts) * 1000 AS BIGINT) a number"),
    ("dateadd", "ts + INTERVAL '1 day', or ts + n * INTERVAL '1 day'"),
    ("date_add", "ts + INTERVAL '1 day', or ts + n * INTERVAL '1 day'"),
    ("date_sub", "date_diff('day', a, b) counts midnights between two times; ts - INTERVAL '1 day' subtracts"),
    ("time_bucket", "date_bin(INTERVAL '15 minutes', ts), or date_trunc('month', ts)"),
    ("tostartofinterval", "date_bin(INTERVAL '15 minutes', ts), or date_trunc('month', ts)"),
    ("make_timestamp", "make_date(2025, 1, 31) + INTERVAL '12 hours', or to_timestamp('2025-01-31 12:00:00')"),
    ("todate", "CAST(x AS DATE), or to_timestamp(seconds)::DATE"),
    ("todatetime", "CAST(x AS TIMESTAMP) of a text or date, to_timestamp(seconds) of a number"),
    ("multiif", "CASE WHEN a THEN x WHEN b THEN y ELSE z END"),
    ("list_aggregate", "SELECT sum(x) FROM (SELECT unnest(list) AS x)"),
    ("list_transform", "SELECT array_agg(x * 2) FROM (SELECT unnest(list) AS x)"),
];

/// Whether a call by this name, in small letters, is taken in here.
pub(super) fn is_foreign(name: &str) -> bool {
    matches!(name, "strftime" | "strptime")
        || KNOWN.iter().any(|(known, ..)| *known == name)
        || REFUSED.iter().any(|(known, _)| *known == name)
}

/// What a call means here; `None` where it is not one of these, or its arguments are not those of one.
pub(super) fn meant(function: &Function) -> Option<Result<Expr, Error>> {
    let name = function.name.to_string().to_lowercase();
    if let Some((_, way_out)) = REFUSED.iter().find(|(known, _)| *known == name) {
        return Some(Err(Error::user(format!("no function is called '{}'", function.name)).hint(*way_out)));
    }
    let FunctionArguments::List(list) = &function.args else { return None };
    let arguments: Option<Vec<&Expr>> = list
        .args
        .iter()
        .map(|argument| match argument {
            FunctionArg::Unnamed(FunctionArgExpr::Expr(value)) => Some(value),
            _ => None,
        })
        .collect();
    let arguments = arguments?;
    if let ("strftime" | "strptime", [one, two]) = (name.as_str(), arguments.as_slice()) {
        return Some(formatted(&name, one, two));
    }
    let mut counts = KNOWN.iter().filter(|(known, ..)| *known == name).map(|(_, count, _)| *count);
    let first = counts.next()?;
    let Some((_, _, meaning)) = KNOWN.iter().find(|(known, count, _)| *known == name && *count == arguments.len())
    else {
        let all: Vec<String> = std::iter::once(first).chain(counts).map(|count| count.to_string()).collect();
        return Some(Err(Error::user(format!(
            "{} takes {} arguments here, got {}",
            function.name,
            all.join(" or "),
            arguments.len()
        ))));
    };
    let parsed = Parser::new(&GenericDialect {}).try_with_sql(meaning).and_then(|mut parser| parser.parse_expr());
    let mut meant = match parsed {
        Ok(meant) => meant,
        Err(error) => return Some(Err(Error::internal(format!("{meaning}: {error}")))),
    };
    let mut filled = Filled { arguments: &arguments, call: Some(function) };
    let _ = VisitMut::visit(&mut meant, &mut filled);
    Some(Ok(meant))
}

/// Puts arguments in the place of `$1`, `$2`, and the clauses of the call to the first call.
struct Filled<'a> {
    arguments: &'a [&'a Expr],
    call: Option<&'a Function>,
}

impl VisitorMut for Filled<'_> {
    type Break = ();

    // After their parts, so that placeholders in what is put there stay.
    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        if let Expr::Function(inner) = expr
            && let Some(call) = self.call.take()
        {
            inner.over = call.over.clone();
            inner.null_treatment = call.null_treatment;
            if let Some(given) = &call.filter {
                inner.filter = Some(match inner.filter.take() {
                    None => given.clone(),
                    Some(own) => Box::new(Expr::BinaryOp {
                        left: Box::new(Expr::Nested(own)),
                        op: BinaryOperator::And,
                        right: Box::new(Expr::Nested(given.clone())),
                    }),
                });
            }
            if let (FunctionArguments::List(own), FunctionArguments::List(given)) = (&mut inner.args, &call.args) {
                own.duplicate_treatment = own.duplicate_treatment.or(given.duplicate_treatment);
                own.clauses.extend(given.clauses.iter().cloned());
            }
        }
        if let Expr::Value(ValueWithSpan { value: Value::Placeholder(place), .. }) = expr
            && let Some(at) = place.strip_prefix('$').and_then(|digits| digits.parse::<usize>().ok())
            && let Some(argument) = at.checked_sub(1).and_then(|at| self.arguments.get(at))
        {
            *expr = Expr::Nested(Box::new((*argument).clone()));
        }
        ControlFlow::Continue(())
    }
}

/// `strftime(ts, '%Y')`, in either order of arguments, and `strptime('2025', '%Y')`.
fn formatted(name: &str, one: &Expr, two: &Expr) -> Result<Expr, Error> {
    let is_format = |expr: &Expr| as_text(expr).is_some_and(|text| text.contains('%'));
    let (value, format) = if name == "strftime" && is_format(one) && !is_format(two) { (two, one) } else { (one, two) };
    let Some(written) = as_text(format) else {
        return Err(Error::user(format!("{name} needs its format as a text in the statement, got {format}"))
            .hint("to_char(ts, format) and to_timestamp(text, format) take any text"));
    };
    let function = if name == "strftime" { "to_char" } else { "to_timestamp" };
    Ok(Expr::Function(plain_call(function, vec![value.clone(), text(&codes(name, written)?)])))
}

/// DuckDB's codes as those of the library below.
fn codes(name: &str, written: &str) -> Result<String, Error> {
    let mut meant = String::with_capacity(written.len());
    let mut chars = written.chars().peekable();
    while let Some(c) = chars.next() {
        if c != '%' {
            meant.push(c);
            continue;
        }
        let unpadded = chars.next_if_eq(&'-').is_some();
        let reads = name == "strptime";
        match chars.next() {
            Some('f' | 'g' | 'n') if reads && meant.ends_with('.') => {
                meant.pop();
                meant.push_str("%.f");
            }
            Some('f') if !reads => meant.push_str("%6f"),
            Some('g') if !reads => meant.push_str("%3f"),
            Some('n') if !reads => meant.push_str("%9f"),
            Some('c') => meant.push_str("%Y-%m-%d %H:%M:%S"),
            Some('x') => meant.push_str("%Y-%m-%d"),
            Some('X') => meant.push_str("%H:%M:%S"),
            Some(code) if "aAbBdGHIjmMpSuUVwWyYz%".contains(code) => {
                meant.push('%');
                meant.extend(unpadded.then_some('-'));
                meant.push(code);
            }
            code => {
                let code = code.map_or("% at the end".to_string(), |code| format!("%{code}"));
                return Err(Error::user(format!("{name}: the code {code} is not known"))
                    .hint("%Y %m %d %H %M %S, %y %b %B %a %A %j %p %I %V %z, %f after a point"));
            }
        }
    }
    Ok(meant)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn meanings_are_sql_and_use_each_argument() {
        for (name, count, meaning) in KNOWN {
            let parsed = Parser::new(&GenericDialect {}).try_with_sql(meaning).unwrap().parse_expr();
            assert!(parsed.is_ok(), "{name}: {parsed:?}");
            for at in 1..=*count {
                assert!(meaning.contains(&format!("${at}")), "{name}");
            }
            assert_eq!(*name, name.to_lowercase());
            assert!(!REFUSED.iter().any(|(refused, _)| refused == name), "{name} is known and refused");
        }
    }

    /// A name that the engine has would not be reached any more.
    #[tokio::test]
    async fn no_name_hides_a_function() {
        let engine = crate::engine::Engine::open(&crate::engine::Settings::default()).await.unwrap();
        let state = engine.context().state();
        for name in KNOWN.iter().map(|(name, ..)| *name).chain(REFUSED.iter().map(|(name, _)| *name)) {
            assert!(!state.scalar_functions().contains_key(name), "{name}");
            assert!(!state.aggregate_functions().contains_key(name), "{name}");
            assert!(!state.window_functions().contains_key(name), "{name}");
        }
    }

    #[test]
    fn codes_of_parts_of_a_second_differ() {
        assert_eq!(codes("strftime", "%-d.%m %H:%M:%S.%f").unwrap(), "%-d.%m %H:%M:%S.%6f");
        assert_eq!(codes("strptime", "%S.%f%%").unwrap(), "%S%.f%%");
        assert!(
            codes("strptime", "%f").is_err() && codes("strftime", "%Q").is_err() && codes("strftime", "5 %").is_err()
        );
    }
}
