//! Sorting against a plain sort of all rows.

use std::collections::HashSet;
use std::fs::File;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, DictionaryArray, Float64Array, Int64Array, ListArray, RecordBatch, StringArray,
    StructArray, TimestampMicrosecondArray,
};
use arrow::compute::{cast, concat_batches};
use arrow::datatypes::{DataType, Field, Fields, Int32Type, Schema, TimeUnit};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use proptest::prelude::*;

use super::words::Limit;
use super::*;
use crate::store::layout::{Layout, discard};

/// What a row is, for the tests; `arrival` tells ties apart.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Row {
    user: String,
    time: i64,
    arrival: i64,
    event: Option<String>,
    key: Option<String>,
    rest: String,
}

fn roles() -> Roles {
    Roles { user: "user_id".into(), time: "ts".into(), event: Some("event".into()) }
}

fn list_field() -> Field {
    Field::new("tags", DataType::List(Arc::new(Field::new_list_field(DataType::Int32, true))), true)
}

fn struct_fields() -> Fields {
    Fields::from(vec![Field::new("a", DataType::Float64, true), Field::new("b", DataType::Utf8, true)])
}

fn schema(text_users: bool) -> SchemaRef {
    let time = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    Arc::new(Schema::new(vec![
        list_field(),
        Field::new("user_id", if text_users { DataType::Utf8 } else { DataType::Int64 }, false),
        Field::new("arrival", DataType::Int64, false),
        Field::new_dictionary("event", DataType::Int32, DataType::Utf8, true),
        Field::new("ts", time, false),
        Field::new("key", DataType::Utf8, true),
        Field::new("props", DataType::Struct(struct_fields()), true),
    ]))
}

/// Rows of (user, time, event), made to the columns of the schema; `arrival` counts on from `first`.
fn batch(rows: &[(i64, i64, Option<u32>)], first: i64, text_users: bool, as_text: bool) -> RecordBatch {
    let users: ArrayRef = if text_users {
        Arc::new(StringArray::from_iter_values(rows.iter().map(|(u, ..)| format!("u{u}"))))
    } else {
        Arc::new(Int64Array::from_iter_values(rows.iter().map(|(u, ..)| *u)))
    };
    let times = TimestampMicrosecondArray::from_iter_values(rows.iter().map(|(_, t, _)| *t)).with_timezone("UTC");
    let arrival = Int64Array::from_iter_values((0..rows.len() as i64).map(|at| first + at));
    let names: Vec<Option<String>> = rows.iter().map(|(.., e)| e.map(|e| format!("event {e}"))).collect();
    let events: ArrayRef = if as_text {
        Arc::new(StringArray::from(names))
    } else {
        Arc::new(names.iter().map(|n| n.as_deref()).collect::<DictionaryArray<Int32Type>>())
    };
    let keys = rows.iter().map(|(_, t, e)| e.filter(|e| e % 3 > 0).map(|e| format!("{}{e}", t.rem_euclid(2))));
    let keys: StringArray = keys.collect::<Vec<_>>().into();
    let tags = rows.iter().map(|(u, _, e)| e.map(|e| (0..u.rem_euclid(3)).map(move |at| Some(at as i32 + e as i32))));
    let tags = ListArray::from_iter_primitive::<Int32Type, _, _>(tags);
    let a: Float64Array = rows.iter().map(|(u, ..)| (*u != 1).then_some(*u as f64)).collect();
    let b: StringArray = rows.iter().map(|(_, t, _)| Some(t.to_string())).collect();
    let props = StructArray::new(struct_fields(), vec![Arc::new(a), Arc::new(b)], None);
    let columns: Vec<ArrayRef> =
        vec![Arc::new(tags), users, Arc::new(arrival), events, Arc::new(times), Arc::new(keys), Arc::new(props)];
    let mut fields: Vec<Field> = schema(text_users).fields().iter().map(|f| f.as_ref().clone()).collect();
    fields[3] = fields[3].clone().with_data_type(columns[3].data_type().clone());
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).unwrap()
}

