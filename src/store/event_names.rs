//! The distinct values of a text column, where the files tell them without being read: their dictionaries.
//!
//! Deals with: local Parquet whose column is dictionary-encoded throughout. Does not deal with: anything that would need a
//! scan; the answer is then `None`, and nobody learns that a name is unknown.

use std::any::Any;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{Array, AsArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Schema};
use datafusion::catalog::TableProvider;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReaderBuilder};
use parquet::basic::{Encoding, PageType};
use parquet::file::metadata::ColumnChunkMetaData;

use super::managed::provider::ManagedTable;
use crate::files::checksums::FooterSum;
use crate::files::checksums::read::{CheckedFile, decoded};
use crate::files::followed::Followed;
use crate::files::parquet::ParquetTable;

/// More row groups than this are not looked at: planning a query should not take longer than a blink.
const MAX_ROW_GROUPS: usize = 256;

/// Distinct non-NULL values of `column`, or `None` where the dictionaries do not tell.
pub fn of(table: &dyn TableProvider, column: &str) -> Option<BTreeSet<String>> {
    let table = match (table as &dyn Any).downcast_ref::<Followed>() {
        Some(followed) => followed.table().as_ref(),
        None => table,
    };
    let files: Vec<(PathBuf, Option<FooterSum>)> = match (table as &dyn Any).downcast_ref::<ManagedTable>() {
        Some(managed) => {
            let files = managed.log().files().iter();
            files.map(|f| (managed.log().folder().join(&f.path), f.checksum)).collect()
        }
        None => (table as &dyn Any).downcast_ref::<ParquetTable>()?.paths().map(|path| (path, None)).collect(),
    };
    let mut names = BTreeSet::new();
    let mut budget = MAX_ROW_GROUPS;
    for (file, sum) in &files {
        decoded(file, || read_dictionaries(file, *sum, column, &mut budget, &mut names)).ok().flatten()?;
    }
    (!names.is_empty()).then_some(names)
}

/// Adds the dictionary values of every row group of a file. `None` where a chunk has values outside its dictionary.
fn read_dictionaries(
    file: &Path,
    sum: Option<FooterSum>,
    column: &str,
    budget: &mut usize,
    names: &mut BTreeSet<String>,
) -> Option<()> {
    let opened = CheckedFile::open(file, sum).ok()?;
    let footer = ArrowReaderMetadata::try_new(Arc::clone(opened.metadata()), ArrowReaderOptions::new()).ok()?;
    let at = footer.schema().index_of(column).ok()?;
    let groups = footer.metadata().num_row_groups();
    *budget = budget.checked_sub(groups)?;
    // Read as a dictionary whatever the file calls it: then the first value brings the whole dictionary along.
    let fields: Vec<Arc<Field>> = footer.schema().fields().iter().cloned().collect();
    let value = match fields[at].data_type() {
        DataType::Dictionary(_, value) => value.as_ref().clone(),
        text => text.clone(),
    };
    let text = match value {
        DataType::Utf8 | DataType::Utf8View => DataType::Utf8,
        DataType::LargeUtf8 => DataType::LargeUtf8,
        _ => return None,
    };
    let mut fields: Vec<Field> = fields.iter().map(|f| f.as_ref().clone()).collect();
    fields[at] = fields[at].clone().with_data_type(DataType::Dictionary(Box::new(DataType::Int32), Box::new(text)));
    let options = ArrowReaderOptions::new().with_schema(Arc::new(Schema::new(fields)));
    // The footer is read once: EXPLAIN of a funnel over twenty row groups took 16 to 21 ms when it was read for each, and takes
    // 11 to 15 ms.
    let footer = ArrowReaderMetadata::try_new(Arc::clone(footer.metadata()), options).ok()?;
    for group in 0..groups {
        let builder = ParquetRecordBatchReaderBuilder::new_with_metadata(opened.clone(), footer.clone());
        let mask = ProjectionMask::columns(builder.parquet_schema(), [column]);
        let chunk = footer.metadata().row_group(group).columns().iter().find(|c| c.column_path().string() == column)?;
        if !only_dictionary(chunk) {
            return None;
        }
        let reader = builder.with_projection(mask).with_row_groups(vec![group]).with_limit(1).build().ok()?;
        for batch in reader {
            let batch = batch.ok()?;
            let values = cast(batch.column(0).as_any_dictionary_opt()?.values(), &DataType::Utf8).ok()?;
            let values = values.as_string::<i32>();
            names.extend((0..values.len()).filter(|i| values.is_valid(*i)).map(|i| values.value(i).to_string()));
        }
    }
    Some(())
}

/// Whether every data page of a chunk is encoded by the dictionary: writers give up on large ones midway.
fn only_dictionary(chunk: &ColumnChunkMetaData) -> bool {
    let dictionary = |e: Encoding| matches!(e, Encoding::RLE_DICTIONARY | Encoding::PLAIN_DICTIONARY);
    if let Some(mask) = chunk.page_encoding_stats_mask() {
        return mask.encodings().all(dictionary);
    }
    chunk.page_encoding_stats().is_some_and(|pages| {
        let data = |t: PageType| matches!(t, PageType::DATA_PAGE | PageType::DATA_PAGE_V2);
        pages.iter().filter(|p| data(p.page_type)).all(|p| dictionary(p.encoding))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::TableEntry;
    use datafusion::prelude::SessionContext;

    async fn names(folder: &Path, location: &str) -> Option<Vec<String>> {
        let state = SessionContext::new().state();
        let entry = TableEntry { location: location.to_string(), ..TableEntry::default() };
        let table = super::super::table::open(&state, "t", &entry, folder).await.unwrap();
        of(table.as_ref(), "event").map(|names| names.into_iter().collect())
    }

    async fn write(file: &Path, sql: &str, dictionary: bool) {
        let context = SessionContext::new();
        let options = format!("OPTIONS ('format.dictionary_enabled' '{dictionary}')");
        let copy = format!("COPY ({sql}) TO '{}' STORED AS PARQUET {options}", file.display());
        context.sql(&copy).await.unwrap().collect().await.unwrap();
    }

    #[tokio::test]
    async fn dictionaries_tell_the_names_and_plain_pages_do_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        std::fs::create_dir(path("d")).unwrap();
        write(&path("d/a.parquet"), "SELECT * FROM (VALUES (1, 'é x'), (2, 'b'), (3, NULL)) AS t(u, event)", true)
            .await;
        write(&path("d/b.parquet"), "SELECT 4 AS u, 'c' AS event", true).await;
        write(&path("plain.parquet"), "SELECT 4 AS u, 'c' AS event", false).await;
        assert_eq!(names(folder.path(), "d").await.unwrap(), ["b", "c", "é x"]);
        assert_eq!(names(folder.path(), "d/b*.parquet").await.unwrap(), ["c"]);
        assert_eq!(names(folder.path(), "plain.parquet").await, None);
    }
}
