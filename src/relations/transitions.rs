//! `FROM transitions(...)`: how often users went from one node straight to another, and how long it took them.

use datafusion::logical_expr::LogicalPlan;

use super::Relation;
use super::argument::{Argument, Kind, docs};
use super::call::Call;
use super::shared::{BY, with_roles};
use super::walks::{MAX_TOP, WALK, WalkArguments};
use crate::error::{Error, Result};
use crate::functions::path::user_transitions;
use crate::functions::{FunctionDoc, FunctionKind};

/// The relation.
#[derive(Debug)]
pub struct Transitions;

const OUTPUT: [&str; 7] = ["source", "target", "events", "users", "share", "median_seconds", "mean_seconds"];

const TOP: Argument = Argument::optional(
    "top",
    Kind::Whole(1, MAX_TOP),
    "all",
    "How many nodes keep their names, the most frequent ones; the others become `(other)`.",
);

impl Relation for Transitions {
    fn arguments(&self) -> Vec<Argument> {
        let by = BY.meaning("Breaks the answer down by the value at the first event of the walk.");
        with_roles(&[&WALK[..], &[TOP, by]].concat())
    }

    fn doc(&self) -> FunctionDoc {
        FunctionDoc {
            name: "transitions",
            kind: FunctionKind::Relation,
            summary: "How often users went from one event straight to another, and how long it took them",
            syntax: "transitions(table [, node => ..] [, within => 'session'] [, gap => ..] [, collapse => true] [, top => ..] [, by => ..])",
            arguments: docs(&self.arguments()),
            returns: vec![
                ("by ..", "The breakdown columns, under their own names."),
                ("source TEXT", "The node left; `(start)` where the walk begins."),
                ("target TEXT", "The node reached next; `(end)` where the walk ends."),
                ("events BIGINT", "How often that happened."),
                ("users BIGINT", "How many users did it."),
                (
                    "share DOUBLE",
                    "events as a share of all that leave the source, 0 to 1; the target `(end)` gives the exit rate.",
                ),
                (
                    "median_seconds, mean_seconds DOUBLE",
                    "Time from the source's event to the target's; NULL for `(start)` and `(end)`.",
                ),
            ],
            text: TEXT,
            example: "SELECT source, target, events, users, share, median_seconds\nFROM transitions(events, collapse => true)\nLIMIT 8",
        }
    }

    fn plan(&self, call: &mut Call) -> Result<LogicalPlan> {
        let walks = WalkArguments::read(call, &OUTPUT)?;
        let top = call.integer(&TOP)?.unwrap_or(0);
        let [gap, collapse] = walks.words();
        let arguments = vec![walks.roles.time.clone(), gap, collapse, walks.kept()];
        walks.table(call, &user_transitions(), arguments, top, &OUTPUT).map_err(Error::from)
    }
}

const TEXT: &str = "\
A walk is a session of a user, or with `within => 'user'` everything a user did, in the order of time. A session ends \
where the user's next event comes more than `gap` later. Every walk begins at `(start)` and ends at `(end)`: the \
events of a source add up to how often it occurs (without `(end)`: less its exits), and so do those of a target. With \
`collapse` a node several times in a row is one occurrence, at the time of the first; sessions are cut before that. \
Events at the same time are ordered by `order_key`, then by the node's text, so the answer never depends on the order \
of rows. Rows whose user, time, node or session is NULL take no part: `node => CASE WHEN event = 'page_view' THEN \
page END` walks over pages alone.

`top` ranks nodes by how often they occur in the answer (for each value of `by` on its own), equals by name. Folding \
comes last: rows between named nodes are the same whatever `top` is, moves among the others are `(other)` to \
`(other)`, and a user counts once in each row. A node that is itself called `(start)`, `(end)` or `(other)` is shown \
with a backslash before it. The most frequent transitions come first.

Cost: one pass over each user's events after sorting them; memory 45 bytes an event (each distinct combination of \
node, `order_key`, `session` and `by` is kept once; over ordered files only those of the users at hand). Medians are \
exact: each time takes some 4 bytes, and with `top` each transition that is new to its user 1 or 2. Beyond 128 MB, or an \
eighth of the memory limit, they go to a temporary file. The table holds the transitions that occur, never all pairs of nodes.";
