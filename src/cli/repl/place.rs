//! Where the cursor stands in a statement that is being typed.
//!
//! Deals with: reading what stands left of the cursor (open quotes, brackets, calls, arguments, clauses), and which tables the whole
//! statement names. Does not deal with: what fits there (`completion`). A reader of half-typed text never fails: what it does not know it
//! passes over.

use std::collections::HashSet;
use std::ops::Range;
use std::sync::LazyLock;

use crate::cli::highlight::{Kind, stretches};
use crate::cli::words::Words;
use crate::engine::{arguments_of, catalogue};
use crate::functions::FunctionKind;

/// A place in a line.
#[derive(Debug, PartialEq)]
pub(super) struct Place<'a> {
    /// What is typed of the word at the cursor, without an opening quote.
    pub typed: &'a str,
    /// Where that begins.
    pub from: usize,
    /// The quote that is open there.
    pub quote: Option<char>,
    pub wants: Wants<'a>,
    /// Tables whose columns may be named there.
    pub sources: Vec<Source<'a>>,
    /// Names that the statement gives to queries of its own.
    pub queries: Vec<&'a str>,
}

/// What may stand in a place.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Wants<'a> {
    Nothing,
    /// A table, or what else stands in FROM.
    Table,
    /// A table or a query in brackets, for a call.
    Input,
    /// A file.
    File,
    /// The name of a setting.
    Setting,
    /// A column of what is called by this name.
    ColumnOf(&'a str),
    /// The name of an argument of a call, beside those that are given.
    Argument {
        call: &'a str,
        given: Vec<&'a str>,
    },
    /// The value of an argument, or a part of it; `whole` where nothing of it is there yet.
    Value {
        call: &'a str,
        argument: &'a str,
        whole: bool,
    },
    /// What a column is compared with.
    Compared(&'a str),
    /// Columns, functions, keywords.
    Expression,
}

/// What a statement reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Source<'a> {
    pub name: &'a str,
    pub alias: Option<&'a str>,
    /// Whether it is a call, as `funnel(..)`.
    pub call: bool,
    /// The brackets in which it stands.
    frame: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Clause {
    /// Before any keyword: within a call, or at the start.
    None,
    With,
    From,
    Set,
    /// Where a column may stand.
    Expression,
    /// Where a column may not stand, as after LIMIT.
    Other,
}

/// What stands between a pair of brackets, or outside of all.
#[derive(Debug, Clone)]
struct Frame<'a> {
    id: usize,
    parent: usize,
    /// The bracket; a blank outside of all.
    open: char,
    /// The name in front of it.
    head: Option<&'a str>,
    /// Whether that is a relation's.
    relation: bool,
    /// The column whose values it lists, as in `event IN (`.
    compared: Option<&'a str>,
    clause: Clause,
    /// Whether a table comes next.
    table_next: bool,
    /// The argument whose value comes.
    argument: Option<&'a str>,
    given: Vec<&'a str>,
    /// Items before the one that is being typed.
    items: usize,
    /// Whether nothing of the item is there yet.
    fresh: bool,
    /// The source that may still get an alias.
    source: Option<usize>,
}

/// A stretch that counts, and where it stands.
#[derive(Debug, Clone, Copy)]
struct Token<'a> {
    text: &'a str,
    kind: Kind,
    end: usize,
}

impl Token<'_> {
    fn is(&self, word: &str) -> bool {
        self.text.eq_ignore_ascii_case(word)
    }

    fn is_word(&self) -> bool {
        matches!(self.kind, Kind::Keyword | Kind::Function | Kind::Name)
    }
}

