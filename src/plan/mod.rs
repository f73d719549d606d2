//! Optimiser rules: which plans take which path. Analyzer rules: what an expression means before its types are made one.
//!
//! Deals with: rules, one file each, named by what they do, and where they stand among DataFusion's.
//! Does not deal with: the operators they put in place (`exec`).

mod believed_order;
mod checked_arithmetic;
mod cooperative_joins;
mod correlated;
mod filters_by_position;
mod filters_by_value;
mod gathered_joins;
mod keys_by_position;
mod known_reach;
mod local_calendar;
mod narrowing_casts;
mod null_keys;
mod nulls_in_lists;
mod order_check;
mod ordered_aggregation;
mod ordered_join;
mod ordered_scan;
mod partition_first;
mod relied_on;
mod row_cuts;
mod rows_asked;
mod sorted_joins;
mod spans_in_order;
mod spans_of_time;
mod stoppable;
mod subqueries;
mod truth_values;
mod unordered_scan;
mod user_cuts;
mod windows;

use std::sync::Arc;

use datafusion::optimizer::{Analyzer, AnalyzerRule, Optimizer, OptimizerRule};
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_optimizer::optimizer::PhysicalOptimizer;

use self::filters_by_position::FiltersByPosition;
use self::keys_by_position::KeysByPosition;
use self::stoppable::Stoppable;
use crate::error::{Error, Result};
use crate::store::footers::Footers;

pub use self::stoppable::{AtEachTable, Stop, check as check_stop};

/// DataFusion's physical rules with ours among them.
///
/// `unordered_scan` and `believed_order` come first, before anybody relies on an order; the check of orders, while the plan still says whether
/// the query itself asked for one. The others come after the rules that place repartitions and sorts, since they replace
/// what those have built. All come before the rule that checks that every operator gets the distribution and order it
/// requires: what we build is checked like anything else. `footers` tell where users lie, `memory` how many bytes a query may hold.
///
/// Errors: a rule of DataFusion's has another name by now, so that nobody knows where ours belong.
pub fn physical_rules(
    footers: Footers,
    memory: Option<usize>,
) -> Result<Vec<Arc<dyn PhysicalOptimizerRule + Send + Sync>>> {
    let mut rules = PhysicalOptimizer::new().rules;
    last(&rules, FiltersByPosition::WRAPS)?;
    for rule in &mut rules {
        if rule.name().starts_with(FiltersByPosition::WRAPS) {
            *rule = Arc::new(FiltersByPosition(Arc::clone(rule)));
        }
    }
    let before = last(&rules, KeysByPosition::BEFORE)?;
    rules.insert(before, Arc::new(KeysByPosition));
    let at = last(&rules, "OutputRequirements")?;
    rules.insert(at, Arc::new(order_check::OrderCheck));
    let at = last(&rules, "EnsureCooperative")?;
    rules.insert(at, Arc::new(ordered_aggregation::OrderedAggregation(footers.clone())));
    rules.insert(at + 1, Arc::new(partition_first::PartitionFirst));
    rules.insert(at + 2, Arc::new(filters_by_value::FiltersByValue));
    rules.insert(at + 3, Arc::new(windows::Windows));
    if memory.is_some() {
        rules.insert(at + 4, Arc::new(gathered_joins::GatheredJoins));
    }
    // After the rule that wraps the leaves, so that no leaf counts as wrapped already.
    let after = last(&rules, "EnsureCooperative")? + 1;
    rules.insert(after, Arc::new(cooperative_joins::CooperativeJoins));
    if let Some(bytes) = memory {
        let after = last(&rules, "join_selection")? + 1;
        rules.insert(after, Arc::new(sorted_joins::SortedJoins(bytes)));
    }
    rules.insert(0, Arc::new(unordered_scan::UnorderedScan));
    rules.insert(1, Arc::new(believed_order::BelievedOrder(footers)));
    Ok(rules.into_iter().map(|rule| Arc::new(Stoppable(rule)) as _).collect())
}

/// Where the last rule of a name stands.
fn last(rules: &[Arc<dyn PhysicalOptimizerRule + Send + Sync>], name: &str) -> Result<usize> {
    rules.iter().rposition(|rule| rule.name() == name).ok_or_else(|| {
        let known: Vec<&str> = rules.iter().map(|rule| rule.name()).collect();
        Error::internal(format!("DataFusion has no rule '{name}'; it has {}", known.join(", ")))
    })
}

/// DataFusion's analyzer rules with ours among them: the meaning of spans of time before types are coerced, correlated conditions after.
pub fn analyzer_rules() -> Vec<Arc<dyn AnalyzerRule + Send + Sync>> {
    let mut rules = Analyzer::new().rules;
    rules.insert(0, Arc::new(local_calendar::LocalCalendar));
    rules.insert(1, Arc::new(spans_of_time::SpansOfTime));
    rules.insert(2, Arc::new(spans_in_order::SpansInOrder));
    rules.push(Arc::new(nulls_in_lists::NullsInLists));
    rules.push(Arc::new(checked_arithmetic::CheckedArithmetic));
    rules.push(Arc::new(subqueries::Subqueries));
    rules.push(Arc::new(correlated::Correlated));
    rules.push(Arc::new(truth_values::TruthValues));
    rules.into_iter().map(|rule| Arc::new(Stoppable(rule)) as _).collect()
}

/// DataFusion's optimizer rules with ours before them; one that hides conditions from estimates comes last.
pub fn optimizer_rules() -> Vec<Arc<dyn OptimizerRule + Send + Sync>> {
    let mut rules: Vec<Arc<dyn OptimizerRule + Send + Sync>> = Optimizer::new().rules;
    for rule in &mut rules {
        if rule.name() == null_keys::Unmixed::WRAPS {
            *rule = Arc::new(null_keys::Unmixed(Arc::clone(rule)));
        }
    }
    rules.insert(0, Arc::new(null_keys::NullKeys));
    rules.insert(1, Arc::new(known_reach::KnownReach));
    rules.push(Arc::new(narrowing_casts::NarrowingCasts));
    rules.into_iter().map(|rule| Arc::new(Stoppable(rule)) as _).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A rule of DataFusion's that is called otherwise is an error, not another place.
    #[test]
    fn rules_stand_where_they_must() {
        let mut rules = PhysicalOptimizer::new().rules;
        for name in [
            "OutputRequirements",
            "EnsureCooperative",
            "join_selection",
            FiltersByPosition::WRAPS,
            KeysByPosition::BEFORE,
        ] {
            assert!(last(&rules, name).is_ok(), "{name}");
            rules.retain(|rule| rule.name() != name);
            let told = last(&rules, name).unwrap_err();
            assert!(told.message().contains(&format!("has no rule '{name}'")), "{told}");
        }
    }
}
