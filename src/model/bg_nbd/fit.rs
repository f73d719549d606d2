//! Maximum likelihood for BG/NBD.
//!
//! Deals with: merging customers, the likelihood and its gradient in the logarithms of the parameters, and the search.
//! Does not deal with: the likelihood of one customer, which the parent module has on its own and the tests compare.
//!
//! Everything is a sum over customers in one sorted order, so the answer does not depend on the order of the input.

use std::cell::RefCell;

use argmin::core::{CostFunction, Executor, Gradient};
use argmin::solver::linesearch::MoreThuenteLineSearch;
use argmin::solver::neldermead::NelderMead;
use argmin::solver::quasinewton::LBFGS;
use statrs::function::gamma::{digamma, ln_gamma};

use super::{Customer, Params};
use crate::error::{Error, Result};

/// ln r, ln alpha, ln a, ln b.
type Point = [f64; 4];

/// The gradient of the mean log-likelihood, by ln of a parameter, at which the search has arrived: it puts the
/// parameters within some 1e-5 of the maximum, relative, where the likelihood is curved at all.
const ARRIVED: f64 = 1e-7;
/// Good enough to answer with, when rounding hinders the line search from going on.
const CLOSE: f64 = 1e-5;
/// Parameters outside e^-25..e^25 are not told apart: the likelihood has a ridge there (no churn, or equal customers).
const BOUND: f64 = 25.0;
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
    /// Whether the gradient vanishes there. If not, the likelihood is flat or grows without end in some direction, and
    /// the parameters are a point on that ridge.
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
        iterations: all.seen.borrow().passes,
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

/// L-BFGS from `point`, begun anew where the line search gives up, with Nelder-Mead between when that does not help.
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

/// The negative mean log-likelihood at a point, with its gradient.
#[derive(Debug, Clone, Copy)]
struct Value {
    point: Point,
    cost: f64,
    gradient: Point,
}

/// What was evaluated: argmin asks for cost and gradient apart, at the same point.
struct Seen {
    last: Option<Value>,
    best: Value,
    passes: u64,
}

/// Customers with the same number of repeats, and where they are in the columns.
struct Group {
    repeats: u32,
    weight: f64,
    rows: std::ops::Range<usize>,
}

/// The negative mean log-likelihood of sorted, distinct customers as a function of a [`Point`].
struct Likelihood {
    groups: Vec<Group>,
    age: Vec<f64>,
    recency: Vec<f64>,
    weights: Vec<f64>,
    weight: f64,
    seen: RefCell<Seen>,
}

impl Likelihood {
    fn new(merged: &[(Customer, f64)]) -> Self {
        let mut groups: Vec<Group> = Vec::new();
        for (row, (customer, weight)) in merged.iter().enumerate() {
            match groups.last_mut() {
                Some(group) if group.repeats == customer.repeats => {
                    group.weight += weight;
                    group.rows.end = row + 1;
                }
                _ => groups.push(Group { repeats: customer.repeats, weight: *weight, rows: row..row + 1 }),
            }
        }
        let nowhere = Value { point: [0.0; 4], cost: f64::INFINITY, gradient: [f64::INFINITY; 4] };
        Self {
            age: merged.iter().map(|(customer, _)| customer.age).collect(),
            recency: merged.iter().map(|(customer, _)| customer.recency).collect(),
            weights: merged.iter().map(|(_, weight)| *weight).collect(),
            weight: groups.iter().map(|group| group.weight).sum(),
            groups,
            seen: RefCell::new(Seen { last: None, best: nowhere, passes: 0 }),
        }
    }

    fn best(&self) -> Value {
        self.seen.borrow().best
    }

    /// The value at a point, from memory if it was the last one.
    fn at(&self, point: Point) -> Value {
        let mut seen = self.seen.borrow_mut();
        if let Some(last) = seen.last.filter(|last| last.point == point) {
            return last;
        }
        let value = self.evaluate(point);
        seen.passes += 1;
        seen.last = Some(value);
        if value.cost < seen.best.cost {
            seen.best = value;
        }
        value
    }