fn rows_of(batch: &RecordBatch) -> Vec<Row> {
    let text = |name: &str| cast(batch.column_by_name(name).unwrap(), &DataType::Utf8).unwrap();
    let optional = |name: &str| {
        let column = text(name);
        column.as_string::<i32>().iter().map(|t| t.map(str::to_string)).collect::<Vec<_>>()
    };
    let (users, events, keys) = (optional("user_id"), optional("event"), optional("key"));
    let times =
        batch.column_by_name("ts").unwrap().as_primitive::<arrow::datatypes::TimestampMicrosecondType>().clone();
    let arrivals = batch.column_by_name("arrival").unwrap().as_primitive::<arrow::datatypes::Int64Type>().clone();
    let options = FormatOptions::default();
    let rest = ["tags", "props"].map(|c| ArrayFormatter::try_new(batch.column_by_name(c).unwrap(), &options).unwrap());
    (0..batch.num_rows())
        .map(|row| Row {
            user: users[row].clone().unwrap(),
            time: times.value(row),
            arrival: arrivals.value(row),
            event: events[row].clone(),
            key: keys[row].clone(),
            rest: format!("{} {}", rest[0].value(row), rest[1].value(row)),
        })
        .collect()
}

fn read(folder: &Path, files: &[StoredFile], schema: &SchemaRef) -> Vec<Row> {
    let mut rows = Vec::new();
    for file in files {
        let reader = File::open(folder.join(&file.path)).unwrap();
        let reader = ParquetRecordBatchReaderBuilder::try_new(reader).unwrap();
        assert_eq!(reader.schema().fields(), schema.fields());
        let batches: Vec<RecordBatch> = reader.build().unwrap().map(Result::unwrap).collect();
        let batch = concat_batches(schema, &batches).unwrap();
        assert_eq!(batch.num_rows() as u64, file.rows);
        rows.extend(rows_of(&batch));
    }
    rows
}

fn nothing(_: u64, _: u64) -> Result<()> {
    Ok(())
}

/// Numbers are ordered as numbers.
fn sorted(mut rows: Vec<Row>) -> Vec<Row> {
    rows.sort_by(|a, b| {
        let number = |row: &Row| row.user.parse::<i64>().ok();
        (number(a), &a.user, a.time, a.arrival).cmp(&(number(b), &b.user, b.time, b.arrival))
    });
    rows
}

/// The first of the rows of a user with a key.
fn without_repetitions(rows: Vec<Row>) -> Vec<Row> {
    let mut seen = HashSet::new();
    rows.into_iter().filter(|r| r.key.as_ref().is_none_or(|key| seen.insert((r.user.clone(), key.clone())))).collect()
}

/// A sorter that turns to text after a few words, with a budget of rows rather than of bytes.
fn sorter(staging: &Path, text_users: bool, words: usize, memory: usize) -> Sorter {
    let limit = Limit { words, bytes: 16 << 20 };
    let columns = Columns::with_limit(schema(text_users), &roles(), limit).unwrap();
    Sorter::over(staging, columns, &roles(), memory).with_threads(3)
}

type Given = (i64, i64, Option<u32>);

fn given() -> impl Strategy<Value = Given> {
    let user = prop_oneof![6 => 0_i64..6, 2 => Just(3_i64), 1 => any::<i64>()];
    let time = prop_oneof![8 => 0_i64..5, 1 => any::<i64>()];
    (user, time, prop::option::of(0_u32..9))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn files_hold_the_rows_of_a_plain_sort(
        batches in prop::collection::vec(prop::collection::vec(given(), 0..40), 0..8),
        flush in prop::collection::vec(any::<bool>(), 8),
        text_users in any::<bool>(),
        words in prop_oneof![Just(4_usize), Just(1_000)],
        dedup in any::<bool>(),
        resume in any::<bool>(),
        wide in any::<bool>(),
    ) {
        let (staging, folder) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let mut sorter = sorter(staging.path(), text_users, words, 8 << 20);
        let mut expected = Vec::new();
        for (number, rows) in batches.iter().enumerate() {
            let batch = batch(rows, expected.len() as i64, text_users, number % 2 == 0);
            expected.extend(rows_of(&batch));
            sorter.push(&batch).unwrap();
            if flush[number] {
                sorter.flush().unwrap();
                if resume {
                    let journal = serde_json::to_string(sorter.runs()).unwrap();
                    let runs = serde_json::from_str(&journal).unwrap();
                    sorter = Sorter::resume(staging.path(), schema(text_users), &roles(), 8 << 20, runs).unwrap();
                }
            }
        }
        prop_assert_eq!(sorter.rows(), expected.len() as u64);
        let mut target = Target::new(folder.path());
        if wide {
            target.layout = Layout { file_bytes: 1, row_group_rows: 20, part_rows: 30, ..Layout::new() };
        }
        if dedup {
            target = target.with_dedup("key", &[]);
        }
        let (files, counts) = sorter.finish(&target, &nothing).unwrap();
        let all = expected.len() as u64;
        let mut expected = sorted(expected);
        if dedup {
            expected = without_repetitions(expected);
        }
        prop_assert_eq!(counts, Counts { rows: expected.len() as u64, duplicates: all - expected.len() as u64 });
        prop_assert_eq!(read(folder.path(), &files, &schema(text_users)), expected);
    }
}

