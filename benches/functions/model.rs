//! The statistics on the path of a query: the BG/NBD fit, and the chain of channels.

use std::hint::black_box;

use criterion::{Criterion, Throughput};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tenure::model::bg_nbd::{Customer, fit};
use tenure::model::markov::Chain;

use crate::size;

/// A customer who buys at `rate` a week and leaves after each purchase with probability `leaves`, seen for `age` weeks.
fn customer(random: &mut ChaCha8Rng, rate: f64, leaves: f64, age: f64) -> Customer {
    let (mut now, mut recency, mut repeats) = (0.0, 0.0, 0);
    while random.random::<f64>() >= leaves {
        now -= (1.0 - random.random::<f64>()).ln() / rate;
        if now > age {
            break;
        }
        (recency, repeats) = (now, repeats + 1);
    }
    Customer { repeats, recency, age }
}

/// 20,000 customers. `distinct`: no two alike, so every pass sees all. `whole_weeks`: times of whole weeks, as of a calendar
/// unit, so that many are merged. `ridge`: nobody leaves and all buy at one rate: the maximum is out at infinity, and the
/// search has the longest way.
pub fn bg_nbd(c: &mut Criterion) {
    let n = size(20_000);
    let mut random = ChaCha8Rng::seed_from_u64(7);
    let mut people = |leaves: bool| -> Vec<(Customer, f64)> {
        let one = (0..n).map(|_| {
            // An exponential rate and a uniform square probability stand for the gamma and the beta of the model.
            let rate = if leaves { -(1.0 - random.random::<f64>()).ln() * 0.3 + 0.01 } else { 0.3 };
            let probability = if leaves { random.random::<f64>().powi(2) } else { 0.0 };
            let age = random.random_range(10.0..40.0);
            (customer(&mut random, rate, probability, age), 1.0)
        });
        one.collect()
    };
    let distinct = people(true);
    let weeks = distinct.iter().map(|(c, w)| {
        let whole = |t: f64| t.ceil();
        (Customer { recency: whole(c.recency), age: whole(c.age), ..*c }, *w)
    });
    let weeks: Vec<_> = weeks.collect();
    let ridge = people(false);
    let mut group = c.benchmark_group("bg_nbd_fit");
    group.throughput(Throughput::Elements(n as u64));
    for (name, customers) in [("distinct", &distinct), ("whole_weeks", &weeks), ("ridge", &ridge)] {
        group.bench_function(name, |b| b.iter(|| black_box(fit(customers).expect("customers bought again"))));
    }
}

/// Removal effects of a chain where every channel leads to every other: the elimination has no zeros to spare.
pub fn markov(c: &mut Criterion) {
    let mut group = c.benchmark_group("markov");
    for channels in [10, size(300).max(20)] {
        let mut random = ChaCha8Rng::seed_from_u64(7);
        let mut chain = Chain::new(channels);
        for cells in [&mut chain.start, &mut chain.converted, &mut chain.lost, &mut chain.moves] {
            cells.iter_mut().for_each(|cell| *cell = f64::from(random.random_range(1..100)));
        }
        (0..channels).for_each(|c| chain.moves[c * channels + c] = 0.0);
        group.bench_function(format!("{channels}_channels"), |b| b.iter(|| black_box(chain.removal_effects())));
    }
}
