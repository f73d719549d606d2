#!/usr/bin/env python3
"""Makes the fixtures of this folder: small random event sets and the answers of ClickHouse, DuckDB and a brute force.

Run with the Python of the virtual environment that benches/peers/run.py makes (chdb, duckdb, pyarrow, numpy):
    target/peers-venv/bin/python testdata/peers/make.py
The same seed gives the same files. README.md beside this file describes every column.
"""

import csv
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from chdb import session

HERE = Path(__file__).resolve().parent
BASE = 1_740_787_200_000_000  # 2025-03-01 00:00:00 UTC in microseconds; clocks change on 2025-03-09 in New York
DAY = 86_400_000_000
WINDOWS = (0, 2_000_000, 6_000_000, 1_000_000_000)
STEPS = (2, 3, 4)
USERS_IN_A_SET = 80
CLICKHOUSE_USERS_IN_A_SET = 80
FUNNELS = [(1, 3)] + [(steps, window) for steps in (2, 3, 4) for window in (0, 3, 1000)]
RETENTIONS = ("12", "123", "321", "42", "434")
NAMES = ("a", "b", "c", "d", "x")


def funnel_events(random):
    """Four sets of users: one condition or several a row, times tied or not. `event` names the one condition of a row
    in the one_* sets and is NULL in the many_* sets."""
    rows, user = [], 0
    for name in ("one_spread", "one_tied", "many_spread", "many_tied"):
        for _ in range(USERS_IN_A_SET):
            user += 1
            n = int(random.integers(1, 9))
            # A microsecond more or less puts events just inside and just outside a window of whole seconds.
            if name.endswith("spread"):
                times = random.choice(12, n, replace=False) * 1_000_000 + random.integers(0, 2, n)
            else:
                times = random.integers(0, 5, n) * 1_000_000
            for time in times:
                if name.startswith("one"):
                    event = NAMES[random.choice(5, p=(0.28, 0.24, 0.2, 0.18, 0.1))]
                    mask = [event == step for step in NAMES[:4]]
                else:
                    event, mask = None, [bool(m) for m in random.random(4) < 0.4]
                rows.append((user, name, BASE + int(time), event, *mask))
    order = random.permutation(len(rows))  # neither by user nor by time
    return [rows[i] for i in order]


def level(events, steps, window, increase=False, reuse=False, exclusive=False, reuse_any=False):
    """The longest chain, by trying every chain: no cleverness that could hide a mistake.

    events: [(time, conditions)]. Step i takes an event whose condition i holds, not earlier than the event before it
    (later, with `increase`), different from all events before it (with `reuse` it may be the very event before it, with
    `reuse_any` any event before it, which needs a tie unless it is the very one before).
    """
    best = 0

    def extend(chain):
        nonlocal best
        best = max(best, len(chain))
        if len(chain) == steps:
            return
        for i, (time, conditions) in enumerate(events):
            if not conditions[len(chain)]:
                continue
            if i in chain and not (reuse_any or reuse and i == chain[-1]):
                continue
            if chain:
                previous, first = events[chain[-1]][0], events[chain[0]][0]
                if time < previous or (increase and time == previous):
                    continue
                if time - first > window or (exclusive and time - first == window):
                    continue
            extend(chain + [i])

    extend([])
    return best


def clickhouse_levels(steps, window):
    conditions = ", ".join(f"m{i + 1}" for i in range(steps))
    time = "toUInt64(toUnixTimestamp64Micro(ts))"
    result = session.Session().query(f"""
        SELECT user_id, windowFunnel({window})({time}, {conditions}), windowFunnel({window}, 'strict_increase')({time}, {conditions})
        FROM file('{HERE}/funnel_events.parquet', Parquet) GROUP BY user_id SETTINGS max_threads = 1""", "CSV")
    return {int(u): (int(d), int(s)) for u, d, s in (line.split(",") for line in str(result).split())}


def make_funnel(random):
    rows = funnel_events(random)
    columns = list(zip(*rows))
    fields = dict(user_id=pa.array(columns[0], pa.int64()), set=pa.array(columns[1]),
                  ts=pa.array(columns[2], pa.timestamp("us")), event=pa.array(columns[3], pa.string()))
    fields |= {f"m{i + 1}": pa.array(columns[4 + i]) for i in range(4)}
    pq.write_table(pa.table(fields), HERE / "funnel_events.parquet", compression="zstd", row_group_size=500)
    users = {}
    for user, name, time, _, *conditions in rows:
        users.setdefault((user, name), []).append((time, conditions))
    with open(HERE / "funnel_levels.csv", "w", newline="") as file:
        out = csv.writer(file, lineterminator="\n")
        out.writerow("user_id set steps window_us ordered exclusive increase reuse reuse_any clickhouse clickhouse_strict_increase".split())
        for steps in STEPS:
            for window in WINDOWS:
                theirs = clickhouse_levels(steps, window)
                for (user, name), events in sorted(users.items()):
                    find = lambda **mode: level(events, steps, window, **mode)
                    out.writerow((user, name, steps, window, find(), find(exclusive=True), find(increase=True), find(reuse=True),
                                  find(reuse_any=True), *theirs[user]))


