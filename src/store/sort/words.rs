//! Text columns of few values as numbers, one numbering for all rows of a sort.
//!
//! Deals with: giving words numbers and back, and giving up where a column turns out to have too many words.
//! Does not deal with: the dictionaries that rows arrive with, beyond reading them.

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, DictionaryArray, Int32Array, StringArray};
use arrow::buffer::{NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow::compute::{cast, take};
use arrow::datatypes::{DataType, Int32Type};
use hashbrown::HashTable;
use twox_hash::XxHash64;

use crate::error::{Error, Result};

/// Words of one column. Beyond, a Parquet dictionary page would not hold them either.
const MOST_WORDS: usize = 1 << 18;
/// Their bytes.
const MOST_BYTES: usize = 16 << 20;

/// How many words a column may have.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limit {
    pub words: usize,
    pub bytes: usize,
}

impl Limit {
    /// For one of `columns` columns that have so much memory together; one word is always possible.
    pub fn within(memory: usize, columns: usize) -> Self {
        let share = memory / columns.max(1);
        // Beside its text a word costs its place and an entry of the table.
        Self { words: (share / 32).clamp(1, MOST_WORDS), bytes: (share / 2).clamp(1 << 10, MOST_BYTES) }
    }
}

/// The words of one column, numbered as they were met.
#[derive(Debug, Clone)]
pub(super) struct Words {
    table: HashTable<u32>,
    seed: u64,
    bytes: Vec<u8>,
    offsets: Vec<i32>,
    limit: Limit,
}

impl Words {
    /// None yet.
    pub fn new(limit: Limit) -> Self {
        let seed = RandomState::new().hash_one(0_u64);
        Self { table: HashTable::new(), seed, bytes: Vec::new(), offsets: vec![0], limit }
    }

    pub fn len(&self) -> usize {
        self.offsets.len() - 1
    }

    fn word(&self, number: u32) -> &[u8] {
        let at = number as usize;
        &self.bytes[self.offsets[at] as usize..self.offsets[at + 1] as usize]
    }

    /// The number of a word; `None` where there are too many.
    fn number(&mut self, word: &str) -> Option<i32> {
        let hash = XxHash64::oneshot(self.seed, word.as_bytes());
        if let Some(found) = self.table.find(hash, |number| self.word(*number) == word.as_bytes()) {
            return Some(*found as i32);
        }
        if self.len() >= self.limit.words || self.bytes.len() + word.len() > self.limit.bytes {
            return None;
        }
        Some(self.add(word, hash))
    }

    /// Numbers a new word.
    fn add(&mut self, word: &str, hash: u64) -> i32 {
        let number = self.len() as u32;
        self.bytes.extend_from_slice(word.as_bytes());
        self.offsets.push(self.bytes.len() as i32);
        let (bytes, offsets, seed) = (&self.bytes, &self.offsets, self.seed);
        let hash_of = |number: &u32| {
            let at = *number as usize;
            XxHash64::oneshot(seed, &bytes[offsets[at] as usize..offsets[at + 1] as usize])
        };
        self.table.insert_unique(hash, number, hash_of);
        number as i32
    }

    /// The words from number `from` on, as an array.
    pub fn array(&self, from: usize) -> Result<StringArray> {
        let start = self.offsets[from];
        let offsets: Vec<i32> = self.offsets[from..].iter().map(|o| o - start).collect();
        let bytes = self.bytes[start as usize..].to_vec();
        Ok(StringArray::try_new(OffsetBuffer::new(offsets.into()), bytes.into(), None)?)
    }

    /// Bytes of memory.
    pub fn size(&self) -> usize {
        self.bytes.capacity() + self.offsets.capacity() * 4 + self.table.capacity() * 5
    }
}

/// A text column of few values.
#[derive(Debug, Clone)]
pub(super) struct Coded {
    words: Arc<Words>,
    /// The words so far as an array, made when asked for.
    array: Option<Arc<StringArray>>,
    /// Whether the words became too many: rows hold the text itself from then on.
    given_up: bool,
}

impl Coded {
    pub fn new(limit: Limit) -> Self {
        Self { words: Arc::new(Words::new(limit)), array: None, given_up: false }
    }

    pub fn words(&self) -> &Words {
        &self.words
    }

    pub fn given_up(&self) -> bool {
        self.given_up
    }

    /// From now on rows hold the text itself.
    pub fn give_up(&mut self) {
        self.given_up = true;
    }

    pub fn size(&self) -> usize {
        self.words.size() + self.array.as_ref().map_or(0, |a| a.get_array_memory_size())
    }

    /// Adds words in the order of their numbers, as they were saved.
    pub fn restore(&mut self, words: &StringArray) -> Result<()> {
        let known = Arc::make_mut(&mut self.words);
        if words.value_data().len() + known.bytes.len() > i32::MAX as usize {
            return Err(Error::data("a run has too many words"));
        }
        // However many they are: rows of the run have their numbers.
        for word in words.iter().flatten() {
            let hash = XxHash64::oneshot(known.seed, word.as_bytes());
            known.add(word, hash);
        }
        self.array = None;
        Ok(())
    }

