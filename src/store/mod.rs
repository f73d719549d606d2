//! From files to tables that know their column roles and order; the sample-data generator.
//!
//! Deals with: opening Parquet, CSV and JSON as tables, with messages that name the file. Does not deal with: queries.

pub mod event_names;
pub mod file_order;
pub mod footers;
pub mod generate;
pub mod managed;
pub mod table;
