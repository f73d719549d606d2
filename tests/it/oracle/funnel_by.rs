//! Every row of a breakdown is the funnel whose first step also asks for the row's value.
//!
//! Whatever the mode, the window, the entries, the periods, NULL values and ties. Where steps come in any order, this is told of
//! funnels whose first step is anchored: elsewhere no step is the first. A value that has no row has nobody at step 1.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray, TimestampSecondArray};
use rand::Rng;
use rand_chacha::ChaCha8Rng;

use super::{random, seed};
use crate::ask::Asked;

const CITIES: [Option<&str>; 4] = [None, Some("p"), Some("q"), Some("")];
const ITEMS: [Option<&str>; 3] = [None, Some("i"), Some("j")];

/// One of each line is drawn, or none.
const OPTIONS: [&[&str]; 9] = [
    &[
        "mode => 'increase'",
        "mode => 'strict'",
        "mode => 'strict_steps'",
        "mode => 'dedup'",
        "mode => 'dedup_first'",
        "mode => 'any_order', anchors => [1]",
        "mode => 'any_order', anchors => [1, 3]",
        "mode => 'strict_steps, increase'",
        "reuse => true",
    ],
    &["window_end => 'exclusive'", "window_end => 'calendar', tz => 'America/New_York'"],
    &["step_within => [INTERVAL '1 day']", "step_after => [NULL, INTERVAL '12 hours']"],
    &["exclude => 'x'", "exclude => 'x', exclude_policy => 'drop'", "exclude => {'when': 'y', 'after': 2}"],
    &["optional => [2]", "optional => [3]"],
    &["hold => item", "hold => city"],
    &["entry => 'first'", "entry => 'all'", "chain => 'earliest_start'", "entry => 'all', chain => 'earliest_start'"],
    &["period => 'day'", "period => 'week', week_start => 'sunday'", "period => 'month'"],
    &["mature => true", "mature => true, as_of => DATE '2025-02-03'", "as_of => TIMESTAMP '2025-02-02 12:00:00'"],
];

/// Events at half days around the end of a month: many ties. An event is named by the steps that it satisfies.
fn load(asked: &Asked, random: &mut ChaCha8Rng) {
    const EVENTS: [&str; 10] = ["a", "a", "b", "c", "ab", "bc", "abc", "x", "y", "other"];
    let (mut users, mut times, mut events, mut cities, mut items) = (vec![], vec![], vec![], vec![], vec![]);
    for user in 1..=70 {
        // Most users have one city, as of a property that is their own.
        let home = random.random_bool(0.5).then(|| random.random_range(0..CITIES.len()));
        for _ in 0..random.random_range(1..14) {
            users.push(random.random_bool(0.97).then_some(user));
            times.push(random.random_bool(0.97).then(|| 1_738_281_600 + 43_200 * random.random_range(0..9)));
            events.push(Some(EVENTS[random.random_range(0..EVENTS.len())]));
            cities.push(CITIES[home.unwrap_or_else(|| random.random_range(0..CITIES.len()))]);
            items.push(ITEMS[random.random_range(0..ITEMS.len())]);
        }
    }
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("user_id", Arc::new(Int64Array::from(users))),
        ("ts", Arc::new(TimestampSecondArray::from(times))),
        ("event", Arc::new(StringArray::from(events))),
        ("city", Arc::new(StringArray::from(cities))),
        ("item", Arc::new(StringArray::from(items))),
    ];
    let batch = RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(n, c)| (n, c, true))).unwrap();
    let half = batch.num_rows() / 2;
    asked.table("t", vec![vec![batch.slice(0, half)], vec![batch.slice(half, batch.num_rows() - half)]]);
}

fn equals(column: &str, value: Option<&str>) -> String {
    value.map_or(format!("{column} IS NULL"), |value| format!("{column} = '{value}'"))
}

