//! Files that somebody made to do harm, drawn from a seed: an answer or one line that names the file, nothing else.
//!
//! Deals with: Parquet of several encodings and compressions, of which bytes were changed; text of odd shapes; queries and loads. Never a
//! report of a panic, not even for those who want to see where it came from; never a path of the machine that built the program.
//! Small by default; `TENURE_HOSTILE` sets the number of files of each kind.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, Float64Array, Int64Array, ListArray, RecordBatch, StringArray, TimestampMicrosecondArray,
};
use arrow::datatypes::Int64Type;
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::file::properties::{WriterProperties, WriterVersion};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::program::Place;

fn files() -> usize {
    std::env::var("TENURE_HOSTILE").map_or(6, |n| n.parse().unwrap())
}

/// Events with every kind of column, without checksums.
fn parquet(path: &Path, properties: WriterProperties) {
    let rows = 0..400_i64;
    let batch = RecordBatch::try_from_iter([
        ("user_id", Arc::new(Int64Array::from_iter_values(rows.clone().map(|n| n % 37))) as ArrayRef),
        (
            "ts",
            Arc::new(TimestampMicrosecondArray::from_iter_values(
                rows.clone().map(|n| 1_704_067_200_000_000 + n * 7_000_000),
            )),
        ),
        (
            "event",
            Arc::new(StringArray::from_iter_values(rows.clone().map(|n| ["view", "cart", "buy"][n as usize % 3]))),
        ),
        ("text", Arc::new(StringArray::from_iter(rows.clone().map(|n| (n % 5 > 0).then(|| format!("text {n}")))))),
        ("price", Arc::new(Float64Array::from_iter(rows.clone().map(|n| (n % 3 > 0).then_some(n as f64 / 7.0))))),
        ("yes", Arc::new(BooleanArray::from_iter(rows.clone().map(|n| Some(n % 2 == 0))))),
        (
            "list",
            Arc::new(ListArray::from_iter_primitive::<Int64Type, _, _>(
                rows.map(|n| (n % 4 > 0).then(|| (0..n % 4).map(Some).collect::<Vec<_>>())),
            )),
        ),
    ])
    .unwrap();
    let mut writer = ArrowWriter::try_new(File::create(path).unwrap(), batch.schema(), Some(properties)).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
}

fn ways() -> Vec<WriterProperties> {
    let builder = || WriterProperties::builder().set_data_page_row_count_limit(100).set_write_batch_size(50);
    let plain = builder().set_compression(Compression::UNCOMPRESSED);
    vec![
        plain.clone().build(),
        plain.clone().set_dictionary_enabled(false).set_bloom_filter_enabled(true).build(),
        plain
            .set_writer_version(WriterVersion::PARQUET_2_0)
            .set_dictionary_enabled(false)
            .set_column_encoding("ts".into(), Encoding::DELTA_BINARY_PACKED)
            .set_column_encoding("text".into(), Encoding::DELTA_BYTE_ARRAY)
            .set_column_encoding("event".into(), Encoding::DELTA_LENGTH_BYTE_ARRAY)
            .set_column_encoding("price".into(), Encoding::BYTE_STREAM_SPLIT)
            .build(),
        builder().set_compression(Compression::SNAPPY).build(),
        builder().set_compression(Compression::ZSTD(ZstdLevel::default())).build(),
        builder().set_compression(Compression::LZ4_RAW).build(),
        builder().set_compression(Compression::GZIP(Default::default())).build(),
    ]
}

/// Some bytes of a file as others would have them.
fn changed(whole: &[u8], random: &mut ChaCha8Rng) -> Vec<u8> {
    let mut bytes = whole.to_vec();
    let end = bytes.len();
    let length = u32::from_le_bytes(bytes[end - 8..end - 4].try_into().unwrap()) as usize;
    let footer = end - 8 - length;
    match random.random_range(0..7) {
        // In the pages, and their headers.
        0..3 => {
            for _ in 0..random.random_range(1..6) {
                bytes[random.random_range(4..footer)] = random.random();
            }
        }
        3 => {
            let from = random.random_range(4..footer - 8);
            let fill = [0, 0xff, 0x7f, 0x80][random.random_range(0..4)];
            bytes[from..(from + random.random_range(1..64)).min(footer)].fill(fill);
        }
        4 => {
            for _ in 0..random.random_range(1..4) {
                bytes[random.random_range(footer..end - 8)] = random.random();
            }
        }
        5 => bytes[end - 8..end - 4].copy_from_slice(&random.random::<u32>().to_le_bytes()),
        _ => bytes.truncate(random.random_range(0..end)),
    }
    bytes
}

