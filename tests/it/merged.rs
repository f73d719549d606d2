//! Ordered files whose users overlap, as a table has after appends: they are merged by user, whatever the layout, and answer
//! what hashing answers.

use std::path::Path;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Int32Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type, TimeUnit};
use datafusion::parquet::arrow::ArrowWriter;
use datafusion::parquet::file::metadata::SortingColumn;
use datafusion::parquet::file::properties::{EnabledStatistics, WriterProperties};
use datafusion::physical_plan::metrics::MetricValue;
use datafusion::physical_plan::{ExecutionPlan, ExecutionPlanProperties};
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tenure::engine::Settings;

use crate::ask::{Asked, settings};
use crate::oracle::seed;

/// User, number of the event.
type Row = (Option<i64>, i64);

/// How one file is written.
#[derive(Debug, Clone, Copy)]
struct Layout {
    users: Users,
    nulls_first: bool,
    row_group: usize,
    page: usize,
    statistics: EnabledStatistics,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Users {
    Numbers,
    Small,
    Times,
    Texts,
    Words,
}

const LAYOUT: Layout = Layout {
    users: Users::Numbers,
    nulls_first: false,
    row_group: 1_000_000,
    page: 100,
    statistics: EnabledStatistics::Page,
};

/// Texts longer than statistics keep, which differ at the end or in the middle.
fn text(user: i64) -> String {
    match user % 3 {
        0 => format!("{}{user:0>6}", "x".repeat(80)),
        1 => format!("u{user:0>6}"),
        _ => format!("ü{user}"),
    }
}

fn column(users: Users, values: &[Option<i64>]) -> ArrayRef {
    let texts = || StringArray::from_iter(values.iter().map(|user| user.map(text)));
    match users {
        Users::Numbers => Arc::new(Int64Array::from_iter(values.iter().copied())),
        Users::Small => Arc::new(Int32Array::from_iter(values.iter().map(|user| user.map(|u| u as i32 - 40)))),
        Users::Times => {
            let times = Int64Array::from_iter(values.iter().map(|user| user.map(|u| (u - 20) * 1_000_000)));
            cast(&times, &DataType::Timestamp(TimeUnit::Microsecond, None)).unwrap()
        }
        Users::Texts => Arc::new(texts()),
        Users::Words => {
            cast(&texts(), &DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8))).unwrap()
        }
    }
}

fn write(file: &Path, rows: &[Row], layout: Layout) {
    let mut rows = rows.to_vec();
    let nulls = |user: Option<i64>| user.is_none() != layout.nulls_first;
    match layout.users {
        Users::Texts | Users::Words => rows.sort_by_key(|(user, n)| (nulls(*user), user.map(text), *n)),
        _ => rows.sort_by_key(|(user, n)| (nulls(*user), *user, *n)),
    }
    write_as_is(file, &rows, layout);
}

fn write_as_is(file: &Path, rows: &[Row], layout: Layout) {
    let users: Vec<Option<i64>> = rows.iter().map(|r| r.0).collect();
    let words = ["a", "b", "c", "d"];
    let columns: Vec<(&str, ArrayRef, bool)> = vec![
        ("user_id", column(layout.users, &users), true),
        ("ts", Arc::new(TimestampMicrosecondArray::from_iter_values(rows.iter().map(|r| r.1 / 3 * 1_000_000))), true),
        (
            "event",
            Arc::new(StringArray::from_iter_values(rows.iter().map(|r| words[(r.1 * 7 % 11 % 4) as usize]))),
            true,
        ),
        ("n", Arc::new(Int64Array::from_iter_values(rows.iter().map(|r| r.1))), true),
    ];
    let batch = RecordBatch::try_from_iter_with_nullable(columns).unwrap();
    let by = |column_idx| SortingColumn { column_idx, descending: false, nulls_first: layout.nulls_first };
    let properties = WriterProperties::builder()
        .set_max_row_group_row_count(Some(layout.row_group))
        .set_data_page_row_count_limit(layout.page)
        .set_write_batch_size(layout.page.min(64))
        .set_statistics_enabled(layout.statistics)
        .set_sorting_columns(Some(vec![by(0), by(1)]))
        .build();
    let out = std::fs::File::create(file).unwrap();
    let mut writer = ArrowWriter::try_new(out, batch.schema(), Some(properties)).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
}

