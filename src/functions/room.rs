//! Room for what aggregates keep until the last row has come: in memory up to a bound, beyond it in a file.
//!
//! Deals with: the bound, accounting in the memory pool, the temporary file. Does not deal with: what the bytes mean.
//!
//! DataFusion lets a grouped state spill only as a whole, as rows of its partial state; a list of all values of one group is
//! one row, which must be in memory to be written. What is put into a [`Log`] never becomes a row.

use std::fmt;
use std::io::{Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use datafusion::error::{DataFusionError, Result};
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryLimit, MemoryReservation};
use datafusion::execution::runtime_env::RuntimeEnv;
use datafusion::execution::{SpillFile, SpillWriter};
use parking_lot::Mutex;

use crate::error::Error;

/// Bytes that the logs of one aggregate of a query hold in memory at the most.
const MOST: usize = 128 << 20;
/// The least bound, however small the limit.
const LEAST: usize = 256 << 10;
/// The share of a memory limit that is the bound.
const SHARE: usize = 8;

/// The room of one aggregate of a query, shared by its partitions.
#[derive(Clone)]
pub struct Room(Arc<Shared>);

struct Shared {
    name: &'static str,
    /// Without one everything stays in memory.
    runtime: Option<Arc<RuntimeEnv>>,
    reservation: Option<MemoryReservation>,
    held: AtomicUsize,
    bound: usize,
}

impl fmt::Debug for Room {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Room").field("bound", &self.0.bound).finish_non_exhaustive()
    }
}

impl Room {
    /// For the aggregate of this name; `runtime` has the memory pool and the place of temporary files.
    pub fn new(name: &'static str, runtime: Option<Arc<RuntimeEnv>>) -> Self {
        let limit = runtime.as_ref().map(|runtime| runtime.memory_pool.memory_limit());
        let bound = match limit {
            Some(MemoryLimit::Finite(limit)) => (limit / SHARE).clamp(LEAST, MOST),
            _ => MOST,
        };
        let reservation = runtime.as_ref().map(|runtime| MemoryConsumer::new(name).register(&runtime.memory_pool));
        Self(Arc::new(Shared { name, runtime, reservation, held: AtomicUsize::new(0), bound }))
    }

    /// Bytes that a pass over the logs may hold for itself.
    pub fn for_a_pass(&self) -> usize {
        self.0.bound / 4
    }

    /// Whether so many bytes more may be held; they are from now on.
    fn take(&self, bytes: usize) -> bool {
        let Shared { reservation, held, bound, runtime, .. } = self.0.as_ref();
        if held.fetch_add(bytes, Ordering::Relaxed) + bytes > *bound && runtime.is_some() {
            held.fetch_sub(bytes, Ordering::Relaxed);
            return false;
        }
        if reservation.as_ref().is_some_and(|reservation| reservation.try_grow(bytes).is_err()) {
            held.fetch_sub(bytes, Ordering::Relaxed);
            return false;
        }
        true
    }

    fn give_back(&self, bytes: usize) {
        self.0.held.fetch_sub(bytes, Ordering::Relaxed);
        if let Some(reservation) = &self.0.reservation {
            reservation.shrink(bytes);
        }
    }
}

/// Blocks of bytes, appended in any number and read again in any number of passes.
pub struct Log {
    room: Room,
    blocks: Vec<Vec<u8>>,
    held: usize,
    spilled: Option<Spilled>,
}

struct Spilled {
    file: Arc<dyn SpillFile>,
    /// Only one thread writes, and meanwhile nobody reads: the lock never waits.
    writer: Mutex<Box<dyn SpillWriter>>,
    lengths: Vec<u32>,
}

impl Log {
    /// Without blocks.
    pub fn new(room: Room) -> Self {
        Self { room, blocks: Vec::new(), held: 0, spilled: None }
    }

    /// Adds a block, at most 4 GB.
    pub fn append(&mut self, mut block: Vec<u8>) -> Result<()> {
        block.shrink_to_fit();
        if self.room.take(block.len()) {
            self.held += block.len();
            self.blocks.push(block);
            return Ok(());
        }
        for held in std::mem::take(&mut self.blocks) {
            self.write(&held)?;
        }
        self.room.give_back(std::mem::take(&mut self.held));
        self.write(&block)
    }

