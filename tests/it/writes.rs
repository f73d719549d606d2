//! Statements that write managed tables: rows arrive as they are or not at all, in one version, in order.

use std::path::{Path, PathBuf};

use tenure::engine::Settings;
use tenure::functions::FunctionKind;
use tenure::store::managed::log::{At, TableLog};
use tenure::store::managed::versions;

use crate::ask::{Asked, rows, settings};
use crate::program::Place;

struct Tables {
    folder: tempfile::TempDir,
    asked: Asked,
}

fn message(asked: &Asked, sql: &str) -> String {
    match asked.batches(sql) {
        Ok(answer) => panic!("{:?}\n{sql}", rows(&answer)),
        Err(error) => format!("{} ({})", error.message(), error.hints().join("; ")),
    }
}

impl Tables {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap(), asked: Asked::new(2) }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// `CREATE TABLE name STORED AS DELTA .. AS query`.
    fn create(&self, name: &str, query: &str) -> String {
        self.asked
            .one(&format!("CREATE TABLE {name} STORED AS DELTA LOCATION '{}' AS {query}", self.path(name).display()))
    }

    fn log(&self, name: &str) -> TableLog {
        open(&self.path(name))
    }

    fn versions(&self, name: &str) -> Vec<String> {
        versions::history(&self.path(name)).unwrap().into_iter().map(|commit| commit.operation).collect()
    }
}

fn open(folder: &Path) -> TableLog {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(TableLog::open(folder, At::Latest)).unwrap()
}

/// Events of some users in no order.
const EVENTS: &str = "SELECT value * 7919 % 97 AS user_id, to_timestamp(1700000000 + value * 104729 % 5000) AS ts,
    CASE value % 3 WHEN 0 THEN 'view' WHEN 1 THEN 'cart' ELSE 'buy' END AS event, value AS n, value / 8.0 AS price
    FROM generate_series(1, 4000)";

#[test]
fn a_query_becomes_a_table_and_more_rows_come_in() {
    let tables = Tables::new();
    assert_eq!(tables.create("events", EVENTS), "4000");
    let log = tables.log("events");
    let roles = log.roles().unwrap();
    assert_eq!((roles.user.as_str(), roles.time.as_str(), roles.event.as_deref()), ("user_id", "ts", Some("event")));
    assert!(log.files().iter().all(|file| file.ordered && file.users.is_some() && file.checksum.is_some()));
    assert_eq!(tables.asked.one("SELECT count(*) FROM events"), "4000");
    let more = format!("INSERT INTO events SELECT user_id + 1000 AS user_id, ts, event, n, price FROM ({EVENTS})");
    assert_eq!(tables.asked.one(&more), "4000");
    assert_eq!(
        tables.asked.one("INSERT INTO events (event, user_id, ts) VALUES ('view', 5, '2024-01-31T12:00:00.123456Z')"),
        "1"
    );
    assert_eq!(
        tables.asked.rows("SELECT user_id, ts, event, n, price FROM events WHERE ts > '2024-01-31'"),
        [["5", "2024-01-31T12:00:00.123456Z", "view", "NULL", "NULL"]]
    );
    assert_eq!(tables.versions("events"), ["insert", "insert", "insert"]);
    for version in 0..3 {
        assert!(tables.path("events").join(format!("_delta_log/{version:020}.crc")).exists());
    }
    // In order: the one-pass path is taken, and answers as the query over the rows in no order does.
    let funnel = "steps => ['view', 'cart', 'buy'], within => INTERVAL '1 hour'";
    let ordered = format!("SELECT * FROM funnel(events, {funnel})");
    let plan = tables.asked.rows(&format!("EXPLAIN {ordered}"));
    assert!(plan.iter().flatten().any(|line| line.contains("UserAggregateExec")), "{plan:?}");
    tables.asked.batches("CREATE TABLE plain AS SELECT * FROM events").unwrap();
    assert_eq!(tables.asked.rows(&ordered), tables.asked.rows(&format!("SELECT * FROM funnel(plain, {funnel})")));
    let leavings: Vec<_> = std::fs::read_dir(tables.path("events")).unwrap().flatten().map(|e| e.file_name()).collect();
    assert!(leavings.iter().all(|name| !name.to_str().unwrap().starts_with("_write")), "{leavings:?}");
}

