//! Value retention: what cohorts were worth, in the columns `amount`, `amount_per_user`, `nrr` and `grr`.
//!
//! Does not deal with: births, periods and users, which are those of the question without `value`.

use arrow::datatypes::DataType;
use datafusion::error::Result as PlanResult;
use datafusion::functions::core::expr_ext::FieldAccessor;
use datafusion::functions_nested::expr_fn::array_element;
use datafusion::logical_expr::{Expr, ExprFunctionExt, ExprSchemable, cast, col, lit, when};

use super::arguments::VALUE;
use crate::error::{Error, Result};
use crate::functions::exact_sum::exact_sum;
use crate::functions::plain_sql;
use crate::functions::retention::{amount_cells, user_amounts};
use crate::relations::call::Call;
use crate::relations::expressions::column;

/// The names of the columns, in order.
pub const COLUMNS: [&str; 4] = ["amount", "amount_per_user", "nrr", "grr"];
/// Names that columns have on the way.
pub const INNER: [&str; 4] = ["amounts", "worth", "base", "capped"];

/// Of a user: the amounts by period.
const USER_AMOUNTS: &str = "(amounts)";

/// The amounts of a question.
pub struct Value {
    amount: Expr,
    doubles: bool,
    /// Whether a cell is one period, so that it can be compared with period 0.
    pub shares: bool,
}

impl Value {
    /// The argument `value` of a question of this type.
    pub fn read(call: &mut Call, kind: &str) -> Result<Option<Self>> {
        let Some(amount) = call.column(&VALUE)? else { return Ok(None) };
        let data_type = amount.get_type(call.schema()).map_err(Error::from)?;
        if !data_type.is_numeric() || matches!(data_type, DataType::Decimal256(..)) {
            return Err(
                call.error(format!("argument 'value' must be a column of numbers, got {amount} of type {data_type}"))
            );
        }
        if !["on", "on_or_before", "bracket"].contains(&kind) {
            return Err(call
                .error(format!("'value' goes with the types 'on', 'on_or_before' and 'bracket', not with '{kind}'")));
        }
        Ok(Some(Self { amount, doubles: data_type.is_floating(), shares: kind == "on" }))
    }

    /// The columns of an answer.
    pub fn columns(&self) -> &'static [&'static str] {
        if self.shares { &COLUMNS } else { &COLUMNS[..2] }
    }

    /// The aggregate over a user's events; `words` are unit, time zone, week start and index.
    pub fn of_user(
        &self,
        time: Expr,
        [start, back]: [Expr; 2],
        words: impl Iterator<Item = Expr>,
        birth: &str,
    ) -> Expr {
        let mut arguments = vec![time, start, back, self.amount.clone()];
        arguments.extend(words);
        arguments.push(lit(birth));
        user_amounts().call(arguments).alias(USER_AMOUNTS)
    }

    /// What [`Value::of_user`] gave.
    pub fn carried(&self) -> Expr {
        column(USER_AMOUNTS)
    }

    /// The aggregate over users, `worth`: cohorts by the period of their birth; `counted` are n, type and brackets.
    pub fn of_cohorts(&self, counted: &[Expr]) -> Expr {
        let arguments = std::iter::once(column(USER_AMOUNTS)).chain(counted.iter().cloned()).collect();
        amount_cells().call(arguments).alias("worth")
    }

    /// The cells of one element of `worth`, as `amounts`.
    pub fn cells(&self, cohort: Expr) -> Expr {
        cohort.field("cells").alias("amounts")
    }

    /// The same of cohorts that are told apart by other columns.
    pub fn only_cells(&self) -> Expr {
        self.cells(array_element(col("worth"), lit(1i64)))
    }

    fn part(place: Expr, name: &str) -> Expr {
        array_element(col("amounts"), place).field(name)
    }

    /// One of the columns, of the cell at this place.
    pub fn column(&self, name: &str, place: Expr, size: Expr) -> PlanResult<Expr> {
        let base = || Self::part(lit(1i64), "amount");
        match name {
            "amount" => Ok(Self::part(place, "amount")),
            "amount_per_user" => Ok(double(Self::part(place, "amount")) / double(size)),
            "nrr" => ratio(Self::part(place, "amount"), base()),
            _ => ratio(Self::part(place, "capped"), base()),
        }
    }

    /// What [`Value::pooled`] is made of: columns of a cell.
    pub fn parts(&self, place: Expr) -> Vec<Expr> {
        let mut parts = vec![Self::part(place.clone(), "amount").alias("amount")];
        if self.shares {
            parts.push(Self::part(place, "capped").alias("capped"));
            parts.push(Self::part(lit(1i64), "amount").alias("base"));
        }
        parts
    }

    /// The sums of these parts over complete cells.
    pub fn sums(&self) -> PlanResult<Vec<Expr>> {
        let names: &[&str] = if self.shares { &["amount", "capped", "base"] } else { &["amount"] };
        let sum = |name: &&str| {
            let function = if self.doubles { exact_sum() } else { plain_sql::sum() };
            Ok(function.call(vec![col(*name)]).filter(col("complete")).build()?.alias(*name))
        };
        names.iter().map(sum).collect()
    }

    /// The columns over such sums, and those of the users.
    pub fn pooled(&self, size: Expr) -> PlanResult<Vec<Expr>> {
        let per_user = when(size.clone().gt(lit(0i64)), double(col("amount")) / double(size)).end()?;
        let mut columns = vec![col("amount"), per_user.alias("amount_per_user")];
        if self.shares {
            columns.push(ratio(col("amount"), col("base"))?.alias("nrr"));
            columns.push(ratio(col("capped"), col("base"))?.alias("grr"));
        }
        Ok(columns)
    }
}

fn double(number: Expr) -> Expr {
    cast(number, DataType::Float64)
}

/// NULL where nothing was spent that more or less could be spent than: then it is no number.
fn ratio(part: Expr, base: Expr) -> PlanResult<Expr> {
    when(double(base.clone()).not_eq(lit(0.0)), double(part) / double(base)).end()
}
