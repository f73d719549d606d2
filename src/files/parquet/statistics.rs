//! What is known of a file's values, in the terms of the table.
//!
//! Deals with: bounds and counts of a file for each column of the table, those of its path included. Does not deal with: which
//! statistics of a footer can be believed (`believed`).
//!
//! A bound that is *exact* is a value of the file; the engine answers MIN and MAX from such, and takes a column whose bounds are equal
//! for a constant. Other bounds only bound.

use arrow::datatypes::Schema;
use datafusion::common::stats::Precision;
use datafusion::common::{ColumnStatistics, ScalarValue, Statistics};

use super::convert::scalar;
use super::facts::{ColumnFacts, Facts};

/// The statistics of a file, whose folders name these values, for the columns of a table: those in files, then those in paths.
pub fn of_file(facts: &Facts, in_files: &Schema, in_path: &[ScalarValue]) -> Statistics {
    let in_files = in_files.fields().iter().map(|field| match facts.schema.index_of(field.name()) {
        Ok(at) => of_column(&facts.columns[at], field.data_type()),
        // NULL in every row.
        Err(_) => ColumnStatistics { null_count: Precision::Exact(facts.rows), ..ColumnStatistics::new_unknown() },
    });
    let in_path = in_path.iter().map(|value| constant(value, Precision::Exact(facts.rows)));
    Statistics {
        num_rows: Precision::Exact(facts.rows),
        total_byte_size: Precision::Absent,
        column_statistics: in_files.chain(in_path).collect(),
    }
}

fn of_column(facts: &ColumnFacts, to: &arrow::datatypes::DataType) -> ColumnStatistics {
    // Bounds of a dictionary are plain values.
    let to = match to {
        arrow::datatypes::DataType::Dictionary(_, value) => value,
        other => other,
    };
    let bound = |value: &Option<ScalarValue>| match value.as_ref().and_then(|value| scalar(value, to)) {
        Some(value) if facts.exact => Precision::Exact(value),
        Some(value) => Precision::Inexact(value),
        None => Precision::Absent,
    };
    ColumnStatistics {
        null_count: facts.nulls.map_or(Precision::Absent, Precision::Exact),
        min_value: bound(&facts.low),
        max_value: bound(&facts.high),
        byte_size: facts.bytes,
        ..ColumnStatistics::new_unknown()
    }
}

/// A column with one value in every row.
pub fn constant(value: &ScalarValue, rows: Precision<usize>) -> ColumnStatistics {
    if value.is_null() {
        return ColumnStatistics { null_count: rows, ..ColumnStatistics::new_unknown() };
    }
    let bound = match rows {
        Precision::Exact(0) => Precision::Absent,
        _ => Precision::Exact(value.clone()),
    };
    ColumnStatistics {
        null_count: Precision::Exact(0),
        min_value: bound.clone(),
        max_value: bound,
        ..ColumnStatistics::new_unknown()
    }
}
