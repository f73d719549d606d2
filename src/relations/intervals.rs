//! `FROM intervals(...)`: how long users take from one event to another, from the shortest to the longest.

use datafusion::common::{NullHandling, ScalarValue, UnnestOptions};
use datafusion::functions::core::expr_ext::FieldAccessor;
use datafusion::functions::core::expr_fn::named_struct;
use datafusion::logical_expr::{Expr, ExprFunctionExt, LogicalPlan, LogicalPlanBuilder, col, lit};

use super::Relation;
use super::argument::{Argument, Kind, docs};
use super::call::{Breakdown, Call};
use super::expressions::{column, count_rows, seconds, unkeyed};
use super::reach::Reach;
use super::roles::Roles;
use super::shared::{AS_OF, BY, TZ, with_roles, zone};
use crate::algo::calendar::Clock;
use crate::error::{Error, Result};
use crate::functions::columns::{clock_of, interval_type, window_ticks};
use crate::functions::interval::user_intervals;
use crate::functions::middle::spread;
use crate::functions::{FunctionDoc, FunctionKind};

/// The relation.
#[derive(Debug)]
pub struct Intervals;

const FROM: Argument = Argument::needed("from", Kind::Condition, "What begins an interval.");
const TO: Argument =
    Argument::optional("to", Kind::Condition, "`from`", "What ends it; without, the next event like `from`.");
const ANCHOR: Argument = Argument::with_default(
    "anchor",
    Kind::Word(&["last", "first"]),
    "'last'",
    "Which of several `from` events before a `to` begins the interval: the `last`, or the `first` since the `to` before.",
);
const WITHIN: Argument = Argument::optional("within", Kind::Span, "no limit", "Longer intervals are not counted.");

/// Columns on the way: a list of intervals, and what is told of their lengths.
const INTERVALS: &str = "(intervals)";
const SPREAD: &str = "(spread)";

/// The columns of the answer.
const OUTPUT: [&str; 10] = [
    "intervals",
    "users",
    "mean_seconds",
    "min_seconds",
    "p10_seconds",
    "p25_seconds",
    "median_seconds",
    "p75_seconds",
    "p90_seconds",
    "max_seconds",
];

impl Relation for Intervals {
    fn arguments(&self) -> Vec<Argument> {
        let by = BY.meaning("Breaks the answer down by the value at the `from` event.");
        with_roles(&[FROM, TO, ANCHOR, WITHIN, by, AS_OF, TZ])
    }

    fn doc(&self) -> FunctionDoc {
        FunctionDoc {
            name: "intervals",
            kind: FunctionKind::Relation,
            summary: "How long users take from one event to another: mean, median and percentiles",
            syntax: "intervals(table, from => 'view' [, to => 'purchase'] [, anchor => 'first'] [, within => INTERVAL '1 day'] [, by => ..])",
            arguments: docs(&self.arguments()),
            returns: vec![
                ("by ..", "The breakdown columns, under their own names."),
                ("intervals BIGINT", "How many there are."),
                ("users BIGINT", "Users with one."),
                ("mean_seconds DOUBLE", "Their mean."),
                ("min_seconds, max_seconds DOUBLE", "The shortest and the longest."),
                (
                    "p10_seconds, p25_seconds, median_seconds, p75_seconds, p90_seconds DOUBLE",
                    "A tenth, a quarter, half, .. of the intervals are not longer: continuous percentiles, as of `percentile_cont`.",
                ),
            ],
            text: TEXT,
            example: "SELECT channel, intervals, users, median_seconds, p90_seconds\nFROM intervals(events, from => 'add_to_cart', to => 'purchase', within => INTERVAL '1 day', by => channel)",
        }
    }

    fn plan(&self, call: &mut Call) -> Result<LogicalPlan> {
        let question = Question::read(call)?;
        question.compose(call).map_err(Error::from)
    }
}

/// A call, read and checked.
struct Question {
    roles: Roles,
    from: Expr,
    to: Expr,
    anchor: &'static str,
    within: ScalarValue,
    by: Vec<Breakdown>,
    reach: Reach,
}

