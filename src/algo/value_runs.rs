//! Exact medians and percentiles of many values that are not all kept plain: packed by owner, and read back as often as it takes.
//!
//! Deals with: packing values owner by owner, and finding the values of a rank among each row's by counting passes over what was
//! packed. Does not deal with: where the packed bytes lie (memory or a file), or what an owner is.
//!
//! ```text
//! run      segment of owner 3                          segment of owner 7
//!          owner, count, least, width | count x width  owner, count, ..
//! pass 1   how many values of each row lie in each of up to 4,096 equal parts between its least and its greatest
//! pass 2   the values of the part in which the middle lies; again a count where these are too many
//! ```
//!
//! A value takes the bytes in which it differs from the least of its segment: 3 or 4 for microseconds within an hour, not
//! the 8 of the value and the 4 of its owner. Two passes settle a row of any shape but the oddest; memory is bounded by
//! `room`, whatever the number of values.

use std::ops::RangeInclusive;

/// No row: the owner's values are not asked for.
pub const NO_ROW: u32 = u32::MAX;

/// Values in a run: few enough for the cache while they are sorted by owner.
pub const RUN: usize = 1 << 16;

/// Parts into which one pass divides the range of a large row; of a smaller one, one for every [`PART`] values.
const MOST_PARTS: u64 = 1 << 12;
const FEWEST_PARTS: u64 = 1 << 6;
const PART: u64 = 16;

/// What is known of an owner's values as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Summary {
    /// How many there are.
    pub count: u64,
    /// Their sum.
    pub sum: i128,
    /// The least.
    pub min: i64,
    /// The greatest.
    pub max: i64,
}

impl Default for Summary {
    fn default() -> Self {
        Self { count: 0, sum: 0, min: i64::MAX, max: i64::MIN }
    }
}

impl Summary {
    /// Adds the values of another.
    pub fn add(&mut self, other: &Self) {
        self.count += other.count;
        self.sum += other.sum;
        self.min = self.min.min(other.min);
        self.max = self.max.max(other.max);
    }

    fn of(values: &[i64]) -> Self {
        let mut all = Self { count: values.len() as u64, ..Self::default() };
        for value in values {
            all.sum += i128::from(*value);
            all.min = all.min.min(*value);
            all.max = all.max.max(*value);
        }
        all
    }
}

/// Values in the order in which they come, until they are packed.
#[derive(Debug, Default)]
pub struct Tail {
    values: Vec<(u32, i64)>,
    starts: Vec<u32>,
    sorted: Vec<i64>,
}

impl Tail {
    /// Adds a value; whether the tail is now full and wants to be packed.
    #[inline]
    pub fn push(&mut self, owner: u32, value: i64) -> bool {
        self.values.push((owner, value));
        self.values.len() >= RUN
    }

    /// Whether there is nothing to pack.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// Packs and forgets the values: the run, and what is told of each owner's.
    pub fn pack(&mut self, mut told: impl FnMut(u32, &Summary)) -> Vec<u8> {
        let owners = self.values.iter().map(|v| v.0 as usize + 1).max().unwrap_or(0);
        let mut run = Vec::with_capacity(self.values.len() * 4 + 64);
        let mut before = 0;
        let mut segment = |owner: u32, values: &[i64]| {
            let summary = Summary::of(values);
            told(owner, &summary);
            pack_segment(&mut run, owner - before, values, &summary);
            before = owner;
        };
        if owners > 4 * self.values.len() {
            // Few of very many owners: no table of them.
            self.values.sort_unstable();
            for of_owner in self.values.chunk_by(|a, b| a.0 == b.0) {
                self.sorted.clear();
                self.sorted.extend(of_owner.iter().map(|v| v.1));
                segment(of_owner[0].0, &self.sorted);
            }
        } else {
            self.starts.clear();
            self.starts.resize(owners + 1, 0);
            self.values.iter().for_each(|v| self.starts[v.0 as usize + 1] += 1);
            for owner in 0..owners {
                self.starts[owner + 1] += self.starts[owner];
            }
            self.sorted.resize(self.values.len(), 0);
            for (owner, value) in &self.values {
                let place = &mut self.starts[*owner as usize];
                self.sorted[*place as usize] = *value;
                *place += 1;
            }
            // Each owner's start has moved on to its end.
            let mut from = 0;
            for owner in 0..owners {
                let to = self.starts[owner] as usize;
                if from < to {
                    segment(owner as u32, &self.sorted[from..to]);
                }
                from = to;
            }
        }
        self.values.clear();
        run
    }

