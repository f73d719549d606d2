//! From files to tables, and the data that tests, benches and first steps begin with.
//!
//! Deals with: files and what they hold. Does not deal with: SQL functions or plans over them.

pub mod generate;
