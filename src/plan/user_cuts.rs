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

/// Files cut into ranges of users.
pub struct UserCuts {
    /// The inputs, those of one partition after those of the one before.
    pub inputs: Vec<FileGroup>,
    /// What each partition merges.
    pub shares: Vec<Share>,
}

/// Cuts files into at most so many partitions. Pages that hold users of two partitions are read by both; where that would
/// be much of the files there are fewer partitions, and `None` where fewer than half are left.
pub fn cut(files: &[(PartitionedFile, Pieces)], partitions: usize) -> Option<UserCuts> {
    let rows: usize = files.iter().flat_map(|(_, p)| &p.pieces).map(|piece| piece.rows.len()).sum();
    let mut count = partitions.max(1);
    loop {
        let bounds = bounds(files, rows, count);
        let read: usize =
            ranges(&bounds).flat_map(|(low, high)| files.iter().map(move |(_, p)| rows_in(p, low, high))).sum();
        if read.saturating_sub(rows) <= FEW_ROWS.max(rows / 2) {
            return Some(assign(files, &bounds));
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
    file: PartitionedFile,
    low: Option<OwnedRow>,
    high: Option<OwnedRow>,
}

fn assign(files: &[(PartitionedFile, Pieces)], bounds: &[OwnedRow]) -> UserCuts {
    let (mut inputs, mut shares) = (Vec::new(), Vec::new());
    for (low, high) in ranges(bounds) {
        let parts = files.iter().filter_map(|(file, pieces)| part(file, pieces, low, high));
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
fn part(file: &PartitionedFile, pieces: &Pieces, low: Option<&OwnedRow>, high: Option<&OwnedRow>) -> Option<Part> {
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
    Some(Part { file, low: first, high: last })
}

/// Files one after another in as few inputs as they can be.
fn chains(mut parts: Vec<Part>) -> Vec<FileGroup> {
    parts.sort_by(|a, b| a.low.cmp(&b.low));
    let mut chains: Vec<(Option<OwnedRow>, Vec<PartitionedFile>)> = Vec::new();
    for part in parts {
        let fits = |end: &Option<OwnedRow>| end.as_ref().zip(part.low.as_ref()).is_some_and(|(end, low)| end <= low);
        match chains.iter_mut().find(|(end, _)| fits(end)) {
            Some((end, files)) => {
                *end = part.high;
                files.push(part.file);
            }
            None => chains.push((part.high, vec![part.file])),
        }
    }
    chains.into_iter().map(|(_, files)| FileGroup::new(files)).collect()
}
