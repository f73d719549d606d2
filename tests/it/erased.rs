//! After `erase` and `vacuum` no byte of what the erased user was is left in the table's folder.

use std::path::Path;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, StringArray, TimestampMicrosecondArray};
use bytes::Bytes;
use parquet::file::reader::{FileReader, SerializedFileReader};
use tenure::store::managed::log::{At, TableLog};
use tenure::store::unfinished::Unfinished;
use tenure::store::write::{Destination, Limits, Writer};

use crate::damage::events;
use crate::program::Place;

/// What the pages of a Parquet file hold, dictionaries too, and its footer's statistics; nothing of another file.
fn decoded(bytes: &[u8]) -> Vec<u8> {
    let Ok(reader) = SerializedFileReader::new(Bytes::copy_from_slice(bytes)) else { return Vec::new() };
    let mut all = format!("{:?}", reader.metadata()).into_bytes();
    for group in 0..reader.num_row_groups() {
        let group = reader.get_row_group(group).unwrap();
        for column in 0..group.num_columns() {
            let mut pages = group.get_column_page_reader(column).unwrap();
            while let Some(page) = pages.get_next_page().unwrap() {
                all.extend_from_slice(page.buffer());
            }
        }
    }
    all
}

/// Every file below a folder, Parquet once more as it is when it is decoded, and the names of all.
fn walk(folder: &Path, found: &mut Vec<(String, Vec<u8>)>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => walk(&path, found),
            false => {
                let (name, bytes) = (path.display().to_string(), std::fs::read(&path).unwrap());
                found.push((format!("{name} (decoded)"), decoded(&bytes)));
                found.push((format!("{name} (its name)"), name.clone().into_bytes()));
                found.push((name, bytes));
            }
        }
    }
}

/// Files below a folder that hold one of the words as they are, or letter by letter as JSON may write them.
fn holding(folder: &Path, words: &[&str]) -> Vec<String> {
    let mut files = Vec::new();
    walk(folder, &mut files);
    let mut holding = Vec::new();
    for (name, bytes) in files {
        for word in words {
            let escaped: String = word.chars().map(|c| format!("\\u{:04x}", c as u32)).collect();
            let forms = [
                word.as_bytes().to_vec(),
                escaped.to_uppercase().replace("\\U", "\\u").into_bytes(),
                escaped.into_bytes(),
            ];
            // As a word of its own: a user may be called as others begin.
            let part = |byte: Option<&u8>| byte.is_some_and(|byte| byte.is_ascii_alphanumeric());
            let stands = |form: &Vec<u8>| {
                let places = bytes.windows(form.len()).enumerate().filter(|(_, w)| *w == form.as_slice());
                let mut places = places.map(|(at, _)| at);
                places.any(|at| {
                    !part(at.checked_sub(1).and_then(|at| bytes.get(at))) && !part(bytes.get(at + form.len()))
                })
            };
            if forms.iter().any(stands) {
                holding.push(format!("{name}: {word}"));
            }
        }
    }
    holding
}

/// The first and the last user of the table, whose values are the bounds of every column.
const ERASED: [&str; 8] =
    ["aaa-first", "zzz-last", "aaa@first.example", "zzz@last.example", "aaaevent", "zzzevent", "aaakey", "zzzkey"];

fn load(place: &Place, name: &str, rows: &[(&str, &str, &str, &str)]) {
    let mut text = String::from("user_id,ts,event,mail,key\n");
    for (at, (user, event, mail, key)) in rows.iter().enumerate() {
        text += &format!("{user},2024-01-{:02} 00:00:00,{event},{mail},{key}\n", at + 1);
    }
    place.write(name, &text);
    let done = place.run(&["ingest", name, "--into", "data", "--dedup-key", "key", "-q"]);
    assert!(done.starts_with("exit 0"), "{done}");
}

