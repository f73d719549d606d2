//! Sessions: the kernel one user at a time, and the aggregate fed directly.

use std::hint::black_box;

use criterion::{Criterion, Throughput};
use datafusion::scalar::ScalarValue;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tenure::algo::calendar::{Calendar, Clock, Unit};
use tenure::algo::event::Event;
use tenure::algo::session::views::Views;
use tenure::algo::session::{Bounce, Ranks, Rules, role, sessions};
use tenure::functions::session::{user_sessions, user_views};

use crate::drive::Argument::{Column, Constant};
use crate::drive::{Call, Country};
use crate::events::{DAY, DAYS, START, Shape};
use crate::size;

const MINUTE: i64 = 60_000_000;
const PAGES: u32 = 1000;

/// `users` of `each` events at times by a rule for (random, position), each a view of some page.
fn users(users: usize, each: usize, time: impl Fn(&mut ChaCha8Rng, usize) -> i64) -> Vec<Vec<Event>> {
    let mut random = ChaCha8Rng::seed_from_u64(7);
    let mut one = || {
        let mut events: Vec<Event> = (0..each)
            .map(|at| Event { time: time(&mut random, at), mask: role::VIEW, tag: random.random_range(0..PAGES) })
            .collect();
        events.sort_by_key(|e| e.time);
        events
    };
    (0..users).map(|_| one()).collect()
}

/// The cuts, and the views within them; figures are for an event.
pub fn kernel(c: &mut Criterion) {
    let n = size(1 << 17);
    let rules = || Rules { gap: 30 * MINUTE.unsigned_abs(), max_length: None, midnight: None };
    let day = Calendar::new(Unit::Day, "Europe/Berlin", 0, Clock::Instants(1_000_000));
    let all = || Rules { max_length: Some(4 * 60 * MINUTE.unsigned_abs()), midnight: day.clone(), ..rules() };
    let any_time = |random: &mut ChaCha8Rng, _| random.random_range(START..START + DAYS * DAY);
    let inputs = [
        // 32 events a user over half a year: nearly every event opens a session.
        ("apart", rules(), users(n / 32, 32, any_time)),
        // The same with every rule and a zone: two local dates are looked up an event.
        ("every_rule", all(), users(n / 32, 32, any_time)),
        // One user whose one session never ends.
        ("one_session", rules(), users(1, n, |_, at| START + at as i64 * MINUTE)),
        // A whole import at one instant: all views are tied, and sorted by page.
        ("all_tied", all(), users(1, n, |_, _| START)),
    ];
    let ranks: Vec<u32> = (1..=PAGES).collect();
    let ranks = Ranks { page: &ranks, ..Ranks::default() };
    let mut group = c.benchmark_group("sessions");
    group.throughput(Throughput::Elements(n as u64));
    for (name, rules, users) in inputs {
        let (mut rules, mut found, mut seen) = (rules, Vec::new(), Vec::new());
        group.bench_function(format!("cut/{name}"), |b| {
            b.iter(|| {
                for events in &users {
                    found.clear();
                    sessions(black_box(events), &mut rules, Bounce::Depth, &ranks, &mut found)
                        .expect("a calendar time");
                }
                found.len()
            });
        });
        group.bench_function(format!("views/{name}"), |b| {
            let mut views = Views::default();
            b.iter(|| {
                for events in &users {
                    found.clear();
                    seen.clear();
                    sessions(black_box(events), &mut rules, Bounce::Depth, &ranks, &mut found)
                        .expect("a calendar time");
                    views.of_user(events, &found, &[], &ranks, &mut seen);
                }
                seen.len()
            });
        });
    }
}

/// `update_batch` of every row and `evaluate` of every group.
pub fn aggregates(c: &mut Criterion) {
    let n = size(1 << 18);
    let text = |rules: &str| Constant(ScalarValue::Utf8(Some(rules.to_string())));
    let call = |function| {
        let gap = format!("gap {}, midnight, zone Europe/Berlin", 30 * MINUTE);
        let arguments =
            [Column("ts"), text(&gap), Column("c0"), Column("c1"), Column("c1"), Column("c2"), Column("c2")];
        Call::new(function, &arguments, Country::Dictionary)
    };
    for shape in [Shape::Time, Shape::Shuffled, Shape::OneUser, Shape::AllUsers, Shape::Tied] {
        let mut group = c.benchmark_group(format!("session_aggregates/{}", shape.name()));
        group.throughput(Throughput::Elements(n as u64));
        let rows = shape.rows(n);
        for call in [call(user_sessions()), call(user_views())] {
            let input = call.input(&rows);
            group.bench_function(call.name(), |b| b.iter(|| black_box(input.evaluate(call.native()))));
        }
    }
}
