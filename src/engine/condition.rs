//! A condition over the rows of an answer, such as `conversion < 0.02`.
//!
//! Deals with: a text into an expression, parameters, its type, which rows fulfil it.
//! Does not deal with: where the rows come from, or what follows.

use std::sync::Arc;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{DataType, SchemaRef};
use datafusion::common::DFSchema;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::parser::Parser;
use datafusion::sql::sqlparser::tokenizer::Token;

use super::{Engine, Params, deep, params};
use crate::error::{Error, Result};
use crate::functions::plain_sql::sql_type;

/// A condition over rows with known columns.
#[derive(Debug, Clone)]
pub struct Condition(Arc<dyn PhysicalExpr>);

impl Engine {
    /// Reads a condition over rows with these columns. It names columns, constants, parameters and functions of a row.
    ///
    /// # Errors
    /// The text is no expression, names an unknown column, or is not BOOLEAN.
    pub fn condition(&self, text: &str, schema: &SchemaRef, params: &Params) -> Result<Condition> {
        deep::check(text)?;
        let syntax = |e: &dyn std::fmt::Display| Error::user(format!("'{text}' is not a condition: {e}"));
        let mut parser = Parser::new(&GenericDialect {}).try_with_sql(text).map_err(|e| syntax(&e))?;
        let mut expr = parser.parse_expr().map_err(|e| syntax(&e))?;
        let next = parser.next_token();
        if next.token != Token::EOF {
            return Err(syntax(&format!("it goes on with {next}")));
        }
        params::bind_expr(&mut expr, params)?;
        let state = self.context.state();
        let columns = DFSchema::try_from(Arc::clone(schema))?;
        let planned = state.create_logical_expr(&expr.to_string(), &columns);
        let planned = planned.and_then(|expr| state.create_physical_expr(expr, &columns));
        let expr = planned.map_err(|e| syntax(&Error::from(e)))?;
        match expr.data_type(schema)? {
            DataType::Boolean => Ok(Condition(expr)),
            other => Err(syntax(&format!("it is {}, not BOOLEAN", sql_type(&other)))),
        }
    }
}

impl Condition {
    /// How many of these rows fulfil it; NULL does not.
    pub fn rows(&self, batch: &RecordBatch) -> Result<usize> {
        let truth = self.0.evaluate(batch)?.into_array(batch.num_rows())?;
        let truth = truth.as_boolean();
        Ok((0..truth.len()).filter(|&row| truth.is_valid(row) && truth.value(row)).count())
    }
}
