//! Whether a Parquet file can be in the order that is claimed for it.
//!
//! Deals with: contradictions between a claim and the statistics of row groups, and the first row that stands in the wrong
//! place. Does not deal with: who claims it, or what follows (`plan`).
//!
//! A file may name the columns by which it is sorted for each row group alone; the whole is in that order only if row groups
//! do not go back. Statistics cannot prove an order, since they do not see within a row group: whoever reads the rows checks
//! them too.

use std::cmp::Ordering;
use std::fs::File;

use arrow::array::{Array, ArrayRef, make_comparator};
use arrow::compute::SortOptions;
use arrow::datatypes::{DataType, Field};
use arrow::row::{RowConverter, SortField};
use arrow::util::display::array_value_to_string;
use object_store::ObjectMeta;
use object_store::local::LocalFileSystem;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::arrow::arrow_reader::statistics::StatisticsConverter;
use parquet::file::metadata::ParquetMetaData;

use super::footers::bounded;

/// A row group that goes back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepBack {
    /// The row group, counted from 0.
    pub row_group: usize,
    /// A value in it.
    pub value: String,
    /// A value of a row group before it that should stand after this one.
    pub before: String,
}

/// The first row group whose statistics contradict that the file is ordered by the column; `None` where there is none, or
/// statistics do not tell.
pub fn step_back(footer: &ParquetMetaData, column: &Field, order: SortOptions) -> Option<StepBack> {
    let schema = footer.file_metadata().schema_descr();
    let at = schema.columns().iter().position(|c| c.path().parts() == [column.name().as_str()])?;
    if !bounded(column.data_type()) {
        return None;
    }
    let groups = footer.row_groups();
    let converter = StatisticsConverter::from_column_index(at, column, schema).ok()?;
    let converter = converter.with_missing_null_counts_as_zero(false);
    let (least, greatest) = (converter.row_group_mins(groups).ok()?, converter.row_group_maxes(groups).ok()?);
    let nulls = converter.row_group_null_counts(groups).ok()?;
    let text = matches!(
        least.data_type(),
        DataType::Utf8
            | DataType::LargeUtf8
            | DataType::Utf8View
            | DataType::Binary
            | DataType::LargeBinary
            | DataType::BinaryView
            | DataType::FixedSizeBinary(_)
    );
    // Long texts are cut short; a bound that is not a value of the column contradicts nothing.
    let exact = |group: usize, greatest: bool| {
        let statistics = groups[group].column(at).statistics();
        !text || statistics.is_some_and(|s| if greatest { s.max_is_exact() } else { s.min_is_exact() })
    };
    let keys = |values: &ArrayRef| {
        let field = SortField::new_with_options(values.data_type().clone(), order);
        RowConverter::new(vec![field]).ok()?.convert_columns(&[std::sync::Arc::clone(values)]).ok()
    };
    // In the order claimed, the values of a row group lie from `first` to `last`.
    let (first, last) = if order.descending { (&greatest, &least) } else { (&least, &greatest) };
    let (first_keys, last_keys) = (keys(first)?, keys(last)?);
    let show = |values: &ArrayRef, at: usize| array_value_to_string(values, at).unwrap_or_default();
    let (mut furthest, mut null_before): (Option<(usize, &ArrayRef, arrow::row::Row)>, bool) = (None, false);
    for group in 0..groups.len() {
        let has_nulls = nulls.is_valid(group) && nulls.value(group) > 0;
        let has_values = first.is_valid(group) && last.is_valid(group);
        if has_nulls
            && order.nulls_first
            && let Some((before, values, _)) = furthest
        {
            return Some(StepBack { row_group: group, value: "NULL".to_string(), before: show(values, before) });
        }
        if has_values {
            if null_before {
                return Some(StepBack { row_group: group, value: show(first, group), before: "NULL".to_string() });
            }
            let (early, early_key) = match exact(group, order.descending) {
                true => (first, first_keys.row(group)),
                false => (last, last_keys.row(group)),
            };
            if let Some((before, values, key)) = furthest
                && key > early_key
            {
                let (value, before) = (show(early, group), show(values, before));
                return Some(StepBack { row_group: group, value, before });
            }
            let (late, late_key) = match exact(group, !order.descending) {
                true => (last, last_keys.row(group)),
                false => (first, first_keys.row(group)),
            };
            if furthest.is_none_or(|(.., key)| key < late_key) {
                furthest = Some((group, late, late_key));
            }
        }
        null_before |= has_nulls && !order.nulls_first;
    }
    None
}

/// Where a row stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// The row of the file, counted from 1.
    pub row: u64,
    /// Its row group, counted from 0.
    pub row_group: usize,
}

/// The first row of a local file that stands before the one above it in the order of these columns. Reads the columns: for
/// messages, once it is known that something is wrong.
pub fn first_out_of_order(file: &ObjectMeta, columns: &[(String, SortOptions)]) -> Option<Place> {
    let path = LocalFileSystem::new().path_to_filesystem(&file.location).ok()?;
    let builder = ParquetRecordBatchReaderBuilder::try_new(File::open(path).ok()?).ok()?;
    let rows_of: Vec<u64> = builder.metadata().row_groups().iter().map(|g| g.num_rows().max(0) as u64).collect();
    let mask = ProjectionMask::columns(builder.parquet_schema(), columns.iter().map(|(name, _)| name.as_str()));
    let mut last: Option<Vec<ArrayRef>> = None;
    let mut row = 0u64;
    for batch in builder.with_projection(mask).build().ok()? {
        let batch = batch.ok()?;
        let values = columns.iter().map(|(name, _)| batch.column_by_name(name).cloned()).collect::<Option<Vec<_>>>()?;
        let after = |left: &[ArrayRef], pairs: &mut dyn Iterator<Item = (usize, usize)>| {
            let compare = (left.iter().zip(&values).zip(columns))
                .map(|((left, right), (_, order))| make_comparator(left, right, *order).ok())
                .collect::<Option<Vec<_>>>()?;
            for (a, b) in pairs {
                let order = compare.iter().map(|c| c(a, b)).find(|o| o.is_ne()).unwrap_or(Ordering::Equal);
                if order.is_gt() {
                    return Some(b as u64);
                }
            }
            None
        };
        let across = last.as_ref().filter(|_| batch.num_rows() > 0).and_then(|last| after(last, &mut std::iter::once((0, 0))));
        let found = across.or_else(|| after(&values, &mut (1..batch.num_rows()).map(|at| (at - 1, at))));
        if let Some(at) = found {
            let mut row_group = 0;
            let mut before = 0;
            while rows_of.get(row_group).is_some_and(|rows| before + rows <= row + at) {
                before += rows_of[row_group];
                row_group += 1;
            }
            return Some(Place { row: row + at + 1, row_group });
        }
        row += batch.num_rows() as u64;
        if batch.num_rows() > 0 {
            last = Some(values.iter().map(|v| v.slice(v.len() - 1, 1)).collect());
        }
    }
    None
}