/// Runs the program over a hostile file.
fn ask(place: &Place, name: &str, args: &[&str]) {
    let output = place.tenure().env("RUST_BACKTRACE", "1").args(args).output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    let shown = format!("{name} {args:?}: {:?} {told}", output.status);
    assert!(matches!(output.status.code(), Some(0 | 1)), "{shown}");
    let told = told.to_lowercase();
    for word in ["panicked", "internal", "/src/", "registry", "backtrace", "please report"] {
        assert!(!told.contains(word), "{shown}");
    }
    // What a load's columns lack is told of all its sources.
    let named = told.contains(&name.to_lowercase()) || told.contains("column found");
    assert!(output.status.success() || named, "{shown}");
}

#[test]
fn parquet_with_other_bytes_is_an_answer_or_one_line() {
    let place = Place::new();
    let mut random = ChaCha8Rng::seed_from_u64(21);
    for (way, properties) in ways().into_iter().enumerate() {
        parquet(&place.path("whole.parquet"), properties);
        let whole = std::fs::read(place.path("whole.parquet")).unwrap();
        for number in 0..files() {
            let name = format!("h{way}-{number}.parquet");
            std::fs::write(place.path(&name), changed(&whole, &mut random)).unwrap();
            let all = format!("SELECT * FROM '{name}'");
            let some =
                format!("SELECT event, count(*), sum(price), max(text) FROM '{name}' WHERE user_id > 3 GROUP BY event");
            ask(&place, &name, &["-q", "--format", "csv", "-c", &all]);
            ask(&place, &name, &["-q", "--memory", "256MB", "--format", "csv", "-c", &some]);
            let into = format!("into{way}-{number}");
            ask(&place, &name, &["ingest", &name, "--into", &into, "--table", "t", "--memory", "256MB", "-q"]);
        }
    }
}

#[test]
fn text_of_odd_shapes_is_an_answer_or_one_line() {
    let place = Place::new();
    let mut random = ChaCha8Rng::seed_from_u64(22);
    let csv = "user_id,ts,event,price\n1,2024-01-01T00:00:00Z,view,1.5\n2,2024-01-01T00:00:01Z,\"a, \"\"b\"\"\",\n";
    let json =
        "{\"user_id\":1,\"ts\":\"2024-01-01T00:00:00Z\",\"event\":\"view\",\"more\":{\"a\":[1,2,{\"b\":null}]}}\n";
    for number in 0..files() * 4 {
        let (ending, sample) = if number % 2 == 0 { ("csv", csv) } else { ("ndjson", json) };
        let mut bytes = sample.repeat(random.random_range(1..50)).into_bytes();
        for _ in 0..random.random_range(1..8) {
            let at = random.random_range(0..bytes.len());
            match random.random_range(0..4) {
                0 => bytes[at] = random.random(),
                1 => bytes.insert(at, b"\"{}[],:\n\r\0\\\xff\xfe"[random.random_range(0..13)]),
                2 => _ = bytes.remove(at),
                _ => {
                    let piece: Vec<u8> = vec![b"\"[{,\0"[random.random_range(0..5)]; random.random_range(1..3_000)];
                    bytes.splice(at..at, piece);
                }
            }
        }
        let name = format!("h{number}.{ending}");
        std::fs::write(place.path(&name), &bytes).unwrap();
        let all = format!("SELECT * FROM '{name}'");
        ask(&place, &name, &["-q", "--format", "csv", "-c", &all]);
        ask(&place, &name, &["ingest", &name, "--into", &format!("into{number}"), "--table", "t", "-q"]);
    }
}
