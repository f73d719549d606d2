//! Delta tables of other writers: partitions, names, mapped columns, deleted rows, features that are named and not used.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, ListArray, RecordBatch, StringArray, StructArray};
use arrow::datatypes::{DataType, Field, Int64Type};
use parquet::arrow::ArrowWriter;
use parquet::file::properties::WriterProperties;
use roaring::RoaringTreemap;
use serde_json::{Value, json};
use tenure::engine::Settings;
use tenure::store::managed::log::{At, TableLog};

use crate::ask::{Asked, settings};

fn open(folder: &Path) -> Asked {
    let tables = vec![("t".to_string(), folder.display().to_string())];
    Asked::open(&Settings { tables, ..settings(2) })
}

fn batch(columns: Vec<(&str, ArrayRef)>) -> RecordBatch {
    RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, array)| (name, array, true))).unwrap()
}

fn ints(values: impl IntoIterator<Item = i64>) -> ArrayRef {
    Arc::new(Int64Array::from_iter_values(values))
}

/// Writes a data file in row groups of ten and tells its size.
fn write(path: &Path, rows: &RecordBatch) -> u64 {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    let properties = WriterProperties::builder().set_max_row_group_row_count(Some(10)).build();
    let mut writer = ArrowWriter::try_new(File::create(path).unwrap(), rows.schema(), Some(properties)).unwrap();
    writer.write(rows).unwrap();
    writer.close().unwrap();
    std::fs::metadata(path).unwrap().len()
}

fn field(name: &str, kind: Value) -> Value {
    json!({"name": name, "type": kind, "nullable": true, "metadata": {}})
}

/// A field whose name in files is another.
fn mapped(id: i64, name: &str, kind: Value) -> Value {
    let mut field = field(name, kind);
    field["metadata"] =
        json!({"delta.columnMapping.id": id, "delta.columnMapping.physicalName": format!("col-{name}")});
    field
}

/// The first entry of a log: its protocol, columns, and what follows.
fn log(folder: &Path, features: &[&str], fields: Vec<Value>, partitions: &[&str], settings: Value, adds: Vec<Value>) {
    let protocol = match features.is_empty() {
        true => json!({"protocol": {"minReaderVersion": 1, "minWriterVersion": 2}}),
        false => {
            json!({"protocol": {"minReaderVersion": 3, "minWriterVersion": 7, "readerFeatures": features, "writerFeatures": features}})
        }
    };
    let schema = json!({"type": "struct", "fields": fields}).to_string();
    let metadata = json!({"metaData": {"id": "11111111-2222-3333-4444-555555555555", "format": {"provider": "parquet", "options": {}},
        "schemaString": schema, "partitionColumns": partitions, "configuration": settings, "createdTime": 1}});
    let actions: Vec<String> = [protocol, metadata].into_iter().chain(adds).map(|action| action.to_string()).collect();
    std::fs::create_dir_all(folder.join("_delta_log")).unwrap();
    std::fs::write(folder.join("_delta_log/00000000000000000000.json"), actions.join("\n")).unwrap();
}

fn add(path: &str, size: u64, partition: &BTreeMap<&str, Option<&str>>, statistics: &Value) -> Value {
    json!({"add": {"path": path, "partitionValues": partition, "size": size, "modificationTime": 1, "dataChange": true,
        "stats": statistics.to_string()}})
}

#[test]
fn partitions_of_any_value_and_name() {
    let folder = tempfile::tempdir().unwrap();
    let table = folder.path().join("my table 50% é/[1]");
    let values = [("a", Some("DE")), ("b", None), ("c", Some("New York")), ("d", Some("50%25")), ("e", Some(""))];
    let mut adds = Vec::new();
    for (at, (name, value)) in values.iter().enumerate() {
        let file = format!("country=x %20 {name}/{name} é.parquet");
        let size = write(&table.join(&file), &batch(vec![("id", ints([at as i64]))]));
        let url = file.replace('%', "%25").replace(' ', "%20").replace('é', "%C3%A9");
        adds.push(add(&url, size, &BTreeMap::from([("country", *value)]), &json!({"numRecords": 1})));
    }
    let fields = vec![field("id", json!("long")), field("country", json!("string"))];
    log(&table, &[], fields, &["country"], json!({}), adds);
    let asked = open(&table);
    assert_eq!(
        asked.rows("SELECT id, country FROM t ORDER BY id"),
        [["0", "DE"], ["1", "NULL"], ["2", "New York"], ["3", "50%25"], ["4", "NULL"]]
    );
    assert_eq!(asked.rows("SELECT count(*), count(country), max(country) FROM t"), [["5", "3", "New York"]]);
    assert_eq!(asked.one("SELECT count(*) FROM t WHERE country IS NULL"), "2");
    assert_eq!(asked.one("SELECT count(*) FROM t WHERE country IS NOT NULL"), "3");
    assert_eq!(asked.one("SELECT id FROM t WHERE country = '50%25'"), "3");
    assert_eq!(asked.one("SELECT count(*) FROM t WHERE country <> 'DE'"), "2");
    // What the library would look for elsewhere is refused.
    let odd = folder.path().join("my%20table");
    std::fs::rename(&table, &odd).unwrap();
    let told = asked.batches(&format!("SELECT * FROM '{}'", odd.display())).unwrap_err();
    assert!(told.message().contains("my%20table") && !told.hints().is_empty(), "{}", told.message());
}

