//! The beginnings of sources: their columns, and samples of values.
//!
//! Deals with: how much is looked at, headers, standard input, which is read once. Does not deal with: types (`infer`).

use std::io::Read;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use super::blocks::{Blocks, Ends};
use super::columns::Shape;
use super::csv::{self, CsvShape};
use super::infer::Seen;
use super::ndjson::{self, Paths};
use super::parquet;
use super::source::{Source, SourceFormat};
use crate::error::{Error, Result};

/// How much of the sources is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sample {
    /// At most this many rows, and some megabytes, of each.
    Rows(usize),
    /// Everything.
    All,
}

/// Bytes of samples, all sources together, and the least of each.
const SAMPLE_BYTES: usize = 64 << 20;
const LEAST_BYTES: usize = 256 << 10;
const MOST_BYTES: usize = 8 << 20;

/// How sources are written, beyond what they say.
#[derive(Debug, Clone)]
pub struct HeadOptions {
    /// Between fields; told by the first lines where it is not given.
    pub delimiter: Option<u8>,
    /// Whether CSV sources begin with the names of their columns.
    pub header: bool,
    /// How much is looked at.
    pub sample: Sample,
    /// Texts that mean NULL.
    pub nulls: Vec<String>,
}

/// A source's beginning.
#[derive(Debug, Clone)]
pub struct Head {
    /// Its columns.
    pub shape: Shape,
    /// How it is written, if it is CSV with at least a header.
    pub csv: Option<CsvShape>,
    /// How nested fields are found.
    pub paths: Paths,
    /// What was read of standard input.
    pub prefix: Vec<u8>,
}

/// Looks at all sources.
pub fn read(sources: &[Source], options: &HeadOptions) -> Result<Vec<Head>> {
    let each = (SAMPLE_BYTES / sources.len().max(1)).clamp(LEAST_BYTES, MOST_BYTES);
    sources.iter().map(|source| one(source, each, options).map_err(|e| named(e, &source.name))).collect()
}

/// Puts the source's name before a message that lacks it.
fn named(error: Error, name: &str) -> Error {
    if error.message().contains(name) { error } else { error.within(&format!("'{name}': ")) }
}

fn one(source: &Source, bytes: usize, options: &HeadOptions) -> Result<Head> {
    let rows = match options.sample {
        Sample::Rows(rows) => rows,
        Sample::All => usize::MAX,
    };
    if source.format == SourceFormat::Parquet {
        let Some((path, _)) = &source.file else {
            return Err(Error::usage("Parquet cannot be read from standard input"));
        };
        let shape = parquet::shape(path, &source.name, rows, &options.nulls)?;
        return Ok(Head { shape, csv: None, paths: Paths::default(), prefix: Vec::new() });
    }
    let ignored = Arc::new(AtomicU64::new(0));
    let failed = |e: &std::io::Error| unread(source, e);
    let mut stream = source.bytes(0, &ignored)?;
    let mut text = Vec::new();
    stream.by_ref().take(bytes as u64).read_to_end(&mut text).map_err(|e| failed(&e))?;
    let mut partial = text.len() == bytes;
    // The rest of a sample of everything; standard input is kept, so that it can be read again.
    let mut rest = None;
    if partial && options.sample == Sample::All {
        match source.file {
            Some(_) => rest = Some(stream),
            None => {
                stream.read_to_end(&mut text).map_err(|e| failed(&e))?;
                partial = false;
            }
        }
    }
    let mut head = match source.format {
        SourceFormat::Csv => {
            let delimiter = options.delimiter.or(source.tabs.then_some(b'\t'));
            csv_head(source, (&text, partial && rest.is_none()), delimiter, rows, rest, options)?
        }
        SourceFormat::Ndjson | SourceFormat::Parquet => {
            ndjson_head(source, (&text, partial && rest.is_none()), rows, rest, options)?
        }
    };
    if source.file.is_none() {
        head.prefix = text;
    }
    Ok(head)
}

