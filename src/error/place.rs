//! Where in a statement an error is: the line, and a caret below the place.
//!
//! Deals with: places that the parser gives, and words (a column, a function, a table) that the statement holds once. A word that it holds
//! several times has no place: any of them may be meant. Does not deal with: control characters, which who prints makes visible.

use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::tokenizer::{Token, Tokenizer};
use unicode_width::UnicodeWidthChar;

/// What is known of the place while the statement is not at hand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    /// Line and column, from 1, columns in characters.
    At(u64, u64),
    /// This word.
    Word(String),
}

/// How much of a line is shown.
const WIDTH: usize = 100;

impl Place {
    /// The place that a message of the parser names.
    pub fn of_parser(message: &str) -> Option<Self> {
        let (_, place) = message.rsplit_once(" at Line: ")?;
        let (line, column) = place.split_once(", Column: ")?;
        Some(Self::At(line.trim().parse().ok()?, column.trim().parse().ok()?))
    }

    /// The line of the statement with a caret below it, as two lines.
    pub fn shown_in(&self, statement: &str) -> Option<String> {
        let (line, column) = match self {
            Self::At(line, column) => (*line, *column),
            Self::Word(word) => only(statement, word)?,
        };
        let text = statement.lines().nth(usize::try_from(line.checked_sub(1)?).ok()?)?;
        let before = usize::try_from(column.checked_sub(1)?).ok()?;
        let chars: Vec<char> = text.chars().map(|c| if c == '\t' { ' ' } else { c }).collect();
        if before > chars.len() {
            return None;
        }
        // Of a long line what is around the place; a list of a hundred thousand numbers may stand on one.
        let mut ends = vec![0];
        ends.extend(chars.iter().scan(0, |end, c| {
            *end += c.width().unwrap_or(1);
            Some(*end)
        }));
        let width = |from: usize, to: usize| ends[to] - ends[from];
        let mut from = 0;
        while width(from, before) > WIDTH / 2 && width(from, chars.len()) > WIDTH {
            from += 1;
        }
        let mut to = chars.len();
        while to > before && width(from, to) > WIDTH {
            to -= 1;
        }
        let (left, right) = (if from > 0 { ".." } else { "" }, if to < chars.len() { ".." } else { "" });
        let shown: String = chars[from..to].iter().collect();
        let indent = " ".repeat(left.len() + width(from, before));
        Some(format!("{left}{shown}{right}\n{indent}^"))
    }
}

/// Where a word stands that a statement holds once, in whatever case.
fn only(statement: &str, word: &str) -> Option<(u64, u64)> {
    let tokens = Tokenizer::new(&GenericDialect {}, statement).tokenize_with_location().ok()?;
    let mut found = tokens.iter().filter(|token| match &token.token {
        Token::Word(known) => known.value.eq_ignore_ascii_case(word),
        Token::SingleQuotedString(text) => text == word,
        _ => false,
    });
    let start = found.next()?.span.start;
    found.next().is_none().then_some((start.line, start.column))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(line: u64, column: u64, statement: &str) -> Option<String> {
        Place::At(line, column).shown_in(statement)
    }

    #[test]
    fn the_caret_stands_below_the_place() {
        let message = "sql parser error: Expected: end of statement, found: t at Line: 2, Column: 3";
        assert_eq!(Place::of_parser(message), Some(Place::At(2, 3)));
        assert_eq!(at(2, 3, "SELECT a\nFO t").as_deref(), Some("FO t\n  ^"));
        // At the end, and one past it.
        assert_eq!(at(1, 9, "SELECT a").as_deref(), Some("SELECT a\n        ^"));
        assert_eq!(at(1, 10, "SELECT a"), None);
        assert_eq!(at(3, 1, "SELECT a"), None);
    }

    #[test]
    fn wide_characters_take_two_columns_and_tabs_one() {
        assert_eq!(at(1, 13, "SELECT '漢字', x y z").as_deref(), Some("SELECT '漢字', x y z\n              ^"));
        assert_eq!(at(1, 8, "SELECT\tx").as_deref(), Some("SELECT x\n       ^"));
    }

    #[test]
    fn of_a_long_line_the_place_is_shown() {
        let long = format!("SELECT {} oops {}", "a, ".repeat(100), "b, ".repeat(100));
        let column = long.find("oops").unwrap() as u64 + 1;
        let shown = at(1, column, &long).unwrap();
        let (line, caret) = shown.split_once('\n').unwrap();
        assert!(line.len() <= WIDTH + 4 && line.starts_with("..") && line.ends_with(".."), "{line}");
        assert_eq!(line.find("oops"), Some(caret.len() - 1));
    }

    #[test]
    fn a_word_has_a_place_where_it_comes_once() {
        let word = |word: &str, statement| Place::Word(word.into()).shown_in(statement);
        assert_eq!(word("nope", "SELECT Nope FROM t").as_deref(), Some("SELECT Nope FROM t\n       ^"));
        assert_eq!(word("nope", "SELECT nope FROM t WHERE nope > 1"), None);
        assert_eq!(word("nope", "SELECT 1 -- nope"), None);
    }
}
