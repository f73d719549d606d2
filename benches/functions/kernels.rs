//! The kernels of `algo`, one user at a time, without Arrow.

use std::hint::black_box;

use criterion::{Criterion, Throughput};
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tenure::algo::attribution::{self, Attribution, Conversion, Rule, Touch, UserCredits};
use tenure::algo::calendar::{Calendar, Clock, Unit};
use tenure::algo::funnel::{Between, Chains, Entry, Exclusion, Funnel, Order, Pick, Spec};
use tenure::algo::retention::{Periods, Return, Tied, periods};

use crate::events::{DAY, DAYS, START, users};
use crate::size;

/// Every condition but the last of 64: a chain that is never complete, so that no event is spared.
const ALL_BUT_LAST: u64 = u64::MAX >> 1;

/// `level` and `chain` over inputs of about the same number of events; figures are for an event.
pub fn funnel(c: &mut Criterion) {
    let n = size(1 << 17);
    let spec = Spec::plain;
    let any_time = |random: &mut ChaCha8Rng| random.random_range(START..START + DAYS * DAY);
    let shop = |random: &mut ChaCha8Rng| 1u64 << [0, 0, 0, 0, 0, 0, 1, 1, 2][random.random_range(0..9)];
    let typical = || users(n / 32, 32, |random, _| (any_time(random), shop(random)));
    let inputs = [
        // 32 events a user, each of one step; some complete within the week and stop there.
        ("typical", spec(3, 7 * DAY), typical()),
        // The same where ties must be told apart.
        ("increase", Spec { order: Order::Increase, ..spec(3, 7 * DAY) }, typical()),
        // Steps 1 and 2 are always further apart than the window: all extensions are tried and refused.
        ("window_never_matches", spec(3, 1), typical()),
        // One user with everything, who never does the last step: no early end, no state that fits a user's few events.
        ("one_user", spec(4, 7 * DAY), users(1, n, |random, _| (any_time(random), shop(random)))),
        // 64 steps, each event satisfies all but the last: 63 extensions an event, the most there can be.
        ("64_steps", spec(64, 7 * DAY), users(1, n, |_, at| (at as i64, ALL_BUT_LAST))),
        // Two events at each instant that satisfy both of the first two steps of three: a small matching for every pair.
        ("tied_pairs", spec(3, 7 * DAY), users(n / 32, 32, |_, at| (at as i64 / 2, 3))),
        // The same with 64 steps.
        ("tied_pairs_64_steps", spec(64, 7 * DAY), users(16, n / 256, |_, at| (at as i64 / 2, ALL_BUT_LAST))),
        // Each user's 32 events at one instant, satisfying all of three steps.
        ("all_tied", spec(3, 7 * DAY), users(n / 32, 32, |_, _| (START, 7))),
        // A whole import at one instant: one group of all events, 64 steps.
        (
            "all_tied_one_user_64_steps",
            spec(64, 7 * DAY),
            users(1, n, |_, at| (START, ALL_BUT_LAST ^ (1 << (at % 62)))),
        ),
        // 64 tied events where event j satisfies steps 0 to 63-j: there is one assignment, and the search for the chain's
        // events meets it last.
        ("forced_matching", spec(64, 7 * DAY), users(8, 64, |_, at| (START, u64::MAX >> at))),
    ];
    let mut group = c.benchmark_group("funnel");
    for (name, spec, users) in &inputs {
        group.throughput(Throughput::Elements(users.iter().map(|u| u.len() as u64).sum()));
        group.bench_function(format!("level/{name}"), |b| {
            let mut funnel = Funnel::new(spec.clone());
            b.iter(|| users.iter().map(|events| funnel.level(black_box(events), None).level).sum::<usize>());
        });
        let mut chains = Chains::default();
        group.bench_function(format!("chain/{name}"), |b| {
            let mut funnel = Funnel::new(spec.clone());
            b.iter(|| {
                chains.chains.clear();
                chains.places.clear();
                users.iter().for_each(|events| funnel.chains(black_box(events), None, None, &mut chains));
                chains.places.len()
            });
        });
    }
}

