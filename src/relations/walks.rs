//! What `transitions` and `paths` have in common: which events are the stops of a walk, what parts walks, and the table.
//!
//! Deals with: the arguments of both and the plan around the per-user aggregate. Does not deal with: what is asked of a walk.

use arrow::datatypes::DataType;
use datafusion::common::{Column, ScalarValue};
use datafusion::functions::core::expr_ext::FieldAccessor;
use datafusion::functions::core::expr_fn::named_struct;
use datafusion::logical_expr::{
    AggregateUDF, Expr, ExprSchemable, LogicalPlan, LogicalPlanBuilder, SortExpr, cast, col, lit,
};

use super::argument::{Argument, Kind};
use super::call::{Breakdown, Call};
use super::expressions::{column, unkeyed};
use super::roles::Roles;
use super::shared::{BY, GAP, ORDER_KEY};
use crate::algo::calendar::Clock;
use crate::error::{Error, Result};
use crate::functions::columns::{clock_of, interval_type, window_ticks};
use crate::functions::path::arguments::{EDGES_FIELD, NODE_FIELD, ORDER_FIELD, SESSION_FIELD};
use crate::functions::path::flow_table;

/// A name that no column of the input has.
const FLOW: &str = "(flow)";

/// The most nodes that can be asked to keep their names.
pub const MAX_TOP: i64 = 100_000;

const NODE: Argument = Argument::optional(
    "node",
    Kind::Column,
    "the event",
    "Where an event takes the user: a column or anything computed; shown as text.",
);
const WITHIN: Argument = Argument::with_default(
    "within",
    Kind::Word(&["session", "user"]),
    "'session'",
    "`session`: walks end where a session does; `user`: all events of a user are one walk.",
);
const SESSION: Argument = Argument::optional(
    "session",
    Kind::Column,
    "cut by the gap",
    "Names the session of each event, in place of the gap; sessions of one user may overlap.",
);
const COLLAPSE: Argument = Argument::with_default(
    "collapse",
    Kind::Switch,
    "false",
    "Whether the same node several times in a row counts once.",
);
const ORDER: Argument = Argument::optional(
    ORDER_KEY.name,
    ORDER_KEY.kind,
    "the node",
    "Orders events at the same time, NULL first; then the node does.",
);

/// The arguments of both relations.
pub const WALK: [Argument; 6] = [
    NODE,
    WITHIN,
    GAP.meaning("A longer time than this between two events of a user begins another session."),
    SESSION,
    COLLAPSE,
    ORDER,
];

/// The arguments of one call, read and checked.
pub struct WalkArguments {
    /// User, time and event.
    pub roles: Roles,
    /// The node, as text.
    pub node: Expr,
    /// Breakdown of the answer.
    pub by: Vec<Breakdown>,
    gap: Option<ScalarValue>,
    session: Option<Expr>,
    collapse: bool,
    order_key: Option<Expr>,
}

impl WalkArguments {
    /// Reads them; `output` are the names of the answer's columns.
    pub fn read(call: &mut Call, output: &[&str]) -> Result<Self> {
        let roles = Roles::of(call)?;
        let node = match call.column(&NODE)? {
            Some(node) => node,
            None => roles.event(call)?,
        };
        let node = text(call, "node", node)?;
        let session = call.column(&SESSION)?;
        let of_user = call.choice(&WITHIN)? == "user";
        let given = call.given(&GAP);
        let gap = call.span(&GAP)?;
        let gap = match (of_user, session.is_some()) {
            (true, true) => return Err(call.error("arguments 'session' and within => 'user' exclude each other")),
            (true, _) if given => return Err(call.error("arguments 'gap' and within => 'user' exclude each other")),
            (_, true) if given => return Err(call.error("arguments 'gap' and 'session' exclude each other")),
            (true, _) | (_, true) => None,
            (false, false) => Some(checked_gap(call, gap, given, &roles.time_type)?),
        };
        let collapse = call.switch(&COLLAPSE)?;
        let order_key = call.column(&ORDER)?;
        let by = call.breakdowns(&BY)?;
        call.refuse_names(&by, output)?;
        let inner = [ORDER_FIELD, NODE_FIELD, SESSION_FIELD, EDGES_FIELD, FLOW];
        if let Some(b) = by.iter().find(|b| inner.contains(&b.name.as_str())) {
            return Err(
                call.error(format!("by column '{}' cannot be called so; give it another name in (SELECT ..)", b.name))
            );
        }
        Ok(Self { roles, node, by, gap, session, collapse, order_key })
    }