#[test]
fn tables_without_a_time_keep_rows_as_they_come() {
    let tables = Tables::new();
    let scores = "SELECT value AS user_id, CAST(value AS DOUBLE) / 4 AS score, CAST(NULL AS VARCHAR) AS why FROM generate_series(1, 50)";
    assert_eq!(tables.create("scores", scores), "50");
    let log = tables.log("scores");
    assert!(log.roles().is_none() && log.setting("user") == Some("user_id") && log.setting("order") == Some("none"));
    assert_eq!(tables.asked.one("INSERT INTO scores VALUES (51, 0.1, 'new'), (52, 1e300, NULL)"), "2");
    assert_eq!(
        tables.asked.rows("SELECT * FROM scores WHERE user_id > 50 ORDER BY user_id"),
        [["51", "0.1", "new"], ["52", "1e300", "NULL"]]
    );
    // A user can be erased all the same.
    let place = Place::new();
    let table = tables.path("scores");
    let told = place.run(&["erase", table.to_str().unwrap(), "--user", "51"]);
    assert!(told.starts_with("exit 0") && told.contains("1 rows of 1 user erased"), "{told}");
    assert_eq!(tables.asked.rows("SELECT count(*), max(user_id) FROM scores"), [["51", "52"]]);
    let told = place.run(&["compact", table.to_str().unwrap()]);
    assert!(told.contains("has no user and time columns"), "{told}");
    assert_eq!(tables.versions("scores"), ["insert", "insert", "erase"]);
}

#[test]
fn values_that_do_not_fit_are_errors_and_nothing_is_written() {
    let tables = Tables::new();
    tables.create(
        "t",
        "SELECT 1 AS user_id, TIMESTAMP '2024-01-01' AS ts, 'view' AS event, CAST(2 AS SMALLINT) AS small, CAST(1.5 AS DECIMAL(6, 2)) AS price",
    );
    let insert = |values: &str| format!("INSERT INTO t {values}");
    let whole = "TIMESTAMP '2024-01-02', 'view'";
    for (statement, told) in [
        (
            insert(&format!("SELECT 1, {whole}, 1.7, 1")),
            "column 'small' holds smallint, and what comes for it is double",
        ),
        (insert(&format!("SELECT 1, {whole}, 70000, 1")), "small: '70000' is out of range"),
        (insert(&format!("SELECT 1, {whole}, 7, 9.955")), "price: '9.955' has more decimal places"),
        (insert(&format!("SELECT 1, {whole}, 7, 99999")), "price: '99999' is out of range"),
        (insert(&format!("SELECT 1.0, {whole}, 7, 1")), "column 'user_id' holds bigint"),
        (insert("SELECT 1, 1704067200, 'view', 7, 1"), "column 'ts' holds timestamp, and what comes for it is bigint"),
        (insert("SELECT 1, concat('2024-01-', '02'), 'view', 7, 1 FROM t"), "column 'ts' holds timestamp"),
        (insert("VALUES (1, 'yesterday', 'view', 7, 1)"), "ts: 'yesterday' is not a time"),
        (insert("VALUES (1, '2024-01-02', 'view', 'x', 1)"), "small: 'x' is not"),
        (insert("VALUES (NULL, '2024-01-02', 'view', 7, 1)"), "user_id is NULL"),
        (insert("(event, ts) VALUES ('view', '2024-01-02')"), "user_id is NULL"),
        (insert("SELECT 1, now()"), "2 columns come, and the table has 5 (user_id, ts, event, small, price)"),
        (insert("(user_id, ts, user_id) SELECT 1, now(), 1"), "column 'user_id' is listed twice"),
        (insert("(user_id, tz) SELECT 1, now()"), "the table has no column 'tz'"),
        (
            insert("SELECT user_id, ts, event, price, small FROM t"),
            "column 4 of the query is 'price', which is column 5 of the table",
        ),
        (
            insert(&format!("SELECT {whole}, 1, 7, 1")),
            "column 'user_id' holds bigint, and what comes for it is timestamp",
        ),
        ("INSERT OVERWRITE t SELECT * FROM t".into(), "OVERWRITE"),
        (insert("SELECT * FROM t RETURNING user_id"), "RETURNING"),
        ("EXPLAIN ANALYZE INSERT INTO t SELECT * FROM t".into(), "would write the rows"),
        ("INSERT INTO nowhere SELECT 1".into(), "table 'nowhere' not found"),
    ] {
        let message = message(&tables.asked, &statement);
        assert!(message.contains(told), "{statement}\n{message}");
    }
    // A value that comes late undoes all.
    let late = "INSERT INTO t (user_id, ts, small) SELECT value, now(), CASE WHEN value = 30000 THEN 40000 ELSE 1 END FROM generate_series(1, 50000)";
    assert!(message(&tables.asked, late).contains("small: '40000' is out of range"));
    // A division that fails while rows come.
    let broken = "INSERT INTO t (user_id, ts, small) SELECT 1 / (value - 3000), now(), 1 FROM generate_series(1, 5000)";
    assert!(message(&tables.asked, broken).contains("Divide by zero"));
    assert_eq!((tables.versions("t").len(), tables.asked.one("SELECT count(*) FROM t").as_str()), (1, "1"));
    let left: Vec<_> = std::fs::read_dir(tables.path("t")).unwrap().flatten().collect();
    assert_eq!(left.len(), 2, "{left:?}");
}

