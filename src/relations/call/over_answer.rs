//! Arguments that speak of a relation's own columns, and lists of numbers of any length.
//!
//! Does not deal with: expressions over the input (`call`).

use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::common::{DFSchema, ScalarValue};
use datafusion::logical_expr::{Expr, ExprSchemable};
use datafusion::sql::sqlparser::ast::Expr as SqlExpr;

use super::Call;
use super::conditions::beyond_its_row;
use crate::error::{Error, Result};
use crate::relations::argument::{Argument, Kind};
use crate::relations::names;

impl Call<'_> {
    /// `{'name': condition, ..}` over the columns of `schema`; `None` where it was not given.
    pub fn named_conditions(
        &mut self,
        argument: &Argument,
        schema: &Arc<DFSchema>,
    ) -> Result<Option<Vec<(String, Expr)>>> {
        let Some(written) = self.take(argument) else { return Ok(None) };
        let key = argument.name;
        let known = || schema.fields().iter().map(|f| f.name().as_str()).collect::<Vec<_>>().join(", ");
        let SqlExpr::Dictionary(fields) = written else {
            return Err(self.error(format!(
                "argument '{key}' must be {{'name': condition, ..}} over the columns {}; got {written}",
                known()
            )));
        };
        let mut conditions = Vec::with_capacity(fields.len());
        for field in fields {
            let written = field.value;
            let planned = self.context.sql_to_expr(names::fitted(*written.clone(), schema), schema);
            let planned = planned.map_err(|e| {
                self.error(format!("argument '{key}' ({written}): {}", Error::from(e).message()))
                    .hint(format!("its columns are {}", known()))
            })?;
            if let Some(what) = beyond_its_row(&planned) {
                return Err(self.error(format!("argument '{key}' ({written}) has {what} in it")));
            }
            match planned.get_type(schema.as_ref()) {
                Ok(DataType::Boolean) => conditions.push((field.key.value, planned)),
                Ok(other) => {
                    return Err(
                        self.error(format!("argument '{key}' ({written}) must be a condition (BOOLEAN), got {other}"))
                    );
                }
                Err(e) => return Err(self.error(format!("argument '{key}' ({written}): {}", Error::from(e).message()))),
            }
        }
        Ok(Some(conditions))
    }

    /// A list of constant numbers, as many as the argument may have; `None` where it was not given.
    pub fn number_list(&mut self, argument: &Argument) -> Result<Option<Vec<f64>>> {
        let Kind::UpToNumbers(most) = argument.kind else { return Ok(None) };
        let Some(written) = self.take(argument) else { return Ok(None) };
        let key = argument.name;
        let wrong = self.error(format!("argument '{key}' must be a list of 1 to {most} numbers, got {written}"));
        let SqlExpr::Array(array) = written else { return Err(wrong) };
        if array.elem.is_empty() || array.elem.len() > most {
            return Err(wrong);
        }
        let mut numbers = Vec::with_capacity(array.elem.len());
        for element in array.elem {
            let value = self.folded(key, element)?;
            match value.cast_to(&DataType::Float64) {
                Ok(ScalarValue::Float64(Some(n))) if value.data_type().is_numeric() && n.is_finite() => numbers.push(n),
                _ => return Err(wrong),
            }
        }
        Ok(Some(numbers))
    }
}
