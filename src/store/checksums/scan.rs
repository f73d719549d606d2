//! The files of managed tables in DataFusion's scans, held against their checksums.
//!
//! Deals with: a file's checksum travelling in its [`ObjectMeta`], the reader that DataFusion's Parquet source takes its bytes from.
//! Does not deal with: pages as such; the library compares their checksums when it decodes them.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::error::ArrowError;
use bytes::Bytes;
use datafusion::common::DataFusionError;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::parquet::CachedParquetFileReaderFactory;
use datafusion::datasource::physical_plan::parquet::metadata::CachedParquetMetaData;
use datafusion::datasource::physical_plan::{FileScanConfig, ParquetFileReaderFactory, ParquetSource};
use datafusion::datasource::source::DataSourceExec;
use datafusion::execution::cache::cache_manager::{CachedFileMetadataEntry, FileMetadataCache};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::metrics::ExecutionPlanMetricsSet;
use futures::FutureExt;
use futures::future::BoxFuture;
use object_store::local::LocalFileSystem;
use object_store::{ObjectMeta, ObjectStore};
use parquet::arrow::arrow_reader::ArrowReaderOptions;
use parquet::arrow::async_reader::AsyncFileReader;
use parquet::errors::{ParquetError, Result};
use parquet::file::metadata::ParquetMetaData;

use super::expected::Expected;
use super::{FooterSum, damaged, read, whole};
use crate::error::Error;

/// Before the checksum in the entity tag of a file: what tells its contents from others.
const TAG: &str = "tenure-footer:";

/// The entity tag of a file with this checksum.
pub fn entity_tag(sum: FooterSum) -> String {
    format!("{TAG}{sum}")
}

/// The checksum that a file's entity tag carries.
pub fn sum_of(meta: &ObjectMeta) -> Option<FooterSum> {
    meta.e_tag.as_deref()?.strip_prefix(TAG)?.parse().ok()
}

/// The footer of a local file, from the cache or else read, compared with its checksum where it has one, and cached.
pub fn footer(cache: &FileMetadataCache, meta: &ObjectMeta) -> crate::error::Result<Arc<ParquetMetaData>> {
    let cached = cache.get(&meta.location).filter(|entry| entry.is_valid_for(meta));
    let cached = cached.as_ref().and_then(|entry| entry.file_metadata.as_any().downcast_ref::<CachedParquetMetaData>());
    if let Some(cached) = cached {
        return Ok(Arc::clone(cached.parquet_metadata()));
    }
    let path = path_of(meta)?;
    let file = std::fs::File::open(&path).map_err(|e| Error::io("open", &path, &e))?;
    let footer = Arc::new(read::footer(&path, &file, sum_of(meta))?);
    let entry = CachedParquetMetaData::new(Arc::clone(&footer));
    cache.put(&meta.location, CachedFileMetadataEntry::new(meta.clone(), Arc::new(entry)));
    Ok(footer)
}

fn path_of(meta: &ObjectMeta) -> crate::error::Result<PathBuf> {
    let path = LocalFileSystem::new().path_to_filesystem(&meta.location);
    path.map_err(|e| Error::data(format!("file '{}' has no usable name: {e}", meta.location)))
}

/// Makes readers that compare what they read.
#[derive(Debug)]
pub struct CheckedReaders {
    plain: CachedParquetFileReaderFactory,
    cache: Arc<FileMetadataCache>,
}

impl CheckedReaders {
    /// Over the local file system and the cache of footers of a session.
    pub fn new(store: Arc<dyn ObjectStore>, cache: Arc<FileMetadataCache>) -> Self {
        Self { plain: CachedParquetFileReaderFactory::new(store, Arc::clone(&cache)), cache }
    }
}

impl ParquetFileReaderFactory for CheckedReaders {
    fn create_reader(
        &self,
        partition: usize,
        file: PartitionedFile,
        hint: Option<usize>,
        metrics: &ExecutionPlanMetricsSet,
    ) -> datafusion::error::Result<Box<dyn AsyncFileReader + Send>> {
        let meta = file.object_meta.clone();
        let path = path_of(&meta)?;
        let plain = self.plain.create_reader(partition, file, hint, metrics)?;
        Ok(Box::new(CheckedReader { plain, cache: Arc::clone(&self.cache), path, meta, expected: None }))
    }
}

