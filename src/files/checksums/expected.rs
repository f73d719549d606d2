//! What the bytes of a file's pages have to be, as its footer tells.
//!
//! Deals with: the list of checksums in the key-value metadata, and comparing bytes with it. Does not deal with: getting the bytes.
//!
//! The list has a CRC32 for each page header (a chunk's dictionary first) and then one for the chunk's bloom filter, chunk by
//! chunk, as hexadecimal text. Which pages there are is told by the offset index, so the list says nothing of them.

use std::fmt::Write;

use parquet::file::metadata::{ColumnChunkMetaData, ParquetMetaData};

use super::{HEADERS_KEY, header};

/// No header is longer, since none holds statistics.
const LONGEST_HEADER: usize = 1 << 10;

/// The pages and bloom filters of a file.
#[derive(Debug, Default)]
pub(super) struct Expected {
    /// By their first byte.
    pages: Vec<Page>,
    filters: Vec<Filter>,
}

/// A page with its header.
#[derive(Debug, Clone, Copy)]
pub(super) struct Page {
    pub start: u64,
    pub length: usize,
    /// CRC32 of the header.
    pub header: u32,
    /// Position of the leaf column.
    pub column: usize,
}

/// A bloom filter.
#[derive(Debug, Clone, Copy)]
pub(super) struct Filter {
    pub start: u64,
    pub length: usize,
    pub crc: u32,
    pub column: usize,
}

/// The list as text.
pub(super) fn listed(sums: &[u32]) -> String {
    let mut text = String::with_capacity(8 * sums.len());
    for sum in sums {
        // Writing to a text does not fail.
        let _ = write!(text, "{sum:08x}");
    }
    text
}

/// Where the last page or bloom filter of a file ends.
pub(super) fn end_of_pages(metadata: &ParquetMetaData) -> u64 {
    let chunks = metadata.row_groups().iter().flat_map(|group| group.columns());
    let ends = chunks.flat_map(|chunk| {
        let (start, length) = chunk.byte_range();
        let filter = filter_of(chunk).map_or(0, |(start, length)| start + length as u64);
        [start + length, filter]
    });
    ends.max().unwrap_or(4)
}

fn filter_of(chunk: &ColumnChunkMetaData) -> Option<(u64, usize)> {
    let start = u64::try_from(chunk.bloom_filter_offset()?).ok()?;
    Some((start, usize::try_from(chunk.bloom_filter_length()?).ok()?))
}

impl Expected {
    /// `None` for a file that has no list. A list that does not fit the file is an error in words.
    pub fn of(metadata: &ParquetMetaData) -> Result<Option<Self>, String> {
        let entries = metadata.file_metadata().key_value_metadata().into_iter().flatten();
        let Some(list) = entries.filter(|entry| entry.key == HEADERS_KEY).find_map(|entry| entry.value.as_deref())
        else {
            return Ok(None);
        };
        let unfit = || "the list of checksums in its footer does not fit its pages".to_string();
        let index = metadata.offset_index().ok_or("it has no offset index")?;
        let mut sums = list.as_bytes().chunks(8).map(|digits| {
            let digits = std::str::from_utf8(digits).ok().filter(|digits| digits.len() == 8)?;
            u32::from_str_radix(digits, 16).ok()
        });
        let mut next = || sums.next().flatten().ok_or_else(unfit);
        let mut expected = Self::default();
        for (group, index) in metadata.row_groups().iter().zip(index) {
            for (column, (chunk, index)) in group.columns().iter().zip(index).enumerate() {
                let (start, _) = chunk.byte_range();
                let data = chunk.data_page_offset().max(0) as u64;
                if data > start {
                    let length = (data - start) as usize;
                    expected.pages.push(Page { start, length, header: next()?, column });
                }
                for page in index.page_locations() {
                    let (start, length) = (page.offset.max(0) as u64, page.compressed_page_size.max(0) as usize);
                    expected.pages.push(Page { start, length, header: next()?, column });
                }
                if let Some((start, length)) = filter_of(chunk) {
                    expected.filters.push(Filter { start, length, crc: next()?, column });
                }
            }
        }
        if sums.next().is_some() || !expected.pages.is_sorted_by_key(|page| page.start) {
            return Err(unfit());
        }
        Ok(Some(expected))
    }

    /// The page that begins at a place.
    pub fn page_at(&self, start: u64) -> Option<&Page> {
        self.pages.binary_search_by_key(&start, |page| page.start).ok().map(|at| &self.pages[at])
    }

    pub fn pages(&self) -> &[Page] {
        &self.pages
    }

    pub fn filters(&self) -> &[Filter] {
        &self.filters
    }

    /// Compares bytes that begin at a place of the file; the first column with a header or bloom filter that is another is an
    /// error. The pages themselves are compared by the library when it decodes them.
    pub fn check(&self, start: u64, bytes: &[u8]) -> Result<(), usize> {
        let end = start + bytes.len() as u64;
        let first = self.pages.partition_point(|page| page.start < start);
        for page in self.pages[first..].iter().take_while(|page| page.start < end) {
            if !page.header_holds(&bytes[(page.start - start) as usize..]) {
                return Err(page.column);
            }
        }
        for filter in &self.filters {
            let whole = filter.start >= start && filter.start + filter.length as u64 <= end;
            let inside = filter.start < end && start < filter.start + filter.length as u64;
            if whole {
                let from = (filter.start - start) as usize;
                if crc32fast::hash(&bytes[from..from + filter.length]) != filter.crc {
                    return Err(filter.column);
                }
            } else if inside {
                // Filters are read whole; a part of one cannot be compared, so it is not trusted.
                return Err(filter.column);
            }
        }
        Ok(())
    }
}

impl Page {
    /// Whether a page begins as it should. Less than the header is not enough.
    pub fn header_holds(&self, bytes: &[u8]) -> bool {
        let Some(begin) = header::begin(bytes) else { return false };
        let length = self.length.checked_sub(begin.compressed as usize).filter(|length| *length <= LONGEST_HEADER);
        let header = length.and_then(|length| bytes.get(..length));
        header.is_some_and(|header| crc32fast::hash(header) == self.header)
    }

    /// Whether a whole page is as it should.
    pub fn holds(&self, bytes: &[u8]) -> bool {
        let body = header::begin(bytes).and_then(|begin| {
            let from = self.length.checked_sub(begin.compressed as usize)?;
            Some(begin.crc? == crc32fast::hash(bytes.get(from..self.length)?))
        });
        self.header_holds(bytes) && body == Some(true)
    }

    /// As many bytes as surely hold the header.
    pub fn beginning(&self) -> usize {
        self.length.min(LONGEST_HEADER)
    }
}
