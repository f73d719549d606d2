//! What becomes of each field of the parser's types for queries: used, refused, or without effect. Made from the types themselves, so that a
//! parser with a new field or variant does not compile here; the tests drive a statement for each that is not simply used.
//!
//! Statements run over `t (a, b, userId, ts)`, four rows.

use datafusion::sql::sqlparser::ast as sql;

/// What becomes of a field.
#[derive(Debug, Clone, Copy)]
enum Fate {
    /// The planner or a rewrite takes it in.
    Used,
    /// The statement fails, and the message holds the word.
    Refused(&'static str, &'static str),
    /// Both statements give the same rows: it has no effect, or the first is rewritten to the second.
    Same(&'static str, &'static str),
    /// No statement of this dialect has it; refused or without effect all the same.
    Unwritten,
}

use Fate::{Refused, Same, Unwritten, Used};

/// One row of the list: type or variant, field, fate.
type Row = (&'static str, &'static str, Fate);

/// Structs: each pattern without `..`.
macro_rules! structs {
    ($list:ident: $($type:ident { $($field:ident: $fate:expr),* $(,)? })*) => {
        const $list: &[Row] = &[$($((stringify!($type), stringify!($field), $fate),)*)*];
        $(const _: fn(sql::$type) = |value| {
            let sql::$type { $($field: _),* } = value;
        };)*
    };
}

/// Variants with named fields of one enum; the rest of its variants by name.
macro_rules! variants {
    ($list:ident of $enum:ident: $($variant:ident { $($field:ident: $fate:expr),* $(,)? })*; $($other:ident: $other_fate:expr),* $(,)?) => {
        const $list: &[Row] = &[
            $($((concat!(stringify!($enum), "::", stringify!($variant)), stringify!($field), $fate),)*)*
            $((stringify!($enum), stringify!($other), $other_fate),)*
        ];
        const _: fn(sql::$enum) = |value| match value {
            $(sql::$enum::$variant { $($field: _),* } => {})*
            $(sql::$enum::$other { .. } => {})*
        };
    };
}

