//! Retention: every pair of a birth and a return is tried, and every cell of the table is compared.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, Int64Array, RecordBatch, StringArray};
use jiff::Timestamp;
use jiff::civil::Date;
use rand::Rng;
use rand::seq::{IndexedMutRandom, IndexedRandom};
use rand_chacha::ChaCha8Rng;

use super::civil::{AsOf, CLOCKS, Civil, Clock, DAYS, UNITS, ZONES};
use super::{close, random, seed};
use crate::ask::Asked;

const COUNTRIES: [Option<&str>; 3] = [None, Some("de"), Some("us")];

#[derive(Debug, Clone, Copy)]
struct Row {
    user: Option<i64>,
    /// In ticks of the clock.
    time: Option<i64>,
    start: Option<bool>,
    back: Option<bool>,
    country: usize,
}

/// One question, and what is needed to answer it by hand.
struct Question {
    civil: Civil,
    rolling: bool,
    or_after: bool,
    periods: i64,
    /// `start => s` and `return => r`, or any event.
    start: bool,
    back: bool,
    /// Nothing, `by => country`, `cohort => country`.
    split: Split,
    as_of: Option<AsOf>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Split {
    None,
    By,
    Cohort,
}

impl Question {
    fn draw(random: &mut ChaCha8Rng) -> Self {
        let clock = *CLOCKS.choose(random).unwrap();
        let rolling = random.random_bool(0.25);
        Self {
            civil: Civil {
                clock,
                zone: ZONES.choose(random).unwrap(),
                unit: UNITS[random.random_range(0..if rolling { 3 } else { 5 })],
                week_start: random.random_range(0..7),
            },
            rolling,
            or_after: random.random_bool(0.5),
            periods: random.random_range(0..6),
            start: random.random_bool(0.6),
            back: random.random_bool(0.6),
            split: *[Split::None, Split::By, Split::Cohort].choose(random).unwrap(),
            as_of: None,
        }
    }

    fn span(&self) -> i64 {
        let days = match self.civil.unit {
            "day" => 1,
            "week" => 7,
            _ => 30,
        };
        if self.civil.clock.0 == 0 { days } else { days * 86_400 * self.civil.clock.0 }
    }

    /// Period of a return, by counting periods one after the other.
    fn period(&self, birth: i64, back: i64) -> i64 {
        if self.rolling {
            return (back - birth) / self.span();
        }
        let first = self.civil.first(self.civil.date(birth));
        let date = self.civil.date(back);
        (0..).find(|n| date < self.civil.later(first, n + 1)).unwrap()
    }

    /// Whether period `n` is over at `as_of` for the latest possible birth; `latest` is the latest one there was.
    fn complete(&self, latest: i64, n: i64, as_of: i64) -> bool {
        let last_day = i64::from(self.civil.clock.0 == 0);
        let next = self.civil.later(self.civil.first(self.civil.date(latest)), 1);
        let end = match self.rolling {
            true if self.split == Split::Cohort => latest + self.span() * (n + 1),
            true => self.civil.begins(next) - 1 + self.span() * (n + 1),
            false => self.civil.begins(self.civil.later(self.civil.first(self.civil.date(latest)), n + 1)),
        };
        end - last_day <= as_of
    }

    /// Birth, value of the country at it, and the periods in which the user came back.
    fn user(&self, rows: &[Row]) -> Option<(i64, usize, BTreeSet<i64>)> {
        let is_start = |r: &Row| !self.start || r.start == Some(true);
        let is_back = |r: &Row| !self.back || r.back == Some(true);
        let seen: Vec<&Row> =
            rows.iter().filter(|r| r.time.is_some_and(|t| self.civil.looks_at(self.as_of, t))).collect();
        let birth = seen.iter().filter(|r| is_start(r)).map(|r| r.time.unwrap()).min()?;
        let births = || seen.iter().enumerate().filter(|(_, r)| is_start(r) && r.time == Some(birth));
        let country = births().map(|(_, r)| r.country).min().unwrap();
        let mut periods = BTreeSet::new();
        for (e, _) in births() {
            for (r, row) in seen.iter().enumerate() {
                let time = row.time.unwrap();
                if e != r && is_back(row) && time >= birth {
                    periods.insert(self.period(birth, time));
                }
            }
        }
        Some((birth, country, periods))
    }