/// What a column of each kind takes in, and what comes out.
#[test]
fn values_arrive_as_they_are() {
    let tables = Tables::new();
    tables.create(
        "t",
        "SELECT 'u' AS user_id, TIMESTAMP '2024-01-01' AS ts, CAST(1 AS DOUBLE) AS d, CAST(1 AS REAL) AS r, DATE '2024-01-01' AS day,
         true AS flag, CAST(1 AS DECIMAL(38, 4)) AS m, [1, 2] AS list, named_struct('a', 1, 'b', 'x') AS s, arrow_cast('b', 'Binary') AS raw",
    );
    let all = "INSERT INTO t SELECT 'v', TIMESTAMP '2024-01-01 00:00:00.000000999', CAST(0.1 AS REAL), 0.1, DATE '1969-12-31', false, 12345678901234567890.1234,
        [CAST(NULL AS BIGINT), 9223372036854775807], named_struct('a', CAST(NULL AS BIGINT), 'b', 'y'), arrow_cast('c', 'BinaryView')";
    assert_eq!(tables.asked.one(all), "1");
    let row = &tables.asked.rows("SELECT ts, r, day, flag, list, s, raw FROM t WHERE user_id = 'v'")[0];
    assert_eq!(row[0], "2024-01-01T00:00:00Z", "finer than a microsecond is cut");
    assert_eq!(row[1..], ["0.1", "1969-12-31", "false", "[NULL, 9223372036854775807]", "{a: NULL, b: y}", "63"]);
    // A wider number, an instant of a zone, numbers as text, a date as its midnight.
    let row = "INSERT INTO t (user_id, ts, d, m) SELECT 7, arrow_cast(TIMESTAMP '2024-06-01 12:00:00', 'Timestamp(Second, Some(\"Europe/Berlin\"))'), 3, 3";
    assert_eq!(tables.asked.one(row), "1");
    assert_eq!(
        tables.asked.rows("SELECT ts, d, m FROM t WHERE user_id = '7'"),
        [["2024-06-01T10:00:00Z", "3.0", "3.0000"]]
    );
    assert_eq!(tables.asked.one("INSERT INTO t (user_id, ts) VALUES ('d', DATE '2024-02-01')"), "1");
    assert_eq!(tables.asked.one("SELECT ts FROM t WHERE user_id = 'd'"), "2024-02-01T00:00:00Z");
    // A date begins where the session's day does, in an INSERT as in a comparison.
    tables.asked.batches("SET tenure.time_zone = 'Europe/Berlin'").unwrap();
    assert_eq!(
        tables.asked.one("INSERT INTO t (user_id, ts, day) VALUES ('e', DATE '2024-02-01', DATE '2024-02-01')"),
        "1"
    );
    tables.asked.batches("SET tenure.time_zone = 'UTC'").unwrap();
    assert_eq!(
        tables.asked.rows("SELECT ts, day FROM t WHERE user_id = 'e'"),
        [["2024-01-31T23:00:00Z", "2024-02-01"]]
    );
}

