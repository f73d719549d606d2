//! `FROM compare(...)`: two segments of users side by side, measure by measure, with what chance alone could explain.
//!
//! Deals with: who is in which segment, counting and averaging over users. Does not deal with: the tests (`functions::proportions`,
//! `functions::welch`), attributes value by value (`portrait`).

use arrow::datatypes::DataType;
use datafusion::common::{Column, JoinType, UnnestOptions};
use datafusion::functions::core::expr_ext::FieldAccessor;
use datafusion::functions::core::expr_fn::{coalesce, named_struct, nullif};
use datafusion::functions_aggregate::bool_and_or::bool_or;
use datafusion::functions_aggregate::expr_fn::min;
use datafusion::functions_nested::expr_fn::make_array;
use datafusion::logical_expr::{Expr, ExprFunctionExt, LogicalPlan, LogicalPlanBuilder, cast, lit, when};

use super::Relation;
use super::argument::{Argument, Kind, docs};
use super::call::{Call, Measured, Segment};
use super::expressions::{column, count_rows};
use super::roles::{Events, user_of};
use super::shared::{EVENT, USER};
use crate::error::{Error, Result};
use crate::functions::moments::moments;
use crate::functions::proportions::{newcombe_high, newcombe_low, proportions_p_value};
use crate::functions::segments_apart::segments_apart;
use crate::functions::welch::welch_test;
use crate::functions::{FunctionDoc, FunctionKind};

/// The relation.
#[derive(Debug)]
pub struct Compare;

/// The most measures.
const MOST: usize = 100;

const ROWS: Argument = Argument::needed("table", Kind::Table, "The events, or whatever rows the users have.");
const SEGMENT: Argument = Argument::needed(
    "segment",
    Kind::Segment,
    "Which users are the segment: those with a row for which the condition holds (NULL does not), or those that a query answers.",
);
const WITH: Argument = Argument::optional(
    "with",
    Kind::Segment,
    "everybody else",
    "The segment to compare it with, said in the same ways. Nobody may be in both.",
);
const MEASURES: Argument = Argument::needed(
    "measures",
    Kind::Measures,
    "What is compared, 1 to 100 measures: an event's name or a condition is the share of users with such a row; `count(..)` and `sum(..)`, \
     which may have a FILTER, are computed for each user and averaged over the users. A list of them will do; each is then called as it is written.",
);

impl Relation for Compare {
    fn arguments(&self) -> Vec<Argument> {
        vec![ROWS, SEGMENT, WITH, MEASURES, USER, EVENT]
    }

    fn doc(&self) -> FunctionDoc {
        FunctionDoc {
            name: "compare",
            kind: FunctionKind::Relation,
            summary: "Two segments of users side by side: shares and means, their difference, its interval and p-value",
            syntax: "compare(table, segment => .. [, with => ..], measures => {'bought': event = 'purchase', 'revenue': sum(price)})",
            arguments: docs(&self.arguments()),
            returns: vec![
                ("measure TEXT", "Its name."),
                ("segment DOUBLE", "The share of the segment's users, or their mean. NULL where it has nobody."),
                ("other DOUBLE", "The same of the segment it is compared with."),
                ("difference DOUBLE", "segment - other."),
                ("ratio DOUBLE", "segment / other; NULL where `other` is 0."),
                ("low, high DOUBLE", "The 95 % interval of the difference: Newcombe's of shares, Welch's of means."),
                (
                    "p_value DOUBLE",
                    "Two-sided, small where chance alone hardly explains the difference: of the z-test of shares, of Welch's t-test of means. NULL where neither segment varies, and of means where one has fewer than two users.",
                ),
                ("segment_users BIGINT", "Users of the segment."),
                ("other_users BIGINT", "Users of the other."),
            ],
            text: TEXT,
            example: "SELECT measure, round(segment, 3) AS ios, round(other, 3) AS others, round(low, 3) AS low, round(high, 3) AS high, round(p_value, 3) AS p\nFROM compare(events, segment => platform = 'ios',\n  measures => {'bought': 'purchase', 'orders': count(*) FILTER (WHERE event = 'purchase'), 'events': count(*)})",
        }
    }

