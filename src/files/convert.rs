//! Arrays of a Parquet file as columns of the table.
//!
//! Deals with: columns and fields by their names, rows whose value does not fit, their users and texts. Does not deal with:
//! reading the file (`parquet`), single values (`typed_values`), or the shape of nested ones (`nested`).

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, RecordBatch, StructArray};
use arrow::compute::{cast, filter_record_batch, nullif};
use arrow::datatypes::DataType;
use arrow::util::display::{ArrayFormatter, FormatOptions, array_value_to_string};

use super::columns::{Column, Columns, Origin};
use super::decoded::{Decoded, IS_NULL, batch, same_everywhere};
use super::nested::{adapt, reshaped};
use super::reject::{Fault, LONGEST, Reject, shortened};
use super::typed_values::single;
use super::unseen::OfBlock;
use crate::error::Result;

/// What a row is put aside for.
#[derive(Clone)]
struct Wrong {
    /// The column, or the field in it.
    path: String,
    fault: Fault,
    value: Option<String>,
}

/// The rows of a batch, whose first one has the number `first_row` in its source.
pub fn convert(source: &RecordBatch, first_row: u64, layout: &Columns) -> Result<Decoded> {
    let rows = source.num_rows();
    let mut columns: Vec<ArrayRef> = Vec::with_capacity(layout.columns.len());
    // A row is put aside for its first fault.
    let mut first: Vec<Option<Wrong>> = Vec::new();
    // Nobody is called by an empty text.
    let no_users: Vec<String> = layout.nulls.iter().cloned().chain([String::new()]).collect();
    for (at, column) in layout.columns.iter().enumerate() {
        let nulls = if Some(at) == layout.user { &no_users } else { &layout.nulls };
        let found = match &column.origin {
            Origin::Source(from) => find(source, from),
            Origin::Constant(_) | Origin::Missing => None,
        };
        let (array, wrong) = match (&found, &column.origin) {
            (Some(array), _) => {
                one(array, column, nulls).map_err(|e| e.within(&format!("column '{}': ", column.name)))?
            }
            (None, _) => (same_everywhere(column, rows)?, Vec::new()),
        };
        columns.push(array);
        for (row, wrong) in wrong {
            if first.is_empty() {
                first.resize(rows, None);
            }
            first[row].get_or_insert(wrong);
        }
    }
    for at in [layout.user, layout.time].into_iter().flatten() {
        if columns[at].null_count() > 0 {
            first.resize(rows, None);
            let path = &layout.columns[at].name;
            for (row, wrong) in first.iter_mut().enumerate() {
                if columns[at].is_null(row) {
                    wrong.get_or_insert_with(|| Wrong { path: path.clone(), fault: IS_NULL, value: None });
                }
            }
        }
    }
    let whole = batch(layout, columns, rows)?;
    if first.iter().all(Option::is_none) {
        return Ok(Decoded { batch: whole, rejects: Vec::new(), unseen: OfBlock::new(), rows: rows as u64 });
    }
    let rejects = rejects(source, first_row, layout, &first)?;
    let keep: BooleanArray = first.iter().map(|fault| Some(fault.is_none())).collect();
    Ok(Decoded { batch: filter_record_batch(&whole, &keep)?, rejects, unseen: OfBlock::new(), rows: rows as u64 })
}

fn rejects(source: &RecordBatch, first_row: u64, layout: &Columns, first: &[Option<Wrong>]) -> Result<Vec<Reject>> {
    let aside: BooleanArray = first.iter().map(|fault| Some(fault.is_some())).collect();
    let lines = json_lines(&filter_record_batch(source, &aside)?);
    let users = match layout.user.map(|user| &layout.columns[user].origin) {
        Some(Origin::Source(from)) => find(source, from),
        Some(Origin::Constant(_) | Origin::Missing) | None => None,
    };
    let user = |row: usize| users.as_ref().and_then(|users| shown(users, row)).filter(|user| !user.is_empty());
    let mut rejects = Vec::new();
    for (row, wrong) in first.iter().enumerate() {
        let Some(wrong) = wrong else { continue };
        rejects.push(Reject {
            line: first_row + row as u64,
            column: Some(wrong.path.clone()),
            what: wrong.fault.0,
            value: wrong.value.clone(),
            user: user(row),
            row: lines.get(rejects.len()).map(|line| shortened(line, LONGEST)).unwrap_or_default(),
        });
    }
    Ok(rejects)
}

