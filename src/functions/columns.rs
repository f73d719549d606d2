//! Between Arrow columns and the slices that `algo` reads: times, windows, conditions, literal arguments.
//!
//! Deals with: what types a function accepts and how they are read, in the same words for every function.
//! Does not deal with: any one function's meaning.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, ListArray, PrimitiveArray};
use arrow::buffer::{BooleanBuffer, OffsetBuffer};
use arrow::datatypes::{
    DataType, Date32Type, Field, Fields, Int64Type, IntervalMonthDayNanoType, IntervalUnit, TimeUnit,
    TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType, TimestampSecondType,
};
use datafusion::common::ScalarValue;
use datafusion::error::DataFusionError;
use datafusion::physical_expr::expressions::Literal;
use datafusion::physical_plan::PhysicalExpr;

use crate::algo::calendar::Clock;
use crate::algo::funnel::MAX_STEPS;
use crate::error::{Error, Result};

/// Ticks per second of a timestamp unit.
pub fn ticks_per_second(unit: TimeUnit) -> i64 {
    match unit {
        TimeUnit::Second => 1,
        TimeUnit::Millisecond => 1_000,
        TimeUnit::Microsecond => 1_000_000,
        TimeUnit::Nanosecond => 1_000_000_000,
    }
}

/// How the times of a column of this type are read; `None` where it is not a time.
pub fn clock_of(time: &DataType) -> Option<Clock> {
    match time {
        DataType::Timestamp(unit, _) => Some(Clock::Instants(ticks_per_second(*unit))),
        DataType::Date32 => Some(Clock::Dates),
        _ => None,
    }
}

/// The type a time argument is coerced to: timestamps and dates as they are, `Date64` as milliseconds.
pub fn coerce_time(function: &str, position: usize, time: &DataType) -> Result<DataType> {
    match time {
        DataType::Timestamp(_, _) | DataType::Date32 => Ok(time.clone()),
        DataType::Date64 => Ok(DataType::Timestamp(TimeUnit::Millisecond, None)),
        DataType::Null => Ok(DataType::Timestamp(TimeUnit::Nanosecond, None)),
        other => {
            Err(Error::user(format!("{function}: argument {position} (time) must be a TIMESTAMP or DATE, got {other}"))
                .hint("an integer epoch becomes a timestamp with arrow_cast(column, 'Timestamp(Millisecond, None)')"))
        }
    }
}

/// A condition argument must be boolean.
pub fn coerce_condition(function: &str, position: usize, condition: &DataType) -> Result<DataType> {
    match condition {
        DataType::Boolean | DataType::Null => Ok(DataType::Boolean),
        other => Err(Error::user(format!(
            "{function}: argument {position} must be a condition (BOOLEAN), such as event = 'purchase'; got {other}"
        ))),
    }
}

/// `1..=64` conditions.
pub fn check_step_count(function: &str, steps: usize) -> Result<()> {
    match steps {
        0 => Err(Error::user(format!("{function}: at least one step is needed"))),
        n if n > MAX_STEPS => Err(Error::user(format!("{function}: {n} steps given, at most {MAX_STEPS} are allowed"))),
        _ => Ok(()),
    }
}

/// The times of a column as ticks, with its validity.
pub struct Times {
    array: PrimitiveArray<Int64Type>,
}

impl Times {
    /// Reads a timestamp or date column; no copy for timestamps.
    pub fn read(column: &ArrayRef) -> Result<Self, DataFusionError> {
        let array = match column.data_type() {
            DataType::Timestamp(TimeUnit::Second, _) => column.as_primitive::<TimestampSecondType>().reinterpret_cast(),
            DataType::Timestamp(TimeUnit::Millisecond, _) => {
                column.as_primitive::<TimestampMillisecondType>().reinterpret_cast()
            }
            DataType::Timestamp(TimeUnit::Microsecond, _) => {
                column.as_primitive::<TimestampMicrosecondType>().reinterpret_cast()
            }
            DataType::Timestamp(TimeUnit::Nanosecond, _) => {
                column.as_primitive::<TimestampNanosecondType>().reinterpret_cast()
            }
            DataType::Date32 => column.as_primitive::<Date32Type>().unary(i64::from),
            other => return Err(Error::internal(format!("times were coerced to {other}")).into()),
        };
        Ok(Self { array })
    }

