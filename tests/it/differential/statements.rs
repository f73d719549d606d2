//! Random statements of the kinds that analysts write, which both engines are meant to read alike.
//!
//! What they read differently by their manuals is avoided: integer division, the place of NULLs in an order (always given), ties in an order that a
//! window or LIMIT depends on (a key is always added).

use rand::Rng;
use rand_chacha::ChaCha8Rng;

/// Statements that make the tables in both engines. `t` has duplicates and NULLs in every column but `id`; `s` is smaller.
pub fn tables(rng: &mut ChaCha8Rng) -> Vec<String> {
    let mut make = |name: &str, rows: usize| {
        let values: Vec<String> = (1..=rows)
            .map(|id| {
                let k = maybe(rng, 6, |rng| rng.random_range(0..5).to_string());
                let u = maybe(rng, 6, |rng| format!("'{}'", ["a", "b", "A", "c", ""][rng.random_range(0..5)]));
                let x = maybe(rng, 6, |rng| rng.random_range(-6..20).to_string());
                let f = maybe(rng, 6, |rng| format!("{}.5", rng.random_range(-3..6)));
                let ts = maybe(rng, 8, |rng| {
                    format!(
                        "'2024-{:02}-{:02} {:02}:{:02}:00'",
                        rng.random_range(1..4),
                        rng.random_range(1..29),
                        rng.random_range(0..24),
                        rng.random_range(0..60)
                    )
                });
                let b = maybe(rng, 6, |rng| rng.random_bool(0.5).to_string());
                format!("({id}, {k}, {u}, {x}, {f}, {ts}, {b})")
            })
            .collect();
        format!(
            "CREATE TABLE {name} AS SELECT CAST(id AS BIGINT) AS id, CAST(k AS BIGINT) AS k, CAST(u AS VARCHAR) AS u, CAST(x AS BIGINT) AS x, \
             CAST(f AS DOUBLE) AS f, CAST(ts AS TIMESTAMP) AS ts, CAST(ts AS DATE) AS d, CAST(b AS BOOLEAN) AS b \
             FROM (VALUES {}) AS v (id, k, u, x, f, ts, b)",
            values.join(", ")
        )
    };
    vec![make("t", 40), make("s", 12)]
}

fn maybe(rng: &mut ChaCha8Rng, one_in: u32, value: impl Fn(&mut ChaCha8Rng) -> String) -> String {
    if rng.random_ratio(1, one_in) { "NULL".into() } else { value(rng) }
}

pub fn one<'a>(rng: &mut ChaCha8Rng, of: &[&'a str]) -> &'a str {
    of[rng.random_range(0..of.len())]
}

/// A number over one row of the table called `a`.
fn number(rng: &mut ChaCha8Rng, a: &str) -> String {
    let forms = [
        "{a}.x",
        "{a}.k",
        "{a}.f",
        "{a}.x + {a}.k",
        "{a}.x * 2 - 1",
        "coalesce({a}.x, 0)",
        "abs({a}.x)",
        "{a}.x % 3",
        "CASE WHEN {a}.x > 3 THEN 1 WHEN {a}.x IS NULL THEN 2 ELSE 0 END",
        "length({a}.u)",
        "nullif({a}.k, 2)",
        "extract(month FROM {a}.ts)",
        "extract(hour FROM {a}.ts)",
        "extract(dow FROM {a}.d)",
        "greatest({a}.x, {a}.k)",
        "CASE {a}.u WHEN 'a' THEN {a}.x WHEN NULL THEN 5 END",
        "date_diff('day', {a}.ts, TIMESTAMP '2024-02-10 12:00:00')",
        "date_diff('month', {a}.ts, TIMESTAMP '2024-02-10 12:00:00')",
        "date_diff('hour', TIMESTAMP '2024-01-31 12:00:00', {a}.ts)",
        "CASE WHEN {a}.b THEN {a}.x ELSE {a}.f END",
        "if({a}.b, {a}.k, -1)",
        "round({a}.f)",
        "CAST({a}.f AS DOUBLE) / 4",
    ];
    one(rng, &forms).replace("{a}", a)
}

