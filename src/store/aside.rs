//! Rows that were not taken in, kept beside the table: they may be of people who are to be forgotten.
//!
//! Deals with: how they lie there, taking out those of erased users. Does not deal with: which rows are put aside, and when
//! (`ingest::rejects`).
//!
//! `TABLE/_rejects/<load>.ndjson` holds an object a line ([`Line`]). No query reads it.

use std::borrow::Cow;
use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::layout::sync_folder;
use super::unfinished::remove_all;
use super::user_id::UserId;
use crate::error::{Error, Result};

/// Folder of rows put aside, below the table's.
pub const FOLDER: &str = "_rejects";

/// Begins the names of copies from which rows are being taken out.
const ASIDE: &str = ".rejects-";

/// One line of a file.
#[derive(Debug, Serialize, Deserialize)]
pub struct Line<'a> {
    /// Where the row is from.
    pub source: Cow<'a, str>,
    /// Its line or number there, from 1.
    pub line: u64,
    /// Why it was put aside.
    pub reason: Cow<'a, str>,
    /// Its user, where that could be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<Cow<'a, str>>,
    /// The row as it came.
    pub row: Cow<'a, str>,
}

/// Takes the rows of these users out of what was put aside beside a table, and says how many went.
///
/// A row goes where its user was read and is one of them (as a number where users are numbers: 7 also as 007), and where it could
/// not be read (a broken line) but its text holds one of them between characters that are neither letters nor digits. So a row of somebody else may go that mentions the user: better
/// than one that stays. With `dry_run` rows are counted only. Cost: all rows put aside are read.
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
    let mut output = if dry_run {
        None
    } else {
        let aside = tempfile::Builder::new().prefix(ASIDE).tempfile_in(folder);
        Some(BufWriter::new(aside.map_err(written)?))
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
pub fn mentions(text: &str, user: &UserId) -> bool {
    let unescaped = unescaped(text);
    stands_in(text, user) || unescaped.is_some_and(|text| stands_in(&text, user))
}

/// A text with its JSON escapes as what they stand for, broken as the rest may be; `None` where it has none.
fn unescaped(text: &str) -> Option<String> {
    let mut parts = text.split('\\');
    let mut units: Vec<u16> = parts.next()?.encode_utf16().collect();
    let mut any = false;
    // What follows an escaped backslash is not an escape.
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

    /// A file of rows put aside: number, user, row.
    fn aside(table: &Path, rows: &[(u64, Option<&str>, &str)]) -> std::path::PathBuf {
        std::fs::create_dir_all(table.join(FOLDER)).unwrap();
        let path = table.join(FOLDER).join("load.ndjson");
        let lines = rows.iter().map(|(line, user, row)| {
            let user = user.map(Cow::from);
            serde_json::to_string(&Line {
                source: "a".into(),
                line: *line,
                reason: "r".into(),
                user,
                row: (*row).into(),
            })
        });
        std::fs::write(&path, lines.map(|line| line.unwrap() + "\n").collect::<String>()).unwrap();
        path
    }

    #[test]
    fn users_are_forgotten() {
        let table = tempfile::tempdir().unwrap();
        let rows = [
            (1, Some("7"), "7,17"),
            (2, Some("17"), "17,7"),
            (3, None, "{\"user\": \"7\", "),
            (4, None, "{\"user\": \"77\", "),
        ];
        let placed = aside(table.path(), &rows);
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
        let placed = aside(table.path(), &[(1, Some("u8"), "u8,x"), (2, Some("u7"), "u7,x")]);
        let text = std::fs::read_to_string(&placed).unwrap();
        std::fs::write(&placed, text.replace("\"source\":\"a\"", "\"source\":\"/in/user=u7/a.csv\"")).unwrap();
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
        let rows = [
            (1, Some("007"), "007,x"),
            (2, Some("+7"), "+7,x"),
            (3, Some("7.0"), "7.0,x"),
            (4, None, "\"007\",\"open"),
            (5, Some("70"), "70,7"),
            (6, Some("7.5"), "7.5,x"),
            (7, None, "77,\"open"),
        ];
        let placed = aside(table.path(), &rows);
        assert_eq!(forget(table.path(), &[UserId::Number(7)], false).unwrap(), 4);
        let left = std::fs::read_to_string(&placed).unwrap();
        assert!([5, 6, 7].iter().all(|line| left.contains(&format!("\"line\":{line}"))), "{left}");
    }
}
