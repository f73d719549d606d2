//! What Tab offers.
//!
//! Deals with: which words fit where the cursor is. Does not deal with: how they are shown (the editor's menu).

use std::borrow::Cow;
use std::path::{MAIN_SEPARATOR, Path};
use std::sync::PoisonError;

use reedline::{Completer, CompletionResult, Span, Suggestion};

use super::SharedWords;
use super::commands::COMMANDS;
use crate::cli::highlight::{Kind, stretches};
use crate::cli::words::{KEYWORDS, Words};
use crate::engine::{arguments_of, words_of};
use crate::output::{Format, escape};

/// More would not fit a screen.
const MOST: usize = 200;

pub(super) struct SqlCompleter(pub SharedWords);

impl Completer for SqlCompleter {
    fn complete(&mut self, line: &str, pos: usize) -> CompletionResult {
        let words = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let offers = offers(line, pos, &words);
        // What would drive the terminal is not shown there, nor put into the line.
        let suggestions: Vec<Suggestion> = offers
            .into_iter()
            .filter(|offer| matches!(escape(&offer.text), Cow::Borrowed(_)))
            .take(MOST)
            .map(|offer| Suggestion {
                value: offer.text,
                span: Span::new(offer.from, pos),
                append_whitespace: offer.space,
                ..Suggestion::default()
            })
            .collect();
        CompletionResult::fresh(suggestions)
    }
}

/// A word to put between `from` and the cursor.
#[derive(Debug, PartialEq, Eq)]
struct Offer {
    text: String,
    from: usize,
    /// Whether a blank follows.
    space: bool,
}

fn offers(line: &str, pos: usize, words: &Words) -> Vec<Offer> {
    let Some(before) = line.get(..pos) else { return Vec::new() };
    if before.trim_start().starts_with('\\') {
        return command(before, words);
    }
    let found = stretches(before, words);
    // Inside an open quote: a word of the argument that it is for, or else a file name.
    if let Some((range, Kind::Text)) = found.last()
        && !(range.len() > 1 && before.ends_with('\''))
    {
        let (typed, from) = (&before[range.start + 1..], range.start + 1);
        let allowed = argument_of(&before[..range.start]).map(|(relation, argument)| words_of(relation, argument));
        let Some(allowed) = allowed.filter(|allowed| !allowed.is_empty()) else {
            return if words.files { files(typed, from, "'") } else { Vec::new() };
        };
        let mut list = List { prefix: typed, from, found: Vec::new() };
        list.add(allowed.iter().copied(), false);
        list.found.iter_mut().for_each(|offer| offer.text.push('\''));
        return list.found;
    }
    if matches!(found.last(), Some((_, Kind::Comment))) {
        return Vec::new();
    }
    let from = before
        .rfind(|c: char| !(c.is_alphanumeric() || c == '_'))
        .map_or(0, |at| at + before[at..].chars().next().map_or(1, char::len_utf8));
    let prefix = &before[from..];
    let before_word = &before[..from];
    if let Some(qualifier) = before_word.strip_suffix('.') {
        return columns_of(qualifier, prefix, from, words);
    }
    sql_words(prefix, from, line, before_word, words)
}

fn sql_words(prefix: &str, from: usize, line: &str, before: &str, words: &Words) -> Vec<Offer> {
    let mut list = List { prefix, from, found: Vec::new() };
    let tables = words.tables.iter().map(|t| t.name.as_str());
    if expects_table(before) {
        list.add(tables, true);
        list.add(words.relations.iter().map(String::as_str), false);
        return list.found;
    }
    let named: Vec<&str> = stretches(line, words)
        .into_iter()
        .filter(|(_, kind)| *kind == Kind::Name)
        .map(|(range, _)| line[range].trim_matches('"'))
        .collect();
    let is_named = |table: &str| named.iter().any(|n| n.eq_ignore_ascii_case(table));
    for table in words.tables.iter().filter(|t| is_named(&t.name)) {
        list.add(table.columns.iter().map(|c| c.name.as_str()), false);
    }
    if let Some(relation) = relation_of(before).filter(|_| before.trim_end().ends_with(',')) {
        let names: Vec<String> = arguments_of(relation).iter().map(|name| format!("{name} =>")).collect();
        list.add(names.iter().map(String::as_str), true);
    }
    if prefix.is_empty() {
        return list.found;
    }
    let lower = prefix.starts_with(|c: char| c.is_lowercase());
    let keywords: Vec<String> =
        KEYWORDS.iter().map(|k| if lower { k.to_ascii_lowercase() } else { k.to_string() }).collect();
    list.add(keywords.iter().map(String::as_str), true);
    list.add(tables, true);
    list.add(words.functions.iter().chain(&words.relations).map(String::as_str), false);
    for table in words.tables.iter().filter(|t| !is_named(&t.name)) {
        list.add(table.columns.iter().map(|c| c.name.as_str()), false);
    }
    list.found
}

