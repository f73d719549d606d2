//! A source of rows: a file or standard input; its format, compression and encoding.
//!
//! Deals with: telling how a file is written by its name and its first bytes, reading it as UTF-8 text while counting what was read.
//! Does not deal with: which files a location names (`location`), what the text means (`csv`, `ndjson`, `stored`).

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use encoding_rs::Encoding;
use serde::{Deserialize, Serialize};

use super::json_elements::{Elements, Written};
use super::location::{self, DataFile, LOG_FOLDER, OTHER_KINDS};
use super::transcode::Transcoded;
use crate::error::{Error, Result};

/// How rows are written in a source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SourceFormat {
    /// Delimited text with a header.
    Csv,
    /// An object a line, or an array of objects.
    Ndjson,
    /// Parquet.
    Parquet,
}

impl SourceFormat {
    /// As people call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Csv => "CSV",
            Self::Ndjson => "NDJSON",
            Self::Parquet => "Parquet",
        }
    }
}

/// Endings of file names, without that of a compression.
pub const ENDINGS: [(&str, SourceFormat); 10] = [
    ("csv", SourceFormat::Csv),
    ("tsv", SourceFormat::Csv),
    ("tab", SourceFormat::Csv),
    ("psv", SourceFormat::Csv),
    ("txt", SourceFormat::Csv),
    ("ndjson", SourceFormat::Ndjson),
    ("jsonl", SourceFormat::Ndjson),
    ("json", SourceFormat::Ndjson),
    ("parquet", SourceFormat::Parquet),
    ("pq", SourceFormat::Parquet),
];

/// Endings of compressed files.
const COMPRESSED: [&str; 4] = [".gz", ".zst", ".bz2", ".xz"];

/// The ending of a file's name that tells its format, in any case; that of a compression may follow it.
pub fn ending(path: &Path) -> Option<(&'static str, SourceFormat)> {
    let name = path.file_name()?.to_str()?.to_lowercase();
    let stem = COMPRESSED.iter().find_map(|e| name.strip_suffix(e)).unwrap_or(&name);
    let ending = Path::new(stem).extension()?.to_str()?;
    ENDINGS.iter().find(|(known, _)| *known == ending).copied()
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Compression {
    None,
    Gzip,
    Zstd,
    Bzip2,
    Xz,
}

impl Compression {
    fn name(self) -> Option<&'static str> {
        match self {
            Self::None => None,
            Self::Gzip => Some("gzip"),
            Self::Zstd => Some("zstd"),
            Self::Bzip2 => Some("bzip2"),
            Self::Xz => Some("xz"),
        }
    }
}

/// What a decompressor gives out. Each has its own words for a file that was cut off.
struct Unpacked {
    inner: Box<dyn Read + Send>,
    name: &'static str,
}

impl Read for Unpacked {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        self.inner.read(buffer).map_err(|e| match e.raw_os_error() {
            Some(_) => e,
            None => {
                let what = format!("its {} data is damaged, or was cut off", self.name);
                std::io::Error::new(std::io::ErrorKind::InvalidData, what)
            }
        })
    }
}

/// What tells whether a source is still the same.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Identity {
    /// The whole path.
    pub path: String,
    /// Bytes.
    pub size: u64,
    /// Nanoseconds since 1970.
    pub modified: i64,
}

/// A source of rows.
#[derive(Debug, Clone)]
pub struct Source {
    /// As messages call it.
    pub name: String,
    /// How its rows are written.
    pub format: SourceFormat,
    /// What its name says of what separates the fields.
    pub delimiter: Option<u8>,
    /// The file and what tells it; `None` is standard input.
    pub file: Option<(PathBuf, Identity)>,
    /// `key=value` folders above it.
    pub partitions: Vec<(String, Option<String>)>,
    compression: Compression,
    /// What its text is written in, where that is not UTF-8.
    encoding: Option<&'static Encoding>,
    json: Written,
}

/// What is said of sources, where their names and first bytes do not tell it.
#[derive(Debug, Clone, Copy, Default)]
pub struct Said {
    /// The format of all of them.
    pub format: Option<SourceFormat>,
    /// The encoding of all of them.
    pub encoding: Option<&'static Encoding>,
}

/// The encoding of this name, as browsers know it: `gbk`, `latin1`, `windows-1252`, `utf-16le`, ..
pub fn encoding(name: &str) -> Result<&'static Encoding> {
    Encoding::for_label(name.trim().as_bytes()).ok_or_else(|| {
        Error::user(format!("unknown encoding '{name}'"))
            .hint("such as utf-8, utf-16le, latin1, windows-1252, gbk, gb18030, big5, shift_jis, euc-kr, windows-1251")
    })
}