fn text(rng: &mut ChaCha8Rng, a: &str) -> String {
    let forms = [
        "{a}.u",
        "lower({a}.u)",
        "coalesce({a}.u, 'none')",
        "{a}.u || 'x'",
        "concat({a}.u, '-', {a}.k)",
        "substr({a}.u, 1, 1)",
        "CASE WHEN {a}.u = 'a' THEN 'yes' ELSE {a}.u END",
        "replace({a}.u, 'a', 'bb')",
        "CAST({a}.k AS VARCHAR)",
        "trim({a}.u)",
        "upper({a}.u)",
    ];
    one(rng, &forms).replace("{a}", a)
}

fn time(rng: &mut ChaCha8Rng, a: &str) -> String {
    let forms = [
        "{a}.ts",
        "CAST({a}.ts AS DATE)",
        "date_trunc('month', {a}.ts)",
        "date_trunc('week', {a}.ts)",
        "{a}.d",
        "{a}.ts + INTERVAL '1 day'",
        "{a}.ts - INTERVAL '1 month'",
        "date_trunc('day', {a}.ts)",
        "date_trunc('hour', {a}.ts)",
        "{a}.d + INTERVAL '2 days'",
        "date_trunc('quarter', {a}.ts)",
    ];
    one(rng, &forms).replace("{a}", a)
}

fn value(rng: &mut ChaCha8Rng, a: &str) -> String {
    match rng.random_range(0..4) {
        0 | 1 => number(rng, a),
        2 => text(rng, a),
        _ => time(rng, a),
    }
}

pub fn condition(rng: &mut ChaCha8Rng, a: &str) -> String {
    let forms = [
        "{a}.x > 3",
        "{a}.u = 'a'",
        "{a}.u <> 'a'",
        "{a}.ts >= TIMESTAMP '2024-02-01 00:00:00'",
        "{a}.d < DATE '2024-02-15'",
        "{a}.b",
        "NOT {a}.b",
        "{a}.k IS NULL",
        "{a}.x BETWEEN 1 AND 8",
        "{a}.x NOT BETWEEN 1 AND 8",
        "{a}.k IN (1, 2)",
        "{a}.k NOT IN (1, NULL)",
        "{a}.u LIKE '%a%'",
        "{a}.u ILIKE 'A'",
        "{a}.x = {a}.k",
        "{a}.x IS DISTINCT FROM {a}.k",
        "{a}.b IS NOT TRUE",
        "{a}.ts - TIMESTAMP '2024-02-01 00:00:00' > INTERVAL '10 days'",
        "TIMESTAMP '2024-02-20 00:00:00' - {a}.ts <= INTERVAL '30 hours'",
        "{a}.ts BETWEEN '2024-01-10' AND '2024-02-20'",
        "{a}.ts < '9999-12-31'",
        "{a}.u IS NOT DISTINCT FROM 'b'",
        "({a}.x > 2) = {a}.b",
        "coalesce({a}.x > 5, false)",
        "{a}.f < {a}.x",
        "{a}.k IN (0, NULL)",
        "{a}.d = CAST({a}.ts AS DATE)",
    ];
    let first = one(rng, &forms).replace("{a}", a);
    if rng.random_ratio(1, 3) {
        let second = one(rng, &forms).replace("{a}", a);
        return format!("({first} {} {second})", one(rng, &["AND", "OR"]));
    }
    first
}

/// A condition between an inner and an outer row.
fn correlation(rng: &mut ChaCha8Rng, inner: &str, outer: &str) -> String {
    let forms = [
        "{i}.k = {o}.k",
        "{i}.k = {o}.k",
        "{i}.u = {o}.u",
        "{i}.d = {o}.d",
        "CAST({i}.ts AS DATE) = {o}.d",
        "lower({i}.u) = {o}.u",
        "lower({i}.u) = lower({o}.u)",
        "date_trunc('month', {i}.ts) = date_trunc('month', {o}.ts)",
        "{i}.k + 1 = {o}.k",
        "{i}.k % 2 = {o}.k % 2",
        "coalesce({i}.k, 0) = coalesce({o}.k, 0)",
        "{i}.k = {o}.k AND {i}.u = {o}.u",
        "extract(month FROM {i}.ts) = extract(month FROM {o}.ts)",
        "{i}.id = {o}.id",
        "{i}.b = {o}.b",
        "abs({i}.x) = {o}.x",
        "{o}.k = {i}.k AND CAST({i}.ts AS DATE) <= {o}.d",
        "{i}.x < {o}.x",
        "{i}.k IS NOT DISTINCT FROM {o}.k",
        "CAST({i}.x AS VARCHAR) = {o}.u",
        "{i}.f = {o}.x",
        "substr({i}.u, 1, 1) = {o}.u",
        "({i}.x > 3) = {o}.b",
    ];
    one(rng, &forms).replace("{i}", inner).replace("{o}", outer)
}

