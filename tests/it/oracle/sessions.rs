//! Sessions by their definition: which instants open one, what each holds, how they are counted.
//!
//! Every rule looks at the whole of a user's instants; nothing is carried along. Rules are drawn together as chance will
//! have it, over users whose events crowd into few instants around two midnights and a change of the clocks.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, Date32Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray,
    TimestampSecondArray,
};
use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use rand::Rng;
use rand::seq::{IndexedRandom, SliceRandom};
use rand_chacha::ChaCha8Rng;
use tenure::algo::calendar::{Calendar, Clock, Unit};
use tenure::algo::event::Event;
use tenure::algo::session::{Bounce, Ranks, Rules, role, sessions};

use super::{close, random, seed};
use crate::ask::Asked;

const PAGES: [Option<&str>; 4] = [None, Some(""), Some("/a"), Some("/b")];
const CAMPAIGNS: [Option<&str>; 5] = [None, None, None, Some("x"), Some("y")];
const COUNTRIES: [Option<&str>; 3] = [None, Some("de"), Some("us")];
const ZONES: [&str; 4] = ["UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata"];
/// 2025-03-29 20:00 UTC: Berlin's midnight is at 23:00, its clocks change at 01:00, New York's midnight is at 04:00.
const BASE: i64 = 1_743_278_400;

#[derive(Debug, Clone, Copy)]
struct Row {
    id: i64,
    user: Option<i64>,
    time: Option<i64>,
    page: Option<&'static str>,
    campaign: Option<&'static str>,
    country: Option<&'static str>,
    seq: Option<i64>,
    /// View, conversion, key event, start, end, exclude.
    flags: [Option<bool>; 6],
}

/// Ticks a second (0 for dates) and how a column of it is made.
type Ticks = (i64, fn(Vec<Option<i64>>) -> ArrayRef);

const CLOCKS: [Ticks; 3] = [
    (1, |t| Arc::new(TimestampSecondArray::from(t))),
    (1_000_000, |t| Arc::new(TimestampMicrosecondArray::from(t).with_timezone("Asia/Tokyo"))),
    (0, |t| Arc::new(Date32Array::from_iter(t.into_iter().map(|t| t.map(|t| t as i32))))),
];

#[derive(Debug, Clone)]
struct Question {
    clock: Ticks,
    zone: &'static str,
    /// In steps of ten minutes; of days where times are dates.
    gap: i64,
    inclusive: bool,
    longest: Option<i64>,
    midnight: bool,
    campaign: bool,
    /// Which of the conditions are given.
    given: [bool; 6],
    page: bool,
    engaged: bool,
    by: &'static [&'static str],
    /// `first => url` and `last => utm`, where no other property is called so.
    first: bool,
    last: bool,
    order: bool,
    period: Option<&'static str>,
}

