//! One logged event: as small as the query allows.

use crate::algo::event::Event;
use crate::algo::event_log::Grouped;

/// One logged event: as small as the query allows.
pub trait Entry: Grouped + Send + 'static {
    /// Packs an event; `kept` is 0 where nothing is kept.
    fn pack(group: u32, time: i64, mask: u64, kept: u32) -> Self;
    /// The event, tagged with its kept value.
    fn event(&self) -> Event;
}

/// Up to 32 conditions and nothing kept: 16 bytes.
#[derive(Clone, Copy)]
pub struct Narrow {
    time: i64,
    group: u32,
    mask: u32,
}

/// Everything: 24 bytes.
#[derive(Clone, Copy)]
pub struct Wide {
    time: i64,
    mask: u64,
    group: u32,
    kept: u32,
}

impl Grouped for Narrow {
    #[inline]
    fn group(&self) -> u32 {
        self.group
    }
    fn with_group(self, group: u32) -> Self {
        Self { group, ..self }
    }
}

impl Grouped for Wide {
    #[inline]
    fn group(&self) -> u32 {
        self.group
    }
    fn with_group(self, group: u32) -> Self {
        Self { group, ..self }
    }
}

impl Entry for Narrow {
    #[inline]
    fn pack(group: u32, time: i64, mask: u64, _kept: u32) -> Self {
        Self { time, group, mask: mask as u32 }
    }
    #[inline]
    fn event(&self) -> Event {
        Event { time: self.time, mask: u64::from(self.mask), tag: 0 }
    }
}

impl Entry for Wide {
    #[inline]
    fn pack(group: u32, time: i64, mask: u64, kept: u32) -> Self {
        Self { time, mask, group, kept }
    }
    #[inline]
    fn event(&self) -> Event {
        Event { time: self.time, mask: self.mask, tag: self.kept }
    }
}
