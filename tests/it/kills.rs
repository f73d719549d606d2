//! Kills: whatever a command is stopped in, the table holds its old rows or its new ones, and the next run completes.
//!
//! Deals with: every command that writes; SIGKILL after a time drawn from a seed, and the signals that ask to end; loads, vacuums and
//! readers at once. Does not deal with: power cuts. A few kills and races of each kind; `TENURE_KILLS` and `TENURE_RACES` set other numbers.

#![cfg(unix)]

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::damage::events;
use crate::program::{Place, program};

fn kills() -> usize {
    std::env::var("TENURE_KILLS").map_or(3, |n| n.parse().unwrap())
}

fn races() -> usize {
    std::env::var("TENURE_RACES").map_or(3, |n| n.parse().unwrap())
}

fn command(place: &Place, args: &[&str]) -> Command {
    let mut command = Command::new(program());
    command.args(args).current_dir(place.folder()).env("HOME", place.folder()).env("TMPDIR", place.folder());
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command
}

/// How long a command takes that is left alone.
fn takes(place: &Place, args: &[&str]) -> Duration {
    let started = Instant::now();
    assert!(command(place, args).status().unwrap().success(), "{args:?}");
    started.elapsed()
}

/// Starts a command and stops it after a while; false where it had ended by itself.
fn stopped(place: &Place, args: &[&str], signal: &str, after: Duration) -> bool {
    let mut child = command(place, args).spawn().unwrap();
    std::thread::sleep(after);
    if child.try_wait().unwrap().is_some() {
        return false;
    }
    Command::new("kill").args([signal, &child.id().to_string()]).status().unwrap();
    let end = child.wait().unwrap();
    !end.success()
}

/// Rows of the table; an error in words is a failure, a table that is not there has none.
fn rows(place: &Place) -> u64 {
    let told =
        place.run(&["-q", "--format", "csv", "-t", "events=data/events", "-c", "SELECT count(*) AS n FROM events"]);
    match told.split_once("n\n").and_then(|(_, rest)| rest.lines().next()?.parse().ok()) {
        Some(rows) if told.starts_with("exit 0") => rows,
        _ => {
            let none =
                ["does not exist", "holds no parquet", "holds no data file", "has not been committed", "is empty"];
            assert!(none.iter().any(|words| told.contains(words)), "{told}");
            0
        }
    }
}

/// Names below the table's folder that only a running command has.
fn leavings(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let names = entries.map(|e| e.file_name().into_string().unwrap());
    let mut left: Vec<String> = names
        .filter(|n| {
            ["_compact", "_erase", "_ingest", "_retype", "_write"].iter().any(|begin| n.starts_with(begin))
                || n.contains(".part")
        })
        .collect();
    left.sort();
    left
}

/// Data files that no version names.
fn orphans(place: &Place) -> usize {
    let there = std::fs::read_dir(place.path("data/events")).unwrap().flatten();
    let there = there.filter(|e| e.file_name().to_str().unwrap().ends_with(".parquet")).count();
    let mut named = std::collections::HashSet::new();
    for entry in std::fs::read_dir(place.path("data/events/_delta_log")).unwrap().flatten() {
        let path = entry.path();
        if path.extension().is_some_and(|e| e == "json") {
            for line in std::fs::read_to_string(path).unwrap().lines() {
                let action: serde_json::Value = serde_json::from_str(line).unwrap();
                named.extend(action["add"]["path"].as_str().map(str::to_string));
            }
        }
    }
    there - named.len()
}

fn load(place: &Place, number: usize, count: usize) -> String {
    let name = format!("{number}.csv");
    place.write(&name, &events(count, number * count));
    name
}

#[test]
fn a_first_load_is_there_whole_or_not_at_all() {
    let place = Place::new();
    let name = load(&place, 0, 20_000);
    let args = ["ingest", name.as_str(), "--into", "data", "--memory", "64MB", "-q"];
    let whole = takes(&place, &args);
    let mut random = ChaCha8Rng::seed_from_u64(11);
    for round in 0..kills() {
        std::fs::remove_dir_all(place.path("data")).unwrap();
        for _ in 0..2 {
            let after = whole.mul_f64(random.random_range(0.0..1.1));
            stopped(&place, &args, "-KILL", after);
            let now = rows(&place);
            assert!(now == 0 || now == 20_000, "round {round}: {now} rows");
        }
        let told = place.run(&args);
        assert!(
            told.starts_with("exit 0") || told.contains("was loaded into this table before"),
            "round {round}: {told}"
        );
        assert_eq!(rows(&place), 20_000, "round {round}");
        assert_eq!((leavings(&place.path("data/events")), orphans(&place)), (vec![], 0), "round {round}");
    }
}

