//! Managed tables: commits, versions, what queries see of them, and logs that are damaged or written by others.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Schema};
use datafusion::common::ScalarValue;
use datafusion::parquet::arrow::ArrowWriter;
use serde_json::{Value, json};
use tempfile::TempDir;
use tenure::engine::Settings;
use tenure::error::Result;
use tenure::store::managed::commit::{Change, Definition, Operation, Refused};
use tenure::store::managed::log::{At, TableLog};
use tenure::store::managed::schema::{dictionary_type, time_type};
use tenure::store::managed::{Roles, StoredFile};

use crate::ask::{Asked, settings};
use crate::program::Place;

/// 2024-01-01, in microseconds.
const DAY_ONE: i64 = 1_704_067_200_000_000;
const DAY: i64 = 86_400_000_000;

type Row = (i64, i64, &'static str);

fn wait<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap().block_on(future)
}

fn definition() -> Definition {
    let fields = vec![
        Field::new("user_id", DataType::Int64, true),
        Field::new("ts", time_type(), true),
        Field::new("event", dictionary_type(), true),
    ];
    let roles = Roles { user: "user_id".into(), time: "ts".into(), event: Some("event".into()) };
    Definition {
        schema: Arc::new(Schema::new(fields)),
        roles: Some(roles),
        settings: vec![("period".into(), "day".into())],
    }
}

fn batch(rows: &[Row], more: &[(&str, ArrayRef)]) -> RecordBatch {
    let times = TimestampMicrosecondArray::from_iter_values(rows.iter().map(|r| r.1)).with_timezone("UTC");
    let events: ArrayRef = Arc::new(StringArray::from_iter_values(rows.iter().map(|r| r.2)));
    let mut columns: Vec<(&str, ArrayRef)> = vec![
        ("user_id", Arc::new(Int64Array::from_iter_values(rows.iter().map(|r| r.0)))),
        ("ts", Arc::new(times)),
        ("event", cast(&events, &dictionary_type()).unwrap()),
    ];
    columns.extend(more.iter().cloned());
    RecordBatch::try_from_iter(columns).unwrap()
}

fn text(micros: i64) -> String {
    chrono::DateTime::from_timestamp_micros(micros).unwrap().to_rfc3339_opts(chrono::SecondsFormat::Micros, true)
}