#[test]
fn no_byte_of_an_erased_user_is_left() {
    for (loads, compacted) in [(1, false), (3, true), (12, false), (12, true)] {
        let place = Place::new();
        for number in 0..loads {
            let (first, last, other) = (format!("aaakey{number}"), format!("zzzkey{number}"), format!("k{number}"));
            let rows = [
                ("aaa-first", "aaaevent", "aaa@first.example", first.as_str()),
                ("middle", "view", "m@x.org", other.as_str()),
                ("zzz-last", "zzzevent", "zzz@last.example", last.as_str()),
            ];
            load(&place, &format!("{number}.csv"), &rows);
        }
        if compacted {
            assert!(place.run(&["compact", "data/events", "-q"]).starts_with("exit 0"));
        }
        let table = place.path("data/events");
        assert!(!holding(&table, &ERASED).is_empty());
        let done = place.run(&["erase", "data/events", "--user", "aaa-first", "--user", "zzz-last", "-q"]);
        assert!(done.starts_with("exit 0"), "{done}");
        load(&place, "more.csv", &[("nnn", "view", "n@x.org", "later")]);
        let dry = place.run(&["vacuum", "data/events", "--older-than", "0", "--dry-run"]);
        assert!(
            dry.contains("_delta_log/00000000000000000000.json") && dry.contains("before the last erasure"),
            "{dry}"
        );
        let done = place.run(&["vacuum", "data/events", "--older-than", "0"]);
        assert!(done.starts_with("exit 0") && done.contains("before the last erasure"), "{done}");
        assert_eq!(holding(&table, &ERASED), [] as [String; 0], "{loads} loads");
        let rows = place.run(&[
            "-q",
            "--format",
            "csv",
            "-c",
            "SELECT user_id, count(*) AS n FROM 'data/events' GROUP BY 1 ORDER BY 1",
        ]);
        assert!(rows.contains(&format!("middle,{loads}\nnnn,1\n")), "{rows}");
        assert!(place.run(&["doctor", "data/events", "--verify"]).starts_with("exit 0"));
        // The table goes on: loads that were made are known, new ones come in, a second vacuum has nothing to do.
        assert!(place.run(&["ingest", "0.csv", "--into", "data"]).contains("was loaded into this table before"));
        load(&place, "last.csv", &[("ooo", "view", "o@x.org", "last")]);
        let again = place.run(&["vacuum", "data/events", "--older-than", "0"]);
        assert!(!again.contains("before the last erasure"), "{again}");
        let history = place.run(&[
            "-q",
            "--format",
            "csv",
            "-c",
            "SELECT operation FROM history('data/events') ORDER BY version",
        ]);
        assert!(history.contains("operation\nerase\ningest\ningest\n"), "{history}");
    }
}

/// Until the old files go the log stays as it is: old versions can be read.
#[test]
fn what_can_be_read_keeps_its_entries() {
    let place = Place::new();
    load(&place, "0.csv", &[("aaa-first", "view", "a@x.org", "k0"), ("other", "view", "o@x.org", "k1")]);
    assert!(place.run(&["erase", "data/events", "--user", "aaa-first", "-q"]).starts_with("exit 0"));
    assert!(!place.run(&["vacuum", "data/events"]).contains("before the last erasure"));
    let old = place.run(&["-q", "--format", "csv", "-c", "SELECT count(*) AS n FROM 'data/events' VERSION AS OF 0"]);
    let old = match old.contains("n\n2\n") {
        true => old,
        false => place.run(&[
            "-q",
            "-t",
            "events=data/events",
            "--format",
            "csv",
            "-c",
            "SELECT count(*) AS n FROM events AS OF VERSION 0",
        ]),
    };
    assert!(old.contains("n\n2\n") || old.starts_with("exit 1"), "{old}");
}

