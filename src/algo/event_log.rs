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

/// Entries in a chunk: 2^14 keep a chunk within a few hundred kilobytes.
const CHUNK: usize = 1 << 14;

/// Entries of many groups in arrival order.
///
/// Kept in chunks of equal size: a growing vector would copy everything it holds at each doubling (a third of the time of a
/// retention query went into copies and fresh pages) and hold up to twice what it needs.
#[derive(Debug, Clone)]
pub struct EventLog<E> {
    chunks: Vec<Vec<E>>,
    len: usize,
    /// Whether no group was appended to after a later one: so it is where input is ordered by group.
    in_order: bool,
    last_group: u32,
    /// Emptied chunks, to be filled again.
    spare: Vec<Vec<E>>,
}

/// Emptied chunks that are kept: what one emission of the ordered path gives back.
const SPARE: usize = 8;

impl<E> Default for EventLog<E> {
    fn default() -> Self {
        Self { chunks: Vec::new(), len: 0, in_order: true, last_group: 0, spare: Vec::new() }
    }
}

impl<E: Grouped> EventLog<E> {
    /// Appends one entry.
    #[inline]
    pub fn push(&mut self, entry: E) {
        let group = entry.group();
        self.in_order &= group >= self.last_group;
        self.last_group = group;
        match self.chunks.last_mut() {
            Some(chunk) if chunk.len() < CHUNK => chunk.push(entry),
            _ => self.push_chunk(entry),
        }
        self.len += 1;
    }

    #[cold]
    fn push_chunk(&mut self, entry: E) {
        // The first chunk grows on its own: many small logs (one for each partition of a small table) stay small.
        let mut chunk = match self.spare.pop() {
            Some(emptied) => emptied,
            None if self.chunks.is_empty() => Vec::new(),
            None => Vec::with_capacity(CHUNK),
        };
        chunk.push(entry);
        self.chunks.push(chunk);
    }

    /// Number of entries.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The entry at a position.
    #[inline]
    pub fn get(&self, at: u32) -> &E {
        &self.chunks[at as usize / CHUNK][at as usize % CHUNK]
    }

    /// The entries, in arrival order.
    pub fn iter(&self) -> impl Iterator<Item = &E> {
        self.chunks.iter().flatten()
    }

    /// Whether the entries stand group by group already.
    pub fn in_order(&self) -> bool {
        self.in_order
    }

    /// Entries of the group that was appended to last, where the entries stand group by group: over ordered input this is the
    /// one group that may be very long. 0 where they do not.
    pub fn last_len(&self) -> usize {
        let mut len = 0;
        for chunk in self.chunks.iter().rev().filter(|_| self.in_order) {
            let before = chunk.partition_point(|e| e.group() < self.last_group);
            len += chunk.len() - before;
            if before > 0 {
                break;
            }
        }
        len
    }

    /// Takes the chunks of a log that was read for filling them again: fresh memory has to be cleared by the kernel, which
    /// took a sixth of the time of a funnel over ordered files.
    pub fn recycle(&mut self, read: Self) {
        let room = SPARE.saturating_sub(self.spare.len());
        let chunks = read.chunks.into_iter().filter(|c| c.capacity() >= CHUNK).take(room);
        self.spare.extend(chunks.map(|mut chunk| {
            chunk.clear();
            chunk
        }));
    }

    /// Bytes held now, and the bytes that [`ByGroup::new`] will need: a pool that knows only the first would be overrun at
    /// the moment of emission.
    pub fn size(&self) -> usize {
        let full = self.chunks.len().saturating_sub(1) + self.spare.len();
        let held = full * CHUNK + self.chunks.first().map_or(0, Vec::capacity);
        held * size_of::<E>() + self.chunks.capacity() * size_of::<Vec<E>>() + self.len * size_of::<u32>()
    }

    /// Takes the entries of groups `0..first` out, in arrival order; those that stay move down by `first`.
    /// `None` takes all.
    pub fn take(&mut self, first: Option<u32>) -> Self {
        let spare = std::mem::take(&mut self.spare);
        let mut all = std::mem::replace(self, Self { spare, ..Self::default() });
        let Some(first) = first else { return all };
        if all.in_order {
            // What stays is the end of the log.
            let mut stay = Vec::new();
            while let Some(chunk) = all.chunks.last_mut() {
                let from = chunk.partition_point(|e| e.group() < first);
                stay.push(chunk.split_off(from));
                all.len -= stay.last().map_or(0, Vec::len);
                if from > 0 {
                    break;
                }
                all.chunks.pop();
            }
            stay.into_iter().rev().flatten().for_each(|e| self.push(e.with_group(e.group() - first)));
            return all;
        }
        let mut taken = Self::default();
        for entry in all.chunks.into_iter().flatten() {
            let group = entry.group();
            if group < first {
                taken.push(entry);
            } else {
                self.push(entry.with_group(group - first));
            }
        }
        taken
    }
}

/// Positions of entries sorted by group (arrival order within a group) and where each group begins.
pub struct ByGroup {
    positions: Vec<u32>,
    starts: Vec<u32>,
}

