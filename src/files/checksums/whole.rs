//! A whole file held against its checksums.
//!
//! Deals with: reading every byte, also of columns that no question asks for. Does not deal with: which files a table has.

use std::fs::File;
use std::path::Path;

use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReaderBuilder};
use parquet::file::metadata::ParquetMetaData;
use parquet::file::reader::ChunkReader;

use super::read::CheckedFile;
use super::{FooterSum, damaged};
use crate::error::{Error, Result};

/// What is wrong with a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    /// The column, where it is known.
    pub column: Option<String>,
    /// What it is, in words.
    pub what: String,
}

/// Reads all of a file, and gives what is damaged: nothing for a file that is as it was written. Of a file without checksums only
/// that it can be decoded is known. Memory: a page, or some rows.
pub fn damage(path: &Path, sum: Option<FooterSum>) -> Vec<Damage> {
    match found(path, sum) {
        Ok(damage) => damage,
        Err(error) => vec![Damage { column: None, what: error.message().to_string() }],
    }
}

/// The error of a file that could not be decoded: what is damaged in it, where that can be found, else the reader's own words.
pub fn unreadable(path: &Path, sum: Option<FooterSum>, error: Error) -> Error {
    if error.message().starts_with(&format!("'{}' is damaged", path.display())) {
        return error;
    }
    let found = sum.is_some().then(|| first(path, sum)).flatten();
    found.unwrap_or_else(|| Error::data(format!("cannot read '{}': {}", path.display(), error.message())))
}

/// The first damage of a file as an error that names it.
pub fn first(path: &Path, sum: Option<FooterSum>) -> Option<Error> {
    let Damage { column, what } = damage(path, sum).into_iter().next()?;
    let place = column.map(|column| format!("column '{column}': ")).unwrap_or_default();
    Some(match sum {
        _ if what.contains(&*path.to_string_lossy()) => Error::data(what),
        Some(_) => damaged(path, &format!("{place}{what}")),
        None => Error::data(format!("cannot read '{}': {place}{what}", path.display())),
    })
}

fn found(path: &Path, sum: Option<FooterSum>) -> Result<Vec<Damage>> {
    let file = CheckedFile::open(path, sum)?;
    let metadata = file.metadata();
    let mut damage = Vec::new();
    let mut note =
        |column: Option<usize>, what: String| damage.push(Damage { column: column.map(|at| name(metadata, at)), what });
    let plain = File::open(path).map_err(|e| Error::io("open", path, &e))?;
    if plain.get_bytes(0, 4).ok().as_deref() != Some(b"PAR1") {
        note(None, "it does not begin like a Parquet file".to_string());
    }
    if let Some(expected) = file.expected() {
        for page in expected.pages() {
            let whole = plain.get_bytes(page.start, page.length).is_ok_and(|bytes| page.holds(&bytes));
            if !whole {
                note(Some(page.column), format!("the page at byte {} does not match its checksum", page.start));
            }
        }
        for filter in expected.filters() {
            let bytes = plain.get_bytes(filter.start, filter.length);
            if !bytes.is_ok_and(|bytes| crc32fast::hash(&bytes) == filter.crc) {
                note(
                    Some(filter.column),
                    format!("the bloom filter at byte {} does not match its checksum", filter.start),
                );
            }
        }
        return Ok(damage);
    }
    let footer =
        super::read::parsed(path, || ArrowReaderMetadata::try_new(metadata.clone(), ArrowReaderOptions::new()));
    let read =
        footer?.and_then(|footer| ParquetRecordBatchReaderBuilder::new_with_metadata(file.clone(), footer).build());
    match read {
        Err(error) => note(None, error.to_string()),
        Ok(mut batches) => {
            let decoded = super::read::decoded(path, || batches.try_for_each(|batch| batch.map(|_| ())));
            match decoded {
                Ok(Ok(())) => {}
                Ok(Err(error)) => note(None, error.to_string()),
                Err(error) => note(None, error.message().to_string()),
            }
        }
    }
    Ok(damage)
}

fn name(metadata: &ParquetMetaData, column: usize) -> String {
    metadata.file_metadata().schema_descr().column(column).path().string()
}
