//! Where files are cut, and what is said of them.

use std::fs::File;
use std::sync::Arc;

use arrow::array::{ArrayRef, DictionaryArray, Float64Array, Int64Array, StringArray, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, Field, Int32Type, Schema, TimeUnit};
use datafusion::common::ScalarValue;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::basic::Encoding;
use serde_json::{Value, json};

use super::*;

const HOUR: i64 = 3_600_000_000;
/// 2024-01-01, a Monday.
const START: i64 = 1_704_067_200_000_000;

fn roles() -> Roles {
    Roles { user: "user_id".into(), time: "ts".into(), event: Some("event".into()) }
}

fn schema(text_users: bool) -> SchemaRef {
    let time = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    Arc::new(Schema::new(vec![
        Field::new("user_id", if text_users { DataType::Utf8 } else { DataType::Int64 }, false),
        Field::new("ts", time, false),
        Field::new_dictionary("event", DataType::Int32, DataType::Utf8, true),
        Field::new("price", DataType::Float64, true),
    ]))
}

fn batch(rows: &[(i64, i64)], text_users: bool) -> RecordBatch {
    let users: ArrayRef = if text_users {
        Arc::new(StringArray::from_iter_values(rows.iter().map(|(u, _)| format!("{u:0>70}"))))
    } else {
        Arc::new(Int64Array::from_iter_values(rows.iter().map(|(u, _)| *u)))
    };
    let times = TimestampMicrosecondArray::from_iter_values(rows.iter().map(|(_, t)| *t)).with_timezone("UTC");
    let names =
        |(user, time): &(i64, i64)| (user % 7 > 0).then_some(["view", "cart", "buy"][(time / HOUR % 3) as usize]);
    let events: DictionaryArray<Int32Type> = rows.iter().map(names).collect();
    let prices: Float64Array = rows.iter().map(|(user, _)| (user % 2 == 0).then_some(*user as f64 / 4.0)).collect();
    let columns: Vec<ArrayRef> = vec![users, Arc::new(times), Arc::new(events), Arc::new(prices)];
    RecordBatch::try_new(schema(text_users), columns).unwrap()
}

/// Users with so many rows each, an hour apart.
fn rows(users: impl IntoIterator<Item = (i64, usize)>) -> Vec<(i64, i64)> {
    users.into_iter().flat_map(|(user, n)| (0..n).map(move |at| (user, START + at as i64 * HOUR))).collect()
}

/// The same at times that do not compress.
fn uneven(users: impl IntoIterator<Item = (i64, usize)>) -> Vec<(i64, i64)> {
    let noise = |(at, (user, time)): (usize, (i64, i64))| (user, time + (at as i64 * at as i64 * 7_919) % HOUR);
    rows(users).into_iter().enumerate().map(noise).collect()
}

fn small(file_bytes: usize, row_group_rows: usize) -> Layout {
    Layout { file_bytes, row_group_rows, ..Layout::new() }
}

fn written(rows: &[(i64, i64)], layout: Layout, step: usize) -> (tempfile::TempDir, Vec<StoredFile>) {
    let folder = tempfile::tempdir().unwrap();
    let mut writer = OrderedWriter::new(folder.path(), schema(false), &roles(), layout).unwrap();
    for rows in rows.chunks(step) {
        writer.write(&batch(rows, false)).unwrap();
    }
    let files = writer.finish().unwrap();
    (folder, files)
}

fn read(folder: &Path, file: &StoredFile) -> Vec<(i64, i64)> {
    let reader = ParquetRecordBatchReaderBuilder::try_new(File::open(folder.join(&file.path)).unwrap()).unwrap();
    let mut rows = Vec::new();
    for batch in reader.build().unwrap() {
        let batch = batch.unwrap();
        let users = batch.column(0).as_primitive::<arrow::datatypes::Int64Type>();
        let times = batch.column(1).as_primitive::<TimestampMicrosecondType>();
        rows.extend(users.values().iter().copied().zip(times.values().iter().copied()));
    }
    rows
}

