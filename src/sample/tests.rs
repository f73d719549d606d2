use std::collections::BTreeMap;
use std::fs::File;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::compute::concat_batches;
use arrow::datatypes::{DataType, Int32Type, Int64Type, TimestampMicrosecondType};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::file::reader::{FileReader, SerializedFileReader};

use super::*;

fn options(events: u64, users: u64, out_dir: &Path) -> GenerateOptions {
    GenerateOptions { seed: 7, ..GenerateOptions::new(events, users, out_dir) }
}

fn silent(_: u64, _: u64) {}

fn read(path: &Path) -> RecordBatch {
    let builder = ParquetRecordBatchReaderBuilder::try_new(File::open(path).unwrap()).unwrap();
    let schema = builder.schema().clone();
    let batches: Vec<_> = builder.with_batch_size(1 << 20).build().unwrap().map(Result::unwrap).collect();
    concat_batches(&schema, &batches).unwrap()
}

fn long(batch: &RecordBatch, name: &str) -> Vec<i64> {
    batch.column_by_name(name).unwrap().as_primitive::<Int64Type>().values().to_vec()
}

fn time(batch: &RecordBatch, name: &str) -> Vec<i64> {
    batch.column_by_name(name).unwrap().as_primitive::<TimestampMicrosecondType>().values().to_vec()
}

fn text(batch: &RecordBatch, name: &str) -> Vec<String> {
    let column = batch.column_by_name(name).unwrap();
    let column = arrow::compute::cast(column, &DataType::Utf8).unwrap();
    column.as_string::<i32>().iter().map(|value| value.unwrap().to_owned()).collect()
}

/// The events of each user, by time, with the position in the file.
fn per_user(events: &RecordBatch) -> BTreeMap<i64, Vec<usize>> {
    let mut rows: BTreeMap<i64, Vec<usize>> = BTreeMap::new();
    for (row, user) in long(events, "user_id").into_iter().enumerate() {
        rows.entry(user).or_default().push(row);
    }
    rows
}

/// Every row as text, which is a way to compare files that does not depend on how their columns are encoded.
fn rows(batch: &RecordBatch) -> Vec<String> {
    let columns: Vec<_> =
        (0..batch.num_columns()).map(|i| arrow::compute::cast(batch.column(i), &DataType::Utf8).unwrap()).collect();
    let cell = |column: &dyn Array, row| {
        if column.is_null(row) { "NULL".to_owned() } else { column.as_string::<i32>().value(row).to_owned() }
    };
    (0..batch.num_rows()).map(|row| columns.iter().map(|c| cell(c, row)).collect::<Vec<_>>().join(",")).collect()
}

#[test]
fn both_orders_hold_the_same_rows() {
    let folder = tempfile::tempdir().unwrap();
    let by = |order| {
        let out = folder.path().join(format!("{order:?}"));
        // More than one slice and one batch hold.
        let done = generate(&GenerateOptions { order, ..options(250_000, 3_000, &out) }, &mut silent).unwrap();
        (read(&done.files[0]), read(&done.files[1]), done)
    };
    let (by_time, users, done) = by(Order::Time);
    let (by_user, same_users, other) = by(Order::User);
    assert_eq!((done.events, by_time.num_rows(), by_user.num_rows()), (250_000, 250_000, 250_000));
    assert_eq!((users.num_rows(), &users), (3_000, &same_users));
    assert!(time(&by_time, "ts").is_sorted());
    let key: Vec<_> = long(&by_user, "user_id").into_iter().zip(time(&by_user, "ts")).collect();
    assert!(key.is_sorted());
    let (mut left, mut right) = (rows(&by_time), rows(&by_user));
    assert_ne!(left, right);
    left.sort_unstable();
    right.sort_unstable();
    assert!(left == right);

    let sorting = |path: &Path| {
        let reader = SerializedFileReader::new(File::open(path).unwrap()).unwrap();
        let group = reader.metadata().row_group(0);
        let columns = group.sorting_columns().unwrap();
        columns.iter().map(|c| group.column(c.column_idx as usize).column_path().string()).collect::<Vec<_>>()
    };
    assert_eq!(sorting(&done.files[0]), ["ts"]);
    assert_eq!(sorting(&other.files[0]), ["user_id", "ts"]);
    let dictionary = DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8));
    assert_eq!(by_time.column_by_name("event").unwrap().data_type(), &dictionary);
    assert!(!fs::read_to_string(&done.files[2]).unwrap().contains("order ="));
    assert!(fs::read_to_string(&other.files[2]).unwrap().contains("order = [\"user_id\", \"ts\"]"));
}

