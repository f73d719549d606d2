use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, Int64Array, ListArray, RecordBatch, StringArray, StructArray};
use arrow::datatypes::{DataType, Field, Int64Type};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::file::properties::WriterProperties;

use super::read::CheckedFile;
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

fn write(path: &Path) -> FooterSum {
    let properties = WriterProperties::builder()
        .set_data_page_row_count_limit(50)
        .set_write_batch_size(10)
        .set_column_dictionary_enabled("key".into(), false)
        .set_column_bloom_filter_enabled("key".into(), true)
        // The dictionary is given up midway.
        .set_column_dictionary_page_size_limit("n".into(), 400)
        .build();
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
