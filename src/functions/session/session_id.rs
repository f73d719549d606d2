//! `session_id(user, started_at)`: the same 64 bits for the same session, wherever it is computed.

use std::io::Write;

use arrow::array::{Array, AsArray, Int64Array};
use arrow::compute::cast;
use arrow::datatypes::DataType;
use datafusion::error::Result;
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDF};
use twox_hash::XxHash64;

use crate::algo::calendar::Clock;
use crate::error::Error;
use crate::functions::columns::{Times, clock_of, coerce_time};
use crate::functions::row_function::{RowFunction, row_function};

const NAME: &str = "session_id";

/// The function.
pub fn session_id() -> ScalarUDF {
    row_function(SessionId)
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct SessionId;

impl RowFunction for SessionId {
    fn name(&self) -> &'static str {
        NAME
    }

    fn coerce(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        let [user, time] = types else {
            return Err(Error::user(format!("{NAME}: needs (user, started_at), got {} arguments", types.len())).into());
        };
        check_user(NAME, user)?;
        Ok(vec![DataType::Utf8, coerce_time(NAME, 2, time)?])
    }

    fn answer_type(&self, _types: &[DataType]) -> Result<DataType> {
        Ok(DataType::Int64)
    }

    fn call(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let users = cast(&args.args[0].to_array(args.number_rows)?, &DataType::Utf8)?;
        let users = users.as_string::<i32>();
        let starts = args.args[1].to_array(args.number_rows)?;
        let clock = clock_of(starts.data_type()).unwrap_or(Clock::Dates);
        let starts = Times::read(&starts)?;
        let mut key = Vec::new();
        let ids: Int64Array = (0..args.number_rows)
            .map(|row| {
                if users.is_valid(row) && !starts.is_null(row) {
                    Ok(Some(id(&mut key, users.value(row), starts.values()[row], clock)?))
                } else {
                    Ok(None)
                }
            })
            .collect::<std::io::Result<_>>()?;
        Ok(ColumnarValue::Array(std::sync::Arc::new(ids)))
    }
}

/// A user is identified by its text: the number 7 and the text '7' are one.
pub fn check_user(function: &str, user: &DataType) -> Result<(), Error> {
    match user {
        DataType::Dictionary(_, value) => check_user(function, value),
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View | DataType::Null => Ok(()),
        other if other.is_integer() => Ok(()),
        other => Err(Error::user(format!("{function}: the user must be an integer or a text, got {other}"))
            .hint("other types become a text with CAST(column AS VARCHAR)")),
    }
}

/// xxHash64 of `user|nanoseconds`, the bits as a signed number.
fn id(key: &mut Vec<u8>, user: &str, start: i64, clock: Clock) -> std::io::Result<i64> {
    let nanos = match clock {
        Clock::Instants(per_second) => i128::from(start) * i128::from(1_000_000_000 / per_second),
        Clock::Dates => i128::from(start) * 86_400_000_000_000,
    };
    key.clear();
    write!(key, "{user}|{nanos}")?;
    Ok(XxHash64::oneshot(0, key) as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_those_of_xxhash_whatever_the_unit() {
        let id = |user, start, clock| id(&mut vec![9], user, start, clock).unwrap();
        // The reference value of xxHash64 with seed 0 for an empty input, so that the algorithm is the published one.
        assert_eq!(XxHash64::oneshot(0, b""), 0xef46_db37_51d8_e999);
        let day = id("7", 20_000, Clock::Dates);
        assert_eq!(day, id("7", 20_000 * 86_400, Clock::Instants(1)));
        assert_eq!(day, id("7", 20_000 * 86_400_000_000, Clock::Instants(1_000_000)));
        assert_eq!(day, XxHash64::oneshot(0, b"7|1728000000000000000") as i64);
        assert_ne!(day, id("71", 20_000, Clock::Dates));
        assert_ne!(id("7", -1, Clock::Dates), id("7", 1, Clock::Dates));
    }
}
