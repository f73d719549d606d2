//! The memory that the process takes under `--memory`, as the kernel counts it: at most the limit and 150 MB.
//!
//! Small by default, where little of this can be passed; `TENURE_PEAK_EVENTS=20000000 cargo test --test it peaks` asks at more
//! limits over more events, which takes minutes. `TENURE_PROGRAM` names an optimised program for it.

use std::fs::File;
use std::process::{Command, Stdio};

use tenure::functions::FunctionKind;

use crate::program::{Place, program};

/// Questions about a table, each with one answer whatever the order of its rows.
const QUESTIONS: [(&str, &str); 39] = [
    (
        "funnel",
        "SELECT * FROM funnel(events, steps => ['view_item', 'add_to_cart', 'purchase'], within => INTERVAL '7 days', by => country)",
    ),
    (
        "funnel_users",
        "SELECT count(*), sum(level) FROM funnel_users(events, steps => ['view_item', 'purchase'], within => INTERVAL '7 days')",
    ),
    ("retention", "SELECT count(*), sum(retained) FROM retention(events, unit => 'day', periods => 30)"),
    (
        "retention_curve",
        "SELECT * FROM retention_curve(events, start => 'view_item', unit => 'week', periods => 5, by => country)",
    ),
    (
        "retention of every period",
        "SELECT count(*), sum(size), sum(retained) FROM retention(events, birth => 'recurring', unit => 'week', periods => 8)",
    ),
    (
        "retention_triangle",
        "SELECT * FROM retention_triangle(events, start => 'view_item', unit => 'month', periods => 3)",
    ),
    ("lifecycle", "SELECT * FROM lifecycle(events, unit => 'week', by => country)"),
    (
        "lifecycle of days",
        "SELECT * FROM lifecycle(events, unit => 'week', inactive_after => INTERVAL '10 days', by => country)",
    ),
    ("lifecycle_states", "SELECT * FROM lifecycle_states(events, unit => 'week', churned_after => 4)"),
    ("engagement", "SELECT * FROM engagement(events, by => country)"),
    ("stickiness", "SELECT * FROM stickiness(events, unit => 'week', by => country)"),
    ("streaks", "SELECT count(*), sum(current), sum(longest), sum(active_periods) FROM streaks(events)"),
    ("trend", "SELECT * FROM trend(events, unit => 'day', value => price, by => country)"),
    ("top", "SELECT * FROM top(events, property => page, n => 5)"),
    (
        "distribution",
        "SELECT * FROM distribution(events, active => 'purchase', value => price, buckets => [0, 50, 100, 500])",
    ),
    ("intervals", "SELECT * FROM intervals(events, from => event <> '', by => country)"),
    ("pareto", "SELECT count(*), sum(rank), max(value) FROM pareto(events, value => price, show => 'items')"),
    ("rfm", "SELECT segment, count(*), sum(orders) FROM rfm(events, amount => price) GROUP BY segment"),
    (
        "portrait",
        "SELECT * FROM portrait((SELECT user_id, country, platform, event = 'purchase' AS bought FROM events), segment => bought, attributes => [country, platform])",
    ),
    (
        "compare",
        "SELECT * FROM compare(events, segment => platform = 'ios', measures => {'bought': 'purchase', 'events': count(*), 'revenue': sum(price)})",
    ),
    ("profile", "SELECT * FROM profile(events, id => 1, value => price, by => [country, platform])"),
    ("sample_users", "SELECT count(*), sum(user_id) FROM sample_users(events, share => 0.5)"),
    ("sessions", "SELECT count(*), sum(events), max(duration_seconds) FROM sessions(events)"),
    ("session_summary", "SELECT * FROM session_summary(events, by => country)"),
    ("pages", "SELECT * FROM pages(events, page => event)"),
    ("transitions", "SELECT * FROM transitions(events)"),
    ("transitions by", "SELECT * FROM transitions(events, by => country, top => 5)"),
    ("paths", "SELECT * FROM paths(events, anchor => 'all', from => 'view_item')"),
    (
        "attribution",
        "SELECT * FROM attribution(events, conversion => 'purchase', channel => channel, model => ['linear', 'last'])",
    ),
    ("churn_scores", "SELECT user_id, score, level, p_alive, reasons FROM churn_scores(events)"),
    (
        "sessionize",
        "SELECT count(*), sum(s) FROM (SELECT sessionize(ts, INTERVAL '30 minutes') OVER (PARTITION BY user_id ORDER BY ts) AS s FROM events)",
    ),
    (
        "window over all rows",
        "SELECT count(*), max(share) FROM (SELECT user_id, ts, event, country, count(*) OVER () AS share FROM events)",
    ),
    (
        "ranks",
        "SELECT count(*), max(n) FROM (SELECT row_number() OVER (PARTITION BY country ORDER BY ts, user_id) AS n FROM events)",
    ),
    (
        "join with itself",
        "SELECT count(*), max(b.event) FROM events a JOIN events b ON a.user_id = b.user_id AND a.ts = b.ts",
    ),
    (
        "join",
        "SELECT count(*), max(a.event), max(b.channel) FROM events a JOIN (SELECT user_id, ts, event, country, channel FROM events WHERE event = 'view_item') b ON a.user_id = b.user_id AND a.ts = b.ts",
    ),
    (
        "outer join",
        "SELECT count(*), count(b.ts), max(a.channel) FROM events a LEFT JOIN (SELECT user_id, ts FROM events WHERE event = 'purchase') b ON a.user_id = b.user_id AND a.ts = b.ts",
    ),
    (
        "nested loop join",
        "SELECT count(*) FROM events a JOIN (SELECT ts FROM events WHERE event = 'purchase' AND user_id < 3) b ON a.ts < b.ts",
    ),
    (
        "sort",
        "SELECT count(*), max(n) FROM (SELECT *, row_number() OVER (ORDER BY ts DESC, user_id, event) AS n FROM events)",
    ),
    (
        "sort of whole rows",
        "SELECT count(*), max(page), sum(item_id * (n % 1000)) FROM (SELECT event, page, price, item_id, row_number() OVER (ORDER BY page, ts, user_id, event, item_id) AS n FROM events)",
    ),
];

