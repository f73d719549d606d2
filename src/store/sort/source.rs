//! Inputs of a merge: anything that gives rows in the order of (user, time) for a range of users.
//!
//! Deals with: the contract, and cutting the users into ranges of about equal work. Does not deal with: what the inputs are.

use super::columns::{Columns, Rows};
use crate::error::Result;
use crate::store::user_id::{UserId, UserRef};

/// Users from `from` up to, and without, `to`; without a bound, all on that side.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UserRange {
    /// The first user.
    pub from: Option<UserId>,
    /// The first user beyond.
    pub to: Option<UserId>,
}

impl UserRange {
    /// Whether the range holds a user between these two, both included.
    pub fn meets(&self, first: UserRef<'_>, last: UserRef<'_>) -> bool {
        self.from.as_ref().is_none_or(|from| last >= from.as_ref())
            && self.to.as_ref().is_none_or(|to| first < to.as_ref())
    }

    /// The rows of the range among users in order: where they begin and end.
    pub(super) fn within(&self, users: &crate::store::user_id::Users) -> (usize, usize) {
        let from = self.from.as_ref().map_or(0, |user| users.lower_bound(user.as_ref()));
        let to = self.to.as_ref().map_or(users.len(), |user| users.lower_bound(user.as_ref()));
        (from, to.max(from))
    }
}

/// A place in an input: a user, and how many rows lie between this and the next place.
pub(super) type Fence = (UserId, u64);

/// An input in order. Several threads read ranges of it at the same time.
pub(super) trait Source: Send + Sync {
    /// Places in order, the first at the first row: what is known without reading the rows.
    fn fences(&self) -> Result<Vec<Fence>>;

    /// Rows of one reading, about: so many that they are of a useful size in memory.
    fn piece(&self) -> usize;

    /// The rows of a range.
    fn read<'a>(&'a self, range: &UserRange) -> Result<Box<dyn Reader + 'a>>;
}

/// The rows of a range of a source, in order.
pub(super) trait Reader {
    /// The next rows, never none of them; at the end `None`. Texts of few values are numbered by `columns`.
    fn next(&mut self, columns: &mut Columns) -> Result<Option<Rows>>;
}

/// Cuts the users into at most `parts` ranges of about equal rows.
pub(super) fn cut(sources: &[&dyn Source], parts: usize) -> Result<Vec<UserRange>> {
    let mut fences = Vec::new();
    for source in sources {
        fences.extend(source.fences()?);
    }
    fences.sort();
    let total: u64 = fences.iter().map(|(_, rows)| rows).sum();
    let mut ranges = vec![UserRange::default()];
    let (mut before, mut next) = (0, 1);
    let first = fences.first().map(|(user, _)| user.clone());
    for (user, rows) in fences {
        let due = before >= total / parts as u64 * next;
        before += rows;
        if !due || next as usize >= parts {
            continue;
        }
        let Some(last) = ranges.last_mut() else { break };
        if last.from.as_ref().or(first.as_ref()).is_some_and(|from| *from < user) {
            last.to = Some(user.clone());
            ranges.push(UserRange { from: Some(user), to: None });
            while next < parts as u64 && before >= total / parts as u64 * next {
                next += 1;
            }
        }
    }
    Ok(ranges)
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Fences(Vec<Fence>);

    impl Source for Fences {
        fn fences(&self) -> Result<Vec<Fence>> {
            Ok(self.0.clone())
        }

        fn piece(&self) -> usize {
            unreachable!("only cut")
        }

        fn read<'a>(&'a self, _: &UserRange) -> Result<Box<dyn Reader + 'a>> {
            unreachable!("only cut")
        }
    }

    fn cuts(users: &[(i64, u64)], parts: usize) -> Vec<i64> {
        let source = Fences(users.iter().map(|(user, rows)| (UserId::Number(*user), *rows)).collect());
        let ranges = cut(&[&source], parts).unwrap();
        assert_eq!((ranges[0].from.clone(), ranges[ranges.len() - 1].to.clone()), (None, None));
        assert!(ranges.windows(2).all(|w| w[0].to == w[1].from && w[0].to.is_some()));
        let number = |user: &UserId| if let UserId::Number(number) = user { *number } else { unreachable!() };
        ranges[1..].iter().map(|r| number(r.from.as_ref().unwrap())).collect()
    }

    #[test]
    fn ranges_have_about_equal_rows() {
        let even: Vec<(i64, u64)> = (0..100).map(|user| (user, 10)).collect();
        assert_eq!(cuts(&even, 2), [50]);
        assert_eq!(cuts(&even, 4), [25, 50, 75]);
        assert_eq!(cuts(&even, 1), [0; 0]);
    }

    #[test]
    fn a_user_is_in_one_range() {
        assert_eq!(cuts(&[(7, 10); 50], 4), [0; 0]);
        let mut heavy = vec![(1, 1); 10];
        heavy.extend([(2, 100); 10]);
        heavy.extend([(3, 1), (4, 1)]);
        assert_eq!(cuts(&heavy, 2), [2]);
        assert_eq!(cuts(&[], 2), [0; 0]);
    }
}