fn ints(file: &StoredFile) -> (i64, i64) {
    match file.users.clone().unwrap() {
        (ScalarValue::Int64(Some(low)), ScalarValue::Int64(Some(high))) => (low, high),
        other => panic!("{other:?}"),
    }
}

#[test]
fn files_and_row_groups_end_between_users() {
    let rows = uneven((0..4_000).map(|user| (user, 10 + (user as usize * 37) % 21)));
    let (folder, files) = written(&rows, small(60_000, 5_000), 700);
    assert!(files.len() > 3, "{}", files.len());
    assert!(files.windows(2).all(|w| ints(&w[0]).1 < ints(&w[1]).0));
    let mut all = Vec::new();
    let mut groups = 0;
    for file in &files {
        let found = read(folder.path(), file);
        assert_eq!((found[0].0, found[found.len() - 1].0, found.len() as u64), (ints(file).0, ints(file).1, file.rows));
        assert_eq!(file.size, std::fs::metadata(folder.path().join(&file.path)).unwrap().len());
        assert!(file.ordered && file.size < 120_000, "{}", file.size);
        let times = found.iter().map(|(_, t)| *t);
        assert_eq!(file.times, Some((times.clone().min().unwrap(), times.max().unwrap())));
        let reader = File::open(folder.path().join(&file.path)).unwrap();
        let metadata = ParquetRecordBatchReaderBuilder::try_new(reader).unwrap().metadata().clone();
        groups += metadata.num_row_groups();
        let mut from = 0;
        for group in metadata.row_groups() {
            assert!(from == 0 || found[from - 1].0 < found[from].0, "a row group ends inside a user");
            from += group.num_rows() as usize;
            let sorting = group.sorting_columns().unwrap();
            assert_eq!(sorting.iter().map(|s| s.column_idx).collect::<Vec<_>>(), [0, 1]);
            assert!(group.column(1).encodings().any(|e| e == Encoding::DELTA_BINARY_PACKED));
            assert!(group.column(2).encodings().any(|e| e == Encoding::RLE_DICTIONARY));
            assert!(group.column(0).column_index_offset().is_some());
        }
        all.extend(found);
    }
    assert!(groups > files.len());
    assert_eq!(all, rows);
}

#[test]
fn a_user_larger_than_a_file_goes_on_in_the_next() {
    let rows = uneven([(1, 500), (2, 200_000), (3, 500)]);
    let (folder, files) = written(&rows, small(100_000, 20_000), 9_000);
    assert!(files.len() > 2, "{}", files.len());
    assert!(files.iter().all(|f| f.size < 400_000));
    let all: Vec<_> = files.iter().flat_map(|file| read(folder.path(), file)).collect();
    assert_eq!(all, rows);
    assert!(files.windows(2).all(|w| ints(&w[0]).1 <= ints(&w[1]).0));
    assert!(files.windows(2).filter(|w| ints(&w[0]).1 == ints(&w[1]).0).all(|w| ints(&w[0]).1 == 2));
}

#[test]
fn no_file_holds_rows_of_two_periods() {
    let rows = rows((0..20).map(|user| (user, 24 * 40)));
    for (period, count) in [(Period::Day, 40), (Period::Week, 6), (Period::Month, 2)] {
        let layout = Layout { period: Some(period), memory: 1 << 20, ..small(1 << 20, 10_000) };
        let (folder, files) = written(&rows, layout, 5_000);
        assert_eq!(files.len(), count);
        let mut all: Vec<_> = Vec::new();
        for file in &files {
            let found = read(folder.path(), file);
            assert!(found.is_sorted());
            let of = |time: i64| period.number(time);
            assert!(found.iter().all(|(_, time)| of(*time) == of(found[0].1)));
            assert_eq!(file.times.map(|(low, high)| (of(low), of(high))), Some((of(found[0].1), of(found[0].1))));
            all.extend(found);
        }
        all.sort_unstable();
        assert_eq!(all, rows);
    }
}

