//! All sources, block by block: read and cut on one thread, decoded on several, handed out in order.
//!
//! Deals with: threads, order, places to go on from. Does not deal with: what happens with the rows (`run`).
//!
//! ```text
//!  reader ─blocks─▶ decoder, decoder, .. ─▶ in the order of the blocks ─▶ caller
//! ```

use std::io::Read;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use arrow::array::RecordBatch;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use super::blocks::{Block, Blocks, Ends};
use super::columns::Columns;
use super::convert::convert;
use super::csv::{self, Places};
use super::decoded::Decoded;
use super::heads::{Head, unread};
use super::source::{Source, SourceFormat};
use super::{ndjson, stored};
use crate::error::{Error, Result};

/// Where reading goes on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// Number of the source.
    pub source: usize,
    /// Bytes of it (decompressed) or rows of a Parquet file that are done.
    pub offset: u64,
    /// Lines of it that are done; with 0 bytes, none.
    pub line: u64,
}

/// What is read, and how.
pub struct Sources<'a> {
    /// The sources.
    pub sources: &'a [Source],
    /// Their beginnings.
    pub heads: &'a [Head],
    /// The columns.
    pub layout: &'a Columns,
    /// Decoding threads.
    pub threads: usize,
    /// Bytes of a block of text, and about those of a batch of Parquet.
    pub block: usize,
    /// Counts bytes read of all sources.
    pub read: Arc<AtomicU64>,
}

enum Payload {
    Text(Vec<u8>),
    Rows(RecordBatch),
}

struct Job {
    source: usize,
    payload: Payload,
    /// Number of the first line or row.
    first: u64,
    answer: SyncSender<Result<Decoded>>,
}

type Ordered = (Place, Receiver<Result<Decoded>>);

