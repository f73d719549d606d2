//! `FROM profile(...)`: everything about one user on one page.
//!
//! Deals with: the arguments, the rows of the page. The plans below them are in `parts`. Does not deal with: what a session, a day or
//! a lifecycle is; scores that need everybody's data (`rfm`, `churn_scores`).

mod parts;

use arrow::datatypes::DataType;
use datafusion::common::ScalarValue;
use datafusion::logical_expr::{Expr, ExprSchemable, LogicalPlan, lit};

use super::Relation;
use super::argument::{Argument, Kind, docs};
use super::call::{Breakdown, Call, shown};
use super::lifecycle_states::CHURNED_AFTER;
use super::measure::Measure;
use super::reach::Reach;
use super::roles::Roles;
use super::shared::{AS_OF, GAP, TZ, UNIT, WEEK_START, week_start, with_roles, zone};
use crate::algo::calendar::{Clock, WEEKDAYS};
use crate::error::{Error, Result};
use crate::functions::columns::clock_of;
use crate::functions::lifecycle::calendar;
use crate::functions::session::rules::{Constants, limit_ticks};
use crate::functions::{FunctionDoc, FunctionKind};

/// The relation.
#[derive(Debug)]
pub struct Profile;

const ID: Argument = Argument::needed("id", Kind::Constant, "Whose page it is: a value of the user column.");
const VALUE: Argument =
    Argument::optional("value", Kind::NumberColumn, "nothing", "What an order is worth; NULL is 0.");
const ORDER: Argument = Argument::optional(
    "order",
    Kind::Condition,
    "'purchase'",
    "Which rows are orders; every row where there is no event column. Needs `value`.",
);
const BY: Argument =
    Argument::optional("by", Kind::Columns, "nothing", "Properties of which the last known value is shown.");

impl Relation for Profile {
    fn arguments(&self) -> Vec<Argument> {
        let unit = UNIT.meaning("`day`, `week`, `month`, `quarter` or `year`: the period of the lifecycle state.");
        let tz = TZ.meaning("IANA time zone of dates, hours and the times that are shown.");
        with_roles(&[ID, VALUE, ORDER, BY, GAP, unit, CHURNED_AFTER, AS_OF, tz, WEEK_START])
    }

    fn doc(&self) -> FunctionDoc {
        FunctionDoc {
            name: "profile",
            kind: FunctionKind::Relation,
            summary: "Everything about one user on one page: activity, lifecycle, sessions, orders, events, habits, properties",
            syntax: "profile(table, id => 'u1' [, value => price] [, by => [country, platform]] [, as_of => ..] [, tz => ..])",
            arguments: docs(&self.arguments()),
            returns: vec![
                (
                    "section TEXT",
                    "`user`, `activity`, `lifecycle`, `sessions`, `orders`, `events`, `hours`, `weekdays`, `properties`, in this order.",
                ),
                ("name TEXT", "What is told; of events, hours and weekdays the value itself."),
                ("value TEXT", "The answer as text; times as ISO 8601 in `tz`. NULL where there is none."),
            ],
            text: TEXT,
            example: "SELECT * FROM profile(events, id => 42, value => price, by => [country, platform], as_of => DATE '2025-07-01', tz => 'Europe/Berlin')",
        }
    }

    fn plan(&self, call: &mut Call) -> Result<LogicalPlan> {
        let roles = Roles::of(call)?;
        let Some(given) = call.value(&ID)? else { return Err(call.required(&ID)) };
        let id = id_of(call, &roles, &given)?;
        let zone = zone(call)?;
        let clock = clock_of(&roles.time_type).unwrap_or(Clock::Dates);
        let unit = call.choice(&UNIT)?;
        if call.given(&WEEK_START) && unit != "week" {
            return Err(call.error("argument 'week_start' needs unit => 'week'"));
        }
        let week_start = week_start(call)?;
        calendar(call.name(), unit, &zone, week_start, clock)?;
        let reach = Reach::read(call, &roles, &zone)?;
        let gap = call.span(&GAP)?;
        let sessions = Constants::of_gap(limit_ticks(call.name(), "gap", &gap, clock, false)?);
        let churned_after = call.whole(&CHURNED_AFTER)?;
        let orders = match Measure::read(call, &VALUE)? {
            Some(value) => {
                let order = match (call.condition(&ORDER)?, &roles.event) {
                    (Some(condition), _) => roles.condition(call, &condition)?,
                    // Nobody asked for this name: a user of a shop without purchases has no orders, which is not an error.
                    (None, Some(event)) => event.clone().eq(lit("purchase")),
                    (None, None) => lit(true),
                };
                Some(Orders { value, order })
            }
            None if call.given(&ORDER) => return Err(call.error("argument 'order' needs 'value'")),
            None => None,
        };
        let by = call.breakdowns(&BY)?;
        for property in &by {
            let data_type = property.value.get_type(call.schema())?;
            if data_type.is_nested() {
                return Err(call.error(format!(
                    "argument 'by': '{}' is of type {data_type}, which has no order and no text",
                    property.name
                )));
            }
        }
        let words = [unit, &zone, week_start].map(str::to_string);
        let page = Page { roles, id, words, clock, reach, sessions, churned_after, orders, by };
        page.compose(call).map_err(Error::from)
    }
}

