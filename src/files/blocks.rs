//! Text sources in pieces of whole records.
//!
//! Deals with: reading a stream, cutting it where a record ends, counting lines. Does not deal with: what the records say.

use std::io::Read;

use memchr::memrchr;

use super::csv::{self, Dialect};
use crate::error::Result;

/// Bytes that are read at once, unless memory is scarce.
pub const BLOCK: usize = 4 << 20;

/// A piece without a record's end is given out as it is when it is this long: its lines are broken ones.
const LONGEST: usize = 128 << 20;

/// Where records end.
#[derive(Debug, Clone, Copy)]
pub enum Ends {
    /// As in CSV that is written so.
    Csv(Dialect),
    /// At line ends.
    Lines,
}

/// A source's bytes, piece by piece.
pub struct Blocks {
    bytes: Box<dyn Read + Send>,
    ends: Ends,
    size: usize,
    carried: Vec<u8>,
    offset: u64,
    line: u64,
    ended: bool,
}

/// Whole records.
#[derive(Debug)]
pub struct Block {
    /// The records.
    pub text: Vec<u8>,
    /// Number of their first line.
    pub line: u64,
    /// Where the next piece begins: its offset.
    pub end: u64,
    /// Its line.
    pub end_line: u64,
}

impl Blocks {
    /// Reads `bytes`, the first of which is at `offset` of the source and in line `line`.
    pub fn new(bytes: Box<dyn Read + Send>, ends: Ends, offset: u64, line: u64) -> Self {
        Self { bytes, ends, size: BLOCK, carried: Vec::new(), offset, line, ended: false }
    }

    /// With pieces of another size.
    #[must_use]
    pub fn with_size(mut self, size: usize) -> Self {
        self.size = size.max(1);
        self
    }

    /// The next piece. `failed` makes an error of what went wrong while reading.
    pub fn next(&mut self, failed: impl Fn(&std::io::Error) -> crate::error::Error) -> Result<Option<Block>> {
        let mut text = std::mem::take(&mut self.carried);
        loop {
            let wanted = self.size.saturating_sub(text.len()).max(self.size / 4).max(1);
            if !self.ended {
                text.reserve(wanted);
                let read = self.bytes.by_ref().take(wanted as u64).read_to_end(&mut text).map_err(|e| failed(&e))?;
                self.ended = read < wanted;
            }
            let whole = match self.ends {
                Ends::Csv(dialect) => csv::whole_records(&text, dialect, self.ended),
                Ends::Lines if self.ended => text.len(),
                Ends::Lines => memrchr(b'\n', &text).map_or(0, |at| at + 1),
            };
            let whole = if whole == 0 && text.len() > LONGEST { text.len() } else { whole };
            if whole == 0 && !self.ended {
                continue;
            }
            if whole == 0 {
                return Ok(None);
            }
            self.carried = text.split_off(whole);
            let line = self.line;
            self.offset += text.len() as u64;
            let line_end = if let Ends::Csv(dialect) = self.ends { dialect.line_end } else { b'\n' };
            self.line += csv::lines(&text, line_end);
            return Ok(Some(Block { text, line, end: self.offset, end_line: self.line }));
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::error::Error;

    fn pieces(text: &[u8], ends: Ends, size: usize) -> Vec<Block> {
        let mut blocks = Blocks::new(Box::new(std::io::Cursor::new(text.to_vec())), ends, 0, 1).with_size(size);
        let mut found = Vec::new();
        while let Some(block) = blocks.next(|e| Error::data(e.to_string())).unwrap() {
            found.push(block);
        }
        found
    }

    #[test]
    fn pieces_end_where_records_end() {
        let text = b"a,\"x\ny\"\nb,\"\"\"\n\"\nc,d";
        let found = pieces(text, Ends::Csv(Dialect::default()), 4);
        let texts: Vec<&[u8]> = found.iter().map(|b| b.text.as_slice()).collect();
        assert_eq!(texts, [&b"a,\"x\ny\"\n"[..], b"b,\"\"\"\n\"\n", b"c,d"]);
        let lines: Vec<(u64, u64)> = found.iter().map(|b| (b.line, b.end_line)).collect();
        assert_eq!(lines, [(1, 3), (3, 5), (5, 5)]);
        assert_eq!(found[2].end, text.len() as u64);
    }

    proptest! {
        /// However a text is cut, its pieces are the text, and its records are those of the whole.
        #[test]
        fn cutting_changes_no_record(text in "[a,\"\r\n]{0,40}", size in 1_usize..20) {
            let whole = records(text.as_bytes());
            let found = pieces(text.as_bytes(), Ends::Csv(Dialect::default()), size);
            let joined: Vec<u8> = found.iter().flat_map(|b| b.text.clone()).collect();
            prop_assert_eq!(&joined, text.as_bytes());
            let cut: Vec<Vec<u8>> = found.iter().flat_map(|b| records(&b.text)).collect();
            prop_assert_eq!(cut, whole);
        }
    }

    fn records(text: &[u8]) -> Vec<Vec<u8>> {
        csv::raw_records(text, Dialect::default()).into_iter().map(<[u8]>::to_vec).collect()
    }
}
