//! Sorts and joins that do not fit under a memory limit: they spill, and have the rows of the same question without a limit.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use tenure::engine::Settings;

use crate::ask::{Asked, settings};

/// Rows `n`, two partitions: three or so of each key `k` and text `w`, some keys NULL, `n` of each row its own.
fn table(rows: i64, step: i64) -> Vec<Vec<RecordBatch>> {
    let mut partitions = vec![Vec::new(), Vec::new()];
    for from in (0..rows).step_by(2_500) {
        let numbers: Vec<i64> = (from..rows.min(from + 2_500)).map(|n| n * 7_919 % rows).collect();
        let key = |n: i64| (n % 397 != 0).then_some(n * step % 40_000);
        let columns: Vec<(&str, ArrayRef)> = vec![
            ("k", Arc::new(Int64Array::from_iter(numbers.iter().map(|&n| key(n))))),
            ("w", Arc::new(StringArray::from_iter_values(numbers.iter().map(|n| format!("text {}", n % 20))))),
            ("at", Arc::new(TimestampMicrosecondArray::from_iter(numbers.iter().map(|&n| key(n))))),
            ("n", Arc::new(Int64Array::from_iter_values(numbers.iter().copied()))),
        ];
        partitions[(from / 2_500 % 2) as usize].push(RecordBatch::try_from_iter(columns).unwrap());
    }
    partitions
}

fn within(memory: Option<usize>, threads: usize) -> Asked {
    let asked = Asked::open(&Settings { memory, ..settings(threads) });
    asked.table("a", table(120_000, 1));
    asked.table("b", table(100_000, 3));
    asked
}

fn plan(asked: &Asked, sql: &str) -> String {
    asked.rows(&format!("EXPLAIN {sql}")).concat().join("\n")
}

#[test]
fn joins_that_do_not_fit_are_sorted() {
    const BOTH: &str = "count(*), sum(a.n), sum(b.n), sum(a.n * b.n), min(a.w), max(b.w), count(a.k), count(b.k)";
    let of_two = |join: &str, on: &str| format!("SELECT {BOTH} FROM a {join} b ON {on}");
    let mut asks = Vec::new();
    for join in ["JOIN", "LEFT JOIN", "RIGHT JOIN", "FULL JOIN"] {
        for on in ["a.k = b.k", "a.at = b.at AND a.w = b.w", "a.k IS NOT DISTINCT FROM b.k"] {
            asks.push(of_two(join, on));
        }
    }
    for join in ["LEFT SEMI", "LEFT ANTI"] {
        asks.push(format!("SELECT count(*), sum(a.n), min(a.w) FROM a {join} JOIN b ON a.k = b.k AND a.w = b.w"));
    }
    for join in ["RIGHT SEMI", "RIGHT ANTI"] {
        asks.push(format!("SELECT count(*), sum(b.n), max(b.w) FROM a {join} JOIN b ON a.at = b.at"));
    }
    let plenty = within(None, 2);
    let roomy = within(Some(256 << 20), 2);
    let scarce = within(Some(8 << 20), 2);
    for sql in &asks {
        let wanted = plenty.rows(sql);
        for (asked, kind) in [(&roomy, "HashJoinExec"), (&scarce, "SortMergeJoinExec")] {
            assert!(plan(asked, sql).contains(kind), "no {kind}: {sql}");
            assert_eq!(asked.rows(sql), wanted, "{kind}: {sql}");
        }
    }
    assert!(plenty.rows(&asks[0])[0][0].parse::<i64>().unwrap() > 100_000, "the join is not much of one");
}

#[test]
fn joins_whose_kinds_could_differ_stay_as_they_are() {
    // So little that each of them would be sorted for its size.
    let scarce = within(Some(2 << 20), 2);
    let plain = plan(&scarce, "SELECT count(*) FROM a LEFT JOIN b ON a.n = b.n");
    assert!(plain.contains("SortMergeJoinExec"), "{plain}");
    for on in ["CAST(a.n AS DOUBLE) = CAST(b.n AS DOUBLE)", "a.k % 7 = b.k AND a.n > b.n"] {
        let sql = format!("SELECT count(*) FROM a LEFT JOIN b ON {on}");
        assert!(plan(&scarce, &sql).contains("HashJoinExec"), "{sql}");
    }
    // The last has a few groups of many rows, and nobody knows how few.
    for sql in [
        "SELECT count(*) FROM a WHERE k NOT IN (SELECT k FROM b)",
        "SELECT count(*) FROM a JOIN b ON a.k = b.k AND a.n < b.n",
        "SELECT count(*) FROM a JOIN (SELECT w, count(*) FROM b GROUP BY w) g ON a.w = g.w",
    ] {
        let plan = plan(&scarce, sql);
        assert!(plan.contains("HashJoinExec"), "{plan}");
    }
}

#[test]
fn a_sort_leaves_room_to_merge_what_it_holds() {
    // The rows that are compared are longer than the rows that are sorted.
    let sql = "SELECT count(*), sum(n * r), max(w) FROM (SELECT n, w, row_number() OVER (ORDER BY w DESC, at, n) AS r FROM a)";
    let wanted = within(None, 2).rows(sql);
    for (threads, megabytes) in [(1, 4), (1, 8), (2, 6), (2, 12), (4, 10), (4, 20)] {
        let asked = within(Some(megabytes << 20), threads);
        assert_eq!(asked.rows(sql), wanted, "{threads} threads, {megabytes} MB");
        let runtime = asked.engine.context().runtime_env();
        assert_eq!((runtime.memory_pool.reserved(), runtime.disk_manager.used_disk_space()), (0, 0));
    }
}