#[test]
fn appends_compactions_and_erasures_survive_kills() {
    let place = Place::new();
    let count = 5_000;
    let first = load(&place, 0, count);
    let mut expected = count as u64;
    let whole = takes(&place, &["ingest", &first, "--into", "data", "-q"]);
    let mut random = ChaCha8Rng::seed_from_u64(12);
    for round in 1..=kills() {
        let mut random_time = |whole: Duration| whole.mul_f64(random.random_range(0.0..1.2));
        let name = load(&place, round, count);
        let args = ["ingest", name.as_str(), "--into", "data", "--dedup-key", "key", "-q"];
        stopped(&place, &args, "-KILL", random_time(whole));
        let now = rows(&place);
        assert!(now == expected || now == expected + count as u64, "round {round}: {now} rows, there were {expected}");
        let told = place.run(&args);
        assert!(
            told.starts_with("exit 0") || told.contains("was loaded into this table before"),
            "round {round}: {told}"
        );
        expected += count as u64;
        assert_eq!(rows(&place), expected);

        stopped(&place, &["compact", "data/events", "-q"], "-KILL", random_time(whole));
        assert_eq!(rows(&place), expected, "round {round}");
        let told = place.run(&["compact", "data/events", "-q"]);
        assert!(told.starts_with("exit 0"), "round {round}: {told}");
        assert_eq!(rows(&place), expected);

        let user = format!("u{:03}", round % 97);
        let sql = format!("SELECT count(*) AS n FROM events WHERE user_id = '{user}'");
        let of = place.run(&["-q", "--format", "csv", "-t", "events=data/events", "-c", &sql]);
        let of: u64 = of.split_once("n\n").unwrap().1.lines().next().unwrap().parse().unwrap();
        stopped(&place, &["erase", "data/events", "--user", &user, "-q"], "-KILL", random_time(whole));
        let now = rows(&place);
        assert!(
            now == expected || now == expected - of,
            "round {round}: {now} rows, there were {expected}, {of} of the user"
        );
        let told = place.run(&["erase", "data/events", "--user", &user, "-q"]);
        assert!(told.starts_with("exit 0"), "round {round}: {told}");
        expected -= of;
        assert_eq!(rows(&place), expected);

        stopped(&place, &["vacuum", "data/events", "--older-than", "0", "-q"], "-KILL", random_time(whole / 2));
        assert_eq!(rows(&place), expected, "round {round}");
        let told = place.run(&["vacuum", "data/events", "--older-than", "0", "-q"]);
        assert!(told.starts_with("exit 0"), "round {round}: {told}");
        let sound = place.run(&["doctor", "data/events", "--verify"]);
        assert!(sound.starts_with("exit 0") && rows(&place) == expected, "round {round}: {sound}");
        assert_eq!(leavings(&place.path("data/events")), [] as [String; 0], "round {round}");
    }
}

/// A table that a statement makes, and rows that one adds, are there whole or not at all; the next statement clears up.
#[test]
fn statements_that_write_survive_kills() {
    let place = Place::new();
    let query = "SELECT value % 1000 AS user_id, to_timestamp(1700000000 + value) AS ts, 'view' AS event FROM generate_series(1, 200000)";
    let create = format!("CREATE TABLE events STORED AS DELTA LOCATION 'data/events' AS {query}");
    let insert = format!("INSERT INTO 'data/events' {query}");
    let (creates, inserts) = (["-q", "-c", create.as_str()], ["-q", "-c", insert.as_str()]);
    let whole = takes(&place, &creates);
    let mut random = ChaCha8Rng::seed_from_u64(14);
    let expected = 200_000;
    for round in 0..kills() {
        let mut random_time = || whole.mul_f64(random.random_range(0.0..1.1));
        std::fs::remove_dir_all(place.path("data/events")).unwrap();
        stopped(&place, &creates, "-KILL", random_time());
        let now = rows(&place);
        assert!(now == 0 || now == 200_000, "round {round}: {now} rows");
        let told = place.run(&creates);
        assert!(told.starts_with("exit 0") || told.contains("is a managed table already"), "round {round}: {told}");
        stopped(&place, &inserts, "-KILL", random_time());
        let now = rows(&place);
        assert!(now == expected || now == 2 * expected, "round {round}: {now} rows");
        let told = place.run(&inserts);
        assert!(told.starts_with("exit 0") && rows(&place) == now + expected, "round {round}: {told}");
        assert_eq!((leavings(&place.path("data/events")), orphans(&place)), (vec![], 0), "round {round}");
    }
}

