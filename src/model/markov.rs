//! Removal effects in a Markov chain of order 1: what conversions would be lost without one of the channels.
//!
//! Deals with: the chain of paths as counts of moves, and the share of conversions that is lost where everything that flows
//! into a channel ends there. Does not deal with: paths, or sharing conversions out by these effects.
//!
//! With `A = D - N` (`D` how often each channel is left, `N` the moves between channels) and `G` its inverse, the expected
//! visits to `c` are `start G` times how often it is left, the chance to convert from `c` is `G converted`, and a path that
//! once meets `c` is a path that is lost without `c`; so the effect is `(start G)[c] (G converted)[c] / (G[c][c] conversions)`.
//! The rows of `A` are never short of what leaves the chain, so the elimination knows each pivot as a sum of terms that are
//! not negative (Grassmann, Taksar and Heyman 1985): nothing is ever subtracted, and loops that hardly ever end cost no
//! precision. Cost: O(channels^3) time, O(channels^2) memory.

/// The most channels: a thousand take about a second and 8 MB.
pub const MAX_CHANNELS: usize = 1_000;

/// How often paths take each step. Channels are numbered from 0.
#[derive(Debug, Clone, PartialEq)]
pub struct Chain {
    /// Paths that begin with the channel.
    pub start: Vec<f64>,
    /// `moves[from * channels + to]`; from a channel to itself there are none.
    pub moves: Vec<f64>,
    /// Paths that end with the channel and convert.
    pub converted: Vec<f64>,
    /// Paths that end with the channel and do not.
    pub lost: Vec<f64>,
}

impl Chain {
    /// No path yet.
    pub fn new(channels: usize) -> Self {
        let zeros = || vec![0.0; channels];
        Self { start: zeros(), moves: vec![0.0; channels * channels], converted: zeros(), lost: zeros() }
    }

    /// The removal effect of each channel, 0 to 1; 0 for channels that no converting path needs.
    pub fn removal_effects(&self) -> Vec<f64> {
        let n = self.start.len();
        let conversions: f64 = self.converted.iter().sum();
        let (factors, pivots) = self.eliminate();
        let mut reached = vec![0.0; n];
        let mut converts = vec![0.0; n];
        let mut own = vec![0.0; n];
        let mut column = vec![0.0; n];
        for c in 0..n {
            // Column c of G: forward, then backward; all terms are of one sign.
            column.fill(0.0);
            column[c] = 1.0;
            for i in c + 1..n {
                let row = &factors[i * n..];
                column[i] = (c..i).map(|k| row[k] * column[k]).sum();
            }
            for i in (0..n).rev() {
                let row = &factors[i * n..];
                let after: f64 = (i + 1..n).map(|j| row[j] * column[j]).sum();
                column[i] = (column[i] + after) / pivots[i];
            }
            reached[c] = self.start.iter().zip(&column).map(|(start, g)| start * g).sum();
            converts.iter_mut().zip(&column).for_each(|(b, g)| *b += g * self.converted[c]);
            own[c] = column[c];
        }
        let effect = |c: usize| reached[c] * converts[c] / (own[c] * conversions);
        (0..n).map(|c| if conversions > 0.0 { effect(c).clamp(0.0, 1.0) } else { 0.0 }).collect()
    }

