//! Tables that know their column roles and order: managed tables, ordered files.
//!
//! Deals with: opening Parquet, CSV, JSON and managed tables, with messages that name the file; sorting events by (user, time) and
//! writing them as well-cut files. Does not deal with: queries, or taking events in (`ingest`).

pub mod aside;
pub mod compact;
mod declared;
pub mod erase;
pub mod event_names;
pub mod file_order;
pub mod footers;
pub mod layout;
pub mod loads;
pub mod managed;
pub mod retype;
pub mod sort;
pub mod staging;
pub mod table;
pub mod unfinished;
pub mod user_id;
pub mod write;
