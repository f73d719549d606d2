//! `funnel` against `funnel_users`, whatever the options: every number of the one is a count of the other's rows, and every
//! duration is made of the other's times. What is refused, both refuse.
//!
//! Does not deal with: whether the chains are right (`oracle`).

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray, TimestampSecondArray};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::ask::{Asked, rows};
use crate::oracle::seed;

const STEPS: usize = 4;

/// A call takes one of each line at most.
const OPTIONS: [&[&str]; 9] = [
    &[
        "mode => 'increase'",
        "mode => 'strict'",
        "mode => 'strict_steps'",
        "mode => 'dedup'",
        "mode => 'dedup_first'",
        "mode => 'any_order'",
        "mode => 'any_order', anchors => [1]",
        "mode => 'any_order', anchors => [2, 4]",
        "mode => 'strict_steps, increase'",
        "reuse => true",
        "mode => 'dedup', reuse => true",
    ],
    &["window_end => 'exclusive'", "window_end => 'calendar'"],
    &["step_within => [INTERVAL '1 day']", "step_within => [NULL, INTERVAL '36 hours', NULL]"],
    &["step_after => [NULL, NULL, INTERVAL '12 hours']", "step_after => [INTERVAL '12 hours']"],
    &[
        "exclude => 'x'",
        "exclude => {'when': event = 'x', 'after': 1, 'before': 3}",
        "exclude => 'x', exclude_policy => 'drop'",
        "exclude => [{'when': 'x', 'after': 2}, 'y']",
    ],
    &["optional => [2]", "optional => [2, 4]", "optional => [3, 2]"],
    &["hold => item", "hold => [item, city]"],
    &["entry => 'first'", "entry => 'all'", "chain => 'earliest_start'", "entry => 'first', chain => 'earliest_start'"],
    &["period => 'day'", "period => 'week', week_start => 'sunday'", "period => 'month', tz => 'America/New_York'"],
];

/// Where the `by` values are read, and how many they are.
const PLACES: [(&str, usize); 7] = [
    ("", 0),
    (", by => city", 1),
    (", by => [city, item]", 2),
    (", by => city, by_step => 2", 1),
    (", by => [city, item], by_touch => 'first'", 2),
    (", by => city, by_touch => 'last'", 1),
    (", by => [city, item], by_touch => 'all'", 2),
];

struct Row {
    user: Option<i64>,
    time: Option<i64>,
    event: &'static str,
    city: Option<&'static str>,
    item: Option<&'static str>,
}

fn batch(rows: &[Row], first: usize) -> RecordBatch {
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("user_id", Arc::new(rows.iter().map(|r| r.user).collect::<Int64Array>())),
        ("ts", Arc::new(rows.iter().map(|r| r.time).collect::<TimestampSecondArray>())),
        ("event", Arc::new(rows.iter().map(|r| Some(r.event)).collect::<StringArray>())),
        ("city", Arc::new(rows.iter().map(|r| r.city).collect::<StringArray>())),
        ("item", Arc::new(rows.iter().map(|r| r.item).collect::<StringArray>())),
        ("id", Arc::new((first..first + rows.len()).map(|id| Some(id as i64 * 7919 % 1000)).collect::<Int64Array>())),
    ];
    RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, c)| (name, c, true))).unwrap()
}

/// Events at half days around the end of a month: many ties. An event is named by the steps that it satisfies.
fn load(asked: &Asked, random: &mut ChaCha8Rng) {
    const EVENTS: [&str; 12] = ["a", "a", "b", "b", "c", "c", "d", "ab", "cd", "x", "y", "other"];
    let mut rows = Vec::new();
    for user in 1..=150 {
        for _ in 0..random.random_range(1..14) {
            rows.push(Row {
                user: random.random_bool(0.97).then_some(user),
                time: random.random_bool(0.97).then(|| 1_738_281_600 + 43_200 * random.random_range(0..9)),
                event: EVENTS[random.random_range(0..EVENTS.len())],
                city: [None, Some("p"), Some("q")][random.random_range(0..3)],
                item: [None, Some("i"), Some("j"), Some("j")][random.random_range(0..4)],
            });
        }
    }
    let half = rows.len() / 2;
    asked.table("t", vec![vec![batch(&rows[..half], 0)], vec![batch(&rows[half..], half)]]);
}

