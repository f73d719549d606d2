//! Transitions and paths: walks are written out as lists of names, and everything is counted on them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, Date32Array, DictionaryArray, Int64Array, RecordBatch, StringArray,
    TimestampMicrosecondArray, TimestampSecondArray,
};
use arrow::datatypes::Int32Type;
use rand::Rng;
use rand_chacha::ChaCha8Rng;

use super::{close, random, seed};
use crate::ask::Asked;

/// Some look like marks; in the order of their bytes they are not in the order given here.
const NODES: [&str; 8] = ["b", "a", "", "(other)", "c", "\\(other)", "🛒", "(start)"];
const COUNTRIES: [Option<&str>; 3] = [None, Some("de"), Some("us")];

#[derive(Debug, Clone)]
struct Row {
    case: i64,
    user: Option<i64>,
    time: Option<i64>,
    node: Option<&'static str>,
    key: Option<i64>,
    session: Option<i64>,
    country: usize,
    anchor: Option<bool>,
}

/// A few users of one case; the others of the table are in other cases.
fn rows_of(random: &mut ChaCha8Rng, case: i64) -> Vec<Row> {
    let instants = random.random_range(1..=9);
    let names = random.random_range(1..=NODES.len());
    let users = random.random_range(1..=3);
    (0..random.random_range(0..=16))
        .map(|_| Row {
            case,
            user: random.random_bool(0.97).then(|| case * 10 + random.random_range(0..users)),
            time: random.random_bool(0.95).then(|| random.random_range(0..instants)),
            node: random.random_bool(0.95).then(|| NODES[random.random_range(0..names)]),
            key: random.random_bool(0.7).then(|| random.random_range(0..2)),
            session: random.random_bool(0.9).then(|| random.random_range(0..2)),
            country: random.random_range(0..COUNTRIES.len()),
            anchor: random.random_bool(0.9).then(|| random.random_bool(0.3)),
        })
        .collect()
}

/// One question; what is not asked for is left out of the call.
#[derive(Debug, Clone)]
struct Asks {
    /// `None`: transitions.
    paths: Option<Paths>,
    gap: Option<i64>,
    whole_user: bool,
    sessions: bool,
    collapse: bool,
    key: bool,
    top: Option<usize>,
    by_case: bool,
    by_country: bool,
}

