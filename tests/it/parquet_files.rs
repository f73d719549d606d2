//! Parquet files of other writers as tables: types that widen, statistics that say nothing, damage, folders that change.
//!
//! The yardstick is the same rows in memory, where no footer tells anything.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::*;
use arrow::datatypes::{
    DataType, Field, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, Schema, TimeUnit,
    TimestampMicrosecondType, TimestampMillisecondType, TimestampSecondType, UInt8Type, UInt16Type, UInt32Type,
    UInt64Type,
};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_writer::ArrowWriterOptions;
use parquet::basic::Compression;
use parquet::data_type::{ByteArray, ByteArrayType, FixedLenByteArrayType, Int96, Int96Type};
use parquet::file::metadata::{ColumnChunkMetaData, ParquetMetaData, ParquetMetaDataReader, ParquetMetaDataWriter};
use parquet::file::properties::WriterProperties;
use parquet::file::statistics::{Statistics, ValueStatistics};
use parquet::file::writer::{SerializedFileWriter, TrackedWrite};
use parquet::schema::parser::parse_message_type;
use rand::prelude::*;
use rand_chacha::ChaCha8Rng;
use tenure::error::Error;

use crate::ask::{Asked, rows};

fn write(path: &Path, batch: &RecordBatch) {
    write_with(path, batch, WriterProperties::builder().build());
}

fn write_with(path: &Path, batch: &RecordBatch, properties: WriterProperties) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    let mut writer = ArrowWriter::try_new(File::create(path).unwrap(), batch.schema(), Some(properties)).unwrap();
    writer.write(batch).unwrap();
    writer.close().unwrap();
}

fn batch(columns: Vec<(&str, ArrayRef)>) -> RecordBatch {
    RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, array)| (name, array, true))).unwrap()
}

fn ints(values: &[i64]) -> ArrayRef {
    Arc::new(Int64Array::from(values.to_vec()))
}

fn texts(values: &[&str]) -> ArrayRef {
    Arc::new(StringArray::from(values.to_vec()))
}

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

/// A folder as it is named in SQL.
fn sql(folder: &Path) -> String {
    format!("'{}/'", folder.display())
}

fn fails(asked: &Asked, sql: &str) -> Error {
    match asked.batches(sql) {
        Ok(found) => panic!("{sql}\n{:?}", rows(&found)),
        Err(error) => error,
    }
}

/// The same file with another footer.
fn refooted(path: &Path, change: impl Fn(ParquetMetaData) -> ParquetMetaData) {
    let bytes = std::fs::read(path).unwrap();
    let footer = ParquetMetaDataReader::new().parse_and_finish(&File::open(path).unwrap()).unwrap();
    let length = u32::from_le_bytes(bytes[bytes.len() - 8..bytes.len() - 4].try_into().unwrap()) as usize;
    let mut out = Vec::new();
    let mut tracked = TrackedWrite::new(&mut out);
    std::io::Write::write_all(&mut tracked, &bytes[..bytes.len() - 8 - length]).unwrap();
    ParquetMetaDataWriter::new_with_tracked(tracked, &change(footer)).finish().unwrap();
    std::fs::write(path, out).unwrap();
}

/// The footer with other statistics of its columns, their page indexes gone.
fn with_statistics(
    footer: ParquetMetaData,
    change: impl Fn(&ColumnChunkMetaData) -> Option<Statistics>,
) -> ParquetMetaData {
    let mut builder = footer.into_builder();
    let groups = builder.take_row_groups().into_iter().map(|group| {
        let mut group = group.into_builder();
        let columns = group.take_columns().into_iter().map(|column| {
            let changed = change(&column);
            let column = column.into_builder().set_column_index_offset(None).set_column_index_length(None);
            match changed {
                Some(statistics) => column.set_statistics(statistics).build().unwrap(),
                None => column.clear_statistics().build().unwrap(),
            }
        });
        let columns = columns.collect();
        group.set_column_metadata(columns).build().unwrap()
    });
    let groups = groups.collect();
    builder.set_row_groups(groups).build()
}

/// The file with another number of rows (below 64) in its footer, which the writer counts itself: field 3 of the footer's struct,
/// between the end of the schema and the list of row groups.
fn recounted(path: &Path, from: u8, to: u8) {
    let mut bytes = std::fs::read(path).unwrap();
    let wanted = [0x00, 0x16, from * 2, 0x19];
    let places: Vec<usize> = (0..bytes.len() - 4).filter(|at| bytes[*at..at + 4] == wanted).collect();
    let [place] = places[..] else { panic!("{places:?}") };
    bytes[place + 2] = to * 2;
    std::fs::write(path, bytes).unwrap();
    let footer = ParquetMetaDataReader::new().parse_and_finish(&File::open(path).unwrap()).unwrap();
    assert_eq!(footer.file_metadata().num_rows(), i64::from(to));
}

/// The file without the orders of its columns: field 7 of the footer's struct, the last one, a list of empty unions.
fn without_orders(path: &Path) {
    let bytes = std::fs::read(path).unwrap();
    let end = bytes.len() - 8;
    let length = u32::from_le_bytes(bytes[end..end + 4].try_into().unwrap());
    // Each order is a union of one empty struct: `1c 00 00`.
    let orders = bytes[..end].windows(2).rposition(|at| at[0] & 0x0f == 0x09 && at[1] & 0x0f == 0x0c).unwrap();
    let mut cut = bytes[..orders].to_vec();
    cut.push(0);
    let gone = u32::try_from(end - cut.len()).unwrap();
    cut.extend((length - gone).to_le_bytes());
    cut.extend(b"PAR1");
    std::fs::write(path, cut).unwrap();
    let footer = ParquetMetaDataReader::new().parse_and_finish(&File::open(path).unwrap()).unwrap();
    assert!(footer.file_metadata().column_orders().is_none());
}

// ---------------------------------------------------------------------------------------------------------- types that widen

/// A number as it was meant, whatever type holds it: digits and how many of them are behind the point.
type Number = (i128, u32);

/// The number types that files of one column may have.
#[derive(Debug, Clone, PartialEq)]
enum Kind {
    Whole(DataType),
    Floating(DataType),
    Decimal(u8, i8),
}