#[test]
fn a_date_moved_by_hours_arrives_as_a_time() {
    let tables = Tables::new();
    let moved = "SELECT 'a' AS user_id, DATE '2025-01-01' - 2 * INTERVAL '1 hour' AS ts";
    assert_eq!(tables.create("moved", moved), "1");
    assert_eq!(tables.asked.one(&format!("INSERT INTO moved {moved}")), "1");
    assert_eq!(
        tables.asked.one("SELECT min(ts) = TIMESTAMP '2024-12-31 22:00:00' AND count(*) = 2 FROM moved"),
        "true"
    );
}

#[test]
fn no_rows_are_no_version_but_a_table() {
    let tables = Tables::new();
    assert_eq!(tables.create("empty", &format!("{EVENTS} WHERE value < 0")), "0");
    assert_eq!((tables.versions("empty").len(), tables.log("empty").files().len()), (1, 0));
    assert_eq!(tables.asked.one("INSERT INTO empty SELECT * FROM empty"), "0");
    assert_eq!(tables.versions("empty").len(), 1);
    assert_eq!(tables.asked.one(&format!("INSERT INTO empty {EVENTS}")), "4000");
    assert_eq!(tables.asked.one("SELECT count(*) FROM empty"), "4000");
    // A table reads what it had when the statement began.
    assert_eq!(
        tables.asked.one("INSERT INTO empty SELECT user_id, ts + INTERVAL '1 day', event, n, price FROM empty"),
        "4000"
    );
    assert_eq!(tables.asked.one("SELECT count(*) FROM empty"), "8000");
}

#[test]
fn where_a_table_cannot_be_made() {
    let tables = Tables::new();
    tables.create("there", EVENTS);
    std::fs::create_dir(tables.path("files")).unwrap();
    std::fs::write(tables.path("files/a.csv"), "a\n1\n").unwrap();
    let create = |name: &str, place: &str, rest: &str| {
        format!("CREATE TABLE {name} STORED AS DELTA LOCATION '{}' {rest}", tables.path(place).display())
    };
    for (statement, told) in [
        (create("x", "there", "AS SELECT 1 AS a"), "is a managed table already"),
        (create("there", "other", "AS SELECT 1 AS a"), "table 'there' exists already"),
        (create("x", "there/below", "AS SELECT 1 AS a"), "none can lie within it"),
        (create("x", "files", "AS SELECT 1 AS a"), "holds files and is not a managed table"),
        (create("x", "y", "OPTIONS ('tenure.usr' 'a') AS SELECT 1 AS a"), "unknown option 'tenure.usr'"),
        (create("x", "y", "PARTITIONED BY (a) AS SELECT 1 AS a"), "leave out PARTITIONED BY"),
        (create("x (a INT)", "y", "AS SELECT 1 AS a"), "leave out the columns"),
        (create("x", "y", "AS SELECT 1 AS a, 2 AS \"A\""), "differ only in case"),
        (create("x", "y", "AS SELECT INTERVAL '1 day' AS a"), "which a table cannot hold"),
        (create("x", "y", "AS SELECT 1 / (value - 5) AS a FROM generate_series(1, 9)"), "Divide by zero"),
        (create("x", "y", "AS SELECT nothing"), "nothing"),
        ("CREATE OR REPLACE TABLE x STORED AS DELTA LOCATION '/tmp/x' AS SELECT 1".into(), "OR REPLACE"),
        ("CREATE TABLE x STORED AS PARQUET LOCATION '/tmp/x' AS SELECT 1".into(), "STORED AS is DELTA, not PARQUET"),
        ("CREATE TABLE x STORED AS DELTA AS SELECT 1".into(), "LOCATION 'folder' is missing"),
    ] {
        let message = message(&tables.asked, &statement);
        assert!(message.contains(told), "{statement}\n{message}");
    }
    assert!(!tables.path("y").exists() && !tables.path("there/below").exists());
    assert!(tables.asked.batches(&create("IF NOT EXISTS there", "other", "AS SELECT 1 AS a")).unwrap().is_empty());
    // Roles by name, slices, clauses in any order, a query in brackets, a version in it.
    let sliced = create(
        "sliced",
        "sliced",
        "OPTIONS (tenure.user 'n', 'tenure.time' 'ts', 'tenure.period' 'day') AS (SELECT * FROM there VERSION AS OF 0)",
    );
    assert_eq!(tables.asked.one(&sliced), "4000");
    let log = tables.log("sliced");
    assert_eq!((log.roles().unwrap().user.as_str(), log.setting("period")), ("n", Some("day")));
}