impl Question {
    fn draw(random: &mut ChaCha8Rng) -> Self {
        let mut given: [bool; 6] = std::array::from_fn(|_| random.random_bool(0.5));
        let engaged = random.random_bool(0.4);
        // A key event is asked for only where it matters.
        given[2] &= engaged;
        let by: &'static [&'static str] = [&[][..], &["country"], &["utm", "country"]].choose(random).unwrap();
        Self {
            clock: *CLOCKS.choose(random).unwrap(),
            zone: ZONES.choose(random).unwrap(),
            gap: random.random_range(1..6),
            inclusive: random.random_bool(0.5),
            longest: random.random_bool(0.4).then(|| random.random_range(1..7)),
            midnight: random.random_bool(0.4),
            campaign: random.random_bool(0.4),
            given,
            page: random.random_bool(0.7),
            engaged,
            by,
            first: random.random_bool(0.3),
            last: !by.contains(&"utm") && random.random_bool(0.3),
            order: random.random_bool(0.4),
            period: [None, Some("day"), Some("week"), Some("month")].choose(random).unwrap().to_owned(),
        }
    }

    /// Length of a step in ticks.
    fn step(&self) -> i64 {
        if self.clock.0 == 0 { 1 } else { 600 * self.clock.0 }
    }

    fn date(&self, time: i64) -> Date {
        if self.clock.0 == 0 {
            return jiff::civil::date(1970, 1, 1).checked_add(jiff::Span::new().days(time)).unwrap();
        }
        let at = Timestamp::from_second(time.div_euclid(self.clock.0)).unwrap();
        at.to_zoned(TimeZone::get(self.zone).unwrap()).date()
    }

    fn seconds(&self, ticks: i64) -> f64 {
        if self.clock.0 == 0 { ticks as f64 * 86_400.0 } else { ticks as f64 / self.clock.0 as f64 }
    }

    fn holds(&self, row: &Row, condition: usize) -> bool {
        self.given[condition] && row.flags[condition] == Some(true)
    }

    fn is_view(&self, row: &Row) -> bool {
        match self.given[0] {
            true => row.flags[0] == Some(true),
            false => !self.page || row.page.is_some(),
        }
    }

    /// Without a key event of its own, the conversion is one.
    fn engages(&self, row: &Row) -> bool {
        self.holds(row, if self.given[2] { 2 } else { 1 })
    }

    fn order(&self, row: &Row) -> Option<i64> {
        row.seq.filter(|_| self.order)
    }

    fn property(&self, row: &Row) -> Vec<Option<&'static str>> {
        self.by.iter().map(|name| if *name == "utm" { row.campaign } else { row.country }).collect()
    }

    fn period(&self, time: i64) -> Option<Date> {
        let date = self.date(time);
        self.period.map(|period| match period {
            "day" => date,
            "week" => {
                let back = i64::from(date.weekday().to_monday_zero_offset());
                date.checked_sub(jiff::Span::new().days(back)).unwrap()
            }
            _ => date.first_of_month(),
        })
    }

    /// The arguments that all three relations take.
    fn arguments(&self) -> String {
        let unit = if self.clock.0 == 0 { ("days", 1) } else { ("minutes", 10) };
        let interval = |steps: i64| format!("INTERVAL '{} {}'", steps * unit.1, unit.0);
        let mut text = format!(
            "gap => {}, boundary => '{}', bounce => '{}'",
            interval(self.gap),
            if self.inclusive { "inclusive" } else { "exclusive" },
            if self.engaged { "engaged" } else { "depth" }
        );
        let mut add = |given: bool, argument: String| {
            if given {
                text += ", ";
                text += &argument;
            }
        };
        add(self.longest.is_some(), format!("max_length => {}", interval(self.longest.unwrap_or(0))));
        add(self.midnight, "cut_midnight => true".into());
        add(self.campaign, "cut_campaign => utm".into());
        let conditions = ["views", "", "key_event", "start_when", "end_when", "exclude"];
        for (at, name) in conditions.iter().enumerate().filter(|(at, _)| *at != 1) {
            add(self.given[at], format!("{name} => f{at}"));
        }
        add(self.page, "page => url".into());
        add(!self.by.is_empty(), format!("by => [{}]", self.by.join(", ")));
        add(self.first, "first => url".into());
        add(self.last, "last => [utm]".into());
        add(self.order, "order_key => seq".into());
        text
    }

    /// The names of a session's properties.
    fn names(&self) -> Vec<&'static str> {
        let known = [self.first.then_some("url"), self.last.then_some("utm")];
        self.by.iter().copied().chain(known.into_iter().flatten()).collect()
    }

    fn zone(&self, needed: bool) -> String {
        if needed { format!(", tz => '{}'", self.zone) } else { String::new() }
    }

    fn conversion(&self) -> &'static str {
        if self.given[1] { ", conversion => f1" } else { "" }
    }
}

#[derive(Debug)]
struct Visit {
    user: i64,
    number: i64,
    rows: Vec<Row>,
}

/// The sessions of one user.
fn visits(question: &Question, user: i64, rows: &[Row]) -> Vec<Visit> {
    let mut instants: BTreeMap<i64, Vec<Row>> = BTreeMap::new();
    for row in rows.iter().filter(|row| !question.holds(row, 5)) {
        if let Some(time) = row.time {
            instants.entry(time).or_default().push(*row);
        }
    }
    let instants: Vec<(i64, Vec<Row>)> = instants.into_iter().collect();
    let mut opens: Vec<bool> = Vec::new();
    for at in 0..instants.len() {
        opens.push(at == 0 || opens_at(question, &instants, &opens, at));
    }
    let mut found: Vec<Visit> = Vec::new();
    for ((_, rows), opens) in instants.into_iter().zip(opens) {
        if opens {
            found.push(Visit { user, number: found.len() as i64 + 1, rows: Vec::new() });
        }
        found.last_mut().unwrap().rows.extend(rows);
    }
    found
}