/// An aggregate over the rows of `a`.
fn aggregate(rng: &mut ChaCha8Rng, a: &str) -> String {
    let of = number(rng, a);
    let mut call = match rng.random_range(0..12) {
        0 | 1 => "count(*)".to_string(),
        2 => format!("count({of})"),
        3 => format!("count(DISTINCT {})", value(rng, a)),
        4 => format!("sum({of})"),
        5 => format!("min({})", value(rng, a)),
        6 => format!("max({})", value(rng, a)),
        7 => format!("avg({of})"),
        8 => format!("sum(DISTINCT {a}.x)"),
        9 => format!("sum(CASE WHEN {} THEN 1 ELSE 0 END)", condition(rng, a)),
        10 => format!("bool_or({})", condition(rng, a)),
        _ => format!("median({a}.x)"),
    };
    if rng.random_ratio(1, 4) {
        call.push_str(&format!(" FILTER (WHERE {})", condition(rng, a)));
    }
    if rng.random_ratio(1, 6) { format!("coalesce({call}, NULL)") } else { call }
}

fn scalar_subquery(rng: &mut ChaCha8Rng, outer: &str) -> String {
    let from = one(rng, &["t", "s"]);
    let aggregate = aggregate(rng, "i");
    let linked = if rng.random_ratio(4, 5) { correlation(rng, "i", outer) } else { "true".into() };
    let more = if rng.random_ratio(1, 3) { format!(" AND {}", condition(rng, "i")) } else { String::new() };
    let plus = if rng.random_ratio(1, 6) { " + 1" } else { "" };
    let plus = if aggregate.starts_with("count") || aggregate.starts_with("sum") { plus } else { "" };
    format!("(SELECT {aggregate}{plus} FROM {from} AS i WHERE {linked}{more})")
}

fn predicate_subquery(rng: &mut ChaCha8Rng, outer: &str) -> String {
    let from = one(rng, &["t", "s"]);
    let column = one(rng, &["k", "x", "u", "d"]);
    let linked = if rng.random_ratio(1, 2) { correlation(rng, "i", outer) } else { condition(rng, "i") };
    match rng.random_range(0..6) {
        0 => format!("EXISTS (SELECT 1 FROM {from} AS i WHERE {linked})"),
        1 => format!("NOT EXISTS (SELECT 1 FROM {from} AS i WHERE {linked})"),
        2 => format!("{outer}.{column} IN (SELECT i.{column} FROM {from} AS i WHERE {linked})"),
        3 => format!("{outer}.{column} NOT IN (SELECT i.{column} FROM {from} AS i WHERE {linked})"),
        4 => format!("{outer}.x > ALL (SELECT i.x FROM {from} AS i WHERE i.x < 5)"),
        _ => format!("{outer}.{column} = ANY (SELECT i.{column} FROM {from} AS i WHERE {linked})"),
    }
}

