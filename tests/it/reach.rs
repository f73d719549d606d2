//! A largest time that lies in the future is said so, on stderr and once a statement; where nothing depends on it, or the end
//! is given, nothing is said. Where it is known before the rows are read, those from long before it are left out.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::ask::Asked;
use crate::program::Place;

const EVENTS: &str = "user_id,ts,event\n1,2024-01-01 10:00:00,a\n1,2024-01-01 11:00:00,b\n2,2062-06-04 11:36:12,a\n";

fn warnings(sql: &str) -> Vec<String> {
    let place = Place::new();
    place.write("e.csv", EVENTS);
    let done = place.tenure().args(["-t", "e=e.csv", "-c", sql]).output().unwrap();
    let stderr = String::from_utf8(done.stderr).unwrap();
    assert!(done.status.success(), "{stderr}");
    stderr.lines().filter(|line| line.contains("future")).map(str::to_string).collect()
}

#[test]
fn data_that_end_in_the_future_are_warned_of_once() {
    let funnel = "funnel(e, steps => ['a', 'b'], within => INTERVAL '1 day', period => 'year', mature => true";
    for (relation, call) in [
        ("lifecycle", "lifecycle(e, unit => 'year')".to_string()),
        ("retention", "retention(e, unit => 'year')".to_string()),
        ("retention_curve", "retention_curve(e, unit => 'year')".to_string()),
        ("churn_scores", "churn_scores(e, transaction => 'b')".to_string()),
        // Both what is mature and what is complete ask how far the data reach.
        ("funnel", format!("{funnel})")),
    ] {
        let said = warnings(&format!("SELECT * FROM {call}"));
        assert_eq!(said.len(), 1, "{relation}: {said:?}");
        let begins = format!("warning: {relation}: the data end at 2062-06-04");
        assert!(said[0].starts_with(&begins) && said[0].contains("as_of => .."), "{said:?}");
    }
    // Each statement says it for itself.
    assert_eq!(
        warnings("SELECT * FROM lifecycle(e, unit => 'year'); SELECT * FROM lifecycle(e, unit => 'year')").len(),
        2
    );
    for sql in [
        "SELECT * FROM lifecycle(e, unit => 'year', as_of => DATE '2024-02-01')".to_string(),
        format!("SELECT * FROM {funnel}, as_of => DATE '2024-02-01')"),
        "SELECT * FROM funnel(e, steps => ['a', 'b'], within => INTERVAL '1 day')".to_string(),
        "SELECT * FROM lifecycle((SELECT * FROM e WHERE user_id = 1), unit => 'year')".to_string(),
    ] {
        assert_eq!(warnings(&sql), [""; 0], "{sql}");
    }
}

/// Of Parquet files the end is known before they are read, and rows from long before it are left out: the answer is that of a table
/// in memory, of which nothing is known.
#[test]
fn leaving_out_what_is_long_ago_changes_nothing() {
    let mut random = ChaCha8Rng::seed_from_u64(17);
    let asked = Asked::new(2);
    for round in 0..40 {
        let place = Place::new();
        let file = place.path("e.parquet").display().to_string();
        let days = random.random_range(1..90);
        let mut rows: Vec<String> = (0..random.random_range(1..200))
            .map(|_| {
                let user = random.random_range(0..30);
                let user = if user == 0 { "NULL".to_string() } else { user.to_string() };
                let second = random.random_range(0..days * 86_400);
                format!("({user}, {second}, {})", random.random_bool(0.5))
            })
            .collect();
        // Often the data end exactly with a day or a month, with somebody's activity, nobody's, or one that does not count.
        let ending = ["NULL, {}, true", "5, {}, true", "5, {}, false", "5, {}, NULL"][random.random_range(0..4)];
        let end = [0, 90 * 86_400, 92 * 86_400 - 3_600, 92 * 86_400 + 10][random.random_range(0..4)];
        rows.push(format!("({})", ending.replace("{}", &end.to_string())));
        let events = format!(
            "SELECT column1 AS user_id, arrow_cast(1735689600 + column2, 'Timestamp(Second, None)') AS ts, column3 AS a FROM (VALUES {})",
            rows.join(", ")
        );
        asked.rows(&format!("CREATE OR REPLACE TABLE memory AS {events}"));
        asked.rows(&format!("COPY memory TO '{file}'"));
        let zone = ["UTC", "Europe/Berlin", "America/Santiago"][random.random_range(0..3)];
        let unit = ["day", "week", "month"][random.random_range(0..3)];
        let active = ["", ", active => a"][random.random_range(0..2)];
        let as_of = ["", ", as_of => DATE '2025-02-01'", ", as_of => TIMESTAMP '2025-02-01 00:00:00'"]
            [random.random_range(0..3)];
        for relation in ["stickiness({t}, periods => 4, {a})", "streaks({t}, {a})", "lifecycle_states({t}, {a})"] {
            let ask = |table: &str| {
                let arguments = format!("unit => '{unit}', tz => '{zone}'{active}{as_of}");
                let sql = format!("SELECT * FROM {}", relation.replace("{t}", table).replace("{a}", &arguments));
                let mut rows = asked.rows(&sql);
                rows.sort();
                (rows, sql)
            };
            let (of_file, sql) = ask(&format!("'{file}'"));
            assert_eq!(of_file, ask("memory").0, "round {round}: {sql}\n{events}");
        }
    }
}

/// The end is that of the data when they are read, not that of the data over which a view was made.
#[test]
fn a_view_looks_at_the_end_of_todays_data() {
    let place = Place::new();
    let file = place.path("e.parquet").display().to_string();
    let copy = |day: &str| {
        format!(
            "COPY (SELECT 1 AS user_id, TIMESTAMP '{day} 10:00:00' AS ts FROM (VALUES (1), (2)) UNION ALL SELECT 2, TIMESTAMP '{day} 12:00:00') TO '{file}'"
        )
    };
    let asked = Asked::new(1);
    asked.rows(&copy("2025-06-01"));
    asked.rows(&format!("CREATE VIEW v AS SELECT * FROM stickiness('{file}', periods => 1)"));
    let plan = asked.rows(&format!("EXPLAIN SELECT * FROM stickiness('{file}', periods => 1)")).concat().concat();
    assert!(plan.contains("ts >= TimestampMicrosecond(1748649600000000") || plan.contains("ts@1 >= 17486"), "{plan}");
    assert_eq!(asked.rows("SELECT users FROM v"), [["2"]]);
    std::fs::remove_file(place.path("e.parquet")).unwrap();
    asked.rows(&copy("2025-01-01"));
    assert_eq!(asked.rows("SELECT users FROM v"), [["2"]]);
    std::fs::remove_file(place.path("e.parquet")).unwrap();
    asked.rows(&copy("2025-09-01"));
    assert_eq!(asked.rows("SELECT users FROM v"), [["2"]]);
}
