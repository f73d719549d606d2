//! Fields of NDJSON rows that the sample did not show: the rows are taken in without them.
//!
//! Deals with: which fields, how many values, where the first of each is. Does not deal with: finding them (`ndjson`), or
//! telling of them (`cli`).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::reject::{Counted, shortened};

/// Fields that are remembered by name: where keys are data there may be any number of them.
pub const NAMED: usize = 100;

/// Values of a block by their field's path: how many, and the line of the first.
pub type OfBlock = BTreeMap<String, (u64, u64)>;

/// Values that were left out.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unseen {
    /// All of them.
    pub values: u64,
    /// The first [`NAMED`] fields, each with the rows that have it.
    pub fields: BTreeMap<String, Counted>,
}

impl Unseen {
    /// Adds those of a block of a source.
    pub fn add(&mut self, source: &str, block: &OfBlock) {
        for (path, (values, line)) in block {
            self.values += values;
            let path = shortened(path, 200);
            if self.fields.len() < NAMED || self.fields.contains_key(&path) {
                let first = || Counted { rows: 0, first: format!("{source}:{line}") };
                self.fields.entry(path).or_insert_with(first).rows += values;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_few_and_values_are_all_counted() {
        let mut unseen = Unseen::default();
        unseen.add("a", &OfBlock::from([("x".to_string(), (2, 7))]));
        unseen.add("b", &OfBlock::from([("x".to_string(), (1, 1))]));
        unseen.add("b", &(0..1000).map(|key| (format!("key {key}"), (1, key))).collect());
        assert_eq!((unseen.values, unseen.fields.len()), (1003, NAMED));
        assert_eq!(unseen.fields["x"], Counted { rows: 3, first: "a:7".into() });
    }
}
