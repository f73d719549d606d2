//! Nested values as another type of the same shape.
//!
//! Deals with: fields of structs by their names, inside lists too; fields that one side lacks; the row that a value inside
//! belongs to. Does not deal with: single values, which the caller converts.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, ListArray, StructArray, new_null_array};
use arrow::compute::cast;
use arrow::datatypes::DataType;

use crate::error::Result;

/// What a part became, and what is wrong with its values, by row.
pub type Adapted<F> = (ArrayRef, Vec<(usize, F)>);

/// Converts a part of a path to a type.
pub type Single<'a, F> = dyn FnMut(&ArrayRef, &DataType, &str) -> Result<Adapted<F>> + 'a;

/// `array` as a `target`: fields that it lacks are NULL, those that the target lacks are left out, and `single` converts
/// what is neither struct nor list; it is told the path of it, which begins with `path`. What is wrong inside is wrong with
/// the row around it.
pub fn adapt<F>(array: &ArrayRef, target: &DataType, path: &str, single: &mut Single<'_, F>) -> Result<Adapted<F>> {
    use DataType as T;
    match (array.data_type(), target) {
        (T::Struct(_), T::Struct(fields)) => {
            let from = array.as_struct();
            let mut faults = Vec::new();
            let mut parts = Vec::with_capacity(fields.len());
            for field in fields {
                parts.push(match from.column_by_name(field.name()) {
                    None => new_null_array(field.data_type(), from.len()),
                    Some(part) => {
                        let (part, wrong) =
                            adapt(part, field.data_type(), &format!("{path}.{}", field.name()), single)?;
                        // What stands below a NULL is no value.
                        faults.extend(wrong.into_iter().filter(|(row, _)| from.is_valid(*row)));
                        part
                    }
                });
            }
            let whole = StructArray::try_new_with_length(fields.clone(), parts, from.nulls().cloned(), from.len())?;
            Ok((Arc::new(whole), faults))
        }
        (
            T::List(item) | T::LargeList(item) | T::FixedSizeList(item, _) | T::ListView(item) | T::LargeListView(item),
            T::List(field),
        ) => {
            let list = cast(array, &T::List(Arc::clone(item)))?;
            let list = list.as_list::<i32>();
            let (items, wrong) = adapt(list.values(), field.data_type(), path, single)?;
            let ends = list.value_offsets();
            let row_of = |item: usize| {
                let row =
                    ends.partition_point(|end| usize::try_from(*end).is_ok_and(|end| end <= item)).checked_sub(1)?;
                (row < list.len() && list.is_valid(row)).then_some(row)
            };
            let faults = wrong.into_iter().filter_map(|(item, fault)| Some((row_of(item)?, fault))).collect();
            let whole = ListArray::try_new(Arc::clone(field), list.offsets().clone(), items, list.nulls().cloned())?;
            Ok((Arc::new(whole), faults))
        }
        _ => single(array, target, path),
    }
}

/// The same values in a type whose structs have other fields, or whose fields have other properties.
pub fn reshaped(array: &ArrayRef, target: &DataType) -> Result<ArrayRef> {
    if array.data_type() == target {
        return Ok(Arc::clone(array));
    }
    let mut same =
        |part: &ArrayRef, _: &DataType, _: &str| -> Result<Adapted<()>> { Ok((Arc::clone(part), Vec::new())) };
    Ok(adapt(array, target, "", &mut same)?.0)
}

/// Rows that have no value any more.
pub fn lost(before: &ArrayRef, after: &ArrayRef) -> Vec<usize> {
    if after.logical_null_count() <= before.logical_null_count() {
        return Vec::new();
    }
    let (before, after) = (before.logical_nulls(), after.logical_nulls());
    let Some(after) = after else { return Vec::new() };
    let there = |row: &usize| before.as_ref().is_none_or(|nulls| nulls.is_valid(*row));
    (0..after.len()).filter(|row| after.is_null(*row)).filter(there).collect()
}

