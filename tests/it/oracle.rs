//! Brute force against the engine: small inputs, full of ties, NULLs and rows that meet several conditions.
//!
//! The oracles here share no code with the engine and know nothing of its methods: they try every chain and every pair of
//! birth and return. Data are random from a seed; a failure prints it, and `TENURE_TEST_SEED` runs that seed again.

mod attribution;
mod civil;
mod engagement;
mod funnel;
mod funnel_brute;
mod funnel_by;
mod funnel_options;
mod intervals;
mod lifecycle;
mod pareto;
mod paths;
mod pattern;
mod retention;
mod sessions;

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

/// The seed of this run.
pub fn seed() -> u64 {
    std::env::var("TENURE_TEST_SEED").ok().and_then(|s| s.parse().ok()).unwrap_or(20_250_607)
}

fn random(salt: u64) -> ChaCha8Rng {
    ChaCha8Rng::seed_from_u64(seed().wrapping_mul(1_000_003).wrapping_add(salt))
}

/// Equal up to the rounding of a few additions.
fn close(a: f64, b: f64) -> bool {
    (a - b).abs() <= 1e-9 * a.abs().max(b.abs()).max(1.0)
}
