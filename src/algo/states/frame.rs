//! The frame of a state: who wrote it, in which version, and that no bit of it changed.
//!
//! ```text
//! "tns"  version (1)  kind (1)  options and what is kept  CRC-32 of all before, little-endian (4)
//! ```
//!
//! Deals with: the frame, and reading numbers without trust. Does not deal with: what stands inside.

use crate::algo::value_runs::push_varint;

/// The version that this program writes and reads.
pub const VERSION: u8 = 1;

const MAGIC: &[u8; 3] = b"tns";
const HEAD: usize = MAGIC.len() + 2;
const CHECKSUM: usize = 4;

/// What went wrong, as a sentence that goes on after "the state".
pub type Read<T> = Result<T, String>;

/// What a state is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A set of users.
    Users,
    /// Active periods.
    Activity,
    /// Events of a funnel.
    Funnel,
    /// A birth and returns.
    Retention,
}

impl Kind {
    const ALL: [Self; 4] = [Self::Users, Self::Activity, Self::Funnel, Self::Retention];

    /// The function that makes such states.
    pub fn maker(self) -> &'static str {
        match self {
            Self::Users => "users_state",
            Self::Activity => "activity_state",
            Self::Funnel => "funnel_state",
            Self::Retention => "retention_state",
        }
    }

    fn code(self) -> u8 {
        self as u8 + 1
    }
}

/// The beginning of a state, to which its content is appended.
pub fn open(kind: Kind) -> Vec<u8> {
    let mut bytes = MAGIC.to_vec();
    bytes.extend([VERSION, kind.code()]);
    bytes
}

/// The whole state.
pub fn close(mut bytes: Vec<u8>) -> Vec<u8> {
    let checksum = crc32fast::hash(&bytes);
    bytes.extend(checksum.to_le_bytes());
    bytes
}

/// What stands inside a state of this kind.
pub fn content(bytes: &[u8], kind: Kind) -> Read<Content<'_>> {
    if !bytes.starts_with(MAGIC) {
        let begin: String = bytes.iter().take(4).map(|byte| format!("{byte:02x}")).collect();
        return Err(match begin.as_str() {
            "" => "is empty".to_string(),
            begin => format!("is none of tenure's: it begins with the bytes {begin}, not with 746e73 ('tns')"),
        });
    }
    match bytes.get(MAGIC.len()) {
        Some(&VERSION) => {}
        Some(other) => return Err(format!("is of version {other}, and this program reads version {VERSION}")),
        None => return Err(damaged("it ends early")),
    }
    let Some(end) = bytes.len().checked_sub(CHECKSUM).filter(|end| *end >= HEAD) else {
        return Err(damaged("it ends early"));
    };
    let (framed, checksum) = bytes.split_at(end);
    if crc32fast::hash(framed).to_le_bytes() != checksum {
        return Err(damaged("its checksum is wrong"));
    }
    let code = framed[HEAD - 1];
    match Kind::ALL.iter().find(|known| known.code() == code) {
        Some(found) if *found == kind => Ok(Content(&framed[HEAD..])),
        Some(found) => Err(format!("is one of {}, and one of {} is needed", found.maker(), kind.maker())),
        None => Err(format!("is of a kind that this program does not know ({code})")),
    }
}

/// The sentence of a state whose content makes no sense.
pub fn damaged(how: &str) -> String {
    format!("is damaged: {how}")
}

/// The rest of a state's content, taken off the front.
#[derive(Debug, Clone, Copy)]
pub struct Content<'a>(pub &'a [u8]);

impl<'a> Content<'a> {
    /// A byte.
    pub fn byte(&mut self) -> Read<u8> {
        Ok(self.take(1)?[0])
    }

