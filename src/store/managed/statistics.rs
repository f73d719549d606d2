//! What the log says of a data file: rows, and for each column the smallest and largest value and the number of NULLs.
//!
//! Deals with: the JSON that Delta writers put beside a file, read into values of the column's type; how far it can be believed.
//! Does not deal with: leaving files out of a scan (`provider`).
//!
//! Every value is a bound that holds: no smaller and no larger value is in the file. Some are also *exact*, the value itself
//! is in the file. Writers differ: other ones cut times to the millisecond and long text to a prefix, and none counts NaN.
//! So times and text of another writer are bounds at best, and floating-point numbers always are.

use arrow::datatypes::{DataType, Schema, TimeUnit};
use chrono::{DateTime, NaiveDate, NaiveDateTime};
use datafusion::common::stats::Precision;
use datafusion::common::{ColumnStatistics, ScalarValue, Statistics};
use serde_json::{Map, Value};

/// Text this long may have been cut by another writer: Spark cuts after 32 characters, others later.
const MAY_BE_CUT: usize = 32;

/// Other writers drop what is finer than a millisecond.
const DROPPED_MICROS: i64 = 999;

/// One column of one file.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Bounds {
    /// No value is smaller.
    pub low: Option<ScalarValue>,
    /// No value is larger.
    pub high: Option<ScalarValue>,
    /// NULLs.
    pub nulls: Option<u64>,
    /// Whether `low` and `high` are in the file themselves.
    pub exact: bool,
}

/// What is known of one file.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Facts {
    /// Rows.
    pub rows: Option<u64>,
    /// In the order of the schema's columns.
    pub columns: Vec<Bounds>,
}

/// Whose statistics they are.
#[derive(Debug, Clone, Copy)]
pub enum Writer<'a> {
    /// Ours: times are whole, and the text of this column (the user) is never cut.
    Tenure(&'a str),
    /// Another.
    Other,
}

/// Reads the statistics of a file. What cannot be read is not known: it never stops a query.
pub fn read(json: Option<&str>, schema: &Schema, writer: Writer) -> Facts {
    let parsed: Option<Map<String, Value>> = json.and_then(|text| serde_json::from_str(text).ok());
    let part = |key: &str| parsed.as_ref().and_then(|p| p.get(key)).and_then(Value::as_object);
    let rows = parsed.as_ref().and_then(|p| p.get("numRecords")).and_then(Value::as_u64);
    let loose = parsed.as_ref().and_then(|p| p.get("tightBounds")).and_then(Value::as_bool) == Some(false);
    let (lows, highs, nulls) = (part("minValues"), part("maxValues"), part("nullCount"));
    let columns = schema.fields().iter().map(|field| {
        let value = |values: Option<&Map<String, Value>>, upper| {
            let value = values?.get(field.name())?;
            bound(value, field.data_type(), upper, writer)
        };
        let mut bounds = Bounds {
            low: value(lows, false),
            high: value(highs, true),
            nulls: nulls.and_then(|n| n.get(field.name())).and_then(Value::as_u64),
            exact: !loose && is_exact(field.name(), field.data_type(), writer),
        };
        let upside_down = matches!((&bounds.low, &bounds.high), (Some(low), Some(high)) if low > high);
        if upside_down {
            (bounds.low, bounds.high) = (None, None);
        }
        bounds
    });
    Facts { rows, columns: columns.collect() }
}

impl Facts {
    /// The same without so many of the rows, no matter which: bounds hold still, but are values of the file no more.
    #[must_use]
    pub fn without(&self, rows: u64) -> Self {
        if rows == 0 {
            return self.clone();
        }
        let columns = self.columns.iter().map(|bounds| Bounds {
            // None is left of none.
            nulls: bounds.nulls.filter(|nulls| *nulls == 0),
            exact: false,
            ..bounds.clone()
        });
        Self { rows: self.rows.map(|all| all.saturating_sub(rows)), columns: columns.collect() }
    }

