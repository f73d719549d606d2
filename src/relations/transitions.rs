//! `FROM transitions(...)`: how often users went from one node straight to another, and how long it took them.

use datafusion::logical_expr::LogicalPlan;

use super::Relation;
use super::call::Call;
use super::roles::with_roles;
use super::walks::{MAX_TOP, WalkArguments, walk_arguments};
use crate::error::{Error, Result};
use crate::functions::path::user_transitions;
use crate::functions::{ArgumentDoc, FunctionDoc, FunctionKind};

/// The relation.
#[derive(Debug)]
pub struct Transitions;

const OUTPUT: [&str; 7] = ["source", "target", "events", "users", "share", "median_seconds", "mean_seconds"];

impl Relation for Transitions {
    fn doc(&self) -> FunctionDoc {
        let mut arguments =
            vec![ArgumentDoc { name: "table", kind: "table or (SELECT ..)", default: None, text: "The events." }];
        arguments.extend(walk_arguments());
        arguments.extend([
            ArgumentDoc {
                name: "top",
                kind: "BIGINT",
                default: Some("all"),
                text: "How many nodes keep their names, the most frequent ones; the others become `(other)`.",
            },
            ArgumentDoc {
                name: "by",
                kind: "column or list",
                default: Some("nothing"),
                text: "Breaks the answer down by the value at the first event of the walk.",
            },
        ]);
        with_roles(FunctionDoc {
            name: "transitions",
            kind: FunctionKind::Relation,
            summary: "How often users went from one event straight to another, and how long it took them",
            syntax: "transitions(table [, node => ..] [, within => 'session'] [, gap => ..] [, collapse => true] [, top => ..] [, by => ..])",
            arguments,
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
        })
    }

    fn plan(&self, call: &mut Call) -> Result<LogicalPlan> {
        let walks = WalkArguments::read(call, &OUTPUT)?;
        let top = call.integer("top", 1..=MAX_TOP, 0)?;
        let [gap, collapse] = walks.words();
        let arguments = vec![walks.roles.time.clone(), gap, collapse, walks.kept()];
        walks.table(call, &user_transitions(), arguments, top, &OUTPUT).map_err(Error::from)
    }
}

const TEXT: &str = "";
