//! `FROM sessions(...)`: the visits of each user, one row each.
//!
//! Deals with: the table of sessions. Does not deal with: its arguments (`session_call`), counting sessions
//! (`session_summary`) or views (`pages`).

use datafusion::common::ScalarValue;
use datafusion::functions::core::expr_ext::FieldAccessor;
use datafusion::logical_expr::{ExprSchemable, LogicalPlan, LogicalPlanBuilder, lit};

use super::Relation;
use super::argument::{Argument, docs};
use super::call::Call;
use super::expressions::column;
use super::roles::declared;
use super::session_call::{CONVERSION, SessionCall, USER, Wanted, arguments, item};
use crate::error::Result;
use crate::functions::breakdown::breakdown;
use crate::functions::session::{check_user, session_id, user_sessions};
use crate::functions::{FunctionDoc, FunctionKind};

/// The relation.
#[derive(Debug)]
pub struct Sessions;

const OUTPUT: [&str; 11] = [
    "session_id",
    "session_number",
    "started_at",
    "ended_at",
    "duration_seconds",
    "events",
    "views",
    "bounce",
    "entry",
    "exit",
    "converted",
];

impl Relation for Sessions {
    fn arguments(&self) -> Vec<Argument> {
        arguments(&[CONVERSION])
    }

    fn doc(&self) -> FunctionDoc {
        FunctionDoc {
            name: "sessions",
            kind: FunctionKind::Relation,
            summary: "The visits of each user, one row each",
            syntax: "sessions(table, gap => INTERVAL '30 minutes' [, cut_midnight => true] [, page => ..] [, conversion => ..] [, by => ..])",
            arguments: docs(&self.arguments()),
            returns: vec![
                ("by .., first .., last ..", "The properties of the session, under their own names."),
                ("the user column", "Who, under its own name."),
                (
                    "session_id BIGINT",
                    "The same for the same user and start, in every run: see the function `session_id`.",
                ),
                ("session_number BIGINT", "1, 2, .. for each user."),
                ("started_at, ended_at", "Times of the first and the last event, of the time column's type."),
                ("duration_seconds DOUBLE", "From the first to the last event."),
                ("events BIGINT", "Events, without excluded ones."),
                ("views BIGINT", "Page views."),
                ("bounce BOOLEAN", "Whether the user left at once."),
                ("entry, exit", "Pages of the first and the last view; NULL without a view."),
                ("converted BOOLEAN", "Whether it holds a conversion; NULL where `conversion` is not given."),
            ],
            text: TEXT,
            example: "SELECT user_id, session_number, started_at, duration_seconds, events, entry, exit, converted\nFROM sessions(events, gap => INTERVAL '30 minutes', conversion => 'purchase')\nORDER BY user_id, session_number LIMIT 5",
        }
    }

    fn plan(&self, call: &mut Call) -> Result<LogicalPlan> {
        let question = SessionCall::read(call, &OUTPUT, Wanted { pages: true, conversion: true, period: false })?;
        let user = &question.roles.user_name;
        check_user(call.name(), &question.roles.user.get_type(call.schema())?)?;
        if OUTPUT.contains(&user.as_str()) {
            return Err(call.error(format!(
                "user column '{user}' has the name of a result column; give it another in (SELECT ..)"
            )));
        }
        if question.by.iter().any(|b| b.name == *user) {
            return Err(call.error(format!("by column '{user}' is the user column, which is in the answer anyway")));
        }
        let who = column(USER);
        let session = |name: &str| item().field(name);
        let mut output = question.by_columns();
        // The user determined the list of sessions, but does not determine a session: the claim must not go on.
        output.push(breakdown().call(vec![who.clone()]).alias_with_metadata(user, declared("user")));
        output.extend([
            session_id().call(vec![who, session("started_at")]).alias("session_id"),
            session("number").alias("session_number"),
            session("started_at").alias_with_metadata("started_at", declared("time")),
            session("ended_at").alias("ended_at"),
            question.seconds(session("ticks")).alias("duration_seconds"),
            session("events").alias("events"),
            session("views").alias("views"),
            session("bounce").alias("bounce"),
            question.page("entry").alias("entry"),
            question.page("exit").alias("exit"),
            if question.has_conversion { session("converted") } else { lit(ScalarValue::Boolean(None)) }
                .alias("converted"),
        ]);
        let rows = question.rows(call, user_sessions())?;
        Ok(LogicalPlanBuilder::from(rows).project(output)?.build()?)
    }
}

const TEXT: &str = "\
An event opens a session if it is the user's first, or if the time since the event before is longer than `gap`, or, where \
asked: its local date is another (`cut_midnight`); its campaign is known and is not the one known last in the session, which \
may have none so far (`cut_campaign`); \
`start_when` is true; the event before satisfied `end_when`. Where none of these opens one, an event later than \
`max_length` after the session's start does. Each rule is enough, so their order does not matter.

Events of the same time are unordered, so they stay together: one that opens a session opens it for all of them, and one \
that ends a session ends it after all of them. The sessions of a user therefore begin at different times. Where one of \
several tied events must be chosen (entry, exit, `by`, `first`, `last`, the campaign known last), `order_key` decides, then the value \
itself, NULL first: the least for what comes first, the greatest for what comes last.

Rows whose user or time is NULL take no part, nor do events that satisfy `exclude`; NULL conditions are false. Without \
`page` the event column tells the pages.

The rows come in no particular order. The columns `started_at` and the user are declared as time and user, so that a SELECT from it can be the input of \
every other relation: `funnel((SELECT * FROM sessions(..)), ..)`. For steps within one session number the events with the \
function `sessionize`.

Memory: 24 bytes for each event (16 without page, campaign, order key and `by`) and 4 for reading it back; each distinct \
combination of these values once. Time: one sort of each user's events.";