fn any_kind(random: &mut ChaCha8Rng) -> Kind {
    use DataType as T;
    let whole = [T::Int8, T::Int16, T::Int32, T::Int64, T::UInt8, T::UInt16, T::UInt32, T::UInt64];
    match random.random_range(0..6) {
        0..3 => Kind::Whole(whole.choose(random).unwrap().clone()),
        3 => Kind::Floating([T::Float32, T::Float64].choose(random).unwrap().clone()),
        _ => {
            let precision = random.random_range(1..30);
            Kind::Decimal(precision, random.random_range(0..=precision.min(8)) as i8)
        }
    }
}

/// Values of a kind, large ones now and then.
fn any_numbers(kind: &Kind, count: usize, random: &mut ChaCha8Rng) -> (ArrayRef, Vec<Option<Number>>) {
    fn array<T: arrow::datatypes::ArrowPrimitiveType>(
        meant: &[Option<Number>],
        of: impl Fn(Number) -> T::Native,
    ) -> ArrayRef {
        Arc::new(meant.iter().map(|n| n.map(&of)).collect::<PrimitiveArray<T>>())
    }
    let (low, high, scale): (i128, i128, u32) = match kind {
        Kind::Whole(DataType::Int8) => (i8::MIN.into(), i8::MAX.into(), 0),
        Kind::Whole(DataType::Int16) => (i16::MIN.into(), i16::MAX.into(), 0),
        Kind::Whole(DataType::Int32) => (i32::MIN.into(), i32::MAX.into(), 0),
        Kind::Whole(DataType::Int64) => (i64::MIN.into(), i64::MAX.into(), 0),
        Kind::Whole(DataType::UInt8) => (0, u8::MAX.into(), 0),
        Kind::Whole(DataType::UInt16) => (0, u16::MAX.into(), 0),
        Kind::Whole(DataType::UInt32) => (0, u32::MAX.into(), 0),
        Kind::Whole(_) => (0, u64::MAX.into(), 0),
        // Quarters are exact in both.
        Kind::Floating(_) => (-4_000, 4_000, 2),
        Kind::Decimal(precision, scale) => {
            let most = 10i128.pow((*precision).into()) - 1;
            (-most, most, *scale as u32)
        }
    };
    let wild = random.random_bool(0.3);
    let meant: Vec<Option<Number>> = (0..count)
        .map(|_| {
            let value = match random.random_range(0..8) {
                0 => return None,
                1 if wild => high,
                2 if wild => low,
                _ => random.random_range(low.max(-100)..=high.min(100)),
            };
            Some((if matches!(kind, Kind::Floating(_)) { value / 25 * 25 } else { value }, scale))
        })
        .collect();
    let array = match kind {
        Kind::Whole(DataType::Int8) => array::<Int8Type>(&meant, |n| n.0 as i8),
        Kind::Whole(DataType::Int16) => array::<Int16Type>(&meant, |n| n.0 as i16),
        Kind::Whole(DataType::Int32) => array::<Int32Type>(&meant, |n| n.0 as i32),
        Kind::Whole(DataType::Int64) => array::<Int64Type>(&meant, |n| n.0 as i64),
        Kind::Whole(DataType::UInt8) => array::<UInt8Type>(&meant, |n| n.0 as u8),
        Kind::Whole(DataType::UInt16) => array::<UInt16Type>(&meant, |n| n.0 as u16),
        Kind::Whole(DataType::UInt32) => array::<UInt32Type>(&meant, |n| n.0 as u32),
        Kind::Whole(_) => array::<UInt64Type>(&meant, |n| n.0 as u64),
        Kind::Floating(DataType::Float32) => array::<Float32Type>(&meant, |n| n.0 as f32 / 100.0),
        Kind::Floating(_) => array::<Float64Type>(&meant, |n| n.0 as f64 / 100.0),
        Kind::Decimal(precision, scale) => {
            let values: Decimal128Array = meant.iter().map(|n| n.map(|n| n.0)).collect();
            Arc::new(values.with_precision_and_scale(*precision, *scale).unwrap())
        }
    };
    (array, meant)
}

/// The number as a decimal text without zeros that mean nothing.
fn printed((digits, scale): Number) -> String {
    let (mut digits, mut scale) = (digits, scale);
    while scale > 0 && digits % 10 == 0 {
        (digits, scale) = (digits / 10, scale - 1);
    }
    if scale == 0 {
        return digits.to_string();
    }
    let power = 10i128.pow(scale);
    let sign = if digits < 0 { "-" } else { "" };
    format!("{sign}{}.{:0width$}", (digits / power).abs(), (digits % power).abs(), width = scale as usize)
}

/// The same of a value that was read.
fn read_number(column: &ArrayRef, row: usize) -> Option<String> {
    if column.is_null(row) {
        return None;
    }
    let text = arrow::util::display::array_value_to_string(column, row).unwrap();
    let plain = match column.data_type() {
        // The shortest text that reads back as the same number, in digits.
        DataType::Float64 => format!("{}", column.as_primitive::<Float64Type>().value(row)),
        DataType::Float32 => format!("{}", column.as_primitive::<Float32Type>().value(row)),
        _ => text,
    };
    let plain = if plain.contains('.') { plain.trim_end_matches('0').trim_end_matches('.') } else { &plain };
    Some(if plain == "-0" { "0".to_string() } else { plain.to_string() })
}

/// Whether DOUBLE gives the number back to its last digit.
fn fits_double(number: Number) -> bool {
    let as_double: f64 = printed(number).parse().unwrap();
    match number.1 {
        0 => as_double as i128 == number.0,
        scale => {
            format!("{as_double:.*}", scale as usize).parse::<f64>().unwrap() == as_double && {
                // Its digits behind the point come back when it is rounded to as many.
                let rounded = (as_double * 10f64.powi(scale as i32)).round();
                rounded as i128 == number.0
            }
        }
    }
}

