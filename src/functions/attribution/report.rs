//! From sums to the report: the models over one group, rounded so that credits add up to conversions and values to values.

use hashbrown::HashMap;

use super::items::kind;
use super::models::Model;
use super::user::UNTOUCHED;
use crate::algo::apportion::{amounts, counts, in_proportion};
use crate::algo::attribution::{Credit, Rule, UNIT, VALUE_SCALE};
use crate::algo::exact_sum::ExactSum;
use crate::error::{Error, Result};
use crate::model::markov::{Chain, MAX_CHANNELS};
use crate::model::shapley;

/// Sums by kind and channels: the kind's number first, then those of the channels.
pub type Sums = HashMap<Box<[u32]>, Credit>;

/// One row.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    pub model: &'static str,
    pub channel: String,
    pub credit: f64,
    pub share: f64,
    pub value: f64,
    pub touches: i64,
    pub users: i64,
}

/// The sums of one group, and its channels in the order of their names.
pub struct Report<'a> {
    sums: &'a Sums,
    names: &'a [String],
    /// Channels on paths that convert, by name.
    channels: Vec<u32>,
    conversions: u64,
    value: f64,
    magnitude: f64,
}

impl<'a> Report<'a> {
    /// `names` are the channels by number.
    pub fn new(sums: &'a Sums, names: &'a [String]) -> Self {
        let mut channels: Vec<u32> = of_kind(sums, kind::USERS).map(|(channels, _)| channels[0]).collect();
        channels.sort_unstable_by_key(|c| &names[*c as usize]);
        let total = |kind: u8| sums.get([u32::from(kind)].as_slice());
        let value = |kind| total(kind).map_or(0.0, |t| t.value.value());
        Self {
            sums,
            names,
            channels,
            conversions: total(kind::TOTAL).map_or(0, |t| u64::try_from(t.parts).unwrap_or(0)),
            value: value(kind::TOTAL),
            magnitude: value(kind::MAGNITUDE),
        }
    }

    /// A row for each model and channel: models as asked, channels by credit and name.
    pub fn rows(&self, models: &[Model]) -> Result<Vec<Row>> {
        let mut rows = Vec::with_capacity(models.len() * self.channels.len());
        let mut rule = 0;
        for model in models {
            let mut on_paths = Vec::new();
            let (credits, values) = match model {
                Model::Rule(kind) => {
                    rule += 1;
                    self.by_rule(*kind, rule - 1)
                }
                Model::Markov => {
                    on_paths = self.on_paths();
                    self.by_markov(&on_paths)?
                }
                Model::Shapley => self.by_shapley(),
            };
            let channels = if *model == Model::Markov { &on_paths } else { &self.channels };
            let from = rows.len();
            for ((channel, credit), value) in channels.iter().zip(credits).zip(values) {
                rows.push(Row {
                    model: model.name(),
                    channel: self.names[*channel as usize].clone(),
                    credit,
                    share: credit / self.conversions as f64,
                    value,
                    touches: self.count(kind::TOUCHES, *channel),
                    users: self.count(kind::USERS, *channel),
                });
            }
            rows[from..].sort_by(|a, b| b.credit.total_cmp(&a.credit));
        }
        Ok(rows)
    }

    /// The channels of all paths, converting or not, and that of conversions without a touch.
    fn on_paths(&self) -> Vec<u32> {
        // Every channel of a path that is lost begins it or follows another.
        let begins = of_kind(self.sums, kind::LOST_START).map(|(channels, _)| channels[0]);
        let follows = of_kind(self.sums, kind::LOST_TO).map(|(channels, _)| channels[1]);
        let mut channels: Vec<u32> = begins.chain(follows).chain(self.channels.iter().copied()).collect();
        channels.sort_unstable_by_key(|c| &self.names[*c as usize]);
        channels.dedup();
        channels
    }

    fn count(&self, kind: u8, channel: u32) -> i64 {
        let sum = self.sums.get([u32::from(kind), channel].as_slice());
        sum.map_or(0, |s| i64::try_from(s.parts).unwrap_or(i64::MAX))
    }

    fn by_rule(&self, rule: Rule, number: usize) -> (Vec<f64>, Vec<f64>) {
        let kind = u32::from(kind::RULE) + number as u32;
        let sums: Vec<Option<&Credit>> = self.channels.iter().map(|c| self.sums.get([kind, *c].as_slice())).collect();
        let parts: Vec<i128> = sums.iter().map(|s| s.map_or(0, |s| s.parts)).collect();
        let values: Vec<f64> = sums.iter().map(|s| s.map_or(0.0, |s| whole_value(&s.value))).collect();
        match rule {
            // Each channel is credited with all of a conversion: whole numbers, which add up to nothing.
            Rule::Participation => (parts.iter().map(|p| (p / i128::from(UNIT)) as f64).collect(), values),
            _ => self.rounded(&parts, &values),
        }
    }

    fn rounded(&self, parts: &[i128], values: &[f64]) -> (Vec<f64>, Vec<f64>) {
        (counts(parts, UNIT, self.conversions), amounts(values, self.value, self.magnitude))
    }