#[test]
fn strings_name_the_same_users() {
    let folder = tempfile::tempdir().unwrap();
    let numbers = generate(&options(20_000, 900, &folder.path().join("a")), &mut silent).unwrap();
    let strings = GenerateOptions { string_ids: true, ..options(20_000, 900, &folder.path().join("b")) };
    let strings = generate(&strings, &mut silent).unwrap();
    for file in 0..2 {
        let (numbers, strings) = (read(&numbers.files[file]), read(&strings.files[file]));
        let named: Vec<_> = long(&numbers, "user_id").iter().map(|id| format!("u{id:07}")).collect();
        assert_eq!(text(&strings, "user_id"), named);
        assert_eq!(numbers.columns()[1..], strings.columns()[1..]);
    }
}

#[test]
fn seeds_differ_and_repeat() {
    let folder = tempfile::tempdir().unwrap();
    let make = |name: &str, seed| {
        let out = folder.path().join(name);
        let done = generate(&GenerateOptions { seed, ..options(5_000, 300, &out) }, &mut silent).unwrap();
        fs::read(&done.files[0]).unwrap()
    };
    assert_eq!(make("a", 1), make("b", 1));
    assert_ne!(make("c", 2), make("d", 1));
}

/// The truth columns against the events themselves.
#[test]
fn truth_is_what_the_events_say() {
    let folder = tempfile::tempdir().unwrap();
    let made = options(150_000, 4_000, folder.path());
    let (from, to) = made.span().unwrap();
    let done = generate(&made, &mut silent).unwrap();
    let (events, users) = (read(&done.files[0]), read(&done.files[1]));
    let (ts, kind) = (time(&events, "ts"), text(&events, "event"));
    let owned = per_user(&events);
    assert_eq!(owned.len(), 4_000);
    let churned = users.column_by_name("churned_at").unwrap().as_primitive::<TimestampMicrosecondType>().clone();
    let (mut regular, mut loud) = (0, 0);
    for (row, user) in long(&users, "user_id").into_iter().enumerate() {
        let mine = &owned[&user];
        let times: Vec<i64> = mine.iter().map(|r| ts[*r]).collect();
        assert!(times.is_sorted());
        assert_eq!(kind[mine[0]], "signup");
        assert_eq!(mine.iter().filter(|r| kind[**r] == "signup").count(), 1);
        assert_eq!(times[0], time(&users, "signup_at")[row]);
        let end = if churned.is_null(row) { to } else { churned.value(row) };
        assert!(times[0] >= from && times[times.len() - 1] < end && end <= to);
        assert_eq!(mine.len() as i64, long(&users, "events")[row]);
        assert_eq!(mine.iter().filter(|r| kind[**r] == "purchase").count() as i64, long(&users, "orders")[row]);
        let sessions = 1 + times.windows(2).filter(|pair| pair[1] - pair[0] > 30 * 60_000_000).count() as i64;
        assert_eq!(sessions, long(&users, "sessions")[row]);
        // Regular visitors are heard of until the end of their life: within two parts of it, in busy time.
        if sessions >= 10 {
            let calendar = Calendar::new();
            let life = calendar.busy(end) - calendar.busy(times[0]);
            let silence = calendar.busy(end) - calendar.busy(times[times.len() - 1]);
            regular += 1;
            loud += i64::from(silence <= 2 * life / sessions);
        }
    }
    assert!(regular > 200 && loud * 100 >= regular * 95, "{loud} of {regular}");
}