#[test]
fn numbers_of_several_types_are_the_same_numbers_or_an_error() {
    let asked = Asked::new(2);
    let rounds: u64 = std::env::var("TENURE_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(60);
    let (mut read, mut refused) = (0, 0);
    for seed in 0..rounds {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let folder = folder();
        let kinds: Vec<Kind> = (0..random.random_range(2..5)).map(|_| any_kind(&mut random)).collect();
        let mut meant: Vec<(i64, Option<Number>)> = Vec::new();
        for (at, kind) in kinds.iter().enumerate() {
            let count = random.random_range(1..20);
            let (array, numbers) = any_numbers(kind, count, &mut random);
            let first = meant.len() as i64;
            let ids: Vec<i64> = (first..first + count as i64).collect();
            let mut columns = vec![("id", ints(&ids)), ("n", array)];
            // By name, not by place.
            columns.shuffle(&mut random);
            // Some files lack the column.
            let lacks = at > 0 && random.random_bool(0.2);
            columns.retain(|(name, _)| !lacks || *name == "id");
            let numbers = numbers.into_iter().map(|n| n.filter(|_| !lacks));
            meant.extend(ids.iter().copied().zip(numbers));
            write(&folder.path().join(format!("{at}.parquet")), &batch(columns));
        }
        let answer = asked.batches(&format!("SELECT id, n FROM {} ORDER BY id", sql(folder.path())));
        let case = format!("seed {seed}: {kinds:?}");
        let batches = match answer {
            Ok(batches) => batches,
            Err(error) => {
                let told = error.message().to_string();
                let double = meant.iter().filter_map(|m| m.1).any(|number| !fits_double(number));
                let digits = told.contains("files of one table must agree");
                assert!(
                    told.contains(".parquet'") && (digits || (told.contains("does not fit") && double)),
                    "{case}\n{told}"
                );
                refused += 1;
                continue;
            }
        };
        let found: Vec<(i64, Option<String>)> = batches
            .iter()
            .flat_map(|b| {
                let ids = b.column(0).as_primitive::<Int64Type>().clone();
                let numbers = Arc::clone(b.column(1));
                (0..b.num_rows()).map(move |row| (ids.value(row), read_number(&numbers, row))).collect::<Vec<_>>()
            })
            .collect();
        let wanted: Vec<(i64, Option<String>)> = meant.iter().map(|(id, n)| (*id, n.map(printed))).collect();
        assert_eq!(found, wanted, "{case}");
        read += 1;
        // Pruning goes through the conversion.
        for (_, number) in meant.iter().filter(|(_, n)| n.is_some()).take(3) {
            let (text, same) = (printed(number.unwrap()), wanted.iter().filter(|w| w.1 == number.map(printed)).count());
            // Of the column's own type: in SQL a number with a point is a DOUBLE.
            let of = batches[0].column(1).data_type();
            let equal = format!("n = arrow_cast('{text}', '{of}')");
            let counted = asked.one(&format!("SELECT count(*) FROM {} WHERE {equal}", sql(folder.path())));
            assert_eq!(counted, same.to_string(), "{case}: {equal}");
        }
        let nulls = wanted.iter().filter(|w| w.1.is_none()).count().to_string();
        assert_eq!(asked.one(&format!("SELECT count(*) FROM {} WHERE n IS NULL", sql(folder.path()))), nulls, "{case}");
        assert_eq!(asked.one(&format!("SELECT count(*) - count(n) FROM {}", sql(folder.path()))), nulls, "{case}");
    }
    assert!(read > rounds / 2 && refused > 0, "{read} read, {refused} refused");
}

#[test]
fn times_are_the_same_instants_in_the_finest_unit() {
    let asked = Asked::new(2);
    let folder = folder();
    let times: [(&str, ArrayRef); 5] = [
        ("a", Arc::new(PrimitiveArray::<TimestampSecondType>::from(vec![Some(1), None]))),
        ("b", Arc::new(PrimitiveArray::<TimestampMillisecondType>::from(vec![1_001, -1]))),
        ("c", Arc::new(PrimitiveArray::<TimestampMicrosecondType>::from(vec![1_000_001]).with_timezone("UTC"))),
        ("d", Arc::new(Date32Array::from(vec![1, -1]))),
        // 10:00 in Berlin is the instant that it is.
        ("e", Arc::new(PrimitiveArray::<TimestampSecondType>::from(vec![32_400]).with_timezone("Europe/Berlin"))),
    ];
    for (name, array) in &times {
        write(&folder.path().join(format!("{name}.parquet")), &batch(vec![("t", Arc::clone(array))]));
    }
    let answer = asked.batches(&format!("SELECT t FROM {} ORDER BY t", sql(folder.path()))).unwrap();
    assert_eq!(answer[0].column(0).data_type(), &DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())));
    let ticks: Vec<Option<i64>> =
        answer.iter().flat_map(|b| b.column(0).as_primitive::<TimestampMicrosecondType>().iter()).collect();
    let day = 86_400_000_000;
    let wanted = [-day, -1_000, 1_000_000, 1_000_001, 1_001_000, 32_400_000_000, day].map(Some);
    assert_eq!(ticks, [&wanted[..], &[None]].concat());
    // Nanoseconds beside a year that they do not reach.
    let far = 253_402_214_400_000_000;
    write(&folder.path().join("f.parquet"), &batch(vec![("t", Arc::new(TimestampMicrosecondArray::from(vec![far])))]));
    assert_eq!(asked.one(&format!("SELECT max(t)::VARCHAR FROM {}", sql(folder.path()))), "9999-12-31T00:00:00Z");
    write(&folder.path().join("g.parquet"), &batch(vec![("t", Arc::new(TimestampNanosecondArray::from(vec![1])))]));
    let told = fails(&asked, &format!("SELECT t FROM {}", sql(folder.path())));
    assert!(told.message().contains("f.parquet") && told.message().contains("9999-12-31"), "{}", told.message());
}

#[test]
fn texts_dictionaries_structs_and_lists_widen() {
    let asked = Asked::new(2);
    let folder = folder();
    let text: DictionaryArray<Int8Type> = vec![Some("view"), None, Some("pay")].into_iter().collect();
    let place = |fields: Vec<(&str, ArrayRef)>| -> ArrayRef {
        let fields = fields.into_iter().map(|(name, a)| (Arc::new(Field::new(name, a.data_type().clone(), true)), a));
        Arc::new(StructArray::from(fields.collect::<Vec<_>>()))
    };
    let one = ListArray::from_iter_primitive::<Int32Type, _, _>([Some(vec![Some(1), None]), None, Some(vec![])]);
    let other = LargeListArray::from_iter_primitive::<Int64Type, _, _>([Some(vec![Some(5_000_000_000)])]);
    let short: ArrayRef = Arc::new(Int32Array::from(vec![Some(1), None, Some(3)]));
    write(
        &folder.path().join("a.parquet"),
        &batch(vec![
            ("event", Arc::new(text)),
            ("place", place(vec![("city", texts(&["a", "b", "c"])), ("n", short)])),
            ("list", Arc::new(one)),
        ]),
    );
    write(
        &folder.path().join("b.parquet"),
        &batch(vec![
            ("list", Arc::new(other)),
            ("place", place(vec![("n", ints(&[5_000_000_000])), ("zip", texts(&["01"]))])),
            ("event", Arc::new(LargeStringArray::from(vec!["buy"]))),
        ]),
    );
    let from = sql(folder.path());
    let found = asked.rows(&format!(
        "SELECT event, place.city, place.n, place.zip, array_length(list), list[1] FROM {from} ORDER BY place.n NULLS FIRST"
    ));
    let row = |cells: [&str; 6]| cells.map(str::to_string).to_vec();
    assert_eq!(
        found,
        [
            row(["NULL", "b", "NULL", "NULL", "NULL", "NULL"]),
            row(["view", "a", "1", "NULL", "2", "1"]),
            row(["pay", "c", "3", "NULL", "0", "NULL"]),
            row(["buy", "NULL", "5000000000", "01", "1", "5000000000"]),
        ]
    );
    assert_eq!(asked.one(&format!("SELECT count(*) FROM {from} WHERE place.zip = '01' AND event = 'buy'")), "1");
    write(&folder.path().join("c.parquet"), &batch(vec![("place", place(vec![("n", texts(&["x"]))]))]));
    let told = fails(&asked, &format!("SELECT 1 FROM {from}")).message().to_string();
    let named = ["'place.n'", "Int64", "Utf8", "a.parquet", "c.parquet"];
    assert!(named.iter().all(|word| told.contains(word)), "{told}");
}

