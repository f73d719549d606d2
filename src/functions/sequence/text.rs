//! What the manual says of the sequence functions.

use crate::functions::{ArgumentDoc, FunctionDoc, FunctionKind};

fn argument(name: &'static str, kind: &'static str, default: Option<&'static str>, text: &'static str) -> ArgumentDoc {
    ArgumentDoc { name, kind, default, text }
}

fn pattern_arguments() -> Vec<ArgumentDoc> {
    vec![
        argument("pattern", "TEXT", None, "What to look for; its language is told at `sequence_match`."),
        argument(
            "options",
            "TEXT",
            Some("''"),
            "`within 7 days`: the longest time from the first to the last event of a match, inclusive. `keep_all`: events \
             that satisfy no condition take part too. Both are joined by a comma.",
        ),
        argument("time", "TIMESTAMP or DATE", None, "When the event happened."),
        argument("condition", "BOOLEAN, 1 to 64 of them", None, "What `(?1)`, `(?2)`, .. stand for; NULL is false."),
    ]
}

/// What the manual says of this family.
pub fn docs() -> Vec<FunctionDoc> {
    vec![
        FunctionDoc {
            name: "sequence_match",
            kind: FunctionKind::Aggregate,
            summary: "Whether a pattern occurs in each group's events",
            syntax: "sequence_match(pattern [, options], time, condition, ..)",
            arguments: pattern_arguments(),
            returns: vec![("BOOLEAN", "Whether the group's events hold a match; false for a group without any.")],
            text: MATCH_TEXT,
            example: "SELECT sequence_match('(?1)[^2]*(?t<=1 day)(?1)', ts, event = 'view_item', event = 'purchase') AS came_back, count(*) AS users\nFROM events GROUP BY user_id",
        },
        FunctionDoc {
            name: "sequence_count",
            kind: FunctionKind::Aggregate,
            summary: "How often a pattern occurs in each group's events",
            syntax: "sequence_count(pattern [, options], time, condition, ..)",
            arguments: pattern_arguments(),
            returns: vec![("BIGINT", "The greatest number of matches that do not overlap.")],
            text: COUNT_TEXT,
            example: "SELECT rounds, count(*) AS users\nFROM (\n  SELECT sequence_count('(?1).*(?2)', 'within 1 day', ts, event = 'view_item', event = 'add_to_cart') AS rounds\n  FROM events GROUP BY user_id\n)\nGROUP BY rounds ORDER BY rounds",
        },
        FunctionDoc {
            name: "sequence_match_events",
            kind: FunctionKind::Aggregate,
            summary: "When the events of a pattern's first match happened",
            syntax: "sequence_match_events(pattern [, options], time, condition, ..)",
            arguments: pattern_arguments(),
            returns: vec![(
                "LIST",
                "One time for each `(?N)` and `.` of the pattern, of the time argument's type; empty without a match.",
            )],
            text: EVENTS_TEXT,
            example: "SELECT user_id, times[1] AS saw, times[2] AS bought\nFROM (\n  SELECT user_id, sequence_match_events('(?1).*(?t<=1 hour)(?2)', ts, event = 'view_item', event = 'purchase') AS times\n  FROM events GROUP BY user_id\n)\nWHERE cardinality(times) > 0 ORDER BY user_id LIMIT 3",
        },
        FunctionDoc {
            name: "sequence_next_event",
            kind: FunctionKind::Aggregate,
            summary: "The value of the event that follows, or precedes, a run of neighbours",
            syntax: "sequence_next_event(value, time, base, direction, condition, ..)",
            arguments: vec![
                argument("value", "any type that sorts", None, "What is answered of the event found."),
                argument("time", "TIMESTAMP or DATE", None, "When the event happened."),
                argument(
                    "base",
                    "TEXT",
                    None,
                    "Where the run begins. `head`: at the group's first event; `tail`: at its last; `first_match`: at the \
                     first that satisfies condition 1; `last_match`: at the last that does.",
                ),
                argument("direction", "TEXT", None, "`forward`: to later events; `backward`: to earlier ones."),
                argument(
                    "condition",
                    "BOOLEAN, 1 to 64 of them",
                    None,
                    "Condition i is for the i-th event of the run; NULL is false.",
                ),
            ],
            returns: vec![(
                "type of value",
                "The value of the event after the run; NULL where a condition fails or nothing follows. A dictionary comes back as its values.",
            )],
            text: NEXT_TEXT,
            example: "SELECT sequence_next_event(event, ts, 'first_match', 'forward', event = 'add_to_cart') AS after_cart, count(*) AS users\nFROM (SELECT user_id, event, ts FROM events)\nGROUP BY user_id",
        },
    ]
}