    /// Ticks; meaningless where [`Times::is_null`].
    #[inline]
    pub fn values(&self) -> &[i64] {
        self.array.values()
    }

    /// Whether any time is NULL.
    pub fn has_nulls(&self) -> bool {
        self.array.null_count() > 0
    }

    /// Whether this time is NULL.
    #[inline]
    pub fn is_null(&self, row: usize) -> bool {
        self.array.is_null(row)
    }
}

/// Ticks as a column of the original type.
pub fn times_array(ticks: Vec<i64>, nulls: Option<arrow::buffer::NullBuffer>, time: &DataType) -> Result<ArrayRef> {
    use arrow::array::{
        Date32Array, TimestampMicrosecondArray, TimestampMillisecondArray, TimestampNanosecondArray,
        TimestampSecondArray,
    };
    let ticks = arrow::buffer::ScalarBuffer::from(ticks);
    Ok(match time {
        DataType::Timestamp(TimeUnit::Second, zone) => {
            Arc::new(TimestampSecondArray::new(ticks, nulls).with_timezone_opt(zone.clone()))
        }
        DataType::Timestamp(TimeUnit::Millisecond, zone) => {
            Arc::new(TimestampMillisecondArray::new(ticks, nulls).with_timezone_opt(zone.clone()))
        }
        DataType::Timestamp(TimeUnit::Microsecond, zone) => {
            Arc::new(TimestampMicrosecondArray::new(ticks, nulls).with_timezone_opt(zone.clone()))
        }
        DataType::Timestamp(TimeUnit::Nanosecond, zone) => {
            Arc::new(TimestampNanosecondArray::new(ticks, nulls).with_timezone_opt(zone.clone()))
        }
        DataType::Date32 => Arc::new(Date32Array::new(ticks.iter().map(|t| *t as i32).collect(), nulls)),
        other => return Err(Error::internal(format!("no times of type {other}"))),
    })
}

/// The fields of a struct type; none of any other.
pub fn struct_fields(data_type: &DataType) -> Option<&Fields> {
    match data_type {
        DataType::Struct(fields) => Some(fields),
        _ => None,
    }
}

/// A list column: element `g` is `values[offsets[g]..offsets[g + 1]]`.
pub fn list_of(values: ArrayRef, offsets: Vec<i32>) -> ArrayRef {
    let item = Arc::new(Field::new_list_field(values.data_type().clone(), true));
    Arc::new(ListArray::new(item, OffsetBuffer::new(offsets.into()), values, None))
}

/// The largest difference in ticks that an inclusive window of this length allows; `what` is what messages call it.
///
/// Days are 24 hours. A window with months has no length in ticks and is refused, as is one of zero or below.
pub fn window_ticks(function: &str, what: &str, window: &ScalarValue, clock: Clock) -> Result<i64> {
    let wrong = |got: String| {
        Error::user(format!("{function}: {what} must be an INTERVAL above zero, such as INTERVAL '7 days'; got {got}"))
    };
    let value = match window {
        ScalarValue::IntervalMonthDayNano(Some(value)) => *value,
        ScalarValue::IntervalDayTime(Some(v)) => {
            IntervalMonthDayNanoType::make_value(0, v.days, i64::from(v.milliseconds) * 1_000_000)
        }
        ScalarValue::IntervalYearMonth(Some(months)) => IntervalMonthDayNanoType::make_value(*months, 0, 0),
        other => return Err(wrong(other.to_string())),
    };
    if value.months != 0 {
        return Err(Error::user(format!(
            "{function}: {what}: months have no fixed length ({} months given); say it in days",
            value.months
        )));
    }
    let nanos = i128::from(value.days) * 86_400_000_000_000 + i128::from(value.nanoseconds);
    if nanos <= 0 {
        return Err(wrong(format!("{} days {} seconds", value.days, value.nanoseconds as f64 / 1e9)));
    }
    let ticks = match clock {
        Clock::Instants(per_second) => nanos / (1_000_000_000 / i128::from(per_second)),
        Clock::Dates => nanos / 86_400_000_000_000,
    };
    Ok(i64::try_from(ticks).unwrap_or(i64::MAX))
}

