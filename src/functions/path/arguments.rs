//! The arguments of the aggregates that cut a user's events into walks: which is which, and what they say.
//!
//! Shapes: `user_transitions(time, gap, collapse, kept)` and
//! `user_paths(time, gap, collapse, anchor, way, depth, every, kept)`. `kept` is a STRUCT with the node, what ties are broken by,
//! the session's name and the breakdown, in the order in which ties are broken.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Fields, TimeUnit};
use datafusion::common::ScalarValue;
use datafusion::physical_plan::PhysicalExpr;

use super::names::name_type;
use crate::algo::calendar::Clock;
use crate::algo::path::{Cut, Paths, Walks, Way};
use crate::error::{Error, Result};
use crate::functions::columns;
use crate::functions::event_groups::EventArguments;

/// Field of the kept struct that breaks ties before the node does.
pub const ORDER_FIELD: &str = "(order)";
/// Field of the kept struct that names the node.
pub const NODE_FIELD: &str = "(node)";
/// Field of the kept struct that names the session.
pub const SESSION_FIELD: &str = "(session)";
/// Field of the answer that holds the edges, beside the breakdown.
pub const EDGES_FIELD: &str = "(edges)";

/// Directions of paths.
pub const WAYS: [(&str, Way); 3] = [("start", Way::Start), ("from", Way::From), ("to", Way::To)];

/// The most edges of a path.
pub const MAX_DEPTH: i64 = 50;

/// What is asked of each walk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Edges {
    /// Its transitions, with their times.
    Transitions,
    /// Its paths, counted.
    Paths,
}

impl Edges {
    /// Number of arguments.
    fn arity(self) -> usize {
        match self {
            Self::Transitions => 4,
            Self::Paths => 8,
        }
    }

    /// Positions of the arguments.
    pub fn events(self) -> EventArguments {
        let conditions = if self == Self::Paths { 3..4 } else { 0..0 };
        EventArguments { time: 0, conditions, kept: Some(self.arity() - 1), every_event: true }
    }

    /// The types the arguments are coerced to.
    pub fn coerce(self, function: &str, types: &[DataType]) -> Result<Vec<DataType>> {
        let kept = match types.last() {
            Some(DataType::Struct(fields)) if types.len() == self.arity() && fields.find(NODE_FIELD).is_some() => {
                types[types.len() - 1].clone()
            }
            _ => {
                return Err(Error::user(format!(
                    "{function}: is a part of FROM transitions(..) and paths(..); call these"
                )));
            }
        };
        let mut coerced =
            vec![columns::coerce_time(function, 1, &types[0])?, columns::interval_type(), DataType::Boolean];
        if self == Self::Paths {
            let anchor = columns::coerce_condition(function, 4, &types[3])?;
            coerced.extend([anchor, DataType::Utf8, DataType::Int64, DataType::Boolean]);
        }
        coerced.push(kept);
        Ok(coerced)
    }

    /// Fields of one edge.
    pub fn fields(self, time: &DataType) -> Fields {
        let names = ["source", "target"].map(|name| Field::new(name, name_type(), false));
        let mut fields = Vec::new();
        match self {
            Self::Transitions => {
                fields.extend(names);
                fields.push(Field::new("time", DataType::Duration(duration_unit(time)), true));
            }
            Self::Paths => {
                fields.push(Field::new("step", DataType::Int32, false));
                fields.extend(names);
                fields.push(Field::new("events", DataType::Int64, false));
            }
        }
        fields.into()
    }
}

/// The unit of the time between two times of a column: the column's own; seconds between dates.
pub fn duration_unit(time: &DataType) -> TimeUnit {
    match time {
        DataType::Timestamp(unit, _) => *unit,
        _ => TimeUnit::Second,
    }
}

/// The breakdown's fields among those of the kept struct.
pub fn by_fields(kept: &Fields) -> Fields {
    let inner = [ORDER_FIELD, NODE_FIELD, SESSION_FIELD];
    kept.iter().filter(|f| !inner.contains(&f.name().as_str())).map(Arc::clone).collect()
}

/// How walks are cut, from the planned expressions' constants.
pub fn walks(
    function: &str,
    expressions: &[Arc<dyn PhysicalExpr>],
    time: &DataType,
    sessions_have_names: bool,
) -> Result<Walks> {
    let gap = columns::literal(function, "the gap", expressions, 1)?;
    let collapse = flag(function, "collapse", expressions, 2)?;
    let cut = match gap {
        _ if sessions_have_names => Cut::Session,
        gap if gap.is_null() => Cut::Never,
        gap => {
            Cut::Gap(columns::window_ticks(function, "the gap", gap, columns::clock_of(time).unwrap_or(Clock::Dates))?)
        }
    };
    Ok(Walks { cut, collapse })
}

/// Which paths are asked for, from the planned expressions' constants.
pub fn paths(function: &str, expressions: &[Arc<dyn PhysicalExpr>]) -> Result<Paths> {
    let word = columns::literal_text(function, "the direction", expressions, 4)?;
    let Some((_, way)) = WAYS.iter().find(|(name, _)| *name == word) else {
        return Err(Error::user(format!("{function}: unknown direction '{word}'")));
    };
    let depth = columns::literal_integer(function, "the depth", expressions, 5)?;
    if !(1..=MAX_DEPTH).contains(&depth) {
        return Err(Error::user(format!("{function}: the depth must be from 1 to {MAX_DEPTH}, got {depth}")));
    }
    Ok(Paths { way: *way, depth: depth as u32, every: flag(function, "the anchors", expressions, 6)? })
}

fn flag(function: &str, argument: &str, expressions: &[Arc<dyn PhysicalExpr>], position: usize) -> Result<bool> {
    match columns::literal(function, argument, expressions, position)? {
        ScalarValue::Boolean(Some(value)) => Ok(*value),
        other => Err(Error::user(format!("{function}: {argument} must be true or false, got {other}"))),
    }
}
