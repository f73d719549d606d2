//! `FROM retention(...)`: cohorts and who of them came back when; `FROM retention_curve(...)`: the pooled curve.

use arrow::datatypes::DataType;
use datafusion::functions::core::expr_ext::FieldAccessor;
use datafusion::functions::core::expr_fn::{coalesce, named_struct};
use datafusion::functions_aggregate::expr_fn::{max, sum};
use datafusion::functions_nested::expr_fn::array_element;
use datafusion::logical_expr::{
    Expr, ExprFunctionExt, LogicalPlan, LogicalPlanBuilder, SortExpr, cast, col, lit, when,
};

use super::Relation;
use super::argument::{Argument, Kind, docs};
use super::call::{Breakdown, Call};
use super::expressions::{column, count_rows, unkeyed};
use super::reach::Reach;
use super::roles::Roles;
use super::shared::{AS_OF, BY, TZ, UNIT, WEEK_START, week_start, with_roles, zone};
use crate::algo::calendar::Clock;
use crate::error::{Error, Result};
use crate::functions::columns::clock_of;
use crate::functions::retention::arguments::{Counting, INDEXES};
use crate::functions::retention::cells::{MAX_PERIODS, TYPES};
use crate::functions::retention::{period_end, retention_cells, user_retention};
use crate::functions::wilson::{wilson_high, wilson_low};
use crate::functions::{FunctionDoc, FunctionKind};

/// The table of cohorts and periods.
#[derive(Debug)]
pub struct Retention;

/// The curve over all complete cells.
#[derive(Debug)]
pub struct RetentionCurve;

impl Relation for Retention {
    fn arguments(&self) -> Vec<Argument> {
        arguments(true)
    }

    fn doc(&self) -> FunctionDoc {
        FunctionDoc {
            name: "retention",
            kind: FunctionKind::Relation,
            summary: "Cohorts of users, and how many of each came back in every period since",
            syntax: "retention(table [, start => ..] [, return => ..], unit => 'week', periods => 12 [, by => ..])",
            arguments: docs(&self.arguments()),
            returns: vec![
                ("by ..", "The breakdown columns, under their own names."),
                ("cohort", "First local date of the period of birth (DATE), or the property's value."),
                ("size BIGINT", "Users born in the cohort."),
                ("period BIGINT", "0 to `periods`; 0 is the period of the birth."),
                ("retained BIGINT", "Users who came back in that period (or later)."),
                ("rate DOUBLE", "retained / size."),
                ("complete BOOLEAN", "Whether the period has ended for the whole cohort at `as_of`."),
            ],
            text: TABLE_TEXT,
            example: "SELECT cohort, size, period, retained, rate, complete\nFROM retention(events, start => 'signup', unit => 'month', periods => 3)\nORDER BY cohort, period LIMIT 8",
        }
    }

    fn plan(&self, call: &mut Call) -> Result<LogicalPlan> {
        let question = RetentionCall::read(call, true)?;
        let order = question.order(&["cohort", "period"]);
        let plan = question.cells(call)?;
        Ok(LogicalPlanBuilder::from(plan).sort(order)?.build()?)
    }
}

impl Relation for RetentionCurve {
    fn arguments(&self) -> Vec<Argument> {
        arguments(false)
    }

    fn doc(&self) -> FunctionDoc {
        FunctionDoc {
            name: "retention_curve",
            kind: FunctionKind::Relation,
            summary: "The share of users who came back in every period, pooled over complete cohorts",
            syntax: "retention_curve(table [, start => ..] [, return => ..], unit => 'week', periods => 12 [, by => ..])",
            arguments: docs(&self.arguments()),
            returns: vec![
                ("by ..", "The breakdown columns, under their own names."),
                ("period BIGINT", "0 to `periods`."),
                ("eligible BIGINT", "Users of cohorts for which the period has ended."),
                ("retained BIGINT", "Those who came back in that period (or later)."),
                ("rate DOUBLE", "retained / eligible; NULL where nobody is eligible."),
                ("low, high DOUBLE", "The 95 % Wilson interval of the rate."),
            ],
            text: CURVE_TEXT,
            example: "SELECT period, eligible, retained, rate\nFROM retention_curve(events, start => 'signup', unit => 'week', periods => 4)",
        }
    }

    fn plan(&self, call: &mut Call) -> Result<LogicalPlan> {
        let question = RetentionCall::read(call, false)?;
        let plan = question.cells(call)?;
        question.curve(plan).map_err(Error::from)
    }
}

