//! The arguments of functions over states: which types they take, and how rows of them are read.
//!
//! Deals with: states, users and values that sketches count. Does not deal with: what becomes of them.

use arrow::array::{Array, ArrayRef, AsArray, BinaryArray, Int64Array, StringArray, UInt64Array};
use arrow::datatypes::{DataType, Int64Type, UInt64Type};
use datafusion::logical_expr::ColumnarValue;

use crate::error::{Error, Result};

/// The type that a state is coerced to; `maker` is the function that makes such states.
pub fn coerce_state(function: &str, position: usize, given: &DataType, maker: &str) -> Result<DataType> {
    match given {
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView | DataType::Null => Ok(DataType::Binary),
        other => Err(Error::user(format!(
            "{function}: argument {position} must be a state (BINARY), as from {maker}; got {other}"
        ))),
    }
}

/// The error of a state that is refused: `fault` goes on after "the state".
pub fn refused(function: &str, fault: &str) -> Error {
    Error::data(format!("{function}: the state {fault}"))
}

/// The error of states that do not go together.
pub fn apart(function: &str, one: &str, other: &str) -> Error {
    Error::data(format!("{function}: states of different options do not go together: {one}; and {other}"))
}

/// The type that a user is coerced to: integers and texts as they are.
pub fn coerce_user(function: &str, position: usize, given: &DataType) -> Result<DataType> {
    integer_or_text(given).ok_or_else(|| {
        Error::user(format!("{function}: argument {position} (user) must be an integer or a text, got {given}"))
            .hint("other ids become texts with CAST(id AS TEXT)")
    })
}

/// The 64-bit or text type that holds the values of a type; `None` of any other than integers and texts.
pub fn integer_or_text(given: &DataType) -> Option<DataType> {
    match given {
        DataType::UInt64 => Some(DataType::UInt64),
        integer if integer.is_integer() => Some(DataType::Int64),
        DataType::Null => Some(DataType::Int64),
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => Some(DataType::Utf8),
        DataType::Dictionary(_, values) => integer_or_text(values),
        _ => None,
    }
}

/// Users of some rows.
pub enum Users<'a> {
    /// Integers.
    Ids(&'a Int64Array),
    /// Integers without a sign.
    Unsigned(&'a UInt64Array),
    /// Texts.
    Texts(&'a StringArray),
}

impl<'a> Users<'a> {
    /// Reads a column of coerced users.
    pub fn read(column: &'a ArrayRef) -> Self {
        match column.data_type() {
            DataType::UInt64 => Self::Unsigned(column.as_primitive::<UInt64Type>()),
            DataType::Utf8 => Self::Texts(column.as_string::<i32>()),
            _ => Self::Ids(column.as_primitive::<Int64Type>()),
        }
    }

    /// Whether a row has one.
    #[inline]
    pub fn is_valid(&self, row: usize) -> bool {
        match self {
            Self::Ids(ids) => ids.is_valid(row),
            Self::Unsigned(ids) => ids.is_valid(row),
            Self::Texts(texts) => texts.is_valid(row),
        }
    }
}

/// The 64 bits of an unsigned id, which are those of a signed one: beyond its range two ids would be one.
pub fn unsigned_id(function: &str, id: u64) -> Result<u64> {
    if id > i64::MAX as u64 {
        return Err(Error::data(format!("{function}: user {id} is beyond the integers of 64 bits with a sign"))
            .hint("such ids can be texts: CAST(id AS TEXT)"));
    }
    Ok(id)
}

/// A column of states, one row for each row of the call, and the number of rows.
pub fn state_rows(argument: &ColumnarValue, rows: usize) -> datafusion::error::Result<BinaryArray> {
    Ok(argument.to_array(rows)?.as_binary::<i32>().clone())
}