    /// Length of the gap and whether repeats collapse, as the aggregates take them.
    pub fn words(&self) -> [Expr; 2] {
        let none = ScalarValue::IntervalMonthDayNano(None);
        [lit(self.gap.clone().unwrap_or(none)), lit(self.collapse)]
    }

    /// The struct of values kept with each event: what breaks ties comes first.
    pub fn kept(&self) -> Expr {
        let mut kept = Vec::new();
        if let Some(key) = &self.order_key {
            kept.extend([lit(ORDER_FIELD), key.clone()]);
        }
        kept.extend([lit(NODE_FIELD), self.node.clone()]);
        if let Some(session) = &self.session {
            kept.extend([lit(SESSION_FIELD), session.clone()]);
        }
        kept.extend(self.by.iter().flat_map(|b| [lit(b.name.as_str()), b.value.clone()]));
        named_struct(kept)
    }

    /// The table of the edges that `per_user` gives for each user; `columns` of it are shown, most frequent edges first.
    pub fn table(
        &self,
        call: &Call,
        per_user: &AggregateUDF,
        arguments: Vec<Expr>,
        top: i64,
        columns: &[&str],
    ) -> datafusion::error::Result<LogicalPlan> {
        let mut takes_part = self.roles.known().and(self.node.clone().is_not_null());
        if let Some(session) = &self.session {
            takes_part = takes_part.and(session.clone().is_not_null());
        }
        let mut users = LogicalPlanBuilder::from(call.input().clone())
            .filter(takes_part)?
            .aggregate([self.roles.user.clone()], [per_user.call(arguments).alias(FLOW)])?;
        let by = || self.by.iter().map(|b| column(&b.name));
        let edges = if self.by.is_empty() {
            users.project([column(FLOW)])?
        } else {
            // A row for each breakdown value of each user.
            users = users.project([column(FLOW)])?.unnest_column(Column::from_name(FLOW))?;
            let fields = self.by.iter().map(|b| column(FLOW).field(b.name.as_str()).alias(b.name.as_str()));
            users.project(fields.chain([column(FLOW).field(EDGES_FIELD).alias(FLOW)]).collect::<Vec<_>>())?
        };
        let table = flow_table(call.room("flow_table")).call(vec![column(FLOW), lit(top)]).alias(FLOW);
        let mut output: Vec<Expr> = self.by.iter().map(|b| unkeyed(&b.name)).collect();
        output.extend(columns.iter().map(|c| match *c {
            // Views share the text of the names, however often they occur.
            "source" | "target" => cast(column(FLOW).field(*c), DataType::Utf8View).alias(*c),
            _ => column(FLOW).field(*c).alias(*c),
        }));
        let mut order: Vec<SortExpr> = by().map(|c| c.sort(true, true)).collect();
        for column in ["step", "events", "source", "target"].into_iter().filter(|c| columns.contains(c)) {
            order.push(col(column).sort(column != "events", true));
        }
        edges.aggregate(by(), [table])?.unnest_column(Column::from_name(FLOW))?.project(output)?.sort(order)?.build()
    }
}

/// A value as text: what is text or a dictionary of texts stays as it is.
fn text(call: &Call, argument: &str, value: Expr) -> Result<Expr> {
    let data_type = value.get_type(call.schema()).map_err(Error::from)?;
    let shown = match &data_type {
        DataType::Dictionary(_, inner) => inner.as_ref(),
        other => other,
    };
    match shown {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => Ok(value),
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_) => {
            Err(call.error(format!("argument '{argument}' must be a value that can be shown as text, got {data_type}")))
        }
        nested if nested.is_nested() => {
            Err(call.error(format!("argument '{argument}' must be a value that can be shown as text, got {data_type}")))
        }
        _ => Ok(cast(value, DataType::Utf8)),
    }
}

/// The gap as an interval of the type that the aggregates take; one that was given must have a length.
fn checked_gap(call: &Call, gap: ScalarValue, given: bool, time: &DataType) -> Result<ScalarValue> {
    if given {
        window_ticks(call.name(), "argument 'gap'", &gap, clock_of(time).unwrap_or(Clock::Dates))?;
    }
    gap.cast_to(&interval_type()).map_err(Error::from)
}