const START: Argument = Argument::optional(
    "start",
    Kind::Condition,
    "any event",
    "What can be a user's birth; the earliest such event is.",
);
const RETURN: Argument = Argument::optional("return", Kind::Condition, "any event", "What counts as coming back.");
const PERIODS: Argument =
    Argument::with_default("periods", Kind::Whole(0, MAX_PERIODS), "12", "The last period to report, up to 10,000.");
const TYPE: Argument = Argument::with_default(
    "type",
    Kind::Word(&TYPES),
    "'on'",
    "`on`: came back in period n; `on_or_after`: in period n or later.",
);
const INDEX: Argument = Argument::with_default(
    "index",
    Kind::Word(&INDEXES),
    "'calendar'",
    "`calendar`: periods of the calendar. `rolling`: spans of 24 hours, 7 or 30 days from each user's birth.",
);
const COHORT: Argument = Argument::optional(
    "cohort",
    Kind::Column,
    "the period of birth",
    "Groups users by this value at the birth event instead.",
);

/// The arguments of the table or of the curve.
fn arguments(table: bool) -> Vec<Argument> {
    let by = BY.meaning("Breaks the answer down by the value at the birth event.");
    let mut own = vec![START, RETURN, UNIT, PERIODS, TYPE, INDEX, by];
    own.extend(table.then_some(COHORT));
    own.extend([AS_OF, TZ, WEEK_START]);
    with_roles(&own)
}

/// A call of either relation, read and checked.
struct RetentionCall {
    roles: Roles,
    start: Option<Expr>,
    back: Option<Expr>,
    words: [String; 4],
    periods: i64,
    kind: &'static str,
    by: Vec<Breakdown>,
    /// A property that makes the cohorts, in place of the period of birth.
    cohort: Option<Expr>,
    reach: Reach,
}

const RESERVED: [&str; 9] = ["cohort", "size", "period", "retained", "rate", "complete", "eligible", "low", "high"];
/// Names that columns have on the way.
const INNER: [&str; 5] = ["birth", "periods", "latest", "cells", "as_of"];

impl RetentionCall {
    fn read(call: &mut Call, table: bool) -> Result<Self> {
        let roles = Roles::of(call)?;
        let start = call.condition(&START)?.map(|c| roles.condition(call, &c)).transpose()?;
        let back = call.condition(&RETURN)?.map(|c| roles.condition(call, &c)).transpose()?;
        let unit = call.choice(&UNIT)?;
        let zone = zone(call)?;
        let week_start = week_start(call)?;
        let index = call.choice(&INDEX)?;
        let clock = clock_of(&roles.time_type).unwrap_or(Clock::Dates);
        Counting::parse(call.name(), unit, &zone, week_start, index, clock)?;
        let by = call.breakdowns(&BY)?;
        call.refuse_names(&by, &RESERVED)?;
        call.refuse_names(&by, &INNER)?;
        let reach = Reach::read(call, &roles, &zone)?;
        Ok(Self {
            start,
            back,
            words: [unit.to_string(), zone, week_start.to_string(), index.to_string()],
            periods: call.whole(&PERIODS)?,
            kind: call.choice(&TYPE)?,
            by,
            cohort: if table { call.column(&COHORT)? } else { None },
            reach,
            roles,
        })
    }

    fn words(&self) -> impl Iterator<Item = Expr> {
        self.words.iter().map(|w| lit(w.as_str()))
    }

