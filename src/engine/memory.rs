//! The memory of a session: its limit, and what a statement held of it.

use std::num::NonZeroUsize;
use std::sync::Arc;

use datafusion::execution::memory_pool::{MemoryPool, PeakRecordingPool, TrackConsumersPool, UnboundedMemoryPool};
use datafusion::execution::runtime_env::{RuntimeEnv, RuntimeEnvBuilder};

use super::{Engine, Settings};
use crate::error::Result;
use crate::exec::memory_pool::FairPool;

/// What a merge holds for each spilled file that it reads: batches that wait, their keys as rows, buffers of the file. It reserves less.
const SPILLED_FILE: usize = 2 << 20;

/// Merges of fewer files than this would write the same rows too often.
const FEWEST_SPILLED_FILES: usize = 4;

/// Fair: a hash aggregation that may spill does not starve the operator above it. Five consumers are enough to see which operator of
/// a query holds the memory.
fn pool(settings: &Settings) -> Arc<dyn MemoryPool> {
    match settings.memory {
        Some(bytes) => Arc::new(TrackConsumersPool::new(FairPool::new(bytes), NonZeroUsize::MIN.saturating_add(4))),
        None => Arc::new(UnboundedMemoryPool::default()),
    }
}

/// The runtime of a session with these settings.
pub fn runtime(settings: &Settings) -> Result<RuntimeEnv> {
    let pool = Arc::new(PeakRecordingPool::new(pool(settings)));
    let mut builder = RuntimeEnvBuilder::new().with_memory_pool(pool);
    if let Some(bytes) = settings.memory {
        let threads = settings.threads.or_else(|| std::thread::available_parallelism().ok().map(NonZeroUsize::get));
        let files = bytes / threads.unwrap_or(1).max(1) / SPILLED_FILE;
        builder = builder.with_max_spill_merge_fan_in(files.max(FEWEST_SPILLED_FILES));
    }
    Ok(builder.build()?)
}

impl Engine {
    /// Begins to measure what statements hold; what this gives tells the most that they held at once, where it is known: a session
    /// whose memory limit was set by a statement has a pool that does not count.
    pub fn measure_memory(&self) -> impl Fn() -> Option<usize> + use<> {
        let pool = Arc::clone(&self.context.state().runtime_env().memory_pool);
        let before = PeakRecordingPool::from_pool(pool.as_ref()).map_or(0, |recording| {
            recording.reset_peak();
            recording.peak_reserved()
        });
        move || {
            let peak = PeakRecordingPool::from_pool(pool.as_ref())?.peak_reserved();
            Some(peak.saturating_sub(before)).filter(|bytes| *bytes > 0)
        }
    }
}
