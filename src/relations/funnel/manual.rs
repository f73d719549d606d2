//! What the manual says of the funnel relations.

use super::arguments;
use crate::functions::{FunctionDoc, FunctionKind};
use crate::relations::argument::docs;

/// The entry of `funnel`.
pub fn funnel() -> FunctionDoc {
    FunctionDoc {
        name: "funnel",
        kind: FunctionKind::Relation,
        summary: "How many users reach each step within a window, and how long it takes them",
        syntax: "funnel(table, steps => [..], within => INTERVAL '..' [, by => ..] [, mode => '..'])",
        arguments: docs(&arguments::funnel()),
        returns: vec![
            ("by ..", "The breakdown columns, under their own names."),
            ("period DATE", "First local day of the period in which the chain starts; only with `period`."),
            ("step INTEGER", "1 to k."),
            (
                "name TEXT",
                "The step's name: the event, the condition as written, or the name given. In mode `any_order` \
                 `2 of steps 1 to 3` where several steps can come second.",
            ),
            (
                "users BIGINT",
                "Users whose chain reaches the step; with `entry => 'all'` the column is `completions` and counts chains. \
                 At an optional step: those who meet it.",
            ),
            ("conversion DOUBLE", "Share of step 1, 0 to 1; NULL where nobody is in step 1."),
            ("step_conversion DOUBLE", "Share of the step before (of the last one that is not optional)."),
            (
                "dropped BIGINT",
                "Users of the step before (the last one that is not optional) who did not reach this one; 0 at an optional \
                 step, where nobody is lost.",
            ),
            ("median_seconds, mean_seconds, p90_seconds DOUBLE", "Time from step 1, over canonical chains."),
            ("step_median_seconds DOUBLE", "Time from the step before (from the last one met)."),
            (
                "complete BOOLEAN",
                "Whether the window of the latest entry of the period has ended at `as_of`; only with `period`.",
            ),
        ],
        text: TEXT,
        example: "SELECT * FROM funnel(events, steps => ['view_item', 'add_to_cart', 'purchase'],\n  within => INTERVAL '7 days', by => country)\nORDER BY country, step LIMIT 6",
    }
}

/// The entry of `funnel_users`.
pub fn funnel_users() -> FunctionDoc {
    FunctionDoc {
        name: "funnel_users",
        kind: FunctionKind::Relation,
        summary: "The users at a step of a funnel, or lost after it",
        syntax: "funnel_users(table, steps => [..], within => INTERVAL '..' [, at_step => i] [, columns => [..]])",
        arguments: docs(&arguments::funnel_users()),
        returns: vec![
            ("by ..", "The breakdown columns, under their own names."),
            ("period DATE", "First local day of the period in which the chain starts; only with `period`."),
            ("user", "The user, under the name of its column."),
            ("level INTEGER", "Steps that the user's chain reaches, those that are optional not counted."),
            (
                "step_1_at, step_2_at, ..",
                "When the chain meets each step, of the time column's type; NULL where it does not.",
            ),
            ("columns ..", "The values asked for."),
        ],
        text: USERS_TEXT,
        example: "SELECT * FROM funnel_users(events, steps => ['add_to_cart', 'purchase'], within => INTERVAL '7 days',\n  dropped_after => 1, columns => [country])\nORDER BY step_1_at, user_id LIMIT 5",
    }
}

const TEXT: &str = "\
Counts each user once, by the longest chain (see `window_funnel`, whose options these are): the counts never increase along \
the steps. Rows whose user or time is NULL take no part. Percentiles are continuous (linear between ranks).

With `by` each value of the step-1 events is computed on its own, as each period is: the row of value v answers the funnel whose \
first step is `step 1 AND by = v` (NULL is a value). So whether a user converts never decides under which value they stand, and \
rates of values compare. A user whose entries carry several values counts under each, so that the users of all values can be \
more than those of the funnel; where the property is the user's own, they add up. In mode `any_order` an entry is an event of \
any step that can come first.

Without `by` and `period` there is always a row for every step; with them, for every value and period that some chain has.

Options change what a chain is, or which of them count:

- `optional`: a step that may be skipped has the users who meet it, so the next one can have more; the counts never increase \
along the others.
- `any_order`: step i is reached with the i-th step met, whichever it is; times are those of the i-th event.
- `entry => 'all'`: chains are counted, not users, in `completions`; see `funnel_chains`.
- `period`: each period is computed on its own, so a user can count in several; later steps may fall outside of it. It is \
`complete` when the window of its latest entry has ended at `as_of`; before that its conversion is still growing. Times beyond \
the years -9999 to 9999 are in none.
- `mature`: an entry counts once its window has ended at `as_of`, so that every entry had the same time to convert.
- `hold`: each value is computed on its own; a user counts by the best chain over all values.
- `exclude_policy => 'drop'`: whoever loses a step to an exclusion is in no row.
- `by_entry => 'first'`: one value a user, so that the users add up; the chains are those without `by`.
- `by_step`: from step 2 on each value at that step on its own; whoever does not come that far, or skips it, counts under NULL. \
The group then depends on how far the user came: its rates do not compare, neither with each other nor with those of step 1.
- `by_touch`: the value along the chain that the user went, so that its rates do not compare either. An event with several `by` columns has a value where one of them is not NULL; a chain without any counts under \
NULL. With `all` the counts of the values add up to more than the users.

What contradicts itself is refused while the query is planned.

Cost: one pass over the events that satisfy a condition (all events in mode `strict`), sorted for each user; see \
`window_funnel` and, for `entry => 'all'` and `period`, `funnel_chains`.";

const USERS_TEXT: &str = "\
The rows behind the numbers of `funnel`: the arguments that both have mean the same, and the chains are the same ones. So \
`at_step => i` lists as many rows as `funnel` counts users in step i, and `dropped_after => i` as many as it counts in \
`dropped` of the step after; in every breakdown. Without either, everybody in step 1.

A user has one row; one for each chain with `entry => 'all'`, for each period with `period`, for each value of their entries with \
`by` (of the chain with `by_touch => 'all'`).

In mode `any_order` the i-th step is the i-th met, as in `funnel`, while `step_i_at` is the time of the step with number i.

The user is declared as such, and `step_1_at` as time (not in mode `any_order`, where it can be NULL), so that a SELECT from it \
can be the input of every other relation: `retention((SELECT * FROM funnel_users(..)), ..)`.

Cost: that of `funnel`, the values asked for with each event, and a sort by user.";
