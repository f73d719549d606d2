//! The log of a grouped aggregation: events of many users in arrival order, read back user by user.
//!
//! Deals with: appending, walking each group's entries, giving groups back in part, exact sizes.
//! Does not deal with: what an entry means, or Arrow.
//!
//! Why a log and not a vector for each user: appending is one sequential write an event, there is no allocation for each
//! user, and memory is known to the byte. Reading back costs one counting sort of 4-byte positions. With 20 million
//! events of 400,000 users the alternative (a `Vec` each) spent most of its time in the allocator.

/// An entry knows which group it belongs to.
pub trait Grouped: Copy {
    /// Number of the group.
    fn group(&self) -> u32;
    /// The same entry in another group.
    fn with_group(self, group: u32) -> Self;
}

/// Entries of many groups in arrival order.
#[derive(Debug, Clone)]
pub struct EventLog<E> {
    entries: Vec<E>,
}

impl<E> Default for EventLog<E> {
    fn default() -> Self {
        Self { entries: Vec::new() }
    }
}

impl<E: Grouped> EventLog<E> {
    /// Makes room for `more` entries.
    pub fn reserve(&mut self, more: usize) {
        self.entries.reserve(more);
    }

    /// Appends one entry.
    #[inline]
    pub fn push(&mut self, entry: E) {
        self.entries.push(entry);
    }

    /// Number of entries.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The entry at a position, for callers that fold a new event into an old one.
    pub fn get_mut(&mut self, at: usize) -> Option<&mut E> {
        self.entries.get_mut(at)
    }

    /// Bytes held now, and the bytes that [`EventLog::by_group`] will need: a pool that knows only the first
    /// would be overrun at the moment of emission.
    pub fn size(&self) -> usize {
        self.entries.capacity() * size_of::<E>() + self.entries.len() * size_of::<u32>()
    }

    /// Takes the entries of groups `0..first` out, in arrival order; those that stay move down by `first`.
    /// `None` takes all and frees the memory.
    pub fn take(&mut self, first: Option<u32>) -> Vec<E> {
        let Some(first) = first else { return std::mem::take(&mut self.entries) };
        let mut taken = Vec::new();
        self.entries.retain_mut(|entry| {
            let group = entry.group();
            if group < first {
                taken.push(*entry);
                return false;
            }
            *entry = entry.with_group(group - first);
            true
        });
        taken
    }
}

/// Positions of entries sorted by group (arrival order within a group) and where each group begins.
pub struct ByGroup {
    positions: Vec<u32>,
    starts: Vec<u32>,
}

impl ByGroup {
    /// Counting sort of `entries` over `groups` groups. `None` where there are more entries than 32 bits count.
    pub fn new<E: Grouped>(entries: &[E], groups: usize) -> Option<Self> {
        u32::try_from(entries.len()).ok()?;
        let mut starts = vec![0u32; groups + 1];
        for entry in entries {
            starts[entry.group() as usize + 1] += 1;
        }
        for g in 0..groups {
            starts[g + 1] += starts[g];
        }
        let mut next = starts.clone();
        let mut positions = vec![0u32; entries.len()];
        for (at, entry) in entries.iter().enumerate() {
            let slot = &mut next[entry.group() as usize];
            positions[*slot as usize] = at as u32;
            *slot += 1;
        }
        Some(Self { positions, starts })
    }

    /// Positions of a group's entries.
    #[inline]
    pub fn group(&self, group: usize) -> &[u32] {
        &self.positions[self.starts[group] as usize..self.starts[group + 1] as usize]
    }

    /// Number of entries in all groups.
    pub fn len(&self) -> usize {
        self.positions.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.positions.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Clone, Copy, PartialEq)]
    struct Entry(u32, char);

    impl Grouped for Entry {
        fn group(&self) -> u32 {
            self.0
        }
        fn with_group(self, group: u32) -> Self {
            Self(group, self.1)
        }
    }

    #[test]
    fn groups_come_back_in_arrival_order() {
        let entries = [Entry(2, 'a'), Entry(0, 'b'), Entry(2, 'c'), Entry(0, 'd')];
        let by = ByGroup::new(&entries, 4).unwrap();
        let read = |g| by.group(g).iter().map(|p| entries[*p as usize].1).collect::<String>();
        assert_eq!([read(0), read(1), read(2), read(3)], ["bd", "", "ac", ""]);
    }

    #[test]
    fn taking_the_first_groups_renumbers_the_rest() {
        let mut log = EventLog::default();
        for e in [Entry(0, 'a'), Entry(3, 'b'), Entry(1, 'c'), Entry(2, 'd')] {
            log.push(e);
        }
        assert_eq!(log.take(Some(2)), [Entry(0, 'a'), Entry(1, 'c')]);
        assert_eq!(log.take(None), [Entry(1, 'b'), Entry(0, 'd')]);
        assert_eq!(log.size(), 0);
    }
}
