//! Rounding shares of a whole so that the rounded shares add up to the whole, to the last bit and in any order.
//!
//! Doubles that are whole multiples of one step, with a total of at most 2^53 steps, are added without any rounding. So the
//! whole chooses the smallest step (a power of two) that allows it, each share is cut down to a whole number of steps, and
//! the steps left over go one each to the shares that lost most; of equal losses, to the first. No share is a step or more
//! away from its true size, which is the precision of the total itself.
//!
//! Deals with: counts, where the shares are known exactly, and amounts of either sign.
//! Does not deal with: what is shared out.

/// Bits of whole numbers that doubles hold exactly.
const BITS: i32 = 53;

/// Shares `parts[k] / unit` of `total` things, where the parts add up to `total * unit` and `unit` is below 2^63.
pub fn counts(parts: &[i128], unit: i64, total: u64) -> Vec<f64> {
    let shift = (BITS - bits_of(total)).max(0);
    let unit = i128::from(unit);
    let scaled = || parts.iter().map(|part| part << shift);
    let mut steps: Vec<i128> = scaled().map(|part| part.div_euclid(unit)).collect();
    let lost: Vec<i128> = scaled().map(|part| part.rem_euclid(unit)).collect();
    hand_out(&mut steps, &lost, i128::from(total) << shift);
    let step = power_of_two(-shift);
    steps.iter().map(|steps| *steps as f64 * step).collect()
}

/// Shares of `part` of `total` things in proportion to `weights`, none negative and not all zero. The shares are whole steps
/// of the total, so that the rest of it can be added to them.
pub fn in_proportion(weights: &[f64], part: u64, total: u64) -> Vec<f64> {
    let shift = (BITS - bits_of(total)).max(0);
    let whole = i128::from(part) << shift;
    let parts = whole_parts(weights);
    let sum: i128 = parts.iter().sum::<i128>().max(1);
    let mut steps: Vec<i128> = parts.iter().map(|part| whole * part / sum).collect();
    let lost: Vec<i128> = parts.iter().map(|part| whole * part % sum).collect();
    hand_out(&mut steps, &lost, whole);
    let step = power_of_two(-shift);
    steps.iter().map(|steps| *steps as f64 * step).collect()
}

/// Amounts near `shares` that add up to `total`, where the terms of the total add up to `magnitude` without their signs.
/// With terms of both signs the total itself is rounded to the step that the magnitude asks for.
pub fn amounts(shares: &[f64], total: f64, magnitude: f64) -> Vec<f64> {
    if magnitude == 0.0 {
        return vec![0.0; shares.len()];
    }
    // Terms of both signs leave no room to spare: one more bit for the steps that rounding adds.
    let spare = i32::from(total.abs() != magnitude);
    let step = power_of_two((ceil_exponent(magnitude) + spare - BITS).max(-1_000));
    let mut steps: Vec<i128> = shares.iter().map(|share| (share / step).floor() as i128).collect();
    let lost: Vec<f64> = shares.iter().map(|share| share / step - (share / step).floor()).collect();
    hand_out(&mut steps, &lost, (total / step).round_ties_even() as i128);
    steps.iter().map(|steps| *steps as f64 * step).collect()
}

/// Weights as whole numbers of at most 60 bits, the largest about 2^60.
fn whole_parts(weights: &[f64]) -> Vec<i128> {
    let largest = weights.iter().copied().fold(0.0, f64::max);
    weights.iter().map(|w| (w / largest * power_of_two(60)) as i128).collect()
}

/// Raises (or, where rounding went astray, lowers) steps until they add up to `target`.
fn hand_out<L: PartialOrd>(steps: &mut [i128], lost: &[L], target: i128) {
    let Ok(n @ 1..) = i128::try_from(steps.len()) else { return };
    let missing = target - steps.iter().sum::<i128>();
    // With exact parts fewer than n are missing, and nothing is added to all alike.
    steps.iter_mut().for_each(|s| *s += missing.div_euclid(n));
    let mut order: Vec<usize> = (0..steps.len()).collect();
    order.sort_by(|a, b| lost[*b].partial_cmp(&lost[*a]).unwrap_or(std::cmp::Ordering::Equal));
    order.iter().take(missing.rem_euclid(n) as usize).for_each(|at| steps[*at] += 1);
}

/// The least `b` with `n <= 2^b`.
fn bits_of(n: u64) -> i32 {
    (u64::BITS - n.saturating_sub(1).leading_zeros()) as i32
}