/// Whether instant `at`, which is not the first, opens a session, given which of those before it do.
fn opens_at(question: &Question, instants: &[(i64, Vec<Row>)], opens: &[bool], at: usize) -> bool {
    let ((before, last_rows), (time, rows)) = (&instants[at - 1], &instants[at]);
    let (gap, limit) = (time - before, question.gap * question.step());
    let first = opens.iter().rposition(|opens| *opens).unwrap();
    let known = instants[first..at].iter().rev().find_map(|(_, rows)| {
        let campaigns = rows.iter().filter(|row| row.campaign.is_some());
        campaigns.map(|row| (question.order(row), row.campaign)).max()
    });
    let other = |row: &Row| row.campaign.is_some() && known.is_none_or(|(_, known)| row.campaign != known);
    let start = instants[first].0;
    gap > limit
        || (question.inclusive && gap == limit)
        || (question.midnight && question.date(*before) != question.date(*time))
        || (question.campaign && rows.iter().any(other))
        || rows.iter().any(|row| question.holds(row, 3))
        || last_rows.iter().any(|row| question.holds(row, 4))
        || question.longest.is_some_and(|longest| time - start > longest * question.step())
}

impl Visit {
    fn start(&self) -> i64 {
        self.rows.iter().map(|row| row.time.unwrap()).min().unwrap()
    }

    fn end(&self) -> i64 {
        self.rows.iter().map(|row| row.time.unwrap()).max().unwrap()
    }

    /// Time and page of the views, in order.
    fn views(&self, question: &Question) -> Vec<(i64, Option<&'static str>)> {
        let views = self.rows.iter().filter(|row| question.is_view(row));
        let mut views: Vec<_> = views.map(|row| (row.time.unwrap(), question.order(row), row.page)).collect();
        views.sort();
        views.into_iter().map(|(time, _, page)| (time, page.filter(|_| question.page))).collect()
    }

    fn bounce(&self, question: &Question) -> bool {
        let short = question.seconds(self.end() - self.start()) <= 10.0;
        let quiet = !self.rows.iter().any(|row| question.engages(row));
        self.views(question).len() <= 1 && (!question.engaged || (short && quiet))
    }

    fn converted(&self, question: &Question) -> bool {
        self.rows.iter().any(|row| question.holds(row, 1))
    }

    fn property(&self, question: &Question) -> Vec<Option<&'static str>> {
        let first = self.rows.iter().filter(|row| row.time == Some(self.start()));
        let mut property = first.map(|row| (question.order(row), question.property(row))).min().unwrap().1;
        if question.first {
            let known = self.rows.iter().filter(|row| row.page.is_some());
            property.push(known.map(|row| (row.time, question.order(row), row.page)).min().and_then(|k| k.2));
        }
        if question.last {
            let known = self.rows.iter().filter(|row| row.campaign.is_some());
            property.push(known.map(|row| (row.time, question.order(row), row.campaign)).max().and_then(|k| k.2));
        }
        property
    }
}

fn text(value: Option<&str>) -> String {
    value.map_or("NULL".to_string(), str::to_string)
}

fn texts(values: &[Option<&str>]) -> Vec<String> {
    values.iter().map(|value| text(*value)).collect()
}

fn number(value: Option<f64>) -> String {
    value.map_or("NULL".to_string(), |value| format!("{value:?}"))
}

fn sessions_of(question: &Question, visits: &[Visit]) -> Vec<Vec<String>> {
    let row = |visit: &Visit| {
        let views = visit.views(question);
        let converted = if question.given[1] { visit.converted(question).to_string() } else { "NULL".to_string() };
        let mut row = texts(&visit.property(question));
        row.extend([
            visit.user.to_string(),
            visit.number.to_string(),
            visit.start().to_string(),
            visit.end().to_string(),
            number(Some(question.seconds(visit.end() - visit.start()))),
            visit.rows.len().to_string(),
            views.len().to_string(),
            visit.bounce(question).to_string(),
            text(views.first().and_then(|view| view.1)),
            text(views.last().and_then(|view| view.1)),
            converted,
        ]);
        row
    };
    visits.iter().map(row).collect()
}

fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let last = values.len().checked_sub(1)?;
    Some((values[last / 2] + values[last.div_ceil(2)]) / 2.0)
}

fn mean(values: &[f64]) -> Option<f64> {
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

/// Property and period.
type Group<'a> = (Vec<Option<&'a str>>, Option<Date>);

fn summary_of(question: &Question, visits: &[Visit]) -> Vec<Vec<String>> {
    let mut groups: BTreeMap<Group, Vec<&Visit>> = BTreeMap::new();
    if question.names().is_empty() && question.period.is_none() {
        groups.insert((Vec::new(), None), Vec::new());
    }
    for visit in visits {
        groups.entry((visit.property(question), question.period(visit.start()))).or_default().push(visit);
    }
    let row = |((by, period), visits): (&Group, &Vec<&Visit>)| {
        let share = |is: &dyn Fn(&Visit) -> f64| number(mean(&visits.iter().map(|v| is(v)).collect::<Vec<_>>()));
        let seconds: Vec<f64> = visits.iter().map(|v| question.seconds(v.end() - v.start())).collect();
        let mut row = texts(by);
        row.extend(period.map(|date| date.to_string()));
        row.extend([
            visits.len().to_string(),
            visits.iter().map(|v| v.user).collect::<BTreeSet<_>>().len().to_string(),
            share(&|v| f64::from(v.bounce(question))),
            number(mean(&seconds)),
            number(median(seconds)),
            share(&|v| v.rows.len() as f64),
            share(&|v| v.views(question).len() as f64),
            if question.given[1] { share(&|v| f64::from(v.converted(question))) } else { "NULL".to_string() },
        ]);
        row
    };
    groups.iter().map(row).collect()
}

#[derive(Default)]
struct Page {
    views: usize,
    users: BTreeSet<i64>,
    sessions: BTreeSet<(i64, i64)>,
    dwells: Vec<f64>,
    entries: usize,
    exits: usize,
    bounces: usize,
}

fn pages_of(question: &Question, visits: &[Visit]) -> Vec<Vec<String>> {
    let mut pages: BTreeMap<(Vec<Option<&str>>, Option<&str>), Page> = BTreeMap::new();
    for visit in visits {
        let views = visit.views(question);
        for (at, (time, page)) in views.iter().enumerate() {
            let page = pages.entry((visit.property(question), *page)).or_default();
            page.views += 1;
            page.users.insert(visit.user);
            page.sessions.insert((visit.user, visit.number));
            page.dwells.extend(views.get(at + 1).map(|next| question.seconds(next.0 - time)));
            page.entries += usize::from(at == 0);
            page.exits += usize::from(at + 1 == views.len());
            page.bounces += usize::from(at == 0 && visit.bounce(question));
        }
    }
    let row = |((by, page), told): (&(Vec<Option<&str>>, Option<&str>), &Page)| {
        let mut row = texts(by);
        row.extend([
            text(*page),
            told.views.to_string(),
            told.users.len().to_string(),
            told.sessions.len().to_string(),
            number(mean(&told.dwells)),
            number(median(told.dwells.clone())),
            told.entries.to_string(),
            told.exits.to_string(),
            number(Some(told.exits as f64 / told.views as f64)),
            told.bounces.to_string(),
        ]);
        row
    };
    pages.iter().map(row).collect()
}

fn rows_of(random: &mut ChaCha8Rng, question: &Question, user: Option<i64>, id: &mut i64) -> Vec<Row> {
    let often = [0.1, 0.3, 0.6][random.random_range(0..3)];
    let range = [4, 12, 60][random.random_range(0..3)];
    let instants: Vec<i64> = (0..random.random_range(1..=6))
        .map(|_| {
            let step = random.random_range(0..range);
            match question.clock.0 {
                0 => BASE / 86_400 + step,
                ticks => (BASE + step * 600 + [0, 0, 0, 10, 11][random.random_range(0..5)]) * ticks,
            }
        })
        .collect();
    (0..random.random_range(0..=9))
        .map(|_| {
            *id += 1;
            Row {
                id: *id,
                user,
                time: random.random_bool(0.95).then(|| *instants.choose(random).unwrap()),
                page: *PAGES.choose(random).unwrap(),
                campaign: *CAMPAIGNS.choose(random).unwrap(),
                country: *COUNTRIES.choose(random).unwrap(),
                seq: random.random_bool(0.8).then(|| random.random_range(0..3)),
                flags: std::array::from_fn(|_| random.random_bool(0.9).then(|| random.random_bool(often))),
            }
        })
        .collect()
}