#[test]
fn a_session_that_only_reads_writes_nothing() {
    let tables = Tables::new();
    tables.create("t", EVENTS);
    let path = tables.path("t").display().to_string();
    let reads = Settings { read_only: true, tables: vec![("t".into(), path)], ..settings(2) };
    let asked = Asked::open(&reads);
    let create = format!("CREATE TABLE x STORED AS DELTA LOCATION '{}' AS SELECT 1 AS a", tables.path("x").display());
    for statement in ["INSERT INTO t SELECT * FROM t", create.as_str()] {
        assert!(message(&asked, statement).contains("the session is read-only"), "{statement}");
    }
    assert!(!tables.path("x").exists() && tables.versions("t").len() == 1);
}

/// Writers that do not know of each other all land, whole; the rows of a key come in once.
#[test]
fn writers_at_once_all_land() {
    let tables = Tables::new();
    tables.create("t", EVENTS);
    let place = Place::new();
    place.write("a.csv", "user_id,ts,event,key\n0,2024-01-01,view,k0\n");
    assert!(
        place
            .run(&["ingest", "a.csv", "--into", "data", "--table", "keyed", "--dedup-key", "key", "-q"])
            .starts_with("exit 0")
    );
    let keyed = place.path("data/keyed");
    let writers = 6;
    std::thread::scope(|scope| {
        for writer in 0..writers {
            let (plain, keyed) = (tables.path("t"), keyed.clone());
            scope.spawn(move || {
                let tables = vec![("t".to_string(), plain.display().to_string()), ("k".to_string(), keyed.display().to_string())];
                let asked = Asked::open(&Settings { tables, ..settings(2) });
                let more = format!("INSERT INTO t SELECT {writer} AS user_id, now() AS ts, 'view' AS event, value AS n, 1 AS price FROM generate_series(1, 100)");
                assert_eq!(asked.one(&more), "100");
                // The same keys of all.
                let keys = "INSERT INTO k SELECT value AS user_id, TIMESTAMP '2024-01-01' AS ts, 'view' AS event, concat('k', value) AS key FROM generate_series(0, 49)";
                asked.batches(keys).unwrap();
            });
        }
    });
    assert_eq!(tables.asked.one("SELECT count(*) FROM t"), (4000 + 100 * writers).to_string());
    assert_eq!(tables.versions("t").len(), 1 + writers);
    let asked = Asked::open(&Settings { tables: vec![("k".into(), keyed.display().to_string())], ..settings(2) });
    assert_eq!(asked.rows("SELECT count(*), count(DISTINCT key) FROM k"), [["50", "50"]]);
    let again = place.run(&[
        "-t",
        "k=data/keyed",
        "-c",
        "INSERT INTO k VALUES (0, '2025-01-01', 'view', 'k0'), (0, '2025-01-01', 'view', 'new')",
    ]);
    assert!(again.starts_with("exit 0") && again.contains("1 rows repeat events"), "{again}");
}

