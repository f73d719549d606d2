//! The memory pool of a session with a limit.
//!
//! DataFusion's `FairSpillPool`, but for an operator that copies what it holds when the last row has come and reserves it once:
//! a nested loop join puts the batches of its build side together into one, so both are there for a moment, and a limit that knows
//! only one of them is passed by the size of the other. (It spills where that does not fit. Other joins get one batch: `one_batch`.)
//! And a sort that has filled its share merges what it holds into a file, for which the keys of all its rows are written out and batches
//! copied: where sorts fill the limit, that fails, and so does the query. They leave room for it, and merges some for what stands above them.
//!
//! Deals with: how much of the limit a reservation takes. Does not deal with: who holds most, for messages
//! (`TrackConsumersPool` around it).

use std::fmt;

use datafusion::common::human_readable_size;
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryLimit, MemoryPool, MemoryReservation};
use parking_lot::Mutex;

/// The operator that holds what it reserves twice, as its reservations' names begin.
const COPYING: &str = "NestedLoopJoinLoad";

/// The operator that needs memory to give memory back, as its reservations' names begin; not those of the merge itself.
const SORTING: &str = "ExternalSorter[";

/// The part of its share that a sort fills. A merge needs once and a half of what the sort held where rows are few numbers and a text.
const SORTED: usize = 4;

/// The merge of spilled files takes memory for as many as it can, all there is. It leaves a part of the limit to the operators above it, which begin
/// when it is ready: an aggregate of one row would fail for twelve bytes.
const MERGING: (&str, usize) = ("ExternalSorterMerge[", 8);

/// A pool that gives each operator that can spill an equal share of what the others leave.
#[derive(Debug)]
pub struct FairPool {
    limit: usize,
    taken: Mutex<Taken>,
}

#[derive(Debug, Default)]
struct Taken {
    /// How many can spill.
    spillers: usize,
    by_spillers: usize,
    by_others: usize,
}

impl Taken {
    /// What those like this consumer have taken.
    fn of(&mut self, consumer: &MemoryConsumer) -> &mut usize {
        if consumer.can_spill() { &mut self.by_spillers } else { &mut self.by_others }
    }
}

impl FairPool {
    /// For so many bytes.
    pub fn new(limit: usize) -> Self {
        Self { limit, taken: Mutex::default() }
    }
}

/// What bytes of a reservation take of the limit.
fn charge(consumer: &MemoryConsumer, bytes: usize) -> usize {
    if consumer.name().starts_with(COPYING) { bytes.saturating_mul(2) } else { bytes }
}

/// How much of its share a reservation may fill. One batch is let in whatever its size.
fn share_filled(reservation: &MemoryReservation, share: usize) -> usize {
    let sorts = reservation.consumer().name().starts_with(SORTING);
    if sorts && reservation.size() > 0 { share / SORTED } else { share }
}

/// What a reservation may not take of what is left. It may begin with anything.
fn left_to_others(reservation: &MemoryReservation, limit: usize) -> usize {
    let (merging, part) = MERGING;
    let goes_on = reservation.size() > 0;
    if goes_on && reservation.consumer().name().starts_with(merging) { limit / part } else { 0 }
}

impl fmt::Display for FairPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "fair(pool_size: {})", human_readable_size(self.limit))
    }
}

impl MemoryPool for FairPool {
    fn name(&self) -> &str {
        "fair"
    }

    fn register(&self, consumer: &MemoryConsumer) {
        self.taken.lock().spillers += usize::from(consumer.can_spill());
    }

    fn unregister(&self, consumer: &MemoryConsumer) {
        self.taken.lock().spillers -= usize::from(consumer.can_spill());
    }

    fn grow(&self, reservation: &MemoryReservation, additional: usize) {
        let bytes = charge(reservation.consumer(), additional);
        *self.taken.lock().of(reservation.consumer()) += bytes;
    }

