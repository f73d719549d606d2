#!/usr/bin/env python3
"""Asks tenure, ClickHouse (chdb) and DuckDB the same questions over the same Parquet file: checks that the answers
agree, and prints seconds, ratios and peak memory side by side. README.md beside this file says how to read it.
`--questions ingest` loads the file into each engine's own storage instead.

Deals with: environment, data, order of runs, agreement, the table. Does not deal with: SQL (`questions.py`), the peers'
processes (`worker.py`). Needs only Python's own library; the peers live in a virtual environment that it makes.

Exit: 0 the answers agree, 1 they do not or an engine failed, 2 wrong usage.
"""

import argparse
import hashlib
import json
import math
import os
import platform
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import venv
from pathlib import Path

import loading
import questions

HERE = Path(__file__).resolve().parent
PROJECT = HERE.parent.parent
ENGINES = ["floor", "tenure_store", "tenure", "tenure_ordered", "clickhouse_parquet", "clickhouse_mergetree", "duckdb_parquet", "duckdb_table"]
LABELS = {"floor": "loop written by hand, Parquet by (user, time)", "tenure_store": "tenure, managed table",
          "tenure": "tenure, Parquet", "tenure_ordered": "tenure, Parquet by (user, time)",
          "clickhouse_parquet": "ClickHouse, Parquet",
          "clickhouse_mergetree": "ClickHouse, MergeTree by (user, time)", "duckdb_parquet": "DuckDB, Parquet",
          "duckdb_table": "DuckDB, own table by (user, time)"}
REFERENCE = "duckdb_parquet"  # its formulation is exact, so it checks the others


def arguments():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--events", type=int, default=20_000_000)
    p.add_argument("--users", type=int, help="default: one for every 50 events")
    p.add_argument("--seed", type=int, default=7)
    p.add_argument("--data", type=Path, help="folder with events.parquet; made by `tenure generate` if missing")
    p.add_argument("--tenure", type=Path, default=PROJECT / "target/release/tenure", help="the binary")
    p.add_argument("--floor", type=Path, help="the program of floor.rs; default: examples/funnel_floor beside the binary")
    p.add_argument("--without-tenure", action="store_true", help="the peers alone")
    p.add_argument("--engines", nargs="+", choices=ENGINES, default=ENGINES)
    p.add_argument("--runs", type=int, default=5)
    p.add_argument("--threads", type=int, default=2)
    p.add_argument("--questions", nargs="+", choices=[*questions.QUESTIONS, "ingest"],
                   help="default: all; `ingest` only where something is measured")
    p.add_argument("--check-only", action="store_true", help="ask once, compare, no timing, no tables of the peers' own")
    p.add_argument("--venv", type=Path, default=PROJECT / "target/peers-venv")
    a = p.parse_args()
    if a.runs < 1 or a.threads < 1:
        p.error("--runs and --threads must be at least 1")
    a.users = a.users or max(1, a.events // 50)
    a.questions = a.questions or [*questions.QUESTIONS, *([] if a.check_only else ["ingest"])]
    a.data = (a.data or PROJECT / f"target/peers-data/{a.events}-{a.users}-{a.seed}").resolve()
    a.parquet = a.data / "events.parquet"
    a.store = None  # where it is known to be made
    a.ordered = a.data.with_name(a.data.name + "-by-user") / "events.parquet"
    a.engines = [e for e in ENGINES if e in a.engines or e == REFERENCE]
    if a.without_tenure:
        a.engines = [e for e in a.engines if not questions.is_tenure(e) and e != "floor"]
    elif not a.tenure.is_file():
        p.error(f"--tenure {a.tenure}: no such file; build it, or give --without-tenure")
    a.tenure = a.tenure.resolve()
    a.floor = (a.floor or a.tenure.parent / "examples/funnel_floor").resolve()
    if a.check_only:
        a.engines = [e for e in a.engines if e not in ("clickhouse_mergetree", "duckdb_table")]
    if "'" in str(a.parquet):
        p.error("--data: a quote in the path would end the SQL string")
    return a


def environment(folder):
    """The Python of the virtual environment, with exactly the pinned versions."""
    python = folder / "bin/python"
    wanted = (HERE / "requirements.txt").read_text()
    stamp = folder / "requirements.installed"
    if not (stamp.is_file() and stamp.read_text() == wanted):
        venv.create(folder, with_pip=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", "-r", HERE / "requirements.txt"], check=True)
        stamp.write_text(wanted)
    return python


def leave_out(a):
    """Engines that this build cannot have, each with a line that says so."""
    missing = {}
    if "floor" in a.engines and not a.floor.is_file():
        missing["floor"] = f"{a.floor} is not there; cargo build --release --example funnel_floor makes it"
    if "tenure_store" in a.engines:
        known = subprocess.run([a.tenure, "ingest", "--help"], capture_output=True)
        if known.returncode:
            missing["tenure_store"] = f"{a.tenure} has no `ingest`"
    for engine, why in missing.items():
        print(f"left out: {LABELS[engine]}: {why}")
    a.engines = [e for e in a.engines if e not in missing]


def make_data(a):
    """The events in time order, and the same rows by user and time where somebody reads them so."""
    by_user = {"tenure_ordered", "floor"} & set(a.engines)
    wanted = [(a.parquet, "time")] + ([(a.ordered, "user")] if by_user else [])
    for parquet, order in wanted:
        if parquet.is_file():
            continue
        if a.without_tenure:
            sys.exit(f"{parquet}: no such file, and --without-tenure leaves nothing to make it")
        subprocess.run([a.tenure, "generate", "--events", str(a.events), "--users", str(a.users), "--seed", str(a.seed),
                        "-o", parquet.parent, "--order", order], check=True)


class Peer:
    """A worker process, pinned to as many cores as there are threads to use."""

    def __init__(self, python, engine, a, folder=""):
        self.process = subprocess.Popen(
            [python, HERE / "worker.py", engine, a.parquet, folder, str(a.threads)], text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, preexec_fn=lambda: pin(a.threads))
        self.version = self.reply()["version"]

    def reply(self):
        line = self.process.stdout.readline()
        if not line:
            sys.exit(f"a peer's process ended with {self.process.wait()}")
        found = json.loads(line)
        if "error" in found:
            sys.exit(found["error"])
        return found

    def ask(self, do, **more):
        self.process.stdin.write(json.dumps({"do": do, **more}) + "\n")
        self.process.stdin.flush()
        return self.reply()

    def peak(self):
        return self.ask("peak")["bytes"]

    def stop(self):
        self.process.communicate(json.dumps({"do": "stop"}) + "\n")


def pin(threads):
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])


