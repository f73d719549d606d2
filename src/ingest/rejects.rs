//! Rows that cannot be taken in: why, from where, and the row itself, kept beside the table.
//!
//! Deals with: counting them by reason, writing them durably, forgetting those of erased users. Does not deal with: finding
//! them (`csv`, `ndjson`, `convert`).
//!
//! # Where they are
//! `TABLE/_rejects/<load>.ndjson` holds an object a line: `source`, `line` (of a text file; the row's number in a Parquet
//! file; both from 1), `reason`, `user` (where it could be read) and `row`, the text as it came, at most [`LONGEST`](crate::files::reject::LONGEST) bytes of
//! it. The file appears before the rows of the same load become visible, and no query reads it.
//!
//! Rejected rows hold what the source held, personal data too: [`forget`] takes a user's rows out.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, BufWriter, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::journal::remove_all;
use crate::error::{Error, Result};
use crate::files::reject::{Counted, Reject};
use crate::store::layout::sync_folder;
use crate::store::staging::private_folder;
use crate::store::user_id::UserId;

/// Folder of rejected rows, below the table's.
pub const FOLDER: &str = "_rejects";

/// Begins the names of copies from which rows are being taken out.
const ASIDE: &str = ".rejects-";

/// One line of the file.
#[derive(Debug, Serialize, Deserialize)]
struct Line<'a> {
    source: std::borrow::Cow<'a, str>,
    line: u64,
    reason: std::borrow::Cow<'a, str>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    user: Option<std::borrow::Cow<'a, str>>,
    row: std::borrow::Cow<'a, str>,
}

/// The rejected rows of one ingest while it runs.
pub struct Rejects {
    path: PathBuf,
    file: Option<BufWriter<File>>,
    bytes: u64,
    /// Counts by reason.
    pub reasons: BTreeMap<String, Counted>,
}

impl Rejects {
    /// Goes on in `path` after the first `bytes` of it, which had these counts; what lies behind them is cut off.
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

/// Takes the rejected rows of these users out of a table's folder, and says how many went.
///
/// A row goes where its user was read and is one of them (as a number where users are numbers: 7 also as 007), and where it could not be read (a broken line) but its text holds one
/// of them between characters that are no letters and no digits. So a row of somebody else may go that mentions the user: better
/// than one that stays. With `dry_run` rows are counted only. Cost: all rejected rows are read.
pub fn forget(table: &Path, users: &[UserId], dry_run: bool) -> Result<u64> {
    let folder = table.join(FOLDER);
    let entries = match std::fs::read_dir(&folder) {
        Ok(entries) => entries,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(0),
        Err(e) => return Err(Error::io("list", &folder, &e)),
    };
    // Of two erasures at once each would write down again what the other takes out.
    let own = File::open(&folder).map_err(|e| Error::io("open", &folder, &e))?;
    own.lock().map_err(|e| Error::io("lock", &folder, &e))?;
    let mut gone = 0;
    for entry in entries {
        let path = entry.map_err(|e| Error::io("list", &folder, &e))?.path();
        // Half a copy of one that was killed.
        if !dry_run && path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(ASIDE)) {
            remove_all(&path)?;
        }
        if path.extension().is_some_and(|e| e == "ndjson") {
            gone += forget_in(&path, users, dry_run)?;
        }
    }
    if !dry_run {
        sync_folder(&folder)?;
    }
    Ok(gone)
}

