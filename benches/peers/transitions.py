"""Transitions between successive events within sessions, in each engine's own SQL.

Deals with: formulations and reading their rows. Does not deal with: running them (`run.py`, `worker.py`).

A session ends where the next event comes more than 30 minutes later. Events at the same time are ordered by name. An answer
is {(None, source, target): (events, users, median)}, the median in half microseconds, which are whole numbers.
"""

GAP_US = 30 * 60 * 1_000_000


def sql(engine, table):
    """The statement: source, target, events, users, median."""
    if engine.startswith("tenure"):
        return (f"SELECT source, target, events, users, median_seconds FROM transitions({table}) "
                "WHERE source <> '(start)' AND target <> '(end)'")
    if engine.startswith("clickhouse"):
        return f"""SELECT event, target, count(), uniqExact(user_id), quantileExactInclusive(0.5)(us) FROM (
  SELECT user_id, event, leadInFrame(event) OVER w AS target, leadInFrame(1) OVER w AS goes_on,
    leadInFrame(toUnixTimestamp64Micro(ts)) OVER w - toUnixTimestamp64Micro(ts) AS us
  FROM {table}
  WINDOW w AS (PARTITION BY user_id ORDER BY ts, toString(event) ROWS BETWEEN CURRENT ROW AND UNBOUNDED FOLLOWING))
WHERE goes_on = 1 AND us <= {GAP_US} GROUP BY event, target"""
    # An ENUM would be ordered by its position: events at the same time are ordered by name.
    return f"""WITH e AS (SELECT user_id, ts, event, lead(event) OVER w AS target, lead(ts) OVER w AS next FROM {table}
    WINDOW w AS (PARTITION BY user_id ORDER BY ts, event::VARCHAR))
SELECT event, target, count(*), count(DISTINCT user_id), median(epoch_us(next) - epoch_us(ts))
FROM e WHERE epoch_us(next) - epoch_us(ts) <= {GAP_US} GROUP BY ALL"""


def answer(engine, rows):
    """The rows as the engine gives them, as an answer."""
    if engine.startswith("tenure"):
        return {(None, r["source"], r["target"]): (r["events"], r["users"], round(r["median_seconds"] * 2e6))
                for r in rows}
    return {(None, source, target): (int(events), int(users), round(float(median) * 2))
            for source, target, events, users, median in rows}
