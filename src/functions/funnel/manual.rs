//! What the manual says of the funnel aggregates.

use crate::functions::{ArgumentDoc, FunctionDoc, FunctionKind};

/// The entries of this family.
pub fn docs() -> Vec<FunctionDoc> {
    let arguments = || {
        vec![
            ArgumentDoc {
                name: "window",
                kind: "INTERVAL",
                default: None,
                text: "The longest time from the first to the last event of a chain, inclusive; days are 24 hours.",
            },
            ArgumentDoc {
                name: "options",
                kind: "TEXT or STRUCT",
                default: Some("'ordered'"),
                text: "Mode words separated by commas, `'strict, reuse'`, or a STRUCT of the options below, \
                       `{'mode': 'strict', 'entry': 'first'}`; a constant.",
            },
            ArgumentDoc { name: "time", kind: "TIMESTAMP or DATE", default: None, text: "When the event happened." },
            ArgumentDoc {
                name: "condition",
                kind: "BOOLEAN, 1 to 64 of them",
                default: None,
                text: "The steps, in order, then the exclusions where option `exclude` says so; NULL is false.",
            },
        ]
    };
    let kept = |default, text| ArgumentDoc { name: "kept", kind: "STRUCT", default: Some(default), text };
    let mut level_arguments = arguments();
    level_arguments.push(kept("nothing", "The values that option `hold` names; allowed only with it."));
    let mut chain_arguments = arguments();
    chain_arguments.push(kept(
        "nothing",
        "Values to carry along with each event of the chain, as in `named_struct('country', country)`.",
    ));
    let chain = vec![
        ("level INTEGER", "Steps of the longest chain, those that are optional not counted."),
        (
            "times LIST",
            "Times of the canonical chain's events, of the time argument's type: one for each step up to the last one \
             met, NULL where an optional step was skipped. In mode `any_order` one for each step met, in order of time.",
        ),
        (
            "indexes LIST of BIGINT",
            "Positions (from 1) of these events among the group's events that satisfy any condition (in mode `strict` \
             among all), by time; ties by kept value, then by conditions.",
        ),
        ("steps LIST of INTEGER", "The steps (from 1) that these events serve."),
        ("met BIGINT UNSIGNED", "The steps met, as bits: bit 0 is step 1."),
        (
            "dropped BOOLEAN",
            "Whether `exclude_policy` `drop` took the group out of the funnel; its chain is empty then.",
        ),
        ("kept LIST of STRUCT", "The kept values of these events; only where the argument was given."),
    ];
    let mut chains = vec![
        ("period DATE", "First day of the period in which the chain starts; NULL without option `period`."),
        ("last_entry", "Time of the latest event of that period that can start a chain; NULL without option `period`."),
    ];
    chains.extend(chain.clone());
    chains.insert(
        chains.len() - 1,
        (
            "by STRUCT",
            "Only with option `by`: the kept values of an event with the value by which the chain is told apart; NULL where \
             it has none.",
        ),
    );
    vec![
        FunctionDoc {
            name: "window_funnel",
            kind: FunctionKind::Aggregate,
            summary: "How many steps of a funnel each group completed within a window",
            syntax: "window_funnel(window [, options], time, condition, .. [, kept])",
            arguments: level_arguments,
            returns: vec![("INTEGER", "Length of the longest chain: 0 where no event satisfies the first condition.")],
            text: LEVEL_TEXT,
            example: "SELECT level, count(*) AS users\nFROM (\n  SELECT user_id, window_funnel(INTERVAL '7 days', ts,\n    event = 'view_item', event = 'add_to_cart', event = 'purchase') AS level\n  FROM events GROUP BY user_id\n)\nGROUP BY level ORDER BY level",
        },
        FunctionDoc {
            name: "funnel_chain",
            kind: FunctionKind::Aggregate,
            summary: "The events by which each group went through a funnel",
            syntax: "funnel_chain(window [, options], time, condition, .. [, kept])",
            arguments: chain_arguments.clone(),
            returns: chain,
            text: CHAIN_TEXT,
            example: "SELECT user_id, chain.level, chain.times\nFROM (\n  SELECT user_id, funnel_chain(INTERVAL '7 days', ts, event = 'view_item', event = 'purchase') AS chain\n  FROM events GROUP BY user_id\n)\nORDER BY chain.level DESC, user_id LIMIT 3",
        },
        FunctionDoc {
            name: "funnel_chains",
            kind: FunctionKind::Aggregate,
            summary: "Every passage of each group through a funnel, or the best one of each period",
            syntax: "funnel_chains(window [, options], time, condition, .. [, kept])",
            arguments: chain_arguments,
            returns: chains,
            text: CHAINS_TEXT,
            example: "SELECT c.period, count(*) AS users, sum(CASE WHEN c.level = 2 THEN 1 ELSE 0 END) AS buyers\nFROM (\n  SELECT unnest(funnel_chains(INTERVAL '7 days', {'period': 'month'}, ts, event = 'view_item', event = 'purchase')) AS c\n  FROM events GROUP BY user_id\n)\nGROUP BY c.period ORDER BY c.period",
        },
    ]
}

const LEVEL_TEXT: &str = "\
A chain of length m is m distinct events e1..em where ei satisfies condition i, times do not decrease and t(em) - t(e1) \
is at most the window. Events at the same time are unordered: where a chain exists in some order of them, it exists. One \
row that satisfies several conditions serves one step, unless `reuse` is given; with `reuse` only times are compared, so \
tied rows may take turns.

Rows whose time is NULL take no part. The answer depends only on the rows, never on their order.

Options, in a STRUCT; numbers of steps count from 1:

- `mode`: words separated by commas. `ordered` (default); `increase`: times strictly increase; `any_order`: the steps in \
any order within one window; `reuse`: one event may serve several steps; and one of `strict` (no other event), \
`strict_steps` (no event that satisfies a step), `dedup_first` (none that satisfies a step already reached), `dedup` (the \
same, step 1 apart) between two successive events of the chain. An event lies between two others if its time lies strictly \
between theirs: tied events never do.
- `window_end`: `inclusive` (default); `exclusive`: less than the window; `calendar`: the window is whole days or months, \
of which that of the first event is the first, and ends with the last of them in zone `tz`.
- `step_within`, `step_after`: lists with the largest and the smallest time from each step to the next, as in \
`[INTERVAL '1 hour', NULL]`; NULL is no limit.
- `exclude`: how many of the last conditions are exclusions, or a list with `{'after': i, 'before': j}` for each of them \
(NULL: the first and the last step). A chain that has passed step i ends before an event that satisfies the exclusion and \
lies strictly between its events of step i and of step j, or of its last step where it does not reach j. \
`exclude_policy`: `truncate` (default), or `drop`: a user whose level the exclusions lower has left the funnel, level 0.
- `optional`: steps that may be skipped; the level does not count them.
- `hold`: names of fields of the last argument. The funnel is computed for each of their values on its own (rows with a \
NULL take no part) and the best chain is taken; with `entry` `all` the chains of all values.
- `anchors`: steps of mode `any_order` that keep their place: they divide the others into groups, each of which is in any \
order but stays before or after them.
- `entry`: `best` (default): the chain may start at any event; `first`: only at the first event that satisfies step 1 \
(`any_order`: any step that can come first), tied ones included; `all` (`funnel_chains` only).
- `chain`: `canonical` (default) or `earliest_start`; see `funnel_chain`.
- `period` (`funnel_chains` only), `tz`, `week_start`.
- `by` (`funnel_chains` only): names of fields of the last argument. The funnel is computed for each value that the events which \
can start a chain carry, as if only those with that value could (NULL is a value). `by_entry` `first`: one value, that of the first \
such event. `by_step`: the value at that step, each on its own; chains that do not meet it have none.
- `mature`: true where one condition more, the last of all, tells which events can start a chain since their window has ended.
- `kept`: false leaves the list `kept` out of the answer.

What contradicts itself is refused: `any_order` with another mode word, with limits between steps, with `optional` or with \
exclusions that name steps; `reuse` with `increase`; `optional` with `dedup` or `dedup_first`, for step 1, for a step that a \
limit or an exclusion names; `drop` with `entry` `all`.

Cost: one pass over each group's events after sorting them by time; memory 20 bytes for each event that satisfies a \
condition (28 with more than 32 conditions or `hold`; mode `strict` keeps all events).

ClickHouse's answers: the mode word `clickhouse`, in a text, alone or with any of `strict_order`, `strict_deduplication`, \
`strict_increase`, `strict_once` and `allow_reentry` (which needs `strict_order`), gives what `windowFunnel` with these modes \
gives in ClickHouse 26.9. There one row may serve several steps unless `strict_once` is given, and a row in which any \
condition is NULL takes no part; with `strict_order` events that satisfy no condition take part, 20 bytes each. Compared on \
random events in every combination, what differs is:

- `strict_increase` without `strict_once` loses steps in ClickHouse where an event of step 1 is tied with the event of step 2 \
that an earlier step 1 led to: step 1 at 0 s, step 1 at 5 s, step 2 at 5 s (or one row for both at 5 s) is level 1 there and \
2 here. With `strict_deduplication` such a step counts as reached here, so that its repetition ends the search: step 1 at \
0 s, steps 1 and 2 in one row at 5 s, step 2 at 6 s, step 3 at 7 s is level 3 there and 2 here.
- `strict_once` with `strict_deduplication` depends on arrival in ClickHouse where rows are tied: rows of steps 1 and 2, 2 \
and 3, and 3 at one time are level 3 or 2 there. Here a tied row repeats a step only if it could have served it: level 3.
- Times are compared in the column's own unit: a `DateTime` of ClickHouse has whole seconds.";

const CHAIN_TEXT: &str = "\
The canonical chain is the longest; among those the one that completes earliest; then the one that starts latest; then \
the one with the earliest middle events: earliest at step 2, then at step 3, and so on. Ties between events are broken by \
the kept value (NULL first), then by which conditions they satisfy, so the answer never depends on arrival.

With `chain` `earliest_start` it is the longest; among those the one that starts earliest; then the one with the earliest \
event at step 2, and so on.

With `optional` steps the length counts the others alone and completion is the last of them; among the chains that complete \
earliest, those come first that meet optional steps, lower ones before higher ones, and then the one that starts latest. \
In mode `any_order` the events are compared in order of time, and then lower steps get the \
earlier ones.

The options are those of `window_funnel`, and `level` is what it answers for the same arguments. Memory: 28 bytes for each \
event that satisfies a condition where values are kept, and each distinct kept value once.";

const CHAINS_TEXT: &str = "\
The same as `funnel_chain`, as a list without chains of level 0. `entry` `all` gives one passage after the other, in the order of \
time: of the chains that start in the window of the next event left that can start one, the canonical one; the next starts \
later than its last event if it is complete, else later than that window. So a failed passage counts, also before a better one: \
`a b` on three days and `a b c` on the fourth are four passages within an hour each. `period` (`day`, `week`, `month`, `quarter`, \
`year`, in zone `tz`, weeks from `week_start`) gives the chains that start in each period, each period on its own; later steps may \
fall outside of it.

Cost: one pass over each group's events for each period in which a chain can start and for each value of `by` that the group's \
entries carry, from there to the end of its window. `entry` `all` looks at no event more than a few times, however many passages \
there are (with `chain` `earliest_start` at those of the window of each).";
