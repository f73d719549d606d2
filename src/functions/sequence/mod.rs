//! `sequence_match`, `sequence_count`, `sequence_match_events`, `sequence_next_event`: patterns over a group's events.

mod answers;
mod arguments;
mod next_event;
mod text;

use arrow::datatypes::{DataType, FieldRef};
use datafusion::error::Result;
use datafusion::logical_expr::function::AccumulatorArgs;
use datafusion::logical_expr::{AggregateUDF, Expr, GroupsAccumulator};

use self::answers::{Counts, FirstTimes, Matches};
use self::arguments::{Layout, Options, pattern, plan};
use super::columns;
use super::event_groups::{Question, event_groups};
use super::grouped::{GroupedFunction, aggregate, argument_types};
use crate::algo::pattern::search::Search;
use crate::error::Error;

pub use next_event::sequence_next_event;
pub use text::docs;

/// `sequence_match`: whether a group's events hold a match of the pattern.
pub fn sequence_match() -> AggregateUDF {
    aggregate(SequenceFunction { name: "sequence_match", answer: Answer::Match })
}

/// `sequence_count`: how many matches that do not overlap they hold.
pub fn sequence_count() -> AggregateUDF {
    aggregate(SequenceFunction { name: "sequence_count", answer: Answer::Count })
}

/// `sequence_match_events`: when the events of the first match happened.
pub fn sequence_match_events() -> AggregateUDF {
    aggregate(SequenceFunction { name: "sequence_match_events", answer: Answer::Events })
}

/// What the aggregate answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Answer {
    Match,
    Count,
    Events,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct SequenceFunction {
    name: &'static str,
    answer: Answer,
}

impl GroupedFunction for SequenceFunction {
    fn name(&self) -> &'static str {
        self.name
    }

    fn coerce(&self, types: &[DataType]) -> Result<Vec<DataType>, Error> {
        Layout::of(self.name, types)?.coerce(self.name, types)
    }

    fn answer_type(&self, types: &[DataType]) -> Result<DataType, Error> {
        let layout = Layout::of(self.name, types)?;
        Ok(match self.answer {
            Answer::Match => DataType::Boolean,
            Answer::Count => DataType::Int64,
            Answer::Events => DataType::new_list(types[layout.events.time].clone(), true),
        })
    }

    fn groups(&self, args: &AccumulatorArgs) -> Result<Box<dyn GroupsAccumulator>> {
        let types = argument_types(args);
        let Layout { options, mut events } = Layout::of(self.name, &types)?;
        let text = columns::literal_text(self.name, "the pattern", args.exprs, 0)?;
        let options = match options {
            Some(at) => Options::parse(self.name, &columns::literal_text(self.name, "the options", args.exprs, at)?)?,
            None => Options::default(),
        };
        events.every_event = options.keep_all;
        let pattern = pattern(self.name, &text, events.conditions.len())?;
        let time = &types[events.time];
        let search = Search::new(plan(&pattern, options.within, time));
        let question: Box<dyn Question> = match self.answer {
            Answer::Match => Box::new(Matches::new(search)),
            Answer::Count => Box::new(Counts::new(search)),
            Answer::Events => Box::new(FirstTimes::new(search, time.clone())),
        };
        event_groups(self.name, events, &types, question)
    }

    fn state_fields(&self, name: &str, types: &[DataType]) -> Result<Vec<FieldRef>, Error> {
        Ok(Layout::of(self.name, types)?.events.state_fields(name, types))
    }

    fn check(&self, arguments: &[Expr]) -> Result<(), Error> {
        let text = |at: usize| match arguments.get(at) {
            Some(Expr::Literal(text, _)) => text.try_as_str().flatten(),
            _ => None,
        };
        // The options are a string where there are any; a time is none.
        let options = text(1);
        if let Some(options) = options {
            Options::parse(self.name, options)?;
        }
        if let Some(text) = text(0) {
            let before = 2 + usize::from(options.is_some());
            pattern(self.name, text, arguments.len().saturating_sub(before))?;
        }
        Ok(())
    }
}