fn forget_in(path: &Path, users: &[UserId], dry_run: bool) -> Result<u64> {
    let failed = |e: std::io::Error| Error::io("read", path, &e);
    let mut input = BufReader::new(File::open(path).map_err(failed)?);
    let written = |e: std::io::Error| Error::io("write", path, &e);
    let folder = path.parent().unwrap_or(Path::new("."));
    let mut output = match dry_run {
        true => None,
        false => {
            let aside = tempfile::Builder::new().prefix(ASIDE).tempfile_in(folder);
            Some(BufWriter::new(aside.map_err(written)?))
        }
    };
    let (mut gone, mut changed) = (0, false);
    let mut text = Vec::new();
    loop {
        text.clear();
        if input.read_until(b'\n', &mut text).map_err(failed)? == 0 {
            break;
        }
        let theirs = match serde_json::from_slice::<Line<'_>>(&text) {
            Ok(line) => match line.user {
                Some(user) => users.iter().any(|u| is_called(u, &user)),
                None => users.iter().any(|u| mentions(&line.row, u)),
            },
            Err(_) => users.iter().any(|u| mentions(&String::from_utf8_lossy(&text), u)),
        };
        gone += u64::from(theirs);
        let renamed = if theirs { None } else { unnamed(&text, users) };
        changed |= theirs || renamed.is_some();
        if let Some(output) = output.as_mut().filter(|_| !theirs) {
            output.write_all(renamed.as_ref().unwrap_or(&text)).map_err(written)?;
        }
    }
    let Some(output) = output.filter(|_| changed) else { return Ok(gone) };
    let aside = output.into_inner().map_err(|e| written(e.into_error()))?;
    aside.as_file().sync_all().map_err(written)?;
    aside.persist(path).map_err(|e| written(e.error))?;
    Ok(gone)
}

/// A line without the name of its source, where that is called after one of the users.
fn unnamed(text: &[u8], users: &[UserId]) -> Option<Vec<u8>> {
    let mut line = serde_json::from_slice::<Line<'_>>(text).ok()?;
    users.iter().any(|user| mentions(&line.source, user)).then_some(())?;
    line.source = "(name erased)".into();
    let mut text = serde_json::to_vec(&line).ok()?;
    text.push(b'\n');
    Some(text)
}

/// Whether a source's text names a user.
fn is_called(user: &UserId, text: &str) -> bool {
    match user {
        UserId::Text(name) => name == text,
        // As readers take it: also +7, 007 and 7.0.
        UserId::Number(number) => {
            let text = text.trim();
            let whole =
                text.split_once('.').filter(|(_, rest)| rest.bytes().all(|b| b == b'0')).map_or(text, |(w, _)| w);
            whole.parse() == Ok(*number)
        }
    }
}

/// Whether a user stands in a text, as a word of it, also where JSON writes letters by their numbers.
pub(super) fn mentions(text: &str, user: &UserId) -> bool {
    let unescaped = unescaped(text);
    stands_in(text, user) || unescaped.is_some_and(|text| stands_in(&text, user))
}

/// A text with its JSON escapes as what they stand for, broken as the rest may be; `None` where it has none.
fn unescaped(text: &str) -> Option<String> {
    let mut parts = text.split('\\');
    let mut units: Vec<u16> = parts.next()?.encode_utf16().collect();
    let mut any = false;
    // What follows an escaped backslash is no escape.
    let mut literal = false;
    for part in parts {
        any = true;
        if literal {
            units.extend(part.encode_utf16());
            literal = false;
            continue;
        }
        if part.is_empty() {
            units.push(u16::from(b'\\'));
            literal = true;
            continue;
        }
        let number =
            part.strip_prefix('u').and_then(|rest| Some((u16::from_str_radix(rest.get(..4)?, 16).ok()?, &rest[4..])));
        match number {
            Some((unit, rest)) => {
                units.push(unit);
                units.extend(rest.encode_utf16());
            }
            // Control characters part words, whichever they are.
            None if part.starts_with(['n', 'r', 't', 'b', 'f']) => {
                units.push(u16::from(b'\n'));
                units.extend(part[1..].encode_utf16());
            }
            None => units.extend(part.encode_utf16()),
        }
    }
    any.then(|| String::from_utf16_lossy(&units))
}