fn open(folder: &Path, partitions: usize, options: &[(&str, String)]) -> Asked {
    let tables = vec![("t".to_string(), folder.display().to_string())];
    let mut all = vec![("datafusion.optimizer.repartition_file_min_size".to_string(), "1".to_string())];
    all.extend(options.iter().map(|(key, value)| (key.to_string(), value.clone())));
    Asked::open(&Settings { tables, options: all, ..settings(partitions) })
}

fn plan(asked: &Asked, sql: &str) -> String {
    asked.rows(&format!("EXPLAIN {sql}")).concat().concat()
}

const QUESTIONS: &[&str] = &[
    "SELECT user_id, count(*) AS n, sum(n), min(n), max(ts), count(DISTINCT event), count(*) FILTER (WHERE event = 'b') FROM t GROUP BY user_id",
    "SELECT user_id, window_funnel(INTERVAL '9 seconds', ts, event = 'a', event = 'b', event = 'c') AS level, max(n) FROM t WHERE event <> 'd' GROUP BY user_id",
    "SELECT user_id, retention(event = 'a', n % 5 = 2), count(n) FROM t WHERE n % 3 <> 1 GROUP BY user_id",
    "SELECT user_id, funnel_chain(INTERVAL '1 minute', ts, event = 'a', event = 'c', named_struct('e', event, 'm', n % 4)) FROM t GROUP BY user_id",
    "SELECT DISTINCT user_id FROM t WHERE event = 'a'",
    "SELECT count(*), sum(k), count(user_id) FROM (SELECT user_id, count(*) AS k FROM t GROUP BY user_id HAVING count(*) > 2)",
];

fn both(asked: &Asked, sql: &str, about: &dyn std::fmt::Debug) {
    let sorted = || {
        let mut rows = asked.rows(sql);
        rows.sort();
        rows
    };
    let got = sorted();
    asked.batches("SET tenure.ordered_execution = false").unwrap();
    let want = sorted();
    asked.batches("SET tenure.ordered_execution = true").unwrap();
    assert!(!want.is_empty(), "{sql}");
    for (got, want) in got.iter().zip(&want) {
        assert_eq!(got, want, "seed {}: {about:?}\n{sql}", seed());
    }
    assert_eq!(got.len(), want.len(), "seed {}: {about:?}\n{sql}", seed());
}

/// Files of all sizes, users who are in few or all of them, one with many events, NULL as a user; row groups and pages of any
/// size, with and without statistics.
#[test]
fn merging_answers_what_hashing_answers() {
    let mut random = ChaCha8Rng::seed_from_u64(seed().wrapping_add(401));
    let mut merged = 0;
    for round in 0..10 {
        let folder = tempfile::tempdir().unwrap();
        let users = [Users::Numbers, Users::Small, Users::Times, Users::Texts, Users::Words][round % 5];
        let count = random.random_range(1..60);
        let files = random.random_range(2..8);
        let null_share = [0.0, 0.1, 0.6][random.random_range(0..3)];
        let nulls_first = random.random_bool(0.5);
        let mut layouts = Vec::new();
        for file in 0..files {
            let layout = Layout {
                users,
                nulls_first,
                row_group: [7, 40, 300, 1_000_000][random.random_range(0..4)],
                page: [3, 20, 1_000][random.random_range(0..3)],
                statistics: match random.random_range(0..8) {
                    0 if round % 4 == 0 => EnabledStatistics::None,
                    1 | 2 => EnabledStatistics::Chunk,
                    _ => EnabledStatistics::Page,
                },
            };
            layouts.push(layout);
            let rows = random.random_range(0..300);
            let from = random.random_range(0..count);
            let giant = random.random_range(0..count);
            let rows: Vec<Row> = (0..rows)
                .map(|_| {
                    let user = if random.random_bool(0.2) { giant } else { random.random_range(from..count) };
                    ((!random.random_bool(null_share)).then_some(user), random.random_range(0..60))
                })
                .collect();
            write(&folder.path().join(format!("{file}.parquet")), &rows, layout);
        }
        let partitions = [1, 2, 3, 8][random.random_range(0..4)];
        let batch = [1, 2, 7, 50, 8_192][random.random_range(0..5)];
        let asked = open(folder.path(), partitions, &[("datafusion.execution.batch_size", batch.to_string())]);
        let about = (round, partitions, batch, &layouts);
        merged += usize::from(plan(&asked, QUESTIONS[0]).contains("merging"));
        for sql in QUESTIONS {
            both(&asked, sql, &about);
        }
        let rows = asked.rows(&format!("{} ORDER BY user_id NULLS LAST, n LIMIT 5", QUESTIONS[0]));
        asked.batches("SET tenure.ordered_execution = false").unwrap();
        assert_eq!(rows, asked.rows(&format!("{} ORDER BY user_id NULLS LAST, n LIMIT 5", QUESTIONS[0])), "{about:?}");
    }
    assert!(merged > 6, "{merged} of 10 were merged");
}

