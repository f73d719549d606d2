//! Attribution: every conversion looks at every row of its user, every set of channels is tried, every channel is removed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, Date32Array, Float64Array, Int64Array, RecordBatch, StringArray};
use arrow::array::{TimestampMicrosecondArray, TimestampSecondArray};
use rand::Rng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

use super::{close, random, seed};
use crate::ask::Asked;

const CHANNELS: [Option<&str>; 6] = [None, Some(""), Some("ads"), Some("direct"), Some("mail"), Some("search")];
const SEGMENTS: [Option<&str>; 3] = [None, Some("de"), Some("us")];
const MODELS: [&str; 9] =
    ["first", "last", "last_non_direct", "linear", "participation", "position", "time_decay", "markov", "shapley"];

#[derive(Debug, Clone, Copy)]
struct Row {
    user: Option<i64>,
    time: Option<i64>,
    converts: Option<bool>,
    touches: Option<bool>,
    channel: Option<&'static str>,
    segment: Option<&'static str>,
    value: Option<f64>,
    key: Option<i64>,
}

fn pick<T: Copy>(random: &mut ChaCha8Rng, of: &[T]) -> T {
    of[random.random_range(0..of.len())]
}

/// Few instants and keys, so that nearly everything is tied; rows that are both touch and conversion; NULLs everywhere.
fn rows_of(random: &mut ChaCha8Rng, user: Option<i64>) -> Vec<Row> {
    let instants = random.random_range(1..=9);
    let converting = pick(random, &[0.05, 0.3, 0.6]);
    (0..random.random_range(0..=9))
        .map(|_| Row {
            user,
            time: random.random_bool(0.96).then(|| random.random_range(-3..instants)),
            converts: random.random_bool(0.97).then(|| random.random_bool(converting)),
            touches: random.random_bool(0.97).then(|| random.random_bool(0.7)),
            channel: pick(random, &CHANNELS),
            segment: pick(random, &SEGMENTS),
            value: random.random_bool(0.9).then(|| f64::from(random.random_range(-20..90)) / 7.0),
            key: pick(random, &[None, Some(1), Some(2)]),
        })
        .collect()
}

/// The call's options.
#[derive(Debug, Clone, Copy)]
struct Options {
    lookback: i64,
    reset: bool,
    by: bool,
    key: bool,
    /// Whether touches are a condition of their own, or every row with a channel.
    condition: bool,
    weights: [f64; 3],
    half_life: i64,
}

/// A path: its touches in order, and the conversion's value where it ends in one.
#[derive(Debug, Clone)]
struct Path {
    user: usize,
    segment: Option<&'static str>,
    touches: Vec<(i64, &'static str)>,
    converts: Option<(i64, f64)>,
}

/// The paths of one user by the definitions.
fn paths(rows: &[Row], user: usize, options: &Options) -> Vec<Path> {
    type Key<'a> = (i64, Option<i64>, &'a str);
    let mut touches: Vec<(Key, Row)> = Vec::new();
    for row in rows {
        if let (Some(time), Some(channel)) = (row.time, row.channel)
            && (!options.condition || row.touches == Some(true))
        {
            touches.push(((time, row.key.filter(|_| options.key), channel), *row));
        }
    }
    // Among touches that this leaves tied only the segment can differ, which is last in order.
    touches.sort_by_key(|(key, row)| (*key, value_order(row), row.segment));
    let conversions: Vec<&Row> = rows.iter().filter(|r| r.time.is_some() && r.converts == Some(true)).collect();
    let mut claimed = BTreeSet::new();
    let mut paths = Vec::new();
    for conversion in &conversions {
        let at = conversion.time.unwrap();
        let reset = conversions.iter().filter(|c| options.reset && c.time < Some(at)).filter_map(|c| c.time).max();
        let mine: Vec<usize> = (0..touches.len())
            .filter(|t| {
                let time = touches[*t].0.0;
                time <= at && at - time <= options.lookback && reset.is_none_or(|r| time > r)
            })
            .collect();
        claimed.extend(mine.iter().copied());
        paths.push(Path {
            user,
            segment: conversion.segment,
            touches: mine.iter().map(|t| (touches[*t].0.0, touches[*t].0.2)).collect(),
            converts: Some((at, conversion.value.unwrap_or(0.0))),
        });
    }
    let mut open: Option<(usize, Path)> = None;
    for (t, (key, row)) in touches.iter().enumerate().filter(|(t, _)| !claimed.contains(t)) {
        let goes_on = open.as_ref().is_some_and(|(before, path)| {
            *before + 1 == t && key.0 - path.touches.last().unwrap().0 <= options.lookback
        });
        if !goes_on {
            paths.extend(open.take().map(|o| o.1));
        }
        let (before, path) =
            open.get_or_insert_with(|| (t, Path { user, segment: None, touches: Vec::new(), converts: None }));
        *before = t;
        path.segment = row.segment;
        path.touches.push((key.0, key.2));
    }
    paths.extend(open.map(|o| o.1));
    paths
}

