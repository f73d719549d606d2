//! The attribution models by name.

use crate::algo::attribution::Rule;
use crate::error::{Error, Result, suggest};

/// One model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Model {
    /// Decided on each conversion's own touches.
    Rule(Rule),
    /// Removal effects in the chain of all paths.
    Markov,
    /// Shapley values of sets of channels.
    Shapley,
}

/// Every model, in the order of the manual.
pub const MODELS: [(&str, Model); 9] = [
    ("first", Model::Rule(Rule::First)),
    ("last", Model::Rule(Rule::Last)),
    ("last_non_direct", Model::Rule(Rule::LastNonDirect)),
    ("linear", Model::Rule(Rule::Linear)),
    ("participation", Model::Rule(Rule::Participation)),
    ("position", Model::Rule(Rule::Position)),
    ("time_decay", Model::Rule(Rule::TimeDecay)),
    ("markov", Model::Markov),
    ("shapley", Model::Shapley),
];

impl Model {
    /// Its name in SQL.
    pub fn name(self) -> &'static str {
        MODELS.iter().find(|(_, model)| *model == self).map_or("", |(name, _)| name)
    }

    /// The model of this name.
    pub fn parse(function: &str, name: &str) -> Result<Self> {
        let lower = name.trim().to_lowercase();
        match MODELS.iter().find(|(known, _)| *known == lower) {
            Some((_, model)) => Ok(*model),
            None => Err(Error::user(format!(
                "{function}: argument 'model' cannot be '{name}'; {}",
                suggest(&lower, MODELS.map(|(name, _)| name))
            ))),
        }
    }

    /// Models separated by commas.
    pub fn parse_list(function: &str, names: &str) -> Result<Vec<Self>> {
        names.split(',').map(|name| Self::parse(function, name)).collect()
    }
}

/// The rules among models, in order: the credits of users come in this order.
pub fn rules(models: &[Model]) -> Vec<Rule> {
    models.iter().filter_map(|m| if let Model::Rule(rule) = m { Some(*rule) } else { None }).collect()
}
