//! The arguments of every relation about sessions, read in the same words.
//!
//! Deals with: what can be said of sessions, how it goes into the one aggregate below all of them, and the plan up to a
//! row for each session or view. Does not deal with: what a relation makes of these rows.

use datafusion::common::{NullHandling, ScalarValue, UnnestOptions};
use datafusion::functions::core::expr_ext::FieldAccessor;
use datafusion::functions::core::expr_fn::named_struct;
use datafusion::logical_expr::{AggregateUDF, Expr, LogicalPlan, LogicalPlanBuilder, lit};

use super::argument::{Argument, Kind};
use super::call::{Breakdown, Call};
use super::expressions::{column, seconds};
use super::roles::Roles;
use super::shared::{BY, GAP, ORDER_KEY, PERIOD, TZ, WEEK_START, week_start, with_roles};
use crate::algo::calendar::{Clock, Unit, weekday};
use crate::error::Result;
use crate::functions::columns::clock_of;
use crate::functions::session::parts::{CAMPAIGN, ORDER, PAGE, by_field, first_field, last_field};
use crate::functions::session::rules::{BOUNCES, BOUNDARIES, Constants, limit_ticks, parse_boundary};

/// Who, below the answer: the input's own name for it comes back in the answer alone, and cannot clash with [`ITEM`].
pub(super) const USER: &str = "user";
/// The list of a user's sessions or views, and later an element of it.
const ITEM: &str = "session";

/// An element of the list.
pub(super) fn item() -> Expr {
    column(ITEM)
}

/// The argument that says what converts.
pub(super) const CONVERSION: Argument =
    Argument::optional("conversion", Kind::Condition, "nothing", "What makes a session converted.");
const BOUNDARY: Argument = Argument::with_default(
    "boundary",
    Kind::Word(&BOUNDARIES),
    "'exclusive'",
    "`exclusive`: a gap above the limit opens a session; `inclusive`: a gap of exactly the limit does too.",
);
const CUT_MIDNIGHT: Argument =
    Argument::with_default("cut_midnight", Kind::Switch, "false", "Whether another local date opens a session.");
const CUT_CAMPAIGN: Argument = Argument::optional(
    "cut_campaign",
    Kind::Column,
    "nothing",
    "Another value of it than the session's last known one opens a session; to a session that knows none yet, the \
     first is another. NULL is not known.",
);
const START_WHEN: Argument =
    Argument::optional("start_when", Kind::Condition, "nothing", "Such an event opens a session.");
const END_WHEN: Argument =
    Argument::optional("end_when", Kind::Condition, "nothing", "The next event after such a one opens a session.");
const MAX_LENGTH: Argument = Argument::optional(
    "max_length",
    Kind::Span,
    "unlimited",
    "An event later than this after the start opens a session.",
);
const EXCLUDE: Argument = Argument::optional(
    "exclude",
    Kind::Condition,
    "nothing",
    "Events that do not count: they neither open nor extend a session; such as `'session_start'`, where a tracker opens \
     each visit with an event without a campaign.",
);
const PAGE_ARGUMENT: Argument =
    Argument::optional("page", Kind::Column, "the event column", "What is viewed: for entry and exit.");
const VIEWS: Argument = Argument::optional(
    "views",
    Kind::Condition,
    "page IS NOT NULL",
    "Which events are page views; without a page, all.",
);
const BOUNCE: Argument = Argument::with_default(
    "bounce",
    Kind::Word(&BOUNCES),
    "'depth'",
    "`depth`: at most one view. `engaged`: also no key event, and not longer than 10 seconds.",
);
/// Where a conversion can be said, it is also what engages.
const KEY_EVENT: [Argument; 2] = {
    const HELP: &str = "What engages a user, for `bounce => 'engaged'`.";
    [
        Argument::optional("key_event", Kind::Condition, "nothing", HELP),
        Argument::optional("key_event", Kind::Condition, "the conversion", HELP),
    ]
};
const FIRST: Argument = Argument::optional(
    "first",
    Kind::Columns,
    "nothing",
    "Properties of a session: the first known (not NULL) value in it.",
);
const LAST: Argument = Argument::optional("last", Kind::Columns, "nothing", "The last known value in it.");

