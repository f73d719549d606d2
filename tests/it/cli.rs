//! The command line: statements in, results, messages and exit codes out.

use std::io::Read;
use std::process::{Command, Stdio};

use insta::assert_snapshot;

use crate::program::{Place, program};

#[test]
fn help_tells_everything() {
    assert_snapshot!(Place::new().run(&["--help"]), @r#"
    exit 0
    -- stdout
    User-behaviour analytics in SQL on Parquet: funnels, retention, cohorts, churn

    Usage: tenure [OPTIONS]
           tenure <COMMAND>

    Commands:
      demo         Show funnels, retention, cohorts and churn scores on sample data
      init         Make a folder to begin in: a made shop, tenure.toml, reports that run
      generate     Make a shop's events and users of any size, as Parquet
      ingest       Take events from CSV, NDJSON or Parquet into a managed table
      compact      Merge the files of a managed table that overlap or are too small
      erase        Take all rows of some users out of a managed table
      vacuum       Remove the data files of old versions of a managed table
      doctor       Look for damage in a managed table, or for what makes answers wrong in the data of
                   any
      presets      List the systems whose exports ingest knows, or show what is read of one
      report       Run a .sql report: a page, a workbook, files
      functions    List tenure's functions and relations, or show one in full
      completions  Print the script by which a shell completes commands and options
      man          Print the manual pages, as for `tenure man | man -l -`

    Options:
      -h, --help     Print help
      -V, --version  Print version

    Statements (default: the prompt, or a script on standard input):
      -c, --command <SQL>  Run these statements; may be repeated
      -f, --file <FILE>    Run the statements of this file ('-': standard input); may be repeated and
                           mixed with -c

    Session:
      -t, --table <NAME=PATH>   Name a Parquet file, folder, glob or managed table as a table; may be
                                repeated
      -p, --param <NAME=VALUE>  Bind the query parameter $NAME; may be repeated
      -w, --workspace <DIR>     Folder of the workspace file tenure.toml [default: the current folder]
          --memory <SIZE>       Memory that queries may use, as in 512MB or 4GiB [default: no limit]
          --threads <N>         Threads [default: one for each core]
          --read-only           Only read the registered tables: no COPY, CREATE, DROP or INSERT, no
                                files named in FROM
          --timeout <TIME>      Stop a statement that takes longer, as in 30s, 5m or 1h [default: no
                                limit]
          --set <KEY=VALUE>     Set a session option, as SET does; may be repeated

    Results:
          --format <FORMAT>  table, csv, tsv, json, ndjson, markdown, parquet, arrow or svg [default: by
                             the name of -o, else table]
      -o, --output <FILE>    Write the result to this file, whole or not at all; holds one result unless
                             it is a table or markdown
      -x, --expanded         One line for each value instead of one for each row (table only)
          --chart[=<KIND>]   Draw the result in place of the table: what fits its columns, or funnel,
                             heatmap, curve, lifecycle, histogram, flow, line, bars
          --timing           Tell the time of each statement on standard error
      -q, --quiet            No progress line and no greeting

    Examples:
      tenure                                          the prompt; \? lists its commands
      tenure demo                                     funnels, retention and churn on sample data
      tenure -c "SELECT count(*) FROM 'events.parquet'"
      tenure -t events=data/events/ -f weekly.sql -p country=DE -o weekly.parquet
      echo 'SELECT 1' | tenure --format json
      tenure functions funnel                         arguments, columns and an example
      tenure ingest logs/ --into data                 CSV, NDJSON or Parquet into a managed table

    Exit codes: 0 done, 1 a statement or its data failed, 2 wrong usage, 3 a report raised an alert.
    "#);
}

#[test]
fn version() {
    let version = env!("CARGO_PKG_VERSION");
    let engine = datafusion::DATAFUSION_VERSION;
    assert_eq!(
        Place::new().run(&["--version"]),
        format!("exit 0\n-- stdout\ntenure {version} (DataFusion {engine})\n")
    );
    assert_eq!(Place::new().run(&["-V"]), format!("exit 0\n-- stdout\ntenure {version}\n"));
}

/// Who is named by a query and has no row takes no part, which is told beside the answer.
#[test]
fn users_without_a_row_are_told_of() {
    let rows = "(SELECT * FROM (VALUES (1, 'buy'), (2, 'buy'), (3, 'look')) AS t(user_id, event))";
    let ask = |users: &str| {
        let sql = format!(
            "SELECT segment_users FROM compare({rows}, segment => (SELECT u FROM (VALUES {users}) AS s(u)), measures => ['buy'])"
        );
        Place::new().run(&["--format", "csv", "-c", &sql])
    };
    assert_eq!(ask("(1), (2)"), "exit 0\n-- stdout\nsegment_users\n2\n");
    let told = ask("(1), (2), (9)");
    assert!(told.starts_with("exit 0\n-- stdout\nsegment_users\n2\n-- stderr\n"), "{told}");
    assert!(
        told.contains("compare: the segments' queries name 1 user without a row in the table, who takes no part"),
        "{told}"
    );
    assert!(ask("(1), (8), (9)").contains("name 2 users without a row in the table, who take no part"));
}

/// The shells that are there accept the script; all of them know the subcommands.
#[test]
fn shells_are_told_what_can_be_completed() {
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let place = Place::new();
        let script = place.run(&["completions", shell]);
        for word in ["ingest", "functions", "--read-only", "completions"] {
            let word = if shell == "fish" { word.trim_start_matches("--") } else { word };
            assert!(script.contains(word), "{shell}: {word}");
        }
        if shell == "bash" {
            let script = script.strip_prefix("exit 0\n-- stdout\n").unwrap();
            std::fs::write(place.path("tenure.bash"), script).unwrap();
            let ask = "source ./tenure.bash; COMP_WORDS=(tenure ing); COMP_CWORD=1; _tenure tenure ing tenure; echo ${COMPREPLY[@]}";
            let done = std::process::Command::new("bash").args(["-c", ask]).current_dir(place.path(".")).output();
            // A machine without bash has no use for its script.
            if let Ok(done) = done {
                assert_eq!(
                    String::from_utf8_lossy(&done.stdout),
                    "ingest\n",
                    "{}",
                    String::from_utf8_lossy(&done.stderr)
                );
            }
        }
    }
    let pages = Place::new().run(&["man"]);
    assert_eq!(pages.matches("\n.TH ").count(), 14, "{pages}");
    assert!(pages.contains("tenure\\-ingest") && pages.contains(".SH NAME"), "{pages}");
    assert!(Place::new().run(&["completions", "tcsh"]).starts_with("exit 2\n-- stderr\nerror: invalid value 'tcsh'"));
}