    /// A column as numbers, or as text where the words have become too many.
    pub fn encode(&mut self, column: &ArrayRef) -> Result<ArrayRef> {
        if !self.given_up {
            let words = Arc::make_mut(&mut self.words);
            let before = words.len();
            let numbers = match column.data_type() {
                DataType::Utf8 => of_text(words, column.as_string::<i32>()),
                DataType::Dictionary(key, value) if **key == DataType::Int32 && **value == DataType::Utf8 => {
                    of_dictionary(words, column.as_dictionary::<Int32Type>())
                }
                _ => of_text(words, cast(column, &DataType::Utf8)?.as_string::<i32>()),
            };
            if words.len() > before {
                self.array = None;
            }
            match numbers {
                Some(numbers) => return Ok(Arc::new(numbers)),
                None => self.given_up = true,
            }
        }
        Ok(cast(column, &DataType::Utf8)?)
    }

    /// Numbers as text; text stays.
    pub fn text(&mut self, column: &ArrayRef) -> Result<ArrayRef> {
        if *column.data_type() == DataType::Utf8 {
            return Ok(Arc::clone(column));
        }
        Ok(take(self.array()?.as_ref(), column.as_ref(), None)?)
    }

    /// A column as the table has it: a dictionary.
    pub fn dictionary(&mut self, column: &ArrayRef) -> Result<ArrayRef> {
        let (keys, values): (Int32Array, ArrayRef) = match column.data_type() {
            DataType::Int32 => (column.as_primitive::<Int32Type>().clone(), self.array()?),
            _ => {
                // Every row its own value: whoever writes the file finds those that are equal.
                let rows = i32::try_from(column.len()).map_err(|_| Error::internal("too many rows in a batch"))?;
                let keys = ScalarBuffer::from_iter(0..rows);
                (Int32Array::try_new(keys, column.nulls().cloned())?, Arc::clone(column))
            }
        };
        Ok(Arc::new(DictionaryArray::<Int32Type>::try_new(keys, values)?))
    }

    fn array(&mut self) -> Result<Arc<StringArray>> {
        match &self.array {
            Some(array) => Ok(Arc::clone(array)),
            None => {
                let array = Arc::new(self.words.array(0)?);
                Ok(Arc::clone(self.array.insert(array)))
            }
        }
    }
}

fn of_text(words: &mut Words, column: &StringArray) -> Option<Int32Array> {
    let mut numbers = Vec::with_capacity(column.len());
    let mut last: Option<(&str, i32)> = None;
    for row in 0..column.len() {
        if column.is_null(row) {
            numbers.push(0);
            continue;
        }
        let word = column.value(row);
        let number = match last {
            Some((before, number)) if before == word => number,
            _ => words.number(word)?,
        };
        last = Some((word, number));
        numbers.push(number);
    }
    Some(Int32Array::new(numbers.into(), column.nulls().cloned()))
}

fn of_dictionary(words: &mut Words, column: &DictionaryArray<Int32Type>) -> Option<Int32Array> {
    const UNKNOWN: i32 = -1;
    let values = column.values().as_string::<i32>();
    // Only values that rows have: a dictionary may be that of a much longer column.
    let mut known = vec![UNKNOWN; values.len()];
    let keys = column.keys();
    let mut numbers = Vec::with_capacity(keys.len());
    let mut valid = Vec::with_capacity(if values.null_count() > 0 { keys.len() } else { 0 });
    for row in 0..keys.len() {
        let key = keys.values()[row] as usize;
        let there = keys.is_valid(row) && values.is_valid(key);
        if values.null_count() > 0 {
            valid.push(there);
        }
        if !there {
            numbers.push(0);
            continue;
        }
        if known[key] == UNKNOWN {
            known[key] = words.number(values.value(key))?;
        }
        numbers.push(known[key]);
    }
    let nulls = if values.null_count() > 0 { Some(NullBuffer::from(valid)) } else { keys.nulls().cloned() };
    Some(Int32Array::new(numbers.into(), nulls))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(array: &ArrayRef) -> Vec<Option<String>> {
        let text = cast(array, &DataType::Utf8).unwrap();
        text.as_string::<i32>().iter().map(|t| t.map(str::to_string)).collect()
    }

    #[test]
    fn words_come_back_from_text_and_dictionaries() {
        let mut coded = Coded::new(Limit { words: 10, bytes: 100 });
        let text: ArrayRef = Arc::new(StringArray::from(vec![Some("b"), None, Some("a"), Some("b")]));
        let values: ArrayRef = Arc::new(StringArray::from(vec![Some("unused"), Some("a"), None, Some("c")]));
        let keys = Int32Array::from(vec![Some(3), Some(2), None, Some(1)]);
        let dictionary: ArrayRef = Arc::new(DictionaryArray::<Int32Type>::try_new(keys, values).unwrap());
        for column in [&text, &dictionary] {
            let numbers = coded.encode(column).unwrap();
            assert_eq!(*numbers.data_type(), DataType::Int32);
            assert_eq!(texts(&coded.text(&numbers).unwrap()), texts(column));
            assert_eq!(texts(&coded.dictionary(&numbers).unwrap()), texts(column));
        }
        assert_eq!(coded.words().len(), 3);
    }

    #[test]
    fn too_many_words_leave_the_text() {
        let mut coded = Coded::new(Limit { words: 2, bytes: 100 });
        let few: ArrayRef = Arc::new(StringArray::from(vec!["a", "b"]));
        let many: ArrayRef = Arc::new(StringArray::from(vec![Some("b"), None, Some("c")]));
        let numbers = coded.encode(&few).unwrap();
        let text = coded.encode(&many).unwrap();
        assert!(coded.given_up());
        assert_eq!(*text.data_type(), DataType::Utf8);
        assert_eq!(texts(&coded.text(&numbers).unwrap()), texts(&few));
        assert_eq!(texts(&coded.dictionary(&text).unwrap()), texts(&many));
    }
}
