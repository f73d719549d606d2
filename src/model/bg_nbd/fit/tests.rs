use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;

use arrow::array::AsArray;
use arrow::datatypes::{Int64Type, TimestampMicrosecondType};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use rand::{Rng, SeedableRng, seq::SliceRandom};
use rand_chacha::ChaCha8Rng;

use super::likelihood::Counts;
use super::*;

const DAY: i64 = 86_400_000_000;
/// 1997-09-30, the last day of the 39 weeks that the paper fits.
const END: i64 = 10_134;

/// The paper's customers: repeats are distinct days with a purchase up to the 39th week minus 1, times are days / 7.
fn cdnow() -> Vec<(Customer, f64)> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/cdnow/events.parquet");
    let reader = ParquetRecordBatchReaderBuilder::try_new(File::open(file).unwrap()).unwrap().build().unwrap();
    let mut days: BTreeMap<i64, Vec<i64>> = BTreeMap::new();
    for batch in reader {
        let batch = batch.unwrap();
        let user = batch.column_by_name("user_id").unwrap().as_primitive::<Int64Type>();
        let time = batch.column_by_name("ts").unwrap().as_primitive::<TimestampMicrosecondType>();
        for (user, time) in user.values().iter().zip(time.values()) {
            let day = time / DAY;
            if day <= END {
                days.entry(*user).or_default().push(day);
            }
        }
    }
    let summary = |mut days: Vec<i64>| {
        days.sort_unstable();
        days.dedup();
        let weeks = |from: i64, to: i64| (to - from) as f64 / 7.0;
        let (first, last) = (days[0], days[days.len() - 1]);
        (Customer { repeats: days.len() as u32 - 1, recency: weeks(first, last), age: weeks(first, END) }, 1.0)
    };
    days.into_values().map(summary).collect()
}

fn rounds_to(value: f64, printed: f64, digits: i32) {
    let half = 0.5 * 10_f64.powi(-digits);
    assert!((value - printed).abs() <= half, "{value} does not print as {printed}");
}

/// Table 2 of the paper.
#[test]
fn cdnow_as_published() {
    let customers = cdnow();
    assert_eq!(customers.len(), 2_357);
    let fit = fit(&customers).unwrap();
    rounds_to(fit.params.r, 0.243, 3);
    rounds_to(fit.params.alpha, 4.414, 3);
    rounds_to(fit.params.a, 0.793, 3);
    rounds_to(fit.params.b, 2.426, 3);
    rounds_to(fit.log_likelihood, -9582.4, 1);
    assert!(fit.converged, "{fit:?}");
    // The first customer of the file is the paper's example.
    let (example, _) = customers[0];
    assert_eq!(example.repeats, 2);
    rounds_to(example.recency, 30.43, 2);
    rounds_to(example.age, 38.86, 2);
    rounds_to(fit.params.expected_purchases(39.0, &example), 1.226, 3);
    rounds_to(fit.params.p_alive(&example), 0.7266, 4);
}

/// The regrouped sums of the fit are the likelihood of the parent module, and the gradient is its slope.
#[test]
fn likelihood_and_gradient() {
    let merged = merge(&cdnow()).unwrap();
    let likelihood = Likelihood::new(&merged);
    for point in [[-1.4, 1.5, -0.2, 0.9], [2.0, 4.0, -3.0, 1.0], [-3.0, 0.0, 2.0, -2.0]] {
        let params = |p: Point| Params { r: p[0].exp(), alpha: p[1].exp(), a: p[2].exp(), b: p[3].exp() };
        let direct = |p: Point| -> f64 {
            let params = params(p);
            -merged.iter().map(|(customer, weight)| weight * params.log_likelihood(customer)).sum::<f64>() / 2_357.0
        };
        let value = likelihood.evaluate(point);
        assert!((value.cost - direct(point)).abs() < 1e-11, "{} {}", value.cost, direct(point));
        for i in 0..4 {
            let moved = |h: f64| {
                let mut p = point;
                p[i] += h;
                direct(p)
            };
            let slope = (moved(1e-4) - moved(-1e-4)) / 2e-4;
            assert!(
                (value.gradient[i] - slope).abs() < 1e-6 * slope.abs().max(1.0),
                "{i}: {} {slope}",
                value.gradient[i]
            );
        }
    }
}

/// A long way between two numbers of repeats goes by the gamma function: the same sums.
#[test]
fn long_and_short_ways() {
    let (mut long, mut short) = (Counts::default(), Counts::default());
    long.advance(3_000, 0.3, 0.8, 2.5);
    for x in 1..=3_000 {
        short.advance(x, 0.3, 0.8, 2.5);
    }
    for (l, s) in [
        (long.ln_rise, short.ln_rise),
        (long.by_r, short.by_r),
        (long.ln_odds, short.ln_odds),
        (long.by_a, short.by_a),
        (long.by_b, short.by_b),
    ] {
        assert!((l - s).abs() < 1e-9 * s.abs().max(1.0), "{l} {s}");
    }
}

#[test]
fn order_and_split_weights_change_nothing() {
    let customers = cdnow();
    let expected = fit(&customers).unwrap();
    let mut rng = ChaCha8Rng::seed_from_u64(5);
    let mut shuffled = customers.clone();
    shuffled.shuffle(&mut rng);
    assert_eq!(fit(&shuffled).unwrap(), expected);
    // Every customer as a quarter and three quarters, in any order.
    let mut split: Vec<_> = customers.iter().flat_map(|(c, _)| [(*c, 0.25), (*c, 0.75)]).collect();
    split.shuffle(&mut rng);
    assert_eq!(fit(&split).unwrap(), expected);
}