/// Writes rows as they are, and says of them what a writer of ordered files would.
fn write(folder: &Path, name: &str, rows: &[Row], more: &[(&str, ArrayRef)]) -> StoredFile {
    std::fs::create_dir_all(folder).unwrap();
    let path = folder.join(name);
    let batch = batch(rows, more);
    let mut writer = ArrowWriter::try_new(std::fs::File::create(&path).unwrap(), batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    let users = || rows.iter().map(|r| r.0);
    let times = || rows.iter().map(|r| r.1);
    let (low, high) = (users().min().unwrap(), users().max().unwrap());
    let (first, last) = (times().min().unwrap(), times().max().unwrap());
    StoredFile {
        path: name.to_string(),
        size: std::fs::metadata(&path).unwrap().len(),
        modified: 1_704_067_200_000,
        rows: rows.len() as u64,
        ordered: rows.is_sorted_by_key(|r| (r.0, r.1)),
        users: Some((ScalarValue::Int64(Some(low)), ScalarValue::Int64(Some(high)))),
        times: Some((first, last)),
        checksum: None,
        statistics: json!({
            "numRecords": rows.len(),
            "minValues": {"user_id": low, "ts": text(first)},
            "maxValues": {"user_id": high, "ts": text(last)},
            "nullCount": {"user_id": 0, "ts": 0, "event": 0},
        })
        .to_string(),
    }
}

fn appended(files: Vec<StoredFile>) -> Change {
    Change { add: files, ..Change::new(Operation::Ingest) }
}

/// A view, a cart and a purchase of each user, on one day.
fn day(users: std::ops::Range<i64>, day: i64) -> Vec<Row> {
    let row = |user, n: i64| {
        (user, DAY_ONE + day * DAY + n * 60_000_000 + user % 60, ["view", "cart", "purchase"][n as usize])
    };
    users.flat_map(|user| (0..3).map(move |n| row(user, n))).collect()
}

/// A table of three days: users 0 to 9, 10 to 19, and 5 to 14 again.
fn three_days(folder: &Path) -> TableLog {
    wait(async {
        let first = appended(vec![write(folder, "a.parquet", &day(0..10, 0), &[])]);
        let mut log = TableLog::create(folder, &definition(), &first).await.unwrap();
        let second = appended(vec![write(folder, "b.parquet", &day(10..20, 1), &[])]);
        assert_eq!(log.commit(&second).await.unwrap(), 1);
        let third = appended(vec![write(folder, "c.parquet", &day(5..15, 2), &[])]);
        assert_eq!(log.commit(&third).await.unwrap(), 2);
        log
    })
}

/// A folder with one managed table, `events`.
pub struct Shop {
    folder: TempDir,
}

impl Shop {
    pub fn new() -> Self {
        let shop = Self { folder: tempfile::tempdir().unwrap() };
        three_days(&shop.table());
        shop
    }

    fn table(&self) -> PathBuf {
        self.folder.path().join("events")
    }

    pub fn ask(&self) -> Asked {
        let tables = vec![("events".to_string(), self.table().display().to_string())];
        let options = vec![("datafusion.optimizer.repartition_file_min_size".to_string(), "1".to_string())];
        Asked::open(&Settings { tables, options, ..settings(2) })
    }

    fn entry(&self, version: u64) -> PathBuf {
        self.table().join(format!("_delta_log/{version:020}.json"))
    }
}

fn message(asked: &Asked, sql: &str) -> String {
    match asked.batches(sql) {
        Ok(batches) => panic!("{sql} answers {:?}", crate::ask::rows(&batches)),
        Err(error) => [&[error.message().to_string()][..], error.hints()].concat().join(" | "),
    }
}

fn refused(folder: &Path) -> String {
    wait(TableLog::open(folder, At::Latest)).map(|log| format!("{log:?}")).unwrap_err().message().to_string()
}

#[test]
fn a_table_knows_itself_from_its_log() {
    let shop = Shop::new();
    let log = wait(TableLog::open(&shop.table(), At::Latest)).unwrap();
    assert_eq!((log.version(), log.files().len()), (2, 3));
    assert_eq!(log.roles(), definition().roles.as_ref());
    assert_eq!((log.setting("period"), log.setting("nothing")), (Some("day"), None));
    let types: Vec<_> = log.schema().fields().iter().map(|f| f.data_type().clone()).collect();
    assert_eq!(types, [DataType::Int64, time_type(), dictionary_type()]);
    let b = log.files().iter().find(|f| f.path == "b.parquet").unwrap();
    assert_eq!((b.rows, b.ordered), (30, true));
    assert_eq!(b.users, Some((ScalarValue::Int64(Some(10)), ScalarValue::Int64(Some(19)))));
    assert_eq!(b.times, Some((DAY_ONE + DAY + 10, DAY_ONE + DAY + 120_000_000 + 19)));
    assert!(log.is_newest());
}

#[test]
fn queries_see_the_newest_version_and_old_ones_by_number_and_time() {
    let shop = Shop::new();
    let asked = shop.ask();
    let count = |from: &str| asked.one(&format!("SELECT count(*) FROM {from}"));
    assert_eq!(count("events"), "90");
    for (from, rows) in [
        ("events VERSION AS OF 0", "30"),
        ("events VERSION AS OF 1 AS e", "60"),
        ("events FOR SYSTEM_TIME AS OF now()", "90"),
    ] {
        assert_eq!(count(from), rows, "{from}");
    }
    let quoted = format!("'{}' VERSION AS OF 0", shop.table().display());
    assert_eq!(count(&quoted), "30");
    let joined = "events e JOIN events VERSION AS OF 0 old ON e.user_id = old.user_id AND e.ts = old.ts";
    assert_eq!(count(joined), "30");
    // A relation over an old version, and the time of a commit as the history tells it.
    let users = "SELECT users FROM funnel((SELECT * FROM events VERSION AS OF 0), steps => ['view', 'purchase'], within => INTERVAL '1 day') ORDER BY step";
    assert_eq!(asked.rows(users), [["10"], ["10"]]);
    let history = asked
        .rows("SELECT version, operation, files_added, files_removed, rows_added, rows_removed FROM history(events)");
    let expected =
        [0, 1, 2].map(|v| vec![v.to_string(), "ingest".into(), "1".into(), "0".into(), "30".into(), "0".into()]);
    assert_eq!(history, expected);
    let second = asked.one("SELECT CAST(committed_at AS TEXT) FROM history(events) WHERE version = 1");
    let rows: i64 = count(&format!("events TIMESTAMP AS OF '{second}'")).parse().unwrap();
    assert!([60, 90].contains(&rows), "{rows}: commits of the same millisecond count together");

    assert!(
        message(&asked, "SELECT * FROM events VERSION AS OF 3").contains("has no version 3; there are versions 0 to 2")
    );
    let early = message(&asked, "SELECT * FROM events TIMESTAMP AS OF '2001-01-01'");
    assert!(early.contains("has no version as old as 2001-01-01T00:00:00Z; the first, version 0, is of "), "{early}");
    assert!(message(&asked, "SELECT * FROM events VERSION AS OF 1.5").contains("needs a whole number from 0, got 1.5"));
    assert!(message(&asked, "SELECT * FROM events TIMESTAMP AS OF 7").contains("needs a moment such as"));
    assert!(message(&asked, "SELECT * FROM events TIMESTAMP AS OF user_id").contains("needs a constant, got user_id"));
    asked.batches("CREATE VIEW old AS SELECT * FROM events VERSION AS OF 0").unwrap();
    assert_eq!(count("old"), "30");
    assert!(message(&asked, "SELECT * FROM old VERSION AS OF 0").contains("'old' is no table"));
    asked.batches("CREATE TABLE plain AS SELECT 1 AS one").unwrap();
    assert!(message(&asked, "SELECT * FROM plain VERSION AS OF 0").contains("table 'plain' is not a managed table"));
    assert!(message(&asked, "SELECT * FROM history(plain)").contains("history: the table is not a managed table"));
}

#[test]
fn a_session_sees_commits_as_they_come_views_too() {
    let shop = Shop::new();
    let asked = shop.ask();
    asked
        .batches(
            "CREATE VIEW buyers AS SELECT user_id, count(*) AS n FROM events WHERE event = 'purchase' GROUP BY user_id",
        )
        .unwrap();
    asked.batches("CREATE VIEW everything AS SELECT * FROM events").unwrap();
    assert_eq!(asked.one("SELECT sum(n) FROM buyers"), "30");
    let plan = format!("{:?}", asked.rows("DESCRIBE events"));
    assert!(!plan.contains("country"));
    let country: ArrayRef = Arc::new(StringArray::from_iter((0..30).map(|n| (n % 2 == 0).then_some("DE"))));
    let change = Change {
        new_columns: vec![Field::new("country", dictionary_type(), true)],
        ..appended(vec![write(&shop.table(), "d.parquet", &day(20..30, 3), &[("country", country)])])
    };
    wait(async { TableLog::open(&shop.table(), At::Latest).await.unwrap().commit(&change).await.unwrap() });
    assert_eq!(asked.one("SELECT sum(n) FROM buyers"), "40");
    assert_eq!(asked.one("SELECT count(*) FROM everything"), "120");
    // Rows of files without the column have none.
    let by_country = "SELECT country, count(*) AS n FROM events GROUP BY country ORDER BY n";
    assert_eq!(asked.rows(by_country), [["DE", "15"], ["NULL", "105"]]);
    assert_eq!(asked.one("SELECT count(*) FROM events WHERE country IS NULL"), "105");
    assert!(message(&asked, "SELECT country FROM events VERSION AS OF 2").contains("country"));
}

#[test]
fn two_mentions_in_one_statement_are_one_version() {
    let shop = Shop::new();
    let asked = shop.ask();
    // While somebody commits all the time, a statement that names the table twice in FROM, in a relation and through a view finds
    // the same rows each time.
    asked.batches("CREATE VIEW seen AS SELECT * FROM events").unwrap();
    let stop = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut log = wait(TableLog::open(&shop.table(), At::Latest)).unwrap();
            for n in 0..200 {
                let name = format!("n{n}.parquet");
                let file = write(&shop.table(), &name, &[(100 + n, DAY_ONE + n, "view")], &[]);
                wait(log.commit(&appended(vec![file]))).unwrap();
                if stop.load(std::sync::atomic::Ordering::Relaxed) {
                    break;
                }
                std::thread::sleep(std::time::Duration::from_millis(20));
            }
        });
        let users = |table: &str| {
            format!(
                "SELECT max(users) AS n FROM funnel({table}, steps => ['view', 'cart'], within => INTERVAL '1 day')"
            )
        };
        let sql = format!(
            "SELECT array_agg(DISTINCT n) AS all FROM ({} UNION ALL {} UNION ALL {} UNION ALL SELECT count(DISTINCT user_id) FROM events)",
            users("events"),
            users("seen"),
            users("(SELECT * FROM events)")
        );
        let mut answers = std::collections::BTreeSet::new();
        for _ in 0..4 {
            let answer = asked.one(&sql);
            assert!(!answer.contains(','), "{answer}");
            answers.insert(answer);
        }
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
        assert!(answers.len() > 1, "nothing was committed meanwhile: {answers:?}");
    });
}

