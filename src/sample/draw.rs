//! Random numbers that are the same on every machine and in every version of the libraries.
//!
//! Deals with: streams of one key, one per user and purpose, and the few ways to use their bits.
//! Does not deal with: the distributions of `rand`, whose algorithms may change, or logarithms, which differ in the last
//! digit between platforms: only integers, division and square roots, which IEEE 754 fixes.

use rand::{RngCore, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// What a user's numbers are for; each has its own stream, so that more draws for one do not move another.
#[derive(Debug, Clone, Copy)]
pub enum Purpose {
    Profile,
    Plan,
    Detail,
    Way,
}

/// The key of all streams.
#[derive(Debug, Clone)]
pub struct Key(ChaCha8Rng);

impl Key {
    pub fn new(seed: u64) -> Self {
        Self(ChaCha8Rng::seed_from_u64(seed))
    }

    /// The numbers of one user for one purpose.
    pub fn stream(&self, user: u64, purpose: Purpose) -> Draw {
        let mut rng = self.0.clone();
        rng.set_stream(user * 4 + purpose as u64);
        rng.set_word_pos(0);
        Draw(rng)
    }
}

/// One stream.
#[derive(Debug, Clone)]
pub struct Draw(ChaCha8Rng);

impl Draw {
    /// True `per_mille` times of 1,000.
    pub fn chance(&mut self, per_mille: u32) -> bool {
        self.below(1_000) < per_mille
    }

    /// 0..n, each equally often (to within n / 2^32).
    pub fn below(&mut self, n: u32) -> u32 {
        ((u64::from(self.0.next_u32()) * u64::from(n)) >> 32) as u32
    }

    /// 0..n for large n (to within n / 2^64).
    pub fn below_long(&mut self, n: i64) -> i64 {
        ((u128::from(self.0.next_u64()) * n.max(0) as u128) >> 64) as i64
    }

    /// A number above 0 and at most 1.
    pub fn unit(&mut self) -> f64 {
        (f64::from(self.0.next_u32()) + 1.0) / 4_294_967_296.0
    }

    /// The index of a weight, as often as its share of all weights.
    pub fn pick(&mut self, weights: &[u32]) -> usize {
        let mut left = self.below(weights.iter().sum());
        for (index, weight) in weights.iter().enumerate() {
            if left < *weight {
                return index;
            }
            left -= weight;
        }
        weights.len() - 1
    }

    /// How often in a row a chance of `per_mille` comes true, at most `most`.
    pub fn run(&mut self, per_mille: u32, most: u32) -> u32 {
        let mut run = 0;
        while run < most && self.chance(per_mille) {
            run += 1;
        }
        run
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Fixed values: another version of the libraries must not change the data.
    #[test]
    fn streams_are_fixed() {
        let key = Key::new(7);
        let four = |user, purpose| {
            let mut draw = key.stream(user, purpose);
            [draw.below(1_000), draw.below(1_000), draw.below(1_000), draw.below(1_000)]
        };
        assert_eq!(four(0, Purpose::Profile), four(0, Purpose::Profile));
        assert_ne!(four(0, Purpose::Profile), four(0, Purpose::Plan));
        assert_ne!(four(0, Purpose::Profile), four(1, Purpose::Profile));
        assert_eq!(four(0, Purpose::Profile), [140, 157, 182, 167]);
        assert_eq!(four(399_999, Purpose::Detail), [984, 706, 727, 757]);
    }

    #[test]
    fn shares_are_as_asked() {
        let mut draw = Key::new(1).stream(5, Purpose::Plan);
        let mut counts = [0_u32; 3];
        for _ in 0..100_000 {
            counts[draw.pick(&[1, 3, 6])] += 1;
        }
        for (count, share) in counts.iter().zip([0.1, 0.3, 0.6]) {
            assert!((f64::from(*count) / 1e5 - share).abs() < 0.006, "{counts:?}");
        }
        let runs: u32 = (0..100_000).map(|_| draw.run(500, 60)).sum();
        assert!((f64::from(runs) / 1e5 - 1.0).abs() < 0.02, "{runs}");
        assert!((0..10_000).all(|_| (0..77).contains(&draw.below_long(77))));
        assert!((0..10_000).map(|_| draw.unit()).all(|unit| unit > 0.0 && unit <= 1.0));
    }
}
