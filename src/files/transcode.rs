//! Text of other encodings as UTF-8.
//!
//! Deals with: a stream, and bytes that are no text in its encoding, which are an error and never another character.
//! Does not deal with: telling which encoding it is (`source`).

use std::io::{Error, ErrorKind, Read, Result};

use encoding_rs::{Decoder, DecoderResult, Encoding};

/// Bytes that are decoded at once.
const STEP: usize = 64 << 10;

/// A stream as UTF-8, its byte order mark taken away.
pub struct Transcoded<R> {
    inner: R,
    encoding: &'static Encoding,
    decoder: Decoder,
    raw: Vec<u8>,
    /// The part of `raw` that is not decoded yet.
    left: std::ops::Range<usize>,
    text: Vec<u8>,
    /// The part of `text` that was not given out yet.
    ready: std::ops::Range<usize>,
    /// Bytes before `left`.
    done: u64,
    ended: bool,
}

impl<R: Read> Transcoded<R> {
    /// Reads `inner`, which is written in `encoding`.
    pub fn new(inner: R, encoding: &'static Encoding) -> Self {
        Self {
            inner,
            encoding,
            decoder: encoding.new_decoder_with_bom_removal(),
            raw: vec![0; STEP],
            left: 0..0,
            // A byte becomes three at the most.
            text: vec![0; STEP * 3 + 16],
            ready: 0..0,
            done: 0,
            ended: false,
        }
    }

    fn decode(&mut self) -> Result<()> {
        if self.left.is_empty() {
            let read = self.inner.read(&mut self.raw)?;
            self.left = 0..read;
            self.ended = read == 0;
        }
        let raw = &self.raw[self.left.clone()];
        let (outcome, read, written) = self.decoder.decode_to_utf8_without_replacement(raw, &mut self.text, self.ended);
        self.left.start += read;
        self.done += read as u64;
        self.ready = 0..written;
        match outcome {
            DecoderResult::Malformed(length, after) => {
                let at = self.done.saturating_sub(u64::from(length) + u64::from(after)) + 1;
                let name = self.encoding.name();
                Err(Error::new(
                    ErrorKind::InvalidData,
                    format!("byte {at} is not {name} text; is it in another encoding?"),
                ))
            }
            DecoderResult::InputEmpty | DecoderResult::OutputFull => Ok(()),
        }
    }
}

impl<R: Read> Read for Transcoded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
        while self.ready.is_empty() && !(self.ended && self.left.is_empty()) {
            self.decode()?;
        }
        let given = self.ready.len().min(buffer.len());
        buffer[..given].copy_from_slice(&self.text[self.ready.start..self.ready.start + given]);
        self.ready.start += given;
        Ok(given)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives out its bytes a few at a time, so that characters are cut.
    struct Slow<'a>(&'a [u8], usize);

    impl Read for Slow<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
            let given = self.1.min(buffer.len()).min(self.0.len());
            buffer[..given].copy_from_slice(&self.0[..given]);
            self.0 = &self.0[given..];
            Ok(given)
        }
    }

    #[test]
    fn characters_survive_cuts_in_any_place() {
        let text = "user_id,city\n1,北京 Köln € é\n".repeat(50);
        for (name, text) in [
            ("gbk", text.replace(['ö', 'é'], "e")),
            ("gb18030", text.clone()),
            ("utf-8", text.clone()),
            ("windows-1252", text.replace("北京", "")),
        ] {
            let encoding = Encoding::for_label(name.as_bytes()).unwrap();
            let (bytes, _, lossy) = encoding.encode(&text);
            assert!(!lossy);
            for step in [1, 2, 3, 7, 1000] {
                let mut read = String::new();
                Transcoded::new(Slow(&bytes, step), encoding).read_to_string(&mut read).unwrap();
                assert_eq!(read, text, "{name} {step}");
            }
        }
        let wide: Vec<u8> = [0xff, 0xfe].into_iter().chain(text.encode_utf16().flat_map(u16::to_le_bytes)).collect();
        let mut read = String::new();
        Transcoded::new(Slow(&wide, 3), encoding_rs::UTF_16LE).read_to_string(&mut read).unwrap();
        assert_eq!(read, text);
    }

    #[test]
    fn what_is_not_in_the_encoding_is_an_error() {
        let mut read = Vec::new();
        let error = Transcoded::new(&b"ab\xff\xffcd"[..], encoding_rs::GBK).read_to_end(&mut read).unwrap_err();
        assert!(error.to_string().starts_with("byte 3 is not GBK text"), "{error}");
        // Half a character at the end.
        assert!(Transcoded::new(&b"a\x00b"[..], encoding_rs::UTF_16LE).read_to_end(&mut read).is_err());
    }
}
