//! What Tab offers.
//!
//! Deals with: which words fit where the cursor is. Does not deal with: how they are shown (the editor's menu).

use std::borrow::Cow;
use std::path::{MAIN_SEPARATOR, Path};
use std::sync::{Arc, PoisonError};

use reedline::{Completer, CompletionResult, CompletionStatus, Partial, Span, Suggestion};

use super::SharedWords;
use super::commands::COMMANDS;
use super::events::Events;
use super::place::{Place, Source, Wants, place};
use super::saved::Saved;
use crate::cli::words::{KEYWORDS, Words};
use crate::engine::{TableInfo, arguments_of, takes};
use crate::output::{Format, escape};

/// More would not fit a screen.
const MOST: usize = 200;

/// Commands that a statement follows.
const BEFORE_SQL: [&str; 3] = ["\\explain", "\\edit", "\\e"];

/// The column that holds events where none is declared.
const EVENT: &str = "event";

pub(super) struct SqlCompleter {
    pub words: SharedWords,
    pub events: Events,
    /// Whether the menu waits for names that are being read.
    pub waits: bool,
}

impl Completer for SqlCompleter {
    fn complete(&mut self, line: &str, pos: usize) -> CompletionResult {
        let words = self.words.read().unwrap_or_else(PoisonError::into_inner);
        let known = Known { words: &words, events: &|table| self.events.of(table) };
        let Some(offers) = offers(line, pos, &known) else {
            self.waits = true;
            return CompletionResult::Pending;
        };
        // What would drive the terminal is not shown there, nor put into the line.
        let offers: Vec<Offer> =
            offers.into_iter().filter(|offer| matches!(escape(&offer.text), Cow::Borrowed(_))).collect();
        // What those that are shown have in common need not be common to all.
        let partial = (offers.len() > MOST).then(|| partial(line, pos, &offers)).flatten();
        let suggestions: Vec<Suggestion> = offers
            .into_iter()
            .take(MOST)
            .map(|offer| Suggestion {
                value: offer.text,
                span: Span::new(offer.from, pos),
                append_whitespace: offer.space,
                ..Suggestion::default()
            })
            .collect();
        CompletionResult::fresh(suggestions).with_partial(partial)
    }

    fn poll_completion(&mut self) -> CompletionStatus {
        match (self.waits, self.events.are_read()) {
            (false, _) => CompletionStatus::Idle,
            (true, true) => CompletionStatus::Pending,
            (true, false) => {
                self.waits = false;
                CompletionStatus::Ready
            }
        }
    }
}

/// What is known by name.
struct Known<'a> {
    words: &'a Words,
    /// Names of a table's events; nothing while they are being read.
    events: &'a dyn Fn(&str) -> Option<Arc<[String]>>,
}

/// A word to put between `from` and the cursor.
#[derive(Debug, PartialEq, Eq)]
struct Offer {
    text: String,
    from: usize,
    /// Whether a blank follows.
    space: bool,
}

/// What fits at the cursor; nothing while that is being read.
fn offers(line: &str, pos: usize, known: &Known<'_>) -> Option<Vec<Offer>> {
    let Some(before) = line.get(..pos) else { return Some(Vec::new()) };
    if !before.trim_start().starts_with('\\') {
        return sql(line, pos, known);
    }
    let start = before.len() - before.trim_start().len();
    let name_end = before[start..].find(char::is_whitespace).map_or(before.len(), |blank| start + blank);
    if !BEFORE_SQL.contains(&&before[start..name_end]) || name_end == pos {
        return Some(command(before, known.words));
    }
    let mut found = sql(&line[name_end..], pos - name_end, known)?;
    found.iter_mut().for_each(|offer| offer.from += name_end);
    Some(found)
}

/// What all offers begin with in place of what is typed, which it must not take away.
fn partial(line: &str, pos: usize, offers: &[Offer]) -> Option<Partial> {
    let first = offers.first()?;
    let mut common = first.text.as_str();
    for offer in offers {
        let same = common.char_indices().zip(offer.text.chars()).take_while(|((_, a), b)| a == b);
        common = &common[..same.last().map_or(0, |((at, a), _)| at + a.len_utf8())];
    }
    let typed = line.get(first.from..pos)?;
    let insert = if common.starts_with(typed) { common } else { typed };
    Some(Partial { span: Span::new(first.from, pos), insert: insert.to_string() })
}

