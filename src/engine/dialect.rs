//! The SQL dialect: DataFusion's generic one, and `VERSION AS OF`, `TIMESTAMP AS OF`, `FOR SYSTEM_TIME AS OF` after a table.
//!
//! Deals with: parsing one statement. Does not deal with: what these words mean (`relations`).
//!
//! Reading table versions also makes `AT`, `BEFORE` and `CHANGES` after a table begin one, which are names that people use. So only
//! a statement with `AS OF` in it is read that way; every other is read as ever.

use datafusion::common::config::Dialect as Known;
use datafusion::error::Result;
use datafusion::execution::SessionState;
use datafusion::sql::parser::{DFParserBuilder, Statement};
use datafusion::sql::sqlparser::dialect::{Dialect, GenericDialect};
use datafusion::sql::sqlparser::tokenizer::{Token, Tokenizer};

/// The dialect that a statement is read in.
pub fn of(statement: &str) -> Box<dyn Dialect> {
    if has_as_of(statement) { Box::new(Versioned) } else { Box::new(GenericDialect {}) }
}

/// Parses exactly one statement.
pub fn parse(state: &SessionState, statement: &str) -> Result<Statement> {
    if !has_as_of(statement) {
        return state.sql_to_statement(statement, &Known::Generic);
    }
    let limit = state.config_options().sql_parser.recursion_limit.get();
    let parser = DFParserBuilder::new(statement).with_dialect(&Versioned).with_recursion_limit(limit);
    let mut statements = parser.build()?.parse_statements()?;
    match (statements.pop_front(), statements.is_empty()) {
        (Some(only), true) => Ok(only),
        // Its words for none and for several.
        _ => state.sql_to_statement(statement, &Known::Generic),
    }
}

fn has_as_of(statement: &str) -> bool {
    let Ok(tokens) = Tokenizer::new(&GenericDialect {}, statement).tokenize() else { return false };
    let words = tokens.iter().filter(|token| !matches!(token, Token::Whitespace(_)));
    let words: Vec<Option<&str>> = words
        .map(|token| match token {
            Token::Word(word) if word.quote_style.is_none() => Some(word.value.as_str()),
            _ => None,
        })
        .collect();
    let is = |word: Option<&str>, text: &str| word.is_some_and(|w| w.eq_ignore_ascii_case(text));
    words.windows(2).any(|pair| is(pair[0], "as") && is(pair[1], "of"))
}

/// [`GenericDialect`] with table versions. It calls itself generic, since the parser asks for that in places.
#[derive(Debug)]
struct Versioned;

/// Everything that the generic dialect decides for itself.
macro_rules! as_generic {
    ($($question:ident)*) => {
        impl Dialect for Versioned {
            fn dialect(&self) -> std::any::TypeId {
                Dialect::dialect(&GenericDialect {})
            }

            fn is_delimited_identifier_start(&self, ch: char) -> bool {
                GenericDialect {}.is_delimited_identifier_start(ch)
            }

            fn is_identifier_start(&self, ch: char) -> bool {
                GenericDialect {}.is_identifier_start(ch)
            }

            fn is_identifier_part(&self, ch: char) -> bool {
                GenericDialect {}.is_identifier_part(ch)
            }

            fn supports_table_versioning(&self) -> bool {
                true
            }

            $(fn $question(&self) -> bool {
                GenericDialect {}.$question()
            })*
        }
    };
}