fn window(rng: &mut ChaCha8Rng) -> String {
    let partition = one(
        rng,
        &["", "PARTITION BY a.k ", "PARTITION BY a.u ", "PARTITION BY a.b, a.k ", "PARTITION BY CAST(a.ts AS DATE) "],
    );
    let direction = one(rng, &["ASC NULLS FIRST", "DESC NULLS LAST", "ASC NULLS LAST", "DESC NULLS FIRST"]);
    let by_key = format!("ORDER BY a.{} {direction}, a.id", one(rng, &["x", "ts", "u", "id"]));
    let rows = one(
        rng,
        &[
            "",
            " ROWS BETWEEN 2 PRECEDING AND CURRENT ROW",
            " ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW",
            " ROWS BETWEEN 1 PRECEDING AND 1 FOLLOWING",
            " ROWS BETWEEN CURRENT ROW AND UNBOUNDED FOLLOWING",
            " ROWS BETWEEN 3 PRECEDING AND 1 PRECEDING",
            " ROWS BETWEEN 1 FOLLOWING AND 2 FOLLOWING",
        ],
    );
    match rng.random_range(0..9) {
        0 => format!("row_number() OVER ({partition}{by_key})"),
        1 => format!(
            "{}() OVER ({partition}ORDER BY a.{} {direction})",
            one(rng, &["rank", "dense_rank", "percent_rank", "cume_dist"]),
            one(rng, &["x", "k", "d"])
        ),
        2 => format!("ntile({}) OVER ({partition}{by_key})", rng.random_range(1..5)),
        3 => format!("{}(a.x, {}) OVER ({partition}{by_key})", one(rng, &["lag", "lead"]), rng.random_range(1..3)),
        4 => format!(
            "{}(a.{}) OVER ({partition}{by_key}{rows})",
            one(rng, &["first_value", "last_value"]),
            one(rng, &["x", "u", "ts"])
        ),
        5 => format!("nth_value(a.x, 2) OVER ({partition}{by_key}{rows})"),
        6 => {
            // Peers share a frame by RANGE, so no key is needed.
            let frame = one(
                rng,
                &[
                    "ORDER BY a.x ASC NULLS FIRST RANGE BETWEEN 2 PRECEDING AND CURRENT ROW",
                    "ORDER BY a.ts ASC NULLS FIRST RANGE BETWEEN INTERVAL '7 days' PRECEDING AND CURRENT ROW",
                    "ORDER BY a.ts ASC NULLS LAST RANGE BETWEEN INTERVAL '36 hours' PRECEDING AND INTERVAL '1 day' FOLLOWING",
                    "ORDER BY a.d ASC NULLS FIRST RANGE BETWEEN INTERVAL '3 days' PRECEDING AND CURRENT ROW",
                    "ORDER BY a.k ASC NULLS FIRST",
                    "ORDER BY a.d DESC NULLS LAST",
                    "ORDER BY a.k ASC NULLS LAST GROUPS BETWEEN 1 PRECEDING AND CURRENT ROW",
                ],
            );
            format!("{}(a.x) OVER ({partition}{frame})", one(rng, &["sum", "count", "avg", "min", "max"]))
        }
        7 => format!(
            "{}(a.f) FILTER (WHERE {}) OVER ({partition}{by_key}{rows})",
            one(rng, &["sum", "count", "avg"]),
            condition(rng, "a")
        ),
        _ => format!(
            "{}({}) OVER ({partition}{by_key}{rows})",
            one(rng, &["sum", "count", "avg", "min", "max"]),
            number(rng, "a")
        ),
    }
}