/// Rows that were put aside, also as text that is no JSON or writes letters by their numbers.
#[test]
fn rejected_rows_of_an_erased_user_go_as_well() {
    let place = Place::new();
    let lines = [
        r#"{"user_id":"keep","ts":"2024-01-01T00:00:00Z","event":"view"}"#,
        r#"{"user_id":"zzz-last","ts":"2024-01-01T00:00:00Z","event":"view"}"#,
        r#"{"user_id":"zzz-last","ts":"yesterday","event":"view"}"#,
        r#"{"user_id":"zzz-last","ts":"2024-01-01T00:00:00Z","event":"#,
        r#"{"user_id":"\u007a\u007a\u007a\u002d\u006c\u0061\u0073\u0074","ts":"yesterday","event":"view"}"#,
        r#"{"user_id":"\u007a\u007a\u007a\u002d\u006c\u0061\u0073\u0074","ts":"2024"#,
        r#"{"user_id":"keep","ts":"tomorrow","event":"view"}"#,
    ];
    place.write("a.ndjson", &(lines.join("\n") + "\n"));
    let done = place.run(&["ingest", "a.ndjson", "--into", "data", "--table", "events", "--max-rejects", "100", "-q"]);
    assert!(done.starts_with("exit 0"), "{done}");
    let table = place.path("data/events");
    assert!(holding(&table, &["zzz-last"]).iter().any(|name| name.contains("_rejects")));
    assert!(place.run(&["erase", "data/events", "--user", "zzz-last", "-q"]).starts_with("exit 0"));
    assert!(place.run(&["vacuum", "data/events", "--older-than", "0", "-q"]).starts_with("exit 0"));
    assert_eq!(holding(&table, &["zzz-last"]), [] as [String; 0]);
    assert!(!holding(&table, &["tomorrow"]).is_empty(), "others' rows stay");
}

/// What a stopped ingest has read goes where it holds rows of the user, and stays where it holds none.
#[test]
fn what_stopped_ingests_hold_of_an_erased_user_goes() {
    let place = Place::new();
    load(
        &place,
        "a.csv",
        &[("aaa-first", "view", "m", "k1"), ("keep", "view", "m", "k2"), ("zzz-last", "view", "m", "k3")],
    );
    let table = place.path("data/events");
    let log = opened(&table);
    let key_of = |user: &str| format!("key-of-{user}");
    for user in ["aaa-first", "keep", "zzz-last"] {
        let staging = Unfinished::open(&table, &key_of(user), || unreachable!()).unwrap();
        let to = Destination::existing(log.clone()).unwrap();
        let mut writer = Writer::new(to, staging.folder(), Limits { memory: 1 << 20, threads: 1 }).unwrap();
        let users: ArrayRef = Arc::new(StringArray::from(vec![user, "other"]));
        let times = TimestampMicrosecondArray::from(vec![1, 2]).with_timezone("UTC");
        let columns = log.schema().fields().iter().map(|field| match field.name().as_str() {
            "user_id" => Arc::clone(&users),
            "ts" => Arc::new(times.clone()),
            _ => arrow::array::new_null_array(field.data_type(), 2),
        });
        let batch = RecordBatch::try_new(log.schema().clone(), columns.collect()).unwrap();
        writer.push(&batch).unwrap();
        writer.flush().unwrap();
    }
    // One that a process works in: it holds its lock while it lives.
    let running = Unfinished::open(&table, "running", || unreachable!()).unwrap();
    let erase = |more: &[&str]| {
        place.run(&[&["erase", "data/events", "--user", "aaa-first", "--user", "zzz-last"], more].concat())
    };
    let told = erase(&["--dry-run"]);
    assert!(told.contains("what 2 unfinished ingests had put aside would go, too"), "{told}");
    let keys = || {
        let names = std::fs::read_dir(table.join("_ingest")).unwrap().flatten();
        let mut names: Vec<String> = names.map(|e| e.file_name().into_string().unwrap()).collect();
        names.sort();
        names
    };
    assert_eq!(keys().len(), 4);
    let told = erase(&[]);
    assert!(told.contains("rows of theirs may still come in with 1 ingest into this table"), "{told}");
    assert_eq!(keys(), [key_of("keep"), "running".to_string()]);
    drop(running);
    assert!(place.run(&["vacuum", "data/events", "--older-than", "0", "-q"]).starts_with("exit 0"));
    assert_eq!(holding(&table, &["aaa-first", "zzz-last"]), [] as [String; 0]);
}

fn opened(folder: &Path) -> TableLog {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(TableLog::open(folder, At::Latest)).unwrap()
}