/// A value as text.
fn shown(array: &ArrayRef, row: usize) -> Option<String> {
    if array.is_null(row) {
        return None;
    }
    let options = FormatOptions::default();
    let shown = ArrayFormatter::try_new(array.as_ref(), &options).ok()?.value(row).try_to_string();
    // A time in a year that no calendar knows is a number.
    let number = || cast(array, &DataType::Int64).and_then(|number| array_value_to_string(&number, row));
    Some(shortened(&shown.or_else(|_| number()).ok()?, 1000))
}

/// Rows as JSON; where a column has no JSON, as the text of its values.
fn json_lines(rows: &RecordBatch) -> Vec<String> {
    let mut writer = arrow::json::LineDelimitedWriter::new(Vec::new());
    let written = writer.write(rows).and_then(|()| writer.finish());
    if written.is_ok() {
        let text = String::from_utf8_lossy(&writer.into_inner()).into_owned();
        return text.lines().map(str::to_string).collect();
    }
    let options = FormatOptions::default().with_null("null");
    let formatters: Vec<_> =
        rows.columns().iter().filter_map(|c| ArrayFormatter::try_new(c.as_ref(), &options).ok()).collect();
    let line = |row| formatters.iter().map(|f| f.value(row).to_string()).collect::<Vec<_>>().join(", ");
    (0..rows.num_rows()).map(line).collect()
}

/// A column by name or path; a path's nulls are those of the objects around it, too.
fn find(source: &RecordBatch, from: &str) -> Option<ArrayRef> {
    if let Some(array) = source.column_by_name(from) {
        return Some(array.clone());
    }
    let mut steps = from.split('.');
    let mut array = source.column_by_name(steps.next()?)?.clone();
    for step in steps {
        let outer: &StructArray = array.as_struct_opt()?;
        let inner = outer.column_by_name(step)?;
        array = match outer.nulls() {
            None => inner.clone(),
            Some(nulls) => nullif(inner, &BooleanArray::new(!nulls.inner(), None)).ok()?,
        };
    }
    Some(array)
}