    /// The same for the query engine; `types` are those of the scan.
    pub fn statistics<'a>(&self, bytes: u64, types: impl Iterator<Item = &'a DataType>) -> Statistics {
        Statistics {
            num_rows: precision(self.rows.and_then(|n| usize::try_from(n).ok()), true),
            total_byte_size: Precision::Inexact(usize::try_from(bytes).unwrap_or(usize::MAX)),
            column_statistics: self.columns.iter().zip(types).map(|(b, t)| b.statistics(t)).collect(),
        }
    }
}

impl Bounds {
    fn statistics(&self, data_type: &DataType) -> ColumnStatistics {
        let typed = |value: &Option<ScalarValue>| value.as_ref().and_then(|v| v.cast_to(data_type).ok());
        ColumnStatistics {
            null_count: precision(self.nulls.and_then(|n| usize::try_from(n).ok()), true),
            min_value: precision(typed(&self.low), self.exact),
            max_value: precision(typed(&self.high), self.exact),
            ..ColumnStatistics::new_unknown()
        }
    }
}

fn precision<T: std::fmt::Debug + Clone + PartialEq + Eq + PartialOrd>(value: Option<T>, exact: bool) -> Precision<T> {
    match (value, exact) {
        (None, _) => Precision::Absent,
        (Some(value), true) => Precision::Exact(value),
        (Some(value), false) => Precision::Inexact(value),
    }
}

fn is_exact(name: &str, data_type: &DataType, writer: Writer) -> bool {
    match (data_type, writer) {
        (DataType::Float32 | DataType::Float64, _) => false,
        (integer, _) if integer.is_integer() => true,
        (DataType::Date32 | DataType::Boolean, _) => true,
        (DataType::Timestamp(..), Writer::Tenure(_)) => true,
        (_, Writer::Tenure(user)) => user == name,
        _ => false,
    }
}

/// One bound of a column of this type.
fn bound(value: &Value, data_type: &DataType, upper: bool, writer: Writer) -> Option<ScalarValue> {
    let integer = || value.as_i64();
    Some(match data_type {
        DataType::Int8 => ScalarValue::Int8(Some(integer()?.try_into().ok()?)),
        DataType::Int16 => ScalarValue::Int16(Some(integer()?.try_into().ok()?)),
        DataType::Int32 => ScalarValue::Int32(Some(integer()?.try_into().ok()?)),
        DataType::Int64 => ScalarValue::Int64(Some(integer()?)),
        // Reading a decimal text back may miss the number by one step.
        DataType::Float32 => {
            let number = value.as_f64()? as f32;
            ScalarValue::Float32(Some(if upper { number.next_up() } else { number.next_down() }))
        }
        DataType::Float64 => {
            let number = value.as_f64()?;
            ScalarValue::Float64(Some(if upper { number.next_up() } else { number.next_down() }))
        }
        DataType::Boolean => ScalarValue::Boolean(Some(value.as_bool()?)),
        DataType::Date32 => {
            let date = NaiveDate::parse_from_str(value.as_str()?, "%Y-%m-%d").ok()?;
            let days = date.signed_duration_since(NaiveDate::default()).num_days();
            ScalarValue::Date32(Some(days.try_into().ok()?))
        }
        DataType::Timestamp(TimeUnit::Microsecond, zone) => {
            let exact = instant(value.as_str()?)?;
            let micros = match writer {
                Writer::Tenure(_) => exact,
                Writer::Other if exact % 1000 != 0 => exact,
                Writer::Other if upper => exact.saturating_add(DROPPED_MICROS),
                Writer::Other => exact.saturating_sub(DROPPED_MICROS),
            };
            ScalarValue::TimestampMicrosecond(Some(micros), zone.clone())
        }
        DataType::Utf8 | DataType::Utf8View | DataType::LargeUtf8 => text(value, writer)?,
        DataType::Dictionary(_, inner) if **inner == DataType::Utf8 => text(value, writer)?,
        _ => return None,
    })
}

