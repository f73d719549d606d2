//! What a statement wants said beside its answer, such as that its data end in the future.
//!
//! Deals with: carrying sentences from wherever they arise to whoever shows them. A function finds the channel among the
//! options of its session, which travel with it; the surface takes the sentences out when the statement is done.
//! Does not deal with: showing them, or errors.

use std::collections::BTreeSet;
use std::sync::Arc;

use datafusion::common::config::{ConfigEntry, ConfigExtension, ExtensionOptions};
use datafusion::config::ConfigOptions;
use datafusion::error::{DataFusionError, Result};
use parking_lot::Mutex;

/// The sentences of one session, each once however often it is said. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct Notes(Arc<Mutex<BTreeSet<String>>>);

impl Notes {
    /// The channel of a session; sentences are lost where it has none.
    pub fn of(options: &ConfigOptions) -> Self {
        options.extensions.get::<Self>().cloned().unwrap_or_default()
    }

    /// Says a sentence.
    pub fn say(&self, sentence: String) {
        self.0.lock().insert(sentence);
    }

    /// Takes the sentences out, in the order of the alphabet.
    pub fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.0.lock()).into_iter().collect()
    }
}

impl ConfigExtension for Notes {
    const PREFIX: &'static str = "tenure_notes";
}

impl ExtensionOptions for Notes {
    fn as_any(&self) -> &dyn std::any::Any {
        self
    }

    fn as_any_mut(&mut self) -> &mut dyn std::any::Any {
        self
    }

    fn cloned(&self) -> Box<dyn ExtensionOptions> {
        Box::new(self.clone())
    }

    fn set(&mut self, key: &str, _value: &str) -> Result<()> {
        Err(DataFusionError::Configuration(format!("there is no option '{key}'")))
    }

    fn entries(&self) -> Vec<ConfigEntry> {
        Vec::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sentence_is_heard_once_and_by_whoever_shares_the_session() {
        let mut options = ConfigOptions::new();
        let notes = Notes::default();
        options.extensions.insert(notes.clone());
        let copy = options.clone();
        Notes::of(&copy).say("b".into());
        Notes::of(&options).say("a".into());
        Notes::of(&options).say("b".into());
        assert_eq!(notes.take(), ["a", "b"]);
        assert!(notes.take().is_empty());
        Notes::of(&ConfigOptions::new()).say("nobody listens".into());
        assert!(notes.take().is_empty());
    }
}