const MATCH_TEXT: &str = "\
A pattern is a row of items; spaces between them mean nothing.

| item | meaning |
| --- | --- |
| `(?N)` | one event that satisfies condition N |
| `.` | one event, any |
| `.*` | any number of events, any |
| `[^N M]*` | any number of events, none of which satisfies condition N or M |
| `(?t<=3600)` | the next `(?N)` or `.` comes at most 3600 seconds after the one before; also `<`, `>=`, `>`, `==` and `!=` |
| `(?t<=1 day)` | the same with units: weeks, days, hours, minutes, seconds, ms, us; `1 hour 30 minutes` |

Items side by side take neighbouring events. A time limit with no gap beside it implies `.*`: as in ClickHouse, any events \
may lie between. Several limits between two events must all hold. Nothing is anchored: the match may begin and end anywhere. \
A pattern has at most 64 events, and at most 4 limits with `!=`.

Events that satisfy none of the conditions are dropped before, unless `keep_all` is given; so `(?1)(?2)` means neighbours \
among the events that matter. Each `(?N)` and `.` takes an event of its own. Events at the same time are unordered: where a \
match exists in some order of them, it exists. Rows whose time is NULL take no part. The answer depends only on the rows, \
never on their order.

Errors of a pattern tell the position and what was expected. Times are compared in the column's own unit: of dates, a limit \
of less than a day allows the same day only.

Cost: sorting each group's events by time, then one move forward of each element of the pattern over them: n events and m \
elements take O(n m) steps, whatever the pattern, without backtracking and without a limit on steps; each `!=` doubles \
that. Memory: 20 bytes for each event that takes part (28 with more than 32 conditions).

Differences to ClickHouse's `sequenceMatch`, which otherwise answers the same (compared on random patterns and events):

- It measures a limit after `.*` from the first event of that gap, and lets a gap follow a limit. Events 1 at 0 s, 3 at 15 s, \
2 at 20 s: `(?1).*(?t<=10)(?2)` matches there, and not here, where limits always measure between the two events around \
them. Likewise 1 at 0 s, 3 at 2 s, 2 at 20 s and `(?1)(?t<=10).*(?2)`.
- It takes tied rows in the order they came: 1 and 2 at one time match either `(?1)(?2)` or `(?2)(?1)` there, both here.
- A row in which any condition is NULL is dropped there; here NULL is false.
- Patterns without an event (`''`, `.*`) and limits at an end (`(?1)(?t>5)`) are answered there and refused here; two limits \
between two events are refused there. `[^N]*` and `!=` do not exist there.
- It gives up with an error after a million steps.";

const COUNT_TEXT: &str = "\
The pattern language, options, ties and NULLs are those of `sequence_match`.

Matches do not overlap: the next one begins after the last event of the one before. Always the match that ends first is \
taken, which makes the count the greatest there can be. Without `!=` that is also the leftmost match: each of its events is \
the earliest that any match has in its place. Among tied events the order that gives the greatest count is meant: five rows \
at one time that satisfy condition 1 hold five matches of `(?1)`, and two of `(?1)(?1)`.

Cost as for `sequence_match`, all matches together.

Differences to ClickHouse's `sequenceCount`: those of `sequence_match`; and where a pattern ends in `.*`, as in `(?1).*`, \
ClickHouse 26.9 sometimes misses a match that ends at the last event, although its `sequenceMatch` finds it.";

const EVENTS_TEXT: &str = "\
The first match is the one that ends first. Without `!=` each of its events is the earliest that any match has in its place; \
with it, of several that end together, the one whose last but one event is earliest, and so on.

The pattern language, options, ties and NULLs are those of `sequence_match`, which is true exactly where this list is not \
empty; cost and memory too.

ClickHouse's `sequenceMatchEvents` answers the longest beginning of a match where none is complete, and leaves out the times \
of `.`: for `(?1).*(?2).*(?3)` and events 1 and 2 it gives two times, here the list is empty.";

const NEXT_TEXT: &str = "\
All of the group's events take part, whichever conditions they satisfy. They stand in one order: by time, ties by value \
(NULL first), then by the conditions they satisfy. From the base on, neighbours in that order must satisfy condition 1, 2, \
.. in turn; the answer is the value of the event after them. Going backward the same order is read from the end.

Rows whose time is NULL take no part. Cost: sorting each group's events; memory 28 bytes for each event and each distinct \
value once.

ClickHouse's `sequenceNextNode` has a base condition besides: write it into condition 1. It leaves out rows whose value is \
NULL: write `FILTER (WHERE value IS NOT NULL)` for that. Its order of tied rows is that of their arrival.";
