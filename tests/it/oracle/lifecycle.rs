//! Lifecycle: the users of each period as a set, walked through period by period.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, Int64Array, RecordBatch, StringArray};
use jiff::Timestamp;
use jiff::civil::Date;
use rand::Rng;
use rand::seq::{IndexedMutRandom, IndexedRandom};
use rand_chacha::ChaCha8Rng;

use super::civil::{AsOf, CLOCKS, Civil, DAYS, UNITS, ZONES};
use super::{random, seed};
use crate::ask::Asked;

const COUNTRIES: [Option<&str>; 3] = [None, Some("de"), Some("us")];

#[derive(Debug, Clone, Copy)]
struct Row {
    user: Option<i64>,
    time: Option<i64>,
    active: Option<bool>,
    /// In ticks of its own clock.
    birth: Option<i64>,
    country: usize,
}

struct Question {
    civil: Civil,
    /// The same calendar for the births, whose column may be of another type.
    births: Civil,
    /// Whether the call says `active`, `birth`, `by`.
    active: bool,
    birth: bool,
    by: bool,
    /// Days without an activity after which a user is dormant.
    inactive_after: Option<i64>,
    as_of: Option<AsOf>,
}

impl Question {
    fn draw(random: &mut ChaCha8Rng) -> Self {
        let civil = Civil {
            clock: *CLOCKS.choose(random).unwrap(),
            zone: ZONES.choose(random).unwrap(),
            unit: UNITS.choose(random).unwrap(),
            week_start: random.random_range(0..7),
        };
        Self {
            births: Civil { clock: *CLOCKS.choose(random).unwrap(), ..civil.clone() },
            civil,
            active: random.random_bool(0.5),
            birth: random.random_bool(0.5),
            by: random.random_bool(0.5),
            inactive_after: random.random_bool(0.5).then(|| *[1, 2, 7, 30, 45].choose(random).unwrap()),
            as_of: None,
        }
    }

    fn arguments(&self) -> String {
        let mut text = format!("unit => '{}', tz => '{}'", self.civil.unit, self.civil.zone);
        if self.civil.unit == "week" {
            text.push_str(&format!(", week_start => '{}'", DAYS[self.civil.week_start]));
        }
        for (given, argument) in
            [(self.active, "active => a"), (self.birth, "birth => birth"), (self.by, "by => country")]
        {
            if given {
                text.push_str(&format!(", {argument}"));
            }
        }
        if let Some(days) = self.inactive_after {
            text.push_str(&format!(", inactive_after => INTERVAL '{days} days'"));
        }
        if let Some(as_of) = self.as_of {
            text.push_str(&format!(", as_of => {}", self.civil.as_of_literal(as_of)));
        }
        text
    }

    fn period(&self, time: i64) -> Date {
        self.civil.first(self.civil.date(time))
    }

