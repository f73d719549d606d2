//! Statements as the program takes them: deep ones, hostile ones, restricted sessions.

use crate::ask::Asked;
use crate::program::Place;

fn csv(place: &Place, args: &[&str]) -> String {
    place.run(&[&["-q", "--format", "csv"], args].concat())
}

#[test]
fn a_comment_may_come_first() {
    let place = Place::new();
    assert_eq!(csv(&place, &["-c", "-- monthly\nSELECT 1 AS a"]), "exit 0\n-- stdout\na\n1\n");
    assert_eq!(csv(&place, &["-c", "-- nothing"]), "exit 0\n");
}

#[test]
fn long_chains_are_planned_and_endless_ones_refused() {
    let place = Place::new();
    let terms = |n: usize, one: &dyn Fn(usize) -> String, by: &str| (0..n).map(one).collect::<Vec<_>>().join(by);
    place.write("t.csv", "user_id\n1\n2\n");
    for (name, text, answer) in [
        (
            "and",
            format!(
                "SELECT count(*) AS n FROM 't.csv' WHERE {}",
                terms(20_000, &|i| format!("user_id <> {}", i + 2), " AND ")
            ),
            Some("n\n1\n"),
        ),
        (
            "or",
            format!(
                "SELECT count(*) AS n FROM 't.csv' WHERE {}",
                terms(20_000, &|i| format!("user_id = {}", i + 2), " OR ")
            ),
            Some("n\n1\n"),
        ),
        ("plus", format!("SELECT {} AS n", terms(20_000, &|_| "1".into(), "+")), Some("n\n20000\n")),
        (
            "list",
            format!(
                "SELECT count(*) AS n FROM 't.csv' WHERE user_id IN ({})",
                terms(100_000, &|i| (i + 2).to_string(), ",")
            ),
            Some("n\n1\n"),
        ),
        ("endless", format!("SELECT {} AS n", terms(200_000, &|_| "1".into(), "-")), None),
        ("brackets", format!("SELECT {}1{}", "(".repeat(100_000), ")".repeat(100_000)), None),
        ("unions", format!("SELECT 1{}", " UNION ALL SELECT 1".repeat(10_000)), None),
        ("dollars", "$".repeat(1 << 20), None),
        ("semicolons", ";".repeat(1 << 20), Some("")),
        ("backslashes", "\\".repeat(1 << 20), None),
        ("nothing", "\0".repeat(1 << 20), None),
    ] {
        place.write("s.sql", &text);
        let told = csv(&place, &["-f", "s.sql"]);
        match answer {
            Some("") => assert_eq!(told, "exit 0\n", "{name}"),
            Some(rows) => assert_eq!(told, format!("exit 0\n-- stdout\n{rows}"), "{name}"),
            None => {
                assert!(
                    told.starts_with("exit 1\n-- stderr\nerror: s.sql:1: "),
                    "{name}: {}",
                    &told[..told.len().min(300)]
                );
                assert!(told.len() < 2_000, "{name}: a message of {} bytes", told.len());
            }
        }
    }
}

#[test]
fn options_that_take_all_memory_are_refused_wherever_they_stand() {
    let place = Place::new();
    for option in ["target_partitions = 1000000000", "batch_size = 9223372036854775807"] {
        let told = csv(&place, &["-c", &format!("SET datafusion.execution.{option}")]);
        assert!(told.starts_with("exit 1") && told.contains("must be from 1 to"), "{told}");
        place
            .write("tenure.toml", &format!("[options]\n\"datafusion.execution.{}\n", option.replacen(" =", "\" =", 1)));
        let told = csv(&place, &["-c", "SELECT 1"]);
        assert!(
            told.starts_with("exit 1") && told.contains("tenure.toml") && told.contains("must be from 1 to"),
            "{told}"
        );
        std::fs::remove_file(place.path("tenure.toml")).unwrap();
    }
}

