//! Further kinds of statements: texts, casts, numbers at their edges, subqueries everywhere, joins by name, series, quantiles, days of a time zone.
//!
//! Where the two engines spell one question differently, both spellings stand in the text: `«tenure|DuckDB»`. What they answer differently by
//! their manuals is avoided: `/` of whole numbers (DuckDB's is `//`), CAST of a double to a whole number (DuckDB rounds), negative positions in a text.

use rand::Rng;
use rand_chacha::ChaCha8Rng;

use super::statements::{condition, one};

/// The zone of the statements about days.
pub const ZONE: &str = "America/New_York";

/// Tables: `w` has texts that are hard to read, `z` instants around the changes of the clock, `e` events of users.
pub fn tables(rng: &mut ChaCha8Rng) -> Vec<String> {
    let words = [
        "NULL",
        "''",
        "'a'",
        "'A'",
        "'é'",
        "'É'",
        "'日本語'",
        "'naïve café'",
        "'  pad '",
        "'a_b%c'",
        "'a\\b'",
        "'it''s'",
        "'10'",
        "'-3'",
        "'007'",
        "'2.50'",
        "'-0.5'",
        "'true'",
        "'2024-02-29'",
        "'2024-02-30'",
        "'2024-01-05 10:20:30'",
        "'x,y,,z'",
        "'ab ab ab'",
        "'Zoë'",
        "'a'",
        "'b'",
        "'%'",
        "'_'",
    ];
    let rows: Vec<String> = words
        .iter()
        .enumerate()
        .map(|(at, word)| {
            let n = if rng.random_ratio(1, 6) { "NULL".to_string() } else { rng.random_range(-7..8).to_string() };
            format!("({at}, {word}, {n})")
        })
        .collect();
    let instants: Vec<String> = (0..60)
        .map(|id| {
            let day = one(
                rng,
                &[
                    "2024-03-09",
                    "2024-03-10",
                    "2024-03-11",
                    "2024-11-02",
                    "2024-11-03",
                    "2024-11-04",
                    "2024-12-31",
                    "2024-06-30",
                ],
            );
            let at = format!(
                "'{day} {:02}:{:02}:{:02}'",
                rng.random_range(0..24),
                rng.random_range(0..60),
                rng.random_range(0..60)
            );
            let other = format!("'2024-{:02}-03 0{}:30:00'", rng.random_range(1..13), rng.random_range(0..9));
            format!("({id}, {at}, {other}, {})", rng.random_range(0..4))
        })
        .collect();
    let events: Vec<String> = (0..80)
        .map(|id| {
            format!(
                "({id}, {}, '{}', '2024-01-{:02} {:02}:00:00', {})",
                if rng.random_ratio(1, 15) { "NULL".to_string() } else { rng.random_range(1..9).to_string() },
                one(rng, &["view", "cart", "buy"]),
                rng.random_range(1..20),
                rng.random_range(0..24),
                if rng.random_ratio(1, 5) { "NULL".to_string() } else { rng.random_range(1..50).to_string() }
            )
        })
        .collect();
    vec![
        format!(
            "CREATE TABLE w AS SELECT CAST(id AS BIGINT) AS id, CAST(s AS VARCHAR) AS s, CAST(n AS BIGINT) AS n FROM (VALUES {}) AS v (id, s, n)",
            rows.join(", ")
        ),
        format!(
            "CREATE TABLE z AS SELECT CAST(id AS BIGINT) AS id, «CAST(m AS TIMESTAMP)|CAST(CAST(m AS TIMESTAMP) AS TIMESTAMP) AT TIME ZONE 'UTC'» AS m, \
             «CAST(o AS TIMESTAMP)|CAST(CAST(o AS TIMESTAMP) AS TIMESTAMP) AT TIME ZONE 'UTC'» AS o, CAST(k AS BIGINT) AS k FROM (VALUES {}) AS v (id, m, o, k)",
            instants.join(", ")
        ),
        format!(
            "CREATE TABLE e AS SELECT CAST(id AS BIGINT) AS id, CAST(u AS BIGINT) AS u, CAST(event AS VARCHAR) AS event, CAST(ts AS TIMESTAMP) AS ts, \
             CAST(v AS BIGINT) AS v FROM (VALUES {}) AS v (id, u, event, ts, v)",
            events.join(", ")
        ),
    ]
}

