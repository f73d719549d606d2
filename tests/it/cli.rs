//! The command line: statements in, results, messages and exit codes out.

use std::io::Read;
use std::process::{Command, Stdio};

use insta::assert_snapshot;

use crate::program::{Place, program};

#[test]
fn help_tells_everything() {
    assert_snapshot!(Place::new().run(&["--help"]), @"");
}

#[test]
fn version() {
    assert_eq!(Place::new().run(&["--version"]), format!("exit 0\n-- stdout\ntenure {}\n", env!("CARGO_PKG_VERSION")));
}

#[test]
fn statements_come_from_arguments_files_and_standard_input() {
    let place = Place::new();
    place.write("two.sql", "SELECT 2 AS two;\n-- the end\n");
    assert_snapshot!(place.run(&["-c", "SELECT 1 AS one", "-f", "two.sql", "-c", "SELECT 3 AS three;"]), @"");
    assert_snapshot!(place.run_with_input(&["--format", "csv"], "SELECT 1 AS a;\nSELECT 'x' AS b"), @"");
    assert_snapshot!(place.run_with_input(&["--format", "csv", "-f", "-"], "SELECT 1 AS a"), @"");
    assert_snapshot!(place.run_with_input(&[], ""), @"");
}

#[test]
fn a_script_stops_at_its_first_error_and_says_where() {
    let place = Place::new();
    place.write("s.sql", "SELECT 1 AS a;\n\nSELECT nope\nFROM (VALUES (1)) t(x);\nSELECT 3 AS never;");
    assert_snapshot!(place.run(&["--format", "csv", "-f", "s.sql"]), @"");
    assert_snapshot!(place.run_with_input(&["--format", "csv"], "SELECT 1 AS a; SELEC 2"), @"");
    assert_snapshot!(place.run(&["--format", "csv", "-c", "SELECT 1 AS a; SELECT b", "-c", "SELECT 3"]), @"");
    assert_snapshot!(place.run(&["-c", "SELECT b"]), @"");
    // An open quote is found before anything runs.
    assert_snapshot!(place.run_with_input(&[], "SELECT 1;\nSELECT 'open"), @"");
}

#[test]
fn usage_mistakes_exit_with_2() {
    let place = Place::new();
    assert_snapshot!(place.run(&["--formt", "csv"]), @"");
    assert_snapshot!(place.run(&["--format", "cvs", "-c", "SELECT 1"]), @"");
    assert_snapshot!(place.run(&["-p", "x", "-c", "SELECT 1"]), @"");
    assert_snapshot!(place.run(&["--memory", "lots", "-c", "SELECT 1"]), @"");
    assert_snapshot!(place.run(&["-o", "x.xls", "-c", "SELECT 1"]), @"");
}

#[test]
fn files_that_are_not_there() {
    let place = Place::new();
    assert_snapshot!(place.run(&["-f", "none.sql"]), @"");
    assert_snapshot!(place.run(&["-c", "SELECT 1 AS a", "-o", "none/x.csv"]), @"");
    place.tenure().args(["-c", "SELECT * FROM 'none.parquet'"]).assert().code(1);
    std::fs::write(place.path("latin.sql"), b"SELECT 1;\nSELECT '\xe9';").unwrap();
    assert_snapshot!(place.run(&["-f", "latin.sql"]), @"");
}

#[test]
fn timing_goes_to_standard_error() {
    let output = Place::new().tenure().args(["--timing", "-c", "SELECT 1; SELECT nope"]).output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    let times = regex::Regex::new(r"(?m)^-- \d+\.\d{3} s$").unwrap();
    assert_eq!(times.find_iter(&stderr).count(), 2, "{stderr}");
}