/// Rows from a pipe cannot be gone on with, and columns that get a wider type are written anew within a load.
#[test]
fn pipes_and_wider_columns_survive_kills() {
    let place = Place::new();
    let count = 3_000;
    let row = |n: usize, price: &str| format!("u{},2024-01-{:02}T00:00:{:02}Z,{price}\n", n % 50, n % 28 + 1, n % 60);
    let text = |from: usize, decimals: bool| {
        let price = |n: usize| if decimals { format!("{}.5", n % 9) } else { (n % 9).to_string() };
        let rows: String = (from..from + count).map(|n| row(n, &price(n))).collect();
        format!("user_id,ts,price\n{rows}")
    };
    let mut random = ChaCha8Rng::seed_from_u64(14);
    for round in 0..kills() {
        let _ = std::fs::remove_dir_all(place.path("data"));
        place.write("whole.csv", &text(0, false));
        place.write("decimal.csv", &text(count, true));
        let piped = ["ingest", "-", "--format", "csv", "--into", "data", "--table", "events", "-q"];
        let pipe = |place: &Place| {
            let mut command = command(place, &piped);
            command.stdin(std::fs::File::open(place.path("whole.csv")).unwrap());
            command
        };
        let started = Instant::now();
        assert!(pipe(&place).status().unwrap().success());
        let whole = started.elapsed();
        // A second one is stopped: all of its rows, or none.
        let mut child = pipe(&place).spawn().unwrap();
        std::thread::sleep(whole.mul_f64(random.random_range(0.0..1.1)));
        let _ = child.kill();
        child.wait().unwrap();
        let now = rows(&place);
        assert!(now == count as u64 || now == 2 * count as u64, "round {round}: {now} rows");

        let widened = ["ingest", "decimal.csv", "--into", "data", "--table", "events", "-q"];
        let sum = |place: &Place| {
            let sql = "SELECT sum(price) AS s FROM events";
            place.run(&["-q", "--format", "csv", "-t", "events=data/events", "-c", sql])
        };
        let before = sum(&place);
        stopped(&place, &widened, "-KILL", whole.mul_f64(random.random_range(0.0..1.5)));
        let after = rows(&place);
        assert!(after == now || after == now + count as u64, "round {round}: {after} rows, there were {now}");
        if after == now {
            // As a whole number or as a decimal, whether the files were written anew by then or not.
            let number = |told: &str| told.split_once("s\n").unwrap().1.trim().parse::<f64>().unwrap();
            assert!(sum(&place).starts_with("exit 0") && number(&sum(&place)) == number(&before), "round {round}");
        }
        let told = place.run(&widened);
        assert!(
            told.starts_with("exit 0") || told.contains("was loaded into this table before"),
            "round {round}: {told}"
        );
        assert_eq!(rows(&place), now + count as u64, "round {round}");
        let sound = place.run(&["doctor", "data/events", "--verify"]);
        assert!(sound.starts_with("exit 0"), "round {round}: {sound}");
        // What is left of the pipe's staging goes with the vacuum, after a day; nothing else is left.
        let left = leavings(&place.path("data/events"));
        assert!(left.iter().all(|name| name == "_ingest"), "round {round}: {left:?}");
    }
}

/// A statement's rows are in the table all at once, or not at all; what it had put aside goes with the next one.
#[test]
fn inserts_survive_kills() {
    let place = Place::new();
    let count = 20_000;
    let name = load(&place, 0, 500);
    takes(&place, &["ingest", &name, "--into", "data", "-q"]);
    let insert = format!(
        "INSERT INTO events SELECT concat('i', value % 97) AS user_id, to_timestamp(1704067200 + value) AS ts, 'view' AS event, 1.5 AS price, 'm@x.org' AS mail, concat('i', value) AS key FROM generate_series(1, {count})"
    );
    let args = ["-q", "-w", "data", "--memory", "64MB", "-c", &insert];
    let whole = takes(&place, &args);
    let mut expected = 500 + count;
    assert_eq!(rows(&place), expected);
    let mut random = ChaCha8Rng::seed_from_u64(16);
    for round in 0..kills() {
        stopped(&place, &args, "-KILL", whole.mul_f64(random.random_range(0.0..1.1)));
        let now = rows(&place);
        assert!(now == expected || now == expected + count, "round {round}: {now} rows, there were {expected}");
        assert!(place.run(&args).starts_with("exit 0"), "round {round}");
        expected = now + count;
        assert_eq!(rows(&place), expected, "round {round}");
        assert_eq!(leavings(&place.path("data/events")), [] as [String; 0], "round {round}");
    }
    let sound = place.run(&["doctor", "data/events", "--verify"]);
    assert!(sound.starts_with("exit 0"), "{sound}");
}

