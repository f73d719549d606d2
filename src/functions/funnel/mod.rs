//! `window_funnel` and `funnel_chain`: how far each group came, and by which events.

pub mod answers;
pub mod arguments;
mod steps;

use arrow::datatypes::{DataType, FieldRef};
use datafusion::error::Result;
use datafusion::logical_expr::function::AccumulatorArgs;
use datafusion::logical_expr::{AggregateUDF, Expr, GroupsAccumulator};

use self::answers::{Chains, Levels, chain_type};
use self::arguments::Layout;
use super::columns;
use super::event_groups::{Question, event_groups};
use super::grouped::{GroupedFunction, aggregate, argument_types};
use super::{ArgumentDoc, FunctionDoc, FunctionKind};
use crate::algo::calendar::Clock;
use crate::error::Error;

pub use steps::funnel_steps;

/// `window_funnel`: the level of each group's longest chain.
pub fn window_funnel() -> AggregateUDF {
    aggregate(FunnelFunction { name: "window_funnel", answer: Answer::Level })
}

/// `funnel_chain`: level, times, positions and kept values of each group's canonical chain.
pub fn funnel_chain() -> AggregateUDF {
    aggregate(FunnelFunction { name: "funnel_chain", answer: Answer::Chain })
}

/// What the aggregate answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Answer {
    Level,
    Chain,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct FunnelFunction {
    name: &'static str,
    answer: Answer,
}

impl FunnelFunction {
    fn layout(&self, types: &[DataType]) -> Result<Layout, Error> {
        Layout::of(self.name, types, self.answer == Answer::Chain)
    }
}

impl GroupedFunction for FunnelFunction {
    fn name(&self) -> &'static str {
        self.name
    }

    fn coerce(&self, types: &[DataType]) -> Result<Vec<DataType>, Error> {
        self.layout(types)?.coerce(self.name, types)
    }

    fn answer_type(&self, types: &[DataType]) -> Result<DataType, Error> {
        let layout = self.layout(types)?;
        Ok(match self.answer {
            Answer::Level => DataType::Int32,
            Answer::Chain => chain_type(&types[layout.events.time], layout.events.kept_fields(types).as_ref()),
        })
    }

    fn groups(&self, args: &AccumulatorArgs) -> Result<Box<dyn GroupsAccumulator>> {
        let types = argument_types(args);
        let layout = self.layout(&types)?;
        let time = &types[layout.events.time];
        let spec = layout.spec(self.name, args.exprs, time)?;
        let question: Box<dyn Question> = match self.answer {
            Answer::Level => Box::new(Levels::new(spec)),
            Answer::Chain => Box::new(Chains::new(spec, time.clone())),
        };
        event_groups(self.name, layout.events, &types, question)
    }

    fn state_fields(&self, name: &str, types: &[DataType]) -> Result<Vec<FieldRef>, Error> {
        Ok(self.layout(types)?.events.state_fields(name, types))
    }

    fn check(&self, arguments: &[Expr]) -> Result<(), Error> {
        if let Some(Expr::Literal(window, _)) = arguments.first() {
            columns::window_ticks(self.name, window, Clock::Dates).or_else(|e| {
                // Shorter than a day is fine here; the time column's own ticks decide when it runs.
                columns::window_ticks(self.name, window, Clock::Instants(1_000_000_000)).map_err(|_| e)
            })?;
        }
        if let Some(Expr::Literal(modes, _)) = arguments.get(1)
            && let Some(Some(modes)) = modes.try_as_str()
        {
            arguments::parse_modes(self.name, modes)?;
        }
        Ok(())
    }
}

/// What the manual says of this family.
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
                name: "modes",
                kind: "TEXT",
                default: Some("'ordered'"),
                text: "`ordered`: times do not decrease; `increase`: times strictly increase; `reuse`: one event may serve \
                       several steps. Several words are separated by commas.",
            },
            ArgumentDoc { name: "time", kind: "TIMESTAMP or DATE", default: None, text: "When the event happened." },
            ArgumentDoc {
                name: "condition",
                kind: "BOOLEAN, 1 to 64 of them",
                default: None,
                text: "The steps, in order; NULL is false.",
            },
        ]
    };
    let mut chain_arguments = arguments();
    chain_arguments.push(ArgumentDoc {
        name: "kept",
        kind: "STRUCT",
        default: Some("nothing"),
        text: "Values to carry along with each event of the chain, as in `named_struct('country', country)`.",
    });
    vec![
        FunctionDoc {
            name: "window_funnel",
            kind: FunctionKind::Aggregate,
            summary: "How many steps of a funnel each group completed within a window",
            syntax: "window_funnel(window [, modes], time, condition, ..)",
            arguments: arguments(),
            returns: vec![("INTEGER", "Length of the longest chain: 0 where no event satisfies the first condition.")],
            text: LEVEL_TEXT,
            example: "SELECT level, count(*) AS users\nFROM (\n  SELECT user_id, window_funnel(INTERVAL '7 days', ts,\n    event = 'view_item', event = 'add_to_cart', event = 'purchase') AS level\n  FROM events GROUP BY user_id\n)\nGROUP BY level ORDER BY level",
        },
        FunctionDoc {
            name: "funnel_chain",
            kind: FunctionKind::Aggregate,
            summary: "The events by which each group went through a funnel",
            syntax: "funnel_chain(window [, modes], time, condition, .. [, kept])",
            arguments: chain_arguments,
            returns: vec![
                ("level INTEGER", "Length of the longest chain."),
                (
                    "times LIST",
                    "Times of the canonical chain's events, one for each step reached, of the time argument's type.",
                ),
                (
                    "indexes LIST of BIGINT",
                    "Positions (from 1) of these events among the group's events that satisfy any condition, by time; ties by kept value, then by conditions.",
                ),
                ("kept LIST of STRUCT", "The kept values of these events; only where the argument was given."),
            ],
            text: CHAIN_TEXT,
            example: "SELECT user_id, chain.level, chain.times\nFROM (\n  SELECT user_id, funnel_chain(INTERVAL '7 days', ts, event = 'view_item', event = 'purchase') AS chain\n  FROM events GROUP BY user_id\n)\nORDER BY chain.level DESC, user_id LIMIT 3",
        },
    ]
}

const LEVEL_TEXT: &str = "\
A chain of length m is m distinct events e1..em where ei satisfies condition i, times do not decrease (`increase`: \
strictly increase) and t(em) - t(e1) is at most the window. Events at the same time are unordered: where a chain exists \
in some order of them, it exists. One row that satisfies several conditions serves one step, unless `reuse` is given; \
with `reuse` only times are compared, so tied rows may take turns.

Rows whose time is NULL take no part. The answer depends only on the rows, never on their order.

Cost: one pass over each group's events after sorting them by time; memory 20 bytes for each event that satisfies a \
condition (28 with more than 32 conditions).";

const CHAIN_TEXT: &str = "\
The canonical chain is the longest; among those the one that completes earliest; then the one that starts latest; then \
the one with the earliest middle events. Ties between events are broken by the kept value (NULL first), then by which \
conditions they satisfy, so the answer never depends on arrival.

`level` is what `window_funnel` answers for the same arguments. Memory: 28 bytes for each event that satisfies a \
condition where values are kept, and each distinct kept value once.";
