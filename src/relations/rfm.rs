//! `FROM rfm(...)`: how recently, how often and for how much each user bought, as scores, segments and value tiers.

use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::common::ScalarValue;
use datafusion::functions::core::expr_ext::FieldAccessor;
use datafusion::functions::core::expr_fn::{coalesce, greatest};
use datafusion::functions_nested::expr_fn::array_element;
use datafusion::functions_window::rank::rank_udwf;
use datafusion::logical_expr::expr::WindowFunction;
use datafusion::logical_expr::{
    Expr, ExprFunctionExt, LogicalPlan, LogicalPlanBuilder, WindowFunctionDefinition, cast, col, lit, when,
};

use super::Relation;
use super::argument::{Argument, Kind, docs};
use super::call::Call;
use super::expressions::{column, count_rows, over_all};
use super::measure::Measure;
use super::reach::Reach;
use super::roles::{Roles, declared};
use super::shared::{TZ, with_roles, zone};
use crate::algo::calendar::Clock;
use crate::error::Result;
use crate::functions::columns::clock_of;
use crate::functions::exact_sum::exact_sum;
use crate::functions::lifecycle::{calendar, user_lifecycle};
use crate::functions::period::period_date;
use crate::functions::{FunctionDoc, FunctionKind};

/// The relation.
#[derive(Debug)]
pub struct Rfm;

const OUTPUT: [&str; 8] =
    ["recency_days", "orders", "revenue", "r_score", "f_score", "m_score", "segment", "value_tier"];
/// The most scores, and the most thresholds of one's own.
const MAX_BINS: i64 = 100;

const AMOUNT: Argument = Argument::needed("amount", Kind::NumberColumn, "What an order is worth; NULL is 0.");
const ORDER: Argument = Argument::optional(
    "order",
    Kind::Condition,
    "'purchase'",
    "Which rows are orders; every row where there is no event column.",
);
const BINS: Argument =
    Argument::with_default("bins", Kind::Whole(2, MAX_BINS), "5", "Scores go from 1 to this, 2 to 100.");
const THRESHOLDS: Kind = Kind::UpToNumbers(MAX_BINS as usize);
const RECENCY: Argument = Argument::optional(
    "recency",
    THRESHOLDS,
    "quantiles",
    "Thresholds of one's own, in days, ascending: the score falls by one with each that lies below the value.",
);
const FREQUENCY: Argument =
    Argument::optional("frequency", THRESHOLDS, "quantiles", "The same for orders: the score rises by one with each.");
const MONETARY: Argument = Argument::optional("monetary", THRESHOLDS, "quantiles", "The same for revenue.");
const SEGMENT_RULES: Argument = Argument::optional(
    "segments",
    Kind::NamedConditions,
    "ten by recency and frequency",
    "Segments of one's own, over the columns before `segment`; the first that holds counts, NULL where none does.",
);

/// Named segments of the scores 1 to 5 of recency and frequency: first recency from and to, then frequency.
const SEGMENTS: [(&str, [i64; 4]); 10] = [
    ("champions", [5, 5, 4, 5]),
    ("loyal", [3, 4, 4, 5]),
    ("potential loyal", [4, 5, 2, 3]),
    ("new", [5, 5, 1, 1]),
    ("promising", [4, 4, 1, 1]),
    ("need attention", [3, 3, 3, 3]),
    ("about to sleep", [3, 3, 1, 2]),
    ("cannot lose", [1, 2, 5, 5]),
    ("at risk", [1, 2, 3, 4]),
    ("hibernating", [1, 2, 1, 2]),
];

/// The eight value tiers: recent, frequent and large, each above the mean or not.
const TIERS: [(&str, [bool; 3]); 8] = [
    ("key value", [true, true, true]),
    ("key growth", [true, false, true]),
    ("key retention", [false, true, true]),
    ("key win-back", [false, false, true]),
    ("general value", [true, true, false]),
    ("general growth", [true, false, false]),
    ("general retention", [false, true, false]),
    ("general win-back", [false, false, false]),
];

