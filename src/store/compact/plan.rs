//! Which files of a table are to be rewritten together.
//!
//! Deals with: users that several files hold, files without an order, files that are too small, time slices; all from what the
//! commit log says. Does not deal with: rows.

use std::cmp::Ordering;
use std::collections::BTreeSet;

use crate::store::layout::Period;
use crate::store::managed::StoredFile;
use crate::store::user_id::UserId;

/// Files to be rewritten together: positions among the table's files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Group {
    pub files: Vec<usize>,
}

/// A file as it matters here.
struct Span {
    low: Option<UserId>,
    high: Option<UserId>,
    bytes: u64,
    /// Whether it cannot stay whatever the others are.
    disordered: bool,
}

/// The groups of files that need work; files that need none are in no group. `file_bytes` is the size of a full file.
///
/// Files go together that share a user, unless both are of full size and only touch (as the pieces of one huge user do). A file
/// below a quarter of the full size joins its neighbour where both fit into one. With time slices all this holds within a slice.
pub(super) fn groups(files: &[StoredFile], period: Option<Period>, file_bytes: u64) -> Vec<Group> {
    let spans: Vec<Span> = files.iter().map(|file| span(file, period)).collect();
    let mut together = Sets::new(files.len());
    for slice in slices(files, period) {
        join(&slice, &spans, &mut together, file_bytes);
    }
    let mut groups: Vec<Group> = Vec::new();
    for root in 0..files.len() {
        let members: Vec<usize> = (0..files.len()).filter(|file| together.root(*file) == root).collect();
        let needs = members.len() > 1 || members.iter().any(|file| spans[*file].disordered);
        if needs {
            groups.push(Group { files: members });
        }
    }
    groups.sort_by(|a, b| spans[a.files[0]].low.cmp(&spans[b.files[0]].low).then_with(|| a.files.cmp(&b.files)));
    groups
}

fn span(file: &StoredFile, period: Option<Period>) -> Span {
    let users = file.users.as_ref().and_then(|(low, high)| UserId::from_scalar(low).zip(UserId::from_scalar(high)));
    let straddles = match (period, file.times) {
        (Some(period), Some((from, to))) => period.number(from) != period.number(to),
        (Some(_), None) => true,
        (None, _) => false,
    };
    let disordered = !file.ordered || straddles;
    let (low, high) = users.unzip();
    Span { low, high, bytes: file.size, disordered }
}

/// The files that may have rows in each time slice: a file in several, or of which the times are not known, in all of those.
fn slices(files: &[StoredFile], period: Option<Period>) -> Vec<Vec<usize>> {
    let Some(period) = period else { return vec![(0..files.len()).collect()] };
    let of = |file: &StoredFile| file.times.map(|(from, to)| (period.number(from), period.number(to)));
    let numbers: BTreeSet<i64> = files.iter().filter_map(of).flat_map(|(from, to)| [from, to]).collect();
    if numbers.is_empty() {
        return vec![(0..files.len()).collect()];
    }
    let within = |file: &StoredFile, number: i64| of(file).is_none_or(|(from, to)| (from..=to).contains(&number));
    let slices = numbers
        .into_iter()
        .map(|number| files.iter().enumerate().filter(|(_, file)| within(file, number)).map(|(at, _)| at).collect());
    slices.collect()
}

/// Joins files of a slice.
fn join(slice: &[usize], spans: &[Span], together: &mut Sets, file_bytes: u64) {
    let mut slice = slice.to_vec();
    // Files whose users are not known may hold any.
    let bound = |a: &Option<UserId>, b: &Option<UserId>| a.cmp(b);
    slice.sort_by(|a, b| {
        bound(&spans[*a].low, &spans[*b].low).then_with(|| match (&spans[*a].high, &spans[*b].high) {
            (None, None) => Ordering::Equal,
            (None, _) => Ordering::Greater,
            (_, None) => Ordering::Less,
            (a, b) => a.cmp(b),
        })
    });
    // Clusters of files whose users overlap: (first file, largest user, bytes of all).
    let mut clusters: Vec<(usize, Option<UserId>, u64)> = Vec::new();
    for file in slice {
        let span = &spans[file];
        if let Some((first, high, bytes)) = clusters.last_mut() {
            let overlaps = match (&span.low, high.as_ref()) {
                (Some(low), Some(high)) => match low.cmp(high) {
                    Ordering::Less => true,
                    Ordering::Equal => (*bytes).min(span.bytes) < file_bytes / 2,
                    Ordering::Greater => false,
                },
                _ => true,
            };
            if overlaps {
                together.join(*first, file);
                *bytes += span.bytes;
                *high = match (high.take(), &span.high) {
                    (Some(a), Some(b)) => Some(a.max(b.clone())),
                    _ => None,
                };
                continue;
            }
        }
        clusters.push((file, span.high.clone(), span.bytes));
    }
    let mut before: Option<(usize, u64)> = None;
    for (first, _, bytes) in clusters {
        before = match before {
            Some((other, others)) if others.min(bytes) < file_bytes / 4 && others + bytes <= file_bytes => {
                together.join(other, first);
                Some((other, others + bytes))
            }
            _ => Some((first, bytes)),
        };
    }
}