/// Realised rates of visits, found by gaps, against the planted ones.
#[test]
fn funnel_is_as_planted() {
    let folder = tempfile::tempdir().unwrap();
    let done = generate(&options(500_000, 10_000, folder.path()), &mut silent).unwrap();
    let events = read(&done.files[0]);
    let (ts, kind) = (time(&events, "ts"), text(&events, "event"));
    let (platform, country, channel) = (text(&events, "platform"), text(&events, "country"), text(&events, "channel"));
    let (mut carts, mut checkouts, mut orders) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
    let mut count = |into: usize, key: &str, done: bool| {
        let into = [&mut carts, &mut checkouts, &mut orders][into].entry(key.to_owned()).or_insert((0.0, 0.0));
        into.0 += 1.0;
        into.1 += f64::from(u8::from(done));
    };
    for mine in per_user(&events).values() {
        for visit in mine.chunk_by(|a, b| ts[*b] - ts[*a] <= 30 * 60_000_000) {
            // A greedy chain is the longest one here, because each step is there at most once after the first.
            let steps = ["view_item", "add_to_cart", "begin_checkout", "purchase"];
            let mut reached = 0;
            for row in visit {
                reached += usize::from(reached < 4 && kind[*row] == steps[reached]);
            }
            let at = visit[0];
            if reached >= 1 {
                count(0, &platform[at], reached >= 2);
            }
            if reached >= 2 {
                count(1, &country[at], reached >= 3);
            }
            if reached >= 3 {
                count(2, &channel[at], reached >= 4);
            }
        }
    }
    let check = |found: &BTreeMap<String, (f64, f64)>, planted: &[(&str, u32)]| {
        assert_eq!(found.len(), planted.len());
        for (name, planted) in planted {
            let (all, done) = found[*name];
            let planted = f64::from(*planted) / 1e3;
            // Four standard errors, and 1 % for the very active whose visits run into one another.
            let allowed = 4.0 * (planted * (1.0 - planted) / all).sqrt() + 0.01 * planted;
            assert!((done / all - planted).abs() < allowed, "{name}: {} of {all}, planted {planted}", done / all);
        }
    };
    check(&carts, &user::PLATFORMS.map(|p| (p.0, p.2)));
    check(&checkouts, &user::COUNTRIES.map(|c| (c.0, c.2)));
    check(&orders, &[0, 1].map(|c| (user::CHANNELS[c].name, user::CHANNELS[c].pays)));
}

/// Ways are those of visits, change between them as planted, and few events name a campaign.
#[test]
fn ways_change_between_visits() {
    let folder = tempfile::tempdir().unwrap();
    let done = generate(&options(150_000, 4_000, folder.path()), &mut silent).unwrap();
    let (events, users) = (read(&done.files[0]), read(&done.files[1]));
    let (ts, platform, channel) = (time(&events, "ts"), text(&events, "platform"), text(&events, "channel"));
    let campaign = arrow::compute::cast(events.column_by_name("campaign").unwrap(), &DataType::Utf8).unwrap();
    let campaign = campaign.as_string::<i32>();
    let own: Vec<(String, String)> = text(&users, "platform").into_iter().zip(text(&users, "channel")).collect();
    let (mut visits, mut other, mut by_ads, mut late, mut second) = (0.0, [0.0; 2], 0.0, 0.0, 0.0);
    for (mine, own) in per_user(&events).values().zip(&own) {
        for (number, visit) in mine.chunk_by(|a, b| ts[*b] - ts[*a] <= 30 * 60_000_000).enumerate() {
            let way = (&platform[visit[0]], &channel[visit[0]]);
            if visit.iter().any(|row| (&platform[*row], &channel[*row]) != way) {
                // Visits of the very active run into one another.
                continue;
            }
            assert!(number > 0 || way == (&own.0, &own.1));
            let known: Vec<usize> = (0..visit.len()).filter(|at| campaign.is_valid(visit[*at])).collect();
            assert!(way.1 == "ads" || known.is_empty());
            if number > 0 && visit.len() > 3 {
                visits += 1.0;
                other[0] += f64::from(u8::from(way.0 != &own.0));
                other[1] += f64::from(u8::from(way.1 != &own.1));
                if way.1 == "ads" {
                    by_ads += 1.0;
                    late += f64::from(u8::from(known[0] == 1));
                    second += f64::from(u8::from(known.len() > 1));
                }
            }
        }
    }
    // Another one of three platforms (45, 35, 20 %) or two channels (60, 40 %), which are drawn apart from the own.
    let near = |share: f64, planted: f64| assert!((share - planted).abs() < 0.03, "{share}, planted {planted}");
    near(other[0] / visits, 0.25 * (1.0 - 0.45 * 0.45 - 0.35 * 0.35 - 0.2 * 0.2));
    near(other[1] / visits, 0.3 * (1.0 - 0.6 * 0.6 - 0.4 * 0.4));
    near(late / by_ads, 0.25);
    near(second / by_ads, 0.05);
}