#[derive(Debug, Clone)]
struct Paths {
    /// `None`: from the start. Otherwise back or not, and the condition or a node's name.
    anchor: Option<(bool, Option<&'static str>)>,
    depth: usize,
    every: bool,
}

fn asks(random: &mut ChaCha8Rng) -> Asks {
    let cut = random.random_range(0..4);
    let paths = random.random_bool(0.6).then(|| {
        let anchor = random
            .random_bool(0.8)
            .then(|| (random.random_bool(0.5), random.random_bool(0.5).then(|| NODES[random.random_range(0..3)])));
        Paths { every: anchor.is_some() && random.random_bool(0.5), anchor, depth: random.random_range(1..=6) }
    });
    Asks {
        top: (paths.is_some() || random.random_bool(0.6)).then(|| random.random_range(1..=5)),
        paths,
        gap: (cut == 0).then(|| random.random_range(1..=3)),
        whole_user: cut == 1,
        sessions: cut == 2,
        collapse: random.random_bool(0.5),
        key: random.random_bool(0.5),
        by_case: random.random_bool(0.85),
        by_country: random.random_bool(0.3),
    }
}

impl Asks {
    fn sql(&self, table: &str, unit: &str) -> String {
        let mut call = String::new();
        if let Some(paths) = &self.paths {
            call += &format!(", depth => {}", paths.depth);
            if let Some((back, node)) = paths.anchor {
                let key = if back { "to" } else { "from" };
                let value = node.map_or("anchor".to_string(), |n| format!("'{n}'"));
                call += &format!(", {key} => {value}, anchor => '{}'", if paths.every { "all" } else { "first" });
            }
        }
        if let Some(gap) = self.gap {
            call += &format!(", gap => INTERVAL '{gap} {unit}'");
        }
        for (asked, text) in [
            (self.whole_user, ", within => 'user'"),
            (self.sessions, ", session => session"),
            (self.collapse, ", collapse => true"),
            (self.key, ", order_key => key"),
        ] {
            call += if asked { text } else { "" };
        }
        if let Some(top) = self.top {
            call += &format!(", top => {top}");
        }
        let by = [(self.by_case, "\"case\""), (self.by_country, "country")];
        let by: Vec<&str> = by.into_iter().filter(|b| b.0).map(|b| b.1).collect();
        if !by.is_empty() {
            call += &format!(", by => [{}]", by.join(", "));
        }
        format!("SELECT * FROM {}({table}{call})", if self.paths.is_some() { "paths" } else { "transitions" })
    }
}

/// A run of a walk: what is left of its first event.
#[derive(Debug, Clone)]
struct Stop {
    time: i64,
    name: String,
    country: usize,
    anchor: bool,
}

fn name(node: &str) -> String {
    let bare = node.trim_start_matches('\\');
    if ["(start)", "(end)", "(other)"].contains(&bare) { format!("\\{node}") } else { node.to_string() }
}

/// All walks of one user.
fn walks(rows: &[&Row], asks: &Asks, default_gap: i64) -> Vec<Vec<Stop>> {
    let mut rows: Vec<&Row> = rows.to_vec();
    rows.retain(|r| r.time.is_some() && r.node.is_some() && !(asks.sessions && r.session.is_none()));
    let is_anchor = |r: &Row| match asks.paths.as_ref().and_then(|p| p.anchor) {
        Some((_, Some(node))) => r.node == Some(node),
        _ => r.anchor == Some(true),
    };
    rows.sort_by_key(|r| {
        let session = if asks.sessions { r.session } else { None };
        let key = if asks.key { r.key } else { None };
        let country = if asks.by_country { r.country } else { 0 };
        (session, r.time, key, r.node, country, is_anchor(r))
    });
    let mut walks: Vec<Vec<&Row>> = Vec::new();
    for row in rows {
        let fits = walks.last().and_then(|w| w.last()).is_some_and(|last| match (asks.whole_user, asks.sessions) {
            (true, _) => true,
            (_, true) => last.session == row.session,
            _ => row.time.unwrap() - last.time.unwrap() <= asks.gap.unwrap_or(default_gap),
        });
        if !fits {
            walks.push(Vec::new());
        }
        walks.last_mut().unwrap().push(row);
    }
    let stops = |walk: Vec<&Row>| {
        let mut stops: Vec<Stop> = Vec::new();
        for row in walk {
            let name = name(row.node.unwrap());
            match stops.last_mut() {
                Some(last) if asks.collapse && last.name == name => last.anchor |= is_anchor(row),
                _ => stops.push(Stop { time: row.time.unwrap(), name, country: row.country, anchor: is_anchor(row) }),
            }
        }
        stops
    };
    walks.into_iter().map(stops).collect()
}

/// A sequence of names at positions, and when each was: a whole walk, or one path.
struct Sequence {
    user: i64,
    first_position: i64,
    names: Vec<String>,
    times: Vec<Option<i64>>,
    group: Vec<usize>,
}

/// The sequences that the question counts.
fn sequences(users: &BTreeMap<i64, Vec<&Row>>, asks: &Asks, default_gap: i64) -> Vec<Sequence> {
    let mut found = Vec::new();
    for (user, rows) in users {
        for walk in walks(rows, asks, default_gap) {
            let mut whole = vec!["(start)".to_string()];
            whole.extend(walk.iter().map(|s| s.name.clone()));
            whole.push("(end)".to_string());
            let mut times = vec![None];
            times.extend(walk.iter().map(|s| Some(s.time)));
            times.push(None);
            let mut add = |first_position: i64, from: usize, to: usize, country: usize| {
                let group = [asks.by_case.then_some(rows[0].case as usize), asks.by_country.then_some(country)];
                found.push(Sequence {
                    user: *user,
                    first_position,
                    names: whole[from..=to].to_vec(),
                    times: times[from..=to].to_vec(),
                    group: group.into_iter().flatten().collect(),
                });
            };
            let last = whole.len() - 1;
            match &asks.paths {
                None => add(0, 0, last, walk[0].country),
                Some(Paths { anchor: None, depth, .. }) => add(0, 0, last.min(*depth), walk[0].country),
                Some(Paths { anchor: Some((back, _)), depth, every }) => {
                    for (at, stop) in
                        walk.iter().enumerate().filter(|(_, s)| s.anchor).take(if *every { 99 } else { 1 })
                    {
                        let at = at + 1;
                        match back {
                            true => {
                                let from = at.saturating_sub(*depth);
                                add(from as i64 - at as i64, from, at, stop.country);
                            }
                            false => add(0, at, last.min(at + depth), stop.country),
                        }
                    }
                }
            }
        }
    }
    found
}

/// A breakdown value and a position of its paths.
type Place = (Vec<usize>, i64);

#[derive(Default)]
struct Count {
    events: i64,
    users: BTreeSet<i64>,
    seconds: Vec<f64>,
}

/// The rows of the answer, in its order.
fn answer(rows: &[Row], asks: &Asks, clock: &Clock) -> Vec<Vec<String>> {
    let mut users: BTreeMap<i64, Vec<&Row>> = BTreeMap::new();
    for row in rows {
        if let Some(user) = row.user {
            users.entry(user).or_default().push(row);
        }
    }
    let sequences = sequences(&users, asks, clock.default_gap);
    // How often each name is at each position; transitions have one position.
    let position = |s: &Sequence, at: usize| if asks.paths.is_some() { s.first_position + at as i64 } else { 0 };
    let mut passed: BTreeMap<Place, BTreeMap<String, i64>> = BTreeMap::new();
    for s in &sequences {
        for (at, name) in s.names.iter().enumerate().filter(|(_, n)| *n != "(start)" && *n != "(end)") {
            *passed.entry((s.group.clone(), position(s, at))).or_default().entry(name.clone()).or_default() += 1;
        }
    }
    let shown = |s: &Sequence, at: usize| -> String {
        let name = &s.names[at];
        let Some(names) = passed.get(&(s.group.clone(), position(s, at))) else { return name.clone() };
        let Some(passes) = names.get(name) else { return name.clone() };
        let before = names.iter().filter(|(n, p)| *p > passes || (*p == passes && *n < name)).count();
        if asks.top.is_some_and(|top| before >= top) { "(other)".to_string() } else { name.clone() }
    };
    let mut edges: BTreeMap<Place, BTreeMap<(String, String), Count>> = BTreeMap::new();
    for s in &sequences {
        for at in 1..s.names.len() {
            let edges = edges.entry((s.group.clone(), position(s, at))).or_default();
            let count = edges.entry((shown(s, at - 1), shown(s, at))).or_default();
            count.events += 1;
            count.users.insert(s.user);
            if let (Some(from), Some(to)) = (s.times[at - 1], s.times[at]) {
                count.seconds.push((to - from) as f64 * clock.seconds);
            }
        }
    }
    let mut table = Vec::new();
    for ((group, step), edges) in &edges {
        let mut edges: Vec<_> = edges.iter().collect();
        edges.sort_by_key(|(names, count)| (-count.events, (*names).clone()));
        for ((source, target), count) in &edges {
            let leaving: i64 = edges.iter().filter(|(names, _)| names.0 == *source).map(|(_, c)| c.events).sum();
            let mut row = Vec::new();
            let mut group = group.iter();
            if asks.by_case {
                row.push(group.next().unwrap().to_string());
            }
            row.extend(group.map(|c| COUNTRIES[*c].unwrap_or("NULL").to_string()));
            if asks.paths.is_some() {
                row.push(step.to_string());
            }
            row.extend([source.clone(), target.clone(), count.events.to_string(), count.users.len().to_string()]);
            row.push(format!("{:?}", count.events as f64 / leaving as f64));
            if asks.paths.is_none() {
                row.extend(middle_and_mean(&count.seconds));
            }
            table.push(row);
        }
    }
    table
}

fn middle_and_mean(seconds: &[f64]) -> [String; 2] {
    if seconds.is_empty() {
        return ["NULL".to_string(), "NULL".to_string()];
    }
    let mut sorted = seconds.to_vec();
    sorted.sort_by(f64::total_cmp);
    let n = sorted.len();
    let median = (sorted[(n - 1) / 2] + sorted[n / 2]) / 2.0;
    [format!("{median:?}"), format!("{:?}", sorted.iter().sum::<f64>() / n as f64)]
}

/// How times are stored.
struct Clock {
    unit: &'static str,
    seconds: f64,
    /// 30 minutes in ticks.
    default_gap: i64,
    column: fn(Vec<Option<i64>>) -> ArrayRef,
}

const CLOCKS: [Clock; 3] = [
    Clock { unit: "seconds", seconds: 1.0, default_gap: 1_800, column: |t| Arc::new(TimestampSecondArray::from(t)) },
    Clock {
        unit: "microseconds",
        seconds: 1e-6,
        default_gap: 1_800_000_000,
        column: |t| Arc::new(TimestampMicrosecondArray::from(t).with_timezone("Europe/Berlin")),
    },
    Clock {
        unit: "days",
        seconds: 86_400.0,
        default_gap: 0,
        column: |t| Arc::new(Date32Array::from_iter(t.into_iter().map(|t| t.map(|t| t as i32)))),
    },
];

fn batch(rows: &[Row], clock: &Clock, packed: bool) -> RecordBatch {
    let nodes = rows.iter().map(|r| r.node);
    let nodes: ArrayRef = match packed {
        true => Arc::new(nodes.collect::<DictionaryArray<Int32Type>>()),
        false => Arc::new(nodes.collect::<StringArray>()),
    };
    let columns: [(&str, ArrayRef); 8] = [
        ("case", Arc::new(Int64Array::from_iter_values(rows.iter().map(|r| r.case)))),
        ("user_id", Arc::new(Int64Array::from_iter(rows.iter().map(|r| r.user)))),
        ("ts", (clock.column)(rows.iter().map(|r| r.time).collect())),
        ("event", nodes),
        ("key", Arc::new(Int64Array::from_iter(rows.iter().map(|r| r.key)))),
        ("session", Arc::new(Int64Array::from_iter(rows.iter().map(|r| r.session)))),
        ("country", Arc::new(StringArray::from_iter(rows.iter().map(|r| COUNTRIES[r.country])))),
        ("anchor", Arc::new(rows.iter().map(|r| r.anchor).collect::<BooleanArray>())),
    ];
    RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, c)| (name, c, true))).unwrap()
}

