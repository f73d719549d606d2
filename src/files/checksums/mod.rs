//! Parquet files of which no bit can change unseen.
//!
//! Deals with: writing checksums into files ([`mod@write`], and [`seal`] where another has written them), holding what is read against them ([`read`]; DataFusion's scans do it in
//! `parquet::source`), and looking through a whole file ([`whole`]). Does not deal with: the commit log's own checksums
//! (`store::managed::checksum`).
//!
//! ```text
//!  PAR1 │ page header │ page │ page header │ page │ .. │ bloom filters │ indexes, footer, PAR1
//!       └── footer ───┴ page header, as Parquet has it  └── footer ────┴── the commit log, as a tag of the file
//! ```
//!
//! A page's CRC32 stands in its header, where the format has a place for it: pyarrow, DuckDB and Spark check it as well. The format
//! has none for the headers themselves and for bloom filters, so theirs are listed in the footer's key-value metadata. What is left
//! is the end of the file, from the page indexes on; its CRC32 is a tag of the file in the commit log, which is checked in turn.
//! A file without any of this, of an older version or of another writer, is read as ever. Results that are written as Parquet (`COPY`,
//! `-o`) have the pages' own alone: no log tells of their footers, and a list in the footer would go along into other files that
//! programs make of them.

mod expected;
mod header;
pub mod read;
pub mod seal;
pub mod whole;
pub mod write;

use std::fmt;
use std::path::Path;
use std::str::FromStr;

use object_store::ObjectMeta;

use crate::error::Error;

/// Key of the file metadata that lists the checksums of page headers and bloom filters.
pub const HEADERS_KEY: &str = "tenure.page_headers";

/// Where the end of a file begins that pages and bloom filters do not cover, and the CRC32 of its bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FooterSum {
    /// First byte.
    pub start: u64,
    /// Of all bytes from there to the end of the file.
    pub crc: u32,
}

impl fmt::Display for FooterSum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{:08x}", self.start, self.crc)
    }
}

impl FromStr for FooterSum {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (start, crc) = text.split_once(':').ok_or(())?;
        let crc = Some(crc).filter(|crc| crc.len() == 8).and_then(|crc| u32::from_str_radix(crc, 16).ok());
        Ok(Self { start: start.parse().map_err(|_| ())?, crc: crc.ok_or(())? })
    }
}

/// Before the checksum in the entity tag of a file: what tells its contents from others.
const TAG: &str = "tenure-footer:";

/// The entity tag of a file with this checksum: in it the checksum travels with the file through plans.
pub fn entity_tag(sum: FooterSum) -> String {
    format!("{TAG}{sum}")
}

/// The checksum that a file's entity tag carries.
pub fn sum_of(meta: &ObjectMeta) -> Option<FooterSum> {
    meta.e_tag.as_deref()?.strip_prefix(TAG)?.parse().ok()
}

/// The error of a file that is not as it was written; `place` is a part of it.
pub fn damaged(path: &Path, place: &str) -> Error {
    Error::data(format!("'{}' is damaged: {place}", path.display()))
        .hint("tenure doctor DIR --verify lists everything that is damaged; take the file from a backup or load its rows again")
}

/// The error of a file that is no longer there.
pub fn gone(path: &Path) -> Error {
    let message =
        format!("'{}' is no longer there: it was removed, as tenure vacuum does with old versions", path.display());
    Error::data(message)
        .hint("run it again: it will read the newest version; tenure doctor DIR tells whether that is whole")
        .stale()
}

#[cfg(test)]
mod tests;
