//! Damage to what lies on disk: every flipped bit is an error that names the file, or changes nothing.
//!
//! Deals with: data files, log entries, checkpoints and checksums of managed tables; footers that make no sense. The number of flips
//! is small; `TENURE_FLIPS` sets another.

use std::path::{Path, PathBuf};

use parquet::file::metadata::{PageIndexPolicy, ParquetMetaDataReader};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::program::Place;

/// How many flips of each kind.
fn flips() -> usize {
    std::env::var("TENURE_FLIPS").map_or(12, |n| n.parse().unwrap())
}

/// Events of some users in one block of users and times, with text, numbers and NULLs.
pub fn events(rows: usize, from: usize) -> String {
    let mut text = String::from("user_id,ts,event,price,mail,key\n");
    for row in from..from + rows {
        let (user, second) = (row * 7919 % 97, row % 86_400);
        let price = if row % 3 == 0 { String::new() } else { format!("{}.{:02}", row % 50, row % 100) };
        let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
        let event = ["view", "cart", "buy"][row % 3];
        text += &format!(
            "u{user:03},2024-01-{:02}T{hour:02}:{minute:02}:{second:02}Z,{event},{price},m{user}@x.org,k{row}\n",
            row % 28 + 1
        );
    }
    text
}

/// A table of several versions, one of them past a checkpoint where there are many.
fn table(place: &Place, loads: usize) {
    for load in 0..loads {
        place.write(&format!("{load}.csv"), &events(300, load * 300));
        let done = place.run(&["ingest", &format!("{load}.csv"), "--into", "data", "--dedup-key", "key", "-q"]);
        assert!(done.starts_with("exit 0"), "{done}");
    }
}

const QUESTIONS: [&str; 4] = [
    "SELECT count(*), count(price), sum(price), count(DISTINCT mail), min(ts), max(ts), max(key), min(user_id) FROM 'data/events'",
    "SELECT event, count(*) FROM 'data/events' GROUP BY event ORDER BY event",
    "SELECT step, users, round(median_seconds) FROM funnel('data/events', steps => ['view', 'cart', 'buy'], within => INTERVAL '30 days')",
    "SELECT key, price FROM 'data/events' WHERE key = 'k17' OR user_id = 'u005' ORDER BY key",
];

/// What the questions answer, with the exit code.
fn asked(place: &Place) -> (bool, String) {
    let mut args = vec!["--format", "csv", "--threads", "2"];
    QUESTIONS.iter().for_each(|sql| args.extend(["-c", sql]));
    let output = place.tenure().args(args).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    (output.status.success(), text)
}

fn files(folder: &Path, wanted: impl Fn(&str) -> bool) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().path());
    let mut files: Vec<PathBuf> =
        entries.filter(|p| p.is_file() && wanted(p.file_name().unwrap().to_str().unwrap())).collect();
    files.sort();
    files
}

/// Flips bits of files one at a time, and asks: the answers are as before, or there is one error and it names the file.
/// Gives how many were errors.
fn flip(place: &Place, files: &[PathBuf], count: usize, seed: u64, names: impl Fn(&str, &Path) -> bool) -> usize {
    let (sound, right) = asked(place);
    assert!(sound, "{right}");
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let mut errors = 0;
    for _ in 0..count {
        let file = &files[random.random_range(0..files.len())];
        let whole = std::fs::read(file).unwrap();
        let at = random.random_range(0..whole.len() * 8);
        let mut bytes = whole.clone();
        bytes[at / 8] ^= 1 << (at % 8);
        let modified = std::fs::metadata(file).unwrap().modified().unwrap();
        std::fs::write(file, &bytes).unwrap();
        std::fs::File::options().append(true).open(file).unwrap().set_modified(modified).unwrap();
        let (sound, answer) = asked(place);
        let shown = format!("bit {at} of {}: {answer}", file.display());
        if sound {
            assert_eq!(answer, right, "{shown}");
        } else {
            errors += 1;
            assert!(names(&answer, file), "{shown}");
            assert!(!answer.contains("internal error") && !answer.contains("Internal"), "{shown}");
        }
        std::fs::write(file, &whole).unwrap();
        std::fs::File::options().append(true).open(file).unwrap().set_modified(modified).unwrap();
    }
    assert_eq!(asked(place), (true, right));
    errors
}

fn name(file: &Path) -> &str {
    file.file_name().unwrap().to_str().unwrap()
}

#[test]
fn flips_in_data_files_are_errors_that_name_them() {
    let place = Place::new();
    table(&place, 2);
    let files = files(&place.path("data/events"), |name| name.ends_with(".parquet"));
    assert_eq!(files.len(), 2);
    let errors = flip(&place, &files, flips() * 2, 1, |answer, file| answer.contains(name(file)));
    // Bloom filters are hardly read, and some pages are left out.
    assert!(errors * 2 > flips() * 2, "{errors}");
}