/// One call: what is asked beside the steps, and how its answers are read.
struct Question {
    options: String,
    place: &'static str,
    /// Number of leading columns that tell groups apart.
    groups: usize,
    any_order: bool,
    optional: Vec<usize>,
}

impl Question {
    fn new(options: &[&str], place: usize) -> Self {
        let text: String = options.iter().map(|o| format!(", {o}")).collect();
        let optional = match () {
            () if text.contains("optional => [2, 4]") => vec![2, 4],
            () if text.contains("optional => [3, 2]") => vec![2, 3],
            () if text.contains("optional => [2]") => vec![2],
            () => vec![],
        };
        Self {
            place: PLACES[place].0,
            groups: PLACES[place].1 + usize::from(text.contains("period =>")),
            any_order: text.contains("any_order"),
            optional,
            options: text,
        }
    }

    fn call(&self, relation: &str, more: &str) -> String {
        format!(
            "{relation}(t, steps => [event LIKE '%a%', event LIKE '%b%', event LIKE '%c%', event LIKE '%d%'], \
             within => INTERVAL '3 days'{}{}{more})",
            self.options, self.place
        )
    }

    /// How many rows each group has.
    fn counts(&self, asked: &Asked, more: &str) -> BTreeMap<Vec<String>, i64> {
        let mut counts = BTreeMap::new();
        for row in asked.rows(&format!("SELECT * FROM {}", self.call("funnel_users", more))) {
            *counts.entry(row[..self.groups].to_vec()).or_default() += 1;
        }
        counts
    }

    /// The step before: the last one that may not be skipped.
    fn before(&self, step: usize) -> Option<usize> {
        (1..step).rev().find(|s| !self.optional.contains(s))
    }

    /// The rows of `funnel` against the rows of `funnel_users`.
    fn check(&self, asked: &Asked, random: &mut ChaCha8Rng, report: Vec<Vec<String>>, users: Vec<Vec<String>>) {
        let told = |what: &str| format!("seed {}: {what} of {}\n{report:#?}", seed(), self.call("funnel", ""));
        let mut groups: BTreeMap<Vec<String>, Vec<Vec<String>>> = BTreeMap::new();
        for row in users {
            groups.entry(row[..self.groups].to_vec()).or_default().push(row[self.groups + 1..].to_vec());
        }
        let expected = if self.groups == 0 { STEPS } else { groups.len() * STEPS };
        assert_eq!(report.len(), expected, "{}", told("groups"));
        let asked_step = random.random_range(1..=STEPS);
        // One of both lists, for the sake of time; the other has its turn with other options.
        let before =
            self.before(asked_step).filter(|_| !self.optional.contains(&asked_step) && random.random_bool(0.6));
        let (at, lost) = match before {
            Some(before) => (None, Some(self.counts(asked, &format!(", dropped_after => {before}")))),
            None => (Some(self.counts(asked, &format!(", at_step => {asked_step}, columns => [event, id]"))), None),
        };
        for row in &report {
            let (group, row) = row.split_at(self.groups);
            let step: usize = row[0].parse().unwrap();
            let users: i64 = row[2].parse().unwrap();
            let none = Vec::new();
            let chains = groups.get(group).unwrap_or(&none);
            let reached = |step: usize| chains.iter().filter(|c| self.reaches(c, step)).count() as i64;
            assert_eq!(users, reached(step), "{}", told("users"));
            let before = self.before(step).map_or(users, reached);
            let dropped = if self.optional.contains(&step) { 0 } else { before - users };
            assert_eq!(row[5], dropped.to_string(), "{}", told("dropped"));
            assert!(users <= before, "{}", told("order"));
            if step == asked_step {
                if let Some(at) = &at {
                    assert_eq!(users, at.get(group).copied().unwrap_or(0), "{}", told("at_step"));
                }
                if let Some(lost) = &lost {
                    assert_eq!(dropped, lost.get(group).copied().unwrap_or(0), "{}", told("dropped_after"));
                }
            }
            if !self.any_order {
                let seconds = self.seconds(chains, step);
                for (got, want) in row[6..].iter().zip(seconds) {
                    let same = match want {
                        Some(want) => got.parse::<f64>().is_ok_and(|got| (got - want).abs() < 1e-6),
                        None => got == "NULL",
                    };
                    assert!(same, "{}: {got}, wanted {want:?}, step {step} of {group:?}", told("seconds"));
                }
            }
        }
    }