/// The options, over users with some ten events of each of three steps, and over one user who meets all but the last of 64
/// steps at every instant.
pub fn funnel_options(c: &mut Criterion) {
    let n = size(1 << 17);
    let any_time = |random: &mut ChaCha8Rng| random.random_range(START..START + DAYS * DAY);
    let shop = |random: &mut ChaCha8Rng| 1u64 << [0, 0, 0, 0, 1, 1, 1, 2, 2, 3][random.random_range(0..10)];
    let typical = users(n / 32, 32, |random, _| (any_time(random), shop(random)));
    let adversary = users(1, n, |_, at| (at as i64, ALL_BUT_LAST));
    let options = |steps: usize| {
        let plain = Spec::plain(steps, 7 * DAY);
        let anchors = 1 << (steps / 2);
        [
            ("strict_steps", Spec { between: Between::StrictSteps, ..plain.clone() }),
            ("dedup", Spec { between: Between::Dedup, ..plain.clone() }),
            ("step_within", Spec { step_within: vec![DAY; steps - 1], ..plain.clone() }),
            ("step_after", Spec { step_after: vec![DAY / 24; steps - 1], ..plain.clone() }),
            ("optional", Spec { optional: 2, ..plain.clone() }),
            ("any_order", Spec { order: Order::AnyOrder, ..plain.clone() }),
            ("anchors", Spec { order: Order::AnyOrder, anchors, ..plain.clone() }),
            ("first", Spec { entry: Entry::First, ..plain.clone() }),
            ("all", Spec { entry: Entry::All, ..plain.clone() }),
            ("earliest_start", Spec { pick: Pick::EarliestStart, ..plain }),
        ]
    };
    let exclusion = Spec { exclusions: vec![Exclusion { after: 1, before: 3 }], ..Spec::plain(3, 7 * DAY) };
    let mut group = c.benchmark_group("funnel_options");
    group.throughput(Throughput::Elements(n as u64));
    let typical = options(3).into_iter().chain([("exclude", exclusion)]).map(|(name, spec)| (name, spec, &typical));
    let adversary = options(64).into_iter().map(|(name, spec)| (name, spec, &adversary));
    for (name, spec, users) in typical.chain(adversary) {
        let mut chains = Chains::default();
        group.bench_function(format!("{name}/{}", spec.steps), |b| {
            let mut funnel = Funnel::new(spec.clone());
            b.iter(|| {
                chains.chains.clear();
                chains.places.clear();
                users.iter().for_each(|events| funnel.chains(black_box(events), None, None, &mut chains));
                chains.places.len()
            });
        });
    }
    group.finish();
}

/// `periods` over 32 returns a user, as the aggregate hands them over.
pub fn retention(c: &mut Criterion) {
    let n = size(1 << 17);
    let mut random = ChaCha8Rng::seed_from_u64(7);
    let mut users = |time: &dyn Fn(&mut ChaCha8Rng) -> i64, sorted: bool| -> Vec<Vec<Return>> {
        let one = (0..n / 32).map(|_| {
            let mut returns: Vec<Return> =
                (0..32).map(|_| Return { time: time(&mut random), tied: Tied::ONE_ROLE }).collect();
            if sorted {
                returns.sort_by_key(|r| r.time);
            }
            returns
        });
        one.collect()
    };
    let days = |zone| Periods::Calendar(Calendar::new(Unit::Day, zone, 0, Clock::Instants(1_000_000)).expect("a zone"));
    let any_time: &dyn Fn(&mut ChaCha8Rng) -> i64 = &|random| random.random_range(START..START + DAYS * DAY);
    let inputs = [
        // A log in time order: no sort, each return in a bucket of its own.
        ("utc", days("UTC"), users(any_time, true)),
        // The same across a change of the clocks, met by every user.
        ("zone", days("Europe/Berlin"), users(any_time, true)),
        // Returns in any order: a sort for each user.
        ("zone_shuffled", days("Europe/Berlin"), users(any_time, false)),
        // Periods of a fixed length: a division instead of a calendar.
        ("rolling", Periods::Rolling(DAY), users(any_time, true)),
        // All returns at the instant of the birth: nothing but ties.
        ("tied_with_birth", days("UTC"), users(&|_| START, true)),
    ];
    let mut group = c.benchmark_group("retention_periods");
    group.throughput(Throughput::Elements(n as u64));
    for (name, counting, users) in inputs {
        let (mut counting, mut found, mut returns) = (counting, Vec::new(), Vec::new());
        group.bench_function(name, |b| {
            b.iter(|| {
                found.clear();
                for user in &users {
                    returns.clear();
                    returns.extend_from_slice(user);
                    periods(START, Tied::ONE_ROLE, &mut returns, &mut counting, 1, &mut found);
                }
                found.len()
            });
        });
    }
}