/// A touch that is a conversion as well brings its value, which comes before the segment in the order of tied rows.
fn value_order(row: &Row) -> (bool, i64) {
    match row.value.filter(|_| row.converts == Some(true)) {
        None => (false, 0),
        Some(value) => (true, (value * 7.0).round() as i64),
    }
}

/// Shares of a converting path by touch.
fn shares(model: &str, path: &Path, options: &Options) -> Vec<(&'static str, f64)> {
    let Some((at, _)) = path.converts else { return Vec::new() };
    let n = path.touches.len();
    if n == 0 {
        return vec![("(direct)", 1.0)];
    }
    let only = |winner: usize| (0..n).map(|i| f64::from(u8::from(i == winner))).collect::<Vec<_>>();
    let weights: Vec<f64> = match model {
        "first" => only(0),
        "last" => only(n - 1),
        "last_non_direct" => only((0..n).rev().find(|i| path.touches[*i].1 != "direct").unwrap_or(n - 1)),
        "linear" => vec![1.0; n],
        "position" => {
            let [first, middle, last] = options.weights;
            match n {
                1 => vec![1.0],
                2 if first + last == 0.0 => vec![1.0, 1.0],
                2 => vec![first, last],
                _ => (0..n)
                    .map(|i| {
                        if i == 0 {
                            first
                        } else if i == n - 1 {
                            last
                        } else {
                            middle / (n - 2) as f64
                        }
                    })
                    .collect(),
            }
        }
        "time_decay" => {
            path.touches.iter().map(|t| 0.5f64.powf((at - t.0) as f64 / options.half_life as f64)).collect()
        }
        "participation" => {
            let distinct: BTreeSet<&'static str> = path.touches.iter().map(|t| t.1).collect();
            return distinct.into_iter().map(|c| (c, 1.0)).collect();
        }
        other => panic!("{other} is no rule"),
    };
    let sum: f64 = weights.iter().sum();
    path.touches.iter().zip(weights).map(|(t, w)| (t.1, w / sum)).collect()
}

/// The channels of a path, and the path of no touch as one of its own.
fn steps(path: &Path) -> Vec<&'static str> {
    match path.touches.as_slice() {
        [] => vec!["(direct)"],
        touches => touches.iter().map(|t| t.1).collect(),
    }
}

/// The weight of paths that convert, by walking the chain of weighted paths; everything that comes to `removed` is lost.
fn walked(paths: &[(&Path, f64)], removed: Option<&str>) -> f64 {
    let mut moves: BTreeMap<&str, BTreeMap<&str, f64>> = BTreeMap::new();
    for (path, weight) in paths.iter().filter(|(_, weight)| *weight > 0.0) {
        let mut chain = steps(path);
        chain.dedup();
        chain.insert(0, "start of all");
        chain.push(if path.converts.is_some() { "conversion" } else { "nothing" });
        for pair in chain.windows(2) {
            *moves.entry(pair[0]).or_default().entry(pair[1]).or_default() += weight;
        }
    }
    let mut here = BTreeMap::from([("start of all", 1.0)]);
    let mut converted = 0.0;
    for _ in 0..3_000 {
        let mut next: BTreeMap<&str, f64> = BTreeMap::new();
        for (state, share) in here {
            let Some(out) = moves.get(state).filter(|_| share > 1e-14) else { continue };
            let all: f64 = out.values().sum();
            for (to, times) in out.iter().filter(|(to, _)| Some(**to) != removed) {
                match *to {
                    "conversion" => converted += share * times / all,
                    "nothing" => {}
                    to => *next.entry(to).or_default() += share * times / all,
                }
            }
        }
        here = next;
        if here.is_empty() {
            break;
        }
    }
    converted
}

