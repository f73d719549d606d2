//! The hot path: input ordered by user is evaluated in one pass, one user after another, without hashing.
//!
//! Deals with: the operator ([`user_aggregate`]), where users begin and end ([`user_runs`]), users that lie on the cut
//! between two partitions (`edges`), inputs whose users overlap ([`merge`]); the check of an order that other operators rely on ([`order_check`]); conditions on dictionaries ([`by_value`]).
//! Beside it, [`summary`] of each column of a query, and what keeps a memory limit where DataFusion does not: [`window`] functions, the build side of joins ([`one_batch`]), the [`memory_pool`].
//! While a plan is made, [`filters_apart`] keeps filters from wrong columns; [`keys_unclaimed`] keeps claims about keys from them.
//! Does not deal with: which plans may use it (`plan`), or what is computed of a user (any `GroupsAccumulator`, ours or
//! DataFusion's, so both paths give the same answers).

pub mod by_value;
pub mod conditions;
mod edges;
pub mod files;
pub mod filters_apart;
pub mod keys_unclaimed;
pub mod memory_pool;
pub mod merge;
pub mod one_batch;
pub mod order_check;
mod partition;
pub mod summary;
pub mod user_aggregate;
pub mod user_runs;
pub mod window;