    /// Bytes held.
    pub fn size(&self) -> usize {
        self.values.capacity() * size_of::<(u32, i64)>()
            + self.starts.capacity() * size_of::<u32>()
            + self.sorted.capacity() * size_of::<i64>()
    }
}

/// Appends a number in 7 bits a byte.
pub fn push_varint(to: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        to.push(number as u8 | 0x80);
        number >>= 7;
    }
    to.push(number as u8);
}

/// Takes a number in 7 bits a byte off the front; `None` where the bytes end.
#[inline]
pub fn take_varint(bytes: &mut &[u8]) -> Option<u64> {
    let (mut number, mut shift) = (0u64, 0);
    loop {
        let (first, rest) = bytes.split_first()?;
        *bytes = rest;
        number |= u64::from(first & 0x7f) << shift;
        if first & 0x80 == 0 {
            return Some(number);
        }
        shift = (shift + 7) & 63;
    }
}

fn pack_segment(to: &mut Vec<u8>, owner_step: u32, values: &[i64], summary: &Summary) {
    let span = summary.max.wrapping_sub(summary.min) as u64;
    let width = (64 - span.leading_zeros()).div_ceil(8) as usize;
    push_varint(to, u64::from(owner_step));
    push_varint(to, values.len() as u64);
    to.extend_from_slice(&summary.min.to_le_bytes());
    to.push(width as u8);
    let distance = |value: &i64| (value.wrapping_sub(summary.min) as u64).to_le_bytes();
    match width {
        0 => {}
        // The usual widths have loops of their own.
        3 => values.iter().for_each(|v| to.extend_from_slice(&distance(v)[..3])),
        4 => values.iter().for_each(|v| to.extend_from_slice(&distance(v)[..4])),
        _ => values.iter().for_each(|v| to.extend_from_slice(&distance(v)[..width])),
    }
}

/// The values of one owner in a run.
struct Segment<'a> {
    owner: u32,
    count: usize,
    min: i64,
    width: usize,
    packed: &'a [u8],
}

impl Segment<'_> {
    #[inline]
    fn each(&self, mut value: impl FnMut(i64)) {
        fn wide<const W: usize>(packed: &[u8], min: i64, value: &mut impl FnMut(i64)) {
            for bytes in packed.as_chunks::<W>().0 {
                let mut whole = [0u8; 8];
                whole[..W].copy_from_slice(bytes);
                value(min.wrapping_add(u64::from_le_bytes(whole) as i64));
            }
        }
        match self.width {
            0 => (0..self.count).for_each(|_| value(self.min)),
            1 => wide::<1>(self.packed, self.min, &mut value),
            2 => wide::<2>(self.packed, self.min, &mut value),
            3 => wide::<3>(self.packed, self.min, &mut value),
            4 => wide::<4>(self.packed, self.min, &mut value),
            5 => wide::<5>(self.packed, self.min, &mut value),
            6 => wide::<6>(self.packed, self.min, &mut value),
            7 => wide::<7>(self.packed, self.min, &mut value),
            _ => wide::<8>(self.packed, self.min, &mut value),
        }
    }
}

/// The segments of a run; a run that was cut off ends early.
fn segments(mut run: &[u8]) -> impl Iterator<Item = Segment<'_>> {
    let mut owner = 0u32;
    std::iter::from_fn(move || {
        owner = owner.wrapping_add(take_varint(&mut run)? as u32);
        let count = take_varint(&mut run)? as usize;
        let (min, rest) = run.split_first_chunk::<8>()?;
        let (width, rest) = rest.split_first()?;
        let width = usize::from(*width).min(8);
        let (packed, rest) = rest.split_at_checked(count.checked_mul(width)?)?;
        run = rest;
        Some(Segment { owner, count, min: i64::from_le_bytes(*min), width, packed })
    })
}

/// The two values between which a percentile lies, the same one twice where it is a value: place `(n - 1) * percent / 100` of the values
/// in order, counted from 0.
pub type Bounds = (i64, i64);

/// How far from the lower to the upper of its [`Bounds`] a percentile of so many values lies, in hundredths.
pub fn hundredths(count: u64, percent: u8) -> u8 {
    (u128::from(count.saturating_sub(1)) * u128::from(percent) % 100) as u8
}

