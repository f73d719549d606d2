//! Whether two shares differ, and by how much: the two-sided z-test of two proportions with a pooled variance, and the interval
//! of their difference.
//!
//! Deals with: two independent groups of counted trials. Does not deal with: several comparisons.
//!
//! Sources: K. Pearson's chi-square of a 2 x 2 table without continuity correction, of which z is the signed root; R. G. Newcombe,
//! "Interval estimation for the difference between independent proportions", Statistics in Medicine 17 (1998), method 10.

use statrs::function::erf::erfc;

use super::wilson::{Z_95, wilson};

/// z and the two-sided p-value of `a` of `n` against `b` of `m`.
///
/// `None` where the question has no answer: a group without trials, more successes than trials, or all trials of both groups
/// alike. An approximation by the normal distribution: good from some five expected successes and failures in each group. O(1).
pub fn z_test(a: u64, n: u64, b: u64, m: u64) -> Option<(f64, f64)> {
    if n == 0 || m == 0 || a > n || b > m {
        return None;
    }
    let (a, n, b, m) = (a as f64, n as f64, b as f64, m as f64);
    let pooled = (a + b) / (n + m);
    let variance = pooled * (1.0 - pooled) * (1.0 / n + 1.0 / m);
    if variance <= 0.0 {
        return None;
    }
    let z = (a / n - b / m) / variance.sqrt();
    Some((z, erfc(z.abs() / std::f64::consts::SQRT_2)))
}

/// The 95 % interval of `a / n - b / m`, of the Wilson intervals of both shares.
///
/// `None` where a group has no trials or more successes than trials. O(1).
pub fn newcombe(a: u64, n: u64, b: u64, m: u64) -> Option<(f64, f64)> {
    let ((low_a, high_a), (low_b, high_b)) = (wilson(a, n, Z_95)?, wilson(b, m, Z_95)?);
    let (of_a, of_b) = (a as f64 / n as f64, b as f64 / m as f64);
    let difference = of_a - of_b;
    let (below, above) = ((of_a - low_a).hypot(high_b - of_b), (high_a - of_a).hypot(of_b - low_b));
    Some(((difference - below).max(-1.0), (difference + above).min(1.0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Newcombe (1998), table II, method 10.
    #[test]
    fn published_intervals_of_differences() {
        for (a, n, b, m, low, high) in [
            (56, 70, 48, 80, 0.0524, 0.3339),
            (9, 10, 3, 10, 0.1705, 0.8090),
            (6, 7, 2, 7, 0.0582, 0.8062),
            (5, 56, 0, 29, -0.0381, 0.1926),
            (0, 10, 0, 20, -0.1611, 0.2775),
            (0, 10, 0, 10, -0.2775, 0.2775),
            (10, 10, 0, 20, 0.6791, 1.0),
            (10, 10, 0, 10, 0.6075, 1.0),
        ] {
            let (l, h) = newcombe(a, n, b, m).unwrap();
            assert!((l - low).abs() < 5.1e-5 && (h - high).abs() < 5.1e-5, "{a}/{n} {b}/{m}: {l} {h}");
            let (l_back, h_back) = newcombe(b, m, a, n).unwrap();
            assert_eq!((l, h), (-h_back, -l_back));
        }
        assert_eq!(newcombe(0, 0, 1, 2), None);
        assert_eq!(newcombe(1, 2, 3, 2), None);
    }

    /// The square of z is Pearson's chi-square of the 2 x 2 table, computed here from its cells.
    #[test]
    fn z_squared_is_chi_square() {
        for (a, n, b, m) in [(15u64, 100u64, 25u64, 120u64), (1, 9, 7, 11), (900, 1000, 30, 50), (0, 40, 5, 60)] {
            let (z, p) = z_test(a, n, b, m).unwrap();
            let cells = [[a, n - a], [b, m - b]].map(|row| row.map(|c| c as f64));
            let total: f64 = cells.iter().flatten().sum();
            let mut chi = 0.0;
            for row in &cells {
                for at in 0..2 {
                    let expected = row.iter().sum::<f64>() * (cells[0][at] + cells[1][at]) / total;
                    chi += (row[at] - expected).powi(2) / expected;
                }
            }
            assert!((z * z - chi).abs() < 1e-9 * chi, "{a}/{n} {b}/{m}: {} {chi}", z * z);
            assert!((0.0..=1.0).contains(&p));
        }
        // By Python's math.erfc.
        let (z, p) = z_test(50, 100, 36, 100).unwrap();
        assert!((z - 1.999_591_961_640_148_3).abs() < 1e-12 && (p - 0.045_544_342_649_357).abs() < 1e-10, "{z} {p}");
    }

    #[test]
    fn questions_without_an_answer() {
        for (a, n, b, m) in [(0, 0, 1, 2), (1, 2, 0, 0), (3, 2, 1, 2), (0, 5, 0, 7), (5, 5, 7, 7)] {
            assert_eq!(z_test(a, n, b, m), None);
        }
    }
}
