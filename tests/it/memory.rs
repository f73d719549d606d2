//! Under a memory limit a question is answered exactly or refused with a message that names who holds the memory.
//!
//! Never a wrong answer, never a panic, and whatever was reserved is given back.

use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, Field, Schema};
use datafusion::logical_expr::function::AccumulatorArgs;
use datafusion::logical_expr::{AggregateUDF, EmitTo, GroupsAccumulator};
use datafusion::physical_plan::PhysicalExpr;
use datafusion::physical_plan::expressions::{Column, lit};
use datafusion::scalar::ScalarValue;
use tenure::engine::Settings;
use tenure::error::Kind;
use tenure::functions;

use crate::ask::{Asked, settings};

const QUESTIONS: &[&str] = &[
    "SELECT * FROM funnel(t, steps => ['a', 'b', 'c'], within => INTERVAL '1 day')",
    "SELECT * FROM funnel(t, steps => ['a', 'b', 'c'], within => INTERVAL '1 day', by => country)",
    "SELECT * FROM retention(t, unit => 'day', periods => 5, by => country)",
    "SELECT * FROM retention_curve(t, start => 'a', unit => 'day', periods => 5)",
    "SELECT * FROM churn_scores(t, transaction => 'c', horizon => INTERVAL '4 days')",
    "SELECT user_id, window_funnel(INTERVAL '1 day', ts, event = 'a', event = 'b'), retention(event = 'a', event = 'c') FROM t GROUP BY user_id ORDER BY user_id",
    "SELECT * FROM session_summary(t, gap => INTERVAL '20 hours', by => country, period => 'day', conversion => 'c')",
    "SELECT * FROM pages(t, gap => INTERVAL '20 hours', page => country)",
    "SELECT * FROM transitions(t, gap => INTERVAL '1 day', top => 3)",
    "SELECT * FROM paths(t, from => 'a', anchor => 'all', within => 'user', by => country)",
    "SELECT * FROM attribution(t, conversion => 'c', channel => event, touch => event <> 'c', by => country, model => ['linear', 'markov', 'shapley'])",
    "SELECT * FROM lifecycle(t, unit => 'day', by => country)",
];

/// The operators of these plans that hold memory, as the pool names them.
const HOLDERS: [&str; 8] = [
    "PartialHashAggregateStream",
    "FinalHashAggregateStream",
    "SingleHashAggregateStream",
    "ExternalSorter",
    "SortPreservingMergeExec",
    "CrossJoinExec",
    "RepartitionExec",
    "WindowAggExec",
];

/// 40,000 events of 4,000 users, in 20 batches over two partitions; batches are small so that limits bite in the middle.
fn events() -> Vec<Vec<RecordBatch>> {
    let mut partitions = vec![Vec::new(), Vec::new()];
    for part in 0..20_i64 {
        let rows: Vec<i64> = (part * 2_000..(part + 1) * 2_000).map(|n| n * 7_919 % 40_000).collect();
        let users = Int64Array::from_iter_values(rows.iter().map(|n| n % 4_000));
        let times = rows.iter().map(|n| 1_736_899_200_000_000 + n * 13 % 480 * 3_600_000_000);
        let events = StringArray::from_iter_values(rows.iter().map(|n| ["a", "b", "c", "d"][(n / 3 % 4) as usize]));
        let countries = StringArray::from_iter_values(rows.iter().map(|n| format!("country {}", n % 4_000 % 37)));
        let columns: Vec<(&str, ArrayRef)> = vec![
            ("user_id", Arc::new(users)),
            ("ts", Arc::new(TimestampMicrosecondArray::from_iter_values(times))),
            ("event", Arc::new(events)),
            ("country", Arc::new(countries)),
        ];
        partitions[part as usize % 2].push(RecordBatch::try_from_iter(columns).unwrap());
    }
    partitions
}

fn reserved(asked: &Asked) -> usize {
    asked.engine.context().runtime_env().memory_pool.reserved()
}

/// What is still reserved when the tasks of a query that failed or was stopped have had time to end.
fn finally_reserved(asked: &Asked) -> usize {
    for _ in 0..500 {
        if reserved(asked) == 0 {
            return 0;
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    reserved(asked)
}

#[test]
fn the_right_answer_or_a_refusal_that_names_the_operator() {
    let plenty = Asked::new(2);
    plenty.table("t", events());
    let want: Vec<Vec<Vec<String>>> = QUESTIONS.iter().map(|sql| plenty.rows(sql)).collect();
    let (mut answered, mut refused) = (0, 0);
    for kibibytes in [1, 200, 800, 3_000, 12_000, 30_000] {
        let asked = Asked::open(&Settings { memory: Some(kibibytes << 10), ..settings(2) });
        asked.table("t", events());
        for (sql, want) in QUESTIONS.iter().zip(&want) {
            match asked.batches(sql) {
                Ok(batches) => {
                    answered += 1;
                    let got = crate::ask::rows(&batches);
                    for (got, want) in got.iter().zip(want) {
                        assert_eq!(got, want, "{kibibytes} KiB: {sql}");
                    }
                    assert_eq!(got.len(), want.len(), "{kibibytes} KiB: {sql}");
                }
                Err(error) => {
                    refused += 1;
                    let message = error.message();
                    assert_eq!(error.kind(), Kind::Resources, "{kibibytes} KiB: {message}\n{sql}");
                    let holder = message.split_once("out of memory: ").map_or("", |(_, rest)| rest);
                    assert!(HOLDERS.iter().any(|name| holder.starts_with(name)), "{kibibytes} KiB: {message}\n{sql}");
                }
            }
            assert_eq!(finally_reserved(&asked), 0, "{kibibytes} KiB, after {sql}");
        }
    }
    assert!(answered >= 6 && refused >= 6, "{answered} answered, {refused} refused: the limits say nothing");
}

#[test]
fn a_stopped_query_gives_its_memory_back() {
    use futures::StreamExt;
    let asked = Asked::open(&Settings { memory: Some(100 << 20), ..settings(2) });
    asked.table("t", events());
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let mut answer = asked.engine.run(QUESTIONS[5], &Default::default()).await.unwrap();
        let first = answer.stream.next().await.unwrap().unwrap();
        assert!(first.num_rows() > 0);
        drop(answer);
    });
    assert_eq!(finally_reserved(&asked), 0);
}

