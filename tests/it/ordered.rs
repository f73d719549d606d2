//! Files ordered by user: when they take the one-pass path, what operators above it get, and orders that do not hold.

use std::path::Path;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use datafusion::parquet::arrow::ArrowWriter;
use datafusion::parquet::file::metadata::SortingColumn;
use datafusion::parquet::file::properties::WriterProperties;
use tenure::engine::Settings;

use crate::ask::{Asked, settings};

/// Writes events of these users, three each, in the order given; few rows in a row group, so that users straddle them.
fn write(file: &Path, users: &[i64], declared: bool) {
    write_as(file, users, declared, 5.max(users.len() / 10), |users| Arc::new(Int64Array::from_iter_values(users)));
}

/// The same with all rows in one row group, whose statistics cannot tell that its rows are in the wrong order.
fn write_whole(file: &Path, users: &[i64], declared: bool) {
    write_as(file, users, declared, 1_000_000, |users| Arc::new(Int64Array::from_iter_values(users)));
}

fn write_as(file: &Path, users: &[i64], declared: bool, row_group: usize, column: impl Fn(Vec<i64>) -> ArrayRef) {
    let rows: Vec<(i64, i64)> = users.iter().flat_map(|user| (0..3).map(move |n| (*user, n))).collect();
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("user_id", column(rows.iter().map(|r| r.0).collect())),
        ("ts", Arc::new(TimestampMicrosecondArray::from_iter_values(rows.iter().map(|r| r.1 * 1_000_000)))),
        ("event", Arc::new(StringArray::from_iter_values(rows.iter().map(|r| ["a", "b", "c"][r.1 as usize])))),
    ];
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    let by = |column_idx| SortingColumn { column_idx, descending: false, nulls_first: false };
    let properties = WriterProperties::builder()
        .set_max_row_group_row_count(Some(row_group))
        .set_sorting_columns(declared.then(|| vec![by(0), by(1)]))
        .build();
    let out = std::fs::File::create(file).unwrap();
    let mut writer = ArrowWriter::try_new(out, batch.schema(), Some(properties)).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
}

fn open(location: &Path, threads: usize) -> Asked {
    let tables = vec![("t".to_string(), location.display().to_string())];
    let options = vec![("datafusion.optimizer.repartition_file_min_size".to_string(), "1".to_string())];
    Asked::open(&Settings { tables, options, ..settings(threads) })
}

fn plan(asked: &Asked, sql: &str) -> String {
    asked.rows(&format!("EXPLAIN {sql}")).concat().concat()
}

const COUNT: &str = "SELECT user_id, count(*) AS n FROM t GROUP BY user_id";

#[test]
fn several_files_are_one_pass_and_merged_where_their_users_overlap() {
    for (second, merged) in [(vec![30, 31, 32], false), (vec![20, 40], false), (vec![19, 40], true), (vec![2, 3], true)]
    {
        let folder = tempfile::tempdir().unwrap();
        // The names are not in the order of the users.
        write(&folder.path().join("b.parquet"), &[1, 2, 3, 20], true);
        write(&folder.path().join("a.parquet"), &second, true);
        let asked = open(folder.path(), 3);
        let sql = format!("SELECT count(*), sum(n) FROM ({COUNT})");
        let plan = plan(&asked, &sql);
        assert!(plan.contains("UserAggregateExec"), "{second:?}");
        assert_eq!(plan.contains("merging 2 files"), merged, "{second:?}");
        let users = 4 + second.iter().filter(|u| ![2, 3, 20].contains(*u)).count();
        let events = 3 * (4 + second.len());
        assert_eq!(asked.rows(&sql), [[users.to_string(), events.to_string()]], "{second:?}");
    }
}

#[test]
fn the_path_can_be_turned_off() {
    let folder = tempfile::tempdir().unwrap();
    write(&folder.path().join("a.parquet"), &[1, 2, 3], true);
    let asked = open(folder.path(), 2);
    let order = asked.rows(&format!("{COUNT} ORDER BY user_id"));
    asked.batches("SET tenure.ordered_execution = false").unwrap();
    assert!(!plan(&asked, COUNT).contains("UserAggregateExec"));
    assert_eq!(asked.rows(&format!("{COUNT} ORDER BY user_id")), order);
}

