//! States that no command leaves on purpose: lost, cut, exchanged and foreign files of a managed table.
//!
//! Each of them is an error that names the file, or the right answer; never another number. `tenure doctor --verify` finds what is wrong.

use std::path::{Path, PathBuf};

use crate::damage::events;
use crate::program::Place;

/// Eleven loads and a compaction in between: entries, checksums, a checkpoint, files that were superseded.
fn table(place: &Place) {
    for load in 0..12 {
        place.write(&format!("{load}.csv"), &events(100, load * 100));
        run(place, &["ingest", &format!("{load}.csv"), "--into", "data", "-q"]);
        if load == 5 {
            run(place, &["compact", "data/events", "-q"]);
        }
    }
    place.write("other.csv", &events(100, 50_000));
    run(place, &["ingest", "other.csv", "--into", "data", "--table", "other", "-q"]);
}

fn run(place: &Place, args: &[&str]) {
    let done = place.run(args);
    assert!(done.starts_with("exit 0"), "{args:?}: {done}");
}

const QUESTION: &str = "SELECT count(*) AS n, sum(price) AS price, count(DISTINCT user_id) AS users, min(ts) AS first, max(key) AS last FROM 'data/events'";

fn asked(place: &Place) -> String {
    place.run(&["-q", "--format", "csv", "-c", QUESTION])
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        match path.is_dir() {
            true => copy(&path, &target),
            false => _ = std::fs::copy(&path, &target).unwrap(),
        }
    }
}

fn log(place: &Place, name: &str) -> PathBuf {
    place.path("data/events/_delta_log").join(name)
}

fn numbered(place: &Place, version: u64, ending: &str) -> PathBuf {
    log(place, &format!("{version:020}.{ending}"))
}

/// The data files that the newest version has.
fn live(place: &Place) -> Vec<PathBuf> {
    let mut live = std::collections::BTreeSet::new();
    for version in 0..13 {
        let Ok(text) = std::fs::read_to_string(numbered(place, version, "json")) else { continue };
        for line in text.lines() {
            let action: serde_json::Value = serde_json::from_str(line).unwrap();
            if let Some(path) = action["add"]["path"].as_str() {
                live.insert(path.to_string());
            }
            if let Some(path) = action["remove"]["path"].as_str() {
                live.remove(path);
            }
        }
    }
    live.into_iter().map(|name| place.path("data/events").join(name)).collect()
}

