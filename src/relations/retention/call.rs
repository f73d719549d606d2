//! A call of a retention relation: what it asks, and the plan that answers it.

use arrow::array::{ArrayRef, Int64Array};
use arrow::datatypes::DataType;
use datafusion::common::utils::SingleRowListArrayBuilder;
use datafusion::common::{Column, NullHandling, ScalarValue, UnnestOptions};
use datafusion::functions::core::expr_ext::FieldAccessor;
use datafusion::functions::core::expr_fn::{coalesce, named_struct};
use datafusion::functions_aggregate::expr_fn::{max, sum};
use datafusion::functions_nested::expr_fn::array_element;
use datafusion::logical_expr::{
    Expr, ExprFunctionExt, LogicalPlan, LogicalPlanBuilder, SortExpr, cast, col, lit, when,
};
use std::sync::Arc;

use super::arguments::{
    BIRTH, BORN_BEFORE, BORN_FROM, BRACKETS, COHORT, COLUMNS, Form, INDEX, MIN_COUNT, PERIODS, RETURN, SHOW, START,
    TYPE, UNIT,
};
use super::value::{self, Value};
use crate::algo::calendar::Clock;
use crate::error::Result;
use crate::functions::columns::clock_of;
use crate::functions::retention::arguments::Counting;
use crate::functions::retention::{period_end, recurring_cells, retention_cells, user_recurring, user_retention};
use crate::functions::wilson::{wilson_high, wilson_low};
use crate::relations::call::{Breakdown, Call};
use crate::relations::expressions::{column, count_rows, unkeyed};
use crate::relations::reach::{Reach, moment_of};
use crate::relations::roles::Roles;
use crate::relations::shared::{BY, week_start, zone};

/// A call of one of the relations, read and checked.
pub struct RetentionCall {
    roles: Roles,
    start: Option<Expr>,
    back: Option<Expr>,
    words: [String; 4],
    periods: i64,
    kind: &'static str,
    brackets: Vec<(i64, i64)>,
    min_count: i64,
    birth: &'static str,
    /// Which births make cohorts: from, and before.
    born: [Option<ScalarValue>; 2],
    by: Vec<Breakdown>,
    /// A property that makes the cohorts, in place of the period of birth.
    cohort: Option<Expr>,
    value: Option<Value>,
    /// What the columns of periods show.
    show: &'static str,
    reach: Reach,
}

const RESERVED: [&str; 10] =
    ["cohort", "size", "period", "bracket", "retained", "rate", "complete", "eligible", "low", "high"];
/// Names that columns have on the way.
const INNER: [&str; 7] = ["birth", "periods", "latest", "cells", "as_of", "cell", "row"];

/// What is known of a user: a name that no column has, least of all the user's.
const USER: &str = "(user)";

/// A bracket as text.
fn label(from: i64, to: i64) -> String {
    if from == to { from.to_string() } else { format!("{from}-{to}") }
}

impl RetentionCall {
    pub fn read(call: &mut Call, form: Form) -> Result<Self> {
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
        call.refuse_names(&by, &value::COLUMNS)?;
        call.refuse_names(&by, &value::INNER)?;
        let reach = Reach::read(call, &roles, &zone)?;
        let born = [&BORN_FROM, &BORN_BEFORE].map(|argument| moment_of(call, argument, &roles, &zone));
        let [born_from, born_before] = born;
        let periods_given = call.given(&PERIODS);
        let kind = call.choice(&TYPE)?;
        let question = Self {
            start,
            back,
            words: [unit.to_string(), zone, week_start.to_string(), index.to_string()],
            periods: call.whole(if form == Form::Triangle { &COLUMNS } else { &PERIODS })?,
            kind,
            brackets: call.ranges(&BRACKETS)?.unwrap_or_default(),
            min_count: call.whole(&MIN_COUNT)?,
            birth: call.choice(&BIRTH)?,
            born: [born_from?, born_before?],
            by,
            cohort: if form == Form::Curve { None } else { call.column(&COHORT)? },
            show: if form == Form::Triangle { call.choice(&SHOW)? } else { "rate" },
            value: Value::read(call, kind)?,
            reach,
            roles,
        };
        question.check_together(call, periods_given)?;
        Ok(question)
    }