fn sql(line: &str, pos: usize, known: &Known<'_>) -> Option<Vec<Offer>> {
    let words = known.words;
    let Some(place) = place(line, pos, words) else { return Some(Vec::new()) };
    let closed = place.quote.is_some_and(|quote| line[pos..].starts_with(quote));
    let mut list = List { prefix: place.typed, from: place.from, quote: place.quote, closed, found: Vec::new() };
    match &place.wants {
        Wants::Nothing => {}
        Wants::File => {
            let close = if closed { "" } else { "'" };
            return Some(if words.files { files(place.typed, place.from, close) } else { Vec::new() });
        }
        Wants::Setting => list.add(words.settings.iter().map(String::as_str), true),
        Wants::Table | Wants::Input => {
            let in_from = place.wants == Wants::Table;
            list.add_names(place.queries.iter().copied(), in_from);
            list.add_names(words.tables.iter().map(|t| t.name.as_str()), in_from);
            if in_from && place.quote.is_none() {
                list.add(words.relations.iter().map(String::as_str), false);
            }
        }
        Wants::ColumnOf(qualifier) => list.add_names(columns_of(qualifier, &place, words), false),
        Wants::Argument { call, given } => {
            let left =
                arguments_of(call).into_iter().filter(|name| !given.iter().any(|g| g.eq_ignore_ascii_case(name)));
            let names: Vec<String> = left.map(|name| format!("{name} =>")).collect();
            list.add(names.iter().map(String::as_str), true);
        }
        Wants::Value { call, argument, whole } => {
            let takes = takes(call, argument);
            if place.quote == Some('\'') {
                list.add_texts(takes.words.iter().copied());
                if takes.events {
                    list.add_events(&events(&place, known)?);
                }
                return Some(list.found);
            }
            if *whole && place.quote.is_none() {
                list.add_texts(takes.words.iter().copied());
                list.add(takes.literals.iter().copied(), false);
            }
            if takes.events && place.typed.is_empty() {
                list.add_events(&events(&place, known)?);
            }
            if takes.columns {
                list.add_expression(&place, words);
            }
        }
        Wants::Compared(column) => {
            let is_event = |table: &TableInfo| event_column(table).is_some_and(|c| c.eq_ignore_ascii_case(column));
            if tables(&place, words).any(is_event) {
                list.add_events(&events(&place, known)?);
            }
        }
        Wants::Expression => list.add_expression(&place, words),
    }
    Some(list.found)
}

/// The tables that a place reads.
fn tables<'a>(place: &'a Place<'_>, words: &'a Words) -> impl Iterator<Item = &'a TableInfo> {
    place.sources.iter().filter_map(|source| table(source, words))
}

fn table<'a>(source: &Source<'_>, words: &'a Words) -> Option<&'a TableInfo> {
    let named = |table: &&TableInfo| table.name.eq_ignore_ascii_case(source.name);
    words.tables.iter().find(named).filter(|_| !source.call)
}

/// The columns of a source, as far as they are known.
fn columns<'a>(source: &Source<'_>, words: &'a Words) -> Vec<&'a str> {
    if source.call {
        let answer = words.answers.iter().find(|(name, _)| name.eq_ignore_ascii_case(source.name));
        return answer.map(|(_, columns)| columns.clone()).unwrap_or_default();
    }
    table(source, words).into_iter().flat_map(|table| table.columns.iter().map(|c| c.name.as_str())).collect()
}

/// The columns of what is called by a name: an alias comes before a table.
fn columns_of<'a>(qualifier: &str, place: &Place<'_>, words: &'a Words) -> impl Iterator<Item = &'a str> {
    let is = |name: &str| name.eq_ignore_ascii_case(qualifier);
    let aliased = place.sources.iter().find(|source| source.alias.is_some_and(is));
    let source = aliased.or_else(|| place.sources.iter().find(|source| is(source.name)));
    let known = words.tables.iter().any(|table| is(&table.name));
    let named = move |table: &&TableInfo| !known || table.name.eq_ignore_ascii_case(qualifier);
    let found: Vec<&str> = match source {
        Some(source) => columns(source, words),
        None => words.tables.iter().filter(named).flat_map(|t| t.columns.iter().map(|c| c.name.as_str())).collect(),
    };
    found.into_iter()
}

fn event_column(table: &TableInfo) -> Option<&str> {
    let declared = table.columns.iter().find(|column| column.role.as_deref() == Some(EVENT));
    declared.or_else(|| table.columns.iter().find(|column| column.name == EVENT)).map(|column| column.name.as_str())
}

/// The names of the events that a place is about: of the first table there that has some.
fn events(place: &Place<'_>, known: &Known<'_>) -> Option<Arc<[String]>> {
    match tables(place, known.words).find(|table| event_column(table).is_some()) {
        Some(table) => (known.events)(&table.name),
        None => Some(Arc::default()),
    }
}

