//! JSON as bytes: values found, checked and skipped without being built.
//!
//! Deals with: RFC 8259, strictly. Does not deal with: what values mean (`ndjson`).

/// A place in a JSON text.
pub struct JsonText<'a> {
    bytes: &'a [u8],
    at: usize,
}

/// Why a text is no JSON: a sentence.
pub type Broken = &'static str;

const ENDS: Broken = "broken JSON: the line ends too early";
const EXPECTED_VALUE: Broken = "broken JSON: a value is missing";
const NUMBER: Broken = "broken JSON: a malformed number";
const ESCAPE: Broken = "broken JSON: an unknown escape in a string";
const CONTROL: Broken = "broken JSON: a control character in a string";
const DEEP: Broken = "JSON that is nested more than 100 levels deep";

/// Levels of nesting.
const DEEPEST: usize = 100;

/// A value as it stands in the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Value<'a> {
    /// `null`.
    Null,
    /// A string's inside; with `true` it has escapes.
    String(&'a [u8], bool),
    /// A number, `true` or `false`.
    Plain(&'a [u8]),
    /// `{`: the place is behind it.
    Object,
    /// `[`: the place is behind it.
    List,
}

impl<'a> JsonText<'a> {
    /// The beginning of a text.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// Bytes before the place.
    pub fn place(&self) -> usize {
        self.at
    }

    /// The text from a place up to here.
    pub fn since(&self, from: usize) -> &'a [u8] {
        &self.bytes[from..self.at]
    }

    /// Passes over blanks, and gives the byte behind them.
    #[inline]
    pub fn peek(&mut self) -> Option<u8> {
        while let Some(byte) = self.bytes.get(self.at) {
            match byte {
                b' ' | b'\t' | b'\r' | b'\n' => self.at += 1,
                byte => return Some(*byte),
            }
        }
        None
    }

    /// Passes over a byte that must come next.
    #[inline]
    fn must_be(&mut self, byte: u8, broken: Broken) -> Result<(), Broken> {
        match self.peek() {
            Some(next) if next == byte => {
                self.at += 1;
                Ok(())
            }
            Some(_) => Err(broken),
            None => Err(ENDS),
        }
    }

    /// The next value. The inside of objects and lists is left to be read.
    #[inline]
    pub fn value(&mut self) -> Result<Value<'a>, Broken> {
        match self.peek() {
            Some(b'"') => self.string().map(|(text, escaped)| Value::String(text, escaped)),
            Some(b'-' | b'0'..=b'9') => self.number().map(Value::Plain),
            Some(b'{') => {
                self.at += 1;
                Ok(Value::Object)
            }
            Some(b'[') => {
                self.at += 1;
                Ok(Value::List)
            }
            Some(b't') => self.word(b"true").map(Value::Plain),
            Some(b'f') => self.word(b"false").map(Value::Plain),
            Some(b'n') => self.word(b"null").map(|_| Value::Null),
            Some(_) => Err(EXPECTED_VALUE),
            None => Err(ENDS),
        }
    }

    /// Inside an object: the next key, with the place behind its colon; `None` behind the end. `first` is for the first one.
    #[inline]
    pub fn key(&mut self, first: bool) -> Result<Option<(&'a [u8], bool)>, Broken> {
        match self.peek() {
            Some(b'}') => {
                self.at += 1;
                return Ok(None);
            }
            Some(b',') if !first => self.at += 1,
            Some(_) if first => {}
            Some(_) => return Err("broken JSON: a comma is missing in an object"),
            None => return Err(ENDS),
        }
        if self.peek() != Some(b'"') {
            return Err(if self.peek().is_none() { ENDS } else { "broken JSON: a key must be a string" });
        }
        let key = self.string()?;
        self.must_be(b':', "broken JSON: a colon is missing after a key")?;
        Ok(Some(key))
    }

    /// Inside a list: whether another item follows.
    #[inline]
    pub fn item(&mut self, first: bool) -> Result<bool, Broken> {
        match self.peek() {
            Some(b']') if first => {
                self.at += 1;
                Ok(false)
            }
            Some(b']') => {
                self.at += 1;
                Ok(false)
            }
            Some(b',') if !first => {
                self.at += 1;
                match self.peek() {
                    Some(b']') => Err(EXPECTED_VALUE),
                    _ => Ok(true),
                }
            }
            Some(_) if first => Ok(true),
            Some(_) => Err("broken JSON: a comma is missing in a list"),
            None => Err(ENDS),
        }
    }

    /// Passes over a value.
    #[cfg(test)]
    pub fn skip(&mut self) -> Result<(), Broken> {
        let value = self.value()?;
        self.skip_rest(value, 0)
    }

    /// Passes over what is left of a value.
    pub fn skip_rest(&mut self, value: Value<'a>, depth: usize) -> Result<(), Broken> {
        if depth > DEEPEST {
            return Err(DEEP);
        }
        let mut first = true;
        match value {
            Value::Object => {
                while self.key(first)?.is_some() {
                    first = false;
                    let inner = self.value()?;
                    self.skip_rest(inner, depth + 1)?;
                }
            }
            Value::List => {
                while self.item(first)? {
                    first = false;
                    let inner = self.value()?;
                    self.skip_rest(inner, depth + 1)?;
                }
            }
            Value::Null | Value::String(_, _) | Value::Plain(_) => {}
        }
        Ok(())
    }

    #[inline]
    fn string(&mut self) -> Result<(&'a [u8], bool), Broken> {
        let from = self.at + 1;
        let mut at = from;
        let mut escaped = false;
        loop {
            match self.bytes.get(at) {
                Some(b'"') => break,
                Some(b'\\') => {
                    escaped = true;
                    at += 2;
                }
                Some(0..0x20) => return Err(CONTROL),
                Some(_) => at += 1,
                None => return Err(ENDS),
            }
        }
        self.at = at + 1;
        Ok((&self.bytes[from..at], escaped))
    }

    fn word(&mut self, word: &'static [u8]) -> Result<&'a [u8], Broken> {
        let text = self.bytes.get(self.at..self.at + word.len()).ok_or(ENDS)?;
        if text != word {
            return Err(EXPECTED_VALUE);
        }
        self.at += word.len();
        Ok(text)
    }

    fn number(&mut self) -> Result<&'a [u8], Broken> {
        let from = self.at;
        let digits = |at: &mut usize| {
            let begin = *at;
            while self.bytes.get(*at).is_some_and(u8::is_ascii_digit) {
                *at += 1;
            }
            *at - begin
        };
        let mut at = from + usize::from(self.bytes[from] == b'-');
        let zero = self.bytes.get(at) == Some(&b'0');
        let whole = digits(&mut at);
        if whole == 0 || (zero && whole > 1) {
            return Err(NUMBER);
        }
        if self.bytes.get(at) == Some(&b'.') {
            at += 1;
            if digits(&mut at) == 0 {
                return Err(NUMBER);
            }
        }
        if matches!(self.bytes.get(at), Some(b'e' | b'E')) {
            at += 1;
            at += usize::from(matches!(self.bytes.get(at), Some(b'+' | b'-')));
            if digits(&mut at) == 0 {
                return Err(NUMBER);
            }
        }
        self.at = at;
        Ok(&self.bytes[from..at])
    }
}

