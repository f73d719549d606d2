//! The beginnings of sources: their columns, and samples of values.
//!
//! Deals with: how much is looked at, headers, standard input, which is read once. Does not deal with: types (`infer`).

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::io::Read;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use super::blocks::{BLOCK, Blocks, Ends};
use super::columns::Shape;
use super::csv::{self, CsvOptions, CsvShape};
use super::infer::Seen;
use super::ndjson::{self, Paths};
use super::parquet::has_type;
use super::records::{Looked, Shaper, rules::Rules};
use super::source::{Source, SourceFormat};
use super::stored;
use crate::error::{Error, Result};

/// How much of the sources is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sample {
    /// So many rows of each, as far as its share of 64 MiB of text, or of two million stored rows, goes.
    Rows(usize),
    /// Everything.
    All,
}

/// Bytes of samples of text, all sources together, and the least of each.
pub const SAMPLE_BYTES: usize = 64 << 20;
const LEAST_BYTES: usize = 256 << 10;

/// Rows of samples of Parquet, all sources together, and the least of each.
pub const SAMPLE_ROWS: usize = 2 << 20;
const LEAST_ROWS: usize = 8 << 10;

/// Bytes of a source that are read at once: what tells a delimiter and a header.
const FIRST_BYTES: usize = 8 << 20;

/// How sources are written, beyond what they say.
#[derive(Debug, Clone)]
pub struct HeadOptions {
    /// How CSV is written.
    pub csv: CsvOptions,
    /// How much is looked at.
    pub sample: Sample,
    /// Texts that mean NULL.
    pub nulls: Vec<String>,
    /// How records become rows, where they are not rows already.
    pub rules: Option<Arc<Rules>>,
}

/// A source's beginning.
#[derive(Debug, Clone, Default)]
pub struct Head {
    /// How it is written, if it is CSV with at least a header.
    pub csv: Option<CsvShape>,
    /// How nested fields are found.
    pub paths: Paths,
    /// `key=value` folders above it whose keys are no columns of its own.
    pub constants: Vec<(String, Option<String>)>,
    /// What was read of standard input.
    pub prefix: Vec<u8>,
    /// How its records become rows, where they are not rows already.
    pub shaper: Option<Shaper>,
}

/// What all sources show.
#[derive(Debug)]
pub struct Heads {
    /// How each is read.
    pub heads: Vec<Head>,
    /// What each holds. Texts that several show of a column are remembered by the first of them.
    pub shapes: Vec<Shape>,
    /// Sources of which fewer rows were looked at than was asked for.
    pub cut: usize,
}

/// What is looked at of a source at the most.
#[derive(Debug, Clone, Copy)]
struct Share {
    rows: usize,
    /// Bytes of text.
    bytes: u64,
    /// Rows of Parquet.
    stored_rows: usize,
}

/// Looks at all sources.
pub fn read(sources: &[Source], options: &HeadOptions) -> Result<Heads> {
    let part = |of: usize, least: usize| (of / sources.len().max(1)).max(least);
    let share = match options.sample {
        Sample::Rows(rows) => Share {
            rows,
            bytes: part(SAMPLE_BYTES, LEAST_BYTES) as u64,
            stored_rows: part(SAMPLE_ROWS, LEAST_ROWS).min(rows),
        },
        Sample::All => Share { rows: usize::MAX, bytes: u64::MAX, stored_rows: usize::MAX },
    };
    let mut all = Heads { heads: Vec::new(), shapes: Vec::new(), cut: 0 };
    let mut first = HashMap::new();
    for source in sources {
        let (mut head, mut shape, cut) = one(source, share, options).map_err(|e| named(e, &source.name))?;
        head.constants = constants(source, &mut shape);
        leave_texts(&mut all.shapes, &mut shape, &mut first);
        all.heads.push(head);
        all.shapes.push(shape);
        all.cut += usize::from(cut);
    }
    Ok(all)
}

/// Adds the keys of a source's folders to what it shows. A column of the file that is called the same is the one that is read.
fn constants(source: &Source, shape: &mut Shape) -> Vec<(String, Option<String>)> {
    let own = |key: &str| shape.columns.iter().any(|(name, _)| name == key);
    let constants: Vec<_> = source.partitions.iter().filter(|(key, _)| !own(key)).cloned().collect();
    for (key, value) in &constants {
        let mut seen = Seen::default();
        match value.as_deref() {
            Some("") | None => seen.null(),
            // As of Parquet files: numbers and dates that come back as they are written, and texts.
            Some(value) if has_type(value) => seen.plain(value),
            Some(value) => seen.opaque(value),
        }
        shape.columns.push((key.clone(), seen));
    }
    constants
}