    /// The rows of the answer as text, without `quick_ratio`; `reach` is how far the data go.
    fn answer(&self, rows: &[Row], reach: i64) -> Vec<Vec<String>> {
        let mut users: BTreeMap<i64, Vec<&Row>> = BTreeMap::new();
        for row in rows {
            let counts = !self.active || row.active == Some(true);
            if let (Some(user), Some(time), true) = (row.user, row.time, counts)
                && self.civil.looks_at(self.as_of, time)
            {
                users.entry(user).or_default().push(row);
            }
        }
        // Of each value of the property: who was active when, and when everybody was born.
        let mut active: BTreeMap<usize, BTreeMap<Date, BTreeSet<i64>>> = BTreeMap::new();
        let mut born: BTreeMap<i64, Date> = BTreeMap::new();
        for (user, rows) in &users {
            let first = rows.iter().map(|r| r.time.unwrap()).min().unwrap();
            let country = rows.iter().filter(|r| r.time == Some(first)).map(|r| r.country).min().unwrap();
            let country = if self.by { country } else { 0 };
            for row in rows {
                let period = self.period(row.time.unwrap());
                active.entry(country).or_default().entry(period).or_default().insert(*user);
            }
            let given = rows.iter().filter_map(|r| r.birth).map(|b| self.births.first(self.births.date(b))).min();
            let given = given.filter(|_| self.birth);
            born.insert(*user, self.period(first).min(given.unwrap_or(Date::MAX)));
        }
        let Some(first) = active.values().filter_map(|periods| periods.keys().next()).min().copied() else {
            return Vec::new();
        };
        let last = *active.values().filter_map(|periods| periods.keys().last()).max().unwrap();
        let last_tick = |period: Date| {
            let next = self.civil.later(period, 1);
            // Of dates the last date, of instants the first instant after it.
            self.civil.begins(next) - i64::from(self.civil.clock.0 == 0)
        };
        // The last local day that is over.
        let over = match self.civil.clock.0 {
            0 => self.civil.date(reach),
            _ => self.civil.date(reach).yesterday().unwrap(),
        };
        let dates = |user: &i64| users[user].iter().map(|r| self.civil.date(r.time.unwrap()));
        // Whether somebody is alive at the end of a period, or on the last day that is over in it: every day is asked.
        let alive = |user: &i64, next: Date| -> bool {
            let Some(days) = self.inactive_after else { return false };
            let end = next.yesterday().unwrap().min(over);
            dates(user).any(|date| date < next && (end.since(date).unwrap().get_days() as i64) < days)
        };
        let nobody = BTreeSet::new();
        let mut answer = Vec::new();
        for (country, periods) in &active {
            let mut before = BTreeSet::new();
            let mut period = first;
            // A period that begins at an instant is reached by a later one only.
            while period <= last
                || self.civil.begins(period) < reach
                || (self.civil.clock.0 == 0 && self.civil.begins(period) == reach)
            {
                let now = periods.get(&period).unwrap_or(&nobody);
                let next = self.civil.later(period, 1);
                let everybody: BTreeSet<i64> = periods.values().flatten().copied().collect();
                let stay: BTreeSet<i64> = match self.inactive_after {
                    None => now.clone(),
                    Some(_) => everybody.iter().filter(|user| alive(user, next)).copied().collect(),
                };
                let new = now.iter().filter(|u| born[u] == period).count();
                let returning = now.intersection(&before).filter(|u| born[u] < period).count();
                let resurrected = now.difference(&before).filter(|u| born[u] < period).count();
                let dormant = before.union(now).filter(|user| !stay.contains(user)).count();
                let mut row = if self.by { vec![COUNTRIES[*country].unwrap_or("NULL").to_string()] } else { vec![] };
                row.push(period.to_string());
                row.extend([now.len(), new, returning, resurrected, dormant].map(|n| n.to_string()));
                row.extend(self.inactive_after.map(|_| stay.len().to_string()));
                row.push(match dormant {
                    0 => "NULL".to_string(),
                    _ => format!("{:?}", (new + resurrected) as f64 / dormant as f64),
                });
                row.push((last_tick(period) <= reach).to_string());
                answer.push(row);
                before = stay;
                period = next;
            }
        }
        answer
    }
}

