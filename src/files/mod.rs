//! From a location to typed batches: the one way in, for queries and for ingest.
//!
//! Deals with: which files a location names, how each is written, what its columns are by example, reading them in blocks, by name.
//! Does not deal with: managed tables (`store`), what becomes of rows that cannot be read (an error in `table`, rejects in `ingest`).
//!
//! ```text
//!  sources ─▶ heads ─▶ infer                          what the columns could be
//!     │
//!     └─▶ blocks ─▶ csv, ndjson, convert ─▶ batches and faults      read: on several threads, in order
//! ```

pub mod blocks;
mod cells;
pub mod columns;
mod convert;
pub mod csv;
pub mod decoded;
pub mod heads;
pub mod infer;
mod json_elements;
mod json_text;
pub mod location;
mod ndjson;
pub mod nested;
mod nodes;
pub mod options;
pub mod read;
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
