//! One column of `SUMMARIZE`: how often each value comes, as long as there are not too many of them.
//!
//! Values are the bytes that arrow sorts rows by, so that every type is counted, ordered and shown in the same way. Past the limit, distinct
//! values are estimated by a HyperLogLog sketch and quantiles by a t-digest; the most frequent value is not known then. Least, greatest, mean
//! and NULLs stay exact. Whether the limit is passed depends on the column's values alone, not on how its rows are dealt to partitions.

use std::hash::{BuildHasher, BuildHasherDefault};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::compute::cast;
use arrow::datatypes::{ArrowPrimitiveType, DataType, Float16Type, Float32Type, Float64Type};
use arrow::row::{RowConverter, SortField};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use datafusion::error::Result;
use datasketches::tdigest::TDigestMut;
use hashbrown::HashTable;
use twox_hash::XxHash64;

use crate::algo::exact_sum::DoubleSum;
use crate::error::Error;
use crate::model::sketches::Value;
use crate::model::sketches::hll::{self, Hll};

/// Bytes of distinct values that are counted one by one, beside their number.
const COUNTED_BYTES: usize = 16 << 20;

/// The shares of the quantiles.
const SHARES: [f64; 3] = [0.25, 0.5, 0.75];

/// Centroids of the t-digest.
const DIGEST: u16 = 200;

/// Registers of the sketch, as a power of two: 1.6 % standard error.
const LG_K: u8 = 12;

type F16 = <Float16Type as ArrowPrimitiveType>::Native;

/// What is known of a column at the end.
#[derive(Debug)]
pub(super) struct Told {
    pub rows: i64,
    pub nulls: i64,
    /// `None` for a type whose values cannot be compared.
    pub distinct: Option<i64>,
    /// Whether `distinct`, `quantiles` and `top` are.
    pub exact: bool,
    pub min: Option<String>,
    pub max: Option<String>,
    pub mean: Option<f64>,
    pub quantiles: [Option<f64>; 3],
    pub top: Option<(String, i64)>,
}

pub(super) struct Column {
    data_type: DataType,
    /// `None` for a type that arrow does not sort.
    rows_of: Option<RowConverter>,
    limit: usize,
    rows: i64,
    nulls: i64,
    seen: Seen,
    min: Option<Box<[u8]>>,
    max: Option<Box<[u8]>>,
    sum: DoubleSum,
}

enum Seen {
    Counted { values: HashTable<(Box<[u8]>, i64)>, bytes: usize },
    Sketched { distinct: Box<Hll>, digest: Box<TDigestMut> },
}

fn hash(value: &[u8]) -> u64 {
    BuildHasherDefault::<XxHash64>::default().hash_one(value)
}

fn is_number(data_type: &DataType) -> bool {
    data_type.is_numeric()
}

fn unsound(what: impl std::fmt::Display) -> Error {
    Error::internal(format!("SUMMARIZE: {what}"))
}

/// -0.0 is 0.0, and all that are not a number are one.
fn canonical(values: &ArrayRef) -> ArrayRef {
    macro_rules! each {
        ($type:ty, $zero:expr, $nan:expr) => {
            Arc::new(values.as_primitive::<$type>().unary::<_, $type>(|v| match v {
                v if v == $zero => $zero,
                v if v.is_nan() => $nan,
                v => v,
            }))
        };
    }
    match values.data_type() {
        DataType::Float16 => each!(Float16Type, F16::ZERO, F16::NAN),
        DataType::Float32 => each!(Float32Type, 0.0, f32::NAN),
        DataType::Float64 => each!(Float64Type, 0.0, f64::NAN),
        _ => Arc::clone(values),
    }
}

impl Column {
    pub fn new(data_type: &DataType, limit: usize) -> Result<Self> {
        let field = SortField::new(data_type.clone());
        let known = RowConverter::supports_fields(std::slice::from_ref(&field));
        Ok(Self {
            data_type: data_type.clone(),
            rows_of: known.then(|| RowConverter::new(vec![field])).transpose()?,
            limit,
            rows: 0,
            nulls: 0,
            seen: Seen::Counted { values: HashTable::new(), bytes: 0 },
            min: None,
            max: None,
            sum: DoubleSum::default(),
        })
    }

    /// Bytes held, nearly.
    pub fn size(&self) -> usize {
        let seen = match &self.seen {
            Seen::Counted { values, bytes } => bytes + values.capacity() * (size_of::<(Box<[u8]>, i64)>() + 1),
            Seen::Sketched { distinct, digest } => distinct.size() + digest.estimated_size(),
        };
        size_of_val(self) + seen
    }

