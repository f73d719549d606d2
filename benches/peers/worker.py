"""One engine in one process: reads requests as JSON lines, answers JSON lines.

Deals with: opening chdb or DuckDB, loading its own table, timing one statement or one load, its peak memory.
Does not deal with: what is asked (`questions.py`) or in which order (`run.py`).

Requests: {"do": "load"}, {"do": "ingest"}, {"do": "query", "sql": ...}, {"do": "peak"}, {"do": "facts"}, {"do": "stop"}.
"""

import json
import os
import resource
import sys
import tempfile
import time

import loading
from questions import MERGE_TREE, NAMES, PROPERTY, source


# The peers of a question are alive at the same time, and each would take most of the machine. Where the data are large, a
# quarter each, beyond which they spill; not elsewhere: DuckDB took four times as long for `transitions` with a limit that
# it came nowhere near.
MEMORY = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 4


def is_large(parquet):
    return os.path.getsize(parquet) > MEMORY // 16


class ClickHouse:
    def __init__(self, engine, parquet, folder, threads):
        from chdb import session

        self.session = session.Session(os.path.join(folder, "clickhouse")) if folder else session.Session()
        self.parquet, self.threads = parquet, threads
        in_order = ", optimize_aggregation_in_order = 1" if engine == "clickhouse_mergetree" else ""
        self.settings = f" SETTINGS max_threads = {threads}, input_format_parquet_use_native_reader_v3 = 1{in_order}"
        if is_large(parquet):
            self.settings += (f", max_memory_usage = {MEMORY}, max_bytes_before_external_group_by = {MEMORY // 2}"
                              f", max_bytes_before_external_sort = {MEMORY // 2}")

    def version(self):
        return str(self.session.query("SELECT version()", "TSV")).strip()

    def load(self):
        if str(self.session.query(f"EXISTS TABLE {MERGE_TREE}", "TSV")).strip() == "1":
            return
        self.session.query("CREATE DATABASE IF NOT EXISTS bench")
        self.session.query(
            f"CREATE TABLE {MERGE_TREE}_loading (user_id Int64, ts DateTime64(6, 'UTC'), event LowCardinality(String), "
            "country LowCardinality(String), page LowCardinality(String), price Float64) ENGINE = MergeTree ORDER BY (user_id, ts)")
        self.session.query(f"INSERT INTO {MERGE_TREE}_loading SELECT user_id, ts, event, country, page, price "
                           f"FROM {source('clickhouse_parquet', self.parquet)}")
        self.session.query(f"OPTIMIZE TABLE {MERGE_TREE}_loading FINAL")
        self.session.query(f"RENAME TABLE {MERGE_TREE}_loading TO {MERGE_TREE}")

    def ingest(self):
        for statement in loading.clickhouse(self.parquet, self.threads):
            self.session.query(statement)

    def ingested(self):
        one = lambda sql: [int(value) for value in str(self.session.query(sql, "TSV")).split()]
        return one(loading.CHECK.format("bench.loaded")), one(loading.clickhouse_bytes())[0]

    def query(self, sql):
        return str(self.session.query(sql + self.settings, "JSONCompactEachRow"))

    @staticmethod
    def rows(result):
        # 64-bit integers may be quoted; the reader of the answer casts.
        return [json.loads(line) for line in result.splitlines() if line]