/// What went wrong while a source was read.
pub fn unread(source: &Source, error: &std::io::Error) -> Error {
    match &source.file {
        Some((path, _)) => Error::io("read", path, error),
        None => Error::data(format!("cannot read standard input: {error}")),
    }
}

fn csv_head(
    source: &Source,
    (text, partial): (&[u8], bool),
    delimiter: Option<u8>,
    rows: usize,
    rest: Option<Box<dyn Read + Send>>,
    options: &HeadOptions,
) -> Result<Head> {
    let name = source.name.clone();
    let Some(found) = csv::shape(text, delimiter, options.header)? else {
        let shape = Shape { source: name, columns: Vec::new(), by_position: true, whole: true };
        return Ok(Head { shape, csv: None, paths: Paths::default(), prefix: Vec::new() });
    };
    let mut columns: Vec<(String, Seen)> = found.names.iter().map(|name| (name.clone(), Seen::default())).collect();
    let mut row = |values: &[Option<&str>]| {
        for ((_, seen), value) in columns.iter_mut().zip(values) {
            match value.filter(|value| !options.nulls.iter().any(|null| null == value)) {
                Some("") | None => seen.null(),
                Some(value) => seen.plain(value),
            }
        }
    };
    match rest {
        None => {
            let whole = csv::whole_records(text, found.delimiter, !partial);
            csv::sample(&text[..whole], &found, rows, &mut row);
        }
        Some(rest) => {
            let begin = usize::try_from(found.body).unwrap_or(0).min(text.len());
            let stream = std::io::Cursor::new(text[begin..].to_vec()).chain(rest);
            let mut blocks = Blocks::new(Box::new(stream), Ends::Csv(found.delimiter), found.body, found.body_line);
            let body = CsvShape { body: 0, ..found.clone() };
            while let Some(block) = blocks.next(|e| unread(source, e))? {
                csv::sample(&block.text, &body, usize::MAX, &mut row);
            }
        }
    }
    let shape = Shape { source: name, columns, by_position: true, whole: true };
    Ok(Head { shape, csv: Some(found), paths: Paths::default(), prefix: Vec::new() })
}

fn ndjson_head(
    source: &Source,
    (text, partial): (&[u8], bool),
    rows: usize,
    rest: Option<Box<dyn Read + Send>>,
    options: &HeadOptions,
) -> Result<Head> {
    let begin = text.trim_ascii_start();
    if begin.starts_with(b"[") {
        return Err(Error::data(format!("'{}' holds a JSON array; an object on each line is needed", source.name))
            .hint("jq -c '.[]' FILE > FILE.ndjson makes one"));
    }
    let mut all = Seen::default();
    let (mut lines, mut objects) = (0_u64, 0_u64);
    let mut look = |text: &[u8]| {
        let most = u64::try_from(rows).unwrap_or(u64::MAX);
        for line in text.split_inclusive(|b| *b == b'\n') {
            if objects >= most {
                break;
            }
            // The last line of a sample may go on.
            if line.trim_ascii().is_empty() {
                continue;
            }
            lines += 1;
            objects += u64::from(ndjson::look(line, &options.nulls, &mut all));
        }
    };
    match rest {
        None => look(text),
        Some(rest) => {
            let stream = std::io::Cursor::new(text.to_vec()).chain(rest);
            let mut blocks = Blocks::new(Box::new(stream), Ends::Lines, 0, 1);
            while let Some(block) = blocks.next(|e| unread(source, e))? {
                look(&block.text);
            }
        }
    }
    if objects == 0 && lines > 1 && begin.starts_with(b"{") && !begin.starts_with(b"{\"") {
        return Err(Error::data(format!(
            "'{}' holds JSON over several lines; an object on each line is needed",
            source.name
        ))
        .hint("jq -c . FILE > FILE.ndjson makes one"));
    }
    let names = all.fields.iter().map(|(name, _)| name.clone()).collect();
    let whole = !partial && objects < u64::try_from(rows).unwrap_or(u64::MAX);
    let shape = Shape { source: source.name.clone(), columns: all.fields, by_position: false, whole };
    Ok(Head { shape, csv: None, paths: Paths::new(names), prefix: Vec::new() })
}
