"""Who stays and how engaged they are, in each engine's own SQL: everybody of a month who comes back in later months, daily, weekly and
monthly active users of every day, days active of the last thirty, users lost after thirty days of silence, what a month's new buyers
bring in later months, how much time lies between two looks at items, which customers bring most of the revenue.

Deals with: formulations and reading their rows. Does not deal with: running them (`run.py`, `worker.py`).

The peers keep a user's months as bits of one number, and a user's days as a list in order (ClickHouse) or as rows with the next one
beside each (DuckDB): of what was tried the quickest. Days and months are counted from the first that the made shop has; tenure's
relations know neither in advance. Period 0 of the cohorts, for which a second event of the month is needed, is not asked of the peers.
"""

from datetime import date, timedelta

EPOCH = date(1970, 1, 1)
MONTHS, PERIODS = 16, 12
NEVER = 65535
LIFE = ("active", "new", "returning", "resurrected", "dormant")


def sql(engine, kind, table):
    """The statement."""
    if engine.startswith("tenure"):
        return {
            "recurring": f"SELECT cohort, size, period, retained FROM retention({table}, birth => 'recurring', unit => 'month', "
                         f"periods => {PERIODS}) WHERE period > 0",
            "engagement": f"SELECT date, dau, wau, mau FROM engagement({table})",
            "stickiness": f"SELECT active_periods, users FROM stickiness({table}, unit => 'day', periods => 30)",
            "revenue": f"SELECT cohort, size, period, round(amount * 100) AS cents, round(grr * first_value(amount) OVER (PARTITION BY cohort "
                       f"ORDER BY period) * 100) AS capped FROM retention({table}, start => 'purchase', return => 'purchase', unit => 'month', "
                       f"periods => {PERIODS}, value => price)",
            "intervals": f"SELECT * FROM intervals({table}, from => 'view_item')",
            "pareto": f"SELECT class, items, value AS cents, at_least AS least FROM pareto({table}, "
                      f"value => CAST(round(price * 100) AS BIGINT), active => 'purchase')",
            "inactive": f"SELECT * FROM lifecycle({table}, unit => 'week', inactive_after => INTERVAL '30 days')",
        }[kind]
    return (clickhouse if engine.startswith("clickhouse") else duckdb)(kind, table)


def clickhouse(kind, table):
    days = f"SELECT arraySort(groupUniqArray(toUInt16(toDate(ts)))) AS days FROM {table} GROUP BY user_id"
    pairs = f"SELECT arrayJoin(arrayZip(days, arrayPushBack(arrayPopFront(days), {NEVER}))) AS pair, pair.1 AS day, pair.2 AS next FROM ({days})"
    if kind == "recurring":
        month = "(toYear(ts) - 2025) * 12 + toMonth(ts) - 1"
        return f"""SELECT c, n, sum(k * bitTest(m, c)), sum(k * bitAnd(bitTest(m, c), bitTest(m, c + n)))
FROM (SELECT m, count() AS k FROM (SELECT groupBitOr(bitShiftLeft(toUInt64(1), {month})) AS m FROM {table} GROUP BY user_id) GROUP BY m)
ARRAY JOIN range({MONTHS}) AS c ARRAY JOIN range(1, {PERIODS + 1}) AS n GROUP BY c, n"""
    if kind == "revenue":
        return revenue(table, "(toYear(ts) - 2025) * 12 + toMonth(ts) - 1", "toInt64(round(price * 100))")
    if kind == "intervals":
        return f"""SELECT count(), uniqExact(user_id), avg(d), min(d), quantileExactInclusive(0.1)(d), quantileExactInclusive(0.25)(d),
  quantileExactInclusive(0.5)(d), quantileExactInclusive(0.75)(d), quantileExactInclusive(0.9)(d), max(d)
FROM (SELECT user_id, arrayJoin(arrayPopFront(arrayDifference(arraySort(groupArray(toUnixTimestamp64Micro(ts)))))) AS d
  FROM {table} WHERE event = 'view_item' GROUP BY user_id)"""
    if kind == "pareto":
        return pareto(table, "toInt64(round(price * 100))")
    if kind == "engagement":
        # A day counts until the window has passed, or the user's next day takes over.
        changes = " UNION ALL ".join(
            f"SELECT day AS moment, {one} AS d, {seven} AS w, {thirty} AS m FROM p UNION ALL "
            f"SELECT least(day + {length}, next), -{one}, -{seven}, -{thirty} FROM p"
            for length, one, seven, thirty in ((1, 1, 0, 0), (7, 0, 1, 0), (30, 0, 0, 1)))
        return f"""WITH p AS MATERIALIZED ({pairs})
SELECT moment, sum(d) OVER o, sum(w) OVER o, sum(m) OVER o FROM (SELECT moment, sum(d) AS d, sum(w) AS w, sum(m) AS m FROM ({changes}) GROUP BY moment)
WINDOW o AS (ORDER BY moment)"""
    if kind == "stickiness":
        return f"""WITH (SELECT max(toUInt16(toDate(ts))) FROM {table}) AS last
SELECT n, count() FROM (SELECT uniqExact(toUInt16(toDate(ts))) AS n FROM {table} WHERE toUInt16(toDate(ts)) > last - 30 GROUP BY user_id) GROUP BY n"""
    return f"""WITH (SELECT max(toUInt16(toDate(ts))) FROM {table}) - 1 AS ended,
p AS MATERIALIZED (SELECT day, next, week, nextweek, gone, next = {NEVER} AS final, intDiv(day + 3, 7) AS week, intDiv(next + 3, 7) AS nextweek,
  intDiv(day + 33, 7) AS gone, first FROM (SELECT arrayJoin(arrayZip(days, arrayPushBack(arrayPopFront(days), {NEVER}), arrayMap((d, i) -> i = 1, days, arrayEnumerate(days)))) AS t,
  t.1 AS day, t.2 AS next, t.3 AS first FROM ({days})))
SELECT w, sum(a), sum(b), sum(c), sum(d) FROM (
  SELECT week AS w, toInt64(final OR nextweek > week) AS a, toInt64(first) AS b, 0 AS c, 0 AS d FROM p
  UNION ALL SELECT nextweek, 0, 0, 1, 0 FROM p WHERE NOT final AND gone < nextweek
  UNION ALL SELECT gone, 0, 0, 0, 1 FROM p WHERE (NOT final AND gone < nextweek) OR (final AND day + 30 <= ended)) GROUP BY w"""


