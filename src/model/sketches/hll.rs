//! HyperLogLog sketches of DataSketches.
//!
//! Sketches of any of its three layouts are read; those written have registers of 8 bits, as Spark's. Where several are merged the
//! answer has the smallest `lg_k` of those that are not empty. Estimates of what is written here never use the order in which
//! values came (the composite estimator), so that they are the same however rows are split.

use datasketches::common::NumStdDev;
use datasketches::hll::{HllSketch, HllType, HllUnion};

use super::{Estimate, Read, Value, damaged, registers};

/// The binary logarithm of the number of registers: the least, the usual and the greatest.
pub const LG_K: (u8, u8, u8) = (4, 12, 21);

/// A sketch that grows.
pub struct Hll {
    /// Its own `lg_k` is not larger.
    most: u8,
    /// The smallest `lg_k` of sketches that were merged and are empty.
    empty: Option<u8>,
    union: Option<HllUnion>,
}

/// Modes of the stored form.
const SET: u8 = 1;
const REGISTERS: u8 = 2;
/// Flags.
const EMPTY: u8 = 4;
const COMPACT: u8 = 8;
const OUT_OF_ORDER: u8 = 16;

fn union_of(lg_k: u8) -> Read<HllUnion> {
    HllUnion::new(lg_k).map_err(|e| damaged(e.message()))
}

impl Hll {
    /// An empty one.
    pub fn new(lg_k: u8) -> Self {
        Self { most: lg_k, empty: None, union: None }
    }

    /// Counts a value.
    pub fn add(&mut self, value: Value) -> Read<()> {
        let union = match &mut self.union {
            Some(union) => union,
            none => none.insert(union_of(self.most)?),
        };
        if value.counts() {
            union.update_value(value);
        }
        Ok(())
    }

    /// Takes in a stored sketch.
    pub fn merge(&mut self, bytes: &[u8]) -> Read<()> {
        let sketch = read(bytes)?;
        let lg_k = sketch.lg_config_k();
        if sketch.is_empty() {
            self.empty = Some(self.empty.map_or(lg_k, |least| least.min(lg_k)));
            return Ok(());
        }
        let union = match &mut self.union {
            Some(union) => union,
            none => none.insert(union_of(self.most.min(lg_k))?),
        };
        if lg_k < union.lg_config_k() {
            let whole = std::mem::replace(union, union_of(lg_k)?);
            union.update(&whole.to_sketch(HllType::Hll8));
        }
        union.update(&sketch);
        Ok(())
    }

    /// The sketch's bytes: the same for the same values.
    pub fn write(&mut self) -> Read<Vec<u8>> {
        let union = match &mut self.union {
            Some(union) => union,
            none => none.insert(union_of(self.empty.unwrap_or(self.most).min(self.most))?),
        };
        let mut bytes = union.to_sketch(HllType::Hll8).serialize();
        let (mode, coupons) = (bytes[7] & 3, if bytes[7] & 3 == SET { 12 } else { 8 });
        if mode == REGISTERS {
            // The estimate by the order of arrival is dropped.
            bytes[5] |= OUT_OF_ORDER;
            bytes[8..16].fill(0);
            return Ok(bytes);
        }
        let mut sorted: Vec<[u8; 4]> = bytes[coupons..].chunks_exact(4).map(|c| [c[0], c[1], c[2], c[3]]).collect();
        sorted.sort_unstable_by_key(|coupon| u32::from_le_bytes(*coupon));
        for (place, coupon) in bytes[coupons..].chunks_exact_mut(4).zip(sorted) {
            place.copy_from_slice(&coupon);
        }
        Ok(bytes)
    }

    /// Bytes held.
    pub fn size(&self) -> usize {
        self.union.as_ref().map_or(0, HllUnion::estimated_size)
    }
}

/// The `lg_k` of a stored sketch.
pub fn lg_k(bytes: &[u8]) -> Read<u8> {
    Ok(read(bytes)?.lg_config_k())
}

/// The estimate of a stored sketch.
pub fn estimate(bytes: &[u8]) -> Read<Estimate> {
    let sketch = read(bytes)?;
    let (low, high) = (sketch.lower_bound(NumStdDev::Two), sketch.upper_bound(NumStdDev::Two));
    Estimate { estimate: sketch.estimate(), low, high }.checked()
}

fn read(bytes: &[u8]) -> Read<HllSketch> {
    let deserialize = |bytes: &[u8]| HllSketch::deserialize(bytes).map_err(|e| damaged(e.message()));
    let sketch = deserialize(bytes)?;
    if bytes[7] & 3 == REGISTERS {
        registers::check(bytes, sketch.lg_config_k())?;
        return Ok(sketch);
    }
    // Tables of coupons with free places are read without their places, which may be wrong.
    match compacted(bytes) {
        Some(compact) => deserialize(&compact),
        None => Err(damaged("its coupons are not those that it says")),
    }
}

