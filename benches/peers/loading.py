"""Loading the events into each engine's own storage: seconds, peak memory, bytes on disk.

Deals with: what each engine is told to load the same Parquet file, all of its columns, ordered by (user, time).
Does not deal with: questions over what was loaded (`questions.py`), the processes (`run.py`, `worker.py`).

Each run loads into an empty folder on the same disk. What counts as equal: the rows, and the sum of the users over them.
"""

# The texts have few values each, which an expert would tell ClickHouse.
CLICKHOUSE_COLUMNS = """user_id Int64, ts DateTime64(6, 'UTC'), event LowCardinality(String), platform LowCardinality(String),
  country LowCardinality(String), channel LowCardinality(String), page LowCardinality(String), item_id Nullable(Int32),
  price Nullable(Float64), order_id Nullable(Int64)"""
CLICKHOUSE_STRUCTURE = ("user_id Int64, ts DateTime64(6, \\'UTC\\'), event String, platform String, country String, "
                        "channel String, page String, item_id Nullable(Int32), price Nullable(Float64), "
                        "order_id Nullable(Int64)")
CHECK = "SELECT count(*) AS rows, sum(user_id) AS users FROM {}"
ENGINES = ("tenure_store", "clickhouse_mergetree", "duckdb_table")


def clickhouse(parquet, threads):
    """The statements, one after the other."""
    return ["CREATE DATABASE bench",
            f"CREATE TABLE bench.loaded ({CLICKHOUSE_COLUMNS}) ENGINE = MergeTree ORDER BY (user_id, ts)",
            f"INSERT INTO bench.loaded SELECT * FROM file('{parquet}', Parquet, '{CLICKHOUSE_STRUCTURE}') SETTINGS "
            f"max_threads = {threads}, max_insert_threads = {threads}, input_format_parquet_use_native_reader_v3 = 1",
            "OPTIMIZE TABLE bench.loaded FINAL"]


def clickhouse_bytes():
    return "SELECT sum(bytes_on_disk) FROM system.parts WHERE active AND database = 'bench' AND table = 'loaded'"


def duckdb(parquet):
    """The statements, one after the other; ordered as its own table is for the questions, so that blocks can be skipped."""
    return [f"CREATE TABLE loaded AS SELECT * FROM '{parquet}' ORDER BY user_id, ts", "CHECKPOINT"]
