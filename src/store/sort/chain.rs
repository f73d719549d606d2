//! Ordered files whose users follow each other, as one input.
//!
//! Deals with: which files of a table can be read one after the other, so that a merge has few inputs. Does not deal with: the
//! rows of a file (`stored`).

use std::path::Path;

use arrow::datatypes::SchemaRef;

use super::columns::{Columns, Rows};
use super::source::{Fence, Reader, Source, UserRange};
use super::stored::StoredSource;
use crate::error::Result;
use crate::store::managed::{Roles, StoredFile};
use crate::store::user_id::UserId;

/// Chains that are read at the same time: each has a batch and some pages in memory, on every thread.
const MOST_CHAINS: usize = 12;

/// Files divided into those that are merged as they are, and those whose rows have to be sorted.
pub(in crate::store) struct Divided {
    /// Files that follow each other.
    pub chains: Vec<Vec<StoredFile>>,
    /// Files without an order, and the smallest where chains would be too many.
    pub loose: Vec<StoredFile>,
}

/// Divides files of a table: as few chains as there are files over one user.
pub(in crate::store) fn divide(files: &[StoredFile]) -> Divided {
    let bounds = |file: &StoredFile| -> Option<(UserId, UserId)> {
        let (low, high) = file.users.as_ref().filter(|_| file.ordered)?;
        Some((UserId::from_scalar(low)?, UserId::from_scalar(high)?))
    };
    let (mut known, mut loose) = (Vec::new(), Vec::new());
    for file in files {
        match bounds(file) {
            Some((low, high)) => known.push((low, high, file)),
            None => loose.push(file.clone()),
        }
    }
    known.sort_by(|a, b| (&a.0, &a.1).cmp(&(&b.0, &b.1)));
    let mut chains: Vec<(UserId, Vec<StoredFile>)> = Vec::new();
    for (low, high, file) in known {
        // A user in two files may have times in any order: only files without a common one follow each other.
        match chains.iter_mut().find(|(last, _)| *last < low) {
            Some((last, chain)) => {
                *last = high;
                chain.push(file.clone());
            }
            None => chains.push((high, vec![file.clone()])),
        }
    }
    let mut chains: Vec<Vec<StoredFile>> = chains.into_iter().map(|(_, chain)| chain).collect();
    chains.sort_by_key(|chain| std::cmp::Reverse(chain.iter().map(|f| f.size).sum::<u64>()));
    loose.extend(chains.split_off(MOST_CHAINS.min(chains.len())).into_iter().flatten());
    Divided { chains, loose }
}

/// Files that follow each other, with the columns of a schema.
pub(super) struct Chain {
    files: Vec<StoredSource>,
}

impl Chain {
    pub fn open(folder: &Path, files: &[StoredFile], schema: &SchemaRef, roles: &Roles) -> Result<Self> {
        let files = files.iter().map(|file| StoredSource::open(folder, file, schema, roles));
        Ok(Self { files: files.collect::<Result<_>>()? })
    }
}

impl Source for Chain {
    fn fences(&self) -> Result<Vec<Fence>> {
        let mut fences = Vec::new();
        for file in &self.files {
            fences.extend(file.fences()?);
        }
        Ok(fences)
    }

    fn piece(&self) -> usize {
        self.files.iter().map(StoredSource::piece).max().unwrap_or(1)
    }

    fn read<'a>(&'a self, range: &UserRange) -> Result<Box<dyn Reader + 'a>> {
        Ok(Box::new(ChainReader { files: self.files.iter(), range: range.clone(), open: None }))
    }
}

struct ChainReader<'a> {
    files: std::slice::Iter<'a, StoredSource>,
    range: UserRange,
    open: Option<Box<dyn Reader + 'a>>,
}

impl Reader for ChainReader<'_> {
    fn next(&mut self, columns: &mut Columns) -> Result<Option<Rows>> {
        loop {
            if let Some(open) = &mut self.open
                && let Some(rows) = open.next(columns)?
            {
                return Ok(Some(rows));
            }
            // One file is open at a time.
            self.open = None;
            let Some(file) = self.files.next() else { return Ok(None) };
            self.open = Some(file.read(&self.range)?);
        }
    }
}

#[cfg(test)]
mod tests {
    use datafusion::common::ScalarValue;

    use super::*;

    fn file(users: Option<(i64, i64)>, size: u64) -> StoredFile {
        StoredFile {
            path: format!("{users:?}"),
            size,
            modified: 0,
            rows: 1,
            ordered: users.is_some(),
            users: users.map(|(low, high)| (ScalarValue::from(low), ScalarValue::from(high))),
            times: None,
            checksum: None,
            statistics: String::new(),
        }
    }

    fn sizes(files: &[StoredFile]) -> Vec<u64> {
        files.iter().map(|f| f.size).collect()
    }

    #[test]
    fn files_without_a_common_user_follow_each_other() {
        let files = [
            file(Some((50, 90)), 3),
            file(Some((1, 9)), 1),
            file(None, 7),
            file(Some((10, 49)), 2),
            file(Some((9, 60)), 10),
        ];
        let divided = divide(&files);
        assert_eq!(divided.chains.iter().map(|c| sizes(c)).collect::<Vec<_>>(), [vec![10], vec![1, 2, 3]]);
        assert_eq!(sizes(&divided.loose), [7]);
    }

    #[test]
    fn chains_are_few() {
        let files: Vec<StoredFile> = (0..40).map(|at| file(Some((1, 100)), 100 - at)).collect();
        let divided = divide(&files);
        assert_eq!((divided.chains.len(), divided.loose.len()), (MOST_CHAINS, 40 - MOST_CHAINS));
        assert!(divided.loose.iter().all(|f| f.size <= 100 - MOST_CHAINS as u64));
    }
}
