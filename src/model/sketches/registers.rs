//! The registers of a HyperLogLog sketch as they are stored, to see whether what the sketch says of them is true.
//!
//! A sketch keeps sums over its registers, from which it estimates. Both are stored, and bytes in which they differ are damaged.

use super::{Read, damaged};

const HEAD: usize = 40;
/// A register of four bits that says: look among the exceptions.
const EXCEPTION: u8 = 15;

/// Whether registers and sums agree, of a sketch with 2^`lg_k` registers that `datasketches` has read.
pub fn check(bytes: &[u8], lg_k: u8) -> Read<()> {
    let registers = read(bytes, 1 << lg_k).ok_or_else(|| damaged("its registers make no sense"))?;
    let double = |at: usize| bytes.get(at..at + 8)?.try_into().ok().map(f64::from_le_bytes);
    let integer = |at: usize| bytes.get(at..at + 4)?.try_into().ok().map(u32::from_le_bytes);
    // Sums of powers of two within 53 bits: exact, and the same in any order.
    let sum =
        |large: bool| registers.iter().filter(|r| (**r >= 32) == large).map(|r| (-f64::from(*r)).exp2()).sum::<f64>();
    // No register is below `least`, and so many are equal to it.
    let least = bytes[6];
    let at_least = registers.iter().filter(|r| **r == least).count();
    let told = (double(16), double(24), integer(32));
    let found = (Some(sum(false)), Some(sum(true)), u32::try_from(at_least).ok());
    if told != found || registers.iter().any(|r| *r < least) {
        return Err(damaged("its registers are not those that it was made of"));
    }
    Ok(())
}

fn read(bytes: &[u8], k: usize) -> Option<Vec<u8>> {
    let rest = bytes.get(HEAD..)?;
    let registers: Vec<u8> = match bytes[7] >> 2 & 3 {
        0 => {
            let (nibbles, exceptions) = rest.split_at_checked(k / 2)?;
            let mut registers: Vec<u8> = nibbles.iter().flat_map(|byte| [byte & 15, byte >> 4]).collect();
            let mut given = vec![false; k];
            for exception in exceptions.chunks_exact(4) {
                let exception = u32::from_le_bytes(exception.try_into().ok()?);
                if exception == 0 {
                    continue;
                }
                // The slot is the lower bits, of which a sketch of k registers uses as many as it needs.
                let slot = (exception & ((1 << 26) - 1)) as usize & (k - 1);
                if registers[slot] != EXCEPTION || std::mem::replace(&mut given[slot], true) {
                    return None;
                }
                registers[slot] = (exception >> 26) as u8;
                // So that another exception for this slot is seen above, and not taken for the mark.
                if registers[slot] < EXCEPTION {
                    return None;
                }
            }
            for (register, given) in registers.iter_mut().zip(given) {
                match (given, *register) {
                    (true, _) => {}
                    (false, EXCEPTION) => return None,
                    (false, above) => *register = above + bytes[6],
                }
            }
            registers
        }
        1 => {
            let bits = |slot: usize| {
                let two =
                    u16::from_le_bytes([*rest.get(slot * 6 / 8)?, rest.get(slot * 6 / 8 + 1).copied().unwrap_or(0)]);
                Some((two >> (slot * 6 % 8) & 63) as u8)
            };
            (0..k).map(bits).collect::<Option<_>>()?
        }
        _ => rest.get(..k)?.to_vec(),
    };
    registers.iter().all(|r| *r < 64).then_some(registers)
}