const USERS: &str = "SELECT user_id, count(*) AS n, min(ts) AS first FROM events GROUP BY user_id ORDER BY user_id";

fn plan(asked: &Asked, sql: &str) -> String {
    asked.rows(&format!("EXPLAIN {sql}")).concat().concat()
}

#[test]
fn files_that_do_not_overlap_take_one_pass_and_filters_leave_files_out() {
    let shop = Shop::new();
    let asked = shop.ask();
    // Days 0 and 1 do not share a user.
    let some = USERS.replace("FROM events", "FROM events WHERE ts < TIMESTAMP '2024-01-03 00:00:00'");
    let explained = plan(&asked, &some);
    assert!(explained.contains("UserAggregateExec"), "{explained}");
    assert!(explained.contains("a.parquet") && explained.contains("b.parquet") && !explained.contains("c.parquet"));
    let one_user = plan(&asked, "SELECT count(*) AS n FROM events WHERE user_id = 17");
    assert!(one_user.contains("b.parquet") && !one_user.contains("a.parquet") && !one_user.contains("c.parquet"));
    assert!(plan(&asked, "SELECT * FROM events WHERE user_id = 100").contains("EmptyExec"));
    // What the log knows needs no file.
    for (sql, answer) in [
        ("SELECT count(*) FROM events", "90"),
        ("SELECT max(user_id) FROM events", "19"),
        ("SELECT count(event) FROM events", "90"),
        ("SELECT CAST(min(ts) AS BIGINT) FROM events", &DAY_ONE.to_string()),
    ] {
        assert!(!plan(&asked, sql).contains("DataSourceExec"), "{sql}");
        assert_eq!(asked.one(sql), answer);
    }
    let answers = [asked.rows(&some), asked.rows(USERS)];
    asked.batches("SET tenure.ordered_execution = false").unwrap();
    assert_eq!(answers, [asked.rows(&some), asked.rows(USERS)]);
    assert_eq!(answers[1].len(), 20);
    assert_eq!(answers[1][7][1], "6");
}

