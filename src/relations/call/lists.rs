//! Arguments that are lists of constants, switches, and events that exclude.
//!
//! Does not deal with: what the numbers or limits may be; the relation knows.

use arrow::datatypes::DataType;
use datafusion::common::ScalarValue;
use datafusion::sql::sqlparser::ast::{DictionaryField, Expr as SqlExpr};

use super::{Call, Condition};
use crate::error::{Error, Result, suggest};
use crate::functions::columns::interval_type;

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
    /// Whether an argument was written.
    pub fn given(&self, key: &str) -> bool {
        self.arguments.iter().any(|(k, _)| k == key)
    }

    /// `true` or `false`.
    pub fn switch(&mut self, key: &str, default: bool) -> Result<bool> {
        match self.constant(key)? {
            None => Ok(default),
            Some(ScalarValue::Boolean(Some(value))) => Ok(value),
            Some(other) => Err(self.error(format!("argument '{key}' must be true or false, got {other}"))),
        }
    }

    /// A list of intervals, some of them NULL.
    pub fn intervals(&mut self, key: &str) -> Result<Vec<ScalarValue>> {
        let Some(written) = self.take(key) else { return Ok(Vec::new()) };
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
    pub fn step_numbers(&mut self, key: &str) -> Result<Vec<i64>> {
        let Some(written) = self.take(key) else { return Ok(Vec::new()) };
        let elements = match written {
            SqlExpr::Array(array) => array.elem,
            one => vec![one],
        };
        if elements.is_empty() {
            return Err(self.error(format!("argument '{key}' must be a list of step numbers such as [2, 3], got []")));
        }
        elements.into_iter().map(|element| self.step_number(key, element)).collect()
    }

    fn step_number(&mut self, key: &str, written: SqlExpr) -> Result<i64> {
        let value = self.folded(key, written)?;
        match value.cast_to(&DataType::Int64) {
            Ok(ScalarValue::Int64(Some(n))) if value.data_type().is_integer() => Ok(n),
            _ => Err(self.error(format!("argument '{key}': a step is told by its number, got {value}"))),
        }
    }

    /// `{'when': condition, 'after': step, 'before': step}`, a condition alone, or a list of either.
    pub fn exclusions(&mut self, key: &str) -> Result<Vec<ExcludedEvents>> {
        let Some(written) = self.take(key) else { return Ok(Vec::new()) };
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