/// A statement as each side spells it.
pub fn sides(text: &str) -> (String, String) {
    let (mut ours, mut theirs) = (String::new(), String::new());
    let mut rest = text;
    while let Some((before, from)) = rest.split_once('«') {
        let (both, after) = from.split_once('»').expect("a closing mark");
        let (our, their) = both.split_once('|').expect("two spellings");
        ours.extend([before, our]);
        theirs.extend([before, their]);
        rest = after;
    }
    (ours + rest, theirs + rest)
}

fn text(rng: &mut ChaCha8Rng) -> String {
    let piece = one(rng, &["'a'", "'ab'", "''", "'é'", "' '", "','", "'%'", "w.s", "NULL"]);
    let n = rng.random_range(1..5);
    let forms = [
        "length(w.s)",
        "upper(w.s)",
        "lower(w.s)",
        "trim(w.s)",
        "ltrim(w.s)",
        "rtrim(w.s)",
        "reverse(w.s)",
        "repeat(w.s, {n})",
        "substr(w.s, {n})",
        "substring(w.s FROM {n} FOR 2)",
        "left(w.s, {n})",
        "right(w.s, {n})",
        "left(w.s, -{n})",
        "right(w.s, -{n})",
        "replace(w.s, {p}, 'zz')",
        "strpos(w.s, {p})",
        "position('a' IN w.s)",
        "split_part(w.s, ',', {n})",
        "lpad(w.s, {n}, 'xy')",
        "rpad(w.s, {n}, 'xy')",
        "starts_with(w.s, {p})",
        "contains(w.s, {p})",
        "concat(w.s, {p}, w.n)",
        "concat_ws('-', w.s, {p}, 'q')",
        "w.s || {p}",
        "ascii(w.s)",
        "translate(w.s, 'ab', 'x')",
        "regexp_replace(w.s, '[ab]+', '<>')",
        "regexp_replace(w.s, '[ab]', '*', 'g')",
        "md5(w.s)",
        "coalesce(w.s, {p})",
        "nullif(w.s, {p})",
        "w.s LIKE 'a%'",
        "w.s LIKE '%\\%%' ESCAPE '\\'",
        "w.s LIKE '_'",
        "w.s NOT LIKE '%a%'",
        "w.s ILIKE '%É%'",
        "w.s LIKE {p}«| ESCAPE '\\'»",
        "w.s LIKE 'a$_b%' ESCAPE '$'",
        "w.s BETWEEN 'a' AND 'b'",
        "w.s IN ('a', {p})",
        "w.s > 'Z'",
        "w.s = ''",
        "bit_length(w.s)",
        "octet_length(«w.s|CAST(w.s AS BLOB)»)",
        "CASE w.s WHEN 'a' THEN 1 WHEN '' THEN 2 END",
        "trim(BOTH 'a' FROM w.s)",
        "overlay(w.s PLACING 'X' FROM {n})",
        "chr(ascii(w.s))",
        "«regexp_like|regexp_matches»(w.s, '^a.*c$')",
        "w.s ~ 'a.b'",
        "«regexp_count(w.s, 'a')|len(regexp_extract_all(w.s, 'a'))»",
        "to_hex(abs(w.n))",
    ];
    one(rng, &forms).replace("{p}", piece).replace("{n}", &n.to_string())
}

fn casted(rng: &mut ChaCha8Rng) -> String {
    let of = one(rng, &["w.s", "trim(w.s)", "coalesce(w.s, '1')"]);
    let forms = [
        "TRY_CAST(replace({s}, '.', 'x') AS BIGINT)",
        "TRY_CAST({s} AS DOUBLE)",
        "TRY_CAST({s} AS DATE)",
        "TRY_CAST({s} AS TIMESTAMP)",
        "TRY_CAST({s} AS BOOLEAN)",
        "TRY_CAST(replace({s}, '.', 'x') AS INTEGER)",
        "TRY_CAST(replace({s}, '.', 'x') AS SMALLINT)",
        "TRY_CAST(w.n * 100000 AS SMALLINT)",
        "TRY_CAST(w.n * 1000000000 AS INTEGER)",
        "CAST(w.n AS DOUBLE)",
        "CAST(w.n AS VARCHAR)",
        "CAST(w.n AS DECIMAL(10, 2))",
        "CAST(w.n AS BOOLEAN)",
        "CAST(w.n = 1 AS INTEGER)",
        "CAST(CAST(w.n AS DOUBLE) / 2 AS DECIMAL(12, 3))",
        "TRY_CAST({s} AS DECIMAL(8, 2))",
        "CAST(w.n AS DECIMAL(12, 2)) * CAST(1.25 AS DECIMAL(5, 2))",
        "CAST(DATE '2024-02-29' AS TIMESTAMP)",
        "CAST(TIMESTAMP '2024-02-29 23:59:59' AS DATE)",
        "CAST(w.n AS VARCHAR) || 'x'",
    ];
    one(rng, &forms).replace("{s}", of)
}

