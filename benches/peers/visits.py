"""What happens inside sessions, in each engine's own SQL: the first steps of every session, and its pages.

Deals with: formulations and reading their rows. Does not deal with: running them (`run.py`, `worker.py`).

A session ends where the next event comes more than 30 minutes later. Events at the same time are ordered by name (of the
page, for pages). Answers: `paths` {(None, step, source, target): (events, users)}, `pages` {(None, page): (views, users,
entries, exits)}.
"""

GAP_US = 30 * 60 * 1_000_000
DEPTH = 3


def sql(engine, kind, table):
    """The statement."""
    if engine.startswith("tenure"):
        return {"paths": f"SELECT step, source, target, events, users FROM paths({table}, depth => {DEPTH}, top => 1000)",
                "pages": f"SELECT page, views, users, entries, exits FROM pages({table}, page => page)"}[kind]
    return (clickhouse if engine.startswith("clickhouse") else duckdb)(kind, table)


def clickhouse(kind, table):
    # One sorted array of (time, name) a user, split where the difference is too long; then each session's own rows.
    name = {"paths": "event", "pages": "page"}[kind]
    sessions = f"""SELECT user_id, arraySort(groupArray((toUnixTimestamp64Micro(ts), toString({name})))) AS xs,
    arraySplit((x, d) -> d > {GAP_US}, xs, arrayDifference(xs.1)) AS ss FROM {table} GROUP BY user_id"""
    if kind == "pages":
        return f"""SELECT s[i].2 AS page, count(), uniqExact(user_id), countIf(i = 1), countIf(i = length(s))
FROM ({sessions}) ARRAY JOIN ss AS s ARRAY JOIN arrayEnumerate(s) AS i GROUP BY page"""
    return f"""SELECT k, if(k = 1, '(start)', s[k - 1].2) AS source, if(k > length(s), '(end)', s[k].2) AS target,
  count(), uniqExact(user_id)
FROM ({sessions}) ARRAY JOIN ss AS s ARRAY JOIN range(1, least({DEPTH}, length(s) + 1) + 1) AS k
GROUP BY k, source, target"""


def duckdb(kind, table):
    # A running count of long gaps numbers the sessions of a user; an ENUM would be ordered by its position.
    name = {"paths": "event", "pages": "page"}[kind]
    rows = f"""g AS (SELECT user_id, ts, {name}::VARCHAR AS name,
    (epoch_us(ts) - lag(epoch_us(ts), 1, epoch_us(ts)) OVER (PARTITION BY user_id ORDER BY ts) > {GAP_US})::INT AS cut
    FROM {table}),
  n AS (SELECT user_id, ts, name, sum(cut) OVER (PARTITION BY user_id ORDER BY ts ROWS UNBOUNDED PRECEDING) AS n FROM g),
  r AS (SELECT user_id, name, row_number() OVER w AS k, lead(name) OVER w AS next FROM n
    WINDOW w AS (PARTITION BY user_id, n ORDER BY ts, name))"""
    if kind == "pages":
        return f"""WITH {rows} SELECT name, count(*), count(DISTINCT user_id), count(*) FILTER (k = 1),
  count(*) FILTER (next IS NULL) FROM r GROUP BY name"""
    return f"""WITH {rows} SELECT step, source, target, count(*), count(DISTINCT user_id) FROM (
  SELECT 1 AS step, '(start)' AS source, name AS target, user_id FROM r WHERE k = 1
  UNION ALL SELECT k + 1, name, coalesce(next, '(end)'), user_id FROM r WHERE k < {DEPTH}) GROUP BY ALL"""


def answer(engine, kind, rows):
    """The rows as the engine gives them, as an answer."""
    keys = {"paths": ("step", "source", "target"), "pages": ("page",)}[kind]
    values = {"paths": ("events", "users"), "pages": ("views", "users", "entries", "exits")}[kind]
    if engine.startswith("tenure"):
        rows = [[r[c] for c in keys + values] for r in rows]
    return {(None, *row[:len(keys)]): tuple(int(v) for v in row[len(keys):]) for row in rows}
