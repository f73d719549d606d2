//! Refuses the clauses of queries, tables and expressions that DataFusion's planner does not look at.
//!
//! Every type is taken apart without `..`, so that each field has its line. A field bound to `_` is one that the planner uses, refuses
//! itself in good words, or that changes no row; `fields` says which, and its tests prove it.

use std::ops::ControlFlow;

use datafusion::execution::SessionState;
use datafusion::sql::sqlparser::ast::{
    BinaryOperator, Cte, Distinct, DuplicateTreatment, Expr, Fetch, Function, FunctionArg, FunctionArgExpr,
    FunctionArgumentClause, FunctionArgumentList, FunctionArguments, GroupByExpr, Join, JoinConstraint, JoinOperator,
    LimitClause, OrderBy, OrderByKind, OrderByOptions, PivotValueSource, Query, Select, SelectFlavor, SelectInto,
    SelectItem, SetExpr, SetOperator, SetQuantifier, Statement, TableAlias, TableFactor, TableFunctionArgs,
    TableWithJoins, Values, Visitor, WildcardAdditionalOptions, With,
};

use super::pipes::{counted, pipe};
use super::{commands, refused};
use crate::error::Error;

/// The pass.
pub struct Clauses<'a> {
    /// Tells a function's kind by its name.
    pub state: &'a SessionState,
}

pub(super) type Flow = ControlFlow<Error>;

pub(super) const GO_ON: Flow = ControlFlow::Continue(());

fn refuse(clause: &str, way_out: &str) -> Flow {
    ControlFlow::Break(refused(clause, way_out))
}

/// Refuses where `found`.
pub(super) fn refuse_if(found: bool, clause: &str, way_out: &str) -> Flow {
    if found { refuse(clause, way_out) } else { GO_ON }
}

/// What the planner would refuse with a dump of the syntax tree, or with words of its own library.
pub(super) fn unknown(what: &str, way_out: &str) -> Flow {
    ControlFlow::Break(Error::user(format!("{what} is not supported")).hint(way_out))
}

impl Visitor for Clauses<'_> {
    type Break = Error;

    fn pre_visit_statement(&mut self, statement: &Statement) -> Flow {
        commands::check(statement)
    }

    fn pre_visit_query(&mut self, query: &Query) -> Flow {
        self.query(query)
    }

    fn pre_visit_select(&mut self, select: &Select) -> Flow {
        self.select(select)
    }

    fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> Flow {
        self.table(factor)
    }

    fn pre_visit_expr(&mut self, expr: &Expr) -> Flow {
        self.expr(expr)
    }
}