def run_pinned(command, threads):
    """Runs a program pinned to so many cores: stdout, stderr, wall and CPU seconds, peak bytes."""
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        begun = time.perf_counter()
        child = subprocess.Popen([str(part) for part in command], stdout=out, stderr=err, preexec_fn=lambda: pin(threads))
        _, status, used = os.wait4(child.pid, 0)
        wall = time.perf_counter() - begun
        child.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0), err.seek(0)
        stdout, stderr = out.read(), err.read()
    if child.returncode:
        sys.exit(f"{command[0]} ended with {child.returncode}: {stderr.strip()}")
    return stdout, stderr, wall, used.ru_utime + used.ru_stime, used.ru_maxrss * 1024


class Floor:
    """The loop written by hand: like `Tenure`, the second run in one process is measured."""

    def __init__(self, a):
        self.a, self.peak_bytes, self.whole, self.version = a, 0, None, "itself"

    def process(self, runs):
        stdout, _, _, used, peak = run_pinned(
            [self.a.floor, self.a.ordered, self.a.threads, runs, questions.WINDOW_US, *questions.STEPS], self.a.threads)
        self.peak_bytes = max(self.peak_bytes, peak)
        return [json.loads(line) for line in stdout.splitlines()], used

    def answer(self, _):
        return self.process(1)[0][0]["users"]

    def ask(self, _, sql):
        used = self.process(1)[1]
        return {"seconds": self.process(2)[0][1]["seconds"], "cpu": used}

    def peak(self):
        return self.peak_bytes

    def stop(self):
        pass


