//! Rows from users' order into time order, in little memory.
//!
//! Deals with: one file per slice of time, filled as the users come, then read, sorted and given out slice by slice.
//! Does not deal with: what a row means. The files lie in a folder that the caller removes.

use std::fs::File;
use std::io::{BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use super::session::{Event, Way};
use super::table::Row;
use crate::error::{Error, Result};

/// Rows that a slice shall hold on average: some 6 MB to sort.
const SLICE_ROWS: u64 = 100_000;
/// Files open at once, below the usual limit of 1,024 for a process.
const MAX_SLICES: u64 = 512;
/// Bytes of a row in a file.
const WIDTH: usize = 34;

/// A row and its number among those of its user, which orders rows of the same time.
#[derive(Debug, Clone, Copy)]
struct Record {
    sequence: u32,
    row: Row,
}

/// The slices of a span of time.
pub struct Spill {
    slices: Vec<(PathBuf, BufWriter<File>)>,
    from: i64,
    span: i64,
}

impl Spill {
    /// Slices in `folder` for so many rows with positions in `from..to`.
    pub fn create(folder: &Path, rows: u64, from: i64, to: i64) -> Result<Self> {
        let count = (rows / SLICE_ROWS).clamp(1, MAX_SLICES);
        let slices = (0..count)
            .map(|number| {
                let path = folder.join(format!("slice-{number}"));
                let file = File::create_new(&path).map_err(|error| Error::io("create", &path, &error))?;
                Ok((path, BufWriter::with_capacity(1 << 15, file)))
            })
            .collect::<Result<_>>()?;
        Ok(Self { slices, from, span: (to - from).max(1) })
    }

    /// Puts a row aside. `position` never falls when time rises, and is in the span.
    pub fn push(&mut self, position: i64, sequence: u32, row: Row) -> Result<()> {
        let count = self.slices.len();
        let slice =
            (i128::from(position - self.from) * count as i128 / i128::from(self.span)).clamp(0, count as i128 - 1);
        let (path, writer) = &mut self.slices[slice as usize];
        writer.write_all(&encode(&Record { sequence, row })).map_err(|error| Error::io("write", path, &error))
    }

    /// Gives out all rows by (time, user, sequence).
    pub fn drain(self, mut take: impl FnMut(Row) -> Result<()>) -> Result<()> {
        // All written out first: from here on one slice is in memory at a time.
        let mut paths = Vec::with_capacity(self.slices.len());
        for (path, mut writer) in self.slices {
            writer.flush().map_err(|error| Error::io("write", &path, &error))?;
            paths.push(path);
        }
        let mut records = Vec::new();
        for path in paths {
            read(&path, &mut records).map_err(|error| Error::io("read", &path, &error))?;
            records.sort_unstable_by_key(|record| (record.row.event.ts, record.row.user, record.sequence));
            for record in &records {
                take(record.row)?;
            }
        }
        Ok(())
    }
}

/// Reads a slice and removes its file.
fn read(path: &Path, records: &mut Vec<Record>) -> std::io::Result<()> {
    let file = File::open(path)?;
    let rows = file.metadata()?.len() as usize / WIDTH;
    let mut reader = BufReader::with_capacity(1 << 18, file);
    records.clear();
    records.reserve(rows);
    let mut bytes = [0; WIDTH];
    for _ in 0..rows {
        reader.read_exact(&mut bytes)?;
        records.push(decode(&bytes));
    }
    std::fs::remove_file(path)
}

fn encode(record: &Record) -> [u8; WIDTH] {
    let Record { sequence, row: Row { user, country, event } } = record;
    let Way { platform, channel, campaign } = event.way;
    let mut bytes = [0; WIDTH];
    bytes[0..8].copy_from_slice(&event.ts.to_le_bytes());
    for (slot, value) in [*user as u32, *sequence, event.item, event.cents, event.order].into_iter().enumerate() {
        bytes[8 + 4 * slot..12 + 4 * slot].copy_from_slice(&value.to_le_bytes());
    }
    bytes[28..34].copy_from_slice(&[*country, platform, channel, campaign, event.kind, event.page]);
    bytes
}

fn decode(bytes: &[u8; WIDTH]) -> Record {
    let mut ts = [0; 8];
    ts.copy_from_slice(&bytes[0..8]);
    let number = |slot: usize| {
        let mut value = [0; 4];
        value.copy_from_slice(&bytes[8 + 4 * slot..12 + 4 * slot]);
        u32::from_le_bytes(value)
    };
    let [country, platform, channel, campaign] = [bytes[28], bytes[29], bytes[30], bytes[31]];
    let (kind, page, way) = (bytes[32], bytes[33], Way { platform, channel, campaign });
    let (ts, item, cents, order) = (i64::from_le_bytes(ts), number(2), number(3), number(4));
    let event = Event { ts, kind, page, item, cents, order, way };
    Record { sequence: number(1), row: Row { user: u64::from(number(0)), country, event } }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_come_back_in_time_order() {
        let folder = tempfile::tempdir().unwrap();
        // More rows announced than given, for several slices.
        let mut spill = Spill::create(folder.path(), 4 * SLICE_ROWS, 0, 1_000).unwrap();
        let mut expected = Vec::new();
        for user in 0..40_u32 {
            for sequence in 0..50 {
                let ts = i64::from((user * 7_919 + sequence * 104_729) % 1_000);
                let way = Way { platform: 4, channel: 5, campaign: 6 };
                let event = Event { ts, kind: 1, page: 2, item: sequence, cents: u32::MAX, order: user, way };
                spill.push(ts, sequence, Row { user: user.into(), country: 3, event }).unwrap();
                expected.push((ts, user, sequence, event));
            }
        }
        expected.sort_unstable_by_key(|(ts, user, sequence, _)| (*ts, *user, *sequence));
        let mut found = Vec::new();
        let take = |row: Row| {
            assert_eq!(row.country, 3);
            found.push((row.event.ts, row.user as u32, row.event.item, row.event));
            Ok(())
        };
        spill.drain(take).unwrap();
        assert_eq!(found, expected);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