/// What each channel gets of `whole`: in proportion to what is lost without it.
fn by_removal(paths: &[(&Path, f64)], channels: &[&'static str], whole: f64) -> Vec<f64> {
    let all = walked(paths, None);
    let effects: Vec<f64> = channels.iter().map(|c| 1.0 - walked(paths, Some(c)) / all).collect();
    let sum: f64 = effects.iter().sum();
    effects.iter().map(|e| whole * e / sum).collect()
}

/// Credit and value by the Markov chain of all paths with touches; what has none is direct.
fn markov(paths: &[&Path]) -> BTreeMap<&'static str, [f64; 2]> {
    let touched: Vec<&Path> = paths.iter().copied().filter(|p| !p.touches.is_empty()).collect();
    let channels: BTreeSet<&'static str> = touched.iter().flat_map(|p| steps(p)).collect();
    let channels: Vec<&'static str> = channels.into_iter().collect();
    let mut rows: BTreeMap<&'static str, [f64; 2]> = channels.iter().map(|c| (*c, [0.0, 0.0])).collect();
    let worth = |p: &Path| p.converts.map(|c| c.1);
    let conversions = touched.iter().filter(|p| p.converts.is_some()).count() as f64;
    let mut share = |place: usize, sign: f64, weight: &dyn Fn(f64) -> f64| {
        let whole: f64 = touched.iter().filter_map(|p| worth(p)).map(weight).sum();
        if whole > 0.0 {
            let weighted: Vec<(&Path, f64)> =
                touched.iter().map(|p| (*p, worth(p).map_or(whole / conversions, weight))).collect();
            for (channel, part) in channels.iter().zip(by_removal(&weighted, &channels, whole)) {
                rows.get_mut(channel).unwrap()[place] += sign * part;
            }
        }
    };
    share(0, 1.0, &|_| 1.0);
    share(1, 1.0, &|value| value.max(0.0));
    share(1, -1.0, &|value| (-value).max(0.0));
    for path in paths.iter().filter(|p| p.touches.is_empty()) {
        let row = rows.entry("(direct)").or_default();
        *row = [row[0] + 1.0, row[1] + path.converts.unwrap().1];
    }
    rows
}

/// Shapley by the definition, over all sets.
fn shapley(paths: &[&Path], channels: &[&'static str], worth: impl Fn(&Path) -> f64) -> Vec<f64> {
    let bits = |path: &Path| -> u32 {
        steps(path).iter().map(|c| 1 << channels.iter().position(|d| d == c).unwrap()).fold(0, |a, b| a | b)
    };
    let sets: Vec<(u32, f64)> = paths.iter().map(|p| (bits(p), worth(p))).collect();
    let of_set = |set: u32| sets.iter().filter(|(bits, _)| bits & !set == 0).map(|s| s.1).sum::<f64>();
    let factorial = |n: u32| (1..=n).map(f64::from).product::<f64>();
    let n = channels.len() as u32;
    (0..n)
        .map(|c| {
            let others = (0..1u32 << n).filter(|set| set >> c & 1 == 0);
            others
                .map(|set| {
                    let size = set.count_ones();
                    let orders = factorial(size) * factorial(n - size - 1) / factorial(n);
                    orders * (of_set(set | 1 << c) - of_set(set))
                })
                .sum()
        })
        .collect()
}

/// What the relation must answer for a segment's paths: by model and channel credit, value, touches, users.
fn expected(paths: &[&Path], options: &Options) -> BTreeMap<(usize, &'static str), [f64; 4]> {
    let converting: Vec<&Path> = paths.iter().copied().filter(|p| p.converts.is_some()).collect();
    let value = |path: &Path| path.converts.unwrap().1;
    let channels: BTreeSet<&'static str> = converting.iter().flat_map(|p| steps(p)).collect();
    let channels: Vec<&'static str> = channels.into_iter().collect();
    let mut rows = BTreeMap::new();
    for channel in &channels {
        let touches = converting.iter().flat_map(|p| &p.touches).filter(|t| t.1 == *channel).count() as f64;
        let users: BTreeSet<usize> = converting.iter().filter(|p| steps(p).contains(channel)).map(|p| p.user).collect();
        for model in 0..MODELS.len() {
            rows.insert((model, *channel), [0.0, 0.0, touches, users.len() as f64]);
        }
    }
    for (model, name) in MODELS.iter().enumerate() {
        match *name {
            "markov" if !converting.is_empty() => {
                for (channel, [credit, value]) in markov(paths) {
                    let row = rows.entry((model, channel)).or_insert([0.0; 4]);
                    (row[0], row[1]) = (credit, value);
                }
            }
            "markov" => {}
            "shapley" => {
                let credits = shapley(&converting, &channels, |_| 1.0);
                let values = shapley(&converting, &channels, value);
                for ((channel, credit), value) in channels.iter().zip(credits).zip(values) {
                    let row = rows.get_mut(&(model, *channel)).unwrap();
                    (row[0], row[1]) = (credit, value);
                }
            }
            rule => {
                for path in &converting {
                    for (channel, share) in shares(rule, path, options) {
                        let row = rows.get_mut(&(model, channel)).unwrap();
                        row[0] += share;
                        row[1] += share * value(path);
                    }
                }
            }
        }
    }
    rows
}

/// How times are stored: the unit of one tick in an interval, and the column.
type Clock = (&'static str, fn(Vec<Option<i64>>) -> ArrayRef);

const CLOCKS: [Clock; 3] = [
    ("seconds", |t| Arc::new(TimestampSecondArray::from(t))),
    ("microseconds", |t| Arc::new(TimestampMicrosecondArray::from(t).with_timezone("Asia/Tokyo"))),
    ("days", |t| Arc::new(Date32Array::from_iter(t.into_iter().map(|t| t.map(|t| t as i32))))),
];

fn batch(rows: &[Row], clock: &Clock) -> RecordBatch {
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("user_id", Arc::new(Int64Array::from_iter(rows.iter().map(|r| r.user)))),
        ("ts", clock.1(rows.iter().map(|r| r.time).collect())),
        ("converts", Arc::new(rows.iter().map(|r| r.converts).collect::<BooleanArray>())),
        ("touches_it", Arc::new(rows.iter().map(|r| r.touches).collect::<BooleanArray>())),
        ("channel", Arc::new(StringArray::from_iter(rows.iter().map(|r| r.channel)))),
        ("segment", Arc::new(StringArray::from_iter(rows.iter().map(|r| r.segment)))),
        ("amount", Arc::new(Float64Array::from_iter(rows.iter().map(|r| r.value)))),
        ("key", Arc::new(Int64Array::from_iter(rows.iter().map(|r| r.key)))),
    ];
    RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, c)| (name, c, true))).unwrap()
}

