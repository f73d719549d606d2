//! Funnels: every chain of every user is tried.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, Date32Array, Int64Array, RecordBatch, StringArray};
use arrow::array::{TimestampMicrosecondArray, TimestampSecondArray};
use rand::Rng;
use rand_chacha::ChaCha8Rng;

use super::{close, random, seed};
use crate::ask::Asked;

const STEPS: usize = 4;
const COUNTRIES: [Option<&str>; 4] = [None, Some("br"), Some("de"), Some("us")];

/// A row of the events.
#[derive(Debug, Clone, Copy)]
struct Row {
    user: Option<i64>,
    time: Option<i64>,
    conditions: [Option<bool>; STEPS],
    /// Position in `COUNTRIES`, which is also the order of the values: NULL first.
    country: usize,
    id: i64,
}

impl Row {
    fn meets(&self, step: usize) -> bool {
        self.conditions[step] == Some(true)
    }
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Mode {
    Ordered,
    Increase,
    Reuse,
}

const MODES: [(Mode, &str); 3] = [(Mode::Ordered, "ordered"), (Mode::Increase, "increase"), (Mode::Reuse, "reuse")];

/// The best chain found so far, and how chains are compared.
struct Search<'a> {
    rows: &'a [Row],
    steps: usize,
    window: i64,
    mode: Mode,
    /// What ties are broken by, smallest first, after the times.
    kept: fn(&Row) -> (i64, i64),
    best: Vec<usize>,
}

impl Search<'_> {
    /// The canonical chain, as positions in `rows`.
    fn canonical(mut self) -> Vec<usize> {
        self.extend(&mut Vec::new());
        self.best
    }

    /// Every way to go on with `chain`.
    fn extend(&mut self, chain: &mut Vec<usize>) {
        if self.is_better(chain) {
            self.best.clone_from(chain);
        }
        if chain.len() == self.steps {
            return;
        }
        for next in 0..self.rows.len() {
            let Some(time) = self.rows[next].time else { continue };
            if !self.rows[next].meets(chain.len()) || (self.mode != Mode::Reuse && chain.contains(&next)) {
                continue;
            }
            if let (Some(first), Some(last)) = (chain.first(), chain.last()) {
                let (first, last) = (self.rows[*first].time.unwrap(), self.rows[*last].time.unwrap());
                let follows = if self.mode == Mode::Increase { time > last } else { time >= last };
                if !follows || time - first > self.window {
                    continue;
                }
            }
            chain.push(next);
            self.extend(chain);
            chain.pop();
        }
    }

    /// Longest, then earliest completion, then latest start, then earliest middle, then least kept values.
    fn is_better(&self, chain: &[usize]) -> bool {
        let rank = |chain: &[usize]| {
            let times: Vec<i64> = chain.iter().map(|at| self.rows[*at].time.unwrap()).collect();
            let kept: Vec<_> = chain.iter().map(|at| (self.kept)(&self.rows[*at])).collect();
            let (first, last) = (times.first().copied().unwrap_or(0), times.last().copied().unwrap_or(0));
            (std::cmp::Reverse(chain.len()), last, std::cmp::Reverse(first), times, kept)
        };
        rank(chain) < rank(&self.best)
    }
}

fn by_id(row: &Row) -> (i64, i64) {
    (row.id, 0)
}

/// A user's events: times from a handful of instants, conditions often several at once.
fn rows_of(random: &mut ChaCha8Rng, user: Option<i64>, id: &mut i64) -> Vec<Row> {
    let instants = random.random_range(1..=7);
    // Some users meet conditions rarely, so that chains break in the middle; some meet nearly all.
    let often = [0.2, 0.35, 0.6][random.random_range(0..3)];
    (0..random.random_range(0..=8))
        .map(|_| {
            *id += 1;
            Row {
                user,
                time: random.random_bool(0.95).then(|| random.random_range(0..instants)),
                conditions: std::array::from_fn(|_| match random.random_bool(0.08) {
                    true => None,
                    false => Some(random.random_bool(often)),
                }),
                country: random.random_range(0..COUNTRIES.len()),
                id: *id,
            }
        })
        .collect()
}

fn users(random: &mut ChaCha8Rng, count: i64) -> Vec<Vec<Row>> {
    let mut id = 0;
    (1..=count).map(|user| rows_of(random, Some(user), &mut id)).collect()
}

