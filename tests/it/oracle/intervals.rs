//! Intervals: every order of the events of a time is walked through, and percentiles are read off the sorted lengths.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, Int64Array, RecordBatch, StringArray, TimestampMillisecondArray};
use rand::Rng;
use rand_chacha::ChaCha8Rng;

use super::{close, random, seed};
use crate::ask::Asked;

const COUNTRIES: [Option<&str>; 3] = [None, Some("de"), Some("us")];

#[derive(Debug, Clone, Copy)]
struct Row {
    user: Option<i64>,
    time: Option<i64>,
    from: Option<bool>,
    to: Option<bool>,
    country: usize,
}

/// What the events of a time in this order end, each with the country where it begins, and what they leave waiting.
fn walked(tied: &[Row], waiting: &[Row], first: bool) -> (Vec<(i64, usize)>, Vec<Row>) {
    let (mut waiting, mut found) = (waiting.to_vec(), Vec::new());
    for event in tied {
        let time = event.time.unwrap();
        if event.to == Some(true) {
            let begun = if first { waiting.first() } else { waiting.last() };
            found.extend(begun.map(|begun| (time - begun.time.unwrap(), begun.country)));
            waiting.clear();
        }
        if event.from == Some(true) {
            waiting.push(*event);
        }
    }
    (found, waiting)
}

fn orders(tied: &[Row]) -> Vec<Vec<Row>> {
    if tied.is_empty() {
        return vec![vec![]];
    }
    let mut all = Vec::new();
    for at in 0..tied.len() {
        let mut rest = tied.to_vec();
        let one = rest.remove(at);
        all.extend(orders(&rest).into_iter().map(|mut order| {
            order.insert(0, one);
            order
        }));
    }
    all
}

/// At each time the order that ends most, of those the shortest, of those one that leaves a source waiting.
fn of_user(events: &[Row], first: bool) -> Vec<(i64, usize)> {
    let mut by_time: BTreeMap<i64, Vec<Row>> = BTreeMap::new();
    for event in events {
        by_time.entry(event.time.unwrap()).or_default().push(*event);
    }
    let (mut found, mut waiting) = (Vec::new(), Vec::new());
    for tied in by_time.values() {
        let all = orders(tied).into_iter().map(|order| walked(&order, &waiting, first));
        let (ended, left) = all
            .max_by_key(|(ended, left)| (ended.len(), -ended.iter().map(|e| e.0).sum::<i64>(), !left.is_empty()))
            .unwrap();
        found.extend(ended);
        waiting = left;
    }
    found
}

fn percentile(sorted: &[i64], percent: usize) -> f64 {
    let place = (sorted.len() - 1) * percent;
    let (lower, upper) = (sorted[place / 100] as f64, sorted[place.div_ceil(100)] as f64);
    lower + (upper - lower) * (place % 100) as f64 / 100.0
}

fn draw(random: &mut ChaCha8Rng, ties: bool) -> Vec<Row> {
    let mut rows = Vec::new();
    for user in 0..random.random_range(1..30) {
        let mut times = BTreeSet::new();
        for _ in 0..random.random_range(0..6) {
            let time = random.random_range(0..if ties { 5 } else { 100_000 });
            if !ties && !times.insert(time) {
                continue;
            }
            rows.push(Row {
                user: (user > 0).then_some(user),
                time: random.random_bool(0.97).then_some(time * 1_001),
                from: (!random.random_bool(0.1)).then(|| random.random_bool(0.6)),
                to: (!random.random_bool(0.1)).then(|| random.random_bool(0.6)),
                country: random.random_range(0..COUNTRIES.len()),
            });
        }
    }
    rows
}