fn arithmetic(rng: &mut ChaCha8Rng) -> String {
    let n = one(rng, &["2", "3", "-2", "7", "nullif(w.id % 5 - 2, 0)"]);
    let forms = [
        "w.n «/|//» {n}",
        "w.n % {n}",
        "mod(w.n, {n})",
        "(w.n * w.n - 3) % {n}",
        "-w.n «/|//» {n}",
        "abs(w.n) % {n}",
        "w.n * 1.5",
        "w.n + 0.25",
        "power(w.n, 2)",
        "sign(w.n)",
        "round(w.n * 1.25, 1)",
        "floor(w.n / 2.0)",
        "ceil(w.n / 2.0)",
        "sqrt(abs(w.n))",
        "exp(w.n)",
        "ln(abs(w.n) + 1)",
        "greatest(w.n, {n}, 0)",
        "least(w.n, {n})",
        "w.n & 3",
        "w.n | 8",
        "w.n << 2",
        "w.n = {n}",
        "w.n <> {n}",
        "w.n / 4.0",
        "CAST(w.n AS DOUBLE) / {n}",
        "trunc(w.n * 1.7)",
        "w.n IS DISTINCT FROM {n}",
        "w.n BETWEEN {n} AND 5",
        "w.n NOT IN ({n}, 1)",
        "round(w.n * 0.5)",
        "round(-w.n * 2.5, 0)",
        "w.n * 1000000007 + w.id",
        "w.id - w.n * 3 % 4",
        "2 - 3 - w.n",
        "2 * 3 + 4 * w.n - -1",
        "NOT w.n = 1 AND w.n < 4",
        "NOT w.n IS NULL",
        "w.n > 1 = true",
        "gcd(w.n, 6)",
        "lcm(abs(w.n), 4)",
        "factorial(abs(w.n))",
        "1e3 + w.n",
    ];
    one(rng, &forms).replace("{n}", n)
}

fn moment(rng: &mut ChaCha8Rng) -> String {
    let unit = one(rng, &["day", "week", "month", "quarter", "year", "hour", "minute"]);
    let forms = [
        "date_trunc('{u}', e.ts)",
        "date_part('{u}', e.ts)",
        "extract({u} FROM e.ts)",
        "extract(doy FROM e.ts)",
        "extract(isodow FROM e.ts)",
        "extract(epoch FROM e.ts)",
        "date_diff('{u}', e.ts, TIMESTAMP '2024-03-31 23:59:59')",
        "e.ts + INTERVAL '1 {u}'",
        "e.ts - INTERVAL '3 days 4 hours'",
        "CAST(e.ts AS DATE) + INTERVAL '1 month'",
        "e.ts > CAST('2024-01-10' AS DATE)",
        "e.ts = CAST(e.ts AS DATE)",
        "CAST(e.ts AS DATE) - DATE '2024-01-01' > 3",
        "e.ts - TIMESTAMP '2024-01-01 00:00:00' > INTERVAL '{n} hours'",
        "to_char(e.ts, '%Y-%m')«|»",
        "extract(week FROM e.ts)",
        "extract(second FROM e.ts)",
        "date_trunc('month', e.ts) + INTERVAL '1 month' - INTERVAL '1 day'",
        "make_date(2024, 1, «CAST(extract(day FROM e.ts) AS INT)|CAST(extract(day FROM e.ts) AS INT)»)",
        "e.ts BETWEEN DATE '2024-01-03' AND DATE '2024-01-05'",
        "extract(epoch FROM (TIMESTAMP '2024-02-01 00:00:00' - e.ts))",
        "e.ts < TIMESTAMP '2024-01-10' + INTERVAL '{n} days'",
        "coalesce(e.ts, TIMESTAMP '2024-01-01 00:00:00')",
        "e.ts >= '2024-01-10'",
        "CAST(e.ts AS DATE) = '2024-01-10'",
        "e.ts::date",
        "greatest(e.ts, TIMESTAMP '2024-01-10 00:00:00')",
        "CAST(e.ts AS DATE) IN (DATE '2024-01-05', DATE '2024-01-06')",
        "date_trunc('{u}', CAST(e.ts AS DATE))",
        "extract(year FROM CAST(e.ts AS DATE) - INTERVAL '1 year')",
    ];
    let form =
        one(rng, &forms).replace("to_char(e.ts, '%Y-%m')«|»", "«to_char(e.ts, '%Y-%m')|strftime(e.ts, '%Y-%m')»");
    form.replace("{u}", unit).replace("{n}", &rng.random_range(1..200).to_string())
}

