"""The questions, in each engine's own SQL, and how to read each engine's rows into one answer.

Deals with: formulations. Does not deal with: running or timing them (`run.py`, `worker.py`).

An answer is a dict. Funnel: {(property, step): users}. Retention: {(property, cohort, period): (size, retained)},
where cohort is a date and property is None where the question has none. Sessions: {(measure,): whole number}. Attribution:
{(channel,): credit}. The others: see their files. Time is compared in microseconds everywhere:
`toDateTime(ts)` would be shorter in ClickHouse, but truncates to seconds and then gives other answers at the window's edge.
"""

from datetime import date, timedelta

import lifecycles
import populations
import purchases
import sequences
import transitions
import visits

STEPS = ("view_item", "add_to_cart", "purchase")
WINDOW_DAYS = 7
WINDOW_US = WINDOW_DAYS * 86_400_000_000
# The way of a whole visit, and of what may follow it: no event fits two of its steps.
EIGHT_STEPS = ("login", "page_view", "search", "view_item", "add_to_cart", "begin_checkout", "purchase", "support_ticket")
PROPERTY = "country"
# What may lead up to a purchase, and how long before.
TOUCHES = "'page_view', 'search', 'share'"
LOOKBACK_DAYS = 7
LOOKBACK_US = LOOKBACK_DAYS * 86_400_000_000
NAMES = ", ".join(f"'{s}'" for s in STEPS)
# ClickHouse: a declared structure avoids Nullable columns, which inference would choose for every Parquet column.
STRUCTURE = "user_id Int64, ts DateTime64(6, \\'UTC\\'), event String, country String, page String, price Float64"
MERGE_TREE = "bench.events"
EPOCH = date(1970, 1, 1)

# Questions with a file of their own.
FILES = {"transitions": transitions, "sequence": sequences, "lifecycle": lifecycles, "rfm": purchases}
POPULATIONS = ("recurring", "engagement", "stickiness", "inactive", "revenue", "intervals", "pareto")
THREE = dict(kind="funnel", steps=STEPS, days=WINDOW_DAYS)

QUESTIONS = {
    "funnel": dict(THREE, by=False),
    "funnel_windows": dict(THREE, by=False, windows=True),
    "funnel_by_country": dict(THREE, by=True),
    "funnel_8_by_country": dict(kind="funnel", by=True, steps=EIGHT_STEPS, days=30, nearly_all=True),
    "retention_daily": dict(kind="retention", by=False, unit="day", periods=30),
    "retention_weekly_by_country": dict(kind="retention", by=True, unit="week", periods=12),
    "session_summary": dict(kind="sessions", by=False),
    "transitions": dict(kind="transitions", by=False),
    "paths": dict(kind="paths", by=False),
    "pages": dict(kind="pages", by=False),
    "attribution_last": dict(kind="attribution", by=False, model="last"),
    "attribution_linear": dict(kind="attribution", by=False, model="linear"),
    "sequence": dict(kind="sequence", by=False),
    "lifecycle_weekly": dict(kind="lifecycle", by=False),
    "rfm_base": dict(kind="rfm", by=False),
    "recurring_monthly": dict(kind="recurring", by=False),
    "engagement_daily": dict(kind="engagement", by=False),
    "stickiness_30_days": dict(kind="stickiness", by=False),
    "revenue_retention": dict(kind="revenue", by=False),
    "intervals_of_views": dict(kind="intervals", by=False),
    "pareto_of_customers": dict(kind="pareto", by=False),
    "lifecycle_inactive": dict(kind="inactive", by=False),
}
GAP_US = 30 * 60_000_000
# What a session summary is compared by: whole numbers, durations in microseconds.
MEASURES = ("sessions", "users", "bounces", "total_us", "median_us", "events", "converted")


def is_tenure(engine):
    return engine.startswith("tenure")


def source(engine, parquet):
    """What stands in FROM."""
    return {
        "clickhouse_parquet": f"file('{parquet}', Parquet, '{STRUCTURE}')",
        "clickhouse_mergetree": MERGE_TREE,
        "duckdb_parquet": f"read_parquet('{parquet}')",
        "duckdb_table": "events",
        "tenure": "events",
        "tenure_ordered": "events",
        "tenure_store": "events",
    }[engine]