#[test]
fn the_log_is_told_exact_bounds() {
    let rows = rows([(7, 3), (8, 2), (-1_000_000_007, 0)]);
    let (_folder, files) = written(&rows, Layout::new(), 4);
    let statistics: Value = serde_json::from_str(&files[0].statistics).unwrap();
    assert_eq!(
        statistics,
        json!({
            "numRecords": 5,
            "minValues": { "user_id": 7, "ts": "2024-01-01T00:00:00.000000Z", "event": "cart", "price": 2.0 },
            "maxValues": { "user_id": 8, "ts": "2024-01-01T02:00:00.000000Z", "event": "view", "price": 2.0 },
            "nullCount": { "user_id": 0, "ts": 0, "event": 3, "price": 3 },
        })
    );
}

#[test]
fn users_are_never_cut_and_nan_has_no_bounds() {
    let folder = tempfile::tempdir().unwrap();
    let mut writer = OrderedWriter::new(folder.path(), schema(true), &roles(), Layout::new()).unwrap();
    let rows = batch(&rows([(4, 2), (6, 1)]), true);
    let mut columns = rows.columns().to_vec();
    columns[3] = Arc::new(Float64Array::from(vec![Some(1.0), Some(f64::NAN), None]));
    writer.write(&RecordBatch::try_new(schema(true), columns).unwrap()).unwrap();
    let files = writer.finish().unwrap();
    let statistics: Value = serde_json::from_str(&files[0].statistics).unwrap();
    let (low, high) = (format!("{:0>70}", 4), format!("{:0>70}", 6));
    assert_eq!((&statistics["minValues"]["user_id"], &statistics["maxValues"]["user_id"]), (&json!(low), &json!(high)));
    assert_eq!(files[0].users, Some((ScalarValue::from(low.as_str()), ScalarValue::from(high.as_str()))));
    assert_eq!(statistics["minValues"].get("price"), None);
    assert_eq!(statistics["nullCount"]["price"], json!(1));
    let reader = File::open(folder.path().join(&files[0].path)).unwrap();
    let metadata = ParquetRecordBatchReaderBuilder::try_new(reader).unwrap().metadata().clone();
    let users = metadata.row_group(0).column(0).statistics().unwrap();
    assert_eq!((users.max_bytes_opt(), users.max_is_exact()), (Some(high.as_bytes()), true));
}

#[test]
fn rows_out_of_order_are_refused_and_nothing_is_left() {
    let folder = tempfile::tempdir().unwrap();
    for wrong in [[(2, 0), (1, 5)], [(2, 5), (2, 4)]] {
        for step in [1, 2] {
            let mut writer = OrderedWriter::new(folder.path(), schema(false), &roles(), Layout::new()).unwrap();
            let error = wrong.chunks(step).try_for_each(|rows| writer.write(&batch(rows, false))).unwrap_err();
            assert!(error.message().contains("not in the order"), "{error}");
            drop(writer);
            assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
        }
    }
    let mut writer = OrderedWriter::new(folder.path(), schema(false), &roles(), small(1, 10)).unwrap();
    writer.write(&batch(&rows((0..50).map(|user| (user, 4_000))), false)).unwrap();
    assert!(std::fs::read_dir(folder.path()).unwrap().count() > 2);
    drop(writer);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    let writer = OrderedWriter::new(folder.path(), schema(false), &roles(), Layout::new()).unwrap();
    assert_eq!(writer.finish().unwrap(), []);
}

#[test]
fn keys_of_events_get_a_bloom_filter() {
    let layout = Layout { dedup: Some("event".into()), ..Layout::new() };
    let (folder, files) = written(&rows([(1, 10)]), layout, 100);
    let file = File::open(folder.path().join(&files[0].path)).unwrap();
    let metadata = ParquetRecordBatchReaderBuilder::try_new(file).unwrap().metadata().clone();
    let offsets: Vec<bool> =
        metadata.row_group(0).columns().iter().map(|c| c.bloom_filter_offset().is_some()).collect();
    assert_eq!(offsets, [false, false, true, false]);
}
