//! Bytes that somebody made to do harm, or that were cut or changed, drawn from a seed: an answer or an error, never a panic.
//!
//! Small by default; `TENURE_STATES` sets the number of trials. Half of the states of our own get the checksum that their changed
//! bytes should have, since otherwise little beyond the checksum would be tested.

use arrow::array::{Array, ArrayRef, AsArray, BinaryArray, RecordBatch};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::sync::Arc;

use tenure::algo::event::Event;
use tenure::algo::states::{activity, funnel_events, returns, users};
use tenure::model::sketches::{hll, theta};

use crate::ask::Asked;
use crate::oracle::seed;

fn trials(few: usize) -> usize {
    std::env::var("TENURE_STATES").map_or(few, |n| n.parse().unwrap())
}

/// States of every kind and form.
fn sound(asked: &Asked) -> Vec<Vec<u8>> {
    let made = [
        "SELECT users_state(user_id), users_state(concat('u', user_id)), users_state(user_id * 4611686018427387),
           users_state(NULL), activity_state(ts, 'day', 'Europe/Berlin', 'monday'), activity_state(ts, 'week', 'UTC', 'sunday')
         FROM events WHERE user_id < 300",
        "SELECT funnel_state(INTERVAL '7 days', ts, event = 'view_item', event = 'purchase'), funnel_state(INTERVAL '1 day', 'strict', ts, event = 'add_to_cart'),
           retention_state(ts, event = 'signup', true, 'month', 'UTC', 'monday', 'calendar'), retention_state(ts, true, true, 'day', 'UTC', 'monday', 'rolling')
         FROM events WHERE user_id = 7",
        "SELECT distinct_hll_state(user_id, 7), distinct_hll_state(user_id), distinct_hll_state(event), distinct_hll_state(user_id, 4),
           distinct_theta_state(user_id, 5), distinct_theta_state(user_id), distinct_theta_state(event), distinct_theta_state(NULL) FROM events",
    ];
    let mut states = Vec::new();
    for sql in made {
        for batch in asked.batches(sql).unwrap() {
            states.extend(batch.columns().iter().map(|column| column.as_binary::<i32>().value(0).to_vec()));
        }
    }
    states
}

fn changed(states: &[Vec<u8>], random: &mut ChaCha8Rng) -> Vec<u8> {
    let mut bytes = states[random.random_range(0..states.len())].clone();
    for _ in 0..random.random_range(1..4) {
        let length = bytes.len();
        match random.random_range(0..8) {
            0 => bytes.truncate(random.random_range(0..=length)),
            1 => bytes.extend((0..random.random_range(1..20)).map(|_| random.random::<u8>())),
            2 => return (0..random.random_range(0..80)).map(|_| random.random::<u8>()).collect(),
            3 if length > 8 => {
                let other = &states[random.random_range(0..states.len())];
                let from = random.random_range(0..other.len());
                bytes.splice(random.random_range(5..length).., other[from..].iter().copied());
            }
            4 if length > 8 => {
                let at = random.random_range(5..length);
                bytes[at] = [0, 1, 0x7f, 0x80, 0xff][random.random_range(0..5)];
            }
            5 if length > 8 => {
                let at = random.random_range(5..length);
                bytes.drain(at..(at + random.random_range(1..9)).min(length));
            }
            _ if length > 0 => bytes[random.random_range(0..length)] ^= 1 << random.random_range(0..8),
            _ => {}
        }
    }
    if bytes.starts_with(b"tns") && bytes.len() > 9 && random.random_bool(0.5) {
        let end = bytes.len() - 4;
        let checksum = crc32fast::hash(&bytes[..end]);
        bytes[end..].copy_from_slice(&checksum.to_le_bytes());
    }
    bytes
}