    /// `chain` is a level, times, then the columns asked for.
    fn reaches(&self, chain: &[String], step: usize) -> bool {
        match self.any_order {
            true => chain[0].parse::<usize>().unwrap() >= step,
            false => chain[step] != "NULL",
        }
    }

    /// Median, mean and 90th percentile from step 1, and the median from the step met before.
    fn seconds(&self, chains: &[Vec<String>], step: usize) -> [Option<f64>; 4] {
        let time = |text: &String| (text != "NULL").then(|| instant(text));
        let (mut from_start, mut from_previous) = (Vec::new(), Vec::new());
        for chain in chains.iter().filter(|c| step > 1 && self.reaches(c, step)) {
            let at = instant(&chain[step]);
            from_start.push(at - instant(&chain[1]));
            from_previous.push(at - (1..step).rev().find_map(|s| time(&chain[s])).unwrap());
        }
        let mean = (!from_start.is_empty()).then(|| from_start.iter().sum::<f64>() / from_start.len() as f64);
        [percentile(&mut from_start, 0.5), mean, percentile(&mut from_start, 0.9), percentile(&mut from_previous, 0.5)]
    }
}

fn instant(text: &str) -> f64 {
    let (date, clock) = text.split_once('T').unwrap();
    let day: f64 = date.rsplit('-').next().unwrap().parse().unwrap();
    // From 31 January to 4 February.
    let day = if date.starts_with("2025-01") { day } else { day + 31.0 };
    let hour: f64 = clock[..2].parse().unwrap();
    day * 86_400.0 + hour * 3_600.0
}

fn percentile(numbers: &mut [f64], share: f64) -> Option<f64> {
    numbers.sort_by(f64::total_cmp);
    let rank = share * numbers.len().checked_sub(1)? as f64;
    let (low, high) = (numbers[rank.floor() as usize], numbers[rank.ceil() as usize]);
    Some(low * (1.0 - rank.fract()) + high * rank.fract())
}

#[test]
fn the_numbers_are_counts_of_users() {
    let mut random = ChaCha8Rng::seed_from_u64(seed() ^ 77);
    let asked = Asked::new(2);
    load(&asked, &mut random);
    // Every option alone, every place alone, then several together.
    let mut questions: Vec<(Vec<&str>, usize)> = (0..PLACES.len()).map(|place| (vec![], place)).collect();
    for (at, option) in OPTIONS.iter().flat_map(|line| line.iter()).enumerate() {
        questions.push((vec![*option], at % PLACES.len()));
    }
    for _ in 0..20 {
        let mut options = Vec::new();
        for line in OPTIONS {
            if random.random_bool(0.3) {
                options.push(line[random.random_range(0..line.len())]);
            }
        }
        questions.push((options, random.random_range(0..PLACES.len())));
    }
    let (mut answered, mut refused) = (0, 0);
    for (options, place) in questions {
        let question = Question::new(&options, place);
        let answer = |relation: &str, more: &str| {
            let sql = format!("SELECT * FROM {}", question.call(relation, more));
            asked.batches(&sql).map(|batches| rows(&batches)).map_err(|e| e.message().replace(relation, ""))
        };
        match (answer("funnel", ""), answer("funnel_users", ", columns => [id, event]")) {
            (Ok(report), Ok(users)) => {
                question.check(&asked, &mut random, report, users);
                answered += 1;
            }
            (report, users) => {
                let why = report.err();
                assert!(why.is_some() && options.len() > 1, "{options:?}: {why:?}");
                assert_eq!(why, users.err(), "{options:?}");
                refused += 1;
            }
        }
    }
    assert!(answered > 45 && refused > 0, "{answered} answered, {refused} refused");
}
