//! Rows for a page: what each cell reads, whether it is NULL, and where it is set.
//!
//! Deals with: digits in groups, shares in percent, long texts cut. Does not deal with: markup.

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type, Schema};

use super::cell::{Doubles, cells, is_number};
use super::figure::is_share;
use super::write_failed;
use crate::error::Result;

/// Longer texts are cut on a page; files hold them whole.
const LONGEST_TEXT: usize = 300;

/// One cell as a page shows it; `None` is NULL.
pub type ShownCell = Option<String>;

/// Whether each column is set flush right.
pub fn flush_right(schema: &Schema) -> Vec<bool> {
    schema.fields().iter().map(|field| is_number(field.data_type())).collect()
}

/// The first `rows` rows, cell by cell.
pub fn shown(batch: &RecordBatch, rows: usize) -> Result<Vec<Vec<ShownCell>>> {
    let rows = rows.min(batch.num_rows());
    let schema = batch.schema();
    let columns = batch.columns().iter().enumerate().map(|(at, column)| {
        let column = column.slice(0, rows);
        if is_share(at, &schema) {
            return percents(&column);
        }
        let grouped = column.data_type().is_integer() && counts(schema.field(at).name());
        let cells = cells(&column, Doubles::Rounded)?;
        Ok(cells.into_iter().map(|cell| (!cell.null).then(|| legible(cell.text, grouped))).collect())
    });
    let columns: Vec<Vec<ShownCell>> = columns.collect::<Result<_>>()?;
    Ok((0..rows).map(|row| columns.iter().map(|column| column[row].clone()).collect()).collect())
}

/// Whether whole numbers of this name count something, rather than name it.
fn counts(name: &str) -> bool {
    !(names_something(name) || name.eq_ignore_ascii_case("year") || name.to_ascii_lowercase().ends_with("_year"))
}

/// Whether a column of this name holds ids, which nobody adds up.
pub(super) fn names_something(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    name == "id" || name.ends_with("_id") || name.ends_with("_ids")
}

fn legible(text: String, grouped: bool) -> String {
    if grouped {
        let (sign, digits) = text.split_at(usize::from(text.starts_with('-')));
        return digits.parse().map_or_else(|_| text.clone(), |n| format!("{sign}{}", super::thousands(n)));
    }
    match text.char_indices().nth(LONGEST_TEXT) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

fn percents(column: &ArrayRef) -> Result<Vec<ShownCell>> {
    let doubles = cast(column, &DataType::Float64).map_err(write_failed)?;
    let doubles = doubles.as_primitive::<Float64Type>();
    Ok((0..doubles.len()).map(|row| doubles.is_valid(row).then(|| percent(doubles.value(row)))).collect())
}

/// With two decimals, or as many digits as it takes to tell it from zero.
fn percent(share: f64) -> String {
    let value = share * 100.0;
    if !value.is_finite() {
        return value.to_string();
    }
    if value != 0.0 && value.abs() < 0.01 { format!("{value:.1e} %") } else { format!("{value:.2} %") }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{Float64Array, Int64Array, StringArray};

    use super::*;

    #[test]
    fn numbers_read_as_what_they_are() {
        let columns: Vec<(&str, ArrayRef)> = vec![
            ("user_id", Arc::new(Int64Array::from(vec![1_234_567]))),
            ("users", Arc::new(Int64Array::from(vec![-1_234_567]))),
            ("rate", Arc::new(Float64Array::from(vec![0.12345]))),
            ("low", Arc::new(Float64Array::from(vec![0.000_01]))),
            ("high", Arc::new(Float64Array::from(vec![None]))),
            ("name", Arc::new(StringArray::from(vec!["\u{202e}<b>".to_string() + &"x".repeat(1000)]))),
        ];
        let batch = RecordBatch::try_from_iter(columns).unwrap();
        let rows = shown(&batch, 10).unwrap();
        let texts: Vec<&str> = rows[0].iter().map(|cell| cell.as_deref().unwrap_or("NULL")).collect();
        assert_eq!(texts[..5], ["1234567", "-1,234,567", "12.35 %", "1.0e-3 %", "NULL"]);
        assert!(texts[5].starts_with("\\u{202e}<b>x") && texts[5].ends_with("x…"), "{}", texts[5]);
        assert_eq!(texts[5].chars().count(), LONGEST_TEXT + 1);
    }
}
