//! Presets as their users run them: each folder of `testdata/presets` has an export, a question and its answer.
//!
//! | file | |
//! |---|---|
//! | `input.csv`, `input.tsv`, `input.ndjson` | the export; more files begin with `input`, too |
//! | `args` | more arguments of the ingest, one a line |
//! | `query.sql` | a question of the table `events` |
//! | `expected.csv` | its answer, reckoned from the export by hand |
//! | `rejected.csv` | line and reason of each record that is put aside |

use std::path::{Path, PathBuf};

use crate::ingest::{LITTLE, stopped_half_way};
use crate::program::Place;

/// A preset's folder.
struct Folder {
    name: String,
    path: PathBuf,
}

impl Folder {
    fn all() -> Vec<Self> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/presets");
        let mut all: Vec<Self> = std::fs::read_dir(root)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.is_dir())
            .map(|path| Self { name: path.file_name().unwrap().to_string_lossy().into_owned(), path })
            .collect();
        all.sort_by(|one, other| one.name.cmp(&other.name));
        assert!(all.len() > 1);
        all
    }

    fn inputs(&self) -> Vec<String> {
        let entries = std::fs::read_dir(&self.path).unwrap().map(|e| e.unwrap().path());
        let mut inputs: Vec<String> = entries
            .filter(|path| path.file_name().unwrap().to_string_lossy().starts_with("input"))
            .map(|path| path.display().to_string())
            .collect();
        inputs.sort();
        assert!(!inputs.is_empty(), "{}: no input", self.name);
        inputs
    }

    fn args(&self) -> Vec<String> {
        let text = std::fs::read_to_string(self.path.join("args")).unwrap_or_default();
        text.lines().map(str::to_string).collect()
    }

    fn text(&self, name: &str) -> String {
        std::fs::read_to_string(self.path.join(name)).unwrap_or_else(|e| panic!("{}/{name}: {e}", self.name))
    }
}

fn ingest(place: &Place, preset: &str, inputs: &[String], args: &[String], more: &[&str]) -> String {
    let mut all = vec!["ingest", "--preset", preset, "--into", "data", "-q"];
    all.extend(inputs.iter().chain(args).map(String::as_str));
    all.extend(more);
    place.run(&all)
}

fn answer(place: &Place, sql: &str) -> String {
    place.run(&["-t", "events=data/events", "--format", "csv", "-c", sql])
}

/// What was put aside: line and reason, in the order of the files.
fn rejected(place: &Place) -> String {
    let folder = place.path("data/events/_rejects");
    let mut told = "line,reason\n".to_string();
    for entry in std::fs::read_dir(folder).into_iter().flatten() {
        for line in std::fs::read_to_string(entry.unwrap().path()).unwrap().lines() {
            let reject: serde_json::Value = serde_json::from_str(line).unwrap();
            assert!(!reject["row"].as_str().unwrap().is_empty(), "{line}");
            let reason = reject["reason"].as_str().unwrap().replace('"', "\"\"");
            told.push_str(&format!("{},\"{reason}\"\n", reject["line"]));
        }
    }
    told
}

#[test]
fn every_preset_has_a_fixture() {
    let listed = Place::new().run(&["presets"]);
    for folder in Folder::all() {
        assert!(listed.contains(&format!("│ {} ", folder.name)), "{}: no such preset\n{listed}", folder.name);
    }
    // Two lines of the frame, two of the header.
    let rows = listed.lines().filter(|line| line.starts_with('│')).count() - 1;
    assert_eq!(rows, Folder::all().len(), "{listed}");
}