#[test]
fn a_read_only_session_reads_its_tables_alone() {
    let place = Place::new();
    place.write("t.csv", "user_id\n1\n");
    let ask = |sql: &str| csv(&place, &["--read-only", "-t", "t=t.csv", "-c", sql]);
    assert_eq!(ask("SELECT count(*) AS n FROM t"), "exit 0\n-- stdout\nn\n1\n");
    for refused in [
        "COPY t TO 'x.csv'",
        "EXPLAIN ANALYZE COPY t TO 'x.csv'",
        "CREATE TABLE u AS SELECT 1",
        "CREATE EXTERNAL TABLE u STORED AS CSV LOCATION 't.csv'",
        "DROP TABLE t",
        "INSERT INTO t VALUES (2)",
        "SET datafusion.runtime.temp_directory = '/tmp/x'",
    ] {
        let told = ask(refused);
        assert!(told.starts_with("exit 1") && told.contains("read-only"), "{refused}: {told}");
    }
    for file in ["SELECT * FROM 't.csv'", "SELECT * FROM funnel('t.csv', steps => ['a'], within => INTERVAL '1 day')"] {
        assert!(ask(file).starts_with("exit 1"), "{file}");
    }
    assert_eq!(place.names(), ["t.csv"]);
}

/// Ways around: what is read-only stays so, whatever a statement hides in.
#[test]
fn nothing_leads_around_read_only() {
    let place = Place::new();
    place.write("t.csv", "user_id,ts,event\n1,2024-01-01T00:00:00Z,view\n");
    place.write("secret.csv", "a\nhidden\n");
    assert!(place.run(&["ingest", "t.csv", "--into", "data", "--table", "m", "-q"]).starts_with("exit 0"));
    std::fs::create_dir_all(place.path("elsewhere")).unwrap();
    std::fs::rename(place.path("data"), place.path("elsewhere/data")).unwrap();
    let before = place.names();
    let secret = place.path("secret.csv").display().to_string();
    let statements = [
        format!("SELECT * FROM '{secret}'"),
        format!("SELECT * FROM \"{secret}\""),
        "SELECT * FROM read_csv('secret.csv')".into(),
        "SELECT * FROM Read_CSV('secret.csv')".into(),
        "WITH x AS (SELECT * FROM read_csv('secret.csv')) SELECT * FROM x".into(),
        "WITH RECURSIVE x AS (SELECT a FROM 'secret.csv' UNION ALL SELECT a FROM x WHERE false) SELECT * FROM x".into(),
        "SELECT (SELECT max(a) FROM read_csv('secret.csv')) AS a".into(),
        "SELECT * FROM t WHERE event IN (SELECT a FROM 'secret.csv')".into(),
        "SELECT * FROM t JOIN LATERAL (SELECT a FROM 'secret.csv') AS s ON true".into(),
        "FROM 'secret.csv'".into(),
        "TABLE 'secret.csv'".into(),
        "DESCRIBE 'secret.csv'".into(),
        "SHOW COLUMNS FROM 'secret.csv'".into(),
        "EXPLAIN SELECT * FROM 'secret.csv'".into(),
        "EXPLAIN ANALYZE SELECT * FROM read_parquet('elsewhere/data/m/*.parquet')".into(),
        "SELECT * FROM history('elsewhere/data/m')".into(),
        "SELECT * FROM 'elsewhere/data/m' VERSION AS OF 0".into(),
        "SELECT * FROM sessions('elsewhere/data/m')".into(),
        "SELECT * FROM sessions((SELECT * FROM 'elsewhere/data/m'))".into(),
        "SELECT * FROM funnel((SELECT * FROM read_csv('t.csv')), steps => ['view'], within => INTERVAL '1 day')".into(),
        "SELECT * FROM $file".into(),
        "COPY (SELECT 1) TO 'new.csv'".into(),
        "COPY t TO 'new/' PARTITIONED BY (event) STORED AS CSV".into(),
        "EXPLAIN COPY t TO 'new.csv'".into(),
        "PREPARE p AS COPY t TO 'new.csv'".into(),
        "CREATE VIEW v AS SELECT * FROM t".into(),
        "CREATE OR REPLACE TABLE t AS SELECT 1".into(),
        "CREATE SCHEMA s".into(),
        "CREATE DATABASE d".into(),
        "CREATE FUNCTION f(double) RETURNS double RETURN $1".into(),
        "CREATE EXTERNAL TABLE u STORED AS CSV LOCATION 'secret.csv'".into(),
        "DROP VIEW IF EXISTS t".into(),
        "INSERT INTO t SELECT * FROM t".into(),
        "DELETE FROM t".into(),
        "UPDATE t SET event = 'x'".into(),
        "TRUNCATE TABLE t".into(),
        "SET \"DATAFUSION.RUNTIME.TEMP_DIRECTORY\" = 'new'".into(),
        "SET datafusion.runtime.memory_limit = '100G'".into(),
        "RESET datafusion.runtime.memory_limit".into(),
    ];
    let before_all = ["-q", "--read-only", "-t", "t=t.csv", "-p", "file=secret.csv", "--format", "csv"];
    for statement in &statements {
        let told = place.run(&[&before_all[..], &["-c", statement]].concat());
        assert!(told.starts_with("exit 1") && !told.contains("hidden"), "{statement}: {told}");
        // As a script, and after what a session remembers.
        let script = format!("SET tenure.time_zone = 'UTC'; SELECT 1 AS one; {statement};");
        let told = place.run_with_input(&before_all, &script);
        assert!(told.starts_with("exit 1") && !told.contains("hidden"), "{statement}: {told}");
    }
    assert_eq!(place.names(), before);
    let fine = [
        "SELECT count(*) AS n FROM t",
        "SELECT table_name FROM information_schema.tables WHERE table_name = 't'",
        "SHOW TABLES",
        "EXPLAIN ANALYZE SELECT count(*) FROM t",
        "SET datafusion.execution.batch_size = 100",
        "SELECT * FROM sessions(t)",
    ];
    for statement in fine {
        let told = place.run(&[&before_all[..], &["-c", statement]].concat());
        assert!(told.starts_with("exit 0"), "{statement}: {told}");
    }
}