/// A generator good enough for tests.
fn draws(seed: u64) -> impl FnMut(u64) -> u64 {
    let mut state = seed;
    move |below| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % below
    }
}

#[test]
fn a_tiny_budget_makes_many_runs_and_merges_them_in_passes() {
    let (staging, folder) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut sorter = sorter(staging.path(), false, 1_000, 300_000);
    let mut draw = draws(1);
    let mut expected = Vec::new();
    let mut durable = 0;
    for _ in 0..60 {
        let rows: Vec<Given> = (0..400).map(|_| (draw(50) as i64, draw(1_000) as i64, Some(draw(40) as u32))).collect();
        let batch = batch(&rows, expected.len() as i64, false, false);
        expected.extend(rows_of(&batch));
        if sorter.push(&batch).unwrap() {
            durable += 1;
            assert_eq!(sorter.runs().iter().map(|r| r.rows).sum::<u64>(), expected.len() as u64);
        }
        assert!(sorter.buffer.size() < 300_000);
    }
    assert!(durable > 8 && sorter.most_inputs() == 4, "{durable}");
    let told = parking_lot::Mutex::new(Vec::new());
    let progress = |done, all| {
        told.lock().push((done, all));
        Ok(())
    };
    let mut target = Target::new(folder.path());
    target.layout.row_group_rows = 4_000;
    target.layout.part_rows = 2_000;
    let (files, counts) = sorter.finish(&target, &progress).unwrap();
    assert!(files.len() > 1, "written in parallel");
    assert_eq!(counts.rows, 24_000);
    assert_eq!(read(folder.path(), &files, &schema(false)), sorted(expected));
    assert_eq!(told.lock().iter().max(), Some(&(24_000, 24_000)));
}

#[test]
fn one_user_with_all_events() {
    let (staging, folder) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut sorter = sorter(staging.path(), true, 1_000, 400_000);
    let mut draw = draws(2);
    let mut expected = Vec::new();
    for _ in 0..30 {
        let rows: Vec<Given> = (0..500).map(|_| (5, draw(300) as i64, None)).collect();
        let batch = batch(&rows, expected.len() as i64, true, true);
        expected.extend(rows_of(&batch));
        sorter.push(&batch).unwrap();
    }
    assert!(sorter.runs().len() > 4);
    let mut target = Target::new(folder.path());
    target.layout = Layout { file_bytes: 30_000, row_group_rows: 1_000, ..Layout::new() };
    let (files, _) = sorter.finish(&target, &nothing).unwrap();
    assert_eq!(read(folder.path(), &files, &schema(true)), sorted(expected));
}

#[test]
fn in_memory_nothing_is_staged() {
    let folder = tempfile::tempdir().unwrap();
    let staging = folder.path().join("_staging");
    let mut sorter = Sorter::new(&staging, schema(false), &roles(), 64 << 20).unwrap();
    assert!(!sorter.push(&batch(&[(2, 1, None), (1, 1, Some(1))], 0, false, false)).unwrap());
    let (files, counts) = sorter.finish(&Target::new(folder.path()), &nothing).unwrap();
    assert!(!staging.exists());
    assert_eq!((files.len(), counts.rows), (1, 2));
    discard(folder.path(), &files);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    let none = Sorter::new(&staging, schema(false), &roles(), 64 << 20).unwrap();
    assert_eq!(none.finish(&Target::new(folder.path()), &nothing).unwrap(), (vec![], Counts::default()));
}