as_generic! {
    supports_unicode_string_literal supports_partition_by_after_order_by supports_array_join_syntax
    supports_group_by_expr supports_group_by_with_modifier supports_left_associative_joins_without_parens
    supports_connect_by supports_match_recognize supports_pipe_operator supports_start_transaction_modifier
    supports_window_function_null_treatment_arg supports_dictionary_syntax
    supports_window_clause_named_window_reference supports_parenthesized_set_variables supports_select_wildcard_except
    support_map_literal_syntax allow_extract_custom allow_extract_single_quotes supports_extract_comma_syntax
    supports_create_view_comment_syntax supports_parens_around_table_factor supports_values_as_table_factor
    supports_create_index_with_clause supports_explain_with_utility_options supports_limit_comma
    supports_update_order_by supports_from_first_select supports_projection_trailing_commas
    supports_asc_desc_in_column_definition supports_try_convert supports_bitwise_shift_operators supports_comment_on
    supports_load_extension supports_named_fn_args_with_assignment_operator supports_struct_literal
    supports_empty_projections supports_nested_comments supports_multiline_comment_hints supports_user_host_grantee
    supports_string_escape_constant supports_array_typedef_with_brackets supports_match_against supports_set_names
    supports_comma_separated_set_assignments supports_filter_during_aggregation supports_select_wildcard_exclude
    supports_data_type_signed_suffix supports_interval_options supports_quote_delimited_string
    supports_select_wildcard_replace supports_select_wildcard_ilike supports_select_wildcard_rename
    supports_optimize_table supports_install supports_detach supports_prewhere supports_with_fill supports_limit_by
    supports_interpolate supports_settings supports_select_format supports_comment_optimizer_hint
    supports_constraint_keyword_without_name supports_key_column_option supports_comma_separated_trim
    supports_cte_without_as supports_select_item_multi_column_alias supports_xml_expressions
}

#[cfg(test)]
mod tests {
    use super::*;
    use datafusion::prelude::SessionContext;

    fn parsed(statement: &str) -> Result<Statement> {
        parse(&SessionContext::new().state(), statement)
    }

    #[test]
    fn versions_are_read_where_they_stand_and_names_stay_names() {
        for statement in [
            "SELECT * FROM t VERSION AS OF 3",
            "SELECT * FROM t TIMESTAMP AS OF '2026-11-01' AS old JOIN t ON true",
            "SELECT * FROM f((SELECT * FROM t FOR SYSTEM_TIME AS OF now() - INTERVAL '1 day'), steps => ['a'])",
            "SELECT * FROM 'some/folder' version as of 1 x",
            "SELECT a AS at FROM t at, u before, v changes",
            "SELECT 'as of' AS \"of\" FROM t",
        ] {
            parsed(statement).unwrap_or_else(|e| panic!("{statement}: {e}"));
        }
        assert!(parsed("SELECT * FROM t VERSION AS OF").is_err());
        assert!(parsed("SELECT 1; SELECT * FROM t VERSION AS OF 3").is_err());
    }

    /// A question that the generic dialect answers with yes and this one does not would be a statement that only parses without
    /// `AS OF`. Statements that lean on such answers, with and without it, must come out the same.
    #[test]
    fn everything_else_is_generic() {
        for statement in [
            "SELECT {'a': 1, 'b': [1, 2]} FROM t",
            "SELECT * EXCLUDE (a) FROM t",
            "SELECT * REPLACE (a + 1 AS a) FROM t",
            "SELECT count(*) FILTER (WHERE a > 1) FROM t GROUP BY ALL",
            "FROM t SELECT a",
            "SELECT f(a => 1, b => {'x': 1}) FROM t",
            "SELECT a, FROM t",
            "SELECT e'\\n', extract('year' FROM ts), MAP {'a': 1} FROM t LIMIT 1, 2",
            "SELECT sum(a) OVER (w ORDER BY b) FROM t WINDOW w AS (PARTITION BY c)",
        ] {
            let plain = parsed(statement).map(|s| s.to_string()).map_err(|e| e.to_string());
            let versioned = parsed(&format!("{statement} -- ")).map(|s| s.to_string()).map_err(|e| e.to_string());
            assert_eq!(plain, versioned);
            let tokens = DFParserBuilder::new(statement).with_dialect(&Versioned).build().unwrap().parse_statements();
            let versioned = tokens.map(|s| s[0].to_string()).map_err(|e| e.to_string());
            assert_eq!(plain.is_ok(), versioned.is_ok(), "{statement}: {plain:?} {versioned:?}");
            if let (Ok(plain), Ok(versioned)) = (plain, versioned) {
                assert_eq!(plain, versioned);
            }
        }
    }
}