impl Relation for Rfm {
    fn arguments(&self) -> Vec<Argument> {
        let as_of = Argument::optional(
            "as_of",
            Kind::Moment,
            "the midnight after the largest time",
            "The moment from which one looks back, exclusive. A DATE is the midnight in `tz` with which it begins.",
        );
        with_roles(&[AMOUNT, ORDER, BINS, RECENCY, FREQUENCY, MONETARY, SEGMENT_RULES, as_of, TZ])
    }

    fn doc(&self) -> FunctionDoc {
        FunctionDoc {
            name: "rfm",
            kind: FunctionKind::Relation,
            summary: "How recently, how often and for how much each user bought: scores, segments, value tiers",
            syntax: "rfm(table, amount => .. [, order => 'purchase'] [, as_of => ..] [, bins => 5])",
            arguments: docs(&self.arguments()),
            returns: vec![
                ("the user column", "Under its own name."),
                ("recency_days BIGINT", "Local dates from the last order to `as_of`."),
                ("orders BIGINT", "Orders."),
                (
                    "revenue",
                    "The sum of `amount`: BIGINT, DECIMAL or DOUBLE as the column is; doubles are rounded once.",
                ),
                ("r_score, f_score, m_score BIGINT", "1 (worst) to `bins`, or to the number of thresholds and 1."),
                ("segment TEXT", "The named segment."),
                (
                    "value_tier TEXT",
                    "`key` or `general` (revenue above the mean or not), and `value`, `growth`, `retention` or `win-back`.",
                ),
            ],
            text: TEXT,
            example: "SELECT segment, count(*) AS users, round(sum(revenue), 2) AS revenue\nFROM rfm(events, amount => price, as_of => DATE '2025-07-01')\nGROUP BY segment ORDER BY users DESC, segment LIMIT 4",
        }
    }

    fn plan(&self, call: &mut Call) -> Result<LogicalPlan> {
        let question = Question::read(call)?;
        let scored = question.scored(call)?;
        question.named(call, scored)
    }
}

/// A call, read and checked.
struct Question {
    roles: Roles,
    takes_part: Expr,
    /// The sum of the amounts.
    revenue: Expr,
    reach: Reach,
    zone: String,
    bins: i64,
    /// Thresholds of recency, frequency and revenue, where they were given.
    thresholds: [Option<Vec<f64>>; 3],
}

impl Question {
    fn read(call: &mut Call) -> Result<Self> {
        let roles = Roles::of(call)?;
        if OUTPUT.contains(&roles.user_name.as_str()) {
            return Err(call.error(format!(
                "the user column '{}' has the name of a result column; give it another in (SELECT ..)",
                roles.user_name
            )));
        }
        let Some(amount) = Measure::read(call, &AMOUNT)? else { return Err(call.required(&AMOUNT)) };
        let revenue = coalesce(vec![amount.total(), lit(0i64)]);
        let order = match (call.condition(&ORDER)?, &roles.event) {
            (Some(condition), _) => roles.condition(call, &condition)?,
            (None, Some(event)) => event.clone().eq(lit("purchase")),
            (None, None) => lit(true),
        };
        let zone = zone(call)?;
        let clock = clock_of(&roles.time_type).unwrap_or(Clock::Dates);
        calendar(call.name(), "day", &zone, "monday", clock)?;
        let reach = Reach::read(call, &roles, &zone)?;
        let mut takes_part = roles.known().and(order);
        if let Some(looked_at) = reach.looked_at() {
            takes_part = takes_part.and(looked_at);
        }
        if let (Some(as_of), Clock::Instants(_)) = (reach.constant(), clock) {
            takes_part = takes_part.and(roles.time.clone().lt(as_of));
        }
        let bins = call.whole(&BINS)?;
        let mut thresholds = [None, None, None];
        for (argument, thresholds) in [RECENCY, FREQUENCY, MONETARY].iter().zip(&mut thresholds) {
            *thresholds = call.number_list(argument)?;
            if thresholds.as_ref().is_some_and(|t| t.windows(2).any(|pair| pair[0] > pair[1])) {
                return Err(call.error(format!("argument '{}': thresholds must not fall", argument.name)));
            }
        }
        Ok(Self { roles, takes_part, revenue, reach, zone, bins, thresholds })
    }