def sql(engine, question, parquet, constant):
    """The statement, or None where the engine has no formulation that means the same.

    `constant`: no user has two values of the property, so any of the user's rows tells it.
    """
    q, table = QUESTIONS[question], source(engine, parquet)
    if q["kind"] in FILES:
        return FILES[q["kind"]].sql(engine, table)
    if q["kind"] in POPULATIONS:
        return populations.sql(engine, q["kind"], table)
    if q["kind"] in ("paths", "pages"):
        return visits.sql(engine, q["kind"], table)
    if is_tenure(engine):
        return tenure(q, table)
    if q["kind"] == "sessions":
        return (clickhouse_sessions if engine.startswith("clickhouse") else duckdb_sessions)(table)
    if q["kind"] == "attribution":
        return (clickhouse_attribution if engine.startswith("clickhouse") else duckdb_attribution)(q, table)
    if q.get("windows"):
        return duckdb_windows(table) if engine.startswith("duckdb") else None
    if engine.startswith("clickhouse"):
        return (clickhouse_funnel if q["kind"] == "funnel" else clickhouse_retention)(q, table, constant)
    return (duckdb_funnel if q["kind"] == "funnel" else duckdb_retention)(q, table, constant)


def names(q):
    """The steps of a funnel as a list of SQL."""
    return ", ".join(f"'{step}'" for step in q["steps"])


def tenure(q, table):
    by = f", by => {PROPERTY}" if q["by"] else ""
    if q["kind"] == "funnel":
        return f"SELECT * FROM funnel({table}, steps => [{names(q)}], within => INTERVAL '{q['days']} days'{by})"
    if q["kind"] == "sessions":
        return f"SELECT * FROM session_summary({table}, gap => INTERVAL '30 minutes', conversion => '{STEPS[-1]}')"
    if q["kind"] == "attribution":
        return (f"SELECT * FROM attribution({table}, conversion => 'purchase', touch => event IN ({TOUCHES}), "
                f"channel => event, model => '{q['model']}', lookback => INTERVAL '{LOOKBACK_DAYS} days')")
    return f"SELECT * FROM retention({table}, unit => '{q['unit']}', periods => {q['periods']}{by})"


def clickhouse_funnel(q, table, constant):
    if q["by"] and not constant:
        return None  # windowFunnel tells the level only, not the row that served step 1
    prop = f"any({PROPERTY}) AS prop, " if q["by"] else ""
    out = "prop, " if q["by"] else ""
    # Where nearly all rows fit a step, leaving the others out costs more than it saves.
    where = "" if q.get("nearly_all") else f" WHERE event IN ({names(q)})"
    return f"""SELECT {out}level, count() FROM (
  SELECT {prop}{clickhouse_level(q)} AS level FROM {table}{where} GROUP BY user_id)
GROUP BY {out}level"""


def clickhouse_level(q):
    conditions = ", ".join(f"event = '{s}'" for s in q["steps"])
    return f"windowFunnel({q['days'] * 86_400_000_000})(toUInt64(toUnixTimestamp64Micro(ts)), {conditions})"


def clickhouse_retention(q, table, constant):
    # Periods as small integers in one array a user; a bit mask of the periods since birth; sums position by position.
    # Day 0 is a Thursday, so (day + 3) div 7 is a week that starts on Monday.
    bucket = "toUInt16(toDate(ts))" if q["unit"] == "day" else "toUInt16(intDiv(toUInt16(toDate(ts)) + 3, 7))"
    prop = (f"any({PROPERTY})" if constant else f"argMin({PROPERTY}, (ts, {PROPERTY}))") + " AS prop, " if q["by"] else ""
    out = "prop, " if q["by"] else ""
    n = q["periods"]
    return f"""SELECT {out}birth, count(), sumForEach(arrayMap(n -> if(n = 0, again, bitTest(mask, n)), range({n + 1}))) FROM (
  SELECT {prop}groupArray({bucket}) AS b, arrayMin(b) AS birth, countEqual(b, birth) > 1 AS again,
    arrayReduce('groupBitOr', arrayMap(x -> if(x - birth <= {n}, bitShiftLeft(toUInt64(1), x - birth), 0), b)) AS mask
  FROM {table} GROUP BY user_id)
GROUP BY {out}birth"""