/// In the zone [`ZONE`], of the table `z`.
pub fn zoned(rng: &mut ChaCha8Rng) -> String {
    let unit = one(rng, &["day", "week", "month", "quarter", "year", "hour"]);
    let day = one(rng, &["2024-03-10", "2024-03-11", "2024-11-03", "2024-11-04", "2025-01-01"]);
    let forms = [
        "date_trunc('{u}', z.m)",
        "CAST(z.m AS DATE)",
        "extract(hour FROM z.m)",
        "extract(dow FROM z.m)",
        "extract(day FROM z.m)",
        "extract(doy FROM z.m)",
        "extract(week FROM z.m)",
        "extract(month FROM z.m)",
        "extract(minute FROM z.m)",
        "extract(epoch FROM z.m)",
        "z.m >= DATE '{d}'",
        "z.m < DATE '{d}'",
        "z.m BETWEEN DATE '{d}' AND DATE '2024-11-05'",
        "date_trunc('day', z.m) = DATE '{d}'",
        "date_diff('day', z.m, z.o)",
        "«date_diff('hour', z.o, z.m)|CAST(floor(epoch(z.m) / 3600) - floor(epoch(z.o) / 3600) AS BIGINT)»",
        "CAST(date_trunc('day', z.m) AS DATE)",
        "date_trunc('day', z.m) + INTERVAL '1 day'",
        "«date_bin(INTERVAL '1 day', z.m)|date_trunc('day', z.m)»",
        "«date_bin(INTERVAL '1 hour', z.m)|to_timestamp(3600 * floor(epoch(z.m) / 3600))»",
        "«date_bin(INTERVAL '7 days', z.m, TIMESTAMP '2024-01-01 00:00:00')|date_trunc('week', z.m)»",
        "CASE WHEN z.k > 1 THEN date_trunc('day', z.m) ELSE z.m END = z.m",
        "coalesce(CASE WHEN z.k > 1 THEN date_trunc('hour', z.m) END, z.o) < z.m",
        "greatest(date_trunc('day', z.m), z.o) = z.o",
        "nullif(date_trunc('hour', z.m), z.m) IS NULL",
        "z.m IN (date_trunc('hour', z.m), z.o)",
        "CAST(z.m AS DATE) IN (DATE '{d}', DATE '2024-12-31')",
        "date_trunc('day', z.m) <= z.m",
        "CASE z.m WHEN date_trunc('minute', z.m) THEN 1 ELSE 0 END",
        "z.m - date_trunc('day', z.m) > INTERVAL '12 hours'",
        "z.m >= «TIMESTAMP '{d} 05:00:00'|TIMESTAMPTZ '{d} 05:00:00+00'»",
        "extract(hour FROM z.m + INTERVAL '3 hours')",
        "lag(z.m, 1, TIMESTAMP '2024-01-01 00:00:00') OVER (ORDER BY z.id) < z.o",
        "TRY_CAST(z.m AS DATE)",
        "z.m::date",
        "CAST(z.m AS TIME)",
        "date_part('{u}', z.m)",
    ];
    let value = one(rng, &forms).replace("{u}", unit).replace("{d}", day);
    let second = one(rng, &forms).replace("{u}", one(rng, &["day", "month", "hour"])).replace("{d}", day);
    let statement = match rng.random_range(0..6) {
        0 => format!("SELECT {value} AS v, count(*) AS n FROM z GROUP BY 1")
            .replace(" OVER (ORDER BY z.id)", "")
            .replace("lag(z.m, 1, TIMESTAMP '2024-01-01 00:00:00')", "z.m"),
        1 if !second.contains("OVER") && !second.starts_with("date_trunc('day', z.m) +") => {
            format!("SELECT z.id FROM z WHERE ({second}) = ({second}) AND z.m >= DATE '{day}'")
        }
        2 => "SELECT date_trunc('day', z.m) AS v FROM z UNION SELECT z.o FROM z WHERE z.k = 1".to_string(),
        3 => format!(
            "SELECT a.id, b.id AS other FROM z AS a JOIN z AS b ON date_trunc('{unit}', a.m) = date_trunc('{unit}', b.m) WHERE a.k = 1 AND b.k = 2"
        ),
        _ => format!("SELECT z.id, {value} AS v, {second} AS w FROM z"),
    };
    // Of the second of two equal hours DuckDB 2.0.1 makes the first one or the one between, later than the time itself: 01:30 EDT is cut to
    // 01:00 EST. Spelled by the epoch it answers as PostgreSQL and tenure do.
    ["z.m", "a.m", "b.m"].iter().fold(statement, |statement, time| {
        statement.replace(
            &format!("date_trunc('hour', {time})"),
            &format!("«date_trunc('hour', {time})|to_timestamp(3600 * floor(epoch({time}) / 3600))»"),
        )
    })
}

