"""Managed tables and other programs: deltalake, Polars and DuckDB read what tenure wrote, tenure reads what they wrote.

Not part of `cargo test`: it needs packages from PyPI.

    python3 -m venv venv && venv/bin/pip install deltalake polars duckdb pyarrow
    venv/bin/python tests/interop/delta.py target/debug/tenure

Every check compares rows, not only counts. It ends with `all agree`, or with the first difference.
"""

import csv
import datetime as dt
import io
import random
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import deltalake
import duckdb
import polars
import pyarrow as pa
from deltalake import DeltaTable, write_deltalake

TENURE = Path(sys.argv[1]).resolve()
START = dt.datetime(2026, 1, 1, tzinfo=dt.timezone.utc)
EVENTS = ["view", "cart", "purchase", "größe ✓", "a,b\"c"]


def tenure(*arguments, fails=False):
    done = subprocess.run([TENURE, *arguments], capture_output=True, text=True)
    if (done.returncode != 0) != fails:
        sys.exit(f"tenure {' '.join(map(str, arguments))}: exit {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stderr if fails else done.stdout


def rows_of_tenure(table, version=None):
    """User, microseconds, event, price, sorted."""
    at = "" if version is None else f" VERSION AS OF {version}"
    columns = tenure("-t", f"e={table}", "--format", "csv", "-c", f"SELECT * FROM e{at} LIMIT 1").split("\n")[0]
    price = "price" if "price" in columns else "NULL"
    sql = f"SELECT user_id, CAST(ts AS BIGINT) AS ts, event, {price} AS price FROM e{at}"
    text = tenure("-t", f"e={table}", "--format", "csv", "-c", sql)
    return sorted((r["user_id"], int(r["ts"]), r["event"], float(r["price"]) if r["price"] else None) for r in csv.DictReader(io.StringIO(text)))


def normal(frame):
    def micros(moment):
        return round((moment.replace(tzinfo=moment.tzinfo or dt.timezone.utc) - dt.datetime(1970, 1, 1, tzinfo=dt.timezone.utc)) / dt.timedelta(microseconds=1))

    return sorted((str(r["user_id"]), micros(r["ts"]), r["event"], r.get("price")) for r in frame)


def rows_of_deltalake(table, version=None):
    return normal(DeltaTable(str(table), version=version).to_pyarrow_table().to_pylist())


def rows_of_polars(table, version=None):
    return normal(polars.read_delta(str(table), version=version).to_dicts())


def rows_of_duckdb(table, version=None):
    files = DeltaTable(str(table), version=version).file_uris()
    arrow = duckdb.sql(f"SELECT * FROM read_parquet({files!r}, union_by_name = true)").to_arrow_table()
    return normal(arrow.to_pylist())


def compare(what, **answers):
    (first, expected), *others = answers.items()
    for name, rows in others:
        if rows != expected:
            missing = [r for r in expected if r not in set(rows)][:3]
            surplus = [r for r in rows if r not in set(expected)][:3]
            sys.exit(f"{what}: {name} has {len(rows)} rows, {first} {len(expected)}; missing {missing}, surplus {surplus}")
    print(f"ok  {what}: {len(expected)} rows, {', '.join(answers)}")


def everybody(what, table, version=None):
    compare(
        what,
        tenure=rows_of_tenure(table, version),
        deltalake=rows_of_deltalake(table, version),
        polars=rows_of_polars(table, version),
        duckdb=rows_of_duckdb(table, version),
    )


def write_csv(path, users, day, price=False):
    with open(path, "w", newline="") as out:
        sheet = csv.writer(out)
        sheet.writerow(["user_id", "ts", "event"] + (["price"] if price else []))
        for _ in range(2000):
            moment = START + dt.timedelta(days=day, microseconds=random.randrange(86_400_000_000))
            row = [random.choice(users), moment.isoformat(timespec="microseconds").replace("+00:00", "Z"), random.choice(EVENTS)]
            sheet.writerow(row + ([random.choice(["", "1.25", "99.5"])] if price else []))


def main():
    random.seed(1)
    print(f"deltalake {deltalake.__version__}, polars {polars.__version__}, duckdb {duckdb.__version__}")
    place = Path(tempfile.mkdtemp(prefix="tenure-interop-"))
    table = place / "events"
    for day in range(12):
        source = place / f"day{day}.csv"
        write_csv(source, range(day * 5, day * 5 + 100), day, price=day >= 6)
        tenure("ingest", source, "--into", place, "-q")
    everybody("twelve ingests, a new column in the seventh, a checkpoint", table)
    newest = DeltaTable(str(table)).version()
    for version in [0, 5, newest - 1]:
        everybody(f"version {version}", table, version)

    # Others append: rows in no order, times to the microsecond.
    moments = [START + dt.timedelta(days=20, microseconds=n * 1_000_001) for n in range(50)]
    random.shuffle(moments)
    more = pa.table({
        "user_id": pa.array([random.randrange(100) for _ in moments], pa.int64()),
        "ts": pa.array(moments, pa.timestamp("us", "UTC")),
        "event": pa.array([random.choice(EVENTS) for _ in moments]),
        "price": pa.array([random.choice([None, 0.5]) for _ in moments], pa.float64()),
    })
    write_deltalake(str(table), more, mode="append")
    everybody("appended by deltalake", table)
    polars.from_arrow(more).write_delta(str(table), mode="append")
    everybody("appended by polars", table)

    # The answers of both paths over files of both writers.
    sql = "SELECT user_id, count(*) AS n, min(ts) AS first, max(ts) AS last FROM e GROUP BY user_id ORDER BY user_id"
    both = [tenure("-t", f"e={table}", "--set", f"tenure.ordered_execution={on}", "--format", "csv", "-c", sql) for on in ("true", "false")]
    compare("one pass and hashing", ordered=both[0].splitlines(), hashed=both[1].splitlines())
    last = tenure("-t", f"e={table}", "--format", "csv", "-c", "SELECT CAST(max(ts) AS BIGINT) AS t, CAST(min(ts) AS BIGINT) AS f FROM e").splitlines()[1].split(",")
    rows = rows_of_deltalake(table)
    compare("first and last time", tenure=[int(v) for v in last], deltalake=[max(r[1] for r in rows), min(r[1] for r in rows)])
    exact = max(r[1] for r in rows)
    found = tenure("-t", f"e={table}", "--format", "csv", "-c", f"SELECT count(*) AS n FROM e WHERE CAST(ts AS BIGINT) = {exact} AND ts >= to_timestamp_micros({exact})")
    compare("a time that statistics cut", tenure=[found.split()[1]], deltalake=[str(sum(r[1] == exact for r in rows))])

    # Others delete and rewrite.
    DeltaTable(str(table)).delete("user_id < 10")
    everybody("rows deleted by deltalake", table)
    DeltaTable(str(table)).optimize.compact()
    everybody("compacted by deltalake", table)
    history = tenure("-t", f"e={table}", "--format", "csv", "-c", "SELECT version, operation FROM history(e)").splitlines()[1:]
    theirs = sorted((h["version"], h["operation"].lower()) for h in DeltaTable(str(table)).history())
    ours = sorted((int(v), {"ingest": "write"}.get(o, o)) for v, o in (line.split(",") for line in history))
    compare("history", tenure=ours, deltalake=theirs)

    # A table that tenure did not make, partitioned.
    other = place / "other"
    write_deltalake(str(other), more.append_column("country", pa.array(["DE", "FR x/y", None] * 16 + ["DE"] * 2)), partition_by=["country"])
    counts = tenure("-t", f"e={other}", "--format", "csv", "-c", "SELECT country, count(*) AS n FROM e GROUP BY country ORDER BY country").splitlines()[1:]
    expected = polars.read_delta(str(other)).group_by("country").len().sort("country", nulls_last=True).rows()
    compare("partitioned by deltalake", tenure=counts, polars=[f"{c or ''},{n}" for c, n in expected])
    compare("partitioned by deltalake, one value", tenure=[tenure("-t", f"e={other}", "--format", "csv", "-c", "SELECT count(*) AS n FROM e WHERE country = 'FR x/y'").split()[1]], polars=["16"])

    tenure("vacuum", table, "--older-than", "0", "-q")
    everybody("after vacuum", table)
    DeltaTable(str(table)).vacuum(retention_hours=0, enforce_retention_duration=False, dry_run=False)
    everybody("after deltalake's vacuum", table)
    shutil.rmtree(place)
    print("all agree")


main()