/// A load that was stopped has put rows aside, whose users nobody knows.
#[test]
fn what_a_stopped_load_put_aside_goes_as_well() {
    let place = Place::new();
    place.write("first.csv", &events(100, 0));
    assert!(place.run(&["ingest", "first.csv", "--into", "data", "--table", "events", "-q"]).starts_with("exit 0"));
    // A row that is wrong comes last, after runs were written: the load fails, and could be gone on with.
    place.write("second.csv", &(events(40_000, 1_000) + "u005,never,view,,m@x.org,k\n"));
    let load =
        ["ingest", "second.csv", "--into", "data", "--table", "events", "--memory", "1MB", "--max-rejects", "0", "-q"];
    let refused = place.run(&load);
    assert!(refused.starts_with("exit 1") && refused.contains("max-rejects"), "{refused}");
    let table = place.path("data/events");
    assert!(holding(&table, &["never"]).iter().any(|name| name.contains("_ingest")), "{:?}", place.names());
    let dry = place.run(&["erase", "data/events", "--user", "u005", "--dry-run"]);
    assert!(dry.contains("what 1 unfinished ingest had put aside would go"), "{dry}");
    assert!(table.join("_ingest").is_dir());
    let done = place.run(&["erase", "data/events", "--user", "u005"]);
    assert!(done.starts_with("exit 0") && done.contains("what 1 unfinished ingest had put aside is gone"), "{done}");
    assert!(place.run(&["vacuum", "data/events", "--older-than", "0", "-q"]).starts_with("exit 0"));
    assert!(!table.join("_ingest").exists());
    assert_eq!(holding(&table, &["u005", "m5@x.org"]), [] as [String; 0]);
    // The load begins anew, and the rows that its source has come in with it.
    let again = place.run(&["ingest", "second.csv", "--into", "data", "--table", "events", "--memory", "1MB", "-q"]);
    assert!(again.starts_with("exit 0"), "{again}");
    let rows = place.run(&["-q", "--format", "csv", "-c", "SELECT count(*) AS n FROM 'data/events'"]);
    assert!(rows.contains("n\n40098\n") || rows.contains("n\n40099\n"), "{rows}");
}

/// Names of other alphabets, names with which others begin, names in quotes: all of the user goes and nothing of anybody else.
#[test]
fn odd_names_go_and_their_neighbours_stay() {
    let place = Place::new();
    let erased = ["z\u{f6}e \u{1f600}", "7", "a,\"b\"", "path/../x", "long-".repeat(60).leak()];
    let stay = ["z\u{f6}e", "77", "17", "a,\"b\"c", "path", "long-".repeat(59).leak()];
    let cell = |text: &str| format!("\"{}\"", text.replace('"', "\"\""));
    for load in 0..3 {
        let mut text = String::from("user_id,ts,event,note\n");
        for (at, user) in erased.iter().chain(&stay).enumerate() {
            let note = cell(&format!("note of {user} in {load}"));
            text += &format!("{},2024-01-{:02} 00:00:00,view,{note}\n", cell(user), at + 1);
        }
        // Without a time it is put aside.
        text += &format!("{},never,view,{}\n", cell(erased[load]), cell("put aside"));
        // One source is called after a user.
        let name = if load == 0 { format!("{}.csv", erased[0]) } else { format!("{load}.csv") };
        place.write(&name, &text);
        let done = place.run(&["ingest", &name, "--into", "data", "--table", "events", "--max-rejects", "9", "-q"]);
        assert!(done.starts_with("exit 0"), "{done}");
    }
    assert!(place.run(&["compact", "data/events", "-q"]).starts_with("exit 0"));
    let mut arguments = vec!["erase", "data/events", "-q"];
    erased.iter().for_each(|user| arguments.extend(["--user", user]));
    let done = place.run(&arguments);
    assert!(done.starts_with("exit 0"), "{done}");
    assert!(place.run(&["vacuum", "data/events", "--older-than", "0", "-q"]).starts_with("exit 0"));
    let words = [&erased[..1], &erased[2..], &["note of 7 in 0", "note of 7 in 2", "put aside"]].concat();
    let table = place.path("data/events");
    let found = holding(&table, &words);
    assert_eq!(found, [] as [String; 0]);
    let left = place.run(&[
        "-q",
        "--format",
        "csv",
        "-c",
        "SELECT count(*) AS n, count(DISTINCT user_id) AS users FROM 'data/events'",
    ]);
    assert!(left.contains("n,users\n18,6\n"), "{left}");
    assert!(!holding(&table, &["note of 77 in 1"]).is_empty());
    let again = place.run(&["ingest", &format!("{}.csv", erased[0]), "--into", "data", "--table", "events"]);
    assert!(again.contains("was loaded into this table before"), "{again}");
}
