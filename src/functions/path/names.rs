//! The names of nodes: each distinct one stored once, the marks among them.
//!
//! Deals with: numbering names, telling marks from nodes that happen to be called like them, dictionaries in and out.
//! Does not deal with: what happens between nodes (`algo`).
//!
//! A node that is called `(start)`, `(end)` or `(other)` is shown with a backslash before it, and one that is called like
//! that with one more, so that no two nodes and no node and mark are ever shown alike.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::hash::BuildHasher;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, DictionaryArray, StringArray, UInt32Array};
use arrow::buffer::{Buffer, OffsetBuffer};
use arrow::datatypes::{DataType, UInt32Type};
use datafusion::common::hash_utils::RandomState;
use hashbrown::HashTable;

use crate::error::{Error, Result};

/// What the marks `START`, `END` and `OTHER` are called, in that order.
const MARKS: [&str; 3] = ["(start)", "(end)", "(other)"];

/// The type in which names travel.
pub fn name_type() -> DataType {
    DataType::Dictionary(Box::new(DataType::UInt32), Box::new(DataType::Utf8))
}

/// How a node of this name is shown.
pub fn shown(node: &str) -> Cow<'_, str> {
    match MARKS.contains(&node.trim_start_matches('\\')) {
        true => Cow::Owned(format!("\\{node}")),
        false => Cow::Borrowed(node),
    }
}

/// Distinct names as they are shown, numbered from 0; the first three are the marks.
pub struct Names {
    text: Vec<u8>,
    ends: Vec<usize>,
    numbers: HashTable<u32>,
    hash: RandomState,
    /// For [`Names::columns`]; all [`UNKNOWN`] between its calls.
    key_of: Vec<u32>,
}

const UNKNOWN: u32 = u32::MAX;

impl Default for Names {
    fn default() -> Self {
        let (text, ends, key_of) = Default::default();
        let mut names = Self { text, ends, numbers: HashTable::new(), hash: RandomState::default(), key_of };
        for (number, mark) in (0u32..).zip(MARKS) {
            names.insert(mark.as_bytes(), number);
        }
        names
    }
}

impl Names {
    /// Number of a name as it is shown.
    pub fn number(&mut self, name: &str) -> Result<u32> {
        let hash = self.hash.hash_one(name.as_bytes());
        if let Some(number) = self.numbers.find(hash, |n| self.bytes(*n) == name.as_bytes()) {
            return Ok(*number);
        }
        let number =
            u32::try_from(self.ends.len()).map_err(|_| Error::resources("more than 4 billion distinct nodes"))?;
        self.insert(name.as_bytes(), number);
        Ok(number)
    }

    fn insert(&mut self, name: &[u8], number: u32) {
        self.text.extend_from_slice(name);
        self.ends.push(self.text.len());
        let (text, ends, hash) = (&self.text, &self.ends, &self.hash);
        self.numbers.insert_unique(hash.hash_one(name), number, |n| hash.hash_one(slice(text, ends, *n)));
    }

    fn bytes(&self, number: u32) -> &[u8] {
        slice(&self.text, &self.ends, number)
    }

    /// How many there are, marks included.
    pub fn count(&self) -> usize {
        self.ends.len()
    }

    /// Order of two names: that of their bytes, whatever their numbers.
    pub fn compare(&self, a: u32, b: u32) -> Ordering {
        self.bytes(a).cmp(self.bytes(b))
    }

    /// The names of these numbers, in this order.
    fn array(&self, numbers: impl Iterator<Item = u32> + Clone) -> Result<ArrayRef> {
        let lengths = numbers.clone().map(|n| self.bytes(n).len());
        i32::try_from(lengths.clone().sum::<usize>())
            .map_err(|_| Error::resources("the names of the nodes are longer than 2 GB together"))?;
        let offsets = OffsetBuffer::from_lengths(lengths);
        let text: Vec<u8> = numbers.flat_map(|n| self.bytes(n)).copied().collect();
        let array = StringArray::try_new(offsets, Buffer::from_vec(text), None);
        Ok(Arc::new(array.map_err(|e| Error::internal(format!("names are text: {e}")))?))
    }

    /// Columns of names from columns of numbers; the dictionary they share holds the names that occur, no others.
    pub fn columns<const N: usize>(&mut self, columns: [Vec<u32>; N]) -> Result<[ArrayRef; N]> {
        let mut key_of = std::mem::take(&mut self.key_of);
        key_of.resize(self.count(), UNKNOWN);
        let mut used: Vec<u32> = Vec::new();
        let keys = columns.map(|mut column| {
            for number in &mut column {
                let key = &mut key_of[*number as usize];
                if *key == UNKNOWN {
                    *key = used.len() as u32;
                    used.push(*number);
                }
                *number = *key;
            }
            column
        });
        // Only what was written is cleared: a column may have far fewer rows than there are names.
        used.iter().for_each(|number| key_of[*number as usize] = UNKNOWN);
        self.key_of = key_of;
        let values = self.array(used.iter().copied())?;
        Ok(keys.map(|keys| dictionary(keys, &values)))
    }

