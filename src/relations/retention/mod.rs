//! `FROM retention(...)`: cohorts and who of them came back when; `FROM retention_triangle(...)`: the same with a column for each
//! period; `FROM retention_curve(...)`: the pooled curve.

mod arguments;
mod call;
mod value;

use datafusion::logical_expr::{LogicalPlan, LogicalPlanBuilder};

use self::arguments::{Form, arguments};
use self::call::RetentionCall;
use super::Relation;
use super::argument::{Argument, docs};
use super::call::Call;
use crate::error::{Error, Result};
use crate::functions::{FunctionDoc, FunctionKind};

/// The table of cohorts and periods.
#[derive(Debug)]
pub struct Retention;

/// The table with a column for each period.
#[derive(Debug)]
pub struct RetentionTriangle;

/// The curve over all complete cells.
#[derive(Debug)]
pub struct RetentionCurve;

impl Relation for Retention {
    fn arguments(&self) -> Vec<Argument> {
        arguments(Form::Table)
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
                (
                    "cohort",
                    "First local date of the period of birth (DATE), with unit `hour` the instant with which it begins; or the property's value.",
                ),
                (
                    "size BIGINT",
                    "Users born in the cohort; with birth `recurring`, users with a start event in its period.",
                ),
                (
                    "period BIGINT",
                    "0 to `periods`; 0 is the period of the birth. With `brackets` the last period of the bracket.",
                ),
                ("bracket TEXT", "Only with `brackets`: the bracket, as in `1-3`."),
                ("retained BIGINT", "Users who came back in that period, or as `type` says."),
                ("rate DOUBLE", "retained / size."),
                ("complete BOOLEAN", "Whether the period has ended for the whole cohort at `as_of`."),
                (
                    "amount",
                    "Only with `value`, as the rest: the sum over the cohort's return events in that period; DOUBLE, or DECIMAL(38, n) of whole \
                     numbers and decimals.",
                ),
                ("amount_per_user DOUBLE", "amount / size."),
                (
                    "nrr DOUBLE",
                    "Net revenue retention: amount / the amount of period 0; NULL where that is 0. With type `on`.",
                ),
                (
                    "grr DOUBLE",
                    "Gross revenue retention: the same of amounts that are capped, user by user, at that of period 0.",
                ),
            ],
            text: TABLE_TEXT,
            example: "SELECT cohort, size, period, retained, rate, complete\nFROM retention(events, start => 'signup', unit => 'month', periods => 3)\nORDER BY cohort, period LIMIT 8",
        }
    }

    fn plan(&self, call: &mut Call) -> Result<LogicalPlan> {
        let question = RetentionCall::read(call, Form::Table)?;
        let order = question.order(&["cohort", "period"]);
        let plan = question.cells(call, Form::Table)?;
        Ok(LogicalPlanBuilder::from(plan).sort(order)?.build()?)
    }
}

impl Relation for RetentionTriangle {
    fn arguments(&self) -> Vec<Argument> {
        arguments(Form::Triangle)
    }

    fn doc(&self) -> FunctionDoc {
        FunctionDoc {
            name: "retention_triangle",
            kind: FunctionKind::Relation,
            summary: "Cohorts of users with a column for every period since, as slides show them",
            syntax: "retention_triangle(table [, start => ..] [, return => ..], unit => 'week', periods => 12 [, show => 'rate'])",
            arguments: docs(&self.arguments()),
            returns: vec![
                ("by ..", "The breakdown columns, under their own names."),
                (
                    "cohort",
                    "First local date of the period of birth (DATE), with unit `hour` the instant with which it begins; or the property's value.",
                ),
                ("size BIGINT", "Users of the cohort."),
                (
                    "period_0, period_1, ..",
                    "The rate (DOUBLE), or what `show` names; NULL where the period has not ended for the \
                     whole cohort. With `brackets` the columns are called after them, as in `period_1-3`.",
                ),
            ],
            text: TRIANGLE_TEXT,
            example: "SELECT cohort, size, round(period_0, 3) AS period_0, round(period_1, 3) AS period_1, round(period_2, 3) AS period_2\nFROM retention_triangle(events, start => 'signup', unit => 'month', periods => 2)",
        }
    }