impl Clauses<'_> {
    fn query(&self, query: &Query) -> Flow {
        let Query {
            with,
            body,
            order_by,
            limit_clause,
            fetch,
            locks,
            for_clause,
            settings,
            format_clause,
            pipe_operators,
        } = query;
        if let Some(With { with_token: _, recursive: _, cte_tables }) = with {
            for Cte { alias, query: _, from, materialized: _, closing_paren_token: _ } in cte_tables {
                alias_is_plain(alias)?;
                refuse_if(from.is_some(), "FROM after a WITH query", "name the query in the FROM of the SELECT")?;
            }
        }
        if let SetExpr::Select(select) = body.as_ref() {
            // INTO makes a table; below a statement's own SELECT it would be dropped or make one in the middle of planning.
            if let Some(SelectInto { temporary: _, unlogged: _, table: _, name: _ }) = &select.into {
                unknown("SELECT .. INTO", "CREATE TABLE name AS SELECT ..")?;
            }
        }
        set_expression(body)?;
        let several = matches!(body.as_ref(), SetExpr::SetOperation { .. } | SetExpr::Values(_));
        if let Some(OrderBy { kind, interpolate }) = order_by {
            refuse_if(interpolate.is_some(), "INTERPOLATE", "join a series of the missing values")?;
            if let OrderByKind::All(OrderByOptions { asc: _, nulls_first: _ }) = kind {
                refuse_if(several, "ORDER BY ALL of a UNION", "name the columns: ORDER BY 1, 2")?;
            }
            if let OrderByKind::Expressions(all) = kind {
                let filled = all.iter().any(|one| one.with_fill.is_some());
                refuse_if(
                    filled,
                    "WITH FILL",
                    "join a series of the missing values, as generate_series(..) makes one",
                )?;
            }
        }
        match limit_clause {
            Some(LimitClause::LimitOffset { limit: _, offset: _, limit_by }) => refuse_if(
                !limit_by.is_empty(),
                "LIMIT .. BY of this query",
                "put the query in brackets: SELECT * FROM (SELECT DISTINCT ..) ORDER BY .. LIMIT 1 BY column; the LIMIT must be a number",
            )?,
            Some(LimitClause::OffsetCommaLimit { offset: _, limit: _ }) | None => {}
        }
        if let Some(Fetch { with_ties, percent, quantity: _ }) = fetch {
            refuse_if(*with_ties, "FETCH .. WITH TIES", "QUALIFY rank() OVER (ORDER BY ..) <= n")?;
            refuse_if(*percent, "FETCH .. PERCENT", "QUALIFY percent_rank() OVER (ORDER BY ..) <= share")?;
            unknown("FETCH beside LIMIT", "give one of the two")?;
        }
        let lock = locks.first().map(|lock| format!("FOR {}", lock.lock_type));
        if let Some(lock) = lock {
            refuse(&lock, "leave it out: tables are not locked, each statement reads one version of them")?;
        }
        refuse_if(for_clause.is_some(), "FOR XML, FOR JSON and FOR BROWSE", "choose the output with --format json")?;
        refuse_if(settings.is_some(), "SETTINGS", "SET name = value before the statement")?;
        refuse_if(
            format_clause.is_some(),
            "FORMAT",
            "choose the output with --format json, or \\f json at the prompt",
        )?;
        pipe_operators.iter().try_for_each(pipe)
    }

    fn select(&self, select: &Select) -> Flow {
        let Select {
            select_token: _,
            optimizer_hints: _,
            distinct,
            select_modifiers,
            top,
            top_before_distinct: _,
            projection,
            exclude,
            into: _,
            from,
            lateral_views,
            prewhere,
            selection: _,
            connect_by,
            group_by,
            cluster_by,
            distribute_by,
            sort_by,
            having: _,
            named_window: _,
            qualify: _,
            window_before_qualify: _,
            value_table_mode,
            flavor,
        } = select;
        match distinct {
            None | Some(Distinct::All | Distinct::Distinct | Distinct::On(_)) => {}
        }
        if let Some(modifiers) = select_modifiers {
            refuse_if(modifiers.is_any_set(), "a modifier after SELECT (SQL_CALC_FOUND_ROWS, ..)", "leave it out")?;
        }
        if top.is_some() {
            unknown("TOP", "ORDER BY .. LIMIT n")?;
        }
        for item in projection {
            select_item(item)?;
        }
        match flavor {
            SelectFlavor::Standard | SelectFlavor::FromFirst | SelectFlavor::FromFirstNoSelect => {
                if projection.is_empty() {
                    unknown("SELECT without columns", "SELECT * FROM ..")?;
                }
            }
        }
        refuse_if(exclude.is_some(), "EXCLUDE after the list of columns", "SELECT * EXCLUDE (column) FROM ..")?;
        from.iter().try_for_each(joined)?;
        if !lateral_views.is_empty() {
            unknown("LATERAL VIEW", "SELECT .., unnest(list) AS item FROM ..")?;
        }
        refuse_if(prewhere.is_some(), "PREWHERE", "WHERE")?;
        refuse_if(!connect_by.is_empty(), "CONNECT BY", "WITH RECURSIVE")?;
        let modifiers = match group_by {
            GroupByExpr::All(modifiers) | GroupByExpr::Expressions(_, modifiers) => modifiers,
        };
        if let Some(modifier) = modifiers.first() {
            let way_out = "GROUP BY ROLLUP (a, b), CUBE (a, b) or GROUPING SETS ((a), (b), ()); () is the total";
            refuse(&format!("{modifier} here"), way_out)?;
        }
        if !cluster_by.is_empty() {
            unknown("CLUSTER BY", "ORDER BY")?;
        }
        if !distribute_by.is_empty() {
            unknown("DISTRIBUTE BY", "leave it out: rows are distributed as the plan needs")?;
        }
        if !sort_by.is_empty() {
            unknown("SORT BY", "ORDER BY")?;
        }
        refuse_if(value_table_mode.is_some(), "SELECT AS STRUCT and AS VALUE", "SELECT named_struct('a', a, 'b', b)")
    }

    fn table(&self, factor: &TableFactor) -> Flow {
        match factor {
            TableFactor::Table {
                name: _,
                alias,
                args,
                with_hints,
                version: _,
                with_ordinality,
                partitions,
                json_path,
                sample: _,
                index_hints,
            } => {
                alias.as_ref().map_or(GO_ON, alias_is_plain)?;
                if let Some(TableFunctionArgs { args: _, settings }) = args {
                    refuse_if(settings.is_some(), "SETTINGS in a call", "SET name = value before the statement")?;
                }
                refuse_if(!with_hints.is_empty(), "WITH (hints) after a table", "leave it out")?;
                refuse_if(*with_ordinality, "WITH ORDINALITY", "row_number() OVER ()")?;
                refuse_if(!partitions.is_empty(), "PARTITION (..) after a table", "WHERE on the partition's column")?;
                refuse_if(json_path.is_some(), "a path after a table", "select the field: column['field']")?;
                refuse_if(!index_hints.is_empty(), "an index hint", "leave it out")
            }
            TableFactor::Derived { lateral: _, subquery: _, alias, sample: _ } => {
                alias.as_ref().map_or(GO_ON, alias_is_plain)
            }
            TableFactor::TableFunction { expr: _, alias: _ } => unknown("TABLE(..) in FROM", "FROM name(..)"),
            TableFactor::Function { lateral: _, name: _, args: _, with_ordinality, alias } => {
                alias.as_ref().map_or(GO_ON, alias_is_plain)?;
                refuse_if(*with_ordinality, "WITH ORDINALITY", "row_number() OVER ()")
            }
            TableFactor::UNNEST { alias, array_exprs: _, with_offset, with_offset_alias: _, with_ordinality } => {
                alias.as_ref().map_or(GO_ON, alias_is_plain)?;
                if *with_offset || *with_ordinality {
                    unknown("WITH OFFSET and WITH ORDINALITY", "row_number() OVER ()")?;
                }
                GO_ON
            }
            TableFactor::NestedJoin { table_with_joins, alias } => {
                alias.as_ref().map_or(GO_ON, alias_is_plain)?;
                joined(table_with_joins)
            }
            TableFactor::Pivot {
                table: _,
                aggregate_functions: _,
                value_column: _,
                value_source,
                default_on_null,
                alias,
            } => {
                alias.as_ref().map_or(GO_ON, alias_is_plain)?;
                if default_on_null.is_some() {
                    unknown("DEFAULT ON NULL in PIVOT", "coalesce(column, default) in the SELECT")?;
                }
                match value_source {
                    PivotValueSource::List(_) => GO_ON,
                    PivotValueSource::Any(_) | PivotValueSource::Subquery(_) => unknown(
                        "PIVOT over values that are not listed",
                        "list them: FOR column IN ('a', 'b'); or count(*) FILTER (WHERE column = 'a') AS a",
                    ),
                }
            }
            TableFactor::Unpivot { .. } => {
                unknown("UNPIVOT", "SELECT 'a' AS name, a AS value FROM t UNION ALL SELECT 'b', b FROM t")
            }
            TableFactor::MatchRecognize { .. } => {
                unknown("MATCH_RECOGNIZE", "sequence_match(..) and FROM funnel(..) find patterns of events")
            }
            TableFactor::JsonTable { .. } | TableFactor::OpenJsonTable { .. } => {
                unknown("JSON_TABLE", "unnest(..) of a list column")
            }
            TableFactor::XmlTable { .. } => unknown("XMLTABLE", "bring the data as CSV, JSON or Parquet"),
            TableFactor::SemanticView { .. } => unknown("SEMANTIC_VIEW", "SELECT .. FROM a table or view"),
        }
    }

    /// Expressions whose variant the planner does not know are refused here: its own message is a dump of the syntax tree.
    fn expr(&self, expr: &Expr) -> Flow {
        match expr {
            Expr::Function(function) => self.function(function),
            Expr::IsNormalized { .. } => unknown("IS NORMALIZED", "compare with the normal form that your data has"),
            Expr::BinaryOp { op: BinaryOperator::BitwiseXor, .. } => unknown(
                "^, which is a power in some systems and XOR in others,",
                "power(a, b); XOR of bits is (a | b) - (a & b)",
            ),
            Expr::InUnnest { .. } => unknown("IN UNNEST(..)", "array_has(list, value)"),
            Expr::RLike { .. } => unknown("RLIKE and REGEXP", "text ~ 'pattern', or regexp_like(text, 'pattern')"),
            Expr::Convert { .. } => unknown("CONVERT", "CAST(value AS type)"),
            Expr::Collate { .. } => unknown("COLLATE", "lower(text), or compare bytes as it is"),
            Expr::Prefixed { prefix, .. } => unknown(&format!("a literal with the prefix {prefix}"), "'text'"),
            Expr::MatchAgainst { .. } => unknown("MATCH .. AGAINST", "text LIKE '%word%'"),
            Expr::OuterJoin(_) => unknown("(+)", "LEFT JOIN .. ON .."),
            Expr::Prior(_) => unknown("PRIOR", "WITH RECURSIVE"),
            Expr::MemberOf(_) => unknown("MEMBER OF", "array_has(list, value)"),
            Expr::Like { any: true, .. } | Expr::ILike { any: true, .. } => {
                unknown("LIKE ANY", "text LIKE 'a%' OR text LIKE 'b%'")
            }
            Expr::Cast { array, format, kind: _, expr: _, data_type: _ } => {
                if *array {
                    unknown("CAST(.. AS type ARRAY)", "CAST(value AS type[])")?;
                }
                if format.is_some() {
                    unknown("CAST .. FORMAT", "to_timestamp(text, '%Y-%m-%d') or to_char(time, '%Y-%m-%d')")?;
                }
                GO_ON
            }
            Expr::AtTimeZone { timestamp: _, time_zone } if !is_text(time_zone) => {
                unknown("AT TIME ZONE with a computed zone", "AT TIME ZONE 'Europe/Berlin'")
            }
            // The planner takes these apart completely, or refuses what it does not take; `fields` has a line for each.
            Expr::Identifier(_)
            | Expr::CompoundIdentifier(_)
            | Expr::CompoundFieldAccess { .. }
            | Expr::JsonAccess { .. }
            | Expr::IsFalse(_)
            | Expr::IsNotFalse(_)
            | Expr::IsTrue(_)
            | Expr::IsNotTrue(_)
            | Expr::IsNull(_)
            | Expr::IsNotNull(_)
            | Expr::IsUnknown(_)
            | Expr::IsNotUnknown(_)
            | Expr::IsDistinctFrom(..)
            | Expr::IsNotDistinctFrom(..)
            | Expr::InList { .. }
            | Expr::InSubquery { .. }
            | Expr::Between { .. }
            | Expr::BinaryOp { .. }
            | Expr::Like { .. }
            | Expr::ILike { .. }
            | Expr::SimilarTo { .. }
            | Expr::AnyOp { .. }
            | Expr::AllOp { .. }
            | Expr::UnaryOp { .. }
            | Expr::AtTimeZone { .. }
            | Expr::Extract { .. }
            | Expr::Ceil { .. }
            | Expr::Floor { .. }
            | Expr::Position { .. }
            | Expr::Substring { .. }
            | Expr::Trim { .. }
            | Expr::Overlay { .. }
            | Expr::Nested(_)
            | Expr::Value(_)
            | Expr::TypedString(_)
            | Expr::Case { .. }
            | Expr::Exists { .. }
            | Expr::Subquery(_)
            | Expr::GroupingSets(_)
            | Expr::Cube(_)
            | Expr::Rollup(_)
            | Expr::Tuple(_)
            | Expr::Struct { .. }
            | Expr::Named { .. }
            | Expr::Dictionary(_)
            | Expr::Map(_)
            | Expr::Array(_)
            | Expr::Interval(_)
            | Expr::Wildcard(_)
            | Expr::QualifiedWildcard(..)
            | Expr::Lambda(_) => GO_ON,
        }
    }

    fn function(&self, function: &Function) -> Flow {
        let Function { name, uses_odbc_syntax: _, parameters, args, filter, null_treatment, over, within_group } =
            function;
        if !matches!(parameters, FunctionArguments::None) {
            let way_out = match name.to_string().to_lowercase().as_str() {
                "quantile" | "quantileexact" => "percentile_cont(0.5) WITHIN GROUP (ORDER BY x)".to_string(),
                _ => format!("one pair of brackets: {name}(..)"),
            };
            refuse(&format!("{name}(..)(..)"), &way_out)?;
        }
        let (mut distinct, mut order_by, mut nulls) = (false, false, null_treatment.is_some());
        match args {
            FunctionArguments::None => {}
            FunctionArguments::Subquery(_) => {
                refuse(&format!("a query as the argument list of {name}"), &format!("{name}((SELECT ..))"))?;
            }
            FunctionArguments::List(FunctionArgumentList { duplicate_treatment, args, clauses }) => {
                distinct = matches!(duplicate_treatment, Some(DuplicateTreatment::Distinct));
                for argument in args {
                    self.argument(&name.to_string(), argument, distinct)?;
                }
                for clause in clauses {
                    match clause {
                        FunctionArgumentClause::IgnoreOrRespectNulls(_) => nulls = true,
                        FunctionArgumentClause::OrderBy(_) => order_by = true,
                        FunctionArgumentClause::Limit(_) => {
                            unknown("LIMIT in a function", "array_slice(array_agg(x ORDER BY y), 1, n)")?;
                        }
                        FunctionArgumentClause::Separator(_) => {
                            unknown("SEPARATOR in a function", "string_agg(text, ', ')")?;
                        }
                        FunctionArgumentClause::OnOverflow(_)
                        | FunctionArgumentClause::Having(_)
                        | FunctionArgumentClause::JsonNullClause(_)
                        | FunctionArgumentClause::JsonReturningClause(_) => {
                            unknown(&format!("{clause} in {name}"), "leave it out")?;
                        }
                    }
                }
            }
        }
        let lower = name.to_string().to_lowercase();
        let is_scalar = self.state.scalar_functions().contains_key(&lower);
        let is_window_only = self.state.window_functions().contains_key(&lower)
            && !self.state.aggregate_functions().contains_key(&lower);
        if is_window_only && over.is_none() {
            let told = Error::user(format!("{name} is a window function and needs OVER"));
            return ControlFlow::Break(told.hint(format!("{name}(..) OVER (PARTITION BY user_id ORDER BY ts)")));
        }
        // A scalar function takes none of these, and the planner does not say so.
        if is_scalar || is_window_only {
            let kind = if is_scalar { "a function of one row" } else { "a window function" };
            for (found, clause, way_out) in [
                (filter.is_some(), "FILTER", "CASE WHEN condition THEN .. END"),
                (over.is_some() && is_scalar, "OVER", "leave it out"),
                (distinct, "DISTINCT", "leave it out"),
                (order_by, "ORDER BY", if is_scalar { "leave it out" } else { "OVER (ORDER BY ..)" }),
                (!within_group.is_empty(), "WITHIN GROUP", "leave it out"),
                (nulls && is_scalar, "IGNORE NULLS", "leave it out"),
            ] {
                refuse_if(found, &format!("{clause} of {name}, {kind},"), way_out)?;
            }
        }
        GO_ON
    }

    fn argument(&self, function: &str, argument: &FunctionArg, distinct: bool) -> Flow {
        let value = match argument {
            FunctionArg::Named { name: _, arg, operator: _ }
            | FunctionArg::ExprNamed { name: _, arg, operator: _ }
            | FunctionArg::Unnamed(arg) => arg,
        };
        match value {
            FunctionArgExpr::Expr(_) => GO_ON,
            // count(DISTINCT *) counts distinct ones.
            FunctionArgExpr::Wildcard => refuse_if(
                distinct,
                &format!("{function}(DISTINCT *)"),
                "SELECT count(*) FROM (SELECT DISTINCT * FROM ..)",
            ),
            // Elsewhere the rows that an outer join makes up are left out; here they would count.
            FunctionArgExpr::QualifiedWildcard(table) => {
                unknown(&format!("{function}({table})"), &format!("{function}(*), or {function}(column)"))
            }
            FunctionArgExpr::WildcardWithOptions(_) => {
                unknown(&format!("* with options in {function}"), "name the columns")
            }
        }
    }
}

