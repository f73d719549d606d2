//! Rows of groups come in the order that was asked for, however their columns were moved about since.
//!
//! The oracle is the same question without an order, sorted here.

use std::cmp::Ordering;

use rand::seq::{IndexedRandom, SliceRandom};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::ask::Asked;
use crate::oracle::seed;

/// Groups, ranked among each other, with their columns in some order: the query and the names of its columns.
fn question(random: &mut ChaCha8Rng) -> (String, Vec<&'static str>) {
    let keys = *["k", "k", "k, c", "c, k"].choose(random).unwrap();
    let c = if keys.contains('c') { "c" } else { "min(c) AS c" };
    let mut groups = vec![("k", "k"), ("c", c), ("n", "count(*) AS n"), ("t", "max(v) AS t"), ("m", "max(d) AS m")];
    groups.shuffle(random);
    groups.truncate(random.random_range(3..=5));
    if !groups.iter().any(|g| g.0 == "t") {
        groups.push(("t", "max(v) AS t"));
    }
    let mut columns: Vec<(&str, String)> = groups.iter().map(|g| (g.0, g.0.to_string())).collect();
    columns.shuffle(random);
    if random.random_bool(0.8) {
        // Not row_number(): of rows that are equal to a window any may come first.
        let window = *["rank()", "dense_rank()", "count(*)", "max(t)"].choose(random).unwrap();
        let over =
            *["ORDER BY t", "ORDER BY t DESC", "ORDER BY t, n0", "PARTITION BY t ORDER BY n0"].choose(random).unwrap();
        // A claim about the first column of the groups goes to whatever comes first.
        let at = if random.random_bool(0.7) { 0 } else { columns.len() };
        columns.insert(at, ("r", format!("{window} OVER ({over}) AS r")));
    }
    let keys = if random.random_bool(0.2) { format!("ROLLUP ({keys})") } else { keys.to_string() };
    let list = |items: &mut dyn Iterator<Item = String>| items.collect::<Vec<_>>().join(", ");
    let inner = list(&mut groups.iter().map(|g| g.1.to_string()));
    let outer = list(&mut columns.iter().map(|c| c.1.clone()));
    let middle = if random.random_bool(0.3) { " WHERE t IS NOT NULL" } else { "" };
    let sql = format!("SELECT {outer} FROM (SELECT {inner}, count(*) AS n0 FROM e GROUP BY {keys}) AS g{middle}");
    (sql, columns.into_iter().map(|c| c.0).collect())
}

/// Numbers in order, NULL last.
fn compare(a: &str, b: &str) -> Ordering {
    match (a.parse::<i64>(), b.parse::<i64>()) {
        (Ok(a), Ok(b)) => a.cmp(&b),
        (Ok(_), Err(_)) => Ordering::Less,
        (Err(_), Ok(_)) => Ordering::Greater,
        _ => Ordering::Equal,
    }
}

#[test]
fn rows_of_groups_come_in_the_order_asked_for() {
    let asked = Asked::new(3);
    asked
        .batches(
            "CREATE TABLE e AS SELECT n * 7919 % 13 AS k, n * 104729 % 4 AS c, n % 13 % 3 AS v, CASE WHEN n % 5 > 1 THEN n % 4 END AS d
             FROM generate_series(1, 60) AS t(n)",
        )
        .unwrap();
    let rounds = std::env::var("TENURE_ORDERS").map_or(300, |n| n.parse().expect("a number of statements"));
    let random = &mut ChaCha8Rng::seed_from_u64(seed() ^ 0x0e_de);
    let mut in_question = 0;
    for _ in 0..rounds {
        let (sql, mut columns) = question(random);
        let mut rows = asked.rows(&sql);
        let at = |name: &str, columns: &[&str]| columns.iter().position(|c| *c == name).unwrap();
        let all = columns.clone();
        columns.shuffle(random);
        columns.truncate(random.random_range(1..=columns.len()));
        // Nearly every order begins with the rank: what comes behind it is what is lost.
        if let Some(at) = columns.iter().position(|c| *c == "r") {
            columns.swap(0, at);
        }
        let keys: Vec<(usize, bool)> = columns.iter().map(|c| (at(c, &all), random.random_bool(0.4))).collect();
        let by: Vec<String> = columns
            .iter()
            .zip(&keys)
            .map(|(c, (_, down))| format!("{c}{} NULLS LAST", if *down { " DESC" } else { "" }))
            .collect();
        let limit = random.random_bool(0.5).then(|| random.random_range(1..8));
        let limited = limit.map_or(String::new(), |limit| format!(" LIMIT {limit}"));
        let statement = format!("SELECT * FROM ({sql}) AS x ORDER BY {}{limited}", by.join(", "));
        let found = asked.rows(&statement);
        let in_order = |a: &Vec<String>, b: &Vec<String>| {
            keys.iter().fold(Ordering::Equal, |so_far, (key, down)| {
                let next = compare(&a[*key], &b[*key]);
                let known = a[*key] != "NULL" && b[*key] != "NULL";
                so_far.then(if *down && known { next.reverse() } else { next })
            })
        };
        rows.sort_by(in_order);
        // Of rows that are equal by the order any may come first, so only what the order says is compared.
        let told = |rows: &[Vec<String>]| -> Vec<Vec<String>> {
            rows.iter().map(|row| keys.iter().map(|(key, _)| row[*key].clone()).collect()).collect()
        };
        let wanted = &rows[..limit.unwrap_or(rows.len()).min(rows.len())];
        assert_eq!(told(&found), told(wanted), "seed {}: {statement}", seed());
        in_question += usize::from(found.len() > 1);
    }
    assert!(in_question > rounds / 2, "too few statements with rows");
}
