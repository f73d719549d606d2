//! The files that an operator reads, for the message that their order does not hold.

use std::fmt;
use std::sync::Arc;

/// The files of a scan.
#[derive(Clone)]
pub struct Files {
    names: String,
    find: Arc<dyn Fn() -> Option<String> + Send + Sync>,
}

impl Files {
    /// Files called so; `find` looks for the row that stands in the wrong place, if that can be told, and names it with its
    /// file. It may read the files: it is asked when the query has failed.
    pub fn new(names: String, find: impl Fn() -> Option<String> + Send + Sync + 'static) -> Self {
        Self { names, find: Arc::new(find) }
    }

    /// The row in the wrong place, or the files among which it is.
    pub fn wrong_row(&self) -> String {
        (self.find)().unwrap_or_else(|| self.names.clone())
    }
}

impl fmt::Debug for Files {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.names)
    }
}