/// A column as its type in the table; texts among `nulls` are NULL.
fn one(array: &ArrayRef, column: &Column, nulls: &[String]) -> Result<(ArrayRef, Vec<(usize, Wrong)>)> {
    let mut part = |part: &ArrayRef, target: &DataType, path: &str| {
        let (read, faults) = single(part, target, column.time.as_ref(), nulls)?;
        let wrong = |(row, fault)| (row, Wrong { path: path.to_string(), fault, value: shown(part, row) });
        Ok((read, faults.into_iter().map(wrong).collect()))
    };
    let (read, wrong) = adapt(array, &column.reads, &column.name, &mut part)?;
    Ok((reshaped(&read, &column.data_type)?, wrong))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{
        BinaryArray, Date32Array, Decimal128Array, DictionaryArray, Float32Array, Float64Array, Int32Array, Int64Array,
        LargeStringArray, ListArray, StringArray, StringViewArray, TimestampNanosecondArray, TimestampSecondArray,
        UInt8Array, UInt64Array,
    };
    use arrow::buffer::OffsetBuffer;
    use arrow::datatypes::{Field, Fields, Int8Type, Int64Type, Schema, TimestampMicrosecondType};

    use super::super::columns::Shape;
    use super::super::infer::Seen;
    use super::super::typed_values::cast;
    use super::super::types::{dictionary, timestamp};
    use super::*;
    use crate::ingest::columns::{Existing, Layout, Wishes};
    use crate::ingest::mapping::Mapping;
    use crate::store::managed::Roles;

    fn layout(source: &RecordBatch, mapping: &str, wishes: &Wishes) -> Result<Columns> {
        layout_for(source, mapping, wishes, None)
    }

    fn layout_for(source: &RecordBatch, mapping: &str, wishes: &Wishes, table: Option<&Existing>) -> Result<Columns> {
        let columns = source
            .schema()
            .fields()
            .iter()
            .map(|f| {
                let mut seen = Seen::default();
                seen.declared = Some((f.data_type().clone(), "a.parquet".into()));
                (f.name().clone(), seen)
            })
            .collect();
        let shape = Shape { source: "a.parquet".into(), columns, by_position: false, whole: true };
        Ok(Layout::of(&[shape], &Mapping::parse(mapping).unwrap(), wishes, table)?.read)
    }

    /// Users 1, 2, .. at times that are none of the matter, with another column.
    fn with_column(name: &str, column: ArrayRef) -> RecordBatch {
        let rows = column.len() as i64;
        RecordBatch::try_from_iter([
            ("user_id", Arc::new(Int64Array::from_iter_values(1..=rows)) as ArrayRef),
            ("ts", Arc::new(TimestampSecondArray::from_iter_values(1..=rows))),
            (name, column),
        ])
        .unwrap()
    }

    /// The column as texts of its values, and the rejected rows as `row: what is wrong`.
    fn outcome(source: &RecordBatch, layout: &Columns) -> (Vec<String>, Vec<String>) {
        let decoded = convert(source, 1, layout).unwrap();
        let column = decoded.batch.columns().last().unwrap();
        let options = FormatOptions::default().with_null("NULL");
        let formatter = ArrayFormatter::try_new(column.as_ref(), &options).unwrap();
        let values = (0..column.len()).map(|row| formatter.value(row).to_string()).collect();
        (values, decoded.rejects.iter().map(|r| format!("{}: {}", r.line, r.what)).collect())
    }

    fn structs(name: &str, values: ArrayRef) -> ArrayRef {
        Arc::new(StructArray::from(vec![(Arc::new(Field::new(name, values.data_type().clone(), true)), values)]))
    }

    fn lists(values: ArrayRef) -> ArrayRef {
        let field = Arc::new(Field::new("item", values.data_type().clone(), true));
        let ends = OffsetBuffer::from_lengths(vec![1; values.len()]);
        Arc::new(ListArray::new(field, ends, values, None))
    }

    fn table_with(name: &str, data_type: DataType) -> Existing {
        let fields = vec![
            Field::new("user_id", DataType::Int64, true),
            Field::new("ts", timestamp(), true),
            Field::new(name, data_type, true),
        ];
        let roles = Roles { user: "user_id".into(), time: "ts".into(), event: None };
        Existing { schema: Arc::new(Schema::new(fields)), roles, dedup_key: None }
    }

    #[test]
    fn numbers_that_would_change_are_put_aside() {
        let none = Wishes::default();
        let as_type = |column: ArrayRef, data_type: &str| {
            let source = with_column("n", column);
            let mapping = format!("[columns]\nn = {{ from = 'n', type = '{data_type}' }}");
            outcome(&source, &layout(&source, &mapping, &none).unwrap())
        };
        let fine = Decimal128Array::from(vec![15_000, 12_345, 1_000_000, 990_000, -999_951])
            .with_precision_and_scale(12, 4)
            .unwrap();
        assert_eq!(
            as_type(Arc::new(fine), "decimal(4,2)"),
            (
                vec!["1.50".to_string(), "99.00".into()],
                vec![
                    "2: has more decimal places than the column".to_string(),
                    "3: is out of range".into(),
                    "5: is out of range".into()
                ]
            )
        );
        // A double is what its digits say.
        let doubles = || Float64Array::from(vec![Some(0.1), Some(0.125), Some(1e6), Some(f64::NAN), None, Some(-2.5)]);
        let (values, faults) = as_type(Arc::new(doubles()), "decimal(4,2)");
        assert_eq!(values, ["0.10", "NULL", "-2.50"]);
        assert_eq!(faults, ["2: has more decimal places than the column", "3: is out of range", "4: is not a number"]);
        let floats: ArrayRef = Arc::new(Float32Array::from(vec![0.1, 0.125]));
        assert_eq!(as_type(floats, "decimal(4,2)").0, ["0.10"]);
        let huge: ArrayRef = Arc::new(Float64Array::from(vec![0.5, 1e300, f64::INFINITY]));
        assert_eq!(as_type(huge, "float"), (vec!["0.5".into(), "inf".into()], vec!["2: is out of range".into()]));
        let whole: ArrayRef = Arc::new(Int64Array::from(vec![99, 100]));
        assert_eq!(as_type(whole, "decimal(4,2)"), (vec!["99.00".into()], vec!["2: is out of range".into()]));
    }

    #[test]
    fn values_inside_are_checked_like_others() {
        let none = Wishes::default();
        let big = || Arc::new(UInt64Array::from(vec![Some(1), Some(u64::MAX), None])) as ArrayRef;
        for nested in [structs("n", big()), lists(big()), lists(structs("n", big())), structs("l", lists(big()))] {
            let source = with_column("p", nested);
            let (values, faults) = outcome(&source, &layout(&source, "", &none).unwrap());
            assert_eq!((values.len(), faults), (2, vec!["2: is out of range".to_string()]), "{values:?}");
        }
        // A table whose field is narrower.
        let small = DataType::Struct(vec![Field::new("n", DataType::Int16, true)].into());
        let source = with_column("p", structs("n", Arc::new(Int64Array::from(vec![1, 40_000]))));
        let layout_of = |t: DataType| layout_for(&source, "", &none, Some(&table_with("p", t))).unwrap();
        assert_eq!(outcome(&source, &layout_of(small)), (vec!["{n: 1}".into()], vec!["2: is out of range".into()]));
        // One whose struct has more fields.
        let more = vec![Field::new("new", DataType::Utf8, true), Field::new("n", DataType::Int64, true)];
        let more = layout_of(DataType::Struct(more.into()));
        assert_eq!(outcome(&source, &more).0, ["{new: NULL, n: 1}", "{new: NULL, n: 40000}"]);
        // The value is named by its path.
        let small = DataType::Struct(vec![Field::new("n", DataType::Int8, true)].into());
        let rejects = convert(&source, 1, &layout_of(small)).unwrap().rejects;
        assert_eq!(rejects[0].reason(), "p.n: '40000' is out of range");
    }

    #[test]
    fn times_inside_are_read_like_others() {
        let nanos = || Arc::new(TimestampNanosecondArray::from(vec![7_200_000_000_000, -1])) as ArrayRef;
        let read = |nested: ArrayRef, floor_time: bool| {
            let source = with_column("p", nested);
            let wishes = Wishes { floor_time, ..Wishes::default() };
            outcome(&source, &layout(&source, "tz = 'Europe/Berlin'", &wishes).unwrap())
        };
        for nested in [structs("t", nanos()), lists(nanos())] {
            let (values, faults) = read(Arc::clone(&nested), false);
            assert!(values.len() == 1 && values[0].contains("1970-01-01T01:00:00Z"), "{values:?}");
            assert_eq!(faults, ["2: is finer than a microsecond (--floor-time cuts it)"]);
            let (values, faults) = read(nested, true);
            assert!(values[1].contains("1969-12-31T22:59:59.999999Z"), "{values:?}");
            assert!(faults.is_empty());
        }
    }

    #[test]
    fn what_is_left_out_is_not_read_into_a_table_that_has_it() {
        let fields = |names: &[&str]| {
            let fields: Vec<Field> = names.iter().map(|name| Field::new(*name, DataType::Utf8, true)).collect();
            DataType::Struct(fields.into())
        };
        let text = |text: &str| Arc::new(StringArray::from(vec![text])) as ArrayRef;
        let DataType::Struct(both) = fields(&["email", "plan"]) else { unreachable!() };
        let nested: ArrayRef = Arc::new(StructArray::new(both.clone(), vec![text("a@b.c"), text("pro")], None));
        let source = with_column("p", nested);
        let drop = "drop = ['p.email']";
        let fresh = layout(&source, drop, &Wishes::default()).unwrap();
        assert_eq!(outcome(&source, &fresh).0, ["{plan: pro}"]);
        let table = table_with("p", DataType::Struct(both));
        let old = layout_for(&source, drop, &Wishes::default(), Some(&table)).unwrap();
        assert_eq!(outcome(&source, &old).0, ["{email: NULL, plan: pro}"]);
        let all = layout(&source, "drop = ['p.email', 'p.plan']", &Wishes::default()).unwrap();
        assert!(all.columns.iter().all(|c| c.name != "p"));
    }

    #[test]
    fn texts_that_mean_null_are_null_and_nobody_has_no_name() {
        let users: ArrayRef = Arc::new(StringArray::from(vec![Some("u"), Some(""), Some("-"), Some("v"), None]));
        let words: DictionaryArray<Int8Type> = ["a", "-", "", "-", "a"].into_iter().collect();
        let inner = structs("t", Arc::new(StringViewArray::from(vec!["-", "x", "x", "", "x"])));
        let source = RecordBatch::try_from_iter([
            ("user_id", users),
            ("ts", Arc::new(TimestampSecondArray::from(vec![1; 5])) as ArrayRef),
            ("event", Arc::new(words) as ArrayRef),
            ("p", inner),
        ])
        .unwrap();
        let layout = layout(&source, "null = ['-']", &Wishes::default()).unwrap();
        assert_eq!(
            outcome(&source, &layout),
            (
                vec!["{t: NULL}".into(), "{t: }".into()],
                ["2: is NULL", "3: is NULL", "5: is NULL"].map(String::from).into()
            )
        );
        let decoded = convert(&source, 1, &layout).unwrap();
        let events = cast(decoded.batch.column_by_name("event").unwrap(), &DataType::Utf8).unwrap();
        assert_eq!(events.as_string::<i32>().iter().collect::<Vec<_>>(), [Some("a"), None]);
        assert_eq!(decoded.rejects[0].user, None);
    }

    #[test]
    fn a_time_that_has_a_type_takes_no_unit() {
        let source = with_times(Arc::new(TimestampSecondArray::from(vec![1])));
        let unit = Wishes { time_unit: Some("ms".into()), ..Wishes::default() };
        let format = Wishes { time_format: Some("%Y".into()), ..Wishes::default() };
        for (wishes, told) in [(unit, "unit"), (format, "format")] {
            let error = layout(&source, "", &wishes).unwrap_err();
            assert_eq!(
                error.message(),
                format!("column 'ts': it is timestamp(s) in 'a.parquet', and a time {told} is for numbers and texts")
            );
        }
    }

    fn times(decoded: &Decoded) -> Vec<i64> {
        decoded.batch.column_by_name("ts").unwrap().as_primitive::<TimestampMicrosecondType>().values().to_vec()
    }

    fn with_times(times: ArrayRef) -> RecordBatch {
        let users = Int32Array::from_iter_values(0..times.len() as i32);
        RecordBatch::try_from_iter([("user_id", Arc::new(users) as ArrayRef), ("ts", times)]).unwrap()
    }

    #[test]
    fn times_of_every_unit_become_microseconds_of_utc() {
        let none = Wishes::default();
        let source = with_times(Arc::new(TimestampSecondArray::from(vec![1, -1])));
        let decoded = convert(&source, 1, &layout(&source, "", &none).unwrap()).unwrap();
        assert_eq!(times(&decoded), [1_000_000, -1_000_000]);
        let source = with_times(Arc::new(TimestampSecondArray::from(vec![i64::MAX, 1])));
        let decoded = convert(&source, 1, &layout(&source, "", &none).unwrap()).unwrap();
        assert_eq!(decoded.rejects[0].what, "is beyond the years 1 to 9999");
        let nanos = || Arc::new(TimestampNanosecondArray::from(vec![1_000, 1_001, -1]));
        let source = with_times(nanos());
        let decoded = convert(&source, 11, &layout(&source, "", &none).unwrap()).unwrap();
        assert_eq!((times(&decoded), decoded.rows), (vec![1], 3));
        let lines: Vec<u64> = decoded.rejects.iter().map(|r| r.line).collect();
        assert_eq!(lines, [12, 13]);
        assert_eq!(decoded.rejects[0].user.as_deref(), Some("1"));
        let floor = Wishes { floor_time: true, ..Wishes::default() };
        assert_eq!(times(&convert(&source, 1, &layout(&source, "", &floor).unwrap()).unwrap()), [1, 1, -1]);
        let source = with_times(Arc::new(Date32Array::from(vec![1])));
        assert_eq!(times(&convert(&source, 1, &layout(&source, "", &none).unwrap()).unwrap()), [86_400_000_000]);
        // Local times of a zone; those that say their zone are not touched.
        let berlin = "tz = 'Europe/Berlin'";
        assert_eq!(times(&convert(&source, 1, &layout(&source, berlin, &none).unwrap()).unwrap()), [82_800_000_000]);
        let source = with_times(Arc::new(TimestampSecondArray::from(vec![7_200])));
        assert_eq!(times(&convert(&source, 1, &layout(&source, berlin, &none).unwrap()).unwrap()), [3_600_000_000]);
        let source = with_times(Arc::new(TimestampSecondArray::from(vec![7_200]).with_timezone("Asia/Tokyo")));
        assert_eq!(times(&convert(&source, 1, &layout(&source, berlin, &none).unwrap()).unwrap()), [7_200_000_000]);
        let unit = Wishes { time_unit: Some("ms".into()), ..Wishes::default() };
        let source = with_times(Arc::new(Int64Array::from(vec![Some(5), None])));
        let decoded = convert(&source, 1, &layout(&source, "", &unit).unwrap()).unwrap();
        assert_eq!((times(&decoded), decoded.rejects[0].reason()), (vec![5_000], "ts is NULL".to_string()));
    }

    #[test]
    fn types_are_widened_and_texts_are_texts() {
        let words = DictionaryArray::<Int8Type>::from_iter(["a", "b"]);
        let inner = Fields::from(vec![Field::new("n", DataType::UInt8, true)]);
        let nested = StructArray::new(inner, vec![Arc::new(UInt8Array::from(vec![1, 255]))], None);
        let source = RecordBatch::try_from_iter([
            ("user_id", Arc::new(UInt64Array::from(vec![1, u64::MAX])) as ArrayRef),
            ("ts", Arc::new(StringViewArray::from(vec!["2024-01-31", "1970-01-01 00:00:01Z"])) as ArrayRef),
            ("event", Arc::new(words) as ArrayRef),
            ("large", Arc::new(LargeStringArray::from(vec!["x", "y"])) as ArrayRef),
            ("bytes", Arc::new(BinaryArray::from(vec![&b"x"[..], b"y"])) as ArrayRef),
            ("o", Arc::new(nested) as ArrayRef),
        ])
        .unwrap();
        let layout = layout(&source, "", &Wishes::default()).unwrap();
        let types: Vec<&DataType> = layout.columns.iter().map(|c| &c.data_type).collect();
        let inner = DataType::Struct(vec![Field::new("n", DataType::Int16, true)].into());
        assert_eq!(types, [&DataType::Int64, &timestamp(), &dictionary(), &DataType::Utf8, &DataType::Binary, &inner]);
        let decoded = convert(&source, 1, &layout).unwrap();
        assert_eq!(decoded.batch.num_rows(), 1);
        assert_eq!(decoded.rejects[0].reason(), format!("user_id: '{}' is out of range", u64::MAX));
        assert!(decoded.rejects[0].row.contains("\"event\":\"b\""), "{}", decoded.rejects[0].row);
        assert_eq!(
            decoded.batch.column(5).as_struct().column(0).as_primitive::<arrow::datatypes::Int16Type>().value(0),
            1
        );
    }

    #[test]
    fn fields_of_structs_become_columns() {
        let inner = Fields::from(vec![Field::new("n", DataType::Int64, true)]);
        let values: ArrayRef = Arc::new(Int64Array::from(vec![1, 2]));
        let nested = StructArray::new(inner, vec![values], Some(vec![true, false].into()));
        let source = RecordBatch::try_from_iter([
            ("user_id", Arc::new(Int64Array::from(vec![1, 2])) as ArrayRef),
            ("ts", Arc::new(TimestampSecondArray::from(vec![1, 2])) as ArrayRef),
            ("o", Arc::new(nested) as ArrayRef),
        ])
        .unwrap();
        let layout = layout(&source, "[columns]\nn = 'o.n'", &Wishes::default()).unwrap();
        let decoded = convert(&source, 1, &layout).unwrap();
        let column = decoded.batch.column_by_name("n").unwrap().as_primitive::<Int64Type>();
        assert_eq!((column.value(0), column.is_null(1)), (1, true));
    }
}
