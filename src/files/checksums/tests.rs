use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, Int64Array, ListArray, RecordBatch, StringArray, StructArray};
use arrow::datatypes::{DataType, Field, Int64Type};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::basic::Compression;
use parquet::file::metadata::{KeyValue, PageIndexPolicy, ParquetMetaData, ParquetMetaDataReader, SortingColumn};
use parquet::file::properties::{EnabledStatistics, WriterProperties, WriterPropertiesBuilder, WriterVersion};

use super::read::CheckedFile;
use super::seal::Seal;
use super::whole::damage;
use super::write::{Writer, footer_sum};
use super::*;

/// Numbers, text with and without a dictionary, nested columns, NULLs.
fn batch(from: i64, rows: i64) -> RecordBatch {
    let numbers = || from..from + rows;
    let words = StringArray::from_iter(numbers().map(|n| (n % 7 != 0).then(|| format!("word {}", n % 5))));
    let keys = StringArray::from_iter_values(numbers().map(|n| format!("key {n}")));
    let lists = ListArray::from_iter_primitive::<Int64Type, _, _>(
        numbers().map(|n| (n % 3 != 0).then(|| (0..n % 4).map(Some).collect::<Vec<_>>())),
    );
    let part: ArrayRef = Arc::new(Float64Array::from_iter(numbers().map(|n| n as f64 / 3.0)));
    let structs = StructArray::from(vec![(Arc::new(Field::new("x", DataType::Float64, true)), part)]);
    RecordBatch::try_from_iter([
        ("n", Arc::new(Int64Array::from_iter_values(numbers())) as ArrayRef),
        ("word", Arc::new(words)),
        ("key", Arc::new(keys)),
        ("list", Arc::new(lists)),
        ("struct", Arc::new(structs)),
    ])
    .unwrap()
}

fn properties() -> WriterPropertiesBuilder {
    WriterProperties::builder()
        .set_data_page_row_count_limit(50)
        .set_write_batch_size(10)
        .set_column_dictionary_enabled("key".into(), false)
        .set_column_bloom_filter_enabled("key".into(), true)
        // The dictionary is given up midway.
        .set_column_dictionary_page_size_limit("n".into(), 400)
}

fn write(path: &Path) -> FooterSum {
    let properties = properties().build();
    let mut writer = Writer::new(File::create(path).unwrap(), batch(0, 1).schema(), properties).unwrap();
    for group in 0..3 {
        writer.write(&batch(group * 200, 120)).unwrap();
        writer.write(&batch(group * 200 + 120, 80)).unwrap();
        assert!(writer.in_progress_rows() == 200 && writer.in_progress_size() > 0 && writer.memory_size() > 0);
        writer.flush().unwrap();
    }
    let metadata = writer.finish().unwrap();
    assert_eq!((metadata.num_row_groups(), metadata.file_metadata().num_rows()), (3, 600));
    drop(writer);
    footer_sum(&metadata, &File::open(path).unwrap()).unwrap()
}

/// All rows as text, or why they cannot be read.
fn rows(path: &Path, sum: Option<FooterSum>) -> Result<String, String> {
    let file = CheckedFile::open(path, sum).map_err(|e| e.to_string())?;
    let reader = ParquetRecordBatchReaderBuilder::try_new(file).map_err(|e| e.to_string())?.build();
    let mut text = String::new();
    for batch in reader.map_err(|e| e.to_string())? {
        let batch = batch.map_err(|e| e.to_string())?;
        text += &arrow::util::pretty::pretty_format_batches(&[batch]).unwrap().to_string();
    }
    Ok(text)
}

#[test]
fn what_was_written_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.parquet");
    let sum = write(&path);
    let read = rows(&path, Some(sum)).unwrap();
    assert!(read.contains("key 599") && read.contains("word 3"));
    // Any reader of Parquet takes it.
    assert_eq!(rows(&path, None).unwrap(), read);
    assert_eq!(damage(&path, Some(sum)), []);
    assert_eq!(damage(&path, None), []);
    assert_eq!(sum.to_string().parse(), Ok(sum));
    assert!(["", "5", "5:1", "x:00000000", "5:0000000g"].iter().all(|text| text.parse::<FooterSum>().is_err()));
}