/// What is read of hostile bytes is written as other bytes at the most once: what came out is sound.
fn read_all(bytes: &[u8], read: &mut [usize; 6]) {
    if let Ok(set) = users::Users::read(bytes) {
        let again = set.write();
        assert_eq!(users::Users::read(&again).unwrap(), set);
        assert_eq!(users::Users::count(&again).unwrap(), users::Users::count(bytes).unwrap());
        read[0] += 1;
    }
    if let Ok((periods, mut active)) = activity::Active::read(bytes) {
        assert_eq!(active.write(&periods), bytes);
        read[1] += 1;
    }
    let mut events: Vec<Event> = Vec::new();
    if let Ok(asked) = funnel_events::read(bytes, &mut events) {
        assert!(events.len() <= bytes.len());
        let mut back = Vec::new();
        assert_eq!(funnel_events::read(&funnel_events::write(&asked, &mut events), &mut back).unwrap(), asked);
        assert_eq!(back, events);
        read[2] += 1;
    }
    if let Ok((asked, returns)) = returns::Returns::read(bytes) {
        assert_eq!(returns.write(&asked), bytes);
        read[3] += 1;
    }
    if let Ok(estimate) = hll::estimate(bytes) {
        assert!(estimate.estimate >= 0.0 && estimate.high.is_finite(), "{estimate:?}");
        let mut merged = hll::Hll::new(12);
        merged.merge(bytes).unwrap();
        hll::estimate(&merged.write().unwrap()).unwrap();
        read[4] += 1;
    }
    if let Ok(estimate) = theta::estimate(bytes) {
        assert!(estimate.low <= estimate.estimate && estimate.estimate <= estimate.high, "{estimate:?}");
        let mut merged = theta::Theta::new(12);
        merged.merge(bytes).unwrap();
        theta::estimate(&merged.write().unwrap()).unwrap();
        theta::estimate(&theta::and(bytes, bytes).unwrap()).unwrap();
        assert_eq!(theta::estimate(&theta::and_not(bytes, bytes).unwrap()).unwrap().estimate, 0.0);
        read[5] += 1;
    }
}

#[test]
fn changed_states_are_answers_or_errors() {
    let states = sound(&Asked::workspace("shop"));
    assert_eq!(states.len(), 18);
    let mut read = [0; 6];
    states.iter().for_each(|state| read_all(state, &mut read));
    assert_eq!(read, [4, 2, 2, 2, 4, 4], "sound states are read by their own kind alone");
    let mut random = ChaCha8Rng::seed_from_u64(seed());
    for _ in 0..trials(3_000) {
        read_all(&changed(&states, &mut random), &mut read);
    }
}

/// A checksum that was not repaired finds every change.
#[test]
fn every_flipped_bit_of_our_own_states_is_an_error() {
    let states = sound(&Asked::workspace("shop"));
    let mut random = ChaCha8Rng::seed_from_u64(seed());
    for state in states.iter().filter(|state| state.starts_with(b"tns")) {
        for _ in 0..200 {
            let mut flipped = state.clone();
            flipped[random.random_range(0..state.len())] ^= 1 << random.random_range(0..8);
            let mut read = [0; 6];
            read_all(&flipped, &mut read);
            assert_eq!(read, [0; 6], "{flipped:?}");
        }
    }
}

/// Through SQL: one line that names the function, and nothing internal.
#[test]
fn changed_states_in_sql_are_answers_or_one_line() {
    let asked = Asked::workspace("shop");
    let states = sound(&asked);
    let mut random = ChaCha8Rng::seed_from_u64(seed() + 1);
    let calls = [
        ("users_count", "users_count(s)"),
        ("users_and_not", "encode(users_and_not(s, s), 'hex')"),
        ("users_contains", "users_contains(s, 7)"),
        ("users_merge", "encode(users_merge(s), 'hex')"),
        ("activity_count", "activity_count(s, DATE '2025-02-01', DATE '2025-03-01')"),
        ("activity_periods", "activity_periods(s)"),
        ("activity_merge", "encode(activity_merge(s), 'hex')"),
        ("funnel_level", "funnel_level(s)"),
        ("funnel_merge", "encode(funnel_merge(s), 'hex')"),
        ("retention_periods", "retention_periods(s)"),
        ("retention_merge", "encode(retention_merge(s), 'hex')"),
        ("distinct_hll_high", "distinct_hll_high(s)"),
        ("distinct_theta_merge", "encode(distinct_theta_merge(s), 'hex')"),
    ];
    let mut answered = 0;
    for trial in 0..trials(40) {
        let state =
            if trial % 4 == 0 { states[trial / 4 % states.len()].clone() } else { changed(&states, &mut random) };
        let column: ArrayRef = Arc::new(BinaryArray::from_vec(vec![&state]));
        assert_eq!(column.len(), 1);
        asked.table("hostile", vec![vec![RecordBatch::try_from_iter([("s", column)]).unwrap()]]);
        for (name, call) in calls {
            match asked.batches(&format!("SELECT {call} FROM hostile")) {
                Ok(_) => answered += 1,
                Err(error) => {
                    let told = error.to_string();
                    assert!(told.contains(name) && !told.contains('\n'), "{call}: {told}");
                    assert!(!told.to_lowercase().contains("internal"), "{call}: {told}");
                }
            }
        }
    }
    assert!(answered > 5, "{answered}");
}
