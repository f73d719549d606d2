//! `recent(time, periods, unit, tz, week_start)`: whether a time may lie in one of the last periods of the data. A piece of plans, not of SQL.
//!
//! The end of the data is not known while rows are read, so it answers true for every row: a question must not need it. Where the
//! largest time of a table is known before, the rule `known_reach` puts a comparison in its place, by which files, pages and rows are
//! left out.

use std::sync::{Arc, LazyLock};

use arrow::datatypes::DataType;
use datafusion::common::ScalarValue;
use datafusion::error::Result;
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::{ColumnarValue, Expr, ScalarFunctionArgs, ScalarUDF, lit};

use super::dates::Dates;
use crate::algo::calendar::Clock;
use crate::error::Error;
use crate::functions::columns::{clock_of, times_array};
use crate::functions::lifecycle::calendar;
use crate::functions::row_function::{RowFunction, row_function};

const NAME: &str = "recent";

/// The periods of a calendar, counted back from the end of the data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recent {
    /// How many; 0 is the largest time alone.
    pub periods: i64,
    /// Unit, time zone and week start.
    pub words: [String; 3],
}

/// Whether a time may lie in them.
pub fn recent(time: Expr, asked: &Recent) -> Expr {
    static FUNCTION: LazyLock<Arc<ScalarUDF>> = LazyLock::new(|| Arc::new(row_function(MayBeRecent)));
    let words = asked.words.iter().map(|word| lit(word.as_str()));
    let arguments = [time, lit(asked.periods)].into_iter().chain(words).collect();
    Expr::ScalarFunction(ScalarFunction::new_udf(Arc::clone(&FUNCTION), arguments))
}

impl Recent {
    /// The time and the periods of a call.
    pub fn of_call(call: &Expr) -> Option<(&Expr, Self)> {
        let Expr::ScalarFunction(call) = call else { return None };
        let [time, periods, words @ ..] = call.args.as_slice() else { return None };
        let text = |expr: &Expr| Some(expr.as_literal()?.try_as_str()??.to_string());
        let (Some(ScalarValue::Int64(Some(periods))), [unit, zone, start]) = (periods.as_literal(), words) else {
            return None;
        };
        let asked = Self { periods: *periods, words: [text(unit)?, text(zone)?, text(start)?] };
        (call.name() == NAME).then_some((time, asked))
    }

    /// A time of this column's type that none of these periods begins before, where `largest` is in the data. `None` where the calendar
    /// ends.
    pub fn earliest(&self, largest: &ScalarValue) -> Option<ScalarValue> {
        if self.periods == 0 {
            return Some(largest.clone());
        }
        let time_type = largest.data_type();
        let clock = clock_of(&time_type)?;
        let ScalarValue::Int64(Some(ticks)) = largest.cast_to(&DataType::Int64).ok()? else { return None };
        let [unit, zone, week_start] = &self.words;
        let calendar = calendar(NAME, unit, zone, week_start, clock).ok()?;
        let (reached, _) = Dates::new(NAME, calendar.clone(), clock).reached(ticks)?;
        let begins = calendar.starts_at(reached.checked_sub(self.periods - 1)?)?;
        // A day more than is needed: where clocks are set back over midnight, a local date begins twice.
        let margin = if clock == Clock::Dates { 1 } else { clock.ticks_per_day() };
        let earliest = times_array(vec![begins.checked_sub(margin)?], None, &time_type).ok()?;
        ScalarValue::try_from_array(&earliest, 0).ok()
    }
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct MayBeRecent;

impl RowFunction for MayBeRecent {
    fn name(&self) -> &'static str {
        NAME
    }

    fn coerce(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        match types {
            [_, _, _, _, _] => Ok(types.to_vec()),
            _ => Err(Error::internal(format!("{NAME}: {} arguments", types.len())).into()),
        }
    }

    fn answer_type(&self, _types: &[DataType]) -> Result<DataType> {
        Ok(DataType::Boolean)
    }

    fn call(&self, _args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        Ok(ColumnarValue::Scalar(ScalarValue::Boolean(Some(true))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day_of(text: &str) -> i32 {
        let date: jiff::civil::Date = text.parse().unwrap();
        jiff::civil::date(1970, 1, 1).until((jiff::Unit::Day, date)).unwrap().get_days()
    }

    #[test]
    fn the_last_periods_begin_after_a_margin() {
        let asked = |periods, unit: &str| Recent { periods, words: [unit, "UTC", "monday"].map(str::to_string) };
        let date = |text| ScalarValue::Date32(Some(day_of(text)));
        assert_eq!(asked(30, "day").earliest(&date("2025-06-30")), Some(date("2025-05-31")));
        assert_eq!(asked(2, "month").earliest(&date("2025-06-30")), Some(date("2025-04-30")));
        assert_eq!(asked(0, "month").earliest(&date("2025-06-30")), Some(date("2025-06-30")));
        // An instant that begins a period ends the one before.
        let second = |day: &str| ScalarValue::TimestampSecond(Some(i64::from(day_of(day)) * 86_400), None);
        assert_eq!(asked(1, "month").earliest(&second("2025-06-01")), Some(second("2025-04-30")));
        assert_eq!(asked(1, "month").earliest(&second("2025-06-02")), Some(second("2025-05-31")));
    }

    #[test]
    fn a_call_says_what_it_asks() {
        let asked = Recent { periods: 7, words: ["week", "Europe/Berlin", "sunday"].map(str::to_string) };
        let call = recent(datafusion::logical_expr::col("ts"), &asked);
        assert_eq!(Recent::of_call(&call).unwrap().1, asked);
        assert_eq!(Recent::of_call(&lit(true)), None);
    }
}
