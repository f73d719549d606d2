//! Columns that stand in the names of folders: `country=DE/day=2024-05-01/part.parquet`.
//!
//! Deals with: their types, told by the values of all files; their values as constants of a file; which files a filter leaves.
//! Does not deal with: taking them out of paths (`location`).
//!
//! A column is BIGINT only where every value is a plain whole number (`7`, `-12`, not `07`, `+7`, `1e3` or one of more than 18
//! digits), DATE where all are ISO dates, else text. They come after the columns of the files. A column that is in the files
//! is read from them, whatever the folders say: the file is the data. That some files have it and others only their folders is an error.

use std::path::Path;
use std::sync::Arc;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{DataType, Field, FieldRef, Schema};
use chrono::NaiveDate;
use datafusion::catalog::Session;
use datafusion::common::{DFSchema, DataFusionError, ScalarValue};
use datafusion::logical_expr::Expr;
use datafusion::logical_expr::utils::conjunction;

use super::schema::Merged;
use crate::error::{Error, Result};
use crate::files::location::DataFile;

/// The columns that folders name, in the order in which they first come, without those that the files have.
pub fn columns(files: &[DataFile], in_files: &[Merged]) -> Result<Vec<FieldRef>> {
    let mut names: Vec<&str> = Vec::new();
    for (name, _) in files.iter().flat_map(|file| &file.partitions) {
        if !names.contains(&name.as_str()) {
            names.push(name);
        }
    }
    let mut fields = Vec::new();
    for name in names {
        if let Some(column) = in_files.iter().find(|column| column.field.name() == name) {
            if !column.everywhere {
                return Err(twice(name, &files[column.file].path));
            }
            continue;
        }
        let values = files.iter().filter_map(|file| value(file, name));
        fields.push(Arc::new(Field::new(name, type_of(values), true)));
    }
    Ok(fields)
}

fn twice(name: &str, file: &Path) -> Error {
    let file = file.display();
    Error::data(format!("column '{name}' is in '{file}', but other files have it only in the names of their folders"))
        .hint("read them as two tables, and UNION ALL what they have in common")
}

/// What a folder says; a key without a value is NULL.
fn value<'a>(file: &'a DataFile, name: &str) -> Option<&'a str> {
    file.partitions.iter().find(|(key, _)| key == name)?.1.as_deref().filter(|value| !value.is_empty())
}

/// Whether a value may be one of a column that is not text.
pub fn has_type(value: &str) -> bool {
    whole(value).is_some() || date(value).is_some()
}

/// The narrowest type that gives every value back as it is written.
fn type_of<'a>(values: impl Iterator<Item = &'a str> + Clone) -> DataType {
    let mut some = values.clone().peekable();
    if some.peek().is_some() && some.all(|value| whole(value).is_some()) {
        return DataType::Int64;
    }
    let mut some = values.peekable();
    if some.peek().is_some() && some.all(|value| date(value).is_some()) {
        return DataType::Date32;
    }
    text_type()
}

/// A value fills a whole file: a dictionary of one.
fn text_type() -> DataType {
    DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8))
}

fn whole(text: &str) -> Option<i64> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let plain = !digits.is_empty()
        && digits.len() <= 18
        && digits.bytes().all(|byte| byte.is_ascii_digit())
        && (digits == "0" && text == "0" || !digits.starts_with('0'));
    plain.then(|| text.parse().ok()).flatten()
}

fn date(text: &str) -> Option<i32> {
    let date = NaiveDate::parse_from_str(text, "%Y-%m-%d").ok().filter(|_| text.len() == 10)?;
    i32::try_from(date.signed_duration_since(NaiveDate::default()).num_days()).ok()
}

/// The values of a file for these columns.
pub fn values(file: &DataFile, columns: &[FieldRef]) -> Result<Vec<ScalarValue>> {
    let each = columns.iter().map(|column| {
        let text = value(file, column.name());
        Ok(match column.data_type() {
            DataType::Int64 => ScalarValue::Int64(text.and_then(whole)),
            DataType::Date32 => ScalarValue::Date32(text.and_then(date)),
            other => ScalarValue::Utf8(text.map(str::to_string)).cast_to(other)?,
        })
    });
    each.collect::<Result<Vec<_>, DataFusionError>>().map_err(Error::from)
}

/// Which of the files, each with its values, can have rows for which the filters are true; they name no other column.
pub fn kept<'a>(
    state: &dyn Session,
    columns: &[FieldRef],
    files: impl Iterator<Item = &'a [ScalarValue]>,
    filters: &[Expr],
) -> Result<Vec<bool>, DataFusionError> {
    let files: Vec<&[ScalarValue]> = files.collect();
    let Some(filter) = conjunction(filters.iter().cloned()).filter(|_| !files.is_empty()) else {
        return Ok(vec![true; files.len()]);
    };
    let schema = Arc::new(Schema::new(columns.to_vec()));
    let arrays = (0..columns.len()).map(|at| ScalarValue::iter_to_array(files.iter().map(|values| values[at].clone())));
    let batch = RecordBatch::try_new(Arc::clone(&schema), arrays.collect::<Result<Vec<_>, _>>()?)?;
    let filter = state.create_physical_expr(filter, &DFSchema::try_from(schema)?)?;
    let answers = filter.evaluate(&batch)?.into_array(files.len())?;
    let answers = answers.as_boolean();
    Ok((0..files.len()).map(|at| answers.is_valid(at) && answers.value(at)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_give_every_value_back() {
        let of = |values: &[&str]| type_of(values.iter().copied());
        assert_eq!(of(&["1", "-12", "0"]), DataType::Int64);
        for other in ["01", "-0", "+1", "1e3", "", " 1", "1234567890123456789", "١", "1_000"] {
            assert_eq!(of(&["1", other]), text_type(), "{other}");
        }
        assert_eq!(of(&["2024-05-01", "0001-01-01"]), DataType::Date32);
        assert_eq!(of(&["2024-05-01", "2024-02-30"]), text_type());
        assert_eq!(of(&["2024-05-01", "2024-5-1"]), text_type());
        assert_eq!(of(&["2024-05-01", "7"]), text_type());
        assert_eq!(of(&[]), text_type());
    }
}