    /// Bytes held.
    pub fn size(&self) -> usize {
        self.text.capacity()
            + self.ends.capacity() * size_of::<usize>()
            + self.numbers.allocation_size()
            + self.key_of.capacity() * size_of::<u32>()
    }
}

fn slice<'a>(text: &'a [u8], ends: &[usize], number: u32) -> &'a [u8] {
    let number = number as usize;
    let start = if number == 0 { 0 } else { ends[number - 1] };
    &text[start..ends[number]]
}

/// A column of names by their keys, each below the number of values.
fn dictionary(keys: Vec<u32>, values: &ArrayRef) -> ArrayRef {
    Arc::new(DictionaryArray::<UInt32Type>::new(UInt32Array::from(keys), Arc::clone(values)))
}

/// Numbers of a dictionary's values, looked up when first asked for, and kept while the same dictionary comes again: its
/// batches share it, and it may hold more names than a batch has rows.
#[derive(Default)]
pub struct Translation {
    values: Option<ArrayRef>,
    numbers: Vec<u32>,
}

impl Translation {
    /// Prepares for a column of names; gives its keys.
    pub fn read<'a>(&mut self, column: &'a ArrayRef) -> Result<&'a [u32]> {
        let Some(dictionary) = column.as_dictionary_opt::<UInt32Type>() else {
            return Err(Error::internal(format!("names came as {}", column.data_type())));
        };
        let values = dictionary.values();
        let same = self.values.as_ref().is_some_and(|v| {
            let (a, b) = (v.as_string::<i32>(), values.as_string::<i32>());
            let place = |v: &StringArray| (v.value_offsets().as_ptr(), v.value_data().as_ptr(), v.len());
            place(a) == place(b)
        });
        if !same {
            self.numbers.clear();
            self.numbers.resize(values.len(), UNKNOWN);
            self.values = Some(Arc::clone(values));
        }
        Ok(dictionary.keys().values())
    }

    /// Number of the value behind a key.
    #[inline]
    pub fn number(&mut self, key: u32, names: &mut Names) -> Result<u32> {
        match self.numbers.get(key as usize) {
            Some(number) if *number != UNKNOWN => Ok(*number),
            Some(_) => {
                let Some(values) = &self.values else { return Err(Error::internal("names before their column")) };
                let number = names.number(values.as_string::<i32>().value(key as usize))?;
                self.numbers[key as usize] = number;
                Ok(number)
            }
            None => Err(Error::internal("a key without a name")),
        }
    }

    /// Bytes held.
    pub fn size(&self) -> usize {
        self.numbers.capacity() * size_of::<u32>() + self.values.as_ref().map_or(0, |v| v.get_array_memory_size())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::algo::path::{END, FIRST_NODE, OTHER, START};

    #[test]
    fn nodes_are_never_shown_like_marks_or_like_each_other() {
        let nodes = ["(start)", "\\(start)", "\\\\(start)", "(end)", "(other)", "", "\\", "\\x", "(Other)", " (end)"];
        let shown: Vec<_> = nodes.iter().map(|n| shown(n)).collect();
        assert_eq!(shown[..5], ["\\(start)", "\\\\(start)", "\\\\\\(start)", "\\(end)", "\\(other)"]);
        assert_eq!(shown[5..], nodes[5..]);
    }

    #[test]
    fn marks_come_first_and_names_are_stored_once() {
        let mut names = Names::default();
        assert_eq!([START, END, OTHER].map(|n| names.bytes(n).to_vec()), MARKS.map(|m| m.as_bytes().to_vec()));
        assert_eq!(names.number("b").unwrap(), FIRST_NODE);
        assert_eq!(names.number("").unwrap(), FIRST_NODE + 1);
        assert_eq!(names.number("b").unwrap(), FIRST_NODE);
        assert_eq!(names.number("(end)").unwrap(), END);
        for n in 0..5_000 {
            names.number(&format!("node {n}")).unwrap();
        }
        assert_eq!(names.number("node 77").unwrap(), FIRST_NODE + 79);
        assert!(names.compare(FIRST_NODE, FIRST_NODE + 1).is_gt());
        let [one, two] = names.columns([vec![FIRST_NODE + 1, FIRST_NODE], vec![END, FIRST_NODE]]).unwrap();
        let text = |column: &ArrayRef| -> Vec<String> {
            let column = column.as_dictionary::<UInt32Type>().downcast_dict::<StringArray>().unwrap();
            column.into_iter().map(|v| v.unwrap().to_string()).collect()
        };
        assert_eq!((text(&one), text(&two)), (vec!["".into(), "b".into()], vec!["(end)".into(), "b".into()]));
        assert_eq!(one.as_dictionary::<UInt32Type>().values().len(), 3);
    }
}
