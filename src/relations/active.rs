//! The arguments of relations about active periods, and the plan up to one row for each user: `engagement`, `stickiness`,
//! `streaks`.
//!
//! Does not deal with: what a relation makes of the periods, nor with births (`lifecycle`).

use datafusion::common::ScalarValue;
use datafusion::functions::core::expr_ext::FieldAccessor;
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, lit};

use super::call::{Breakdown, Call, column};
use super::reach::Reach;
use super::roles::{Roles, declared};
use crate::algo::calendar::{Clock, Unit, WEEKDAYS};
use crate::error::{Result, suggest};
use crate::functions::ArgumentDoc;
use crate::functions::columns::clock_of;
use crate::functions::lifecycle::{calendar, user_lifecycle};

/// What is known of a user, under a name that the input's columns do not have: the user column may well be called `user`.
const USER: &str = "(user)";
/// The list of a user's active periods.
pub const PERIODS: &str = "(periods)";

/// What makes a user active.
pub const ACTIVE: ArgumentDoc = ArgumentDoc {
    name: "active",
    kind: "event name or condition",
    default: Some("any event"),
    text: "What makes a user active.",
};
/// A breakdown by the events' own values.
pub const BY: ArgumentDoc = ArgumentDoc {
    name: "by",
    kind: "column or list",
    default: Some("nothing"),
    text: "Breaks the answer down by the value of the events: the rows of a value are the answer over its events alone.",
};
/// How far the data reach.
pub const AS_OF: ArgumentDoc = ArgumentDoc {
    name: "as_of",
    kind: "TIMESTAMP or DATE",
    default: Some("the largest time"),
    text: "How far the data reach; what comes later is not looked at. A DATE is the midnight in `tz` with which it begins: everything before that day.",
};
/// The time zone of the calendar.
pub const TZ: ArgumentDoc =
    ArgumentDoc { name: "tz", kind: "TEXT", default: Some("'UTC'"), text: "IANA time zone of the calendar." };
/// The day on which weeks start.
pub const WEEK_START: ArgumentDoc =
    ArgumentDoc { name: "week_start", kind: "TEXT", default: Some("'monday'"), text: "The day on which weeks start." };

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
    pub fn read(call: &mut Call, unit: Option<&str>, by: bool, taken: &[&str]) -> Result<Self> {
        let roles = Roles::of(call)?;
        let options = call.options();
        let active = call.condition("active")?.map(|c| roles.condition(call, &c)).transpose()?;
        let zone = call.text("tz")?.unwrap_or(options.time_zone);
        let (unit, week_start) = match unit {
            Some(unit) => (unit.to_string(), "monday".to_string()),
            None => {
                let unit = call.choice("unit", &Unit::NAMES, "day")?;
                let week_start = match call.text("week_start")? {
                    Some(_) if unit != "week" => return Err(call.error("argument 'week_start' needs unit => 'week'")),
                    Some(day) => day.to_lowercase(),
                    None => options.week_start.to_lowercase(),
                };
                (unit.to_string(), week_start)
            }
        };
        if !WEEKDAYS.contains(&week_start.as_str()) {
            let help = suggest(&week_start, WEEKDAYS);
            return Err(call.error(format!("argument 'week_start' cannot be '{week_start}'; {help}")));
        }
        calendar(call.name(), &unit, &zone, &week_start, clock_of(&roles.time_type).unwrap_or(Clock::Dates))?;
        let by = if by { call.breakdowns("by")? } else { Vec::new() };
        call.refuse_names(&by, taken)?;
        let reach = Reach::read(call, &roles, &zone)?;
        Ok(Self { roles, active, words: [unit, zone, week_start], by, reach })
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

    /// A row for each user (and value): the breakdown columns, with `users` the user column under its own name, and [`PERIODS`].
    pub fn per_user(&self, call: &Call, users: bool) -> datafusion::error::Result<LogicalPlan> {
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
            .filter(self.takes_part())?
            .aggregate(keys, [user_lifecycle().call(arguments).alias(USER)])?
            .project(user.into_iter().chain(self.keys()).chain([column(USER).field("periods").alias(PERIODS)]))?
            .build()
    }
}