// ------------------------------------------------------------------------------------------------------ statistics and footers

/// Conditions whose answer a wrong bound would change.
const CONDITIONS: [&str; 12] = [
    "x = 5",
    "x <> 5",
    "x > 5",
    "x >= 6",
    "x < 5",
    "x IS NULL",
    "x IS NOT NULL",
    "NOT (x > 5)",
    "x BETWEEN 2 AND 6",
    "x IN (5, 7)",
    "x > 1000",
    "x < -1000",
];

/// Every question of a file, asked of the same rows in memory too.
fn same_as_in_memory(asked: &Asked, path: &Path, rows_of: &RecordBatch, case: &str) {
    asked.table("memory", vec![vec![rows_of.clone()]]);
    let file = format!("'{}'", path.display());
    let text = matches!(rows_of.column(0).data_type(), DataType::Utf8 | DataType::Binary);
    let mut questions = vec![
        "SELECT count(*) FROM {}".to_string(),
        "SELECT count(x), count(*) FROM {}".to_string(),
        "SELECT min(x), max(x) FROM {}".to_string(),
        "SELECT x FROM {} ORDER BY x".to_string(),
        "SELECT x FROM {} ORDER BY x DESC LIMIT 2".to_string(),
    ];
    for condition in CONDITIONS {
        let condition = if text { quoted(condition) } else { condition.to_string() };
        questions.push(format!("SELECT count(*) FROM {{}} WHERE {condition}"));
        questions.push(format!("SELECT count(*) FROM (SELECT x FROM {{}} WHERE {condition} LIMIT 2)"));
    }
    for question in questions {
        let (file, memory) = (question.replace("{}", &file), question.replace("{}", "memory"));
        assert_eq!(asked.rows(&file), asked.rows(&memory), "{case}: {question}");
    }
}

/// Numbers in a condition as texts.
fn quoted(condition: &str) -> String {
    let number = regex::Regex::new(r"-?\d+").unwrap();
    number.replace_all(condition, "'$0'").into_owned()
}

#[test]
fn statistics_that_say_nothing_change_no_answer() {
    let asked = Asked::new(2);
    let folder = folder();
    let path = folder.path().join("f.parquet");
    let nan = f64::NAN;
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("whole", Arc::new(Int64Array::from(vec![Some(5), None, Some(5), Some(9), Some(1), Some(5)]))),
        ("nan beside one value", Arc::new(Float64Array::from(vec![nan, 5.0, 5.0, nan]))),
        ("negative nan", Arc::new(Float64Array::from(vec![-nan, 5.0, 5.0, -nan, 7.0, 6.0]))),
        ("nan alone", Arc::new(Float32Array::from(vec![f32::NAN, f32::NAN]))),
        ("unsigned", Arc::new(UInt32Array::from(vec![Some(5), Some(u32::MAX), Some(4), None]))),
        ("text", Arc::new(StringArray::from(vec![Some("5"), Some("7"), Some("é"), None, Some("")]))),
        ("one text", Arc::new(StringArray::from(vec![Some("5"), Some("5"), None]))),
        ("decimal", Arc::new(Decimal128Array::from(vec![500, -700, 600]).with_precision_and_scale(30, 2).unwrap())),
        ("all null", Arc::new(Int64Array::from(vec![None, None]))),
    ];
    let long = "x".repeat(200);
    let cut: ArrayRef = Arc::new(StringArray::from(vec![long.as_str(), "5", "6"]));
    for (name, column) in columns.into_iter().chain([("cut", cut)]) {
        let rows = batch(vec![("x", column)]);
        let properties = || {
            let groups = WriterProperties::builder().set_max_row_group_row_count(Some(2));
            groups.set_data_page_row_count_limit(1).set_write_batch_size(1).build()
        };
        let fresh = |case: &str, change: &dyn Fn(ParquetMetaData) -> ParquetMetaData| {
            write_with(&path, &rows, properties());
            refooted(&path, change);
            same_as_in_memory(&asked, &path, &rows, &format!("{name}, {case}"));
        };
        write_with(&path, &rows, properties());
        same_as_in_memory(&asked, &path, &rows, name);
        write_with(&path, &rows, properties());
        without_orders(&path);
        same_as_in_memory(&asked, &path, &rows, &format!("{name}, no column orders"));
        write_with(&path, &rows, properties());
        recounted(&path, rows.num_rows() as u8, 0);
        same_as_in_memory(&asked, &path, &rows, &format!("{name}, 0 rows in the file"));
        fresh("no statistics", &|footer| with_statistics(footer, |_| None));
        fresh("no null counts", &|footer| {
            with_statistics(footer, |column| Some(changed(column.statistics()?, Change::NoNulls)))
        });
        fresh("deprecated", &|footer| {
            with_statistics(footer, |column| Some(changed(column.statistics()?, Change::Deprecated)))
        });
        fresh("upside down", &|footer| {
            with_statistics(footer, |column| Some(changed(column.statistics()?, Change::Swapped)))
        });
        fresh("statistics of every other row group", &|footer| {
            let seen = std::cell::Cell::new(0);
            with_statistics(footer, |column| {
                seen.set(seen.get() + 1);
                column.statistics().filter(|_| seen.get() % 2 == 0).cloned()
            })
        });
        fresh("row groups that count 0 rows", &|footer| {
            let mut builder = footer.into_builder();
            let groups = builder.take_row_groups().into_iter();
            let groups = groups.map(|group| group.into_builder().set_num_rows(0).build().unwrap()).collect();
            builder.set_row_groups(groups).build()
        });
    }
}

