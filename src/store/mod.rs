//! From files to tables that know their column roles and order; managed tables, ordered files, ingest; the sample-data generator.
//!
//! Deals with: opening Parquet, CSV, JSON and managed tables, with messages that name the file; taking events in, sorting them by
//! (user, time) and writing them as well-cut files. Does not deal with: queries.

pub mod checksums;
pub mod compact;
pub mod erase;
pub mod event_names;
pub mod file_order;
pub mod footers;
pub mod generate;
pub mod layout;
pub mod managed;
pub mod sort;
pub mod staging;
pub mod table;
pub mod user_id;
