//! From CSV, NDJSON and Parquet to a managed table.
//!
//! Deals with: sources, types by example, columns and roles, rejected rows, going on after a kill, the commit.
//! Does not deal with: sorting and writing files (`sort`, `layout`), the commit log (`managed`), arguments and bars (`cli`).
//!
//! ```text
//!  sources ─▶ heads ─▶ columns (mapping, roles, types)        what is shown before anything is written
//!     │
//!     └─▶ blocks ─▶ csv, ndjson, convert ─▶ Sorter ─▶ ordered files ─▶ commit
//!              read      rejects └─▶ _rejects     journal: how far it is
//! ```
//!
//! # What is durable when
//! Nothing of the table changes before the commit, which adds all files at once. Until then `TABLE/_ingest/<key>` holds
//! sorted runs, rejected rows, and a journal of how far the sources are in them ([`journal`]): the same command goes on from there.
//! Before the commit the rejected rows and the names of the sources get their places ([`rejects`], [`loads`]); the commit carries
//! a transaction number, so that one that was made just before a kill is not made again.

mod blocks;
mod cells;
mod columns;
mod convert;
mod csv;
mod decoded;
mod drafts;
mod heads;
mod infer;
pub mod journal;
mod json_text;
pub mod loads;
mod mapping;
mod ndjson;
mod nodes;
mod order;
mod parquet;
mod read;
pub mod rejects;
mod roles;
mod run;
mod source;
mod stored_types;
mod times;
mod typed_values;
mod unseen;

pub use columns::{Column, Layout, Origin, Wishes};
pub use heads::Sample;
pub use mapping::type_name;
pub use order::{MaxRejects, Options, Outcome, Phase, Plan, Progress, Watch};
pub use rejects::Counted;
pub use run::ingest;
pub use source::SourceFormat;
pub use unseen::{NAMED, Unseen};
