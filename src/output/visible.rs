//! A writer for terminals: control characters in data are shown as escapes, so that a name cannot clear the screen or turn a line around.
//!
//! Line ends and tabs pass, since the formats write them themselves. Does not deal with: tables, which draw their cells so themselves.

use std::borrow::Cow;
use std::io::{Result, Write};

use super::escape;

/// Escapes what goes through it.
pub struct Visible<W> {
    writer: W,
    /// The beginning of a character whose end has not come yet.
    rest: Vec<u8>,
}

impl<W: Write> Visible<W> {
    /// Around a terminal.
    pub fn new(writer: W) -> Self {
        Self { writer, rest: Vec::new() }
    }

    fn show(&mut self, text: &str) -> Result<()> {
        self.writer.write_all(visible(text).as_bytes())
    }
}

/// A text with the control characters in it as escapes, but for line ends and tabs. A carriage return within a line would let its end
/// hide its beginning.
pub fn visible(text: &str) -> Cow<'_, str> {
    if matches!(escape(text), Cow::Borrowed(_)) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 8);
    for piece in text.split_inclusive(['\n', '\t']) {
        let plain = piece.trim_end_matches(['\n', '\t']);
        let end = &piece[plain.len()..];
        match plain.strip_suffix('\r').filter(|_| end == "\n") {
            Some(plain) => shown.extend([&*escape(plain), "\r"]),
            None => shown.push_str(&escape(plain)),
        }
        shown.push_str(end);
    }
    Cow::Owned(shown)
}

impl<W: Write> Write for Visible<W> {
    fn write(&mut self, bytes: &[u8]) -> Result<usize> {
        self.rest.extend_from_slice(bytes);
        let all = std::mem::take(&mut self.rest);
        let valid = match std::str::from_utf8(&all) {
            Ok(text) => text.len(),
            Err(error) if error.error_len().is_none() => error.valid_up_to(),
            // Bytes that are not text.
            Err(_) => {
                self.show(&String::from_utf8_lossy(&all))?;
                return Ok(bytes.len());
            }
        };
        self.rest = all[valid..].to_vec();
        let text = String::from_utf8_lossy(&all[..valid]).into_owned();
        self.show(&text)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> Result<()> {
        self.writer.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(parts: &[&[u8]]) -> String {
        let mut bytes = Vec::new();
        let mut visible = Visible::new(&mut bytes);
        parts.iter().for_each(|part| visible.write_all(part).unwrap());
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn control_characters_become_escapes_and_lines_stay() {
        assert_eq!(shown(&[b"a\x1b[2Jb\x07\nc\td\r\n"]), "a\\x1b[2Jb\\x07\nc\td\r\n");
        assert_eq!(shown(&["\u{202e}x\u{9b}".as_bytes()]), "\\u{202e}x\\x9b");
        assert_eq!(shown(&[b"\x1b[8mx"]), "\\x1b[8mx");
        assert_eq!(shown(&[b"true\rfalse\r\n\r"]), "true\\rfalse\r\n\\r");
        let text = "na\u{ef}ve".as_bytes();
        assert_eq!(shown(&[&text[..3], &text[3..]]), "na\u{ef}ve");
    }
}