#[test]
fn dictionaries_beyond_what_small_keys_hold() {
    for (words, text) in [(1 << 18, false), (50_000, true)] {
        let (staging, folder) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let mut sorter = sorter(staging.path(), false, words, 64 << 20);
        let mut expected = Vec::new();
        for part in 0..4_u32 {
            let rows: Vec<Given> =
                (0..17_000).map(|at| ((at % 97).into(), at.into(), Some(part * 17_000 + at))).collect();
            let batch = batch(&rows, expected.len() as i64, false, part % 2 == 0);
            expected.extend(rows_of(&batch));
            sorter.push(&batch).unwrap();
            if part == 1 {
                sorter.flush().unwrap();
            }
        }
        assert_eq!(sorter.columns.coded().next().unwrap().1.given_up(), text);
        let (files, _) = sorter.finish(&Target::new(folder.path()), &nothing).unwrap();
        assert_eq!(read(folder.path(), &files, &schema(false)), sorted(expected));
    }
}

#[test]
fn events_that_the_table_has_are_left_out() {
    let (staging, folder) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut draw = draws(3);
    let mut rows =
        |n: usize| -> Vec<Given> { (0..n).map(|_| (draw(5) as i64, draw(50) as i64, Some(draw(30) as u32))).collect() };
    let mut files: Vec<StoredFile> = Vec::new();
    let mut old = Vec::new();
    for part in 0..3 {
        let mut sorter = Sorter::new(staging.path(), schema(false), &roles(), 64 << 20).unwrap();
        let batch = batch(&rows(150), part * 1_000, false, false);
        sorter.push(&batch).unwrap();
        let mut target = Target::new(folder.path());
        target.layout.file_bytes = 1;
        let known = files.clone();
        let (more, counts) = sorter.finish(&target.with_dedup("key", &known), &nothing).unwrap();
        let seen: HashSet<(String, String)> =
            old.iter().filter_map(|r: &Row| Some((r.user.clone(), r.key.clone()?))).collect();
        let fresh = sorted(rows_of(&batch)).into_iter();
        let fresh = fresh.filter(|r| r.key.as_ref().is_none_or(|key| !seen.contains(&(r.user.clone(), key.clone()))));
        let expected = without_repetitions(fresh.collect());
        assert_eq!(counts.duplicates, 150 - expected.len() as u64);
        assert!(part == 0 || counts.duplicates > 50);
        assert_eq!(read(folder.path(), &more, &schema(false)), expected);
        old.extend(expected);
        files.extend(more);
    }
}

#[test]
fn a_long_stretch_of_repetitions_is_told_as_it_passes_and_leaves_no_empty_file() {
    let (staging, folder) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    // One event of one user, again and again, from memory and from runs.
    let rows: Vec<Given> = vec![(1, 0, Some(1)); 25_000];
    let again = |flush: bool, existing: &[StoredFile], stop_at: u64| {
        let mut sorter = sorter(staging.path(), false, 10, 64 << 20);
        for part in 0..4 {
            sorter.push(&batch(&rows, part * 25_000, false, false)).unwrap();
            if flush {
                sorter.flush().unwrap();
            }
        }
        let told = parking_lot::Mutex::new(vec![0]);
        let progress = |done, _| {
            told.lock().push(done);
            if done >= stop_at { Err(Error::user("interrupted")) } else { Ok(()) }
        };
        let mut target = Target::new(folder.path()).with_dedup("key", existing);
        target.layout.row_group_rows = 1_000;
        let ended = sorter.finish(&target, &progress);
        (ended, told.into_inner())
    };
    for flush in [false, true] {
        let (ended, told) = again(flush, &[], u64::MAX);
        let (files, counts) = ended.unwrap();
        assert_eq!((files.len(), counts), (1, Counts { rows: 1, duplicates: 99_999 }));
        assert_eq!(told.last(), Some(&100_000));
        let longest = told.windows(2).map(|w| w[1] - w[0]).max();
        assert!(longest < Some(70_000), "{told:?}");
        // What the table has already is left out as a whole.
        let (ended, _) = again(flush, &files, u64::MAX);
        assert_eq!(ended.unwrap(), (vec![], Counts { rows: 0, duplicates: 100_000 }));
        let (ended, told) = again(flush, &files, 1);
        assert_eq!(ended.unwrap_err().message(), "interrupted");
        assert!(told.last() < Some(&70_000), "{told:?}");
        discard(folder.path(), &files);
    }
}

