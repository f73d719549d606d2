//! ABC classes and the share of the top: sums in whole cents, sorted and walked through.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, Decimal128Array, Float64Array, Int64Array, RecordBatch, TimestampMillisecondArray};
use rand::Rng;
use rand::seq::IndexedRandom;

use super::{close, random, seed};
use crate::ask::Asked;

#[test]
fn classes_and_shares_are_those_of_brute_force() {
    let asked = Asked::new(3);
    for round in 0..60 {
        let random = &mut random(9_000 + round);
        // User, product, and quarters of a unit: sums of doubles are exact, and many are equal.
        let refunds = random.random_bool(0.3);
        let rows: Vec<(i64, i64, Option<i64>)> = (0..random.random_range(0..60))
            .map(|_| {
                let value = random.random_range(if refunds { -12 } else { 0 }..20);
                (random.random_range(1..20), random.random_range(1..8), random.random_bool(0.9).then_some(value))
            })
            .collect();
        let doubles = random.random_bool(0.5);
        let values: ArrayRef = if doubles {
            Arc::new(Float64Array::from_iter(rows.iter().map(|r| r.2.map(|v| v as f64 / 4.0))))
        } else {
            let cents = rows.iter().map(|r| r.2.map(|v| i128::from(v) * 25));
            Arc::new(Decimal128Array::from_iter(cents).with_precision_and_scale(10, 2).unwrap())
        };
        let columns: Vec<(&str, ArrayRef)> = vec![
            ("user_id", Arc::new(Int64Array::from_iter_values(rows.iter().map(|r| r.0)))),
            ("ts", Arc::new(TimestampMillisecondArray::from_iter_values(rows.iter().map(|r| r.0)))),
            ("product", Arc::new(Int64Array::from_iter_values(rows.iter().map(|r| r.1)))),
            ("v", values),
        ];
        let batch =
            RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, c)| (name, c, true))).unwrap();
        let half = batch.num_rows() / 2;
        asked.table("events", vec![vec![batch.slice(0, half)], vec![batch.slice(half, batch.num_rows() - half)]]);

        let of_product = random.random_bool(0.5);
        let by = !of_product && random.random_bool(0.4);
        let mut totals: BTreeMap<i64, BTreeMap<i64, i64>> = BTreeMap::new();
        for (user, product, value) in rows.iter().filter_map(|r| r.2.map(|value| (r.0, r.1, value))) {
            let item = if of_product { product } else { user };
            *totals.entry(if by { product } else { 0 }).or_default().entry(item).or_default() += value;
        }
        let item = if of_product { ", item => product" } else { "" };
        let by_text = if by { ", by => product" } else { "" };
        let ends: &[f64] = [&[0.8, 0.95][..], &[0.5][..], &[0.25, 0.5, 0.75, 1.0][..]].choose(random).unwrap();
        let common = format!("events, value => v{item}{by_text}");
        let classes = asked.rows(&format!("SELECT * FROM pareto({common}, classes => {ends:?})"));
        let items = asked.rows(&format!("SELECT * FROM pareto({common}, classes => {ends:?}, show => 'items')"));
        let top = asked.rows(&format!("SELECT * FROM pareto({common}, top => [0.1, 0.3, 1], show => 'top')"));

        let (mut wanted_classes, mut wanted_items, mut wanted_top) = (vec![], vec![], vec![]);
        for (value, totals) in &totals {
            let label = || if by { vec![value.to_string()] } else { vec![] };
            let mut sorted: Vec<(i64, i64)> = totals.iter().map(|(item, total)| (*total, *item)).collect();
            sorted.sort_by_key(|(total, item)| (-total, *item));
            let all: i64 = sorted.iter().map(|s| s.0.max(0)).sum();
            let share = |part: i64| if all == 0 { "NULL".to_string() } else { (part as f64 / all as f64).to_string() };
            let mut of_class: Vec<Vec<i64>> = vec![Vec::new(); ends.len() + 1];
            for (total, item) in &sorted {
                let greater: i64 = sorted.iter().filter(|s| s.0 > *total).map(|s| s.0.max(0)).sum();
                let through: i64 = sorted.iter().filter(|s| s.0 >= *total).map(|s| s.0.max(0)).sum();
                let class = match all {
                    _ if *total <= 0 => ends.len(),
                    all => ends.iter().position(|end| (greater as f64 / all as f64) < *end).unwrap_or(ends.len()),
                };
                of_class[class].push(*total);
                let rank = 1 + sorted.iter().filter(|s| s.0 > *total).count();
                let letter = ["A", "B", "C", "D", "E"][class];
                wanted_items.push(
                    [
                        label(),
                        vec![rank.to_string(), item.to_string(), (*total as f64 / 4.0).to_string()],
                        vec![share(*total), share(through), letter.to_string()],
                    ]
                    .concat(),
                );
            }
            for (class, totals) in of_class.iter().enumerate() {
                let sum: i64 = totals.iter().sum();
                let quarters = |value: Option<i64>| value.map_or("NULL".into(), |v| (v as f64 / 4.0).to_string());
                let shown = (!totals.is_empty()).then_some(sum);
                wanted_classes.push(
                    [
                        label(),
                        vec![["A", "B", "C", "D", "E"][class].to_string(), totals.len().to_string()],
                        vec![(totals.len() as f64 / sorted.len() as f64).to_string(), quarters(shown)],
                        vec![shown.map_or("0".to_string(), share), quarters(totals.iter().copied().min())],
                    ]
                    .concat(),
                );
            }
            for (text, tenths) in [("0.1", 1), ("0.3", 3), ("1", 10)] {
                let n = (sorted.len() * tenths).div_ceil(10);
                let sum: i64 = sorted[..n].iter().map(|s| s.0).sum();
                let row = vec![text.to_string(), n.to_string(), (sum as f64 / 4.0).to_string(), share(sum)];
                wanted_top.push([label(), row].concat());
            }
        }
        let place = format!("seed {} round {round}: {common} {ends:?}\n{rows:?}", seed());
        for (found, wanted) in [(classes, wanted_classes), (items, wanted_items), (top, wanted_top)] {
            assert_eq!(found.len(), wanted.len(), "{place}\n{found:?}\n{wanted:?}");
            for (found, wanted) in found.iter().zip(&wanted) {
                assert_eq!(found.len(), wanted.len(), "{place}");
                for (a, b) in found.iter().zip(wanted) {
                    let same = match (a.parse::<f64>(), b.parse::<f64>()) {
                        (Ok(a), Ok(b)) => close(a, b),
                        _ => a == b,
                    };
                    assert!(same, "{found:?}, not {wanted:?}: {place}");
                }
            }
        }
    }
}