/// Where a column is met first: by its name and, where it can be called by it, its place; types that are said apart from others.
type First = HashMap<(String, Option<usize>, bool), (usize, usize)>;

/// Leaves the texts of a source's columns to the sources before.
fn leave_texts(before: &mut [Shape], shape: &mut Shape, first: &mut First) {
    let by_position = shape.by_position;
    for (at, (name, seen)) in shape.columns.iter_mut().enumerate() {
        match first.entry((name.clone(), by_position.then_some(at), seen.declared.is_some())) {
            Entry::Occupied(known) => {
                let (source, column) = *known.get();
                // Of two columns of one source with the same name neither has a say about the other.
                if let Some(shape) = before.get_mut(source) {
                    seen.leave_texts(&mut shape.columns[column].1);
                }
            }
            Entry::Vacant(new) => {
                new.insert((before.len(), at));
            }
        }
    }
}

/// Puts the source's name before a message that lacks it.
fn named(error: Error, name: &str) -> Error {
    if error.message().contains(name) { error } else { error.within(&format!("'{name}': ")) }
}

/// Looks at a source; true where fewer rows were looked at than was asked for.
fn one(source: &Source, share: Share, options: &HeadOptions) -> Result<(Head, Shape, bool)> {
    if let Some(rules) = options.rules.as_ref().filter(|rules| rules.format != source.format) {
        return Err(rules.other_file(&source.name, &format!("it is {}", source.format.name())));
    }
    if source.format == SourceFormat::Parquet {
        let Some((path, _)) = &source.file else {
            return Err(Error::usage("Parquet cannot be read from standard input"));
        };
        let (shape, rows) = stored::shape(path, &source.name, share.stored_rows, &options.nulls)?;
        let cut = share.stored_rows < share.rows && rows > share.stored_rows as u64;
        return Ok((Head::default(), shape, cut));
    }
    let ignored = Arc::new(AtomicU64::new(0));
    let failed = |e: &std::io::Error| unread(source, e);
    let mut stream = source.bytes(0, &ignored)?;
    let mut text = Vec::new();
    let step = share.bytes.min(FIRST_BYTES as u64);
    let mut more = |text: &mut Vec<u8>| {
        let read = stream.by_ref().take(step).read_to_end(text).map_err(|e| failed(&e))?;
        Ok::<bool, Error>(read as u64 == step)
    };
    let mut partial = more(&mut text)?;
    if source.file.is_none() {
        // It is kept, so that it can be read again.
        while partial && csv::lines(&text, b'\n') <= share.rows as u64 && text.len() as u64 + step <= share.bytes {
            partial = more(&mut text)?;
        }
    }
    let rest = (partial && source.file.is_some()).then_some(stream);
    let sample = Begun { text: &text, partial: partial && rest.is_none(), rest };
    let (mut head, shape, cut) = match source.format {
        SourceFormat::Csv => csv_head(source, sample, share, options)?,
        SourceFormat::Ndjson | SourceFormat::Parquet => ndjson_head(source, sample, share, options)?,
    };
    if source.file.is_none() {
        head.prefix = text;
    }
    Ok((head, shape, cut))
}

/// The text at the beginning of a source.
struct Begun<'a> {
    text: &'a [u8],
    /// Whether its last record may be cut off.
    partial: bool,
    /// What follows, where there is more.
    rest: Option<Box<dyn Read + Send>>,
}

/// Looks at whole records until a source's share is used up: `look` takes some, and how many rows are wanted of them, and
/// says how many it found. True where rows are left that were wanted.
fn look_at(
    source: &Source,
    share: Share,
    mut blocks: Blocks,
    mut look: impl FnMut(&[u8], usize) -> usize,
) -> Result<bool> {
    let (mut wanted, mut begun) = (share.rows, false);
    while wanted > 0
        && let Some(block) = blocks.next(|e| unread(source, e))?
    {
        if begun && block.end > share.bytes {
            return Ok(true);
        }
        begun = true;
        wanted = wanted.saturating_sub(look(&block.text, wanted));
    }
    Ok(false)
}