fn batch(rows: &[Row], question: &Question) -> RecordBatch {
    let strings = |value: fn(&Row) -> Option<&'static str>| -> ArrayRef {
        Arc::new(rows.iter().map(value).collect::<StringArray>())
    };
    let mut columns: Vec<(String, ArrayRef)> = vec![
        ("id".into(), Arc::new(Int64Array::from_iter_values(rows.iter().map(|r| r.id)))),
        ("user_id".into(), Arc::new(Int64Array::from_iter(rows.iter().map(|r| r.user)))),
        ("ts".into(), question.clock.1(rows.iter().map(|r| r.time).collect())),
        ("url".into(), strings(|r| r.page)),
        ("utm".into(), strings(|r| r.campaign)),
        ("country".into(), strings(|r| r.country)),
        ("seq".into(), Arc::new(Int64Array::from_iter(rows.iter().map(|r| r.seq)))),
    ];
    for flag in 0..6 {
        let column: BooleanArray = rows.iter().map(|r| r.flags[flag]).collect();
        columns.push((format!("f{flag}"), Arc::new(column)));
    }
    RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, c)| (name, c, true))).unwrap()
}

/// Rows in any order; numbers may differ in their last digits.
fn assert_same(told: &str, mut got: Vec<Vec<String>>, mut want: Vec<Vec<String>>) {
    got.sort();
    want.sort();
    let same = |got: &Vec<String>, want: &Vec<String>| {
        got.len() == want.len()
            && got.iter().zip(want).all(|(g, w)| match (g.parse::<f64>(), w.parse::<f64>()) {
                (Ok(g), Ok(w)) => close(g, w),
                _ => g == w,
            })
    };
    let differs = got.iter().zip(&want).find(|(got, want)| !same(got, want));
    assert!(differs.is_none(), "seed {}, {told}\n(engine, brute force) {differs:#?}", seed());
    assert_eq!(got.len(), want.len(), "seed {}, {told}", seed());
}

/// All rules at once: the three relations and the window function, over six thousand users.
#[test]
fn sessions_of_six_thousand_users() {
    let mut random = random(21);
    let asked = Asked::new(3);
    for round in 0..40 {
        let question = Question::draw(&mut random);
        let mut id = 0;
        let users: Vec<Vec<Row>> = (0..150).map(|user| rows_of(&mut random, &question, Some(user), &mut id)).collect();
        let mut rows: Vec<Row> = users.iter().flatten().copied().collect();
        rows.extend((0..10).flat_map(|_| rows_of(&mut random, &question, None, &mut id)));
        rows.shuffle(&mut random);
        let mut partitions = vec![Vec::new(); 3];
        let size = [7, 100, 1000][round % 3];
        rows.chunks(size).enumerate().for_each(|(at, rows)| partitions[at % 3].push(batch(rows, &question)));
        asked.table("t", partitions);

        let visits: Vec<Visit> =
            users.iter().enumerate().flat_map(|(user, rows)| visits(&question, user as i64, rows)).collect();
        let by = question.names().iter().map(|name| format!("{name}, ")).collect::<String>();
        let of_sessions =
            format!("{}{}{}", question.arguments(), question.conversion(), question.zone(question.midnight));
        let sql = format!(
            "SELECT {by}user_id, session_number, arrow_cast(started_at, 'Int64'), arrow_cast(ended_at, 'Int64'),
               duration_seconds, events, views, bounce, entry, exit, converted
             FROM sessions(t, {of_sessions})"
        )
        .replace("arrow_cast(started_at, 'Int64')", &ticks(&question, "started_at"))
        .replace("arrow_cast(ended_at, 'Int64')", &ticks(&question, "ended_at"));
        assert_same(&format!("round {round}: {sql}"), asked.rows(&sql), sessions_of(&question, &visits));

        let period = question.period.map_or(String::new(), |period| format!(", period => '{period}'"));
        let zone = question.zone(question.midnight || question.period.is_some());
        let sql = format!(
            "SELECT * FROM session_summary(t, {}{}{period}{zone})",
            question.arguments(),
            question.conversion()
        );
        assert_same(&format!("round {round}: {sql}"), asked.rows(&sql), summary_of(&question, &visits));

        // Without the conversion as a key event, and with pages.
        let paged = Question {
            page: true,
            given: {
                let mut given = question.given;
                given[1] = false;
                given
            },
            ..question.clone()
        };
        let visits_of_pages: Vec<Visit> =
            users.iter().enumerate().flat_map(|(user, rows)| self::visits(&paged, user as i64, rows)).collect();
        let sql = format!("SELECT * FROM pages(t, {}{})", paged.arguments(), paged.zone(paged.midnight));
        assert_same(&format!("round {round}: {sql}"), asked.rows(&sql), pages_of(&paged, &visits_of_pages));

        let sql = format!(
            "SELECT id, {} OVER (PARTITION BY user_id ORDER BY ts) FROM t WHERE user_id IS NOT NULL",
            numbering(&question)
        );
        let mut want: BTreeMap<i64, String> = users.iter().flatten().map(|row| (row.id, "NULL".to_string())).collect();
        for visit in &visits {
            want.extend(visit.rows.iter().map(|row| (row.id, visit.number.to_string())));
        }
        let want = want.into_iter().map(|(id, number)| vec![id.to_string(), number]).collect();
        assert_same(&format!("round {round}: {sql}"), asked.rows(&sql), want);
    }
}