def make_retention(random):
    rows = []
    for user in range(1, 301):
        born = random.integers(0, 20 * DAY)
        countries = random.choice(("AT", "BR", "CA"), 2)
        for _ in range(int(random.integers(1, 9))):
            # Some countries change after the first event; a few events repeat the very time of the first.
            time = BASE + int(born + (random.random() ** 2 * 12 * DAY if random.random() > 0.15 else 0))
            rows.append((user, time, str(countries[0] if time == BASE + born else random.choice(countries))))
    rows = [rows[i] for i in random.permutation(len(rows))]
    columns = list(zip(*rows))
    pq.write_table(pa.table(dict(user_id=pa.array(columns[0], pa.int64()), ts=pa.array(columns[1], pa.timestamp("us")),
                                 country=pa.array(columns[2]))), HERE / "retention_events.parquet", compression="zstd")
    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'")
    for name, unit, zone, week_start, periods, by in (
            ("day", "day", "UTC", "monday", 10, False), ("day_new_york", "day", "America/New_York", "monday", 10, False),
            ("week_by_country", "week", "UTC", "monday", 4, True), ("week_sunday", "week", "UTC", "sunday", 4, False)):
        answer = connection.execute(retention_sql(unit, zone, week_start, periods, by)).fetchall()
        with open(HERE / f"retention_{name}.csv", "w", newline="") as file:
            out = csv.writer(file, lineterminator="\n")
            out.writerow((["country"] if by else []) + "cohort size period retained on_or_after complete".split())
            out.writerows([[str(v).lower() if isinstance(v, bool) else v for v in row] for row in answer])


def retention_sql(unit, zone, week_start, periods, by):
    """Written for clearness: one row for each user and period, one join, no window functions."""
    local = f"((ts AT TIME ZONE 'UTC') AT TIME ZONE '{zone}')"
    shift = 1 if unit == "week" and week_start == "sunday" else 0
    bucket = f"(date_trunc('{unit}', {local} + INTERVAL {shift} DAY) - INTERVAL {shift} DAY)::DATE"
    length = 7 if unit == "week" else 1
    key = "country, " if by else ""
    return f"""
    WITH e AS (SELECT user_id, ts, country, {bucket} AS b, {local} AS local FROM '{HERE}/retention_events.parquet'),
    u AS (SELECT user_id, min(b) AS cohort, min({{t: ts, c: country}}).c AS country, count(*) AS events FROM e GROUP BY user_id),
    active AS (SELECT user_id, (b - cohort) // {length} AS n, count(*) AS events FROM e JOIN u USING (user_id) GROUP BY ALL),
    last AS (SELECT user_id, max(n) AS n FROM active GROUP BY user_id),
    cells AS (SELECT DISTINCT {key}cohort, period FROM u, range(0, {periods + 1}) r(period)),
    counted AS (SELECT {', '.join(f'c.{k}' for k in (['country'] if by else []) + ['cohort', 'period'])}, count(*) AS size,
        count(*) FILTER (EXISTS (SELECT 1 FROM active a WHERE a.user_id = u.user_id AND a.n = c.period AND (a.n > 0 OR a.events > 1))) AS retained,
        count(*) FILTER (IF(c.period = 0, u.events > 1, l.n >= c.period)) AS on_or_after
      FROM cells c JOIN u ON c.cohort = u.cohort {'AND c.country = u.country' if by else ''} JOIN last l USING (user_id) GROUP BY ALL)
    SELECT {key}cohort, size, period, retained, on_or_after,
        cohort + ((period + 1) * {length})::INT <= (SELECT max(local) FROM e) AS complete
    FROM counted ORDER BY ALL"""


def clickhouse_events(random):
    """Users for the functions that ClickHouse shares with tenure. The sets: `one`/`many` conditions a row, `null`: several,
    some unknown; `spread`: a user's times all differ, `tied`: at most four different ones. Rows without any condition are
    frequent, because the strict modes look at them."""
    rows, user = [], 0
    for name in ("one_spread", "one_tied", "many_spread", "many_tied", "null_spread", "null_tied"):
        for _ in range(CLICKHOUSE_USERS_IN_A_SET):
            user += 1
            n = int(random.integers(1, 10))
            often = random.choice((0.25, 0.4, 0.6))
            if name.endswith("spread"):
                times = random.choice(14, n, replace=False)
            else:
                times = random.integers(0, 4, n)
            for time in times:
                if name.startswith("one"):
                    which = int(random.choice(5, p=(0.3, 0.24, 0.2, 0.14, 0.12)))
                    mask = [which == i for i in range(4)]
                else:
                    mask = [bool(m) for m in random.random(4) < often]
                if name.startswith("null"):
                    mask = [None if random.random() < 0.06 else m for m in mask]
                rows.append((user, name, BASE + int(time) * 1_000_000, *mask))
    return [rows[i] for i in random.permutation(len(rows))]


