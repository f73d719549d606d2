//! Patterns: the search alone, over usual and adversarial events of the same number.

use std::hint::black_box;

use criterion::{Criterion, Throughput};
use rand::Rng;
use rand_chacha::ChaCha8Rng;
use tenure::algo::event::Event;
use tenure::algo::pattern::parse;
use tenure::algo::pattern::search::{Plan, Search};

use crate::events::users;
use crate::size;

/// `occurs` and `count`; figures are for an event.
pub fn pattern(c: &mut Criterion) {
    let n = size(1 << 17);
    let kinds = |random: &mut ChaCha8Rng| 1u64 << random.random_range(0..4);
    let spread = || users(1, n, |random, at| (at as i64, kinds(random)));
    let inputs: Vec<(&str, String, Vec<Vec<Event>>)> = vec![
        // 32 events a user over half a year; some of them match.
        (
            "typical",
            "(?1)(?t<=1 day)(?2)[^4]*(?t<=7 days)(?3)".into(),
            users(n / 32, 32, |random, _| (random.random_range(0..180 * 86_400), kinds(random))),
        ),
        // One user with everything; many matches.
        ("one_user", "(?1).*(?2).*(?3)".into(), spread()),
        // A backtracking search tries every three of the events before it finds that none goes on.
        (
            "never_ends",
            "(?1).*(?t>100)(?1).*(?t>100)(?1).*(?t>100)(?1).*(?2)".into(),
            users(1, n, |_, at| (at as i64, 1)),
        ),
        // Exact distances, 64 elements: every element is raised over every event.
        ("64_exact", format!("{}(?2)", "(?1).*(?t==10)".repeat(63)), spread()),
        // Short distances, 64 elements: long runs that break late.
        ("64_at_most", format!("{}(?2)", "(?1).*(?t<=10)".repeat(63)), spread()),
        // Neighbours only, 64 elements over equal events: the last one is what fails.
        ("64_neighbours", format!("{}(?2)", "(?1)".repeat(63)), users(1, n, |_, at| (at as i64, 1))),
        // Four `!=`: sixteen patterns.
        ("unequal", format!("{}(?2)", "(?1)[^3]*(?t!=1)".repeat(4)), spread()),
        // Two events an instant that satisfy several conditions: leftovers and seats at every instant.
        (
            "tied_pairs",
            "(?1)[^3]*(?2)(?3)(?4)".into(),
            users(1, n, |random, at| (at as i64 / 2, random.random_range(1..16))),
        ),
        // A whole import at one instant: every match is seated beside the ones before.
        ("all_tied", "(?1)(?2)(?3)".into(), users(1, n, |random, _| (0, random.random_range(1..16)))),
    ];
    let mut group = c.benchmark_group("pattern");
    for (name, text, users) in &inputs {
        let Ok(pattern) = parse::pattern(text, 4) else { unreachable!("{text}") };
        let mut search = Search::new(Plan::new(&pattern, None, 1_000_000_000));
        group.throughput(Throughput::Elements(users.iter().map(|u| u.len() as u64).sum()));
        group.bench_function(format!("occurs/{name}"), |b| {
            b.iter(|| users.iter().filter(|events| search.occurs(black_box(events))).count());
        });
        group.bench_function(format!("count/{name}"), |b| {
            b.iter(|| users.iter().map(|events| search.count(black_box(events))).sum::<u64>());
        });
    }
}