/// Subqueries in every place, over events of users.
fn subquery(rng: &mut ChaCha8Rng) -> String {
    let order =
        one(rng, &["i.ts DESC, i.id", "i.ts, i.id DESC", "i.v DESC NULLS LAST, i.id", "i.v ASC NULLS FIRST, i.id"]);
    let linked = one(
        rng,
        &[
            "i.u = o.u",
            "i.u = o.u AND i.ts < o.ts",
            "i.u = o.u AND i.id <> o.id",
            "i.event = o.event AND i.ts >= o.ts",
            "i.u = o.u AND i.ts <= o.ts + INTERVAL '2 days'",
            "i.v > o.v",
            "i.u + 1 = o.u",
            "i.u IS NOT DISTINCT FROM o.u AND i.id < o.id",
            "i.u = o.u AND i.event = 'buy'",
            "i.u = o.u AND (i.v > o.v OR i.event = o.event)",
            "i.u = o.u AND i.v BETWEEN o.v - 5 AND o.v + 5",
        ],
    );
    let value = one(rng, &["i.id", "i.event", "i.v", "i.ts", "coalesce(i.v, 0)", "i.v + 1"]);
    let number = one(
        rng,
        &[
            "count(*)",
            "sum(i.v)",
            "max(i.v)",
            "avg(i.v)",
            "count(DISTINCT i.event)",
            "count(*) FILTER (WHERE i.event = 'view')",
            "coalesce(sum(i.v), 0) + 1",
            "min(i.v) - max(i.v)",
        ],
    );
    let limit = one(rng, &["LIMIT 1", "LIMIT 1", "LIMIT 1 OFFSET 1", "LIMIT 1 OFFSET 2"]);
    let few = one(rng, &["LIMIT 1", "LIMIT 2", "LIMIT 3 OFFSET 1", "OFFSET 2"]);
    let outer = one(rng, &["", " WHERE o.event <> 'cart'", " WHERE o.v IS NOT NULL"]);
    match rng.random_range(0..22) {
        0 | 1 => format!(
            "SELECT o.id, (SELECT {value} FROM e AS i WHERE {linked} ORDER BY {order} {limit}) AS v FROM e AS o{outer}"
        ),
        2 | 3 => format!("SELECT o.id, (SELECT {number} FROM e AS i WHERE {linked}) AS v FROM e AS o{outer}"),
        4 => format!(
            "SELECT o.id, l.* FROM e AS o, LATERAL (SELECT i.id AS other, i.v AS w FROM e AS i WHERE {linked} ORDER BY {order} {few}) AS l"
        ),
        5 => format!(
            "SELECT o.id, l.other, l.v FROM e AS o LEFT JOIN LATERAL (SELECT i.id AS other, {value} AS v FROM e AS i WHERE {linked} ORDER BY {order} {few}) AS l ON true"
        ),
        6 => format!(
            "SELECT o.id, l.v FROM e AS o CROSS JOIN LATERAL (SELECT {number} AS v FROM e AS i WHERE {linked}) AS l"
        ),
        7 => format!(
            "SELECT o.id, EXISTS (SELECT 1 FROM e AS i WHERE {linked}) AS v, NOT EXISTS (SELECT 1 FROM e AS i WHERE {linked} AND i.event = 'buy') AS w FROM e AS o"
        ),
        8 => format!(
            "SELECT o.id, CASE WHEN EXISTS (SELECT i.id FROM e AS i WHERE {linked} LIMIT 1) THEN 'y' ELSE o.event END AS v FROM e AS o"
        ),
        9 => format!(
            "SELECT o.id, o.v IN (SELECT i.v FROM e AS i WHERE {linked}) AS v, o.v NOT IN (SELECT i.v FROM e AS i WHERE {linked}) AS w FROM e AS o"
        ),
        10 => format!(
            "SELECT o.id, o.v IN (SELECT i.v FROM e AS i WHERE i.event = 'buy') AS v, o.u NOT IN (SELECT i.u FROM e AS i WHERE i.v > {}) AS w FROM e AS o",
            rng.random_range(1..60)
        ),
        11 => format!("SELECT o.id FROM e AS o WHERE o.v NOT IN (SELECT i.v FROM e AS i WHERE {linked})"),
        12 => format!(
            "SELECT o.id FROM e AS o WHERE o.v {} (SELECT {number} FROM e AS i WHERE {linked})",
            one(rng, &["IN", "NOT IN", "=", ">", "<="])
        ),
        13 => format!(
            "SELECT o.id FROM e AS o WHERE {}EXISTS (SELECT {number} FROM e AS i WHERE {linked}{})",
            one(rng, &["", "NOT "]),
            one(rng, &["", " HAVING count(*) > 2"])
        ),
        14 => format!(
            "SELECT o.id FROM e AS o WHERE (o.v NOT IN (SELECT i.v FROM e AS i WHERE {linked}) OR o.event = 'view') AND NOT (o.v IN (SELECT i.v FROM e AS i WHERE i.u = 2) AND o.u > 3)"
        ),
        15 => format!(
            "SELECT o.id FROM e AS o WHERE o.v IN (SELECT i.v FROM e AS i WHERE {linked} ORDER BY {order} {few})"
        ),
        16 => format!(
            "SELECT o.event, sum((SELECT {number} FROM e AS i WHERE {linked})) AS v FROM e AS o GROUP BY o.event"
        ),
        17 => format!(
            "SELECT o.id, (SELECT i.event FROM e AS i WHERE {linked} GROUP BY i.event ORDER BY count(*) DESC, i.event LIMIT 1) AS v FROM e AS o"
        ),
        18 => format!(
            "SELECT o.id FROM e AS o ORDER BY (SELECT {number} FROM e AS i WHERE {linked}) DESC NULLS LAST, o.id LIMIT 7"
        ),
        19 => format!(
            "SELECT o.id, (SELECT i.event FROM e AS i WHERE i.id = o.id - 3) AS v, (SELECT count(*) FROM (SELECT DISTINCT i.event FROM e AS i WHERE {linked}) AS d) AS w FROM e AS o"
        ),
        20 => format!(
            "SELECT o.id, (SELECT max(q.r) FROM (SELECT i.id, row_number() OVER (ORDER BY i.ts, i.id) AS r FROM e AS i WHERE {linked}) AS q) AS v FROM e AS o"
        ),
        _ => "SELECT o.u, count(*) AS n FROM e AS o GROUP BY o.u HAVING count(*) > (SELECT count(*) FROM e AS i WHERE i.u = o.u AND i.event = 'buy') AND max(o.v) IN (SELECT i.v FROM e AS i)"
            .to_string(),
    }
}

