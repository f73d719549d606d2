"""Transitions between successive events within sessions, in each engine's own SQL.

Deals with: formulations and reading their rows. Does not deal with: running them (`run.py`, `worker.py`).

A session ends where the next event comes more than 30 minutes later. Events at the same time are ordered by name. An answer
is {(None, source, target): (events, users, median)}, the median in half microseconds, which are whole numbers.
"""

GAP_US = 30 * 60 * 1_000_000


def sql(engine, table):
    """The statement: source, target, events, users, median."""
    if engine == "tenure":
        return (f"SELECT source, target, events, users, median_seconds FROM transitions({table}) "
                "WHERE source <> '(start)' AND target <> '(end)'")
    if engine.startswith("clickhouse"):
        # A sorted array a user, and its neighbours side by side; window functions were slower and took more memory.
        return f"""SELECT source, target, sum(n), count(), quantileExactInclusiveArray(0.5)(times) FROM (
  SELECT user_id, p.1.2 AS source, p.2.2 AS target, count() AS n, groupArray(toInt64(p.2.1 - p.1.1)) AS times FROM (
    SELECT user_id, arraySort(groupArray((toUnixTimestamp64Micro(ts), toString(event)))) AS e,
      arrayJoin(arrayZip(arrayPopBack(e), arrayPopFront(e))) AS p
    FROM {table} GROUP BY user_id)
  WHERE p.2.1 - p.1.1 <= {GAP_US} GROUP BY user_id, source, target)
GROUP BY source, target"""
    # An ENUM would be ordered by its position: events at the same time are ordered by name.
    return f"""WITH e AS (SELECT user_id, ts, event, lead(event) OVER w AS target, lead(ts) OVER w AS next FROM {table}
    WINDOW w AS (PARTITION BY user_id ORDER BY ts, event::VARCHAR))
SELECT event, target, count(*), count(DISTINCT user_id), median(epoch_us(next) - epoch_us(ts))
FROM e WHERE epoch_us(next) - epoch_us(ts) <= {GAP_US} GROUP BY ALL"""


def answer(engine, rows):
    """The rows as the engine gives them, as an answer."""
    if engine == "tenure":
        return {(None, r["source"], r["target"]): (r["events"], r["users"], round(r["median_seconds"] * 2e6))
                for r in rows}
    return {(None, source, target): (int(events), int(users), round(float(median) * 2))
            for source, target, events, users, median in rows}