#[test]
fn files_that_say_nothing_are_hashed_and_a_table_can_say_it_for_them() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a.parquet");
    write(&file, &[1, 2, 3], false);
    let asked = open(&file, 2);
    assert!(!plan(&asked, COUNT).contains("UserAggregateExec"));
    let create =
        format!("CREATE EXTERNAL TABLE u STORED AS PARQUET WITH ORDER (user_id, ts) LOCATION '{}'", file.display());
    asked.batches(&create).unwrap();
    assert!(plan(&asked, &COUNT.replace("FROM t", "FROM u")).contains("UserAggregateExec"));
    assert_eq!(asked.rows("SELECT sum(n) FROM (SELECT user_id, count(*) AS n FROM u GROUP BY user_id)"), [["9"]]);
}

/// A false order is told with the file, the row and both users; never a wrong answer.
#[test]
fn an_order_that_does_not_hold_is_an_error() {
    for threads in 1..=4 {
        for (users, says) in [
            (
                vec![1, 2, 5, 4, 6, 7, 8],
                "file 'false.parquet', row 10 (row group 0): declared to be ordered by user_id, but 4 comes after 5",
            ),
            (
                vec![2, 3, 4, 5, 6, 1],
                "file 'false.parquet', row 16 (row group 0): declared to be ordered by user_id, but 1 comes after 6",
            ),
        ] {
            let folder = tempfile::tempdir().unwrap();
            write_whole(&folder.path().join("false.parquet"), &users, true);
            let asked = open(folder.path(), threads);
            let error = asked.batches(&format!("SELECT sum(n) FROM ({COUNT})")).unwrap_err();
            assert_eq!(error.message(), says, "{threads} threads");
            // Without the path the order is not believed either: the answer is right.
            asked.batches("SET tenure.ordered_execution = false").unwrap();
            asked.batches("SET datafusion.execution.batch_size = 4").unwrap();
            assert_eq!(asked.rows(&format!("{COUNT} ORDER BY user_id")), three_each(&users), "{threads} threads");
        }
    }
}

fn three_each(users: &[i64]) -> Vec<[String; 2]> {
    let mut rows: Vec<[String; 2]> = users.iter().map(|user| [user.to_string(), "3".to_string()]).collect();
    rows.sort();
    rows
}

/// A file whose row groups are sorted each for itself names sorting columns too.
#[test]
fn an_order_of_each_row_group_alone_is_not_believed() {
    for (users, threads) in [(vec![1, 2, 5, 4, 6, 7, 8], 1), (vec![2, 3, 4, 5, 6, 1], 3)] {
        let folder = tempfile::tempdir().unwrap();
        write(&folder.path().join("groups.parquet"), &users, true);
        let asked = open(folder.path(), threads);
        assert!(!plan(&asked, COUNT).contains("UserAggregateExec"));
        assert_eq!(asked.rows(&format!("{COUNT} ORDER BY user_id")), three_each(&users));
        let sorted = asked.rows("SELECT user_id FROM t WHERE event = 'a' ORDER BY user_id");
        assert_eq!(sorted, three_each(&users).iter().map(|row| [row[0].clone()]).collect::<Vec<_>>());
        // Beside a file that is in order, too.
        write(&folder.path().join("other.parquet"), &[3, 9], true);
        let asked = open(folder.path(), threads);
        assert_eq!(asked.one(&format!("SELECT sum(n) FROM ({COUNT})")), ((users.len() + 2) * 3).to_string());
        // Who declares it for the table is told that it is not so.
        let place = folder.path().join("declared.parquet");
        write(&place, &users, false);
        let sql =
            format!("CREATE EXTERNAL TABLE d STORED AS PARQUET WITH ORDER (user_id) LOCATION '{}'", place.display());
        asked.batches(&sql).unwrap();
        let error = asked.batches("SELECT user_id, count(*) FROM d GROUP BY user_id").unwrap_err();
        let (value, group, before) = if threads == 1 { (4, 2, 5) } else { (1, 3, 6) };
        assert_eq!(
            error.message(),
            format!(
                "file 'declared.parquet': declared to be ordered by user_id, but {value} in row group {group} comes after {before}"
            )
        );
        asked.batches("SET tenure.ordered_execution = false").unwrap();
        assert_eq!(
            asked.rows("SELECT user_id, count(*) AS n FROM d GROUP BY user_id ORDER BY user_id"),
            three_each(&users)
        );
    }
}