/// An error of a running query with the damaged file in it, where that is the cause: the library that decodes pages does not
/// know whose they are. Looks through the files of the plan, and so only at an error of decoding.
pub fn explained(plan: &Arc<dyn ExecutionPlan>, error: DataFusionError) -> DataFusionError {
    let decoding = match error.find_root() {
        DataFusionError::ParquetError(inner) => !matches!(**inner, ParquetError::External(_)),
        DataFusionError::ArrowError(inner, _) => matches!(**inner, ArrowError::ParquetError(_)),
        _ => false,
    };
    if !decoding {
        return error;
    }
    damage(plan).map_or(error, DataFusionError::from)
}

/// The first damaged file of a plan's scans. Reads them.
pub fn damage(plan: &Arc<dyn ExecutionPlan>) -> Option<Error> {
    let mut files = Vec::new();
    files_of(plan, &mut files);
    files.into_iter().find_map(|meta| whole::first(&path_of(&meta).ok()?, sum_of(&meta)))
}

fn files_of(plan: &Arc<dyn ExecutionPlan>, files: &mut Vec<ObjectMeta>) {
    let scan =
        plan.downcast_ref::<DataSourceExec>().and_then(|exec| exec.data_source().downcast_ref::<FileScanConfig>());
    if let Some(scan) = scan.filter(|scan| scan.file_source().downcast_ref::<ParquetSource>().is_some()) {
        let all = scan.file_groups.iter().flat_map(|group| group.files());
        files.extend(all.map(|file| file.object_meta.clone()));
        files.sort_by(|a, b| a.location.cmp(&b.location));
        files.dedup_by(|a, b| a.location == b.location);
    }
    plan.children().into_iter().for_each(|child| files_of(child, files));
}

struct CheckedReader {
    plain: Box<dyn AsyncFileReader + Send>,
    cache: Arc<FileMetadataCache>,
    path: PathBuf,
    meta: ObjectMeta,
    /// Known once the footer has been asked for, which comes before any page.
    expected: Option<(Arc<ParquetMetaData>, Expected)>,
}

fn external(error: Error) -> ParquetError {
    ParquetError::External(Box::new(error))
}

impl CheckedReader {
    fn compare(
        path: &Path,
        expected: Option<&(Arc<ParquetMetaData>, Expected)>,
        start: u64,
        bytes: &[u8],
    ) -> Result<()> {
        let Some((metadata, expected)) = expected else { return Ok(()) };
        let compared = expected.check(start, bytes);
        compared.map_err(|column| external(damaged(path, &read::in_column(metadata, column))))
    }

    /// An error of the store, which knows the file by another name.
    fn unread(path: &Path, error: ParquetError) -> ParquetError {
        let gone = matches!(&error, ParquetError::External(cause)
            if matches!(cause.downcast_ref(), Some(object_store::Error::NotFound { .. })));
        match gone {
            true => external(super::gone(path)),
            false => external(Error::data(format!("cannot read '{}': {error}", path.display()))),
        }
    }
}

impl AsyncFileReader for CheckedReader {
    fn get_bytes(&mut self, range: Range<u64>) -> BoxFuture<'_, Result<Bytes>> {
        let start = range.start;
        let Self { plain, path, expected, .. } = self;
        async move {
            let bytes = plain.get_bytes(range).await.map_err(|e| Self::unread(path, e))?;
            Self::compare(path, expected.as_ref(), start, &bytes)?;
            Ok(bytes)
        }
        .boxed()
    }

    fn get_byte_ranges(&mut self, ranges: Vec<Range<u64>>) -> BoxFuture<'_, Result<Vec<Bytes>>> {
        let Self { plain, path, expected, .. } = self;
        async move {
            let all = plain.get_byte_ranges(ranges.clone()).await.map_err(|e| Self::unread(path, e))?;
            for (range, bytes) in ranges.iter().zip(&all) {
                Self::compare(path, expected.as_ref(), range.start, bytes)?;
            }
            Ok(all)
        }
        .boxed()
    }

    fn get_metadata<'a>(
        &'a mut self,
        options: Option<&'a ArrowReaderOptions>,
    ) -> BoxFuture<'a, Result<Arc<ParquetMetaData>>> {
        let Some(sum) = sum_of(&self.meta) else {
            let Self { plain, path, .. } = self;
            return async move {
                match plain.get_metadata(options).await {
                    Err(_) if !path.exists() => Err(external(super::gone(path))),
                    other => other,
                }
            }
            .boxed();
        };
        async move {
            let footer = footer(self.cache.as_ref(), &self.meta).map_err(|error| match self.path.exists() {
                true => external(error),
                false => external(super::gone(&self.path)),
            })?;
            let expected = read::expected(&self.path, &footer, Some(sum)).map_err(external)?;
            self.expected = expected.map(|expected| (Arc::clone(&footer), expected));
            Ok(footer)
        }
        .boxed()
    }
}