    /// Refuses what cannot be asked together.
    fn check_together(&self, call: &Call, periods_given: bool) -> Result<()> {
        let [from, before] = &self.born;
        if let (Some(from), Some(before)) = (from, before)
            && from >= before
        {
            return Err(call.error("'born_from' must be earlier than 'born_before'"));
        }
        if self.birth == "first_in_range" && from.is_none() && before.is_none() {
            return Err(call.error("birth 'first_in_range' needs 'born_from' or 'born_before'"));
        }
        if self.birth == "recurring" && self.words[3] == "rolling" {
            return Err(
                call.error("birth 'recurring' goes with the index 'calendar': its cohorts are calendar periods")
            );
        }
        if self.birth == "recurring" && self.cohort.is_some() {
            return Err(call.error("birth 'recurring' makes cohorts of periods, so 'cohort' cannot be given; 'by' can"));
        }
        if value::COLUMNS.contains(&self.show) {
            match &self.value {
                None => return Err(call.error(format!("show => '{}' needs 'value'", self.show))),
                Some(value) if !value.columns().contains(&self.show) => {
                    return Err(call.error(format!("show => '{}' needs type => 'on'", self.show)));
                }
                Some(_) => {}
            }
        }
        match (self.kind, self.brackets.is_empty()) {
            ("bracket", true) => Err(call.error("type 'bracket' needs 'brackets', such as [[1, 3], [4, 7]]")),
            ("bracket", false) if periods_given => {
                Err(call.error("'periods' cannot go with 'brackets', which say what is reported"))
            }
            ("bracket", false) | (_, true) => Ok(()),
            (_, false) => Err(call.error("'brackets' needs type => 'bracket'")),
        }
    }

    fn words(&self) -> impl Iterator<Item = Expr> {
        self.words.iter().map(|w| lit(w.as_str()))
    }

    /// Whether a start event is one that may make a cohort.
    fn may_be_born(&self, time: Expr) -> Option<Expr> {
        let [from, before] = &self.born;
        let from = from.clone().map(|from| time.clone().gt_eq(lit(from)));
        let before = before.clone().map(|before| time.lt(lit(before)));
        from.into_iter().chain(before).reduce(Expr::and)
    }

    /// The events, with what is known of each user under [`USER`].
    fn users(&self, call: &Call) -> datafusion::error::Result<LogicalPlanBuilder> {
        let roles = &self.roles;
        let mut takes_part = roles.known();
        // An absent condition lets every event through, and then no filter is needed.
        if let (Some(start), Some(back)) = (&self.start, &self.back) {
            takes_part = takes_part.and(start.clone().or(back.clone()));
        }
        if let Some(looked_at) = self.reach.looked_at() {
            takes_part = takes_part.and(looked_at);
        }
        let in_range = self.may_be_born(roles.time.clone()).filter(|_| self.birth != "first");
        let start = self.start.clone().into_iter().chain(in_range).reduce(Expr::and);
        let or_any = |condition: Option<Expr>| condition.unwrap_or_else(|| lit(true));
        let conditions = [or_any(start), or_any(self.back.clone())];
        let recurring = self.birth == "recurring";
        let births = if recurring { "recurring" } else { "first" };
        let amounts = self.value.as_ref();
        let amounts = amounts.map(|v| v.of_user(roles.time.clone(), conditions.clone(), self.words(), births));
        let mut arguments = vec![roles.time.clone()];
        arguments.extend(conditions);
        arguments.extend(self.words().take(if recurring { 3 } else { 4 }));
        if recurring || self.min_count > 1 {
            arguments.push(lit(self.min_count));
        }
        let mut kept: Vec<Expr> = self.by.iter().flat_map(|b| [lit(b.name.as_str()), b.value.clone()]).collect();
        if let Some(cohort) = &self.cohort {
            kept.extend([lit("cohort"), cohort.clone()]);
        }
        if !kept.is_empty() {
            arguments.push(named_struct(kept));
        }
        let told = if recurring { user_recurring() } else { user_retention() };
        LogicalPlanBuilder::from(call.input().clone())
            .filter(takes_part)?
            .aggregate([roles.user.clone()], std::iter::once(told.call(arguments).alias(USER)).chain(amounts))
    }

    fn by(&self) -> impl Iterator<Item = Expr> + Clone {
        self.by.iter().map(|b| column(&b.name))
    }