class Tenure:
    """The binary, a new process for each run: its users pay for its start too, so both times are kept."""

    def __init__(self, a, parquet):
        self.a, self.parquet, self.peak_bytes, self.whole = a, parquet, 0, []
        self.version = subprocess.run([a.tenure, "--version"], capture_output=True, text=True, check=True).stdout.strip()

    def process(self, sql, times):
        """Runs the statement `times` times in one process: stdout, seconds of each statement, wall and CPU seconds.

        The only place that knows the command line and the form of `--timing`: `-- 0.123 s` on stderr a statement.
        """
        command = [str(self.a.tenure), "-t", f"events={self.parquet}", "--format", "ndjson", "--timing",
                   "-c", f"SET datafusion.execution.target_partitions = {self.a.threads}"] + ["-c", sql] * times
        stdout, stderr, wall, used, peak = run_pinned(command, self.a.threads)
        self.peak_bytes = max(self.peak_bytes, peak)
        timed = [float(s) for s in re.findall(r"^-- ([0-9.]+) s$", stderr, re.M)]
        return stdout, timed[-times:], wall, used

    def answer(self, sql):
        stdout, _, _, _ = self.process(sql, 1)
        return [json.loads(line) for line in stdout.splitlines() if line]

    def ask(self, _, sql):
        """One measured run: the second statement of a process is as warm as a peer's is."""
        _, _, whole, used = self.process(sql, 1)
        _, timed, _, _ = self.process(sql, 2)
        if len(timed) != 2:
            sys.exit("tenure --timing printed no `-- 0.123 s` line for each statement")
        self.whole.append(whole)
        return {"seconds": timed[1], "cpu": used}

    def peak(self):
        return self.peak_bytes

    def stop(self):
        pass


def same(a, b):
    """Equal; doubles up to the rounding of sums, whose last digits depend on the order of rows in other engines."""
    return math.isclose(a, b, rel_tol=1e-9) if isinstance(a, float) and isinstance(b, float) else a == b


def differences(expected, found):
    keys = sorted((k for k in expected.keys() | found.keys() if not same(expected.get(k), found.get(k))), key=str)
    return [(k, expected.get(k), found.get(k)) for k in keys]


def explain_funnel(a, question, peers):
    """Users whose level ClickHouse and DuckDB see differently, with their step events: the reason, on the data."""
    with tempfile.TemporaryDirectory() as folder:
        theirs = f"{folder}/levels.parquet"
        table = questions.source("clickhouse_parquet", a.parquet)
        peers["clickhouse_parquet"].ask("query", sql=f"""INSERT INTO FUNCTION file('{theirs}', Parquet)
            SELECT user_id, {questions.clickhouse_level(question)} AS level FROM {table} GROUP BY user_id""")
        ours = questions.source("duckdb_parquet", a.parquet)
        chains = questions.duckdb_chains({**question, "by": False}, ours)
        ends = " UNION ALL ".join(f"SELECT user_id, {n} AS s FROM t{n}" for n in range(1, len(question["steps"]) + 1))
        found = peers[REFERENCE].ask("query", sql=f"""WITH {chains},
            l AS (SELECT user_id, max(s) AS level FROM ({ends}) GROUP BY user_id),
            d AS (SELECT t.user_id, t.level AS theirs, coalesce(l.level, 0) AS exact FROM '{theirs}' t
                  LEFT JOIN l USING (user_id) WHERE t.level <> coalesce(l.level, 0))
            SELECT user_id::VARCHAR, theirs, exact, (SELECT count(*) FROM d), list(ts::VARCHAR || ' ' || event ORDER BY ts)
            FROM d JOIN {ours} e USING (user_id) WHERE event IN ({questions.names(question)}) GROUP BY ALL ORDER BY 1 LIMIT 5""")
    for user, level, exact, total, events in found["rows"]:
        print(f"  {total} users differ; user {user}: ClickHouse {level}, exact {exact}: {'; '.join(events[:30])}")


def compare(a, question, facts, found, raw, peers):
    """Whether all answers are the reference's; prints each difference and its reason where that can be known."""
    expected, agreed = questions.without_zeros(found[REFERENCE], question), True
    for engine, answer in found.items():
        wrong = differences(expected, questions.without_zeros(answer, question))
        if wrong:
            agreed = False
            print(f"DISAGREE {question}: {LABELS[engine]} differs from {LABELS[REFERENCE]} in {len(wrong)} of "
                  f"{len(expected)} cells")
            for key, want, have in wrong[:10]:
                print(f"  {' '.join(str(k) for k in key if k is not None)}: expected {want}, got {have}")
            if engine == "clickhouse_parquet" and questions.QUESTIONS[question]["kind"] == "funnel":
                explain_funnel(a, questions.QUESTIONS[question], peers)
    for engine in filter(questions.is_tenure, raw):
        if questions.QUESTIONS[question]["kind"] not in ("retention", "lifecycle"):
            continue
        wrong = questions.complete_cells(question, raw[engine], facts["last_us"])
        if wrong:
            agreed = False
            print(f"DISAGREE {question}: {LABELS[engine]}: `complete` is wrong in {len(wrong)} cells, first {wrong[0]}")
    if len(found) == 1:
        print(f"not compared: {question}, one engine answered")
    else:
        print(f"{'agree' if agreed else 'DISAGREE'}: {question}, {len(expected)} cells, {len(found)} engines")
    return agreed