    /// A row for each user with the three values and their scores.
    fn scored(&self, call: &Call) -> datafusion::error::Result<LogicalPlan> {
        let roles = &self.roles;
        let user = || column(&roles.user_name);
        let words = || [lit("day"), lit(self.zone.as_str()), lit("monday")];
        let mut days = vec![roles.time.clone(), lit(ScalarValue::Null)];
        days.extend(words());
        // The user's dates tell the last one; events of one date are folded as they come.
        let last = array_element(col("days").field("periods"), lit(-1i64));
        let per_user = LogicalPlanBuilder::from(call.input().clone())
            .filter(self.takes_part.clone())?
            .aggregate(
                [roles.user.clone().alias_with_metadata(roles.user_name.as_str(), declared("user"))],
                [
                    user_lifecycle().call(days).alias("days"),
                    count_rows().alias("orders"),
                    self.revenue.clone().alias("revenue"),
                ],
            )?
            .project([user(), cast(last, DataType::Int64).alias("last"), col("orders"), col("revenue")])?;
        let dated = match self.reach.day() {
            Some(day) => per_user.project([
                user(),
                (lit(day) - col("last")).alias("recency_days"),
                col("orders"),
                col("revenue"),
            ])?,
            None => {
                // The data end with the date of their largest time; of a time column that later orders cannot have passed.
                let reach = self.reach.row(call, roles)?;
                let mut date = vec![col("as_of")];
                date.extend(words());
                let date = cast(cast(period_date().call(date), DataType::Int32), DataType::Int64);
                let reach = LogicalPlanBuilder::from(reach).project([date.alias("end")])?.build()?;
                let days = greatest(vec![col("end"), col("last")]) + lit(1i64) - col("last");
                per_user.cross_join(reach)?.project([
                    user(),
                    days.alias("recency_days"),
                    col("orders"),
                    col("revenue"),
                ])?
            }
        };
        let values = ["recency_days", "orders", "revenue"];
        let ranks = values.map(|value| ranked(value).alias(format!("{value} rank")));
        let n = over_all(datafusion::functions_aggregate::count::count_udaf(), vec![lit(1i64)]).alias("n");
        let scores: Vec<Expr> = values
            .iter()
            .zip(["r_score", "f_score", "m_score"])
            .zip(&self.thresholds)
            .map(|((value, name), thresholds)| self.score(value, thresholds.as_deref()).alias(name))
            .collect();
        let mut output = vec![user()];
        output.extend(values.map(col));
        output.extend(scores);
        let mut windows: Vec<Expr> = Vec::new();
        for (rank, thresholds) in ranks.into_iter().zip(&self.thresholds) {
            if thresholds.is_none() {
                windows.push(rank);
            }
        }
        let mut plan = dated;
        for window in windows {
            plan = plan.window([window])?;
        }
        plan.window([n])?.project(output)?.build()
    }

    /// 1 + the thresholds strictly below the value; of recency from the other end.
    ///
    /// The k-th of B - 1 quantile thresholds is the ceil(n k / B)-th smallest value, so it lies below a value exactly where
    /// ceil(n k / B) <= rank - 1, the number of smaller values: there are floor(B (rank - 1) / n) such k.
    fn score(&self, value: &str, thresholds: Option<&[f64]>) -> Expr {
        let (below, most) = match thresholds {
            None => {
                let smaller = cast(column(&format!("{value} rank")), DataType::Int64) - lit(1i64);
                (lit(self.bins) * smaller / col("n"), self.bins)
            }
            Some(thresholds) => {
                let passed = |t: &f64| cast(cast(col(value), DataType::Float64).gt(lit(*t)), DataType::Int64);
                let below = thresholds.iter().map(passed).reduce(|sum, next| sum + next).unwrap_or(lit(0i64));
                (below, thresholds.len() as i64 + 1)
            }
        };
        if value == "recency_days" { lit(most) - below } else { lit(1i64) + below }
    }

