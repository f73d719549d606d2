//! The order of rows in memory.
//!
//! Deals with: one number for each row whose order is that of (user, time, arrival), and sorting them on several threads.
//! Does not deal with: moving the rows.
//!
//! A row's key is 128 bits: user, time and place beside each other, each in as few bits as the values at hand need. Users are their
//! difference from the smallest; text, and integers too far apart, are their rank among the users at hand. That always fits:
//! 32 bits of rank, 64 of time, 32 of place. Sorting such keys needs no look at the rows.

use std::hash::{BuildHasher, RandomState};

use arrow::buffer::ScalarBuffer;
use hashbrown::HashTable;
use twox_hash::XxHash64;

use super::columns::{Columns, Rows};
use crate::error::{Error, Result};
use crate::store::user_id::{UserRef, Users};

/// Bytes for each row while sorting: the key, and for ranked users their number and at worst an entry and a rank each.
pub(super) const KEY_BYTES: usize = 16;
/// What ranking adds.
pub(super) const RANK_BYTES: usize = 24;

/// Rows of these or fewer are not worth a thread.
const SMALL: usize = 1 << 16;

/// The rows of several chunks in order.
pub(super) struct Order {
    keys: Vec<u128>,
    /// Bits of the place: the chunk's number above the row's number.
    place_bits: u32,
    row_bits: u32,
    #[cfg(test)]
    time_bits: u32,
}

impl Order {
    /// Sorts the rows of `chunks`, which are fewer than 2^32.
    pub fn new(chunks: &[Rows], columns: &Columns, threads: usize) -> Result<Self> {
        let users = chunks.iter().map(|c| columns.users(c)).collect::<Result<Vec<_>>>()?;
        let times = chunks.iter().map(|c| columns.times(c)).collect::<Result<Vec<_>>>()?;
        let longest = chunks.iter().map(|c| c.len).max().unwrap_or(0);
        let row_bits = bits(longest.saturating_sub(1) as u64);
        let place_bits = row_bits + bits(chunks.len().saturating_sub(1) as u64);
        if place_bits > 32 {
            return Err(Error::internal("sort: too many rows at once"));
        }
        let (earliest, latest) = range(times.iter().flat_map(|t| t.iter().copied()));
        let time_bits = bits(latest.wrapping_sub(earliest) as u64);
        let mut keys = Vec::with_capacity(chunks.iter().map(|c| c.len).sum());
        let user_room = 128 - time_bits - place_bits;
        let mut push = |chunk: usize, users: &mut dyn Iterator<Item = u64>, times: &ScalarBuffer<i64>| {
            let place = (chunk as u128) << row_bits;
            keys.extend(users.zip(times.iter()).enumerate().map(|(row, (user, time))| {
                // Distances from the least are right in wrapping arithmetic, even across the whole range.
                let time = time.wrapping_sub(earliest) as u64;
                ((((user as u128) << time_bits) | time as u128) << place_bits) | place | row as u128
            }));
        };
        match smallest(&users, user_room) {
            Some(least) => {
                for (chunk, (users, times)) in users.iter().zip(&times).enumerate() {
                    if let Users::Numbers(numbers) = users {
                        push(chunk, &mut numbers.iter().map(|n| n.wrapping_sub(least) as u64), times);
                    }
                }
            }
            None => {
                let (numbers, ranks) = ranks(&users);
                let mut from = 0;
                for (chunk, times) in times.iter().enumerate() {
                    let of_chunk = &numbers[from..from + times.len()];
                    push(chunk, &mut of_chunk.iter().map(|n| u64::from(ranks[*n as usize])), times);
                    from += times.len();
                }
            }
        }
        sort(&mut keys, threads);
        Ok(Self {
            keys,
            place_bits,
            row_bits,
            #[cfg(test)]
            time_bits,
        })
    }

    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Chunk and row of the row in this position.
    #[inline]
    pub fn place(&self, position: usize) -> (usize, usize) {
        let place = (self.keys[position] & ((1 << self.place_bits) - 1)) as u64;
        ((place >> self.row_bits) as usize, (place & ((1 << self.row_bits) - 1)) as usize)
    }

