//! What a block of a source becomes: rows of the table and rows that are put aside.
//!
//! Deals with: the shape that all formats deliver, columns that no source has. Does not deal with: the formats.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, DictionaryArray, Int32Array, RecordBatch, RecordBatchOptions, StringArray, new_null_array,
};
use arrow::datatypes::DataType;

use super::cells::Cells;
use super::columns::{Column, Columns, Origin};
use super::reject::{Fault, Reject};
use super::unseen::OfBlock;
use crate::error::{Error, Result};

/// Rows of a block.
#[derive(Debug)]
pub struct Decoded {
    /// The rows, with the columns of the table.
    pub batch: RecordBatch,
    /// The rows that were put aside, in order.
    pub rejects: Vec<Reject>,
    /// Values that the sample did not show, left out of the rows.
    pub unseen: OfBlock,
    /// Rows that were read, both kinds.
    pub rows: u64,
}

/// What is wrong with a row that has no user or no time.
pub const IS_NULL: Fault = Fault("is NULL");

/// A column that is the same in every row: a constant or NULL.
pub fn same_everywhere(column: &Column, rows: usize) -> Result<ArrayRef> {
    let Origin::Constant(constant) = &column.origin else { return Ok(new_null_array(&column.data_type, rows)) };
    let wrong = |what: &str| Error::data(format!("column '{}': the constant '{constant}' {what}", column.name));
    let mut cells = Cells::new(&column.data_type, column.time.as_ref())
        .ok_or_else(|| wrong("has a type that takes no constant"))?;
    if matches!(column.data_type, DataType::Dictionary(_, _)) {
        let values = Arc::new(StringArray::from_iter_values([constant]));
        return Ok(Arc::new(DictionaryArray::try_new(Int32Array::from_value(0, rows), values)?));
    }
    for _ in 0..rows {
        cells.push(constant.as_bytes()).map_err(|fault| wrong(fault.0))?;
    }
    cells.finish()
}

/// A batch of the columns, which may be none.
pub fn batch(layout: &Columns, columns: Vec<ArrayRef>, rows: usize) -> Result<RecordBatch> {
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    RecordBatch::try_new_with_options(layout.schema.clone(), columns, &options).map_err(Error::from)
}