/// A file that COPY or `-o` writes is the old one or the new one.
#[test]
fn results_survive_kills() {
    let place = Place::new();
    let name = load(&place, 0, 20_000);
    takes(&place, &["ingest", &name, "--into", "data", "-q"]);
    std::fs::create_dir(place.path("out")).unwrap();
    let rows_in =
        |file: &str| place.run(&["-q", "--format", "csv", "-c", &format!("SELECT count(*) AS n FROM '{file}'")]);
    let mut random = ChaCha8Rng::seed_from_u64(15);
    for file in ["out/a.parquet", "out/a.csv", "out/b.parquet", "out/b.ndjson"] {
        let copy = format!("COPY (SELECT * FROM 'data/events') TO '{file}'");
        let args: Vec<&str> = match file.starts_with("out/a") {
            true => vec!["-q", "-c", &copy],
            false => vec!["-q", "-o", file, "-c", "SELECT * FROM 'data/events'"],
        };
        let whole = takes(&place, &args);
        let new = std::fs::read(place.path(file)).unwrap();
        assert!(rows_in(file).contains("n\n20000\n"), "{file}");
        for round in 0..kills() {
            place.write(file, "old");
            let killed = stopped(&place, &args, "-KILL", whole.mul_f64(random.random_range(0.2..1.05)));
            let now = std::fs::read(place.path(file)).unwrap();
            let is_new = now.len() == new.len() || rows_in(file).contains("n\n20000\n");
            assert!(now == b"old" || is_new, "{file}, round {round}: {} bytes", now.len());
            assert!(killed || is_new, "{file}, round {round}");
            // Nobody can tidy up after a kill.
            for entry in std::fs::read_dir(place.path("out")).unwrap().flatten() {
                let _ = std::fs::remove_dir_all(entry.path()).or_else(|_| std::fs::remove_file(entry.path()));
            }
        }
    }
}

/// A table that is compacted and vacuumed all the time is read as it is: no file that went is asked for twice.
#[test]
fn readers_of_vacuumed_versions_read_the_newest() {
    let place = Place::new();
    let first = load(&place, 0, 400);
    takes(&place, &["ingest", &first, "--into", "data", "-q"]);
    let mut expected = 400;
    for round in 1..=races() {
        let next = load(&place, round, 400);
        let run = |args: &[&str]| assert!(place.run(args).starts_with("exit 0"), "{args:?}");
        std::thread::scope(|scope| {
            let writer = scope.spawn(|| {
                run(&["ingest", &next, "--into", "data", "-q"]);
                run(&["compact", "data/events", "-q"]);
                run(&["vacuum", "data/events", "--older-than", "0", "-q"]);
            });
            while !writer.is_finished() {
                let now = rows(&place);
                assert!(now == expected || now == expected + 400, "round {round}: {now} rows, there were {expected}");
            }
        });
        expected += 400;
        assert_eq!(rows(&place), expected);
    }
}

