//! SQL in colours: a scanner that never fails, because it sees every half-typed line.
//!
//! Deals with: which stretch of text is a keyword, string, number, comment or function. Does not deal with: syntax.

use std::ops::Range;

use nu_ansi_term::{Color, Style};

use super::words::{Words, is_keyword};

/// What a stretch of SQL is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Keyword,
    Function,
    /// In single quotes.
    Text,
    Number,
    Comment,
    /// A bare or double-quoted name.
    Name,
    /// `$name`.
    Parameter,
    /// Blank space, operators, brackets.
    Other,
}

impl Kind {
    pub fn style(self) -> Style {
        match self {
            Kind::Keyword => Color::Blue.bold(),
            Kind::Function => Color::Cyan.normal(),
            Kind::Text => Color::Green.normal(),
            Kind::Number => Color::Yellow.normal(),
            Kind::Comment => Style::new().dimmed(),
            Kind::Parameter => Color::Purple.normal(),
            Kind::Name | Kind::Other => Style::new(),
        }
    }
}

/// Cuts `sql` into stretches that follow each other without a gap. What is unterminated reaches to the end.
pub(super) fn stretches(sql: &str, words: &Words) -> Vec<(Range<usize>, Kind)> {
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(first) = sql[at..].chars().next() {
        let rest = &sql[at..];
        let (length, kind) = match first {
            '\'' => (quoted(rest, '\''), Kind::Text),
            '"' => (quoted(rest, '"'), Kind::Name),
            '-' if rest.starts_with("--") => (rest.find('\n').unwrap_or(rest.len()), Kind::Comment),
            '/' if rest.starts_with("/*") => (block_comment(rest), Kind::Comment),
            '$' => match run(&rest[1..], is_word) {
                0 => (1, Kind::Other),
                length => (1 + length, Kind::Parameter),
            },
            c if c.is_ascii_digit() => (number(rest), Kind::Number),
            c if is_word(c) => {
                let length = run(rest, is_word);
                let called = rest[length..].trim_start().starts_with('(');
                (length, word(&rest[..length], called, words))
            }
            c => (c.len_utf8(), Kind::Other),
        };
        found.push((at..at + length, kind));
        at += length;
    }
    found
}

/// With ANSI colours, for text that is printed and not edited.
pub(super) fn ansi(sql: &str) -> String {
    let words = Words::default();
    stretches(sql, &words).into_iter().map(|(range, kind)| kind.style().paint(&sql[range]).to_string()).collect()
}

fn word(word: &str, called: bool, words: &Words) -> Kind {
    // `left(x, 1)` is a function and `LEFT JOIN` is not; `IN (` and `VALUES (` stay keywords.
    match (is_keyword(word), called) {
        (_, true) if words.is_function(word) => Kind::Function,
        (true, _) => Kind::Keyword,
        (false, true) => Kind::Function,
        (false, false) => Kind::Name,
    }
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// Bytes at the start of `text` that satisfy `is`.
fn run(text: &str, is: impl Fn(char) -> bool) -> usize {
    text.find(|c| !is(c)).unwrap_or(text.len())
}

/// Bytes of a quoted text; a doubled quote stands for itself.
fn quoted(text: &str, quote: char) -> usize {
    let mut inside = text.char_indices().skip(1).peekable();
    while let Some((at, c)) = inside.next() {
        if c == quote && inside.next_if(|(_, next)| *next == quote).is_none() {
            return at + 1;
        }
    }
    text.len()
}

/// Bytes of a block comment; they nest.
fn block_comment(text: &str) -> usize {
    let mut depth = 0;
    let mut at = 0;
    while at < text.len() {
        let rest = &text.as_bytes()[at..];
        if rest.starts_with(b"/*") {
            depth += 1;
            at += 2;
        } else if rest.starts_with(b"*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += 1;
        }
    }
    text.len()
}

/// Bytes of `12`, `1_000`, `1.5`, `1e-9`, `0xff`.
fn number(text: &str) -> usize {
    let length = run(text, |c| c.is_ascii_alphanumeric() || c == '_' || c == '.');
    let exponent = text[..length].ends_with(['e', 'E']) && text[length..].starts_with(['+', '-']);
    if exponent { length + 1 + run(&text[length + 1..], |c| c.is_ascii_digit()) } else { length }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kinds(sql: &str) -> Vec<(&str, Kind)> {
        let words = Words { functions: vec!["left".into()], ..Words::default() };
        let found = stretches(sql, &words);
        let joined: String = found.iter().map(|(range, _)| &sql[range.clone()]).collect();
        assert_eq!(joined, sql, "no gap and no overlap");
        found.into_iter().filter(|(_, k)| *k != Kind::Other).map(|(range, k)| (&sql[range], k)).collect()
    }

    #[test]
    fn every_kind_is_seen() {
        let sql = "SELECT left(\"a;b\", 1.5e-3), 'it''s' -- é\nFROM t LEFT JOIN u WHERE x IN (1) AND y = $p /* a /* b */ c */";
        assert_eq!(
            kinds(sql),
            [
                ("SELECT", Kind::Keyword),
                ("left", Kind::Function),
                ("\"a;b\"", Kind::Name),
                ("1.5e-3", Kind::Number),
                ("'it''s'", Kind::Text),
                ("-- é", Kind::Comment),
                ("FROM", Kind::Keyword),
                ("t", Kind::Name),
                ("LEFT", Kind::Keyword),
                ("JOIN", Kind::Keyword),
                ("u", Kind::Name),
                ("WHERE", Kind::Keyword),
                ("x", Kind::Name),
                ("IN", Kind::Keyword),
                ("1", Kind::Number),
                ("AND", Kind::Keyword),
                ("y", Kind::Name),
                ("$p", Kind::Parameter),
                ("/* a /* b */ c */", Kind::Comment),
            ]
        );
    }

    #[test]
    fn half_typed_text_reaches_to_the_end() {
        assert_eq!(kinds("'日本"), [("'日本", Kind::Text)]);
        assert_eq!(kinds("/* x"), [("/* x", Kind::Comment)]);
        assert_eq!(kinds("\"q\"\""), [("\"q\"\"", Kind::Name)]);
        assert_eq!(kinds("'a'''"), [("'a'''", Kind::Text)]);
        assert_eq!(kinds("$ 1e"), [("1e", Kind::Number)]);
    }
}