/// The median of values between two of which it lies.
pub fn between((lower, upper): Bounds) -> f64 {
    let (lower, upper) = (lower as f64, upper as f64);
    lower + (upper - lower) / 2.0
}

/// One percentile of one row on its way.
struct Search {
    /// Values below the range.
    below: u64,
    /// Values within it.
    inside: u64,
    range: RangeInclusive<i64>,
    ranks: [u64; 2],
    found: Option<Bounds>,
    pass: Pass,
}

/// What the pass under way does with the values of a row.
enum Pass {
    Nothing,
    /// Keeps those in the range.
    Gather(Vec<i64>),
    /// Counts them in parts of `2^shift` values.
    Count {
        shift: u32,
        counts: Vec<u64>,
    },
    /// The greatest up to the value, and the least above it: between them are the two in the middle.
    Part {
        at: i64,
        lower: i64,
        upper: i64,
    },
}

impl Search {
    fn new(all: &Summary, percent: u8) -> Self {
        let place = u128::from(all.count.saturating_sub(1)) * u128::from(percent);
        let ranks = [place / 100, place.div_ceil(100)].map(|rank| rank as u64);
        let found = (all.count > 0 && all.min == all.max).then_some((all.min, all.max));
        Self { below: 0, inside: all.count, range: all.min..=all.max, ranks, found, pass: Pass::Nothing }
    }

    fn span(&self) -> u64 {
        self.range.end().wrapping_sub(*self.range.start()) as u64
    }

    #[inline]
    fn read(&mut self, segment: &Segment) {
        let (start, span) = (*self.range.start(), self.span());
        let offset = |value: i64| value.wrapping_sub(start) as u64;
        match &mut self.pass {
            Pass::Nothing => {}
            Pass::Gather(values) => segment.each(|value| {
                if offset(value) <= span {
                    values.push(value);
                }
            }),
            Pass::Count { shift, counts } => segment.each(|value| {
                let offset = offset(value);
                if offset <= span {
                    counts[(offset >> *shift) as usize] += 1;
                }
            }),
            Pass::Part { at, lower, upper } => segment.each(|value| {
                if value <= *at {
                    *lower = value.max(*lower);
                } else {
                    *upper = value.min(*upper);
                }
            }),
        }
    }

    /// What the pass has shown.
    fn learn(&mut self) {
        match std::mem::replace(&mut self.pass, Pass::Nothing) {
            Pass::Nothing => {}
            Pass::Gather(mut values) => {
                let [lower, upper] = self.ranks.map(|rank| (rank - self.below) as usize);
                let (below, upper_value, _) = values.select_nth_unstable(upper);
                let upper_value = *upper_value;
                let lower_value =
                    if lower < upper { below.iter().copied().max().unwrap_or(upper_value) } else { upper_value };
                self.found = Some((lower_value, upper_value));
            }
            Pass::Count { shift, counts } => {
                let mut passed = self.below;
                let mut parts = [(0u64, 0u64); 2];
                for (part, count) in counts.iter().enumerate() {
                    for (place, rank) in parts.iter_mut().zip(self.ranks) {
                        if (passed..passed + count).contains(&rank) {
                            *place = (part as u64, passed);
                        }
                    }
                    passed += count;
                }
                let [(lower, below), (upper, _)] = parts;
                let start = *self.range.start();
                let first = start.wrapping_add((lower << shift) as i64);
                let width = (1u64 << shift) - 1;
                let last = first.wrapping_add(width.min(self.span() - (lower << shift)) as i64);
                if lower != upper {
                    self.pass = Pass::Part { at: last, lower: i64::MIN, upper: i64::MAX };
                    return;
                }
                (self.below, self.inside, self.range) = (below, counts[lower as usize], first..=last);
                if first == last {
                    self.found = Some((first, first));
                }
            }
            Pass::Part { lower, upper, .. } => self.found = Some((lower, upper)),
        }
    }
}