#[test]
fn mapped_columns_are_read_by_their_names_in_files() {
    let folder = tempfile::tempdir().unwrap();
    let inner = Arc::new(Field::new("col-city", DataType::Utf8, true));
    let city: ArrayRef = Arc::new(StringArray::from(vec!["Köln", "Bonn"]));
    let place: ArrayRef = Arc::new(StructArray::from(vec![(inner, city)]));
    let list = ListArray::from_iter_primitive::<Int64Type, _, _>([Some(vec![Some(7)]), None]);
    // Renamed since: the file has a column called as another of the table is.
    let rows = batch(vec![
        ("col-id", ints([1, 2])),
        ("col-event", Arc::new(StringArray::from(vec!["view", "pay"]))),
        ("col-place", place),
        ("col-list", Arc::new(list)),
        ("event", ints([100, 200])),
    ]);
    let size = write(&folder.path().join("p.parquet"), &rows);
    let statistics =
        json!({"numRecords": 2, "minValues": {"col-id": 1}, "maxValues": {"col-id": 2}, "nullCount": {"col-id": 0}});
    let struct_of = json!({"type": "struct", "fields": [mapped(10, "city", json!("string"))]});
    let list_of = json!({"type": "array", "elementType": "long", "containsNull": true});
    let fields = vec![
        mapped(1, "id", json!("long")),
        mapped(2, "event", json!("string")),
        mapped(3, "place", struct_of),
        mapped(4, "list", list_of),
        mapped(5, "country", json!("string")),
        mapped(6, "new", json!("string")),
    ];
    let partition = BTreeMap::from([("col-country", Some("DE"))]);
    let settings = json!({"delta.columnMapping.mode": "name", "delta.columnMapping.maxColumnId": "10"});
    log(
        folder.path(),
        &["columnMapping"],
        fields,
        &["country"],
        settings,
        vec![add("p.parquet", size, &partition, &statistics)],
    );
    let asked = open(folder.path());
    assert_eq!(
        asked.rows("SELECT id, event, place.city, list[1], new, country FROM t ORDER BY id"),
        [["1", "view", "Köln", "7", "NULL", "DE"], ["2", "pay", "Bonn", "NULL", "NULL", "DE"]]
    );
    assert_eq!(asked.rows("SELECT min(id), max(id), count(new) FROM t"), [["1", "2", "0"]]);
    for (condition, rows) in [
        ("id = 2", "1"),
        ("id > 2", "0"),
        ("event = 'pay'", "1"),
        ("place.city = 'Bonn'", "1"),
        ("country = 'DE'", "2"),
        ("new IS NULL", "2"),
    ] {
        assert_eq!(asked.one(&format!("SELECT count(*) FROM t WHERE {condition}")), rows, "{condition}");
    }
}

