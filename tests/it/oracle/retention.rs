//! Retention: every pair of a birth and a return is tried, and every cell of the table is compared.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, Decimal128Array, Float64Array, Int64Array, RecordBatch, StringArray, TimestampSecondArray,
};
use jiff::Timestamp;
use jiff::civil::Date;
use rand::Rng;
use rand::seq::{IndexedMutRandom, IndexedRandom};
use rand_chacha::ChaCha8Rng;

use super::civil::{AsOf, CLOCKS, Civil, Clock, DAYS, UNITS, ZONES};
use super::{close, random, seed};
use crate::ask::Asked;

/// Columns of the same amounts: quarters as whole numbers, in doubles, and in decimals.
const AMOUNTS: [&str; 3] = ["whole", "double", "money"];

const COUNTRIES: [Option<&str>; 3] = [None, Some("de"), Some("us")];

#[derive(Debug, Clone, Copy)]
struct Row {
    user: Option<i64>,
    /// In ticks of the clock.
    time: Option<i64>,
    start: Option<bool>,
    back: Option<bool>,
    country: usize,
    /// In quarters.
    amount: Option<i64>,
}

/// One question, and what is needed to answer it by hand.
struct Question {
    civil: Civil,
    rolling: bool,
    kind: &'static str,
    /// Of type `bracket`.
    brackets: Vec<(i64, i64)>,
    min_count: usize,
    birth: &'static str,
    /// From, and before.
    born: [Option<i64>; 2],
    periods: i64,
    /// `start => s` and `return => r`, or any event.
    start: bool,
    back: bool,
    /// Nothing, `by => country`, `cohort => country`.
    split: Split,
    /// The column to add up.
    value: Option<&'static str>,
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
        let kind = *["on", "on", "on_or_after", "on_or_before", "streak", "bracket"].choose(random).unwrap();
        let mut brackets = Vec::new();
        let mut from = random.random_range(0..3);
        while kind == "bracket" && (brackets.is_empty() || random.random_bool(0.6)) {
            let to = from + random.random_range(0..3);
            brackets.push((from, to));
            from = to + random.random_range(1..3);
        }
        let births: &[&str] =
            if rolling { &["first", "first_in_range"] } else { &["first", "first_in_range", "recurring"] };
        let birth = *births.choose(random).unwrap();
        let splits: &[Split] =
            if birth == "recurring" { &[Split::None, Split::By] } else { &[Split::None, Split::By, Split::Cohort] };
        let amounts = matches!(kind, "on" | "on_or_before" | "bracket") && random.random_bool(0.6);
        Self {
            kind,
            value: amounts.then(|| AMOUNTS[random.random_range(0..3)]),
            brackets,
            min_count: *[1, 1, 2, 3].choose(random).unwrap(),
            birth,
            born: [None; 2],
            civil: Civil {
                clock,
                zone: ZONES.choose(random).unwrap(),
                unit: UNITS[random.random_range(0..if rolling { 3 } else { 5 })],
                week_start: random.random_range(0..7),
            },
            rolling,
            periods: random.random_range(0..6),
            start: random.random_bool(0.6),
            back: random.random_bool(0.6),
            split: *splits.choose(random).unwrap(),
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

    fn in_range(&self, time: i64) -> bool {
        self.born[0].is_none_or(|from| time >= from) && self.born[1].is_none_or(|before| time < before)
    }

    /// The user's births, the value of the country that counts, and the periods in which the user came back.
    fn members(&self, rows: &[Row]) -> Vec<Member> {
        let is_back = |r: &Row| !self.back || r.back == Some(true);
        let seen: Vec<&Row> =
            rows.iter().filter(|r| r.time.is_some_and(|t| self.civil.looks_at(self.as_of, t))).collect();
        let is_start = |r: &Row| {
            (!self.start || r.start == Some(true)) && (self.birth == "first" || self.in_range(r.time.unwrap()))
        };
        let starts =
            || seen.iter().enumerate().filter(|(_, r)| is_start(r)).map(|(e, r)| (e, r.time.unwrap(), r.country));
        let Some(first) = starts().map(|s| s.1).min() else { return Vec::new() };
        let country = starts().filter(|s| s.1 == first).map(|s| s.2).min().unwrap();
        let births: BTreeSet<i64> = match self.birth {
            "recurring" => {
                let cohort = |time: i64| self.civil.first(self.civil.date(time));
                starts().filter(|s| starts().all(|t| t.1 >= s.1 || cohort(t.1) != cohort(s.1))).map(|s| s.1).collect()
            }
            _ => BTreeSet::from([first]),
        };
        let mut members = Vec::new();
        for birth in births.into_iter().filter(|birth| self.in_range(*birth)) {
            let mut periods = BTreeSet::new();
            // Any of the tied starts may be the birth.
            for (e, ..) in starts().filter(|s| s.1 == birth) {
                let mut counts: BTreeMap<i64, usize> = BTreeMap::new();
                for (r, row) in seen.iter().enumerate() {
                    let time = row.time.unwrap();
                    if e != r && is_back(row) && time >= birth {
                        *counts.entry(self.period(birth, time)).or_default() += 1;
                    }
                }
                periods.extend(counts.into_iter().filter(|(_, count)| *count >= self.min_count).map(|(n, _)| n));
            }
            let mut amounts: BTreeMap<i64, i64> = BTreeMap::new();
            for row in seen.iter().filter(|row| is_back(row) && row.time.unwrap() >= birth) {
                *amounts.entry(self.period(birth, row.time.unwrap())).or_default() += row.amount.unwrap_or(0);
            }
            members.push(Member { birth, country, periods, amounts });
        }
        members
    }

    /// The rows of a cohort: the last period of each, and whether a user counts in it.
    fn cells(&self) -> Vec<(i64, i64)> {
        match self.kind {
            "bracket" => self.brackets.clone(),
            _ => (0..=self.periods).map(|n| (n, n)).collect(),
        }
    }

    fn came(&self, (from, to): (i64, i64), periods: &BTreeSet<i64>) -> bool {
        match self.kind {
            "bracket" => (from..=to).any(|n| periods.contains(&n)),
            "on_or_after" => periods.iter().any(|p| *p >= to),
            _ if to == 0 => periods.contains(&0),
            "on_or_before" => (1..=to).any(|n| periods.contains(&n)),
            "streak" => (1..=to).all(|n| periods.contains(&n)),
            _ => periods.contains(&to),
        }
    }

    /// What is added up in a cell of a user.
    fn amount(&self, (from, to): (i64, i64), amounts: &BTreeMap<i64, i64>) -> i64 {
        let from = if self.kind == "on_or_before" { 0 } else { from };
        (from..=to).filter_map(|n| amounts.get(&n)).sum()
    }

    /// An amount as the column holds it.
    fn shown(&self, quarters: i64) -> String {
        match self.value {
            Some("whole") => quarters.to_string(),
            Some("double") => format!("{:?}", quarters as f64 / 4.0),
            _ => {
                let (sign, hundredths) = (if quarters < 0 { "-" } else { "" }, quarters.abs() * 25);
                format!("{sign}{}.{:02}", hundredths / 100, hundredths % 100)
            }
        }
    }

    /// The four columns, from sums in quarters; of a type other than `on` the first two.
    fn money(&self, [amount, capped, base]: [i64; 3], size: i64) -> Vec<String> {
        let unit = if self.value == Some("whole") { 1.0 } else { 4.0 };
        let ratio = |part: i64| if base == 0 { "NULL".to_string() } else { format!("{:?}", part as f64 / base as f64) };
        let per_user = format!("{:?}", amount as f64 / unit / size as f64);
        let mut shown = vec![self.shown(amount), per_user];
        if self.kind == "on" {
            shown.extend([ratio(amount), ratio(capped)]);
        }
        shown
    }

    /// The arguments after the table.
    fn arguments(&self) -> String {
        let mut text = format!(
            "unit => '{}', type => '{}', index => '{}', tz => '{}', week_start => '{}'",
            self.civil.unit,
            self.kind,
            if self.rolling { "rolling" } else { "calendar" },
            self.civil.zone,
            DAYS[self.civil.week_start]
        );
        if self.kind == "bracket" {
            let brackets: Vec<String> = self.brackets.iter().map(|(from, to)| format!("[{from}, {to}]")).collect();
            text.push_str(&format!(", brackets => [{}]", brackets.join(", ")));
        } else {
            text.push_str(&format!(", periods => {}", self.periods));
        }
        if self.min_count > 1 {
            text.push_str(&format!(", min_count => {}", self.min_count));
        }
        if let Some(value) = self.value {
            text.push_str(&format!(", value => {value}"));
        }
        if self.birth != "first" {
            text.push_str(&format!(", birth => '{}'", self.birth));
        }
        for (name, time) in ["born_from", "born_before"].iter().zip(self.born) {
            if let Some(time) = time {
                text.push_str(&format!(", {name} => {}", self.civil.literal(time)));
            }
        }
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
    /// Amount, the same capped, and that of period 0, in quarters.
    amounts: Vec<[i64; 3]>,
}

struct Member {
    birth: i64,
    country: usize,
    /// The periods with a return.
    periods: BTreeSet<i64>,
    /// What came in each.
    amounts: BTreeMap<i64, i64>,
}

fn cohorts(question: &Question, users: &[Vec<Row>], reach: i64) -> Vec<Cohort> {
    let mut members: BTreeMap<(usize, Date), Vec<Member>> = BTreeMap::new();
    for rows in users {
        for member in question.members(rows) {
            let cohort = question.civil.first(question.civil.date(member.birth));
            let key = match question.split {
                Split::None => (0, cohort),
                Split::By => (member.country, cohort),
                Split::Cohort => (member.country, jiff::civil::date(1970, 1, 1)),
            };
            members.entry(key).or_default().push(member);
        }
    }
    let all = question.cells();
    members
        .into_iter()
        .map(|((country, date), members)| {
            let country = COUNTRIES[country].unwrap_or("NULL").to_string();
            let latest = members.iter().map(|m| m.birth).max().unwrap();
            Cohort {
                leading: match question.split {
                    Split::None => vec![date.to_string()],
                    Split::By => vec![country, date.to_string()],
                    Split::Cohort => vec![country],
                },
                size: members.len() as i64,
                retained: (all
                    .iter()
                    .map(|cell| members.iter().filter(|m| question.came(*cell, &m.periods)).count() as i64))
                .collect(),
                complete: all.iter().map(|cell| question.complete(latest, cell.1, reach)).collect(),
                amounts: (all.iter())
                    .map(|cell| {
                        let of = |m: &Member| {
                            let (amount, base) =
                                (question.amount(*cell, &m.amounts), question.amount((0, 0), &m.amounts));
                            [amount, amount.min(base), base]
                        };
                        members.iter().map(of).fold([0; 3], |sum, one| [0, 1, 2].map(|at| sum[at] + one[at]))
                    })
                    .collect(),
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
                    amount: random.random_bool(0.8).then(|| random.random_range(-20..200)),
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
            ("whole", Arc::new(Int64Array::from_iter(rows.iter().map(|r| r.amount)))),
            ("double", Arc::new(Float64Array::from_iter(rows.iter().map(|r| r.amount.map(|a| a as f64 / 4.0))))),
            (
                "money",
                Arc::new(
                    Decimal128Array::from_iter(rows.iter().map(|r| r.amount.map(|a| i128::from(a) * 25)))
                        .with_precision_and_scale(9, 2)
                        .unwrap(),
                ),
            ),
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
        if question.birth == "first_in_range" || random.random_bool(0.3) {
            let mut times = [0; 2].map(|_| random.random_range(least..=most));
            times.sort_unstable();
            // Of timestamps what is written has whole seconds.
            let whole = |time: i64| time - time.rem_euclid(question.civil.clock.0.max(1));
            let [from, before] = times.map(whole);
            let ends = random.random_range(0..3);
            question.born = [(ends != 1).then_some(from), (ends != 0 && from < before || ends == 1).then_some(before)];
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
                question.cells().into_iter().enumerate().map(|(at, (from, to))| {
                    let mut row = cohort.leading.clone();
                    let retained = cohort.retained[at];
                    row.extend([cohort.size, to].map(|n| n.to_string()));
                    if question.kind == "bracket" {
                        row.push(if from == to { to.to_string() } else { format!("{from}-{to}") });
                    }
                    row.push(retained.to_string());
                    row.push(format!("{:?}", retained as f64 / cohort.size as f64));
                    row.push(cohort.complete[at].to_string());
                    if question.value.is_some() {
                        row.extend(question.money(cohort.amounts[at], cohort.size));
                    }
                    row
                })
            })
            .collect();
        for (got, want) in got.iter().zip(&rows) {
            assert_eq!(got, want, "{place}: {sql}");
        }
        assert_eq!(got.len(), rows.len(), "{place}: {sql}");
        // The same with a column for each period.
        let shows: &[&str] = match (question.value, question.kind) {
            (None, _) => &["retained"],
            (_, "on") => &["retained", "amount", "amount_per_user", "nrr", "grr"],
            _ => &["retained", "amount", "amount_per_user"],
        };
        let nth = returns as usize % shows.len();
        let show = shows[nth];
        let sql = format!("SELECT * FROM retention_triangle(t, show => '{show}', {})", question.arguments());
        let wide: Vec<Vec<String>> = want
            .iter()
            .map(|cohort| {
                let mut row = cohort.leading.clone();
                row.push(cohort.size.to_string());
                let cells = cohort.retained.iter().zip(&cohort.amounts).zip(&cohort.complete);
                row.extend(cells.map(|((n, amounts), complete)| match (complete, show) {
                    (false, _) => "NULL".to_string(),
                    (true, "retained") => n.to_string(),
                    (true, _) => question.money(*amounts, cohort.size)[nth - 1].clone(),
                }));
                row
            })
            .collect();
        assert_eq!(asked.rows(&sql), wide, "{place}: {sql}");
        returns += want.iter().flat_map(|c| &c.retained).sum::<i64>();
    });
    assert!(returns > 10_000, "the data hardly ask anything: {returns} returns");
}

/// Users, those who came back, and their sums of money.
type Pooled = (i64, i64, [i64; 3]);

/// The curve is the sum over complete cohorts; its bounds solve Wilson's equation, found here by halving.
#[test]
fn the_curve_is_pooled() {
    each_question(5, 60, |asked, question, want, place| {
        if question.split == Split::Cohort {
            return;
        }
        let sql = format!("SELECT * FROM retention_curve(t, {})", question.arguments());
        let mut pooled: BTreeMap<(Option<String>, i64), Pooled> = BTreeMap::new();
        for cohort in &want {
            for (at, (_, to)) in question.cells().into_iter().enumerate() {
                let by = (question.split == Split::By).then(|| cohort.leading[0].clone());
                // NULL sorts first: as no text at all.
                let sums = pooled.entry((by.filter(|b| b != "NULL"), to)).or_default();
                if cohort.complete[at] {
                    sums.0 += cohort.size;
                    sums.1 += cohort.retained[at];
                    sums.2 = [0, 1, 2].map(|part| sums.2[part] + cohort.amounts[at][part]);
                }
            }
        }
        let got = asked.rows(&sql);
        assert_eq!(got.len(), pooled.len(), "{place}: {sql}");
        for (got, ((by, period), (eligible, retained, amounts))) in got.iter().zip(&pooled) {
            let mut got = got.clone();
            if question.split == Split::By {
                assert_eq!(got.remove(0), by.clone().unwrap_or("NULL".into()), "{place}: {sql}");
            }
            if question.kind == "bracket" {
                got.remove(1);
            }
            assert_eq!(got[..3], [*period, *eligible, *retained].map(|n| n.to_string()), "{place}: {sql}");
            if *eligible == 0 {
                assert!(got[3..].iter().all(|cell| cell == "NULL"), "{place}: {sql}");
                continue;
            }
            let share = *retained as f64 / *eligible as f64;
            if question.value.is_some() {
                let money = question.money(*amounts, *eligible);
                assert_eq!(got.split_off(6), money, "{place}: {sql}");
            }
            let want = [share, bound(share, *eligible as f64, 0.0), bound(share, *eligible as f64, 1.0)];
            for (got, want) in got[3..].iter().zip(want) {
                assert!(close(got.parse().unwrap(), want), "{place}: {sql}\n{got} is not {want}");
            }
        }
    });
}

/// Hours are days of a clock that runs 24 times as fast: what is asked of the ones is asked of the others.
#[test]
fn hours_are_days_of_a_faster_clock() {
    let mut random = random(61);
    let asked = Asked::new(2);
    for (round, zone) in
        [("UTC", 0), ("Asia/Kolkata", 1_800), ("Europe/Berlin", 0)].into_iter().cycle().take(12).enumerate()
    {
        let base: i64 = "2024-10-26T00:00:00Z".parse::<Timestamp>().unwrap().as_second();
        let rows: Vec<(i64, i64, i64)> = (0..600)
            .map(|_| (random.random_range(0..60), random.random_range(0..36 * 3_600), random.random_range(0..9)))
            .collect();
        let batch = |time: &dyn Fn(i64) -> i64| {
            let column = |of: &dyn Fn(&(i64, i64, i64)) -> i64| -> ArrayRef {
                Arc::new(Int64Array::from_iter_values(rows.iter().map(of)))
            };
            let times = TimestampSecondArray::from_iter_values(rows.iter().map(|row| time(row.1)));
            let columns: [(&str, ArrayRef); 3] =
                [("user_id", column(&|row| row.0)), ("ts", Arc::new(times)), ("v", column(&|row| row.2))];
            vec![vec![RecordBatch::try_from_iter(columns).unwrap()]]
        };
        asked.table("hours", batch(&|second| base + second));
        // Local hours, as days since 1970.
        let shift = zone.1;
        asked.table(
            "days",
            batch(&|second| {
                let local = second + shift;
                local.div_euclid(3_600) * 86_400 + local.rem_euclid(3_600) * 24
            }),
        );
        for arguments in [
            "periods => 5",
            "periods => 4, birth => 'recurring'",
            "periods => 3, index => 'rolling', type => 'on_or_after'",
            "type => 'bracket', brackets => [[1, 2], [3, 9]], min_count => 2",
            "periods => 3, value => v",
            "periods => 3, value => v, birth => 'recurring', start => v > 5",
        ] {
            let ask = |table: &str, unit: &str, zone: &str, cohort: &str| {
                asked.rows(&format!(
                    "SELECT * EXCEPT (cohort), {cohort} FROM retention({table}, unit => '{unit}', tz => '{zone}', {arguments})"
                ))
            };
            let hours =
                ask("hours", "hour", zone.0, &format!("(CAST(cohort AS BIGINT) + {shift} - {base}) / 3600 AS n"));
            let days = ask("days", "day", "UTC", "CAST(CAST(cohort AS INT) AS BIGINT) AS n");
            assert!(hours.len() > 20, "{arguments}: {} rows", hours.len());
            assert_eq!(hours, days, "round {round}, {zone:?}: {arguments}");
        }
    }
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
