//! The likelihood of all customers and its gradient, one pass over them at a time.
//!
//! Deals with: sums over sorted, distinct customers, regrouped so that nothing large cancels.
//! Does not deal with: the search for the maximum, which the parent module does.

use std::cell::RefCell;

use statrs::function::gamma::{digamma, ln_gamma};

use super::{Customer, Point};

/// Parameters outside e^-25..e^25 are not distinguished: the likelihood has a ridge there (no churn, or equal customers).
pub const BOUND: f64 = 25.0;

/// The negative mean log-likelihood at a point, with its gradient.
#[derive(Debug, Clone, Copy)]
pub struct Value {
    pub point: Point,
    pub cost: f64,
    pub gradient: Point,
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
pub struct Likelihood {
    groups: Vec<Group>,
    age: Vec<f64>,
    recency: Vec<f64>,
    weights: Vec<f64>,
    pub weight: f64,
    seen: RefCell<Seen>,
}

impl Likelihood {
    pub fn new(merged: &[(Customer, f64)]) -> Self {
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

    /// Evaluations so far.
    pub fn passes(&self) -> u64 {
        self.seen.borrow().passes
    }

    /// The best point so far.
    pub fn best(&self) -> Value {
        self.seen.borrow().best
    }

    /// The value at a point, from memory if it was the last one.
    pub fn at(&self, point: Point) -> Value {
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
    pub fn evaluate(&self, point: Point) -> Value {
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
pub struct Counts {
    x: u32,
    /// sum ln(r+i) = lgamma(r+x) - lgamma(r), and its slope.
    pub ln_rise: f64,
    pub by_r: f64,
    /// sum ln(1 + a/(b+i)) = lgamma(a+b+x) - lgamma(a+b) - lgamma(b+x) + lgamma(b), and its slopes (by b: negated).
    pub ln_odds: f64,
    pub by_a: f64,
    pub by_b: f64,
}

impl Counts {
    /// Goes on to `x`: by adding, or over a long way by the gamma function.
    pub fn advance(&mut self, x: u32, r: f64, a: f64, b: f64) {
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
