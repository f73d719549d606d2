//! `in_sample(user, share, seed)`: users by their hash.

use std::sync::Arc;

use arrow::array::{Array, AsArray, BooleanArray};
use arrow::compute::cast;
use arrow::datatypes::DataType;
use datafusion::common::ScalarValue;
use datafusion::error::Result;
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDF};
use twox_hash::XxHash64;

use crate::error::Error;
use crate::functions::row_function::{RowFunction, row_function};
use crate::functions::session::check_user;

const NAME: &str = "in_sample";

/// The function.
pub fn in_sample() -> ScalarUDF {
    row_function(InSample)
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct InSample;

impl RowFunction for InSample {
    fn name(&self) -> &'static str {
        NAME
    }

    fn coerce(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        let user = match types {
            [user, _] | [user, _, _] => user,
            _ => {
                return Err(Error::user(format!(
                    "{NAME}: needs (user, share [, seed]), got {} arguments",
                    types.len()
                ))
                .into());
            }
        };
        check_user(NAME, user)?;
        Ok([DataType::Utf8, DataType::Float64, DataType::Int64][..types.len()].to_vec())
    }

    fn answer_type(&self, _types: &[DataType]) -> Result<DataType> {
        Ok(DataType::Boolean)
    }

    fn call(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let share = match &args.args[1] {
            ColumnarValue::Scalar(ScalarValue::Float64(Some(share))) if (0.0..=1.0).contains(share) => *share,
            ColumnarValue::Scalar(other) => {
                return Err(Error::user(format!("{NAME}: the share must be from 0 to 1, got {other}")).into());
            }
            ColumnarValue::Array(_) => return Err(Error::user(format!("{NAME}: the share must be a constant")).into()),
        };
        let seed = match args.args.get(2) {
            None => 0,
            Some(ColumnarValue::Scalar(ScalarValue::Int64(Some(seed)))) => *seed,
            Some(_) => return Err(Error::user(format!("{NAME}: the seed must be a whole number, and constant")).into()),
        };
        let users = cast(&args.args[0].to_array(args.number_rows)?, &DataType::Utf8)?;
        let users = users.as_string::<i32>();
        let inside: BooleanArray =
            (0..users.len()).map(|row| Some(users.is_valid(row) && kept(users.value(row), share, seed))).collect();
        Ok(ColumnarValue::Array(Arc::new(inside)))
    }
}

/// Whether the hash, as a fraction of all hashes, is below the share.
fn kept(user: &str, share: f64, seed: i64) -> bool {
    // 53 bits are exact in a double, and 1.0 is above each.
    let fraction = (XxHash64::oneshot(seed as u64, user.as_bytes()) >> 11) as f64 / (1_u64 << 53) as f64;
    fraction < share
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_nest_and_are_near_their_share() {
        let users: Vec<String> = (0..20_000).map(|user| user.to_string()).collect();
        let sample = |share, seed| users.iter().filter(|user| kept(user, share, seed)).collect::<Vec<_>>();
        let (tenth, third) = (sample(0.1, 0), sample(0.3, 0));
        assert!(tenth.iter().all(|user| third.contains(user)));
        assert!((1_800..2_200).contains(&tenth.len()), "{}", tenth.len());
        assert_ne!(tenth, sample(0.1, 1));
        assert_eq!((sample(0.0, 3).len(), sample(1.0, 3).len()), (0, users.len()));
    }
}