/// The arguments of a relation about sessions, with those of its own before `by`.
pub(super) fn arguments(own: &[Argument]) -> Vec<Argument> {
    let converts = own.iter().any(|argument| argument.name == CONVERSION.name);
    let first = [
        GAP,
        BOUNDARY,
        CUT_MIDNIGHT,
        CUT_CAMPAIGN,
        START_WHEN,
        END_WHEN,
        MAX_LENGTH,
        EXCLUDE,
        PAGE_ARGUMENT,
        VIEWS,
        BOUNCE,
        KEY_EVENT[usize::from(converts)],
    ];
    let last = [
        BY.meaning("Properties of a session: the value at its first event."),
        FIRST,
        LAST,
        ORDER_KEY.meaning("Orders events of the same time, for entry, exit, dwell, `by`, `first` and `last`."),
        TZ.meaning("IANA time zone of local dates."),
    ];
    with_roles(&[&first[..], own, &last].concat())
}

/// What a relation makes use of.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wanted {
    /// The values of pages.
    pub pages: bool,
    /// The argument `conversion`.
    pub conversion: bool,
    /// The arguments `period` and `week_start`.
    pub period: bool,
}

/// A call of one of the relations, read and checked.
pub(super) struct SessionCall {
    pub roles: Roles,
    /// The properties of a session in the order of the answer: `by`, `first`, `last`.
    pub by: Vec<Breakdown>,
    /// The name of each in the list's elements.
    fields: Vec<String>,
    pub has_conversion: bool,
    pub period: Option<Unit>,
    takes_part: Expr,
    constants: Constants,
    /// View, conversion, key event, start, end.
    conditions: [Expr; 5],
    kept: Vec<Expr>,
    /// Whether pages are known.
    pub has_page: bool,
}

impl SessionCall {
    /// Reads every argument; `output` are the columns of the answer, which `by` must not be called.
    pub(super) fn read(call: &mut Call, output: &[&str], wanted: Wanted) -> Result<Self> {
        let roles = Roles::of(call)?;
        let condition = |call: &mut Call, argument: &Argument| -> Result<Option<Expr>> {
            call.condition(argument)?.map(|c| roles.condition(call, &c)).transpose()
        };
        let start = condition(call, &START_WHEN)?;
        let end = condition(call, &END_WHEN)?;
        let exclude = condition(call, &EXCLUDE)?;
        let views = condition(call, &VIEWS)?;
        let key = condition(call, &KEY_EVENT[0])?;
        let conversion = if wanted.conversion { condition(call, &CONVERSION)? } else { None };
        let (constants, key_matters) = constants(call, &roles, wanted)?;
        if key.is_some() && !key_matters {
            return Err(call.error("argument 'key_event' has no use without bounce => 'engaged'"));
        }

        let page = call.column(&PAGE_ARGUMENT)?.or_else(|| roles.event.clone());
        let campaign = call.column(&CUT_CAMPAIGN)?;
        if campaign.as_ref().is_some_and(|c| c.column_refs().is_empty()) {
            return Err(call.error("argument 'cut_campaign' must be a column: a constant never changes"));
        }
        let order = call.column(&ORDER_KEY)?;
        let mut by = call.breakdowns(&BY)?;
        let mut fields: Vec<String> = by.iter().map(|b| by_field(&b.name)).collect();
        for (argument, field) in [(FIRST, first_field as fn(&str) -> String), (LAST, last_field)] {
            for known in call.breakdowns(&argument)? {
                if by.iter().any(|b| b.name == known.name) {
                    return Err(call.error(format!(
                        "argument '{}': '{}' is a column of the answer already; give it another name in (SELECT ..)",
                        argument.name, known.name
                    )));
                }
                fields.push(field(&known.name));
                by.push(known);
            }
        }
        call.refuse_names(&by, output)?;

        let never = || lit(false);
        let view = views.unwrap_or_else(|| page.clone().map_or_else(|| lit(true), Expr::is_not_null));
        let has_conversion = conversion.is_some();
        let key = key.or_else(|| conversion.clone()).filter(|_| key_matters);
        let conditions = [
            view,
            conversion.unwrap_or_else(never),
            key.unwrap_or_else(never),
            start.unwrap_or_else(never),
            end.unwrap_or_else(never),
        ];
        let page = page.filter(|_| wanted.pages);
        let has_page = page.is_some();
        let mut kept = Vec::new();
        // An order of values is kept where there are values.
        let order = order.filter(|_| page.is_some() || campaign.is_some() || !by.is_empty());
        for (name, value) in [(ORDER, order), (PAGE, page), (CAMPAIGN, campaign)] {
            kept.extend(value.into_iter().flat_map(|value| [lit(name), value]));
        }
        kept.extend(by.iter().zip(&fields).flat_map(|(b, field)| [lit(field.as_str()), b.value.clone()]));

        let mut takes_part = roles.known();
        if let Some(exclude) = exclude {
            takes_part = takes_part.and(exclude.is_not_true());
        }
        let period = constants.period;
        Ok(Self { roles, by, fields, has_conversion, period, takes_part, constants, conditions, kept, has_page })
    }