enum Change {
    NoNulls,
    /// As the old fields, whose bytes were compared as signed: wrong for these values.
    Deprecated,
    Swapped,
}

fn changed(found: &Statistics, change: Change) -> Statistics {
    macro_rules! of {
        ($values:expr, $variant:path) => {{
            let (mut min, mut max) = ($values.min_opt().cloned(), $values.max_opt().cloned());
            let mut nulls = $values.null_count_opt();
            let old = matches!(change, Change::Deprecated);
            match change {
                Change::NoNulls => nulls = None,
                Change::Swapped => std::mem::swap(&mut min, &mut max),
                Change::Deprecated => {}
            }
            $variant(ValueStatistics::new(min, max, None, nulls, old))
        }};
    }
    match found {
        Statistics::Boolean(v) => of!(v, Statistics::Boolean),
        Statistics::Int32(v) => of!(v, Statistics::Int32),
        Statistics::Int64(v) => of!(v, Statistics::Int64),
        Statistics::Int96(v) => of!(v, Statistics::Int96),
        Statistics::Float(v) => of!(v, Statistics::Float),
        Statistics::Double(v) => of!(v, Statistics::Double),
        Statistics::ByteArray(v) => match change {
            // "é" before "5", as signed bytes.
            Change::Deprecated => Statistics::ByteArray(ValueStatistics::new(
                v.max_opt().cloned(),
                v.min_opt().cloned(),
                None,
                v.null_count_opt(),
                true,
            )),
            _ => of!(v, Statistics::ByteArray),
        },
        Statistics::FixedLenByteArray(v) => of!(v, Statistics::FixedLenByteArray),
    }
}

#[test]
fn counts_that_contradict_one_another_are_damage() {
    let asked = Asked::new(2);
    let folder = folder();
    let path = folder.path().join("counts.parquet");
    let rows = batch(vec![("x", ints(&[1, 2, 3]))]);
    write(&path, &rows);
    recounted(&path, 3, 7);
    let told = fails(&asked, &format!("SELECT count(*) FROM '{}'", path.display())).message().to_string();
    assert!(told.contains("counts.parquet") && told.contains("counts 7 rows, its row groups hold 3"), "{told}");
    write(&path, &rows);
    refooted(&path, |footer| {
        let mut builder = footer.into_builder();
        let groups = builder.take_row_groups().into_iter();
        let groups = groups.map(|group| group.into_builder().set_num_rows(2).build().unwrap()).collect();
        builder.set_row_groups(groups).build()
    });
    let told = fails(&asked, &format!("SELECT count(*) FROM '{}'", path.display())).message().to_string();
    assert!(told.contains("row group 0: it counts 2 rows, column 'x' has 3 values"), "{told}");
}

#[test]
fn columns_of_one_name_are_told() {
    let asked = Asked::new(2);
    let folder = folder();
    let path = folder.path().join("twice.parquet");
    let fields = ["a", "b", "a"].map(|name| Field::new(name, DataType::Int64, true)).to_vec();
    let rows = RecordBatch::try_new(Arc::new(Schema::new(fields)), vec![ints(&[1]), ints(&[2]), ints(&[3])]).unwrap();
    write(&path, &rows);
    let told = fails(&asked, &format!("SELECT * FROM '{}'", path.display())).message().to_string();
    assert!(told.contains("twice.parquet': it has two columns called 'a' (numbers 1 and 3)"), "{told}");
}

// --------------------------------------------------------------------------------------------------------- types of old writers

/// A file of one column that the low-level writer makes.
fn low_level<T: parquet::data_type::DataType>(path: &Path, column: &str, values: &[T::T]) {
    let schema = Arc::new(parse_message_type(&format!("message m {{ required {column}; }}")).unwrap());
    let mut writer = SerializedFileWriter::new(File::create(path).unwrap(), schema, Default::default()).unwrap();
    let mut group = writer.next_row_group().unwrap();
    let mut column = group.next_column().unwrap().unwrap();
    column.typed::<T>().write_batch(values, None, None).unwrap();
    column.close().unwrap();
    group.close().unwrap();
    writer.close().unwrap();
}

#[test]
fn int96_reaches_as_far_as_it_was_meant() {
    let asked = Asked::new(2);
    let folder = folder();
    let path = folder.path().join("int96.parquet");
    // Julian day and nanoseconds of the day.
    let at = |day: u32, nanos: u64| {
        let mut value = Int96::new();
        value.set_data(nanos as u32, (nanos >> 32) as u32, day);
        value
    };
    let hour = 3_600_000_000_000;
    low_level::<Int96Type>(
        &path,
        "int96 t",
        &[at(5_373_484, 0), at(1_721_426, hour), at(2_440_588, 1_000), at(2_440_588, 0)],
    );
    let times = asked.rows(&format!("SELECT t::VARCHAR FROM '{}'", path.display())).concat();
    let wanted = ["9999-12-31T00:00:00", "0001-01-01T01:00:00", "1970-01-01T00:00:00.000001", "1970-01-01T00:00:00"];
    assert_eq!(times, wanted);
    let least = format!("SELECT min(t)::VARCHAR || ' ' || max(t)::VARCHAR FROM '{}'", path.display());
    assert_eq!(asked.one(&least), "0001-01-01T01:00:00 9999-12-31T00:00:00");
    assert_eq!(asked.one(&format!("SELECT count(*) FROM '{}' WHERE t > TIMESTAMP '2000-01-01'", path.display())), "1");
    // Beside the same column of a newer writer.
    let newer = Arc::new(TimestampMillisecondArray::from(vec![7]));
    write(&folder.path().join("newer.parquet"), &batch(vec![("t", newer)]));
    assert_eq!(asked.one(&format!("SELECT count(DISTINCT t) FROM {}", sql(folder.path()))), "5");
}

