//! What the footers of Parquet files say of where the values of a column lie.
//!
//! Deals with: getting a footer without reading it twice, and turning its statistics, of pages where there is a page index
//! and of row groups otherwise, into pieces with bounds. Does not deal with: what a plan makes of them (`plan`).

use std::collections::HashMap;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, UInt64Array, new_null_array};
use arrow::compute::{SortOptions, concat, interleave};
use arrow::datatypes::{DataType, Field, UInt64Type};
use arrow::row::{OwnedRow, RowConverter, Rows, SortField};
use object_store::ObjectMeta;
use object_store::local::LocalFileSystem;
use object_store::path::Path as ObjectPath;
use parking_lot::Mutex;
use parquet::arrow::arrow_reader::statistics::StatisticsConverter;
use parquet::file::metadata::ParquetMetaData;

use super::file_order::{StepBack, step_back};
use crate::files::parquet as parquet_files;

/// Footers of the session's files.
#[derive(Clone)]
pub struct Footers {
    files: Arc<parquet_files::Footers>,
    judged: Arc<Mutex<HashMap<Claim, Option<StepBack>>>>,
}

/// An order claimed for a file: its place, size and time, and the column.
type Claim = (ObjectPath, u64, i64, String, SortOptions);

/// Claims of which it is remembered what statistics say: a session may ask for the same files thousands of times.
const JUDGED: usize = 100_000;

impl fmt::Debug for Footers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Footers").field(&self.files).finish()
    }
}

impl Footers {
    /// Those from which scans take theirs.
    pub fn new(files: Arc<parquet_files::Footers>) -> Self {
        Self { files, judged: Arc::default() }
    }

    /// Where a file's statistics contradict that it is ordered by a column ([`step_back`]); a file is looked at once.
    pub fn step_back(&self, store: &str, file: &ObjectMeta, column: &Field, order: SortOptions) -> Option<StepBack> {
        let time = file.last_modified.timestamp_micros();
        let claim = (file.location.clone(), file.size, time, column.name().clone(), order);
        if let Some(known) = self.judged.lock().get(&claim) {
            return known.clone();
        }
        let found = step_back(self.of(store, file)?.as_ref(), column, order);
        let mut judged = self.judged.lock();
        if judged.len() >= JUDGED {
            judged.clear();
        }
        judged.insert(claim, found.clone());
        found
    }

    /// A file's footer: the one that is cached, else that of a local file, which is cached for the scan to come. `None` where
    /// that takes more than a look at a local file.
    pub fn of(&self, store: &str, file: &ObjectMeta) -> Option<Arc<ParquetMetaData>> {
        if !store.starts_with("file:") {
            return None;
        }
        let path = LocalFileSystem::new().path_to_filesystem(&file.location).ok()?;
        self.files.whole(file, &path, true).ok()
    }
}

/// Some consecutive rows of a row group, and between which values they lie.
#[derive(Debug, Clone)]
pub struct Piece {
    /// The row group.
    pub row_group: usize,
    /// The rows, counted from the row group's first.
    pub rows: Range<usize>,
    /// No value stands before it, NULL (which may stand first) included; `None` where that is unknown.
    pub low: Option<OwnedRow>,
    /// No value stands after it; `None` where that is unknown.
    pub high: Option<OwnedRow>,
}

/// A file's rows in pieces.
#[derive(Debug, Clone)]
pub struct Pieces {
    /// Rows of each row group.
    pub row_groups: Vec<usize>,
    /// Pieces in the order of the file: they hold each row once.
    pub pieces: Vec<Piece>,
}

/// Statistics of a column, one row a piece.
#[derive(Clone)]
struct Bounds {
    row_groups: Vec<usize>,
    rows: Vec<Range<usize>>,
    least: ArrayRef,
    greatest: ArrayRef,
    nulls: Vec<Nulls>,
}

/// How much of a piece is NULL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Nulls {
    None,
    Some,
    All,
    Untold,
}

impl Nulls {
    fn of(counts: &UInt64Array, at: usize, rows: usize) -> Self {
        match counts.is_valid(at).then(|| counts.value(at)) {
            None => Self::Untold,
            Some(0) => Self::None,
            Some(count) if count == rows as u64 => Self::All,
            Some(_) => Self::Some,
        }
    }
}

