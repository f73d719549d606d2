//! What is ingested: files, what a folder or glob holds, standard input; their format and compression.
//!
//! Deals with: finding sources, telling formats, reading bytes decompressed while counting what was read.
//! Does not deal with: what the bytes mean (`csv`, `ndjson`, `parquet`).

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::store::table::files_at;

/// How rows are written in a source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SourceFormat {
    /// Delimited text with a header.
    Csv,
    /// An object a line.
    Ndjson,
    /// Parquet.
    Parquet,
}

/// Endings of file names, without that of a compression.
const ENDINGS: [(&str, SourceFormat); 6] = [
    ("csv", SourceFormat::Csv),
    ("tsv", SourceFormat::Csv),
    ("ndjson", SourceFormat::Ndjson),
    ("jsonl", SourceFormat::Ndjson),
    ("json", SourceFormat::Ndjson),
    ("parquet", SourceFormat::Parquet),
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Compression {
    None,
    Gzip,
    Zstd,
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
    /// Whether its name says that tabs separate the fields.
    pub tabs: bool,
    /// The file and what tells it; `None` is standard input.
    pub file: Option<(PathBuf, Identity)>,
    compression: Compression,
}

/// The sources of a command line, in its order. `format` is that of all of them; else their names say it.
pub fn find(wanted: &[String], format: Option<SourceFormat>) -> Result<Vec<Source>> {
    let mut sources: Vec<Source> = Vec::new();
    let mut known = std::collections::HashSet::new();
    for name in wanted {
        if name == "-" {
            let Some(format) = format.filter(|f| *f != SourceFormat::Parquet) else {
                return Err(Error::usage("standard input needs --format csv or --format ndjson"));
            };
            if sources.iter().any(|source| source.file.is_none()) {
                return Err(Error::usage("standard input can be read once"));
            }
            let (name, compression) = ("<stdin>".to_string(), Compression::None);
            sources.push(Source { name, format, tabs: false, file: None, compression });
            continue;
        }
        let location = Path::new(name);
        if location.join("_delta_log").is_dir() {
            return Err(Error::data(format!(
                "'{name}' is a managed table, whose folder may hold rows that are no longer in it"
            ))
            .hint("write its rows to a file first: COPY (SELECT * FROM ..) TO 'rows.parquet'"));
        }
        for path in files_at(location)?.into_iter().filter(|path| !in_a_table(location, path)) {
            let source = Source::at(path, format)?;
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

/// Whether a file below a folder belongs to a managed table there: those are not sources.
fn in_a_table(folder: &Path, file: &Path) -> bool {
    let below = file.ancestors().skip(1).take_while(|outer| *outer != folder && outer.starts_with(folder));
    folder.is_dir() && below.into_iter().any(|outer| outer.join("_delta_log").is_dir())
}

impl Source {
    fn at(path: PathBuf, format: Option<SourceFormat>) -> Result<Self> {
        let name = path.display().to_string();
        let lower = path.file_name().and_then(|n| n.to_str()).unwrap_or_default().to_lowercase();
        let stem = [".gz", ".zst"].iter().find_map(|e| lower.strip_suffix(e)).unwrap_or(&lower);
        let ending = Path::new(stem).extension().and_then(|e| e.to_str()).unwrap_or_default();
        let known = ENDINGS.iter().find(|(known, _)| *known == ending);
        let Some(format) = format.or(known.map(|(_, format)| *format)) else {
            let endings = ENDINGS.map(|(ending, _)| format!(".{ending}")).join(", ");
            return Err(Error::usage(format!("cannot tell the format of '{name}' from its name")).hint(format!(
                "give --format csv, ndjson or parquet, or use one of {endings}, also with .gz or .zst"
            )));
        };
        let failed = |e: std::io::Error| Error::io("open", &path, &e);
        let mut magic = [0; 4];
        let mut file = File::open(&path).map_err(failed)?;
        let read = file.read(&mut magic).map_err(failed)?;
        let compression = match &magic[..read] {
            [0x1f, 0x8b, ..] => Compression::Gzip,
            [0x28, 0xb5, 0x2f, 0xfd] => Compression::Zstd,
            _ => Compression::None,
        };
        if compression != Compression::None && format == SourceFormat::Parquet {
            return Err(Error::data(format!("'{name}' is a compressed file, no Parquet file")));
        }
        if &magic[..read] == b"PAR1" && format != SourceFormat::Parquet {
            return Err(Error::data(format!("'{name}' is a Parquet file; give --format parquet")));
        }
        let identity = identity(&path)?;
        Ok(Self { name, format, tabs: ending == "tsv", file: Some((path, identity)), compression })
    }

    /// Bytes to read, where that is known.
    pub fn size(&self) -> u64 {
        self.file.as_ref().map_or(0, |(_, identity)| identity.size)
    }

    /// Whether a read can begin in the middle.
    pub fn seekable(&self) -> bool {
        self.file.is_some() && self.compression == Compression::None
    }

    /// The decompressed bytes from `offset` on. `read` counts the bytes that were read from the file.
    pub fn bytes(&self, offset: u64, read: &Arc<AtomicU64>) -> Result<Box<dyn Read + Send>> {
        let Some((path, _)) = &self.file else {
            return Ok(Box::new(Counted { inner: std::io::stdin(), read: read.clone() }));
        };
        let failed = |e: std::io::Error| Error::io("open", path, &e);
        let mut file = File::open(path).map_err(failed)?;
        if offset > 0 && self.seekable() {
            file.seek(SeekFrom::Start(offset)).map_err(failed)?;
            read.fetch_add(offset, Ordering::Relaxed);
        }
        let counted = Counted { inner: file, read: read.clone() };
        let mut bytes: Box<dyn Read + Send> = match self.compression {
            Compression::None => return Ok(Box::new(counted)),
            Compression::Gzip => {
                Box::new(flate2::read::MultiGzDecoder::new(std::io::BufReader::with_capacity(1 << 18, counted)))
            }
            Compression::Zstd => Box::new(zstd::stream::read::Decoder::new(counted).map_err(failed)?),
        };
        if offset > 0 {
            let skipped = std::io::copy(&mut bytes.by_ref().take(offset), &mut std::io::sink());
            skipped.map_err(|e| Error::io("read", path, &e))?;
        }
        Ok(bytes)
    }
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
        let found = find(std::slice::from_ref(&folder_name), None).unwrap();
        let formats: Vec<SourceFormat> = found.iter().map(|s| s.format).collect();
        use SourceFormat::{Csv, Ndjson};
        assert_eq!(formats, [Csv, Csv, Ndjson, Ndjson]);
        assert!(found[1].tabs && !found[0].tabs);
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
        assert_eq!(find(&[folder_name.clone(), format!("{folder_name}/a.csv")], None).unwrap().len(), 4);
    }

    #[test]
    fn unclear_sources_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name).display().to_string();
        std::fs::write(at("a.dat"), "a\n1\n").unwrap();
        std::fs::write(at("p.csv"), "PAR1xxxx").unwrap();
        std::fs::create_dir_all(folder.path().join("t/_delta_log")).unwrap();
        let fails = |names: &[String]| find(names, None).unwrap_err().message().to_string();
        assert!(fails(&[at("a.dat")]).contains("cannot tell the format"));
        assert_eq!(find(&[at("a.dat")], Some(SourceFormat::Csv)).unwrap().len(), 1);
        assert!(fails(&[at("p.csv")]).contains("is a Parquet file"));
        assert!(fails(&[at("t")]).contains("managed table"));
        assert!(fails(&["-".into()]).contains("needs --format"));
        assert!(fails(&[at("none.csv")]).contains("does not exist"));
        assert!(fails(&[]).contains("nothing to ingest"));
    }
}
