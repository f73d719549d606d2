//! Values carried along with events (a funnel's `by`, a hold), each distinct one stored once.
//!
//! Deals with: turning rows of a STRUCT argument into small numbers, comparing and giving them back.
//! Does not deal with: which event's value is wanted (`algo`).
//!
//! Numbers are given in order of arrival, so they differ between partitions; the *order* of values is that of the row
//! format, which is the order of the values themselves, NULL first. Ties are broken by that order, never by number.

use std::hash::BuildHasher;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, PrimitiveArray, StructArray, UInt32Array, downcast_dictionary_array, new_empty_array,
    new_null_array,
};
use arrow::compute::{cast, take};
use arrow::datatypes::{ArrowDictionaryKeyType, ArrowNativeType, DataType, Field, Fields};
use arrow::row::{RowConverter, Rows, SortField};
use datafusion::common::hash_utils::RandomState;
use datafusion::error::Result;
use hashbrown::HashTable;

use crate::algo::event::NO_CLASS;
use crate::error::Error;

/// Values below which none are dropped, though nothing has them any more.
pub const MANY_VALUES: usize = 4_096;

/// Distinct rows of a struct, numbered from 0.
pub struct KeptValues {
    fields: Fields,
    converter: RowConverter,
    rows: Rows,
    numbers: HashTable<u32>,
    hash: RandomState,
}

/// The struct's fields as they come back: dictionaries are unpacked, everything may be NULL.
pub fn kept_fields(fields: &Fields) -> Fields {
    fields.iter().map(|f| Field::new(f.name(), unpacked(f.data_type()).clone(), true)).collect()
}

fn unpacked(data_type: &DataType) -> &DataType {
    match data_type {
        DataType::Dictionary(_, value) => value,
        other => other,
    }
}

impl KeptValues {
    /// For values of a STRUCT with these fields.
    pub fn new(fields: &Fields) -> Result<Self> {
        let fields = kept_fields(fields);
        let sort = fields.iter().map(|f| SortField::new(f.data_type().clone())).collect::<Vec<_>>();
        let unsupported =
            |f: &&std::sync::Arc<Field>| !RowConverter::supports_fields(&[SortField::new(f.data_type().clone())]);
        if let Some(field) = fields.iter().find(unsupported) {
            return Err(Error::user(format!(
                "column '{}' of type {} cannot be grouped by",
                field.name(),
                field.data_type()
            ))
            .into());
        }
        let converter = RowConverter::new(sort)?;
        let rows = converter.empty_rows(0, 0);
        Ok(Self { fields, converter, rows, numbers: HashTable::new(), hash: RandomState::default() })
    }

    /// The fields of the values as they come back.
    pub fn fields(&self) -> &Fields {
        &self.fields
    }

    /// How many distinct values there are: their numbers are below it.
    pub fn count(&self) -> usize {
        self.rows.num_rows()
    }

    /// Numbers of the given rows of a struct column.
    pub fn number(&mut self, column: &ArrayRef, rows: &[u32], numbers: &mut Vec<u32>) -> Result<()> {
        numbers.clear();
        let columns = column.as_struct().columns();
        // One dictionary column is the usual breakdown: number its few values, then look rows up by key.
        if let [only] = columns
            && let Some(dictionary) = only.as_any_dictionary_opt()
            && (1..rows.len().max(64)).contains(&dictionary.values().len())
        {
            let values = Arc::clone(dictionary.values());
            let every: Vec<u32> = (0..values.len() as u32).collect();
            let mut of_value = Vec::with_capacity(every.len() + 1);
            self.number_plain(&[values], &every, &mut of_value)?;
            let of_null = match only.null_count() {
                0 => 0,
                _ => {
                    let mut number = Vec::new();
                    self.number_plain(&[new_null_array(self.fields[0].data_type(), 1)], &[0], &mut number)?;
                    number[0]
                }
            };
            let only: &dyn Array = only.as_ref();
            downcast_dictionary_array!(
                only => by_key(only.keys(), &of_value, of_null, rows, numbers),
                other => return Err(Error::internal(format!("a dictionary of type {other}")).into())
            );
            return Ok(());
        }
        let picked = UInt32Array::from(rows.to_vec());
        let columns = columns.iter().map(|c| take(c, &picked, None)).collect::<Result<Vec<_>, _>>()?;
        let every: Vec<u32> = (0..rows.len() as u32).collect();
        self.number_plain(&columns, &every, numbers)
    }