    fn plan(&self, call: &mut Call) -> Result<LogicalPlan> {
        let (user, name) = user_of(call)?;
        let events = Events::of(call)?;
        let Some(segment) = call.segment(&SEGMENT, &user, &name)? else { return Err(call.required(&SEGMENT)) };
        let other = call.segment(&WITH, &user, &name)?;
        let mut measures = Vec::new();
        for (name, measured) in call.measures(&MEASURES)? {
            measures.push(match measured {
                Measured::Condition(condition) => {
                    Measure { name, share: true, of_user: bool_or(events.condition(call, &condition)?) }
                }
                Measured::Aggregate(of_user) => {
                    Measure { name, share: false, of_user: coalesce(vec![of_user, lit(0i64)]) }
                }
            });
        }
        if measures.len() > MOST {
            return Err(call.error(format!("argument 'measures' names {}, more than {MOST}", measures.len())));
        }
        Question { user, segment, other, measures }.compose(call).map_err(Error::from)
    }
}

/// What is compared.
struct Measure {
    name: String,
    /// Whether it holds of a user or not; a number of each user otherwise.
    share: bool,
    of_user: Expr,
}

/// A call, read and checked.
struct Question {
    user: Expr,
    segment: Segment,
    other: Option<Segment>,
    measures: Vec<Measure>,
}

/// Columns on the way: no input has such names.
const KEY: &str = "(user key)";
const IN: [&str; 2] = ["(in segment)", "(in other)"];
const ANSWERED: &str = "(answered)";
const ITEM: &str = "(item)";

fn measure_column(at: usize) -> String {
    format!("(measure {at})")
}

impl Question {
    fn segments(&self) -> impl Iterator<Item = (usize, &Segment)> {
        std::iter::once(&self.segment).chain(&self.other).enumerate()
    }

    /// A row for each user of the table, and for each that only a query has: whether they are in the segments, and the measures.
    fn per_user(&self, call: &Call) -> datafusion::error::Result<LogicalPlanBuilder> {
        let mut of_user: Vec<Expr> =
            self.measures.iter().enumerate().map(|(at, m)| m.of_user.clone().alias(measure_column(at))).collect();
        for (at, segment) in self.segments() {
            if let Segment::Rows(condition) = segment {
                of_user.push(bool_or(condition.clone()).alias(IN[at]));
            }
        }
        let users = LogicalPlanBuilder::from(call.input().clone())
            .filter(self.user.clone().is_not_null())?
            .aggregate([self.user.clone().alias(KEY)], of_user)?;
        let Some(answered) = self.answered()? else { return Ok(users) };
        users.join(answered, JoinType::Full, (vec![Column::from_name(KEY)], vec![Column::from_name(ANSWERED)]), None)
    }

    /// Everybody whom a query answers, once.
    fn answered(&self) -> datafusion::error::Result<Option<LogicalPlan>> {
        let mut all: Option<LogicalPlanBuilder> = None;
        let asked: Vec<usize> =
            self.segments().filter(|(_, s)| matches!(s, Segment::Query(_))).map(|(at, _)| at).collect();
        for (at, segment) in self.segments() {
            let Segment::Query(query) = segment else { continue };
            let user = Expr::Column(query.schema().columns().swap_remove(0));
            let flags = asked.iter().map(|other| lit(*other == at).alias(IN[*other]));
            let rows = LogicalPlanBuilder::from(query.clone())
                .filter(user.clone().is_not_null())?
                .project(std::iter::once(user.alias(ANSWERED)).chain(flags))?;
            all = Some(match all {
                None => rows,
                Some(before) => before.union(rows.build()?)?,
            });
        }
        let flags = asked.iter().map(|at| bool_or(column(IN[*at])).alias(IN[*at]));
        all.map(|all| all.aggregate([column(ANSWERED)], flags)?.build()).transpose()
    }

