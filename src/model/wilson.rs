//! The Wilson score interval of a proportion.
//!
//! Deals with: one share of counted trials. Does not deal with: differences of shares, means, or choosing z.
//!
//! Source: E. B. Wilson, "Probable inference, the law of succession, and statistical inference", JASA 22 (1927).

/// The two-sided 95 % quantile of the standard normal distribution, for `z`.
pub const Z_95: f64 = 1.959_963_984_540_054;

/// The Wilson score interval of `successes` of `trials`, as (low, high) with 0 <= low <= share <= high <= 1.
///
/// `None` where the question has no answer: no trials, more successes than trials, a negative or non-finite `z`.
/// Unlike share ± z·se it is never empty at 0 or at all successes, and never leaves 0..1. O(1).
pub fn wilson(successes: u64, trials: u64, z: f64) -> Option<(f64, f64)> {
    if trials == 0 || successes > trials || !z.is_finite() || z < 0.0 {
        return None;
    }
    let n = trials as f64;
    let share = successes as f64 / n;
    let z2 = z * z;
    let centre = share + z2 / (2.0 * n);
    let half = z * (share * (1.0 - share) / n + z2 / (4.0 * n * n)).sqrt();
    let scale = 1.0 + z2 / n;
    // A huge z overflows to infinity over infinity: then nothing is known of the share.
    if !half.is_finite() || !scale.is_finite() {
        return Some((0.0, 1.0));
    }
    // At 0 and at n the bound is the share itself; rounding must not move it inside or outside.
    let low = if successes == 0 { 0.0 } else { ((centre - half) / scale).clamp(0.0, share) };
    let high = if successes == trials { 1.0 } else { ((centre + half) / scale).clamp(share, 1.0) };
    Some((low, high))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Newcombe (1998), "Two-sided confidence intervals for the single proportion", table I, method 3.
    #[test]
    fn published_intervals() {
        for (successes, trials, low, high) in
            [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)]
        {
            let (l, h) = wilson(successes, trials, Z_95).unwrap();
            assert!((l - low).abs() < 5e-5 && (h - high).abs() < 5e-5, "{successes}/{trials}: {l} {h}");
        }
    }

    /// The bounds are the roots p of (share - p)^2 = z^2 p (1 - p) / n.
    #[test]
    fn bounds_solve_the_score_equation() {
        for trials in [1_u64, 2, 7, 500, 1_000_000] {
            for successes in [0, 1, trials / 3, trials / 2, trials - 1, trials] {
                let (low, high) = wilson(successes, trials, Z_95).unwrap();
                let share = successes as f64 / trials as f64;
                assert!(0.0 <= low && low <= share && share <= high && high <= 1.0);
                for p in [low, high] {
                    let score = (share - p).powi(2) - Z_95 * Z_95 * p * (1.0 - p) / trials as f64;
                    assert!(score.abs() < 1e-12, "{successes}/{trials}: {score}");
                }
            }
        }
    }

    #[test]
    fn questions_without_an_answer() {
        assert_eq!(wilson(0, 0, Z_95), None);
        assert_eq!(wilson(3, 2, Z_95), None);
        assert_eq!(wilson(1, 2, f64::NAN), None);
        assert_eq!(wilson(1, 2, -1.0), None);
        assert_eq!(wilson(1, 2, f64::MAX), Some((0.0, 1.0)));
        assert_eq!(wilson(1, 2, 0.0), Some((0.5, 0.5)));
    }
}