impl Sources<'_> {
    /// Reads everything from `from` on. `each` takes the rows of a block, and where to go on behind it.
    pub fn each(&self, from: Place, mut each: impl FnMut(Decoded, Place) -> Result<()>) -> Result<()> {
        let threads = self.threads.max(1);
        let ways: Vec<Way> = self.heads.iter().map(|head| Way::of(self.layout, head)).collect();
        let (jobs, waiting) = sync_channel::<Job>(threads);
        let waiting = Mutex::new(waiting);
        let (order, ordered) = sync_channel::<Result<Ordered>>(threads * 2);
        std::thread::scope(|scope| {
            scope.spawn(move || {
                if let Err(error) = self.cut(from, &jobs, &order) {
                    // A caller that has left knows why.
                    let _ = order.send(Err(error));
                }
            });
            for _ in 0..threads {
                let (waiting, ways) = (&waiting, &ways);
                scope.spawn(move || {
                    loop {
                        let Ok(job) = waiting.lock().recv() else { break };
                        let decoded =
                            std::panic::catch_unwind(AssertUnwindSafe(|| self.decode(&job, &ways[job.source])));
                        let decoded = decoded.unwrap_or_else(|_| Err(Error::internal("ingest: a decoder panicked")));
                        let _ = job.answer.send(decoded);
                    }
                });
            }
            for next in ordered {
                let (place, answer) = next?;
                let decoded = answer.recv().map_err(|_| Error::internal("ingest: a block was lost"))??;
                each(decoded, place)?;
            }
            Ok(())
        })
    }

    /// Cuts the sources into blocks.
    fn cut(&self, from: Place, jobs: &SyncSender<Job>, order: &SyncSender<Result<Ordered>>) -> Result<()> {
        // False when nobody wants more.
        let send = |source: usize, payload: Payload, first: u64, place: Place| {
            let (answer, answered) = sync_channel(1);
            order.send(Ok((place, answered))).is_ok() && jobs.send(Job { source, payload, first, answer }).is_ok()
        };
        for (number, (source, head)) in self.sources.iter().zip(self.heads).enumerate().skip(from.source) {
            let from = if number == from.source { from } else { Place { source: number, ..Place::default() } };
            let before: u64 = self.sources[..number].iter().map(Source::size).sum();
            self.read.store(before, Ordering::Relaxed);
            let more = match source.format {
                SourceFormat::Parquet => self.cut_parquet(number, source, from, before, &send)?,
                SourceFormat::Csv | SourceFormat::Ndjson => self.cut_text(number, source, head, from, &send)?,
            };
            if !more {
                return Ok(());
            }
        }
        Ok(())
    }

    fn cut_parquet(
        &self,
        number: usize,
        source: &Source,
        from: Place,
        before: u64,
        send: &dyn Fn(usize, Payload, u64, Place) -> bool,
    ) -> Result<bool> {
        let Some((path, identity)) = &source.file else { return Ok(true) };
        let all = stored::count(path)?;
        let mut reader = stored::rows(path, self.layout, from.offset, self.block)?;
        let mut done = from.offset;
        while let Some(batch) = stored::next(&mut reader, path)? {
            let first = done + 1;
            done += batch.num_rows() as u64;
            let part = u128::from(identity.size) * u128::from(done) / u128::from(all.max(1));
            self.read.store(before + u64::try_from(part).unwrap_or(identity.size), Ordering::Relaxed);
            let place = Place { source: number, offset: done, line: done };
            if batch.num_rows() > 0 && !send(number, Payload::Rows(batch), first, place) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn cut_text(
        &self,
        number: usize,
        source: &Source,
        head: &Head,
        from: Place,
        send: &dyn Fn(usize, Payload, u64, Place) -> bool,
    ) -> Result<bool> {
        let Some(mut text) = Text::go_on(source, head, from, self.block, &self.read)? else { return Ok(true) };
        while let Some(block) = text.next(source)? {
            let place = Place { source: number, offset: block.end, line: block.end_line };
            if !send(number, Payload::Text(block.text), block.line, place) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn decode(&self, job: &Job, way: &Way) -> Result<Decoded> {
        match &job.payload {
            Payload::Rows(rows) => convert(rows, job.first, &way.columns),
            Payload::Text(text) => way.decode(&self.heads[job.source], text, job.first),
        }
    }
}

/// The text of a source in blocks of whole records.
pub struct Text(Blocks);

impl std::fmt::Debug for Text {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Text")
    }
}

impl Text {
    /// A source from its first record on, in blocks of about `size` bytes; `None` where it has none. `read` counts bytes of the file.
    pub fn begin(source: &Source, head: &Head, size: usize, read: &Arc<AtomicU64>) -> Result<Option<Self>> {
        Self::go_on(source, head, Place::default(), size, read)
    }

    fn go_on(source: &Source, head: &Head, from: Place, size: usize, read: &Arc<AtomicU64>) -> Result<Option<Self>> {
        let ends = match (source.format, &head.csv) {
            (SourceFormat::Csv, None) => return Ok(None),
            (SourceFormat::Csv, Some(csv)) => Ends::Csv(csv.dialect),
            _ => Ends::Lines,
        };
        let (body, body_line) = head.csv.as_ref().map_or((0, 1), |csv| (csv.body, csv.body_line));
        let (offset, line) = if from.offset == 0 { (body, body_line) } else { (from.offset, from.line) };
        let mut bytes: Box<dyn Read + Send> = match source.file {
            Some(_) => source.bytes(offset, read)?,
            None => {
                let begin = usize::try_from(offset).unwrap_or(usize::MAX).min(head.prefix.len());
                let rest = source.bytes(0, read)?;
                Box::new(std::io::Cursor::new(head.prefix[begin..].to_vec()).chain(rest))
            }
        };
        if body == 0 && offset == 0 {
            bytes = without_bom(bytes).map_err(|e| unread(source, &e))?;
        }
        Ok(Some(Self(Blocks::new(bytes, ends, offset, line).with_size(size))))
    }

    /// The next block.
    pub fn next(&mut self, source: &Source) -> Result<Option<Block>> {
        self.0.next(|e| unread(source, e))
    }
}

/// How the rows of one source are read.
pub struct Way {
    columns: Columns,
    /// Where they are, in CSV.
    places: Option<Places>,
}

impl Way {
    /// How a source that begins so fills the columns.
    pub fn of(columns: &Columns, head: &Head) -> Self {
        let columns = columns.with_constants(&head.constants);
        let places = head.csv.as_ref().map(|csv| Places::of(&columns, csv));
        Self { columns, places }
    }

    /// The rows of a block of text.
    pub fn decode(&self, head: &Head, text: &[u8], first: u64) -> Result<Decoded> {
        if let Some(shaper) = &head.shaper {
            return shaper.decode(text, first, head.csv.as_ref(), &self.columns);
        }
        match &self.places {
            Some(places) => csv::decode(text, first, places, &self.columns),
            None => ndjson::decode(text, first, &head.paths, &self.columns),
        }
    }
}

/// Passes over a byte order mark, whose bytes stay part of the source's offsets.
fn without_bom(mut bytes: Box<dyn Read + Send>) -> std::io::Result<Box<dyn Read + Send>> {
    let mut begin = Vec::with_capacity(3);
    bytes.by_ref().take(3).read_to_end(&mut begin)?;
    if begin == b"\xef\xbb\xbf" {
        begin.fill(b' ');
    }
    Ok(Box::new(std::io::Cursor::new(begin).chain(bytes)))
}