fn find(plan: &Arc<dyn ExecutionPlan>, name: &str) -> Arc<dyn ExecutionPlan> {
    let below = || plan.children().into_iter().map(|child| find(child, name)).next();
    if plan.name() == name { Arc::clone(plan) } else { below().unwrap_or_else(|| panic!("no {name}")) }
}

/// Rows that each partition of the aggregation answered for.
fn rows_by_partition(asked: &Asked) -> Vec<i64> {
    let aggregation =
        find(&asked.physical("SELECT user_id, count(*) AS k FROM t GROUP BY user_id"), "UserAggregateExec");
    let answers = asked.partitions(aggregation);
    let sum = |batch: &RecordBatch| batch.column(1).as_primitive::<Int64Type>().values().iter().sum::<i64>();
    answers.iter().map(|batches| batches.iter().map(sum).sum()).collect()
}

/// Seven files of one row group each, the same users in all of them; one user with a tenth of the events.
#[test]
fn partitions_have_about_equal_rows() {
    let folder = tempfile::tempdir().unwrap();
    for file in 0..7 {
        let rows: Vec<Row> = (0..4_000).map(|n| (Some(if n % 10 == 0 { 300 } else { n % 1_000 }), n)).collect();
        write(&folder.path().join(format!("{file}.parquet")), &rows, LAYOUT);
    }
    for partitions in [1, 2, 4] {
        let asked = open(folder.path(), partitions, &[]);
        let rows = rows_by_partition(&asked);
        assert_eq!((rows.len(), rows.iter().sum::<i64>()), (partitions, 28_000));
        let most = 28_000 / partitions as i64 * 115 / 100;
        assert!(rows.iter().all(|rows| *rows <= most), "{rows:?}");
        // What partitions read in vain are a few pages.
        let scan = find(&asked.physical("SELECT user_id, count(*) FROM t GROUP BY user_id"), "UserAggregateExec");
        asked.partitions(Arc::clone(&scan));
        let read = find(&scan, "DataSourceExec").metrics().unwrap().output_rows().unwrap();
        assert!(read <= 28_000 + 7 * 2 * 128 * (partitions - 1), "{partitions} partitions read {read} rows");
    }
}

/// Files one after another with fewer row groups than there are partitions: row groups are cut through.
#[test]
fn few_row_groups_are_cut_through() {
    for files in [1, 2] {
        let folder = tempfile::tempdir().unwrap();
        for file in 0..files {
            // A user in the middle has a third of the events.
            let user = |n: i64| if (4_000..8_000).contains(&n) { 4_000 } else { n / 3 * 3 };
            let rows: Vec<Row> = (0..12_000).map(|n| (Some(file * 20_000 + user(n)), n)).collect();
            write(&folder.path().join(format!("{file}.parquet")), &rows, LAYOUT);
        }
        for partitions in [1, 3, 8] {
            let asked = open(folder.path(), partitions, &[]);
            let physical = asked.physical("SELECT user_id, count(*) FROM t GROUP BY user_id");
            asked.partitions(Arc::clone(&physical));
            let mut rows = vec![0; partitions];
            for metric in find(&physical, "DataSourceExec").metrics().unwrap().iter() {
                if let MetricValue::OutputRows(count) = metric.value() {
                    rows[metric.partition().unwrap()] += count.value();
                }
            }
            let share = 12_000 * files as usize / partitions;
            assert!(rows.iter().all(|rows| rows.abs_diff(share) <= 1), "{rows:?}");
            for sql in &QUESTIONS[..2] {
                both(&asked, sql, &(files, partitions));
            }
        }
    }
}