/// Users whose events crowd around midnights and changes of clocks; some never seen again, some with gaps.
fn draw_rows(random: &mut ChaCha8Rng, question: &Question) -> Vec<Row> {
    let base: i64 = "2025-03-01T00:00:00Z".parse::<Timestamp>().unwrap().as_second();
    let days: i64 = match question.civil.unit {
        "day" => random.random_range(3..40),
        "week" => 70,
        "month" => 300,
        _ => 1_500,
    };
    let mut rows = Vec::new();
    for user in 0..random.random_range(1..60) {
        let user = (user > 0).then_some(user);
        let favourites: Vec<i64> = (0..3).map(|_| random.random_range(0..days)).collect();
        for _ in 0..random.random_range(1..=8) {
            let second = |random: &mut ChaCha8Rng| {
                let day = match random.random_bool(0.5) {
                    true => *favourites.choose(random).unwrap(),
                    false => random.random_range(0..days),
                };
                let hour = *[0, 0, 4, 5, 12, 21, 22, 23].choose(random).unwrap();
                base + day * 86_400 + hour * 3_600 + [0, 0, -1, 1_800].choose(random).unwrap()
            };
            let (time, birth) = (second(random), second(random) - random.random_range(0..20) * 86_400);
            rows.push(Row {
                user,
                time: random.random_bool(0.97).then(|| question.civil.ticks(time)),
                active: (!random.random_bool(0.1)).then(|| random.random_bool(0.7)),
                birth: random.random_bool(0.8).then(|| question.births.ticks(birth)),
                country: random.random_range(0..COUNTRIES.len()),
            });
        }
    }
    rows
}

/// Loads the rows, shuffled over three partitions in small batches.
fn load(asked: &Asked, random: &mut ChaCha8Rng, question: &Question, rows: &[Row]) {
    let mut partitions: Vec<Vec<Row>> = vec![Vec::new(); 3];
    for row in rows {
        let partition = partitions.choose_mut(random).unwrap();
        let at = random.random_range(0..=partition.len());
        partition.insert(at, *row);
    }
    let batch = |rows: &[Row]| {
        let columns: Vec<(&str, ArrayRef)> = vec![
            ("user_id", Arc::new(Int64Array::from_iter(rows.iter().map(|r| r.user)))),
            ("ts", question.civil.clock.1(rows.iter().map(|r| r.time).collect())),
            ("a", Arc::new(BooleanArray::from_iter(rows.iter().map(|r| r.active)))),
            ("birth", question.births.clock.1(rows.iter().map(|r| r.birth).collect())),
            ("country", Arc::new(StringArray::from_iter(rows.iter().map(|r| COUNTRIES[r.country])))),
        ];
        RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, c)| (name, c, true))).unwrap()
    };
    // A table needs a batch, if only an empty one.
    asked.table("t", partitions.iter().map(|rows| rows.chunks(37).chain([&[][..]]).map(batch).collect()).collect());
}

#[test]
fn every_row_of_the_lifecycle() {
    let mut random = random(41);
    let asked = Asked::new(2);
    let mut states = [0usize; 4];
    for round in 0..100 {
        let mut question = Question::draw(&mut random);
        let rows = draw_rows(&mut random, &question);
        let times = rows.iter().filter_map(|r| r.time);
        let (Some(least), Some(most)) = (times.clone().min(), times.max()) else { continue };
        if random.random_bool(0.4) {
            // Before the last event, or some periods after it.
            let span = 1 + (most - least) / 2;
            let mut time = random.random_range(least + span / 2..=most + span);
            // Half of the time the data reach exactly the end of some period, or miss it by a tick.
            if random.random_bool(0.5) {
                time = question.civil.begins(question.period(time)) - random.random_range(0..2);
            }
            question.as_of = Some(question.civil.as_of(time, random.random_bool(0.4)));
        }
        let want = question.answer(&rows, question.as_of.map_or(most, |as_of| question.civil.reach(as_of)));
        load(&asked, &mut random, &question, &rows);
        let sql = format!("SELECT * FROM lifecycle(t, {})", question.arguments());
        let got = asked.rows(&sql);
        for (got, want) in got.iter().zip(&want) {
            assert_eq!(got, want, "seed {}, round {round}: {sql}", seed());
        }
        assert_eq!(got.len(), want.len(), "seed {}, round {round}: {sql}", seed());
        let at = 2 + usize::from(question.by);
        for row in &want {
            states.iter_mut().zip(&row[at..at + 4]).for_each(|(sum, n)| *sum += n.parse::<usize>().unwrap());
        }
    }
    assert!(states.iter().all(|n| *n > 400), "the data hardly ask anything: {states:?}");
}
