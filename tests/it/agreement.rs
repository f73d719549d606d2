//! Results depend only on the multiset of rows.
//!
//! One set of events, laid out in many ways: shuffled, split over files, read by one to seven partitions in batches of 1 to
//! 8,192 rows, with and without the shortcut that skips partial aggregation, sorted by user and evaluated in one pass, one file
//! after another or merged from files that share their users, users as numbers and as text, texts plain and as dictionaries. Every relation and aggregate must answer the same rows, doubles to the last bit.

use std::path::Path;
use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use arrow::compute::cast;
use arrow::datatypes::DataType;
use datafusion::parquet::file::metadata::SortingColumn;
use rand::Rng;
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

use crate::ask::{Asked, settings};
use crate::oracle::seed;
use tenure::engine::Settings;

/// Every relation, and the aggregates with GROUP BY and without it; `t` is the table.
const QUESTIONS: &[&str] = &[
    "SELECT * FROM funnel(t, steps => ['a', 'b', 'c'], within => INTERVAL '2 days')",
    "SELECT * FROM funnel(t, steps => ['a', event = 'b' OR price > 3, 'c'], within => INTERVAL '9 hours', by => country)",
    "SELECT * FROM funnel(t, steps => ['a', price > 2, 'b'], within => INTERVAL '1 day', by => [country, price], mode => 'increase')",
    "SELECT * FROM funnel(t, steps => [price > 1, price > 2, 'c'], within => INTERVAL '1 day', mode => 'reuse')",
    "SELECT * FROM funnel(t, steps => ['a', price > 1, price > 3], within => INTERVAL '2 days', by => [country, price], by_touch => 'all', period => 'day',
       tz => 'America/New_York', exclude => {'when': 'd', 'after': 1, 'before': 3}, optional => 2, step_after => [NULL, NULL], chain => 'earliest_start')",
    "SELECT * FROM funnel(t, steps => ['a', 'b', price > 2], within => INTERVAL '2 days', by => [country, event], mode => 'dedup', mature => true, period => 'day')",
    "SELECT * FROM funnel(t, steps => ['a', 'b', 'c'], within => INTERVAL '2 days', by => price, by_entry => 'first', as_of => DATE '2025-01-20', tz => 'Asia/Kolkata')",
    "SELECT * FROM funnel(t, steps => ['a', 'b', 'c'], within => INTERVAL '9 hours', by => country, by_step => 3, entry => 'all', mode => 'any_order', anchors => [2])",
    "SELECT country, CAST(user_id AS VARCHAR) AS u, level, step_1_at, step_2_at, step_3_at, price, event FROM funnel_users(t, steps => ['a', price > 1, price > 3], within => INTERVAL '1 day',
       mode => 'any_order', by => country, by_step => 2, entry => 'all', columns => [price, event], hold => country, at_step => 2)",
    "SELECT * FROM retention(t, unit => 'day', periods => 4)",
    "SELECT * FROM retention(t, start => 'a', return => price > 2, unit => 'day', periods => 3, by => country, type => 'on_or_after', tz => 'America/New_York')",
    "SELECT * FROM retention(t, start => 'a', return => 'a', unit => 'week', periods => 2, cohort => country, index => 'rolling')",
    "SELECT * FROM retention_curve(t, start => 'a', unit => 'day', periods => 4, by => country)",
    "SELECT * FROM lifecycle(t, unit => 'day', by => country)",
    "SELECT * FROM lifecycle(t, active => price > 2, birth => ts - INTERVAL '9 days', by => [country, event], tz => 'America/New_York', as_of => DATE '2025-06-20')",
    "SELECT CAST(user_id AS VARCHAR) AS u, user_lifecycle(ts, NULL, 'day', 'Asia/Kolkata', 'monday', named_struct('country', country, 'price', price)) FROM t GROUP BY user_id",
    "SELECT user_lifecycle(ts, ts - INTERVAL '2 days', 'day', 'UTC', 'monday') FILTER (WHERE event <> 'a') FROM t",
    "SELECT * EXCEPT (user_id), CAST(user_id AS VARCHAR) AS u FROM sessions(t, gap => INTERVAL '6 hours', cut_campaign => country, cut_midnight => true, tz => 'Asia/Kolkata', by => price, first => country, last => [event])",
    "SELECT * FROM session_summary(t, gap => INTERVAL '9 hours', start_when => 'c', end_when => price > 4, conversion => 'b', by => country, period => 'day')",
    "SELECT * FROM pages(t, gap => INTERVAL '12 hours', page => country, exclude => 'd', max_length => INTERVAL '1 day', order_key => price, bounce => 'engaged', last => [event])",
    "SELECT country, event, price, ts, sessionize(ts, INTERVAL '6 hours', {'start_when': event = 'a', 'cut_campaign': country}) OVER (PARTITION BY CAST(user_id AS VARCHAR) ORDER BY ts) FROM t",
    "SELECT * FROM transitions(t, gap => INTERVAL '9 hours')",
    "SELECT * FROM transitions(t, node => price, within => 'user', collapse => true, top => 2, by => [country, event])",
    "SELECT * FROM transitions(t, session => country, order_key => price, top => 3)",
    "SELECT * FROM paths(t, from => event = 'a' AND price > 1, anchor => 'all', gap => INTERVAL '1 day', top => 2, by => country)",
    "SELECT * FROM paths(t, to => 'c', depth => 3, within => 'user', collapse => true)",
    "SELECT * FROM compare(t, segment => country = 'de', measures => {'a': 'a', 'dear': price > 3, 'n': count(*), 'kinds': count(DISTINCT event),
       'whole': sum(CAST(price AS BIGINT)), 'sum': sum(price / 3), 'some': sum(price / 7) FILTER (WHERE event = 'b')})",
    "SELECT * FROM compare(t, segment => (SELECT user_id FROM t WHERE event = 'c' AND price > 4), with => (SELECT user_id FROM t EXCEPT SELECT user_id FROM t WHERE event = 'c' AND price > 4),
       measures => ['a', sum(CAST(price / 3 AS DECIMAL(20, 9)))])",
    "SELECT * FROM profile(t, id => '0', value => price / 3, order => event = 'c', by => [country, price], gap => INTERVAL '6 hours', unit => 'day', tz => 'America/New_York')",
    "SELECT CAST(user_id AS VARCHAR) AS u, score, level, p_alive, features, reasons FROM churn_scores(t, horizon => INTERVAL '4 days', transaction => event = 'c')",
    "SELECT CAST(user_id AS VARCHAR) AS u, window_funnel(INTERVAL '1 day', ts, event = 'a', event = 'b', price > 3),
       funnel_chain(INTERVAL '1 day', 'increase', ts, event = 'a', price > 1, price > 3, named_struct('country', country)),
       retention(event = 'a', event = 'b', price > 4), activity_days(ts, event = 'c', 'Europe/Berlin') FROM t GROUP BY user_id",
    "SELECT CAST(user_id AS VARCHAR) AS u, window_funnel(INTERVAL '1 day', 'strict', ts, event = 'a', price > 1, event = 'c'),
       window_funnel(INTERVAL '2 days', {'mode': 'any_order', 'anchors': [1], 'hold': 'country'}, ts, event = 'a', price > 1, price > 3, struct(country AS country)),
       funnel_chain(INTERVAL '1 day', {'mode': 'dedup', 'step_within': [INTERVAL '9 hours', NULL], 'exclude': 1, 'chain': 'earliest_start'}, ts, event = 'a', event = 'b', price > 3, event = 'd', named_struct('country', country)),
       funnel_chains(INTERVAL '9 hours', {'entry': 'all', 'optional': [2], 'hold': ['country']}, ts, event = 'a', price > 1, price > 3, named_struct('country', country, 'price', price)),
       funnel_chains(INTERVAL '2 days', {'period': 'day', 'tz': 'America/New_York', 'window_end': 'calendar', 'entry': 'first'}, ts, event = 'a', event = 'b', event = 'c') FROM t GROUP BY user_id",
    "SELECT country, window_funnel(INTERVAL '1 hour', ts, event = 'a', event = 'b', event = 'c') FROM t GROUP BY country",
    "SELECT funnel_chain(INTERVAL '1 hour', ts, event = 'a', event = 'b', event = 'c', named_struct('c', country, 'p', price)),
       retention(event = 'a', price > 4), array_length(activity_days(ts, true, 'UTC')) FROM t",
    "SELECT * FROM attribution(t, conversion => 'c', channel => event, touch => event <> 'c', value => price, lookback => INTERVAL '9 hours', by => country,
       model => ['first', 'last', 'last_non_direct', 'linear', 'participation', 'position', 'time_decay', 'markov', 'shapley'], direct => 'a')",
    "SELECT * FROM attribution(t, conversion => price > 3, channel => country, value => price / 3, reset => true, order_key => event,
       model => ['time_decay', 'markov', 'shapley', 'linear'], half_life => INTERVAL '5 hours')",
    "SELECT CAST(user_id AS VARCHAR) AS u, sequence_match('(?1)[^3]*(?t<=1 day)(?2)', ts, event = 'a', event = 'b', price > 4),
       sequence_count('(?1)(?t!=3 hours)(?3)', 'keep_all, within 2 days', ts, event = 'a', event = 'b', price > 3),
       sequence_match_events('(?1).(?2)', ts, event = 'a', price > 3, event = 'c'),
       sequence_next_event(country, ts, 'first_match', 'forward', event = 'a', price > 1) FROM t GROUP BY user_id",
    "SELECT CAST(user_id AS VARCHAR) AS u, window_funnel(INTERVAL '1 day', 'clickhouse', ts, event = 'a', event = 'b', price > 3),
       window_funnel(INTERVAL '1 day', 'clickhouse, strict_order', ts, event = 'a', price > 2, event = 'c'),
       window_funnel(INTERVAL '1 day', 'clickhouse, strict_once, strict_deduplication', ts, price > 0, event = 'b', price > 3)
     FROM t GROUP BY user_id",
    "SELECT sequence_match('(?1)(?2)(?2)(?3)', ts, event = 'a', event = 'b', event = 'c'), sequence_count('(?1)[^3]*(?2)', ts, event = 'a', event = 'b', event = 'c'),
       sequence_next_event(price, ts, 'tail', 'backward', true) FROM t",
    "SELECT CAST(user_id AS VARCHAR) AS u, window_funnel(INTERVAL '1 day', ts, event = 'a', price > 3), array_agg(price ORDER BY ts, price),
       nth_value(price, 2 ORDER BY ts DESC, price), first_value(event ORDER BY ts, event) FROM t GROUP BY user_id",
    "SELECT CAST(user_id AS VARCHAR) AS u, encode(funnel_state(INTERVAL '2 days', 'increase', ts, event = 'a', price > 1), 'hex') AS f,
       encode(funnel_state(INTERVAL '1 day', 'strict', ts, event = 'a', event = 'c'), 'hex') AS every,
       encode(retention_state(ts, event = 'a', price > 1, 'day', 'Asia/Kolkata', 'monday', 'calendar'), 'hex') AS r,
       encode(retention_state(ts, price > 2, true, 'week', 'UTC', 'monday', 'rolling'), 'hex') AS rolling,
       encode(activity_state(ts, 'day', 'America/New_York', 'monday') FILTER (WHERE event <> 'b'), 'hex') AS active,
       encode(users_state(event), 'hex') AS events, encode(users_state(CAST(price AS BIGINT)), 'hex') AS prices,
       encode(distinct_hll_state(price, 4), 'hex') AS hll, encode(distinct_theta_state(ts::BIGINT, 5), 'hex') AS theta FROM t GROUP BY user_id",
    "SELECT country, encode(users_state(CAST(user_id AS VARCHAR)), 'hex') AS users, users_count(users_state(event)) AS n,
       encode(distinct_hll_state(CAST(user_id AS VARCHAR), 4), 'hex') AS hll, encode(distinct_theta_state(CAST(user_id AS VARCHAR), 5), 'hex') AS theta FROM t GROUP BY country",
    "SELECT encode(users_merge(users), 'hex') AS users, encode(distinct_hll_merge(hll), 'hex') AS hll, encode(distinct_theta_merge(theta, 6), 'hex') AS theta,
       encode(activity_merge(active), 'hex') AS active FROM (SELECT event, CAST(ts AS DATE) AS day, users_state(CAST(user_id AS VARCHAR)) AS users,
         distinct_hll_state(CAST(user_id AS VARCHAR), 6) AS hll, distinct_theta_state(CAST(user_id AS VARCHAR), 6) AS theta,
         activity_state(ts, 'day', 'UTC', 'monday') AS active FROM t GROUP BY event, day)",
    "SELECT u, encode(funnel_merge(f), 'hex') AS f, funnel_level(funnel_merge(f)) AS level, encode(retention_merge(r), 'hex') AS r, retention_periods(retention_merge(r)) AS periods
     FROM (SELECT CAST(user_id AS VARCHAR) AS u, CAST(ts AS DATE) AS day, funnel_state(INTERVAL '2 days', ts, event = 'a', price > 1, price > 3) AS f,
       retention_state(ts, event = 'a', price > 1, 'day', 'UTC', 'monday', 'calendar') AS r FROM t GROUP BY user_id, day) GROUP BY u",
    "SELECT bg_nbd_fit(x, tx, age) FROM (SELECT count(*) - 1 AS x, (max(CAST(ts AS BIGINT)) - min(CAST(ts AS BIGINT))) / 8.64e10 AS tx,
       (1737763200000000 - min(CAST(ts AS BIGINT))) / 8.64e10 AS age FROM (SELECT DISTINCT user_id, ts FROM t) GROUP BY user_id)",
];

