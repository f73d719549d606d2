//! `users_count`, `users_and`, `users_or`, `users_and_not` and `users_contains`: functions of stored sets of users.
//!
//! Deals with: a row's states in, a number, a truth value or a state out. Does not deal with: bytes (`algo::states::users`).

use std::collections::HashSet;
use std::sync::Arc;

use arrow::array::{Array, BinaryArray, BinaryBuilder, BooleanArray, Int64Array};
use arrow::datatypes::DataType;
use datafusion::common::ScalarValue;
use datafusion::error::Result;
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDF};

use super::arguments::{Users as Column, coerce_state, coerce_user, refused, state_rows, unsigned_id};
use super::groups::append;
use super::users::STATE;
use crate::algo::states::users::{Algebra, Users};
use crate::error::Error;
use crate::functions::row_function::{RowFunction, row_function};

const COUNT: &str = "users_count";
const CONTAINS: &str = "users_contains";

/// The function.
pub fn users_count() -> ScalarUDF {
    row_function(Count)
}

/// The function.
pub fn users_and() -> ScalarUDF {
    row_function(Both { name: "users_and", how: Algebra::And })
}

/// The function.
pub fn users_or() -> ScalarUDF {
    row_function(Both { name: "users_or", how: Algebra::Or })
}

/// The function.
pub fn users_and_not() -> ScalarUDF {
    row_function(Both { name: "users_and_not", how: Algebra::AndNot })
}

/// The function.
pub fn users_contains() -> ScalarUDF {
    row_function(Contains)
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Count;

impl RowFunction for Count {
    fn name(&self) -> &'static str {
        COUNT
    }

    fn coerce(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        match types {
            [state] => Ok(vec![coerce_state(COUNT, 1, state, STATE)?]),
            _ => Err(Error::user(format!("{COUNT}: needs (state), got {} arguments", types.len())).into()),
        }
    }

    fn answer_type(&self, _types: &[DataType]) -> Result<DataType> {
        Ok(DataType::Int64)
    }

    fn call(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let states = state_rows(&args.args[0], args.number_rows)?;
        let count = |state: &[u8]| {
            let count = Users::count(state).map_err(|fault| refused(COUNT, &fault))?;
            i64::try_from(count).map_err(|_| refused(COUNT, "is damaged: it has too many users"))
        };
        let counts = states.iter().map(|state| state.map(count).transpose());
        Ok(ColumnarValue::Array(Arc::new(counts.collect::<Result<Int64Array, Error>>()?)))
    }
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Both {
    name: &'static str,
    how: Algebra,
}

impl RowFunction for Both {
    fn name(&self) -> &'static str {
        self.name
    }

    fn coerce(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        let name = self.name;
        match types {
            [a, b] => Ok(vec![coerce_state(name, 1, a, STATE)?, coerce_state(name, 2, b, STATE)?]),
            _ => Err(Error::user(format!("{name}: needs (state, state), got {} arguments", types.len())).into()),
        }
    }

    fn answer_type(&self, _types: &[DataType]) -> Result<DataType> {
        Ok(DataType::Binary)
    }

    fn call(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let (a, b) = (state_rows(&args.args[0], args.number_rows)?, state_rows(&args.args[1], args.number_rows)?);
        let read = |state| Users::read(state).map_err(|fault| refused(self.name, &fault));
        let mut answers = BinaryBuilder::with_capacity(args.number_rows, 0);
        for (a, b) in a.iter().zip(&b) {
            let (Some(a), Some(b)) = (a, b) else {
                answers.append_null();
                continue;
            };
            let both = read(a)?.with(read(b)?, self.how).map_err(|[a, b]| {
                Error::data(format!("{}: a set of {a} and a set of {b} do not go together", self.name))
            })?;
            append(&mut answers, self.name, Some(&both.write()))?;
        }
        Ok(ColumnarValue::Array(Arc::new(answers.finish())))
    }
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Contains;

/// A set that many users are looked up in.
enum Lookup<'a> {
    Set(Users<'a>),
    Texts(HashSet<&'a str>),
}

impl<'a> Lookup<'a> {
    fn read(state: &'a [u8]) -> Result<Self, Error> {
        Ok(match Users::read(state).map_err(|fault| refused(CONTAINS, &fault))? {
            Users::Texts(texts) => Self::Texts(texts.into_iter().collect()),
            set => Self::Set(set),
        })
    }

    fn has(&self, users: &Column, row: usize) -> Result<bool, Error> {
        let id = match users {
            Column::Ids(ids) => ids.value(row) as u64,
            Column::Unsigned(ids) => unsigned_id(CONTAINS, ids.value(row))?,
            Column::Texts(texts) => {
                return match self {
                    Self::Texts(set) => Ok(set.contains(texts.value(row))),
                    Self::Set(Users::Nobody) => Ok(false),
                    Self::Set(_) => Err(mixed("integers", "text", texts.value(row))),
                };
            }
        };
        match self {
            Self::Set(Users::Ids(set)) => Ok(set.contains(id)),
            Self::Set(_) => Ok(false),
            Self::Texts(_) => Err(mixed("texts", "integer", &(id as i64).to_string())),
        }
    }
}

fn mixed(set: &str, user: &str, value: &str) -> Error {
    Error::data(format!("{CONTAINS}: the set is of {set}, and the user is the {user} {value}"))
}

impl RowFunction for Contains {
    fn name(&self) -> &'static str {
        CONTAINS
    }

    fn coerce(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        match types {
            [state, user] => Ok(vec![coerce_state(CONTAINS, 1, state, STATE)?, coerce_user(CONTAINS, 2, user)?]),
            _ => Err(Error::user(format!("{CONTAINS}: needs (state, user), got {} arguments", types.len())).into()),
        }
    }

    fn answer_type(&self, _types: &[DataType]) -> Result<DataType> {
        Ok(DataType::Boolean)
    }

    fn call(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let column = args.args[1].to_array(args.number_rows)?;
        let users = Column::read(&column);
        let one: Option<&[u8]> = match &args.args[0] {
            ColumnarValue::Scalar(ScalarValue::Binary(state)) => state.as_deref(),
            _ => None,
        };
        let answers: Vec<Option<bool>> = match (&args.args[0], one) {
            // One set for all rows is read once.
            (ColumnarValue::Scalar(_), None) => vec![None; args.number_rows],
            (ColumnarValue::Scalar(_), Some(state)) => {
                let set = Lookup::read(state)?;
                let has = |row| users.is_valid(row).then(|| set.has(&users, row)).transpose();
                (0..args.number_rows).map(has).collect::<Result<_, Error>>()?
            }
            (argument, _) => each(&state_rows(argument, args.number_rows)?, &users)?,
        };
        Ok(ColumnarValue::Array(Arc::new(BooleanArray::from(answers))))
    }
}

/// A set for each row; rows that follow each other often have the same.
fn each(states: &BinaryArray, users: &Column) -> Result<Vec<Option<bool>>, Error> {
    let mut last: Option<(&[u8], Lookup)> = None;
    let mut answers = Vec::with_capacity(states.len());
    for row in 0..states.len() {
        if states.is_null(row) || !users.is_valid(row) {
            answers.push(None);
            continue;
        }
        let state = states.value(row);
        if last.as_ref().is_none_or(|(bytes, _)| *bytes != state) {
            last = Some((state, Lookup::read(state)?));
        }
        let found = last.as_ref().map(|(_, set)| set.has(users, row)).transpose()?;
        answers.push(found);
    }
    Ok(answers)
}
