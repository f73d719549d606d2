//! Statements whose files are replaced between their planning and their reading.

use std::path::Path;

use crate::ask::{Asked, settings};
use crate::damage::events;
use crate::program::Place;
use tenure::engine::Settings;

/// A table of two loads of 300 rows.
fn table(place: &Place) {
    for load in 0..2 {
        place.write(&format!("{load}.csv"), &events(300, load * 300));
        run(place, &["ingest", &format!("{load}.csv"), "--into", "data", "-q"]);
    }
}

fn run(place: &Place, args: &[&str]) {
    let done = place.run(args);
    assert!(done.starts_with("exit 0"), "{args:?}: {done}");
}

/// Merges the files, and removes those that there were.
fn replace(place: &Place) {
    run(place, &["compact", "data/events", "-q"]);
    run(place, &["vacuum", "data/events", "--older-than", "0", "-q"]);
}

fn asked(place: &Place) -> Asked {
    let location = place.path("data/events").display().to_string();
    // With one partition nothing is read before the answer is.
    Asked::open(&Settings { tables: vec![("events".into(), location)], ..settings(1) })
}

#[test]
fn a_statement_begins_anew_where_its_files_were_vacuumed() {
    let place = Place::new();
    table(&place);
    let asked = asked(&place);
    let copied = place.path("copy.parquet").display().to_string();
    for (sql, rows) in [
        ("SELECT * FROM events".to_string(), 600),
        ("SELECT event, count(*) FROM events GROUP BY event".to_string(), 3),
        ("SELECT a.key FROM events a JOIN events b ON a.key = b.key".to_string(), 600),
        (format!("COPY events TO '{copied}'"), 1),
    ] {
        let found = asked.rows_after(&sql, || replace(&place)).map_err(|e| e.message().to_string());
        assert_eq!(found, Ok(rows), "{sql}");
        // Something to compact for the next one.
        std::fs::remove_dir_all(place.path("data")).unwrap();
        table(&place);
    }
    let copy = place.run(&["-q", "--format", "csv", "-c", "SELECT count(*) AS n FROM 'copy.parquet'"]);
    assert!(copy.contains("n\n600\n"), "{copy}");
    assert_eq!(place.names().iter().filter(|name| name.contains(".part")).count(), 0);
}

/// A version that is asked for is read or told to be gone; a newer one is no answer.
#[test]
fn a_version_that_was_asked_for_is_not_replaced() {
    let place = Place::new();
    table(&place);
    let asked = asked(&place);
    let error = asked.rows_after("SELECT * FROM events VERSION AS OF 1", || replace(&place)).unwrap_err();
    assert!(error.message().contains("can no longer be read"), "{error}");
}

/// What is gone for good is told once, whatever is tried.
#[test]
fn a_file_that_is_lost_is_told() {
    let place = Place::new();
    table(&place);
    let asked = asked(&place);
    let file = a_file(&place.path("data/events"));
    let lost = || std::fs::remove_file(&file).unwrap();
    let error = asked.rows_after("SELECT * FROM events", lost).unwrap_err();
    assert!(error.message().contains("is no longer there"), "{error}");
}

fn a_file(folder: &Path) -> std::path::PathBuf {
    let mut files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    files.find(|path| path.extension().is_some_and(|e| e == "parquet")).unwrap()
}

/// Files of a folder that others replace while they are read.
#[test]
fn a_folder_whose_files_change_is_read_again() {
    let place = Place::new();
    let write = |rows: usize| {
        let copy = format!("COPY (SELECT value AS user_id FROM generate_series(1, {rows})) TO 'folder/a.parquet'");
        run(&place, &["-q", "-c", &copy]);
    };
    std::fs::create_dir(place.path("folder")).unwrap();
    write(10);
    let location = place.path("folder").display().to_string();
    let asked = Asked::open(&Settings { tables: vec![("t".into(), location)], ..settings(1) });
    assert_eq!(asked.rows_after("SELECT * FROM t", || write(1_000)).unwrap(), 1_000);
}