structs! { STRUCTS:
    Query {
        with: Used, body: Used, order_by: Used, limit_clause: Used,
        fetch: Same("SELECT a FROM t ORDER BY a FETCH FIRST 2 ROWS ONLY", "SELECT a FROM t ORDER BY a LIMIT 2"),
        locks: Refused("SELECT a FROM t FOR UPDATE", "FOR UPDATE"),
        for_clause: Refused("SELECT a FROM t FOR JSON AUTO", "FOR JSON"),
        settings: Refused("SELECT a FROM t SETTINGS max_threads = 1", "SETTINGS"),
        format_clause: Refused("SELECT a FROM t FORMAT JSON", "FORMAT"),
        pipe_operators: Used,
    }
    With { with_token: Unwritten, recursive: Used, cte_tables: Used }
    Cte {
        alias: Used, query: Used,
        from: Unwritten, materialized: Unwritten,
        closing_paren_token: Unwritten,
    }
    Select {
        select_token: Unwritten,
        optimizer_hints: Same("SELECT /*+ FULL(t) */ a FROM t ORDER BY a", "SELECT a FROM t ORDER BY a"),
        distinct: Used,
        select_modifiers: Unwritten,
        top: Refused("SELECT TOP 2 a FROM t", "TOP"),
        top_before_distinct: Unwritten,
        projection: Used,
        exclude: Unwritten,
        into: Refused("SELECT a INTO u FROM t", "INTO"),
        from: Used,
        lateral_views: Refused("SELECT a FROM t LATERAL VIEW explode(b) x AS y", "LATERAL VIEW"),
        prewhere: Same("SELECT a FROM t PREWHERE a > 1 WHERE b = 'x' OR b = 'y' ORDER BY a", "SELECT a FROM t WHERE a > 1 AND (b = 'x' OR b = 'y') ORDER BY a"),
        selection: Used,
        connect_by: Refused("SELECT a FROM t START WITH a = 1 CONNECT BY PRIOR a = a", "CONNECT BY"),
        group_by: Used,
        cluster_by: Refused("SELECT a FROM t CLUSTER BY a", "CLUSTER BY"),
        distribute_by: Refused("SELECT a FROM t DISTRIBUTE BY a", "DISTRIBUTE BY"),
        sort_by: Refused("SELECT a FROM t SORT BY a", "SORT BY"),
        having: Used,
        named_window: Same("SELECT a, sum(a) OVER w AS s FROM t WINDOW w AS (PARTITION BY b) QUALIFY sum(a) OVER w > 1 ORDER BY a", "SELECT a, sum(a) OVER (PARTITION BY b) AS s FROM t QUALIFY sum(a) OVER (PARTITION BY b) > 1 ORDER BY a"),
        qualify: Used,
        window_before_qualify: Same("SELECT a FROM t QUALIFY row_number() OVER w = 1 WINDOW w AS (ORDER BY a)", "SELECT a FROM t WINDOW w AS (ORDER BY a) QUALIFY row_number() OVER w = 1"),
        value_table_mode: Unwritten,
        flavor: Same("FROM t ORDER BY a LIMIT 1", "SELECT * FROM t ORDER BY a LIMIT 1"),
    }
    WildcardAdditionalOptions {
        wildcard_token: Unwritten,
        opt_ilike: Refused("SELECT * ILIKE 'A' FROM t", "ILIKE"),
        opt_exclude: Used, opt_except: Used, opt_replace: Used,
        opt_rename: Refused("SELECT * RENAME (a AS c) FROM t", "RENAME"),
        opt_alias: Unwritten,
    }
    TableWithJoins { relation: Used, joins: Used }
    Join {
        relation: Used,
        global: Same("SELECT count(*) FROM t GLOBAL JOIN t AS u ON t.a = u.a", "SELECT count(*) FROM t JOIN t AS u ON t.a = u.a"),
        join_operator: Used,
    }
    TableAlias {
        explicit: Same("SELECT x.a FROM t x ORDER BY 1", "SELECT x.a FROM t AS x ORDER BY 1"),
        name: Used, columns: Used, at: Unwritten,
    }
    TableAliasColumnDef { name: Used, data_type: Refused("SELECT a FROM (SELECT a FROM t) AS x (a INT)", "type") }
    TableFunctionArgs { args: Used, settings: Refused("SELECT * FROM range(3, SETTINGS a = 1)", "SETTINGS") }
    TableSample {
        modifier: Used,
        name: Same("SELECT a FROM t TABLESAMPLE BERNOULLI (40) ORDER BY a", "SELECT a FROM t TABLESAMPLE (40 PERCENT) ORDER BY a"),
        quantity: Same("SELECT a FROM t SAMPLE 0.4 ORDER BY a", "SELECT a FROM t WHERE in_sample(\"userId\", 0.4) ORDER BY a"),
        seed: Same("SELECT a FROM t TABLESAMPLE (40 PERCENT) REPEATABLE (7) ORDER BY a", "SELECT a FROM t WHERE in_sample(\"userId\", 0.4, 7) ORDER BY a"),
        bucket: Refused("SELECT a FROM t TABLESAMPLE (BUCKET 1 OUT OF 2)", "BUCKET"),
        offset: Refused("SELECT a FROM t SAMPLE 0.1 OFFSET 0.5", "OFFSET"),
    }
    TableSampleQuantity {
        parenthesized: Same("SELECT a FROM t TABLESAMPLE (100) ORDER BY a", "SELECT a FROM t ORDER BY a"),
        value: Used,
        unit: Refused("SELECT a FROM t TABLESAMPLE (10 ROWS)", "ROWS"),
    }
    OrderBy { kind: Used, interpolate: Refused("SELECT a FROM t ORDER BY a INTERPOLATE (a AS a + 1)", "INTERPOLATE") }
    OrderByExpr { expr: Used, options: Used, with_fill: Refused("SELECT a FROM t ORDER BY a WITH FILL FROM 1 TO 3 STEP 1", "WITH FILL") }
    OrderByOptions { asc: Used, nulls_first: Used }
    Offset { value: Used, rows: Same("SELECT a FROM t ORDER BY a LIMIT 1 OFFSET 1 ROWS", "SELECT a FROM t ORDER BY a LIMIT 1 OFFSET 1") }
    Fetch {
        with_ties: Refused("SELECT a FROM t ORDER BY a FETCH FIRST 2 ROWS WITH TIES", "WITH TIES"),
        percent: Refused("SELECT a FROM t ORDER BY a FETCH FIRST 2 PERCENT ROWS ONLY", "PERCENT"),
        quantity: Same("SELECT a FROM t ORDER BY a FETCH FIRST ROW ONLY", "SELECT a FROM t ORDER BY a LIMIT 1"),
    }
    Values { explicit_row: Same("VALUES ROW(1), ROW(2)", "VALUES (1), (2)"), value_keyword: Unwritten, rows: Used }
    Function {
        name: Used,
        uses_odbc_syntax: Same("SELECT {fn abs(-1)} AS x", "SELECT abs(-1) AS x"),
        parameters: Refused("SELECT quantile(0.5)(a) FROM t", "quantile"),
        args: Used,
        filter: Refused("SELECT abs(a) FILTER (WHERE a > 1) FROM t", "FILTER"),
        null_treatment: Refused("SELECT abs(a) IGNORE NULLS FROM t", "IGNORE NULLS"),
        over: Refused("SELECT abs(a) OVER () FROM t", "OVER"),
        within_group: Refused("SELECT abs(a) WITHIN GROUP (ORDER BY a) FROM t", "WITHIN GROUP"),
    }
    FunctionArgumentList {
        duplicate_treatment: Refused("SELECT abs(DISTINCT a) FROM t", "DISTINCT"),
        args: Used,
        clauses: Refused("SELECT array_agg(a ORDER BY a LIMIT 1) FROM t", "LIMIT"),
    }
    WindowSpec {
        window_name: Same("SELECT a, sum(a) OVER (w ORDER BY ts) AS s FROM t WINDOW w AS (PARTITION BY b) ORDER BY a", "SELECT a, sum(a) OVER (PARTITION BY b ORDER BY ts) AS s FROM t ORDER BY a"),
        partition_by: Used, order_by: Used, window_frame: Used,
    }
    WindowFrame { units: Used, start_bound: Used, end_bound: Used }
    TypedString { data_type: Used, value: Used, uses_odbc_syntax: Same("SELECT {d '2024-01-01'} AS d", "SELECT DATE '2024-01-01' AS d") }
    ExprWithAliasAndOrderBy { expr: Used, order_by: Refused("FROM t |> AGGREGATE sum(a) GROUP BY b DESC", "AGGREGATE") }
}

