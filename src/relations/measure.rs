//! An argument that names a column to be added up.
//!
//! Deals with: sums that are exact, whatever the column's type: of whole numbers and decimals as they are, of doubles rounded
//! once (`exact_sum`). Does not deal with: what a relation counts.

use arrow::datatypes::DataType;
use datafusion::logical_expr::{AggregateUDF, Expr, ExprSchemable};

use super::argument::Argument;
use super::call::Call;
use crate::error::{Error, Result};
use crate::functions::exact_sum::{exact_sum, exact_sum_merge, exact_sum_state};
use crate::functions::plain_sql;

/// A column of numbers.
#[derive(Debug, Clone)]
pub struct Measure {
    value: Expr,
    doubles: bool,
}

impl Measure {
    /// What an argument names; `None` where it was not given.
    pub fn read(call: &mut Call, argument: &Argument) -> Result<Option<Self>> {
        let Some(value) = call.column(argument)? else { return Ok(None) };
        match value.get_type(call.schema()).map_err(Error::from)? {
            DataType::Float16 | DataType::Float32 | DataType::Float64 => Ok(Some(Self { value, doubles: true })),
            number if number.is_numeric() => Ok(Some(Self { value, doubles: false })),
            other => Err(call.error(format!(
                "argument '{}' must be a column of numbers, got {value} of type {other}",
                argument.name
            ))),
        }
    }

    /// Of whole numbers and decimals: too large a sum is an error.
    fn plain(value: Expr) -> Expr {
        plain_sql::sum().call(vec![value])
    }

    /// What adds up sums, or the column itself: too large a sum of whole numbers is an error.
    pub fn adder(&self) -> AggregateUDF {
        if self.doubles { exact_sum() } else { plain_sql::sum() }
    }

    /// The column itself.
    pub fn value(&self) -> Expr {
        self.value.clone()
    }

    /// The sum over rows.
    pub fn total(&self) -> Expr {
        let value = self.value.clone();
        if self.doubles { exact_sum().call(vec![value]) } else { Self::plain(value) }
    }

    /// A sum that [`Measure::merged`] adds up.
    pub fn part(&self) -> Expr {
        let value = self.value.clone();
        if self.doubles { exact_sum_state().call(vec![value]) } else { Self::plain(value) }
    }

    /// The sum of the sums that [`Measure::part`] gave.
    pub fn merged(&self, part: Expr) -> Expr {
        if self.doubles { exact_sum_merge().call(vec![part]) } else { Self::plain(part) }
    }
}