fn command(before: &str, words: &Words) -> Vec<Offer> {
    let start = before.len() - before.trim_start().len();
    let Some(blank) = before[start..].find(char::is_whitespace) else {
        let mut list = List { prefix: &before[start..], from: start, quote: None, closed: false, found: Vec::new() };
        list.add(COMMANDS.iter().map(|c| c.name), true);
        return list.found;
    };
    let name = &before[start..start + blank];
    let from = start + blank + (before[start + blank..].len() - before[start + blank..].trim_start().len());
    let prefix = &before[from..];
    let mut list = List { prefix, from, quote: None, closed: false, found: Vec::new() };
    match name {
        "\\d" => list.add(words.tables.iter().map(|t| t.name.as_str()), false),
        "\\df" => {
            let names: Vec<&str> = crate::engine::catalogue().iter().map(|f| f.name).collect();
            list.add(names.into_iter(), false);
        }
        "\\format" => list.add(Format::ALL.iter().map(|f| f.name()), false),
        "\\run" | "\\save" => {
            let names = Saved::of_user().map(|saved| saved.names()).unwrap_or_default();
            list.add(names.iter().map(String::as_str), false);
        }
        "\\keys" => list.add(["emacs", "vi"].into_iter(), false),
        "\\rows" => list.add(["all"].into_iter(), false),
        "\\timing" | "\\x" | "\\types" | "\\pager" => list.add(["on", "off"].into_iter(), false),
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
    /// The quote in front of what is typed, and whether its other end stands behind the cursor.
    quote: Option<char>,
    closed: bool,
    found: Vec<Offer>,
}

impl List<'_> {
    fn add<'b>(&mut self, names: impl Iterator<Item = &'b str>, space: bool) {
        for name in names {
            if begins_with(name, self.prefix) && !self.found.iter().any(|offer| offer.text == name) {
                self.found.push(Offer { text: name.to_string(), from: self.from, space });
            }
        }
    }

    /// Tables or columns, in quotes where they need some.
    fn add_names<'b>(&mut self, names: impl Iterator<Item = &'b str>, space: bool) {
        let prefix = self.prefix.replace("\"\"", "\"");
        for name in names.filter(|name| begins_with(name, &prefix)) {
            let text = match self.quote {
                Some(_) => self.ended(name.replace('"', "\"\""), '"'),
                // A name with dots is a schema's and a table's.
                None if name.split('.').all(is_plain) => name.to_string(),
                None => format!("\"{}\"", name.replace('"', "\"\"")),
            };
            if !self.found.iter().any(|offer| offer.text == text) {
                self.found.push(Offer { text, from: self.from, space });
            }
        }
    }

    /// Texts, in quotes.
    fn add_texts<'b>(&mut self, texts: impl Iterator<Item = &'b str>) {
        let prefix = self.prefix.replace("\'\'", "\'");
        for text in texts.filter(|text| begins_with(text, &prefix)) {
            self.add_text(text);
        }
    }

    fn add_text(&mut self, text: &str) {
        let written = text.replace('\'', "\'\'");
        let text = if self.quote.is_some() { self.ended(written, '\'') } else { format!("'{written}'") };
        self.found.push(Offer { text, from: self.from, space: false });
    }

    /// Names of events: those that begin with what is typed, or else those that hold it.
    fn add_events(&mut self, names: &[String]) {
        let typed = self.prefix.replace("\'\'", "\'");
        let before = self.found.len();
        let shown = |name: &&String| matches!(escape(name), Cow::Borrowed(_));
        for name in names.iter().filter(|name| begins_with(name, &typed)).filter(shown) {
            self.add_text(name);
        }
        if self.found.len() == before && !typed.is_empty() {
            let typed = typed.to_lowercase();
            for name in names.iter().filter(|name| name.to_lowercase().contains(&typed)).filter(shown) {
                self.add_text(name);
            }
        }
    }

    /// What stands in expressions. Without a first letter only columns: everything else is too much.
    fn add_expression(&mut self, place: &Place<'_>, words: &Words) {
        for source in &place.sources {
            self.add_names(columns(source, words).into_iter(), false);
        }
        if place.quote.is_some() {
            return;
        }
        if place.typed.is_empty() {
            return;
        }
        let lower = place.typed.starts_with(|c: char| c.is_lowercase());
        let keywords: Vec<String> =
            KEYWORDS.iter().map(|k| if lower { k.to_ascii_lowercase() } else { k.to_string() }).collect();
        self.add(keywords.iter().map(String::as_str), true);
        self.add_names(words.tables.iter().map(|t| t.name.as_str()), true);
        self.add(words.functions.iter().chain(&words.relations).map(String::as_str), false);
        let others = words.tables.iter().flat_map(|table| table.columns.iter().map(|c| c.name.as_str()));
        self.add_names(others, false);
    }

    fn ended(&self, mut text: String, quote: char) -> String {
        if !self.closed {
            text.push(quote);
        }
        text
    }
}