/// A sketch of coupons in its compact form; none where they are not as many as it says, or not different.
fn compacted(bytes: &[u8]) -> Option<Vec<u8>> {
    let (count, from) = match bytes[7] & 3 == SET {
        true => (u32::from_le_bytes(bytes.get(8..12)?.try_into().ok()?) as usize, 12),
        false => (usize::from(bytes[6]), 8),
    };
    let places = if bytes[5] & COMPACT == 0 { 1 << bytes[4] } else { count };
    let places = if bytes[5] & EMPTY == 0 { places } else { 0 };
    let places = bytes.get(from..from + 4 * places)?.chunks_exact(4);
    let mut coupons: Vec<u32> = places.map(|c| u32::from_le_bytes([c[0], c[1], c[2], c[3]])).collect();
    coupons.retain(|coupon| *coupon != 0);
    coupons.sort_unstable();
    // A coupon's upper bits are a count of at least one.
    if coupons.len() != count || !coupons.is_sorted_by(|a, b| a < b) || coupons.iter().any(|c| c >> 26 == 0) {
        return None;
    }
    let mut compact = bytes[..from].to_vec();
    compact[5] |= COMPACT;
    compact.extend(coupons.iter().flat_map(|coupon| coupon.to_le_bytes()));
    Some(compact)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(lg_k: u8, values: impl Iterator<Item = i64>) -> Vec<u8> {
        let mut sketch = Hll::new(lg_k);
        values.for_each(|value| sketch.add(Value::Integer(value)).unwrap());
        sketch.write().unwrap()
    }

    /// Order, parts and repetition change no byte, in each of the three modes.
    #[test]
    fn the_same_values_have_the_same_bytes() {
        for lg_k in [4, 7, 8, 12] {
            for values in [0, 1, 7, 8, 9, 100, 400, 3_000, 40_000] {
                let whole = of(lg_k, 0..values);
                assert_eq!(of(lg_k, (0..values).rev().chain(0..values)), whole, "{lg_k} {values}");
                for parts in [2, 3, 7] {
                    let mut merged = Hll::new(lg_k);
                    for part in (0..parts).rev() {
                        merged.merge(&of(lg_k, (0..values).filter(|v| v % parts == part))).unwrap();
                    }
                    assert_eq!(merged.write().unwrap(), whole, "{lg_k} {values} in {parts}");
                }
                let Estimate { estimate, low, high } = estimate(&whole).unwrap();
                let error = 4.0 / f64::from(1 << lg_k).sqrt();
                assert!(
                    (estimate - values as f64).abs() <= error * values as f64 + 1e-3,
                    "{lg_k}: {estimate} of {values}"
                );
                assert!(low <= estimate && estimate <= high);
            }
        }
    }

    #[test]
    fn sketches_of_different_size_make_the_smaller_one() {
        let large = || of(14, 0..50_000);
        let (small, few) = (of(10, 50_000..60_000), of(10, 50_000..50_100));
        let wanted = |values| of(10, 0..values);
        for (other, values) in [(small, 60_000), (few, 50_100)] {
            for order in [[&large(), &other], [&other, &large()]] {
                let mut merged = Hll::new(14);
                order.iter().for_each(|bytes| merged.merge(bytes).unwrap());
                assert_eq!(merged.write().unwrap(), wanted(values));
            }
        }
        // An empty one says nothing.
        let mut merged = Hll::new(14);
        merged.merge(&of(4, 0..0)).unwrap();
        merged.merge(&large()).unwrap();
        assert_eq!(merged.write().unwrap(), large());
    }

    #[test]
    fn registers_that_were_changed_are_noticed() {
        for kind in [HllType::Hll4, HllType::Hll6, HllType::Hll8] {
            let sketch = {
                let mut union = HllUnion::new(8).unwrap();
                (0..200_000i64).for_each(|value| union.update_value(value));
                union.to_sketch(kind)
            };
            let bytes = sketch.serialize();
            estimate(&bytes).unwrap();
            for at in 40..40 + 96 {
                for bit in 0..8 {
                    let mut flipped = bytes.clone();
                    flipped[at] ^= 1 << bit;
                    assert!(estimate(&flipped).is_err(), "{kind:?} byte {at} bit {bit}");
                }
            }
            for end in 0..bytes.len() {
                let _ = estimate(&bytes[..end]);
            }
        }
    }
}