/// Whether the last word, or the bracket of a relation, asks for a table.
fn expects_table(before: &str) -> bool {
    let before = before.trim_end();
    let word = before.rsplit(|c: char| !(c.is_alphanumeric() || c == '_')).next().unwrap_or_default();
    ["from", "join", "into", "table", "describe"].iter().any(|k| word.eq_ignore_ascii_case(k))
}

/// The name in front of the bracket that is open here.
fn relation_of(before: &str) -> Option<&str> {
    let (mut depth, mut quoted) = (0, false);
    for (at, c) in before.char_indices().rev() {
        match c {
            '\'' => quoted = !quoted,
            ')' | ']' | '}' if !quoted => depth += 1,
            '(' | '[' | '{' if !quoted && depth > 0 => depth -= 1,
            '(' if !quoted => {
                let name = before[..at].rsplit(|c: char| !(c.is_alphanumeric() || c == '_')).next();
                return name.filter(|name| !name.is_empty());
            }
            _ => {}
        }
    }
    None
}

/// The relation and the argument whose value begins here.
fn argument_of(before: &str) -> Option<(&str, &str)> {
    let name = before.trim_end().strip_suffix("=>")?.trim_end();
    let name = name.rsplit(|c: char| !(c.is_alphanumeric() || c == '_')).next()?;
    Some((relation_of(before)?, name))
}

fn columns_of(qualifier: &str, prefix: &str, from: usize, words: &Words) -> Vec<Offer> {
    let name = qualifier.rsplit(|c: char| !(c.is_alphanumeric() || c == '_' || c == '"')).next().unwrap_or_default();
    let name = name.trim_matches('"');
    let mut list = List { prefix, from, found: Vec::new() };
    let known = words.tables.iter().any(|t| t.name.eq_ignore_ascii_case(name));
    for table in words.tables.iter().filter(|t| !known || t.name.eq_ignore_ascii_case(name)) {
        list.add(table.columns.iter().map(|c| c.name.as_str()), false);
    }
    list.found
}

fn command(before: &str, words: &Words) -> Vec<Offer> {
    let start = before.len() - before.trim_start().len();
    let Some(blank) = before[start..].find(char::is_whitespace) else {
        let mut list = List { prefix: &before[start..], from: start, found: Vec::new() };
        list.add(COMMANDS.iter().map(|c| c.name), true);
        return list.found;
    };
    let name = &before[start..start + blank];
    let from = start + blank + (before[start + blank..].len() - before[start + blank..].trim_start().len());
    let prefix = &before[from..];
    let mut list = List { prefix, from, found: Vec::new() };
    match name {
        "\\d" => list.add(words.tables.iter().map(|t| t.name.as_str()), false),
        "\\df" => {
            let names: Vec<&str> = crate::engine::catalogue().iter().map(|f| f.name).collect();
            list.add(names.into_iter(), false);
        }
        "\\format" => list.add(Format::ALL.iter().map(|f| f.name()), false),
        "\\timing" | "\\x" => list.add(["on", "off"].into_iter(), false),
        "\\i" | "\\o" if words.files => return files(prefix, from, ""),
        _ => {}
    }
    list.found
}

/// Entries of the folder that `typed` names so far; folders end with a separator, files with `close`.
fn files(typed: &str, from: usize, close: &str) -> Vec<Offer> {
    let folder_end = typed.rfind(['/', MAIN_SEPARATOR]).map_or(0, |at| at + 1);
    let (folder, prefix) = typed.split_at(folder_end);
    let place = if folder.is_empty() { Path::new(".") } else { Path::new(folder) };
    let mut found: Vec<Offer> = std::fs::read_dir(place)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            let hidden = name.starts_with('.') && !prefix.starts_with('.');
            // Behind a link may be a folder too.
            let is_folder = entry.path().is_dir();
            (!hidden && name.starts_with(prefix)).then(|| Offer {
                text: format!("{folder}{name}{}", if is_folder { "/" } else { close }),
                from,
                space: false,
            })
        })
        .collect();
    found.sort_by(|a, b| a.text.cmp(&b.text));
    found
}