#[test]
fn names_of_events_are_known() {
    let shop = Shop::new();
    let asked = shop.ask();
    let wrong = "SELECT * FROM funnel(events, steps => ['view', 'purchse'], within => INTERVAL '1 day')";
    assert!(message(&asked, wrong).contains("no event is called 'purchse'; did you mean 'purchase'?"));
}

#[test]
fn tables_are_found_by_folder_name_and_declaration() {
    let shop = Shop::new();
    let path = shop.table().display().to_string();
    let bare = Asked::new(2);
    assert_eq!(bare.one(&format!("SELECT count(*) FROM '{path}'")), "90");
    for format in ["DELTA", "PARQUET"] {
        bare.batches(&format!("CREATE EXTERNAL TABLE t_{format} STORED AS {format} LOCATION '{path}'")).unwrap();
        assert_eq!(bare.one(&format!("SELECT count(*) FROM t_{format}")), "90");
    }
    let refusals = [
        (format!("CREATE EXTERNAL TABLE x STORED AS DELTA WITH ORDER (ts) LOCATION '{path}'"), "leave out WITH ORDER"),
        (format!("CREATE EXTERNAL TABLE x (a INT) STORED AS DELTA LOCATION '{path}'"), "leave out columns"),
        (
            format!("CREATE EXTERNAL TABLE x STORED AS DELTA LOCATION '{}'", shop.folder.path().display()),
            "is not a managed table",
        ),
        (format!("SELECT * FROM '{}/'", shop.folder.path().display()), "is a managed table"),
        (
            format!("CREATE EXTERNAL TABLE x STORED AS DELTA LOCATION '{path}' OPTIONS ('tenure.event' 'evnt')"),
            "did you mean 'event'?",
        ),
    ];
    for (sql, part) in refusals {
        let told = message(&bare, &sql);
        assert!(told.contains(part), "{sql}: {told}");
    }
    // A folder of managed tables is a workspace; what tenure.toml says goes first.
    let offered = Asked::open(&Settings { workspace: Some(shop.folder.path().into()), ..settings(2) });
    assert_eq!(offered.one("SELECT count(*) FROM events"), "90");
    let toml =
        "[tables.events]\nlocation = 'events'\nevent = 'kind'\n[tables.again]\nlocation = 'events'\nformat = 'delta'\n";
    std::fs::write(shop.folder.path().join("tenure.toml"), toml).unwrap();
    let declared = Asked::open(&Settings { workspace: Some(shop.folder.path().into()), ..settings(2) });
    assert!(message(&declared, "SELECT * FROM events").contains("the event column 'kind' does not exist"));
    assert_eq!(declared.one("SELECT count(*) FROM again"), "90");
    let tables = wait(declared.engine.tables()).unwrap();
    let again = tables.iter().find(|t| t.name == "again").unwrap();
    let roles: Vec<_> = again.columns.iter().map(|c| c.role.as_deref().unwrap_or("")).collect();
    assert_eq!(roles, ["user", "time", "event"]);
}