/// What a state may be answered with.
enum Right {
    /// The answer as before, and the doctor has nothing to tell.
    Same,
    /// The answer as before, though the doctor tells of it.
    SameButIll,
    /// An error that names this.
    Error(&'static str),
}

/// Brings a table into a state.
type Bring = fn(&Place);

fn cut(path: &Path, length: u64) {
    let file = std::fs::File::options().write(true).open(path).unwrap();
    file.set_len(length).unwrap();
}

fn states() -> Vec<(&'static str, Bring, Right)> {
    use Right::{Error, Same, SameButIll};
    vec![
        ("as it is", |_| {}, Same),
        (
            "the log is empty",
            |p| {
                std::fs::remove_dir_all(p.path("data/events/_delta_log")).unwrap();
                std::fs::create_dir(p.path("data/events/_delta_log")).unwrap();
            },
            Error("data/events' is not a table: its first load has not been committed, or its log was lost"),
        ),
        (
            "only checksums are left of the log",
            |p| {
                for entry in std::fs::read_dir(p.path("data/events/_delta_log")).unwrap() {
                    let path = entry.unwrap().path();
                    if path.extension().is_none_or(|e| e != "crc") {
                        std::fs::remove_file(path).unwrap();
                    }
                }
            },
            Error("data/events' is a managed table, and its log"),
        ),
        ("an entry of 0 bytes that a checkpoint stands for", |p| cut(&numbered(p, 3, "json"), 0), SameButIll),
        ("the newest entry of 0 bytes", |p| cut(&numbered(p, 12, "json"), 0), Error("12.json")),
        (
            "the newest entry of 0 bytes, before its checksum was written",
            |p| {
                std::fs::remove_file(numbered(p, 12, "crc")).unwrap();
                cut(&numbered(p, 12, "json"), 0);
            },
            Error("12.json"),
        ),
        ("a version more, of 0 bytes", |p| std::fs::write(numbered(p, 13, "json"), "").unwrap(), Error("13.json")),
        (
            "the newest entry cut, before its checksum was written",
            |p| {
                std::fs::remove_file(numbered(p, 12, "crc")).unwrap();
                let path = numbered(p, 12, "json");
                cut(&path, std::fs::metadata(&path).unwrap().len() - 40);
            },
            Error("12.json"),
        ),
        (
            "the checkpoint is cut",
            |p| {
                let path = numbered(p, 9, "checkpoint.parquet");
                cut(&path, std::fs::metadata(&path).unwrap().len() / 2);
            },
            Error("9.checkpoint.parquet"),
        ),
        ("the checkpoint is empty", |p| cut(&numbered(p, 9, "checkpoint.parquet"), 0), Error("9.checkpoint.parquet")),
        ("the note of the checkpoint is cut", |p| cut(&log(p, "_last_checkpoint"), 5), SameButIll),
        ("the note of the checkpoint is gone", |p| std::fs::remove_file(log(p, "_last_checkpoint")).unwrap(), Same),
        (
            "the note points to an entry without a checkpoint",
            |p| {
                std::fs::write(log(p, "_last_checkpoint"), r#"{"version":4,"size":3}"#).unwrap();
            },
            SameButIll,
        ),
        (
            "the note points nowhere",
            |p| {
                std::fs::write(log(p, "_last_checkpoint"), r#"{"version":40,"size":3}"#).unwrap();
            },
            Error("_last_checkpoint"),
        ),
        (
            "the checkpoint is gone",
            |p| std::fs::remove_file(numbered(p, 9, "checkpoint.parquet")).unwrap(),
            Error("_last_checkpoint' tells of a checkpoint of version 9"),
        ),
        (
            "the checksum of another version",
            |p| {
                std::fs::copy(numbered(p, 11, "crc"), numbered(p, 12, "crc")).unwrap();
            },
            Error("12."),
        ),
        (
            "the checksum of another version, of an entry that the checkpoint stands for",
            |p| {
                std::fs::copy(numbered(p, 1, "crc"), numbered(p, 2, "crc")).unwrap();
            },
            SameButIll,
        ),
        (
            "the entry of another version",
            |p| {
                std::fs::copy(numbered(p, 11, "json"), numbered(p, 12, "json")).unwrap();
            },
            Error("12.json"),
        ),
        (
            "two entries exchanged, with their checksums",
            |p| {
                for ending in ["json", "crc"] {
                    let (a, b) = (numbered(p, 10, ending), numbered(p, 11, ending));
                    let first = std::fs::read(&a).unwrap();
                    std::fs::copy(&b, &a).unwrap();
                    std::fs::write(&b, first).unwrap();
                }
            },
            Error("_delta_log"),
        ),
        (
            "a number with other zeros",
            |p| {
                std::fs::copy(numbered(p, 11, "json"), log(p, "11.json")).unwrap();
            },
            Same,
        ),
        (
            "an entry with fields that nobody knows",
            |p| {
                let path = numbered(p, 12, "json");
                let text = std::fs::read_to_string(&path).unwrap();
                std::fs::write(&path, format!("{text}{}\n", r#"{"fromTheFuture":{"a":1}}"#)).unwrap();
                std::fs::remove_file(numbered(p, 12, "crc")).unwrap();
            },
            Same,
        ),
        (
            "the same with a checksum",
            |p| {
                let path = numbered(p, 12, "json");
                let text = std::fs::read_to_string(&path).unwrap();
                std::fs::write(&path, format!("{text}{}\n", r#"{"fromTheFuture":{"a":1}}"#)).unwrap();
            },
            Error("12.json"),
        ),
        ("an entry in the midst is gone", |p| std::fs::remove_file(numbered(p, 11, "json")).unwrap(), Error("11.json")),
        ("a data file of 0 bytes", |p| cut(&live(p)[0], 0), Error(".parquet' is damaged")),
        (
            "a data file cut to its footer",
            |p| {
                let path = &live(p)[0];
                let bytes = std::fs::read(path).unwrap();
                std::fs::write(path, &bytes[bytes.len() / 2..]).unwrap();
            },
            Error(".parquet' is damaged"),
        ),
        (
            "a data file that lost its last byte",
            |p| {
                let path = &live(p)[0];
                cut(path, std::fs::metadata(path).unwrap().len() - 1);
            },
            Error(".parquet' is damaged"),
        ),
        (
            "a data file with a byte more",
            |p| {
                let path = &live(p)[0];
                let mut bytes = std::fs::read(path).unwrap();
                bytes.push(0);
                std::fs::write(path, bytes).unwrap();
            },
            Error(".parquet' is damaged"),
        ),
        ("a data file is gone", |p| std::fs::remove_file(&live(p)[0]).unwrap(), Error(".parquet' is no longer there")),
        (
            "a data file is a folder",
            |p| {
                std::fs::remove_file(&live(p)[0]).unwrap();
                std::fs::create_dir(&live(p)[0]).unwrap();
            },
            Error(".parquet'"),
        ),
        (
            "two data files exchanged",
            |p| {
                let files = live(p);
                let first = std::fs::read(&files[0]).unwrap();
                std::fs::copy(&files[1], &files[0]).unwrap();
                std::fs::write(&files[1], first).unwrap();
            },
            Error(".parquet' is damaged"),
        ),
        (
            "a data file of another table",
            |p| {
                let mut other = std::fs::read_dir(p.path("data/other")).unwrap().map(|e| e.unwrap().path());
                let other = other.find(|path| path.extension().is_some_and(|e| e == "parquet")).unwrap();
                std::fs::copy(other, &live(p)[0]).unwrap();
            },
            Error(".parquet' is damaged"),
        ),
        (
            "a data file by way of a link",
            |p| {
                let path = &live(p)[0];
                std::fs::rename(path, p.path("elsewhere")).unwrap();
                std::os::unix::fs::symlink(p.path("elsewhere"), path).unwrap();
            },
            Same,
        ),
        (
            "a data file by way of a link to nowhere",
            |p| {
                let path = &live(p)[0];
                std::fs::remove_file(path).unwrap();
                std::os::unix::fs::symlink(p.path("nowhere"), path).unwrap();
            },
            Error(".parquet' is no longer there"),
        ),
        (
            "a file that no version names",
            |p| {
                std::fs::copy(&live(p)[0], p.path("data/events/left.parquet")).unwrap();
            },
            Same,
        ),
        (
            "a folder of a load that was killed at once",
            |p| {
                std::fs::create_dir_all(p.path("data/events/_ingest/0123")).unwrap();
            },
            Same,
        ),
        (
            "a record of a load is cut",
            |p| {
                let loads = std::fs::read_dir(p.path("data/events/_loads")).unwrap();
                cut(&loads.map(|e| e.unwrap().path()).next().unwrap(), 10);
            },
            SameButIll,
        ),
    ]
}

#[test]
fn each_state_is_told_or_changes_nothing() {
    let made = Place::new();
    table(&made);
    let right = asked(&made);
    assert!(right.starts_with("exit 0") && right.contains("\n1200,"), "{right}");
    let mut faults = Vec::new();
    for (name, bring, wanted) in states() {
        let place = Place::new();
        copy(&made.path("data"), &place.path("data"));
        bring(&place);
        let found = asked(&place);
        let doctor = place.run(&["doctor", "data/events", "--verify"]);
        let sound = doctor.starts_with("exit 0");
        let fine = match wanted {
            Right::Same => found == right && sound,
            Right::SameButIll => found == right && !sound,
            Right::Error(named) => found.starts_with("exit 1") && found.contains(named) && !sound,
        };
        let clear = |told: &str| !told.to_lowercase().contains("internal") && !told.contains("panic");
        if !fine || !clear(&found) || !clear(&doctor) {
            faults.push(format!("## {name}\n{found}\ndoctor: {doctor}"));
        }
        // Whoever writes says so as well, or goes on from what is right.
        place.write("next.csv", &events(10, 90_000));
        let next = place.run(&["ingest", "next.csv", "--into", "data", "-q"]);
        let after = asked(&place);
        let added = after.contains("\n1210,");
        if !(clear(&next) && (after == found || next.starts_with("exit 0") && (added || found != right))) {
            faults.push(format!("## {name}, and a load\n{next}\n{after}"));
        }
    }
    assert!(faults.is_empty(), "{} states\n{}", faults.len(), faults.join("\n"));
}
