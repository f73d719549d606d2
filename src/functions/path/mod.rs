//! The aggregates behind `FROM transitions(..)` and `FROM paths(..)`: each user's edges, and the table over all users.
//!
//! Deals with: SQL arguments in, `algo::path` and `algo::flow` out. Does not deal with: what the relations accept
//! (`relations`). These functions show in EXPLAIN; nobody types them.

mod answers;
pub mod arguments;
pub mod names;
mod table;

use arrow::datatypes::{DataType, FieldRef};
use datafusion::error::Result;
use datafusion::logical_expr::function::AccumulatorArgs;
use datafusion::logical_expr::{AggregateUDF, GroupsAccumulator};

use self::answers::{Ask, UserEdges, answer_type};
use self::arguments::{Edges, SESSION_FIELD};
use super::event_groups::event_groups;
use super::grouped::{GroupedFunction, aggregate, argument_types};
use super::room::Room;
use crate::error::Error;

/// `user_transitions(time, gap, collapse, kept)`: the transitions of each user's walks.
pub fn user_transitions() -> AggregateUDF {
    aggregate(UserEdgesFunction { name: "user_transitions", edges: Edges::Transitions })
}

/// `user_paths(time, gap, collapse, anchor, way, depth, every, kept)`: the edges of each user's paths.
pub fn user_paths() -> AggregateUDF {
    aggregate(UserEdgesFunction { name: "user_paths", edges: Edges::Paths })
}

/// `flow_table(edges, top)`: the table of edges of many users, which keeps their times and users in this room.
pub fn flow_table(room: Room) -> AggregateUDF {
    aggregate(table::FlowTable::new(room))
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct UserEdgesFunction {
    name: &'static str,
    edges: Edges,
}

impl GroupedFunction for UserEdgesFunction {
    fn name(&self) -> &'static str {
        self.name
    }

    fn coerce(&self, types: &[DataType]) -> Result<Vec<DataType>, Error> {
        self.edges.coerce(self.name, types)
    }

    fn answer_type(&self, types: &[DataType]) -> Result<DataType, Error> {
        let kept = self.edges.events().kept_fields(types).unwrap_or_default();
        Ok(answer_type(self.edges, &types[0], &kept))
    }

    fn groups(&self, args: &AccumulatorArgs) -> Result<Box<dyn GroupsAccumulator>> {
        let types = argument_types(args);
        let events = self.edges.events();
        let kept = events.kept_fields(&types).unwrap_or_default();
        let walks = arguments::walks(self.name, args.exprs, &types[0], kept.find(SESSION_FIELD).is_some())?;
        let ask = match self.edges {
            Edges::Transitions => Ask::Transitions,
            Edges::Paths => Ask::Paths(arguments::paths(self.name, args.exprs)?),
        };
        let question = UserEdges::new(ask, walks, types[0].clone(), &kept)?;
        event_groups(self.name, events, &types, Box::new(question))
    }

    fn state_fields(&self, name: &str, types: &[DataType]) -> Result<Vec<FieldRef>, Error> {
        Ok(self.edges.events().state_fields(name, types))
    }
}