/// All rules, moves and coalitions, a user at a time. `typical`: 32 touches and a conversion in ten of them. `overlapping`: one
/// user whose every second event is a conversion that reaches back to all before it: the windows together hold n^2 / 8
/// touches, the work must stay that of n events and few channels. `reset`: the same, where every path is short.
/// `many_channels`: no two touches of one channel within a window of 64.
pub fn attribution(c: &mut Criterion) {
    let n = size(1 << 16);
    let rules = vec![
        Rule::First,
        Rule::Last,
        Rule::LastNonDirect,
        Rule::Linear,
        Rule::Participation,
        Rule::Position,
        Rule::TimeDecay,
    ];
    let spec = |lookback, reset| attribution::Spec {
        lookback,
        reset,
        rules: rules.clone(),
        weights: [0.4, 0.2, 0.4],
        half_life: 7.0 * DAY as f64,
        moves: true,
        coalitions: true,
    };
    let mut random = ChaCha8Rng::seed_from_u64(7);
    let mut user = |each: usize, converting: f64, channels: u32, step: i64| {
        let (mut touches, mut conversions) = (Vec::new(), Vec::new());
        for at in 0..each {
            let (time, channel) = (
                START + at as i64 * step,
                if channels > 64 { at as u32 % channels } else { random.random_range(0..channels) },
            );
            match random.random_bool(converting) {
                true => conversions.push(Conversion { time, value: 19.99, segment: 0 }),
                false => touches.push(Touch { time, channel, direct: channel == 0, segment: 0 }),
            }
        }
        (touches, conversions)
    };
    let inputs = [
        ("typical", spec(30 * DAY, false), (0..n / 32).map(|_| user(32, 0.1, 6, 2 * DAY)).collect::<Vec<_>>()),
        ("overlapping", spec(i64::MAX, false), vec![user(n, 0.5, 6, DAY / 1_000)]),
        ("reset", spec(i64::MAX, true), vec![user(n, 0.5, 6, DAY / 1_000)]),
        ("many_channels", spec(64, false), vec![user(n / 8, 0.5, 1_000, 1)]),
    ];
    let mut group = c.benchmark_group("attribution");
    for (name, spec, users) in inputs {
        group.throughput(Throughput::Elements(users.iter().map(|u| (u.0.len() + u.1.len()) as u64).sum()));
        let (mut kernel, mut sums) = (Attribution::new(spec, 5), UserCredits::default());
        group.bench_function(name, |b| {
            b.iter(|| {
                let credits = |(touches, conversions): &(Vec<Touch>, Vec<Conversion>)| {
                    kernel.user(black_box(touches), conversions, &mut sums);
                    sums.channels.len()
                };
                users.iter().map(credits).sum::<usize>()
            });
        });
    }
}

/// `bucket` of times in several orders: `time` hits the cached bucket nearly always; `user` (32 events each, all days)
/// misses it for days; `random` also misses the stretch of one offset, of which a zone has two here; over 70 years it has
/// more than a hundred, and every time asks the rules.
pub fn calendar(c: &mut Criterion) {
    let n = size(1 << 17);
    let mut random = ChaCha8Rng::seed_from_u64(7);
    let shuffled: Vec<i64> = (0..n).map(|_| random.random_range(START..START + DAYS * DAY)).collect();
    let mut by_time = shuffled.clone();
    by_time.sort_unstable();
    let mut by_user = shuffled.clone();
    by_user.chunks_mut(32).for_each(<[i64]>::sort_unstable);
    let mut any_year: Vec<i64> = (0..n).map(|at| START - 70 * 365 * DAY + at as i64 % 25_550 * DAY).collect();
    any_year.shuffle(&mut random);
    let orders = [("time", &by_time), ("user", &by_user), ("random", &shuffled), ("random_70_years", &any_year)];
    let mut group = c.benchmark_group("calendar_bucket");
    group.throughput(Throughput::Elements(n as u64));
    for unit in [Unit::Day, Unit::Month] {
        for zone in ["UTC", "Europe/Berlin"] {
            for (order, times) in orders {
                let mut calendar = Calendar::new(unit, zone, 0, Clock::Instants(1_000_000)).expect("a known zone");
                group.bench_function(format!("{}/{zone}/{order}", unit.name()), |b| {
                    b.iter(|| times.iter().filter_map(|time| calendar.bucket(*time)).sum::<i64>());
                });
            }
        }
    }
    // The local date alone, which `activity_days` asks for: it keeps the stretch of one offset, but no bucket.
    for zone in ["UTC", "Europe/Berlin"] {
        for (order, times) in orders {
            let mut calendar = Calendar::new(Unit::Day, zone, 0, Clock::Instants(1_000_000)).expect("a known zone");
            group.bench_function(format!("date/{zone}/{order}"), |b| {
                b.iter(|| times.iter().filter_map(|time| calendar.day(*time)).sum::<i64>());
            });
        }
    }
}