fn grouped(rng: &mut ChaCha8Rng) -> String {
    let share = one(rng, &["0.25", "0.5", "0.9", "0.0", "1.0"]);
    let calls = [
        "percentile_cont({q}) WITHIN GROUP (ORDER BY e.v)",
        "median(e.v)",
        "stddev(e.v)",
        "var_pop(e.v)",
        "stddev_pop(e.v)",
        "string_agg(e.event, ',' ORDER BY e.ts, e.id)",
        "sum(e.v) FILTER (WHERE e.event = 'buy')",
        "count(DISTINCT e.event) FILTER (WHERE e.v > 10)",
        "array_to_string(array_agg(e.id ORDER BY e.ts DESC, e.id), ',')",
        "bool_and(e.v > 5)",
        "min(e.event)",
        "max(e.ts)",
        "sum(e.v * 1.5)",
        "avg(e.v) FILTER (WHERE false)",
        "first_value(e.event ORDER BY e.ts, e.id)«|»",
        "count(*) - count(e.v)",
        "sum(DISTINCT e.v)",
        "count(DISTINCT CAST(e.ts AS DATE))",
        "string_agg(DISTINCT e.event, '|' ORDER BY e.event)",
        // Without variance it is NULL, as in PostgreSQL; DuckDB says NaN.
        "«corr(e.v, e.id)|nullif(corr(e.v, e.id), 'nan')»",
        "covar_pop(e.v, e.id)",
        "sum(CASE WHEN e.event = 'buy' THEN e.v END)",
        "100.0 * count(*) FILTER (WHERE e.event = 'buy') / count(*)",
        "max(e.v) - min(e.v)",
        "bit_and(e.v)",
        "sum(e.v) «/|//» count(*) > 3",
        "count(e.v) = 0",
    ];
    let pick = |rng: &mut ChaCha8Rng| {
        one(rng, &calls).replace("{q}", share).replace(
            "first_value(e.event ORDER BY e.ts, e.id)«|»",
            "«first_value(e.event ORDER BY e.ts, e.id)|first(e.event ORDER BY e.ts, e.id)»",
        )
    };
    let (first, second) = (pick(rng), pick(rng));
    match rng.random_range(0..8) {
        0 => format!("SELECT e.u AS g, {first} AS v, {second} AS w FROM e GROUP BY 1"),
        1 => format!("SELECT e.u % 3 AS g, e.event AS h, {first} AS v FROM e GROUP BY g, 2"),
        2 => format!("SELECT {first} AS v, {second} AS w FROM e"),
        3 => format!(
            "SELECT {first} AS v FROM e WHERE e.u > 100 {}",
            one(rng, &["", "HAVING count(*) > 0", "HAVING count(*) = 0"])
        ),
        4 => format!("SELECT e.event, {first} AS v FROM e GROUP BY ALL"),
        5 => format!(
            "SELECT e.event, e.u, grouping(e.event) AS a, grouping(e.u) AS b, grouping(e.event, e.u) AS c, {first} AS v FROM e GROUP BY {}",
            one(rng, &["ROLLUP (e.event, e.u)", "CUBE (e.event, e.u)", "GROUPING SETS ((e.event, e.u), (e.u), ())"])
        ),
        6 => format!(
            "SELECT coalesce(e.event, 'all') AS g, {first} AS v, count(*) AS n FROM e GROUP BY ROLLUP (e.event) HAVING count(*) > 3 ORDER BY 1"
        ),
        _ => format!(
            "SELECT e.u, {first} AS v, sum(count(*)) OVER (ORDER BY e.u NULLS FIRST) AS w, rank() OVER (ORDER BY count(*) DESC) AS r FROM e GROUP BY e.u"
        ),
    }
}