    /// The first position whose user is not less than `user`, given the users of the chunks.
    pub fn lower_bound(&self, user: UserRef<'_>, users: &[Users]) -> usize {
        let (mut low, mut high) = (0, self.keys.len());
        while low < high {
            let middle = low.midpoint(high);
            let (chunk, row) = self.place(middle);
            if users[chunk].at(row) < user { low = middle + 1 } else { high = middle }
        }
        low
    }

    /// Bits of a key that do not depend on the user.
    #[cfg(test)]
    fn below_user(&self) -> u32 {
        self.time_bits + self.place_bits
    }
}

/// How many bits a number needs.
fn bits(number: u64) -> u32 {
    u64::BITS - number.leading_zeros()
}

fn range(values: impl Iterator<Item = i64>) -> (i64, i64) {
    let (low, high) = values.fold((i64::MAX, i64::MIN), |(low, high), value| (low.min(value), high.max(value)));
    if low > high { (0, 0) } else { (low, high) }
}

/// The smallest of integer users, where the distance to the largest fits into `room` bits.
fn smallest(users: &[Users], room: u32) -> Option<i64> {
    let mut all: Vec<&ScalarBuffer<i64>> = Vec::with_capacity(users.len());
    for users in users {
        let Users::Numbers(numbers) = users else { return None };
        all.push(numbers);
    }
    let (low, high) = range(all.iter().flat_map(|numbers| numbers.iter().copied()));
    (bits(high.wrapping_sub(low) as u64) <= room).then_some(low)
}

/// Whether integer users and times of these ranges need ranks, which cost memory.
pub(super) fn needs_ranks(users: (i64, i64), times: (i64, i64)) -> bool {
    bits(users.1.wrapping_sub(users.0) as u64) + bits(times.1.wrapping_sub(times.0) as u64) + 32 > 128
}

/// For each row the number of its user, and for each number its rank.
fn ranks(users: &[Users]) -> (Vec<u32>, Vec<u32>) {
    let seed = RandomState::new().hash_one(0_u64);
    let hash = |user: UserRef<'_>| match user {
        UserRef::Number(number) => XxHash64::oneshot(seed, &number.to_le_bytes()),
        UserRef::Text(text) => XxHash64::oneshot(seed, text.as_bytes()),
    };
    let mut table: HashTable<u32> = HashTable::new();
    let mut distinct: Vec<(u32, u32)> = Vec::new();
    let mut numbers = Vec::with_capacity(users.iter().map(Users::len).sum());
    let at = |(chunk, row): (u32, u32)| users[chunk as usize].at(row as usize);
    for (chunk, column) in users.iter().enumerate() {
        for row in 0..column.len() {
            let user = column.at(row);
            // Logs of one user often come together.
            if row > 0 && column.at(row - 1) == user {
                numbers.push(numbers[numbers.len() - 1]);
                continue;
            }
            let hashed = hash(user);
            let number = match table.find(hashed, |number| at(distinct[*number as usize]) == user) {
                Some(found) => *found,
                None => {
                    let number = distinct.len() as u32;
                    distinct.push((chunk as u32, row as u32));
                    table.insert_unique(hashed, number, |number| hash(at(distinct[*number as usize])));
                    number
                }
            };
            numbers.push(number);
        }
    }
    drop(table);
    let mut sorted: Vec<u32> = (0..distinct.len() as u32).collect();
    sorted.sort_unstable_by(|a, b| at(distinct[*a as usize]).cmp(&at(distinct[*b as usize])));
    let mut ranks = vec![0; sorted.len()];
    for (rank, number) in sorted.iter().enumerate() {
        ranks[*number as usize] = rank as u32;
    }
    (numbers, ranks)
}

