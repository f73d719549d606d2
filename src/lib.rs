//! tenure: user-behaviour analytics in SQL on open Parquet.

pub mod algo;
pub mod cli;
pub mod config;
pub mod engine;
pub mod error;
pub mod functions;
pub mod model;
pub mod output;
pub mod relations;
pub mod store;