    /// One pass over the customers.
    ///
    /// With s = ln(1 + T/alpha), the log-likelihood of a customer is, regrouped so that nothing large cancels on the
    /// ridges (r and alpha, or b, going to infinity together):
    /// sum ln(r+i) - x ln alpha - sum ln(1 + a/(b+i)) - (r+x) s + ln(1 + [x>0] e^d), the sums over i < x, with
    /// d = ln(a/(b+x-1)) + (r+x) ln((alpha+T)/(alpha+tx)). The sums depend on x alone and run along the groups.
    fn evaluate(&self, point: Point) -> Value {
        let bounded = point.map(|p| p.clamp(-BOUND, BOUND));
        let [r, alpha, a, b] = bounded.map(f64::exp);
        let ln_alpha = bounded[1];
        let mut total = Terms::default();
        let mut counts = Counts::default();
        for group in &self.groups {
            counts.advance(group.repeats, r, a, b);
            let x = f64::from(group.repeats);
            let mut sum = Terms::default();
            // Blocks keep the rounding of long sums small: the line search compares values that differ by little.
            for start in group.rows.clone().step_by(512) {
                let rows = start..group.rows.end.min(start + 512);
                let block = match group.repeats {
                    0 => self.once(rows, alpha, r),
                    _ => self.again(rows, alpha, r + x, a, b + x - 1.0),
                };
                sum.add(1.0, &block);
            }
            let shared = Terms {
                value: counts.ln_rise - x * ln_alpha - counts.ln_odds,
                r: counts.by_r,
                alpha: -x / alpha,
                a: -counts.by_a,
                b: counts.by_b,
            };
            total.add(group.weight, &shared);
            total.add(1.0, &sum);
        }
        let scale = -1.0 / self.weight;
        let mut gradient = [total.r * r, total.alpha * alpha, total.a * a, total.b * b].map(|g| g * scale);
        for (slope, (inside, asked)) in gradient.iter_mut().zip(bounded.iter().zip(point)) {
            if *inside != asked {
                *slope = 0.0;
            }
        }
        let cost = total.value * scale;
        Value { point, cost: if cost.is_finite() { cost } else { f64::INFINITY }, gradient }
    }

    /// Customers without repeats: -r ln(1 + T/alpha).
    fn once(&self, rows: std::ops::Range<usize>, alpha: f64, r: f64) -> Terms {
        let mut sum = Terms::default();
        for (age, weight) in self.age[rows.clone()].iter().zip(&self.weights[rows]) {
            let silence = (age / alpha).ln_1p();
            sum.value -= weight * r * silence;
            sum.r -= weight * silence;
            sum.alpha += weight * r * age / (alpha * (alpha + age));
        }
        sum
    }

    /// Customers with repeats; `shape` is r + x, `later` is b + x - 1.
    fn again(&self, rows: std::ops::Range<usize>, alpha: f64, shape: f64, a: f64, later: f64) -> Terms {
        let mut sum = Terms::default();
        let ln_odds = (a / later).ln();
        let columns = self.age[rows.clone()].iter().zip(&self.recency[rows.clone()]).zip(&self.weights[rows]);
        for ((age, recency), weight) in columns {
            let silence = (age / alpha).ln_1p();
            let last = ((age - recency) / (alpha + recency)).ln_1p();
            let odds = ln_odds + shape * last;
            // ln(1 + e^odds) and its slope, from one exponential.
            let small = (-odds.abs()).exp();
            let dead = if odds > 0.0 { 1.0 / (1.0 + small) } else { small / (1.0 + small) };
            let either = odds.max(0.0) + small.ln_1p();
            sum.value += weight * (either - shape * silence);
            sum.r += weight * (dead * last - silence);
            let at_end = age / (alpha * (alpha + age));
            let since = (age - recency) / ((alpha + age) * (alpha + recency));
            sum.alpha += weight * shape * (at_end - dead * since);
            sum.a += weight * dead / a;
            sum.b -= weight * dead / later;
        }
        sum
    }
}

/// A log-likelihood and its slopes by the parameters themselves.
#[derive(Default)]
struct Terms {
    value: f64,
    r: f64,
    alpha: f64,
    a: f64,
    b: f64,
}

impl Terms {
    fn add(&mut self, weight: f64, other: &Terms) {
        self.value += weight * other.value;
        self.r += weight * other.r;
        self.alpha += weight * other.alpha;
        self.a += weight * other.a;
        self.b += weight * other.b;
    }
}

/// The sums over i < x that depend on x alone, carried from one x to the next larger one.
#[derive(Default)]
struct Counts {
    x: u32,
    /// sum ln(r+i) = lgamma(r+x) - lgamma(r), and its slope.
    ln_rise: f64,
    by_r: f64,
    /// sum ln(1 + a/(b+i)) = lgamma(a+b+x) - lgamma(a+b) - lgamma(b+x) + lgamma(b), and its slopes (by b: negated).
    ln_odds: f64,
    by_a: f64,
    by_b: f64,
}

impl Counts {
    /// Goes on to `x`: by adding, or over a long way by the gamma function.
    fn advance(&mut self, x: u32, r: f64, a: f64, b: f64) {
        let (from, to) = (f64::from(self.x), f64::from(x));
        if x - self.x > 256 {
            let log = |c: f64| ln_gamma(c + to) - ln_gamma(c + from);
            let slope = |c: f64| digamma(c + to) - digamma(c + from);
            self.ln_rise += log(r);
            self.by_r += slope(r);
            self.ln_odds += log(a + b) - log(b);
            self.by_a += slope(a + b);
            self.by_b += slope(b) - slope(a + b);
        } else {
            for i in self.x..x {
                let i = f64::from(i);
                self.ln_rise += (r + i).ln();
                self.by_r += 1.0 / (r + i);
                self.ln_odds += (a / (b + i)).ln_1p();
                self.by_a += 1.0 / (a + b + i);
                self.by_b += a / ((b + i) * (a + b + i));
            }
        }
        self.x = x;
    }
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