def duckdb_chains(q, table):
    """Exact: t1, t2, .. hold the events that end a chain of so many steps, each with the latest start of such a chain.

    For an event of step 2 the latest event of step 1 at or before it is the latest start. Later events of a step never have
    an earlier latest start, so for an event of the next step the latest one in the table before, itself inside the window,
    gives the latest start again. ASOF joins find it; events at the same time have the same start, so any of them will do.
    """
    prop, carried = (f", {PROPERTY} AS prop", ", prop") if q["by"] else ("", "")
    mine = ", a.prop" if q["by"] else ""
    within = f"INTERVAL {q['days']} DAY"
    tables = [f"""e AS MATERIALIZED (SELECT user_id, ts, event{prop} FROM {table} WHERE event IN ({names(q)}))""",
              f"""t1 AS (SELECT user_id, ts, ts AS start{carried} FROM e WHERE event = '{q["steps"][0]}')"""]
    for n, step in enumerate(q["steps"][1:], 2):
        tables.append(f"""t{n} AS (SELECT b.user_id, b.ts, a.start{mine} FROM (SELECT user_id, ts FROM e WHERE event = '{step}') b
        ASOF JOIN t{n - 1} a ON b.user_id = a.user_id AND b.ts >= a.ts WHERE b.ts <= a.start + {within})""")
    return ",\n  ".join(tables)


def duckdb_funnel(q, table, constant):
    chains, steps = duckdb_chains(q, table), range(1, len(q["steps"]) + 1)
    if not q["by"]:
        return f"WITH {chains}\n" + "\nUNION ALL ".join(f"SELECT {n}, count(DISTINCT user_id) FROM t{n}" for n in steps)
    if constant:
        return f"WITH {chains}\n" + "\nUNION ALL ".join(
            f"SELECT prop, {n}, count(DISTINCT user_id) FROM t{n} GROUP BY prop" for n in steps)
    # The property at step 1 of the canonical chain: longest, then earliest completion, then latest start.
    ends = "\n    UNION ALL ".join(
        f"SELECT user_id, {n} AS step, arg_min(prop, (ts, prop)) AS prop FROM t{n} GROUP BY user_id" for n in steps)
    return f"""WITH {chains},
  u AS (SELECT user_id, max(step) AS level, arg_max(prop, step) AS prop FROM (
    {ends}) GROUP BY user_id)
SELECT prop, step, count(*) FROM u, range(1, {len(q["steps"]) + 1}) r(step) WHERE step <= level GROUP BY ALL"""


def duckdb_windows(table):
    """The funnel as most people write it, and as it has to be written where there are no ASOF joins: for each row the
    latest start of a chain that ends before it. Ties are peers of a frame, so the order of tied rows plays no part."""
    within, over = f"INTERVAL {WINDOW_DAYS} DAY", "OVER (PARTITION BY user_id ORDER BY ts)"
    return f"""WITH e AS (SELECT user_id, ts, event FROM {table} WHERE event IN ({NAMES})),
  a AS (SELECT *, max(CASE WHEN event = '{STEPS[0]}' THEN ts END) {over} AS t1 FROM e),
  b AS (SELECT *, max(CASE WHEN event = '{STEPS[1]}' AND ts - t1 <= {within} THEN t1 END) {over} AS t2 FROM a),
  n AS (SELECT count(DISTINCT user_id) FILTER (event = '{STEPS[0]}') AS n1,
    count(DISTINCT user_id) FILTER (event = '{STEPS[1]}' AND ts - t1 <= {within}) AS n2,
    count(DISTINCT user_id) FILTER (event = '{STEPS[2]}' AND ts - t2 <= {within}) AS n3 FROM b)
SELECT 1, n1 FROM n UNION ALL SELECT 2, n2 FROM n UNION ALL SELECT 3, n3 FROM n"""


def duckdb_retention(q, table, constant):
    # One row for a user and period first, then two small aggregations; measured faster than lists or window functions.
    day = "(epoch_us(ts) // 86400000000)"
    bucket = f"{day}::INT" if q["unit"] == "day" else f"(({day} + 3) // 7)::INT"
    first = f"any_value({PROPERTY})" if constant else f"min(struct_pack(t := ts, p := {PROPERTY})).p"
    prop, pick, out = (f", {first} AS prop", ", arg_min(prop, b) AS prop", "prop, ") if q["by"] else ("", "", "")
    born = "b.prop, " if q["by"] else ""
    return f"""WITH x AS MATERIALIZED (SELECT user_id, {bucket} AS b, count(*) AS events{prop} FROM {table} GROUP BY 1, 2),
  b AS (SELECT user_id, min(b) AS birth{pick} FROM x GROUP BY 1)
SELECT {born}birth, x.b - birth AS n, count(*), count(*) FILTER (x.b > birth OR events > 1)
FROM x JOIN b USING (user_id) WHERE x.b - birth <= {q['periods']} GROUP BY ALL"""


