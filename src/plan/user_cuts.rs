//! Files whose users overlap, cut into ranges of users.
//!
//! ```text
//! file a   ├── 1..40 ──┼─ 40..90 ──┤                 partition 0: users below 42, of a, b and c
//! file b     ├─ 5..42 ─┼─ 42..99 ──┤                 partition 1: users from 42 on, of a and b
//! file c       ├ 7..30 ┤                                            (40..90 is read by both, each drops what is not its own)
//! ```
//!
//! Deals with: where to cut so that partitions have about equally many rows, which rows of which file a partition has to
//! read, and files that can be read one after another as one input since their users do not overlap.
//! Does not deal with: statistics (`store::footers`), or dropping the rows that a page shares with another partition (`exec`).

use std::ops::Range;

use arrow::row::OwnedRow;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::FileGroup;
use datafusion::datasource::physical_plan::parquet::{ParquetAccessPlan, RowGroupAccess};
use parquet::arrow::arrow_reader::RowSelection;

use crate::exec::merge::Share;
use crate::store::footers::{Piece, Pieces};

/// Rows that partitions may read in vain whatever the size of the files: reading them takes no time.
const FEW_ROWS: usize = 100_000;

/// Inputs that one partition may merge: each holds a batch and what its reader has fetched of a row group.
const MOST_INPUTS: usize = 128;

/// Files cut into ranges of users.
pub struct UserCuts {
    /// The inputs, those of one partition after those of the one before.
    pub inputs: Vec<FileGroup>,
    /// What each partition merges.
    pub shares: Vec<Share>,
}

/// Cuts files into at most so many partitions; inputs keep the order of the files. Pages that hold users of two partitions are read by both; where that would
/// be much of the files there are fewer partitions, and `None` where fewer than half are left, or too many files would be open.
pub fn cut(files: &[(PartitionedFile, Pieces)], partitions: usize) -> Option<UserCuts> {
    let rows: usize = files.iter().flat_map(|(_, p)| &p.pieces).map(|piece| piece.rows.len()).sum();
    let mut count = partitions.max(1);
    loop {
        let bounds = bounds(files, rows, count);
        let read: usize =
            ranges(&bounds).flat_map(|(low, high)| files.iter().map(move |(_, p)| rows_in(p, low, high))).sum();
        if read.saturating_sub(rows) <= FEW_ROWS.max(rows / 2) {
            let cuts = assign(files, &bounds);
            return cuts.shares.iter().all(|share| share.inputs.len() <= MOST_INPUTS).then_some(cuts);
        }
        count -= 1;
        if count * 2 < partitions {
            return None;
        }
    }
}

/// The users at which partitions begin, except for the first.
///
/// Of a piece only the ends are known. The rows below a user are estimated as the mean of those that surely are and those
/// that may be, which is off by half of the pieces that the cut goes through.
fn bounds(files: &[(PartitionedFile, Pieces)], rows: usize, count: usize) -> Vec<OwnedRow> {
    let pieces = || files.iter().flat_map(|(_, p)| &p.pieces);
    let ends = |end: fn(&Piece) -> &Option<OwnedRow>| {
        let mut ends: Vec<(&OwnedRow, usize)> =
            pieces().filter_map(|piece| Some((end(piece).as_ref()?, piece.rows.len()))).collect();
        ends.sort_by(|a, b| a.0.cmp(b.0));
        ends
    };
    let (lows, highs) = (ends(|p| &p.low), ends(|p| &p.high));
    let unknown: usize = pieces().filter(|p| p.low.is_none()).map(|p| p.rows.len()).sum();
    let mut candidates: Vec<&OwnedRow> = lows.iter().chain(&highs).map(|(user, _)| *user).collect();
    candidates.sort();
    candidates.dedup();
    // Twice the rows below each candidate.
    let (mut begun, mut over, mut below) = (lows.iter().peekable(), highs.iter().peekable(), 0);
    let mut twice = Vec::with_capacity(candidates.len());
    for user in &candidates {
        while let Some((_, rows)) = begun.next_if(|(low, _)| low < user) {
            below += rows;
        }
        while let Some((_, rows)) = over.next_if(|(high, _)| high < user) {
            below += rows;
        }
        twice.push(below + unknown);
    }
    let mut bounds: Vec<OwnedRow> = Vec::new();
    for nth in 1..count {
        let wanted = (2 * rows as u128 * nth as u128 / count as u128) as usize;
        let after = twice.partition_point(|below| *below < wanted);
        let near = [after.checked_sub(1), Some(after)].into_iter().flatten().filter(|at| *at < candidates.len());
        let Some(best) = near.min_by_key(|at| twice[*at].abs_diff(wanted)) else { continue };
        if bounds.last().is_none_or(|last| last < candidates[best]) {
            bounds.push(candidates[best].clone());
        }
    }
    bounds
}