/// Offers that begin with what is typed, each once.
struct List<'a> {
    prefix: &'a str,
    from: usize,
    found: Vec<Offer>,
}

impl List<'_> {
    fn add<'b>(&mut self, names: impl Iterator<Item = &'b str>, space: bool) {
        for name in names {
            let fits = name.get(..self.prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(self.prefix));
            if fits && !self.found.iter().any(|offer| offer.text == name) {
                self.found.push(Offer { text: name.to_string(), from: self.from, space });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::{ColumnInfo, TableInfo};

    fn words() -> Words {
        let table = |name: &str, columns: &[&str]| TableInfo {
            name: name.into(),
            description: None,
            columns: columns
                .iter()
                .map(|c| ColumnInfo { name: (*c).into(), data_type: "Int64".into(), role: None })
                .collect(),
        };
        Words {
            tables: vec![table("events", &["user_id", "ts", "country"]), table("users", &["user_id", "plan"])],
            functions: vec!["count".into(), "window_funnel".into()],
            relations: vec!["funnel".into()],
            files: true,
        }
    }

    fn texts(line: &str) -> Vec<String> {
        offers(line, line.len(), &words()).into_iter().map(|o| o.text).collect()
    }

    #[test]
    fn words_that_fit_are_offered() {
        assert_eq!(texts("SEL"), ["SELECT"]);
        assert_eq!(texts("sel"), ["select"]);
        assert_eq!(texts("SELECT * FROM "), ["events", "users", "funnel"]);
        assert_eq!(texts("SELECT * FROM ev"), ["events"]);
        assert_eq!(texts("SELECT * FROM fu"), ["funnel"]);
        assert_eq!(texts("SELECT wind"), ["window", "window_funnel"]);
        assert_eq!(texts("SELECT * FROM events WHERE cou"), ["country", "count"]);
        assert_eq!(texts("SELECT users."), ["user_id", "plan"]);
        assert_eq!(texts("SELECT e.pl"), ["plan"]);
        assert!(texts("SELECT 1 -- sel").is_empty());
    }

    #[test]
    fn arguments_and_their_words_are_offered() {
        assert_eq!(texts("SELECT * FROM retention(events, uni"), ["unit =>", "union"]);
        assert_eq!(texts("SELECT * FROM retention((SELECT 1 FROM users), start => 'a', typ"), ["type =>"]);
        assert_eq!(
            texts("SELECT * FROM retention(events, unit => '"),
            ["hour'", "day'", "week'", "month'", "quarter'", "year'"]
        );
        assert_eq!(texts("SELECT * FROM funnel(events, steps => ['a'], entry => 'b"), ["best'"]);
        assert!(texts("SELECT * FROM funnel(events, steps => ['a").is_empty());
        assert!(!texts("SELECT count(user_id, uni").contains(&"unit =>".to_string()));
    }

    #[test]
    fn commands_and_their_arguments_are_offered() {
        assert_eq!(texts("\\d"), ["\\d", "\\dt", "\\df"]);
        assert_eq!(texts("\\d u"), ["users"]);
        assert_eq!(texts("\\format p"), ["parquet"]);
        assert_eq!(texts("\\x o"), ["on", "off"]);
    }

    #[test]
    fn files_are_offered_inside_quotes() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("a b.parquet"), "").unwrap();
        std::fs::create_dir(folder.path().join("part")).unwrap();
        std::fs::write(folder.path().join(".hidden"), "").unwrap();
        let root = folder.path().display().to_string();
        assert_eq!(
            texts(&format!("SELECT * FROM '{root}/")),
            [format!("{root}/a b.parquet'"), format!("{root}/part/")]
        );
        assert_eq!(texts(&format!("\\i {root}/a")), [format!("{root}/a b.parquet")]);
        let line = format!("SELECT * FROM '{root}/pa");
        assert_eq!(offers(&line, line.len(), &words())[0].from, "SELECT * FROM '".len());
    }
}