#[test]
fn commits_that_make_no_sense_any_more_are_conflicts() {
    let shop = Shop::new();
    let folder = shop.table();
    wait(async {
        let open = || async { TableLog::open(&folder, At::Latest).await.unwrap() };
        let (mut first, mut second, mut third) = (open().await, open().await, open().await);
        let merged = write(&folder, "ab.parquet", &[day(0..10, 0), day(10..20, 1)].concat(), &[]);
        let compact = Change {
            remove: vec!["a.parquet".into(), "b.parquet".into()],
            ..Change { add: vec![merged], ..Change::new(Operation::Compact) }
        };
        assert_eq!(first.commit(&compact).await.unwrap(), 3);
        assert_eq!(first.files().len(), 2);
        // The same files again, by somebody who has not seen it.
        let erase = Change { remove: vec!["b.parquet".into()], ..Change::new(Operation::Erase) };
        match second.commit(&erase).await {
            Err(Refused::Conflict(why)) => assert!(why.contains("file 'b.parquet' is no longer part of"), "{why}"),
            other => panic!("{other:?}"),
        }
        assert!(second.commit(&compact).await.is_err());
        // Moving rows brings none: whoever compared new rows with those of version 2 may go on.
        let e = appended(vec![write(&folder, "e.parquet", &day(30..31, 4), &[])]);
        let e = Change { unless_data_since: Some(2), ..e };
        assert_eq!(third.commit(&e).await.unwrap(), 4);
        let f = appended(vec![write(&folder, "f.parquet", &day(31..32, 4), &[])]);
        let f = Change { unless_data_since: Some(3), ..f };
        match third.commit(&f).await {
            Err(Refused::Conflict(why)) => assert!(why.contains("version 4"), "{why}"),
            other => panic!("{other:?}"),
        }
        // A column that two bring with different types.
        let column =
            |t: DataType| Change { new_columns: vec![Field::new("x", t, true)], ..Change::new(Operation::Ingest) };
        assert_eq!(first.commit(&column(DataType::Int64)).await.unwrap(), 5);
        assert_eq!(second.commit(&column(DataType::Int64)).await.unwrap(), 6);
        assert_eq!(second.schema().fields().len(), 4);
        assert!(matches!(second.commit(&column(DataType::Utf8)).await, Err(Refused::Conflict(_))));
        // A commit that was made before.
        let txn = |n| Change { transaction: Some(("load".into(), n)), ..Change::new(Operation::Ingest) };
        assert_eq!(first.commit(&txn(1)).await.unwrap(), 7);
        assert_eq!(third.transaction_version("load").await.unwrap(), None);
        assert!(matches!(third.commit(&txn(1)).await, Err(Refused::Repeated(1))));
        assert_eq!(third.transaction_version("load").await.unwrap(), Some(1));
        assert_eq!(third.commit(&txn(2)).await.unwrap(), 8);
        assert!(matches!(
            TableLog::create(&folder, &definition(), &Change::new(Operation::Ingest)).await,
            Err(Refused::Conflict(_))
        ));
    });
    let asked = shop.ask();
    assert_eq!(asked.one("SELECT count(*) FROM events"), "93");
    let history = asked.rows("SELECT operation, rows_added, rows_removed FROM history(events) WHERE version = 3");
    assert_eq!(history, [["compact", "60", "60"]]);
}

/// Appends one row each; the user says which writer and which turn it was.
async fn append(folder: &Path, writer: i64, turns: i64) -> Result<(), Refused> {
    for turn in 0..turns {
        let user = writer * 1000 + turn;
        let name = format!("w{writer}-{turn}.parquet");
        let file = write(folder, &name, &[(user, DAY_ONE + user, "view")], &[]);
        let mut log = TableLog::open(folder, At::Latest).await?;
        log.commit(&appended(vec![file])).await?;
    }
    Ok(())
}

const WRITER: &str = "TENURE_TEST_WRITER";

/// Not a test of its own: what `writers_in_threads_and_processes_all_land` runs as another process.
#[test]
fn a_writer_of_another_process() {
    let Ok(order) = std::env::var(WRITER) else { return };
    let (writer, folder) = order.split_once(' ').unwrap();
    wait(append(Path::new(folder), writer.parse().unwrap(), 4)).unwrap();
}

#[test]
fn writers_in_threads_and_processes_all_land() {
    let shop = Shop::new();
    let folder = shop.table();
    let processes: Vec<_> = [1, 2]
        .map(|writer| {
            std::process::Command::new(std::env::current_exe().unwrap())
                .args(["managed::a_writer_of_another_process", "--exact", "--quiet"])
                .env(WRITER, format!("{writer} {}", folder.display()))
                .stdout(std::process::Stdio::null())
                .spawn()
                .unwrap()
        })
        .into();
    let threads: Vec<_> = [3, 4, 5]
        .map(|writer| {
            let folder = folder.clone();
            std::thread::spawn(move || wait(append(&folder, writer, 4)).unwrap())
        })
        .into();
    threads.into_iter().for_each(|t| t.join().unwrap());
    for mut process in processes {
        assert!(process.wait().unwrap().success());
    }
    let log = wait(TableLog::open(&folder, At::Latest)).unwrap();
    assert_eq!((log.version(), log.files().len()), (22, 23));
    // Two checkpoints on the way: what they sum up is all still known.
    assert!(folder.join("_delta_log/_last_checkpoint").exists());
    assert!(log.files().iter().all(|f| f.ordered && f.users.is_some() && f.rows > 0));
    assert_eq!(
        log.files().iter().find(|f| f.path == "b.parquet").unwrap().times,
        Some((DAY_ONE + DAY + 10, DAY_ONE + DAY + 120_000_019))
    );
    let asked = shop.ask();
    assert_eq!(asked.one("SELECT count(*) FROM events"), "110");
    assert_eq!(asked.one("SELECT count(DISTINCT user_id) FROM events WHERE user_id >= 1000"), "20");
    let versions = asked.rows("SELECT version FROM history(events)");
    assert_eq!(versions.len(), 23);
    // The entries before the checkpoint are no longer needed.
    for version in 0..19 {
        std::fs::remove_file(shop.entry(version)).unwrap();
    }
    assert_eq!(wait(TableLog::open(&folder, At::Latest)).unwrap().files().len(), 23);
    let gone = message(&shop.ask(), "SELECT * FROM events VERSION AS OF 3");
    assert!(
        gone.contains("version 3 of") && gone.contains("is no longer in its log; there are versions 19 to 22"),
        "{gone}"
    );
}

