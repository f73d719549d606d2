"""What an RFM segmentation starts from, in each engine's own SQL: last purchase, orders and revenue of each buyer.

Deals with: formulations and reading their rows. Does not deal with: running them (`run.py`, `worker.py`).

Hundreds of thousands of rows are not fetched but folded into totals, and into a checksum in which each user's three values
have a part that no other user's could take, whatever the order of rows. Money is in cents and time in microseconds: whole
numbers, so that equal means equal.
"""

FIELDS = ("users", "orders", "revenue", "last", "checksum")
CHECKSUM = "sum((user_id % 9973 + 1) * (cents % 10007) + latest % 1000003 * bought)"


def sql(engine, table):
    """The statement: users, orders, revenue, last purchase of all, checksum."""
    latest, cents = {
        "tenure": ("CAST(arrow_cast(max(ts), 'Timestamp(Microsecond, None)') AS BIGINT)",
                   "sum(CAST(round(price * 100) AS BIGINT))"),
        "clickhouse": ("toUnixTimestamp64Micro(max(ts))", "sum(toInt64(round(price * 100)))"),
        "duckdb": ("epoch_us(max(ts))", "sum(round(price * 100)::BIGINT)::BIGINT"),
    }[engine.split("_")[0]]
    return f"""SELECT count(*) AS users, sum(bought) AS orders, sum(cents) AS revenue, max(latest) AS last, {CHECKSUM} AS checksum
FROM (SELECT user_id, {latest} AS latest, count(*) AS bought, {cents} AS cents
  FROM {table} WHERE event = 'purchase' GROUP BY user_id) AS buyers"""


def answer(engine, rows):
    """The rows as the engine gives them, as an answer."""
    values = [rows[0][field] for field in FIELDS] if engine.startswith("tenure") else rows[0]
    return {(field,): int(value) for field, value in zip(FIELDS, values)}