    fn write(&mut self, block: &[u8]) -> Result<()> {
        let name = self.room.0.name;
        let spilled = match &mut self.spilled {
            Some(spilled) => spilled,
            none => {
                let Some(runtime) = &self.room.0.runtime else {
                    return Err(Error::internal(format!("{name}: no place for a temporary file")).into());
                };
                let file = runtime.disk_manager.create_tmp_file(name)?;
                let writer = Mutex::new(file.open_writer()?);
                none.insert(Spilled { file, writer, lengths: Vec::new() })
            }
        };
        let length = u32::try_from(block.len()).map_err(|_| Error::internal(format!("{name}: a block of 4 GB")))?;
        spilled.writer.get_mut().write_all(block).map_err(DataFusionError::IoError)?;
        spilled.lengths.push(length);
        Ok(())
    }

    /// Hands over every block.
    pub fn each(&self, mut block: impl FnMut(&[u8])) -> Result<()> {
        if let Some(Spilled { file, writer, lengths }) = &self.spilled {
            writer.lock().flush().map_err(DataFusionError::IoError)?;
            let name = self.room.0.name;
            let path =
                file.path().ok_or_else(|| Error::internal(format!("{name}: a temporary file without a path")))?;
            let mut file = std::fs::File::open(path).map_err(|e| Error::io("open", path, &e))?;
            let mut bytes = Vec::new();
            for length in lengths {
                bytes.resize(*length as usize, 0);
                file.read_exact(&mut bytes).map_err(|e| Error::io("read", path, &e))?;
                block(&bytes);
            }
        }
        self.blocks.iter().for_each(|held| block(held));
        Ok(())
    }

    /// Bytes in memory that the room does not account for.
    pub fn size(&self) -> usize {
        self.blocks.capacity() * size_of::<Vec<u8>>()
            + self.spilled.as_ref().map_or(0, |spilled| spilled.lengths.capacity() * size_of::<u32>())
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        self.room.give_back(self.held);
    }
}

#[cfg(test)]
mod tests {
    use datafusion::execution::memory_pool::{GreedyMemoryPool, MemoryPool};
    use datafusion::execution::runtime_env::RuntimeEnvBuilder;

    use super::*;

    fn runtime(limit: usize) -> Arc<RuntimeEnv> {
        let pool: Arc<dyn MemoryPool> = Arc::new(GreedyMemoryPool::new(limit));
        RuntimeEnvBuilder::new().with_memory_pool(pool).build_arc().unwrap()
    }

    fn read(log: &Log) -> Vec<Vec<u8>> {
        let mut found = Vec::new();
        log.each(|block| found.push(block.to_vec())).unwrap();
        found.sort();
        found
    }

    #[test]
    fn what_does_not_fit_is_read_from_the_file() {
        let runtime = runtime(4 << 20);
        let room = Room::new("test", Some(Arc::clone(&runtime)));
        let mut log = Log::new(room.clone());
        let mut other = Log::new(room);
        let block = |n: u8| vec![n; 100_000 + usize::from(n)];
        let mut wanted = Vec::new();
        for n in 0..12 {
            log.append(block(n)).unwrap();
            wanted.push(block(n));
            assert_eq!(read(&log), wanted);
            assert!(runtime.memory_pool.reserved() <= 512 << 10);
        }
        assert!(runtime.disk_manager.used_disk_space() > 600_000);
        other.append(block(50)).unwrap();
        assert_eq!((read(&other), read(&log)), (vec![block(50)], wanted));
        drop((log, other));
        assert_eq!((runtime.memory_pool.reserved(), runtime.disk_manager.used_disk_space()), (0, 0));
    }

    #[test]
    fn a_pool_that_is_taken_sends_all_to_the_file() {
        let runtime = runtime(64 << 20);
        let taken = MemoryConsumer::new("taken").register(&runtime.memory_pool);
        taken.try_grow((64 << 20) - 1_000).unwrap();
        let mut log = Log::new(Room::new("test", Some(Arc::clone(&runtime))));
        log.append(vec![7; 900]).unwrap();
        log.append(vec![8; 900]).unwrap();
        assert_eq!(taken.size(), runtime.memory_pool.reserved());
        assert_eq!(read(&log), [vec![7; 900], vec![8; 900]]);
    }

    #[test]
    fn without_a_runtime_all_stays() {
        let mut log = Log::new(Room::new("test", None));
        (0..200).for_each(|n| log.append(vec![n; 1 << 20]).unwrap());
        assert_eq!(read(&log).len(), 200);
    }
}