#[derive(Debug, Clone, Copy)]
struct Row {
    user: Option<i64>,
    time: Option<i64>,
    event: Option<&'static str>,
    country: Option<&'static str>,
    price: Option<f64>,
}

/// Events crowded into few instants, so that ties decide a lot.
fn draw(random: &mut ChaCha8Rng, rows: usize, users: i64) -> Vec<Row> {
    let base = 1_736_899_200_000_000; // 2025-01-15
    (0..rows)
        .map(|_| Row {
            user: random.random_bool(0.99).then(|| (random.random_range(0.0..1.0_f64).powi(2) * users as f64) as i64),
            time: random.random_bool(0.99).then(|| base + random.random_range(0..72) * 3 * 3_600_000_000),
            event: [Some("a"), Some("b"), Some("c"), Some("d"), None][random.random_range(0..5)],
            country: [Some("de"), Some("us"), Some(""), None][random.random_range(0..4)],
            price: random.random_bool(0.9).then(|| f64::from(random.random_range(0..6))),
        })
        .collect()
}

/// How the rows are stored and read.
#[derive(Debug, Clone)]
struct Way {
    text_users: bool,
    dictionaries: bool,
    files: usize,
    partitions: usize,
    batch: usize,
    /// Distinct share of keys above which partial aggregation is given up, and rows before that is asked.
    skip: Option<(f64, usize)>,
    sorted: bool,
    /// Sorted files say that they are, so that users are evaluated in one pass.
    declared: bool,
    /// Each file holds events of any user.
    overlapping: bool,
}