/// An aggregate's grouped state over columns of these types, with constants in front.
fn groups(
    function: &AggregateUDF,
    constants: &[ScalarValue],
    columns: &[(&str, DataType)],
    after: &[ScalarValue],
) -> Box<dyn GroupsAccumulator> {
    let fields: Vec<Field> = columns.iter().map(|(name, t)| Field::new(*name, t.clone(), true)).collect();
    let schema = Schema::new(fields);
    let mut exprs: Vec<Arc<dyn PhysicalExpr>> = constants.iter().map(|c| lit(c.clone())).collect();
    exprs.extend((0..columns.len()).map(|at| Arc::new(Column::new(columns[at].0, at)) as Arc<dyn PhysicalExpr>));
    exprs.extend(after.iter().map(|c| lit(c.clone())));
    let expr_fields: Vec<_> = exprs.iter().map(|e| e.return_field(&schema).unwrap()).collect();
    let types: Vec<DataType> = expr_fields.iter().map(|f| f.data_type().clone()).collect();
    let returns = Arc::new(Field::new("f", function.return_type(&types).unwrap(), true));
    function
        .create_groups_accumulator(AccumulatorArgs {
            return_field: returns,
            schema: &schema,
            ignore_nulls: false,
            order_bys: &[],
            is_reversed: false,
            name: "f",
            is_distinct: false,
            exprs: &exprs,
            expr_fields: &expr_fields,
        })
        .unwrap()
}

/// What the state says it holds grows with the events it must keep, at least by their 12 bytes of time and owner, and is
/// gone when they have been given out.
#[test]
fn sizes_tell_what_is_held() {
    let window = ScalarValue::new_interval_mdn(0, 7, 0);
    let time = ("ts", DataType::Timestamp(arrow::datatypes::TimeUnit::Microsecond, None));
    let condition = |name| (name, DataType::Boolean);
    let words: Vec<ScalarValue> = ["day", "UTC", "monday", "rolling"].into_iter().map(ScalarValue::from).collect();
    let utc = [ScalarValue::from("UTC")];
    let mut unborn = vec![ScalarValue::Date32(None)];
    unborn.extend(words[..3].iter().cloned());
    let states: Vec<(&str, Box<dyn GroupsAccumulator>, usize)> = vec![
        (
            "window_funnel",
            groups(
                &functions::funnel::window_funnel(),
                std::slice::from_ref(&window),
                &[time.clone(), condition("a"), condition("b")],
                &[],
            ),
            2,
        ),
        (
            "funnel_chain",
            groups(&functions::funnel::funnel_chain(), &[window], &[time.clone(), condition("a"), condition("b")], &[]),
            2,
        ),
        (
            "user_retention",
            groups(
                &functions::retention::user_retention(),
                &[],
                &[time.clone(), condition("a"), condition("b")],
                &words,
            ),
            2,
        ),
        ("activity_days", groups(&functions::churn::activity_days(), &[], &[time.clone(), condition("a")], &utc), 1),
        ("user_lifecycle", groups(&functions::lifecycle::user_lifecycle(), &[], &[time], &unborn), 0),
    ];
    const ROWS: usize = 1_000;
    const GROUPS: usize = 50;
    for (name, mut state, conditions) in states {
        let empty = state.size();
        let mut held = 0;
        for batch in 0..20_i64 {
            // A day apart, so that nothing can be folded.
            let times = (0..ROWS as i64).map(|row| (batch * ROWS as i64 + row) * 86_400_000_000);
            let mut values: Vec<ArrayRef> = vec![Arc::new(TimestampMicrosecondArray::from_iter_values(times))];
            values.extend((0..conditions).map(|_| Arc::new(BooleanArray::from(vec![true; ROWS])) as ArrayRef));
            // Constants come as columns of one value, as the aggregation hands them over.
            if name.contains("funnel") {
                let interval = ScalarValue::new_interval_mdn(0, 7, 0).to_array_of_size(ROWS).unwrap();
                values.insert(0, interval);
            }
            let after = match name {
                "user_retention" => &words[..],
                "activity_days" => &utc[..],
                "user_lifecycle" => &unborn[..],
                _ => &[],
            };
            values.extend(after.iter().map(|c| c.to_array_of_size(ROWS).unwrap()));
            let of_rows: Vec<usize> = (0..ROWS).map(|row| row % GROUPS).collect();
            state.update_batch(&values, &of_rows, None, GROUPS).unwrap();
            held += ROWS;
            assert!(state.size() >= empty + held * 12, "{name}: {} bytes for {held} events", state.size());
            assert!(
                state.size() <= empty + held * 80 + GROUPS * 100 + 100_000,
                "{name}: {} bytes for {held} events",
                state.size()
            );
        }
        let full = state.size();
        assert_eq!(state.evaluate(EmitTo::All).unwrap().len(), GROUPS, "{name}");
        assert!(state.size() < full / 10, "{name}: {} of {full} bytes after everything was given out", state.size());
    }
}
