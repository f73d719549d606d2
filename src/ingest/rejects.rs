//! Rows that cannot be taken in: why, from where, and the row itself, kept beside the table.
//!
//! Deals with: counting them by reason, writing them durably. Does not deal with: finding them (`csv`, `ndjson`, `convert`), or
//! users who are erased later (`store::aside`).
//!
//! # Where they are
//! `TABLE/_rejects/<load>.ndjson` holds an object a line: `source`, `line` (of a text file; the row's number in a Parquet
//! file; both from 1), `reason`, `user` (where it could be read) and `row`, the text as it came, at most [`LONGEST`](crate::files::reject::LONGEST) bytes of
//! it. The file appears before the rows of the same load become visible, and no query reads it. It holds what the source held,
//! personal data too.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{BufWriter, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::files::reject::{Counted, Reject};
use crate::store::aside::{FOLDER, Line};
use crate::store::layout::sync_folder;
use crate::store::staging::private_folder;

/// The rejected rows of one ingest while it runs.
pub struct Rejects {
    path: PathBuf,
    file: Option<BufWriter<File>>,
    bytes: u64,
    /// Counts by reason.
    pub reasons: BTreeMap<String, Counted>,
}

impl Rejects {
    /// Resumes in `path` after the first `bytes` of it, which had these counts; what lies behind them is cut off.
    pub fn resume(path: PathBuf, bytes: u64, reasons: BTreeMap<String, Counted>) -> Result<Self> {
        if path.exists() {
            let cut = OpenOptions::new().write(true).open(&path).and_then(|file| file.set_len(bytes));
            cut.map_err(|e| Error::io("write", &path, &e))?;
        } else if bytes > 0 {
            return Err(Error::data(format!("'{}' is missing", path.display())));
        }
        Ok(Self { path, file: None, bytes, reasons })
    }

    /// Rows so far.
    pub fn rows(&self) -> u64 {
        self.reasons.values().map(|r| r.rows).sum()
    }

    /// Bytes so far.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Puts rows of a source aside.
    pub fn add(&mut self, source: &str, rejects: &[Reject]) -> Result<()> {
        for reject in rejects {
            let reason = reject.reason();
            let counted =
                self.reasons.entry(reject.kind()).or_insert_with(|| Counted { rows: 0, first: reject.place(source) });
            counted.rows += 1;
            let line = Line {
                source: source.into(),
                line: reject.line,
                reason: reason.into(),
                user: reject.user.as_deref().map(Into::into),
                row: reject.row.as_str().into(),
            };
            let mut text =
                serde_json::to_vec(&line).map_err(|e| Error::internal(format!("a rejected row as JSON: {e}")))?;
            text.push(b'\n');
            self.writer()?.write_all(&text).map_err(|e| Error::io("write", &self.path, &e))?;
            self.bytes += text.len() as u64;
        }
        Ok(())
    }

    fn writer(&mut self) -> Result<&mut BufWriter<File>> {
        let file = match self.file.take() {
            Some(file) => file,
            None => {
                let mut options = OpenOptions::new();
                options.create(true).write(true).truncate(false);
                // Rows of people: for the owner alone.
                #[cfg(unix)]
                std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
                let mut file = options.open(&self.path).map_err(|e| Error::io("write", &self.path, &e))?;
                file.seek(SeekFrom::End(0)).map_err(|e| Error::io("write", &self.path, &e))?;
                BufWriter::new(file)
            }
        };
        Ok(self.file.insert(file))
    }

    /// Makes what was put aside so far durable.
    pub fn sync(&mut self) -> Result<()> {
        if let Some(file) = &mut self.file {
            file.flush().map_err(|e| Error::io("write", &self.path, &e))?;
            file.get_ref().sync_data().map_err(|e| Error::io("write", &self.path, &e))?;
        }
        Ok(())
    }

    /// Copies the rows to their place below the table's folder, durably, and says where they are; `None` where there are none.
    pub fn place(&mut self, table: &Path, load: &str) -> Result<Option<PathBuf>> {
        if self.bytes == 0 {
            return Ok(None);
        }
        self.sync()?;
        let folder = table.join(FOLDER);
        std::fs::create_dir_all(table).map_err(|e| Error::io("create", table, &e))?;
        match private_folder(&folder) {
            Err(e) if e.kind() != std::io::ErrorKind::AlreadyExists => return Err(Error::io("create", &folder, &e)),
            _ => {}
        }
        let target = folder.join(format!("{load}.ndjson"));
        // Beside what was put aside, where a later try finds it; nobody looks for the users to be erased in half a copy.
        let aside = self.path.with_extension("placed");
        let written = |e: std::io::Error| Error::io("write", &aside, &e);
        std::fs::copy(&self.path, &aside).map_err(written)?;
        File::open(&aside).and_then(|f| f.sync_all()).map_err(written)?;
        std::fs::rename(&aside, &target).map_err(written)?;
        sync_folder(&folder)?;
        Ok(Some(target))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::reject::{kept, shortened};

    fn reject(line: u64, user: Option<&str>, row: &str) -> Reject {
        Reject {
            line,
            column: Some("price".into()),
            what: "is not a number",
            value: Some("abc".into()),
            user: user.map(Into::into),
            row: row.into(),
        }
    }

    #[test]
    fn rejects_are_counted_and_cut_back_on_resume() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rejects.ndjson");
        let mut rejects = Rejects::resume(path.clone(), 0, BTreeMap::new()).unwrap();
        rejects.add("a.csv", &[reject(3, Some("7"), "7,abc")]).unwrap();
        rejects.sync().unwrap();
        let (bytes, reasons) = (rejects.bytes(), rejects.reasons.clone());
        rejects.add("a.csv", &[reject(4, Some("8"), "8,abc")]).unwrap();
        rejects.sync().unwrap();
        drop(rejects);
        let mut again = Rejects::resume(path, bytes, reasons).unwrap();
        assert_eq!(again.rows(), 1);
        again.add("b.csv", &[reject(9, None, "\"9\",abc")]).unwrap();
        assert_eq!(again.reasons["price is not a number"].rows, 2);
        assert_eq!(again.reasons["price is not a number"].first, "a.csv:3 ('abc')");
        let table = folder.path().join("t");
        let placed = again.place(&table, "load").unwrap().unwrap();
        let text = std::fs::read_to_string(&placed).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 2);
        assert_eq!(
            lines[0],
            r#"{"source":"a.csv","line":3,"reason":"price: 'abc' is not a number","user":"7","row":"7,abc"}"#
        );
        assert!(lines[1].contains("b.csv"));
    }

    #[test]
    fn long_texts_are_cut_at_characters() {
        assert_eq!(shortened("äöü", 3), "ä…");
        assert_eq!(shortened("abc", 3), "abc");
        assert_eq!(kept(b"a,\xff\r\n"), "a,\u{fffd}");
    }
}