    fn shrink(&self, reservation: &MemoryReservation, shrink: usize) {
        let bytes = charge(reservation.consumer(), shrink);
        *self.taken.lock().of(reservation.consumer()) -= bytes;
    }

    fn try_grow(&self, reservation: &MemoryReservation, additional: usize) -> Result<()> {
        let consumer = reservation.consumer();
        let bytes = charge(consumer, additional);
        let mut taken = self.taken.lock();
        let left = if consumer.can_spill() {
            let share = self.limit.saturating_sub(taken.by_others) / taken.spillers.max(1);
            share_filled(reservation, share).saturating_sub(charge(consumer, reservation.size()))
        } else {
            let left = self.limit.saturating_sub(taken.by_others + taken.by_spillers);
            left.saturating_sub(left_to_others(reservation, self.limit))
        };
        if bytes <= left {
            *taken.of(consumer) += bytes;
            return Ok(());
        }
        // In the words of DataFusion's pools, which `error` reads.
        Err(DataFusionError::ResourcesExhausted(format!(
            "Failed to allocate additional {} for {} with {} already allocated for this reservation - {} remain available for the total memory pool: {self}",
            human_readable_size(bytes),
            consumer.name(),
            human_readable_size(charge(consumer, reservation.size())),
            human_readable_size(left),
        )))
    }

    fn reserved(&self) -> usize {
        let taken = self.taken.lock();
        taken.by_spillers + taken.by_others
    }

    fn memory_limit(&self) -> MemoryLimit {
        MemoryLimit::Finite(self.limit)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::error::Error;

    fn pool() -> Arc<dyn MemoryPool> {
        Arc::new(FairPool::new(1_000))
    }

    #[test]
    fn spillers_share_what_others_leave() {
        let pool = pool();
        let sorts = ["Sort[0]", "Sort[1]"].map(|name| MemoryConsumer::new(name).with_can_spill(true).register(&pool));
        let other = MemoryConsumer::new("Other").register(&pool);
        sorts[0].try_grow(500).unwrap();
        assert!(sorts[0].try_grow(1).is_err());
        other.try_grow(300).unwrap();
        sorts[1].try_grow(350).unwrap();
        assert!(sorts[1].try_grow(1).is_err() && other.try_grow(1).is_err());
        assert_eq!(pool.reserved(), 1_150);
        drop((sorts, other));
        assert_eq!(pool.reserved(), 0);
    }

    #[test]
    fn sorts_leave_room_for_their_merge_and_merges_for_who_comes_after() {
        let pool = pool();
        let sort = MemoryConsumer::new("ExternalSorter[0]").with_can_spill(true).register(&pool);
        let merge = MemoryConsumer::new("ExternalSorterMerge[0]").register(&pool);
        sort.try_grow(200).unwrap();
        sort.try_grow(50).unwrap();
        assert!(sort.try_grow(1).is_err());
        merge.try_grow(500).unwrap();
        merge.try_grow(125).unwrap();
        assert!(merge.try_grow(1).is_err());
        let above = MemoryConsumer::new("AggregateStream[0]").register(&pool);
        above.try_grow(125).unwrap();
        drop(above);
        merge.free();
        merge.try_grow(750).unwrap();
        merge.free();
        sort.free();
        sort.try_grow(1_000).unwrap();
        assert!(sort.try_grow(1).is_err());
    }

    #[test]
    fn what_is_copied_counts_twice() {
        let pool = pool();
        let join = MemoryConsumer::new("NestedLoopJoinLoad[1]").register(&pool);
        join.try_grow(400).unwrap();
        assert_eq!((join.size(), pool.reserved()), (400, 800));
        let error = Error::from(join.try_grow(101).unwrap_err());
        assert_eq!(
            error.message(),
            "out of memory: NestedLoopJoinLoad[1] holds 800.0 B and needs 202.0 B more; the limit is 1000.0 B"
        );
        join.shrink(150);
        assert_eq!(pool.reserved(), 500);
        drop(join);
        assert_eq!(pool.reserved(), 0);
    }
}
