//! Arguments that are lists: of constants, and of events that exclude.
//!
//! Does not deal with: what the numbers or limits may be; the relation knows.

use arrow::datatypes::DataType;
use datafusion::common::{DFSchema, ScalarValue};
use datafusion::logical_expr::Expr;
use datafusion::sql::sqlparser::ast::{DictionaryField, Expr as SqlExpr};

use super::{Call, Condition, string_literal};
use crate::error::{Error, Result, suggest};
use crate::functions::columns::interval_type;
use crate::relations::argument::{Argument, Kind};

/// Events that must not happen between two steps.
#[derive(Debug, Clone)]
pub struct ExcludedEvents {
    /// Which events.
    pub when: Condition,
    /// The step (from 1) after which they are forbidden, where one is given.
    pub after: Option<i64>,
    /// The step before which they are forbidden, where one is given.
    pub before: Option<i64>,
}

const PARTS: [&str; 3] = ["when", "after", "before"];

impl Call<'_> {
    /// A list of as many numbers as the argument takes; `None` where there is none.
    pub fn numbers(&mut self, argument: &Argument) -> Result<Option<Vec<f64>>> {
        let Kind::Numbers(count) = argument.kind else {
            return Err(Error::internal(format!("argument '{}' is not a list of numbers", argument.name)));
        };
        let Some(written) = self.given_or_default(argument)? else { return Ok(None) };
        let key = argument.name;
        let wrong = self.error(format!("argument '{key}' must be a list of {count} numbers, got {written}"));
        let SqlExpr::Array(array) = &written else { return Err(wrong) };
        let mut numbers = Vec::with_capacity(array.elem.len());
        for element in &array.elem {
            let number = match self.context.sql_to_expr(element.clone(), &DFSchema::empty()) {
                Ok(Expr::Literal(value, _)) => match value.cast_to(&DataType::Float64) {
                    Ok(ScalarValue::Float64(Some(number))) if value.data_type().is_numeric() => Some(number),
                    _ => None,
                },
                _ => None,
            };
            match number {
                Some(number) => numbers.push(number),
                None => return Err(wrong),
            }
        }
        if numbers.len() == count { Ok(Some(numbers)) } else { Err(wrong) }
    }

    /// One string or a list of strings; `None` where there is none.
    pub fn texts(&mut self, argument: &Argument) -> Result<Option<Vec<String>>> {
        let Some(written) = self.given_or_default(argument)? else { return Ok(None) };
        let key = argument.name;
        let elements = match &written {
            SqlExpr::Array(array) => array.elem.as_slice(),
            one => std::slice::from_ref(one),
        };
        match elements.iter().map(string_literal).collect::<Option<Vec<String>>>() {
            Some(texts) if !texts.is_empty() => Ok(Some(texts)),
            _ => Err(self.error(format!("argument '{key}' must be a string or a list of strings, got {written}"))),
        }
    }

    /// A list of intervals, some of them NULL.
    pub fn intervals(&mut self, argument: &Argument) -> Result<Vec<ScalarValue>> {
        let Some(written) = self.take(argument) else { return Ok(Vec::new()) };
        let key = argument.name;
        let wrong = self.error(format!(
            "argument '{key}' must be a list such as [INTERVAL '1 hour', NULL], an item for each step but the last; got {written}"
        ));
        let SqlExpr::Array(array) = written else { return Err(wrong) };
        let mut items = Vec::new();
        for element in array.elem {
            let value = self.folded(key, element)?;
            match value.data_type() {
                DataType::Interval(_) | DataType::Null => {
                    items.push(value.cast_to(&interval_type()).map_err(Error::from)?)
                }
                _ => return Err(wrong),
            }
        }
        if items.is_empty() { Err(wrong) } else { Ok(items) }
    }

    /// A list of step numbers, or one of them.
    pub fn step_numbers(&mut self, argument: &Argument) -> Result<Vec<i64>> {
        let Some(written) = self.take(argument) else { return Ok(Vec::new()) };
        let key = argument.name;
        let elements = match written {
            SqlExpr::Array(array) => array.elem,
            one => vec![one],
        };
        if elements.is_empty() {
            return Err(self.error(format!("argument '{key}' must be a list of step numbers such as [2, 3], got []")));
        }
        elements.into_iter().map(|element| self.step_number(key, element)).collect()
    }

    /// Ranges of whole numbers, ascending, that do not overlap; `None` where there is none.
    pub fn ranges(&mut self, argument: &Argument) -> Result<Option<Vec<(i64, i64)>>> {
        let Kind::Ranges(low, high) = argument.kind else {
            return Err(Error::internal(format!("argument '{}' is not a list of ranges", argument.name)));
        };
        let Some(written) = self.given_or_default(argument)? else { return Ok(None) };
        let key = argument.name;
        let wrong = |call: &Self, why: String| {
            call.error(format!("argument '{key}' must be a list of pairs such as [[1, 3], [4, 7]], got {written}{why}"))
        };
        let SqlExpr::Array(array) = &written else { return Err(wrong(self, String::new())) };
        let mut ranges: Vec<(i64, i64)> = Vec::with_capacity(array.elem.len());
        for element in &array.elem {
            let SqlExpr::Array(pair) = element else { return Err(wrong(self, String::new())) };
            let mut ends = Vec::with_capacity(2);
            for end in &pair.elem {
                let value = self.folded(key, end.clone())?;
                match value.cast_to(&DataType::Int64) {
                    Ok(ScalarValue::Int64(Some(n))) if value.data_type().is_integer() => ends.push(n),
                    _ => return Err(wrong(self, String::new())),
                }
            }
            let [from, to] = ends[..] else { return Err(wrong(self, String::new())) };
            if from > to || from < low || to > high {
                return Err(wrong(self, format!("; [{from}, {to}] is not a range between {low} and {high}")));
            }
            if let Some((_, before)) = ranges.last().filter(|last| last.1 >= from) {
                return Err(wrong(self, format!("; [{from}, {to}] begins before {before} has ended")));
            }
            ranges.push((from, to));
        }
        if ranges.is_empty() { Err(wrong(self, String::new())) } else { Ok(Some(ranges)) }
    }

    fn step_number(&mut self, key: &str, written: SqlExpr) -> Result<i64> {
        let value = self.folded(key, written)?;
        match value.cast_to(&DataType::Int64) {
            Ok(ScalarValue::Int64(Some(n))) if value.data_type().is_integer() => Ok(n),
            _ => Err(self.error(format!("argument '{key}': a step is given by its number, got {value}"))),
        }
    }

    /// `{'when': condition, 'after': step, 'before': step}`, a condition alone, or a list of either.
    pub fn exclusions(&mut self, argument: &Argument) -> Result<Vec<ExcludedEvents>> {
        let Some(written) = self.take(argument) else { return Ok(Vec::new()) };
        let key = argument.name;
        let elements = match written {
            SqlExpr::Array(array) => array.elem,
            one => vec![one],
        };
        if elements.is_empty() {
            return Err(self.error(format!("argument '{key}' must name at least one event, got []")));
        }
        elements
            .into_iter()
            .map(|element| match element {
                SqlExpr::Dictionary(parts) => self.excluded(key, parts),
                alone => Ok(ExcludedEvents { when: self.read_condition(key, alone)?, after: None, before: None }),
            })
            .collect()
    }

    fn excluded(&mut self, key: &str, parts: Vec<DictionaryField>) -> Result<ExcludedEvents> {
        let (mut when, mut after, mut before) = (None, None, None);
        for part in parts {
            let name = part.key.value.to_lowercase();
            match name.as_str() {
                "when" => when = Some(self.read_condition(key, *part.value)?),
                "after" => after = Some(self.step_number(&format!("{key}.after"), *part.value)?),
                "before" => before = Some(self.step_number(&format!("{key}.before"), *part.value)?),
                _ => {
                    return Err(
                        self.error(format!("argument '{key}': unknown part '{name}'; {}", suggest(&name, PARTS)))
                    );
                }
            }
        }
        match when {
            Some(when) => Ok(ExcludedEvents { when, after, before }),
            None => Err(self.error(format!(
                "argument '{key}' must say which events, as in {{'when': 'refund', 'after': 1, 'before': 2}}"
            ))),
        }
    }
}
