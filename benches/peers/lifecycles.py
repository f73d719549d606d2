"""New, returning, resurrected and dormant users by week, in each engine's own SQL.

Deals with: formulations and reading their rows. Does not deal with: running them (`run.py`, `worker.py`).

Weeks start on Monday; an answer is {(None, week): (active, new, returning, resurrected, dormant)}, a week being its first
date, from the first to the last week with an activity.

The peers keep a user's weeks as bits of one number, which was the quickest of what was tried, and then look at each distinct
number once: bit w of m & (m << 1) is set where the user is there in week w and was in the week before, and so on. 63 weeks
fit, counted from the first that the made shop has; tenure's relation knows neither in advance.
"""

from datetime import date, timedelta

EPOCH = date(1970, 1, 1)
# The week of 2025-01-01; day 0 is a Thursday, so (day + 3) div 7 is a week that starts on Monday.
FIRST_WEEK = 2870
WEEKS = 63
COUNTS = ("active", "new", "returning", "resurrected", "dormant")


def sql(engine, table):
    """The statement: week, active, new, returning, resurrected, dormant."""
    if engine.startswith("tenure"):
        return f"SELECT * FROM lifecycle({table}, unit => 'week')"
    if engine.startswith("clickhouse"):
        return f"""WITH bitShiftLeft(m, 1) AS before, bitAnd(m, -m) AS born
SELECT w, sum(n * bitTest(m, w)), sum(n * bitTest(born, w)), sum(n * bitTest(bitAnd(m, before), w)),
  sum(n * bitTest(bitAnd(m, bitNot(bitOr(before, born))), w)), sum(n * bitTest(bitAnd(before, bitNot(m)), w))
FROM (SELECT m, count() AS n FROM (
  SELECT groupBitOr(bitShiftLeft(toUInt64(1), intDiv(toUInt16(toDate(ts)) + 3, 7) - {FIRST_WEEK})) AS m
  FROM {table} GROUP BY user_id) GROUP BY m)
ARRAY JOIN range({WEEKS}) AS w GROUP BY w"""
    week = f"((epoch_us(ts) // 86400000000 + 3) // 7 - {FIRST_WEEK})::INT"
    return f"""WITH u AS (SELECT bit_or(1::BIGINT << {week}) AS m FROM {table} GROUP BY user_id),
  g AS (SELECT m, m << 1 AS before, m & -m AS born, count(*) AS n FROM u GROUP BY m)
SELECT w, sum(n * (m >> w & 1)), sum(n * (born >> w & 1)), sum(n * ((m & before) >> w & 1)),
  sum(n * ((m & ~before & ~born) >> w & 1)), sum(n * ((before & ~m) >> w & 1))
FROM g, range({WEEKS - 1}) t(w) GROUP BY w"""


def answer(engine, rows):
    """The rows as the engine gives them, as an answer."""
    if engine.startswith("tenure"):
        return {(None, date.fromisoformat(r["period"][:10])): tuple(r[c] for c in COUNTS) for r in rows}
    found = {int(week): tuple(int(n) for n in counts) for week, *counts in rows}
    seen = [week for week, counts in found.items() if counts[0]]
    return {(None, EPOCH + timedelta(days=(week + FIRST_WEEK) * 7 - 3)): found[week]
            for week in range(min(seen), max(seen) + 1)}