fn batch(rows: &[Row], way: &Way) -> RecordBatch {
    let text = |values: ArrayRef| match way.dictionaries {
        true => cast(&values, &DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8))).unwrap(),
        false => values,
    };
    let users = Int64Array::from_iter(rows.iter().map(|r| r.user));
    let users: ArrayRef = match way.text_users {
        true => text(cast(&users, &DataType::Utf8).unwrap()),
        false => Arc::new(users),
    };
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("user_id", users),
        ("ts", Arc::new(TimestampMicrosecondArray::from_iter(rows.iter().map(|r| r.time)))),
        ("event", text(Arc::new(StringArray::from_iter(rows.iter().map(|r| r.event))))),
        ("country", text(Arc::new(StringArray::from_iter(rows.iter().map(|r| r.country))))),
        ("price", Arc::new(Float64Array::from_iter(rows.iter().map(|r| r.price)))),
    ];
    RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, c)| (name, c, true))).unwrap()
}

/// Writes the rows the way's way and opens an engine over them.
fn open(random: &mut ChaCha8Rng, rows: &[Row], way: &Way, folder: &Path) -> Asked {
    let mut rows = rows.to_vec();
    rows.shuffle(random);
    let sort = |rows: &mut [Row]| match way.text_users {
        true => rows.sort_by_key(|r| (r.user.map(|u| u.to_string()), r.time)),
        false => rows.sort_by_key(|r| (r.user, r.time)),
    };
    let sorted = way.sorted || way.declared;
    if sorted && !way.overlapping {
        sort(&mut rows);
    }
    let location = folder.join("t");
    std::fs::create_dir_all(&location).unwrap();
    for file in 0..way.files {
        // Files of very different sizes: the first has half of what is left.
        let take = if file + 1 == way.files { rows.len() } else { rows.len() / 2 };
        let mut of_file: Vec<Row> = rows.drain(..take).collect();
        if sorted {
            sort(&mut of_file);
        }
        let out = std::fs::File::create(location.join(format!("{file}.parquet"))).unwrap();
        let schema = batch(&[], way).schema();
        let by = |column_idx| SortingColumn { column_idx, descending: false, nulls_first: true };
        let properties = datafusion::parquet::file::properties::WriterProperties::builder()
            .set_max_row_group_row_count(Some(if way.declared { 53 } else { 211 }))
            .set_sorting_columns(way.declared.then(|| vec![by(0), by(1)]))
            .build();
        let mut writer = datafusion::parquet::arrow::ArrowWriter::try_new(out, schema, Some(properties)).unwrap();
        writer.write(&batch(&of_file, way)).unwrap();
        writer.close().unwrap();
    }
    let mut options = vec![
        ("datafusion.execution.batch_size".to_string(), way.batch.to_string()),
        // Small files are split too.
        ("datafusion.optimizer.repartition_file_min_size".to_string(), "1".to_string()),
    ];
    let (ratio, least) = way.skip.unwrap_or((1.1, usize::MAX / 2));
    options.push(("datafusion.execution.skip_partial_aggregation_probe_ratio_threshold".into(), ratio.to_string()));
    options.push(("datafusion.execution.skip_partial_aggregation_probe_rows_threshold".into(), least.to_string()));
    let tables = vec![("t".to_string(), location.display().to_string())];
    Asked::open(&Settings { tables, options, ..settings(way.partitions) })
}

