//! The arguments of the funnel aggregates: which is which, what is allowed, what the mode words mean.
//!
//! Shape: `(window INTERVAL [, modes TEXT], time, condition 1, .., condition k [, kept STRUCT])`.

use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::common::ScalarValue;
use datafusion::physical_plan::PhysicalExpr;

use crate::algo::calendar::Clock;
use crate::algo::funnel::{Order, Spec};
use crate::error::{Error, Result, suggest};
use crate::functions::columns;
use crate::functions::event_groups::EventArguments;

/// Where each argument stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    /// Position of the mode words.
    pub modes: Option<usize>,
    /// Positions of time, conditions and the kept struct.
    pub events: EventArguments,
}

impl Layout {
    /// Reads the layout off the argument types; `keeps` tells whether a trailing STRUCT is allowed.
    pub fn of(function: &str, types: &[DataType], keeps: bool) -> Result<Self> {
        let modes =
            matches!(types.get(1), Some(DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View)).then_some(1);
        let time = 1 + usize::from(modes.is_some());
        if types.len() <= time {
            return Err(Error::user(format!(
                "{function}: needs (window, [modes,] time, condition, ..), got {} arguments",
                types.len()
            )));
        }
        let kept = matches!(types.last(), Some(DataType::Struct(_))).then(|| types.len() - 1);
        if kept.is_some() && !keeps {
            return Err(Error::user(format!("{function}: the last argument must be a condition, got a STRUCT")));
        }
        // A text where the time should be was taken for the mode words: then the time is what is wrong.
        columns::coerce_time(function, time + 1, &types[time])?;
        let conditions = time + 1..kept.unwrap_or(types.len());
        columns::check_step_count(function, conditions.len())?;
        Ok(Self { modes, events: EventArguments { time, conditions, kept, every_event: false } })
    }

    /// The types the arguments are coerced to.
    pub fn coerce(&self, function: &str, types: &[DataType]) -> Result<Vec<DataType>> {
        let mut coerced = types.to_vec();
        match &types[0] {
            DataType::Interval(_) => coerced[0] = columns::interval_type(),
            other => {
                return Err(Error::user(format!(
                    "{function}: argument 1 (window) must be an INTERVAL, such as INTERVAL '7 days'; got {other}"
                )));
            }
        }
        if let Some(modes) = self.modes {
            coerced[modes] = DataType::Utf8;
        }
        let time = self.events.time;
        coerced[time] = columns::coerce_time(function, time + 1, &types[time])?;
        for at in self.events.conditions.clone() {
            coerced[at] = columns::coerce_condition(function, at + 1, &types[at])?;
        }
        Ok(coerced)
    }

    /// The spec in the planned expressions' constants.
    pub fn spec(&self, function: &str, expressions: &[Arc<dyn PhysicalExpr>], time: &DataType) -> Result<Spec> {
        let window = columns::literal(function, "the window", expressions, 0)?;
        let modes = match self.modes {
            Some(at) => columns::literal_text(function, "the mode", expressions, at)?,
            None => String::new(),
        };
        spec(function, window, &modes, time, self.events.conditions.len())
    }
}

/// A spec from its parts, checked.
pub fn spec(function: &str, window: &ScalarValue, modes: &str, time: &DataType, steps: usize) -> Result<Spec> {
    let clock = columns::clock_of(time).unwrap_or(Clock::Dates);
    columns::check_step_count(function, steps)?;
    let (order, reuse) = parse_modes(function, modes)?;
    Ok(Spec { steps, window: columns::window_ticks(function, window, clock)?, order, reuse })
}

/// The mode words, as in `'increase'` or `'ordered, reuse'`.
pub const MODES: [&str; 3] = ["ordered", "increase", "reuse"];

/// Reads mode words separated by commas.
pub fn parse_modes(function: &str, modes: &str) -> Result<(Order, bool)> {
    let (mut order, mut reuse) = (None, false);
    for word in modes.split(',').map(str::trim).filter(|w| !w.is_empty()) {
        let asked = match word {
            "ordered" => Order::Ordered,
            "increase" => Order::Increase,
            "reuse" => {
                reuse = true;
                continue;
            }
            "strict_increase" => {
                return Err(Error::user(format!(
                    "{function}: mode 'strict_increase' is ClickHouse's name; the mode here is 'increase'"
                )));
            }
            other => return Err(Error::user(format!("{function}: unknown mode '{other}'; {}", suggest(other, MODES)))),
        };
        if order.is_some_and(|o| o != asked) {
            return Err(Error::user(format!("{function}: modes 'ordered' and 'increase' exclude each other")));
        }
        order = Some(asked);
    }
    let order = order.unwrap_or_default();
    if reuse && order == Order::Increase {
        return Err(Error::user(format!(
            "{function}: mode 'reuse' cannot go with 'increase': one event has one time, which does not increase"
        )));
    }
    Ok((order, reuse))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_combine_where_they_make_sense() {
        assert_eq!(parse_modes("f", "").unwrap(), (Order::Ordered, false));
        assert_eq!(parse_modes("f", " ordered , reuse").unwrap(), (Order::Ordered, true));
        assert_eq!(parse_modes("f", "increase").unwrap(), (Order::Increase, false));
        for (modes, says) in [
            ("increase,reuse", "cannot go with"),
            ("ordered,increase", "exclude each other"),
            ("increse", "did you mean 'increase'?"),
            ("strict_increase", "ClickHouse's name"),
        ] {
            let message = parse_modes("f", modes).unwrap_err().message().to_string();
            assert!(message.contains(says), "{message}");
        }
    }
}
