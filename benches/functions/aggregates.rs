//! The grouped accumulators, fed directly; DataFusion's own `count` on the same rows and groups is the yardstick.

use std::hint::black_box;

use arrow::datatypes::IntervalMonthDayNanoType;
use criterion::{BenchmarkId, Criterion, Throughput};
use datafusion::functions_aggregate::count::count_udaf;
use datafusion::scalar::ScalarValue;
use tenure::functions::{churn, funnel, lifecycle, retention};

use crate::drive::Argument::{Column, Constant};
use crate::drive::{Call, Country, assert_same, merge};
use crate::events::Shape;
use crate::size;

fn week() -> ScalarValue {
    ScalarValue::IntervalMonthDayNano(Some(IntervalMonthDayNanoType::make_value(0, 7, 0)))
}

fn text(value: &str) -> ScalarValue {
    ScalarValue::Utf8(Some(value.to_string()))
}

fn count() -> Call {
    Call::new((*count_udaf()).clone(), &[Column("ts")], Country::Dictionary)
}

fn window_funnel() -> Call {
    let arguments = [Constant(week()), Column("ts"), Column("c0"), Column("c1"), Column("c2")];
    Call::new(funnel::window_funnel(), &arguments, Country::Dictionary)
}

fn funnel_chain() -> Call {
    let arguments = [Constant(week()), Column("ts"), Column("c0"), Column("c1"), Column("c2")];
    Call::new(funnel::funnel_chain(), &arguments, Country::Dictionary)
}

fn funnel_chain_kept(country: Country) -> Call {
    let arguments = [Constant(week()), Column("ts"), Column("c0"), Column("c1"), Column("c2"), Column("kept")];
    Call::new(funnel::funnel_chain(), &arguments, country)
}

/// Births by the first condition, returns by the second, days in a zone that changes its clocks within the data.
fn user_retention() -> Call {
    let words = ["day", "Europe/Berlin", "monday", "calendar"].map(|word| Constant(text(word)));
    let arguments: Vec<_> = [Column("ts"), Column("c0"), Column("c1")].into_iter().chain(words).collect();
    Call::new(retention::user_retention(), &arguments, Country::Dictionary)
}

fn activity_days() -> Call {
    let arguments = [Column("ts"), Column("c2"), Constant(text("Europe/Berlin"))];
    Call::new(churn::activity_days(), &arguments, Country::Dictionary)
}

/// Weeks; the births are not given.
fn user_lifecycle() -> Call {
    let mut arguments = vec![Column("ts"), Constant(ScalarValue::Date32(None))];
    arguments.extend(["week", "Europe/Berlin", "monday"].map(|word| Constant(text(word))));
    Call::new(lifecycle::user_lifecycle(), &arguments, Country::Dictionary)
}

fn retention() -> Call {
    Call::new(retention::retention(), &[Column("c0"), Column("c1"), Column("c2")], Country::Dictionary)
}

fn calls() -> [Call; 7] {
    [count(), window_funnel(), funnel_chain(), user_retention(), user_lifecycle(), activity_days(), retention()]
}

/// Forces `update_batch` of every row and `evaluate` of every group, for each shape of input.
pub fn single_phase(c: &mut Criterion) {
    let n = size(1 << 18);
    for shape in Shape::ALL {
        let mut group = c.benchmark_group(format!("single_phase/{}", shape.name()));
        group.throughput(Throughput::Elements(n as u64));
        let rows = shape.rows(n);
        for call in calls() {
            let input = call.input(&rows);
            group.bench_function(call.name(), |b| b.iter(|| black_box(input.evaluate(call.native()))));
        }
    }
}

/// Forces the way of a parallel plan: update, `state`, `merge_batch`, `evaluate`. Each user is in both partitions, except
/// where every row is a user of its own: then states are as many as rows.
pub fn two_phases(c: &mut Criterion) {
    let n = size(1 << 18);
    for shape in [Shape::Time, Shape::OneUser, Shape::AllUsers] {
        let mut group = c.benchmark_group(format!("two_phases/{}", shape.name()));
        group.throughput(Throughput::Elements(n as u64));
        let rows = shape.rows(n);
        for call in calls() {
            let (even, odd) = rows.iter().enumerate().partition::<Vec<_>, _>(|(at, _)| at % 2 == 0);
            let parts = [even, odd].map(|part| call.input(&part.into_iter().map(|(_, row)| *row).collect::<Vec<_>>()));
            assert_same(call.name(), &merge(&parts, || call.native()), &call.input(&rows).evaluate(call.native()));
            group.bench_function(call.name(), |b| b.iter(|| black_box(merge(&parts, || call.native()))));
        }
    }
}

/// The native grouped path beside DataFusion's adapter over row accumulators, on the same input. Time order makes the
/// adapter cut every batch into slices of a row or two; with user order it has long slices and looks its best.
pub fn generic(c: &mut Criterion) {
    let n = size(1 << 16);
    for shape in [Shape::Time, Shape::User] {
        let mut group = c.benchmark_group(format!("native_and_generic/{}", shape.name()));
        group.throughput(Throughput::Elements(n as u64));
        let rows = shape.rows(n);
        for call in calls() {
            let input = call.input(&rows);
            assert_same(call.name(), &input.evaluate(call.native()), &input.evaluate(call.generic()));
            let id = |path| BenchmarkId::new(call.name(), path);
            group.bench_function(id("native"), |b| b.iter(|| black_box(input.evaluate(call.native()))));
            group.bench_function(id("generic"), |b| b.iter(|| black_box(input.evaluate(call.generic()))));
        }
    }
}

/// Values kept along a chain: none, a dictionary (each value numbered once a batch), plain strings (each row hashed).
/// Where all is tied, values are compared in every sort.
pub fn kept(c: &mut Criterion) {
    let n = size(1 << 18);
    for shape in [Shape::Time, Shape::Tied] {
        let mut group = c.benchmark_group(format!("kept/{}", shape.name()));
        group.throughput(Throughput::Elements(n as u64));
        let rows = shape.rows(n);
        let calls = [
            ("none", funnel_chain()),
            ("dictionary", funnel_chain_kept(Country::Dictionary)),
            ("plain", funnel_chain_kept(Country::Plain)),
        ];
        let parts = |call: &Call| {
            let (left, right) = rows.split_at(n / 2);
            [call.input(left), call.input(right)]
        };
        for (name, call) in calls {
            let (input, parts) = (call.input(&rows), parts(&call));
            group.bench_function(BenchmarkId::new(name, "single_phase"), |b| {
                b.iter(|| black_box(input.evaluate(call.native())));
            });
            group.bench_function(BenchmarkId::new(name, "two_phases"), |b| {
                b.iter(|| black_box(merge(&parts, || call.native())));
            });
        }
    }
}

/// What DataFusion does before an accumulator sees anything: constants are repeated for every row of every batch. The
/// function with the most of them (four words) beside the one with none.
pub fn arguments(c: &mut Criterion) {
    let n = size(1 << 18);
    let mut group = c.benchmark_group("arguments");
    group.throughput(Throughput::Elements(n as u64));
    let rows = Shape::Time.rows(n);
    for call in [window_funnel(), user_retention(), activity_days(), retention()] {
        let batches = call.batches(&rows);
        group.bench_function(call.name(), |b| {
            b.iter(|| batches.iter().for_each(|batch| drop(black_box(call.arguments(batch)))));
        });
    }
}
