//! Engagement, stickiness and streaks: sets of users of each period, walked through by the civil calendar.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, Int64Array, RecordBatch, StringArray};
use jiff::Timestamp;
use jiff::civil::Date;
use rand::Rng;
use rand::seq::IndexedRandom;
use rand_chacha::ChaCha8Rng;

use super::civil::{AsOf, CLOCKS, Civil, DAYS, UNITS, ZONES};
use super::{close, random, seed};
use crate::ask::Asked;

const COUNTRIES: [Option<&str>; 3] = [None, Some("de"), Some("us")];

#[derive(Debug, Clone, Copy)]
struct Row {
    user: Option<i64>,
    time: Option<i64>,
    active: Option<bool>,
    country: usize,
}

struct Question {
    civil: Civil,
    active: bool,
    by: bool,
    as_of: Option<AsOf>,
}

/// The active periods of each user, by value.
type Active = BTreeMap<usize, BTreeMap<i64, BTreeSet<Date>>>;

impl Question {
    fn draw(random: &mut ChaCha8Rng, unit: &'static str) -> Self {
        let civil = Civil {
            clock: *CLOCKS.choose(random).unwrap(),
            zone: ZONES.choose(random).unwrap(),
            unit,
            week_start: random.random_range(0..7),
        };
        Self { civil, active: random.random_bool(0.5), by: random.random_bool(0.5), as_of: None }
    }

    fn arguments(&self, unit: bool) -> String {
        let mut text = format!("tz => '{}'", self.civil.zone);
        if unit {
            text.push_str(&format!(", unit => '{}'", self.civil.unit));
        }
        if unit && self.civil.unit == "week" {
            text.push_str(&format!(", week_start => '{}'", DAYS[self.civil.week_start]));
        }
        if self.active {
            text.push_str(", active => a");
        }
        if self.by {
            text.push_str(", by => country");
        }
        if let Some(as_of) = self.as_of {
            text.push_str(&format!(", as_of => {}", self.civil.as_of_literal(as_of)));
        }
        text
    }

    fn period(&self, time: i64) -> Date {
        self.civil.first(self.civil.date(time))
    }

    fn active(&self, rows: &[Row]) -> Active {
        let mut active = Active::new();
        for row in rows {
            if let (Some(user), Some(time), true) = (row.user, row.time, !self.active || row.active == Some(true))
                && self.civil.looks_at(self.as_of, time)
            {
                let value = if self.by { row.country } else { 0 };
                active.entry(value).or_default().entry(user).or_default().insert(self.period(time));
            }
        }
        active
    }

    /// The last period that begins before the data end (of dates: not after), and whether it has ended by then.
    fn last(&self, reach: i64) -> (Date, bool) {
        let dates = self.civil.clock.0 == 0;
        let mut period = self.period(reach);
        if !dates && self.civil.begins(period) == reach {
            period = self.civil.later(period, -1);
        }
        let next = self.civil.begins(self.civil.later(period, 1)) - i64::from(dates);
        (period, next <= reach)
    }

    fn label(&self, value: usize) -> Vec<String> {
        if self.by { vec![COUNTRIES[value].unwrap_or("NULL").to_string()] } else { vec![] }
    }
}

fn draw_rows(random: &mut ChaCha8Rng, civil: &Civil) -> Vec<Row> {
    let base: i64 = "2025-03-01T00:00:00Z".parse::<Timestamp>().unwrap().as_second();
    let days: i64 = match civil.unit {
        "day" => random.random_range(3..60),
        "week" => 70,
        "month" => 300,
        _ => 1_500,
    };
    let mut rows = Vec::new();
    for user in 0..random.random_range(1..40) {
        for _ in 0..random.random_range(1..=10) {
            let hour = *[0, 0, 4, 5, 12, 21, 22, 23].choose(random).unwrap();
            let second =
                base + random.random_range(0..days) * 86_400 + hour * 3_600 + [0, -1, 1_800].choose(random).unwrap();
            rows.push(Row {
                user: (user > 0).then_some(user),
                time: random.random_bool(0.97).then(|| civil.ticks(second)),
                active: (!random.random_bool(0.1)).then(|| random.random_bool(0.7)),
                country: random.random_range(0..COUNTRIES.len()),
            });
        }
    }
    rows
}

/// Loads the rows, shuffled over three partitions in small batches.
fn load(asked: &Asked, random: &mut ChaCha8Rng, civil: &Civil, rows: &[Row]) {
    let mut partitions: Vec<Vec<Row>> = vec![Vec::new(); 3];
    for row in rows {
        partitions[random.random_range(0..3)].push(*row);
    }
    let batch = |rows: &[Row]| {
        let columns: Vec<(&str, ArrayRef)> = vec![
            ("user_id", Arc::new(Int64Array::from_iter(rows.iter().map(|r| r.user)))),
            ("ts", civil.clock.1(rows.iter().map(|r| r.time).collect())),
            ("a", Arc::new(BooleanArray::from_iter(rows.iter().map(|r| r.active)))),
            ("country", Arc::new(StringArray::from_iter(rows.iter().map(|r| COUNTRIES[r.country])))),
        ];
        RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, c)| (name, c, true))).unwrap()
    };
    asked.table("t", partitions.iter().map(|rows| rows.chunks(37).chain([&[][..]]).map(batch).collect()).collect());
}