#[test]
fn a_reader_that_leaves_is_no_error() {
    let place = Place::new();
    for format in ["csv", "table", "json", "ndjson", "tsv", "markdown", "parquet", "arrow"] {
        let sql = "SELECT value, md5(CAST(value AS VARCHAR)) AS text FROM generate_series(1, 10000000)";
        let mut child = Command::new(program())
            .current_dir(place.folder())
            .args(["--format", format, "-c", sql])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut some = [0; 4];
        child.stdout.take().unwrap().read_exact(&mut some).unwrap();
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{format}");
        assert_eq!(String::from_utf8(output.stderr).unwrap(), "", "{format}");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_is_told_in_one_line() {
    let place = Place::new();
    for format in ["csv", "table", "json", "ndjson", "tsv", "markdown", "parquet", "arrow"] {
        let sql = "SELECT * FROM generate_series(1, 100000)";
        let shown = place.run(&["--format", format, "-o", "/dev/full", "-c", sql]);
        let expected = "exit 1\n-- stderr\nerror: cannot write '/dev/full': No space left on device (os error 28)\n";
        assert_eq!(shown, expected, "{format}");
        let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let output = Command::new(program()).args(["--format", format, "-c", sql]).stdout(full).output().unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(
            stderr, "error: cannot write 'standard output': No space left on device (os error 28)\n",
            "{format}"
        );
        assert_eq!(output.status.code(), Some(1), "{format}");
    }
}

/// A limit on the size of files fails in the middle of the temporary file, as a full disk does, and needs no rights.
#[cfg(target_os = "linux")]
#[test]
fn a_failed_write_leaves_the_old_file_and_nothing_else() {
    let place = Place::new();
    for name in ["x.csv", "x.parquet", "x.arrow", "x.json"] {
        place.write(name, "old");
        let script = format!(
            "trap '' XFSZ; ulimit -f 8; exec '{}' -o {name} -c 'SELECT md5(CAST(value AS VARCHAR)) FROM generate_series(1, 100000)'",
            program()
        );
        let output = Command::new("sh").args(["-c", &script]).current_dir(place.folder()).output().unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(stderr, format!("error: cannot write '{name}': File too large (os error 27)\n"));
        assert_eq!(output.status.code(), Some(1));
        assert_eq!(place.read(name), "old");
    }
    assert_eq!(place.names(), ["x.arrow", "x.csv", "x.json", "x.parquet"]);
}

#[test]
fn a_failed_query_leaves_no_file() {
    let place = Place::new();
    let shown = place.run(&["-o", "x.csv", "-c", "SELECT 1 AS a; SELECT nope"]);
    assert!(shown.starts_with("exit 1\n-- stderr\nerror: statement 2 of 2: "), "{shown}");
    // The division fails while rows are being written.
    let sql = "SELECT 10 / (100000 - value) FROM generate_series(1, 100000)";
    assert!(place.run(&["-o", "x.parquet", "-c", sql]).starts_with("exit 1\n"));
    assert!(place.names().is_empty(), "{:?}", place.names());
}

#[cfg(unix)]
#[test]
fn a_signal_leaves_no_half_written_file() {
    let place = Place::new();
    place.write("x.csv", "old");
    for (signal, code) in [("INT", Some(130)), ("TERM", Some(143)), ("KILL", None)] {
        let mut child = Command::new(program())
            .current_dir(place.folder())
            .args(["-o", "x.csv", "-c", "SELECT * FROM generate_series(1, 100000000000)"])
            .spawn()
            .unwrap();
        wait_until("a file is being written", || place.names().len() == 2);
        let id = child.id().to_string();
        assert!(Command::new("kill").args(["-s", signal, &id]).status().unwrap().success());
        assert_eq!(child.wait().unwrap().code(), code, "{signal}");
        assert_eq!(place.read("x.csv"), "old", "{signal}");
        // Nobody can tidy up after KILL; the others do.
        assert_eq!(place.names().len(), if code.is_some() { 1 } else { 2 }, "{signal}: {:?}", place.names());
    }
}

#[cfg(unix)]
fn wait_until(what: &str, mut done: impl FnMut() -> bool) {
    for _ in 0..1200 {
        if done() {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    panic!("waited in vain until {what}");
}

#[test]
fn one_result_for_one_file() {
    let place = Place::new();
    assert_snapshot!(place.run(&["-o", "x.csv", "-c", "SELECT 1 AS a; SELECT 2 AS b"]), @"");
    assert_snapshot!(place.run(&["-o", "x.csv", "-c", "CREATE TABLE t AS SELECT 1 AS a"]), @"");
    assert!(place.names().is_empty());
    assert_eq!(
        place.run(&["-o", "x.md", "-c", "SELECT 1 AS a; CREATE TABLE t AS SELECT 2 AS b; SELECT b FROM t"]),
        "exit 0\n"
    );
    assert_snapshot!(place.read("x.md"), @"");
    let twice = place.tenure().args(["--format", "parquet", "-c", "SELECT 1; SELECT 2"]).output().unwrap();
    assert_eq!(twice.status.code(), Some(2));
}

#[test]
fn functions_are_listed_and_shown() {
    let place = Place::new();
    let catalogue = tenure::functions::catalogue();
    let listed = place.run(&["functions"]);
    for function in &catalogue {
        assert!(listed.contains(function.name), "{}", function.name);
        let shown = place.run(&["functions", function.name]);
        assert!(shown.contains(function.summary), "{shown}");
    }
    assert!(place.run(&["functions", "no_such_function"]).starts_with("exit 1\n-- stderr\nerror: no function"));
    let manual = place.run(&["functions", "--markdown"]);
    assert_eq!(manual, format!("exit 0\n-- stdout\n{}", tenure::cli::functions_markdown(&catalogue)));
}

#[test]
fn generate_writes_a_shop_that_can_be_queried() {
    let place = Place::new();
    assert_snapshot!(place.run(&["generate", "--events", "2_000", "--users", "50", "--seed", "3", "-o", "shop"]), @"");
    let sql = "SELECT count(*) AS events, count(DISTINCT user_id) AS users FROM 'shop/events.parquet'";
    assert_eq!(place.run(&["--format", "csv", "-c", sql]), "exit 0\n-- stdout\nevents,users\n2000,50\n");
    assert_snapshot!(place.run(&["generate", "--events", "10", "--users", "50", "-o", "shop2"]), @"");
    assert_snapshot!(place.run(&["generate", "--events", "2000", "--users", "50", "-o", "shop"]), @"");
}