/// Reads the place at `pos`; nothing where that is within a character, or in a comment.
pub(super) fn place<'a>(line: &'a str, pos: usize, words: &Words) -> Option<Place<'a>> {
    let (before, after) = (line.get(..pos)?, line.get(pos..)?);
    let mut found = stretches(before, words);
    if let Some((range, Kind::Comment)) = found.last()
        && !closed_comment(&before[range.clone()])
    {
        return None;
    }
    let mut place =
        Place { typed: "", from: pos, quote: None, wants: Wants::Nothing, sources: Vec::new(), queries: Vec::new() };
    // The word or the open quote at the cursor is what is asked for, and not part of where it stands.
    if let Some((range, kind)) = found.last().cloned() {
        let text = &before[range.clone()];
        let quote = text.chars().next().filter(|c| ['\'', '"'].contains(c));
        let open = quote.filter(|quote| is_open(text, *quote));
        if open.is_some() {
            (place.typed, place.from, place.quote) = (&text[1..], range.start + 1, open);
        } else if quote.is_none() && matches!(kind, Kind::Keyword | Kind::Function | Kind::Name | Kind::Number) {
            (place.typed, place.from) = (text, range.start);
        }
        if place.from < pos || open.is_some() {
            found.pop();
        }
    }
    let mut reader = Reader::new(before);
    reader.read(&found);
    let mut wants = reader.wants(place.quote, before);
    if wants == Wants::Setting {
        // Names of settings have dots.
        place.from = before.rfind(char::is_whitespace).map_or(0, |at| at + 1).min(place.from);
        place.typed = &before[place.from..];
    }
    if place.quote == Some('"') && matches!(wants, Wants::Argument { .. }) {
        wants = Wants::Nothing;
    }
    place.wants = wants;
    let (here, up) = (reader.top().id, reader.frames.iter().map(|frame| frame.id).collect::<Vec<_>>());
    let call = reader.call().map(|frame| frame.id);
    // What comes after the cursor may name tables, too.
    let unwritten = after.trim_start_matches(|c: char| c.is_alphanumeric() || c == '_');
    let rest = match place.quote {
        // Texts may hold anything, names hardly a quote that opens the next one.
        Some('\'') => after.find('\'').map_or("", |at| &after[at + 1..]),
        Some(quote) => unwritten.strip_prefix(quote).unwrap_or(unwritten),
        None => unwritten,
    };
    let from = line.len() - rest.len();
    let mut later = Reader { text: line, ..reader };
    let rest: Vec<(Range<usize>, Kind)> =
        stretches(rest, words).into_iter().map(|(range, kind)| (range.start + from..range.end + from, kind)).collect();
    let end = rest.iter().position(|(range, kind)| *kind == Kind::Other && &line[range.clone()] == ";");
    later.read(&rest[..end.unwrap_or(rest.len())]);
    place.sources = match call {
        // What the call reads, also within a query that stands there.
        Some(call) => later.sources.iter().filter(|source| later.is_within(source.frame, call)).copied().collect(),
        None => {
            later.sources.iter().filter(|source| source.frame == here || up.contains(&source.frame)).copied().collect()
        }
    };
    place.queries = later.queries;
    Some(place)
}

fn closed_comment(text: &str) -> bool {
    text.starts_with("/*") && text.len() >= 4 && text.ends_with("*/") || text.ends_with('\n')
}

/// Whether a text that begins with a quote has no end.
fn is_open(text: &str, quote: char) -> bool {
    let quotes = text.matches(quote).count();
    quotes % 2 == 1
}

/// Follows the tokens of a statement.
struct Reader<'a> {
    text: &'a str,
    /// From the outermost to the innermost.
    frames: Vec<Frame<'a>>,
    /// The frame around each.
    parents: Vec<usize>,
    sources: Vec<Source<'a>>,
    queries: Vec<&'a str>,
    /// The tokens before, the last one last.
    last: [Option<Token<'a>>; 3],
}

impl<'a> Reader<'a> {
    fn new(text: &'a str) -> Self {
        let mut reader = Self {
            text,
            frames: Vec::new(),
            parents: Vec::new(),
            sources: Vec::new(),
            queries: Vec::new(),
            last: [None; 3],
        };
        reader.push(' ', None, None);
        reader
    }

    fn push(&mut self, open: char, head: Option<&'a str>, compared: Option<&'a str>) {
        let id = self.parents.len();
        let parent = self.frames.last().map_or(id, |frame| frame.id);
        self.parents.push(parent);
        self.frames.push(Frame {
            id,
            parent,
            open,
            head,
            relation: open == '(' && head.is_some_and(|head| RELATIONS.contains(&head.to_ascii_lowercase())),
            compared,
            clause: Clause::None,
            table_next: false,
            argument: None,
            given: Vec::new(),
            items: 0,
            fresh: true,
            source: None,
        });
    }

