//! Window functions answer what DataFusion's own operator answers, and hold no more rows than they must.

use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray};
use datafusion::datasource::MemTable;
use datafusion::prelude::{SessionConfig, SessionContext};
use proptest::prelude::*;
use tenure::engine::Settings;
use tenure::error::Kind;

use crate::ask::{Asked, rows, settings};

const QUESTIONS: [&str; 11] = [
    "SELECT n, sum(x) OVER () AS a, max(w) OVER () AS b, count(*) OVER () AS c FROM t",
    "SELECT n, sum(x) FILTER (WHERE x > 4) OVER () AS a FROM t",
    "SELECT n, count(DISTINCT w) OVER () AS a, sum(x) OVER (PARTITION BY u) AS b FROM t",
    "SELECT n, sum(x) OVER (PARTITION BY u) AS a, min(n) OVER (PARTITION BY u, w) AS b FROM t",
    "SELECT n, ntile(3) OVER (PARTITION BY u ORDER BY n) AS a FROM t",
    "SELECT n, ntile(4) OVER (ORDER BY n) AS a FROM t",
    "SELECT n, percent_rank() OVER (PARTITION BY w ORDER BY x, n) AS a FROM t",
    "SELECT n, last_value(x) OVER (PARTITION BY u ORDER BY n ROWS BETWEEN CURRENT ROW AND UNBOUNDED FOLLOWING) AS a FROM t",
    "SELECT n, sum(x) OVER (PARTITION BY f ORDER BY n ROWS BETWEEN 1 PRECEDING AND UNBOUNDED FOLLOWING) AS a FROM t",
    "SELECT n, cume_dist() OVER (PARTITION BY u ORDER BY x) AS a, row_number() OVER (PARTITION BY u ORDER BY n) AS b FROM t",
    "SELECT count(*) FROM (SELECT sum(x) OVER () AS a FROM t WHERE n < 0)",
];

type Row = (Option<i64>, Option<i64>, Option<String>, Option<f64>);

fn batch(made: &[Row], first: usize) -> RecordBatch {
    let columns: [(&str, ArrayRef); 5] = [
        ("n", Arc::new(Int64Array::from_iter_values((first..first + made.len()).map(|n| n as i64)))),
        ("u", Arc::new(Int64Array::from_iter(made.iter().map(|r| r.0)))),
        ("x", Arc::new(Int64Array::from_iter(made.iter().map(|r| r.1)))),
        ("w", Arc::new(StringArray::from_iter(made.iter().map(|r| r.2.as_deref())))),
        ("f", Arc::new(Float64Array::from_iter(made.iter().map(|r| r.3)))),
    ];
    RecordBatch::try_from_iter_with_nullable(columns.map(|(name, column)| (name, column, true))).unwrap()
}

fn partitions(made: &[Row], parts: usize, batch_rows: usize) -> Vec<Vec<RecordBatch>> {
    let mut partitions = vec![Vec::new(); parts];
    for (nth, chunk) in made.chunks(batch_rows).enumerate() {
        partitions[nth % parts].push(batch(chunk, nth * batch_rows));
    }
    let nothing = batch(&[], 0);
    partitions.iter_mut().for_each(|p| p.push(nothing.clone()));
    partitions
}

fn row() -> impl Strategy<Value = Row> {
    let text = prop_oneof![Just("a"), Just("b"), Just("")];
    let number = prop_oneof![Just(0.0), Just(-0.0), Just(f64::NAN), Just(2.5)];
    (
        prop::option::weighted(0.9, 0i64..6),
        prop::option::weighted(0.9, 0i64..10),
        prop::option::weighted(0.8, text.prop_map(String::from)),
        prop::option::weighted(0.9, number),
    )
}

fn sorted(batches: &[RecordBatch]) -> Vec<Vec<String>> {
    let mut found = rows(batches);
    found.sort();
    found
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn answers_are_those_of_datafusion(
        made in prop::collection::vec(row(), 0..120),
        batch_rows in 1usize..40,
        parts in 1usize..4,
        batch_size in prop_oneof![Just(1usize), Just(3), Just(50), Just(8_192)],
    ) {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let plain = SessionContext::new_with_config(SessionConfig::new().with_target_partitions(1));
        let table = partitions(&made, 1, batch_rows);
        let schema = table[0][0].schema();
        plain.register_table("t", Arc::new(MemTable::try_new(schema, table).unwrap())).unwrap();
        let options = vec![("datafusion.execution.batch_size".to_string(), batch_size.to_string())];
        let asked = Asked::open(&Settings { options, ..settings(parts) });
        asked.table("t", partitions(&made, parts, batch_rows));
        for sql in QUESTIONS {
            let wanted = runtime.block_on(async { plain.sql(sql).await?.collect().await }).unwrap();
            let found = asked.batches(sql).unwrap();
            prop_assert_eq!(sorted(&found), sorted(&wanted), "{}", sql);
        }
    }
}

/// 300,000 rows of 3,000 users, some 15 MB.
fn many() -> Vec<Vec<RecordBatch>> {
    let made: Vec<Row> = (0..300_000i64)
        .map(|n| (Some(n * 7_919 % 3_000), Some(n % 10), Some(format!("text {}", n % 100)), Some(n as f64)))
        .collect();
    partitions(&made, 2, 5_000)
}

fn within(bytes: usize) -> Asked {
    let asked = Asked::open(&Settings { memory: Some(bytes), ..settings(2) });
    asked.table("t", many());
    asked
}

#[test]
fn rows_wait_for_an_aggregate_over_all_of_them_on_disk() {
    let sql = "SELECT sum(n), min(a), max(a), count(*) FROM (SELECT n, u, w, x, sum(x) OVER () AS a FROM t)";
    let wanted = "44999850000, 1350000, 1350000, 300000";
    for bytes in [2 << 20, 256 << 20] {
        let asked = within(bytes);
        assert_eq!(asked.rows(sql)[0].join(", "), wanted);
        let pool = asked.engine.context().runtime_env().memory_pool.reserved();
        assert_eq!((pool, asked.engine.context().runtime_env().disk_manager.used_disk_space()), (0, 0));
    }
}

#[test]
fn one_partition_at_a_time_is_held() {
    // Each user has 100 rows; the sort below may spill.
    let sql = "SELECT count(*), max(a) FROM (SELECT ntile(2) OVER (PARTITION BY u ORDER BY n) AS a FROM t)";
    assert_eq!(within(8 << 20).rows(sql), [["300000", "2"]]);
}

#[test]
fn rows_that_must_be_held_are_accounted_for() {
    let sql = "SELECT max(a), max(w) FROM (SELECT ntile(2) OVER (ORDER BY n) AS a, w FROM t)";
    assert_eq!(within(256 << 20).rows(sql), [["2", "text 99"]]);
    let error = within(8 << 20).batches(sql).unwrap_err();
    assert_eq!(error.kind(), Kind::Resources);
    assert!(error.message().starts_with("out of memory: WindowAggExec[0] holds "), "{error}");
}