/// A base of files one after another and two appends are three inputs, not eight.
#[test]
fn files_that_do_not_overlap_share_an_input() {
    let folder = tempfile::tempdir().unwrap();
    for file in 0..6 {
        let rows: Vec<Row> = (0..300).map(|n| (Some(file * 100 + n / 3), n)).collect();
        write(&folder.path().join(format!("base{file}.parquet")), &rows, LAYOUT);
    }
    for append in 0..2 {
        let rows: Vec<Row> = (0..300).map(|n| (Some(n * 2), n)).collect();
        write(&folder.path().join(format!("append{append}.parquet")), &rows, LAYOUT);
    }
    let asked = open(folder.path(), 1, &[]);
    assert!(plan(&asked, QUESTIONS[0]).contains("merging 8 files"));
    let scan = find(&asked.physical(QUESTIONS[0]), "DataSourceExec");
    assert_eq!(scan.output_partitioning().partition_count(), 3);
    for sql in QUESTIONS {
        both(&asked, sql, &"base and appends");
    }
}

/// A hundred files, a user in each of them.
#[test]
fn many_files_are_merged_in_little_memory() {
    let folder = tempfile::tempdir().unwrap();
    for file in 0..100 {
        let rows: Vec<Row> = (0..200).map(|n| (Some(n * 100 + file % 7), n)).chain([(Some(5_000), file)]).collect();
        write(&folder.path().join(format!("{file:0>3}.parquet")), &rows, LAYOUT);
    }
    let tables = vec![("t".to_string(), folder.path().display().to_string())];
    let asked = Asked::open(&Settings { tables, memory: Some(8 << 20), ..settings(2) });
    assert!(plan(&asked, QUESTIONS[0]).contains("merging 100 files"));
    assert_eq!(
        asked.rows("SELECT n FROM (SELECT user_id, count(*) AS n FROM t GROUP BY user_id) WHERE user_id = 5000"),
        [["115"]]
    );
    assert_eq!(
        asked.rows("SELECT count(*), sum(n) FROM (SELECT user_id, count(*) AS n FROM t GROUP BY user_id)"),
        [["1400", "20100"]]
    );
}

/// An order that does not hold within a file is told wherever it can matter.
#[test]
fn a_false_order_is_told() {
    for at in [0, 150, 298] {
        let folder = tempfile::tempdir().unwrap();
        let mut rows: Vec<Row> = (0..300).map(|n| (Some(n), n)).collect();
        write(&folder.path().join("right.parquet"), &rows, LAYOUT);
        rows.swap(at, at + 1);
        write_as_is(&folder.path().join("false.parquet"), &rows, Layout { page: 1_000, ..LAYOUT });
        for partitions in [1, 3] {
            let asked = open(folder.path(), partitions, &[]);
            let error = asked.batches(QUESTIONS[0]).unwrap_err();
            assert!(error.message().contains("comes after"), "{at}: {error}");
        }
    }
}

/// What is asked for is what is read.
#[test]
fn a_limit_stops_reading() {
    let folder = tempfile::tempdir().unwrap();
    for file in 0..3 {
        let mut rows: Vec<Row> = (0..60_000).map(|n| (Some(n / 3), n)).collect();
        rows.shuffle(&mut ChaCha8Rng::seed_from_u64(file));
        write(&folder.path().join(format!("{file}.parquet")), &rows, Layout { page: 1_000, ..LAYOUT });
    }
    for merged in [true, false] {
        let place = if merged { folder.path().to_path_buf() } else { folder.path().join("1.parquet") };
        for partitions in [1, 2] {
            let asked = open(&place, partitions, &[("datafusion.execution.batch_size", "500".to_string())]);
            for sql in [
                "SELECT user_id, count(*) AS k FROM t GROUP BY user_id LIMIT 5",
                "SELECT k + 1 FROM (SELECT user_id, count(*) AS k FROM t GROUP BY user_id LIMIT 5 OFFSET 3)",
                "SELECT DISTINCT user_id FROM t LIMIT 5",
            ] {
                let physical = asked.physical(sql);
                let rows: usize =
                    asked.partitions(Arc::clone(&physical)).iter().flatten().map(RecordBatch::num_rows).sum();
                assert_eq!(rows, 5, "{sql}");
                let read = find(&physical, "DataSourceExec").metrics().unwrap().output_rows().unwrap();
                assert!(read < 30_000, "{sql}: {read} rows read");
            }
            // The first in order are the first; other limits look at everybody.
            let sql = "SELECT user_id, count(*) AS k FROM t GROUP BY user_id ORDER BY user_id LIMIT 4 OFFSET 2";
            let k = if merged { "9" } else { "3" };
            assert_eq!(asked.rows(sql), [["2", k], ["3", k], ["4", k], ["5", k]]);
            let sql = "SELECT user_id, max(n) AS k FROM t GROUP BY user_id ORDER BY k DESC LIMIT 2";
            assert_eq!(asked.rows(sql), [["19999", "59999"], ["19998", "59996"]]);
            let sql = "SELECT user_id FROM t GROUP BY user_id HAVING max(n) > 59000 ORDER BY user_id LIMIT 1";
            assert_eq!(asked.rows(sql), [["19667"]]);
        }
    }
}

