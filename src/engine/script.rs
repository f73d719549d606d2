//! A script into its statements, each with the line it starts on.
//!
//! Deals with: where a statement ends (a `;` outside strings, comments and quoted names).
//! Does not deal with: what a statement means; DataFusion parses each text.

use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::tokenizer::{Token, Tokenizer};

use crate::error::{Error, Result};

/// One statement of a script.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement {
    /// The text, without the closing `;` and without blank space around it.
    pub text: String,
    /// 1-based line of the script on which it starts.
    pub line: u64,
}

/// What splitting found.
#[derive(Debug, Default)]
pub struct Script {
    /// The statements, in order; a stretch of comments alone is none.
    pub statements: Vec<Statement>,
    /// Whether the last statement ended with `;` (or there was none): a prompt asks for more lines while this is false.
    pub closed: bool,
}

/// Splits `text` at its semicolons. An unterminated string or comment is an error that names its line.
pub fn split(text: &str) -> Result<Script> {
    let tokens = Tokenizer::new(&GenericDialect {}, text)
        .tokenize_with_location()
        .map_err(|e| Error::user(format!("line {}, column {}: {}", e.location.line, e.location.column, e.message)))?;
    let mut place = Place { text, byte: 0, line: 1, column: 1 };
    let mut script = Script { statements: Vec::new(), closed: true };
    let mut start: Option<(usize, u64)> = None;
    for token in &tokens {
        match &token.token {
            Token::SemiColon => {
                if let Some((from, line)) = start.take() {
                    let at = place.byte_at(token.span.start.line, token.span.start.column);
                    script.statements.push(Statement { text: text[from..at].trim().to_string(), line });
                }
            }
            Token::Whitespace(_) | Token::EOF => {}
            _ if start.is_some() => {}
            _ => {
                let at = place.byte_at(token.span.start.line, token.span.start.column);
                start = Some((at, token.span.start.line));
            }
        }
    }
    if let Some((from, line)) = start {
        script.closed = false;
        script.statements.push(Statement { text: text[from..].trim().to_string(), line });
    }
    Ok(script)
}

/// The tokenizer counts lines and characters from 1; slices need bytes. Places are asked for in the order of the text, so that a long
/// line is walked once.
struct Place<'a> {
    text: &'a str,
    byte: usize,
    line: u64,
    column: u64,
}

impl Place<'_> {
    fn byte_at(&mut self, line: u64, column: u64) -> usize {
        for c in self.text[self.byte..].chars() {
            if (self.line, self.column) >= (line, column) {
                break;
            }
            self.byte += c.len_utf8();
            (self.line, self.column) = if c == '\n' { (self.line + 1, 1) } else { (self.line, self.column + 1) };
        }
        self.byte
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(sql: &str) -> Vec<(String, u64)> {
        split(sql).unwrap().statements.into_iter().map(|s| (s.text, s.line)).collect()
    }

    #[test]
    fn semicolons_in_strings_comments_and_names_do_not_split() {
        let sql = "SELECT ';' -- one; two\n;\n\n/* ; */ SELECT \";\"\n, 'é;' x;";
        assert_eq!(texts(sql), [("SELECT ';' -- one; two".into(), 1), ("SELECT \";\"\n, 'é;' x".into(), 4)]);
    }

    #[test]
    fn the_last_statement_may_be_open() {
        assert!(split("select 1;").unwrap().closed);
        assert!(!split("select 1; select").unwrap().closed);
        assert!(split("-- nothing\n").unwrap().statements.is_empty());
        assert!(split("select 'abc").is_err());
    }
}