/// All rows in random order, over partitions of small batches.
fn load(asked: &Asked, random: &mut ChaCha8Rng, rows: &[Row], clock: &Clock, partitions: usize) {
    let mut rows = rows.to_vec();
    for at in (1..rows.len()).rev() {
        rows.swap(at, random.random_range(0..=at));
    }
    let packed = random.random_bool(0.5);
    let size = [61, 499, 4_001][random.random_range(0..3)];
    let mut parts = vec![Vec::new(); partitions];
    for (at, chunk) in rows.chunks(size).enumerate() {
        parts[at % partitions].push(batch(chunk, clock, packed));
    }
    parts.iter_mut().filter(|p| p.is_empty()).for_each(|p| p.push(batch(&[], clock, packed)));
    asked.table("t", parts);
}

fn same(got: &[String], want: &[String]) -> bool {
    got.len() == want.len()
        && got
            .iter()
            .zip(want)
            .all(|(g, w)| g == w || matches!((g.parse::<f64>(), w.parse::<f64>()), (Ok(g), Ok(w)) if close(g, w)))
}

/// Every row of the answers of 96 questions over tables of 210 cases of up to three users each.
#[test]
fn twenty_thousand_cases() {
    let mut random = random(11);
    let engines = [Asked::new(1), Asked::new(3)];
    for round in 0..12 {
        let rows: Vec<Row> = (0..210).flat_map(|case| rows_of(&mut random, case)).collect();
        let clock = &CLOCKS[round % 3];
        let threads = 1 + 2 * (round / 3 % 2);
        let asked = &engines[round / 3 % 2];
        load(asked, &mut random, &rows, clock, threads);
        for _ in 0..8 {
            let asks = asks(&mut random);
            let sql = asks.sql("t", clock.unit);
            let (got, want) = (asked.rows(&sql), answer(&rows, &asks, clock));
            for (at, (got, want)) in got.iter().zip(&want).enumerate() {
                assert!(
                    same(got, want),
                    "seed {}, round {round}, row {at}: {sql}\n{got:?}\nbrute force {want:?}\n{:#?}",
                    seed(),
                    rows.iter().filter(|r| asks.by_case && want[0] == r.case.to_string()).collect::<Vec<_>>()
                );
            }
            assert_eq!(got.len(), want.len(), "seed {}, round {round}: {sql}", seed());
        }
    }
}

