//! `FROM lifecycle(...)`: who is new, who returns, who is resurrected and who goes dormant, period by period.

use arrow::datatypes::DataType;
use datafusion::common::{Column, NullHandling, ScalarValue, UnnestOptions};
use datafusion::functions::core::expr_ext::FieldAccessor;
use datafusion::functions::core::expr_fn::named_struct;
use datafusion::functions_aggregate::min_max::{max_udaf, min_udaf};
use datafusion::functions_aggregate::sum::sum_udaf;
use datafusion::logical_expr::expr::WindowFunction;
use datafusion::logical_expr::{
    Expr, ExprFunctionExt, ExprSchemable, LogicalPlan, LogicalPlanBuilder, WindowFrame, cast, col, lit, when,
};

use super::Relation;
use super::argument::{Argument, Kind, docs};
use super::call::{Breakdown, Call};
use super::expressions::{column, over_all, unkeyed};
use super::reach::Reach;
use super::roles::Roles;
use super::shared::{AS_OF, BY, TZ, UNIT, WEEK_START, week_start, with_roles, zone};
use crate::algo::calendar::Clock;
use crate::error::{Error, Result};
use crate::functions::columns::clock_of;
use crate::functions::lifecycle::{MAX_INACTIVE, calendar, inactivity_counts, lifecycle_counts, user_lifecycle};
use crate::functions::period::{period_reached, period_rows};
use crate::functions::{FunctionDoc, FunctionKind};

/// The relation.
#[derive(Debug)]
pub struct Lifecycle;

const ACTIVE: Argument =
    Argument::optional("active", Kind::Condition, "any event", "What makes a user active in a period.");
const BIRTH: Argument = Argument::optional(
    "birth",
    Kind::MomentColumn,
    "the first activity",
    "When the user was born, such as the time of the signup; the earliest of the user's values counts.",
);

const INACTIVE_AFTER: Argument = Argument::optional(
    "inactive_after",
    Kind::Days,
    "a period without an activity",
    "How many days without an activity make a user dormant, whatever periods of the calendar they lie in.",
);

impl Relation for Lifecycle {
    fn arguments(&self) -> Vec<Argument> {
        let by = BY.meaning("Breaks the answer down by the value at the first activity.");
        with_roles(&[ACTIVE, UNIT, INACTIVE_AFTER, BIRTH, by, AS_OF, TZ, WEEK_START])
    }

    fn doc(&self) -> FunctionDoc {
        FunctionDoc {
            name: "lifecycle",
            kind: FunctionKind::Relation,
            summary: "How many users are new, returning, resurrected and dormant in every period",
            syntax: "lifecycle(table [, active => ..], unit => 'week' [, birth => ..] [, by => ..])",
            arguments: docs(&self.arguments()),
            returns: vec![
                ("by ..", "The breakdown columns, under their own names."),
                ("period DATE", "First local date of the period."),
                ("active BIGINT", "Users with an activity in it: new + returning + resurrected."),
                ("new BIGINT", "Active, and born in it."),
                ("returning BIGINT", "Active, and active in the period before (alive at its end)."),
                (
                    "resurrected BIGINT",
                    "Active, not active in the period before (not alive at its end), and born earlier.",
                ),
                ("dormant BIGINT", "Active in the period before, and not in this one (no longer alive at its end)."),
                ("alive BIGINT", "Only with `inactive_after`: users who are not dormant at the end of it."),
                ("quick_ratio DOUBLE", "(new + resurrected) / dormant; NULL where nobody is dormant."),
                ("complete BOOLEAN", "Whether the period has ended at `as_of`."),
            ],
            text: TEXT,
            example: "SELECT period, active, new, \"returning\", resurrected, dormant, round(quick_ratio, 2) AS quick_ratio, complete\nFROM lifecycle(events, unit => 'month')",
        }
    }

    fn plan(&self, call: &mut Call) -> Result<LogicalPlan> {
        let question = LifecycleCall::read(call)?;
        question.plan(call).map_err(Error::from)
    }
}

/// The columns of the answer, which `by` columns must not be called like.
const RESERVED: [&str; 9] =
    ["period", "active", "new", "returning", "resurrected", "dormant", "quick_ratio", "complete", "alive"];
/// Names that columns have on the way.
const INNER: [&str; 10] =
    ["born", "periods", "counts", "first", "last", "first_here", "last_here", "as_of", "row", "reached"];