/// The least `e` with `x <= 2^e`, for a positive normal `x`.
fn ceil_exponent(x: f64) -> i32 {
    let exponent = ((x.to_bits() >> 52) & 0x7ff) as i32 - 1_023;
    exponent + i32::from(x.to_bits() & ((1 << 52) - 1) != 0)
}

fn power_of_two(exponent: i32) -> f64 {
    2f64.powi(exponent)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn random(seed: u64) -> impl FnMut() -> u64 {
        let mut state = seed;
        move || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            state >> 33
        }
    }

    /// Every order of up to six numbers, or a handful of others.
    fn adds_up(numbers: &[f64], total: f64) {
        let mut numbers = numbers.to_vec();
        for turn in 0..numbers.len().max(1) {
            numbers.rotate_left(usize::from(turn > 0));
            assert_eq!(numbers.iter().sum::<f64>(), total, "{numbers:?}");
            assert_eq!(numbers.iter().rev().sum::<f64>(), total, "{numbers:?}");
        }
    }

    #[test]
    fn thirds_add_up() {
        let third = counts(&[1, 1, 1], 3, 1);
        adds_up(&third, 1.0);
        assert!(third.iter().all(|t| (t - 1.0 / 3.0).abs() < 2e-16), "{third:?}");
        assert_eq!(counts(&[5, 3], 2, 4), [2.5, 1.5]);
        assert_eq!(counts(&[0, 0], 7, 0), [0.0, 0.0]);
        assert_eq!(in_proportion(&[3.0, 2.0], 4, 4), [2.4, 1.6]);
        assert_eq!(in_proportion(&[1e-9, 0.0], 7, 9), [7.0, 0.0]);
        assert_eq!(amounts(&[10.0, 20.0], 30.0, 30.0), [10.0, 20.0]);
        assert_eq!(amounts(&[-5.5, 2.5], -3.0, 8.0), [-5.5, 2.5]);
        assert_eq!(amounts(&[0.0, 0.0], 0.0, 0.0), [0.0, 0.0]);
    }

    #[test]
    fn counts_of_any_size_add_up() {
        let mut random = random(5);
        for _ in 0..20_000 {
            let total = 1 + (random() >> (random() % 31));
            let (unit, n) = (1 + random() as i64 * (1 << 30), 1 + random() as usize % 9);
            let mut rest = i128::from(total) * i128::from(unit);
            let whole = rest;
            let mut parts: Vec<i128> = (1..n)
                .map(|_| {
                    let part = i128::from(random()) * rest / (1 << 31);
                    rest -= part;
                    part
                })
                .collect();
            parts.push(rest);
            let shares = counts(&parts, unit, total);
            adds_up(&shares, total as f64);
            for (part, share) in parts.iter().zip(&shares) {
                let want = *part as f64 / unit as f64;
                assert!((want - share).abs() <= 4e-16 * total as f64, "{part} of {whole}: {share}, not {want}");
            }
            let weights: Vec<f64> = parts.iter().map(|p| *p as f64).collect();
            adds_up(&in_proportion(&weights, total, total), total as f64);
            let part = random() % (total + 1);
            let mut shares = in_proportion(&weights, part, total);
            shares[0] += (total - part) as f64;
            adds_up(&shares, total as f64);
        }
    }

    #[test]
    fn amounts_of_either_sign_add_up() {
        let mut random = random(6);
        for round in 0..20_000 {
            let n = 1 + random() as usize % 9;
            let scale = 10f64.powi(random() as i32 % 60 - 30);
            let sign = if round % 2 == 0 { 1.0 } else { -1.0 };
            let shares: Vec<f64> =
                (0..n).map(|at| random() as f64 / 997.0 * scale * if at % 2 == 0 { 1.0 } else { sign }).collect();
            let total: f64 = shares.iter().sum();
            let magnitude: f64 = shares.iter().map(|s| s.abs()).sum();
            let amounts = amounts(&shares, total, magnitude);
            let sum: f64 = amounts.iter().sum();
            adds_up(&amounts, sum);
            assert!((sum - total).abs() <= 4.5e-16 * magnitude);
            // Of one sign the total is exact.
            assert!(round % 2 == 1 || sum == total);
            for (share, amount) in shares.iter().zip(&amounts) {
                assert!((share - amount).abs() <= 1e-15 * magnitude);
            }
        }
    }
}
