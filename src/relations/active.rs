//! The arguments of relations about active periods, and the plan up to one row for each user: `engagement`, `stickiness`,
//! `streaks`, `lifecycle_states`.
//!
//! Does not deal with: what a relation makes of the periods, nor with births (`lifecycle`).

use datafusion::common::ScalarValue;
use datafusion::functions::core::expr_ext::FieldAccessor;
use datafusion::functions::core::expr_fn::{greatest, named_struct};
use datafusion::functions_aggregate::expr_fn::max;
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, col, lit};

use super::argument::{Argument, Kind};
use super::call::{Breakdown, Call};
use super::expressions::column;
use super::reach::Reach;
use super::roles::{Roles, declared};
use super::shared::{BY, WEEK_START, week_start, zone};
use crate::algo::calendar::{Clock, Unit, WEEKDAYS};
use crate::error::Result;
use crate::functions::columns::clock_of;
use crate::functions::lifecycle::{calendar, user_lifecycle};
use crate::functions::period::{Recent, period_number, period_reached, recent};

/// What is known of a user, under a name that the input's columns do not have: the user column may well be called `user`.
const USER: &str = "(user)";
/// The list of a user's active periods.
pub const PERIODS: &str = "(periods)";

/// What makes a user active.
pub const ACTIVE: Argument = Argument::optional("active", Kind::Condition, "any event", "What makes a user active.");

/// What a breakdown means here.
pub const BY_EVENTS: &str =
    "Breaks the answer down by the value of the events: the rows of a value are the answer over its events alone.";

/// Periods of the calendar.
pub const DAY_UNIT: Argument =
    Argument::with_default("unit", Kind::Word(&Unit::NAMES), "'day'", "`day`, `week`, `month`, `quarter` or `year`.");

/// A call, read and checked.
pub struct ActivePeriods {
    pub roles: Roles,
    active: Option<Expr>,
    /// Unit, time zone and week start.
    words: [String; 3],
    pub by: Vec<Breakdown>,
    pub reach: Reach,
}

impl ActivePeriods {
    /// Reads what these relations share. `unit` is that of a relation that counts days alone; `taken` are the names that
    /// the relation's own columns have.
    pub fn read(call: &mut Call, unit: Option<&'static str>, by: bool, taken: &[&str]) -> Result<Self> {
        let roles = Roles::of(call)?;
        let active = call.condition(&ACTIVE)?.map(|c| roles.condition(call, &c)).transpose()?;
        let zone = zone(call)?;
        let (unit, week_start) = match unit {
            Some(unit) => (unit, WEEKDAYS[0]),
            None => {
                let unit = call.choice(&DAY_UNIT)?;
                if call.given(&WEEK_START) && unit != "week" {
                    return Err(call.error("argument 'week_start' needs unit => 'week'"));
                }
                (unit, week_start(call)?)
            }
        };
        calendar(call.name(), unit, &zone, week_start, clock_of(&roles.time_type).unwrap_or(Clock::Dates))?;
        let by = if by { call.breakdowns(&BY)? } else { Vec::new() };
        call.refuse_names(&by, taken)?;
        let reach = Reach::read(call, &roles, &zone)?;
        Ok(Self { roles, active, words: [unit.to_string(), zone, week_start.to_string()], by, reach })
    }

    /// Unit, time zone and week start, as constants.
    pub fn words(&self) -> impl Iterator<Item = Expr> {
        self.words.iter().map(|word| lit(word.as_str()))
    }

    /// The breakdown columns.
    pub fn keys(&self) -> impl Iterator<Item = Expr> {
        self.by.iter().map(|b| column(&b.name))
    }

    /// Which rows take part.
    pub fn takes_part(&self) -> Expr {
        let mut takes_part = self.roles.known();
        if let Some(active) = &self.active {
            takes_part = takes_part.and(active.clone());
        }
        if let Some(looked_at) = self.reach.looked_at() {
            takes_part = takes_part.and(looked_at);
        }
        takes_part
    }