/// Who asks a command to end finds nothing half-made.
#[test]
fn signals_that_ask_to_end_leave_nothing() {
    let place = Place::new();
    for number in 0..3 {
        let name = load(&place, number, 20_000);
        takes(&place, &["ingest", &name, "--into", "data", "-q"]);
    }
    std::fs::create_dir(place.path("out")).unwrap();
    let copy = "COPY (SELECT a.user_id, b.ts, sha256(a.key || b.key) AS k FROM 'data/events' a JOIN 'data/events' b ON a.user_id = b.user_id) TO 'out/x.csv'";
    let output = "SELECT a.user_id, b.ts, sha256(a.key || b.key) AS k FROM 'data/events' a JOIN 'data/events' b ON a.user_id = b.user_id";
    let compact = ["compact", "data/events", "-q"];
    let mut random = ChaCha8Rng::seed_from_u64(13);
    for signal in ["-TERM", "-HUP", "-QUIT", "-INT"] {
        for args in [&["-q", "-c", copy][..], &["-q", "--format", "csv", "-o", "out/y.csv", "-c", output], &compact] {
            let after = Duration::from_millis(random.random_range(300..900));
            let ended = stopped(&place, args, signal, after);
            if ended {
                let left: Vec<_> =
                    std::fs::read_dir(place.path("out")).unwrap().flatten().map(|e| e.file_name()).collect();
                assert!(left.is_empty(), "{signal} {args:?}: {left:?}");
            }
            assert_eq!(leavings(&place.path("data/events")), [] as [String; 0], "{signal} {args:?}");
            for name in ["out/x.csv", "out/y.csv"] {
                let _ = std::fs::remove_file(place.path(name));
            }
        }
    }
    assert_eq!(rows(&place), 60_000);
}

/// Several loads of one file at once: its rows come in once, and whoever comes too late is told why.
#[test]
fn loads_of_one_file_at_once_land_once() {
    let racers = 6;
    for round in 0..races() {
        let place = Place::new();
        let name = load(&place, 0, 500);
        let running: Vec<_> = (0..racers)
            .map(|_| {
                let mut command = command(&place, &["ingest", &name, "--into", "data", "-q"]);
                command.stderr(Stdio::piped()).spawn().unwrap()
            })
            .collect();
        let mut landed = 0;
        for child in running {
            let output = child.wait_with_output().unwrap();
            let told = String::from_utf8_lossy(&output.stderr).into_owned();
            let refused =
                ["is running", "was loaded into this table before", "were loaded by another ingest meanwhile"];
            match output.status.success() {
                true => landed += 1,
                false => assert!(refused.iter().any(|words| told.contains(words)), "round {round}: {told}"),
            }
        }
        // Success means that the rows came in with this load: who comes too late is told so, and fails.
        assert!(landed == 1 && rows(&place) == 500, "round {round}: {landed} landed");
        assert_eq!((leavings(&place.path("data/events")), orphans(&place)), (vec![], 0), "round {round}");
    }
}

/// Each fsync that fails is told, whichever it is; the rows are there whole or not at all, and the next run completes.
///
/// Where the system has no `strace` to make calls fail, nothing is tried.
#[test]
fn failing_syncs_are_told() {
    if Command::new("strace").arg("-V").stdout(Stdio::null()).status().is_err() {
        return;
    }
    let mut failed = 0;
    for nth in 1..=kills().clamp(3, 8) * 4 {
        let place = Place::new();
        let first = load(&place, 0, 50);
        assert!(place.run(&["ingest", &first, "--into", "data", "-q"]).starts_with("exit 0"));
        let second = load(&place, 1, 50);
        let commands: [(&[&str], u64, u64); 3] = [
            (&["ingest", &second, "--into", "data", "-q"], 50, 100),
            (&["compact", "data/events", "-q"], 100, 100),
            (&["erase", "data/events", "--user", "u000", "-q"], 100, 0),
        ];
        for (args, before, after) in commands {
            let log = place.path("strace.log");
            let mut traced = Command::new("strace");
            traced.arg("-f").arg("-o").arg(&log).args(["-e", "trace=fsync,fdatasync"]);
            traced.args(["-e", &format!("inject=fsync,fdatasync:error=EIO:when={nth}")]);
            let output =
                traced.arg(program()).args(args).current_dir(place.folder()).env("HOME", place.folder()).output();
            let output = output.unwrap();
            let told = String::from_utf8_lossy(&output.stderr).into_owned();
            let injected = std::fs::read_to_string(&log).unwrap().contains("INJECTED");
            assert_eq!(output.status.success(), !injected, "{nth} {args:?}: {told}");
            if injected {
                failed += 1;
                assert!(told.contains("Input/output error") && !told.contains("internal"), "{nth} {args:?}: {told}");
            }
            let now = rows(&place);
            assert!(now == before || now == after || after == 0, "{nth} {args:?}: {now} rows");
            let again = place.run(args);
            assert!(
                again.starts_with("exit 0") || again.contains("was loaded into this table before"),
                "{nth} {args:?}: {again}"
            );
            assert!(after == 0 || rows(&place) == after, "{nth} {args:?}");
        }
    }
    assert!(failed > 6, "{failed}");
}
