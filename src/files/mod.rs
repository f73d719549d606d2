//! From a location to typed batches: the one way in, for queries and for ingest.
//!
//! Deals with: which files a location names, how each is written, what its columns are by example, reading them in blocks, by name.
//! Does not deal with: managed tables (`store`), what becomes of rows that cannot be read (an error in `table`, rejects in `ingest`).
//!
//! ```text
//!  location ─▶ text:    source ─▶ heads ─▶ infer ─▶ columns          what the columns are, by example
//!                         source ─▶ blocks ─▶ csv, ndjson             batches, and rows that cannot be read
//!                                      └─▶ records ─▶ ndjson          for ingest by a preset: records that are no rows yet
//!             Parquet: parquet ─▶ DataFusion's decoding               for queries
//!                      stored ─▶ convert                              for ingest, row by row
//!             both:    mixed                                          for queries: a union by column names
//! ```

pub mod blocks;
pub mod cells;
pub mod checksums;
pub mod columns;
pub mod convert;
pub mod csv;
pub mod decoded;
pub mod followed;
pub mod heads;
pub mod infer;
mod json_elements;
mod json_text;
pub mod location;
pub mod mixed;
mod ndjson;
pub mod nested;
mod nodes;
pub mod options;
pub mod parquet;
mod plain;
pub mod read;
pub mod records;
pub mod reject;
pub mod source;
mod stored;
pub mod stored_types;
mod text_columns;
mod text_scan;
pub mod text_table;
pub mod times;
mod transcode;
mod typed_values;
pub mod types;
pub mod unseen;
