//! The formats, read back by readers that are not ours where there are some.

use std::fs::File;
use std::sync::Arc;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{DataType, Float64Type, Int32Type, Int64Type, TimeUnit};
use insta::assert_snapshot;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use crate::program::Place;

/// Values that are hard to show.
const HARD: &str = "SELECT * FROM (VALUES
  (1, 'plain', 0.1 + CAST(0.2 AS DOUBLE), TIMESTAMP '2024-02-29 13:05:00', DATE '2024-02-29', true),
  (9007199254740993, 'quote \" comma , tab \t', CAST('NaN' AS DOUBLE), TIMESTAMP '1969-12-31 23:59:59.123456', NULL, false),
  (NULL, NULL, NULL, NULL, NULL, NULL),
  (-5, 'NULL', CAST('inf' AS DOUBLE), NULL, NULL, NULL),
  (0, E'line\\nbreak \\x1b[31m | <b> & `c`', 1e300, NULL, NULL, NULL),
  (7, '', -2.5, NULL, NULL, NULL)) t(n, text, x, at, day, yes)";

fn shown(format: &str, sql: &str) -> String {
    let shown = Place::new().run(&["--format", format, "-c", sql]);
    shown.strip_prefix("exit 0\n-- stdout\n").unwrap_or_else(|| panic!("{shown}")).to_string()
}

/// Tabs and escapes as signs that an editor keeps.
fn visible(text: &str) -> String {
    text.replace('\t', "→").replace('\x1b', "␛")
}