def duckdb(kind, table):
    day = "(epoch_us(ts) // 86400000000)::INT"
    pairs = f"""SELECT day, lead(day) OVER (PARTITION BY user_id ORDER BY day) AS next, row_number() OVER (PARTITION BY user_id ORDER BY day) = 1 AS first
  FROM (SELECT DISTINCT user_id, {day} AS day FROM {table})"""
    if kind == "recurring":
        month = "((year(ts) - 2025) * 12 + month(ts) - 1)::INT"
        return f"""WITH g AS (SELECT m, count(*) AS k FROM (SELECT bit_or(1::BIGINT << {month}) AS m FROM {table} GROUP BY user_id) GROUP BY m)
SELECT c, n, sum(k * (m >> c & 1)), sum(k * ((m >> c) & (m >> (c + n)) & 1)) FROM g, range({MONTHS}) x(c), range(1, {PERIODS + 1}) y(n) GROUP BY c, n"""
    if kind == "revenue":
        return revenue(table, "((year(ts) - 2025) * 12 + month(ts) - 1)", "round(price * 100)::BIGINT")
    if kind == "intervals":
        shares = ", ".join(f"quantile_cont(d, {share})" for share in (0.1, 0.25, 0.5, 0.75, 0.9))
        return f"""SELECT count(d), count(DISTINCT user_id) FILTER (WHERE d IS NOT NULL), avg(d), min(d), {shares}, max(d)
FROM (SELECT user_id, epoch_us(ts) - lag(epoch_us(ts)) OVER (PARTITION BY user_id ORDER BY ts) AS d FROM {table} WHERE event = 'view_item')"""
    if kind == "pareto":
        return pareto(table, "round(price * 100)::BIGINT")
    if kind == "engagement":
        changes = " UNION ALL ".join(
            f"SELECT day AS moment, {one} AS d, {seven} AS w, {thirty} AS m FROM p UNION ALL "
            f"SELECT least(day + {length}, coalesce(next, {NEVER})), -{one}, -{seven}, -{thirty} FROM p"
            for length, one, seven, thirty in ((1, 1, 0, 0), (7, 0, 1, 0), (30, 0, 0, 1)))
        return f"""WITH p AS MATERIALIZED ({pairs})
SELECT moment, sum(d) OVER o, sum(w) OVER o, sum(m) OVER o FROM (SELECT moment, sum(d) AS d, sum(w) AS w, sum(m) AS m FROM ({changes}) GROUP BY moment)
WINDOW o AS (ORDER BY moment)"""
    if kind == "stickiness":
        return f"""SELECT n, count(*) FROM (SELECT count(DISTINCT {day}) AS n FROM {table}
WHERE {day} > (SELECT max({day}) FROM {table}) - 30 GROUP BY user_id) GROUP BY n"""
    return f"""WITH p AS MATERIALIZED (SELECT *, (day + 3) // 7 AS week, (next + 3) // 7 AS nextweek, (day + 33) // 7 AS gone FROM ({pairs}))
SELECT w, sum(a), sum(b), sum(c), sum(d) FROM (
  SELECT week AS w, (next IS NULL OR nextweek > week)::INT AS a, first::INT AS b, 0 AS c, 0 AS d FROM p
  UNION ALL SELECT nextweek, 0, 0, 1, 0 FROM p WHERE gone < nextweek
  UNION ALL SELECT gone, 0, 0, 0, 1 FROM p WHERE gone < nextweek OR (next IS NULL AND day + 30 <= (SELECT max({day}) FROM {table}) - 1)) GROUP BY w"""


