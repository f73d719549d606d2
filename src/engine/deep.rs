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

/// Bytes of stack for planning: holds [`MOST_REGROUPED`] levels in a build without optimisation.
const STACK: usize = 1 << 30;

/// Operators in one chain or nesting. Planning takes time with more than the square of the depth.
const MOST: usize = 1_000;

/// Brackets inside each other, where more than a few of them are of CASTs. The parser gives up at 50 levels, but tries twice at each CAST.
const MOST_BRACKETS_WITH_CASTS: usize = 40;
const FEW_CASTS: usize = 8;

/// Terms of a chain of one of AND, OR, `+` and `||`, which is regrouped and does not stay deep.
const MOST_REGROUPED: usize = 25_000;

/// Set operations and joins of one statement: planning takes time that grows with their square.
const MOST_PARTS: usize = 500;

/// Texts below this have no chain that a usual stack does not hold.
const SHORT: usize = 1 << 10;

/// Texts below this need not be looked at.
const TINY: usize = 200;

/// Polls a future on a stack that holds deep recursion, where the statement is long enough to need one.
pub async fn on_large_stack<F: Future>(statement: &str, future: F) -> F::Output {
    if statement.len() < SHORT {
        return Box::pin(future).await;
    }
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
    if statement.len() < TINY {
        return Ok(());
    }
    let Ok(tokens) = Tokenizer::new(&GenericDialect {}, statement).tokenize() else {
        // The parser says what is wrong.
        return Ok(());
    };
    let mut open = vec![Chain::default()];
    let (mut deepest, mut longest, mut parts) = (0, 0, 0_usize);
    let (mut casts, mut is_cast) = (0_usize, false);
    // Depth of the chains around the innermost one.
    let mut around = 0;
    for token in &tokens {
        let Some(chain) = open.last_mut() else { break };
        let opens_cast = std::mem::take(&mut is_cast);
        match token {
            Token::Whitespace(_) => is_cast = opens_cast,
            Token::LParen | Token::LBracket | Token::LBrace => {
                around += chain.depth() + 1;
                open.push(Chain { cast: opens_cast, ..Chain::default() });
                casts += usize::from(opens_cast);
                if casts > FEW_CASTS && open.len() - 1 > MOST_BRACKETS_WITH_CASTS {
                    return Err(Error::user(format!(
                        "{casts} CASTs inside each other, in {} brackets; at most {MOST_BRACKETS_WITH_CASTS} are planned",
                        open.len() - 1
                    ))
                    .hint("CAST in steps: WITH a AS (SELECT CAST(x AS ..) AS y ..) SELECT CAST(y AS ..)"));
                }
                longest = longest.max(open.len());
                continue;
            }
            Token::RParen | Token::RBracket | Token::RBrace => {
                if open.len() > 1 {
                    casts -= usize::from(open.pop().is_some_and(|chain| chain.cast));
                    around -= open.last().map_or(0, Chain::depth) + 1;
                }
                continue;
            }
            // Neighbours in a list are no deeper for each other.
            Token::Comma => *chain = Chain { cast: chain.cast, ..Chain::default() },
            Token::Word(word) => match word.keyword {
                Keyword::AND | Keyword::OR => {
                    let conditions = chain.conditions + 1;
                    *chain = Chain { conditions, cast: chain.cast, ..Chain::default() };
                }
                Keyword::UNION | Keyword::EXCEPT | Keyword::INTERSECT | Keyword::JOIN => {
                    parts += 1;
                    *chain = Chain { cast: chain.cast, ..Chain::default() };
                }
                // The branches of a CASE are neighbours; the parser itself bounds how deep they nest.
                Keyword::WHEN | Keyword::THEN | Keyword::ELSE => {
                    *chain = Chain { cast: chain.cast, ..Chain::default() };
                }
                Keyword::CAST | Keyword::TRY_CAST | Keyword::SAFE_CAST => is_cast = true,
                Keyword::NOT | Keyword::IS | Keyword::LIKE | Keyword::AT => chain.others += 1,
                _ => {}
            },
            Token::Plus => chain.sums += 1,
            Token::StringConcat => chain.texts += 1,
            other if deepens(other) => chain.others += 1,
            _ => {}
        }
        deepest = deepest.max(around + chain.depth());
        longest = longest.max(chain.conditions).max(chain.sums).max(chain.texts);
    }
    let (counted, most) = if deepest > MOST { (deepest, MOST) } else { (longest, MOST_REGROUPED) };
    if counted > most {
        return Err(Error::user(format!(
            "a chain of {counted} operators in one statement; at most {most} are planned"
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

/// Operators since the last comma, and of those that are no AND or OR since the last of these.
#[derive(Debug, Default)]
struct Chain {
    conditions: usize,
    sums: usize,
    texts: usize,
    others: usize,
    /// Whether it is in the brackets of a CAST.
    cast: bool,
}

impl Chain {
    /// Levels that it keeps: a chain of one operator that may be regrouped has few.
    fn depth(&self) -> usize {
        let kinds = [self.sums, self.texts, self.others].iter().filter(|count| **count > 0).count();
        if kinds > 1 || self.others > 0 { self.sums + self.texts + self.others } else { 0 }
    }
}

fn deepens(token: &Token) -> bool {
    !matches!(
        token,
        Token::Number(..)
            | Token::SingleQuotedString(_)
            | Token::DoubleQuotedString(_)
            | Token::Whitespace(_)
            | Token::Period
            | Token::Comma
            | Token::Placeholder(_)
            | Token::EOF
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chain(terms: usize, operator: &str) -> String {
        format!("SELECT {}", vec!["a"; terms].join(operator))
    }

    #[test]
    fn chains_count_and_lists_do_not() {
        for text in [" AND ", "+", "||", " <> 1 AND "] {
            assert!(check(&chain(20_000, text)).is_ok(), "{text}");
            assert!(check(&chain(30_000, text)).is_err(), "{text}");
        }
        assert!(check(&chain(900, "-")).is_ok() && check(&chain(1_100, "-")).is_err());
        let casts = |n: usize| format!("SELECT {}1{}", "CAST( ".repeat(n), " AS BIGINT)".repeat(n));
        assert!(check(&casts(40)).is_ok() && check(&casts(41)).is_err());
        assert!(check(&vec![casts(30); 9].join(", ")).is_ok());
        assert!(check(&format!("SELECT {}1{}", "CAST(abs(".repeat(25), ") AS BIGINT)".repeat(25))).is_err());
        assert!(check(&chain(6_000, "+b-")).is_err());
        assert!(check(&chain(100_000, " OR ")).unwrap_err().message().contains("99999"));
        assert!(check(&chain(200_000, ",-")).is_ok());
        assert!(check(&format!("SELECT {}1{}", "(".repeat(70_000), ")".repeat(70_000))).is_err());
        assert!(check(&format!("SELECT {}1{}", "(a - ".repeat(3_000), ")".repeat(3_000))).is_err());
        assert!(check(&format!("SELECT 1 {}", " UNION ALL SELECT 1".repeat(501))).is_err());
        assert!(check(&format!("SELECT ({}) , ({})", chain(20_000, "+"), chain(20_000, "+"))).is_ok());
    }
}