def clickhouse_sessions(table):
    # One sorted array of (time, converted) a user, split where the difference is too long.
    return f"""SELECT count(), uniqExact(user_id), countIf(length(s) = 1), sum(s[-1].1 - s[1].1),
  toInt64(quantileExactInclusive(0.5)(s[-1].1 - s[1].1)), sum(length(s)), countIf(arrayExists(x -> x.2, s))
FROM (SELECT user_id, arraySort(groupArray((toUnixTimestamp64Micro(ts), event = '{STEPS[-1]}'))) AS xs,
  arraySplit((x, d) -> d > {GAP_US}, xs, arrayDifference(xs.1)) AS ss FROM {table} GROUP BY user_id)
ARRAY JOIN ss AS s"""


def duckdb_sessions(table):
    # A running count of long gaps numbers the sessions of a user; both windows share one sort. The first event has no gap,
    # and must not have a NULL either: it would be a session of its own.
    return f"""WITH g AS (SELECT user_id, ts, epoch_us(ts) AS t, event = '{STEPS[-1]}' AS converted,
    (epoch_us(ts) - lag(epoch_us(ts), 1, epoch_us(ts)) OVER (PARTITION BY user_id ORDER BY ts) > {GAP_US})::INT AS cut
    FROM {table}),
  n AS (SELECT user_id, ts, t, converted,
    sum(cut) OVER (PARTITION BY user_id ORDER BY ts ROWS UNBOUNDED PRECEDING) AS n FROM g),
  s AS (SELECT user_id, count(*) AS events, max(t) - min(t) AS d, bool_or(converted) AS converted FROM n GROUP BY user_id, n)
SELECT count(*), count(DISTINCT user_id), count(*) FILTER (events = 1), sum(d), quantile_cont(d, 0.5)::BIGINT, sum(events),
  count(*) FILTER (converted) FROM s"""


def clickhouse_attribution(q, table):
    # Touches of a user in one sorted array, ties by name; each purchase finds its own by time.
    lists = f"""SELECT arraySort(groupArrayIf((toUnixTimestamp64Micro(ts), event), event IN ({TOUCHES}))) AS t,
    groupArrayIf(toUnixTimestamp64Micro(ts), event = 'purchase') AS p
  FROM {table} WHERE event IN ({TOUCHES}, 'purchase') GROUP BY user_id HAVING notEmpty(p)"""
    mine = f"arrayFilter(x -> x.1 <= at AND x.1 >= at - {LOOKBACK_US}, t)"
    if q["model"] == "last":
        # One walk of the array for each purchase, without copies.
        last = f"arrayLast(x -> x.1 <= at AND x.1 >= at - {LOOKBACK_US}, t).2"
        return f"""SELECT if({last} = '', '(direct)', {last}) AS channel, count() FROM (
  {lists}) ARRAY JOIN p AS at GROUP BY channel"""
    return f"""SELECT channel, sum(1 / length(mine)) FROM (
  SELECT if(empty(found), ['(direct)'], found) AS mine FROM (
    SELECT arrayMap(x -> x.2, {mine}) AS found FROM ({lists}) ARRAY JOIN p AS at))
ARRAY JOIN mine AS channel GROUP BY channel"""


def duckdb_attribution(q, table):
    within = f"INTERVAL {LOOKBACK_DAYS} DAY"
    if q["model"] == "last":
        # Of tied touches the last by name; the latest touch at or before a purchase is in the lookback or none is.
        return f"""WITH t AS (SELECT user_id, ts, max(event::VARCHAR) AS channel FROM {table} WHERE event IN ({TOUCHES}) GROUP BY 1, 2),
  p AS (SELECT user_id, ts FROM {table} WHERE event = 'purchase')
SELECT CASE WHEN t.ts >= p.ts - {within} THEN channel ELSE '(direct)' END AS c, count(*)
FROM p ASOF LEFT JOIN t ON p.user_id = t.user_id AND p.ts >= t.ts GROUP BY c"""
    # Purchases are few: each meets its user's touches in a join, and is divided by how many it met.
    return f"""WITH p AS (SELECT row_number() OVER () AS id, user_id, ts FROM {table} WHERE event = 'purchase'),
  m AS (SELECT p.id, t.event::VARCHAR AS channel, count(*) AS touches FROM p JOIN {table} t
        ON t.user_id = p.user_id AND t.event IN ({TOUCHES}) AND t.ts BETWEEN p.ts - {within} AND p.ts GROUP BY 1, 2),
  s AS (SELECT id, sum(touches) AS touches FROM m GROUP BY id)
SELECT channel, sum(m.touches / s.touches) FROM m JOIN s USING (id) GROUP BY channel
UNION ALL SELECT '(direct)', count(*) FROM p WHERE id NOT IN (SELECT id FROM s) HAVING count(*) > 0"""


