//! SQL over generated Parquet, as a user types it. `cargo bench --bench end_to_end [-- filter]`.
//!
//! Two million events of 40,000 users (heavy tail) in time order, in user order, and appended day by day to files in user
//! order that share their users (adversarial: all of them are merged), users as BIGINT and as VARCHAR. Beside
//! each query its yardsticks run in turn with it, and the table at the end gives the median ratios: of a machine that does
//! other things too, these are what can be quoted. `scan`: reading the columns that the query needs; `group`: a count for
//! each user, the least that a hash aggregation costs.
//! The files are made once, in `bench-data` of the target folder, and read from the system's cache.
//! Does not deal with: the functions alone (`functions`), or other engines (`peers`).

use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use criterion::{Criterion, SamplingMode, Throughput};
use futures::TryStreamExt;
use tenure::engine::{Engine, Params, Settings};
use tenure::sample::{GenerateOptions, Order, generate};
use tokio::runtime::Runtime;

/// As in the program.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

struct Query {
    name: &'static str,
    sql: &'static str,
    /// A query that reads the same columns and does next to nothing. Conditions keep it from being answered by statistics.
    scan: &'static str,
}

const TIMES: &str = "SELECT count(*) FILTER (WHERE ts > '2025-03-01'), max(user_id) FROM events";
const EVENTS: &str = "SELECT count(*) FILTER (WHERE event = 'login'), max(user_id), max(ts) FROM events";
const COUNTRIES: &str =
    "SELECT count(*) FILTER (WHERE event = 'login' OR country = 'DE'), max(user_id), max(ts) FROM events";
const GROUP: &str = "SELECT max(n) FROM (SELECT user_id, count(*) AS n FROM events GROUP BY user_id)";

const QUERIES: [Query; 18] = [
    // Few of the rows satisfy a step: the scan, the conditions and the hash table are most of it.
    Query {
        name: "funnel",
        sql: "SELECT * FROM funnel(events, steps => ['view_item', 'add_to_cart', 'purchase'], within => INTERVAL '7 days')",
        scan: EVENTS,
    },
    // A kept value with every logged event, from a dictionary.
    Query {
        name: "funnel_by_country",
        sql: "SELECT * FROM funnel(events, steps => ['view_item', 'add_to_cart', 'purchase'], within => INTERVAL '7 days', \
              by => country)",
        scan: COUNTRIES,
    },
    // Adversarial: every event satisfies every step, so all are logged, sorted and matched, and no chain is spared.
    Query {
        name: "funnel_of_everything",
        sql: "SELECT * FROM funnel(events, steps => [event <> '', event <> '', event <> '', event <> '', event = 'nothing'], \
              within => INTERVAL '7 days')",
        scan: EVENTS,
    },
    // Options that each need more than the one pass: limits between steps, an exclusion, a step to skip, the countries of all
    // events of the chain, and a funnel for each week.
    Query {
        name: "funnel_of_all_options",
        sql: "SELECT * FROM funnel(events, steps => ['view_item', 'add_to_cart', 'begin_checkout', 'purchase'], \
              within => INTERVAL '7 days', window_end => 'exclusive', step_within => [NULL, NULL, INTERVAL '1 day'], \
              exclude => {'when': 'support_ticket', 'after': 1, 'before': 4}, optional => [2], chain => 'earliest_start', \
              period => 'week', tz => 'Europe/Berlin', by => country, by_touch => 'all')",
        scan: COUNTRIES,
    },
    // A row a user, sorted, with times and values of the event.
    Query {
        name: "funnel_users",
        sql: "SELECT * FROM funnel_users(events, steps => ['view_item', 'add_to_cart', 'purchase'], \
              within => INTERVAL '7 days', dropped_after => 1, columns => [country])",
        scan: COUNTRIES,
    },
    // 31 cells for each of 180 cohorts; a return is logged for each active day.
    Query { name: "retention_day", sql: "SELECT * FROM retention(events, unit => 'day', periods => 30)", scan: TIMES },
    Query {
        name: "retention_week",
        sql: "SELECT * FROM retention(events, unit => 'week', periods => 12)",
        scan: TIMES,
    },
    // Adversarial: a zone whose clocks change within the data.
    Query {
        name: "retention_day_zone",
        sql: "SELECT * FROM retention(events, unit => 'day', periods => 30, tz => 'Europe/Berlin')",
        scan: TIMES,
    },
    Query {
        name: "retention_curve",
        sql: "SELECT * FROM retention_curve(events, start => 'signup', unit => 'week', periods => 12)",
        scan: EVENTS,
    },
    // A period is logged for each active week of a user; then users are counted.
    Query { name: "lifecycle_week", sql: "SELECT * FROM lifecycle(events, unit => 'week')", scan: TIMES },
    Query {
        name: "lifecycle_day_by_country",
        sql: "SELECT * FROM lifecycle(events, unit => 'day', by => country)",
        scan: COUNTRIES,
    },
    // Days of activity, a BG/NBD fit over all users, a score and its reasons for each.
    Query {
        name: "churn_scores",
        sql: "SELECT * FROM churn_scores(events, horizon => INTERVAL '30 days')",
        scan: EVENTS,
    },
    // An interval for nearly every event, and five percentiles of them all.
    Query { name: "intervals", sql: "SELECT * FROM intervals(events, from => event <> '')", scan: EVENTS },
    // A sum for each user, and all of them in order.
    Query {
        name: "pareto",
        sql: "SELECT * FROM pareto(events, value => price, active => 'purchase')",
        scan: "SELECT count(*) FILTER (WHERE event = 'login' OR price > 1000000), max(user_id) FROM events",
    },
    // A number and a yes or no of each user, then means and variances over exact sums.
    Query {
        name: "compare",
        sql: "SELECT * FROM compare(events, segment => country = 'DE', measures => {'bought': 'purchase', 'events': count(*)})",
        scan: COUNTRIES,
    },
    // Stored days in place of the events, and the relation over the events as the yardstick: what storing states is for.
    Query {
        name: "mau_from_states",
        sql: "SELECT day, users_count(users), users_count(users_merge(users) OVER (ORDER BY day RANGE BETWEEN \
              INTERVAL '29 days' PRECEDING AND CURRENT ROW)) AS mau FROM daily",
        scan: "SELECT date, mau FROM engagement(events)",
    },
    Query {
        name: "retention_month_from_states",
        sql: "WITH months AS (SELECT date_trunc('month', day) AS month, users_merge(users) AS users FROM daily GROUP BY month) \
              SELECT a.month, b.month, users_count(users_and(a.users, b.users)) FROM months a JOIN months b ON b.month >= a.month",
        scan: "SELECT * FROM retention(events, unit => 'month', birth => 'recurring')",
    },
    // A yardstick against itself: how far from 1 the ratios of this run can be trusted.
    Query { name: "scan_itself", sql: EVENTS, scan: EVENTS },
];

