use std::sync::Arc;

use arrow::array::{ArrayRef, Date32Array, Float64Array, Int64Array, StringArray, TimestampMicrosecondArray};
use calamine::{Data, Reader, Xlsx, open_workbook_from_rs};

use super::*;

fn batch(columns: Vec<(&str, ArrayRef)>) -> RecordBatch {
    RecordBatch::try_from_iter(columns).unwrap()
}

fn written(title: &str, batches: &[RecordBatch]) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let mut book = Workbook::new(folder.path()).unwrap();
    book.begin(title, &batches[0].schema()).unwrap();
    batches.iter().for_each(|batch| book.write(batch).unwrap());
    book.end().unwrap();
    let mut bytes = Vec::new();
    book.finish(&[("title".into(), "=1+1".into())], &mut bytes).unwrap();
    bytes
}

fn cells(bytes: &[u8], sheet: &str) -> Vec<Vec<Data>> {
    let mut book: Xlsx<_> = open_workbook_from_rs(std::io::Cursor::new(bytes.to_vec())).unwrap();
    book.worksheet_range(sheet).unwrap().rows().map(<[Data]>::to_vec).collect()
}

#[test]
fn values_read_back_as_what_they_are() {
    let rows = batch(vec![
        ("user_id", Arc::new(Int64Array::from(vec![1, 2]))),
        ("n", Arc::new(Int64Array::from(vec![1 << 53, (1 << 53) + 1]))),
        ("rate", Arc::new(Float64Array::from(vec![0.25, f64::NAN]))),
        ("text", Arc::new(StringArray::from(vec!["=SUM(A1)", "<script>]]>\u{202e}\"'_x0041_"]))),
        ("day", Arc::new(Date32Array::from(vec![20_089, -25_568]))),
        ("at", Arc::new(TimestampMicrosecondArray::from(vec![Some(1_735_689_600_000_000 + 43_200_000_000), None]))),
    ]);
    let bytes = written("One", std::slice::from_ref(&rows));
    assert_eq!(bytes, written("One", &[rows.slice(0, 1), rows.slice(1, 1)]), "the same rows give the same bytes");
    let cells = cells(&bytes, "One");
    let text = |text: &str| Data::String(text.into());
    assert_eq!(cells[1][0], text("1"));
    assert_eq!(cells[1][1], Data::Float(9_007_199_254_740_992.0));
    assert_eq!(cells[2][1], text("9007199254740993"));
    assert_eq!(cells[1][2], Data::Float(0.25));
    assert_eq!(cells[2][2], text("NaN"));
    assert_eq!(cells[1][3], text("=SUM(A1)"));
    assert_eq!(cells[2][3], text("<script>]]>\u{202e}\"'_x0041_"));
    // 2025-01-01, and 1899-12-31, which Excel does not know.
    let Data::DateTime(day) = &cells[1][4] else { panic!("{:?}", cells[1][4]) };
    assert_eq!(day.as_f64(), 45_658.0);
    assert_eq!(cells[2][4], text("1899-12-31"));
    let Data::DateTime(at) = &cells[1][5] else { panic!("{:?}", cells[1][5]) };
    assert_eq!(at.as_f64(), 45_658.5);
    assert_eq!(cells[2][5], Data::Empty);
}

#[test]
fn dates_of_1900_count_as_excel_does() {
    let days = Date32Array::from(vec![-25_567, -25_509, -25_508]);
    let bytes = written("d", &[batch(vec![("day", Arc::new(days))])]);
    let serials: Vec<f64> = cells(&bytes, "d")[1..]
        .iter()
        .map(|row| match &row[0] {
            Data::DateTime(day) => day.as_f64(),
            other => panic!("{other:?}"),
        })
        .collect();
    // 1900-01-01, 1900-02-28, 1900-03-01.
    assert_eq!(serials, [1.0, 59.0, 61.0]);
}

#[test]
fn what_does_not_fit_is_cut_and_told() {
    let long = "é".repeat(40_000);
    let bytes = written("x", &[batch(vec![("t", Arc::new(StringArray::from(vec![long.as_str()])))])]);
    let cells_of = cells(&bytes, "x");
    let Data::String(text) = &cells_of[1][0] else { panic!() };
    assert_eq!(text.chars().count(), 32_767);
    assert!(text.ends_with("é…"));
    let front = cells(&bytes, "Contents");
    assert!(format!("{front:?}").contains("the ends of 1 texts longer than 32,767 characters"), "{front:?}");
    assert!(format!("{front:?}").contains("=1+1"));
}