fn begins_with(name: &str, prefix: &str) -> bool {
    name.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix))
}

/// Whether a name needs no quotes.
fn is_plain(name: &str) -> bool {
    !name.is_empty()
        && !name.starts_with(|c: char| c.is_ascii_digit())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
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
            tables: vec![
                table("events", &["user_id", "ts", "country", "event"]),
                table("users", &["user_id", "plan"]),
                table("Big table", &["a b", "q\"q"]),
            ],
            functions: vec!["count".into(), "window_funnel".into()],
            relations: vec!["funnel".into()],
            answers: vec![("funnel", vec!["step", "users"])],
            settings: vec!["tenure.time_unit".into(), "tenure.time_zone".into(), "tenure.user_column".into()],
            files: true,
        }
    }

    /// What is offered at `|`, or at the end.
    fn texts(line: &str) -> Vec<String> {
        texts_of(line, &["purchase", "page view", "it's", "\u{1b}[2J", "add_to_cart"]).unwrap()
    }

    fn texts_of(line: &str, events: &[&str]) -> Option<Vec<String>> {
        let words = words();
        let events: Arc<[String]> = events.iter().map(|name| name.to_string()).collect();
        let of = |table: &str| (table == "events").then(|| Arc::clone(&events));
        let pos = line.find('|').unwrap_or(line.len());
        let found = offers(&line.replacen('|', "", 1), pos, &Known { words: &words, events: &of })?;
        Some(found.into_iter().map(|offer| offer.text).collect())
    }

    #[test]
    fn words_that_fit_are_offered() {
        assert_eq!(texts("SEL"), ["SELECT"]);
        assert_eq!(texts("sel"), ["select"]);
        assert_eq!(texts("SELECT * FROM "), ["events", "users", "\"Big table\"", "funnel"]);
        assert_eq!(texts("SELECT * FROM ev"), ["events"]);
        assert_eq!(texts("SELECT * FROM fu"), ["funnel"]);
        assert_eq!(texts("WITH evening AS (SELECT 1) SELECT * FROM ev"), ["evening", "events"]);
        assert_eq!(texts("SELECT * FROM funnel("), ["events", "users", "\"Big table\""]);
        assert_eq!(texts("SELECT wind"), ["window", "window_funnel"]);
        assert_eq!(texts("SELECT * FROM events WHERE cou"), ["country", "count"]);
        assert!(texts("SELECT 1 -- sel").is_empty());
        assert_eq!(texts("SET tenure.time_"), ["tenure.time_unit", "tenure.time_zone"]);
    }

    #[test]
    fn columns_are_those_of_the_tables_that_are_named() {
        assert_eq!(texts("SELECT | FROM users"), ["user_id", "plan"]);
        assert_eq!(texts("SELECT users."), ["user_id", "plan"]);
        assert_eq!(texts("SELECT e.| FROM users u JOIN events e"), ["user_id", "ts", "country", "event"]);
        assert_eq!(texts("SELECT u.| FROM users u JOIN events e"), ["user_id", "plan"]);
        assert_eq!(texts("SELECT e.pl"), ["plan"]);
        assert_eq!(texts("SELECT f.s| FROM funnel(events, steps => ['a']) AS f"), ["step"]);
        assert_eq!(texts("SELECT * FROM trend(users, by => "), ["user_id", "plan"]);
        assert_eq!(texts("SELECT * FROM trend((SELECT * FROM users), by => [user_id, |])"), ["user_id", "plan"]);
        assert_eq!(texts("SELECT | FROM \"Big table\""), ["\"a b\"", "\"q\"\"q\""]);
        assert_eq!(texts("SELECT \"a| FROM \"Big table\""), ["a b\""]);
    }

    #[test]
    fn arguments_and_their_words_are_offered() {
        assert_eq!(texts("SELECT * FROM retention(events, uni"), ["unit =>"]);
        assert_eq!(texts("SELECT * FROM retention((SELECT 1 FROM users), start => 'a', typ"), ["type =>"]);
        let left = texts("SELECT * FROM retention(events, unit => 'week', ");
        assert!(left.contains(&"type =>".into()) && !left.contains(&"unit =>".into()), "{left:?}");
        assert_eq!(
            texts("SELECT * FROM retention(events, unit => '"),
            ["hour'", "day'", "week'", "month'", "quarter'", "year'"]
        );
        assert_eq!(
            texts("SELECT * FROM retention(events, unit => '|')"),
            ["hour", "day", "week", "month", "quarter", "year"]
        );
        assert_eq!(texts("SELECT * FROM funnel(events, steps => ['a'], entry => 'b"), ["best'"]);
        assert!(texts("SELECT * FROM funnel(events, entry => ").contains(&"'best'".into()));
        assert!(texts("SELECT * FROM funnel(events, within => ").contains(&"INTERVAL".into()));
        assert!(!texts("SELECT count(user_id, uni").contains(&"unit =>".to_string()));
    }

    #[test]
    fn events_are_offered_by_frequency_and_in_quotes() {
        let all = ["purchase'", "page view'", "it''s'", "add_to_cart'"];
        assert_eq!(texts("SELECT * FROM funnel(events, steps => ['"), all);
        assert_eq!(texts("SELECT * FROM funnel(events, steps => ['purchase', 'p"), ["purchase'", "page view'"]);
        assert_eq!(texts("SELECT * FROM funnel(events, steps => ['it''"), ["it''s'"]);
        assert_eq!(texts("SELECT * FROM funnel(events, steps => ['cart"), ["add_to_cart'"], "or else what holds it");
        assert_eq!(texts("SELECT * FROM funnel(events, steps => ['add|', 'b'])"), ["add_to_cart"]);
        assert_eq!(texts("SELECT * FROM funnel(events, steps => [")[..2], ["'purchase'", "'page view'"]);
        assert_eq!(texts("SELECT * FROM events WHERE event = 'pu"), ["purchase'"]);
        assert_eq!(texts("SELECT * FROM events WHERE event IN ('a', 'pu"), ["purchase'"]);
        assert_eq!(texts("SELECT * FROM events WHERE country = 'pu"), [""; 0]);
        assert_eq!(texts("SELECT * FROM funnel(users, steps => ['"), [""; 0]);
        assert_eq!(texts("\\explain SELECT * FROM funnel(events, steps => ['pu"), ["purchase'"]);
    }

    /// Ten thousand names: all of them decide what is put into the line, and the most frequent are shown.
    #[test]
    fn many_events_are_narrowed_by_all_of_them() {
        let names: Vec<String> = (0..10_000).map(|at| format!("event {at:05}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let found = texts_of("SELECT * FROM funnel(events, steps => ['", &names).unwrap();
        assert_eq!((found.len(), found[0].as_str(), found[199].as_str()), (10_000, "event 00000'", "event 00199'"));
        let common = |typed: &str| {
            let offers: Vec<Offer> =
                found.iter().map(|text| Offer { text: text.clone(), from: 1, space: false }).collect();
            partial(&format!("'{typed}"), 1 + typed.len(), &offers).unwrap().insert
        };
        assert_eq!(common(""), "event 0");
        assert_eq!(common("EV"), "EV", "what is typed is not taken away");
        assert_eq!(texts_of("SELECT * FROM funnel(events, steps => ['event 0999", &names).unwrap().len(), 10);
        assert_eq!(texts_of("SELECT * FROM funnel(events, steps => ['9999", &names).unwrap(), ["event 09999'"]);
    }

    #[test]
    fn events_that_are_being_read_are_waited_for() {
        let words = words();
        let known = Known { words: &words, events: &|_| None };
        let line = "SELECT * FROM funnel(events, steps => ['";
        assert!(offers(line, line.len(), &known).is_none());
        assert!(offers("SELECT ", 7, &known).is_some());
    }

    #[test]
    fn commands_and_their_arguments_are_offered() {
        assert_eq!(texts("\\d"), ["\\d", "\\dt", "\\df"]);
        assert_eq!(texts("\\d u"), ["users"]);
        assert_eq!(texts("\\format p"), ["parquet"]);
        assert_eq!(texts("\\x o"), ["on", "off"]);
        assert_eq!(texts("\\keys v"), ["vi"]);
        assert_eq!(texts("\\explain SELECT | FROM users"), ["user_id", "plan"]);
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
        let words = words();
        let known = Known { words: &words, events: &|_| None };
        assert_eq!(offers(&line, line.len(), &known).unwrap()[0].from, "SELECT * FROM '".len());
    }
}
