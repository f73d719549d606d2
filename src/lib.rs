//! tenure: user-behaviour analytics in SQL on open Parquet.

pub mod cli;
pub mod engine;
pub mod error;
pub mod functions;
pub mod model;
pub mod output;
pub mod store;