/// Sorts on up to `threads` threads: the middle is found, then both sides are sorted at the same time. Needs no second copy.
fn sort(keys: &mut [u128], threads: usize) {
    if threads < 2 || keys.len() <= SMALL {
        keys.sort_unstable();
        return;
    }
    let (left, _, right) = keys.select_nth_unstable(keys.len() / 2);
    std::thread::scope(|scope| {
        scope.spawn(|| sort(left, threads / 2));
        sort(right, threads - threads / 2);
    });
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Int64Array, StringArray, TimestampMicrosecondArray};
    use arrow::datatypes::{DataType, Field, Schema, TimeUnit};
    use proptest::prelude::*;

    use super::*;
    use crate::store::managed::Roles;

    fn columns(users: DataType) -> Columns {
        let time = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
        let schema = Schema::new(vec![Field::new("u", users, false), Field::new("t", time, false)]);
        Columns::new(Arc::new(schema), &Roles { user: "u".into(), time: "t".into(), event: None }, 0).unwrap()
    }

    fn rows(users: ArrayRef, times: Vec<i64>) -> Rows {
        let len = times.len();
        Rows { columns: vec![users, Arc::new(TimestampMicrosecondArray::from(times).with_timezone("UTC"))], len }
    }

    fn check(chunks: &[Vec<(i64, i64)>], text: bool) {
        let held: Vec<Rows> = (chunks.iter())
            .map(|chunk| {
                let users: ArrayRef = if text {
                    Arc::new(StringArray::from_iter_values(chunk.iter().map(|(u, _)| u.to_string())))
                } else {
                    Arc::new(Int64Array::from_iter_values(chunk.iter().map(|(u, _)| *u)))
                };
                rows(users, chunk.iter().map(|(_, t)| *t).collect())
            })
            .collect();
        let columns = columns(if text { DataType::Utf8 } else { DataType::Int64 });
        let order = Order::new(&held, &columns, 4).unwrap();
        let mut expected: Vec<(String, i64, i64, usize, usize)> = Vec::new();
        for (at, chunk) in chunks.iter().enumerate() {
            expected.extend(chunk.iter().enumerate().map(|(row, (user, time))| {
                let name = if text { user.to_string() } else { String::new() };
                (name, if text { 0 } else { *user }, *time, at, row)
            }));
        }
        expected.sort();
        let found: Vec<_> = (0..order.len()).map(|position| order.place(position)).collect();
        assert_eq!(found, expected.iter().map(|(.., chunk, row)| (*chunk, *row)).collect::<Vec<_>>());
        let users: Vec<Users> = held.iter().map(|h| columns.users(h).unwrap()).collect();
        for (name, user, ..) in &expected {
            let wanted = if text { UserRef::Text(name) } else { UserRef::Number(*user) };
            let bound = expected.partition_point(|(n, u, ..)| (n, u) < (name, user));
            assert_eq!(order.lower_bound(wanted, &users), bound);
        }
    }

    fn number() -> impl Strategy<Value = i64> {
        prop_oneof![4 => -3_i64..3, 1 => any::<i64>(), 1 => Just(i64::MIN), 1 => Just(i64::MAX)]
    }

    proptest! {
        #[test]
        fn keys_give_the_order_of_a_plain_sort(
            chunks in prop::collection::vec(prop::collection::vec((number(), number()), 0..20), 0..6),
            text in any::<bool>(),
        ) {
            check(&chunks, text);
        }
    }

    #[test]
    fn many_rows_on_several_threads() {
        let mut state = 7_u64;
        let mut draw = |below: u64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            ((state >> 33) % below) as i64
        };
        let chunks: Vec<Vec<(i64, i64)>> =
            (0..5).map(|_| (0..15_000).map(|_| (draw(1_000), draw(1_000_000))).collect()).collect();
        check(&chunks, false);
    }

    #[test]
    fn near_users_need_no_ranks() {
        let users: ArrayRef = Arc::new(Int64Array::from(vec![1_000_000, 1_000_003]));
        let order = Order::new(&[rows(users, vec![5, 4])], &columns(DataType::Int64), 1).unwrap();
        assert!(order.below_user() < 10);
        assert!(needs_ranks((i64::MIN, i64::MAX), (0, i64::MAX)) && !needs_ranks((i64::MIN, i64::MAX), (0, 1 << 31)));
    }
}