    pub fn add(&mut self, values: &ArrayRef) -> Result<()> {
        let nulls = values.logical_null_count();
        self.rows += values.len() as i64;
        self.nulls += nulls as i64;
        if nulls == values.len() {
            return Ok(());
        }
        let values = canonical(values);
        let numbers = if is_number(&self.data_type) { Some(cast(&values, &DataType::Float64)?) } else { None };
        let numbers = numbers.as_ref().map(|numbers| numbers.as_primitive::<Float64Type>());
        if let Some(numbers) = numbers {
            for number in numbers.iter().flatten() {
                self.sum.add(number);
                self.sum.terms += 1;
            }
        }
        let Some(rows_of) = &self.rows_of else { return Ok(()) };
        let rows = rows_of.convert_columns(&[Arc::clone(&values)])?;
        let absent = values.logical_nulls();
        for (at, row) in rows.iter().enumerate() {
            if absent.as_ref().is_some_and(|absent| absent.is_null(at)) {
                continue;
            }
            let number = numbers.filter(|numbers| numbers.is_valid(at)).map(|numbers| numbers.value(at));
            self.seen.add(row.as_ref(), number, 1)?;
            if self.min.as_deref().is_none_or(|min| row.as_ref() < min) {
                self.min = Some(row.as_ref().into());
            }
            if self.max.as_deref().is_none_or(|max| row.as_ref() > max) {
                self.max = Some(row.as_ref().into());
            }
        }
        self.keep_to_limit()
    }

    /// Takes in the same column of other rows.
    pub fn merge(&mut self, other: Self) -> Result<()> {
        self.rows += other.rows;
        self.nulls += other.nulls;
        other.sum.parts().for_each(|part| self.sum.add(part));
        self.sum.terms += other.sum.terms;
        self.min = self.min.take().into_iter().chain(other.min).min();
        self.max = self.max.take().into_iter().chain(other.max).max();
        match other.seen {
            Seen::Counted { values, .. } => {
                for (value, times) in values {
                    let number = match &self.seen {
                        Seen::Counted { .. } => None,
                        Seen::Sketched { .. } => number_of(&self.rows_of, &self.data_type, &value)?,
                    };
                    self.seen.add(&value, number, times)?;
                }
                self.keep_to_limit()
            }
            Seen::Sketched { distinct: mut more, digest: more_numbers } => {
                self.sketch()?;
                if let Seen::Sketched { distinct, digest } = &mut self.seen {
                    distinct.merge(&more.write().map_err(unsound)?).map_err(unsound)?;
                    digest.merge(&more_numbers);
                }
                Ok(())
            }
        }
    }

    fn keep_to_limit(&mut self) -> Result<()> {
        match &self.seen {
            Seen::Counted { values, bytes } if values.len() > self.limit || *bytes > COUNTED_BYTES => self.sketch(),
            _ => Ok(()),
        }
    }

    /// Gives up counting one by one.
    fn sketch(&mut self) -> Result<()> {
        if matches!(self.seen, Seen::Sketched { .. }) {
            return Ok(());
        }
        let digest = TDigestMut::new(DIGEST).map_err(unsound)?;
        let sketched = Seen::Sketched { distinct: Box::new(Hll::new(LG_K)), digest: Box::new(digest) };
        if let Seen::Counted { values, .. } = std::mem::replace(&mut self.seen, sketched) {
            for (value, times) in values {
                let number = number_of(&self.rows_of, &self.data_type, &value)?;
                self.seen.add(&value, number, times)?;
            }
        }
        Ok(())
    }

    pub fn told(self) -> Result<Told> {
        let Self { data_type, rows_of, rows, nulls, seen, min, max, sum, limit: _ } = self;
        let shown = |value: Option<&[u8]>| value.map(|value| shown(&rows_of, value)).transpose();
        // Lists and structs have an order, which says nothing to a reader.
        let ordered = !data_type.is_nested();
        let mean = sum.value().map(|total| total / sum.terms as f64);
        let mut told = Told {
            rows,
            nulls,
            distinct: rows_of.is_some().then_some(0),
            exact: true,
            min: shown(min.as_deref().filter(|_| ordered))?,
            max: shown(max.as_deref().filter(|_| ordered))?,
            mean,
            quantiles: [None; 3],
            top: None,
        };
        match seen {
            Seen::Counted { values, .. } => {
                let mut values: Vec<(Box<[u8]>, i64)> = values.into_iter().collect();
                values.sort_unstable();
                told.distinct = told.distinct.map(|_| values.len() as i64);
                // Of values that come equally often, the least.
                let top = values.iter().max_by(|a, b| a.1.cmp(&b.1).then_with(|| b.0.cmp(&a.0)));
                told.top =
                    top.map(|(value, times)| Ok::<_, Error>((self::shown(&rows_of, value)?, *times))).transpose()?;
                if is_number(&data_type) {
                    told.quantiles = quantiles(&rows_of, &values)?;
                }
            }
            Seen::Sketched { mut distinct, mut digest } => {
                told.exact = false;
                let estimate = hll::estimate(&distinct.write().map_err(unsound)?).map_err(unsound)?;
                told.distinct = Some(estimate.estimate.round() as i64);
                if !digest.is_empty() {
                    for (share, found) in SHARES.iter().zip(&mut told.quantiles) {
                        *found = digest.quantile(*share).map_err(unsound)?;
                    }
                }
            }
        }
        Ok(told)
    }
}

