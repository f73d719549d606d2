//! From numbers to places: a range, where a number lies in it, and ticks at round values.

use super::number::{Unit, grouped, percent};

/// A range of finite numbers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Scale {
    pub low: f64,
    pub high: f64,
}

impl Scale {
    /// The range of the numbers and of zero.
    pub fn with_zero(values: impl Iterator<Item = f64>) -> Scale {
        values.fold(Scale { low: 0.0, high: 0.0 }, |s, v| Scale { low: s.low.min(v), high: s.high.max(v) })
    }

    /// The range of the numbers; of one number, or none, a range around it.
    pub fn around(values: impl Iterator<Item = f64>) -> Scale {
        let range = values.fold(None, |range: Option<Scale>, v| {
            let s = range.unwrap_or(Scale { low: v, high: v });
            Some(Scale { low: s.low.min(v), high: s.high.max(v) })
        });
        range.unwrap_or(Scale { low: 0.0, high: 0.0 })
    }

    /// Where a number lies, from 0 to 1. The halves keep ranges beyond the largest double apart.
    pub fn share(self, value: f64) -> f64 {
        let span = self.high / 2.0 - self.low / 2.0;
        if span > 0.0 { ((value / 2.0 - self.low / 2.0) / span).clamp(0.0, 1.0) } else { 0.0 }
    }

    /// About `count` round values, the range widened to the outermost of them.
    pub fn ticks(self, count: usize) -> (Scale, Vec<f64>) {
        let span = self.high - self.low;
        if !span.is_finite() || self.high.abs().max(self.low.abs()) > 1e300 {
            return (self, vec![self.low, self.high]);
        }
        if span <= 0.0 || span < self.high.abs().max(self.low.abs()) * 1e-9 {
            let room = if self.high == 0.0 { 1.0 } else { self.high.abs() * 0.5 };
            let wide = Scale { low: (self.low - room).min(0.0), high: (self.high + room).max(0.0) };
            return wide.ticks(count);
        }
        let raw = span / count.max(1) as f64;
        let magnitude = 10f64.powf(raw.log10().floor());
        if magnitude <= 0.0 {
            return (self, vec![self.low, self.high]);
        }
        let step =
            [1.0, 2.0, 2.5, 5.0, 10.0].into_iter().find(|m| m * magnitude >= raw * 0.999).unwrap_or(10.0) * magnitude;
        let (first, last) = ((self.low / step).floor(), (self.high / step).ceil());
        let ticks: Vec<f64> = (0..=(last - first) as usize).map(|n| (first + n as f64) * step).collect();
        (Scale { low: first * step, high: last * step }, ticks)
    }
}

/// What stands at the ticks: all with the decimals that the step needs.
pub(super) fn tick_labels(ticks: &[f64], unit: Unit) -> Vec<String> {
    let step = ticks.windows(2).map(|w| w[1] - w[0]).fold(f64::INFINITY, f64::min);
    let step = if unit == Unit::Share { step * 100.0 } else { step };
    let decimals = (0..9).find(|&d| {
        let scaled = step * 10f64.powi(d);
        (scaled - scaled.round()).abs() < 1e-6 * scaled.max(1e-9)
    });
    let decimals = decimals.unwrap_or(9) as usize;
    let label = |v: f64| match unit {
        Unit::Share if v.abs() < 1e10 => percent(v, decimals),
        _ if v != 0.0 && !(1e-6..1e15).contains(&v.abs()) => format!("{v:e}"),
        // A zero that was reckoned may have a sign.
        _ => grouped(&format!("{:.decimals$}", v + 0.0)),
    };
    ticks.iter().map(|&v| label(v)).collect()
}