fn load(asked: &Asked, random: &mut ChaCha8Rng, mut rows: Vec<Row>, clock: &Clock) {
    rows.shuffle(random);
    let mut partitions = vec![vec![batch(&[], clock)]; 3];
    for (at, chunk) in rows.chunks(13).enumerate() {
        partitions[at % 3].push(batch(chunk, clock));
    }
    asked.table("t", partitions);
}

fn call(options: &Options, unit: &str) -> String {
    let [first, middle, last] = options.weights;
    let models = MODELS.map(|m| format!("'{m}'")).join(", ");
    let mut call = format!(
        "attribution(t, conversion => converts, value => amount, model => [{models}], lookback => INTERVAL '{} {unit}',
           weights => [{first}, {middle}, {last}], half_life => INTERVAL '{} {unit}', reset => {}",
        options.lookback, options.half_life, options.reset
    );
    for (given, argument) in [
        (options.by, ", by => segment"),
        (options.key, ", order_key => key"),
        (options.condition, ", touch => touches_it"),
    ] {
        call += if given { argument } else { "" };
    }
    call + ")"
}

/// Many small tables: every number of every row, and that what must add up does, to the last bit and in any order.
#[test]
fn every_model_over_many_small_tables() {
    let mut random = random(31);
    let asked = Asked::new(3);
    for round in 0..240 {
        let clock = &CLOCKS[round % 3];
        let users: Vec<Vec<Row>> =
            (0..random.random_range(0..14)).map(|user| rows_of(&mut random, Some(user))).collect();
        let nobody = rows_of(&mut random, None);
        let options = Options {
            lookback: pick(&mut random, &[1, 2, 4, 100]),
            reset: random.random_bool(0.5),
            by: random.random_bool(0.5),
            key: random.random_bool(0.5),
            condition: random.random_bool(0.5),
            weights: pick(&mut random, &[[0.4, 0.2, 0.4], [20.0, 20.0, 60.0], [0.0, 1.0, 0.0], [1.0, 0.0, 0.0]]),
            half_life: pick(&mut random, &[1, 7]),
        };
        load(&asked, &mut random, users.iter().flatten().chain(&nobody).copied().collect(), clock);
        let all: Vec<Path> = users.iter().enumerate().flat_map(|(user, rows)| paths(rows, user, &options)).collect();
        let sql = format!("SELECT * FROM {}", call(&options, clock.0));
        let told = || format!("seed {}, round {round}: {sql}\n{users:#?}", seed());
        let got = asked.rows(&sql);

        let mut segments: BTreeMap<Option<&str>, Vec<&Path>> = BTreeMap::new();
        for path in &all {
            segments.entry(path.segment.filter(|_| options.by)).or_default().push(path);
        }
        let mut rows = got.into_iter().peekable();
        for (segment, paths) in &segments {
            let want = expected(paths, &options);
            let conversions = paths.iter().filter(|p| p.converts.is_some()).count() as f64;
            let sum: f64 = paths.iter().filter_map(|p| p.converts).map(|c| c.1).sum();
            let mut sums = vec![(Vec::new(), Vec::new()); MODELS.len()];
            let mut before = (0, f64::INFINITY);
            for _ in 0..want.len() {
                let mut row = rows.next().unwrap_or_else(|| panic!("rows are missing: {}", told()));
                if options.by {
                    assert_eq!(row.remove(0), segment.unwrap_or("NULL"), "{}", told());
                }
                let model = MODELS.iter().position(|m| *m == row[0]).unwrap();
                let number = |at: usize| row[at].parse::<f64>().unwrap();
                let channel = row[1].as_str();
                let (_, want) = want.iter().find(|(key, _)| **key == (model, channel)).unwrap_or_else(|| {
                    panic!("{row:?} is not expected: {}", told());
                });
                let got = [number(2), number(4), number(5), number(6)];
                assert!(got.iter().zip(want).all(|(g, w)| close(*g, *w)), "{row:?}, not {want:?}: {}", told());
                assert!(close(number(3), want[0] / conversions), "{row:?}: {}", told());
                // Models in the order asked, and the largest credit first.
                assert!(before.0 < model || (before.0 == model && before.1 >= got[0]), "{row:?}: {}", told());
                before = (model, got[0]);
                sums[model].0.push(got[0]);
                sums[model].1.push(got[1]);
            }
            for (name, (credits, values)) in MODELS.iter().zip(&mut sums) {
                if *name == "participation" {
                    continue;
                }
                let total: f64 = values.iter().sum();
                for _ in 0..4 {
                    credits.shuffle(&mut random);
                    values.shuffle(&mut random);
                    assert_eq!(credits.iter().sum::<f64>(), conversions, "{name}: {}", told());
                    assert_eq!(values.iter().sum::<f64>(), total, "{name}: {}", told());
                }
                assert!(close(total, sum), "{name}: {}", told());
            }
        }
        assert!(rows.peek().is_none(), "too many rows: {}", told());
    }
}

