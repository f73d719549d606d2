//! Compacting managed tables and erasing users from them: the same rows, fewer files; all the others' rows; also when the
//! program is killed.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::{
    Array, ArrayRef, AsArray, DictionaryArray, Float64Array, Int64Array, RecordBatch, StringArray,
    TimestampMicrosecondArray,
};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Int32Type, Int64Type, Schema, SchemaRef, TimeUnit, TimestampMicrosecondType};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use tenure::store::compact::{CompactOptions, Compacted, compact};
use tenure::store::erase::{Erased, erase};
use tenure::store::layout::Period;
use tenure::store::managed::commit::{Change, Definition, Operation};
use tenure::store::managed::log::{At, TableLog};
use tenure::store::managed::{Roles, StoredFile};
use tenure::store::sort::{Sorter, Target};
use tenure::store::user_id::UserId;

use crate::program::{Place, program};

const HOUR: i64 = 3_600_000_000;
/// 2024-01-01.
const START: i64 = 1_704_067_200_000_000;

/// User, time, event, value.
type Row = (i64, i64, Option<String>, Option<i64>);

fn roles() -> Roles {
    Roles { user: "user_id".into(), time: "ts".into(), event: Some("event".into()) }
}

fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("user_id", DataType::Int64, true),
        Field::new("ts", DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())), true),
        Field::new_dictionary("event", DataType::Int32, DataType::Utf8, true),
        Field::new("value", DataType::Int64, true),
    ]))
}

fn batch(rows: &[Row]) -> RecordBatch {
    let times = TimestampMicrosecondArray::from_iter_values(rows.iter().map(|r| r.1)).with_timezone("UTC");
    let events: DictionaryArray<Int32Type> = rows.iter().map(|r| r.2.as_deref()).collect();
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from_iter_values(rows.iter().map(|r| r.0))),
        Arc::new(times),
        Arc::new(events),
        Arc::new(Int64Array::from_iter(rows.iter().map(|r| r.3))),
    ];
    RecordBatch::try_new(schema(), columns).unwrap()
}

fn draws(seed: u64) -> impl FnMut(u64) -> u64 {
    let mut state = seed.wrapping_add(99);
    move |below| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % below
    }
}

/// Rows of `users` in the hours of day `day`.
fn day(day: i64, users: std::ops::Range<i64>, count: usize) -> Vec<Row> {
    let mut draw = draws(day as u64);
    let width = (users.end - users.start) as u64;
    (0..count)
        .map(|_| {
            let time = START + (day * 24 + draw(24) as i64) * HOUR;
            let event = (draw(9) > 0).then(|| ["view", "cart", "buy"][draw(3) as usize].to_string());
            (users.start + draw(width) as i64, time, event, (draw(4) > 0).then(|| draw(1_000) as i64))
        })
        .collect()
}

fn ordered_files(folder: &Path, rows: &[Row], period: Option<Period>) -> Vec<StoredFile> {
    let staging = tempfile::tempdir().unwrap();
    let mut sorter = Sorter::new(staging.path(), schema(), &roles(), 64 << 20).unwrap();
    sorter.push(&batch(rows)).unwrap();
    let target = Target::new(folder).with_period(period);
    sorter.finish(&target, &|_, _| Ok(())).unwrap().0
}

