//! `tenure report`: shipped reports and their numbers, bytes, hostile names, failures, alerts, ranges, templates.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use calamine::{Data, Reader, open_workbook};
use regex::Regex;

use crate::ask::{Asked, testdata};
use crate::browser::{self, EVERY_MARK_HAS_A_FOCUS};
use crate::program::Place;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn shipped() -> Vec<PathBuf> {
    let entries = std::fs::read_dir(root().join("sql/reports")).unwrap();
    let mut files: Vec<PathBuf> = entries.map(|e| e.unwrap().path()).collect();
    files.sort();
    assert!(files.len() >= 8);
    files
}

fn run(place: &Place, report: &str, args: &[&str]) -> String {
    let shop = testdata("shop");
    let mut all = vec!["report", report, "-w", shop.to_str().unwrap()];
    all.extend(args);
    place.run(&all)
}

/// Names and bytes of a folder's files.
fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = std::fs::read_dir(folder).into_iter().flatten();
    entries
        .map(|e| e.unwrap())
        .map(|e| (e.file_name().into_string().unwrap(), std::fs::read(e.path()).unwrap_or_default()))
        .collect()
}

fn page(place: &Place, name: &str) -> String {
    place.read(&format!("out/{name}.html"))
}

/// Every address in the page is an anchor in it or a file beside it; nothing runs.
fn check_self_contained(html: &str, folder: &Path) {
    let addresses =
        Regex::new(r#"(?i)(?:href|src|action|data|poster|srcset)\s*=\s*"([^"]*)"|url\(([^)]*)\)|@import"#).unwrap();
    let mut linked = 0;
    for found in addresses.captures_iter(html) {
        let address = found.get(1).or(found.get(2)).map_or("", |m| m.as_str());
        let anchor = address.strip_prefix('#');
        linked += 1;
        match anchor {
            Some(id) => assert!(html.contains(&format!("id=\"{id}\"")), "no place for #{id}"),
            None => {
                let name = percent_encoding::percent_decode_str(address).decode_utf8().unwrap();
                assert!(folder.join(name.as_ref()).is_file(), "{address} is no file beside the page");
            }
        }
    }
    assert!(linked > 1, "the pattern finds nothing");
    let outside = html.replace("http://www.w3.org/2000/svg", "");
    assert!(!outside.contains("http://") && !outside.contains("https://"));
    assert!(!html.contains("<script"), "no scripts");
}

#[test]
fn shipped_reports_run_the_same_every_time() {
    for report in shipped() {
        let place = Place::new();
        let name = report.file_stem().unwrap().to_str().unwrap();
        let args = |folder: &'static str| ["-o", folder, "--format", "html,xlsx,parquet,csv"];
        for folder in ["out", "again"] {
            let told = run(&place, report.to_str().unwrap(), &args(folder));
            assert!(told.starts_with("exit 0"), "{name}: {told}");
        }
        let made = files(&place.path("out"));
        let again = files(&place.path("again"));
        assert_eq!(made.keys().collect::<Vec<_>>(), again.keys().collect::<Vec<_>>(), "{name}");
        for (file, bytes) in &made {
            assert!(bytes == &again[file], "{file}: the same input, other bytes");
        }
        let html = page(&place, name);
        assert!(html.len() < 1 << 20, "{name}: {} bytes", html.len());
        check_self_contained(&html, &place.path("out"));
        let csv = made.keys().filter(|file| file.ends_with(".csv")).count();
        assert_eq!(made.len(), 2 + 2 * csv, "{name}: {:?}", made.keys());
        assert_eq!(html.matches("<section").count(), csv, "{name}");
        check_workbook(&place.path(&format!("out/{name}.xlsx")), &made);
    }
}

/// Each sheet has the header and the rows of the CSV file of its statement.
fn check_workbook(path: &Path, made: &BTreeMap<String, Vec<u8>>) {
    let mut book: calamine::Xlsx<_> = open_workbook(path).unwrap();
    let names = book.sheet_names();
    let mut tables: Vec<Vec<Vec<String>>> = made
        .iter()
        .filter(|(name, _)| name.ends_with(".csv"))
        .map(|(_, bytes)| {
            let mut reader = csv::ReaderBuilder::new().has_headers(false).from_reader(bytes.as_slice());
            reader.records().map(|r| r.unwrap().iter().map(str::to_string).collect()).collect()
        })
        .collect();
    assert_eq!(names.len(), tables.len() + 1);
    for name in &names[1..] {
        let sheet: Vec<Vec<Data>> = book.worksheet_range(name).unwrap().rows().map(<[Data]>::to_vec).collect();
        let header: Vec<String> = sheet[0].iter().map(ToString::to_string).collect();
        let at = tables.iter().position(|table| table[0] == header && table.len() == sheet.len());
        let table = tables.swap_remove(at.unwrap_or_else(|| panic!("{name}: {header:?}, {} rows", sheet.len())));
        for (cells, texts) in sheet.iter().zip(&table).skip(1) {
            for (cell, text) in cells.iter().zip(texts) {
                match cell {
                    Data::Float(number) => assert_eq!(*number, text.parse::<f64>().unwrap(), "{name}"),
                    Data::DateTime(day) => {
                        let (y, m, d, ..) = day.to_ymd_hms_milli();
                        assert_eq!(format!("{y:04}-{m:02}-{d:02}"), text[..10], "{name}");
                    }
                    other => assert_eq!(&other.to_string(), text, "{name}"),
                }
            }
        }
    }
}

/// Each statement of each shipped report against joins and windows written for it, in `report_checks`.
#[test]
fn shipped_numbers_agree_with_plain_sql() {
    let asked = Asked::workspace("shop");
    let place = Place::new();
    let mut compared = 0;
    for report in shipped() {
        let told = run(&place, report.to_str().unwrap(), &["-o", "out", "--format", "parquet"]);
        assert!(told.starts_with("exit 0"), "{told}");
    }
    for file in files(&place.path("out")).into_keys() {
        let check = root().join("tests/it/report_checks").join(file.replace(".parquet", ".sql"));
        let sql = std::fs::read_to_string(&check).unwrap_or_else(|_| panic!("{file} has no check"));
        let wanted = asked.batches(&sql).unwrap_or_else(|e| panic!("{file}: {e}"));
        let columns: Vec<String> = wanted[0].schema().fields().iter().map(|f| format!("\"{}\"", f.name())).collect();
        let path = place.path(&format!("out/{file}"));
        let got = asked.rows(&format!("SELECT {} FROM '{}'", columns.join(", "), path.display()));
        let wanted = crate::ask::rows(&wanted);
        assert!(!got.is_empty(), "{file}");
        assert_eq!(got.len(), wanted.len(), "{file}");
        for (got, wanted) in got.iter().zip(&wanted) {
            for (column, (got, wanted)) in columns.iter().zip(got.iter().zip(wanted)) {
                let near = match (got.parse::<f64>(), wanted.parse::<f64>()) {
                    (Ok(one), Ok(other)) => (one - other).abs() <= 1e-9 * one.abs().max(1.0),
                    _ => got == wanted,
                };
                assert!(near, "{file}: {column} is {got}, and plain SQL says {wanted}");
            }
        }
        compared += 1;
    }
    assert!(compared >= 14, "{compared}");
}

const HOSTILE: &str = "<script>alert(1)</script>]]>\u{202e}\"' &amp; =1+1";

#[test]
fn a_hostile_name_stays_text_everywhere() {
    let place = Place::new();
    let quoted = HOSTILE.replace('\'', "''");
    let report = format!(
        "-- title: {HOSTILE}\n-- description: {HOSTILE}\n-- param: who text = '{quoted}' -- {HOSTILE}\n\n-- name: {HOSTILE}\n\
         -- chart: bars\n-- note: {HOSTILE}\nSELECT $who AS \"{}\", 3 AS users UNION ALL SELECT '=2+2', 1 ORDER BY users DESC;\n",
        HOSTILE.replace('"', "\"\"")
    );
    place.write("r.sql", &report);
    let told = run(&place, "r.sql", &["-o", "out", "--format", "html,xlsx,csv,parquet"]);
    assert!(told.starts_with("exit 0"), "{told}");
    let html = page(&place, "r");
    check_self_contained(&html, &place.path("out"));
    assert!(html.contains("&lt;script&gt;") && !html.contains('\u{202e}') && !html.contains("]]>"));
    assert!(html.contains("<svg"), "there is a picture");
    let made = files(&place.path("out"));
    let csv = made.iter().find(|(name, _)| name.ends_with(".csv")).unwrap().1;
    let rows: Vec<csv::StringRecord> = csv::ReaderBuilder::new()
        .has_headers(false)
        .from_reader(csv.as_slice())
        .records()
        .map(Result::unwrap)
        .collect();
    assert_eq!((&rows[0][0], &rows[1][0]), (HOSTILE, HOSTILE));
    let mut book: calamine::Xlsx<_> = open_workbook(place.path("out/r.xlsx")).unwrap();
    let sheet = book.sheet_names()[1].clone();
    let cells = book.worksheet_range(&sheet).unwrap();
    assert_eq!(cells.get((1, 0)), Some(&Data::String(HOSTILE.into())));
    assert_eq!(cells.get((2, 0)), Some(&Data::String("=2+2".into())));
    assert_eq!(book.worksheet_formula(&sheet).unwrap().used_cells().count(), 0);
}

/// Chromium opens each page: nothing is fetched, nothing runs, nothing sticks out of a narrow window but within its box, the keyboard
/// reaches every mark, and it prints. Left out with a word where there is no browser.
#[test]
fn pages_are_whole_in_a_browser() {
    let place = Place::new();
    let hostile = format!(
        "-- title: {HOSTILE}\n-- name: {HOSTILE}\n-- chart: bars\nSELECT repeat('wide ', 200) AS a, repeat('x', 400) AS b, 3 AS n;\n"
    );
    place.write("hostile.sql", &hostile);
    let reports =
        shipped().into_iter().map(|path| path.to_str().unwrap().to_string()).chain(["hostile.sql".to_string()]);
    for report in reports {
        let told = run(&place, &report, &["-o", "out"]);
        assert!(told.starts_with("exit 0"), "{told}");
        let name = Path::new(&report).file_stem().unwrap().to_str().unwrap().to_string();
        let html = page(&place, &name);
        let wanted = format!(
            "[performance.getEntriesByType('resource').length, document.scripts.length, \
             document.documentElement.scrollWidth <= innerWidth, {EVERY_MARK_HAS_A_FOCUS}]"
        );
        let Some(answer) = browser::asked(&place, &html, &wanted) else { return };
        // The one script is that of the question.
        assert_eq!(answer, "0,1,true,true", "{name}");
    }
    let pdf = browser::printed(&place, &place.path("out/conversion.html")).unwrap();
    assert!(pdf.starts_with(b"%PDF") && pdf.len() > 10_000, "{} bytes", pdf.len());
}

#[test]
fn a_failure_half_way_leaves_earlier_outputs() {
    let place = Place::new();
    let report = |divisor: &str| {
        format!(
            "-- param: n int = 1\n-- name: One\nSELECT 1 AS x;\n\n-- name: Two\nSELECT CAST({divisor} AS INT) AS y;\n"
        )
    };
    place.write("r.sql", &report("'5'"));
    place.write("out/other.txt", "stays");
    assert!(run(&place, "r.sql", &["-o", "out", "--format", "html,xlsx,csv"]).starts_with("exit 0"));
    let before = files(&place.path("out"));
    assert_eq!(before.keys().collect::<Vec<_>>(), ["other.txt", "r.html", "r.one.csv", "r.two.csv", "r.xlsx"]);
    place.write("r.sql", &report("'five'"));
    let told = run(&place, "r.sql", &["-o", "out", "--format", "html,xlsx,csv"]);
    assert!(told.starts_with("exit 1") && told.contains("r.sql:6: 'Two': "), "{told}");
    assert_eq!(files(&place.path("out")), before);
    // And a first run leaves nothing.
    let told = run(&place, "r.sql", &["-o", "fresh"]);
    assert!(told.starts_with("exit 1"), "{told}");
    assert!(files(&place.path("fresh")).is_empty());
}

#[test]
fn what_is_wrong_is_told_with_its_place() {
    let place = Place::new();
    place.write("chart.sql", "-- name: A\n-- chart: funnel\nSELECT 1 AS x");
    let told = run(&place, "chart.sql", &["-o", "out"]);
    assert!(told.starts_with("exit 1") && told.contains("chart.sql:2: 'A': a funnel chart lacks"), "{told}");
    place.write("alert.sql", "-- name: A\n-- alert: y > 1\nSELECT 1 AS x");
    let told = run(&place, "alert.sql", &["-o", "out"]);
    assert!(told.starts_with("exit 1") && told.contains("alert.sql:2: alert: ") && told.contains("'y > 1'"), "{told}");
    place.write("file", "");
    place.write("r.sql", "-- param: day date\nSELECT $day AS day");
    let told = run(&place, "r.sql", &["-p", "day=today", "-o", "file/out"]);
    assert!(told.starts_with("exit 1") && told.contains("file/out'"), "{told}");
    let told = run(&place, "r.sql", &[]);
    assert!(told.starts_with("exit 2") && told.contains("r.sql:1: parameter 'day' has no default"), "{told}");
    let told = run(&place, "r.sql", &["-p", "day='; DROP TABLE events; --"]);
    assert!(told.starts_with("exit 2") && told.contains("r.sql:1: parameter 'day' is ''; DROP TABLE"), "{told}");
    let told = run(&place, "r.sql", &["-p", "day=today", "--format", "pdf"]);
    assert!(told.starts_with("exit 2") && told.contains("'pdf'"), "{told}");
    assert!(!place.path("out").exists() || files(&place.path("out")).is_empty());
}

#[test]
fn alerts_decide_the_exit_code() {
    let place = Place::new();
    place.write(
        "r.sql",
        "-- param: line double = 5\n-- name: A\n-- alert: x > $line\nSELECT 4 AS x UNION ALL SELECT NULL",
    );
    assert!(run(&place, "r.sql", &["-o", "out"]).starts_with("exit 0"));
    assert!(page(&place, "r").contains("No alert: x &gt; $line"));
    let told = run(&place, "r.sql", &["-o", "out", "-p", "line=3"]);
    assert!(told.starts_with("exit 3") && told.contains("alert: A: x > $line (1 row)"), "{told}");
    assert!(page(&place, "r").contains("<strong>Alert</strong>: x &gt; $line (1 rows)"));
    let count = "SELECT count(*) > $line FROM events";
    assert!(run(&place, "r.sql", &["-o", "out", "-p", "line=1e9", "--if", count]).starts_with("exit 0"));
    assert!(run(&place, "r.sql", &["-o", "out", "-p", "line=5000", "--if", count]).starts_with("exit 3"));
    assert!(run(&place, "r.sql", &["-o", "out", "--if", "SELECT 1"]).starts_with("exit 2"));
}

#[test]
fn a_range_goes_on_after_a_failure() {
    let place = Place::new();
    place.write("r.sql", "-- param: start date\nCREATE VIEW v AS SELECT 1 AS one;\n-- name: A\nSELECT $start AS day, 1 / (date_part('day', $start) - 13)::INT AS x FROM v");
    let told = run(&place, "r.sql", &["-o", "out", "-p", "start=2025-01-06..2025-01-20/week", "--format", "csv"]);
    assert!(told.starts_with("exit 1") && told.contains("1 of 3 runs failed: 2025-01-13"), "{told}");
    let made = files(&place.path("out"));
    assert_eq!(made.keys().collect::<Vec<_>>(), ["r_2025-01-06.a.csv", "r_2025-01-20.a.csv"]);
    assert!(String::from_utf8_lossy(&made["r_2025-01-20.a.csv"]).contains("2025-01-20"));
}

#[test]
fn long_tables_are_cut_and_linked() {
    let place = Place::new();
    place.write(
        "r.sql",
        "-- name: A\n-- rows: 3\n-- chart: none\nSELECT value AS n FROM unnest(range(0, 20000)) AS t(value)",
    );
    assert!(run(&place, "r.sql", &["-o", "out", "--format", "html,parquet"]).starts_with("exit 0"));
    let html = page(&place, "r");
    assert!(html.contains("The first 3 of 20,000 rows") && html.contains("href=\"r.a.parquet\""));
    assert_eq!(html.matches("<td class=\"right\">").count(), 3);
    let asked = Asked::new(1);
    let path = place.path("out/r.a.parquet");
    assert_eq!(asked.one(&format!("SELECT sum(n) FROM '{}'", path.display())), (0..20_000).sum::<i64>().to_string());
}

#[test]
fn a_team_brings_its_template() {
    let place = Place::new();
    place.write("r.sql", "-- title: 周报\n-- lang: zh\n-- param: day date = today - 1 day\nSELECT $day AS day");
    place.write("team.html", "{% extends \"report.html\" %}{% block logo %}{% include \"logo.svg\" %}{% endblock %}");
    place.write("logo.svg", "<svg id=\"logo\"></svg>");
    assert!(run(&place, "r.sql", &["-o", "out", "--template", "team.html"]).starts_with("exit 0"));
    let html = page(&place, "r");
    assert!(html.contains("<svg id=\"logo\">") && html.contains("lang=\"zh\"") && html.contains("目录"));
    assert!(html.contains("(today - 1 day)"), "the page tells what the default was");
    place.write("tenure.toml", "[report]\ntemplate = \"broken.html\"\n");
    place.write("broken.html", "<p>\n{{ page.titel }}\n");
    let told = place.run(&["report", "r.sql", "-w", ".", "-o", "out"]);
    assert!(told.starts_with("exit 1") && told.contains("broken.html:2: undefined value"), "{told}");
    assert_eq!(page(&place, "r"), html);
}

#[test]
fn reports_are_listed() {
    let place = Place::new();
    place.write("a/one.sql", "-- title: One\n-- param: day date = today -- the day\n-- name: First\nSELECT $day");
    place.write("a/b/two.sql", "-- nmae: x\nSELECT 1");
    let told = place.run(&["report", "--list", "a/one.sql"]);
    assert_eq!(told, "exit 0\n-- stdout\na/one.sql  One\n    -p day date = today  the day\n    First\n");
    let told = place.run(&["report", "--list", "a"]);
    assert!(
        told.starts_with("exit 1") && told.contains("two.sql:1: unknown key 'nmae'") && told.contains("One"),
        "{told}"
    );
}