#[test]
fn statements_come_from_arguments_files_and_standard_input() {
    let place = Place::new();
    place.write("two.sql", "SELECT 2 AS two;\n-- the end\n");
    assert_snapshot!(place.run(&["-c", "SELECT 1 AS one", "-f", "two.sql", "-c", "SELECT 3 AS three;"]), @r#"
    exit 0
    -- stdout
    ┌─────┐
    │ one │
    ├─────┤
    │   1 │
    └─────┘

    ┌─────┐
    │ two │
    ├─────┤
    │   2 │
    └─────┘

    ┌───────┐
    │ three │
    ├───────┤
    │     3 │
    └───────┘
    "#);
    assert_snapshot!(place.run_with_input(&["--format", "csv"], "SELECT 1 AS a;\nSELECT 'x' AS b"), @r#"
    exit 0
    -- stdout
    a
    1
    b
    x
    "#);
    assert_snapshot!(place.run_with_input(&["--format", "csv", "-f", "-"], "SELECT 1 AS a"), @r#"
    exit 0
    -- stdout
    a
    1
    "#);
    assert_snapshot!(place.run_with_input(&[], ""), @r#"exit 0"#);
}

#[test]
fn a_script_stops_at_its_first_error_and_says_where() {
    let place = Place::new();
    place.write("s.sql", "SELECT 1 AS a;\n\nSELECT nope\nFROM (VALUES (1)) t(x);\nSELECT 3 AS never;");
    assert_snapshot!(place.run(&["--format", "csv", "-f", "s.sql"]), @r#"
    exit 1
    -- stdout
    a
    1
    -- stderr
    error: s.sql:3: statement 2 of 3: no column is called 'nope'; columns: x
      SELECT nope
             ^
    "#);
    assert_snapshot!(place.run_with_input(&["--format", "csv"], "SELECT 1 AS a; SELEC 2"), @r#"
    exit 1
    -- stdout
    a
    1
    -- stderr
    error: <stdin>:1: statement 2 of 2: syntax error: Expected: an SQL statement, found: SELEC at Line: 1, Column: 1
      SELEC 2
      ^
    "#);
    assert_snapshot!(place.run(&["--format", "csv", "-c", "SELECT 1 AS a; SELECT b", "-c", "SELECT 3"]), @r#"
    exit 1
    -- stdout
    a
    1
    -- stderr
    error: statement 2 of 3: no column is called 'b'; there are no columns here
      SELECT b
             ^
    "#);
    assert_snapshot!(place.run(&["-c", "SELECT b"]), @r#"
    exit 1
    -- stderr
    error: no column is called 'b'; there are no columns here
      SELECT b
             ^
    "#);
    // An open quote is found before anything runs.
    assert_snapshot!(place.run_with_input(&[], "SELECT 1;\nSELECT 'open"), @r#"
    exit 1
    -- stderr
    error: <stdin>: line 2, column 8: Unterminated string literal
    "#);
}

#[test]
fn usage_mistakes_exit_with_2() {
    let place = Place::new();
    assert_snapshot!(place.run(&["--formt", "csv"]), @r#"
    exit 2
    -- stderr
    error: unexpected argument '--formt' found

      tip: a similar argument exists: '--format'

    Usage: tenure --format <FORMAT>

    For more information, try '--help'.
    "#);
    assert_snapshot!(place.run(&["--format", "cvs", "-c", "SELECT 1"]), @r#"
    exit 2
    -- stderr
    error: invalid value 'cvs' for '--format <FORMAT>': unknown format 'cvs': did you mean 'csv'?

    For more information, try '--help'.
    "#);
    assert_snapshot!(place.run(&["-p", "x", "-c", "SELECT 1"]), @r#"
    exit 2
    -- stderr
    error: invalid value 'x' for '--param <NAME=VALUE>': expected NAME=VALUE

    For more information, try '--help'.
    "#);
    assert_snapshot!(place.run(&["--memory", "lots", "-c", "SELECT 1"]), @r#"
    exit 2
    -- stderr
    error: invalid value 'lots' for '--memory <SIZE>': expected a size such as 512MB or 4GiB (B, KB, MB, GB, KiB, MiB, GiB)

    For more information, try '--help'.
    "#);
    assert_snapshot!(place.run(&["-o", "x.xls", "-c", "SELECT 1"]), @r"
    exit 2
    -- stderr
    error: cannot tell the format of 'x.xls' from its name
    hint: use one of .txt, .csv, .tsv, .json, .ndjson, .jsonl, .md, .parquet, .arrow, .feather, .svg, or name the format
    ");
}

#[test]
fn files_that_are_not_there() {
    let place = Place::new();
    assert_snapshot!(place.run(&["-f", "none.sql"]), @r#"
    exit 1
    -- stderr
    error: cannot read 'none.sql': No such file or directory (os error 2)
    "#);
    assert_snapshot!(place.run(&["-c", "SELECT 1 AS a", "-o", "none/x.csv"]), @r#"
    exit 1
    -- stderr
    error: cannot write 'none/x.csv': there is no folder 'none'
    "#);
    place.tenure().args(["-c", "SELECT * FROM 'none.parquet'"]).assert().code(1);
    std::fs::write(place.path("latin.sql"), b"SELECT 1;\nSELECT '\xe9';").unwrap();
    assert_snapshot!(place.run(&["-f", "latin.sql"]), @r#"
    exit 1
    -- stderr
    error: latin.sql:2: not UTF-8 text
    "#);
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

/// The same where nobody has asked for the signal to be ignored, which would end the process and leave half a file; and for COPY.
#[cfg(target_os = "linux")]
#[test]
fn a_limit_of_sizes_is_an_error_and_leaves_nothing() {
    let place = Place::new();
    let rows = "SELECT value AS user_id, md5(CAST(value AS VARCHAR)) AS text FROM generate_series(1, 100000)";
    for name in ["x.csv", "x.parquet", "x.arrow", "x.json"] {
        let copy = format!("COPY ({rows}) TO '{name}'");
        for args in [vec!["-o", name, "-c", rows], vec!["-c", &copy]] {
            place.write(name, "old");
            let script = "ulimit -f 8; exec \"$0\" \"$@\"";
            let output =
                Command::new("sh").args(["-c", script, program()]).args(&args).current_dir(place.folder()).output();
            let output = output.unwrap();
            let stderr = String::from_utf8(output.stderr).unwrap();
            assert_eq!(output.status.code(), Some(1), "{args:?}: {:?} {stderr}", output.status);
            assert!(
                stderr.contains(name) && stderr.lines().count() == 1 && !stderr.contains("internal"),
                "{args:?}: {stderr}"
            );
            assert_eq!(place.read(name), "old", "{args:?}");
        }
    }
    assert_eq!(place.names(), ["x.arrow", "x.csv", "x.json", "x.parquet"]);
}

/// A disk of its own that is full before a result is: where the system lets a test make one.
#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_leaves_the_old_file_and_nothing_else() {
    let place = Place::new();
    std::fs::create_dir(place.path("disk")).unwrap();
    let on_disk = |script: &str, args: &[&str]| {
        let script = format!("mount -t tmpfs -o size=256k none disk && {script}");
        let mut command = Command::new("unshare");
        command.args(["--user", "--map-root-user", "--mount", "sh", "-c", &script, program()]);
        command.args(args).current_dir(place.folder()).env("HOME", place.folder()).output()
    };
    if !on_disk("true", &[]).is_ok_and(|output| output.status.success()) {
        return;
    }
    let rows = "SELECT value AS user_id, md5(CAST(value AS VARCHAR)) AS text FROM generate_series(1, 100000)";
    for name in ["x.csv", "x.parquet", "x.arrow", "x.json"] {
        let file = format!("disk/{name}");
        let (copy, parts) =
            (format!("COPY ({rows}) TO '{file}'"), format!("COPY ({rows}) TO 'disk/parts/' STORED AS CSV"));
        for args in [vec!["-o", &file, "-c", rows], vec!["-c", &copy], vec!["-c", &parts]] {
            let script = format!("echo old > {file}; \"$0\" \"$@\"; echo \"exit $?\"; ls -A disk; cat {file}");
            let output = on_disk(&script, &args).unwrap();
            let (stdout, stderr) =
                (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
            assert_eq!(stdout, format!("exit 1\n{name}\nold\n"), "{args:?}: {stderr}");
            assert!(
                stderr.contains("disk/") && stderr.lines().count() == 1 && !stderr.contains("internal"),
                "{args:?}: {stderr}"
            );
        }
    }
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
    for (name, code) in [("INT", Some(130)), ("TERM", Some(143)), ("KILL", None)] {
        let mut child = Command::new(program())
            .current_dir(place.folder())
            .args(["-o", "x.csv", "-c", "SELECT * FROM generate_series(1, 100000000000)"])
            .spawn()
            .unwrap();
        wait_until("a file is being written", || place.names().len() == 2);
        signal(&child, name);
        assert_eq!(child.wait().unwrap().code(), code, "{name}");
        assert_eq!(place.read("x.csv"), "old", "{name}");
        // Nobody can tidy up after KILL; the others do.
        assert_eq!(place.names().len(), if code.is_some() { 1 } else { 2 }, "{name}: {:?}", place.names());
    }
}

#[cfg(unix)]
#[test]
fn a_signal_ends_a_copy_and_a_blocked_write() {
    let place = Place::new();
    let endless = "SELECT * FROM generate_series(1, 100000000000)";
    let mut child = Command::new(program())
        .current_dir(place.folder())
        .args(["-c", &format!("COPY ({endless}) TO 'x.parquet'")])
        .spawn()
        .unwrap();
    wait_until("a file is being written", || !place.names().is_empty());
    signal(&child, "INT");
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert!(place.names().is_empty(), "{:?}", place.names());
    // Nobody reads this pipe beyond its first bytes, so the program is blocked in a write when the signal comes.
    let mut child =
        Command::new(program()).args(["--format", "csv", "-c", endless]).stdout(Stdio::piped()).spawn().unwrap();
    let mut pipe = child.stdout.take().unwrap();
    pipe.read_exact(&mut [0; 4]).unwrap();
    signal(&child, "TERM");
    assert_eq!(child.wait().unwrap().code(), Some(143));
}

#[cfg(unix)]
fn signal(child: &std::process::Child, name: &str) {
    assert!(Command::new("kill").args(["-s", name, &child.id().to_string()]).status().unwrap().success());
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
fn parameters_and_tables_are_bound_not_pasted() {
    let place = Place::new();
    let data = "SELECT * FROM (VALUES ('DE', 1), ('FR', 2), (''' OR 1=1 --', 3)) t(country, n)";
    assert_eq!(place.run(&["-o", "sales.parquet", "-c", data]), "exit 0\n");
    let ask = |value: &str| {
        let sql = "SELECT n FROM sales WHERE country = $country";
        place.run(&["--format", "csv", "-t", "sales=sales.parquet", "-p", value, "-c", sql])
    };
    assert_eq!(ask("country=FR"), "exit 0\n-- stdout\nn\n2\n");
    assert_eq!(ask("country=' OR 1=1 --"), "exit 0\n-- stdout\nn\n3\n");
    assert!(ask("land=FR").starts_with("exit 1\n-- stderr\nerror: "), "{}", ask("land=FR"));
    assert!(place.run(&["-t", "x=none.parquet", "-c", "SELECT 1"]).starts_with("exit 1\n-- stderr\nerror: "));
}

#[test]
fn the_demo_walks_to_its_end() {
    let place = Place::new();
    let shown = place.run(&["demo"]);
    assert!(shown.starts_with("exit 0\n"), "{shown}");
    // CDNOW: 2,357 customers bought at least once.
    assert!(shown.lines().any(|line| line.starts_with("1    █") && line.contains(" 2,357  ")), "{shown}");
    assert_eq!(shown.matches("┌─").count(), 2, "tables of churn scores: {shown}");
    assert_eq!(shown.matches("\nrate  ").count(), 2, "curves: {shown}");
    assert!(shown.contains("\ncohort ") && shown.contains("\nview_item "), "{shown}");
    assert!(shown.contains("Go on: `tenure demo --repl`"), "{shown}");
    assert!(place.names().is_empty(), "its folder is gone: {:?}", place.names());
}

#[test]
fn one_result_for_one_file() {
    let place = Place::new();
    assert_snapshot!(place.run(&["-o", "x.csv", "-c", "SELECT 1 AS a; SELECT 2 AS b"]), @r#"
    exit 1
    -- stderr
    error: statement 2 of 2: 'x.csv' is csv and holds one result, and this statement returns another
    hint: write each with COPY (SELECT ...) TO 'file.parquet', or run them one by one
    "#);
    assert_snapshot!(place.run(&["-o", "x.csv", "-c", "CREATE TABLE t AS SELECT 1 AS a"]), @r#"
    exit 1
    -- stderr
    error: 'x.csv' was not written: no statement returns rows
    "#);
    assert!(place.names().is_empty());
    assert_eq!(
        place.run(&["-o", "x.md", "-c", "SELECT 1 AS a; CREATE TABLE t AS SELECT 2 AS b; SELECT b FROM t"]),
        "exit 0\n"
    );
    assert_snapshot!(place.read("x.md"), @r#"
    | a |
    | ---: |
    | 1 |

    | b |
    | ---: |
    | 2 |
    "#);
    let twice = place.tenure().args(["--format", "parquet", "-c", "SELECT 1; SELECT 2"]).output().unwrap();
    assert_eq!(twice.status.code(), Some(2));
}

#[test]
fn functions_are_listed_and_shown() {
    let place = Place::new();
    let catalogue = tenure::engine::catalogue();
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
    assert_snapshot!(place.run(&["generate", "--events", "2_000", "--users", "50", "--seed", "3", "-o", "shop"]), @r#"
    exit 0
    -- stderr
    wrote shop/events.parquet (2,000 rows), shop/users.parquet (50 rows), shop/tenure.toml
    "#);
    let sql = "SELECT count(*) AS events, count(DISTINCT user_id) AS users FROM 'shop/events.parquet'";
    assert_eq!(place.run(&["--format", "csv", "-c", sql]), "exit 0\n-- stdout\nevents,users\n2000,50\n");
    assert_snapshot!(place.run(&["generate", "--events", "10", "--users", "50", "-o", "shop2"]), @r#"
    exit 2
    -- stderr
    error: generate: 10 events for 50 users; at least as many as users are needed, because everybody signs up
    "#);
    assert_snapshot!(place.run(&["generate", "--events", "2000", "--users", "50", "-o", "shop"]), @r#"
    exit 1
    -- stderr
    error: generate: 'shop/events.parquet' is there already; choose another folder
    "#);
}
