//! Deletion vectors: the rows of a data file that are deleted, kept beside it.
//!
//! Deals with: reading one, from the log or from a file of its own. Does not deal with: leaving the rows out of a scan (`provider`), or writing
//! any: tables that have some are read, not written.
//!
//! The format is the Delta protocol's: a version byte, then at the offset that the log gives the length, a magic number, a
//! 64-bit Roaring bitmap of row numbers, and a checksum. In the log itself magic number and bitmap stand as Z85.

use std::path::{Path, PathBuf};

use deltalake_core::kernel::{DeletionVectorDescriptor, StorageType};
use roaring::RoaringTreemap;
use url::Url;
use uuid::Uuid;

use crate::error::{Error, Result};

/// What stands before a bitmap in the portable format.
const MAGIC: u32 = 1_681_511_377;

/// Characters of a UUID in Z85.
const UUID_LENGTH: usize = 20;

/// The numbers of the rows of `file` that are deleted, in ascending order.
pub fn deleted(folder: &Path, file: &str, vector: &DeletionVectorDescriptor) -> Result<Vec<u64>> {
    let fail = |why: &str| {
        let message = format!("'{}': the deletion vector of '{file}' cannot be read: {why}", folder.display());
        Error::data(message)
    };
    let bitmap = match vector.storage_type {
        StorageType::Inline => z85(&vector.path_or_inline_dv).ok_or_else(|| fail("it is not Z85"))?,
        _ => {
            let path = path(folder, vector).ok_or_else(|| fail("its name is not understood"))?;
            let bytes = std::fs::read(&path).map_err(|e| fail(&format!("{e} ('{}')", path.display())))?;
            stored(&bytes, vector).map_err(|why| fail(&format!("{why} ('{}')", path.display())))?
        }
    };
    let rows = match bitmap.split_first_chunk() {
        Some((magic, rest)) if u32::from_le_bytes(*magic) == MAGIC => RoaringTreemap::deserialize_from(rest),
        _ => return Err(fail("it is of an unknown format")),
    };
    let rows = rows.map_err(|e| fail(&e.to_string()))?;
    if i64::try_from(rows.len()).ok() != Some(vector.cardinality) {
        return Err(fail(&format!("it has {} rows, the log says {}", rows.len(), vector.cardinality)));
    }
    Ok(rows.iter().collect())
}

/// The bitmap of a file of vectors, checked.
fn stored(bytes: &[u8], vector: &DeletionVectorDescriptor) -> std::result::Result<Vec<u8>, String> {
    let from = usize::try_from(vector.offset.unwrap_or(1)).map_err(|_| "its offset is negative")?;
    let size = usize::try_from(vector.size_in_bytes).map_err(|_| "its size is negative")?;
    let part = |from: usize, size: usize| bytes.get(from..from.saturating_add(size)).ok_or("the file is too short");
    let number = |from: usize| part(from, 4).map(|b| u32::from_be_bytes([b[0], b[1], b[2], b[3]]));
    if number(from)? as usize != size {
        return Err("its length is not that of the log".to_string());
    }
    let bitmap = part(from + 4, size)?;
    if number(from + 4 + size)? != crc32fast::hash(bitmap) {
        return Err("its checksum is wrong".to_string());
    }
    Ok(bitmap.to_vec())
}

fn path(folder: &Path, vector: &DeletionVectorDescriptor) -> Option<PathBuf> {
    let name = &vector.path_or_inline_dv;
    if vector.storage_type == StorageType::AbsolutePath {
        return Url::parse(name).ok()?.to_file_path().ok();
    }
    let at = name.len().checked_sub(UUID_LENGTH)?;
    let (below, id) = (name.get(..at)?, Uuid::from_slice(&z85(name.get(at..)?)?).ok()?);
    Some(folder.join(below).join(format!("deletion_vector_{id}.bin")))
}