impl Seen {
    fn add(&mut self, value: &[u8], number: Option<f64>, times: i64) -> Result<()> {
        match self {
            Self::Counted { values, bytes } => {
                let hashed = hash(value);
                match values.find_mut(hashed, |(known, _)| **known == *value) {
                    Some((_, known)) => *known += times,
                    None => {
                        *bytes += value.len();
                        values.insert_unique(hashed, (value.into(), times), |(known, _)| hash(known));
                    }
                }
            }
            Self::Sketched { distinct, digest } => {
                distinct.add(Value::Integer(hash(value).cast_signed())).map_err(unsound)?;
                // Infinities have no place among centroids, whose means are sums.
                if let Some(number) = number.filter(|number| number.is_finite()) {
                    (0..times).for_each(|_| digest.update(number));
                }
            }
        }
        Ok(())
    }
}

fn array(rows_of: &Option<RowConverter>, values: &[&[u8]]) -> Result<ArrayRef> {
    let Some(rows_of) = rows_of else { return Err(unsound("a value without an order").into()) };
    let parser = rows_of.parser();
    let mut columns = rows_of.convert_rows(values.iter().map(|value| parser.parse(value)))?;
    columns.pop().ok_or_else(|| unsound("a row without columns").into())
}

fn number_of(rows_of: &Option<RowConverter>, data_type: &DataType, value: &[u8]) -> Result<Option<f64>> {
    if !is_number(data_type) {
        return Ok(None);
    }
    let numbers = cast(&array(rows_of, &[value])?, &DataType::Float64)?;
    Ok(numbers.as_primitive::<Float64Type>().iter().next().flatten())
}

fn shown(rows_of: &Option<RowConverter>, value: &[u8]) -> Result<String> {
    let array = array(rows_of, &[value])?;
    let options = FormatOptions::default()
        .with_timestamp_format(Some("%Y-%m-%d %H:%M:%S%.f"))
        .with_timestamp_tz_format(Some("%Y-%m-%d %H:%M:%S%.f%:z"));
    Ok(ArrayFormatter::try_new(array.as_ref(), &options)?.value(0).try_to_string()?)
}