    fn top(&self) -> &Frame<'a> {
        // The outermost is never taken away.
        &self.frames[self.frames.len() - 1]
    }

    fn top_mut(&mut self) -> &mut Frame<'a> {
        let at = self.frames.len() - 1;
        &mut self.frames[at]
    }

    fn is_within(&self, mut frame: usize, outer: usize) -> bool {
        while frame != outer && self.parents[frame] != frame {
            frame = self.parents[frame];
        }
        frame == outer
    }

    /// The innermost call of a relation whose argument the cursor is in, not within a query that stands there.
    fn call(&self) -> Option<&Frame<'a>> {
        for frame in self.frames.iter().rev() {
            if is_relation(frame) {
                return Some(frame);
            }
            if frame.clause != Clause::None {
                return None;
            }
        }
        None
    }

    fn read(&mut self, tokens: &[(Range<usize>, Kind)]) {
        let text = self.text;
        for (range, kind) in tokens {
            let token = Token { text: &text[range.clone()], kind: *kind, end: range.end };
            if *kind == Kind::Comment || token.text.trim().is_empty() {
                continue;
            }
            self.token(token);
            self.last = [self.last[1], self.last[2], Some(token)];
        }
    }

    fn token(&mut self, token: Token<'a>) {
        match token.text {
            ";" => {
                let fresh = Self::new(self.text);
                *self = fresh;
            }
            "(" | "[" | "{" => self.open(token),
            ")" | "]" | "}" => {
                if self.frames.len() > 1 {
                    self.frames.pop();
                }
                self.top_mut().fresh = false;
            }
            "," => {
                let top = self.top_mut();
                top.items += 1;
                top.argument = None;
                top.fresh = true;
                top.source = None;
                top.table_next = top.clause == Clause::From;
            }
            // `=>` comes in two.
            ">" if self.last[2].is_some_and(|last| last.text == "=" && last.end + 1 == token.end) => {
                let name = self.last[1].filter(Token::is_word).map(|name| name.text);
                let top = self.top_mut();
                top.argument = name;
                top.given.extend(name);
                top.fresh = true;
            }
            ":" => self.top_mut().fresh = true,
            // Some arguments are called as keywords are: `by`, `to`.
            _ if token.kind == Kind::Keyword && self.names_argument() => self.top_mut().fresh = false,
            _ if token.kind == Kind::Keyword => self.keyword(token),
            _ => {
                self.name(token);
                self.top_mut().fresh = false;
            }
        }
    }

    /// Whether the name of an argument comes next.
    fn names_argument(&self) -> bool {
        let top = self.top();
        is_relation(top) && top.fresh && top.items > 0 && top.argument.is_none()
    }

    fn open(&mut self, token: Token<'a>) {
        let open = token.text.chars().next().unwrap_or('(');
        let [before, previous, last] = self.last;
        let called = |last: &Token<'_>| matches!(last.kind, Kind::Function | Kind::Name) || last.is("extract");
        let head = last.filter(|last| open == '(' && called(last));
        let listed = last.is_some_and(|last| open == '(' && last.is("in"));
        let column = match previous {
            Some(not) if not.is("not") => before,
            other => other,
        };
        let compared = column.filter(|column| listed && column.kind == Kind::Name).map(|column| bare(column.text));
        let query = last.is_some_and(|last| open == '(' && last.is("as")) && self.top().clause == Clause::With;
        if query && let Some(name) = previous.filter(|name| name.kind == Kind::Name) {
            self.queries.push(bare(name.text));
        }
        let (frame, table_next) = (self.top().id, self.top().table_next);
        let called = head.map(|head| head.text);
        if let Some(name) = called.filter(|_| table_next) {
            self.sources.push(Source { name, alias: None, call: true, frame });
            let at = self.sources.len() - 1;
            let top = self.top_mut();
            (top.source, top.table_next) = (Some(at), false);
        } else if let (Some(at), Some(_)) = (self.top().source, called) {
            // The name was taken for a table, as quoted names and those of no known function are.
            self.sources[at].call = true;
        }
        let top = self.top_mut();
        (top.table_next, top.fresh) = (false, false);
        self.push(open, called, compared);
    }

    fn keyword(&mut self, token: Token<'a>) {
        let word = token.text.to_ascii_uppercase();
        let top = self.top_mut();
        // `extract(day FROM ts)` reads no table.
        let in_call = top.open == '(' && top.head.is_some() && top.clause == Clause::None && !is_relation(top);
        let (clause, table_next) = match word.as_str() {
            "FROM" | "JOIN" | "INTO" | "TABLE" | "DESCRIBE" | "SUMMARIZE" | "UPDATE" if !in_call => {
                (Clause::From, true)
            }
            "LATERAL" | "ONLY" if top.table_next => return,
            "SELECT" | "WHERE" | "ON" | "HAVING" | "QUALIFY" | "BY" | "USING" | "VALUES" => (Clause::Expression, false),
            "WITH" if top.clause == Clause::None => (Clause::With, false),
            "SET" | "RESET" | "SHOW" if top.clause == Clause::None && top.parent == top.id => (Clause::Set, false),
            "LIMIT" | "OFFSET" | "LOCATION" | "TO" | "UNION" | "EXCEPT" | "INTERSECT" => (Clause::Other, false),
            _ => {
                top.fresh = false;
                top.table_next = false;
                return;
            }
        };
        (top.clause, top.table_next, top.source) = (clause, table_next, None);
        top.fresh = true;
    }

    fn name(&mut self, token: Token<'a>) {
        let frame = self.top().id;
        if !matches!(token.kind, Kind::Name | Kind::Function | Kind::Text) {
            return;
        }
        let word = bare(token.text);
        if self.last[2].is_none() && self.top().clause == Clause::None {
            // Verbs that are no keywords elsewhere.
            let verb = match token.text.to_ascii_uppercase().as_str() {
                "SUMMARIZE" | "UPDATE" => Some((Clause::From, true)),
                "RESET" => Some((Clause::Set, false)),
                _ => None,
            };
            if let Some((clause, table_next)) = verb {
                let top = self.top_mut();
                (top.clause, top.table_next) = (clause, table_next);
                return;
            }
        }
        // The input of a relation is its first argument.
        let input = is_relation(self.top()) && self.top().items == 0 && self.top().fresh;
        if (self.top().table_next || input) && token.kind != Kind::Function {
            self.sources.push(Source { name: word, alias: None, call: false, frame });
            let at = self.sources.len() - 1;
            let top = self.top_mut();
            (top.source, top.table_next) = (Some(at), false);
            return;
        }
        let after_dot = self.last[2].is_some_and(|last| last.text == ".");
        match self.top().source {
            Some(at) if after_dot => self.sources[at].name = word,
            Some(at) if token.kind == Kind::Name && self.sources[at].alias.is_none() => {
                self.sources[at].alias = Some(word);
                self.top_mut().source = None;
            }
            _ => {}
        }
    }

    /// What may stand after what was read.
    fn wants(&self, quote: Option<char>, text: &'a str) -> Wants<'a> {
        let top = self.top();
        let [_, previous, last] = self.last;
        if quote == Some('\'') {
            return self.wants_text(previous, last);
        }
        if let (Some(dot), Some(name)) = (last, previous)
            && dot.text == "."
            && top.clause != Clause::Set
        {
            return if name.is_word() { Wants::ColumnOf(bare(name.text)) } else { Wants::Nothing };
        }
        if top.clause == Clause::Set {
            let begun = text.trim_end().ends_with('=') || self.last.iter().flatten().any(|token| token.text == "=");
            return if begun || last.is_some_and(|last| last.is("to")) { Wants::Nothing } else { Wants::Setting };
        }
        if top.table_next {
            return Wants::Table;
        }
        if is_relation(top) && top.argument.is_none() && top.fresh {
            let call = top.head.unwrap_or_default();
            return match top.items {
                0 => Wants::Input,
                _ => Wants::Argument { call, given: top.given.clone() },
            };
        }
        self.value().unwrap_or(match top.clause {
            Clause::Other => Wants::Nothing,
            _ => Wants::Expression,
        })
    }

    fn wants_text(&self, previous: Option<Token<'a>>, last: Option<Token<'a>>) -> Wants<'a> {
        let top = self.top();
        if let Some(column) = top.compared {
            return Wants::Compared(column);
        }
        let compares = last.is_some_and(|last| ["=", ">"].contains(&last.text));
        if let Some(column) = previous.filter(|column| compares && column.kind == Kind::Name) {
            return Wants::Compared(bare(column.text));
        }
        // `<>` and `!=` come in two.
        if let (Some(operator), Some(column)) = (previous, self.last[0])
            && compares
            && ["<", "!"].contains(&operator.text)
            && column.kind == Kind::Name
        {
            return Wants::Compared(bare(column.text));
        }
        if let Some(value) = self.value() {
            let key = top.open == '{' && top.fresh && last.is_some_and(|last| last.text != ":");
            return if key { Wants::Nothing } else { value };
        }
        let reads = top.head.is_some_and(|head| head.to_ascii_lowercase().starts_with("read_")) && top.items == 0;
        let named = last.is_some_and(|last| last.is("to") || last.is("location"));
        if top.table_next || reads || named { Wants::File } else { Wants::Nothing }
    }

    /// The argument of the call that the cursor is in.
    fn value(&self) -> Option<Wants<'a>> {
        let call = self.call()?;
        let argument = call.argument?;
        let whole = call.id == self.top().id && call.fresh;
        Some(Wants::Value { call: call.head?, argument, whole })
    }
}

/// Whether arguments with names stand in these brackets.
fn is_relation(frame: &Frame<'_>) -> bool {
    frame.relation && frame.clause == Clause::None
}

static RELATIONS: LazyLock<HashSet<String>> = LazyLock::new(|| {
    let relations = catalogue().into_iter().filter(|function| function.kind == FunctionKind::Relation);
    relations
        .filter(|relation| !arguments_of(relation.name).is_empty())
        .map(|relation| relation.name.to_string())
        .collect()
});

/// A name without its quotes.
fn bare(text: &str) -> &str {
    let inner = |quote| text.strip_prefix(quote).and_then(|text| text.strip_suffix(quote));
    inner('"').or_else(|| inner('\'')).unwrap_or(text)
}

#[cfg(test)]
mod tests;
