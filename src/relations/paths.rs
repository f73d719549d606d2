//! `FROM paths(...)`: which ways users take from or to an event, step by step, as the edges of a Sankey chart.

use datafusion::logical_expr::{Expr, LogicalPlan, lit};

use super::Relation;
use super::argument::{Argument, Kind, docs};
use super::call::{Call, Condition};
use super::shared::{BY, with_roles};
use super::walks::{MAX_TOP, WALK, WalkArguments};
use crate::error::{Error, Result};
use crate::functions::path::arguments::MAX_DEPTH;
use crate::functions::path::user_paths;
use crate::functions::{FunctionDoc, FunctionKind};

/// The relation.
#[derive(Debug)]
pub struct Paths;

const OUTPUT: [&str; 6] = ["step", "source", "target", "events", "users", "share"];

const FROM: Argument = Argument::optional(
    "from",
    Kind::Node,
    "the start of the walk",
    "Where paths begin; they are followed on. A string is a node.",
);
const TO: Argument = Argument::optional("to", Kind::Node, "nothing", "Where paths arrive; they are followed back.");
const DEPTH: Argument =
    Argument::with_default("depth", Kind::Whole(1, MAX_DEPTH), "5", "The most steps of a path, up to 50.");
const TOP: Argument = Argument::with_default(
    "top",
    Kind::Whole(1, MAX_TOP),
    "10",
    "How many nodes of each position keep their names, the most frequent ones; the others become `(other)`.",
);
const ANCHOR: Argument = Argument::with_default(
    "anchor",
    Kind::Word(&["first", "all"]),
    "'first'",
    "`first`: each walk has at most one path, of the first event that is `from` or `to`; `all`: each such event has one.",
);

impl Relation for Paths {
    fn arguments(&self) -> Vec<Argument> {
        let by = BY.meaning("Breaks the answer down by the value at the event where the path begins (or arrives).");
        with_roles(&[&[FROM, TO, DEPTH, TOP, ANCHOR], &WALK[..], &[by]].concat())
    }

    fn doc(&self) -> FunctionDoc {
        FunctionDoc {
            name: "paths",
            kind: FunctionKind::Relation,
            summary: "Which ways users take from or to an event, step by step",
            syntax: "paths(table [, from => .. | to => ..] [, depth => 5] [, top => 10] [, anchor => 'first'] [, within => 'session'] [, by => ..])",
            arguments: docs(&self.arguments()),
            returns: vec![
                ("by ..", "The breakdown columns, under their own names."),
                (
                    "step INTEGER",
                    "The edge leads from position step - 1 to position step; `from`, `to` or `(start)` is at position 0.",
                ),
                ("source TEXT", "The node at position step - 1; `(start)` before the first event of the walk."),
                ("target TEXT", "The node at position step; `(end)` after the last event of the walk."),
                ("events BIGINT", "How many paths take this edge."),
                ("users BIGINT", "How many users do."),
                ("share DOUBLE", "events as a share of all that leave the source at this step, 0 to 1."),
            ],
            text: TEXT,
            example: "SELECT * FROM paths(events, from => 'view_item', depth => 3, top => 4, collapse => true)",
        }
    }

    fn plan(&self, call: &mut Call) -> Result<LogicalPlan> {
        let walks = WalkArguments::read(call, &OUTPUT)?;
        let (from, to) = (call.condition(&FROM)?, call.condition(&TO)?);
        let (way, anchor) = match (from, to) {
            (Some(_), Some(_)) => return Err(call.error("arguments 'from' and 'to' exclude each other")),
            (None, None) => ("start", lit(true)),
            (Some(from), None) => ("from", anchor(call, &walks, &from)?),
            (None, Some(to)) => ("to", anchor(call, &walks, &to)?),
        };
        let every = call.choice(&ANCHOR)? == "all";
        if every && way == "start" {
            return Err(call.error("anchor => 'all' needs 'from' or 'to': a walk has one start"));
        }
        let depth = call.whole(&DEPTH)?;
        let top = call.whole(&TOP)?;
        let [gap, collapse] = walks.words();
        let arguments =
            vec![walks.roles.time.clone(), gap, collapse, anchor, lit(way), lit(depth), lit(every), walks.kept()];
        walks.table(call, &user_paths(), arguments, top, &OUTPUT).map_err(Error::from)
    }
}

/// The condition of the anchor. A name is that of a node, since nodes are what the answer shows.
fn anchor(call: &Call, walks: &WalkArguments, condition: &Condition) -> Result<Expr> {
    let mut nodes = walks.roles.clone();
    nodes.event = Some(walks.node.clone());
    nodes.condition(call, condition)
}

const TEXT: &str = "\
Walks, sessions, `collapse` and the order of events at the same time are those of `transitions`. A path follows its walk \
from `from` on, or from `to` back, for at most `depth` steps; without either it begins at the `(start)` of the walk. Rows are \
edges of a chart in layers: the edge of a step leads from the source at position step - 1 to the target at position step. \
Paths back have the steps 1 - depth to 0, so charts of both directions read from left to right. With \
`anchor => 'all'` paths may overlap; `events` counts paths, `users` counts each user once. With `collapse`, a node several \
times in a row is an anchor where one of its events is.

At every position but the first and last what goes into a node comes out of it: drop-offs go to `(end)`, and on paths back \
`(start)` is where the walk began. Nodes at the last position have no drop-offs, because nothing behind it is looked at.

`top` ranks the nodes of each position (for each value of `by` on its own) by how many paths pass them, equals by name; \
the others of that position become `(other)`, after all else. A node that is itself called `(start)`, `(end)` or `(other)` is shown \
with a backslash before it.

Cost: one pass over each user's events after sorting them, `depth` steps for each path; memory 48 bytes an event (each \
distinct combination of node, `order_key`, `session` and `by` is kept once), then 1 or 2 bytes for each edge of a user, which go to a temporary file beyond 128 MB or an eighth of the memory limit.";