/// Prices that are no whole numbers of any double, over paths of every length: sums of credits and values are exact.
#[test]
fn many_thirds_add_up() {
    let mut random = random(32);
    let asked = Asked::new(2);
    let clock = &CLOCKS[1];
    let mut rows = Vec::new();
    for user in 0..700 {
        let of_user = rows_of(&mut random, Some(user));
        rows.extend(
            of_user.into_iter().map(|r| Row { value: r.value.map(|v| (v.abs() * 100.0).round() / 100.0), ..r }),
        );
    }
    let converting: Vec<Row> = rows.iter().copied().filter(|r| r.time.is_some() && r.converts == Some(true)).collect();
    // In cents the sum is exact.
    let cents: f64 = converting.iter().filter_map(|r| r.value).map(|v| (v * 100.0).round()).sum();
    load(&asked, &mut random, rows, clock);
    let options = Options {
        lookback: 4,
        reset: false,
        by: false,
        key: false,
        condition: true,
        weights: [0.3, 0.3, 0.4],
        half_life: 3,
    };
    let sql = format!(
        "SELECT model, sum(credit), sum(value) FROM {} WHERE model <> 'participation' GROUP BY model",
        call(&options, clock.0)
    );
    let rows = asked.rows(&sql);
    assert_eq!(rows.len(), MODELS.len() - 1);
    for row in rows {
        assert_eq!(row[1].parse::<f64>().unwrap(), converting.len() as f64, "{row:?}");
        assert!((row[2].parse::<f64>().unwrap() - cents / 100.0).abs() < 1e-9, "{row:?}");
        assert_eq!(row[2], asked.rows(&sql)[0][2], "{row:?}");
    }
}