#[test]
fn two_who_make_the_same_table_make_one() {
    let folder = tempfile::tempdir().unwrap();
    let table = folder.path().join("t");
    let made: Vec<bool> = std::thread::scope(|scope| {
        let makers: Vec<_> = (0..4)
            .map(|n| {
                let table = table.clone();
                scope.spawn(move || {
                    let first = appended(vec![write(&table, &format!("{n}.parquet"), &day(n..n + 1, 0), &[])]);
                    match wait(TableLog::create(&table, &definition(), &first)) {
                        Ok(_) => true,
                        Err(Refused::Conflict(_)) => false,
                        Err(other) => panic!("{other:?}"),
                    }
                })
            })
            .collect();
        makers.into_iter().map(|m| m.join().unwrap()).collect()
    });
    assert_eq!(made.iter().filter(|made| **made).count(), 1);
    let log = wait(TableLog::open(&table, At::Latest)).unwrap();
    assert_eq!((log.version(), log.files().len()), (0, 1));
}

#[test]
fn a_table_that_is_made_anew_is_another() {
    let shop = Shop::new();
    let asked = shop.ask();
    asked.batches("CREATE VIEW seen AS SELECT * FROM events").unwrap();
    assert_eq!(asked.one("SELECT count(*) FROM seen"), "90");
    let mut old = wait(TableLog::open(&shop.table(), At::Latest)).unwrap();
    for versions in [1, 5] {
        std::fs::remove_dir_all(shop.table()).unwrap();
        wait(async {
            let first = appended(vec![write(&shop.table(), "n.parquet", &day(0..1, 0), &[])]);
            let mut log = TableLog::create(&shop.table(), &definition(), &first).await.unwrap();
            for _ in 1..versions {
                log.commit(&Change::new(Operation::Ingest)).await.unwrap();
            }
        });
        assert_eq!(asked.one("SELECT count(*) FROM events"), "3");
        assert_eq!(asked.one("SELECT count(*) FROM seen"), "3");
        let late = wait(old.clone().commit(&Change::new(Operation::Ingest)));
        assert!(matches!(&late, Err(Refused::Conflict(why)) if why.contains("made again")), "{late:?}");
    }
    // Whoever had the table open goes on after having read it again.
    old = wait(TableLog::open(&shop.table(), At::Latest)).unwrap();
    assert_eq!(wait(old.commit(&Change::new(Operation::Ingest))).unwrap(), 5);
}

#[test]
fn a_workspace_offers_tables_that_are_made_meanwhile() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("tenure.toml"), "").unwrap();
    let settings = Settings { workspace: Some(folder.path().into()), local_files: false, ..settings(2) };
    let asked = Asked::open(&settings);
    assert!(message(&asked, "SELECT * FROM made").contains("table 'made' not found"));
    three_days(&folder.path().join("made"));
    assert_eq!(asked.one("SELECT count(*) FROM made"), "90");
    assert_eq!(asked.one("SELECT max(users) FROM funnel(made, steps => ['view'], within => INTERVAL '1 day')"), "20");
    let asked = Asked::open(&settings);
    assert!(wait(asked.engine.tables()).unwrap().iter().any(|table| table.name == "made"));
}

#[test]
fn damaged_logs_name_the_entry() {
    let shop = Shop::new();
    let asked = shop.ask();
    let whole = std::fs::read_to_string(shop.entry(1)).unwrap();
    std::fs::write(shop.entry(1), &whole[..whole.len() - 40]).unwrap();
    let told = refused(&shop.table());
    assert!(told.contains("00000000000000000001.json' is damaged: it does not match its checksum"), "{told}");
    // Where there is none, as other writers leave it, the line is told.
    std::fs::remove_file(shop.entry(1).with_extension("crc")).unwrap();
    let half = &whole[..whole.len() - 40];
    for (text, what) in [
        (half, "line 2"),
        ("{\"add\":\n", "line 1"),
        ("[]\n", "line 1: it is no JSON object"),
        ("\u{0}\u{0}\u{0}", "line 1"),
    ] {
        std::fs::write(shop.entry(1), text).unwrap();
        let told = refused(&shop.table());
        assert!(told.contains("00000000000000000001.json' is damaged") && told.contains(what), "{told}");
    }
    // A session that has read the table before does not look back.
    assert_eq!(asked.one("SELECT count(*) FROM events"), "90");
    std::fs::remove_file(shop.entry(1)).unwrap();
    let told = refused(&shop.table());
    assert!(told.contains("00000000000000000001.json' is missing"), "{told}");
    std::fs::write(shop.entry(1), whole).unwrap();
    assert_eq!(wait(TableLog::open(&shop.table(), At::Latest)).unwrap().version(), 2);
    let empty = tempfile::tempdir().unwrap();
    assert!(refused(empty.path()).contains("is not a managed table"));
    std::fs::create_dir(empty.path().join("_delta_log")).unwrap();
    assert!(refused(empty.path()).contains("has no commit log"));
    // Whoever was stopped before the first entry may begin again.
    three_days(empty.path());
    assert_eq!(wait(TableLog::open(empty.path(), At::Latest)).unwrap().version(), 2);
}