#[test]
fn bytes_of_which_nobody_says_what_they_are_are_text_where_they_look_so() {
    let asked = Asked::new(2);
    let folder = folder();
    let path = folder.path().join("old.parquet");
    let bytes = |values: &[&[u8]]| values.iter().map(|v| ByteArray::from(v.to_vec())).collect::<Vec<_>>();
    low_level::<ByteArrayType>(&path, "binary name", &bytes(&[b"view", "b\u{e9}".as_bytes(), b""]));
    assert_eq!(asked.one(&format!("SELECT count(*) FROM '{}' WHERE name = 'view'", path.display())), "1");
    assert_eq!(asked.one(&format!("SELECT max(name) FROM '{}'", path.display())), "view");
    // Beside text that says what it is.
    write(&folder.path().join("new.parquet"), &batch(vec![("name", texts(&["view"]))]));
    assert_eq!(asked.one(&format!("SELECT count(*) FROM {} WHERE name = 'view'", sql(folder.path()))), "2");
    std::fs::remove_file(folder.path().join("new.parquet")).unwrap();
    for other in [&[b"view".as_slice(), &[0xff, 0xfe]], &[b"\x00\x00\x00\x05".as_slice(), b"a"]] {
        low_level::<ByteArrayType>(&path, "binary name", &bytes(other));
        let kind = asked.one(&format!("SELECT DISTINCT arrow_typeof(name) FROM '{}'", path.display()));
        assert_eq!(kind, "BinaryView");
    }
    // A later value that is none.
    let mut values = vec![ByteArray::from("view"); 5_000];
    values.push(ByteArray::from(vec![0xff]));
    low_level::<ByteArrayType>(&path, "binary name", &values);
    let told = fails(&asked, &format!("SELECT max(name) FROM '{}'", path.display())).message().to_string();
    assert!(told.contains("old.parquet") && told.to_lowercase().contains("utf"), "{told}");
    let create = format!("CREATE EXTERNAL TABLE b STORED AS PARQUET LOCATION '{}'", path.display());
    asked.batches(&format!("{create} OPTIONS ('binary_as_text' 'false')")).unwrap();
    assert_eq!(asked.one("SELECT count(name) FROM b"), "5001");
}

#[test]
fn uuids_and_json_are_text() {
    let asked = Asked::new(2);
    let folder = folder();
    let path = folder.path().join("uuid.parquet");
    let id: [u8; 16] = std::array::from_fn(|at| at as u8 * 17);
    let values = [parquet::data_type::FixedLenByteArray::from(id.to_vec())];
    low_level::<FixedLenByteArrayType>(&path, "fixed_len_byte_array(16) id (UUID)", &values);
    let text = "00112233-4455-6677-8899-aabbccddeeff";
    assert_eq!(asked.one(&format!("SELECT id FROM '{}' WHERE id = '{text}'", path.display())), text);
    assert_eq!(asked.one(&format!("SELECT min(id) FROM '{}'", path.display())), text);
    low_level::<ByteArrayType>(&path, "binary j (JSON)", &[ByteArray::from("{\"a\":1}")]);
    assert_eq!(asked.one(&format!("SELECT j FROM '{}'", path.display())), "{\"a\":1}");
    // What is no UTF-8 is found out, whatever word the file has for text.
    for kind in ["JSON", "ENUM", "UTF8"] {
        low_level::<ByteArrayType>(&path, &format!("binary j ({kind})"), &[ByteArray::from("a")]);
        assert_eq!(asked.one(&format!("SELECT j FROM '{}'", path.display())), "a", "{kind}");
        low_level::<ByteArrayType>(&path, &format!("binary j ({kind})"), &[ByteArray::from(vec![b'a', 0xff])]);
        let told = fails(&asked, &format!("SELECT j FROM '{}'", path.display())).message().to_string();
        assert!(told.contains("uuid.parquet") && told.to_lowercase().contains("utf"), "{kind}: {told}");
    }
}

// ------------------------------------------------------------------------------------------------------------ folders that name

#[test]
fn key_value_folders_are_typed_columns() {
    let asked = Asked::new(2);
    let folder = folder();
    let one = batch(vec![("id", ints(&[1, 2]))]);
    for name in [
        "year=2024/month=01/day=2024-01-05/country=DE/a.parquet",
        "year=2023/month=11/day=2023-11-30/country=__HIVE_DEFAULT_PARTITION__/b.parquet",
        "year=-7/month=2/day=2023-11-30/country=New%20York%3F/c.parquet",
    ] {
        write(&folder.path().join(name), &one);
    }
    let from = sql(folder.path());
    let types = asked.rows(&format!(
        "SELECT DISTINCT arrow_typeof(year), arrow_typeof(month), arrow_typeof(day), arrow_typeof(country) FROM {from}"
    ));
    let text = "Dictionary(Int32, Utf8)";
    assert_eq!(types, [["Int64", text, "Date32", text]]);
    let found = asked.rows(&format!("SELECT DISTINCT year, month, day, country FROM {from} ORDER BY year"));
    assert_eq!(
        found,
        [
            ["-7", "2", "2023-11-30", "New York?"],
            ["2023", "11", "2023-11-30", "NULL"],
            ["2024", "01", "2024-01-05", "DE"]
        ]
    );
    assert_eq!(asked.one(&format!("SELECT count(country) || ' of ' || count(*) FROM {from}")), "4 of 6");
    for (condition, rows) in [
        ("country IS NULL", 2),
        ("country IS NOT NULL", 4),
        ("country = 'DE'", 2),
        ("country <> 'DE'", 2),
        ("year > 2023", 2),
        ("year = 2024 OR id = 1", 4),
        ("day = DATE '2023-11-30'", 4),
        ("month = '01'", 2),
        ("coalesce(country, 'none') = 'none'", 2),
        ("year > 3000", 0),
    ] {
        let sql = format!("SELECT count(*) FROM {from} WHERE {condition}");
        assert_eq!(asked.one(&sql), rows.to_string(), "{condition}");
        let sql = format!("SELECT id FROM {from} WHERE {condition}");
        assert_eq!(asked.rows(&sql).len(), rows, "{condition}");
    }
    // Files that a filter leaves out are not part of the plan.
    let plan = asked.rows(&format!("EXPLAIN SELECT id FROM {from} WHERE country = 'DE'")).concat().concat();
    assert!(plan.contains("a.parquet") && !plan.contains("b.parquet") && !plan.contains("FilterExec"), "{plan}");
    assert_eq!(asked.one(&format!("SELECT min(country) || max(year)::VARCHAR FROM {from}")), "DE2024");
    assert_eq!(asked.rows(&format!("SELECT * FROM {from} LIMIT 1"))[0].len(), 5);
}