/// Names are all that the planner takes from an alias.
fn alias_is_plain(alias: &TableAlias) -> Flow {
    let TableAlias { explicit: _, name: _, columns, at } = alias;
    let typed = columns.iter().any(|column| column.data_type.is_some());
    refuse_if(typed, "a type in a table's alias", "CAST(column AS type) in the SELECT")?;
    refuse_if(at.is_some(), "AT after a table's alias", "leave it out")
}

pub(super) fn select_item(item: &SelectItem) -> Flow {
    match item {
        SelectItem::UnnamedExpr(_) | SelectItem::ExprWithAlias { expr: _, alias: _ } => GO_ON,
        SelectItem::ExprWithAliases { expr: _, aliases: _ } => unknown("several names for a column", "one AS for each"),
        SelectItem::QualifiedWildcard(_, options) | SelectItem::Wildcard(options) => {
            let WildcardAdditionalOptions {
                wildcard_token: _,
                opt_ilike,
                opt_exclude: _,
                opt_except: _,
                opt_replace: _,
                opt_rename,
                opt_alias,
            } = options;
            refuse_if(opt_ilike.is_some(), "* ILIKE", "name the columns, or SELECT * EXCLUDE (column)")?;
            if opt_rename.is_some() {
                unknown("* RENAME", "SELECT * EXCLUDE (a), a AS b")?;
            }
            if opt_alias.is_some() {
                unknown("an alias of *", "name the columns")?;
            }
            GO_ON
        }
    }
}