#[test]
fn a_file_that_is_gone_is_named() {
    let shop = Shop::new();
    let asked = shop.ask();
    std::fs::remove_file(shop.table().join("b.parquet")).unwrap();
    assert!(message(&asked, "SELECT sum(user_id) FROM events").contains("b.parquet"));
    // Its rows are in the log; those of other files can still be read.
    assert_eq!(asked.one("SELECT sum(user_id) FROM events WHERE ts < TIMESTAMP '2024-01-02 00:00:00'"), "135");
    let old = message(&asked, "SELECT * FROM events VERSION AS OF 1");
    assert!(old.contains("version 1 of") && old.contains("its file 'b.parquet' was removed"), "{old}");
}

/// Adds an entry of another writer.
fn foreign(shop: &Shop, version: u64, actions: &[Value]) {
    let lines: Vec<String> = actions.iter().map(Value::to_string).collect();
    std::fs::write(shop.entry(version), lines.join("\n")).unwrap();
}

fn foreign_add(path: &str, size: u64, statistics: &Value) -> Value {
    json!({"add": {"path": path, "partitionValues": {}, "size": size, "modificationTime": 0, "dataChange": true, "stats": statistics.to_string()}})
}

#[test]
fn files_of_other_writers_are_read_and_not_believed_to_be_ordered() {
    let shop = Shop::new();
    // Not in order, and its times are cut to the millisecond in what it says of them.
    let rows: Vec<Row> = vec![(40, DAY_ONE + 1_999, "view"), (3, DAY_ONE + 5, "view"), (40, DAY_ONE + 1_001, "cart")];
    let file = write(&shop.table(), "with space.parquet", &rows, &[]);
    assert!(!file.ordered);
    let statistics = json!({"numRecords": 3, "minValues": {"user_id": 3, "ts": "2024-01-01T00:00:00.000Z", "event": "cart"},
        "maxValues": {"user_id": 40, "ts": "2024-01-01T00:00:00.001Z", "event": "view"}, "nullCount": {"user_id": 0, "ts": 0, "event": 0}});
    foreign(
        &shop,
        3,
        &[
            json!({"commitInfo": {"timestamp": 1, "operation": "MERGE"}}),
            foreign_add("with%20space.parquet", file.size, &statistics),
        ],
    );
    let log = wait(TableLog::open(&shop.table(), At::Latest)).unwrap();
    let found = log.files().iter().find(|f| f.path == "with space.parquet").unwrap();
    assert!(!found.ordered);
    assert!(found.times.unwrap().0 <= DAY_ONE + 5 && found.times.unwrap().1 >= DAY_ONE + 1_999);
    let asked = shop.ask();
    assert_eq!(asked.one("SELECT count(*) FROM events"), "93");
    assert_eq!(
        asked.one(&format!(
            "SELECT count(*) FROM events WHERE ts = arrow_cast({}, 'Timestamp(Microsecond, Some(\"UTC\"))')",
            DAY_ONE + 1_999
        )),
        "1"
    );
    assert_eq!(
        asked.one("SELECT CAST(max(ts) AS BIGINT) FROM events WHERE user_id = 40"),
        (DAY_ONE + 1_999).to_string()
    );
    assert!(!plan(&asked, USERS).contains("UserAggregateExec"));
    assert_eq!(asked.rows(USERS)[20][..2], ["40", "2"]);
    assert_eq!(asked.rows(USERS)[3][..2], ["3", "4"]);
    assert_eq!(asked.one("SELECT operation FROM history(events) WHERE version = 3"), "merge");
    // Its clock is wrong: the version is no older than the one before it.
    assert_eq!(asked.one("SELECT count(*) FROM events TIMESTAMP AS OF now()"), "93");
}