/// Whether a user stands in a text as it is, as a word of it.
fn stands_in(text: &str, user: &UserId) -> bool {
    match user {
        UserId::Number(number) => {
            let words = text.split(|c: char| !c.is_alphanumeric());
            words.into_iter().any(|word| word.parse() == Ok(number.unsigned_abs()))
        }
        UserId::Text(word) => {
            let part_of_a_word = |c: Option<char>| c.is_some_and(char::is_alphanumeric);
            !word.is_empty()
                && text.match_indices(word).any(|(at, _)| {
                    let after = text[at + word.len()..].chars().next();
                    !part_of_a_word(text[..at].chars().next_back()) && !part_of_a_word(after)
                })
        }
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
    fn users_are_forgotten() {
        let table = tempfile::tempdir().unwrap();
        let mut rejects = Rejects::resume(table.path().join("r"), 0, BTreeMap::new()).unwrap();
        let rows = [
            reject(1, Some("7"), "7,17"),
            reject(2, Some("17"), "17,7"),
            reject(3, None, "{\"user\": \"7\", "),
            reject(4, None, "{\"user\": \"77\", "),
        ];
        rejects.add("a", &rows).unwrap();
        let placed = rejects.place(table.path(), "load").unwrap().unwrap();
        let seven = [UserId::Text("7".into())];
        assert_eq!(forget(table.path(), &seven, true).unwrap(), 2);
        assert_eq!(std::fs::read_to_string(&placed).unwrap().lines().count(), 4);
        assert_eq!(forget(table.path(), &seven, false).unwrap(), 2);
        let left = std::fs::read_to_string(&placed).unwrap();
        assert!(left.contains("\"line\":2") && left.contains("\"line\":4") && left.lines().count() == 2, "{left}");
        assert_eq!(forget(table.path(), &seven, false).unwrap(), 0);
        assert_eq!(std::fs::read_dir(placed.parent().unwrap()).unwrap().count(), 1);
    }

    #[test]
    fn sources_that_are_called_after_a_user_lose_their_names() {
        let table = tempfile::tempdir().unwrap();
        let mut rejects = Rejects::resume(table.path().join("r"), 0, BTreeMap::new()).unwrap();
        rejects.add("/in/user=u7/a.csv", &[reject(1, Some("u8"), "u8,x"), reject(2, Some("u7"), "u7,x")]).unwrap();
        let placed = rejects.place(table.path(), "load").unwrap().unwrap();
        assert_eq!(forget(table.path(), &[UserId::Text("u7".into())], false).unwrap(), 1);
        let left = std::fs::read_to_string(&placed).unwrap();
        assert!(left.starts_with(r#"{"source":"(name erased)","line":1,"#) && !left.contains("u7"), "{left}");
    }

    #[test]
    fn users_are_found_behind_escapes() {
        let user = UserId::Text("zo\u{eb} \u{1f600}".into());
        for text in [r#"{"u":"zo\u00eb \ud83d\ude00","#, r#"\n\u007ao\u00EB \uD83D\uDE00"#, "zo\u{eb} \u{1f600}"] {
            assert!(mentions(text, &user), "{text}");
        }
        let plain = UserId::Text("u7".into());
        assert!(mentions(r#"{"u":"\u0075\u0037"}"#, &plain) && mentions(r#"a\nu7"#, &plain));
        // A backslash that stands for itself begins no escape.
        assert!(!mentions(r#"\\u0075\\u0037"#, &plain) && !mentions(r#"\u00"#, &plain));
        assert_eq!(unescaped(r#"a\\\\b"#).as_deref(), Some(r#"a\\b"#));
    }

    #[test]
    fn a_number_has_many_spellings() {
        let table = tempfile::tempdir().unwrap();
        let mut rejects = Rejects::resume(table.path().join("r"), 0, BTreeMap::new()).unwrap();
        let rows = [
            reject(1, Some("007"), "007,x"),
            reject(2, Some("+7"), "+7,x"),
            reject(3, Some("7.0"), "7.0,x"),
            reject(4, None, "\"007\",\"open"),
            reject(5, Some("70"), "70,7"),
            reject(6, Some("7.5"), "7.5,x"),
            reject(7, None, "77,\"open"),
        ];
        rejects.add("a", &rows).unwrap();
        let placed = rejects.place(table.path(), "load").unwrap().unwrap();
        assert_eq!(forget(table.path(), &[UserId::Number(7)], false).unwrap(), 4);
        let left = std::fs::read_to_string(&placed).unwrap();
        assert!([5, 6, 7].iter().all(|line| left.contains(&format!("\"line\":{line}"))), "{left}");
    }

    #[test]
    fn long_texts_are_cut_at_characters() {
        assert_eq!(shortened("äöü", 3), "ä…");
        assert_eq!(shortened("abc", 3), "abc");
        assert_eq!(kept(b"a,\xff\r\n"), "a,\u{fffd}");
    }
}
