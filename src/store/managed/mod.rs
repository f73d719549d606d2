//! Managed tables: files ordered by (user, time) below a folder whose commit log is Delta Lake.
//!
//! Deals with: what a managed table knows of itself without opening its files ([`log`]), changing it ([`commit`]), its past
//! ([`versions`], [`vacuum`]), reading it through SQL ([`provider`]). Does not deal with: making the files.
//!
//! The log is the crate `deltalake-core`'s; files are scanned by DataFusion's own Parquet source, so that a managed table
//! goes the same ways through the planner as a folder of Parquet does.

mod checksum;
pub mod commit;
pub mod damage;
mod deletions;
pub mod log;
pub mod provider;
pub mod schema;
mod statistics;
pub mod vacuum;
pub mod versions;

use std::path::Path;

use datafusion::common::ScalarValue;

use crate::files::checksums::FooterSum;

/// Folder of the commit log in a table's folder.
pub const LOG_FOLDER: &str = "_delta_log";

/// Whether a folder is a managed table: its log has an entry. Whoever was stopped while making one leaves a log without.
pub fn is_managed(folder: &Path) -> bool {
    let entries = std::fs::read_dir(folder.join(LOG_FOLDER)).into_iter().flatten().flatten();
    let mut names = entries.map(|entry| entry.file_name());
    names.any(|name| name.to_str().is_some_and(|name| name.ends_with(".json") || name.ends_with(".parquet")))
}

/// The managed tables directly below a folder, by name; a folder that cannot be listed has none.
pub fn below(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let managed = entries.filter(|entry| is_managed(&entry.path()));
    let mut names: Vec<String> = managed.filter_map(|entry| entry.file_name().into_string().ok()).collect();
    names.retain(|name| !name.starts_with(['.', '_']));
    names.sort();
    names
}

/// Which columns of a table are the user, the time and the event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Roles {
    /// The user column.
    pub user: String,
    /// The time column.
    pub time: String,
    /// The event column, where the table has one.
    pub event: Option<String>,
}

impl Roles {
    /// The role of a column, in the word that column metadata uses.
    pub fn role_of(&self, column: &str) -> Option<&'static str> {
        if column == self.user {
            return Some("user");
        }
        if column == self.time {
            return Some("time");
        }
        (self.event.as_deref() == Some(column)).then_some("event")
    }
}

/// A data file of a managed table.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredFile {
    /// Relative to the table's folder.
    pub path: String,
    /// Bytes.
    pub size: u64,
    /// Milliseconds since 1970.
    pub modified: i64,
    /// Rows; 0 where another writer does not say.
    pub rows: u64,
    /// Whether rows are in the order of (user, time); a file of another writer is not.
    pub ordered: bool,
    /// Smallest and largest user, exact; `None` where that is not known.
    pub users: Option<(ScalarValue, ScalarValue)>,
    /// Earliest and latest time in microseconds since 1970; `None` where that is not known. Another writer may have cut its
    /// times to the millisecond: then these are a millisecond wider.
    pub times: Option<(i64, i64)>,
    /// The checksum of its footer, where it was written with one; all other bytes are checked by that.
    pub checksum: Option<FooterSum>,
    /// Statistics as Delta keeps them: JSON of `numRecords`, `minValues`, `maxValues`, `nullCount`.
    pub statistics: String,
}