#[test]
fn hard_values_as_a_table() {
    assert_snapshot!(shown("table", HARD), @r#"
    ┌──────────────────┬──────────────────────────────────┬─────────┬────────────────────────────┬────────────┬───────┐
    │                n │ text                             │       x │ at                         │ day        │ yes   │
    ├──────────────────┼──────────────────────────────────┼─────────┼────────────────────────────┼────────────┼───────┤
    │                1 │ plain                            │     0.3 │ 2024-02-29 13:05:00        │ 2024-02-29 │ true  │
    │ 9007199254740993 │ quote " comma , tab \t           │     NaN │ 1969-12-31 23:59:59.123456 │ NULL       │ false │
    │             NULL │ NULL                             │    NULL │ NULL                       │ NULL       │ NULL  │
    │               -5 │ 'NULL'                           │     inf │ NULL                       │ NULL       │ NULL  │
    │                0 │ line\nbreak \x1b[31m | <b> & `c` │ 1.0e300 │ NULL                       │ NULL       │ NULL  │
    │                7 │                                  │    -2.5 │ NULL                       │ NULL       │ NULL  │
    └──────────────────┴──────────────────────────────────┴─────────┴────────────────────────────┴────────────┴───────┘
    "#);
}

#[test]
fn hard_values_as_csv() {
    assert_snapshot!(visible(&shown("csv", HARD)), @r#"
    n,text,x,at,day,yes
    1,plain,0.30000000000000004,2024-02-29T13:05:00,2024-02-29,true
    9007199254740993,"quote "" comma , tab →",NaN,1969-12-31T23:59:59.123456,,false
    ,,,,,
    -5,NULL,inf,,,
    0,"line
    break ␛[31m | <b> & `c`",1e300,,,
    7,,-2.5,,,
    "#);
}

#[test]
fn hard_values_as_tsv() {
    assert_snapshot!(visible(&shown("tsv", HARD)), @r#"
    n→text→x→at→day→yes
    1→plain→0.30000000000000004→2024-02-29T13:05:00→2024-02-29→true
    9007199254740993→"quote "" comma , tab →"→NaN→1969-12-31T23:59:59.123456→→false
    →→→→→
    -5→NULL→inf→→→
    0→"line
    break ␛[31m | <b> & `c`"→1e300→→→
    7→→-2.5→→→
    "#);
}

#[test]
fn hard_values_as_json() {
    let text = shown("json", HARD);
    assert_snapshot!(text, @r#"
    [
    {"n":1,"text":"plain","x":0.30000000000000004,"at":"2024-02-29T13:05:00","day":"2024-02-29","yes":true},
    {"n":9007199254740993,"text":"quote \" comma , tab \t","x":null,"at":"1969-12-31T23:59:59.123456","day":null,"yes":false},
    {"n":null,"text":null,"x":null,"at":null,"day":null,"yes":null},
    {"n":-5,"text":"NULL","x":null,"at":null,"day":null,"yes":null},
    {"n":0,"text":"line\nbreak \u001b[31m | <b> & `c`","x":1.0e300,"at":null,"day":null,"yes":null},
    {"n":7,"text":"","x":-2.5,"at":null,"day":null,"yes":null}
    ]
    "#);
    let rows: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(rows.as_array().unwrap().len(), 6);
    assert_eq!(rows[1]["n"], serde_json::json!(9_007_199_254_740_993_i64));
    assert_eq!(rows[1]["text"], "quote \" comma , tab \t");
    assert!(rows[1]["x"].is_null() && rows[3]["x"].is_null());
    // One object a line holds the same rows.
    let lines: Vec<serde_json::Value> =
        shown("ndjson", HARD).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(serde_json::Value::Array(lines), rows);
}

#[test]
fn hard_values_as_markdown() {
    assert_snapshot!(shown("markdown", HARD), @r#"
    | n | text | x | at | day | yes |
    | ---: | --- | ---: | --- | --- | --- |
    | 1 | plain | 0.30000000000000004 | 2024-02-29 13:05:00 | 2024-02-29 | true |
    | 9007199254740993 | quote " comma , tab \\t | NaN | 1969-12-31 23:59:59.123456 | NULL | false |
    | NULL | NULL | NULL | NULL | NULL | NULL |
    | -5 | 'NULL' | inf | NULL | NULL | NULL |
    | 0 | line\\nbreak \\x1b[31m \| &lt;b> &amp; \`c\` | 1e300 | NULL | NULL | NULL |
    | 7 |  | -2.5 | NULL | NULL | NULL |
    "#);
}

#[test]
fn expanded() {
    let sql = "SELECT 1 AS n, 'text' AS a_longer_name UNION ALL SELECT NULL, NULL ORDER BY 1";
    let shown = Place::new().run(&["-x", "-c", sql]);
    assert_snapshot!(shown, @r#"
    exit 0
    -- stdout
    ─[ 1 ]─────────────────────────────────────
    n             │ 1
    a_longer_name │ text
    ─[ 2 ]─────────────────────────────────────
    n             │ NULL
    a_longer_name │ NULL
    "#);
}

#[test]
fn nested_values() {
    let sql =
        "SELECT [1, 2, NULL] AS list, named_struct('a', 1.5, 'b', 'x|y') AS struct, CAST(NULL AS INT[]) AS nothing";
    assert_snapshot!(shown("table", sql), @r#"
    ┌──────────────┬──────────────────┬─────────┐
    │ list         │ struct           │ nothing │
    ├──────────────┼──────────────────┼─────────┤
    │ [1, 2, NULL] │ {a: 1.5, b: x|y} │ NULL    │
    └──────────────┴──────────────────┴─────────┘
    "#);
    assert_snapshot!(shown("csv", sql), @r#"
    list,struct,nothing
    "[1,2,null]","{""a"":1.5,""b"":""x|y""}",
    "#);
    assert_snapshot!(shown("json", sql), @r#"
    [
    {"list":[1,2,null],"struct":{"a":1.5,"b":"x|y"},"nothing":null}
    ]
    "#);
    assert_snapshot!(shown("markdown", sql), @r#"
    | list | struct | nothing |
    | --- | --- | --- |
    | [1, 2, NULL] | {a: 1.5, b: x\|y} | NULL |
    "#);
}

#[test]
fn results_without_rows_are_valid() {
    let sql = "SELECT value AS n, 'x' AS text FROM generate_series(1, 1) WHERE value > 1";
    assert_eq!(shown("csv", sql), "n,text\n");
    assert_eq!(shown("tsv", sql), "n\ttext\n");
    assert_eq!(serde_json::from_str::<serde_json::Value>(&shown("json", sql)).unwrap(), serde_json::json!([]));
    assert_eq!(Place::new().run(&["--format", "ndjson", "-c", sql]), "exit 0\n");
    assert_snapshot!(shown("table", sql), @r#"
    ┌───┬──────┐
    │ n │ text │
    ├───┼──────┤
    └───┴──────┘
    "#);
    assert_snapshot!(shown("markdown", sql), @r#"
    | n | text |
    | ---: | --- |
    "#);
    let batch = parquet(sql);
    assert_eq!((batch.num_rows(), batch.num_columns()), (0, 2));
    assert_eq!(arrow_file(sql).num_columns(), 2);
}

#[test]
fn names_that_occur_twice_stay_apart() {
    let sql = "SELECT * FROM (SELECT 1 AS id) a CROSS JOIN (SELECT 2 AS id) b";
    assert_eq!(shown("csv", sql), "id,id_1\n1,2\n");
    assert_eq!(shown("ndjson", sql), "{\"id\":1,\"id_1\":2}\n");
    let batch = parquet(sql);
    assert_eq!(batch.schema().field(1).name(), "id_1");
}

/// The rows of the Parquet file that `-o` writes.
fn parquet(sql: &str) -> RecordBatch {
    let place = Place::new();
    assert_eq!(place.run(&["-o", "x.parquet", "-c", sql]), "exit 0\n");
    assert_eq!(place.names(), ["x.parquet"]);
    let reader = ParquetRecordBatchReaderBuilder::try_new(File::open(place.path("x.parquet")).unwrap()).unwrap();
    let schema = Arc::clone(reader.schema());
    let batches: Vec<RecordBatch> = reader.build().unwrap().map(Result::unwrap).collect();
    arrow::compute::concat_batches(&schema, &batches).unwrap()
}

fn arrow_file(sql: &str) -> RecordBatch {
    let place = Place::new();
    assert_eq!(place.run(&["-o", "x.arrow", "-c", sql]), "exit 0\n");
    let reader = arrow::ipc::reader::FileReader::try_new(File::open(place.path("x.arrow")).unwrap(), None).unwrap();
    let schema = reader.schema();
    let batches: Vec<RecordBatch> = reader.map(Result::unwrap).collect();
    arrow::compute::concat_batches(&schema, &batches).unwrap()
}

#[test]
fn a_column_is_written_as_what_it_holds() {
    // The analyzer rules give these types; before them they are dates.
    let batch = parquet(
        "SELECT DATE '2025-01-01' - INTERVAL '90 minutes' AS moved, DATE '2025-01-01' + 2 * INTERVAL '1 hour' AS twice,
           DATE '2025-01-01' + INTERVAL '1 day' AS day",
    );
    let shown = |at: usize| arrow::util::display::array_value_to_string(batch.column(at), 0).unwrap();
    assert_eq!([shown(0), shown(1), shown(2)], ["2024-12-31T22:30:00", "2025-01-01T02:00:00", "2025-01-02"]);
}

#[test]
fn parquet_keeps_values_and_uses_types_that_others_know() {
    let sql = "SELECT value AS n, CAST(value AS DOUBLE) / 3 AS x,
                 arrow_cast(concat('t', value % 3), 'Dictionary(Int32, Utf8)') AS word,
                 arrow_cast('view', 'Utf8View') AS view,
                 arrow_cast(value, 'Timestamp(Second, None)') AS seconds,
                 arrow_cast(value, 'Timestamp(Nanosecond, Some(\"Europe/Berlin\"))') AS zoned,
                 INTERVAL '1 month 2 days' AS span, NULL AS nothing, [arrow_cast('a', 'Utf8View')] AS list
               FROM generate_series(1, 20000)";
    let batch = parquet(sql);
    assert_eq!(batch.num_rows(), 20_000);
    let kind = |name: &str| batch.schema().field_with_name(name).unwrap().data_type().clone();
    assert_eq!(kind("word"), DataType::Utf8);
    assert_eq!(kind("view"), DataType::Utf8);
    assert_eq!(kind("seconds"), DataType::Timestamp(TimeUnit::Millisecond, None));
    assert_eq!(kind("zoned"), DataType::Timestamp(TimeUnit::Nanosecond, Some("Europe/Berlin".into())));
    assert_eq!(kind("span"), DataType::Utf8);
    assert_eq!(kind("nothing"), DataType::Int32);
    assert!(matches!(kind("list"), DataType::List(f) if f.data_type() == &DataType::Utf8));
    let column = |name: &str| Arc::clone(batch.column_by_name(name).unwrap());
    let mut rows: Vec<(i64, f64, String)> = (0..batch.num_rows())
        .map(|row| {
            let n = column("n").as_primitive::<Int64Type>().value(row);
            let x = column("x").as_primitive::<Float64Type>().value(row);
            (n, x, column("word").as_string::<i32>().value(row).to_string())
        })
        .collect();
    rows.sort_by_key(|row| row.0);
    for (expected, (n, x, word)) in (1..=20_000_i64).zip(&rows) {
        assert_eq!((*n, *x, word.as_str()), (expected, expected as f64 / 3.0, format!("t{}", expected % 3).as_str()));
    }
    assert_eq!(column("nothing").as_primitive::<Int32Type>().null_count(), 20_000);
    let arrow = arrow_file(sql);
    assert_eq!(arrow.num_rows(), 20_000);
    assert_eq!(arrow.column_by_name("word").unwrap().data_type(), &DataType::Utf8);
}

/// A piped table is written whole: widths come from its beginning, and nothing later is cut.
#[test]
fn a_piped_table_shows_every_row_and_cell() {
    let sql =
        "SELECT value, repeat('x', CAST(value AS INT) / 100) AS text FROM generate_series(1, 3000) ORDER BY value";
    let text = shown("table", sql);
    assert_eq!(text.lines().count(), 3 + 3000 + 1);
    assert!(text.contains(&"x".repeat(30)) && !text.contains('…'));
}

/// `COPY` keeps a link and writes what it points to; a pipe or device is refused, not replaced.
#[cfg(unix)]
#[test]
fn copy_follows_links_and_leaves_devices_alone() {
    let place = crate::program::Place::new();
    place.write("real.csv", "old");
    std::os::unix::fs::symlink("real.csv", place.path("link.csv")).unwrap();
    place.run(&["-c", "COPY (SELECT 1 AS a) TO 'link.csv'"]);
    assert!(std::fs::symlink_metadata(place.path("link.csv")).unwrap().is_symlink());
    assert_eq!(place.read("real.csv"), "a\n1\n");
    // A socket stands for every file that is none; it needs no privileges to make.
    let socket = std::os::unix::net::UnixListener::bind(place.path("s.csv")).unwrap();
    let shown = place.run(&["-c", "COPY (SELECT 1 AS a) TO 's.csv'"]);
    assert!(shown.contains("is a device or pipe"), "{shown}");
    drop(socket);
    assert_eq!(place.names().iter().filter(|n| n.starts_with('.')).count(), 0, "{:?}", place.names());
}
