//! Mean and variance of numbers, the same whatever their order and however they are split.
//!
//! The sum and the sum of squares are kept exactly, so that the variance, n Σx² − (Σx)² over n (n − 1), suffers no cancellation: it is
//! rounded at the end alone, and never negative. Does not deal with: what the numbers are, tests of means (`model::welch`).

use super::exact_sum::{DoubleSum, ExactSum};

/// Numbers of this size and more, and those of the inverse and less, have squares whose exact sum may leave the range of doubles.
const HUGE: f64 = 1e120;

/// What is known of the numbers so far.
#[derive(Debug, Clone, Default)]
pub struct Moments {
    /// Their sum, and how many there are.
    pub sum: DoubleSum,
    /// The sum of their squares.
    pub squares: ExactSum,
    /// Whether one of them has no square here: NaN, an infinity, 1e120 or more, 1e-120 or less but not 0.
    pub unsquared: bool,
}

impl Moments {
    /// Adds a double.
    pub fn add(&mut self, number: f64) {
        self.sum.terms += 1;
        self.sum.add(number);
        let size = number.abs();
        if size == 0.0 {
            return;
        }
        if size < HUGE && size > 1.0 / HUGE {
            add_product(&mut self.squares, number, number, 1.0);
        } else {
            self.unsquared = true;
        }
    }

    /// Adds a whole number of up to 38 digits.
    pub fn add_whole(&mut self, number: i128) {
        let parts = doubles(number);
        self.sum.terms += 1;
        for part in parts {
            self.sum.add(part);
            for other in parts {
                add_product(&mut self.squares, part, other, 1.0);
            }
        }
    }

    /// Adds all numbers of another.
    pub fn merge(&mut self, terms: i64, odd: f64, sum: &[f64], squares: &[f64], unsquared: bool) {
        self.sum.terms += terms;
        self.sum.odd += odd;
        sum.iter().for_each(|part| self.sum.exact.add(*part));
        squares.iter().for_each(|part| self.squares.add(*part));
        self.unsquared |= unsquared;
    }

    /// The mean of the numbers over `scale`; `None` without any.
    pub fn mean(&self, scale: f64) -> Option<f64> {
        self.sum.value().map(|sum| sum / (self.sum.terms as f64 * scale))
    }

    /// The sample variance of the numbers over `scale`; `None` of fewer than two, and where a number has no square here.
    pub fn variance(&self, scale: f64) -> Option<f64> {
        if self.sum.terms < 2 || self.unsquared {
            return None;
        }
        let n = self.sum.terms;
        let mut spread = ExactSum::default();
        self.squares.parts().iter().for_each(|part| spread.add_product(*part, n));
        let sum = self.sum.exact.parts();
        for a in sum {
            sum.iter().for_each(|b| add_product(&mut spread, *a, *b, -1.0));
        }
        Some(spread.value() / (n as f64 * (n - 1) as f64) / scale / scale)
    }

    /// Bytes held outside.
    pub fn size(&self) -> usize {
        self.sum.exact.size() + self.squares.size()
    }
}

/// Adds a · b, or takes it away, with what rounding the product loses.
fn add_product(sum: &mut ExactSum, a: f64, b: f64, sign: f64) {
    let product = a * b;
    sum.add(sign * product);
    sum.add(sign * a.mul_add(b, -product));
}

/// Doubles whose sum a whole number of up to 38 digits is.
fn doubles(number: i128) -> [f64; 3] {
    let high = number as f64;
    let rest = number - high as i128;
    let middle = rest as f64;
    [high, middle, (rest - middle as i128) as f64]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(numbers: &[f64]) -> Moments {
        let mut moments = Moments::default();
        numbers.iter().for_each(|x| moments.add(*x));
        moments
    }

    fn merged(parts: &[&[f64]]) -> Moments {
        let mut all = Moments::default();
        for part in parts {
            let m = of(part);
            all.merge(m.sum.terms, m.sum.odd, m.sum.exact.parts(), m.squares.parts(), m.unsquared);
        }
        all
    }

    /// Textbook sums of squares lose every digit here: the variance of x and of x + 1e15 is the same.
    #[test]
    fn a_large_mean_takes_nothing_from_the_variance() {
        let far: Vec<f64> = [4.0, 7.0, 13.0, 16.0].iter().map(|x| x + 1e15).collect();
        assert_eq!(of(&far).variance(1.0), Some(30.0));
        assert_eq!(of(&far).mean(1.0), Some(1e15 + 10.0));
        assert_eq!(of(&[0.1; 1_000]).variance(1.0), Some(0.0));
    }

    #[test]
    fn whole_numbers_of_38_digits_are_exact() {
        let large = 10i128.pow(38) - 1;
        let mut moments = Moments::default();
        [large, large - 3, large - 6].iter().for_each(|x| moments.add_whole(*x));
        assert_eq!(moments.variance(1.0), Some(9.0));
        assert_eq!(moments.variance(100.0), Some(9e-4));
        let mut small = Moments::default();
        [i128::from(i64::MIN), i128::from(i64::MAX)].iter().for_each(|x| small.add_whole(*x));
        assert_eq!(small.mean(1.0), Some(-0.5));
    }

    #[test]
    fn numbers_without_a_square_have_no_variance() {
        for odd in [f64::NAN, f64::INFINITY, 1e121, -1e300, 1e-130] {
            assert_eq!(of(&[1.0, odd]).variance(1.0), None, "{odd}");
        }
        assert!(of(&[1.0, f64::NAN]).mean(1.0).unwrap().is_nan());
        assert_eq!(of(&[1.0]).variance(1.0), None);
        assert_eq!(of(&[]).mean(1.0), None);
        assert_eq!(of(&[9e119, -9e119]).variance(1.0), Some(9e119 * 9e119 * 2.0));
        assert_eq!(of(&[0.0, -0.0]).variance(1.0), Some(0.0));
        // Whichever part has it.
        for (a, b) in [(vec![1.0, 2.0], vec![1e121]), (vec![f64::NAN], vec![1.0, 2.0])] {
            let (mut whole, part) = (of(&a), of(&b));
            let sum = &part.sum;
            whole.merge(sum.terms, sum.odd, sum.exact.parts(), part.squares.parts(), part.unsquared);
            assert_eq!(whole.variance(1.0), None, "{a:?} {b:?}");
        }
    }

    proptest! {
        /// Order and splitting change no bit; the variance is that of two passes over the numbers less their mean.
        #[test]
        fn the_multiset_decides(
            numbers in prop::collection::vec(prop_oneof![-1e3..1e3f64, -1e-3..1e-3f64, Just(0.1)], 2..60),
            at in 0usize..60,
        ) {
            let whole = of(&numbers);
            let mut reversed = numbers.clone();
            reversed.reverse();
            let (left, right) = reversed.split_at(at % numbers.len());
            let split = merged(&[right, left]);
            prop_assert_eq!(whole.variance(1.0).map(f64::to_bits), split.variance(1.0).map(f64::to_bits));
            prop_assert_eq!(whole.mean(1.0).map(f64::to_bits), split.mean(1.0).map(f64::to_bits));
            let n = numbers.len() as f64;
            let mean = numbers.iter().sum::<f64>() / n;
            let variance = numbers.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / (n - 1.0);
            let found = whole.variance(1.0).unwrap();
            prop_assert!(found >= 0.0 && (found - variance).abs() <= 1e-9 * variance.max(1e-12), "{found} {variance}");
        }
    }
}