#[test]
fn an_error_of_the_progress_leaves_no_file() {
    let (staging, folder) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut sorter = sorter(staging.path(), false, 10, 64 << 20);
    let rows: Vec<Given> = (0..20_000).map(|at| (at % 50, at, None)).collect();
    sorter.push(&batch(&rows, 0, false, false)).unwrap();
    let stop = |done, _| if done > 5_000 { Err(Error::user("interrupted")) } else { Ok(()) };
    let mut target = Target::new(folder.path());
    target.layout = Layout { file_bytes: 1_000, row_group_rows: 1_000, part_rows: 1_000, ..Layout::new() };
    let error = sorter.finish(&target, &stop).unwrap_err();
    assert_eq!(error.message(), "interrupted");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn resuming_forgets_runs_that_the_journal_does_not_know() {
    let staging = tempfile::tempdir().unwrap();
    let mut first = sorter(staging.path(), false, 10, 64 << 20);
    first.push(&batch(&[(1, 1, Some(4))], 0, false, false)).unwrap();
    let journal = first.flush().unwrap().to_vec();
    first.push(&batch(&[(1, 2, Some(5))], 1, false, false)).unwrap();
    first.flush().unwrap();
    drop(first);
    assert_eq!(std::fs::read_dir(staging.path()).unwrap().count(), 4);
    let again = Sorter::resume(staging.path(), schema(false), &roles(), 64 << 20, journal.clone()).unwrap();
    assert_eq!((again.rows(), std::fs::read_dir(staging.path()).unwrap().count()), (1, 2));
    // A run cut short by a crash of the machine is found out.
    let path = staging.path().join(&journal[0].pieces[0]);
    let bytes = std::fs::read(&path).unwrap();
    std::fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
    let broken = Sorter::resume(staging.path(), schema(false), &roles(), 64 << 20, journal);
    assert!(broken.is_err());
}

#[test]
fn what_does_not_fit_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let other = Roles { time: "arrival".into(), ..roles() };
    let refused = Sorter::new(folder.path(), schema(false), &other, 1 << 20).err().unwrap();
    assert_eq!(refused.message(), "sort: times are microseconds, not Int64");
    let mut sorter = sorter(folder.path(), false, 10, 1 << 20);
    let text = sorter.push(&batch(&[(1, 1, None)], 0, true, false)).unwrap_err();
    assert_eq!(text.message(), "sort: column 'user_id' came as Utf8, the table has Int64");
    let dedup = |column: &str| {
        let sorter = Sorter::new(folder.path(), schema(false), &roles(), 1 << 20).unwrap();
        sorter.finish(&Target::new(folder.path()).with_dedup(column, &[]), &nothing).unwrap_err().to_string()
    };
    assert!(dedup("nowhere").contains("'nowhere'") && dedup("props").contains("must be text or an integer"));
}

#[test]
fn keys_may_be_numbers() {
    let (staging, folder) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut sorter = sorter(staging.path(), false, 10, 64 << 20);
    // The arrival is the key: pushed twice, everything is there twice.
    let rows: Vec<Given> = (0..100).map(|at| (at % 7, at / 2, None)).collect();
    let batch = batch(&rows, 0, false, false);
    sorter.push(&batch).unwrap();
    sorter.flush().unwrap();
    sorter.push(&batch).unwrap();
    let target = Target::new(folder.path()).with_dedup("arrival", &[]);
    let (files, counts) = sorter.finish(&target, &nothing).unwrap();
    assert_eq!((counts.rows, counts.duplicates), (100, 100));
    assert_eq!(read(folder.path(), &files, &schema(false)), sorted(rows_of(&batch)));
}
