//! Managed tables: files ordered by (user, time) below a folder whose commit log is Delta Lake.
//!
//! Deals with: what a managed table knows of itself without opening its files. Does not deal with: making the files.

use datafusion::common::ScalarValue;

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

/// A data file of a managed table.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredFile {
    /// Relative to the table's folder.
    pub path: String,
    /// Bytes.
    pub size: u64,
    /// Milliseconds since 1970.
    pub modified: i64,
    /// Rows.
    pub rows: u64,
    /// Whether rows are in the order of (user, time); a file of another writer is not.
    pub ordered: bool,
    /// Smallest and largest user, exact; `None` where that is not known.
    pub users: Option<(ScalarValue, ScalarValue)>,
    /// Earliest and latest time in microseconds since 1970; `None` where that is not known.
    pub times: Option<(i64, i64)>,
    /// Statistics as Delta keeps them: JSON of `numRecords`, `minValues`, `maxValues`, `nullCount`.
    pub statistics: String,
}