/// The pieces of a file by a column that is ordered so, its bounds as row keys; `None` where the file does not have the
/// column or its type has no statistics to rely on.
pub fn pieces(footer: &ParquetMetaData, column: &Field, order: SortOptions) -> Option<Pieces> {
    let schema = footer.file_metadata().schema_descr();
    let at = schema.columns().iter().position(|c| c.path().parts() == [column.name().as_str()])?;
    if !bounded(column.data_type()) {
        return None;
    }
    let converter = StatisticsConverter::from_column_index(at, column, schema).ok()?;
    let converter = converter.with_missing_null_counts_as_zero(false);
    let row_groups: Vec<usize> =
        footer.row_groups().iter().map(|g| usize::try_from(g.num_rows()).ok()).collect::<Option<_>>()?;
    let groups = by_row_group(footer, &converter, &row_groups)?;
    let bounds = by_page(footer, at, &converter, &groups).unwrap_or_else(|| groups.clone());
    let keys = |values: &ArrayRef| {
        let field = SortField::new_with_options(values.data_type().clone(), order);
        RowConverter::new(vec![field]).ok()?.convert_columns(&[Arc::clone(values)]).ok()
    };
    let (least, greatest) = (keys(&bounds.least)?, keys(&bounds.greatest)?);
    let null = keys(&new_null_array(bounds.least.data_type(), 1))?;
    let null = null.row(0);
    let required = schema.column(at).max_def_level() == 0;
    let (unknown, last) = (|group: usize| groups.least.is_null(group), row_groups.len().saturating_sub(1));
    let may_hold_null = |at: usize| match (bounds.nulls[at], bounds.row_groups[at]) {
        _ if required => false,
        (Nulls::None, _) => false,
        (Nulls::Some | Nulls::All, _) => true,
        // In a file in order NULLs are at one end, and reach on only over row groups that hold nothing else.
        (Nulls::Untold, group) if order.nulls_first => group == 0 || unknown(group - 1),
        (Nulls::Untold, group) => group == last || unknown(group + 1),
    };
    let pieces = (bounds.row_groups.iter().zip(&bounds.rows).enumerate())
        .map(|(at, (row_group, rows))| {
            let nulls = may_hold_null(at);
            let bound = |values: &ArrayRef, keys: &Rows, null_here: bool| match values.is_null(at) {
                _ if bounds.nulls[at] == Nulls::All || (nulls && null_here) => Some(null.owned()),
                true => None,
                false => Some(keys.row(at).owned()),
            };
            let low = bound(&bounds.least, &least, order.nulls_first);
            let high = bound(&bounds.greatest, &greatest, !order.nulls_first);
            Piece { row_group: *row_group, rows: rows.clone(), low, high }
        })
        .filter(|piece| !piece.rows.is_empty())
        .collect();
    Some(Pieces { row_groups, pieces })
}

/// Whether the least and greatest value of a type are those of the order in which it is sorted.
pub(super) fn bounded(column: &DataType) -> bool {
    match column {
        DataType::Dictionary(_, value) => bounded(value),
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => true,
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_) => true,
        other => other.is_integer() || other.is_temporal(),
    }
}

fn by_row_group(footer: &ParquetMetaData, converter: &StatisticsConverter, row_groups: &[usize]) -> Option<Bounds> {
    let groups = footer.row_groups();
    let nulls = converter.row_group_null_counts(groups).ok()?;
    Some(Bounds {
        row_groups: (0..groups.len()).collect(),
        rows: row_groups.iter().map(|rows| 0..*rows).collect(),
        least: converter.row_group_mins(groups).ok()?,
        greatest: converter.row_group_maxes(groups).ok()?,
        nulls: row_groups.iter().enumerate().map(|(at, rows)| Nulls::of(&nulls, at, *rows)).collect(),
    })
}