/// Percentiles of each row's values, those of a row in turn; `None` where it has no values.
///
/// `all`: what is known of each row's values. `rows`: for each source, the row of each of its owners. `read` hands over every
/// run of every source, once for each pass, with the number of the source. `room`: bytes that may be held meanwhile, a little
/// more where a single row needs it.
pub fn percentiles<E>(
    all: &[Summary],
    rows: &[&[u32]],
    percents: &[u8],
    room: usize,
    mut read: impl FnMut(&mut dyn FnMut(usize, &[u8])) -> Result<(), E>,
) -> Result<Vec<Option<Bounds>>, E> {
    let each = percents.len();
    let mut searches: Vec<Search> =
        all.iter().flat_map(|row| percents.iter().map(|percent| Search::new(row, *percent))).collect();
    loop {
        let mut open: Vec<usize> = (0..searches.len()).filter(|row| searches[*row].open()).collect();
        if open.is_empty() {
            return Ok(searches.into_iter().map(|search| search.found).collect());
        }
        open.sort_by_key(|row| searches[*row].inside);
        // The smallest are gathered, as many as half of the room is for; of the others, as many as may be are counted.
        let mut left = room;
        for (nth, row) in open.iter().enumerate() {
            let search = &mut searches[*row];
            if matches!(search.pass, Pass::Part { .. }) {
                continue;
            }
            let gathered = search.inside as usize * size_of::<i64>();
            let parts = (search.inside / PART).next_power_of_two().clamp(FEWEST_PARTS, MOST_PARTS);
            let counted = parts as usize * size_of::<u64>();
            if gathered <= left.saturating_sub(room / 2) || (nth == 0 && gathered <= counted) {
                search.pass = Pass::Gather(Vec::with_capacity(search.inside as usize));
                left = left.saturating_sub(gathered);
            } else if counted <= left || nth == 0 {
                let shift = 64 - (search.span() >> parts.trailing_zeros()).leading_zeros();
                let parts = (search.span() >> shift) as usize + 1;
                search.pass = Pass::Count { shift, counts: vec![0; parts] };
                left = left.saturating_sub(counted);
            }
        }
        read(&mut |source, run| {
            let rows = rows[source];
            for segment in segments(run) {
                match rows.get(segment.owner as usize) {
                    Some(row) if *row != NO_ROW => {
                        searches[*row as usize * each..][..each].iter_mut().for_each(|search| search.read(&segment));
                    }
                    _ => {}
                }
            }
        })?;
        searches.iter_mut().for_each(Search::learn);
    }
}

