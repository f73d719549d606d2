//! Statements as deep as people and programs write them: chains of 20,000 conditions, without an end of the process.
//!
//! Parsing, rewriting, planning and even dropping a chain `a AND b AND ..` recurse as deep as it is long. So planning runs on a stack of its own,
//! whatever thread it is polled on, and a statement that would not fit is refused before it is parsed. Untouched pages of that stack cost
//! nothing.
//!
//! Deals with: planning. Does not deal with: evaluation, whose threads get their stacks in `main`.

use std::pin::Pin;
use std::task::{Context, Poll};

use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::tokenizer::{Token, Tokenizer};

use crate::error::{Error, Result};

/// Bytes of stack for planning: holds [`MOST`] levels in a build without optimisation.
const STACK: usize = 2 << 30;

/// Operators in one chain or nesting. `a <> 1 AND ..` has two for each term.
const MOST: usize = 60_000;

/// Set operations and joins of one statement: planning takes time that grows with their square.
const MOST_PARTS: usize = 2_000;

/// Texts below this have no chain that a usual stack does not hold.
const SHORT: usize = 1 << 10;

/// Polls a future on a stack that holds deep recursion.
pub async fn on_large_stack<F: Future>(future: F) -> F::Output {
    OnLargeStack(Box::pin(future)).await
}

struct OnLargeStack<F>(Pin<Box<F>>);

impl<F: Future> Future for OnLargeStack<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        stacker::maybe_grow(STACK / 2, STACK, || self.0.as_mut().poll(context))
    }
}

/// Refuses a statement that is deeper than planning holds.
pub fn check(statement: &str) -> Result<()> {
    if statement.len() < SHORT {
        return Ok(());
    }
    let Ok(tokens) = Tokenizer::new(&GenericDialect {}, statement).tokenize() else {
        // The parser says what is wrong.
        return Ok(());
    };
    let mut open = vec![0_usize];
    let (mut depth, mut deepest, mut parts) = (0_usize, 0_usize, 0_usize);
    for token in &tokens {
        match token {
            Token::LParen | Token::LBracket | Token::LBrace => open.push(0),
            Token::RParen | Token::RBracket | Token::RBrace if open.len() > 1 => {
                depth -= open.pop().unwrap_or_default();
            }
            // Neighbours in a list are no deeper for each other.
            Token::Comma => {
                if let Some(chain) = open.last_mut() {
                    depth -= *chain;
                    *chain = 0;
                }
            }
            Token::Word(word)
                if matches!(word.keyword, Keyword::UNION | Keyword::EXCEPT | Keyword::INTERSECT | Keyword::JOIN) =>
            {
                parts += 1;
            }
            other if deepens(other) => {
                if let Some(chain) = open.last_mut() {
                    *chain += 1;
                    depth += 1;
                }
            }
            _ => {}
        }
        deepest = deepest.max(depth + open.len());
    }
    if deepest > MOST {
        return Err(Error::user(format!(
            "a chain of {deepest} operators in one statement; at most {MOST} are planned"
        ))
        .hint("many values go into one list, x IN (..), or into a file that is joined"));
    }
    if parts > MOST_PARTS {
        return Err(Error::user(format!(
            "{parts} joins and set operations in one statement; at most {MOST_PARTS} are planned"
        ))
        .hint("put intermediate results into tables: CREATE TABLE name AS SELECT .."));
    }
    Ok(())
}

fn deepens(token: &Token) -> bool {
    match token {
        Token::Word(word) => {
            matches!(
                word.keyword,
                Keyword::AND | Keyword::OR | Keyword::NOT | Keyword::IS | Keyword::LIKE | Keyword::WHEN | Keyword::AT
            )
        }
        Token::Number(..)
        | Token::SingleQuotedString(_)
        | Token::DoubleQuotedString(_)
        | Token::Whitespace(_)
        | Token::Period
        | Token::Comma
        | Token::Placeholder(_)
        | Token::RParen
        | Token::RBracket
        | Token::RBrace
        | Token::EOF => false,
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chain(terms: usize, operator: &str) -> String {
        format!("SELECT {}", vec!["a"; terms].join(operator))
    }

    #[test]
    fn chains_count_and_lists_do_not() {
        assert!(check(&chain(20_000, " AND ")).is_ok() && check(&chain(20_000, "+")).is_ok());
        assert!(check(&chain(20_000, " <> 1 AND ")).is_ok());
        assert!(check(&chain(100_000, " OR ")).unwrap_err().message().contains("100000"));
        assert!(check(&chain(200_000, ",-")).is_ok());
        assert!(check(&format!("SELECT {}1{}", "(".repeat(70_000), ")".repeat(70_000))).is_err());
        assert!(check(&format!("SELECT 1 {}", " UNION ALL SELECT 1".repeat(3_000))).is_err());
        assert!(check(&format!("SELECT ({}) , ({})", chain(40_000, "+"), chain(40_000, "+"))).is_ok());
    }
}