    fn number_plain(&mut self, columns: &[ArrayRef], rows: &[u32], numbers: &mut Vec<u32>) -> Result<()> {
        let columns =
            columns.iter().zip(&self.fields).map(|(c, f)| cast(c, f.data_type())).collect::<Result<Vec<_>, _>>()?;
        let converted = self.converter.convert_columns(&columns)?;
        for row in rows {
            let row = converted.row(*row as usize);
            let hash = self.hash.hash_one(row.as_ref());
            let found = self.numbers.find(hash, |n| self.rows.row(*n as usize) == row).copied();
            let number = match found {
                Some(number) => number,
                None => {
                    let number = u32::try_from(self.rows.num_rows())
                        .map_err(|_| Error::resources("more than 4 billion distinct values to group by"))?;
                    self.rows.push(row);
                    let (rows, hash_state) = (&self.rows, &self.hash);
                    self.numbers.insert_unique(hash, number, |n| hash_state.hash_one(rows.row(*n as usize).as_ref()));
                    number
                }
            };
            numbers.push(number);
        }
        Ok(())
    }

    /// Order of two values: that of their content, whatever their numbers.
    #[inline]
    pub fn compare(&self, a: u32, b: u32) -> std::cmp::Ordering {
        if a == b {
            return std::cmp::Ordering::Equal;
        }
        self.rows.row(a as usize).cmp(&self.rows.row(b as usize))
    }

    /// The values behind numbers, as a struct column.
    pub fn values(&self, numbers: Vec<u32>) -> Result<ArrayRef> {
        if self.rows.num_rows() == 0 {
            let columns = self.fields.iter().map(|f| arrow::array::new_null_array(f.data_type(), numbers.len()));
            return Ok(Arc::new(StructArray::new(self.fields.clone(), columns.collect(), None)));
        }
        let distinct = self.converter.convert_rows(self.rows.iter())?;
        let picked = UInt32Array::from(numbers);
        let columns = distinct.iter().map(|c| take(c, &picked, None)).collect::<Result<Vec<_>, _>>()?;
        Ok(Arc::new(StructArray::new(self.fields.clone(), columns, None)))
    }

    /// The distinct values numbered so, a column for each field.
    pub fn columns(&self, numbers: std::ops::Range<usize>) -> Result<Vec<ArrayRef>> {
        if numbers.is_empty() {
            return Ok(self.fields.iter().map(|f| new_empty_array(f.data_type())).collect());
        }
        Ok(self.converter.convert_rows(numbers.map(|n| self.rows.row(n)))?)
    }

    /// The class of each value by some of its fields: values with equal fields are of one class, classes are numbered in
    /// the order of those fields, and a value with a NULL among them is of none, [`NO_CLASS`].
    pub fn classes(&self, fields: &[usize]) -> Result<Vec<u32>> {
        let columns = self.some_columns(fields)?;
        let mut classes = ranks(&columns)?;
        for (at, class) in classes.iter_mut().enumerate() {
            if columns.iter().any(|c| c.is_null(at)) {
                *class = NO_CLASS;
            }
        }
        Ok(classes)
    }

    /// The same with NULL as a value like any other, the least.
    pub fn ranks(&self, fields: &[usize]) -> Result<Vec<u32>> {
        ranks(&self.some_columns(fields)?)
    }

    fn some_columns(&self, fields: &[usize]) -> Result<Vec<ArrayRef>> {
        let distinct = self.columns(0..self.count())?;
        Ok(fields.iter().map(|f| Arc::clone(&distinct[*f])).collect())
    }

    /// Forgets all values but those numbered so, and gives their new numbers, in the same order. Where users come and go, as
    /// over ordered input, values would otherwise pile up to all there are.
    pub fn keep(&mut self, numbers: Vec<u32>) -> Result<Vec<u32>> {
        let (rows, mut renumbered) = ((0..numbers.len() as u32).collect::<Vec<_>>(), Vec::new());
        let values = self.values(numbers)?;
        let mut fresh = Self::new(&self.fields)?;
        fresh.number(&values, &rows, &mut renumbered)?;
        *self = fresh;
        Ok(renumbered)
    }

    /// Bytes held.
    pub fn size(&self) -> usize {
        self.rows.size() + self.converter.size() + self.numbers.allocation_size()
    }
}

/// The place of each row among the distinct ones, in their order.
fn ranks(columns: &[ArrayRef]) -> Result<Vec<u32>> {
    let sort = columns.iter().map(|c| SortField::new(c.data_type().clone())).collect();
    let rows = RowConverter::new(sort)?.convert_columns(columns)?;
    let mut order: Vec<usize> = (0..rows.num_rows()).collect();
    order.sort_unstable_by(|a, b| rows.row(*a).cmp(&rows.row(*b)));
    let mut ranks = vec![0; order.len()];
    let (mut rank, mut before) = (0, None);
    for at in order {
        rank += u32::from(before.is_some_and(|b| rows.row(b) != rows.row(at)));
        before = Some(at);
        ranks[at] = rank;
    }
    Ok(ranks)
}

