//! The arguments of the funnel relations.

use crate::functions::funnel::TOUCHES;
use crate::functions::funnel::options::{BY_ENTRIES, CHAINS, ENTRIES, EXCLUDE_POLICIES, WINDOW_ENDS};
use crate::relations::argument::{Argument, Kind};
use crate::relations::shared::{AS_OF, BY, PERIOD, TZ, WEEK_START, with_roles};

pub const STEPS: Argument = Argument::needed(
    "steps",
    Kind::Steps,
    "Event names and conditions, `['view', 'cart', event = 'buy' AND price > 10]`, or named ones, \
     `{'Saw it': event = 'view', 'Bought': event = 'buy'}`; 1 to 64.",
);
pub const WITHIN: Argument =
    Argument::needed("within", Kind::Span, "The longest time from the first to the last step, inclusive.");
pub const MODE: Argument = Argument::optional(
    "mode",
    Kind::Text,
    "'ordered'",
    "`ordered`, `increase`, `any_order`, and `strict`, `strict_steps`, `dedup`, `dedup_first`, `reuse`, several \
     separated by commas: as for `window_funnel`.",
);
pub const REUSE: Argument =
    Argument::with_default("reuse", Kind::Switch, "false", "One event may serve several steps: the mode word `reuse`.");
pub const WINDOW_END: Argument = Argument::with_default(
    "window_end",
    Kind::Word(&WINDOW_ENDS),
    "'inclusive'",
    "`inclusive`: up to the window itself. `exclusive`: less than it. `calendar`: the window is whole local days or months, of which that of the \
     first event is the first: `within => INTERVAL '3 days'` ends with the second day after it.",
);
pub const STEP_WITHIN: Argument = Argument::optional(
    "step_within",
    Kind::Spans,
    "no limit",
    "The largest time from each step to the next, `[INTERVAL '1 hour', NULL]`; NULL is no limit.",
);
pub const STEP_AFTER: Argument =
    Argument::optional("step_after", Kind::Spans, "no limit", "The smallest time, likewise.");
pub const EXCLUDE: Argument = Argument::optional(
    "exclude",
    Kind::Exclusions,
    "nothing",
    "Events that end a chain where they come between two of its steps: `'refund'`, or `{'when': event = 'refund', \
     'after': 1, 'before': 2}` with the steps between which they count (the first and the last by default), or a \
     list of these.",
);
pub const EXCLUDE_POLICY: Argument = Argument::with_default(
    "exclude_policy",
    Kind::Word(&EXCLUDE_POLICIES),
    "'truncate'",
    "`truncate`: the chain counts up to the step before the exclusion. `drop`: the user leaves the funnel.",
);
pub const OPTIONAL: Argument =
    Argument::optional("optional", Kind::StepNumbers, "none", "Numbers of the steps that may be skipped.");
pub const HOLD: Argument = Argument::optional(
    "hold",
    Kind::Columns,
    "nothing",
    "All events of a chain have the same value here, and none is NULL.",
);
pub const ANCHORS: Argument = Argument::optional(
    "anchors",
    Kind::StepNumbers,
    "none",
    "Numbers of the steps that keep their place in mode `any_order`.",
);
pub const ENTRY: Argument = Argument::with_default(
    "entry",
    Kind::Word(&ENTRIES),
    "'best'",
    "`best`: the chain may start at any event. `first`: only at the user's first. `all`: every passage is counted, one \
     after the other in the order of time, failed ones too.",
);
pub const CHAIN: Argument = Argument::with_default(
    "chain",
    Kind::Word(&CHAINS),
    "'canonical'",
    "Which of the longest chains is reported: `canonical`, the one that completes earliest, or `earliest_start`.",
);
pub const BY_ENTRY: Argument = Argument::with_default(
    "by_entry",
    Kind::Word(&BY_ENTRIES),
    "'each'",
    "`each`: a user counts under each value that their step-1 events carry, as far as they come from there. `first`: \
     only under that of their first step-1 event, however far they come.",
);
pub const BY_STEP: Argument = Argument::optional(
    "by_step",
    Kind::Step,
    "step 1",
    "Reads the `by` values at this step instead, each value on its own; whoever never comes that far is under NULL.",
);
pub const BY_TOUCH: Argument = Argument::optional(
    "by_touch",
    Kind::Word(&TOUCHES),
    "step 1",
    "Reads the `by` values at the `first` or the `last` event of the chain that has one; `all`: a user counts once \
     under every value along the chain.",
);
pub const MATURE: Argument = Argument::with_default(
    "mature",
    Kind::Switch,
    "false",
    "Leaves out entries whose window has not ended at `as_of`: who came in last has had no time to convert.",
);

pub const AT_STEP: Argument = Argument::optional(
    "at_step",
    Kind::Step,
    "all users of step 1",
    "Lists the users who reach this step: those that `funnel` counts in `users`.",
);
pub const DROPPED_AFTER: Argument = Argument::optional(
    "dropped_after",
    Kind::Step,
    "all users of step 1",
    "Lists those who reach this step and not the next one (that is not optional): those that `funnel` counts \
                   in `dropped` of the next one.",
);
pub const COLUMNS: Argument = Argument::optional(
    "columns",
    Kind::Columns,
    "nothing",
    "Values of the event at the step asked for; without one, of the last event of the chain.",
);

/// The arguments of `funnel`.
pub fn funnel() -> Vec<Argument> {
    with_roles(&of_both())
}

/// The arguments of `funnel_users`.
pub fn funnel_users() -> Vec<Argument> {
    let own = [AT_STEP, DROPPED_AFTER, COLUMNS];
    with_roles(&[&of_both()[..], &own].concat())
}

fn of_both() -> [Argument; 23] {
    let by = BY.meaning("Breaks the funnel down by the value at step 1, each value on its own: the row of a value is the funnel whose first \
             step also asks for it.");
    let period = PERIOD.meaning(
        "`day`, `week`, `month`, `quarter` or `year`: a funnel for each period, of the chains that start in it.",
    );
    let tz = TZ.meaning("IANA time zone of `period`, of calendar windows and of `as_of`.");
    [
        STEPS,
        WITHIN,
        by,
        MODE,
        REUSE,
        WINDOW_END,
        STEP_WITHIN,
        STEP_AFTER,
        EXCLUDE,
        EXCLUDE_POLICY,
        OPTIONAL,
        HOLD,
        ANCHORS,
        ENTRY,
        CHAIN,
        BY_ENTRY,
        BY_STEP,
        BY_TOUCH,
        period,
        MATURE,
        AS_OF,
        tz,
        WEEK_START,
    ]
}