#[test]
fn columns_are_null_where_they_mean_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let done = generate(&options(60_000, 1_000, folder.path()), &mut silent).unwrap();
    let events = read(&done.files[0]);
    let kind = text(&events, "event");
    let null = |name: &str, row| events.column_by_name(name).unwrap().is_null(row);
    let mut seen = BTreeMap::new();
    for (row, kind) in kind.iter().enumerate() {
        *seen.entry(kind.as_str()).or_insert(0) += 1;
        let of_item = ["view_item", "add_to_cart", "begin_checkout", "purchase", "refund"].contains(&kind.as_str());
        assert_eq!(!null("price", row), of_item);
        assert_eq!(!null("item_id", row), of_item || kind == "share");
        assert_eq!(!null("order_id", row), kind == "purchase" || kind == "refund");
    }
    assert_eq!(seen.len(), session::EVENTS.len(), "{seen:?}");
    // Orders have a number of their own; a refund has that of an order.
    let orders = events.column_by_name("order_id").unwrap().as_primitive::<Int64Type>();
    let of = |wanted: &str| {
        let rows = (0..kind.len()).filter(|row| kind[*row] == wanted);
        rows.map(|row| orders.value(row)).collect::<Vec<_>>()
    };
    let (mut bought, returned) = (of("purchase"), of("refund"));
    let purchases = bought.len();
    bought.sort_unstable();
    bought.dedup();
    assert_eq!(bought.len(), purchases);
    assert!(returned.iter().all(|order| bought.binary_search(order).is_ok()));
    let items = events.column_by_name("item_id").unwrap().as_primitive::<Int32Type>();
    assert!(items.iter().flatten().all(|item| (1..=session::ITEMS as i32).contains(&item)));
    assert!((1..=session::ITEMS).map(session::price).all(|cents| (499..=29_999).contains(&cents)));
}

/// Few events, one user, one day, more visits than fit into a life.
#[test]
fn extremes_are_exact_too() {
    for (events, users, days) in [(1, 1, 1), (300, 300, 1), (250_000, 1, 1), (20_001, 3, 2), (1_000, 7, 3_650)] {
        let folder = tempfile::tempdir().unwrap();
        let made = GenerateOptions { days, ..options(events, users, folder.path()) };
        let (from, to) = made.span().unwrap();
        let done = generate(&made, &mut silent).unwrap();
        let table = read(&done.files[0]);
        assert_eq!(table.num_rows() as u64, events);
        let ts = time(&table, "ts");
        assert!(ts.is_sorted() && ts[0] >= from && ts[ts.len() - 1] < to);
        assert_eq!(read(&done.files[1]).num_rows() as u64, users);
    }
}

#[test]
fn progress_rises_to_the_end() {
    for order in [Order::Time, Order::User] {
        let folder = tempfile::tempdir().unwrap();
        let mut calls = Vec::new();
        let made = GenerateOptions { order, ..options(200_000, 500, folder.path()) };
        generate(&made, &mut |done, all| calls.push((done, all))).unwrap();
        assert!(calls.len() > 5 && calls.is_sorted());
        assert!(calls.iter().all(|(done, all)| done <= all && *all == 200_000));
        assert_eq!(calls[calls.len() - 1].0, 200_000);
    }
}

#[test]
fn wrong_options_are_named_and_leave_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("shop");
    let message = |made: GenerateOptions| generate(&made, &mut silent).unwrap_err().message().to_owned();
    assert!(message(options(10, 0, &out)).contains("0 users"));
    assert!(message(options(10, 11, &out)).contains("10 events for 11 users"));
    assert!(message(GenerateOptions { days: 0, ..options(10, 10, &out) }).contains("0 days"));
    assert!(message(GenerateOptions { start: Date::constant(9000, 1, 1), ..options(10, 10, &out) }).contains("9000"));
    assert!(!out.exists());
    let blocked = folder.path().join("file");
    fs::write(&blocked, "x").unwrap();
    assert!(message(options(10, 10, &blocked)).contains("file"));
}

#[test]
fn files_of_others_stay() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("users.parquet"), "mine").unwrap();
    let made = options(1_000, 10, folder.path());
    let error = generate(&made, &mut silent).unwrap_err();
    assert!(error.message().contains("users.parquet' is there already"));
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    generate(&GenerateOptions { overwrite: true, ..made }, &mut silent).unwrap();
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 3);
}

/// testdata/shop comes from these options; rows are compared, because bytes change with the version of the writer.
#[test]
fn testdata_is_what_the_generator_makes() {
    let folder = tempfile::tempdir().unwrap();
    let done = generate(&options(40_000, 2_000, folder.path()), &mut silent).unwrap();
    let kept = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/shop");
    for name in &NAMES[..2] {
        assert!(rows(&read(&kept.join(name))) == rows(&read(&folder.path().join(name))), "{name}");
    }
    let text = |path: &Path| fs::read_to_string(path).unwrap();
    assert_eq!(text(&kept.join(NAMES[2])), text(&done.files[2]));
}