variants! { FACTORS of TableFactor:
    Table {
        name: Used, alias: Used, args: Used,
        with_hints: Refused("SELECT a FROM t WITH (NOLOCK)", "hints"),
        version: Used,
        with_ordinality: Refused("SELECT * FROM range(3) WITH ORDINALITY", "ORDINALITY"),
        partitions: Unwritten, json_path: Unwritten,
        sample: Used,
        index_hints: Unwritten,
    }
    Derived {
        lateral: Used, subquery: Used, alias: Used,
        sample: Same("SELECT a FROM (SELECT a, \"userId\" AS user_id FROM t) TABLESAMPLE (40) ORDER BY a", "SELECT a FROM t WHERE in_sample(\"userId\", 0.4) ORDER BY a"),
    }
    TableFunction { expr: Refused("SELECT * FROM TABLE(range(3))", "TABLE"), alias: Used }
    Function {
        lateral: Used, name: Used, args: Used,
        with_ordinality: Refused("SELECT * FROM t, LATERAL range(3) WITH ORDINALITY", "ORDINALITY"),
        alias: Used,
    }
    UNNEST {
        alias: Used, array_exprs: Used,
        with_offset: Unwritten, with_offset_alias: Unwritten,
        with_ordinality: Refused("SELECT * FROM unnest([1, 2]) WITH ORDINALITY", "ORDINALITY"),
    }
    NestedJoin { table_with_joins: Used, alias: Used }
    Pivot {
        table: Used, aggregate_functions: Used, value_column: Used,
        value_source: Refused("SELECT * FROM t PIVOT (sum(a) FOR b IN (ANY))", "listed"),
        default_on_null: Refused("SELECT * FROM t PIVOT (sum(a) FOR b IN ('x') DEFAULT ON NULL (0))", "DEFAULT ON NULL"),
        alias: Used,
    };
    Unpivot: Refused("SELECT * FROM t UNPIVOT (v FOR n IN (a, b))", "UNPIVOT"),
    MatchRecognize: Refused("SELECT * FROM t MATCH_RECOGNIZE (ORDER BY ts PATTERN (A) DEFINE A AS a > 1)", "MATCH_RECOGNIZE"),
    JsonTable: Refused("SELECT * FROM JSON_TABLE('[1]', '$[*]' COLUMNS (x INT PATH '$')) AS j", "JSON_TABLE"),
    OpenJsonTable: Unwritten,
    XmlTable: Refused("SELECT * FROM XMLTABLE('/r' PASSING '<r/>' COLUMNS x INT PATH 'x')", "XMLTABLE"),
    SemanticView: Unwritten,
}

