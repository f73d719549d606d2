//! Made events for the aggregates: who, when, which conditions hold; in the orders that logs come in.

use std::collections::HashMap;

use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tenure::algo::event::Event;

/// Microseconds of a day.
pub const DAY: i64 = 86_400_000_000;
/// 2025-01-01 in UTC: 180 days from here cross a change of the clocks in March.
pub const START: i64 = 20_089 * DAY;
/// Days that the events span.
pub const DAYS: i64 = 180;

/// One event.
#[derive(Debug, Clone, Copy)]
pub struct Row {
    pub user: usize,
    pub time: i64,
    /// Bit `c` is set where condition `c` holds.
    pub mask: u8,
    pub country: u8,
}

/// What the rows force.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// A log as it comes in, heavy tail over users: every row jumps to another group, each group's rows are in time order.
    Time,
    /// The same events sorted by user: neighbouring rows are of one group.
    User,
    /// The same events shuffled: each group must be sorted, and nothing of one day stands together.
    Shuffled,
    /// All events of one user, shuffled: one sort of everything, no parallel groups to hide behind.
    OneUser,
    /// Every event another user's: the cost of a group is the cost of a row.
    AllUsers,
    /// Every user's events at one instant, each satisfying every condition: matchings instead of steps.
    Tied,
    /// No condition ever holds: what rows cost that do not count.
    Nothing,
}

impl Shape {
    pub const ALL: [Self; 7] =
        [Self::Time, Self::User, Self::Shuffled, Self::OneUser, Self::AllUsers, Self::Tied, Self::Nothing];

    pub fn name(self) -> &'static str {
        match self {
            Self::Time => "time_order",
            Self::User => "user_order",
            Self::Shuffled => "shuffled",
            Self::OneUser => "one_user",
            Self::AllUsers => "user_a_row",
            Self::Tied => "all_tied",
            Self::Nothing => "nothing_holds",
        }
    }

    /// `n` rows, the same on every machine. Users are numbered from 0 in the order in which they appear.
    pub fn rows(self, n: usize) -> Vec<Row> {
        let mut random = ChaCha8Rng::seed_from_u64(7);
        let users = (n / 16).max(1);
        let mut rows: Vec<Row> = (0..n)
            .map(|at| {
                // The cube makes a tenth of the users have about half of the events.
                let user = (random.random::<f64>().powi(3) * users as f64) as usize;
                let time = START + (DAYS * DAY) / n as i64 * at as i64 + random.random_range(0..1000);
                // A third views, a tenth puts into the cart, a twentieth buys; the rest satisfies nothing.
                let mask = match random.random_range(0..60) {
                    0..20 => 1,
                    20..26 => 2,
                    26..29 => 4,
                    _ => 0,
                };
                Row { user, time, mask, country: random.random_range(0..20) }
            })
            .collect();
        match self {
            Self::Time => {}
            Self::User => rows.sort_by_key(|r| (r.user, r.time)),
            Self::Shuffled => rows.shuffle(&mut random),
            Self::OneUser => {
                rows.shuffle(&mut random);
                rows.iter_mut().for_each(|r| r.user = 0);
            }
            Self::AllUsers => rows.iter_mut().enumerate().for_each(|(at, r)| r.user = at),
            Self::Tied => rows.iter_mut().for_each(|r| (r.time, r.mask) = (START, 7)),
            Self::Nothing => rows.iter_mut().for_each(|r| r.mask = 0),
        }
        let mut numbers = HashMap::new();
        for row in &mut rows {
            let next = numbers.len();
            row.user = *numbers.entry(row.user).or_insert(next);
        }
        rows
    }
}

/// `users` of `each` events by a rule for (random, position): time and mask. Sorted by time.
pub fn users(users: usize, each: usize, rule: impl Fn(&mut ChaCha8Rng, usize) -> (i64, u64)) -> Vec<Vec<Event>> {
    let mut random = ChaCha8Rng::seed_from_u64(7);
    let mut one = || {
        let event = |at| {
            let (time, mask) = rule(&mut random, at);
            Event { time, mask, tag: 0 }
        };
        let mut events: Vec<Event> = (0..each).map(event).collect();
        events.sort_by_key(|e| e.time);
        events
    };
    (0..users).map(|_| one()).collect()
}
