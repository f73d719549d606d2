"""The questions, in each engine's own SQL, and how to read each engine's rows into one answer.

Deals with: formulations. Does not deal with: running or timing them (`run.py`, `worker.py`).

An answer is a dict. Funnel: {(property, step): users}. Retention: {(property, cohort, period): (size, retained)},
where cohort is a date and property is None where the question has none. Time is compared in microseconds everywhere:
`toDateTime(ts)` would be shorter in ClickHouse, but truncates to seconds and then gives other answers at the window's edge.
"""

from datetime import date, timedelta

import sequences

STEPS = ("view_item", "add_to_cart", "purchase")
WINDOW_DAYS = 7
WINDOW_US = WINDOW_DAYS * 86_400_000_000
PROPERTY = "country"
NAMES = ", ".join(f"'{s}'" for s in STEPS)
# ClickHouse: a declared structure avoids Nullable columns, which inference would choose for every Parquet column.
STRUCTURE = "user_id Int64, ts DateTime64(6, \\'UTC\\'), event String, country String"
MERGE_TREE = "bench.events"
EPOCH = date(1970, 1, 1)

QUESTIONS = {
    "funnel": dict(kind="funnel", by=False),
    "funnel_by_country": dict(kind="funnel", by=True),
    "retention_daily": dict(kind="retention", by=False, unit="day", periods=30),
    "retention_weekly_by_country": dict(kind="retention", by=True, unit="week", periods=12),
    "sequence": dict(kind="sequence", by=False),
}


def source(engine, parquet):
    """What stands in FROM."""
    return {
        "clickhouse_parquet": f"file('{parquet}', Parquet, '{STRUCTURE}')",
        "clickhouse_mergetree": MERGE_TREE,
        "duckdb_parquet": f"read_parquet('{parquet}')",
        "duckdb_table": "events",
        "tenure": "events",
    }[engine]


def sql(engine, question, parquet, constant):
    """The statement, or None where the engine has no formulation that means the same.

    `constant`: no user has two values of the property, so any of the user's rows tells it.
    """
    q, table = QUESTIONS[question], source(engine, parquet)
    if q["kind"] == "sequence":
        return sequences.sql(engine, table)
    if engine == "tenure":
        return tenure(q, table)
    if engine.startswith("clickhouse"):
        return (clickhouse_funnel if q["kind"] == "funnel" else clickhouse_retention)(q, table, constant)
    return (duckdb_funnel if q["kind"] == "funnel" else duckdb_retention)(q, table, constant)


def tenure(q, table):
    by = f", by => {PROPERTY}" if q["by"] else ""
    if q["kind"] == "funnel":
        return f"SELECT * FROM funnel({table}, steps => [{NAMES}], within => INTERVAL '{WINDOW_DAYS} days'{by})"
    return f"SELECT * FROM retention({table}, unit => '{q['unit']}', periods => {q['periods']}{by})"


def clickhouse_funnel(q, table, constant):
    if q["by"] and not constant:
        return None  # windowFunnel tells the level only, not the row that served step 1
    prop = f"any({PROPERTY}) AS prop, " if q["by"] else ""
    out = "prop, " if q["by"] else ""
    return f"""SELECT {out}level, count() FROM (
  SELECT {prop}{clickhouse_level()} AS level FROM {table} WHERE event IN ({NAMES}) GROUP BY user_id)
GROUP BY {out}level"""


def clickhouse_level():
    conditions = ", ".join(f"event = '{s}'" for s in STEPS)
    return f"windowFunnel({WINDOW_US})(toUInt64(toUnixTimestamp64Micro(ts)), {conditions})"


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
    """Exact: for a cart the latest view at or before it gives the latest start of a chain of two. Later carts never have
    an earlier such start, so for a purchase the latest cart that is itself inside the window gives the latest start of a
    chain of three. ASOF joins find both."""
    prop = f", {PROPERTY} AS prop" if q["by"] else ""
    p, vp = (", prop", ", v.prop") if q["by"] else ("", "")
    cp = ", c.prop" if q["by"] else ""
    within = f"INTERVAL {WINDOW_DAYS} DAY"
    return f"""e AS MATERIALIZED (SELECT user_id, ts, event{prop} FROM {table} WHERE event IN ({NAMES})),
  v AS (SELECT user_id, ts{p} FROM e WHERE event = '{STEPS[0]}'),
  c AS (SELECT c.user_id, c.ts, v.ts AS start{vp} FROM (SELECT user_id, ts FROM e WHERE event = '{STEPS[1]}') c
        ASOF JOIN v ON c.user_id = v.user_id AND c.ts >= v.ts WHERE c.ts <= v.ts + {within}),
  p AS (SELECT p.user_id, p.ts{cp} FROM (SELECT user_id, ts FROM e WHERE event = '{STEPS[2]}') p
        ASOF JOIN c ON p.user_id = c.user_id AND p.ts >= c.ts WHERE p.ts <= c.start + {within})"""


def duckdb_funnel(q, table, constant):
    chains = duckdb_chains(q, table)
    if not q["by"]:
        return f"""WITH {chains}
SELECT 1, count(DISTINCT user_id) FROM v UNION ALL SELECT 2, count(DISTINCT user_id) FROM c
UNION ALL SELECT 3, count(DISTINCT user_id) FROM p"""
    if constant:
        one = "SELECT prop, {}, count(DISTINCT user_id) FROM {} GROUP BY prop"
        return f"WITH {chains}\n" + "\nUNION ALL ".join(one.format(i + 1, t) for i, t in enumerate("vcp"))
    # The property at step 1 of the canonical chain: longest, then earliest completion, then latest start.
    return f"""WITH {chains},
  u AS (SELECT user_id, max(step) AS level, arg_max(prop, step) AS prop FROM (
    SELECT user_id, 1 AS step, arg_min(prop, (ts, prop)) AS prop FROM v GROUP BY user_id
    UNION ALL SELECT user_id, 2, arg_min(prop, (ts, prop)) FROM c GROUP BY user_id
    UNION ALL SELECT user_id, 3, arg_min(prop, (ts, prop)) FROM p GROUP BY user_id) GROUP BY user_id)
SELECT prop, step, count(*) FROM u, range(1, 4) r(step) WHERE step <= level GROUP BY ALL"""


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


def answer(engine, question, rows):
    """The rows as the engine gives them, as an answer."""
    q = QUESTIONS[question]
    if q["kind"] == "sequence":
        return sequences.answer(engine, rows)
    if engine == "tenure":
        return tenure_answer(q, rows)
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
    return {(prop(r), date.fromisoformat(r["cohort"][:10]), r["period"]): (r["size"], r["retained"]) for r in rows}


def complete_cells(question, rows, as_of_us):
    """Cells of tenure's answer whose `complete` is not what the largest time in the data says: the period has ended."""
    q, wrong = QUESTIONS[question], []
    length = 1 if q["unit"] == "day" else 7
    for r in rows:
        end = (date.fromisoformat(r["cohort"][:10]) - EPOCH).days + (r["period"] + 1) * length
        if r["complete"] != (end * 86_400_000_000 <= as_of_us):
            wrong.append((r["cohort"], r["period"], r["complete"]))
    return wrong


def without_zeros(found, question):
    """Funnel rows with no users are left out by some engines."""
    return {k: v for k, v in found.items() if v} if QUESTIONS[question]["kind"] == "funnel" else found