/// A join with users keeps the order of the events, however DataFusion would have joined them.
#[test]
fn joins_keep_the_order() {
    let mut random = ChaCha8Rng::seed_from_u64(seed().wrapping_add(402));
    for (files, partitions) in [(1, 1), (1, 3), (4, 1), (4, 3)] {
        let folder = tempfile::tempdir().unwrap();
        let events = folder.path().join("events");
        std::fs::create_dir(&events).unwrap();
        for file in 0..files {
            let mut user = || random.random_bool(0.95).then(|| random.random_range(0..90));
            let rows: Vec<Row> = (0..600).map(|n| (user(), n)).collect();
            write(&events.join(format!("{file}.parquet")), &rows, Layout { page: 40, ..LAYOUT });
        }
        let asked = open(&events, partitions, &[("datafusion.execution.batch_size", "64".to_string())]);
        let users = folder.path().join("users.parquet");
        // Users in no order, some of them twice, some unknown to the events.
        let copy = format!(
            "COPY (SELECT value * 7 % 55 + 40 AS user_id, CASE value % 3 WHEN 0 THEN 'de' WHEN 1 THEN 'fr' END AS country FROM generate_series(1, 70)) TO '{}'",
            users.display()
        );
        asked.batches(&copy).unwrap();
        asked.batches(&format!("CREATE EXTERNAL TABLE users STORED AS PARQUET LOCATION '{}'", users.display())).unwrap();
        for threshold in [1_000_000, 0] {
            for option in ["hash_join_single_partition_threshold", "hash_join_single_partition_threshold_rows"] {
                asked.batches(&format!("SET datafusion.optimizer.{option} = {threshold}")).unwrap();
            }
            for (sql, one_pass) in [
                ("SELECT e.user_id, count(*), max(u.country) FROM t e JOIN users u ON e.user_id = u.user_id WHERE u.country = 'de' GROUP BY e.user_id", true),
                ("SELECT u.user_id, count(*), sum(e.n) FROM t e JOIN users u ON e.user_id = u.user_id GROUP BY u.user_id", true),
                ("SELECT e.user_id, count(*), count(u.country) FROM t e LEFT JOIN users u ON e.user_id = u.user_id AND u.country = 'fr' GROUP BY e.user_id", true),
                ("SELECT user_id, count(*) FROM t WHERE user_id IN (SELECT user_id FROM users WHERE country = 'de') GROUP BY user_id", true),
                ("SELECT user_id, count(*) FROM t WHERE NOT EXISTS (SELECT 1 FROM users u WHERE u.user_id = t.user_id AND country = 'de') GROUP BY user_id", true),
                ("SELECT e.user_id, count(*) FROM t e JOIN (SELECT user_id, min(ts) AS first FROM t GROUP BY user_id) f ON e.user_id = f.user_id WHERE e.ts < f.first + INTERVAL '1 minute' GROUP BY e.user_id", true),
                ("SELECT u.country, count(*) FROM t e JOIN users u ON e.user_id = u.user_id GROUP BY u.country", false),
                ("SELECT country, step, users, dropped FROM funnel((SELECT t.*, country FROM t JOIN users u ON t.user_id = u.user_id), steps => ['a', 'c'], within => INTERVAL '1 minute', by => country)", true),
                ("SELECT e.user_id, count(*) FROM t e JOIN users u ON e.user_id = u.user_id GROUP BY e.user_id LIMIT 1000", true),
            ] {
                let plan = plan(&asked, sql);
                assert_eq!(plan.contains("UserAggregateExec"), one_pass, "{files} files, threshold {threshold}: {sql}\n{plan}");
                both(&asked, sql, &(files, partitions, threshold));
            }
        }
    }
}