class DuckDB:
    def __init__(self, engine, parquet, folder, threads):
        import duckdb

        self.connection = duckdb.connect(os.path.join(folder, "duckdb.db") if folder else ":memory:")
        self.connection.execute(f"PRAGMA threads={threads}")
        if is_large(parquet):
            self.connection.execute(f"SET memory_limit = '{MEMORY // 2**20}MiB'")
            spill = os.path.join(folder or tempfile.gettempdir(), "duckdb-spill")
            self.connection.execute(f"SET temp_directory = '{spill}'")
        self.parquet, self.folder = parquet, folder

    def version(self):
        return self.connection.execute("SELECT version()").fetchone()[0]

    def load(self):
        # ENUM and order by user are what an expert would choose; one transaction, so a half-loaded table is never met.
        tables = self.connection.execute("SELECT count(*) FROM duckdb_tables() WHERE table_name = 'events'").fetchone()
        if tables[0]:
            return
        self.connection.execute(f"""BEGIN;
            CREATE TYPE names AS ENUM (SELECT DISTINCT event::VARCHAR FROM '{self.parquet}' WHERE event IS NOT NULL);
            CREATE TYPE props AS ENUM (SELECT DISTINCT {PROPERTY}::VARCHAR FROM '{self.parquet}' WHERE {PROPERTY} IS NOT NULL);
            CREATE TYPE pages AS ENUM (SELECT DISTINCT page::VARCHAR FROM '{self.parquet}' WHERE page IS NOT NULL);
            CREATE TABLE events AS SELECT user_id, ts, event::VARCHAR::names AS event, {PROPERTY}::VARCHAR::props AS {PROPERTY},
                page::VARCHAR::pages AS page, price FROM '{self.parquet}' ORDER BY user_id, ts;
            COMMIT; CHECKPOINT;""")

    def ingest(self):
        for statement in loading.duckdb(self.parquet):
            self.connection.execute(statement)

    def ingested(self):
        found = list(self.connection.execute(loading.CHECK.format("loaded")).fetchone())
        return found, os.path.getsize(os.path.join(self.folder, "duckdb.db"))

    def query(self, sql):
        return self.connection.execute(sql).fetchall()

    @staticmethod
    def rows(result):
        return result

    def facts(self):
        """What decides whether the engines must agree."""
        one = lambda sql: self.connection.execute(sql).fetchone()
        table = source("duckdb_parquet", self.parquet)
        total = one(f"SELECT count(*), count(DISTINCT user_id), epoch_us(min(ts)), epoch_us(max(ts)), "
                    f"count(*) FILTER (user_id IS NULL OR ts IS NULL OR event IS NULL), "
                    f"count(*) FILTER ({PROPERTY} IS NULL) FROM {table}")
        several = one(f"SELECT count(*) FROM (SELECT user_id FROM {table} GROUP BY user_id "
                      f"HAVING min({PROPERTY}) <> max({PROPERTY}))")
        ties = one(f"SELECT count(*) FROM (SELECT 1 FROM {table} WHERE event IN ({NAMES}) GROUP BY user_id, ts "
                   "HAVING count(DISTINCT event) > 1)")
        return dict(events=total[0], users=total[1], first_us=total[2], last_us=total[3], nulls=total[4],
                    property_nulls=total[5], several_properties=several[0], tied_steps=ties[0])


def cpu():
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def peak_bytes():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmHWM"))


def main():
    engine, parquet, folder, threads = sys.argv[1:5]
    replies = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever a library prints must not land among the replies
    peer = (ClickHouse if engine.startswith("clickhouse") else DuckDB)(engine, parquet, folder, int(threads))
    reply = {"version": peer.version()}
    while True:
        replies.write(json.dumps(reply) + "\n")
        replies.flush()
        request = json.loads(sys.stdin.readline() or '{"do": "stop"}')
        if request["do"] == "stop":
            return
        try:
            if request["do"] == "load":
                peer.load()
                reply = {}
            elif request["do"] == "ingest":
                used, begun = cpu(), time.perf_counter()
                peer.ingest()
                seconds, used, peak = time.perf_counter() - begun, cpu() - used, peak_bytes()
                found, size = peer.ingested()
                reply = {"seconds": seconds, "cpu": used, "peak": peak, "found": found, "bytes": size}
            elif request["do"] == "facts":
                reply = peer.facts()
            elif request["do"] == "peak":
                reply = {"bytes": peak_bytes()}
            else:
                used, begun = cpu(), time.perf_counter()
                result = peer.query(request["sql"])
                seconds, used = time.perf_counter() - begun, cpu() - used
                reply = {"seconds": seconds, "cpu": used, "rows": peer.rows(result)}
        except Exception as error:  # told to run.py, which stops
            reply = {"error": f"{engine}: {error}"}


main()
