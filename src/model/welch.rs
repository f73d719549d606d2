//! Whether two means differ: Welch's t-test of two independent samples, whose variances need not be the same.
//!
//! Deals with: the test and the 95 % interval of the difference. Does not deal with: how means and variances are come by
//! (`algo::moments`), several comparisons.
//!
//! Source: B. L. Welch, "The generalization of 'Student's' problem when several different population variances are involved",
//! Biometrika 34 (1947); degrees of freedom of Welch and Satterthwaite.
//!
//! Student's distribution is `statrs`'; with many degrees of freedom, where its incomplete beta function loses digits, that of G. W.
//! Hill, "Algorithm 395", CACM 13 (1970), and the quantile is the Cornish-Fisher expansion.

use statrs::distribution::{ContinuousCDF, StudentsT};
use statrs::function::erf::erfc;

use super::wilson::Z_95;

/// What is known of one sample.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sample {
    /// How many values there are.
    pub n: u64,
    pub mean: f64,
    /// With n - 1 in the denominator.
    pub variance: f64,
}

/// The test of the first mean less the second.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Test {
    pub t: f64,
    /// Degrees of freedom.
    pub df: f64,
    /// Two-sided.
    pub p_value: f64,
    /// The 95 % interval of the difference.
    pub low: f64,
    pub high: f64,
}

/// Welch's test. `None` where it has no answer: a sample of fewer than two values, none that varies, numbers that are not finite. O(1).
pub fn welch(a: Sample, b: Sample) -> Option<Test> {
    if a.n < 2 || b.n < 2 || !(a.variance >= 0.0 && b.variance >= 0.0) {
        return None;
    }
    let (of_a, of_b) = (a.variance / a.n as f64, b.variance / b.n as f64);
    let squared = of_a + of_b;
    let difference = a.mean - b.mean;
    if squared <= 0.0 || !squared.is_finite() || !difference.is_finite() {
        return None;
    }
    // As shares of the whole: squares of tiny or huge variances would leave the range of doubles.
    let (share_a, share_b) = (of_a / squared, of_b / squared);
    let df = 1.0 / (share_a * share_a / (a.n - 1) as f64 + share_b * share_b / (b.n - 1) as f64);
    let error = squared.sqrt();
    let t = difference / error;
    let p_value = two_sided(t, df)?;
    let half = quantile(df)? * error;
    Some(Test { t, df, p_value, low: difference - half, high: difference + half })
}

/// Degrees of freedom from which Hill's transformation is nearer than the incomplete beta function.
const MANY: f64 = 1e4;

/// How likely a t of this size or more is, with either sign.
fn two_sided(t: f64, df: f64) -> Option<f64> {
    if df < MANY {
        return Some((2.0 * StudentsT::new(0.0, 1.0, df).ok()?.sf(t.abs())).clamp(0.0, 1.0));
    }
    let a = df - 0.5;
    let b = 48.0 * a * a;
    let square = a * (t * t / df).ln_1p();
    let w = square.sqrt();
    let tail = (((4.0 * square + 33.0) * square + 240.0) * square + 855.0) * w;
    let z = w + (square + 3.0) * w / b - tail / (10.0 * b * (b + 0.8 * square * square + 100.0));
    Some(erfc(z / std::f64::consts::SQRT_2))
}