/// What an order is.
struct Orders {
    value: Measure,
    order: Expr,
}

/// A call, read and checked.
struct Page {
    roles: Roles,
    id: ScalarValue,
    /// Unit, time zone and week start.
    words: [String; 3],
    clock: Clock,
    reach: Reach,
    sessions: Constants,
    churned_after: i64,
    orders: Option<Orders>,
    by: Vec<Breakdown>,
}

impl Page {
    /// The three words of a calendar of days.
    fn days(&self) -> [Expr; 3] {
        [lit("day"), lit(self.words[1].as_str()), lit(WEEKDAYS[0])]
    }

    fn zone(&self) -> Expr {
        lit(self.words[1].as_str())
    }
}

/// The id as a value of the user column, to be compared without a cast of the column: files are skipped by it.
fn id_of(call: &Call, roles: &Roles, given: &ScalarValue) -> Result<ScalarValue> {
    let mut wanted = roles.user.get_type(call.schema())?;
    if let DataType::Dictionary(_, value) = wanted {
        wanted = *value;
    }
    let wrong = |why: String| call.error(format!("argument 'id' {why}, got {}", shown(given)));
    if given.is_null() {
        return Err(wrong("must be a value of the user column".to_string()));
    }
    let text = given.try_as_str().flatten();
    let of_text = matches!(wanted, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View);
    if of_text && text.is_none() {
        return Err(wrong(format!("must be text in quotes, as the users of column '{}' are", roles.user_name)));
    }
    let refused = || wrong(format!("must be a value of the user column '{}' ({wanted})", roles.user_name));
    let id = given.cast_to(&wanted).ok().filter(|id| !id.is_null()).ok_or_else(refused)?;
    // 1.5 is no whole number, and '007' none that would be written so.
    let back = id.cast_to(&given.data_type()).ok();
    if back.as_ref() != Some(given) {
        return Err(refused());
    }
    Ok(id)
}

const TEXT: &str = "\
The sections, each with its rows in this order:

| section | rows |
|---|---|
| `user` | the user column's name, and the id |
| `activity` | `first_seen`, `last_seen`, `as_of`, `days_since_last` (local dates from the last event to `as_of`), `active_days` (local dates with an event), `events` |
| `lifecycle` | `state`: `new`, `active`, `at_risk` or `churned`, as in `lifecycle_states`, in the period that `as_of` lies in (exactly at the beginning of a period: the one before, unless the user has an event at that very instant) |
| `sessions` | `sessions`, `median_seconds`: as `sessions` cuts them by `gap` |
| `orders` | with `value`: `orders`, `sum`, `mean`, `last` (the last known one) and `last_at` |
| `events` | events by name: the ten most frequent, and `(other)`; where there is an event column |
| `hours` | the three hours of the day with most events; not of a DATE column |
| `weekdays` | the three weekdays with most events |
| `properties` | with `by`: the last known (not NULL) value of each; of several at the same time the greatest |

Of equally many the name that comes first is first, of hours and weekdays the earlier one. Sums are exact, of doubles rounded once. Rows whose time is NULL take no part. A user without an event, or without one up to `as_of`, is an error. \
RFM and churn scores rank a user among all others, which takes everybody's events: `rfm` and `churn_scores` have them.

Cost: five scans of the rows of one user. Of Parquet and managed tables that are ordered by user, only the parts of files that may hold the user are read; without `as_of`, \
the largest time is taken from the footers or the log, or else from a scan of the time column. Memory: the user's events.";