/// ZeroMQ's base 85.
fn z85(bytes: &[u8]) -> String {
    const DIGITS: &[u8] = b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-:+=^!/*?&<>()[]{}@%$#";
    let four = |four: &[u8]| {
        let number = u32::from_be_bytes(four.try_into().unwrap());
        (0..5).rev().map(|place| DIGITS[(number / 85u32.pow(place) % 85) as usize] as char).collect::<String>()
    };
    bytes.chunks(4).map(four).collect()
}

#[test]
fn deleted_rows_are_gone_from_every_answer() {
    // Row groups of ten: some rows of one, all of another, the last one of all.
    for deleted in [vec![0], vec![3, 4, 29], (10..20).chain([25]).collect(), (0..30).collect::<Vec<u64>>()] {
        let folder = tempfile::tempdir().unwrap();
        let size = write(&folder.path().join("p.parquet"), &batch(vec![("x", ints(0..30))]));
        let mut bytes = 1_681_511_377u32.to_le_bytes().to_vec();
        deleted.iter().copied().collect::<RoaringTreemap>().serialize_into(&mut bytes).unwrap();
        let length = bytes.len();
        bytes.resize(length.next_multiple_of(4), 0);
        let statistics =
            json!({"numRecords": 30, "minValues": {"x": 0}, "maxValues": {"x": 29}, "nullCount": {"x": 0}});
        let mut file = add("p.parquet", size, &BTreeMap::new(), &statistics);
        file["add"]["deletionVector"] = json!({"storageType": "i", "pathOrInlineDv": z85(&bytes), "sizeInBytes": length, "cardinality": deleted.len()});
        let enabled = json!({"delta.enableDeletionVectors": "true"});
        log(folder.path(), &["deletionVectors"], vec![field("x", json!("long"))], &[], enabled, vec![file]);
        let left: Vec<i64> = (0..30).filter(|row| !deleted.contains(&(*row as u64))).collect();
        for threads in [1, 3] {
            let tables = vec![("t".to_string(), folder.path().display().to_string())];
            let options = vec![("datafusion.optimizer.repartition_file_min_size".to_string(), "1".to_string())];
            let asked = Asked::open(&Settings { tables, options, ..settings(threads) });
            let text = |value: Option<&i64>| value.map_or("NULL".to_string(), i64::to_string);
            let ids: Vec<String> = left.iter().map(i64::to_string).collect();
            assert_eq!(asked.rows("SELECT x FROM t ORDER BY x").concat(), ids, "{deleted:?}");
            let totals = [left.len().to_string(), text(left.first()), text(left.last())];
            assert_eq!(asked.rows("SELECT count(*), min(x), max(x) FROM t"), [totals], "{deleted:?}");
            let few = left.iter().filter(|x| (3..26).contains(*x)).count().to_string();
            assert_eq!(asked.one("SELECT count(*) FROM t WHERE x BETWEEN 3 AND 25"), few, "{deleted:?}");
            assert_eq!(asked.rows("SELECT x FROM t LIMIT 5").len(), left.len().min(5), "{deleted:?}");
        }
        let log = TableLog::open(folder.path(), At::Latest);
        let log = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap().block_on(log).unwrap();
        assert_eq!(log.only_read().as_deref(), Some("has deletion vectors"));
    }
}

#[test]
fn features_that_are_named_and_not_used_do_not_matter() {
    let rows = batch(vec![("x", ints([1, 2]))]);
    let features =
        ["variantType", "columnMapping", "typeWidening", "vacuumProtocolCheck", "timestampNtz", "v2Checkpoint"];
    for feature in features {
        let folder = tempfile::tempdir().unwrap();
        let size = write(&folder.path().join("p.parquet"), &rows);
        let file = add("p.parquet", size, &BTreeMap::new(), &json!({"numRecords": 2}));
        log(folder.path(), &[feature], vec![field("x", json!("long"))], &[], json!({}), vec![file]);
        assert_eq!(open(folder.path()).one("SELECT sum(x) FROM t"), "3", "{feature}");
    }
}

/// A column whose type was widened: older files have the narrower one.
#[test]
fn files_of_a_narrower_type_are_widened() {
    let folder = tempfile::tempdir().unwrap();
    let narrow: ArrayRef = Arc::new(arrow::array::Int32Array::from(vec![1, 2]));
    let old = write(&folder.path().join("old.parquet"), &batch(vec![("x", narrow)]));
    let new = write(&folder.path().join("new.parquet"), &batch(vec![("x", ints([5_000_000_000]))]));
    let none = BTreeMap::new();
    let adds = vec![
        add(
            "old.parquet",
            old,
            &none,
            &json!({"numRecords": 2, "minValues": {"x": 1}, "maxValues": {"x": 2}, "nullCount": {"x": 0}}),
        ),
        add("new.parquet", new, &none, &json!({"numRecords": 1})),
    ];
    log(
        folder.path(),
        &["typeWidening"],
        vec![field("x", json!("long"))],
        &[],
        json!({"delta.enableTypeWidening": "true"}),
        adds,
    );
    let asked = open(folder.path());
    assert_eq!(asked.rows("SELECT count(*), sum(x), min(x) FROM t"), [["3", "5000000003", "1"]]);
    assert_eq!(asked.one("SELECT count(*) FROM t WHERE x > 1"), "2");
}