#[test]
fn flips_in_the_log_are_errors_that_name_the_entry() {
    let place = Place::new();
    table(&place, 12);
    let log = place.path("data/events/_delta_log");
    let all = files(&log, |name| !name.starts_with('.'));
    let kinds = |end: &str| all.iter().filter(|p| name(p).ends_with(end)).count();
    assert_eq!((kinds(".json"), kinds(".crc"), kinds(".checkpoint.parquet")), (12, 12, 1));
    let named = |answer: &str, file: &Path| {
        // An entry before the checkpoint is told with it.
        answer.contains(name(file)) || answer.contains(&name(file)[..20.min(name(file).len())])
    };
    flip(&place, &files(&log, |name| name.ends_with(".json")), flips(), 2, named);
    flip(&place, &files(&log, |name| name.ends_with(".crc")), flips() / 2, 3, named);
    flip(&place, &files(&log, |name| name.ends_with(".checkpoint.parquet")), flips() / 2, 4, named);
    flip(&place, &files(&log, |name| name == "_last_checkpoint"), flips() / 2, 5, |answer, _| {
        answer.contains("_last_checkpoint") || answer.contains("_delta_log")
    });
    // The history reads entries that no question needs.
    let file = log.join(format!("{:020}.json", 3));
    let mut bytes = std::fs::read(&file).unwrap();
    let at = bytes.windows(9).position(|w| w == b"timestamp").unwrap() + 14;
    bytes[at] ^= 1;
    std::fs::write(&file, bytes).unwrap();
    let told = place.run(&["-c", "SELECT count(*) FROM history('data/events')"]);
    assert!(told.contains("3.json' is damaged: it does not match its checksum"), "{told}");
}

#[test]
fn an_entry_that_is_lost_is_told() {
    for (loads, lost) in [(3, 2), (10, 9)] {
        let place = Place::new();
        table(&place, loads);
        let log = place.path("data/events/_delta_log");
        std::fs::remove_file(log.join(format!("{lost:020}.json"))).unwrap();
        let (sound, told) = asked(&place);
        assert!(!sound && told.contains(&format!("{lost:020}.json' is missing")), "{told}");
        // Also where only the checkpoint or the note of it tells.
        if loads == 10 {
            std::fs::remove_file(log.join(format!("{lost:020}.crc"))).unwrap();
            let (sound, told) = asked(&place);
            assert!(!sound && told.contains("is missing"), "{told}");
            std::fs::remove_file(log.join(format!("{lost:020}.checkpoint.parquet"))).unwrap();
            let (sound, told) = asked(&place);
            assert!(!sound, "{told}");
        }
    }
    // Other programs write no checksums.
    let place = Place::new();
    table(&place, 3);
    let right = asked(&place);
    for file in files(&place.path("data/events/_delta_log"), |name| name.ends_with(".crc")) {
        std::fs::remove_file(file).unwrap();
    }
    assert_eq!(asked(&place), right);
    place.write("more.csv", &events(10, 5_000));
    assert!(place.run(&["ingest", "more.csv", "--into", "data", "-q"]).starts_with("exit 0"));
}

/// Damage is not carried into new files, and `doctor` lists it.
#[test]
fn damage_stops_writers_and_the_doctor_lists_it() {
    let place = Place::new();
    table(&place, 2);
    let sound = place.run(&["doctor", "data/events", "--verify"]);
    assert!(
        sound.starts_with("exit 0") && sound.contains("600 rows") && sound.contains("every byte was read"),
        "{sound}"
    );
    let file = files(&place.path("data/events"), |name| name.ends_with(".parquet"))[0].clone();
    let mut bytes = std::fs::read(&file).unwrap();
    bytes[100] ^= 4;
    std::fs::write(&file, &bytes).unwrap();
    for command in [&["compact", "data/events"][..], &["erase", "data/events", "--user", "u001"]] {
        let told = place.run(command);
        assert!(told.starts_with("exit 1") && told.contains(name(&file)) && told.contains("is damaged"), "{told}");
    }
    let told = place.run(&["doctor", "data/events", "--verify"]);
    assert!(told.starts_with("exit 1") && told.contains("is damaged in 1 place"), "{told}");
    assert!(
        told.contains(&format!("{}\tuser_id\tthe page at byte 4 does not match its checksum", name(&file))),
        "{told}"
    );
    // Without reading everything the sizes are looked at.
    assert!(place.run(&["doctor", "data/events"]).starts_with("exit 0"));
    std::fs::write(&file, &bytes[..bytes.len() - 1]).unwrap();
    let told = place.run(&["doctor", "data/events"]);
    assert!(told.starts_with("exit 1") && told.contains("the log says"), "{told}");
    std::fs::remove_file(&file).unwrap();
    assert!(place.run(&["doctor", "data/events"]).contains("No such file"));
    // As a query meets a file that was vacuumed while it runs.
    let (sound, told) = asked(&place);
    assert!(!sound && told.contains(&format!("{}' is no longer there", name(&file))), "{told}");
}

