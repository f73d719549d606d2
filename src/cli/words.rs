//! The words that completion offers and highlighting knows.
//!
//! Deals with: SQL's keywords, and a session's tables, columns and functions. Does not deal with: where a word fits.

use std::collections::BTreeSet;

use crate::engine::{Engine, TableInfo, catalogue};
use crate::error::Result;
use crate::functions::FunctionKind;

/// Keywords worth offering: what people type in queries, not the parser's thousand.
#[rustfmt::skip]
pub(super) const KEYWORDS: &[&str] = &[
    "ALL", "ANALYZE", "AND", "ANTI", "ANY", "AS", "ASC", "BETWEEN", "BY", "CASE", "CAST", "COPY", "CREATE", "CROSS",
    "CURRENT", "DATE", "DELETE", "DESC", "DESCRIBE", "DISTINCT", "DROP", "ELSE", "END", "EXCEPT", "EXCLUDE", "EXISTS",
    "EXPLAIN", "EXTERNAL", "EXTRACT", "FALSE", "FILTER", "FIRST", "FOLLOWING", "FROM", "FULL", "GROUP", "GROUPING", "HAVING",
    "IF", "ILIKE", "IN", "INNER", "INSERT", "INTERSECT", "INTERVAL", "INTO", "IS", "JOIN", "LAST", "LATERAL", "LEFT", "LIKE",
    "LIMIT", "LOCATION", "NATURAL", "NOT", "NULL", "NULLS", "OF", "OFFSET", "ON", "OR", "ORDER", "OUTER", "OVER", "PARTITION",
    "PARTITIONED", "PRECEDING", "QUALIFY", "RANGE", "RECURSIVE", "REPLACE", "RIGHT", "ROW", "ROWS", "SELECT", "SEMI", "SET",
    "SETS", "SHOW", "STORED", "SYSTEM_TIME", "TABLE", "THEN", "TIMESTAMP", "TO", "TRUE", "UNBOUNDED", "UNION", "UNNEST",
    "USING", "VALUES", "VERSION", "VIEW", "WHEN", "WHERE", "WINDOW", "WITH", "WITHIN",
];

/// Whether this is one of [`KEYWORDS`], in any case.
pub(super) fn is_keyword(word: &str) -> bool {
    KEYWORDS.binary_search_by(|k| k.bytes().cmp(word.bytes().map(|b| b.to_ascii_uppercase()))).is_ok()
}

/// What a session knows by name.
#[derive(Debug, Default, Clone)]
pub(super) struct Words {
    pub tables: Vec<TableInfo>,
    /// Functions of SQL and of tenure that stand in expressions.
    pub functions: Vec<String>,
    /// Functions that stand in FROM.
    pub relations: Vec<String>,
    /// The columns that relations answer with, as far as they have names of their own.
    pub answers: Vec<(&'static str, Vec<&'static str>)>,
    /// Names of settings.
    pub settings: Vec<String>,
    /// Whether files may be named.
    pub files: bool,
}

impl Words {
    pub async fn of(engine: &Engine) -> Result<Self> {
        let mut functions = BTreeSet::new();
        let mut relations = BTreeSet::new();
        {
            let state = engine.context().state();
            functions.extend(state.scalar_functions().keys().cloned());
            functions.extend(state.aggregate_functions().keys().cloned());
            functions.extend(state.window_functions().keys().cloned());
            relations.extend(state.table_functions().keys().cloned());
        }
        let mut answers = Vec::new();
        for function in catalogue() {
            if function.kind == FunctionKind::Relation {
                let columns = function.returns.iter().flat_map(|(columns, _)| names_of(columns));
                answers.push((function.name, columns.collect()));
            }
            match function.kind {
                FunctionKind::Relation => relations.insert(function.name.to_string()),
                _ => functions.insert(function.name.to_string()),
            };
        }
        Ok(Self {
            tables: engine.tables().await?,
            functions: functions.into_iter().collect(),
            relations: relations.into_iter().collect(),
            answers,
            settings: engine.settings(),
            files: !engine.is_read_only(),
        })
    }

    /// Whether this names a function or relation, in any case.
    pub fn is_function(&self, word: &str) -> bool {
        let word = word.to_ascii_lowercase();
        self.functions.binary_search(&word).is_ok() || self.relations.binary_search(&word).is_ok()
    }
}

/// The names in an entry of the manual, such as `low, high DOUBLE`.
fn names_of(columns: &'static str) -> impl Iterator<Item = &'static str> {
    let first =
        columns.split(',').filter(|part| !part.contains("..")).filter_map(|part| part.split_whitespace().next());
    first.filter(|name| name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_of_answers_are_read_off_the_manual() {
        let names = |text| names_of(text).collect::<Vec<_>>();
        assert_eq!(names("low, high DOUBLE"), ["low", "high"]);
        assert_eq!(names("by .."), [""; 0]);
        assert_eq!(names("period_0, period_1, .."), ["period_0", "period_1"]);
    }

    #[test]
    fn keywords_are_sorted_for_the_search() {
        assert!(KEYWORDS.is_sorted());
        assert!(is_keyword("select") && is_keyword("SELECT") && !is_keyword("user_id"));
    }
}