/// ZeroMQ's base 85: five characters for four bytes.
fn z85(text: &str) -> Option<Vec<u8>> {
    const DIGITS: &[u8; 85] = b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-:+=^!/*?&<>()[]{}@%$#";
    if !text.len().is_multiple_of(5) {
        return None;
    }
    let mut bytes = Vec::with_capacity(text.len() / 5 * 4);
    for five in text.as_bytes().chunks(5) {
        let mut number = 0u32;
        for byte in five {
            let digit = DIGITS.iter().position(|digit| digit == byte)?;
            number = number.checked_mul(85)?.checked_add(u32::try_from(digit).ok()?)?;
        }
        bytes.extend(number.to_be_bytes());
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn z85_is_the_one_of_its_specification() {
        assert_eq!(z85("HelloWorld").unwrap(), [0x86, 0x4F, 0xD2, 0x6F, 0xB5, 0x59, 0xF7, 0x5B]);
        assert_eq!(z85("Hello~"), None);
        assert_eq!(z85("~~~~~"), None);
    }

    fn vector(storage_type: StorageType, text: &str, rows: i64, size: i32) -> DeletionVectorDescriptor {
        DeletionVectorDescriptor {
            storage_type,
            path_or_inline_dv: text.to_string(),
            offset: Some(1),
            size_in_bytes: size,
            cardinality: rows,
        }
    }

    fn bitmap(rows: &[u64]) -> Vec<u8> {
        let mut bytes = MAGIC.to_le_bytes().to_vec();
        rows.iter().copied().collect::<RoaringTreemap>().serialize_into(&mut bytes).unwrap();
        bytes
    }

    #[test]
    fn vectors_in_files_are_checked() {
        let folder = tempfile::tempdir().unwrap();
        let rows = [0, 3, 4, 5_000_000_000];
        let bitmap = bitmap(&rows);
        let id = Uuid::from_u128(0x0011_2233_4455_6677_8899_aabb_ccdd_eeff);
        let mut file = vec![1u8];
        file.extend((bitmap.len() as u32).to_be_bytes());
        file.extend(&bitmap);
        file.extend(crc32fast::hash(&bitmap).to_be_bytes());
        let name = folder.path().join("ab").join(format!("deletion_vector_{id}.bin"));
        std::fs::create_dir(name.parent().unwrap()).unwrap();
        std::fs::write(&name, &file).unwrap();
        let size = bitmap.len() as i32;
        let told = vector(StorageType::UuidRelativePath, &format!("ab{}", encoded(id.as_bytes())), 4, size);
        assert_eq!(deleted(folder.path(), "f", &told).unwrap(), rows);
        let wrong =
            |told: &DeletionVectorDescriptor| deleted(folder.path(), "f", told).unwrap_err().message().to_string();
        assert!(wrong(&DeletionVectorDescriptor { cardinality: 3, ..told.clone() }).contains("it has 4 rows"));
        assert!(wrong(&DeletionVectorDescriptor { size_in_bytes: 9, ..told.clone() }).contains("its length"));
        let at = file.len() - 6;
        file[at] ^= 1;
        std::fs::write(&name, &file).unwrap();
        assert!(wrong(&told).contains("checksum"));
        std::fs::remove_file(&name).unwrap();
        assert!(wrong(&told).contains("No such file"));
    }

    #[test]
    fn vectors_in_the_log() {
        let mut bytes = bitmap(&[1, 2]);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        let told = vector(StorageType::Inline, &encoded(&bytes), 2, bytes.len() as i32);
        assert_eq!(deleted(Path::new("t"), "f", &told).unwrap(), [1, 2]);
    }

    /// The other way round.
    fn encoded(bytes: &[u8]) -> String {
        const DIGITS: &[u8] = b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-:+=^!/*?&<>()[]{}@%$#";
        let four = |four: &[u8]| {
            let number = u32::from_be_bytes(four.try_into().unwrap());
            (0..5).rev().map(|place| DIGITS[(number / 85u32.pow(place) % 85) as usize] as char).collect::<String>()
        };
        bytes.chunks(4).map(four).collect()
    }
}
