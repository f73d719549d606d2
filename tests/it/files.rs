//! Files as tables of a query, and as sources of an ingest: every value comes back as it was written, or an error says why not.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use crate::ask::{Asked, testdata};
use crate::program::Place;

fn asked() -> Asked {
    Asked::new(2)
}

fn quoted(path: &Path) -> String {
    path.display().to_string().replace('\'', "''")
}

/// Values of a column as they may stand in a file, none of them twice the same kind only.
fn value() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => (-1000_i64..1000).prop_map(|n| n.to_string()),
        2 => (0_u32..100_000).prop_map(|n| format!("{}.{:02}", n / 100, n % 100)),
        1 => Just(String::new()),
        1 => prop::sample::select(vec![
            "007", "12e3", "1e-3", "-5", "+5", "9007199254740993", "123456789012345678901", "true", "false", "2024-05-01",
            "2024-05-01 10:00:00", "2024-05-01T10:00:00.25", "a", "nan", "0", "-0", "00", "1.50", ".5", "5.", "85123A",
        ]).prop_map(str::to_string),
    ]
}

/// Whether a value that was read is what stood there: nothing bent, nothing lost.
fn is_what_stood_there(written: &str, read: &str, data_type: &str) -> bool {
    if written.is_empty() {
        return read == "NULL";
    }
    match data_type {
        "Int64" => {
            written.parse::<i64>().is_ok_and(|n| n.to_string() == read && n.to_string() == written.replace("-0", "0"))
        }
        // The same number, and no whole one that a DOUBLE would change.
        "Float64" => {
            let whole = written.parse::<i64>().ok();
            written.parse::<f64>().is_ok_and(|n| format!("{n:?}") == read && whole.is_none_or(|w| w as f64 as i64 == w))
        }
        "Boolean" | "Utf8" => written == read,
        "Date32" => written == read,
        _ => {
            read.replace('T', " ").trim_end_matches('Z').starts_with(&written.replace('T', " "))
                || format!("{} 00:00:00", written) == read.replace('T', " ").trim_end_matches('Z')
        }
    }
}