def fingerprint(file, more=""):
    stat = file.stat()
    return hashlib.sha256(f"{file} {stat.st_size} {stat.st_mtime_ns} {more}".encode()).hexdigest()[:16]


def ingest_command(a, folder):
    return [a.tenure, "ingest", a.parquet, "--into", folder, "--threads", a.threads, "--quiet"]


def bytes_below(folder):
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def ingest_once(a, python, engine, folder):
    """One load into an empty folder: seconds, CPU seconds, peak memory, bytes on disk, and what is found in it."""
    if engine != "tenure_store":
        peer = Peer(python, engine, a, folder)
        loaded = peer.ask("ingest")
        peer.stop()
        return loaded
    _, _, wall, used, peak = run_pinned(ingest_command(a, folder), a.threads)
    row = Tenure(a, folder / "events").answer(loading.CHECK.format("events"))[0]
    return {"seconds": wall, "cpu": used, "peak": peak, "bytes": bytes_below(folder),
            "found": [row["rows"], row["users"]]}


def ingest_all(a, python):
    """The file loaded by each engine, one after the other, in rounds: (agreed, results)."""
    results, agreed = {}, True
    for run in range(1 if a.check_only else a.runs):
        for engine in [e for e in loading.ENGINES if e in a.engines or (a.check_only and not questions.is_tenure(e))]:
            folder = Path(tempfile.mkdtemp(prefix="ingest-", dir=a.tables))
            try:
                results.setdefault(engine, []).append(ingest_once(a, python, engine, folder))
            finally:
                shutil.rmtree(folder, ignore_errors=True)
    found = {engine: tuple(int(n) for n in runs[-1]["found"]) for engine, runs in results.items()}
    agreed = len(set(found.values())) <= 1
    print(f"{'agree' if agreed else 'DISAGREE'}: ingest, rows and sum of users of {len(found)} engines: {found}")
    return agreed, results


def own_tables(a, python):
    """Folder with the engines' own tables over this very file; made once."""
    a.tables = PROJECT / "target/peers-tables"
    folder = a.tables / fingerprint(a.parquet, (HERE / "worker.py").read_text())
    folder.mkdir(parents=True, exist_ok=True)
    if "tenure_store" in a.engines:
        # Another build may write another table: it replaces the one before.
        a.store = folder / f"tenure-{fingerprint(a.tenure)}/events"
        for older in folder.glob("tenure-*"):
            if older != a.store.parent:
                shutil.rmtree(older)
        if not any(a.store.glob("_delta_log/*.json")):
            run_pinned(ingest_command(a, a.store.parent), a.threads)
    for engine in ("clickhouse_mergetree", "duckdb_table"):
        if engine in a.engines:
            peer = Peer(python, engine, a, folder)
            peer.ask("load")
            peer.stop()
    return folder


def ask_all(a, question, python, folder, constant, facts, versions):
    """One question to all engines: checks, then the interleaved measured runs. Returns (agreed, result rows)."""
    peers, statements = {}, {}
    for engine in a.engines:
        if engine == "floor" and question != "funnel":
            continue
        sql = None if engine == "floor" else questions.sql(engine, question, a.parquet, constant)
        if sql is None and engine != "floor":
            print(f"left out: {LABELS[engine]} has no formulation of {question} with the same meaning")
            continue
        own = folder if engine in ("clickhouse_mergetree", "duckdb_table") else ""
        if engine == "floor":
            peers[engine] = Floor(a)
        elif questions.is_tenure(engine):
            table = {"tenure_store": a.store, "tenure_ordered": a.ordered}.get(engine, a.parquet)
            peers[engine] = Tenure(a, table)
        else:
            peers[engine] = Peer(python, engine, a, own)
        statements[engine], versions[engine] = sql, peers[engine].version
    raw = {e: p.ask("query", sql=statements[e])["rows"] if isinstance(p, Peer) else p.answer(statements[e])
           for e, p in peers.items()}
    found = {e: questions.answer(e, question, r) for e, r in raw.items()}
    measured = {e: [] for e in peers}
    if not a.check_only:
        for run in range(a.runs):
            order = list(peers)[run % len(peers):] + list(peers)[:run % len(peers)]
            for engine in order:
                measured[engine].append(peers[engine].ask("query", sql=statements[engine]))
    rows = {e: dict(seconds=[m["seconds"] for m in measured[e]], cpu=[m["cpu"] for m in measured[e]], peak=p.peak(),
                    whole=p.whole if questions.is_tenure(e) else None) for e, p in peers.items()}
    agreed = compare(a, question, facts, found, raw, peers)
    for peer in peers.values():
        peer.stop()
    return agreed, rows


