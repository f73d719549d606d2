//! Whether a file's columns are encrypted below a footer that is not.
//!
//! Deals with: telling why such a file's pages make no sense. Does not deal with: files whose footer is encrypted, too (their last four
//! bytes say so), or decrypting anything.
//!
//! The parquet crate passes over this part of a footer unless it is built to decrypt. It is the field 8 of the footer's outermost struct,
//! in Thrift's compact protocol.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// The field `encryption_algorithm` of a footer.
const ALGORITHM: i64 = 8;

/// Structs within one another that a footer can have.
const DEEPEST: usize = 64;

/// Whether the footer of this file names an algorithm by which its columns are encrypted.
pub fn names_an_algorithm(path: &Path) -> bool {
    footer(path).is_some_and(|bytes| Compact { bytes: &bytes }.has_field(ALGORITHM).unwrap_or(false))
}

fn footer(path: &Path) -> Option<Vec<u8>> {
    let file = File::open(path).ok()?;
    let size = file.metadata().ok()?.len();
    let mut tail = [0; 8];
    file.read_exact_at(&mut tail, size.checked_sub(8)?).ok()?;
    let length = u32::from_le_bytes(tail[..4].try_into().ok()?);
    let mut bytes = vec![0; usize::try_from(length).ok()?];
    file.read_exact_at(&mut bytes, size.checked_sub(8 + u64::from(length))?).ok()?;
    Some(bytes)
}

/// What is left to read.
struct Compact<'a> {
    bytes: &'a [u8],
}

impl Compact<'_> {
    fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.bytes.split_first()?;
        self.bytes = rest;
        Some(*first)
    }

    fn take(&mut self, count: usize) -> Option<()> {
        self.bytes = self.bytes.get(count..)?;
        Some(())
    }

    fn number(&mut self) -> Option<u64> {
        let mut number = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            number |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(number);
            }
        }
        None
    }

    /// The next field of a struct: its number and type; `None` within at the struct's end.
    fn field(&mut self, last: i64) -> Option<Option<(i64, u8)>> {
        let head = self.byte()?;
        if head == 0 {
            return Some(None);
        }
        let number = match head >> 4 {
            0 => {
                let zigzag = self.number()?;
                (zigzag >> 1) as i64 ^ -((zigzag & 1) as i64)
            }
            step => last + i64::from(step),
        };
        Some(Some((number, head & 0x0f)))
    }

    fn has_field(&mut self, wanted: i64) -> Option<bool> {
        let mut last = 0;
        while let Some((number, kind)) = self.field(last)? {
            if number == wanted {
                return Some(true);
            }
            self.pass(kind, false, 0)?;
            last = number;
        }
        Some(false)
    }

    /// Goes past a value; truth values in a list take a byte, as fields they are their type.
    fn pass(&mut self, kind: u8, listed: bool, depth: usize) -> Option<()> {
        if depth > DEEPEST {
            return None;
        }
        match kind {
            1 | 2 if listed => self.take(1),
            1 | 2 => Some(()),
            3 => self.take(1),
            4..=6 => self.number().map(|_| ()),
            7 => self.take(8),
            8 => {
                let length = usize::try_from(self.number()?).ok()?;
                self.take(length)
            }
            9 | 10 => {
                let head = self.byte()?;
                let count = if head >> 4 == 15 { self.number()? } else { u64::from(head >> 4) };
                (0..count).try_for_each(|_| self.pass(head & 0x0f, true, depth + 1))
            }
            11 => {
                let count = self.number()?;
                let kinds = if count > 0 { self.byte()? } else { 0 };
                (0..count).try_for_each(|_| {
                    self.pass(kinds >> 4, true, depth + 1)?;
                    self.pass(kinds & 0x0f, true, depth + 1)
                })
            }
            12 => {
                let mut last = 0;
                while let Some((number, kind)) = self.field(last)? {
                    self.pass(kind, false, depth + 1)?;
                    last = number;
                }
                Some(())
            }
            _ => None,
        }
    }
}
