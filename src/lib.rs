//! tenure: user-behaviour analytics in SQL on open Parquet.
//!
//! Funnels, retention, cohorts and churn scores over event data, exact (see each function's text in `sql/FUNCTIONS.md`)
//! and in one pass, as an extension of Apache DataFusion. One crate, library and binary.
//!
//! # The picture
//!
//! ```text
//!  Parquet, CSV, JSON ─▶ files ─▶ store ─▶ scan (ordered by user and time where the files are)
//!                            └▶ ingest ┘ ▲   │
//!                      INSERT, CREATE .. AS  │
//!    SQL ─▶ relations ─▶ functions ─▶ plan ─┬─▶ hash aggregation ──────────▶ functions::*Groups ─▶ algo, model
//!        FROM funnel(..)  UDAF, UDF          └─▶ exec: one pass over users ──▶ the same ones        the same answers
//!
//!  cli, report ─▶ engine ─▶ RecordBatches ─▶ output (terminal, csv, json, markdown, parquet, arrow, workbooks, figures)
//! ```
//!
//! Arrows point down only: `main → cli → report → engine → relations, plan → functions, exec, store → files → algo, model`, `cli → ingest → store`, and
//! `cli, report → output`, which knows arrow, and of ours the writer of Parquet with checksums alone. `error` and `config` are for all. A test reads the `use` lines and checks it.
//!
//! # Where a funnel is computed
//!
//! 1. `SELECT * FROM funnel(events, steps => [..], within => ..)` is recognised by [`relations::BehaviourRelations`], which
//!    hands the call to `relations/funnel`. That composes an ordinary plan: filter, `GROUP BY user` with
//!    `funnel_chain(..)`, then `funnel_steps(..)` over the users.
//! 2. `funnel_chain` is an aggregate in [`functions::funnel`]. Its grouped state ([`functions::event_groups`]) logs the
//!    events that satisfy a step, and hands each user's events, sorted by time, to the kernel.
//! 3. The kernel is [`algo::funnel`]: slices in, level and chain out. Start reading there.
//!
//! Patterns have aggregates but no relation: [`functions::sequence`], [`algo::pattern`]. The others go the same way as
//! funnels, each with a file in `relations`, a folder in `functions` and its kernel: sessions ([`algo::session`]), transitions
//! and paths ([`algo::path`], [`algo::flow`]), attribution ([`algo::attribution`], [`model::markov`]), retention
//! ([`algo::retention`]), lifecycles ([`algo::lifecycle`]), churn scores ([`algo::activity`], [`model::bg_nbd`]).
//!
//! Aggregates whose answer can be stored and merged later ([`functions::states`]) have their bytes in [`algo::states`], or are
//! sketches of DataSketches ([`model::sketches`]).
//!
//! # Modules
//!
//! | module | deals with |
//! |---|---|
//! | [`algo`] | what a question means, for one user's events; pure functions on slices |
//! | [`model`] | statistics: BG/NBD, the Wilson interval, tests of shares and means, Markov chains of channels, sketches of distinct values |
//! | [`files`] | from a location to typed batches: which files it names, how each is written, types by example, reading by name; one way in for queries and loads |
//! | [`store`] | from files to tables that know their column roles and order: ordered files, managed tables |
//! | [`ingest`] | a run of files into a managed table: mapping, presets for other systems' exports, rejected rows, resuming after a kill |
//! | [`sample`] | made data: a shop's events and users of any size |
//! | [`functions`] | SQL functions: arguments in, `algo` out; one folder or file for each family |
//! | [`relations`] | `FROM funnel(..)`, `retention(..)`, ..: named arguments in, a logical plan out; a file or folder each |
//! | [`plan`] | optimiser rules: which plans take which path |
//! | [`exec`] | the hot path: input ordered by user, evaluated in one pass without hashing |
//! | [`engine`] | the one place that assembles a session; runs statements |
//! | [`output`] | record batches to terminal tables, pictures and files |
//! | [`report`] | a `.sql` file with front matter into a page, a workbook and files, together or not at all |
//! | [`cli`] | arguments, scripts, the prompt, one file for each subcommand |
//! | [`config`] | `tenure.*` session options and `tenure.toml` |
//! | [`error`] | the kinds of error, their one line of message, hints |
//!
//! # Adding things
//!
//! * A relation: a file in `relations` that implements [`relations::Relation`], and a line in [`relations::RELATIONS`]. Each of
//!   its arguments is one constant, or one that several relations share.
//! * A function: a file in `functions`, a line in its list, an entry in `docs()`; its meaning goes to `algo` or `model`. One of a
//!   row is a [`functions::row_function::RowFunction`].
//! * A per-user aggregate: its meaning in `algo`, and a [`functions::grouped::GroupedFunction`] over one of two states: with a
//!   [`functions::event_groups::Question`] every event of a user is at hand in order; with a [`functions::user_logs::UserFold`]
//!   events are folded as they come into a little that is known and a log of the rest. Hashing, merging, spilling and the
//!   one-pass path come with them.
//! * An ingest preset: a file in `sql/presets` and a line in [`ingest::presets`]; a folder of `testdata/presets` tests it.
//! * A writer of tables: it gives batches to [`store::write`], which sorts, lays out and commits them.
//!
//! # Names of models and segments
//!
//! They are resolved while a query is planned, as names of tables are: what a name stands for (coefficients, cut points, a list or
//! query of users) travels in the plan as literals. So a plan says all that its answer depends on, EXPLAIN shows it, two queries
//! with one plan answer the same, and [`functions`] never see a file or look anything up.
//!
//! # Ordered files
//!
//! Where the files are ordered by user (they say so themselves, or `WITH ORDER`, or `tenure.toml`), `GROUP BY user` needs no
//! hash: `plan/ordered_scan.rs` cuts the files into ranges, of rows or (where files overlap) of users, and
//! `plan/ordered_aggregation.rs` puts [`exec::user_aggregate::UserAggregateExec`] in place, which merges overlapping files by
//! user; EXPLAIN shows it. Both paths feed the same accumulators.
//!
//! [`store::write`] is the way in, for [`ingest`] and for statements: a stream of batches in, one committed version out. Its files
//! come from [`store::sort`], which sorts rows in bounded memory, and [`store::layout`], which decides where files end.
//! [`files::checksums`] sees that no bit of them changes unseen. [`store::compact`] merges those of a managed table that overlap;
//! [`store::erase`] rewrites those that hold a user, and clears what else beside the table does.
//!
//! # Managed tables
//!
//! A folder with a Delta commit log ([`store::managed`]). A commit adds and takes out files and makes a version; a query reads the
//! version that is newest when it is planned, or the one that `AS OF` names. Rows, bounds and order of each file are in the
//! log, so that planning opens none; scans are DataFusion's, and ordered files take the path above.

pub mod algo;
pub mod cli;
pub mod config;
pub mod engine;
pub mod error;
pub mod exec;
pub mod files;
pub mod functions;
pub mod ingest;
pub mod model;
pub mod output;
pub mod plan;
pub mod relations;
pub mod report;
pub mod sample;
pub mod store;
