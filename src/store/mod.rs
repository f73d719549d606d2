//! From files to tables that know their column roles and order; managed tables; the sample-data generator.
//!
//! Deals with: opening Parquet, CSV, JSON and managed tables, with messages that name the file. Does not deal with: queries.

pub mod event_names;
pub mod generate;
pub mod managed;
pub mod table;