    /// One row for each element of a user's list: the user column and [`item`].
    pub(super) fn rows(&self, call: &Call, of_user: AggregateUDF) -> datafusion::error::Result<LogicalPlan> {
        let mut arguments = vec![self.roles.time.clone(), lit(self.constants.to_string())];
        arguments.extend(self.conditions.iter().cloned());
        if !self.kept.is_empty() {
            arguments.push(named_struct(self.kept.clone()));
        }
        LogicalPlanBuilder::from(call.input().clone())
            .filter(self.takes_part.clone())?
            .aggregate([self.roles.user.clone().alias(USER)], [of_user.call(arguments).alias(ITEM)])?
            .unnest_column_with_options(ITEM, UnnestOptions::new().with_null_handling(NullHandling::Drop))?
            .build()
    }

    /// The breakdown columns of an element, under their own names.
    pub(super) fn by_columns(&self) -> Vec<Expr> {
        let fields = self.by.iter().zip(&self.fields);
        fields.map(|(b, field)| item().field(field.as_str()).alias(b.name.as_str())).collect()
    }

    /// A page of an element; NULL where there are no pages.
    pub(super) fn page(&self, name: &str) -> Expr {
        if self.has_page { item().field(name) } else { lit(ScalarValue::Utf8View(None)) }
    }

    /// Ticks as seconds.
    pub(super) fn seconds(&self, ticks: Expr) -> Expr {
        seconds(ticks, &self.roles.time_type)
    }

    /// The median, in seconds, of ticks whose `middle` this is.
    pub(super) fn median_seconds(&self, middle: Expr) -> Expr {
        let [lower, upper] = ["lower", "upper"].map(|name| self.seconds(middle.clone().field(name)));
        (lower + upper) / lit(2f64)
    }
}

/// The constants, and whether key events matter.
fn constants(call: &mut Call, roles: &Roles, wanted: Wanted) -> Result<(Constants, bool)> {
    let name = call.name();
    let clock = clock_of(&roles.time_type).unwrap_or(Clock::Dates);
    let inclusive = parse_boundary(name, call.choice(&BOUNDARY)?)?;
    let gap = call.span(&GAP)?;
    let mut constants = Constants::of_gap(limit_ticks(name, "gap", &gap, clock, inclusive)?);
    if let Some(length) = call.interval(&MAX_LENGTH)? {
        constants.max_length = Some(limit_ticks(name, "max_length", &length, clock, false)?);
    }
    constants.midnight = call.switch(&CUT_MIDNIGHT)?;
    constants.engaged = call.choice(&BOUNCE)? == "engaged";
    if wanted.period {
        constants.period = call.chosen(&PERIOD)?.and_then(Unit::parse);
        if call.given(&WEEK_START) && constants.period != Some(Unit::Week) {
            return Err(call.error("argument 'week_start' has no use without period => 'week'"));
        }
        constants.week_start = weekday(week_start(call)?).unwrap_or(0);
    }
    let calendar = constants.midnight || constants.period.is_some();
    constants.zone = match call.text(&TZ)? {
        Some(zone) if calendar => zone,
        Some(_) => {
            let with = if wanted.period { "period or cut_midnight => true" } else { "cut_midnight => true" };
            return Err(call.error(format!("argument 'tz' has no use without {with}")));
        }
        None => call.options().time_zone,
    };
    if calendar {
        constants.calendar(name, Unit::Day, clock)?;
    }
    Ok((constants.clone(), constants.engaged))
}