#[test]
fn a_row_of_a_breakdown_is_the_funnel_of_its_value() {
    let mut random = random(61);
    let asked = Asked::new(2);
    let (mut compared, mut several) = (0, 0);
    for round in 0..110 {
        if round % 5 == 0 {
            load(&asked, &mut random);
        }
        let options: String = (OPTIONS.iter().filter_map(|line| match random.random_bool(0.3) {
            true => Some(format!(", {}", line[random.random_range(0..line.len())])),
            false => None,
        }))
        .collect();
        let two = random.random_bool(0.3);
        let values: Vec<(Option<&str>, Option<&str>)> = match two {
            true => CITIES.iter().flat_map(|c| ITEMS.iter().map(|i| (*c, *i))).collect(),
            false => CITIES.iter().map(|c| (*c, None)).collect(),
        };
        let call = |relation: &str, first: &str, more: &str| {
            format!(
                "SELECT * FROM {relation}(t, steps => {{'first': {first}, 'b': event LIKE '%b%', 'c': event LIKE '%c%'}}, \
                   within => INTERVAL '36 hours'{options}{more})"
            )
        };
        let by = if two { ", by => [city, item]" } else { ", by => city" };
        let columns = 1 + usize::from(two);
        let first = "event LIKE '%a%'";
        let sql = call("funnel", first, by);
        let told = || format!("seed {}, round {round}: {sql}", seed());
        let Ok(whole) = asked.batches(&sql) else { continue };
        let mut rows: BTreeMap<Vec<String>, Vec<Vec<String>>> = BTreeMap::new();
        for row in crate::ask::rows(&whole) {
            rows.entry(row[..columns].to_vec()).or_default().push(row[columns..].to_vec());
        }
        let mut listed: BTreeMap<Vec<String>, Vec<Vec<String>>> = BTreeMap::new();
        for row in asked.rows(&call("funnel_users", first, &format!("{by}, columns => event"))) {
            listed.entry(row[..columns].to_vec()).or_default().push(row[columns..].to_vec());
        }
        several += usize::from(rows.len() > 1);
        for (city, item) in values {
            let text = |value: Option<&str>| value.unwrap_or("NULL").to_string();
            let mut key = vec![text(city)];
            let mut filtered = format!("({first}) AND {}", equals("city", city));
            if two {
                key.push(text(item));
                filtered = format!("{filtered} AND {}", equals("item", item));
            }
            let want = asked.rows(&call("funnel", &filtered, ""));
            match rows.remove(&key) {
                Some(got) => assert_eq!(got, want, "{}, {key:?}", told()),
                None => {
                    let users = |row: &Vec<String>| row[row.iter().position(|c| c == "first").unwrap() + 1].clone();
                    let first = want.iter().find(|row| row.contains(&"first".to_string()));
                    assert_eq!(first.map_or("0".to_string(), users), "0", "{}, {key:?}: no row", told());
                }
            }
            let want = asked.rows(&call("funnel_users", &filtered, ", columns => event"));
            let got = listed.remove(&key).unwrap_or_default();
            // Of tied events that could serve a step, the `by` value decides which one is shown; in any order it so decides
            // which step has which event.
            let columns = want.first().map_or(0, Vec::len);
            let told_by_values = if options.contains("any_order") { 4 } else { 1 };
            let without_values = |rows: Vec<Vec<String>>| -> Vec<Vec<String>> {
                rows.into_iter().map(|row| row[..columns.saturating_sub(told_by_values)].to_vec()).collect()
            };
            assert_eq!(without_values(got), without_values(want), "{}, {key:?}", told());
            compared += 1;
        }
        assert!(rows.is_empty() && listed.is_empty(), "{}: {rows:?}", told());
    }
    assert!(compared > 150 && several > 30, "{compared} compared, {several} with several values");
}

/// A property of the user: the values add up to the whole, and `by_entry => 'first'` says the same.
#[test]
fn a_property_of_the_user_adds_up() {
    let mut random = random(62);
    let asked = Asked::new(2);
    load(&asked, &mut random);
    let own = "(SELECT *, CASE WHEN user_id % 3 = 0 THEN NULL ELSE user_id % 3 END AS kind FROM t)";
    let call = |more: &str| {
        format!(
            "funnel({own}, steps => [event LIKE '%a%', event LIKE '%b%', event LIKE '%c%'], within => INTERVAL '2 days'{more})"
        )
    };
    let sums = |more: &str| {
        asked.rows(&format!("SELECT step, sum(users), sum(dropped) FROM {} GROUP BY step ORDER BY step", call(more)))
    };
    assert_eq!(sums(""), sums(", by => kind"));
    assert_eq!(sums(""), sums(", by => kind, by_entry => 'first'"));
    // Whatever the property, one value a user adds up; each value on its own gives no less.
    assert_eq!(sums(""), sums(", by => city, by_entry => 'first'"));
    let count = |rows: Vec<Vec<String>>| -> Vec<i64> { rows.iter().map(|r| r[1].parse().unwrap()).collect() };
    let (whole, each) = (count(sums("")), count(sums(", by => city")));
    assert!(whole.iter().zip(&each).all(|(whole, each)| whole <= each) && whole[0] < each[0], "{whole:?} {each:?}");
}