#[test]
fn a_limit_of_memory_is_kept_by_the_disk() {
    let tables = Tables::new();
    tables.create("t", &format!("{EVENTS} WHERE value < 0"));
    let path = tables.path("t").display().to_string();
    let asked = Asked::open(&Settings { memory: Some(24 << 20), tables: vec![("t".into(), path)], ..settings(2) });
    let rows = 600_000_u64;
    let many = format!(
        "INSERT INTO t SELECT value * 7919 % 9973 AS user_id, to_timestamp(1700000000 + value * 104729 % 500000) AS ts, 'view' AS event, value AS n, 1.0 AS price FROM generate_series(1, {rows})"
    );
    assert_eq!(asked.one(&many), rows.to_string());
    assert_eq!(asked.rows("SELECT count(*), sum(n) FROM t"), [[rows.to_string(), (rows * (rows + 1) / 2).to_string()]]);
    assert!(tables.log("t").files().iter().all(|file| file.ordered));
}

/// Who stops waiting stops the writing.
#[test]
fn a_statement_that_is_dropped_leaves_nothing() {
    let tables = Tables::new();
    tables.create("t", EVENTS);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let endless = "INSERT INTO t SELECT value AS user_id, now() AS ts, 'view' AS event, value AS n, 1.0 AS price FROM generate_series(1, 100000000000)";
    runtime.block_on(async {
        let answer = tables.asked.engine.run(endless, &tenure::engine::Params::new()).await.unwrap();
        let waited = tokio::time::timeout(
            std::time::Duration::from_millis(300),
            futures::TryStreamExt::try_collect::<Vec<_>>(answer.stream),
        );
        assert!(waited.await.is_err());
    });
    drop(runtime);
    let left: Vec<String> =
        std::fs::read_dir(tables.path("t")).unwrap().flatten().map(|e| e.file_name().into_string().unwrap()).collect();
    assert!(left.iter().all(|name| !name.starts_with("_write")), "{left:?}");
    assert_eq!(tables.versions("t").len(), 1);
}

/// What the README says of results that stay.
#[test]
fn the_readme_is_right() {
    let tables = Tables::new();
    tables.create("events", EVENTS);
    let readme = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).unwrap();
    let (_, section) = readme.split_once("## Results that stay").unwrap();
    let block = section.split("```").nth(1).unwrap().strip_prefix("text\n").unwrap();
    let block = block.replace("'data/", &format!("'{}/", tables.folder.path().display()));
    let statements = tenure::engine::split(&block).unwrap().statements;
    let counts: Vec<String> = statements.iter().map(|statement| tables.asked.one(&statement.text)).collect();
    assert_eq!(counts, ["97", "97", "1"]);
    assert_eq!(tables.asked.one("SELECT count(DISTINCT day) FROM scores"), "2");
}

/// Tools that ask the session what there is see the manual.
#[test]
fn functions_tell_what_they_do() {
    let asked = Asked::new(1);
    let context = asked.engine.context();
    let state = context.state();
    let mut told = 0;
    let functions = tenure::engine::catalogue().into_iter().filter(|doc| doc.kind != FunctionKind::Relation);
    for doc in functions {
        let found = (state.scalar_functions().get(doc.name).and_then(|f| f.documentation().cloned()))
            .or_else(|| state.aggregate_functions().get(doc.name).and_then(|f| f.documentation().cloned()))
            .or_else(|| state.window_functions().get(doc.name).and_then(|f| f.documentation().cloned()));
        let Some(found) = found else { continue };
        assert!(found.description.starts_with(doc.summary), "{}: {}", doc.name, found.description);
        assert_eq!(found.syntax_example, doc.syntax);
        told += 1;
    }
    assert!(told > 25, "{told}");
    let sql = "SELECT description FROM information_schema.routines WHERE routine_name = 'wilson_low'";
    let _ = asked.batches("SET datafusion.catalog.information_schema = true");
    assert!(asked.rows(sql)[0][0].starts_with("Lower end of the 95 % interval"), "{:?}", asked.rows(sql));
}
