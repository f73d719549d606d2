//! The committed answers of ClickHouse, DuckDB and a brute force of another language (`testdata/peers/README.md`).

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::ask::{Asked, testdata};

fn peers(name: &str) -> PathBuf {
    testdata("peers").join(name)
}

/// A CSV file without quotes as rows by column name.
fn table(name: &str) -> Vec<BTreeMap<String, String>> {
    let text = std::fs::read_to_string(peers(name)).unwrap();
    let mut lines = text.lines().map(|line| line.split(',').map(str::to_string).collect::<Vec<_>>());
    let header = lines.next().unwrap();
    lines.map(|values| header.iter().cloned().zip(values).collect()).collect()
}

/// Levels of every user for 2, 3 and 4 steps and four windows, in the three modes.
///
/// `reuse_any` is the meaning of `reuse`: one row may serve several steps, and only times are compared, so that tied rows
/// may take turns. It is also what ClickHouse answers by default.
#[test]
fn funnel_levels() {
    let asked = Asked::new(2);
    let mut compared = 0;
    let rows = table("funnel_levels.csv");
    for steps in 2..=4 {
        for window in
            rows.iter().map(|r| r["window_us"].parse::<i64>().unwrap()).collect::<std::collections::BTreeSet<_>>()
        {
            // A window of zero is refused here; half a tick is the same for times of whole microseconds.
            let interval = match window {
                0 => "0.0000005 seconds".to_string(),
                _ => format!("{} seconds", window as f64 / 1e6),
            };
            let conditions = (1..=steps).map(|s| format!("m{s}")).collect::<Vec<_>>().join(", ");
            let level = |mode: &str| format!("window_funnel(INTERVAL '{interval}', '{mode}', ts, {conditions})");
            let sql = format!(
                "SELECT user_id, {}, {}, {} FROM '{}' GROUP BY user_id",
                level("ordered"),
                level("increase"),
                level("reuse"),
                peers("funnel_events.parquet").display()
            );
            let got: BTreeMap<String, Vec<String>> =
                asked.rows(&sql).into_iter().map(|mut row| (row.remove(0), row)).collect();
            let of_question =
                rows.iter().filter(|r| r["steps"] == steps.to_string() && r["window_us"] == window.to_string());
            for row in of_question {
                let want = ["ordered", "increase", "reuse_any"].map(|mode| row[mode].clone());
                assert_eq!(got[&row["user_id"]], want, "user {}, {steps} steps within {interval}", row["user_id"]);
                assert_eq!(row["reuse_any"], row["clickhouse"], "user {}", row["user_id"]);
                compared += 1;
            }
        }
    }
    assert_eq!(compared, rows.len());
    assert!(compared >= 320 * 3 * 4, "{compared}");
}

/// DuckDB's tables, as `on` and as `on_or_after`.
#[test]
fn retention_cells() {
    let asked = Asked::new(2);
    for (file, arguments) in [
        ("retention_day.csv", "unit => 'day', periods => 10"),
        ("retention_day_new_york.csv", "unit => 'day', periods => 10, tz => 'America/New_York'"),
        ("retention_week_by_country.csv", "unit => 'week', periods => 4, by => country"),
        ("retention_week_sunday.csv", "unit => 'week', periods => 4, week_start => 'sunday'"),
    ] {
        for (kind, column) in [("on", "retained"), ("on_or_after", "on_or_after")] {
            let by = if arguments.contains("by =>") { "country, " } else { "" };
            let sql = format!(
                "SELECT {by}cohort, size, period, retained, complete
                 FROM retention('{}', {arguments}, type => '{kind}')",
                peers("retention_events.parquet").display()
            );
            let mut got = asked.rows(&sql);
            let mut want: Vec<Vec<String>> = table(file)
                .into_iter()
                .map(|row| {
                    let mut values: Vec<String> = row.get("country").cloned().into_iter().collect();
                    values.extend(["cohort", "size", "period", column, "complete"].map(|c| row[c].clone()));
                    values
                })
                .collect();
            got.sort();
            want.sort();
            assert!(want.len() > 20, "{file}");
            assert_eq!(got.len(), want.len(), "{file}, {kind}");
            for (got, want) in got.iter().zip(&want) {
                assert_eq!(got, want, "{file}, {kind}");
            }
        }
    }
}
