//! BG/NBD: how often a customer buys while alive, and whether the customer still is.
//!
//! Deals with: the model of Fader, Hardie and Lee (2005), "Counting your customers the easy way", Marketing Science
//! 24(2): the likelihood, P(alive), expected purchases ([`Params::expected_purchases`]) and the fit ([`fit`]).
//! Does not deal with: turning purchases into customers (repeats, recency, age), money, or calibration.
//!
//! While alive a customer buys as a Poisson process of rate lambda, and after each purchase dies with probability p;
//! lambda ~ Gamma(r, alpha) and p ~ Beta(a, b) over customers. All times are in one unit, chosen by the caller; alpha is
//! in that unit too. Rates and probabilities never depend on the unit.

mod fit;
mod forecast;

pub use fit::{Fit, fit};

use statrs::function::gamma::ln_gamma;

use crate::error::{Error, Result};

/// The four parameters of the model, all positive and finite.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Params {
    /// Shape of the purchase rates over customers.
    pub r: f64,
    /// Inverse scale of the purchase rates, in the unit of time: the mean rate is r / alpha.
    pub alpha: f64,
    /// First shape of the death probabilities: their mean is a / (a + b).
    pub a: f64,
    /// Second shape of the death probabilities.
    pub b: f64,
}

/// What the model needs to know of one customer.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Customer {
    /// Repeat purchases: distinct periods with a purchase, minus 1 (x).
    pub repeats: u32,
    /// Time from the first purchase to the last one (tx); not looked at where `repeats` is 0.
    pub recency: f64,
    /// Time from the first purchase to the end of observation (T).
    pub age: f64,
}

impl Customer {
    /// Says what is wrong with the numbers of this customer: they must be finite and 0 <= recency <= age, and a repeat
    /// purchase must lie after the first one.
    pub fn check(&self) -> Result<()> {
        let Self { repeats, recency, age } = *self;
        if !age.is_finite() || age < 0.0 {
            return Err(Error::data(format!("BG/NBD: age {age} of a customer; it must be finite and not negative")));
        }
        if repeats > 0 && !(recency > 0.0 && recency <= age) {
            let range = format!("it must be above 0 and at most the age {age}");
            return Err(Error::data(format!("BG/NBD: recency {recency} of a customer with repeat purchases; {range}")));
        }
        Ok(())
    }
}

impl Params {
    /// The parameters, checked: each positive and finite.
    pub fn new(r: f64, alpha: f64, a: f64, b: f64) -> Result<Self> {
        for (name, value) in [("r", r), ("alpha", alpha), ("a", a), ("b", b)] {
            if !value.is_finite() || value <= 0.0 {
                return Err(Error::user(format!("BG/NBD: parameter {name} = {value}; it must be positive and finite")));
            }
        }
        Ok(Self { r, alpha, a, b })
    }

    /// The log-likelihood of one customer (equation 6 of the paper). O(1).
    ///
    /// Finite for every customer that passes [`Customer::check`]: the two ways to the data (still alive, died after the
    /// last purchase) are added on the log scale.
    pub fn log_likelihood(&self, customer: &Customer) -> f64 {
        let Self { r, alpha, a, b } = *self;
        let x = f64::from(customer.repeats);
        let counts = ln_gamma(r + x) - ln_gamma(r) + r * alpha.ln();
        let survivals = ln_gamma(a + b) + ln_gamma(b + x) - ln_gamma(b) - ln_gamma(a + b + x);
        let alive = -(r + x) * (alpha + customer.age).ln();
        match customer.repeats {
            0 => counts + survivals + alive,
            _ => counts + survivals + alive + softplus(self.log_odds_dead(customer)),
        }
    }

    /// The probability that the customer is still alive at the end of observation, 0..1; 1 where there are no repeat
    /// purchases, because death comes only after a purchase and the first one is given. O(1).
    pub fn p_alive(&self, customer: &Customer) -> f64 {
        match customer.repeats {
            0 => 1.0,
            _ => 1.0 / (1.0 + self.log_odds_dead(customer).exp()),
        }
    }

    /// ln of P(died after the last purchase) / P(alive), for a customer with repeat purchases.
    fn log_odds_dead(&self, customer: &Customer) -> f64 {
        let Self { r, alpha, a, b } = *self;
        let x = f64::from(customer.repeats);
        let silence = ((customer.age - customer.recency) / (alpha + customer.recency)).ln_1p();
        (a / (b + x - 1.0)).ln() + (r + x) * silence
    }
}

