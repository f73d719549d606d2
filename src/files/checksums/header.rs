//! Page headers as bytes.
//!
//! Deals with: the few fields of a Thrift-compact page header that stand before the place of the checksum, and putting one there.
//! Does not deal with: what the rest of a header says.
//!
//! A header begins with three required integers: the page's type, its size, its size as compressed. The checksum is the optional
//! fourth one. Each field is a byte (how much the number of the field grows, its type) and a value.

/// Type code of a 32-bit integer whose field number is one more than the field before.
const NEXT_I32: u8 = 0x15;

/// The type of a dictionary page.
const DICTIONARY: i32 = 2;

/// The beginning of a page header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Begin {
    /// Whether the page is a dictionary.
    pub dictionary: bool,
    /// Bytes of the page.
    pub compressed: u32,
    /// CRC32 of those bytes.
    pub crc: Option<u32>,
    /// Bytes of the three required fields.
    length: usize,
}

/// Reads the beginning of a header; `None` where it makes no sense.
pub(super) fn begin(bytes: &[u8]) -> Option<Begin> {
    let mut at = 0;
    let mut values = [0; 3];
    for value in &mut values {
        *value = integer(bytes, &mut at)?;
    }
    let length = at;
    let crc = integer(bytes, &mut at).map(|crc| crc as u32);
    let compressed = u32::try_from(values[2]).ok()?;
    Some(Begin { dictionary: values[0] == DICTIONARY, compressed, crc, length })
}

/// The next field, where it is a 32-bit integer with the next number.
fn integer(bytes: &[u8], at: &mut usize) -> Option<i32> {
    (*bytes.get(*at)? == NEXT_I32).then_some(())?;
    *at += 1;
    let (mut coded, mut shift) = (0_u32, 0);
    loop {
        let byte = *bytes.get(*at)?;
        *at += 1;
        coded |= u32::from(byte & 0x7f).checked_shl(shift)?;
        if byte & 0x80 == 0 {
            // Numbers near zero are short, whatever their sign.
            return Some((coded >> 1) as i32 ^ -((coded & 1) as i32));
        }
        shift += 7;
    }
}

/// A header with the checksum of its page, which it does not have yet; `None` where it makes no sense.
pub(super) fn with_crc(header: &[u8], crc: u32) -> Option<Vec<u8>> {
    let begin = begin(header).filter(|begin| begin.crc.is_none())?;
    let next = *header.get(begin.length)?;
    // The field after the checksum counts from it, no longer from the third. Wider steps are written in another way.
    let (step, kind) = (next >> 4, next & 0x0f);
    (step >= 2).then_some(())?;
    let mut with = Vec::with_capacity(header.len() + 6);
    with.extend_from_slice(&header[..begin.length]);
    with.push(NEXT_I32);
    let signed = crc as i32;
    let mut coded = ((signed << 1) ^ (signed >> 31)) as u32;
    while coded >= 0x80 {
        with.push(coded as u8 | 0x80);
        coded >>= 7;
    }
    with.push(coded as u8);
    with.push((step - 1) << 4 | kind);
    with.extend_from_slice(&header[begin.length + 1..]);
    Some(with)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Type 0, sizes 300 and 5, then a field 5 that is a structure.
    const HEADER: [u8; 9] = [0x15, 0x00, 0x15, 0xd8, 0x04, 0x15, 0x0a, 0x2c, 0x00];

    #[test]
    fn a_checksum_is_put_where_it_belongs() {
        assert_eq!(begin(&HEADER).map(|b| (b.dictionary, b.compressed, b.crc)), Some((false, 5, None)));
        for crc in [0, 1, 0x7fff_ffff, 0x8000_0000, u32::MAX, 0x1234_5678] {
            let with = with_crc(&HEADER, crc).unwrap();
            assert_eq!(begin(&with).map(|b| (b.compressed, b.crc)), Some((5, Some(crc))));
            // The next field is number 5 still: one more than the checksum's.
            assert_eq!(with[with.len() - 2..], [0x1c, 0x00]);
            assert_eq!(with_crc(&with, crc), None);
        }
    }

    #[test]
    fn what_is_no_header_is_none() {
        for bytes in [&[][..], &HEADER[..4], &[0x15, 0, 0x25, 0], &[0x15, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]] {
            assert_eq!(begin(bytes), None);
        }
    }
}