fn joined(rng: &mut ChaCha8Rng) -> String {
    let on = one(
        rng,
        &[
            "a.k = c.k",
            "a.k IS NOT DISTINCT FROM c.k",
            "a.k = c.k AND a.u = c.u",
            "a.k = c.k AND a.x < c.x",
            "a.u IS NOT DISTINCT FROM c.u AND a.b = c.b",
            "a.x = c.x OR a.k = c.k",
            "a.k = c.k AND c.b",
            "a.x > c.x + 3",
        ],
    );
    let kind = one(rng, &["JOIN", "LEFT JOIN", "RIGHT JOIN", "FULL JOIN"]);
    let filter = one(
        rng,
        &[
            "",
            " WHERE a.u = c.u",
            " WHERE a.b = c.b AND a.k > 1",
            " WHERE c.id IS NULL",
            " WHERE a.x IS NOT DISTINCT FROM c.x",
            " WHERE a.d = c.d OR a.k = 2",
            " WHERE a.u = c.u AND a.d = c.d",
        ],
    );
    match rng.random_range(0..8) {
        0..=2 => format!("SELECT a.id, c.id AS other FROM t AS a {kind} s AS c ON {on}{filter}"),
        3 => format!("SELECT k, a.id, c.id AS other FROM t AS a {kind} s AS c USING (k)"),
        4 => format!("SELECT k, b, count(*) AS n FROM t {kind} s USING (k, b) GROUP BY k, b"),
        5 => format!("SELECT * FROM (SELECT k, b, x FROM t) AS a NATURAL {kind} (SELECT k, b, u FROM s) AS c"),
        6 => format!(
            "SELECT a.id, c.id AS other, q.id AS third FROM t AS a {kind} s AS c ON {on} LEFT JOIN t AS q ON q.id = c.id AND {}",
            condition(rng, "q")
        ),
        _ => format!("SELECT a.id FROM t AS a LEFT {} JOIN s AS c ON {on}", one(rng, &["SEMI", "ANTI"]))
            .replace("LEFT SEMI", "«LEFT SEMI|SEMI»")
            .replace("LEFT ANTI", "«LEFT ANTI|ANTI»"),
    }
}