/// What goes into a node comes out of it; named nodes do not change with `top`; a value's rows are those of its own data.
#[test]
fn invariants_of_large_tables() {
    let mut random = random(12);
    let asked = Asked::new(3);
    let rows: Vec<Row> = (0..400).flat_map(|case| rows_of(&mut random, case)).collect();
    load(&asked, &mut random, &rows, &CLOCKS[0], 3);
    for relation in ["transitions(t", "paths(t, depth => 40", "paths(t, depth => 40, from => anchor, anchor => 'all'"] {
        for top in [1, 2, 4, 100] {
            let rows = asked.rows(&format!("SELECT * FROM {relation}, top => {top})"));
            let skip = usize::from(relation.starts_with("paths"));
            let mut into: BTreeMap<(i64, &str), i64> = BTreeMap::new();
            for row in &rows {
                let step = if skip == 1 { row[0].parse::<i64>().unwrap() } else { 0 };
                let events: i64 = row[skip + 2].parse().unwrap();
                *into.entry((step - skip as i64, &row[skip])).or_default() -= events;
                *into.entry((step, &row[skip + 1])).or_default() += events;
            }
            let first = |step: i64, name: &str| name == "(start)" || (skip == 1 && step == 0);
            let open: Vec<_> =
                into.iter().filter(|((s, n), left)| **left != 0 && *n != "(end)" && !first(*s, n)).collect();
            assert!(rows.len() > 3 && open.is_empty(), "{relation}, top => {top}: {open:?}");
        }
        let rows = |top: i64| -> BTreeSet<String> {
            let sql =
                format!("SELECT * FROM {relation}, top => {top}) WHERE source <> '(other)' AND target <> '(other)'");
            asked.rows(&sql).into_iter().map(|row| row.join("|")).collect()
        };
        assert!(rows(2).len() > 5 && rows(2).is_subset(&rows(3)) && rows(3).is_subset(&rows(100)), "{relation}");
    }
    let of_all =
        "SELECT source, target, events, users FROM transitions(t, by => \"case\", top => 2) WHERE \"case\" = 7";
    let alone = "SELECT source, target, events, users FROM transitions((SELECT * FROM t WHERE \"case\" = 7), top => 2)";
    assert!(!asked.rows(alone).is_empty());
    assert_eq!(asked.rows(of_all), asked.rows(alone));
}