/// What is known of a user, under a name that the input's columns do not have: the user column may well be called `user`.
const LIFE: &str = "user lifecycle";

/// A call, read and checked.
struct LifecycleCall {
    roles: Roles,
    active: Option<Expr>,
    birth: Option<Expr>,
    /// Unit, time zone and week start.
    words: [String; 3],
    /// Days without an activity after which a user is dormant.
    inactive_after: Option<i64>,
    by: Vec<Breakdown>,
    reach: Reach,
}

impl LifecycleCall {
    fn read(call: &mut Call) -> Result<Self> {
        let roles = Roles::of(call)?;
        let active = call.condition(&ACTIVE)?.map(|c| roles.condition(call, &c)).transpose()?;
        let unit = call.choice(&UNIT)?;
        let zone = zone(call)?;
        if call.given(&WEEK_START) && unit != "week" {
            return Err(call.error("argument 'week_start' needs unit => 'week'"));
        }
        let week_start = week_start(call)?;
        calendar(call.name(), unit, &zone, week_start, clock_of(&roles.time_type).unwrap_or(Clock::Dates))?;
        let birth = match call.column(&BIRTH)? {
            Some(birth) => Some(instant_column(call, birth)?),
            None => None,
        };
        let inactive_after = call.days(&INACTIVE_AFTER, MAX_INACTIVE)?;
        let by = call.breakdowns(&BY)?;
        call.refuse_names(&by, &RESERVED)?;
        call.refuse_names(&by, &INNER)?;
        let reach = Reach::read(call, &roles, &zone)?;
        Ok(Self {
            roles,
            active,
            birth,
            inactive_after,
            words: [unit.to_string(), zone, week_start.to_string()],
            by,
            reach,
        })
    }

    fn words(&self) -> impl Iterator<Item = Expr> {
        self.words.iter().map(|word| lit(word.as_str()))
    }

    /// The same calendar in days.
    fn day_words(&self) -> impl Iterator<Item = Expr> {
        ["day", self.words[1].as_str(), "monday"].map(lit).into_iter()
    }

    fn plan(&self, call: &Call) -> datafusion::error::Result<LogicalPlan> {
        let roles = &self.roles;
        let mut takes_part = roles.known();
        if let Some(active) = &self.active {
            takes_part = takes_part.and(active.clone());
        }
        if let Some(looked_at) = self.reach.looked_at() {
            takes_part = takes_part.and(looked_at);
        }
        let mut arguments = vec![roles.time.clone(), self.birth.clone().unwrap_or_else(|| lit(ScalarValue::Null))];
        match self.inactive_after {
            Some(_) => arguments.extend(self.day_words()),
            None => arguments.extend(self.words()),
        }
        if !self.by.is_empty() {
            let kept = self.by.iter().flat_map(|b| [lit(b.name.as_str()), b.value.clone()]);
            arguments.push(named_struct(kept.collect()));
        }

        // Users, then the counts of each breakdown.
        let by = || self.by.iter().map(|b| column(&b.name));
        let value = |b: &Breakdown| column(LIFE).field("kept").field(b.name.as_str()).alias(b.name.as_str());
        let users = LogicalPlanBuilder::from(call.input().clone())
            .filter(takes_part)?
            .aggregate([roles.user.clone()], [user_lifecycle().call(arguments).alias(LIFE)])?
            .project(
                (self.by.iter().map(value)).chain(["born", "periods"].map(|part| column(LIFE).field(part).alias(part))),
            )?;
        let counted = match self.inactive_after {
            None => {
                let counts = lifecycle_counts().call(vec![col("born"), col("periods")]);
                users.aggregate(by(), [counts.alias("counts")])?
            }
            Some(days) => {
                let mut reached = vec![col("as_of")];
                reached.extend(self.day_words());
                let reached = LogicalPlanBuilder::from(self.reach.row(call, roles)?)
                    .project([period_reached().call(reached).field("ended").alias("reached")])?
                    .build()?;
                let mut counts = vec![col("born"), col("periods"), col("reached"), lit(days)];
                counts.extend(self.words());
                users.cross_join(reached)?.aggregate(by(), [inactivity_counts().call(counts).alias("counts")])?
            }
        };

        // All breakdowns have the same periods: from the first activity of any to the reach of the data.
        let end = |name: &str| col("counts").field(name);
        let counted = if self.by.is_empty() {
            counted.project([col("counts"), end("first").alias("first"), end("last").alias("last")])?
        } else {
            counted
                .project(by().chain([col("counts"), end("first").alias("first_here"), end("last").alias("last_here")]))?
                .window([
                    over_all(min_udaf(), vec![col("first_here")]).alias("first"),
                    over_all(max_udaf(), vec![col("last_here")]).alias("last"),
                ])?
        };
        let dated = match self.reach.constant() {
            Some(as_of) => {
                counted.project(by().chain([col("counts"), col("first"), col("last"), as_of.alias("as_of")]))?
            }
            None => counted.cross_join(self.reach.row(call, roles)?)?,
        };

        let mut rows = vec![end("periods"), col("first"), col("last"), col("as_of")];
        rows.extend(self.words());
        let row = |name: &str| col("row").field(name);
        let gained = cast(row("new") + row("resurrected"), DataType::Float64);
        let quick_ratio = when(row("dormant").gt(lit(0i64)), gained / cast(row("dormant"), DataType::Float64)).end()?;
        let mut output: Vec<Expr> = self.by.iter().map(|b| unkeyed(&b.name)).collect();
        let active = row("new") + row("returning") + row("resurrected");
        output.extend([row("period").alias("period"), active.alias("active")]);
        output.extend(RESERVED[2..6].iter().map(|name| row(name).alias(*name)));
        let rows = dated.project(by().chain([period_rows().call(rows).alias("row")]))?.unnest_column_with_options(
            Column::from_name("row"),
            UnnestOptions::new().with_null_handling(NullHandling::Drop),
        )?;
        let rows = if self.inactive_after.is_some() {
            // Who came so far without those who went.
            let change = row("new") + row("resurrected") - row("dormant");
            let so_far = Expr::from(WindowFunction::new(sum_udaf(), vec![change]))
                .partition_by(by().collect())
                .order_by(vec![row("period").sort(true, true)])
                .window_frame(WindowFrame::new(Some(false)))
                .build()?;
            output.push(col("alive"));
            rows.window([so_far.alias("alive")])?
        } else {
            rows
        };
        output.extend([quick_ratio.alias("quick_ratio"), row("complete").alias("complete")]);
        let order = by().chain([col("period")]).map(|c| c.sort(true, true));
        rows.project(output)?.sort(order.collect::<Vec<_>>())?.build()
    }
}