/// How times are stored: the unit of one tick in an interval, and the column.
type Clock = (&'static str, fn(Vec<Option<i64>>) -> ArrayRef);

const CLOCKS: [Clock; 3] = [
    ("seconds", |t| Arc::new(TimestampSecondArray::from(t))),
    ("microseconds", |t| Arc::new(TimestampMicrosecondArray::from(t).with_timezone("Europe/Berlin"))),
    ("days", |t| Arc::new(Date32Array::from_iter(t.into_iter().map(|t| t.map(|t| t as i32))))),
];

fn batch(rows: &[Row], clock: &Clock) -> RecordBatch {
    let mut columns: Vec<(String, ArrayRef)> = vec![
        ("user_id".into(), Arc::new(Int64Array::from_iter(rows.iter().map(|r| r.user)))),
        ("ts".into(), clock.1(rows.iter().map(|r| r.time).collect())),
        ("country".into(), Arc::new(StringArray::from_iter(rows.iter().map(|r| COUNTRIES[r.country])))),
        ("id".into(), Arc::new(Int64Array::from_iter_values(rows.iter().map(|r| r.id)))),
    ];
    for step in 0..STEPS {
        let condition: BooleanArray = rows.iter().map(|r| r.conditions[step]).collect();
        columns.push((format!("m{}", step + 1), Arc::new(condition)));
    }
    RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, c)| (name, c, true))).unwrap()
}

/// All rows in random order, over three partitions of small batches.
fn load(asked: &Asked, random: &mut ChaCha8Rng, rows: impl Iterator<Item = Row>, clock: &Clock) {
    let mut rows: Vec<Row> = rows.collect();
    for at in (1..rows.len()).rev() {
        rows.swap(at, random.random_range(0..=at));
    }
    let mut partitions = vec![Vec::new(); 3];
    for (at, chunk) in rows.chunks(997).enumerate() {
        partitions[at % 3].push(batch(chunk, clock));
    }
    asked.table("t", partitions);
}

fn conditions(steps: usize) -> String {
    (1..=steps).map(|s| format!("m{s}")).collect::<Vec<_>>().join(", ")
}

/// `window_funnel` and `funnel_chain` with the rows' numbers kept: level, times and the very rows of the chain.
#[test]
fn chains_of_nine_thousand_users() {
    let mut random = random(1);
    let asked = Asked::new(3);
    for (round, clock) in CLOCKS.iter().enumerate() {
        let users = users(&mut random, 3_000);
        load(&asked, &mut random, users.iter().flatten().copied(), clock);
        for (mode, word) in MODES {
            for (steps, window) in [(4, 1), (4, 3), (3, 100), (2, 2), (1, 1)] {
                let sql = format!(
                    "SELECT user_id,
                       window_funnel(INTERVAL '{window} {unit}', '{word}', ts, {m}) AS level,
                       funnel_chain(INTERVAL '{window} {unit}', '{word}', ts, {m}) AS plain,
                       funnel_chain(INTERVAL '{window} {unit}', '{word}', ts, {m}, named_struct('id', id)) AS kept
                     FROM t GROUP BY user_id",
                    unit = clock.0,
                    m = conditions(steps),
                );
                let sql = format!(
                    "SELECT user_id, level, plain.level, kept.level,
                       CAST(arrow_cast(plain.times, 'List(Int64)') AS VARCHAR),
                       CAST(arrow_cast(kept.times, 'List(Int64)') AS VARCHAR), kept.kept
                     FROM ({sql})"
                );
                let mut got: BTreeMap<i64, Vec<String>> = BTreeMap::new();
                for mut row in asked.rows(&sql) {
                    let user = row.remove(0).parse().unwrap();
                    assert!(got.insert(user, row).is_none(), "user {user} twice");
                }
                for (at, rows) in users.iter().enumerate() {
                    let user = at as i64 + 1;
                    let search = Search { rows, steps, window, mode, kept: by_id, best: Vec::new() };
                    let chain = search.canonical();
                    let level = chain.len().to_string();
                    let times: Vec<i64> = chain.iter().map(|at| rows[*at].time.unwrap()).collect();
                    let ids: Vec<String> = chain.iter().map(|at| format!("{{id: {}}}", rows[*at].id)).collect();
                    let times = format!("[{}]", times.iter().map(i64::to_string).collect::<Vec<_>>().join(", "));
                    let want = [&level, &level, &level, &times, &times, &format!("[{}]", ids.join(", "))];
                    match got.get(&user) {
                        Some(got) => assert!(
                            got.iter().eq(want),
                            "seed {}, round {round}: {word}, {steps} steps within {window}: {got:?}, brute force {want:?}\n{rows:#?}",
                            seed()
                        ),
                        None => assert!(rows.is_empty(), "user {user} is missing"),
                    }
                }
            }
        }
    }
}