/// How the events lie in files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Layout {
    Time,
    User,
    /// As after so many appends: each file has all users, in order.
    Appends,
}

const APPENDS: u64 = 12;

/// One line of the closing table: milliseconds, and the paired ratios of every sample.
struct Line {
    name: String,
    seconds: Vec<f64>,
    of_scan: Vec<f64>,
    of_group: Vec<f64>,
}

fn main() {
    let measuring = std::env::args().any(|arg| arg == "--bench");
    let runtime = Runtime::new().expect("threads can be started");
    let mut criterion = Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(1))
        .measurement_time(Duration::from_millis(1))
        .without_plots()
        .configure_from_args();
    let mut lines = Vec::new();
    for layout in [Layout::Time, Layout::User, Layout::Appends] {
        for string_ids in [false, true] {
            dataset(&mut criterion, &runtime, measuring, layout, string_ids, &mut lines);
        }
    }
    criterion.final_summary();
    if measuring {
        print(&lines);
    }
}

fn dataset(
    c: &mut Criterion,
    runtime: &Runtime,
    measuring: bool,
    layout: Layout,
    string_ids: bool,
    lines: &mut Vec<Line>,
) {
    let events = if measuring { 2_000_000 } else { 20_000 };
    let name = format!(
        "{}_{}",
        match layout {
            Layout::Time => "time",
            Layout::User => "user",
            Layout::Appends => "appends",
        },
        if string_ids { "varchar" } else { "bigint" }
    );
    let workspace = data(runtime, &name, events, layout, string_ids);
    let settings = Settings { workspace: Some(workspace), ..Settings::default() };
    let engine = runtime.block_on(Engine::open(&settings)).expect("the workspace opens");
    let run = |sql: &str| {
        let begun = Instant::now();
        let batches = runtime.block_on(async {
            let answer = engine.run(sql, &Params::new()).await?;
            Ok::<_, tenure::error::Error>(answer.stream.try_collect::<Vec<_>>().await?)
        });
        let rows: usize = batches.expect("the query runs").iter().map(|b| b.num_rows()).sum();
        assert!(rows > 0, "{sql}: no rows");
        begun.elapsed()
    };
    runtime.block_on(store_days(&engine, &data_folder(&name, events)));
    let mut group = c.benchmark_group(&name);
    group.sampling_mode(SamplingMode::Flat).throughput(Throughput::Elements(events));
    for query in &QUERIES {
        let samples = RefCell::new(Line {
            name: format!("{name}/{}", query.name),
            seconds: Vec::new(),
            of_scan: Vec::new(),
            of_group: Vec::new(),
        });
        group.bench_function(query.name, |b| {
            b.iter_custom(|times| {
                let mut spent = Duration::ZERO;
                for _ in 0..times {
                    let (scan, group, this) = (run(query.scan), run(GROUP), run(query.sql));
                    let mut samples = samples.borrow_mut();
                    samples.seconds.push(this.as_secs_f64());
                    samples.of_scan.push(this.as_secs_f64() / scan.as_secs_f64());
                    samples.of_group.push(this.as_secs_f64() / group.as_secs_f64());
                    spent += this;
                }
                spent
            });
        });
        let samples = samples.into_inner();
        if !samples.seconds.is_empty() {
            lines.push(samples);
        }
    }
}