/// Draws rows and how far the relation looks; the reach of the data.
fn situation(random: &mut ChaCha8Rng, question: &mut Question) -> Option<(Vec<Row>, i64)> {
    let rows = draw_rows(random, &question.civil);
    let known = rows.iter().filter(|r| r.time.is_some());
    let (least, most) = (known.clone().filter_map(|r| r.time).min()?, known.filter_map(|r| r.time).max()?);
    if random.random_bool(0.5) {
        let span = 1 + (most - least) / 2;
        let mut time = random.random_range(least + span / 2..=most + span);
        if random.random_bool(0.5) {
            time = question.civil.begins(question.period(time)) - random.random_range(0..2);
        }
        question.as_of = Some(question.civil.as_of(time, random.random_bool(0.4)));
    }
    let reach = question.as_of.map_or(most, |as_of| question.civil.reach(as_of));
    Some((rows, reach))
}

#[test]
fn every_date_of_engagement() {
    let mut random = random(77);
    let asked = Asked::new(2);
    let mut sticky = 0;
    for round in 0..80 {
        let mut question = Question::draw(&mut random, "day");
        let (week, month) = [(7, 30), (1, 1), (1, 28), (5, 9), (7, 7)][random.random_range(0..5)];
        let Some((rows, reach)) = situation(&mut random, &mut question) else { continue };
        load(&asked, &mut random, &question.civil, &rows);
        let arguments = question.arguments(false);
        let sql = format!("SELECT * FROM engagement(t, week_days => {week}, month_days => {month}, {arguments})");
        let got = asked.rows(&sql);

        let active = question.active(&rows);
        let dates = || active.values().flat_map(BTreeMap::values).flatten();
        let mut want: Vec<(Vec<String>, Option<f64>, String)> = Vec::new();
        if let Some(first) = dates().min().copied() {
            let (reached, ended) = question.last(reach);
            let last = reached.max(*dates().max().unwrap());
            for (value, users) in &active {
                let mut date = first;
                while date <= last {
                    let within = |n: i64| {
                        let from = question.civil.later(date, 1 - n);
                        users
                            .values()
                            .map(|days| days.range(from..=date).count())
                            .filter(|n| *n > 0)
                            .collect::<Vec<_>>()
                    };
                    let mut row = question.label(*value);
                    row.push(date.to_string());
                    row.extend([within(1), within(week), within(month)].map(|users| users.len().to_string()));
                    let monthly = within(month);
                    let whole = question.civil.later(first, month - 1) <= date && !monthly.is_empty();
                    let mean = monthly.iter().sum::<usize>() as f64 / month as f64;
                    let stickiness = whole.then(|| mean / monthly.len() as f64);
                    want.push((row, stickiness, (date < reached || (date == reached && ended)).to_string()));
                    date = date.tomorrow().unwrap();
                }
            }
        }
        assert_eq!(got.len(), want.len(), "seed {}, round {round}: {sql}", seed());
        for (got, (row, stickiness, complete)) in got.iter().zip(&want) {
            let at = row.len();
            assert_eq!(got[..at], row[..], "seed {}, round {round}: {sql}", seed());
            match stickiness {
                Some(want) => assert!(close(got[at].parse().unwrap(), *want), "{got:?} {want} {sql}"),
                None => assert_eq!(got[at], "NULL", "{sql}"),
            }
            sticky += usize::from(stickiness.is_some());
            assert_eq!(got[at + 1], *complete, "seed {}, round {round}: {got:?} {sql}", seed());
        }
    }
    assert!(sticky > 500, "the data hardly ask anything: {sticky}");
}

#[test]
fn users_by_active_periods_and_their_runs() {
    let mut random = random(78);
    let asked = Asked::new(2);
    let mut runs = 0;
    for round in 0..100 {
        let unit = UNITS[random.random_range(0..UNITS.len())];
        let mut question = Question::draw(&mut random, unit);
        let Some((rows, reach)) = situation(&mut random, &mut question) else { continue };
        load(&asked, &mut random, &question.civil, &rows);
        let periods = random.random_range(1..12i64);
        let cumulative = random.random_bool(0.5);
        let (reached, ended) = question.last(reach);
        let from = question.civil.later(reached, 1 - periods);
        let active = question.active(&rows);
        let mut want = Vec::new();
        for (value, users) in &active {
            let counts: Vec<i64> =
                users.values().map(|p| p.range(from..=reached).count() as i64).filter(|n| *n > 0).collect();
            if counts.is_empty() {
                continue;
            }
            for n in 1..=periods {
                let users = counts.iter().filter(|c| if cumulative { **c >= n } else { **c == n }).count();
                let mut row = question.label(*value);
                row.extend([n.to_string(), users.to_string(), format!("{:?}", users as f64 / counts.len() as f64)]);
                want.push(row);
            }
        }
        let arguments = question.arguments(true);
        let sql = format!("SELECT * FROM stickiness(t, periods => {periods}, cumulative => {cumulative}, {arguments})");
        assert_eq!(asked.rows(&sql), want, "seed {}, round {round}: {sql}", seed());

        question.by = false;
        let arguments = question.arguments(true);
        let sql = format!("SELECT * FROM streaks(t, {arguments}) ORDER BY user_id");
        let mut want = Vec::new();
        let broken_before = if ended { reached } else { question.civil.later(reached, -1) };
        for (user, periods) in question.active(&rows).remove(&0).unwrap_or_default() {
            let run = |end: Date| {
                let mut length = 0;
                while periods.contains(&question.civil.later(end, -length)) {
                    length += 1;
                }
                length
            };
            let longest = periods.iter().map(|p| run(*p)).max().unwrap();
            let last = *periods.last().unwrap();
            let current = if last >= broken_before { run(last) } else { 0 };
            runs += usize::from(current > 1) + usize::from(longest > current);
            want.push([user, current, longest, periods.len() as i64].map(|n| n.to_string()).to_vec());
        }
        assert_eq!(asked.rows(&sql), want, "seed {}, round {round}: {sql}", seed());
    }
    assert!(runs > 200, "the data hardly ask anything: {runs}");
}