/// Every number of the `funnel` relation, by country and without, from the chains of the brute force.
#[test]
fn the_report_over_users() {
    let mut random = random(3);
    let asked = Asked::new(2);
    let clock = &CLOCKS[0];
    for (round, (mode, word)) in MODES.into_iter().enumerate() {
        let users = users(&mut random, 1_500);
        // Rows without a user take no part.
        let mut nobody = Vec::new();
        for _ in 0..50 {
            nobody.extend(rows_of(&mut random, None, &mut 0));
        }
        load(&asked, &mut random, users.iter().flatten().chain(&nobody).copied(), clock);
        for (steps, window) in [(1, 1), (3, 2), (4, 100)] {
            for by in [false, true] {
                let mut chains: BTreeMap<usize, Vec<Vec<i64>>> = BTreeMap::new();
                for rows in &users {
                    // Each country of the first step on its own, as if only its events satisfied that.
                    let entries = rows.iter().filter(|r| r.time.is_some() && r.meets(0)).map(|r| r.country);
                    let mut groups: Vec<usize> = entries.map(|country| if by { country } else { 0 }).collect();
                    groups.sort_unstable();
                    groups.dedup();
                    for group in groups {
                        let mut rows = rows.clone();
                        rows.iter_mut().filter(|r| by && r.country != group).for_each(|r| r.conditions[0] = None);
                        let kept = |r: &Row| (r.country as i64, 0);
                        let search = Search { rows: &rows, steps, window, mode, kept, best: Vec::new() };
                        let times = search.canonical().iter().map(|at| rows[*at].time.unwrap()).collect();
                        chains.entry(group).or_default().push(times);
                    }
                }
                let sql = format!(
                    "SELECT * FROM funnel(t, steps => [{}], within => INTERVAL '{window} seconds', mode => '{word}'{})",
                    conditions(steps),
                    if by { ", by => country" } else { "" }
                );
                let got = asked.rows(&sql);
                let mut want = Vec::new();
                for (group, chains) in &chains {
                    for step in 1..=steps {
                        want.push(report_row(by.then_some(*group), chains, step));
                    }
                }
                // NULLs come first, then countries by name, as the report sorts them.
                assert_eq!(got.len(), want.len(), "seed {}, round {round}: {sql}", seed());
                for (got, want) in got.iter().zip(&want) {
                    let same = got.len() == want.len()
                        && got.iter().zip(want).all(|(g, w)| match (g.parse::<f64>(), w.parse::<f64>()) {
                            (Ok(g), Ok(w)) => close(g, w),
                            _ => g == w,
                        });
                    assert!(same, "seed {}, round {round}: {sql}\n{got:?}\nbrute force {want:?}", seed());
                }
            }
        }
    }
}

/// One row of the report from the chains' times.
fn report_row(country: Option<usize>, chains: &[Vec<i64>], step: usize) -> Vec<String> {
    let users = |step: usize| chains.iter().filter(|c| c.len() >= step).count();
    let before = users(step.max(2) - 1);
    let show = |number: Option<f64>| number.map_or("NULL".to_string(), |n| format!("{n:?}"));
    let share = |whole: usize| show((whole > 0).then(|| users(step) as f64 / whole as f64));
    let mut from_start: Vec<f64> = Vec::new();
    let mut from_previous: Vec<f64> = Vec::new();
    for chain in chains.iter().filter(|c| step > 1 && c.len() >= step) {
        from_start.push((chain[step - 1] - chain[0]) as f64);
        from_previous.push((chain[step - 1] - chain[step - 2]) as f64);
    }
    let mean = (!from_start.is_empty()).then(|| from_start.iter().sum::<f64>() / from_start.len() as f64);
    let mut row: Vec<String> = country.map(|c| COUNTRIES[c].unwrap_or("NULL").to_string()).into_iter().collect();
    row.extend([
        step.to_string(),
        format!("m{step}"),
        users(step).to_string(),
        share(users(1)),
        share(before),
        (before - users(step)).to_string(),
        show(quantile(from_start.clone(), 0.5)),
        show(mean),
        show(quantile(from_start, 0.9)),
        show(quantile(from_previous, 0.5)),
    ]);
    row
}

/// The continuous quantile: the point at share `q` of the polygon through the sorted values.
fn quantile(mut values: Vec<f64>, q: f64) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let last = values.len().checked_sub(1)?;
    let at = q * last as f64;
    let below = values[at as usize];
    let above = values[(at as usize + 1).min(last)];
    Some(below * (1.0 - at.fract()) + above * at.fract())
}