/// The 97.5 % quantile.
fn quantile(df: f64) -> Option<f64> {
    if df < MANY {
        return Some(StudentsT::new(0.0, 1.0, df).ok()?.inverse_cdf(0.975));
    }
    let (z, square) = (Z_95, Z_95 * Z_95);
    let first = (square + 1.0) / 4.0;
    let second = ((5.0 * square + 16.0) * square + 3.0) / 96.0;
    let third = (((3.0 * square + 19.0) * square + 17.0) * square - 15.0) / 384.0;
    Some(z * (1.0 + (first + (second + third / df) / df) / df))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(values: &[f64]) -> Sample {
        let n = values.len() as f64;
        let mean = values.iter().sum::<f64>() / n;
        let variance = values.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / (n - 1.0);
        Sample { n: values.len() as u64, mean, variance }
    }

    /// "Student" (1908), hours of sleep gained with two drugs, as the manual of R prints `t.test(extra ~ group, data = sleep)`.
    #[test]
    fn the_published_example() {
        let first = sample(&[0.7, -1.6, -0.2, -1.2, -0.1, 3.4, 3.7, 0.8, 0.0, 2.0]);
        let second = sample(&[1.9, 0.8, 1.1, 0.1, -0.1, 4.4, 5.5, 1.6, 4.6, 3.4]);
        let test = welch(first, second).unwrap();
        let near =
            |found: f64, wanted: f64, unit: f64| assert!((found - wanted).abs() <= 0.5 * unit, "{found} {wanted}");
        near(test.t, -1.8608, 1e-4);
        near(test.df, 17.776, 1e-3);
        near(test.p_value, 0.07939, 1e-5);
        near(test.low, -3.365_483_2, 1e-7);
        near(test.high, 0.205_483_2, 1e-7);
    }

    /// By mpmath's incomplete beta function at 40 digits.
    #[test]
    fn probabilities_and_quantiles_keep_their_digits() {
        for (t, df, p) in [
            (2.0, 1.0, 0.295_167_235_300_866_5),
            (0.3, 1.5, 0.800_472_196_803_584_8),
            (-2.0, 7.7, 0.081_907_403_996_801_42),
            (5.0, 30.25, 2.282_008_118_457_837e-5),
            (1.96, 999.5, 0.050_273_323_775_273_8),
            (12.0, 500.0, 2.486_451_278_461_845e-29),
            (2.5, 9999.0, 0.012_435_221_140_020_17),
            (2.5, 10_001.0, 0.012_435_217_961_465_156),
            (6.0, 20_000.0, 2.007_145_641_122_634_7e-9),
            (-30.0, 50_000.0, 5.417_005_900_280_992e-196),
            (0.01, 50_000.0, 0.992_021_327_266_859_7),
            (2.0, 1e6, 0.045_500_533_851_319_205),
            (0.0, 12.0, 1.0),
        ] {
            let found = two_sided(t, df).unwrap();
            assert!((found / p - 1.0).abs() < 1e-10, "{t} {df}: {found:e} {p:e}");
        }
        for (df, q) in [
            (1.0, 12.706_204_736_174_705),
            (1.5, 6.016_663_104_427_931_5),
            (2.3, 3.807_163_208_232_132_5),
            (7.7, 2.321_736_752_830_865),
            (30.25, 2.041_564_922_767_826),
            (999.5, 1.962_340_270_383_845_7),
            (9999.0, 1.960_201_263_621_357_7),
            (10_001.0, 1.960_201_216_164_641_2),
            (1e6, 1.959_966_356_814_107),
        ] {
            let found = quantile(df).unwrap();
            assert!((found / q - 1.0).abs() < 1e-11, "{df}: {found} {q}");
        }
    }

    #[test]
    fn questions_without_an_answer() {
        let fine = Sample { n: 5, mean: 1.0, variance: 2.0 };
        assert!(welch(fine, fine).is_some_and(|test| test.p_value == 1.0 && test.t == 0.0));
        // A sample that does not vary has no degrees of freedom to give, and takes none.
        assert_eq!(welch(fine, Sample { variance: 0.0, ..fine }).unwrap().df, 4.0);
        let constant = Sample { variance: 0.0, ..fine };
        assert_eq!(welch(constant, Sample { mean: 2.0, ..constant }), None);
        for odd in [
            Sample { n: 1, ..fine },
            Sample { n: 0, ..fine },
            Sample { variance: -1.0, ..fine },
            Sample { variance: f64::NAN, ..fine },
            Sample { variance: f64::INFINITY, ..fine },
            Sample { mean: f64::NAN, ..fine },
            Sample { mean: f64::INFINITY, ..fine },
        ] {
            assert_eq!(welch(odd, fine), None, "{odd:?}");
            assert_eq!(welch(fine, odd), None, "{odd:?}");
        }
        let tiny = Sample { variance: 1e-300, mean: 1e-150, ..fine };
        assert!(welch(tiny, tiny).is_some_and(|test| test.df > 7.9 && test.high > 0.0));
    }
}