#[test]
fn exports_answer_questions() {
    let mut faults = Vec::new();
    for folder in Folder::all() {
        let place = Place::new();
        let told = ingest(&place, &folder.name, &folder.inputs(), &folder.args(), &[]);
        if !told.starts_with("exit 0") {
            faults.push(format!("{}: {told}", folder.name));
            continue;
        }
        let expected = format!("exit 0\n-- stdout\n{}", folder.text("expected.csv"));
        let found = answer(&place, &folder.text("query.sql"));
        if found != expected {
            faults.push(format!("{}:\n{found}\nin place of\n{expected}", folder.name));
        }
        let (found, expected) = (rejected(&place), folder.text("rejected.csv"));
        if found != expected {
            faults.push(format!("{}: put aside\n{found}\nin place of\n{expected}", folder.name));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n\n"));
}

/// Where records have identifiers, the same export from another file adds nothing.
#[test]
fn a_second_load_adds_nothing_where_records_have_identifiers() {
    let mut with_keys = 0;
    for folder in Folder::all() {
        let preset = Place::new().run(&["presets", &folder.name]);
        if !preset.contains("\ndedup_key = ") {
            continue;
        }
        with_keys += 1;
        let place = Place::new();
        let count = || answer(&place, "SELECT count(*), count(DISTINCT ts), min(ts), max(ts) FROM events");
        ingest(&place, &folder.name, &folder.inputs(), &folder.args(), &[]);
        let first = count();
        let keyless = answer(&place, &format!("SELECT count(*) FROM events WHERE {} IS NULL", key(&preset)));
        assert_eq!(keyless, "exit 0\n-- stdout\ncount(*)\n0\n", "{}", folder.name);
        let told = ingest(&place, &folder.name, &folder.inputs(), &folder.args(), &["--again"]);
        assert!(told.starts_with("exit 0"), "{}: {told}", folder.name);
        assert_eq!(count(), first, "{}", folder.name);
    }
    assert!(with_keys > 0);
}

fn key(preset: &str) -> String {
    let line = preset.lines().find(|line| line.starts_with("dedup_key = ")).unwrap();
    line.trim_start_matches("dedup_key = ").trim_matches('"').to_string()
}

/// What the presets call the same has the same type, so that the systems of one team share a table.
#[test]
fn all_of_them_share_a_table() {
    let (place, mut rows) = (Place::new(), 0);
    let count = |place: &Place| -> usize {
        let told = answer(place, "SELECT count(*) AS n FROM events");
        told.trim_start_matches("exit 0\n-- stdout\nn\n").trim().parse().unwrap_or_else(|_| panic!("{told}"))
    };
    for folder in Folder::all() {
        let alone = Place::new();
        ingest(&alone, &folder.name, &folder.inputs(), &folder.args(), &[]);
        rows += count(&alone);
        let told = ingest(&place, &folder.name, &folder.inputs(), &folder.args(), &[]);
        assert!(told.starts_with("exit 0"), "{}: {told}", folder.name);
        assert_eq!(count(&place), rows, "{}", folder.name);
    }
}

/// The export of one system is never read as that of another.
#[test]
fn exports_of_other_systems_are_refused() {
    let mut faults = Vec::new();
    for preset in Folder::all() {
        for other in Folder::all().iter().filter(|other| other.name != preset.name) {
            for input in other.inputs() {
                let place = Place::new();
                let told = ingest(&place, &preset.name, std::slice::from_ref(&input), &preset.args(), &[]);
                let names = told.contains(Path::new(&input).file_name().unwrap().to_str().unwrap());
                let says = told.contains(&format!("is not what the preset '{}' reads", preset.name));
                if !told.starts_with("exit 1") || !names || !says || place.path("data/events").exists() {
                    faults.push(format!("{} as {}: {told}", other.name, preset.name));
                }
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn zones_that_nobody_could_guess_are_asked_for() {
    let place = Place::new();
    let mixpanel = Folder::all().into_iter().find(|folder| folder.name == "mixpanel").unwrap();
    let told = ingest(&place, "mixpanel", &mixpanel.inputs(), &[], &[]);
    assert!(told.starts_with("exit 2") && told.contains("--tz ZONE is needed"), "{told}");
    let told = ingest(&place, "mixpanel", &mixpanel.inputs(), &["--tz".into(), "Europe/Nowhere".into()], &[]);
    assert!(told.starts_with("exit 1") && told.contains("unknown time zone 'Europe/Nowhere'"), "{told}");
    let told = ingest(&place, "mixpannel", &mixpanel.inputs(), &[], &[]);
    assert!(told.starts_with("exit 2") && told.contains("did you mean 'mixpanel'?"), "{told}");
}

const OWN: &str = r#"
title = "Our shop"
reads = "orders"
format = "csv"
needs = ["Order", "Customer"]
user = "user_id"
time = "ts"
event = "event"
dedup_key = "key"
[columns]
user_id = "Customer"
ts = "Ordered"
event = { constant = "order" }
key = { join = ["Order", "=:ordered"] }
amount = { from = "Total", type = "decimal(12,2)", default = "0.00" }
rest = { others = true }
[[rows]]
[[rows]]
when = { Paid = true }
columns = { ts = "Paid", event = { constant = "payment" }, key = { join = ["Order", "=:paid"] } }
"#;

/// A team's own file, with decimal commas, two events of one record, fields that nobody names, and a record with a fault in one of its rows.
#[test]
fn a_preset_may_be_a_file_of_ones_own() {
    let place = Place::new();
    place.write("shop.toml", &format!("{OWN}[read]\ndecimal = ','\nthousands = '.'\n"));
    place.write(
        "orders.csv",
        "Order;Customer;Ordered;Paid;Total;Note\n\
         1;ann;2024-05-01 10:00;2024-05-02;1.234,50;\"a \"\"b\"\"\"\n\
         2;bob;2024-05-01 11:00;;;\n\
         3;cyd;2024-05-01 12:00;soon;1,00;\n\
         4;dan;2024-05-01 13:00;;1.5;\n",
    );
    let told = ingest(&place, "./shop.toml", &["orders.csv".into()], &["--tz".into(), "Europe/Berlin".into()], &[]);
    assert!(told.starts_with("exit 0"), "{told}");
    assert_eq!(
        answer(&place, "SELECT user_id, ts, event, key, amount, rest FROM events ORDER BY user_id, ts"),
        "exit 0\n-- stdout\n\
         user_id,ts,event,key,amount,rest\n\
         ann,2024-05-01T08:00:00Z,order,1:ordered,1234.50,\"{\"\"Note\"\":\"\"a \\\"\"b\\\"\"\"\"}\"\n\
         ann,2024-05-01T22:00:00Z,payment,1:paid,1234.50,\"{\"\"Note\"\":\"\"a \\\"\"b\\\"\"\"\"}\"\n\
         bob,2024-05-01T09:00:00Z,order,2:ordered,0.00,\n\
         cyd,2024-05-01T10:00:00Z,order,3:ordered,1.00,\n"
    );
    assert_eq!(
        rejected(&place),
        "line,reason\n4,\"ts: 'soon' is not a time of the column's format\"\n5,\"amount: '1.5' is not a number\"\n"
    );
}

/// What is put aside names its user, so that `tenure erase` finds it.
#[test]
fn records_that_are_put_aside_know_their_user() {
    let place = Place::new();
    place.write("shop.toml", OWN);
    place.write("orders.csv", "Order,Customer,Ordered,Paid,Total\n1,ann,2024-05-01,,1\n2,bob\n3,cyd,2024-05-01,,x\n");
    let told = ingest(&place, "./shop.toml", &["orders.csv".into()], &[], &[]);
    assert!(told.starts_with("exit 0") && told.contains("2 rows rejected"), "{told}");
    assert!(place.run(&["erase", "data/events", "--user", "bob"]).starts_with("exit 0"));
    assert_eq!(rejected(&place), "line,reason\n4,\"amount: 'x' is not a number\"\n");
    assert!(place.run(&["erase", "data/events", "--user", "cyd"]).starts_with("exit 0"));
    assert_eq!(rejected(&place), "line,reason\n");
}

/// Orders over two lines each, some with a payment, some with a fault; lines of the rows that are put aside, and how many rows are not.
fn many_orders(orders: usize) -> (String, Vec<usize>, usize) {
    let mut csv = "Order,Customer,Ordered,Paid,Total,Note\n".to_string();
    let (mut bad, mut rows) = (Vec::new(), 0);
    for n in 0..orders {
        let wrong = n % 4_999 == 4_998;
        let total = if wrong { "much" } else { "1.50" };
        let paid = if n % 2 == 0 { "2024-05-02 10:00" } else { "" };
        csv.push_str(&format!("{n},u{},2024-05-01 10:00,{paid},{total},\"a\n{n}\"\n", n % 97));
        let makes = 1 + usize::from(n % 2 == 0);
        if wrong { bad.extend(std::iter::repeat_n(2 + n * 2, makes)) } else { rows += makes }
    }
    assert!(bad.len() > 3);
    (csv, bad, rows)
}

fn lines(told: &str) -> Vec<usize> {
    told.lines().skip(1).map(|line| line.split(',').next().unwrap().parse().unwrap()).collect()
}

fn check_orders(place: &Place, bad: &[usize], rows: usize) {
    assert_eq!(lines(&rejected(place)), bad);
    let count = "SELECT count(*) AS n, count(DISTINCT key) AS keys, sum(amount) AS amount FROM events";
    let expected = format!("exit 0\n-- stdout\nn,keys,amount\n{rows},{rows},{}.00\n", rows * 3 / 2);
    assert_eq!(answer(place, count), expected);
}

/// Records over many blocks and threads: every row is there once, and what is put aside has its line.
#[test]
fn blocks_change_nothing() {
    let place = Place::new();
    place.write("shop.toml", OWN);
    let (csv, bad, rows) = many_orders(20_000);
    place.write("orders.csv", &csv);
    let small = ["--memory", "8MB", "--threads", "3", "--sample", "100"];
    let told = ingest(&place, "./shop.toml", &["orders.csv".into()], &[], &small);
    assert!(told.starts_with("exit 0"), "{told}");
    check_orders(&place, &bad, rows);
    let (mut calls, mut bad) = (String::new(), Vec::new());
    for n in 0..20_000 {
        let kind = if n % 4_999 == 4_998 { "trace" } else { "track" };
        if kind == "trace" {
            bad.push(n + 1);
        }
        let user = n % 97;
        calls.push_str(&format!(
            r#"{{"type":"{kind}","messageId":"m-{n}","userId":"u{user}","event":"e","timestamp":"2024-05-01T10:00:00Z"}}"#
        ));
        calls.push('\n');
    }
    place.write("calls.ndjson", &calls);
    std::fs::remove_dir_all(place.path("data")).unwrap();
    let told = ingest(&place, "segment", &["calls.ndjson".into()], &[], &small);
    assert!(told.starts_with("exit 0"), "{told}");
    assert_eq!(lines(&rejected(&place)), bad);
    let rows = 20_000 - bad.len();
    assert_eq!(answer(&place, "SELECT count(*) AS n FROM events"), format!("exit 0\n-- stdout\nn\n{rows}\n"));
}

/// The same command goes on where a killed one was.
#[test]
fn a_killed_ingest_goes_on() {
    let place = Place::new();
    place.write("shop.toml", OWN);
    let (csv, bad, rows) = many_orders(60_000);
    place.write("orders.csv", &csv);
    let args = ["orders.csv", "--preset", "./shop.toml", "--into", "data", "--memory", LITTLE, "--threads", "2"];
    assert!(stopped_half_way(&place, &args, &|child| child.kill().unwrap()), "it was never killed half way");
    let mut all = vec!["ingest"];
    all.extend(args);
    let told = place.run(&all);
    assert!(told.starts_with("exit 0") && told.contains("going on after"), "{told}");
    check_orders(&place, &bad, rows);
}
