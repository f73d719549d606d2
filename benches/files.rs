//! CSV and NDJSON as tables of a query, beside DataFusion's own readers over the same file. `cargo bench --bench files [-- filter]`.
//!
//! `TENURE_BENCH_MB` is the size of each file (200; 1000 for the figures that are quoted). Each question forces the decoding of what it
//! names: every column, two of eight, none. The two engines run in turn, and the table at the end gives the median ratios.
//! Does not deal with: Parquet (`end_to_end`).

use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use datafusion::prelude::{CsvReadOptions, JsonReadOptions, SessionConfig, SessionContext};
use futures::TryStreamExt;
use tenure::engine::{Engine, Params, Settings};
use tokio::runtime::Runtime;

/// As in the program.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const QUESTIONS: [(&str, &str); 3] = [
    (
        "all columns",
        "SELECT max(user_id), max(ts), max(event), max(price), max(country), max(page), max(session), max(note) FROM t",
    ),
    ("two columns", "SELECT event, sum(price) FROM t GROUP BY event"),
    ("no column", "SELECT count(*) FROM t"),
];

fn megabytes() -> usize {
    std::env::var("TENURE_BENCH_MB").ok().and_then(|n| n.parse().ok()).unwrap_or(200)
}

/// A row of both formats: numbers, times, names that repeat, texts that do not, every tenth with quotes and a line end.
fn row(n: usize, csv: bool) -> String {
    let (user, session) = (n.wrapping_mul(7919) % 40_000, n / 9);
    let (hour, minute, second) = (n / 3600 % 24, n / 60 % 60, n % 60);
    let ts = format!("2024-05-{:02} {hour:02}:{minute:02}:{second:02}", 1 + n / 86_400 % 28);
    let event = ["view_item", "search", "add_to_cart", "purchase"][n % 4];
    let price = format!("{}.{:02}", n % 500, n % 100);
    let country = ["DE", "FR", "US", "BR", "JP"][n % 5];
    match csv {
        true => {
            let note =
                if n.is_multiple_of(10) { format!("\"said \"\"yes\"\",\nthen {n}\"") } else { format!("note {n}") };
            format!("{user},{ts},{event},{price},{country},/p/{},{session},{note}\n", n % 1000)
        }
        false => {
            let note = if n.is_multiple_of(10) { format!("said \\\"yes\\\",\\nthen {n}") } else { format!("note {n}") };
            format!(
                "{{\"user_id\":{user},\"ts\":\"{ts}\",\"event\":\"{event}\",\"price\":{price},\"country\":\"{country}\",\"page\":\"/p/{}\",\"session\":{session},\"note\":\"{note}\"}}\n",
                n % 1000
            )
        }
    }
}

fn file(folder: &Path, name: &str, csv: bool) -> PathBuf {
    let path = folder.join(format!("{}-{name}", megabytes()));
    if !path.exists() {
        let aside = folder.join(format!("{name}.part"));
        let mut out = BufWriter::new(std::fs::File::create(&aside).unwrap());
        let mut written = 0;
        if csv {
            out.write_all(b"user_id,ts,event,price,country,page,session,note\n").unwrap();
        }
        for n in 0.. {
            let row = row(n, csv);
            out.write_all(row.as_bytes()).unwrap();
            written += row.len();
            if written >= megabytes() << 20 {
                break;
            }
        }
        out.flush().unwrap();
        std::fs::rename(aside, &path).unwrap();
    }
    path
}

fn median(mut times: Vec<Duration>) -> f64 {
    times.sort();
    times[times.len() / 2].as_secs_f64()
}

fn main() {
    let wanted: Vec<String> = std::env::args().skip(1).filter(|arg| !arg.starts_with("--")).collect();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/bench-data");
    std::fs::create_dir_all(&folder).unwrap();
    let runtime = Runtime::new().unwrap();
    println!("{:8} {:12} {:>9} {:>11} {:>6}", "file", "question", "tenure s", "DataFusion s", "ratio");
    for (name, csv) in [("x.csv", true), ("x.ndjson", false)] {
        let path = file(&folder, name, csv);
        let location = path.display().to_string();
        let settings = Settings {
            workspace: None,
            tables: vec![("t".into(), location.clone())],
            threads: Some(2),
            ..Settings::default()
        };
        let engine = runtime.block_on(Engine::open(&settings)).unwrap();
        let plain = SessionContext::new_with_config(SessionConfig::new().with_target_partitions(2));
        runtime.block_on(async {
            match csv {
                // Without this it cannot read line ends in quotes at all once a file is cut.
                true => plain.register_csv("t", &location, CsvReadOptions::new().newlines_in_values(true)).await,
                false => {
                    plain.register_json("t", &location, JsonReadOptions::default().file_extension(".ndjson")).await
                }
            }
            .unwrap();
        });
        for (question, sql) in QUESTIONS {
            let label = format!("{name} {question}");
            if !wanted.is_empty() && !wanted.iter().any(|part| label.contains(part.as_str())) {
                continue;
            }
            let (mut ours, mut theirs) = (Vec::new(), Vec::new());
            for _ in 0..5 {
                let begun = Instant::now();
                let answer = runtime.block_on(async {
                    engine
                        .run(sql, &Params::new())
                        .await?
                        .stream
                        .try_collect::<Vec<_>>()
                        .await
                        .map_err(tenure::error::Error::from)
                });
                ours.push(begun.elapsed());
                let begun = Instant::now();
                let other = runtime.block_on(async { plain.sql(sql).await?.collect().await });
                theirs.push(begun.elapsed());
                let (ours, theirs): (usize, usize) = (
                    answer.unwrap().iter().map(|b| b.num_rows()).sum(),
                    other.unwrap().iter().map(|b| b.num_rows()).sum(),
                );
                assert_eq!(ours, theirs, "{label}");
            }
            let (ours, theirs) = (median(ours), median(theirs));
            println!("{name:8} {question:12} {ours:9.3} {theirs:11.3} {:6.2}", theirs / ours);
        }
    }
}