fn made(rng: &mut ChaCha8Rng) -> String {
    let n = rng.random_range(0..12);
    match rng.random_range(0..14) {
        0 => format!("WITH RECURSIVE r AS (SELECT 1 AS i, 0 AS j UNION ALL SELECT i + 1, j + i FROM r WHERE i < {n}) SELECT i, j FROM r"),
        1 => format!("WITH RECURSIVE r AS (SELECT 0 AS i UNION SELECT (i + 3) % 7 FROM r) SELECT i FROM r WHERE i < {n}"),
        2 => format!("SELECT g.i, g.i * 2 AS v FROM generate_series(1, {n}) AS g(i)"),
        3 => format!("SELECT CAST(g.d AS DATE) AS d, count(e.id) AS n FROM generate_series(TIMESTAMP '2024-01-01', TIMESTAMP '2024-01-20', INTERVAL '{} day') AS g(d) LEFT JOIN e ON CAST(e.ts AS DATE) = CAST(g.d AS DATE) GROUP BY 1", 1 + n % 3),
        4 => "SELECT unnest([1, NULL, 3]) AS v".to_string(),
        5 => format!("SELECT q.id, q.v FROM (SELECT e.id, unnest([e.v, e.u, {n}]) AS v FROM e) AS q WHERE q.v > 3"),
        6 => format!("SELECT v.a, v.b FROM (VALUES (1, 'x'), (2, NULL), (NULL, 'z'), ({n}, '')) AS v(a, b) ORDER BY v.a DESC NULLS LAST, v.b LIMIT 3"),
        7 => format!("WITH a AS (SELECT * FROM e WHERE v > {n}), b AS (WITH c AS (SELECT u, count(*) AS n FROM a GROUP BY u) SELECT * FROM c WHERE n > 1) SELECT a.id, b.n FROM a JOIN b ON a.u = b.u"),
        8 => format!("SELECT u FROM e WHERE v > {n} {} {} SELECT u FROM e WHERE event = 'buy'", one(rng, &["UNION", "INTERSECT", "EXCEPT"]), one(rng, &["", "ALL"])),
        9 => "SELECT e.id FROM e WHERE (e.u, e.event) IN (SELECT q.u, q.event FROM e AS q WHERE q.v > 40)".to_string(),
        10 => format!("SELECT count(DISTINCT («e.u, e.event|e.u, e.event»)) AS n FROM e WHERE v > {n}"),
        11 => format!("SELECT e.id, e.v FROM e QUALIFY {} <= {}", one(rng, &["rank() OVER (ORDER BY e.v DESC NULLS LAST)", "row_number() OVER (PARTITION BY e.u ORDER BY e.ts, e.id)", "count(*) OVER (PARTITION BY e.event)", "e.v - lag(e.v) OVER (ORDER BY e.id)"]), 1 + n),
        12 => format!("SELECT q.event, q.s FROM (SELECT event, sum(v) AS s FROM e GROUP BY event ORDER BY s DESC LIMIT 2) AS q UNION ALL SELECT 'total', sum(v) FROM e WHERE v <> {n}"),
        _ => format!("SELECT e.id, sum(e.v) OVER w AS a, avg(e.v) OVER (w ROWS BETWEEN {} PRECEDING AND CURRENT ROW) AS b FROM e WINDOW w AS (PARTITION BY e.u ORDER BY e.ts, e.id)", n % 4).replace("sum(e.v) OVER w AS a, ", ""),
    }
}

/// One statement of these kinds.
pub fn statement(rng: &mut ChaCha8Rng) -> String {
    match rng.random_range(0..16) {
        0 | 1 => format!("SELECT w.id, {} AS v, {} AS x FROM w", text(rng), text(rng)),
        2 => format!("SELECT w.id, {} AS v, {} AS x FROM w", casted(rng), casted(rng)),
        3 | 4 => format!("SELECT w.id, {} AS v, {} AS x FROM w", arithmetic(rng), arithmetic(rng)),
        5 => format!("SELECT e.id, {} AS v, {} AS x FROM e", moment(rng), moment(rng)),
        6..=9 => subquery(rng),
        10 | 11 => grouped(rng),
        12 | 13 => joined(rng),
        _ => made(rng),
    }
}
