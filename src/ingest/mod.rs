//! From CSV, NDJSON and Parquet to a managed table.
//!
//! Deals with: sources, presets, types by example, columns and roles, rejected rows, resuming after a kill.
//! Does not deal with: sorting, writing and committing (`store::write`), arguments and bars (`cli`).
//!
//! ```text
//!  sources ─▶ heads ─▶ columns (mapping, roles, types)        what is shown before anything is written
//!     │
//!     └─▶ blocks ─▶ csv, ndjson, convert ─▶ store::write ─▶ one version
//!              read      rejects └─▶ _rejects   journal: how far it is
//! ```
//!
//! # What is durable when
//! Nothing of the table changes before the commit, which adds all files at once. Until then `TABLE/_ingest/<key>` holds
//! sorted runs, rejected rows, and a journal of how far the sources are in them ([`journal`]): the same command resumes from there.
//! Before the commit the rejected rows and the names of the sources get their places ([`rejects`], [`loads`](crate::store::loads)); the commit carries
//! a transaction number, so that one that was made just before a kill is not made again.

pub mod columns;
mod drafts;
pub mod journal;
mod left;
pub mod mapping;
mod order;
pub mod preset;
pub mod presets;
pub mod rejects;
mod roles;
mod run;
mod target;
mod typed;
mod widen;
mod work;

pub use columns::{Layout, Wishes};
pub use order::{MaxRejects, Options, Outcome, Phase, Plan, Progress, Watch};
pub use run::ingest;