    /// The factors of `A`, signs left out: below the diagonal of the lower, above it of the upper one; and the pivots.
    fn eliminate(&self) -> (Vec<f64>, Vec<f64>) {
        let n = self.start.len();
        let mut factors = self.moves.clone();
        let mut exits: Vec<f64> = self.converted.iter().zip(&self.lost).map(|(c, l)| c + l).collect();
        let mut pivots = vec![1.0; n];
        for k in 0..n {
            let (above, below) = factors.split_at_mut((k + 1) * n);
            let row = &above[k * n..];
            let pivot = row[k + 1..].iter().sum::<f64>() + exits[k];
            // A channel that no path visits stands alone.
            pivots[k] = if pivot > 0.0 { pivot } else { 1.0 };
            for (at, other) in below.chunks_exact_mut(n).enumerate() {
                let factor = other[k] / pivots[k];
                other[k] = factor;
                if factor > 0.0 {
                    let i = k + 1 + at;
                    other[k + 1..].iter_mut().zip(&row[k + 1..]).for_each(|(m, by)| *m += factor * by);
                    // Back to where it came from is part of the pivot, which is not read from here.
                    other[i] = 0.0;
                    exits[i] += factor * exits[k];
                }
            }
        }
        (factors, pivots)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chain(channels: usize, paths: &[(&[usize], bool)]) -> Chain {
        let mut chain = Chain::new(channels);
        for (path, converts) in paths {
            let mut path = path.to_vec();
            path.dedup();
            chain.start[path[0]] += 1.0;
            path.windows(2).for_each(|pair| chain.moves[pair[0] * channels + pair[1]] += 1.0);
            let last = path[path.len() - 1];
            let end = if *converts { &mut chain.converted } else { &mut chain.lost };
            end[last] += 1.0;
        }
        chain
    }

    /// The share of conversions without `removed`, by walking the chain until nearly nobody is under way.
    fn walked(chain: &Chain, removed: Option<usize>) -> f64 {
        let n = chain.start.len();
        let total: f64 = chain.start.iter().sum();
        let mut here: Vec<f64> = chain.start.iter().map(|s| s / total).collect();
        let mut converted = 0.0;
        for _ in 0..20_000 {
            let mut next = vec![0.0; n];
            for c in (0..n).filter(|c| Some(*c) != removed) {
                let row = &chain.moves[c * n..(c + 1) * n];
                let leaves = row.iter().sum::<f64>() + chain.converted[c] + chain.lost[c];
                if leaves > 0.0 {
                    converted += here[c] * chain.converted[c] / leaves;
                    next.iter_mut().zip(row).for_each(|(n, m)| *n += here[c] * m / leaves);
                }
            }
            here = next;
        }
        converted
    }

    #[test]
    fn two_channels_by_hand() {
        let paths: [(&[usize], bool); 5] = [(&[0], true), (&[0], true), (&[1], true), (&[0, 1], true), (&[0], false)];
        let effects = chain(2, &paths).removal_effects();
        // Without google .2 of .8 is left, without mailing .4.
        assert!((effects[0] - 0.75).abs() < 1e-15 && (effects[1] - 0.5).abs() < 1e-15, "{effects:?}");
        assert_eq!(chain(1, &[(&[0], true)]).removal_effects(), [1.0]);
        assert_eq!(chain(1, &[(&[0], false)]).removal_effects(), [0.0]);
        // A channel of lost paths alone, and one that nobody visits.
        assert_eq!(chain(3, &[(&[0], true), (&[1], false)]).removal_effects(), [1.0, 0.0, 0.0]);
        assert_eq!(Chain::new(0).removal_effects(), [0.0; 0]);
    }

    #[test]
    fn elimination_agrees_with_walking() {
        let mut state = 11u64;
        let mut random = move |n: usize| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) as usize % n
        };
        for round in 0..60 {
            let channels = 1 + random(6);
            let paths: Vec<(Vec<usize>, bool)> = (0..1 + random(12))
                .map(|_| ((0..1 + random(7)).map(|_| random(channels)).collect(), random(3) > 0))
                .collect();
            let paths: Vec<(&[usize], bool)> = paths.iter().map(|(p, c)| (p.as_slice(), *c)).collect();
            let chain = chain(channels, &paths);
            let all = walked(&chain, None);
            let converting = paths.iter().filter(|p| p.1).count() as f64 / paths.len() as f64;
            assert!((all - converting).abs() < 1e-9, "round {round}: {all} {converting}");
            for (c, effect) in chain.removal_effects().into_iter().enumerate() {
                let want = if all > 0.0 { 1.0 - walked(&chain, Some(c)) / all } else { 0.0 };
                assert!((effect - want).abs() < 1e-9, "round {round}, {c}: {effect}, not {want}\n{paths:?}");
            }
        }
    }

    #[test]
    fn a_loop_that_hardly_ends_costs_no_precision() {
        // One path goes back and forth 10^15 times before it converts; both channels are needed.
        let mut chain = Chain::new(2);
        chain.start[0] = 1.0;
        chain.moves[1] = 1e15 + 1.0;
        chain.moves[2] = 1e15;
        chain.converted[1] = 1.0;
        assert_eq!(chain.removal_effects(), [1.0, 1.0]);
    }
}
