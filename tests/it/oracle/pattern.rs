//! Patterns: every order of tied rows, and in each order every assignment of rows to the pattern, is tried.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, Date32Array, Int64Array, RecordBatch, StringArray, TimestampSecondArray};
use rand::Rng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use tenure::algo::event::Event;
use tenure::algo::pattern::parse;
use tenure::algo::pattern::search::{Plan, Search};

use super::{random, seed};
use crate::ask::Asked;

const CONDITIONS: usize = 4;
const NAMES: [Option<&str>; 4] = [None, Some("a"), Some("b"), Some("c")];

/// A row: its time, and which conditions hold; unknown ones are `None`.
#[derive(Debug, Clone, Copy)]
struct Row {
    time: Option<i64>,
    conditions: [Option<bool>; CONDITIONS],
    /// Position in `NAMES`, which is also the order of the values.
    name: usize,
}

/// A pattern in the test's own words.
#[derive(Debug, Clone)]
struct Pattern {
    /// What each event must satisfy; `None` is any event.
    wanted: Vec<Option<usize>>,
    /// What stands before each event.
    before: Vec<Between>,
}

#[derive(Debug, Clone, Default)]
struct Between {
    /// `None` where the events are neighbours; else the conditions that no event between satisfies.
    gap: Option<Vec<usize>>,
    limits: Vec<(&'static str, i64)>,
}

impl Pattern {
    fn random(random: &mut ChaCha8Rng, conditions: usize) -> Self {
        let events = random.random_range(1..=5);
        let wanted = (0..events).map(|_| (!random.random_bool(0.15)).then(|| random.random_range(0..conditions)));
        let wanted = wanted.collect();
        let mut unequal = 0;
        let mut between = || {
            let mut between = Between::default();
            match random.random_range(0..6) {
                0 | 1 => between.gap = Some(Vec::new()),
                2 => between.gap = Some(vec![random.random_range(0..conditions)]),
                3 => between.gap = Some((0..2).map(|_| random.random_range(0..conditions)).collect()),
                _ => {}
            }
            for _ in 0..[0, 0, 0, 1, 1, 2][random.random_range(0..6)] {
                let sign = ["<=", "<", ">=", ">", "==", "!="][random.random_range(0..6)];
                unequal += usize::from(sign == "!=");
                if unequal <= 3 || sign != "!=" {
                    between.limits.push((sign, random.random_range(0..4)));
                }
            }
            between
        };
        let before = (0..events).map(|at| if at == 0 { Between::default() } else { between() }).collect();
        Self { wanted, before }
    }

    /// As the engine reads it.
    fn text(&self, unit: &str) -> String {
        let mut text = String::new();
        for (wanted, before) in self.wanted.iter().zip(&self.before) {
            let gap = before.gap.as_ref().map(|without| match without.as_slice() {
                [] => ".*".to_string(),
                without => {
                    format!("[^{}]*", without.iter().map(|c| (c + 1).to_string()).collect::<Vec<_>>().join(" "))
                }
            });
            text.push_str(&gap.unwrap_or_default());
            for (sign, value) in &before.limits {
                text.push_str(&format!("(?t{sign}{value}{unit})"));
            }
            text.push_str(&wanted.map_or(".".to_string(), |c| format!("(?{})", c + 1)));
        }
        text
    }

    /// Whether rows `from` and `to` of an order can be neighbours of a match.
    fn allows(&self, rows: &[Row], at: usize, from: usize, to: usize) -> bool {
        let Between { gap, limits } = &self.before[at];
        let passes = match gap {
            None if limits.is_empty() => to == from + 1,
            None => true,
            Some(without) => {
                rows[from + 1..to].iter().all(|row| without.iter().all(|c| row.conditions[*c] != Some(true)))
            }
        };
        let time = rows[to].time.unwrap() - rows[from].time.unwrap();
        passes
            && limits.iter().all(|(sign, value)| match *sign {
                "<=" => time <= *value,
                "<" => time < *value,
                ">=" => time >= *value,
                ">" => time > *value,
                "==" => time == *value,
                _ => time != *value,
            })
    }