    /// A row for every cohort: its size, its latest birth, and its cells as a list.
    fn cohorts(&self, call: &Call) -> datafusion::error::Result<LogicalPlanBuilder> {
        let user = column(USER);
        let kept = self.by.iter().map(|b| user.clone().field("kept").field(b.name.as_str()).alias(b.name.as_str()));
        let mut counted = vec![col("periods"), lit(self.periods), lit(self.kind)];
        if !self.brackets.is_empty() {
            let ends: Int64Array = self.brackets.iter().flat_map(|(from, to)| [*from, *to]).collect();
            let ends = SingleRowListArrayBuilder::new(Arc::new(ends) as ArrayRef).build_list_scalar();
            counted.push(lit(ends));
        }
        let periods = user.clone().field("periods").alias("periods");
        let value = self.value.as_ref();
        let carried = value.map(Value::carried);
        let worth = value.map(|value| value.of_cohorts(&counted[1..]));
        if self.birth == "recurring" {
            let part = |name: &str| col("row").field(name).alias(name);
            // Both lists have a row for every period with a birth, ascending.
            let lists = std::iter::once("row").chain(value.map(|_| "worth")).map(Column::from_name).collect();
            return self
                .users(call)?
                .project(kept.chain([periods]).chain(carried))?
                .aggregate(self.by(), std::iter::once(recurring_cells().call(counted).alias("row")).chain(worth))?
                .unnest_columns_with_options(lists, UnnestOptions::new().with_null_handling(NullHandling::Drop))?
                .project(
                    self.by()
                        .chain([self.began(part("cohort"), col("row").field("latest"))])
                        .chain(["size", "latest", "cells"].map(part))
                        .chain(value.map(|value| value.cells(col("worth")))),
                );
        }
        let cohort = match &self.cohort {
            Some(_) => user.clone().field("kept").field("cohort").alias("cohort"),
            None => self.began(user.clone().field("cohort").alias("cohort"), user.clone().field("birth")),
        };
        let mut born = user.clone().field("birth").is_not_null();
        if let Some(in_range) = self.may_be_born(user.clone().field("birth")).filter(|_| self.birth == "first") {
            born = born.and(in_range);
        }
        let cells = retention_cells().call(counted);
        let parts = [user.clone().field("birth").alias("birth"), periods, cohort];
        let counts = [count_rows().alias("size"), max(col("birth")).alias("latest"), cells.alias("cells")];
        let cohorts = self
            .users(call)?
            .filter(born)?
            .project(parts.into_iter().chain(kept).chain(carried))?
            .aggregate(self.by().chain([col("cohort")]), counts.into_iter().chain(worth))?;
        let Some(value) = value else { return Ok(cohorts) };
        let known = self.by().chain(["cohort", "size", "latest", "cells"].map(col));
        cohorts.project(known.chain([value.only_cells()]))
    }

    /// The period of a birth, as its cohort is called: its first `date`, or the instant with which an hour begins.
    fn began(&self, date: Expr, birth: Expr) -> Expr {
        if self.words[0] != "hour" {
            return date;
        }
        let [unit, zone, week_start, _] = &self.words;
        let words = [unit, zone, week_start].map(|word| lit(word.as_str()));
        // It begins as the one before ends.
        let mut before = vec![birth, lit(-1i64)];
        before.extend(words);
        before.extend([lit("calendar"), lit(true)]);
        period_end().call(before).alias("cohort")
    }

    /// Whether a period has ended for a whole cohort.
    fn complete(&self, period: Expr) -> Expr {
        let mut end = vec![col("latest"), period];
        end.extend(self.words());
        end.push(lit(self.cohort.is_none()));
        coalesce(vec![period_end().call(end).lt_eq(col("as_of")), lit(false)])
    }