    /// Segments and value tiers beside the scores.
    fn named(&self, call: &mut Call, scored: LogicalPlan) -> Result<LogicalPlan> {
        let schema = Arc::clone(scored.schema());
        let segment = match call.named_conditions(&SEGMENT_RULES, &schema)? {
            Some(own) => case_of(own.into_iter().map(|(name, condition)| (condition, name)))?,
            None => self.default_segment()?,
        };
        // Above the mean: n x the value is above the sum.
        let number = |e: Expr| cast(e, DataType::Float64);
        let above = |value: &str| (number(col(value)) * number(col("n"))).gt(column(&format!("{value} sum")));
        let below = |value: &str| (number(col(value)) * number(col("n"))).lt(column(&format!("{value} sum")));
        let tier = TIERS.iter().map(|(name, [recent, frequent, large])| {
            let is = |condition: Expr, wanted: bool| if wanted { condition } else { condition.is_not_true() };
            let condition = is(below("recency_days"), *recent)
                .and(is(above("orders"), *frequent))
                .and(is(above("revenue"), *large));
            (condition, name.to_string())
        });
        let sums = ["recency_days", "orders", "revenue"]
            .map(|value| over_all(exact_sum().into(), vec![number(col(value))]).alias(format!("{value} sum")));
        let count = over_all(datafusion::functions_aggregate::count::count_udaf(), vec![lit(1i64)]).alias("n");
        let mut output = vec![column(&self.roles.user_name)];
        output.extend(OUTPUT[..6].iter().map(|name| col(*name)));
        output.extend([segment.alias("segment"), case_of(tier)?.alias("value_tier")]);
        let windows: Vec<Expr> = sums.into_iter().chain([count]).collect();
        Ok(LogicalPlanBuilder::from(scored).window(windows)?.project(output)?.build()?)
    }

    /// The ten segments, of scores brought to five.
    fn default_segment(&self) -> Result<Expr> {
        let of_five = |name: &str, thresholds: &Option<Vec<f64>>| {
            let most = thresholds.as_ref().map_or(self.bins, |t| t.len() as i64 + 1);
            match most {
                5 => col(name),
                // The worst stays the worst and the best the best; between them to the nearest.
                most => lit(1i64) + ((col(name) - lit(1i64)) * lit(8i64) + lit(most - 1)) / lit(2 * (most - 1)),
            }
        };
        let (r, f) = (of_five("r_score", &self.thresholds[0]), of_five("f_score", &self.thresholds[1]));
        case_of(SEGMENTS.iter().map(|(name, [r_from, r_to, f_from, f_to])| {
            let within = |score: &Expr, from: i64, to: i64| score.clone().between(lit(from), lit(to));
            (within(&r, *r_from, *r_to).and(within(&f, *f_from, *f_to)), name.to_string())
        }))
    }
}

/// The first name whose condition holds.
fn case_of(named: impl Iterator<Item = (Expr, String)>) -> Result<Expr> {
    let mut named = named;
    let Some((condition, name)) = named.next() else { return Ok(lit(ScalarValue::Utf8(None))) };
    let mut case = when(condition, lit(name));
    for (condition, name) in named {
        case = case.when(condition, lit(name));
    }
    Ok(case.end()?)
}

/// The rank of a value among all, equal values alike.
fn ranked(value: &str) -> Expr {
    let rank = Expr::from(WindowFunction::new(WindowFunctionDefinition::WindowUDF(rank_udwf()), vec![]));
    rank.order_by(vec![col(value).sort(true, true)]).build().unwrap_or_else(|_| col(value))
}

const TEXT: &str = "\
A row for each user with an order before `as_of`, in no order. **Recency** is in local dates: an order on the date before `as_of` \
is 1 day ago. **Scores**: 1 and the number of thresholds strictly below the value; recency from the other end, so that 1 is worst \
everywhere. The thresholds are the quantiles 1/bins, 2/bins, .. of the users' values, each the least value that at least that share \
does not exceed. Equal values always get equal scores (NTILE breaks ties as they come), and where thresholds coincide, scores are \
skipped.

**Segments** by recency and frequency, brought to five: champions (5, 4-5), loyal (3-4, 4-5), potential loyal (4-5, 2-3), new (5, 1), \
promising (4, 1), need attention (3, 3), about to sleep (3, 1-2), cannot lose (1-2, 5), at risk (1-2, 3-4), hibernating (1-2, 1-2). \
**Value tiers**: each of recency, frequency and revenue better than its mean or not, eight in all; `growth` is recent but seldom, \
`retention` frequent but not recent, `win-back` neither.

Rows whose user or time is NULL take no part. Cost: one scan, three sorts of the users. Memory: that of the users' three values, \
which spill.";
