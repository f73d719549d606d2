//! Files whose users do not overlap, cut into consecutive ranges of rows.
//!
//! ```text
//! partition 0          partition 1          partition 2
//! ├─ row group 0 ──────┼────────┤├─ row group 1 ──┼─────────┤        few row groups are cut through, by counting rows
//! ├──┤├──┤├──┤├──┤├──┤|├──┤├──┤├──┤├──┤├──┤|├──┤├──┤├──┤├──┤         many are shared out, by bytes
//! ```
//!
//! Deals with: partitions of about equal size. Does not deal with: which file comes first (`ordered_scan`), or users on the
//! cuts, who may lie in several partitions (`exec`).

use std::ops::Range;

use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::FileGroup;
use datafusion::datasource::physical_plan::parquet::{ParquetAccessPlan, RowGroupAccess};
use parquet::arrow::arrow_reader::RowSelection;

/// Row groups that are smaller than this part of a partition need not be cut.
const SMALL: usize = 8;

/// The files in so many ranges. `rows` tells the rows of a file's row groups, where that is known.
pub fn cut(
    files: Vec<PartitionedFile>,
    partitions: usize,
    rows: impl Fn(&PartitionedFile) -> Option<Vec<usize>>,
) -> Vec<FileGroup> {
    if partitions <= 1 {
        return vec![FileGroup::new(files)];
    }
    let row_groups: Option<Vec<Vec<usize>>> = files.iter().map(rows).collect();
    if let Some(row_groups) = row_groups {
        let total: usize = row_groups.iter().flatten().sum();
        let largest = row_groups.iter().flatten().copied().max().unwrap_or(0);
        if largest.saturating_mul(partitions * SMALL) > total {
            return by_rows(&files, &row_groups, total, partitions);
        }
    }
    by_bytes(files, partitions)
}

/// Ranges of bytes; a row group belongs to the range in which it begins.
fn by_bytes(files: Vec<PartitionedFile>, partitions: usize) -> Vec<FileGroup> {
    let total: u64 = files.iter().map(|f| f.object_meta.size).sum();
    let share = total.div_ceil(partitions as u64).max(1);
    let mut groups: Vec<Vec<PartitionedFile>> = vec![Vec::new()];
    let mut room = share;
    for file in files {
        let (mut from, size) = (0, file.object_meta.size);
        while from < size {
            if room == 0 {
                groups.push(Vec::new());
                room = share;
            }
            let to = size.min(from + room);
            room -= to - from;
            let piece = file.clone();
            let whole = from == 0 && to == size;
            let piece = if whole { piece } else { piece.with_range(from as i64, to as i64) };
            if let Some(group) = groups.last_mut() {
                group.push(piece);
            }
            from = to;
        }
    }
    groups.into_iter().map(FileGroup::new).collect()
}

/// Ranges of rows; where a row group ends near a cut, the cut is there.
fn by_rows(files: &[PartitionedFile], row_groups: &[Vec<usize>], total: usize, partitions: usize) -> Vec<FileGroup> {
    let near = total / partitions / 20;
    let ends = row_groups.iter().flatten().scan(0, |end, rows| {
        *end += rows;
        Some(*end)
    });
    let ends: Vec<usize> = ends.collect();
    let mut cuts = vec![0];
    for nth in 1..partitions {
        let wanted = (total as u128 * nth as u128 / partitions as u128) as usize;
        let end =
            ends.iter().copied().min_by_key(|end| end.abs_diff(wanted)).filter(|end| end.abs_diff(wanted) <= near);
        cuts.push(end.unwrap_or(wanted));
    }
    cuts.push(total);
    cuts.dedup();
    cuts.windows(2).map(|range| FileGroup::new(rows_of(files, row_groups, range[0]..range[1]))).collect()
}

/// The files' parts of a range of all their rows.
fn rows_of(files: &[PartitionedFile], row_groups: &[Vec<usize>], range: Range<usize>) -> Vec<PartitionedFile> {
    let mut parts = Vec::new();
    let mut at = 0;
    for (file, groups) in files.iter().zip(row_groups) {
        let mut access = Vec::with_capacity(groups.len());
        for rows in groups {
            let from = range.start.clamp(at, at + rows) - at;
            let to = range.end.clamp(at, at + rows) - at;
            at += rows;
            access.push(match to.saturating_sub(from) {
                0 => RowGroupAccess::Skip,
                all if all == *rows => RowGroupAccess::Scan,
                _ => {
                    let rows_read = std::iter::once(from..to);
                    RowGroupAccess::Selection(RowSelection::from_consecutive_ranges(rows_read, *rows))
                }
            });
        }
        if access.iter().all(|group| *group == RowGroupAccess::Scan) {
            parts.push(file.clone());
        } else if access.iter().any(RowGroupAccess::should_scan) {
            parts.push(file.clone().with_extension(ParquetAccessPlan::new(access)));
        }
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rows of each partition, and how many files it reads.
    fn shares(row_groups: &[&[usize]], partitions: usize) -> Vec<(usize, usize)> {
        let files: Vec<PartitionedFile> =
            (0..row_groups.len()).map(|file| PartitionedFile::new(format!("{file}.parquet"), 1_000)).collect();
        let rows = |file: &PartitionedFile| {
            let number: usize = file.path().to_string().trim_end_matches(".parquet").parse().ok()?;
            Some(row_groups[number].to_vec())
        };
        let selected = |access: &RowGroupAccess, rows: usize| match access {
            RowGroupAccess::Skip => 0,
            RowGroupAccess::Scan => rows,
            RowGroupAccess::Selection(selection) => {
                assert_eq!(selection.iter().map(|s| s.row_count).sum::<usize>(), rows);
                selection.row_count()
            }
        };
        let read = |file: &PartitionedFile| {
            assert!(file.range.is_none(), "cut by bytes");
            let groups = rows(file).unwrap();
            match file.extension::<ParquetAccessPlan>() {
                None => groups.iter().sum::<usize>(),
                Some(plan) => plan.inner().iter().zip(groups).map(|(access, rows)| selected(access, rows)).sum(),
            }
        };
        let groups = cut(files.clone(), partitions, rows);
        groups.iter().map(|group| (group.iter().map(read).sum(), group.len())).collect()
    }

    #[test]
    fn few_row_groups_are_cut_through() {
        assert_eq!(shares(&[&[1_000]], 4), [(250, 1); 4]);
        assert_eq!(shares(&[&[10, 990], &[0], &[200]], 3), [(400, 1), (400, 1), (400, 2)]);
        // Near the end of a row group the cut is there.
        assert_eq!(shares(&[&[495, 505]], 2), [(495, 1), (505, 1)]);
        assert_eq!(shares(&[&[400, 600]], 2), [(500, 1), (500, 1)]);
        assert_eq!(shares(&[&[2]], 4).iter().map(|(rows, _)| rows).sum::<usize>(), 2);
        assert_eq!(shares(&[&[7, 7], &[7]], 1), [(21, 2)]);
    }

    #[test]
    fn many_row_groups_are_shared_out_by_bytes() {
        let files = vec![PartitionedFile::new("0.parquet", 1_000), PartitionedFile::new("1.parquet", 500)];
        let groups = cut(files, 3, |_| Some(vec![10; 40]));
        let ranges: Vec<Vec<(u64, u64)>> = groups.iter().map(|g| g.iter().map(|f| f.range()).collect()).collect();
        assert_eq!(ranges, [vec![(0, 500)], vec![(500, 1_000)], vec![(0, 500)]]);
    }
}