/// One statement.
pub fn statement(rng: &mut ChaCha8Rng) -> String {
    let (outer, other) = if rng.random_bool(0.5) { ("t", "s") } else { ("s", "t") };
    match rng.random_range(0..13) {
        0 => format!("SELECT o.id, {} AS v FROM {outer} AS o", scalar_subquery(rng, "o")),
        1 => {
            let compared = one(rng, &["o.x <", "o.k =", "2 >", "o.x >="]);
            format!("SELECT o.id FROM {outer} AS o WHERE {compared} (SELECT count(*) FROM {other} AS i WHERE {})", correlation(rng, "i", "o"))
        }
        2 => {
            let also = if rng.random_bool(0.4) { format!(" OR {}", condition(rng, "o")) } else { String::new() };
            format!("SELECT o.id FROM {outer} AS o WHERE {}{also}", predicate_subquery(rng, "o"))
        }
        3 => format!("SELECT o.id, o.x FROM {outer} AS o WHERE {} AND {}", predicate_subquery(rng, "o"), condition(rng, "o")),
        4 => {
            let (aggregate, linked) = (aggregate(rng, "i"), correlation(rng, "i", "o"));
            let more = if rng.random_bool(0.3) { format!(" AND {}", condition(rng, "i")) } else { String::new() };
            match rng.random_range(0..3) {
                0 => format!("SELECT o.id, l.v FROM {outer} AS o, LATERAL (SELECT {aggregate} AS v FROM {other} AS i WHERE {linked}{more}) AS l"),
                1 => format!("SELECT o.id, l.v FROM {outer} AS o LEFT JOIN LATERAL (SELECT {aggregate} AS v FROM {other} AS i WHERE {linked}{more}) AS l ON true"),
                _ => format!("SELECT o.id, l.id AS other, l.v FROM {outer} AS o, LATERAL (SELECT i.id, {} AS v FROM {other} AS i WHERE {linked}{more}) AS l", value(rng, "i")),
            }
        }
        5 | 6 => format!("SELECT a.id, {} AS v, {} AS w FROM t AS a", window(rng), window(rng)),
        7 => {
            let kind = one(rng, &["JOIN", "LEFT JOIN", "RIGHT JOIN", "FULL JOIN"]);
            let on = match rng.random_range(0..7) {
                0 => "a.k = c.k".to_string(),
                1 => "a.u = c.u AND a.x > c.x".to_string(),
                2 => "a.k = c.k AND a.b".to_string(),
                3 => format!("a.id = c.id AND {}", condition(rng, "c")),
                4 => "lower(a.u) = c.u".to_string(),
                5 => "CAST(a.ts AS DATE) = c.d".to_string(),
                _ => "a.k IS NOT DISTINCT FROM c.k".to_string(),
            };
            let filter = match rng.random_range(0..3) {
                0 => format!(" WHERE {}", condition(rng, "a")),
                1 => format!(" WHERE {}", condition(rng, "c")),
                _ => String::new(),
            };
            format!("SELECT a.id, c.id AS other, {} AS v FROM {outer} AS a {kind} {other} AS c ON {on}{filter}", value(rng, "c"))
        }
        8 => {
            let key = one(rng, &["a.k", "a.u", "CAST(a.ts AS DATE)", "date_trunc('month', a.ts)", "a.b", "a.x % 2", "coalesce(a.u, 'none')"]);
            let having = if rng.random_bool(0.4) { " HAVING count(*) > 1" } else { "" };
            format!("SELECT {key} AS g, {} AS v, {} AS w FROM {outer} AS a GROUP BY {key}{having}", aggregate(rng, "a"), aggregate(rng, "a"))
        }
        9 => {
            let sets = one(rng, &["ROLLUP (a.k, a.b)", "CUBE (a.k, a.b)", "GROUPING SETS ((a.k), (a.b), ())", "GROUPING SETS ((a.k, a.b), (a.k))"]);
            let where_ = condition(rng, "a");
            format!("SELECT a.k, a.b, grouping(a.k) AS g, {} AS v FROM {outer} AS a WHERE {where_} GROUP BY {sets}", aggregate(rng, "a"))
        }
        10 => {
            let operator = one(rng, &["UNION", "UNION ALL", "INTERSECT", "EXCEPT"]);
            let column = one(rng, &["k", "u", "d", "b", "x"]);
            format!("SELECT a.{column}, a.b AS z FROM t AS a WHERE {} {operator} SELECT c.{column}, c.b FROM s AS c WHERE {}", condition(rng, "a"), condition(rng, "c"))
        }
        11 => {
            let order = format!("i.{} {}, i.id", one(rng, &["x", "ts", "u"]), one(rng, &["DESC NULLS LAST", "ASC NULLS FIRST"]));
            match rng.random_range(0..3) {
                0 => format!("SELECT count(*) AS n, sum(q.x) AS v FROM (SELECT i.x FROM {outer} AS i ORDER BY {order} LIMIT {} OFFSET {}) AS q", rng.random_range(0..9), rng.random_range(0..4)),
                1 => format!("SELECT a.id FROM {outer} AS a WHERE a.k IN (SELECT i.k FROM {other} AS i ORDER BY {order} LIMIT 3)"),
                _ => format!("SELECT i.id, i.x FROM {outer} AS i WHERE {} ORDER BY {order} LIMIT 4", condition(rng, "i")),
            }
        }
        _ => match rng.random_range(0..4) {
            0 => format!("SELECT DISTINCT {} AS v, {} AS w FROM {outer} AS a WHERE {}", value(rng, "a"), value(rng, "a"), condition(rng, "a")),
            1 => "SELECT DISTINCT ON (a.k) a.k, a.id, a.x FROM t AS a ORDER BY a.k ASC NULLS LAST, a.x DESC NULLS LAST, a.id".replace("a.x DESC", one(rng, &["a.x DESC", "a.u ASC", "a.ts DESC"])),
            2 => format!("SELECT a.id, a.k FROM {outer} AS a WHERE {} QUALIFY row_number() OVER (PARTITION BY a.k ORDER BY a.x DESC NULLS LAST, a.id) <= 2", condition(rng, "a")),
            _ => format!(
                "WITH w AS (SELECT a.k, {} AS v FROM {outer} AS a GROUP BY a.k), m AS (SELECT max(w.v) AS top FROM w) SELECT w.k, w.v FROM w, m WHERE w.v = m.top OR {}",
                one(rng, &["count(*)", "sum(a.x)", "max(a.x)"]),
                one(rng, &["w.k IS NULL", "false", "w.k IN (SELECT s.k FROM s)"])
            ),
        },
    }
}
