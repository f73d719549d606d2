//! Maximum likelihood for BG/NBD.
//!
//! Deals with: merging customers, and the search over the logarithms of the parameters.
//! Does not deal with: the likelihood of one customer, which the parent module has on its own and the tests compare.
//!
//! Everything is a sum over customers in one sorted order, so the answer does not depend on the order of the input.

mod likelihood;

use argmin::core::{CostFunction, Executor, Gradient};
use argmin::solver::linesearch::MoreThuenteLineSearch;
use argmin::solver::neldermead::NelderMead;
use argmin::solver::quasinewton::LBFGS;

use super::{Customer, Params};
use crate::error::{Error, Result};
use likelihood::{BOUND, Likelihood, Value};

/// ln r, ln alpha, ln a, ln b.
type Point = [f64; 4];

/// The gradient of the mean log-likelihood, by ln of a parameter, at which the search has arrived: it puts the
/// parameters within some 1e-5 of the maximum, relative, where the likelihood is curved at all.
const ARRIVED: f64 = 1e-7;
/// Good enough to answer with, when rounding hinders the line search from going on.
const CLOSE: f64 = 1e-5;
/// L-BFGS steps per start, and starts.
const STEPS: u64 = 200;
const STARTS: usize = 4;
/// With more customers than this the search begins on every k-th of them.
const SKETCH: usize = 8_192;

/// What [`fit`] found.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Fit {
    /// The parameters of the largest likelihood found.
    pub params: Params,
    /// The log-likelihood of all customers there, each counted with its weight.
    pub log_likelihood: f64,
    /// Evaluations of the likelihood and its gradient over all customers.
    pub iterations: u64,
    /// Whether the gradient vanishes there. It also does far out on a ridge (nobody dies, all buy at one rate), where the
    /// parameters are huge or tiny, their quotients meaningful, and the predictions good.
    pub converged: bool,
}

/// Fits the model to customers, each with a weight (1, or how many customers look like that), by maximum likelihood.
///
/// Deterministic, and the same for every order of the input and every split of a weight over equal customers.
/// Errors: no customers, no repeat purchases (then the likelihood has no maximum), a customer that fails
/// [`Customer::check`], a weight that is negative or not finite. Cost: O(n log n) for the merge, then about 20 to 50
/// passes over the distinct customers, a few logarithms each: about a second for 400,000.
pub fn fit(customers: &[(Customer, f64)]) -> Result<Fit> {
    let merged = merge(customers)?;
    let all = Likelihood::new(&merged);
    let mut point = start(&merged);
    if merged.len() > 2 * SKETCH {
        // Parameters of a sample are near those of the whole, and a pass over it costs nothing in comparison.
        let every = merged.len() / SKETCH;
        let sample: Vec<_> = merged.iter().copied().step_by(every).collect();
        if sample.iter().any(|(customer, _)| customer.repeats > 0) {
            let sketch = Likelihood::new(&sample);
            climb(&sketch, point);
            point = sketch.best().point;
        }
    }
    climb(&all, point);
    let best = all.best();
    let [r, alpha, a, b] = best.point.map(f64::exp);
    Ok(Fit {
        params: Params { r, alpha, a, b },
        log_likelihood: -best.cost * all.weight,
        iterations: all.passes(),
        converged: norm(&best.gradient) < CLOSE,
    })
}