/// The values at [`SHARES`] of the way through values in their order, each as often as it comes; between two, a share of the way.
fn quantiles(rows_of: &Option<RowConverter>, values: &[(Box<[u8]>, i64)]) -> Result<[Option<f64>; 3]> {
    let all: Vec<&[u8]> = values.iter().map(|(value, _)| value.as_ref()).collect();
    let numbers = cast(&array(rows_of, &all)?, &DataType::Float64)?;
    let numbers = numbers.as_primitive::<Float64Type>().values();
    let mut up_to = 0;
    let ends: Vec<i64> = values
        .iter()
        .map(|(_, times)| {
            up_to += times;
            up_to
        })
        .collect();
    let Some(last) = ends.last().map(|rows| rows - 1) else { return Ok([None; 3]) };
    let at = |place: i64| numbers[ends.partition_point(|end| *end <= place)];
    Ok(SHARES.map(|share| {
        // Quarters of whole numbers are exact.
        let place = last as f64 * share;
        let way = place.fract();
        let (lower, upper) = (at(place as i64), at((place as i64 + 1).min(last)));
        Some(match way {
            0.0 => lower,
            _ if lower == upper => lower,
            _ => lower * (1.0 - way) + upper * way,
        })
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{Float64Array, Int64Array, StringArray};

    fn told(parts: &[Vec<Option<f64>>], limit: usize) -> Told {
        let mut whole: Option<Column> = None;
        for part in parts {
            let mut column = Column::new(&DataType::Float64, limit).unwrap();
            column.add(&(Arc::new(Float64Array::from(part.clone())) as ArrayRef)).unwrap();
            match &mut whole {
                Some(whole) => whole.merge(column).unwrap(),
                None => whole = Some(column),
            }
        }
        whole.unwrap().told().unwrap()
    }

    #[test]
    fn counted_values_give_exact_figures() {
        // 1 2 2 3 10: quarters lie on values.
        let told = told(&[vec![Some(2.0), Some(10.0), None], vec![Some(1.0), Some(3.0), Some(2.0)]], 100);
        assert_eq!((told.rows, told.nulls, told.distinct, told.exact), (6, 1, Some(4), true));
        assert_eq!((told.min.as_deref(), told.max.as_deref(), told.mean), (Some("1.0"), Some("10.0"), Some(3.6)));
        assert_eq!(told.quantiles, [Some(2.0), Some(2.0), Some(3.0)]);
        assert_eq!(told.top, Some(("2.0".into(), 2)));
    }

    #[test]
    fn zeros_are_one_value_and_so_is_what_is_no_number() {
        let odd = [Some(0.0), Some(-0.0), Some(f64::NAN), Some(-f64::NAN)];
        let told = told(&[odd[..2].to_vec(), odd[2..].to_vec()], 100);
        assert_eq!(told.distinct, Some(2));
        assert_eq!((told.min.as_deref(), told.max.as_deref()), (Some("0.0"), Some("NaN")));
        assert!(told.mean.unwrap().is_nan());
        assert_eq!(told.top, Some(("0.0".into(), 2)));
    }

    #[test]
    fn nothing_and_only_nulls_have_no_figures() {
        for part in [vec![], vec![None, None]] {
            let told = told(std::slice::from_ref(&part), 100);
            assert_eq!((told.rows, told.nulls), (part.len() as i64, part.len() as i64));
            assert_eq!((told.distinct, told.exact, told.mean, told.top), (Some(0), true, None, None));
            assert_eq!((told.min, told.max, told.quantiles), (None, None, [None; 3]));
        }
    }

    #[test]
    fn past_the_limit_the_same_is_estimated_however_rows_are_dealt() {
        let all: Vec<Option<f64>> = (0..20_000).map(|n| Some(f64::from(n * 7 % 20_000))).collect();
        let apart: Vec<Vec<Option<f64>>> = all.chunks(300).map(<[_]>::to_vec).collect();
        let (one, many) = (told(&[all], 5_000), told(&apart, 5_000));
        for told in [&one, &many] {
            assert!(!told.exact && told.top.is_none());
            assert_eq!(
                (told.min.as_deref(), told.max.as_deref(), told.mean),
                (Some("0.0"), Some("19999.0"), Some(9999.5))
            );
            let distinct = told.distinct.unwrap() as f64;
            assert!((distinct / 20_000.0 - 1.0).abs() < 0.06, "{distinct}");
            for (found, share) in told.quantiles.iter().zip(SHARES) {
                assert!((found.unwrap() / 20_000.0 - share).abs() < 0.01, "{found:?} {share}");
            }
        }
        assert_eq!(one.distinct, many.distinct);
    }

    #[test]
    fn texts_and_large_numbers_are_shown_whole() {
        let mut texts = Column::new(&DataType::Utf8, 10).unwrap();
        texts.add(&(Arc::new(StringArray::from(vec!["b\n\u{1b}", "", "b\n\u{1b}"])) as ArrayRef)).unwrap();
        let told = texts.told().unwrap();
        assert_eq!((told.min.as_deref(), told.max.as_deref()), (Some(""), Some("b\n\u{1b}")));
        assert_eq!((told.mean, told.quantiles, told.top), (None, [None; 3], Some(("b\n\u{1b}".into(), 2))));
        let mut numbers = Column::new(&DataType::Int64, 10).unwrap();
        numbers.add(&(Arc::new(Int64Array::from(vec![i64::MIN, i64::MAX])) as ArrayRef)).unwrap();
        let told = numbers.told().unwrap();
        assert_eq!(told.min, Some(i64::MIN.to_string()));
        assert_eq!(told.max, Some(i64::MAX.to_string()));
    }

    #[test]
    fn of_values_that_come_equally_often_the_least_is_the_top() {
        let mut texts = Column::new(&DataType::Utf8, 10).unwrap();
        texts.add(&(Arc::new(StringArray::from(vec!["c", "b", "a", "c", "b"])) as ArrayRef)).unwrap();
        assert_eq!(texts.told().unwrap().top, Some(("b".into(), 2)));
    }
}