/// Each bit of a file is flipped in turn: the reader sees it, and so does whoever reads the whole file.
#[test]
fn no_bit_changes_unseen() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.parquet");
    let sum = write(&path);
    let whole = std::fs::read(&path).unwrap();
    let as_written = rows(&path, Some(sum)).unwrap();
    let flipped = folder.path().join("b.parquet");
    let (step, mut bit) = (std::env::var("TENURE_FLIP_STEP").map_or(61, |step| step.parse().unwrap()), 0);
    let mut unseen_by_readers = Vec::new();
    while bit < whole.len() * 8 {
        let mut bytes = whole.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        std::fs::write(&flipped, &bytes).unwrap();
        if let Ok(read) = rows(&flipped, Some(sum)) {
            assert_eq!(read, as_written, "bit {bit} changes the rows");
            unseen_by_readers.push(bit / 8);
        }
        let found = damage(&flipped, Some(sum));
        assert!(!found.is_empty(), "bit {bit} of {}", whole.len() * 8);
        bit += step;
    }
    // The magic number at the beginning and the bloom filters, which this reader does not ask for.
    let filters: usize = {
        let file = CheckedFile::open(&path, Some(sum)).unwrap();
        let filters = file.expected().unwrap().filters();
        assert!(unseen_by_readers.iter().all(|byte| {
            *byte < 4 || filters.iter().any(|f| (f.start as usize..f.start as usize + f.length).contains(byte))
        }));
        filters.len()
    };
    assert_eq!(filters, 3);
}

#[test]
fn damage_is_told_with_its_place() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.parquet");
    let sum = write(&path);
    let whole = std::fs::read(&path).unwrap();
    let file = CheckedFile::open(&path, Some(sum)).unwrap();
    let page = file.expected().unwrap().pages().iter().find(|page| page.column == 1).copied().unwrap();
    for at in [page.start as usize + 2, page.start as usize + page.length - 1] {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x10;
        std::fs::write(&path, &bytes).unwrap();
        let found = damage(&path, Some(sum));
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].column.as_deref(), Some("word"));
        let error = whole::unreadable(&path, Some(sum), Error::data("Page CRC checksum mismatch"));
        assert!(error.message().contains("a.parquet' is damaged: column 'word'"), "{error}");
    }
    std::fs::write(&path, &whole[..whole.len() - 100]).unwrap();
    assert!(rows(&path, Some(sum)).unwrap_err().contains("a.parquet' is damaged"));
    std::fs::write(&path, &whole[..10]).unwrap();
    assert!(rows(&path, Some(sum)).unwrap_err().contains("shorter than when it was written"));
}

/// The footer with its indexes.
fn footer(path: &Path) -> ParquetMetaData {
    let reader = ParquetMetaDataReader::new().with_page_index_policy(PageIndexPolicy::Optional);
    reader.parse_and_finish(&File::open(path).unwrap()).unwrap()
}

/// Where the bodies of pages are: what stands before them are their headers, which have a checksum each.
fn bodies(path: &Path) -> Vec<std::ops::Range<usize>> {
    let (whole, footer) = (std::fs::read(path).unwrap(), footer(path));
    let mut bodies = Vec::new();
    for (group, index) in footer.row_groups().iter().zip(footer.offset_index().unwrap()) {
        for (chunk, index) in group.columns().iter().zip(index) {
            let (start, first) = (chunk.byte_range().0 as usize, chunk.data_page_offset() as usize);
            let dictionary = (first > start).then_some(start..first);
            let data = index.page_locations().iter().map(|page| {
                let from = page.offset as usize;
                from..from + page.compressed_page_size as usize
            });
            let all: Vec<_> = dictionary.into_iter().chain(data).collect();
            assert_eq!((all[0].start, all.last().unwrap().end), (start, start + chunk.compressed_size() as usize));
            assert!(all.windows(2).all(|pages| pages[0].end == pages[1].start));
            for page in all {
                let begin = header::begin(&whole[page.clone()]).unwrap();
                let body = page.end - begin.compressed as usize..page.end;
                assert_eq!(begin.crc, Some(crc32fast::hash(&whole[body.clone()])));
                bodies.push(body);
            }
        }
    }
    bodies
}