/// The ranges between bounds.
fn ranges(bounds: &[OwnedRow]) -> impl Iterator<Item = (Option<&OwnedRow>, Option<&OwnedRow>)> {
    let lows = std::iter::once(None).chain(bounds.iter().map(Some));
    lows.zip(bounds.iter().map(Some).chain([None]))
}

fn may_hold(piece: &Piece, low: Option<&OwnedRow>, high: Option<&OwnedRow>) -> bool {
    let before = |bound: Option<&OwnedRow>| piece.high.as_ref().zip(bound).is_some_and(|(last, bound)| last < bound);
    let after = |bound: Option<&OwnedRow>| piece.low.as_ref().zip(bound).is_some_and(|(first, bound)| first >= bound);
    !before(low) && !after(high)
}

fn rows_in(pieces: &Pieces, low: Option<&OwnedRow>, high: Option<&OwnedRow>) -> usize {
    pieces.pieces.iter().filter(|piece| may_hold(piece, low, high)).map(|piece| piece.rows.len()).sum()
}

/// A file's part in a partition.
struct Part {
    /// Which of the files it is.
    nth: usize,
    file: PartitionedFile,
    low: Option<OwnedRow>,
    high: Option<OwnedRow>,
}

fn assign(files: &[(PartitionedFile, Pieces)], bounds: &[OwnedRow]) -> UserCuts {
    let (mut inputs, mut shares) = (Vec::new(), Vec::new());
    for (low, high) in ranges(bounds) {
        let parts = files.iter().enumerate();
        let parts = parts.filter_map(|(nth, (file, pieces))| part(nth, file, pieces, low, high));
        let chains = chains(parts.collect());
        if chains.is_empty() {
            continue;
        }
        let from = inputs.len();
        inputs.extend(chains);
        shares.push(Share { inputs: from..inputs.len(), low: low.cloned(), high: high.cloned() });
    }
    UserCuts { inputs, shares }
}

/// The pieces of a file that can hold users of a range.
fn part(
    nth: usize,
    file: &PartitionedFile,
    pieces: &Pieces,
    low: Option<&OwnedRow>,
    high: Option<&OwnedRow>,
) -> Option<Part> {
    let mut wanted: Vec<Vec<Range<usize>>> = vec![Vec::new(); pieces.row_groups.len()];
    let (mut first, mut last): (Vec<&Option<OwnedRow>>, Vec<&Option<OwnedRow>>) = (Vec::new(), Vec::new());
    for piece in pieces.pieces.iter().filter(|piece| may_hold(piece, low, high)) {
        let rows = &mut wanted[piece.row_group];
        match rows.last_mut() {
            Some(before) if before.end == piece.rows.start => before.end = piece.rows.end,
            _ => rows.push(piece.rows.clone()),
        }
        first.push(&piece.low);
        last.push(&piece.high);
    }
    // NULL, for unknown, is less than all others.
    let first = first.into_iter().min()?.clone();
    let last = if last.contains(&&None) { None } else { last.into_iter().max()?.clone() };
    let row_groups: Vec<RowGroupAccess> = (wanted.into_iter().zip(&pieces.row_groups))
        .map(|(wanted, rows)| match wanted.as_slice() {
            [] => RowGroupAccess::Skip,
            [all] if *all == (0..*rows) => RowGroupAccess::Scan,
            _ => RowGroupAccess::Selection(RowSelection::from_consecutive_ranges(wanted.into_iter(), *rows)),
        })
        .collect();
    let whole = row_groups.iter().all(|group| *group == RowGroupAccess::Scan);
    let file = PartitionedFile { range: None, ..file.clone() };
    let file = if whole { file } else { file.with_extension(ParquetAccessPlan::new(row_groups)) };
    Some(Part { nth, file, low: first, high: last })
}