variants! { LIMITS of LimitClause:
    LimitOffset {
        limit: Used, offset: Used,
        limit_by: Same("SELECT a, b FROM t ORDER BY a LIMIT 1 BY b", "SELECT a, b FROM t QUALIFY row_number() OVER (PARTITION BY b ORDER BY a) <= 1 ORDER BY a"),
    }
    OffsetCommaLimit { offset: Used, limit: Used };
}

variants! { GROUPINGS of GroupByWithModifier:
    ;
    Rollup: Same("SELECT b, count(*) FROM t GROUP BY b WITH ROLLUP ORDER BY 1, 2", "SELECT b, count(*) FROM t GROUP BY ROLLUP (b) ORDER BY 1, 2"),
    Cube: Same("SELECT a, b, count(*) FROM t GROUP BY 1, 2 WITH CUBE ORDER BY 1, 2, 3", "SELECT a, b, count(*) FROM t GROUP BY CUBE (a, b) ORDER BY 1, 2, 3"),
    Totals: Refused("SELECT b, count(*) FROM t GROUP BY b WITH TOTALS", "WITH TOTALS"),
    GroupingSets: Refused("SELECT b, count(*) FROM t GROUP BY b GROUPING SETS ((b), ())", "GROUPING SETS"),
}

variants! { JOINS of JoinOperator:
    AsOf {
        match_condition: Refused("SELECT * FROM t ASOF JOIN t AS u MATCH_CONDITION (t.ts >= u.ts) ON t.a = u.a", "ASOF"),
        constraint: Used,
    };
    Join: Refused("SELECT * FROM t JOIN t AS u", "without ON"),
    Inner: Used, Left: Used, LeftOuter: Used, Right: Used, RightOuter: Used, FullOuter: Used,
    CrossJoin: Used,
    Semi: Same("SELECT t.a FROM t SEMI JOIN t AS u ON t.a = u.a ORDER BY 1", "SELECT t.a FROM t LEFT SEMI JOIN t AS u ON t.a = u.a ORDER BY 1"),
    Anti: Same("SELECT t.a FROM t ANTI JOIN t AS u ON t.a = u.a + 1 ORDER BY 1", "SELECT t.a FROM t LEFT ANTI JOIN t AS u ON t.a = u.a + 1 ORDER BY 1"),
    LeftSemi: Used, RightSemi: Used, LeftAnti: Used, RightAnti: Used,
    CrossApply: Refused("SELECT * FROM t CROSS APPLY (SELECT 1) AS u", "APPLY"),
    OuterApply: Refused("SELECT * FROM t OUTER APPLY (SELECT 1) AS u", "APPLY"),
    StraightJoin: Unwritten, ArrayJoin: Unwritten, LeftArrayJoin: Unwritten, InnerArrayJoin: Unwritten,
}

variants! { SETS of SetExpr:
    SetOperation {
        left: Used,
        op: Same("SELECT a FROM t MINUS SELECT 1 ORDER BY a", "SELECT a FROM t EXCEPT SELECT 1 ORDER BY a"),
        set_quantifier: Refused("SELECT a FROM t EXCEPT BY NAME SELECT a FROM t", "BY NAME"),
        right: Used,
    };
    Select: Used, Query: Used, Values: Used,
    Insert: Unwritten, Update: Unwritten, Delete: Unwritten, Merge: Unwritten,
    Table: Unwritten,
}

variants! { ORDERS of OrderByKind:
    ;
    All: Unwritten,
    Expressions: Used,
}

variants! { ARGUMENTS of FunctionArgExpr:
    ;
    Expr: Used,
    QualifiedWildcard: Refused("SELECT count(t.*) FROM t", "count(t)"),
    Wildcard: Refused("SELECT count(DISTINCT *) FROM t", "DISTINCT *"),
    WildcardWithOptions: Unwritten,
}

variants! { LISTS of FunctionArguments:
    ;
    None: Used,
    Subquery: Refused("SELECT array(SELECT a FROM t)", "query"),
    List: Used,
}