fn load(asked: &Asked, random: &mut ChaCha8Rng, rows: &[Row]) {
    let mut partitions: Vec<Vec<Row>> = vec![Vec::new(); 3];
    for row in rows {
        partitions[random.random_range(0..3)].push(*row);
    }
    let batch = |rows: &[Row]| {
        let columns: Vec<(&str, ArrayRef)> = vec![
            ("user_id", Arc::new(Int64Array::from_iter(rows.iter().map(|r| r.user)))),
            ("ts", Arc::new(TimestampMillisecondArray::from_iter(rows.iter().map(|r| r.time)))),
            ("f", Arc::new(BooleanArray::from_iter(rows.iter().map(|r| r.from)))),
            ("t", Arc::new(BooleanArray::from_iter(rows.iter().map(|r| r.to)))),
            ("country", Arc::new(StringArray::from_iter(rows.iter().map(|r| COUNTRIES[r.country])))),
        ];
        RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, c)| (name, c, true))).unwrap()
    };
    let partitions = partitions.iter().map(|rows| {
        let mut batches: Vec<RecordBatch> = rows.chunks(3).map(batch).collect();
        batches.push(batch(&[]));
        batches
    });
    asked.table("events", partitions.collect());
}

#[test]
fn intervals_are_those_of_brute_force() {
    let asked = Asked::new(3);
    for round in 0..60 {
        let random = &mut random(7_000 + round);
        let ties = random.random_bool(0.5);
        // Of tied events with values of their own several orders are as good.
        let by = !ties && random.random_bool(0.6);
        let first = random.random_bool(0.5);
        let same = random.random_bool(0.2);
        let within = random.random_bool(0.3).then(|| random.random_range(1..40_000));
        let mut rows = draw(random, ties);
        load(&asked, random, &rows);
        if same {
            rows.iter_mut().for_each(|row| row.to = row.from);
        }
        let mut users: BTreeMap<i64, Vec<Row>> = BTreeMap::new();
        for row in rows.iter().filter(|r| r.time.is_some() && (r.from == Some(true) || r.to == Some(true))) {
            if let Some(user) = row.user {
                users.entry(user).or_default().push(*row);
            }
        }
        let mut lengths: BTreeMap<usize, (Vec<i64>, BTreeSet<i64>)> = BTreeMap::new();
        if !by {
            lengths.entry(0).or_default();
        }
        for (user, events) in &users {
            for (length, country) in of_user(events, first) {
                if within.is_none_or(|within| length <= within * 1_000) {
                    let of_value = lengths.entry(if by { country } else { 0 }).or_default();
                    of_value.0.push(length);
                    of_value.1.insert(*user);
                }
            }
        }
        let mut sql = format!(
            "SELECT * FROM intervals(events, \"from\" => f, anchor => '{}'",
            if first { "first" } else { "last" }
        );
        if !same {
            sql.push_str(", \"to\" => t");
        }
        if by {
            sql.push_str(", by => country");
        }
        if let Some(within) = within {
            sql.push_str(&format!(", within => INTERVAL '{within} seconds'"));
        }
        sql.push(')');
        let found = asked.rows(&sql);
        let place = format!("seed {} round {round}: {sql}\n{rows:?}", seed());
        assert_eq!(found.len(), lengths.len(), "{place}");
        for (row, (country, (lengths, users))) in found.iter().zip(&mut lengths) {
            let mut row = &row[..];
            if by {
                assert_eq!(row[0], COUNTRIES[*country].unwrap_or("NULL"), "{place}");
                row = &row[1..];
            }
            assert_eq!(row[..2], [lengths.len().to_string(), users.len().to_string()], "{place}");
            if lengths.is_empty() {
                assert!(row[2..].iter().all(|cell| cell == "NULL"), "{place}");
                continue;
            }
            lengths.sort_unstable();
            let mean = lengths.iter().sum::<i64>() as f64 / lengths.len() as f64;
            let mut wanted = vec![mean, lengths[0] as f64];
            wanted.extend([10, 25, 50, 75, 90].map(|percent| percentile(lengths, percent)));
            wanted.push(lengths[lengths.len() - 1] as f64);
            for (cell, wanted) in row[2..].iter().zip(wanted) {
                assert!(close(cell.parse().unwrap(), wanted / 1_000.0), "{cell} for {wanted}: {place}");
            }
        }
    }
}
