//! `window_funnel`, `funnel_chain` and `funnel_chains`: how far each group came, and by which events.

pub mod answers;
pub mod arguments;
mod clickhouse;
mod literal;
mod manual;
pub mod modes;
pub mod options;
mod steps;
mod touches;
mod window_end;

use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::error::Result;
use datafusion::logical_expr::function::AccumulatorArgs;
use datafusion::logical_expr::{AggregateUDF, Expr, GroupsAccumulator};

use self::answers::{ChainAnswers, Levels, chain_type};
use self::arguments::{Answer, Layout};
use self::clickhouse::ClickHouseLevels;
use super::event_groups::{Question, event_groups, known_event_groups};
use super::grouped::{GroupedFunction, aggregate, argument_types};
use crate::error::Error;

pub use manual::docs;
pub use steps::funnel_steps;
pub use touches::{TOUCHES, funnel_touches};
pub use window_end::funnel_window_end;

/// `window_funnel`: the level of each group's longest chain.
pub fn window_funnel() -> AggregateUDF {
    aggregate(FunnelFunction { name: "window_funnel", answer: Answer::Level })
}

/// `funnel_chain`: level, times, positions and kept values of each group's canonical chain.
pub fn funnel_chain() -> AggregateUDF {
    aggregate(FunnelFunction { name: "funnel_chain", answer: Answer::Chain })
}

/// `funnel_chains`: the same as a list, for the options by which a group has several chains.
pub fn funnel_chains() -> AggregateUDF {
    aggregate(FunnelFunction { name: "funnel_chains", answer: Answer::Chains })
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct FunnelFunction {
    name: &'static str,
    answer: Answer,
}

impl FunnelFunction {
    fn layout(&self, types: &[DataType]) -> Result<Layout, Error> {
        Layout::of(self.name, types, self.answer)
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
        let kept = layout.events.kept_fields(types).unwrap_or_default();
        let chain = chain_type(&types[layout.events.time], &kept, layout.shape(types, self.answer));
        Ok(match self.answer {
            Answer::Level => DataType::Int32,
            Answer::Chain => chain,
            Answer::Chains => DataType::List(Field::new_list_field(chain, true).into()),
        })
    }

    fn groups(&self, args: &AccumulatorArgs) -> Result<Box<dyn GroupsAccumulator>> {
        let types = argument_types(args);
        let mut layout = self.layout(&types)?;
        if let Some((modes, window)) = layout.clickhouse(self.name, self.answer, args.exprs, &types)? {
            layout.events.every_event = modes.order;
            let question = ClickHouseLevels::new(layout.events.conditions.len(), window, modes);
            return known_event_groups(self.name, layout.events, &types, Box::new(question));
        }
        let asked = layout.asked(self.name, self.answer, args.exprs, &types)?;
        layout.events.every_event = asked.spec.every_event();
        let time = types[layout.events.time].clone();
        let question: Box<dyn Question> = match self.answer {
            Answer::Level => Box::new(Levels::new(asked)),
            _ => Box::new(ChainAnswers::new(asked, time, layout.shape(&types, self.answer))),
        };
        event_groups(self.name, layout.events, &types, question)
    }

    fn state_fields(&self, name: &str, types: &[DataType]) -> Result<Vec<FieldRef>, Error> {
        Ok(self.layout(types)?.events.state_fields(name, types))
    }

    fn check(&self, arguments: &[Expr]) -> Result<(), Error> {
        arguments::check(self.name, self.answer, arguments)
    }
}