impl ByGroup {
    /// Counting sort of a log over `groups` groups. `None` where there are more entries than 32 bits count.
    pub fn new<E: Grouped>(log: &EventLog<E>, groups: usize) -> Option<Self> {
        u32::try_from(log.len()).ok()?;
        let mut starts = vec![0u32; groups + 2];
        for entry in log.iter() {
            starts[entry.group() as usize + 2] += 1;
        }
        for g in 2..groups + 2 {
            starts[g] += starts[g - 1];
        }
        // `starts[g + 1]` is where group g begins, and moves on to its end while the group is filled.
        let mut positions = vec![0u32; log.len()];
        for (at, entry) in log.iter().enumerate() {
            let slot = &mut starts[entry.group() as usize + 1];
            positions[*slot as usize] = at as u32;
            *slot += 1;
        }
        Some(Self { positions, starts })
    }

    /// Positions of all entries, group by group.
    pub fn all(&self) -> &[u32] {
        &self.positions
    }

    /// Where each of `groups` groups begins among [`ByGroup::all`], and where the last one ends.
    pub fn starts(&self, groups: usize) -> impl Iterator<Item = u32> {
        self.starts[..=groups].iter().copied()
    }

    /// Positions of a group's entries.
    #[inline]
    pub fn group(&self, group: usize) -> &[u32] {
        &self.positions[self.starts[group] as usize..self.starts[group + 1] as usize]
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

    fn log(entries: &[Entry]) -> EventLog<Entry> {
        let mut log = EventLog::default();
        entries.iter().for_each(|e| log.push(*e));
        log
    }

    #[test]
    fn groups_come_back_in_arrival_order() {
        let log = log(&[Entry(2, 'a'), Entry(0, 'b'), Entry(2, 'c'), Entry(0, 'd')]);
        assert!(!log.in_order());
        let by = ByGroup::new(&log, 4).unwrap();
        let read = |g| by.group(g).iter().map(|p| log.get(*p).1).collect::<String>();
        assert_eq!([read(0), read(1), read(2), read(3)], ["bd", "", "ac", ""]);
        assert_eq!(by.starts(4).collect::<Vec<_>>(), [0, 2, 2, 4, 4]);
        assert_eq!(by.all(), [1, 3, 0, 2]);
    }

    #[test]
    fn taking_the_first_groups_renumbers_the_rest() {
        let mut log = log(&[Entry(0, 'a'), Entry(3, 'b'), Entry(1, 'c'), Entry(2, 'd')]);
        assert_eq!(log.take(Some(2)).iter().copied().collect::<Vec<_>>(), [Entry(0, 'a'), Entry(1, 'c')]);
        assert_eq!(log.take(None).iter().copied().collect::<Vec<_>>(), [Entry(1, 'b'), Entry(0, 'd')]);
        assert_eq!((log.size(), log.len()), (0, 0));
    }

    #[test]
    fn a_log_in_order_gives_its_beginning_away_and_its_chunks_come_back() {
        for (entries, groups) in [(0, 1), (1, 1), (CHUNK, 3), (3 * CHUNK + 7, 5), (2 * CHUNK, 2), (4 * CHUNK, 1)] {
            for first in 0..=groups as u32 {
                let of = |at: usize| (at * groups / entries.max(1)) as u32;
                let mut log = log(&(0..entries).map(|at| Entry(of(at), 'x')).collect::<Vec<_>>());
                assert!(log.in_order());
                let taken = log.take(Some(first));
                let want = (0..entries).filter(|at| of(*at) < first).count();
                assert_eq!((taken.len(), log.len()), (want, entries - want), "{entries} {groups} {first}");
                assert!(taken.iter().count() == want && taken.iter().all(|e| e.0 < first));
                let stay: Vec<u32> = log.iter().map(|e| e.0 + first).collect();
                assert_eq!(stay, (want..entries).map(of).collect::<Vec<_>>());
                assert!((0..log.len() as u32).all(|at| log.get(at).0 == stay[at as usize] - first));
                let before = log.size();
                log.recycle(taken);
                assert!(log.size() >= before);
                (0..2 * CHUNK).for_each(|_| log.push(Entry(groups as u32, 'y')));
                assert_eq!((log.len(), log.iter().count()), (stay.len() + 2 * CHUNK, stay.len() + 2 * CHUNK));
            }
        }
    }

    #[test]
    fn the_last_group_is_measured_where_it_can_be() {
        assert_eq!(log(&[]).last_len(), 0);
        assert_eq!(log(&[Entry(0, 'a'), Entry(1, 'b'), Entry(1, 'c')]).last_len(), 2);
        assert_eq!(log(&[Entry(1, 'a'), Entry(0, 'b')]).last_len(), 0);
        let long: Vec<Entry> = (0..2 * CHUNK + 9).map(|at| Entry((at >= 5) as u32, 'x')).collect();
        assert_eq!(log(&long).last_len(), 2 * CHUNK + 4);
        assert_eq!(log(&long[..5]).last_len(), 5);
    }

    #[test]
    fn chunks_are_seamless() {
        let n = 3 * CHUNK + 5;
        let log = log(&(0..n).map(|i| Entry((i % 7) as u32, 'x')).collect::<Vec<_>>());
        let by = ByGroup::new(&log, 7).unwrap();
        assert_eq!((0..7).map(|g| by.group(g).len()).sum::<usize>(), n);
        assert!((0..7).all(|g| by.group(g).iter().all(|p| *p as usize % 7 == g && log.get(*p).0 == g as u32)));
        assert!(log.size() >= n * (size_of::<Entry>() + 4) && log.size() < (n + 2 * CHUNK) * (size_of::<Entry>() + 4));
    }
}