def machine():
    text = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    model = re.search(r"model name\s*: (.*)", text)
    memory = re.search(r"MemTotal:\s*(\d+)", Path("/proc/meminfo").read_text()) if text else None
    return (f"{len(os.sched_getaffinity(0))} cores, {model[1] if model else platform.processor()}, "
            f"{int(memory[1]) // 1024 // 1024 if memory else '?'} GiB, {platform.system()} {platform.release()}")


def table(results):
    floored = any("floor" in rows for rows in results.values())
    head = ["question", "engine", "median s", "fastest-slowest s", "ratio to tenure", *(["ratio to floor"] * floored),
            "CPU s", "peak MiB"]
    lines = [f"| {' | '.join(head)} |", f"|---|---|{'--:|' * (len(head) - 2)}"]
    for question, rows in results.items():
        median = {engine: statistics.median(r["seconds"]) for engine, r in rows.items()}

        def line(label, seconds, *rest):
            middle = statistics.median(seconds)
            ratio = lambda base: f"{middle / median[base]:.2f}" if base in median else ""
            ratios = [ratio("tenure")] + [ratio("floor")] * floored
            cells = [question, label, f"{middle:.3f}", f"{min(seconds):.3f}-{max(seconds):.3f}", *ratios, *rest]
            lines.append(f"| {' | '.join(cells)} |")

        for engine, r in rows.items():
            line(LABELS[engine], r["seconds"], f"{statistics.median(r['cpu']):.2f}", f"{r['peak'] / 2**20:.0f}")
            if r["whole"]:
                line(f"{LABELS[engine]}, whole process", r["whole"], "", "")
    return "\n".join(lines)


def ingest_table(a, results):
    lines = [f"| ingest of {a.parquet.stat().st_size / 2**20:.0f} MiB | median s | fastest-slowest s | ratio to tenure "
             "| CPU s | peak MiB | MiB on disk |", "|---|--:|--:|--:|--:|--:|--:|"]
    median = {engine: statistics.median(r["seconds"] for r in runs) for engine, runs in results.items()}
    for engine, runs in results.items():
        seconds = [r["seconds"] for r in runs]
        ratio = f"{median[engine] / median['tenure_store']:.2f}" if "tenure_store" in median else ""
        lines.append(f"| {LABELS[engine]} | {median[engine]:.2f} | {min(seconds):.2f}-{max(seconds):.2f} | {ratio} "
                     f"| {statistics.median(r['cpu'] for r in runs):.2f} | {max(r['peak'] for r in runs) / 2**20:.0f} "
                     f"| {runs[-1]['bytes'] / 2**20:.0f} |")
    return "\n".join(lines)


def main():
    a = arguments()
    python = environment(a.venv)
    leave_out(a)
    make_data(a)
    judge = Peer(python, REFERENCE, a)
    facts = judge.ask("facts")
    judge.stop()
    if facts["nulls"]:
        sys.exit(f"{a.parquet}: {facts['nulls']} rows without user, time or event; the questions assume none")
    constant = facts["several_properties"] == 0 and facts["property_nulls"] == 0
    print(f"command: {' '.join(sys.argv)}\nmachine: {machine()}; load before: {os.getloadavg()[0]:.1f}")
    print(f"data: {facts['events']:,} events, {facts['users']:,} users, {a.parquet.stat().st_size / 2**20:.0f} MiB Parquet; "
          f"{facts['several_properties']} users with several countries; {facts['tied_steps']} times with tied step events")
    folder = own_tables(a, python)
    versions, results, agreed, ingested = {}, {}, True, None
    for question in a.questions:
        if question == "ingest":
            same, ingested = ingest_all(a, python)
        else:
            same, results[question] = ask_all(a, question, python, folder, constant, facts, versions)
        agreed &= same
    print("versions: " + ", ".join(f"{LABELS[e]} {v}" for e, v in versions.items()) + f"; {a.threads} threads each")
    if not a.check_only:
        print(f"load after: {os.getloadavg()[0]:.1f}")
        if results:
            print(f"\n{table(results)}")
        if ingested:
            print(f"\n{ingest_table(a, ingested)}")
    sys.exit(0 if agreed else 1)


if __name__ == "__main__":
    main()
