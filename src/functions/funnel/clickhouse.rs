//! `window_funnel(window, 'clickhouse, ..', ..)`: the mode words of ClickHouse, and the levels it answers.
//!
//! Deals with: reading the words, which of them go together, the answer. Does not deal with: the rules
//! ([`crate::algo::clickhouse_funnel`]), or the modes of tenure's own ([`super::modes`]).

use std::sync::Arc;

use arrow::array::{ArrayRef, Int32Array};
use datafusion::error::Result;

use crate::algo::clickhouse_funnel::{self, Modes};
use crate::algo::event::Event;
use crate::error::{Error, suggest};
use crate::functions::event_groups::{EventOrder, Question};
use crate::functions::kept_values::KeptValues;

/// The word that asks for ClickHouse's answers.
pub const CLICKHOUSE: &str = "clickhouse";

/// The words that go with it.
pub const WORDS: [&str; 5] =
    ["strict_order", "strict_deduplication", "strict_increase", "strict_once", "allow_reentry"];

/// The modes, where the words ask for ClickHouse's answers.
pub fn modes(function: &str, words: &str) -> Result<Option<Modes>, Error> {
    let words: Vec<&str> = words.split(',').map(str::trim).filter(|w| !w.is_empty()).collect();
    if !words.contains(&CLICKHOUSE) {
        return Ok(None);
    }
    let mut modes = Modes::default();
    for word in words {
        match word {
            CLICKHOUSE => {}
            "strict_order" => modes.order = true,
            "strict_deduplication" => modes.dedup = true,
            "strict_increase" => modes.increase = true,
            "strict_once" => modes.once = true,
            "allow_reentry" => modes.reentry = true,
            other => {
                return Err(Error::user(format!(
                    "{function}: mode '{other}' cannot go with 'clickhouse'; {}",
                    suggest(other, WORDS)
                )));
            }
        }
    }
    if modes.reentry && !modes.order {
        return Err(Error::user(format!("{function}: mode 'allow_reentry' needs 'strict_order' with it")));
    }
    Ok(Some(modes))
}

/// The level of each user as ClickHouse counts it.
pub struct ClickHouseLevels {
    steps: usize,
    window: i64,
    modes: Modes,
    levels: Vec<i32>,
}

impl ClickHouseLevels {
    /// No user yet; the window is inclusive, in ticks.
    pub fn new(steps: usize, window: i64, modes: Modes) -> Self {
        Self { steps, window, modes, levels: Vec::new() }
    }
}

impl Question for ClickHouseLevels {
    fn order(&self) -> EventOrder {
        EventOrder::Time
    }

    fn answer(&mut self, events: &[Event], _kept: Option<&KeptValues>) -> Result<()> {
        self.levels.push(clickhouse_funnel::level(events, self.steps, self.window, self.modes) as i32);
        Ok(())
    }

    fn finish(&mut self, _kept: Option<&KeptValues>) -> Result<ArrayRef> {
        Ok(Arc::new(Int32Array::from(std::mem::take(&mut self.levels))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_clickhouse_need_its_name() {
        assert_eq!(modes("f", "").unwrap(), None);
        assert_eq!(modes("f", "strict_order").unwrap(), None);
        assert_eq!(modes("f", "clickhouse").unwrap(), Some(Modes::default()));
        let all = Modes { order: true, reentry: true, dedup: true, increase: true, once: true };
        assert_eq!(modes("f", &format!("{}, clickhouse", WORDS.join(","))).unwrap(), Some(all));
        for (words, says) in [
            ("clickhouse, increase", "mode 'increase' cannot go with 'clickhouse'; did you mean 'strict_increase'"),
            ("clickhouse, strict_ordr", "did you mean 'strict_order'"),
            ("clickhouse, allow_reentry", "needs 'strict_order'"),
        ] {
            let message = modes("f", words).unwrap_err().message().to_string();
            assert!(message.contains(says), "{message}");
        }
    }
}