/// A reader that does not read holds up the output, and the limit all the same holds.
#[cfg(unix)]
#[test]
fn a_limit_holds_where_nobody_reads_the_output() {
    use std::io::Read;
    let place = Place::new();
    let mut child = std::process::Command::new(crate::program::program())
        .current_dir(place.folder())
        .args(["--timeout", "1s", "--format", "csv", "-c", "SELECT * FROM generate_series(1, 100000000000)"])
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let (pipe, mut errors) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
    assert_eq!(child.wait().unwrap().code(), Some(1));
    drop(pipe);
    let mut told = String::new();
    errors.read_to_string(&mut told).unwrap();
    assert!(told.contains("stopped after 1 s"), "{told}");
}

/// While it is planned, sorts, joins, and writes a file, of which nothing is left.
#[test]
fn a_limit_holds_in_every_part_of_a_statement() {
    let place = Place::new();
    let many = "SELECT value % 1000 AS k, md5(CAST(value AS VARCHAR)) AS text FROM generate_series(1, 100000000000)";
    let copy = format!("COPY ({many}) TO 'x.parquet'");
    let sorted = format!("SELECT * FROM ({many}) ORDER BY text");
    let joined = format!("SELECT count(*) FROM ({many}) a JOIN ({many}) b ON a.text = b.text");
    let grouped = format!("SELECT text, count(*) FROM ({many}) GROUP BY text");
    let planned = format!("SELECT {}", vec!["1"; 900].join("-"));
    for (args, may_end) in [
        (vec!["-c", &copy], false),
        (vec!["-o", "y.csv", "-c", many], false),
        (vec!["-c", &sorted], false),
        (vec!["-c", &joined], false),
        (vec!["-c", &grouped], false),
        (vec!["-c", &planned], true),
    ] {
        let told = csv(&place, &[&["--memory", "512MB", "--timeout", "1s"], &args[..]].concat());
        let stopped = told.starts_with("exit 1") && told.contains("stopped after 1 s");
        assert!(stopped || may_end && told.starts_with("exit 0"), "{args:?}: {told}");
        assert!(place.names().is_empty(), "{args:?}: {:?}", place.names());
    }
}