    /// Every match in one order of the rows, as positions.
    fn matches(&self, rows: &[Row], within: Option<i64>, chain: &mut Vec<usize>, found: &mut Vec<Vec<usize>>) {
        let at = chain.len();
        if at == self.wanted.len() {
            found.push(chain.clone());
            return;
        }
        let from = chain.last().map_or(0, |last| last + 1);
        for to in from..rows.len() {
            let serves = self.wanted[at].is_none_or(|c| rows[to].conditions[c] == Some(true));
            let spans = |w: i64| chain.first().is_none_or(|f| rows[to].time.unwrap() - rows[*f].time.unwrap() <= w);
            if serves && within.is_none_or(spans) && (at == 0 || self.allows(rows, at, chain[at - 1], to)) {
                chain.push(to);
                self.matches(rows, within, chain, found);
                chain.pop();
            }
        }
    }
}

/// The greatest number of matches that do not overlap, and the times of the match that ends first (then: whose last but one
/// event is earliest, ..), over every order of tied rows.
fn brute_force(rows: &[Row], pattern: &Pattern, within: Option<i64>) -> (u64, Option<Vec<i64>>) {
    let (mut most, mut first): (u64, Option<Vec<i64>>) = (0, None);
    each_order(&mut rows.to_vec(), 0, &mut |rows| {
        let mut found = Vec::new();
        pattern.matches(rows, within, &mut Vec::new(), &mut found);
        for chain in &found {
            let times: Vec<i64> = chain.iter().map(|at| rows[*at].time.unwrap()).collect();
            if first.as_ref().is_none_or(|first| times.iter().rev().lt(first.iter().rev())) {
                first = Some(times);
            }
        }
        // most[i]: among the first i rows.
        let mut up_to = vec![0; rows.len() + 1];
        for end in 0..rows.len() {
            let ending = found.iter().filter(|chain| chain.last() == Some(&end));
            up_to[end + 1] = ending.map(|chain| up_to[chain[0]] + 1).fold(up_to[end], u64::max);
        }
        most = most.max(up_to[rows.len()]);
    });
    (most, first)
}

fn each_order(rows: &mut Vec<Row>, from: usize, visit: &mut dyn FnMut(&[Row])) {
    if from == rows.len() {
        return visit(rows);
    }
    for at in from..rows.len() {
        if rows[at].time != rows[from].time {
            break;
        }
        rows.swap(from, at);
        each_order(rows, from + 1, visit);
        rows.swap(from, at);
    }
}

/// How many orders of tied rows there are.
fn orders(rows: &[Row]) -> usize {
    rows.chunk_by(|a, b| a.time == b.time).map(|tied| (1..=tied.len()).product::<usize>()).product()
}

/// Up to `most` rows over few instants, in order of time.
fn rows_of(random: &mut ChaCha8Rng, most: usize) -> Vec<Row> {
    loop {
        let instants = random.random_range(1..=7);
        let often = [0.25, 0.4, 0.6][random.random_range(0..3)];
        let mut rows: Vec<Row> = (0..random.random_range(0..=most))
            .map(|_| Row {
                time: random.random_bool(0.96).then(|| random.random_range(0..instants)),
                conditions: std::array::from_fn(|_| match random.random_bool(0.06) {
                    true => None,
                    false => Some(random.random_bool(often)),
                }),
                name: random.random_range(0..NAMES.len()),
            })
            .collect();
        rows.sort_by_key(|row| row.time);
        if orders(&rows) <= 150 {
            return rows;
        }
    }
}

/// The rows that take part.
fn taking_part(rows: &[Row], conditions: usize, keep_all: bool) -> Vec<Row> {
    let counts = |row: &&Row| keep_all || row.conditions[..conditions].contains(&Some(true));
    rows.iter().filter(|row| row.time.is_some()).filter(counts).copied().collect()
}

/// The kernel itself, ties in random order.
#[test]
fn the_kernel_on_twenty_thousand_users() {
    let mut random = random(21);
    let mut found = [0; 3];
    for round in 0..20_000 {
        let conditions = random.random_range(1..=CONDITIONS);
        let pattern = Pattern::random(&mut random, conditions);
        let text = pattern.text("");
        let Ok(parsed) = parse::pattern(&text, conditions) else { continue };
        let within = random.random_bool(0.3).then(|| random.random_range(0..5));
        let rows = taking_part(&rows_of(&mut random, 8), conditions, random.random_bool(0.3));
        let mut events: Vec<Event> = rows
            .iter()
            .map(|row| {
                let mask =
                    (0..conditions).filter(|c| row.conditions[*c] == Some(true)).fold(0, |mask, c| mask | 1 << c);
                Event { time: row.time.unwrap(), mask, tag: 0 }
            })
            .collect();
        events.shuffle(&mut random);
        events.sort_by_key(|event| event.time);
        let (count, first) = brute_force(&rows, &pattern, within);
        let nanos = within.map(|w| w as u128 * 1_000_000_000);
        let mut search = Search::new(Plan::new(&parsed, nanos, 1_000_000_000));
        let mut times = Vec::new();
        let got = (search.count(&events), search.first(&events, &mut times).then_some(times));
        let told = || format!("seed {}, round {round}: {text} within {within:?}\n{events:?}", seed());
        assert_eq!(got, (count, first), "{}", told());
        assert_eq!(search.occurs(&events), count > 0, "{}", told());
        found[count.min(2) as usize] += 1;
    }
    // The cases are worth trying: some patterns occur, some occur often.
    assert!(found.iter().all(|n| *n > 1_500), "{found:?}");
}

/// All rows in random order, over three partitions of small batches.
fn load(asked: &Asked, random: &mut ChaCha8Rng, users: &[Vec<Row>], dates: bool) {
    let mut rows: Vec<(i64, Row)> =
        users.iter().zip(1..).flat_map(|(rows, user)| rows.iter().map(move |row| (user, *row))).collect();
    rows.shuffle(random);
    let mut partitions = vec![Vec::new(); 3];
    for (at, chunk) in rows.chunks(499).enumerate() {
        let times = chunk.iter().map(|(_, row)| row.time);
        let times: ArrayRef = match dates {
            true => Arc::new(Date32Array::from_iter(times.map(|t| t.map(|t| t as i32)))),
            false => Arc::new(TimestampSecondArray::from_iter(times)),
        };
        let mut columns: Vec<(String, ArrayRef)> = vec![
            ("user_id".into(), Arc::new(Int64Array::from_iter_values(chunk.iter().map(|(user, _)| *user)))),
            ("ts".into(), times),
            ("name".into(), Arc::new(StringArray::from_iter(chunk.iter().map(|(_, row)| NAMES[row.name])))),
        ];
        for c in 0..CONDITIONS {
            let condition: BooleanArray = chunk.iter().map(|(_, row)| row.conditions[c]).collect();
            columns.push((format!("m{}", c + 1), Arc::new(condition)));
        }
        let columns = columns.into_iter().map(|(name, column)| (name, column, true));
        partitions[at % 3].push(RecordBatch::try_from_iter_with_nullable(columns).unwrap());
    }
    asked.table("t", partitions);
}

fn answers(asked: &Asked, sql: &str) -> BTreeMap<usize, Vec<String>> {
    asked.rows(sql).into_iter().map(|mut row| (row.remove(0).parse().unwrap(), row)).collect()
}

/// The aggregates: rows in any order, partial states merged, NULLs, options, dates and seconds.
#[test]
fn patterns_of_a_thousand_users_in_sql() {
    let mut random = random(22);
    let asked = Asked::new(3);
    for dates in [false, true] {
        let users: Vec<Vec<Row>> = (0..500).map(|_| rows_of(&mut random, 8)).collect();
        load(&asked, &mut random, &users, dates);
        let mut asked_patterns = 0;
        while asked_patterns < 20 {
            let pattern = Pattern::random(&mut random, CONDITIONS);
            let text = pattern.text(if dates { " days" } else { "" });
            if parse::pattern(&text, CONDITIONS).is_err() {
                continue;
            }
            asked_patterns += 1;
            let within = random.random_bool(0.3).then(|| random.random_range(1..5));
            let keep_all = random.random_bool(0.3);
            let mut options = Vec::new();
            options.extend(within.map(|w| format!("within {w} {}", if dates { "days" } else { "seconds" })));
            options.extend(keep_all.then(|| "keep_all".to_string()));
            let arguments = format!("'{text}', '{}', ts, m1, m2, m3, m4", options.join(", "));
            let sql = format!(
                "SELECT user_id, sequence_match({arguments}), sequence_count({arguments}),
                   CAST(arrow_cast(sequence_match_events({arguments}), 'List({})') AS VARCHAR)
                 FROM t GROUP BY user_id",
                if dates { "Int32" } else { "Int64" },
            );
            let got = answers(&asked, &sql);
            for (rows, user) in users.iter().zip(1..) {
                let (count, first) = brute_force(&taking_part(rows, CONDITIONS, keep_all), &pattern, within);
                let times: Vec<String> = first.unwrap_or_default().iter().map(i64::to_string).collect();
                let want = [(count > 0).to_string(), count.to_string(), format!("[{}]", times.join(", "))];
                match got.get(&user) {
                    Some(got) => assert_eq!(got, &want, "seed {}: user {user}, {sql}\n{rows:#?}", seed()),
                    None => assert!(rows.is_empty(), "user {user} is missing"),
                }
            }
        }
    }
}

/// `sequence_next_event`: rows sorted by time, name and conditions, then walked by hand.
#[test]
fn next_events_of_a_thousand_users() {
    let mut random = random(23);
    let asked = Asked::new(3);
    let users: Vec<Vec<Row>> = (0..1_000).map(|_| rows_of(&mut random, 8)).collect();
    load(&asked, &mut random, &users, false);
    let mut answered = 0;
    for base in ["head", "tail", "first_match", "last_match"] {
        for direction in ["forward", "backward"] {
            for conditions in 1..=3 {
                let list = (1..=conditions).map(|c| format!("m{c}")).collect::<Vec<_>>().join(", ");
                let sql = format!(
                    "SELECT user_id, sequence_next_event(name, ts, '{base}', '{direction}', {list}) FROM t GROUP BY user_id"
                );
                let got = answers(&asked, &sql);
                for (rows, user) in users.iter().zip(1..) {
                    let mut rows: Vec<Row> = rows.iter().filter(|row| row.time.is_some()).copied().collect();
                    let holds = |row: &Row, c: usize| row.conditions[c] == Some(true);
                    // Conditions as a number, condition 1 lowest.
                    let mask = |row: &Row| (0..conditions).map(|c| usize::from(holds(row, c)) << c).sum::<usize>();
                    rows.sort_by_key(|row| (row.time, row.name, mask(row)));
                    let mut starts: Vec<usize> = match base {
                        "head" => (0..rows.len()).take(1).collect(),
                        "tail" => (0..rows.len()).rev().take(1).collect(),
                        _ => (0..rows.len()).filter(|at| holds(&rows[*at], 0)).collect(),
                    };
                    if base == "last_match" {
                        starts.reverse();
                    }
                    let run: Vec<&Row> = match (starts.first(), direction) {
                        (None, _) => Vec::new(),
                        (Some(start), "forward") => rows[*start..].iter().collect(),
                        (Some(start), _) => rows[..=*start].iter().rev().collect(),
                    };
                    let serves = run.len() > conditions && (0..conditions).all(|c| holds(run[c], c));
                    let next = if serves { NAMES[run[conditions].name] } else { None };
                    answered += usize::from(next.is_some());
                    if let Some(got) = got.get(&user) {
                        assert_eq!(got[0], next.unwrap_or("NULL"), "seed {}: user {user}, {sql}\n{rows:#?}", seed());
                    } else {
                        assert!(users[user - 1].is_empty(), "user {user} is missing");
                    }
                }
            }
        }
    }
    assert!(answered > 2_000, "{answered}");
}
