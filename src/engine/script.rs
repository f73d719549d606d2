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
    let lines = line_starts(text);
    let mut script = Script { statements: Vec::new(), closed: true };
    let mut start: Option<(usize, u64)> = None;
    for token in &tokens {
        let at = byte_offset(text, &lines, token.span.start.line, token.span.start.column);
        match &token.token {
            Token::SemiColon => {
                if let Some((from, line)) = start.take() {
                    script.statements.push(Statement { text: text[from..at].trim().to_string(), line });
                }
            }
            Token::Whitespace(_) | Token::EOF => {}
            _ => {
                start.get_or_insert((at, token.span.start.line));
            }
        }
    }
    if let Some((from, line)) = start {
        script.closed = false;
        script.statements.push(Statement { text: text[from..].trim().to_string(), line });
    }
    Ok(script)
}

fn line_starts(text: &str) -> Vec<usize> {
    std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect()
}

/// The tokenizer counts lines and characters from 1; slices need bytes.
fn byte_offset(text: &str, lines: &[usize], line: u64, column: u64) -> usize {
    let Some(&from) = usize::try_from(line).ok().and_then(|l| lines.get(l.wrapping_sub(1))) else { return text.len() };
    let skip = usize::try_from(column).unwrap_or(usize::MAX).saturating_sub(1);
    text[from..].char_indices().nth(skip).map_or(text.len(), |(at, _)| from + at)
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
