//! Walks, transitions, paths, and the table over all users: the kernels without Arrow.

use std::hint::black_box;

use criterion::{Criterion, Throughput};
use rand::Rng;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use tenure::algo::flow::Flow;
use tenure::algo::path::{Cut, FIRST_NODE, Paths, Visit, Walks, Way, transitions};

use crate::size;

/// Sessions of about eight events, a minute apart, in seconds.
fn users(users: usize, each: usize, names: u32) -> Vec<Vec<Visit>> {
    let mut random = ChaCha8Rng::seed_from_u64(7);
    let mut one = || {
        let mut time = 0;
        let mut visit = || {
            time += if random.random_bool(0.125) { 7_200 } else { 60 };
            // The square makes some nodes far more frequent than others.
            let node = FIRST_NODE + (random.random::<f64>().powi(2) * f64::from(names)) as u32;
            Visit { time, node, session: random.random_range(0..4), group: 0, anchor: random.random_bool(0.1) }
        };
        (0..each).map(|_| visit()).collect()
    };
    (0..users).map(|_| one()).collect()
}

fn flow_of(users: &[Vec<Visit>], walks: Walks, edges: impl Fn(&[Visit], &mut Flow)) -> Flow {
    let (mut flow, mut visits) = (Flow::default(), Vec::new());
    for user in users {
        visits.clear();
        visits.extend_from_slice(user);
        flow.next_user();
        walks.each(&mut visits, |walk| edges(walk, &mut flow));
    }
    flow
}

fn add_transitions(walk: &[Visit], flow: &mut Flow) {
    transitions(walk, |source, target, _| {
        flow.add((0, source, target), 1).expect("few edges");
    });
}

/// From a user's sorted visits to counted edges, and from these to the table. Figures are for an event.
pub fn paths(c: &mut Criterion) {
    let n = size(1 << 17);
    let walks = |cut, collapse| Walks { cut, collapse };
    let typical = users(n / 32, 32, 16);
    let inputs = [
        ("gap", walks(Cut::Gap(1_800), false), typical.clone()),
        ("gap_collapse", walks(Cut::Gap(1_800), true), typical.clone()),
        // Interleaved sessions: a sort of every user's visits by session.
        ("named_sessions", walks(Cut::Session, false), typical.clone()),
        // 50,000 names: nearly every edge is a new one.
        ("many_names", walks(Cut::Gap(1_800), false), users(n / 32, 32, 50_000)),
        // Everything is one walk of one user.
        ("one_user", walks(Cut::Never, false), users(1, n, 16)),
    ];
    let mut group = c.benchmark_group("transitions");
    group.throughput(Throughput::Elements(n as u64));
    for (name, walks, users) in &inputs {
        group.bench_function(format!("count/{name}"), |b| {
            b.iter(|| flow_of(black_box(users), *walks, add_transitions).edges().len());
        });
        let flow = flow_of(users, *walks, add_transitions);
        for (top, label) in [(None, "all"), (Some(20), "top_20")] {
            group.bench_function(format!("table_{label}/{name}"), |b| {
                b.iter(|| black_box(&flow).table(top, false, |a, b| a.cmp(&b)).rows.len());
            });
        }
    }
    group.finish();
    let mut group = c.benchmark_group("paths");
    group.throughput(Throughput::Elements(n as u64));
    let one_user = users(1, n, 16);
    let inputs = [
        ("from_start", Paths { way: Way::Start, depth: 5, every: false }, &typical),
        ("from_first", Paths { way: Way::From, depth: 5, every: false }, &typical),
        ("to_all", Paths { way: Way::To, depth: 5, every: true }, &typical),
        // A tenth of the events of one endless walk begin a path of 50 steps each.
        ("from_all_50_one_user", Paths { way: Way::From, depth: 50, every: true }, &one_user),
    ];
    for (name, paths, users) in inputs {
        let cut = if users.len() == 1 { Cut::Never } else { Cut::Gap(1_800) };
        group.bench_function(name, |b| {
            b.iter(|| {
                let count = |walk: &[Visit], flow: &mut Flow| {
                    paths.each(walk, |_, step, source, target| {
                        flow.add((step, source, target), 1).expect("few edges");
                    });
                };
                flow_of(black_box(users), walks(cut, false), count).table(Some(10), true, |a, b| a.cmp(&b)).rows.len()
            });
        });
    }
}