    /// The arguments after the table.
    fn arguments(&self) -> String {
        let mut text = format!(
            "unit => '{}', periods => {}, type => '{}', index => '{}', tz => '{}', week_start => '{}'",
            self.civil.unit,
            self.periods,
            if self.or_after { "on_or_after" } else { "on" },
            if self.rolling { "rolling" } else { "calendar" },
            self.civil.zone,
            DAYS[self.civil.week_start]
        );
        if self.start {
            text.push_str(", start => s");
        }
        if self.back {
            text.push_str(", return => r");
        }
        match self.split {
            Split::None => {}
            Split::By => text.push_str(", by => country"),
            Split::Cohort => text.push_str(", cohort => country"),
        }
        if let Some(as_of) = self.as_of {
            let literal = self.civil.as_of_literal(as_of);
            text.push_str(&format!(", as_of => {literal}"));
        }
        text
    }
}

/// Cells of one cohort: the values that lead the row, size, retained by period, complete by period.
struct Cohort {
    leading: Vec<String>,
    size: i64,
    retained: Vec<i64>,
    complete: Vec<bool>,
}

/// Birth, and the periods with a return.
type Member = (i64, BTreeSet<i64>);

fn cohorts(question: &Question, users: &[Vec<Row>], reach: i64) -> Vec<Cohort> {
    let mut members: BTreeMap<(usize, Date), Vec<Member>> = BTreeMap::new();
    for rows in users {
        let Some((birth, country, periods)) = question.user(rows) else { continue };
        let cohort = question.civil.first(question.civil.date(birth));
        let key = match question.split {
            Split::None => (0, cohort),
            Split::By => (country, cohort),
            Split::Cohort => (country, jiff::civil::date(1970, 1, 1)),
        };
        members.entry(key).or_default().push((birth, periods));
    }
    let all = 0..=question.periods;
    members
        .into_iter()
        .map(|((country, date), members)| {
            let country = COUNTRIES[country].unwrap_or("NULL").to_string();
            let latest = members.iter().map(|m| m.0).max().unwrap();
            let came = |n: i64, periods: &BTreeSet<i64>| match question.or_after {
                true => periods.iter().any(|p| *p >= n),
                false => periods.contains(&n),
            };
            Cohort {
                leading: match question.split {
                    Split::None => vec![date.to_string()],
                    Split::By => vec![country, date.to_string()],
                    Split::Cohort => vec![country],
                },
                size: members.len() as i64,
                retained: all.clone().map(|n| members.iter().filter(|m| came(n, &m.1)).count() as i64).collect(),
                complete: all.clone().map(|n| question.complete(latest, n, reach)).collect(),
            }
        })
        .collect()
}

/// Users whose events crowd around midnights and changes of clocks, tied with each other now and then.
fn draw_users(random: &mut ChaCha8Rng, question: &Question) -> (Vec<Vec<Row>>, Vec<Row>) {
    // 2025-03-09 (New York), 03-30 (Berlin), 04-25 (Cairo, at midnight), 04-06 (Lord Howe).
    let base: i64 = "2025-03-01T00:00:00Z".parse::<Timestamp>().unwrap().as_second();
    let days = match question.civil.unit {
        "day" => 8 + random.random_range(0..60),
        "week" => 60,
        _ => 500,
    };
    let mut user = |id: Option<i64>| -> Vec<Row> {
        let favourites: Vec<i64> = (0..3).map(|_| random.random_range(0..days)).collect();
        (0..random.random_range(1..=7))
            .map(|_| {
                let day = if random.random_bool(0.5) {
                    *favourites.choose(random).unwrap()
                } else {
                    random.random_range(0..days)
                };
                let hour = *[0, 0, 4, 5, 12, 21, 22, 23].choose(random).unwrap();
                let second = base + day * 86_400 + hour * 3_600 + [0, 0, -1, 1_800].choose(random).unwrap();
                let tick = question.civil.ticks(second)
                    - if question.civil.clock.0 > 1 { random.random_range(0..2) } else { 0 };
                let bit = |random: &mut ChaCha8Rng, p| (!random.random_bool(0.1)).then(|| random.random_bool(p));
                Row {
                    user: id,
                    time: random.random_bool(0.97).then_some(tick),
                    start: bit(random, 0.5),
                    back: bit(random, 0.6),
                    country: random.random_range(0..COUNTRIES.len()),
                }
            })
            .collect()
    };
    let users = (1..=250).map(|id| user(Some(id))).collect();
    let nobody = user(None);
    (users, nobody)
}

fn load(asked: &Asked, random: &mut ChaCha8Rng, rows: Vec<Row>, clock: &Clock) {
    let mut partitions: Vec<Vec<Row>> = vec![Vec::new(); 3];
    for row in rows {
        let partition = partitions.choose_mut(random).unwrap();
        let at = random.random_range(0..=partition.len());
        partition.insert(at, row);
    }
    let batch = |rows: &[Row]| {
        let columns: Vec<(&str, ArrayRef)> = vec![
            ("user_id", Arc::new(Int64Array::from_iter(rows.iter().map(|r| r.user)))),
            ("ts", clock.1(rows.iter().map(|r| r.time).collect())),
            ("s", Arc::new(BooleanArray::from_iter(rows.iter().map(|r| r.start)))),
            ("r", Arc::new(BooleanArray::from_iter(rows.iter().map(|r| r.back)))),
            ("country", Arc::new(StringArray::from_iter(rows.iter().map(|r| COUNTRIES[r.country])))),
        ];
        RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, c)| (name, c, true))).unwrap()
    };
    asked.table("t", partitions.iter().map(|rows| rows.chunks(173).map(batch).collect()).collect());
}