/// Checks the customers, sorts them and adds up the weights of equal ones.
fn merge(customers: &[(Customer, f64)]) -> Result<Vec<(Customer, f64)>> {
    let mut merged = Vec::with_capacity(customers.len());
    for &(mut customer, weight) in customers {
        customer.check()?;
        if !weight.is_finite() || weight < 0.0 {
            return Err(Error::data(format!(
                "BG/NBD: weight {weight} of a customer; it must be finite and not negative"
            )));
        }
        if customer.repeats == 0 {
            customer.recency = 0.0;
        }
        if weight > 0.0 {
            merged.push((customer, weight));
        }
    }
    if merged.is_empty() {
        return Err(Error::data("BG/NBD: no customers to fit; at least one with repeat purchases is needed"));
    }
    let key = |a: &(Customer, f64), b: &(Customer, f64)| {
        let (left, right) = (&a.0, &b.0);
        (left.repeats.cmp(&right.repeats))
            .then_with(|| left.age.total_cmp(&right.age))
            .then_with(|| left.recency.total_cmp(&right.recency))
    };
    // By weight last: equal customers are added up in an order of their own, not that of the input.
    merged.sort_unstable_by(|a, b| key(a, b).then_with(|| a.1.total_cmp(&b.1)));
    merged.dedup_by(|next, kept| {
        let same = key(next, kept).is_eq();
        if same {
            kept.1 += next.1;
        }
        same
    });
    if merged.last().is_some_and(|(customer, _)| customer.repeats == 0) {
        let people: f64 = merged.iter().map(|(_, weight)| weight).sum();
        return Err(Error::data(format!(
            "BG/NBD: none of {people} customers bought again, so the likelihood has no maximum; observe them for longer"
        )));
    }
    Ok(merged)
}

/// Where the search begins: r = a = 1, b = 2, and alpha such that the mean rate r/alpha is that of the data.
fn start(merged: &[(Customer, f64)]) -> Point {
    let (mut time, mut repeats) = (0.0, 0.0);
    for (customer, weight) in merged {
        time += weight * customer.age;
        repeats += weight * f64::from(customer.repeats);
    }
    [0.0, (time / repeats).ln().clamp(-BOUND, BOUND), 0.0, 2.0_f64.ln()]
}

/// L-BFGS from `point`, restarted where the line search gives up, with Nelder-Mead between when that does not help.
/// The result is what the likelihood remembers as the best point, so no error of a solver can lose it.
fn climb(likelihood: &Likelihood, point: Point) {
    let mut from = point;
    for round in 0..STARTS {
        let line = MoreThuenteLineSearch::new();
        let solver = LBFGS::new(line, 6).with_tolerance_grad(ARRIVED).and_then(|s| s.with_tolerance_cost(0.0));
        if let Ok(solver) = solver {
            // An error here is a line search without progress; what it saw is remembered.
            let _ = Executor::new(Mean(likelihood), solver)
                .configure(|state| state.param(from.to_vec()).max_iters(STEPS))
                .timer(false)
                .run();
        }
        let arrived = likelihood.best();
        // The second start from the same place, with an empty memory, takes the steepest way.
        if norm(&arrived.gradient) < ARRIVED || (round > 0 && norm(&arrived.gradient) < CLOSE) {
            return;
        }
        if round > 0 {
            wander(likelihood, arrived.point);
        }
        from = likelihood.best().point;
    }
}

/// Nelder-Mead around `point`: slow, but it needs no gradient and no smoothness.
fn wander(likelihood: &Likelihood, point: Point) {
    let mut corners = vec![point.to_vec(); 5];
    for (i, corner) in corners.iter_mut().skip(1).enumerate() {
        corner[i] += 0.5;
    }
    if let Ok(solver) = NelderMead::new(corners).with_sd_tolerance(1e-14) {
        let _ = Executor::new(Mean(likelihood), solver).configure(|state| state.max_iters(300)).timer(false).run();
    }
}

fn norm(gradient: &Point) -> f64 {
    gradient.iter().map(|g| g * g).sum::<f64>().sqrt()
}

/// The likelihood as argmin wants it.
struct Mean<'a>(&'a Likelihood);

impl Mean<'_> {
    fn at(&self, param: &[f64]) -> Result<Value, argmin::core::Error> {
        Ok(self.0.at(param.try_into()?))
    }
}

impl CostFunction for Mean<'_> {
    type Param = Vec<f64>;
    type Output = f64;

    fn cost(&self, param: &Self::Param) -> Result<f64, argmin::core::Error> {
        Ok(self.at(param)?.cost)
    }
}

impl Gradient for Mean<'_> {
    type Param = Vec<f64>;
    type Gradient = Vec<f64>;

    fn gradient(&self, param: &Self::Param) -> Result<Vec<f64>, argmin::core::Error> {
        Ok(self.at(param)?.gradient.to_vec())
    }
}

#[cfg(test)]
mod tests;