fn cases(few: u32) -> u32 {
    std::env::var("TENURE_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(few)
}

/// Rows of any values, in CSV files of any number with their columns in any order: each value comes back as it was written.
#[test]
fn every_value_of_csv_comes_back() {
    let asked = asked();
    let column = || prop::collection::vec(value(), 1..24);
    let strategy = (column(), column(), any::<bool>(), 1_usize..4);
    let mut runner = TestRunner::new(Config { cases: cases(150), failure_persistence: None, ..Config::default() });
    runner
        .run(&strategy, |(mut a, mut b, swapped, files)| {
            let rows = a.len().min(b.len());
            a.truncate(rows);
            b.truncate(rows);
            let folder = tempfile::tempdir().unwrap();
            for file in 0..files {
                let swapped = swapped && file % 2 == 1;
                let mut text = String::from(if swapped { "b,a,n\n" } else { "n,a,b\n" });
                for row in (0..rows).filter(|row| row % files == file) {
                    text += &match swapped {
                        true => format!("{},{},{row}\n", b[row], a[row]),
                        false => format!("{row},{},{}\n", a[row], b[row]),
                    };
                }
                std::fs::write(folder.path().join(format!("{file}.csv")), text).unwrap();
            }
            let place = quoted(folder.path());
            let batches = asked.batches(&format!("SELECT a, b FROM '{place}' ORDER BY n")).unwrap();
            let schema = batches[0].schema();
            let read = crate::ask::rows(&batches);
            prop_assert_eq!(read.len(), rows);
            for (row, read) in read.iter().enumerate() {
                for (at, written) in [&a[row], &b[row]].into_iter().enumerate() {
                    let data_type = schema.field(at).data_type().to_string();
                    prop_assert!(
                        is_what_stood_there(written, &read[at], &data_type),
                        "row {} of {:?}: '{}' was read as {} ({})",
                        row,
                        if at == 0 { &a } else { &b },
                        written,
                        read[at],
                        data_type
                    );
                }
            }
            Ok(())
        })
        .unwrap();
}

/// The same of NDJSON, an array or lines, where values have types of their own and fields may be absent.
#[test]
fn every_value_of_json_comes_back() {
    let asked = asked();
    let json = prop_oneof![
        (-1000_i64..1000).prop_map(|n| n.to_string()),
        prop::sample::select(vec![
            "1.5",
            "1e3",
            "null",
            "",
            "true",
            "\"007\"",
            "\"x\"",
            "\"2024-05-01\"",
            "9007199254740993",
            "12345678901234567890"
        ])
        .prop_map(str::to_string),
    ];
    let strategy = (prop::collection::vec(json, 1..20), 0_u8..3);
    let mut runner = TestRunner::new(Config { cases: cases(100), failure_persistence: None, ..Config::default() });
    runner
        .run(&strategy, |(values, way)| {
            let folder = tempfile::tempdir().unwrap();
            let objects: Vec<String> = values
                .iter()
                .enumerate()
                .map(|(n, value)| {
                    if value.is_empty() { format!("{{\"n\": {n}}}") } else { format!("{{\"n\": {n}, \"v\": {value}}}") }
                })
                .collect();
            let text = match way {
                0 => objects.join("\n"),
                1 => format!("[{}]", objects.join(",\n  ")),
                _ => objects
                    .iter()
                    .map(|o| o.replace("{", "{\n  ").replace(", ", ",\n  ").replace('}', "\n}\n"))
                    .collect(),
            };
            let path = folder.path().join("x.json");
            std::fs::write(&path, text).unwrap();
            if values.iter().all(String::is_empty) {
                return Ok(());
            }
            let batches = asked.batches(&format!("SELECT v FROM '{}' ORDER BY n", quoted(&path))).unwrap();
            let data_type = batches[0].schema().field(0).data_type().to_string();
            let read = crate::ask::rows(&batches);
            for (written, read) in values.iter().zip(&read) {
                let is_text = written.starts_with('"');
                let plain = if written == "null" { "" } else { written.trim_matches('"') };
                let fine = match (data_type.as_str(), is_text) {
                    // A text is never made a number.
                    ("Int64" | "Float64" | "Boolean", true) => false,
                    _ => is_what_stood_there(plain, &read[0], &data_type),
                };
                prop_assert!(fine, "'{}' of {:?} was read as {} ({})", written, values, read[0], data_type);
            }
            prop_assert_eq!(read.len(), values.len());
            Ok(())
        })
        .unwrap();
}

/// Names with characters that mean something to somebody are names first.
#[test]
fn any_name_is_a_name_first() {
    let asked = asked();
    let strategy = "[a-c\\[\\]?*:%{},=~ '.#&;-]{1,8}";
    let mut runner = TestRunner::new(Config { cases: cases(100), failure_persistence: None, ..Config::default() });
    runner
        .run(&strategy, |stem| {
            let folder = tempfile::tempdir().unwrap();
            let name = format!("{stem}x.csv");
            let other = folder.path().join("abc other.csv");
            std::fs::write(folder.path().join(&name), "n\n1\n").unwrap();
            std::fs::write(&other, "n\n2\n3\n").unwrap();
            for (path, rows) in [(folder.path().join(&name), "1"), (other, "2")] {
                prop_assert_eq!(
                    asked.one(&format!("SELECT count(n) FROM '{}'", quoted(&path))),
                    rows,
                    "{}",
                    path.display()
                );
            }
            Ok(())
        })
        .unwrap();
}

#[test]
fn a_value_behind_the_sample_is_an_error_that_says_where() {
    let place = Place::new();
    let rows: String = (0..50_010).map(|n| format!("{n},5\n")).collect();
    place.write("late.csv", &format!("user_id,price\n{rows}7,5.75\n8,6\n"));
    let run = |sql: &str| place.run(&["--format", "csv", "-c", sql]);
    let told = run("SELECT sum(price) FROM 'late.csv'");
    assert!(told.starts_with("exit 1"), "{told}");
    for word in ["'late.csv' line 50012", "price", "'5.75'", "sample => 'all'"] {
        assert!(told.contains(word), "{word}: {told}");
    }
    // Who does not ask for the column does not hear of it; who says more gets it.
    assert!(run("SELECT max(user_id) AS m FROM 'late.csv'").contains("m\n50009\n"));
    for option in ["sample => 'all'", "types => {'price': 'double'}", "types => {'price': 'decimal(12,2)'}"] {
        let told = run(&format!("SELECT sum(price) AS s FROM read_csv('late.csv', {option})"));
        assert!(told.contains("s\n250061.75\n"), "{option}: {told}");
    }
    let lines: String = (0..50_010).map(|n| format!("{{\"n\": {n}}}\n")).collect();
    place.write("late.ndjson", &format!("{lines}{{\"n\": 1, \"new\": 2}}\n"));
    assert!(run("SELECT * FROM 'late.ndjson'").contains("'late.ndjson' line 50011: the field 'new'"));
    assert!(run("SELECT sum(new) AS s FROM read_json('late.ndjson', sample => 'all')").contains("s\n2\n"));
}

#[test]
fn rows_that_cannot_be_read_end_a_query() {
    let place = Place::new();
    for (name, text, words) in [
        ("open.csv", "a,b\n1,2\n3,\"never closed\n4,5\n", &["'open.csv' line 3", "a quote is never closed"][..]),
        ("few.csv", "a,b\n1,2\n3\n", &["'few.csv' line 3", "too few fields"]),
        ("many.csv", "a,b\n1,2\n3,4,5\n", &["'many.csv' line 3", "too many fields"]),
        ("cut.json", "[{\"a\": 1}, {\"a\": 2}", &["cut.json", "never closed"]),
        ("broken.ndjson", "{\"a\": 1}\n{\"a\": 2\n", &["'broken.ndjson' line 2", "broken JSON"]),
        ("book.xlsx", "PK\u{3}\u{4}", &["book.xlsx", "Excel"]),
        ("data.bin", "x", &["cannot tell the format", "read_csv"]),
    ] {
        place.write(name, text);
        let told = place.run(&["-c", &format!("SELECT * FROM './{name}'")]);
        assert!(told.starts_with("exit 1"), "{name}: {told}");
        let told = told.replace("./", "");
        assert!(words.iter().all(|word| told.contains(word)), "{words:?}: {told}");
    }
    std::fs::write(place.path("latin.csv"), b"a,city\n1,K\xf6ln\n").unwrap();
    assert!(place.run(&["-c", "SELECT * FROM 'latin.csv'"]).contains("encoding => 'latin1'"));
    assert!(
        place
            .run(&["--format", "csv", "-c", "SELECT city FROM read_csv('latin.csv', encoding => 'latin1')"])
            .contains("Köln")
    );
    std::fs::write(place.path("other.csv"), b"a,city\n1,\xff\xff\n").unwrap();
    let told = place.run(&["-c", "SELECT * FROM read_csv('other.csv', encoding => 'gbk')"]);
    assert!(told.starts_with("exit 1") && told.contains("other.csv") && told.contains("is not GBK text"), "{told}");
}

/// The same bytes however they are packed, side by side.
#[test]
fn compressions_stand_side_by_side() {
    let folder = tempfile::tempdir().unwrap();
    let text = |n: usize| format!("n,note\n{n},\"two\nlines\"\n");
    let at = |name: &str| folder.path().join(name);
    std::fs::write(at("1.csv"), text(1)).unwrap();
    let mut gz =
        flate2::write::GzEncoder::new(std::fs::File::create(at("2.CSV.GZ")).unwrap(), flate2::Compression::fast());
    gz.write_all(text(2).as_bytes()).unwrap();
    gz.finish().unwrap();
    std::fs::write(at("3.csv.zst"), zstd::encode_all(text(3).as_bytes(), 1).unwrap()).unwrap();
    let mut bz =
        bzip2::write::BzEncoder::new(std::fs::File::create(at("4.csv.bz2")).unwrap(), bzip2::Compression::fast());
    bz.write_all(text(4).as_bytes()).unwrap();
    bz.finish().unwrap();
    let mut xz = liblzma::write::XzEncoder::new(std::fs::File::create(at("5.csv.xz")).unwrap(), 1);
    xz.write_all(text(5).as_bytes()).unwrap();
    xz.finish().unwrap();
    let asked = asked();
    let rows = asked.rows(&format!("SELECT count(*), sum(n), min(note) FROM '{}'", quoted(folder.path())));
    assert_eq!(rows, [["5", "15", "two\nlines"]]);
}

#[test]
fn folders_of_key_value_are_columns() {
    let place = Place::new();
    place.write("d/country=DE/day=2024-05-01/a.csv", "user_id,ts,event\n1,2024-05-01 10:00:00,view\n");
    place.write("d/country=New%20York/day=2024-05-02/a.csv", "user_id,ts,event\n2,2024-05-02 10:00:00,view\n");
    place.write(
        "d/country=__HIVE_DEFAULT_PARTITION__/day=2024-05-03/a.csv",
        "user_id,ts,event\n3,2024-05-03 10:00:00,pay\n",
    );
    place.write("d/_SUCCESS", "");
    for (name, value) in
        [("rate", "1.50"), ("flag", "true"), ("at", "2024-05-01 10%3A00%3A00"), ("n", "007"), ("none", "")]
    {
        let sql =
            format!("COPY (SELECT 1 AS user_id, TIMESTAMP '2024-05-01' AS ts) TO '{name}/{name}={value}/a.parquet'");
        std::fs::create_dir_all(place.path(&format!("{name}/{name}={value}"))).unwrap();
        place.run(&["-c", &sql]);
        place.write(&format!("{name}-csv/{name}={value}/a.csv"), "user_id,ts\n1,2024-05-01\n");
        let told =
            |from: &str| place.run(&["--format", "csv", "-c", &format!("SELECT '=' || {name} AS v FROM '{from}'")]);
        let written = value.replace("%3A", ":");
        let written = if written.is_empty() { "\"\"".to_string() } else { format!("={written}") };
        for from in [name.to_string(), format!("{name}-csv")] {
            assert!(told(&from).contains(&format!("v\n{written}\n")), "{from}: {}", told(&from));
            let into = format!("db-{from}");
            assert!(place.run(&["ingest", "-q", &from, "--into", &into]).starts_with("exit 0"), "{from}");
            let into = format!("{into}/events");
            assert!(told(&into).contains(&format!("v\n{written}\n")), "{into}: {}", told(&into));
        }
    }
    let run = |args: &[&str]| place.run(args);
    let sql = "SELECT user_id, country, day + INTERVAL '1 day' AS next FROM 'd' ORDER BY user_id";
    let told = run(&["--format", "csv", "-c", sql]);
    assert!(
        told.contains("1,DE,2024-05-02") && told.contains("2,New York,2024-05-03") && told.contains("3,,2024-05-04"),
        "{told}"
    );
    assert!(run(&["ingest", "-q", "d", "--into", "db"]).starts_with("exit 0"));
    let told = run(&["--format", "csv", "-c", "SELECT user_id, country, day FROM 'db/events' ORDER BY user_id"]);
    assert!(told.contains("1,DE,2024-05-01\n2,New York,2024-05-02\n3,,2024-05-03"), "{told}");
}

#[test]
fn a_file_is_read_as_it_is_now() {
    let folder = tempfile::tempdir().unwrap();
    let asked = asked();
    let place = quoted(folder.path());
    let path = folder.path().join("a.csv");
    std::fs::write(&path, "n\n1\n").unwrap();
    asked.batches(&format!("CREATE EXTERNAL TABLE t STORED AS CSV LOCATION '{place}'")).unwrap();
    asked.batches("CREATE VIEW v AS SELECT sum(n) AS s FROM t").unwrap();
    let sums = || {
        [
            asked.one("SELECT sum(n) FROM t"),
            asked.one("SELECT s FROM v"),
            asked.one(&format!("SELECT sum(n) FROM '{place}'")),
        ]
    };
    assert_eq!(sums(), ["1", "1", "1"]);
    std::fs::write(&path, "n\n1\n10\n").unwrap();
    assert_eq!(sums(), ["11", "11", "11"]);
    std::fs::write(folder.path().join("b.csv"), "n\n100\n").unwrap();
    assert_eq!(sums(), ["111", "111", "111"]);
    std::fs::remove_file(&path).unwrap();
    assert_eq!(sums(), ["100", "100", "100"]);
}

/// Exports of other systems: which file, how it is read in a query, and what an ingest is told.
const EXPORTS: [(&str, &str, &str); 9] = [
    (
        "mixpanel.ndjson",
        "",
        "user = 'user'\ntime = 'time'\n[columns]\nuser = 'properties.distinct_id'\ntime = 'properties.time'",
    ),
    ("segment.ndjson", "", "user = 'anonymousId'\ntime = 'timestamp'"),
    ("sensors.ndjson", "", "user = 'distinct_id'\ntime = 'time'"),
    ("array.json", "", ""),
    ("shopify_orders.csv", "", "user = 'Email'\ntime = 'Paid at'"),
    ("retailrocket_events.csv", "", "user = 'visitorid'\ntime = 'timestamp'"),
    (
        "salesforce_report.csv",
        ", encoding => 'latin1', decimal => ',', thousands => '.', types => {'Close Date': 'timestamp'}, time_format => '%d.%m.%Y'",
        "user = 'Opportunity ID'\ntime = 'Close Date'\ntime_format = '%d.%m.%Y'\n[read]\nencoding = 'latin1'\ndecimal = ','\nthousands = '.'",
    ),
    ("excel_unicode.txt", "", ""),
    (
        "surveymonkey.csv",
        ", types => {'Start Date': 'timestamp'}, time_format => '%m/%d/%Y %I:%M:%S %p'",
        "user = 'Respondent ID'\ntime = 'Start Date'\ntime_format = '%m/%d/%Y %I:%M:%S %p'",
    ),
];

/// Rows as sorted text, whatever type holds it: times without their zone.
fn as_text(asked: &Asked, from: &str, columns: &[String]) -> Vec<String> {
    let columns: Vec<String> =
        columns.iter().map(|c| format!("CAST(\"{}\" AS VARCHAR)", c.replace('"', "\"\""))).collect();
    let mut rows: Vec<String> = asked
        .rows(&format!("SELECT {} FROM {from}", columns.join(", ")))
        .into_iter()
        .map(|row| row.iter().map(|cell| cell.trim_end_matches('Z').replace(' ', "T")).collect::<Vec<_>>().join("|"))
        .collect();
    rows.sort();
    rows
}

#[test]
fn exports_are_the_same_to_a_query_and_to_an_ingest() {
    let asked = asked();
    let counted: BTreeMap<&str, &str> = BTreeMap::from([
        ("mixpanel.ndjson", "20"),
        ("segment.ndjson", "16"),
        ("sensors.ndjson", "15"),
        ("array.json", "9"),
        ("shopify_orders.csv", "14"),
        ("retailrocket_events.csv", "30"),
        ("salesforce_report.csv", "11"),
        ("excel_unicode.txt", "8"),
        ("surveymonkey.csv", "12"),
    ]);
    for (file, options, mapping) in EXPORTS {
        let path = testdata("exports").join(file);
        let function = if file.ends_with("json") { "read_json" } else { "read_csv" };
        let from = format!("{function}('{}'{options})", quoted(&path));
        assert_eq!(asked.one(&format!("SELECT count(*) FROM {from}")), counted[file], "{file}");
        let place = Place::new();
        place.write("map.toml", mapping);
        let told = place.run(&["ingest", "-q", &path.display().to_string(), "--into", "db", "--mapping", "map.toml"]);
        assert!(told.starts_with("exit 0"), "{file}: {told}");
        let table = format!("'{}'", quoted(&place.path("db/events")));
        let schema = asked.batches(&format!("SELECT * FROM {from} LIMIT 1")).unwrap()[0].schema();
        let loaded = asked.batches(&format!("SELECT * FROM {table} LIMIT 1")).unwrap()[0].schema();
        // Epochs stay numbers in a query; structs have lost what became columns.
        let both = schema.fields().iter().filter(|f| {
            loaded.field_with_name(f.name()).is_ok_and(|l| l.data_type().is_nested() == f.data_type().is_nested())
                && !f.data_type().is_nested()
                && !(f.data_type().is_integer() && f.name().to_lowercase().contains("time"))
        });
        let both: Vec<String> = both.map(|f| f.name().clone()).collect();
        assert!(!both.is_empty(), "{file}");
        assert_eq!(as_text(&asked, &from, &both), as_text(&asked, &table, &both), "{file}");
    }
}

#[test]
fn exports_say_what_they_hold() {
    let asked = asked();
    let export = |file: &str| quoted(&testdata("exports").join(file));
    let one = |sql: String| asked.one(&sql);
    assert_eq!(one(format!("SELECT sum(\"Users\") FROM '{}'", export("ga_report.csv"))), "721");
    assert_eq!(one(format!("SELECT count(DISTINCT user_pseudo_id) FROM '{}'", export("ga4.ndjson"))), "6");
    assert_eq!(one(format!("SELECT max(city) FROM read_csv('{}', encoding => 'gbk')", export("gbk.csv"))), "北京");
    let survey = export("surveymonkey.csv");
    let question = "How likely are you to recommend us?: ";
    assert_eq!(one(format!("SELECT sum(\"{question}Score\") FROM '{survey}'")), "45");
    assert_eq!(one(format!("SELECT count(\"{question}Group\") + count(\"Comment\") FROM '{survey}'")), "20");
    assert_eq!(one(format!("SELECT count(properties['Plan']) FROM '{}'", export("mixpanel.ndjson"))), "8");
    assert_eq!(one(format!("SELECT min(\"userId\") FROM '{}'", export("segment.ndjson"))), "000");
    let sum = "SELECT sum(\"Amount\") FROM read_csv('{}', encoding => 'latin1', decimal => ',', thousands => '.')";
    assert_eq!(one(sum.replace("{}", &export("salesforce_report.csv"))), "5370.0");
}

/// What a later load brings, and what the table then holds.
#[test]
fn columns_grow_from_load_to_load() {
    let place = Place::new();
    let load = |name: &str, text: &str| {
        place.write(name, text);
        place.run(&["ingest", name, "--into", "db"])
    };
    let rows = |sql: &str| place.run(&["--format", "csv", "-c", sql]);
    let line = |day: u32, rest: &str| {
        format!("{{\"user_id\":{day},\"ts\":\"2024-05-0{day}T10:00:00Z\",\"event\":\"pay\",{rest}}}\n")
    };
    assert!(load("1.ndjson", &line(1, "\"price\":5,\"p\":{\"a\":1}")).starts_with("exit 0"));
    let told = load("2.ndjson", &line(2, "\"price\":9.99,\"p\":{\"a\":2,\"b\":\"x\",\"c\":{\"d\":1.5}}"));
    assert!(
        told.starts_with("exit 0")
            && told.contains("'price' becomes double")
            && told.contains("1 files were rewritten"),
        "{told}"
    );
    assert!(load("3.ndjson", &line(3, "\"price\":7,\"p\":{\"c\":{\"d\":2}}")).starts_with("exit 0"));
    let told = rows("SELECT price, p['a'] AS a, p['b'] AS b, p['c']['d'] AS d FROM 'db/events' ORDER BY ts");
    assert!(told.contains("5.0,1,,\n9.99,2,x,1.5\n7.0,,,2.0\n"), "{told}");
    // A whole number that a DOUBLE does not hold keeps the table from becoming one.
    let big = "user_id,ts,event,n\n1,2024-05-01,a,9007199254740993\n";
    place.write("big.csv", big);
    assert!(place.run(&["ingest", "-q", "big.csv", "--into", "big"]).starts_with("exit 0"));
    place.write("more.csv", "user_id,ts,event,n\n1,2024-05-02,a,0.5\n");
    let told = place.run(&["ingest", "-q", "more.csv", "--into", "big"]);
    assert!(told.starts_with("exit 1") && told.contains("9007199254740993"), "{told}");
    assert!(rows("SELECT max(n) AS m FROM 'big/events'").contains("m\n9007199254740993\n"));
}

#[test]
fn a_load_is_begun_anew_where_its_sample_was_too_narrow() {
    let place = Place::new();
    let whole: String = (0..60_000).map(|n| format!("{n},2024-05-01 10:00:00,pay,5\n")).collect();
    place.write(
        "late.csv",
        &format!("user_id,ts,event,price\n{whole}7,2024-05-01 11:00:00,pay,5.75\nu-9,2024-05-01 11:00:00,pay,1\n"),
    );
    let told = place.run(&["ingest", "late.csv", "--into", "db"]);
    assert!(told.starts_with("exit 0"), "{told}");
    for words in [
        "column 'price' is double because of '5.75' in 'late.csv' line 60002",
        "column 'user_id' is text because of 'u-9'",
    ] {
        assert!(told.contains(words), "{words}: {told}");
    }
    let told = place.run(&[
        "--format",
        "csv",
        "-c",
        "SELECT count(*) AS n, sum(price) AS s, count(DISTINCT user_id) AS u FROM 'db/events'",
    ]);
    assert!(told.contains("60002,300006.75,60001\n"), "{told}");
}

#[test]
fn identifiers_and_epochs_are_never_bent() {
    let place = Place::new();
    let rows: String = (1..2000).map(|n| format!("{n},{},view\n", 1_714_557_600_000_i64 + n)).collect();
    place.write("e.csv", &format!("user_id,ts,event\n{rows}007,1714557600000,pay\n5,1714557600,pay\n"));
    assert!(place.run(&["ingest", "-q", "e.csv", "--into", "db"]).starts_with("exit 0"));
    let run = |sql: &str| place.run(&["--format", "csv", "-c", sql]);
    // The one time in seconds is put aside, not a day in 1970.
    let told = run(
        "SELECT count(DISTINCT user_id) AS u, count(*) AS n, min(ts) >= TIMESTAMP '2024-01-01' AS fine FROM 'db/events'",
    );
    assert!(told.contains("2000,2000,true\n"), "{told}");
    let aside = std::fs::read_dir(place.path("db/events/_rejects")).unwrap().next().unwrap().unwrap().path();
    assert!(std::fs::read_to_string(aside).unwrap().contains("is not in the unit of the column's other times"));
    // Later loads of a table whose users are numbers: 007 is not 7.
    place.write("numbers.csv", "user_id,ts,event\n7,2024-05-01,a\n");
    place.write("zeros.csv", "user_id,ts,event\n007,2024-05-02,a\n8,2024-05-02,a\n");
    assert!(place.run(&["ingest", "-q", "numbers.csv", "--into", "n"]).starts_with("exit 0"));
    place.run(&["ingest", "-q", "zeros.csv", "--into", "n"]);
    let told = run("SELECT count(*) AS rows_of_7 FROM 'n/events' WHERE CAST(user_id AS VARCHAR) = '7'");
    assert!(told.contains("rows_of_7\n1\n"), "{told}");
}

#[test]
fn users_inside_objects_are_columns_and_deep_objects_are_text() {
    let place = Place::new();
    let deep = |depth: usize| format!("{}1{}", "{\"a\":".repeat(depth), "}".repeat(depth));
    for depth in [3, 17, 46, 90] {
        let line = format!(
            "{{\"event\":\"x\",\"properties\":{{\"time\":1714557600,\"distinct_id\":\"u\"}},\"d\":{}}}\n",
            deep(depth)
        );
        place.write("e.ndjson", &line);
        let into = format!("db{depth}");
        let args = [
            "ingest",
            "-q",
            "e.ndjson",
            "--into",
            &into,
            "--user",
            "properties.distinct_id",
            "--time",
            "properties.time",
        ];
        let told = place.run(&args);
        assert!(told.starts_with("exit 0"), "{depth}: {told}");
        let told = place.run(&[
            "--format",
            "csv",
            "-c",
            &format!("SELECT distinct_id, count(d) AS n FROM '{into}/events' GROUP BY 1"),
        ]);
        assert!(told.contains("u,1\n"), "{depth}: {told}");
    }
}

#[test]
fn sources_that_changed_are_told_apart_from_new_ones() {
    let place = Place::new();
    let text = "user_id,ts,event\n1,2024-05-01,a\n";
    place.write("log.csv", text);
    assert!(place.run(&["ingest", "-q", "log.csv", "--into", "db"]).starts_with("exit 0"));
    place.write("log.csv", &format!("{text}2,2024-05-02,a\n"));
    for args in
        [&["ingest", "-q", "log.csv", "--into", "db"][..], &["ingest", "-q", "log.csv", "--into", "db", "--only-new"]]
    {
        let told = place.run(args);
        assert!(
            told.starts_with("exit 1") && told.contains("loaded into this table before with other content"),
            "{told}"
        );
    }
    assert!(place.run(&["ingest", "-q", "log.csv", "--into", "db", "--again"]).starts_with("exit 0"));
}

#[test]
fn a_mapping_that_hardly_a_value_fits_is_refused_before_anything_is_read() {
    let place = Place::new();
    place.write("e.csv", "user_id,ts,event,price\n1,01.05.2024,a,x\n2,02.05.2024,a,y\n");
    for (mapping, words) in [
        (
            "time_format = '%d.%m.%Y'\n[columns]\nprice = { from = 'price', type = 'double' }",
            "the mapping says double, which 2 of 2",
        ),
        ("[columns]\nts = { from = 'ts', format = '%Y/%m/%d' }", "the mapping says timestamp"),
        ("[read]\ndelimeter = ';'", "unknown option 'delimeter'; did you mean 'delimiter'?"),
        ("[read]\nnull = 'x'", "in a mapping it is null = [..]"),
    ] {
        place.write("m.toml", mapping);
        let told = place.run(&["ingest", "e.csv", "--into", "db", "--mapping", "m.toml", "--dry-run"]);
        assert!(told.starts_with("exit 1") && told.contains(words), "{told}");
        assert!(!place.path("db").exists());
    }
}
