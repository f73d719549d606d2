//! `churn_features(days, as_of, horizon)` and `churn_score(features, horizon [, thresholds])`.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, Float64Array, Int64Array, ListArray, ListBuilder, StringBuilder, StructArray,
};
use arrow::buffer::NullBuffer;
use arrow::compute::cast;
use arrow::datatypes::{DataType, Date32Type, Field, Fields, Float64Type, Int64Type};
use datafusion::error::Result;
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDF};

use super::activity_days::day_fields;
use crate::algo::activity::{ActiveDay, Features, Points, features, score};
use crate::error::Error;
use crate::functions::row_function::{RowFunction, row_function};

/// `churn_features(days, as_of, horizon)`.
pub fn churn_features() -> ScalarUDF {
    row_function(ChurnFeatures)
}

/// `churn_score(features, horizon [, thresholds])`.
pub fn churn_score() -> ScalarUDF {
    row_function(ChurnScore { points_alone: false })
}

/// `churn_points(features, horizon [, thresholds])`: the score of `churn_score` alone, a DOUBLE; a piece of a relation's plan.
pub fn churn_points() -> ScalarUDF {
    row_function(ChurnScore { points_alone: true })
}

const FEATURES: [&str; 9] = [
    "recency_days",
    "tenure_days",
    "active_days",
    "active_days_before",
    "events",
    "events_before",
    "repeats",
    "transaction_span",
    "transaction_age",
];

/// Fields of the features.
pub fn feature_fields() -> Fields {
    FEATURES.iter().map(|name| Field::new(*name, DataType::Int64, true)).collect()
}

fn as_row(f: &Features) -> [i64; 9] {
    [
        f.recency_days,
        f.tenure_days,
        f.active_days,
        f.active_days_before,
        f.events,
        f.events_before,
        f.repeats,
        f.transaction_span,
        f.transaction_age,
    ]
}

fn from_row(row: [i64; 9]) -> Features {
    let [recency_days, tenure_days, active_days, active_days_before, events, events_before, repeats, span, age] = row;
    Features {
        recency_days,
        tenure_days,
        active_days,
        active_days_before,
        events,
        events_before,
        repeats,
        transaction_span: span,
        transaction_age: age,
    }
}

