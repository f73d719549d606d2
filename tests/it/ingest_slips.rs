//! What goes wrong at an ingest by a slip, or because somebody else is at work: nothing is lost, and it is said.
//!
//! Deals with: `tenure ingest`, `erase` and `vacuum` as programs. Does not deal with: what a good ingest makes (`ingest`).

use std::io::Write;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::program::{Place, program};

const HEAD: &str = "user_id,ts,event,id\n";

fn count(place: &Place, table: &str) -> String {
    place.run(&["--format", "csv", "-c", &format!("SELECT count(*) AS n FROM '{table}'")])
}

#[test]
fn a_source_without_users_is_named_before_anything_is_read() {
    let place = Place::new();
    place.write("a.csv", "user_id,ts,event\n1,2024-01-31,view\n");
    place.write("b.csv", "uid,ts,event\n2,2024-01-31,view\n");
    place.write("none.csv", "");
    let told = place.run(&["ingest", "a.csv", "b.csv", "none.csv", "--into", "data"]);
    assert!(
        told.contains("exit 1") && told.contains("'b.csv' has no column 'user_id' for the user; it has uid, ts, event"),
        "{told}"
    );
    assert!(!place.path("data/events").exists());
    assert!(place.run(&["ingest", "a.csv", "none.csv", "--into", "data", "-q"]).contains("exit 0"));
}

#[test]
fn tables_do_not_lie_within_tables() {
    let place = Place::new();
    place.write("a.csv", "user_id,ts,event\n1,2024-01-31,view\n");
    place.run(&["ingest", "a.csv", "--into", "data"]);
    let told = place.run(&["ingest", "a.csv", "--into", "data/events"]);
    assert!(
        told.contains("exit 1") && told.contains("'data/events' is a managed table; none can lie within it"),
        "{told}"
    );
    assert!(told.contains("hint: to add to it: --into data\n"), "{told}");
    // One that got there all the same keeps its files, however old they are.
    place.run(&["ingest", "a.csv", "--into", "other"]);
    std::fs::rename(place.path("other/events"), place.path("data/events/inner")).unwrap();
    let files = |folder: &str| {
        let all = std::fs::read_dir(place.path(folder)).unwrap().map(|e| e.unwrap().path());
        all.filter(|path| path.extension().is_some_and(|e| e == "parquet")).collect::<Vec<_>>()
    };
    let inner = files("data/events/inner");
    let long_ago = std::time::SystemTime::now() - Duration::from_secs(90 * 86_400);
    for path in &inner {
        std::fs::File::options().write(true).open(path).unwrap().set_modified(long_ago).unwrap();
    }
    assert!(place.run(&["vacuum", "data/events", "--older-than", "0"]).contains("exit 0"));
    assert_eq!((files("data/events/inner"), inner.len()), (inner, 1));
}

#[test]
fn a_key_for_repeated_events_is_remembered_by_a_table_that_had_none() {
    let place = Place::new();
    for (name, ids) in [("a", ["x", "y"]), ("b", ["y", "z"]), ("c", ["z", "x"])] {
        let rows: String = ids.iter().map(|id| format!("1,2024-01-31,view,{id}\n")).collect();
        place.write(&format!("{name}.csv"), &format!("{HEAD}{rows}"));
    }
    assert!(place.run(&["ingest", "a.csv", "--into", "data", "-q"]).contains("exit 0"));
    let told = place.run(&["ingest", "b.csv", "--into", "data", "--dedup-key", "id"]);
    assert!(told.contains("exit 0") && told.contains("1 repeated"), "{told}");
    let told = place.run(&["ingest", "c.csv", "--into", "data"]);
    assert!(told.contains("exit 0") && told.contains("2 repeated"), "{told}");
    assert!(count(&place, "data/events").ends_with("n\n3\n"));
    let told = place.run(&["ingest", "c.csv", "--again", "--into", "data", "--dedup-key", "event"]);
    assert!(told.contains("the table's deduplication key is 'id', not 'event'"), "{told}");
    // A column that the files so far do not have.
    place.write("d.csv", "user_id,ts,event\n1,2024-01-31,view\n");
    place.write("e.csv", "user_id,ts,event,key\n1,2024-01-31,view,k\n1,2024-02-01,view,k\n");
    place.run(&["ingest", "d.csv", "--into", "data", "--table", "later"]);
    let told = place.run(&["ingest", "e.csv", "--into", "data", "--table", "later", "--dedup-key", "key"]);
    assert!(told.contains("exit 0"), "{told}");
    assert!(count(&place, "data/later").ends_with("n\n2\n"));
}

#[test]
fn piped_rows_are_not_taken_for_none_where_another_came_first() {
    let place = Place::new();
    place.write("a.csv", &format!("{HEAD}1,2024-01-31,view,a\n"));
    place.write("b.csv", &format!("{HEAD}1,2024-01-31,view,b\n"));
    place.run(&["ingest", "a.csv", "--into", "data", "--dedup-key", "id"]);
    let mut piped = Command::new(program());
    piped.current_dir(place.folder()).args(["ingest", "-", "--format", "csv", "--into", "data", "-q"]);
    let mut piped = piped.stdin(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut input = piped.stdin.take().unwrap();
    input.write_all(HEAD.as_bytes()).unwrap();
    // Its folder is there once it has read the table's version.
    while !place.path("data/events/_ingest").is_dir() {
        std::thread::sleep(Duration::from_millis(5));
    }
    assert!(place.run(&["ingest", "b.csv", "--into", "data", "-q"]).contains("exit 0"));
    input.write_all(b"2,2024-01-31,view,c\n").unwrap();
    drop(input);
    let output = piped.wait_with_output().unwrap();
    let told = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{told}");
    assert!(
        told.contains("another commit came first") && told.contains("standard input cannot be read again"),
        "{told}"
    );
    assert!(count(&place, "data/events").ends_with("n\n2\n"));
}

#[test]
fn rejected_rows_of_an_erased_user_go_however_the_user_is_written() {
    let place = Place::new();
    place.write("a.csv", "user_id,ts,event\n7,2024-01-31,view\n9,2024-01-31,view\n");
    place.write("b.csv", "user_id,ts,event\n007,soon,view\n8,soon,view\n9,2024-02-01,view\n");
    place.run(&["ingest", "a.csv", "--into", "data", "-q"]);
    assert!(place.run(&["ingest", "b.csv", "--into", "data", "-q"]).contains("2 rows rejected"));
    let told = place.run(&["erase", "data/events", "--user", "07"]);
    assert!(told.contains("exit 0"), "{told}");
    let rejects = std::fs::read_dir(place.path("data/events/_rejects")).unwrap().next().unwrap().unwrap().path();
    let left = std::fs::read_to_string(rejects).unwrap();
    assert!(!left.contains("007") && left.contains("8,soon"), "{left}");
}
