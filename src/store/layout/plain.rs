//! Files of other writers written anew, rows in the order they had.
//!
//! Deals with: a file that stays without an order, because some of its rows may have no user. Does not deal with: ordered files.

use std::fs::{File, OpenOptions};
use std::path::Path;
use std::time::UNIX_EPOCH;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;

use super::file::{holds_nan, unwritten};
use super::statistics::statistics;
use crate::error::{Error, Result};
use crate::files::checksums::write::{Writer, footer_sum};
use crate::store::managed::StoredFile;

/// Writes batches as one file, durably; without a row there is none. After an error nothing is left.
pub(in crate::store) fn write_plain(
    folder: &Path,
    schema: &SchemaRef,
    batches: impl Iterator<Item = Result<RecordBatch>>,
) -> Result<Option<StoredFile>> {
    let name = format!("part-{}.parquet", uuid::Uuid::new_v4());
    let path = folder.join(&name);
    let written = write(&path, &name, schema, batches);
    if !matches!(written, Ok(Some(_))) {
        let _ = std::fs::remove_file(&path);
    }
    written
}

fn write(
    path: &Path,
    name: &str,
    schema: &SchemaRef,
    batches: impl Iterator<Item = Result<RecordBatch>>,
) -> Result<Option<StoredFile>> {
    let file = File::create_new(path).map_err(|e| Error::io("create", path, &e))?;
    let properties = WriterProperties::builder().set_compression(Compression::ZSTD(ZstdLevel::default())).build();
    let mut writer = Writer::new(file, schema.clone(), properties).map_err(|e| unwritten(path, e))?;
    let mut with_nan = vec![false; schema.fields().len()];
    for batch in batches {
        let batch = batch?;
        for (column, with_nan) in batch.columns().iter().zip(&mut with_nan) {
            *with_nan = *with_nan || holds_nan(column);
        }
        writer.write(&batch).map_err(|e| unwritten(path, e))?;
        if writer.in_progress_rows() >= super::ROW_GROUP_ROWS || writer.in_progress_size() >= super::ROW_GROUP_BYTES {
            writer.flush().map_err(|e| unwritten(path, e))?;
        }
    }
    let metadata = writer.finish().map_err(|e| unwritten(path, e))?;
    let rows = metadata.file_metadata().num_rows() as u64;
    if rows == 0 {
        return Ok(None);
    }
    writer.sync().map_err(|e| Error::io("write", path, &e))?;
    drop(writer);
    let file = OpenOptions::new().read(true).append(true).open(path).map_err(|e| Error::io("open", path, &e))?;
    file.sync_all().map_err(|e| Error::io("write", path, &e))?;
    super::sync_folder(path.parent().unwrap_or(Path::new(".")))?;
    let on_disk = file.metadata().map_err(|e| Error::io("open", path, &e))?;
    let checksum = footer_sum(&metadata, &file).map_err(|e| Error::io("read", path, &e))?;
    let modified = on_disk.modified().ok().and_then(|at| at.duration_since(UNIX_EPOCH).ok());
    Ok(Some(StoredFile {
        path: name.to_string(),
        size: on_disk.len(),
        modified: modified.map_or(0, |since| since.as_millis() as i64),
        rows,
        ordered: false,
        users: None,
        times: None,
        checksum: Some(checksum),
        statistics: statistics(schema, &metadata, None, &with_nan)?,
    }))
}
