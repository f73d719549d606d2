//! A number of a result: as it is, as people read it, and where it lies on a scale.
//!
//! Does not deal with: ticks of an axis (`scale`).

use arrow::array::ArrayRef;

use crate::error::Result;
use crate::output::cell::{Doubles, cells};

/// What a number counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unit {
    /// As it is.
    Plain,
    /// A share: 0.25 reads 25.0%.
    Share,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Number {
    /// Every digit.
    pub exact: String,
    /// To six decimals where it is a double.
    shown: String,
    /// The nearest double; `None` for NULL and what is not finite.
    pub at: Option<f64>,
}

impl Number {
    /// The numbers of a column.
    pub fn all(column: &ArrayRef) -> Result<Vec<Number>> {
        let exact = cells(column, Doubles::Exact)?;
        let shown = cells(column, Doubles::Rounded)?;
        let pairs = exact.into_iter().zip(shown);
        Ok(pairs
            .map(|(exact, shown)| Number {
                at: exact.text.parse().ok().filter(|v: &f64| !exact.null && v.is_finite()),
                exact: exact.text,
                shown: shown.text,
            })
            .collect())
    }

    /// As people read it.
    pub fn label(&self, unit: Unit) -> String {
        match (unit, self.at) {
            (Unit::Share, Some(value)) if (value * 100.0).abs() < 1e12 => percent(value, 1),
            _ => grouped(&self.shown),
        }
    }
}

pub(super) fn percent(share: f64, decimals: usize) -> String {
    format!("{:.decimals$}%", share * 100.0)
}

/// `-1234567.25` as `-1,234,567.25`; what is not plain digits stays.
pub(super) fn grouped(text: &str) -> String {
    let (sign, digits) = text.strip_prefix('-').map_or(("", text), |rest| ("-", rest));
    let (whole, rest) = digits.split_at(digits.find('.').unwrap_or(digits.len()));
    let plain = !whole.is_empty() && whole.chars().chain(rest.chars().skip(1)).all(|c| c.is_ascii_digit());
    if !plain {
        return text.to_string();
    }
    let mut out = String::from(sign);
    for (at, digit) in whole.chars().enumerate() {
        if at > 0 && (whole.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    // A whole double reads as a whole number.
    out + if rest == ".0" { "" } else { rest }
}