/// Draws data and a question, `rounds` times; `check` compares the answer with the cohorts found by hand.
fn each_question(salt: u64, rounds: usize, mut check: impl FnMut(&Asked, &Question, Vec<Cohort>, &str)) {
    let mut random = random(salt);
    let asked = Asked::new(2);
    for round in 0..rounds {
        let mut question = Question::draw(&mut random);
        let (users, nobody) = draw_users(&mut random, &question);
        let times = users.iter().flatten().chain(&nobody).filter_map(|r| r.time);
        let (least, most) = (times.clone().min().unwrap(), times.max().unwrap());
        if random.random_bool(0.4) {
            let mut time = random.random_range((least + most) / 2..=most);
            // Half of the time the data reach exactly the end of some period, or miss it by a tick.
            if random.random_bool(0.5) && !question.rolling {
                let first = question.civil.first(question.civil.date(time));
                time = question.civil.begins(first) - random.random_range(0..2);
            }
            question.as_of = Some(question.civil.as_of(time, random.random_bool(0.4)));
        }
        let reach = question.as_of.map_or(most, |as_of| question.civil.reach(as_of));
        let want = cohorts(&question, &users, reach);
        load(&asked, &mut random, users.into_iter().flatten().chain(nobody).collect(), &question.civil.clock);
        check(&asked, &question, want, &format!("seed {}, round {round}", seed()));
    }
}

#[test]
fn every_cell_of_the_table() {
    let mut returns = 0;
    each_question(4, 120, |asked, question, want, place| {
        let sql = format!("SELECT * FROM retention(t, {})", question.arguments());
        let got = asked.rows(&sql);
        let rows: Vec<Vec<String>> = want
            .iter()
            .flat_map(|cohort| {
                (0..=question.periods).map(|n| {
                    let mut row = cohort.leading.clone();
                    let retained = cohort.retained[n as usize];
                    row.extend([cohort.size, n, retained].map(|n| n.to_string()));
                    row.push(format!("{:?}", retained as f64 / cohort.size as f64));
                    row.push(cohort.complete[n as usize].to_string());
                    row
                })
            })
            .collect();
        for (got, want) in got.iter().zip(&rows) {
            assert_eq!(got, want, "{place}: {sql}");
        }
        assert_eq!(got.len(), rows.len(), "{place}: {sql}");
        returns += want.iter().flat_map(|c| &c.retained).sum::<i64>();
    });
    assert!(returns > 10_000, "the data hardly ask anything: {returns} returns");
}

/// The curve is the sum over complete cohorts; its bounds solve Wilson's equation, found here by halving.
#[test]
fn the_curve_is_pooled() {
    each_question(5, 60, |asked, question, want, place| {
        if question.split == Split::Cohort {
            return;
        }
        let sql = format!("SELECT * FROM retention_curve(t, {})", question.arguments());
        let mut pooled: BTreeMap<(Option<String>, i64), (i64, i64)> = BTreeMap::new();
        for cohort in &want {
            for n in 0..=question.periods {
                let by = (question.split == Split::By).then(|| cohort.leading[0].clone());
                // NULL sorts first: as no text at all.
                let sums = pooled.entry((by.filter(|b| b != "NULL"), n)).or_default();
                if cohort.complete[n as usize] {
                    sums.0 += cohort.size;
                    sums.1 += cohort.retained[n as usize];
                }
            }
        }
        let got = asked.rows(&sql);
        assert_eq!(got.len(), pooled.len(), "{place}: {sql}");
        for (got, ((by, period), (eligible, retained))) in got.iter().zip(&pooled) {
            let mut got = got.clone();
            if question.split == Split::By {
                assert_eq!(got.remove(0), by.clone().unwrap_or("NULL".into()), "{place}: {sql}");
            }
            assert_eq!(got[..3], [*period, *eligible, *retained].map(|n| n.to_string()), "{place}: {sql}");
            if *eligible == 0 {
                assert_eq!(got[3..], ["NULL", "NULL", "NULL"], "{place}: {sql}");
                continue;
            }
            let share = *retained as f64 / *eligible as f64;
            let want = [share, bound(share, *eligible as f64, 0.0), bound(share, *eligible as f64, 1.0)];
            for (got, want) in got[3..].iter().zip(want) {
                assert!(close(got.parse().unwrap(), want), "{place}: {sql}\n{got} is not {want}");
            }
        }
    });
}

/// The p between the share and `towards` with (share - p)^2 = z^2 p (1 - p) / n.
fn bound(share: f64, n: f64, towards: f64) -> f64 {
    let z = 1.959_963_984_540_054_f64;
    let (mut inside, mut outside) = (share, towards);
    for _ in 0..200 {
        let p = (inside + outside) / 2.0;
        if (share - p).powi(2) > z * z * p * (1.0 - p) / n { outside = p } else { inside = p }
    }
    inside
}
