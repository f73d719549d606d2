//! A sum of doubles without rounding: the same number whatever the order of the terms and however they are split.
//!
//! Deals with: adding terms and products, handing a sum on in parts, the nearest double of the whole.
//! Infinities, NaN and magnitudes from 1e280 on do not belong into an [`ExactSum`]; a [`DoubleSum`] keeps them apart.
//!
//! The sum is held as doubles whose significant bits do not overlap (J. Shewchuk, "Adaptive Precision Floating-Point
//! Arithmetic", 1997): two or three of them for terms of similar size, never more than forty.

/// A sum that has lost nothing yet.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ExactSum {
    /// Smallest magnitude first, none zero.
    parts: Vec<f64>,
}

impl ExactSum {
    /// Adds a term.
    pub fn add(&mut self, term: f64) {
        let mut carried = term;
        let mut kept = 0;
        for at in 0..self.parts.len() {
            let (sum, lost) = two_sum(carried, self.parts[at]);
            if lost != 0.0 {
                self.parts[kept] = lost;
                kept += 1;
            }
            carried = sum;
        }
        self.parts.truncate(kept);
        if carried != 0.0 {
            self.parts.push(carried);
        }
    }

    /// Adds `factor * whole`, exact to the last bit of a 63-bit whole number.
    pub fn add_product(&mut self, factor: f64, whole: i64) {
        // A whole number of more than 53 bits is two doubles. The cast back saturates at 2^63, which `whole` stays below.
        let high = whole as f64;
        let low = (whole - high as i64) as f64;
        for part in [high, low] {
            let product = factor * part;
            self.add(product);
            self.add(factor.mul_add(part, -product));
        }
    }

    /// The doubles that the sum consists of: adding them to another sum adds this one.
    pub fn parts(&self) -> &[f64] {
        &self.parts
    }

    /// Bytes held outside.
    pub fn size(&self) -> usize {
        self.parts.capacity() * size_of::<f64>()
    }

    /// The double nearest to the sum, half to even.
    pub fn value(&self) -> f64 {
        let mut below = self.parts.iter().rev();
        let Some(mut high) = below.next().copied() else { return 0.0 };
        for part in below.by_ref() {
            let (sum, lost) = two_sum(high, *part);
            high = sum;
            if lost == 0.0 {
                continue;
            }
            // The rest decides only where what was lost is exactly half a unit in the last place.
            if let Some(rest) = below.next()
                && (*rest > 0.0) == (lost > 0.0)
            {
                let up = high + 2.0 * lost;
                if up - high == 2.0 * lost {
                    return up;
                }
            }
            return high;
        }
        high
    }
}

/// Terms of this size and more are added as they are: their exact sum could leave the range of doubles on the way.
const HUGE: f64 = 1e280;

/// A sum of any doubles: exact, but for NaN, infinities and numbers beyond 1e280, which add up as doubles do.
#[derive(Debug, Clone, Default)]
pub struct DoubleSum {
    /// How many terms there are.
    pub terms: i64,
    /// The sum of what cannot be added exactly.
    pub odd: f64,
    /// The sum of the rest.
    pub exact: ExactSum,
}

impl DoubleSum {
    /// Adds a number, which need not be a term of its own.
    pub fn add(&mut self, number: f64) {
        if number.abs() < HUGE {
            self.exact.add(number);
        } else {
            self.odd += number;
        }
    }

    /// The double nearest to the sum; `None` without terms.
    pub fn value(&self) -> Option<f64> {
        // Without odd terms nothing is added: -0.0 + 0.0 is no -0.0.
        (self.terms > 0).then(|| if self.odd == 0.0 { self.exact.value() } else { self.odd + self.exact.value() })
    }

    /// The doubles that the sum consists of.
    pub fn parts(&self) -> impl Iterator<Item = f64> {
        self.exact.parts().iter().copied().chain((self.odd != 0.0).then_some(self.odd))
    }
}

/// A sum as the nearest double and what is missing.
fn two_sum(a: f64, b: f64) -> (f64, f64) {
    let sum = a + b;
    let of_b = sum - a;
    (sum, (a - (sum - of_b)) + (b - of_b))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sum(terms: &[f64]) -> f64 {
        let mut sum = ExactSum::default();
        terms.iter().for_each(|t| sum.add(*t));
        sum.value()
    }

    #[test]
    fn nothing_is_lost_and_the_end_is_rounded_once() {
        assert_eq!(sum(&[]), 0.0);
        assert_eq!(sum(&[1e100, 1.0, -1e100]), 1.0);
        assert_eq!(sum(&[0.1; 10]), 1.0);
        let half = f64::EPSILON / 2.0;
        // Half a unit above 1: to even. A hair more: up; a hair less: down.
        assert_eq!(sum(&[1.0, half]), 1.0);
        assert_eq!(sum(&[1.0, half, 1e-40]), 1.0 + f64::EPSILON);
        assert_eq!(sum(&[1.0 + f64::EPSILON, half, -1e-40]), 1.0 + f64::EPSILON);
        assert_eq!(sum(&[1.0 + f64::EPSILON, half]), 1.0 + 2.0 * f64::EPSILON);
        assert_eq!(sum(&[3.0, -3.0]), 0.0);
    }

    #[test]
    fn order_and_splitting_change_nothing() {
        let mut state = 9u64;
        let mut random = move || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            state >> 33
        };
        for _ in 0..2_000 {
            let n = 1 + random() as usize % 12;
            let mut terms: Vec<f64> =
                (0..n).map(|_| (random() as f64 - 1e9) * 10f64.powi(random() as i32 % 40 - 20)).collect();
            let want = sum(&terms);
            for at in (1..n).rev() {
                terms.swap(at, random() as usize % (at + 1));
            }
            assert_eq!(sum(&terms).to_bits(), want.to_bits());
            let (left, right) = terms.split_at(random() as usize % n);
            let mut both = ExactSum::default();
            for half in [left, right] {
                let mut part = ExactSum::default();
                half.iter().for_each(|t| part.add(*t));
                part.parts().iter().for_each(|p| both.add(*p));
            }
            assert_eq!(both.value().to_bits(), want.to_bits());
        }
    }

    #[test]
    fn products_with_whole_numbers_are_exact() {
        let mut sum = ExactSum::default();
        let whole = (1i64 << 61) + 1;
        sum.add_product(0.1, whole);
        sum.add_product(-0.1, whole - 10);
        assert_eq!(sum.value(), 1.0);
        sum.add_product(0.1, 10);
        assert_eq!(sum.value(), 2.0);
    }
}