/// Whatever else relies on a false order is told so too.
#[test]
fn a_sort_that_was_left_out_is_checked() {
    let folder = tempfile::tempdir().unwrap();
    write_whole(&folder.path().join("false.parquet"), &[1, 2, 5, 4, 6, 7, 8], true);
    write(&folder.path().join("right.parquet"), &[11, 12, 13], true);
    for threads in [1, 2] {
        let asked = open(&folder.path().join("false.parquet"), threads);
        for sql in
            ["SELECT * FROM t ORDER BY user_id", "SELECT user_id, event, count(*) FROM t GROUP BY user_id, event"]
        {
            let message = asked.batches(sql).unwrap_err().message().to_string();
            assert!(message.starts_with("file 'false.parquet', row 10 (row group 0): "), "{sql}: {message}");
            assert!(message.contains("comes after (5"), "{sql}: {message}");
        }
        // Nobody asked for an order here.
        assert_eq!(asked.rows("SELECT count(*), max(user_id) FROM t WHERE event = 'a'"), [["7", "8"]]);
        assert!(!plan(&asked, "SELECT * FROM t").contains("OrderCheckExec"));
        let asked = open(&folder.path().join("right.parquet"), threads);
        let sql = "SELECT user_id, event FROM t ORDER BY user_id, ts LIMIT 4";
        assert!(plan(&asked, sql).contains("OrderCheckExec"));
        assert_eq!(asked.rows(sql), [["11", "a"], ["11", "b"], ["11", "c"], ["12", "a"]]);
    }
}

/// Joins, windows and sorts above rely on where the aggregation puts its groups.
#[test]
fn operators_above_get_what_they_rely_on() {
    let folder = tempfile::tempdir().unwrap();
    let users: Vec<i64> = (0..200).map(|u| u * 3).collect();
    write(&folder.path().join("a.parquet"), &users, true);
    for threads in [1, 2, 5] {
        let asked = open(folder.path(), threads);
        // Joins of small inputs gather one side; with these they are partitioned on both.
        asked.batches("SET datafusion.optimizer.hash_join_single_partition_threshold = 0").unwrap();
        asked.batches("SET datafusion.optimizer.hash_join_single_partition_threshold_rows = 0").unwrap();
        let half = "SELECT user_id, count(*) AS m FROM t WHERE event <> 'c' GROUP BY user_id";
        for sql in [
            format!("SELECT count(*), sum(n), sum(m) FROM ({COUNT}) a JOIN ({half}) b USING (user_id)"),
            format!("SELECT count(*), sum(n), sum(m) FROM ({COUNT}) a FULL JOIN ({half} HAVING user_id > 90) b USING (user_id)"),
            format!("SELECT user_id, n, sum(n) OVER (ORDER BY user_id) AS s FROM ({COUNT}) ORDER BY user_id DESC LIMIT 7"),
            format!("SELECT user_id, max(x) FROM (SELECT user_id, n AS x, row_number() OVER (PARTITION BY user_id ORDER BY n) AS r FROM ({COUNT})) WHERE r = 1 GROUP BY user_id ORDER BY user_id LIMIT 5"),
            format!("{COUNT} ORDER BY user_id LIMIT 11"),
            format!("SELECT user_id, sum(n) FROM (({COUNT}) UNION ALL ({half})) GROUP BY user_id ORDER BY user_id"),
            format!("SELECT n, count(*) FROM ({COUNT}) GROUP BY n"),
            "SELECT user_id, count(*) FILTER (WHERE event = 'b'), count(DISTINCT event), array_agg(event ORDER BY ts), min(ts), first_value(event ORDER BY ts DESC) FROM t GROUP BY user_id ORDER BY 1 LIMIT 20".to_string(),
            "SELECT user_id, event, count(*) FROM t GROUP BY user_id, event ORDER BY 1, 2 LIMIT 20".to_string(),
            "SELECT user_id % 7 AS u, count(*) FROM t GROUP BY user_id % 7 ORDER BY 1".to_string(),
            "SELECT DISTINCT user_id FROM t WHERE event = 'a' ORDER BY 1 LIMIT 3".to_string(),
        ] {
            let got = asked.rows(&sql);
            asked.batches("SET tenure.ordered_execution = false").unwrap();
            assert_eq!(got, asked.rows(&sql), "{threads} threads: {sql}");
            asked.batches("SET tenure.ordered_execution = true").unwrap();
        }
    }
}