fn text(value: &Value, writer: Writer) -> Option<ScalarValue> {
    let text = value.as_str()?;
    let whole = matches!(writer, Writer::Tenure(_)) || text.chars().count() < MAY_BE_CUT;
    whole.then(|| ScalarValue::Utf8(Some(text.to_string())))
}

/// Microseconds since 1970 of a time as Delta writers write it; without a zone it is UTC.
fn instant(text: &str) -> Option<i64> {
    if let Ok(instant) = DateTime::parse_from_rfc3339(text) {
        return Some(instant.timestamp_micros());
    }
    let local = ["%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%d %H:%M:%S%.f"].iter();
    local
        .filter_map(|form| NaiveDateTime::parse_from_str(text, form).ok())
        .next()
        .map(|t| t.and_utc().timestamp_micros())
}

/// Several files together.
pub fn total<'a>(files: impl Iterator<Item = &'a Statistics>, columns: usize) -> Statistics {
    let mut sum = Statistics {
        num_rows: Precision::Exact(0),
        total_byte_size: Precision::Exact(0),
        column_statistics: vec![
            ColumnStatistics { null_count: Precision::Exact(0), ..ColumnStatistics::new_unknown() };
            columns
        ],
    };
    // A file of nothing but NULLs has no bounds, and takes none away.
    let mut bounded = vec![false; columns];
    for file in files {
        sum.num_rows = sum.num_rows.add(&file.num_rows);
        sum.total_byte_size = sum.total_byte_size.add(&file.total_byte_size);
        for (at, column) in file.column_statistics.iter().enumerate().take(columns) {
            let all = &mut sum.column_statistics[at];
            all.null_count = all.null_count.add(&column.null_count);
            let nothing = file.num_rows.is_exact() == Some(true) && column.null_count == file.num_rows;
            if nothing {
                continue;
            }
            if bounded[at] {
                all.min_value = all.min_value.min(&column.min_value);
                all.max_value = all.max_value.max(&column.max_value);
            } else {
                (all.min_value, all.max_value) = (column.min_value.clone(), column.max_value.clone());
                bounded[at] = true;
            }
        }
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::super::schema::{dictionary_type, time_type};
    use super::*;
    use arrow::datatypes::Field;

    const JSON: &str = r#"{"numRecords":4,
        "minValues":{"u":-3,"t":"2024-01-01T00:00:00.123Z","e":"a","f":0.1,"d":"1969-12-31","long":"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"},
        "maxValues":{"u":9007199254740993,"t":"2024-01-01T00:00:00.456Z","e":"b","f":0.3,"d":"2024-02-29","long":"b"},
        "nullCount":{"u":0,"e":1,"gone":4}}"#;

    fn schema() -> Schema {
        Schema::new(vec![
            Field::new("u", DataType::Int64, true),
            Field::new("t", time_type(), true),
            Field::new("e", dictionary_type(), true),
            Field::new("f", DataType::Float64, true),
            Field::new("d", DataType::Date32, true),
            Field::new("long", DataType::Utf8, true),
            Field::new("gone", DataType::Utf8, true),
        ])
    }

    const MOMENT: i64 = 1_704_067_200_000_000;

    fn times(bounds: &Bounds) -> (i64, i64) {
        match (&bounds.low, &bounds.high) {
            (
                Some(ScalarValue::TimestampMicrosecond(Some(a), _)),
                Some(ScalarValue::TimestampMicrosecond(Some(b), _)),
            ) => (a - MOMENT, b - MOMENT),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn our_own_are_exact_where_they_can_be() {
        let facts = read(Some(JSON), &schema(), Writer::Tenure("u"));
        assert_eq!(facts.rows, Some(4));
        let [u, t, e, f, d, long, gone] = facts.columns.as_slice() else { panic!() };
        // Beyond 2^53: a detour over floating point would lose the last digit.
        assert_eq!(u.high, Some(ScalarValue::Int64(Some(9_007_199_254_740_993))));
        assert_eq!((u.exact, u.nulls, t.exact, e.exact, f.exact, d.exact), (true, Some(0), true, false, false, true));
        assert_eq!(times(t), (123_000, 456_000));
        assert_eq!(d.low, Some(ScalarValue::Date32(Some(-1))));
        assert!(
            f.low.clone().unwrap() < ScalarValue::Float64(Some(0.1))
                && f.high.clone().unwrap() > ScalarValue::Float64(Some(0.3))
        );
        assert!(long.low.is_some() && long.high.is_some());
        assert_eq!(*gone, Bounds { nulls: Some(4), exact: false, ..Bounds::default() });
        let statistics = facts.statistics(10, schema().fields().iter().map(|f| f.data_type()));
        assert_eq!(statistics.column_statistics[0].min_value, Precision::Exact(ScalarValue::Int64(Some(-3))));
        assert!(matches!(statistics.column_statistics[2].min_value, Precision::Inexact(ScalarValue::Dictionary(..))));
    }

    #[test]
    fn other_writers_drop_digits() {
        let facts = read(Some(JSON), &schema(), Writer::Other);
        let [u, t, _, _, _, long, _] = facts.columns.as_slice() else { panic!() };
        assert!(u.exact && !t.exact);
        assert_eq!(times(t), (123_000 - 999, 456_000 + 999));
        assert_eq!((&long.low, long.high.is_some()), (&None, true));
    }

    #[test]
    fn what_makes_no_sense_is_not_known() {
        for text in [
            None,
            Some(""),
            Some("[]"),
            Some("{\"numRecords\":-1}"),
            Some("{\"minValues\":{\"u\":\"x\",\"d\":1,\"t\":\"soon\"}}"),
        ] {
            let facts = read(text, &schema(), Writer::Other);
            assert_eq!(facts.rows, None);
            assert!(facts.columns.iter().all(|b| b.low.is_none() && b.high.is_none()), "{text:?}");
        }
        let swapped = read(Some(r#"{"minValues":{"u":5},"maxValues":{"u":4}}"#), &schema(), Writer::Other);
        assert_eq!(swapped.columns[0].low, None);
        let loose = read(Some(r#"{"tightBounds":false,"minValues":{"u":5}}"#), &schema(), Writer::Other);
        assert!(!loose.columns[0].exact);
    }

    #[test]
    fn times_in_every_form() {
        let expected = Some(MOMENT + 500_000);
        for text in [
            "2024-01-01T00:00:00.500Z",
            "2024-01-01T01:00:00.5+01:00",
            "2024-01-01 00:00:00.5",
            "2024-01-01T00:00:00.500000",
        ] {
            assert_eq!(instant(text), expected, "{text}");
        }
    }

    #[test]
    fn totals_pass_over_columns_that_a_file_lacks() {
        let schema = Schema::new(vec![Field::new("u", DataType::Int64, true)]);
        let file = |json: &str| read(Some(json), &schema, Writer::Other).statistics(1, [&DataType::Int64].into_iter());
        let some = file(r#"{"numRecords":2,"minValues":{"u":3},"maxValues":{"u":4},"nullCount":{"u":0}}"#);
        let none = file(r#"{"numRecords":5,"nullCount":{"u":5}}"#);
        let less = file(r#"{"numRecords":1,"minValues":{"u":1},"maxValues":{"u":1},"nullCount":{"u":0}}"#);
        let all = total([&some, &none, &less].into_iter(), 1);
        assert_eq!(all.num_rows, Precision::Exact(8));
        assert_eq!(all.column_statistics[0].null_count, Precision::Exact(5));
        assert_eq!(all.column_statistics[0].min_value, Precision::Exact(ScalarValue::Int64(Some(1))));
        assert_eq!(all.column_statistics[0].max_value, Precision::Exact(ScalarValue::Int64(Some(4))));
        let unknown = file(r#"{"numRecords":1}"#);
        assert_eq!(total([&some, &unknown].into_iter(), 1).column_statistics[0].min_value, Precision::Absent);
    }
}