    /// How many periods ago the one to compare with a year ago lies; of days and weeks such that weekdays meet.
    pub fn periods_of_a_year(&self) -> i64 {
        match self.words[0].as_str() {
            "day" => 364,
            "week" => 52,
            "month" => 12,
            "quarter" => 4,
            _ => 1,
        }
    }

    /// Which rows may lie in the last `periods` periods up to the reach, or, of 0 periods, at its very end. True of all where that is
    /// not known before they are read.
    fn may_be_recent(&self, periods: i64) -> Expr {
        let time = || self.roles.time.clone();
        let asked = Recent { periods, words: self.words.clone() };
        match self.reach.as_of() {
            Some(as_of) => asked.earliest(as_of).map_or(lit(true), |earliest| time().gt_eq(lit(earliest))),
            None => recent(time(), &asked),
        }
    }

    /// A row for each user (and value): the breakdown columns, with `users` the user column under its own name, and [`PERIODS`].
    pub fn per_user(&self, call: &Call, users: bool) -> datafusion::error::Result<LogicalPlan> {
        self.per_user_of(call, self.takes_part(), users)
    }

    fn per_user_of(&self, call: &Call, rows: Expr, users: bool) -> datafusion::error::Result<LogicalPlan> {
        let roles = &self.roles;
        let mut arguments = vec![roles.time.clone(), lit(ScalarValue::Null)];
        arguments.extend(self.words());
        // The user comes first: rows that are ordered by user are grouped as they come.
        let user = match users {
            true => roles.user.clone().alias_with_metadata(roles.user_name.as_str(), declared("user")),
            false => roles.user.clone().alias("(user key)"),
        };
        let keys = std::iter::once(user).chain(self.by.iter().map(|b| b.value.clone().alias(b.name.as_str())));
        let user = users.then(|| column(&roles.user_name));
        LogicalPlanBuilder::from(call.input().clone())
            .filter(rows)?
            .aggregate(keys, [user_lifecycle().call(arguments).alias(USER)])?
            .project(user.into_iter().chain(self.keys()).chain([column(USER).field("periods").alias(PERIODS)]))?
            .build()
    }

    /// The same with a column `reached` beside each: the last period that the data reach into, or that has an activity, and the last that
    /// has ended. Where only the `last` so many periods are asked for, those before may be left out.
    pub fn users_and_reach(
        &self,
        call: &Call,
        users: bool,
        last: Option<i64>,
    ) -> datafusion::error::Result<LogicalPlanBuilder> {
        let mut reached = vec![col("as_of")];
        reached.extend(self.words());
        let mut reach = LogicalPlanBuilder::from(self.reach.row(call, &self.roles)?);
        let mut reached = vec![
            lit("reached"),
            period_reached().call(reached.clone()).field("reached"),
            lit("ended"),
            period_reached().call(reached).field("ended"),
        ];
        // An activity at the very instant with which a period begins lies in it: one at the end of the data, then, or no other matters.
        if !self.reach.is_before_a_date() {
            let mut number = vec![col("(last)")];
            number.extend(self.words());
            reach = reach.cross_join(
                LogicalPlanBuilder::from(call.input().clone())
                    .filter(self.takes_part().and(self.may_be_recent(0)))?
                    .aggregate(Vec::<Expr>::new(), [max(self.roles.time.clone()).alias("(last)")])?
                    .build()?,
            )?;
            reached[1] = greatest(vec![reached[1].clone(), period_number().call(number)]);
        }
        let reach = reach.project([named_struct(reached).alias("reached")])?.build()?;
        let mut rows = self.takes_part();
        if let Some(periods) = last {
            rows = rows.and(self.may_be_recent(periods));
        }
        LogicalPlanBuilder::from(self.per_user_of(call, rows, users)?).cross_join(reach)
    }
}
