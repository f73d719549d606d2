//! `FROM portrait(...)`: what tells a segment of users from all of them, value by value of their attributes.

use arrow::datatypes::DataType;
use datafusion::common::{Column, UnnestOptions};
use datafusion::functions::core::expr_ext::FieldAccessor;
use datafusion::functions::core::expr_fn::named_struct;
use datafusion::functions_aggregate::bool_and_or::bool_or;
use datafusion::functions_aggregate::expr_fn::{min, sum};
use datafusion::functions_aggregate::sum::sum_udaf;
use datafusion::functions_nested::expr_fn::make_array;
use datafusion::logical_expr::expr::{WindowFunction, WindowFunctionParams};
use datafusion::logical_expr::{
    Expr, LogicalPlan, LogicalPlanBuilder, WindowFrame, WindowFunctionDefinition, cast, col, lit, when,
};

use super::Relation;
use super::argument::{Argument, Kind, docs};
use super::call::{Breakdown, Call, Condition};
use super::expressions::{column, count_rows, unkeyed};
use super::roles::user_of;
use super::shared::USER;
use crate::error::{Error, Result};
use crate::functions::proportions::proportions_p_value;
use crate::functions::{FunctionDoc, FunctionKind};

/// The relation.
#[derive(Debug)]
pub struct Portrait;

const BASE: Argument = Argument::needed(
    "table",
    Kind::Table,
    "The users, with their attributes; the base that the segment is compared with.",
);
const SEGMENT: Argument = Argument::needed("segment", Kind::Predicate, "Which users are the segment; NULL is not.");
const ATTRIBUTES: Argument = Argument::needed("attributes", Kind::Columns, "What they are compared by.");

impl Relation for Portrait {
    fn arguments(&self) -> Vec<Argument> {
        vec![BASE, SEGMENT, ATTRIBUTES, USER]
    }

    fn doc(&self) -> FunctionDoc {
        FunctionDoc {
            name: "portrait",
            kind: FunctionKind::Relation,
            summary: "What tells a segment of users from all of them: shares and TGI of each value of their attributes",
            syntax: "portrait(table, segment => condition, attributes => [country, channel])",
            arguments: docs(&self.arguments()),
            returns: vec![
                ("attribute TEXT", "The attribute's name."),
                ("value TEXT", "One of its values; NULL is one."),
                ("users BIGINT", "Users of the segment with this value."),
                ("rate DOUBLE", "Of the segment."),
                ("base_users BIGINT", "All users with this value."),
                ("base_rate DOUBLE", "Of all users."),
                (
                    "tgi DOUBLE",
                    "100 x rate / base_rate: above 100, the value is more frequent in the segment. NULL where the segment has nobody.",
                ),
                (
                    "p_value DOUBLE",
                    "Two-sided, of the segment's share against that of all others; small: no chance. NULL where nobody is in the segment, or everybody.",
                ),
            ],
            text: TEXT,
            example: "SELECT attribute, value, users, round(rate, 3) AS rate, round(tgi) AS tgi\nFROM portrait((SELECT user_id, country, platform, event = 'purchase' AS bought FROM events),\n  segment => bought, attributes => [platform])",
        }
    }

    fn plan(&self, call: &mut Call) -> Result<LogicalPlan> {
        let (user, _) = user_of(call)?;
        let segment = match call.condition(&SEGMENT)? {
            Some(Condition::Expression(segment)) => segment,
            Some(Condition::Event(name)) => {
                return Err(call
                    .error(format!("argument 'segment' must be a condition over the users, such as plan = '{name}'")));
            }
            None => return Err(call.required(&SEGMENT)),
        };
        let attributes = call.breakdowns(&ATTRIBUTES)?;
        if attributes.is_empty() {
            return Err(call.required(&ATTRIBUTES));
        }
        compose(call, user, segment, &attributes).map_err(Error::from)
    }
}

fn compose(call: &Call, user: Expr, segment: Expr, attributes: &[Breakdown]) -> datafusion::error::Result<LogicalPlan> {
    let at = |n: usize| format!("(attribute {n})");
    let values = attributes.iter().enumerate().map(|(n, a)| min(a.value.clone()).alias(at(n)));
    let item = |(n, a): (usize, &Breakdown)| {
        named_struct(vec![
            lit("number"),
            lit(n as i64),
            lit("attribute"),
            lit(a.name.as_str()),
            lit("value"),
            cast(column(&at(n)), DataType::Utf8),
        ])
    };
    let items = make_array(attributes.iter().enumerate().map(item).collect());
    let part = |name: &str| col("item").field(name).alias(name);
    let total = |name: &str| {
        Expr::from(WindowFunction {
            fun: WindowFunctionDefinition::AggregateUDF(sum_udaf()),
            params: WindowFunctionParams {
                args: vec![col(name)],
                partition_by: vec![col("number")],
                order_by: vec![],
                window_frame: WindowFrame::new(None),
                filter: None,
                null_treatment: None,
                distinct: false,
            },
        })
    };
    let number = |e: Expr| cast(e, DataType::Float64);
    let share = |part: &str, all: &str| number(col(part)) / number(col(all));
    let anybody = || col("segment").gt(lit(0i64));
    let rate = when(anybody(), share("users", "segment")).end()?;
    // 100 x (users / segment) / (base_users / base), multiplied out so that equal shares are exactly 100.
    let tgi =
        number(col("users")) * number(col("base")) * lit(100f64) / (number(col("segment")) * number(col("base_users")));
    let tgi = when(anybody(), tgi).end()?;
    let others = vec![col("users"), col("segment"), col("base_users") - col("users"), col("base") - col("segment")];
    LogicalPlanBuilder::from(call.input().clone())
        .filter(user.clone().is_not_null())?
        .aggregate([user.alias("(user key)")], values.chain([bool_or(segment).alias("in")]))?
        .project([when(col("in").is_true(), lit(1i64)).otherwise(lit(0i64))?.alias("in"), items.alias("item")])?
        .unnest_column_with_options(Column::from_name("item"), UnnestOptions::new())?
        .project([col("in"), part("number"), part("attribute"), part("value")])?
        .aggregate(
            [col("number"), col("attribute"), col("value")],
            [sum(col("in")).alias("users"), count_rows().alias("base_users")],
        )?
        .window([total("users").alias("segment"), total("base_users").alias("base")])?
        .sort([
            col("number").sort(true, false),
            col("users").sort(false, false),
            col("base_users").sort(false, false),
            col("value").sort(true, true),
        ])?
        .project([
            unkeyed("attribute"),
            unkeyed("value"),
            col("users"),
            rate.alias("rate"),
            col("base_users"),
            share("base_users", "base").alias("base_rate"),
            tgi.alias("tgi"),
            proportions_p_value().call(others).alias("p_value"),
        ])?
        .build()
}

const TEXT: &str = "\
A row for each value of each attribute, in the order of the attributes, the segment's most frequent values first. The rates of an \
attribute add up to 1. TGI (target group index) of 120: the value is 1.2 times as frequent in the segment as among all users.

A user is one however many rows there are: in the segment if any row says so, and with the least of the values of each attribute. Rows \
whose user is NULL take no part. Dozens of values make some p-values small by chance: of 20 that mean nothing, one is below 0.05.

Cost: one scan. Memory: the users with their attributes.";
