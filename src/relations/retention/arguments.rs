//! The arguments of the retention relations.

use crate::functions::retention::arguments::{INDEXES, UNITS};
use crate::functions::retention::cells::{MAX_PERIODS, TYPES};
use crate::relations::argument::{Argument, Kind};
use crate::relations::shared::{AS_OF, BY, TZ, WEEK_START, with_roles};

/// What begins.
pub const START: Argument = Argument::optional(
    "start",
    Kind::Condition,
    "any event",
    "What can be a user's birth; the earliest such event is.",
);
/// What comes back.
pub const RETURN: Argument = Argument::optional("return", Kind::Condition, "any event", "What counts as coming back.");
/// Periods of the calendar, and hours.
pub const UNIT: Argument = Argument::with_default(
    "unit",
    Kind::Word(&UNITS),
    "'week'",
    "`hour`, `day`, `week`, `month`, `quarter` or `year`. An hour is 3,600 seconds from a full hour of `tz`.",
);
/// How many periods.
pub const PERIODS: Argument =
    Argument::with_default("periods", Kind::Whole(0, MAX_PERIODS), "12", "The last period to report, up to 10,000.");
/// What a cell counts.
pub const TYPE: Argument = Argument::with_default(
    "type",
    Kind::Word(&TYPES),
    "'on'",
    "`on`: came back in period n; `on_or_after`: in period n or later; `on_or_before`: in one of the periods 1 to n; `streak`: in each of \
     them; `bracket`: in one of the periods of a range of `brackets`.",
);
/// Ranges of periods.
pub const BRACKETS: Argument = Argument::optional(
    "brackets",
    Kind::Ranges(0, MAX_PERIODS),
    "none",
    "Ranges of periods, `[[1, 3], [4, 7]]`, ascending: with type `bracket` each has a row, in place of the periods.",
);
/// How many returns a period needs.
pub const MIN_COUNT: Argument = Argument::with_default(
    "min_count",
    Kind::Whole(1, 1_000_000),
    "1",
    "How many return events a period needs, the birth itself not counted.",
);
/// What is added up.
pub const VALUE: Argument = Argument::optional(
    "value",
    Kind::NumberColumn,
    "nothing",
    "What a return event was worth: the answer has the sums of each cohort and period too. The birth counts where it is a return event.",
);
/// What a birth is.
pub const BIRTH: Argument = Argument::with_default(
    "birth",
    Kind::Word(&BIRTHS),
    "'first'",
    "`first`: the first start event in the data. `first_in_range`: the first one between `born_from` and `born_before`. `recurring`: the \
     first one of every period, so that everybody with a start event in a period is in its cohort.",
);
/// The earliest birth.
pub const BORN_FROM: Argument = Argument::optional(
    "born_from",
    Kind::Moment,
    "no limit",
    "The earliest birth that makes a cohort. A DATE is the midnight in `tz` with which it begins.",
);
/// The end of births.
pub const BORN_BEFORE: Argument =
    Argument::optional("born_before", Kind::Moment, "no limit", "Births are earlier than this, likewise.");
/// What a birth is.
const BIRTHS: [&str; 3] = ["first", "first_in_range", "recurring"];
/// How periods are counted.
pub const INDEX: Argument = Argument::with_default(
    "index",
    Kind::Word(&INDEXES),
    "'calendar'",
    "`calendar`: periods of the calendar. `rolling`: spans of an hour, 24 hours, 7 or 30 days from each user's birth.",
);
/// What makes cohorts.
pub const COHORT: Argument = Argument::optional(
    "cohort",
    Kind::Column,
    "the period of birth",
    "Groups users by this value at the birth event instead.",
);

/// The most columns of periods: a wider table is read by nobody.
const MOST_COLUMNS: i64 = 400;

/// The periods of a table that has a column for each.
pub const COLUMNS: Argument =
    Argument::with_default("periods", Kind::Whole(0, MOST_COLUMNS), "12", "The last period to report, up to 400.");

/// What the columns of periods show.
pub const SHOW: Argument = Argument::with_default(
    "show",
    Kind::Word(&SHOWN),
    "'rate'",
    "`rate`: retained / size; `retained`: users; `amount`, `amount_per_user`, `nrr` or `grr` with `value`.",
);
const SHOWN: [&str; 6] = ["rate", "retained", "amount", "amount_per_user", "nrr", "grr"];

/// Which of the relations it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// A row for each cohort and period.
    Table,
    /// A row for each cohort.
    Triangle,
    /// A row for each period.
    Curve,
}

/// The arguments of a relation.
pub fn arguments(form: Form) -> Vec<Argument> {
    let periods = if form == Form::Triangle { COLUMNS } else { PERIODS };
    let by = BY.meaning("Breaks the answer down by the value at the birth event.");
    let mut own =
        vec![START, RETURN, UNIT, periods, TYPE, BRACKETS, MIN_COUNT, VALUE, BIRTH, BORN_FROM, BORN_BEFORE, INDEX, by];
    own.extend((form != Form::Curve).then_some(COHORT));
    own.extend((form == Form::Triangle).then_some(SHOW));
    own.extend([AS_OF, TZ, WEEK_START]);
    with_roles(&own)
}