#[test]
fn what_would_be_read_wrong_is_not_read() {
    let shop = Shop::new();
    // With column mapping every column has another name in the files.
    let metadata = |key: &str, value: &str| {
        let entry = std::fs::read_to_string(shop.entry(0)).unwrap();
        let line = entry.lines().find(|l| l.contains("metaData")).unwrap();
        let mut metadata: Value = serde_json::from_str(line).unwrap();
        metadata["metaData"]["configuration"][key] = json!(value);
        if key.contains("columnMapping") {
            let mut schema: Value =
                serde_json::from_str(metadata["metaData"]["schemaString"].as_str().unwrap()).unwrap();
            for (id, field) in schema["fields"].as_array_mut().unwrap().iter_mut().enumerate() {
                field["metadata"]["delta.columnMapping.id"] = json!(id);
                field["metadata"]["delta.columnMapping.physicalName"] = json!(format!("col-{id}"));
            }
            metadata["metaData"]["schemaString"] = json!(schema.to_string());
        }
        metadata
    };
    let vector = json!({"storageType": "u", "pathOrInlineDv": "vBn[lx{q8@P<9BNH/isA", "offset": 1, "sizeInBytes": 36, "cardinality": 2});
    let mut deleted = foreign_add("x.parquet", 1, &json!({"numRecords": 3}));
    deleted["add"]["deletionVector"] = vector;
    let protocol = |features: &[&str]| json!({"protocol": {"minReaderVersion": 3, "minWriterVersion": 7, "readerFeatures": features, "writerFeatures": features}});
    let cases: Vec<(Vec<Value>, &str)> = vec![
        (
            vec![protocol(&["columnMapping"]), metadata("delta.columnMapping.mode", "id")],
            "maps its columns to other names",
        ),
        (
            vec![protocol(&["deletionVectors"]), metadata("delta.enableDeletionVectors", "true"), deleted],
            "deletion vector",
        ),
        (vec![protocol(&["futureFeature"])], "futureFeature"),
        (vec![foreign_add("s3://bucket/x.parquet", 1, &json!({}))], "lies outside the table's folder"),
    ];
    for (actions, part) in cases {
        foreign(&shop, 3, &actions);
        let told = refused(&shop.table());
        assert!(told.contains(part), "{part}: {told}");
    }
}

#[test]
fn vacuum_removes_what_old_versions_alone_need() {
    let place = Place::new();
    let table = place.path("events");
    let mut log = three_days(&table);
    let merged = write(&table, "ab.parquet", &[day(0..10, 0), day(10..20, 1)].concat(), &[]);
    let compact = Change {
        add: vec![merged],
        remove: vec!["a.parquet".into(), "b.parquet".into()],
        ..Change::new(Operation::Compact)
    };
    wait(log.commit(&compact)).unwrap();
    // Somebody is still writing this one; the others are none of its business.
    std::fs::write(table.join("new.parquet"), "..").unwrap();
    std::fs::write(table.join("tenure.toml"), "").unwrap();
    std::fs::create_dir(table.join("_ingest")).unwrap();
    std::fs::write(table.join("_ingest/run.parquet"), "").unwrap();
    let abandoned = std::fs::File::create(table.join("abandoned.parquet")).unwrap();
    abandoned.set_modified(std::time::SystemTime::now() - std::time::Duration::from_secs(8 * 86_400)).unwrap();

    let kept = place.run(&["vacuum", "events", "--dry-run"]);
    assert_eq!(
        kept,
        "exit 0\n-- stdout\nabandoned.parquet\n-- stderr\nwould remove 1 files (0 bytes) that no version of the last 7 days needs; 3 would stay\n"
    );
    let bytes = ["a", "b", "abandoned"].map(|n| std::fs::metadata(table.join(format!("{n}.parquet"))).unwrap().len());
    let dry = place.run(&["vacuum", "events", "--older-than", "0", "--dry-run", "-q"]);
    assert_eq!(dry, "exit 0\n-- stdout\na.parquet\nabandoned.parquet\nb.parquet\n");
    assert!(table.join("a.parquet").exists());
    let done = place.run(&["vacuum", "events", "--older-than", "0"]);
    let total: u64 = bytes.iter().sum();
    assert!(
        done.contains(&format!("removed 3 files ({}.{:03} bytes)", total / 1000, total % 1000))
            || done.contains("removed 3 files ("),
        "{done}"
    );
    assert!(done.ends_with("; 1 stay\n"), "{done}");
    for (name, there) in [
        ("a.parquet", false),
        ("ab.parquet", true),
        ("c.parquet", true),
        ("new.parquet", true),
        ("tenure.toml", true),
        ("_ingest/run.parquet", true),
    ] {
        assert_eq!(table.join(name).exists(), there, "{name}");
    }
    let asked = Asked::open(&Settings { tables: vec![("events".into(), table.display().to_string())], ..settings(2) });
    assert_eq!(asked.one("SELECT count(*) FROM events WHERE user_id >= 0"), "90");
    let old = message(&asked, "SELECT * FROM events VERSION AS OF 1");
    assert!(
        old.contains("version 1 of") && old.contains("was removed; the oldest that is whole is version 3"),
        "{old}"
    );

    assert!(
        place.run(&["vacuum", "."]).contains("'.' is not a managed table\nhint: managed tables below it: ./events\n")
    );
    assert!(place.run(&["vacuum", "nowhere"]).contains("'nowhere' does not exist"));
    assert!(place.run(&["vacuum", "events", "--older-than", "soon"]).starts_with("exit 2"));
}