/// Sets that grow together.
struct Sets(Vec<usize>);

impl Sets {
    fn new(len: usize) -> Self {
        Self((0..len).collect())
    }

    fn root(&mut self, of: usize) -> usize {
        let mut root = of;
        while self.0[root] != root {
            self.0[root] = self.0[self.0[root]];
            root = self.0[root];
        }
        root
    }

    fn join(&mut self, a: usize, b: usize) {
        let (a, b) = (self.root(a), self.root(b));
        self.0[a.max(b)] = a.min(b);
    }
}

#[cfg(test)]
mod tests {
    use datafusion::common::ScalarValue;

    use super::*;

    const FULL: u64 = 100;
    const DAY: i64 = 86_400_000_000;

    fn file(users: (i64, i64), size: u64) -> StoredFile {
        StoredFile {
            path: format!("{users:?}"),
            size,
            modified: 0,
            rows: 10,
            ordered: true,
            users: Some((ScalarValue::from(users.0), ScalarValue::from(users.1))),
            times: Some((0, 10)),
            checksum: None,
            statistics: String::new(),
        }
    }

    fn groups_of(files: &[StoredFile], period: Option<Period>) -> Vec<Vec<usize>> {
        groups(files, period, FULL).into_iter().map(|group| group.files).collect()
    }

    #[test]
    fn what_is_well_cut_is_left_alone() {
        let well = [file((1, 5), 90), file((6, 9), 110), file((10, 12), 90), file((13, 14), 5)];
        assert_eq!(groups_of(&well, None), [[2, 3]]);
        let well = [file((1, 5), 90), file((6, 9), 110), file((10, 12), 98), file((13, 14), 5)];
        assert_eq!(groups_of(&well, None), Vec::<Vec<usize>>::new());
        assert_eq!(groups_of(&[file((1, 5), 1)], None), Vec::<Vec<usize>>::new());
        // Pieces of one huge user.
        let huge = [file((1, 7), 110), file((7, 7), 100), file((7, 9), 60)];
        assert_eq!(groups_of(&huge, None), Vec::<Vec<usize>>::new());
    }

    #[test]
    fn files_that_share_users_go_together() {
        let files = [file((1, 5), 90), file((20, 30), 90), file((5, 9), 3), file((8, 8), 90), file((25, 26), 2)];
        assert_eq!(groups_of(&files, None), [vec![0, 2, 3], vec![1, 4]]);
        let mut unknown = files.to_vec();
        unknown[4].users = None;
        assert_eq!(groups_of(&unknown, None), [[0, 1, 2, 3, 4]]);
        let mut foreign = vec![file((1, 5), 90), file((6, 9), 90)];
        foreign[1].ordered = false;
        assert_eq!(groups_of(&foreign, None), [[1]]);
    }

    #[test]
    fn small_neighbours_are_joined_as_long_as_they_fit() {
        let files: Vec<StoredFile> = (0..12).map(|at| file((at * 10, at * 10 + 5), 20)).collect();
        assert_eq!(groups_of(&files, None), [vec![0, 1, 2, 3, 4], vec![5, 6, 7, 8, 9], vec![10, 11]]);
    }

    #[test]
    fn time_slices_are_kept_apart() {
        let mut files = vec![file((1, 5), 90), file((1, 5), 90), file((3, 9), 90)];
        files[1].times = Some((DAY, DAY + 5));
        files[2].times = Some((DAY + 7, DAY + 8));
        assert_eq!(groups_of(&files, Some(Period::Day)), [[1, 2]]);
        assert_eq!(groups_of(&files, Some(Period::Month)), [[0, 1, 2]]);
        files[2].times = Some((5, DAY + 8));
        assert_eq!(groups_of(&files, Some(Period::Day)), [[0, 1, 2]]);
        files[2].users = Some((ScalarValue::from(50_i64), ScalarValue::from(60_i64)));
        assert_eq!(groups_of(&files, Some(Period::Day)), [[2]]);
        files[2].times = None;
        assert_eq!(groups_of(&files, Some(Period::Day)), [[2]]);
    }
}