def clickhouse_answers(expressions):
    """For each expression over `t` (seconds) and m1..m4: the answers of all users by number, one character each."""
    chosen = ", ".join(f"toString(ifNull({e}, 0)) AS e{i}" for i, e in enumerate(expressions))
    joined = ", ".join(f"arrayStringConcat(groupArray(e{i}))" for i in range(len(expressions)))
    result = session.Session().query(f"""
        SELECT {joined} FROM (SELECT user_id, {chosen}
          FROM (SELECT *, toUInt64(toUnixTimestamp64Micro(ts) / 1000000) AS t FROM file('{HERE}/clickhouse_events.parquet', Parquet))
          GROUP BY user_id ORDER BY user_id) SETTINGS max_threads = 1""", "CSV")
    return [answer.strip('"') for answer in str(result).strip().split(",")]


def random_pattern(random, limits):
    """A pattern that means the same to ClickHouse and tenure: a time limit stands alone between two events."""
    parts = []
    for i in range(int(random.integers(1, 6))):
        if i:
            between = int(random.integers(0, 5 if limits else 3))
            if between == 2:
                parts.append(".*")
            elif between > 2:
                compare = random.choice(("<=", "<", ">=", ">", "=="))
                parts.append(f"(?t{compare}{random.integers(compare == '<', 6)})")
        parts.append("." if random.random() < 0.12 else f"(?{random.integers(1, 5)})")
    return ".*" * (random.random() < 0.1) + "".join(parts)


def make_clickhouse(random):
    rows = clickhouse_events(random)
    columns = list(zip(*rows))
    fields = dict(user_id=pa.array(columns[0], pa.int64()), set=pa.array(columns[1]), ts=pa.array(columns[2], pa.timestamp("us")))
    fields |= {f"m{i + 1}": pa.array(columns[3 + i], pa.bool_()) for i in range(4)}
    pq.write_table(pa.table(fields), HERE / "clickhouse_events.parquet", compression="zstd")

    patterns = sorted({random_pattern(random, limits=i % 2 == 1) for i in range(160)})
    asked = [f"{function}('{p}')(t, m1, m2, m3, m4)" for p in patterns for function in ("sequenceMatch", "sequenceCount")]
    answers = clickhouse_answers(asked)
    with open(HERE / "clickhouse_sequences.csv", "w", newline="") as file:
        out = csv.writer(file, lineterminator="\n")
        out.writerow(("pattern", "matches", "counts"))
        out.writerows((p, answers[2 * i], answers[2 * i + 1]) for i, p in enumerate(patterns))

    questions = []
    for order in ((), ("strict_order",), ("strict_order", "allow_reentry")):
        for chosen in range(8):
            others = ("strict_deduplication", "strict_increase", "strict_once")
            modes = (*order, *(mode for i, mode in enumerate(others) if chosen >> i & 1))
            questions += [(modes, steps, window) for steps, window in FUNNELS]
    words = lambda modes: "".join(f", '{mode}'" for mode in modes)
    conditions = lambda steps: ", ".join(f"m{i + 1}" for i in range(steps))
    answers = clickhouse_answers([f"windowFunnel({w}{words(m)})(t, {conditions(k)})" for m, k, w in questions])
    with open(HERE / "clickhouse_funnels.csv", "w", newline="") as file:
        out = csv.writer(file, lineterminator="\n")
        out.writerow(("modes", "steps", "window_s", "levels"))
        out.writerows((" ".join(m), k, w, answer) for (m, k, w), answer in zip(questions, answers))

    # One digit a user: the bits of the array, the first condition lowest.
    answers = clickhouse_answers([f"arraySum(arrayMap((x, i) -> x * bitShiftLeft(1, i), retention(m{', m'.join(p)}), range({len(p)})))"
                                  for p in RETENTIONS])
    with open(HERE / "clickhouse_retention.csv", "w", newline="") as file:
        out = csv.writer(file, lineterminator="\n")
        out.writerow(("conditions", "met"))
        out.writerows(zip(RETENTIONS, answers))


def main():
    random = np.random.default_rng(20250301)
    make_funnel(random)
    make_retention(random)
    make_clickhouse(np.random.default_rng(20260401))


if __name__ == "__main__":
    main()