/// Footers that make no sense are errors that name the file, in plain Parquet as well.
#[test]
fn hostile_footers_are_errors() {
    let place = Place::new();
    table(&place, 1);
    let file = files(&place.path("data/events"), |name| name.ends_with(".parquet"))[0].clone();
    let whole = std::fs::read(&file).unwrap();
    let end = whole.len() - 8;
    let length = u32::from_le_bytes(whole[end..end + 4].try_into().unwrap()) as usize;
    let mut random = ChaCha8Rng::seed_from_u64(6);
    for round in 0..flips() * 3 {
        let mut bytes = whole.clone();
        match round % 4 {
            0 => bytes[end - 1 - random.random_range(0..length)] = random.random(),
            1 => {
                let from = end - 1 - random.random_range(0..length.min(200));
                bytes[from..end].iter_mut().for_each(|byte| *byte = random.random());
            }
            2 => bytes[end..end + 4].copy_from_slice(&random.random::<u32>().to_le_bytes()),
            _ => {
                let from = end - random.random_range(1..length);
                bytes[from..(from + 20).min(end)].fill(0xff);
            }
        }
        std::fs::write(place.path("h.parquet"), &bytes).unwrap();
        let output = place.tenure().args(["--format", "csv", "-c", "SELECT * FROM 'h.parquet'"]).output().unwrap();
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(!told.to_lowercase().contains("internal error") && !told.contains("/src/"), "round {round}: {told}");
        assert!(output.status.success() || told.contains("h.parquet"), "round {round}: {told}");
        assert!(matches!(output.status.code(), Some(0 | 1)), "round {round}: {told}");
    }
}

/// Offsets in a Parquet file of a byte in the middle of each page, which is surely behind its header.
fn in_pages(file: &Path) -> Vec<usize> {
    let reader = ParquetMetaDataReader::new().with_page_index_policy(PageIndexPolicy::Required);
    let footer = reader.parse_and_finish(&std::fs::File::open(file).unwrap()).unwrap();
    let pages = footer.offset_index().unwrap().iter().flatten().flat_map(|index| index.page_locations());
    pages.map(|page| (page.offset + i64::from(page.compressed_page_size)) as usize - 1).collect()
}

/// Whatever writes Parquet gives its pages checksums, and whatever reads it looks at them.
#[test]
fn results_in_parquet_have_checksums() {
    let place = Place::new();
    let sql = "SELECT value AS user_id, concat('name ', value % 7) AS name, value / 3.0 AS price, [value, value % 5] AS list FROM generate_series(1, 5000)";
    let copy = |target: &str| format!("COPY (SELECT *, user_id % 2 AS half FROM ({sql})) TO {target}");
    let written: [(&str, Vec<&str>); 7] = [
        ("o.parquet", vec!["-o", "o.parquet", "-c", sql]),
        ("a.parquet", vec!["-c", "copy:'a.parquet'"]),
        (
            "b.parquet",
            vec!["-c", "copy:'b.parquet' OPTIONS ('format.compression' 'snappy', 'format.max_row_group_size' '1000')"],
        ),
        (
            "c.parquet",
            vec![
                "-c",
                "copy:'c.parquet' OPTIONS ('format.statistics_enabled' 'none', 'format.bloom_filter_on_write' 'true')",
            ],
        ),
        (
            "d.parquet",
            vec!["-c", "copy:'d.parquet' OPTIONS ('format.writer_version' '2.0', 'format.dictionary_enabled' 'false')"],
        ),
        ("parts", vec!["-c", "copy:'parts' STORED AS PARQUET PARTITIONED BY (half)"]),
        ("shop/events.parquet", vec!["generate", "--events", "3000", "--users", "50", "-o", "shop"]),
    ];
    for (name, args) in written {
        let args: Vec<String> =
            args.iter().map(|arg| arg.strip_prefix("copy:").map_or(arg.to_string(), &copy)).collect();
        let args: Vec<&str> = args.iter().map(String::as_str).chain(["-q"]).collect();
        let done = place.run(&args);
        assert!(done.starts_with("exit 0"), "{args:?}: {done}");
        let mut written = vec![place.path(name)];
        while let Some(at) = written.iter().position(|path| path.is_dir()) {
            let folder = written.swap_remove(at);
            written.extend(std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()));
        }
        let all = format!("SELECT * FROM '{name}'");
        // Files come in any order.
        let rows = || {
            let told = place.run(&["-q", "--format", "csv", "-c", &all]);
            let mut rows: Vec<String> = told.lines().map(str::to_string).collect();
            rows.sort();
            rows
        };
        let right = rows();
        assert!(right.contains(&"exit 0".to_string()) && right.len() > 3_000, "{name}");
        for file in written {
            let whole = std::fs::read(&file).unwrap();
            let pages = in_pages(&file);
            assert!(pages.len() >= 4, "{name}");
            for at in pages.iter().step_by(pages.len().div_ceil(flips())) {
                let mut bytes = whole.clone();
                bytes[*at] ^= 1;
                std::fs::write(&file, &bytes).unwrap();
                let told = place.run(&["-q", "--format", "csv", "-c", &all]);
                let named = file.file_name().unwrap().to_str().unwrap();
                assert!(
                    told.starts_with("exit 1") && told.contains(named) && told.contains("checksum"),
                    "{name}: {told}"
                );
            }
            std::fs::write(&file, &whole).unwrap();
        }
        assert!(rows() == right, "{name}");
    }
}
