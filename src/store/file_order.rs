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
use std::path::Path;

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
use crate::files::checksums::read::decoded;

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
            let (early, early_key) = if exact(group, order.descending) {
                (first, first_keys.row(group))
            } else {
                (last, last_keys.row(group))
            };
            if let Some((before, values, key)) = furthest
                && key > early_key
            {
                let (value, before) = (show(early, group), show(values, before));
                return Some(StepBack { row_group: group, value, before });
            }
            let (late, late_key) = if exact(group, !order.descending) {
                (last, last_keys.row(group))
            } else {
                (first, first_keys.row(group))
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
    decoded(&path, || out_of_order(&path, columns)).ok().flatten()
}

fn out_of_order(path: &Path, columns: &[(String, SortOptions)]) -> Option<Place> {
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
        let across =
            last.as_ref().filter(|_| batch.num_rows() > 0).and_then(|last| after(last, &mut std::iter::once((0, 0))));
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

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{DictionaryArray, Int64Array, RecordBatch, StringArray};
    use arrow::datatypes::Int32Type;
    use parquet::arrow::ArrowWriter;
    use parquet::file::metadata::ParquetMetaDataReader;
    use parquet::file::properties::WriterProperties;
    use std::path::{Path, PathBuf};
    use std::sync::Arc;

    const ASCENDING: SortOptions = SortOptions { descending: false, nulls_first: false };

    /// A file with row groups of three rows.
    fn write(folder: &Path, values: ArrayRef) -> (PathBuf, Field) {
        let file = folder.join("f.parquet");
        let batch = RecordBatch::try_from_iter_with_nullable([("u", values, true)]).unwrap();
        let properties = WriterProperties::builder().set_max_row_group_row_count(Some(3)).build();
        let mut writer = ArrowWriter::try_new(File::create(&file).unwrap(), batch.schema(), Some(properties)).unwrap();
        writer.write(&batch).unwrap();
        writer.close().unwrap();
        (file, batch.schema().field(0).clone())
    }

    fn step(values: ArrayRef, order: SortOptions) -> Option<(usize, String, String)> {
        let folder = tempfile::tempdir().unwrap();
        let (file, column) = write(folder.path(), values);
        let footer = ParquetMetaDataReader::new().parse_and_finish(&File::open(file).unwrap()).unwrap();
        step_back(&footer, &column, order).map(|s| (s.row_group, s.value, s.before))
    }

    fn numbers(values: &[Option<i64>]) -> ArrayRef {
        Arc::new(Int64Array::from(values.to_vec()))
    }

    fn back(row_group: usize, value: &str, before: &str) -> Option<(usize, String, String)> {
        Some((row_group, value.to_string(), before.to_string()))
    }

    #[test]
    fn row_groups_that_go_back_are_found() {
        let some = |values: &[i64]| numbers(&values.iter().map(|v| Some(*v)).collect::<Vec<_>>());
        assert_eq!(step(some(&[1, 2, 3, 3, 4, 5, 5]), ASCENDING), None);
        assert_eq!(step(some(&[1, 2, 9, 9, 9, 9, 5]), ASCENDING), back(2, "5", "9"));
        // Within a row group statistics do not see it.
        assert_eq!(step(some(&[3, 2, 1, 4, 4, 4]), ASCENDING), None);
        let descending = SortOptions { descending: true, nulls_first: false };
        assert_eq!(step(some(&[9, 8, 7, 7, 7, 1]), descending), None);
        assert_eq!(step(some(&[9, 8, 7, 8, 7, 1]), descending), back(1, "8", "7"));
        assert_eq!(step(some(&[1, 2, 3, 3, 4, 5]), descending), back(1, "5", "1"));
    }

    #[test]
    fn nulls_stand_where_the_order_says() {
        let nulls_first = SortOptions { descending: false, nulls_first: true };
        let early = [None, None, None, None, Some(1), Some(2), Some(3)];
        assert_eq!(step(numbers(&early), nulls_first), None);
        assert_eq!(step(numbers(&early), ASCENDING), back(1, "1", "NULL"));
        let late = [Some(1), Some(2), Some(3), Some(4), None, None, None];
        assert_eq!(step(numbers(&late), ASCENDING), None);
        assert_eq!(step(numbers(&late), nulls_first), back(1, "NULL", "3"));
    }

    /// Bounds of long texts are cut short: they are less, or greater, than any text there is.
    #[test]
    fn long_texts_contradict_only_by_what_is_known_of_them() {
        let long = |end: &str| format!("{}{end}", "x".repeat(100));
        let texts = |values: Vec<String>| -> ArrayRef { Arc::new(StringArray::from(values)) };
        let all = |ends: [&str; 6]| ends.iter().map(|end| long(end)).collect::<Vec<_>>();
        assert_eq!(step(texts(all(["a", "b", "c", "d", "e", "f"])), ASCENDING), None);
        // It does go back, but nothing tells.
        assert_eq!(step(texts(all(["d", "e", "f", "a", "b", "c"])), ASCENDING), None);
        let mut values = all(["a", "b", "c", "d", "e", "f"]);
        values[3..].fill("a".to_string());
        assert_eq!(step(texts(values.clone()), ASCENDING).unwrap().0, 1);
        let words: DictionaryArray<Int32Type> = values.iter().map(String::as_str).collect();
        assert_eq!(step(Arc::new(words), ASCENDING).unwrap().0, 1);
    }

    #[test]
    fn the_first_row_in_the_wrong_place() {
        let folder = tempfile::tempdir().unwrap();
        for (values, place) in [
            (vec![1, 2, 2, 3, 4, 9, 8, 8], Some(Place { row: 7, row_group: 2 })),
            (vec![2, 1], Some(Place { row: 2, row_group: 0 })),
            (vec![1, 1, 1, 1], None),
        ] {
            let (file, _) = write(folder.path(), Arc::new(Int64Array::from(values)));
            let location = object_store::path::Path::from_absolute_path(&file).unwrap();
            let meta = ObjectMeta { location, last_modified: Default::default(), size: 0, e_tag: None, version: None };
            assert_eq!(first_out_of_order(&meta, &[("u".to_string(), ASCENDING)]), place);
            assert_eq!(first_out_of_order(&meta, &[("other".to_string(), ASCENDING)]), None);
        }
    }
}