/// A finished file gets the checksums that its pages lack, and stays what it was in all else.
#[test]
fn a_finished_file_is_sealed() {
    let folder = tempfile::tempdir().unwrap();
    let (plain, sealed) = (folder.path().join("plain.parquet"), folder.path().join("sealed.parquet"));
    let no_indexes = properties().set_statistics_enabled(EnabledStatistics::None).set_compression(Compression::SNAPPY);
    let second = properties().set_writer_version(WriterVersion::PARQUET_2_0).set_compression(Compression::UNCOMPRESSED);
    let some = properties().set_column_statistics_enabled("key".into(), EnabledStatistics::None);
    for (properties, rows_of_all) in
        [(properties(), 500), (no_indexes, 500), (second, 500), (some, 500), (properties(), 0)]
    {
        let properties = properties
            .set_max_row_group_row_count(Some(200))
            .set_key_value_metadata(Some(vec![KeyValue::new("whose".to_string(), "ours".to_string())]))
            .set_sorting_columns(Some(vec![SortingColumn { column_idx: 0, descending: false, nulls_first: false }]))
            .build();
        let mut writer =
            ArrowWriter::try_new(File::create(&plain).unwrap(), batch(0, 1).schema(), Some(properties)).unwrap();
        writer.write(&batch(0, rows_of_all)).unwrap();
        writer.close().unwrap();
        let Some(mut seal) = Seal::new(File::open(&plain).unwrap(), File::create(&sealed).unwrap()).unwrap() else {
            assert_eq!(rows_of_all, 0);
            continue;
        };
        while seal.step().unwrap() {}
        seal.finish().unwrap();
        assert_eq!(rows(&sealed, None).unwrap(), rows(&plain, None).unwrap());
        let (before, after) = (footer(&plain), footer(&sealed));
        assert_eq!(after.file_metadata(), before.file_metadata());
        assert_eq!(after.column_index(), before.column_index());
        assert_eq!(after.num_row_groups(), before.num_row_groups());
        for (after, before) in after.row_groups().iter().zip(before.row_groups()) {
            assert_eq!(after.sorting_columns(), before.sorting_columns());
            for (after, before) in after.columns().iter().zip(before.columns()) {
                assert_eq!(after.statistics(), before.statistics());
                assert_eq!(after.page_encoding_stats_mask(), before.page_encoding_stats_mask());
                let grown = after.compressed_size() - before.compressed_size();
                assert!(grown > 0 && grown == after.uncompressed_size() - before.uncompressed_size());
                let filter = |of: &Path, at: Option<i64>, length: Option<i32>| {
                    let (at, length) = (at? as usize, length? as usize);
                    Some(std::fs::read(of).unwrap()[at..at + length].to_vec())
                };
                let sealed = filter(&sealed, after.bloom_filter_offset(), after.bloom_filter_length());
                assert_eq!(sealed, filter(&plain, before.bloom_filter_offset(), before.bloom_filter_length()));
            }
        }
        // What has checksums is copied as it is.
        bodies(&sealed);
        let mut again = Seal::new(File::open(&sealed).unwrap(), File::create(&plain).unwrap()).unwrap().unwrap();
        while again.step().unwrap() {}
        again.finish().unwrap();
        assert!(std::fs::read(&plain).unwrap() == std::fs::read(&sealed).unwrap());
    }
}

/// Every reader that looks at pages' checksums finds what has changed in them.
#[test]
fn a_plain_file_has_checksums_in_its_pages() {
    let folder = tempfile::tempdir().unwrap();
    let (path, flipped) = (folder.path().join("a.parquet"), folder.path().join("b.parquet"));
    let mut writer = Writer::plain(File::create(&path).unwrap(), batch(0, 1).schema(), properties().build()).unwrap();
    writer.write(&batch(0, 300)).unwrap();
    writer.finish().unwrap();
    let entries = footer(&path).file_metadata().key_value_metadata().cloned().unwrap_or_default();
    assert!(entries.iter().all(|entry| entry.key != HEADERS_KEY));
    let whole = std::fs::read(&path).unwrap();
    for body in bodies(&path).into_iter().filter(|body| !body.is_empty()) {
        for at in [body.start, (body.start + body.end) / 2, body.end - 1] {
            let mut bytes = whole.clone();
            bytes[at] ^= 0x20;
            std::fs::write(&flipped, &bytes).unwrap();
            let told = rows(&flipped, None).unwrap_err();
            assert!(told.contains("CRC"), "{told}");
        }
    }
}
