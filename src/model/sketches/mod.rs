//! Sketches that count distinct values, as the bytes that Apache DataSketches defines and its readers in Java, C++, Python, Spark and
//! Druid take.
//!
//! Deals with: which value has which hash, HyperLogLog ([`hll`]), theta ([`theta`]), refusing bytes that are none. The same values
//! have the same bytes, whatever their order. Does not deal with: the algorithms (the crate `datasketches`), SQL.
//!
//! The bytes have no checksum. Those that contradict themselves are refused in a sentence that goes on after "the state"; a changed
//! hash in them is another hash.

pub mod hll;
mod registers;
pub mod theta;

use std::hash::{Hash, Hasher};

use datasketches::hash::value::{canonical_float, raw_bytes};

/// What went wrong, as a sentence that goes on after "the state".
pub type Read<T> = Result<T, String>;

/// A value that is counted.
#[derive(Debug, Clone, Copy)]
pub enum Value<'a> {
    /// As 64 bits, like `update(long)` in Java.
    Integer(i64),
    /// As 64 bits, like `update(double)` in Java: -0.0 is 0.0, and NaN is one value.
    Double(f64),
    /// Its UTF-8 bytes, like `update(String)` in Java, which counts no empty text.
    Text(&'a str),
}

impl Value<'_> {
    /// Whether it is counted at all.
    fn counts(self) -> bool {
        !matches!(self, Self::Text(""))
    }
}

impl Hash for Value<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        match *self {
            Self::Integer(integer) => integer.hash(state),
            Self::Double(double) => canonical_float::from_f64(double).hash(state),
            Self::Text(text) => raw_bytes::from_str(text).hash(state),
        }
    }
}

/// An estimate and its bounds, two standard deviations away.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Estimate {
    /// The estimate.
    pub estimate: f64,
    /// The lower bound.
    pub low: f64,
    /// The upper bound.
    pub high: f64,
}

impl Estimate {
    /// Of numbers that are none, the bytes were not those of a sketch.
    fn checked(self) -> Read<Self> {
        let sound = [self.estimate, self.low, self.high].iter().all(|n| n.is_finite() && *n >= 0.0);
        if sound { Ok(self) } else { Err(damaged("its estimate makes no sense")) }
    }
}

fn damaged(how: &str) -> String {
    format!("is not a sound sketch of DataSketches: {how}")
}