/// A relation that is not asked about here could take any memory.
#[test]
fn every_relation_is_asked_about() {
    // Versions of a table are a few rows, and files are what the tables here are made of.
    let others = ["history", "read_csv", "read_json", "read_parquet"];
    let relations = tenure::engine::catalogue();
    let relations = relations.iter().filter(|f| f.kind == FunctionKind::Relation && !others.contains(&f.name));
    for relation in relations {
        let call = format!(" {}(", relation.name);
        assert!(QUESTIONS.iter().any(|(_, sql)| sql.contains(&call)), "{call}");
    }
}

/// What a run of the program said, and its greatest size in bytes.
struct Run {
    code: i32,
    stdout: String,
    stderr: String,
    peak: u64,
}

fn run(place: &Place, arguments: &[&str]) -> Run {
    let [out, err] = ["stdout", "stderr"].map(|name| place.path(name));
    let mut child = Command::new(program())
        .current_dir(place.folder())
        .env("HOME", place.folder())
        .env("TMPDIR", place.folder())
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(File::create(&out).unwrap())
        .stderr(File::create(&err).unwrap())
        .spawn()
        .unwrap();
    // The kernel's high-water mark of the program's own memory. That of `wait4` begins with what this process had when it forked.
    let status = format!("/proc/{}/status", child.id());
    let mut peak = 0;
    let code = loop {
        let told = std::fs::read_to_string(&status).unwrap_or_default();
        let mark = told.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB")?.parse().ok());
        peak = mark.unwrap_or(0).max(peak);
        if let Some(ended) = child.try_wait().unwrap() {
            break ended.code().unwrap_or_else(|| panic!("{arguments:?} was killed"));
        }
        std::thread::sleep(std::time::Duration::from_millis(2));
    };
    Run {
        code,
        stdout: std::fs::read_to_string(out).unwrap(),
        stderr: std::fs::read_to_string(err).unwrap(),
        peak: peak * 1_024,
    }
}

/// Rows in one order: those of equal rank come as threads happen to run.
fn sorted(text: &str) -> Vec<&str> {
    let mut lines: Vec<&str> = text.lines().collect();
    lines.sort_unstable();
    lines
}

#[test]
#[cfg_attr(not(target_os = "linux"), ignore = "reads /proc")]
fn the_process_stays_within_the_limit_and_150_megabytes() {
    const MB: u64 = 1_000_000;
    let asked = std::env::var("TENURE_PEAK_EVENTS").ok().map(|n| n.parse::<u64>().expect("a number of events"));
    let names = std::env::var("TENURE_PEAK_QUESTIONS").ok();
    let events = asked.unwrap_or(100_000);
    let limits: &[u64] = if asked.is_some() { &[64, 128, 256, 512, 1_000] } else { &[16] };
    let place = Place::new();
    let (many, users) = (events.to_string(), (events / 50).max(1).to_string());
    for made in [
        vec!["generate", "--events", &many, "--users", &users, "--seed", "7", "-o", "plain", "--quiet"],
        vec!["ingest", "plain/events.parquet", "--into", "managed", "--quiet"],
    ] {
        let run = run(&place, &made);
        assert_eq!(run.code, 0, "{made:?}: {}", run.stderr);
    }
    // The program itself: of a debug build it is 100 MB more. It is soon over, and the mark that is read last not always its highest.
    let alone = (0..5).map(|_| run(&place, &["-c", "SELECT 1"]).peak).max().unwrap_or(0);
    let program = alone.saturating_sub(40 * MB);
    let (mut answered, mut refused, mut faults) = (0, 0, Vec::new());
    for table in ["events=plain/events.parquet", "events=managed/events"] {
        let chosen = |name: &str| names.as_ref().is_none_or(|names| names.split(',').any(|n| n == name));
        for (name, sql) in QUESTIONS.iter().filter(|(name, _)| chosen(name)) {
            let ask = |limit: Option<&str>| {
                let mut arguments = vec!["-t", table, "--threads", "2", "--format", "csv", "-c", sql];
                arguments.extend(limit.iter().flat_map(|limit| ["--memory", limit]));
                run(&place, &arguments)
            };
            let wanted = ask(None);
            assert_eq!(wanted.code, 0, "{name} over {table}: {}", wanted.stderr);
            for limit in limits {
                let found = ask(Some(&format!("{limit}MB")));
                let place = format!("{name} over {table} in {limit} MB");
                match found.code {
                    0 => {
                        answered += 1;
                        assert!(sorted(&found.stdout) == sorted(&wanted.stdout), "{place}: another answer");
                    }
                    _ => {
                        refused += 1;
                        let first = found.stderr.lines().next().unwrap_or_default();
                        assert!(first.starts_with("error: out of memory: "), "{place}: {}", found.stderr);
                    }
                }
                let most = (limit + 150) * MB + program;
                if asked.is_some() {
                    eprintln!("{place}: {} MB, exit {}", (found.peak.saturating_sub(program)) / MB, found.code);
                }
                if found.peak > most {
                    faults.push(format!("{place}: {} MB, {} too many", found.peak / MB, (found.peak - most) / MB));
                }
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    assert!(answered > 2 * refused, "{answered} answered, {refused} refused");
}