def answer(engine, question, rows):
    """The rows as the engine gives them, as an answer."""
    q = QUESTIONS[question]
    if engine == "floor":
        return {(None, step): int(users) for step, users in enumerate(rows, 1)}
    if q["kind"] in FILES:
        return FILES[q["kind"]].answer(engine, rows)
    if q["kind"] in POPULATIONS:
        return populations.answer(engine, q["kind"], rows)
    if q["kind"] in ("paths", "pages"):
        return visits.answer(engine, q["kind"], rows)
    if is_tenure(engine):
        return tenure_answer(q, rows)
    if q["kind"] == "sessions":
        return {(measure,): int(value) for measure, value in zip(MEASURES, rows[0])}
    if q["kind"] == "attribution":
        return {(channel,): float(credit) for channel, credit in rows}
    rows = [tuple(r) if q["by"] else (None, *r) for r in rows]
    if q["kind"] == "funnel":
        if engine.startswith("duckdb"):
            return {(p, int(step)): int(users) for p, step, users in rows}
        found = {}
        for p, level, users in rows:
            for step in range(1, int(level) + 1):
                found[p, step] = found.get((p, step), 0) + int(users)
        return found
    if engine.startswith("clickhouse"):
        return {(p, cohort(q, b), n): (int(size), int(r)) for p, b, size, rs in rows for n, r in enumerate(rs)}
    sizes = {(p, b): active for p, b, n, active, _ in rows if n == 0}
    seen = {(p, b, n): retained for p, b, n, _, retained in rows}
    return {(p, cohort(q, b), n): (size, seen.get((p, b, n), 0))
            for (p, b), size in sizes.items() for n in range(q["periods"] + 1)}


def cohort(q, bucket):
    return EPOCH + timedelta(days=int(bucket) if q["unit"] == "day" else int(bucket) * 7 - 3)


def tenure_answer(q, rows):
    prop = (lambda r: r[PROPERTY]) if q["by"] else (lambda r: None)
    if q["kind"] == "funnel":
        return {(prop(r), r["step"]): r["users"] for r in rows}
    if q["kind"] == "sessions":
        r, n = rows[0], rows[0]["sessions"]
        values = (n, r["users"], r["bounce_rate"] * n, r["mean_seconds"] * n * 1e6, r["median_seconds"] * 1e6,
                  r["events_per_session"] * n, r["conversion"] * n)
        return {(measure,): round(value) for measure, value in zip(MEASURES, values)}
    if q["kind"] == "attribution":
        return {(r["channel"],): float(r["credit"]) for r in rows if r["credit"]}
    return {(prop(r), date.fromisoformat(r["cohort"][:10]), r["period"]): (r["size"], r["retained"]) for r in rows}


def complete_cells(question, rows, as_of_us):
    """Rows of tenure's answer whose `complete` is not what the largest time in the data says: the period has ended."""
    q, wrong = QUESTIONS[question], []
    for r in rows:
        if q["kind"] == "lifecycle":
            begin, periods, length = r["period"], 1, 7
        else:
            begin, periods, length = r["cohort"], r["period"] + 1, 1 if q["unit"] == "day" else 7
        end = (date.fromisoformat(begin[:10]) - EPOCH).days + periods * length
        if r["complete"] != (end * 86_400_000_000 <= as_of_us):
            wrong.append((begin, r["period"], r["complete"]))
    return wrong


def without_zeros(found, question):
    """Funnel rows with no users are left out by some engines."""
    return {k: v for k, v in found.items() if v} if QUESTIONS[question]["kind"] == "funnel" else found