/// The interval type that windows are coerced to.
pub fn interval_type() -> DataType {
    DataType::Interval(IntervalUnit::MonthDayNano)
}

/// The constant behind an argument of a planned aggregate, or an error that names it.
pub fn literal<'a>(
    function: &str,
    argument: &str,
    expressions: &'a [Arc<dyn PhysicalExpr>],
    position: usize,
) -> Result<&'a ScalarValue> {
    match expressions.get(position).and_then(|e| e.downcast_ref::<Literal>()) {
        Some(literal) => Ok(literal.value()),
        None => Err(Error::user(format!("{function}: {argument} must be a constant, not a column or expression"))),
    }
}

/// A constant string argument.
pub fn literal_text(
    function: &str,
    argument: &str,
    expressions: &[Arc<dyn PhysicalExpr>],
    position: usize,
) -> Result<String> {
    let value = literal(function, argument, expressions, position)?;
    match value.try_as_str() {
        Some(Some(text)) => Ok(text.to_string()),
        _ => Err(Error::user(format!("{function}: {argument} must be a string, got {value}"))),
    }
}

/// A constant whole number argument.
pub fn literal_integer(
    function: &str,
    argument: &str,
    expressions: &[Arc<dyn PhysicalExpr>],
    position: usize,
) -> Result<i64> {
    match literal(function, argument, expressions, position)? {
        ScalarValue::Int64(Some(value)) => Ok(*value),
        other => Err(Error::user(format!("{function}: {argument} must be a whole number, got {other}"))),
    }
}

/// Folds conditions into one mask a row: bit `c` is set where condition `c` is true (NULL is false), the row passes the
/// aggregate's FILTER, and its time is not NULL. Work is proportional to the set bits.
pub fn masks(conditions: &[ArrayRef], times: &Times, filter: Option<&BooleanArray>, masks: &mut Vec<u64>) {
    masks_at_any_time(conditions, times.values().len(), filter, masks);
    if times.has_nulls() {
        masks.iter_mut().enumerate().filter(|(row, _)| times.is_null(*row)).for_each(|(_, mask)| *mask = 0);
    }
}

/// The same without a time.
pub fn masks_at_any_time(conditions: &[ArrayRef], rows: usize, filter: Option<&BooleanArray>, masks: &mut Vec<u64>) {
    masks.clear();
    masks.resize(rows, 0);
    for (c, condition) in conditions.iter().enumerate() {
        let condition = condition.as_boolean();
        // "Any event" is a constant condition: one pass without branches.
        if condition.null_count() == 0 && condition.true_count() == rows {
            masks.iter_mut().for_each(|mask| *mask |= 1 << c);
            continue;
        }
        for row in true_rows(condition) {
            masks[row] |= 1 << c;
        }
    }
    if let Some(filter) = filter {
        for (row, mask) in masks.iter_mut().enumerate() {
            if !(filter.is_valid(row) && filter.value(row)) {
                *mask = 0;
            }
        }
    }
}

/// Conditions up to which a block of 64 rows is decided at once.
const FEW_CONDITIONS: usize = 8;

