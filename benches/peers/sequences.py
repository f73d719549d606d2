"""A pattern with time limits, in each engine's own SQL.

Deals with: formulations and reading their rows. Does not deal with: running them (`run.py`, `worker.py`).

The question: how many users look at an item, put something into the cart at most a day later, and buy at most a day after
that, whatever lies between? An answer is {(None, "users"): users}.
"""

STEPS = ("view_item", "add_to_cart", "purchase")
NAMES = ", ".join(f"'{s}'" for s in STEPS)
CONDITIONS = ", ".join(f"event = '{s}'" for s in STEPS)
DAY_US = 86_400_000_000


def sql(engine, table):
    """The statement: one number."""
    if engine.startswith("tenure"):
        return f"""SELECT count(*) FILTER (WHERE matched) AS users FROM (
  SELECT sequence_match('(?1)(?t<=1 day)(?2)(?t<=1 day)(?3)', ts, {CONDITIONS}) AS matched
  FROM {table} WHERE event IN ({NAMES}) GROUP BY user_id)"""
    if engine.startswith("clickhouse"):
        return f"""SELECT countIf(matched) FROM (
  SELECT sequenceMatch('(?1)(?t<={DAY_US})(?2)(?t<={DAY_US})(?3)')(toUInt64(toUnixTimestamp64Micro(ts)), {CONDITIONS}) AS matched
  FROM {table} WHERE event IN ({NAMES}) GROUP BY user_id)"""
    # Exact: for a cart the latest view before it and the earliest purchase after it are the best partners there are.
    return f"""WITH e AS MATERIALIZED (SELECT user_id, ts, event FROM {table} WHERE event IN ({NAMES})),
  c AS (SELECT c.user_id, c.ts FROM (SELECT user_id, ts FROM e WHERE event = '{STEPS[1]}') c
        ASOF JOIN (SELECT user_id, ts FROM e WHERE event = '{STEPS[0]}') v ON c.user_id = v.user_id AND c.ts >= v.ts
        WHERE c.ts <= v.ts + INTERVAL 1 DAY)
SELECT count(DISTINCT c.user_id) FROM c
  ASOF JOIN (SELECT user_id, ts FROM e WHERE event = '{STEPS[2]}') p ON c.user_id = p.user_id AND c.ts <= p.ts
  WHERE p.ts <= c.ts + INTERVAL 1 DAY"""


def answer(engine, rows):
    """The rows as the engine gives them, as an answer."""
    return {(None, "users"): int(rows[0]["users"] if engine.startswith("tenure") else rows[0][0])}