/// Bytes of a block of a sample.
fn block(share: Share) -> usize {
    usize::try_from(share.bytes).unwrap_or(BLOCK).min(BLOCK)
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
    Begun { text, partial, rest }: Begun<'_>,
    share: Share,
    options: &HeadOptions,
) -> Result<(Head, Shape, bool)> {
    let asked = CsvOptions { delimiter: options.csv.delimiter.or(source.delimiter), ..options.csv.clone() };
    let name = source.name.clone();
    let Some(found) = csv::shape(text, &asked)? else {
        if let Some(rules) = &options.rules {
            // What is empty has the columns all the same.
            let (_, shape) =
                Looked::new(Shaper::new(rules, &options.nulls, &name, None)?, &options.nulls).finish(&name, false)?;
            return Ok((Head::default(), shape, false));
        }
        let shape = Shape { source: name, columns: Vec::new(), by_position: true, whole: true };
        return Ok((Head::default(), shape, false));
    };
    if let Some(rules) = &options.rules {
        return shaped_csv(source, Begun { text, partial, rest }, share, options, rules, found);
    }
    let mut columns: Vec<(String, Seen)> = found.names.iter().map(|name| (name.clone(), Seen::default())).collect();
    let mut plain = Vec::new();
    let mut row = |values: &[Option<&str>]| {
        for ((_, seen), value) in columns.iter_mut().zip(values) {
            match value.filter(|value| !options.nulls.iter().any(|null| null == value)) {
                Some("") | None => seen.null(),
                Some(value) => match found.numbers {
                    Some(numbers) if numbers.plain(value.as_bytes(), &mut plain) => {
                        seen.plain(std::str::from_utf8(&plain).unwrap_or(value));
                    }
                    Some(_) => seen.no_number(value),
                    None => seen.plain(value),
                },
            }
        }
    };
    let cut = match rest {
        None => {
            let whole = csv::whole_records(text, found.dialect, !partial);
            csv::sample(&text[..whole], &found, share.rows, &mut row) < share.rows && partial
        }
        Some(rest) => {
            let begin = usize::try_from(found.body).unwrap_or(0).min(text.len());
            let stream = std::io::Cursor::new(text[begin..].to_vec()).chain(rest);
            let blocks = Blocks::new(Box::new(stream), Ends::Csv(found.dialect), found.body, found.body_line);
            let body = CsvShape { body: 0, ..found.clone() };
            look_at(source, share, blocks.with_size(block(share)), |text, most| {
                csv::sample(text, &body, most, &mut row)
            })?
        }
    };
    let shape = Shape { source: name, columns, by_position: true, whole: true };
    Ok((Head { csv: Some(found), ..Head::default() }, shape, cut))
}

fn ndjson_head(
    source: &Source,
    Begun { text, partial, rest }: Begun<'_>,
    share: Share,
    options: &HeadOptions,
) -> Result<(Head, Shape, bool)> {
    let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
    let begin = text.trim_ascii_start();
    if begin.starts_with(b"[") {
        return Err(Error::data(format!("'{}' holds a JSON array; an object on each line is needed", source.name))
            .hint("jq -c '.[]' FILE > FILE.ndjson makes one"));
    }
    if let Some(rules) = &options.rules {
        let mut looked = Looked::new(Shaper::new(rules, &options.nulls, &source.name, None)?, &options.nulls);
        let cut = match rest {
            None => looked.at(text, 1, None) < share.rows && partial,
            Some(rest) => {
                let stream = std::io::Cursor::new(text.to_vec()).chain(rest);
                let blocks = Blocks::new(Box::new(stream), Ends::Lines, 0, 1);
                look_at(source, share, blocks.with_size(block(share)), |text, _| looked.at(text, 1, None))?
            }
        };
        let (shaper, shape) = looked.finish(&source.name, cut)?;
        return Ok((Head { paths: shaper.paths(), shaper: Some(shaper), ..Head::default() }, shape, cut));
    }
    let mut all = Seen::default();
    let (mut lines, mut objects) = (0, 0);
    let mut look = |text: &[u8], most: usize| {
        let mut found = 0;
        // The last line of a sample may go on: then it is no object.
        for line in text.split_inclusive(|b| *b == b'\n').filter(|line| !line.trim_ascii().is_empty()) {
            if found == most {
                break;
            }
            lines += 1;
            found += usize::from(ndjson::look(line, &options.nulls, &mut all));
        }
        objects += found;
        found
    };
    let cut = match rest {
        None => look(text, share.rows) < share.rows && partial,
        Some(rest) => {
            let stream = std::io::Cursor::new(text.to_vec()).chain(rest);
            let blocks = Blocks::new(Box::new(stream), Ends::Lines, 0, 1);
            look_at(source, share, blocks.with_size(block(share)), look)?
        }
    };
    if objects == 0 && lines > 1 && begin.starts_with(b"{") && !begin.starts_with(b"{\"") {
        return Err(Error::data(format!(
            "'{}' holds JSON over several lines; an object on each line is needed",
            source.name
        ))
        .hint("jq -c . FILE > FILE.ndjson makes one"));
    }
    if all.is_crowded() {
        let most = super::infer::MOST_FIELDS;
        return Err(Error::data(format!("'{}' has rows of more than {most} different fields", source.name))
            .hint("keys that are data belong into an object or a list below one field, which is kept as text"));
    }
    let names = all.fields.iter().map(|(name, _)| name.clone()).collect();
    let whole = !cut && objects < share.rows;
    let shape = Shape { source: source.name.clone(), columns: all.fields, by_position: false, whole };
    Ok((Head { paths: Paths::new(names), ..Head::default() }, shape, cut))
}