/// What a daily job would have stored: the users of each day, a row a day.
async fn store_days(engine: &Engine, folder: &Path) {
    let file = folder.join("daily.parquet");
    let mut statements = Vec::new();
    if !file.exists() {
        statements.push(format!(
            "COPY (SELECT CAST(ts AS DATE) AS day, users_state(user_id) AS users FROM events GROUP BY day) TO '{}'",
            file.display()
        ));
    }
    statements.push(format!("CREATE EXTERNAL TABLE daily STORED AS PARQUET LOCATION '{}'", file.display()));
    for sql in statements {
        let answer = engine.run(&sql, &Params::new()).await.expect("a statement");
        answer.stream.try_collect::<Vec<_>>().await.expect("the days can be stored");
    }
}

fn data_folder(name: &str, events: u64) -> PathBuf {
    // Cargo makes `<target>/tmp` for benches; what is kept between runs lies beside it.
    Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("bench-data").join(format!("{name}_{events}"))
}

/// The folder of a generated workspace; made where it is not there yet, under a name that tells what is in it.
fn data(runtime: &Runtime, name: &str, events: u64, layout: Layout, string_ids: bool) -> PathBuf {
    let folder = data_folder(name, events);
    // The workspace file is written last.
    if !folder.join("tenure.toml").exists() {
        let whole = if layout == Layout::Appends { folder.join("whole") } else { folder.clone() };
        let order = if layout == Layout::Time { Order::Time } else { Order::User };
        let mut options = GenerateOptions::new(events, events / 50, &whole);
        (options.seed, options.order, options.string_ids, options.overwrite) = (7, order, string_ids, true);
        generate(&options, &mut |_, _| {}).expect("the data can be written");
        if layout == Layout::Appends {
            runtime.block_on(append(&whole, &folder));
        }
    }
    folder
}

/// Deals a whole table's days out to files, each in the order of the users.
async fn append(whole: &Path, folder: &Path) {
    let settings = Settings { workspace: Some(whole.to_path_buf()), ..Settings::default() };
    let engine = Engine::open(&settings).await.expect("the whole table opens");
    let days = folder.join("events");
    std::fs::create_dir_all(&days).expect("a folder can be made");
    for file in 0..APPENDS {
        let place = days.join(format!("{file:0>2}.parquet"));
        let sql = format!(
            "COPY (SELECT * FROM events WHERE CAST(extract(epoch FROM ts) AS BIGINT) / 86400 % {APPENDS} = {file} \
             ORDER BY user_id, ts) TO '{}'",
            place.display()
        );
        let copied = engine.run(&sql, &Params::new()).await.expect("a statement");
        copied.stream.try_collect::<Vec<_>>().await.expect("a file can be written");
    }
    let toml = "[tables.events]\nlocation = 'events'\norder = ['user_id', 'ts']\n";
    std::fs::write(folder.join("tenure.toml"), toml).expect("the workspace can be written");
}

fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted[sorted.len() / 2]
}

fn print(lines: &[Line]) {
    println!("{:<34} {:>9} {:>8} {:>8}", "medians", "ms", "x scan", "x group");
    for line in lines {
        let (ms, scan, group) = (median(&line.seconds) * 1e3, median(&line.of_scan), median(&line.of_group));
        println!("{:<34} {ms:>9.1} {scan:>8.2} {group:>8.2}", line.name);
    }
}