/// What one user needs does not grow with the number of users.
#[test]
fn memory_is_that_of_few_users() {
    let folder = tempfile::tempdir().unwrap();
    write(&folder.path().join("a.parquet"), &(0..30_000).collect::<Vec<_>>(), true);
    let tables = vec![("t".to_string(), folder.path().display().to_string())];
    let asked = Asked::open(&Settings { tables, memory: Some(3 << 20), ..settings(2) });
    let sql = "SELECT level, count(*) FROM (SELECT user_id, window_funnel(INTERVAL '1 day', ts, event = 'a', event = 'b', event = 'c') AS level FROM t GROUP BY user_id) GROUP BY level";
    assert_eq!(asked.rows(sql), [["3", "30000"]]);
    // Values kept with events are forgotten with their users: all of them would be 6 MB.
    let sql = "SELECT level, count(*) FROM (SELECT user_id, funnel_chain(INTERVAL '1 day', ts, event = 'a', event = 'b', named_struct('who', lpad(user_id, 200, '-')))['level'] AS level FROM t GROUP BY user_id) GROUP BY level";
    assert_eq!(asked.rows(sql), [["2", "30000"]]);
    let sql = "SELECT sum(array_length(u['periods'])) FROM (SELECT user_lifecycle(ts, NULL, 'day', 'UTC', 'monday', named_struct('who', lpad(user_id, 200, '-'))) AS u FROM t GROUP BY user_id)";
    assert_eq!(asked.rows(sql), [["30000"]]);
    assert_eq!(asked.rows("SELECT new, complete FROM lifecycle(t, unit => 'day')"), [["30000", "false"]]);
    let sql = "SELECT count(*), max(length(r['kept']['who'])) FROM (SELECT user_id, user_retention(ts, event = 'a', event = 'c', 'day', 'UTC', 'monday', 'calendar', named_struct('who', lpad(user_id, 200, '-'))) AS r FROM t GROUP BY user_id)";
    assert_eq!(asked.rows(sql), [["30000", "200"]]);
}

/// Long texts as users: the batches they were read in must go with them, though the last user of each stays for the next.
#[test]
fn users_as_long_texts_are_forgotten_too() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a.parquet");
    let text = |users: Vec<i64>| -> ArrayRef {
        Arc::new(StringArray::from_iter_values(users.iter().map(|user| format!("{user:0>400}"))))
    };
    write_as(&file, &(0..30_000).collect::<Vec<_>>(), true, 3_000, text);
    let tables = vec![("t".to_string(), file.display().to_string())];
    // All texts are 12 MB.
    let asked = Asked::open(&Settings { tables, memory: Some(6 << 20), ..settings(1) });
    assert!(plan(&asked, COUNT).contains("UserAggregateExec"));
    assert_eq!(asked.rows(&format!("SELECT count(*), sum(n) FROM ({COUNT})")), [["30000", "90000"]]);
}

/// Values kept with events are numbered anew as users come and go; answers must not notice.
#[test]
fn forgotten_values_change_nothing() {
    let folder = tempfile::tempdir().unwrap();
    write(&folder.path().join("a.parquet"), &(0..9_000).collect::<Vec<_>>(), true);
    let asked = open(folder.path(), 2);
    let table = "(SELECT *, concat(event, user_id) AS page, user_id % 5 AS five FROM t)";
    for sql in [
        format!(
            "SELECT * FROM sessions({table}, gap => INTERVAL '1 second', page => page, by => page) ORDER BY user_id, session_number"
        ),
        format!("SELECT * FROM session_summary({table}, gap => INTERVAL '1 second', page => page, by => five)"),
        format!("SELECT * FROM pages({table}, gap => INTERVAL '1 second', page => page) ORDER BY page"),
        format!("SELECT * FROM transitions({table}, node => page, by => five, top => 9)"),
        format!("SELECT * FROM transitions({table}, node => event, session => page)"),
        format!("SELECT * FROM lifecycle({table}, unit => 'day', by => page)"),
        format!(
            "SELECT * FROM retention({table}, start => 'b', return => 'c', unit => 'day', periods => 0, by => page) ORDER BY page"
        ),
        format!("SELECT * FROM paths({table}, node => page, from => 'b8000', by => five)"),
        format!(
            "SELECT * FROM attribution({table}, conversion => 'c', touch => event <> 'c', channel => page, value => user_id, by => five, model => ['first', 'linear']) ORDER BY model, five, channel"
        ),
        format!(
            "SELECT * FROM funnel({table}, steps => ['a', 'b'], within => INTERVAL '1 day', by => page) ORDER BY page, step"
        ),
    ] {
        assert!(plan(&asked, &sql).contains("UserAggregateExec"), "{sql}");
        let got = asked.rows(&sql);
        assert!(!got.is_empty(), "{sql}");
        asked.batches("SET tenure.ordered_execution = false").unwrap();
        assert!(got == asked.rows(&sql), "{sql}");
        asked.batches("SET tenure.ordered_execution = true").unwrap();
    }
}