/// A time as ticks.
fn ticks(question: &Question, column: &str) -> String {
    match question.clock.0 {
        0 => format!("CAST(arrow_cast({column}, 'Int32') AS BIGINT)"),
        _ => format!("arrow_cast({column}, 'Int64')"),
    }
}

/// The same rules as options of the window function.
fn numbering(question: &Question) -> String {
    let unit = if question.clock.0 == 0 { ("days", 1) } else { ("minutes", 10) };
    let interval = |steps: i64| format!("INTERVAL '{} {}'", steps * unit.1, unit.0);
    let mut options = vec![format!("'boundary': '{}'", if question.inclusive { "inclusive" } else { "exclusive" })];
    options.extend(question.longest.map(|longest| format!("'max_length': {}", interval(longest))));
    if question.midnight {
        options.extend(["'cut_midnight': true".to_string(), format!("'tz': '{}'", question.zone)]);
    }
    for (given, option) in [
        (question.campaign, "'cut_campaign': utm"),
        (question.given[3], "'start_when': f3"),
        (question.given[4], "'end_when': f4"),
        (question.given[5], "'exclude': f5"),
        (question.order, "'order_key': seq"),
    ] {
        options.extend(given.then(|| option.to_string()));
    }
    format!("sessionize(ts, {}, {{{}}})", interval(question.gap), options.join(", "))
}

/// The place of each value among all, from 1; 0 for what is not known.
fn places<T: Ord>(values: Vec<Option<T>>) -> Vec<u32> {
    let known: BTreeSet<&T> = values.iter().flatten().collect();
    let place =
        |value: &Option<T>| value.as_ref().map_or(0, |v| known.iter().take_while(|k| **k < v).count() as u32 + 1);
    values.iter().map(place).collect()
}