/// ln(1 + e^v) without overflow.
fn softplus(v: f64) -> f64 {
    v.max(0.0) + (-v.abs()).exp().ln_1p()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAPER: Params = Params { r: 0.243, alpha: 4.414, a: 0.793, b: 2.426 };

    #[test]
    fn likelihood_of_a_heavy_buyer_is_stable() {
        let params = Params::new(0.25, 4.0, 0.8, 2.5).unwrap();
        let ll = params.log_likelihood(&Customer { repeats: 200, recency: 38.0, age: 40.0 });
        assert!((ll - 100.7957).abs() < 5e-5, "{ll}");
        let ll = params.log_likelihood(&Customer { repeats: 100_000, recency: 1.0, age: 4000.0 });
        assert!(ll.is_finite(), "{ll}");
        assert_eq!(params.p_alive(&Customer { repeats: 100_000, recency: 1.0, age: 4000.0 }), 0.0);
    }

    /// The likelihood as the paper derives it: the integral over lambda and p of the individual likelihood
    /// (1-p)^x lambda^x e^(-lambda T) + [x > 0] p (1-p)^(x-1) lambda^x e^(-lambda tx), by midpoints on a grid of quantile-free
    /// transformed variables.
    #[test]
    fn likelihood_is_the_mixture_over_customers() {
        let params = Params::new(1.7, 3.0, 1.4, 2.2).unwrap();
        let Params { r, alpha, a, b } = params;
        for (repeats, recency, age) in [(0, 0.0, 5.0), (1, 2.0, 6.0), (4, 9.5, 10.0), (3, 1.0, 12.0)] {
            let x = f64::from(repeats);
            let steps = 1500;
            let ln_norm = r * alpha.ln() - ln_gamma(r) + ln_gamma(a + b) - ln_gamma(a) - ln_gamma(b);
            let mut sum = 0.0;
            for i in 0..steps {
                // lambda = u / (1 - u), d lambda = du / (1 - u)^2
                let u = (f64::from(i) + 0.5) / f64::from(steps);
                let lambda = u / (1.0 - u);
                let rate = (r - 1.0) * lambda.ln() - alpha * lambda - 2.0 * (1.0 - u).ln();
                for j in 0..200 {
                    let p = (f64::from(j) + 0.5) / 200.0;
                    let death = (a - 1.0) * p.ln() + (b - 1.0) * (1.0 - p).ln();
                    let alive = (1.0 - p).powf(x) * lambda.powf(x) * (-lambda * age).exp();
                    let dead = p * (1.0 - p).powf(x - 1.0) * lambda.powf(x) * (-lambda * recency).exp();
                    let given = if repeats == 0 { alive } else { alive + dead };
                    sum += given * (rate + death + ln_norm).exp();
                }
            }
            let brute = (sum / f64::from(steps) / 200.0).ln();
            let ll = params.log_likelihood(&Customer { repeats, recency, age });
            assert!((ll - brute).abs() < 2e-3, "{repeats}: {ll} {brute}");
        }
    }

    #[test]
    fn p_alive_of_the_paper_s_customer() {
        let p = PAPER.p_alive(&Customer { repeats: 2, recency: 30.43, age: 38.86 });
        assert!((p - 0.7266).abs() < 5e-5, "{p}");
        assert_eq!(PAPER.p_alive(&Customer { repeats: 0, recency: 0.0, age: 38.86 }), 1.0);
    }

    #[test]
    fn p_alive_falls_with_silence() {
        let p = |age| PAPER.p_alive(&Customer { repeats: 3, recency: 20.0, age });
        assert!(p(20.0) > p(25.0) && p(25.0) > p(60.0) && p(1e12) >= 0.0);
    }

    #[test]
    fn wrong_numbers_are_named() {
        let customer =
            |repeats, recency, age| Customer { repeats, recency, age }.check().map_err(|e| e.message().to_owned());
        assert!(customer(0, f64::NAN, 3.0).is_ok());
        assert!(customer(1, 5.0, 3.0).unwrap_err().contains("recency 5"));
        assert!(customer(1, 0.0, 3.0).unwrap_err().contains("recency 0"));
        assert!(customer(1, f64::NAN, 3.0).unwrap_err().contains("recency NaN"));
        assert!(customer(0, 0.0, f64::INFINITY).unwrap_err().contains("age inf"));
        assert!(customer(0, 0.0, -1.0).unwrap_err().contains("age -1"));
        assert!(Params::new(1.0, 0.0, 1.0, 1.0).unwrap_err().message().contains("alpha = 0"));
    }
}
