//! JSON that is not an object a line, made so: the elements of an array, objects over several lines.
//!
//! Deals with: a stream, byte for byte, so that places stay what they are: line ends within an element become blanks, commas between
//! elements line ends. Does not deal with: whether an element is right (`ndjson`), arrays below a key.

use std::io::{Error, ErrorKind, Read, Result};

/// How a source's objects are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Written {
    /// One a line.
    Lines,
    /// In an array.
    Array,
    /// One after the other, over several lines each.
    Objects,
}

impl Written {
    /// What the first bytes of a source tell.
    pub fn told_by(text: &[u8]) -> Self {
        let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text).trim_ascii_start();
        if text.first() == Some(&b'[') {
            return Self::Array;
        }
        let first = text.split(|b| *b == b'\n').next().unwrap_or_default().trim_ascii_end();
        // A line that is an object is whole; a broken one rarely ends so.
        let goes_on = first.len() < text.trim_ascii_end().len() && matches!(first.last(), Some(b'{' | b','));
        if first.first() == Some(&b'{') && goes_on { Self::Objects } else { Self::Lines }
    }
}

/// A stream of elements, one a line.
pub struct Elements<R> {
    inner: R,
    /// Brackets that are open, beside that of the array.
    depth: usize,
    in_text: bool,
    escaped: bool,
    array: Place,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    /// There is no array.
    None,
    Before,
    Within,
    Behind,
}

impl<R: Read> Elements<R> {
    /// Reads `inner`.
    pub fn new(inner: R, written: Written) -> Self {
        let array = if written == Written::Array { Place::Before } else { Place::None };
        Self { inner, depth: 0, in_text: false, escaped: false, array }
    }

    fn turn(&mut self, byte: u8) -> u8 {
        if self.in_text {
            (self.in_text, self.escaped) = match byte {
                _ if self.escaped => (true, false),
                b'\\' => (true, true),
                b'"' => (false, false),
                _ => (true, false),
            };
            // A raw line end in a text is broken JSON, and stays within its element.
            return if byte == b'\n' { b' ' } else { byte };
        }
        match byte {
            b'"' => self.in_text = true,
            b'[' if self.array == Place::Before => {
                self.array = Place::Within;
                return b' ';
            }
            b']' if self.array == Place::Within && self.depth == 0 => {
                self.array = Place::Behind;
                return b' ';
            }
            b',' if self.array == Place::Within && self.depth == 0 => return b'\n',
            b'{' | b'[' => self.depth += 1,
            b'}' | b']' => self.depth = self.depth.saturating_sub(1),
            b'\n' | b'\r' if self.depth > 0 || self.array == Place::Within => return b' ',
            _ => {}
        }
        byte
    }
}

impl<R: Read> Read for Elements<R> {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
        let read = self.inner.read(buffer)?;
        if read == 0 && !buffer.is_empty() && matches!(self.array, Place::Before | Place::Within) {
            let what = "the JSON array is never closed: the file was cut off";
            return Err(Error::new(ErrorKind::InvalidData, what));
        }
        for byte in &mut buffer[..read] {
            *byte = self.turn(*byte);
        }
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &str) -> Vec<String> {
        let mut read = String::new();
        Elements::new(text.as_bytes(), Written::told_by(text.as_bytes())).read_to_string(&mut read).unwrap();
        assert_eq!(read.len(), text.len());
        read.lines().map(|line| line.split_whitespace().collect::<String>()).filter(|line| !line.is_empty()).collect()
    }

    #[test]
    fn elements_become_lines() {
        let texts = [
            "[{\"a\":[1,2]},\n {\"a\":\"],\\\"{\"}]",
            "[\n  {\n    \"a\": [1,\n 2]\n  },\n  {\"a\": \"],\\\"{\"}\n]\n",
        ];
        for text in texts {
            assert_eq!(lines(text), [r#"{"a":[1,2]}"#, r#"{"a":"],\"{"}"#], "{text}");
        }
        assert_eq!(lines("{\n  \"a\": {\n \"b\": 1}\n}\n{\n \"a\": 2\n}\n"), [r#"{"a":{"b":1}}"#, r#"{"a":2}"#]);
        assert_eq!(lines("[]"), Vec::<String>::new());
    }

    #[test]
    fn lines_are_left_alone() {
        for text in ["{\"a\": 1}\n{\"a\": 2}\n", "{\"a\": 1", "", "{\"a\": 1\n{\"a\": 2}\n", "7\n"] {
            assert_eq!(Written::told_by(text.as_bytes()), Written::Lines, "{text}");
        }
    }

    #[test]
    fn an_array_that_is_cut_off_is_an_error() {
        let mut read = String::new();
        assert!(Elements::new(&b"[{\"a\": 1},"[..], Written::Array).read_to_string(&mut read).is_err());
    }
}
