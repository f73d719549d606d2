//! Columns of a managed table that get a wider type: whole numbers become decimals, structs gain fields.
//!
//! Deals with: writing the files anew whose values are stored in the old type, where the new one holds each of them exactly; one
//! commit. Does not deal with: which types are wider (`ingest`).
//!
//! Delta's own widening does not know BIGINT to DOUBLE, which loses whole numbers beyond 2^53, and other readers would not find the
//! type that the log says in the files. So the files are written anew; a number that a DOUBLE cannot hold is an error. A struct that
//! gains fields needs none of that: a field that a file lacks is NULL to all readers.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef};

use super::compact::{finished, writable};
use super::layout::{OrderedWriter, discard, write_plain};
use super::managed::StoredFile;
use super::managed::commit::{Change, Operation, Refused};
use super::managed::log::TableLog;
use super::sort::StoredSource;
use super::staging::{Staging, place, sweep};
use crate::error::{Error, Result};

/// Gives columns these types; returns how many files were written anew. Another commit meanwhile is an error that says so.
pub async fn retype(log: &TableLog, columns: &[Field]) -> Result<usize> {
    let table = writable(log)?;
    let fields = log.schema().fields().iter().map(|field| match columns.iter().find(|c| c.name() == field.name()) {
        Some(wider) => Arc::new(field.as_ref().clone().with_data_type(wider.data_type().clone())),
        None => Arc::clone(field),
    });
    let schema: SchemaRef = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
    let rewritten = columns.iter().any(|wider| {
        log.schema().field_with_name(wider.name()).is_ok_and(|old| stored_otherwise(old.data_type(), wider.data_type()))
    });
    let mut change = Change::new(Operation::Compact);
    change.retyped = columns.to_vec();
    change.unless_data_since = Some(log.version());
    let mut log = log.clone();
    let folder = log.folder().to_path_buf();
    // It goes when the commit is there.
    let mut staging = None;
    if rewritten {
        sweep(&folder);
        let staging = staging.insert(Staging::make(&folder, "retype")?);
        let (from, into) = (folder.clone(), staging.files());
        let (files, old) = (log.files().to_vec(), Arc::clone(log.schema()));
        change.remove = files.iter().map(|file| file.path.clone()).collect();
        let work = move || {
            let mut written: Vec<StoredFile> = Vec::new();
            for file in &files {
                check_exact(&StoredSource::open(&from, file, &old, &table.roles)?, &old, &schema)?;
                let source = StoredSource::open(&from, file, &schema, &table.roles)?;
                let batches = source.batches_of_all()?;
                if !file.ordered {
                    written.extend(write_plain(&into, &schema, batches)?);
                    continue;
                }
                let mut writer = OrderedWriter::new(&into, Arc::clone(&schema), &table.roles, table.layout.clone())?;
                for batch in batches {
                    writer.write(&batch?)?;
                }
                written.extend(writer.finish()?);
            }
            Ok(written)
        };
        change.add = finished(tokio::task::spawn_blocking(work).await)?;
        place(staging.path(), &staging.files(), &folder, &change.add)?;
    }
    match log.commit(&change).await {
        Ok(_) => Ok(change.add.len()),
        // Whether such a commit is visible may be unknown: its files stay.
        Err(Refused::Failed(error)) => Err(error),
        Err(refused) => {
            discard(&folder, &change.add);
            Err(refused.into())
        }
    }
}

/// Whether values of one type lie in files in another form than those of the other.
fn stored_otherwise(old: &DataType, new: &DataType) -> bool {
    match (old, new) {
        (DataType::Struct(old), DataType::Struct(new)) => old.iter().any(|field| {
            let other = new.iter().find(|other| other.name() == field.name());
            other.is_some_and(|other| stored_otherwise(field.data_type(), other.data_type()))
        }),
        (DataType::List(old), DataType::List(new)) => stored_otherwise(old.data_type(), new.data_type()),
        (old, new) => old != new,
    }
}

/// That whole numbers which become a DOUBLE are the same there.
fn check_exact(source: &StoredSource, old: &Schema, new: &Schema) -> Result<()> {
    for batch in source.batches_of_all()? {
        let batch: RecordBatch = batch?;
        for (at, field) in old.fields().iter().enumerate() {
            exact(batch.column(at), new.field(at).data_type(), field.name())?;
        }
    }
    Ok(())
}

fn exact(array: &ArrayRef, to: &DataType, path: &str) -> Result<()> {
    const WHOLE: u64 = 1 << 53;
    match (array.data_type(), to) {
        (DataType::Int64, DataType::Float64) => {
            let values = array.as_primitive::<Int64Type>();
            match values.iter().flatten().find(|value| value.unsigned_abs() > WHOLE) {
                None => Ok(()),
                Some(value) => Err(Error::data(format!(
                    "column '{path}' is bigint in the table and holds {value}, which double cannot hold exactly; decimals cannot be added to it"
                ))
                .hint("give the column of the new rows another name in a mapping")),
            }
        }
        (DataType::Struct(fields), DataType::Struct(new)) => {
            let parts = array.as_struct();
            fields.iter().enumerate().try_for_each(|(at, field)| match new.iter().find(|f| f.name() == field.name()) {
                Some(other) => exact(parts.column(at), other.data_type(), &format!("{path}.{}", field.name())),
                None => Ok(()),
            })
        }
        (DataType::List(_), DataType::List(item)) => exact(array.as_list::<i32>().values(), item.data_type(), path),
        _ => Ok(()),
    }
}
