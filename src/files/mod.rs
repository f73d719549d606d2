//! From a location to typed batches: the one way in.
//!
//! Deals with: which files a location names, Parquet files as tables. Does not deal with: managed tables (`store`).

pub mod followed;
pub mod location;
pub mod parquet;
