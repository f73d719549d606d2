//! In which order the rows of files are.
//!
//! Deals with: the sorting columns that files name, in the columns of the table; what of them holds for all. Does not deal with: whether they
//! do hold (`store::file_order`, `plan`).

use std::sync::Arc;

use arrow::datatypes::Schema;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_expr::{LexOrdering, PhysicalSortExpr};

use super::facts::Facts;

/// The order that a file names, up to the first column that the table does not have.
pub fn of_file(facts: &Facts, columns: &Schema) -> Option<LexOrdering> {
    LexOrdering::new(facts.order.iter().map_while(|(name, options)| {
        let column = Column::new(name, columns.index_of(name).ok()?);
        Some(PhysicalSortExpr::new(Arc::new(column), *options))
    }))
}

/// The longest order in which all files are.
pub fn common<'a>(files: impl Iterator<Item = &'a PartitionedFile>) -> Option<LexOrdering> {
    let mut orders = files.map(|file| file.ordering.as_ref());
    let mut common = orders.next()??.clone();
    for order in orders {
        let same = common.iter().zip(order?.iter()).take_while(|(a, b)| a == b).count();
        common = LexOrdering::new(common.iter().take(same).cloned())?;
    }
    Some(common)
}