    /// A row for every cohort and period.
    fn cells(&self, call: &Call) -> datafusion::error::Result<LogicalPlan> {
        let roles = &self.roles;
        let or_any = |condition: &Option<Expr>| condition.clone().unwrap_or_else(|| lit(true));
        let mut takes_part = roles.known();
        // An absent condition lets every event through, and then no filter is needed.
        if let (Some(start), Some(back)) = (&self.start, &self.back) {
            takes_part = takes_part.and(start.clone().or(back.clone()));
        }
        if let Some(looked_at) = self.reach.looked_at() {
            takes_part = takes_part.and(looked_at);
        }
        let mut arguments = vec![roles.time.clone(), or_any(&self.start), or_any(&self.back)];
        arguments.extend(self.words());
        let mut kept: Vec<Expr> = self.by.iter().flat_map(|b| [lit(b.name.as_str()), b.value.clone()]).collect();
        if let Some(cohort) = &self.cohort {
            kept.extend([lit("cohort"), cohort.clone()]);
        }
        let keeps = !kept.is_empty();
        if keeps {
            arguments.push(named_struct(kept));
        }

        // A name that no column has, least of all the user's.
        let told = "(user)";
        let user = column(told);
        let mut columns =
            vec![user.clone().field("birth").alias("birth"), user.clone().field("periods").alias("periods")];
        columns.push(match &self.cohort {
            Some(_) => user.clone().field("kept").field("cohort").alias("cohort"),
            None => user.clone().field("cohort").alias("cohort"),
        });
        columns
            .extend(self.by.iter().map(|b| user.clone().field("kept").field(b.name.as_str()).alias(b.name.as_str())));
        let keys = || self.by.iter().map(|b| column(&b.name)).chain([col("cohort")]);
        let cells = retention_cells().call(vec![col("periods"), lit(self.periods), lit(self.kind)]);

        let rows: Vec<Vec<Expr>> = (0..=self.periods).map(|period| vec![lit(period)]).collect();
        let periods = LogicalPlanBuilder::values(rows)?.project([col("column1").alias("period")])?.build()?;
        let reach = self.reach.row(call, roles)?;

        let mut end = vec![col("latest"), col("period")];
        end.extend(self.words());
        end.push(lit(self.cohort.is_none()));
        let retained = array_element(col("cells"), col("period") + lit(1i64));
        let mut output: Vec<Expr> = self.by.iter().map(|b| unkeyed(&b.name)).collect();
        output.extend([
            unkeyed("cohort"),
            col("size"),
            col("period"),
            retained.clone().alias("retained"),
            (cast(retained, DataType::Float64) / cast(col("size"), DataType::Float64)).alias("rate"),
            coalesce(vec![period_end().call(end).lt_eq(col("as_of")), lit(false)]).alias("complete"),
        ]);
        LogicalPlanBuilder::from(call.input().clone())
            .filter(takes_part)?
            .aggregate([roles.user.clone()], [user_retention().call(arguments).alias(told)])?
            .filter(user.field("birth").is_not_null())?
            .project(columns)?
            .aggregate(keys(), [count_rows().alias("size"), max(col("birth")).alias("latest"), cells.alias("cells")])?
            .cross_join(periods)?
            .cross_join(reach)?
            .project(output)?
            .build()
    }

    /// Sums over complete cells.
    fn curve(&self, cells: LogicalPlan) -> datafusion::error::Result<LogicalPlan> {
        let keys = || self.by.iter().map(|b| column(&b.name)).chain([col("period")]);
        let complete = |what: &str| {
            let pooled = sum(col(what)).filter(col("complete")).build()?;
            Ok::<_, datafusion::error::DataFusionError>(pooled.alias(what))
        };
        let or_zero = |what: &str| coalesce(vec![col(what), lit(0i64)]);
        let share = cast(or_zero("retained"), DataType::Float64) / cast(col("size"), DataType::Float64);
        let rate = when(or_zero("size").gt(lit(0i64)), share).end()?;
        let mut output: Vec<Expr> = self.by.iter().map(|b| unkeyed(&b.name)).collect();
        output.extend([
            col("period"),
            or_zero("size").alias("eligible"),
            or_zero("retained").alias("retained"),
            rate.alias("rate"),
            wilson_low().call(vec![or_zero("retained"), or_zero("size")]).alias("low"),
            wilson_high().call(vec![or_zero("retained"), or_zero("size")]).alias("high"),
        ]);
        LogicalPlanBuilder::from(cells)
            .aggregate(keys(), [complete("size")?, complete("retained")?])?
            .project(output)?
            .sort(self.order(&["period"]))?
            .build()
    }

    fn order(&self, last: &[&str]) -> Vec<SortExpr> {
        let by = self.by.iter().map(|b| column(&b.name));
        by.chain(last.iter().map(|c| col(*c))).map(|c| c.sort(true, true)).collect()
    }
}

const TABLE_TEXT: &str = "\
A user is born with the first start event in the data. A return is a *different* return event at the same or a later \
time. Every cohort has a row for every period from 0 to `periods`, zeros included; period 0 tells who came back within the \
period of birth, and is not the size of the cohort. Without `start` and `return` any event counts as both.

A cell is complete when its period has ended, at `as_of`, for the latest possible birth of the cohort (with `cohort =>`, for \
the latest birth there is). A period of timestamps has ended when the data reach the first instant after it; a period of \
dates, when they reach its last date. Without `as_of` the data reach to their largest time, of which a warning says so if it \
lies in the future: one wrong clock would make every cell look complete. Rows whose user or time is NULL take no part; of tied birth events the least `by` \
value counts.";

const CURVE_TEXT: &str = "\
Pooled: the sum of retained over the sum of sizes of the cohorts whose cell is complete, so large cohorts weigh more and \
unfinished periods never pull the curve down. Births, returns, periods and completeness are those of `retention`.";
