//! `tenure ingest` as its users run it: sources of every kind in, a table out; what is wrong with rows, and kills.

use std::io::Write;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use insta::assert_snapshot;
use regex::Regex;

use crate::program::{Place, program};

/// A run, without what differs from one to the next.
fn told(text: &str) -> String {
    let mut text = text.to_string();
    for (pattern, with) in [
        (r"\d+\.\d s\b", "N s"),
        (r"\(\d[\d.]* \w+\)", "(N bytes)"),
        (r"tenure-ingest-[0-9a-f]{32}(-\d+)-[0-9a-f]{8}", "LOAD$1"),
    ] {
        text = Regex::new(pattern).unwrap().replace_all(&text, with).into_owned();
    }
    text
}

fn ingest(place: &Place, args: &[&str]) -> String {
    let mut all = vec!["ingest"];
    all.extend(args);
    told(&place.run(&all))
}

/// The rows of a query, as CSV.
fn query(place: &Place, sql: &str) -> String {
    let output = place.tenure().args(["--format", "csv", "-c", sql]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap();
    text.trim_end().to_string()
}

/// Names in the table's folder, other than data files.
fn left(place: &Place, table: &str) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(place.path(table)) else { return Vec::new() };
    let names = entries.map(|e| e.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = names.filter(|n| !n.ends_with(".parquet")).collect();
    names.sort();
    names
}

const FEW: &str = "user_id,ts,event,price\n2,2024-01-31 12:00:00,view,\n1,2024-01-31T13:00:00Z,buy,2.5\n1,2024-01-31 12:00:00,view,1\n";

#[test]
fn a_file_becomes_a_table() {
    let place = Place::new();
    place.write("few.csv", FEW);
    assert_snapshot!(ingest(&place, &["few.csv", "--into", "data"]), @r#"
    exit 0
    -- stderr
    ┌─────────┬──────────────────────┬───────┬─────────┬─────────────────────┐
    │ column  │ type                 │ role  │ from    │ example             │
    ├─────────┼──────────────────────┼───────┼─────────┼─────────────────────┤
    │ user_id │ bigint               │ user  │ user_id │ 2                   │
    │ ts      │ timestamp (ISO 8601) │ time  │ ts      │ 2024-01-31 12:00:00 │
    │ event   │ text (dictionary)    │ event │ event   │ view                │
    │ price   │ double               │       │ price   │ 2.5                 │
    └─────────┴──────────────────────┴───────┴─────────┴─────────────────────┘
    events: 3 rows in, 3 written to 1 file (N bytes) in data/events, version 0, N s
    "#);
    assert_snapshot!(query(&place, "SELECT * FROM 'data/events' ORDER BY user_id, ts"), @r#"
    user_id,ts,event,price
    1,2024-01-31T12:00:00Z,view,1.0
    1,2024-01-31T13:00:00Z,buy,2.5
    2,2024-01-31T12:00:00Z,view,
    "#);
    assert_eq!(left(&place, "data/events"), ["_delta_log", "_loads"]);
}

#[test]
fn a_dry_run_writes_nothing() {
    let place = Place::new();
    place.write("few.csv", FEW);
    let shown = ingest(&place, &["few.csv", "--into", "data", "--dry-run"]);
    assert!(shown.starts_with("exit 0") && shown.contains("timestamp (ISO 8601)"), "{shown}");
    assert_eq!(place.names(), ["few.csv"]);
}

/// The same rows in every format and compression, from files, a folder, a glob and standard input.
#[test]
fn every_kind_of_source_gives_the_same_rows() {
    let place = Place::new();
    let objects: String = FEW
        .lines()
        .skip(1)
        .map(|line| {
            let fields: Vec<&str> = line.split(',').collect();
            let price = if fields[3].is_empty() { "null" } else { fields[3] };
            format!(
                "{{\"user_id\": {}, \"ts\": \"{}\", \"event\": \"{}\", \"price\": {price}}}\n",
                fields[0], fields[1], fields[2]
            )
        })
        .collect();
    let gz = |text: &str| {
        let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gz.write_all(text.as_bytes()).unwrap();
        gz.finish().unwrap()
    };
    let files: Vec<(&str, Vec<u8>)> = vec![
        ("a.csv", FEW.into()),
        ("b.tsv", FEW.replace(',', "\t").into()),
        ("c.csv.gz", gz(FEW)),
        ("d.csv.zst", zstd::encode_all(FEW.as_bytes(), 1).unwrap()),
        ("e.ndjson", objects.clone().into()),
        ("f.jsonl.gz", gz(&objects)),
        ("g.json.zst", zstd::encode_all(objects.as_bytes(), 1).unwrap()),
        ("h.csv", FEW.replace(',', ";").replace('\n', "\r\n").into()),
    ];
    let expected = "1,2024-01-31T12:00:00Z,view,1.0\n1,2024-01-31T13:00:00Z,buy,2.5\n2,2024-01-31T12:00:00Z,view,";
    let rows = |table: &str| {
        query(&place, &format!("SELECT user_id, ts, event, price FROM 'data/{table}' ORDER BY user_id, ts"))
            .lines()
            .skip(1)
            .collect::<Vec<_>>()
            .join("\n")
    };
    for (name, bytes) in &files {
        std::fs::write(place.path(name), bytes).unwrap();
        let table = name.replace('.', "_");
        let told = ingest(&place, &[name, "--into", "data", "--table", &table]);
        assert!(told.starts_with("exit 0"), "{name}: {told}");
        assert_eq!(rows(&table), expected, "{name}");
    }
    query(&place, "COPY (SELECT user_id, ts, event, price FROM 'data/a_csv') TO 'i.parquet'");
    ingest(&place, &["i.parquet", "--into", "data", "--table", "parquet", "-q"]);
    assert_eq!(rows("parquet"), expected);
    for (name, input, format) in [("in_csv", FEW, "csv"), ("in_json", objects.as_str(), "ndjson")] {
        let told =
            place.run_with_input(&["ingest", "-", "--format", format, "--into", "data", "--table", name, "-q"], input);
        assert_eq!(told, "exit 0\n", "{name}");
        assert_eq!(rows(name), expected, "{name}");
    }
    // A folder, a glob, and several sources; the same file twice is one.
    std::fs::create_dir(place.path("logs")).unwrap();
    for (name, bytes) in &files[..3] {
        std::fs::write(place.path("logs").join(name), bytes).unwrap();
    }
    place.write("logs/README.txt", "no data");
    for (table, sources) in [("folder", vec!["logs"]), ("glob", vec!["logs/*.csv*", "logs/b.tsv", "logs/a.csv"])] {
        let mut args = sources;
        args.extend(["--into", "data", "--table", table, "-q"]);
        ingest(&place, &args);
        assert_eq!(query(&place, &format!("SELECT count(*) FROM 'data/{table}'")), "count(*)\n9", "{table}");
    }
}

#[test]
fn times_are_told_by_their_values_or_by_name() {
    let place = Place::new();
    let second = 1_706_702_400_i64;
    let mut times: Vec<(String, Vec<&str>, &str)> = vec![
        (second.to_string(), vec![], "2024-01-31T12:00:00Z"),
        (format!("{second}123"), vec![], "2024-01-31T12:00:00.123Z"),
        (format!("{second}123456"), vec![], "2024-01-31T12:00:00.123456Z"),
        (format!("{second}123456000"), vec![], "2024-01-31T12:00:00.123456Z"),
        (format!("{second}123456789"), vec!["--floor-time"], "2024-01-31T12:00:00.123456Z"),
        (format!("{second}.5"), vec![], "2024-01-31T12:00:00.500Z"),
        ("31.01.2024 12:00".into(), vec!["--time-format", "%d.%m.%Y %H:%M"], "2024-01-31T12:00:00Z"),
        ("2024-01-31T14:00:00+02:00".into(), vec![], "2024-01-31T12:00:00Z"),
        ("31/Jan/2024:14:00:00 +0200".into(), vec![], "2024-01-31T12:00:00Z"),
        ("5".into(), vec!["--time-unit", "s"], "1970-01-01T00:00:05Z"),
    ];
    place.write("berlin.toml", "tz = 'Europe/Berlin'");
    times.push(("2024-01-31 13:00:00".into(), vec!["--mapping", "berlin.toml"], "2024-01-31T12:00:00Z"));
    for (number, (text, args, expected)) in times.iter().enumerate() {
        place.write("t.csv", &format!("user_id,ts,event\n1,{text},a\n"));
        let table = format!("t{number}");
        let mut all = vec!["t.csv", "--into", "data", "--table", &table, "-q"];
        all.extend(args);
        let told = ingest(&place, &all);
        assert_eq!(told, "exit 0\n", "{text}");
        assert_eq!(query(&place, &format!("SELECT ts FROM 'data/{table}'")), format!("ts\n{expected}"), "{text}");
    }
    for (text, expected) in [
        ("5", "the unit of numbers such as 5 is unclear; say it with --time-unit"),
        ("01/02/2024", "how '01/02/2024' tells a time is unclear; say it with --time-format"),
    ] {
        place.write("t.csv", &format!("user_id,ts,event\n1,{text},a\n"));
        let told = ingest(&place, &["t.csv", "--into", "data", "--table", "unclear"]);
        assert!(told.starts_with("exit 1") && told.contains(expected), "{told}");
        assert!(!place.path("data/unclear").exists());
    }
}

#[test]
fn a_mapping_names_types_and_leaves_out() {
    let place = Place::new();
    place.write(
        "m.toml",
        r#"
        user = "who"
        drop = ["junk"]
        [columns]
        who = "uid"
        ts = { from = "at", unit = "ms" }
        event = "action"
        amount = { from = "properties.price", type = "decimal(8,2)" }
        platform = { constant = "ios" }
        "#,
    );
    place.write(
        "a.ndjson",
        r#"{"uid": "u1", "at": 1706702400000, "action": "buy", "junk": {"x": [1]}, "properties": {"price": 2.5, "n": 1}}
{"uid": "u1", "at": 1706702401000, "action": "view", "junk": 7, "properties": {"n": 2}}
"#,
    );
    assert_snapshot!(ingest(&place, &["a.ndjson", "--into", "data", "--mapping", "m.toml"]), @r#"
    exit 0
    -- stderr
    ┌────────────┬─────────────────────────┬───────┬──────────────────┬────────────────────────┐
    │ column     │ type                    │ role  │ from             │ example                │
    ├────────────┼─────────────────────────┼───────┼──────────────────┼────────────────────────┤
    │ who        │ text                    │ user  │ uid              │ u1                     │
    │ ts         │ timestamp (epoch in ms) │ time  │ at               │ 1706702400000          │
    │ event      │ text (dictionary)       │ event │ action           │ buy                    │
    │ properties │ struct(n: bigint)       │       │ properties       │ {"price": 2.5, "n": 1} │
    │ amount     │ decimal(8,2)            │       │ properties.price │ 2.5                    │
    │ platform   │ text (dictionary)       │       │ (constant)       │ ios                    │
    └────────────┴─────────────────────────┴───────┴──────────────────┴────────────────────────┘
    events: 2 rows in, 2 written to 1 file (N bytes) in data/events, version 0, N s
    "#);
    assert_snapshot!(query(&place, "SELECT * FROM 'data/events' ORDER BY ts"), @r#"
    who,ts,event,properties,amount,platform
    u1,2024-01-31T12:00:00Z,buy,"{""n"":1}",2.50,ios
    u1,2024-01-31T12:00:01Z,view,"{""n"":2}",,ios
    "#);
    place.write("wrong.toml", "[columns]\nuser_id = 'udi'");
    assert_snapshot!(ingest(&place, &["a.ndjson", "--into", "data", "--mapping", "wrong.toml", "--table", "x"]), @r#"
    exit 1
    -- stderr
    error: 'a.ndjson': mapping: no source has a column 'udi' (for 'user_id'); did you mean 'uid'?
    "#);
    place.write("wrong.toml", "usr = 'uid'");
    assert_snapshot!(ingest(&place, &["a.ndjson", "--into", "data", "--mapping", "wrong.toml", "--table", "x"]), @r#"
    exit 1
    -- stderr
    error: wrong.toml: unknown key 'usr'; did you mean 'user'?
    "#);
}

#[test]
fn rows_that_cannot_be_taken_in_are_kept_with_the_reason() {
    let place = Place::new();
    place.write(
        "bad.csv",
        "user_id,ts,event,price\n1,2024-01-31,view,1\n2,soon,view,1\n,2024-01-31,view,1\n3,2024-01-31,view\n4,never,view,1\n5,2024-01-31,\"open,1\n",
    );
    assert_snapshot!(ingest(&place, &["bad.csv", "--into", "data"]), @r#"
    exit 0
    -- stderr
    ┌─────────┬──────────────────────┬───────┬─────────┬────────────┐
    │ column  │ type                 │ role  │ from    │ example    │
    ├─────────┼──────────────────────┼───────┼─────────┼────────────┤
    │ user_id │ bigint               │ user  │ user_id │ 1          │
    │ ts      │ timestamp (ISO 8601) │ time  │ ts      │ 2024-01-31 │
    │ event   │ text (dictionary)    │ event │ event   │ view       │
    │ price   │ bigint               │       │ price   │ 1          │
    └─────────┴──────────────────────┴───────┴─────────┴────────────┘
    events: 6 rows in, 1 written to 1 file (N bytes) in data/events, version 0, N s
    warning: 5 rows rejected, kept in data/events/_rejects/LOAD-1.ndjson
      2 x ts is not a time of the column's format, first at bad.csv:3 ('soon')
      1 x a quote is never closed, first at bad.csv:7
      1 x too few fields, first at bad.csv:5 ('3 in place of 4')
      1 x user_id is NULL, first at bad.csv:4
    "#);
    let kept: Vec<_> =
        std::fs::read_dir(place.path("data/events/_rejects")).unwrap().map(|e| e.unwrap().path()).collect();
    assert_eq!(kept.len(), 1);
    assert_snapshot!(std::fs::read_to_string(&kept[0]).unwrap(), @r#"
    {"source":"bad.csv","line":3,"reason":"ts: 'soon' is not a time of the column's format","user":"2","row":"2,soon,view,1"}
    {"source":"bad.csv","line":4,"reason":"user_id is NULL","row":",2024-01-31,view,1"}
    {"source":"bad.csv","line":5,"reason":"too few fields: 3 in place of 4","row":"3,2024-01-31,view"}
    {"source":"bad.csv","line":6,"reason":"ts: 'never' is not a time of the column's format","user":"4","row":"4,never,view,1"}
    {"source":"bad.csv","line":7,"reason":"a quote is never closed","row":"5,2024-01-31,\"open,1"}
    "#);
    assert_eq!(query(&place, "SELECT count(*) FROM 'data/events'"), "count(*)\n1");
    // Too many, or all of them, is a failure that leaves nothing behind.
    for limit in ["4", "80%"] {
        let told = ingest(&place, &["bad.csv", "--into", "data", "--table", "strict", "--max-rejects", limit]);
        assert!(told.starts_with("exit 1") && told.contains("5 of 6 rows cannot be taken in"), "{told}");
        assert!(!place.path("data/strict").exists());
    }
    for limit in ["5", "84%"] {
        let table = format!("fine{limit}");
        let told = ingest(&place, &["bad.csv", "--into", "data", "--table", &table, "--max-rejects", limit]);
        assert!(told.starts_with("exit 0"), "{told}");
    }
    place.write("all.csv", "user_id,ts,event\n1,2024-01-31 12:00:00.0000001,view\n");
    assert_snapshot!(ingest(&place, &["all.csv", "--into", "data", "--table", "none", "-q"]), @r#"
    exit 1
    -- stderr
    error: 1 of 1 rows cannot be taken in: that is every row
    hint: 1 x ts is finer than a microsecond (--floor-time cuts it), first at all.csv:2 ('2024-01-31 12:00:00.0000001')
    "#);
    assert!(!place.path("data/none").exists());
}

#[test]
fn later_files_are_appended() {
    let place = Place::new();
    place.write("few.csv", FEW);
    ingest(&place, &["few.csv", "--into", "data"]);
    // A column more, one less, another order, numbers where the table has text.
    place.write("more.csv", "country,event,user_id,ts\nDE,7,3,2024-02-01\n");
    assert_snapshot!(ingest(&place, &["more.csv", "--into", "data"]), @r#"
    exit 0
    -- stderr
    ┌─────────┬──────────────────────┬───────┬─────────┬────────────┐
    │ column  │ type                 │ role  │ from    │ example    │
    ├─────────┼──────────────────────┼───────┼─────────┼────────────┤
    │ user_id │ bigint               │ user  │ user_id │ 3          │
    │ ts      │ timestamp (ISO 8601) │ time  │ ts      │ 2024-02-01 │
    │ event   │ text (dictionary)    │ event │ event   │ 7          │
    │ price   │ double               │       │ (NULL)  │            │
    │ country │ text (dictionary)    │ new   │ country │ DE         │
    └─────────┴──────────────────────┴───────┴─────────┴────────────┘
    events: 1 rows in, 1 written to 1 file (N bytes) in data/events, version 1, N s
    "#);
    assert_snapshot!(query(&place, "SELECT * FROM 'data/events' ORDER BY user_id, ts"), @r#"
    user_id,ts,event,price,country
    1,2024-01-31T12:00:00Z,view,1.0,
    1,2024-01-31T13:00:00Z,buy,2.5,
    2,2024-01-31T12:00:00Z,view,,
    3,2024-02-01T00:00:00Z,7,,DE
    "#);
    // What does not fit is told before anything is written.
    place.write("text.csv", "user_id,ts,event,price\n3,2024-02-01,view,cheap\n");
    assert_snapshot!(ingest(&place, &["text.csv", "--into", "data"]), @r#"
    exit 1
    -- stderr
    error: column 'price' is text in 'text.csv' (such as 'cheap') but double in the table
    hint: in a mapping, give it another name ([columns] new_name = "price"), or say its type ([columns] price = { from = "price", type = .. }): then rows with other values are rejected
    "#);
    place.write("case.csv", "user_id,ts,event,Price\n3,2024-02-01,view,1\n");
    assert_snapshot!(ingest(&place, &["case.csv", "--into", "data"]), @r#"
    exit 1
    -- stderr
    error: 'case.csv': column 'Price' and the table's 'price' differ only by case
    hint: map it: [columns] price = "Price"
    "#);
    place.write("other.csv", "uid,ts,event\n3,2024-02-01,view\n");
    assert_snapshot!(ingest(&place, &["other.csv", "--into", "data"]), @r#"
    exit 1
    -- stderr
    error: 'other.csv': the sources have no column for the table's user column 'user_id'; allowed: uid, ts, event
    hint: map one: [columns] user_id = "its name in the source"
    "#);
    assert_eq!(query(&place, "SELECT count(*) FROM 'data/events'"), "count(*)\n4");
    assert_eq!(left(&place, "data/events"), ["_delta_log", "_loads"]);
}

#[test]
fn a_field_that_the_sample_does_not_show_costs_no_event() {
    let place = Place::new();
    let row =
        |user: u32, rest: &str| format!("{{\"user_id\": {user}, \"ts\": \"2024-01-31\", \"event\": \"a\"{rest}}}\n");
    let lines = [row(1, ""), row(2, ""), row(3, ", \"coupon\": \"x\""), row(4, ", \"coupon\": 5, \"p\": {\"q\": 1}")];
    place.write("a.ndjson", &lines.concat());
    let told = ingest(&place, &["a.ndjson", "--into", "data", "--sample", "2", "-q"]);
    assert_eq!(
        told,
        "exit 0\n-- stderr\nwarning: left out of their rows: 3 values of 2 fields that the sample does not show (coupon, p), first at a.ndjson:3; --sample all looks at every row\n"
    );
    assert_eq!(query(&place, "SELECT count(*) AS n FROM 'data/events'"), "n\n4");
    assert_eq!(left(&place, "data/events"), ["_delta_log", "_loads"]);
    let told = ingest(&place, &["a.ndjson", "--into", "data", "--table", "whole", "--sample", "all"]);
    assert!(!told.contains("warning"), "{told}");
    // A column that the table has is filled whether the sample shows it or not.
    let lines = [row(5, ""), row(6, ", \"coupon\": \"y\", \"p\": {\"q\": 2, \"r\": 3}")];
    place.write("b.ndjson", &lines.concat());
    let told = ingest(&place, &["b.ndjson", "--into", "data", "--table", "whole", "--sample", "1", "-q"]);
    assert!(told.contains("1 value of 1 field that the sample does not show (p.r), first at b.ndjson:2;"), "{told}");
    assert_eq!(
        query(&place, "SELECT user_id, coupon, p['q'] AS q FROM 'data/whole' WHERE user_id > 2 ORDER BY user_id"),
        "user_id,coupon,q\n3,x,\n4,5,1\n5,,\n6,y,2"
    );
    // Unless it is left out on purpose.
    place.write("map.toml", "drop = ['coupon', 'p']");
    let told = ingest(
        &place,
        &["b.ndjson", "--into", "data", "--table", "whole", "--sample", "1", "-q", "--again", "--mapping", "map.toml"],
    );
    assert_eq!(told, "exit 0\n");
    assert_eq!(query(&place, "SELECT count(coupon) AS n FROM 'data/whole' WHERE user_id = 6"), "n\n1");
}

#[test]
fn unfinished_ingests_are_told_of_and_vacuumed_when_they_are_old() {
    let place = Place::new();
    place.write("few.csv", FEW);
    ingest(&place, &["few.csv", "--into", "data"]);
    let staging = place.path("data/events/_ingest");
    for (name, days) in [("old", 8), ("new", 0)] {
        std::fs::create_dir_all(staging.join(name)).unwrap();
        let then = std::time::SystemTime::now() - Duration::from_secs(days * 86_400);
        for file in ["lock", "run-1.arrow"] {
            std::fs::write(staging.join(name).join(file), "rows").unwrap();
            let file = std::fs::File::options().write(true).open(staging.join(name).join(file)).unwrap();
            file.set_modified(then).unwrap();
        }
        std::fs::File::open(staging.join(name)).unwrap().set_modified(then).unwrap();
    }
    place.write("more.csv", FEW);
    let told = ingest(&place, &["more.csv", "--into", "data"]);
    assert!(told.contains("unfinished ingests of other sources hold 1 MB in 'data/events/_ingest' (1): "), "{told}");
    let dry = place.run(&["vacuum", "data/events", "--dry-run"]);
    assert!(dry.contains("-- stdout\n_ingest/old\n") && dry.contains("1 unfinished ingests (8 bytes)"), "{dry}");
    assert!(staging.join("old").exists());
    let lock = std::fs::File::open(staging.join("old/lock")).unwrap();
    lock.lock().unwrap();
    assert!(!place.run(&["vacuum", "data/events", "--older-than", "0"]).contains("_ingest"));
    drop(lock);
    assert!(place.run(&["vacuum", "data/events", "--older-than", "0"]).contains("_ingest/old\n"));
    assert!(!staging.join("old").exists() && staging.join("new").exists());
    let told = ingest(&place, &["few.csv", "--into", "data", "--again"]);
    assert!(!told.contains("unfinished"), "{told}");
}

#[test]
fn names_must_be_clear() {
    let place = Place::new();
    let fails = |text: &str, args: &[&str]| {
        place.write("n.csv", text);
        let mut all = vec!["n.csv", "--into", "data", "-q"];
        all.extend(args);
        ingest(&place, &all)
            .lines()
            .filter(|l| l.starts_with("error") || l.starts_with("hint"))
            .collect::<Vec<_>>()
            .join("\n")
    };
    // What has no name of its own is called by its place, what has another's gets a number.
    place.write("twice.csv", "user_id,ts,event,a,a,\n1,2024-01-31,v,1,2,3\n");
    ingest(&place, &["twice.csv", "--into", "named", "-q"]);
    assert_eq!(query(&place, "SELECT a, a_1, column_6 FROM 'named/events'"), "a,a_1,column_6\n1,2,3");
    assert_snapshot!(fails("user_id,ts,event,Page,page\n1,2024-01-31,v,1,2\n", &[]), @r#"
    error: 'n.csv': columns 'Page' and 'page' differ only by case
    hint: rename one in a mapping: [columns] page_2 = "page"
    "#);
    assert_snapshot!(fails("uid,ts,event\n1,2024-01-31,v\n", &[]), @r#"error: 'n.csv': no user column found (looked for user_id); name it with --user COLUMN; candidates: uid, event"#);
    assert_snapshot!(fails("user_id,ts,time,event\n1,2024-01-31,2024-01-31,v\n", &[]), @r#"error: 'n.csv': more than one time column (ts, time); choose with --time COLUMN"#);
    assert_snapshot!(fails("user_id,ts,event\n1,2024-01-31,v\n", &["--user", "usr_id"]), @r#"error: 'n.csv': the user column 'usr_id' is not among the columns; did you mean 'user_id'?"#);
    assert_snapshot!(fails("user_id,ts,event\n1,2024-01-31,v\n", &["--user", "event"]), @r#"error: 'n.csv': user, time and event must be three columns, got 'event', 'ts' and 'event'"#);
    assert_snapshot!(fails("user_id,ts,event\n1,2024-01-31,v\n", &["--dedup-key", "insert_id"]), @r#"error: 'n.csv': the deduplication key 'insert_id' is not among the columns; did you mean 'user_id'?"#);
    assert_snapshot!(fails("user_id,ts,event\n1,2024-01-31,v\n", &["--period", "yaer"]), @r#"error: unknown period 'yaer'; allowed: day, week, month"#);
    assert_snapshot!(fails("", &[]), @r#"error: 'n.csv': the sources have no columns"#);
    assert!(!place.path("data/events").exists());
    // By place, everything can be named.
    place.write("n.csv", "user_id,ts,event,a,a,\n1,2024-01-31,v,1,2,3\n");
    place.write("m.toml", "drop = ['#6']\n[columns]\nfirst = '#4'\nsecond = '#5'");
    ingest(&place, &["n.csv", "--into", "data", "-q", "--mapping", "m.toml"]);
    assert_eq!(query(&place, "SELECT first, second FROM 'data/events'"), "first,second\n1,2");
    place.write("bare.csv", "1,2024-01-31,v\n");
    let told = ingest(
        &place,
        &[
            "bare.csv",
            "--into",
            "data",
            "--table",
            "bare",
            "-q",
            "--no-header",
            "--user",
            "column_1",
            "--time",
            "column_2",
            "--event",
            "column_3",
        ],
    );
    assert_eq!(told, "exit 0\n");
}

#[test]
fn sources_are_loaded_once() {
    let place = Place::new();
    place.write("logs/a.csv", FEW);
    let args = ["logs", "--into", "data", "-q"];
    assert_eq!(ingest(&place, &args), "exit 0\n");
    assert_snapshot!(ingest(&place, &args), @r#"
    exit 1
    -- stderr
    error: 'logs/a.csv' was loaded into this table before
    hint: --only-new leaves such files out, --again loads them once more
    "#);
    let count = || query(&place, "SELECT count(*) FROM 'data/events'").replace("count(*)\n", "");
    place.write("logs/b.csv", FEW);
    assert!(ingest(&place, &args).contains("'logs/a.csv' was loaded"));
    let new = |more: &str| ingest(&place, &["logs", "--into", "data", "-q", more]);
    assert_eq!(new("--only-new"), "exit 0\n");
    assert_eq!(count(), "6");
    assert_eq!(new("--only-new"), "exit 0\n");
    assert_eq!(count(), "6");
    assert_eq!(new("--again"), "exit 0\n");
    assert_eq!(new("--again"), "exit 0\n");
    assert_eq!(count(), "18");
    assert_eq!(left(&place, "data/events"), ["_delta_log", "_loads"]);
}

#[test]
fn repeated_events_are_dropped_across_loads() {
    let place = Place::new();
    place.write("a.csv", "user_id,ts,event,insert_id\n1,2024-01-31,v,x\n1,2024-01-30,v,x\n1,2024-01-31,v,\n1,2024-01-31,v,\n2,2024-01-31,v,x\n");
    let told = ingest(&place, &["a.csv", "--into", "data", "--dedup-key", "insert_id"]);
    assert!(told.contains("5 rows in, 4 written") && told.contains("1 repeated events left out"), "{told}");
    // The table remembers the key.
    place.write("b.csv", "user_id,ts,event,insert_id\n1,2024-01-29,v,x\n1,2024-01-29,v,y\n");
    let told = ingest(&place, &["b.csv", "--into", "data"]);
    assert!(told.contains("2 rows in, 1 written"), "{told}");
    assert_eq!(
        query(&place, "SELECT user_id, CAST(ts AS DATE) AS day, insert_id FROM 'data/events' ORDER BY 1, 2, 3"),
        "user_id,day,insert_id\n1,2024-01-29,y\n1,2024-01-30,x\n1,2024-01-31,\n1,2024-01-31,\n2,2024-01-31,x"
    );
    let told = ingest(&place, &["b.csv", "--into", "data", "--dedup-key", "event", "--again"]);
    assert!(told.contains("the table's deduplication key is 'insert_id', not 'event'"), "{told}");
}

#[test]
fn files_of_different_shape_are_one_table_or_a_clear_error() {
    let place = Place::new();
    place.write("a.csv", "user_id,ts,event,n\n1,2024-01-31,v,1\n");
    place.write("b.csv", "ts,user_id,event,m,n\n2024-01-31,2,v,x,2.5\n");
    place.write("c.ndjson", "{\"user_id\": 3, \"ts\": \"2024-01-31\", \"event\": \"v\", \"n\": 7}\n");
    ingest(&place, &["a.csv", "b.csv", "c.ndjson", "--into", "data", "-q"]);
    assert_eq!(
        query(&place, "SELECT user_id, event, n, m FROM 'data/events' ORDER BY user_id"),
        "user_id,event,n,m\n1,v,1.0,\n2,v,2.5,x\n3,v,7.0,"
    );
    std::fs::create_dir(place.path("p")).unwrap();
    let parquet = |name: &str, n: &str| {
        let sql =
            format!("COPY (SELECT 1 AS user_id, TIMESTAMP '2024-01-31' AS ts, 'v' AS event, {n} AS n) TO '{name}'");
        assert_eq!(query(&place, &sql), "");
    };
    parquet("p/int.parquet", "CAST(1 AS INT)");
    parquet("p/double.parquet", "CAST(2.5 AS DOUBLE)");
    ingest(&place, &["p", "--into", "data", "--table", "wide", "-q"]);
    assert_eq!(query(&place, "SELECT n FROM 'data/wide' ORDER BY n"), "n\n1.0\n2.5");
    parquet("p/list.parquet", "[1, 2]");
    assert_snapshot!(ingest(&place, &["p", "--into", "data", "--table", "mixed", "-q"]), @r#"
    exit 1
    -- stderr
    error: column 'n' is double in 'p/double.parquet' but list(bigint) in 'p/list.parquet'; files of one table must agree
    hint: rename or drop one of them in a mapping, and ingest the files one after the other
    "#);
    // A time of day has no type in a table: it is text there.
    parquet("odd.parquet", "arrow_cast(1000000, 'Time64(Microsecond)')");
    ingest(&place, &["odd.parquet", "--into", "data", "--table", "odd", "-q"]);
    assert_eq!(query(&place, "SELECT n FROM 'data/odd'"), "n\n00:00:01");
}

#[test]
fn damaged_sources_are_named() {
    let place = Place::new();
    let fails = |name: &str, bytes: &[u8]| {
        std::fs::write(place.path(name), bytes).unwrap();
        let told = ingest(&place, &[name, "--into", "data", "-q"]);
        assert!(told.starts_with("exit 1"), "{told}");
        assert!(!place.path("data/events").exists(), "{name} left something behind");
        told
    };
    let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::none());
    gz.write_all(FEW.as_bytes()).unwrap();
    for n in 0..20_000 {
        gz.write_all(format!("{n},2024-01-31,v,1\n").as_bytes()).unwrap();
    }
    let whole = gz.finish().unwrap();
    assert!(fails("cut.csv.gz", &whole[..whole.len() / 2]).contains("cannot read 'cut.csv.gz'"));
    assert!(fails("cut.parquet", b"PAR1 and nothing else").contains("cannot read 'cut.parquet'"));
    assert!(fails("empty.parquet", b"").contains("empty.parquet"));
    assert!(fails("array.json", b"[{\"user_id\": 1}").contains("never closed"));
    // Objects over several lines are read like those on one.
    assert!(fails("lines.json", b"{\n  \"user_id\": 1\n}\n").contains("no time column found"));
    assert!(fails("none.csv", b"").contains("no columns"));
    assert!(fails("text.csv", b"\"user_id,ts\n").contains("text.csv"));
    // A folder that holds something else is left alone.
    place.write("data2/events/mine.csv", FEW);
    place.write("few.csv", FEW);
    let told = ingest(&place, &["few.csv", "--into", "data2", "-q"]);
    assert!(told.contains("holds files and is no managed table"), "{told}");
    // Only a header is no failure.
    place.write("head.csv", "user_id,ts,event\n");
    let told = ingest(&place, &["head.csv", "--into", "data"]);
    assert!(told.starts_with("exit 0") && told.contains("no rows"), "{told}");
}

/// Rows that take several sorted runs with [`LITTLE`] memory.
fn many(rows: usize) -> String {
    let mut text = String::from("user_id,ts,event,n,note\n");
    for n in 0..rows {
        let (user, second) = (n * 7919 % 997, n * 31 % 86_400);
        let time =
            format!("2024-01-{:02}T{:02}:{:02}:{:02}Z", n % 28 + 1, second / 3600, second / 60 % 60, second % 60);
        text.push_str(&format!(
            "{user},{time},{},{n},some text that makes the row longer {}\n",
            ["a", "b", "c"][n % 3],
            n % 50
        ));
    }
    text
}

pub const LITTLE: &str = "2MB";

/// What a table holds, as a line: count, sum, and a checksum over all rows.
fn digest(place: &Place, table: &str) -> String {
    if !place.path(table).join("_delta_log").join("00000000000000000000.json").exists() {
        return "no table".into();
    }
    let sql = format!(
        "SELECT count(*), sum(n), sum(n * CAST(date_part('epoch', ts) AS BIGINT) % 1000003), count(DISTINCT user_id), sum(user_id * n % 7) FROM '{table}'"
    );
    query(place, &sql).lines().last().unwrap_or_default().to_string()
}

fn start(place: &Place, args: &[&str]) -> std::process::Child {
    let mut command = std::process::Command::new(program());
    command.args(["ingest", "-q"]).args(args).current_dir(place.folder()).env("HOME", place.folder());
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap()
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        match entry.path().is_dir() {
            true => copy(&entry.path(), &target),
            false => {
                std::fs::copy(entry.path(), target).unwrap();
            }
        }
    }
}

/// Killed at any moment, the table is what it was or what it should become, and the same command brings it there.
#[test]
fn a_kill_at_any_moment_loses_nothing() {
    let place = Place::new();
    place.write("old.csv", &many(100));
    place.write("new.csv", &many(16_000));
    place.write("bad.csv", "user_id,ts,event,n,note\n1,soon,a,1,x\n");
    ingest(&place, &["old.csv", "--into", "base", "-q"]);
    let args = |into: &'static str| ["new.csv", "bad.csv", "--into", into, "--memory", LITTLE, "--threads", "2"];
    let old = digest(&place, "base/events");
    copy(&place.path("base"), &place.path("whole"));
    let began = Instant::now();
    assert!(start(&place, &args("whole")).wait().unwrap().success());
    let usual = began.elapsed();
    let new = digest(&place, "whole/events");
    assert!(old != new && new.starts_with("16100,"), "{old} {new}");
    let moments = 8;
    for moment in 0..moments {
        let _ = std::fs::remove_dir_all(place.path("at"));
        // Into a table, and where there is none yet.
        let fresh = moment % 4 == 3;
        if !fresh {
            copy(&place.path("base"), &place.path("at"));
        }
        let mut child = start(&place, &args("at"));
        std::thread::sleep(usual * (moment + 1) / (moments + 1));
        child.kill().unwrap();
        child.wait().unwrap();
        let between = digest(&place, "at/events");
        let (before, after) = match fresh {
            true => ("no table".to_string(), None),
            false => (old.clone(), Some(&new)),
        };
        assert!(between == before || after.is_none_or(|after| between == *after), "moment {moment}: {between}");
        let told = ingest(&place, &["new.csv", "bad.csv", "--into", "at", "--memory", LITTLE, "--threads", "2"]);
        assert!(
            told.starts_with("exit 0") || told.contains("was loaded into this table before"),
            "moment {moment}: {told}"
        );
        let finally = digest(&place, "at/events");
        match fresh {
            true => assert!(finally.starts_with("16000,"), "moment {moment}: {finally}"),
            false => assert_eq!(finally, new, "moment {moment}"),
        }
        assert_eq!(left(&place, "at/events"), ["_delta_log", "_loads", "_rejects"], "moment {moment}");
        let kept = std::fs::read_dir(place.path("at/events/_rejects")).unwrap().map(|e| e.unwrap().path());
        let lines: usize = kept.map(|p| std::fs::read_to_string(p).unwrap().lines().count()).sum();
        assert_eq!(lines, 1, "moment {moment}");
    }
    // Whatever came of those: a kill when some of it is saved.
    assert!(stopped_half_way(&place, &args("data"), &|child| child.kill().unwrap()), "it was never killed half way");
    let told = ingest(&place, &["new.csv", "bad.csv", "--into", "data", "--memory", LITTLE, "--threads", "2"]);
    assert!(told.contains("going on after"), "{told}");
    assert!(digest(&place, "data/events").starts_with("16000,"));
}

/// Starts an ingest into `data` that has to be stopped, by `stop`, as soon as some of it is saved; whether that came in time.
pub fn stopped_half_way(place: &Place, args: &[&str], stop: &dyn Fn(&mut std::process::Child)) -> bool {
    let saved = || {
        let folders = std::fs::read_dir(place.path("data/events/_ingest")).into_iter().flatten().flatten();
        let journal =
            |path: std::path::PathBuf| std::fs::read_to_string(path.join("journal.ndjson")).unwrap_or_default();
        folders.map(|e| journal(e.path())).any(|text| text.lines().count() > 1)
    };
    for _ in 0..20 {
        let mut child = start(place, args);
        while !saved() && child.try_wait().unwrap().is_none() {
            std::thread::sleep(Duration::from_millis(2));
        }
        stop(&mut child);
        child.wait().unwrap();
        if saved() && digest(place, "data/events") == "no table" {
            return true;
        }
        std::fs::remove_dir_all(place.path("data")).unwrap();
    }
    false
}

#[cfg(unix)]
#[test]
fn ctrl_c_saves_what_is_read() {
    let place = Place::new();
    place.write("new.csv", &many(30_000));
    let args = ["new.csv", "--into", "data", "--memory", LITTLE];
    let interrupted = stopped_half_way(&place, &args, &|child| {
        std::process::Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
        let ended = child.wait().unwrap();
        // Nothing to stop is fine, too; dying of the signal is not.
        assert!(ended.code() == Some(130) || ended.success(), "{ended}");
    });
    assert!(interrupted, "it was never stopped half way");
    let told = ingest(&place, &args);
    assert!(told.contains("going on after"), "{told}");
    assert!(digest(&place, "data/events").starts_with("30000,"));
}

#[test]
fn a_source_that_changed_is_not_gone_on_with() {
    let place = Place::new();
    place.write("new.csv", &many(30_000));
    let args = ["new.csv", "--into", "data", "--memory", LITTLE];
    let killed = stopped_half_way(&place, &args, &|child| child.kill().unwrap());
    assert!(killed, "it was never killed half way");
    place.write("new.csv", &many(20_000));
    let told = ingest(&place, &args);
    assert!(told.contains("has changed since this ingest was begun") && told.contains("--restart"), "{told}");
    let told = ingest(&place, &["new.csv", "--into", "data", "--memory", LITTLE, "--restart"]);
    assert!(told.starts_with("exit 0") && !told.contains("going on"), "{told}");
    assert!(digest(&place, "data/events").starts_with("20000,"));
}

/// Several at once into one table, which none of them finds there: all land.
#[test]
fn ingests_at_once_all_land() {
    let place = Place::new();
    let names: Vec<String> = (0..4).map(|n| format!("f{n}.csv")).collect();
    for (n, name) in names.iter().enumerate() {
        place.write(name, &format!("user_id,ts,event,n\n{n},2024-01-31,a,{n}\n{n},2024-01-30,b{n},1\n"));
    }
    let children: Vec<_> = names.iter().map(|name| start(&place, &[name, "--into", "data"])).collect();
    for child in children {
        let ended = child.wait_with_output().unwrap();
        assert!(ended.status.success(), "{}", String::from_utf8(ended.stderr).unwrap());
    }
    assert_eq!(
        query(&place, "SELECT count(*), count(DISTINCT user_id), sum(n) FROM 'data/events'").lines().last(),
        Some("8,4,10")
    );
    assert_eq!(left(&place, "data/events"), ["_delta_log", "_loads"]);
}

/// No room for a file: an error, no table, and the same command succeeds where there is room.
#[cfg(unix)]
#[test]
fn a_full_disk_leaves_no_table() {
    let place = Place::new();
    place.write("new.csv", &many(20_000));
    for blocks in [1, 100, 400] {
        // The shell counts in blocks of 512 or 1024 bytes.
        let script = format!(
            "trap '' XFSZ; ulimit -f {blocks}; exec {} ingest new.csv --into data --memory {LITTLE} -q",
            program()
        );
        let output =
            std::process::Command::new("sh").args(["-c", &script]).current_dir(place.folder()).output().unwrap();
        let told = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success() && told.starts_with("error: cannot"), "{blocks}: {told}");
        assert_eq!(digest(&place, "data/events"), "no table");
    }
    assert!(ingest(&place, &["new.csv", "--into", "data", "--memory", LITTLE]).starts_with("exit 0"));
    assert!(digest(&place, "data/events").starts_with("20000,"));
}
