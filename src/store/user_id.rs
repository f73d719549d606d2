//! Values of the user column: integers or text, compared as the files are ordered.
//!
//! Deals with: one value, owned or borrowed, and typed access to a column of them. Does not deal with: NULLs, which ordered
//! files do not hold.

use std::cmp::Ordering;

use arrow::array::{Array, ArrayRef, AsArray, StringArray};
use arrow::buffer::ScalarBuffer;
use arrow::datatypes::{DataType, Int64Type};
use datafusion::common::ScalarValue;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// A user.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(untagged)]
pub enum UserId {
    /// Of an integer column.
    Number(i64),
    /// Of a text column; ordered by bytes, as Parquet orders text.
    Text(String),
}

/// A user in a column; both sides of a comparison are of one column, so kinds never mix.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum UserRef<'a> {
    /// Of an integer column.
    Number(i64),
    /// Of a text column.
    Text(&'a str),
}

impl UserId {
    /// Borrowed.
    pub fn as_ref(&self) -> UserRef<'_> {
        match self {
            Self::Number(number) => UserRef::Number(*number),
            Self::Text(text) => UserRef::Text(text),
        }
    }

    /// As DataFusion has it.
    pub fn scalar(&self) -> ScalarValue {
        match self {
            Self::Number(number) => ScalarValue::Int64(Some(*number)),
            Self::Text(text) => ScalarValue::Utf8(Some(text.clone())),
        }
    }

    /// From DataFusion's; `None` for NULL and for other types.
    pub fn from_scalar(value: &ScalarValue) -> Option<Self> {
        match value {
            ScalarValue::Int64(Some(number)) => Some(Self::Number(*number)),
            ScalarValue::Utf8(Some(text)) | ScalarValue::LargeUtf8(Some(text)) | ScalarValue::Utf8View(Some(text)) => {
                Some(Self::Text(text.clone()))
            }
            ScalarValue::Dictionary(_, inner) => Self::from_scalar(inner),
            _ => None,
        }
    }
}

impl UserRef<'_> {
    /// Owned.
    pub fn to_owned(self) -> UserId {
        match self {
            Self::Number(number) => UserId::Number(number),
            Self::Text(text) => UserId::Text(text.to_string()),
        }
    }
}

impl std::fmt::Display for UserId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Number(number) => write!(f, "{number}"),
            Self::Text(text) => write!(f, "'{text}'"),
        }
    }
}

/// A column of users without NULLs.
#[derive(Debug, Clone)]
pub enum Users {
    /// BIGINT.
    Numbers(ScalarBuffer<i64>),
    /// Text.
    Text(StringArray),
}

impl Users {
    /// Of an Int64 or Utf8 array.
    pub fn new(array: &ArrayRef) -> Result<Self> {
        if array.null_count() > 0 {
            return Err(Error::internal("a NULL user among rows to be ordered"));
        }
        match array.data_type() {
            DataType::Int64 => Ok(Self::Numbers(array.as_primitive::<Int64Type>().values().clone())),
            DataType::Utf8 => Ok(Self::Text(array.as_string::<i32>().clone())),
            other => Err(Error::internal(format!("users of type {other}"))),
        }
    }

    /// How many.
    pub fn len(&self) -> usize {
        match self {
            Self::Numbers(numbers) => numbers.len(),
            Self::Text(text) => text.len(),
        }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The user of a row.
    #[inline]
    pub fn at(&self, row: usize) -> UserRef<'_> {
        match self {
            Self::Numbers(numbers) => UserRef::Number(numbers[row]),
            Self::Text(text) => UserRef::Text(text.value(row)),
        }
    }

    /// Where, in a column in order, users begin that are not less than `user`.
    pub fn lower_bound(&self, user: UserRef<'_>) -> usize {
        let (mut low, mut high) = (0, self.len());
        while low < high {
            let middle = low.midpoint(high);
            match self.at(middle).cmp(&user) {
                Ordering::Less => low = middle + 1,
                _ => high = middle,
            }
        }
        low
    }

    /// Where, in a column in order, the user of row `from` ends; looks near first, since most users are short.
    pub fn run_end(&self, from: usize) -> usize {
        let user = self.at(from);
        let (mut same, mut step) = (from, 1);
        while same + step < self.len() && self.at(same + step) == user {
            same += step;
            step *= 2;
        }
        let (mut low, mut high) = (same + 1, (same + step).min(self.len()));
        while low < high {
            let middle = low.midpoint(high);
            if self.at(middle) == user { low = middle + 1 } else { high = middle }
        }
        low
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::Int64Array;

    use super::*;

    #[test]
    fn runs_and_bounds() {
        let users: Vec<i64> = [3; 1].into_iter().chain([5; 40]).chain([6; 2]).chain([9; 1]).collect();
        let column = Users::new(&(Arc::new(Int64Array::from(users.clone())) as ArrayRef)).unwrap();
        let text: ArrayRef = Arc::new(StringArray::from_iter_values(users.iter().map(|u| format!("u{u}"))));
        let text = Users::new(&text).unwrap();
        for from in 0..users.len() {
            let end = (from..users.len()).find(|at| users[*at] != users[from]).unwrap_or(users.len());
            assert_eq!((column.run_end(from), text.run_end(from)), (end, end), "{from}");
        }
        for user in 0..11 {
            let bound = users.iter().filter(|u| **u < user).count();
            assert_eq!(column.lower_bound(UserRef::Number(user)), bound);
        }
        assert_eq!(text.lower_bound(UserRef::Text("u6")), 41);
    }

    #[test]
    fn scalars_come_back() {
        for user in [UserId::Number(-4), UserId::Text("ü".into())] {
            assert_eq!(UserId::from_scalar(&user.scalar()), Some(user));
        }
        assert_eq!(UserId::from_scalar(&ScalarValue::Int64(None)), None);
    }

    #[test]
    fn journals_keep_the_kind() {
        for user in [UserId::Number(7), UserId::Text("7".into())] {
            let text = serde_json::to_string(&user).unwrap();
            assert_eq!(serde_json::from_str::<UserId>(&text).unwrap(), user);
        }
    }
}