#[cfg(test)]
mod tests {
    use arrow::array::{Int16Array, Int64Array};
    use arrow::buffer::{NullBuffer, OffsetBuffer};
    use arrow::datatypes::{Field, Fields};
    use arrow::util::display::{ArrayFormatter, FormatOptions};

    use super::*;

    fn narrow(part: &ArrayRef, target: &DataType, path: &str) -> Result<Adapted<String>> {
        let cast = cast(part, target)?;
        let wrong = lost(part, &cast).into_iter().map(|row| (row, path.to_string())).collect();
        Ok((cast, wrong))
    }

    fn shown(array: &ArrayRef) -> Vec<String> {
        let options = FormatOptions::default().with_null("NULL");
        let formatter = ArrayFormatter::try_new(array.as_ref(), &options).unwrap();
        (0..array.len()).map(|row| formatter.value(row).to_string()).collect()
    }

    /// Lists of structs: NULL, empty, and with values that do not fit, one of them below a NULL.
    #[test]
    fn parts_go_by_name_and_their_faults_to_the_row() {
        let from =
            Fields::from(vec![Field::new("n", DataType::Int64, true), Field::new("gone", DataType::Int64, true)]);
        let n: ArrayRef = Arc::new(Int64Array::from(vec![Some(1), Some(70_000), None, Some(80_000), Some(90_000)]));
        let gone: ArrayRef = Arc::new(Int64Array::from(vec![7; 5]));
        let inside = NullBuffer::from(vec![true, true, true, false, true]);
        let items: ArrayRef = Arc::new(StructArray::new(from, vec![n, gone], Some(inside)));
        let field = Arc::new(Field::new("item", items.data_type().clone(), true));
        // [1], [], [70000, NULL], [NULL struct], NULL (over 90000)
        let ends = OffsetBuffer::from_lengths([1, 0, 2, 1, 1]);
        let nulls = NullBuffer::from(vec![true, true, true, true, false]);
        let list: ArrayRef = Arc::new(ListArray::new(field, ends, items, Some(nulls)));
        let to = Fields::from(vec![Field::new("new", DataType::Utf8, true), Field::new("n", DataType::Int16, true)]);
        let target = DataType::List(Arc::new(Field::new("element", DataType::Struct(to), true)));
        let (adapted, faults) = adapt(&list, &target, "p", &mut narrow).unwrap();
        assert_eq!(adapted.data_type(), &target);
        assert_eq!(faults, [(2, "p.n".to_string())]);
        assert_eq!(
            shown(&adapted),
            ["[{new: NULL, n: 1}]", "[]", "[{new: NULL, n: NULL}, {new: NULL, n: NULL}]", "[NULL]", "NULL"]
        );
        // A part of it has its own rows.
        let (part, faults) = adapt(&list.slice(1, 2), &target, "p", &mut narrow).unwrap();
        assert_eq!((part.len(), faults), (2, vec![(1, "p.n".to_string())]));
        let large = cast(&list, &DataType::LargeList(Arc::new(Field::new("x", inner(&list), true)))).unwrap();
        assert_eq!(adapt(&large, &target, "p", &mut narrow).unwrap().1, [(2, "p.n".to_string())]);
    }

    fn inner(list: &ArrayRef) -> DataType {
        list.as_list::<i32>().values().data_type().clone()
    }

    #[test]
    fn reshaping_keeps_values() {
        let fields = Fields::from(vec![Field::new("n", DataType::Int16, true), Field::new("m", DataType::Int16, true)]);
        let parts = || -> ArrayRef { Arc::new(Int16Array::from(vec![1, 2])) };
        let whole: ArrayRef = Arc::new(StructArray::new(fields, vec![parts(), parts()], None));
        let to = vec![Field::new("o", DataType::Utf8, true), Field::new("m", DataType::Int16, true)];
        let reshaped = reshaped(&whole, &DataType::Struct(to.into())).unwrap();
        assert_eq!(shown(&reshaped), ["{o: NULL, m: 1}", "{o: NULL, m: 2}"]);
    }
}