impl Search {
    fn open(&self) -> bool {
        self.found.is_none() && self.inside > 0
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use proptest::prelude::*;

    use super::*;

    /// Medians by packing runs of so many values, and by sorting.
    fn both(values: &[(u32, i64)], run: usize, room: usize, rows: &[u32]) -> [Vec<Option<Bounds>>; 2] {
        let count = rows.iter().filter(|r| **r != NO_ROW).map(|r| *r as usize + 1).max().unwrap_or(0);
        let (mut runs, mut all) = (Vec::new(), vec![Summary::default(); count]);
        let mut tail = Tail::default();
        for part in values.chunks(run) {
            part.iter().for_each(|(owner, value)| {
                tail.push(*owner, *value);
            });
            runs.push(tail.pack(|owner, summary| {
                if let Some(row) = rows.get(owner as usize).filter(|r| **r != NO_ROW) {
                    all[*row as usize].add(summary);
                }
            }));
        }
        let mut passes = 0;
        let found = percentiles(&all, &[rows], &[50], room, |each| {
            passes += 1;
            assert!(passes < 400, "no end of passes");
            runs.iter().for_each(|run| each(0, run));
            Ok::<_, Infallible>(())
        });
        let mut wanted = vec![Vec::new(); count];
        for (owner, value) in values {
            if let Some(row) = rows.get(*owner as usize).filter(|r| **r != NO_ROW) {
                wanted[*row as usize].push(*value);
            }
        }
        for (of_row, summary) in wanted.iter_mut().zip(&all) {
            of_row.sort_unstable();
            assert_eq!(summary.count, of_row.len() as u64);
            assert_eq!(summary.sum, of_row.iter().map(|v| i128::from(*v)).sum::<i128>());
        }
        let middle = |v: &Vec<i64>| (!v.is_empty()).then(|| (v[(v.len() - 1) / 2], v[v.len() / 2]));
        [found.unwrap_or_default(), wanted.iter().map(middle).collect()]
    }

    fn sorted_bounds(sorted: &[i64], percent: u8) -> Option<Bounds> {
        let place = (sorted.len().checked_sub(1)? as f64) * f64::from(percent) / 100.0;
        // Few values: no place that is whole is a little above or below it.
        let (lower, upper) = ((place + 1e-9).floor(), (place - 1e-9).ceil());
        Some((sorted[lower as usize], sorted[upper as usize]))
    }

    fn value() -> impl Strategy<Value = i64> {
        prop_oneof![
            4 => 0i64..1_800_000_000,
            2 => 0i64..5,
            1 => any::<i64>(),
            1 => prop_oneof![Just(i64::MIN), Just(i64::MAX), Just(0)],
        ]
    }

    proptest! {
        #[test]
        fn middles_are_those_of_the_sorted_values(
            values in prop::collection::vec((0u32..9, value()), 0..600),
            run in 1usize..300,
            room in prop_oneof![Just(0usize), Just(64), Just(4_000), Just(1 << 20)],
            rows in prop::collection::vec(prop_oneof![4 => 0u32..4, 1 => Just(NO_ROW)], 9),
        ) {
            let [found, wanted] = both(&values, run, room, &rows);
            prop_assert_eq!(found, wanted);
        }
    }

    proptest! {
        #[test]
        fn percentiles_are_those_of_the_sorted_values(
            values in prop::collection::vec((0u32..3, value()), 0..400),
            percents in prop::collection::vec(0u8..=100, 1..5),
            room in prop_oneof![Just(0usize), Just(4_000), Just(1 << 20)],
        ) {
            let mut tail = Tail::default();
            let mut all = vec![Summary::default(); 3];
            for (owner, value) in &values {
                tail.push(*owner, *value);
            }
            let run = tail.pack(|owner, summary| all[owner as usize].add(summary));
            let found = percentiles(&all, &[&[0, 1, 2]], &percents, room, |each| {
                each(0, &run);
                Ok::<_, Infallible>(())
            });
            let mut wanted = Vec::new();
            for owner in 0..3 {
                let mut of_owner: Vec<i64> = values.iter().filter(|v| v.0 == owner).map(|v| v.1).collect();
                of_owner.sort_unstable();
                wanted.extend(percents.iter().map(|percent| sorted_bounds(&of_owner, *percent)));
            }
            prop_assert_eq!(found.unwrap_or_default(), wanted);
        }
    }

    #[test]
    fn percentiles_between_two_values_have_a_place() {
        assert_eq!([0, 1, 2, 4, 11].map(|count| hundredths(count, 25)), [0, 0, 25, 75, 50]);
        assert_eq!(hundredths(u64::MAX, 100), 0);
    }

    #[test]
    fn the_two_in_the_middle_may_lie_at_the_ends() {
        // Half of the values at one end, half at the other: no part holds both.
        let mut values: Vec<(u32, i64)> = (0..10_000).map(|n| (0, n % 3)).collect();
        values.extend((0..10_000).map(|n| (0, i64::MAX - n % 7)));
        let [found, wanted] = both(&values, 999, 0, &[0]);
        assert_eq!(found, wanted);
        assert_eq!(found, [Some((2, i64::MAX - 6))]);
    }

    #[test]
    fn many_values_take_few_passes_and_few_bytes() {
        let mut tail = Tail::default();
        let (mut runs, mut all) = (Vec::new(), Summary::default());
        let mut state = 1u64;
        for _ in 0..4 * RUN {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            if tail.push(70_000, (state >> 33) as i64 % 1_800_000_000) {
                runs.push(tail.pack(|_, summary| all.add(summary)));
            }
        }
        assert!(tail.is_empty());
        let bytes: usize = runs.iter().map(Vec::len).sum();
        assert!(bytes < 4 * RUN * 4 + 4 * 32, "{bytes} bytes");
        let mut rows = vec![NO_ROW; 70_001];
        rows[70_000] = 0;
        let mut passes = 0;
        let found = percentiles(&[all], &[&rows], &[50], 1 << 16, |each| {
            passes += 1;
            runs.iter().for_each(|run| each(0, run));
            Ok::<_, Infallible>(())
        });
        assert!(found.is_ok_and(|f| f[0].is_some()));
        assert_eq!(passes, 2);
    }

    #[test]
    fn medians_of_even_and_odd_counts() {
        assert_eq!(between((3, 3)), 3.0);
        assert_eq!(between((2, 4)), 3.0);
        assert_eq!(between((0, i64::MAX)), i64::MAX as f64 / 2.0);
    }

    #[test]
    fn a_run_that_is_cut_off_ends_early() {
        let mut tail = Tail::default();
        (0..100).for_each(|n| {
            tail.push(n % 3, i64::from(n) * 1_000);
        });
        let run = tail.pack(|_, _| {});
        for end in 0..run.len() {
            assert!(segments(&run[..end]).count() < 3);
        }
        assert_eq!(segments(&run).map(|s| s.count).sum::<usize>(), 100);
    }
}