    fn compose(&self, call: &Call) -> datafusion::error::Result<LogicalPlan> {
        // Who has no row in the table takes no part.
        let present = || column(KEY).is_not_null();
        let segment = || column(IN[0]).is_true().and(present());
        let other = || match &self.other {
            Some(_) => column(IN[1]).is_true().and(present()),
            None => column(IN[0]).is_not_true().and(present()),
        };
        let mut totals = vec![
            count_rows().filter(segment()).build()?.alias("(users 0)"),
            count_rows().filter(other()).build()?.alias("(users 1)"),
            count_rows().filter(segment().and(other())).build()?.alias("(both)"),
            min(cast(column(KEY), DataType::Utf8)).filter(segment().and(other())).build()?.alias("(example)"),
            count_rows().filter(column(KEY).is_null()).build()?.alias("(absent)"),
        ];
        for (at, measure) in self.measures.iter().enumerate() {
            let value = || column(&measure_column(at));
            for (side, inside) in [segment(), other()].into_iter().enumerate() {
                let total = match measure.share {
                    true => count_rows().filter(inside.and(value().is_true())).build()?,
                    false => moments().call(vec![value()]).filter(inside).build()?,
                };
                totals.push(total.alias(side_of(at, side)));
            }
        }
        let apart = vec![lit(call.name()), column("(both)"), column("(example)"), column("(absent)")];
        let items = self
            .measures
            .iter()
            .enumerate()
            .map(|(at, m)| m.item(at))
            .collect::<datafusion::error::Result<Vec<_>>>()?;
        let part = |name: &str| column(ITEM).field(name).alias(name);
        self.per_user(call)?
            .aggregate(Vec::<Expr>::new(), totals)?
            .filter(segments_apart().call(apart))?
            .project([make_array(items).alias(ITEM)])?
            .unnest_column_with_options(Column::from_name(ITEM), UnnestOptions::new())?
            .sort([column(ITEM).field("at").sort(true, false)])?
            .project(COLUMNS.map(part))?
            .build()
    }
}

/// The columns of the answer.
const COLUMNS: [&str; 10] =
    ["measure", "segment", "other", "difference", "ratio", "low", "high", "p_value", "segment_users", "other_users"];

/// What is known of a measure on one side.
fn side_of(at: usize, side: usize) -> String {
    format!("(measure {at} of {side})")
}

impl Measure {
    /// A row of the answer.
    fn item(&self, at: usize) -> datafusion::error::Result<Expr> {
        let side = |side: usize| column(&side_of(at, side));
        let users = |side: usize| column(&format!("(users {side})"));
        let number = |e: Expr| cast(e, DataType::Float64);
        let [segment, other, low, high, p_value] = if self.share {
            let share = |at: usize| when(users(at).gt(lit(0i64)), number(side(at)) / number(users(at))).end();
            let counts = || vec![side(0), users(0), side(1), users(1)];
            [
                share(0)?,
                share(1)?,
                newcombe_low().call(counts()),
                newcombe_high().call(counts()),
                proportions_p_value().call(counts()),
            ]
        } else {
            let sample = |at: usize| ["n", "mean", "variance"].map(|name| side(at).field(name));
            let test = || welch_test().call([sample(0), sample(1)].concat());
            let tested = |name: &str| test().field(name);
            [side(0).field("mean"), side(1).field("mean"), tested("low"), tested("high"), tested("p_value")]
        };
        let values = [
            lit(self.name.as_str()),
            segment.clone(),
            other.clone(),
            segment.clone() - other.clone(),
            segment / nullif(other, lit(0f64)),
            low,
            high,
            p_value,
            users(0),
            users(1),
        ];
        let named = COLUMNS.into_iter().zip(values).flat_map(|(name, value)| [lit(name), value]);
        Ok(named_struct([lit("at"), lit(at as i64)].into_iter().chain(named).collect()))
    }
}

const TEXT: &str = "\
A row for each measure, in their order. **Shares**: users with at least one row for which the condition holds; their difference has \
Newcombe's interval (1998, method 10) and the z-test of two proportions. **Means**: the count or sum of each user, 0 where it is NULL, \
averaged over all users of the segment, those without such a row included; Welch's t-test. Means of a handful of users, or of sums of \
which a few are huge, are not normal: trust their p-values from some dozens of users on.

The users are those with a row in the table; rows whose user is NULL take no part. A query may name a user any number of times; NULL is nobody. Users whom it names and who have \
no row in the table take no part, and a note says how many they are: let the table be `(SELECT u.user_id, e.event FROM users u LEFT JOIN events e \
ON e.user_id = u.user_id)` where they count. The query's users are its only column, or the one called as the table's user column, of the same type. A user in both segments is an error, \
since the tests need independent samples.

Every measure is another test: of 20 that differ by nothing, one has a p-value below 0.05.

Sums of whole numbers and decimals are exact, those of doubles rounded once; means and variances come from exact sums, so that no order of rows \
and no number of threads changes a bit of the answer. A sum of NaN, of 1e120 or more, or of 1e-120 or less but not 0 leaves its segment without a variance: no interval, no p-value.

Cost: one scan, and one of each query. Memory: the users with their measures.";
