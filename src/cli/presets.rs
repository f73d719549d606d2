//! `tenure presets`: the systems whose exports `tenure ingest --preset` knows, as a list, or one with all it reads.
//!
//! Deals with: showing them. Does not deal with: what they mean (`ingest::preset`).

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, StringArray};
use tokio::runtime::Handle;

use super::args::PresetsArgs;
use super::session::{Session, Stop, print};
use super::terminal::Terminal;
use crate::engine::{Engine, Settings};
use crate::error::{Error, suggest};
use crate::ingest::{preset, presets};

pub(super) async fn run(args: &PresetsArgs, terminal: Terminal, queries: Handle) -> Result<(), Stop> {
    if let Some(name) = &args.name {
        return match presets::ALL.iter().find(|(known, _)| known == name) {
            Some((_, text)) => print(text),
            None => {
                let help = suggest(name, presets::ALL.iter().map(|(known, _)| *known));
                Err(Error::user(format!("no preset '{name}': {help}")).into())
            }
        };
    }
    let described: Vec<(&str, String, String)> = presets::ALL
        .iter()
        .map(|(name, text)| {
            let (title, reads) = preset::described(text);
            (*name, title, reads)
        })
        .collect();
    let column = |texts: Vec<&str>| Arc::new(StringArray::from(texts)) as ArrayRef;
    let list = RecordBatch::try_from_iter([
        ("preset", column(described.iter().map(|(name, _, _)| *name).collect())),
        ("system", column(described.iter().map(|(_, title, _)| title.as_str()).collect())),
        ("reads", column(described.iter().map(|(_, _, reads)| reads.as_str()).collect())),
    ])
    .map_err(Error::from)?;
    let session = Session::new(Engine::open(&Settings::default()).await?, terminal, queries, false);
    session.show(&list)
}