/// The sources of a command line, in its order.
pub fn find(wanted: &[String], said: Said) -> Result<Vec<Source>> {
    let mut sources: Vec<Source> = Vec::new();
    let mut known = std::collections::HashSet::new();
    for name in wanted {
        if name == "-" {
            let Some(format) = said.format.filter(|f| *f != SourceFormat::Parquet) else {
                return Err(Error::usage("standard input needs --format csv or --format ndjson"));
            };
            if sources.iter().any(|source| source.file.is_none()) {
                return Err(Error::usage("standard input can be read once"));
            }
            sources.push(Source {
                name: "<stdin>".to_string(),
                format,
                delimiter: None,
                file: None,
                partitions: Vec::new(),
                compression: Compression::None,
                encoding: said.encoding,
                json: Written::Lines,
            });
            continue;
        }
        if location::expanded(name).join(LOG_FOLDER).is_dir() {
            return Err(Error::data(format!(
                "'{name}' is a managed table, whose folder may hold rows that are no longer in it"
            ))
            .hint("write its rows to a file first: COPY (SELECT * FROM ..) TO 'rows.parquet'"));
        }
        for file in location::find(name, Path::new(""))? {
            let source = Source::at(file, said)?;
            if source.file.as_ref().is_none_or(|(_, identity)| known.insert(identity.path.clone())) {
                sources.push(source);
            }
        }
    }
    if sources.is_empty() {
        return Err(Error::usage("nothing to ingest: name files, folders, globs or - for standard input"));
    }
    Ok(sources)
}

impl Source {
    /// A file, with what it says of itself.
    pub fn at(file: DataFile, said: Said) -> Result<Self> {
        let DataFile { path, partitions, .. } = file;
        let name = path.display().to_string();
        let told = ending(&path);
        let begin = beginning(&path)?;
        let Some(format) = said.format.or(told.map(|(_, format)| format)) else {
            return Err(unknown_kind(&path, &name, &begin));
        };
        let compression = match begin.as_slice() {
            [0x1f, 0x8b, ..] => Compression::Gzip,
            [0x28, 0xb5, 0x2f, 0xfd, ..] => Compression::Zstd,
            [b'B', b'Z', b'h', b'1'..=b'9', 0x31, 0x41, ..] => Compression::Bzip2,
            [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Compression::Xz,
            _ => Compression::None,
        };
        if compression != Compression::None && format == SourceFormat::Parquet {
            return Err(Error::data(format!("'{name}' is a compressed file, no Parquet file")));
        }
        if begin.starts_with(b"PAR1") && format != SourceFormat::Parquet {
            return Err(Error::data(format!("'{name}' is a Parquet file, not text")).hint(format!(
                "read_parquet('{name}') in a query, --format parquet in an ingest, or a name that ends with .parquet"
            )));
        }
        if let Some(kind) = kind_of(&begin).filter(|_| format != SourceFormat::Parquet) {
            return Err(not_read(&name, kind));
        }
        let delimiter = match told {
            Some(("tsv" | "tab", _)) => Some(b'\t'),
            Some(("psv", _)) => Some(b'|'),
            _ => None,
        };
        let identity = identity(&path)?;
        let (encoding, json) = (said.encoding, Written::Lines);
        let file = Some((path, identity));
        let mut source = Self { name, format, delimiter, file, partitions, compression, encoding, json };
        if format != SourceFormat::Parquet {
            source.look()?;
        }
        Ok(source)
    }

    /// Looks at the first bytes of the text: a byte order mark of UTF-16, JSON that is not an object a line.
    fn look(&mut self) -> Result<()> {
        const LOOKED_AT: u64 = 4096;
        let first = |source: &Self| {
            let mut text = Vec::new();
            let read = source.bytes(0, &Arc::default())?.take(LOOKED_AT).read_to_end(&mut text);
            read.map(|_| text).map_err(|e| Error::io("read", Path::new(&source.name), &e))
        };
        let mut text = first(self)?;
        if self.encoding.is_none() {
            self.encoding = match text.as_slice() {
                [0xff, 0xfe, ..] => Some(encoding_rs::UTF_16LE),
                [0xfe, 0xff, ..] => Some(encoding_rs::UTF_16BE),
                _ => None,
            };
            if self.encoding.is_some() {
                text = first(self)?;
            }
        }
        // A stray one is a character; UTF-16 and what is no text at all are full of them.
        if text.iter().filter(|byte| **byte == 0).count() * 4 >= text.len().max(1) {
            return Err(Error::data(format!("'{}' is not text: it has NUL bytes", self.name))
                .hint("if it is UTF-16 without a byte order mark, give the encoding utf-16le or utf-16be"));
        }
        if self.format == SourceFormat::Ndjson {
            self.json = Written::told_by(&text);
        }
        Ok(())
    }

    /// The encoding of its text, where that is not UTF-8.
    pub fn told_encoding(&self) -> Option<&'static str> {
        self.encoding.map(Encoding::name)
    }