fn sorted_rows(asked: &Asked, sql: &str) -> Vec<Vec<String>> {
    let mut rows = asked.rows(sql);
    rows.sort();
    rows
}

fn compare(name: &str, rows: &[Row], ways: &[Way], questions: &[&str], random: &mut ChaCha8Rng) {
    let plain = Way {
        text_users: false,
        dictionaries: false,
        files: 1,
        partitions: 1,
        batch: 8_192,
        skip: None,
        sorted: true,
        declared: false,
        overlapping: false,
    };
    let first_folder = tempfile::tempdir().unwrap();
    let first = open(random, rows, &plain, first_folder.path());
    let want: Vec<Vec<Vec<String>>> = questions.iter().map(|sql| sorted_rows(&first, sql)).collect();
    for (sql, want) in questions.iter().zip(&want) {
        assert!(!want.is_empty(), "{name}: {sql} answers nothing");
    }
    for way in ways {
        let folder = tempfile::tempdir().unwrap();
        let asked = open(random, rows, way, folder.path());
        let plan = asked.rows(&format!("EXPLAIN {}", questions[0])).concat().concat();
        assert_eq!(plan.contains("UserAggregateExec"), way.declared, "{way:?}\n{plan}");
        let merged = way.declared && way.overlapping && way.files > 1;
        assert_eq!(plan.contains(&format!("merging {} files", way.files)), merged, "{way:?}\n{plan}");
        for (sql, want) in questions.iter().zip(&want) {
            let got = sorted_rows(&asked, sql);
            for (got, want) in got.iter().zip(want) {
                assert_eq!(got, want, "seed {}, {name}: {way:?}\n{sql}", seed());
            }
            assert_eq!(got.len(), want.len(), "seed {}, {name}: {way:?}\n{sql}", seed());
        }
    }
}