/// The given birth, which must be a moment.
fn instant_column(call: &Call, birth: Expr) -> Result<Expr> {
    match birth.get_type(call.schema()).map_err(Error::from)? {
        DataType::Timestamp(_, _) | DataType::Date32 | DataType::Date64 => Ok(birth),
        other => Err(call.error(format!("argument 'birth' ({birth}) must be a TIMESTAMP or DATE, got {other}"))),
    }
}

const TEXT: &str = "\
Every period from the first with an activity to the one that holds `as_of` has a row, zeros included, and all `by` values \
have the same periods. In every row active = new + returning + resurrected, and active is the active of the row before + new \
+ resurrected - dormant. A user who stays away is dormant once, in the first period without an activity.

The data reach to `as_of`, or to their largest time, of which a warning says so if it lies in the future: one wrong clock \
would make every period look over. The last period has usually not ended: some who will still come count as dormant there, so it has `complete = false` and does \
not compare with the others. A period of timestamps has ended when the data reach the first instant after it; a period of \
dates, when they reach its last date.

With `inactive_after => INTERVAL '30 days'` a user is alive as long as the last activity is less than 30 local days ago, so periods may \
be longer or shorter than that. Somebody active is new in the period of the birth, returning where alive at the end of the period \
before, and else resurrected; whoever was alive then or is active, and is no longer alive at the end of the period, is dormant in it. So \
active = new + returning + resurrected here too, and alive is the alive of the row before + new + resurrected - dormant. A period that \
has not ended is looked at as of its last day that is over. `INTERVAL '1 day'` with unit `day` gives the rows without the argument, but for a day that has not ended.

A user is born with the first activity. With `birth`, somebody born before the period of the first activity is resurrected \
in it; a birth that is NULL or later than the first activity counts as the first activity, since nobody is active before \
being born. A `birth` of type DATE is a local date, of type TIMESTAMP an instant. Rows whose user or time is NULL take no \
part; of tied first activities the least `by` value counts, NULL before all others. At most 10,000 periods are reported.

`RETURNING` is a word of SQL: in a list of columns write `\"returning\"` or `l.returning`.";