def revenue(table, month, cents):
    """What every buyer paid in each month, beside the first one's month and sum."""
    return f"""WITH paid AS (SELECT user_id, {month} AS m, sum({cents}) AS cents FROM {table} WHERE event = 'purchase' GROUP BY 1, 2),
born AS (SELECT user_id, min(m) AS b FROM paid GROUP BY user_id),
base AS (SELECT p.user_id AS user_id, b, cents AS first FROM paid p JOIN born ON p.user_id = born.user_id AND p.m = born.b),
sizes AS (SELECT b, count(*) AS size FROM base GROUP BY b)
SELECT base.b, max(size), p.m - base.b, sum(p.cents), sum(least(p.cents, first))
FROM paid p JOIN base ON p.user_id = base.user_id JOIN sizes ON sizes.b = base.b GROUP BY 1, 3"""


def pareto(table, cents):
    """Every customer's place in the falling order of what they paid."""
    return f"""WITH paid AS (SELECT user_id, sum({cents}) AS t FROM {table} WHERE event = 'purchase' GROUP BY user_id),
placed AS (SELECT t, sum(t) OVER (ORDER BY t DESC) - t * count(*) OVER (PARTITION BY t) AS before, sum(t) OVER () AS a FROM paid)
SELECT CASE WHEN before * 100 < 80 * a THEN 'A' WHEN before * 100 < 95 * a THEN 'B' ELSE 'C' END AS c, count(*), sum(t), min(t)
FROM placed GROUP BY c"""


def answer(engine, kind, rows):
    """The rows as the engine gives them, as an answer."""
    ours = engine.startswith("tenure")
    if kind == "recurring":
        if ours:
            return {(r["cohort"][:10], r["period"]): (r["size"], r["retained"]) for r in rows}
        month = lambda c: date(2025 + c // 12, c % 12 + 1, 1).isoformat()
        return {(month(int(c)), int(n)): (int(size), int(came)) for c, n, size, came in rows if size}
    if kind == "revenue":
        if ours:
            found = ((r["cohort"][:10], r["size"], r["period"], r["cents"], r["capped"]) for r in rows)
        else:
            found = ((date(2025 + int(b) // 12, int(b) % 12 + 1, 1).isoformat(), *rest) for b, *rest in rows)
        # A month in which nobody of the cohort buys has no row of the peers'.
        return {(c, int(n)): (int(size), int(cents), int(capped)) for c, size, n, cents, capped in found if cents}
    if kind == "engagement":
        if ours:
            return {(r["date"][:10],): (r["dau"], r["wau"], r["mau"]) for r in rows}
        # Days on which nothing changes have no row, and those after the last one are not asked for.
        found = {int(at): tuple(int(n) for n in counts) for at, *counts in rows}
        last = max(at for at, counts in found.items() if counts[0])
        day, answers = None, {}
        for at in range(min(found), last + 1):
            day = found.get(at, day)
            answers[((EPOCH + timedelta(days=at)).isoformat(),)] = day
        return answers
    if kind == "intervals":
        if ours:
            rows = [list(r.values()) for r in rows]
        scale = 1 if ours else 1e6
        return {("all",): (int(r[0]), int(r[1]), *(round(float(x) / scale, 3) for x in r[2:])) for r in rows}
    if kind == "pareto":
        found = (r.values() for r in rows) if ours else rows
        return {(c,): (int(n), int(cents), int(least)) for c, n, cents, least in found}
    if kind == "stickiness":
        pairs = ((r["active_periods"], r["users"]) for r in rows) if ours else rows
        return {(int(n),): int(users) for n, users in pairs if users}
    if ours:
        return {(r["period"][:10],): tuple(r[c] for c in LIFE) for r in rows}
    found = {int(week): tuple(int(n) for n in counts) for week, *counts in rows}
    seen = [week for week, counts in found.items() if counts[0]]
    weeks = {}
    for week in range(min(seen), max(seen) + 1):
        active, new, resurrected, dormant = found.get(week, (0, 0, 0, 0))
        first = (EPOCH + timedelta(days=week * 7 - 3)).isoformat()
        weeks[(first,)] = (active, new, active - new - resurrected, resurrected, dormant)
    return weeks