/// `None` where the file has no page index, or one that does not hold together.
fn by_page(footer: &ParquetMetaData, at: usize, converter: &StatisticsConverter, groups: &Bounds) -> Option<Bounds> {
    let (columns, offsets) = (footer.column_index()?, footer.offset_index()?);
    if columns.len() != groups.rows.len() || offsets.len() != groups.rows.len() {
        return None;
    }
    let (mut of, mut rows) = (Vec::new(), Vec::new());
    for (group, all) in groups.rows.iter().enumerate() {
        columns[group].get(at)?;
        let pages = offsets[group].get(at)?.page_locations();
        let firsts =
            pages.iter().map(|page| usize::try_from(page.first_row_index)).collect::<Result<Vec<_>, _>>().ok()?;
        if firsts.first() != Some(&0) {
            return None;
        }
        for (nth, first) in firsts.iter().enumerate() {
            let end = firsts.get(nth + 1).copied().unwrap_or(all.end);
            if end < *first || end > all.end {
                return None;
            }
            of.push(group);
            rows.push(*first..end);
        }
    }
    let every: Vec<usize> = (0..groups.rows.len()).collect();
    // One row group at a time: what one of them lacks, it alone goes without.
    let each = |of: &dyn Fn(&usize) -> Option<ArrayRef>| {
        let parts = every.iter().map(of).collect::<Option<Vec<_>>>()?;
        concat(&parts.iter().map(|p| p.as_ref()).collect::<Vec<_>>()).ok()
    };
    let least = each(&|group| converter.data_page_mins(columns, offsets, [group]).ok())?;
    let greatest = each(&|group| converter.data_page_maxes(columns, offsets, [group]).ok())?;
    let nulls = each(&|group| Some(Arc::new(converter.data_page_null_counts(columns, offsets, [group]).ok()?) as _))?;
    let nulls = nulls.as_primitive::<UInt64Type>();
    if [least.len(), greatest.len(), nulls.len()] != [rows.len(); 3] {
        return None;
    }
    // What is not known of a page is known of its row group: an index may hold places alone.
    let nulls: Vec<Nulls> = (0..rows.len())
        .map(|page| match Nulls::of(nulls, page, rows[page].len()) {
            Nulls::Untold => groups.nulls[of[page]],
            told => told,
        })
        .collect();
    let or_group = |pages: &ArrayRef, groups: &ArrayRef| {
        let own = |page: usize| pages.is_valid(page) || nulls[page] == Nulls::All;
        let picks: Vec<(usize, usize)> =
            (0..rows.len()).map(|page| if own(page) { (0, page) } else { (1, of[page]) }).collect();
        interleave(&[pages.as_ref(), groups.as_ref()], &picks).ok()
    };
    let (least, greatest) = (or_group(&least, &groups.least)?, or_group(&greatest, &groups.greatest)?);
    Some(Bounds { row_groups: of, rows, least, greatest, nulls })
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{Int64Array, RecordBatch};
    use std::fs::File;

    use parquet::arrow::ArrowWriter;
    use parquet::file::metadata::{PageIndexPolicy, ParquetMetaDataReader};
    use parquet::file::properties::{EnabledStatistics, WriterProperties};

    const NULLS_LAST: SortOptions = SortOptions { descending: false, nulls_first: false };
    const NULLS_FIRST: SortOptions = SortOptions { descending: false, nulls_first: true };

    fn footer(values: &[Option<i64>], nullable: bool, statistics: EnabledStatistics) -> (ParquetMetaData, Field) {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("f.parquet");
        let column: ArrayRef = Arc::new(Int64Array::from(values.to_vec()));
        let batch = RecordBatch::try_from_iter_with_nullable([("u", column, nullable)]).unwrap();
        let properties = WriterProperties::builder()
            .set_max_row_group_row_count(Some(6))
            .set_data_page_row_count_limit(2)
            .set_write_batch_size(1)
            .set_dictionary_enabled(false)
            .set_statistics_enabled(statistics)
            .build();
        let mut writer = ArrowWriter::try_new(File::create(&file).unwrap(), batch.schema(), Some(properties)).unwrap();
        writer.write(&batch).unwrap();
        writer.close().unwrap();
        let mut reader = ParquetMetaDataReader::new().with_page_index_policy(PageIndexPolicy::Optional);
        reader.try_parse(&File::open(file).unwrap()).unwrap();
        (reader.finish().unwrap(), batch.schema().field(0).clone())
    }

    /// Row group, rows and bounds of a piece.
    type Told = (usize, Range<usize>, Option<OwnedRow>, Option<OwnedRow>);

    fn told(values: &[Option<i64>], statistics: EnabledStatistics, order: SortOptions) -> Vec<Told> {
        let (footer, column) = footer(values, true, statistics);
        let found = pieces(&footer, &column, order).unwrap();
        assert_eq!(found.row_groups.iter().sum::<usize>(), values.len());
        found.pieces.into_iter().map(|p| (p.row_group, p.rows, p.low, p.high)).collect()
    }

    fn key(value: Option<i64>, order: SortOptions) -> Option<OwnedRow> {
        let converter = RowConverter::new(vec![SortField::new_with_options(DataType::Int64, order)]).unwrap();
        let value: ArrayRef = Arc::new(Int64Array::from(vec![value]));
        Some(converter.convert_columns(&[value]).unwrap().row(0).owned())
    }

    #[test]
    fn pages_tell_more_than_row_groups() {
        let values: Vec<Option<i64>> = (0..9).map(Some).collect();
        let at = |value| key(Some(value), NULLS_LAST);
        let pages = told(&values, EnabledStatistics::Page, NULLS_LAST);
        assert_eq!(pages[..2], [(0, 0..2, at(0), at(1)), (0, 2..4, at(2), at(3))]);
        assert_eq!(pages[3..], [(1, 0..2, at(6), at(7)), (1, 2..3, at(8), at(8))]);
        // An index of places alone: pages have the bounds of their row group.
        let groups = told(&values, EnabledStatistics::Chunk, NULLS_LAST);
        assert_eq!(groups.iter().map(|p| p.1.len()).sum::<usize>(), 9);
        assert!(groups.iter().all(|p| (p.2.clone(), p.3.clone()) == [(at(0), at(5)), (at(6), at(8))][p.0]));
        let none = told(&values, EnabledStatistics::None, NULLS_LAST);
        assert_eq!(none.iter().map(|p| p.1.len()).sum::<usize>(), 9);
        assert!(none.iter().all(|p| p.2.is_none()));
    }

    #[test]
    fn null_is_a_value_at_one_end() {
        let mut values: Vec<Option<i64>> = (0..7).map(Some).collect();
        values[..3].fill(None);
        let (null, at) = (key(None, NULLS_FIRST), |value| key(Some(value), NULLS_FIRST));
        let pages = told(&values, EnabledStatistics::Page, NULLS_FIRST);
        assert_eq!(
            pages[..3],
            [(0, 0..2, null.clone(), null.clone()), (0, 2..4, null, at(3)), (0, 4..6, at(4), at(5))]
        );
        let mut values: Vec<Option<i64>> = (0..7).map(Some).collect();
        values[3..].fill(None);
        let (null, at) = (key(None, NULLS_LAST), |value| key(Some(value), NULLS_LAST));
        let pages = told(&values, EnabledStatistics::Page, NULLS_LAST);
        assert_eq!(pages[..2], [(0, 0..2, at(0), at(1)), (0, 2..4, at(2), null.clone())]);
        assert_eq!(pages[2..], [(0, 4..6, null.clone(), null.clone()), (1, 0..1, null.clone(), null)]);
    }

    /// Where an index holds places alone, any page of a row group with NULLs may have them.
    #[test]
    fn nulls_that_are_counted_by_row_group_alone() {
        let mut values: Vec<Option<i64>> = (0..12).map(Some).collect();
        values[7..].fill(None);
        let null = key(None, NULLS_LAST);
        let pages = told(&values, EnabledStatistics::Chunk, NULLS_LAST);
        assert!(pages.iter().all(|(group, _, low, high)| low.is_some() && (*high == null) == (*group == 1)));
        let pages = told(&values, EnabledStatistics::None, NULLS_LAST);
        assert!(pages.iter().all(|(.., low, high)| low.is_none() && *high == null));
    }

    #[test]
    fn other_columns_and_types_tell_nothing() {
        let (footer, column) = footer(&[Some(1)], false, EnabledStatistics::Page);
        assert!(pieces(&footer, &column.clone().with_name("v"), NULLS_LAST).is_none());
        assert!(pieces(&footer, &column.clone().with_data_type(DataType::Float64), NULLS_LAST).is_none());
        let found = pieces(&footer, &column, NULLS_FIRST).unwrap();
        assert_eq!((found.pieces.len(), found.pieces[0].low.clone()), (1, key(Some(1), NULLS_FIRST)));
    }
}
