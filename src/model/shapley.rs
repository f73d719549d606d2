//! Shapley values of channels, where a set of channels is worth the conversions of paths whose channels all lie in it.
//!
//! Deals with: the closed form. A path of k channels adds its conversions to every set that holds all k, so in a random
//! order of the channels it is won by whichever of its own comes last, and each of them is last in 1/k of the orders: every
//! channel gets 1/k of each path it is on. That is exact, and linear where the definition asks for 2^channels sets.
//! Does not deal with: finding the paths.

/// The parts of `unit` that the members of a coalition get: equal, but for what division leaves over, which goes to the
/// first ones, one each.
pub fn parts(unit: i64, members: usize) -> impl Iterator<Item = i64> {
    let of = i64::try_from(members.max(1)).unwrap_or(i64::MAX);
    (0..of).map(move |at| unit / of + i64::from(at < unit % of))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_a_whole() {
        for members in 1..100 {
            let parts: Vec<i64> = parts(1_000_003, members).collect();
            assert_eq!(parts.len(), members);
            assert_eq!(parts.iter().sum::<i64>(), 1_000_003);
            assert!(parts[0] - parts[members - 1] <= 1);
        }
    }

    /// The definition: the mean over all orders of what a channel adds to those before it.
    fn by_definition(paths: &[(u32, f64)], channels: u32) -> Vec<f64> {
        let worth = |set: u32| paths.iter().filter(|p| p.0 & !set == 0).map(|p| p.1).sum::<f64>();
        let factorial = |n: u32| (1..=n).map(f64::from).product::<f64>();
        let of = |c: u32| -> f64 {
            let others = (0..1u32 << channels).filter(|set| set >> c & 1 == 0);
            others
                .map(|set| {
                    let size = set.count_ones();
                    let orders = factorial(size) * factorial(channels - size - 1) / factorial(channels);
                    orders * (worth(set | 1 << c) - worth(set))
                })
                .sum()
        };
        (0..channels).map(of).collect()
    }

    #[test]
    fn the_closed_form_is_the_definition() {
        let mut state = 3u64;
        let mut random = move |n: u64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) % n
        };
        for _ in 0..200 {
            let channels = 1 + random(6) as u32;
            let paths: Vec<(u32, f64)> =
                (0..random(9)).map(|_| (1 + random((1 << channels) - 1) as u32, random(5) as f64)).collect();
            let mut credits = vec![0.0; channels as usize];
            let unit = 1i64 << 40;
            for (set, conversions) in &paths {
                let members = (0..channels).filter(|c| set >> c & 1 == 1);
                members.zip(parts(unit, set.count_ones() as usize)).for_each(|(c, part)| {
                    credits[c as usize] += conversions * part as f64 / unit as f64;
                });
            }
            for (got, want) in credits.iter().zip(by_definition(&paths, channels)) {
                assert!((got - want).abs() < 1e-9, "{paths:?}: {got}, not {want}");
            }
        }
    }
}