/// The kernel itself, every rule in ticks.
#[test]
fn the_kernel_on_twenty_thousand_users() {
    let mut random = random(22);
    for round in 0..20_000 {
        let mut question = Question::draw(&mut random);
        question.given[5] = false;
        (question.first, question.last) = (false, false);
        let mut rows = rows_of(&mut random, &question, Some(1), &mut 0);
        rows.retain(|row| row.time.is_some());
        rows.sort_by_key(|row| row.time);
        let mask = |row: &Row| {
            let roles = [
                (question.is_view(row), role::VIEW),
                (question.holds(row, 1), role::CONVERSION),
                (question.engages(row), role::KEY),
                (question.holds(row, 3), role::START),
                (question.holds(row, 4), role::END),
            ];
            roles.into_iter().filter(|(is, _)| *is).fold(0, |mask, (_, role)| mask | role)
        };
        let events: Vec<Event> =
            (0u32..).zip(&rows).map(|(tag, row)| Event { time: row.time.unwrap(), mask: mask(row), tag }).collect();
        let only = |given: bool, places: Vec<u32>| if given { places } else { Vec::new() };
        let order = only(question.order, places(rows.iter().map(|r| r.seq).collect()));
        let page = only(question.page, places(rows.iter().map(|r| r.page).collect()));
        let campaign = only(question.campaign, places(rows.iter().map(|r| r.campaign).collect()));
        let by = places(rows.iter().map(|r| Some(question.property(r))).collect());
        let ranks = Ranks { order: &order, page: &page, campaign: &campaign, by: &by };
        let (clock, ten_seconds) = match question.clock.0 {
            0 => (Clock::Dates, 0),
            ticks => (Clock::Instants(ticks), 10 * ticks.unsigned_abs()),
        };
        let step = question.step().unsigned_abs();
        let mut rules = Rules {
            gap: question.gap.unsigned_abs() * step - u64::from(question.inclusive),
            max_length: question.longest.map(|longest| longest.unsigned_abs() * step),
            midnight: question.midnight.then(|| Calendar::new(Unit::Day, question.zone, 0, clock).unwrap()),
        };
        let bounce = if question.engaged { Bounce::Engaged(ten_seconds) } else { Bounce::Depth };
        let mut found = Vec::new();
        sessions(&events, &mut rules, bounce, &ranks, &mut found).unwrap();
        let page_of = |tag: Option<u32>| tag.and_then(|tag| rows[tag as usize].page).filter(|_| question.page);
        let got: Vec<Vec<String>> = (1..)
            .zip(&found)
            .map(|(number, session)| {
                let mut row = texts(&question.property(&rows[session.by as usize]));
                row.extend([
                    "1".to_string(),
                    number.to_string(),
                    session.start.to_string(),
                    session.end.to_string(),
                    self::number(Some(question.seconds(session.duration() as i64))),
                    (session.to - session.from).to_string(),
                    session.views.to_string(),
                    session.bounce.to_string(),
                    text(page_of(session.entry)),
                    text(page_of(session.exit)),
                    if question.given[1] { session.converted.to_string() } else { "NULL".to_string() },
                ]);
                row
            })
            .collect();
        let want = sessions_of(&question, &visits(&question, 1, &rows));
        assert_eq!(got, want, "seed {}, round {round}: {question:?}\n{rows:#?}", seed());
    }
}

/// The made shop knows how many visits each user made, and how many events: gaps above 30 minutes lie between them.
#[test]
fn the_visits_of_the_shop_are_those_that_were_made() {
    let asked = Asked::workspace("shop");
    let wrong = "SELECT count(*) FROM users JOIN (
        SELECT user_id, count(*) AS visits, sum(events) AS seen, max(session_number) AS last, count(DISTINCT session_id) AS ids
        FROM sessions(events, gap => INTERVAL '30 minutes') GROUP BY user_id) AS s ON s.user_id = users.user_id
      WHERE ";
    assert_eq!(asked.one(&format!("{wrong} true")), "2000");
    assert_eq!(
        asked.one(&format!(
            "{wrong} visits <> users.sessions OR seen <> users.events OR last <> visits OR ids <> visits"
        )),
        "0"
    );
    // One kernel: what the summary says is what the table of sessions says.
    let counted = asked.rows(
        "SELECT channel, date_trunc('month', started_at)::DATE AS period, count(*), count(DISTINCT user_id),
           avg(CAST(bounce AS INT)), avg(duration_seconds), median(duration_seconds), avg(events), avg(views), avg(CAST(converted AS INT))
         FROM sessions(events, page => page, conversion => 'purchase', by => channel) GROUP BY channel, period",
    );
    let told = asked.rows(
        "SELECT * FROM session_summary(events, page => page, conversion => 'purchase', by => channel, period => 'month')",
    );
    assert!(told.len() > 10);
    assert_same("summary and sessions", told, counted);
    // Views, entries and bounces of all pages are those of all sessions.
    let sums = "SELECT sum(views), sum(entries), sum(exits), sum(bounces) FROM pages(events, page => page)";
    let of_sessions = "SELECT sum(views), count(*) FILTER (WHERE views > 0) AS entries, count(exit) AS exits,
      count(*) FILTER (WHERE bounce AND views > 0) AS bounces FROM sessions(events, page => page)";
    assert_eq!(asked.rows(sums), asked.rows(of_sessions));
}