#[test]
fn unit_of_time_only_scales_alpha() {
    let days: Vec<_> =
        (cdnow().into_iter()).map(|(c, w)| (Customer { recency: c.recency * 7.0, age: c.age * 7.0, ..c }, w)).collect();
    let (weeks, days) = (fit(&cdnow()).unwrap().params, fit(&days).unwrap().params);
    for (w, d) in [(weeks.r, days.r), (weeks.alpha * 7.0, days.alpha), (weeks.a, days.a), (weeks.b, days.b)] {
        assert!((w / d - 1.0).abs() < 1e-4, "{w} {d}");
    }
}

/// Customers who live as the model says, with the given parameters.
fn simulate(params: Params, customers: usize, seed: u64) -> Vec<(Customer, f64)> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let gamma = |shape: f64, rng: &mut ChaCha8Rng| -> f64 {
        // Marsaglia and Tsang; below 1 by the power of a uniform.
        let (d_shape, boost) =
            if shape < 1.0 { (shape + 1.0, rng.random::<f64>().powf(1.0 / shape)) } else { (shape, 1.0) };
        let d = d_shape - 1.0 / 3.0;
        loop {
            let (u1, u2): (f64, f64) = (rng.random(), rng.random());
            let normal = (-2.0 * (1.0 - u1).ln()).sqrt() * (std::f64::consts::TAU * u2).cos();
            let v = (1.0 + normal / (9.0 * d).sqrt()).powi(3);
            if v > 0.0 && rng.random::<f64>().ln() < 0.5 * normal * normal + d - d * v + d * v.ln() {
                return d * v * boost;
            }
        }
    };
    let mut one = |_| {
        let age = 30.0 + 25.0 * rng.random::<f64>();
        let rate = gamma(params.r, &mut rng) / params.alpha;
        let (g, h) = (gamma(params.a, &mut rng), gamma(params.b, &mut rng));
        let death = g / (g + h);
        let (mut now, mut repeats, mut recency) = (0.0, 0, 0.0);
        loop {
            now -= (1.0 - rng.random::<f64>()).ln() / rate;
            if now > age || now.is_nan() || repeats == 20_000 {
                break;
            }
            repeats += 1;
            recency = now;
            if rng.random::<f64>() < death {
                break;
            }
        }
        (Customer { repeats, recency, age }, 1.0)
    };
    (0..customers).map(&mut one).collect()
}

/// With many customers the parameters come back, and the sketch start does not change where the search ends.
#[test]
fn planted_parameters_come_back() {
    let planted = Params { r: 0.6, alpha: 5.0, a: 0.9, b: 3.0 };
    let customers = simulate(planted, 40_000, 11);
    let fit = fit(&customers).unwrap();
    assert!(fit.converged, "{fit:?}");
    for (found, was) in [(fit.params.r, 0.6), (fit.params.alpha, 5.0), (fit.params.a, 0.9), (fit.params.b, 3.0)] {
        assert!((found / was - 1.0).abs() < 0.08, "{found} {was}");
    }
    let truth: f64 = customers.iter().map(|(c, _)| planted.log_likelihood(c)).sum();
    assert!(fit.log_likelihood >= truth);
}

/// On a ridge (nobody dies; all have the same rate) the search ends with finite parameters and the right answer.
#[test]
fn ridges_end() {
    let mut rng = ChaCha8Rng::seed_from_u64(3);
    let mut immortal = Vec::new();
    for _ in 0..3_000 {
        let (mut now, mut times) = (0.0, Vec::new());
        loop {
            now -= (1.0 - rng.random::<f64>()).ln() / 0.2;
            if now > 50.0 {
                break;
            }
            times.push(now);
        }
        let recency = times.last().copied().unwrap_or(0.0);
        immortal.push((Customer { repeats: times.len() as u32, recency, age: 50.0 }, 1.0));
    }
    let fit = fit(&immortal).unwrap();
    let Params { r, alpha, a, b } = fit.params;
    assert!(r.is_finite() && alpha.is_finite() && a.is_finite() && b.is_finite(), "{fit:?}");
    assert!((r / alpha - 0.2).abs() < 0.005, "{fit:?}");
    let (customer, _) = immortal[0];
    assert!(fit.params.p_alive(&customer) > 0.97, "{fit:?}");
    assert!((fit.params.expected_purchases(10.0, &customer) - 2.0).abs() < 0.1, "{fit:?}");
}

#[test]
fn smallest_inputs_end() {
    let one = [(Customer { repeats: 1, recency: 2.0, age: 10.0 }, 1.0)];
    assert!(fit(&one).unwrap().log_likelihood.is_finite());
    let two = [
        (Customer { repeats: 4_000_000, recency: 9.0, age: 10.0 }, 1.0),
        (Customer { repeats: 0, recency: 0.0, age: 1e9 }, 3.0),
    ];
    assert!(fit(&two).unwrap().log_likelihood.is_finite());
}

#[test]
fn nothing_to_fit_is_an_error() {
    let message = |customers: &[(Customer, f64)]| fit(customers).unwrap_err().message().to_owned();
    let once = Customer { repeats: 0, recency: 0.0, age: 9.0 };
    let again = Customer { repeats: 2, recency: 3.0, age: 9.0 };
    assert!(message(&[]).contains("no customers"));
    assert!(message(&[(again, 0.0)]).contains("no customers"));
    assert!(message(&[(once, 1.0), (once, 2.0)]).contains("none of 3 customers bought again"));
    assert!(message(&[(again, f64::NAN)]).contains("weight NaN"));
    assert!(message(&[(again, -1.0)]).contains("weight -1"));
    assert!(message(&[(Customer { recency: 10.0, ..again }, 1.0)]).contains("recency 10"));
    assert!(message(&[(Customer { age: f64::INFINITY, ..again }, 1.0)]).contains("age inf"));
}
