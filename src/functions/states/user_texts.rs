//! Texts that many sets of users share: each distinct one is kept once, and sets hold its number.
//!
//! Deals with: numbering, the texts of numbers, memory. Does not deal with: the sets.

use std::hash::BuildHasher;

use hashbrown::{DefaultHashBuilder, HashTable};
use roaring::RoaringBitmap;

/// Distinct texts and their numbers.
#[derive(Default)]
pub struct UserTexts {
    bytes: String,
    /// Where each text ends.
    ends: Vec<usize>,
    numbers: HashTable<u32>,
    hasher: DefaultHashBuilder,
}

impl UserTexts {
    /// How many there are.
    pub fn count(&self) -> usize {
        self.ends.len()
    }

    /// The text of a number.
    pub fn text(&self, number: u32) -> &str {
        text(&self.bytes, &self.ends, number)
    }

    /// The number of a text; `None` where there are too many.
    pub fn number(&mut self, wanted: &str) -> Option<u32> {
        let hash = self.hasher.hash_one(wanted);
        let Self { bytes, ends, numbers, hasher } = self;
        if let Some(number) = numbers.find(hash, |number| text(bytes, ends, *number) == wanted) {
            return Some(*number);
        }
        let number = u32::try_from(ends.len()).ok()?;
        bytes.push_str(wanted);
        ends.push(bytes.len());
        numbers.insert_unique(hash, number, |number| hasher.hash_one(text(bytes, ends, *number)));
        Some(number)
    }

    /// The texts of a set, ascending.
    pub fn sorted(&self, set: &RoaringBitmap) -> Vec<&str> {
        let mut texts: Vec<&str> = set.iter().map(|number| self.text(number)).collect();
        texts.sort_unstable();
        texts
    }

    /// Keeps the texts of these sets alone, and gives them new numbers.
    pub fn keep<'a>(&mut self, sets: impl Iterator<Item = &'a mut RoaringBitmap>) {
        let mut kept = Self::default();
        for set in sets {
            *set = set.iter().filter_map(|number| kept.number(self.text(number))).collect();
        }
        *self = kept;
    }

    /// Bytes held.
    pub fn size(&self) -> usize {
        self.bytes.capacity() + self.ends.capacity() * size_of::<usize>() + self.numbers.allocation_size()
    }
}

fn text<'a>(bytes: &'a str, ends: &[usize], number: u32) -> &'a str {
    let number = number as usize;
    let from = number.checked_sub(1).map_or(0, |before| ends[before]);
    &bytes[from..ends[number]]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_have_numbers_and_forgotten_ones_lose_them() {
        let mut texts = UserTexts::default();
        let all: Vec<String> = (0..1000).map(|n| format!("u{}", n % 500)).collect();
        let numbers: Vec<u32> = all.iter().map(|text| texts.number(text).unwrap()).collect();
        assert_eq!((texts.count(), &numbers[..500]), (500, &numbers[500..]));
        assert_eq!(texts.number(""), Some(500));
        let mut set: RoaringBitmap = [7, 3, 500].into();
        assert_eq!(texts.sorted(&set), ["", "u3", "u7"]);
        texts.keep([&mut set].into_iter());
        assert_eq!((texts.count(), texts.sorted(&set)), (3, vec!["", "u3", "u7"]));
        assert_eq!(texts.number("u7").map(|number| set.contains(number)), Some(true));
    }
}