/// Each layout alone, then together as chance will have it.
#[test]
fn every_layout_gives_the_same_answers() {
    let mut random = ChaCha8Rng::seed_from_u64(seed().wrapping_add(77));
    let rows = draw(&mut random, 400, 35);
    let base = Way {
        text_users: false,
        dictionaries: false,
        files: 2,
        partitions: 2,
        batch: 8_192,
        skip: None,
        sorted: false,
        declared: false,
        overlapping: false,
    };
    let one_pass = Way { declared: true, ..base.clone() };
    let merged = Way { overlapping: true, ..one_pass.clone() };
    let mut ways = vec![
        base.clone(),
        Way { text_users: true, ..base.clone() },
        Way { dictionaries: true, ..base.clone() },
        Way { text_users: true, dictionaries: true, ..base.clone() },
        Way { files: 7, partitions: 7, ..base.clone() },
        Way { batch: 1, ..base.clone() },
        Way { batch: 3, partitions: 4, ..base.clone() },
        Way { skip: Some((0.0, 0)), ..base.clone() },
        Way { skip: Some((0.0, 300)), batch: 100, ..base.clone() },
        Way { skip: Some((0.3, 10)), partitions: 4, batch: 37, files: 5, ..base.clone() },
        Way { skip: Some((0.0, 0)), dictionaries: true, batch: 3, ..base.clone() },
        Way { sorted: true, partitions: 7, files: 3, ..base },
        one_pass.clone(),
        Way { partitions: 7, files: 1, batch: 10, ..one_pass.clone() },
        Way { partitions: 1, files: 3, batch: 1, ..one_pass.clone() },
        Way { partitions: 3, files: 8, batch: 64, dictionaries: true, ..one_pass.clone() },
        Way { partitions: 4, files: 3, text_users: true, ..one_pass.clone() },
        Way { partitions: 5, files: 1, batch: 7, text_users: true, dictionaries: true, ..one_pass },
        Way { partitions: 1, files: 3, batch: 1, ..merged.clone() },
        Way { partitions: 7, files: 6, batch: 10, text_users: true, ..merged.clone() },
        Way { partitions: 3, files: 4, text_users: true, dictionaries: true, ..merged },
    ];
    for _ in 0..4 {
        ways.push(Way {
            text_users: random.random_bool(0.5),
            dictionaries: random.random_bool(0.5),
            files: random.random_range(1..9),
            partitions: [1, 2, 4, 7][random.random_range(0..4)],
            batch: [2, 3, 64, 1_000, 8_192][random.random_range(0..5)],
            skip: random.random_bool(0.6).then(|| (random.random_range(0.0..0.6), random.random_range(0..2_000))),
            sorted: random.random_bool(0.3),
            declared: random.random_bool(0.5),
            overlapping: random.random_bool(0.5),
        });
    }
    compare("many users", &rows, &ways, QUESTIONS, &mut random);
}

/// One user with nearly all of the events, and users with one event each.
#[test]
fn a_giant_among_users() {
    let mut random = ChaCha8Rng::seed_from_u64(seed().wrapping_add(78));
    let mut rows = draw(&mut random, 900, 1);
    rows.extend(draw(&mut random, 300, 1_000_000));
    let ways: Vec<Way> = [(1, 3), (4, 64), (7, 8_192)]
        .into_iter()
        .map(|(partitions, batch)| Way {
            text_users: partitions == 4,
            dictionaries: partitions == 7,
            files: partitions,
            partitions,
            batch,
            skip: (partitions != 4).then_some((0.0, 0)),
            sorted: false,
            declared: false,
            overlapping: false,
        })
        .flat_map(|way| [Way { declared: true, overlapping: way.partitions == 4, ..way.clone() }, way])
        .collect();
    compare("a giant", &rows, &ways, QUESTIONS, &mut random);
}