impl Question {
    fn read(call: &mut Call) -> Result<Self> {
        let roles = Roles::of(call)?;
        let from = call.condition(&FROM)?.ok_or_else(|| call.required(&FROM))?;
        let from = roles.condition(call, &from)?;
        let to = match call.condition(&TO)? {
            Some(to) => roles.condition(call, &to)?,
            None => from.clone(),
        };
        let anchor = call.choice(&ANCHOR)?;
        let within = match call.interval(&WITHIN)? {
            Some(within) => {
                let clock = clock_of(&roles.time_type).unwrap_or(Clock::Dates);
                window_ticks(call.name(), "argument 'within'", &within, clock)?;
                within.cast_to(&interval_type()).map_err(Error::from)?
            }
            None => ScalarValue::IntervalMonthDayNano(None),
        };
        let by = call.breakdowns(&BY)?;
        call.refuse_names(&by, &[&OUTPUT[..], &["ticks", "first", SPREAD]].concat())?;
        let zone = zone(call)?;
        let reach = Reach::read(call, &roles, &zone)?;
        Ok(Self { roles, from, to, anchor, within, by, reach })
    }

    fn compose(&self, call: &Call) -> datafusion::error::Result<LogicalPlan> {
        let roles = &self.roles;
        let mut takes_part = roles.known().and(self.from.clone().or(self.to.clone()));
        if let Some(looked_at) = self.reach.looked_at() {
            takes_part = takes_part.and(looked_at);
        }
        let mut arguments =
            vec![roles.time.clone(), self.from.clone(), self.to.clone(), lit(self.anchor), lit(self.within.clone())];
        if !self.by.is_empty() {
            arguments
                .push(named_struct(self.by.iter().flat_map(|b| [lit(b.name.as_str()), b.value.clone()]).collect()));
        }
        let field = |name: &str| column(INTERVALS).field(name);
        let of_intervals = self.by.iter().map(|b| field(&b.name).alias(b.name.as_str()));
        let of_intervals = of_intervals.chain(["ticks", "first"].map(|name| field(name).alias(name)));
        let keys = || self.by.iter().map(|b| column(&b.name));
        let counts = [
            count_rows().alias("intervals"),
            count_rows().filter(col("first")).build()?.alias("users"),
            spread(call.room("spread")).call(vec![col("ticks")]).alias(SPREAD),
        ];
        let seconds = |name: &str| seconds(column(SPREAD).field(name), &roles.time_type);
        let mut output: Vec<Expr> = self.by.iter().map(|b| unkeyed(&b.name)).collect();
        output.extend(["intervals", "users"].map(col));
        output.extend(OUTPUT[2..].iter().map(|name| seconds(name.trim_end_matches("_seconds")).alias(*name)));
        let order: Vec<_> = keys().map(|key| key.sort(true, true)).collect();
        let counted = LogicalPlanBuilder::from(call.input().clone())
            .filter(takes_part)?
            .aggregate([roles.user.clone()], [user_intervals().call(arguments).alias(INTERVALS)])?
            .project([column(INTERVALS)])?
            .unnest_column_with_options(INTERVALS, UnnestOptions::new().with_null_handling(NullHandling::Drop))?
            .project(of_intervals.collect::<Vec<_>>())?
            .aggregate(keys(), counts)?
            .project(output)?;
        if order.is_empty() { counted.build() } else { counted.sort(order)?.build() }
    }
}

const TEXT: &str = "\
Of a user's events those that satisfy `from` or `to` count, in the order of time. An interval ends at a `to` event that has a `from` straight \
before it: of view, view, purchase, purchase there is one, from the second view to the first purchase (with `anchor => 'first'` from the first view). \
An event that satisfies both ends one interval and begins the next, so `intervals(events, from => 'login')` is the times between successive logins: \
one less than each user's logins.

Events at the same time are unordered: of the orders in which they can stand that one counts in which most intervals end there, and of those one with the \
shortest. With `by` an interval stands under the value at its `from` event, of several at the same time the lesser value comes first, NULL before all: the intervals \
of the values add up to the answer without `by`, and a user counts under each value that has one of theirs.

Rows whose user or time is NULL take no part. Without `by` there is always one row; the seconds are NULL where there are no intervals. Between dates \
a day is 86,400 seconds.

Cost: one pass over each user's events; memory as of `transitions`: only the events of the users at hand over ordered files, else 16 bytes an event \
(24 with `by`). The percentiles are exact: some 4 bytes for each interval, beyond 128 MB or an eighth of the memory limit in a temporary file.";