#[test]
fn a_statement_over_its_time_is_stopped() {
    let place = Place::new();
    let endless = "SELECT count(*) FROM range(100000) AS a, range(100000) AS b, range(100000) AS c";
    let told = csv(&place, &["--timeout", "1s", "-c", endless]);
    assert!(told.starts_with("exit 1") && told.contains("stopped after 1 s"), "{told}");
    assert_eq!(csv(&place, &["--timeout", "60s", "-c", "SELECT 1 AS a"]), "exit 0\n-- stdout\na\n1\n");
}

#[test]
fn correlated_expressions_answer_for_each_outer_row_alone() {
    let asked = Asked::new(2);
    let rows = "(1, 'a', TIMESTAMP '2024-01-01 10:00:00'), (2, 'A', TIMESTAMP '2024-01-01 11:00:00'), (3, 'b', TIMESTAMP '2024-01-02 10:00:00')";
    asked.batches(&format!("CREATE TABLE e AS SELECT * FROM (VALUES {rows}) AS v (id, u, ts)")).unwrap();
    asked.batches("CREATE TABLE d AS SELECT * FROM (VALUES (DATE '2024-01-01'), (DATE '2024-01-02'), (DATE '2024-01-03')) AS v (day)").unwrap();
    let answer = [["2024-01-01", "2"], ["2024-01-02", "1"], ["2024-01-03", "0"]];
    for sql in [
        "SELECT day, (SELECT count(*) FROM e WHERE CAST(ts AS DATE) = day) FROM d ORDER BY 1",
        "SELECT day, (SELECT count(*) FROM e WHERE date_trunc('day', ts) = day) FROM d ORDER BY 1",
        "SELECT day, n FROM d, LATERAL (SELECT count(*) AS n FROM e WHERE day = CAST(ts AS DATE)) ORDER BY 1",
    ] {
        assert_eq!(asked.rows(sql), answer, "{sql}");
    }
    assert_eq!(
        asked.rows("SELECT o.id, (SELECT count(*) FROM e AS i WHERE lower(i.u) = lower(o.u)) FROM e AS o ORDER BY 1"),
        [["1", "2"], ["2", "2"], ["3", "1"]]
    );
    let window = "SELECT id, (SELECT max(n) FROM (SELECT row_number() OVER (ORDER BY ts) AS n FROM e AS i WHERE i.u = o.u)) FROM e AS o";
    // Rows are numbered within the user of the outer row.
    let numbered = format!("{window} ORDER BY 1");
    assert_eq!(asked.rows(&numbered), [["1", "1"], ["2", "1"], ["3", "1"]]);
}

#[test]
fn names_are_found_without_regard_to_case_where_one_fits() {
    let asked = Asked::new(2);
    asked.batches("CREATE TABLE \"Events\" AS SELECT 1 AS \"userId\", 2 AS \"Total\", 3 AS \"total\", 4 AS \"aB\", 5 AS \"Ab\"").unwrap();
    let one = |sql: &str| asked.one(sql);
    assert_eq!(one("SELECT userId FROM Events"), "1");
    assert_eq!(one("SELECT e.USERID FROM events AS e WHERE userid = 1 GROUP BY userId HAVING min(userID) = 1"), "1");
    assert_eq!(
        (one("SELECT Total FROM events"), one("SELECT total FROM events"), one("SELECT \"Total\" FROM events")),
        ("2".into(), "3".into(), "2".into())
    );
    assert_eq!(one("WITH Q AS (SELECT userId AS U FROM events) SELECT u FROM q"), "1");
    let ambiguous = asked.batches("SELECT ab FROM events").unwrap_err();
    assert_eq!(ambiguous.message(), "'ab' may be Ab or aB");
    let missing = asked.batches("SELECT nothing FROM events").unwrap_err();
    assert!(missing.message().contains("nothing"), "{missing}");
}