fn joined(from: &TableWithJoins) -> Flow {
    let TableWithJoins { relation: _, joins } = from;
    joins.iter().try_for_each(join)
}

pub(super) fn join(join: &Join) -> Flow {
    // GLOBAL tells where a distributed engine evaluates a join: no row depends on it.
    let Join { relation, global: _, join_operator } = join;
    let lateral = matches!(
        relation,
        TableFactor::Derived { lateral: true, .. } | TableFactor::Function { .. } | TableFactor::UNNEST { .. }
    );
    match join_operator {
        JoinOperator::Join(on)
        | JoinOperator::Inner(on)
        | JoinOperator::Left(on)
        | JoinOperator::LeftOuter(on)
        | JoinOperator::Right(on)
        | JoinOperator::RightOuter(on)
        | JoinOperator::FullOuter(on)
        | JoinOperator::LeftSemi(on)
        | JoinOperator::RightSemi(on)
        | JoinOperator::LeftAnti(on)
        | JoinOperator::RightAnti(on) => {
            let without = matches!(on, JoinConstraint::None) && !lateral;
            // It would pair every row with every row.
            if without {
                unknown("a JOIN without ON or USING", "JOIN t ON .., or CROSS JOIN for all pairs")?;
            }
            GO_ON
        }
        JoinOperator::CrossJoin(JoinConstraint::None) => GO_ON,
        JoinOperator::CrossJoin(_) => unknown("CROSS JOIN with a condition", "JOIN t ON .."),
        JoinOperator::Semi(_) | JoinOperator::Anti(_) => {
            unknown("SEMI and ANTI without a side", "LEFT SEMI JOIN, LEFT ANTI JOIN")
        }
        JoinOperator::StraightJoin(_) => unknown("STRAIGHT_JOIN", "JOIN"),
        JoinOperator::CrossApply | JoinOperator::OuterApply => {
            unknown("APPLY", "CROSS JOIN LATERAL (SELECT ..), LEFT JOIN LATERAL (SELECT ..) ON true")
        }
        JoinOperator::AsOf { match_condition: _, constraint: _ } => unknown(
            "ASOF JOIN",
            "join on the keys and the order of times, then keep the last: QUALIFY row_number() OVER (PARTITION BY .. ORDER BY t.ts DESC) = 1",
        ),
        JoinOperator::ArrayJoin | JoinOperator::LeftArrayJoin | JoinOperator::InnerArrayJoin => {
            unknown("ARRAY JOIN", "SELECT .., unnest(list) AS item FROM ..")
        }
    }
}