    /// A number, written in the only way that [`push_varint`] writes it.
    pub fn number(&mut self) -> Read<u64> {
        let mut number = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7f);
            if bits << shift >> shift != bits {
                break;
            }
            number |= bits << shift;
            if byte & 0x80 == 0 {
                return if byte == 0 && shift > 0 { Err(damaged("a number has too many digits")) } else { Ok(number) };
            }
        }
        Err(damaged("a number is too large"))
    }

    /// A number with a sign.
    pub fn signed(&mut self) -> Read<i64> {
        let number = self.number()?;
        Ok((number >> 1) as i64 ^ -((number & 1) as i64))
    }

    /// How many elements follow, each of which takes `least` bytes at the least.
    pub fn count(&mut self, least: usize) -> Read<usize> {
        let count = usize::try_from(self.number()?).unwrap_or(usize::MAX);
        if count.checked_mul(least).is_none_or(|bytes| bytes > self.0.len()) {
            return Err(damaged("it ends early"));
        }
        Ok(count)
    }

    /// This many bytes.
    pub fn take(&mut self, bytes: usize) -> Read<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(bytes).ok_or_else(|| damaged("it ends early"))?;
        self.0 = rest;
        Ok(taken)
    }

    /// A text and the length before it.
    pub fn text(&mut self) -> Read<&'a str> {
        let length = self.count(1)?;
        std::str::from_utf8(self.take(length)?).map_err(|_| damaged("a text is not UTF-8"))
    }

    /// Nothing must be left.
    pub fn end(&self) -> Read<()> {
        if self.0.is_empty() { Ok(()) } else { Err(damaged("more bytes follow than it says")) }
    }
}

/// Appends a number with a sign, near zero in few bytes.
pub fn push_signed(to: &mut Vec<u8>, number: i64) {
    push_varint(to, (number << 1 ^ number >> 63) as u64);
}

/// Appends a text and its length.
pub fn push_text(to: &mut Vec<u8>, text: &str) {
    push_varint(to, text.len() as u64);
    to.extend(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(bytes: &[u8]) -> String {
        content(bytes, Kind::Users).unwrap_err()
    }

    #[test]
    fn a_frame_is_read_back_and_nothing_else_is() {
        let mut bytes = open(Kind::Users);
        bytes.extend(b"inside");
        let whole = close(bytes);
        assert_eq!(content(&whole, Kind::Users).unwrap().0, b"inside");
        assert!(content(&whole, Kind::Funnel).unwrap_err().contains("is one of users_state, and one of funnel_state"));
        for at in 0..whole.len() {
            for bit in 0..8 {
                let mut flipped = whole.clone();
                flipped[at] ^= 1 << bit;
                assert!(content(&flipped, Kind::Users).is_err(), "byte {at} bit {bit}");
            }
            assert!(content(&whole[..at], Kind::Users).is_err(), "{at} bytes");
        }
        assert_eq!(fault(b""), "is empty");
        assert!(fault(b"PAR1 and more").contains("begins with the bytes 50415231"));
        assert!(fault(b"tns\x09").contains("version 9, and this program reads version 1"));
        let mut later = open(Kind::Users);
        later[HEAD - 1] = 77;
        assert!(fault(&close(later)).contains("does not know (77)"));
    }

    #[test]
    fn numbers_are_read_as_they_are_written() {
        let mut bytes = Vec::new();
        let signed = [0, 1, -1, 63, -64, 64, i64::MAX, i64::MIN];
        signed.iter().for_each(|number| push_signed(&mut bytes, *number));
        let numbers = [0, 127, 128, 1 << 35, u64::MAX];
        numbers.iter().for_each(|number| push_varint(&mut bytes, *number));
        push_text(&mut bytes, "größe");
        let mut content = Content(&bytes);
        assert_eq!(signed.map(|_| content.signed().unwrap()), signed);
        assert_eq!(numbers.map(|_| content.number().unwrap()), numbers);
        assert_eq!(content.text().unwrap(), "größe");
        content.end().unwrap();
        for wrong in [&[0x80, 0][..], &[0xff; 11], &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2], &[0x80]]
        {
            assert!(Content(wrong).number().is_err(), "{wrong:?}");
        }
        assert!(Content(&[5, 1, 2]).count(1).is_err());
        assert!(Content(&[2, 0xff, 0xff]).text().is_err());
    }
}