/// Of records that become rows.
fn shaped_csv(
    source: &Source,
    Begun { text, partial, rest }: Begun<'_>,
    share: Share,
    options: &HeadOptions,
    rules: &Arc<Rules>,
    mut found: CsvShape,
) -> Result<(Head, Shape, bool)> {
    if let Some(names) = &rules.names {
        if names.len() != found.names.len() {
            let why = format!("it has {} columns in place of {}", found.names.len(), names.len());
            return Err(rules.other_file(&source.name, &why));
        }
        found.names.clone_from(names);
    }
    let mut looked = Looked::new(Shaper::new(rules, &options.nulls, &source.name, Some(&found))?, &options.nulls);
    let begin = usize::try_from(found.body).unwrap_or(0).min(text.len());
    let cut = match rest {
        None => {
            let whole = csv::whole_records(&text[begin..], found.dialect, !partial);
            looked.at(&text[begin..begin + whole], found.body_line, Some(&found)) < share.rows && partial
        }
        Some(rest) => {
            let stream = std::io::Cursor::new(text[begin..].to_vec()).chain(rest);
            let blocks = Blocks::new(Box::new(stream), Ends::Csv(found.dialect), found.body, found.body_line);
            look_at(source, share, blocks.with_size(block(share)), |text, _| looked.at(text, 1, Some(&found)))?
        }
    };
    let (shaper, shape) = looked.finish(&source.name, cut)?;
    Ok((Head { csv: Some(found), paths: shaper.paths(), shaper: Some(shaper), ..Head::default() }, shape, cut))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(rows: usize) -> HeadOptions {
        HeadOptions { csv: CsvOptions::default(), sample: Sample::Rows(rows), nulls: Vec::new(), rules: None }
    }

    #[test]
    fn as_many_rows_are_looked_at_as_are_asked_for_and_as_the_share_allows() {
        let folder = tempfile::tempdir().unwrap();
        let lines = |line: &dyn Fn(usize) -> String| (0..1_000).map(line).collect::<String>();
        let csv = format!("a,b\n{}", lines(&|n| format!("{n},\"x\n{n}\"\n")));
        std::fs::write(folder.path().join("a.csv"), csv).unwrap();
        std::fs::write(folder.path().join("b.ndjson"), lines(&|n| format!("{{\"a\": {n}, \"b\": \"x{n}\"}}\n")))
            .unwrap();
        let sources = super::super::source::find(&[folder.path().display().to_string()], Default::default()).unwrap();
        assert_eq!(sources.len(), 2);
        for source in &sources {
            let looked_at = |rows: usize, bytes: u64| {
                let share = Share { rows, bytes, stored_rows: 0 };
                let (_, shape, cut) = one(source, share, &options(rows)).unwrap();
                (shape.columns[0].1.values(), cut)
            };
            assert_eq!(looked_at(10, 1 << 20), (10, false));
            assert_eq!(looked_at(10, 1_000), (10, false));
            assert_eq!(looked_at(5_000, 1 << 20), (1_000, false));
            assert_eq!(looked_at(usize::MAX, u64::MAX), (1_000, false));
            let (few, cut) = looked_at(500, 2_000);
            assert!((50..250).contains(&few) && cut, "{few}");
        }
    }

    #[test]
    fn sources_of_the_same_columns_remember_texts_once() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["a.csv", "b.csv", "c.ndjson", "d.ndjson"] {
            let text = match name.ends_with("csv") {
                true => "user_id,ts\n".to_string() + &format!("{name},2024-01-31\n").repeat(4),
                false => format!("{{\"user_id\": \"{name}\", \"ts\": \"2024-01-31\"}}\n").repeat(4),
            };
            std::fs::write(folder.path().join(name), text).unwrap();
        }
        let sources = super::super::source::find(&[folder.path().display().to_string()], Default::default()).unwrap();
        let found = read(&sources, &options(100)).unwrap();
        assert_eq!((found.heads.len(), found.cut), (4, 0));
        let texts = found.shapes.iter().map(|shape| shape.columns[0].1.texts());
        assert_eq!(texts.collect::<Vec<_>>(), [2, 0, 2, 0]);
    }
}
