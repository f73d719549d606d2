//! Which files a location names.

use std::path::PathBuf;
use std::time::SystemTime;

/// A file of rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DataFile {
    /// Where it is.
    pub path: PathBuf,
    /// Bytes.
    pub size: u64,
    /// When it was written last.
    pub modified: SystemTime,
    /// `key=value` folders above it, the outermost first; `None` is NULL.
    pub partitions: Vec<(String, Option<String>)>,
}