variants! { EXPRESSIONS of Expr:
    ;
    Identifier: Used, CompoundIdentifier: Used, CompoundFieldAccess: Used, JsonAccess: Unwritten, IsFalse: Used, IsNotFalse: Used,
    IsTrue: Used, IsNotTrue: Used, IsNull: Used, IsNotNull: Used, IsUnknown: Used, IsNotUnknown: Used, IsDistinctFrom: Used,
    IsNotDistinctFrom: Used, InList: Used, InSubquery: Used, Between: Used, BinaryOp: Used, SimilarTo: Used, AnyOp: Used, AllOp: Used,
    UnaryOp: Used, Cast: Used, AtTimeZone: Used, Extract: Used, Ceil: Used, Floor: Used, Position: Used, Substring: Used, Trim: Used,
    Overlay: Used, Nested: Used, Value: Used, TypedString: Used, Function: Used, Case: Used, Exists: Used, Subquery: Used,
    GroupingSets: Used, Cube: Used, Rollup: Used, Tuple: Used, Struct: Used, Named: Used, Dictionary: Used, Map: Used, Array: Used,
    Interval: Used, Wildcard: Used, QualifiedWildcard: Used, Lambda: Used,
    Like: Refused("SELECT a FROM t WHERE b LIKE ANY ('x')", "LIKE ANY"),
    ILike: Refused("SELECT a FROM t WHERE b ILIKE ANY ('x')", "LIKE ANY"),
    IsNormalized: Refused("SELECT b IS NORMALIZED FROM t", "NORMALIZED"),
    InUnnest: Refused("SELECT a FROM t WHERE a IN UNNEST([1])", "UNNEST"),
    RLike: Refused("SELECT a FROM t WHERE b RLIKE 'x'", "RLIKE"),
    Convert: Refused("SELECT CONVERT(a, CHAR) FROM t", "CONVERT"),
    Collate: Refused("SELECT b COLLATE \"de\" FROM t", "COLLATE"),
    Prefixed: Unwritten,
    MatchAgainst: Refused("SELECT MATCH (b) AGAINST ('x') FROM t", "MATCH"),
    OuterJoin: Unwritten,
    Prior: Unwritten,
    MemberOf: Refused("SELECT 1 MEMBER OF (b) FROM t", "MEMBER OF"),
}

const ALL: &[&[Row]] = &[STRUCTS, FACTORS, LIMITS, GROUPINGS, JOINS, SETS, ORDERS, ARGUMENTS, LISTS, EXPRESSIONS];

mod tests {
    use super::*;
    use crate::engine::{Engine, Params, Settings};
    use crate::error::{Error, Result};
    use futures::TryStreamExt;

    async fn rows(engine: &Engine, statement: &str) -> Result<String> {
        let answer = engine.run(statement, &Params::new()).await?;
        let batches: Vec<_> = answer.stream.try_collect().await.map_err(Error::from)?;
        Ok(arrow::util::pretty::pretty_format_batches(&batches)?
            .to_string()
            .lines()
            .skip(3)
            .collect::<Vec<_>>()
            .join("\n"))
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn every_field_has_its_fate() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("tenure.toml"), "").unwrap();
        let settings = Settings { workspace: Some(folder.path().into()), threads: Some(1), ..Settings::default() };
        let engine = Engine::open(&settings).await.unwrap();
        for made in [
            "CREATE TABLE t AS SELECT * FROM (VALUES (1, 'x', 'u1', TIMESTAMP '2024-01-01'), (2, 'x', 'u2', TIMESTAMP '2024-01-02'), \
             (3, 'y', 'u3', TIMESTAMP '2024-01-03'), (4, 'y', 'u4', TIMESTAMP '2024-01-04')) AS v (a, b, \"userId\", ts)",
            "SET tenure.user_column = 'userId'",
        ] {
            rows(&engine, made).await.unwrap();
        }
        let mut faults = Vec::new();
        for (of, field, fate) in ALL.iter().copied().flatten() {
            let fault = match fate {
                Used | Unwritten => None,
                Refused(statement, word) => match rows(&engine, statement).await {
                    Ok(rows) => Some(format!("{statement}\nanswers\n{rows}")),
                    Err(error) => {
                        let dump = ["Some(", "Ident {", "Internal"].iter().any(|word| error.message().contains(word));
                        let plain = error.message().contains(word) && !error.hints().is_empty() && !dump;
                        (!plain).then(|| format!("{statement}\n{error} (hints: {:?})", error.hints()))
                    }
                },
                Same(statement, other) => match (rows(&engine, statement).await, rows(&engine, other).await) {
                    (Ok(one), Ok(two)) => (one != two).then(|| format!("{statement}\n{one}\n{other}\n{two}")),
                    (one, two) => Some(format!("{statement}\n{:?}\n{other}\n{:?}", one.err(), two.err())),
                },
            };
            faults.extend(fault.map(|fault| format!("{of}.{field}: {fault}")));
        }
        assert!(faults.is_empty(), "{}", faults.join("\n\n"));
    }
}