/// The rows that take part, in order, each with its mask as [`masks`] gives it: those in which some condition holds, or
/// with `every` those that pass the filter at a known time. `scratch` is for reuse.
pub fn each_event(
    conditions: &[ArrayRef],
    times: &Times,
    filter: Option<&BooleanArray>,
    every: bool,
    scratch: &mut Vec<u64>,
    mut each: impl FnMut(usize, u64),
) {
    if conditions.len() <= FEW_CONDITIONS {
        return each_of_few(conditions, times, filter, every, each);
    }
    masks(conditions, times, filter, scratch);
    for (row, mask) in scratch.iter().enumerate() {
        if *mask != 0 || (every && !times.is_null(row) && passes(filter, row)) {
            each(row, *mask);
        }
    }
}

/// The same for at most [`FEW_CONDITIONS`]: 64 rows are looked at at once, and nothing is written for those that take no part.
fn each_of_few(
    conditions: &[ArrayRef],
    times: &Times,
    filter: Option<&BooleanArray>,
    every: bool,
    mut each: impl FnMut(usize, u64),
) {
    let bits = conditions.iter().map(|c| true_bits(c.as_boolean())).enumerate();
    // Many a question has conditions that nobody asked for: constants, false for all.
    let conditions: Vec<(usize, BooleanBuffer)> = bits.filter(|(_, bits)| bits.count_set_bits() > 0).collect();
    let filter = filter.map(true_bits);
    let known = times.array.nulls().map(|n| n.inner()).filter(|_| times.has_nulls());
    let rows = times.values().len();
    let mut words = [0u64; FEW_CONDITIONS];
    for base in (0..rows).step_by(64) {
        let length = (rows - base).min(64);
        let mut any = if every { u64::MAX >> (64 - length) } else { 0 };
        for (word, (_, bits)) in words.iter_mut().zip(&conditions) {
            *word = read_word(bits, base, length);
            any |= *word;
        }
        for bits in filter.iter().chain(known) {
            any &= read_word(bits, base, length);
        }
        while any != 0 {
            let bit = any.trailing_zeros();
            any &= any - 1;
            let marks = words.iter().zip(&conditions);
            let mask = marks.fold(0, |mask, (word, (place, _))| mask | ((word >> bit) & 1) << place);
            each(base + bit as usize, mask);
        }
    }
}

/// Where a condition is true and not NULL.
fn true_bits(condition: &BooleanArray) -> BooleanBuffer {
    match condition.nulls() {
        Some(nulls) => condition.values() & nulls.inner(),
        None => condition.values().clone(),
    }
}

/// Whether a row passes the aggregate's FILTER: NULL is false.
#[inline]
pub fn passes(filter: Option<&BooleanArray>, row: usize) -> bool {
    filter.is_none_or(|f| f.is_valid(row) && f.value(row))
}

/// Rows where a condition is true and not NULL.
fn true_rows(condition: &BooleanArray) -> impl Iterator<Item = usize> {
    TrueRows { bits: true_bits(condition), word: 0, base: 0, next: 0 }
}

/// Walks the set bits of a buffer 64 at a time.
struct TrueRows {
    bits: BooleanBuffer,
    word: u64,
    base: usize,
    next: usize,
}

impl Iterator for TrueRows {
    type Item = usize;

    #[inline]
    fn next(&mut self) -> Option<usize> {
        while self.word == 0 {
            if self.next >= self.bits.len() {
                return None;
            }
            self.base = self.next;
            let length = (self.bits.len() - self.next).min(64);
            self.word = read_word(&self.bits, self.next, length);
            self.next += length;
        }
        let bit = self.word.trailing_zeros() as usize;
        self.word &= self.word - 1;
        Some(self.base + bit)
    }
}