/// A string's inside with its escapes replaced, in `scratch`.
pub fn unescape<'a>(text: &[u8], scratch: &'a mut Vec<u8>) -> Result<&'a [u8], Broken> {
    scratch.clear();
    let mut at = 0;
    while at < text.len() {
        if text[at] != b'\\' {
            scratch.push(text[at]);
            at += 1;
            continue;
        }
        let byte = match text.get(at + 1) {
            Some(b @ (b'"' | b'\\' | b'/')) => *b,
            Some(b'b') => 8,
            Some(b'f') => 12,
            Some(b'n') => b'\n',
            Some(b'r') => b'\r',
            Some(b't') => b'\t',
            Some(b'u') => {
                let unit = hex(text, at + 2)?;
                at += 6;
                let code = match unit {
                    0xD800..0xDC00 => {
                        let low = match text.get(at..at + 2) {
                            Some(b"\\u") => hex(text, at + 2)?,
                            _ => return Err(LONE),
                        };
                        if !(0xDC00..0xE000).contains(&low) {
                            return Err(LONE);
                        }
                        at += 6;
                        0x10000 + ((unit - 0xD800) << 10) + (low - 0xDC00)
                    }
                    other => other,
                };
                let code = char::from_u32(code).ok_or(LONE)?;
                scratch.extend_from_slice(code.encode_utf8(&mut [0; 4]).as_bytes());
                continue;
            }
            _ => return Err(ESCAPE),
        };
        scratch.push(byte);
        at += 2;
    }
    Ok(scratch)
}

const LONE: Broken = "half of a surrogate pair in a string";

fn hex(text: &[u8], at: usize) -> Result<u32, Broken> {
    let digits = text.get(at..at + 4).ok_or(ESCAPE)?;
    let mut value = 0;
    for digit in digits {
        value = value * 16 + (*digit as char).to_digit(16).ok_or(ESCAPE)?;
    }
    Ok(value)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn whole(text: &[u8]) -> Result<(), Broken> {
        let mut json = JsonText::new(text);
        json.skip()?;
        if json.peek().is_some() { Err("more than one value") } else { Ok(()) }
    }

    #[test]
    fn texts_and_no_texts() {
        for good in ["{}", "[1, -2.5e+3, \"a\\\"b\", {\"x\": [null, true]}]", " 0 ", "\"\\u00e4\""] {
            assert_eq!(whole(good.as_bytes()), Ok(()), "{good}");
        }
        for bad in [
            "",
            "{",
            "{\"a\"}",
            "{\"a\":}",
            "{\"a\":1,}",
            "[1,]",
            "[1 2]",
            "01",
            "1.",
            "-",
            "1e",
            "nul",
            "{a:1}",
            "\"",
            "\"\n\"",
            "{} {}",
            "[,1]",
            "\"\\",
        ] {
            assert!(whole(bad.as_bytes()).is_err(), "{bad}");
        }
        assert_eq!(whole("[".repeat(200_000).as_bytes()), Err(DEEP));
    }

    #[test]
    fn escapes() {
        let mut scratch = Vec::new();
        let text = unescape(br#"a\n\u00e4\ud83d\ude00\/"#, &mut scratch).unwrap();
        assert_eq!(std::str::from_utf8(text).unwrap(), "a\nä😀/");
        for bad in [r"\x", r"\u12", r"\ud83d", r"\ud83dx", r"\udc00", r"\ud83d\u0041"] {
            assert!(unescape(bad.as_bytes(), &mut scratch).is_err(), "{bad}");
        }
    }

    proptest! {
        /// Another reader of JSON takes the same texts.
        #[test]
        fn agrees_with_serde(text in r#"[\[\]{}:,"\\0-9.eE+\-a-c truefalsn]{0,12}"#) {
            let theirs = serde_json::from_str::<serde_json::Value>(&text);
            let ours = whole(text.as_bytes());
            // Numbers beyond a double are texts for us; escapes are looked at when a string is used.
            let excused = theirs.as_ref().is_err_and(|e| e.to_string().contains("out of range") || e.to_string().contains("escape"));
            prop_assert!(theirs.is_ok() == ours.is_ok() || excused, "{text}: {theirs:?} {ours:?}");
        }
    }
}
