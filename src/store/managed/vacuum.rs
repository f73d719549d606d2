//! Removing the files of old versions.
//!
//! Deals with: which files go and which stay. Does not deal with: taking rows out of the newest version (`commit`).

use std::path::Path;

use crate::error::Result;

/// Placeholder.
pub async fn vacuum(_folder: &Path) -> Result<()> {
    Ok(())
}