    /// A row for every cohort and period, or bracket; with what a curve pools where it is for one.
    pub fn cells(&self, call: &Call, form: Form) -> datafusion::error::Result<LogicalPlan> {
        let (rows, names): (Vec<Vec<Expr>>, &[&str]) = if self.brackets.is_empty() {
            ((0..=self.periods).map(|period| vec![lit(period)]).collect(), &["period"])
        } else {
            let row = |(at, (from, to)): (i64, &(i64, i64))| vec![lit(*to), lit(label(*from, *to)), lit(at)];
            ((1..).zip(&self.brackets).map(row).collect(), &["period", "bracket", "cell"])
        };
        let names = (1..).zip(names).map(|(at, name)| col(format!("column{at}")).alias(*name));
        let periods = LogicalPlanBuilder::values(rows)?.project(names)?.build()?;
        let reach = self.reach.row(call, &self.roles)?;

        let place = if self.brackets.is_empty() { col("period") + lit(1i64) } else { col("cell") };
        let retained = array_element(col("cells"), place.clone());
        let mut output: Vec<Expr> = self.by.iter().map(|b| unkeyed(&b.name)).collect();
        output.extend([unkeyed("cohort"), col("size"), col("period")]);
        output.extend((!self.brackets.is_empty()).then(|| col("bracket")));
        output.extend([
            retained.clone().alias("retained"),
            (cast(retained, DataType::Float64) / cast(col("size"), DataType::Float64)).alias("rate"),
            self.complete(col("period")).alias("complete"),
        ]);
        match &self.value {
            Some(value) if form == Form::Curve => output.extend(value.parts(place)),
            Some(value) => {
                for name in value.columns() {
                    output.push(value.column(name, place.clone(), col("size"))?.alias(*name));
                }
            }
            None => {}
        }
        self.cohorts(call)?.cross_join(periods)?.cross_join(reach)?.project(output)?.build()
    }

    /// A row for every cohort, with a column for every period or bracket.
    pub fn triangle(&self, call: &Call) -> datafusion::error::Result<LogicalPlan> {
        let columns: Vec<(String, i64)> = if self.brackets.is_empty() {
            (0..=self.periods).map(|period| (format!("period_{period}"), period)).collect()
        } else {
            self.brackets.iter().map(|(from, to)| (format!("period_{}", label(*from, *to)), *to)).collect()
        };
        let mut output: Vec<Expr> = self.by.iter().map(|b| unkeyed(&b.name)).collect();
        output.extend([unkeyed("cohort"), col("size")]);
        for (at, (name, period)) in (1i64..).zip(columns) {
            let retained = array_element(col("cells"), lit(at));
            let shown = match (self.show, &self.value) {
                ("retained", _) => retained,
                (show, Some(value)) if show != "rate" => value.column(show, lit(at), col("size"))?,
                _ => cast(retained, DataType::Float64) / cast(col("size"), DataType::Float64),
            };
            output.push(when(self.complete(lit(period)), shown).end()?.alias(name));
        }
        let reach = self.reach.row(call, &self.roles)?;
        self.cohorts(call)?.cross_join(reach)?.project(output)?.sort(self.order(&["cohort"]))?.build()
    }

    /// Sums over complete cells.
    pub fn curve(&self, cells: LogicalPlan) -> datafusion::error::Result<LogicalPlan> {
        let bracket = || (!self.brackets.is_empty()).then(|| col("bracket"));
        let keys = || self.by().chain([col("period")]).chain(bracket());
        let complete = |what: &str| {
            let pooled = sum(col(what)).filter(col("complete")).build()?;
            Ok::<_, datafusion::error::DataFusionError>(pooled.alias(what))
        };
        let or_zero = |what: &str| coalesce(vec![col(what), lit(0i64)]);
        let share = cast(or_zero("retained"), DataType::Float64) / cast(col("size"), DataType::Float64);
        let rate = when(or_zero("size").gt(lit(0i64)), share).end()?;
        let mut output: Vec<Expr> = self.by.iter().map(|b| unkeyed(&b.name)).collect();
        output.push(col("period"));
        output.extend(bracket());
        output.extend([
            or_zero("size").alias("eligible"),
            or_zero("retained").alias("retained"),
            rate.alias("rate"),
            wilson_low().call(vec![or_zero("retained"), or_zero("size")]).alias("low"),
            wilson_high().call(vec![or_zero("retained"), or_zero("size")]).alias("high"),
        ]);
        let mut sums = vec![complete("size")?, complete("retained")?];
        if let Some(value) = &self.value {
            sums.extend(value.sums()?);
            output.extend(value.pooled(or_zero("size"))?);
        }
        LogicalPlanBuilder::from(cells).aggregate(keys(), sums)?.project(output)?.sort(self.order(&["period"]))?.build()
    }

    pub fn order(&self, last: &[&str]) -> Vec<SortExpr> {
        self.by().chain(last.iter().map(|c| col(*c))).map(|c| c.sort(true, true)).collect()
    }
}
