//! Theta sketches of DataSketches, of which intersections and differences can be taken, too.
//!
//! Compact and ordered, trimmed to 2^`lg_k` hashes: the least ones of all values, whatever the order in which these came. Merged
//! sketches keep what all of them know, at most the merging one's 2^`lg_k`.

use datasketches::common::NumStdDev;
use datasketches::theta::{
    CompactThetaSketch, ThetaANotB, ThetaIntersection, ThetaSketch, ThetaSketchBuilder, ThetaUnion, ThetaUnionBuilder,
};

use super::{Estimate, Read, Value, damaged};

/// The binary logarithm of the number of hashes: the least, the usual and the greatest.
pub const LG_K: (u8, u8, u8) = (5, 12, 26);

/// A sketch that grows.
pub struct Theta {
    lg_k: u8,
    values: Option<ThetaSketch>,
    merged: Option<ThetaUnion>,
}

impl Theta {
    /// An empty one.
    pub fn new(lg_k: u8) -> Self {
        Self { lg_k, values: None, merged: None }
    }

    /// Counts a value.
    pub fn add(&mut self, value: Value) -> Read<()> {
        let values = match &mut self.values {
            Some(values) => values,
            none => {
                none.insert(ThetaSketchBuilder::default().lg_k(self.lg_k).build().map_err(|e| damaged(e.message()))?)
            }
        };
        if value.counts() {
            values.update(value);
        }
        Ok(())
    }

    fn union(&mut self) -> Read<&mut ThetaUnion> {
        Ok(match &mut self.merged {
            Some(union) => union,
            none => {
                none.insert(ThetaUnionBuilder::default().lg_k(self.lg_k).build().map_err(|e| damaged(e.message()))?)
            }
        })
    }

    /// Takes in a stored sketch.
    pub fn merge(&mut self, bytes: &[u8]) -> Read<()> {
        let sketch = read(bytes)?;
        self.union()?.update(&sketch).map_err(|e| damaged(e.message()))
    }

    /// The sketch's bytes: the same for the same values.
    pub fn write(&mut self) -> Read<Vec<u8>> {
        if let Some(values) = self.values.take() {
            self.union()?.update(&values).map_err(|e| damaged(e.message()))?;
        }
        Ok(self.union()?.to_sketch(true).serialize())
    }

    /// Bytes held.
    pub fn size(&self) -> usize {
        self.values.as_ref().map_or(0, ThetaSketch::estimated_size)
            + self.merged.as_ref().map_or(0, ThetaUnion::estimated_size)
    }
}

/// The estimate of a stored sketch.
pub fn estimate(bytes: &[u8]) -> Read<Estimate> {
    let sketch = read(bytes)?;
    let (low, high) = (sketch.lower_bound(NumStdDev::Two), sketch.upper_bound(NumStdDev::Two));
    Estimate { estimate: sketch.estimate(), low, high }.checked()
}

/// The values in both.
pub fn and(a: &[u8], b: &[u8]) -> Read<Vec<u8>> {
    let mut both = ThetaIntersection::default();
    for bytes in [a, b] {
        both.update(&read(bytes)?).map_err(|e| damaged(e.message()))?;
    }
    let sketch = both.to_sketch(true).ok_or_else(|| damaged("it has no intersection"))?;
    Ok(sketch.serialize())
}

/// The values in the first and not in the second.
pub fn and_not(a: &[u8], b: &[u8]) -> Read<Vec<u8>> {
    let (a, b) = (read(a)?, read(b)?);
    let left = ThetaANotB::default().compute(&a, &b, true).map_err(|e| damaged(e.message()))?;
    Ok(left.serialize())
}

fn read(bytes: &[u8]) -> Read<CompactThetaSketch> {
    let sketch = CompactThetaSketch::deserialize(bytes).map_err(|e| damaged(e.message()))?;
    let mut hashes: Vec<u64> = sketch.iter().map(|entry| entry.hash()).collect();
    if !sketch.is_ordered() {
        hashes.sort_unstable();
    }
    if !hashes.is_sorted_by(|a, b| a < b) {
        return Err(damaged("its hashes do not ascend"));
    }
    Ok(sketch)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(lg_k: u8, values: impl Iterator<Item = i64>) -> Vec<u8> {
        let mut sketch = Theta::new(lg_k);
        values.for_each(|value| sketch.add(Value::Integer(value)).unwrap());
        sketch.write().unwrap()
    }

    #[test]
    fn the_same_values_have_the_same_bytes() {
        for lg_k in [5, 9, 12] {
            for values in [0, 1, 2, 31, 32, 33, 500, 5_000, 60_000] {
                let whole = of(lg_k, 0..values);
                assert_eq!(of(lg_k, (0..values).rev().chain(0..values)), whole, "{lg_k} {values}");
                for parts in [2, 3, 7] {
                    let mut merged = Theta::new(lg_k);
                    for part in (0..parts).rev() {
                        merged.merge(&of(lg_k, (0..values).filter(|v| v % parts == part))).unwrap();
                    }
                    assert_eq!(merged.write().unwrap(), whole, "{lg_k} {values} in {parts}");
                }
                let Estimate { estimate, low, high } = estimate(&whole).unwrap();
                let exact = values <= 1 << lg_k;
                let error = if exact { 0.0 } else { 4.0 / f64::from(1 << lg_k).sqrt() };
                assert!((estimate - values as f64).abs() <= error * values as f64, "{lg_k}: {estimate} of {values}");
                assert!(low <= estimate && estimate <= high);
            }
        }
    }

    #[test]
    fn sets_of_few_values_are_exact() {
        let (a, b) = (of(12, 0..1000), of(12, 600..1500));
        assert_eq!(and(&a, &b).unwrap(), of(12, 600..1000));
        assert_eq!(and_not(&a, &b).unwrap(), of(12, 0..600));
        let nobody = of(12, 0..0);
        assert_eq!(and(&a, &nobody).unwrap(), nobody);
        assert_eq!(and_not(&a, &nobody).unwrap(), a);
        assert_eq!(estimate(&nobody).unwrap(), Estimate { estimate: 0.0, low: 0.0, high: 0.0 });
    }
}