/// `length <= 64` bits from `at`, the first in the lowest bit.
fn read_word(bits: &BooleanBuffer, at: usize, length: usize) -> u64 {
    let from = bits.offset() + at;
    let bytes = &bits.values()[from / 8..(from + length).div_ceil(8)];
    let mut wide = [0u8; 16];
    wide[..bytes.len()].copy_from_slice(bytes);
    let word = (u128::from_le_bytes(wide) >> (from % 8)) as u64;
    if length == 64 { word } else { word & ((1 << length) - 1) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::TimestampMicrosecondArray;

    #[test]
    fn masks_agree_with_reading_row_by_row() {
        let mut seed = 3u64;
        let mut random = move || {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            seed >> 40
        };
        for rows in [0usize, 1, 63, 64, 65, 200] {
            for skip in [0, 1, 7, 13] {
                let three = |r: u64| [None, Some(true), Some(false)][(r % 3) as usize];
                let conditions: Vec<ArrayRef> = (0..5)
                    .map(|_| {
                        let all: BooleanArray = (0..rows + skip).map(|_| three(random())).collect();
                        Arc::new(all.slice(skip, rows)) as ArrayRef
                    })
                    .collect();
                let filter: BooleanArray = (0..rows).map(|_| three(random())).collect();
                let column: TimestampMicrosecondArray =
                    (0..rows).map(|r| (random() % 4 != 0).then_some(r as i64)).collect();
                let times = Times::read(&(Arc::new(column.clone()) as ArrayRef)).unwrap();
                let mut got = Vec::new();
                masks(&conditions, &times, Some(&filter), &mut got);
                assert_eq!(got.len(), rows);
                for (row, mask) in got.iter().enumerate() {
                    let pass = filter.is_valid(row) && filter.value(row) && column.is_valid(row);
                    let want = conditions.iter().enumerate().fold(0u64, |mask, (c, a)| {
                        let a = a.as_boolean();
                        mask | u64::from(pass && a.is_valid(row) && a.value(row)) << c
                    });
                    assert_eq!(*mask, want);
                }
                // Also of more conditions than are decided at once, and with one that is false for all.
                let never: ArrayRef = Arc::new(BooleanArray::from(vec![false; rows]));
                let many: Vec<ArrayRef> = (0..12).map(|at| Arc::clone(&conditions[at % 5])).collect();
                let with_never: Vec<ArrayRef> = [&conditions[..2], &[never], &conditions[2..]].concat();
                for conditions in [&conditions, &many, &with_never] {
                    for filter in [None, Some(&filter)] {
                        masks(conditions, &times, filter, &mut got);
                        for every in [false, true] {
                            let takes_part = |row: usize| passes(filter, row) && !times.is_null(row);
                            let all = got.iter().copied().enumerate();
                            let wanted: Vec<(usize, u64)> =
                                all.filter(|(row, mask)| *mask != 0 || (every && takes_part(*row))).collect();
                            let mut found = Vec::new();
                            each_event(conditions, &times, filter, every, &mut Vec::new(), |row, mask| {
                                found.push((row, mask));
                            });
                            assert_eq!(found, wanted);
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn windows_are_floored_to_ticks() {
        let interval =
            |days, nanos| ScalarValue::IntervalMonthDayNano(Some(IntervalMonthDayNanoType::make_value(0, days, nanos)));
        let ticks = |w, clock| window_ticks("f", "the window", &w, clock).map_err(|e| e.message().to_string());
        assert_eq!(ticks(interval(1, 500_000_000), Clock::Instants(1)), Ok(86_400));
        assert_eq!(ticks(interval(1, 500_000_000), Clock::Instants(1_000)), Ok(86_400_500));
        assert_eq!(ticks(interval(1, 500_000_000), Clock::Dates), Ok(1));
        for (days, nanos) in [(0, 0), (-1, 0), (1, -86_400_000_000_001)] {
            assert!(ticks(interval(days, nanos), Clock::Dates).unwrap_err().contains("above zero"));
        }
        let month = ScalarValue::IntervalYearMonth(Some(1));
        assert!(ticks(month, Clock::Dates).unwrap_err().contains("no fixed length"));
    }
}