    fn plan(&self, call: &mut Call) -> Result<LogicalPlan> {
        let question = RetentionCall::read(call, Form::Triangle)?;
        question.triangle(call).map_err(Error::from)
    }
}

impl Relation for RetentionCurve {
    fn arguments(&self) -> Vec<Argument> {
        arguments(Form::Curve)
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
                ("period BIGINT", "0 to `periods`. With `brackets` the last period of the bracket."),
                ("bracket TEXT", "Only with `brackets`: the bracket, as in `1-3`."),
                ("eligible BIGINT", "Users of cohorts for which the period has ended."),
                ("retained BIGINT", "Those who came back in that period, or as `type` says."),
                ("rate DOUBLE", "retained / eligible; NULL where nobody is eligible."),
                ("low, high DOUBLE", "The 95 % Wilson interval of the rate."),
                (
                    "amount, amount_per_user, nrr, grr",
                    "Only with `value`: those of `retention`, over the cohorts whose cell is complete.",
                ),
            ],
            text: CURVE_TEXT,
            example: "SELECT period, eligible, retained, rate\nFROM retention_curve(events, start => 'signup', unit => 'week', periods => 4)",
        }
    }

    fn plan(&self, call: &mut Call) -> Result<LogicalPlan> {
        let question = RetentionCall::read(call, Form::Curve)?;
        let plan = question.cells(call, Form::Curve)?;
        question.curve(plan).map_err(Error::from)
    }
}

const TABLE_TEXT: &str = "\
A user is born with the first start event in the data. A return is a *different* return event at the same or a later \
time; with `min_count` a period needs so many of them. Every cohort has a row for every period from 0 to `periods`, zeros included; period 0 tells who came back within the \
period of birth, and is not the size of the cohort. Without `start` and `return` any event counts as both.

With birth `recurring` everybody with a start event in a period is in that period's cohort, not only new users; the birth is the first \
start event of that period, so a user is in as many cohorts as there are periods with one. `by` is then the value at the user's first start \
event of all, or of those between `born_from` and `born_before`. `born_from` and `born_before` say which births make cohorts; what comes back is looked for in all of the data. With \
birth `first`, somebody whose first start event is before `born_from` is in no cohort; with `first_in_range` the first one from then on is \
the birth.

Period 0 of the types `on`, `on_or_before` and `streak` is who came back within the period of birth: the last two begin with period 1.

A cell is complete when its period has ended, at `as_of`, for the latest possible birth of the cohort (with `cohort =>`, for \
the latest birth there is). A period of timestamps has ended when the data reach the first instant after it; a period of \
dates, when they reach its last date. Without `as_of` the data reach to their largest time, of which a warning says so if it \
lies in the future: one wrong clock would make every cell look complete.

With `value` the amounts of return events at the birth or later are added up, that of the birth included where it is a return event too: \
the first payment is what later ones are compared with. A NULL adds nothing. Sums are exact; of doubles they are rounded once for a user's \
period and once for a cell. With type `on` a cell has its period's amounts, with `on_or_before` those of the periods 0 to n (what a \
customer has brought in by then), with `bracket` those of its periods. `min_count` says who has come back, and leaves amounts alone. `nrr` \
can be above 1, `grr` cannot: somebody who spends more than in period 0 counts as if they had spent the same, and somebody who spends nothing \
as 0. With birth `recurring` the amounts of period 0 are those at the birth or later.

Rows whose user or time is NULL take no part; of tied birth events the least `by` \
value counts, NULL before all others.";

const TRIANGLE_TEXT: &str = "\
Births, returns, periods and completeness are those of `retention`, which has a row for each cohort and period. A cell that is not \
complete is NULL here, since a slide has no room to say so.";

const CURVE_TEXT: &str = "\
Pooled: the sum of retained over the sum of sizes of the cohorts whose cell is complete, so large cohorts weigh more and \
unfinished periods never pull the curve down. Births, returns, periods and completeness are those of `retention`.";