/// A list type with 64-bit or other offsets is brought to this one.
fn list_of(item: DataType) -> DataType {
    DataType::new_list(item, true)
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct ChurnFeatures;

impl RowFunction for ChurnFeatures {
    fn name(&self) -> &'static str {
        "churn_features"
    }

    fn coerce(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        match types {
            [DataType::List(_), _, _] => {
                Ok(vec![list_of(DataType::Struct(day_fields())), DataType::Date32, DataType::Int64])
            }
            _ => Err(Error::user("churn_features: needs (list of active days, as_of DATE, horizon in days)").into()),
        }
    }

    fn answer_type(&self, _types: &[DataType]) -> Result<DataType> {
        Ok(DataType::Struct(feature_fields()))
    }

    fn call(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let columns = ColumnarValue::values_to_arrays(&args.args)?;
        let lists = columns[0].as_list::<i32>();
        let as_of = columns[1].as_primitive::<Date32Type>();
        let horizon = columns[2].as_primitive::<Int64Type>();
        let structs = lists.values().as_struct();
        let days = structs.column(0).as_primitive::<Date32Type>().values();
        let events = structs.column(1).as_primitive::<Int64Type>().values();
        let transactions = structs.column(2).as_primitive::<Int64Type>().values();
        let mut numbers: [Vec<i64>; 9] = Default::default();
        let mut valid = Vec::with_capacity(lists.len());
        let mut of_user: Vec<ActiveDay> = Vec::new();
        for row in 0..lists.len() {
            of_user.clear();
            let known = lists.is_valid(row) && as_of.is_valid(row) && horizon.is_valid(row);
            if known {
                let range = lists.value_offsets()[row] as usize..lists.value_offsets()[row + 1] as usize;
                of_user.extend(range.map(|at| ActiveDay {
                    day: i64::from(days[at]),
                    events: events[at],
                    transactions: transactions[at],
                }));
            }
            let found = match known {
                true => features(&of_user, i64::from(as_of.value(row)), horizon.value(row).max(1)),
                false => None,
            };
            valid.push(found.is_some());
            let row = as_row(&found.unwrap_or_default());
            numbers.iter_mut().zip(row).for_each(|(column, number)| column.push(number));
        }
        let columns = numbers.into_iter().map(|n| Arc::new(Int64Array::from(n)) as ArrayRef).collect();
        let answer = StructArray::try_new(feature_fields(), columns, Some(NullBuffer::from(valid)))?;
        Ok(ColumnarValue::Array(Arc::new(answer)))
    }
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct ChurnScore {
    points_alone: bool,
}

fn score_fields() -> Fields {
    vec![Field::new("score", DataType::Float64, true), Field::new("reasons", list_of(DataType::Utf8), true)].into()
}

impl RowFunction for ChurnScore {
    fn name(&self) -> &'static str {
        if self.points_alone { "churn_points" } else { "churn_score" }
    }

    fn coerce(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        let is_features =
            matches!(types.first(), Some(DataType::Struct(f)) if FEATURES.iter().all(|name| f.find(name).is_some()));
        let is_list =
            |t: &DataType| matches!(t, DataType::List(_) | DataType::FixedSizeList(_, _) | DataType::LargeList(_));
        match types {
            [_, _] if is_features => Ok(vec![types[0].clone(), DataType::Int64]),
            [_, _, thresholds] if is_features && is_list(thresholds) => {
                Ok(vec![types[0].clone(), DataType::Int64, list_of(DataType::Float64)])
            }
            _ => Err(Error::user("churn_score: needs (features, horizon [, list of 8 thresholds]), where features are those of churn_features(..)").into()),
        }
    }

    fn answer_type(&self, _types: &[DataType]) -> Result<DataType> {
        Ok(if self.points_alone { DataType::Float64 } else { DataType::Struct(score_fields()) })
    }

    fn call(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let columns = ColumnarValue::values_to_arrays(&args.args)?;
        let given = columns[0].as_struct();
        let horizon = columns[1].as_primitive::<Int64Type>();
        let thresholds = columns.get(2).map(|c| c.as_list::<i32>());
        // A plan may carry them narrower than `churn_features` answers.
        let wide: Vec<ArrayRef> = FEATURES
            .iter()
            .map(|name| given.column_by_name(name).filter(|c| c.data_type().is_integer()))
            .map(|column| column.and_then(|column| cast(column, &DataType::Int64).ok()))
            .collect::<Option<_>>()
            .ok_or_else(|| {
                Error::user("churn_score: the features must be whole numbers, as churn_features(..) answers")
            })?;
        let numbers: Vec<&Int64Array> = wide.iter().map(|column| column.as_primitive::<Int64Type>()).collect();
        let mut scores: Vec<Option<f64>> = Vec::with_capacity(given.len());
        let mut reasons = ListBuilder::new(StringBuilder::new());
        for row in 0..given.len() {
            if given.is_null(row) || horizon.is_null(row) || numbers.iter().any(|n| n.is_null(row)) {
                scores.push(None);
                reasons.append(false);
                continue;
            }
            let horizon = horizon.value(row).max(1);
            let points = match thresholds {
                Some(lists) => read_thresholds(lists, row)?,
                None => Points::for_horizon(horizon),
            };
            let of_user = from_row(std::array::from_fn(|at| numbers[at].value(row)));
            if self.points_alone {
                scores.push(Some(f64::from(crate::algo::activity::points(&of_user, &points)) / 100.0));
                continue;
            }
            let found = score(&of_user, &points, horizon);
            scores.push(Some(f64::from(found.points) / 100.0));
            found.reasons.iter().for_each(|r| reasons.values().append_value(r));
            reasons.append(true);
        }
        let scores: ArrayRef = Arc::new(Float64Array::from(scores));
        if self.points_alone {
            return Ok(ColumnarValue::Array(scores));
        }
        let columns: Vec<ArrayRef> = vec![scores, Arc::new(reasons.finish())];
        let valid = given.nulls().cloned();
        Ok(ColumnarValue::Array(Arc::new(StructArray::try_new(score_fields(), columns, valid)?)))
    }
}

fn read_thresholds(lists: &ListArray, row: usize) -> Result<Points, Error> {
    let list = lists.value(row);
    let numbers = list.as_primitive::<Float64Type>();
    match (lists.is_valid(row) && numbers.null_count() == 0).then(|| numbers.values().as_ref()) {
        Some([r1, r2, r3, r4, f1, f2, t1, t2]) => Ok(Points {
            recency: [*r1 as i64, *r2 as i64, *r3 as i64, *r4 as i64],
            frequency: [*f1 as i64, *f2 as i64],
            trend: [*t1, *t2],
        }),
        _ => Err(Error::user(format!(
            "churn_score: 8 thresholds are needed (4 recency, 2 frequency, 2 trend), got {}",
            numbers.len()
        ))),
    }
}