    fn by_shapley(&self) -> (Vec<f64>, Vec<f64>) {
        let place = self.places(&self.channels);
        let mut sums = vec![Credit::default(); self.channels.len()];
        for (members, credit) in of_kind(self.sums, kind::COALITION) {
            let mut members: Vec<usize> = members.iter().map(|c| place[c]).collect();
            // By name: what division leaves over must not depend on the numbers.
            members.sort_unstable();
            for (member, part) in members.iter().zip(shapley::parts(UNIT, members.len())) {
                sums[*member].parts += credit.parts * i128::from(part);
                credit.value.parts().iter().for_each(|v| sums[*member].value.add_product(v * VALUE_SCALE, part));
            }
        }
        let parts: Vec<i128> = sums.iter().map(|s| s.parts).collect();
        let values: Vec<f64> = sums.iter().map(|s| whole_value(&s.value)).collect();
        self.rounded(&parts, &values)
    }

    fn by_markov(&self, channels: &[u32]) -> Result<(Vec<f64>, Vec<f64>)> {
        if self.conversions == 0 {
            return Ok((Vec::new(), Vec::new()));
        }
        let n = channels.len();
        if n > MAX_CHANNELS {
            return Err(Error::user(format!(
                "attribution: model 'markov' can tell at most {MAX_CHANNELS} channels apart, the paths have {n}"
            ))
            .hint("give rare channels one name in (SELECT ..)"));
        }
        let untouched = self.total(kind::UNTOUCHED);
        let (without, without_value) = untouched.map_or((0, 0.0), |u| (u.parts as u64, u.value.value()));
        let with = self.conversions.saturating_sub(without);
        let direct = channels.iter().position(|c| self.names[*c as usize] == UNTOUCHED);

        let mut credits = match with {
            0 => vec![0.0; n],
            _ => in_proportion(&self.effects(channels, 1.0, |sum| sum.parts as f64, None), with, self.conversions),
        };
        // The worth of a path is its weight; a path that is lost weighs as much as those that convert do on average. What
        // conversions take away is shared out like what they bring.
        let mut values = vec![0.0; n];
        for (kind, sign, taken) in [(kind::GAINED, 1.0, None), (kind::LOSSES, -1.0, Some(kind::TAKEN))] {
            let whole = self.total(kind).map_or(0.0, |t| t.value.value());
            if whole > 0.0 {
                // In units of the whole no sum overflows.
                let effects = self.effects(channels, 1.0 / with as f64, |sum| sum.value.value() / whole, taken);
                let sum: f64 = effects.iter().sum();
                values.iter_mut().zip(effects).for_each(|(value, effect)| *value += sign * whole * (effect / sum));
            }
        }
        if let Some(direct) = direct {
            credits[direct] += without as f64;
            values[direct] += without_value;
        }
        Ok((credits, amounts(&values, self.value, self.magnitude)))
    }

    /// The removal effects of channels, where `weight` tells what a step of converting paths weighs and each path that is
    /// lost weighs `lost`. `taken` is added to the kinds of the steps of converting paths.
    fn effects(&self, channels: &[u32], lost: f64, weight: impl Fn(&Credit) -> f64, taken: Option<u8>) -> Vec<f64> {
        let n = channels.len();
        let place = self.places(channels);
        let mut chain = Chain::new(n);
        let above = taken.unwrap_or(0);
        let steps = [
            (kind::START, above),
            (kind::TO, above),
            (kind::CONVERTED, above),
            (kind::LOST_START, 0),
            (kind::LOST_TO, 0),
            (kind::LOST, 0),
        ];
        for (step, above) in steps {
            for (of, sum) in of_kind(self.sums, step + above) {
                let at = place[&of[0]];
                let cell = match step {
                    kind::START | kind::LOST_START => &mut chain.start[at],
                    kind::TO | kind::LOST_TO => &mut chain.moves[at * n + place[&of[1]]],
                    kind::CONVERTED => &mut chain.converted[at],
                    _ => &mut chain.lost[at],
                };
                *cell += match step {
                    kind::LOST_START | kind::LOST_TO | kind::LOST => sum.parts as f64 * lost,
                    _ => weight(sum),
                };
            }
        }
        chain.removal_effects()
    }

    fn total(&self, kind: u8) -> Option<&Credit> {
        self.sums.get([u32::from(kind)].as_slice())
    }

    fn places(&self, channels: &[u32]) -> HashMap<u32, usize> {
        channels.iter().enumerate().map(|(at, c)| (*c, at)).collect()
    }
}

/// The sums of a kind, with their channels.
fn of_kind(sums: &Sums, kind: u8) -> impl Iterator<Item = (&[u32], &Credit)> {
    sums.iter().filter(move |(key, _)| key[0] == u32::from(kind)).map(|(key, sum)| (&key[1..], sum))
}

/// A sum of value times parts as a value.
fn whole_value(sum: &ExactSum) -> f64 {
    sum.value() / (UNIT as f64 * VALUE_SCALE)
}