fn set_expression(body: &SetExpr) -> Flow {
    match body {
        SetExpr::Select(_) | SetExpr::Query(_) => GO_ON,
        SetExpr::SetOperation { op, set_quantifier, left, right } => {
            match op {
                SetOperator::Union | SetOperator::Except | SetOperator::Intersect => {}
                SetOperator::Minus => unknown("MINUS", "EXCEPT")?,
            }
            let by_name = matches!(
                set_quantifier,
                SetQuantifier::ByName | SetQuantifier::AllByName | SetQuantifier::DistinctByName
            );
            if by_name && !matches!(op, SetOperator::Union) {
                unknown(&format!("{op} BY NAME"), "list the columns in one order")?;
            }
            counted(*op, *set_quantifier)?;
            for side in [left, right] {
                if let SetExpr::Select(select) = side.as_ref()
                    && select.into.is_some()
                {
                    refuse("INTO inside a set operation", "CREATE TABLE name AS SELECT ..")?;
                }
                set_expression(side)?;
            }
            GO_ON
        }
        SetExpr::Values(Values { explicit_row: _, value_keyword, rows: _ }) => {
            if *value_keyword {
                unknown("VALUE", "VALUES")?;
            }
            GO_ON
        }
        SetExpr::Insert(_) | SetExpr::Update(_) | SetExpr::Delete(_) | SetExpr::Merge(_) => {
            unknown("a change of data inside a query", "two statements")
        }
        SetExpr::Table(_) => unknown("TABLE name", "SELECT * FROM name"),
    }
}

fn is_text(expr: &Expr) -> bool {
    use datafusion::sql::sqlparser::ast::{Value, ValueWithSpan};
    matches!(expr, Expr::Value(ValueWithSpan { value: Value::SingleQuotedString(_), .. }))
}