/// A table with one commit for each part.
async fn table(folder: &Path, parts: &[Vec<Row>], period: Option<Period>) -> TableLog {
    std::fs::create_dir_all(folder).unwrap();
    let settings = period.map(|p| ("period".to_string(), p.to_string())).into_iter().collect();
    let definition = Definition { schema: schema(), roles: Some(roles()), settings };
    let mut log: Option<TableLog> = None;
    for rows in parts {
        let mut change = Change::new(Operation::Ingest);
        change.add = ordered_files(folder, rows, period);
        match &mut log {
            Some(log) => _ = log.commit(&change).await.unwrap(),
            None => log = Some(TableLog::create(folder, &definition, &change).await.unwrap()),
        }
    }
    log.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_day_is_merged_into_files_that_follow_each_other() {
    let place = Place::new();
    let folder = place.path("events");
    let parts = [day(0, 0..2_000, 40_000), day(1, 300..1_900, 500), day(2, 0..2_000, 300)];
    table(&folder, &parts[..1], None).await;
    let options = CompactOptions { file_bytes: 30_000, ..CompactOptions::new() };
    // One file of more than one file's size is full, and stays.
    assert_eq!(compacted(&folder, &options).await.version, None);
    let mut log = TableLog::open(&folder, At::Latest).await.unwrap();
    for rows in &parts[1..] {
        let mut change = Change::new(Operation::Ingest);
        change.add = ordered_files(&folder, rows, None);
        log.commit(&change).await.unwrap();
    }
    let first = compacted(&folder, &options).await;
    assert!(first.before == 3 && first.after >= 3, "{first:?}");
    assert_eq!(compacted(&folder, &options).await.version, None);
    let mut change = Change::new(Operation::Ingest);
    let more = day(3, 900..901, 50);
    change.add = ordered_files(&folder, &more, None);
    log.commit(&change).await.unwrap();
    let second = compacted(&folder, &options).await;
    assert!(second.before == 2 && second.after <= 2, "only the file of that user: {second:?}");
    let mut change = Change::new(Operation::Ingest);
    let all = day(4, 0..2_000, 400);
    change.add = ordered_files(&folder, &all, None);
    log.commit(&change).await.unwrap();
    assert!(compacted(&folder, &options).await.before >= 4);
    well_cut(&TableLog::open(&folder, At::Latest).await.unwrap());
    assert_eq!(rows_at(&folder, At::Latest).await, sorted(&[parts.concat(), more, all]));
}

fn rows_in(path: &Path) -> Vec<Row> {
    let reader = ParquetRecordBatchReaderBuilder::try_new(File::open(path).unwrap()).unwrap().build().unwrap();
    let mut rows = Vec::new();
    for batch in reader {
        let batch = batch.unwrap();
        let column = |name: &str| batch.column_by_name(name).unwrap();
        let users = column("user_id").as_primitive::<Int64Type>();
        let times = column("ts").as_primitive::<TimestampMicrosecondType>();
        let events = cast(column("event"), &DataType::Utf8).unwrap();
        let values = batch.column_by_name("value").map(|v| v.as_primitive::<Int64Type>());
        for row in 0..batch.num_rows() {
            let event = events.as_string::<i32>();
            let event = event.is_valid(row).then(|| event.value(row).to_string());
            let value = values.and_then(|v| v.is_valid(row).then(|| v.value(row)));
            rows.push((if users.is_valid(row) { users.value(row) } else { -1 }, times.value(row), event, value));
        }
    }
    rows
}

async fn rows_at(folder: &Path, at: At) -> Vec<Row> {
    let log = TableLog::open(folder, at).await.unwrap();
    let mut rows: Vec<Row> = log.files().iter().flat_map(|file| rows_in(&folder.join(&file.path))).collect();
    rows.sort();
    rows
}

fn sorted(parts: &[Vec<Row>]) -> Vec<Row> {
    let mut rows = parts.concat();
    rows.sort();
    rows
}

async fn compacted(folder: &Path, options: &CompactOptions) -> Compacted {
    compact(folder, options, Arc::new(|_, _| Ok(()))).await.unwrap()
}

async fn erased(folder: &Path, users: &[&str], dry_run: bool) -> tenure::error::Result<Erased> {
    let users: Vec<String> = users.iter().map(|u| u.to_string()).collect();
    erase(folder, &users, dry_run, Arc::new(|_, _| Ok(()))).await
}

/// That the files are ordered, cut between users and as the log says.
fn well_cut(log: &TableLog) {
    for file in log.files() {
        let rows = rows_in(&log.folder().join(&file.path));
        assert!(file.ordered && rows.len() as u64 == file.rows);
        assert!(rows.windows(2).all(|w| (w[0].0, w[0].1) <= (w[1].0, w[1].1)));
        let users = (rows[0].0.into(), rows[rows.len() - 1].0.into());
        assert_eq!(file.users, Some(users));
    }
}

fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    let mut names: Vec<String> = entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_compaction_merges_what_overlaps_and_leaves_the_rest() {
    let place = Place::new();
    let folder = place.path("events");
    let mut parts: Vec<Vec<Row>> = (0..5).map(|n| day(n, 0..300, 700)).collect();
    // Users of their own, and too many bytes to be joined with the others.
    parts.push(day(2, 1_000..1_200, 4_000));
    let log = table(&folder, &parts, None).await;
    let alone = log.files().iter().find(|f| f.rows == 4_000).unwrap().clone();
    let options = CompactOptions { file_bytes: 40_000, ..CompactOptions::new() };
    assert!(alone.size > 10_000, "{}", alone.size);
    let done = compacted(&folder, &options).await;
    assert_eq!((done.before, done.rows, done.version), (5, 3_500, Some(6)));
    let log = TableLog::open(&folder, At::Latest).await.unwrap();
    well_cut(&log);
    assert!(log.files().contains(&alone));
    assert_eq!((log.files().len(), done.files), (2, 2));
    assert_eq!(rows_at(&folder, At::Latest).await, sorted(&parts));
    assert_eq!(rows_at(&folder, At::Version(1)).await, sorted(&parts[..2]));
    assert_eq!(compacted(&folder, &options).await, Compacted { files: 2, ..Compacted::default() });
    assert!(names(&folder).iter().all(|name| !name.starts_with("_compact")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn time_slices_stay_apart() {
    let place = Place::new();
    let folder = place.path("events");
    let parts = [[day(0, 0..50, 300), day(1, 0..50, 300)].concat(), day(1, 0..50, 300), day(40, 0..50, 300)];
    table(&folder, &parts, Some(Period::Day)).await;
    let done = compacted(&folder, &CompactOptions::new()).await;
    assert_eq!((done.before, done.after, done.files), (2, 1, 3));
    let log = TableLog::open(&folder, At::Latest).await.unwrap();
    well_cut(&log);
    let number = |time: i64| Period::Day.number(time);
    assert!(log.files().iter().all(|f| f.times.is_some_and(|(from, to)| number(from) == number(to))));
    assert_eq!(rows_at(&folder, At::Latest).await, sorted(&parts));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_small_files_within_little_memory() {
    let place = Place::new();
    let folder = place.path("events");
    let parts: Vec<Vec<Row>> = (0..20).map(|n| day(n, 0..100, 200)).collect();
    table(&folder, &parts, None).await;
    let options = CompactOptions { memory: 200_000, threads: Some(2), ..CompactOptions::new() };
    let done = compacted(&folder, &options).await;
    assert_eq!((done.before, done.after), (20, 1));
    well_cut(&TableLog::open(&folder, At::Latest).await.unwrap());
    assert_eq!(rows_at(&folder, At::Latest).await, sorted(&parts));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_put_aside_is_that_of_one_group() {
    let place = Place::new();
    let folder = place.path("events");
    // More files over the same users than are merged as they are, in each of two periods: the rest is sorted.
    let parts: Vec<Vec<Row>> = (0..16).map(|_| [day(0, 0..100, 200), day(40, 0..100, 200)].concat()).collect();
    table(&folder, &parts, Some(Period::Day)).await;
    let options = CompactOptions { memory: 10_000, threads: Some(1), ..CompactOptions::new() };
    let (at, most) = (folder.clone(), Arc::new(std::sync::Mutex::new((0, 0))));
    let seen = Arc::clone(&most);
    let progress = move |_: u64, _: u64| {
        let staging = names(&at).into_iter().find(|name| name.starts_with("_compact-")).unwrap();
        let inside: Vec<String> =
            names(&at.join(&staging)).into_iter().filter(|name| name != "lock" && name != "files").collect();
        let runs = inside.iter().map(|part| names(&at.join(&staging).join(part)).len());
        let mut most = seen.lock().unwrap();
        *most = (most.0.max(inside.len()), most.1.max(runs.sum()));
        Ok(())
    };
    let done = compact(&folder, &options, Arc::new(progress)).await.unwrap();
    assert_eq!((done.before, done.after), (32, 2));
    let (parts_at_once, runs) = *most.lock().unwrap();
    assert!(parts_at_once == 1 && runs > 1, "{parts_at_once} {runs}");
    assert_eq!(rows_at(&folder, At::Latest).await, sorted(&parts));
}

/// A file as another writer makes it: no order, another form of text, a column of the table missing.
fn foreign(folder: &Path, name: &str, rows: &[Row], with_nobody: bool) -> StoredFile {
    let time = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    let fields = vec![
        Field::new("event", DataType::Utf8, true),
        Field::new("ts", time, true),
        Field::new("user_id", DataType::Int64, true),
        Field::new("extra", DataType::Float64, true),
    ];
    let schema = Arc::new(Schema::new(fields));
    let times = TimestampMicrosecondArray::from_iter_values(rows.iter().map(|r| r.1)).with_timezone("UTC");
    let user = |(at, row): (usize, &Row)| (at > 0 || !with_nobody).then_some(row.0);
    let columns: Vec<ArrayRef> = vec![
        Arc::new(StringArray::from(rows.iter().map(|r| r.2.clone()).collect::<Vec<_>>())),
        Arc::new(times),
        Arc::new(Int64Array::from_iter(rows.iter().enumerate().map(user))),
        Arc::new(Float64Array::from(vec![1.0; rows.len()])),
    ];
    let batch = RecordBatch::try_new(schema.clone(), columns).unwrap();
    let mut writer = ArrowWriter::try_new(File::create(folder.join(name)).unwrap(), schema, None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    StoredFile {
        path: name.into(),
        size: std::fs::metadata(folder.join(name)).unwrap().len(),
        modified: 0,
        rows: rows.len() as u64,
        ordered: false,
        users: None,
        times: None,
        checksum: None,
        statistics: format!("{{\"numRecords\":{}}}", rows.len()),
    }
}

fn without_value(rows: &[Row]) -> Vec<Row> {
    rows.iter().map(|r| (r.0, r.1, r.2.clone(), None)).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_of_other_writers_are_put_in_order() {
    let place = Place::new();
    let folder = place.path("events");
    let parts = [day(0, 0..100, 300), day(1, 0..100, 300)];
    let mut log = table(&folder, &parts[..1], None).await;
    let mut change = Change::new(Operation::Ingest);
    change.add = vec![foreign(&folder, "part-foreign.parquet", &parts[1], false)];
    log.commit(&change).await.unwrap();
    let expected = sorted(&[parts[0].clone(), without_value(&parts[1])]);
    let done = compacted(&folder, &CompactOptions::new()).await;
    assert_eq!((done.before, done.after), (2, 1));
    well_cut(&TableLog::open(&folder, At::Latest).await.unwrap());
    assert_eq!(rows_at(&folder, At::Latest).await, expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_erased_user_is_in_no_file() {
    let place = Place::new();
    let folder = place.path("events");
    let mut parts: Vec<Vec<Row>> = (0..4).map(|n| day(n, n * 10..n * 10 + 40, 400)).collect();
    // A file that holds nobody else.
    parts.push(day(7, 12..13, 30));
    table(&folder, &parts, None).await;
    let all = sorted(&parts);
    let of = |user: i64| all.iter().filter(|r| r.0 == user).count() as u64;
    let before = names(&folder);
    let dry = erased(&folder, &["12", "65", "4000"], true).await.unwrap();
    let expected = BTreeMap::from([12, 65, 4_000].map(|user| (UserId::Number(user), of(user))));
    assert!(of(12) > 30 && of(65) > 0);
    assert_eq!((&dry.users, dry.version), (&expected, None));
    assert_eq!(dry.files.iter().map(|f| f.rows).sum::<u64>(), of(12) + of(65));
    assert_eq!(names(&folder), before);
    let done = erased(&folder, &["12", "65", "4000"], false).await.unwrap();
    assert_eq!((&done.users, &done.files, done.version), (&dry.users, &dry.files, Some(5)));
    let left: Vec<Row> = all.iter().filter(|r| r.0 != 12 && r.0 != 65).cloned().collect();
    assert_eq!(rows_at(&folder, At::Latest).await, left);
    assert_eq!(rows_at(&folder, At::Version(4)).await, all);
    let log = TableLog::open(&folder, At::Latest).await.unwrap();
    well_cut(&log);
    // The file of user 12 alone is gone, those without the users are the same.
    assert_eq!(log.files().len(), 4);
    let again = erased(&folder, &["12"], false).await.unwrap();
    assert_eq!((again.rows(), again.version), (0, None));
    let wrong = erased(&folder, &["12", "u7"], true).await.unwrap_err();
    assert!(wrong.message().contains("'u7' cannot be a user") && wrong.message().contains("whole numbers"), "{wrong}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn users_are_erased_from_files_of_other_writers_too() {
    let place = Place::new();
    let folder = place.path("events");
    let parts = [day(0, 0..20, 100), day(1, 0..20, 100)];
    let mut log = table(&folder, &parts[..1], None).await;
    let mut change = Change::new(Operation::Ingest);
    change.add = vec![foreign(&folder, "part-foreign.parquet", &parts[1], true)];
    log.commit(&change).await.unwrap();
    let mut others = without_value(&parts[1]);
    others[0].0 = -1;
    let expected: Vec<Row> = sorted(&[parts[0].clone(), others]).into_iter().filter(|r| r.0 != 7).collect();
    let done = erased(&folder, &["7"], false).await.unwrap();
    assert_eq!(done.files.len(), 2);
    assert_eq!(rows_at(&folder, At::Latest).await, expected);
    // Rows without a user have no place in the order: the file stays apart, and says why.
    let error = compact(&folder, &CompactOptions::new(), Arc::new(|_, _| Ok(()))).await.unwrap_err();
    assert!(error.message().contains("cannot be put in order: it has rows whose 'user_id' is NULL"), "{error}");
    assert_eq!(rows_at(&folder, At::Latest).await, expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_of_another_makes_both_start_anew() {
    let place = Place::new();
    let folder = place.path("events");
    let parts: Vec<Vec<Row>> = (0..3).map(|n| day(n, 0..40, 300)).collect();
    table(&folder, &parts[..2], None).await;
    // While it works, its first progress calls for another's commit.
    let once = std::sync::Once::new();
    let (other, extra) = (folder.clone(), parts[2].clone());
    let runtime = tokio::runtime::Handle::current();
    let append = move || {
        once.call_once(|| {
            runtime.block_on(async {
                let mut log = TableLog::open(&other, At::Latest).await.unwrap();
                let mut change = Change::new(Operation::Ingest);
                change.add = ordered_files(&other, &extra, None);
                log.commit(&change).await.unwrap();
            })
        })
    };
    let append = Arc::new(append);
    let during = Arc::clone(&append);
    let users = ["5".to_string()];
    let done = erase(
        &folder,
        &users,
        false,
        Arc::new(move |_, _| {
            during();
            Ok(())
        }),
    )
    .await
    .unwrap();
    let left: Vec<Row> = sorted(&parts).into_iter().filter(|r| r.0 != 5).collect();
    assert_eq!(rows_at(&folder, At::Latest).await, left);
    assert_eq!(done.files.len(), 3, "the rows that came meanwhile were searched as well");
    // An erasure while a compaction works: the compaction must not bring the rows back.
    let once = std::sync::Once::new();
    let (other, runtime) = (folder.clone(), tokio::runtime::Handle::current());
    let during = move |_: u64, _: u64| {
        once.call_once(|| {
            let users = ["6".to_string()];
            runtime.block_on(erase(&other, &users, false, Arc::new(|_, _| Ok(())))).unwrap();
        });
        Ok(())
    };
    let done = compact(&folder, &CompactOptions::new(), Arc::new(during)).await.unwrap();
    assert_eq!(done.after, 1);
    let left: Vec<Row> = left.into_iter().filter(|r| r.0 != 6).collect();
    assert_eq!(rows_at(&folder, At::Latest).await, left);
    let live = TableLog::open(&folder, At::Latest).await.unwrap().files().len();
    assert_eq!(live, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_deleted_behind_the_log_is_named() {
    let place = Place::new();
    let folder = place.path("events");
    let log = table(&folder, &[day(0, 0..40, 300), day(1, 0..40, 300)], None).await;
    let gone = log.files()[1].path.clone();
    std::fs::remove_file(folder.join(&gone)).unwrap();
    let before = names(&folder);
    let error = compact(&folder, &CompactOptions::new(), Arc::new(|_, _| Ok(()))).await.unwrap_err();
    assert!(error.message().contains(&gone), "{error}");
    let error = erased(&folder, &["5"], false).await.unwrap_err();
    assert!(error.message().contains(&gone), "{error}");
    assert_eq!(names(&folder), before);
    assert!(TableLog::open(&folder, At::Latest).await.unwrap().version() == 1);
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() { copy(&path, &target) } else { _ = std::fs::copy(&path, &target).unwrap() }
    }
}

/// Runs the program and kills it after a while; true if it had ended before.
fn killed_after(args: &[&str], folder: &Path, delay: Duration) -> bool {
    let mut child = std::process::Command::new(program())
        .args(args)
        .arg(folder)
        .stdin(std::process::Stdio::null())
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let end = Instant::now() + delay;
    while Instant::now() < end {
        if child.try_wait().unwrap().is_some() {
            return true;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    false
}

/// Kills the program at many moments; each time the table holds the rows from before or from after, and a second run ends well.
async fn kill_at_many_moments(
    args: &[&str],
    original: &Path,
    place: &Place,
    before: &[Row],
    after: &[Row],
) -> (usize, usize) {
    let copy_of = |name: &str| -> PathBuf {
        let folder = place.path(name);
        copy(original, &folder);
        folder
    };
    // How long the whole work takes here and now, as an estimate of which moments are worth trying.
    let whole = copy_of("whole");
    let started = Instant::now();
    assert!(killed_after(args, &whole, Duration::from_secs(120)));
    let takes = started.elapsed();
    assert_eq!(rows_at(&whole, At::Latest).await, after);
    let versions = |log: &TableLog| log.version();
    let old = versions(&TableLog::open(original, At::Latest).await.unwrap());
    let (mut unchanged, mut changed) = (0, 0);
    const MOMENTS: u32 = 14;
    for moment in 1..=MOMENTS {
        let folder = copy_of(&format!("killed-{moment}"));
        killed_after(args, &folder, takes * moment / MOMENTS);
        let log = TableLog::open(&folder, At::Latest).await.unwrap();
        let is_old = versions(&log) == old;
        assert_eq!(rows_at(&folder, At::Latest).await, if is_old { before } else { after }, "moment {moment}");
        if is_old {
            unchanged += 1
        } else {
            changed += 1
        }
        assert!(killed_after(args, &folder, Duration::from_secs(120)));
        assert_eq!(rows_at(&folder, At::Latest).await, after, "after the second run, moment {moment}");
        let left: Vec<String> = names(&folder).into_iter().filter(|n| n.starts_with("_compact")).collect();
        assert_eq!(left, Vec::<String>::new());
        std::fs::remove_dir_all(&folder).unwrap();
    }
    (unchanged, changed)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_while_compacting_the_table_holds_the_same_rows() {
    let place = Place::new();
    let folder = place.path("events");
    let parts: Vec<Vec<Row>> = (0..14).map(|n| day(n, 0..300, 1_500)).collect();
    table(&folder, &parts, None).await;
    let rows = sorted(&parts);
    // Little memory: runs lie in the staging folder while it works.
    let args = ["compact", "--memory", "100kB", "-q"];
    let (old, _) = kill_at_many_moments(&args, &folder, &place, &rows, &rows).await;
    assert!(old > 2, "{old}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_while_erasing_the_user_is_there_whole_or_not_at_all() {
    let place = Place::new();
    let folder = place.path("events");
    let parts: Vec<Vec<Row>> = (0..10).map(|n| day(n, 0..300, 1_500)).collect();
    table(&folder, &parts, None).await;
    let rows = sorted(&parts);
    let after: Vec<Row> = rows.iter().filter(|r| r.0 != 77 && r.0 != 78).cloned().collect();
    let args = ["erase", "--user=77", "--user=78", "-q"];
    let (old, _) = kill_at_many_moments(&args, &folder, &place, &rows, &after).await;
    assert!(old > 2, "{old}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_commands_say_what_they_do() {
    let place = Place::new();
    let folder = place.path("events");
    let parts = [day(0, 0..30, 200), day(1, 0..30, 200)];
    table(&folder, &parts, None).await;
    let rows = sorted(&parts).iter().filter(|r| r.0 == 3).count();
    let dry = place.run(&["erase", "events", "--user", "3", "99", "--dry-run"]);
    assert!(dry.starts_with("exit 0\n-- stdout\ntenure-"), "{dry}");
    assert!(dry.contains(&format!("{rows} rows of 1 user would be erased from 2 files; nothing was changed")), "{dry}");
    assert!(dry.contains("no rows of 1 of 2 users: 99"), "{dry}");
    place.write("users.txt", "3\n\n");
    let done = place.run(&["erase", "events", "--users-from", "users.txt"]);
    assert!(done.contains(&format!("version 2: {rows} rows of 1 user erased from 2 files")), "{done}");
    assert!(done.contains("tenure vacuum"), "{done}");
    let done = place.run(&["compact", "events"]);
    assert!(done.contains("version 3: 2 files became 1"), "{done}");
    let done = place.run(&["compact", "events"]);
    assert!(done.starts_with("exit 0\n-- stderr\nnothing to do: 1 file"), "{done}");
    let none = place.run(&["erase", "events"]);
    assert!(none.starts_with("exit 2\n") && none.contains("--user"), "{none}");
    let nowhere = place.run(&["compact", "elsewhere"]);
    assert!(nowhere.starts_with("exit 1\n") && nowhere.contains("'elsewhere' does not exist"), "{nowhere}");
}