/// Files one after another in as few inputs as they can be.
fn chains(mut parts: Vec<Part>) -> Vec<FileGroup> {
    parts.sort_by(|a, b| a.low.cmp(&b.low));
    let mut chains: Vec<(Option<OwnedRow>, usize, Vec<PartitionedFile>)> = Vec::new();
    for part in parts {
        let fits = |end: &Option<OwnedRow>| end.as_ref().zip(part.low.as_ref()).is_some_and(|(end, low)| end <= low);
        match chains.iter_mut().find(|(end, ..)| fits(end)) {
            Some((end, nth, files)) => {
                *end = part.high;
                *nth = part.nth.min(*nth);
                files.push(part.file);
            }
            None => chains.push((part.high, part.nth, vec![part.file])),
        }
    }
    chains.sort_by_key(|(_, nth, _)| *nth);
    chains.into_iter().map(|(.., files)| FileGroup::new(files)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{ArrayRef, Int64Array};
    use arrow::datatypes::DataType;
    use arrow::row::{RowConverter, SortField};
    use proptest::prelude::*;
    use std::sync::Arc;

    fn key(user: i64) -> OwnedRow {
        let converter = RowConverter::new(vec![SortField::new(DataType::Int64)]).unwrap();
        let user: ArrayRef = Arc::new(Int64Array::from(vec![user]));
        converter.convert_columns(&[user]).unwrap().row(0).owned()
    }

    /// A file of users in order, its row groups and pages of these sizes; a page whose number the last argument divides has
    /// no bounds.
    fn file(number: usize, users: &[i64], row_group: usize, page: usize, unknown: usize) -> (PartitionedFile, Pieces) {
        let mut pieces = Vec::new();
        for (group, rows) in users.chunks(row_group).enumerate() {
            for (nth, rows) in rows.chunks(page).enumerate() {
                let known = unknown == 0 || !pieces.len().is_multiple_of(unknown);
                pieces.push(Piece {
                    row_group: group,
                    rows: nth * page..nth * page + rows.len(),
                    low: known.then(|| key(rows[0])),
                    high: known.then(|| key(rows[rows.len() - 1])),
                });
            }
        }
        let row_groups = users.chunks(row_group).map(<[i64]>::len).collect();
        (PartitionedFile::new(format!("{number}.parquet"), 1), Pieces { row_groups, pieces })
    }

    /// The users that are read of a file's part in a partition.
    fn read(part: &PartitionedFile, users: &[Vec<i64>], row_group: usize) -> Vec<i64> {
        let number: usize = part.path().to_string().trim_end_matches(".parquet").parse().unwrap();
        let users = &users[number];
        let Some(plan) = part.extension::<ParquetAccessPlan>() else { return users.clone() };
        let mut read = Vec::new();
        for (access, rows) in plan.inner().iter().zip(users.chunks(row_group)) {
            match access {
                RowGroupAccess::Skip => {}
                RowGroupAccess::Scan => read.extend_from_slice(rows),
                RowGroupAccess::Selection(selection) => {
                    let mut at = 0;
                    for selector in selection.iter() {
                        if !selector.skip {
                            read.extend_from_slice(&rows[at..at + selector.row_count]);
                        }
                        at += selector.row_count;
                    }
                    assert_eq!(at, rows.len());
                }
            }
        }
        read
    }

    proptest! {
        /// Each partition finds all rows of its users in its inputs, which are in order, and every user is in one partition.
        #[test]
        fn every_row_is_found_once(
            mut users in prop::collection::vec(prop::collection::vec(0i64..60, 0..80), 1..7),
            partitions in 1usize..6,
            row_group in 1usize..50,
            page in 1usize..20,
            unknown in prop::sample::select(vec![0usize, 0, 3]),
        ) {
            users.iter_mut().for_each(|file| file.sort_unstable());
            let files: Vec<_> = users.iter().enumerate().map(|(n, u)| file(n, u, row_group, page, unknown)).collect();
            let UserCuts { inputs, shares } = cut(&files, partitions).expect("so few rows are always cut");
            prop_assert!(shares.len() <= partitions);
            prop_assert_eq!(shares.iter().map(|s| s.inputs.len()).sum::<usize>(), inputs.len());
            let mut found = Vec::new();
            for (nth, share) in shares.iter().enumerate() {
                if nth > 0 {
                    prop_assert!(share.low.is_some() && shares[nth - 1].high <= share.low);
                }
                let own = |user: &i64| {
                    share.low.as_ref().is_none_or(|low| *low <= key(*user)) && share.high.as_ref().is_none_or(|high| key(*user) < *high)
                };
                for input in &inputs[share.inputs.clone()] {
                    let read: Vec<i64> = input.iter().flat_map(|part| read(part, &users, row_group)).collect();
                    prop_assert!(read.is_sorted());
                    found.extend(read.into_iter().filter(own));
                }
            }
            found.sort_unstable();
            let mut all = users.concat();
            all.sort_unstable();
            prop_assert_eq!(found, all);
        }
    }

    /// Rows of each partition, given files of so many users with one event each.
    fn shares(users: &[Vec<i64>], row_group: usize, page: usize, partitions: usize) -> Option<Vec<usize>> {
        let files: Vec<_> = users.iter().enumerate().map(|(n, u)| file(n, u, row_group, page, 0)).collect();
        let bounds: Vec<(Option<OwnedRow>, Option<OwnedRow>)> =
            cut(&files, partitions)?.shares.into_iter().map(|s| (s.low, s.high)).collect();
        let below = |file: &Vec<i64>, bound: &OwnedRow| file.partition_point(|user| key(*user) < *bound);
        let own = |(low, high): &(Option<OwnedRow>, Option<OwnedRow>)| {
            let rows = users.iter().map(|file| {
                let end = high.as_ref().map_or(file.len(), |high| below(file, high));
                end - low.as_ref().map_or(0, |low| below(file, low))
            });
            rows.sum()
        };
        Some(bounds.iter().map(own).collect())
    }

    #[test]
    fn partitions_are_about_equal() {
        let even: Vec<Vec<i64>> = (0..5).map(|_| (0..2_000).collect()).collect();
        assert_eq!(shares(&even, 2_000, 100, 4).unwrap(), [2_500; 4]);
        // A user with a tenth of the events stays in one partition.
        let mut uneven = even.clone();
        uneven[0].splice(300..300, vec![300; 1_000]);
        for rows in shares(&uneven, 4_000, 100, 4).unwrap() {
            assert!((2_400..3_100).contains(&rows), "{rows}");
        }
        // Base and append: most users are in the base alone.
        let skewed = vec![(0..9_000).collect(), (8_000..9_000).collect::<Vec<i64>>()];
        for rows in shares(&skewed, 1_000, 100, 2).unwrap() {
            assert!((4_800..5_200).contains(&rows), "{rows}");
        }
    }

    #[test]
    fn what_can_only_be_read_many_times_over_has_fewer_partitions_or_none() {
        let files: Vec<Vec<i64>> = (0..2).map(|_| (0..100_000).collect()).collect();
        assert_eq!(shares(&files, 100_000, 100_000, 1).unwrap(), [200_000]);
        assert_eq!(shares(&files, 100_000, 100_000, 2).unwrap(), [200_000]);
        assert!(shares(&files, 100_000, 100_000, 4).is_none());
        assert_eq!(shares(&files, 100_000, 1_000, 4).unwrap(), [50_000; 4]);
        let files: Vec<Vec<i64>> = (0..200).map(|_| (0..4).collect()).collect();
        assert!(shares(&files[..128], 4, 4, 2).is_some());
        assert!(shares(&files, 4, 4, 2).is_none());
    }
}