    /// Bytes to read, where that is known.
    pub fn size(&self) -> u64 {
        self.file.as_ref().map_or(0, |(_, identity)| identity.size)
    }

    /// Whether a read can begin in the middle.
    pub fn seekable(&self) -> bool {
        self.file.is_some()
            && self.compression == Compression::None
            && self.encoding.is_none()
            && self.json == Written::Lines
    }

    /// What the numbers of its records count.
    pub fn unit(&self) -> &'static str {
        match (self.format, self.json) {
            (SourceFormat::Parquet, _) => "row",
            (SourceFormat::Ndjson, Written::Array) => "element",
            (SourceFormat::Ndjson, Written::Objects) => "object",
            _ => "line",
        }
    }

    /// The text from `offset` on, decompressed and as UTF-8. `read` counts the bytes that were read from the file.
    pub fn bytes(&self, offset: u64, read: &Arc<AtomicU64>) -> Result<Box<dyn Read + Send>> {
        let Some((path, _)) = &self.file else {
            return Ok(self.as_text(Box::new(Counted { inner: std::io::stdin(), read: read.clone() })));
        };
        let failed = |e: std::io::Error| Error::io("open", path, &e);
        let mut file = File::open(path).map_err(failed)?;
        if offset > 0 && self.seekable() {
            file.seek(SeekFrom::Start(offset)).map_err(failed)?;
            read.fetch_add(offset, Ordering::Relaxed);
        }
        let counted = Counted { inner: file, read: read.clone() };
        let buffered = |counted| std::io::BufReader::with_capacity(1 << 18, counted);
        let bytes: Box<dyn Read + Send> = match self.compression {
            Compression::None => Box::new(counted),
            Compression::Gzip => Box::new(flate2::read::MultiGzDecoder::new(buffered(counted))),
            Compression::Zstd => Box::new(zstd::stream::read::Decoder::new(counted).map_err(failed)?),
            Compression::Bzip2 => Box::new(bzip2::read::MultiBzDecoder::new(buffered(counted))),
            Compression::Xz => Box::new(liblzma::read::XzDecoder::new_multi_decoder(buffered(counted))),
        };
        let bytes = match self.compression.name() {
            Some(name) => Box::new(Unpacked { inner: bytes, name }),
            None => bytes,
        };
        let mut bytes = self.as_text(bytes);
        if offset > 0 && !self.seekable() {
            let skipped = std::io::copy(&mut bytes.by_ref().take(offset), &mut std::io::sink());
            skipped.map_err(|e| Error::io("read", path, &e))?;
        }
        Ok(bytes)
    }

    fn as_text(&self, mut bytes: Box<dyn Read + Send>) -> Box<dyn Read + Send> {
        if let Some(encoding) = self.encoding.filter(|e| *e != encoding_rs::UTF_8) {
            bytes = Box::new(Transcoded::new(bytes, encoding));
        }
        match self.json {
            Written::Lines => bytes,
            written => Box::new(Elements::new(bytes, written)),
        }
    }
}

/// The first bytes of a file.
fn beginning(path: &Path) -> Result<Vec<u8>> {
    let mut begin = Vec::new();
    let read = File::open(path).and_then(|file| file.take(16).read_to_end(&mut begin));
    read.map_err(|e| Error::io("open", path, &e))?;
    Ok(begin)
}

/// What a file is that is neither text nor Parquet, by its first bytes.
fn kind_of(begin: &[u8]) -> Option<&'static str> {
    const KINDS: [(&[u8], &str); 6] = [
        (b"PK\x03\x04", "a zip archive or an Excel workbook"),
        (b"\xd0\xcf\x11\xe0", "an old Office file"),
        (b"ORC", "an ORC file"),
        (b"Obj\x01", "an Avro file"),
        (b"ARROW1", "an Arrow file"),
        (b"SQLite format 3", "an SQLite database"),
    ];
    KINDS.iter().find(|(magic, _)| begin.starts_with(magic)).map(|(_, kind)| *kind)
}

fn not_read(name: &str, kind: &str) -> Error {
    Error::data(format!("'{name}' is {kind}, which is not read")).hint("write its rows as CSV, NDJSON or Parquet")
}

