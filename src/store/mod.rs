//! From files to tables that know their column roles and order; ordered files; the sample-data generator.
//!
//! Deals with: opening Parquet, CSV and JSON as tables, with messages that name the file; sorting rows by (user, time) and
//! writing them as well-cut files. Does not deal with: queries.

pub mod compact;
pub mod erase;
pub mod event_names;
pub mod generate;
pub mod ingest;
pub mod layout;
pub mod managed;
pub mod sort;
pub mod staging;
pub mod table;
pub mod user_id;