/// The numbers of rows of a dictionary, whose values have numbers.
fn by_key<K: ArrowDictionaryKeyType>(
    keys: &PrimitiveArray<K>,
    of_value: &[u32],
    of_null: u32,
    rows: &[u32],
    numbers: &mut Vec<u32>,
) {
    let values = keys.values();
    match keys.nulls() {
        None => numbers.extend(rows.iter().map(|row| of_value[values[*row as usize].as_usize()])),
        Some(known) => numbers.extend(rows.iter().map(|row| {
            if known.is_valid(*row as usize) { of_value[values[*row as usize].as_usize()] } else { of_null }
        })),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{DictionaryArray, Int64Array, StringArray};
    use arrow::datatypes::{Int32Type, Int64Type};

    fn structs(columns: Vec<(&str, ArrayRef)>) -> ArrayRef {
        let fields: Fields = columns.iter().map(|(name, c)| Field::new(*name, c.data_type().clone(), true)).collect();
        Arc::new(StructArray::new(fields, columns.into_iter().map(|c| c.1).collect(), None))
    }

    #[test]
    fn dictionaries_and_plain_strings_give_the_same_numbers() {
        let text = vec![Some("de"), None, Some("fr"), Some("de"), Some("")];
        let dictionary: DictionaryArray<Int32Type> = text.iter().copied().collect();
        let plain = structs(vec![("c", Arc::new(StringArray::from(text)) as ArrayRef)]);
        let packed = structs(vec![("c", Arc::new(dictionary) as ArrayRef)]);
        let DataType::Struct(fields) = packed.data_type() else { unreachable!() };
        let mut kept = KeptValues::new(fields).unwrap();
        let rows: Vec<u32> = (0..5).collect();
        let (mut a, mut b) = (Vec::new(), Vec::new());
        kept.number(&packed, &rows, &mut a).unwrap();
        kept.number(&plain, &rows, &mut b).unwrap();
        assert_eq!(a, b);
        assert_eq!(a[0], a[3]);
        // A dictionary without values, as in a batch that holds NULL alone.
        let nothing: DictionaryArray<Int32Type> = [None::<&str>, None].into_iter().collect();
        let mut nulls = Vec::new();
        kept.number(&structs(vec![("c", Arc::new(nothing) as ArrayRef)]), &[0, 1], &mut nulls).unwrap();
        assert_eq!(nulls, [a[1], a[1]]);
        let back = kept.values(a.clone()).unwrap();
        let back = back.as_struct().column(0).as_string::<i32>();
        assert_eq!((back.value(0), back.is_null(1), back.value(2), back.value(4)), ("de", true, "fr", ""));
        // Order of content: NULL, '', 'de', 'fr'.
        assert!(
            kept.compare(a[1], a[4]).is_lt() && kept.compare(a[4], a[0]).is_lt() && kept.compare(a[0], a[2]).is_lt()
        );
    }

    #[test]
    fn what_is_not_kept_is_forgotten() {
        let column = structs(vec![("a", Arc::new(Int64Array::from(vec![5, 6, 7, 6])) as ArrayRef)]);
        let DataType::Struct(fields) = column.data_type() else { unreachable!() };
        let mut kept = KeptValues::new(fields).unwrap();
        let mut numbers = Vec::new();
        kept.number(&column, &[0, 1, 2, 3], &mut numbers).unwrap();
        let renumbered = kept.keep(vec![numbers[3], numbers[2], numbers[1]]).unwrap();
        assert_eq!((renumbered.as_slice(), kept.count()), ([0, 1, 0].as_slice(), 2));
        let back = kept.values(renumbered).unwrap();
        assert_eq!(back.as_struct().column(0).as_primitive::<Int64Type>().values(), &[6, 7, 6]);
        assert_eq!((kept.keep(Vec::new()).unwrap().len(), kept.count()), (0, 0));
    }

    #[test]
    fn several_columns_are_one_value() {
        let column = structs(vec![
            ("a", Arc::new(Int64Array::from(vec![1, 1, 2])) as ArrayRef),
            ("b", Arc::new(StringArray::from(vec!["x", "y", "x"])) as ArrayRef),
        ]);
        let DataType::Struct(fields) = column.data_type() else { unreachable!() };
        let mut kept = KeptValues::new(fields).unwrap();
        let mut numbers = Vec::new();
        kept.number(&column, &[2, 0, 1, 0], &mut numbers).unwrap();
        assert_eq!(numbers, [0, 1, 2, 1]);
        assert!(kept.compare(1, 2).is_lt() && kept.compare(2, 0).is_lt());
    }
}