fn unknown_kind(path: &Path, name: &str, begin: &[u8]) -> Error {
    let ending = path.extension().and_then(|e| e.to_str()).unwrap_or_default();
    let by_name = OTHER_KINDS.iter().find(|(known, _)| ending.eq_ignore_ascii_case(known)).map(|(_, kind)| *kind);
    if let Some(kind) = kind_of(begin).or(by_name) {
        return not_read(name, kind);
    }
    let endings = ENDINGS.map(|(ending, _)| format!(".{ending}")).join(", ");
    Error::data(format!("cannot tell the format of '{name}' from its name")).hint(format!(
        "use one of {endings}, also with {}; or say it: read_csv('{name}'), read_json(..), read_parquet(..) in a query, --format in an ingest",
        COMPRESSED.join(", ")
    ))
}

/// What tells a file now.
pub fn identity(path: &Path) -> Result<Identity> {
    let failed = |e: std::io::Error| Error::io("open", path, &e);
    let whole = std::fs::canonicalize(path).map_err(failed)?;
    let metadata = std::fs::metadata(path).map_err(failed)?;
    let modified = metadata.modified().map_err(failed)?;
    let modified = match modified.duration_since(std::time::UNIX_EPOCH) {
        Ok(after) => i64::try_from(after.as_nanos()).unwrap_or(i64::MAX),
        Err(before) => -i64::try_from(before.duration().as_nanos()).unwrap_or(i64::MAX),
    };
    Ok(Identity { path: whole.display().to_string(), size: metadata.len(), modified })
}

struct Counted<R> {
    inner: R,
    read: Arc<AtomicU64>,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.read.fetch_add(read as u64, Ordering::Relaxed);
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn formats_and_compressions_are_told() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        std::fs::write(at("a.csv"), "a\n1\n").unwrap();
        std::fs::write(at("b.TSV"), "a\n1\n").unwrap();
        let mut gz =
            flate2::write::GzEncoder::new(File::create(at("c.jsonl.gz")).unwrap(), flate2::Compression::fast());
        gz.write_all(b"{}\n{}\n").unwrap();
        gz.finish().unwrap();
        std::fs::write(at("d.json.zst"), zstd::encode_all(&b"{\"a\": 1}\n"[..], 1).unwrap()).unwrap();
        std::fs::write(at("notes.md"), "nothing").unwrap();
        std::fs::write(at("_hidden.csv"), "nothing").unwrap();
        let folder_name = folder.path().display().to_string();
        let found = find(std::slice::from_ref(&folder_name), Said::default()).unwrap();
        let formats: Vec<SourceFormat> = found.iter().map(|s| s.format).collect();
        use SourceFormat::{Csv, Ndjson};
        assert_eq!(formats, [Csv, Csv, Ndjson, Ndjson]);
        assert_eq!((found[0].delimiter, found[1].delimiter), (None, Some(b'\t')));
        let read = Arc::new(AtomicU64::new(0));
        let text = |source: &Source, offset| {
            let mut text = String::new();
            source.bytes(offset, &read).unwrap().read_to_string(&mut text).unwrap();
            text
        };
        assert_eq!(text(&found[2], 0), "{}\n{}\n");
        assert_eq!(text(&found[2], 3), "{}\n");
        assert_eq!(text(&found[3], 0), "{\"a\": 1}\n");
        assert_eq!(text(&found[0], 2), "1\n");
        assert!(read.load(Ordering::Relaxed) > 0);
        // The same file twice is read once.
        assert_eq!(find(&[folder_name.clone(), format!("{folder_name}/a.csv")], Said::default()).unwrap().len(), 4);
    }

    #[test]
    fn unclear_sources_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name).display().to_string();
        std::fs::write(at("a.dat"), "a\n1\n").unwrap();
        std::fs::write(at("p.csv"), "PAR1xxxx").unwrap();
        std::fs::create_dir_all(folder.path().join("t/_delta_log")).unwrap();
        let fails = |names: &[String]| find(names, Said::default()).unwrap_err().message().to_string();
        assert!(fails(&[at("a.dat")]).contains("cannot tell the format"));
        assert_eq!(find(&[at("a.dat")], Said { format: Some(SourceFormat::Csv), encoding: None }).unwrap().len(), 1);
        assert!(fails(&[at("p.csv")]).contains("is a Parquet file"));
        assert!(fails(&[at("t")]).contains("managed table"));
        assert!(fails(&["-".into()]).contains("needs --format"));
        assert!(fails(&[at("none.csv")]).contains("does not exist"));
        assert!(fails(&[]).contains("nothing to ingest"));
    }
}