#[test]
fn one_time_zone_governs_days_and_hours() {
    let asked = Asked::new(2);
    // 23:30 in UTC is the next day in Berlin.
    asked.batches("CREATE TABLE e AS SELECT TIMESTAMP '2024-01-01 23:30:00' AS ts, DATE '2024-01-02' AS d").unwrap();
    let all = "SELECT CAST(ts AS DATE), extract(hour FROM ts), to_char(ts, 'YYYY-MM-DD HH24'), date_trunc('day', ts), ts >= d, ts > now(), \
               date_trunc('day', ts) <= ts, ts BETWEEN d AND d + INTERVAL '1 hour', CAST(date_trunc('day', ts) AS DATE) AS twice FROM e";
    assert_eq!(asked.rows(all)[0][..6], ["2024-01-01", "23", "2024-01-01 23", "2024-01-01T00:00:00", "false", "false"]);
    asked.batches("SET tenure.time_zone = 'Europe/Berlin'").unwrap();
    assert_eq!(
        asked.rows(all)[0],
        [
            "2024-01-02",
            "0",
            "2024-01-02 00",
            "2024-01-02T00:00:00+01:00",
            "true",
            "false",
            "true",
            "true",
            "2024-01-02"
        ]
    );
    let cohort =
        "SELECT cohort FROM retention((SELECT 1 AS user_id, ts, 'a' AS event FROM e), unit => 'day', periods => 1)";
    assert_eq!(asked.rows(cohort)[0][0], "2024-01-02");
    assert!(
        asked.batches("SET tenure.time_zone = 'Nowhere/City'").unwrap_err().message().contains("unknown time zone")
    );
    asked.batches("SET tenure.time_zone = 'UTC'").unwrap();
    assert_eq!(asked.rows(all)[0][0], "2024-01-01");
}

/// Faults of the planner below that no message told: hours that a date loses, NULLs of other outer rows.
#[test]
fn dates_keep_hours_and_not_in_asks_for_its_own_rows() {
    let asked = Asked::new(2);
    let moved = "SELECT DATE '2024-01-02' + INTERVAL '1 hour', INTERVAL '90 minutes' + DATE '2024-01-02', \
                 DATE '2024-01-02' - INTERVAL '1 second', DATE '2024-01-31' + INTERVAL '1 month', DATE '2024-01-02' + INTERVAL '2 days'";
    let expected = ["2024-01-02T01:00:00", "2024-01-02T01:30:00", "2024-01-01T23:59:59", "2024-02-29", "2024-01-04"];
    assert_eq!(asked.rows(moved)[0], expected);
    asked.batches("CREATE TABLE o AS SELECT * FROM (VALUES (1, 10), (2, 20)) AS t(u, x)").unwrap();
    asked.batches("CREATE TABLE i AS SELECT * FROM (VALUES (1, 11), (NULL, 5)) AS t(u, x)").unwrap();
    for not in ["o.x NOT IN (SELECT i.x FROM i WHERE i.u = o.u)", "NOT o.x IN (SELECT i.x FROM i WHERE i.u = o.u)"] {
        assert_eq!(asked.rows(&format!("SELECT u FROM o WHERE {not} ORDER BY 1")), [["1"], ["2"]], "{not}");
    }
    assert_eq!(asked.rows("SELECT u FROM o WHERE x IN (SELECT i.x - 1 FROM i WHERE i.u = o.u)"), [["1"]]);
}