#[test]
fn what_is_in_the_file_is_not_read_off_its_path() {
    let asked = Asked::new(2);
    let folder = folder();
    write(
        &folder.path().join("country=DE/a.parquet"),
        &batch(vec![("id", ints(&[1])), ("country", texts(&["Germany"]))]),
    );
    let from = sql(folder.path());
    assert_eq!(asked.rows(&format!("SELECT * FROM {from}")), [["1", "Germany"]]);
    assert_eq!(asked.one(&format!("SELECT count(*) FROM {from} WHERE country = 'DE'")), "0");
    write(&folder.path().join("country=FR/b.parquet"), &batch(vec![("id", ints(&[2]))]));
    let told = fails(&asked, &format!("SELECT * FROM {from}")).message().to_string();
    assert!(told.contains("column 'country' is in '") && told.contains("a.parquet'"), "{told}");
}

// ------------------------------------------------------------------------------------------------------------ damage and change

#[test]
fn a_damaged_file_is_named_wherever_it_is_damaged() {
    let asked = Asked::new(2);
    let folder = folder();
    let values: Vec<i64> = (0..2_000).map(|n| n * 7_919 % 1_000_003).collect();
    let names: Vec<String> = values.iter().map(|v| format!("name {v}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let rows = batch(vec![("x", ints(&values)), ("s", texts(&names))]);
    let properties = || WriterProperties::builder().set_compression(Compression::SNAPPY).build();
    write_with(&folder.path().join("good.parquet"), &rows, properties());
    let bad = folder.path().join("bad.parquet");
    write_with(&bad, &rows, properties());
    let whole = std::fs::read(&bad).unwrap();
    let trials: u64 = std::env::var("TENURE_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(60);
    let mut named = 0;
    for seed in 0..trials {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let mut bytes = whole.clone();
        match random.random_range(0..4) {
            0 => bytes.truncate(random.random_range(0..whole.len())),
            1 => {
                let at = random.random_range(4..whole.len() / 2);
                let some = random.random_range(1..200).min(whole.len() - at);
                bytes[at..at + some].iter_mut().for_each(|byte| *byte ^= 0x5a);
            }
            2 => {
                let at = random.random_range(whole.len().saturating_sub(600)..whole.len());
                bytes[at] ^= 1 << random.random_range(0..8);
            }
            _ => {
                let at = random.random_range(0..whole.len());
                bytes[at] = random.random();
            }
        }
        std::fs::write(&bad, &bytes).unwrap();
        let from = sql(folder.path());
        for question in ["SELECT sum(x), max(s) FROM", "SELECT count(*) FROM", "SELECT * FROM"] {
            if let Err(error) = asked.batches(&format!("{question} {from}")) {
                named += 1;
                let told = error.message();
                assert!(told.contains("bad.parquet"), "seed {seed}: {told}");
                assert!(!told.contains("Internal error"), "seed {seed}: {told}");
            }
        }
    }
    assert!(named as u64 > trials / 2, "{named} of {trials}");
}

#[test]
fn what_is_no_parquet_is_named() {
    let asked = Asked::new(2);
    let folder = folder();
    write(&folder.path().join("good.parquet"), &batch(vec![("x", ints(&[1]))]));
    let bad = folder.path().join("bad.parquet");
    for (bytes, words) in [
        (&b""[..], "the file is empty (0 bytes)"),
        (b"x", "bad.parquet"),
        (b"PAR1", "bad.parquet"),
        (b"not parquet at all, by no means", "it is no Parquet file"),
        (b"PARE............\x04\x00\x00\x00PARE", "the file is encrypted"),
    ] {
        std::fs::write(&bad, bytes).unwrap();
        let told = fails(&asked, &format!("SELECT x FROM {}", sql(folder.path()))).message().to_string();
        assert!(told.contains("bad.parquet") && told.contains(words), "{told}");
    }
}

#[test]
fn the_next_statement_sees_what_has_changed() {
    let asked = Asked::new(2);
    let folder = folder();
    let file = |name: &str| -> PathBuf { folder.path().join(name) };
    write(&file("a.parquet"), &batch(vec![("x", ints(&[1, 2]))]));
    asked.batches(&format!("CREATE EXTERNAL TABLE t STORED AS PARQUET LOCATION {}", sql(folder.path()))).unwrap();
    asked.batches("CREATE VIEW v AS SELECT x FROM t WHERE x > 0").unwrap();
    let both = |wanted: &str| {
        assert_eq!(asked.one("SELECT sum(x) FROM t"), wanted);
        assert_eq!(asked.one("SELECT sum(x) FROM v"), wanted);
        assert_eq!(asked.one(&format!("SELECT sum(x) FROM {}", sql(folder.path()))), wanted);
    };
    both("3");
    write(&file("b.parquet"), &batch(vec![("x", ints(&[10]))]));
    both("13");
    // As long as the one before.
    write(&file("b.parquet"), &batch(vec![("x", ints(&[20]))]));
    both("23");
    std::fs::remove_file(file("b.parquet")).unwrap();
    both("3");
    write(&file("c.parquet"), &batch(vec![("x", Arc::new(Int32Array::from(vec![100]))), ("y", texts(&["new"]))]));
    both("103");
    assert_eq!(asked.one("SELECT y FROM t WHERE x = 100"), "new");
    std::fs::remove_file(file("a.parquet")).unwrap();
    std::fs::remove_file(file("c.parquet")).unwrap();
    assert!(asked.batches("SELECT * FROM t").is_err());
    write(&file("d.parquet"), &batch(vec![("x", ints(&[7]))]));
    both("7");
}

#[test]
fn a_statement_reads_one_list_of_files() {
    let asked = Asked::new(2);
    let folder = folder();
    write(&folder.path().join("a.parquet"), &batch(vec![("x", ints(&[1, 2]))]));
    asked.batches(&format!("CREATE EXTERNAL TABLE t STORED AS PARQUET LOCATION {}", sql(folder.path()))).unwrap();
    let copy = format!("COPY (SELECT x + 2 AS x FROM t) TO '{}/b.parquet'", folder.path().display());
    asked.batches(&copy).unwrap();
    assert_eq!(asked.rows("SELECT count(*) AS n, (SELECT count(*) FROM t) AS same FROM t"), [["4", "4"]]);
    let told = fails(&asked, "INSERT INTO t VALUES (1)");
    assert!(told.message().contains("is read, not written") && !told.hints().is_empty(), "{}", told.message());
}

#[test]
fn names_are_names() {
    let asked = Asked::new(2);
    let folder = folder();
    for name in ["a b.parquet", "50%.parquet", "50%25.parquet", "é#?.parquet", "x~y&z=1.parquet", "{a}.parquet"] {
        let path = folder.path().join("in %41 (é)").join(name);
        write(&path, &batch(vec![("x", ints(&[1]))]));
        assert_eq!(asked.one(&format!("SELECT sum(x) FROM '{}'", path.display())), "1", "{name}");
    }
    assert_eq!(asked.one(&format!("SELECT sum(x) FROM {}", sql(&folder.path().join("in %41 (é)")))), "6");
}

#[test]
fn declared_columns_hold_or_are_an_error() {
    let asked = Asked::new(2);
    let folder = folder();
    write(&folder.path().join("a.parquet"), &batch(vec![("x", ints(&[1, 2])), ("s", texts(&["a", "b"]))]));
    let create = |columns: &str| {
        format!("CREATE OR REPLACE EXTERNAL TABLE t ({columns}) STORED AS PARQUET LOCATION {}", sql(folder.path()))
    };
    asked.batches(&create("s VARCHAR, x DOUBLE")).unwrap();
    assert_eq!(asked.rows("SELECT * FROM t ORDER BY x"), [["a", "1.0"], ["b", "2.0"]]);
    asked.batches(&create("x SMALLINT")).unwrap();
    assert_eq!(asked.one("SELECT sum(x) FROM t"), "3");
    write(&folder.path().join("a.parquet"), &batch(vec![("x", ints(&[1, 70_000])), ("s", texts(&["a", "b"]))]));
    let told = fails(&asked, "SELECT x FROM t").message().to_string();
    assert!(told.contains("a.parquet") && told.contains("column 'x': 70000 does not fit Int16"), "{told}");
    let told = fails(&asked, &create("x INT, z INT")).message().to_string();
    assert!(told.contains("column 'z' is in none of the files"), "{told}");
}

#[test]
fn files_without_arrow_s_own_schema_are_the_same_table() {
    let asked = Asked::new(2);
    let folder = folder();
    let words: DictionaryArray<Int32Type> = vec!["view", "pay"].into_iter().collect();
    let rows = batch(vec![("event", Arc::new(words)), ("x", ints(&[1, 2]))]);
    write(&folder.path().join("a.parquet"), &rows);
    let options = ArrowWriterOptions::new().with_skip_arrow_metadata(true);
    let out = File::create(folder.path().join("b.parquet")).unwrap();
    let mut writer = ArrowWriter::try_new_with_options(out, rows.schema(), options).unwrap();
    writer.write(&rows).unwrap();
    writer.close().unwrap();
    let found = asked.rows(&format!("SELECT event, sum(x) FROM {} GROUP BY event ORDER BY event", sql(folder.path())));
    assert_eq!(found, [["pay", "4"], ["view", "2"]]);
}

/// A zone says how an instant is shown: Windows' names and others that no list has change no answer, and are no reason to refuse a file.
#[test]
fn zones_that_nobody_knows_are_utc() {
    let folder = folder();
    let asked = Asked::new(2);
    for (at, zone) in ["Eastern Standard Time", "Mars/Phobos", "", "+25:99"].iter().enumerate() {
        let times = TimestampMicrosecondArray::from(vec![Some(1_735_689_599_000_000), None]).with_timezone(*zone);
        let mut lists = ListBuilder::new(TimestampMicrosecondBuilder::new().with_timezone(*zone));
        lists.append_value([Some(1_735_689_599_000_000)]);
        lists.append_null();
        let file = folder.path().join(format!("{at}.parquet"));
        write(&file, &batch(vec![("ts", Arc::new(times)), ("all_ts", Arc::new(lists.finish()))]));
        let sql = format!("SELECT CAST(ts AS DATE), extract(hour FROM all_ts[1]) FROM '{}'", file.display());
        assert_eq!(asked.rows(&sql), [["2024-12-31", "23"], ["NULL", "NULL"]], "{zone}");
        asked.rows(&format!("SELECT * FROM '{}'", file.display()));
    }
}

/// What is estimated from bounds is no reason to refuse a statement: a time that becomes a date has wider bounds than before.
#[test]
fn narrowed_columns_are_compared_whatever_their_bounds() {
    let folder = folder();
    let asked = Asked::new(2);
    let at = |text: &str| text.parse::<jiff::Timestamp>().unwrap().as_nanosecond() as i64;
    let times = [at("2024-01-02T23:59:00Z"), at("2024-02-01T12:00:00Z"), at("2024-03-22T22:15:00Z")];
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("id", ints(&[1, 2, 3])),
        ("d", Arc::new(Date32Array::from(vec![19_724, 19_755, 19_804]))),
        ("ns", Arc::new(TimestampNanosecondArray::from(times.to_vec()))),
        ("us", Arc::new(TimestampMicrosecondArray::from(times.map(|time| time / 1_000).to_vec()))),
        ("x", Arc::new(Float64Array::from(vec![1.9, 2.5, 3.1]))),
    ];
    let rows = batch(columns);
    let file = folder.path().join("a.parquet");
    write(&file, &rows);
    asked.table("memory", vec![vec![rows]]);
    for condition in [
        "d = CAST(ns AS DATE)",
        "d >= CAST(ns AS DATE)",
        "CAST(ns AS DATE) < d + 1",
        "d = CAST(us AS DATE)",
        "CAST(us AS DATE) <= d AND id > 1",
        "CAST(x AS INT) <= id",
        "id >= CAST(x AS BIGINT)",
        "CAST(ns AS TIMESTAMP(0)) <= us",
        "CAST(ns AS DATE) = CAST(us AS DATE)",
        "CAST(ns AS DATE) >= DATE '2024-01-02'",
    ] {
        let ask = |table: &str| asked.rows(&format!("SELECT id FROM {table} WHERE {condition} ORDER BY id"));
        assert_eq!(ask(&format!("'{}'", file.display())), ask("memory"), "{condition}");
        let join = |table: &str| {
            asked.rows(&format!(
                "SELECT a.id, b.id FROM {table} a JOIN {table} b ON a.d = CAST(b.ns AS DATE) ORDER BY 1"
            ))
        };
        assert_eq!(join(&format!("'{}'", file.display())), join("memory"));
    }
    // It is a key of a join still.
    let plan = asked
        .rows(&format!("EXPLAIN SELECT a.id FROM '{0}' a JOIN '{0}' b ON a.d = CAST(b.ns AS DATE)", file.display()));
    assert!(plan.concat().concat().contains("HashJoinExec"), "{plan:?}");
}
